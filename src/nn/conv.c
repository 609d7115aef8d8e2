/* Convolution layers: with weights and bias as variables of the layer's scope. */
#include "ir/graph.h"
#include "nn/layer.h"
#include "ops/rules.h"

/* (batch, space..., channels) with 1 to 3 spatial axes, and a window; else the graph's error. */
static bool spatial(const char *layer, tw_value x, const char *name, const int64_t *window) {
    int rank = tw_shape_of(x).rank;
    if (window && rank >= 3 && rank <= 5) return true;
    tw_fail(x.graph,
            "%s \"%s\": x has rank %d, expected (batch, space..., in) with 1 to 3 spatial axes and "
            "a window",
            layer, name, rank);
    return false;
}

/* (window..., in, out) */
static tw_shape weight_shape(int rank, const int64_t *window, int64_t in, int64_t out) {
    tw_shape shape = {.rank = rank};
    for (int i = 0; i < rank - 2; i++) shape.dim[i] = window[i];
    shape.dim[rank - 2] = in;
    shape.dim[rank - 1] = out;
    return shape;
}

static tw_value bias_of(tw_value x, int64_t filters) {
    return tw_parameter(x.graph, "bias", tw_dtype_of(x), TW_SHAPE(filters), tw_zeros_init());
}

/* In the layer's scope. */
static tw_value convolve(tw_value x, const char *name, int64_t filters, const int64_t *window,
                         const tw_conv_opts *conv, const tw_conv_layer_opts *opts) {
    tw_graph *graph = x.graph;
    tw_type type = tw_type_of(x);
    int rank = type.shape.rank;
    int64_t groups = conv->groups ? conv->groups : 1, channels = type.shape.dim[rank - 1];
    int64_t in = tw_dim_div(graph->module->context, channels, groups);
    if (in == TW_DIM_NONE || filters < 1) {
        tw_fail(graph,
                "convolution \"%s\": %lld groups of %lld channels, which they must divide, and "
                "%lld filters, expected at least 1",
                name, (long long)groups, (long long)channels, (long long)filters);
        return rule_poison(graph);
    }
    tw_init init = layer_init(opts ? &opts->weight : NULL, tw_he_normal());
    tw_shape shape = weight_shape(rank, window, in, filters);
    tw_value w = tw_parameter(graph, "weight", type.dtype, shape, init);
    if (!opts || !opts->no_bias) return tw_conv_bias(x, w, bias_of(x, filters), conv);
    tw_conv_opts plain = *conv; /* tw_conv refuses an activation */
    plain.relu = false;
    tw_value y = tw_conv(x, w, &plain);
    return conv->relu ? tw_relu(y) : y;
}

tw_value tw_conv_layer(tw_value x, const char *name, int64_t filters, const int64_t *window,
                       const tw_conv_layer_opts *opts) {
    if (!layer_begin("tw_conv_layer", x, name)) return rule_poison(x.graph);
    tw_value y = rule_poison(x.graph);
    tw_conv_opts conv = {0};
    if (opts) conv = opts->conv;
    if (spatial("tw_conv_layer", x, name, window))
        y = convolve(x, name, filters, window, &conv, opts);
    tw_scope_end(x.graph);
    return y;
}

tw_value tw_depthwise_conv_layer(tw_value x, const char *name, int64_t multiplier,
                                 const int64_t *window, const tw_conv_layer_opts *opts) {
    if (!layer_begin("tw_depthwise_conv_layer", x, name)) return rule_poison(x.graph);
    tw_graph *graph = x.graph;
    tw_value y = rule_poison(graph);
    tw_conv_opts conv = {0};
    if (opts) conv = opts->conv;
    if (spatial("tw_depthwise_conv_layer", x, name, window)) {
        tw_shape shape = tw_shape_of(x);
        int64_t channels = shape.dim[shape.rank - 1];
        int64_t filters = tw_dim_mul(graph->module->context, channels, multiplier);
        if (channels < 1 || multiplier < 1 || filters == TW_DIM_NONE) {
            tw_fail(graph,
                    "tw_depthwise_conv_layer \"%s\": %lld channels times %lld, expected numbers of "
                    "at least 1",
                    name, (long long)channels, (long long)multiplier);
        } else if (conv.groups && conv.groups != channels) {
            tw_fail(graph,
                    "tw_depthwise_conv_layer \"%s\": %lld groups for %lld channels; leave groups "
                    "at 0, each channel is one",
                    name, (long long)conv.groups, (long long)channels);
        } else {
            conv.groups = channels;
            y = convolve(x, name, filters, window, &conv, opts);
        }
    }
    tw_scope_end(graph);
    return y;
}

tw_value tw_conv_transpose_layer(tw_value x, const char *name, int64_t filters,
                                 const int64_t *window, const tw_conv_transpose_layer_opts *opts) {
    if (!layer_begin("tw_conv_transpose_layer", x, name)) return rule_poison(x.graph);
    tw_graph *graph = x.graph;
    tw_value y = rule_poison(graph);
    if (spatial("tw_conv_transpose_layer", x, name, window)) {
        tw_type type = tw_type_of(x);
        int rank = type.shape.rank;
        int64_t groups = opts && opts->conv.groups ? opts->conv.groups : 1;
        int64_t out = tw_dim_div(graph->module->context, filters, groups);
        tw_shape shape = weight_shape(rank, window, out, type.shape.dim[rank - 1]);
        tw_init init = layer_init(opts ? &opts->weight : NULL, tw_he_normal());
        if (filters < 1 || out == TW_DIM_NONE) {
            tw_fail(graph,
                    "tw_conv_transpose_layer \"%s\": %lld filters in %lld groups, expected an "
                    "equal number of at least 1 in each",
                    name, (long long)filters, (long long)groups);
        } else {
            tw_value w = tw_parameter(graph, "weight", type.dtype, shape, init);
            y = tw_conv_transpose(x, w, opts ? &opts->conv : NULL);
            if (!opts || !opts->no_bias) y = tw_add(y, bias_of(x, filters));
        }
    }
    tw_scope_end(graph);
    return y;
}
