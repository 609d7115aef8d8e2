/* LABELS: deep
 * exp, log, tanh, erf, sin, cos, expm1, log1p and the logistic function of every float32 against
 * the double functions of the C library: at most 2 units in the last place, 2.5 of the logistic function, and
 * the same infinities, zeros and NaN.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include <thalweg/thalweg.h>

#include "base/elementary.h"
#include "base/parallel.h"

/* Sanitized builds are ten times slower: every 97th float there. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { STRIDE = 97 };
#else
enum { STRIDE = 1 };
#endif
enum { CHUNKS = 4096, BLOCK = 1024 };
static const double MOST_ULP = 2, MOST_LOGISTIC_ULP = 2.5;

typedef struct sweep {
    void (*ours)(int n, const float *x, float *y);
    double (*truth)(double x);
    bool odd; /* f(-x) = -f(x): one side against the truth, the other against it */
    double worst[CHUNKS];
    float at[CHUNKS];
} sweep;

/* Of the floats around a number: 2^(exponent - 23), among the subnormals 2^-149. By bits: quick. */
static double spacing(double number) {
    uint64_t bits;
    memcpy(&bits, &number, sizeof bits);
    int64_t exponent = (int64_t)(bits >> 52 & 0x7ff) - 23;
    bits = (uint64_t)(exponent < 1023 - 149 ? 1023 - 149 : exponent) << 52;
    memcpy(&number, &bits, sizeof number);
    return number;
}

/* Distance in units of the last place of the truth rounded to float; infinite for a mismatch. */
static double ulp(float have, double want) {
    float rounded = (float)want;
    if (isnan(want)) return isnan(have) ? 0 : INFINITY;
    if (isinf(rounded) || isinf(have)) {
        if (have == rounded) return 0;
        /* one step from the largest float to infinity */
        return fabs((double)have - want) <= 2 * 0x1p104 ? 1 : INFINITY;
    }
    return fabs((double)have - want) / spacing(want);
}

static void check_block(sweep *s, int64_t chunk, int n, const float *x) {
    float y[BLOCK], mirrored[BLOCK], minus[BLOCK];
    s->ours(n, x, y);
    for (int i = 0; s->odd && i < n; i++) minus[i] = -x[i];
    if (s->odd) s->ours(n, minus, mirrored);
    for (int i = 0; i < n; i++) {
        double apart = ulp(y[i], s->truth((double)x[i]));
        if (s->odd && (isnan(y[i]) ? !isnan(mirrored[i]) : mirrored[i] != -y[i])) apart = INFINITY;
        if (apart <= s->worst[chunk]) continue;
        s->worst[chunk] = apart;
        s->at[chunk] = x[i];
    }
}

static void check_chunk(void *argument, int64_t begin, int64_t end) {
    sweep *s = argument;
    const uint64_t all = s->odd ? UINT64_C(1) << 31 : UINT64_C(1) << 32, size = all / CHUNKS;
    for (int64_t chunk = begin; chunk < end; chunk++) {
        float x[BLOCK];
        int n = 0;
        for (uint64_t k = 0; k < size; k += STRIDE) {
            x[n++] = float_of_bits((uint32_t)((uint64_t)chunk * size + k));
            if (n == BLOCK) check_block(s, chunk, n, x), n = 0;
        }
        check_block(s, chunk, n, x);
    }
}

static void check(const char *name, void (*ours)(int n, const float *x, float *y),
                  double (*truth)(double), bool odd, double most) {
    static sweep s;
    s = (sweep){.ours = ours, .truth = truth, .odd = odd};
    tw_context *context = tw_context_new(NULL);
    assert_non_null(context);
    tw_parallel_for(context, CHUNKS, 1, check_chunk, &s);
    tw_context_free(context);
    int worst = 0;
    for (int i = 1; i < CHUNKS; i++)
        if (s.worst[i] > s.worst[worst]) worst = i;
    print_message("%s: %.3f ulp at %.9g\n", name, s.worst[worst], (double)s.at[worst]);
    if (!(s.worst[worst] <= most))
        fail_msg("%s(%.9g) is %.3f ulp off", name, (double)s.at[worst], s.worst[worst]);
}

/* The truth in double; where it is known without the C library's functions, that is quicker. */
static double true_exp(double x) {
    if (x > 104) return INFINITY;
    if (x < -150) return 0;
    return fabs(x) < 0x1p-30 ? 1 + x : exp(x);
}

static double true_tanh(double x) {
    if (fabs(x) > 20) return copysign(1, x);
    return fabs(x) < 0x1p-20 ? x : tanh(x);
}

static double true_erf(double x) {
    if (fabs(x) > 7) return copysign(1, x);
    return fabs(x) < 0x1p-20 ? x * 1.1283791670955126 : erf(x);
}

static double true_sin(double x) { return fabs(x) < 0x1p-20 ? x : sin(x); }

static double true_cos(double x) { return fabs(x) < 0x1p-20 ? 1 : cos(x); }

static double true_expm1(double x) {
    if (x > 104) return INFINITY;
    if (x < -50) return -1;
    return fabs(x) < 0x1p-30 ? x : expm1(x);
}

static double true_log1p(double x) {
    if (x < -1) return NAN;
    return fabs(x) < 0x1p-30 ? x : log1p(x);
}

static double true_log(double x) { return x < 0 ? NAN : log(x); }

static double true_logistic(double x) {
    if (x > 40) return 1;
    if (x < -104) return 0;
    return fabs(x) < 0x1p-30 ? 0.5 + x / 4 : 1 / (1 + exp(-x));
}

/* Over arrays, as the kernels are: the vectorised code is what is checked. */
#define OVER_ARRAYS(name)                                                                          \
    static void ours_##name(int n, const float *x, float *y) {                                     \
        for (int i = 0; i < n; i++) y[i] = elementary_##name(x[i]);                                \
    }
OVER_ARRAYS(exp)
OVER_ARRAYS(log)
OVER_ARRAYS(tanh)
OVER_ARRAYS(erf)
OVER_ARRAYS(sin)
OVER_ARRAYS(cos)
OVER_ARRAYS(expm1)
OVER_ARRAYS(log1p)
OVER_ARRAYS(logistic)

static void test_exp(void **state) {
    (void)state;
    check("exp", ours_exp, true_exp, false, MOST_ULP);
}

static void test_log(void **state) {
    (void)state;
    check("log", ours_log, true_log, false, MOST_ULP);
}

static void test_tanh(void **state) {
    (void)state;
    check("tanh", ours_tanh, true_tanh, true, MOST_ULP);
}

static void test_erf(void **state) {
    (void)state;
    check("erf", ours_erf, true_erf, true, MOST_ULP);
}

static void test_sin(void **state) {
    (void)state;
    check("sin", ours_sin, true_sin, true, MOST_ULP);
}

static void test_cos(void **state) {
    (void)state;
    check("cos", ours_cos, true_cos, false, MOST_ULP);
}

static void test_expm1(void **state) {
    (void)state;
    check("expm1", ours_expm1, true_expm1, false, MOST_ULP);
}

static void test_log1p(void **state) {
    (void)state;
    check("log1p", ours_log1p, true_log1p, false, MOST_ULP);
}

static void test_logistic(void **state) {
    (void)state;
    check("logistic", ours_logistic, true_logistic, false, MOST_LOGISTIC_ULP);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_exp),     cmocka_unit_test(test_log),
                                       cmocka_unit_test(test_tanh),    cmocka_unit_test(test_erf),
                                       cmocka_unit_test(test_sin),     cmocka_unit_test(test_cos),
                                       cmocka_unit_test(test_expm1),   cmocka_unit_test(test_log1p),
                                       cmocka_unit_test(test_logistic)};
    return cmocka_run_group_tests_name("elementary", tests, NULL, NULL);
}
