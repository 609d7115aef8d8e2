/* Factors and costs of composites, derived from bodies that allow a cut and bodies that do not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include <thalweg/thalweg.h>

#include "ir/derive.h"

/* y = x / rows: the extent as a number */
static void rows_body(tw_graph *graph, const tw_signature *s, const tw_value *in, tw_value *out) {
    (void)graph;
    out[0] = tw_scale(in[0], 1.0 / (double)s->operand[0].shape.dim[0]);
}
/* y = x + 0, 1, 2, ... along axis 0 */
static void count_body(tw_graph *graph, const tw_signature *s, const tw_value *in, tw_value *out) {
    tw_type x = s->operand[0];
    out[0] = tw_add(in[0], tw_iota(graph, x.dtype, x.shape, 0));
}
/* y = sum of x along axis 0 */
static void total_body(tw_graph *graph, const tw_signature *s, const tw_value *in, tw_value *out) {
    (void)graph;
    (void)s;
    out[0] = tw_sum_axis(in[0], 0, false);
}
/* y = 2 sum of x along axis 0: the sum is not the result */
static void double_body(tw_graph *graph, const tw_signature *s, const tw_value *in, tw_value *out) {
    (void)graph;
    (void)s;
    out[0] = tw_scale(tw_sum_axis(in[0], 0, false), 2);
}
/* y = x + 1, t = sum of x along axis 0 */
static void both_body(tw_graph *graph, const tw_signature *s, const tw_value *in, tw_value *out) {
    (void)graph;
    (void)s;
    out[0] = tw_add(in[0], tw_literal(in[0], 1));
    out[1] = tw_sum_axis(in[0], 0, false);
}
/* (rows, 4 heads) -> the heads' sums (rows, 4) */
static void heads_body(tw_graph *graph, const tw_signature *s, const tw_value *in, tw_value *out) {
    (void)graph;
    tw_shape x = s->operand[0].shape;
    out[0] = tw_sum_axis(tw_reshape(in[0], TW_SHAPE(x.dim[0], 4, x.dim[1] / 4)), 2, false);
}
/* So, of as many heads as the attribute says. */
static void heads_attribute_body(tw_graph *graph, const tw_signature *s, const tw_value *in,
                                 tw_value *out) {
    (void)graph;
    tw_shape x = s->operand[0].shape;
    int64_t heads = s->attr[0].i;
    tw_shape apart = TW_SHAPE(x.dim[0], heads, tw_dim_div(s->context, x.dim[1], heads));
    out[0] = tw_sum_axis(tw_reshape(in[0], apart), 2, false);
}
/* y = x x^T: rows on both sides */
static void gram_body(tw_graph *graph, const tw_signature *s, const tw_value *in, tw_value *out) {
    (void)graph;
    (void)s;
    out[0] = tw_matmul(in[0], tw_transpose(in[0]));
}
/* y = softmax(x) + bias: a composite in a composite */
static void nested_body(tw_graph *graph, const tw_signature *s, const tw_value *in, tw_value *out) {
    (void)graph;
    (void)s;
    out[0] = tw_add(tw_softmax(in[0]), in[1]);
}

/* The factor of that dimension of operand `operand`. */
static tw_factor factor_of(int n, const tw_factor *list, int operand, int dim) {
    for (int i = 0; i < n; i++)
        if (list[i].operand[operand] == dim) return list[i];
    fail_msg("no factor for dimension %d of operand %d", dim, operand);
    return list[0];
}

typedef void (*body)(tw_graph *, const tw_signature *, const tw_value *, tw_value *);

typedef struct derived {
    int n;
    tw_factor list[TW_MAX_FACTORS];
    tw_cost cost;
} derived;

static derived derive_all(body of, int n_operands, const tw_type *operand, int n_results,
                          tw_type *result) {
    static const tw_attr_spec attributes[] = {{"heads", TW_ATTR_INT, "4", NULL, "heads"}, {0}};
    const tw_attr heads = tw_attr_int(4);
    const tw_operator op = {.name = "of_test",
                            .formula = "y",
                            .semantics = "none",
                            .operands = n_operands == 1 ? "x" : "x b",
                            .results = n_results == 1 ? "y" : "y t",
                            .attributes = attributes,
                            .meaning = TW_MEANS_BODY,
                            .body = of,
                            .no_samples = "of a test"};
    tw_context *context = tw_context_new(NULL);
    assert_non_null(context);
    assert_int_equal(tw_register(context, &op), TW_OK);
    tw_signature s = {.context = context,
                      .op = &op,
                      .n_operands = n_operands,
                      .n_results = n_results,
                      .operand = operand,
                      .result = result,
                      .attr = &heads};
    derived d = {0};
    d.n = signature_factors(&s, d.list);
    assert_int_equal(tw_last_status(context), TW_OK);
    signature_cost(&s, &d.cost);
    tw_context_free(context);
    return d;
}

static derived derive(body of, int n_operands, const tw_type *operand, tw_type result) {
    return derive_all(of, n_operands, operand, 1, &result);
}

static const tw_type matrix = {TW_F64, {2, 0, {6, 8}}}, row = {TW_F64, {1, 0, {8}}};

static void test_extent_as_number(void **state) {
    (void)state;
    derived d = derive(rows_body, 1, &matrix, matrix);
    assert_int_equal(factor_of(d.n, d.list, 0, 0).kind, TW_FACTOR_REPLICATE);
    assert_int_equal(factor_of(d.n, d.list, 0, 1).kind, TW_FACTOR_PASS);
}

static void test_place_as_number(void **state) {
    (void)state;
    derived d = derive(count_body, 1, &matrix, matrix);
    assert_int_equal(factor_of(d.n, d.list, 0, 0).kind, TW_FACTOR_REPLICATE);
    assert_int_equal(factor_of(d.n, d.list, 0, 1).kind, TW_FACTOR_PASS);
    assert_int_equal(d.cost.flops, 48);
    assert_int_equal(d.cost.bytes, 2 * 48 * 8);
}

static void test_partial(void **state) {
    (void)state;
    derived d = derive(total_body, 1, &matrix, row);
    tw_factor rows = factor_of(d.n, d.list, 0, 0), columns = factor_of(d.n, d.list, 0, 1);
    assert_int_equal(rows.kind, TW_FACTOR_REDUCE);
    assert_int_equal(rows.reduction, TW_SUM);
    assert_int_equal(rows.result[0], -1);
    assert_int_equal(columns.kind, TW_FACTOR_PASS);
    assert_int_equal(columns.result[0], 0);
    d = derive(double_body, 1, &matrix, row);
    assert_int_equal(factor_of(d.n, d.list, 0, 0).kind, TW_FACTOR_REPLICATE);
}

static void test_cut_and_partial(void **state) {
    (void)state;
    tw_type results[] = {matrix, row};
    derived d = derive_all(both_body, 1, &matrix, 2, results);
    tw_factor rows = factor_of(d.n, d.list, 0, 0);
    assert_int_equal(rows.kind, TW_FACTOR_REDUCE);
    assert_int_equal(rows.result[0], 0);
    assert_int_equal(rows.result[1], -1);
}

static void test_part_of_dimension(void **state) {
    (void)state;
    const tw_type sums = {TW_F64, {2, 0, {6, 4}}};
    derived d = derive(heads_body, 1, &matrix, sums);
    /* Dimension 1 is heads, then what is within a head. */
    tw_factor heads = factor_of(d.n, d.list, 0, 1);
    assert_int_equal(factor_of(d.n, d.list, 0, 0).kind, TW_FACTOR_PASS);
    assert_int_equal(heads.kind, TW_FACTOR_REPLICATE); /* the body states 4 itself */
    assert_int_equal(heads.size, 8);
    d = derive(heads_attribute_body, 1, &matrix, sums);
    heads = factor_of(d.n, d.list, 0, 1);
    assert_int_equal(heads.kind, TW_FACTOR_PASS);
    assert_int_equal(heads.size, 4);
    assert_int_equal(heads.attr.extent, 1);
    tw_factor within = factor_of(d.n - 1, d.list + 2, 0, 1);
    assert_int_equal(within.kind, TW_FACTOR_REPLICATE);
    assert_int_equal(within.size, 2);
}

static void test_conflict(void **state) {
    (void)state;
    const tw_type square = {TW_F64, {2, 0, {6, 6}}};
    derived d = derive(gram_body, 1, &matrix, square);
    assert_int_equal(factor_of(d.n, d.list, 0, 0).kind, TW_FACTOR_REPLICATE);
    assert_int_equal(factor_of(d.n, d.list, 0, 1).kind, TW_FACTOR_REDUCE);
}

static void test_nested(void **state) {
    (void)state;
    const tw_type in[] = {matrix, row};
    derived d = derive(nested_body, 2, in, matrix);
    tw_factor rows = factor_of(d.n, d.list, 0, 0), columns = factor_of(d.n, d.list, 0, 1);
    assert_int_equal(rows.kind, TW_FACTOR_PASS);
    assert_int_equal(rows.size, 6);
    assert_int_equal(rows.operand[1], -1);
    assert_int_equal(rows.result[0], 0);
    assert_int_equal(columns.kind, TW_FACTOR_REPLICATE);
}

static void test_open_extent(void **state) {
    (void)state;
    tw_context *context = tw_context_new(NULL);
    tw_type open = matrix;
    open.shape.dim[0] = tw_symbol(context, "batch");
    tw_type result = open;
    tw_signature s = {.context = context,
                      .op = tw_operator_find(context, "softmax"),
                      .n_operands = 1,
                      .n_results = 1,
                      .operand = &open,
                      .result = &result};
    tw_factor list[TW_MAX_FACTORS];
    int n = signature_factors(&s, list);
    tw_factor rows = factor_of(n, list, 0, 0);
    assert_int_equal(rows.kind, TW_FACTOR_PASS);
    assert_true(rows.size == open.shape.dim[0]);
    tw_context_free(context);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_extent_as_number), cmocka_unit_test(test_place_as_number),
        cmocka_unit_test(test_partial),          cmocka_unit_test(test_part_of_dimension),
        cmocka_unit_test(test_conflict),         cmocka_unit_test(test_cut_and_partial),
        cmocka_unit_test(test_nested),           cmocka_unit_test(test_open_extent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
