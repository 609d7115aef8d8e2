/*
 * Softmax cross-entropy of rows, and its gradient as a composite of its own, so that the row's
 * logarithm of the sum of exponentials (lse) is kept instead of the probabilities.
 */
#include <thalweg/operators.h>

#include "ops/batch.h"
#include "ops/composite.h"

static const tw_attr_spec cross_entropy_specs[] = {
    {"smoothing", TW_ATTR_FLOAT, "0", NULL, "the share of the target spread over all classes"},
    {0},
};

/* (rows) -> (rows, classes) */
static tw_value across(tw_value column, tw_shape shape) {
    return tw_broadcast(tw_reshape(column, TW_SHAPE(shape.dim[0], 1)), shape);
}

/* Operands after the labels are (rows) of the logits' element type. */
static bool rows_refused(tw_graph *graph, const tw_signature *signature) {
    tw_type logits = signature->operand[0], labels = signature->operand[1];
    if (logits.shape.rank != 2 || labels.shape.rank != 1) {
        tw_fail(graph, "logits must be (rows, classes) and labels (rows)");
        return true;
    }
    tw_shape rows = TW_SHAPE(logits.shape.dim[0]);
    if (!body_type(graph, signature, 0, TYPES_FLOAT) ||
        !body_type(graph, signature, 1, TYPES_INDEX) ||
        !body_expects(graph, signature, 1, labels.dtype, rows))
        return true;
    for (int i = 2; i < signature->n_operands; i++)
        if (!body_expects(graph, signature, i, logits.dtype, rows)) return true;
    return false;
}

static void cross_entropy_body(tw_graph *graph, const tw_signature *signature, const tw_value *in,
                               tw_value *out) {
    if (rows_refused(graph, signature)) return;
    tw_value logits = in[0], labels = in[1];
    tw_shape rows = TW_SHAPE(signature->operand[0].shape.dim[0]);
    tw_shape column = TW_SHAPE(rows.dim[0], 1);
    tw_value top = tw_stop_gradient(tw_max_axis(logits, 1, true));
    tw_value total = tw_sum_axis(tw_exp(tw_sub(logits, top)), 1, false);
    tw_value lse = tw_add(tw_log(total), tw_reshape(top, rows));
    tw_value picked = tw_take_along(logits, tw_reshape(labels, column), 1);
    tw_value wanted = tw_reshape(picked, rows);
    double smoothing = signature->attr[0].f;
    if (smoothing != 0)
        wanted = tw_add(tw_scale(wanted, 1 - smoothing),
                        tw_scale(tw_mean_axis(logits, 1, false), smoothing));
    tw_value loss = tw_sub(lse, wanted);
    tw_value counts = tw_compare(TW_GE, labels, tw_literal(labels, 0));
    out[0] = tw_select(counts, loss, tw_literal(loss, 0));
    out[1] = lse;
}

static void cross_entropy_vjp(tw_graph *graph, tw_vjp *rule) {
    tw_value logits = rule->operand[0], lse = rule->result[1], d_logits = {0};
    if (rule->d_result[0].graph) {
        const tw_value in[] = {logits, rule->operand[1], lse, rule->d_result[0]};
        d_logits = tw_apply(graph, "cross_entropy_grad", 4, in, rule->attr, NULL);
    }
    /* The residual's own gradient comes up in the second order: d lse / d logits = softmax. */
    if (rule->d_result[1].graph) {
        tw_shape shape = rule->operand_type[0].shape;
        tw_value p = tw_exp(tw_sub(logits, across(lse, shape)));
        tw_value more = tw_mul(p, across(rule->d_result[1], shape));
        d_logits = d_logits.graph ? tw_add(d_logits, more) : more;
    }
    rule->d_operand[0] = d_logits;
}

static const tw_sample cross_entropy_samples[] = {
    {.operands = "f64[4,3] i32[4]", .index_low = -1, .index_high = 2},
    {.operands = "f64[3,5] i64[3]", .index_low = 0, .index_high = 4},
    {.operands = "f64[1,1] i32[1]", .index_low = -1, .index_high = 0},
    {.operands = "f64[3,4] i32[3]",
     .attributes = "smoothing=0.25",
     .index_low = -1,
     .index_high = 3},
    {.operands = "f64[0,3] i32[0]"},
    {.operands = "bf16[4,30] i32[4]", .index_low = -1, .index_high = 2},
    {.operands = NULL},
};

const tw_operator op_cross_entropy = {
    .name = "cross_entropy",
    .formula =
        "loss[r] = lse[r] - (1 - smoothing) logits[r, labels[r]] - smoothing mean_c logits[r, "
        "c], lse[r] = log(sum_c exp(logits[r, c]))",
    .semantics = "a negative label gives loss 0; a label past the end is TW_ERR_INDEX; NaN logits "
                 "give NaN in their row",
    .operands = "logits labels",
    .results = "loss (lse)",
    .attributes = cross_entropy_specs,
    .vjp = cross_entropy_vjp,
    .batch = batch_rows,
    .meaning = TW_MEANS_BODY,
    .whole = true,
    .body = cross_entropy_body,
    .samples = cross_entropy_samples,
};

static void cross_entropy_grad_body(tw_graph *graph, const tw_signature *signature,
                                    const tw_value *in, tw_value *out) {
    if (rows_refused(graph, signature)) return;
    tw_type type = signature->operand[0];
    tw_value p = tw_exp(tw_sub(in[0], across(in[2], type.shape)));
    tw_value wanted = tw_one_hot(in[1], type.shape.dim[1], type.dtype);
    double smoothing = signature->attr[0].f;
    if (smoothing != 0)
        wanted = tw_shift(tw_scale(wanted, 1 - smoothing), smoothing / (double)type.shape.dim[1]);
    tw_value d = tw_mul(tw_sub(p, wanted), across(in[3], type.shape));
    tw_value counts = tw_compare(TW_GE, in[1], tw_literal(in[1], 0));
    out[0] = tw_select(across(counts, type.shape), d, tw_literal(d, 0));
}

static const tw_sample cross_entropy_grad_samples[] = {
    {.operands = "f64[4,3] i32[4] f64[4] f64[4]", .index_low = -1, .index_high = 2},
    {.operands = "f64[3,5] i64[3] f64[3] f64[3]", .index_low = 0, .index_high = 4},
    {.operands = "f64[1,1] i32[1] f64[1] f64[1]", .index_low = -1, .index_high = 0},
    {.operands = "f64[3,4] i32[3] f64[3] f64[3]",
     .attributes = "smoothing=0.25",
     .index_low = -1,
     .index_high = 3},
    {.operands = "f64[0,3] i32[0] f64[0] f64[0]"},
    {.operands = NULL},
};

const tw_operator op_cross_entropy_grad = {
    .name = "cross_entropy_grad",
    .formula = "d_logits[r, c] = (exp(logits[r, c] - lse[r]) - (1 - smoothing) [c = labels[r]] - "
               "smoothing / classes) d_loss[r]",
    .semantics = "a row with a negative label gets zeros; a label past the end is TW_ERR_INDEX",
    .operands = "logits labels lse d_loss",
    .results = "d_logits",
    .attributes = cross_entropy_specs,
    .batch = batch_rows,
    .meaning = TW_MEANS_BODY,
    .whole = true,
    .body = cross_entropy_grad_body,
    .samples = cross_entropy_grad_samples,
};
