/*
 * Functions inside a graph: a checkpointed block gives the very numbers of the plain one, with a
 * recompute epoch; a custom gradient is taken as given, at any order.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <thalweg/thalweg.h>

#include "support/numbers.h"

enum { ROWS = 8, WIDTH = 6 };

static void check(tw_context *context, bool good) {
    if (!good) fail_msg("%s", tw_message(context));
}

/* A layer with weights, dropout and a running mean. */
static void block(tw_graph *g, const tw_value *in, tw_value *out, const void *config) {
    (void)config;
    tw_value h = tw_dropout(tw_tanh(tw_dense(in[0], "inner", WIDTH, NULL)), 0.3, NULL);
    tw_value mean = tw_variable(g, "mean", TW_F32, TW_SHAPE(), tw_zeros_init());
    tw_assign(mean, tw_add(tw_scale(mean, 0.5), tw_mean(h)));
    out[0] = tw_add(in[0], h);
}

typedef enum form { PLAIN, CALL, CHECKPOINT } form;

static void model(tw_graph *g, const tw_value *in, tw_value *out, const void *config) {
    form how = *(const form *)config;
    tw_value x = in[0];
    for (int i = 0; i < 2; i++) {
        tw_value y = {0};
        tw_scope_begin(g, "block%d", i);
        if (how == PLAIN) block(g, &x, &y, NULL);
        if (how == CALL) tw_call(g, block, NULL, 1, &x, 1, &y);
        if (how == CHECKPOINT) tw_checkpoint(g, block, NULL, 1, &x, 1, &x); /* in its own place */
        tw_scope_end(g);
        if (how != CHECKPOINT) x = y;
    }
    out[0] = tw_mse(x, in[1]);
}

static void step(tw_graph *g, const tw_value *in, tw_value *out, const void *config) {
    model(g, in, out, config);
    tw_minimize(out[0], &(tw_optimizer){.kind = TW_SGD, .rate = 0.1});
}

/* Three steps; the loss of each, then every variable of the store. */
static int train(form how, tw_mode mode, int capacity, double *out) {
    tw_context *context = tw_context_new(&(tw_context_opts){.threads = 1});
    assert_non_null(context);
    tw_store *store = tw_store_new(context, &(tw_store_opts){.seed = 5});
    tw_shape shape = TW_SHAPE(ROWS, WIDTH);
    tw_tensor *in[] = {tensor_drawn(context, TW_F32, shape, 1, -1, 1),
                       tensor_drawn(context, TW_F32, shape, 2, -1, 1)};
    tw_tensor *loss = NULL;
    int n = 0;
    if (mode == TW_SYMBOLIC) {
        tw_jit *jit = tw_jit_new(context, store, step, 2, 1, &how, sizeof how,
                                 &(tw_jit_opts){.training = true});
        for (int i = 0; i < 3; i++) {
            check(context, tw_jit_run(jit, in, &loss) == TW_OK);
            out[n++] = tw_tensor_item(loss);
        }
    } else {
        tw_graph *g = tw_graph_new(context, store, mode, &(tw_graph_opts){.training = true});
        for (int i = 0; i < 3; i++) {
            tw_tape_begin(g);
            tw_value x[] = {tw_constant(g, in[0]), tw_constant(g, in[1])}, y = {0};
            step(g, x, &y, &how);
            out[n++] = tw_item(y);
            check(context, tw_tape_end(g, 0, NULL) == TW_OK);
        }
    }
    for (int i = 0; i < tw_store_size(store); i++)
        n += numbers_at(store, tw_store_path(store, i), capacity - n, out + n);
    tw_context_free(context);
    return n;
}

static void test_same_numbers(void **state) {
    (void)state;
    enum { CAPACITY = 512 };
    double plain[CAPACITY], other[CAPACITY];
    for (tw_mode mode = TW_SYMBOLIC; mode <= TW_IMMEDIATE; mode++) {
        int n = train(PLAIN, mode, CAPACITY, plain);
        assert_true(n > 2 * WIDTH * WIDTH && n < CAPACITY);
        assert_true(plain[2] < plain[0]);
        for (form how = CALL; how <= CHECKPOINT; how++) {
            assert_int_equal(train(how, mode, CAPACITY, other), n);
            assert_near("call", n, other, plain, 1e-6);
        }
    }
}

/* The recomputed nodes are of epoch 1, in their own scopes, and the text holds it all. */
static void test_text(void **state) {
    (void)state;
    tw_context *context = tw_context_new(NULL);
    tw_store *store = tw_store_new(context, NULL);
    tw_graph *g = tw_graph_new(context, store, TW_SYMBOLIC, &(tw_graph_opts){.training = true});
    const form how = CHECKPOINT;
    tw_value loss = {0}, in[] = {tw_input(g, "x", TW_F32, TW_SHAPE(ROWS, WIDTH)),
                                 tw_input(g, "y", TW_F32, TW_SHAPE(ROWS, WIDTH))};
    step(g, in, &loss, &how);
    tw_outputs(g, 1, &loss);
    check(context, tw_graph_verify(g) == TW_OK);
    char *first = tw_graph_print(g);
    check(context, first != NULL);
    assert_non_null(strstr(first, "checkpoint("));
    assert_non_null(strstr(first, "!backward scope=\"block1/inner\" epoch=1"));
    assert_null(strstr(first, "epoch=2"));
    tw_graph *again = tw_graph_parse(context, tw_store_new(context, NULL), first);
    check(context, again != NULL);
    check(context, tw_graph_verify(again) == TW_OK);
    char *second = tw_graph_print(again);
    assert_string_equal(first, second);
    tw_string_free(context, first);
    tw_string_free(context, second);
    tw_context_free(context);
}

/* A mean over rows in four parts, a checkpoint within. */
static void scaled(tw_graph *g, const tw_value *in, tw_value *out, const void *config) {
    (void)g, (void)config;
    out[0] = tw_tanh(tw_dense(in[0], "inner", WIDTH, NULL));
}

static double train_in_parts(int parts, bool checkpoint) {
    tw_context *context = tw_context_new(NULL);
    tw_store *store = tw_store_new(context, &(tw_store_opts){.seed = 3});
    tw_graph *g = tw_graph_new(context, store, TW_SYMBOLIC, NULL);
    tw_value x = tw_input(g, "x", TW_F32, TW_SHAPE(ROWS, WIDTH)), h = {0};
    if (checkpoint)
        tw_checkpoint(g, scaled, NULL, 1, &x, 1, &h);
    else
        scaled(g, &x, &h, NULL);
    tw_value loss = tw_mean(tw_square(h));
    tw_minimize(loss, &(tw_optimizer){.kind = TW_SGD, .rate = 0.5, .microbatches = parts});
    tw_program *program = tw_compile(g, 1, &x, 1, &loss, NULL);
    check(context, program != NULL);
    tw_tensor *in = tensor_drawn(context, TW_F32, TW_SHAPE(ROWS, WIDTH), 4, -1, 1), *out = NULL;
    for (int i = 0; i < 3; i++) check(context, tw_run(program, &in, &out) == TW_OK);
    double last = tw_tensor_item(out);
    tw_context_free(context);
    return last;
}

static void test_microbatches(void **state) {
    (void)state;
    double whole = train_in_parts(1, false);
    for (int parts = 1; parts <= 4; parts *= 4)
        assert_true(fabs(train_in_parts(parts, true) - whole) <= 1e-6);
}

/* round, whose gradient is taken for 1 (Bengio et al. 2013), and a second result. */
static void straight(tw_graph *g, const tw_value *in, tw_value *out, const void *config) {
    (void)g, (void)config;
    out[0] = tw_round(in[0]);
    out[1] = tw_mul(in[0], in[1]);
}

static void straight_gradient(tw_graph *g, const tw_value *in, tw_value *out, const void *config) {
    (void)g, (void)config;
    /* in: x, z, round x, x z, and the gradients of both */
    out[0] = tw_add(in[4], tw_scale(tw_mul(in[5], in[1]), 10));
}

static void test_custom(void **state) {
    (void)state;
    tw_context *context = tw_context_new(NULL);
    tw_graph *g = tw_graph_new(context, NULL, TW_SYMBOLIC, NULL);
    tw_value in[] = {tw_input(g, "x", TW_F64, TW_SHAPE(3)), tw_input(g, "z", TW_F64, TW_SHAPE(3))};
    tw_value y[2], dx[2], second[2];
    tw_custom_gradient(g, straight, straight_gradient, NULL, 2, in, 2, y);
    tw_value total = tw_sum(tw_add(y[0], tw_mul(y[1], y[1])));
    tw_grad(total, 2, in, dx);
    tw_grad(tw_sum(dx[0]), 2, in, second);
    const tw_value out[] = {y[0], dx[0], dx[1], second[1]};
    tw_program *program = tw_compile(g, 2, in, 4, out, NULL);
    check(context, program != NULL);
    const double x[] = {0.4, 1.6, -2.7}, z[] = {1, 2, 3};
    tw_tensor *data[] = {tensor_of(context, TW_F64, TW_SHAPE(3), x),
                         tensor_of(context, TW_F64, TW_SHAPE(3), z)},
              *result[4] = {NULL};
    check(context, tw_run(program, data, result) == TW_OK);
    double number[4][3], slope[3], bend[3];
    for (int i = 0; i < 4; i++) numbers_of(result[i], 3, number[i]);
    for (int i = 0; i < 3; i++) {
        slope[i] = 1 + 20 * x[i] * z[i] * z[i]; /* d_y1 = 2 x z */
        bend[i] = 0;
    }
    assert_near("round", 3, number[0], (const double[]){0, 2, -3}, 0);
    assert_near("dx", 3, number[1], slope, 1e-12);
    assert_near("dz, left out", 3, number[2], bend, 0);
    /* d/dz of 1 + 10 z d_y1, where d_y1 = 2 y1 and y1's gradient for z is left out */
    for (int i = 0; i < 3; i++) bend[i] = 20 * x[i] * z[i];
    assert_near("second", 3, number[3], bend, 1e-12);
    tw_context_free(context);
}

static void uses_variable(tw_graph *g, const tw_value *in, tw_value *out, const void *config) {
    (void)config;
    out[0] = tw_mul(in[0], tw_parameter(g, "w", TW_F64, TW_SHAPE(3), tw_zeros_init()));
}

static void fails(tw_graph *g, const tw_value *in, tw_value *out, const void *config) {
    (void)in, (void)out, (void)config;
    tw_fail(g, "not today");
}

static void expect(const char *words, tw_function function, tw_function gradient) {
    tw_context *context = tw_context_new(NULL);
    tw_graph *g = tw_graph_new(context, tw_store_new(context, NULL), TW_SYMBOLIC, NULL);
    tw_value x = tw_input(g, "x", TW_F64, TW_SHAPE(3)), y = {0};
    if (gradient)
        tw_custom_gradient(g, function, gradient, NULL, 1, &x, 1, &y);
    else
        tw_checkpoint(g, function, NULL, 1, &x, 1, &y);
    assert_false(tw_ok(y));
    if (!strstr(tw_message(context), words)) fail_msg("%s", tw_message(context));
    tw_context_free(context);
}

static void test_refusals(void **state) {
    (void)state;
    expect("not today", fails, NULL);
    expect("give them as inputs", uses_variable, straight_gradient);
    expect("expected a function", NULL, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_numbers), cmocka_unit_test(test_text),
        cmocka_unit_test(test_microbatches), cmocka_unit_test(test_custom),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests_name("control", tests, NULL, NULL);
}
