/* The text form and the picture: what is printed reads back as the same graph; malformed texts give
 * an error with its place; the textbook practice graph is golden in both forms. */
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

#include "ir/graph.h"
#include "support/golden.h"

static tw_context *context;

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

static tw_graph *new_graph(void) {
    tw_store *store = tw_store_new(context, &(tw_store_opts){.seed = 1});
    tw_graph *graph = tw_graph_new(context, store, TW_SYMBOLIC, &(tw_graph_opts){.training = true});
    assert_non_null(graph);
    return graph;
}

static void check_ok(tw_status status) {
    if (status != TW_OK) fail_msg("%s", tw_message(context));
}

/* Fails unless parse(print(g)) is a graph that verifies and prints the same. */
static void check_round_trip(tw_graph *graph) {
    check_ok(tw_graph_status(graph));
    check_ok(tw_graph_verify(graph));
    char *first = tw_graph_print(graph);
    if (!first) fail_msg("%s", tw_message(context));
    tw_store *store = tw_store_new(context, NULL);
    tw_graph *again = tw_graph_parse(context, store, first);
    if (!again) fail_msg("%s, in:\n%s", tw_message(context), first);
    check_ok(tw_graph_verify(again));
    char *second = tw_graph_print(again);
    assert_string_equal(first, second);
    assert_int_equal(graph->inputs.count, again->inputs.count);
    assert_int_equal(graph->outputs.count, again->outputs.count);
    assert_int_equal(graph->variables.count, again->variables.count);
    assert_int_equal(graph->assigns.count, again->assigns.count);
    char *dot = tw_graph_dot(again);
    assert_non_null(dot);
    tw_string_free(context, dot);
    tw_string_free(context, first);
    tw_string_free(context, second);
    tw_graph_free(again);
    tw_store_free(store);
}

/* L = mse(w2 . relu(w1 x), y) and one SGD step: the textbook's practice graph. */
static tw_graph *practice(void) {
    tw_graph *g = new_graph();
    tw_value x = tw_input(g, "x", TW_F32, TW_SHAPE(784, 64));
    tw_value y = tw_input(g, "y", TW_F32, TW_SHAPE(10, 64));
    tw_value w1 = tw_parameter(g, "w1", TW_F32, TW_SHAPE(256, 784), tw_he_normal());
    tw_value w2 = tw_parameter(g, "w2", TW_F32, TW_SHAPE(10, 256), tw_he_normal());
    tw_scope_begin(g, "net");
    tw_value out = tw_matmul(w2, tw_relu(tw_matmul(w1, x)));
    tw_scope_end(g);
    tw_scope_begin(g, "loss");
    tw_value loss = tw_mse(out, y);
    tw_scope_end(g);
    tw_minimize(loss, &(tw_optimizer){.kind = TW_SGD, .rate = 0.1});
    tw_outputs(g, TW_VALUES(loss));
    return g;
}

static void practice_graph_is_golden(void **state) {
    (void)state;
    tw_graph *g = practice();
    check_round_trip(g);
    char *words = tw_graph_print(g), *dot = tw_graph_dot(g);
    golden_compare("practice.txt", words);
    golden_compare("practice.dot", dot);
    tw_string_free(context, words);
    tw_string_free(context, dot);
    tw_graph_free(g);
}

static void fused_groups_are_boxes(void **state) {
    (void)state;
    tw_graph *g = practice();
    char *dot = tw_graph_dot_passes(g, NULL);
    golden_compare("practice_fused.dot", dot);
    assert_null(tw_graph_dot_passes(g, "fold fuze"));
    assert_non_null(strstr(tw_message(context), "no pass \"fuze\""));
    tw_string_free(context, dot);
    tw_graph_free(g);
}

/* What a group only passes on comes from where it was made, and a member may be what assigns. */
static void edges_go_through_groups(void **state) {
    (void)state;
    tw_graph *g = tw_graph_parse(
        context, tw_store_new(context, NULL),
        "function @first {\n"
        "  %0 = input() {name=\"x0\", dtype=f32, shape=[3]} : f32[3]\n"
        "  %1 = neg(%0) : f32[3]\n"
        "  return %1, %0\n"
        "}\n"
        "function @second {\n"
        "  %0 = input() {name=\"x0\", dtype=f32, shape=[3]} : f32[3]\n"
        "  %1 = input() {name=\"x1\", dtype=f32, shape=[3]} : f32[3]\n"
        "  %2 = input() {name=\"x2\", dtype=f32, shape=[3]} : f32[3]\n"
        "  %3 = add(%0, %1) : f32[3]\n"
        "  %4 = mul(%3, %2) : f32[3] !update scope=\"box\"\n"
        "  return %4\n"
        "}\n"
        "graph @main {\n"
        "  %0 = variable() {path=\"v\", dtype=f32, shape=[3]} : f32[3]\n"
        "  %1 = splat() {dtype=f32, shape=[3], value=7} : f32[3]\n"
        "  %2, %3 = fused(%0) {function=@first} : f32[3], f32[3]\n"
        "  %4 = fused(%2, %1, %3) {function=@second} : f32[3] !update scope=\"box\"\n"
        "  return %3\n"
        "  assign \"v\" = %4\n"
        "}\n");
    if (!g) fail_msg("%s", tw_message(context));
    char *dot = tw_graph_dot(g);
    assert_non_null(dot);
    static const char *const wanted[] = {
        "3 forward, 0 backward and 1 update nodes, 2 fused groups",
        "  subgraph cluster_n2 {",
        "label=<first>;\n    n2_1 [",
        "    subgraph cluster_n3 {", /* in the box of its scope */
        "n0 -> n2_1 [",
        "n2_1 -> n3_3 [",
        "c3_3_1 -> n3_3 [",
        "n3_3 -> n3_4 [color=\"#4c8a3f\", weight=4];",
        "n0 -> n3_4 [color=\"#4c8a3f\", weight=0, style=dashed, dir=both, label=\"f32[3]\"];",
        "n0 -> r0 ["};
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        if (!strstr(dot, wanted[i])) fail_msg("no '%s' in\n%s", wanted[i], dot);
    tw_string_free(context, dot);
    tw_graph_free(g);
}

/* The update of fc/weight is drawn in the box of fc, and its assignment is one edge with it. */
static void update_is_drawn_beside_its_variable(void **state) {
    (void)state;
    tw_graph *g = new_graph();
    tw_value x = tw_input(g, "x", TW_F32, TW_SHAPE(4, 3));
    tw_value loss = tw_mean(tw_dense(x, "fc", 2, &(tw_dense_opts){.no_bias = true}));
    tw_minimize(loss, &(tw_optimizer){.kind = TW_SGD, .rate = 0.1});
    char *dot = tw_graph_dot(g);
    assert_non_null(dot);
    const char *box = strstr(dot, "<b>fc</b>");
    assert_non_null(box);
    const char *end = strstr(box, "\n  }"), *update = strstr(box, "label=<sgd_update");
    assert_true(update && end && update < end);
    assert_null(strstr(dot, "<b>weight</b>")); /* no box optimizer/fc/weight */
    assert_non_null(strstr(dot, "style=dashed, dir=both, label=\"f32[3,2]\""));
    tw_string_free(context, dot);
    tw_graph_free(g);
}

static void golden_text_reads_back(void **state) {
    (void)state;
    static char words[1 << 16];
    FILE *file = fopen("tests/golden/practice.txt", "r");
    assert_non_null(file);
    words[fread(words, 1, sizeof words - 1, file)] = 0;
    fclose(file);
    tw_graph *g = tw_graph_parse(context, tw_store_new(context, NULL), words);
    if (!g) fail_msg("%s", tw_message(context));
    char *again = tw_graph_print(g);
    assert_string_equal(words, again);
    tw_string_free(context, again);
}

static void convolution_round_trip(void **state) {
    (void)state;
    tw_graph *g = new_graph();
    int64_t n = tw_symbol(context, "batch");
    tw_value x = tw_input(g, "x", TW_F32, TW_SHAPE(n, 28, 28, 1));
    tw_value labels = tw_input(g, "labels", TW_I32, TW_SHAPE(n));
    tw_conv_layer_opts opts = {.conv = {.same = true, .relu = true}};
    tw_value h = tw_conv_layer(x, "conv1", 8, (int64_t[]){3, 3}, &opts);
    h = tw_max_pool(h, &(tw_pool_opts){.window = {2, 2}});
    h = tw_reshape(h, TW_SHAPE(n, 14 * 14 * 8));
    h = tw_dropout(h, 0.5, NULL);
    tw_value loss = tw_cross_entropy(tw_dense(h, "fc", 10, NULL), labels, NULL);
    tw_minimize(loss, &(tw_optimizer){.kind = TW_ADAM});
    tw_outputs(g, TW_VALUES(loss));
    check_round_trip(g);
    tw_graph_free(g);
}

static void constants_keep_their_bits(void **state) {
    (void)state;
    const double doubles[] = {0.1, -0.0, INFINITY, -INFINITY, 4.9e-324, 1.7976931348623157e308};
    const float floats[] = {0.1f, 1e-45f, 3.4028235e38f};
    const int64_t longs[] = {INT64_MIN, -1, INT64_MAX};
    const uint8_t bytes[] = {0, 1, 255};
    const bool bools[] = {true, false};
    tw_graph *g = new_graph();
    tw_value out[6] = {
        tw_constant_of(g, TW_F64, TW_SHAPE(2, 3), doubles),
        tw_constant_of(g, TW_F32, TW_SHAPE(3), floats),
        tw_constant_of(g, TW_I64, TW_SHAPE(3), longs),
        tw_constant_of(g, TW_U8, TW_SHAPE(3), bytes),
        tw_constant_of(g, TW_BOOL, TW_SHAPE(2), bools),
        tw_constant_of(g, TW_F32, TW_SHAPE(0, 2), floats),
    };
    tw_outputs(g, 6, out);
    check_round_trip(g);
    char *words = tw_graph_print(g);
    tw_graph *again = tw_graph_parse(context, NULL, words);
    assert_non_null(again);
    for (size_t i = 0; i < again->nodes.count; i++) {
        const tw_attr *old = &g->nodes.at[i].attr[2], *new = &again->nodes.at[i].attr[2];
        assert_int_equal(old->bytes, new->bytes);
        if (old->bytes) assert_memory_equal(old->data, new->data, old->bytes);
    }
    tw_string_free(context, words);
}

static void names_may_be_odd(void **state) {
    (void)state;
    tw_graph *g = new_graph();
    tw_scope_begin(g, "a \"b\"\\ <c>&\n\x01");
    tw_scope_begin(g, "inner/deep");
    tw_value x = tw_input(g, "x\ty \xc3\xa9 {", TW_F32, TW_SHAPE(2));
    tw_value w = tw_parameter(g, "w # no comment", TW_F32, TW_SHAPE(2), tw_zeros_init());
    tw_assign(w, tw_add(w, x));
    check_round_trip(g);
    tw_graph_free(g);
}

static void spaces_comments_and_gaps_are_fine(void **state) {
    (void)state;
    tw_graph *g = tw_graph_parse(context, NULL,
                                 "# by hand\ngraph @main{%3=input(){name=\"x\" dtype=f32,\n"
                                 "shape=[2,n]}:f32[2,n] # the data\n%7=neg(%3):f32[2,n]return %7}");
    if (!g) fail_msg("%s", tw_message(context));
    char *words = tw_graph_print(g);
    assert_string_equal(words, "graph @main {\n"
                               "  %0 = input() {name=\"x\", dtype=f32, shape=[2,n]} : f32[2,n]\n"
                               "  %1 = neg(%0) : f32[2,n]\n"
                               "  return %1\n"
                               "}\n");
    tw_string_free(context, words);
    tw_graph_free(g);
}

#define X "%0 = input() {name=\"x\", dtype=f32, shape=[2]} : f32[2]\n"

static const struct {
    const char *text, *error;
} malformed[] = {
    {"", "line 1, column 1: expected graph or function but the text ends"},
    {"\n\n  grph @main {}", "line 3, column 3: expected graph or function before 'grph'"},
    {"graph main {}", "line 1, column 7: expected a name such as @main before 'main'"},
    {"graph @main {\n", "line 2, column 1"},
    {"graph @main {}}", "line 1, column 15: there is more"},
    {"graph @main {\n" X "%1 = nag(%0) : f32[2]\n}", "line 3, column 6: there is no operator nag"},
    {"graph @main {\n" X "%1 = neg(%2) : f32[2]\n}", "line 3, column 10: %2 is not defined above"},
    {"graph @main {\n" X "%1 = neg(%1) : f32[2]\n}", "line 3, column 10: %1 is not defined above"},
    {"graph @main {\n" X "%0 = neg(%0) : f32[2]\n}", "line 3, column 1: %0 does not follow %0"},
    {"graph @main {\n" X "%1 = neg(%0, %0) : f32[2]\n}",
     "line 3, column 6: neg: too many operands"},
    {"graph @main {\n" X "%1 = add(%0) : f32[2]\n}", "line 3, column 6: add: too few operands"},
    {"graph @main {\n" X "%1 = neg(_) : f32[2]\n}", "line 3, column 6: neg: an operand is absent"},
    {"graph @main {\n" X "%1 = neg(%0) : f32[3]\n}", "line 3, column 6: %1 is f32[2]"},
    {"graph @main {\n" X "%1, %2 = neg(%0) : f32[2], f32[2]\n}",
     "line 3, column 10: neg has 1 results"},
    {"graph @main {\n" X "%1 = neg(%0) : f32\n}", "expected a type"},
    {"graph @main {\n" X "%1 = neg(%0) {x=1} : f32[2]\n}",
     "line 3, column 15: neg has no attribute x"},
    {"graph @main {\n" X "%1 = neg(%0) : f32[2] !sideways\n}",
     "line 3, column 24: expected backward"},
    {"graph @main {\n" X "%1 = neg(%0) : f32[2] epoch=-1\n}",
     "line 3, column 29: expected a number"},
    {"graph @main {\n" X "%1 = neg(%0) : f32[2] beside=2\n}", "line 3, column 30: expected 0 or 1"},
    {"graph @main {\n" X "%1 = neg(%0) : f32[2] scope=\"a\n\"}",
     "line 3, column 29: expected a text"},
    {"graph @main {\n" X "%1 = neg(%0 : f32[2]\n}", "line 3, column 13: expected ',' or ')'"},
    {"graph @main {\n" X "%1 = reduce(%0) {how=most, axes=[0]} : f32[]\n}",
     "attribute how: expected one"},
    {"graph @main {\n" X "%1 = reduce(%0) {how=sum, axes=[7]} : f32[]\n}",
     "line 3, column 6: reduce"},
    {"graph @main {\n" X "%1 = reduce(%0) {how=sum, axes=[0,} : f32[]\n}",
     "attribute axes: expected"},
    {"graph @main {\n" X "%1 = reduce(%0) {axes=[0], axes=[0]} : f32[]\n}", "axes is given twice"},
    {"graph @main {\n" X "%1 = transpose(%0) {axes=[1,2,3,4,5,6,7,8,9]} : f32[2]\n}", "up to 8"},
    {"graph @main {\n" X "%1 = transpose(%0) : f32[2]\n}", "attribute axes is missing"},
    {"graph @main {\n" X "return %0\nreturn %0\n}", "line 4, column 1: a second return"},
    {"graph @main {\n" X "assign \"w\" = %0\n}", "line 3, column 1: there is no variable"},
    {"graph @main {\n%99999999999999999999 = input() : f32[2]\n}",
     "line 2, column 1: expected a value"},
    {"graph @main {\n%0 = constant() {dtype=f32, shape=[3], data=[1,2]} : f32[3]\n}",
     "line 2, column 6: constant: the data has another number"},
    {"graph @main {\n%0 = constant() {dtype=u8, shape=[1], data=[256]} : u8[1]\n}",
     "line 2, column 45: attribute data: expected numbers"},
    {"graph @main {\n%0 = constant() {data=[1], dtype=u8, shape=[1]} : u8[1]\n}",
     "before the data"},
    {"graph @main {\n%0 = input() {name=\"x\", dtype=f32, shape=[-2]} : f32[2]\n}",
     "extents such as"},
    {"graph @main {\n%0 = input() {name=\"x\", dtype=f99, shape=[2]} : f32[2]\n}",
     "a type such as f32"},
    {"graph @main {\n" X "%1 = call(%0) {function=@f} : f32[2]\n}",
     "function @f is not defined above"},
    {"function @f {\n}\nfunction @f {\n}\ngraph @main {}",
     "line 3, column 12: a second function @f"},
};

static void malformed_texts_say_where(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++) {
        tw_graph *g = tw_graph_parse(context, NULL, malformed[i].text);
        if (g) fail_msg("accepted:\n%s", malformed[i].text);
        if (!strstr(tw_message(context), malformed[i].error))
            fail_msg("\"%s\" is not in the message \"%s\" for:\n%s", malformed[i].error,
                     tw_message(context), malformed[i].text);
        assert_non_null(strstr(tw_message(context), "line "));
        assert_true(tw_last_status(context) < 0);
    }
    assert_null(tw_graph_parse(context, NULL, NULL));
}

/* Every prefix of a good text, and every text with one byte changed: an error or a sound graph. */
static void damaged_texts_do_no_harm(void **state) {
    (void)state;
    tw_graph *g = practice();
    char *words = tw_graph_print(g);
    assert_non_null(words);
    size_t length = strlen(words), accepted = 0;
    for (size_t i = 0; i + 2 < length; i++) {
        char kept = words[i];
        words[i] = 0;
        assert_null(tw_graph_parse(context, NULL, words));
        words[i] = "0}%_\"[,=@x"[i % 10];
        tw_graph *damaged = tw_graph_parse(context, NULL, words);
        if (damaged) check_ok(tw_graph_verify(damaged));
        accepted += damaged != NULL;
        tw_graph_free(damaged);
        words[i] = kept;
    }
    assert_true(accepted < length);
    tw_string_free(context, words);
}

static void deep_scopes_do_no_harm(void **state) {
    (void)state;
    enum { DEPTH = 20000 };
    char *words = malloc(2 * DEPTH + 200);
    assert_non_null(words);
    char *at =
        words + sprintf(words, "graph @main {\n%%0 = iota() {dtype=i32, shape=[2], axis=0} : "
                               "i32[2] scope=\"a");
    for (int i = 0; i < DEPTH; i++) *at++ = '/', *at++ = 'a';
    strcpy(at, "\"\n}\n");
    tw_graph *g = tw_graph_parse(context, NULL, words);
    if (!g) fail_msg("%s", tw_message(context));
    char *dot = tw_graph_dot(g);
    assert_non_null(dot);
    tw_string_free(context, dot);
    tw_graph_free(g);
    free(words);
}

static void verifier_finds_damage(void **state) {
    (void)state;
    tw_graph *g = practice();
    check_ok(tw_graph_verify(g));
    node *last = &g->nodes.at[g->nodes.count - 1];
    value *result = &g->values.at[last->first_result];

    uint32_t operand = last->operand[0];
    last->operand[0] = last->first_result;
    assert_true(tw_graph_verify(g) < 0);
    assert_non_null(strstr(tw_message(context), "not computed before"));
    last->operand[0] = operand;

    result->type.shape.dim[0]++;
    assert_true(tw_graph_verify(g) < 0);
    result->type.shape.dim[0]--;

    g->outputs.at[0] = (uint32_t)g->values.count;
    assert_true(tw_graph_verify(g) < 0);
    g->outputs.at[0] = last->first_result;

    uint32_t assigned = g->assigns.at[0].value;
    g->assigns.at[0].value = g->inputs.at[0];
    assert_true(tw_graph_verify(g) < 0);
    g->assigns.at[0].value = assigned;

    last->meta.phase = (phase)7;
    assert_true(tw_graph_verify(g) < 0);
    last->meta.phase = PHASE_UPDATE;
    check_ok(tw_graph_verify(g));
    assert_int_equal(tw_graph_verify(NULL), TW_ERR_NULL);
    tw_graph_free(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(practice_graph_is_golden),
        cmocka_unit_test(fused_groups_are_boxes),
        cmocka_unit_test(edges_go_through_groups),
        cmocka_unit_test(update_is_drawn_beside_its_variable),
        cmocka_unit_test(golden_text_reads_back),
        cmocka_unit_test(convolution_round_trip),
        cmocka_unit_test(constants_keep_their_bits),
        cmocka_unit_test(names_may_be_odd),
        cmocka_unit_test(spaces_comments_and_gaps_are_fine),
        cmocka_unit_test(malformed_texts_say_where),
        cmocka_unit_test(damaged_texts_do_no_harm),
        cmocka_unit_test(deep_scopes_do_no_harm),
        cmocka_unit_test(verifier_finds_damage),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
