/*
 * Twenty steps of every optimiser, and fifty rates of every schedule, against PyTorch's numbers
 * (scripts/oracle_optimizers.py).
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "support/numbers.h"

enum { STEPS = 20, LONG = 50, MOST = 32 };
static const char file[] = "tests/golden/oracle_optimizers.safetensors";
/* The stored numbers are rounded to f32, so that f64 cannot come closer. */
static const double TOLERANCE_F32 = 1e-5, TOLERANCE_F64 = 1e-7;

typedef struct row {
    const char *name;
    tw_optimizer optimizer;
} row;

static const tw_optimizer_group groups[] = {
    {.parameters = "none b", .rate_factor = 0.25, .weight_decay = TW_ZERO},
    {.parameters = "*", .weight_decay = 0.2},
};

static const row rows[] = {
    {"sgd", {.rate = 0.1}},
    {"sgd_decay", {.kind = TW_SGD, .rate = 0.1, .weight_decay = 0.1}},
    {"momentum", {.kind = TW_MOMENTUM, .rate = 0.05}},
    {"momentum_dampening", {.kind = TW_MOMENTUM, .rate = 0.1, .momentum = 0.8, .dampening = 0.5}},
    {"nesterov", {.kind = TW_MOMENTUM, .rate = 0.05, .nesterov = true}},
    {"nesterov_decay",
     {.kind = TW_MOMENTUM, .rate = 0.05, .momentum = 0.7, .nesterov = true, .weight_decay = 0.1}},
    {"adagrad", {.kind = TW_ADAGRAD, .rate = 0.2}},
    {"adagrad_options",
     {.kind = TW_ADAGRAD, .rate = 0.2, .weight_decay = 0.1, .epsilon = 0.01, .accumulator = 0.25}},
    {"rmsprop", {.kind = TW_RMSPROP, .rate = 0.02}},
    {"rmsprop_momentum",
     {.kind = TW_RMSPROP, .rate = 0.01, .beta2 = 0.9, .momentum = 0.5, .weight_decay = 0.1}},
    {"rmsprop_centered",
     {.kind = TW_RMSPROP, .rate = 0.02, .beta2 = 0.95, .epsilon = 0.01, .centered = true}},
    {"rmsprop_all",
     {.kind = TW_RMSPROP,
      .rate = 0.02,
      .beta2 = 0.9,
      .epsilon = 0.01,
      .centered = true,
      .momentum = 0.5}},
    {"adam", {.kind = TW_ADAM, .rate = 0.1}},
    {"adam_options",
     {.kind = TW_ADAM,
      .rate = 0.1,
      .beta1 = 0.8,
      .beta2 = 0.95,
      .epsilon = 0.01,
      .weight_decay = 0.1}},
    {"adam_amsgrad", {.kind = TW_ADAM, .rate = 0.3, .beta2 = 0.8, .amsgrad = true}},
    {"adamw", {.kind = TW_ADAMW, .rate = 0.1, .weight_decay = 0.1}},
    {"adamw_amsgrad",
     {.kind = TW_ADAMW,
      .rate = 0.3,
      .beta1 = 0.5,
      .beta2 = 0.7,
      .weight_decay = 0.1,
      .amsgrad = true}},
    {"adafactor", {.kind = TW_ADAFACTOR, .rate = 0.3}},
    {"adafactor_options",
     {.kind = TW_ADAFACTOR,
      .rate = 0.05,
      .power = 0.5,
      .epsilon = 0.05,
      .least = 0.7,
      .clip_update = 1.5,
      .weight_decay = 0.1}},
    {"lamb", {.kind = TW_LAMB, .rate = 0.1}},
    {"lamb_options",
     {.kind = TW_LAMB,
      .rate = 0.1,
      .beta1 = 0.8,
      .beta2 = 0.95,
      .epsilon = 0.01,
      .weight_decay = 0.1}},
    {"lion", {.kind = TW_LION, .rate = 0.05}},
    {"lion_options",
     {.kind = TW_LION, .rate = 0.05, .beta1 = 0.8, .beta2 = 0.9, .weight_decay = 0.2}},
    {"clip_value", {.kind = TW_SGD, .rate = 0.1, .clip_value = 0.25}},
    {"clip_norm", {.kind = TW_ADAM, .rate = 0.1, .epsilon = 0.1, .clip_norm = 0.5}},
    {"groups", {.kind = TW_ADAMW, .rate = 0.1, .groups = groups, .n_groups = 2}},
    {"frozen", {.kind = TW_ADAM, .rate = 0.1, .frozen = "x* b"}},
    {"scheduled",
     {.kind = TW_ADAMW,
      .rate = 0.2,
      .weight_decay = 0.1,
      .schedule = {.kind = TW_COSINE, .warmup = 5, .steps = 20, .floor = 0.1}}},
};

static const int64_t milestones[] = {5, 20, 21};
static const struct {
    const char *name;
    tw_schedule schedule;
} schedules[] = {
    {"step", {.kind = TW_STEP_DECAY, .every = 7, .decay = 0.5}},
    {"milestones",
     {.kind = TW_STEP_DECAY, .milestones = milestones, .n_milestones = 3, .decay = 0.25}},
    {"exponential", {.kind = TW_EXPONENTIAL_DECAY, .decay = 0.9}},
    {"linear", {.kind = TW_LINEAR_DECAY, .steps = 40, .floor = 0.1}},
    {"polynomial", {.kind = TW_POLYNOMIAL_DECAY, .steps = 40, .power = 2}},
    {"cosine", {.kind = TW_COSINE, .steps = LONG, .floor = 0.1}},
    {"one_cycle", {.kind = TW_ONE_CYCLE, .steps = LONG}},
    {"one_cycle_options",
     {.kind = TW_ONE_CYCLE, .steps = LONG, .warmup = 10, .start = 0.1, .floor = 0.001}},
    {"inverse_root", {.kind = TW_INVERSE_ROOT, .warmup = 8}},
    {"warm_constant", {.warmup = 10, .start = 0.25}},
    {"warm_cosine", {.kind = TW_COSINE, .warmup = 10, .steps = LONG}},
    {"warm_step", {.kind = TW_STEP_DECAY, .warmup = 10, .every = 6, .decay = 0.5}},
    {"warm_exponential", {.kind = TW_EXPONENTIAL_DECAY, .warmup = 4, .decay = 0.9}},
};

enum { ROWS = sizeof rows / sizeof *rows, SCHEDULES = sizeof schedules / sizeof *schedules };

static tw_context *context;
static tw_store *golden;

static int setup(void **state) {
    (void)state;
    context = tw_context_new(NULL);
    golden = tw_store_new(context, NULL);
    return context && golden && !tw_store_load(golden, file) ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    tw_store_free(golden);
    tw_context_free(context);
    return 0;
}

static tw_tensor *stored(const char *name, const char *path) {
    char full[256];
    snprintf(full, sizeof full, "%s/%s", name, path);
    tw_tensor *tensor = tw_store_get(golden, full);
    if (!tensor) fail_msg("%s", tw_message(context));
    return tensor;
}

static tw_tensor *stored_as(const char *name, const char *path, tw_dtype dtype) {
    double number[MOST];
    tw_tensor *tensor = stored(name, path);
    assert_true(numbers_of(tensor, MOST, number) <= MOST);
    tw_tensor *out = tensor_of(context, dtype, tw_tensor_type(tensor).shape, number);
    tw_tensor_free(tensor);
    return out;
}

static void begin(tw_store *store, const char *name, const char *path, tw_dtype dtype) {
    char before[96];
    snprintf(before, sizeof before, "before/%s", path);
    tw_tensor *tensor = stored_as(name, before, dtype);
    assert_int_equal(tw_store_set(store, path, tensor), TW_OK);
    tw_tensor_free(tensor);
}

static void compare(tw_store *store, const char *name, const char *path, int step,
                    double tolerance) {
    double have[MOST], want[STEPS * MOST];
    char after[96];
    snprintf(after, sizeof after, "after/%s", path);
    tw_tensor *tensor = stored(name, after);
    int n = numbers_at(store, path, MOST, have);
    assert_int_equal(numbers_of(tensor, STEPS * MOST, want), STEPS * n);
    tw_tensor_free(tensor);
    snprintf(after, sizeof after, "%s: %s after step %d", name, path, step);
    assert_near(after, n, have, want + (ptrdiff_t)step * n, tolerance);
}

static void train(const row *it, tw_dtype dtype) {
    double tolerance = dtype == TW_F32 ? TOLERANCE_F32 : TOLERANCE_F64;
    tw_store *store = tw_store_new(context, NULL);
    begin(store, it->name, "a", dtype);
    begin(store, it->name, "b", dtype);
    tw_graph *g = tw_graph_new(context, store, TW_SYMBOLIC, &(tw_graph_opts){.training = true});
    tw_value in[] = {tw_input(g, "x", dtype, TW_SHAPE(6, 4)),
                     tw_input(g, "y", dtype, TW_SHAPE(6, 3))};
    tw_value a = tw_parameter(g, "a", dtype, TW_SHAPE(4, 3), tw_zeros_init());
    tw_value b = tw_parameter(g, "b", dtype, TW_SHAPE(3), tw_zeros_init());
    tw_value loss = tw_mean(tw_square(tw_sub(tw_add(tw_matmul(in[0], a), b), in[1])));
    tw_minimize(loss, &it->optimizer);
    tw_program *program = tw_compile(g, 2, in, 1, &loss, NULL);
    if (!program) fail_msg("%s", tw_message(context));
    tw_tensor *data[] = {stored_as(it->name, "in/x", dtype), stored_as(it->name, "in/y", dtype)},
              *out = NULL;
    for (int step = 0; step < STEPS; step++) {
        if (tw_run(program, data, &out)) fail_msg("%s", tw_message(context));
        compare(store, it->name, "a", step, tolerance);
        compare(store, it->name, "b", step, tolerance);
    }
    assert_int_equal(tw_store_step(store), STEPS);
    tw_tensor_free(data[0]);
    tw_tensor_free(data[1]);
    tw_tensor_free(out);
    tw_program_free(program);
    tw_graph_free(g);
    tw_store_free(store);
}

static void test_optimizer(void **state) {
    train(*state, TW_F64);
    train(*state, TW_F32);
}

/* The stored rates against the function, and the graph's factor against it far more closely. */
static void check_schedule(const char *name, const tw_schedule *schedule) {
    char path[96];
    double want[LONG], have[LONG], factor[LONG], exact[LONG];
    snprintf(path, sizeof path, "schedule_%s", name);
    tw_tensor *tensor = stored(path, "rate");
    assert_int_equal(numbers_of(tensor, LONG, want), LONG);
    tw_tensor_free(tensor);
    tw_graph *g = tw_graph_new(context, NULL, TW_SYMBOLIC, NULL);
    tw_value step = tw_input(g, "step", TW_I64, TW_SHAPE());
    tw_value y = tw_schedule_factor(step, schedule);
    tw_program *program = tw_compile(g, 1, &step, 1, &y, NULL);
    if (!program) fail_msg("%s: %s", name, tw_message(context));
    tw_tensor *out = NULL;
    for (int t = 0; t < LONG; t++) {
        tw_tensor *in = tensor_of(context, TW_I64, TW_SHAPE(), &(double){t});
        if (tw_run(program, &in, &out)) fail_msg("%s", tw_message(context));
        factor[t] = tw_tensor_item(out);
        exact[t] = tw_schedule_rate(schedule, 1, t);
        have[t] = tw_schedule_rate(schedule, 0.5, t);
        tw_tensor_free(in);
    }
    assert_near(name, LONG, have, want, 1e-7);
    assert_near(name, LONG, factor, exact, 1e-14);
    tw_tensor_free(out);
    tw_program_free(program);
    tw_graph_free(g);
}

static void test_schedules(void **state) {
    (void)state;
    for (int i = 0; i < SCHEDULES; i++) check_schedule(schedules[i].name, &schedules[i].schedule);
}

/* Every case of the file has its row. */
static void test_complete(void **state) {
    (void)state;
    for (int i = 0; i < tw_store_size(golden); i++) {
        const char *path = tw_store_path(golden, i);
        size_t length = strcspn(path, "/");
        bool known = false;
        for (int k = 0; k < ROWS; k++)
            known |= strlen(rows[k].name) == length && !strncmp(rows[k].name, path, length);
        for (int k = 0; k < SCHEDULES; k++)
            known |= !strncmp(path, "schedule_", 9) && strlen(schedules[k].name) == length - 9 &&
                     !strncmp(schedules[k].name, path + 9, length - 9);
        if (!known) fail_msg("%s: the case of %s has no test", file, path);
    }
}

int main(void) {
    static struct CMUnitTest tests[ROWS + 2];
    for (int i = 0; i < ROWS; i++)
        tests[i] = (struct CMUnitTest){rows[i].name, test_optimizer, NULL, NULL,
                                       (void *)(uintptr_t)&rows[i]};
    tests[ROWS] = (struct CMUnitTest)cmocka_unit_test(test_schedules);
    tests[ROWS + 1] = (struct CMUnitTest)cmocka_unit_test(test_complete);
    return cmocka_run_group_tests(tests, setup, teardown);
}
