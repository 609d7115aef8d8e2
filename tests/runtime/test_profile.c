/* A profile's rows are the program's instructions, their times add up to no more than the run's, and
 * their operations are those of the operators. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <thalweg/thalweg.h>

#include "support/numbers.h"

enum { ROWS = 64, DEEP = 96, COLUMNS = 32, RUNS = 5 };

static void test_rows(void **state) {
    (void)state;
    tw_context *context = tw_context_new(&(tw_context_opts){.threads = 1});
    tw_store *store = tw_store_new(context, NULL);
    tw_graph *g = tw_graph_new(context, store, TW_SYMBOLIC, NULL);
    tw_value x = tw_input(g, "x", TW_F32, TW_SHAPE(ROWS, DEEP)), y;
    tw_scope_begin(g, "layer");
    tw_value w = tw_parameter(g, "w", TW_F32, TW_SHAPE(DEEP, COLUMNS), tw_normal(1));
    y = tw_tanh(tw_scale(tw_matmul(x, w), 0.5));
    tw_assign(w, tw_scale(w, 0.5));
    tw_scope_end(g);
    tw_program *program = tw_compile(g, 1, &x, 1, &y, NULL);
    tw_tensor *in = tensor_drawn(context, TW_F32, TW_SHAPE(ROWS, DEEP), 1, -1, 1), *out = NULL;
    assert_null(tw_profile_new(program, &in, &out, 0));
    tw_profile *profile = tw_profile_new(program, &in, &out, RUNS);
    if (!profile) fail_msg("%s", tw_message(context));

    double sum = 0, last = 0;
    bool product = false, group = false;
    const tw_profile_row *row;
    for (int i = 0; (row = tw_profile_at(profile, i)); i++) {
        assert_true(row->seconds >= 0 && row->start >= last && row->bytes > 0);
        last = row->start;
        sum += row->seconds;
        if (!strcmp(row->operators, "dot")) {
            product = true;
            assert_string_equal(row->scope, "layer");
            assert_true(row->flops == 2.0 * ROWS * DEEP * COLUMNS);
            assert_true(row->bytes == 4.0 * (ROWS * DEEP + DEEP * COLUMNS + ROWS * COLUMNS));
        }
        if (!strcmp(row->operators, "dot+mul+tanh")) { /* generated */
            product = group = true;
            assert_string_equal(row->scope, "layer");
            assert_true(row->flops > 2.0 * ROWS * (DEEP + 1) * COLUMNS - 1);
            assert_true(row->bytes == 4.0 * (ROWS * DEEP + DEEP * COLUMNS + ROWS * COLUMNS));
        }
        if (!strcmp(row->operators, "mul+tanh")) {
            group = true; /* the product between them stays in scratch */
            assert_true(row->bytes < 4.0 * 3 * ROWS * COLUMNS);
        }
    }
    assert_true(product && group);
    assert_true(sum > 0 && sum <= 2 * tw_profile_seconds(profile));
    /* 1 warm-up and RUNS runs have halved it so often */
    double w0[1], w1[1];
    numbers_at(store, "layer/w", 1, w1);
    tw_store *fresh = tw_store_new(context, NULL);
    tw_graph *again = tw_graph_new(context, fresh, TW_IMMEDIATE, NULL);
    tw_scope_begin(again, "layer");
    tw_parameter(again, "w", TW_F32, TW_SHAPE(DEEP, COLUMNS), tw_normal(1));
    tw_scope_end(again);
    numbers_at(fresh, "layer/w", 1, w0);
    assert_true(w1[0] == w0[0] / (1 << (RUNS + 1)));
    tw_context_free(context);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows)};
    return cmocka_run_group_tests_name("profile", tests, NULL, NULL);
}
