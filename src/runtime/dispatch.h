/* From a node to the code that computes it: library override, else the operator's meaning. */
#ifndef RUNTIME_DISPATCH_H
#define RUNTIME_DISPATCH_H

#include <thalweg/operator.h>

/* True when something computes the operator directly; a composite without is to be expanded. */
bool dispatch_has(const tw_operator *op, bool plain);
/* Computes one node on dense buffers. `plain`: no library overrides. */
tw_status dispatch_run(const tw_kernel_call *call, bool plain);
/* Bytes of scratch memory that it takes, for known extents, as far as is known before it runs. */
tw_status dispatch_workspace(const tw_signature *signature, bool plain, size_t *bytes);

#endif
