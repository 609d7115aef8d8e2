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
/* Bytes that may be kept from call to call of one signature; dispatch_prepare fills them and points call->kept
 * there, or leaves it NULL. */
size_t dispatch_kept_bytes(const tw_operator *op, bool plain);
tw_status dispatch_prepare(tw_kernel_call *call, bool plain, void *kept);

#endif
