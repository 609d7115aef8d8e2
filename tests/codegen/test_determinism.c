/*
 * The same bits whatever the number of threads, and from run to run: for each row of the table in
 * docs/architecture.md, for a sweep of shapes, and for whole training runs.
 * LABELS: threads
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <thalweg/thalweg.h>

#include "base/scratch.h"
#include "codegen/overrides.h"
#include "models/models.h"
#include "support/numbers.h"
#include "support/sample.h"

enum { MOST_THREADS = 3, MOST_RUNS = 2, SEED = 20240607 };
static const double TOLERANCE = 1e-5;

typedef struct fixture {
    tw_context *context[MOST_THREADS]; /* of 1, 2, 3 threads */
    uint64_t seed;                     /* of the next case */
    int cases, served;
} fixture;
static fixture f;

static tw_context *context_with(int threads, bool no_codegen) {
    tw_context *context =
        tw_context_new(&(tw_context_opts){.threads = threads, .no_codegen = no_codegen});
    assert_non_null(context);
    return context;
}

static int start(bool no_codegen) {
    f = (fixture){.seed = SEED};
    for (int i = 0; i < MOST_THREADS; i++) f.context[i] = context_with(i + 1, no_codegen);
    print_message("seed %d\n", SEED);
    return 0;
}
static int setup(void **state) { return (void)state, start(false); }
static int setup_library(void **state) { return (void)state, start(true); }

static int teardown(void **state) {
    (void)state;
    print_message("%d cases, %d by the library\n", f.cases, f.served);
    for (int i = 0; i < MOST_THREADS; i++) tw_context_free(f.context[i]);
    return 0;
}

/* ---- one use of an operator ---- */

/* What a case gave at first: each further run must give the same. */
typedef struct first {
    double *number[TW_MAX_RESULTS]; /* of the float64 reference */
    void *bits[TW_MAX_RESULTS];
} first;

static void compile_and_run(const sample *s, tw_graph *graph, int n, const tw_value *in,
                            const tw_value *result, tw_tensor *const *data, bool reference,
                            int runs, tw_tensor **out) {
    tw_program *program =
        tw_compile(graph, n, in, s->n_results, result, &(tw_compile_opts){.reference = reference});
    if (!program) sample_fail(s, "does not compile");
    while (runs-- > 0)
        if (tw_run(program, data, out)) sample_fail(s, "does not run");
    tw_program_free(program);
}

/* Keeps a result's bits as the first, after a look at its error, or compares with those. */
static void check_result(const sample *s, int i, tw_tensor *out, first *was, int threads) {
    size_t bytes = tw_tensor_bytes(out);
    if (was->bits[i]) {
        if (memcmp(was->bits[i], tw_tensor_map(out), bytes))
            sample_fail(s, "result %d has other bits with %d threads", i, threads);
        return;
    }
    int64_t count = 0;
    double *number = sample_numbers(s, out, &count);
    double distance = sample_distance(count, number, was->number[i]);
    if (!(distance <= TOLERANCE)) sample_fail(s, "result %d is %g from float64", i, distance);
    free(number);
    was->bits[i] = malloc(bytes + 1);
    assert_non_null(was->bits[i]);
    memcpy(was->bits[i], tw_tensor_map(out), bytes);
}

/* Whether the override takes the call itself; its bits must be the program's. */
static bool is_served(const sample *s, const tw_value *result, tw_tensor **out, const first *was) {
    tw_kernel kernel = override_find(s->op->name);
    if (!kernel) return false;
    tw_type type[TW_MAX_RESULTS];
    const void *in[SAMPLE_OPERANDS];
    void *to[TW_MAX_RESULTS] = {NULL};
    for (int i = 0; i < s->n_operands; i++) in[i] = s->data[i];
    for (int i = 0; i < s->n_results; i++) {
        type[i] = tw_type_of(result[i]);
        to[i] = tw_tensor_map(out[i]);
        memset(to[i], 0, tw_tensor_bytes(out[i]));
    }
    tw_kernel_call call = {
        {s->context, s->op, s->n_operands, s->n_results, s->operand, type, s->attr}, in, to, NULL};
    scratch_mark mark = scratch_save(s->context);
    tw_status status = kernel(&call);
    scratch_restore(s->context, mark);
    if (status == TW_ERR_UNSUPPORTED) return false;
    if (status) sample_fail(s, "the library fails");
    for (int i = 0; i < s->n_results; i++)
        if (memcmp(was->bits[i], to[i], tw_tensor_bytes(out[i])))
            sample_fail(s, "the override gives other bits than the program");
    return true;
}

/* One context's runs: the reference too where `was` is empty. */
static bool run_in(tw_context *context, int threads, const char *name, const tw_sample *spec,
                   first *was) {
    tw_operator op = *tw_operator_find(context, name);
    op.samples = spec;
    sample s;
    sample_begin(&s, context, &op, 0, f.seed, TW_F32);
    tw_graph *graph = tw_graph_new(context, NULL, TW_SYMBOLIC, NULL);
    tw_value in[SAMPLE_OPERANDS], result[TW_MAX_RESULTS];
    tw_tensor *data[SAMPLE_OPERANDS], *out[TW_MAX_RESULTS] = {NULL};
    int n = sample_build(&s, graph, in, result);
    sample_tensors(&s, data);
    if (!was->number[0]) {
        compile_and_run(&s, graph, n, in, result, data, true, 1, out);
        int64_t count = 0;
        for (int i = 0; i < s.n_results; i++) was->number[i] = sample_numbers(&s, out[i], &count);
    }
    /* The bits of a first run, then those of a last one of another program. */
    for (int runs = 1; runs <= MOST_RUNS; runs++) {
        compile_and_run(&s, graph, n, in, result, data, false, runs, out);
        for (int i = 0; i < s.n_results; i++) check_result(&s, i, out[i], was, threads);
    }
    bool served = is_served(&s, result, out, was);
    for (int i = 0; i < n; i++) tw_tensor_free(data[i]);
    for (int i = 0; i < s.n_results; i++) tw_tensor_free(out[i]);
    tw_graph_free(graph);
    sample_end(&s);
    return served;
}

/* True where the library served it, with every number of threads. */
static bool check(const char *name, tw_sample spec) {
    const tw_sample specs[] = {spec, {0}};
    first was = {{NULL}, {NULL}};
    int served = 0;
    for (int i = 0; i < MOST_THREADS; i++) served += run_in(f.context[i], i + 1, name, specs, &was);
    assert_true(served == 0 || served == MOST_THREADS);
    for (int i = 0; i < TW_MAX_RESULTS; i++) free(was.number[i]), free(was.bits[i]);
    f.seed++;
    f.cases++;
    f.served += served > 0;
    return served > 0;
}

/* ---- the table's rows ---- */

static tw_sample use(const char *operands, const char *attributes) {
    return (tw_sample){.operands = operands, .attributes = attributes};
}

static void check_served(const char *name, const char *operands, const char *attributes) {
    assert_true(check(name, use(operands, attributes)));
}

/* Integers among the operands are drawn up to `index_high`. */
static tw_sample use_indices(const char *operands, const char *attributes, int64_t index_high) {
    return (tw_sample){.operands = operands, .attributes = attributes, .index_high = index_high};
}

/* Sums of 3136 terms: oneDNN's own division of them among threads changes their bits. */
static void test_matmul(void **state) {
    (void)state;
    check_served("dot", "f32[3136,300] f32[3136,33]", "contract_a=[0], contract_b=[0]");
    check_served("dot", "f32[64,3136] f32[3136,48]", "contract_a=[1], contract_b=[0]");
}

/* Batches of pieces, and one below that on the library's own threads. */
#define SAME ", low=[1,1], high=[1,1]"
static void test_conv_forward(void **state) {
    (void)state;
    check_served("conv_bias", "f32[33,14,14,16] f32[3,3,16,32] f32[32]", "activation=relu" SAME);
    check_served("conv_bias", "f32[2,40,40,16] f32[3,3,16,32] f32[32]", "activation=relu" SAME);
    check_served("conv", "f32[3,20,20,16] f32[5,5,16,24]", "");
}

static void test_conv_backward_data(void **state) {
    (void)state;
    check_served("conv_input_grad", "f32[33,14,14,32] f32[3,3,16,32]", "space=[14,14]" SAME);
    check_served("conv_input_grad", "f32[2,40,40,32] f32[3,3,16,32]", "space=[40,40]" SAME);
}

static void test_conv_backward_weights(void **state) {
    (void)state;
    check_served("conv_weight_grad", "f32[33,14,14,16] f32[33,14,14,32]", "window=[3,3]" SAME);
    check_served("conv_weight_grad", "f32[2,40,40,16] f32[2,40,40,32]", "window=[3,3]" SAME);
}

static void test_reductions(void **state) {
    (void)state;
    check("reduce", use("f32[90007]", "how=sum, axes=[0]"));
    check("reduce", use("f32[5001,33]", "how=sum, axes=[0]"));
    check("reduce", use("f32[13,9001]", "how=sum, axes=[1]"));
    check("reduce", use("f32[61,30,65]", "how=sum, axes=[0,2]"));
    check("window_sum", use("f32[9,20,20,12]", "window=[5,5], stride=[1,1]"));
    check("cumulative", use("f32[61,300,65]", "axis=1"));
    check("cumulative", use("f32[9001]", "axis=0, reverse=true"));
    check("sort", use("f32[300,170]", "axis=1"));
    check("sort", use("f32[170,300]", "axis=0, descending=true"));
    check("top_k", use("f32[300,170]", "k=9"));
}

static void test_scatter(void **state) {
    (void)state;
    check("scatter", use_indices("f32[50,300] i32[1000] f32[1000,300]", "", 49));
    check("scatter",
          use_indices("f32[9,40,30] i32[9,300,30] f32[9,300,30]", "axis=1, shared=[0,2]", 39));
    check("max_pool_grad", use_indices("i32[21,12,12,9] f32[21,12,12,9]",
                                       "window=[3,3], stride=[1,1], space=[14,14]", 195));
}

/* An element that a thread's range ends with must not be computed another way. */
static void test_elementwise(void **state) {
    (void)state;
    const char *const names[] = {"exp", "tanh", "logistic", "sin", "relu"};
    for (int i = 0; i < 5; i++) check(names[i], use("f32[40003]", ""));
    check("softmax", use("f32[501,37]", ""));
    check("cross_entropy", use_indices("f32[1503,37] i32[1503]", "", 36));
    check("max_pool", use("f32[9,31,29,7]", "window=[2,3]"));
}

/* ---- the sweep ---- */

/* The types of operands as bf16. */
static void write_as_bf16(const char *operands, size_t room, char *out) {
    size_t n = 0;
    for (const char *at = operands; *at && n + 5 < room; at++) {
        bool type = strncmp(at, "f32", 3) == 0;
        if (type)
            memcpy(out + n, "bf16", 4);
        else
            out[n] = *at;
        n += type ? 4 : 1;
        at += type ? 2 : 0;
    }
    out[n] = 0;
}

#define CONTRACT(a, b) "contract_a=[" #a "], contract_b=[" #b "]"
static const char *const products[][2] = {
    {"f32[3136,300] f32[3136,1]", CONTRACT(0, 0)},
    {"f32[6272,17] f32[6272,19]", CONTRACT(0, 0)},
    {"f32[8192] f32[8192]", CONTRACT(0, 0)},
    {"f32[37,1000] f32[501,1000]", CONTRACT(1, 1)},
    {"f32[1,5000] f32[5000,10]", CONTRACT(1, 0)},
    {"f32[5000,8] f32[8,5]", CONTRACT(1, 0)},
    {"f32[257,255] f32[31,257]", CONTRACT(0, 1)},
    {"f32[700] f32[900]", ""},
    {"f32[3,200,50] f32[3,50,70]", "batch_a=[0], batch_b=[0], " CONTRACT(2, 1)},
    {"f32[9,2000,24] f32[9,2000,24]", "batch_a=[0], batch_b=[0], " CONTRACT(1, 1)},
    {"f32[4,6,40,30] f32[4,6,30,20]",
     "batch_a=[0,1], batch_b=[0,1], contract_a=[3], contract_b=[2]"},
    {"f32[10,12,64] f32[64,40]", CONTRACT(2, 0)},
    {"f32[2,3000,4] f32[4,3000,2]", CONTRACT(1, 1)},
};

static void test_products(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof products / sizeof *products; i++)
        check("dot", use(products[i][0], products[i][1]));
}

/* By the library where the processor multiplies bf16. */
static void test_bf16_products(void **state) {
    (void)state;
    int served = 0;
    for (size_t i = 0; i < sizeof products / sizeof *products; i++) {
        char operands[100], attributes[200];
        write_as_bf16(products[i][0], sizeof operands, operands);
        snprintf(attributes, sizeof attributes, "%s%sresult=f32", products[i][1],
                 *products[i][1] ? ", " : "");
        served += check("dot", use(operands, attributes));
    }
    print_message("%d bf16 products by the library\n", served);
}

/* Extents as texts; each gives a case of conv_bias, conv and its two gradients. */
typedef struct geometry {
    int batch, in, out, groups;
    const char *space, *window, *result, *attributes;
} geometry;

static const geometry geometries[] = {
    {40, 8, 16, 1, "14,14", "3,3", "14,14", "low=[1,1], high=[1,1]"},
    {3, 1, 32, 1, "28,28", "5,5", "28,28", "low=[2,2], high=[2,2]"},
    {9, 5, 7, 1, "15,13", "3,2", "7,12", "stride=[2,1]"},
    {33, 16, 16, 4, "7,7", "3,3", "7,7", "low=[1,1], high=[1,1]"},
    {5, 32, 32, 32, "16,16", "3,3", "16,16", "low=[1,1], high=[1,1]"},
    {17, 24, 24, 24, "12,12", "3,3", "6,6", "stride=[2,2], low=[1,1], high=[1,1]"},
    {1, 4, 6, 1, "20,20", "3,3", "16,16", "dilation=[2,2]"},
    {8, 3, 20, 1, "100", "7", "94", ""},
    {7, 16, 33, 1, "64", "3", "32", "stride=[2], low=[1]"},
    {2, 3, 8, 1, "6,8,10", "3,3,3", "6,8,10", "low=[1,1,1], high=[1,1,1]"},
    {11, 8, 4, 1, "4,6,6", "2,3,3", "2,2,2", "stride=[2,2,2]"},
    {64, 50, 60, 1, "1,1", "1,1", "1,1", ""},
    {6, 4, 6, 2, "9,9", "3,3", "17,17", "base_dilation=[2,2], low=[1,1], high=[1,1]"},
};

/* A case in f32, and in bf16 with f32 results. */
static int check_both(const char *name, tw_sample spec) {
    char operands[200], attributes[220];
    check(name, spec);
    write_as_bf16(spec.operands, sizeof operands, operands);
    snprintf(attributes, sizeof attributes, "%s, result=f32", spec.attributes);
    return check(name, use(operands, attributes));
}

static void test_convolutions(void **state) {
    (void)state;
    int served = 0;
    for (size_t i = 0; i < sizeof geometries / sizeof *geometries; i++) {
        const geometry *g = &geometries[i];
        char x[64], w[64], y[64], operands[200], attributes[200], half[200];
        snprintf(x, sizeof x, "f32[%d,%s,%d]", g->batch, g->space, g->in);
        snprintf(w, sizeof w, "f32[%s,%d,%d]", g->window, g->in / g->groups, g->out);
        snprintf(y, sizeof y, "f32[%d,%s,%d]", g->batch, g->result, g->out);
        tw_sample spec = {.operands = operands, .attributes = attributes};
        int n = snprintf(attributes, sizeof attributes, "groups=%d%s%s", g->groups,
                         *g->attributes ? ", " : "", g->attributes);
        size_t rest = sizeof attributes - (size_t)n;
        snprintf(operands, sizeof operands, "%s %s", x, w);
        served += check_both("conv", spec);
        snprintf(operands, sizeof operands, "%s %s f32[%d]", x, w, g->out);
        check("conv_bias", spec);
        snprintf(half, sizeof half, "bf16[%d,%s,%d] bf16[%s,%d,%d] f32[%d]", g->batch, g->space,
                 g->in, g->window, g->in / g->groups, g->out, g->out);
        snprintf(attributes + n, rest, ", activation=relu, result=f32");
        served += check("conv_bias", use(half, attributes));
        attributes[n] = 0;
        snprintf(operands, sizeof operands, "%s %s", y, w);
        snprintf(attributes + n, rest, ", space=[%s]", g->space);
        served += check_both("conv_input_grad", spec);
        snprintf(operands, sizeof operands, "%s %s", x, y);
        snprintf(attributes + n, rest, ", window=[%s]", g->window);
        served += check_both("conv_weight_grad", spec);
    }
    print_message("%d bf16 convolutions by the library\n", served);
}

/* ---- whole runs ---- */

static const tw_graph_opts training = {.training = true};

/* The store of a convnet after so many steps. */
static tw_store *trained(tw_context *context, const char *preset, int batch, int steps) {
    const tw_model *model = models_find("convnet");
    const void *config = models_preset(model, preset)->config;
    tw_store *store = tw_store_new(context, &(tw_store_opts){.seed = SEED});
    tw_graph *graph = tw_graph_new(context, store, TW_SYMBOLIC, &(tw_graph_opts){.training = true});
    tw_value in[2], loss = {0};
    model->inputs(graph, batch, in, config);
    model->loss(graph, in, &loss, config);
    tw_minimize(loss, model->optimizer(config));
    tw_program *program = tw_compile(graph, 2, in, 1, &loss, NULL);
    if (!program) fail_msg("%s", tw_message(context));
    tw_tensor *out = NULL;
    for (int step = 0; step < steps; step++) {
        uint64_t seed = SEED + 2 * (uint64_t)step;
        tw_tensor *data[] = {tensor_drawn(context, TW_F32, tw_shape_of(in[0]), seed, 0, 1),
                             tensor_drawn(context, TW_I32, tw_shape_of(in[1]), seed + 1, 0, 10)};
        if (tw_run(program, data, &out)) fail_msg("%s", tw_message(context));
    }
    assert_int_equal(tw_store_step(store), steps);
    return store;
}

static void assert_same_store(tw_store *a, tw_store *b) {
    assert_int_equal(tw_store_size(a), tw_store_size(b));
    for (int i = 0; i < tw_store_size(a); i++) {
        const char *path = tw_store_path(a, i);
        assert_string_equal(path, tw_store_path(b, i));
        tw_tensor *x = tw_store_get(a, path), *y = tw_store_get(b, path);
        assert_int_equal(tw_tensor_bytes(x), tw_tensor_bytes(y));
        if (memcmp(tw_tensor_map(x), tw_tensor_map(y), tw_tensor_bytes(x)))
            fail_msg("\"%s\" has other bits", path);
    }
}

/* Two runs with each number of threads, against the first with one. */
static void check_training(const char *preset, int batch, int steps) {
    tw_context *one = context_with(1, false);
    tw_store *store = trained(one, preset, batch, steps);
    assert_true(tw_store_size(store) > 8); /* the optimiser's state too */
    for (int i = 1; i < 4; i++) {
        tw_context *again = context_with(1 + i % 2, false);
        assert_same_store(trained(again, preset, batch, steps), store);
        tw_context_free(again);
    }
    tw_context_free(one);
}

static void test_training(void **state) {
    (void)state;
    check_training("tiny", 21, 5);
    check_training("default", 40, 2);
}

static void test_dropout_masks(void **state) {
    (void)state;
    enum { ROWS = 301, COLUMNS = 77, STEPS = 3 };
    static float mask[2][STEPS][ROWS * COLUMNS];
    for (int i = 0; i < 2; i++) {
        tw_context *context = context_with(i + 1, false);
        tw_store *store = tw_store_new(context, &(tw_store_opts){.seed = SEED});
        tw_graph *graph = tw_graph_new(context, store, TW_SYMBOLIC, &training);
        tw_value ones = tw_full(graph, TW_F32, TW_SHAPE(ROWS, COLUMNS), 1);
        tw_value y = tw_dropout(ones, 0.3, NULL);
        tw_program *program = tw_compile(graph, 0, NULL, 1, &y, NULL);
        assert_non_null(program);
        tw_tensor *out = NULL;
        for (int step = 0; step < STEPS; step++) {
            assert_int_equal(tw_run(program, NULL, &out), TW_OK);
            assert_int_equal(tw_tensor_get(out, mask[i][step], sizeof mask[i][step]), TW_OK);
        }
        tw_context_free(context);
    }
    assert_memory_equal(mask[0], mask[1], sizeof mask[0]);
    for (int step = 1; step < STEPS; step++)
        assert_memory_not_equal(mask[0][step - 1], mask[0][step], sizeof mask[0][step]);
}

int main(void) {
#define TEST cmocka_unit_test
    const struct CMUnitTest tests[] = {
        TEST(test_matmul),
        TEST(test_conv_forward),
        TEST(test_conv_backward_data),
        TEST(test_conv_backward_weights),
        TEST(test_reductions),
        TEST(test_scatter),
        TEST(test_elementwise),
        TEST(test_products),
        TEST(test_bf16_products),
        TEST(test_convolutions),
        TEST(test_training),
        TEST(test_dropout_masks),
    };
    /* What the library computes only where there is no generated code. */
    const struct CMUnitTest library[] = {TEST(test_matmul), TEST(test_products)};
    return cmocka_run_group_tests_name("the same bits", tests, setup, teardown) +
           cmocka_run_group_tests_name("by the library", library, setup_library, teardown);
}
