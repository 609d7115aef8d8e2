/*
 * Resizing and adaptive pooling of the spatial axes of x (batch, space..., channels): each axis in
 * turn is gathered at constant places, so that the gradients follow. Extents must be numbers.
 */
#include <math.h>
#include <thalweg/operators.h>

#include "base/context.h"
#include "ir/graph.h"
#include "ops/rules.h"

/* Whether x and extent[] can be served; else the graph's error. */
static bool usable(const char *function, tw_value x, const int64_t *extent, int least, int most) {
    if (!rule_usable(function, 1, &x)) return false;
    tw_shape shape = tw_shape_of(x);
    int axes = shape.rank - 2;
    if (axes < least || axes > most || !extent || !type_in(tw_dtype_of(x), TYPES_FLOAT)) {
        rule_fail(x.graph, TW_ERR_SHAPE,
                  "%s: x is %s of rank %d, expected floats (batch, space..., channels) with %d to "
                  "%d spatial axes, and an extent for each",
                  function, tw_dtype_name(tw_dtype_of(x)), axes + 2, least, most);
        return false;
    }
    for (int i = 0; i < axes; i++) {
        int64_t in = shape.dim[i + 1];
        if (in >= 1 && extent[i] >= 1 && in <= INT32_MAX && extent[i] <= INT32_MAX) continue;
        if (in < 0)
            rule_fail(x.graph, TW_ERR_SHAPE,
                      "%s: the extent of spatial axis %d is a symbol, expected a number; build the "
                      "graph for one size",
                      function, i);
        else
            rule_fail(x.graph, TW_ERR_SHAPE,
                      "%s: spatial axis %d from %lld to %lld elements, expected at least 1 and at "
                      "most 2^31 - 1",
                      function, i, (long long)in, (long long)extent[i]);
        return false;
    }
    return true;
}

/* x[.., index, ..] along the axis, whose place index's axes take. */
static tw_value pick(tw_value x, int axis, tw_shape shape, const int32_t *index) {
    tw_value at = tw_constant_of(x.graph, TW_I32, shape, index);
    const tw_attr attr[] = {tw_attr_int(axis), tw_attr_dims((tw_shape){0})};
    return rule_apply2("gather", x, at, attr);
}

/* A constant of x's type that broadcasts along `axis` of a value of this rank. */
static tw_value along(tw_value x, int axis, int rank, int64_t count, const double *number) {
    tw_shape shape = {.rank = rank};
    for (int i = 0; i < rank; i++) shape.dim[i] = i == axis ? count : 1;
    tw_value line = tw_constant_of(x.graph, TW_F64, shape, number);
    return tw_cast(line, tw_dtype_of(x));
}

static tw_value no_memory(tw_graph *graph, const char *function) {
    return rule_fail(graph, TW_ERR_MEMORY, "%s: out of memory", function);
}

/* ---- nearest ---- */

tw_value tw_resize_nearest(tw_value x, const int64_t *extent) {
    const char *name = "tw_resize_nearest";
    if (!usable(name, x, extent, 1, 3)) return rule_poison(x.graph);
    tw_context *context = x.graph->module->context;
    for (int axis = 1; tw_ok(x) && axis + 1 < tw_shape_of(x).rank; axis++) {
        int64_t in = tw_shape_of(x).dim[axis], out = extent[axis - 1];
        if (in == out) continue;
        int32_t *index = context_allocate(context, (size_t)out, sizeof *index);
        if (!index) return no_memory(x.graph, name);
        for (int64_t i = 0; i < out; i++) index[i] = (int32_t)(i * in / out);
        x = pick(x, axis, TW_SHAPE(out), index);
        context_release(context, index);
    }
    return tw_ok(x) ? tw_snapshot(x) : x;
}

/* ---- bilinear ---- */

/* Where element i of `out` lies among the `in` elements it is interpolated from. */
static double place(int64_t i, int64_t in, int64_t out, bool align_corners) {
    if (align_corners) return out == 1 ? 0 : (double)i * (double)(in - 1) / (double)(out - 1);
    double at = ((double)i + 0.5) * (double)in / (double)out - 0.5;
    return at > 0 ? at : 0;
}

/* x at two neighbours for each element, mixed. index[2 * out] and weight[out] are scratch. */
static tw_value mix(tw_value x, int axis, int64_t out, bool align_corners, int32_t *index,
                    double *weight) {
    tw_shape shape = tw_shape_of(x);
    int64_t in = shape.dim[axis];
    for (int64_t i = 0; i < out; i++) {
        double at = place(i, in, out, align_corners);
        int64_t first = (int64_t)at < in - 1 ? (int64_t)at : in - 1;
        index[i] = (int32_t)first;
        index[out + i] = (int32_t)(first + 1 < in ? first + 1 : first);
        weight[i] = at - (double)first;
    }
    tw_value low = pick(x, axis, TW_SHAPE(out), index);
    tw_value high = pick(x, axis, TW_SHAPE(out), index + out);
    tw_value part = along(x, axis, shape.rank, out, weight);
    tw_value rest = tw_sub(tw_literal(part, 1), part);
    return tw_add(tw_mul(low, rest), tw_mul(high, part));
}

tw_value tw_resize_bilinear(tw_value x, const int64_t *extent, bool align_corners) {
    const char *name = "tw_resize_bilinear";
    if (!usable(name, x, extent, 2, 2)) return rule_poison(x.graph);
    tw_context *context = x.graph->module->context;
    for (int axis = 1; axis <= 2 && tw_ok(x); axis++) {
        int64_t out = extent[axis - 1];
        if (tw_shape_of(x).dim[axis] == out) continue;
        int32_t *index = context_allocate(context, 2 * (size_t)out, sizeof *index);
        double *weight = context_allocate(context, (size_t)out, sizeof *weight);
        if (index && weight)
            x = mix(x, axis, out, align_corners, index, weight);
        else
            x = no_memory(x.graph, name);
        context_release(context, index);
        context_release(context, weight);
    }
    return tw_ok(x) ? tw_snapshot(x) : x;
}

/* ---- adaptive pooling: region i of an axis is floor(i in / out) to before ceil((i + 1) in / out) */

static int64_t region_start(int64_t i, int64_t in, int64_t out) { return i * in / out; }
static int64_t region_end(int64_t i, int64_t in, int64_t out) {
    return ((i + 1) * in + out - 1) / out;
}

/* Each axis divides evenly: the regions are windows. */
static bool even(tw_shape shape, const int64_t *extent, tw_pool_opts *opts) {
    for (int i = 0; i < shape.rank - 2; i++) {
        if (shape.dim[i + 1] % extent[i]) return false;
        opts->window[i] = shape.dim[i + 1] / extent[i];
    }
    return true;
}

/*
 * One axis: gathered to (..., out, longest, ...) and reduced. A short region is filled up with
 * nothing (a negative index gives zeros) for the mean, with its last element for the maximum.
 */
static tw_value pool_axis(tw_value x, int axis, int64_t out, bool mean, int32_t *index,
                          double *share, int64_t longest) {
    tw_shape shape = tw_shape_of(x);
    int64_t in = shape.dim[axis];
    for (int64_t i = 0; i < out; i++) {
        int64_t start = region_start(i, in, out), end = region_end(i, in, out);
        share[i] = 1 / (double)(end - start);
        for (int64_t k = 0; k < longest; k++)
            index[i * longest + k] = (int32_t)(start + k < end ? start + k : mean ? -1 : end - 1);
    }
    tw_value y = pick(x, axis, TW_SHAPE(out, longest), index);
    if (!mean) return tw_max_axis(y, axis + 1, false);
    y = tw_sum_axis(y, axis + 1, false);
    return tw_mul(y, along(x, axis, shape.rank, out, share));
}

static tw_value adaptive(const char *name, tw_value x, const int64_t *extent, bool mean) {
    if (!usable(name, x, extent, 1, 3)) return rule_poison(x.graph);
    tw_context *context = x.graph->module->context;
    tw_pool_opts windows = {0};
    if (even(tw_shape_of(x), extent, &windows))
        return mean ? tw_average_pool(x, &windows) : tw_max_pool(x, &windows);
    for (int axis = 1; tw_ok(x) && axis + 1 < tw_shape_of(x).rank; axis++) {
        int64_t in = tw_shape_of(x).dim[axis], out = extent[axis - 1], longest = 0;
        if (in == out) continue;
        for (int64_t i = 0; i < out; i++) {
            int64_t length = region_end(i, in, out) - region_start(i, in, out);
            if (length > longest) longest = length;
        }
        int32_t *index = context_allocate(context, (size_t)(out * longest), sizeof *index);
        double *share = context_allocate(context, (size_t)out, sizeof *share);
        if (index && share)
            x = pool_axis(x, axis, out, mean, index, share, longest);
        else
            x = no_memory(x.graph, name);
        context_release(context, index);
        context_release(context, share);
    }
    return x;
}

tw_value tw_adaptive_average_pool(tw_value x, const int64_t *extent) {
    return adaptive("tw_adaptive_average_pool", x, extent, true);
}

tw_value tw_adaptive_max_pool(tw_value x, const int64_t *extent) {
    return adaptive("tw_adaptive_max_pool", x, extent, false);
}

/* ---- global pooling ---- */

/* (batch, space..., channels) -> (batch, positions, channels) */
static tw_value flat(const char *name, tw_value x) {
    if (!rule_usable(name, 1, &x)) return rule_poison(x.graph);
    tw_shape shape = tw_shape_of(x);
    int last = shape.rank - 1;
    if (last < 2)
        return rule_fail(x.graph, TW_ERR_SHAPE,
                         "%s: x has rank %d, expected (batch, space..., channels)", name, last + 1);
    int64_t positions = tw_dim_product(x.graph->module->context, shape, 1, last);
    return tw_reshape(x, TW_SHAPE(shape.dim[0], positions, shape.dim[last]));
}

tw_value tw_global_average_pool(tw_value x) {
    x = flat("tw_global_average_pool", x);
    return tw_ok(x) ? tw_mean_axis(x, 1, false) : x;
}

tw_value tw_global_max_pool(tw_value x) {
    x = flat("tw_global_max_pool", x);
    return tw_ok(x) ? tw_max_axis(x, 1, false) : x;
}
