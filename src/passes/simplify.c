/*
 * Algebra that keeps every bit, NaN included: identities, and movements that cancel. (x * 0 is no
 * 0 where x is NaN; x + 0 turns -0 into 0, so only x - 0 is dropped.)
 */
#include <math.h>
#include <stdlib.h>
#include <thalweg/operators.h>

#include "ir/dimension.h"
#include "passes/passes.h"

static bool becomes(uint32_t id, uint32_t *result) {
    result[0] = id;
    return true;
}

/* A public function's result, ABSENT when it failed. */
static bool made(tw_value value, uint32_t *result) {
    result[0] = tw_ok(value) ? value.id : ABSENT;
    return true;
}

static tw_value handle(const rewrite *r, uint32_t id) { return graph_handle(r->to, id); }

/* A power of two has an exact reciprocal: division by it is a multiplication, where the type holds
 * both. */
static bool has_exact_inverse(double number, tw_dtype dtype) {
    int exponent, most = dtype == TW_F16 ? 14 : 100;
    return isfinite(number) && fabs(frexp(number, &exponent)) == 0.5 && abs(exponent) < most;
}

static bool simplify_arithmetic(rewrite *r, const node *it, const uint32_t *in, uint32_t *result) {
    double a, b;
    if (it->n_operands != 2) return false;
    bool left = rewrite_splat(r, in[0], &a), right = rewrite_splat(r, in[1], &b);
    tw_dtype dtype = rewrite_type(r, in[0]).dtype;
    bool floats = dtype >= TW_F16;
    if (node_is(it, "mul") && right && b == 1) return becomes(in[0], result);
    if (node_is(it, "mul") && left && a == 1) return becomes(in[1], result);
    if (node_is(it, "div") && right && b == 1) return becomes(in[0], result);
    if (node_is(it, "sub") && right && b == 0 && !signbit(b)) return becomes(in[0], result);
    if (node_is(it, "add") && right && b == 0 && (!floats || signbit(b)))
        return becomes(in[0], result);
    if (node_is(it, "add") && left && a == 0 && (!floats || signbit(a)))
        return becomes(in[1], result);
    if (node_is(it, "pow") && right && b == 1) return becomes(in[0], result);
    if (node_is(it, "div") && right && floats && has_exact_inverse(b, dtype))
        return made(tw_mul(handle(r, in[0]), tw_literal(handle(r, in[0]), 1 / b)), result);
    return false;
}

static bool simplify_one(rewrite *r, const node *it, const uint32_t *in, uint32_t *result) {
    const node *inner = rewrite_node(r, in[0]);
    tw_type from = rewrite_type(r, in[0]), to = r->from->values.at[it->first_result].type;
    if (node_is(it, "neg") && node_is(inner, "neg")) return becomes(inner->operand[0], result);
    if (node_is(it, "not") && node_is(inner, "not")) return becomes(inner->operand[0], result);
    bool wraps = from.dtype == TW_U8 || from.dtype == TW_U32; /* neg of 1 is the largest number */
    if (node_is(it, "abs") && node_is(inner, "abs")) return becomes(in[0], result);
    if (node_is(it, "abs") && node_is(inner, "neg") && !wraps)
        return made(tw_abs(handle(r, inner->operand[0])), result);
    if (node_is(it, "stop_gradient")) return becomes(in[0], result); /* the gradients are taken */
    if (node_is(it, "cast") && from.dtype == to.dtype) return becomes(in[0], result);
    if (node_is(it, "reduce") && it->attr[1].list.rank == 0 && from.dtype == to.dtype)
        return becomes(in[0], result);
    return false;
}

static bool is_identity(const tw_shape *permutation) {
    for (int i = 0; i < permutation->rank; i++)
        if (permutation->dim[i] != i) return false;
    return true;
}

/* With open extents, equal shapes alone don't say that a slice is the whole. */
static bool starts_at_zero(const node *it) {
    for (int i = 0; i < it->attr[0].list.rank; i++)
        if (it->attr[0].list.dim[i] != 0 || it->attr[2].list.dim[i] != 1) return false;
    return true;
}

static bool simplify_movement(rewrite *r, const node *it, const uint32_t *in, uint32_t *result) {
    const node *inner = rewrite_node(r, in[0]);
    tw_shape from = rewrite_type(r, in[0]).shape;
    tw_shape to = r->from->values.at[it->first_result].type.shape;
    if (node_is(it, "reshape") && shape_equal(from, to)) return becomes(in[0], result);
    if (node_is(it, "reshape") && node_is(inner, "reshape") &&
        shape_equal(rewrite_type(r, inner->operand[0]).shape, to))
        return becomes(inner->operand[0], result);
    if (node_is(it, "reshape") && node_is(inner, "reshape"))
        return made(tw_reshape(handle(r, inner->operand[0]), to), result);
    if (node_is(it, "broadcast") && shape_equal(from, to)) return becomes(in[0], result);
    if (node_is(it, "slice") && shape_equal(from, to) && starts_at_zero(it))
        return becomes(in[0], result);
    if (node_is(it, "concat") && it->n_operands == 1) return becomes(in[0], result);
    if (node_is(it, "reverse") && node_is(inner, "reverse") &&
        shape_equal(it->attr[0].list, inner->attr[0].list))
        return becomes(inner->operand[0], result);
    if (!node_is(it, "transpose")) return false;
    if (is_identity(&it->attr[0].list)) return becomes(in[0], result);
    if (!node_is(inner, "transpose")) return false;
    int axes[TW_MAX_RANK];
    bool back = true;
    for (int i = 0; i < from.rank; i++) {
        axes[i] = (int)inner->attr[0].list.dim[it->attr[0].list.dim[i]];
        back = back && axes[i] == i;
    }
    if (back) return becomes(inner->operand[0], result);
    return made(tw_permute(handle(r, inner->operand[0]), axes), result);
}

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

/* f(reshape(x)) is reshape(f(x)), where the reshape is about axes of extent 1: they would keep what is
 * computed of a reduction's results apart from the reduction. */
static bool simplify_units(rewrite *r, const node *it, const uint32_t *in, uint32_t *result) {
    if (it->op->meaning != TW_MEANS_SCALAR) return false;
    tw_shape to = r->from->values.at[it->first_result].type.shape, shape = to;
    uint32_t before[TW_SCALAR_OPERANDS];
    bool found = false;
    double number;
    for (int k = 0; k < it->n_operands; k++) {
        const node *inner = in[k] == ABSENT ? NULL : rewrite_made_by(r, in[k], "reshape");
        if (!inner) {
            if (in[k] == ABSENT || !rewrite_splat(r, in[k], &number)) return false;
            continue;
        }
        before[k] = inner->operand[0];
        tw_shape of = rewrite_type(r, before[k]).shape;
        if (found ? !shape_equal(of, shape) : !same_but_units(of, to)) return false;
        shape = of;
        found = true;
    }
    if (!found) return false;
    for (int k = 0; k < it->n_operands; k++)
        if (rewrite_splat(r, in[k], &number))
            before[k] = tw_full(r->to, rewrite_type(r, in[k]).dtype, shape, number).id;
    uint32_t moved = graph_append(r->to, it->op, it->n_operands, before, it->attr);
    if (moved == NO_NODE) return false;
    return made(tw_reshape(handle(r, r->to->nodes.at[moved].first_result), to), result);
}

static bool simplify_select(const rewrite *r, const node *it, const uint32_t *in,
                            uint32_t *result) {
    double where;
    if (!node_is(it, "select")) return false;
    if (in[1] == in[2]) return becomes(in[1], result);
    return rewrite_splat(r, in[0], &where) && becomes(in[where != 0 ? 1 : 2], result);
}

static bool visit(rewrite *r, const node *it, const uint32_t *in, uint32_t *result) {
    if (!it->n_operands || it->n_results != 1 || in[0] == ABSENT) return false;
    return simplify_arithmetic(r, it, in, result) || simplify_one(r, it, in, result) ||
           simplify_movement(r, it, in, result) || simplify_select(r, it, in, result) ||
           simplify_units(r, it, in, result);
}

const pass simplify_pass = {
    .name = "simplify", .about = "identities, and movements that cancel", .visit = visit};
