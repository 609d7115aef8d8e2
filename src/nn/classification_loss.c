/* Losses of scores against classes: cross-entropies, divergence, hinges. */
#include "ir/dimension.h"
#include "ir/graph.h"
#include "nn/loss.h"

/* (..., classes) -> the number of rows, which may be a handle. */
static int64_t row_count(tw_value x) {
    tw_shape shape = tw_shape_of(x);
    return tw_dim_product(x.graph->module->context, shape, 0, shape.rank - 1);
}

static bool has_classes(const char *function, tw_value x) {
    if (tw_shape_of(x).rank > 0) return true;
    rule_fail(x.graph, TW_ERR_SHAPE, "%s: %s is a scalar, expected (..., classes)", function,
              strcmp(function, "tw_multi_margin") ? "logits" : "scores");
    return false;
}

static bool cross_entropy_options(tw_value logits, const tw_cross_entropy_opts *o) {
    if (!(o->smoothing >= 0 && o->smoothing <= 1)) {
        rule_fail(logits.graph, TW_ERR_ARGUMENT,
                  "tw_cross_entropy: smoothing is %g, expected 0 to 1", o->smoothing);
        return false;
    }
    if (!o->class_weights.graph) return true;
    if (!rule_usable("tw_cross_entropy", 1, &o->class_weights)) return false;
    tw_type logit = tw_type_of(logits), type = tw_type_of(o->class_weights);
    if (type.dtype == logit.dtype && type.shape.rank == 1 &&
        type.shape.dim[0] == logit.shape.dim[logit.shape.rank - 1])
        return true;
    rule_fail(logits.graph, TW_ERR_SHAPE,
              "tw_cross_entropy: class_weights must be (classes) of the logits' type");
    return false;
}

/* Labels are probabilities: -sum_c weight[c] target[c] log p[c]. */
static tw_value dense_cross_entropy(tw_value logits, tw_value labels,
                                    const tw_cross_entropy_opts *o) {
    const tw_value in[] = {logits, labels};
    if (!loss_alike("tw_cross_entropy", 2, in, "logits and labels as probabilities"))
        return rule_poison(logits.graph);
    if (o->ignore) {
        return rule_fail(logits.graph, TW_ERR_ARGUMENT,
                         "tw_cross_entropy: ignored is for integer labels; give rows of "
                         "probabilities a weight of 0");
    }
    tw_value p = tw_log_softmax(loss_fine(logits));
    if (o->class_weights.graph) p = tw_mul(p, o->class_weights);
    tw_value rows = tw_sum_axis(tw_mul(loss_fine(labels), p), -1, false);
    if (o->smoothing != 0)
        rows = tw_add(tw_scale(rows, 1 - o->smoothing),
                      tw_scale(tw_mean_axis(p, -1, false), o->smoothing));
    return loss_mean("tw_cross_entropy", tw_neg(rows), o->weights);
}

/* Rows of the composite, each times its label's class weight; smoothing is a term of its own. */
static tw_value class_weighted(tw_value logits, tw_value labels, tw_value rows, tw_value weight,
                               const tw_cross_entropy_opts *o) {
    tw_value losses = tw_mul(rows, weight);
    if (o->smoothing == 0) return losses;
    tw_value p = tw_mul(tw_log_softmax(logits), o->class_weights);
    tw_value even = tw_neg(tw_mean_axis(p, -1, false));
    tw_value counts = tw_compare(TW_GE, labels, tw_literal(labels, 0));
    return tw_add(tw_scale(losses, 1 - o->smoothing),
                  tw_scale(loss_where(counts, even), o->smoothing));
}

static tw_value labelled_cross_entropy(tw_value logits, tw_value labels,
                                       const tw_cross_entropy_opts *o) {
    tw_shape shape = tw_shape_of(logits), rows = loss_rows(shape);
    int64_t count = row_count(logits);
    labels = loss_labels("tw_cross_entropy", labels, rows);
    if (!tw_ok(labels)) return labels;
    tw_value flat = tw_reshape(labels, TW_SHAPE(count));
    if (o->ignore) {
        tw_value same = tw_compare(TW_EQ, flat, tw_literal(flat, (double)o->ignored));
        flat = tw_select(same, tw_literal(flat, -1), flat);
    }
    const tw_value pair[] = {tw_reshape(logits, TW_SHAPE(count, shape.dim[shape.rank - 1])), flat};
    const tw_attr smoothing = tw_attr_float(o->class_weights.graph ? 0 : o->smoothing);
    tw_value losses = tw_apply(logits.graph, "cross_entropy", 2, pair, &smoothing, NULL), weight;
    if (o->class_weights.graph) {
        weight = tw_take(o->class_weights, flat);
        losses = class_weighted(pair[0], flat, losses, weight, o);
    } else {
        weight = tw_cast(tw_compare(TW_GE, flat, tw_literal(flat, 0)), tw_dtype_of(logits));
    }
    if (o->weights.graph) {
        tw_value spread = loss_spread("tw_cross_entropy", o->weights, logits, rows);
        spread = tw_reshape(spread, TW_SHAPE(count));
        losses = tw_mul(losses, spread);
        weight = tw_mul(weight, spread);
    }
    return tw_loss(tw_sum(losses), tw_sum(weight));
}

tw_value tw_cross_entropy(tw_value logits, tw_value labels, const tw_cross_entropy_opts *opts) {
    const tw_value in[] = {logits, labels};
    tw_graph *graph = rule_graph(2, in);
    if (!rule_usable("tw_cross_entropy", 2, in) || !has_classes("tw_cross_entropy", logits))
        return rule_poison(graph);
    tw_cross_entropy_opts o = opts ? *opts : (tw_cross_entropy_opts){.smoothing = 0};
    if (!cross_entropy_options(logits, &o)) return rule_poison(graph);
    o.class_weights = loss_fine(o.class_weights);
    if (type_in(tw_dtype_of(labels), TYPES_FLOAT)) return dense_cross_entropy(logits, labels, &o);
    return labelled_cross_entropy(loss_fine(logits), labels, &o);
}

/* With a positive weight p: (1 - t) x + (1 + (p - 1) t) log(1 + exp(-x)). */
tw_value tw_binary_cross_entropy(tw_value logits, tw_value targets,
                                 const tw_binary_cross_entropy_opts *opts) {
    const tw_value in[] = {logits, targets};
    if (!loss_alike("tw_binary_cross_entropy", 2, in, "logits and targets"))
        return rule_poison(rule_graph(2, in));
    logits = loss_fine(logits);
    targets = loss_fine(targets);
    tw_value losses, one = tw_literal(targets, 1);
    if (opts && opts->pos_weight.graph) {
        tw_value weight = loss_fine(opts->pos_weight);
        tw_value factor = tw_add(tw_mul(targets, tw_shift(weight, -1)), one);
        tw_value softplus = rule_apply2("binary_cross_entropy", logits, one, NULL);
        losses = tw_add(tw_mul(tw_sub(one, targets), logits), tw_mul(factor, softplus));
    } else {
        losses = rule_apply2("binary_cross_entropy", logits, targets, NULL);
    }
    if (tw_ok(losses) && !shape_equal(tw_shape_of(losses), tw_shape_of(logits))) {
        return rule_fail(logits.graph, TW_ERR_SHAPE,
                         "tw_binary_cross_entropy: pos_weight does not broadcast to the targets");
    }
    return loss_mean("tw_binary_cross_entropy", losses, opts ? opts->weights : (tw_value){0});
}

tw_value tw_kl_divergence(tw_value log_input, tw_value target, const tw_kl_divergence_opts *opts) {
    const tw_value in[] = {log_input, target};
    if (!loss_alike("tw_kl_divergence", 2, in, "log_input and target") ||
        !has_classes("tw_kl_divergence", log_input))
        return rule_poison(rule_graph(2, in));
    log_input = loss_fine(log_input);
    target = loss_fine(target);
    tw_value p = target, log_p = target;
    if (opts && opts->log_target) {
        p = tw_exp(target);
    } else {
        tw_value positive = tw_compare(TW_GT, target, tw_literal(target, 0));
        log_p = tw_log(tw_select(positive, target, tw_literal(target, 1)));
    }
    tw_value rows = tw_sum_axis(tw_mul(p, tw_sub(log_p, log_input)), -1, false);
    return loss_mean("tw_kl_divergence", rows, opts ? opts->weights : (tw_value){0});
}

static tw_hinge_opts hinge_options(const tw_hinge_opts *opts) {
    tw_hinge_opts o = opts ? *opts : (tw_hinge_opts){.margin = 1};
    if (o.margin == 0) o.margin = 1;
    return o;
}

tw_value tw_hinge(tw_value scores, tw_value targets, const tw_hinge_opts *opts) {
    const tw_value in[] = {scores, targets};
    if (!loss_alike("tw_hinge", 2, in, "scores and targets")) return rule_poison(rule_graph(2, in));
    tw_hinge_opts o = hinge_options(opts);
    tw_value product = tw_mul(loss_fine(targets), loss_fine(scores));
    tw_value losses = tw_relu(tw_shift(tw_neg(product), o.margin));
    return loss_mean("tw_hinge", o.squared ? tw_square(losses) : losses, o.weights);
}

tw_value tw_multi_margin(tw_value scores, tw_value labels, const tw_hinge_opts *opts) {
    const tw_value in[] = {scores, labels};
    if (!rule_usable("tw_multi_margin", 2, in) || !has_classes("tw_multi_margin", scores))
        return rule_poison(rule_graph(2, in));
    tw_hinge_opts o = hinge_options(opts);
    tw_shape shape = tw_shape_of(scores), rows = loss_rows(shape), column = rows;
    labels = loss_labels("tw_multi_margin", labels, rows);
    if (!tw_ok(labels)) return labels;
    scores = loss_fine(scores);
    column.dim[column.rank++] = 1;
    tw_value own = tw_reshape(labels, column);
    tw_value right = tw_take_along(scores, own, shape.rank - 1);
    tw_value over = tw_relu(tw_shift(tw_sub(scores, right), o.margin));
    if (o.squared) over = tw_square(over);
    tw_value place = tw_iota(scores.graph, tw_dtype_of(own), shape, shape.rank - 1);
    over = loss_where(tw_compare(TW_NE, place, own), over);
    tw_value counts = tw_compare(TW_GE, labels, tw_literal(labels, 0));
    tw_value losses = loss_where(counts, tw_mean_axis(over, -1, false));
    tw_value weight = tw_cast(counts, tw_dtype_of(scores));
    if (o.weights.graph)
        weight = tw_mul(weight, loss_spread("tw_multi_margin", o.weights, scores, rows));
    return loss_mean("tw_multi_margin", losses, weight);
}
