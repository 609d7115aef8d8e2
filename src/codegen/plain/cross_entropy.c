/* cross_entropy and its gradient: one pass over a row each, rows in parallel. */
#include <math.h>
#include <stdatomic.h>

#include "base/parallel.h"
#include "codegen/plain/kernels.h"

typedef struct rows {
    int64_t classes;
    double smoothing;
    tw_dtype label_type;
    const void *logits, *labels, *lse, *d_loss;
    void *loss, *lse_out, *d_logits;
    _Atomic int64_t bad; /* the first row whose label is past the end */
} rows;

static void report(rows *r, int64_t row) {
    int64_t known = atomic_load(&r->bad);
    while (row < known && !atomic_compare_exchange_weak(&r->bad, &known, row)) {}
}

/* One description for both types. A NaN anywhere reaches the total, so the maximum may skip it. */
#define FORWARD(NAME, T, EXP, LOG)                                                                 \
    static void NAME(void *argument, int64_t begin, int64_t end) {                                 \
        rows *r = argument;                                                                        \
        for (int64_t row = begin; row < end; row++) {                                              \
            const T *x = (const T *)r->logits + row * r->classes;                                  \
            T top = (T) - INFINITY, total = 0;                                                     \
            for (int64_t c = 0; c < r->classes; c++) top = x[c] > top ? x[c] : top;                \
            for (int64_t c = 0; c < r->classes; c++) total += EXP(x[c] - top);                     \
            T lse = LOG(total) + top;                                                              \
            int64_t label = index_at(r->label_type, r->labels, row);                               \
            if (label >= r->classes) report(r, row);                                               \
            T wanted = label < 0 || label >= r->classes ? lse : x[label];                          \
            if (r->smoothing != 0 && label >= 0) {                                                 \
                T sum = 0;                                                                         \
                for (int64_t c = 0; c < r->classes; c++) sum += x[c];                              \
                wanted = (T)(1 - r->smoothing) * wanted + (T)r->smoothing * sum / (T)r->classes;   \
            }                                                                                      \
            ((T *)r->loss)[row] = label < 0 ? 0 : lse - wanted;                                    \
            ((T *)r->lse_out)[row] = lse;                                                          \
        }                                                                                          \
    }
FORWARD(forward_f32, float, expf, logf)
FORWARD(forward_f64, double, exp, log)

#define BACKWARD(NAME, T, EXP)                                                                     \
    static void NAME(void *argument, int64_t begin, int64_t end) {                                 \
        rows *r = argument;                                                                        \
        for (int64_t row = begin; row < end; row++) {                                              \
            const T *x = (const T *)r->logits + row * r->classes;                                  \
            T *dx = (T *)r->d_logits + row * r->classes;                                           \
            T lse = ((const T *)r->lse)[row], d = ((const T *)r->d_loss)[row];                     \
            int64_t label = index_at(r->label_type, r->labels, row);                               \
            if (label >= r->classes) report(r, row);                                               \
            T own = (T)(1 - r->smoothing), each = (T)r->smoothing / (T)r->classes;                 \
            for (int64_t c = 0; c < r->classes; c++) {                                             \
                dx[c] = label < 0 ? 0 : (EXP(x[c] - lse) - (c == label ? own : 0) - each) * d;     \
            }                                                                                      \
        }                                                                                          \
    }
BACKWARD(backward_f32, float, expf)
BACKWARD(backward_f64, double, exp)

static rows rows_of(const tw_kernel_call *call) {
    const tw_signature *s = &call->signature;
    return (rows){.classes = s->operand[0].shape.dim[1],
                  .smoothing = s->attr[0].f,
                  .label_type = s->operand[1].dtype,
                  .logits = call->in[0],
                  .labels = call->in[1],
                  .bad = INT64_MAX};
}

/* Rows for about 4096 exponentials, a few times what a fork costs. */
static int64_t grain_of(const rows *r) { return 1 + 4096 / (r->classes + 1); }

static tw_status run(const tw_kernel_call *call, rows *r, parallel_body body) {
    const tw_signature *s = &call->signature;
    tw_parallel_for(s->context, s->operand[0].shape.dim[0], grain_of(r), body, r);
    int64_t row = atomic_load(&r->bad);
    if (row == INT64_MAX) return TW_OK;
    return tw_refuse(s, TW_ERR_INDEX,
                     "label %lld of row %lld is past the last of %lld classes; labels count from 0",
                     (long long)index_at(r->label_type, r->labels, row), (long long)row,
                     (long long)r->classes);
}

tw_status plain_cross_entropy(const tw_kernel_call *call) {
    rows r = rows_of(call);
    r.loss = call->out[0];
    r.lse_out = call->out[1];
    bool narrow = call->signature.operand[0].dtype == TW_F32;
    return run(call, &r, narrow ? forward_f32 : forward_f64);
}

tw_status plain_cross_entropy_grad(const tw_kernel_call *call) {
    rows r = rows_of(call);
    r.lse = call->in[2];
    r.d_loss = call->in[3];
    r.d_logits = call->out[0];
    bool narrow = call->signature.operand[0].dtype == TW_F32;
    return run(call, &r, narrow ? backward_f32 : backward_f64);
}
