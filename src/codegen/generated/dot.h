/* Products of matrices by generated register tiles. */
#ifndef CODEGEN_GENERATED_DOT_H
#define CODEGEN_GENERATED_DOT_H

#include "codegen/generated/dot_plan.h"

/* A block of y, its rows counted over the whole batch; `step` numbers from row to row where it is kept. */
typedef struct dot_block {
    int64_t row, rows, column, columns, step;
} dot_block;

/* Who takes y block by block, as soon as a block is there, so that y itself is never written. */
typedef struct dot_finish {
    /* Addresses in list[], at most so many, of lines of f32 that it is going to read for the block: they are
     * fetched while it is computed, and for the next columns as much further on. Gives how many; NULL for
     * none ever. */
    int (*fetch)(const void *state, const dot_block *at, const void **list, int most);
    void (*take)(const void *state, const dot_block *at, const float *block);
    const void *state;
} dot_finish;

/*
 * Makes a product ready, whose runs then fail for want of scratch alone; finish is NULL or as it will be but for the
 * state, and its blocks count rows and columns of y, or of the plan where that has one column as one row.
 * TW_ERR_UNSUPPORTED, without a message, where there is no generated code or the shape is not for it (too deep).
 */
tw_status generated_dot_prepare(tw_context *context, const matrix_product *m,
                                const dot_finish *finish, dot_plan *plan);

/* y = x w in f32. The order of each sum follows from the extents, not from the threads. */
tw_status generated_dot(tw_context *context, const dot_plan *plan, const float *x, const float *w,
                        float *y);
tw_status generated_dot_finished(tw_context *context, const dot_plan *plan, const float *x,
                                 const float *w, const dot_finish *finish);

/* A product to be computed. */
typedef struct dot_task {
    const dot_plan *plan;
    const float *x, *w;
    float *y;                 /* NULL: to the finish */
    const dot_finish *finish; /* NULL: to y */
} dot_task;

/* At most MOST_BESIDE (ir/graph.h) products that don't depend on each other and are not halved: the threads share the
 * work of all. The bits are those that each has alone. */
tw_status generated_dots(tw_context *context, int n, const dot_task *task);

/* The memory that a product, or products side by side, take while they run, from the caller's scratch
 * (base/scratch.h). */
size_t generated_dot_bytes(const tw_context *context, const dot_plan *plan);
size_t generated_dots_bytes(const tw_context *context, int n, const dot_plan *const *plan);

#endif
