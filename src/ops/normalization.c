/*
 * Normalisations as composites: layer_norm (Ba et al. 2016), rms_norm (Zhang & Sennrich 2019),
 * group_norm (Wu & He 2018) and batch_norm (Ioffe & Szegedy 2015) with the statistics of the
 * batch. All are one construct: over some axes of a view of x,
 *     hat = (x - mean) rstd,  rstd = (variance + epsilon)^(-1/2),  y = hat scale + bias,
 * with scale and bias along the last axis of x. Statistics keep their axes, of extent 1.
 */
#include <thalweg/operators.h>

#include "ir/dimension.h"
#include "ir/graph.h"
#include "ops/composite.h"
#include "ops/families.h"
#include "ops/reduction.h"

enum { EPSILON, GROUPS };

static tw_shape last_axis(tw_shape shape) { return TW_SHAPE(shape.rank - 1); }

static tw_shape all_but_last(tw_shape shape) {
    tw_shape axes = {.rank = shape.rank - 1};
    for (int i = 0; i < axes.rank; i++) axes.dim[i] = i;
    return axes;
}

/* What sums and counts of the type fit into: f16 holds neither of more than 65504. */
static tw_dtype fine_dtype(tw_dtype dtype) { return type_in(dtype, TYPES_HALF) ? TW_F32 : dtype; }

/* y over the number of elements of x along the axes, in x's type; counted when the program runs if
 * symbolic. */
static tw_value over_count(tw_value y, tw_value x, tw_shape axes) {
    tw_type type = tw_type_of(x);
    tw_shape extents = {.rank = axes.rank};
    for (int i = 0; i < axes.rank; i++) extents.dim[i] = type.shape.dim[axes.dim[i]];
    int64_t count = tw_dim_product(x.graph->module->context, extents, 0, extents.rank);
    tw_dtype fine = fine_dtype(type.dtype);
    y = tw_cast(y, fine);
    if (count >= 0)
        y = tw_scale(y, 1 / (double)count);
    else
        y = tw_div(y, tw_sum(tw_full(x.graph, fine, extents, 1)));
    return tw_cast(y, type.dtype);
}

/* The mean along the axes, which stay as 1. */
static tw_value mean_over(tw_value x, tw_shape axes) {
    if (!tw_ok(x)) return x;
    tw_shape kept = tw_shape_of(x);
    for (int i = 0; i < axes.rank; i++) kept.dim[axes.dim[i]] = 1;
    tw_dtype dtype = tw_dtype_of(x), fine = fine_dtype(dtype);
    const tw_attr attr[] = {tw_attr_int(0), tw_attr_dims(axes),
                            tw_attr_int(fine == dtype ? 0 : fine)};
    tw_value sum = axes.rank ? rule_apply1("reduce", x, attr) : x;
    return over_count(tw_reshape(sum, kept), x, axes);
}

static tw_value rstd_of(tw_value variance, double epsilon) {
    return tw_rsqrt(tw_shift(variance, epsilon));
}

/* hat scale + bias; either may be absent. */
static tw_value affine(tw_value hat, tw_value scale, tw_value bias) {
    if (scale.graph) hat = tw_mul(hat, scale);
    return bias.graph ? tw_add(hat, bias) : hat;
}

/* What normalises: (x - mean) rstd, over these axes. `mean` absent: rms_norm. */
typedef struct statistics {
    tw_value mean, rstd;
    tw_shape axes;
} statistics;

static tw_value hat_of(tw_value x, const statistics *s) {
    return tw_mul(s->mean.graph ? tw_sub(x, s->mean) : x, s->rstd);
}

/* dx = rstd (g - mean(g) - hat mean(g hat)), g the gradient of hat; rms_norm without mean(g). */
static tw_value hat_slope(tw_value hat, tw_value g, const statistics *s) {
    tw_value along = tw_mul(hat, mean_over(tw_mul(g, hat), s->axes));
    if (s->mean.graph) g = tw_sub(g, mean_over(g, s->axes));
    return tw_mul(s->rstd, tw_sub(g, along));
}

static tw_value sum_of(tw_value a, tw_value b) {
    return a.graph && b.graph ? tw_add(a, b) : a.graph ? a : b;
}

/*
 * What the statistics' own gradients, which come up in the second order, add to dx, either of them
 * absent: d mean / dx = 1 / n, d rstd / dx = -rstd^2 hat / n.
 */
static tw_value with_statistics(tw_value dx, tw_value x, tw_value hat, tw_value d_mean,
                                tw_value d_rstd, const statistics *s) {
    tw_value more = {0};
    if (d_rstd.graph) more = tw_mul(hat, tw_neg(tw_mul(d_rstd, tw_square(s->rstd))));
    if (d_mean.graph) more = sum_of(more, tw_broadcast(d_mean, tw_shape_of(x)));
    return more.graph ? sum_of(dx, over_count(more, x, s->axes)) : dx;
}

/* (..., channels) -> (channels) */
static tw_value sum_to_last(tw_value x) {
    tw_shape axes = all_but_last(tw_shape_of(x));
    return reduction_apply(x, TW_SUM, &axes);
}

/* Operand 0 is floats of at least that rank; operands from..to-1, where they are there, are
 * (channels) of its type. */
static bool refused(tw_graph *graph, const tw_signature *signature, int least, int from, int to) {
    tw_type x = signature->operand[0];
    if (x.shape.rank < least) {
        tw_fail(graph, "x has rank %d, expected at least %d: (..., channels)", (int)x.shape.rank,
                least);
        return true;
    }
    if (!body_type(graph, signature, 0, TYPES_FLOAT)) return true;
    tw_shape row = TW_SHAPE(x.shape.dim[x.shape.rank - 1]);
    for (int i = from; i < to; i++)
        if (signature->operand[i].dtype && !body_expects(graph, signature, i, x.dtype, row))
            return true;
    return false;
}

/* ---- layer_norm and rms_norm, over the last axis ---- */

static void layer_norm_body(tw_graph *graph, const tw_signature *signature, const tw_value *in,
                            tw_value *out) {
    if (refused(graph, signature, 1, 1, 3)) return;
    tw_shape axes = last_axis(signature->operand[0].shape);
    tw_value mean = mean_over(in[0], axes), centred = tw_sub(in[0], mean);
    tw_value rstd = rstd_of(mean_over(tw_square(centred), axes), signature->attr[EPSILON].f);
    out[0] = affine(tw_mul(centred, rstd), in[1], in[2]);
    out[1] = mean;
    out[2] = rstd;
}

static void rms_norm_body(tw_graph *graph, const tw_signature *signature, const tw_value *in,
                          tw_value *out) {
    if (refused(graph, signature, 1, 1, 2)) return;
    tw_shape axes = last_axis(signature->operand[0].shape);
    tw_value rstd = rstd_of(mean_over(tw_square(in[0]), axes), signature->attr[EPSILON].f);
    out[0] = affine(tw_mul(in[0], rstd), in[1], (tw_value){0});
    out[1] = rstd;
}

/* Either of them, with its statistics in s; grad names the composite for when there is a scale. */
static void last_axis_vjp(tw_vjp *rule, const char *grad, const statistics *s, tw_value d_mean,
                          tw_value d_rstd) {
    tw_value x = rule->operand[0], scale = rule->operand[1], dy = rule->d_result[0], dx = {0};
    tw_value hat = {0};
    if (!dy.graph || !scale.graph || d_mean.graph || d_rstd.graph) hat = hat_of(x, s);
    if (dy.graph && scale.graph) {
        tw_value in[5] = {x, scale, s->mean, s->rstd, dy}, out[3] = {{0}};
        if (!s->mean.graph) in[2] = s->rstd, in[3] = dy;
        dx = tw_apply(x.graph, grad, s->mean.graph ? 5 : 4, in, NULL, out);
        rule->d_operand[1] = out[1];
        if (rule->n_operands == 3) rule->d_operand[2] = out[2];
    } else if (dy.graph) {
        dx = hat_slope(hat, dy, s);
        if (rule->n_operands == 3 && rule->operand[2].graph) rule->d_operand[2] = sum_to_last(dy);
    }
    rule->d_operand[0] = with_statistics(dx, x, hat, d_mean, d_rstd, s);
}

static void layer_norm_vjp(tw_graph *graph, tw_vjp *rule) {
    (void)graph;
    const tw_value *result = rule->result, *d = rule->d_result;
    statistics s = {result[1], result[2], last_axis(rule->operand_type[0].shape)};
    last_axis_vjp(rule, "layer_norm_grad", &s, d[1], d[2]);
}

static void rms_norm_vjp(tw_graph *graph, tw_vjp *rule) {
    (void)graph;
    statistics s = {{0}, rule->result[1], last_axis(rule->operand_type[0].shape)};
    last_axis_vjp(rule, "rms_norm_grad", &s, (tw_value){0}, rule->d_result[1]);
}

/* dy is of x's type, and the statistics before it are of x's but for the last extent, 1. */
static bool grad_refused(tw_graph *graph, const tw_signature *signature, int dy) {
    if (refused(graph, signature, 1, 1, 2)) return true;
    tw_type x = signature->operand[0];
    tw_shape rows = x.shape;
    rows.dim[rows.rank - 1] = 1;
    for (int i = 2; i < dy; i++)
        if (!body_expects(graph, signature, i, x.dtype, rows)) return true;
    return !body_expects(graph, signature, dy, x.dtype, x.shape);
}

static void layer_norm_grad_body(tw_graph *graph, const tw_signature *signature, const tw_value *in,
                                 tw_value *out) {
    if (grad_refused(graph, signature, 4)) return;
    statistics s = {in[2], in[3], last_axis(signature->operand[0].shape)};
    tw_value hat = hat_of(in[0], &s);
    out[0] = hat_slope(hat, tw_mul(in[4], in[1]), &s);
    out[1] = sum_to_last(tw_mul(in[4], hat));
    out[2] = sum_to_last(in[4]);
}

static void rms_norm_grad_body(tw_graph *graph, const tw_signature *signature, const tw_value *in,
                               tw_value *out) {
    if (grad_refused(graph, signature, 3)) return;
    statistics s = {{0}, in[2], last_axis(signature->operand[0].shape)};
    tw_value hat = hat_of(in[0], &s);
    out[0] = hat_slope(hat, tw_mul(in[3], in[1]), &s);
    out[1] = sum_to_last(tw_mul(in[3], hat));
}

/* ---- group_norm ---- */

/* (batch, space..., channels) -> (batch, positions, groups, channels / groups) */
static tw_shape grouped(tw_graph *graph, tw_shape shape, int64_t groups) {
    int last = shape.rank - 1;
    tw_context *context = graph->module->context;
    return TW_SHAPE(shape.dim[0], tw_dim_product(context, shape, 1, last), groups,
                    tw_dim_div(context, shape.dim[last], groups));
}

static void group_norm_body(tw_graph *graph, const tw_signature *signature, const tw_value *in,
                            tw_value *out) {
    if (refused(graph, signature, 2, 1, 3)) return;
    tw_shape shape = signature->operand[0].shape, axes = TW_SHAPE(1, 3);
    int64_t groups = signature->attr[GROUPS].i, channels = shape.dim[shape.rank - 1];
    if (groups < 1 || channels < 0 || channels % groups) {
        tw_fail(graph, "%lld groups do not divide the %lld channels, the last extent of x",
                (long long)groups, (long long)channels);
        return;
    }
    tw_value x = tw_reshape(in[0], grouped(graph, shape, groups));
    tw_value mean = mean_over(x, axes), centred = tw_sub(x, mean);
    tw_value rstd = rstd_of(mean_over(tw_square(centred), axes), signature->attr[EPSILON].f);
    out[0] = affine(tw_reshape(tw_mul(centred, rstd), shape), in[1], in[2]);
    out[1] = mean;
    out[2] = rstd;
}

static void group_norm_vjp(tw_graph *graph, tw_vjp *rule) {
    tw_shape shape = rule->operand_type[0].shape;
    tw_shape view = grouped(graph, shape, rule->attr[GROUPS].i);
    statistics s = {rule->result[1], rule->result[2], TW_SHAPE(1, 3)};
    tw_value scale = rule->operand[1], dy = rule->d_result[0], dx = {0};
    tw_value x = tw_reshape(rule->operand[0], view), hat = hat_of(x, &s);
    if (dy.graph) {
        tw_value g = scale.graph ? tw_mul(dy, scale) : dy;
        dx = hat_slope(hat, tw_reshape(g, view), &s);
        if (scale.graph) rule->d_operand[1] = sum_to_last(tw_mul(dy, tw_reshape(hat, shape)));
        if (rule->operand[2].graph) rule->d_operand[2] = sum_to_last(dy);
    }
    dx = with_statistics(dx, x, hat, rule->d_result[1], rule->d_result[2], &s);
    rule->d_operand[0] = tw_reshape(dx, shape);
}

/* ---- batch_norm, with the statistics of the batch as results ---- */

static void batch_norm_body(tw_graph *graph, const tw_signature *signature, const tw_value *in,
                            tw_value *out) {
    if (refused(graph, signature, 2, 1, 3)) return;
    tw_shape shape = signature->operand[0].shape, axes = all_but_last(shape);
    tw_shape row = TW_SHAPE(shape.dim[shape.rank - 1]);
    tw_value mean = mean_over(in[0], axes), centred = tw_sub(in[0], mean);
    tw_value variance = mean_over(tw_square(centred), axes);
    tw_value rstd = rstd_of(variance, signature->attr[EPSILON].f);
    out[0] = affine(tw_mul(centred, rstd), in[1], in[2]);
    out[1] = tw_reshape(mean, row);
    out[2] = tw_reshape(variance, row);
}

/* d variance / dx = 2 (x - mean) / n */
static void batch_norm_vjp(tw_graph *graph, tw_vjp *rule) {
    (void)graph;
    tw_shape shape = rule->operand_type[0].shape;
    tw_value x = rule->operand[0], scale = rule->operand[1], dx = {0}, more = {0};
    tw_value dy = rule->d_result[0], d_mean = rule->d_result[1], d_variance = rule->d_result[2];
    tw_value rstd = rstd_of(rule->result[2], rule->attr[EPSILON].f);
    statistics s = {rule->result[1], rstd, all_but_last(shape)};
    if (dy.graph) {
        tw_value hat = hat_of(x, &s);
        dx = hat_slope(hat, scale.graph ? tw_mul(dy, scale) : dy, &s);
        if (scale.graph) rule->d_operand[1] = sum_to_last(tw_mul(dy, hat));
        if (rule->operand[2].graph) rule->d_operand[2] = sum_to_last(dy);
    }
    if (d_variance.graph) more = tw_mul(tw_sub(x, s.mean), tw_scale(d_variance, 2));
    if (d_mean.graph) more = sum_of(more, tw_broadcast(d_mean, shape));
    rule->d_operand[0] = more.graph ? sum_of(dx, over_count(more, x, s.axes)) : dx;
}

/* ---- entries ---- */

#define EPSILON_SPEC {"epsilon", TW_ATTR_FLOAT, "1e-05", NULL, "added to the variance"}
static const tw_attr_spec epsilon_attributes[] = {EPSILON_SPEC, {0}};
static const tw_attr_spec group_attributes[] = {
    EPSILON_SPEC, {"groups", TW_ATTR_INT, NULL, NULL, "groups of neighbouring channels"}, {0}};

#define SAMPLE(types, list) {.operands = types, .attributes = list}
static const tw_sample layer_norm_samples[] = {
    SAMPLE("f64[3,4] f64[4] f64[4]", ""),
    SAMPLE("f64[2,3,5] f64[5] _", "epsilon=0.01"),
    SAMPLE("f64[2,3] _ f64[3]", ""),
    SAMPLE("f64[4] _ _", "epsilon=0.5"),
    SAMPLE("f64[2,1] f64[1] f64[1]", ""),
    SAMPLE("f64[0,3] f64[3] f64[3]", ""),
    {0},
};
static const tw_sample rms_norm_samples[] = {
    SAMPLE("f64[3,4] f64[4]", ""),
    SAMPLE("f64[2,3,5] _", "epsilon=0.01"),
    SAMPLE("f64[1] f64[1]", "epsilon=0.5"),
    SAMPLE("f64[0,3] f64[3]", ""),
    {0},
};
static const tw_sample layer_norm_grad_samples[] = {
    SAMPLE("f64[3,4] f64[4] f64[3,1] f64[3,1] f64[3,4]", ""),
    SAMPLE("f64[1] f64[1] f64[1] f64[1] f64[1]", ""),
    SAMPLE("f64[0,3] f64[3] f64[0,1] f64[0,1] f64[0,3]", ""),
    {0},
};
static const tw_sample rms_norm_grad_samples[] = {
    SAMPLE("f64[3,4] f64[4] f64[3,1] f64[3,4]", ""),
    SAMPLE("f64[1] f64[1] f64[1] f64[1]", ""),
    SAMPLE("f64[0,3] f64[3] f64[0,1] f64[0,3]", ""),
    {0},
};
static const tw_sample group_norm_samples[] = {
    SAMPLE("f64[2,3,4] f64[4] f64[4]", "groups=2"),
    SAMPLE("f64[1,2,2,3] f64[3] _", "groups=3, epsilon=0.01"),
    SAMPLE("f64[2,4] _ f64[4]", "groups=1"),
    SAMPLE("f64[1,1,1] _ _", "groups=1"),
    SAMPLE("f64[0,2,4] f64[4] f64[4]", "groups=2"),
    {0},
};
static const tw_sample batch_norm_samples[] = {
    SAMPLE("f64[4,3] f64[3] f64[3]", ""),
    SAMPLE("f64[2,2,3,2] f64[2] _", "epsilon=0.01"),
    SAMPLE("f64[3,2,1] _ f64[1]", ""),
    SAMPLE("f64[3,2] _ _", ""),
    SAMPLE("f64[1,1] f64[1] f64[1]", ""),
    SAMPLE("f64[3,0] f64[0] f64[0]", ""),
    {0},
};

#define NAN_ROWS "a NaN or an infinity gives NaN wherever its statistics reach"

static const tw_operator op_layer_norm = {
    .name = "layer_norm",
    .formula = "y = (x - mean) rstd scale + bias over the last axis, rstd = (variance + "
               "epsilon)^(-1/2)",
    .semantics = NAN_ROWS "; the variance is divided by the number of elements",
    .operands = "x scale? bias?",
    .results = "y (mean) (rstd)",
    .attributes = epsilon_attributes,
    .vjp = layer_norm_vjp,
    .meaning = TW_MEANS_BODY,
    .body = layer_norm_body,
    .samples = layer_norm_samples,
};
static const tw_operator op_layer_norm_grad = {
    .name = "layer_norm_grad",
    .formula = "dx = rstd (g - mean(g) - hat mean(g hat)), g = dy scale, hat = (x - mean) rstd; "
               "dscale = sum(dy hat); dbias = sum(dy)",
    .semantics = NAN_ROWS,
    .operands = "x scale mean rstd dy",
    .results = "dx dscale dbias",
    .meaning = TW_MEANS_BODY,
    .body = layer_norm_grad_body,
    .samples = layer_norm_grad_samples,
};
static const tw_operator op_rms_norm = {
    .name = "rms_norm",
    .formula = "y = x rstd scale, rstd = (mean(x^2) + epsilon)^(-1/2) over the last axis",
    .semantics = NAN_ROWS,
    .operands = "x scale?",
    .results = "y (rstd)",
    .attributes = epsilon_attributes,
    .vjp = rms_norm_vjp,
    .meaning = TW_MEANS_BODY,
    .body = rms_norm_body,
    .samples = rms_norm_samples,
};
static const tw_operator op_rms_norm_grad = {
    .name = "rms_norm_grad",
    .formula = "dx = rstd (g - hat mean(g hat)), g = dy scale, hat = x rstd; dscale = sum(dy hat)",
    .semantics = NAN_ROWS,
    .operands = "x scale rstd dy",
    .results = "dx dscale",
    .meaning = TW_MEANS_BODY,
    .body = rms_norm_grad_body,
    .samples = rms_norm_grad_samples,
};
static const tw_operator op_group_norm = {
    .name = "group_norm",
    .formula = "y = (x - mean) rstd scale + bias, mean and rstd of an example's group of channels",
    .semantics = NAN_ROWS "; the variance is divided by the number of elements",
    .operands = "x scale? bias?",
    .results = "y (mean) (rstd)",
    .attributes = group_attributes,
    .vjp = group_norm_vjp,
    .meaning = TW_MEANS_BODY,
    .body = group_norm_body,
    .samples = group_norm_samples,
};
static const tw_operator op_batch_norm = {
    .name = "batch_norm",
    .formula = "y = (x - mean) (variance + epsilon)^(-1/2) scale + bias, mean and variance of each "
               "channel, the last axis",
    .semantics = NAN_ROWS "; the variance is divided by the number of elements; of none: NaN",
    .operands = "x scale? bias?",
    .results = "y mean variance",
    .attributes = epsilon_attributes,
    .vjp = batch_norm_vjp,
    .meaning = TW_MEANS_BODY,
    .body = batch_norm_body,
    .samples = batch_norm_samples,
};

const tw_operator *const ops_normalization[] = {
    &op_layer_norm, &op_layer_norm_grad, &op_rms_norm, &op_rms_norm_grad,
    &op_group_norm, &op_batch_norm,      NULL,
};
