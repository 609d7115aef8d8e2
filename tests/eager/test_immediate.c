/* Immediate mode: the same model function line by line and jitted gives the same numbers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <string.h>
#include <thalweg/thalweg.h>

enum { ROWS = 12, COLUMNS = 20 };

typedef struct mlp {
    int hidden;
    double rate;
} mlp;

static void mlp_step(tw_graph *g, const tw_value *in, tw_value *out, const void *config) {
    const mlp *m = config;
    (void)g;
    tw_value h = tw_relu(tw_dense(in[0], "fc1", m->hidden, NULL)), w[8], dw[8];
    out[0] = tw_cross_entropy(tw_dense(h, "fc2", 10, NULL), in[1], NULL);
    int n = tw_parameters(out[0], 8, w);
    tw_grad(out[0], n, w, dw);
    for (int i = 0; i < n; i++) tw_assign(w[i], tw_sub(w[i], tw_scale(dw[i], m->rate)));
}

static void fill(tw_context *c, tw_tensor **in, int64_t rows) {
    in[0] = tw_tensor_new(c, TW_F32, TW_SHAPE(rows, COLUMNS));
    in[1] = tw_tensor_new(c, TW_I32, TW_SHAPE(rows));
    float *x = tw_tensor_map(in[0]);
    int32_t *y = tw_tensor_map(in[1]);
    for (int64_t i = 0; i < rows * COLUMNS; i++) x[i] = sinf((float)i);
    for (int64_t i = 0; i < rows; i++) y[i] = (int32_t)(i % 10);
}

static void weights_of(tw_store *s, float *out) {
    tw_tensor *w = tw_store_get(s, "fc1/weight");
    assert_non_null(w);
    assert_int_equal(tw_tensor_get(w, out, COLUMNS * 16 * sizeof *out), TW_OK);
    tw_tensor_free(w);
}

static void line_by_line_is_jit(void **state) {
    (void)state;
    const mlp m = {.hidden = 16, .rate = 0.1};
    tw_context *c = tw_context_new(NULL);
    tw_store *s = tw_store_new(c, &(tw_store_opts){.seed = 2});
    tw_store *t = tw_store_new(c, &(tw_store_opts){.seed = 2});
    tw_tensor *in[2], *loss = NULL;
    fill(c, in, ROWS);
    tw_graph *g = tw_graph_new(c, s, TW_IMMEDIATE, &(tw_graph_opts){.training = true});
    tw_jit *step = tw_jit_new(c, t, mlp_step, 2, 1, &m, sizeof m, &(tw_jit_opts){.training = true});
    assert_non_null(step);
    double first = 0, last = 0;
    for (int i = 0; i < 10; i++) {
        tw_tape_begin(g);
        tw_value out = {0}, values[] = {tw_constant(g, in[0]), tw_constant(g, in[1])};
        mlp_step(g, values, &out, &m);
        last = tw_item(out);
        if (tw_tape_end(g, 0, NULL)) fail_msg("%s", tw_message(c));
        if (tw_jit_run(step, in, &loss)) fail_msg("%s", tw_message(c));
        assert_true(fabs(last - tw_tensor_item(loss)) <= 1e-6);
        if (i == 0) first = last;
    }
    assert_true(last < first);
    static float a[COLUMNS * 16], b[COLUMNS * 16];
    weights_of(s, a), weights_of(t, b);
    for (int i = 0; i < COLUMNS * 16; i++) assert_true(fabsf(a[i] - b[i]) <= 1e-6f);
    tw_context_free(c);
}

static void tapes_and_stale_values(void **state) {
    (void)state;
    tw_context *c = tw_context_new(NULL);
    tw_graph *g = tw_graph_new(c, NULL, TW_IMMEDIATE, NULL);
    float two[2] = {3, 4}, back[2];
    tw_value outer = tw_constant_of(g, TW_F32, TW_SHAPE(2), two);
    tw_tape_begin(g);
    tw_value kept = tw_square(outer), gone = tw_scale(kept, 2);
    assert_int_equal(tw_read(gone, back, sizeof back), TW_OK);
    assert_true(back[0] == 18 && back[1] == 32);
    assert_int_equal(tw_tape_end(g, 1, &kept), TW_OK);
    assert_false(tw_ok(gone));
    assert_int_equal(tw_read(kept, back, sizeof back), TW_OK);
    assert_true(back[1] == 16);
    assert_int_equal(tw_read(kept, back, 4), TW_ERR_ARGUMENT);
    tw_value d;
    tw_value y = tw_mul(kept, outer);
    tw_grad(y, 1, &kept, &d);
    assert_int_equal(tw_read(d, back, sizeof back), TW_OK);
    assert_true(back[0] == 3 && back[1] == 4);
    assert_true(isnan(tw_item(gone)));
    tw_context_free(c);
}

static void assigns_outside_a_tape_commit_at_once(void **state) {
    (void)state;
    tw_context *c = tw_context_new(NULL);
    tw_store *s = tw_store_new(c, NULL);
    tw_graph *g = tw_graph_new(c, s, TW_IMMEDIATE, NULL);
    tw_value v = tw_variable(g, "v", TW_F32, TW_SHAPE(), tw_constant_init(2));
    tw_value before = tw_snapshot(v);
    tw_assign(v, tw_scale(v, 5));
    assert_true(tw_item(v) == 10 && tw_item(before) == 2);
    assert_true(tw_tensor_item(tw_store_get(s, "v")) == 10);
    tw_tape_begin(g);
    tw_assign(v, tw_shift(v, 1));
    assert_true(tw_item(v) == 11);
    assert_true(tw_tensor_item(tw_store_get(s, "v")) == 10);
    assert_int_equal(tw_tape_end(g, 0, NULL), TW_OK);
    assert_true(tw_tensor_item(tw_store_get(s, "v")) == 11);
    assert_true(tw_item(v) == 11);
    /* An assigned view of data that the store does not own is copied. */
    tw_assign(v, tw_reshape(tw_reshape(v, TW_SHAPE(1)), TW_SHAPE()));
    assert_true(tw_tensor_item(tw_store_get(s, "v")) == 11);
    tw_context_free(c);
}

/* A tape that fails commits nothing, says why, and leaves the graph usable. */
static void failed_tape_commits_nothing(void **state) {
    (void)state;
    tw_context *c = tw_context_new(NULL);
    tw_store *s = tw_store_new(c, NULL);
    tw_graph *g = tw_graph_new(c, s, TW_IMMEDIATE, NULL);
    tw_value v = tw_variable(g, "v", TW_F32, TW_SHAPE(2), tw_constant_init(1));
    int32_t bad[1] = {7};
    tw_tape_begin(g);
    tw_assign(v, tw_scale(v, 3));
    tw_value row = tw_take(v, tw_constant_of(g, TW_I32, TW_SHAPE(1), bad));
    assert_true(isnan(tw_item(row)));
    assert_int_equal(tw_tape_end(g, 0, NULL), TW_ERR_INDEX);
    float back[2];
    tw_tensor_get(tw_store_get(s, "v"), back, sizeof back);
    assert_true(back[0] == 1);
    tw_tape_begin(g);
    tw_assign(v, tw_scale(v, 3));
    assert_int_equal(tw_tape_end(g, 0, NULL), TW_OK);
    tw_tensor_get(tw_store_get(s, "v"), back, sizeof back);
    assert_true(back[0] == 3);
    tw_context_free(c);
}

static int traces;
static void twice(tw_graph *g, const tw_value *in, tw_value *out, const void *config) {
    (void)g;
    traces++;
    out[0] = tw_scale(in[0], *(const double *)config);
}

static void jit_traces_per_type(void **state) {
    (void)state;
    tw_context *c = tw_context_new(NULL);
    double factor = 2;
    tw_jit *exact = tw_jit_new(c, NULL, twice, 1, 1, &factor, sizeof factor, NULL);
    tw_jit *open =
        tw_jit_new(c, NULL, twice, 1, 1, &factor, sizeof factor, &(tw_jit_opts){.open = "n"});
    factor = 9; /* it was copied */
    for (int64_t rows = 1; rows <= 3; rows++)
        for (int again = 0; again < 2; again++) {
            tw_tensor *x = tw_tensor_new(c, TW_F32, TW_SHAPE(rows, 2)), *y = NULL, *z = NULL;
            ((float *)tw_tensor_map(x))[1] = 4;
            assert_int_equal(tw_jit_run(exact, &x, &y), TW_OK);
            assert_int_equal(tw_jit_run(open, &x, &z), TW_OK);
            assert_true(((float *)tw_tensor_map(y))[1] == 8);
            assert_memory_equal(tw_tensor_map(y), tw_tensor_map(z), tw_tensor_bytes(y));
        }
    assert_int_equal(traces, 3 + 1);
    assert_null(tw_jit_new(c, NULL, twice, 1, 1, NULL, 0, &(tw_jit_opts){.open = "nn"}));
    tw_tensor *none = NULL, *out = NULL;
    assert_int_equal(tw_jit_run(exact, &none, &out), TW_ERR_NULL);
    tw_context_free(c);
}

static void reads(tw_graph *g, const tw_value *in, tw_value *out, const void *config) {
    (void)g, (void)config;
    assert_true(isnan(tw_item(in[0])));
    out[0] = in[0];
}

static void reading_while_tracing_is_an_error(void **state) {
    (void)state;
    tw_context *c = tw_context_new(NULL);
    tw_jit *jit = tw_jit_new(c, NULL, reads, 1, 1, NULL, 0, NULL);
    tw_tensor *x = tw_tensor_new(c, TW_F32, TW_SHAPE()), *y = NULL;
    assert_int_equal(tw_jit_run(jit, &x, &y), TW_ERR_UNSUPPORTED);
    tw_context_free(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(line_by_line_is_jit),
        cmocka_unit_test(tapes_and_stale_values),
        cmocka_unit_test(assigns_outside_a_tape_commit_at_once),
        cmocka_unit_test(failed_tape_commits_nothing),
        cmocka_unit_test(jit_traces_per_type),
        cmocka_unit_test(reading_while_tracing_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
