/* Tensor functions: what einsum, norms and gated units refuse, and symbolic extents. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "support/numbers.h"

static tw_context *context;

static int setup(void **state) {
    (void)state;
    context = tw_context_new(NULL);
    return context ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    tw_context_free(context);
    return 0;
}

static tw_graph *new_graph(void) {
    tw_graph *g = tw_graph_new(context, NULL, TW_SYMBOLIC, NULL);
    assert_non_null(g);
    return g;
}

static void refused(tw_graph *g, tw_value y, const char *says) {
    if (tw_ok(y) || !tw_graph_status(g)) fail_msg("\"%s\" was expected, and no error came", says);
    if (!strstr(tw_message(context), says))
        fail_msg("\"%s\" is not in \"%s\"", says, tw_message(context));
    tw_graph_free(g);
}

/* Operands of (2,3) and (3,4). */
static void test_einsum_refusals(void **state) {
    (void)state;
    static const struct {
        const char *equation;
        int n;
        const char *says;
    } all[] = {
        {"ij,jk->ik", 1, "more terms than operands"},
        {"ij->ij", 2, "fewer terms than operands"},
        {"ijk,jk->ik", 2, "3 letters for operand 0 of rank 2"},
        {"ij,ik->jk", 2, "letter i has another extent in operand 1"},
        {"ii", 1, "letter i has another extent in operand 0"},
        {"ij,jk->iz", 2, "stands in no operand"},
        {"ij->ii", 1, "twice in the result"},
        {"...j->j", 1, "\"...\" is not served"},
        {"i1->i", 1, "expected letters"},
        {"ij-ij", 1, "'-' without '>'"},
        {"ij->ij,", 1, "the result ends the equation"},
        {"ij->ij->", 1, "the result ends the equation"},
        {"abcdefghi", 1, "more than 8 letters"},
        {"", 1, "0 letters for operand 0"},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        tw_graph *g = new_graph();
        const tw_value x[] = {tw_zeros(g, TW_F32, TW_SHAPE(2, 3)),
                              tw_zeros(g, TW_F32, TW_SHAPE(3, 4))};
        refused(g, tw_einsum(all[i].equation, all[i].n, x), all[i].says);
    }
    tw_graph *g = new_graph();
    const tw_value mixed[] = {tw_zeros(g, TW_F32, TW_SHAPE(2)), tw_zeros(g, TW_F64, TW_SHAPE(2))};
    refused(g, tw_einsum("i,i", 2, mixed), "dot");
    g = new_graph();
    const tw_value wide[] = {tw_zeros(g, TW_F32, TW_SHAPE(1, 1, 1, 1, 1)),
                             tw_zeros(g, TW_F32, TW_SHAPE(1, 1, 1, 1)),
                             tw_zeros(g, TW_F32, TW_SHAPE(1, 1, 1, 1, 1, 1, 1, 1))};
    refused(g, tw_einsum("abcde,fghi,abcdefgh->i", 3, wide), "a product of two operands");
    g = new_graph();
    const tw_value again[] = {tw_zeros(g, TW_F32, TW_SHAPE(1, 1, 1, 1, 1)),
                              tw_zeros(g, TW_F32, TW_SHAPE(1, 1, 1, 1))};
    refused(g, tw_einsum("abcde,fghi", 2, again), "the result has more than 8 axes");
    assert_false(tw_ok(tw_einsum("i", 0, NULL)));
}

static void test_other_refusals(void **state) {
    (void)state;
    tw_graph *g = new_graph();
    refused(g, tw_glu(tw_zeros(g, TW_F32, TW_SHAPE(2, 3))), "tw_glu");
    g = new_graph();
    refused(g, tw_swiglu(tw_zeros(g, TW_F32, TW_SHAPE())), "expected an even one");
    g = new_graph();
    refused(g, tw_norm(tw_zeros(g, TW_F32, TW_SHAPE(3)), 3, 0, false), "p is 3");
    g = new_graph();
    refused(g, tw_norm(tw_zeros(g, TW_F32, TW_SHAPE(3)), 2, 1, false), "axis");
    g = new_graph();
    refused(g, tw_variance_axis(tw_zeros(g, TW_F32, TW_SHAPE(3)), 1, 0, false), "axis");
    g = new_graph();
    refused(g, tw_clip_by_norm(tw_zeros(g, TW_F32, TW_SHAPE(3)), 0), "limit is 0");
    g = new_graph();
    refused(g,
            tw_cosine_similarity(tw_zeros(g, TW_F32, TW_SHAPE(3)), tw_zeros(g, TW_F32, TW_SHAPE(2)),
                                 0, 0),
            "do not broadcast");
    g = new_graph();
    refused(g, tw_softmax_axis(tw_zeros(g, TW_F32, TW_SHAPE(3)), 1), "tw_softmax_axis");
    g = new_graph();
    refused(g, tw_logsumexp(tw_zeros(g, TW_I32, TW_SHAPE(3)), 0, false), "operand 0 is i32");
    g = new_graph();
    refused(g, tw_log_softmax(tw_zeros(g, TW_I32, TW_SHAPE(3))), "operand 0 is i32");
}

/* Each function of x (rows, columns) by its extents as symbols, against them as numbers. */
static void build(tw_value x, int n, tw_value *out) {
    const tw_value twice[] = {x, x};
    const tw_value all[] = {
        tw_einsum("rc,rd->cd", 2, twice),
        tw_einsum("ij,kj->ik", 2, twice),
        tw_einsum("ii->i", 1, (tw_value[]){tw_einsum("ri,rj", 2, twice)}),
        tw_variance_axis(x, 0, 1, true),
        tw_standard_deviation_axis(x, 1, 0, false),
        tw_norm(x, 2, 0, false),
        tw_normalize(x, 2, -1, 0),
        tw_clip_by_norm(x, 0.5),
        tw_cosine_similarity(x, tw_square(x), 0, 0),
        tw_logsumexp(x, 0, false),
        tw_softmax_axis(x, 0),
        tw_log_softmax_axis(x, 0),
    };
    assert_int_equal(n, (int)(sizeof all / sizeof *all));
    for (int i = 0; i < n; i++) out[i] = tw_sum(tw_square(all[i]));
}

static void test_symbolic(void **state) {
    (void)state;
    enum { COUNT = 12 };
    double number[2][COUNT];
    tw_tensor *data = tensor_drawn(context, TW_F64, TW_SHAPE(3, 5), 1, -2, 2);
    for (int k = 0; k < 2; k++) {
        tw_graph *g = new_graph();
        tw_shape named = TW_SHAPE(tw_symbol(context, "r"), tw_symbol(context, "c"));
        tw_value x = tw_input(g, "x", TW_F64, k ? named : TW_SHAPE(3, 5)), y[COUNT];
        tw_tensor *out[COUNT] = {NULL};
        build(x, COUNT, y);
        tw_program *program = tw_compile(g, 1, &x, COUNT, y, NULL);
        if (!program || tw_run(program, &data, out)) fail_msg("%s", tw_message(context));
        for (int i = 0; i < COUNT; i++) number[k][i] = tw_tensor_item(out[i]);
    }
    for (int i = 0; i < COUNT; i++) assert_near("symbolic", 1, &number[1][i], &number[0][i], 1e-12);
}

/* The gradient of a norm at 0 is 0, also where other elements have one. */
static void test_zero(void **state) {
    (void)state;
    tw_graph *g = new_graph();
    tw_value x = tw_input(g, "x", TW_F64, TW_SHAPE(2, 2)), dx;
    tw_grad(tw_sum(tw_norm(x, 2, 1, false)), 1, &x, &dx);
    const double number[] = {0, 0, 3, 4}, want[] = {0, 0, 0.6, 0.8};
    tw_tensor *data = tensor_of(context, TW_F64, TW_SHAPE(2, 2), number), *out = NULL;
    tw_program *program = tw_compile(g, 1, &x, 1, &dx, NULL);
    if (!program || tw_run(program, &data, &out)) fail_msg("%s", tw_message(context));
    double have[4];
    numbers_of(out, 4, have);
    assert_near("gradient", 4, have, want, 1e-15);
}

/* Negative indices give rows of zeros. */
static void test_one_hot(void **state) {
    (void)state;
    tw_graph *g = new_graph();
    tw_value at = tw_input(g, "at", TW_I32, TW_SHAPE(3)), y = tw_one_hot(at, 2, TW_F64);
    const double index[] = {1, -1, 0}, want[] = {0, 1, 0, 0, 1, 0};
    tw_tensor *data = tensor_of(context, TW_I32, TW_SHAPE(3), index), *out = NULL;
    tw_program *program = tw_compile(g, 1, &at, 1, &y, NULL);
    if (!program || tw_run(program, &data, &out)) fail_msg("%s", tw_message(context));
    double have[6];
    numbers_of(out, 6, have);
    assert_near("one hot", 6, have, want, 0);
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        EACH(test_einsum_refusals), EACH(test_other_refusals), EACH(test_symbolic), EACH(test_zero),
        EACH(test_one_hot),
    };
    return cmocka_run_group_tests_name("tensor functions", tests, NULL, NULL);
}
