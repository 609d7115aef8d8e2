/* The CPU's override table. */
#include "codegen/overrides.h"

#include <string.h>

#include "codegen/onednn/onednn.h"
#include "codegen/plain/kernels.h"

typedef struct override {
    const char *name;
    tw_kernel kernel;
} override;

static const override table[] = {
    {"dot", onednn_dot},
    {"conv", onednn_conv},
    {"conv_input_grad", onednn_conv_input_grad},
    {"conv_weight_grad", onednn_conv_weight_grad},
    {"conv_bias", onednn_conv_bias},
    {"relu", plain_relu},
    {"relu_grad", plain_relu_grad},
    {"cross_entropy", plain_cross_entropy},
    {"cross_entropy_grad", plain_cross_entropy_grad},
    {"max_pool", plain_max_pool},
    {"max_pool_grad", plain_max_pool_grad},
    {"sgd_update", plain_sgd_update},
    {"momentum_update", plain_momentum_update},
    {"adam_update", plain_adam_update},
};

static const override halves[] = {
    {"dot", onednn_dot},
    {"conv", onednn_conv},
    {"conv_input_grad", onednn_conv_input_grad},
    {"conv_weight_grad", onednn_conv_weight_grad},
    {"conv_bias", onednn_conv_bias},
};

tw_kernel override_find(const char *operator_name) {
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (strcmp(table[i].name, operator_name) == 0) return table[i].kernel;
    return NULL;
}

tw_kernel override_of_halves(const char *operator_name) {
    for (size_t i = 0; i < sizeof halves / sizeof *halves; i++)
        if (strcmp(halves[i].name, operator_name) == 0) return halves[i].kernel;
    return NULL;
}
