/* What is known of signs, value by value; and that exp without its limit gives the bits that it gives with it. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include <thalweg/thalweg.h>

#include "codegen/generated/sign.h"

/* The last value of the text: whether it is never positive. */
static const struct {
    const char *text;
    bool known;
} cases[] = {
    {"%1 = abs(%0) : f32[3,3]\n%2 = neg(%1) : f32[3,3]\n", true},
    {"%1 = abs(%0) : f32[3,3]\n", false},
    {"%1 = neg(%0) : f32[3,3]\n", false},
    {"%1 = mul(%0, %0) : f32[3,3]\n%2 = neg(%1) : f32[3,3]\n", true},
    {"%1 = mul(%0, %0) : f32[3,3]\n%2 = splat() {dtype=f32, shape=[3,3], value=-0.5} : f32[3,3]\n"
     "%3 = mul(%1, %2) : f32[3,3]\n",
     true},
    {"%1 = mul(%0, %0) : f32[3,3]\n%2 = splat() {dtype=f32, shape=[3,3], value=0.5} : f32[3,3]\n"
     "%3 = mul(%1, %2) : f32[3,3]\n",
     false},
    {"%1 = exp(%0) : f32[3,3]\n%2 = abs(%0) : f32[3,3]\n%3 = mul(%1, %2) : f32[3,3]\n"
     "%4 = neg(%3) : f32[3,3]\n",
     true},
    {"%1 = exp(%0) : f32[3,3]\n%2 = mul(%1, %0) : f32[3,3]\n%3 = neg(%2) : f32[3,3]\n", false},
    {"%1 = reduce(%0) {how=max, axes=[1]} : f32[3]\n%2 = broadcast(%1) {shape=[3,3], axes=[0]} : "
     "f32[3,3]\n"
     "%3 = sub(%0, %2) : f32[3,3]\n",
     true},
    {"%1 = reduce(%0) {how=max, axes=[1]} : f32[3]\n%2 = broadcast(%1) {shape=[3,3], axes=[1]} : "
     "f32[3,3]\n"
     "%3 = sub(%0, %2) : f32[3,3]\n",
     false}, /* another row's maximum */
    {"%1 = reduce(%0) {how=min, axes=[1]} : f32[3]\n%2 = broadcast(%1) {shape=[3,3], axes=[0]} : "
     "f32[3,3]\n"
     "%3 = sub(%0, %2) : f32[3,3]\n",
     false},
    {"%1 = neg(%0) : f32[3,3]\n%2 = reduce(%1) {how=max, axes=[1]} : f32[3]\n"
     "%3 = broadcast(%2) {shape=[3,3], axes=[0]} : f32[3,3]\n%4 = sub(%0, %3) : f32[3,3]\n",
     false}, /* another value's */
};

static void test_signs(void **state) {
    (void)state;
    tw_context *context = tw_context_new(NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[1024];
        snprintf(text, sizeof text,
                 "graph @main {\n%%0 = input() {name=\"x\", dtype=f32, shape=[3,3]} : f32[3,3]\n%s"
                 "return %%0\n}\n",
                 cases[i].text);
        tw_graph *graph = tw_graph_parse(context, NULL, text);
        if (!graph) fail_msg("case %zu: %s", i, tw_message(context));
        const node *last = &graph->nodes.at[graph->nodes.count - 1];
        if (never_positive(graph, last->first_result) != cases[i].known)
            fail_msg("case %zu:\n%s", i, cases[i].text);
        tw_graph_free(graph);
    }
    tw_context_free(context);
}

enum { ROWS = 5, COLUMNS = 300 };

static const float extremes[] = {0.0f,  -0.0f,  INFINITY, -INFINITY, NAN,   88.7f,
                                 1e30f, -1e30f, 3e38f,    -3e38f,    1e-40f};

/* exp(-|x|), exp(-x^2 / 2) and exp(x - max x) of x[ROWS, COLUMNS]. */
static void outputs_of(bool codegen, float (*out)[ROWS * COLUMNS]) {
    tw_context *context = tw_context_new(&(tw_context_opts){.no_codegen = !codegen});
    tw_graph *graph = tw_graph_new(context, NULL, TW_SYMBOLIC, NULL);
    tw_value x = tw_input(graph, "x", TW_F32, TW_SHAPE(ROWS, COLUMNS));
    const tw_value y[] = {tw_exp(tw_neg(tw_abs(x))), tw_exp(tw_scale(tw_square(x), -0.5)),
                          tw_exp(tw_sub(x, tw_max_axis(x, 1, true)))};
    tw_program *program = tw_compile(graph, 1, &x, 3, y, NULL);
    tw_tensor *in = tw_tensor_new(context, TW_F32, TW_SHAPE(ROWS, COLUMNS)), *results[3] = {0};
    assert_non_null(program);
    assert_non_null(in);
    float *data = tw_tensor_map(in);
    for (int i = 0; i < ROWS * COLUMNS; i++)
        data[i] = (float)(i * 7 % 411 - 205) * (i % 3 ? 0.1f : 1.0f);
    for (int row = 0; row < 2; row++) /* the others' maxima are finite */
        for (size_t i = 0; i < sizeof extremes / sizeof *extremes; i++)
            data[row * COLUMNS + 20 * (int)i + row] = extremes[i];
    assert_int_equal(tw_run(program, &in, results), TW_OK);
    for (int k = 0; k < 3; k++) {
        memcpy(out[k], tw_tensor_map(results[k]), sizeof out[k]);
        tw_tensor_free(results[k]);
    }
    tw_tensor_free(in);
    tw_program_free(program);
    tw_graph_free(graph);
    tw_context_free(context);
}

static void test_bits(void **state) {
    (void)state;
    static float generated[3][ROWS * COLUMNS], plain[3][ROWS * COLUMNS];
    outputs_of(true, generated);
    outputs_of(false, plain);
    for (int k = 0; k < 3; k++)
        for (int i = 0; i < ROWS * COLUMNS; i++) {
            bool nan = isnan(plain[k][i]) && isnan(generated[k][i]);
            if (!nan && memcmp(&plain[k][i], &generated[k][i], sizeof(float)) != 0)
                fail_msg("output %d, element %d: %a, plain %a", k, i, (double)generated[k][i],
                         (double)plain[k][i]);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_signs), cmocka_unit_test(test_bits)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
