#include "codegen/generated/sign.h"

enum {
    DEPTH = 8,           /* nodes from a value to those that tell its sign */
    MAXIMUM = TW_MAX - 1 /* as a reduction's attribute */
};

static const node *maker(const tw_graph *f, uint32_t value) {
    return &f->nodes.at[f->values.at[value].node];
}

/* x - max(x), the maximum over the very axes along which it is subtracted. */
static bool is_below_its_maximum(const tw_graph *f, const node *sub) {
    const node *spread = maker(f, sub->operand[1]);
    if (!node_is(spread, "broadcast")) return false;
    const node *top = maker(f, spread->operand[0]);
    if (!node_is(top, "reduce") || top->attr[0].i != MAXIMUM || top->operand[0] != sub->operand[0])
        return false;
    uint32_t axes = 0;
    for (int i = 0; i < top->attr[1].list.rank; i++) axes |= 1u << top->attr[1].list.dim[i];
    for (int i = 0; i < spread->attr[1].list.rank; i++) axes ^= 1u << spread->attr[1].list.dim[i];
    return axes == (1u << f->values.at[sub->operand[0]].type.shape.rank) - 1;
}

/* Whether all elements are >= 0 (sign 1) or <= 0 (sign -1), but for NaN. */
static bool has_sign(const tw_graph *f, uint32_t value, int sign, int depth) {
    const node *it = maker(f, value);
    if (node_is(it, "splat")) return it->attr[2].f * sign >= 0;
    if (!it->n_operands || depth == DEPTH) return false;
    uint32_t a = it->operand[0], b = it->operand[it->n_operands - 1];
    if (node_is(it, "abs") || node_is(it, "exp") || node_is(it, "logistic")) return sign > 0;
    if (node_is(it, "neg")) return has_sign(f, a, -sign, depth + 1);
    if (node_is(it, "broadcast")) return has_sign(f, a, sign, depth + 1);
    if (node_is(it, "sub")) return sign < 0 && is_below_its_maximum(f, it);
    if (!node_is(it, "mul")) return false;
    if (a == b) return sign > 0;
    bool alike = has_sign(f, a, 1, depth + 1) && has_sign(f, b, sign, depth + 1);
    return alike || (has_sign(f, a, -1, depth + 1) && has_sign(f, b, -sign, depth + 1));
}

bool never_positive(const tw_graph *function, uint32_t value) {
    return has_sign(function, value, -1, 0);
}

/* The step of x, which an operand is, if `it` is the step `x > c ? c : x` of floats; else NULL. */
static const expression_step *limited(const expression *e, const expression_step *it) {
    if (it->code != EXPRESSION_SELECT || (it->type != SCALAR_F32 && it->type != SCALAR_F64))
        return NULL;
    const expression_step *test = &e->step[it->a], *limit = &e->step[it->b], *x = &e->step[it->c];
    bool above = test->code == EXPRESSION_GT && test->a == it->c &&
                 limit->code == EXPRESSION_NUMBER && e->step[test->b].code == EXPRESSION_NUMBER;
    bool fits = above && x->code == EXPRESSION_INPUT && limit->number >= 0 &&
                e->step[test->b].number == limit->number;
    return fits ? x : NULL;
}

bool without_limits(const tw_graph *function, const node *it, arena *memory, expression *e) {
    for (uint32_t i = 0; i < e->count; i++) {
        const expression_step *x = limited(e, &e->step[i]);
        if (!x || !never_positive(function, it->operand[x->a])) continue;
        expression_step *step = arena_allocate(memory, e->count, sizeof *step);
        if (!step) return false;
        memcpy(step, e->step, e->count * sizeof *step);
        step[i] = *x;
        e->step = step;
    }
    return true;
}
