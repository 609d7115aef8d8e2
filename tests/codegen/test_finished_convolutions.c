/*
 * Convolutions together with the elementwise work on them, by Winograd's transform and by the library, over
 * batches that are cut and some that are not, open and known, against the float64 reference; the same bits for
 * 1, 2 and 7 threads; numbers that are not finite; an image that is itself trained.
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

enum { X, W, BIAS, FULL, N_IN, MOST_OUT = 4, COUNTS = 3 };
static const int threads[COUNTS] = {1, 2, 7};
static const double TOLERANCE = 3e-5;

/* A convolution of (batch, size^axes, in) to `out` channels. */
typedef struct geometry {
    const char *name;
    int axes;
    int64_t batch, size, window, in, out, stride, groups;
} geometry;

static tw_conv_opts options_of(const geometry *g) {
    tw_conv_opts o = {.groups = g->groups, .same = true};
    for (int i = 0; i < g->axes; i++) o.stride[i] = g->stride;
    return o;
}

static tw_shape image(const geometry *g, int64_t batch, int64_t size, int64_t channels) {
    tw_shape shape = TW_SHAPE(batch);
    for (int i = 0; i < g->axes; i++) shape.dim[shape.rank++] = size;
    shape.dim[shape.rank++] = channels;
    return shape;
}

static void shapes(const geometry *g, int64_t batch, tw_shape *shape) {
    shape[X] = image(g, batch, g->size, g->in);
    shape[W] = image(g, g->window, g->window, g->out);
    for (int i = 0; i < g->axes; i++) shape[W].dim[i] = g->window;
    shape[W].rank = g->axes + 2;
    shape[W].dim[g->axes] = g->in / g->groups;
    shape[W].dim[g->axes + 1] = g->out;
    shape[BIAS] = TW_SHAPE(g->out);
    shape[FULL] = image(g, batch, (g->size + g->stride - 1) / g->stride, g->out);
}

/* ---- what is made of it ---- */

typedef int (*maker)(const geometry *g, const tw_value *in, tw_value *out);

static int silu(const geometry *g, const tw_value *in, tw_value *out) {
    tw_conv_opts o = options_of(g);
    out[0] = tw_conv_bias(in[X], in[W], in[BIAS], &o);
    out[1] = tw_silu(out[0]);
    return 2;
}

static int residual(const geometry *g, const tw_value *in, tw_value *out) {
    tw_conv_opts o = options_of(g);
    o.relu = true;
    tw_value y = tw_conv_bias(in[X], in[W], in[BIAS], &o);
    out[0] = tw_relu(tw_add(tw_scale(y, 0.5), in[FULL]));
    return 1;
}

static int by_channel(const geometry *g, const tw_value *in, tw_value *out) {
    tw_conv_opts o = options_of(g);
    tw_value y = tw_conv(in[X], in[W], &o);
    out[0] = tw_max(tw_mul(y, in[BIAS]), tw_add(y, in[BIAS]));
    out[1] = tw_cast(tw_compare(TW_GT, out[0], tw_literal(out[0], 0)), TW_F32);
    out[1] = tw_mul(out[1], y);
    return 2;
}

/* dx masked by x, of sum(full conv(relu(x), w)), and its sum over samples. */
static int gradient(const geometry *g, const tw_value *in, tw_value *out) {
    tw_conv_opts o = options_of(g);
    tw_value y = tw_conv(tw_relu(in[X]), in[W], &o);
    tw_grad(tw_sum(tw_mul(y, in[FULL])), 1, &in[X], out);
    out[1] = tw_sum_axis(out[0], 0, false);
    return 2;
}

static const struct {
    const char *word; /* of the program's list */
    maker make;
} works[] = {{"fused[conv_bias+", silu},
             {"fused[conv_bias+", residual},
             {"fused[conv+", by_channel},
             {"fused[conv_input_grad+", gradient}};
enum { WORKS = sizeof works / sizeof *works };

static const geometry geometries[] = {
    {"Winograd", 2, 40, 14, 3, 16, 32, 1, 1},
    {"Winograd of odd images", 2, 67, 7, 3, 32, 48, 1, 1},
    {"Winograd of large images", 2, 9, 70, 3, 32, 16, 1, 1},
    {"library", 2, 33, 9, 5, 3, 5, 1, 1},
    {"library, stride", 2, 8, 12, 3, 4, 18, 2, 1},
    {"library, groups", 2, 35, 6, 3, 8, 8, 1, 4},
    {"library, large images", 2, 8, 100, 3, 3, 17, 1, 1},
    {"sequences", 1, 70, 50, 3, 6, 40, 1, 1},
    {"volumes", 3, 9, 6, 3, 2, 20, 1, 1},
    {"one pixel", 2, 16, 1, 1, 5, 7, 1, 1},
};
enum { GEOMETRIES = sizeof geometries / sizeof *geometries };

typedef struct compiled {
    tw_context *context;
    tw_program *program;
    int n_out;
} compiled;

static compiled compile(const geometry *g, maker make, bool open, const tw_context_opts *options,
                        bool reference) {
    static const char *const names[N_IN] = {"x", "w", "bias", "full"};
    compiled c = {.context = tw_context_new(options)};
    assert_non_null(c.context);
    tw_graph *graph = tw_graph_new(c.context, NULL, TW_SYMBOLIC, NULL);
    tw_shape shape[N_IN];
    tw_value in[N_IN], out[MOST_OUT];
    shapes(g, open ? tw_symbol(c.context, "batch") : g->batch, shape);
    for (int i = 0; i < N_IN; i++) in[i] = tw_input(graph, names[i], TW_F32, shape[i]);
    c.n_out = make(g, in, out);
    c.program =
        tw_compile(graph, N_IN, in, c.n_out, out, &(tw_compile_opts){.reference = reference});
    if (!c.program) fail_msg("%s: %s", g->name, tw_message(c.context));
    tw_graph_free(graph);
    return c;
}

/* x[at] is `odd` if at >= 0. */
static void run(const geometry *g, const compiled *c, int64_t batch, int64_t at, float odd,
                tw_tensor **out) {
    tw_shape shape[N_IN];
    tw_tensor *in[N_IN];
    shapes(g, batch, shape);
    double fan = (double)(g->in * g->window * g->window), range = 2 / sqrt(fan);
    for (int i = 0; i < N_IN; i++)
        in[i] = tensor_drawn(c->context, TW_F32, shape[i], (uint64_t)i + 1, i == W ? -range : -1,
                             i == W ? range : 1);
    if (at >= 0) ((float *)tw_tensor_map(in[X]))[at] = odd;
    if (tw_run(c->program, in, out)) fail_msg("%s: %s", g->name, tw_message(c->context));
    for (int i = 0; i < N_IN; i++) tw_tensor_free(in[i]);
}

static void check_batch(const geometry *g, const compiled *truth, const compiled *by,
                        int64_t batch) {
    tw_tensor *wanted[MOST_OUT] = {NULL}, *first[MOST_OUT] = {NULL};
    char what[96];
    run(g, truth, batch, -1, 0, wanted);
    run(g, &by[0], batch, -1, 0, first);
    for (int i = 0; i < truth->n_out; i++)
        assert_tensors_near(g->name, first[i], wanted[i], TOLERANCE);
    for (int t = 1; t < COUNTS; t++) {
        tw_tensor *other[MOST_OUT] = {NULL};
        run(g, &by[t], batch, -1, 0, other);
        for (int i = 0; i < truth->n_out; i++) {
            snprintf(what, sizeof what, "%s, result %d, %d threads", g->name, i, threads[t]);
            assert_same_bits(what, first[i], other[i]);
            tw_tensor_free(other[i]);
        }
    }
    for (int i = 0; i < truth->n_out; i++) {
        tw_tensor_free(wanted[i]);
        tw_tensor_free(first[i]);
    }
}

static void check(const geometry *g, int work, bool open, int vectors) {
    static const int64_t batches[] = {0, 1, 7, 8, 34};
    maker make = works[work].make;
    compiled truth = compile(g, make, open, NULL, true), by[COUNTS];
    for (int t = 0; t < COUNTS; t++)
        by[t] = compile(g, make, open,
                        &(tw_context_opts){.threads = threads[t], .vectors = vectors}, false);
    char *list = tw_program_print(by[0].program);
    if (machine_target_of(by[0].context) && !strstr(list, works[work].word))
        fail_msg("%s, %s is not one kernel: %s", g->name, works[work].word, list);
    tw_string_free(by[0].context, list);
    for (size_t i = 0; open && i < sizeof batches / sizeof *batches; i++)
        check_batch(g, &truth, by, batches[i]);
    if (!open) check_batch(g, &truth, by, g->batch);
    for (int t = 0; t < COUNTS; t++) tw_context_free(by[t].context);
    tw_context_free(truth.context);
}

static void test_known(void **state) {
    (void)state;
    for (int work = 0; work < WORKS; work++)
        for (int i = 0; i < GEOMETRIES; i++) check(&geometries[i], work, false, 0);
}

static void test_open(void **state) {
    (void)state;
    for (int work = 0; work < WORKS; work++)
        for (int i = 0; i < GEOMETRIES; i++) check(&geometries[i], work, true, 0);
}

static void test_narrower(void **state) {
    (void)state;
    for (int work = 0; work < WORKS; work++)
        for (int i = 0; i < GEOMETRIES; i += 3) check(&geometries[i], work, false, 32);
}

/* A batch that is not cut stays a node of its own. */
static void test_few(void **state) {
    (void)state;
    geometry few = geometries[0];
    few.batch = 7;
    compiled c = compile(&few, silu, false, NULL, false);
    char *list = tw_program_print(c.program);
    assert_null(strstr(list, "fused[conv"));
    tw_string_free(c.context, list);
    tw_context_free(c.context);
}

/* The bits that the same work has apart, for x[at] = odd if at >= 0; gives how many are not finite. */
static size_t check_apart(const geometry *g, int count, int64_t at, float odd) {
    compiled together = compile(g, residual, false, &(tw_context_opts){.threads = count}, false);
    compiled plain = compile(g, residual, false,
                             &(tw_context_opts){.threads = count, .no_codegen = true}, false);
    tw_tensor *got[1] = {NULL}, *wanted[1] = {NULL};
    run(g, &together, g->batch, at, odd, got);
    run(g, &plain, g->batch, at, odd, wanted);
    const float *a = tw_tensor_map(got[0]), *b = tw_tensor_map(wanted[0]);
    size_t n = tw_tensor_bytes(got[0]) / sizeof(float), strange = 0;
    for (size_t e = 0; e < n; e++) {
        strange += !isfinite(b[e]);
        bool same = isnan(b[e]) ? isnan(a[e]) : memcmp(&a[e], &b[e], sizeof(float)) == 0;
        if (!same)
            fail_msg("%s: element %zu is %g, apart %g", g->name, e, (double)a[e], (double)b[e]);
    }
    assert_true(strange < n / 2);
    tw_context_free(together.context);
    tw_context_free(plain.context);
    return strange;
}

/* Also where the library's pieces are others than apart, as they would be large. */
static void test_apart(void **state) {
    static const geometry large = {"library, many large images", 2, 64, 100, 3, 3, 17, 1, 1};
    (void)state;
    for (int i = 0; i < GEOMETRIES; i++) assert_int_equal(check_apart(&geometries[i], 2, -1, 0), 0);
    assert_int_equal(check_apart(&large, 2, -1, 0), 0);
}

/* Winograd's form then gives way to the library, whose samples are finished again: the odd number is in the last one,
 * when the others are done. What it does not reach is as without it, the rest as in the direct sums. */
static void test_infinite(void **state) {
    static const float odd[] = {INFINITY, -INFINITY, NAN};
    (void)state;
    for (int i = 0; i < GEOMETRIES; i++)
        for (size_t k = 0; k < sizeof odd / sizeof *odd; k++)
            for (int count = 1; count <= 2; count++) {
                const geometry *g = &geometries[i];
                int64_t sample = g->in;
                for (int axis = 0; axis < g->axes; axis++) sample *= g->size;
                assert_true(check_apart(g, count, g->batch * sample - 1, odd[k]) > 0);
            }
}

/* x is a variable that learns: its next value may not be written over it piece by piece, as some may be done again. */
static void test_trained_image(void **state) {
    enum { BATCH = 16, SIZE = 10, ELEMENTS = BATCH * SIZE * SIZE * 16, STEPS = 3 };
    static double end[2][ELEMENTS];
    (void)state;
    for (int reference = 0; reference < 2; reference++) {
        tw_context *c = tw_context_new(&(tw_context_opts){.threads = 2});
        tw_store *store = tw_store_new(c, NULL);
        tw_tensor *start = tensor_drawn(c, TW_F32, TW_SHAPE(BATCH, SIZE, SIZE, 16), 1, -1, 1);
        tw_tensor *given = tensor_drawn(c, TW_F32, TW_SHAPE(3, 3, 16, 32), 2, -0.1, 0.1),
                  *out = NULL;
        assert_int_equal(tw_store_set(store, "x", start), TW_OK);
        tw_graph *g = tw_graph_new(c, store, TW_SYMBOLIC, &(tw_graph_opts){.training = true});
        tw_value x = tw_variable(g, "x", TW_F32, tw_tensor_type(start).shape, tw_zeros_init());
        tw_value w = tw_input(g, "w", TW_F32, TW_SHAPE(3, 3, 16, 32)), dx;
        tw_value loss = tw_sum(tw_square(tw_conv(x, w, &(tw_conv_opts){.same = true})));
        tw_grad(loss, 1, &x, &dx);
        tw_assign(x, tw_sub(x, tw_scale(dx, 0.1)));
        tw_program *program =
            tw_compile(g, 1, &w, 1, &loss, &(tw_compile_opts){.reference = reference});
        if (!program) fail_msg("%s", tw_message(c));
        char *list = tw_program_print(program);
        assert_null(strstr(list, "fused[conv_input_grad"));
        tw_string_free(c, list);
        for (int step = 0; step < STEPS; step++)
            if (tw_run(program, &given, &out)) fail_msg("%s", tw_message(c));
        numbers_at(store, "x", ELEMENTS, end[reference]);
        tw_context_free(c);
    }
    assert_near("x", ELEMENTS, end[0], end[1], TOLERANCE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known),         cmocka_unit_test(test_open),
        cmocka_unit_test(test_narrower),      cmocka_unit_test(test_few),
        cmocka_unit_test(test_apart),         cmocka_unit_test(test_infinite),
        cmocka_unit_test(test_trained_image),
    };
    return cmocka_run_group_tests_name("finished convolutions", tests, NULL, NULL);
}
