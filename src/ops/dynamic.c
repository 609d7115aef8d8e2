/*
 * dynamic_slice and dynamic_update_slice: a box of known size at a place that is known only when
 * the program runs. Each is the other's gradient.
 */
#include <string.h>
#include <thalweg/operators.h>

#include "base/parallel.h"
#include "ir/dimension.h"
#include "ir/graph.h"
#include "ops/families.h"
#include "ops/rules.h"

enum { SIZES };

/* Operand `start` addresses `x`, and a box of `sizes` fits into it. */
static tw_status check_box(const tw_signature *signature, int start, tw_shape sizes) {
    tw_shape x = signature->operand[0].shape, place = signature->operand[start].shape;
    tw_status status = rule_type(signature, start, TYPES_INDEX);
    if (!status) status = rule_rank(signature, start, 1, 1);
    if (status) return status;
    if (place.dim[0] != x.rank) {
        return tw_refuse(
            signature, TW_ERR_SHAPE,
            "start has %lld entries for a value of rank %d, expected one for each axis",
            (long long)place.dim[0], (int)x.rank);
    }
    if (sizes.rank != x.rank) {
        return tw_refuse(signature, TW_ERR_SHAPE, "the box has rank %d and the value %d",
                         (int)sizes.rank, (int)x.rank);
    }
    for (int i = 0; i < x.rank; i++) {
        int64_t size = sizes.dim[i], extent = x.dim[i];
        bool known = size >= 0 && extent >= 0;
        if (known ? size <= extent : size == extent || size >= 0) continue;
        return tw_refuse(signature, TW_ERR_SHAPE,
                         "axis %d: a box of %lld in an extent of %lld, expected no more than it", i,
                         (long long)size, (long long)extent);
    }
    return TW_OK;
}

static tw_status slice_infer(tw_signature *signature) {
    tw_shape sizes = signature->attr[SIZES].list;
    tw_status status = rule_type(signature, 0, TYPES_ALL);
    if (!status) status = check_box(signature, 1, sizes);
    return status ? status : rule_result(signature, 0, signature->operand[0].dtype, sizes);
}

static tw_status update_infer(tw_signature *signature) {
    tw_status status = rule_type(signature, 0, TYPES_ALL);
    if (!status) status = rule_same_dtype(signature, 0, 1);
    if (!status) status = check_box(signature, 2, signature->operand[1].shape);
    tw_type x = signature->operand[0];
    return status ? status : rule_result(signature, 0, x.dtype, x.shape);
}

static void slice_vjp(tw_graph *graph, tw_vjp *rule) {
    const tw_type *x = &rule->operand_type[0];
    rule->d_operand[0] = tw_dynamic_update_slice(tw_zeros(graph, x->dtype, x->shape),
                                                 rule->d_result[0], rule->operand[1]);
}

static void update_vjp(tw_graph *graph, tw_vjp *rule) {
    const tw_type *update = &rule->operand_type[1];
    tw_value d = rule->d_result[0], start = rule->operand[2];
    if (rule->wanted[0]) {
        tw_value zeros = tw_zeros(graph, update->dtype, update->shape);
        rule->d_operand[0] = tw_dynamic_update_slice(d, zeros, start);
    }
    if (rule->wanted[1]) rule->d_operand[1] = tw_dynamic_slice(d, start, update->shape);
}

/* ---- batches ---- */

/* start (rank) for x with an axis of examples in front: it starts at 0 there. */
static tw_value from_first(tw_graph *graph, tw_value start) {
    const tw_value parts[] = {tw_zeros(graph, tw_dtype_of(start), TW_SHAPE(1)), start};
    return tw_concat(0, 2, parts);
}

static tw_shape with_examples(int64_t size, tw_shape shape) {
    tw_shape wide = {.rank = shape.rank + 1};
    wide.dim[0] = size;
    for (int i = 0; i < shape.rank; i++) wide.dim[i + 1] = shape.dim[i];
    return wide;
}

/*
 * Examples with starts of their own address the flattened x: start (examples, rank) to the numbers
 * (examples, elements of the box) of the box's elements in x, starts moved into range.
 */
static tw_value flat_index(tw_graph *graph, tw_value start, int64_t examples, tw_shape x,
                           tw_shape box) {
    tw_shape wide = with_examples(examples, box);
    tw_value total = tw_zeros(graph, TW_I64, wide);
    int64_t stride = 1;
    start = tw_cast(start, TW_I64);
    for (int i = x.rank - 1; i >= 0; i--) {
        tw_shape column = {.rank = wide.rank};
        for (int k = 0; k < column.rank; k++) column.dim[k] = k ? 1 : examples;
        tw_value from = tw_reshape(tw_slice(start, 1, i, 1), column);
        from = tw_clamp(from, 0, (double)(x.dim[i] - box.dim[i]));
        tw_value at = tw_add(tw_broadcast(from, wide), tw_iota(graph, TW_I64, wide, i + 1));
        total = tw_add(total, tw_scale(at, (double)stride));
        stride *= x.dim[i];
    }
    tw_context *context = graph->module->context;
    return tw_reshape(total, TW_SHAPE(examples, tw_dim_product(context, box, 0, box.rank)));
}

static bool flat_possible(tw_graph *graph, tw_batch *rule, tw_shape x, tw_shape box) {
    if (x.rank < TW_MAX_RANK && shape_known(x) && shape_known(box)) return true;
    rule->result[0] = rule_fail(graph, TW_ERR_UNSUPPORTED,
                                "%s: examples with starts of their own need known extents and a "
                                "rank below %d",
                                rule->op->name, TW_MAX_RANK);
    return false;
}

/* gather and scatter along axis 1 with the examples shared; how: set. */
static void flat_attributes(tw_attr *attr) {
    attr[0] = tw_attr_int(1);
    attr[1] = tw_attr_dims(TW_SHAPE(0));
    attr[2] = tw_attr_int(2);
}

static void slice_batch(tw_graph *graph, tw_batch *rule) {
    tw_shape sizes = rule->attr[SIZES].list, x = rule->operand_type[0].shape;
    if (!rule->batched[1]) {
        rule->result[0] = tw_dynamic_slice(rule->operand[0], from_first(graph, rule->operand[1]),
                                           with_examples(rule->size, sizes));
        return;
    }
    if (!flat_possible(graph, rule, x, sizes)) return;
    tw_value index = flat_index(graph, rule->operand[1], rule->size, x, sizes);
    tw_value flat =
        tw_reshape(rule_batched(rule, 0), TW_SHAPE(rule->size, rule_product(x, 0, x.rank)));
    tw_attr attr[3];
    flat_attributes(attr);
    tw_value y = rule_apply2("gather", flat, index, attr);
    rule->result[0] = tw_reshape(y, with_examples(rule->size, sizes));
}

static void update_batch(tw_graph *graph, tw_batch *rule) {
    tw_shape x = rule->operand_type[0].shape, box = rule->operand_type[1].shape;
    tw_value base = rule_batched(rule, 0), update = rule_batched(rule, 1);
    if (!rule->batched[2]) {
        rule->result[0] =
            tw_dynamic_update_slice(base, update, from_first(graph, rule->operand[2]));
        return;
    }
    if (!flat_possible(graph, rule, x, box)) return;
    tw_value index = flat_index(graph, rule->operand[2], rule->size, x, box);
    tw_value flat[] = {tw_reshape(base, TW_SHAPE(rule->size, rule_product(x, 0, x.rank))), index,
                       tw_reshape(update, TW_SHAPE(rule->size, rule_product(box, 0, box.rank)))};
    tw_attr attr[3];
    flat_attributes(attr);
    tw_value y = tw_apply(graph, "scatter", 3, flat, attr, NULL);
    rule->result[0] = tw_reshape(y, with_examples(rule->size, x));
}

/* ---- factors and cost ---- */

/* An axis that the box fills passes: its start can only be 0. */
static int slice_factors(const tw_signature *signature, tw_factor *out) {
    tw_shape x = signature->operand[0].shape, y = signature->result[0].shape;
    int n = 0;
    for (int i = 0; i < x.rank; i++) {
        if (x.dim[i] == y.dim[i]) {
            out[n] = rule_factor(TW_FACTOR_PASS, x.dim[i]);
            out[n].operand[0] = out[n].result[0] = (int8_t)i;
            out[n++].attr = (tw_factor_attr){.entry = (int8_t)i, .extent = SIZES + 1};
        } else {
            out[n++] = rule_whole_operand(0, i, x.dim[i]);
            out[n++] = rule_whole_result(i, y.dim[i]);
        }
    }
    out[n++] = rule_whole_operand(1, 0, x.rank);
    return n;
}

static int update_factors(const tw_signature *signature, tw_factor *out) {
    tw_shape x = signature->operand[0].shape, update = signature->operand[1].shape;
    int n = 0;
    for (int i = 0; i < x.rank; i++) {
        bool whole = x.dim[i] == update.dim[i];
        tw_factor *f = &out[n++];
        *f = rule_factor(whole ? TW_FACTOR_PASS : TW_FACTOR_REPLICATE, x.dim[i]);
        f->operand[0] = f->result[0] = (int8_t)i;
        if (whole)
            f->operand[1] = (int8_t)i;
        else
            out[n++] = rule_whole_operand(1, i, update.dim[i]);
    }
    out[n++] = rule_whole_operand(2, 0, x.rank);
    return n;
}

static void slice_cost(const tw_signature *signature, tw_cost *out) {
    *out = (tw_cost){0, 2 * rule_bytes(signature->result[0]) + rule_bytes(signature->operand[1])};
}

/* ---- the kernels ---- */

/* A box inside an array: rows of the last axis are copied one way or the other. */
typedef struct box {
    int rank;
    int64_t extent[TW_MAX_RANK], step[TW_MAX_RANK]; /* of the box; of the array */
    int64_t first;                                  /* element of the array */
    size_t size, row;                               /* bytes of an element and of a row */
    const char *from;
    char *to;
    bool into; /* from the box into the array */
} box;

static int64_t start_at(const tw_signature *signature, int operand, const void *data, int i) {
    return signature->operand[operand].dtype == TW_I32 ? ((const int32_t *)data)[i]
                                                       : ((const int64_t *)data)[i];
}

static void copy_rows(void *argument, int64_t begin, int64_t end) {
    const box *b = argument;
    for (int64_t r = begin; r < end; r++) {
        int64_t rest = r, at = b->first;
        for (int i = b->rank - 2; i >= 0; i--) {
            at += rest % b->extent[i] * b->step[i];
            rest /= b->extent[i];
        }
        size_t inside = (size_t)at * b->size, outside = (size_t)r * b->row;
        memcpy(b->to + (b->into ? inside : outside), b->from + (b->into ? outside : inside),
               b->row);
    }
}

/* Copies between the box of `shape` and where operand `start` says in operand 0's shape. */
static tw_status copy_box(const tw_kernel_call *call, int start, tw_shape shape, box *b) {
    const tw_signature *s = &call->signature;
    tw_shape x = s->operand[0].shape;
    tw_status status = check_box(s, start, shape);
    if (status) return status;
    b->rank = x.rank;
    b->size = tw_dtype_size(s->operand[0].dtype);
    rule_strides(x, b->step);
    for (int i = 0; i < x.rank; i++) {
        int64_t most = x.dim[i] - shape.dim[i], at = start_at(s, start, call->in[start], i);
        b->extent[i] = shape.dim[i];
        b->first += (at < 0 ? 0 : at > most ? most : at) * b->step[i];
    }
    int64_t row = x.rank ? shape.dim[x.rank - 1] : 1;
    b->row = (size_t)row * b->size;
    if (row == 0) return TW_OK;
    tw_parallel_for(s->context, x.rank ? rule_product(shape, 0, x.rank - 1) : 1, 1 + 16384 / row,
                    copy_rows, b);
    return TW_OK;
}

static tw_status slice_kernel(const tw_kernel_call *call) {
    box b = {.from = call->in[0], .to = call->out[0]};
    return copy_box(call, 1, call->signature.result[0].shape, &b);
}

static tw_status update_kernel(const tw_kernel_call *call) {
    const tw_type *x = &call->signature.operand[0];
    box b = {.from = call->in[1], .to = call->out[0], .into = true};
    size_t bytes = (size_t)rule_product(x->shape, 0, x->shape.rank) * tw_dtype_size(x->dtype);
    memmove(b.to, call->in[0], bytes);
    return copy_box(call, 2, call->signature.operand[1].shape, &b);
}

/* ---- entries ---- */

static const tw_attr_spec slice_specs[] = {
    {"sizes", TW_ATTR_DIMS, NULL, NULL, "extents of the box, one for each axis"},
    {0},
};
static const tw_sample slice_samples[] = {
    {.operands = "f64[4,5] i32[2]", .attributes = "sizes=[2,3]", .index_low = -1, .index_high = 4},
    {.operands = "f64[2,3,4] i64[3]", .attributes = "sizes=[2,1,2]"},
    {.operands = "f64[6] i32[1]", .attributes = "sizes=[6]", .index_low = -3, .index_high = 3},
    {.operands = "f64[1] i32[1]", .attributes = "sizes=[1]"},
    {.operands = "f64[] i32[0]", .attributes = "sizes=[]"},
    {.operands = "f64[3,2] i32[2]", .attributes = "sizes=[0,2]"},
    {.operands = "f64[0,2] i32[2]", .attributes = "sizes=[0,1]"},
    {.operands = "i32[5] i32[1]", .attributes = "sizes=[3]"},
    {.operands = "bool[5,2] i64[2]", .attributes = "sizes=[3,2]"},
    {0},
};
static const tw_operator op_slice = {
    .name = "dynamic_slice",
    .formula = "y[i] = x[start + i], 0 <= i < sizes",
    .semantics = "start is moved so that the box lies inside x: to 0 where it is negative, to "
                 "extent - size where it is more; a box larger than x is refused",
    .operands = "x start",
    .results = "y",
    .attributes = slice_specs,
    .infer = slice_infer,
    .vjp = slice_vjp,
    .batch = slice_batch,
    .factors = slice_factors,
    .cost = slice_cost,
    .meaning = TW_MEANS_LOOPS,
    .kernel = slice_kernel,
    .samples = slice_samples,
};

static const tw_sample update_samples[] = {
    {.operands = "f64[4,5] f64[2,3] i32[2]", .index_low = -1, .index_high = 4},
    {.operands = "f64[2,3,4] f64[2,1,2] i64[3]"},
    {.operands = "f64[6] f64[6] i32[1]", .index_low = -3, .index_high = 3},
    {.operands = "f64[1] f64[1] i32[1]"},
    {.operands = "f64[] f64[] i32[0]"},
    {.operands = "f64[3,2] f64[0,2] i32[2]"},
    {.operands = "f64[0,2] f64[0,1] i32[2]"},
    {.operands = "i32[5] i32[3] i32[1]"},
    {.operands = "bool[5,2] bool[3,2] i64[2]"},
    {0},
};
static const tw_operator op_update = {
    .name = "dynamic_update_slice",
    .formula = "y = x, but y[start + i] = update[i]",
    .semantics = "start is moved so that the box lies inside x: to 0 where it is negative, to "
                 "extent - size where it is more; an update larger than x is refused",
    .operands = "x update start",
    .results = "y",
    .infer = update_infer,
    .vjp = update_vjp,
    .batch = update_batch,
    .factors = update_factors,
    .cost = rule_cost_bytes,
    .meaning = TW_MEANS_LOOPS,
    .kernel = update_kernel,
    .samples = update_samples,
};

const tw_operator *const ops_dynamic[] = {&op_slice, &op_update, NULL};

tw_value tw_dynamic_slice(tw_value x, tw_value start, tw_shape sizes) {
    const tw_attr attr = tw_attr_dims(sizes);
    return rule_apply2("dynamic_slice", x, start, &attr);
}

tw_value tw_dynamic_update_slice(tw_value x, tw_value update, tw_value start) {
    tw_value operands[] = {x, update, start};
    tw_graph *graph = rule_graph(3, operands);
    if (!graph) return (tw_value){0};
    return tw_apply(graph, "dynamic_update_slice", 3, operands, NULL, NULL);
}
