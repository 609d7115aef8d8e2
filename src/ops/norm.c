/* Variances, norms, and what is scaled by them. */
#include <math.h>
#include <thalweg/operators.h>

#include "ops/rules.h"

/* f16 and bf16 as f32: squares and sums of f16 soon leave its range. */
static tw_value widened(tw_value x) {
    return tw_ok(x) && type_in(tw_dtype_of(x), TYPES_HALF) ? tw_cast(x, TW_F32) : x;
}

/* The root with gradient 0 where x is 0, not infinity. */
static tw_value safe_root(tw_value x) {
    tw_value zero = tw_compare(TW_EQ, x, tw_literal(x, 0));
    tw_value root = tw_sqrt(tw_select(zero, tw_literal(x, 1), x));
    return tw_select(zero, tw_literal(x, 0), root);
}

/* The extent as a scalar of x's type, counted when the program runs if it is symbolic. */
static tw_value extent_of(tw_value x, int axis) {
    tw_type type = tw_type_of(x);
    int64_t extent = type.shape.dim[axis];
    if (extent >= 0) return tw_full(x.graph, type.dtype, TW_SHAPE(), (double)extent);
    return tw_sum(tw_full(x.graph, type.dtype, TW_SHAPE(extent), 1));
}

static tw_value variance_of(const char *function, tw_value x, int axis, double correction,
                            bool keep) {
    if (!rule_usable(function, 1, &x)) return rule_poison(x.graph);
    axis = rule_axis_of(function, x, axis);
    if (axis < 0) return rule_poison(x.graph);
    x = widened(x);
    tw_value apart = tw_sub(x, tw_mean_axis(x, axis, true));
    tw_value sum = tw_sum_axis(tw_square(apart), axis, keep);
    return tw_div(sum, tw_shift(extent_of(x, axis), -correction));
}

tw_value tw_variance_axis(tw_value x, int axis, double correction, bool keep) {
    tw_value y = variance_of("tw_variance_axis", x, axis, correction, keep);
    return tw_ok(y) ? tw_cast(y, tw_dtype_of(x)) : y;
}

tw_value tw_standard_deviation_axis(tw_value x, int axis, double correction, bool keep) {
    tw_value y = variance_of("tw_standard_deviation_axis", x, axis, correction, keep);
    return tw_ok(y) ? tw_cast(safe_root(y), tw_dtype_of(x)) : y;
}

static tw_value norm_of(tw_value x, double p, int axis, bool keep) {
    if (!rule_usable("tw_norm", 1, &x)) return rule_poison(x.graph);
    if (p == 1) return tw_sum_axis(tw_abs(x), axis, keep);
    if (p == 2) return safe_root(tw_sum_axis(tw_square(x), axis, keep));
    if (p == INFINITY) return tw_max_axis(tw_abs(x), axis, keep);
    return rule_fail(x.graph, TW_ERR_ARGUMENT, "tw_norm: p is %g, expected 1, 2 or INFINITY", p);
}

tw_value tw_norm(tw_value x, double p, int axis, bool keep) {
    tw_value y = norm_of(widened(x), p, axis, keep);
    return tw_ok(y) ? tw_cast(y, tw_dtype_of(x)) : y;
}

/* The norm, or epsilon if that is more. */
static tw_value norm_at_least(tw_value x, double p, int axis, bool keep, double epsilon) {
    tw_value norm = norm_of(x, p, axis, keep);
    return tw_max(norm, tw_literal(norm, epsilon));
}

tw_value tw_normalize(tw_value x, double p, int axis, double epsilon) {
    tw_value fine = widened(x);
    tw_value y = tw_div(fine, norm_at_least(fine, p, axis, true, epsilon == 0 ? 1e-12 : epsilon));
    return tw_ok(y) ? tw_cast(y, tw_dtype_of(x)) : y;
}

tw_value tw_clip_by_norm(tw_value x, double limit) {
    if (!rule_usable("tw_clip_by_norm", 1, &x)) return rule_poison(x.graph);
    if (!(limit > 0))
        return rule_fail(x.graph, TW_ERR_ARGUMENT, "tw_clip_by_norm: limit is %g, expected above 0",
                         limit);
    tw_dtype dtype = tw_dtype_of(x);
    x = widened(x);
    tw_value norm = safe_root(tw_sum(tw_square(x)));
    tw_value over = tw_compare(TW_GT, norm, tw_literal(norm, limit));
    tw_value one = tw_literal(norm, 1);
    tw_value factor = tw_div(tw_literal(norm, limit), tw_select(over, norm, one));
    return tw_cast(tw_mul(x, tw_select(over, factor, one)), dtype);
}

tw_value tw_cosine_similarity(tw_value a, tw_value b, int axis, double epsilon) {
    const tw_value in[] = {a, b};
    tw_graph *graph = rule_graph(2, in);
    if (!rule_usable("tw_cosine_similarity", 2, in)) return rule_poison(graph);
    if (epsilon == 0) epsilon = 1e-8;
    tw_shape common;
    if (!rule_broadcast_shape(tw_shape_of(a), tw_shape_of(b), &common))
        return rule_fail(graph, TW_ERR_SHAPE,
                         "tw_cosine_similarity: operands of rank %d and %d do not broadcast",
                         (int)tw_shape_of(a).rank, (int)tw_shape_of(b).rank);
    tw_dtype dtype = tw_dtype_of(a);
    if (dtype != tw_dtype_of(b)) return tw_add(a, b); /* says that types differ */
    a = tw_broadcast(widened(a), common);
    b = tw_broadcast(widened(b), common);
    tw_value lengths = tw_mul(norm_at_least(a, 2, axis, false, epsilon),
                              norm_at_least(b, 2, axis, false, epsilon));
    return tw_cast(tw_div(tw_sum_axis(tw_mul(a, b), axis, false), lengths), dtype);
}
