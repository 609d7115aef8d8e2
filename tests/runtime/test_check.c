/* Debugging aids: check mode names the first operator that makes a NaN or an infinity, in programs
 * and line by line; tw_print in a program writes in every run. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include <thalweg/thalweg.h>

#include "support/numbers.h"

/* log of a negative number in scope "inner", behind operators that hide it in a sum. */
static void model(tw_graph *g, const tw_value *in, tw_value *out, const void *config) {
    (void)config;
    tw_value w = tw_parameter(g, "w", TW_F32, TW_SHAPE(3), tw_constant_init(2));
    tw_value y = tw_mul(in[0], w);
    tw_scope_begin(g, "inner");
    TW_HERE(g);
    y = tw_log(tw_shift(y, 1));
    tw_source(g, NULL);
    tw_scope_end(g);
    tw_assign(w, tw_add(w, y));
    out[0] = tw_sum(tw_exp(y));
}

typedef struct fixture {
    tw_context *context;
    tw_store *store;
} fixture;

static fixture start(void) {
    fixture f = {.context = tw_context_new(&(tw_context_opts){.threads = 1})};
    f.store = tw_store_new(f.context, NULL);
    assert_non_null(f.store);
    return f;
}

static void expect(tw_context *context, const char *words) {
    if (!strstr(tw_message(context), words)) fail_msg("%s\nlacks: %s", tw_message(context), words);
}

/* Status of a checked run on these numbers; the variable stays as it was when it fails. */
static tw_status run(const fixture *f, const double *x, bool check) {
    tw_jit *jit =
        tw_jit_new(f->context, f->store, model, 1, 1, NULL, 0, &(tw_jit_opts){.check = check});
    tw_tensor *in = tensor_of(f->context, TW_F32, TW_SHAPE(3), x), *out = NULL;
    tw_status status = tw_jit_run(jit, &in, &out);
    tw_jit_free(jit);
    return status;
}

static void test_program(void **state) {
    (void)state;
    fixture f = start();
    const double good[] = {1, 2, 3}, negative[] = {1, 2, -3}, zero[] = {-0.5, 1, -0.5},
                 nan[] = {1, NAN, 1}, infinite[] = {1, INFINITY, 1};
    double w[3];
    assert_int_equal(run(&f, negative, true), TW_ERR_NUMBER);
    expect(f.context, "log in inner at ");
    expect(f.context, "test_check.c:");
    expect(f.context, "makes a NaN at [2] of f32[3]; operand 0, f32[3], is -5 to 5");
    numbers_at(f.store, "w", 3, w);
    assert_near("not assigned", 3, w, (const double[]){2, 2, 2}, 0);
    assert_int_equal(run(&f, zero, true), TW_ERR_NUMBER);
    expect(f.context, "makes an infinity at [0] of f32[3] and 1 more");
    assert_int_equal(run(&f, nan, true), TW_ERR_NUMBER);
    expect(f.context, "input \"in0\" holds a NaN at [1]");
    assert_int_equal(run(&f, infinite, true), TW_OK); /* it was given */
    assert_int_equal(run(&f, good, false), TW_OK);
    assert_int_equal(run(&f, negative, false), TW_OK); /* unchecked */
    tw_context_free(f.context);
}

static void test_variable(void **state) {
    (void)state;
    fixture f = start();
    const double good[] = {1, 2, 3}, bad[] = {1, NAN, 3};
    assert_int_equal(run(&f, good, true), TW_OK);
    tw_tensor *w = tensor_of(f.context, TW_F32, TW_SHAPE(3), bad);
    assert_int_equal(tw_store_set(f.store, "w", w), TW_OK);
    assert_int_equal(run(&f, good, true), TW_ERR_NUMBER);
    expect(f.context, "variable \"w\" holds a NaN at [1] of f32[3]");
    tw_context_free(f.context);
}

static void test_immediate(void **state) {
    (void)state;
    fixture f = start();
    tw_graph *g = tw_graph_new(f.context, f.store, TW_IMMEDIATE, &(tw_graph_opts){.check = true});
    const double negative[] = {1, 2, -3};
    tw_tape_begin(g);
    tw_value x = tw_constant(g, tensor_of(f.context, TW_F32, TW_SHAPE(3), negative)), y = {0};
    model(g, &x, &y, NULL);
    assert_true(isnan(tw_item(y)));
    assert_int_equal(tw_tape_end(g, 0, NULL), TW_ERR_NUMBER);
    expect(f.context, "log in inner");
    double w[3];
    numbers_at(f.store, "w", 3, w);
    assert_near("not assigned", 3, w, (const double[]){2, 2, 2}, 0);
    tw_context_free(f.context);
}

static void printing(tw_graph *g, const tw_value *in, tw_value *out, const void *config) {
    (void)g, (void)config;
    tw_value y = tw_scale(in[0], 2);
    tw_print(y);
    out[0] = tw_sum(tw_shift(y, 1));
}

/* What `context` prints in two runs, in out[]. */
static void capture(tw_context *context, size_t capacity, char *out) {
    FILE *file = tmpfile();
    assert_non_null(file);
    fflush(stdout);
    int before = dup(1);
    assert_true(before >= 0 && dup2(fileno(file), 1) == 1);
    tw_jit *jit = tw_jit_new(context, NULL, printing, 1, 1, NULL, 0, NULL);
    tw_tensor *in = tensor_of(context, TW_F32, TW_SHAPE(3), (const double[]){1, 2, 3}), *y = NULL;
    tw_status status = tw_jit_run(jit, &in, &y);
    if (!status) status = tw_jit_run(jit, &in, &y);
    fflush(stdout);
    dup2(before, 1);
    close(before);
    rewind(file);
    out[fread(out, 1, capacity - 1, file)] = '\0';
    fclose(file);
    assert_int_equal(status, TW_OK);
    assert_true(tw_tensor_item(y) == 15);
}

static void test_print(void **state) {
    (void)state;
    fixture f = start();
    char text[256];
    capture(f.context, sizeof text, text);
    const char *second = strchr(text, '\n');
    assert_non_null(second);
    assert_non_null(strstr(second, "f32[3] [2,4,6]\n"));
    assert_memory_equal(text, second + 1, (size_t)(second - text));
    tw_context_free(f.context);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_program),
        cmocka_unit_test(test_variable),
        cmocka_unit_test(test_immediate),
        cmocka_unit_test(test_print),
    };
    return cmocka_run_group_tests_name("debugging aids", tests, NULL, NULL);
}
