/* The kernels' stack of memory. */
#include "base/scratch.h"

#include <stdint.h>

#include "base/vector.h"

enum { ALIGNMENT = 64, LEAST_CHUNK = 1 << 16 };

size_t scratch_rounded(size_t bytes) {
    if (bytes > PTRDIFF_MAX - ALIGNMENT) return SIZE_MAX;
    return (bytes + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
}

/* Chunk `at` with room for `bytes`, a new one where there is none. */
static scratch_chunk *chunk_for(tw_context *context, size_t bytes) {
    scratch_stack *s = &context->scratch;
    while (s->current < s->chunks.count) {
        scratch_chunk *it = &s->chunks.at[s->current];
        if (it->bytes - s->used >= bytes) return it;
        s->current++;
        s->used = 0;
    }
    size_t size = bytes > s->wanted ? bytes : s->wanted;
    if (size < LEAST_CHUNK) size = LEAST_CHUNK;
    void *memory = context_allocate_aligned(context, size);
    scratch_chunk *made = memory ? VECTOR_PUSH(context, &s->chunks) : NULL;
    if (!made) {
        context_release_aligned(context, memory);
        return NULL;
    }
    *made = (scratch_chunk){memory, size};
    return made;
}

void *scratch_take(tw_context *context, size_t bytes) {
    scratch_stack *s = &context->scratch;
    size_t need = scratch_rounded(bytes ? bytes : 1);
    if (need == SIZE_MAX) {
        context_error(context, TW_ERR_MEMORY, "%zu bytes do not fit in memory", bytes);
        return NULL;
    }
    if (s->planned_bytes - s->planned_used >= need) {
        void *place = s->planned + s->planned_used;
        s->planned_used += need;
        return place;
    }
    scratch_chunk *chunk = chunk_for(context, need);
    if (!chunk) return NULL;
    void *place = (char *)chunk->at + s->used;
    s->used += need;
    return place;
}

scratch_mark scratch_save(const tw_context *context) {
    const scratch_stack *s = &context->scratch;
    return (scratch_mark){s->planned_used, s->current, s->used};
}

static void free_chunks(tw_context *context) {
    scratch_stack *s = &context->scratch;
    for (size_t i = 0; i < s->chunks.count; i++)
        context_release_aligned(context, s->chunks.at[i].at);
    s->chunks.count = 0;
}

/* Where several chunks were needed, one as large as all of them will be the next time. */
void scratch_restore(tw_context *context, scratch_mark mark) {
    scratch_stack *s = &context->scratch;
    s->planned_used = mark.planned;
    s->current = mark.chunks;
    s->used = mark.used;
    if (mark.chunks || mark.used || s->chunks.count < 2) return;
    s->wanted = scratch_kept(context);
    free_chunks(context);
}

void scratch_plan(tw_context *context, void *place, size_t bytes) {
    context->scratch.planned = place;
    context->scratch.planned_bytes = place ? bytes : 0;
    context->scratch.planned_used = 0;
}

size_t scratch_kept(const tw_context *context) {
    size_t sum = 0;
    for (size_t i = 0; i < context->scratch.chunks.count; i++)
        sum += context->scratch.chunks.at[i].bytes;
    return sum;
}

void scratch_free(tw_context *context) {
    free_chunks(context);
    VECTOR_FREE(context, &context->scratch.chunks);
}
