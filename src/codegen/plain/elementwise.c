/* relu and the optimisers' updates, each in one pass over its arrays. */
#include <math.h>

#include "base/parallel.h"
#include "codegen/plain/kernels.h"

enum { GRAIN = 16384 }; /* elements; a fork costs as much as a few thousand */

typedef struct pass {
    const void *in[4];
    void *out[3];
    double rate, a, b, c, d, e, f; /* numbers of an update */
    bool nesterov;
} pass;

static pass pass_of(const tw_kernel_call *call, int n_in) {
    pass p = {.rate = 0};
    for (int i = 0; i < n_in; i++) p.in[i] = call->in[i];
    for (int i = 0; i < call->signature.n_results; i++) p.out[i] = call->out[i];
    return p;
}

static tw_status run(const tw_kernel_call *call, pass *p, parallel_body f32, parallel_body f64) {
    const tw_type *first = &call->signature.operand[0];
    tw_parallel_for(call->signature.context, elements_of(first->shape), GRAIN,
                    first->dtype == TW_F32 ? f32 : f64, p);
    return TW_OK;
}

/* The number in a scalar operand of the first operand's type. */
static double scalar_of(const tw_kernel_call *call, int operand) {
    const void *data = call->in[operand];
    bool narrow = call->signature.operand[0].dtype == TW_F32;
    return narrow ? (double)*(const float *)data : *(const double *)data;
}

/* NaN < 0 is false: NaN stays. */
#define RELU(NAME, T)                                                                              \
    static void NAME(void *argument, int64_t begin, int64_t end) {                                 \
        const pass *p = argument;                                                                  \
        const T *x = p->in[0];                                                                     \
        T *y = p->out[0];                                                                          \
        for (int64_t i = begin; i < end; i++) y[i] = x[i] <= 0 ? 0 : x[i];                         \
    }
RELU(relu_f32, float)
RELU(relu_f64, double)

#define RELU_GRAD(NAME, T)                                                                         \
    static void NAME(void *argument, int64_t begin, int64_t end) {                                 \
        const pass *p = argument;                                                                  \
        const T *y = p->in[0], *dy = p->in[1];                                                     \
        T *dx = p->out[0];                                                                         \
        for (int64_t i = begin; i < end; i++) dx[i] = y[i] > 0 ? dy[i] : 0;                        \
    }
RELU_GRAD(relu_grad_f32, float)
RELU_GRAD(relu_grad_f64, double)

#define SGD(NAME, T)                                                                               \
    static void NAME(void *argument, int64_t begin, int64_t end) {                                 \
        const pass *p = argument;                                                                  \
        const T *w = p->in[0], *g = p->in[1], rate = (T)p->rate;                                   \
        T *w_new = p->out[0];                                                                      \
        for (int64_t i = begin; i < end; i++) w_new[i] = w[i] - g[i] * rate;                       \
    }
SGD(sgd_f32, float)
SGD(sgd_f64, double)

#define MOMENTUM(NAME, T)                                                                          \
    static void NAME(void *argument, int64_t begin, int64_t end) {                                 \
        const pass *p = argument;                                                                  \
        const T *w = p->in[0], *v = p->in[1], *g = p->in[2];                                       \
        const T rate = (T)p->rate, momentum = (T)p->a;                                             \
        T *w_new = p->out[0], *v_new = p->out[1];                                                  \
        for (int64_t i = begin; i < end; i++) {                                                    \
            T speed = v[i] * momentum + g[i];                                                      \
            T step = p->nesterov ? g[i] + speed * momentum : speed;                                \
            w_new[i] = w[i] - step * rate;                                                         \
            v_new[i] = speed;                                                                      \
        }                                                                                          \
    }
MOMENTUM(momentum_f32, float)
MOMENTUM(momentum_f64, double)

/* a, b: betas; c, d: factors that correct their bias; e: epsilon; f: decay. */
#define ADAM(NAME, T, SQRT)                                                                        \
    static void NAME(void *argument, int64_t begin, int64_t end) {                                 \
        const pass *p = argument;                                                                  \
        const T *w = p->in[0], *m = p->in[1], *v = p->in[2], *g = p->in[3];                        \
        const T rate = (T)p->rate, beta1 = (T)p->a, beta2 = (T)p->b, rest1 = (T)(1 - p->a),        \
                rest2 = (T)(1 - p->b), fix1 = (T)p->c, fix2 = (T)p->d, epsilon = (T)p->e,          \
                decay = (T)p->f;                                                                   \
        T *w_new = p->out[0], *m_new = p->out[1], *v_new = p->out[2];                              \
        _Pragma("GCC ivdep") /* a result is an operand's memory or its own */                      \
            for (int64_t i = begin; i < end; i++) {                                                \
            T mean = m[i] * beta1 + g[i] * rest1;                                                  \
            T square = v[i] * beta2 + g[i] * g[i] * rest2;                                         \
            T change = mean * fix1 / (SQRT(square * fix2) + epsilon) + w[i] * decay;               \
            w_new[i] = w[i] - change * rate;                                                       \
            m_new[i] = mean;                                                                       \
            v_new[i] = square;                                                                     \
        }                                                                                          \
    }
ADAM(adam_f32, float, sqrtf)
ADAM(adam_f64, double, sqrt)

tw_status plain_relu(const tw_kernel_call *call) {
    pass p = pass_of(call, 1);
    return run(call, &p, relu_f32, relu_f64);
}

tw_status plain_relu_grad(const tw_kernel_call *call) {
    pass p = pass_of(call, 2);
    return run(call, &p, relu_grad_f32, relu_grad_f64);
}

tw_status plain_sgd_update(const tw_kernel_call *call) {
    pass p = pass_of(call, 2);
    p.rate = scalar_of(call, 2);
    return run(call, &p, sgd_f32, sgd_f64);
}

tw_status plain_momentum_update(const tw_kernel_call *call) {
    pass p = pass_of(call, 3);
    p.rate = scalar_of(call, 3);
    p.a = call->signature.attr[0].f;
    p.nesterov = call->signature.attr[1].i != 0;
    return run(call, &p, momentum_f32, momentum_f64);
}

tw_status plain_adam_update(const tw_kernel_call *call) {
    const tw_attr *attr = call->signature.attr;
    pass p = pass_of(call, 4);
    double step = (double)*(const int64_t *)call->in[5];
    p.rate = scalar_of(call, 4);
    p.a = attr[0].f, p.b = attr[1].f;
    p.c = 1 / (1 - pow(p.a, step)), p.d = 1 / (1 - pow(p.b, step));
    p.e = attr[2].f, p.f = attr[3].f;
    return run(call, &p, adam_f32, adam_f64);
}
