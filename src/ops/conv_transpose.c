/*
 * Transposed convolution: the gradient of a convolution for its input, as an operation of its own
 * (Dumoulin & Visin 2016, ch. 4). Extents as PyTorch's ConvTranspose has them.
 */
#include "ir/dimension.h"
#include "ir/graph.h"
#include "ops/conv.h"
#include "ops/rules.h"

/* One spatial axis. */
typedef struct axis {
    int64_t stride, low, high, dilation, extra; /* extra: output_padding */
} axis;

static axis axis_of(const tw_conv_transpose_opts *opts, int i) {
    return (axis){.stride = opts->stride[i] ? opts->stride[i] : 1,
                  .low = opts->low[i],
                  .high = opts->high[i],
                  .dilation = opts->dilation[i] ? opts->dilation[i] : 1,
                  .extra = opts->output_padding[i]};
}

/* Spatial axis i of the result, from the numbers it is made of; false with the graph's error. */
static bool axis_extent(tw_graph *graph, int i, int64_t in, int64_t window, bool same, axis *a,
                        int64_t *out) {
    tw_context *context = graph->module->context;
    if (window < 1 || a->stride < 1 || a->dilation < 1 || a->low < 0 || a->high < 0) {
        rule_fail(graph, TW_ERR_ARGUMENT,
                  "tw_conv_transpose: spatial axis %d: window %lld, stride %lld, dilation %lld, "
                  "expected at least 1, and padding %lld and %lld, expected at least 0",
                  i, (long long)window, (long long)a->stride, (long long)a->dilation,
                  (long long)a->low, (long long)a->high);
        return false;
    }
    int64_t reach = tw_dim_add(context, tw_dim_mul(context, window - 1, a->dilation), 1);
    if (same && reach != TW_DIM_NONE) { /* out = in * stride */
        int64_t total = reach > a->stride ? reach - a->stride : 0;
        a->extra = reach < a->stride ? a->stride - reach : 0;
        a->low = total / 2;
        a->high = total - total / 2;
    }
    if (a->extra < 0 || a->extra >= a->stride) {
        rule_fail(graph, TW_ERR_ARGUMENT,
                  "tw_conv_transpose: output_padding %lld at spatial axis %d, expected at least 0 "
                  "and less than the stride %lld",
                  (long long)a->extra, i, (long long)a->stride);
        return false;
    }
    int64_t extent = tw_dim_mul(context, tw_dim_sub(context, in, 1), a->stride);
    extent = tw_dim_add(context, tw_dim_add(context, extent, reach), a->extra);
    extent = tw_dim_sub(context, tw_dim_sub(context, extent, a->low), a->high);
    bool exists = extent != TW_DIM_NONE && in != 0 && (in < 0 || extent >= 1);
    if (!exists)
        rule_fail(graph, TW_ERR_SHAPE,
                  "tw_conv_transpose: spatial axis %d has no extent in the result; expected at "
                  "least 1 element in x and less padding",
                  i);
    *out = extent;
    return exists;
}

tw_value tw_conv_transpose(tw_value x, tw_value w, const tw_conv_transpose_opts *opts) {
    static const tw_conv_transpose_opts none;
    const tw_value operands[] = {x, w};
    tw_graph *graph = rule_graph(2, operands);
    if (!rule_usable("tw_conv_transpose", 2, operands)) return rule_poison(graph);
    if (!opts) opts = &none;
    tw_shape shape = tw_shape_of(x), window = tw_shape_of(w), space = {.rank = shape.rank - 2};
    if (shape.rank < 3 || shape.rank > 5 || window.rank != shape.rank)
        return rule_fail(graph, TW_ERR_SHAPE,
                         "tw_conv_transpose: x of rank %d and w of rank %d, expected (batch, "
                         "space..., in) and (space..., out / groups, in) with 1 to 3 spatial axes",
                         (int)shape.rank, (int)window.rank);
    if (window.dim[shape.rank - 1] != shape.dim[shape.rank - 1])
        return rule_fail(graph, TW_ERR_SHAPE,
                         "tw_conv_transpose: x has %lld channels and w takes %lld, its last extent",
                         (long long)shape.dim[shape.rank - 1],
                         (long long)window.dim[shape.rank - 1]);
    int64_t list[CONV_GROUPS][3] = {{0}};
    for (int i = 0; i < space.rank; i++) {
        axis a = axis_of(opts, i);
        if (!axis_extent(graph, i, shape.dim[i + 1], window.dim[i], opts->same, &a, &space.dim[i]))
            return rule_poison(graph);
        list[CONV_STRIDE][i] = a.stride;
        list[CONV_LOW][i] = a.low;
        list[CONV_HIGH][i] = a.high;
        list[CONV_DILATION][i] = a.dilation;
        list[CONV_BASE_DILATION][i] = 1;
    }
    tw_attr attr[CONV_ATTRS + 1];
    for (int k = 0; k < CONV_GROUPS; k++) attr[k] = rule_ints(space.rank, list[k]);
    attr[CONV_GROUPS] = tw_attr_int(opts->groups ? opts->groups : 1);
    attr[CONV_MORE] = tw_attr_dims(space);
    return tw_apply(graph, "conv_input_grad", 2, operands, attr, NULL);
}
