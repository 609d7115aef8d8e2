/* Binary cross-entropy of logits: its gradient from the sigmoid, right at 0 and at any size. */
#include <thalweg/operators.h>

#include "ops/composite.h"
#include "ops/families.h"

static void binary_cross_entropy_body(tw_graph *graph, const tw_signature *signature,
                                      const tw_value *in, tw_value *out) {
    if (!body_floats_alike(graph, signature, 2)) return;
    tw_value x = in[0];
    tw_value positive = tw_sub(tw_max(x, tw_literal(x, 0)), tw_mul(x, in[1]));
    out[0] = tw_add(positive, tw_log1p(tw_exp(tw_neg(tw_abs(x)))));
}

static void binary_cross_entropy_vjp(tw_graph *graph, tw_vjp *rule) {
    (void)graph;
    tw_value x = rule->operand[0], dy = rule->d_result[0];
    if (rule->wanted[0]) rule->d_operand[0] = tw_mul(dy, tw_sub(tw_sigmoid(x), rule->operand[1]));
    if (rule->wanted[1]) rule->d_operand[1] = tw_neg(tw_mul(dy, x));
}

static const tw_sample binary_cross_entropy_samples[] = {
    {.operands = "f64[3,4] f64[3,4]", .low = -3, .high = 3, .kink_at_zero = true},
    {.operands = "f64[1] f64[1]", .low = 0, .high = 1, .kink_at_zero = true},
    {.operands = "f64[0,3] f64[0,3]"},
    {.operands = NULL},
};

static const tw_operator op_binary_cross_entropy = {
    .name = "binary_cross_entropy",
    .formula = "loss = max(x, 0) - x target + log(1 + exp(-|x|))",
    .semantics = "NaN gives NaN; an infinite x gives NaN or an infinity",
    .operands = "logits targets",
    .results = "loss",
    .vjp = binary_cross_entropy_vjp,
    .meaning = TW_MEANS_BODY,
    .body = binary_cross_entropy_body,
    .samples = binary_cross_entropy_samples,
};

const tw_operator *const ops_binary_cross_entropy[] = {&op_binary_cross_entropy, NULL};
