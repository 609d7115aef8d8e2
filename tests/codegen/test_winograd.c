/*
 * Winograd's convolutions against the direct sums in float64, for padding, odd extents, and numbers
 * of channels that take each of the inner products; and what they do where numbers are not finite.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <thalweg/thalweg.h>

#include "codegen/plain/winograd.h"

enum { MOST_THREADS = 3, X = 0, W, Y, ARRAYS };
static const double TOLERANCE = 3e-6;

typedef struct fixture {
    conv_geometry g;
    int64_t size[ARRAYS];
    float *array[ARRAYS], *bias;
    double *sum[ARRAYS], *scale[ARRAYS]; /* dx, dw, y: direct sums, and those of magnitudes */
} fixture;

static float draw(uint32_t *state) {
    *state = *state * 1664525u + 1013904223u;
    return (float)(*state >> 8) * 0x1p-23f - 1;
}

static conv_geometry geometry(int64_t batch, int64_t height, int64_t width, int64_t in, int64_t out,
                              int64_t low, int64_t high) {
    conv_geometry g = {.batch = batch, .groups = 1, .in_channels = in, .out_channels = out};
    for (int i = 0; i < 3; i++) {
        g.window[i] = i ? 3 : 1;
        g.low[i] = i ? low : 0;
        g.high[i] = i ? high : 0;
        g.in[i] = i == 0 ? 1 : i == 1 ? height : width;
        g.out[i] = g.in[i] + g.low[i] + g.high[i] - g.window[i] + 1;
        g.stride[i] = g.dilation[i] = g.base_dilation[i] = 1;
    }
    return g;
}

/* One term of the trilinear form, in each of its three sums. */
static void add_term(fixture *f, int64_t x, int64_t w, int64_t y) {
    const int64_t at[ARRAYS] = {x, w, y};
    for (int i = 0; i < ARRAYS; i++) {
        double product = 1;
        for (int k = 0; k < ARRAYS; k++)
            if (k != i) product *= (double)f->array[k][at[k]];
        f->sum[i][at[i]] += product;
        f->scale[i][at[i]] += fabs(product);
    }
}

static void sum_directly(fixture *f) {
    const conv_geometry *g = &f->g;
    int64_t in = g->in_channels, out = g->out_channels;
    for (int64_t n = 0; n < g->batch; n++)
        for (int64_t p = 0; p < g->out[1] * g->out[2]; p++)
            for (int64_t k = 0; k < 9; k++) {
                int64_t row = p / g->out[2] + k / 3 - g->low[1];
                int64_t column = p % g->out[2] + k % 3 - g->low[2];
                if (row < 0 || row >= g->in[1] || column < 0 || column >= g->in[2]) continue;
                int64_t pixel = (n * g->in[1] + row) * g->in[2] + column;
                for (int64_t c = 0; c < in * out; c++)
                    add_term(f, pixel * in + c / out, k * in * out + c,
                             (n * g->out[1] * g->out[2] + p) * out + c % out);
            }
}

static fixture begin(conv_geometry g) {
    fixture f = {.g = g};
    uint32_t state = 5;
    f.size[X] = g.batch * g.in[1] * g.in[2] * g.in_channels;
    f.size[W] = 9 * g.in_channels * g.out_channels;
    f.size[Y] = g.batch * g.out[1] * g.out[2] * g.out_channels;
    for (int i = 0; i < ARRAYS; i++) {
        f.array[i] = calloc((size_t)f.size[i], sizeof(float));
        f.sum[i] = calloc((size_t)f.size[i], sizeof(double));
        f.scale[i] = calloc((size_t)f.size[i], sizeof(double));
        assert_non_null(f.array[i]);
        assert_non_null(f.sum[i]);
        assert_non_null(f.scale[i]);
        for (int64_t k = 0; k < f.size[i]; k++) f.array[i][k] = draw(&state);
    }
    f.bias = calloc((size_t)g.out_channels, sizeof(float));
    assert_non_null(f.bias);
    for (int64_t k = 0; k < g.out_channels; k++) f.bias[k] = draw(&state);
    return f;
}

static void end(fixture *f) {
    for (int i = 0; i < ARRAYS; i++) free(f->array[i]), free(f->sum[i]), free(f->scale[i]);
    free(f->bias);
}

/* The three kernels by number: what gives dx, dw, y. A result that the caller frees. */
static float *run(const fixture *f, int which, int threads, bool relu, bool *finite) {
    tw_context *context = tw_context_new(&(tw_context_opts){.threads = threads});
    assert_non_null(context);
    const conv_geometry *g = &f->g;
    size_t weights = winograd_weight_floats(g) * (size_t)winograd_pieces(g);
    size_t blocks = winograd_block_floats(g) * (size_t)threads;
    float *memory = malloc((weights + blocks) * sizeof(float));
    float *result = malloc((size_t)f->size[which] * sizeof(float));
    assert_non_null(memory);
    assert_non_null(result);
    memset(memory, 0xff, (weights + blocks) * sizeof(float)); /* NaN: nothing may rest on it */
    winograd_arrays arrays = {.x = f->array[X],
                              .w = f->array[W],
                              .dy = f->array[Y],
                              .bias = which == Y ? f->bias : NULL,
                              .relu = relu,
                              .result = result,
                              .weights = memory,
                              .sums = memory,
                              .blocks = memory + weights};
    *finite = which == X   ? winograd_input_grad(context, g, &arrays)
              : which == W ? winograd_weight_grad(context, g, &arrays)
                           : winograd_conv(context, g, &arrays);
    free(memory);
    tw_context_free(context);
    return result;
}

static void check(conv_geometry g) {
    fixture f = begin(g);
    sum_directly(&f);
    for (int which = 0; which < ARRAYS; which++) {
        size_t bytes = (size_t)f.size[which] * sizeof(float);
        bool finite, relu = which == Y && g.batch % 2;
        float *first = run(&f, which, 1, relu, &finite);
        assert_true(finite);
        for (int64_t i = 0; i < f.size[which]; i++) {
            double want = f.sum[which][i], scale = f.scale[which][i] + 1;
            if (which == Y) want += (double)f.bias[i % g.out_channels];
            if (relu && want < 0) want = 0;
            if (!(fabs((double)first[i] - want) <= TOLERANCE * scale))
                fail_msg("array %d, element %lld: %.9g, expected %.9g", which, (long long)i,
                         (double)first[i], want);
        }
        for (int threads = 2; threads <= MOST_THREADS; threads++) {
            float *other = run(&f, which, threads, relu, &finite);
            assert_memory_equal(first, other, bytes);
            free(other);
        }
        free(first);
    }
    end(&f);
}

static void test_against_direct_sums(void **state) {
    (void)state;
    check(
        geometry(20, 14, 14, 32, 64, 1, 1)); /* as the model's, in pieces of one and two samples */
    check(geometry(9, 7, 5, 16, 16, 1, 1));
    check(geometry(4, 9, 8, 48, 112, 0, 0)); /* each width of the products */
    check(geometry(3, 6, 11, 80, 16, 2, 2));
    check(geometry(6, 8, 8, 16, 48, 0, 2));
    check(geometry(1, 31, 30, 16, 80, 2, 1));
    check(geometry(2, 1, 40, 64, 64, 1, 1)); /* images of one row */
}

static void test_what_it_takes(void **state) {
    (void)state;
    conv_geometry g = geometry(20, 14, 14, 32, 64, 1, 1);
    if (!winograd_serves(&g)) skip(); /* a build without wide vectors */
    conv_geometry other[] = {g, g, g, g, g, g};
    other[0].stride[1] = 2;
    other[1].groups = 2;
    other[2].window[2] = 5;
    other[3].dilation[2] = 2;
    other[4].in_channels = 33;
    other[5].low[1] = 3;
    for (size_t i = 0; i < sizeof other / sizeof *other; i++)
        assert_false(winograd_serves(&other[i]));
}

/* Each kernel says so, whichever operand it is in and wherever. */
static void test_not_finite(void **state) {
    (void)state;
    conv_geometry g = geometry(10, 7, 7, 32, 64, 1, 1);
    fixture f = begin(g);
    const float odd[] = {NAN, INFINITY, -INFINITY};
    for (int where = 0; where < ARRAYS; where++)
        for (int which = 0; which < ARRAYS; which++) {
            if (which == where) continue;
            for (int64_t at = where; at < f.size[where]; at += f.size[where] / 7) {
                bool finite = true;
                float before = f.array[where][at];
                f.array[where][at] = odd[at % 3];
                free(run(&f, which, 2, true, &finite));
                assert_false(finite);
                f.array[where][at] = before;
            }
        }
    end(&f);
}

/* Through the operators: an infinity reaches the 3x3 outputs around it, and no others. */
static void test_infinity_stays_where_it_is(void **state) {
    (void)state;
    enum { SIDE = 12, CHANNELS = 32, PIXEL = 5 * SIDE + 5 };
    tw_context *context = tw_context_new(NULL);
    tw_graph *graph = tw_graph_new(context, NULL, TW_IMMEDIATE, NULL);
    float *x = calloc((size_t)8 * SIDE * SIDE * CHANNELS, sizeof *x);
    float *w = calloc((size_t)9 * CHANNELS * CHANNELS, sizeof *w);
    assert_non_null(x);
    assert_non_null(w);
    for (int i = 0; i < 9 * CHANNELS * CHANNELS; i++) w[i] = 1;
    x[PIXEL * CHANNELS] = INFINITY;
    tw_value images = tw_constant_of(graph, TW_F32, TW_SHAPE(8, SIDE, SIDE, CHANNELS), x);
    tw_value weights = tw_constant_of(graph, TW_F32, TW_SHAPE(3, 3, CHANNELS, CHANNELS), w);
    tw_value sum = tw_conv(images, weights, &(tw_conv_opts){.same = true});
    assert_int_equal(tw_read(sum, x, (size_t)8 * SIDE * SIDE * CHANNELS * sizeof *x), TW_OK);
    for (int i = 0; i < 8 * SIDE * SIDE; i++) {
        int row = i / SIDE - 5, column = i % SIDE - 5;
        bool near = row >= -1 && row <= 1 && column >= -1 && column <= 1;
        assert_true(near ? isinf(x[i * CHANNELS]) : x[i * CHANNELS] == 0);
    }
    tw_context_free(context);
    free(x);
    free(w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_direct_sums),
        cmocka_unit_test(test_what_it_takes),
        cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_infinity_stays_where_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
