/* What is known of the signs of a fused function's values, and what expressions need not do for it. */
#ifndef CODEGEN_GENERATED_SIGN_H
#define CODEGEN_GENERATED_SIGN_H

#include "ir/expression.h"

/* No element is above 0; NaN may be. */
bool never_positive(const tw_graph *function, uint32_t value);

/*
 * Upper limits go where they do nothing: a step `x > c ? c : x` with c >= 0, as exp has it, is x where
 * operand x is never positive. The results have the same bits. New steps are in `memory`; false when that
 * is out.
 */
bool without_limits(const tw_graph *function, const node *it, arena *memory, expression *e);

#endif
