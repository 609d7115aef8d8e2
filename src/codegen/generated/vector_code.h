/*
 * Lines of LLVM IR for scalar expressions, on vectors or single numbers. Values are named %t and a
 * number; 0 is no value.
 */
#ifndef CODEGEN_GENERATED_VECTOR_CODE_H
#define CODEGEN_GENERATED_VECTOR_CODE_H

#include "base/text.h"
#include "ir/expression.h"

typedef struct vector_code {
    text *out;
    int lanes;     /* of the vectors */
    uint32_t next; /* number of the next value */
    int split;     /* a vector is 2^split of the CPU's: what depends on one another is shorter */
    bool apart;    /* an expression of one of them after the other's */
} vector_code;

uint32_t vector_fresh(vector_code *c);

/* "float", or "<16 x float>". Truth values are i1. */
typedef struct type_name {
    char at[24];
} type_name;
type_name vector_type(const vector_code *c, scalar_type type, bool vector);

/* A constant as text: in a vector, of every lane. */
typedef struct constant_text {
    char at[64];
} constant_text;
constant_text vector_constant(scalar_type type, bool vector, double number, int64_t integer);

/* The expression's result for operands in[]. */
uint32_t vector_expression(vector_code *c, const expression *e, bool vector, const uint32_t *in);
/* The value `number` of an element type. */
uint32_t vector_number(vector_code *c, scalar_type type, bool vector, double number);
uint32_t vector_splat(vector_code *c, scalar_type type, uint32_t value);

/* How a reduction combines two: sum, max, min, prod as 0 to 3. */
uint32_t vector_combine(vector_code *c, int how, scalar_type type, bool vector, uint32_t a,
                        uint32_t b);
constant_text vector_neutral(int how, scalar_type type, bool vector);
/* All lanes of a vector combined, halves onto halves. */
uint32_t vector_fold(vector_code *c, int how, scalar_type type, uint32_t value);

#endif
