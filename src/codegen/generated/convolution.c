/*
 * A convolution together with the elementwise work on it: samples of its result go to a block that stays in a
 * core's own cache, and the kernel of the rest runs over that part of its box.
 */
#include <string.h>

#include "codegen/generated/generated.h"
#include "codegen/onednn/onednn.h"

typedef struct finishing {
    const generated *g;
    const int64_t *slot; /* of the whole box */
    int64_t units;       /* of the kernel in a sample */
    size_t bytes;        /* of its result */
} finishing;

static void take_samples(const void *state, int64_t first, int64_t samples, const float *y) {
    const finishing *f = state;
    const nest *n = &f->g->nest;
    int64_t slot[KERNEL_MOST_SLOTS];
    memcpy(slot, f->slot, (size_t)kernel_slots(n) * sizeof *slot);
    slot[kernel_slot_load(n, f->g->product->load)] =
        (int64_t)(intptr_t)y - first * (int64_t)f->bytes;
    f->g->kernel(slot, first * f->units, (first + samples) * f->units);
}

/* False where no axis of the nest is the batch alone. */
static bool is_by_samples(const generated *g, const tw_signature *s, const generated_call *call,
                          finishing *out) {
    int64_t samples = s->result[0].shape.dim[0];
    if (g->nest.n_axes < 2 || samples < 1 || call->units % samples) return false;
    *out = (finishing){g, call->slot, call->units / samples,
                       (size_t)(call->elements / samples) * sizeof(float)};
    return true;
}

tw_status generated_convolution_bytes(const generated *g, const tw_signature *convolution,
                                      const generated_call *call, size_t *bytes) {
    finishing f;
    if (!is_by_samples(g, convolution, call, &f)) return TW_ERR_UNSUPPORTED;
    return onednn_conv_finished_workspace(convolution, bytes);
}

tw_status generated_convolution_run(const generated *g, const tw_kernel_call *convolution,
                                    const generated_call *call) {
    finishing f;
    if (!is_by_samples(g, &convolution->signature, call, &f)) return TW_ERR_UNSUPPORTED;
    const conv_finish finish = {take_samples, &f};
    return onednn_conv_finished(convolution, &finish);
}
