/*
 * What an elementwise operator computes of one element, as straight-line code over typed scalars. It
 * is read from the text of the very C expression that the operator's plain kernel is compiled from, so
 * that generated code and plain kernel have one description.
 */
#ifndef IR_EXPRESSION_H
#define IR_EXPRESSION_H

#include <thalweg/operator.h>

#include "base/arena.h"
#include "ir/graph.h"

typedef enum scalar_type {
    SCALAR_BOOL = 1, /* a truth value; 0 or 1 in a byte of memory */
    SCALAR_U8,
    SCALAR_I32,
    SCALAR_U32,
    SCALAR_I64,
    SCALAR_U64,
    SCALAR_F32,
    SCALAR_F64
} scalar_type;

typedef enum expression_code {
    EXPRESSION_INPUT = 1, /* the element of operand `a` */
    EXPRESSION_NUMBER,    /* `number` of a float type, `integer` of another */
    EXPRESSION_CONVERT,   /* a, as C converts it to `type` */
    EXPRESSION_BITS,      /* the bits of a, of a type as wide */
    EXPRESSION_NEG,
    EXPRESSION_NOT, /* of bits; of a truth value, its opposite */
    EXPRESSION_ADD,
    EXPRESSION_SUB,
    EXPRESSION_MUL,
    EXPRESSION_DIV, /* integers: b is never 0 where the result is selected */
    EXPRESSION_REM,
    EXPRESSION_AND,
    EXPRESSION_OR,
    EXPRESSION_XOR,
    EXPRESSION_SHIFT_LEFT,
    EXPRESSION_SHIFT_RIGHT, /* arithmetic for signed types */
    EXPRESSION_EQ,          /* comparisons give SCALAR_BOOL; with NaN only NE is true */
    EXPRESSION_NE,
    EXPRESSION_LT,
    EXPRESSION_LE,
    EXPRESSION_GT,
    EXPRESSION_GE,
    EXPRESSION_SELECT, /* a ? b : c */
    EXPRESSION_FMA,    /* a b + c, rounded once */
    EXPRESSION_ABS,
    EXPRESSION_SQRT,
    EXPRESSION_FLOOR,
    EXPRESSION_CEIL,
    EXPRESSION_RINT, /* to the nearest, ties to even */
    EXPRESSION_COPYSIGN,
    EXPRESSION_SCALE, /* a 2^b for a whole number b from -252 to 254, rounded once */
    EXPRESSION_LOOKUP /* of the 32 numbers of `table`, by the low bits of a */
} expression_code;

/* One value. a, b, c are earlier steps, but for EXPRESSION_INPUT. Both operands of arithmetic and of
 * comparisons are of one type. */
typedef struct expression_step {
    expression_code code;
    scalar_type type; /* of the value */
    uint32_t a, b, c;
    double number;
    int64_t integer;
    const float *table;
} expression_step;

typedef struct expression {
    uint32_t count;
    const expression_step *step; /* the last one is the result */
} expression;

/* The scalar type of elements of `dtype`; 0 for f16 and bf16, which are only stored. */
scalar_type scalar_type_of(tw_dtype dtype);

/*
 * What `op` computes of operands of these types: f16 and bf16 operands are given as f32, and an f32
 * value is rounded once to a result of those. The steps are in `memory`. False when there is no text
 * (an operator of the user's, a function without a description) or memory is out: then only the
 * kernel knows.
 */
bool expression_of(const tw_operator *op, int n_operands, const tw_type *operand, tw_type result,
                   const tw_attr *attr, arena *memory, expression *out);
/* The same of a node of one result, all operands present. */
bool expression_of_node(const tw_graph *graph, const node *it, arena *memory, expression *out);
/* Steps of a node's expression, about what an element costs; 0 where it has none. */
int expression_weight(const tw_graph *graph, const node *it, arena *memory);

#endif
