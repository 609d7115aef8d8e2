/*
 * The rules of algebra, one small graph each: all of them after `simplify` in one golden text, each with
 * its bits before and after where NaN, infinities and zeros of both signs go in, and what is no rule.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <thalweg/thalweg.h>

#include "support/golden.h"
#include "support/passes.h"

static tw_value x_of(tw_graph *g) { return tw_input(g, "x", TW_F32, TW_SHAPE(3, 4)); }
static tw_value y_of(tw_graph *g) { return tw_input(g, "y", TW_F32, TW_SHAPE(3, 4)); }
static tw_value row_of(tw_graph *g) { return tw_input(g, "row", TW_F32, TW_SHAPE(4)); }
static tw_value integers(tw_graph *g) { return tw_cast(x_of(g), TW_I32); }
static tw_value truth(tw_value x) { return tw_compare(TW_GT, x, tw_literal(x, 0)); }
static tw_value times(tw_value x, double c) { return tw_mul(x, tw_literal(x, c)); }
static tw_value padded(tw_value x, int64_t low, int64_t high) { return tw_pad(x, 1, low, high, 7); }
static tw_value joined(int axis, tw_value a, tw_value b) {
    return tw_concat(axis, 2, (tw_value[]){a, b});
}

/* A graph of x, y and a row; R is the result. */
#define CASE(name, result)                                                                         \
    static void name(tw_graph *g, tw_value *out) {                                                 \
        tw_value x = x_of(g), y = y_of(g), row = row_of(g);                                        \
        (void)x, (void)y, (void)row;                                                               \
        *out = result;                                                                             \
    }

CASE(add_nothing, tw_add(x, tw_literal(x, -0.0)))
CASE(add_negated, tw_add(tw_neg(x), y))
CASE(subtract_nothing, tw_sub(x, tw_literal(x, 0)))
CASE(subtract_negated, tw_sub(x, tw_neg(y)))
CASE(multiply_by_one, times(x, 1))
CASE(multiply_by_minus_one, times(x, -1))
CASE(multiply_integers_by_zero, tw_cast(times(integers(g), 0), TW_F32))
CASE(product_of_negated, tw_mul(tw_neg(x), tw_neg(y)))
CASE(multiple_of_negated, times(tw_neg(x), 3))
CASE(quotient_of_negated, tw_div(tw_neg(x), tw_neg(y)))
CASE(divide_by_one, tw_div(x, tw_literal(x, 1)))
CASE(divide_by_power_of_two, tw_div(x, tw_literal(x, 8)))
CASE(power_0, tw_pow(x, tw_literal(x, 0)))
CASE(power_1, tw_pow(x, tw_literal(x, 1)))
CASE(power_2, tw_pow(x, tw_literal(x, 2)))
CASE(power_3, tw_pow(x, tw_literal(x, 3)))
CASE(power_minus_1, tw_pow(x, tw_literal(x, -1)))
CASE(negate_twice, tw_neg(tw_neg(x)))
CASE(negate_multiple, tw_neg(times(x, 3)))
CASE(abs_of_abs, tw_abs(tw_abs(x)))
CASE(abs_of_negated, tw_abs(tw_neg(x)))
CASE(max_of_itself, tw_max(x, x))
CASE(max_again, tw_max(tw_max(x, y), y))
CASE(min_again, tw_min(y, tw_min(y, x)))
CASE(relu_of_relu, tw_relu(tw_relu(x)))
CASE(and_true, tw_cast(tw_and(truth(x), tw_full(g, TW_BOOL, TW_SHAPE(3, 4), 1)), TW_F32))
CASE(or_zero, tw_cast(tw_or(integers(g), tw_literal(integers(g), 0)), TW_F32))
CASE(not_twice, tw_cast(tw_not(tw_not(truth(x))), TW_F32))
CASE(select_the_same, tw_select(truth(x), y, y))
CASE(select_equal_numbers, tw_select(truth(x), tw_literal(x, 2), tw_literal(x, 2)))
CASE(select_known, tw_select(tw_full(g, TW_BOOL, TW_SHAPE(3, 4), 0), x, y))
CASE(select_by_not, tw_select(tw_not(truth(x)), x, y))
CASE(stop_gradient, tw_stop_gradient(x))
CASE(cast_to_the_same, tw_apply(g, "cast", 1, &x, (tw_attr[]){{.i = TW_F32}}, NULL))
CASE(cast_there_and_back, tw_cast(tw_cast(x, TW_F64), TW_F32))
CASE(reduce_one_element, tw_sum_axis(tw_reshape(x, TW_SHAPE(3, 1, 4)), 1, false))
CASE(max_of_broadcast, tw_max_axis(tw_broadcast(row, TW_SHAPE(3, 4)), 0, false))
CASE(units_after, tw_exp(tw_reshape(x, TW_SHAPE(3, 1, 4))))
CASE(transpose_after, tw_transpose(tw_mul(tw_transpose(x), tw_transpose(y))))
CASE(reshape_to_the_same, tw_reshape(x, TW_SHAPE(3, 4)))
CASE(reshape_of_reshape, tw_reshape(tw_reshape(x, TW_SHAPE(2, 6)), TW_SHAPE(12)))
CASE(reshape_back, tw_reshape(tw_reshape(x, TW_SHAPE(2, 6)), TW_SHAPE(3, 4)))
CASE(reshape_of_spread, tw_reshape(tw_broadcast(tw_sum(x), TW_SHAPE(3, 4)), TW_SHAPE(2, 6)))
CASE(broadcast_to_the_same,
     tw_apply(g, "broadcast", 1, &x,
              (tw_attr[]){tw_attr_dims(TW_SHAPE(3, 4)), tw_attr_dims(TW_SHAPE(0, 1))}, NULL))
CASE(broadcast_of_broadcast, tw_broadcast(tw_broadcast(row, TW_SHAPE(3, 4)), TW_SHAPE(2, 3, 4)))
CASE(transpose_nothing, tw_permute(x, (const int[]){0, 1}))
CASE(transpose_twice, tw_transpose(tw_transpose(x)))
CASE(transpose_of_broadcast, tw_transpose(tw_broadcast(row, TW_SHAPE(3, 4))))
CASE(slice_of_everything, tw_slice(x, 1, 0, 4))
CASE(slice_of_slice, tw_slice_step(tw_slice_step(x, 1, 1, 4, 1), 1, 0, 3, 2))
CASE(slice_of_other_axis, tw_slice(tw_slice(x, 1, 1, 2), 0, 1, 2))
CASE(slice_of_concat, tw_slice(joined(1, x, y), 1, 5, 2))
CASE(slice_of_whole_part, tw_slice(joined(0, x, y), 0, 3, 3))
CASE(slice_of_pad, tw_slice(padded(x, 2, 1), 1, 3, 2))
CASE(slice_of_broadcast, tw_slice(tw_broadcast(row, TW_SHAPE(3, 4)), 1, 1, 2))
CASE(concat_of_one, tw_concat(0, 1, &x))
CASE(concat_with_empty, joined(0, tw_slice(y, 0, 1, 0), x))
CASE(concat_of_concat, joined(0, joined(0, x, y), x))
CASE(concat_of_neighbours, joined(1, tw_slice(x, 1, 0, 1), tw_slice(x, 1, 1, 2)))
CASE(concat_of_all, joined(1, tw_slice(x, 1, 0, 1), tw_slice(x, 1, 1, 3)))
CASE(pad_by_nothing, tw_pad(x, 0, 0, 0, 1))
CASE(pad_of_pad, padded(padded(x, 1, 0), 2, 3))
CASE(reverse_twice, tw_reverse(tw_reverse(x, 1), 1))
CASE(reverse_one, tw_reverse(tw_reshape(x, TW_SHAPE(12, 1)), 1))
CASE(reverse_both, tw_reverse(tw_reverse(x, 0), 1))

static void select_again(tw_graph *g, tw_value *out) {
    tw_value x = x_of(g), y = y_of(g), where = truth(x);
    *out = tw_select(where, tw_select(where, x, y), tw_neg(y));
}

static void any_of_any(tw_graph *g, tw_value *out) {
    *out = tw_cast(tw_any(tw_any(truth(x_of(g)), 1, false), 0, false), TW_F32);
}

typedef struct named {
    const char *name;
    graph_maker make;
} named;
#define NAMED(name) {#name, name}

static const named rules[] = {
    NAMED(add_nothing),
    NAMED(add_negated),
    NAMED(subtract_nothing),
    NAMED(subtract_negated),
    NAMED(multiply_by_one),
    NAMED(multiply_by_minus_one),
    NAMED(multiply_integers_by_zero),
    NAMED(product_of_negated),
    NAMED(multiple_of_negated),
    NAMED(quotient_of_negated),
    NAMED(divide_by_one),
    NAMED(divide_by_power_of_two),
    NAMED(power_0),
    NAMED(power_1),
    NAMED(power_2),
    NAMED(power_3),
    NAMED(power_minus_1),
    NAMED(negate_twice),
    NAMED(negate_multiple),
    NAMED(abs_of_abs),
    NAMED(abs_of_negated),
    NAMED(max_of_itself),
    NAMED(max_again),
    NAMED(min_again),
    NAMED(relu_of_relu),
    NAMED(and_true),
    NAMED(or_zero),
    NAMED(not_twice),
    NAMED(select_the_same),
    NAMED(select_equal_numbers),
    NAMED(select_known),
    NAMED(select_by_not),
    NAMED(select_again),
    NAMED(stop_gradient),
    NAMED(cast_to_the_same),
    NAMED(cast_there_and_back),
    NAMED(reduce_one_element),
    NAMED(max_of_broadcast),
    NAMED(any_of_any),
    NAMED(units_after),
    NAMED(transpose_after),
    NAMED(reshape_to_the_same),
    NAMED(reshape_of_reshape),
    NAMED(reshape_back),
    NAMED(reshape_of_spread),
    NAMED(broadcast_to_the_same),
    NAMED(broadcast_of_broadcast),
    NAMED(transpose_nothing),
    NAMED(transpose_twice),
    NAMED(transpose_of_broadcast),
    NAMED(slice_of_everything),
    NAMED(slice_of_slice),
    NAMED(slice_of_other_axis),
    NAMED(slice_of_concat),
    NAMED(slice_of_whole_part),
    NAMED(slice_of_pad),
    NAMED(slice_of_broadcast),
    NAMED(concat_of_one),
    NAMED(concat_with_empty),
    NAMED(concat_of_concat),
    NAMED(concat_of_neighbours),
    NAMED(concat_of_all),
    NAMED(pad_by_nothing),
    NAMED(pad_of_pad),
    NAMED(reverse_twice),
    NAMED(reverse_one),
    NAMED(reverse_both),
};
enum { RULES = sizeof rules / sizeof *rules };

/* Each graph changes, and changes into this. */
static void test_rules(void **state) {
    (void)state;
    static char all[1 << 17], before[1 << 16];
    size_t length = 0;
    for (int i = 0; i < RULES; i++) {
        strcpy(before, passes_after(rules[i].make, "expand dead"));
        const char *text = passes_after(rules[i].make, "expand simplify dead");
        if (!strcmp(before, text)) fail_msg("%s changes nothing", rules[i].name);
        length += (size_t)snprintf(all + length, sizeof all - length, "%s\n", rules[i].name);
        for (const char *line = text; *line; line += strcspn(line, "\n") + 1)
            if (strncmp(line, "graph", 5) && strncmp(line, "}", 1) && !strstr(line, "= input("))
                length += (size_t)snprintf(all + length, sizeof all - length, "%.*s\n",
                                           (int)strcspn(line, "\n"), line);
        assert_true(length < sizeof all);
    }
    golden_compare("pass_simplify_rules.txt", all);
}

static void test_bits(void **state) {
    (void)state;
    for (int i = 0; i < RULES; i++) passes_exact(rules[i].make);
}

/* Another sign of zero, NaN, another rounding, another type's range, other places. */
CASE(add_zero, tw_add(x, tw_literal(x, 0)))
CASE(subtract_minus_zero, tw_sub(x, tw_literal(x, -0.0)))
CASE(multiply_by_zero, times(x, 0))
CASE(subtract_itself, tw_sub(x, x))
CASE(negate_difference, tw_neg(tw_sub(x, y)))
CASE(two_constants, times(times(x, 0.1), 0.3))
CASE(divide_by_three, tw_div(x, tw_literal(x, 3)))
CASE(square_root_of_square, tw_sqrt(tw_mul(x, x)))
CASE(power_half, tw_pow(x, tw_literal(x, 0.5)))
CASE(max_other_tie, tw_max(tw_max(y, x), y))
CASE(select_zeros, tw_select(truth(x), tw_literal(x, 0), tw_literal(x, -0.0)))
CASE(cast_narrow, tw_cast(tw_cast(x, TW_BF16), TW_F32))
CASE(cast_saturating, tw_cast(tw_cast(tw_cast(integers(g), TW_F64), TW_U8), TW_F32))
CASE(sum_of_broadcast, tw_sum_axis(tw_broadcast(row, TW_SHAPE(3, 4)), 0, false))
CASE(sum_of_sum, tw_sum_axis(tw_sum_axis(x, 1, false), 0, false))
CASE(max_of_part_broadcast, tw_max_axis(tw_broadcast(row, TW_SHAPE(3, 4)), 1, false))
CASE(slice_of_both, tw_slice(joined(1, x, y), 1, 3, 2))
CASE(slice_of_margin, tw_slice(padded(x, 2, 1), 1, 1, 2))
CASE(concat_with_gap, joined(1, tw_slice(x, 1, 0, 1), tw_slice(x, 1, 2, 2)))
CASE(concat_turned, joined(1, tw_slice(x, 1, 2, 2), tw_slice(x, 1, 0, 2)))
CASE(concat_other_axis, joined(0, joined(1, x, y), joined(1, y, x)))
CASE(pad_other_value, tw_pad(padded(x, 1, 0), 1, 2, 3, 8))
CASE(transposes_that_differ, tw_mul(tw_permute(tw_reshape(x, TW_SHAPE(2, 2, 3)), (int[]){1, 0, 2}),
                                    tw_permute(tw_reshape(y, TW_SHAPE(2, 3, 2)), (int[]){0, 2, 1})))

static void transpose_read_twice(tw_graph *g, tw_value *out) {
    tw_value t = tw_transpose(x_of(g));
    *out = tw_concat(0, 2, (tw_value[]){tw_exp(t), t});
}

static void test_no_rules(void **state) {
    (void)state;
    static const named none[] = {
        NAMED(add_zero),
        NAMED(subtract_minus_zero),
        NAMED(multiply_by_zero),
        NAMED(subtract_itself),
        NAMED(negate_difference),
        NAMED(two_constants),
        NAMED(divide_by_three),
        NAMED(square_root_of_square),
        NAMED(power_half),
        NAMED(max_other_tie),
        NAMED(select_zeros),
        NAMED(cast_narrow),
        NAMED(cast_saturating),
        NAMED(sum_of_broadcast),
        NAMED(sum_of_sum),
        NAMED(max_of_part_broadcast),
        NAMED(slice_of_both),
        NAMED(slice_of_margin),
        NAMED(concat_with_gap),
        NAMED(concat_turned),
        NAMED(concat_other_axis),
        NAMED(pad_other_value),
        NAMED(transposes_that_differ),
        NAMED(transpose_read_twice),
    };
    static char before[1 << 16];
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        strcpy(before, passes_after(none[i].make, "expand dead"));
        if (strcmp(before, passes_after(none[i].make, "expand simplify dead")))
            fail_msg("%s is no rule, but becomes\n%s", none[i].name,
                     passes_after(none[i].make, "expand simplify dead"));
    }
}

/* f16: 2^-20 has no reciprocal, and x x x would round twice; u8: |-1| is 255. */
static void halves(tw_graph *g, tw_value *out) {
    tw_value x = tw_input(g, "x", TW_F16, TW_SHAPE(3, 4));
    x = tw_div(tw_div(x, tw_literal(x, 0x1p-20)), tw_literal(x, 0x1p-3));
    *out = tw_pow(tw_div(x, tw_literal(x, 0x1p20)), tw_literal(x, 3));
}

static void unsigned_neg(tw_graph *g, tw_value *out) {
    *out = tw_abs(tw_neg(tw_input(g, "x", TW_U8, TW_SHAPE(3))));
}

static void test_types(void **state) {
    (void)state;
    const char *text = passes_after(halves, NULL);
    assert_int_equal(passes_count(text, "div("), 2);
    assert_int_equal(passes_count(text, "pow("), 1);
    assert_int_equal(passes_count(passes_after(unsigned_neg, NULL), "neg("), 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_bits),
        cmocka_unit_test(test_no_rules),
        cmocka_unit_test(test_types),
    };
    return cmocka_run_group_tests_name("simplify", tests, NULL, NULL);
}
