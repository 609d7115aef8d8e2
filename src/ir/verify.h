/* Rules of a node that need no graph: for the verifier, and for the parser before it appends. */
#ifndef IR_VERIFY_H
#define IR_VERIFY_H

#include <thalweg/operator.h>

/* NULL, or what is wrong with this number of operands of which some may be ABSENT. */
const char *operands_fault(const tw_operator *op, int n, const uint32_t *operand);

#endif
