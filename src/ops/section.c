/* Operators that take a part of an array or join arrays: slice, pad, concat. */
#include "ops/section.h"

#include <thalweg/operators.h>

#include "ir/dimension.h"
#include "ir/graph.h"
#include "ops/batch.h"
#include "ops/pieces.h"
#include "ops/rules.h"

enum { SLICE_START, SLICE_LIMIT, SLICE_STEP };
enum { PAD_LOW, PAD_HIGH, PAD_INTERIOR };
enum { CONCAT_AXIS };

/* No array is larger, and sums of a few such numbers still fit. */
#define PAD_LIMIT (INT64_MAX / 8)

/* ---- slice ---- */

/* ceil((limit - start) / step), or TW_DIM_NONE after a refusal in *status. */
static int64_t slice_extent(const tw_signature *signature, int axis, tw_status *status) {
    int64_t start = signature->attr[SLICE_START].list.dim[axis];
    int64_t limit = signature->attr[SLICE_LIMIT].list.dim[axis];
    int64_t step = signature->attr[SLICE_STEP].list.dim[axis];
    int64_t from = signature->operand[0].shape.dim[axis];
    bool known = start >= 0 && limit >= 0;
    if (known && (limit < start || (from >= 0 && limit > from))) {
        *status = tw_refuse(signature, TW_ERR_SHAPE,
                            "axis %d: elements %lld to %lld, expected 0 <= start <= limit <= the"
                            " extent",
                            axis, (long long)start, (long long)limit);
        return TW_DIM_NONE;
    }
    if (known) return (limit - start + step - 1) / step;
    int64_t extent = tw_dim_sub(signature->context, limit, start);
    if (step > 1 && extent < 0) extent = tw_dim_div(signature->context, extent, step);
    if (extent == TW_DIM_NONE) {
        *status = tw_refuse(signature, TW_ERR_UNSUPPORTED,
                            "axis %d: the symbolic extent of the slice has no closed form", axis);
    }
    return extent;
}

static tw_status slice_infer(tw_signature *signature) {
    tw_shape from = signature->operand[0].shape, to = {.rank = from.rank};
    tw_status status = rule_type(signature, 0, TYPES_ALL);
    if (!status && (signature->attr[SLICE_START].list.rank != from.rank ||
                    signature->attr[SLICE_LIMIT].list.rank != from.rank)) {
        status =
            tw_refuse(signature, TW_ERR_ARGUMENT, "start and limit need an entry for each axis");
    }
    if (!status) {
        status = rule_list(signature, "step", &signature->attr[SLICE_STEP].list, from.rank, 1);
    }
    for (int i = 0; i < to.rank && !status; i++) to.dim[i] = slice_extent(signature, i, &status);
    return status ? status : rule_result(signature, 0, signature->operand[0].dtype, to);
}

static int slice_map(const tw_signature *signature, int capacity, tw_piece *out) {
    tw_shape shape = signature->result[0].shape;
    pieces list = {.capacity = capacity, .out = out};
    tw_piece piece = piece_of(signature, 0);
    for (int i = 0; i < shape.rank; i++) {
        piece.extent[i] = shape.dim[i];
        piece.in_start += signature->attr[SLICE_START].list.dim[i] * piece.in_step[i];
        piece.in_step[i] *= signature->attr[SLICE_STEP].list.dim[i];
    }
    rule_strides(shape, piece.out_step);
    pieces_add(&list, &piece);
    return list.count;
}

/* Pads x with `fill` by the three lists. */
static tw_value pad_by(tw_value x, const tw_shape *low, const tw_shape *high,
                       const tw_shape *interior, tw_value fill) {
    tw_attr attr[] = {tw_attr_dims(*low), tw_attr_dims(*high), tw_attr_dims(*interior)};
    return rule_apply2("pad", x, fill, attr);
}

/* Puts the elements back where they were, zeros elsewhere. */
static void slice_vjp(tw_graph *graph, tw_vjp *rule) {
    tw_shape from = rule->operand_type[0].shape, to = tw_shape_of(rule->d_result[0]);
    tw_shape low = {.rank = from.rank}, high = low, interior = low;
    for (int i = 0; i < from.rank; i++) {
        int64_t start = rule->attr[SLICE_START].list.dim[i];
        int64_t step = rule->attr[SLICE_STEP].list.dim[i];
        if (start == 0 && step == 1 && to.dim[i] == from.dim[i]) continue;
        if (start < 0 || to.dim[i] < 0 || from.dim[i] < 0) {
            rule->d_operand[0] = rule_fail(graph, TW_ERR_UNSUPPORTED,
                                           "slice: no gradient along axis %d, a part of a symbolic"
                                           " extent",
                                           i);
            return;
        }
        int64_t end = to.dim[i] > 0 ? start + (to.dim[i] - 1) * step + 1 : start;
        low.dim[i] = start;
        high.dim[i] = from.dim[i] - end;
        interior.dim[i] = step - 1;
    }
    tw_value zero = tw_zeros(graph, rule->operand_type[0].dtype, TW_SHAPE());
    rule->d_operand[0] = pad_by(rule->d_result[0], &low, &high, &interior, zero);
}

static void slice_batch(tw_graph *graph, tw_batch *rule) {
    (void)graph;
    tw_attr attr[] = {batch_list(0, &rule->attr[SLICE_START].list),
                      batch_list(rule->size, &rule->attr[SLICE_LIMIT].list),
                      batch_list(1, &rule->attr[SLICE_STEP].list)};
    rule->result[0] = rule_apply1("slice", rule->operand[0], attr);
}

/* One dimension of operand 0 and the result: passes where it is left as it is. */
static int kept_factors(const tw_signature *signature, int axis, bool kept, tw_factor *out) {
    int64_t from = signature->operand[0].shape.dim[axis], to = signature->result[0].shape.dim[axis];
    if (!kept) {
        out[0] = rule_whole_operand(0, axis, from);
        out[1] = rule_whole_result(axis, to);
        return 2;
    }
    out[0] = rule_factor(TW_FACTOR_PASS, from);
    out[0].operand[0] = out[0].result[0] = (int8_t)axis;
    return 1;
}

static int slice_factors(const tw_signature *signature, tw_factor *out) {
    tw_shape from = signature->operand[0].shape;
    int n = 0;
    for (int i = 0; i < from.rank; i++) {
        bool kept = signature->attr[SLICE_START].list.dim[i] == 0 &&
                    signature->attr[SLICE_LIMIT].list.dim[i] == from.dim[i] &&
                    signature->attr[SLICE_STEP].list.dim[i] == 1;
        int added = kept_factors(signature, i, kept, &out[n]);
        if (kept) out[n].attr = (tw_factor_attr){.entry = (int8_t)i, .extent = SLICE_LIMIT + 1};
        n += added;
    }
    return n;
}

static void slice_cost(const tw_signature *signature, tw_cost *out) {
    *out = (tw_cost){0, 2 * rule_bytes(signature->result[0])};
}

static const tw_attr_spec slice_attributes[] = {
    {"start", TW_ATTR_DIMS, NULL, NULL, "the first element of each axis"},
    {"limit", TW_ATTR_DIMS, NULL, NULL, "one past the last element of each axis"},
    {"step", TW_ATTR_INTS, NULL, NULL, "the distance of the elements, at least 1"},
    {0}};
static const tw_sample slice_samples[] = {
    {.operands = "f64[4,6]", .attributes = "start=[1,0], limit=[3,6], step=[1,1]"},
    {.operands = "f64[7,3]", .attributes = "start=[1,0], limit=[7,2], step=[3,1]"},
    {.operands = "f64[1,3]", .attributes = "start=[0,2], limit=[1,3], step=[1,1]"},
    {.operands = "f64[2,7,5]", .attributes = "start=[0,1,0], limit=[2,6,5], step=[1,2,4]"},
    {.operands = "f64[4]", .attributes = "start=[1], limit=[4], step=[9]"},
    {.operands = "f64[]", .attributes = "start=[], limit=[], step=[]"},
    {.operands = "f64[0,3]", .attributes = "start=[0,1], limit=[0,3], step=[1,1]"},
    {.operands = "bool[6]", .attributes = "start=[1], limit=[6], step=[3]"},
    {.operands = "f64[5]", .attributes = "start=[2], limit=[2], step=[1]"},
    {.operands = "bf16[7,3]", .attributes = "start=[1,0], limit=[7,2], step=[3,1]"},
    {.operands = "i32[5]", .attributes = "start=[0], limit=[5], step=[2]"},
    {0},
};
const tw_operator op_slice = {
    .name = "slice",
    .formula = "y[i] = x[start + i step], start + i step < limit",
    .semantics = "0 <= start <= limit <= extent, refused otherwise; start = limit is empty",
    .operands = "x",
    .results = "y",
    .attributes = slice_attributes,
    .infer = slice_infer,
    .vjp = slice_vjp,
    .batch = slice_batch,
    .factors = slice_factors,
    .cost = slice_cost,
    .meaning = TW_MEANS_MAP,
    .map = slice_map,
    .samples = slice_samples,
};

/* ---- pad ---- */

/* low + extent + gaps + high, or TW_DIM_NONE after a refusal in *status. */
static int64_t pad_extent(const tw_signature *signature, int axis, tw_status *status) {
    int64_t from = signature->operand[0].shape.dim[axis], extent = from, gaps = 0;
    int64_t low = signature->attr[PAD_LOW].list.dim[axis];
    int64_t high = signature->attr[PAD_HIGH].list.dim[axis];
    int64_t interior = signature->attr[PAD_INTERIOR].list.dim[axis];
    bool fits = low <= PAD_LIMIT && high <= PAD_LIMIT && interior <= PAD_LIMIT;
    int64_t ends = fits ? low + high : 0;
    if (from < 0) { /* symbolic: what is known to exist for every binding */
        extent = fits && interior == 0 && ends >= 0 ? tw_dim_add(signature->context, from, ends)
                                                    : TW_DIM_NONE;
        if (extent == TW_DIM_NONE) {
            *status =
                tw_refuse(signature, TW_ERR_UNSUPPORTED,
                          "axis %d is symbolic, expected low + high >= 0 and interior 0", axis);
        }
        return extent;
    }
    if (from > 0) fits = fits && !__builtin_mul_overflow(from - 1, interior, &gaps);
    fits = fits && !__builtin_add_overflow(extent, gaps, &extent) &&
           !__builtin_add_overflow(extent, ends, &extent) && extent >= 0;
    if (fits) return extent;
    *status = tw_refuse(signature, TW_ERR_SHAPE,
                        "axis %d: low %lld and high %lld leave no extent of 0 or more", axis,
                        (long long)low, (long long)high);
    return TW_DIM_NONE;
}

static tw_status pad_infer(tw_signature *signature) {
    tw_shape from = signature->operand[0].shape, to = {.rank = from.rank};
    tw_status status = rule_type(signature, 0, TYPES_ALL);
    if (!status) status = rule_same_dtype(signature, 0, 1);
    if (!status) status = rule_rank(signature, 1, 0, 0);
    for (int i = PAD_LOW; i <= PAD_HIGH && !status; i++) {
        status = rule_list(signature, i == PAD_LOW ? "low" : "high", &signature->attr[i].list,
                           from.rank, -PAD_LIMIT);
    }
    if (!status) {
        status =
            rule_list(signature, "interior", &signature->attr[PAD_INTERIOR].list, from.rank, 0);
    }
    for (int i = 0; i < to.rank && !status; i++) to.dim[i] = pad_extent(signature, i, &status);
    return status ? status : rule_result(signature, 0, signature->operand[0].dtype, to);
}

/* The value everywhere, unless x covers the result; then x over it. */
static int pad_map(const tw_signature *signature, int capacity, tw_piece *out) {
    tw_shape shape = signature->result[0].shape;
    pieces list = {.capacity = capacity, .out = out};
    tw_piece fill = {.operand = 1, .rank = shape.rank}, piece = piece_of(signature, 0);
    int64_t covered = 1, all = 1;
    rule_strides(shape, fill.out_step);
    for (int i = 0; i < shape.rank; i++) {
        int64_t low = signature->attr[PAD_LOW].list.dim[i], extent = shape.dim[i];
        int64_t step = signature->attr[PAD_INTERIOR].list.dim[i] + 1;
        fill.extent[i] = extent;
        /* elements first..last-1 of x land at low + i step, inside 0..extent-1 */
        int64_t first = low < 0 ? (-low + step - 1) / step : 0;
        int64_t last = extent > low ? (extent - low + step - 1) / step : 0;
        if (last > piece.extent[i]) last = piece.extent[i];
        piece.extent[i] = last > first ? last - first : 0;
        piece.in_start += first * piece.in_step[i];
        piece.out_start += (low + first * step) * fill.out_step[i];
        piece.out_step[i] = step * fill.out_step[i];
        covered *= piece.extent[i];
        all *= extent;
    }
    if (covered != all) pieces_add(&list, &fill);
    pieces_add(&list, &piece);
    return list.count;
}

/* True at the elements of the result that are x's. */
static tw_value pad_mask(tw_graph *graph, const tw_vjp *rule) {
    tw_value yes = tw_full(graph, TW_BOOL, rule->operand_type[0].shape, 1);
    return rule_apply2("pad", yes, tw_zeros(graph, TW_BOOL, TW_SHAPE()), rule->attr);
}

/* The ends undone by the opposite ends, the gaps by a slice. */
static void pad_vjp(tw_graph *graph, tw_vjp *rule) {
    tw_shape from = rule->operand_type[0].shape;
    tw_value d = rule->d_result[0];
    tw_shape low = rule->attr[PAD_LOW].list, high = rule->attr[PAD_HIGH].list;
    tw_shape step = rule->attr[PAD_INTERIOR].list, none = {.rank = from.rank};
    tw_value zero = tw_zeros(graph, rule->operand_type[0].dtype, TW_SHAPE());
    tw_value mask = pad_mask(graph, rule);
    rule->d_operand[1] = tw_sum(tw_select(mask, tw_literal(d, 0), d));
    bool ends = false, gaps = false;
    for (int i = 0; i < from.rank; i++) {
        if (from.dim[i] < 0) { /* symbolic: low, high >= 0 */
            if (low.dim[i] || high.dim[i]) d = tw_slice(d, i, low.dim[i], from.dim[i]);
            low.dim[i] = high.dim[i] = 0;
        }
        ends = ends || low.dim[i] || high.dim[i];
        gaps = gaps || step.dim[i];
        low.dim[i] = -low.dim[i];
        high.dim[i] = -high.dim[i];
        step.dim[i] += 1;
    }
    if (ends) d = pad_by(d, &low, &high, &none, zero);
    if (gaps) {
        tw_attr attr[] = {tw_attr_dims(none), tw_attr_dims(tw_shape_of(d)), tw_attr_dims(step)};
        d = rule_apply1("slice", d, attr);
    }
    rule->d_operand[0] = d;
}

/* A value for each example: it is chosen wherever truth values padded alike are false. */
static void pad_batch(tw_graph *graph, tw_batch *rule) {
    tw_value x = rule_batched(rule, 0), value = rule->operand[1];
    const tw_type *type = &rule->operand_type[0];
    const tw_attr *attr = rule->attr;
    tw_attr wide[] = {batch_list(0, &attr[PAD_LOW].list), batch_list(0, &attr[PAD_HIGH].list),
                      batch_list(0, &attr[PAD_INTERIOR].list)};
    tw_value fill = rule->batched[1] ? tw_zeros(graph, type->dtype, TW_SHAPE()) : value;
    tw_value padded = rule_apply2("pad", x, fill, wide);
    rule->result[0] = padded;
    if (!rule->batched[1] || !tw_ok(padded)) return;
    tw_shape shape = tw_shape_of(padded), column = {.rank = shape.rank};
    for (int i = 0; i < column.rank; i++) column.dim[i] = i ? 1 : rule->size;
    tw_value ones = tw_full(graph, TW_BOOL, type->shape, 1);
    tw_value inside = rule_apply2("pad", ones, tw_full(graph, TW_BOOL, TW_SHAPE(), 0), attr);
    value = tw_broadcast(tw_reshape(value, column), shape);
    rule->result[0] = tw_select(inside, padded, value);
}

static int pad_factors(const tw_signature *signature, tw_factor *out) {
    int n = 0;
    for (int i = 0; i < signature->operand[0].shape.rank; i++) {
        bool kept = signature->attr[PAD_LOW].list.dim[i] == 0 &&
                    signature->attr[PAD_HIGH].list.dim[i] == 0 &&
                    signature->attr[PAD_INTERIOR].list.dim[i] == 0;
        n += kept_factors(signature, i, kept, &out[n]);
    }
    return n;
}

static const tw_attr_spec pad_attributes[] = {
    {"low", TW_ATTR_INTS, NULL, NULL, "elements before each axis; negative: elements cut off"},
    {"high", TW_ATTR_INTS, NULL, NULL, "elements after each axis; negative: elements cut off"},
    {"interior", TW_ATTR_INTS, NULL, NULL, "elements between neighbours of each axis"},
    {0}};
static const tw_sample pad_samples[] = {
    {.operands = "f64[2,3] f64[]", .attributes = "low=[1,0], high=[0,2], interior=[0,0]"},
    {.operands = "f64[3,2] f64[]", .attributes = "low=[0,1], high=[1,0], interior=[2,0]"},
    {.operands = "f64[4,5] f64[]", .attributes = "low=[-1,2], high=[0,-3], interior=[0,1]"},
    {.operands = "f64[1] f64[]", .attributes = "low=[0], high=[0], interior=[3]"},
    {.operands = "f64[5] f64[]", .attributes = "low=[-2], high=[-3], interior=[0]"},
    {.operands = "f64[4,3] f64[]", .attributes = "low=[-2,-1], high=[3,-1], interior=[2,1]"},
    {.operands = "f64[3] f64[]", .attributes = "low=[0], high=[0], interior=[0]"},
    {.operands = "f64[] f64[]", .attributes = "low=[], high=[], interior=[]"},
    {.operands = "bool[3] bool[]", .attributes = "low=[1], high=[0], interior=[1]"},
    {.operands = "f16[2,3] f16[]", .attributes = "low=[1,0], high=[0,2], interior=[0,1]"},
    {.operands = "f64[0,2] f64[]", .attributes = "low=[1,0], high=[1,0], interior=[0,0]"},
    {.operands = "i32[3] i32[]", .attributes = "low=[2], high=[-1], interior=[0]"},
    {0},
};
const tw_operator op_pad = {
    .name = "pad",
    .formula = "y[low + i (interior + 1)] = x[i], value elsewhere",
    .semantics = "negative low or high cut elements off; an empty axis has no interior",
    .operands = "x value",
    .results = "y",
    .attributes = pad_attributes,
    .infer = pad_infer,
    .vjp = pad_vjp,
    .batch = pad_batch,
    .factors = pad_factors,
    .cost = rule_cost_bytes,
    .meaning = TW_MEANS_MAP,
    .map = pad_map,
    .samples = pad_samples,
};

/* ---- concat ---- */

static tw_status concat_infer(tw_signature *signature) {
    tw_shape to = signature->operand[0].shape;
    int64_t axis = signature->attr[CONCAT_AXIS].i;
    tw_status status = rule_type(signature, 0, TYPES_ALL);
    if (!status) status = rule_axis(signature, "axis", axis, to.rank);
    for (int k = 1; k < signature->n_operands && !status; k++) {
        tw_shape part = signature->operand[k].shape, same = signature->operand[0].shape;
        status = rule_same_dtype(signature, 0, k);
        if (!status) status = rule_rank(signature, k, to.rank, to.rank);
        if (status) break;
        to.dim[axis] = tw_dim_add(signature->context, to.dim[axis], part.dim[axis]);
        same.dim[axis] = part.dim[axis];
        if (shape_equal(part, same)) continue;
        status = tw_refuse(signature, TW_ERR_SHAPE,
                           "operands 0 and %d differ outside axis %lld, expected equal extents", k,
                           (long long)axis);
    }
    return status ? status : rule_result(signature, 0, signature->operand[0].dtype, to);
}

static int concat_map(const tw_signature *signature, int capacity, tw_piece *out) {
    int64_t axis = signature->attr[CONCAT_AXIS].i, start = 0, step[TW_MAX_RANK];
    tw_shape shape = signature->result[0].shape;
    pieces list = {.capacity = capacity, .out = out};
    rule_strides(shape, step);
    for (int k = 0; k < signature->n_operands; k++) {
        tw_piece piece = piece_of(signature, k);
        for (int i = 0; i < shape.rank; i++) piece.out_step[i] = step[i];
        piece.out_start = start;
        start += signature->operand[k].shape.dim[axis] * step[axis];
        pieces_add(&list, &piece);
    }
    return list.count;
}

static void concat_vjp(tw_graph *graph, tw_vjp *rule) {
    (void)graph;
    int axis = (int)rule->attr[CONCAT_AXIS].i;
    tw_context *context = rule->d_result[0].graph->module->context;
    int64_t start = 0;
    for (int k = 0; k < rule->n_operands; k++) {
        int64_t size = rule->operand_type[k].shape.dim[axis];
        rule->d_operand[k] = tw_slice(rule->d_result[0], axis, start, size);
        start = tw_dim_add(context, start, size);
    }
}

static void concat_batch(tw_graph *graph, tw_batch *rule) {
    tw_value in[TW_MAX_OPERANDS];
    for (int i = 0; i < rule->n_operands; i++) in[i] = rule_batched(rule, i);
    tw_attr attr = tw_attr_int(rule->attr[CONCAT_AXIS].i + 1);
    rule->result[0] = tw_apply(graph, "concat", rule->n_operands, in, &attr, NULL);
}

static int concat_factors(const tw_signature *signature, tw_factor *out) {
    int axis = (int)signature->attr[CONCAT_AXIS].i, n = 0;
    tw_shape shape = signature->result[0].shape;
    for (int i = 0; i < shape.rank; i++) {
        if (i == axis)
            out[n++] = rule_whole_result(i, shape.dim[i]);
        else
            out[n++] = rule_factor(TW_FACTOR_PASS, shape.dim[i]);
        if (i != axis) out[n - 1].result[0] = (int8_t)i;
        for (int k = 0; k < TW_FACTOR_OPERANDS && k < signature->n_operands && i != axis; k++) {
            out[n - 1].operand[k] = (int8_t)i;
        }
    }
    for (int k = 0; k < TW_FACTOR_OPERANDS && k < signature->n_operands; k++) {
        out[n++] = rule_whole_operand(k, axis, signature->operand[k].shape.dim[axis]);
    }
    return n;
}

static const tw_attr_spec concat_attributes[] = {
    {"axis", TW_ATTR_INT, NULL, NULL, "the axis along which the operands are joined"}, {0}};
static const tw_sample concat_samples[] = {
    {.operands = "f64[2,3] f64[2,1] f64[2,2]", .attributes = "axis=1"},
    {.operands = "f64[2,3] f64[1,3]", .attributes = "axis=0"},
    {.operands = "f64[2,1,3] f64[2,2,3] f64[2,0,3] f64[2,1,3]", .attributes = "axis=1"},
    {.operands = "f64[0] f64[0]", .attributes = "axis=0"},
    {.operands = "i64[1] i64[3]", .attributes = "axis=0"},
    {.operands = "f64[0,2] f64[3,2]", .attributes = "axis=0"},
    {.operands = "f64[1]", .attributes = "axis=0"},
    {.operands = "bf16[2,3] bf16[2,1]", .attributes = "axis=1"},
    {.operands = "bool[2] bool[3]", .attributes = "axis=0"},
    {0},
};
const tw_operator op_concat = {
    .name = "concat",
    .formula = "y = the operands one after the other along axis",
    .semantics = "extents are equal but along axis",
    .operands = "x...",
    .results = "y",
    .attributes = concat_attributes,
    .infer = concat_infer,
    .vjp = concat_vjp,
    .batch = concat_batch,
    .factors = concat_factors,
    .cost = rule_cost_bytes,
    .meaning = TW_MEANS_MAP,
    .map = concat_map,
    .samples = concat_samples,
};

/* ---- functions ---- */

tw_value tw_slice(tw_value x, int axis, int64_t start, int64_t size) {
    if (!rule_usable("slice", 1, &x)) return rule_poison(x.graph);
    axis = rule_axis_of("slice", x, axis);
    if (axis < 0) return rule_poison(x.graph);
    tw_shape limit = tw_shape_of(x), first = {.rank = limit.rank}, step = {.rank = limit.rank};
    for (int i = 0; i < step.rank; i++) step.dim[i] = 1;
    first.dim[axis] = start;
    limit.dim[axis] = tw_dim_add(x.graph->module->context, start, size);
    if (limit.dim[axis] == TW_DIM_NONE) {
        return rule_fail(x.graph, TW_ERR_SHAPE, "slice: start + size does not exist");
    }
    tw_attr attr[] = {tw_attr_dims(first), tw_attr_dims(limit), tw_attr_dims(step)};
    return rule_apply1("slice", x, attr);
}

/* Python's bound: from the end where negative, then cut to low..high. */
static int64_t bound(int64_t at, int64_t extent, int64_t low, int64_t high) {
    if (at < 0) at = at < -extent ? low : at + extent;
    return at < low ? low : at > high ? high : at;
}

/* Backwards is a slice of the same elements forwards, reversed. */
tw_value tw_slice_step(tw_value x, int axis, int64_t start, int64_t stop, int64_t step) {
    if (!rule_usable("slice_step", 1, &x)) return rule_poison(x.graph);
    axis = rule_axis_of("slice_step", x, axis);
    if (axis < 0) return rule_poison(x.graph);
    tw_shape limit = tw_shape_of(x), first = {.rank = limit.rank}, steps = {.rank = limit.rank};
    int64_t extent = limit.dim[axis];
    if (step == 0 || step == INT64_MIN) {
        return rule_fail(x.graph, TW_ERR_ARGUMENT, "slice_step: step is %lld, expected not 0",
                         (long long)step);
    }
    if (extent < 0) {
        return rule_fail(x.graph, TW_ERR_UNSUPPORTED,
                         "slice_step: axis %d has a symbolic extent; tw_slice takes one", axis);
    }
    for (int i = 0; i < steps.rank; i++) steps.dim[i] = 1;
    int64_t size = step < 0 ? -step : step, from, to;
    if (step > 0) {
        from = bound(start, extent, 0, extent);
        to = bound(stop, extent, 0, extent);
        to = to < from ? from : to;
    } else { /* down from `start` to the last element above `stop` */
        int64_t high = bound(start, extent, -1, extent - 1);
        int64_t low = stop == TW_TO_END ? -1 : bound(stop, extent, -1, extent - 1);
        from = low < high ? high - (high - low - 1) / size * size : 0;
        to = low < high ? high + 1 : 0;
    }
    steps.dim[axis] = size;
    first.dim[axis] = from;
    limit.dim[axis] = to;
    tw_attr attr[] = {tw_attr_dims(first), tw_attr_dims(limit), tw_attr_dims(steps)};
    tw_value y = rule_apply1("slice", x, attr);
    return step < 0 ? tw_reverse(y, axis) : y;
}

tw_value tw_pad(tw_value x, int axis, int64_t low, int64_t high, double number) {
    if (!rule_usable("pad", 1, &x)) return rule_poison(x.graph);
    axis = rule_axis_of("pad", x, axis);
    if (axis < 0) return rule_poison(x.graph);
    tw_shape before = {.rank = tw_shape_of(x).rank}, after = before, interior = before;
    before.dim[axis] = low;
    after.dim[axis] = high;
    tw_value fill = tw_full(x.graph, tw_dtype_of(x), TW_SHAPE(), number);
    return pad_by(x, &before, &after, &interior, fill);
}

tw_value tw_concat(int axis, int n, const tw_value *x) {
    if (n < 1 || !x) return (tw_value){0};
    if (!rule_usable("concat", n, x)) return rule_poison(rule_graph(n, x));
    axis = rule_axis_of("concat", x[0], axis);
    if (axis < 0) return rule_poison(x[0].graph);
    tw_attr attr = tw_attr_int(axis);
    return tw_apply(x[0].graph, "concat", n, x, &attr, NULL);
}

void tw_split(tw_value x, int axis, int n, tw_value *parts) {
    bool usable = rule_usable("split", 1, &x);
    int64_t size = 0;
    if (!parts) {
        rule_fail(x.graph, TW_ERR_NULL, "split: parts is NULL, expected room for %d values", n);
        return;
    }
    if (usable) axis = rule_axis_of("split", x, axis);
    usable = usable && axis >= 0;
    if (usable) {
        int64_t extent = tw_shape_of(x).dim[axis];
        size = n > 0 ? tw_dim_div(x.graph->module->context, extent, n) : TW_DIM_NONE;
        usable = size != TW_DIM_NONE;
        if (!usable) {
            graph_error(x.graph, TW_ERR_SHAPE, "split: axis %d has no %d equal parts", axis, n);
        }
    }
    for (int i = 0; i < n; i++) {
        parts[i] = usable ? tw_slice(x, axis, tw_dim_mul(x.graph->module->context, size, i), size)
                          : rule_poison(x.graph);
    }
}
