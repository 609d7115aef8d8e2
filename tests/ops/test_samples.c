/*
 * Walks the operator table: every field is there, and every sample of every operator computes,
 * differentiates (first and second order), prints and parses. A new operator needs no line here.
 *
 * ops_samples [OPERATOR...] looks at these only; SEED=N draws other values.
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

#include "support/sample.h"

enum { MAX_IN = 3 * SAMPLE_OPERANDS, MAX_OPERATORS = 256 };
static const double TOLERANCE_F32 = 1e-5, TOLERANCE_GRADIENT = 1e-6;
static uint64_t seed = 1;

/* Differentiated otherwise than its numbers say, which is what it is for. */
static bool gradient_is_a_lie(const tw_operator *op) { return !strcmp(op->name, "stop_gradient"); }

static int sample_count(const tw_operator *op) {
    int n = 0;
    while (op->samples && op->samples[n].operands) n++;
    return n;
}

/* Its gradient and its batch rule are those of the function it names, as a composite's are those
 * of its body. */
static bool names_function(const tw_operator *op) {
    for (const tw_attr_spec *a = op->attributes; a && a->name; a++)
        if (a->kind == TW_ATTR_FUNCTION) return true;
    return false;
}

/* Every field of include/thalweg/operator.h. */
static void check_fields(const tw_operator *op) {
    bool composite = op->meaning == TW_MEANS_BODY, scalar = false;
    for (int i = 0; i <= TW_F64; i++) scalar = scalar || op->scalar[i];
    const struct {
        const char *field;
        bool there;
    } fields[] = {
        {"name", op->name && *op->name},
        {"formula", op->formula && *op->formula},
        {"semantics", op->semantics && *op->semantics},
        {"operands", op->operands != NULL},
        {"results", op->results && *op->results},
        {"infer", op->infer || composite},
        {"vjp or no_vjp",
         op->vjp || (op->no_vjp && *op->no_vjp) || composite || names_function(op)},
        {"batch", op->batch || composite || !*op->operands || names_function(op)},
        {"factors", op->factors || composite},
        {"cost", op->cost || composite},
        {"meaning", op->meaning >= TW_MEANS_SCALAR && op->meaning <= TW_MEANS_STATE},
        {"scalar", scalar || op->meaning != TW_MEANS_SCALAR},
        {"map", op->map || op->meaning != TW_MEANS_MAP},
        {"kernel", op->kernel || op->meaning != TW_MEANS_LOOPS},
        {"body", op->body || !composite},
        {"samples or no_samples", sample_count(op) || (op->no_samples && *op->no_samples)},
    };
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (!fields[i].there) fail_msg("operator %s has no %s", op->name, fields[i].field);
    for (const tw_attr_spec *a = op->attributes; a && a->name; a++)
        if (!a->kind || !a->doc || !*a->doc || (a->kind == TW_ATTR_CHOICE && !a->choices))
            fail_msg("operator %s, attribute %s: no kind, doc or choices", op->name, a->name);
}

/* Too few operands are refused with a message that names the operator. */
static void check_refusal(tw_context *context, const tw_operator *op) {
    if (!*op->operands || strchr("?", op->operands[strlen(op->operands) - 1])) return;
    tw_graph *g = tw_graph_new(context, NULL, TW_SYMBOLIC, NULL);
    tw_value result = tw_apply(g, op->name, 0, NULL, NULL, NULL);
    if (tw_ok(result) || !tw_graph_status(g)) fail_msg("%s accepts no operands at all", op->name);
    if (!strstr(tw_message(context), op->name))
        fail_msg("%s is not named in: %s", op->name, tw_message(context));
    tw_graph_free(g);
}

/* One run of a program on the sample's data; fails the test when it fails. */
static void run(const sample *s, tw_program *program, tw_tensor **in, tw_tensor **out) {
    if (!program) sample_fail(s, "does not compile");
    if (tw_run(program, in, out)) sample_fail(s, "does not run");
}

static void free_tensors(int n, tw_tensor **tensor) {
    for (int i = 0; i < n; i++) tw_tensor_free(tensor[i]);
}

static void compare(const sample *s, const char *what, int i, tw_tensor *a, tw_tensor *b,
                    double tolerance) {
    int64_t n, m;
    double *x = sample_numbers(s, a, &n), *y = sample_numbers(s, b, &m);
    if (n != m)
        sample_fail(s, "%s %d has %lld elements for %lld", what, i, (long long)n, (long long)m);
    double apart = sample_distance(n, x, y);
    if (!(apart <= tolerance))
        sample_fail(s, "%s %d is %g off, %g allowed", what, i, apart, tolerance);
    free(x);
    free(y);
}

/* float32 as users run it, and by the plain kernels, against the float64 reference. */
static void check_forward(tw_context *context, const tw_operator *op, int number) {
    sample s;
    sample_begin(&s, context, op, number, seed, TW_F32);
    tw_graph *g = tw_graph_new(context, NULL, TW_SYMBOLIC, NULL);
    tw_value in[MAX_IN], result[TW_MAX_RESULTS];
    int n = sample_build(&s, g, in, result);
    tw_tensor *data[SAMPLE_OPERANDS], *out[3][TW_MAX_RESULTS] = {{NULL}};
    sample_tensors(&s, data);
    const tw_compile_opts opts[] = {{.reference = true}, {.plain = true}, {0}};
    for (int k = 0; k < 3; k++) {
        tw_program *program = tw_compile(g, n, in, s.n_results, result, &opts[k]);
        run(&s, program, data, out[k]);
        tw_program_free(program);
        for (int i = 0; k && i < s.n_results; i++) {
            tw_dtype dtype = tw_dtype_of(result[i]);
            bool exact = dtype != TW_F32 && dtype != TW_F64;
            compare(&s, k == 1 ? "plain result" : "result", i, out[k][i], out[0][i],
                    exact ? 0 : TOLERANCE_F32);
        }
    }
    for (int k = 0; k < 3; k++) free_tensors(s.n_results, out[k]);
    free_tensors(n, data);
    tw_graph_free(g);
    sample_end(&s);
}

static void check_text(const sample *s, tw_graph *g) {
    if (tw_graph_verify(g)) sample_fail(s, "does not verify");
    char *first = tw_graph_print(g);
    if (!first) sample_fail(s, "does not print");
    tw_graph *again = tw_graph_parse(s->context, NULL, first);
    if (!again) sample_fail(s, "does not parse:\n%s\n", first);
    if (tw_graph_verify(again)) sample_fail(s, "does not verify when parsed");
    char *second = tw_graph_print(again);
    if (!second || strcmp(first, second)) {
        print_message("printed:\n%s\nparsed and printed:\n%s\n", first, second ? second : "");
        sample_fail(s, "changes when printed and parsed");
    }
    tw_string_free(s->context, first);
    tw_string_free(s->context, second);
    tw_graph_free(again);
}

/* A scalar of the graph, what it depends on, its analytic gradient, and data for the inputs. */
typedef struct slope {
    const char *what;
    tw_value y;
    int n_in, n_x;
    tw_value *in; /* the graph's inputs */
    tw_tensor **data;
    int x[MAX_IN]; /* which of the inputs are differentiated */
    tw_value dx[MAX_IN];
} slope;

static double value_of(const sample *s, tw_program *program, tw_tensor **in, tw_tensor **out) {
    run(s, program, in, out);
    return tw_tensor_item(out[0]);
}

/* The analytic gradient against central differences. */
static void check_slope(const sample *s, const slope *l) {
    const tw_compile_opts plain = {.plain = true};
    tw_graph *g = l->y.graph;
    tw_program *gradient = tw_compile(g, l->n_in, l->in, l->n_x, l->dx, &plain);
    tw_program *value = tw_compile(g, l->n_in, l->in, 1, &l->y, &plain);
    if (!value) sample_fail(s, "%s: does not compile", l->what);
    tw_tensor *dx[MAX_IN] = {NULL}, *y[1] = {NULL};
    run(s, gradient, l->data, dx);
    for (int i = 0; i < l->n_x; i++) {
        int64_t count;
        double *analytic = sample_numbers(s, dx[i], &count);
        double *x = tw_tensor_map(l->data[l->x[i]]);
        double *numeric = malloc((size_t)(count + 1) * sizeof *numeric);
        assert_non_null(numeric);
        if ((size_t)count * sizeof *x != tw_tensor_bytes(l->data[l->x[i]]))
            sample_fail(s, "%s %d has %lld elements", l->what, i, (long long)count);
        for (int64_t k = 0; k < count; k++) {
            double at = x[k], h = 1e-5 * fmax(1, fabs(at));
            volatile double above = at + h, below = at - h;
            x[k] = above;
            double high = value_of(s, value, l->data, y);
            x[k] = below;
            double low = value_of(s, value, l->data, y);
            x[k] = at;
            numeric[k] = (high - low) / (above - below);
        }
        double apart = sample_distance(count, analytic, numeric);
        if (!(apart <= TOLERANCE_GRADIENT))
            sample_fail(s, "%s, input %d: %g off the central differences, %g allowed", l->what, i,
                        apart, TOLERANCE_GRADIENT);
        free(analytic);
        free(numeric);
    }
    free_tensors(l->n_x, dx);
    free_tensors(1, y);
    tw_program_free(gradient);
    tw_program_free(value);
}

/* Adds sum(v * weights) to the slope's scalar, the weights being a further input with data. */
static void add_weighted(const sample *s, sample_random *random, slope *l, tw_value v, char kind) {
    char name[8];
    snprintf(name, sizeof name, "%c%d", kind, l->n_in);
    tw_graph *g = v.graph;
    tw_value weights = tw_input(g, name, TW_F64, tw_shape_of(v));
    tw_tensor *data = tw_tensor_new(s->context, TW_F64, tw_shape_of(v));
    if (!data) sample_fail(s, "no memory for %s", name);
    double *number = tw_tensor_map(data);
    size_t count = tw_tensor_bytes(data) / sizeof *number;
    for (size_t i = 0; i < count; i++) number[i] = sample_uniform(random, -1, 1);
    assert_true(l->n_in < MAX_IN);
    l->in[l->n_in] = weights;
    l->data[l->n_in++] = data;
    tw_value part = tw_sum(tw_mul(v, weights));
    l->y = tw_ok(l->y) ? tw_add(l->y, part) : part;
}

static void differentiate(const sample *s, slope *l) {
    tw_value x[MAX_IN];
    for (int i = 0; i < l->n_x; i++) x[i] = l->in[l->x[i]];
    tw_grad(l->y, l->n_x, x, l->dx);
    if (tw_graph_status(l->y.graph)) sample_fail(s, "%s: does not differentiate", l->what);
}

/* y2 = sum(gradient * further weights), for the operands and, from input `weights` on, for the
 * weights of y1. */
static void check_second(const sample *s, sample_random *random, slope *first, int weights) {
    slope second = *first;
    second.what = "second gradient";
    second.y = (tw_value){0};
    for (int i = weights; i < first->n_in; i++) second.x[second.n_x++] = i;
    for (int i = 0; i < first->n_x; i++) add_weighted(s, random, &second, first->dx[i], 'v');
    differentiate(s, &second);
    check_slope(s, &second);
    first->n_in = second.n_in;
    tw_outputs(first->y.graph, second.n_x, second.dx);
    check_text(s, first->y.graph);
}

/* y1 = sum(result * weights), for the operands; then the second order. */
static bool check_gradient(tw_context *context, const tw_operator *op, int number) {
    sample s;
    sample_begin(&s, context, op, number, seed, TW_F64);
    tw_graph *g = tw_graph_new(context, NULL, TW_SYMBOLIC, NULL);
    tw_value in[MAX_IN], result[TW_MAX_RESULTS];
    tw_tensor *data[MAX_IN];
    slope first = {.what = "gradient", .in = in, .data = data};
    sample_random random = {seed ^ UINT64_C(0x5bd1e995), 0};
    int n = sample_build(&s, g, in, result);
    sample_tensors(&s, data);
    tw_outputs(g, s.n_results, result);
    check_text(&s, g);
    first.n_in = n;
    for (int i = 0; i < n; i++)
        if (tw_dtype_of(in[i]) == TW_F64) first.x[first.n_x++] = i;
    for (int i = 0; i < s.n_results; i++)
        if (!s.residual[i] && tw_dtype_of(result[i]) == TW_F64)
            add_weighted(&s, &random, &first, result[i], 'w');

    bool smooth = (op->vjp || !op->no_vjp) && first.n_x && tw_ok(first.y) && !gradient_is_a_lie(op);
    if (smooth) {
        differentiate(&s, &first);
        check_slope(&s, &first);
        check_second(&s, &random, &first, n);
    }
    free_tensors(first.n_in, data);
    tw_graph_free(g);
    sample_end(&s);
    return smooth;
}

static void test_operator(void **state) {
    const tw_operator *op = *state;
    check_fields(op);
    tw_context *context = tw_context_new(&(tw_context_opts){.threads = 2});
    assert_non_null(context);
    int n = sample_count(op), smooth = 0;
    for (int i = 0; i < n; i++) {
        check_forward(context, op, i);
        smooth += check_gradient(context, op, i);
    }
    check_refusal(context, op);
    print_message("%s: %d samples, %d differentiated twice\n", op->name, n, smooth);
    tw_context_free(context);
}

/* An index past the end is TW_ERR_INDEX from the run; a negative one is not. */
static void check_index(tw_context *context, const char *name, int operand, bool plain) {
    const tw_operator *op = tw_operator_find(context, name);
    assert_non_null(op);
    for (int number = 0; number < sample_count(op); number++) {
        sample s;
        sample_begin(&s, context, op, number, seed, TW_F32);
        tw_graph *g = tw_graph_new(context, NULL, TW_SYMBOLIC, NULL);
        tw_value in[MAX_IN], result[TW_MAX_RESULTS];
        tw_tensor *data[SAMPLE_OPERANDS], *out[TW_MAX_RESULTS] = {NULL};
        int n = sample_build(&s, g, in, result);
        sample_tensors(&s, data);
        tw_program *program =
            tw_compile(g, n, in, s.n_results, result, &(tw_compile_opts){.plain = plain});
        if (!program) sample_fail(&s, "does not compile");
        bool wide = s.operand[operand].dtype == TW_I64;
        size_t count = tw_tensor_bytes(data[operand]) / (wide ? 8 : 4);
        for (int64_t bad = -1; count && bad <= 1000000; bad += 1000001) {
            void *last = s.data[operand];
            if (wide)
                ((int64_t *)last)[count - 1] = bad;
            else
                ((int32_t *)last)[count - 1] = (int32_t)bad;
            tw_status status = tw_run(program, data, out);
            if (status != (bad < 0 ? TW_OK : TW_ERR_INDEX))
                sample_fail(&s, "status %d for index %lld", (int)status, (long long)bad);
        }
        free_tensors(s.n_results, out);
        free_tensors(n, data);
        tw_program_free(program);
        tw_graph_free(g);
        sample_end(&s);
    }
}

static void test_index(void **state) {
    tw_context *context = *state;
    const char *const names[] = {"gather", "scatter", "cross_entropy"};
    for (int i = 0; i < 3; i++)
        for (int plain = 0; plain < 2; plain++) check_index(context, names[i], 1, plain);
}

int main(int argc, char **argv) {
    static struct CMUnitTest tests[MAX_OPERATORS + 1];
    const char *given = getenv("SEED");
    if (given) seed = strtoull(given, NULL, 10);
    tw_context *context = tw_context_new(NULL);
    if (!context) return 1;
    print_message("seed %llu\n", (unsigned long long)seed);
    size_t n = 0;
    for (int i = 0; n < MAX_OPERATORS && tw_operator_at(context, i); i++) {
        const tw_operator *op = tw_operator_at(context, i);
        bool wanted = argc < 2;
        for (int k = 1; k < argc; k++) wanted = wanted || !strcmp(argv[k], op->name);
        if (wanted)
            tests[n++] =
                (struct CMUnitTest){op->name, test_operator, NULL, NULL, (void *)(uintptr_t)op};
    }
    if (argc < 2)
        tests[n++] = (struct CMUnitTest){"index past the end", test_index, NULL, NULL, context};
    if (!n) {
        print_error("no such operator\n");
        return 1;
    }
    int failed = _cmocka_run_group_tests("operators", tests, n, NULL, NULL);
    tw_context_free(context);
    return failed != 0;
}
