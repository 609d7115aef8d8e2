/* Labels of metrics: one for each row, compared as they are; and no counts at all. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <thalweg/thalweg.h>

static tw_context *context;
static tw_graph *graph;

static tw_value logits(void) {
    return tw_constant_of(graph, TW_F32, TW_SHAPE(3, 2), (float[]){0, 1, 0, 1, 1, 0});
}

/* (n, 1) against (n) would broadcast to (n, n) and count up to n times too much. */
static void of_another_shape(void **state) {
    (void)state;
    tw_value labels = tw_constant_of(graph, TW_I32, TW_SHAPE(3, 1), (int32_t[]){1, 1, 0});
    assert_false(tw_ok(tw_correct(logits(), labels)));
    assert_int_equal(tw_graph_status(graph), TW_ERR_SHAPE);
    assert_non_null(strstr(tw_message(context), "tw_correct: labels of rank 2, expected one"));
}

static void past_32_bits(void **state) {
    (void)state;
    const int64_t far = (INT64_C(1) << 32) + 1;
    tw_value labels = tw_constant_of(graph, TW_I64, TW_SHAPE(3), (int64_t[]){far, 1, -1});
    assert_int_equal((int)tw_item(tw_correct(logits(), labels)), 1);
}

static void of_no_integer(void **state) {
    (void)state;
    assert_false(tw_ok(tw_correct(logits(), tw_zeros(graph, TW_F32, TW_SHAPE(3)))));
    assert_int_equal(tw_graph_status(graph), TW_ERR_TYPE);
}

static void of_no_counts(void **state) {
    (void)state;
    const int64_t counts[] = {1, 2, 3, 4};
    assert_true(isnan(tw_accuracy(2, NULL)) && isnan(tw_accuracy(0, counts)));
    assert_true(isnan(tw_scores_of(2, NULL, 0).f1) && isnan(tw_scores_of(2, counts, 2).recall));
    assert_true(isnan(tw_scores_of(2, counts, -1).precision));
    assert_true(isnan(tw_scores_macro(2, NULL).f1) && isnan(tw_scores_micro(2, NULL).f1));
    assert_true(isnan(tw_auc_of_counts(2, NULL)) && isnan(tw_auc_of_counts(-1, counts)));
    assert_true(isnan(tw_auc(context, 2, NULL, NULL)) && isnan(tw_auc(NULL, -1, NULL, NULL)));
}

static int setup(void **state) {
    (void)state;
    context = tw_context_new(&(tw_context_opts){.threads = 1});
    graph = tw_graph_new(context, NULL, TW_IMMEDIATE, NULL);
    return graph ? 0 : -1;
}
static int teardown(void **state) {
    (void)state;
    tw_context_free(context);
    return 0;
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {EACH(of_another_shape), EACH(past_32_bits),
                                       EACH(of_no_integer), EACH(of_no_counts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
