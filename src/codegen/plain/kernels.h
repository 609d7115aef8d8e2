/* Plain kernels of composites whose bodies would be slow node by node; f32 and f64. */
#ifndef CODEGEN_PLAIN_KERNELS_H
#define CODEGEN_PLAIN_KERNELS_H

#include <thalweg/operator.h>

tw_status plain_relu(const tw_kernel_call *call);
tw_status plain_relu_grad(const tw_kernel_call *call);
tw_status plain_cross_entropy(const tw_kernel_call *call);
tw_status plain_cross_entropy_grad(const tw_kernel_call *call);
tw_status plain_max_pool(const tw_kernel_call *call);
tw_status plain_max_pool_grad(const tw_kernel_call *call);
tw_status plain_sgd_update(const tw_kernel_call *call);
tw_status plain_momentum_update(const tw_kernel_call *call);
tw_status plain_adam_update(const tw_kernel_call *call);

/* Elements of a known shape that exists. */
static inline int64_t elements_of(tw_shape shape) {
    int64_t count = 1;
    for (int i = 0; i < shape.rank; i++) count *= shape.dim[i];
    return count;
}

/* Element i of an i32 or i64 array. */
static inline int64_t index_at(tw_dtype dtype, const void *data, int64_t i) {
    return dtype == TW_I32 ? ((const int32_t *)data)[i] : ((const int64_t *)data)[i];
}

#endif
