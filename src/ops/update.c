/*
 * One step of an optimiser for one parameter, as composites. `rate` is a scalar of w's type, so
 * that a schedule may compute it.
 */
#include "ops/update.h"

#include <thalweg/operators.h>

#include "ops/composite.h"
#include "ops/families.h"

bool update_refused(tw_graph *graph, const tw_signature *signature, int arrays) {
    return !body_floats_alike(graph, signature, arrays) ||
           !body_expects(graph, signature, arrays, signature->operand[0].dtype, TW_SHAPE());
}

/* sgd_update */

static void sgd_body(tw_graph *graph, const tw_signature *signature, const tw_value *in,
                     tw_value *out) {
    if (update_refused(graph, signature, 2)) return;
    out[0] = tw_sub(in[0], tw_mul(in[1], in[2]));
}

static const tw_sample sgd_samples[] = {
    {.operands = "f64[3,4] f64[3,4] f64[]"},
    {.operands = "f64[1] f64[1] f64[]"},
    {.operands = "f64[0] f64[0] f64[]"},
    {.operands = NULL},
};

static const tw_operator op_sgd_update = {
    .name = "sgd_update",
    .formula = "w_new = w - rate g",
    .semantics = "NaN in g gives NaN in w_new",
    .operands = "w g rate",
    .results = "w_new",
    .meaning = TW_MEANS_BODY,
    .body = sgd_body,
    .samples = sgd_samples,
};

/* momentum_update */

enum { MOMENTUM_MOMENTUM, MOMENTUM_NESTEROV };

static void momentum_body(tw_graph *graph, const tw_signature *signature, const tw_value *in,
                          tw_value *out) {
    if (update_refused(graph, signature, 3)) return;
    double momentum = signature->attr[MOMENTUM_MOMENTUM].f;
    tw_value w = in[0], g = in[2];
    tw_value v = tw_add(tw_scale(in[1], momentum), g), step = v;
    if (signature->attr[MOMENTUM_NESTEROV].i) step = tw_add(g, tw_scale(v, momentum));
    out[0] = tw_sub(w, tw_mul(step, in[3]));
    out[1] = v;
}

static const tw_attr_spec momentum_attributes[] = {
    {"momentum", TW_ATTR_FLOAT, "0.9", NULL, "share of v that is kept"},
    {"nesterov", TW_ATTR_BOOL, "false", NULL, "step by g + momentum v_new instead of v_new"},
    {NULL, 0, NULL, NULL, NULL},
};

static const tw_sample momentum_samples[] = {
    {.operands = "f64[3,4] f64[3,4] f64[3,4] f64[]"},
    {.operands = "f64[5] f64[5] f64[5] f64[]", .attributes = "momentum=0.5 nesterov=true"},
    {.operands = "f64[1] f64[1] f64[1] f64[]"},
    {.operands = "f64[0] f64[0] f64[0] f64[]"},
    {.operands = NULL},
};

static const tw_operator op_momentum_update = {
    .name = "momentum_update",
    .formula = "v_new = momentum v + g; w_new = w - rate v_new",
    .semantics = "NaN in g gives NaN in both",
    .operands = "w v g rate",
    .results = "w_new v_new",
    .attributes = momentum_attributes,
    .meaning = TW_MEANS_BODY,
    .body = momentum_body,
    .samples = momentum_samples,
};

/* adam_update */

tw_value update_average(tw_value old, tw_value fresh, double keep) {
    return tw_add(tw_scale(old, keep), tw_scale(fresh, 1 - keep));
}

enum { ADAM_BETA1, ADAM_BETA2, ADAM_EPSILON, ADAM_DECAY };

/* In f64: near step 1 the difference loses most digits of an f32. A factor: dividing every element by the
 * difference would take longer than all the rest. */
tw_value update_bias_correction(tw_graph *graph, double beta, tw_value step, tw_dtype dtype) {
    tw_value base = tw_full(graph, TW_F64, TW_SHAPE(), beta);
    tw_value one = tw_full(graph, TW_F64, TW_SHAPE(), 1);
    return tw_cast(tw_div(one, tw_sub(one, tw_pow(base, tw_cast(step, TW_F64)))), dtype);
}

/* w - rate (m / (1 - beta1^step) / (sqrt(v / (1 - beta2^step)) + epsilon) + decay w) */
static tw_value adam_step(tw_graph *graph, const tw_attr *attr, tw_value w, tw_value m, tw_value v,
                          tw_value rate, tw_value step) {
    tw_dtype dtype = tw_dtype_of(w);
    tw_value top = tw_mul(m, update_bias_correction(graph, attr[ADAM_BETA1].f, step, dtype));
    tw_value square = tw_mul(v, update_bias_correction(graph, attr[ADAM_BETA2].f, step, dtype));
    tw_value change = tw_div(top, tw_shift(tw_sqrt(square), attr[ADAM_EPSILON].f));
    if (attr[ADAM_DECAY].f != 0) change = tw_add(change, tw_scale(w, attr[ADAM_DECAY].f));
    return tw_sub(w, tw_mul(change, rate));
}

static void adam_body(tw_graph *graph, const tw_signature *signature, const tw_value *in,
                      tw_value *out) {
    if (update_refused(graph, signature, 4)) return;
    if (!body_expects(graph, signature, 5, TW_I64, TW_SHAPE())) return;
    const tw_attr *attr = signature->attr;
    out[1] = update_average(in[1], in[3], attr[ADAM_BETA1].f);
    out[2] = update_average(in[2], tw_square(in[3]), attr[ADAM_BETA2].f);
    out[0] = adam_step(graph, attr, in[0], out[1], out[2], in[4], in[5]);
}

static const tw_attr_spec adam_attributes[] = {
    {"beta1", TW_ATTR_FLOAT, "0.9", NULL, "share of m that is kept"},
    {"beta2", TW_ATTR_FLOAT, "0.999", NULL, "share of v that is kept"},
    {"epsilon", TW_ATTR_FLOAT, "1e-08", NULL, "added to the root"},
    {"decay", TW_ATTR_FLOAT, "0", NULL, "decoupled weight decay (Loshchilov & Hutter 2019)"},
    {NULL, 0, NULL, NULL, NULL},
};

static const tw_sample adam_samples[] = {
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
    {.operands = "f64[1] f64[1] f64[1] f64[1] f64[] i64[]",
     .low = 0.5,
     .high = 2,
     .index_low = 1,
     .index_high = 1},
    {.operands = "f64[0] f64[0] f64[0] f64[0] f64[] i64[]", .index_low = 1, .index_high = 1},
    {.operands = NULL},
};

static const tw_operator op_adam_update = {
    .name = "adam_update",
    .formula = "m_new = beta1 m + (1 - beta1) g; v_new = beta2 v + (1 - beta2) g^2; w_new = w - "
               "rate (m_new / (1 - beta1^step) / (sqrt(v_new / (1 - beta2^step)) + epsilon) + "
               "decay w)",
    .semantics = "step counts from 1; NaN in g gives NaN in all three",
    .operands = "w m v g rate step",
    .results = "w_new m_new v_new",
    .attributes = adam_attributes,
    .meaning = TW_MEANS_BODY,
    .body = adam_body,
    .samples = adam_samples,
};

/* amsgrad_update */

static void amsgrad_body(tw_graph *graph, const tw_signature *signature, const tw_value *in,
                         tw_value *out) {
    if (update_refused(graph, signature, 5)) return;
    if (!body_expects(graph, signature, 6, TW_I64, TW_SHAPE())) return;
    const tw_attr *attr = signature->attr;
    out[1] = update_average(in[1], in[4], attr[ADAM_BETA1].f);
    out[2] = update_average(in[2], tw_square(in[4]), attr[ADAM_BETA2].f);
    out[3] = tw_max(in[3], out[2]);
    out[0] = adam_step(graph, attr, in[0], out[1], out[3], in[5], in[6]);
}

/* The maximum has a kink at top = v_new: the first range keeps v_new below, the second above. */
static const tw_sample amsgrad_samples[] = {
    {.operands = "f64[3,4] f64[3,4] f64[3,4] f64[3,4] f64[3,4] f64[] i64[]",
     .low = 0.6,
     .high = 0.7,
     .attributes = "beta2=0.25",
     .index_low = 1,
     .index_high = 5},
    {.operands = "f64[5] f64[5] f64[5] f64[5] f64[5] f64[] i64[]",
     .attributes = "beta1=0.5 beta2=0.25 epsilon=0.125 decay=0.25",
     .low = 2,
     .high = 3,
     .index_low = 1,
     .index_high = 3},
    {.operands = "f64[0] f64[0] f64[0] f64[0] f64[0] f64[] i64[]", .index_low = 1, .index_high = 1},
    {.operands = NULL},
};

static const tw_operator op_amsgrad_update = {
    .name = "amsgrad_update",
    .formula = "m_new = beta1 m + (1 - beta1) g; v_new = beta2 v + (1 - beta2) g^2; top_new = "
               "max(top, v_new); w_new = w - rate (m_new / (1 - beta1^step) / (sqrt(top_new / (1 - "
               "beta2^step)) + epsilon) + decay w)",
    .semantics = "step counts from 1; NaN in g gives NaN in all four",
    .operands = "w m v top g rate step",
    .results = "w_new m_new v_new top_new",
    .attributes = adam_attributes,
    .meaning = TW_MEANS_BODY,
    .body = amsgrad_body,
    .samples = amsgrad_samples,
};

/* lion_update: Chen et al. 2023, algorithm 2. */

enum { LION_BETA1, LION_BETA2, LION_DECAY };

static void lion_body(tw_graph *graph, const tw_signature *signature, const tw_value *in,
                      tw_value *out) {
    if (update_refused(graph, signature, 3)) return;
    const tw_attr *attr = signature->attr;
    tw_value w = in[0], change = tw_sign(update_average(in[1], in[2], attr[LION_BETA1].f));
    if (attr[LION_DECAY].f != 0) change = tw_add(change, tw_scale(w, attr[LION_DECAY].f));
    out[0] = tw_sub(w, tw_mul(change, in[3]));
    out[1] = update_average(in[1], in[2], attr[LION_BETA2].f);
}

static const tw_attr_spec lion_attributes[] = {
    {"beta1", TW_ATTR_FLOAT, "0.9", NULL, "share of m in the direction"},
    {"beta2", TW_ATTR_FLOAT, "0.99", NULL, "share of m that is kept"},
    {"decay", TW_ATTR_FLOAT, "0", NULL, "decoupled weight decay"},
    {NULL, 0, NULL, NULL, NULL},
};

static const tw_sample lion_samples[] = {
    {.operands = "f64[3,4] f64[3,4] f64[3,4] f64[]", .low = 0.5, .high = 2},
    {.operands = "f64[5] f64[5] f64[5] f64[]",
     .attributes = "beta1=0.5 beta2=0.25 decay=0.125",
     .low = -2,
     .high = -0.5},
    {.operands = "f64[1] f64[1] f64[1] f64[]", .low = 0.5, .high = 2},
    {.operands = "f64[0] f64[0] f64[0] f64[]"},
    {.operands = NULL},
};

static const tw_operator op_lion_update = {
    .name = "lion_update",
    .formula = "w_new = w - rate (sign(beta1 m + (1 - beta1) g) + decay w); m_new = beta2 m + (1 - "
               "beta2) g",
    .semantics = "the sign of 0 is 0, its derivative 0; NaN in g gives NaN in both",
    .operands = "w m g rate",
    .results = "w_new m_new",
    .attributes = lion_attributes,
    .meaning = TW_MEANS_BODY,
    .body = lion_body,
    .samples = lion_samples,
};

/* average_update */

static void average_body(tw_graph *graph, const tw_signature *signature, const tw_value *in,
                         tw_value *out) {
    if (update_refused(graph, signature, 2)) return;
    tw_value fresh = tw_sub(tw_literal(in[2], 1), in[2]);
    out[0] = tw_add(tw_mul(in[0], in[2]), tw_mul(in[1], fresh));
}

static const tw_operator op_average_update = {
    .name = "average_update",
    .formula = "a_new = keep a + (1 - keep) w",
    .semantics = "keep = 0 gives w exactly where a is finite; NaN gives NaN",
    .operands = "a w keep",
    .results = "a_new",
    .meaning = TW_MEANS_BODY,
    .body = average_body,
    .samples = sgd_samples,
};

const tw_operator *const ops_update[] = {
    &op_sgd_update,
    &op_momentum_update,
    &op_adam_update,
    &op_amsgrad_update,
    &op_lion_update,
    &op_average_update,
    NULL,
};
