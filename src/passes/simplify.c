/*
 * Algebra that keeps every bit, NaN included: identities, signs that move, and what becomes less.
 * Not among the rules, as they would not: x * 0 (NaN), x + 0 (-0 becomes 0), -(a - b) = b - a
 * (the sign of 0), sums of sums and of broadcasts (another order), products of two constants.
 */
#include "passes/simplify.h"

#include <math.h>
#include <stdlib.h>

#include "ir/dimension.h"
#include "passes/passes.h"

static bool number(const site *s, int k, double *out) { return rewrite_splat(s->r, s->in[k], out); }
static bool is_number(const site *s, int k, double wanted) {
    double given;
    return number(s, k, &given) && given == wanted && !signbit(given) == !signbit(wanted);
}
static tw_dtype dtype_of(const site *s, int k) { return rewrite_type(s->r, s->in[k]).dtype; }
static bool is_float(tw_dtype dtype) { return dtype >= TW_F16; }

bool site_same(const site *s, uint32_t a, uint32_t b) {
    double x, y;
    return a == b || (rewrite_splat(s->r, a, &x) && rewrite_splat(s->r, b, &y) && x == y &&
                      !signbit(x) == !signbit(y));
}

/* What operand k is the negation of; ABSENT for none. */
static uint32_t negated(const site *s, int k) {
    const node *inner = site_maker(s, k, "neg");
    return inner && is_float(dtype_of(s, k)) ? inner->operand[0] : ABSENT;
}

static uint32_t apply2(const site *s, const char *op, uint32_t a, uint32_t b) {
    const uint32_t in[] = {a, b};
    return site_apply(s, op, 2, in, NULL);
}

static uint32_t literal(const site *s, double value) {
    return site_made(s, tw_full(s->r->to, s->type.dtype, s->type.shape, value));
}

/* ---- sums ---- */

static uint32_t add_nothing(const site *s) {
    double nothing = is_float(s->type.dtype) ? -0.0 : 0;
    return is_number(s, 1, nothing) ? s->in[0] : is_number(s, 0, nothing) ? s->in[1] : ABSENT;
}

static uint32_t add_negated(const site *s) {
    uint32_t a = negated(s, 0), b = negated(s, 1);
    if (b != ABSENT) return apply2(s, "sub", s->in[0], b);
    return a == ABSENT ? ABSENT : apply2(s, "sub", s->in[1], a);
}

static uint32_t subtract_nothing(const site *s) { return is_number(s, 1, 0) ? s->in[0] : ABSENT; }

static uint32_t subtract_negated(const site *s) {
    uint32_t b = negated(s, 1);
    return b == ABSENT ? ABSENT : apply2(s, "add", s->in[0], b);
}

/* ---- products ---- */

static uint32_t multiply_by_one(const site *s) {
    return is_number(s, 1, 1) ? s->in[0] : is_number(s, 0, 1) ? s->in[1] : ABSENT;
}

static uint32_t multiply_by_minus_one(const site *s) {
    if (!is_float(s->type.dtype)) return ABSENT;
    int k = is_number(s, 1, -1) ? 0 : is_number(s, 0, -1) ? 1 : -1;
    return k < 0 ? ABSENT : site_made(s, tw_neg(site_operand(s, k)));
}

static uint32_t multiply_integers_by_zero(const site *s) {
    if (is_float(s->type.dtype)) return ABSENT;
    return is_number(s, 1, 0) ? s->in[1] : is_number(s, 0, 0) ? s->in[0] : ABSENT;
}

/* The signs of both cancel, or one goes into the constant. */
static uint32_t product_of_negated(const site *s) {
    uint32_t a = negated(s, 0), b = negated(s, 1);
    double c;
    if (a != ABSENT && b != ABSENT) return apply2(s, s->it->op->name, a, b);
    if (a != ABSENT && number(s, 1, &c)) return apply2(s, s->it->op->name, a, literal(s, -c));
    if (b != ABSENT && number(s, 0, &c)) return apply2(s, s->it->op->name, literal(s, -c), b);
    return ABSENT;
}

static uint32_t divide_by_one(const site *s) { return is_number(s, 1, 1) ? s->in[0] : ABSENT; }

/* The reciprocal of a power of two is exact, where the type holds both. */
static uint32_t divide_by_power_of_two(const site *s) {
    double b;
    int exponent, most = s->type.dtype == TW_F16 ? 14 : 100;
    if (!is_float(s->type.dtype) || !number(s, 1, &b) || !isfinite(b)) return ABSENT;
    if (fabs(frexp(b, &exponent)) != 0.5 || abs(exponent) >= most) return ABSENT;
    if (b == -1) return site_made(s, tw_neg(site_operand(s, 0)));
    return apply2(s, "mul", s->in[0], literal(s, 1 / b));
}

/* The kernels compute these powers so. */
static uint32_t power_of_constant(const site *s) {
    tw_value a = site_operand(s, 0);
    if (is_number(s, 1, 1)) return s->in[0];
    if (is_number(s, 1, 0) || is_number(s, 1, -0.0)) return literal(s, 1);
    if (is_number(s, 1, 2)) return site_made(s, tw_mul(a, a));
    bool half = s->type.dtype == TW_F16 || s->type.dtype == TW_BF16; /* rounds once, not twice */
    if (is_number(s, 1, 3) && !half) return site_made(s, tw_mul(tw_mul(a, a), a));
    if (is_number(s, 1, -1)) return apply2(s, "div", literal(s, 1), s->in[0]);
    return ABSENT;
}

/* ---- signs ---- */

static uint32_t undone(const site *s) {
    const node *inner = site_maker(s, 0, s->it->op->name);
    return inner ? inner->operand[0] : ABSENT;
}

/* -(c x) is (-c) x. */
static uint32_t negate_multiple(const site *s) {
    const node *inner = site_maker(s, 0, "mul");
    double c;
    if (!inner || !is_float(s->type.dtype)) return ABSENT;
    const uint32_t a = inner->operand[0], b = inner->operand[1];
    if (rewrite_splat(s->r, b, &c)) return apply2(s, "mul", a, literal(s, -c));
    return rewrite_splat(s->r, a, &c) ? apply2(s, "mul", literal(s, -c), b) : ABSENT;
}

static uint32_t abs_of_abs(const site *s) { return site_maker(s, 0, "abs") ? s->in[0] : ABSENT; }

/* Of unsigned integers, neg of 1 is the largest number. */
static uint32_t abs_of_negated(const site *s) {
    const node *inner = site_maker(s, 0, "neg");
    if (!inner || s->type.dtype == TW_U8 || s->type.dtype == TW_U32) return ABSENT;
    return site_made(s, tw_abs(graph_handle(s->r->to, inner->operand[0])));
}

/* ---- choices ---- */

static uint32_t of_itself(const site *s) { return s->in[0] == s->in[1] ? s->in[0] : ABSENT; }

/* max(max(x, y), y), and the other places of y for which ties, of 0 and -0, come out the same. */
static uint32_t extreme_again(const site *s) {
    const node *inner = site_maker(s, 0, s->it->op->name);
    if (inner && site_same(s, inner->operand[1], s->in[1])) return s->in[0];
    inner = site_maker(s, 1, s->it->op->name);
    bool known = inner && (site_same(s, inner->operand[0], s->in[0]) ||
                           site_same(s, inner->operand[1], s->in[0]));
    return known ? s->in[1] : ABSENT;
}

/* With all bits 0, or the truth value 1. */
static uint32_t bits_of_constant(const site *s) {
    bool is_and = node_is(s->it, "and"), is_or = node_is(s->it, "or");
    for (int k = 0; k < 2; k++) {
        if (is_number(s, k, 0)) return s->in[is_and ? k : !k];
        if (s->type.dtype == TW_BOOL && (is_and || is_or) && is_number(s, k, 1))
            return s->in[is_and ? !k : k];
    }
    return ABSENT;
}

static uint32_t select_the_same(const site *s) {
    return site_same(s, s->in[1], s->in[2]) ? s->in[1] : ABSENT;
}

static uint32_t select_known(const site *s) {
    double where;
    return number(s, 0, &where) ? s->in[where != 0 ? 1 : 2] : ABSENT;
}

static uint32_t select_by_not(const site *s) {
    const node *inner = site_maker(s, 0, "not");
    if (!inner) return ABSENT;
    const uint32_t in[] = {inner->operand[0], s->in[2], s->in[1]};
    return site_apply(s, "select", 3, in, NULL);
}

/* By the same truth values twice. */
static uint32_t select_again(const site *s) {
    uint32_t in[] = {s->in[0], s->in[1], s->in[2]};
    bool found = false;
    for (int k = 1; k < 3; k++) {
        const node *inner = site_maker(s, k, "select");
        if (!inner || inner->operand[0] != in[0]) continue;
        in[k] = inner->operand[k];
        found = true;
    }
    return found ? site_apply(s, "select", 3, in, NULL) : ABSENT;
}

/* ---- types ---- */

static uint32_t same_value(const site *s) { return s->in[0]; } /* stop_gradient: they are taken */

static uint32_t cast_to_the_same(const site *s) {
    return dtype_of(s, 0) == s->type.dtype ? s->in[0] : ABSENT;
}

/* Whether `wide` holds every number of `narrow`. */
static bool holds(tw_dtype wide, tw_dtype narrow) {
    switch (narrow) {
    case TW_BOOL: return true;
    case TW_U8: return wide != TW_BOOL;
    case TW_I32:
    case TW_U32: return wide == TW_I64 || wide == TW_F64;
    case TW_F16:
    case TW_BF16: return wide == TW_F32 || wide == TW_F64;
    case TW_F32: return wide == TW_F64;
    default: return false;
    }
}

/* Through a type that loses nothing. To another integer, floats saturate and integers wrap. */
static uint32_t cast_of_cast(const site *s) {
    const node *inner = site_maker(s, 0, "cast");
    if (!inner) return ABSENT;
    tw_dtype from = rewrite_type(s->r, inner->operand[0]).dtype, by = dtype_of(s, 0);
    if (!holds(by, from)) return ABSENT;
    if (from == s->type.dtype) return inner->operand[0];
    bool half = s->type.dtype == TW_F16 || s->type.dtype == TW_BF16;
    if (half || is_float(from) != is_float(by)) return ABSENT;
    return site_made(s, tw_cast(graph_handle(s->r->to, inner->operand[0]), s->type.dtype));
}

/* ---- reductions ---- */

enum { REDUCE_HOW, REDUCE_AXES };

/* Of single elements. */
static uint32_t reduce_nothing(const site *s) {
    const tw_shape *axes = &s->it->attr[REDUCE_AXES].list;
    if (dtype_of(s, 0) != s->type.dtype) return ABSENT;
    for (int i = 0; i < axes->rank; i++)
        if (site_shape(s, 0).dim[axes->dim[i]] != 1) return ABSENT;
    return axes->rank ? site_made(s, tw_reshape(site_operand(s, 0), s->type.shape)) : s->in[0];
}

static bool lists(const tw_shape *list, int64_t axis) {
    for (int i = 0; i < list->rank; i++)
        if (list->dim[i] == axis) return true;
    return false;
}

static bool is_extreme(const site *s) {
    int64_t how = s->it->attr[REDUCE_HOW].i + 1; /* the attribute counts its words from 0 */
    return how == TW_MAX || how == TW_MIN;
}

/* The greatest of equal elements. */
static uint32_t reduce_of_broadcast(const site *s) {
    const node *inner = site_maker(s, 0, "broadcast");
    if (!inner || !is_extreme(s)) return ABSENT;
    const tw_shape *axes = &s->it->attr[REDUCE_AXES].list, *kept = &inner->attr[1].list;
    tw_shape to = {.rank = kept->rank}, shape = site_shape(s, 0);
    for (int i = 0; i < axes->rank; i++)
        if (lists(kept, axes->dim[i]) || shape.dim[axes->dim[i]] < 1) return ABSENT;
    for (int i = 0; i < kept->rank; i++) {
        to.dim[i] = kept->dim[i];
        for (int k = 0; k < axes->rank; k++) to.dim[i] -= axes->dim[k] < kept->dim[i];
    }
    const uint32_t x = inner->operand[0];
    if (shape_equal(rewrite_type(s->r, x).shape, s->type.shape)) return x;
    const tw_attr attr[] = {tw_attr_dims(s->type.shape), tw_attr_dims(to)};
    return site_apply(s, "broadcast", 1, &x, attr);
}

/* Integers and truth values are combined in any order. */
static uint32_t reduce_of_reduce(const site *s) {
    const node *inner = site_maker(s, 0, "reduce");
    if (!inner || is_float(s->type.dtype) || inner->attr[0].i != s->it->attr[0].i) return ABSENT;
    const tw_shape *outer = &s->it->attr[REDUCE_AXES].list;
    tw_attr attr[] = {inner->attr[0], inner->attr[1], inner->attr[2]};
    int rank = rewrite_type(s->r, inner->operand[0]).shape.rank;
    tw_shape axes = {0};
    for (int axis = 0, left = 0; axis < rank; axis++) {
        bool gone = lists(&inner->attr[REDUCE_AXES].list, axis);
        if (gone || lists(outer, left)) axes.dim[axes.rank++] = axis;
        left += !gone;
    }
    attr[REDUCE_AXES] = tw_attr_dims(axes);
    return site_apply(s, "reduce", 1, inner->operand, attr);
}

/* ---- elementwise work before movements ---- */

/* Whether shapes differ in axes of extent 1 only. */
static bool same_but_units(tw_shape a, tw_shape b) {
    int i = 0, k = 0;
    for (;; i++, k++) {
        while (i < a.rank && a.dim[i] == 1) i++;
        while (k < b.rank && b.dim[k] == 1) k++;
        if (i == a.rank || k == b.rank) return i == a.rank && k == b.rank;
        if (a.dim[i] != b.dim[k]) return false;
    }
}

/* The one node that all operands but constants are moved by: its first maker; NULL for none. `before`
 * gets the operands as they were. */
static const node *common_movement(const site *s, const char *op, uint32_t *before) {
    const node *first = NULL;
    double c;
    for (int k = 0; k < s->it->n_operands; k++) {
        const node *inner = site_maker(s, k, op);
        before[k] = inner ? inner->operand[0] : ABSENT;
        if (!inner && (s->in[k] == ABSENT || !number(s, k, &c))) return NULL;
        if (!inner) continue;
        tw_shape shape = rewrite_type(s->r, before[k]).shape;
        if (first && !shape_equal(shape, rewrite_type(s->r, first->operand[0]).shape)) return NULL;
        if (first && !node_is(first, "reshape") &&
            !shape_equal(first->attr[0].list, inner->attr[0].list))
            return NULL;
        if (!first) first = inner;
    }
    return first;
}

/* The node on the operands before their movement; ABSENT after an error. */
static uint32_t compute_before(const site *s, tw_shape shape, uint32_t *before) {
    double c;
    for (int k = 0; k < s->it->n_operands; k++)
        if (before[k] == ABSENT && number(s, k, &c))
            before[k] = site_made(s, tw_full(s->r->to, dtype_of(s, k), shape, c));
    if (s->r->to->status) return ABSENT;
    uint32_t made = graph_append(s->r->to, s->it->op, s->it->n_operands, before, s->it->attr);
    return made == NO_NODE ? ABSENT : s->r->to->nodes.at[made].first_result;
}

/* f(reshape(x)) is reshape(f(x)), where the reshape is about axes of extent 1: they would keep what is
 * computed of a reduction's results apart from the reduction. */
static uint32_t elementwise_of_reshape(const site *s) {
    uint32_t before[TW_SCALAR_OPERANDS];
    const node *moved = common_movement(s, "reshape", before);
    if (!moved) return ABSENT;
    tw_shape shape = rewrite_type(s->r, moved->operand[0]).shape;
    if (!same_but_units(shape, s->type.shape)) return ABSENT;
    uint32_t y = compute_before(s, shape, before);
    return y == ABSENT ? y : site_made(s, tw_reshape(graph_handle(s->r->to, y), s->type.shape));
}

/* f(x^T) is f(x)^T: the transpose may meet another, or a product. Not where x^T is wanted anyway. */
static uint32_t elementwise_of_transpose(const site *s) {
    uint32_t before[TW_SCALAR_OPERANDS];
    const node *moved = common_movement(s, "transpose", before);
    if (!moved) return ABSENT;
    const tw_attr *attr = moved->attr;
    for (int k = 0; k < s->it->n_operands; k++)
        if (before[k] != ABSENT && (!s->uses || s->uses[s->it->operand[k]] != 1)) return ABSENT;
    uint32_t y = compute_before(s, rewrite_type(s->r, moved->operand[0]).shape, before);
    return y == ABSENT ? y : site_apply(s, "transpose", 1, &y, attr);
}

static const rule arithmetic_rules[] = {
    {"add", add_nothing},
    {"add", add_negated},
    {"sub", subtract_nothing},
    {"sub", subtract_negated},
    {"mul", multiply_by_one},
    {"mul", multiply_by_minus_one},
    {"mul", multiply_integers_by_zero},
    {"mul", product_of_negated},
    {"div", divide_by_one},
    {"div", product_of_negated},
    {"div", divide_by_power_of_two},
    {"pow", power_of_constant},
    {"neg", undone},
    {"neg", negate_multiple},
    {"not", undone},
    {"abs", abs_of_abs},
    {"abs", abs_of_negated},
    {"max", of_itself},
    {"max", extreme_again},
    {"min", of_itself},
    {"min", extreme_again},
    {"and", of_itself},
    {"and", bits_of_constant},
    {"or", of_itself},
    {"or", bits_of_constant},
    {"xor", bits_of_constant},
    {"select", select_the_same},
    {"select", select_known},
    {"select", select_by_not},
    {"select", select_again},
    {"stop_gradient", same_value},
    {"cast", cast_to_the_same},
    {"cast", cast_of_cast},
    {"reduce", reduce_nothing},
    {"reduce", reduce_of_broadcast},
    {"reduce", reduce_of_reduce},
    {NULL, elementwise_of_reshape},
    {NULL, elementwise_of_transpose},
    {0},
};

static uint32_t apply(const site *s, const rule *list) {
    for (uint32_t id; list->apply && !s->r->to->status; list++) {
        if (list->op ? !node_is(s->it, list->op) : s->it->op->meaning != TW_MEANS_SCALAR) continue;
        if ((id = list->apply(s)) != ABSENT) return id;
    }
    return ABSENT;
}

static uint32_t simplified(const site *s) {
    uint32_t id = apply(s, arithmetic_rules);
    return id == ABSENT ? apply(s, movement_rules) : id;
}

/* What a rule makes may be more than it has to be. */
static bool visit(rewrite *r, const node *it, const uint32_t *in, uint32_t *result) {
    enum { MOST = 8 };
    if (!it->n_operands || it->n_results != 1 || in[0] == ABSENT) return false;
    site s = {r, it, in, r->uses, r->from->values.at[it->first_result].type};
    uint32_t next = simplified(&s);
    if (next == ABSENT) return false;
    for (int i = 0; next != ABSENT && i < MOST; i++) {
        result[0] = next;
        const node made = *rewrite_node(r, next);
        if (!made.n_operands || made.n_results != 1 || r->to->status) break;
        s.it = &made;
        s.in = made.operand;
        s.uses = NULL;
        next = simplified(&s);
    }
    return true;
}

const pass simplify_pass = {
    .name = "simplify", .about = "identities, and movements that cancel", .visit = visit};
