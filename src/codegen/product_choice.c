/*
 * Which code computes a dot: generated tiles where ops/product.h says so, else the library. Products of one
 * array are computed side by side where tiles have them all, else one after the other.
 */
#include "codegen/product_choice.h"

#include "base/scratch.h"
#include "codegen/generated/dot.h"
#include "codegen/onednn/onednn.h"
#include "ops/dots.h"
#include "ops/rules.h"

static bool generates(const tw_signature *s, matrix_product *m) {
    bool f32 = s->operand[0].dtype == TW_F32 && s->result[0].dtype == TW_F32;
    bool some = rule_elements(s->result[0]) > 0 && rule_elements(s->operand[0]) > 0;
    return f32 && some && product_of(s, m) && product_tiled(m);
}

tw_status product_dot_workspace(const tw_signature *signature, size_t *bytes) {
    matrix_product m = {0};
    tw_status status = TW_ERR_UNSUPPORTED;
    *bytes = 0;
    if (generates(signature, &m))
        status = generated_dots_workspace(signature->context, 1, &m, bytes);
    if (status != TW_ERR_UNSUPPORTED) return status;
    return onednn_dot_workspace(signature, bytes);
}

tw_status product_dot(const tw_kernel_call *call) {
    const tw_signature *s = &call->signature;
    matrix_product m = {0};
    if (generates(s, &m)) {
        tw_status status = generated_dot(s->context, &m, call->in[0], call->in[1], call->out[0]);
        if (status != TW_ERR_UNSUPPORTED) return status;
    }
    return onednn_dot(call);
}

/* All as products of matrices for tiles; false where one is not for them. */
static bool generates_all(const tw_signature *s, matrix_product *m) {
    for (int i = 0; i < s->n_results; i++) {
        dots_part one;
        dots_part_of(s, i, &one);
        m[i] = (matrix_product){0};
        if (!generates(&one.signature, &m[i])) return false;
    }
    return true;
}

/* One after the other take their scratch from the same place. */
tw_status product_dots_workspace(const tw_signature *signature, size_t *bytes) {
    matrix_product m[TW_MAX_RESULTS];
    tw_status status = TW_ERR_UNSUPPORTED;
    *bytes = 0;
    if (generates_all(signature, m))
        status = generated_dots_workspace(signature->context, signature->n_results, m, bytes);
    if (status != TW_ERR_UNSUPPORTED) return status;
    *bytes = 0;
    for (int i = 0; i < signature->n_results; i++) {
        dots_part one;
        size_t own = 0;
        dots_part_of(signature, i, &one);
        status = product_dot_workspace(&one.signature, &own);
        if (status && status != TW_ERR_UNSUPPORTED) return status;
        if (!status && own > *bytes) *bytes = own;
    }
    return TW_OK;
}

static tw_status run_part(const tw_kernel_call *call, int i) {
    tw_context *context = call->signature.context;
    dots_part one;
    dots_part_of(&call->signature, i, &one);
    if (rule_elements(one.signature.result[0]) == 0) return TW_OK;
    const void *in[] = {call->in[0], call->in[i + 1]};
    const tw_kernel_call own = {one.signature, in, &call->out[i]};
    scratch_mark mark = scratch_save(context);
    tw_status status = product_dot(&own);
    if (status == TW_ERR_UNSUPPORTED) status = one.signature.op->kernel(&own);
    scratch_restore(context, mark);
    return status;
}

tw_status product_dots(const tw_kernel_call *call) {
    const tw_signature *s = &call->signature;
    matrix_product m[TW_MAX_RESULTS];
    if (generates_all(s, m)) {
        tw_status status = generated_dots(s->context, s->n_results, m, call->in, call->out);
        if (status != TW_ERR_UNSUPPORTED) return status;
    }
    tw_status status = TW_OK;
    for (int i = 0; i < s->n_results && !status; i++) status = run_part(call, i);
    return status;
}
