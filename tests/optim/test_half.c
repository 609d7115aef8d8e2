/* Updates of f16 and bf16 weights at sizes where factors and norms leave f16's range. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <thalweg/thalweg.h>

enum { BATCH = 40000, WIDTH = 4 };

static const tw_dtype halves[] = {TW_F16, TW_BF16};

/* w (4) from 0 after one step on the mean of ones (40000, 4) times w: its gradient is 1/4 each,
 * and 40000 each before the division by the number of elements. */
static double stepped(tw_dtype dtype, tw_optimizer how) {
    tw_context *context = tw_context_new(&(tw_context_opts){.threads = 1});
    tw_store *store = tw_store_new(context, NULL);
    tw_graph *g = tw_graph_new(context, store, TW_SYMBOLIC, &(tw_graph_opts){.training = true});
    tw_value x = tw_input(g, "x", dtype, TW_SHAPE(BATCH, WIDTH));
    tw_value w = tw_parameter(g, "w", dtype, TW_SHAPE(WIDTH), tw_zeros_init());
    tw_value loss = tw_mean(tw_mul(x, w));
    tw_minimize(loss, &how);
    tw_program *program = tw_compile(g, 1, &x, 1, &loss, NULL);
    if (!program) fail_msg("%s", tw_message(context));
    tw_tensor *in = tw_tensor_new(context, dtype, TW_SHAPE(BATCH, WIDTH)), *out = NULL;
    uint16_t *at = tw_tensor_map(in), bits[WIDTH];
    for (int i = 0; i < BATCH * WIDTH; i++) at[i] = dtype == TW_F16 ? 0x3c00 : 0x3f80;
    if (tw_run(program, &in, &out)) fail_msg("%s", tw_message(context));
    assert_int_equal(tw_tensor_get(tw_store_get(store, "w"), bits, sizeof bits), TW_OK);
    tw_graph *read = tw_graph_new(context, store, TW_IMMEDIATE, NULL);
    tw_value now = tw_constant_of(read, dtype, TW_SHAPE(WIDTH), bits);
    double found = tw_item(tw_mean(tw_cast(now, TW_F64)));
    tw_context_free(context);
    return found;
}

static void close_to(double found, double expected, tw_dtype dtype) {
    if (fabs(found - expected) > (dtype == TW_F16 ? 0.002 : 0.01) * fabs(expected))
        fail_msg("%s: w is %g, expected %g", tw_dtype_name(dtype), found, expected);
}

static void factors_of_large_batches(void **state) {
    (void)state;
    for (int k = 0; k < 2; k++) {
        close_to(stepped(halves[k], (tw_optimizer){.kind = TW_SGD, .rate = 0.01}), -0.0025,
                 halves[k]);
        close_to(stepped(halves[k], (tw_optimizer){.kind = TW_MOMENTUM, .rate = 0.01}), -0.0025,
                 halves[k]);
    }
}
static void norms(void **state) {
    (void)state;
    for (int k = 0; k < 2; k++)
        close_to(stepped(halves[k], (tw_optimizer){.rate = 0.01, .clip_norm = 0.1}), -0.0005,
                 halves[k]);
}
static void values(void **state) {
    (void)state;
    for (int k = 0; k < 2; k++)
        close_to(stepped(halves[k], (tw_optimizer){.rate = 0.01, .clip_value = 0.1}), -0.001,
                 halves[k]);
}
static void microbatches(void **state) {
    (void)state;
    for (int k = 0; k < 2; k++)
        close_to(stepped(halves[k], (tw_optimizer){.rate = 0.01, .microbatches = 4}), -0.0025,
                 halves[k]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(factors_of_large_batches),
        cmocka_unit_test(norms),
        cmocka_unit_test(values),
        cmocka_unit_test(microbatches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
