/* The order of matrix products: what becomes cheap, what stays, and the numbers of both. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <thalweg/thalweg.h>

#include "ir/graph.h"
#include "passes/chain.h"
#include "support/golden.h"
#include "support/passes.h"

static tw_value input(tw_graph *g, const char *name, int64_t rows, int64_t columns) {
    return tw_input(g, name, TW_F32, TW_SHAPE(rows, columns));
}

/* A(B(Cx)): written from the left, cheap from the right. */
static void chain_left(tw_graph *g, tw_value *out) {
    tw_value a = input(g, "a", 30, 40), b = input(g, "b", 40, 50), c = input(g, "c", 50, 60);
    tw_value x = tw_input(g, "x", TW_F32, TW_SHAPE(60));
    const int last = 1, first = 0;
    tw_value abc = tw_matmul(tw_matmul(a, b), c);
    *out = tw_dot(abc, x, 0, NULL, NULL, 1, &last, &first);
}

/* A(B(Cx)) again, where A(BC) is already better than (AB)C. */
static void chain_twice(tw_graph *g, tw_value *out) {
    tw_value a = input(g, "a", 200, 20), b = input(g, "b", 20, 50), c = input(g, "c", 50, 40);
    tw_value x = tw_input(g, "x", TW_F32, TW_SHAPE(40));
    const int last = 1, first = 0;
    tw_value abc = tw_matmul(tw_matmul(a, b), c);
    *out = tw_dot(abc, x, 0, NULL, NULL, 1, &last, &first);
}

/* (U V) W with a rank of 2, through a transpose, over an open number of rows. */
static void low_rank(tw_graph *g, tw_value *out) {
    tw_value u = input(g, "u", 200, 2), v = input(g, "v", 300, 2), w = input(g, "w", 300, 100);
    const int last = 1;
    tw_value uv = tw_dot(u, v, 0, NULL, NULL, 1, &last, &last); /* u v^T: 200 x 300 */
    *out = tw_matmul(uv, w);
}

/* (W U)^T read as such: the transposed product is taken apart too. */
static void transposed_chain(tw_graph *g, tw_value *out) {
    tw_value w = input(g, "w", 64, 64), u = input(g, "u", 64, 64), x = input(g, "x", 64, 3);
    const int first = 0;
    *out = tw_dot(tw_matmul(w, u), x, 0, NULL, NULL, 1, &first, &first); /* (w u)^T x */
}

/* Read twice, the product a b is computed once anyway. */
static void shared(tw_graph *g, tw_value *out) {
    tw_value a = input(g, "a", 30, 40), b = input(g, "b", 40, 30), x = input(g, "x", 30, 1);
    tw_value ab = tw_matmul(a, b);
    *out = tw_add(tw_matmul(ab, x), tw_sum_axis(ab, 1, true));
}

/* Already cheap. */
static void chain_right(tw_graph *g, tw_value *out) {
    tw_value a = input(g, "a", 30, 40), b = input(g, "b", 40, 50), x = input(g, "x", 50, 1);
    *out = tw_matmul(a, tw_matmul(b, x));
}

/* 2 (-(A B) / s) x: the scalars go to the smallest part, which is the vector. */
static void scaled(tw_graph *g, tw_value *out) {
    tw_value a = input(g, "a", 30, 40), b = input(g, "b", 40, 50), x = input(g, "x", 50, 1);
    tw_value s = tw_input(g, "s", TW_F32, TW_SHAPE());
    tw_value ab = tw_div(tw_neg(tw_matmul(a, b)), s);
    *out = tw_matmul(tw_scale(ab, 2), x);
}

/* A scalar of one element with axes, which multiplies a transposed product. */
static void scaled_turned(tw_graph *g, tw_value *out) {
    tw_value a = input(g, "a", 40, 30), b = input(g, "b", 50, 40), x = input(g, "x", 50, 1);
    tw_value s = input(g, "s", 1, 1);
    *out = tw_matmul(tw_mul(s, tw_transpose(tw_matmul(b, a))), x);
}

/* (b, t, k) x (k, m) x (m, n) with a thin (m, n), and axes of x that change places on the way. */
static void leading(tw_graph *g, tw_value *out) {
    tw_value x = tw_input(g, "x", TW_F32, TW_SHAPE(4, 5, 8));
    *out = tw_matmul(tw_matmul(x, input(g, "w", 8, 64)), input(g, "v", 64, 2));
}

static void leading_turned(tw_graph *g, tw_value *out) {
    const int turned[] = {1, 0, 2};
    tw_value x = tw_input(g, "x", TW_F32, TW_SHAPE(4, 5, 8));
    tw_value xw = tw_permute(tw_matmul(x, input(g, "w", 8, 64)), turned);
    *out = tw_matmul(xw, input(g, "v", 64, 2));
}

/* Attention without a softmax: (Q K^T) V is Q (K^T V) in each of the batch. */
static void batched(tw_graph *g, tw_value *out) {
    tw_value q = tw_input(g, "q", TW_F32, TW_SHAPE(3, 40, 8));
    tw_value k = tw_input(g, "k", TW_F32, TW_SHAPE(3, 40, 8));
    tw_value v = tw_input(g, "v", TW_F32, TW_SHAPE(3, 40, 8));
    *out = tw_matmul(tw_matmul(q, tw_transpose(k)), v);
}

/* (x y^T) z is x (y^T z). */
static void outer_product(tw_graph *g, tw_value *out) {
    tw_value x = tw_input(g, "x", TW_F32, TW_SHAPE(30));
    tw_value y = tw_input(g, "y", TW_F32, TW_SHAPE(40));
    tw_value xy = tw_dot(x, y, 0, NULL, NULL, 0, NULL, NULL);
    *out = tw_matmul(xy, input(g, "z", 40, 20));
}

/* x (U V) with any number of rows. */
static void open_rows(tw_graph *g, tw_value *out) {
    tw_value x = input(g, "x", tw_symbol(g->module->context, "batch"), 80);
    *out = tw_matmul(x, tw_matmul(input(g, "u", 80, 3), input(g, "v", 3, 90)));
}

/* A B is read twice: by two vectors, which do better without it; */
static void two_vectors(tw_graph *g, tw_value *out) {
    tw_value ab = tw_matmul(input(g, "a", 30, 40), input(g, "b", 40, 50));
    tw_value x = input(g, "x", 50, 1), y = input(g, "y", 30, 1);
    *out = tw_concat(0, 2, (tw_value[]){tw_matmul(ab, x), tw_matmul(tw_transpose(ab), y)});
}

/* by two wide matrices, for which it pays; written twice, it is one. */
static void two_matrices(tw_graph *g, tw_value *out) {
    tw_value a = input(g, "a", 30, 40), b = input(g, "b", 40, 30);
    tw_value x = input(g, "x", 30, 60), y = input(g, "y", 30, 60);
    *out = tw_add(tw_matmul(tw_matmul(a, b), x), tw_matmul(tw_matmul(a, b), y));
}

/* A product that is an output too may be passed by, where the thin side is cheaper. */
static void passed_by(tw_graph *g, tw_value *out) {
    tw_value uv = tw_matmul(input(g, "u", 60, 2), input(g, "v", 2, 60));
    *out = tw_add(tw_matmul(uv, input(g, "x", 60, 60)), tw_square(uv));
}

/* The cheap orders have parts in common, one of them turned: y = x (U V) s, and all its gradients. */
static void low_rank_layer(tw_graph *g, tw_value *out) {
    tw_value x = input(g, "x", 32, 60), u = input(g, "u", 60, 3), v = input(g, "v", 3, 50);
    tw_value y = tw_matmul(x, tw_scale(tw_matmul(u, v), 0.3)), d[3];
    tw_grad(tw_sum(tw_sin(y)), 3, (tw_value[]){x, u, v}, d);
    tw_value flat[4] = {tw_reshape(y, TW_SHAPE(32 * 50))};
    for (int i = 0; i < 3; i++) flat[i + 1] = tw_reshape(d[i], TW_SHAPE(TW_DIM_INFER));
    *out = tw_concat(0, 4, flat);
}

/* Powers by squaring: everything is read twice, and nothing gets cheaper. */
static void powers(tw_graph *g, tw_value *out) {
    tw_value a = input(g, "a", 8, 8);
    for (int i = 0; i < 6; i++) a = tw_matmul(a, a);
    *out = a;
}

/* A chain of more products than are looked at together. */
static void long_chain(tw_graph *g, tw_value *out) {
    tw_value w = input(g, "w", 12, 12), x = input(g, "x", 12, 1), y = w;
    for (int i = 0; i < 40; i++) y = tw_matmul(y, tw_scale(tw_sin(w), 0.1 * i));
    *out = tw_matmul(y, x);
}

/* Read as something else than rows and columns: a b stays. */
static void mixed_axes(tw_graph *g, tw_value *out) {
    tw_value a = tw_input(g, "a", TW_F32, TW_SHAPE(6, 7, 8)), b = input(g, "b", 8, 9);
    const int of_ab[] = {0, 2}, of_c[] = {0, 1}; /* a row axis and the column axis */
    tw_value c = tw_input(g, "c", TW_F32, TW_SHAPE(6, 9, 1));
    *out = tw_dot(tw_matmul(a, b), c, 0, NULL, NULL, 2, of_ab, of_c);
}

/* What stays after the passes that the pipeline has up to `order`. */
static const char *ordered(graph_maker make) {
    return passes_after(make, "fold simplify sink common order common dead");
}

static void assert_same(graph_maker make) {
    static char before[65536];
    strcpy(before, passes_after(make, "fold simplify sink common dead"));
    assert_string_equal(before, ordered(make));
}

static void test_chains(void **state) {
    (void)state;
    golden_compare("pass_order.txt", passes_after(chain_left, "order dead"));
    const char *text = passes_after(low_rank, "order dead");
    assert_non_null(strstr(text, ": f32[2,100]"));
    assert_null(strstr(text, "f32[200,300]"));
    text = passes_after(transposed_chain, "order dead");
    assert_int_equal(passes_count(text, ": f32[64,3]"), 3);
    text = passes_after(chain_twice, "order dead");
    assert_int_equal(passes_count(text, "dot("), 3);
    assert_int_equal(passes_count(text, ": f32[50]") + passes_count(text, ": f32[20]"), 2);
    assert_int_equal(passes_count(ordered(long_chain), ": f32[12,1]"), CHAIN_LONGEST);
    assert_same(chain_right);
    assert_same(mixed_axes);
}

static void test_scalars(void **state) {
    (void)state;
    const char *text = ordered(scaled);
    golden_compare("pass_order_scalars.txt", text);
    assert_int_equal(passes_count(text, "f32[30,50]"), 0);
    text = ordered(scaled_turned);
    golden_compare("pass_order_scalars_turned.txt", text);
    assert_int_equal(passes_count(text, "f32[50,30]"), 0);
}

static void test_axes(void **state) {
    (void)state;
    golden_compare("pass_order_leading.txt", ordered(leading));
    const char *text = ordered(leading_turned);
    assert_non_null(strstr(text, ": f32[8,2]"));
    assert_null(strstr(text, "f32[4,5,64]"));
    golden_compare("pass_order_batched.txt", ordered(batched));
    assert_null(strstr(ordered(outer_product), "f32[30,40]"));
    golden_compare("pass_order_open.txt", ordered(open_rows));
}

static void test_shared(void **state) {
    (void)state;
    assert_same(shared);
    assert_same(powers);
    golden_compare("pass_order_dissolved.txt", ordered(two_vectors));
    golden_compare("pass_order_kept.txt", ordered(two_matrices));
    golden_compare("pass_order_passed_by.txt", ordered(passed_by));
}

static void test_low_rank_gradient(void **state) {
    (void)state;
    const char *text = ordered(low_rank_layer);
    golden_compare("pass_order_low_rank.txt", text);
    assert_int_equal(passes_count(text, "dot("), 6);
    assert_null(strstr(text, "f32[60,50]"));
}

/* Passes by name with what they change: `order` more than the number of nodes tells. */
static void test_report(void **state) {
    (void)state;
    tw_context *context = tw_context_new(NULL);
    tw_graph *g = passes_graph(context, chain_left);
    char *text = tw_graph_summary_passes(g, "fold order");
    assert_non_null(text);
    golden_compare("pass_report.txt", text);
    tw_string_free(context, text);
    assert_null(tw_graph_summary_passes(g, "fold magic"));
    assert_non_null(strstr(tw_message(context), "no pass \"magic\""));
    tw_context_free(context);
}

static void test_numbers(void **state) {
    (void)state;
    static const graph_maker makers[] = {
        chain_left,  low_rank,       shared,        chain_right, transposed_chain,
        chain_twice, scaled,         scaled_turned, leading,     leading_turned,
        batched,     outer_product,  open_rows,     two_vectors, two_matrices,
        passed_by,   low_rank_layer, powers,        long_chain,  mixed_axes};
    for (size_t i = 0; i < sizeof makers / sizeof *makers; i++) passes_near(makers[i], 1e-5);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chains),
        cmocka_unit_test(test_scalars),
        cmocka_unit_test(test_axes),
        cmocka_unit_test(test_shared),
        cmocka_unit_test(test_low_rank_gradient),
        cmocka_unit_test(test_report),
        cmocka_unit_test(test_numbers),
    };
    return cmocka_run_group_tests_name("order", tests, NULL, NULL);
}
