/* What initialisers draw: bounds, means, deviations, orthogonality; the same for any order. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <thalweg/init.h>

#include "support/numbers.h"

enum { MOST = 60000 };
static double drawn[MOST];

/* The numbers of a variable "w" in a store of `seed`; gives their count. */
static int draw(uint64_t seed, tw_dtype dtype, tw_shape shape, tw_init init, double *out) {
    tw_context *c = tw_context_new(NULL);
    tw_store *store = tw_store_new(c, &(tw_store_opts){.seed = seed});
    tw_graph *g = tw_graph_new(c, store, TW_SYMBOLIC, NULL);
    tw_value w = tw_parameter(g, "w", dtype, shape, init);
    tw_program *p = tw_compile(g, 0, NULL, 1, &w, NULL);
    tw_tensor *tensor = NULL;
    if (!p || tw_run(p, NULL, &tensor)) fail_msg("%s", tw_message(c));
    int n = numbers_of(tensor, MOST, out);
    assert_true(n <= MOST);
    tw_context_free(c);
    return n;
}

typedef struct moments {
    double mean, deviation, low, high;
} moments;

static moments moments_of(int n, const double *x) {
    moments m = {0, 0, INFINITY, -INFINITY};
    for (int i = 0; i < n; i++) {
        m.mean += x[i] / n;
        m.low = fmin(m.low, x[i]);
        m.high = fmax(m.high, x[i]);
    }
    for (int i = 0; i < n; i++) m.deviation += (x[i] - m.mean) * (x[i] - m.mean) / n;
    m.deviation = sqrt(m.deviation);
    return m;
}

static void test_moments(void **state) {
    (void)state;
    const tw_shape matrix = TW_SHAPE(200, 100), window = TW_SHAPE(3, 5, 20, 60);
    const double half = sqrt(3), cut = 2 / 0.87962566103423978;
    const struct {
        const char *what;
        tw_init init;
        tw_shape shape;
        double mean, deviation, bound; /* bound: from the mean, in deviations; 0 none */
    } cases[] = {
        {"normal", tw_normal(0.5), matrix, 0, 0.5, 0},
        {"uniform", tw_uniform(1, 3), matrix, 2, 1 / half, half},
        {"truncated", tw_truncated_normal(0.25), matrix, 0, 0.25 * 0.87962566, cut},
        {"he", tw_he_normal(), matrix, 0, sqrt(2.0 / 200), 0},
        {"he uniform", tw_he_uniform(), matrix, 0, sqrt(2.0 / 200), half},
        {"xavier", tw_xavier_normal(), matrix, 0, sqrt(2.0 / 300), 0},
        {"xavier uniform", tw_xavier_uniform(), matrix, 0, sqrt(2.0 / 300), half},
        {"lecun", tw_lecun_normal(), matrix, 0, sqrt(1.0 / 200), 0},
        {"lecun uniform", tw_lecun_uniform(), matrix, 0, sqrt(1.0 / 200), half},
        {"window", tw_he_normal(), window, 0, sqrt(2.0 / 300), 0},
        {"window, out", tw_fan_init(3, TW_FAN_OUT, TW_SPREAD_TRUNCATED), window, 0, 3 / 30.0, cut},
        {"average", tw_fan_init(1, TW_FAN_AVERAGE, TW_SPREAD_TRUNCATED), window, 0, 1 / sqrt(600),
         cut},
        {"vector", tw_fan_init(2, TW_FAN_IN, TW_SPREAD_UNIFORM), TW_SHAPE(20000), 0, 2, half},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int n = draw(5, TW_F64, cases[i].shape, cases[i].init, drawn);
        moments m = moments_of(n, drawn);
        double mean = cases[i].mean, deviation = cases[i].deviation;
        double bound = cases[i].bound * deviation * (1 + 1e-7);
        if (!(fabs(m.mean - mean) < 4 * deviation / sqrt(n)))
            fail_msg("%s: mean %g, expected %g", cases[i].what, m.mean, mean);
        if (!(fabs(m.deviation / deviation - 1) < 0.03))
            fail_msg("%s: deviation %g, expected %g", cases[i].what, m.deviation, deviation);
        if (bound == 0) {
            if (!(m.high > mean + 3 * deviation)) fail_msg("%s: %g at most", cases[i].what, m.high);
            continue;
        }
        if (!(m.low >= mean - bound && m.high <= mean + bound))
            fail_msg("%s: from %g to %g", cases[i].what, m.low, m.high);
        /* and near the bounds */
        if (!(m.low < mean - 0.95 * bound && m.high > mean + 0.95 * bound))
            fail_msg("%s: only from %g to %g", cases[i].what, m.low, m.high);
    }
}

/* Not one of them past two deviations, in the type's own numbers. */
static void test_truncated_bound(void **state) {
    (void)state;
    int n = draw(9, TW_F32, TW_SHAPE(60000), tw_truncated_normal(0.02), drawn), past_one = 0;
    for (int i = 0; i < n; i++) {
        assert_true(fabs(drawn[i]) <= (double)(2 * 0.02f));
        past_one += fabs(drawn[i]) > 0.02;
    }
    /* P(1 < |z| < 2) / P(|z| < 2) = 0.2847 */
    assert_true(fabs((double)past_one / n - 0.2847) < 0.01);
}

static void check_orthogonal(tw_dtype dtype, tw_shape shape, int rows, int columns, double gain) {
    double tolerance = dtype == TW_F64 ? 1e-12 : 1e-6;
    assert_int_equal(draw(3, dtype, shape, tw_orthogonal(gain), drawn), rows * columns);
    bool tall = rows >= columns;
    int count = tall ? columns : rows, length = tall ? rows : columns;
    for (int i = 0; i < count; i++)
        for (int j = 0; j < count; j++) {
            double sum = 0;
            for (int k = 0; k < length; k++)
                sum += tall ? drawn[k * columns + i] * drawn[k * columns + j]
                            : drawn[i * columns + k] * drawn[j * columns + k];
            assert_true(fabs(sum - (i == j ? gain * gain : 0)) <= tolerance * gain * gain);
        }
}

static void test_orthogonal(void **state) {
    (void)state;
    check_orthogonal(TW_F64, TW_SHAPE(8, 8), 8, 8, 1);
    check_orthogonal(TW_F64, TW_SHAPE(40, 7), 40, 7, 1.5);
    check_orthogonal(TW_F32, TW_SHAPE(5, 31), 5, 31, 2);
    check_orthogonal(TW_F64, TW_SHAPE(3, 3, 2, 9), 18, 9, 1);
    check_orthogonal(TW_F64, TW_SHAPE(1, 1), 1, 1, 1);
    assert_int_equal(draw(3, TW_F64, TW_SHAPE(0, 4), tw_orthogonal(1), drawn), 0);
}

/* Three variables in two orders of creation. */
static void test_order(void **state) {
    (void)state;
    const tw_init inits[] = {tw_truncated_normal(1), tw_orthogonal(1), tw_lecun_uniform()};
    const char *const names[] = {"a", "b", "c"};
    double value[2][3][35];
    for (int order = 0; order < 2; order++) {
        tw_context *c = tw_context_new(NULL);
        tw_store *store = tw_store_new(c, &(tw_store_opts){.seed = 2});
        tw_graph *g = tw_graph_new(c, store, TW_SYMBOLIC, NULL);
        tw_value w[3];
        tw_tensor *out[3] = {NULL};
        for (int k = 0; k < 3; k++) {
            int i = order ? 2 - k : k;
            w[i] = tw_parameter(g, names[i], TW_F64, TW_SHAPE(5, 7), inits[i]);
        }
        tw_program *p = tw_compile(g, 0, NULL, 3, w, NULL);
        assert_int_equal(tw_run(p, NULL, out), TW_OK);
        for (int i = 0; i < 3; i++) numbers_of(out[i], 35, value[order][i]);
        tw_context_free(c);
    }
    assert_memory_equal(value[0], value[1], sizeof value[0]);
    assert_memory_not_equal(value[0][0], value[0][1], sizeof value[0][0]);
}

static void test_errors(void **state) {
    (void)state;
    const struct {
        tw_init init;
        const char *says;
    } cases[] = {
        {tw_orthogonal(1), "rank 2"},
        {{.kind = 77}, "kind 77"},
        {tw_fan_init(1, (tw_fan)0, TW_SPREAD_NORMAL), "no initialiser"},
        {tw_fan_init(1, TW_FAN_IN, (tw_spread)5), "no initialiser"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tw_context *c = tw_context_new(NULL);
        tw_store *store = tw_store_new(c, NULL);
        tw_graph *g = tw_graph_new(c, store, TW_SYMBOLIC, NULL);
        tw_value w = tw_parameter(g, "weight", TW_F32, TW_SHAPE(4), cases[i].init);
        tw_program *p = tw_compile(g, 0, NULL, 1, &w, NULL);
        tw_tensor *out = NULL;
        assert_true(!p || tw_run(p, NULL, &out));
        if (!strstr(tw_message(c), cases[i].says))
            fail_msg("'%s' is not in: %s", cases[i].says, tw_message(c));
        tw_context_free(c);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_moments),    cmocka_unit_test(test_truncated_bound),
        cmocka_unit_test(test_orthogonal), cmocka_unit_test(test_order),
        cmocka_unit_test(test_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
