/* A chain of blocks, each at least twice as large as what asked for it. */
#include "base/arena.h"

#include <stdio.h>
#include <string.h>

struct arena_block {
    arena_block *older;
    size_t used, size;
    _Alignas(16) char bytes[];
};

enum { FIRST_BLOCK = 16 * 1024 };

void arena_start(arena *arena, tw_context *context) {
    arena->context = context;
    arena->block = NULL;
}

static void drop_blocks_until(arena *arena, arena_block *last) {
    while (arena->block != last) {
        arena_block *older = arena->block->older;
        context_release(arena->context, arena->block);
        arena->block = older;
    }
}

void arena_end(arena *arena) { drop_blocks_until(arena, NULL); }

void *arena_allocate(arena *arena, size_t count, size_t size) {
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes) || bytes > PTRDIFF_MAX / 4) {
        context_error(arena->context, TW_ERR_MEMORY,
                      "%zu elements of %zu bytes do not fit in memory", count, size);
        return NULL;
    }
    bytes = (bytes + 15) & ~(size_t)15;
    arena_block *block = arena->block;
    if (!block || block->size - block->used < bytes) {
        size_t room = block ? block->size : FIRST_BLOCK;
        if (room < 1024 * 1024) room *= 2;
        if (room < 2 * bytes) room = 2 * bytes;
        arena_block *added = context_resize(arena->context, NULL, sizeof *added + room, 1);
        if (!added) return NULL;
        *added = (arena_block){.older = block, .size = room};
        arena->block = block = added;
    }
    void *memory = block->bytes + block->used;
    block->used += bytes;
    return memset(memory, 0, bytes);
}

char *arena_copy_string(arena *arena, const char *text) {
    size_t bytes = strlen(text) + 1;
    char *copy = arena_allocate(arena, bytes, 1);
    if (copy) memcpy(copy, text, bytes);
    return copy;
}

char *arena_format(arena *arena, const char *format, ...) {
    va_list list, again;
    va_start(list, format);
    va_copy(again, list);
    int length = vsnprintf(NULL, 0, format, list);
    va_end(list);
    char *copy = length < 0 ? NULL : arena_allocate(arena, (size_t)length + 1, 1);
    if (copy) vsnprintf(copy, (size_t)length + 1, format, again);
    va_end(again);
    return copy;
}

arena_mark arena_save(const arena *arena) {
    return (arena_mark){arena->block, arena->block ? arena->block->used : 0};
}

void arena_restore(arena *arena, arena_mark mark) {
    drop_blocks_until(arena, mark.block);
    if (mark.block) mark.block->used = mark.used;
}
