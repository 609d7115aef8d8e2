/*
 * The gradient of relu, before max pooling, moves to the pooled side: with p, index = max_pool(y),
 *   relu_grad(y, max_pool_grad(index, dp)) = max_pool_grad(index, relu_grad(p, dp)),
 * as p is y wherever the gradient goes. That is a quarter of the elements for windows of 2 x 2, and
 * y need not be kept for it. Every bit stays.
 */
#include "passes/passes.h"

static bool visit(rewrite *r, const node *it, const uint32_t *operand, uint32_t *result) {
    if (!node_is(it, "relu_grad") || r->uses[it->operand[1]] != 1) return false;
    const node *scattered = rewrite_made_by(r, operand[1], "max_pool_grad");
    if (!scattered) return false;
    uint32_t index = scattered->operand[0], dy = scattered->operand[1];
    const node *pooled = rewrite_made_by(r, index, "max_pool");
    if (!pooled || pooled->operand[0] != operand[0] || index != pooled->first_result + 1)
        return false;
    /* Nodes move as others are appended. */
    const tw_operator *grad = scattered->op;
    const tw_attr *attr = scattered->attr;
    const uint32_t small[] = {pooled->first_result, dy};
    uint32_t made = graph_append(r->to, it->op, 2, small, it->attr);
    if (made == NO_NODE) return false;
    const uint32_t masked[] = {index, r->to->nodes.at[made].first_result};
    made = graph_append(r->to, grad, 2, masked, attr);
    if (made == NO_NODE) return false;
    result[0] = r->to->nodes.at[made].first_result;
    return true;
}

const pass pool_pass = {
    .name = "pool", .about = "relu's gradient moves to the small side of pooling", .visit = visit};
