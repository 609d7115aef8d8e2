/*
 * Losses as pairs: microbatches give the numbers of the whole batch, though their weights differ.
 * And refusals: what is said, and that nothing is computed.
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

enum { BATCH = 8, WIDTH = 6, TIME = 5, CLASSES = 4, INPUTS = 5, MOST = 64 };

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

/* What a loss is made of: h (BATCH, CLASSES) of the model; the inputs. */
typedef struct given {
    tw_value h, wide; /* wide: (BATCH, TIME, CLASSES) */
    tw_value label;   /* i32 (BATCH), some of them -1 */
    tw_value target;  /* f32 (BATCH, CLASSES) in (0, 1) */
    tw_value weight;  /* f32 (BATCH) */
    tw_value pair;    /* i32 (BATCH, 2): labels of tw_ctc */
} given;
typedef tw_value (*loss_function)(const given *g);

static tw_value side(const given *g) { /* -1 or 1 (BATCH, CLASSES) */
    tw_value high = tw_compare(TW_GT, g->target, tw_literal(g->target, 0.5));
    return tw_select(high, tw_literal(g->target, 1), tw_literal(g->target, -1));
}
static tw_value column(tw_value x) { return tw_reshape(tw_slice(x, 1, 0, 1), TW_SHAPE(BATCH)); }

static tw_value l1(const given *g) {
    return tw_l1(g->h, g->target, &(tw_regression_opts){.weights = g->weight});
}
static tw_value huber(const given *g) {
    return tw_huber(g->h, g->target, &(tw_regression_opts){.delta = 0.3});
}
static tw_value entropy(const given *g) {
    tw_value classes =
        tw_shift(tw_cast(tw_iota(g->h.graph, TW_I32, TW_SHAPE(CLASSES), 0), TW_F32), 1);
    return tw_cross_entropy(g->h, g->label,
                            &(tw_cross_entropy_opts){.weights = g->weight,
                                                     .class_weights = classes,
                                                     .smoothing = 0.1,
                                                     .ignore = true,
                                                     .ignored = 2});
}
static tw_value smoothed(const given *g) {
    return tw_cross_entropy(g->h, g->label, &(tw_cross_entropy_opts){.smoothing = 0.1});
}
static tw_value dense(const given *g) {
    return tw_cross_entropy(g->h, g->target, &(tw_cross_entropy_opts){.weights = g->weight});
}
static tw_value binary(const given *g) {
    return tw_binary_cross_entropy(g->h, g->target,
                                   &(tw_binary_cross_entropy_opts){.weights = g->weight});
}
static tw_value divergence(const given *g) {
    return tw_kl_divergence(tw_log_softmax(g->h), g->target, NULL);
}
static tw_value hinge(const given *g) { return tw_hinge(g->h, side(g), NULL); }
static tw_value multi_margin(const given *g) {
    return tw_multi_margin(g->h, g->label, &(tw_hinge_opts){.weights = g->weight});
}
static tw_value cosine(const given *g) {
    return tw_cosine_embedding(g->h, g->target, column(side(g)), NULL);
}
static tw_value contrastive(const given *g) {
    return tw_contrastive(g->h, g->target, column(g->target),
                          &(tw_similarity_opts){.weights = g->weight});
}
static tw_value triplet(const given *g) {
    return tw_triplet_margin(g->h, g->target, tw_scale(g->target, 0.5), NULL);
}
static tw_value info_nce(const given *g) {
    return tw_info_nce(g->h, g->target, &(tw_info_nce_opts){.symmetric = true});
}
static tw_value margin(const given *g) {
    return tw_margin_ranking(g->h, g->target, side(g), &(tw_ranking_opts){.margin = 0.1});
}
/* Items below 0.3 are padding, so that lists have different numbers of pairs. */
static tw_value relevance(const given *g) { return tw_shift(g->target, -0.3); }
static tw_value pairwise(const given *g) { return tw_pairwise_logistic(g->h, relevance(g), NULL); }
static tw_value listnet(const given *g) { return tw_listnet(g->h, relevance(g), NULL); }
static tw_value listmle(const given *g) {
    return tw_listmle(g->h, relevance(g), &(tw_ranking_opts){.weights = g->weight});
}
static tw_value ctc(const given *g) {
    tw_value times = tw_shift(tw_max(g->label, tw_literal(g->label, 0)), 2);
    tw_value counts = tw_min(tw_shift(g->label, 1), tw_literal(g->label, 2));
    return tw_ctc(g->wide, g->pair, times, counts,
                  &(tw_ctc_opts){.weights = g->weight, .zero_infinity = true});
}

static const struct {
    const char *name;
    loss_function loss;
} losses[] = {{"l1", l1},
              {"huber", huber},
              {"cross-entropy", entropy},
              {"smoothed", smoothed},
              {"dense", dense},
              {"binary", binary},
              {"divergence", divergence},
              {"hinge", hinge},
              {"multi-margin", multi_margin},
              {"cosine", cosine},
              {"contrastive", contrastive},
              {"triplet", triplet},
              {"info_nce", info_nce},
              {"margin", margin},
              {"pairwise", pairwise},
              {"listnet", listnet},
              {"listmle", listmle},
              {"ctc", ctc}};

typedef struct outcome {
    double loss, first, weight[MOST], bias[MOST], correct[2];
} outcome;

static void data_of(tw_tensor **data) {
    const double label[BATCH] = {0, 1, 2, -1, 3, 0, 1, -1};
    const double pair[2 * BATCH] = {1, 2, 3, 3, 2, 1, 1, 1, 3, 2, 2, 2, 1, 3, 3, 1};
    data[0] = tensor_drawn(context, TW_F32, TW_SHAPE(BATCH, WIDTH), 1, -1, 1);
    data[1] = tensor_of(context, TW_I32, TW_SHAPE(BATCH), label);
    data[2] = tensor_drawn(context, TW_F32, TW_SHAPE(BATCH, CLASSES), 2, 0.01, 0.99);
    data[3] = tensor_drawn(context, TW_F32, TW_SHAPE(BATCH), 3, 0.2, 2);
    data[4] = tensor_of(context, TW_I32, TW_SHAPE(BATCH, 2), pair);
}

/* Three steps of SGD. */
static void train(loss_function loss, int parts, outcome *o) {
    tw_store *store = tw_store_new(context, &(tw_store_opts){.seed = 4});
    tw_graph *graph = tw_graph_new(context, store, TW_SYMBOLIC, &(tw_graph_opts){.training = true});
    const tw_value in[INPUTS] = {tw_input(graph, "x", TW_F32, TW_SHAPE(BATCH, WIDTH)),
                                 tw_input(graph, "label", TW_I32, TW_SHAPE(BATCH)),
                                 tw_input(graph, "target", TW_F32, TW_SHAPE(BATCH, CLASSES)),
                                 tw_input(graph, "weight", TW_F32, TW_SHAPE(BATCH)),
                                 tw_input(graph, "pair", TW_I32, TW_SHAPE(BATCH, 2))};
    tw_value all = tw_dense(in[0], "fc", TIME * CLASSES, NULL);
    given g = {.wide = tw_reshape(all, TW_SHAPE(BATCH, TIME, CLASSES)),
               .h = tw_slice(all, 1, 0, CLASSES),
               .label = in[1],
               .target = in[2],
               .weight = in[3],
               .pair = in[4]};
    tw_value out[3] = {loss(&g), tw_top_k_correct(g.h, in[1], 2),
                       tw_confusion(tw_argmax(g.h, -1), in[1], CLASSES)};
    tw_minimize(out[0], &(tw_optimizer){.kind = TW_SGD, .rate = 0.2, .microbatches = parts});
    tw_program *program = tw_compile(graph, INPUTS, in, 3, out, NULL);
    if (!program) fail_msg("%s", tw_message(context));
    tw_tensor *data[INPUTS], *result[3] = {NULL};
    data_of(data);
    for (int i = 0; i < 3; i++) {
        if (tw_run(program, data, result)) fail_msg("%s", tw_message(context));
        o->loss = tw_tensor_item(result[0]);
        if (!i) o->first = o->loss;
    }
    double confusion[CLASSES * CLASSES];
    o->correct[0] = tw_tensor_item(result[1]);
    assert_int_equal(numbers_of(result[2], CLASSES * CLASSES, confusion), CLASSES * CLASSES);
    o->correct[1] = 0;
    for (int i = 0; i < CLASSES * CLASSES; i++) o->correct[1] += (i + 1) * confusion[i];
    memset(o->weight, 0, sizeof o->weight);
    numbers_at(store, "fc/weight", MOST, o->weight);
    numbers_at(store, "fc/bias", MOST, o->bias);
    for (int i = 0; i < 3; i++) tw_tensor_free(result[i]);
    for (int i = 0; i < INPUTS; i++) tw_tensor_free(data[i]);
    tw_program_free(program);
    tw_graph_free(graph);
    tw_store_free(store);
}

static void test_microbatches(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof losses / sizeof *losses; i++) {
        static outcome whole, cut;
        train(losses[i].loss, 1, &whole);
        if (!(whole.loss < whole.first)) fail_msg("%s does not fall", losses[i].name);
        for (int parts = 2; parts <= BATCH; parts *= 2) {
            char what[64];
            snprintf(what, sizeof what, "%s, %d microbatches", losses[i].name, parts);
            train(losses[i].loss, parts, &cut);
            assert_near(what, 1, &cut.loss, &whole.loss, 1e-6);
            assert_near(what, MOST, cut.weight, whole.weight, 1e-6);
            assert_near(what, TIME * CLASSES, cut.bias, whole.bias, 1e-6);
            assert_near(what, 2, cut.correct, whole.correct, 0);
        }
    }
}

/* tw_weighted_mean of one's own losses; zeros weigh nothing. */
static void test_weighted_mean(void **state) {
    (void)state;
    tw_graph *graph = tw_graph_new(context, NULL, TW_SYMBOLIC, NULL);
    const double number[] = {1, 2, 3, 4}, weight[] = {0.5, 0}, want = 1.5;
    tw_value in[] = {tw_input(graph, "x", TW_F64, TW_SHAPE(2, 2)),
                     tw_input(graph, "weight", TW_F64, TW_SHAPE(2))};
    tw_value y = tw_weighted_mean(in[0], in[1]);
    tw_tensor *data[] = {tensor_of(context, TW_F64, TW_SHAPE(2, 2), number),
                         tensor_of(context, TW_F64, TW_SHAPE(2), weight)},
              *result = NULL;
    tw_program *program = tw_compile(graph, 2, in, 1, &y, NULL);
    if (!program || tw_run(program, data, &result)) fail_msg("%s", tw_message(context));
    double have = tw_tensor_item(result);
    assert_near("weighted mean", 1, &have, &want, 1e-15);
}

/* One batch extent for all: the program runs for each. */
static void test_open_batch(void **state) {
    (void)state;
    tw_graph *graph = tw_graph_new(context, NULL, TW_SYMBOLIC, NULL);
    int64_t n = tw_symbol(context, "n");
    tw_value in[] = {tw_input(graph, "x", TW_F32, TW_SHAPE(n, TIME, CLASSES)),
                     tw_input(graph, "label", TW_I32, TW_SHAPE(n, 2)),
                     tw_input(graph, "times", TW_I32, TW_SHAPE(n)),
                     tw_input(graph, "counts", TW_I64, TW_SHAPE(n))};
    tw_value last = tw_reshape(tw_slice(in[0], 1, 0, 1), TW_SHAPE(n, CLASSES));
    tw_value first = tw_reshape(tw_slice(in[1], 1, 0, 1), TW_SHAPE(n));
    tw_value relevance = tw_softmax(last);
    tw_value out[] = {
        tw_ctc(in[0], in[1], in[2], in[3], NULL),
        tw_cross_entropy(last, first, &(tw_cross_entropy_opts){.smoothing = 0.1}),
        tw_listmle(last, relevance, NULL),
        tw_pairwise_logistic(last, relevance, NULL),
        tw_multi_margin(last, first, NULL),
    };
    tw_program *program = tw_compile(graph, 4, in, 5, out, NULL);
    if (!program) fail_msg("%s", tw_message(context));
    const double label[] = {1, 2, 3, 3, 2, 1}, times[] = {5, 4, 3}, counts[] = {2, 2, 1};
    double all[5], sum[5] = {0};
    tw_tensor *whole = tensor_drawn(context, TW_F32, TW_SHAPE(3, TIME, CLASSES), 1, -1, 1);
    double x[3 * TIME * CLASSES];
    numbers_of(whole, 3 * TIME * CLASSES, x);
    for (int i = -1; i < 3; i++) { /* all three, then each alone */
        int from = i < 0 ? 0 : i, size = i < 0 ? 3 : 1;
        tw_tensor *result[5] = {NULL};
        tw_tensor *data[] = {
            tensor_of(context, TW_F32, TW_SHAPE(size, TIME, CLASSES), x + from * TIME * CLASSES),
            tensor_of(context, TW_I32, TW_SHAPE(size, 2), label + 2 * from),
            tensor_of(context, TW_I32, TW_SHAPE(size), times + from),
            tensor_of(context, TW_I64, TW_SHAPE(size), counts + from)};
        if (tw_run(program, data, result)) fail_msg("%s", tw_message(context));
        for (int k = 0; k < 5; k++) {
            double number = tw_tensor_item(result[k]);
            if (i < 0)
                all[k] = number;
            else
                sum[k] += number / 3;
        }
    }
    assert_near("one by one", 5, sum, all, 1e-6);
}

/* parse(print(g)) prints the same; an infinite literal too. */
static void check_text(tw_graph *g) {
    char *first = tw_graph_print(g);
    tw_graph *again = first ? tw_graph_parse(context, NULL, first) : NULL;
    char *second = again ? tw_graph_print(again) : NULL;
    if (!second) fail_msg("%s", tw_message(context));
    assert_string_equal(first, second);
    tw_string_free(context, first);
    tw_string_free(context, second);
    tw_graph_free(again);
}

/* No NaN in a gradient: an impossible alignment, a probability of 0, lists without items. */
static void test_finite(void **state) {
    (void)state;
    tw_graph *g = tw_graph_new(context, NULL, TW_SYMBOLIC, NULL);
    const double pair[] = {1, 1, 1, 2}, times[] = {2, 3}, counts[] = {2, 2};
    double p[2 * 3 * 3], relevance[] = {-1, -1, -1, 2, -1, 0};
    for (int i = 0; i < 2 * 3 * 3; i++) p[i] = i % 4 == 1 ? -INFINITY : log(1.0 / 3);
    tw_value in[] = {
        tw_input(g, "p", TW_F32, TW_SHAPE(2, 3, 3)), tw_input(g, "pair", TW_I32, TW_SHAPE(2, 2)),
        tw_input(g, "times", TW_I32, TW_SHAPE(2)), tw_input(g, "counts", TW_I32, TW_SHAPE(2)),
        tw_input(g, "relevance", TW_F32, TW_SHAPE(2, 3))};
    tw_value scores = tw_reshape(tw_slice(in[0], 1, 0, 1), TW_SHAPE(2, 3));
    scores = tw_exp(scores);
    tw_value out[8] = {
        tw_ctc(in[0], in[1], in[2], in[3], &(tw_ctc_opts){.log_probabilities = true}),
        tw_listnet(scores, in[4], NULL), tw_listmle(scores, in[4], NULL),
        tw_pairwise_logistic(scores, in[4], NULL)};
    for (int i = 0; i < 4; i++) tw_grad(out[i], 1, i ? &scores : in, &out[4 + i]);
    check_text(g);
    tw_program *program = tw_compile(g, 5, in, 8, out, NULL);
    tw_tensor *data[] = {tensor_of(context, TW_F32, TW_SHAPE(2, 3, 3), p),
                         tensor_of(context, TW_I32, TW_SHAPE(2, 2), pair),
                         tensor_of(context, TW_I32, TW_SHAPE(2), times),
                         tensor_of(context, TW_I32, TW_SHAPE(2), counts),
                         tensor_of(context, TW_F32, TW_SHAPE(2, 3), relevance)},
              *result[8] = {NULL};
    if (!program || tw_run(program, data, result)) fail_msg("%s", tw_message(context));
    assert_true(isinf(tw_tensor_item(result[0])));
    for (int i = 1; i < 8; i++) {
        double number[MOST];
        int n = numbers_of(result[i], MOST, number);
        for (int k = 0; k < n; k++)
            if (!isfinite(number[k])) fail_msg("output %d has %g at %d", i, number[k], k);
        if (i == 4) /* the impossible example has no gradient */
            for (int k = 0; k < 9; k++) assert_true(number[k] == 0);
    }
}

/* Computed at once as compiled; and the perplexity of even logits is their number. */
static void test_immediate(void **state) {
    (void)state;
    tw_graph *g = tw_graph_new(context, NULL, TW_IMMEDIATE, NULL);
    const int32_t label[] = {0, 3, -1};
    tw_value logits = tw_zeros(g, TW_F32, TW_SHAPE(3, 4));
    tw_value labels = tw_constant_of(g, TW_I32, TW_SHAPE(3), label);
    double have[] = {tw_item(tw_perplexity(tw_cross_entropy(logits, labels, NULL))),
                     tw_item(tw_top_k_correct(logits, labels, 1)),
                     tw_item(tw_correct(logits, labels)),
                     tw_item(tw_top_k_correct(logits, labels, 4))};
    assert_near("at once", 4, have, (double[]){4, 1, 1, 2}, 1e-6);
}

/* Runtime indices past the end. */
static void test_past_the_end(void **state) {
    (void)state;
    for (int which = 0; which < 2; which++) {
        tw_graph *graph = tw_graph_new(context, NULL, TW_SYMBOLIC, NULL);
        tw_value x = tw_input(graph, "x", TW_F32, TW_SHAPE(2, CLASSES));
        tw_value label = tw_input(graph, "label", TW_I32, TW_SHAPE(2));
        const tw_value in[] = {x, label};
        const double number[] = {0, CLASSES};
        tw_value y = which ? tw_confusion(tw_argmax(x, -1), label, CLASSES)
                           : tw_cross_entropy(x, label, &(tw_cross_entropy_opts){.smoothing = 0.5});
        tw_tensor *data[] = {tensor_drawn(context, TW_F32, TW_SHAPE(2, CLASSES), 1, -1, 1),
                             tensor_of(context, TW_I32, TW_SHAPE(2), number)},
                  *result = NULL;
        tw_program *program = tw_compile(graph, 2, in, 1, &y, NULL);
        if (!program) fail_msg("%s", tw_message(context));
        assert_int_equal(tw_run(program, data, &result), TW_ERR_INDEX);
    }
}

static tw_graph *graph;
static tw_value matrix, other, row, wide, whole_numbers, double_row;

static void begin(void) {
    graph = tw_graph_new(context, NULL, TW_SYMBOLIC, NULL);
    matrix = tw_input(graph, "matrix", TW_F32, TW_SHAPE(4, 3));
    other = tw_input(graph, "other", TW_F32, TW_SHAPE(4, 1));
    row = tw_input(graph, "row", TW_F32, TW_SHAPE(3));
    wide = tw_input(graph, "wide", TW_F32, TW_SHAPE(4, 5, 3));
    whole_numbers = tw_input(graph, "whole", TW_I32, TW_SHAPE(4));
    double_row = tw_input(graph, "double", TW_F64, TW_SHAPE(4));
}

static void check_refused(tw_value y, tw_status status, const char *says) {
    assert_false(tw_ok(y));
    if (tw_graph_status(graph) != status || !strstr(tw_message(context), says))
        fail_msg("status %d and '%s' expected: %d, %s", status, says, tw_graph_status(graph),
                 tw_message(context));
    tw_graph_free(graph);
    begin();
}

static void test_refusals(void **state) {
    (void)state;
    begin();
    check_refused(tw_l1(matrix, other, NULL), TW_ERR_SHAPE, "tw_l1: prediction and target differ");
    check_refused(tw_l1(whole_numbers, whole_numbers, NULL), TW_ERR_TYPE, "expected f32 or f64");
    check_refused(tw_huber(matrix, matrix, &(tw_regression_opts){.delta = -1}), TW_ERR_ARGUMENT,
                  "delta is -1");
    check_refused(tw_l1(matrix, matrix, &(tw_regression_opts){.weights = row}), TW_ERR_SHAPE,
                  "leading axes");
    check_refused(tw_l1(matrix, matrix, &(tw_regression_opts){.weights = double_row}), TW_ERR_TYPE,
                  "weights are f64, expected f32");
    check_refused(tw_cross_entropy(matrix, row, NULL), TW_ERR_SHAPE, "probabilities");
    check_refused(tw_cross_entropy(wide, whole_numbers, NULL), TW_ERR_SHAPE, "one for each row");
    check_refused(tw_cross_entropy(matrix, matrix, &(tw_cross_entropy_opts){.ignore = true}),
                  TW_ERR_ARGUMENT, "integer labels");
    check_refused(
        tw_cross_entropy(matrix, whole_numbers, &(tw_cross_entropy_opts){.smoothing = 1.5}),
        TW_ERR_ARGUMENT, "smoothing is 1.5");
    check_refused(
        tw_cross_entropy(matrix, whole_numbers, &(tw_cross_entropy_opts){.class_weights = other}),
        TW_ERR_SHAPE, "(classes)");
    check_refused(tw_multi_margin(matrix, matrix, NULL), TW_ERR_TYPE, "expected integers");
    check_refused(
        tw_binary_cross_entropy(other, other, &(tw_binary_cross_entropy_opts){.pos_weight = row}),
        TW_ERR_SHAPE, "pos_weight");
    check_refused(tw_cosine_embedding(matrix, matrix, other, NULL), TW_ERR_SHAPE, "each pair");
    check_refused(tw_triplet_margin(matrix, matrix, other, NULL), TW_ERR_SHAPE, "negative");
    check_refused(tw_info_nce(wide, wide, NULL), TW_ERR_SHAPE, "(rows, width)");
    check_refused(tw_listnet(row, row, NULL), TW_ERR_SHAPE, "(1, items)");
    check_refused(tw_top_k_correct(matrix, whole_numbers, 0), TW_ERR_ARGUMENT, "k = 0");
    check_refused(tw_confusion(whole_numbers, whole_numbers, 0), TW_ERR_ARGUMENT, "0 classes");
}

static void test_ctc_refusals(void **state) {
    (void)state;
    begin();
    tw_value n = whole_numbers, pair = tw_reshape(n, TW_SHAPE(4, 1));
    check_refused(tw_ctc(matrix, pair, n, n, NULL), TW_ERR_SHAPE, "(batch, time, classes)");
    n = whole_numbers, pair = tw_reshape(n, TW_SHAPE(4, 1));
    check_refused(tw_ctc(wide, other, n, n, NULL), TW_ERR_TYPE, "labels f32");
    n = whole_numbers, pair = tw_reshape(n, TW_SHAPE(4, 1));
    check_refused(tw_ctc(wide, pair, n, double_row, NULL), TW_ERR_SHAPE, "label lengths");
    n = whole_numbers, pair = tw_reshape(n, TW_SHAPE(4, 1));
    check_refused(tw_ctc(wide, pair, n, n, &(tw_ctc_opts){.blank = 3}), TW_ERR_ARGUMENT,
                  "blank is 3");
    n = whole_numbers, pair = tw_reshape(n, TW_SHAPE(4, 1));
    tw_value open = tw_input(graph, "open", TW_F32, TW_SHAPE(4, tw_symbol(context, "t"), 3));
    check_refused(tw_ctc(open, pair, n, n, NULL), TW_ERR_SHAPE, "numbers");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_microbatches), cmocka_unit_test(test_weighted_mean),
        cmocka_unit_test(test_open_batch),   cmocka_unit_test(test_past_the_end),
        cmocka_unit_test(test_finite),       cmocka_unit_test(test_immediate),
        cmocka_unit_test(test_refusals),     cmocka_unit_test(test_ctc_refusals),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
