/* Which code computes an operator: the override table first, then the operator's meaning. */
#include "runtime/dispatch.h"

#include <string.h>

#include "base/scratch.h"
#include "codegen/overrides.h"
#include "ir/dimension.h"
#include "runtime/map.h"
#include "runtime/scalar.h"
#include "runtime/tensor.h"
#include "runtime/wide.h"

bool dispatch_has(const tw_operator *op, bool plain) {
    switch (op->meaning) {
    case TW_MEANS_SCALAR: return true;
    case TW_MEANS_MAP: return true;
    case TW_MEANS_LOOPS: return op->kernel || (!plain && override_find(op->name));
    case TW_MEANS_BODY: return !plain && override_find(op->name);
    default: return false;
    }
}

static tw_status run_scalar(const tw_kernel_call *call) {
    const tw_signature *signature = &call->signature;
    scalar_strides strides[TW_SCALAR_OPERANDS];
    scalar_loop loop;
    for (int k = 0; k < signature->n_operands; k++)
        strides[k] = scalar_dense(signature->operand[k].shape);
    scalar_loop_start(&loop, signature, strides);
    if (!loop.kernel)
        return tw_refuse(signature, TW_ERR_UNSUPPORTED, "there is no kernel for this element type");
    scalar_run(signature->context, &loop, shape_elements(signature->result[0].shape), call->out[0],
               call->in);
    return TW_OK;
}

static bool results_empty(const tw_signature *signature) {
    for (int i = 0; i < signature->n_results; i++)
        if (shape_elements(signature->result[i].shape) > 0) return false;
    return true;
}

/* Whether what computes the operator is given f32 for f16 and bf16. */
static bool runs_wide(const tw_signature *signature) {
    const tw_operator *op = signature->op;
    bool loops = op->meaning == TW_MEANS_LOOPS && !op->halves;
    return (loops || op->meaning == TW_MEANS_BODY) && wide_needed(signature);
}

static tw_status run_direct(const tw_kernel_call *call, bool plain);

static tw_status run_any(const tw_kernel_call *call, bool plain) {
    const tw_signature *signature = &call->signature;
    if (!runs_wide(signature)) return run_direct(call, plain);
    tw_kernel library = plain ? NULL : override_of_halves(signature->op->name);
    tw_status status = library ? library(call) : TW_ERR_UNSUPPORTED;
    if (status != TW_ERR_UNSUPPORTED) return status;
    wide_call wide;
    status = wide_begin(&wide, call);
    if (!status) status = run_direct(&wide.call, plain);
    if (!status) wide_round(&wide, call);
    return status;
}

tw_status dispatch_run(const tw_kernel_call *call, bool plain) {
    tw_context *context = call->signature.context;
    if (results_empty(&call->signature)) return TW_OK;
    scratch_mark mark = scratch_save(context);
    tw_status status = run_any(call, plain);
    scratch_restore(context, mark);
    return status;
}

void *tw_workspace(const tw_kernel_call *call, size_t bytes) {
    return call ? scratch_take(call->signature.context, bytes) : NULL;
}

static tw_status direct_workspace(const tw_signature *signature, bool plain, size_t *bytes) {
    tw_status status = plain ? TW_ERR_UNSUPPORTED : override_workspace(signature, false, bytes);
    if (status != TW_ERR_UNSUPPORTED) return status;
    bool loops = signature->op->meaning == TW_MEANS_LOOPS;
    *bytes = loops && signature->op->workspace ? signature->op->workspace(signature) : 0;
    return TW_OK;
}

tw_status dispatch_workspace(const tw_signature *signature, bool plain, size_t *bytes) {
    *bytes = 0;
    if (results_empty(signature)) return TW_OK;
    if (!runs_wide(signature)) return direct_workspace(signature, plain, bytes);
    tw_status status = plain ? TW_ERR_UNSUPPORTED : override_workspace(signature, true, bytes);
    if (status != TW_ERR_UNSUPPORTED) return status;
    wide_call wide;
    size_t copies = 0;
    scratch_mark mark = scratch_save(signature->context);
    status = wide_signature(&wide, signature, &copies);
    if (!status) status = direct_workspace(&wide.call.signature, plain, bytes);
    scratch_restore(signature->context, mark);
    if (__builtin_add_overflow(*bytes, copies, bytes)) *bytes = SIZE_MAX;
    return status;
}

size_t dispatch_kept_bytes(const tw_operator *op, bool plain) {
    return plain ? 0 : override_kept_bytes(op->name);
}

tw_status dispatch_prepare(tw_kernel_call *call, bool plain, void *kept) {
    call->kept = NULL;
    if (plain || !kept || results_empty(&call->signature) || runs_wide(&call->signature))
        return TW_OK;
    tw_status status = override_prepare(&call->signature, kept);
    if (!status) call->kept = kept;
    return status;
}

/* By a kernel that takes the call as it is. */
static tw_status run_direct(const tw_kernel_call *call, bool plain) {
    const tw_signature *signature = &call->signature;
    const tw_operator *op = signature->op;
    tw_kernel library = plain ? NULL : override_find(op->name);
    if (library) {
        tw_status status = library(call);
        if (status != TW_ERR_UNSUPPORTED) return status;
    }
    switch (op->meaning) {
    case TW_MEANS_SCALAR: return run_scalar(call);
    case TW_MEANS_MAP: return map_run(call);
    case TW_MEANS_LOOPS:
        if (op->kernel) return op->kernel(call);
        break;
    default: break;
    }
    return tw_refuse(signature, TW_ERR_UNSUPPORTED, "nothing computes this operator directly");
}
