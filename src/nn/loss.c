/* The pair of a sum and a weight that every loss ends in, and checks that losses share. */
#include "nn/loss.h"

#include "ir/dimension.h"
#include "ir/graph.h"

tw_value tw_loss(tw_value sum, tw_value weight) { return rule_apply2("loss", sum, weight, NULL); }

/* Equal shapes: (n, 1) against (n) would broadcast to (n, n) and train on nonsense. */
bool loss_alike(const char *function, int n, const tw_value *in, const char *names) {
    if (!rule_usable(function, n, in)) return false;
    tw_type first = tw_type_of(in[0]);
    if (!type_in(first.dtype, TYPES_FLOAT)) {
        rule_fail(in[0].graph, TW_ERR_TYPE, "%s: operand 0 is %s, expected f32 or f64, f16 or bf16",
                  function, tw_dtype_name(first.dtype));
        return false;
    }
    for (int i = 1; i < n; i++) {
        tw_type other = tw_type_of(in[i]);
        if (other.dtype != first.dtype) {
            rule_fail(in[0].graph, TW_ERR_TYPE, "%s: %s are %s and %s, expected one type", function,
                      names, tw_dtype_name(first.dtype), tw_dtype_name(other.dtype));
            return false;
        }
        if (!shape_equal(other.shape, first.shape)) {
            rule_fail(in[0].graph, TW_ERR_SHAPE, "%s: %s differ in shape; reshape one of them",
                      function, names);
            return false;
        }
    }
    return true;
}

tw_value loss_fine(tw_value x) {
    return tw_ok(x) && type_in(tw_dtype_of(x), TYPES_HALF) ? tw_cast(x, TW_F32) : x;
}

tw_shape loss_rows(tw_shape shape) {
    if (shape.rank > 0) shape.dim[--shape.rank] = 0;
    return shape;
}

tw_value loss_labels(const char *function, tw_value labels, tw_shape shape) {
    tw_type type = tw_type_of(labels);
    if (!type_in(type.dtype, TYPES_INTEGER)) {
        return rule_fail(labels.graph, TW_ERR_TYPE, "%s: labels are %s, expected integers",
                         function, tw_dtype_name(type.dtype));
    }
    if (!shape_equal(type.shape, shape)) {
        return rule_fail(labels.graph, TW_ERR_SHAPE,
                         "%s: labels of rank %d, expected one for each row: the other operand's "
                         "shape without its last axis, of rank %d",
                         function, (int)type.shape.rank, (int)shape.rank);
    }
    if (type_in(type.dtype, TYPES_INDEX)) return labels;
    return tw_cast(labels, type.dtype == TW_U8 ? TW_I32 : TW_I64);
}

tw_value loss_spread(const char *function, tw_value weights, tw_value like, tw_shape shape) {
    const tw_value in[] = {like, weights};
    if (!rule_usable(function, 2, in)) return rule_poison(like.graph);
    weights = loss_fine(weights);
    tw_type type = tw_type_of(weights);
    bool leading = type.shape.rank <= shape.rank;
    for (int i = 0; leading && i < type.shape.rank; i++)
        leading = type.shape.dim[i] == shape.dim[i];
    if (!leading) {
        return rule_fail(like.graph, TW_ERR_SHAPE,
                         "%s: weights of rank %d do not have the leading axes of the losses, "
                         "which have rank %d",
                         function, (int)type.shape.rank, (int)shape.rank);
    }
    if (type.dtype != tw_dtype_of(like)) {
        return rule_fail(like.graph, TW_ERR_TYPE, "%s: weights are %s, expected %s", function,
                         tw_dtype_name(type.dtype), tw_dtype_name(tw_dtype_of(like)));
    }
    if (type.shape.rank == shape.rank) return weights;
    tw_shape column = type.shape;
    while (column.rank < shape.rank) column.dim[column.rank++] = 1;
    return tw_broadcast(tw_reshape(weights, column), shape);
}

tw_value loss_mean(const char *function, tw_value losses, tw_value weights) {
    losses = loss_fine(losses);
    if (!weights.graph) return tw_mean(losses);
    if (!rule_usable(function, 1, &losses)) return rule_poison(losses.graph);
    tw_value spread = loss_spread(function, weights, losses, tw_shape_of(losses));
    return tw_loss(tw_sum(tw_mul(losses, spread)), tw_sum(spread));
}

tw_value tw_weighted_mean(tw_value losses, tw_value weights) {
    return loss_mean("tw_weighted_mean", losses, weights);
}

tw_value loss_where(tw_value mask, tw_value x) { return tw_select(mask, x, tw_literal(x, 0)); }

tw_value loss_masked_logsumexp(tw_value x, tw_value mask) {
    tw_value z = tw_select(mask, x, tw_literal(x, LOSS_LOG_ZERO));
    tw_value top = tw_stop_gradient(tw_max_axis(z, -1, true));
    tw_value total = tw_sum_axis(tw_exp(tw_sub(z, top)), -1, true);
    tw_value y = tw_add(tw_log(total), top);
    return tw_reshape(y, loss_rows(tw_shape_of(x)));
}
