/*
 * The operators as functions over values. Axes may be negative: -1 is the last. Elementwise
 * functions of two operands broadcast as NumPy does; element types never change implicitly.
 * Every function gives a poisoned value on failure and keeps the graph's first error.
 */
#ifndef THALWEG_OPERATORS_H
#define THALWEG_OPERATORS_H

#include <thalweg/graph.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Elementwise, one operand. Floats unless said otherwise. */
TW_API tw_value tw_neg(tw_value x);
TW_API tw_value tw_abs(tw_value x);
TW_API tw_value tw_sign(tw_value x);
TW_API tw_value tw_exp(tw_value x);
TW_API tw_value tw_expm1(tw_value x); /* e^x - 1, exact near 0 */
TW_API tw_value tw_log(tw_value x);
TW_API tw_value tw_log1p(tw_value x); /* ln(1 + x), exact near 0 */
TW_API tw_value tw_sqrt(tw_value x);
TW_API tw_value tw_rsqrt(tw_value x);
TW_API tw_value tw_sin(tw_value x);
TW_API tw_value tw_cos(tw_value x);
TW_API tw_value tw_tanh(tw_value x);
TW_API tw_value tw_sigmoid(tw_value x); /* the operator `logistic` */
TW_API tw_value tw_erf(tw_value x);
TW_API tw_value tw_floor(tw_value x);
TW_API tw_value tw_ceil(tw_value x);
TW_API tw_value tw_round(tw_value x); /* halves to the even integer */
TW_API tw_value tw_not(tw_value x);   /* bool */
TW_API tw_value tw_square(tw_value x);
TW_API tw_value tw_scale(tw_value x, double factor);
TW_API tw_value tw_shift(tw_value x, double offset);
TW_API tw_value tw_relu(tw_value x);
TW_API tw_value tw_cast(tw_value x, tw_dtype dtype);
TW_API tw_value tw_stop_gradient(tw_value x);

/* Elementwise, two operands of one type, or three. */
TW_API tw_value tw_add(tw_value a, tw_value b);
TW_API tw_value tw_sub(tw_value a, tw_value b);
TW_API tw_value tw_mul(tw_value a, tw_value b);
TW_API tw_value tw_div(tw_value a, tw_value b);
TW_API tw_value tw_max(tw_value a, tw_value b);
TW_API tw_value tw_min(tw_value a, tw_value b);
TW_API tw_value tw_pow(tw_value a, tw_value b);
TW_API tw_value tw_and(tw_value a, tw_value b); /* bool */
TW_API tw_value tw_or(tw_value a, tw_value b);  /* bool */
typedef enum tw_comparison { TW_EQ = 1, TW_NE, TW_LT, TW_LE, TW_GT, TW_GE } tw_comparison;
TW_API tw_value tw_compare(tw_comparison how, tw_value a, tw_value b); /* gives bool */
TW_API tw_value tw_select(tw_value where, tw_value yes, tw_value no);

/* Movement. */
TW_API tw_value tw_reshape(tw_value x, tw_shape shape); /* one extent may be TW_DIM_INFER */
#define TW_DIM_INFER (INT64_MIN + 1)
TW_API tw_value tw_transpose(tw_value x);                 /* the last two axes */
TW_API tw_value tw_permute(tw_value x, const int *axes);  /* result axis i is axes[i] */
TW_API tw_value tw_broadcast(tw_value x, tw_shape shape); /* as NumPy: right-aligned */
TW_API tw_value tw_slice(tw_value x, int axis, int64_t start, int64_t size);
TW_API tw_value tw_pad(tw_value x, int axis, int64_t low, int64_t high, double value);
TW_API tw_value tw_concat(int axis, int n, const tw_value *x);
TW_API void tw_split(tw_value x, int axis, int n, tw_value *parts); /* n equal parts */
TW_API tw_value tw_reverse(tw_value x, int axis);

/* Reductions. _all reduce to a scalar; the others drop the axis, or keep it as 1. */
TW_API tw_value tw_sum(tw_value x); /* of all elements */
TW_API tw_value tw_sum_axis(tw_value x, int axis, bool keep);
/* All elements of f16 or bf16 in f32 or f64: the sum before it is rounded to x's type. */
TW_API tw_value tw_sum_as(tw_value x, tw_dtype result);
TW_API tw_value tw_max_axis(tw_value x, int axis, bool keep);
TW_API tw_value tw_min_axis(tw_value x, int axis, bool keep);
TW_API tw_value tw_mean(tw_value x); /* a loss: sum and number of elements */
TW_API tw_value tw_mean_axis(tw_value x, int axis, bool keep);
TW_API tw_value tw_argmax(tw_value x, int axis); /* i32; the first of equals */

/* Contraction: (..., m, k) x (..., k, n) -> (..., m, n); leading axes equal, or absent in one. */
TW_API tw_value tw_matmul(tw_value a, tw_value b);
/* `result`: the result's element type. Sums of f16 and bf16 are in f32; TW_F32 gives them unrounded.
 * Gradients are of the operands' type. */
TW_API tw_value tw_matmul_as(tw_value a, tw_value b, tw_dtype result);
/* General: batch and contracting axes of each side in pairs; the result is batch axes, then a's
 * free axes, then b's. */
TW_API tw_value tw_dot(tw_value a, tw_value b, int n_batch, const int *batch_a, const int *batch_b,
                       int n_contract, const int *contract_a, const int *contract_b);
TW_API tw_value tw_dot_as(tw_value a, tw_value b, int n_batch, const int *batch_a,
                          const int *batch_b, int n_contract, const int *contract_a,
                          const int *contract_b, tw_dtype result);

/* Convolution, channels last: x (batch, space..., in), w (space..., in/groups, out), 1 to 3
 * spatial axes. Zero or NULL: stride 1, dilations 1, groups 1, no padding. */
typedef struct tw_conv_opts {
    int64_t stride[3], low[3], high[3]; /* low, high: padding before and after */
    int64_t dilation[3];                /* of the window */
    int64_t base_dilation[3];           /* of the input */
    int64_t groups;
    bool same;       /* pad so that out = ceil(in / stride); low and high are ignored */
    bool relu;       /* only in layers with an activation: tw_conv_bias */
    tw_dtype result; /* 0: x's type; TW_F32 for f16 and bf16, whose sums are f32; also the bias's */
    void *reserved_[4];
} tw_conv_opts;
TW_API tw_value tw_conv(tw_value x, tw_value w, const tw_conv_opts *opts);
/* conv + bias (out) + activation as one composite. */
TW_API tw_value tw_conv_bias(tw_value x, tw_value w, tw_value bias, const tw_conv_opts *opts);

/* Windows over the spatial axes of x (batch, space..., channels). */
typedef struct tw_pool_opts {
    int64_t window[3], stride[3]; /* stride 0: the window */
    int64_t low[3], high[3];
    void *reserved_[4];
} tw_pool_opts;
TW_API tw_value tw_max_pool(tw_value x, const tw_pool_opts *opts);
TW_API tw_value tw_average_pool(tw_value x, const tw_pool_opts *opts); /* padding counts as zero */

/* Indexing. i32 or i64 indices; a negative one gives zeros, one past the end TW_ERR_INDEX. */
TW_API tw_value tw_take(tw_value table, tw_value indices);             /* rows of axis 0 */
TW_API tw_value tw_take_along(tw_value x, tw_value indices, int axis); /* other axes equal */
/* base with updates added at rows `indices` of axis 0. */
TW_API tw_value tw_scatter_add(tw_value base, tw_value indices, tw_value updates);
TW_API tw_value tw_iota(tw_graph *graph, tw_dtype dtype, tw_shape shape, int axis);
TW_API tw_value tw_one_hot(tw_value indices, int64_t classes, tw_dtype dtype);

/* Random numbers: keyed by (store seed, scope path, count in scope), counted by (run, element). */
TW_API tw_value tw_random_bits(tw_graph *graph, tw_shape shape);                    /* u32 */
TW_API tw_value tw_random_uniform(tw_graph *graph, tw_dtype dtype, tw_shape shape); /* [0, 1) */

/* Softmax family, over the last axis. */
TW_API tw_value tw_softmax(tw_value x);
TW_API tw_value tw_log_softmax(tw_value x);

#ifdef __cplusplus
}
#endif
#endif
