/*
 * vmap as a transform: axes, variables, gradients around and inside, nesting, random numbers,
 * calls, open numbers of examples, assigns, metadata, refusals.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "grad/vmap.h"
#include "support/numbers.h"

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

/* A piece of a larger array stays that piece for each example. */
static void examples_are_pieces_of_one_array(void **state) {
    (void)state;
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

static void inner_gradient(tw_graph *g, const tw_value *in, tw_value *out, const void *config) {
    (void)config;
    tw_scope_begin(g, "inner");
    tw_source(g, "model.c:7");
    tw_value y = tw_sum(tw_relu(in[0]));
    tw_source(g, NULL);
    tw_scope_end(g);
    tw_grad(y, 1, in, out);
}

/* Scope, source and phase of the function's nodes; relu stays one node. */
static void nodes_keep_their_metadata(void **state) {
    (void)state;
    tw_graph *g = tw_graph_new(context, store, TW_SYMBOLIC, NULL);
    tw_scope_begin(g, "outer");
    tw_value x = tw_input(g, "x", TW_F64, TW_SHAPE(3, 4)), y;
    const int first = 0;
    size_t before = g->nodes.count;
    tw_vmap(g, inner_gradient, NULL, 1, &x, &first, 1, &y);
    assert_true(tw_ok(y));
    int forward = 0, backward = 0;
    for (size_t i = before; i < g->nodes.count; i++) {
        const node *it = &g->nodes.at[i];
        if (!strcmp(it->op->name, "relu")) {
            forward++;
            assert_string_equal(it->meta.scope, "outer/inner");
            assert_string_equal(it->meta.source, "model.c:7");
            assert_int_equal(it->meta.phase, PHASE_FORWARD);
        }
        if (!strcmp(it->op->name, "relu_grad")) {
            backward++;
            assert_string_equal(it->meta.scope, "outer/inner");
            assert_int_equal(it->meta.phase, PHASE_BACKWARD);
        }
    }
    assert_int_equal(forward, 1);
    assert_int_equal(backward, 1);
    assert_null(g->meta.source);
    assert_string_equal(graph_scope(g), "outer");
    tw_graph_free(g);
}

/* The entry for nodes that stand in the graph already: of two rows and a weight, row by row. */
static void nodes_of_the_graph_are_batched(void **state) {
    (void)state;
    tw_graph *g = tw_graph_new(context, store, TW_IMMEDIATE, NULL);
    tw_tape_begin(g);
    tw_value w = numbers(g, TW_SHAPE(4, 2), 11), rows = numbers(g, TW_SHAPE(3, 1, 4), 12);
    tw_value one = tw_matmul(tw_reshape(tw_slice(rows, 0, 0, 1), TW_SHAPE(1, 4)), w);
    uint32_t operand[] = {rows.id, w.id}, result;
    const bool batched[] = {true, false};
    const node *dot = &g->nodes.at[g->values.at[one.id].node];
    assert_true(batch_node(g, dot, 3, operand, batched, &result));
    tw_value expected = tw_matmul(tw_reshape(rows, TW_SHAPE(3, 4)), w);
    assert_int_equal(g->values.at[result].type.shape.rank, 3);
    assert_reads("rows", graph_handle(g, result), expected, 6);
    assert_int_equal(tw_tape_end(g, 0, NULL), TW_OK);
    tw_graph_free(g);
}

static void draw_twice(tw_graph *g, const tw_value *in, tw_value *out, const void *config) {
    const int first = 0;
    tw_vmap(g, draw, config, 1, in, &first, 2, out);
}

static void nested_examples_draw_different_numbers(void **state) {
    (void)state;
    tw_graph *g = tw_graph_new(context, store, TW_SYMBOLIC, NULL);
    tw_value x = tw_input(g, "x", TW_F64, TW_SHAPE(tw_symbol(context, "examples"), 2)), y[2];
    const int first = 0;
    tw_vmap(g, draw_twice, NULL, 1, &x, &first, 2, y);
    tw_program *program = tw_compile(g, 1, &x, 2, y, NULL);
    assert_non_null(program);
    tw_tensor *in = tensor_drawn(context, TW_F64, TW_SHAPE(3, 2), 13, -1, 1), *out[2] = {NULL};
    double last[24] = {0}, a[24];
    for (int run = 0; run < 2; run++) { /* and each run draws others */
        assert_int_equal(tw_run(program, &in, out), TW_OK);
        assert_int_equal(numbers_of(out[0], 24, a), 24);
        for (int i = 0; i < 24; i++)
            for (int k = 0; k < i; k++) assert_true(a[i] != a[k] && a[i] != last[k]);
        memcpy(last, a, sizeof a);
    }
    for (int i = 0; i < 2; i++) tw_tensor_free(out[i]);
    tw_tensor_free(in);
    tw_program_free(program);
    tw_graph_free(g);
}

static tw_status own_infer(tw_signature *signature) {
    signature->result[0] = signature->operand[0];
    return TW_OK;
}

static void own_scalar(int64_t count, void *out, const void *const *in, const int64_t *step,
                       const tw_attr *attr) {
    (void)attr;
    for (int64_t i = 0; i < count; i++)
        ((double *)out)[i] = ((const double *)in[0])[i * step[0]] + 1;
}

static int own_factors(const tw_signature *signature, tw_factor *out) {
    (void)signature;
    (void)out;
    return 0;
}

static void own_cost(const tw_signature *signature, tw_cost *out) {
    (void)signature;
    *out = (tw_cost){0, 0};
}

static void apply_own(tw_graph *g, const tw_value *in, tw_value *out, const void *config) {
    (void)config;
    tw_apply(g, "own_next", 1, in, NULL, out);
}

static void widest(tw_graph *g, const tw_value *in, tw_value *out, const void *config) {
    (void)g;
    (void)config;
    out[0] = tw_broadcast(in[0], TW_SHAPE(1, 1, 1, 1, 1, 1, 1, 3));
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
    x = fresh(TW_SHAPE(2, 3));
    assert_refused(widest, &x, &zero, 1, "rank 9");
    static const tw_operator own = {.name = "own_next",
                                    .formula = "y = x + 1",
                                    .semantics = "as add",
                                    .operands = "x",
                                    .results = "y",
                                    .infer = own_infer,
                                    .no_vjp = "a test",
                                    .factors = own_factors,
                                    .cost = own_cost,
                                    .meaning = TW_MEANS_SCALAR,
                                    .scalar = {[TW_F64] = own_scalar},
                                    .no_samples = "a test"};
    assert_int_equal(tw_register(context, &own), TW_OK);
    x = fresh(TW_SHAPE(2, 3));
    assert_refused(apply_own, &x, &zero, 1, "own_next has no batch rule");
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(variables_are_shared),
    cmocka_unit_test(gradients_of_each_example),
    cmocka_unit_test(it_nests),
    cmocka_unit_test(calls_are_batched),
    cmocka_unit_test(examples_draw_different_numbers),
    cmocka_unit_test(examples_are_pieces_of_one_array),
    cmocka_unit_test(nested_examples_draw_different_numbers),
    cmocka_unit_test(nodes_keep_their_metadata),
    cmocka_unit_test(nodes_of_the_graph_are_batched),
    cmocka_unit_test(the_number_of_examples_may_be_open),
    cmocka_unit_test(one_value_is_assigned),
    cmocka_unit_test(misuse_is_refused),
};

int main(void) { return cmocka_run_group_tests(tests, start, stop); }
