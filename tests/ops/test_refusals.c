/* Composites refuse operands that their kernels could not read, by a message that names them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <thalweg/thalweg.h>

#include "ir/dimension.h"

typedef struct refusal {
    const char *name, *operands, *says;
} refusal;

static const refusal refusals[] = {
    {"relu", "i32[3]", "relu: operand 0 is i32, expected f32 or f64"},
    {"relu", "bool[3]", "operand 0 is bool"},
    {"softmax", "i32[2,3]", "operand 0 is i32"},
    {"relu_grad", "i64[3] i64[3]", "operand 0 is i64"},
    {"relu_grad", "f32[2,3] f32[3]", "operand 1 is f32[3], expected f32[2,3]"},
    {"relu_grad", "f32[3] f64[3]", "operand 1 is f64[3], expected f32[3]"},
    {"relu_grad", "f32[] f32[3]", "operand 1 is f32[3], expected f32[]"},
    {"gelu", "i32[3]", "gelu: operand 0 is i32, expected f32 or f64"},
    {"hard_tanh", "bool[3]", "operand 0 is bool"},
    {"layer_norm", "i32[3] i32[3] i32[3]", "operand 0 is i32"},
    {"layer_norm", "f32[] f32[3] f32[3]", "x has rank 0, expected at least 1"},
    {"layer_norm", "f32[2,3] f32[2] f32[3]", "operand 1 is f32[2], expected f32[3]"},
    {"layer_norm", "f32[2,3] f32[3] f64[3]", "operand 2 is f64[3], expected f32[3]"},
    {"layer_norm_grad", "f32[2,3] f32[3] f32[2] f32[2,1] f32[2,3]", "operand 2 is f32[2]"},
    {"layer_norm_grad", "f32[2,3] f32[3] f32[2,1] f32[2,3] f32[2,3]", "operand 3 is f32[2,3]"},
    {"layer_norm_grad", "f32[2,3] f32[3] f32[2,1] f32[2,1] f32[3]", "operand 4 is f32[3]"},
    {"rms_norm", "f32[2,3] f32[1,3]", "operand 1 is f32[1,3], expected f32[3]"},
    {"rms_norm_grad", "f32[2,3] f32[3] f32[2,1] f64[2,3]", "operand 3 is f64[2,3]"},
    {"batch_norm", "f32[3] f32[3] f32[3]", "x has rank 1, expected at least 2"},
    {"batch_norm", "f32[2,3] f32[3] f32[2]", "operand 2 is f32[2], expected f32[3]"},
    {"loss", "f32[2] f32[]", "two scalars"},
    {"loss", "i32[] i32[]", "operand 0 is i32"},
    {"loss", "f32[] f64[]", "operand 1 is f64[], expected f32[]"},
    {"sgd_update", "i32[3] i32[3] i32[]", "operand 0 is i32"},
    {"sgd_update", "f32[3] f32[1] f32[]", "operand 1 is f32[1], expected f32[3]"},
    {"sgd_update", "f32[3] f32[3] f32[3]", "operand 2 is f32[3], expected f32[]"},
    {"sgd_update", "f32[3] f32[3] f64[]", "operand 2 is f64[], expected f32[]"},
    {"momentum_update", "f32[3] f32[] f32[3] f32[]", "operand 1 is f32[], expected f32[3]"},
    {"momentum_update", "f32[3] f32[3] f32[2,3] f32[]", "operand 2 is f32[2,3]"},
    {"momentum_update", "f32[3] f32[3] f32[3] f32[1]", "operand 3 is f32[1], expected f32[]"},
    {"adam_update", "f32[3] f32[1] f32[3] f32[3] f32[] i64[]", "operand 1 is f32[1]"},
    {"adam_update", "f32[3] f32[3] f32[] f32[3] f32[] i64[]", "operand 2 is f32[]"},
    {"adam_update", "f32[3] f32[3] f32[3] f32[2,3] f32[] i64[]", "operand 3 is f32[2,3]"},
    {"adam_update", "f32[3] f32[3] f32[3] f32[3] f32[1] i64[]", "operand 4 is f32[1]"},
    {"adam_update", "f32[3] f32[3] f32[3] f32[3] f32[] i32[]", "operand 5 is i32[]"},
    {"adam_update", "f32[3] f32[3] f32[3] f32[3] f32[] i64[3]", "operand 5 is i64[3]"},
    {"cross_entropy", "i32[2,3] i32[2]", "operand 0 is i32"},
    {"cross_entropy", "f32[2,3] f32[2]", "operand 1 is f32, expected i32 or i64"},
    {"cross_entropy", "f32[2,3] i32[1]", "operand 1 is i32[1], expected i32[2]"},
    {"cross_entropy_grad", "f32[2,3] i32[2] f32[1] f32[2]", "operand 2 is f32[1]"},
    {"cross_entropy_grad", "f32[2,3] i32[2] f32[2] f64[2]", "operand 3 is f64[2]"},
};

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

static tw_graph *graph_with(const char *operands, int *n, tw_value *in) {
    static const char *const names[] = {"a", "b", "c", "d", "e", "f"};
    tw_graph *graph = tw_graph_new(context, NULL, TW_SYMBOLIC, NULL);
    *n = 0;
    for (const char *at = operands; *at; at += strspn(at, " ")) {
        tw_type type;
        if (!type_parse(context, &at, &type)) fail_msg("malformed: %s", operands);
        in[*n] = tw_input(graph, names[*n], type.dtype, type.shape);
        ++*n;
    }
    assert_int_equal(tw_graph_status(graph), TW_OK);
    return graph;
}

static void expect_failure(tw_graph *graph, tw_value got, const char *says) {
    assert_false(tw_ok(got));
    if (tw_graph_status(graph) == TW_OK) fail_msg("accepted; expected: %s", says);
    if (!strstr(tw_message(context), says))
        fail_msg("\"%s\" is not in: %s", says, tw_message(context));
    tw_graph_free(graph);
}

static void composites_refuse(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        const refusal *it = &refusals[i];
        tw_value in[6];
        int n;
        tw_graph *graph = graph_with(it->operands, &n, in);
        expect_failure(graph, tw_apply(graph, it->name, n, in, NULL, NULL), it->says);
    }
}

static void relu_names_the_type(void **state) {
    (void)state;
    tw_value x;
    int n;
    tw_graph *graph = graph_with("i32[3]", &n, &x);
    expect_failure(graph, tw_relu(x), "relu: operand 0 is i32");
}

static void conv_bias_wants_one_type(void **state) {
    (void)state;
    tw_value in[3];
    int n;
    tw_graph *graph = graph_with("f32[1,4,4,2] f32[3,3,2,5] f64[5]", &n, in);
    expect_failure(graph, tw_conv_bias(in[0], in[1], in[2], NULL), "operand 2 is f64[5]");
}

static void max_pool_fails_without_places(void **state) {
    (void)state;
    tw_value x;
    int n;
    tw_graph *graph = graph_with("i32[1,4,4,2]", &n, &x);
    const tw_pool_opts opts = {.window = {2, 2}}, none = {.window = {0, 2}};
    expect_failure(graph, tw_max_pool(x, &opts), "operand 0 is i32");
    graph = graph_with("f32[1,4,4,2]", &n, &x);
    expect_failure(graph, tw_max_pool(x, &none), "window has 0, expected at least 1");
}

static void max_pool_grad_wants_an_index_of_its_own(void **state) {
    (void)state;
    static const refusal wrong[] = {
        {NULL, "i64[1,2,1] f32[1,2,1]", "operand 0 is i64[1,2,1], expected i32[1,2,1]"},
        {NULL, "i32[1,1,1] f32[1,2,1]", "operand 0 is i32[1,1,1]"},
        {NULL, "i32[1,2,1] i32[1,2,1]", "operand 1 is i32"},
    };
    const tw_attr attr[] = {tw_attr_dims(TW_SHAPE(2)), tw_attr_dims(TW_SHAPE()),
                            tw_attr_dims(TW_SHAPE()), tw_attr_dims(TW_SHAPE()),
                            tw_attr_dims(TW_SHAPE(4))};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        tw_value in[2];
        int n;
        tw_graph *graph = graph_with(wrong[i].operands, &n, in);
        expect_failure(graph, tw_apply(graph, "max_pool_grad", n, in, attr, NULL), wrong[i].says);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(composites_refuse),
        cmocka_unit_test(relu_names_the_type),
        cmocka_unit_test(conv_bias_wants_one_type),
        cmocka_unit_test(max_pool_fails_without_places),
        cmocka_unit_test(max_pool_grad_wants_an_index_of_its_own),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
