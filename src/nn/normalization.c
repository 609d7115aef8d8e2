/* Normalisation layers: the composites with scale and bias, and batch norm's running statistics. */
#include <thalweg/optim.h>

#include "ir/dimension.h"
#include "ir/graph.h"
#include "nn/layer.h"
#include "ops/rules.h"

enum { X, SCALE, BIAS, OPERANDS };
static const double EPSILON = 1e-5, MOMENTUM = 0.1;

/* A number of the options, or its default where it is 0; false with the graph's error below 0. */
static bool number_of(tw_graph *graph, const char *layer, const char *name, const char *what,
                      double given, double fallback, double *out) {
    *out = given == 0 ? fallback : given == TW_ZERO ? 0 : given;
    if (*out >= 0) return true;
    tw_fail(graph, "%s \"%s\": %s is %g, expected a positive number, 0 for %g, or TW_ZERO", layer,
            name, what, given, fallback);
    return false;
}

static bool expects_rank(const char *layer, tw_value x, const char *name, int least) {
    int rank = tw_shape_of(x).rank;
    if (rank >= least) return true;
    tw_fail(x.graph, "%s \"%s\": x has rank %d, expected at least %d: %s", layer, name, rank, least,
            least == 1 ? "(..., channels)" : "(batch, space..., channels)");
    return false;
}

/* x, then scale and bias as parameters of the scope. */
static void operands_of(tw_value x, bool scale, bool bias, tw_value *in) {
    tw_type type = tw_type_of(x);
    tw_shape row = TW_SHAPE(type.shape.dim[type.shape.rank - 1]);
    in[X] = x;
    if (scale) in[SCALE] = tw_parameter(x.graph, "scale", type.dtype, row, tw_constant_init(1));
    if (bias) in[BIAS] = tw_parameter(x.graph, "bias", type.dtype, row, tw_zeros_init());
}

/* A composite of x, scale and, with three operands, bias; groups 0: it has none. */
static tw_value normalized(const char *layer, const char *composite, int operands, tw_value x,
                           const char *name, int64_t groups, const tw_norm_opts *opts) {
    if (!layer_begin(layer, x, name)) return rule_poison(x.graph);
    static const tw_norm_opts none;
    if (!opts) opts = &none;
    double epsilon;
    tw_value y = rule_poison(x.graph), in[OPERANDS] = {{0}};
    if (expects_rank(layer, x, name, groups ? 2 : 1) &&
        number_of(x.graph, layer, name, "epsilon", opts->epsilon, EPSILON, &epsilon)) {
        const tw_attr attr[] = {tw_attr_float(epsilon), tw_attr_int(groups)};
        operands_of(x, !opts->no_scale, operands > BIAS && !opts->no_bias, in);
        y = tw_apply(x.graph, composite, operands, in, attr, NULL);
    }
    tw_scope_end(x.graph);
    return y;
}

tw_value tw_layer_norm(tw_value x, const char *name, const tw_norm_opts *opts) {
    return normalized("tw_layer_norm", "layer_norm", 3, x, name, 0, opts);
}

tw_value tw_rms_norm(tw_value x, const char *name, const tw_norm_opts *opts) {
    return normalized("tw_rms_norm", "rms_norm", 2, x, name, 0, opts);
}

tw_value tw_group_norm(tw_value x, const char *name, int64_t groups, const tw_norm_opts *opts) {
    if (groups < 1 && rule_usable("tw_group_norm", 1, &x))
        return rule_fail(x.graph, TW_ERR_ARGUMENT,
                         "tw_group_norm \"%s\": %lld groups, expected at least 1", name ? name : "",
                         (long long)groups);
    return normalized("tw_group_norm", "group_norm", 3, x, name, groups, opts);
}

tw_value tw_instance_norm(tw_value x, const char *name, const tw_norm_opts *opts) {
    if (!rule_usable("tw_instance_norm", 1, &x)) return rule_poison(x.graph);
    tw_shape shape = tw_shape_of(x);
    int64_t channels = shape.rank ? shape.dim[shape.rank - 1] : 0;
    if (shape.rank < 3 || channels < 1)
        return rule_fail(x.graph, TW_ERR_SHAPE,
                         "tw_instance_norm \"%s\": x has rank %d, expected (batch, space..., "
                         "channels) with a number of channels of at least 1",
                         name ? name : "", (int)shape.rank);
    return normalized("tw_instance_norm", "group_norm", 3, x, name, channels, opts);
}

/* ---- batch norm ---- */

/* n / (n - 1), from biased to unbiased; n is the number of elements of a channel. A symbolic n is
 * counted when the program runs, and 1 then gives a factor of 1. */
static tw_value unbiased(tw_value variance, tw_value x) {
    tw_type type = tw_type_of(x);
    type.shape.rank--;
    int64_t count = tw_dim_product(x.graph->module->context, type.shape, 0, type.shape.rank);
    if (count >= 0) return tw_scale(variance, (double)count / (double)(count - 1));
    tw_dtype fine = type_in(type.dtype, TYPES_HALF) ? TW_F32 : type.dtype; /* n may be large */
    tw_value n = tw_sum(tw_full(x.graph, fine, type.shape, 1)), one = tw_literal(n, 1);
    tw_value factor = tw_div(n, tw_max(tw_sub(n, one), one));
    return tw_mul(variance, tw_cast(factor, type.dtype));
}

/* running = (1 - momentum) running + momentum value */
static void follow(tw_value running, tw_value value, double momentum) {
    tw_assign(running, tw_add(tw_scale(running, 1 - momentum), tw_scale(value, momentum)));
}

/* A channel of one element has no unbiased variance. */
static bool enough(tw_value x, const char *name) {
    tw_shape shape = tw_shape_of(x);
    int64_t count = tw_dim_product(x.graph->module->context, shape, 0, shape.rank - 1);
    if (count < 0 || count > 1) return true;
    tw_fail(x.graph,
            "tw_batch_norm \"%s\": %lld elements for each channel, expected at least 2 in training",
            name, (long long)count);
    return false;
}

/* In the layer's scope. */
static tw_value batch_norm(tw_value x, const tw_batch_norm_opts *opts, double epsilon,
                           double momentum) {
    tw_graph *graph = x.graph;
    tw_type type = tw_type_of(x);
    tw_shape row = TW_SHAPE(type.shape.dim[type.shape.rank - 1]);
    tw_value in[OPERANDS] = {{0}}, out[3] = {{0}};
    operands_of(x, !opts->no_scale, !opts->no_bias, in);
    tw_value mean = tw_variable(graph, "mean", type.dtype, row, tw_zeros_init());
    tw_value variance = tw_variable(graph, "variance", type.dtype, row, tw_constant_init(1));
    if (tw_training(graph) && !opts->frozen) {
        const tw_attr attr = tw_attr_float(epsilon);
        tw_apply(graph, "batch_norm", OPERANDS, in, &attr, out);
        if (!tw_ok(out[0])) return out[0];
        follow(mean, out[1], momentum);
        follow(variance, unbiased(out[2], x), momentum);
        return out[0];
    }
    if (!opts->frozen) graph_skip_layer(graph, "tw_batch_norm");
    tw_value slope = tw_rsqrt(tw_shift(variance, epsilon));
    if (in[SCALE].graph) slope = tw_mul(slope, in[SCALE]);
    tw_value y = tw_mul(tw_sub(x, mean), slope);
    return in[BIAS].graph ? tw_add(y, in[BIAS]) : y;
}

tw_value tw_batch_norm(tw_value x, const char *name, const tw_batch_norm_opts *opts) {
    if (!layer_begin("tw_batch_norm", x, name)) return rule_poison(x.graph);
    static const tw_batch_norm_opts none;
    if (!opts) opts = &none;
    double epsilon, momentum;
    tw_value y = rule_poison(x.graph);
    if (expects_rank("tw_batch_norm", x, name, 2) &&
        (!tw_training(x.graph) || opts->frozen || enough(x, name)) &&
        number_of(x.graph, "tw_batch_norm", name, "epsilon", opts->epsilon, EPSILON, &epsilon) &&
        number_of(x.graph, "tw_batch_norm", name, "momentum", opts->momentum, MOMENTUM, &momentum))
        y = batch_norm(x, opts, epsilon, momentum);
    tw_scope_end(x.graph);
    return y;
}
