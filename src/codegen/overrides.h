/* Library kernels by operator name: the CPU's override table. */
#ifndef CODEGEN_OVERRIDES_H
#define CODEGEN_OVERRIDES_H

#include <thalweg/operator.h>

/* NULL for an operator without one. An override may decline a call (types, sizes it does not
 * serve) with TW_ERR_UNSUPPORTED, without an error message; the plain kernel then runs, so an
 * override of a composite must never decline. */
tw_kernel override_find(const char *operator_name);
/* Those that take f16 or bf16. They decline what they do not serve, a composite too: the operator is
 * then computed in f32. */
tw_kernel override_of_halves(const char *operator_name);
/* Whether its results may lie over operands of their type and shape: element i is read before it is
 * written. */
bool override_in_place(const char *operator_name);
/* Bytes of scratch memory that it takes for this call; TW_ERR_UNSUPPORTED, without a message, where there
 * is none or it declines. */
tw_status override_workspace(const tw_signature *signature, bool of_halves, size_t *bytes);

/* Bytes, for each result, that it keeps from call to call of one signature: `kept` of the call, which it fills
 * here. 0: it keeps nothing. */
size_t override_kept_bytes(const char *operator_name);
tw_status override_prepare(const tw_signature *signature, void *kept);

#endif
