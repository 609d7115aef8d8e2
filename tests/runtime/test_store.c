/* Tensors and stores: initial values by path, holds that a later run leaves alone, errors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <thalweg/thalweg.h>
#include <unistd.h>

static int released;
static void release(void *user) { released += *(int *)user; }

static void tensors(void **state) {
    (void)state;
    tw_context *c = tw_context_new(NULL);
    tw_tensor *a = tw_tensor_new(c, TW_F32, TW_SHAPE(2, 3));
    assert_int_equal((uintptr_t)tw_tensor_map(a) % 64, 0);
    assert_int_equal(tw_tensor_bytes(a), 24);
    float in[6] = {1, 2, 3, 4, 5, 6}, out[6] = {0};
    assert_int_equal(tw_tensor_put(a, in, sizeof in), TW_OK);
    assert_int_equal(tw_tensor_get(a, out, sizeof out), TW_OK);
    assert_memory_equal(in, out, sizeof in);
    assert_int_equal(tw_tensor_get(a, out, 20), TW_ERR_ARGUMENT);
    assert_non_null(strstr(tw_message(c), "24 bytes, 20"));
    assert_true(isnan(tw_tensor_item(a)));
    tw_tensor_free(a);

    int one = 1;
    tw_tensor *w = tw_tensor_wrap(c, TW_I32, TW_SHAPE(), &one, release, &one);
    assert_true(tw_tensor_item(w) == 1);
    tw_tensor_free(w);
    assert_int_equal(released, 1);

    assert_null(tw_tensor_new(c, TW_F32, TW_SHAPE(-1)));
    assert_null(tw_tensor_new(c, TW_F64, TW_SHAPE(INT64_MAX, 2)));
    assert_null(tw_tensor_new(c, (tw_dtype)99, TW_SHAPE(1)));
    assert_null(tw_tensor_new(c, TW_F32, tw_shape_make(9, (int64_t[9]){0})));
    tw_tensor *empty = tw_tensor_new(c, TW_F32, TW_SHAPE(0, 5));
    assert_non_null(empty);
    assert_int_equal(tw_tensor_bytes(empty), 0);
    assert_int_equal(tw_tensor_get(empty, NULL, 0), TW_OK);
    assert_int_equal(tw_tensor_get(NULL, NULL, 0), TW_ERR_NULL);
    tw_context_free(c);
}

/* A graph that declares the named parameters in this order; gives the values in `out`. */
static void initial(uint64_t seed, int n, const char *const *name, float (*out)[600]) {
    tw_context *c = tw_context_new(NULL);
    tw_store *s = tw_store_new(c, &(tw_store_opts){.seed = seed});
    tw_graph *g = tw_graph_new(c, s, TW_SYMBOLIC, NULL);
    tw_value all[4];
    for (int i = 0; i < n; i++)
        all[i] = tw_parameter(g, name[i], TW_F32, TW_SHAPE(20, 30), tw_he_normal());
    tw_program *p = tw_compile(g, 0, NULL, n, all, NULL);
    assert_non_null(p);
    tw_tensor *t[4] = {NULL};
    assert_int_equal(tw_run(p, NULL, t), TW_OK);
    for (int i = 0; i < n; i++) tw_tensor_get(t[i], out[i], sizeof out[i]);
    tw_context_free(c);
}

static void initial_values_follow_from_seed_and_path(void **state) {
    (void)state;
    static float a[2][600], b[2][600], other[1][600];
    initial(3, 2, (const char *[]){"x", "y"}, a);
    initial(3, 2, (const char *[]){"y", "x"}, b);
    initial(4, 1, (const char *[]){"x"}, other);
    assert_memory_equal(a[0], b[1], sizeof a[0]);
    assert_memory_equal(a[1], b[0], sizeof a[0]);
    assert_memory_not_equal(a[0], a[1], sizeof a[0]);
    assert_memory_not_equal(a[0], other[0], sizeof a[0]);
    double sum = 0, square = 0;
    for (int i = 0; i < 600; i++) sum += a[0][i], square += a[0][i] * a[0][i];
    assert_true(fabs(sum / 600) < 0.05); /* deviation sqrt(2/20) */
    assert_true(fabs(square / 600 - 0.1) < 0.02);
}

static void get_and_set(void **state) {
    (void)state;
    tw_context *c = tw_context_new(NULL);
    tw_store *s = tw_store_new(c, NULL);
    assert_null(tw_store_get(s, "none"));
    assert_int_equal(tw_last_status(c), TW_ERR_NOT_FOUND);
    float two[2] = {1, 2}, back[2];
    tw_tensor *t = tw_tensor_wrap(c, TW_F32, TW_SHAPE(2), two, NULL, NULL);
    assert_int_equal(tw_store_set(s, "a/b", t), TW_OK);
    assert_int_equal(tw_store_size(s), 1);
    assert_string_equal(tw_store_path(s, 0), "a/b");
    assert_null(tw_store_path(s, 1));
    tw_tensor *held = tw_store_get(s, "a/b");
    two[0] = 7;
    assert_int_equal(tw_store_set(s, "a/b", t), TW_OK);
    tw_tensor_get(held, back, sizeof back);
    assert_true(back[0] == 1); /* a hold does not change */
    tw_tensor *now = tw_store_get(s, "a/b");
    tw_tensor_get(now, back, sizeof back);
    assert_true(back[0] == 7);
    tw_tensor *other = tw_tensor_new(c, TW_F32, TW_SHAPE(3));
    assert_int_equal(tw_store_set(s, "a/b", other), TW_ERR_SHAPE);
    assert_int_equal(tw_store_set(s, "", other), TW_ERR_ARGUMENT);
    assert_int_equal(tw_store_step(s), 0);
    int64_t step = 12;
    tw_store_set(s, "optimizer/step", tw_tensor_wrap(c, TW_I64, TW_SHAPE(), &step, NULL, NULL));
    assert_int_equal(tw_store_step(s), 12);
    tw_context_free(c);
}

/* A run that assigns swaps buffers; one that is held outside stays as it was. */
static void runs_leave_held_values_alone(void **state) {
    (void)state;
    tw_context *c = tw_context_new(NULL);
    tw_store *s = tw_store_new(c, NULL);
    tw_graph *g = tw_graph_new(c, s, TW_SYMBOLIC, NULL);
    tw_value v = tw_variable(g, "v", TW_F64, TW_SHAPE(3), tw_constant_init(1));
    tw_value old = tw_snapshot(v);
    tw_assign(v, tw_shift(v, 1));
    tw_program *p = tw_compile(g, 0, NULL, 1, &old, NULL);
    assert_non_null(p);
    tw_tensor *out = NULL, *held[4];
    for (int i = 0; i < 4; i++) {
        assert_int_equal(tw_run(p, NULL, &out), TW_OK);
        double seen[3];
        tw_tensor_get(out, seen, sizeof seen);
        assert_true(seen[2] == 1 + i);
        held[i] = tw_store_get(s, "v");
    }
    for (int i = 0; i < 4; i++) {
        double seen[3];
        tw_tensor_get(held[i], seen, sizeof seen);
        assert_true(seen[0] == 2 + i);
        tw_tensor_free(held[i]);
    }
    tw_context_free(c);
}

static void variables_of_one_path_agree(void **state) {
    (void)state;
    tw_context *c = tw_context_new(NULL);
    tw_store *s = tw_store_new(c, NULL);
    tw_graph *g = tw_graph_new(c, s, TW_SYMBOLIC, NULL);
    tw_value a = tw_parameter(g, "w", TW_F32, TW_SHAPE(2), tw_normal(1));
    tw_parameter(g, "w", TW_F32, TW_SHAPE(3), tw_normal(1));
    assert_null(tw_compile(g, 0, NULL, 1, &a, NULL));
    assert_int_equal(tw_last_status(c), TW_ERR_SHAPE);
    assert_int_equal(tw_store_size(s), 0); /* a failed build leaves the store as it was */
    tw_context_free(c);
}

/* A training step, and a parameter that nothing reads; the store outlives the program. */
static void declare(tw_context *c, tw_store *s, bool run) {
    tw_graph *g = tw_graph_new(c, s, TW_SYMBOLIC, &(tw_graph_opts){.training = true});
    tw_value x = tw_input(g, "x", TW_F32, TW_SHAPE(4, 3));
    tw_parameter(g, "unread", TW_F64, TW_SHAPE(5), tw_normal(1));
    tw_value loss = tw_mean(tw_square(tw_dense(tw_dropout(x, 0.5, NULL), "fc", 2, NULL)));
    tw_minimize(loss, &(tw_optimizer){.kind = TW_ADAM});
    tw_program *p = tw_compile(g, 1, &x, 1, &loss, &(tw_compile_opts){.read_only = run});
    tw_tensor *in = tw_tensor_new(c, TW_F32, TW_SHAPE(4, 3)), *out = NULL;
    assert_non_null(p);
    if (run) assert_int_equal(tw_run(p, &in, &out), TW_OK);
    tw_program_free(p);
    tw_graph_free(g);
}

/* What is declared is saved, whether it was used or not, as a run would have found it. */
static void unused_variables_are_saved(void **state) {
    (void)state;
    tw_context *c = tw_context_new(NULL);
    tw_store *unused = tw_store_new(c, &(tw_store_opts){.seed = 3});
    tw_store *used = tw_store_new(c, &(tw_store_opts){.seed = 3});
    tw_store *loaded = tw_store_new(c, &(tw_store_opts){.seed = 4});
    declare(c, unused, false);
    declare(c, used, true);
    char folder[] = "/tmp/thalweg-store-XXXXXX", path[64];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/all.safetensors", folder);
    assert_int_equal(tw_store_save(unused, path), TW_OK);
    assert_int_equal(tw_store_load(loaded, path), TW_OK);
    unlink(path);
    rmdir(folder);
    /* weight, bias, unread; m and v of the two that are trained; the step; the random run. */
    assert_int_equal(tw_store_size(loaded), 9);
    assert_int_equal(tw_store_size(used), 9);
    for (int i = 0; i < 9; i++) {
        tw_tensor *want = tw_store_get(used, tw_store_path(used, i));
        tw_tensor *got = tw_store_get(loaded, tw_store_path(used, i));
        if (!got) fail_msg("%s", tw_message(c));
        assert_int_equal(tw_tensor_bytes(got), tw_tensor_bytes(want));
        assert_memory_equal(tw_tensor_map(got), tw_tensor_map(want), tw_tensor_bytes(want));
        tw_tensor_free(want);
        tw_tensor_free(got);
    }
    tw_tensor *drawn = tw_store_get(loaded, "unread");
    assert_true(((double *)tw_tensor_map(drawn))[0] != 0);
    tw_context_free(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tensors),
        cmocka_unit_test(initial_values_follow_from_seed_and_path),
        cmocka_unit_test(get_and_set),
        cmocka_unit_test(runs_leave_held_values_alone),
        cmocka_unit_test(variables_of_one_path_agree),
        cmocka_unit_test(unused_variables_are_saved),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
