/*
 * Activations as composites, each with a gradient that keeps x alone, and those that are functions
 * of others. Elementwise: leading axes are free. relu is in composite.c, where conv_bias uses it.
 */
#include <thalweg/operators.h>

#include "ops/composite.h"
#include "ops/families.h"

static bool refused(tw_graph *graph, const tw_signature *signature) {
    return !body_floats_alike(graph, signature, 1);
}

/* x > number */
static tw_value above(tw_value x, double number) {
    return tw_compare(TW_GT, x, tw_literal(x, number));
}

/* d_operand = d_result * slope */
static void chain(tw_vjp *rule, tw_value slope) {
    rule->d_operand[0] = tw_mul(rule->d_result[0], slope);
}

static const tw_sample smooth_samples[] = {
    {.operands = "f64[3,4]"}, {.operands = "f64[1]"}, {.operands = "f64[]"},
    {.operands = "f64[0,3]"}, {.operands = NULL},
};

#define ACTIVATION_COMMON .operands = "x", .results = "y", .meaning = TW_MEANS_BODY

/* gelu: Hendrycks & Gimpel 2016, eq. 1. P is the normal distribution. */

/* P(x) = (1 + erf(x / sqrt 2)) / 2 */
static tw_value normal_below(tw_value x) {
    return tw_scale(tw_shift(tw_erf(tw_scale(x, 0.70710678118654752440)), 1), 0.5);
}

static void gelu_body(tw_graph *graph, const tw_signature *signature, const tw_value *in,
                      tw_value *out) {
    if (refused(graph, signature)) return;
    out[0] = tw_mul(in[0], normal_below(in[0]));
}

/* dy/dx = P(x) + x p(x), p(x) = e^(-x^2/2) / sqrt(2 pi) */
static void gelu_vjp(tw_graph *graph, tw_vjp *rule) {
    (void)graph;
    tw_value x = rule->operand[0];
    tw_value bell = tw_exp(tw_scale(tw_square(x), -0.5));
    tw_value density = tw_scale(bell, 0.39894228040143267794);
    chain(rule, tw_add(normal_below(x), tw_mul(x, density)));
}

static const tw_operator op_gelu = {
    ACTIVATION_COMMON,
    .name = "gelu",
    .formula = "y = x P(x), P(x) = (1 + erf(x / sqrt(2))) / 2",
    .semantics = "NaN and -infinity give NaN",
    .vjp = gelu_vjp,
    .body = gelu_body,
    .samples = smooth_samples,
};

/* gelu_tanh: the same paper's approximation, as GPT-2 and BERT use it. */

static const double ROOT = 0.79788456080286535588, CUBIC = 0.044715; /* ROOT: sqrt(2 / pi) */

/* tanh(ROOT (x + CUBIC x^3)) */
static tw_value gelu_inner(tw_value x) {
    tw_value factor = tw_shift(tw_scale(tw_square(x), CUBIC), 1);
    return tw_tanh(tw_mul(tw_scale(x, ROOT), factor));
}

static void gelu_tanh_body(tw_graph *graph, const tw_signature *signature, const tw_value *in,
                           tw_value *out) {
    if (refused(graph, signature)) return;
    out[0] = tw_mul(tw_scale(in[0], 0.5), tw_shift(gelu_inner(in[0]), 1));
}

/* dy/dx = (1 + t + x (1 - t^2) ROOT (1 + 3 CUBIC x^2)) / 2, t the hyperbolic tangent above */
static void gelu_tanh_vjp(tw_graph *graph, tw_vjp *rule) {
    (void)graph;
    tw_value x = rule->operand[0], t = gelu_inner(x);
    tw_value steep = tw_shift(tw_scale(tw_square(x), 3 * CUBIC), 1);
    tw_value rise = tw_sub(tw_literal(t, 1), tw_square(t));
    tw_value bend = tw_mul(tw_mul(tw_scale(x, ROOT), rise), steep);
    chain(rule, tw_scale(tw_add(tw_shift(t, 1), bend), 0.5));
}

static const tw_operator op_gelu_tanh = {
    ACTIVATION_COMMON,
    .name = "gelu_tanh",
    .formula = "y = x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2",
    .semantics = "NaN and -infinity give NaN",
    .vjp = gelu_tanh_vjp,
    .body = gelu_tanh_body,
    .samples = smooth_samples,
};

/* silu, also called swish */

static void silu_body(tw_graph *graph, const tw_signature *signature, const tw_value *in,
                      tw_value *out) {
    if (refused(graph, signature)) return;
    out[0] = tw_mul(in[0], tw_sigmoid(in[0]));
}

/* dy/dx = s (1 + x (1 - s)), s = sigmoid(x) */
static void silu_vjp(tw_graph *graph, tw_vjp *rule) {
    (void)graph;
    tw_value x = rule->operand[0], s = tw_sigmoid(x);
    tw_value rest = tw_mul(x, tw_sub(tw_literal(s, 1), s));
    chain(rule, tw_mul(s, tw_shift(rest, 1)));
}

static const tw_operator op_silu = {
    ACTIVATION_COMMON,
    .name = "silu",
    .formula = "y = x / (1 + e^-x)",
    .semantics = "NaN and -infinity give NaN",
    .vjp = silu_vjp,
    .body = silu_body,
    .samples = smooth_samples,
};

/* softplus: no exponential of a positive number, so that none overflows. */

static void softplus_body(tw_graph *graph, const tw_signature *signature, const tw_value *in,
                          tw_value *out) {
    if (refused(graph, signature)) return;
    tw_value tail = tw_log1p(tw_exp(tw_neg(tw_abs(in[0]))));
    out[0] = tw_add(tw_max(in[0], tw_literal(in[0], 0)), tail);
}

static void softplus_vjp(tw_graph *graph, tw_vjp *rule) {
    (void)graph;
    chain(rule, tw_sigmoid(rule->operand[0]));
}

static const tw_operator op_softplus = {
    ACTIVATION_COMMON,
    .name = "softplus",
    .formula = "y = ln(1 + e^x)",
    .semantics = "NaN gives NaN; a large x gives x",
    .vjp = softplus_vjp,
    .body = softplus_body,
    .samples = smooth_samples,
};

/* leaky_relu */

enum { SLOPE };

static void leaky_relu_body(tw_graph *graph, const tw_signature *signature, const tw_value *in,
                            tw_value *out) {
    if (refused(graph, signature)) return;
    out[0] = tw_select(above(in[0], 0), in[0], tw_scale(in[0], signature->attr[SLOPE].f));
}

static void leaky_relu_vjp(tw_graph *graph, tw_vjp *rule) {
    (void)graph;
    tw_value dy = rule->d_result[0];
    rule->d_operand[0] =
        tw_select(above(rule->operand[0], 0), dy, tw_scale(dy, rule->attr[SLOPE].f));
}

static const tw_attr_spec leaky_relu_attributes[] = {
    {"slope", TW_ATTR_FLOAT, "0.01", NULL, "the slope below 0"}, {0}};
static const tw_sample leaky_relu_samples[] = {
    {.operands = "f64[3,4]", .kink_at_zero = true},
    {.operands = "f64[1]", .attributes = "slope=0.3", .kink_at_zero = true},
    {.operands = "f64[2,2]", .attributes = "slope=-0.5", .kink_at_zero = true},
    {.operands = "f64[0,3]"},
    {.operands = NULL},
};

static const tw_operator op_leaky_relu = {
    ACTIVATION_COMMON,
    .name = "leaky_relu",
    .formula = "y = x if x > 0, else slope x",
    .semantics = "NaN gives NaN; the derivative at 0 is slope",
    .attributes = leaky_relu_attributes,
    .vjp = leaky_relu_vjp,
    .body = leaky_relu_body,
    .samples = leaky_relu_samples,
};

/* elu: Clevert et al. 2015, eq. 15. min(x, 0) keeps the exponential from overflowing. */

enum { ALPHA };

static tw_value negative_part(tw_value x) { return tw_min(x, tw_literal(x, 0)); }

static void elu_body(tw_graph *graph, const tw_signature *signature, const tw_value *in,
                     tw_value *out) {
    if (refused(graph, signature)) return;
    tw_value low = tw_scale(tw_expm1(negative_part(in[0])), signature->attr[ALPHA].f);
    out[0] = tw_select(above(in[0], 0), in[0], low);
}

static void elu_vjp(tw_graph *graph, tw_vjp *rule) {
    (void)graph;
    tw_value x = rule->operand[0], dy = rule->d_result[0];
    tw_value slope = tw_scale(tw_exp(negative_part(x)), rule->attr[ALPHA].f);
    rule->d_operand[0] = tw_select(above(x, 0), dy, tw_mul(dy, slope));
}

static const tw_attr_spec elu_attributes[] = {
    {"alpha", TW_ATTR_FLOAT, "1", NULL, "what -y tends to for small x"}, {0}};
static const tw_sample elu_samples[] = {
    {.operands = "f64[3,4]", .kink_at_zero = true},
    {.operands = "f64[1]", .attributes = "alpha=0.3", .kink_at_zero = true},
    {.operands = "f64[0,3]"},
    {.operands = NULL},
};

static const tw_operator op_elu = {
    ACTIVATION_COMMON,
    .name = "elu",
    .formula = "y = x if x > 0, else alpha (e^x - 1)",
    .semantics = "NaN gives NaN; the derivative at 0 is alpha",
    .attributes = elu_attributes,
    .vjp = elu_vjp,
    .body = elu_body,
    .samples = elu_samples,
};

/* hard_tanh, of which relu6, hard_sigmoid and hard_swish are made */

enum { LOW, HIGH };

static void hard_tanh_body(tw_graph *graph, const tw_signature *signature, const tw_value *in,
                           tw_value *out) {
    const tw_attr *attr = signature->attr;
    if (refused(graph, signature)) return;
    if (!(attr[LOW].f <= attr[HIGH].f)) {
        tw_fail(graph, "low is %g and high is %g, expected low <= high", attr[LOW].f, attr[HIGH].f);
        return;
    }
    tw_value raised = tw_max(in[0], tw_literal(in[0], attr[LOW].f));
    out[0] = tw_min(raised, tw_literal(in[0], attr[HIGH].f));
}

static void hard_tanh_vjp(tw_graph *graph, tw_vjp *rule) {
    (void)graph;
    tw_value x = rule->operand[0], dy = rule->d_result[0];
    tw_value below = tw_compare(TW_LT, x, tw_literal(x, rule->attr[HIGH].f));
    tw_value inside = tw_and(above(x, rule->attr[LOW].f), below);
    rule->d_operand[0] = tw_select(inside, dy, tw_literal(dy, 0));
}

static const tw_attr_spec hard_tanh_attributes[] = {
    {"low", TW_ATTR_FLOAT, "-1", NULL, "the least y"},
    {"high", TW_ATTR_FLOAT, "1", NULL, "the greatest y"},
    {0}};
static const tw_sample hard_tanh_samples[] = {
    {.operands = "f64[3,4]", .kink_at_integers = true},
    {.operands = "f64[3,4]", .attributes = "low=0, high=6", .kink_at_integers = true},
    {.operands = "f64[1]", .kink_at_integers = true},
    {.operands = "f64[0,3]"},
    {.operands = NULL},
};

static const tw_operator op_hard_tanh = {
    ACTIVATION_COMMON,
    .name = "hard_tanh",
    .formula = "y = min(max(x, low), high)",
    .semantics = "NaN gives NaN; the derivative at low and high is 0",
    .attributes = hard_tanh_attributes,
    .vjp = hard_tanh_vjp,
    .body = hard_tanh_body,
    .samples = hard_tanh_samples,
};

const tw_operator *const ops_activation[] = {
    &op_gelu, &op_gelu_tanh, &op_silu, &op_softplus, &op_leaky_relu, &op_elu, &op_hard_tanh, NULL,
};

static tw_value clipped(tw_value x, double low, double high) {
    const tw_attr attr[] = {tw_attr_float(low), tw_attr_float(high)};
    return rule_apply1("hard_tanh", x, attr);
}

tw_value tw_gelu(tw_value x) { return rule_apply1("gelu", x, NULL); }
tw_value tw_gelu_tanh(tw_value x) { return rule_apply1("gelu_tanh", x, NULL); }
tw_value tw_silu(tw_value x) { return rule_apply1("silu", x, NULL); }
tw_value tw_softplus(tw_value x) { return rule_apply1("softplus", x, NULL); }
tw_value tw_leaky_relu(tw_value x, double slope) {
    const tw_attr attr = tw_attr_float(slope);
    return rule_apply1("leaky_relu", x, &attr);
}
tw_value tw_elu(tw_value x, double alpha) {
    const tw_attr attr = tw_attr_float(alpha);
    return rule_apply1("elu", x, &attr);
}
/* The constants: Klambauer et al. 2017, eq. 14. */
tw_value tw_selu(tw_value x) {
    return tw_scale(tw_elu(x, 1.6732632423543772848), 1.0507009873554804934);
}
tw_value tw_hard_tanh(tw_value x) { return clipped(x, -1, 1); }
tw_value tw_relu6(tw_value x) { return clipped(x, 0, 6); }
tw_value tw_hard_sigmoid(tw_value x) { return clipped(tw_shift(tw_scale(x, 1.0 / 6), 0.5), 0, 1); }
tw_value tw_hard_swish(tw_value x) { return tw_mul(x, tw_hard_sigmoid(x)); }
tw_value tw_mish(tw_value x) { return tw_mul(x, tw_tanh(tw_softplus(x))); }
