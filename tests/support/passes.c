#include "support/passes.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "support/numbers.h"

enum { MOST = 20000, INPUTS = 8, TEXT = 65536, OPEN = 6 };

int passes_count(const char *text, const char *word) {
    int n = 0;
    for (const char *at = text; (at = strstr(at, word)); at++) n++;
    return n;
}

tw_graph *passes_graph(tw_context *context, graph_maker make) {
    tw_graph *g = tw_graph_new(context, tw_store_new(context, NULL), TW_SYMBOLIC, NULL);
    tw_value out = {0};
    make(g, &out);
    tw_outputs(g, 1, &out);
    return g;
}

char *passes_after(graph_maker make, const char *passes) {
    static char kept[TEXT];
    tw_context *context = tw_context_new(NULL);
    tw_graph *g = passes_graph(context, make);
    char *text = tw_graph_print_passes(g, passes);
    if (!text) fail_msg("%s", tw_message(context));
    tw_graph *again = tw_graph_parse(context, tw_store_new(context, NULL), text);
    if (!again || tw_graph_verify(again)) fail_msg("%s\n%s", tw_message(context), text);
    assert_true(strlen(text) < sizeof kept);
    strcpy(kept, text);
    tw_string_free(context, text);
    tw_context_free(context);
    return kept;
}

/* The graph's inputs, in order. */
static int find_inputs(tw_context *context, tw_graph *g, tw_value out, tw_value *in) {
    char *text = tw_graph_print(g);
    int n = 0;
    for (uint32_t id = 1; n < INPUTS && id < 40; id++) {
        char name[32];
        snprintf(name, sizeof name, "%%%u = input(", id - 1);
        if (strstr(text, name)) in[n++] = (tw_value){g, id, out.tape};
    }
    tw_string_free(context, text);
    return n;
}

static tw_tensor *draw(tw_context *context, tw_value in, int which, bool special) {
    static const double odd[] = {-0.0, (double)NAN, 0, (double)INFINITY, -(double)INFINITY};
    static double number[MOST];
    tw_shape shape = tw_shape_of(in);
    for (int i = 0; i < shape.rank; i++)
        if (shape.dim[i] < 0) shape.dim[i] = OPEN;
    tw_tensor *data = tensor_drawn(context, TW_F32, shape, (uint64_t)which + 1, -1, 1);
    if (!special) return data;
    int n = numbers_of(data, MOST, number);
    for (int i = 0; i < n; i++)
        if (i % 3 == which % 3) number[i] = odd[i / 3 % 5];
    return tensor_of(context, TW_F32, shape, number);
}

static int run(graph_maker make, bool as_built, bool special, double *number) {
    tw_context *context = tw_context_new(NULL);
    tw_graph *g = tw_graph_new(context, NULL, TW_SYMBOLIC, NULL);
    tw_value out = {0}, in[INPUTS];
    tw_tensor *data[INPUTS], *result = NULL;
    make(g, &out);
    int inputs = find_inputs(context, g, out, in);
    for (int i = 0; i < inputs; i++) data[i] = draw(context, in[i], i, special);
    tw_program *program =
        tw_compile(g, inputs, in, 1, &out, &(tw_compile_opts){.as_built = as_built});
    if (!program || tw_run(program, data, &result)) fail_msg("%s", tw_message(context));
    int n = numbers_of(result, MOST, number);
    tw_context_free(context);
    return n;
}

static double optimised[MOST], built[MOST];

void passes_near(graph_maker make, double tolerance) {
    int n = run(make, false, false, optimised);
    assert_int_equal(run(make, true, false, built), n);
    assert_near("with passes", n, optimised, built, tolerance);
}

void passes_exact(graph_maker make) {
    int n = run(make, false, true, optimised);
    assert_int_equal(run(make, true, true, built), n);
    for (int i = 0; i < n; i++) {
        double a = optimised[i], b = built[i];
        bool same = isnan(a) ? isnan(b) : a == b && signbit(a) == signbit(b);
        if (!same) fail_msg("element %d is %g, and %g as built", i, a, b);
    }
}
