/* Memory that lives and dies together: graphs and passes. */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include "base/context.h"

typedef struct arena_block arena_block;
typedef struct arena {
    tw_context *context;
    arena_block *block;
} arena;
typedef struct arena_mark {
    arena_block *block;
    size_t used;
} arena_mark;

void arena_start(arena *arena, tw_context *context);
void arena_end(arena *arena);
/* Zeroed, 16-byte aligned; NULL sets TW_ERR_MEMORY. */
void *arena_allocate(arena *arena, size_t count, size_t size);
char *arena_copy_string(arena *arena, const char *text);
char *arena_format(arena *arena, const char *format, ...) TW_PRINTF(2, 3);
arena_mark arena_save(const arena *arena);
void arena_restore(arena *arena, arena_mark mark);

#endif
