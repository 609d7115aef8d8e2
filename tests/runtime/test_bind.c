/* Programs against what only a run's numbers show: slices past the end, shared tensors, depth. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <thalweg/thalweg.h>

#include "eager/evaluate.h"
#include "runtime/dispatch.h"
#include "runtime/program.h"

static tw_tensor *floats(tw_context *c, int64_t n, float first, float step) {
    tw_tensor *t = tw_tensor_new(c, TW_F32, TW_SHAPE(n));
    float *at = tw_tensor_map(t);
    for (int64_t i = 0; i < n; i++) at[i] = first + step * (float)i;
    return t;
}

static float at(tw_tensor *t, int i) { return ((const float *)tw_tensor_map(t))[i]; }

static tw_status run_with(tw_program *p, tw_tensor *in, tw_tensor **out) {
    *out = NULL;
    return tw_run(p, &in, out);
}

/* A slice whose end the symbols cannot judge is judged by each run's numbers. */
static void slices_end_within(void **state) {
    (void)state;
    tw_context *c = tw_context_new(NULL);
    tw_graph *g = tw_graph_new(c, NULL, TW_SYMBOLIC, NULL);
    tw_value x = tw_input(g, "x", TW_F32, TW_SHAPE(tw_symbol(c, "n")));
    tw_scope_begin(g, "cut");
    tw_value y = tw_exp(tw_slice(x, 0, 0, 5000));
    tw_scope_end(g);
    for (int reference = 0; reference < 2; reference++) {
        tw_program *p =
            tw_compile(g, 1, &x, 1, &y, &(tw_compile_opts){.reference = reference == 1});
        assert_non_null(p);
        tw_tensor *out, *good = floats(c, 5001, 0, 0);
        const int64_t sizes[] = {0, 1, 4999};
        for (int i = 0; i < 3; i++) {
            assert_int_equal(run_with(p, floats(c, sizes[i], 0, 0), &out), TW_ERR_SHAPE);
            assert_non_null(strstr(tw_message(c), "slice in cut: "));
            assert_int_equal(run_with(p, good, &out), TW_OK);
            assert_true(at(out, 0) == 1 && at(out, 4999) == 1);
        }
    }
    tw_context_free(c);
}

static void slices_of_symbolic_size(void **state) {
    (void)state;
    tw_context *c = tw_context_new(NULL);
    tw_graph *g = tw_graph_new(c, NULL, TW_SYMBOLIC, NULL);
    int64_t n = tw_symbol(c, "n");
    tw_value x = tw_input(g, "x", TW_F32, TW_SHAPE(n));
    tw_value past = tw_slice(x, 0, 2, n), rest = tw_slice(x, 0, 2, tw_dim_sub(c, n, 2));
    tw_program *bad = tw_compile(g, 1, &x, 1, &past, NULL),
               *good = tw_compile(g, 1, &x, 1, &rest, NULL);
    assert_non_null(bad);
    assert_non_null(good);
    tw_tensor *out;
    assert_int_equal(run_with(bad, floats(c, 4, 0, 1), &out), TW_ERR_SHAPE);
    assert_non_null(strstr(tw_message(c), "slice in the top scope: "));
    for (int64_t size = 2; size < 6; size++) {
        assert_int_equal(run_with(good, floats(c, size, 0, 1), &out), TW_OK);
        assert_int_equal(tw_tensor_type(out).shape.dim[0], size - 2);
        if (size > 2) assert_true(at(out, 0) == 2);
    }
    assert_int_equal(run_with(good, floats(c, 1, 0, 1), &out), TW_ERR_SHAPE);
    tw_context_free(c);
}

/* Slices of a reshape and of a broadcast, which are no instructions. */
static void slices_of_views(void **state) {
    (void)state;
    tw_context *c = tw_context_new(NULL);
    tw_graph *g = tw_graph_new(c, NULL, TW_SYMBOLIC, NULL);
    int64_t n = tw_symbol(c, "n");
    tw_value x = tw_input(g, "x", TW_F32, TW_SHAPE(n, 2));
    tw_value flat = tw_reshape(x, TW_SHAPE(tw_dim_mul(c, n, 2)));
    tw_value wide = tw_broadcast(tw_slice(flat, 0, 1, 4), TW_SHAPE(n, 4));
    tw_value out[] = {tw_exp(wide), tw_slice(wide, 0, 1, 2)};
    tw_program *p = tw_compile(g, 1, &x, 2, out, NULL);
    assert_non_null(p);
    const struct {
        int64_t n;
        tw_status status;
    } runs[] = {{0, TW_ERR_SHAPE}, {2, TW_ERR_SHAPE}, {3, TW_OK}, {2, TW_ERR_SHAPE}, {5, TW_OK}};
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) {
        tw_tensor *in = tw_tensor_new(c, TW_F32, TW_SHAPE(runs[i].n, 2)), *got[2] = {NULL};
        assert_int_equal(tw_run(p, &in, got), runs[i].status);
    }
    tw_context_free(c);
}

/* @f0 calls nothing, @fi calls the one before; main calls the last of `n`. */
static tw_graph *nested(tw_context *c, int n) {
    char *words = malloc((size_t)(n + 2) * 160), *to = words;
    for (int i = 0; i <= n; i++) {
        to += i < n ? sprintf(to, "function @f%d {\n", i) : sprintf(to, "graph @main {\n");
        to += sprintf(to, "%%0 = input() {name=\"x\", dtype=f32, shape=[2]} : f32[2]\n");
        to += i ? sprintf(to, "%%1 = call(%%0) {function=@f%d} : f32[2]\n", i - 1)
                : sprintf(to, "%%1 = neg(%%0) : f32[2]\n");
        to += sprintf(to, "return %%1\n}\n");
    }
    tw_graph *g = tw_graph_parse(c, NULL, words);
    free(words);
    if (!g) fail_msg("%s", tw_message(c));
    return g;
}

static void depth_is_bounded(void **state) {
    (void)state;
    const int depths[] = {1, CALL_DEPTH, CALL_DEPTH + 1, 10000};
    for (int i = 0; i < 4; i++) {
        tw_context *c = tw_context_new(NULL);
        tw_graph *g = nested(c, depths[i]);
        tw_value in = {g, g->inputs.at[0], 0}, result = {g, g->outputs.at[0], 0};
        tw_program *p = tw_compile(g, 1, &in, 1, &result, NULL);
        tw_tensor *x = floats(c, 2, 3, 1), *out = NULL, *now = NULL;
        tw_status compiled = p ? TW_OK : tw_last_status(c);
        if (!p) assert_non_null(strstr(tw_message(c), "deeper than 256"));
        tw_status evaluated = evaluate_node(g, &g->nodes.at[1], &x, &now);
        assert_int_equal(compiled, i < 2 ? TW_OK : TW_ERR_UNSUPPORTED);
        assert_int_equal(evaluated, compiled);
        if (p) {
            assert_int_equal(tw_run(p, &x, &out), TW_OK);
            assert_true(at(out, 1) == -4 && at(now, 1) == -4);
        } else {
            assert_non_null(strstr(tw_message(c), "deeper than 256"));
        }
        tw_context_free(c);
    }
}

typedef struct sharing {
    tw_context *context;
    tw_store *store;
    tw_program *program; /* outputs a and a+b, or in the other order; w becomes b */
    tw_tensor *a, *b;
} sharing;

static sharing sharing_start(bool sum_first) {
    sharing it = {.context = tw_context_new(NULL)};
    it.store = tw_store_new(it.context, NULL);
    tw_graph *g = tw_graph_new(it.context, it.store, TW_SYMBOLIC, NULL);
    tw_value a = tw_input(g, "a", TW_F32, TW_SHAPE(2)), b = tw_input(g, "b", TW_F32, TW_SHAPE(2));
    tw_value w = tw_variable(g, "w", TW_F32, TW_SHAPE(2), tw_zeros_init()), sum = tw_add(a, b);
    tw_assign(w, b);
    tw_value out[] = {sum_first ? sum : a, sum_first ? a : sum};
    it.program = tw_compile(g, TW_VALUES(a, b), 2, out, NULL);
    assert_non_null(it.program);
    it.a = floats(it.context, 2, 1, 0);
    it.b = floats(it.context, 2, 2, 0);
    return it;
}

/* Variables become what the inputs were, also where an output's tensor is an input's. */
static void outputs_over_inputs(void **state) {
    (void)state;
    sharing it = sharing_start(false);
    tw_tensor *both[] = {it.a, it.b}, *out[] = {it.a, it.b};
    assert_int_equal(tw_run(it.program, both, out), TW_OK);
    assert_true(at(it.a, 0) == 1 && at(it.b, 0) == 3);
    assert_true(at(tw_store_get(it.store, "w"), 0) == 2);
    tw_context_free(it.context);
}

static void refused_sharing(void **state) {
    (void)state;
    sharing it = sharing_start(true);
    tw_tensor *in[] = {it.a, it.b}, *over[] = {it.a, it.b}, *twice[2];
    assert_int_equal(tw_run(it.program, in, over), TW_ERR_ARGUMENT);
    assert_non_null(strstr(tw_message(it.context), "output 0 shares memory"));
    twice[0] = twice[1] = floats(it.context, 2, 0, 0);
    assert_int_equal(tw_run(it.program, in, twice), TW_ERR_ARGUMENT);
    assert_non_null(strstr(tw_message(it.context), "outputs 0 and 1 share memory"));
    float whole[3];
    for (int i = 0; i < 2; i++)
        twice[i] = tw_tensor_wrap(it.context, TW_F32, TW_SHAPE(2), whole + i, NULL, NULL);
    assert_int_equal(tw_run(it.program, in, twice), TW_ERR_ARGUMENT);
    assert_true(at(it.a, 0) == 1 && at(it.b, 0) == 2);
    assert_true(at(tw_store_get(it.store, "w"), 0) == 0);
    over[0] = it.b;
    over[1] = it.a;
    assert_int_equal(tw_run(it.program, in, over), TW_OK);
    assert_true(at(it.a, 0) == 1 && at(it.b, 0) == 3);
    assert_true(at(tw_store_get(it.store, "w"), 0) == 2);
    tw_context_free(it.context);
}

/* Large outputs are computed in their tensors, but not over an input that is still to be read; one value may be
 * two outputs. */
static void large_outputs(void **state) {
    (void)state;
    enum { N = 2048 };
    tw_context *c = tw_context_new(NULL);
    tw_graph *g = tw_graph_new(c, NULL, TW_SYMBOLIC, NULL);
    tw_value a = tw_input(g, "a", TW_F32, TW_SHAPE(N)), b = tw_input(g, "b", TW_F32, TW_SHAPE(N));
    tw_value sum = tw_add(a, b), turned = tw_reverse(sum, 0);
    tw_value out[] = {sum, tw_mul(turned, a), sum}; /* a is read after the sum is there */
    tw_program *p = tw_compile(g, TW_VALUES(a, b), 3, out, NULL);
    assert_non_null(p);
    for (int over = 0; over < 2; over++) {
        tw_tensor *in[] = {floats(c, N, 0, 1), floats(c, N, 1, 0)};
        tw_tensor *to[] = {over ? in[0] : NULL, NULL, NULL};
        for (int run = 0; run < 2 - over; run++) assert_int_equal(tw_run(p, in, to), TW_OK);
        for (int i = 0; i < N; i += 97) {
            float want = (float)i + 1;
            assert_true(at(to[0], i) == want && at(to[2], i) == want);
            assert_true(at(to[1], i) == (float)(N - i) * (float)i);
        }
    }
    tw_context_free(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(large_outputs),           cmocka_unit_test(slices_end_within),
        cmocka_unit_test(slices_of_symbolic_size), cmocka_unit_test(slices_of_views),
        cmocka_unit_test(depth_is_bounded),        cmocka_unit_test(outputs_over_inputs),
        cmocka_unit_test(refused_sharing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
