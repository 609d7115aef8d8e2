/* Layers and losses against the same sums done in double. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "support/numbers.h"

static tw_context *context;
static tw_store *store;
static tw_graph *graph;

static int setup(void **state) {
    (void)state;
    context = tw_context_new(NULL);
    store = tw_store_new(context, &(tw_store_opts){.seed = 2});
    graph = tw_graph_new(context, store, TW_SYMBOLIC, &(tw_graph_opts){.training = true});
    return graph ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    tw_context_free(context);
    return 0;
}

static int run(int n, const tw_value *in, tw_tensor **data, tw_value out, int capacity,
               double *number) {
    tw_program *program = tw_compile(graph, n, in, 1, &out, NULL);
    tw_tensor *result = NULL;
    if (!program || tw_run(program, data, &result)) fail_msg("%s", tw_message(context));
    int count = numbers_of(result, capacity, number);
    tw_tensor_free(result);
    tw_program_free(program);
    return count;
}

static void test_dense(void **state) {
    (void)state;
    enum { ROWS = 6, IN = 3, OUT = 4 };
    tw_value x = tw_input(graph, "x", TW_F64, TW_SHAPE(2, 3, IN));
    tw_dense_opts opts = {.weight = tw_normal(1), .relu = true};
    tw_value y = tw_dense(x, "fc", OUT, &opts);
    tw_tensor *data = tensor_drawn(context, TW_F64, TW_SHAPE(2, 3, IN), 1, -1, 1);
    double w[IN * OUT], b[OUT], in[ROWS * IN], out[ROWS * OUT], want[ROWS * OUT];
    assert_int_equal(run(1, &x, &data, y, ROWS * OUT, out), ROWS * OUT);
    assert_int_equal(numbers_at(store, "fc/weight", IN * OUT, w), IN * OUT);
    assert_int_equal(numbers_at(store, "fc/bias", OUT, b), OUT);
    numbers_of(data, ROWS * IN, in);
    for (int r = 0; r < ROWS; r++)
        for (int o = 0; o < OUT; o++) {
            double sum = b[o];
            for (int i = 0; i < IN; i++) sum += in[r * IN + i] * w[i * OUT + o];
            want[r * OUT + o] = fmax(sum, 0);
        }
    assert_near("dense", ROWS * OUT, out, want, 1e-14);
    tw_shape shape = tw_shape_of(y);
    assert_int_equal(shape.rank, 3);
    assert_int_equal(shape.dim[2], OUT);
    tw_value one = tw_dense(x, "bare", 1, &(tw_dense_opts){.no_bias = true}), w1[4];
    assert_int_equal(tw_parameters(one, 4, w1), 1);
    assert_string_equal(tw_path(w1[0]), "bare/weight");
}

/* Stride 2, padding 1: y[o] = relu(b + sum x[2 o + k - 1] w[k]) in one spatial dimension. */
static void test_conv(void **state) {
    (void)state;
    enum { N = 2, LONG = 7, IN = 3, OUT = 2, OUTPUTS = 4 };
    const int64_t window[] = {3};
    tw_value x = tw_input(graph, "x", TW_F64, TW_SHAPE(N, LONG, IN));
    tw_conv_layer_opts opts = {.conv = {.stride = {2}, .low = {1}, .high = {1}, .relu = true}};
    tw_value y = tw_conv_layer(x, "conv", OUT, window, &opts);
    tw_tensor *data = tensor_drawn(context, TW_F64, TW_SHAPE(N, LONG, IN), 1, -1, 1);
    double w[3 * IN * OUT], in[N * LONG * IN], out[N * OUTPUTS * OUT], want[N * OUTPUTS * OUT];
    assert_int_equal(run(1, &x, &data, y, N * OUTPUTS * OUT, out), N * OUTPUTS * OUT);
    assert_int_equal(numbers_at(store, "conv/weight", 3 * IN * OUT, w), 3 * IN * OUT);
    assert_int_equal(numbers_at(store, "conv/bias", 0, NULL), OUT);
    numbers_of(data, N * LONG * IN, in);
    for (int n = 0; n < N; n++)
        for (int o = 0; o < OUTPUTS; o++)
            for (int f = 0; f < OUT; f++) {
                double sum = 0;
                for (int k = 0; k < 3; k++)
                    for (int c = 0; c < IN; c++) {
                        int at = 2 * o + k - 1;
                        if (at < 0 || at >= LONG) continue;
                        sum += in[(n * LONG + at) * IN + c] * w[(k * IN + c) * OUT + f];
                    }
                want[(n * OUTPUTS + o) * OUT + f] = fmax(sum, 0);
            }
    assert_near("conv", N * OUTPUTS * OUT, out, want, 1e-14);
    /* Without a bias the activation stays. */
    opts.no_bias = true;
    tw_value bare = tw_conv_layer(x, "conv", OUT, window, &opts);
    assert_int_equal(run(1, &x, &data, bare, N * OUTPUTS * OUT, out), N * OUTPUTS * OUT);
    assert_near("conv without bias", N * OUTPUTS * OUT, out, want, 1e-14);
    assert_int_equal(
        tw_shape_of(tw_conv_layer(x, "same", 5, window,
                                  &(tw_conv_layer_opts){.conv = {.same = true, .stride = {2}}}))
            .dim[1],
        4);
}

static void test_embedding(void **state) {
    (void)state;
    tw_value at = tw_input(graph, "at", TW_I64, TW_SHAPE(2, 2));
    tw_value y = tw_embedding(at, "words", 4, 3, NULL);
    const double index[] = {3, -1, 0, 3};
    tw_tensor *data = tensor_of(context, TW_I64, TW_SHAPE(2, 2), index);
    double table[12], out[12], want[12] = {0};
    assert_int_equal(run(1, &at, &data, y, 12, out), 12);
    assert_int_equal(numbers_at(store, "words/weight", 12, table), 12);
    for (int i = 0; i < 4; i++)
        for (int c = 0; c < 3; c++)
            want[i * 3 + c] = index[i] < 0 ? 0 : table[(int)index[i] * 3 + c];
    assert_near("embedding", 12, out, want, 0);
    tw_program *program = tw_compile(graph, 1, &at, 1, &y, NULL);
    const double past[] = {0, 1, 4, 0};
    tw_tensor *wrong = tensor_of(context, TW_I64, TW_SHAPE(2, 2), past), *result = NULL;
    assert_int_equal(tw_run(program, &wrong, &result), TW_ERR_INDEX);
}

static void test_dropout(void **state) {
    (void)state;
    enum { MANY = 20000 };
    static double out[MANY], again[MANY];
    tw_value x = tw_input(graph, "x", TW_F32, TW_SHAPE(MANY));
    tw_value y = tw_dropout(x, 0.25, NULL);
    tw_tensor *data = tensor_drawn(context, TW_F32, TW_SHAPE(MANY), 1, 1, 1);
    assert_int_equal(run(1, &x, &data, y, MANY, out), MANY);
    int kept = 0;
    for (int i = 0; i < MANY; i++) {
        assert_true(out[i] == 0 || fabs(out[i] - 1 / 0.75) < 1e-6);
        kept += out[i] != 0;
    }
    /* Binomial: the deviation is 61. */
    assert_in_range(kept, 15000 - 300, 15000 + 300);
    run(1, &x, &data, y, MANY, again);
    assert_memory_not_equal(out, again, sizeof out); /* the next run draws anew */
    tw_graph *evaluation = tw_graph_new(context, store, TW_SYMBOLIC, NULL);
    tw_value z = tw_input(evaluation, "x", TW_F32, TW_SHAPE(3));
    assert_int_equal(tw_dropout(z, 0.25, NULL).id, z.id);
    assert_false(tw_ok(tw_dropout(z, 1, NULL)));
    assert_int_equal(tw_graph_status(evaluation), TW_ERR_ARGUMENT);
}

/* A step with dropout of that rate, in a graph whose training is off. */
static tw_status step_untrained(tw_mode mode, const char *scope, double rate, bool minimize) {
    tw_graph *g = tw_graph_new(context, store, mode, NULL);
    const double one[] = {1, 2, 3};
    tw_tape_begin(g);
    tw_value x = mode == TW_IMMEDIATE
                     ? tw_constant(g, tensor_of(context, TW_F32, TW_SHAPE(1, 3), one))
                     : tw_input(g, "x", TW_F32, TW_SHAPE(1, 3));
    if (scope) tw_scope_begin(g, "%s", scope);
    tw_value h = tw_dropout(tw_dropout(x, 0, NULL), rate, NULL);
    if (scope) tw_scope_end(g);
    h = tw_dropout(tw_dense(h, "untrained", 2, NULL), rate, NULL);
    if (minimize) tw_minimize(tw_mean(h), NULL);
    tw_status status = tw_graph_status(g);
    if (mode == TW_IMMEDIATE) {
        assert_int_equal(tw_tape_end(g, 0, NULL), status);
        /* What a tape left out ends with it. */
        tw_tape_begin(g);
        tw_value w = tw_parameter(g, "w", TW_F32, TW_SHAPE(), tw_constant_init(1));
        tw_minimize(tw_square(w), NULL);
        assert_int_equal(tw_tape_end(g, 0, NULL), TW_OK);
    }
    tw_graph_free(g);
    return status;
}

static void untrained_model(tw_graph *g, const tw_value *in, tw_value *out, const void *config) {
    (void)g, (void)config;
    out[0] = tw_mean(tw_dropout(tw_dense(in[0], "untrained", 2, NULL), 0.5, NULL));
    tw_minimize(out[0], NULL);
}

static void test_minimize_wants_training(void **state) {
    (void)state;
    for (int mode = TW_SYMBOLIC; mode <= TW_IMMEDIATE; mode++) {
        assert_int_equal(step_untrained((tw_mode)mode, "h0", 0, true), TW_OK);
        assert_int_equal(step_untrained((tw_mode)mode, "h0", 0.5, false), TW_OK);
    }
    assert_int_equal(step_untrained(TW_IMMEDIATE, "h0", 0.5, true), TW_ERR_ARGUMENT);
    assert_int_equal(step_untrained(TW_SYMBOLIC, NULL, 0.5, true), TW_ERR_ARGUMENT);
    assert_non_null(strstr(tw_message(context), "tw_minimize: tw_dropout in the top scope"));
    assert_int_equal(step_untrained(TW_SYMBOLIC, "h0", 0.5, true), TW_ERR_ARGUMENT);
    assert_string_equal(tw_message(context),
                        "tw_minimize: tw_dropout in scope \"h0\" does nothing, as training is off "
                        "in this graph; set .training in tw_graph_opts or tw_jit_opts");
    /* The same model, jitted: refused without training, run with it. */
    const double one[] = {1, 2, 3};
    tw_tensor *x = tensor_of(context, TW_F32, TW_SHAPE(1, 3), one), *loss = NULL;
    tw_jit *off = tw_jit_new(context, store, untrained_model, 1, 1, NULL, 0, NULL);
    assert_int_equal(tw_jit_run(off, &x, &loss), TW_ERR_ARGUMENT);
    assert_non_null(strstr(tw_message(context), "training is off"));
    tw_jit *on = tw_jit_new(context, store, untrained_model, 1, 1, NULL, 0,
                            &(tw_jit_opts){.training = true});
    if (tw_jit_run(on, &x, &loss)) fail_msg("%s", tw_message(context));
}

static void test_cross_entropy(void **state) {
    (void)state;
    enum { ROWS = 6, CLASSES = 4 };
    tw_value in[] = {tw_input(graph, "x", TW_F64, TW_SHAPE(2, 3, CLASSES)),
                     tw_input(graph, "label", TW_I32, TW_SHAPE(2, 3))};
    const double label[ROWS] = {0, 3, -1, 2, 2, -5};
    tw_tensor *data[] = {tensor_drawn(context, TW_F64, TW_SHAPE(2, 3, CLASSES), 1, -30, 30),
                         tensor_of(context, TW_I32, TW_SHAPE(2, 3), label)};
    double x[ROWS * CLASSES], out, sum = 0, count = 0;
    numbers_of(data[0], ROWS * CLASSES, x);
    for (int r = 0; r < ROWS; r++) {
        double total = 0;
        for (int c = 0; c < CLASSES; c++) total += exp(x[r * CLASSES + c]);
        if (label[r] < 0) continue;
        sum += log(total) - x[r * CLASSES + (int)label[r]];
        count++;
    }
    double want = sum / count;
    run(2, in, data, tw_cross_entropy(in[0], in[1], NULL), 1, &out);
    assert_near("cross entropy", 1, &out, &want, 1e-14);
    /* u8 labels, as files of images have them. */
    const double bytes[ROWS] = {0, 3, 1, 2, 2, 0};
    tw_value small[] = {in[0], tw_input(graph, "small", TW_U8, TW_SHAPE(2, 3))};
    tw_tensor *pair[] = {data[0], tensor_of(context, TW_U8, TW_SHAPE(2, 3), bytes)};
    run(2, small, pair, tw_cross_entropy(small[0], small[1], NULL), 1, &out);
    assert_true(isfinite(out));
}

static void test_other_losses(void **state) {
    (void)state;
    tw_value in[] = {tw_input(graph, "x", TW_F64, TW_SHAPE(3, 2)),
                     tw_input(graph, "y", TW_F64, TW_SHAPE(3, 2)),
                     tw_input(graph, "label", TW_I32, TW_SHAPE(3))};
    const double x[] = {1, 2, 3, -1, 0.5, 0.25}, y[] = {1, 0, 2, -1, 1, 0}, label[] = {1, 0, 1};
    tw_tensor *data[] = {tensor_of(context, TW_F64, TW_SHAPE(3, 2), x),
                         tensor_of(context, TW_F64, TW_SHAPE(3, 2), y),
                         tensor_of(context, TW_I32, TW_SHAPE(3), label)};
    double out, want = 0, correct = 2;
    for (int i = 0; i < 6; i++) want += (x[i] - y[i]) * (x[i] - y[i]) / 6;
    run(2, in, data, tw_mse(in[0], in[1]), 1, &out);
    assert_near("mse", 1, &out, &want, 1e-15);
    const tw_value answer[] = {in[0], in[2]};
    tw_tensor *given[] = {data[0], data[2]};
    tw_value right = tw_correct(in[0], in[2]);
    assert_int_equal(tw_dtype_of(right), TW_I32);
    run(2, answer, given, right, 1, &out);
    assert_near("correct", 1, &out, &correct, 0);
    /* (3, 1) against (3, 2) broadcasts, but is no loss. */
    assert_false(tw_ok(tw_mse(tw_slice(in[0], 1, 0, 1), in[1])));
    assert_int_equal(tw_graph_status(graph), TW_ERR_SHAPE);
}

static void test_errors(void **state) {
    (void)state;
    tw_value scalar = tw_full(graph, TW_F32, TW_SHAPE(), 1);
    assert_false(tw_ok(tw_dense(scalar, "fc", 3, NULL)));
    assert_int_equal(tw_graph_status(graph), TW_ERR_ARGUMENT);
    assert_non_null(strstr(tw_message(context), "fc"));
    tw_graph *other = tw_graph_new(context, store, TW_SYMBOLIC, NULL);
    tw_value x = tw_input(other, "x", TW_F32, TW_SHAPE(2, 3));
    assert_false(tw_ok(tw_dense(x, NULL, 3, NULL)));
    assert_non_null(strstr(tw_message(context), "name"));
    /* After the first error everything is poisoned and nothing crashes. */
    tw_value bad = tw_conv_layer(tw_dense(x, "a", 2, NULL), "b", 2, NULL, NULL);
    assert_false(tw_ok(tw_cross_entropy(tw_max_pool(bad, NULL), bad, NULL)));
    tw_minimize(bad, NULL);
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        EACH(test_dense),
        EACH(test_conv),
        EACH(test_embedding),
        EACH(test_dropout),
        EACH(test_minimize_wants_training),
        EACH(test_cross_entropy),
        EACH(test_other_losses),
        EACH(test_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
