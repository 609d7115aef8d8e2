/*
 * Losses, norms and pools of f16 and bf16 against the same numbers in f32, at the places where f16
 * alone would fail: rows of zeros, padding, sums past 65504, epsilons below its least number.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <thalweg/thalweg.h>

enum { ROWS = 3, WIDTH = 4, MOST = ROWS * WIDTH };

typedef struct values {
    tw_graph *g;
    tw_dtype dtype;
    tw_value x, y, labels, sign; /* (3,4), (3,4), (3), (3) of -1 and 1 */
} values;

static tw_value of(const values *v, tw_shape shape, const float *data) {
    return tw_cast(tw_constant_of(v->g, TW_F32, shape, data), v->dtype);
}
static tw_value huge(const values *v) { return tw_scale(v->x, 300); }
static tw_value lists(const values *v) { /* the last list is nothing but padding */
    return of(v, TW_SHAPE(ROWS, WIDTH), (float[]){2, 0, 1, -1, 0, 1, 1, 0, -1, -1, -1, -1});
}
static tw_value ctc(const values *v, bool zero) {
    const int32_t few[] = {4, 2, 2}, label[] = {1, 2, 3, 3, 2, 1};
    tw_value scores = tw_broadcast(tw_reshape(v->x, TW_SHAPE(ROWS, 1, WIDTH)), /* */
                                   TW_SHAPE(ROWS, 4, WIDTH));
    return tw_ctc(scores, tw_constant_of(v->g, TW_I32, TW_SHAPE(ROWS, 2), label),
                  tw_constant_of(v->g, TW_I32, TW_SHAPE(ROWS), few), /* the second has no way */
                  tw_full(v->g, TW_I32, TW_SHAPE(ROWS), 2), &(tw_ctc_opts){.zero_infinity = zero});
}

static tw_value wide(const values *v) { return tw_broadcast(v->x, TW_SHAPE(40000, ROWS, WIDTH)); }
static tw_value dropped(const values *v) { /* one row may attend to nothing */
    tw_value q = tw_reshape(v->x, TW_SHAPE(1, ROWS, WIDTH));
    const uint8_t may[] = {1, 1, 0, 0, 0, 0, 1, 0, 1};
    tw_value mask = tw_constant_of(v->g, TW_BOOL, TW_SHAPE(1, 1, ROWS, ROWS), may);
    return tw_multi_head_attention(
        q, "a", 2, &(tw_multi_head_opts){.mask = mask, .dropout = 1e-9, .weight = tw_normal(0.5)});
}
static tw_value attended(const values *v) { /* scores near 60 */
    tw_value q = tw_reshape(tw_shift(v->x, 4), TW_SHAPE(1, ROWS, 1, WIDTH));
    return tw_attention(q, tw_scale(q, 2), tw_reverse(q, 3), NULL);
}
static tw_value normal(const values *v) { /* of as many elements as f16 cannot count */
    tw_value y = tw_reshape(wide(v), TW_SHAPE(40000 * ROWS, WIDTH));
    y = tw_batch_norm(y, "n", &(tw_batch_norm_opts){.epsilon = 0.1});
    return tw_slice(tw_mul(y, tw_square(y)), 0, 0, ROWS);
}
static tw_value pooled(const values *v, bool exclude) {
    tw_value x = tw_reshape(tw_scale(v->x, 9000), TW_SHAPE(1, MOST, 1));
    const tw_pool_opts opts = {
        .window = {MOST}, .stride = {1}, .low = {3}, .high = {3}, .exclude_padding = exclude};
    return tw_scale(tw_average_pool(x, &opts), 1e-3);
}

#define CASES(CASE)                                                                                \
    CASE(mse, tw_mse(huge(v), v->y))                                                               \
    CASE(squared_error, tw_squared_error(huge(v), v->y, NULL))                                     \
    CASE(l1, tw_l1(v->x, v->y, &(tw_regression_opts){.weights = v->sign}))                         \
    CASE(huber, tw_huber(v->x, v->y, NULL))                                                        \
    CASE(smooth_l1, tw_smooth_l1(v->x, v->y, NULL))                                                \
    CASE(cross_entropy, tw_cross_entropy(huge(v), v->labels, NULL))                                \
    CASE(dense_cross_entropy, tw_cross_entropy(v->x, tw_abs(v->y), NULL))                          \
    CASE(binary_cross_entropy, tw_binary_cross_entropy(huge(v), tw_abs(v->y), NULL))               \
    CASE(kl_divergence, tw_kl_divergence(v->x, tw_abs(v->y), NULL))                                \
    CASE(hinge, tw_hinge(huge(v), v->y, &(tw_hinge_opts){.squared = true}))                        \
    CASE(multi_margin, tw_multi_margin(huge(v), v->labels, NULL))                                  \
    CASE(cosine_embedding, tw_cosine_embedding(v->x, v->y, v->sign, NULL))                         \
    CASE(contrastive, tw_contrastive(v->x, v->x, tw_relu(v->sign), NULL))                          \
    CASE(triplet_margin, tw_triplet_margin(v->x, v->x, v->y, NULL))                                \
    CASE(info_nce, tw_info_nce(v->x, v->y, &(tw_info_nce_opts){.temperature = 0.01}))              \
    CASE(margin_ranking, tw_margin_ranking(v->x, v->y, v->y, NULL))                                \
    CASE(pairwise_logistic, tw_pairwise_logistic(v->x, lists(v), NULL))                            \
    CASE(listnet, tw_listnet(v->x, lists(v), NULL))                                                \
    CASE(listmle, tw_listmle(v->x, lists(v), NULL))                                                \
    CASE(ctc, ctc(v, true))                                                                        \
    CASE(variance, tw_variance_axis(tw_scale(v->x, 100), 1, 1, false))                             \
    CASE(deviation, tw_standard_deviation_axis(huge(v), 1, 1, false))                              \
    CASE(norm, tw_norm(huge(v), 2, 1, false))                                                      \
    CASE(norm_1, tw_norm(v->x, 1, 1, false))                                                       \
    CASE(normalize, tw_normalize(huge(v), 2, 1, 0))                                                \
    CASE(clip_by_norm, tw_clip_by_norm(huge(v), 2))                                                \
    CASE(cosine_similarity, tw_cosine_similarity(huge(v), v->y, 1, 0))                             \
    CASE(mean_axis, tw_mean_axis(wide(v), 0, false))                                               \
    CASE(global_average_pool, tw_global_average_pool(tw_reshape(wide(v), TW_SHAPE(1, 40000, 12)))) \
    CASE(average_pool, pooled(v, false))                                                           \
    CASE(average_pool_exact, pooled(v, true))                                                      \
    CASE(dropped_attention, dropped(v))                                                            \
    CASE(attention, attended(v))                                                                   \
    CASE(batch_norm, normal(v))

#define FUNCTION(name, expression)                                                                 \
    static tw_value case_##name(const values *v) { return expression; }
CASES(FUNCTION)
#define ENTRY(name, expression) {#name, case_##name},
static const struct {
    const char *name;
    tw_value (*run)(const values *v);
} cases[] = {CASES(ENTRY)};

/* The result as f32 and the gradient of its sum for x; the number of results. */
static int computed(tw_context *context, int i, tw_dtype dtype, float *out, float *dx) {
    static const float x[MOST] = {1, -0.5, 2, 0.25, 0, 0, 0, 0, -1.5, 0.75, 0.5, -0.125};
    static const float y[MOST] = {0.5, 1, -1, 0.25, 1, 0.5, -0.75, 1, 0.5, -0.5, 1, 0.125};
    tw_store *store = tw_store_new(context, &(tw_store_opts){.seed = 5});
    tw_graph *g = tw_graph_new(context, store, TW_IMMEDIATE, &(tw_graph_opts){.training = true});
    values v = {.g = g, .dtype = dtype};
    v.x = of(&v, TW_SHAPE(ROWS, WIDTH), x);
    v.y = of(&v, TW_SHAPE(ROWS, WIDTH), y);
    v.labels = tw_constant_of(g, TW_I32, TW_SHAPE(ROWS), (int32_t[]){1, -1, 2});
    v.sign = of(&v, TW_SHAPE(ROWS), (float[]){1, -1, 1});
    tw_value result = cases[i].run(&v), grad;
    tw_grad(result, 1, &v.x, &grad);
    if (tw_graph_status(g)) fail_msg("%s: %s", cases[i].name, tw_message(context));
    tw_shape shape = tw_shape_of(result);
    int n = 1;
    for (int k = 0; k < shape.rank; k++) n *= (int)shape.dim[k];
    assert_true(n <= 2 * MOST);
    assert_int_equal(tw_read(tw_cast(result, TW_F32), out, sizeof *out * (size_t)n), TW_OK);
    assert_int_equal(tw_read(tw_cast(grad, TW_F32), dx, sizeof *dx * MOST), TW_OK);
    tw_graph_free(g);
    tw_store_free(store);
    return n;
}

static void compare(const char *name, const char *what, int n, const float *a, const float *b,
                    double tolerance) {
    const double past = 60000; /* f16 has no such number: the slope of x / epsilon at 0 */
    double most = 1e-3;
    for (int i = 0; i < n; i++)
        if (fabs((double)b[i]) < past) most = fmax(most, fabs((double)b[i]));
    for (int i = 0; i < n; i++)
        if (fabs((double)b[i]) < past && !(fabs((double)a[i] - (double)b[i]) <= tolerance * most))
            fail_msg("%s: %s %d is %g, of f32 %g", name, what, i, (double)a[i], (double)b[i]);
}

static void as_f32(void **state) {
    (void)state;
    static const tw_dtype halves[] = {TW_F16, TW_BF16};
    for (int i = 0; i < (int)(sizeof cases / sizeof *cases); i++)
        for (int k = 0; k < 2; k++) {
            tw_context *context = tw_context_new(&(tw_context_opts){.threads = 1});
            float y[2 * MOST], dx[MOST], y_f32[2 * MOST], dx_f32[MOST];
            int n = computed(context, i, TW_F32, y_f32, dx_f32);
            assert_int_equal(computed(context, i, halves[k], y, dx), n);
            double tolerance = halves[k] == TW_F16 ? 0.004 : 0.03;
            compare(cases[i].name, "result", n, y, y_f32, tolerance);
            compare(cases[i].name, "gradient", MOST, dx, dx_f32, 2 * tolerance);
            tw_context_free(context);
        }
}

/* An open batch is counted when the program runs; more than f16 counts. */
static void variance_of_a_large_open_batch(void **state) {
    (void)state;
    enum { MANY = 70000 };
    tw_context *context = tw_context_new(&(tw_context_opts){.threads = 1});
    tw_store *store = tw_store_new(context, NULL);
    tw_graph *g = tw_graph_new(context, store, TW_SYMBOLIC, &(tw_graph_opts){.training = true});
    tw_value x = tw_input(g, "x", TW_F16, TW_SHAPE(tw_symbol(context, "n"), 1));
    tw_value y = tw_batch_norm(x, "n", NULL);
    tw_program *program = tw_compile(g, 1, &x, 1, &y, NULL);
    assert_non_null(program);
    tw_tensor *in = tw_tensor_new(context, TW_F16, TW_SHAPE(MANY, 1)), *out = NULL;
    uint16_t *at = tw_tensor_map(in), found;
    for (int i = 0; i < MANY; i++) at[i] = i % 2 ? 0x4000 : 0xc000; /* 2 and -2 */
    assert_int_equal(tw_run(program, &in, &out), TW_OK);
    assert_int_equal(tw_tensor_get(tw_store_get(store, "n/variance"), &found, sizeof found), TW_OK);
    assert_int_equal(found, 0x3d33); /* 0.9 + 0.1 * 4 = 1.3 */
    tw_context_free(context);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(as_f32),
                                       cmocka_unit_test(variance_of_a_large_open_batch)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
