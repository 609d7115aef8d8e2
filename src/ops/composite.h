/* The composites that other files of this layer define or build on. */
#ifndef OPS_COMPOSITE_H
#define OPS_COMPOSITE_H

#include <thalweg/operator.h>

#include "ops/rules.h"

extern const tw_operator op_cross_entropy, op_cross_entropy_grad;
extern const tw_operator op_conv_bias;
extern const tw_operator op_max_pool, op_max_pool_grad;

/* The gradient of relu from its result: dy where y > 0. */
tw_value relu_grad(tw_value y, tw_value dy);

/*
 * Checks for bodies, whose kernels (src/codegen) rely on them: primitives alone would accept more.
 * Each gives false after a tw_fail that says what the operand is and what was expected.
 */
/* The operand's element type is in `set`. */
bool body_type(tw_graph *graph, const tw_signature *signature, int operand, unsigned set);
/* The operand has just this type. */
bool body_expects(tw_graph *graph, const tw_signature *signature, int operand, tw_dtype dtype,
                  tw_shape shape);
/* Operands 0 to count - 1 are floats of one type and shape. */
bool body_floats_alike(tw_graph *graph, const tw_signature *signature, int count);

#endif
