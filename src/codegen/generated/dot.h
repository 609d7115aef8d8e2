/* Products of matrices by generated register tiles. */
#ifndef CODEGEN_GENERATED_DOT_H
#define CODEGEN_GENERATED_DOT_H

#include "ops/product.h"

/*
 * y = x w in f32. TW_ERR_UNSUPPORTED, without a message, where there is no generated code or the shape is
 * not for it (too deep). The order of each sum follows from the extents, not from the threads.
 */
tw_status generated_dot(tw_context *context, const matrix_product *m, const float *x,
                        const float *w, float *y);

/*
 * y[i] = x w[i] for n products (at most TW_MAX_RESULTS), side by side: the threads share the work of all. in[]
 * has x and then each w. As generated_dot, bits included; TW_ERR_UNSUPPORTED where one of them is not for it.
 */
tw_status generated_dots(tw_context *context, int n, const matrix_product *m, const void *const *in,
                         void *const *y);

/* The memory that n products take side by side while they run, from the caller's scratch (base/scratch.h). */
tw_status generated_dots_workspace(tw_context *context, int n, const matrix_product *m,
                                   size_t *bytes);

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
 * Makes ready whatever generated_dot_finished needs, which then does not fail; gives the extents of y as blocks
 * count them: one column is one row. TW_ERR_UNSUPPORTED as above.
 */
tw_status generated_dot_prepare(tw_context *context, const matrix_product *m,
                                const dot_finish *finish, int64_t *rows, int64_t *columns);
tw_status generated_dot_finished(tw_context *context, const matrix_product *m, const float *x,
                                 const float *w, const dot_finish *finish);

#endif
