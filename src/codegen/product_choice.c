/*
 * Which code computes a dot: generated tiles, but for the two kinds of shape at which bench/bench_product
 * showed the library ahead. The shape decides, never the threads.
 */
#include "codegen/generated/dot.h"
#include "codegen/machine_code.h"
#include "codegen/onednn/onednn.h"
#include "ops/rules.h"

enum {
    DEEP = 1536, /* a panel of w so deep leaves the cache before the next rows of x come */
    WIDE = 128,
    SHALLOW = 16, /* a turned panel so shallow is not worth its turning, where y is large */
    LARGE = 1 << 17
};

static bool prefers_generated(const matrix_product *m) {
    int64_t n = m->rank - 2, rows = m->y_extent[n], columns = m->y_extent[n + 1];
    int64_t depth = m->x_extent[n + 1];
    if (depth >= DEEP && rows >= WIDE && columns >= WIDE) return false;
    bool turned = m->w_stride[n + 1] != 1 && columns > 1;
    return !(turned && depth < SHALLOW && rows >= WIDE && rows * columns >= LARGE);
}

static bool generates(const tw_signature *s, matrix_product *m) {
    bool f32 = s->operand[0].dtype == TW_F32 && s->result[0].dtype == TW_F32;
    bool some = rule_elements(s->result[0]) > 0 && rule_elements(s->operand[0]) > 0;
    return f32 && some && product_of(s, m) && prefers_generated(m);
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
