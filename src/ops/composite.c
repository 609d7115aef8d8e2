/*
 * The small composites (relu, loss, softmax) and the list of them all. A composite is one node
 * with a body of primitives; type inference, factors and cost follow from the body.
 */
#include "ops/composite.h"

#include <thalweg/operators.h>

#include "ir/dimension.h"
#include "ops/families.h"

bool body_type(tw_graph *graph, const tw_signature *signature, int operand, unsigned set) {
    tw_dtype dtype = signature->operand[operand].dtype;
    if (type_in(dtype, set)) return true;
    const char *wanted = set == TYPES_FLOAT ? "f32 or f64" : "i32 or i64";
    tw_fail(graph, "operand %d is %s, expected %s; tw_cast converts", operand, tw_dtype_name(dtype),
            wanted);
    return false;
}

bool body_expects(tw_graph *graph, const tw_signature *signature, int operand, tw_dtype dtype,
                  tw_shape shape) {
    tw_type given = signature->operand[operand];
    if (given.dtype == dtype && shape_equal(given.shape, shape)) return true;
    text have = {.context = signature->context}, want = {.context = signature->context};
    type_print(signature->context, given, &have);
    type_print(signature->context, (tw_type){dtype, shape}, &want);
    tw_fail(graph, "operand %d is %s, expected %s; tw_cast and tw_broadcast convert", operand,
            have.at ? have.at : "of another type", want.at ? want.at : "that of the others");
    text_drop(&have);
    text_drop(&want);
    return false;
}

bool body_floats_alike(tw_graph *graph, const tw_signature *signature, int count) {
    tw_type first = signature->operand[0];
    if (!body_type(graph, signature, 0, TYPES_FLOAT)) return false;
    for (int i = 1; i < count; i++)
        if (!body_expects(graph, signature, i, first.dtype, first.shape)) return false;
    return true;
}

/* relu */

static void relu_body(tw_graph *graph, const tw_signature *signature, const tw_value *in,
                      tw_value *out) {
    if (!body_floats_alike(graph, signature, 1)) return;
    out[0] = tw_max(in[0], tw_literal(in[0], 0));
}

static void relu_vjp(tw_graph *graph, tw_vjp *rule) {
    (void)graph;
    rule->d_operand[0] = relu_grad(rule->result[0], rule->d_result[0]);
}

static const tw_sample relu_samples[] = {
    {.operands = "f64[3,4]", .kink_at_zero = true},
    {.operands = "f64[1]", .kink_at_zero = true},
    {.operands = "f64[0,3]"},
    {.operands = NULL},
};

static const tw_operator op_relu = {
    .name = "relu",
    .formula = "y = max(x, 0)",
    .semantics = "NaN gives NaN; the derivative at 0 is 0",
    .operands = "x",
    .results = "y",
    .vjp = relu_vjp,
    .batch = rule_batch_leading,
    .meaning = TW_MEANS_BODY,
    .body = relu_body,
    .samples = relu_samples,
};

/* relu_grad: from y, not x, so that x need not be kept. */

static void relu_grad_body(tw_graph *graph, const tw_signature *signature, const tw_value *in,
                           tw_value *out) {
    if (!body_floats_alike(graph, signature, 2)) return;
    tw_value positive = tw_compare(TW_GT, in[0], tw_literal(in[0], 0));
    out[0] = tw_select(positive, in[1], tw_literal(in[1], 0));
}

static const tw_sample relu_grad_samples[] = {
    {.operands = "f64[3,4] f64[3,4]", .kink_at_zero = true},
    {.operands = "f64[1] f64[1]", .kink_at_zero = true},
    {.operands = "f64[0,3] f64[0,3]"},
    {.operands = NULL},
};

static const tw_operator op_relu_grad = {
    .name = "relu_grad",
    .formula = "dx = dy where y > 0, else 0",
    .semantics = "0 where y is NaN",
    .operands = "y dy",
    .results = "dx",
    .batch = rule_batch_leading,
    .meaning = TW_MEANS_BODY,
    .body = relu_grad_body,
    .samples = relu_grad_samples,
};

tw_value relu_grad(tw_value y, tw_value dy) { return rule_apply2("relu_grad", y, dy, NULL); }

/* loss: kept as a node of its own so that microbatches find the pair. */

static void loss_body(tw_graph *graph, const tw_signature *signature, const tw_value *in,
                      tw_value *out) {
    if (signature->operand[0].shape.rank || signature->operand[1].shape.rank) {
        tw_fail(graph, "a loss is made of two scalars; reduce them with tw_sum first");
        return;
    }
    if (!body_floats_alike(graph, signature, 2)) return;
    out[0] = tw_div(in[0], in[1]);
}

static const tw_sample loss_samples[] = {
    {.operands = "f64[] f64[]", .low = 0.5, .high = 2},
    {.operands = NULL},
};

static const tw_operator op_loss = {
    .name = "loss",
    .formula = "y = sum / weight",
    .semantics = "a weight of 0 gives NaN or an infinity, as division does",
    .operands = "sum weight",
    .results = "y",
    .meaning = TW_MEANS_BODY,
    .body = loss_body,
    .samples = loss_samples,
};

/* softmax: the maximum is subtracted first, so that no exponential overflows. */

static void softmax_body(tw_graph *graph, const tw_signature *signature, const tw_value *in,
                         tw_value *out) {
    if (!body_floats_alike(graph, signature, 1)) return;
    tw_value top = tw_stop_gradient(tw_max_axis(in[0], -1, true));
    tw_value e = tw_exp(tw_sub(in[0], top));
    out[0] = tw_div(e, tw_sum_axis(e, -1, true));
}

/* dx = y (dy - sum(y dy)) */
static void softmax_vjp(tw_graph *graph, tw_vjp *rule) {
    (void)graph;
    tw_value y = rule->result[0], dy = rule->d_result[0];
    tw_value mean = tw_sum_axis(tw_mul(y, dy), -1, true);
    rule->d_operand[0] = tw_mul(y, tw_sub(dy, mean));
}

static const tw_sample softmax_samples[] = {
    {.operands = "f64[3,4]"}, {.operands = "f64[2,3,5]"}, {.operands = "f64[1]"},
    {.operands = "f64[0,3]"}, {.operands = NULL},
};

static const tw_operator op_softmax = {
    .name = "softmax",
    .formula = "y = exp(x) / sum(exp(x)) over the last axis",
    .semantics = "NaN gives NaN along its row; a row of only -inf gives NaN",
    .operands = "x",
    .results = "y",
    .vjp = softmax_vjp,
    .batch = rule_batch_leading,
    .meaning = TW_MEANS_BODY,
    .body = softmax_body,
    .samples = softmax_samples,
};

tw_value tw_relu(tw_value x) { return rule_apply1("relu", x, NULL); }

tw_value tw_softmax(tw_value x) { return rule_apply1("softmax", x, NULL); }

tw_value tw_log_softmax(tw_value x) {
    tw_value z = tw_sub(x, tw_stop_gradient(tw_max_axis(x, -1, true)));
    return tw_sub(z, tw_log(tw_sum_axis(tw_exp(z), -1, true)));
}

const tw_operator *const ops_composite[] = {
    &op_relu,      &op_relu_grad,     &op_loss,
    &op_softmax,   &op_cross_entropy, &op_cross_entropy_grad,
    &op_conv_bias, &op_max_pool,      &op_max_pool_grad,
    NULL,
};
