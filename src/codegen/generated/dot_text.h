/*
 * The inner kernels of a product, as LLVM IR: void kernel(ptr arguments, i64 begin, i64 end). All
 * extents and steps are arguments, in elements; what shapes the registers is in dot_form.
 */
#ifndef CODEGEN_GENERATED_DOT_TEXT_H
#define CODEGEN_GENERATED_DOT_TEXT_H

#include "codegen/machine_code.h"

typedef enum dot_kind {
    /* Blocks begin..end-1 of `rows` rows of y: elements of x spread over vectors along the columns. */
    DOT_OUTER = 1,
    /* Blocks begin..end-1 of `width` columns of y: vectors along the depth, added up at the end. */
    DOT_INNER,
    /* Vectors begin..end-1 of a panel of w, from columns that lie side by side in memory. */
    DOT_TURN
} dot_kind;

typedef struct dot_form {
    dot_kind kind;
    int lanes;    /* numbers of a vector: the machine's, or half as many */
    int rows;     /* of x at a time */
    int width;    /* DOT_OUTER: vectors of columns; DOT_INNER: columns */
    bool masked;  /* DOT_OUTER: the last vector has fewer columns */
    bool fetches; /* DOT_OUTER: ... and at each depth a line is fetched that is wanted after */
    bool adds;    /* DOT_OUTER: to what y holds */
    bool paired;  /* DOT_OUTER: of two depths at a time, whose numbers alternate in w; width is 1 */
} dot_form;

/* Lines of their own: kernels read what was just written, which is slow across two lines. */
typedef struct dot_arguments {
    _Alignas(64) const float *x;
    const float *w;
    float *y;      /* DOT_TURN: the panel, (depth rounded up to whole vectors, step[DOT_Y_ROW]) */
    int64_t depth; /* in pairs, if paired */
    /* DOT_X_DEPTH is 1 for DOT_INNER. DOT_W: from one depth to the next (DOT_OUTER) or from one column
     * to the next (the others). */
    int64_t x_row, x_depth, w_step, y_row;
    int64_t
        columns; /* DOT_OUTER: of the last vector; DOT_TURN: of the panel, for the others none */
    const void *const *fetch; /* what is fetched, the last one again and again; at least one */
    int64_t last_fetch, fetch_offset; /* ... so many bytes on */
    int64_t first_fetch;              /* of block 0's first depth; each block goes on */
} dot_arguments;

/* Chains of sums that follow one another: they are added in a fixed tree, so it is part of the bits. */
int dot_chains(const dot_form *form);

/* The caller's (tw_string_free); NULL with the context's error when memory is out. */
char *dot_text(tw_context *context, const dot_form *form, const machine_target *target);

#endif
