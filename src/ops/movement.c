/*
 * Operators that give every element another place: reshape, transpose, broadcast, reverse; and
 * the list of the family. Their meaning is a map of strided copies, for every type with kernels.
 */
#include <thalweg/operators.h>

#include "ir/dimension.h"
#include "ir/graph.h"
#include "ops/batch.h"
#include "ops/families.h"
#include "ops/pieces.h"
#include "ops/reduction.h"
#include "ops/rules.h"
#include "ops/section.h"

enum { RESHAPE_SHAPE };
enum { TRANSPOSE_AXES };
enum { BROADCAST_SHAPE, BROADCAST_AXES };
enum { REVERSE_AXES };

/* ---- reshape ---- */

static tw_status reshape_infer(tw_signature *signature) {
    tw_context *context = signature->context;
    tw_shape from = signature->operand[0].shape, to = signature->attr[RESHAPE_SHAPE].list;
    tw_status status = rule_type(signature, 0, TYPES_ALL);
    if (!status) status = rule_result(signature, 0, signature->operand[0].dtype, to);
    if (status) return status;
    int64_t have = tw_dim_product(context, from, 0, from.rank);
    int64_t want = tw_dim_product(context, to, 0, to.rank);
    if (have != TW_DIM_NONE && have == want) return TW_OK;
    text given = {.context = context};
    shape_print(context, to, &given);
    status = tw_refuse(signature, TW_ERR_SHAPE,
                       "the shape %s has another number of elements than the operand",
                       given.failed || !given.at ? "?" : given.at);
    text_drop(&given);
    return status;
}

static int reshape_map(const tw_signature *signature, int capacity, tw_piece *out) {
    pieces list = {.capacity = capacity, .out = out};
    tw_piece piece = {.rank = 1, .out_step = {1}, .in_step = {1}};
    tw_shape shape = signature->operand[0].shape;
    piece.extent[0] = rule_product(shape, 0, shape.rank);
    pieces_add(&list, &piece);
    return list.count;
}

static void reshape_vjp(tw_graph *graph, tw_vjp *rule) {
    (void)graph;
    rule->d_operand[0] = tw_reshape(rule->d_result[0], rule->operand_type[0].shape);
}

static void reshape_batch(tw_graph *graph, tw_batch *rule) {
    (void)graph;
    tw_attr attr = batch_list(rule->size, &rule->attr[RESHAPE_SHAPE].list);
    rule->result[0] = rule_apply1("reshape", rule->operand[0], &attr);
}

/*
 * Common factors of both shapes, from the major end: while one rest divides the other it is a
 * factor of both. Where neither does, and in empty arrays, the rest of the dimensions cannot be
 * cut.
 */
static int reshape_factors(const tw_signature *signature, tw_factor *out) {
    tw_shape from = signature->operand[0].shape, to = signature->result[0].shape;
    int n = 0, i = 0, k = 0;
    int64_t a = 1, b = 1; /* what is left of from.dim[i-1], to.dim[k-1] */
    for (;;) {
        while (a == 1 && i < from.rank) a = from.dim[i++];
        while (b == 1 && k < to.rank) b = to.dim[k++];
        if (a == 1 || b == 1 || a == 0 || b == 0) break;
        bool known = a > 0 && b > 0;
        if (a != b && (!known || (a % b && b % a))) break;
        int64_t size = known && b < a ? b : a;
        out[n] = rule_factor(TW_FACTOR_PASS, size);
        out[n].operand[0] = (int8_t)(i - 1);
        out[n].attr = (tw_factor_attr){.entry = (int8_t)(k - 1), .extent = RESHAPE_SHAPE + 1};
        out[n++].result[0] = (int8_t)(k - 1);
        a = a == size ? 1 : a / size;
        b = b == size ? 1 : b / size;
    }
    if (a != 1) out[n++] = rule_whole_operand(0, i - 1, a);
    if (b != 1) out[n++] = rule_whole_result(k - 1, b);
    for (; i < from.rank; i++) {
        if (from.dim[i] != 1) out[n++] = rule_whole_operand(0, i, from.dim[i]);
    }
    for (; k < to.rank; k++) {
        if (to.dim[k] != 1) out[n++] = rule_whole_result(k, to.dim[k]);
    }
    return n;
}

static const tw_attr_spec reshape_attributes[] = {
    {"shape", TW_ATTR_DIMS, NULL, NULL, "the result's shape"}, {0}};
static const tw_sample reshape_samples[] = {
    {.operands = "f64[4,6]", .attributes = "shape=[2,2,3,2]"},
    {.operands = "f64[]", .attributes = "shape=[1,1]"},
    {.operands = "f64[1,2,3]", .attributes = "shape=[3,1,2,1]"},
    {.operands = "u8[4]", .attributes = "shape=[4,1]"},
    {.operands = "i64[4]", .attributes = "shape=[1,4]"},
    {.operands = "f64[6,4]", .attributes = "shape=[4,6]"},
    {.operands = "f64[1]", .attributes = "shape=[]"},
    {.operands = "f64[0,3]", .attributes = "shape=[3,0,2]"},
    {.operands = "i32[4]", .attributes = "shape=[2,2]"},
    {0},
};
static const tw_operator op_reshape = {
    .name = "reshape",
    .formula = "y[j] = x[i] where i and j are the same place in row-major order",
    .semantics = "refused unless the numbers of elements are equal",
    .operands = "x",
    .results = "y",
    .attributes = reshape_attributes,
    .infer = reshape_infer,
    .vjp = reshape_vjp,
    .batch = reshape_batch,
    .factors = reshape_factors,
    .cost = rule_cost_bytes,
    .meaning = TW_MEANS_MAP,
    .map = reshape_map,
    .samples = reshape_samples,
};

/* ---- transpose ---- */

static tw_status transpose_infer(tw_signature *signature) {
    tw_shape from = signature->operand[0].shape, to = {.rank = from.rank};
    const tw_shape *axes = &signature->attr[TRANSPOSE_AXES].list;
    bool seen[TW_MAX_RANK];
    tw_status status = rule_type(signature, 0, TYPES_ALL);
    if (!status) status = rule_list(signature, "axes", axes, from.rank, 0);
    if (!status) status = rule_axes(signature, "axes", axes, from.rank, seen);
    if (status) return status;
    for (int i = 0; i < to.rank; i++) to.dim[i] = from.dim[axes->dim[i]];
    return rule_result(signature, 0, signature->operand[0].dtype, to);
}

static int transpose_map(const tw_signature *signature, int capacity, tw_piece *out) {
    const tw_shape *axes = &signature->attr[TRANSPOSE_AXES].list;
    pieces list = {.capacity = capacity, .out = out};
    tw_piece from = piece_of(signature, 0), piece = {.rank = from.rank};
    for (int i = 0; i < piece.rank; i++) { /* in the order of the result */
        piece.extent[i] = from.extent[axes->dim[i]];
        piece.in_step[i] = from.in_step[axes->dim[i]];
    }
    rule_strides(signature->result[0].shape, piece.out_step);
    pieces_add(&list, &piece);
    return list.count;
}

static void transpose_vjp(tw_graph *graph, tw_vjp *rule) {
    (void)graph;
    const tw_shape *axes = &rule->attr[TRANSPOSE_AXES].list;
    int inverse[TW_MAX_RANK] = {0};
    for (int i = 0; i < axes->rank; i++) inverse[axes->dim[i]] = i;
    rule->d_operand[0] = tw_permute(rule->d_result[0], inverse);
}

static void transpose_batch(tw_graph *graph, tw_batch *rule) {
    (void)graph;
    tw_attr attr = batch_axes_too(&rule->attr[TRANSPOSE_AXES].list);
    rule->result[0] = rule_apply1("transpose", rule->operand[0], &attr);
}

static int transpose_factors(const tw_signature *signature, tw_factor *out) {
    const tw_shape *axes = &signature->attr[TRANSPOSE_AXES].list;
    tw_shape shape = signature->result[0].shape;
    for (int i = 0; i < shape.rank; i++) {
        out[i] = rule_factor(TW_FACTOR_PASS, shape.dim[i]);
        out[i].operand[0] = (int8_t)axes->dim[i];
        out[i].result[0] = (int8_t)i;
    }
    return shape.rank;
}

static const tw_attr_spec transpose_attributes[] = {
    {"axes", TW_ATTR_INTS, NULL, NULL, "the operand's axis that each axis of the result is"}, {0}};
static const tw_sample transpose_samples[] = {
    {.operands = "f64[2,3,4]", .attributes = "axes=[2,0,1]"},
    {.operands = "f64[2,3,1,2,2]", .attributes = "axes=[3,1,4,2,0]"},
    {.operands = "f64[2,3]", .attributes = "axes=[0,1]"},
    {.operands = "bool[2,3]", .attributes = "axes=[1,0]"},
    {.operands = "u8[3,2]", .attributes = "axes=[1,0]"},
    {.operands = "f64[1,5]", .attributes = "axes=[1,0]"},
    {.operands = "f64[0,3]", .attributes = "axes=[1,0]"},
    {.operands = "f64[]", .attributes = "axes=[]"},
    {.operands = "i32[2,3]", .attributes = "axes=[1,0]"},
    {0},
};
static const tw_operator op_transpose = {
    .name = "transpose",
    .formula = "y[i_0, ..] = x[j_0, ..] where i_k = j_axes[k]",
    .semantics = "axes is a permutation of all axes",
    .operands = "x",
    .results = "y",
    .attributes = transpose_attributes,
    .infer = transpose_infer,
    .vjp = transpose_vjp,
    .batch = transpose_batch,
    .factors = transpose_factors,
    .cost = rule_cost_bytes,
    .meaning = TW_MEANS_MAP,
    .map = transpose_map,
    .samples = transpose_samples,
};

/* ---- broadcast ---- */

static tw_status broadcast_infer(tw_signature *signature) {
    tw_shape from = signature->operand[0].shape, to = signature->attr[BROADCAST_SHAPE].list;
    const tw_shape *axes = &signature->attr[BROADCAST_AXES].list;
    bool seen[TW_MAX_RANK];
    tw_status status = rule_type(signature, 0, TYPES_ALL);
    if (!status) status = rule_result(signature, 0, signature->operand[0].dtype, to);
    if (!status) status = rule_list(signature, "axes", axes, from.rank, 0);
    if (!status) status = rule_axes(signature, "axes", axes, to.rank, seen);
    for (int i = 0; i < from.rank && !status; i++) {
        if (i > 0 && axes->dim[i] < axes->dim[i - 1]) {
            status = tw_refuse(signature, TW_ERR_ARGUMENT, "axes must rise; tw_permute reorders");
        } else if (to.dim[axes->dim[i]] != from.dim[i]) {
            status = tw_refuse(signature, TW_ERR_SHAPE,
                               "axis %d of the operand and axis %lld of the result differ, expected"
                               " equal extents",
                               i, (long long)axes->dim[i]);
        }
    }
    return status;
}

static int broadcast_map(const tw_signature *signature, int capacity, tw_piece *out) {
    const tw_shape *axes = &signature->attr[BROADCAST_AXES].list;
    tw_shape shape = signature->result[0].shape;
    pieces list = {.capacity = capacity, .out = out};
    tw_piece from = piece_of(signature, 0), piece = {.rank = shape.rank};
    for (int i = 0; i < shape.rank; i++) piece.extent[i] = shape.dim[i];
    for (int i = 0; i < axes->rank; i++) piece.in_step[axes->dim[i]] = from.in_step[i];
    rule_strides(shape, piece.out_step);
    pieces_add(&list, &piece);
    return list.count;
}

static void broadcast_vjp(tw_graph *graph, tw_vjp *rule) {
    (void)graph;
    const tw_shape *axes = &rule->attr[BROADCAST_AXES].list;
    bool kept[TW_MAX_RANK] = {false};
    for (int i = 0; i < axes->rank; i++) kept[axes->dim[i]] = true;
    tw_shape added = {0};
    for (int i = 0; i < rule->attr[BROADCAST_SHAPE].list.rank; i++) {
        if (!kept[i]) added.dim[added.rank++] = i;
    }
    rule->d_operand[0] = reduction_apply(rule->d_result[0], TW_SUM, &added);
}

static void broadcast_batch(tw_graph *graph, tw_batch *rule) {
    (void)graph;
    tw_attr attr[] = {batch_list(rule->size, &rule->attr[BROADCAST_SHAPE].list),
                      batch_axes_too(&rule->attr[BROADCAST_AXES].list)};
    rule->result[0] = rule_apply1("broadcast", rule->operand[0], attr);
}

static int broadcast_factors(const tw_signature *signature, tw_factor *out) {
    const tw_shape *axes = &signature->attr[BROADCAST_AXES].list;
    int n = rule_factors_stated(signature, BROADCAST_SHAPE, out);
    for (int i = 0; i < axes->rank; i++) out[axes->dim[i]].operand[0] = (int8_t)i;
    return n;
}

static const tw_attr_spec broadcast_attributes[] = {
    {"shape", TW_ATTR_DIMS, NULL, NULL, "the result's shape"},
    {"axes", TW_ATTR_INTS, "[]", NULL,
     "the result's axis that each axis of the operand is, rising"},
    {0}};
static const tw_sample broadcast_samples[] = {
    {.operands = "f64[3]", .attributes = "shape=[2,3,4], axes=[1]"},
    {.operands = "f64[2,3]", .attributes = "shape=[2,3], axes=[0,1]"},
    {.operands = "f64[2]", .attributes = "shape=[1,2,1,2], axes=[3]"},
    {.operands = "i64[2]", .attributes = "shape=[2,3], axes=[0]"},
    {.operands = "f64[2,4]", .attributes = "shape=[2,3,4], axes=[0,2]"},
    {.operands = "f64[]", .attributes = "shape=[2,3], axes=[]"},
    {.operands = "f64[1]", .attributes = "shape=[1,4], axes=[0]"},
    {.operands = "f64[0]", .attributes = "shape=[3,0], axes=[1]"},
    {.operands = "f64[3]", .attributes = "shape=[0,3], axes=[1]"},
    {.operands = "bool[2]", .attributes = "shape=[2,2], axes=[0]"},
    {0},
};
static const tw_operator op_broadcast = {
    .name = "broadcast",
    .formula = "y[i] = x[i_axes[0], i_axes[1], ..]",
    .semantics = "extents of one axis are equal on both sides; tw_broadcast stretches extents of 1",
    .operands = "x",
    .results = "y",
    .attributes = broadcast_attributes,
    .infer = broadcast_infer,
    .vjp = broadcast_vjp,
    .batch = broadcast_batch,
    .factors = broadcast_factors,
    .cost = rule_cost_bytes,
    .meaning = TW_MEANS_MAP,
    .map = broadcast_map,
    .samples = broadcast_samples,
};

/* ---- reverse ---- */

static tw_status reverse_infer(tw_signature *signature) {
    bool seen[TW_MAX_RANK];
    tw_type x = signature->operand[0];
    const tw_shape *axes = &signature->attr[REVERSE_AXES].list;
    tw_status status = rule_type(signature, 0, TYPES_ALL);
    if (!status) status = rule_axes(signature, "axes", axes, x.shape.rank, seen);
    return status ? status : rule_result(signature, 0, x.dtype, x.shape);
}

static int reverse_map(const tw_signature *signature, int capacity, tw_piece *out) {
    const tw_shape *axes = &signature->attr[REVERSE_AXES].list;
    pieces list = {.capacity = capacity, .out = out};
    tw_piece piece = piece_of(signature, 0);
    rule_strides(signature->result[0].shape, piece.out_step);
    for (int i = 0; i < axes->rank; i++) {
        int axis = (int)axes->dim[i];
        piece.in_start += (piece.extent[axis] - 1) * piece.in_step[axis];
        piece.in_step[axis] = -piece.in_step[axis];
    }
    pieces_add(&list, &piece);
    return list.count;
}

static void reverse_vjp(tw_graph *graph, tw_vjp *rule) {
    (void)graph;
    rule->d_operand[0] = rule_apply1("reverse", rule->d_result[0], rule->attr);
}

static void reverse_batch(tw_graph *graph, tw_batch *rule) {
    (void)graph;
    tw_attr attr = batch_axes(&rule->attr[REVERSE_AXES].list);
    rule->result[0] = rule_apply1("reverse", rule->operand[0], &attr);
}

static int reverse_factors(const tw_signature *signature, tw_factor *out) {
    const tw_shape *axes = &signature->attr[REVERSE_AXES].list;
    int n = rule_factors_elementwise(signature, out);
    for (int i = 0; i < axes->rank; i++) out[axes->dim[i]].kind = TW_FACTOR_PERMUTE;
    return n;
}

static const tw_attr_spec reverse_attributes[] = {
    {"axes", TW_ATTR_INTS, NULL, NULL, "the axes that run backwards"}, {0}};
static const tw_sample reverse_samples[] = {
    {.operands = "f64[3,4]", .attributes = "axes=[1]"},
    {.operands = "f64[3,4]", .attributes = "axes=[]"},
    {.operands = "f64[]", .attributes = "axes=[]"},
    {.operands = "f64[2,3,2]", .attributes = "axes=[2,1,0]"},
    {.operands = "u8[3,2]", .attributes = "axes=[1]"},
    {.operands = "f64[2,3,2]", .attributes = "axes=[0,2]"},
    {.operands = "f64[1]", .attributes = "axes=[0]"},
    {.operands = "f64[0,3]", .attributes = "axes=[0]"},
    {.operands = "i32[5]", .attributes = "axes=[0]"},
    {0},
};
static const tw_operator op_reverse = {
    .name = "reverse",
    .formula = "y[.., i, ..] = x[.., extent - 1 - i, ..] along each of axes",
    .semantics = "no axis is listed twice",
    .operands = "x",
    .results = "y",
    .attributes = reverse_attributes,
    .infer = reverse_infer,
    .vjp = reverse_vjp,
    .batch = reverse_batch,
    .factors = reverse_factors,
    .cost = rule_cost_bytes,
    .meaning = TW_MEANS_MAP,
    .map = reverse_map,
    .samples = reverse_samples,
};

const tw_operator *const ops_movement[] = {
    &op_reshape, &op_transpose, &op_broadcast, &op_slice, &op_pad, &op_concat, &op_reverse, NULL,
};

/* Fills in the extent that is TW_DIM_INFER; false with the graph's error when there is none. */
static bool infer_extent(tw_value x, tw_shape *shape) {
    tw_context *context = x.graph->module->context;
    tw_shape from = tw_shape_of(x);
    int at = -1;
    int64_t others = 1;
    for (int i = 0; i < shape->rank && i < TW_MAX_RANK; i++) {
        if (shape->dim[i] != TW_DIM_INFER) {
            others = tw_dim_mul(context, others, shape->dim[i]);
        } else if (at < 0) {
            at = i;
        } else {
            graph_error(x.graph, TW_ERR_ARGUMENT, "reshape: two extents are TW_DIM_INFER");
            return false;
        }
    }
    if (at < 0) return true;
    int64_t all = tw_dim_product(context, from, 0, from.rank);
    shape->dim[at] = tw_dim_div(context, all, others);
    if (shape->dim[at] != TW_DIM_NONE) return true;
    graph_error(x.graph, TW_ERR_SHAPE,
                "reshape: extent %d cannot be inferred: the other extents do not divide the number"
                " of elements",
                at);
    return false;
}

tw_value tw_reshape(tw_value x, tw_shape shape) {
    if (!rule_usable("reshape", 1, &x) || !infer_extent(x, &shape)) return rule_poison(x.graph);
    tw_attr attr = tw_attr_dims(shape);
    return rule_apply1("reshape", x, &attr);
}

tw_value tw_permute(tw_value x, const int *axes) {
    if (!rule_usable("permute", 1, &x)) return rule_poison(x.graph);
    int rank = tw_shape_of(x).rank, from_start[TW_MAX_RANK];
    if (!axes && rank > 0) return rule_fail(x.graph, TW_ERR_NULL, "permute: axes is NULL");
    for (int i = 0; i < rank; i++) {
        from_start[i] = rule_axis_of("permute", x, axes[i]);
        if (from_start[i] < 0) return rule_poison(x.graph);
    }
    tw_attr attr = rule_axes_attr(rank, from_start);
    return rule_apply1("transpose", x, &attr);
}

tw_value tw_transpose(tw_value x) {
    if (!rule_usable("transpose", 1, &x)) return rule_poison(x.graph);
    int rank = tw_shape_of(x).rank, axes[TW_MAX_RANK];
    if (rank < 2) {
        return rule_fail(x.graph, TW_ERR_SHAPE, "transpose: a value of rank %d, expected 2 or more",
                         rank);
    }
    for (int i = 0; i < rank; i++) axes[i] = i;
    axes[rank - 2] = rank - 1;
    axes[rank - 1] = rank - 2;
    return tw_permute(x, axes);
}

/* Extents of 1 that are to be stretched are dropped first: the operator adds them anew. */
tw_value tw_broadcast(tw_value x, tw_shape shape) {
    if (!rule_usable("broadcast", 1, &x)) return rule_poison(x.graph);
    tw_shape from = tw_shape_of(x), kept = {0}, axes = {0};
    if (shape_equal(from, shape)) return tw_snapshot(x);
    int lead = shape.rank - from.rank;
    bool fits = lead >= 0 && shape.rank <= TW_MAX_RANK;
    for (int i = 0; i < from.rank && fits; i++) {
        int64_t to = shape.dim[lead + i];
        fits = from.dim[i] == to || from.dim[i] == 1;
        if (from.dim[i] != to) continue;
        kept.dim[kept.rank++] = to;
        axes.dim[axes.rank++] = lead + i;
    }
    if (!fits) {
        text given = {.context = x.graph->module->context};
        shape_print(given.context, from, &given);
        text_add(&given, " does not broadcast to ");
        shape_print(given.context, shape, &given);
        tw_value failed =
            rule_fail(x.graph, TW_ERR_SHAPE, "broadcast: %s", given.failed ? "?" : given.at);
        text_drop(&given);
        return failed;
    }
    if (kept.rank != from.rank) x = tw_reshape(x, kept);
    tw_attr attr[] = {tw_attr_dims(shape), tw_attr_dims(axes)};
    return rule_apply1("broadcast", x, attr);
}

tw_value tw_reverse(tw_value x, int axis) {
    if (!rule_usable("reverse", 1, &x)) return rule_poison(x.graph);
    axis = rule_axis_of("reverse", x, axis);
    if (axis < 0) return rule_poison(x.graph);
    tw_attr attr = rule_axes_attr(1, &axis);
    return rule_apply1("reverse", x, &attr);
}
