/* Elementwise work: one expression over a box of elements, operands read by strides. */
#ifndef RUNTIME_SCALAR_H
#define RUNTIME_SCALAR_H

#include <thalweg/operator.h>

#include "base/context.h"

enum { SCALAR_BLOCK = 1024 };

/* Element strides of one operand over the result's axes. */
typedef struct scalar_strides {
    int64_t axis[TW_MAX_RANK];
} scalar_strides;

/* One expression, with axes that step alike in every operand merged into one. */
typedef struct scalar_loop {
    tw_scalar_kernel kernel;
    const tw_attr *attr;
    int n, rank;
    int64_t extent[TW_MAX_RANK];
    int64_t step[TW_SCALAR_OPERANDS][TW_MAX_RANK];
    size_t size[TW_SCALAR_OPERANDS], out_size;
    bool wide; /* the kernel is that of f32: f16 and bf16 are converted block by block */
    tw_dtype dtype[TW_SCALAR_OPERANDS], out_dtype;
} scalar_loop;

/* Strides of a dense operand; of one that is constant over the box, all 0. */
scalar_strides scalar_dense(tw_shape shape);
/* Fills `loop` for a result of `type`; known extents. */
void scalar_loop_start(scalar_loop *loop, const tw_signature *signature,
                       const scalar_strides *strides);
/*
 * Elements begin..end-1 of the result in row-major order; out points at element `begin`, in[k] at
 * the operand's element 0.
 */
void scalar_loop_run(const scalar_loop *loop, int64_t begin, int64_t end, void *out,
                     const void *const *in);
/* The whole result, on the context's threads. */
void scalar_run(tw_context *context, const scalar_loop *loop, int64_t elements, void *out,
                const void *const *in);

#endif
