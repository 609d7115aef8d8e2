/* Losses of numbers against numbers: squared, absolute, Huber. */
#include "nn/loss.h"

static tw_value difference(tw_value prediction, tw_value target) {
    return tw_sub(loss_fine(prediction), loss_fine(target));
}

tw_value tw_mse(tw_value prediction, tw_value target) {
    const tw_value in[] = {prediction, target};
    if (!loss_alike("tw_mse", 2, in, "prediction and target"))
        return rule_poison(rule_graph(2, in));
    return tw_mean(tw_square(difference(prediction, target)));
}

/* What the options leave open, and delta. */
static bool begin(const char *function, tw_value prediction, tw_value target,
                  const tw_regression_opts *opts, tw_regression_opts *out) {
    const tw_value in[] = {prediction, target};
    if (!loss_alike(function, 2, in, "prediction and target")) return false;
    *out = opts ? *opts : (tw_regression_opts){.delta = 1};
    if (out->delta == 0) out->delta = 1;
    if (out->delta > 0) return true;
    rule_fail(prediction.graph, TW_ERR_ARGUMENT, "%s: delta is %g, expected more than 0", function,
              out->delta);
    return false;
}

tw_value tw_squared_error(tw_value prediction, tw_value target, const tw_regression_opts *opts) {
    tw_regression_opts o;
    if (!begin("tw_squared_error", prediction, target, opts, &o))
        return rule_poison(prediction.graph ? prediction.graph : target.graph);
    return loss_mean("tw_squared_error", tw_square(difference(prediction, target)), o.weights);
}

tw_value tw_l1(tw_value prediction, tw_value target, const tw_regression_opts *opts) {
    tw_regression_opts o;
    if (!begin("tw_l1", prediction, target, opts, &o))
        return rule_poison(prediction.graph ? prediction.graph : target.graph);
    return loss_mean("tw_l1", tw_abs(difference(prediction, target)), o.weights);
}

/* With q = min(|d|, delta): q (|d| - q / 2), in both branches and with the right slope at delta. */
static tw_value huber(tw_value prediction, tw_value target, double delta) {
    tw_value d = tw_abs(difference(prediction, target));
    tw_value q = tw_min(d, tw_literal(d, delta));
    return tw_mul(q, tw_sub(d, tw_scale(q, 0.5)));
}

tw_value tw_huber(tw_value prediction, tw_value target, const tw_regression_opts *opts) {
    tw_regression_opts o;
    if (!begin("tw_huber", prediction, target, opts, &o))
        return rule_poison(prediction.graph ? prediction.graph : target.graph);
    return loss_mean("tw_huber", huber(prediction, target, o.delta), o.weights);
}

tw_value tw_smooth_l1(tw_value prediction, tw_value target, const tw_regression_opts *opts) {
    tw_regression_opts o;
    if (!begin("tw_smooth_l1", prediction, target, opts, &o))
        return rule_poison(prediction.graph ? prediction.graph : target.graph);
    tw_value losses = tw_scale(huber(prediction, target, o.delta), 1 / o.delta);
    return loss_mean("tw_smooth_l1", losses, o.weights);
}
