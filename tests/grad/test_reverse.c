/* The gradient transform: first and second order, versions of variables, sparse rows, refusals. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <thalweg/thalweg.h>

static tw_context *context;
static tw_store *store;

static int start(void **state) {
    (void)state;
    context = tw_context_new(&(tw_context_opts){.threads = 1});
    store = tw_store_new(context, &(tw_store_opts){.seed = 3});
    return context && store ? 0 : -1;
}

static int stop(void **state) {
    (void)state;
    tw_context_free(context);
    return 0;
}

static tw_value scalar(tw_graph *g, double x) { return tw_constant_of(g, TW_F64, TW_SHAPE(), &x); }

static void cube_to_third_order(void **state) {
    (void)state;
    tw_graph *g = tw_graph_new(context, store, TW_IMMEDIATE, NULL);
    tw_tape_begin(g);
    tw_value x = scalar(g, 3), y = tw_mul(x, tw_mul(x, x)), d;
    const double expected[] = {27, 18, 6, 0};
    for (int order = 0; order < 4; order++) {
        tw_grad(y, 1, &x, &d);
        assert_float_equal(tw_item(d), expected[order], 1e-12);
        y = d;
    }
    assert_int_equal(tw_tape_end(g, 0, NULL), TW_OK);
}

/* d/dx of x tanh(x) + relu(x) through a composite and a shared value. */
static void shared_values_add_up(void **state) {
    (void)state;
    tw_graph *g = tw_graph_new(context, store, TW_IMMEDIATE, NULL);
    tw_tape_begin(g);
    tw_value x = scalar(g, 0.7), d;
    tw_grad(tw_add(tw_mul(x, tw_tanh(x)), tw_relu(x)), 1, &x, &d);
    double t = tanh(0.7);
    assert_float_equal(tw_item(d), t + 0.7 * (1 - t * t) + 1, 1e-12);
    assert_int_equal(tw_tape_end(g, 0, NULL), TW_OK);
}

static void unrelated_is_zero_and_stop_stops(void **state) {
    (void)state;
    tw_graph *g = tw_graph_new(context, store, TW_IMMEDIATE, NULL);
    tw_tape_begin(g);
    tw_value x[2] = {scalar(g, 2), scalar(g, 5)}, d[2];
    tw_grad(tw_mul(x[0], tw_stop_gradient(x[0])), 2, x, d);
    assert_float_equal(tw_item(d[0]), 2, 1e-12);
    assert_float_equal(tw_item(d[1]), 0, 0);
    assert_int_equal(tw_tape_end(g, 0, NULL), TW_OK);
}

/* A reference means the latest version that y depends on. */
static void versions(void **state) {
    (void)state;
    tw_graph *g = tw_graph_new(context, store, TW_IMMEDIATE, NULL);
    tw_tape_begin(g);
    tw_value w = tw_parameter(g, "w", TW_F64, TW_SHAPE(), tw_constant_init(3)), d;
    tw_value before = tw_mul(w, w);
    tw_assign(w, tw_scale(w, 10));
    tw_value after = tw_mul(w, w);
    tw_grad(before, 1, &w, &d);
    assert_float_equal(tw_item(d), 6, 1e-12);
    tw_grad(after, 1, &w, &d);
    assert_float_equal(tw_item(d), 60, 1e-12);
    assert_int_equal(tw_tape_end(g, 0, NULL), TW_OK);
    tw_tape_begin(g);
    w = tw_parameter(g, "w", TW_F64, TW_SHAPE(), tw_constant_init(3));
    assert_float_equal(tw_item(w), 30, 1e-12);
    assert_int_equal(tw_tape_end(g, 0, NULL), TW_OK);
}

static void embedding_gradient_is_sparse(void **state) {
    (void)state;
    tw_graph *g = tw_graph_new(context, store, TW_IMMEDIATE, NULL);
    tw_tape_begin(g);
    const int32_t first[] = {4, 1, -1}, second[] = {1};
    tw_value table = tw_parameter(g, "table", TW_F32, TW_SHAPE(6, 2), tw_normal(1)), d, at, rows;
    tw_value a = tw_take(table, tw_constant_of(g, TW_I32, TW_SHAPE(3), first));
    tw_value b = tw_take(table, tw_constant_of(g, TW_I32, TW_SHAPE(1), second));
    tw_value y = tw_add(tw_sum(a), tw_scale(tw_sum(b), 10));
    tw_grad(y, 1, &table, &d);
    assert_true(tw_grad_sparse(d, &at, &rows));
    assert_int_equal(tw_shape_of(at).dim[0], 4);
    float dense[12];
    assert_int_equal(tw_read(d, dense, sizeof dense), TW_OK);
    const float expected[12] = {0, 0, 11, 11, 0, 0, 0, 0, 1, 1, 0, 0};
    assert_memory_equal(dense, expected, sizeof dense);
    tw_grad(tw_sum(tw_mul(table, table)), 1, &table, &d);
    assert_false(tw_grad_sparse(d, &at, &rows));
    assert_int_equal(tw_tape_end(g, 0, NULL), TW_OK);
}

static void parameters_in_order(void **state) {
    (void)state;
    tw_graph *g = tw_graph_new(context, store, TW_SYMBOLIC, NULL);
    tw_value a = tw_parameter(g, "a", TW_F32, TW_SHAPE(2), tw_normal(1));
    tw_value b = tw_parameter(g, "b", TW_F32, TW_SHAPE(2), tw_normal(1));
    tw_value c = tw_variable(g, "c", TW_F32, TW_SHAPE(2), tw_normal(1));
    tw_value y = tw_sum(tw_mul(tw_mul(c, a), a)), list[2];
    assert_int_equal(tw_parameters(y, 2, list), 1);
    assert_string_equal(tw_path(list[0]), "a");
    assert_int_equal(tw_parameters(tw_add(y, tw_sum(b)), 1, list), 2);
    assert_int_equal(tw_graph_status(g), TW_OK);
}

static void errors_name_shapes_and_stick(void **state) {
    (void)state;
    tw_graph *g = tw_graph_new(context, store, TW_SYMBOLIC, NULL);
    tw_scope_begin(g, "layer%d", 3);
    tw_value a = tw_input(g, "a", TW_F32, TW_SHAPE(2, 3)),
             b = tw_input(g, "b", TW_F32, TW_SHAPE(4));
    tw_value bad = tw_matmul(a, tw_add(a, b)), d;
    assert_false(tw_ok(bad));
    assert_non_null(strstr(tw_message(context), "layer3"));
    assert_non_null(strstr(tw_message(context), "[2,3]"));
    char first[512];
    strncpy(first, tw_message(context), sizeof first - 1);
    tw_grad(bad, 1, &a, &d);
    assert_false(tw_ok(d));
    assert_null(tw_compile(g, TW_VALUES(a, b), TW_VALUES(bad), NULL));
    assert_memory_equal(tw_message(context), first, strlen(first));
}

static void stale_values_are_refused(void **state) {
    (void)state;
    tw_graph *g = tw_graph_new(context, store, TW_IMMEDIATE, NULL);
    tw_tape_begin(g);
    tw_value kept = tw_add(scalar(g, 1), scalar(g, 2)), stale = tw_add(kept, kept);
    assert_int_equal(tw_tape_end(g, 1, &kept), TW_OK);
    tw_tape_begin(g);
    assert_float_equal(tw_item(tw_add(kept, kept)), 6, 0);
    assert_false(tw_ok(tw_add(stale, stale)));
    assert_int_equal(tw_tape_end(g, 0, NULL), TW_ERR_STALE);
    tw_tape_begin(g);
    assert_float_equal(tw_item(kept), 3, 0);
    assert_int_equal(tw_tape_end(g, 0, NULL), TW_OK);
}

/* Assigns of a nested tape reach the store with the outermost end, and only if that is good. */
static void nested_tapes(void **state) {
    (void)state;
    tw_graph *g = tw_graph_new(context, store, TW_IMMEDIATE, NULL);
    tw_value w = tw_parameter(g, "w", TW_F64, TW_SHAPE(), tw_constant_init(1));
    tw_tape_begin(g);
    tw_assign(w, tw_scale(w, 2));
    tw_tape_begin(g);
    tw_assign(w, tw_scale(w, 10));
    tw_value v = tw_variable(g, "v", TW_F64, TW_SHAPE(), tw_constant_init(5));
    tw_assign(v, tw_shift(v, 1));
    assert_int_equal(tw_tape_end(g, 0, NULL), TW_OK);
    assert_float_equal(tw_item(w), 20, 0);
    assert_float_equal(tw_tensor_item(tw_store_get(store, "w")), 1, 0);
    tw_tape_begin(g);
    tw_assign(w, tw_scale(w, 100));
    tw_fail(g, "no");
    assert_int_equal(tw_tape_end(g, 0, NULL), TW_ERR_ARGUMENT);
    assert_float_equal(tw_item(w), 20, 0);
    assert_int_equal(tw_tape_end(g, 0, NULL), TW_OK);
    assert_float_equal(tw_tensor_item(tw_store_get(store, "w")), 20, 0);
    assert_float_equal(tw_tensor_item(tw_store_get(store, "v")), 6, 0);
    assert_float_equal(tw_item(w), 20, 0);
    tw_tape_begin(g);
    tw_assign(w, tw_scale(w, 3));
    tw_fail(g, "no");
    assert_int_equal(tw_tape_end(g, 0, NULL), TW_ERR_ARGUMENT);
    assert_float_equal(tw_item(w), 20, 0);
}

/* A handle reads what the store has now, also when a program or another graph moved it on. */
static void handles_follow_the_store(void **state) {
    (void)state;
    tw_graph *g = tw_graph_new(context, store, TW_IMMEDIATE, NULL);
    tw_graph *other = tw_graph_new(context, store, TW_IMMEDIATE, NULL);
    tw_value w = tw_parameter(g, "w", TW_F64, TW_SHAPE(), tw_constant_init(1));
    tw_value same = tw_parameter(other, "w", TW_F64, TW_SHAPE(), tw_constant_init(1));
    tw_assign(same, tw_shift(same, 1));
    tw_assign(same, tw_shift(same, 1));
    assert_float_equal(tw_item(w), 3, 0);
    tw_tape_begin(g);
    tw_assign(w, tw_shift(w, 1));
    assert_int_equal(tw_tape_end(g, 0, NULL), TW_OK);
    assert_float_equal(tw_item(same), 4, 0);
}

static void tapes_bound_scopes(void **state) {
    (void)state;
    tw_graph *g = tw_graph_new(context, store, TW_IMMEDIATE, NULL);
    tw_tape_begin(g);
    tw_scope_begin(g, "open");
    assert_int_equal(tw_tape_end(g, 0, NULL), TW_ERR_ARGUMENT);
    assert_non_null(strstr(tw_message(context), "open"));
    tw_scope_begin(g, "outer");
    tw_tape_begin(g);
    tw_scope_end(g);
    assert_int_equal(tw_tape_end(g, 0, NULL), TW_ERR_ARGUMENT);
    tw_value w = tw_parameter(g, "w", TW_F64, TW_SHAPE(), tw_constant_init(1));
    assert_string_equal(tw_path(w), "outer/w");
    tw_tape_begin(g);
    assert_int_equal(tw_tape_end(g, 1, NULL), TW_ERR_NULL);
}

/* A gradient's nodes carry the source line and scope of what they are the gradient of. */
static void metadata_is_inherited(void **state) {
    (void)state;
    tw_graph *g = tw_graph_new(context, store, TW_SYMBOLIC, NULL);
    tw_value x = tw_input(g, "x", TW_F32, TW_SHAPE(3)), d;
    tw_scope_begin(g, "layer");
    tw_source(g, "model.c:7");
    tw_value y = tw_tanh(x);
    tw_source(g, NULL);
    tw_scope_end(g);
    tw_grad(y, 1, &x, &d);
    char *text = tw_graph_print(g);
    assert_non_null(strstr(text, "= tanh(%0) : f32[3] scope=\"layer\" source=\"model.c:7\""));
    assert_non_null(strstr(text, "!backward scope=\"layer\" source=\"model.c:7\""));
    tw_string_free(context, text);
    TW_HERE(g);
    tw_add(x, tw_input(g, "y", TW_F32, TW_SHAPE(2)));
    assert_non_null(strstr(tw_message(context), "test_reverse.c:"));
}

static void draws_do_not_repeat(void **state) {
    (void)state;
    tw_graph *g = tw_graph_new(context, store, TW_IMMEDIATE, NULL);
    uint32_t bits[6];
    for (int step = 0; step < 2; step++) {
        tw_tape_begin(g);
        tw_read(tw_random_bits(g, TW_SHAPE()), &bits[3 * step], 4);
        tw_tape_begin(g);
        tw_read(tw_random_bits(g, TW_SHAPE()), &bits[3 * step + 1], 4);
        assert_int_equal(tw_tape_end(g, 0, NULL), TW_OK);
        tw_read(tw_random_bits(g, TW_SHAPE()), &bits[3 * step + 2], 4);
        assert_int_equal(tw_tape_end(g, 0, NULL), TW_OK);
    }
    for (int i = 0; i < 6; i++)
        for (int k = 0; k < i; k++) assert_int_not_equal(bits[i], bits[k]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(cube_to_third_order, start, stop),
        cmocka_unit_test_setup_teardown(shared_values_add_up, start, stop),
        cmocka_unit_test_setup_teardown(unrelated_is_zero_and_stop_stops, start, stop),
        cmocka_unit_test_setup_teardown(versions, start, stop),
        cmocka_unit_test_setup_teardown(embedding_gradient_is_sparse, start, stop),
        cmocka_unit_test_setup_teardown(parameters_in_order, start, stop),
        cmocka_unit_test_setup_teardown(errors_name_shapes_and_stick, start, stop),
        cmocka_unit_test_setup_teardown(stale_values_are_refused, start, stop),
        cmocka_unit_test_setup_teardown(nested_tapes, start, stop),
        cmocka_unit_test_setup_teardown(handles_follow_the_store, start, stop),
        cmocka_unit_test_setup_teardown(tapes_bound_scopes, start, stop),
        cmocka_unit_test_setup_teardown(metadata_is_inherited, start, stop),
        cmocka_unit_test_setup_teardown(draws_do_not_repeat, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
