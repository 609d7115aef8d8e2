/* Extents as polynomials: arithmetic, equality by handle, text, numbers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ir/dimension.h"

static tw_context *context;

static void assert_prints(int64_t dim, const char *expected) {
    text out = {.context = context};
    dimension_print(context, dim, &out);
    char *line = text_take(&out);
    assert_string_equal(line, expected);
    const char *at = line;
    assert_true(dimension_parse(context, &at) == dim);
    assert_int_equal(*at, 0);
    tw_string_free(context, line);
}

static void arithmetic(void **state) {
    (void)state;
    int64_t n = tw_symbol(context, "batch"), m = tw_symbol(context, "length");
    assert_true(n == tw_symbol(context, "batch"));
    assert_true(n != m);
    assert_true(tw_dim_mul(context, n, m) == tw_dim_mul(context, m, n));
    int64_t p = tw_dim_add(context, tw_dim_mul(context, 2, n), 3);
    assert_prints(p, "2*batch+3");
    assert_true(tw_dim_sub(context, p, p) == 0);
    assert_true(tw_dim_sub(context, p, tw_dim_mul(context, 2, n)) == 3);
    int64_t product = tw_dim_mul(context, p, tw_dim_add(context, m, 1));
    assert_true(tw_dim_div(context, product, p) == tw_dim_add(context, m, 1));
    assert_true(tw_dim_div(context, p, 2) == TW_DIM_NONE);
    assert_true(tw_dim_div(context, tw_dim_mul(context, n, 784), 784) == n);
    assert_true(tw_dim_mul(context, INT64_MAX, 2) == TW_DIM_NONE);
    assert_true(tw_dim_div(context, 6, 4) == TW_DIM_NONE);
}

static void numbers(void **state) {
    (void)state;
    int64_t n = tw_symbol(context, "batch");
    int64_t p = tw_dim_sub(context, tw_dim_mul(context, n, n), 5);
    int64_t bound[1] = {3};
    assert_int_equal(dimension_evaluate(context, p, bound, 1), 4);
    bound[0] = 2;
    assert_true(dimension_evaluate(context, p, bound, 1) == TW_DIM_NONE); /* negative */
    bound[0] = -1;
    assert_true(dimension_evaluate(context, p, bound, 1) == TW_DIM_NONE);
    bound[0] = INT64_C(1) << 40;
    assert_true(dimension_evaluate(context, p, bound, 1) == TW_DIM_NONE); /* overflow */
}

static void assert_solved(const char *dim, int64_t batch, int64_t extent, int symbol,
                          int64_t expected) {
    const int64_t bound[] = {-1, batch};
    int64_t value = 0;
    assert_int_equal(
        dimension_solve(context, dimension_parse(context, &dim), bound, 2, extent, &value), symbol);
    if (symbol >= 0) assert_true(value == expected);
}

static void solving(void **state) {
    (void)state;
    tw_symbol(context, "n"), tw_symbol(context, "batch");
    assert_solved("n", -1, 7, 0, 7);
    assert_solved("4*n", -1, 12, 0, 3);
    assert_solved("4*n", -1, 0, 0, 0);
    assert_solved("4*n", -1, 6, 0, TW_DIM_NONE);
    assert_solved("2*n+1", -1, 7, 0, 3);
    assert_solved("n+5", -1, 4, 0, TW_DIM_NONE); /* n = -1 */
    assert_solved("n-5", -1, 4, 0, 9);
    assert_solved("-2*n+10", -1, 4, 0, 3);
    assert_solved("batch*n+batch", 3, 12, 0, 3);
    assert_solved("batch*n", 0, 0, -1, 0);  /* any n does */
    assert_solved("batch*n", -1, 6, -1, 0); /* two unknowns */
    assert_solved("n+batch", -1, 6, -1, 0);
    assert_solved("n*n", -1, 9, -1, 0); /* not linear */
    assert_solved("3*batch", 2, 6, -1, 0);
    assert_solved("batch*n", INT64_MAX, INT64_MAX, 0, 1);
    assert_solved("3*batch*n", INT64_MAX, 9, -1, 0); /* overflow */
    assert_solved("other*n", 1, 9, -1, 0);           /* a symbol that came later */
    int64_t value;
    assert_int_equal(dimension_solve(context, 4, NULL, 0, 4, &value), -1);
}

static void bad_names(void **state) {
    (void)state;
    assert_true(tw_symbol(context, "") == TW_DIM_NONE);
    assert_true(tw_symbol(context, "Batch") == TW_DIM_NONE);
    assert_true(tw_symbol(context, "abcdefghijklmnopqrstuvwxyzabcdefgh") == TW_DIM_NONE);
    assert_int_equal(tw_last_status(context), TW_ERR_ARGUMENT);
}

/* A habit from elsewhere: -1 for an extent to be found. Here it is refused, whatever symbols are. */
static void small_negative_extents_are_refused(void **state) {
    (void)state;
    for (int symbols = 0; symbols < 2; symbols++) {
        for (int64_t extent = -1; extent > -20; extent -= 3) {
            tw_graph *g = tw_graph_new(context, NULL, TW_SYMBOLIC, NULL);
            assert_false(tw_ok(tw_input(g, "x", TW_F32, TW_SHAPE(extent, 3))));
            assert_int_equal(tw_graph_status(g), TW_ERR_SHAPE);
            tw_graph_free(g);
        }
        tw_symbol(context, "batch");
    }
    assert_true(tw_dim_add(context, tw_symbol(context, "batch"), -1) == TW_DIM_NONE);
}

static int start(void **state) {
    (void)state;
    context = tw_context_new(NULL);
    return context ? 0 : -1;
}

static int stop(void **state) {
    (void)state;
    tw_context_free(context);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(arithmetic, start, stop),
        cmocka_unit_test_setup_teardown(numbers, start, stop),
        cmocka_unit_test_setup_teardown(solving, start, stop),
        cmocka_unit_test_setup_teardown(bad_names, start, stop),
        cmocka_unit_test_setup_teardown(small_negative_extents_are_refused, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
