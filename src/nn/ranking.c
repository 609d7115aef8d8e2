/* Losses of an order: by pairs (margin, logistic), by lists (ListNet, ListMLE). */
#include "ir/dimension.h"
#include "nn/loss.h"

tw_value tw_margin_ranking(tw_value a, tw_value b, tw_value first, const tw_ranking_opts *opts) {
    const tw_value in[] = {a, b, first};
    if (!loss_alike("tw_margin_ranking", 3, in, "a, b and first"))
        return rule_poison(rule_graph(3, in));
    tw_value lead = tw_mul(loss_fine(first), tw_sub(loss_fine(a), loss_fine(b)));
    tw_value losses = tw_relu(tw_shift(tw_neg(lead), opts ? opts->margin : 0));
    return loss_mean("tw_margin_ranking", losses, opts ? opts->weights : (tw_value){0});
}

/* Scores and relevance (lists, items), and the items that are no padding. */
typedef struct lists {
    tw_value scores, relevance, there;
    int64_t lists, items;
} lists;

static bool begin(const char *function, tw_value scores, tw_value relevance, lists *out) {
    const tw_value in[] = {scores, relevance};
    if (!loss_alike(function, 2, in, "scores and relevance")) return false;
    tw_shape shape = tw_shape_of(scores);
    if (shape.rank != 2) {
        rule_fail(scores.graph, TW_ERR_SHAPE,
                  "%s: scores have rank %d, expected (lists, items); a list alone is (1, items)",
                  function, (int)shape.rank);
        return false;
    }
    tw_value there = tw_compare(TW_GE, relevance, tw_literal(relevance, 0));
    *out = (lists){loss_fine(scores), loss_fine(relevance), there, shape.dim[0], shape.dim[1]};
    return true;
}

/* (lists, items) as item i, along axis 1, or item j, along axis 2, of all pairs of a list. */
static tw_value item_i(const lists *l, tw_value x) {
    tw_shape pairs = TW_SHAPE(l->lists, l->items, l->items);
    return tw_broadcast(tw_reshape(x, TW_SHAPE(l->lists, l->items, 1)), pairs);
}
static tw_value item_j(const lists *l, tw_value x) {
    tw_shape pairs = TW_SHAPE(l->lists, l->items, l->items);
    return tw_broadcast(tw_reshape(x, TW_SHAPE(l->lists, 1, l->items)), pairs);
}

/* The mean over lists of which something is there. */
static tw_value mean_of_lists(const char *function, const lists *l, tw_value losses,
                              tw_value weights) {
    tw_value any = tw_max_axis(tw_cast(l->there, tw_dtype_of(l->scores)), 1, false);
    if (weights.graph)
        any = tw_mul(any, loss_spread(function, weights, losses, tw_shape_of(losses)));
    return loss_mean(function, losses, any);
}

tw_value tw_pairwise_logistic(tw_value scores, tw_value relevance, const tw_ranking_opts *opts) {
    const char *function = "tw_pairwise_logistic";
    const tw_value in[] = {scores, relevance};
    lists l;
    if (!begin(function, scores, relevance, &l)) return rule_poison(rule_graph(2, in));
    tw_value above = tw_compare(TW_GT, item_i(&l, l.relevance), item_j(&l, l.relevance));
    above = tw_and(above, item_j(&l, l.there));
    tw_value lead = tw_sub(item_i(&l, l.scores), item_j(&l, l.scores));
    tw_value losses = rule_apply2("binary_cross_entropy", lead, tw_literal(lead, 1), NULL);
    tw_value weight = tw_cast(above, tw_dtype_of(l.scores));
    if (opts && opts->weights.graph)
        weight =
            tw_mul(weight, loss_spread(function, opts->weights, l.scores, tw_shape_of(weight)));
    return loss_mean(function, loss_where(above, losses), weight);
}

tw_value tw_listnet(tw_value scores, tw_value relevance, const tw_ranking_opts *opts) {
    const tw_value in[] = {scores, relevance};
    lists l;
    if (!begin("tw_listnet", scores, relevance, &l)) return rule_poison(rule_graph(2, in));
    tw_value nothing = tw_literal(l.scores, LOSS_LOG_ZERO);
    tw_value wanted = tw_softmax(tw_select(l.there, l.relevance, nothing));
    tw_value given = tw_log_softmax(tw_select(l.there, l.scores, nothing));
    tw_value terms = loss_where(l.there, tw_mul(wanted, given));
    tw_value losses = tw_neg(tw_sum_axis(terms, 1, false));
    return mean_of_lists("tw_listnet", &l, losses, opts ? opts->weights : (tw_value){0});
}

/* Item i is followed by the items j that come no earlier: no sorting. */
tw_value tw_listmle(tw_value scores, tw_value relevance, const tw_ranking_opts *opts) {
    const tw_value in[] = {scores, relevance};
    lists l;
    if (!begin("tw_listmle", scores, relevance, &l)) return rule_poison(rule_graph(2, in));
    tw_value of_i = item_i(&l, l.relevance), of_j = item_j(&l, l.relevance);
    tw_shape square = TW_SHAPE(l.items, l.items);
    tw_value i = tw_iota(scores.graph, TW_I32, square, 0);
    tw_value j = tw_iota(scores.graph, TW_I32, square, 1);
    tw_value tied = tw_and(tw_compare(TW_EQ, of_j, of_i), tw_compare(TW_GE, j, i));
    tw_value follows = tw_or(tw_compare(TW_LT, of_j, of_i), tied);
    follows = tw_and(follows, item_j(&l, l.there));
    tw_value rest = loss_masked_logsumexp(item_j(&l, l.scores), follows);
    tw_value terms = loss_where(l.there, tw_sub(rest, l.scores));
    tw_value losses = tw_sum_axis(terms, 1, false);
    return mean_of_lists("tw_listmle", &l, losses, opts ? opts->weights : (tw_value){0});
}
