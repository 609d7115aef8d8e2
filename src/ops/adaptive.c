/*
 * Steps of the optimisers that scale by past gradients, as composites: AdaGrad, RMSProp, LAMB and
 * Adafactor. What RMSProp gives is a direction, stepped along by sgd_update or momentum_update.
 */
#include <thalweg/operators.h>

#include "ops/composite.h"
#include "ops/families.h"
#include "ops/update.h"

/* adagrad_update */

enum { ADAGRAD_EPSILON };

static void adagrad_body(tw_graph *graph, const tw_signature *signature, const tw_value *in,
                         tw_value *out) {
    if (update_refused(graph, signature, 3)) return;
    tw_value w = in[0], g = in[2], sum = tw_add(in[1], tw_square(g));
    tw_value root = tw_shift(tw_sqrt(sum), signature->attr[ADAGRAD_EPSILON].f);
    out[0] = tw_sub(w, tw_mul(tw_div(g, root), in[3]));
    out[1] = sum;
}

static const tw_attr_spec adagrad_attributes[] = {
    {"epsilon", TW_ATTR_FLOAT, "1e-10", NULL, "added to the root"},
    {NULL, 0, NULL, NULL, NULL},
};

static const tw_sample adagrad_samples[] = {
    {.operands = "f64[3,4] f64[3,4] f64[3,4] f64[]", .low = 0.5, .high = 2},
    {.operands = "f64[5] f64[5] f64[5] f64[]",
     .attributes = "epsilon=0.125",
     .low = 0.5,
     .high = 2},
    {.operands = "f64[1] f64[1] f64[1] f64[]", .low = 0.5, .high = 2},
    {.operands = "f64[0] f64[0] f64[0] f64[]"},
    {.operands = NULL},
};

static const tw_operator op_adagrad_update = {
    .name = "adagrad_update",
    .formula = "s_new = s + g^2; w_new = w - rate g / (sqrt(s_new) + epsilon)",
    .semantics = "NaN in g gives NaN in both",
    .operands = "w s g rate",
    .results = "w_new s_new",
    .attributes = adagrad_attributes,
    .meaning = TW_MEANS_BODY,
    .body = adagrad_body,
    .samples = adagrad_samples,
};

/* rmsprop, rmsprop_centered */

enum { RMSPROP_DECAY, RMSPROP_EPSILON };

static void rmsprop_body(tw_graph *graph, const tw_signature *signature, const tw_value *in,
                         tw_value *out) {

    if (!body_floats_alike(graph, signature, 2)) return;
    const tw_attr *attr = signature->attr;
    out[1] = update_average(in[1], tw_square(in[0]), attr[RMSPROP_DECAY].f);
    out[0] = tw_div(in[0], tw_shift(tw_sqrt(out[1]), attr[RMSPROP_EPSILON].f));
}

static void centered_body(tw_graph *graph, const tw_signature *signature, const tw_value *in,
                          tw_value *out) {

    if (!body_floats_alike(graph, signature, 3)) return;
    const tw_attr *attr = signature->attr;
    out[1] = update_average(in[1], tw_square(in[0]), attr[RMSPROP_DECAY].f);
    out[2] = update_average(in[2], in[0], attr[RMSPROP_DECAY].f);
    tw_value variance = tw_sub(out[1], tw_square(out[2]));
    out[0] = tw_div(in[0], tw_shift(tw_sqrt(variance), attr[RMSPROP_EPSILON].f));
}

static const tw_attr_spec rmsprop_attributes[] = {
    {"decay", TW_ATTR_FLOAT, "0.99", NULL, "share of v that is kept"},
    {"epsilon", TW_ATTR_FLOAT, "1e-08", NULL, "added to the root"},
    {NULL, 0, NULL, NULL, NULL},
};

static const tw_sample rmsprop_samples[] = {
    {.operands = "f64[3,4] f64[3,4]", .low = 0.5, .high = 2},
    {.operands = "f64[5] f64[5]", .attributes = "decay=0.5 epsilon=0.125", .low = 0.5, .high = 2},
    {.operands = "f64[1] f64[1]", .low = 0.5, .high = 2},
    {.operands = "f64[0] f64[0]"},
    {.operands = NULL},
};

/* In these ranges the variance is above 0.02 whatever is drawn. */
static const tw_sample centered_samples[] = {
    {.operands = "f64[3,4] f64[3,4] f64[3,4]", .attributes = "decay=0.5", .low = 0.4, .high = 0.6},
    {.operands = "f64[5] f64[5] f64[5]",
     .attributes = "decay=0.25 epsilon=0.125",
     .low = 0.4,
     .high = 0.5},
    {.operands = "f64[0] f64[0] f64[0]"},
    {.operands = NULL},
};

static const tw_operator op_rmsprop = {
    .name = "rmsprop",
    .formula = "v_new = decay v + (1 - decay) g^2; d = g / (sqrt(v_new) + epsilon)",
    .semantics = "NaN in g gives NaN in both",
    .operands = "g v",
    .results = "d v_new",
    .attributes = rmsprop_attributes,
    .meaning = TW_MEANS_BODY,
    .body = rmsprop_body,
    .samples = rmsprop_samples,
};

static const tw_operator op_rmsprop_centered = {
    .name = "rmsprop_centered",
    .formula = "v_new = decay v + (1 - decay) g^2; m_new = decay m + (1 - decay) g; d = g / "
               "(sqrt(v_new - m_new^2) + epsilon)",
    .semantics = "NaN in g gives NaN in all three; so does a variance that rounds below 0 in d",
    .operands = "g v m",
    .results = "d v_new m_new",
    .attributes = rmsprop_attributes,
    .meaning = TW_MEANS_BODY,
    .body = centered_body,
    .samples = centered_samples,
};

/* lamb_update: You et al. 2020, algorithm 2, phi the identity. */

enum { LAMB_BETA1, LAMB_BETA2, LAMB_EPSILON, LAMB_DECAY };

static tw_value norm_of(tw_value x) { return tw_sqrt(tw_sum(tw_square(x))); }

static void lamb_body(tw_graph *graph, const tw_signature *signature, const tw_value *in,
                      tw_value *out) {
    if (update_refused(graph, signature, 4)) return;
    if (!body_expects(graph, signature, 5, TW_I64, TW_SHAPE())) return;
    const tw_attr *attr = signature->attr;
    double beta1 = attr[LAMB_BETA1].f, beta2 = attr[LAMB_BETA2].f;
    tw_dtype dtype = signature->operand[0].dtype;
    tw_value w = in[0], g = in[3], rate = in[4], step = in[5];
    tw_value m = update_average(in[1], g, beta1);
    tw_value v = update_average(in[2], tw_square(g), beta2);
    tw_value top = tw_mul(m, update_bias_correction(graph, beta1, step, dtype));
    tw_value root = tw_sqrt(tw_mul(v, update_bias_correction(graph, beta2, step, dtype)));
    tw_value change = tw_div(top, tw_shift(root, attr[LAMB_EPSILON].f));
    if (attr[LAMB_DECAY].f != 0) change = tw_add(change, tw_scale(w, attr[LAMB_DECAY].f));
    tw_value size = norm_of(w), length = norm_of(change), zero = tw_literal(size, 0);
    tw_value both = tw_and(tw_compare(TW_NE, size, zero), tw_compare(TW_NE, length, zero));
    tw_value trust = tw_select(both, tw_div(size, length), tw_literal(size, 1));
    out[0] = tw_sub(w, tw_mul(change, tw_mul(trust, rate)));
    out[1] = m;
    out[2] = v;
}

static const tw_attr_spec lamb_attributes[] = {
    {"beta1", TW_ATTR_FLOAT, "0.9", NULL, "share of m that is kept"},
    {"beta2", TW_ATTR_FLOAT, "0.999", NULL, "share of v that is kept"},
    {"epsilon", TW_ATTR_FLOAT, "1e-06", NULL, "added to the root"},
    {"decay", TW_ATTR_FLOAT, "0", NULL, "weight decay, within the trust ratio"},
    {NULL, 0, NULL, NULL, NULL},
};

static const tw_sample lamb_samples[] = {
    {.operands = "f64[3,4] f64[3,4] f64[3,4] f64[3,4] f64[] i64[]",
     .low = 0.5,
     .high = 2,
     .index_low = 1,
     .index_high = 5},
    {.operands = "f64[5] f64[5] f64[5] f64[5] f64[] i64[]",
     .attributes = "beta1=0.5 beta2=0.75 epsilon=0.125 decay=0.25",
     .low = 0.5,
     .high = 2,
     .index_low = 1,
     .index_high = 3},
    {.operands = "f64[0] f64[0] f64[0] f64[0] f64[] i64[]", .index_low = 1, .index_high = 1},
    {.operands = NULL},
};

static const tw_operator op_lamb_update = {
    .name = "lamb_update",
    .formula = "m_new = beta1 m + (1 - beta1) g; v_new = beta2 v + (1 - beta2) g^2; r = m_new / (1 "
               "- beta1^step) / (sqrt(v_new / (1 - beta2^step)) + epsilon) + decay w; w_new = w - "
               "rate |w| / |r| r",
    .semantics = "step counts from 1; |w| / |r| is 1 where either is 0; NaN in g gives NaN in all",
    .operands = "w m v g rate step",
    .results = "w_new m_new v_new",
    .attributes = lamb_attributes,
    .meaning = TW_MEANS_BODY,
    .body = lamb_body,
    .samples = lamb_samples,
};

/* adafactor_update, adafactor_vector_update: Shazeer & Stern 2018, algorithms 4 and 5. */

enum { FACTOR_POWER, FACTOR_EPSILON, FACTOR_LEAST, FACTOR_CLIP, FACTOR_DECAY };

static tw_value root_mean_square(tw_value x) { return tw_sqrt(tw_mean(tw_square(x))); }

/* step^-power, the share of the fresh squares, in f64 until the end. */
static tw_value fresh_share(tw_graph *graph, const tw_signature *signature, tw_value step) {
    tw_value power = tw_full(graph, TW_F64, TW_SHAPE(), -signature->attr[FACTOR_POWER].f);
    return tw_cast(tw_pow(tw_cast(step, TW_F64), power), signature->operand[0].dtype);
}

static tw_value drawn_towards(tw_value old, tw_value fresh, tw_value share) {
    return tw_add(old, tw_mul(tw_sub(fresh, old), share));
}

/* The step along g / sqrt(estimate), clipped and scaled by the size of w. */
static tw_value factor_step(const tw_signature *signature, tw_value w, tw_value g,
                            tw_value estimate, tw_value rate, tw_value step) {
    const tw_attr *attr = signature->attr;
    double floor = attr[FACTOR_EPSILON].f * attr[FACTOR_EPSILON].f;
    tw_value change = tw_mul(tw_rsqrt(tw_max(estimate, tw_literal(estimate, floor))), g);
    tw_value excess = tw_scale(root_mean_square(change), 1 / attr[FACTOR_CLIP].f);
    tw_value divisor = tw_max(excess, tw_literal(excess, 1));
    tw_value size = root_mean_square(w);
    tw_value scale = tw_max(size, tw_literal(size, attr[FACTOR_LEAST].f));
    tw_value slow = tw_cast(tw_rsqrt(tw_cast(step, TW_F64)), tw_dtype_of(w));
    tw_value alpha = tw_div(tw_mul(scale, tw_min(rate, slow)), divisor);
    tw_value kept = w;
    if (attr[FACTOR_DECAY].f != 0)
        kept = tw_sub(w, tw_mul(w, tw_scale(rate, attr[FACTOR_DECAY].f)));
    return tw_sub(kept, tw_mul(change, alpha));
}

static void adafactor_body(tw_graph *graph, const tw_signature *signature, const tw_value *in,
                           tw_value *out) {
    tw_type w = signature->operand[0];
    if (!body_type(graph, signature, 0, TYPES_FLOAT)) return;
    if (w.shape.rank < 2) {
        tw_fail(graph,
                "operand 0 has rank %d, expected 2 or more; adafactor_vector_update takes "
                "the others",
                w.shape.rank);
        return;
    }
    tw_shape row = w.shape, column = w.shape;
    row.dim[row.rank - 1] = column.dim[column.rank - 2] = 1;
    if (!body_expects(graph, signature, 1, w.dtype, row) ||
        !body_expects(graph, signature, 2, w.dtype, column) ||
        !body_expects(graph, signature, 3, w.dtype, w.shape) ||
        !body_expects(graph, signature, 4, w.dtype, TW_SHAPE()) ||
        !body_expects(graph, signature, 5, TW_I64, TW_SHAPE()))
        return;
    tw_value g = in[3], square = tw_square(g), share = fresh_share(graph, signature, in[5]);
    out[1] = drawn_towards(in[1], tw_mean_axis(square, -1, true), share);
    out[2] = drawn_towards(in[2], tw_mean_axis(square, -2, true), share);
    tw_value mean = tw_mean_axis(out[1], -2, true);
    mean = tw_max(mean, tw_literal(mean, signature->attr[FACTOR_EPSILON].f));
    tw_value estimate = tw_div(tw_mul(out[1], out[2]), mean);
    out[0] = factor_step(signature, in[0], g, estimate, in[4], in[5]);
}

static void adafactor_vector_body(tw_graph *graph, const tw_signature *signature,
                                  const tw_value *in, tw_value *out) {
    if (update_refused(graph, signature, 3)) return;
    if (!body_expects(graph, signature, 4, TW_I64, TW_SHAPE())) return;
    tw_value share = fresh_share(graph, signature, in[4]);
    out[1] = drawn_towards(in[1], tw_square(in[2]), share);
    out[0] = factor_step(signature, in[0], in[2], out[1], in[3], in[4]);
}

static const tw_attr_spec adafactor_attributes[] = {
    {"power", TW_ATTR_FLOAT, "0.8", NULL, "step^-power is the share of fresh squares"},
    {"epsilon", TW_ATTR_FLOAT, NULL, NULL, "its square is the least second moment"},
    {"least", TW_ATTR_FLOAT, "0.001", NULL, "the least size of w that scales the rate"},
    {"clip", TW_ATTR_FLOAT, "1", NULL, "the largest root mean square of the change"},
    {"decay", TW_ATTR_FLOAT, "0", NULL, "decoupled weight decay"},
    {NULL, 0, NULL, NULL, NULL},
};

/* Kinks lie at rate = 1 / sqrt(step), at changes of root mean square `clip`, at w of size
 * `least`. */
static const tw_sample adafactor_samples[] = {
    {.operands = "f64[3,4] f64[3,1] f64[1,4] f64[3,4] f64[] i64[]",
     .attributes = "epsilon=0.001 clip=0.125",
     .low = 1.2,
     .high = 2,
     .index_low = 1,
     .index_high = 5},
    {.operands = "f64[2,2,3] f64[2,2,1] f64[2,1,3] f64[2,2,3] f64[] i64[]",
     .attributes = "power=0.5 epsilon=0.001 least=4 clip=8 decay=0.25",
     .low = 0.1,
     .high = 0.4,
     .index_low = 1,
     .index_high = 4},
    {.operands = NULL},
};

static const tw_sample adafactor_vector_samples[] = {
    {.operands = "f64[5] f64[5] f64[5] f64[] i64[]",
     .attributes = "epsilon=0.001 clip=0.125",
     .low = 1.2,
     .high = 2,
     .index_low = 1,
     .index_high = 5},
    {.operands = "f64[] f64[] f64[] f64[] i64[]",
     .attributes = "power=0.5 epsilon=0.001 least=4 clip=8 decay=0.25",
     .low = 0.1,
     .high = 0.4,
     .index_low = 1,
     .index_high = 4},
    {.operands = NULL},
};

static const char adafactor_semantics[] =
    "step counts from 1; NaN in g gives NaN in all, an empty w in col_new";

static const tw_operator op_adafactor_update = {
    .name = "adafactor_update",
    .formula = "b = step^-power; row_new = row + b (mean(g^2, -1) - row); col_new = col + b "
               "(mean(g^2, -2) - col); u = g / sqrt(max(row_new col_new / max(mean(row_new), "
               "epsilon), epsilon^2)); w_new = w - rate decay w - max(rms(w), least) min(rate, 1 / "
               "sqrt(step)) u / max(1, rms(u) / clip)",
    .semantics = adafactor_semantics,
    .operands = "w row col g rate step",
    .results = "w_new row_new col_new",
    .attributes = adafactor_attributes,
    .meaning = TW_MEANS_BODY,
    .body = adafactor_body,
    .samples = adafactor_samples,
};

static const tw_operator op_adafactor_vector_update = {
    .name = "adafactor_vector_update",
    .formula = "b = step^-power; v_new = v + b (g^2 - v); u = g / sqrt(max(v_new, epsilon^2)); "
               "w_new = w - rate decay w - max(rms(w), least) min(rate, 1 / sqrt(step)) u / max(1, "
               "rms(u) / clip)",
    .semantics = "step counts from 1; NaN in g gives NaN in both",
    .operands = "w v g rate step",
    .results = "w_new v_new",
    .attributes = adafactor_attributes,
    .meaning = TW_MEANS_BODY,
    .body = adafactor_vector_body,
    .samples = adafactor_vector_samples,
};

const tw_operator *const ops_adaptive[] = {
    &op_adagrad_update,
    &op_rmsprop,
    &op_rmsprop_centered,
    &op_lamb_update,
    &op_adafactor_update,
    &op_adafactor_vector_update,
    NULL,
};
