/*
 * f16 and bf16: every pattern and the rounding of every kind of number; casts; operators against
 * f32 rounded once; sums against f64; gradients through a bf16 weight; files; immediate mode.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include <thalweg/thalweg.h>

#include "base/half.h"
#include "base/number.h"
#include "ir/dimension.h"
#include "support/numbers.h"

static const tw_dtype halves[] = {TW_F16, TW_BF16};
static tw_context *context;

static int setup(void **state) {
    (void)state;
    context = tw_context_new(&(tw_context_opts){.threads = 2});
    return context ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    tw_context_free(context);
    return 0;
}

/* ---- conversions ---- */

/* What the pattern means, by the definition of the formats; a NaN for one. */
static double meaning(tw_dtype dtype, uint16_t half) {
    int digits = dtype == TW_F16 ? 10 : 7, bias = dtype == TW_F16 ? 15 : 127;
    int fraction = half & ((1 << digits) - 1), exponent = (half & 0x7fff) >> digits;
    int most = dtype == TW_F16 ? 31 : 255;
    double size = exponent == most ? (fraction ? (double)NAN : (double)INFINITY)
                  : exponent       ? ldexp(1 + ldexp(fraction, -digits), exponent - bias)
                                   : ldexp(fraction, 1 - bias - digits);
    return half & 0x8000 ? -size : size;
}

static void every_pattern(void **state) {
    (void)state;
    for (int k = 0; k < 2; k++) {
        tw_dtype dtype = halves[k];
        for (uint32_t i = 0; i < 0x10000; i++) {
            uint16_t half = (uint16_t)i, back;
            double want = meaning(dtype, half), number = half_read(dtype, half);
            if (!(number == want || (isnan(number) && isnan(want))) ||
                signbit(number) != signbit(want))
                fail_msg("%s %04x is %g, expected %g", tw_dtype_name(dtype), i, number, want);
            float wide;
            half_widen(dtype, &half, 1, 1, &wide);
            half_narrow(dtype, &wide, 1, &back);
            if (back != half) fail_msg("%s %04x comes back as %04x", tw_dtype_name(dtype), i, back);
            back = half_of(dtype, number);
            if (isnan(want) ? !isnan(half_read(dtype, back)) : back != half)
                fail_msg("%s %04x comes back from f64 as %04x", tw_dtype_name(dtype), i, back);
        }
    }
}

/* A number rounds to a neighbour that no other is nearer than; from the middle, to the even one.
 * `low` is not the last finite pattern; its upper neighbour is low + 1. */
static void check_between(tw_dtype dtype, uint16_t low) {
    double a = meaning(dtype, low), b = meaning(dtype, (uint16_t)(low + 1)), middle = (a + b) / 2;
    uint16_t even = (uint16_t)(low & 1 ? low + 1 : low), high = (uint16_t)(low + 1);
    double above = nextafter(middle, b), below = nextafter(middle, a);
    const struct {
        double number;
        uint16_t want;
    } cases[] = {{middle, even},
                 {above, high},
                 {below, low},
                 {nextafter(b, a), high},
                 {nextafter(a, b), low}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint16_t got = half_of(dtype, cases[i].number);
        if (got != cases[i].want)
            fail_msg("%.20g rounds to %s %04x, expected %04x", cases[i].number,
                     tw_dtype_name(dtype), got, cases[i].want);
        got = half_of(dtype, -cases[i].number);
        if (got != (cases[i].want | 0x8000)) fail_msg("%.20g rounds wrong", -cases[i].number);
    }
    float edge[3] = {(float)middle, nextafterf((float)middle, INFINITY),
                     nextafterf((float)middle, 0)};
    uint16_t got[3];
    half_narrow(dtype, edge, 3, got);
    if ((double)edge[0] == middle && /* not the least subnormals of bf16, which are f32's */
        (got[0] != even || got[1] != high || got[2] != low))
        fail_msg("f32 %.10g rounds to %04x, %04x, %04x", (double)edge[0], got[0], got[1], got[2]);
}

static void ties_go_to_even(void **state) {
    (void)state;
    for (uint16_t low = 0; low < 0x7bff; low++) check_between(TW_F16, low);
    for (uint16_t low = 0; low < 0x7f7f; low++) check_between(TW_BF16, low);
    assert_int_equal(half_of(TW_F16, 65519.99), 0x7bff);
    assert_int_equal(half_of(TW_F16, 65520), 0x7c00);
    assert_int_equal(half_of(TW_F16, -1e300), 0xfc00);
    assert_int_equal(half_of(TW_BF16, 0x1.fep127), 0x7f7f);
    assert_int_equal(half_of(TW_BF16, 0x1.ffp127), 0x7f80);
    assert_int_equal(half_of(TW_BF16, 1e300), 0x7f80);
    assert_int_equal(half_of(TW_BF16, -5e-324), 0x8000);
}

/* ---- casts ---- */

/* One cast of n elements, by a program. */
static void cast(tw_dtype from, const void *x, tw_dtype to, int n, void *y) {
    tw_graph *g = tw_graph_new(context, NULL, TW_SYMBOLIC, NULL);
    tw_value in = tw_input(g, "x", from, TW_SHAPE(n)), out = tw_cast(in, to);
    tw_program *program = tw_compile(g, 1, &in, 1, &out, NULL);
    if (!program) fail_msg("%s", tw_message(context));
    tw_tensor *data = tw_tensor_new(context, from, TW_SHAPE(n)), *result = NULL;
    assert_int_equal(tw_tensor_put(data, x, tw_tensor_bytes(data)), TW_OK);
    assert_int_equal(tw_run(program, &data, &result), TW_OK);
    assert_int_equal(tw_tensor_get(result, y, tw_tensor_bytes(result)), TW_OK);
    tw_tensor_free(data);
    tw_tensor_free(result);
    tw_program_free(program);
    tw_graph_free(g);
}

static void cast_table(void **state) {
    (void)state;
    enum { N = 7 };
    const float x[N] = {-1.75f, 300.5f, NAN, INFINITY, -INFINITY, 0, 70000};
    uint16_t f16[N], bf16[N], again[N];
    cast(TW_F32, x, TW_F16, N, f16);
    cast(TW_F32, x, TW_BF16, N, bf16);
    const uint16_t want_f16[N] = {0xbf00, 0x5cb2, 0x7e00, 0x7c00, 0xfc00, 0, 0x7c00};
    const uint16_t want_bf16[N] = {0xbfe0, 0x4396, 0x7fc0, 0x7f80, 0xff80, 0, 0x4789};
    assert_memory_equal(f16, want_f16, sizeof f16);
    assert_memory_equal(bf16, want_bf16, sizeof bf16);
    int32_t i32[N];
    cast(TW_F16, f16, TW_I32, N, i32);
    const int32_t want_i32[N] = {-1, 300, 0, INT32_MAX, INT32_MIN, 0, INT32_MAX};
    assert_memory_equal(i32, want_i32, sizeof i32);
    uint8_t u8[N], truth[N];
    cast(TW_BF16, bf16, TW_U8, N, u8);
    const uint8_t want_u8[N] = {0, 255, 0, 255, 0, 0, 255};
    assert_memory_equal(u8, want_u8, sizeof u8);
    cast(TW_BF16, bf16, TW_BOOL, N, truth);
    const uint8_t want_truth[N] = {1, 1, 1, 1, 1, 0, 1};
    assert_memory_equal(truth, want_truth, sizeof truth);
    double f64[N];
    cast(TW_BF16, bf16, TW_F64, N, f64);
    assert_true(f64[0] == -1.75 && f64[1] == 300 && isnan(f64[2]) && f64[6] == 70144);
    cast(TW_F64, f64, TW_BF16, N, again);
    assert_memory_equal(again, bf16, sizeof bf16);
    cast(TW_BF16, bf16, TW_F16, N, again);
    const uint16_t want_again[N] = {0xbf00, 0x5cb0, 0x7e00, 0x7c00, 0xfc00, 0, 0x7c00};
    assert_memory_equal(again, want_again, sizeof again);
    /* One rounding: the last bit of an i64 decides a tie. */
    const int64_t wide[4] = {(INT64_C(0x101) << 54) + 1, INT64_C(0x101) << 54, INT64_MAX, -2049};
    cast(TW_I64, wide, TW_BF16, 4, again);
    assert_int_equal(again[0], 0x5e81);
    assert_int_equal(again[1], 0x5e80);
    assert_int_equal(again[2], 0x5f00);
    cast(TW_I64, wide, TW_F16, 4, again);
    assert_int_equal(again[3], 0xe800);
    const double near[2] = {1 + 0x1p-8 + 0x1p-40, 1 + 0x1p-8};
    cast(TW_F64, near, TW_BF16, 2, again);
    assert_int_equal(again[0], 0x3f81);
    assert_int_equal(again[1], 0x3f80);
}

/* ---- operators ---- */

typedef tw_value (*pair_function)(tw_value a, tw_value b);
static tw_value exponential(tw_value a, tw_value b) { return tw_add(tw_exp(a), tw_neg(b)); }
static tw_value smaller(tw_value a, tw_value b) { return tw_compare(TW_LT, a, b); }
static tw_value chosen(tw_value a, tw_value b) {
    return tw_select(tw_compare(TW_GE, a, b), a, tw_literal(b, 0.1));
}

/* y of two inputs of `dtype`, which hold the bits given. */
static tw_tensor *of_pair(pair_function function, tw_dtype dtype, tw_shape shape, tw_tensor **in,
                          const tw_compile_opts *opts) {
    tw_graph *g = tw_graph_new(context, NULL, TW_SYMBOLIC, NULL);
    tw_value x[] = {tw_input(g, "a", dtype, shape), tw_input(g, "b", dtype, shape)};
    tw_value y = function(x[0], x[1]);
    tw_program *program = tw_compile(g, 2, x, 1, &y, opts);
    tw_tensor *out = NULL;
    if (!program || tw_run(program, in, &out)) fail_msg("%s", tw_message(context));
    tw_program_free(program);
    tw_graph_free(g);
    return out;
}

/* Each operator is its f32 form, rounded. */
static void elementwise_is_f32_rounded(void **state) {
    (void)state;
    static const pair_function functions[] = {tw_add, tw_mul,  tw_div, tw_pow,
                                              tw_max, smaller, chosen};
    enum { N = 3001 };
    const tw_shape shape = TW_SHAPE(N);
    static double a[N], b[N];
    for (int k = 0; k < 2; k++) {
        tw_tensor *half[] = {tensor_drawn(context, halves[k], shape, 1, 0.1, 9),
                             tensor_drawn(context, halves[k], shape, 2, -3, 3)};
        numbers_of(half[0], N, a);
        numbers_of(half[1], N, b);
        tw_tensor *wide[] = {tensor_of(context, TW_F32, shape, a),
                             tensor_of(context, TW_F32, shape, b)};
        for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
            tw_tensor *got = of_pair(functions[i], halves[k], shape, half, NULL);
            tw_tensor *want = of_pair(functions[i], TW_F32, shape, wide, NULL);
            static double x[N], y[N];
            if (tw_tensor_type(want).dtype == TW_BOOL) {
                assert_memory_equal(tw_tensor_map(got), tw_tensor_map(want), N);
            } else {
                numbers_of(got, N, x);
                numbers_of(want, N, y);
                for (int j = 0; j < N; j++) {
                    double rounded = half_read(halves[k], half_of(halves[k], y[j]));
                    if (x[j] != rounded)
                        fail_msg("%s function %zu of %g, %g: %.9g, expected %.9g",
                                 tw_dtype_name(halves[k]), i, a[j], b[j], x[j], rounded);
                }
            }
            tw_tensor_free(got);
            tw_tensor_free(want);
        }
        /* Within a fused group each operator rounds too, and the reference agrees. */
        tw_tensor *fused = of_pair(exponential, halves[k], shape, half, NULL);
        tw_tensor *truth =
            of_pair(exponential, halves[k], shape, half, &(tw_compile_opts){.reference = true});
        assert_memory_equal(tw_tensor_map(fused), tw_tensor_map(truth), N * sizeof(uint16_t));
        tw_tensor_free(fused);
        tw_tensor_free(truth);
        for (int i = 0; i < 2; i++) tw_tensor_free(half[i]), tw_tensor_free(wide[i]);
    }
}

/* ---- sums ---- */

typedef tw_value (*sum_function)(tw_value a, tw_value b, tw_dtype result);
static tw_value product(tw_value a, tw_value b, tw_dtype result) {
    return tw_matmul_as(a, b, result);
}
static tw_value product_of_transposed(tw_value a, tw_value b, tw_dtype result) {
    const int zero = 0;
    return tw_dot_as(a, b, 0, NULL, NULL, 1, &zero, &zero, result);
}
static tw_value convolution(tw_value a, tw_value b, tw_dtype result) {
    return tw_conv(a, b, &(tw_conv_opts){.same = true, .result = result});
}
/* A gradient of the convolution above, over 14 x 14; `more` is its last attribute. */
static tw_value conv_gradient(const char *name, tw_value a, tw_value b, tw_shape more,
                              tw_dtype result) {
    const tw_attr ones = tw_attr_dims(TW_SHAPE(1, 1)), none = tw_attr_dims(TW_SHAPE());
    const tw_attr attr[] = {
        none, ones, ones, none, none, tw_attr_int(1), tw_attr_int(result), tw_attr_dims(more)};
    const tw_value in[] = {a, b};
    return tw_apply(a.graph, name, 2, in, attr, NULL);
}
static tw_value input_gradient(tw_value a, tw_value b, tw_dtype result) {
    return conv_gradient("conv_input_grad", a, b, TW_SHAPE(14, 14), result);
}
static tw_value weight_gradient(tw_value a, tw_value b, tw_dtype result) {
    return conv_gradient("conv_weight_grad", a, b, TW_SHAPE(3, 3), result);
}
static tw_value total(tw_value a, tw_value b, tw_dtype result) {
    return tw_add(tw_sum_as(a, result), tw_sum_as(b, result));
}

/* The operands drawn in `dtype` once, then computed from in `type` with result `as`. */
static tw_tensor *summed(sum_function function, tw_dtype dtype, const tw_shape *shape,
                         tw_dtype type, tw_dtype as, const tw_compile_opts *opts) {
    tw_graph *g = tw_graph_new(context, NULL, TW_SYMBOLIC, NULL);
    tw_value x[2], y;
    tw_tensor *in[2], *out = NULL;
    for (int i = 0; i < 2; i++) {
        in[i] = tensor_drawn(context, dtype, shape[i], 5 + (uint64_t)i, -1, 1);
        x[i] = tw_input(g, i ? "b" : "a", dtype, shape[i]);
    }
    y = function(tw_cast(x[0], type), tw_cast(x[1], type), as);
    tw_program *program = tw_compile(g, 2, x, 1, &y, opts);
    if (!program || tw_run(program, in, &out)) fail_msg("%s", tw_message(context));
    tw_program_free(program);
    tw_graph_free(g);
    for (int i = 0; i < 2; i++) tw_tensor_free(in[i]);
    return out;
}

static void sums_are_f32(void **state) {
    (void)state;
    const struct {
        const char *name;
        sum_function function;
        tw_shape shape[2];
    } cases[] = {
        {"matmul", product, {TW_SHAPE(70, 333), TW_SHAPE(333, 90)}},
        {"large matmul", product, {TW_SHAPE(256, 700), TW_SHAPE(700, 512)}},
        {"odd matmul", product, {TW_SHAPE(3, 5), TW_SHAPE(5, 7)}},
        {"batched matmul", product, {TW_SHAPE(4, 33, 64), TW_SHAPE(4, 64, 31)}},
        {"dot", product_of_transposed, {TW_SHAPE(500, 40), TW_SHAPE(500, 64)}},
        {"conv", convolution, {TW_SHAPE(9, 14, 14, 16), TW_SHAPE(3, 3, 16, 32)}},
        {"conv_input_grad", input_gradient, {TW_SHAPE(9, 14, 14, 32), TW_SHAPE(3, 3, 16, 32)}},
        {"conv_weight_grad", weight_gradient, {TW_SHAPE(9, 14, 14, 16), TW_SHAPE(9, 14, 14, 32)}},
        {"odd conv", convolution, {TW_SHAPE(2, 9, 3), TW_SHAPE(3, 3, 5)}},
        {"sum", total, {TW_SHAPE(40000), TW_SHAPE(100)}},
    };
    const tw_compile_opts plain = {.plain = true};
    enum { MOST = 256 * 512 };
    double *x = calloc(MOST, sizeof *x), *y = calloc(MOST, sizeof *y);
    assert_non_null(x);
    assert_non_null(y);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int k = 0; k < 2; k++) {
            tw_dtype dtype = halves[k];
            tw_tensor *truth =
                summed(cases[i].function, dtype, cases[i].shape, TW_F64, TW_F64, &plain);
            int n = numbers_of(truth, MOST, y);
            assert_in_range(n, 1, MOST);
            double scale = 1;
            for (int j = 0; j < n; j++) scale = fmax(scale, fabs(y[j]));
            for (int p = 0; p < 2; p++) {
                tw_tensor *wide = summed(cases[i].function, dtype, cases[i].shape, dtype, TW_F32,
                                         p ? &plain : NULL);
                assert_int_equal(tw_tensor_type(wide).dtype, TW_F32);
                numbers_of(wide, MOST, x);
                assert_near(cases[i].name, n, x, y, 1e-5);
                tw_tensor *narrow = summed(cases[i].function, dtype, cases[i].shape, dtype, dtype,
                                           p ? &plain : NULL);
                assert_int_equal(tw_tensor_type(narrow).dtype, dtype);
                numbers_of(narrow, MOST, x);
                assert_near(cases[i].name, n, x, y, k ? 0x1p-7 : 0x1p-10);
                tw_tensor_free(wide);
                tw_tensor_free(narrow);
            }
            tw_tensor_free(truth);
        }
    free(x);
    free(y);
}

static void result_types_are_checked(void **state) {
    (void)state;
    const struct {
        tw_dtype dtype, result;
        bool fine;
    } cases[] = {{TW_BF16, TW_BF16, true}, {TW_BF16, TW_F32, true},  {TW_F16, TW_F64, true},
                 {TW_BF16, TW_F16, false}, {TW_BF16, TW_I32, false}, {TW_F32, TW_F64, false},
                 {TW_F32, TW_BF16, false}, {TW_F32, TW_F32, true}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tw_graph *g = tw_graph_new(context, NULL, TW_SYMBOLIC, NULL);
        tw_value a = tw_input(g, "a", cases[i].dtype, TW_SHAPE(2, 2));
        tw_value y = tw_matmul_as(a, a, cases[i].result);
        assert_int_equal(tw_ok(y), cases[i].fine);
        if (!cases[i].fine) assert_non_null(strstr(tw_message(context), "result is "));
        tw_graph_free(g);
    }
}

/* The mean of more elements than bf16 can count. */
static void means(void **state) {
    (void)state;
    enum { N = 1001 };
    tw_graph *g = tw_graph_new(context, NULL, TW_SYMBOLIC, NULL);
    tw_value x = tw_input(g, "x", TW_BF16, TW_SHAPE(N, 3));
    tw_value y[] = {tw_mean(x), tw_mean(tw_mean_axis(x, 0, false))};
    tw_program *program = tw_compile(g, 1, &x, 2, y, NULL);
    tw_tensor *in = tensor_drawn(context, TW_BF16, TW_SHAPE(N, 3), 3, 0.999, 0.9999);
    tw_tensor *out[2] = {NULL};
    if (!program || tw_run(program, &in, out)) fail_msg("%s", tw_message(context));
    assert_true(fabs(tw_tensor_item(out[0]) - 1) <= 0x1p-8);
    assert_true(fabs(tw_tensor_item(out[1]) - 1) <= 0x1p-7);
    tw_tensor_free(in);
    for (int i = 0; i < 2; i++) tw_tensor_free(out[i]);
    tw_program_free(program);
    tw_graph_free(g);
}

/* ---- gradients ---- */

/* Mean square of relu(x w1) w2: f32 data, weights in `dtype`. */
static tw_value model(tw_graph *g, tw_dtype dtype, tw_value x, tw_value *w) {
    w[0] = tw_parameter(g, "w1", dtype, TW_SHAPE(20, 32), tw_he_normal());
    w[1] = tw_parameter(g, "w2", dtype, TW_SHAPE(32, 4), tw_he_normal());
    bool half = dtype == TW_BF16 || dtype == TW_F16;
    tw_dtype result = half ? TW_F32 : dtype;
    tw_value h = tw_relu(tw_matmul_as(tw_cast(x, dtype), w[0], result));
    return tw_mean(tw_square(tw_matmul_as(tw_cast(h, dtype), w[1], result)));
}

static int gradients(tw_dtype dtype, tw_store *store, double *out) {
    enum { ROWS = 16 };
    tw_graph *g = tw_graph_new(context, store, TW_SYMBOLIC, &(tw_graph_opts){.training = true});
    tw_dtype data = dtype == TW_F64 ? TW_F64 : TW_F32;
    tw_value x = tw_input(g, "x", data, TW_SHAPE(ROWS, 20)), w[2], dw[2];
    tw_value loss = model(g, dtype, x, w);
    tw_grad(loss, 2, w, dw);
    /* Second order: the gradient of the gradients' square, for the first weight. */
    tw_value square =
        tw_add(tw_sum(tw_square(tw_cast(dw[0], data))), tw_sum(tw_square(tw_cast(dw[1], data))));
    tw_value all[] = {dw[0], dw[1], (tw_value){0}};
    tw_grad(square, 1, w, &all[2]);
    for (int i = 0; i < 3; i++)
        if (tw_ok(all[i])) assert_int_equal(tw_dtype_of(all[i]), dtype);
    tw_program *program = tw_compile(g, 1, &x, 3, all, NULL);
    double number[ROWS * 20];
    for (int i = 0; i < ROWS * 20; i++) number[i] = bf16_widen(bf16_of(sin(i)));
    tw_tensor *in = tensor_of(context, data, TW_SHAPE(ROWS, 20), number), *result[3] = {NULL};
    if (!program || tw_run(program, &in, result)) fail_msg("%s", tw_message(context));
    int n = 0;
    for (int i = 0; i < 3; i++) {
        n += numbers_of(result[i], 640, out + n);
        tw_tensor_free(result[i]);
    }
    tw_tensor_free(in);
    tw_program_free(program);
    tw_graph_free(g);
    return n;
}

static void gradients_flow(void **state) {
    (void)state;
    tw_store *half = tw_store_new(context, &(tw_store_opts){.seed = 4});
    tw_store *wide = tw_store_new(context, NULL);
    static double got[3 * 640], want[3 * 640];
    int n = gradients(TW_BF16, half, got);
    assert_int_equal(n, 640 + 128 + 640);
    for (int i = 0; i < 2; i++) { /* the same weights in f64 */
        static double number[640];
        const char *path = i ? "w2" : "w1";
        numbers_at(half, path, 640, number);
        tw_tensor *w = tensor_of(context, TW_F64, i ? TW_SHAPE(32, 4) : TW_SHAPE(20, 32), number);
        assert_int_equal(tw_store_set(wide, path, w), TW_OK);
        tw_tensor_free(w);
    }
    assert_int_equal(gradients(TW_F64, wide, want), n);
    double size[3] = {0};
    for (int i = 0; i < n; i++) {
        int part = i < 640 ? 0 : i < 768 ? 1 : 2;
        size[part] = fmax(size[part], fabs(want[i]));
    }
    for (int i = 0; i < n; i++) {
        int part = i < 640 ? 0 : i < 768 ? 1 : 2;
        if (!(fabs(got[i] - want[i]) <= 0x1p-5 * size[part]))
            fail_msg("gradient %d, element %d: %g, expected %g", part, i, got[i], want[i]);
    }
    assert_true(size[0] > 0.01 && size[1] > 0.01 && size[2] > 0.01);
    tw_store_free(half);
    tw_store_free(wide);
}

/* Weights of bf16 learn under every optimiser. */
static void learns(void **state) {
    (void)state;
    const tw_optimizer_kind kinds[] = {TW_SGD, TW_MOMENTUM, TW_ADAM, TW_ADAMW};
    for (int k = 0; k < 4; k++) {
        tw_store *store = tw_store_new(context, &(tw_store_opts){.seed = 4});
        tw_graph *g = tw_graph_new(context, store, TW_SYMBOLIC, &(tw_graph_opts){.training = true});
        tw_value x = tw_input(g, "x", TW_F32, TW_SHAPE(16, 20)), w[2];
        tw_value loss = model(g, TW_BF16, x, w);
        tw_minimize(loss, &(tw_optimizer){.kind = kinds[k], .rate = k < 2 ? 0.05 : 0.02});
        tw_program *program = tw_compile(g, 1, &x, 1, &loss, NULL);
        tw_tensor *in = tensor_drawn(context, TW_F32, TW_SHAPE(16, 20), 8, -1, 1), *out = NULL;
        double first = 0;
        for (int step = 0; step < 20; step++) {
            if (!program || tw_run(program, &in, &out)) fail_msg("%s", tw_message(context));
            if (step == 0) first = tw_tensor_item(out);
        }
        if (!(tw_tensor_item(out) < 0.5 * first))
            fail_msg("optimiser %d: from %g to %g", k, first, tw_tensor_item(out));
        tw_tensor_free(in);
        tw_tensor_free(out);
        tw_program_free(program);
        tw_graph_free(g);
        tw_store_free(store);
    }
}

/* ---- files, text, immediate mode ---- */

/* A file of PyTorch: its layout is read, and its roundings are ours. */
static void another_frameworks_file(void **state) {
    (void)state;
    tw_store *store = tw_store_new(context, NULL);
    assert_int_equal(tw_store_load(store, "tests/golden/half.safetensors"), TW_OK);
    tw_tensor *wide = tw_store_get(store, "f32");
    int n = (int)(tw_tensor_bytes(wide) / sizeof(float));
    assert_true(n > 3000);
    for (int k = 0; k < 2; k++) {
        tw_tensor *want = tw_store_get(store, tw_dtype_name(halves[k]));
        assert_int_equal(tw_tensor_type(want).dtype, halves[k]);
        uint16_t *got = calloc((size_t)n, sizeof *got);
        assert_non_null(got);
        cast(TW_F32, tw_tensor_map(wide), halves[k], n, got);
        assert_memory_equal(got, tw_tensor_map(want), (size_t)n * sizeof *got);
        free(got);
        tw_tensor_free(want);
    }
    tw_tensor_free(wide);
    tw_store_free(store);
}

static void files(void **state) {
    (void)state;
    char path[] = "/tmp/thalweg_half_XXXXXX";
    int descriptor = mkstemp(path);
    assert_true(descriptor >= 0);
    close(descriptor);
    tw_store *store = tw_store_new(context, NULL), *again = tw_store_new(context, NULL);
    uint16_t bits[4096];
    for (int k = 0; k < 2; k++) {
        for (int i = 0; i < 4096; i++) bits[i] = (uint16_t)(i * 16 + 1);
        tw_tensor *t = tw_tensor_new(context, halves[k], TW_SHAPE(64, 64));
        assert_int_equal(tw_tensor_put(t, bits, sizeof bits), TW_OK);
        assert_int_equal(tw_store_set(store, k ? "b" : "a", t), TW_OK);
        tw_tensor_free(t);
    }
    assert_int_equal(tw_store_save(store, path), TW_OK);
    assert_int_equal(tw_store_load(again, path), TW_OK);
    for (int k = 0; k < 2; k++) {
        tw_tensor *t = tw_store_get(again, k ? "b" : "a");
        assert_int_equal(tw_tensor_type(t).dtype, halves[k]);
        assert_memory_equal(tw_tensor_map(t), bits, sizeof bits);
        tw_tensor_free(t);
    }
    unlink(path);
    tw_store_free(store);
    tw_store_free(again);
}

/* Every finite pattern stands in the text as a number and is read back. */
static void constants_in_text(void **state) {
    (void)state;
    for (int k = 0; k < 2; k++) {
        uint16_t bits[4096];
        int n = 0, most = k ? 0x7f80 : 0x7c00;
        for (int i = 0; i <= most && n < 4096; i += 11) bits[n++] = (uint16_t)(i | (i & 1) << 15);
        tw_graph *g = tw_graph_new(context, NULL, TW_SYMBOLIC, NULL);
        tw_value x = tw_constant_of(g, halves[k], TW_SHAPE(n), bits);
        tw_outputs(g, 1, &x);
        char *printed = tw_graph_print(g);
        assert_non_null(printed);
        tw_graph *parsed = tw_graph_parse(context, NULL, printed);
        if (!parsed) fail_msg("%s: %.1500s", tw_message(context), printed);
        char *second = tw_graph_print(parsed);
        assert_string_equal(printed, second);
        tw_string_free(context, printed);
        tw_string_free(context, second);
        tw_graph_free(parsed);
        tw_graph_free(g);
    }
    const uint16_t two[] = {0x3fc0, 0xbdcd}; /* 1.5 and the nearest to -0.1 */
    tw_graph *g = tw_graph_new(context, NULL, TW_SYMBOLIC, NULL);
    tw_value x = tw_constant_of(g, TW_BF16, TW_SHAPE(2), two);
    tw_outputs(g, 1, &x);
    char *printed = tw_graph_print(g);
    assert_non_null(strstr(printed, "[1.5,-0.1]"));
    tw_string_free(context, printed);
    tw_graph_free(g);
}

/* Line by line and compiled are one; composites compute in f32 and round once. */
static void immediate(void **state) {
    (void)state;
    enum { N = 30 };
    double number[N], got[N], want[N];
    for (int i = 0; i < N; i++) number[i] = bf16_widen(bf16_of(3 * sin(i)));
    tw_graph *g = tw_graph_new(context, NULL, TW_IMMEDIATE, NULL);
    tw_graph *s = tw_graph_new(context, NULL, TW_SYMBOLIC, NULL);
    tw_tensor *in = tensor_of(context, TW_BF16, TW_SHAPE(3, 10), number), *out = NULL;
    uint16_t bits[N];
    tw_value x = tw_constant(g, in);
    tw_value y = tw_softmax(tw_relu(x));
    assert_int_equal(tw_read(y, bits, sizeof bits), TW_OK);
    tw_value z = tw_input(s, "x", TW_BF16, TW_SHAPE(3, 10)), p = tw_softmax(tw_relu(z));
    tw_program *program = tw_compile(s, 1, &z, 1, &p, NULL);
    if (!program || tw_run(program, &in, &out)) fail_msg("%s", tw_message(context));
    assert_memory_equal(tw_tensor_map(out), bits, sizeof bits);
    numbers_of(out, N, got);
    for (int i = 0; i < N; i++) {
        double sum = 0;
        for (int j = 0; j < 10; j++) sum += exp(fmax(number[i / 10 * 10 + j], 0));
        want[i] = bf16_widen(bf16_of(exp(fmax(number[i], 0)) / sum));
        if (!(fabs(got[i] - want[i]) <= 0x1p-8 * want[i]))
            fail_msg("element %d: %g, expected %g", i, got[i], want[i]);
    }
    tw_value item = tw_full(g, TW_F16, TW_SHAPE(), 1.0 / 3);
    assert_true(tw_item(item) == 0x1.554p-2);
    tw_tensor_free(in);
    tw_tensor_free(out);
    tw_program_free(program);
    tw_graph_free(g);
    tw_graph_free(s);
}

/* Variables start rounded, and random numbers stay below 1. */
static void variables_and_random(void **state) {
    (void)state;
    for (int k = 0; k < 2; k++) {
        tw_store *store = tw_store_new(context, &(tw_store_opts){.seed = 1});
        tw_graph *g = tw_graph_new(context, store, TW_SYMBOLIC, NULL);
        tw_value w = tw_variable(g, "w", halves[k], TW_SHAPE(2000), tw_normal(1));
        tw_value u = tw_random_uniform(g, halves[k], TW_SHAPE(5000));
        tw_value top = tw_max_axis(u, 0, false), mean = tw_mean(tw_cast(u, TW_F32));
        tw_value both[] = {tw_cast(w, TW_F32), top, mean};
        tw_program *program = tw_compile(g, 0, NULL, 3, both, NULL);
        tw_tensor *out[3] = {NULL};
        if (!program || tw_run(program, NULL, out)) fail_msg("%s", tw_message(context));
        static double number[2000];
        double square = 0;
        assert_int_equal(numbers_of(out[0], 2000, number), 2000);
        for (int i = 0; i < 2000; i++) square += number[i] * number[i] / 2000;
        assert_true(square > 0.9 && square < 1.1);
        assert_true(tw_tensor_item(out[1]) < 1 && tw_tensor_item(out[1]) > 0.99);
        assert_true(fabs(tw_tensor_item(out[2]) - 0.5) < 0.02);
        for (int i = 0; i < 3; i++) tw_tensor_free(out[i]);
        tw_program_free(program);
        tw_graph_free(g);
        tw_store_free(store);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_pattern), cmocka_unit_test(ties_go_to_even),
        cmocka_unit_test(cast_table),    cmocka_unit_test(elementwise_is_f32_rounded),
        cmocka_unit_test(sums_are_f32),  cmocka_unit_test(result_types_are_checked),
        cmocka_unit_test(means),         cmocka_unit_test(gradients_flow),
        cmocka_unit_test(learns),        cmocka_unit_test(another_frameworks_file),
        cmocka_unit_test(files),         cmocka_unit_test(constants_in_text),
        cmocka_unit_test(immediate),     cmocka_unit_test(variables_and_random),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
