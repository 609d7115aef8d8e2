/* One step through every kind of layer leaves the same variables however the batch is cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "support/numbers.h"

enum { BATCH = 8, VARIABLES = 32, MOST = 256 };

static tw_value model(tw_value x) {
    const int64_t window[] = {3, 3}, wide[] = {7, 6}, small[] = {3, 2}, near[] = {5, 4};
    tw_conv_transpose_layer_opts up = {.conv = {.stride = {2, 2}, .same = true}};
    tw_conv_layer_opts same = {.conv = {.same = true}};
    tw_value h = tw_conv_transpose_layer(x, "up", 4, window, &up);
    h = tw_gelu(tw_group_norm(h, "group", 2, NULL));
    h = tw_hard_swish(tw_depthwise_conv_layer(h, "deep", 1, window, &same));
    h = tw_instance_norm(tw_resize_bilinear(h, wide, false), "instance", NULL);
    h = tw_prelu(tw_resize_nearest(h, near), "act");
    tw_value pooled = tw_adaptive_max_pool(tw_softplus(h), small);
    h = tw_add(tw_adaptive_average_pool(tw_silu(h), small), pooled);
    h = tw_layer_norm(tw_elu(tw_batch_norm(h, "batch", NULL), 0.7), "layer", NULL);
    h = tw_rms_norm(tw_add(tw_global_average_pool(h), tw_global_max_pool(h)), "rms", NULL);
    return tw_mean(tw_square(tw_dense(tw_gelu_tanh(h), "out", 2, NULL)));
}

/* The variables after a step, in the store's order. */
static int step(tw_context *context, int parts, double after[][MOST], int *n) {
    tw_store *store = tw_store_new(context, &(tw_store_opts){.seed = 5});
    tw_graph *g = tw_graph_new(context, store, TW_SYMBOLIC, &(tw_graph_opts){.training = true});
    tw_value x = tw_input(g, "x", TW_F64, TW_SHAPE(BATCH, 4, 3, 2)), loss = model(x);
    tw_minimize(loss, &(tw_optimizer){.kind = TW_SGD, .rate = 0.1, .microbatches = parts});
    tw_program *program = tw_compile(g, 1, &x, 1, &loss, NULL);
    tw_tensor *in = tensor_drawn(context, TW_F64, TW_SHAPE(BATCH, 4, 3, 2), 7, -2, 2), *out = NULL;
    if (!program || tw_run(program, &in, &out)) fail_msg("%s", tw_message(context));
    int count = tw_store_size(store);
    assert_in_range(count, 18, VARIABLES - 1);
    for (int i = 0; i < count; i++)
        n[i] = numbers_at(store, tw_store_path(store, i), MOST, after[i]);
    n[count] = numbers_of(out, MOST, after[count]);
    return count;
}

static void test_parts(void **state) {
    (void)state;
    static double whole[VARIABLES][MOST], cut[VARIABLES][MOST];
    int n[VARIABLES], m[VARIABLES];
    tw_context *context = tw_context_new(NULL);
    int count = step(context, 1, whole, n);
    for (int parts = 2; parts <= BATCH; parts *= 2) {
        assert_int_equal(step(context, parts, cut, m), count);
        for (int i = 0; i <= count; i++) {
            assert_int_equal(m[i], n[i]);
            assert_near("after the step", n[i], cut[i], whole[i], 1e-12);
        }
    }
    tw_context_free(context);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_parts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
