/* The logarithm of a sum of exponentials, log softmax, and the softmax family over any axis. */
#include <math.h>
#include <thalweg/operators.h>

#include "ops/composite.h"
#include "ops/families.h"

/* logsumexp */

/* y, with 0 where it is infinite: what may be subtracted from infinities. */
static tw_value finite_or_zero(tw_value y) {
    tw_value finite = tw_compare(TW_NE, tw_abs(y), tw_literal(y, INFINITY));
    return tw_select(finite, y, tw_literal(y, 0));
}

static void logsumexp_body(tw_graph *graph, const tw_signature *signature, const tw_value *in,
                           tw_value *out) {
    if (!body_floats_alike(graph, signature, 1)) return;
    tw_value top = finite_or_zero(tw_stop_gradient(tw_max_axis(in[0], -1, true)));
    tw_value total = tw_sum_axis(tw_exp(tw_sub(in[0], top)), -1, true);
    out[0] = tw_add(tw_log(total), top);
}

/* dx = softmax(x) dy */
static void logsumexp_vjp(tw_graph *graph, tw_vjp *rule) {
    (void)graph;
    tw_value p = tw_exp(tw_sub(rule->operand[0], finite_or_zero(rule->result[0])));
    rule->d_operand[0] = tw_mul(p, rule->d_result[0]);
}

static const tw_sample row_samples[] = {
    {.operands = "f64[3,4]"}, {.operands = "f64[2,3,5]"}, {.operands = "f64[1]"},
    {.operands = "f64[0,3]"}, {.operands = NULL},
};

static const tw_operator op_logsumexp = {
    .name = "logsumexp",
    .formula = "y = log(sum(exp(x))) over the last axis, which stays as 1",
    .semantics = "NaN gives NaN; of nothing, and of only -inf, -inf with gradient 0; where one is "
                 "+inf, +inf",
    .operands = "x",
    .results = "y",
    .vjp = logsumexp_vjp,
    .meaning = TW_MEANS_BODY,
    .body = logsumexp_body,
    .samples = row_samples,
};

/* log_softmax */

static void log_softmax_body(tw_graph *graph, const tw_signature *signature, const tw_value *in,
                             tw_value *out) {
    if (!body_floats_alike(graph, signature, 1)) return;
    tw_value z = tw_sub(in[0], tw_stop_gradient(tw_max_axis(in[0], -1, true)));
    out[0] = tw_sub(z, tw_log(tw_sum_axis(tw_exp(z), -1, true)));
}

/* dx = dy - exp(y) sum(dy) */
static void log_softmax_vjp(tw_graph *graph, tw_vjp *rule) {
    (void)graph;
    tw_value dy = rule->d_result[0];
    tw_value all = tw_sum_axis(dy, -1, true);
    rule->d_operand[0] = tw_sub(dy, tw_mul(tw_exp(rule->result[0]), all));
}

static const tw_operator op_log_softmax = {
    .name = "log_softmax",
    .formula = "y = x - log(sum(exp(x))) over the last axis",
    .semantics = "NaN gives NaN along its row, and so does a row of only -inf; one -inf among "
                 "others gives -inf",
    .operands = "x",
    .results = "y",
    .vjp = log_softmax_vjp,
    .meaning = TW_MEANS_BODY,
    .body = log_softmax_body,
    .samples = row_samples,
};

const tw_operator *const ops_logsumexp[] = {&op_logsumexp, &op_log_softmax, NULL};

tw_value tw_log_softmax(tw_value x) { return rule_apply1("log_softmax", x, NULL); }

/* The operator `name`, of the last axis, over `axis`: the two trade places before and after. */
static tw_value over_axis(const char *function, const char *name, tw_value x, int axis) {
    if (!rule_usable(function, 1, &x)) return rule_poison(x.graph);
    axis = rule_axis_of(function, x, axis);
    if (axis < 0) return rule_poison(x.graph);
    int last = tw_shape_of(x).rank - 1, axes[TW_MAX_RANK];
    if (axis == last) return rule_apply1(name, x, NULL);
    for (int i = 0; i <= last; i++) axes[i] = i;
    axes[axis] = last;
    axes[last] = axis;
    return tw_permute(rule_apply1(name, tw_permute(x, axes), NULL), axes);
}

tw_value tw_softmax_axis(tw_value x, int axis) {
    return over_axis("tw_softmax_axis", "softmax", x, axis);
}
tw_value tw_log_softmax_axis(tw_value x, int axis) {
    return over_axis("tw_log_softmax_axis", "log_softmax", x, axis);
}

tw_value tw_logsumexp(tw_value x, int axis, bool keep) {
    tw_value y = over_axis("tw_logsumexp", "logsumexp", x, axis);
    if (keep || !tw_ok(y)) return y;
    tw_shape shape = tw_shape_of(y), less = {0};
    int dropped = axis < 0 ? axis + shape.rank : axis;
    for (int i = 0; i < shape.rank; i++)
        if (i != dropped) less.dim[less.rank++] = shape.dim[i];
    return tw_reshape(y, less);
}
