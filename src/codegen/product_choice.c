/* Which code computes a dot: generated tiles where ops/product.h says so, else the library. */
#include "codegen/product_choice.h"

#include "codegen/generated/dot.h"
#include "codegen/machine_code.h"
#include "codegen/onednn/onednn.h"
#include "ops/rules.h"

static bool generates(const tw_signature *s, matrix_product *m) {
    bool f32 = s->operand[0].dtype == TW_F32 && s->result[0].dtype == TW_F32;
    bool some = rule_elements(s->result[0]) > 0 && rule_elements(s->operand[0]) > 0;
    return f32 && some && product_of(s, m) && product_tiled(m);
}

/* The tiles' turned panels are the context's. */
tw_status product_dot_workspace(const tw_signature *signature, size_t *bytes) {
    matrix_product m = {0};
    *bytes = 0;
    if (machine_target_of(signature->context) && generates(signature, &m)) return TW_OK;
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
