/* The CPU's override table. */
#include "codegen/overrides.h"

#include <string.h>

#include "codegen/onednn/onednn.h"
#include "codegen/plain/kernels.h"
#include "codegen/product_choice.h"

typedef struct override {
    const char *name;
    tw_kernel kernel;
    tw_status (*workspace)(const tw_signature *signature, size_t *bytes); /* NULL: it takes none */
    bool in_place;
    size_t kept; /* bytes, that `prepare` fills */
    tw_status (*prepare)(const tw_signature *signature, void *kept);
} override;

static const override table[] = {
    {"dot", product_dot, product_dot_workspace, false, sizeof(dot_plan), product_dot_prepare},
    {"conv", onednn_conv, onednn_conv_workspace, false, 0, NULL},
    {"conv_input_grad", onednn_conv_input_grad, onednn_conv_input_grad_workspace, false, 0, NULL},
    {"conv_weight_grad", onednn_conv_weight_grad, onednn_conv_weight_grad_workspace, false, 0,
     NULL},
    {"conv_bias", onednn_conv_bias, onednn_conv_workspace, false, 0, NULL},
    {"relu", plain_relu, NULL, true, 0, NULL},
    {"relu_grad", plain_relu_grad, NULL, true, 0, NULL},
    {"cross_entropy", plain_cross_entropy, NULL, false, 0, NULL},
    {"cross_entropy_grad", plain_cross_entropy_grad, NULL, false, 0, NULL},
    {"max_pool", plain_max_pool, NULL, false, 0, NULL},
    {"max_pool_grad", plain_max_pool_grad, NULL, false, 0, NULL},
    {"sgd_update", plain_sgd_update, NULL, true, 0, NULL},
    {"momentum_update", plain_momentum_update, NULL, true, 0, NULL},
    {"adam_update", plain_adam_update, NULL, true, 0, NULL},
};

static const override halves[] = {
    {"dot", onednn_dot, onednn_dot_workspace, false, 0, NULL},
    {"conv", onednn_conv, onednn_conv_workspace, false, 0, NULL},
    {"conv_input_grad", onednn_conv_input_grad, onednn_conv_input_grad_workspace, false, 0, NULL},
    {"conv_weight_grad", onednn_conv_weight_grad, onednn_conv_weight_grad_workspace, false, 0,
     NULL},
    {"conv_bias", onednn_conv_bias, onednn_conv_workspace, false, 0, NULL},
};

static const override *find(const override *list, size_t n, const char *name) {
    for (size_t i = 0; i < n; i++)
        if (strcmp(list[i].name, name) == 0) return &list[i];
    return NULL;
}

static const override *find_kind(const char *name, bool halves_wanted) {
    return halves_wanted ? find(halves, sizeof halves / sizeof *halves, name)
                         : find(table, sizeof table / sizeof *table, name);
}

tw_kernel override_find(const char *operator_name) {
    const override *found = find_kind(operator_name, false);
    return found ? found->kernel : NULL;
}

tw_kernel override_of_halves(const char *operator_name) {
    const override *found = find_kind(operator_name, true);
    return found ? found->kernel : NULL;
}

bool override_in_place(const char *operator_name) {
    const override *found = find_kind(operator_name, false);
    return found && found->in_place;
}

tw_status override_workspace(const tw_signature *signature, bool of_halves, size_t *bytes) {
    const override *found = find_kind(signature->op->name, of_halves);
    *bytes = 0;
    if (!found) return TW_ERR_UNSUPPORTED;
    return found->workspace ? found->workspace(signature, bytes) : TW_OK;
}

size_t override_kept_bytes(const char *operator_name) {
    const override *found = find_kind(operator_name, false);
    return found ? found->kept : 0;
}

tw_status override_prepare(const tw_signature *signature, void *kept) {
    return find_kind(signature->op->name, false)->prepare(signature, kept);
}
