/* Layers and functions over spatial axes refuse what they cannot serve, by a message that says so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <thalweg/thalweg.h>

static const int64_t window[3] = {3, 3, 3}, none[3] = {0, 0, 0};

/* x (2,5,4,6) f32, flat (2,6), scalar, whole (2,5,4,6) i32, open (2,h,4,6) with a symbol. */
typedef struct values {
    tw_value x, flat, scalar, whole, open;
} values;

#define REFUSAL(name, expression)                                                                  \
    static tw_value name(const values *v) { return expression; }
REFUSAL(conv_rank, tw_conv_layer(v->flat, "c", 3, window, NULL))
REFUSAL(conv_window, tw_conv_layer(v->x, "c", 3, NULL, NULL))
REFUSAL(conv_name, tw_conv_layer(v->x, "", 3, window, NULL))
REFUSAL(conv_groups, tw_conv_layer(v->x, "c", 3, window, &(tw_conv_layer_opts){.conv.groups = 4}))
REFUSAL(conv_filters, tw_conv_layer(v->x, "c", 0, window, NULL))
REFUSAL(depthwise_rank, tw_depthwise_conv_layer(v->flat, "c", 1, window, NULL))
REFUSAL(depthwise_multiplier, tw_depthwise_conv_layer(v->x, "c", 0, window, NULL))
REFUSAL(depthwise_groups,
        tw_depthwise_conv_layer(v->x, "c", 1, window, &(tw_conv_layer_opts){.conv.groups = 2}))
REFUSAL(transpose_rank, tw_conv_transpose_layer(v->flat, "c", 3, window, NULL))
REFUSAL(transpose_groups,
        tw_conv_transpose_layer(v->x, "c", 5, window,
                                &(tw_conv_transpose_layer_opts){.conv.groups = 2}))
REFUSAL(transpose_channels, tw_conv_transpose(v->x, tw_slice(v->x, 3, 0, 2), NULL))
REFUSAL(transpose_operands, tw_conv_transpose(v->x, v->flat, NULL))
REFUSAL(transpose_extra,
        tw_conv_transpose_layer(v->x, "c", 3, window,
                                &(tw_conv_transpose_layer_opts){.conv.output_padding = {0, 1}}))
REFUSAL(transpose_padding,
        tw_conv_transpose_layer(v->x, "c", 3, window,
                                &(tw_conv_transpose_layer_opts){.conv.low = {0, 9}}))
REFUSAL(transpose_stride,
        tw_conv_transpose_layer(v->x, "c", 3, window,
                                &(tw_conv_transpose_layer_opts){.conv.stride = {-1}}))
REFUSAL(global_rank, tw_global_average_pool(v->flat))
REFUSAL(global_max_rank, tw_global_max_pool(v->flat))
REFUSAL(adaptive_extent, tw_adaptive_average_pool(v->x, none))
REFUSAL(adaptive_absent, tw_adaptive_max_pool(v->x, NULL))
REFUSAL(adaptive_symbol, tw_adaptive_max_pool(v->open, window))
REFUSAL(adaptive_type, tw_adaptive_max_pool(v->whole, window))
REFUSAL(nearest_rank, tw_resize_nearest(v->flat, window))
REFUSAL(nearest_symbol, tw_resize_nearest(v->open, window))
REFUSAL(bilinear_rank, tw_resize_bilinear(tw_reshape(v->x, TW_SHAPE(2, 20, 6)), window, false))
REFUSAL(layer_norm_scalar, tw_layer_norm(v->scalar, "n", NULL))
REFUSAL(layer_norm_type, tw_layer_norm(v->whole, "n", NULL))
REFUSAL(layer_norm_name, tw_layer_norm(v->x, NULL, NULL))
REFUSAL(layer_norm_epsilon, tw_layer_norm(v->x, "n", &(tw_norm_opts){.epsilon = -1}))
REFUSAL(rms_norm_scalar, tw_rms_norm(v->scalar, "n", NULL))
REFUSAL(group_norm_groups, tw_group_norm(v->x, "n", 4, NULL))
REFUSAL(group_norm_zero, tw_group_norm(v->x, "n", 0, NULL))
REFUSAL(instance_norm_rank, tw_instance_norm(v->flat, "n", NULL))
REFUSAL(batch_norm_scalar, tw_batch_norm(v->scalar, "n", NULL))
REFUSAL(batch_norm_one, tw_batch_norm(tw_slice(v->flat, 0, 0, 1), "n", NULL))
REFUSAL(batch_norm_momentum, tw_batch_norm(v->x, "n", &(tw_batch_norm_opts){.momentum = -0.5}))
REFUSAL(prelu_scalar, tw_prelu(v->scalar, "p"))
REFUSAL(gelu_type, tw_gelu(v->whole))
REFUSAL(average_pool_rank, tw_average_pool(v->flat, &(tw_pool_opts){.window = {2}}))

static const struct {
    tw_value (*build)(const values *v);
    const char *says;
} refusals[] = {
    {conv_rank, "tw_conv_layer \"c\": x has rank 2, expected (batch, space..., in)"},
    {conv_window, "and a window"},
    {conv_name, "tw_conv_layer needs a name"},
    {conv_groups, "convolution \"c\": 4 groups of 6 channels, which they must divide"},
    {conv_filters, "and 0 filters, expected at least 1"},
    {depthwise_rank, "tw_depthwise_conv_layer \"c\": x has rank 2"},
    {depthwise_multiplier, "6 channels times 0"},
    {depthwise_groups, "2 groups for 6 channels; leave groups at 0"},
    {transpose_rank, "tw_conv_transpose_layer \"c\": x has rank 2"},
    {transpose_groups, "5 filters in 2 groups"},
    {transpose_channels, "x has 6 channels and w takes 2"},
    {transpose_operands, "x of rank 4 and w of rank 2"},
    {transpose_extra, "output_padding 1 at spatial axis 1, expected at least 0 and less than the"},
    {transpose_padding, "spatial axis 1 has no extent"},
    {transpose_stride, "stride -1"},
    {global_rank, "tw_global_average_pool: x has rank 2"},
    {global_max_rank, "tw_global_max_pool: x has rank 2"},
    {adaptive_extent, "tw_adaptive_average_pool: spatial axis 0 from 5 to 0 elements"},
    {adaptive_absent, "an extent for each"},
    {adaptive_symbol, "tw_adaptive_max_pool: the extent of spatial axis 0 is a symbol"},
    {adaptive_type, "x is i32"},
    {nearest_rank, "with 1 to 3 spatial axes"},
    {nearest_symbol, "tw_resize_nearest: the extent of spatial axis 0 is a symbol"},
    {bilinear_rank, "with 2 to 2 spatial axes"},
    {layer_norm_scalar, "tw_layer_norm \"n\": x has rank 0, expected at least 1"},
    {layer_norm_type, "i32"},
    {layer_norm_name, "tw_layer_norm needs a name"},
    {layer_norm_epsilon, "epsilon is -1, expected a positive number, 0 for 1e-05, or TW_ZERO"},
    {rms_norm_scalar, "tw_rms_norm \"n\": x has rank 0"},
    {group_norm_groups, "4 groups do not divide the 6 channels"},
    {group_norm_zero, "0 groups, expected at least 1"},
    {instance_norm_rank, "tw_instance_norm \"n\": x has rank 2"},
    {batch_norm_scalar, "tw_batch_norm \"n\": x has rank 0"},
    {batch_norm_one, "1 elements for each channel, expected at least 2 in training"},
    {batch_norm_momentum, "momentum is -0.5"},
    {prelu_scalar, "tw_prelu \"p\": x is a scalar"},
    {gelu_type, "gelu in scope \"outer\": operand 0 is i32, expected f32 or f64"},
    {average_pool_rank, "tw_average_pool: x of rank 2"},
};

static void test_refusals(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        tw_context *context = tw_context_new(NULL);
        tw_store *store = tw_store_new(context, NULL);
        tw_graph *g = tw_graph_new(context, store, TW_SYMBOLIC, &(tw_graph_opts){.training = true});
        assert_non_null(g);
        int64_t height = tw_symbol(context, "h");
        const values v = {tw_input(g, "x", TW_F32, TW_SHAPE(2, 5, 4, 6)),
                          tw_input(g, "flat", TW_F32, TW_SHAPE(2, 6)),
                          tw_input(g, "scalar", TW_F32, TW_SHAPE()),
                          tw_input(g, "whole", TW_I32, TW_SHAPE(2, 5, 4, 6)),
                          tw_input(g, "open", TW_F32, TW_SHAPE(2, height, 4, 6))};
        tw_scope_begin(g, "outer");
        if (tw_ok(refusals[i].build(&v))) fail_msg("accepted: %s", refusals[i].says);
        assert_true(tw_graph_status(g) < 0);
        if (!strstr(tw_message(context), refusals[i].says))
            fail_msg("\"%s\" is not in \"%s\"", refusals[i].says, tw_message(context));
        /* The layer has left its scope, and a value that failed goes on failing quietly. */
        tw_scope_end(g);
        assert_true(strstr(tw_message(context), "scope is") == NULL);
        assert_false(tw_ok(tw_gelu(tw_layer_norm(refusals[i].build(&v), "after", NULL))));
        tw_context_free(context);
    }
}

/* Window functions keep a symbolic batch and, where they can, a symbolic space. */
static void test_symbols(void **state) {
    (void)state;
    tw_context *context = tw_context_new(NULL);
    tw_store *store = tw_store_new(context, NULL);
    tw_graph *g = tw_graph_new(context, store, TW_SYMBOLIC, &(tw_graph_opts){.training = true});
    int64_t n = tw_symbol(context, "n"), h = tw_symbol(context, "h");
    tw_value x = tw_input(g, "x", TW_F32, TW_SHAPE(n, h, 4, 6));
    const tw_value y[] = {
        tw_conv_transpose_layer(
            x, "t", 3, window,
            &(tw_conv_transpose_layer_opts){.conv = {.stride = {2, 2}, .same = true}}),
        tw_batch_norm(x, "b", NULL),
        tw_group_norm(x, "g", 2, NULL),
        tw_global_average_pool(x),
        tw_average_pool(x, &(tw_pool_opts){.window = {3, 3},
                                           .stride = {1, 1},
                                           .low = {1, 1},
                                           .high = {1, 1},
                                           .exclude_padding = true}),
    };
    if (tw_graph_status(g)) fail_msg("%s", tw_message(context));
    assert_int_equal(tw_shape_of(y[0]).dim[0], n);
    assert_int_equal(tw_shape_of(y[0]).dim[1], tw_dim_mul(context, h, 2));
    assert_int_equal(tw_shape_of(y[0]).dim[2], 8);
    for (int i = 1; i < 5; i++) assert_int_equal(tw_shape_of(y[i]).dim[0], n);
    assert_int_equal(tw_shape_of(y[1]).dim[1], h);
    assert_int_equal(tw_shape_of(y[3]).rank, 2);
    assert_int_equal(tw_shape_of(y[4]).dim[1], h);
    tw_context_free(context);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_symbols),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
