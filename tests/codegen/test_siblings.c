/*
 * Products side by side against the same products apart, bit by bit, over layouts, extents and types; the
 * same bits for 1, 2 and 3 threads; where no tiles serve and they take turns; with biases and activations; updates of
 * weights that others read; attention with its gradients, whose projections the merge pass puts together.
 * LABELS: threads
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <thalweg/thalweg.h>

#include "codegen/machine_code.h"
#include "ir/graph.h"
#include "support/numbers.h"

enum { MOST = 4, THREADS = 3 };
static const double TOLERANCE = 2e-5;

/* x (rows, depth), or turned; w[i] (depth, columns[i]), or turned where the bit is set. */
typedef struct family {
    int64_t rows, depth;
    int n;
    int64_t columns[MOST];
    bool x_turned;
    int turned;
} family;

static const family families[] = {
    {128, 64, 3, {64, 64, 64}, false, 0},
    {33, 17, 3, {5, 130, 16}, false, 0},
    {16, 128, 4, {128, 128, 128, 128}, false, 0},
    {1, 300, 4, {70, 1, 16, 200}, false, 0},
    {1, 300, 3, {70, 100, 16}, false, 7},
    {4, 260, 2, {300, 40}, false, 3},
    {64, 96, 3, {64, 32, 64}, true, 2},
    {40, 9, 3, {33, 64, 100}, true, 5},
    {7, 4100, 2, {9, 20}, false, 0},
    {200, 20, 2, {100, 1}, false, 1},
    {20, 0, 2, {30, 4}, false, 0},
    {10, 30, 2, {0, 40}, false, 0},
    {1, 1, 2, {1, 3}, false, 0},
    {130, 1600, 2, {140, 10}, false, 2},
};
enum { FAMILIES = sizeof families / sizeof *families };

static tw_shape shape_of(const family *f, int i) {
    if (!i) return f->x_turned ? TW_SHAPE(f->depth, f->rows) : TW_SHAPE(f->rows, f->depth);
    int64_t columns = f->columns[i - 1];
    return f->turned >> (i - 1) & 1 ? TW_SHAPE(columns, f->depth) : TW_SHAPE(f->depth, columns);
}

/* Marked as the merge pass does, or not. */
static void products(const family *f, bool apart, tw_graph *g, const tw_value *in, tw_value *out) {
    int x_axis = f->x_turned ? 0 : 1;
    for (int i = 0; i < f->n; i++) {
        int axis = f->turned >> i & 1;
        out[i] = tw_dot(in[0], in[i + 1], 0, NULL, NULL, 1, &x_axis, &axis);
        g->nodes.at[g->nodes.count - 1].meta.beside = i && !apart;
    }
}

/* The results, whose context the caller frees. */
static tw_context *compute(const family *f, bool apart, tw_dtype dtype,
                           const tw_context_opts *options, const tw_compile_opts *how,
                           tw_tensor **out) {
    tw_context *c = tw_context_new(options);
    assert_non_null(c);
    tw_graph *g = tw_graph_new(c, NULL, TW_SYMBOLIC, NULL);
    tw_value in[MOST + 1], result[MOST];
    tw_tensor *data[MOST + 1];
    for (int i = 0; i <= f->n; i++) {
        char name[4] = {'x', (char)('0' + i), 0};
        in[i] = tw_input(g, name, dtype, shape_of(f, i));
        data[i] = tensor_drawn(c, dtype, shape_of(f, i), (uint64_t)i + 1, -0.1, 0.2);
    }
    products(f, apart, g, in, result);
    tw_program *program = tw_compile(g, f->n + 1, in, f->n, result, how);
    for (int i = 0; i < f->n; i++) out[i] = NULL;
    if (!program || tw_run(program, data, out)) fail_msg("%s", tw_message(c));
    return c;
}

static void assert_same(const family *f, tw_tensor **a, tw_tensor **b, const char *what) {
    for (int i = 0; i < f->n; i++) {
        assert_int_equal(tw_tensor_bytes(a[i]), tw_tensor_bytes(b[i]));
        if (memcmp(tw_tensor_map(a[i]), tw_tensor_map(b[i]), tw_tensor_bytes(a[i])))
            fail_msg("%s: product %d of family %d has other bits", what, i, (int)(f - families));
    }
}

static void assert_close(const family *f, tw_tensor **got, tw_tensor **wanted) {
    for (int i = 0; i < f->n; i++) {
        int n = (int)(f->rows * f->columns[i]);
        double *a = calloc((size_t)n + 1, sizeof *a), *b = calloc((size_t)n + 1, sizeof *b);
        assert_true(a && b && numbers_of(got[i], n, a) == n && numbers_of(wanted[i], n, b) == n);
        assert_near("a product", n, a, b, TOLERANCE);
        free(a);
        free(b);
    }
}

static void check(const family *f, int vectors) {
    const tw_compile_opts reference = {.reference = true}, as_built = {.as_built = true};
    tw_tensor *truth[MOST], *apart[MOST], *merged[MOST];
    tw_context *c[3] = {compute(f, true, TW_F32, NULL, &reference, truth)};
    for (int t = 1; t <= THREADS; t++) {
        const tw_context_opts options = {.threads = t, .vectors = vectors};
        c[1] = compute(f, true, TW_F32, &options, &as_built, apart);
        c[2] = compute(f, false, TW_F32, &options, &as_built, merged);
        assert_close(f, merged, truth);
        assert_same(f, merged, apart, "merged and apart");
        tw_context_free(c[1]);
        tw_context_free(c[2]);
    }
    tw_context_free(c[0]);
}

static void test_bits(void **state) {
    (void)state;
    for (int i = 0; i < FAMILIES; i++) check(&families[i], 0);
}

static void test_narrower(void **state) {
    (void)state;
    for (int i = 0; i < FAMILIES; i++) check(&families[i], 16);
}

/* Where no tiles serve they take turns. */
static void test_without(void **state) {
    (void)state;
    const tw_context_opts options[] = {{.threads = 2, .no_codegen = true}, {.threads = 2}};
    const tw_compile_opts ways[] = {{.as_built = true}, {.as_built = true, .plain = true}};
    for (int k = 0; k < FAMILIES * 4; k++) {
        const family *f = &families[k / 4];
        const tw_compile_opts *how = &ways[k % 2];
        tw_dtype dtype = k / 2 % 2 ? TW_F64 : TW_F32;
        for (int with = 0; with < 2; with++) {
            tw_tensor *apart[MOST], *merged[MOST];
            tw_context *a = compute(f, true, dtype, &options[with], how, apart);
            tw_context *b = compute(f, false, dtype, &options[with], how, merged);
            assert_same(f, merged, apart, "without tiles");
            tw_context_free(a);
            tw_context_free(b);
        }
    }
}

/* Half precision is computed in f32, and rounded once. */
static void test_halves(void **state) {
    (void)state;
    const tw_compile_opts as_built = {.as_built = true};
    for (int i = 0; i < FAMILIES; i++) {
        const family *f = &families[i];
        tw_tensor *apart[MOST], *merged[MOST];
        tw_context *a = compute(f, true, TW_F16, NULL, &as_built, apart);
        tw_context *b = compute(f, false, TW_F16, NULL, &as_built, merged);
        assert_same(f, merged, apart, "f16");
        tw_context_free(a);
        tw_context_free(b);
    }
}

/* ---- with the work of their tiles ---- */

static int count(const char *text, const char *word) {
    int n = 0;
    for (const char *at = text; (at = strstr(at, word)); at++) n++;
    return n;
}

enum { ROWS = 33, DEPTH = 96, COLUMNS = 80, GATES = 3, SIZE = ROWS * COLUMNS };

/* A gate's product with its bias and activation, and one that has none. */
static void gates(const tw_context_opts *options, const tw_compile_opts *how, bool open,
                  double *end) {
    tw_context *c = tw_context_new(options);
    tw_graph *g = tw_graph_new(c, NULL, TW_SYMBOLIC, NULL);
    tw_shape shape = TW_SHAPE(open ? tw_symbol(c, "n") : ROWS, DEPTH);
    tw_value in[1 + 2 * GATES] = {tw_input(g, "x", TW_F32, shape)}, out[GATES];
    tw_tensor *data[1 + 2 * GATES], *got[GATES] = {NULL};
    data[0] = tensor_drawn(c, TW_F32, TW_SHAPE(ROWS, DEPTH), 1, -1, 1);
    for (int i = 0; i < GATES; i++) {
        char w[3] = {'w', (char)('0' + i), 0}, b[3] = {'b', (char)('0' + i), 0};
        in[1 + 2 * i] = tw_input(g, w, TW_F32, TW_SHAPE(DEPTH, COLUMNS));
        in[2 + 2 * i] = tw_input(g, b, TW_F32, TW_SHAPE(COLUMNS));
        data[1 + 2 * i] =
            tensor_drawn(c, TW_F32, TW_SHAPE(DEPTH, COLUMNS), (uint64_t)i + 2, -0.1, 0.1);
        data[2 + 2 * i] = tensor_drawn(c, TW_F32, TW_SHAPE(COLUMNS), (uint64_t)i + 9, -1, 1);
        tw_value z = tw_matmul(in[0], in[1 + 2 * i]);
        out[i] = i == 0 ? z : tw_add(z, in[2 + 2 * i]);
        if (i == 2) out[i] = tw_tanh(out[i]);
    }
    tw_program *program = tw_compile(g, 1 + 2 * GATES, in, GATES, out, how);
    if (!program || tw_run(program, data, got)) fail_msg("%s", tw_message(c));
    char *list = tw_program_print(program);
    bool merged = machine_target_of(c) && !how;
    if (merged && count(list, "| ") != GATES - 1) fail_msg("%s", list);
    tw_string_free(c, list);
    for (int i = 0; i < GATES; i++)
        assert_int_equal(numbers_of(got[i], SIZE, end + i * SIZE), SIZE);
    tw_context_free(c);
}

static void test_finished(void **state) {
    (void)state;
    static double truth[GATES * SIZE], one[GATES * SIZE], other[GATES * SIZE];
    gates(NULL, &(tw_compile_opts){.reference = true}, false, truth);
    gates(&(tw_context_opts){.threads = 1}, NULL, false, one);
    assert_near("gates", GATES * SIZE, one, truth, TOLERANCE);
    for (int threads = 2; threads <= THREADS; threads++) {
        gates(&(tw_context_opts){.threads = threads}, NULL, false, other);
        assert_memory_equal(one, other, sizeof one);
        gates(&(tw_context_opts){.threads = threads}, NULL, true, other);
        assert_memory_equal(one, other, sizeof one);
    }
    gates(&(tw_context_opts){.threads = 2, .no_codegen = true}, NULL, false, other);
    assert_near("gates without generated code", GATES * SIZE, other, truth, TOLERANCE);
}

/* A weight's update and a product that reads the weight, of one x: never one group, so that the update is in place
 * where the product comes first, and the product sees the present value. */
static void test_updated(void **state) {
    (void)state;
    enum { N = 48 };
    for (int order = 0; order < 2; order++) {
        tw_context *c = tw_context_new(&(tw_context_opts){.threads = 2});
        tw_store *store = tw_store_new(c, NULL);
        tw_graph *g = tw_graph_new(c, store, TW_SYMBOLIC, NULL);
        tw_value w = tw_variable(g, "w", TW_F32, TW_SHAPE(N, N), tw_constant_init(1));
        tw_value x = tw_input(g, "x", TW_F32, TW_SHAPE(N, N)), y = {0}, next = {0};
        for (int i = 0; i < 2; i++) {
            if (i == order)
                y = tw_matmul(x, w);
            else
                next = tw_add(w, tw_matmul(x, x));
        }
        tw_assign(w, next);
        tw_program *program = tw_compile(g, 1, &x, 1, &y, NULL);
        static double ones[N * N], got[N * N];
        for (int i = 0; i < N * N; i++) ones[i] = 1;
        tw_tensor *in = tensor_of(c, TW_F32, TW_SHAPE(N, N), ones), *out = NULL;
        if (!program || tw_run(program, &in, &out)) fail_msg("%s", tw_message(c));
        char *list = tw_program_print(program);
        bool in_place = count(list, " in \"w\"") == 1;
        if (machine_target_of(c) && (count(list, "| ") || in_place != (order == 0)))
            fail_msg("%s", list);
        tw_string_free(c, list);
        assert_int_equal(numbers_of(out, N * N, got), N * N);
        for (int i = 0; i < N * N; i++) assert_true(got[i] == N);
        numbers_at(store, "w", N * N, got);
        for (int i = 0; i < N * N; i++) assert_true(got[i] == N + 1);
        tw_context_free(c);
    }
}

/* ---- attention ---- */

enum { BATCH = 4, TIME = 16, WIDTH = 64, STEPS = 3 };

/* Steps of a block's training; `end` gets the weights of query, key and value. */
static void train(const tw_context_opts *options, const tw_compile_opts *how, bool biased,
                  int wanted, double *end) {
    static const char *const paths[] = {"block/query/weight", "block/key/weight",
                                        "block/value/weight"};
    tw_context *c = tw_context_new(options);
    tw_store *store = tw_store_new(c, NULL);
    tw_graph *g = tw_graph_new(c, store, TW_SYMBOLIC, &(tw_graph_opts){.training = true});
    tw_shape shape = TW_SHAPE(BATCH, TIME, WIDTH);
    tw_value x = tw_input(g, "x", TW_F32, shape);
    tw_value y = tw_multi_head_attention(x, "block", 4, &(tw_multi_head_opts){.no_bias = !biased});
    tw_minimize(tw_mean(tw_square(tw_sub(y, x))), &(tw_optimizer){.kind = TW_SGD, .rate = 0.5});
    tw_program *program = tw_compile(g, 1, &x, 0, NULL, how);
    if (!program) fail_msg("%s", tw_message(c));
    char *list = tw_program_print(program);
    bool merged = machine_target_of(c) && !how;
    if (merged && count(list, "| ") != wanted) fail_msg("%s", list);
    tw_string_free(c, list);
    tw_tensor *data = tensor_drawn(c, TW_F32, shape, 1, -1, 1);
    for (int i = 0; i < STEPS; i++)
        if (tw_run(program, &data, NULL)) fail_msg("%s", tw_message(c));
    for (int i = 0; i < 3; i++) numbers_at(store, paths[i], WIDTH * WIDTH, end + i * WIDTH * WIDTH);
    tw_context_free(c);
}

static void test_attention(void **state) {
    (void)state;
    enum { NUMBERS = 3 * WIDTH * WIDTH };
    static double truth[NUMBERS], one[NUMBERS], two[NUMBERS];
    for (int biased = 0; biased < 2; biased++) {
        train(NULL, &(tw_compile_opts){.reference = true}, biased, 0, truth);
        train(&(tw_context_opts){.threads = 1}, NULL, biased, 6, one);
        train(&(tw_context_opts){.threads = 2}, NULL, biased, 6, two);
        assert_near("weights", NUMBERS, one, truth, TOLERANCE);
        assert_memory_equal(one, two, sizeof one);
        train(&(tw_context_opts){.threads = 2, .no_codegen = true}, NULL, biased, 0, two);
        assert_near("weights without generated code", NUMBERS, two, truth, TOLERANCE);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bits),      cmocka_unit_test(test_narrower),
        cmocka_unit_test(test_without),   cmocka_unit_test(test_halves),
        cmocka_unit_test(test_finished),  cmocka_unit_test(test_updated),
        cmocka_unit_test(test_attention),
    };
    return cmocka_run_group_tests_name("siblings", tests, NULL, NULL);
}
