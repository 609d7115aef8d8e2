/* Programs: numbers, symbols, views, groups, assigns, errors, steady memory, both references. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <thalweg/thalweg.h>

#include "runtime/program.h"

static tw_tensor *floats(tw_context *c, tw_shape shape, float first, float step) {
    tw_tensor *t = tw_tensor_new(c, TW_F32, shape);
    float *at = tw_tensor_map(t);
    for (size_t i = 0; i < tw_tensor_bytes(t) / 4; i++) at[i] = first + step * (float)i;
    return t;
}

static const float *data_of(tw_tensor *t) { return tw_tensor_map(t); }

static void arithmetic_and_broadcast(void **state) {
    (void)state;
    tw_context *c = tw_context_new(NULL);
    tw_graph *g = tw_graph_new(c, NULL, TW_SYMBOLIC, NULL);
    tw_value x = tw_input(g, "x", TW_F32, TW_SHAPE(300, 7)),
             b = tw_input(g, "b", TW_F32, TW_SHAPE(7));
    tw_value r = tw_input(g, "r", TW_F32, TW_SHAPE(300, 1));
    tw_value y = tw_sub(tw_mul(tw_add(x, b), r), tw_literal(x, 3));
    tw_value out[] = {y, tw_transpose(y), tw_sum(y)};
    tw_program *p = tw_compile(g, TW_VALUES(x, b, r), 3, out, NULL);
    assert_non_null(p);
    tw_graph_free(g);
    tw_tensor *in[] = {floats(c, TW_SHAPE(300, 7), 1, 0.5f), floats(c, TW_SHAPE(7), -3, 1),
                       floats(c, TW_SHAPE(300, 1), 0, 0.25f)};
    tw_tensor *got[3] = {NULL};
    assert_int_equal(tw_run(p, in, got), TW_OK);
    double sum = 0;
    for (int i = 0; i < 300; i++)
        for (int j = 0; j < 7; j++) {
            float want = (data_of(in[0])[i * 7 + j] + data_of(in[1])[j]) * data_of(in[2])[i] - 3;
            assert_true(fabsf(data_of(got[0])[i * 7 + j] - want) <= 1e-5f * fabsf(want) + 1e-5f);
            assert_true(data_of(got[1])[j * 300 + i] == data_of(got[0])[i * 7 + j]);
            sum += data_of(got[0])[i * 7 + j];
        }
    assert_true(fabs(tw_tensor_item(got[2]) - sum) < 1e-5 * fabs(sum));
    /* Neither broadcasts nor the literal are written to memory; the chain is one kernel, or one group. */
    char *list = tw_program_print(p);
    assert_null(strstr(list, "broadcast"));
    assert_null(strstr(list, "splat"));
    assert_true(strstr(list, "fused[") || strstr(list, "r0"));
    tw_string_free(c, list);
    tw_context_free(c);
}

static void symbolic_extents(void **state) {
    (void)state;
    tw_context *c = tw_context_new(NULL);
    tw_graph *g = tw_graph_new(c, NULL, TW_SYMBOLIC, NULL);
    int64_t n = tw_symbol(c, "n");
    tw_value x = tw_input(g, "x", TW_F32, TW_SHAPE(n, 4)),
             y = tw_input(g, "y", TW_F32, TW_SHAPE(n, 4));
    tw_value out[] = {tw_sum_axis(tw_mul(tw_add(x, y), tw_literal(x, 2)), 1, false)};
    tw_program *p = tw_compile(g, TW_VALUES(x, y), 1, out, NULL);
    assert_non_null(p);
    const int64_t sizes[] = {3, 50, 1, 0, 50};
    for (int i = 0; i < 5; i++) {
        tw_tensor *in[] = {floats(c, TW_SHAPE(sizes[i], 4), 1, 1),
                           floats(c, TW_SHAPE(sizes[i], 4), 0, 0)};
        tw_tensor *got = NULL;
        assert_int_equal(tw_run(p, in, &got), TW_OK);
        assert_int_equal(tw_tensor_type(got).shape.dim[0], sizes[i]);
        for (int64_t k = 0; k < sizes[i]; k++)
            assert_true(data_of(got)[k] == (float)(2 * (16 * k + 10)));
    }
    tw_tensor *odd[] = {floats(c, TW_SHAPE(3, 4), 1, 1), floats(c, TW_SHAPE(2, 4), 1, 1)},
              *got = NULL;
    assert_int_equal(tw_run(p, odd, &got), TW_ERR_SHAPE);
    assert_non_null(strstr(tw_message(c), "\"y\""));
    assert_non_null(strstr(tw_message(c), "f32[2,4]"));
    tw_tensor *wrong[] = {odd[0], tw_tensor_new(c, TW_F64, TW_SHAPE(3, 4))};
    assert_int_equal(tw_run(p, wrong, &got), TW_ERR_TYPE);
    assert_int_equal(tw_run(p, NULL, &got), TW_ERR_NULL);
    assert_int_equal(tw_run(NULL, NULL, NULL), TW_ERR_NULL);
    tw_context_free(c);
}

/* Inputs whose extents are linear in a symbol bind it, whichever of them can. */
static void solved_extents(void **state) {
    (void)state;
    tw_context *c = tw_context_new(NULL);
    tw_graph *g = tw_graph_new(c, NULL, TW_SYMBOLIC, NULL);
    int64_t n = tw_symbol(c, "n"), m = tw_symbol(c, "m");
    tw_value x = tw_input(g, "x", TW_F32, TW_SHAPE(tw_dim_mul(c, n, m), 2)),
             y = tw_input(g, "y", TW_F32, TW_SHAPE(tw_dim_add(c, tw_dim_mul(c, 4, n), 1)));
    tw_value z = tw_reshape(x, TW_SHAPE(m, n, 2)), out[] = {tw_sum_axis(z, 0, false), tw_sum(y)};
    tw_program *p = tw_compile(g, TW_VALUES(x, y), 2, out, NULL);
    assert_non_null(p);
    for (int64_t size = 1; size < 4; size++) {
        tw_tensor *in[] = {floats(c, TW_SHAPE(size * 5, 2), 0, 1),
                           floats(c, TW_SHAPE(4 * size + 1), 0, 1)},
                  *got[2] = {NULL};
        if (tw_run(p, in, got)) fail_msg("%s", tw_message(c));
        tw_shape shape = tw_tensor_type(got[0]).shape;
        assert_true(shape.rank == 2 && shape.dim[0] == size && shape.dim[1] == 2);
    }
    const struct {
        int64_t x, y;
        const char *says;
    } refused[] = {
        {4, 8, "input 1, \"y\", is f32[4*n+1], given f32[8]: no n = 0, 1, 2, ... gives 4*n+1 = 8"},
        {4, 0, "gives 4*n+1 = 0"},
        {7, 9, "\"x\", is f32[n*m,2], given f32[7,2]: no m = 0, 1, 2, ... gives n*m = 7"},
        {0, 1, "extent n*m is negative, not whole, or not bound"}, /* n is 0, m anything */
    };
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        tw_tensor *in[] = {floats(c, TW_SHAPE(refused[i].x, 2), 0, 1),
                           floats(c, TW_SHAPE(refused[i].y), 0, 1)},
                  *got[2] = {NULL};
        assert_int_equal(tw_run(p, in, got), TW_ERR_SHAPE);
        if (!strstr(tw_message(c), refused[i].says))
            fail_msg("\"%s\" is not in: %s", refused[i].says, tw_message(c));
    }
    tw_context_free(c);
}

/* A bad index ends the run before any variable changes. */
static void errors_commit_nothing(void **state) {
    (void)state;
    tw_context *c = tw_context_new(NULL);
    tw_store *s = tw_store_new(c, NULL);
    tw_graph *g = tw_graph_new(c, s, TW_SYMBOLIC, NULL);
    tw_value i = tw_input(g, "i", TW_I32, TW_SHAPE(2));
    tw_value v = tw_variable(g, "v", TW_F32, TW_SHAPE(4), tw_constant_init(5));
    tw_value w = tw_variable(g, "w", TW_F32, TW_SHAPE(2), tw_zeros_init());
    tw_assign(v, tw_scale(v, 2));
    tw_assign(w, tw_take(v, i));
    tw_program *p = tw_compile(g, 1, &i, 1, &w, NULL);
    assert_non_null(p);
    int32_t index[2] = {0, 9};
    tw_tensor *in = tw_tensor_wrap(c, TW_I32, TW_SHAPE(2), index, NULL, NULL), *out = NULL;
    assert_int_equal(tw_run(p, &in, &out), TW_ERR_INDEX);
    tw_tensor *now = tw_store_get(s, "v");
    assert_true(data_of(now)[0] == 5);
    tw_tensor_free(now);
    index[1] = 3;
    assert_int_equal(tw_run(p, &in, &out), TW_OK);
    assert_true(data_of(out)[1] == 10);
    assert_true(data_of(tw_store_get(s, "v"))[3] == 10);
    assert_true(data_of(tw_store_get(s, "w"))[0] == 10);
    tw_context_free(c);
}

/* Assigns of aliases, of other variables, of inputs and constants: all from the old values. */
static void assigns_of_every_kind(void **state) {
    (void)state;
    tw_context *c = tw_context_new(NULL);
    tw_store *s = tw_store_new(c, NULL);
    tw_graph *g = tw_graph_new(c, s, TW_SYMBOLIC, NULL);
    tw_value x = tw_input(g, "x", TW_F32, TW_SHAPE(2));
    tw_value a = tw_variable(g, "a", TW_F32, TW_SHAPE(2), tw_constant_init(1));
    tw_value b = tw_variable(g, "b", TW_F32, TW_SHAPE(2), tw_constant_init(2));
    tw_value d = tw_variable(g, "d", TW_F32, TW_SHAPE(1, 2), tw_constant_init(4));
    tw_value e = tw_variable(g, "e", TW_F32, TW_SHAPE(2), tw_constant_init(5));
    tw_value f = tw_variable(g, "f", TW_F32, TW_SHAPE(2), tw_constant_init(6));
    tw_value old_a = tw_snapshot(a), sum = tw_add(a, b);
    tw_assign(a, tw_snapshot(b));
    tw_assign(b, old_a);
    tw_assign(d, tw_reshape(sum, TW_SHAPE(1, 2)));
    tw_assign(e, sum);
    tw_assign(f, x);
    tw_program *p = tw_compile(g, 1, &x, 1, &sum, NULL);
    assert_non_null(p);
    tw_tensor *in = floats(c, TW_SHAPE(2), 8, 1), *out = NULL;
    for (int i = 0; i < 3; i++) assert_int_equal(tw_run(p, &in, &out), TW_OK);
    assert_true(data_of(out)[0] == 3);
    assert_true(data_of(tw_store_get(s, "a"))[0] == 2);
    assert_true(data_of(tw_store_get(s, "b"))[1] == 1);
    assert_true(data_of(tw_store_get(s, "d"))[1] == 3);
    assert_true(data_of(tw_store_get(s, "e"))[0] == 3);
    assert_true(data_of(tw_store_get(s, "f"))[1] == 9);
    /* read_only drops them all. */
    tw_program *q = tw_compile(g, 1, &x, 1, &sum, &(tw_compile_opts){.read_only = true});
    tw_store_set(s, "a", floats(c, TW_SHAPE(2), 70, 0));
    assert_int_equal(tw_run(q, &in, &out), TW_OK);
    assert_true(data_of(out)[0] == 71);
    assert_true(data_of(tw_store_get(s, "a"))[0] == 70);
    tw_context_free(c);
}

typedef struct counter {
    long calls;
} counter;
static void *counting(void *user, void *old, size_t bytes) {
    ((counter *)user)->calls++;
    if (bytes) return realloc(old, bytes);
    free(old);
    return NULL;
}

static void build_network(tw_graph *g, tw_value *in, tw_value *loss) {
    in[0] = tw_input(g, "x", TW_F32, TW_SHAPE(6, 8, 8, 2));
    in[1] = tw_input(g, "y", TW_I32, TW_SHAPE(6));
    tw_value h = tw_conv_layer(in[0], "conv", 5, (int64_t[]){3, 3},
                               &(tw_conv_layer_opts){.conv = {.same = true, .relu = true}});
    h = tw_max_pool(h, &(tw_pool_opts){.window = {2, 2}});
    h = tw_dense(tw_reshape(h, TW_SHAPE(6, 80)), "fc", 7, NULL);
    *loss = tw_cross_entropy(h, in[1], NULL);
    tw_minimize(*loss, &(tw_optimizer){.kind = TW_ADAM, .rate = 1e-2});
}

static double train(const tw_compile_opts *opts, int threads, int steps, float *weights) {
    tw_context *c = tw_context_new(&(tw_context_opts){.threads = threads});
    tw_store *s = tw_store_new(c, &(tw_store_opts){.seed = 5});
    tw_graph *g = tw_graph_new(c, s, TW_SYMBOLIC, &(tw_graph_opts){.training = true});
    tw_value in[2], loss;
    build_network(g, in, &loss);
    tw_program *p = tw_compile(g, 2, in, 1, &loss, opts);
    if (!p) fail_msg("%s", tw_message(c));
    tw_tensor *out = NULL, *data[] = {floats(c, TW_SHAPE(6, 8, 8, 2), -1, 0.003f),
                                      tw_tensor_new(c, TW_I32, TW_SHAPE(6))};
    for (int i = 0; i < 6; i++) ((int32_t *)tw_tensor_map(data[1]))[i] = i % 7;
    for (int i = 0; i < steps; i++) assert_int_equal(tw_run(p, data, &out), TW_OK);
    double last = tw_tensor_item(out);
    assert_int_equal(tw_store_step(s), steps);
    tw_tensor *w = tw_store_get(s, "fc/weight");
    assert_non_null(w);
    tw_tensor_get(w, weights, 80 * 7 * sizeof *weights);
    tw_context_free(c);
    return last;
}

static void reference_plain_and_threads_agree(void **state) {
    (void)state;
    static float one[560], two[560], plain[560], reference[560];
    double a = train(NULL, 1, 5, one), b = train(NULL, 2, 5, two);
    double p = train(&(tw_compile_opts){.plain = true}, 2, 5, plain);
    double r = train(&(tw_compile_opts){.reference = true}, 2, 5, reference);
    assert_true(a == b);
    assert_memory_equal(one, two, sizeof one);
    assert_true(fabs(a - p) < 1e-4 && fabs(a - r) < 1e-4);
    for (int i = 0; i < 560; i++) {
        assert_true(fabsf(one[i] - plain[i]) < 2e-3f);
        assert_true(fabsf(one[i] - reference[i]) < 2e-3f);
    }
}

static void steady_runs_allocate_nothing(void **state) {
    (void)state;
    counter count = {0};
    tw_context *c =
        tw_context_new(&(tw_context_opts){.allocate = counting, .allocate_user = &count});
    tw_store *s = tw_store_new(c, NULL);
    tw_graph *g = tw_graph_new(c, s, TW_SYMBOLIC, NULL);
    /* No sums: some kernels have scratch of their own. */
    tw_value x = tw_input(g, "x", TW_F32, TW_SHAPE(32, 20));
    tw_value v = tw_variable(g, "v", TW_F32, TW_SHAPE(20, 32), tw_zeros_init());
    tw_assign(v, tw_add(v, tw_transpose(tw_tanh(x))));
    tw_value y = tw_concat(0, TW_VALUES(tw_transpose(v), tw_relu(x)));
    tw_program *p = tw_compile(g, 1, &x, 1, &y, NULL);
    assert_non_null(p);
    tw_tensor *in = floats(c, TW_SHAPE(32, 20), -1, 0.01f), *out = NULL;
    for (int i = 0; i < 2; i++) assert_int_equal(tw_run(p, &in, &out), TW_OK);
    long before = count.calls;
    for (int i = 0; i < 3; i++) assert_int_equal(tw_run(p, &in, &out), TW_OK);
    assert_int_equal(count.calls, before);
    assert_true(tw_program_memory(p) > 0);
    tw_context_free(c);
}

/* Planned places of a real program: none that live at once overlap. */
static void planned_places_do_not_overlap(void **state) {
    (void)state;
    tw_context *c = tw_context_new(NULL);
    tw_store *s = tw_store_new(c, NULL);
    tw_graph *g = tw_graph_new(c, s, TW_SYMBOLIC, &(tw_graph_opts){.training = true});
    tw_value in[2], loss;
    build_network(g, in, &loss);
    tw_program *p = tw_compile(g, 2, in, 1, &loss, NULL);
    assert_non_null(p);
    tw_tensor *out = NULL, *data[] = {tw_tensor_new(c, TW_F32, TW_SHAPE(6, 8, 8, 2)),
                                      tw_tensor_new(c, TW_I32, TW_SHAPE(6))};
    assert_int_equal(tw_run(p, data, &out), TW_OK);
    size_t all = 0;
    for (uint32_t i = 0; i < p->n_planned; i++) {
        const plan_item *a = &p->items[i];
        all += a->bytes;
        for (uint32_t k = 0; k < i; k++) {
            const plan_item *b = &p->items[k];
            bool apart = a->last < b->first || b->last < a->first;
            assert_true(apart || a->offset + a->bytes <= b->offset ||
                        b->offset + b->bytes <= a->offset);
        }
    }
    assert_true(tw_program_memory(p) < all);
    tw_context_free(c);
}

static void refusals(void **state) {
    (void)state;
    tw_context *c = tw_context_new(NULL);
    tw_graph *g = tw_graph_new(c, NULL, TW_SYMBOLIC, NULL);
    tw_value x = tw_input(g, "x", TW_F32, TW_SHAPE(2)), y = tw_input(g, "y", TW_F32, TW_SHAPE(2));
    tw_value sum = tw_add(x, y);
    assert_null(tw_compile(g, 1, &x, 1, &sum, NULL));
    assert_non_null(strstr(tw_message(c), "\"y\""));
    tw_program *p = tw_compile(g, TW_VALUES(x, y), 1, &sum, NULL);
    assert_non_null(p);
    tw_tensor *in[] = {floats(c, TW_SHAPE(2), 0, 1), floats(c, TW_SHAPE(2), 0, 1)};
    tw_tensor *out = tw_tensor_new(c, TW_F32, TW_SHAPE(3));
    assert_int_equal(tw_run(p, in, &out), TW_ERR_SHAPE);
    assert_non_null(strstr(tw_message(c), "output 0"));
    assert_null(tw_compile(g, 1, &sum, 1, &sum, NULL));
    tw_value bad = tw_add(x, tw_input(g, "z", TW_F32, TW_SHAPE(3)));
    assert_null(tw_compile(g, TW_VALUES(x, y), 1, &bad, NULL));
    assert_int_equal(tw_last_status(c), TW_ERR_SHAPE);
    tw_context_free(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arithmetic_and_broadcast),
        cmocka_unit_test(symbolic_extents),
        cmocka_unit_test(solved_extents),
        cmocka_unit_test(errors_commit_nothing),
        cmocka_unit_test(assigns_of_every_kind),
        cmocka_unit_test(reference_plain_and_threads_agree),
        cmocka_unit_test(steady_runs_allocate_nothing),
        cmocka_unit_test(planned_places_do_not_overlap),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
