/*
 * What operator entries share: checks for infer, the usual factors and costs, and what the public
 * functions need around tw_apply. Names start with rule_.
 */
#ifndef OPS_RULES_H
#define OPS_RULES_H

#include <thalweg/operator.h>

/* Sets of element types, for rule_type. */
#define TYPES_OF(dtype) (1u << (dtype))
enum {
    TYPES_FLOAT = TYPES_OF(TW_F32) | TYPES_OF(TW_F64),
    TYPES_INDEX = TYPES_OF(TW_I32) | TYPES_OF(TW_I64),
    TYPES_INTEGER = TYPES_INDEX | TYPES_OF(TW_U8) | TYPES_OF(TW_U32),
    TYPES_NUMBER = TYPES_FLOAT | TYPES_INTEGER,
    TYPES_BOOL = TYPES_OF(TW_BOOL),
    TYPES_BITS = TYPES_BOOL | TYPES_INTEGER,
    TYPES_ALL = TYPES_NUMBER | TYPES_BOOL /* all that have kernels */
};
static inline bool type_in(tw_dtype dtype, unsigned set) {
    return dtype >= TW_BOOL && dtype <= TW_F64 && (set >> dtype & 1u);
}

/* Checks, for infer. Each gives TW_OK or what tw_refuse gave. */
tw_status rule_type(const tw_signature *signature, int operand, unsigned set);
tw_status rule_same_dtype(const tw_signature *signature, int a, int b);
tw_status rule_same_shape(const tw_signature *signature, int a, int b);
tw_status rule_rank(const tw_signature *signature, int operand, int least, int most);
/* 0 <= axis < rank; `what` names the attribute. */
tw_status rule_axis(const tw_signature *signature, const char *what, int64_t axis, int rank);
/* Every axis in range and none twice; seen[rank] is true for those listed. */
tw_status rule_axes(const tw_signature *signature, const char *what, const tw_shape *axes, int rank,
                    bool *seen);
/* The list has `count` entries, each at least `least`. */
tw_status rule_list(const tw_signature *signature, const char *what, const tw_shape *list,
                    int count, int64_t least);
/* Sets result i; refuses a rank above TW_MAX_RANK and an extent that does not exist. */
tw_status rule_result(tw_signature *signature, int i, tw_dtype dtype, tw_shape shape);

/* Whole infer functions of elementwise operators: all operands of one type, which is the result. */
tw_status rule_infer_same(tw_signature *signature);   /* any type with kernels */
tw_status rule_infer_float(tw_signature *signature);  /* floats */
tw_status rule_infer_number(tw_signature *signature); /* floats and integers */
tw_status rule_infer_bool(tw_signature *signature);
tw_status rule_infer_bits(tw_signature *signature); /* bool and integers */

/* A factor in no operand and no result yet. */
tw_factor rule_factor(tw_factor_kind kind, int64_t size);
/* A dimension of one operand, or of result 0, that cannot be cut and has no counterpart. */
tw_factor rule_whole_operand(int operand, int axis, int64_t size);
tw_factor rule_whole_result(int axis, int64_t size);
/* Every dimension passes; operands and results have one shape (or none at all). */
int rule_factors_elementwise(const tw_signature *signature, tw_factor *out);
/* So, of a result whose extents attribute number `attribute` states. */
int rule_factors_stated(const tw_signature *signature, int attribute, tw_factor *out);
/* Nothing can be cut. */
int rule_factors_whole(const tw_signature *signature, tw_factor *out);

/* Elements and bytes of a type of known extents. */
double rule_elements(tw_type type);
double rule_bytes(tw_type type);
/* Bytes of all operands and results; one operation for each element of result 0, or none. */
void rule_cost_elementwise(const tw_signature *signature, tw_cost *out);
void rule_cost_bytes(const tw_signature *signature, tw_cost *out);

/* The rule of operators that are constant almost everywhere: every gradient is absent. */
void rule_vjp_zero(tw_graph *graph, tw_vjp *rule);

/* The batch rule of operators to which a further leading axis is nothing special (elementwise
 * ones): the same operator, operands without the axis broadcast to it. */
void rule_batch_leading(tw_graph *graph, tw_batch *rule);
/* Operand i with the axis of examples in front: as it is, or broadcast. Absent stays absent. */
tw_value rule_batched(const tw_batch *rule, int i);

/* Row-major element strides of known extents. */
void rule_strides(tw_shape shape, int64_t *stride);
/* The product of dim[from..to-1], extents known and of an existing array (so it fits). */
int64_t rule_product(tw_shape shape, int from, int to);

/*
 * For the public functions. rule_usable is false when one of the values is absent, poisoned or
 * stale; the graph then has its error, and rule_poison(graph) is what to return.
 */
tw_graph *rule_graph(int n, const tw_value *values);
bool rule_usable(const char *function, int n, const tw_value *values);
tw_value rule_poison(tw_graph *graph);
/* Keeps the error and gives a poisoned value. */
tw_value rule_fail(tw_graph *graph, tw_status status, const char *format, ...) TW_PRINTF(3, 4);
/* The axis counted from 0, negative ones from the end; -1 with the graph's error when outside. */
int rule_axis_of(const char *function, tw_value x, int axis);
tw_value rule_apply1(const char *name, tw_value x, const tw_attr *attr);
tw_value rule_apply2(const char *name, tw_value a, tw_value b, const tw_attr *attr);
/* NumPy's common shape of two; false when there is none. */
bool rule_broadcast_shape(tw_shape a, tw_shape b, tw_shape *out);
/* INTS from a C array. */
tw_attr rule_ints(int count, const int64_t *list);
tw_attr rule_axes_attr(int count, const int *list);

#endif
