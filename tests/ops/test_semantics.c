/*
 * What the operator table's column "semantics" promises, by exact numbers: NaN, ties, ranges of
 * indices, overflow, division by zero, empty operands. Immediate mode, one line after the other.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "support/numbers.h"

static tw_context *context;
static tw_graph *g;

static int setup(void **state) {
    (void)state;
    context = tw_context_new(&(tw_context_opts){.threads = 2});
    g = tw_graph_new(context, NULL, TW_IMMEDIATE, NULL);
    if (!g) return -1;
    tw_tape_begin(g);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    tw_graph_free(g);
    tw_context_free(context);
    return 0;
}

#define INF INFINITY
#define LEAST_I32 (-2147483648.0)
#define LEAST_I64 (-9223372036854775808.0)
#define LIST(...)                                                                                  \
    (int)(sizeof((double[]){__VA_ARGS__}) / sizeof(double)), (const double[]) { __VA_ARGS__ }

/* A vector of these numbers. */
static tw_value of(tw_dtype dtype, int n, const double *number) {
    tw_tensor *tensor = tensor_of(context, dtype, TW_SHAPE(n), number);
    tw_value v = tw_constant(g, tensor);
    tw_tensor_free(tensor);
    return v;
}
#define F(...) of(TW_F64, LIST(__VA_ARGS__))
#define I(...) of(TW_I32, LIST(__VA_ARGS__))
#define L(...) of(TW_I64, LIST(__VA_ARGS__))
#define U(...) of(TW_U8, LIST(__VA_ARGS__))
#define B(...) of(TW_BOOL, LIST(__VA_ARGS__))

static tw_value none(tw_dtype dtype) { return tw_zeros(g, dtype, TW_SHAPE(0)); }
static tw_value shaped(tw_value v, tw_shape shape) { return tw_reshape(v, shape); }

/* Exactly these, NaN being NaN. */
static void is_at(int line, tw_value v, int n, const double *want) {
    if (!tw_ok(v)) fail_msg("line %d: %s", line, tw_message(context));
    tw_tensor *tensor = tw_tensor_new(context, tw_dtype_of(v), tw_shape_of(v));
    assert_non_null(tensor);
    assert_int_equal(tw_read(v, tw_tensor_map(tensor), tw_tensor_bytes(tensor)), TW_OK);
    double got[64];
    int count = numbers_of(tensor, 64, got);
    tw_tensor_free(tensor);
    if (count != n) fail_msg("line %d: %d elements for %d", line, count, n);
    for (int i = 0; i < n; i++) {
        if (got[i] == want[i] || (isnan(got[i]) && isnan(want[i]))) continue;
        fail_msg("line %d: element %d is %.17g, expected %.17g", line, i, got[i], want[i]);
    }
}
#define IS(v, ...) is_at(__LINE__, v, LIST(__VA_ARGS__))
#define NOTHING(v) is_at(__LINE__, v, 0, NULL)

/* Refused with this status; the inner tape takes the error with it. */
static void refused_at(int line, tw_value v, tw_status status) {
    bool ok = tw_ok(v);
    tw_status found = tw_tape_end(g, 0, NULL);
    if (ok || found != status)
        fail_msg("line %d: status %d, expected %d", line, (int)found, (int)status);
}
#define REFUSED(v, status) (tw_tape_begin(g), refused_at(__LINE__, v, status))

/* The gradient of sum(y) for x. */
static tw_value slope(tw_value y, tw_value x) {
    tw_value dx = {0};
    tw_grad(y, 1, &x, &dx);
    return dx;
}

static void test_unary(void **state) {
    (void)state;
    IS(tw_neg(I(LEAST_I32, 5)), LEAST_I32, -5);
    IS(tw_neg(F(NAN, 2)), NAN, -2);
    IS(tw_neg(U(1)), 255);
    IS(tw_abs(I(LEAST_I32, -5)), LEAST_I32, 5);
    IS(tw_abs(L(LEAST_I64)), LEAST_I64);
    IS(tw_abs(F(NAN, -2)), NAN, 2);
    tw_value x = F(-1, 0, 1);
    IS(slope(tw_abs(x), x), -1, 0, 1);
    IS(tw_sign(F(NAN, -3, 0, 3)), NAN, -1, 0, 1);
    assert_true(signbit(tw_item(tw_sign(F(-0.0)))));
    IS(slope(tw_sign(x), x), 0, 0, 0);
    IS(tw_exp(F(NAN, 1000, -INF)), NAN, INF, 0);
    IS(tw_log(F(0, -1, NAN)), -INF, NAN, NAN);
    IS(tw_sqrt(F(-1, NAN, 4)), NAN, NAN, 2);
    tw_value zero = F(0);
    IS(slope(tw_sqrt(zero), zero), INF);
    IS(tw_rsqrt(F(0, -1, NAN, 4)), INF, NAN, NAN, 0.5);
    IS(tw_sin(F(INF, NAN, 0)), NAN, NAN, 0);
    IS(tw_cos(F(-INF, NAN, 0)), NAN, NAN, 1);
    IS(tw_tanh(F(-INF, 900, NAN)), -1, 1, NAN);
    IS(tw_sigmoid(F(-INF, 900, NAN, 0)), 0, 1, NAN, 0.5);
    IS(tw_floor(F(NAN, -1.5, 1.5)), NAN, -2, 1);
    IS(tw_ceil(F(NAN, -1.5, 1.5)), NAN, -1, 2);
    IS(tw_round(F(0.5, 1.5, 2.5, -2.5, NAN)), 0, 2, 2, -2, NAN);
    IS(slope(tw_round(x), x), 0, 0, 0);
    IS(tw_expm1(F(1e-300, 1000, NAN)), 1e-300, INF, NAN);
    IS(tw_log1p(F(1e-300, -1, -2, NAN)), 1e-300, -INF, NAN, NAN);
    IS(tw_erf(F(INF, -INF, NAN)), 1, -1, NAN);
    IS(tw_not(B(0, 1)), 1, 0);
    IS(tw_not(I(0, -1, 5)), -1, 0, -6);
    IS(tw_not(U(0, 15)), 255, 240);
    REFUSED(tw_not(F(1)), TW_ERR_TYPE);
}

static void test_cast(void **state) {
    (void)state;
    tw_value x = F(2.9, -2.9, NAN, 1e10, -1e10, INF);
    IS(tw_cast(x, TW_I32), 2, -2, 0, 2147483647.0, LEAST_I32, 2147483647.0);
    IS(tw_cast(x, TW_U8), 2, 0, 0, 255, 0, 255);
    IS(tw_cast(x, TW_U32), 2, 0, 0, 4294967295.0, 0, 4294967295.0);
    IS(tw_cast(F(-1e300), TW_I64), LEAST_I64);
    IS(tw_cast(x, TW_BOOL), 1, 1, 1, 1, 1, 1);
    IS(tw_cast(F(0, -0.0, 1e-300), TW_BOOL), 0, 0, 1);
    IS(tw_cast(I(300, -1), TW_U8), 44, 255);
    IS(tw_cast(L(4294967301.0, -1), TW_I32), 5, -1);
    IS(tw_cast(B(0, 1), TW_F64), 0, 1);
    tw_value through = tw_cast(tw_cast(x, TW_I32), TW_F64);
    IS(slope(through, x), 0, 0, 0, 0, 0, 0);
}

static void test_arithmetic(void **state) {
    (void)state;
    const double most = 2147483647.0;
    IS(tw_add(I(most), I(1)), LEAST_I32);
    IS(tw_sub(I(LEAST_I32), I(1)), most);
    IS(tw_mul(I(65536), I(65537)), 65536);
    IS(tw_add(U(200), U(100)), 44);
    IS(tw_sub(L(LEAST_I64), L(0)), LEAST_I64);
    IS(tw_div(I(7, -7, 7, 5, LEAST_I32), I(2, 2, -2, 0, -1)), 3, -3, -3, 0, LEAST_I32);
    IS(tw_div(L(LEAST_I64, 5), L(-1, 0)), LEAST_I64, 0);
    IS(tw_div(U(5, 5), U(0, 2)), 0, 2);
    IS(tw_div(F(1, -1, 0), F(0, 0, 0)), INF, -INF, NAN);
    IS(tw_rem(I(7, -7, 7, -7, 5, LEAST_I32), I(3, 3, -3, -3, 0, -1)), 1, -1, 1, -1, 5, 0);
    IS(tw_rem(L(LEAST_I64, 5, -5), L(-1, 0, 3)), 0, 5, -2);
    IS(tw_rem(U(7, 7), U(0, 4)), 7, 3);
    IS(tw_rem(F(5.5, -5.5, 5.5, 1, INF, 3), F(2, 2, -2, 0, 2, INF)), 1.5, -1.5, 1.5, NAN, NAN, 3);
    tw_value a = F(5.5, -5.5), b = F(2, 2), y = tw_rem(a, b);
    IS(slope(y, a), 1, 1);
    IS(slope(y, b), -2, 2);
    IS(tw_atan2(F(0, 0, 1, NAN), F(0, -1, 0, 1)), 0, atan2(0, -1), atan2(1, 0), NAN);
    assert_true(tw_item(tw_atan2(F(-0.0), F(-1))) < -3);
    tw_value zero = F(0);
    IS(slope(tw_atan2(zero, F(0)), zero), NAN);
    IS(tw_pow(F(0, -8, NAN, 2), F(0, 3, 0, -1)), 1, -512, 1, 0.5);
    tw_value base = F(-2, 0, 1), power = F(2, 2, 2);
    IS(slope(tw_pow(base, power), power), 0, 0, 0);
    IS(slope(tw_pow(base, power), base), -4, 0, 2);
}

static void test_extremes(void **state) {
    (void)state;
    IS(tw_max(F(NAN, 1, 3), F(1, NAN, 2)), NAN, NAN, 3);
    IS(tw_min(F(NAN, 1, 3), F(1, NAN, 2)), NAN, NAN, 2);
    tw_value a = F(1, 2, 3), b = F(3, 2, 1);
    IS(slope(tw_max(a, b), a), 0, 0.5, 1);
    IS(slope(tw_min(a, b), a), 1, 0.5, 0);
    IS(tw_clamp(F(-3, 0.5, 3, NAN, -INF, INF), -1, 1), -1, 0.5, 1, NAN, -1, 1);
    IS(tw_clamp_to(F(0, 0), F(NAN, 0), F(1, NAN)), NAN, NAN);
    IS(tw_clamp_to(F(0, 5, 9), F(4), F(2)), 2, 2, 2); /* low > high */
    IS(tw_clamp(I(-5, 0, 5), -1, 2), -1, 0, 2);
    IS(tw_clamp(U(0, 9, 200), 3, 100), 3, 9, 100);
    tw_value x = F(-3, -1, 0, 1, 3), low = F(-1, -1, -1, -1, -1), high = F(1, 1, 1, 1, 1);
    tw_value y = tw_clamp_to(x, low, high);
    IS(slope(y, x), 0, 1, 1, 1, 0);
    IS(slope(y, low), 1, 0, 0, 0, 0);
    IS(slope(y, high), 0, 0, 0, 0, 1);
    IS(slope(tw_clamp_to(x, high, low), low), 1, 1, 1, 1, 1); /* `low` is the upper bound here */
}

static void test_truth(void **state) {
    (void)state;
    tw_value a = B(0, 0, 1, 1), b = B(0, 1, 0, 1);
    IS(tw_and(a, b), 0, 0, 0, 1);
    IS(tw_or(a, b), 0, 1, 1, 1);
    IS(tw_xor(a, b), 0, 1, 1, 0);
    IS(tw_and(I(12, -1), I(10, 7)), 8, 7);
    IS(tw_or(L(12, -8), L(10, 7)), 14, -1);
    IS(tw_xor(U(12, 255), U(10, 1)), 6, 254);
    REFUSED(tw_xor(F(1), F(1)), TW_ERR_TYPE);
    tw_value x = F(NAN, 1, NAN), y = F(NAN, NAN, 1);
    for (int how = TW_EQ; how <= TW_GE; how++) {
        double want = how == TW_NE;
        IS(tw_compare((tw_comparison)how, x, y), want, want, want);
    }
    IS(tw_compare(TW_LT, a, b), 0, 1, 0, 0);
    tw_value yes = F(1, NAN), no = F(NAN, 2), chosen = tw_select(B(1, 0), yes, no);
    IS(chosen, 1, 2);
    IS(slope(chosen, yes), 1, 0);
    IS(slope(chosen, no), 0, 1);
}

static void test_reduce(void **state) {
    (void)state;
    tw_value x = F(1, NAN, 3);
    IS(tw_max_axis(x, 0, false), NAN);
    IS(tw_min_axis(x, 0, false), NAN);
    IS(tw_sum(x), NAN);
    const tw_dtype types[] = {TW_F64, TW_F32, TW_I32, TW_I64, TW_U8, TW_U32};
    const double least[] = {-INF, -INF, LEAST_I32, LEAST_I64, 0, 0};
    const double most[] = {INF, INF, 2147483647.0, 9223372036854775807.0, 255, 4294967295.0};
    for (int i = 0; i < 6; i++) {
        IS(tw_sum(none(types[i])), 0);
        IS(tw_prod_axis(none(types[i]), 0, false), 1);
        IS(tw_max_axis(none(types[i]), 0, true), least[i]);
        IS(tw_min_axis(none(types[i]), -1, false), most[i]);
    }
    IS(tw_any(none(TW_BOOL), 0, false), 0);
    IS(tw_all(none(TW_BOOL), 0, false), 1);
    IS(tw_any(shaped(B(0, 0, 0, 1), TW_SHAPE(2, 2)), -1, false), 0, 1);
    IS(tw_all(shaped(B(0, 1, 1, 1), TW_SHAPE(2, 2)), 1, true), 0, 1);
    REFUSED(tw_any(I(1), 0, false), TW_ERR_TYPE);
    IS(tw_sum(I(2147483647.0, 1)), LEAST_I32);
    IS(tw_prod_axis(U(16, 17), 0, false), 16);
    tw_value cube = shaped(F(1, 2, 3, 4, 5, 6, 7, 8), TW_SHAPE(2, 2, 2));
    IS(tw_reduce(TW_SUM, cube, 2, (const int[]){-1, 0}, false), 14, 22);
    IS(tw_reduce(TW_PROD, cube, 2, (const int[]){1, 2}, true), 24, 1680);
    assert_int_equal(tw_shape_of(tw_reduce(TW_MAX, cube, 1, (const int[]){1}, true)).dim[1], 1);
    IS(tw_reduce(TW_MIN, cube, 3, (const int[]){0, 1, 2}, false), 1);
    IS(tw_reduce(TW_MAX, F(1, 2), 0, NULL, true), 1, 2);
    IS(tw_reduce(TW_MAX, shaped(F(4, 5), TW_SHAPE(2, 1)), 1, (const int[]){1}, false), 4, 5);
    IS(tw_sum_axis(tw_zeros(g, TW_F64, TW_SHAPE(0, 2)), 0, false), 0, 0);
    NOTHING(tw_sum_axis(tw_zeros(g, TW_F64, TW_SHAPE(0, 2)), 1, false));
    REFUSED(tw_reduce(TW_SUM, cube, 2, (const int[]){0, -3}, false), TW_ERR_ARGUMENT);
    REFUSED(tw_reduce(TW_SUM, cube, 1, (const int[]){3}, false), TW_ERR_ARGUMENT);
    tw_value tied = F(1, 3, 3, 2);
    IS(slope(tw_max_axis(tied, 0, false), tied), 0, 0.5, 0.5, 0);
}

/* Products differentiate through zeros, twice. */
static void test_products(void **state) {
    (void)state;
    tw_value one = F(2, 0, 3), two = F(0, 5, 0), d;
    IS(slope(tw_prod_axis(one, 0, false), one), 0, 6, 0);
    d = slope(tw_prod_axis(two, 0, false), two);
    IS(d, 0, 0, 0);
    IS(slope(d, two), 5, 0, 5); /* d^2/dx0 dx2 = 5, summed by row */
    tw_value x = F(2, 0, 3, 0);
    IS(slope(tw_cumulative_prod(x, 0), x), 1, 2 + 2 * 3, 0, 0);
    d = slope(tw_cumulative_prod(x, 0), x);
    /* sum of d: 1 + x1 + x1 x2 + x1 x2 x3 + x0 (1 + x2 + x2 x3) + x0 x1 (1 + x3) + x0 x1 x2 */
    IS(slope(d, x), 1 + 3, 1 + 3 + 2 + 6, 2, 6);
    const tw_cumulative_opts back = {.reverse = true, .exclusive = true};
    tw_value y = tw_cumulative(TW_PROD, x, 0, &back);
    IS(y, 0, 0, 0, 1);
    IS(slope(y, x), 0, 0, 0, 3 + 1); /* y = x1 x2 x3, x2 x3, x3, 1 */
}

static void test_arg(void **state) {
    (void)state;
    IS(tw_argmax(F(1, 3, 3), 0), 1);
    IS(tw_argmin(F(2, 1, 1), 0), 1);
    IS(tw_argmax(F(1, NAN, 3, NAN), 0), 1);
    IS(tw_argmin(F(1, NAN, 0, NAN), 0), 1);
    IS(tw_argmin(shaped(I(3, 1, 2, 0), TW_SHAPE(2, 2)), -2), 1, 1);
    IS(tw_argmin(B(1, 0, 0), 0), 1);
    REFUSED(tw_argmin(none(TW_F64), 0), TW_ERR_SHAPE);
    REFUSED(tw_argmax(none(TW_F64), 0), TW_ERR_SHAPE);
}

static void test_cumulative(void **state) {
    (void)state;
    const tw_cumulative_opts back = {.reverse = true}, without = {.exclusive = true};
    const tw_cumulative_opts both = {.reverse = true, .exclusive = true};
    tw_value x = F(1, 2, 3);
    IS(tw_cumulative_sum(x, 0), 1, 3, 6);
    IS(tw_cumulative(TW_SUM, x, -1, &back), 6, 5, 3);
    IS(tw_cumulative(TW_SUM, x, 0, &without), 0, 1, 3);
    IS(tw_cumulative(TW_SUM, x, 0, &both), 5, 3, 0);
    IS(tw_cumulative_prod(x, 0), 1, 2, 6);
    IS(tw_cumulative(TW_PROD, x, 0, &both), 6, 3, 1);
    IS(tw_cumulative(TW_MAX, F(1, NAN, 3, INF), 0, NULL), 1, NAN, NAN, NAN);
    IS(tw_cumulative(TW_MIN, F(1, NAN, -INF), 0, &without), INF, 1, NAN);
    IS(tw_cumulative(TW_MAX, I(1, 5), 0, &without), LEAST_I32, 1);
    IS(tw_cumulative(TW_MAX, U(1, 5), 0, &without), 0, 1);
    IS(tw_cumulative(TW_MIN, B(1, 0, 1), 0, &without), 1, 1, 0);
    IS(tw_cumulative(TW_MAX, B(0, 1, 0), 0, NULL), 0, 1, 1);
    IS(tw_cumulative_sum(U(200, 100), 0), 200, 44);
    IS(tw_cumulative_sum(shaped(F(1, 2, 3, 4), TW_SHAPE(2, 2)), 0), 1, 2, 4, 6);
    NOTHING(tw_cumulative_sum(none(TW_F64), 0));
    REFUSED(tw_cumulative_sum(x, 1), TW_ERR_ARGUMENT);
    REFUSED(tw_cumulative_sum(B(1), 0), TW_ERR_TYPE);
    tw_value tied = F(2, 1, 2, 3, 3);
    IS(slope(tw_cumulative(TW_MAX, tied, 0, NULL), tied), 3, 0, 0, 2, 0);
    IS(slope(tw_cumulative(TW_MAX, tied, 0, &without), tied), 3, 0, 0, 1, 0);
    IS(slope(tw_cumulative(TW_MAX, tied, 0, &back), tied), 0, 0, 0, 0, 5);
    IS(slope(tw_cumulative(TW_MIN, tied, 0, NULL), tied), 1, 4, 0, 0, 0);
    IS(slope(tw_cumulative(TW_MIN, tied, 0, &both), tied), 0, 1, 1, 0, 2);
    tw_value infinite = F(-INF, 1);
    IS(slope(tw_cumulative(TW_MAX, infinite, 0, NULL), infinite), 1, 1);
    tw_value broken = F(1, NAN, 3);
    IS(slope(tw_cumulative(TW_MAX, broken, 0, NULL), broken), 1, 2, 0);
}

static void test_sort(void **state) {
    (void)state;
    tw_value index, x = F(2, NAN, 1, 2, -INF, NAN);
    IS(tw_sort(x, 0, false, &index), -INF, 1, 2, 2, NAN, NAN);
    IS(index, 4, 2, 0, 3, 1, 5);
    IS(tw_sort(x, -1, true, &index), 2, 2, 1, -INF, NAN, NAN);
    IS(index, 0, 3, 2, 4, 1, 5);
    IS(tw_argsort(F(0, -0.0, -1), 0, false), 2, 0, 1);
    IS(tw_sort(B(1, 0, 1), 0, false, NULL), 0, 1, 1);
    IS(tw_sort(I(3, LEAST_I32, 2147483647.0), 0, true, NULL), 2147483647.0, 3, LEAST_I32);
    IS(tw_sort(shaped(I(3, 1, 2, 4), TW_SHAPE(2, 2)), 0, false, &index), 2, 1, 3, 4);
    IS(index, 1, 0, 0, 1);
    NOTHING(tw_sort(none(TW_F64), 0, false, NULL));
    tw_value y = F(3, 1, 2);
    IS(slope(tw_mul(tw_sort(y, 0, false, NULL), F(10, 20, 30)), y), 30, 10, 20);
    IS(tw_top_k(x, 4, &index), 2, 2, 1, -INF);
    IS(index, 0, 3, 2, 4);
    IS(tw_top_k(F(NAN, 1), 2, &index), 1, NAN);
    IS(index, 1, 0);
    NOTHING(tw_top_k(x, 0, NULL));
    IS(slope(tw_top_k(y, 2, NULL), y), 1, 0, 1);
    /* few of many go another way than sorting: the same elements, in the same order */
    double many[50], best[11];
    for (int i = 0; i < 50; i++) many[i] = i % 7 == 3 ? NAN : (i * 37) % 11;
    tw_value line = of(TW_F64, 50, many), places;
    int found = 0;
    for (int value = 10; value >= 0; value--)
        for (int i = 0; i < 50 && found < 11; i++)
            if (many[i] == value) best[found++] = i;
    tw_top_k(line, 11, &places);
    is_at(__LINE__, places, 11, best);
    tw_top_k(line, 20, &places); /* and this sorts */
    is_at(__LINE__, tw_slice(places, 0, 0, 11), 11, best);
    tw_top_k(tw_slice(line, 0, 3, 1), 1, &places);
    IS(places, 0);
    REFUSED(tw_top_k(y, 4, &index), TW_ERR_ARGUMENT);
    assert_false(tw_ok(index));
    REFUSED(tw_top_k(y, -1, NULL), TW_ERR_ARGUMENT);
    REFUSED(tw_sort(y, 1, false, &index), TW_ERR_ARGUMENT);
}

static void test_dynamic(void **state) {
    (void)state;
    tw_value x = F(0, 1, 2, 3, 4), update = F(8, 9);
    const double starts[] = {-7, -1, 0, 2, 3, 4, 9}, firsts[] = {0, 0, 0, 2, 3, 3, 3};
    for (int i = 0; i < 7; i++) {
        tw_value start = i % 2 ? I(starts[i]) : L(starts[i]);
        IS(tw_dynamic_slice(x, start, TW_SHAPE(2)), firsts[i], firsts[i] + 1);
        double want[] = {0, 1, 2, 3, 4};
        want[(int)firsts[i]] = 8;
        want[(int)firsts[i] + 1] = 9;
        is_at(__LINE__, tw_dynamic_update_slice(x, update, start), 5, want);
    }
    tw_value square = shaped(F(0, 1, 2, 3, 4, 5, 6, 7, 8), TW_SHAPE(3, 3));
    IS(tw_dynamic_slice(square, I(1, 9), TW_SHAPE(2, 2)), 4, 5, 7, 8);
    IS(slope(tw_dynamic_slice(x, I(9), TW_SHAPE(2)), x), 0, 0, 0, 1, 1);
    tw_value y = tw_dynamic_update_slice(x, update, I(1));
    IS(slope(y, x), 1, 0, 0, 1, 1);
    IS(slope(y, update), 1, 1);
    REFUSED(tw_dynamic_slice(x, I(0), TW_SHAPE(6)), TW_ERR_SHAPE);
    REFUSED(tw_dynamic_slice(x, I(0, 0), TW_SHAPE(2)), TW_ERR_SHAPE);
    REFUSED(tw_dynamic_slice(x, F(0), TW_SHAPE(2)), TW_ERR_TYPE);
    REFUSED(tw_dynamic_update_slice(update, x, I(0)), TW_ERR_SHAPE);
}

/* The bounds of Python's slices: x[start:stop:step] of a line of `extent`. */
static int python_slice(int extent, int start, int stop, int step, double *out) {
    int low = step > 0 ? 0 : -1, high = step > 0 ? extent : extent - 1, n = 0;
    start += start < 0 ? extent : 0;
    stop += stop < 0 ? extent : 0;
    start = start < low ? low : start > high ? high : start;
    stop = stop < low ? low : stop > high ? high : stop;
    for (int i = start; step > 0 ? i < stop : i > stop; i += step) out[n++] = i;
    return n;
}

static void test_slices(void **state) {
    (void)state;
    tw_value x = F(0, 1, 2, 3, 4);
    for (int step = -6; step <= 6; step++)
        for (int start = -7; step && start <= 7; start++)
            for (int stop = -7; stop <= 7; stop++) {
                double want[8];
                int n = python_slice(5, start, stop, step, want);
                is_at(__LINE__, tw_slice_step(x, 0, start, stop, step), n, want);
            }
    IS(tw_slice_step(x, -1, -1, TW_TO_END, -2), 4, 2, 0);
    IS(tw_slice_step(x, 0, 1, TW_TO_END, 3), 1, 4);
    NOTHING(tw_slice_step(none(TW_F64), 0, -1, TW_TO_END, -1));
    IS(slope(tw_slice_step(x, 0, -1, TW_TO_END, -2), x), 1, 0, 1, 0, 1);
    REFUSED(tw_slice_step(x, 0, 0, 5, 0), TW_ERR_ARGUMENT);
    IS(tw_slice(x, -1, 1, 2), 1, 2);
    NOTHING(tw_slice(x, 0, 5, 0));
    REFUSED(tw_slice(x, 0, 4, 2), TW_ERR_SHAPE);
    REFUSED(tw_slice(x, 0, 0, -1), TW_ERR_SHAPE);
    IS(tw_pad(F(1, 2, 3), -1, -1, 2, 7), 2, 3, 7, 7);
    NOTHING(tw_pad(F(1, 2), 0, -1, -1, 7));
    REFUSED(tw_pad(F(1, 2), 0, -2, -1, 7), TW_ERR_SHAPE);
    IS(tw_reverse(shaped(F(1, 2, 3, 4), TW_SHAPE(2, 2)), -1), 2, 1, 4, 3);
    IS(tw_concat(-1, 2, (const tw_value[]){none(TW_I32), I(1)}), 1);
    REFUSED(tw_concat(0, 2, (const tw_value[]){I(1), L(1)}), TW_ERR_TYPE);
    REFUSED(tw_reshape(x, TW_SHAPE(2, 3)), TW_ERR_SHAPE);
    REFUSED(tw_permute(shaped(x, TW_SHAPE(1, 5)), (const int[]){0, -2}), TW_ERR_ARGUMENT);
    REFUSED(tw_broadcast(x, TW_SHAPE(4)), TW_ERR_SHAPE);
    tw_value parts[2];
    tw_split(F(1, 2, 3, 4), -1, 2, parts);
    IS(parts[1], 3, 4);
}

static tw_value scatter(const char *how, tw_value base, tw_value index, tw_value updates) {
    return how[0] == 'a'   ? tw_scatter_add(base, index, updates)
           : how[0] == 'm' ? tw_scatter_max(base, index, updates)
                           : tw_scatter_set(base, index, updates);
}

static void test_index(void **state) {
    (void)state;
    tw_value x = F(1, 2, 3);
    IS(tw_take(x, I(2, -1, 0, -9)), 3, 0, 1, 0);
    REFUSED(tw_take(F(1, 2, 3), I(3)), TW_ERR_INDEX);
    REFUSED(tw_take(F(1, 2, 3), F(0)), TW_ERR_TYPE);
    IS(slope(tw_take(x, I(1, 1, -1)), x), 0, 2, 0);
    IS(tw_take_along(shaped(F(1, 2, 3, 4), TW_SHAPE(2, 2)), shaped(I(1, 0), TW_SHAPE(2, 1)), -1), 2,
       3);
    /* one place twice, one never, one ignored, in the index's order */
    tw_value base = F(10, 20, 30), index = I(1, -1, 1, 0), updates = F(50, 60, 5, 10);
    IS(scatter("add", base, index, updates), 20, 75, 30);
    IS(scatter("max", base, index, updates), 10, 50, 30);
    IS(scatter("set", base, index, updates), 10, 5, 30);
    IS(slope(scatter("add", base, index, updates), updates), 1, 0, 1, 1);
    IS(slope(scatter("max", base, index, updates), updates), 1, 0, 0, 0.5); /* 10 = 10 */
    IS(slope(scatter("max", base, index, updates), base), 0.5, 0, 1);
    IS(slope(scatter("set", base, index, updates), updates), 0, 0, 1, 1);
    IS(slope(scatter("set", base, index, updates), base), 0, 0, 1);
    IS(scatter("max", F(NAN, 1, 2), I(0, 1), F(5, NAN)), NAN, NAN, 2);
    IS(scatter("max", U(200, 1), I(0, 1), U(100, 100)), 200, 100);
    IS(scatter("add", I(2147483647.0), I(0), I(1)), LEAST_I32);
    IS(scatter("add", U(250), L(0, 0), U(3, 4)), 1);
    IS(scatter("set", B(0, 0), I(1), B(1)), 0, 1);
    REFUSED(scatter("set", F(1), I(1), F(1)), TW_ERR_INDEX);
    REFUSED(scatter("add", F(1), I(0), F(1, 2)), TW_ERR_SHAPE);
    REFUSED(scatter("max", B(1), I(0), B(1)), TW_ERR_TYPE);
    const tw_attr number[] = {tw_attr_int(TW_U8), tw_attr_dims(TW_SHAPE(4)), tw_attr_int(0),
                              tw_attr_int(254)};
    IS(tw_apply(g, "iota", 0, NULL, number, NULL), 254, 255, 0, 1);
    IS(tw_iota(g, TW_F64, TW_SHAPE(2, 2), -1), 0, 1, 0, 1);
    IS(tw_one_hot(I(1, -1), 3, TW_F64), 0, 1, 0, 0, 0, 0);
    REFUSED(tw_one_hot(I(3), 3, TW_F64), TW_ERR_INDEX);
}

static tw_value line(tw_value x) { return shaped(x, TW_SHAPE(1, tw_shape_of(x).dim[0], 1)); }

static void test_windows(void **state) {
    (void)state;
    tw_value x = line(F(1, 5, NAN, 5, 5));
    tw_pool_opts opts = {.window = {2}, .stride = {1}};
    IS(tw_max_pool(x, &opts), 5, NAN, NAN, 5);
    tw_value y = line(F(-1, -2, -3));
    tw_pool_opts padded = {.window = {2}, .stride = {2}, .low = {3}, .high = {2}};
    IS(tw_max_pool(y, &padded), 0, -1, -2, 0); /* the outer ones see nothing but padding */
    IS(tw_average_pool(y, &padded), 0, -0.5, -2.5, 0);
    tw_value tied = line(F(5, 5, 1));
    opts = (tw_pool_opts){.window = {3}};
    IS(slope(tw_max_pool(tied, &opts), tied), 1, 0, 0);
    tw_value z = line(F(1, 2, 3, 4, 5, 6));
    opts = (tw_pool_opts){.window = {3}, .stride = {1}, .dilation = {2}};
    IS(tw_max_pool(z, &opts), 5, 6);
    IS(slope(tw_max_pool(z, &opts), z), 0, 0, 0, 0, 1, 1);
    opts = (tw_pool_opts){.window = {2}, .stride = {2}, .low = {1}, .dilation = {3}};
    IS(tw_average_pool(z, &opts), 1.5, 3.5);
    IS(slope(tw_average_pool(z, &opts), z), 0, 0.5, 0.5, 0, 0.5, 0);
    opts = (tw_pool_opts){.window = {9}};
    NOTHING(tw_average_pool(z, &opts));
    opts = (tw_pool_opts){.window = {2}, .low = {-1}};
    REFUSED(tw_average_pool(z, &opts), TW_ERR_ARGUMENT);
}

static void test_contractions(void **state) {
    (void)state;
    tw_value a = shaped(F(0, 1), TW_SHAPE(1, 2)), b = shaped(F(INF, 1), TW_SHAPE(2, 1));
    IS(tw_matmul(a, b), NAN);
    tw_value empty =
        tw_matmul(tw_zeros(g, TW_F64, TW_SHAPE(2, 0)), tw_zeros(g, TW_F64, TW_SHAPE(0, 2)));
    IS(empty, 0, 0, 0, 0);
    tw_value x = line(F(1, INF)), w = shaped(F(1, 1, 1), TW_SHAPE(3, 1, 1));
    NOTHING(tw_conv(x, w, NULL)); /* the window is larger than the input */
    const tw_conv_opts opts = {.low = {2}};
    IS(tw_conv(line(F(1, 2)), w, &opts), 1, 3);
    const tw_conv_opts negative = {.low = {-1}};
    REFUSED(tw_conv(x, w, &negative), TW_ERR_ARGUMENT);
}

/* Extents that are known only when the program runs. */
static void test_symbolic(void **state) {
    (void)state;
    tw_graph *s = tw_graph_new(context, NULL, TW_SYMBOLIC, NULL);
    int64_t n = tw_symbol(context, "n");
    tw_value x = tw_input(s, "x", TW_F64, TW_SHAPE(n, 2)),
             start = tw_input(s, "i", TW_I32, TW_SHAPE(2));
    const tw_cumulative_opts back = {.reverse = true};
    tw_value out[7], dx = {0};
    out[0] = tw_sort(x, 0, true, NULL);
    out[1] = tw_cumulative(TW_MAX, x, 0, &back);
    out[2] = tw_cumulative_prod(x, 0);
    out[3] = tw_top_k(x, 1, NULL);
    out[4] = tw_dynamic_slice(x, start, TW_SHAPE(n, 1));
    out[5] = tw_clamp(x, 0, 3);
    tw_value y = tw_add(tw_sum(tw_mul(out[0], out[1])), tw_sum(tw_mul(out[3], out[4])));
    y = tw_add(y, tw_reduce(TW_PROD, x, 2, (const int[]){0, 1}, false));
    tw_grad(y, 1, &x, &dx);
    out[6] = dx;
    tw_program *program = tw_compile(s, 2, (const tw_value[]){x, start}, 7, out, NULL);
    if (!program) fail_msg("%s", tw_message(context));
    const double rows[] = {1, 5, 4, 2, 2, 3}, place[] = {1, 1};
    const double want[7][6] = {{4, 5, 2, 3, 1, 2}, {4, 5, 4, 3, 2, 3}, {1, 5, 4, 10, 8, 30},
                               {5, 4, 3},          {5, 2, 3},          {1, 3, 3, 2, 2, 3}};
    tw_tensor *in[2], *result[7] = {NULL};
    in[0] = tensor_of(context, TW_F64, TW_SHAPE(3, 2), rows);
    in[1] = tensor_of(context, TW_I32, TW_SHAPE(2), place);
    if (tw_run(program, in, result)) fail_msg("%s", tw_message(context));
    double number[6];
    for (int i = 0; i < 6; i++) {
        int count = numbers_of(result[i], 6, number);
        assert_int_equal(count, i == 3 || i == 4 ? 3 : 6);
        assert_near("symbolic", count, number, want[i], 0);
    }
    /* sort times max: 2 10 10 3 5 8; top_k times slice: 0 10 2 4 0 6; the product is 240 */
    const double slopes[] = {2 + 240, 10 + 10 + 48, 10 + 2 + 60, 3 + 4 + 120, 5 + 120, 8 + 6 + 80};
    assert_int_equal(numbers_of(result[6], 6, number), 6);
    assert_near("gradient", 6, number, slopes, 0);
    for (int i = 0; i < 2; i++) tw_tensor_free(in[i]);
    for (int i = 0; i < 7; i++) tw_tensor_free(result[i]);
    tw_value product = tw_cumulative_prod(x, 0), d = {0};
    tw_grad(tw_sum(product), 1, &x, &d);
    assert_int_equal(tw_graph_status(s), TW_ERR_UNSUPPORTED); /* a product along a symbolic axis */
    tw_program_free(program);
    tw_graph_free(s);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_unary),      TEST(test_cast),    TEST(test_arithmetic),   TEST(test_extremes),
        TEST(test_truth),      TEST(test_reduce),  TEST(test_products),     TEST(test_arg),
        TEST(test_cumulative), TEST(test_sort),    TEST(test_dynamic),      TEST(test_slices),
        TEST(test_index),      TEST(test_windows), TEST(test_contractions), TEST(test_symbolic),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
