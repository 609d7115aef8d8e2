/* Reads the C text of an expression. */
#ifndef IR_EXPRESSION_TEXT_H
#define IR_EXPRESSION_TEXT_H

#include "ir/expression_steps.h"

/*
 * The value of `text`, whose operands are named in `names` ("a b") and are the steps `operand`. The text
 * is what C compiles: numbers, arithmetic, comparisons, ?:, casts, and calls of functions that have an
 * instruction or a text of their own (base/elementary.h). Anything else fails the steps.
 */
uint32_t expression_read(steps *s, const char *names, const uint32_t *operand, int n_operands,
                         const char *text);

#endif
