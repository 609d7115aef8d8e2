/* The composites that other files of this layer define or build on. */
#ifndef OPS_COMPOSITE_H
#define OPS_COMPOSITE_H

#include <thalweg/operator.h>

extern const tw_operator op_cross_entropy, op_cross_entropy_grad;
extern const tw_operator op_conv_bias;
extern const tw_operator op_max_pool, op_max_pool_grad;

/* The gradient of relu from its result: dy where y > 0. */
tw_value relu_grad(tw_value y, tw_value dy);

#endif
