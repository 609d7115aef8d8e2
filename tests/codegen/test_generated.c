/*
 * Generated kernels: graphs that fuse, over extents around the widths of vectors and tiles, against the
 * float64 reference; the same bits for 1, 2 and 3 threads; and for every width of vectors.
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

enum { MOST_OUT = 4, N_IN = 4, THREADS = 3 };
static const double TOLERANCE = 2e-5;

/* in[]: x and y [n, m], a row [m] and a column [n, 1]. */
typedef int (*maker)(const tw_value *in, tw_value *out);

static int chain(const tw_value *in, tw_value *out) {
    out[0] = tw_add(tw_mul(in[0], in[1]), tw_tanh(in[0]));
    out[1] = tw_cast(tw_compare(TW_GT, in[0], in[1]), TW_F32);
    return 2;
}

static int bias_relu(const tw_value *in, tw_value *out) {
    out[0] = tw_relu(tw_add(in[0], in[2]));
    out[1] = tw_mul(tw_sub(in[1], in[3]), in[2]);
    return 2;
}

static int softmax(const tw_value *in, tw_value *out) {
    out[0] = tw_softmax(in[0]);
    return 1;
}

static int softmax_gradient(const tw_value *in, tw_value *out) {
    out[0] = tw_softmax(in[0]);
    tw_grad(tw_sum(tw_mul(out[0], in[1])), 1, in, &out[1]);
    return 2;
}

static int normalized(const tw_value *in, tw_value *out) {
    tw_value mean = tw_mean_axis(in[0], 1, true), d = tw_sub(in[0], mean);
    tw_value variance = tw_mean_axis(tw_mul(d, d), 1, true);
    out[0] = tw_mul(tw_mul(d, tw_rsqrt(tw_shift(variance, 1e-3))), in[2]);
    tw_grad(tw_sum(tw_mul(out[0], in[1])), 1, in, &out[1]);
    return 2;
}

static int rows(const tw_value *in, tw_value *out) {
    out[0] = tw_sum_axis(tw_mul(in[0], in[1]), 1, false);
    out[1] = tw_max_axis(tw_sub(in[0], in[2]), 1, false);
    return 2;
}

static int columns(const tw_value *in, tw_value *out) {
    tw_value product = tw_mul(in[0], in[1]);
    out[0] = tw_sum_axis(product, 0, false);
    out[1] = tw_max_axis(in[0], 0, false);
    out[2] = tw_relu(product);
    return 3;
}

static int everything(const tw_value *in, tw_value *out) {
    out[0] = tw_sum(tw_mul(in[0], tw_sub(in[1], in[3])));
    out[1] = tw_mean(tw_abs(in[0]));
    return 2;
}

static int cubes(const tw_value *in, tw_value *out) {
    tw_shape shape = tw_shape_of(in[0]), cube = TW_SHAPE(shape.dim[0], 2, 3);
    tw_value a = tw_broadcast(tw_reshape(in[3], TW_SHAPE(shape.dim[0], 1, 1)), cube);
    tw_value b = tw_broadcast(tw_reshape(in[3], TW_SHAPE(shape.dim[0], 1, 1)), cube);
    out[0] = tw_sum_axis(tw_mul(tw_shift(a, 1), b), 1, false);
    return 1;
}

static int integers(const tw_value *in, tw_value *out) {
    tw_value a = tw_cast(tw_scale(in[0], 100), TW_I32), b = tw_cast(tw_scale(in[1], 9), TW_I32);
    out[0] = tw_cast(tw_sub(tw_mul(a, b), tw_max(a, b)), TW_F32);
    out[1] = tw_cast(tw_sum_axis(a, 1, false), TW_F32);
    return 2;
}

typedef struct named {
    const char *name;
    maker make;
} named;

static const named cases[] = {{"chain", chain},           {"bias_relu", bias_relu},
                              {"softmax", softmax},       {"softmax_gradient", softmax_gradient},
                              {"normalized", normalized}, {"rows", rows},
                              {"columns", columns},       {"everything", everything},
                              {"cubes", cubes},           {"integers", integers}};
enum { CASES = sizeof cases / sizeof *cases };

static const int64_t extents[][2] = {{1, 1},     {1, 17},    {3, 15},   {2, 16},
                                     {5, 64},    {7, 65},    {64, 33},  {33, 130},
                                     {1, 70001}, {70001, 1}, {500, 200}};
enum { EXTENTS = sizeof extents / sizeof *extents };

typedef struct compiled {
    tw_context *context;
    tw_program *program;
    int n_out;
} compiled;

static compiled compile(maker make, const tw_context_opts *options, bool reference) {
    compiled c = {.context = tw_context_new(options)};
    assert_non_null(c.context);
    tw_graph *g = tw_graph_new(c.context, NULL, TW_SYMBOLIC, NULL);
    int64_t n = tw_symbol(c.context, "n"), m = tw_symbol(c.context, "m");
    const tw_value in[N_IN] = {
        tw_input(g, "x", TW_F32, TW_SHAPE(n, m)), tw_input(g, "y", TW_F32, TW_SHAPE(n, m)),
        tw_input(g, "row", TW_F32, TW_SHAPE(m)), tw_input(g, "column", TW_F32, TW_SHAPE(n, 1))};
    tw_value out[MOST_OUT];
    c.n_out = make(in, out);
    c.program = tw_compile(g, N_IN, in, c.n_out, out, &(tw_compile_opts){.reference = reference});
    if (!c.program) fail_msg("%s", tw_message(c.context));
    tw_graph_free(g);
    return c;
}

static void run(const compiled *c, const int64_t *extent, tw_tensor **out) {
    const tw_shape shape[N_IN] = {TW_SHAPE(extent[0], extent[1]), TW_SHAPE(extent[0], extent[1]),
                                  TW_SHAPE(extent[1]), TW_SHAPE(extent[0], 1)};
    tw_tensor *in[N_IN];
    for (int i = 0; i < N_IN; i++)
        in[i] = tensor_drawn(c->context, TW_F32, shape[i], (uint64_t)i + 1, -1, 1);
    if (tw_run(c->program, in, out)) fail_msg("%s", tw_message(c->context));
    for (int i = 0; i < N_IN; i++) tw_tensor_free(in[i]);
}

static void compare(const char *name, const int64_t *extent, tw_tensor *got, tw_tensor *wanted) {
    char what[96];
    snprintf(what, sizeof what, "%s of %lld x %lld", name, (long long)extent[0],
             (long long)extent[1]);
    assert_tensors_near(what, got, wanted, TOLERANCE);
}

/* One case, compiled for 1, 2 and 3 threads with open extents, at all extents. */
static void check_case(const named *it, int vectors) {
    compiled truth = compile(it->make, NULL, true), by[THREADS];
    for (int t = 0; t < THREADS; t++)
        by[t] = compile(it->make, &(tw_context_opts){.threads = t + 1, .vectors = vectors}, false);
    char *list = tw_program_print(by[0].program);
    if (machine_target_of(by[0].context)) assert_non_null(strstr(list, "fused["));
    tw_string_free(by[0].context, list);
    for (int e = 0; e < EXTENTS; e++) {
        tw_tensor *wanted[MOST_OUT] = {NULL}, *first[MOST_OUT] = {NULL};
        run(&truth, extents[e], wanted);
        run(&by[0], extents[e], first);
        for (int i = 0; i < truth.n_out; i++) compare(it->name, extents[e], first[i], wanted[i]);
        for (int t = 1; t < THREADS; t++) {
            tw_tensor *other[MOST_OUT] = {NULL};
            run(&by[t], extents[e], other);
            for (int i = 0; i < truth.n_out; i++) {
                char what[96];
                snprintf(what, sizeof what, "%s, result %d, %d threads", it->name, i, t + 1);
                assert_same_bits(what, first[i], other[i]);
                tw_tensor_free(other[i]);
            }
        }
        for (int i = 0; i < truth.n_out; i++) {
            tw_tensor_free(wanted[i]);
            tw_tensor_free(first[i]);
        }
    }
    for (int t = 0; t < THREADS; t++) tw_context_free(by[t].context);
    tw_context_free(truth.context);
}

static void test_widest(void **state) {
    (void)state;
    for (int i = 0; i < CASES; i++) check_case(&cases[i], 0);
}

static void test_narrower(void **state) {
    (void)state;
    for (int vectors = 16; vectors <= 32; vectors *= 2)
        for (int i = 0; i < CASES; i++) check_case(&cases[i], vectors);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_widest),
                                       cmocka_unit_test(test_narrower)};
    return cmocka_run_group_tests_name("generated", tests, NULL, NULL);
}
