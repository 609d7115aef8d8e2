/*
 * Windows over the spatial axes of x (batch, space..., channels): window_sum, and window_argmax,
 * which tells where in the plane the largest element of each window stands.
 */
#include <thalweg/operators.h>

#include "base/parallel.h"
#include "ops/batch.h"
#include "ops/families.h"
#include "ops/rules.h"

enum { WINDOW, STRIDE, LOW, HIGH, DILATION, ATTRS };

static const tw_attr_spec attributes[] = {
    {"window", TW_ATTR_INTS, NULL, NULL, "extents of the window"},
    {"stride", TW_ATTR_INTS, "[]", NULL, "its step per spatial axis; []: the window's extents"},
    {"low", TW_ATTR_INTS, "[]", NULL, "padding before the first element; []: 0"},
    {"high", TW_ATTR_INTS, "[]", NULL, "padding after the last element; []: 0"},
    {"dilation", TW_ATTR_INTS, "[]", NULL, "distance of the window's elements; []: 1"},
    {0},
};

static int64_t entry(const tw_attr *attr, int list, int axis) {
    if (attr[list].list.rank > 0) return attr[list].list.dim[axis];
    if (list == DILATION) return 1;
    return list == STRIDE ? attr[WINDOW].list.dim[axis] : 0;
}

/* How far a window reaches, from its first element to its last; TW_DIM_NONE when too far. */
static int64_t reach_of(const tw_attr *attr, int axis) {
    int64_t reach;
    bool none = __builtin_mul_overflow(entry(attr, WINDOW, axis) - 1, entry(attr, DILATION, axis),
                                       &reach) ||
                reach > INT64_MAX / 4;
    return none ? TW_DIM_NONE : reach + 1;
}

/* (in + low + high - reach) / stride + 1; `in` may be a handle. */
static int64_t out_extent(tw_context *context, const tw_attr *attr, int axis, int64_t in) {
    int64_t reach = reach_of(attr, axis), stride = entry(attr, STRIDE, axis);
    int64_t span = tw_dim_add(context, in, entry(attr, LOW, axis));
    span = tw_dim_add(context, span, entry(attr, HIGH, axis));
    if (span == TW_DIM_NONE || reach == TW_DIM_NONE) return TW_DIM_NONE;
    if (span >= 0) return span < reach ? 0 : (span - reach) / stride + 1;
    span = tw_dim_div(context, tw_dim_sub(context, span, reach), stride);
    return tw_dim_add(context, span, 1);
}

static tw_status infer(tw_signature *signature, tw_dtype dtype) {
    static const char *const names[] = {"window", "stride", "low", "high", "dilation"};
    const tw_attr *attr = signature->attr;
    tw_status status = rule_type(signature, 0, TYPES_FLOAT);
    if (!status) status = rule_rank(signature, 0, 3, 5);
    tw_shape shape = signature->operand[0].shape;
    for (int i = 0; i < ATTRS && !status; i++) {
        if (i != WINDOW && attr[i].list.rank == 0) continue;
        status = rule_list(signature, names[i], &attr[i].list, shape.rank - 2,
                           i <= STRIDE || i == DILATION);
    }
    if (status) return status;
    for (int i = 0; i < shape.rank - 2; i++) {
        shape.dim[i + 1] = out_extent(signature->context, attr, i, shape.dim[i + 1]);
        if (shape.dim[i + 1] != TW_DIM_NONE) continue;
        return tw_refuse(signature, TW_ERR_SHAPE,
                         "spatial axis %d has no extent in the result: it would have to be "
                         "rounded, or is too large; bind the symbol or use stride 1",
                         i);
    }
    return rule_result(signature, 0, dtype, shape);
}

static tw_status sum_infer(tw_signature *signature) {
    return infer(signature, signature->operand[0].dtype);
}

static tw_status argmax_infer(tw_signature *signature) {
    tw_status status = infer(signature, TW_I32);
    if (status) return status;
    tw_shape shape = signature->operand[0].shape;
    int64_t plane = tw_dim_product(signature->context, shape, 1, shape.rank - 1);
    if (plane <= INT32_MAX) return TW_OK;
    return tw_refuse(signature, TW_ERR_SHAPE, "%lld positions do not fit an i32 index",
                     (long long)plane);
}

/*
 * The transpose of a sum over windows: dy with stride - 1 zeros between its elements, padded so
 * that each element of x sees the windows that saw it, summed over windows of stride 1.
 */
static void sum_vjp(tw_graph *graph, tw_vjp *rule) {
    tw_value dy = rule->d_result[0];
    tw_shape x = rule->operand_type[0].shape, y = tw_shape_of(dy);
    tw_shape low = {.rank = x.rank}, high = low, interior = low, ones = {.rank = x.rank - 2};
    for (int i = 0; i < ones.rank; i++) {
        int64_t reach = reach_of(rule->attr, i), stride = entry(rule->attr, STRIDE, i);
        ones.dim[i] = 1;
        if (y.dim[i + 1] == 0) return; /* no window at all */
        low.dim[i + 1] = reach - 1 - entry(rule->attr, LOW, i);
        high.dim[i + 1] = reach - 1 - entry(rule->attr, HIGH, i);
        interior.dim[i + 1] = stride - 1;
        if (y.dim[i + 1] > 0) { /* what the last stride left over */
            int64_t span = (y.dim[i + 1] - 1) * stride + 1;
            high.dim[i + 1] = x.dim[i + 1] + reach - 1 - low.dim[i + 1] - span;
        }
    }
    tw_attr pad[] = {tw_attr_dims(low), tw_attr_dims(high), tw_attr_dims(interior)};
    tw_value zero = tw_full(graph, rule->operand_type[0].dtype, TW_SHAPE(), 0);
    tw_value spread = rule_apply2("pad", dy, zero, pad);
    tw_attr attr[ATTRS] = {rule->attr[WINDOW], tw_attr_dims(ones), rule_ints(0, NULL),
                           rule_ints(0, NULL), rule->attr[DILATION]};
    rule->d_operand[0] = rule_apply1("window_sum", spread, attr);
}

static int factors(const tw_signature *signature, tw_factor *out) {
    tw_shape x = signature->operand[0].shape, y = signature->result[0].shape;
    for (int axis = 0; axis < x.rank; axis++) {
        int i = axis - 1;
        bool halo = i >= 0 && axis < x.rank - 1;
        out[axis] = rule_factor(halo ? TW_FACTOR_HALO : TW_FACTOR_PASS, y.dim[axis]);
        out[axis].operand[0] = out[axis].result[0] = (int8_t)axis;
        if (!halo) continue;
        /* y at o sees x from o * stride - low to o * stride + high. */
        out[axis].low = entry(signature->attr, LOW, i);
        out[axis].high = reach_of(signature->attr, i) - 1 - out[axis].low;
        out[axis].stride = entry(signature->attr, STRIDE, i);
        out[axis].dilation = 1;
        out[axis].attr = (tw_factor_attr){.entry = (int8_t)i, .low = LOW + 1, .high = HIGH + 1};
    }
    return x.rank;
}

/* argmax numbers the positions of a whole plane, so that pieces of a plane would not do. */
static int argmax_factors(const tw_signature *signature, tw_factor *out) {
    int count = factors(signature, out);
    int n = count;
    for (int axis = 0; axis < count; axis++) {
        if (out[axis].kind != TW_FACTOR_HALO) continue;
        out[axis] = rule_factor(TW_FACTOR_REPLICATE, signature->operand[0].shape.dim[axis]);
        out[axis].operand[0] = (int8_t)axis;
        out[n] = rule_factor(TW_FACTOR_REPLICATE, signature->result[0].shape.dim[axis]);
        out[n++].result[0] = (int8_t)axis;
    }
    return n;
}

static void cost(const tw_signature *signature, tw_cost *out) {
    rule_cost_bytes(signature, out);
    out->flops = rule_elements(signature->result[0]);
    for (int i = 0; i < signature->operand[0].shape.rank - 2; i++)
        out->flops *= (double)entry(signature->attr, WINDOW, i);
}

/* A call as if there were three spatial axes; outer ones have extent 1. */
typedef struct plan {
    int64_t channels, in[3], out[3], window[3], stride[3], low[3], dilation[3];
    const void *x;
    void *y;
} plan;

static plan make_plan(const tw_kernel_call *call) {
    const tw_signature *s = &call->signature;
    tw_shape x = s->operand[0].shape, y = s->result[0].shape;
    plan p = {.channels = x.dim[x.rank - 1], .x = call->in[0], .y = call->out[0]};
    for (int i = 0; i < 3; i++) {
        int axis = i - (5 - x.rank);
        bool real = axis >= 0;
        p.in[i] = real ? x.dim[axis + 1] : 1;
        p.out[i] = real ? y.dim[axis + 1] : 1;
        p.window[i] = real ? entry(s->attr, WINDOW, axis) : 1;
        p.stride[i] = real ? entry(s->attr, STRIDE, axis) : 1;
        p.low[i] = real ? entry(s->attr, LOW, axis) : 0;
        p.dilation[i] = real ? entry(s->attr, DILATION, axis) : 1;
    }
    return p;
}

/* The part of x under window r: every dilation-th position from[] to before to[], of sample *n. */
static void under(const plan *p, int64_t r, int64_t from[3], int64_t to[3], int64_t *n) {
    for (int d = 2; d >= 0; d--) {
        int64_t step = p->dilation[d], start = r % p->out[d] * p->stride[d] - p->low[d];
        int64_t end = start + (p->window[d] - 1) * step + 1;
        r /= p->out[d];
        from[d] = start >= 0 ? start : start + (step - 1 - start) / step * step;
        to[d] = end < p->in[d] ? end : p->in[d];
    }
    *n = r;
}

/* One row of channels for each window; elements are added in row-major order. */
#define DEFINE_SUM(T)                                                                              \
    static void sum_##T(void *argument, int64_t begin, int64_t end) {                              \
        const plan *p = argument;                                                                  \
        const int64_t channels = p->channels;                                                      \
        for (int64_t r = begin; r < end; r++) {                                                    \
            T *restrict y = (T *)p->y + r * channels;                                              \
            int64_t from[3], to[3], n;                                                             \
            under(p, r, from, to, &n);                                                             \
            for (int64_t c = 0; c < channels; c++) y[c] = 0;                                       \
            for (int64_t i = from[0]; i < to[0]; i += p->dilation[0])                              \
                for (int64_t j = from[1]; j < to[1]; j += p->dilation[1])                          \
                    for (int64_t k = from[2]; k < to[2]; k += p->dilation[2]) {                    \
                        const int64_t at = ((n * p->in[0] + i) * p->in[1] + j) * p->in[2] + k;     \
                        const T *restrict x = (const T *)p->x + at * channels;                     \
                        for (int64_t c = 0; c < channels; c++) y[c] += x[c];                       \
                    }                                                                              \
        }                                                                                          \
    }

/* A NaN takes the place of any number, and nothing takes its. */
#define DEFINE_ARGMAX(T)                                                                           \
    static void argmax_##T(void *argument, int64_t begin, int64_t end) {                           \
        const plan *p = argument;                                                                  \
        const int64_t channels = p->channels, plane = p->in[0] * p->in[1] * p->in[2];              \
        for (int64_t r = begin; r < end; r++) {                                                    \
            int32_t *restrict y = (int32_t *)p->y + r * channels;                                  \
            int64_t from[3], to[3], n;                                                             \
            under(p, r, from, to, &n);                                                             \
            const T *restrict x = (const T *)p->x + n * plane * channels;                          \
            for (int64_t c = 0; c < channels; c++) y[c] = -1;                                      \
            for (int64_t i = from[0]; i < to[0]; i += p->dilation[0])                              \
                for (int64_t j = from[1]; j < to[1]; j += p->dilation[1])                          \
                    for (int64_t k = from[2]; k < to[2]; k += p->dilation[2]) {                    \
                        const int64_t at = (i * p->in[1] + j) * p->in[2] + k;                      \
                        for (int64_t c = 0; c < channels; c++) {                                   \
                            const T value = x[at * channels + c];                                  \
                            const T best = y[c] < 0 ? value : x[y[c] * channels + c];              \
                            if (y[c] < 0 || value > best || (value != value && best == best))      \
                                y[c] = (int32_t)at;                                                \
                        }                                                                          \
                    }                                                                              \
        }                                                                                          \
    }

DEFINE_SUM(float)
DEFINE_SUM(double)
DEFINE_ARGMAX(float)
DEFINE_ARGMAX(double)

static tw_status run(const tw_kernel_call *call, parallel_body f32, parallel_body f64) {
    const tw_signature *s = &call->signature;
    plan p = make_plan(call);
    int64_t rows = s->operand[0].shape.dim[0] * p.out[0] * p.out[1] * p.out[2];
    int64_t work = p.window[0] * p.window[1] * p.window[2] * (p.channels + 1);
    tw_parallel_for(s->context, rows, 1 + 16384 / work, s->operand[0].dtype == TW_F32 ? f32 : f64,
                    &p);
    return TW_OK;
}

static tw_status sum_kernel(const tw_kernel_call *call) { return run(call, sum_float, sum_double); }
static tw_status argmax_kernel(const tw_kernel_call *call) {
    return run(call, argmax_float, argmax_double);
}

static const tw_sample samples[] = {
    {.operands = "f64[2,5,4,3]", .attributes = "window=[2,2]", .distinct = true},
    {.operands = "f64[1,6,5,2]",
     .attributes = "window=[3,2], stride=[2,1], low=[1,0], high=[1,1]",
     .distinct = true},
    {.operands = "f64[2,7,2]", .attributes = "window=[2], stride=[3]", .distinct = true},
    {.operands = "f64[1,3,2,3,1]", .attributes = "window=[2,1,2]", .distinct = true},
    {.operands = "f64[2,7,2]",
     .attributes = "window=[3], stride=[1], dilation=[2], low=[3], high=[1]",
     .distinct = true},
    {.operands = "f64[1,6,5,2]",
     .attributes = "window=[2,3], stride=[2,1], dilation=[3,2], low=[0,2], high=[2,1]",
     .distinct = true},
    {.operands = "f64[1,4,3,5,2]",
     .attributes = "window=[2,2,2], stride=[1,2,1], dilation=[2,1,3], low=[1,1,0], high=[0,0,2]",
     .distinct = true},
    {.operands = "f64[1,3,1]",
     .attributes = "window=[2], stride=[2], low=[4], high=[5]",
     .distinct = true}, /* some windows see nothing but padding */
    {.operands = "f64[1,0,1]", .attributes = "window=[2], low=[1], high=[1]"},
    {.operands = "f64[1,1,1,1]", .attributes = "window=[1,1]"},
    {.operands = "f64[0,4,4,2]", .attributes = "window=[2,2]"},
    {.operands = "f64[1,2,1]", .attributes = "window=[3]"},
    {0},
};

static const tw_operator window_sum = {
    .name = "window_sum",
    .formula = "y[n, o, c] = sum over k in window of x[n, o * stride - low + k * dilation, c]",
    .semantics = "Padding counts as zero. A window larger than the padded input gives an empty "
                 "result. Elements are added in row-major order. Negative padding is refused.",
    .operands = "x",
    .results = "y",
    .attributes = attributes,
    .infer = sum_infer,
    .vjp = sum_vjp,
    .batch = batch_rows,
    .factors = factors,
    .cost = cost,
    .meaning = TW_MEANS_LOOPS,
    .kernel = sum_kernel,
    .samples = samples,
};

static const tw_operator window_argmax = {
    .name = "window_argmax",
    .formula = "y[n, o, c] = the index i in the flattened plane of the largest x[n, i, c] in the "
               "window at o * stride - low",
    .semantics = "The first of equals; the first NaN if there is one. Padding is never chosen: a "
                 "window with nothing else gives -1. Negative padding is refused.",
    .operands = "x",
    .results = "index",
    .attributes = attributes,
    .infer = argmax_infer,
    .no_vjp = "the result is an index",
    .batch = batch_rows,
    .factors = argmax_factors,
    .cost = cost,
    .meaning = TW_MEANS_LOOPS,
    .kernel = argmax_kernel,
    .samples = samples,
};

const tw_operator *const ops_window[] = {&window_sum, &window_argmax, NULL};

/* How many elements of x each window sees: (1, space..., 1), at least 1. */
static tw_value seen_by_window(tw_value x, const tw_attr *attr) {
    tw_type type = tw_type_of(x);
    type.shape.dim[0] = type.shape.dim[type.shape.rank - 1] = 1;
    tw_value ones = tw_full(x.graph, type.dtype, type.shape, 1);
    tw_value count = rule_apply1("window_sum", ones, attr);
    return tw_max(count, tw_literal(count, 1));
}

tw_value tw_average_pool(tw_value x, const tw_pool_opts *opts) {
    tw_graph *graph = rule_graph(1, &x);
    if (!rule_usable("tw_average_pool", 1, &x)) return rule_poison(graph);
    int axes = tw_shape_of(x).rank - 2;
    if (!opts || axes < 1 || axes > 3) {
        return rule_fail(graph, opts ? TW_ERR_SHAPE : TW_ERR_NULL,
                         "tw_average_pool: x of rank %d, expected (batch, space..., channels) with "
                         "1 to 3 spatial axes, and options with a window",
                         axes + 2);
    }
    tw_attr attr[ATTRS] = {rule_ints(axes, opts->window), rule_ints(axes, opts->stride),
                           rule_ints(axes, opts->low), rule_ints(axes, opts->high),
                           rule_ints(axes, opts->dilation)};
    double size = 1;
    bool padded = false, dilated = false;
    for (int i = 0; i < axes; i++) {
        size *= (double)opts->window[i];
        if (opts->stride[i] == 0) attr[STRIDE].list.dim[i] = opts->window[i];
        dilated |= opts->dilation[i] != 0;
        if (opts->dilation[i] == 0) attr[DILATION].list.dim[i] = 1;
        padded |= opts->low[i] != 0 || opts->high[i] != 0;
    }
    if (!padded) attr[LOW] = attr[HIGH] = rule_ints(0, NULL);
    if (!dilated) attr[DILATION] = rule_ints(0, NULL);
    tw_dtype dtype = tw_dtype_of(x);
    if (type_in(dtype, TYPES_HALF)) x = tw_cast(x, TW_F32); /* the sum may leave f16's range */
    tw_value y = rule_apply1("window_sum", x, attr);
    if (!tw_ok(y)) return y;
    if (padded && opts->exclude_padding)
        y = tw_div(y, seen_by_window(x, attr));
    else
        y = tw_scale(y, 1 / size);
    return tw_cast(y, dtype);
}
