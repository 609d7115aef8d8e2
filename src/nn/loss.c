/* Losses, each a pair of a sum and a weight, and the count of correct answers. */
#include <thalweg/loss.h>

#include "ir/dimension.h"
#include "ir/graph.h"
#include "ops/rules.h"

tw_value tw_loss(tw_value sum, tw_value weight) { return rule_apply2("loss", sum, weight, NULL); }

/* Labels as an index type: u8 as i32. */
static tw_value as_index(tw_value labels) {
    return tw_dtype_of(labels) == TW_U8 ? tw_cast(labels, TW_I32) : labels;
}

tw_value tw_cross_entropy(tw_value logits, tw_value labels, const tw_cross_entropy_opts *opts) {
    (void)opts;
    const tw_value in[] = {logits, labels};
    tw_graph *graph = rule_graph(2, in);
    if (!rule_usable("tw_cross_entropy", 2, in)) return rule_poison(graph);
    tw_shape shape = tw_shape_of(logits);
    int last = shape.rank - 1;
    if (last < 0)
        return rule_fail(graph, TW_ERR_SHAPE,
                         "tw_cross_entropy: logits is a scalar, expected "
                         "(..., classes)");
    int64_t rows = tw_dim_product(graph->module->context, shape, 0, last);
    tw_value flat = tw_reshape(as_index(labels), TW_SHAPE(rows));
    const tw_value pair[] = {tw_reshape(logits, TW_SHAPE(rows, shape.dim[last])), flat};
    tw_value losses = tw_apply(graph, "cross_entropy", 2, pair, NULL, NULL);
    tw_value counts = tw_compare(TW_GE, flat, tw_literal(flat, 0));
    return tw_loss(tw_sum(losses), tw_sum(tw_cast(counts, tw_dtype_of(logits))));
}

/* Equal shapes: (n, 1) against (n) would broadcast to (n, n) and train on nonsense. */
tw_value tw_mse(tw_value prediction, tw_value target) {
    const tw_value in[] = {prediction, target};
    tw_graph *graph = rule_graph(2, in);
    if (!rule_usable("tw_mse", 2, in)) return rule_poison(graph);
    if (!shape_equal(tw_shape_of(prediction), tw_shape_of(target)))
        return rule_fail(graph, TW_ERR_SHAPE,
                         "tw_mse: prediction and target differ in shape; reshape one of them");
    return tw_mean(tw_square(tw_sub(prediction, target)));
}

tw_value tw_correct(tw_value logits, tw_value labels) {
    const tw_value in[] = {logits, labels};
    if (!rule_usable("tw_correct", 2, in)) return rule_poison(rule_graph(2, in));
    tw_value answer = tw_argmax(logits, -1);
    tw_value right = tw_compare(TW_EQ, answer, tw_cast(labels, TW_I32));
    return tw_sum(tw_cast(right, TW_I32));
}
