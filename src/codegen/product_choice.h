/* The override of dot: generated tiles or the library, by the shape. */
#ifndef CODEGEN_PRODUCT_CHOICE_H
#define CODEGEN_PRODUCT_CHOICE_H

#include "codegen/generated/dot_plan.h"

/* `kept` of a call: a dot_plan, or NULL. */
tw_status product_dot(const tw_kernel_call *call);
tw_status product_dot_prepare(const tw_signature *signature, void *kept);
tw_status product_dot_workspace(const tw_signature *signature, size_t *bytes);

#endif
