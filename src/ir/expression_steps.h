/* Steps of an expression as they are made, with C's rules of types. */
#ifndef IR_EXPRESSION_STEPS_H
#define IR_EXPRESSION_STEPS_H

#include "ir/expression.h"

enum { STEPS_MOST = 4096 };

/* A mistake, or too little memory, sticks: later steps are number 0 and mean nothing. */
typedef struct steps {
    arena *memory;
    expression_step *step;
    uint32_t count, capacity;
    bool failed;
} steps;

static inline bool scalar_float(scalar_type type) {
    return type == SCALAR_F32 || type == SCALAR_F64;
}
static inline bool scalar_signed(scalar_type type) {
    return type == SCALAR_I32 || type == SCALAR_I64;
}

scalar_type steps_type(const steps *s, uint32_t value);
/* The step, or an equal one that is there. */
uint32_t steps_add(steps *s, expression_step made);
uint32_t steps_number(steps *s, scalar_type type, double number, int64_t integer);
uint32_t steps_convert(steps *s, scalar_type type, uint32_t value);
/* One operand: EXPRESSION_NEG, EXPRESSION_NOT (C's ~). */
uint32_t steps_unary(steps *s, expression_code code, uint32_t a);
/* Arithmetic, bits, shifts and comparisons. */
uint32_t steps_binary(steps *s, expression_code code, uint32_t a, uint32_t b);
uint32_t steps_select(steps *s, uint32_t where, uint32_t yes, uint32_t no);
/* Those that `result` needs, which is then the last. */
expression steps_take(steps *s, uint32_t result);

#endif
