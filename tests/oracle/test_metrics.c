/* Metrics against numbers that scripts/oracle_losses.py computes from their definitions. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "support/numbers.h"

enum { CLASSES = 5, MOST = 128, BINS = 4 };

static tw_context *context;
static tw_store *golden;

static int setup(void **state) {
    (void)state;
    context = tw_context_new(NULL);
    golden = tw_store_new(context, NULL);
    return tw_store_load(golden, "tests/golden/oracle_metrics.safetensors");
}

static int teardown(void **state) {
    (void)state;
    tw_context_free(context);
    return 0;
}

static int stored(const char *path, double *out) { return numbers_at(golden, path, MOST, out); }

/* tw_top_k_correct for k, tw_confusion for 0, tw_score_counts for -1. */
static int counts(const char *first, const char *second, int64_t k, double *out) {
    tw_tensor *data[] = {tw_store_get(golden, first), tw_store_get(golden, second)}, *result = NULL;
    tw_graph *graph = tw_graph_new(context, NULL, TW_SYMBOLIC, NULL);
    tw_value in[2], y;
    for (int i = 0; i < 2; i++) {
        if (!data[i]) fail_msg("%s", tw_message(context));
        tw_type type = tw_tensor_type(data[i]);
        in[i] = tw_input(graph, i ? "b" : "a", type.dtype, type.shape);
    }
    y = k > 0   ? tw_top_k_correct(in[0], in[1], k)
        : k < 0 ? tw_score_counts(in[0], in[1], BINS)
                : tw_confusion(in[0], in[1], CLASSES);
    tw_program *program = tw_compile(graph, 2, in, 1, &y, NULL);
    if (!program || tw_run(program, data, &result)) fail_msg("%s", tw_message(context));
    int n = numbers_of(result, MOST, out);
    for (int i = 0; i < 2; i++) tw_tensor_free(data[i]);
    tw_tensor_free(result);
    tw_program_free(program);
    tw_graph_free(graph);
    return n;
}

static void test_top_k(void **state) {
    (void)state;
    double have[MOST], want[MOST];
    assert_int_equal(counts("top_1/in/0", "top_1/in/1", 1, have), 1);
    assert_int_equal(stored("top_1/out/0", want), 1);
    assert_true(have[0] == want[0]);
    counts("top_2/in/0", "top_2/in/1", 2, have);
    stored("top_2/out/0", want);
    assert_true(have[0] == want[0]);
    counts("top_4/in/0", "top_4/in/1", 4, have);
    stored("top_4/out/0", want);
    assert_true(have[0] == want[0]);
}

static int64_t *whole(int n, const double *from, int64_t *to) {
    for (int i = 0; i < n; i++) to[i] = (int64_t)from[i];
    return to;
}

static void test_confusion(void **state) {
    (void)state;
    double have[MOST], want[MOST], score[3 * CLASSES];
    int64_t confusion[CLASSES * CLASSES];
    assert_int_equal(counts("confusion/in/0", "confusion/in/1", 0, have), CLASSES * CLASSES);
    assert_int_equal(stored("confusion/out/0", want), CLASSES * CLASSES);
    assert_near("confusion", CLASSES * CLASSES, have, want, 0);
    whole(CLASSES * CLASSES, have, confusion);
    for (int c = 0; c < CLASSES; c++) {
        tw_scores s = tw_scores_of(CLASSES, confusion, c);
        score[3 * c] = s.precision;
        score[3 * c + 1] = s.recall;
        score[3 * c + 2] = s.f1;
    }
    assert_int_equal(stored("scores/class", want), 3 * CLASSES);
    assert_near("scores of classes", 3 * CLASSES, score, want, 1e-7);
    tw_scores macro = tw_scores_macro(CLASSES, confusion);
    assert_int_equal(stored("scores/macro", want), 3);
    assert_near("macro", 3, (double[]){macro.precision, macro.recall, macro.f1}, want, 1e-7);
    tw_scores micro = tw_scores_micro(CLASSES, confusion);
    assert_int_equal(stored("scores/accuracy", want), 1);
    want[1] = want[2] = want[3] = want[0];
    double accuracy = tw_accuracy(CLASSES, confusion);
    assert_near("micro", 4, (double[]){micro.precision, micro.recall, micro.f1, accuracy}, want,
                1e-7);
    const int64_t none[4] = {0};
    assert_true(isnan(tw_accuracy(2, none)));
    assert_true(tw_scores_macro(2, none).f1 == 0);
}

static void test_auc(void **state) {
    (void)state;
    double number[MOST], want[MOST];
    float scores[MOST];
    int32_t labels[MOST];
    int n = stored("auc/scores", number);
    for (int i = 0; i < n; i++) scores[i] = (float)number[i];
    assert_int_equal(stored("auc/labels", number), n);
    for (int i = 0; i < n; i++) labels[i] = (int32_t)number[i];
    double area = tw_auc(context, n, scores, labels);
    stored("auc/area", want);
    assert_near("auc", 1, &area, want, 1e-7);
    /* A label below 0 leaves its score out, and so does not see that it is no number. */
    scores[n] = NAN;
    labels[n] = -1;
    assert_true(tw_auc(context, n + 1, scores, labels) == area);
    labels[n] = 1;
    assert_true(isnan(tw_auc(context, n + 1, scores, labels)));
    for (int i = 0; i < n; i++) labels[i] = 1;
    assert_true(isnan(tw_auc(context, n, scores, labels)));
    assert_true(isnan(tw_auc(context, 0, scores, labels)));
}

static void test_score_counts(void **state) {
    (void)state;
    double have[MOST], want[MOST];
    int64_t binned[2 * BINS];
    assert_int_equal(counts("score_counts/in/0", "score_counts/in/1", -1, have), 2 * BINS);
    assert_int_equal(stored("score_counts/out/0", want), 2 * BINS);
    assert_near("counts", 2 * BINS, have, want, 0);
    double area = tw_auc_of_counts(BINS, whole(2 * BINS, have, binned));
    stored("auc/binned", want);
    assert_near("area of counts", 1, &area, want, 1e-7);
    for (int i = 0; i < BINS; i++) binned[i] = 0;
    assert_true(isnan(tw_auc_of_counts(BINS, binned)));
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {EACH(test_top_k), EACH(test_confusion), EACH(test_auc),
                                       EACH(test_score_counts)};
    return cmocka_run_group_tests_name("metrics", tests, NULL, NULL);
}
