/* Layers against PyTorch's numbers; scripts/oracle_layers.py makes them. */
#include "support/oracle.h"

/* What a case is built with; each builder below looks at its own members. */
typedef struct config {
    tw_value (*one)(tw_value x);
    double number;
    int64_t size, window[3]; /* size: filters, groups or a multiplier */
    tw_conv_layer_opts conv;
    tw_conv_transpose_layer_opts transpose;
    tw_pool_opts pool;
    tw_norm_opts norm;
    tw_batch_norm_opts batch;
    bool align_corners;
} config;

#define BUILDER(name, expression)                                                                  \
    static void name(tw_graph *graph, const tw_value *in, tw_value *out, const void *given) {      \
        const config *c = given;                                                                   \
        const tw_value x = in[0];                                                                  \
        (void)graph, (void)c;                                                                      \
        out[0] = expression;                                                                       \
    }
BUILDER(one, c->one(x))
BUILDER(leaky_relu, tw_leaky_relu(x, c->number))
BUILDER(elu, tw_elu(x, c->number))
BUILDER(prelu, tw_prelu(x, "act"))
BUILDER(conv, tw_conv_layer(x, "c", c->size, c->window, &c->conv))
BUILDER(depthwise, tw_depthwise_conv_layer(x, "c", c->size, c->window, &c->conv))
BUILDER(transpose, tw_conv_transpose_layer(x, "c", c->size, c->window, &c->transpose))
BUILDER(max_pool, tw_max_pool(x, &c->pool))
BUILDER(average_pool, tw_average_pool(x, &c->pool))
BUILDER(adaptive_average, tw_adaptive_average_pool(x, c->window))
BUILDER(adaptive_max, tw_adaptive_max_pool(x, c->window))
BUILDER(layer_norm, tw_layer_norm(x, "n", &c->norm))
BUILDER(rms_norm, tw_rms_norm(x, "n", &c->norm))
BUILDER(group_norm, tw_group_norm(x, "n", c->size, &c->norm))
BUILDER(instance_norm, tw_instance_norm(x, "n", &c->norm))
BUILDER(batch_norm, tw_batch_norm(x, "n", &c->batch))
BUILDER(nearest, tw_resize_nearest(x, c->window))
BUILDER(bilinear, tw_resize_bilinear(x, c->window, c->align_corners))

#define CASE(name, build, ...) {name, build, &(const config){__VA_ARGS__}, false}
#define TRAINED(name, build, ...) {name, build, &(const config){__VA_ARGS__}, true}

static const oracle_case cases[] = {
    CASE("gelu", one, .one = tw_gelu),
    CASE("gelu_tanh", one, .one = tw_gelu_tanh),
    CASE("silu", one, .one = tw_silu),
    CASE("softplus", one, .one = tw_softplus),
    CASE("mish", one, .one = tw_mish),
    CASE("leaky_relu", leaky_relu, .number = 0.2),
    CASE("elu", elu, .number = 1.3),
    CASE("selu", one, .one = tw_selu),
    CASE("relu6", one, .one = tw_relu6),
    CASE("hard_tanh", one, .one = tw_hard_tanh),
    CASE("hard_sigmoid", one, .one = tw_hard_sigmoid),
    CASE("hard_swish", one, .one = tw_hard_swish),
    {"prelu", prelu, NULL, false},

    CASE("conv1d", conv, .size = 3, .window = {3},
         .conv.conv = {.stride = {2}, .low = {2}, .high = {2}, .dilation = {2}}),
    CASE("conv2d", conv, .size = 3, .window = {3, 2},
         .conv.conv = {.stride = {2, 1}, .low = {1, 1}, .high = {1, 1}, .relu = true}),
    CASE("conv2d_same", conv, .size = 2, .window = {2, 3},
         .conv = {.conv = {.same = true}, .no_bias = true}),
    CASE("conv3d", conv, .size = 4, .window = {2, 3, 2},
         .conv.conv = {.stride = {1, 2, 1}, .low = {1, 1, 0}, .high = {1, 1, 0}, .groups = 2}),
    CASE("depthwise1d", depthwise, .size = 1, .window = {3},
         .conv.conv = {.low = {1}, .high = {1}}),
    CASE("depthwise2d", depthwise, .size = 3, .window = {3, 2},
         .conv.conv = {.stride = {2, 2}, .low = {1, 1}, .high = {1, 1}, .relu = true}),
    CASE("transpose1d", transpose, .size = 3, .window = {3}),
    CASE("transpose1d_dilated", transpose, .size = 2, .window = {3},
         .transpose = {.conv = {.stride = {2},
                                .low = {3},
                                .high = {3},
                                .dilation = {2},
                                .output_padding = {1}},
                       .no_bias = true}),
    CASE("transpose2d", transpose, .size = 4, .window = {3, 4},
         .transpose.conv = {.stride = {2, 3},
                            .low = {1, 1},
                            .high = {1, 1},
                            .output_padding = {1, 2},
                            .groups = 2}),
    CASE("transpose2d_crop", transpose, .size = 1, .window = {4, 3},
         .transpose.conv = {.stride = {2, 2}, .low = {2, 0}, .high = {0, 1}}),
    CASE("transpose2d_same", transpose, .size = 2, .window = {3, 1},
         .transpose.conv = {.stride = {2, 3}, .same = true}),
    CASE("transpose3d", transpose, .size = 2, .window = {2, 3, 1},
         .transpose.conv = {.stride = {2, 1, 2},
                            .low = {0, 1, 0},
                            .high = {0, 1, 0},
                            .output_padding = {1, 0, 0}}),

    CASE("max_pool1d", max_pool, .pool = {.window = {3}, .stride = {2}, .low = {1}, .high = {1}}),
    CASE("max_pool2d", max_pool,
         .pool = {.window = {3, 2}, .stride = {2, 1}, .low = {1, 0}, .high = {1, 0}}),
    CASE("max_pool3d", max_pool, .pool = {.window = {2, 2, 2}}),
    CASE("average_pool1d", average_pool,
         .pool = {.window = {3}, .stride = {1}, .low = {1}, .high = {1}}),
    CASE("average_pool2d", average_pool,
         .pool = {.window = {3, 2}, .stride = {2, 2}, .low = {1, 0}, .high = {1, 0}}),
    CASE("average_pool2d_exclude", average_pool,
         .pool = {.window = {3, 2},
                  .stride = {2, 1},
                  .low = {1, 1},
                  .high = {1, 1},
                  .exclude_padding = true}),
    CASE("average_pool3d_exclude", average_pool,
         .pool =
             {.window = {2, 2, 2}, .low = {1, 0, 1}, .high = {1, 0, 1}, .exclude_padding = true}),
    CASE("global_average1d", one, .one = tw_global_average_pool),
    CASE("global_average2d", one, .one = tw_global_average_pool),
    CASE("global_average3d", one, .one = tw_global_average_pool),
    CASE("global_max1d", one, .one = tw_global_max_pool),
    CASE("global_max2d", one, .one = tw_global_max_pool),
    CASE("global_max3d", one, .one = tw_global_max_pool),
    CASE("adaptive_average1d", adaptive_average, .window = {3}),
    CASE("adaptive_average2d", adaptive_average, .window = {3, 4}),
    CASE("adaptive_average2d_even", adaptive_average, .window = {2, 3}),
    CASE("adaptive_average2d_wide", adaptive_average, .window = {5, 4}),
    CASE("adaptive_average3d", adaptive_average, .window = {2, 2, 3}),
    CASE("adaptive_max1d", adaptive_max, .window = {3}),
    CASE("adaptive_max2d", adaptive_max, .window = {3, 4}),
    CASE("adaptive_max2d_even", adaptive_max, .window = {2, 3}),
    CASE("adaptive_max2d_wide", adaptive_max, .window = {5, 4}),
    CASE("adaptive_max3d", adaptive_max, .window = {2, 2, 3}),

    {"layer_norm", layer_norm, &(const config){0}, false},
    CASE("layer_norm_wide", layer_norm, .norm = {.epsilon = 0.1, .no_bias = true}),
    CASE("layer_norm_bias", layer_norm, .norm = {.no_scale = true}),
    CASE("layer_norm_bare", layer_norm, .norm = {.no_scale = true, .no_bias = true}),
    {"rms_norm", rms_norm, &(const config){0}, false},
    CASE("rms_norm_bare", rms_norm, .norm = {.epsilon = 0.1, .no_scale = true}),
    CASE("rms_norm_exact", rms_norm, .norm = {.epsilon = TW_ZERO}),
    CASE("group_norm", group_norm, .size = 2),
    CASE("group_norm1d", group_norm, .size = 3, .norm = {.epsilon = 0.1, .no_bias = true}),
    CASE("group_norm_flat", group_norm, .size = 2, .norm = {.no_scale = true}),
    {"instance_norm", instance_norm, &(const config){0}, false},
    CASE("instance_norm1d", instance_norm,
         .norm = {.epsilon = 0.1, .no_scale = true, .no_bias = true}),

    {"batch_norm", batch_norm, &(const config){0}, true},
    TRAINED("batch_norm_flat", batch_norm, .batch = {.epsilon = 0.1, .momentum = 0.3}),
    TRAINED("batch_norm1d", batch_norm, .batch = {.no_scale = true}),
    TRAINED("batch_norm3d", batch_norm, .batch = {.no_scale = true, .no_bias = true}),
    {"batch_norm_eval", batch_norm, &(const config){0}, false},
    CASE("batch_norm_eval_bare", batch_norm,
         .batch = {.epsilon = 0.1, .no_scale = true, .no_bias = true}),
    TRAINED("batch_norm_frozen", batch_norm, .batch = {.frozen = true, .no_bias = true}),

    CASE("nearest1d", nearest, .window = {8}),
    CASE("nearest2d", nearest, .window = {3, 7}),
    CASE("nearest3d", nearest, .window = {4, 2, 2}),
    CASE("bilinear_up", bilinear, .window = {7, 6}),
    CASE("bilinear_up_corners", bilinear, .window = {7, 6}, .align_corners = true),
    CASE("bilinear_down", bilinear, .window = {3, 4}),
    CASE("bilinear_down_corners", bilinear, .window = {3, 4}, .align_corners = true),
    CASE("bilinear_one", bilinear, .window = {1, 3}),
    CASE("bilinear_one_corners", bilinear, .window = {1, 3}, .align_corners = true),
    {NULL, NULL, NULL, false},
};

int main(void) { return oracle_main("tests/golden/oracle_layers.safetensors", cases); }
