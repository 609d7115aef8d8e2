/*
 * Products together with the elementwise work on them, over layouts and extents around those of tiles, open and
 * known, against the float64 reference; where tiles don't serve, the library and a kernel after it; the same
 * bits for 1, 2 and 3 threads; updates of variables over themselves.
 * LABELS: threads
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

#include "codegen/machine_code.h"
#include "support/numbers.h"

enum { X, W, FULL, ROW, COLUMN, N_IN, MOST_OUT = 4, THREADS = 3 };
static const double TOLERANCE = 2e-5;

typedef struct extents {
    int64_t n, k, m;
} extents;

/* Shapes of the inputs, and what is made of them. */
typedef struct testcase {
    const char *name;
    void (*shapes)(extents e, tw_shape *shape);
    int (*make)(const tw_value *in, tw_value *out);
} testcase;

static void plain(extents e, tw_shape *shape) {
    shape[X] = TW_SHAPE(e.n, e.k);
    shape[W] = TW_SHAPE(e.k, e.m);
    shape[FULL] = TW_SHAPE(e.n, e.m);
    shape[ROW] = TW_SHAPE(e.m);
    shape[COLUMN] = TW_SHAPE(e.n, 1);
}

static void turned_w(extents e, tw_shape *shape) {
    plain(e, shape);
    shape[W] = TW_SHAPE(e.m, e.k);
}

static void turned_x(extents e, tw_shape *shape) {
    plain(e, shape);
    shape[X] = TW_SHAPE(e.k, e.n);
}

static void batched(extents e, tw_shape *shape) {
    plain(e, shape);
    shape[X] = TW_SHAPE(3, e.n, e.k);
    shape[W] = TW_SHAPE(3, e.k, e.m);
    shape[FULL] = TW_SHAPE(3, e.n, e.m);
}

/* Rows of two axes, and numbers that go along with one of them. */
static void sequences(extents e, tw_shape *shape) {
    plain(e, shape);
    shape[X] = TW_SHAPE(3, e.n, e.k);
}

static int bias_relu(const tw_value *in, tw_value *out) {
    out[0] = tw_relu(tw_add(tw_matmul(in[X], in[W]), in[ROW]));
    out[1] = tw_compare(TW_GT, out[0], tw_literal(out[0], 0.25));
    return 2;
}

static int everything(const tw_value *in, tw_value *out) {
    out[0] = tw_matmul(in[X], in[W]);
    out[1] = tw_mul(tw_add(tw_mul(out[0], in[FULL]), in[COLUMN]), in[ROW]);
    out[2] = tw_tanh(out[1]);
    return 3;
}

static int of_turned_w(const tw_value *in, tw_value *out) {
    tw_value y = tw_matmul(in[X], tw_transpose(in[W]));
    out[0] = tw_mul(y, tw_sigmoid(tw_add(y, in[ROW])));
    return 1;
}

static int update(const tw_value *in, tw_value *out) {
    out[0] = tw_add(tw_scale(in[FULL], 0.9), tw_matmul(tw_transpose(in[X]), in[W]));
    out[1] = tw_sub(in[FULL], tw_scale(out[0], 0.1));
    return 2;
}

static int batch(const tw_value *in, tw_value *out) {
    out[0] = tw_sub(tw_mul(in[ROW], tw_matmul(in[X], in[W])), in[FULL]);
    return 1;
}

static int positions(const tw_value *in, tw_value *out) {
    out[0] = tw_relu(tw_add(tw_add(tw_matmul(in[X], in[W]), in[ROW]), in[FULL]));
    return 1;
}

static int doubles(const tw_value *in, tw_value *out) {
    tw_value wide = tw_cast(tw_matmul(in[X], in[W]), TW_F64);
    out[0] = tw_cast(tw_mul(wide, wide), TW_F32);
    out[1] = tw_cast(tw_scale(wide, 3), TW_I32);
    out[1] = tw_cast(tw_compare(TW_GT, out[1], tw_literal(out[1], 0)), TW_F32);
    out[1] = tw_mul(out[1], out[0]);
    return 2;
}

/* A layer's gradient and its bias's: the sum reads what is written anyway, and is a kernel of its own. */
static int sums(const tw_value *in, tw_value *out) {
    tw_value y = tw_matmul(in[X], in[W]);
    out[0] = tw_select(tw_compare(TW_GT, in[FULL], tw_literal(in[FULL], 0)), y, tw_literal(y, 0));
    out[1] = tw_reduce(TW_SUM, out[0], 1, (int[]){0}, false);
    return 2;
}

static const testcase cases[] = {
    {"bias_relu", plain, bias_relu},     {"everything", plain, everything},
    {"turned w", turned_w, of_turned_w}, {"update", turned_x, update},
    {"batched", batched, batch},         {"sequences", sequences, positions},
    {"doubles", plain, doubles},         {"sums", plain, sums},
};
enum { CASES = sizeof cases / sizeof *cases };

static const extents sizes[] = {{17, 1, 33},   {3, 5, 15},       {5, 64, 64},   {33, 7, 130},
                                {64, 130, 65}, {200, 20, 100},   {1, 300, 200}, {4, 300, 70},
                                {300, 40, 1},  {1, 8, 1},        {0, 4, 20},    {20, 0, 20},
                                {90, 33, 700}, {130, 1600, 140}, {7, 4100, 9}};
enum { SIZES = sizeof sizes / sizeof *sizes };

typedef struct compiled {
    tw_context *context;
    tw_program *program;
    int n_out;
} compiled;

/* e NULL: with open extents. */
static compiled compile(const testcase *it, const extents *e, const tw_context_opts *options,
                        bool reference) {
    static const char *const names[N_IN] = {"x", "w", "full", "row", "column"};
    compiled c = {.context = tw_context_new(options)};
    assert_non_null(c.context);
    tw_graph *g = tw_graph_new(c.context, NULL, TW_SYMBOLIC, NULL);
    extents open = {tw_symbol(c.context, "n"), tw_symbol(c.context, "k"),
                    tw_symbol(c.context, "m")};
    tw_shape shape[N_IN];
    tw_value in[N_IN], out[MOST_OUT];
    it->shapes(e ? *e : open, shape);
    for (int i = 0; i < N_IN; i++) in[i] = tw_input(g, names[i], TW_F32, shape[i]);
    c.n_out = it->make(in, out);
    c.program = tw_compile(g, N_IN, in, c.n_out, out, &(tw_compile_opts){.reference = reference});
    if (!c.program) fail_msg("%s: %s", it->name, tw_message(c.context));
    tw_graph_free(g);
    return c;
}

static void run(const testcase *it, const compiled *c, extents e, tw_tensor **out) {
    tw_shape shape[N_IN];
    tw_tensor *in[N_IN];
    double range = e.k > 1 ? 2 / sqrt((double)e.k) : 1;
    it->shapes(e, shape);
    for (int i = 0; i < N_IN; i++)
        in[i] = tensor_drawn(c->context, TW_F32, shape[i], (uint64_t)i + 1, -range, 1);
    if (tw_run(c->program, in, out)) fail_msg("%s", tw_message(c->context));
    for (int i = 0; i < N_IN; i++) tw_tensor_free(in[i]);
}

static void compare(const testcase *it, extents e, tw_tensor *got, tw_tensor *wanted) {
    bool truth = tw_tensor_type(got).dtype == TW_BOOL;
    int n = (int)(tw_tensor_bytes(got) / (truth ? 1 : sizeof(float)));
    double *a = calloc((size_t)n + 1, sizeof *a), *b = calloc((size_t)n + 1, sizeof *b);
    assert_true(a && b && numbers_of(got, n, a) == n && numbers_of(wanted, n, b) == n);
    char what[96];
    snprintf(what, sizeof what, "%s of %lld x %lld x %lld", it->name, (long long)e.n,
             (long long)e.k, (long long)e.m);
    int other = 0;
    for (int i = 0; truth && i < n; i++) other += a[i] != b[i];
    if (truth)
        assert_true(other <= n / 1000 + 1); /* numbers near the limit */
    else
        assert_near(what, n, a, b, TOLERANCE);
    free(a);
    free(b);
}

/* Compiled for 1, 2 and 3 threads, at one size: right, and of the same bits. */
static void check_size(const testcase *it, const compiled *truth, const compiled *by, extents e) {
    tw_tensor *wanted[MOST_OUT] = {NULL}, *first[MOST_OUT] = {NULL};
    char what[96];
    run(it, truth, e, wanted);
    run(it, &by[0], e, first);
    for (int i = 0; i < truth->n_out; i++) compare(it, e, first[i], wanted[i]);
    for (int t = 1; t < THREADS; t++) {
        tw_tensor *other[MOST_OUT] = {NULL};
        run(it, &by[t], e, other);
        for (int i = 0; i < truth->n_out; i++) {
            snprintf(what, sizeof what, "%s, result %d, %d threads", it->name, i, t + 1);
            assert_same_bits(what, first[i], other[i]);
            tw_tensor_free(other[i]);
        }
    }
    for (int i = 0; i < truth->n_out; i++) {
        tw_tensor_free(wanted[i]);
        tw_tensor_free(first[i]);
    }
}

static void check_case(const testcase *it, const extents *known, int vectors) {
    compiled truth = compile(it, known, NULL, true), by[THREADS];
    for (int t = 0; t < THREADS; t++)
        by[t] = compile(it, known, &(tw_context_opts){.threads = t + 1, .vectors = vectors}, false);
    char *list = tw_program_print(by[0].program);
    if (machine_target_of(by[0].context) && !strstr(list, "fused[dot+"))
        fail_msg("%s is not one kernel: %s", it->name, list);
    tw_string_free(by[0].context, list);
    for (int s = 0; s < SIZES && !known; s++) check_size(it, &truth, by, sizes[s]);
    if (known) check_size(it, &truth, by, *known);
    for (int t = 0; t < THREADS; t++) tw_context_free(by[t].context);
    tw_context_free(truth.context);
}

static void test_open(void **state) {
    (void)state;
    for (int i = 0; i < CASES; i++) check_case(&cases[i], NULL, 0);
}

static void test_known(void **state) {
    static const extents known[] = {{70, 12, 50},  {3, 200, 90}, {40, 30, 300}, {131, 520, 10},
                                    {35, 130, 20}, {131, 40, 6}, {100, 24, 8}};
    (void)state;
    for (int i = 0; i < CASES; i++)
        for (size_t s = 0; s < sizeof known / sizeof *known; s++)
            check_case(&cases[i], &known[s], 0);
}

/* Few rows of a w that comes from memory: the sums are gone on with slice after slice of the depth. Many rows of
 * few columns. */
static void test_large(void **state) {
    static const extents large[] = {{2, 2050, 2055}, {12, 4096, 4096}, {70000, 256, 3}};
    (void)state;
    for (int i = 0; i < 4; i++)
        for (int vectors = 16; vectors <= 64; vectors *= 2)
            check_case(&cases[i / 3], &large[i % 3], vectors);
}

static void test_narrower(void **state) {
    (void)state;
    for (int vectors = 16; vectors <= 32; vectors *= 2)
        for (int i = 0; i < CASES; i++) check_case(&cases[i], NULL, vectors);
}

/* The same graphs without generated code. */
static void test_without(void **state) {
    (void)state;
    for (int i = 0; i < CASES; i++) {
        compiled truth = compile(&cases[i], NULL, NULL, true);
        compiled plainly =
            compile(&cases[i], NULL, &(tw_context_opts){.threads = 2, .no_codegen = true}, false);
        for (int s = 0; s < SIZES; s++) {
            tw_tensor *wanted[MOST_OUT] = {NULL}, *got[MOST_OUT] = {NULL};
            run(&cases[i], &truth, sizes[s], wanted);
            run(&cases[i], &plainly, sizes[s], got);
            for (int k = 0; k < truth.n_out; k++) {
                compare(&cases[i], sizes[s], got[k], wanted[k]);
                tw_tensor_free(got[k]);
                tw_tensor_free(wanted[k]);
            }
        }
        tw_context_free(plainly.context);
        tw_context_free(truth.context);
    }
}

/* ---- variables ---- */

enum { ROWS = 48, DEPTH = 9, COLUMNS = 40, STEPS = 3 };

/* w and m by momentum; the gradient is x^T dy. `of_itself`: it is x w besides, so that w is read whole. */
static void check_update(bool of_itself, bool open, int threads, float *end) {
    int64_t rows = of_itself ? COLUMNS : ROWS;
    tw_context *c = tw_context_new(&(tw_context_opts){.threads = threads});
    tw_store *store = tw_store_new(c, NULL);
    tw_graph *g = tw_graph_new(c, store, TW_SYMBOLIC, &(tw_graph_opts){.training = true});
    int64_t depth = open ? tw_symbol(c, "depth") : DEPTH;
    tw_value w = tw_variable(g, "w", TW_F32, TW_SHAPE(rows, COLUMNS), tw_constant_init(0.5));
    tw_value m = tw_variable(g, "m", TW_F32, TW_SHAPE(rows, COLUMNS), tw_constant_init(-0.25));
    tw_shape shape[2] = {of_itself ? TW_SHAPE(rows, rows) : TW_SHAPE(depth, rows),
                         TW_SHAPE(depth, COLUMNS)};
    tw_value in[2] = {tw_input(g, "x", TW_F32, shape[0]), tw_input(g, "dy", TW_F32, shape[1])};
    tw_value gradient = of_itself ? tw_matmul(in[0], w) : tw_matmul(tw_transpose(in[0]), in[1]);
    tw_value speed = tw_add(tw_scale(m, 0.9), gradient);
    tw_assign(m, speed);
    tw_assign(w, tw_sub(w, tw_scale(speed, 0.1)));
    int n_in = of_itself ? 1 : 2;
    tw_program *program = tw_compile(g, n_in, in, 0, NULL, NULL);
    if (!program) fail_msg("%s", tw_message(c));
    char *list = tw_program_print(program);
    bool generates = machine_target_of(c), together = strstr(list, "fused[dot+") != NULL;
    if (generates && together == open) fail_msg("%s", list);
    if (generates) assert_true(!strstr(list, " in \"w\"") == of_itself);
    tw_string_free(c, list);

    static double x[COLUMNS * COLUMNS], dy[DEPTH * COLUMNS], now[ROWS * COLUMNS];
    static double want_w[ROWS * COLUMNS], want_m[ROWS * COLUMNS], next[ROWS * COLUMNS];
    if (open) shape[0].dim[0] = shape[1].dim[0] = DEPTH;
    tw_tensor *given[2] = {tensor_drawn(c, TW_F32, shape[0], 1, -0.1, 0.1),
                           tensor_drawn(c, TW_F32, shape[1], 2, -1, 1)};
    numbers_of(given[0], COLUMNS * COLUMNS, x);
    numbers_of(given[1], DEPTH * COLUMNS, dy);
    int elements = (int)rows * COLUMNS;
    for (int i = 0; i < elements; i++) want_w[i] = 0.5, want_m[i] = -0.25;
    for (int s = 0; s < STEPS; s++) {
        if (tw_run(program, given, NULL)) fail_msg("%s", tw_message(c));
        for (int i = 0; i < elements; i++) {
            int row = i / COLUMNS, column = i % COLUMNS, k = of_itself ? COLUMNS : DEPTH;
            double sum = 0;
            for (int d = 0; d < k; d++)
                sum += of_itself ? x[row * COLUMNS + d] * want_w[d * COLUMNS + column]
                                 : x[d * ROWS + row] * dy[d * COLUMNS + column];
            next[i] = sum;
        }
        for (int i = 0; i < elements; i++) {
            want_m[i] = 0.9 * want_m[i] + next[i];
            want_w[i] -= 0.1 * want_m[i];
        }
    }
    numbers_at(store, "m", elements, now);
    assert_near("m", elements, now, want_m, TOLERANCE);
    numbers_at(store, "w", elements, now);
    assert_near("w", elements, now, want_w, TOLERANCE);
    for (int i = 0; i < elements; i++) end[i] = (float)now[i];
    tw_context_free(c);
}

/* A weight that is updated in the same program, for which the depth is cut in halves: relu(x w + 0.25), then w
 * is scaled. */
static void check_weight(int threads, float *end) {
    enum { N = 20, K = 512, M = 201 };
    static double x[N * K], w[K * M], want[N * M];
    tw_context *c = tw_context_new(&(tw_context_opts){.threads = threads});
    tw_store *store = tw_store_new(c, NULL);
    tw_tensor *start = tensor_drawn(c, TW_F32, TW_SHAPE(K, M), 1, -1, 1), *out = NULL;
    tw_tensor *given = tensor_drawn(c, TW_F32, TW_SHAPE(N, K), 2, -0.1, 0.1);
    assert_int_equal(tw_store_set(store, "w", start), TW_OK);
    tw_graph *g = tw_graph_new(c, store, TW_SYMBOLIC, &(tw_graph_opts){.training = true});
    tw_value weight = tw_variable(g, "w", TW_F32, TW_SHAPE(K, M), tw_zeros_init());
    tw_value in = tw_input(g, "x", TW_F32, TW_SHAPE(N, K));
    tw_value y = tw_relu(tw_shift(tw_matmul(in, weight), 0.25));
    tw_assign(weight, tw_scale(weight, 0.5));
    tw_program *program = tw_compile(g, 1, &in, 1, &y, NULL);
    if (!program) fail_msg("%s", tw_message(c));
    numbers_of(given, N * K, x);
    numbers_of(start, K * M, w);
    for (int step = 0; step < 2; step++) {
        if (tw_run(program, &given, &out)) fail_msg("%s", tw_message(c));
        for (int i = 0; i < N * M; i++) {
            double sum = 0.25;
            for (int k = 0; k < K; k++) sum += x[i / M * K + k] * w[k * M + i % M];
            want[i] = sum > 0 ? sum : 0;
        }
        double got[N * M];
        numbers_of(out, N * M, got);
        assert_near("y", N * M, got, want, TOLERANCE);
        for (int i = 0; i < N * M; i++) end[step * N * M + i] = (float)got[i];
        for (int i = 0; i < K * M; i++) w[i] *= 0.5;
    }
    tw_context_free(c);
}

static void test_weight(void **state) {
    static float end[THREADS][2 * 20 * 201];
    (void)state;
    for (int t = 0; t < THREADS; t++) check_weight(t + 1, end[t]);
    for (int t = 1; t < THREADS; t++) assert_memory_equal(end[t], end[0], sizeof *end);
}

static void test_updates(void **state) {
    (void)state;
    static float end[THREADS][ROWS * COLUMNS];
    for (int kind = 0; kind < 3; kind++) {
        for (int t = 0; t < THREADS; t++) check_update(kind == 1, kind == 2, t + 1, end[t]);
        for (int t = 1; t < THREADS; t++) assert_memory_equal(end[t], end[0], sizeof *end);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_open),     cmocka_unit_test(test_known),
        cmocka_unit_test(test_narrower), cmocka_unit_test(test_without),
        cmocka_unit_test(test_large),    cmocka_unit_test(test_weight),
        cmocka_unit_test(test_updates),
    };
    return cmocka_run_group_tests_name("finished products", tests, NULL, NULL);
}
