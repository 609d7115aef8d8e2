/* Check mode: which operator was the first to make a NaN or an infinity. */
#ifndef RUNTIME_CHECK_H
#define RUNTIME_CHECK_H

#include <thalweg/operator.h>

/*
 * After a call: an error when a result has a NaN and no operand has one, or an infinity and no
 * operand has one or a NaN. `scope` and `source` (NULL: none) say where the operator stands.
 */
tw_status check_call(const tw_kernel_call *call, const char *scope, const char *source);
/* Data from outside: an error for a NaN. An infinity may be meant (masks). `kind`: "input", ... */
tw_status check_data(tw_context *context, const char *kind, const char *name, tw_type type,
                     const void *data);

#endif
