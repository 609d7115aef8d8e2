/*
 * oneDNN behind a narrow seam: primitives of f32 matrix products and convolutions, and of bf16
 * matrix products with f32 sums and results, cached in the
 * context by shapes and threads. Only onednn.c includes dnnl.h, so that a change of its interface
 * touches one file.
 */
#ifndef CODEGEN_ONEDNN_ONEDNN_H
#define CODEGEN_ONEDNN_ONEDNN_H

#include <thalweg/operator.h>

#include "codegen/conv_finish.h"
#include "ops/conv.h"
#include "ops/product.h"

/* What the overrides take of scratch memory; TW_ERR_UNSUPPORTED, without a message, where they
 * decline the call. */
tw_status onednn_dot_workspace(const tw_signature *signature, size_t *bytes);
tw_status onednn_conv_workspace(const tw_signature *signature, size_t *bytes);
tw_status onednn_conv_input_grad_workspace(const tw_signature *signature, size_t *bytes);
tw_status onednn_conv_weight_grad_workspace(const tw_signature *signature, size_t *bytes);

/* The overrides. Each declines (TW_ERR_UNSUPPORTED) what it does not serve, but for conv_bias. */
tw_status onednn_dot(const tw_kernel_call *call);
tw_status onednn_conv(const tw_kernel_call *call);
tw_status onednn_conv_input_grad(const tw_kernel_call *call);
tw_status onednn_conv_weight_grad(const tw_kernel_call *call);
tw_status onednn_conv_bias(const tw_kernel_call *call);

/*
 * conv, conv_bias or conv_input_grad of f32, of which each sample is finished and none is kept. Where a number is
 * not finite samples may be finished twice, with other numbers first. TW_ERR_UNSUPPORTED, without a message,
 * where it can't be done so.
 */
tw_status onednn_conv_finished(const tw_kernel_call *call, const conv_finish *finish);
tw_status onednn_conv_finished_workspace(const tw_signature *signature, size_t *bytes);

typedef enum onednn_kind {
    ONEDNN_MATMUL = 1,
    ONEDNN_CONV,
    ONEDNN_CONV_INPUT_GRAD,
    ONEDNN_CONV_WEIGHT_GRAD
} onednn_kind;

/* What a primitive is made for; to be zeroed first, as it is compared byte by byte. */
typedef struct onednn_key {
    onednn_kind kind;
    int threads;
    bool bias;
    bool bf16; /* the operands; the result and the bias are f32 */
    conv_geometry conv;
    matrix_product matmul;
} onednn_key;

/* Threads of a primitive that runs by itself; those within tw_parallel_for have one. */
int onednn_threads(const tw_context *context);

typedef struct onednn_primitive onednn_primitive;
/* From the cache, or made, with `slots` sets of arguments at least. TW_ERR_UNSUPPORTED, without a
 * message, where the library has nothing better than plain loops. One of several threads takes the context over to
 * OpenMP (base/parallel.h). */
tw_status onednn_get(tw_context *context, const onednn_key *key, int slots, onednn_primitive **out);

/* Forgets all primitives if there are many; before a call, as it ends what onednn_get gave. */
void onednn_trim(tw_context *context);

/* Whether both take w in the same order. */
bool onednn_same_order(const onednn_primitive *a, const onednn_primitive *b);
/* Floats that w takes as the primitive wants it, and bytes of memory that one execution needs. */
size_t onednn_packed_elements(const onednn_primitive *primitive);
size_t onednn_scratch_bytes(const onednn_primitive *primitive);
size_t onednn_reorder_bytes(
    const onednn_primitive *primitive); /* ... one onednn_pack, or _unpack */
/* From (space, in, out) to the primitive's order, or back for ONEDNN_CONV_WEIGHT_GRAD. */
tw_status onednn_pack(tw_context *context, onednn_primitive *primitive, const void *w,
                      float *packed);
tw_status onednn_unpack(tw_context *context, onednn_primitive *primitive, const float *packed,
                        float *w);

/* Which of x, w, y is the result follows from the kind. Different slots may run at one time. */
typedef struct onednn_arrays {
    const void *x, *w, *y, *bias;
    void *scratch;
} onednn_arrays;
tw_status onednn_run(onednn_primitive *primitive, int slot, const onednn_arrays *arrays);

/* Adds arrays of `elements` floats that follow one another, elements begin..end-1 of them, in a
 * fixed binary tree; the sum is left in the first. */
void onednn_add_tree(float *arrays, int count, size_t elements, int64_t begin, int64_t end);

/* Where a call's f32 result goes: to the call's memory, or aside if it is bf16 there, until
 * onednn_finish rounds it. NULL when memory is out. */
void *onednn_result(const tw_kernel_call *call);
void onednn_finish(const tw_kernel_call *call, const void *result);
size_t onednn_result_bytes(const tw_signature *signature); /* ... of scratch */

#endif
