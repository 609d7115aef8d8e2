/* LABELS: deep
 * The generated kernels of exp, log, tanh, erf, sin, cos, expm1, log1p, the logistic function, sqrt and
 * rsqrt at every float32, in the widest vectors and in those of AVX2: the bits of the plain ones, whose error
 * tests/base/test_elementary.c measures. Any NaN is as good as another.
 */
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include <thalweg/thalweg.h>

#include "base/elementary.h"
#include "codegen/machine_code.h"

/* Sanitized builds are ten times slower: every 97th piece there. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { STRIDE = 97 };
#else
enum { STRIDE = 1 };
#endif
enum { THREADS = 2, CHUNK = 1 << 14, CHUNKS = 1 << 18, WIDTHS = 2, BLOCK = 256 };
static const int widths[WIDTHS] = {0, 32}; /* bytes of a vector; 0: the CPU's widest */

typedef struct function {
    const char *name;
    tw_value (*build)(tw_value x);
    void (*plain)(const float *x, float *y);
} function;

#define PLAIN(name, expression)                                                                    \
    static void plain_##name(const float *in, float *y) {                                          \
        for (int i = 0; i < BLOCK; i++) {                                                          \
            float x = in[i];                                                                       \
            y[i] = expression;                                                                     \
        }                                                                                          \
    }
PLAIN(exp, elementary_exp(x))
PLAIN(log, elementary_log(x))
PLAIN(tanh, elementary_tanh(x))
PLAIN(erf, elementary_erf(x))
PLAIN(sin, elementary_sin(x))
PLAIN(cos, elementary_cos(x))
PLAIN(expm1, elementary_expm1(x))
PLAIN(log1p, elementary_log1p(x))
PLAIN(logistic, elementary_logistic(x))
PLAIN(sqrt, sqrtf(x))
PLAIN(rsqrt, 1.0f / sqrtf(x))

static const function functions[] = {{"exp", tw_exp, plain_exp},
                                     {"log", tw_log, plain_log},
                                     {"tanh", tw_tanh, plain_tanh},
                                     {"erf", tw_erf, plain_erf},
                                     {"sin", tw_sin, plain_sin},
                                     {"cos", tw_cos, plain_cos},
                                     {"expm1", tw_expm1, plain_expm1},
                                     {"log1p", tw_log1p, plain_log1p},
                                     {"logistic", tw_sigmoid, plain_logistic},
                                     {"sqrt", tw_sqrt, plain_sqrt},
                                     {"rsqrt", tw_rsqrt, plain_rsqrt}};
enum { FUNCTIONS = sizeof functions / sizeof *functions };

/* One thread's share. Nothing of cmocka is called on it: `message` tells. */
typedef struct share {
    int first; /* its pieces are first, first + THREADS, ... */
    tw_context *context[WIDTHS];
    tw_program *program[WIDTHS][FUNCTIONS];
    tw_tensor *in[WIDTHS], *out[WIDTHS];
    char message[256];
} share;

static void compile(share *s, int width) {
    tw_context *c = tw_context_new(&(tw_context_opts){.threads = 1, .vectors = widths[width]});
    assert_non_null(c);
    s->context[width] = c;
    for (int f = 0; f < FUNCTIONS; f++) {
        tw_graph *g = tw_graph_new(c, NULL, TW_SYMBOLIC, NULL);
        tw_value x = tw_input(g, "x", TW_F32, TW_SHAPE(CHUNK)), y = functions[f].build(x);
        s->program[width][f] = tw_compile(g, 1, &x, 1, &y, NULL);
        if (!s->program[width][f]) fail_msg("%s", tw_message(c));
        char *list = tw_program_print(s->program[width][f]);
        if (!list || !strstr(list, "fused[")) fail_msg("%s is not generated", functions[f].name);
        tw_string_free(c, list);
        tw_graph_free(g);
    }
    s->in[width] = tw_tensor_new(c, TW_F32, TW_SHAPE(CHUNK));
    assert_non_null(s->in[width]);
}

static void tell(share *s, int width, int f, const float *x, const float *y, const float *want) {
    for (int i = 0; i < BLOCK; i++) {
        if (float_bits(y[i]) == float_bits(want[i]) || (isnan(y[i]) && isnan(want[i]))) continue;
        snprintf(s->message, sizeof s->message,
                 "%s(%a) is %a, not %a, in vectors of %d bytes (0: widest)", functions[f].name,
                 (double)x[i], (double)y[i], (double)want[i], widths[width]);
        return;
    }
}

/* Whether no element differs, but for NaN. */
static bool same(const float *y, const float *want) {
    uint32_t apart = 0;
    for (int i = 0; i < BLOCK; i++) {
        bool nan = y[i] != y[i] && want[i] != want[i];
        apart |= nan ? 0 : float_bits(y[i]) ^ float_bits(want[i]);
    }
    return !apart;
}

static bool check_function(share *s, int f, const float *x) {
    const float *y[WIDTHS];
    for (int w = 0; w < WIDTHS; w++) {
        if (tw_run(s->program[w][f], &s->in[w], &s->out[w])) {
            snprintf(s->message, sizeof s->message, "%s", tw_message(s->context[w]));
            return false;
        }
        y[w] = tw_tensor_map(s->out[w]);
    }
    for (int i = 0; i < CHUNK; i += BLOCK) {
        float want[BLOCK];
        functions[f].plain(x + i, want);
        for (int w = 0; w < WIDTHS; w++)
            if (!same(y[w] + i, want)) tell(s, w, f, x + i, y[w] + i, want);
    }
    return !s->message[0];
}

static void *work(void *argument) {
    share *s = argument;
    for (int piece = s->first; piece < CHUNKS; piece += THREADS * STRIDE) {
        float *x[WIDTHS];
        for (int w = 0; w < WIDTHS; w++) {
            x[w] = tw_tensor_map(s->in[w]);
            for (uint32_t i = 0; i < CHUNK; i++)
                x[w][i] = float_of_bits((uint32_t)piece * CHUNK + i);
        }
        for (int f = 0; f < FUNCTIONS; f++)
            if (!check_function(s, f, x[0])) return NULL;
    }
    return NULL;
}

static void test_all(void **state) {
    (void)state;
    static share shares[THREADS];
    pthread_t thread[THREADS];
    tw_context *context = tw_context_new(NULL);
    bool generates = machine_target_of(context) != NULL;
    tw_context_free(context);
    if (!generates) skip();
    for (int t = 0; t < THREADS; t++) {
        shares[t].first = t;
        for (int w = 0; w < WIDTHS; w++) compile(&shares[t], w);
    }
    for (int t = 0; t < THREADS; t++)
        assert_int_equal(pthread_create(&thread[t], NULL, work, &shares[t]), 0);
    for (int t = 0; t < THREADS; t++) pthread_join(thread[t], NULL);
    for (int t = 0; t < THREADS; t++)
        for (int w = 0; w < WIDTHS; w++) tw_context_free(shares[t].context[w]);
    for (int t = 0; t < THREADS; t++)
        if (shares[t].message[0]) fail_msg("%s", shares[t].message);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_all)};
    return cmocka_run_group_tests_name("every float", tests, NULL, NULL);
}
