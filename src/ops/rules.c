/* Checks, factors, costs and helpers that the operator families share. */
#include "ops/rules.h"

#include <stdio.h>
#include <thalweg/operators.h>

#include "ir/dimension.h"
#include "ir/graph.h"

tw_status rule_type(const tw_signature *signature, int operand, unsigned set) {
    tw_dtype dtype = signature->operand[operand].dtype;
    if (type_in(dtype, set)) return TW_OK;
    const char *wanted = set == TYPES_FLOAT     ? "f32 or f64, f16 or bf16"
                         : set == TYPES_INDEX   ? "i32 or i64"
                         : set == TYPES_INTEGER ? "an integer type"
                         : set == TYPES_NUMBER  ? "a number type that has kernels"
                         : set == TYPES_BOOL    ? "bool"
                         : set == TYPES_BITS    ? "bool or an integer type"
                                                : "a type that has kernels";
    return tw_refuse(signature, TW_ERR_TYPE, "operand %d is %s, expected %s; tw_cast converts",
                     operand, tw_dtype_name(dtype), wanted);
}

tw_status rule_same_dtype(const tw_signature *signature, int a, int b) {
    tw_dtype left = signature->operand[a].dtype, right = signature->operand[b].dtype;
    if (left == right) return TW_OK;
    return tw_refuse(signature, TW_ERR_TYPE,
                     "operand %d is %s and operand %d is %s, expected one type; tw_cast converts",
                     a, tw_dtype_name(left), b, tw_dtype_name(right));
}

tw_status rule_same_shape(const tw_signature *signature, int a, int b) {
    if (shape_equal(signature->operand[a].shape, signature->operand[b].shape)) return TW_OK;
    return tw_refuse(signature, TW_ERR_SHAPE,
                     "operands %d and %d differ in shape, expected one that both broadcast to", a,
                     b);
}

tw_status rule_rank(const tw_signature *signature, int operand, int least, int most) {
    int rank = signature->operand[operand].shape.rank;
    if (rank >= least && rank <= most) return TW_OK;
    if (least == most) {
        return tw_refuse(signature, TW_ERR_SHAPE, "operand %d has rank %d, expected %d", operand,
                         rank, least);
    }
    return tw_refuse(signature, TW_ERR_SHAPE, "operand %d has rank %d, expected %d to %d", operand,
                     rank, least, most);
}

tw_status rule_axis(const tw_signature *signature, const char *what, int64_t axis, int rank) {
    if (axis >= 0 && axis < rank) return TW_OK;
    return tw_refuse(signature, TW_ERR_ARGUMENT, "%s is %lld, expected an axis of rank %d", what,
                     (long long)axis, rank);
}

tw_status rule_axes(const tw_signature *signature, const char *what, const tw_shape *axes, int rank,
                    bool *seen) {
    for (int i = 0; i < rank; i++) seen[i] = false;
    for (int i = 0; i < axes->rank; i++) {
        tw_status status = rule_axis(signature, what, axes->dim[i], rank);
        if (status) return status;
        if (seen[axes->dim[i]]) {
            return tw_refuse(signature, TW_ERR_ARGUMENT, "%s lists axis %lld twice", what,
                             (long long)axes->dim[i]);
        }
        seen[axes->dim[i]] = true;
    }
    return TW_OK;
}

tw_status rule_list(const tw_signature *signature, const char *what, const tw_shape *list,
                    int count, int64_t least) {
    if (list->rank != count) {
        return tw_refuse(signature, TW_ERR_ARGUMENT, "%s has %d entries, expected %d", what,
                         (int)list->rank, count);
    }
    for (int i = 0; i < count; i++) {
        if (list->dim[i] >= least) continue;
        return tw_refuse(signature, TW_ERR_ARGUMENT, "%s has %lld, expected at least %lld", what,
                         (long long)list->dim[i], (long long)least);
    }
    return TW_OK;
}

tw_status rule_result(tw_signature *signature, int i, tw_dtype dtype, tw_shape shape) {
    if (tw_dtype_size(dtype) == 0) {
        return tw_refuse(signature, TW_ERR_TYPE, "%d is no element type", (int)dtype);
    }
    if (shape.rank < 0 || shape.rank > TW_MAX_RANK) {
        return tw_refuse(signature, TW_ERR_SHAPE, "the result has rank %d, expected 0 to %d",
                         (int)shape.rank, TW_MAX_RANK);
    }
    for (int axis = 0; axis < shape.rank; axis++) {
        if (shape.dim[axis] != TW_DIM_NONE && shape.dim[axis] != TW_DIM_NONE + 1) continue;
        return tw_refuse(signature, TW_ERR_SHAPE, "extent %d of the result does not exist", axis);
    }
    int64_t elements = shape_known(shape) ? shape_elements(shape) : 0, bytes;
    if (elements < 0 || __builtin_mul_overflow(elements, (int64_t)tw_dtype_size(dtype), &bytes)) {
        return tw_refuse(signature, TW_ERR_MEMORY, "the result has more bytes than can be counted");
    }
    signature->result[i] = (tw_type){dtype, shape};
    return TW_OK;
}

tw_status rule_result_dtype(const tw_signature *signature, const tw_attr *attr, tw_dtype *out) {
    tw_dtype from = signature->operand[0].dtype, to = attr->i ? (tw_dtype)attr->i : from;
    bool wider = type_in(from, TYPES_HALF) && (to == TW_F32 || to == TW_F64);
    *out = to;
    if (to == from || wider) return TW_OK;
    return tw_refuse(signature, TW_ERR_TYPE,
                     "result is %s for operands of %s, expected that type (or f32 or f64 for f16 "
                     "and bf16); tw_cast converts",
                     tw_dtype_name(to), tw_dtype_name(from));
}

static tw_status infer_same(tw_signature *signature, unsigned set) {
    tw_status status = rule_type(signature, 0, set);
    for (int i = 1; i < signature->n_operands && !status; i++) {
        status = rule_same_dtype(signature, 0, i);
        if (!status) status = rule_same_shape(signature, 0, i);
    }
    if (status) return status;
    signature->result[0] = signature->operand[0];
    return TW_OK;
}

tw_status rule_infer_same(tw_signature *signature) { return infer_same(signature, TYPES_ALL); }
tw_status rule_infer_float(tw_signature *signature) { return infer_same(signature, TYPES_FLOAT); }
tw_status rule_infer_number(tw_signature *signature) { return infer_same(signature, TYPES_NUMBER); }
tw_status rule_infer_bool(tw_signature *signature) { return infer_same(signature, TYPES_BOOL); }
tw_status rule_infer_bits(tw_signature *signature) { return infer_same(signature, TYPES_BITS); }

tw_factor rule_factor(tw_factor_kind kind, int64_t size) {
    tw_factor factor = {.kind = kind, .size = size};
    for (int i = 0; i < TW_FACTOR_OPERANDS; i++) factor.operand[i] = -1;
    for (int i = 0; i < TW_MAX_RESULTS; i++) factor.result[i] = -1;
    return factor;
}

tw_factor rule_whole_operand(int operand, int axis, int64_t size) {
    tw_factor factor = rule_factor(TW_FACTOR_REPLICATE, size);
    factor.operand[operand] = (int8_t)axis;
    return factor;
}

tw_factor rule_whole_result(int axis, int64_t size) {
    tw_factor factor = rule_factor(TW_FACTOR_REPLICATE, size);
    factor.result[0] = (int8_t)axis;
    return factor;
}

int rule_factors_elementwise(const tw_signature *signature, tw_factor *out) {
    tw_shape shape = signature->result[0].shape;
    for (int axis = 0; axis < shape.rank; axis++) {
        tw_factor *factor = &out[axis];
        *factor = rule_factor(TW_FACTOR_PASS, shape.dim[axis]);
        for (int i = 0; i < signature->n_operands && i < TW_FACTOR_OPERANDS; i++) {
            factor->operand[i] = (int8_t)axis;
        }
        for (int i = 0; i < signature->n_results; i++) factor->result[i] = (int8_t)axis;
    }
    return shape.rank;
}

int rule_factors_stated(const tw_signature *signature, int attribute, tw_factor *out) {
    tw_shape shape = signature->result[0].shape;
    for (int axis = 0; axis < shape.rank; axis++) {
        out[axis] = rule_factor(TW_FACTOR_PASS, shape.dim[axis]);
        out[axis].result[0] = (int8_t)axis;
        out[axis].attr = (tw_factor_attr){.entry = (int8_t)axis, .extent = (int8_t)(attribute + 1)};
    }
    return shape.rank;
}

int rule_factors_whole(const tw_signature *signature, tw_factor *out) {
    int n = 0;
    for (int i = 0; i < signature->n_operands && i < TW_FACTOR_OPERANDS; i++) {
        tw_shape shape = signature->operand[i].shape;
        for (int axis = 0; axis < shape.rank && n < TW_MAX_FACTORS; axis++) {
            out[n] = rule_factor(TW_FACTOR_REPLICATE, shape.dim[axis]);
            out[n++].operand[i] = (int8_t)axis;
        }
    }
    for (int i = 0; i < signature->n_results; i++) {
        tw_shape shape = signature->result[i].shape;
        for (int axis = 0; axis < shape.rank && n < TW_MAX_FACTORS; axis++) {
            out[n] = rule_factor(TW_FACTOR_REPLICATE, shape.dim[axis]);
            out[n++].result[i] = (int8_t)axis;
        }
    }
    return n;
}

double rule_elements(tw_type type) {
    double count = 1;
    for (int i = 0; i < type.shape.rank; i++) count *= (double)type.shape.dim[i];
    return count;
}

double rule_bytes(tw_type type) { return rule_elements(type) * (double)tw_dtype_size(type.dtype); }

void rule_cost_bytes(const tw_signature *signature, tw_cost *out) {
    *out = (tw_cost){0, 0};
    for (int i = 0; i < signature->n_operands; i++) {
        if (signature->operand[i].dtype) out->bytes += rule_bytes(signature->operand[i]);
    }
    for (int i = 0; i < signature->n_results; i++) out->bytes += rule_bytes(signature->result[i]);
}

void rule_cost_elementwise(const tw_signature *signature, tw_cost *out) {
    rule_cost_bytes(signature, out);
    out->flops = rule_elements(signature->result[0]);
}

void rule_vjp_zero(tw_graph *graph, tw_vjp *rule) {
    (void)graph;
    for (int i = 0; i < rule->n_operands; i++) rule->d_operand[i] = (tw_value){0};
}

tw_value rule_batched(const tw_batch *rule, int i) {
    tw_value x = rule->operand[i];
    if (rule->batched[i] || !x.graph) return x;
    tw_shape shape = rule->operand_type[i].shape, wide = {.rank = shape.rank + 1};
    if (shape.rank == TW_MAX_RANK)
        return rule_fail(x.graph, TW_ERR_SHAPE, "%s: no rank is left for an axis of examples",
                         rule->op->name);
    wide.dim[0] = rule->size;
    for (int k = 0; k < shape.rank; k++) wide.dim[k + 1] = shape.dim[k];
    return tw_broadcast(x, wide);
}

void rule_batch_leading(tw_graph *graph, tw_batch *rule) {
    tw_value in[TW_MAX_OPERANDS];
    for (int i = 0; i < rule->n_operands; i++) in[i] = rule_batched(rule, i);
    tw_apply(graph, rule->op->name, rule->n_operands, in, rule->attr, rule->result);
}

void rule_strides(tw_shape shape, int64_t *stride) {
    int64_t step = 1;
    for (int i = shape.rank - 1; i >= 0; i--) {
        stride[i] = step;
        step *= shape.dim[i];
    }
}

int64_t rule_product(tw_shape shape, int from, int to) {
    int64_t product = 1;
    for (int i = from; i < to; i++) product *= shape.dim[i];
    return product;
}

tw_graph *rule_graph(int n, const tw_value *values) {
    for (int i = 0; i < n; i++) {
        if (values[i].graph) return values[i].graph;
    }
    return NULL;
}

bool rule_usable(const char *function, int n, const tw_value *values) {
    tw_graph *graph = rule_graph(n, values);
    if (!graph) return false;
    for (int i = 0; i < n; i++) {
        if (!values[i].graph) {
            graph_error(graph, TW_ERR_NULL, "%s: operand %d is absent", function, i);
            return false;
        }
        if (!tw_ok(values[i])) {
            graph_resolve(graph, values[i]); /* says why */
            return false;
        }
    }
    return true;
}

/* Value 0 of every graph is the poisoned one. */
tw_value rule_poison(tw_graph *graph) { return graph ? graph_handle(graph, 0) : (tw_value){0}; }

tw_value rule_fail(tw_graph *graph, tw_status status, const char *format, ...) {
    if (!graph) return (tw_value){0};
    char line[512];
    va_list list;
    va_start(list, format);
    vsnprintf(line, sizeof line, format, list);
    va_end(list);
    graph_error(graph, status, "%s", line);
    return rule_poison(graph);
}

int rule_axis_of(const char *function, tw_value x, int axis) {
    int rank = tw_shape_of(x).rank;
    if (axis >= -rank && axis < rank) return axis < 0 ? axis + rank : axis;
    graph_error(x.graph, TW_ERR_ARGUMENT, "%s: axis %d of a value of rank %d, expected %d to %d",
                function, axis, rank, -rank, rank - 1);
    return -1;
}

tw_value rule_apply1(const char *name, tw_value x, const tw_attr *attr) {
    if (!x.graph) return (tw_value){0};
    return tw_apply(x.graph, name, 1, &x, attr, NULL);
}

tw_value rule_apply2(const char *name, tw_value a, tw_value b, const tw_attr *attr) {
    tw_value operands[] = {a, b};
    tw_graph *graph = rule_graph(2, operands);
    return graph ? tw_apply(graph, name, 2, operands, attr, NULL) : (tw_value){0};
}

bool rule_broadcast_shape(tw_shape a, tw_shape b, tw_shape *out) {
    tw_shape shape = {.rank = a.rank > b.rank ? a.rank : b.rank};
    for (int i = 0; i < shape.rank; i++) {
        int left = a.rank - 1 - i, right = b.rank - 1 - i; /* right-aligned */
        int64_t p = left < 0 ? 1 : a.dim[left], q = right < 0 ? 1 : b.dim[right];
        if (p != q && p != 1 && q != 1) return false;
        shape.dim[shape.rank - 1 - i] = p == 1 ? q : p;
    }
    *out = shape;
    return true;
}

tw_attr rule_ints(int count, const int64_t *list) {
    return tw_attr_dims(tw_shape_make(count, list));
}

tw_attr rule_axes_attr(int count, const int *list) {
    tw_shape shape = {.rank = count};
    for (int i = 0; i < count && i < TW_MAX_RANK; i++) shape.dim[i] = list[i];
    return tw_attr_dims(shape);
}
