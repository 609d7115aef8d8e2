/* Next values over present ones: where they are, and where they must not be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <string.h>
#include <thalweg/thalweg.h>

#include "support/numbers.h"

typedef struct fixture {
    tw_context *context;
    tw_store *store;
    tw_graph *graph;
    tw_value w; /* f32[3,3], 1 to 9 */
} fixture;

enum { N = 9 };
static const double START[N] = {1, 2, 3, 4, 5, 6, 7, 8, 9};

static fixture begin(void) {
    fixture f = {.context = tw_context_new(&(tw_context_opts){.threads = 2})};
    f.store = tw_store_new(f.context, NULL);
    tw_tensor *start = tensor_of(f.context, TW_F32, TW_SHAPE(3, 3), START);
    assert_int_equal(tw_store_set(f.store, "w", start), TW_OK);
    f.graph = tw_graph_new(f.context, f.store, TW_SYMBOLIC, &(tw_graph_opts){.training = true});
    f.w = tw_variable(f.graph, "w", TW_F32, TW_SHAPE(3, 3), tw_zeros_init());
    return f;
}

static tw_program *compiled(const fixture *f, int n, const tw_value *out) {
    tw_program *program = tw_compile(f->graph, 0, NULL, n, out, NULL);
    if (!program) fail_msg("%s", tw_message(f->context));
    return program;
}

static void run(const fixture *f, tw_program *program, tw_tensor **out) {
    if (tw_run(program, NULL, out)) fail_msg("%s", tw_message(f->context));
}

static bool is_in_place(const fixture *f, tw_program *program) {
    char *words = tw_program_print(program);
    assert_non_null(words);
    bool found = strstr(words, " in \"w\"") != NULL;
    tw_string_free(f->context, words);
    return found;
}

static void check(const fixture *f, const double *want) {
    double now[N];
    assert_int_equal(numbers_at(f->store, "w", N, now), N);
    assert_near("w", N, now, want, 1e-6);
}

static void test_over_itself(void **state) {
    (void)state;
    fixture f = begin();
    double want[N];
    tw_value next = tw_shift(tw_mul(f.w, f.w), 1);
    tw_assign(f.w, next);
    tw_program *program = compiled(&f, 0, NULL);
    assert_true(is_in_place(&f, program));
    tw_tensor *held = tw_store_get(f.store, "w");
    run(&f, program, NULL);
    for (int i = 0; i < N; i++) want[i] = START[i] * START[i] + 1;
    check(&f, want);
    double old[N];
    numbers_of(held, N, old); /* whoever holds a value keeps it */
    assert_near("held", N, old, START, 0);
    void *memory = tw_tensor_map(held);
    tw_tensor_free(held);
    run(&f, program, NULL);
    held = tw_store_get(f.store, "w");
    assert_ptr_not_equal(tw_tensor_map(held), memory);
    memory = tw_tensor_map(held);
    tw_tensor_free(held);
    run(&f, program, NULL);
    held = tw_store_get(f.store, "w");
    assert_ptr_equal(tw_tensor_map(held), memory);
    tw_context_free(f.context);
}

/* Another order of elements, a later reader, an output of the old value: never in place. */
static void test_not_over_itself(void **state) {
    (void)state;
    for (int kind = 0; kind < 4; kind++) {
        fixture f = begin();
        double want[N], old[N], sum = 0;
        tw_value out = {0}, next = f.w;
        int n = 0;
        for (int i = 0; i < N; i++) sum += exp(0.1 * START[i]);
        for (int i = 0; i < N; i++) {
            double t = START[i % 3 * 3 + i / 3];
            want[i] = kind == 0   ? START[i] + t
                      : kind == 1 ? START[i] + 1
                      : kind == 2 ? exp(0.1 * START[i]) / sum
                                  : START[i] + START[i % 3];
        }
        if (kind == 0) next = tw_add(f.w, tw_transpose(f.w));
        if (kind == 1) {
            next = tw_shift(f.w, 1);
            out = f.w;
            n = 1;
        }
        if (kind == 2) {
            tw_value e = tw_exp(tw_scale(f.w, 0.1));
            next = tw_div(e, tw_sum(e));
        }
        if (kind == 3) { next = tw_add(f.w, tw_slice(f.w, 0, 0, 1)); }
        if (n) out = tw_snapshot(out);
        tw_assign(f.w, next);
        tw_program *program = compiled(&f, n, &out);
        tw_tensor *result = NULL;
        run(&f, program, &result);
        check(&f, want);
        if (n) {
            numbers_of(result, N, old);
            assert_near("output", N, old, START, 0);
        }
        tw_context_free(f.context);
    }
}

/* A run that fails leaves the present value, whatever stands behind the update. */
static void test_all_or_none(void **state) {
    (void)state;
    fixture f = begin();
    tw_value y = tw_input(f.graph, "y", TW_I32, TW_SHAPE(3));
    tw_value p = tw_parameter(f.graph, "p", TW_F32, TW_SHAPE(3, 3), tw_constant_init(1));
    tw_value loss = tw_cross_entropy(tw_mul(p, f.w), y, NULL);
    tw_minimize(loss, &(tw_optimizer){.kind = TW_ADAM});
    tw_program *program = tw_compile(f.graph, 1, &y, 1, &loss, NULL);
    if (!program) fail_msg("%s", tw_message(f.context));
    tw_tensor *label = tensor_of(f.context, TW_I32, TW_SHAPE(3), (double[]){0, 7, 1});
    tw_tensor *out = NULL;
    assert_int_equal(tw_run(program, &label, &out), TW_ERR_INDEX);
    double p_now[N], ones[N] = {1, 1, 1, 1, 1, 1, 1, 1, 1};
    numbers_at(f.store, "p", N, p_now);
    assert_near("p", N, p_now, ones, 0);
    tw_tensor_free(label);
    label = tensor_of(f.context, TW_I32, TW_SHAPE(3), (double[]){0, 2, 1});
    assert_int_equal(tw_run(program, &label, &out), TW_OK);
    numbers_at(f.store, "p", N, p_now);
    assert_true(p_now[0] != 1);
    tw_context_free(f.context);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_over_itself),
        cmocka_unit_test(test_not_over_itself),
        cmocka_unit_test(test_all_or_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
