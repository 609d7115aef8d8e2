/* Two operators of one's own: a primitive, y = x exp(-x^2), which is code for one element, and a
 * composite of it, which is a graph. Both are differentiated, and compared with differences. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <thalweg/thalweg.h>

static tw_status infer(tw_signature *use) {
    if (use->operand[0].dtype != TW_F64) return tw_refuse(use, TW_ERR_TYPE, "x must be f64");
    use->result[0] = use->operand[0];
    return TW_OK;
}

/* Each axis may be cut over devices, in x and y alike. */
static int factors(const tw_signature *use, tw_factor *out) {
    tw_shape shape = use->operand[0].shape;
    for (int axis = 0; axis < shape.rank; axis++) {
        out[axis] = (tw_factor){.kind = TW_FACTOR_PASS, .size = shape.dim[axis]};
        memset(out[axis].operand, -1, sizeof out[axis].operand);
        memset(out[axis].result, -1, sizeof out[axis].result);
        out[axis].operand[0] = out[axis].result[0] = (int8_t)axis;
    }
    return shape.rank;
}

static void cost(const tw_signature *use, tw_cost *out) {
    tw_shape shape = use->operand[0].shape;
    out->flops = 10 * (double)tw_dim_product(use->context, shape, 0, shape.rank);
    out->bytes = 1.6 * out->flops; /* 16 an element: x and y */
}

static void wave(int64_t n, void *y, const void *const *in, const int64_t *step, const tw_attr *a) {
    const double *x = in[0];
    (void)a;
    for (int64_t i = 0; i < n; i++, x += step[0]) ((double *)y)[i] = *x * exp(-*x * *x);
}

/* dy/dx = (1 - 2 x^2) exp(-x^2), written in operators, so that it can be differentiated in turn. */
static void wave_vjp(tw_graph *graph, tw_vjp *rule) {
    tw_value square = tw_square(rule->operand[0]), line = tw_shift(tw_scale(square, -2), 1);
    rule->d_operand[0] = tw_mul(rule->d_result[0], tw_mul(line, tw_exp(tw_neg(square))));
    (void)graph;
}

static const tw_sample samples[] = {{.operands = "f64[2,3]"}, {.operands = NULL}};
static const tw_operator op_wave = {.name = "wave",
                                    .formula = "y = x exp(-x^2)",
                                    .semantics = "NaN gives NaN",
                                    .operands = "x",
                                    .results = "y",
                                    .infer = infer,
                                    .vjp = wave_vjp,
                                    .factors = factors,
                                    .cost = cost,
                                    .meaning = TW_MEANS_SCALAR,
                                    .scalar = {[TW_F64] = wave},
                                    .samples = samples};

/* Types, gradient, cost and cuts of a composite follow from its body. */
static void ripple_body(tw_graph *g, const tw_signature *use, const tw_value *in, tw_value *out) {
    (void)use;
    out[0] = tw_add(in[0], tw_apply(g, "wave", 1, in, NULL, NULL));
}
static const tw_operator op_ripple = {.name = "ripple",
                                      .formula = "y = x + wave(x)",
                                      .semantics = "NaN gives NaN",
                                      .operands = "x",
                                      .results = "y",
                                      .meaning = TW_MEANS_BODY,
                                      .body = ripple_body,
                                      .samples = samples};

/* The operator's value and gradient at x, computed line by line; NaN on failure. */
static double at(tw_graph *g, const char *name, double x, double *slope) {
    tw_tape_begin(g);
    tw_value dx, in = tw_constant_of(g, TW_F64, TW_SHAPE(), &x);
    tw_value y = tw_apply(g, name, 1, &in, NULL, NULL);
    tw_grad(y, 1, &in, &dx);
    double value = tw_item(y);
    *slope = tw_item(dx);
    return tw_tape_end(g, 0, NULL) ? NAN : value;
}

int main(void) {
    tw_context *c = tw_context_new(NULL);
    tw_graph *g = tw_graph_new(c, NULL, TW_IMMEDIATE, NULL);
    bool good = !tw_register(c, &op_wave) && !tw_register(c, &op_ripple);
    const char *const name[] = {"wave", "ripple"};
    for (int i = 0; i < 2; i++) {
        double slope, other, x = 0.3, h = 1e-5, value = at(g, name[i], x, &slope);
        double right = at(g, name[i], x + h, &other), left = at(g, name[i], x - h, &other);
        double difference = (right - left) / (2 * h);
        printf("%s = %g, gradient %.8f and %.8f\n", name[i], value, slope, difference);
        good = good && fabs(slope - difference) < 1e-8;
    }
    if (!good) fprintf(stderr, "%s\n", tw_message(c));
    tw_context_free(c);
    return good ? 0 : 1;
}
