/*
 * conv and its two gradients: one trilinear form (conv.h), so that the gradients of each are the
 * other two. The plain kernels are loops in fixed order, parallel over elements of the result.
 */
#include "ops/conv.h"

#include <string.h>

#include "base/parallel.h"
#include "ops/families.h"
#include "ops/rules.h"

static const tw_attr_spec conv_specs[] = {CONV_ATTR_SPECS, {0}};
static const tw_attr_spec input_grad_specs[] = {
    CONV_ATTR_SPECS, {"space", TW_ATTR_DIMS, NULL, NULL, "spatial extents of x"}, {0}};
static const tw_attr_spec weight_grad_specs[] = {
    CONV_ATTR_SPECS, {"window", TW_ATTR_DIMS, NULL, NULL, "spatial extents of w"}, {0}};

static int64_t entry(const tw_attr *attr, int axis, int64_t fallback) {
    return attr->list.rank == 0 ? fallback : attr->list.dim[axis];
}

/* Extent of y for extent `in` of x, which may be a handle; TW_DIM_NONE when there is none. */
static int64_t out_extent(tw_context *context, const tw_attr *attr, int axis, int64_t in,
                          int64_t window) {
    int64_t stride = entry(&attr[CONV_STRIDE], axis, 1);
    int64_t base = entry(&attr[CONV_BASE_DILATION], axis, 1);
    int64_t reach = tw_dim_mul(context, window - 1, entry(&attr[CONV_DILATION], axis, 1));
    int64_t span = 0; /* of the dilated and padded input, less 1 */
    reach = tw_dim_add(context, reach, 1);
    if (in != 0) {
        span = tw_dim_mul(context, in, base);
        span = tw_dim_sub(context, tw_dim_add(context, span, 1), base);
    }
    span = tw_dim_add(context, span, entry(&attr[CONV_LOW], axis, 0));
    span = tw_dim_add(context, span, entry(&attr[CONV_HIGH], axis, 0));
    if (span == TW_DIM_NONE || reach == TW_DIM_NONE) return TW_DIM_NONE;
    if (span >= 0) return span < reach ? 0 : (span - reach) / stride + 1;
    span = tw_dim_div(context, tw_dim_sub(context, span, reach), stride);
    return tw_dim_add(context, span, 1);
}

static tw_status check_attributes(const tw_signature *signature, int axes) {
    static const struct {
        const char *name;
        int64_t least;
    } list[] = {[CONV_STRIDE] = {"stride", 1},
                [CONV_LOW] = {"low", 0},
                [CONV_HIGH] = {"high", 0},
                [CONV_DILATION] = {"dilation", 1},
                [CONV_BASE_DILATION] = {"base_dilation", 1}};
    for (int i = CONV_STRIDE; i <= CONV_BASE_DILATION; i++) {
        const tw_shape *given = &signature->attr[i].list;
        if (given->rank == 0) continue;
        tw_status status = rule_list(signature, list[i].name, given, axes, list[i].least);
        if (status) return status;
    }
    if (signature->attr[CONV_GROUPS].i >= 1) return TW_OK;
    return tw_refuse(signature, TW_ERR_ARGUMENT, "groups is %lld, expected at least 1",
                     (long long)signature->attr[CONV_GROUPS].i);
}

/* Ranks and types of the two operands, attributes; gives the number of spatial axes. */
static tw_status check_operands(const tw_signature *signature, int *axes) {
    tw_status status = rule_type(signature, 0, TYPES_FLOAT);
    if (!status) status = rule_same_dtype(signature, 0, 1);
    if (!status) status = rule_rank(signature, 0, 3, 5);
    int rank = signature->operand[0].shape.rank;
    if (!status) status = rule_rank(signature, 1, rank, rank);
    *axes = rank - 2;
    return status ? status : check_attributes(signature, rank - 2);
}

/* x, w and y fit: channels, groups, and y's spatial extents (computed here if `fill`). */
static tw_status check_fit(const tw_signature *signature, tw_shape x, tw_shape w, tw_shape *y,
                           bool fill) {
    tw_context *context = signature->context;
    int axes = x.rank - 2;
    int64_t groups = signature->attr[CONV_GROUPS].i;
    if (tw_dim_mul(context, w.dim[axes], groups) != x.dim[axes + 1]) {
        return tw_refuse(signature, TW_ERR_SHAPE,
                         "x has %lld channels and w takes %lld in each of %lld groups",
                         (long long)x.dim[axes + 1], (long long)w.dim[axes], (long long)groups);
    }
    if (tw_dim_div(context, w.dim[axes + 1], groups) == TW_DIM_NONE) {
        return tw_refuse(signature, TW_ERR_SHAPE, "%lld groups do not divide %lld output channels",
                         (long long)groups, (long long)w.dim[axes + 1]);
    }
    for (int i = 0; i < axes; i++) {
        if (w.dim[i] < 1) {
            return tw_refuse(signature, TW_ERR_SHAPE,
                             "the window's axis %d is not a number of at least 1", i);
        }
        int64_t out = out_extent(context, signature->attr, i, x.dim[i + 1], w.dim[i]);
        if (out == TW_DIM_NONE) {
            return tw_refuse(signature, TW_ERR_SHAPE,
                             "spatial axis %d has no extent in the result: it would have to "
                             "be rounded, or is too large; bind the symbol or use stride 1",
                             i);
        }
        if (fill) y->dim[i + 1] = out;
        if (y->dim[i + 1] == out) continue;
        return tw_refuse(signature, TW_ERR_SHAPE,
                         "dy has extent %lld at spatial axis %d, expected %lld",
                         (long long)y->dim[i + 1], i, (long long)out);
    }
    return TW_OK;
}

static tw_status set_result(tw_signature *signature, tw_shape shape) {
    tw_dtype dtype;
    tw_status status = rule_result_dtype(signature, &signature->attr[CONV_RESULT], &dtype);
    return status ? status : rule_result(signature, 0, dtype, shape);
}

static tw_status conv_infer(tw_signature *signature) {
    int axes;
    tw_status status = check_operands(signature, &axes);
    if (status) return status;
    tw_shape x = signature->operand[0].shape, w = signature->operand[1].shape, y = x;
    y.dim[axes + 1] = w.dim[axes + 1];
    status = check_fit(signature, x, w, &y, true);
    return status ? status : set_result(signature, y);
}

static tw_status input_grad_infer(tw_signature *signature) {
    int axes;
    const tw_attr *attr = signature->attr;
    tw_status status = check_operands(signature, &axes);
    const tw_shape *space = &attr[CONV_MORE].list;
    if (!status && space->rank != axes) status = rule_list(signature, "space", space, axes, 0);
    if (status) return status;
    tw_shape y = signature->operand[0].shape, w = signature->operand[1].shape, x = y;
    for (int i = 0; i < axes; i++) x.dim[i + 1] = space->dim[i];
    x.dim[axes + 1] = tw_dim_mul(signature->context, w.dim[axes], attr[CONV_GROUPS].i);
    if (y.dim[axes + 1] != w.dim[axes + 1]) {
        return tw_refuse(signature, TW_ERR_SHAPE, "dy has %lld channels and w gives %lld",
                         (long long)y.dim[axes + 1], (long long)w.dim[axes + 1]);
    }
    status = check_fit(signature, x, w, &y, false);
    return status ? status : set_result(signature, x);
}

static tw_status weight_grad_infer(tw_signature *signature) {
    int axes;
    const tw_attr *attr = signature->attr;
    tw_status status = check_operands(signature, &axes);
    if (!status) status = rule_list(signature, "window", &attr[CONV_MORE].list, axes, 1);
    if (status) return status;
    tw_shape x = signature->operand[0].shape, y = signature->operand[1].shape, w = x;
    for (int i = 0; i < axes; i++) w.dim[i] = attr[CONV_MORE].list.dim[i];
    w.dim[axes] = tw_dim_div(signature->context, x.dim[axes + 1], attr[CONV_GROUPS].i);
    w.dim[axes + 1] = y.dim[axes + 1];
    if (x.dim[0] != y.dim[0]) {
        return tw_refuse(signature, TW_ERR_SHAPE, "x and dy differ in the batch axis");
    }
    if (w.dim[axes] == TW_DIM_NONE) {
        return tw_refuse(signature, TW_ERR_SHAPE, "groups do not divide the channels of x");
    }
    status = check_fit(signature, x, w, &y, false);
    return status ? status : set_result(signature, w);
}

/* The shared attributes of `rule`; gradients are of their operands' type. */
static void shared_attributes(const tw_vjp *rule, tw_attr *attr) {
    memcpy(attr, rule->attr, CONV_ATTRS * sizeof *attr);
    attr[CONV_RESULT] = tw_attr_int(0);
}

static tw_value given_gradient(const tw_vjp *rule) {
    return tw_cast(rule->d_result[0], rule->operand_type[0].dtype);
}

/* The three members of the form on values, with the shared attributes of `rule`. */
static tw_value apply_conv(const tw_vjp *rule, tw_value x, tw_value w) {
    tw_attr attr[CONV_ATTRS];
    shared_attributes(rule, attr);
    return rule_apply2("conv", x, w, attr);
}

/* The extents of the axes that are spatial in a shape whose first such axis is `first`. */
static tw_attr spatial(tw_shape shape, int first) {
    return tw_attr_dims(tw_shape_make(shape.rank - 2, shape.dim + first));
}

static tw_value apply_input_grad(const tw_vjp *rule, tw_value dy, tw_value w, tw_shape x) {
    tw_attr attr[CONV_ATTRS + 1];
    shared_attributes(rule, attr);
    attr[CONV_MORE] = spatial(x, 1);
    return rule_apply2("conv_input_grad", dy, w, attr);
}

static tw_value apply_weight_grad(const tw_vjp *rule, tw_value x, tw_value dy, tw_shape w) {
    tw_attr attr[CONV_ATTRS + 1];
    shared_attributes(rule, attr);
    attr[CONV_MORE] = spatial(w, 0);
    return rule_apply2("conv_weight_grad", x, dy, attr);
}

static void conv_vjp(tw_graph *graph, tw_vjp *rule) {
    (void)graph;
    tw_value dy = given_gradient(rule);
    const tw_type *type = rule->operand_type;
    if (rule->wanted[0])
        rule->d_operand[0] = apply_input_grad(rule, dy, rule->operand[1], type[0].shape);
    if (rule->wanted[1])
        rule->d_operand[1] = apply_weight_grad(rule, rule->operand[0], dy, type[1].shape);
}

static void input_grad_vjp(tw_graph *graph, tw_vjp *rule) {
    (void)graph;
    tw_value x = given_gradient(rule); /* stands where x stands in the form */
    if (rule->wanted[0]) rule->d_operand[0] = apply_conv(rule, x, rule->operand[1]);
    if (rule->wanted[1])
        rule->d_operand[1] =
            apply_weight_grad(rule, x, rule->operand[0], rule->operand_type[1].shape);
}

static void weight_grad_vjp(tw_graph *graph, tw_vjp *rule) {
    (void)graph;
    tw_value w = given_gradient(rule);
    if (rule->wanted[0])
        rule->d_operand[0] =
            apply_input_grad(rule, rule->operand[1], w, rule->operand_type[0].shape);
    if (rule->wanted[1]) rule->d_operand[1] = apply_conv(rule, rule->operand[0], w);
}

/* Where x, w and y stand among operands 0, 1 and result 0 (as 2). */
typedef struct places {
    int x, w, y;
} places;

static tw_type type_at(const tw_signature *signature, int place) {
    return place == 2 ? signature->result[0] : signature->operand[place];
}

static void set_axis(tw_factor *factor, int place, int axis) {
    if (place == 2)
        factor->result[0] = (int8_t)axis;
    else
        factor->operand[place] = (int8_t)axis;
}

static int form_factors(const tw_signature *signature, places at, tw_factor *out) {
    tw_shape x = type_at(signature, at.x).shape, w = type_at(signature, at.w).shape;
    tw_shape y = type_at(signature, at.y).shape;
    const tw_attr *attr = signature->attr;
    int axes = x.rank - 2, n = 0;
    bool grouped = attr[CONV_GROUPS].i > 1;
    struct {
        int64_t size;
        int x, w, y; /* axis, -1 for none */
    } list[] = {{x.dim[0], 0, -1, 0},
                {x.dim[axes + 1], axes + 1, grouped ? -1 : axes, -1},
                {y.dim[axes + 1], -1, axes + 1, axes + 1}};
    for (int i = 0; i < 3; i++) {
        int in_result = at.x == 2 ? list[i].x : at.w == 2 ? list[i].w : list[i].y;
        tw_factor_kind kind = in_result >= 0 ? TW_FACTOR_PASS : TW_FACTOR_REDUCE;
        out[n] = rule_factor(grouped && i > 0 ? TW_FACTOR_REPLICATE : kind, list[i].size);
        out[n].reduction = out[n].kind == TW_FACTOR_REDUCE ? TW_SUM : 0;
        set_axis(&out[n], at.x, list[i].x);
        set_axis(&out[n], at.w, list[i].w);
        set_axis(&out[n++], at.y, list[i].y);
    }
    if (grouped) {
        out[n] = rule_factor(TW_FACTOR_REPLICATE, w.dim[axes]);
        set_axis(&out[n++], at.w, axes);
    }
    for (int i = 0; i < axes; i++) {
        int64_t low = entry(&attr[CONV_LOW], i, 0), dilation = entry(&attr[CONV_DILATION], i, 1);
        bool halo = at.y == 2 && entry(&attr[CONV_BASE_DILATION], i, 1) == 1;
        /* y at o sees x from o * stride - low to o * stride + high. */
        out[n] = rule_factor(halo ? TW_FACTOR_HALO : TW_FACTOR_REPLICATE, y.dim[i + 1]);
        out[n].low = low;
        out[n].high = (w.dim[i] - 1) * dilation - low;
        out[n].stride = entry(&attr[CONV_STRIDE], i, 1);
        out[n].dilation = dilation;
        out[n].attr =
            (tw_factor_attr){.entry = (int8_t)i, .low = CONV_LOW + 1, .high = CONV_HIGH + 1};
        set_axis(&out[n], at.y, i + 1);
        if (!halo) out[++n] = rule_factor(TW_FACTOR_REPLICATE, x.dim[i + 1]);
        set_axis(&out[n++], at.x, i + 1);
        out[n] = rule_factor(TW_FACTOR_REPLICATE, w.dim[i]);
        set_axis(&out[n++], at.w, i);
    }
    return n;
}

static const places conv_places = {0, 1, 2}, input_grad_places = {2, 1, 0},
                    weight_grad_places = {0, 2, 1};

static int conv_factors(const tw_signature *signature, tw_factor *out) {
    return form_factors(signature, conv_places, out);
}
static int input_grad_factors(const tw_signature *signature, tw_factor *out) {
    return form_factors(signature, input_grad_places, out);
}
static int weight_grad_factors(const tw_signature *signature, tw_factor *out) {
    return form_factors(signature, weight_grad_places, out);
}

/* A multiplication and an addition for each element of y, of the window and of a group's input. */
static void form_cost(const tw_signature *signature, places at, tw_cost *out) {
    tw_type w = type_at(signature, at.w);
    rule_cost_bytes(signature, out);
    out->flops = 2 * rule_elements(type_at(signature, at.y));
    for (int i = 0; i + 1 < w.shape.rank; i++) out->flops *= (double)w.shape.dim[i];
}

static void conv_cost(const tw_signature *signature, tw_cost *out) {
    form_cost(signature, conv_places, out);
}
static void input_grad_cost(const tw_signature *signature, tw_cost *out) {
    form_cost(signature, input_grad_places, out);
}
static void weight_grad_cost(const tw_signature *signature, tw_cost *out) {
    form_cost(signature, weight_grad_places, out);
}

bool conv_by_samples(const tw_operator *op) {
    static const char *const names[] = {"conv", "conv_bias", "conv_input_grad"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(op->name, names[i])) return true;
    return false;
}

conv_geometry conv_geometry_of(tw_type x, tw_type w, tw_type y, const tw_attr *attr) {
    int axes = x.shape.rank - 2;
    conv_geometry g;
    memset(&g, 0, sizeof g); /* also its padding: it serves as a key */
    g.batch = x.shape.dim[0];
    g.groups = attr[CONV_GROUPS].i;
    g.in_channels = x.shape.dim[axes + 1];
    g.out_channels = y.shape.dim[axes + 1];
    for (int i = 0; i < 3; i++) {
        g.in[i] = g.out[i] = g.window[i] = g.stride[i] = g.dilation[i] = g.base_dilation[i] = 1;
        int axis = i - (3 - axes);
        if (axis < 0) continue;
        g.in[i] = x.shape.dim[axis + 1];
        g.out[i] = y.shape.dim[axis + 1];
        g.window[i] = w.shape.dim[axis];
        g.stride[i] = entry(&attr[CONV_STRIDE], axis, 1);
        g.low[i] = entry(&attr[CONV_LOW], axis, 0);
        g.high[i] = entry(&attr[CONV_HIGH], axis, 0);
        g.dilation[i] = entry(&attr[CONV_DILATION], axis, 1);
        g.base_dilation[i] = entry(&attr[CONV_BASE_DILATION], axis, 1);
    }
    return g;
}

typedef struct form {
    const conv_geometry *g;
    const void *x, *w, *y; /* one of them is the result */
} form;

static int64_t volume(const int64_t extent[3]) { return extent[0] * extent[1] * extent[2]; }

/* Index i (row-major) as a position in a box. */
static void position(int64_t i, const int64_t extent[3], int64_t at[3]) {
    at[2] = i % extent[2];
    at[1] = i / extent[2] % extent[1];
    at[0] = i / extent[2] / extent[1];
}

/* The element of x, as an index into its box, that y's position o sees through the window's
 * element k; -1 for none. */
static int64_t seen(const conv_geometry *g, const int64_t o[3], const int64_t k[3]) {
    int64_t index = 0;
    for (int d = 0; d < 3; d++) {
        int64_t i = o[d] * g->stride[d] + k[d] * g->dilation[d] - g->low[d];
        if (i < 0 || i % g->base_dilation[d]) return -1;
        i /= g->base_dilation[d];
        if (i >= g->in[d]) return -1;
        index = index * g->in[d] + i;
    }
    return index;
}

/* The position of y that sees x's position i through k; -1 for none. */
static int64_t seer(const conv_geometry *g, const int64_t i[3], const int64_t k[3]) {
    int64_t index = 0;
    for (int d = 0; d < 3; d++) {
        int64_t o = i[d] * g->base_dilation[d] + g->low[d] - k[d] * g->dilation[d];
        if (o < 0 || o % g->stride[d]) return -1;
        o /= g->stride[d];
        if (o >= g->out[d]) return -1;
        index = index * g->out[d] + o;
    }
    return index;
}

tw_type conv_type(tw_context *context, tw_type x, tw_type w, const tw_attr *attr) {
    tw_type y = x;
    int axes = x.shape.rank - 2;
    for (int i = 0; i < axes; i++)
        y.shape.dim[i + 1] = out_extent(context, attr, i, x.shape.dim[i + 1], w.shape.dim[i]);
    y.shape.dim[axes + 1] = w.shape.dim[axes + 1];
    return y;
}

void conv_windows(const conv_geometry *g, int32_t *index) {
    int64_t taps = volume(g->window), o[3], k[3];
    for (int64_t i = 0; i < volume(g->out) * taps; i++) {
        position(i / taps, g->out, o);
        position(i % taps, g->window, k);
        index[i] = (int32_t)seen(g, o, k);
    }
}

/* Positions begin..end-1 of y: all its channels at once, over window and input channels in order. */
#define DEFINE_FORWARD(T)                                                                          \
    static void forward_##T(void *argument, int64_t begin, int64_t end) {                          \
        const form *f = argument;                                                                  \
        const conv_geometry *g = f->g;                                                             \
        const int64_t inputs = g->in_channels / g->groups, outputs = g->out_channels / g->groups;  \
        const int64_t space = volume(g->out), taps = volume(g->window);                            \
        for (int64_t r = begin; r < end; r++) {                                                    \
            T *restrict y = (T *)(uintptr_t)f->y + r * g->out_channels;                            \
            const T *x_of_n = (const T *)f->x + r / space * volume(g->in) * g->in_channels;        \
            int64_t o[3], k[3];                                                                    \
            position(r % space, g->out, o);                                                        \
            for (int64_t m = 0; m < g->out_channels; m++) y[m] = 0;                                \
            for (int64_t tap = 0; tap < taps; tap++) {                                             \
                position(tap, g->window, k);                                                       \
                const int64_t i = seen(g, o, k);                                                   \
                if (i < 0) continue;                                                               \
                const T *x = x_of_n + i * g->in_channels;                                          \
                const T *w = (const T *)f->w + tap * inputs * g->out_channels;                     \
                for (int64_t c = 0; c < g->in_channels; c++) {                                     \
                    const int64_t first = c / inputs * outputs;                                    \
                    const T *restrict row = w + c % inputs * g->out_channels + first;              \
                    const T value = x[c];                                                          \
                    for (int64_t m = 0; m < outputs; m++) y[first + m] += value * row[m];          \
                }                                                                                  \
            }                                                                                      \
        }                                                                                          \
    }

/* A scalar product by eight running sums, which vectorises; always added in one order. */
#define DEFINE_PRODUCT(T)                                                                          \
    static T product_##T(const T *a, const T *b, int64_t n) {                                      \
        T sum[8] = {0};                                                                            \
        int64_t i = 0;                                                                             \
        for (; i + 8 <= n; i += 8)                                                                 \
            for (int lane = 0; lane < 8; lane++) sum[lane] += a[i + lane] * b[i + lane];           \
        for (int lane = 0; i < n; i++, lane++) sum[lane] += a[i] * b[i];                           \
        return ((sum[0] + sum[1]) + (sum[2] + sum[3])) + ((sum[4] + sum[5]) + (sum[6] + sum[7]));  \
    }

/* Positions begin..end-1 of x. */
#define DEFINE_INPUT_GRAD(T)                                                                       \
    static void input_grad_##T(void *argument, int64_t begin, int64_t end) {                       \
        const form *f = argument;                                                                  \
        const conv_geometry *g = f->g;                                                             \
        const int64_t inputs = g->in_channels / g->groups, outputs = g->out_channels / g->groups;  \
        const int64_t space = volume(g->in), taps = volume(g->window);                             \
        for (int64_t r = begin; r < end; r++) {                                                    \
            T *x = (T *)(uintptr_t)f->x + r * g->in_channels;                                      \
            const T *y_of_n = (const T *)f->y + r / space * volume(g->out) * g->out_channels;      \
            int64_t i[3], k[3];                                                                    \
            position(r % space, g->in, i);                                                         \
            for (int64_t c = 0; c < g->in_channels; c++) x[c] = 0;                                 \
            for (int64_t tap = 0; tap < taps; tap++) {                                             \
                position(tap, g->window, k);                                                       \
                const int64_t o = seer(g, i, k);                                                   \
                if (o < 0) continue;                                                               \
                const T *y = y_of_n + o * g->out_channels;                                         \
                const T *w = (const T *)f->w + tap * inputs * g->out_channels;                     \
                for (int64_t c = 0; c < g->in_channels; c++) {                                     \
                    const int64_t first = c / inputs * outputs;                                    \
                    const T *row = w + c % inputs * g->out_channels + first;                       \
                    x[c] += product_##T(row, y + first, outputs);                                  \
                }                                                                                  \
            }                                                                                      \
        }                                                                                          \
    }

/* `most` output channels of one row of w: a sum over positions for each n, these added over n. */
enum { BLOCK = 32 };
#define DEFINE_WEIGHT_BLOCK(T)                                                                     \
    static void weight_block_##T(const form *f, int64_t tap, int64_t c, int64_t m, int most,       \
                                 T *out) {                                                         \
        const conv_geometry *g = f->g;                                                             \
        const int64_t in = volume(g->in), space = volume(g->out);                                  \
        T total[BLOCK] = {0};                                                                      \
        int64_t o[3], k[3];                                                                        \
        position(tap, g->window, k);                                                               \
        for (int64_t n = 0; n < g->batch; n++) {                                                   \
            T sum[BLOCK] = {0};                                                                    \
            for (int64_t at = 0; at < space; at++) {                                               \
                position(at, g->out, o);                                                           \
                const int64_t i = seen(g, o, k);                                                   \
                if (i < 0) continue;                                                               \
                const T x = ((const T *)f->x)[(n * in + i) * g->in_channels + c];                  \
                const T *y = (const T *)f->y + (n * space + at) * g->out_channels + m;             \
                if (most == BLOCK)                                                                 \
                    for (int j = 0; j < BLOCK; j++) sum[j] += x * y[j];                            \
                else                                                                               \
                    for (int j = 0; j < most; j++) sum[j] += x * y[j];                             \
            }                                                                                      \
            for (int j = 0; j < BLOCK; j++) total[j] += sum[j];                                    \
        }                                                                                          \
        for (int j = 0; j < most; j++) out[j] = total[j];                                          \
    }

/* Rows begin..end-1 of w, one for each element of the window and input channel of a group. */
#define DEFINE_WEIGHT_GRAD(T)                                                                      \
    static void weight_grad_##T(void *argument, int64_t begin, int64_t end) {                      \
        const form *f = argument;                                                                  \
        const conv_geometry *g = f->g;                                                             \
        const int64_t inputs = g->in_channels / g->groups, outputs = g->out_channels / g->groups;  \
        for (int64_t r = begin; r < end; r++) {                                                    \
            T *w = (T *)(uintptr_t)f->w + r * g->out_channels;                                     \
            for (int64_t group = 0; group < g->groups; group++) {                                  \
                const int64_t last = (group + 1) * outputs;                                        \
                for (int64_t m = group * outputs; m < last; m += BLOCK) {                          \
                    const int most = last - m < BLOCK ? (int)(last - m) : BLOCK;                   \
                    weight_block_##T(f, r / inputs, group * inputs + r % inputs, m, most, w + m);  \
                }                                                                                  \
            }                                                                                      \
        }                                                                                          \
    }

#define DEFINE_KERNELS(T)                                                                          \
    DEFINE_FORWARD(T)                                                                              \
    DEFINE_PRODUCT(T)                                                                              \
    DEFINE_INPUT_GRAD(T)                                                                           \
    DEFINE_WEIGHT_BLOCK(T)                                                                         \
    DEFINE_WEIGHT_GRAD(T)
DEFINE_KERNELS(float)
DEFINE_KERNELS(double)

/* Result rows that are worth a thread. */
static int64_t grain_of(const conv_geometry *g) {
    int64_t work = volume(g->window) * (g->in_channels / g->groups + 1) * (g->out_channels + 1);
    return 1 + (1 << 15) / work;
}

void conv_plain(tw_context *context, const conv_geometry *g, tw_dtype dtype, const void *x,
                const void *w, void *y) {
    form f = {g, x, w, y};
    tw_parallel_for(context, g->batch * volume(g->out), grain_of(g),
                    dtype == TW_F32 ? forward_float : forward_double, &f);
}

static tw_status conv_kernel(const tw_kernel_call *call) {
    const tw_signature *s = &call->signature;
    conv_geometry g = conv_geometry_of(s->operand[0], s->operand[1], s->result[0], s->attr);
    conv_plain(s->context, &g, s->operand[0].dtype, call->in[0], call->in[1], call->out[0]);
    return TW_OK;
}

static tw_status input_grad_kernel(const tw_kernel_call *call) {
    const tw_signature *s = &call->signature;
    conv_geometry g = conv_geometry_of(s->result[0], s->operand[1], s->operand[0], s->attr);
    form f = {&g, call->out[0], call->in[1], call->in[0]};
    tw_parallel_for(s->context, g.batch * volume(g.in), grain_of(&g),
                    s->operand[0].dtype == TW_F32 ? input_grad_float : input_grad_double, &f);
    return TW_OK;
}

static tw_status weight_grad_kernel(const tw_kernel_call *call) {
    const tw_signature *s = &call->signature;
    conv_geometry g = conv_geometry_of(s->operand[0], s->result[0], s->operand[1], s->attr);
    form f = {&g, call->in[0], call->out[0], call->in[1]};
    int64_t rows = volume(g.window) * (g.in_channels / g.groups);
    tw_parallel_for(s->context, rows, 1,
                    s->operand[0].dtype == TW_F32 ? weight_grad_float : weight_grad_double, &f);
    return TW_OK;
}

#define SAMPLE(types, list) {.operands = types, .attributes = list}
static const tw_sample conv_samples[] = {
    SAMPLE("f64[2,5,4,2] f64[3,2,2,3]", "stride=[2,1], low=[1,0], high=[1,1]"),
    SAMPLE("f64[1,6,2] f64[3,2,2]", "dilation=[2], low=[1], high=[2]"),
    SAMPLE("f64[2,4,4] f64[2,2,6]", "groups=2, stride=[2], base_dilation=[2]"),
    SAMPLE("f64[1,2,3,2,1] f64[2,2,1,1,2]", "low=[0,1,0]"),
    SAMPLE("f64[1,4,5,4] f64[2,3,1,4]", "groups=4, low=[1,0], high=[0,2]"), /* depthwise */
    SAMPLE("f64[1,6,3] f64[3,1,6]", "groups=3, stride=[2], dilation=[2], low=[2], high=[1]"),
    SAMPLE("f64[1,3,4,2] f64[2,2,2,2]",
           "stride=[1,3], dilation=[2,1], base_dilation=[3,2], low=[2,0], high=[1,4]"),
    SAMPLE("f64[1,3,4,3,2] f64[2,2,2,1,2]",
           "groups=2, stride=[2,1,1], dilation=[1,2,1], base_dilation=[1,1,2], low=[1,0,1], "
           "high=[0,2,0]"),
    SAMPLE("f64[1,0,2] f64[2,2,3]", "low=[1], high=[2]"),
    SAMPLE("f64[1,1,1,1] f64[1,1,1,1]", ""),
    SAMPLE("f64[0,3,3,2] f64[2,2,2,1]", ""),
    SAMPLE("f64[1,2,1] f64[3,1,2]", ""),
    SAMPLE("bf16[2,5,4,2] bf16[3,2,2,3]", "stride=[2,1], low=[1,0], high=[1,1], result=f32"),
    SAMPLE("f16[1,6,2] f16[3,2,2]", "dilation=[2], low=[1], high=[2]"),
    {0},
};
static const tw_sample input_grad_samples[] = {
    SAMPLE("f64[2,3,4,3] f64[3,2,2,3]", "stride=[2,1], low=[1,0], high=[1,1], space=[5,4]"),
    SAMPLE("f64[1,5,2] f64[3,2,2]", "dilation=[2], low=[1], high=[2], space=[6]"),
    SAMPLE("f64[2,3,6] f64[2,2,6]", "groups=2, stride=[2], base_dilation=[2], space=[4]"),
    SAMPLE("f64[1,1,3,2,2] f64[2,2,1,1,2]", "low=[0,1,0], space=[2,3,2]"),
    SAMPLE("f64[1,4,5,4] f64[2,3,1,4]", "groups=4, low=[1,0], high=[0,2], space=[4,5]"),
    SAMPLE("f64[1,9,3,2] f64[2,2,2,2]",
           "stride=[1,3], dilation=[2,1], base_dilation=[3,2], low=[2,0], high=[2,3], "
           "space=[3,4]"),
    SAMPLE("f64[1,1,1,1] f64[1,1,1,1]", "space=[1,1]"),
    SAMPLE("f64[0,2,2,1] f64[2,2,2,1]", "space=[3,3]"),
    SAMPLE("bf16[1,5,2] bf16[3,2,2]", "dilation=[2], low=[1], high=[2], space=[6], result=f32"),
    {0},
};
static const tw_sample weight_grad_samples[] = {
    SAMPLE("f64[2,5,4,2] f64[2,3,4,3]", "stride=[2,1], low=[1,0], high=[1,1], window=[3,2]"),
    SAMPLE("f64[1,6,2] f64[1,5,2]", "dilation=[2], low=[1], high=[2], window=[3]"),
    SAMPLE("f64[2,4,4] f64[2,3,6]", "groups=2, stride=[2], base_dilation=[2], window=[2]"),
    SAMPLE("f64[1,2,3,2,1] f64[1,1,3,2,2]", "low=[0,1,0], window=[2,2,1]"),
    SAMPLE("f64[1,4,5,4] f64[1,4,5,4]", "groups=4, low=[1,0], high=[0,2], window=[2,3]"),
    SAMPLE("f64[1,3,4,2] f64[1,9,3,2]",
           "stride=[1,3], dilation=[2,1], base_dilation=[3,2], low=[2,0], high=[2,3], "
           "window=[2,2]"),
    SAMPLE("f64[1,1,1,1] f64[1,1,1,1]", "window=[1,1]"),
    SAMPLE("f64[0,3,3,2] f64[0,2,2,1]", "window=[2,2]"),
    SAMPLE("bf16[1,6,2] bf16[1,5,2]", "dilation=[2], low=[1], high=[2], window=[3], result=f32"),
    {0},
};

#define SEMANTICS                                                                                  \
    "Padding and the gaps of dilation are skipped, as if zero. A window larger than the padded "   \
    "input gives an empty result. NaN and infinity follow IEEE arithmetic. f32, f16 and bf16 are " \
    "summed in f32; the order of a sum depends on shapes alone. Negative padding is refused."

static const tw_operator conv = {
    .name = "conv",
    .formula = "y[n, o, m] = sum over k, c of x[n, i, c] * w[k, c, m], "
               "i * base_dilation = o * stride - low + k * dilation",
    .semantics = SEMANTICS,
    .operands = "x w",
    .results = "y",
    .attributes = conv_specs,
    .infer = conv_infer,
    .vjp = conv_vjp,
    .batch = conv_batch,
    .factors = conv_factors,
    .cost = conv_cost,
    .meaning = TW_MEANS_LOOPS,
    .kernel = conv_kernel,
    .samples = conv_samples,
};

static const tw_operator input_grad = {
    .name = "conv_input_grad",
    .formula = "dx[n, i, c] = sum over k, m of dy[n, o, m] * w[k, c, m], "
               "i * base_dilation = o * stride - low + k * dilation",
    .semantics = SEMANTICS,
    .operands = "dy w",
    .results = "dx",
    .attributes = input_grad_specs,
    .infer = input_grad_infer,
    .vjp = input_grad_vjp,
    .batch = conv_input_grad_batch,
    .factors = input_grad_factors,
    .cost = input_grad_cost,
    .meaning = TW_MEANS_LOOPS,
    .kernel = input_grad_kernel,
    .samples = input_grad_samples,
};

static const tw_operator weight_grad = {
    .name = "conv_weight_grad",
    .formula = "dw[k, c, m] = sum over n, o of x[n, i, c] * dy[n, o, m], "
               "i * base_dilation = o * stride - low + k * dilation",
    .semantics = SEMANTICS,
    .operands = "x dy",
    .results = "dw",
    .attributes = weight_grad_specs,
    .infer = weight_grad_infer,
    .vjp = weight_grad_vjp,
    .batch = conv_weight_grad_batch,
    .factors = weight_grad_factors,
    .cost = weight_grad_cost,
    .meaning = TW_MEANS_LOOPS,
    .kernel = weight_grad_kernel,
    .samples = weight_grad_samples,
};

const tw_operator *const ops_conv[] = {&conv, &input_grad, &weight_grad, NULL};

/* Padding so that out = ceil(in / stride), the odd one after; false when it is unknown. */
static bool same_padding(int64_t in, int64_t window, int64_t stride, int64_t dilation, int64_t base,
                         int64_t *low, int64_t *high) {
    int64_t total = (window - 1) * dilation; /* of stride 1, whatever the input */
    if (window < 1) return false;
    if (stride != 1 || base != 1) {
        if (in < 0) return false;
        int64_t span = in ? (in - 1) * base + 1 : 0, out = in / stride + (in % stride != 0);
        total += (out - 1) * stride + 1 - span;
        if (total < 0 || out == 0) total = 0;
    }
    *low = total / 2;
    *high = total - total / 2;
    return true;
}

bool conv_attributes(tw_type x, tw_type w, const tw_conv_opts *opts, tw_attr *attr) {
    static const tw_conv_opts none;
    const tw_conv_opts *o = opts ? opts : &none;
    int axes = x.shape.rank - 2;
    if (axes < 1 || axes > 3 || w.shape.rank != x.shape.rank) return false;
    int64_t list[CONV_GROUPS][3];
    for (int i = 0; i < axes; i++) {
        list[CONV_STRIDE][i] = o->stride[i] ? o->stride[i] : 1;
        list[CONV_LOW][i] = o->low[i];
        list[CONV_HIGH][i] = o->high[i];
        list[CONV_DILATION][i] = o->dilation[i] ? o->dilation[i] : 1;
        list[CONV_BASE_DILATION][i] = o->base_dilation[i] ? o->base_dilation[i] : 1;
        if (o->same && list[CONV_STRIDE][i] > 0 &&
            !same_padding(x.shape.dim[i + 1], w.shape.dim[i], list[CONV_STRIDE][i],
                          list[CONV_DILATION][i], list[CONV_BASE_DILATION][i], &list[CONV_LOW][i],
                          &list[CONV_HIGH][i]))
            return false;
    }
    /* A list of nothing but its default is left empty, so that equal uses have equal texts. */
    for (int a = 0; a < CONV_GROUPS; a++) {
        int64_t fallback = a == CONV_LOW || a == CONV_HIGH ? 0 : 1;
        bool plain = true;
        for (int i = 0; i < axes; i++) plain &= list[a][i] == fallback;
        attr[a] = rule_ints(plain ? 0 : axes, list[a]);
    }
    attr[CONV_GROUPS] = tw_attr_int(o->groups ? o->groups : 1);
    attr[CONV_RESULT] = tw_attr_int(o->result);
    return true;
}

tw_value tw_conv(tw_value x, tw_value w, const tw_conv_opts *opts) {
    tw_value operands[] = {x, w};
    tw_graph *graph = rule_graph(2, operands);
    if (!rule_usable("tw_conv", 2, operands)) return rule_poison(graph);
    tw_attr attr[CONV_ATTRS];
    if (opts && opts->relu) {
        return rule_fail(graph, TW_ERR_ARGUMENT, "tw_conv has no activation; tw_conv_bias has");
    }
    if (!conv_attributes(tw_type_of(x), tw_type_of(w), opts, attr)) {
        return rule_fail(graph, TW_ERR_SHAPE,
                         "tw_conv: x of rank %d and w of rank %d, expected (batch, space..., in) "
                         "and (space..., in / groups, out) with 1 to 3 spatial axes; `same` with a "
                         "stride needs extents that are numbers",
                         tw_shape_of(x).rank, tw_shape_of(w).rank);
    }
    return tw_apply(graph, "conv", 2, operands, attr, NULL);
}
