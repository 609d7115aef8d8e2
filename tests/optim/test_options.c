/*
 * What optimisers can be told beside their kind: rates that vary, groups, names, clipping; and that
 * sparse gradients give the numbers of dense ones. tests/oracle/test_optimizers.c has the kinds.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include <thalweg/init.h>

#include "support/numbers.h"

static tw_context *context;

static int setup(void **state) {
    (void)state;
    context = tw_context_new(NULL);
    return context ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    tw_context_free(context);
    return 0;
}

static tw_value scalar_parameter(tw_graph *g, const char *name) {
    return tw_parameter(g, name, TW_F64, TW_SHAPE(), tw_constant_init(1));
}

/* A rate of the caller's for each run, alone and times a schedule and a group's factor. */
static void test_fed_rate(void **state) {
    (void)state;
    const tw_optimizer_group group = {.parameters = "b", .rate_factor = 0.5};
    for (int k = 0; k < 4; k++) {
        bool scheduled = k & 1;
        tw_dtype dtype = k & 2 ? TW_F32 : TW_F64;
        tw_store *store = tw_store_new(context, NULL);
        tw_graph *g = tw_graph_new(context, store, TW_SYMBOLIC, NULL);
        tw_value rate = tw_input(g, "rate", dtype, TW_SHAPE());
        tw_value loss = tw_add(scalar_parameter(g, "a"), scalar_parameter(g, "b"));
        tw_optimizer o = {.kind = TW_SGD, .rate_value = rate, .groups = &group, .n_groups = 1};
        if (scheduled)
            o.schedule = (tw_schedule){.kind = TW_EXPONENTIAL_DECAY, .decay = 0.5, .warmup = 1};
        tw_minimize(loss, &o);
        tw_program *program = tw_compile(g, 1, &rate, 1, &loss, NULL);
        tw_tensor *out = NULL;
        double want[2] = {1, 1}, have[2];
        const double rates[] = {0.5, 0.125, 2};
        for (int i = 0; i < 3; i++) {
            tw_tensor *in = tensor_of(context, dtype, TW_SHAPE(), &rates[i]);
            if (!program || tw_run(program, &in, &out)) fail_msg("%s", tw_message(context));
            double r = scheduled ? tw_schedule_rate(&o.schedule, rates[i], i) : rates[i];
            want[0] -= r;
            want[1] -= r / 2;
            tw_tensor_free(in);
        }
        numbers_at(store, "a", 1, &have[0]);
        numbers_at(store, "b", 1, &have[1]);
        assert_near("fed rate", 2, have, want, 1e-14);
        tw_tensor_free(out);
        tw_program_free(program);
        tw_graph_free(g);
        tw_store_free(store);
    }
}

/* Steps count from 0 at the first update, also for a store that has been trained before. */
static void test_schedule_goes_on(void **state) {
    (void)state;
    const tw_optimizer o = {.kind = TW_SGD,
                            .rate = 0.5,
                            .schedule = {.kind = TW_COSINE, .warmup = 2, .steps = 8, .floor = 0.1}};
    tw_store *store = tw_store_new(context, NULL);
    double want = 1, have;
    for (int half = 0; half < 2; half++) {
        tw_graph *g = tw_graph_new(context, store, TW_SYMBOLIC, NULL);
        tw_value loss = scalar_parameter(g, "a");
        tw_minimize(loss, &o);
        tw_program *program = tw_compile(g, 0, NULL, 1, &loss, NULL);
        tw_tensor *out = NULL;
        for (int i = 0; i < 5; i++) {
            want -= tw_schedule_rate(&o.schedule, o.rate, tw_store_step(store));
            if (!program || tw_run(program, NULL, &out)) fail_msg("%s", tw_message(context));
        }
        tw_tensor_free(out);
        tw_program_free(program);
        tw_graph_free(g);
    }
    numbers_at(store, "a", 1, &have);
    assert_near("schedule", 1, &have, &want, 1e-14);
    /* The rates that this stands for: warm-up from a third, the floor past the end. */
    assert_near("first", 1, &(double){tw_schedule_rate(&o.schedule, 0.5, 0)}, &(double){0.5 / 3},
                1e-15);
    assert_true(tw_schedule_rate(&o.schedule, 0.5, 2) == 0.5);
    assert_near("last", 1, &(double){tw_schedule_rate(&o.schedule, 0.5, 100)}, &(double){0.05},
                1e-15);
    assert_true(tw_schedule_rate(NULL, 0.5, 7) == 0.5);
    assert_true(tw_schedule_rate(&o.schedule, 0.5, -3) == tw_schedule_rate(&o.schedule, 0.5, 0));
    assert_true(isnan(tw_schedule_rate(&(tw_schedule){.kind = TW_COSINE}, 0.5, 0)));
    tw_store_free(store);
}

/* What one step of rate 0.5 from 1 makes of a, bias and c, whose gradient is 1. */
static void test_groups(void **state) {
    (void)state;
    static const tw_optimizer_group groups[] = {
        {.parameters = "c x", .rate_factor = TW_ZERO},
        {.parameters = "*a*", .rate_factor = 2, .weight_decay = 0.25},
        {.parameters = "*", .weight_decay = TW_ZERO},
    };
    const struct {
        tw_optimizer o;
        double want[3];
    } cases[] = {
        {{.groups = groups, .n_groups = 1}, {0.5, 0.5, 1}},
        {{.groups = groups, .n_groups = 2}, {-0.25, -0.25, 1}},
        {{.groups = groups, .n_groups = 2, .no_decay = "bias"}, {-0.25, 0, 1}},
        {{.groups = groups + 2, .n_groups = 1, .weight_decay = 1}, {0.5, 0.5, 0.5}},
        {{.groups = groups + 1, .n_groups = 1, .weight_decay = 1}, {-0.25, -0.25, 0}},
        {{.frozen = "bias c"}, {0.5, 1, 1}},
        {{.parameters = "a c", .frozen = "*s c"}, {0.5, 1, 1}},
        {{.frozen = "*i*", .weight_decay = 1, .no_decay = "c"}, {0, 1, 0.5}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tw_store *store = tw_store_new(context, NULL);
        tw_graph *g = tw_graph_new(context, store, TW_SYMBOLIC, NULL);
        static const char *const names[] = {"a", "bias", "c"};
        tw_value loss = tw_zeros(g, TW_F64, TW_SHAPE());
        for (int k = 0; k < 3; k++) loss = tw_add(loss, scalar_parameter(g, names[k]));
        tw_optimizer o = cases[i].o;
        o.kind = TW_SGD;
        o.rate = 0.5;
        tw_minimize(loss, &o);
        tw_program *program = tw_compile(g, 0, NULL, 1, &loss, NULL);
        tw_tensor *out = NULL;
        if (!program || tw_run(program, NULL, &out)) fail_msg("%s", tw_message(context));
        double have[3];
        for (int k = 0; k < 3; k++) numbers_at(store, names[k], 1, &have[k]);
        assert_near("groups", 3, have, cases[i].want, 1e-15);
        tw_tensor_free(out);
        tw_program_free(program);
        tw_graph_free(g);
        tw_store_free(store);
    }
}

/* Two optimisers count and keep for themselves; one that is called twice does two steps. */
static void test_names(void **state) {
    (void)state;
    tw_store *store = tw_store_new(context, NULL);
    tw_graph *g = tw_graph_new(context, store, TW_SYMBOLIC, NULL);
    tw_value a = scalar_parameter(g, "a"), b = scalar_parameter(g, "b"), loss = tw_add(a, b);
    tw_optimizer o = {.kind = TW_MOMENTUM, .rate = 0.5, .parameters = "a", .name = "first"};
    tw_minimize(loss, &o);
    tw_minimize(tw_add(a, b), &o);
    o = (tw_optimizer){.kind = TW_ADAM, .rate = 0.25, .parameters = "b", .name = "second/one"};
    tw_minimize(loss, &o);
    tw_program *program = tw_compile(g, 0, NULL, 1, &loss, NULL);
    tw_tensor *out = NULL;
    assert_int_equal(tw_store_step(store), 0);
    for (int i = 0; i < 3; i++)
        if (!program || tw_run(program, NULL, &out)) fail_msg("%s", tw_message(context));
    double step, have, v = 0, want = 1;
    for (int i = 0; i < 6; i++) v = 0.9 * v + 1, want -= 0.5 * v;
    numbers_at(store, "a", 1, &have);
    assert_near("a", 1, &have, &want, 1e-14);
    numbers_at(store, "first/a/v", 1, &have);
    assert_near("its v", 1, &have, &v, 1e-14);
    numbers_at(store, "b", 1, &have); /* Adam's change is 1 where all gradients are 1 */
    assert_near("b", 1, &have, &(double){1 - 3 * 0.25}, 1e-7);
    numbers_at(store, "first/step", 1, &step);
    assert_int_equal((int)step, 6);
    numbers_at(store, "second/one/step", 1, &step);
    assert_int_equal((int)step, 3);
    assert_int_equal(tw_store_step(store), 6);
    tw_tensor_free(out);
    tw_program_free(program);
    tw_graph_free(g);
    /* The one named "optimizer" is the store's step, where there is one. */
    int64_t nine = 9;
    tw_tensor *tensor = tw_tensor_wrap(context, TW_I64, TW_SHAPE(), &nine, NULL, NULL);
    tw_store_set(store, "first/step", tensor);
    assert_int_equal(tw_store_step(store), 9);
    nine = 2;
    tw_store_set(store, "optimizer/step", tensor);
    assert_int_equal(tw_store_step(store), 2);
    tw_tensor_free(tensor);
    tw_store_free(store);
}

/* Gradients (of the mean over 4 examples) by elements, then by their norm; whole and in parts. */
static void test_clipping(void **state) {
    (void)state;
    const double x[] = {1, 0, 0.5, -3, 1, 0, 0.5, -3, 1, 4, 0.5, -3, 1, 0, 0.5, -3};
    const double mean[] = {1, 1, 0.5, -3};
    for (int k = 0; k < 8; k++) {
        double value = k & 1 ? 0.75 : 0, limit = k & 2 ? 1.25 : 0, want[4], norm = 0;
        for (int i = 0; i < 4; i++) {
            want[i] = value > 0 ? fmax(-value, fmin(value, mean[i])) : mean[i];
            norm += want[i] * want[i];
        }
        for (int i = 0; i < 4; i++)
            want[i] = -want[i] * (limit > 0 ? limit / fmax(limit, sqrt(norm)) : 1);
        tw_store *store = tw_store_new(context, NULL);
        tw_graph *g = tw_graph_new(context, store, TW_SYMBOLIC, NULL);
        tw_value in = tw_input(g, "x", TW_F64, TW_SHAPE(4, 4));
        tw_value w = tw_parameter(g, "w", TW_F64, TW_SHAPE(4), tw_zeros_init());
        tw_value loss = tw_mean(tw_sum_axis(tw_mul(in, w), 1, false));
        tw_minimize(loss, &(tw_optimizer){.kind = TW_SGD,
                                          .rate = 1,
                                          .clip_value = value,
                                          .clip_norm = limit,
                                          .microbatches = k & 4 ? 2 : 1});
        tw_program *program = tw_compile(g, 1, &in, 1, &loss, NULL);
        tw_tensor *data = tensor_of(context, TW_F64, TW_SHAPE(4, 4), x), *out = NULL;
        if (!program || tw_run(program, &data, &out)) fail_msg("%s", tw_message(context));
        double have[4];
        numbers_at(store, "w", 4, have);
        assert_near("clipped", 4, have, want, 1e-14);
        tw_tensor_free(data);
        tw_tensor_free(out);
        tw_program_free(program);
        tw_graph_free(g);
        tw_store_free(store);
    }
}

/* Three steps on an embedding, or on the product with one-hot rows, whose gradient is dense. */
static void embed(const tw_optimizer *o, bool sparse, double *table) {
    tw_store *store = tw_store_new(context, &(tw_store_opts){.seed = 3});
    tw_graph *g = tw_graph_new(context, store, TW_SYMBOLIC, &(tw_graph_opts){.training = true});
    tw_value in = tw_input(g, "tokens", TW_I32, TW_SHAPE(4));
    tw_value w = tw_parameter(g, "words/weight", TW_F32, TW_SHAPE(5, 2), tw_normal(1));
    tw_value rows = sparse ? tw_take(w, in) : tw_matmul(tw_one_hot(in, 5, TW_F32), w);
    tw_value loss = tw_mean(tw_square(tw_shift(rows, 0.25)));
    tw_minimize(loss, o);
    tw_program *program = tw_compile(g, 1, &in, 1, &loss, NULL);
    tw_tensor *out = NULL;
    const double tokens[3][4] = {{3, 1, 3, -1}, {0, 0, 1, 3}, {4, 1, 1, 1}};
    for (int i = 0; i < 3; i++) {
        tw_tensor *x = tensor_of(context, TW_I32, TW_SHAPE(4), tokens[i]);
        if (!program || tw_run(program, &x, &out)) fail_msg("%s", tw_message(context));
        tw_tensor_free(x);
    }
    assert_int_equal(numbers_at(store, "words/weight", 10, table), 10);
    tw_tensor_free(out);
    tw_program_free(program);
    tw_graph_free(g);
    tw_store_free(store);
}

static void test_sparse(void **state) {
    (void)state;
    for (int kind = TW_SGD; kind <= TW_LION; kind++) {
        double sparse[10], dense[10];
        tw_optimizer o = {.kind = (tw_optimizer_kind)kind, .rate = 0.1, .epsilon = 0.01};
        for (int decay = 0; decay < 2; decay++) {
            o.weight_decay = 0.1 * decay;
            embed(&o, true, sparse);
            embed(&o, false, dense);
            assert_near("dense-equivalent", 10, sparse, dense, 1e-6);
        }
    }
    tw_optimizer o = {.kind = TW_SGD, .clip_value = 0.05, .schedule = {.warmup = 2}};
    double sparse[10], dense[10];
    embed(&o, true, sparse);
    embed(&o, false, dense);
    assert_near("clipped", 10, sparse, dense, 1e-6);
    o.clip_value = 0;
    embed(&o, true, sparse);
    embed(&o, false, dense);
    assert_near("warmed up", 10, sparse, dense, 1e-6);
}

/* parse(print(g)) prints the same, and the graph verifies. */
static void check_text(tw_graph *g) {
    if (tw_graph_verify(g)) fail_msg("%s", tw_message(context));
    char *first = tw_graph_print(g);
    tw_graph *again = first ? tw_graph_parse(context, NULL, first) : NULL;
    char *second = again ? tw_graph_print(again) : NULL;
    if (!second) fail_msg("%s", tw_message(context));
    assert_string_equal(first, second);
    tw_string_free(context, first);
    tw_string_free(context, second);
    tw_graph_free(again);
}

/* Three steps of a layer on a batch of 8 in so many parts. */
static void in_parts(tw_optimizer o, int parts, double *weight) {
    tw_store *store = tw_store_new(context, &(tw_store_opts){.seed = 3});
    tw_graph *g = tw_graph_new(context, store, TW_SYMBOLIC, &(tw_graph_opts){.training = true});
    tw_value in = tw_input(g, "x", TW_F64, TW_SHAPE(8, 3));
    tw_value w = tw_parameter(g, "w", TW_F64, TW_SHAPE(3, 4), tw_normal(1));
    tw_value b = tw_parameter(g, "b", TW_F64, TW_SHAPE(4), tw_normal(1));
    tw_value loss = tw_mean(tw_square(tw_tanh(tw_add(tw_matmul(in, w), b))));
    o.microbatches = parts;
    tw_minimize(loss, &o);
    tw_average(g, NULL);
    check_text(g);
    tw_program *program = tw_compile(g, 1, &in, 1, &loss, NULL);
    tw_tensor *x = tensor_drawn(context, TW_F64, TW_SHAPE(8, 3), 5, -1, 1), *out = NULL;
    for (int i = 0; i < 3; i++)
        if (!program || tw_run(program, &x, &out)) fail_msg("%s", tw_message(context));
    numbers_at(store, "w", 12, weight);
    numbers_at(store, "b", 4, weight + 12);
    numbers_at(store, "average/w", 12, weight + 16);
    tw_tensor_free(x);
    tw_tensor_free(out);
    tw_program_free(program);
    tw_graph_free(g);
    tw_store_free(store);
}

static void test_microbatches(void **state) {
    (void)state;
    for (int kind = TW_SGD; kind <= TW_LION; kind++) {
        const tw_optimizer o = {.kind = (tw_optimizer_kind)kind,
                                .rate = 0.1,
                                .weight_decay = 0.1,
                                .amsgrad = kind == TW_ADAMW,
                                .centered = kind == TW_RMSPROP,
                                .clip_norm = 0.5,
                                .schedule = {.kind = TW_COSINE, .warmup = 1, .steps = 4}};
        double whole[28], parts[28];
        in_parts(o, 1, whole);
        in_parts(o, 4, parts);
        assert_near("in parts", 28, parts, whole, 1e-12);
    }
}

/* Each is refused, with a message that says so. */
static void test_errors(void **state) {
    (void)state;
    static const tw_optimizer_group nobody[] = {{.rate_factor = 2}};
    static const tw_optimizer_group negative[] = {{.parameters = "*", .rate_factor = -2}};
    static const int64_t falling[] = {4, 2};
    const struct {
        tw_optimizer o;
        const char *says;
    } cases[] = {
        {{.kind = TW_ADAM, .nesterov = true}, "nesterov"},
        {{.kind = TW_MOMENTUM, .nesterov = true, .dampening = 0.5}, "dampening"},
        {{.kind = TW_MOMENTUM, .dampening = 2}, "dampening"},
        {{.kind = TW_LAMB, .amsgrad = true}, "amsgrad"},
        {{.kind = TW_ADAGRAD, .centered = true}, "centered"},
        {{.kind = TW_ADAGRAD, .accumulator = -1}, "accumulator"},
        {{.kind = TW_ADAFACTOR, .power = 2}, "power"},
        {{.clip_value = NAN}, "clip_value"},
        {{.groups = nobody, .n_groups = 1}, "group 0"},
        {{.groups = negative, .n_groups = 1}, "rate_factor"},
        {{.n_groups = 2}, "groups"},
        {{.frozen = "*"}, "not frozen"},
        {{.name = ""}, "name"},
        {{.name = "a/"}, "name"},
        {{.schedule = {.kind = (tw_schedule_kind)70}}, "kind"},
        {{.schedule = {.kind = TW_COSINE}}, "steps"},
        {{.schedule = {.kind = TW_COSINE, .warmup = 5, .steps = 5}}, "steps"},
        {{.schedule = {.kind = TW_ONE_CYCLE, .steps = 1}}, "one-cycle"},
        {{.schedule = {.kind = TW_STEP_DECAY}}, "every"},
        {{.schedule = {.kind = TW_STEP_DECAY, .milestones = falling, .n_milestones = 2}}, "rise"},
        {{.schedule = {.kind = TW_EXPONENTIAL_DECAY}}, "decay"},
        {{.schedule = {.warmup = -1}}, "negative"},
        {{.schedule = {.warmup = 2, .start = NAN}}, "start"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tw_graph *g = tw_graph_new(context, NULL, TW_SYMBOLIC, NULL);
        tw_minimize(scalar_parameter(g, "a"), &cases[i].o);
        if (tw_graph_status(g) != TW_ERR_ARGUMENT) fail_msg("accepted: %s", cases[i].says);
        if (!strstr(tw_message(context), cases[i].says))
            fail_msg("'%s' is not in: %s", cases[i].says, tw_message(context));
        tw_graph_free(g);
    }
}

static void test_graph_errors(void **state) {
    (void)state;
    for (int k = 0; k < 4; k++) {
        static const char *const says[] = {"rate_value", "rate_value", ".name", "i64 scalar"};
        tw_graph *g = tw_graph_new(context, NULL, TW_SYMBOLIC, NULL);
        tw_graph *other = tw_graph_new(context, NULL, TW_SYMBOLIC, NULL);
        tw_value a = scalar_parameter(g, "a"), b = scalar_parameter(g, "b");
        tw_optimizer o = {.kind = TW_SGD, .parameters = "a"};
        if (k == 0) o.rate_value = tw_input(g, "rate", TW_F32, TW_SHAPE(2));
        if (k == 1) o.rate_value = tw_input(other, "rate", TW_F32, TW_SHAPE());
        if (k == 3) tw_schedule_factor(a, NULL);
        tw_minimize(tw_add(a, b), &o);
        o.parameters = "b";
        if (k == 2) tw_minimize(tw_add(a, b), &o);
        assert_int_equal(tw_graph_status(g), TW_ERR_ARGUMENT);
        if (!strstr(tw_message(context), says[k]))
            fail_msg("'%s' is not in: %s", says[k], tw_message(context));
        tw_graph_free(g);
        tw_graph_free(other);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fed_rate),     cmocka_unit_test(test_schedule_goes_on),
        cmocka_unit_test(test_groups),       cmocka_unit_test(test_names),
        cmocka_unit_test(test_clipping),     cmocka_unit_test(test_sparse),
        cmocka_unit_test(test_errors),       cmocka_unit_test(test_graph_errors),
        cmocka_unit_test(test_microbatches),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
