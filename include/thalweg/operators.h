/*
 * The operators as functions over values. Axes may be negative: -1 is the last. Elementwise
 * functions of two operands broadcast as NumPy does; element types never change implicitly.
 * Every function gives a poisoned value on failure and keeps the graph's first error.
 */
#ifndef THALWEG_OPERATORS_H
#define THALWEG_OPERATORS_H

#include <thalweg/operator.h>

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
TW_API tw_value tw_not(tw_value x);   /* bool; integers by bit */
TW_API tw_value tw_square(tw_value x);
TW_API tw_value tw_scale(tw_value x, double factor);
TW_API tw_value tw_shift(tw_value x, double offset);
TW_API tw_value tw_relu(tw_value x);
TW_API tw_value tw_cast(tw_value x, tw_dtype dtype);
TW_API tw_value tw_stop_gradient(tw_value x);

/* Activations, elementwise on floats; tw_relu, tw_tanh and tw_sigmoid are above. */
TW_API tw_value tw_gelu(tw_value x);      /* x P(X <= x) for a normal X, by erf */
TW_API tw_value tw_gelu_tanh(tw_value x); /* its approximation by tanh, as in GPT-2 */
TW_API tw_value tw_silu(tw_value x);      /* x sigmoid(x); "swish" */
TW_API tw_value tw_softplus(tw_value x);  /* ln(1 + e^x), without overflow */
TW_API tw_value tw_mish(tw_value x);      /* x tanh(softplus(x)) */
TW_API tw_value tw_leaky_relu(tw_value x, double slope); /* x > 0 ? x : slope x */
TW_API tw_value tw_elu(tw_value x, double alpha);        /* x > 0 ? x : alpha (e^x - 1) */
TW_API tw_value tw_selu(tw_value x);         /* elu and a scale: Klambauer et al. 2017 */
TW_API tw_value tw_relu6(tw_value x);        /* x clipped to [0, 6] */
TW_API tw_value tw_hard_tanh(tw_value x);    /* x clipped to [-1, 1] */
TW_API tw_value tw_hard_sigmoid(tw_value x); /* x / 6 + 1/2 clipped to [0, 1] */
TW_API tw_value tw_hard_swish(tw_value x);   /* x hard_sigmoid(x) */

/* Elementwise, two operands of one type, or three. */
TW_API tw_value tw_add(tw_value a, tw_value b);
TW_API tw_value tw_sub(tw_value a, tw_value b);
TW_API tw_value tw_mul(tw_value a, tw_value b);
TW_API tw_value tw_div(tw_value a, tw_value b);
TW_API tw_value tw_max(tw_value a, tw_value b);
TW_API tw_value tw_min(tw_value a, tw_value b);
TW_API tw_value tw_pow(tw_value a, tw_value b);
TW_API tw_value tw_rem(tw_value a, tw_value b);   /* the sign of a, as C's fmod and % */
TW_API tw_value tw_atan2(tw_value a, tw_value b); /* the angle of the point (b, a) */
TW_API tw_value tw_and(tw_value a, tw_value b);   /* bool; integers by bit */
TW_API tw_value tw_or(tw_value a, tw_value b);    /* bool; integers by bit */
TW_API tw_value tw_xor(tw_value a, tw_value b);   /* bool; integers by bit */
/* min(max(x, low), high): `high` where low > high. Any number type; tw_clamp_to takes values. */
TW_API tw_value tw_clamp(tw_value x, double low, double high);
TW_API tw_value tw_clamp_to(tw_value x, tw_value low, tw_value high);
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
/* The elements start, start + step, .. of an axis before `stop`, as Python's x[start:stop:step]:
 * step is negative for backwards; negative start and stop count from the end, and both are cut to
 * the axis; stop = TW_TO_END is past the last element that way. The extent must be a number. */
#define TW_TO_END INT64_MAX
TW_API tw_value tw_slice_step(tw_value x, int axis, int64_t start, int64_t stop, int64_t step);

/* A box of `sizes` at a place known when the program runs: `start` is i32 or i64 (rank), and is
 * moved so that the box lies inside x: below 0 is 0. The update is what takes the box's place. */
TW_API tw_value tw_dynamic_slice(tw_value x, tw_value start, tw_shape sizes);
TW_API tw_value tw_dynamic_update_slice(tw_value x, tw_value update, tw_value start);

/* Reductions. Without an axis: to a scalar; the others drop the axes, or keep them as 1. Of
 * nothing: sum 0, prod 1, max the least number (-infinity), min the greatest. NaN wins. */
/* Over n axes at once, each at most once; n = 0 gives x. Of bool, TW_MAX is "any", TW_MIN "all". */
TW_API tw_value tw_reduce(tw_reduction how, tw_value x, int n, const int *axes, bool keep);
TW_API tw_value tw_any(tw_value x, int axis, bool keep); /* bool */
TW_API tw_value tw_all(tw_value x, int axis, bool keep); /* bool */
TW_API tw_value tw_sum(tw_value x);                      /* of all elements */
TW_API tw_value tw_sum_axis(tw_value x, int axis, bool keep);
/* All elements of f16 or bf16 in f32 or f64: the sum before it is rounded to x's type. */
TW_API tw_value tw_sum_as(tw_value x, tw_dtype result);
TW_API tw_value tw_max_axis(tw_value x, int axis, bool keep);
TW_API tw_value tw_min_axis(tw_value x, int axis, bool keep);
TW_API tw_value tw_prod_axis(tw_value x, int axis, bool keep);
TW_API tw_value tw_mean(tw_value x); /* a loss: sum and number of elements */
TW_API tw_value tw_mean_axis(tw_value x, int axis, bool keep);
TW_API tw_value tw_argmax(tw_value x, int axis); /* i32; the first of equals */
TW_API tw_value tw_argmin(tw_value x, int axis); /* i32; the first of equals */

/* y[i] = all of x[0..i] along the axis, combined; the axis stays. Options: from the end instead,
 * and without x[i] itself (then the first is that of nothing). */
typedef struct tw_cumulative_opts {
    bool reverse, exclusive;
    void *reserved_[4];
} tw_cumulative_opts;
TW_API tw_value tw_cumulative(tw_reduction how, tw_value x, int axis,
                              const tw_cumulative_opts *opts);
TW_API tw_value tw_cumulative_sum(tw_value x, int axis);
TW_API tw_value tw_cumulative_prod(tw_value x, int axis);

/* Stable: equals keep their order. NaN is last both ways. *index (i32, may be NULL) gets where
 * each element of the result stood along the axis. tw_argsort gives that alone. */
TW_API tw_value tw_sort(tw_value x, int axis, bool descending, tw_value *index);
TW_API tw_value tw_argsort(tw_value x, int axis, bool descending);
/* The k greatest along the last axis, greatest first: the first k of a descending sort. */
TW_API tw_value tw_top_k(tw_value x, int64_t k, tw_value *index);

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

/*
 * The transpose of a convolution: x (batch, space..., in), w (space..., out/groups, in) ->
 * (batch, space..., out), each spatial extent
 *     (in - 1) stride + (window - 1) dilation + 1 - low - high + output_padding.
 * Zero or NULL: stride 1, dilation 1, groups 1, no padding. Dumoulin & Visin 2016, ch. 4.
 */
typedef struct tw_conv_transpose_opts {
    int64_t stride[3], low[3], high[3]; /* low, high: elements of the result that are cut off */
    int64_t dilation[3];
    int64_t output_padding[3]; /* further elements after the last; less than the stride */
    int64_t groups;
    bool same; /* out = in * stride; low, high and output_padding are ignored */
    void *reserved_[4];
} tw_conv_transpose_opts;
TW_API tw_value tw_conv_transpose(tw_value x, tw_value w, const tw_conv_transpose_opts *opts);

/* Windows over the spatial axes of x (batch, space..., channels). */
typedef struct tw_pool_opts {
    int64_t window[3], stride[3]; /* stride 0: the window */
    int64_t low[3], high[3];
    bool exclude_padding; /* tw_average_pool: divide by the window's elements that are in x */
    int64_t dilation[3];  /* distance of the window's elements; 0: 1 */
    void *reserved_[4];
} tw_pool_opts;
TW_API tw_value tw_max_pool(tw_value x, const tw_pool_opts *opts);
/* Padding counts as zero unless excluded; a window of nothing but padding gives 0. */
TW_API tw_value tw_average_pool(tw_value x, const tw_pool_opts *opts);
/* Over all spatial axes, of any number: -> (batch, channels). Equal maxima share the gradient. */
TW_API tw_value tw_global_average_pool(tw_value x);
TW_API tw_value tw_global_max_pool(tw_value x);
/* To extent[i] regions on spatial axis i of 1 to 3: region k is floor(k in / out) up to, not with,
 * ceil((k + 1) in / out), as PyTorch has it. Spatial extents must be numbers. */
TW_API tw_value tw_adaptive_average_pool(tw_value x, const int64_t *extent);
TW_API tw_value tw_adaptive_max_pool(tw_value x, const int64_t *extent);

/* Resizing of the spatial axes of x (batch, space..., channels) to extent[i] elements; spatial
 * extents must be numbers. Nearest, 1 to 3 axes: element i is that of floor(i in / out). */
TW_API tw_value tw_resize_nearest(tw_value x, const int64_t *extent);
/* x (batch, height, width, channels). Element i lies at (i + 1/2) in / out - 1/2, not below 0; with
 * align_corners at i (in - 1) / (out - 1), so that the first and last elements stay in place. */
TW_API tw_value tw_resize_bilinear(tw_value x, const int64_t *extent, bool align_corners);

/* Indexing. i32 or i64 indices; a negative one gives zeros, one past the end TW_ERR_INDEX. */
TW_API tw_value tw_take(tw_value table, tw_value indices);             /* rows of axis 0 */
TW_API tw_value tw_take_along(tw_value x, tw_value indices, int axis); /* other axes equal */
/* base with updates added at rows `indices` of axis 0. */
TW_API tw_value tw_scatter_add(tw_value base, tw_value indices, tw_value updates);
/* ... with the greater of both there; ... with the update there, of several the last. */
TW_API tw_value tw_scatter_max(tw_value base, tw_value indices, tw_value updates);
TW_API tw_value tw_scatter_set(tw_value base, tw_value indices, tw_value updates);
TW_API tw_value tw_iota(tw_graph *graph, tw_dtype dtype, tw_shape shape, int axis);
TW_API tw_value tw_one_hot(tw_value indices, int64_t classes, tw_dtype dtype);

/* Random numbers: keyed by (store seed, scope path, count in scope), counted by (run, element). */
TW_API tw_value tw_random_bits(tw_graph *graph, tw_shape shape);                    /* u32 */
TW_API tw_value tw_random_uniform(tw_graph *graph, tw_dtype dtype, tw_shape shape); /* [0, 1) */

/* Softmax family, over the last axis. */
TW_API tw_value tw_softmax(tw_value x);
TW_API tw_value tw_log_softmax(tw_value x);
TW_API tw_value tw_softmax_axis(tw_value x, int axis);
TW_API tw_value tw_log_softmax_axis(tw_value x, int axis);
/* log(sum(exp(x))) along the axis, without overflow; -inf of nothing, and where every x is -inf;
 * +inf where one is. NaN gives NaN. */
TW_API tw_value tw_logsumexp(tw_value x, int axis, bool keep);

/*
 * Attention (Vaswani et al. 2017, equation 1): softmax(q k^T scale) v. q (batch, time, heads,
 * width), k and v (batch, source, kv_heads, width) -> (batch, time, heads, width). heads is a
 * multiple of kv_heads: head h reads the keys and values of kv head h / (heads / kv_heads)
 * (grouped queries, Ainslie et al. 2023). A query that may attend to no key gives zeros.
 */
typedef struct tw_attention_opts {
    /* Query t attends to keys 0..t only. Counted from the start, as in PyTorch, also where time
     * and source differ. */
    bool causal;
    double scale;  /* of the scores; 0: 1 / sqrt(width) */
    tw_value mask; /* bool, true: may attend; broadcasts to (batch, heads, time, source) */
    void *reserved_[4];
} tw_attention_opts;
TW_API tw_value tw_attention(tw_value q, tw_value k, tw_value v, const tw_attention_opts *opts);

/*
 * Rotary positions (Su et al. 2021, RoFormer, equation 34): pair i of the last axis turns by the
 * angle position * base^(-2 i / width). x (batch, time, heads, width), width even; positions
 * (time) or (batch, time) integers, or absent: 0, 1, .. The pair i is elements i and i + width / 2,
 * or with `interleaved` 2 i and 2 i + 1. Angles are of x's type.
 */
typedef struct tw_rotary_opts {
    double base; /* 0: 10000 */
    bool interleaved;
    void *reserved_[4];
} tw_rotary_opts;
TW_API tw_value tw_rotary(tw_value x, tw_value positions, const tw_rotary_opts *opts);

/*
 * Gated linear units (Dauphin et al. 2017; Shazeer 2020): the last axis, of even extent, is (a, b)
 * in halves. glu a * sigmoid(b), geglu a * gelu(b) with the exact gelu, swiglu a * silu(b), reglu
 * a * relu(b). Mind the order: it is PyTorch's glu; Shazeer activates the first factor.
 */
TW_API tw_value tw_glu(tw_value x);
TW_API tw_value tw_geglu(tw_value x);
TW_API tw_value tw_swiglu(tw_value x);
TW_API tw_value tw_reglu(tw_value x);

/*
 * Einstein's summation: "ij,jk->ik". Letters a-z and A-Z are axes, spaces are left out; a letter
 * that the result lacks is summed over. Without "->" the result has the letters that come up once,
 * in alphabetical order (capitals first), as in NumPy. A letter twice in one operand takes the
 * diagonal. "..." is refused. Operands are contracted in pairs from left to right by tw_dot.
 * 1 to 16 operands of one float type, extents of a letter equal; 1 does not stretch.
 */
TW_API tw_value tw_einsum(const char *equation, int n, const tw_value *x);

/* Statistics and norms along one axis. The variance divides by extent - correction: 0 gives the
 * biased one, 1 the unbiased one. The deviation's gradient is 0 where the variance is 0. */
TW_API tw_value tw_variance_axis(tw_value x, int axis, double correction, bool keep);
TW_API tw_value tw_standard_deviation_axis(tw_value x, int axis, double correction, bool keep);
/* p is 1, 2 or INFINITY. Where all of x is 0 the gradient is 0; equal greatest share it. */
TW_API tw_value tw_norm(tw_value x, double p, int axis, bool keep);
/* x / max(norm, epsilon); epsilon 0: 1e-12. */
TW_API tw_value tw_normalize(tw_value x, double p, int axis, double epsilon);
/* x * min(1, limit / norm) with the 2-norm of all elements; x = 0 stays 0. limit > 0. */
TW_API tw_value tw_clip_by_norm(tw_value x, double limit);
/* a . b / (max(|a|, epsilon) max(|b|, epsilon)), the axis dropped; epsilon 0: 1e-8. The shapes
 * broadcast. */
TW_API tw_value tw_cosine_similarity(tw_value a, tw_value b, int axis, double epsilon);

#ifdef __cplusplus
}
#endif
#endif
