/* LABELS: deep
 * Random graphs: operators on each other's results. Each node of the compiled program is checked
 * against the float64 reference fed the very inputs that the node had, so that a comparison that
 * falls the other way excuses nothing further down. Every operator must come up often enough.
 *
 * SEED=N draws other graphs, GRAPHS=N so many; a failure prints the graph's own seed, which
 * ONLY=SEED repeats.
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
#include "support/sample.h"

enum { MAX_OPERATORS = 512, MAX_INPUTS = 256, POOL = 256, STEPS = 6, OFTEN = 100 };
static const double TOLERANCE = 1e-5;

static int count[MAX_OPERATORS]; /* how often each operator of the table was checked */

/* One random graph under construction. */
typedef struct world {
    tw_context *context;
    tw_graph *graph;
    uint64_t seed;
    sample_random random;
    int n_in, n_pool;
    tw_value in[MAX_INPUTS], pool[POOL]; /* pool: float32 values to build on */
    tw_tensor *data[MAX_INPUTS];
} world;

static void stop(const world *w, const char *what) {
    fail_msg("graph %llu: %s: %s", (unsigned long long)w->seed, what, tw_message(w->context));
}

static int64_t pick(world *w, int64_t n) {
    return (int64_t)sample_uniform(&w->random, 0, (double)n);
}

static int64_t elements_of(tw_shape shape) {
    int64_t n = 1;
    for (int i = 0; i < shape.rank; i++) n *= shape.dim[i];
    return n;
}

static tw_value fresh(world *w, tw_type type, const void *data) {
    char name[16];
    assert_true(w->n_in < MAX_INPUTS);
    snprintf(name, sizeof name, "x%d", w->n_in);
    tw_tensor *tensor = tw_tensor_new(w->context, type.dtype, type.shape);
    if (!tensor || tw_tensor_put(tensor, data, tw_tensor_bytes(tensor))) stop(w, "input");
    w->data[w->n_in] = tensor;
    return w->in[w->n_in++] = tw_input(w->graph, name, type.dtype, type.shape);
}

/* A value of the pool in another shape, squeezed into the sample's range. Half of it is the sample's
 * own data: nearly equal numbers would make a variance, and what is divided by it, nearly 0. */
static tw_value adapt(world *w, tw_value x, tw_type type, const void *data, const tw_sample *spec) {
    tw_shape shape = type.shape;
    int64_t wanted = elements_of(shape), have = elements_of(tw_shape_of(x));
    x = tw_reshape(x, TW_SHAPE(have));
    for (; have < wanted; have *= 2) x = tw_concat(0, 2, (const tw_value[]){x, x});
    if (have > wanted) x = tw_slice(x, 0, pick(w, have - wanted + 1), wanted);
    double low = spec->low, high = spec->high;
    if (low == 0 && high == 0) low = -2, high = 2;
    x = tw_shift(tw_scale(tw_sigmoid(x), high - low), low);
    x = tw_scale(tw_add(x, tw_reshape(fresh(w, type, data), TW_SHAPE(wanted))), 0.5);
    if (spec->kink_at_zero)
        x = tw_select(tw_compare(TW_GE, x, tw_literal(x, 0)), tw_shift(x, 0.05),
                      tw_shift(x, -0.05));
    return tw_reshape(x, shape);
}

static void add_to_pool(world *w, tw_value x) {
    int64_t n = elements_of(tw_shape_of(x));
    if (tw_dtype_of(x) == TW_F32 && n > 0 && n <= 4096 && w->n_pool < POOL)
        w->pool[w->n_pool++] = x;
}

static void twisted(tw_graph *g, const tw_value *in, tw_value *out, const void *config) {
    (void)g, (void)config;
    out[0] = tw_mul(in[0], tw_tanh(in[0]));
}

static void twisted_gradient(tw_graph *g, const tw_value *in, tw_value *out, const void *config) {
    (void)g, (void)config;
    out[0] = in[2];
}

static tw_value apply_function(tw_graph *g, const tw_operator *op, const tw_value *x) {
    tw_value y = {0};
    if (!strcmp(op->name, "call"))
        tw_call(g, twisted, NULL, 1, x, 1, &y);
    else if (!strcmp(op->name, "checkpoint"))
        tw_checkpoint(g, twisted, NULL, 1, x, 1, &y);
    else if (!strcmp(op->name, "fused")) { /* which only a pass makes */
        tw_call(g, twisted, NULL, 1, x, 1, &y);
        tw_apply(g, "fused", 1, x, g->nodes.at[g->values.at[y.id].node].attr, &y);
    } else
        tw_custom_gradient(g, twisted, twisted_gradient, NULL, 1, x, 1, &y);
    return y;
}

/* The operator on values of the pool where a sample wants float32, on drawn data elsewhere. */
static void append(world *w, const tw_operator *op) {
    if (operator_calls(op)) {
        add_to_pool(w, apply_function(w->graph, op, &w->pool[pick(w, w->n_pool)]));
        return;
    }
    int samples = 0;
    while (op->samples[samples].operands) samples++;
    sample s;
    sample_begin(&s, w->context, op, (int)pick(w, samples), w->seed, TW_F32);
    tw_value operand[SAMPLE_OPERANDS] = {{0}}, result[TW_MAX_RESULTS] = {{0}};
    for (int i = 0; i < s.n_operands; i++) {
        if (s.absent[i]) continue;
        bool old = s.operand[i].dtype == TW_F32 && pick(w, 10) < 7;
        operand[i] = old ? adapt(w, w->pool[pick(w, w->n_pool)], s.operand[i], s.data[i], s.spec)
                         : fresh(w, s.operand[i], s.data[i]);
    }
    tw_apply(w->graph, op->name, s.n_operands, operand, op->attributes ? s.attr : NULL, result);
    if (tw_graph_status(w->graph)) sample_fail(&s, "graph %llu", (unsigned long long)w->seed);
    for (int i = 0; i < s.n_results; i++) add_to_pool(w, result[i]);
    sample_end(&s);
}

/* One without samples is made by a pass alone, and tested there. */
static bool can_come_up(const tw_operator *op) {
    return !op->effect && (op->samples || operator_calls(op));
}

/* The rarer of two random operators that can be applied. */
static const tw_operator *choose(world *w, int operators) {
    int best = -1;
    for (int tries = 0; tries < 2;) {
        int i = (int)pick(w, operators);
        const tw_operator *op = tw_operator_at(w->context, i);
        if (!can_come_up(op)) continue;
        if (best < 0 || count[i] < count[best]) best = i;
        tries++;
    }
    return tw_operator_at(w->context, best);
}

static void build(world *w) {
    int operators = 0;
    while (tw_operator_at(w->context, operators)) operators++;
    assert_true(operators < MAX_OPERATORS);
    static const float start[] = {-1.5F, 0.25F, 1, -0.5F, 2, 0.75F};
    w->pool[w->n_pool++] = fresh(w, (tw_type){TW_F32, TW_SHAPE(2, 3)}, start);
    w->pool[w->n_pool++] = tw_constant_of(w->graph, TW_F32, TW_SHAPE(6), start);
    w->pool[w->n_pool++] =
        tw_snapshot(tw_parameter(w->graph, "w", TW_F32, TW_SHAPE(5), tw_normal(1)));
    for (int i = 0; i < STEPS; i++) append(w, choose(w, operators));
    if (tw_graph_status(w->graph)) stop(w, "does not build");
}

static int index_of(const world *w, const tw_operator *op) {
    int i = 0;
    while (tw_operator_at(w->context, i) != op) i++;
    return i;
}

/* NaN for NaN is agreement here: what an operator makes of one is for the semantics test. */
static double distance(int64_t n, const double *a, const double *b) {
    double apart = 0, size = 1;
    for (int64_t i = 0; i < n; i++) {
        if (a[i] == b[i] || (isnan(a[i]) && isnan(b[i]))) continue;
        double d = fabs(a[i] - b[i]);
        if (isnan(d)) return INFINITY;
        apart = fmax(apart, d);
    }
    for (int64_t i = 0; i < n; i++)
        if (isfinite(b[i])) size = fmax(size, fabs(b[i]));
    return apart / size;
}

/* Sums of halves are in f32, the reference's in f64: near the middle of two halves they may round apart. */
static bool neighbours(tw_dtype dtype, int64_t n, const double *a, const double *b) {
    int digits = dtype == TW_F16 ? 11 : 8, least = dtype == TW_F16 ? -24 : -133;
    for (int64_t i = 0; i < n; i++) {
        int exponent;
        if (a[i] == b[i] || (isnan(a[i]) && isnan(b[i]))) continue;
        frexp(b[i], &exponent);
        int step = exponent - digits < least ? least : exponent - digits;
        if (!(fabs(a[i] - b[i]) <= ldexp(1, step))) return false;
    }
    return true;
}

static void compare(const world *w, const node *at, int result, tw_tensor *have, tw_tensor *want) {
    sample reader = {.context = w->context};
    int64_t n, m;
    double *a = sample_numbers(&reader, have, &n), *b = sample_numbers(&reader, want, &m);
    assert_int_equal(n, m);
    tw_dtype dtype = tw_tensor_type(have).dtype;
    double allowed = dtype == TW_F32 || dtype == TW_F64 ? TOLERANCE : 0, apart = distance(n, a, b);
    bool half = dtype == TW_F16 || dtype == TW_BF16;
    if (half && at->op->meaning != TW_MEANS_SCALAR && neighbours(dtype, n, a, b)) apart = 0;
    if (!(apart <= allowed)) {
        char *text = tw_graph_print(w->graph);
        print_message("%s\n", text ? text : "");
        fail_msg("graph %llu: result %d of %s (%%%u) is %g off, %g allowed",
                 (unsigned long long)w->seed, result, at->op->name, at->first_result, apart,
                 allowed);
    }
    free(a);
    free(b);
}

/* The node alone, in float64, on the tensors that its operands had. tensor[] is by value. */
static void check_node(const world *w, const node *at, tw_tensor *const *tensor) {
    tw_graph *g = tw_graph_new(w->context, NULL, TW_SYMBOLIC, NULL);
    tw_value operand[TW_MAX_OPERANDS] = {{0}}, in[TW_MAX_OPERANDS], result[TW_MAX_RESULTS];
    tw_tensor *data[TW_MAX_OPERANDS], *out[TW_MAX_RESULTS] = {NULL};
    int n = 0;
    for (int i = 0; i < at->n_operands; i++) {
        if (at->operand[i] == ABSENT) continue;
        tw_type type = w->graph->values.at[at->operand[i]].type;
        data[n] = tensor[at->operand[i]];
        operand[i] = in[n++] = tw_input(g, "x", type.dtype, type.shape);
    }
    if (operator_calls(at->op))
        result[0] = apply_function(g, at->op, operand);
    else
        tw_apply(g, at->op->name, at->n_operands, operand, at->attr, result);
    tw_program *program =
        tw_compile(g, n, in, at->n_results, result, &(tw_compile_opts){.reference = true});
    if (!program || tw_run(program, data, out)) stop(w, at->op->name);
    for (int i = 0; i < at->n_results; i++) {
        compare(w, at, i, tensor[at->first_result + (uint32_t)i], out[i]);
        tw_tensor_free(out[i]);
    }
    tw_program_free(program);
    tw_graph_free(g);
}

/* Compiled with every value as a result. tensor[] is by value. */
static void run_all(world *w, tw_tensor **tensor) {
    size_t n = w->graph->values.count;
    tw_value *out = malloc(n * sizeof *out);
    tw_tensor **made = calloc(n, sizeof *made);
    uint32_t *id = malloc(n * sizeof *id);
    assert_true(out && made && id);
    int n_out = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (w->graph->values.at[i].kind != VALUE_RESULT) continue;
        id[n_out] = i;
        out[n_out++] = graph_handle(w->graph, i);
    }
    tw_program *program = tw_compile(w->graph, w->n_in, w->in, n_out, out, NULL);
    if (!program || tw_run(program, w->data, made)) stop(w, "does not run");
    for (int i = 0; i < n_out; i++) tensor[id[i]] = made[i];
    tw_program_free(program);
    free(out);
    free(made);
    free(id);
}

/* With only the last value as a result, intermediates live in registers and shared memory: the
 * same bits. The run of random numbers is the first again. */
static void check_fused(world *w, tw_tensor *const *tensor) {
    tw_value last = w->pool[w->n_pool - 1];
    tw_program *program =
        tw_compile(w->graph, w->n_in, w->in, 1, &last, &(tw_compile_opts){.read_only = true});
    tw_tensor *out = NULL;
    if (!program || tw_run(program, w->data, &out)) stop(w, "does not run for one result");
    if (w->graph->random_run) return;
    size_t bytes = tw_tensor_bytes(out);
    if (memcmp(tw_tensor_map(out), tw_tensor_map(tensor[last.id]), bytes)) {
        char *text = tw_program_print(program);
        print_message("%s\n", text ? text : "");
        fail_msg("graph %llu: other bits with one result", (unsigned long long)w->seed);
    }
}

static void check_graph(uint64_t seed) {
    world w = {.seed = seed, .random = {seed, 0}};
    w.context = tw_context_new(&(tw_context_opts){.threads = 2});
    assert_non_null(w.context);
    tw_store *store = tw_store_new(w.context, &(tw_store_opts){.seed = seed});
    w.graph = tw_graph_new(w.context, store, TW_SYMBOLIC, &(tw_graph_opts){.training = true});
    build(&w);
    tw_tensor **tensor = calloc(w.graph->values.count, sizeof *tensor);
    assert_non_null(tensor);
    run_all(&w, tensor);
    for (size_t i = 0; i < w.graph->nodes.count; i++) {
        const node *at = &w.graph->nodes.at[i];
        count[index_of(&w, at->op)]++;
        if (at->op->meaning != TW_MEANS_STATE || operator_calls(at->op)) check_node(&w, at, tensor);
    }
    check_fused(&w, tensor);
    free(tensor);
    tw_context_free(w.context);
}

static uint64_t number_from(const char *name, uint64_t fallback) {
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 10) : fallback;
}

/* A tenth of the graphs under a sanitizer, which takes ten times as long. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { GRAPHS = 1000 };
#else
enum { GRAPHS = 10000 };
#endif

static void test_graphs(void **state) {
    (void)state;
    uint64_t seed = number_from("SEED", 1), graphs = number_from("GRAPHS", GRAPHS);
    print_message("seed %llu, %llu graphs\n", (unsigned long long)seed, (unsigned long long)graphs);
    if (getenv("ONLY")) {
        check_graph(number_from("ONLY", 0));
        return;
    }
    for (uint64_t i = 0; i < graphs; i++) check_graph(seed * 1000000 + i);
    tw_context *context = tw_context_new(NULL);
    int least = INT32_MAX;
    for (int i = 0; tw_operator_at(context, i); i++) {
        const tw_operator *op = tw_operator_at(context, i);
        if (!can_come_up(op)) continue;
        if (count[i] < least) least = count[i];
        if ((uint64_t)count[i] * 10000 < OFTEN * graphs)
            fail_msg("%s came up %d times in %llu graphs", op->name, count[i],
                     (unsigned long long)graphs);
    }
    print_message("the rarest operator came up %d times\n", least);
    tw_context_free(context);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_graphs)};
    return cmocka_run_group_tests_name("random graphs", tests, NULL, NULL);
}
