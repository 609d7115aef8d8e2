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

/* All of them, or none has a target. */
static tw_status plan_all(const tw_signature *s, bool kernels, dot_plan *plan) {
    tw_status status = TW_OK;
    for (int i = 0; i < s->n_results && !status; i++) {
        dots_part one;
        dots_part_of(s, i, &one);
        status = plan_one(&one.signature, kernels, &plan[i]);
    }
    if (status) plan[0].target = NULL;
    return status;
}

static tw_status where_served(tw_status status) {
    return status == TW_ERR_UNSUPPORTED ? TW_OK : status;
}

tw_status product_dot_prepare(const tw_signature *signature, void *kept) {
    return where_served(plan_one(signature, true, kept));
}

tw_status product_dots_prepare(const tw_signature *signature, void *kept) {
    return where_served(plan_all(signature, true, kept));
}

tw_status product_dot_workspace(const tw_signature *signature, size_t *bytes) {
    dot_plan plan;
    tw_status status = plan_one(signature, false, &plan);
    *bytes = status ? 0 : generated_dots_bytes(signature->context, 1, &plan);
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

/* One after the other take their scratch from the same place. */
tw_status product_dots_workspace(const tw_signature *signature, size_t *bytes) {
    dot_plan plan[TW_MAX_RESULTS];
    tw_status status = plan_all(signature, false, plan);
    *bytes = status ? 0 : generated_dots_bytes(signature->context, signature->n_results, plan);
    if (status != TW_ERR_UNSUPPORTED) return status;
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
    const tw_kernel_call own = {one.signature, in, &call->out[i], NULL};
    scratch_mark mark = scratch_save(context);
    tw_status status = product_dot(&own);
    if (status == TW_ERR_UNSUPPORTED) status = one.signature.op->kernel(&own);
    scratch_restore(context, mark);
    return status;
}

tw_status product_dots(const tw_kernel_call *call) {
    const tw_signature *s = &call->signature;
    const dot_plan *plan = call->kept;
    dot_plan own[TW_MAX_RESULTS];
    tw_status status = TW_OK;
    if (!plan) {
        status = product_dots_prepare(s, own);
        plan = own;
    }
    if (!status && plan[0].target)
        return generated_dots(s->context, s->n_results, plan, call->in, call->out);
    for (int i = 0; i < s->n_results && !status; i++) status = run_part(call, i);
    return status;
}
