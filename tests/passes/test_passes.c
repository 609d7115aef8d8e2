/*
 * Passes on small graphs: whole texts before and after, numbers before and after, and what must stay
 * as it is.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <thalweg/thalweg.h>

#include "support/golden.h"
#include "support/passes.h"

static tw_value input(tw_graph *g, const char *name, int64_t rows, int64_t columns) {
    return tw_input(g, name, TW_F32, TW_SHAPE(rows, columns));
}

static void identities(tw_graph *g, tw_value *out) {
    tw_value x = input(g, "x", 3, 4), y = tw_scale(x, 1);
    y = tw_div(y, tw_literal(y, 4)); /* a multiplication by 0.25 */
    y = tw_transpose(tw_transpose(y));
    y = tw_reshape(tw_reshape(y, TW_SHAPE(12)), TW_SHAPE(3, 4));
    y = tw_neg(tw_neg(tw_slice(y, 0, 0, 3)));
    y = tw_reverse(tw_reverse(y, 1), 1);
    *out = tw_sub(tw_abs(tw_neg(y)), tw_literal(y, 0));
}

static void constants(tw_graph *g, tw_value *out) {
    tw_value x = input(g, "x", 3, 4), two = tw_full(g, TW_F32, TW_SHAPE(), 2);
    tw_value y = tw_exp(tw_sub(tw_square(two), tw_literal(two, 4))); /* 1 */
    *out = tw_mul(x, tw_broadcast(tw_reshape(y, TW_SHAPE(1, 1)), TW_SHAPE(3, 4)));
}

static void twice(tw_graph *g, tw_value *out) {
    tw_value x = input(g, "x", 3, 4);
    tw_value a = tw_tanh(tw_scale(x, 2)), b = tw_tanh(tw_scale(x, 2));
    *out = tw_add(tw_mul(a, b), tw_tanh(tw_scale(x, 3)));
}

static void test_simplify(void **state) {
    (void)state;
    const char *text = passes_after(identities, "simplify dead");
    golden_compare("pass_simplify.txt", text);
    assert_int_equal(passes_count(text, "transpose(") + passes_count(text, "reshape(") +
                         passes_count(text, "neg("),
                     0);
    assert_int_equal(passes_count(text, "div("), 0);
}

static void test_fold(void **state) {
    (void)state;
    const char *text = passes_after(constants, NULL);
    golden_compare("pass_fold.txt", text);
    assert_int_equal(passes_count(text, "exp(") + passes_count(text, "broadcast(") +
                         passes_count(text, "mul("),
                     0);
}

static void test_common(void **state) {
    (void)state;
    const char *text = passes_after(twice, "common dead");
    golden_compare("pass_common.txt", text);
    assert_int_equal(passes_count(text, "tanh("), 2);
}

/* What a checkpoint computes again is not taken from the forward phase. */
static void inner(tw_graph *g, const tw_value *in, tw_value *out, const void *config) {
    (void)g, (void)config;
    out[0] = tw_tanh(tw_tanh(in[0]));
}

static void checkpointed(tw_graph *g, tw_value *out) {
    tw_value x = input(g, "x", 3, 4), y = {0}, dx;
    tw_checkpoint(g, inner, NULL, 1, &x, 1, &y);
    tw_grad(tw_sum(y), 1, &x, &dx);
    *out = tw_add(dx, tw_tanh(tw_tanh(x)));
}

static void test_epochs(void **state) {
    (void)state;
    const char *text = passes_after(checkpointed, NULL);
    const char *main = strstr(text, "graph @main");
    assert_non_null(main);
    assert_int_equal(passes_count(main, "tanh("), 4);
    assert_true(passes_count(main, "epoch=1") >= 2);
}

/* x w^T, and a batched product whose free axes would change places: that transpose stays. */
static void transposes(tw_graph *g, tw_value *out) {
    tw_value x = input(g, "x", 5, 7), w = input(g, "w", 6, 7);
    tw_value a = tw_input(g, "a", TW_F32, TW_SHAPE(4, 3, 7, 2));
    tw_value y = tw_matmul(x, tw_transpose(w)); /* 5 x 6 */
    const int turned[] = {1, 0, 2, 3}, first[] = {3, 2}, second[] = {0, 1};
    tw_value b = tw_input(g, "b", TW_F32, TW_SHAPE(2, 7));
    tw_value z = tw_dot(tw_permute(a, turned), b, 0, NULL, NULL, 2, first, second); /* 3 x 4 */
    *out = tw_add(tw_sum(y), tw_sum(tw_mul(z, z)));
}

/* One matrix for each of a batch is no batch, in front; behind, the axes would change places. */
static void broadcast_batch(tw_graph *g, tw_value *out) {
    tw_value a = tw_input(g, "a", TW_F32, TW_SHAPE(4, 5, 7)), b = input(g, "b", 7, 6);
    tw_value c = tw_input(g, "c", TW_F32, TW_SHAPE(4, 6, 3)), d = input(g, "d", 2, 5);
    tw_value y = tw_matmul(a, tw_broadcast(b, TW_SHAPE(4, 7, 6))); /* 4 x 5 x 6 */
    y = tw_matmul(y, c);                                           /* 4 x 5 x 3 */
    *out = tw_matmul(tw_broadcast(d, TW_SHAPE(4, 2, 5)), y);
}

/* Equal rows give equal rows, and so does one number everywhere, as in the gradient of a sum. */
static void broadcast_rows(tw_graph *g, tw_value *out) {
    tw_value row = tw_input(g, "row", TW_F32, TW_SHAPE(7)), b = input(g, "b", 7, 6), db;
    tw_value y = tw_matmul(tw_broadcast(row, TW_SHAPE(5, 7)), b), x = input(g, "x", 8, 7);
    tw_grad(tw_sum(tw_matmul(x, b)), 1, &b, &db);
    *out = tw_concat(1, 2, (tw_value[]){tw_transpose(y), tw_transpose(db)});
}

/* Equal columns within a sum are added up one by one. */
static void broadcast_summed(tw_graph *g, tw_value *out) {
    tw_value column = tw_input(g, "column", TW_F32, TW_SHAPE(5));
    const int axes[] = {1, 0};
    tw_value wide = tw_permute(tw_broadcast(column, TW_SHAPE(7, 5)), axes);
    *out = tw_matmul(wide, input(g, "b", 7, 6));
}

/* Two wide products first and their sums after: the first sum before the second product needs less. */
static void wide(tw_graph *g, tw_value *out) {
    tw_value x = input(g, "x", 64, 64), y = input(g, "y", 64, 64);
    tw_value a = tw_matmul(x, y), b = tw_matmul(y, x);
    *out = tw_add(tw_sum(a), tw_sum(b));
}

/* What is as good as it gets stays as it is. */
static void narrow(tw_graph *g, tw_value *out) { *out = tw_sum(tw_exp(input(g, "x", 8, 8))); }

static void test_schedule(void **state) {
    (void)state;
    const char *text = passes_after(wide, "schedule");
    golden_compare("pass_schedule.txt", text);
    assert_true(strstr(strstr(text, "dot("), "reduce(") < strstr(strstr(text, "dot(") + 1, "dot("));
    char before[4096];
    strcpy(before, passes_after(narrow, "dead"));
    assert_string_equal(passes_after(narrow, "schedule"), before);
}

/* Forward work that the backward phase reads is done again there. */
static void steep(tw_graph *g, tw_value *out) {
    tw_value x = input(g, "x", 3, 4), dx;
    tw_value y = tw_sum(tw_exp(tw_sin(x)));
    tw_grad(y, 1, &x, &dx);
    *out = tw_add(tw_sum(dx), y);
}

static void test_recompute(void **state) {
    (void)state;
    golden_compare("pass_recompute.txt", passes_after(steep, "recompute dead"));
    assert_int_equal(passes_count(passes_after(steep, "common dead"), "exp("), 1);
    assert_int_equal(passes_count(passes_after(steep, "common dead recompute dead"), "exp("), 2);
}

static void test_sink(void **state) {
    (void)state;
    const char *text = passes_after(transposes, "sink dead");
    golden_compare("pass_sink.txt", text);
    assert_int_equal(passes_count(text, "transpose("), 1);
    golden_compare("pass_sink_batch.txt", passes_after(broadcast_batch, "sink dead"));
    golden_compare("pass_sink_rows.txt", passes_after(broadcast_rows, "simplify sink dead"));
    text = passes_after(broadcast_summed, "simplify sink dead");
    assert_non_null(strstr(text, ": f32[5,7]"));
}

/* The gradient of relu and pooling; windows that overlap if `stride` is 1. */
static void pool_gradient(tw_graph *g, int64_t stride, bool used_twice, tw_value *out) {
    tw_value x = tw_input(g, "x", TW_F32, TW_SHAPE(2, 6, 6, 3)), dx = {0};
    tw_value y = tw_relu(x);
    tw_value p = tw_max_pool(y, &(tw_pool_opts){.window = {2, 2}, .stride = {stride, stride}});
    tw_value loss = tw_sum(tw_mul(p, tw_sin(p)));
    if (used_twice) loss = tw_add(loss, tw_sum(tw_square(y)));
    tw_grad(loss, 1, &x, &dx);
    *out = dx;
}

static void pooled(tw_graph *g, tw_value *out) { pool_gradient(g, 2, false, out); }
static void pooled_overlapping(tw_graph *g, tw_value *out) { pool_gradient(g, 1, false, out); }
static void pooled_and_read(tw_graph *g, tw_value *out) { pool_gradient(g, 2, true, out); }

/* A composite, a bias that two have in common, a reduction and what is made of its result. */
static void normalized(tw_graph *g, tw_value *out) {
    tw_value x = input(g, "x", 64, 48), bias = tw_input(g, "bias", TW_F32, TW_SHAPE(48));
    tw_value a = tw_sigmoid(tw_add(x, bias)), b = tw_add(tw_matmul(a, input(g, "w", 48, 48)), bias);
    *out = tw_softmax(tw_relu(b));
}

static void test_fuse(void **state) {
    (void)state;
    golden_compare("pass_expand.txt", passes_after(normalized, "expand simplify common dead"));
    const char *text = passes_after(normalized, "expand simplify common dead spread fuse");
    golden_compare("pass_fuse.txt", text);
    /* What is before the product, and what is after it: the bias does not tie them. */
    assert_int_equal(passes_count(text, "= fused("), 2);
}

/* A layer and a step against it: each is one kernel with its product. */
static void finished(tw_graph *g, tw_value *out) {
    tw_value x = input(g, "x", 16, 48), bias = tw_input(g, "bias", TW_F32, TW_SHAPE(32));
    tw_value w = input(g, "w", 48, 32), y = tw_relu(tw_add(tw_matmul(x, w), bias));
    *out = tw_sub(w, tw_scale(tw_matmul(tw_transpose(x), y), 0.1));
}

static void test_fuse_products(void **state) {
    (void)state;
    const char *text = passes_after(finished, "expand simplify sink common dead spread fuse");
    golden_compare("pass_fuse_products.txt", text);
    assert_int_equal(passes_count(text, "= fused("), 2);
}

/* Parts of a sum that are there one after the other are added up as they come. */
static void parts(tw_graph *g, tw_value *out) {
    tw_value sum = {0};
    for (int i = 0; i < 6; i++) {
        char name[2] = {(char)('a' + i), 0};
        tw_value part = tw_matmul(input(g, name, 64, 48), tw_transpose(input(g, "w", 64, 48)));
        sum = i ? tw_add(sum, part) : part;
    }
    *out = sum;
}

static void test_fuse_waits(void **state) {
    (void)state;
    const char *text = passes_after(parts, "sink spread fuse");
    int together = passes_count(text, "= fused(");
    assert_true(together >= 2);
    /* Each has the product that it waited for last. */
    assert_int_equal(passes_count(text, "= dot("), 6);
    assert_int_equal(passes_count(strstr(text, "graph @"), "= dot("), 6 - together);
}

static void test_pool(void **state) {
    (void)state;
    golden_compare("pass_pool.txt", passes_after(pooled, "pool dead"));
    assert_non_null(strstr(passes_after(pooled_overlapping, "pool dead"), "relu_grad(%2"));
    /* The gradient that y's other reader adds is no pool's. */
    static char before[8192];
    strcpy(before, passes_after(pooled_and_read, "dead"));
    assert_string_equal(before, passes_after(pooled_and_read, "pool dead"));
}

/* Queries, keys and values of one x. */
static void projections(tw_graph *g, tw_value *out) {
    tw_value x = input(g, "x", 32, 64);
    tw_value q = tw_matmul(x, input(g, "wq", 64, 64)), k = tw_matmul(x, input(g, "wk", 64, 64));
    tw_value v = tw_matmul(x, input(g, "wv", 64, 48));
    *out = tw_matmul(tw_softmax(tw_matmul(q, tw_transpose(k))), v);
}

/* The same with biases, each finished in its product's tiles. */
static void biased_projections(tw_graph *g, tw_value *out) {
    tw_value x = input(g, "x", 32, 64), y[3];
    for (int i = 0; i < 3; i++) {
        char w[3] = {'w', (char)('0' + i), 0}, b[3] = {'b', (char)('0' + i), 0};
        y[i] = tw_add(tw_matmul(x, input(g, w, 64, 64)), input(g, b, 1, 64));
    }
    *out = tw_matmul(tw_softmax(tw_matmul(y[0], tw_transpose(y[1]))), y[2]);
}

/* Gates: fusion finishes the last in the tile. */
static void gates(tw_graph *g, tw_value *out) {
    tw_value x = input(g, "x", 16, 128), c = input(g, "c", 16, 128), z[4];
    for (int i = 0; i < 4; i++) {
        char name[3] = {'w', (char)('0' + i), 0};
        z[i] = tw_matmul(x, input(g, name, 128, 128));
    }
    c = tw_add(tw_mul(tw_sigmoid(z[1]), c), tw_mul(tw_sigmoid(z[0]), tw_tanh(z[2])));
    *out = tw_mul(tw_sigmoid(z[3]), tw_tanh(c));
}

/* The gradients of weights are siblings once both dy are there, one of them lying across. */
static void weight_gradients(tw_graph *g, tw_value *out) {
    tw_value x = input(g, "x", 64, 64), w[2] = {input(g, "v", 64, 64), input(g, "w", 64, 64)};
    tw_value dw[2], y = tw_matmul(tw_matmul(x, w[0]), tw_transpose(tw_matmul(x, w[1])));
    tw_grad(tw_sum(tw_mul(y, y)), 2, w, dw);
    *out = tw_matmul(dw[0], dw[1]);
}

/* The second needs the first. */
static void one_after_another(tw_graph *g, tw_value *out) {
    tw_value x = input(g, "x", 64, 64), y = tw_matmul(x, input(g, "w", 64, 64));
    *out = tw_matmul(y, tw_matmul(x, tw_transpose(y)));
}

static void other_operand(tw_graph *g, tw_value *out) {
    tw_value w = input(g, "w", 64, 64);
    *out = tw_matmul(tw_matmul(input(g, "x", 64, 64), w), tw_matmul(input(g, "z", 64, 64), w));
}

/* Large ones keep the threads busy by themselves. */
static void large(tw_graph *g, tw_value *out) {
    tw_value x = input(g, "x", 256, 256);
    *out = tw_matmul(tw_matmul(x, input(g, "v", 256, 256)), tw_matmul(x, input(g, "w", 256, 256)));
}

/* The second product would lie in memory while the most of it is taken. */
static void far_apart(tw_graph *g, tw_value *out) {
    tw_value x = input(g, "x", 256, 64), a = tw_matmul(x, input(g, "v", 64, 256));
    tw_value all = tw_matmul(input(g, "b", 2000, 256), a); /* 2000 x 256 */
    tw_value little = tw_matmul(tw_transpose(all), all);   /* 256 x 256 */
    *out = tw_matmul(little, tw_matmul(x, input(g, "w", 64, 256)));
}

/* What is computed again, is not taken into the forward phase. */
static void two_of_one(tw_graph *g, const tw_value *in, tw_value *out, const void *config) {
    (void)g, (void)config;
    out[0] = tw_matmul(tw_matmul(in[0], in[1]), in[0]);
}

static void again(tw_graph *g, tw_value *out) {
    tw_value in[2] = {input(g, "x", 64, 64), input(g, "w", 64, 64)}, y = {0}, dx;
    tw_checkpoint(g, two_of_one, NULL, 2, in, 1, &y);
    tw_grad(tw_sum(tw_mul(y, y)), 1, in, &dx);
    *out = dx;
}

static void test_merge(void **state) {
    (void)state;
    static const char passes[] = "expand simplify sink common dead spread fuse schedule merge";
    static void (*const apart[])(tw_graph *, tw_value *) = {one_after_another, large, far_apart};
    golden_compare("pass_merge.txt", passes_after(projections, passes));
    golden_compare("pass_merge_biased.txt", passes_after(biased_projections, passes));
    golden_compare("pass_merge_gates.txt", passes_after(gates, passes));
    golden_compare("pass_merge_gradients.txt",
                   strstr(passes_after(weight_gradients, passes), "graph @main"));
    for (size_t i = 0; i < sizeof apart / sizeof *apart; i++) {
        const char *text = passes_after(apart[i], passes);
        if (strstr(text, "beside=")) fail_msg("%zu: %s", i, strstr(text, "graph @main"));
    }
    assert_non_null(strstr(passes_after(other_operand, passes), "beside=1"));
    assert_null(strstr(passes_after(again, passes), "f32[64,64] beside=1"));
}

/* Marks are counted where nothing else changes. */
static void test_merge_report(void **state) {
    (void)state;
    tw_context *context = tw_context_new(NULL);
    tw_graph *g = passes_graph(context, biased_projections);
    char *text = tw_graph_summary_passes(g, "expand sink common spread fuse schedule merge");
    assert_non_null(text);
    assert_non_null(strstr(text, "+2 side by side\n"));
    tw_string_free(context, text);
    tw_context_free(context);
}

/* Same numbers with the passes and without. */
static void test_numbers(void **state) {
    (void)state;
    static const graph_maker makers[] = {identities,         constants,        twice,
                                         checkpointed,       transposes,       broadcast_batch,
                                         broadcast_rows,     broadcast_summed, pooled,
                                         pooled_overlapping, pooled_and_read};
    for (size_t i = 0; i < sizeof makers / sizeof *makers; i++) passes_near(makers[i], 1e-5);
}

static void test_refusal(void **state) {
    (void)state;
    tw_context *context = tw_context_new(NULL);
    tw_graph *g = tw_graph_new(context, NULL, TW_SYMBOLIC, NULL);
    assert_null(tw_graph_print_passes(g, "common magic"));
    assert_non_null(strstr(tw_message(context), "no pass \"magic\"; there are pool, expand, fold"));
    tw_context_free(context);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_simplify),      cmocka_unit_test(test_fold),
        cmocka_unit_test(test_common),        cmocka_unit_test(test_epochs),
        cmocka_unit_test(test_sink),          cmocka_unit_test(test_schedule),
        cmocka_unit_test(test_recompute),     cmocka_unit_test(test_fuse),
        cmocka_unit_test(test_fuse_products), cmocka_unit_test(test_fuse_waits),
        cmocka_unit_test(test_pool),          cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_merge),         cmocka_unit_test(test_merge_report),
        cmocka_unit_test(test_refusal),
    };
    return cmocka_run_group_tests_name("passes", tests, NULL, NULL);
}
