/* Microbatches: the numbers of the whole batch, the fixed tree's bits, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "grad/microbatch.h"
#include "grad/tree_sum.h"
#include "support/numbers.h"

enum { BATCH = 8, MOST = 4096 };

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

/* in: image (BATCH,8,8,1) f32, label (BATCH) i32 with one to ignore. out[0] the loss. */
typedef void (*model_function)(tw_graph *graph, tw_value image, tw_value label, tw_value *out);

static void convnet(tw_graph *graph, tw_value image, tw_value label, tw_value *out) {
    (void)graph;
    const int64_t window[] = {3, 3};
    tw_conv_layer_opts conv = {.conv = {.same = true, .relu = true}};
    tw_value h = tw_conv_layer(image, "conv1", 4, window, &conv);
    h = tw_max_pool(h, &(tw_pool_opts){.window = {2, 2}});
    h = tw_dropout(h, 0.25, NULL);
    h = tw_reshape(h, TW_SHAPE(BATCH, TW_DIM_INFER));
    h = tw_dense(h, "fc1", 8, &(tw_dense_opts){.relu = true});
    h = tw_dense(h, "fc2", 5, NULL);
    out[0] = tw_cross_entropy(h, label, NULL);
    out[1] = tw_correct(h, label);
    out[2] = h;
}

/* Couples the examples: each is centred by the batch. Two levels, forward and backward. */
static void centred(tw_graph *graph, tw_value image, tw_value label, tw_value *out) {
    (void)graph;
    tw_value h = tw_dense(tw_reshape(image, TW_SHAPE(BATCH, 64)), "fc1", 6, NULL);
    h = tw_tanh(tw_sub(h, tw_mean_axis(h, 0, true)));
    /* One table read twice: a gradient of joined rows. The softmax runs over the batch. */
    tw_value e = tw_add(tw_embedding(label, "words", 5, 6, NULL),
                        tw_scale(tw_embedding(label, "words", 5, 6, NULL), 0.5));
    h = tw_add(h, tw_transpose(tw_softmax(tw_transpose(h))));
    tw_value place = tw_cast(tw_iota(graph, TW_I32, TW_SHAPE(BATCH, 6), 0), TW_F32);
    h = tw_mul(tw_add(h, e), tw_shift(place, 0.5));
    out[0] = tw_mse(tw_softmax(h), tw_scale(e, 0.5));
    out[1] = tw_max_axis(h, 0, false);
    out[2] = h;
}

typedef struct outcome {
    double loss, other[MOST], all[MOST];
    double variable[8][MOST];
    int n_other, n_all, n_variables, n[8];
} outcome;

/* parse(print(g)) prints the same. */
static void check_text(tw_graph *graph) {
    char *first = tw_graph_print(graph);
    tw_graph *again = first ? tw_graph_parse(context, NULL, first) : NULL;
    char *second = again ? tw_graph_print(again) : NULL;
    if (!second) fail_msg("%s", tw_message(context));
    assert_string_equal(first, second);
    tw_string_free(context, first);
    tw_string_free(context, second);
    tw_graph_free(again);
}

/* Two steps with `parts` microbatches. */
static void train(model_function model, int parts, tw_optimizer_kind kind, outcome *o) {
    tw_store *store = tw_store_new(context, &(tw_store_opts){.seed = 5});
    tw_graph *graph = tw_graph_new(context, store, TW_SYMBOLIC, &(tw_graph_opts){.training = true});
    tw_value in[2] = {tw_input(graph, "image", TW_F32, TW_SHAPE(BATCH, 8, 8, 1)),
                      tw_input(graph, "label", TW_I32, TW_SHAPE(BATCH))};
    tw_value out[3] = {{0}};
    model(graph, in[0], in[1], out);
    tw_minimize(out[0], &(tw_optimizer){.kind = kind, .rate = 0.1, .microbatches = parts});
    if (tw_graph_status(graph) || tw_graph_verify(graph)) fail_msg("%s", tw_message(context));
    check_text(graph);
    tw_program *program = tw_compile(graph, 2, in, 3, out, NULL);
    if (!program) fail_msg("%s", tw_message(context));
    const double label[BATCH] = {0, 1, 2, -1, 4, 0, 1, 2};
    tw_tensor *data[] = {tensor_drawn(context, TW_F32, TW_SHAPE(BATCH, 8, 8, 1), 1, -1, 1),
                         tensor_of(context, TW_I32, TW_SHAPE(BATCH), label)};
    tw_tensor *result[3] = {NULL};
    for (int i = 0; i < 2; i++)
        if (tw_run(program, data, result)) fail_msg("%s", tw_message(context));
    o->loss = tw_tensor_item(result[0]);
    o->n_other = numbers_of(result[1], MOST, o->other);
    o->n_all = numbers_of(result[2], MOST, o->all);
    o->n_variables = 0;
    for (int i = 0; i < tw_store_size(store); i++) {
        const char *path = tw_store_path(store, i);
        if (strstr(path, "optimizer") || strstr(path, "random")) continue;
        int v = o->n_variables++;
        o->n[v] = numbers_at(store, path, MOST, o->variable[v]);
    }
    for (int i = 0; i < 3; i++) tw_tensor_free(result[i]);
    tw_tensor_free(data[0]);
    tw_tensor_free(data[1]);
    tw_program_free(program);
    tw_graph_free(graph);
    tw_store_free(store);
}

static void check_model(model_function model, tw_optimizer_kind kind) {
    static outcome whole, cut;
    train(model, 1, kind, &whole);
    assert_true(whole.n_variables > 2);
    for (int parts = 2; parts <= BATCH; parts *= 2) {
        char what[64];
        snprintf(what, sizeof what, "%d microbatches", parts);
        train(model, parts, kind, &cut);
        assert_near(what, 1, &cut.loss, &whole.loss, 1e-6);
        assert_int_equal(cut.n_other, whole.n_other);
        assert_near(what, whole.n_other, cut.other, whole.other, 1e-6);
        assert_int_equal(cut.n_all, whole.n_all);
        assert_near(what, whole.n_all, cut.all, whole.all, 2e-6);
        assert_int_equal(cut.n_variables, whole.n_variables);
        for (int v = 0; v < whole.n_variables; v++)
            assert_near(what, whole.n[v], cut.variable[v], whole.variable[v], 1e-6);
    }
}

static void test_convnet(void **state) {
    (void)state;
    check_model(convnet, TW_SGD);
    check_model(convnet, TW_MOMENTUM);
}

static void test_coupled(void **state) {
    (void)state;
    check_model(centred, TW_SGD);
}

/* n >= 1 parts of one type, added up in the tree that microbatches use. */
static tw_value tree_sum(int n, const tw_value *part) {
    tw_graph *graph = part[0].graph;
    tree_stack stack = {.count = 0};
    tw_value poison = {graph, 0, 0};
    for (int i = 0; i < n; i++) {
        uint32_t id = graph_resolve(graph, part[i]);
        if (id == ABSENT || !tree_push(graph, TW_SUM, &stack, id, i == n - 1)) return poison;
    }
    uint32_t sum = tree_finish(graph, TW_SUM, &stack);
    return sum == ABSENT ? poison : graph_handle(graph, sum);
}

/* The sum of 8 arrays by `devices` that each add their run of them first. */
static void tree_of(int devices, tw_tensor **part, float *out) {
    tw_graph *graph = tw_graph_new(context, NULL, TW_SYMBOLIC, NULL);
    tw_type type = tw_tensor_type(part[0]);
    tw_value in[8], sum[8];
    tw_tensor *result = NULL;
    int each = 8 / devices;
    for (int i = 0; i < 8; i++) in[i] = tw_input(graph, "part", type.dtype, type.shape);
    for (int d = 0; d < devices; d++) sum[d] = tree_sum(each, in + d * each);
    tw_value all = tree_sum(devices, sum);
    tw_program *program = tw_compile(graph, 8, in, 1, &all, NULL);
    if (!program || tw_run(program, part, &result)) fail_msg("%s", tw_message(context));
    assert_int_equal(tw_tensor_get(result, out, tw_tensor_bytes(result)), TW_OK);
    tw_tensor_free(result);
    tw_program_free(program);
    tw_graph_free(graph);
}

enum { WIDE = 48, HIDDEN = 16, CLASSES = 5 };

/* The gradient of fc1's weight on images[from..from+batch-1], in `parts` microbatches. */
static tw_tensor *gradient(tw_store *store, int from, int batch, int parts, const double *images,
                           const double *labels) {
    tw_graph *graph = tw_graph_new(context, store, TW_SYMBOLIC, &(tw_graph_opts){.training = true});
    tw_value in[2] = {tw_input(graph, "image", TW_F32, TW_SHAPE(batch, WIDE)),
                      tw_input(graph, "label", TW_I32, TW_SHAPE(batch))};
    tw_value h = tw_dense(in[0], "fc1", HIDDEN, &(tw_dense_opts){.relu = true});
    tw_value logits = tw_dense(h, "fc2", CLASSES, NULL);
    const tw_value pair[] = {logits, in[1]};
    tw_value sum = tw_sum(tw_apply(graph, "cross_entropy", 2, pair, NULL, NULL)), w[4], dw[4];
    assert_int_equal(tw_parameters(sum, 4, w), 4);
    tw_grad(sum, 4, w, dw);
    if (!microbatch_cut(graph, parts)) fail_msg("%s", tw_message(context));
    tw_program *program = tw_compile(graph, 2, in, 1, dw, NULL);
    tw_tensor *data[] = {tensor_of(context, TW_F32, TW_SHAPE(batch, WIDE), images + from * WIDE),
                         tensor_of(context, TW_I32, TW_SHAPE(batch), labels + from)};
    tw_tensor *result = NULL;
    if (!program || tw_run(program, data, &result)) fail_msg("%s", tw_message(context));
    tw_tensor_free(data[0]);
    tw_tensor_free(data[1]);
    tw_program_free(program);
    tw_graph_free(graph);
    return result;
}

/*
 * 8 microbatches on 1, 2, 4 or 8 devices to come: each computes the gradients of its own and adds
 * them, then theirs are added. The bits are those of the program that does all 8.
 */
static void test_tree_bits(void **state) {
    (void)state;
    enum { ALL = 16, EACH = ALL / 8 };
    double images[ALL * WIDE], labels[ALL];
    float program[WIDE * HIDDEN], devices[WIDE * HIDDEN], at_once[WIDE * HIDDEN];
    tw_tensor *drawn = tensor_drawn(context, TW_F64, TW_SHAPE(ALL, WIDE), 9, -1, 1);
    numbers_of(drawn, ALL * WIDE, images);
    tw_tensor_free(drawn);
    for (int i = 0; i < ALL; i++) labels[i] = i * 7 % CLASSES;
    tw_store *store = tw_store_new(context, &(tw_store_opts){.seed = 11});
    tw_tensor *part[8], *whole = gradient(store, 0, ALL, 8, images, labels);
    assert_int_equal(tw_tensor_get(whole, program, sizeof program), TW_OK);
    tw_tensor_free(whole);
    for (int i = 0; i < 8; i++) part[i] = gradient(store, i * EACH, EACH, 1, images, labels);
    for (int n = 1; n <= 8; n *= 2) {
        tree_of(n, part, devices);
        assert_memory_equal(program, devices, sizeof program);
    }
    for (int i = 0; i < 8; i++) tw_tensor_free(part[i]);
    /* The order matters, or the check would say nothing. */
    whole = gradient(store, 0, ALL, 1, images, labels);
    assert_int_equal(tw_tensor_get(whole, at_once, sizeof at_once), TW_OK);
    assert_memory_not_equal(program, at_once, sizeof program);
    tw_tensor_free(whole);
    tw_store_free(store);
}

/* One piece's activations live at a time. */
static void test_memory(void **state) {
    (void)state;
    size_t bytes[2];
    for (int k = 0; k < 2; k++) {
        tw_store *store = tw_store_new(context, NULL);
        tw_graph *graph = tw_graph_new(context, store, TW_SYMBOLIC, NULL);
        tw_value x = tw_input(graph, "x", TW_F32, TW_SHAPE(2048, 16)), h = x, out = {0};
        for (int i = 0; i < 4; i++) {
            char name[16];
            snprintf(name, sizeof name, "fc%d", i);
            h = tw_dense(h, name, 16, &(tw_dense_opts){.relu = true});
        }
        out = tw_mean(h);
        tw_minimize(out, &(tw_optimizer){.microbatches = k ? 8 : 1});
        tw_program *program = tw_compile(graph, 1, &x, 1, &out, NULL);
        tw_tensor *data = tensor_drawn(context, TW_F32, TW_SHAPE(2048, 16), 1, -1, 1), *y = NULL;
        if (!program || tw_run(program, &data, &y)) fail_msg("%s", tw_message(context));
        bytes[k] = tw_program_memory(program);
        tw_tensor_free(data);
        tw_tensor_free(y);
        tw_program_free(program);
        tw_graph_free(graph);
        tw_store_free(store);
    }
    if (bytes[1] > bytes[0] / 4)
        fail_msg("8 microbatches plan %zu bytes, the whole batch %zu", bytes[1], bytes[0]);
}

/* The tree's shape: "((0+1)+(2+3))+4" and so on. */
static void test_tree_shape(void **state) {
    (void)state;
    for (int n = 1; n <= 13; n++) {
        tw_graph *graph = tw_graph_new(context, NULL, TW_SYMBOLIC, NULL);
        tw_value in[13], halves[2];
        for (int i = 0; i < n; i++) in[i] = tw_input(graph, "part", TW_F64, TW_SHAPE());
        int p = 1;
        while (2 * p < n) p *= 2;
        tw_value all = tree_sum(n, in), again = in[0];
        if (n > 1) {
            halves[0] = tree_sum(p, in);
            halves[1] = tree_sum(n - p, in + p);
            again = tw_add(halves[0], halves[1]);
        }
        tw_tensor *data[13], *result[2] = {NULL};
        for (int i = 0; i < n; i++)
            data[i] = tensor_drawn(context, TW_F64, TW_SHAPE(), (uint64_t)i + 1, -1, 1);
        tw_program *program = tw_compile(graph, n, in, 2, (tw_value[]){all, again}, NULL);
        if (!program || tw_run(program, data, result)) fail_msg("%s", tw_message(context));
        double a = tw_tensor_item(result[0]), b = tw_tensor_item(result[1]);
        assert_memory_equal(&a, &b, sizeof a);
        for (int i = 0; i < n; i++) tw_tensor_free(data[i]);
        for (int i = 0; i < 2; i++) tw_tensor_free(result[i]);
        tw_program_free(program);
        tw_graph_free(graph);
    }
}

/* A training step with dropout and momentum for batches of that extent. */
static tw_program *open_step(tw_store *store, int64_t batch, int64_t width, int parts) {
    tw_graph *graph = tw_graph_new(context, store, TW_SYMBOLIC, &(tw_graph_opts){.training = true});
    tw_value in[2] = {tw_input(graph, "image", TW_F32, TW_SHAPE(batch, width)),
                      tw_input(graph, "label", TW_I32, TW_SHAPE(batch))};
    tw_value h = tw_dropout(tw_tanh(in[0]), 0.25, NULL);
    tw_value loss = tw_cross_entropy(tw_dense(h, "fc", 3, NULL), in[1], NULL);
    tw_minimize(loss, &(tw_optimizer){.kind = TW_MOMENTUM, .rate = 0.1, .microbatches = parts});
    check_text(graph);
    tw_program *program = tw_compile(graph, 2, in, 1, &loss, NULL);
    if (!program) fail_msg("%s", tw_message(context));
    tw_graph_free(graph);
    return program;
}

/* One program for every batch of 4 n: the numbers of programs that know their batch. */
static void test_open_batch(void **state) {
    (void)state;
    enum { PARTS = 4, IN = 6, LARGEST = 16 };
    const int64_t sizes[] = {8, LARGEST, PARTS, 8};
    const double label[LARGEST] = {0, 1, 2, -1, 2, 0, 1, 2, 0, 0, 1, -1, 2, 1, 0, 2};
    int64_t open = tw_dim_mul(context, PARTS, tw_symbol(context, "n"));
    tw_store *store[2];
    tw_program *known = NULL, *any = NULL;
    for (int k = 0; k < 2; k++) store[k] = tw_store_new(context, &(tw_store_opts){.seed = 5});
    for (int i = 0; i < 4; i++) {
        double loss[2], weight[2][IN * 3], bias[2][3];
        for (int k = 0; k < 2; k++) {
            tw_program **program = k ? &any : &known;
            if (!*program) *program = open_step(store[k], k ? open : sizes[i], IN, PARTS);
            tw_tensor *data[] = {tensor_drawn(context, TW_F32, TW_SHAPE(sizes[i], IN), 3, -1, 1),
                                 tensor_of(context, TW_I32, TW_SHAPE(sizes[i]), label)};
            tw_tensor *result = NULL;
            if (tw_run(*program, data, &result)) fail_msg("%s", tw_message(context));
            loss[k] = tw_tensor_item(result);
            numbers_at(store[k], "fc/weight", IN * 3, weight[k]);
            numbers_at(store[k], "fc/bias", 3, bias[k]);
            tw_tensor_free(result);
            tw_tensor_free(data[0]);
            tw_tensor_free(data[1]);
        }
        tw_program_free(known);
        known = NULL;
        assert_memory_equal(&loss[0], &loss[1], sizeof loss[0]);
        assert_memory_equal(weight[0], weight[1], sizeof weight[0]);
        assert_memory_equal(bias[0], bias[1], sizeof bias[0]);
    }
    tw_tensor *odd[] = {tensor_drawn(context, TW_F32, TW_SHAPE(6, IN), 3, -1, 1),
                        tensor_of(context, TW_I32, TW_SHAPE(6), label)},
              *none = NULL;
    assert_int_equal(tw_run(any, odd, &none), TW_ERR_SHAPE);
    assert_non_null(strstr(tw_message(context), "no n = 0, 1, 2, ... gives 4*n = 6"));
    tw_tensor_free(odd[0]);
    tw_tensor_free(odd[1]);
    tw_program_free(any);
    for (int k = 0; k < 2; k++) tw_store_free(store[k]);
}

static void refused(const char *says, int64_t batch, bool reversed, bool pair) {
    tw_store *store = tw_store_new(context, NULL);
    tw_graph *graph = tw_graph_new(context, store, TW_SYMBOLIC, NULL);
    tw_value x = tw_input(graph, "x", TW_F32, TW_SHAPE(batch, 3));
    tw_scope_begin(graph, "block");
    tw_value y = tw_dense(x, "fc", 2, NULL);
    if (reversed) y = tw_reverse(y, 0);
    tw_scope_end(graph);
    tw_minimize(pair ? tw_mean(y) : tw_sum(y), &(tw_optimizer){.microbatches = 4});
    assert_int_not_equal(tw_graph_status(graph), TW_OK);
    if (!strstr(tw_message(context), says))
        fail_msg("'%s' is not in: %s", says, tw_message(context));
    tw_graph_free(graph);
    tw_store_free(store);
}

static void test_refused(void **state) {
    (void)state;
    refused("input \"x\"", 6, false, true);
    refused("[n,3]", tw_symbol(context, "n"), false, true);
    refused("reverse", 8, true, true);
    refused("\"block\"", 8, true, true);
    refused("pair", 8, false, false);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_convnet),    cmocka_unit_test(test_coupled),
        cmocka_unit_test(test_tree_bits),  cmocka_unit_test(test_tree_shape),
        cmocka_unit_test(test_memory),     cmocka_unit_test(test_refused),
        cmocka_unit_test(test_open_batch),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
