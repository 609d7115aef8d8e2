/* Primitives over the range of their options against another framework's numbers. */
#include <stddef.h>

#include "support/oracle.h"

#define CASE(NAME)                                                                                 \
    static void NAME(tw_graph *g, const tw_value *in, tw_value *out, const void *config)
#define ONE(NAME, expression)                                                                      \
    CASE(NAME) {                                                                                   \
        (void)g, (void)config;                                                                     \
        out[0] = (expression);                                                                     \
    }

ONE(rem, tw_rem(in[0], in[1]))
ONE(angle, tw_atan2(in[0], in[1]))
ONE(clamp, tw_clamp(in[0], -1, 0.5))
ONE(clamp_to, tw_clamp_to(in[0], in[1], in[2]))

ONE(sum, tw_reduce(TW_SUM, in[0], 2, (const int[]){-1, 0}, false))
ONE(prod, tw_reduce(TW_PROD, in[0], 2, (const int[]){0, 2}, false))
ONE(prod_axis, tw_prod_axis(in[0], -2, true))
ONE(max, tw_reduce(TW_MAX, in[0], 2, (const int[]){2, 1}, true))
ONE(min, tw_min_axis(in[0], -3, false))
CASE(arg) {
    (void)g, (void)config;
    out[0] = tw_argmin(in[0], 1);
    out[1] = tw_argmax(in[0], -1);
}

static const tw_cumulative_opts plain = {0}, back = {.reverse = true}, before = {.exclusive = true},
                                both = {.reverse = true, .exclusive = true};
ONE(cumulative_sum, tw_cumulative(TW_SUM, in[0], 1, config))
ONE(cumulative_prod, tw_cumulative(TW_PROD, in[0], 1, config))
ONE(cumulative_max, tw_cumulative(TW_MAX, in[0], 1, config))
ONE(cumulative_min, tw_cumulative(TW_MIN, in[0], -2, config))

CASE(sort) {
    (void)g, (void)config;
    out[0] = tw_sort(in[0], 1, false, &out[1]);
}
CASE(sort_down) {
    (void)g, (void)config;
    out[0] = tw_sort(in[0], -1, true, &out[1]);
}
ONE(argsort, tw_argsort(in[0], 0, false))
CASE(top_k) {
    (void)g, (void)config;
    out[0] = tw_top_k(in[0], 3, &out[1]);
}

ONE(dynamic_slice, tw_dynamic_slice(in[0], in[1], TW_SHAPE(2, 3, 1)))
ONE(dynamic_update, tw_dynamic_update_slice(in[0], in[1], in[2]))
ONE(slice_step, tw_slice_step(in[0], 1, 1, 4, 2))
ONE(slice_back, tw_slice_step(in[0], -2, -1, TW_TO_END, -2))
ONE(scatter_add, tw_scatter_add(in[0], in[1], in[2]))
ONE(scatter_max, tw_scatter_max(in[0], in[1], in[2]))
ONE(scatter_set, tw_scatter_set(in[0], in[1], in[2]))

ONE(conv, tw_conv(in[0], in[1], config))
static const tw_conv_opts conv1 = {
    .stride = {2}, .low = {1}, .high = {3}, .dilation = {2}, .base_dilation = {3}};
static const tw_conv_opts conv1_groups = {.groups = 2, .high = {1}};
static const tw_conv_opts conv2 = {
    .stride = {2, 1}, .low = {1, 0}, .high = {2, 1}, .dilation = {1, 2}};
static const tw_conv_opts conv2_base = {
    .base_dilation = {2, 3}, .stride = {1, 2}, .low = {2, 0}, .high = {0, 1}};
static const tw_conv_opts depthwise = {.groups = 3, .low = {1, 1}, .high = {1, 1}};
static const tw_conv_opts conv3 = {.stride = {1, 2, 1},
                                   .low = {0, 1, 2},
                                   .high = {1, 1, 0},
                                   .dilation = {2, 1, 1},
                                   .base_dilation = {1, 1, 2}};

ONE(max_pool, tw_max_pool(in[0], config))
ONE(average_pool, tw_average_pool(in[0], config))
static const tw_pool_opts max1 = {
    .window = {3}, .stride = {2}, .low = {1}, .high = {2}, .dilation = {2}};
static const tw_pool_opts max2 = {
    .window = {2, 3}, .stride = {2, 1}, .low = {0, 2}, .high = {1, 1}, .dilation = {3, 2}};
static const tw_pool_opts max3 = {
    .window = {2, 2, 2}, .stride = {1, 2, 2}, .low = {1, 0, 1}, .high = {0}, .dilation = {1, 2, 1}};
static const tw_pool_opts average1 = {.window = {3}, .high = {2}};
static const tw_pool_opts average2 = {
    .window = {2, 3}, .stride = {2, 2}, .low = {1, 2}, .high = {1, 0}, .dilation = {2, 2}};
static const tw_pool_opts average3 = {.window = {2, 3, 2},
                                      .stride = {1, 1, 2},
                                      .low = {0, 1, 1},
                                      .high = {1, 0, 0},
                                      .dilation = {1, 1, 3}};

static const oracle_case cases[] = {
    {"rem", rem, NULL, false},
    {"atan2", angle, NULL, false},
    {"clamp", clamp, NULL, false},
    {"clamp_to", clamp_to, NULL, false},
    {"sum", sum, NULL, false},
    {"prod", prod, NULL, false},
    {"prod_axis", prod_axis, NULL, false},
    {"max", max, NULL, false},
    {"min", min, NULL, false},
    {"arg", arg, NULL, false},
    {"cumulative_sum", cumulative_sum, &plain, false},
    {"cumulative_sum_back", cumulative_sum, &back, false},
    {"cumulative_sum_both", cumulative_sum, &both, false},
    {"cumulative_prod", cumulative_prod, &plain, false},
    {"cumulative_prod_before", cumulative_prod, &before, false},
    {"cumulative_prod_back", cumulative_prod, &back, false},
    {"cumulative_max", cumulative_max, &plain, false},
    {"cumulative_min_back", cumulative_min, &back, false},
    {"sort", sort, NULL, false},
    {"sort_down", sort_down, NULL, false},
    {"argsort", argsort, NULL, false},
    {"top_k", top_k, NULL, false},
    {"dynamic_slice", dynamic_slice, NULL, false},
    {"dynamic_update", dynamic_update, NULL, false},
    {"slice_step", slice_step, NULL, false},
    {"slice_back", slice_back, NULL, false},
    {"scatter_add", scatter_add, NULL, false},
    {"scatter_max", scatter_max, NULL, false},
    {"scatter_set", scatter_set, NULL, false},
    {"conv1", conv, &conv1, false},
    {"conv1_groups", conv, &conv1_groups, false},
    {"conv2", conv, &conv2, false},
    {"conv2_base", conv, &conv2_base, false},
    {"conv2_depthwise", conv, &depthwise, false},
    {"conv3", conv, &conv3, false},
    {"max1", max_pool, &max1, false},
    {"max2", max_pool, &max2, false},
    {"max3", max_pool, &max3, false},
    {"average1", average_pool, &average1, false},
    {"average2", average_pool, &average2, false},
    {"average3", average_pool, &average3, false},
    {NULL, NULL, NULL, false},
};

int main(void) { return oracle_main("tests/golden/oracle_primitives.safetensors", cases); }
