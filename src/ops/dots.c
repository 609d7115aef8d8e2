/*
 * dots: products of one array with several others, as one node: what the merge pass makes of siblings (the
 * projections of attention, gates, their gradients), so that a kernel computes them side by side. Operands
 * stay where they are, and each product is a result of its own: nothing is concatenated or split.
 */
#include <string.h>
#include <thalweg/operators.h>

#include "ops/dots.h"
#include "ops/families.h"
#include "ops/rules.h"

/* As dot has them, for each product. */
static const tw_attr_spec attributes[] = {
    {"batch_a", TW_ATTR_INTS, "[]", NULL, "axes of a that lead each result, paired with batch_b"},
    {"batch_b", TW_ATTR_INTS, "[]", NULL, "axes of each b, paired with batch_a"},
    {"contract_a", TW_ATTR_INTS, "[]", NULL, "axes of a to sum over, paired with contract_b"},
    {"contract_b", TW_ATTR_INTS, "[]", NULL, "axes of each b to sum over, paired with contract_a"},
    RULE_RESULT_SPEC,
    {"turned", TW_ATTR_INT, "0", NULL,
     "bit i: b number i, a matrix, is summed over the axis that is not contract_b"},
    {0},
};

void dots_part_of(const tw_signature *signature, int i, dots_part *out) {
    out->signature = *signature;
    out->operand[0] = signature->operand[0];
    out->operand[1] = signature->operand[i + 1];
    memcpy(out->attr, signature->attr, sizeof out->attr);
    int64_t *axis = &out->attr[DOTS_CONTRACT_B].list.dim[0];
    if (signature->attr[DOTS_TURNED].i >> i & 1) *axis = 1 - *axis;
    out->signature.op = ops_dot[0];
    out->signature.n_operands = 2;
    out->signature.n_results = 1;
    out->signature.operand = out->operand;
    out->signature.result = signature->result ? &signature->result[i] : NULL;
    out->signature.attr = out->attr;
}

/* Of a matrix that is not batched alone it is clear which axis the other one is. */
static tw_status check_turned(const tw_signature *signature) {
    const tw_attr *attr = signature->attr;
    int64_t turned = attr[DOTS_TURNED].i, all = (1LL << (signature->n_operands - 1)) - 1;
    bool matrices = attr[DOTS_CONTRACT_B].list.rank == 1 && !attr[DOTS_BATCH_B].list.rank;
    for (int i = 0; i + 1 < signature->n_operands; i++)
        if (turned >> i & 1) matrices = matrices && signature->operand[i + 1].shape.rank == 2;
    if (!turned || (matrices && turned > 0 && turned <= all)) return TW_OK;
    return tw_refuse(signature, TW_ERR_ARGUMENT,
                     "turned is %lld: expected bits of operands that are matrices, with one "
                     "contracted axis and no batch",
                     (long long)turned);
}

static tw_status infer(tw_signature *signature) {
    int n = signature->n_operands - 1;
    if (n > TW_MAX_RESULTS)
        return tw_refuse(signature, TW_ERR_ARGUMENT, "%d products, at most %d are one node", n,
                         TW_MAX_RESULTS);
    tw_status status = check_turned(signature);
    signature->n_results = n;
    for (int i = 0; i < n && !status; i++) {
        dots_part one;
        dots_part_of(signature, i, &one);
        status = one.signature.op->infer(&one.signature);
    }
    return status;
}

static void body(tw_graph *graph, const tw_signature *signature, const tw_value *in,
                 tw_value *out) {
    for (int i = 0; i + 1 < signature->n_operands && i < TW_MAX_RESULTS; i++) {
        const tw_value operand[] = {in[0], in[i + 1]};
        dots_part one;
        dots_part_of(signature, i, &one);
        out[i] = tw_apply(graph, "dot", 2, operand, one.attr, NULL);
    }
}

static const tw_operator dots = {
    .name = "dots",
    .formula = "y0 = dot(a, b0), y1 = dot(a, b1), ...",
    .semantics = "as dot for each b, up to 16; the merge pass makes it",
    .operands = "a b...",
    .results = "y...",
    .attributes = attributes,
    .infer = infer,
    .meaning = TW_MEANS_BODY,
    .body = body,
    .no_samples = "each product is a dot's, whose samples cover it",
};

const tw_operator *const ops_dots[] = {&dots, NULL};
