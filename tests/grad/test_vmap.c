/*
 * vmap against a loop over the examples. It walks the operator table: every sample of every
 * operator, each operand batched alone and all of them together, for 3, 1 and 0 examples, with the
 * gradients. A new operator needs no line here.
 *
 * grad_vmap [OPERATOR...] looks at these only; SEED=N draws other values.
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

enum { EXAMPLES = 3, MAX_IN = SAMPLE_OPERANDS + TW_MAX_RESULTS, MAX_OUT = MAX_IN + TW_MAX_RESULTS };
enum { MAX_OPERATORS = 512 };
static const double TOLERANCE_F32 = 1e-6, TOLERANCE_F64 = 1e-12;
static uint64_t seed = 1;

/* A sample drawn for each example; examples share what is not batched, as the first has it. */
typedef struct trial {
    sample s[EXAMPLES];
    int64_t examples;
    int n;                         /* operands that are there */
    int operand[SAMPLE_OPERANDS];  /* which of the sample's they are */
    bool batched[SAMPLE_OPERANDS]; /* by operand that is there */
    bool gradients;
    int64_t symbol; /* the number of examples in a graph for any of them; 0: it is known */
} trial;

/* The graph's inputs and outputs: operands, weights of results; results, gradients. */
typedef struct build {
    tw_graph *graph;
    int n_in, n_out;
    tw_value in[MAX_IN], out[MAX_OUT];
    int gradient_of[MAX_OUT]; /* by output: -1, or the operand */
} build;

static void apply_sample(tw_graph *graph, const tw_value *in, tw_value *out, const void *config) {
    const sample *s = config;
    tw_value operand[SAMPLE_OPERANDS] = {{0}};
    for (int i = 0, next = 0; i < s->n_operands; i++)
        if (!s->absent[i]) operand[i] = in[next++];
    tw_apply(graph, s->op->name, s->n_operands, operand, s->op->attributes ? s->attr : NULL, out);
}

static bool is_float(tw_dtype dtype) { return dtype == TW_F32 || dtype == TW_F64; }

/* sum(result * weights) of the results, differentiated by the operands. */
static void add_gradients(const trial *t, build *b) {
    tw_value y = {0}, x[SAMPLE_OPERANDS], dx[SAMPLE_OPERANDS];
    int n_x = 0, n_results = b->n_out;
    for (int i = 0; i < n_results; i++) {
        if (t->s[0].residual[i] || !is_float(tw_dtype_of(b->out[i]))) continue;
        char name[16];
        snprintf(name, sizeof name, "w%d", i);
        tw_value weights = tw_input(b->graph, name, tw_dtype_of(b->out[i]), tw_shape_of(b->out[i]));
        b->in[b->n_in++] = weights;
        tw_value part = tw_sum(tw_mul(b->out[i], weights));
        y = y.graph ? tw_add(y, part) : part;
    }
    for (int i = 0; i < t->n; i++) {
        if (!is_float(tw_dtype_of(b->in[i]))) continue;
        b->gradient_of[b->n_out + n_x] = i;
        x[n_x++] = b->in[i];
    }
    if (!y.graph || !n_x) return;
    tw_grad(y, n_x, x, dx);
    for (int i = 0; i < n_x; i++) b->out[b->n_out++] = dx[i];
}

static tw_type type_of(const trial *t, int i, bool whole) {
    tw_type type = t->s[0].operand[t->operand[i]];
    if (whole || !t->batched[i]) return type;
    tw_type wide = {type.dtype, {.rank = type.shape.rank + 1}};
    wide.shape.dim[0] = t->symbol ? t->symbol : t->examples;
    for (int k = 0; k < type.shape.rank; k++) wide.shape.dim[k + 1] = type.shape.dim[k];
    return wide;
}

static void build_graph(const trial *t, bool loop, build *b) {
    const sample *s = &t->s[0];
    int axis[SAMPLE_OPERANDS];
    *b = (build){.graph = tw_graph_new(s->context, NULL, TW_SYMBOLIC, NULL)};
    for (int i = 0; i < MAX_OUT; i++) b->gradient_of[i] = -1;
    for (int i = 0; i < t->n; i++) {
        char name[16];
        snprintf(name, sizeof name, "x%d", i);
        tw_type type = type_of(t, i, loop);
        b->in[b->n_in++] = tw_input(b->graph, name, type.dtype, type.shape);
        axis[i] = t->batched[i] ? 0 : TW_WHOLE;
    }
    if (loop)
        apply_sample(b->graph, b->in, b->out, s);
    else
        tw_vmap(b->graph, apply_sample, s, t->n, b->in, axis, s->n_results, b->out);
    b->n_out = s->n_results;
    if (tw_graph_status(b->graph)) sample_fail(s, "does not build");
    if (t->gradients) add_gradients(t, b);
    if (tw_graph_status(b->graph)) sample_fail(s, "does not differentiate");
    tw_outputs(b->graph, b->n_out, b->out);
    if (tw_graph_verify(b->graph)) sample_fail(s, "does not verify");
}

static size_t bytes_of(tw_type type) {
    size_t bytes = tw_dtype_size(type.dtype);
    for (int i = 0; i < type.shape.rank; i++) bytes *= (size_t)type.shape.dim[i];
    return bytes;
}

/* Data of input i of `b` for the examples from `first` on; weights follow from the place. */
static tw_tensor *data_for(const trial *t, const build *b, int i, int64_t first, bool loop) {
    tw_type type = tw_type_of(b->in[i]);
    if (t->symbol && type.shape.rank && type.shape.dim[0] == t->symbol)
        type.shape.dim[0] = t->examples;
    tw_tensor *made = tw_tensor_new(t->s[0].context, type.dtype, type.shape);
    assert_non_null(made);
    char *to = tw_tensor_map(made);
    size_t bytes = tw_tensor_bytes(made);
    if (i >= t->n) {
        sample_random random = {seed + (uint64_t)i, 0};
        size_t size = tw_dtype_size(type.dtype), count = bytes / size;
        for (size_t k = loop ? (size_t)first * count : 0; k > 0; k--)
            sample_uniform(&random, -1, 1);
        for (size_t k = 0; k < count; k++) {
            double number = sample_uniform(&random, -1, 1);
            if (size == 8)
                ((double *)(void *)to)[k] = number;
            else
                ((float *)(void *)to)[k] = (float)number;
        }
        return made;
    }
    size_t one = bytes_of(t->s[0].operand[t->operand[i]]);
    int64_t count = loop || !t->batched[i] ? 1 : t->examples;
    for (int64_t e = 0; e < count; e++) {
        const sample *from = &t->s[t->batched[i] ? first + e : 0];
        if (one) memcpy(to + (size_t)e * one, from->data[t->operand[i]], one);
    }
    return made;
}

/* Runs for the examples from `first` on; numbers of each output, freed by the caller. */
static void run_on(const trial *t, const build *b, tw_program *program, int64_t first, bool loop,
                   double **numbers, int64_t *count) {
    tw_tensor *in[MAX_IN], *out[MAX_OUT] = {NULL};
    for (int i = 0; i < b->n_in; i++) in[i] = data_for(t, b, i, first, loop);
    if (tw_run(program, in, out)) sample_fail(&t->s[0], loop ? "does not run" : "fails in vmap");
    for (int i = 0; i < b->n_out; i++) {
        numbers[i] = sample_numbers(&t->s[0], out[i], &count[i]);
        tw_tensor_free(out[i]);
    }
    for (int i = 0; i < b->n_in; i++) tw_tensor_free(in[i]);
}

static tw_program *compile(const trial *t, const build *b) {
    tw_program *program = tw_compile(b->graph, b->n_in, b->in, b->n_out, b->out, NULL);
    if (!program) sample_fail(&t->s[0], "does not compile");
    return program;
}

static void compare(const trial *t, const build *b, int i, int64_t n, const double *have,
                    const double *want) {
    tw_dtype dtype = tw_dtype_of(b->out[i]);
    double apart = sample_distance(n, have, want);
    double allowed = dtype == TW_F64 ? TOLERANCE_F64 : dtype == TW_F32 ? TOLERANCE_F32 : 0;
    if (!(apart <= allowed))
        sample_fail(&t->s[0], "%s %d of %lld%s examples is %g off the loop's, %g allowed",
                    b->gradient_of[i] < 0 ? "result" : "gradient", i, (long long)t->examples,
                    t->symbol ? " (open)" : "", apart, allowed);
}

static void check_trial(const trial *t) {
    build all, one;
    build_graph(t, false, &all);
    build_graph(t, true, &one);
    double *have[MAX_OUT], *want[EXAMPLES][MAX_OUT], *sum[MAX_OUT];
    int64_t have_count[MAX_OUT], count[MAX_OUT];
    tw_program *program = compile(t, &all), *looped = compile(t, &one);
    assert_int_equal(all.n_out, one.n_out);
    run_on(t, &all, program, 0, false, have, have_count);
    for (int i = 0; i < one.n_out; i++) {
        tw_type type = tw_type_of(one.out[i]);
        count[i] = (int64_t)(bytes_of(type) / tw_dtype_size(type.dtype));
        sum[i] = calloc((size_t)count[i] + 1, sizeof **sum);
    }
    for (int64_t e = 0; e < t->examples; e++) run_on(t, &one, looped, e, true, want[e], count);
    for (int i = 0; i < one.n_out; i++) {
        bool whole = one.gradient_of[i] >= 0 && !t->batched[one.gradient_of[i]];
        if (have_count[i] != count[i] * (whole ? 1 : t->examples))
            sample_fail(&t->s[0], "output %d has %lld elements", i, (long long)have_count[i]);
        for (int64_t e = 0; e < t->examples; e++) {
            for (int64_t k = 0; k < count[i]; k++) sum[i][k] += want[e][i][k];
            if (!whole) compare(t, &all, i, count[i], have[i] + e * count[i], want[e][i]);
            free(want[e][i]);
        }
        if (whole) compare(t, &all, i, count[i], have[i], sum[i]);
        free(have[i]);
        free(sum[i]);
    }
    tw_program_free(program);
    tw_program_free(looped);
    tw_graph_free(all.graph);
    tw_graph_free(one.graph);
}

static void check_sample(tw_context *context, const tw_operator *op, int number, tw_dtype dtype) {
    trial t = {.gradients = (op->vjp || !op->no_vjp) && dtype == TW_F64};
    for (int e = 0; e < EXAMPLES; e++)
        sample_begin(&t.s[e], context, op, number, seed + (uint64_t)e, dtype);
    for (int i = 0; i < t.s[0].n_operands; i++)
        if (!t.s[0].absent[i]) t.operand[t.n++] = i;
    const int64_t sizes[] = {EXAMPLES, 1, 0};
    for (int which = 0; which <= t.n; which++) { /* t.n: all of them */
        for (int i = 0; i < t.n; i++) t.batched[i] = which == t.n || which == i;
        for (int k = 0; k < 6; k++) {
            t.examples = sizes[k % 3];
            t.symbol = k < 3 ? 0 : tw_symbol(context, "examples");
            check_trial(&t);
        }
    }
    for (int e = 0; e < EXAMPLES; e++) sample_end(&t.s[e]);
}

/* The run of random_bits is one for all; test_vmap_function.c looks at it. */
static void test_operator(void **state) {
    const tw_operator *op = *state;
    if (!op->batch && op->meaning != TW_MEANS_BODY)
        fail_msg("operator %s has neither a batch rule nor a body", op->name);
    if (!strcmp(op->name, "random_bits")) return;
    tw_context *context = tw_context_new(&(tw_context_opts){.threads = 2});
    assert_non_null(context);
    for (int i = 0; op->samples && op->samples[i].operands; i++) {
        check_sample(context, op, i, TW_F64);
        check_sample(context, op, i, TW_F32);
    }
    tw_context_free(context);
}

int main(int argc, char **argv) {
    static struct CMUnitTest tests[MAX_OPERATORS];
    const char *given = getenv("SEED");
    if (given) seed = strtoull(given, NULL, 10);
    tw_context *table = tw_context_new(NULL);
    if (!table) return 1;
    size_t n = 0;
    const tw_operator *op;
    for (int i = 0; n < MAX_OPERATORS && (op = tw_operator_at(table, i)); i++) {
        bool wanted = argc < 2 && *op->operands && op->samples;
        for (int k = 1; k < argc; k++) wanted = wanted || !strcmp(argv[k], op->name);
        if (wanted)
            tests[n++] =
                (struct CMUnitTest){op->name, test_operator, NULL, NULL, (void *)(uintptr_t)op};
    }
    int failed = _cmocka_run_group_tests("operators", tests, n, NULL, NULL);
    tw_context_free(table);
    return failed != 0;
}
