/*
 * Memory of a kernel while it runs: a stack. A program gives the planned place of an instruction's; what
 * finds no room there, and all of immediate graphs', comes from chunks that the context keeps, so
 * that the same work allocates once.
 */
#ifndef BASE_SCRATCH_H
#define BASE_SCRATCH_H

#include <thalweg/base.h>

/* How much of the planned place is taken, and of the chunks. */
typedef struct scratch_mark {
    size_t planned, chunks, used;
} scratch_mark;

/* What `bytes` take of it: a multiple of 64; SIZE_MAX where that is past the end. */
size_t scratch_rounded(size_t bytes);
/* 64-aligned, not cleared, until the mark before is restored. NULL with the context's error. On the
 * context's own thread alone. */
void *scratch_take(tw_context *context, size_t bytes);
scratch_mark scratch_save(const tw_context *context);
void scratch_restore(tw_context *context, scratch_mark mark);

/* What the next takes are served from first; NULL for none. */
void scratch_plan(tw_context *context, void *place, size_t bytes);
/* Bytes of the chunks, which no plan knows of. */
size_t scratch_kept(const tw_context *context);
void scratch_free(tw_context *context);

#endif
