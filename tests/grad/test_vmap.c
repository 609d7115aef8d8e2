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

#include "ir/graph.h"
#include "support/numbers.h"
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
        char name[8];
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
        char name[8];
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

/* The run of random_bits is one for all; its own test is below. */
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

static tw_context *context;
static tw_store *store;

static int start(void **state) {
    (void)state;
    context = tw_context_new(&(tw_context_opts){.threads = 1});
    store = tw_store_new(context, &(tw_store_opts){.seed = 3});
    return context && store ? 0 : -1;
}

static int stop(void **state) {
    (void)state;
    tw_context_free(context);
    return 0;
}

static tw_value numbers(tw_graph *g, tw_shape shape, uint64_t from) {
    tw_tensor *t = tensor_drawn(context, TW_F64, shape, from, -1, 1);
    tw_value v = tw_constant(g, t);
    tw_tensor_free(t);
    return v;
}

static void assert_reads(const char *what, tw_value a, tw_value b, int n) {
    double x[256], y[256];
    assert_true(n <= 256);
    assert_int_equal(tw_read(a, x, (size_t)n * sizeof *x), TW_OK);
    assert_int_equal(tw_read(b, y, (size_t)n * sizeof *y), TW_OK);
    assert_near(what, n, x, y, 1e-12);
}

/* A layer with variables, for one example (5) -> (4). */
static void layer(tw_graph *g, const tw_value *in, tw_value *out, const void *config) {
    (void)config;
    tw_scope_begin(g, "layer");
    tw_value w = tw_parameter(g, "weight", TW_F64, TW_SHAPE(5, 4), tw_normal(1));
    tw_value b = tw_parameter(g, "bias", TW_F64, TW_SHAPE(4), tw_normal(1));
    tw_scope_end(g);
    tw_value row = tw_reshape(in[0], TW_SHAPE(1, 5));
    out[0] = tw_tanh(tw_add(tw_reshape(tw_matmul(row, w), TW_SHAPE(4)), b));
}

/* As the layer on a batch, with the same variables and the same gradients of them. */
static void variables_are_shared(void **state) {
    (void)state;
    tw_graph *g = tw_graph_new(context, store, TW_IMMEDIATE, NULL);
    tw_tape_begin(g);
    tw_scope_begin(g, "shared");
    tw_value x = numbers(g, TW_SHAPE(3, 5), 1), y, d[3], e[3];
    const int first = 0;
    tw_vmap(g, layer, NULL, 1, &x, &first, 1, &y);
    tw_scope_begin(g, "layer");
    tw_value w = tw_parameter(g, "weight", TW_F64, TW_SHAPE(5, 4), tw_normal(1));
    tw_value b = tw_parameter(g, "bias", TW_F64, TW_SHAPE(4), tw_normal(1));
    tw_scope_end(g);
    assert_string_equal(tw_path(w), "shared/layer/weight");
    tw_value z = tw_tanh(tw_add(tw_matmul(x, w), b)), all[] = {x, w, b};
    assert_reads("y", y, z, 12);
    tw_grad(tw_sum(tw_square(y)), 3, all, d);
    tw_grad(tw_sum(tw_square(z)), 3, all, e);
    assert_reads("dx", d[0], e[0], 15);
    assert_reads("dw", d[1], e[1], 20);
    assert_reads("db", d[2], e[2], 4);
    tw_scope_end(g);
    assert_int_equal(tw_tape_end(g, 0, NULL), TW_OK);
    tw_graph_free(g);
}

/* The gradient of one example's loss by the layer's weight. */
static void gradient_of_one(tw_graph *g, const tw_value *in, tw_value *out, const void *config) {
    tw_value y;
    layer(g, in, &y, config);
    tw_value parameter[2];
    tw_value loss = tw_sum(tw_square(y));
    assert_int_equal(tw_parameters(loss, 2, parameter), 2);
    tw_grad(loss, 2, parameter, out);
}

static void gradients_of_each_example(void **state) {
    (void)state;
    tw_graph *g = tw_graph_new(context, store, TW_IMMEDIATE, NULL);
    tw_tape_begin(g);
    tw_value x = numbers(g, TW_SHAPE(5, 3), 2), d[2];
    const int last = -1;
    tw_vmap(g, gradient_of_one, NULL, 1, &x, &last, 2, d);
    assert_int_equal(tw_shape_of(d[0]).rank, 3);
    for (int i = 0; i < 3; i++) {
        tw_value one = tw_reshape(tw_slice(x, 1, i, 1), TW_SHAPE(5)), expected[2];
        gradient_of_one(g, &one, expected, NULL);
        assert_reads("dw", tw_slice(d[0], 0, i, 1), expected[0], 20);
        assert_reads("db", tw_slice(d[1], 0, i, 1), expected[1], 4);
    }
    assert_int_equal(tw_tape_end(g, 0, NULL), TW_OK);
    tw_graph_free(g);
}

static void product(tw_graph *g, const tw_value *in, tw_value *out, const void *config) {
    (void)g;
    (void)config;
    out[0] = tw_sum(tw_mul(in[0], tw_exp(in[1])));
    out[1] = tw_tanh(in[1]);
}

/* Each row of the first with each column of the second, by a vmap in a vmap. */
static void product_with_columns(tw_graph *g, const tw_value *in, tw_value *out,
                                 const void *config) {
    const int axes[] = {TW_WHOLE, 1};
    tw_vmap(g, product, config, 2, in, axes, 2, out);
}

static void it_nests(void **state) {
    (void)state;
    tw_graph *g = tw_graph_new(context, store, TW_IMMEDIATE, NULL);
    tw_tape_begin(g);
    tw_value x[] = {numbers(g, TW_SHAPE(3, 4), 3), numbers(g, TW_SHAPE(4, 2), 4)}, y[2], d[2], e[2];
    const int axes[] = {0, TW_WHOLE};
    tw_vmap(g, product_with_columns, NULL, 2, x, axes, 2, y);
    tw_value z = tw_matmul(x[0], tw_exp(x[1]));
    assert_reads("y", y[0], z, 6);
    assert_int_equal(tw_shape_of(y[1]).rank, 3); /* (3, 2, 4): alike for each row */
    tw_value tanhs = tw_tanh(tw_transpose(x[1]));
    for (int i = 0; i < 3; i++) assert_reads("tanh", tw_slice(y[1], 0, i, 1), tanhs, 8);
    tw_grad(tw_sum(tw_square(y[0])), 2, x, d);
    tw_grad(tw_sum(tw_square(z)), 2, x, e);
    assert_reads("dx", d[0], e[0], 12);
    assert_reads("dx", d[1], e[1], 8);
    assert_int_equal(tw_tape_end(g, 0, NULL), TW_OK);
    tw_graph_free(g);
}

static void draw(tw_graph *g, const tw_value *in, tw_value *out, const void *config) {
    (void)in;
    (void)config;
    tw_scope_begin(g, "draw");
    out[0] = tw_random_uniform(g, TW_F64, TW_SHAPE(4));
    out[1] = tw_random_uniform(g, TW_F64, TW_SHAPE());
    tw_scope_end(g);
}

/* Nothing that is drawn depends on an example, and yet each draws numbers of its own: those that
 * one array of all examples has. Those drawn outside afterwards are others again. */
static void examples_draw_different_numbers(void **state) {
    (void)state;
    {
        tw_graph *g = tw_graph_new(context, store, TW_IMMEDIATE, NULL);
        tw_tape_begin(g);
        tw_value x = numbers(g, TW_SHAPE(3), 5), y[2], after[2];
        const int first = 0;
        tw_vmap(g, draw, NULL, 1, &x, &first, 2, y);
        draw(g, NULL, after, NULL);
        double a[12], b[4], s[3];
        assert_int_equal(tw_read(y[0], a, sizeof a), TW_OK);
        assert_int_equal(tw_read(y[1], s, sizeof s), TW_OK);
        assert_int_equal(tw_read(after[0], b, sizeof b), TW_OK);
        for (int i = 0; i < 12; i++) {
            for (int k = 0; k < i; k++) assert_true(a[i] != a[k]);
            for (int k = 0; k < 4; k++) assert_true(a[i] != b[k]);
        }
        assert_true(s[0] != s[1] && s[1] != s[2] && s[0] != s[2]);
        assert_int_equal(tw_tape_end(g, 0, NULL), TW_OK);
        tw_graph_free(g);
    }
    tw_graph *g = tw_graph_new(context, store, TW_IMMEDIATE, NULL);
    tw_tape_begin(g);
    tw_value run = tw_variable(g, "run", TW_I64, TW_SHAPE(), (tw_init){0});
    const tw_operator *op = tw_operator_find(context, "random_bits");
    tw_attr attr[4] = {tw_attr_int(7), tw_attr_dims(TW_SHAPE(2, 3)), tw_attr_dims(TW_SHAPE(4, 6)),
                       tw_attr_dims(TW_SHAPE(1, 2))};
    tw_value piece, wide;
    tw_batch rule = {.op = op,
                     .n_operands = 1,
                     .n_results = 1,
                     .size = 3,
                     .operand = &run,
                     .batched = &(bool){false},
                     .operand_type = &(tw_type){TW_I64, {0}},
                     .attr = attr,
                     .result = &wide};
    op->batch(g, &rule);
    assert_int_equal(tw_shape_of(wide).rank, 3);
    for (int e = 0; e < 3; e++) {
        tw_attr one[4] = {attr[0], tw_attr_dims(TW_SHAPE(1, 2, 3)), tw_attr_dims(TW_SHAPE(3, 4, 6)),
                          tw_attr_dims(TW_SHAPE(e, 1, 2))};
        piece = tw_apply(g, "random_bits", 1, &run, one, NULL);
        assert_reads("bits", tw_cast(tw_slice(wide, 0, e, 1), TW_F64), tw_cast(piece, TW_F64), 6);
    }
    assert_int_equal(tw_tape_end(g, 0, NULL), TW_OK);
    tw_graph_free(g);
}

/* (length) -> (length) with most kinds of operators on the way. */
static void several(tw_graph *g, const tw_value *in, tw_value *out, const void *config) {
    (void)g;
    (void)config;
    tw_value column = tw_reshape(in[0], TW_SHAPE(4, 1)), row = tw_reshape(in[0], TW_SHAPE(1, 4));
    tw_value outer = tw_softmax(tw_matmul(column, row));
    tw_value part = tw_slice(tw_transpose(outer), 1, 0, 3);
    tw_value wide = tw_pad(tw_concat(1, 2, (tw_value[]){part, outer}), 1, 1, 0, 2);
    tw_value best = tw_take(in[1], tw_argmax(wide, 1));
    out[0] = tw_mul(tw_sum_axis(wide, 1, false), best);
}

/* One program for any number of examples. */
static void the_number_of_examples_may_be_open(void **state) {
    (void)state;
    tw_graph *g = tw_graph_new(context, store, TW_SYMBOLIC, NULL);
    int64_t n = tw_symbol(context, "examples");
    tw_value x[] = {tw_input(g, "x", TW_F64, TW_SHAPE(n, 4)),
                    tw_input(g, "table", TW_F64, TW_SHAPE(8))},
             y, d[3];
    const int axes[] = {0, TW_WHOLE};
    tw_vmap(g, several, NULL, 2, x, axes, 1, &y);
    tw_grad(tw_sum(tw_square(y)), 2, x, d + 1);
    d[0] = y;
    tw_outputs(g, 3, d);
    assert_int_equal(tw_graph_verify(g), TW_OK);
    tw_program *program = tw_compile(g, 2, x, 3, d, NULL);
    assert_non_null(program);
    tw_graph *one = tw_graph_new(context, store, TW_IMMEDIATE, NULL);
    for (int64_t size = 0; size < 4; size++) {
        tw_tensor *in[] = {tensor_drawn(context, TW_F64, TW_SHAPE(size, 4), 6, -1, 1),
                           tensor_drawn(context, TW_F64, TW_SHAPE(8), 7, -1, 1)},
                  *out[3] = {NULL};
        assert_int_equal(tw_run(program, in, out), TW_OK);
        double have[3][16], want[8] = {0}, item[8];
        for (int i = 0; i < 3; i++) numbers_of(out[i], 16, have[i]);
        tw_tape_begin(one);
        tw_value all = tw_constant(one, in[0]), table = tw_constant(one, in[1]);
        for (int64_t e = 0; e < size; e++) {
            tw_value v[] = {tw_reshape(tw_slice(all, 0, e, 1), TW_SHAPE(4)), table}, r, dv[2];
            several(one, v, &r, NULL);
            tw_grad(tw_sum(tw_square(r)), 2, v, dv);
            assert_int_equal(tw_read(r, item, 4 * sizeof *item), TW_OK);
            assert_near("y", 4, have[0] + 4 * e, item, 1e-12);
            assert_int_equal(tw_read(dv[0], item, 4 * sizeof *item), TW_OK);
            assert_near("dx", 4, have[1] + 4 * e, item, 1e-12);
            assert_int_equal(tw_read(dv[1], item, sizeof item), TW_OK);
            for (int i = 0; i < 8; i++) want[i] += item[i];
        }
        assert_near("dtable", 8, have[2], want, 1e-12);
        assert_int_equal(tw_tape_end(one, 0, NULL), TW_OK);
        for (int i = 0; i < 3; i++) tw_tensor_free(out[i]);
        for (int i = 0; i < 2; i++) tw_tensor_free(in[i]);
    }
    tw_program_free(program);
    tw_graph_free(one);
    tw_graph_free(g);
}

static void call_it(tw_graph *g, const tw_value *in, tw_value *out, const void *config) {
    tw_attr attr = {.function = (tw_graph *)(uintptr_t)config};
    tw_apply(g, "call", 2, in, &attr, out);
}

/* A function of the module is batched through its nodes; what no example changes is repeated. */
static void calls_are_batched(void **state) {
    (void)state;
    tw_graph *g = tw_graph_new(context, store, TW_IMMEDIATE, NULL);
    tw_graph *f = graph_function(g, "f");
    tw_value inner[] = {tw_input(f, "a", TW_F64, TW_SHAPE(4)),
                        tw_input(f, "b", TW_F64, TW_SHAPE(4))};
    tw_value y[2];
    product(f, inner, y, NULL);
    tw_outputs(f, 2, y);
    tw_tape_begin(g);
    tw_value x[] = {numbers(g, TW_SHAPE(4, 3), 9), numbers(g, TW_SHAPE(4), 10)};
    const int axes[] = {-1, TW_WHOLE};
    tw_vmap(g, call_it, f, 2, x, axes, 2, y);
    tw_value row = tw_reshape(tw_exp(x[1]), TW_SHAPE(1, 4));
    assert_reads("y", y[0], tw_matmul(row, x[0]), 3);
    assert_int_equal(tw_shape_of(y[1]).dim[0], 3);
    for (int i = 0; i < 3; i++) assert_reads("tanh", tw_slice(y[1], 0, i, 1), tw_tanh(x[1]), 4);
    assert_int_equal(tw_tape_end(g, 0, NULL), TW_OK);
    tw_graph_free(g);
}

static void assign_whole(tw_graph *g, const tw_value *in, tw_value *out, const void *config) {
    (void)config;
    tw_value v = tw_variable(g, "counter", TW_F64, TW_SHAPE(), (tw_init){0});
    tw_assign(v, tw_shift(v, 2));
    out[0] = tw_mul(in[0], v);
}

static void assign_each(tw_graph *g, const tw_value *in, tw_value *out, const void *config) {
    (void)config;
    tw_value v = tw_variable(g, "each", TW_F64, TW_SHAPE(), (tw_init){0});
    tw_assign(v, in[0]);
    out[0] = in[0];
}

static void fails(tw_graph *g, const tw_value *in, tw_value *out, const void *config) {
    (void)config;
    (void)g;
    out[0] = tw_matmul(in[0], in[0]);
}

static void one_value_is_assigned(void **state) {
    (void)state;
    tw_graph *g = tw_graph_new(context, store, TW_IMMEDIATE, NULL);
    tw_tape_begin(g);
    tw_value x = numbers(g, TW_SHAPE(3), 8), y;
    const int first = 0;
    tw_vmap(g, assign_whole, NULL, 1, &x, &first, 1, &y);
    assert_reads("y", y, tw_scale(x, 2), 3);
    assert_int_equal(tw_tape_end(g, 0, NULL), TW_OK);
    double stored;
    assert_int_equal(numbers_at(store, "counter", 1, &stored), 1);
    assert_true(stored == 2);
    tw_graph_free(g);
}

static void assert_refused(tw_function function, const tw_value *in, const int *axis, int n,
                           const char *why) {
    tw_value y;
    tw_graph *g = in[0].graph;
    tw_vmap(g, function, NULL, n, in, axis, 1, &y);
    assert_false(tw_ok(y));
    assert_true(tw_graph_status(g) != TW_OK);
    if (!strstr(tw_message(context), why))
        fail_msg("\"%s\" is not in: %s", why, tw_message(context));
    tw_graph_free(g);
}

static tw_value fresh(tw_shape shape) {
    tw_graph *g = tw_graph_new(context, store, TW_SYMBOLIC, NULL);
    return tw_input(g, "x", TW_F64, shape);
}

static void misuse_is_refused(void **state) {
    (void)state;
    const int zero = 0, far = 2, whole = TW_WHOLE;
    tw_value x = fresh(TW_SHAPE(3));
    assert_refused(assign_each, &x, &zero, 1, "is assigned a value for each example");
    x = fresh(TW_SHAPE(3, 2));
    assert_refused(fails, &x, &zero, 1, "tw_matmul");
    x = fresh(TW_SHAPE(3, 2));
    assert_refused(fails, &x, &far, 1, "axis 2 of operand 0");
    x = fresh(TW_SHAPE(3, 2));
    assert_refused(fails, &x, &whole, 1, "no operand is cut");
    tw_value two[] = {fresh(TW_SHAPE(3)), {0}};
    const int zeros[] = {0, 0};
    two[1] = tw_input(two[0].graph, "z", TW_F64, TW_SHAPE(4));
    assert_refused(product, two, zeros, 2, "another number of examples");
}

static const struct CMUnitTest own_tests[] = {
    cmocka_unit_test(variables_are_shared),
    cmocka_unit_test(gradients_of_each_example),
    cmocka_unit_test(it_nests),
    cmocka_unit_test(calls_are_batched),
    cmocka_unit_test(examples_draw_different_numbers),
    cmocka_unit_test(the_number_of_examples_may_be_open),
    cmocka_unit_test(one_value_is_assigned),
    cmocka_unit_test(misuse_is_refused),
};

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
    if (argc < 2) failed += cmocka_run_group_tests(own_tests, start, stop);
    tw_context_free(table);
    return failed != 0;
}
