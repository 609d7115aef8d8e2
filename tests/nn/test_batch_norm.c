/* Batch norm's two modes, and its running statistics over several steps, modes and microbatches. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "support/numbers.h"

enum { BATCH = 8, CHANNELS = 3, STEPS = 3 };

static tw_context *context;
static tw_store *store;

static int setup(void **state) {
    (void)state;
    context = tw_context_new(NULL);
    store = tw_store_new(context, &(tw_store_opts){.seed = 3});
    return store ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    tw_context_free(context);
    return 0;
}

static tw_tensor *batch_at(int step) {
    return tensor_drawn(context, TW_F64, TW_SHAPE(BATCH, CHANNELS), 10 + (uint64_t)step, -1, 3);
}

/* What the running statistics are after STEPS steps from 0 and 1, by momentum 0.1. */
static void running(double *mean, double *variance) {
    for (int c = 0; c < CHANNELS; c++) mean[c] = 0, variance[c] = 1;
    for (int step = 0; step < STEPS; step++) {
        double x[BATCH * CHANNELS];
        numbers_of(batch_at(step), BATCH * CHANNELS, x);
        for (int c = 0; c < CHANNELS; c++) {
            double sum = 0, square = 0;
            for (int i = 0; i < BATCH; i++) sum += x[i * CHANNELS + c] / BATCH;
            for (int i = 0; i < BATCH; i++) square += pow(x[i * CHANNELS + c] - sum, 2);
            mean[c] = 0.9 * mean[c] + 0.1 * sum;
            variance[c] = 0.9 * variance[c] + 0.1 * square / (BATCH - 1);
        }
    }
}

static void check_running(const char *what) {
    double mean[CHANNELS], variance[CHANNELS], have[CHANNELS];
    running(mean, variance);
    assert_int_equal(numbers_at(store, "n/mean", CHANNELS, have), CHANNELS);
    assert_near(what, CHANNELS, have, mean, 1e-14);
    assert_int_equal(numbers_at(store, "n/variance", CHANNELS, have), CHANNELS);
    assert_near(what, CHANNELS, have, variance, 1e-14);
}

/* STEPS runs of one program; `batch` may be a symbol. */
static void run_symbolic(int64_t batch) {
    tw_graph *g = tw_graph_new(context, store, TW_SYMBOLIC, &(tw_graph_opts){.training = true});
    tw_value x = tw_input(g, "x", TW_F64, TW_SHAPE(batch, CHANNELS));
    tw_value y = tw_batch_norm(x, "n", NULL);
    tw_program *program = tw_compile(g, 1, &x, 1, &y, NULL);
    if (!program) fail_msg("%s", tw_message(context));
    for (int step = 0; step < STEPS; step++) {
        tw_tensor *in = batch_at(step), *out = NULL;
        if (tw_run(program, &in, &out)) fail_msg("%s", tw_message(context));
        double number[BATCH * CHANNELS], sum = 0;
        numbers_of(out, BATCH * CHANNELS, number);
        for (int i = 0; i < BATCH; i++) sum += number[i * CHANNELS];
        assert_true(fabs(sum) < 1e-12); /* the batch's own mean is gone */
    }
}

static void test_running(void **state) {
    (void)state;
    run_symbolic(BATCH);
    check_running("a number of examples");
}

static void test_running_symbolic(void **state) {
    (void)state;
    run_symbolic(tw_symbol(context, "n"));
    check_running("a symbol of examples");
}

static void test_running_immediate(void **state) {
    (void)state;
    tw_graph *g = tw_graph_new(context, store, TW_IMMEDIATE, &(tw_graph_opts){.training = true});
    for (int step = 0; step < STEPS; step++) {
        tw_tape_begin(g);
        tw_batch_norm(tw_constant(g, batch_at(step)), "n", NULL);
        assert_int_equal(tw_tape_end(g, 0, NULL), TW_OK);
    }
    check_running("line by line");
}

/* Evaluation: by the running statistics, which stay; also of a single example. */
static void test_evaluation(void **state) {
    (void)state;
    run_symbolic(BATCH);
    tw_graph *g = tw_graph_new(context, store, TW_SYMBOLIC, NULL);
    tw_value x = tw_input(g, "x", TW_F64, TW_SHAPE(1, CHANNELS));
    tw_value y = tw_batch_norm(x, "n", NULL);
    tw_program *program = tw_compile(g, 1, &x, 1, &y, NULL);
    const double number[CHANNELS] = {1, -2, 0.5};
    tw_tensor *in = tensor_of(context, TW_F64, TW_SHAPE(1, CHANNELS), number), *out = NULL;
    if (!program || tw_run(program, &in, &out)) fail_msg("%s", tw_message(context));
    double have[CHANNELS], want[CHANNELS], mean[CHANNELS], variance[CHANNELS];
    running(mean, variance);
    for (int c = 0; c < CHANNELS; c++) want[c] = (number[c] - mean[c]) / sqrt(variance[c] + 1e-5);
    numbers_of(out, CHANNELS, have);
    assert_near("evaluation", CHANNELS, have, want, 1e-14);
    check_running("after evaluation");
}

/* One step on 8 examples, in `parts`: the loss, and what the store holds then. */
static double step(int64_t batch, int parts, bool training, bool frozen, tw_status *status) {
    tw_graph *g = tw_graph_new(context, store, TW_SYMBOLIC, &(tw_graph_opts){.training = training});
    tw_value x = tw_input(g, "x", TW_F64, TW_SHAPE(batch, CHANNELS));
    tw_value h =
        tw_batch_norm(tw_dense(x, "fc", 4, NULL), "n", &(tw_batch_norm_opts){.frozen = frozen});
    tw_value loss = tw_mean(tw_square(tw_shift(tw_gelu(h), -0.3)));
    tw_minimize(loss, &(tw_optimizer){.kind = TW_SGD, .rate = 0.1, .microbatches = parts});
    *status = tw_graph_status(g);
    if (*status) return NAN;
    tw_program *program = tw_compile(g, 1, &x, 1, &loss, NULL);
    tw_tensor *in = batch_at(0), *out = NULL;
    double number;
    if (!program || tw_run(program, &in, &out)) fail_msg("%s", tw_message(context));
    numbers_of(out, 1, &number);
    return number;
}

static const char *const paths[] = {"fc/weight", "n/scale", "n/bias", "n/mean", "n/variance"};
enum { PATHS = 5, MOST = 16 };

/* A step on `batch` examples in `parts` leaves what one on 8 examples at once leaves. */
static void same_step(int64_t batch, int parts) {
    tw_status status;
    double loss = step(BATCH, 1, true, false, &status), want[PATHS][MOST], have[MOST];
    int n[PATHS];
    for (int i = 0; i < PATHS; i++) n[i] = numbers_at(store, paths[i], MOST, want[i]);
    store = tw_store_new(context, &(tw_store_opts){.seed = 3});
    double again = step(batch, parts, true, false, &status);
    assert_int_equal(status, TW_OK);
    assert_near("loss", 1, &again, &loss, 1e-13);
    for (int i = 0; i < PATHS; i++) {
        assert_int_equal(numbers_at(store, paths[i], MOST, have), n[i]);
        assert_near(paths[i], n[i], have, want[i], 1e-13);
    }
}

/* Statistics are those of the whole batch, however it is cut. */
static void test_microbatches(void **state) {
    (void)state;
    same_step(BATCH, 4);
}

static void test_symbolic_step(void **state) {
    (void)state;
    same_step(tw_symbol(context, "n"), 1);
}

static void test_minimize_wants_training(void **state) {
    (void)state;
    tw_status status;
    step(BATCH, 1, false, false, &status);
    assert_int_equal(status, TW_ERR_ARGUMENT);
    assert_non_null(strstr(tw_message(context), "tw_minimize: tw_batch_norm in scope \"n\""));
    step(BATCH, 1, false, true, &status);
    assert_int_equal(status, TW_OK);
}

/* Running statistics are no parameters. */
static void test_parameters(void **state) {
    (void)state;
    tw_graph *g = tw_graph_new(context, store, TW_SYMBOLIC, NULL);
    tw_value x = tw_input(g, "x", TW_F32, TW_SHAPE(2, CHANNELS)), found[4];
    tw_value y = tw_batch_norm(x, "n", NULL);
    assert_int_equal(tw_parameters(y, 4, found), 2);
    assert_string_equal(tw_path(found[0]), "n/scale");
    assert_string_equal(tw_path(found[1]), "n/bias");
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        EACH(test_running),
        EACH(test_running_symbolic),
        EACH(test_running_immediate),
        EACH(test_evaluation),
        EACH(test_microbatches),
        EACH(test_symbolic_step),
        EACH(test_minimize_wants_training),
        EACH(test_parameters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
