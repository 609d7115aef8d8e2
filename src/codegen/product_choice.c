/* Which code computes a dot: generated tiles where ops/product.h says so, else the library. */
#include "codegen/product_choice.h"

#include "codegen/generated/dot.h"
#include "codegen/onednn/onednn.h"
#include "ops/rules.h"

static bool generates(const tw_signature *s, matrix_product *m) {
    bool f32 = s->operand[0].dtype == TW_F32 && s->result[0].dtype == TW_F32;
    bool some = rule_elements(s->result[0]) > 0 && rule_elements(s->operand[0]) > 0;
    *m = (matrix_product){0};
    return f32 && some && product_of(s, m) && product_tiled(m);
}

/* TW_ERR_UNSUPPORTED, without a message, where tiles don't serve; without kernels it can't be run. */
static tw_status plan_one(const tw_signature *s, bool kernels, dot_plan *plan) {
    matrix_product m;
    plan->target = NULL;
    if (!generates(s, &m)) return TW_ERR_UNSUPPORTED;
    return kernels ? generated_dot_prepare(s->context, &m, NULL, plan)
                   : dot_plan_shape(s->context, &m, false, false, plan);
}

static tw_status where_served(tw_status status) {
    return status == TW_ERR_UNSUPPORTED ? TW_OK : status;
}

tw_status product_dot_prepare(const tw_signature *signature, void *kept) {
    return where_served(plan_one(signature, true, kept));
}

tw_status product_dot_workspace(const tw_signature *signature, size_t *bytes) {
    dot_plan plan;
    tw_status status = plan_one(signature, false, &plan);
    *bytes = status ? 0 : generated_dot_bytes(signature->context, &plan);
    return status == TW_ERR_UNSUPPORTED ? onednn_dot_workspace(signature, bytes) : status;
}

tw_status product_dot(const tw_kernel_call *call) {
    const tw_signature *s = &call->signature;
    const dot_plan *plan = call->kept;
    dot_plan own;
    if (!plan) {
        tw_status status = product_dot_prepare(s, &own);
        if (status) return status;
        plan = &own;
    }
    if (!plan->target) return onednn_dot(call);
    return generated_dot(s->context, plan, call->in[0], call->in[1], call->out[0]);
}
