/* Factors and cost of any operator: its entry's own, or those of a composite, from its body. */
#ifndef IR_DERIVE_H
#define IR_DERIVE_H

#include <thalweg/operator.h>

/* The factors of one use, in out[TW_MAX_FACTORS]; gives their number. Of a composite, what every
 * node of its body allows; in doubt TW_FACTOR_REPLICATE. */
int signature_factors(const tw_signature *signature, tw_factor *out);
/* Extents must be numbers. Of a composite or call: the operations of its body or function, and the
 * bytes of its operands and results. False when a body cannot be built, with the context's error. */
bool signature_cost(const tw_signature *signature, tw_cost *out);

#endif
