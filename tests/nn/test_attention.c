/* Attention, recurrent cells and embedding: what is refused, symbolic extents, dropout, training. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "support/numbers.h"

static tw_context *context;
static tw_store *store;
static const tw_value none;

static int setup(void **state) {
    (void)state;
    context = tw_context_new(NULL);
    store = tw_store_new(context, &(tw_store_opts){.seed = 5});
    return store ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    tw_context_free(context);
    return 0;
}

static tw_graph *new_graph(bool training) {
    tw_graph *g = tw_graph_new(context, store, TW_SYMBOLIC, &(tw_graph_opts){.training = training});
    assert_non_null(g);
    return g;
}

static tw_value f32(tw_graph *g, tw_shape shape) { return tw_zeros(g, TW_F32, shape); }

/* A function of a fresh graph that must fail with a message that has `says`. */
typedef struct refusal {
    tw_value (*build)(tw_graph *g);
    const char *says;
} refusal;

#define REFUSED(name, expression)                                                                  \
    static tw_value name(tw_graph *g) { return expression; }

static tw_value attend(tw_value q, tw_value k, tw_value v, tw_attention_opts opts) {
    return tw_attention(q, k, v, &opts);
}
#define Q f32(g, TW_SHAPE(2, 3, 4, 5))
#define K f32(g, TW_SHAPE(2, 6, 2, 5))
REFUSED(rank, attend(f32(g, TW_SHAPE(2, 3, 4)), K, K, (tw_attention_opts){0}))
REFUSED(groups, attend(f32(g, TW_SHAPE(2, 3, 3, 5)), K, K, (tw_attention_opts){0}))
REFUSED(width, attend(Q, f32(g, TW_SHAPE(2, 6, 2, 4)), K, (tw_attention_opts){0}))
REFUSED(values, attend(Q, K, f32(g, TW_SHAPE(2, 5, 2, 5)), (tw_attention_opts){0}))
REFUSED(batch, attend(f32(g, TW_SHAPE(1, 3, 4, 5)), K, K, (tw_attention_opts){0}))
REFUSED(whole_numbers,
        attend(tw_zeros(g, TW_I32, TW_SHAPE(2, 3, 4, 5)), K, K, (tw_attention_opts){0}))
REFUSED(float_mask, attend(Q, K, K, (tw_attention_opts){.mask = f32(g, TW_SHAPE(3, 6))}))
REFUSED(wide_mask,
        attend(Q, K, K, (tw_attention_opts){.mask = tw_zeros(g, TW_BOOL, TW_SHAPE(4, 6))}))
REFUSED(tall_mask,
        attend(Q, K, K, (tw_attention_opts){.mask = tw_zeros(g, TW_BOOL, TW_SHAPE(1, 2, 4, 3, 6))}))
REFUSED(infinite_scale, attend(Q, K, K, (tw_attention_opts){.scale = INFINITY}))
REFUSED(symbolic_width,
        attend(f32(g, TW_SHAPE(2, 3, 4, tw_symbol(context, "w"))),
               f32(g, TW_SHAPE(2, 6, 2, tw_symbol(context, "w"))),
               f32(g, TW_SHAPE(2, 6, 2, tw_symbol(context, "w"))), (tw_attention_opts){0}))
REFUSED(rotary_odd, tw_rotary(f32(g, TW_SHAPE(2, 3, 4, 5)), none, NULL))
REFUSED(rotary_rank, tw_rotary(f32(g, TW_SHAPE(3, 4, 6)), none, NULL))
REFUSED(rotary_positions,
        tw_rotary(f32(g, TW_SHAPE(2, 3, 4, 6)), tw_zeros(g, TW_I32, TW_SHAPE(2)), NULL))
REFUSED(rotary_floats, tw_rotary(f32(g, TW_SHAPE(2, 3, 4, 6)), f32(g, TW_SHAPE(3)), NULL))
REFUSED(rotary_base, tw_rotary(f32(g, TW_SHAPE(2, 3, 4, 6)), none, &(tw_rotary_opts){.base = -1}))

static tw_value layer(tw_graph *g, int64_t heads, tw_multi_head_opts opts) {
    return tw_multi_head_attention(f32(g, TW_SHAPE(2, 3, 8)), "mha", heads, &opts);
}
REFUSED(head_count, layer(g, 3, (tw_multi_head_opts){0}))
REFUSED(no_heads, layer(g, 0, (tw_multi_head_opts){0}))
REFUSED(kv_heads, layer(g, 4, (tw_multi_head_opts){.kv_heads = 3}))
REFUSED(turned_source,
        layer(g, 4, (tw_multi_head_opts){.rotary = true, .source = f32(g, TW_SHAPE(2, 5, 8))}))
REFUSED(flat_source, layer(g, 4, (tw_multi_head_opts){.source = f32(g, TW_SHAPE(5, 8))}))
REFUSED(dropout_rate, layer(g, 4, (tw_multi_head_opts){.dropout = 1}))
REFUSED(no_name, tw_multi_head_attention(f32(g, TW_SHAPE(2, 3, 8)), "", 2, NULL))

REFUSED(unknown_time, tw_lstm(f32(g, TW_SHAPE(2, tw_symbol(context, "t"), 3)), "l", 4, NULL))
REFUSED(no_time, tw_gru(f32(g, TW_SHAPE(2, 0, 3)), "l", 4, NULL))
REFUSED(flat_sequence, tw_lstm(f32(g, TW_SHAPE(2, 3)), "l", 4, NULL))
REFUSED(no_units, tw_gru_cell(f32(g, TW_SHAPE(2, 3)), none, "l", 0, NULL))
REFUSED(wrong_state, tw_gru_cell(f32(g, TW_SHAPE(2, 3)), f32(g, TW_SHAPE(2, 3)), "l", 4, NULL))
REFUSED(state_of_doubles,
        tw_gru_cell(f32(g, TW_SHAPE(2, 3)), tw_zeros(g, TW_F64, TW_SHAPE(2, 4)), "l", 4, NULL))
static tw_value wrong_c(tw_graph *g) {
    tw_value h, c;
    tw_lstm_cell(f32(g, TW_SHAPE(2, 3)), none, f32(g, TW_SHAPE(1, 4)), "l", 4, &h, &c, NULL);
    assert_false(tw_ok(c));
    return h;
}
REFUSED(padding_past, tw_embedding(tw_zeros(g, TW_I32, TW_SHAPE(2)), "e", 4, 3,
                                   &(tw_embedding_opts){.padded = true, .padding = 4}))
REFUSED(embedding_type, tw_embedding(tw_zeros(g, TW_I32, TW_SHAPE(2)), "e", 4, 3,
                                     &(tw_embedding_opts){.dtype = TW_I32}))
REFUSED(embedding_by_floats, tw_embedding(f32(g, TW_SHAPE(2)), "e", 4, 3, NULL))

static void test_refusals(void **state) {
    (void)state;
    static const refusal all[] = {
        {rank, "(batch, time, heads, width)"},
        {groups, "3 heads of q for 2 of k and v"},
        {width, "operand 1 is f32[2,6,2,4], expected f32[2,6,2,5]"},
        {values, "operand 2 is f32[2,5,2,5], expected f32[2,6,2,5]"},
        {batch, "operand 1 is f32[2,6,2,5], expected f32[1,6,2,5]"},
        {whole_numbers, "operand 0 is i32"},
        {float_mask, "mask is f32"},
        {wide_mask, "does not broadcast"},
        {tall_mask, "does not broadcast"},
        {infinite_scale, "scale is inf"},
        {symbolic_width, "width is symbolic"},
        {rotary_odd, "even width"},
        {rotary_rank, "x has rank 3"},
        {rotary_positions, "positions are i32 of rank 1 with other extents"},
        {rotary_floats, "positions are f32"},
        {rotary_base, "base is -1"},
        {head_count, "8 features do not divide into 3 heads"},
        {no_heads, "0 heads"},
        {kv_heads, "4 heads with 3 of keys and values"},
        {turned_source, "rotary positions with a source"},
        {flat_source, "its source 2"},
        {dropout_rate, "dropout is 1"},
        {no_name, "needs a name"},
        {unknown_time, "time is symbolic"},
        {no_time, "time is 0"},
        {flat_sequence, "tw_lstm \"l\": x has rank 2"},
        {no_units, "0 units are wanted"},
        {wrong_state, "h is f32 of rank 2, expected f32 (batch, units) with 4 units"},
        {state_of_doubles, "h is f64"},
        {wrong_c, "c is f32"},
        {padding_past, "padding is 4, expected 0 to 3"},
        {embedding_type, "dtype is i32"},
        {embedding_by_floats, "indices are f32"},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        tw_graph *g = new_graph(false);
        if (tw_ok(all[i].build(g)) || !tw_graph_status(g))
            fail_msg("\"%s\" was expected, and no error came", all[i].says);
        if (!strstr(tw_message(context), all[i].says))
            fail_msg("\"%s\" is not in \"%s\"", all[i].says, tw_message(context));
        tw_graph_free(g);
    }
}

/* Gives the numbers of out[0] for the inputs. */
static int run(tw_graph *g, int n, const tw_value *in, tw_tensor **data, tw_value out, int capacity,
               double *number) {
    tw_program *program = tw_compile(g, n, in, 1, &out, NULL);
    tw_tensor *result = NULL;
    if (!program || tw_run(program, data, &result)) fail_msg("%s", tw_message(context));
    int count = numbers_of(result, capacity, number);
    tw_tensor_free(result);
    tw_program_free(program);
    return count;
}

/* One program for every batch and length gives what a program of these extents gives. */
static void test_symbolic(void **state) {
    (void)state;
    enum { WIDTH = 8, MOST = 3 * 7 * WIDTH };
    tw_multi_head_opts opts = {.causal = true, .rotary = true, .kv_heads = 2};
    tw_graph *g = new_graph(false);
    tw_shape free_shape = TW_SHAPE(tw_symbol(context, "b"), tw_symbol(context, "t"), WIDTH);
    tw_value x = tw_input(g, "x", TW_F32, free_shape), dx;
    tw_value y = tw_multi_head_attention(x, "mha", 4, &opts), loss = tw_mean(tw_square(y));
    tw_grad(loss, 1, &x, &dx);
    const tw_value both = tw_add(y, dx);
    tw_program *program = tw_compile(g, 1, &x, 1, &both, NULL);
    if (!program) fail_msg("%s", tw_message(context));
    for (int64_t time = 1; time <= 7; time += 3) {
        tw_shape shape = TW_SHAPE(4 - time / 2, time, WIDTH);
        double have[MOST], want[MOST];
        tw_tensor *data = tensor_drawn(context, TW_F32, shape, (uint64_t)time, -1, 1), *out = NULL;
        if (tw_run(program, &data, &out)) fail_msg("%s", tw_message(context));
        int n = numbers_of(out, MOST, have);
        tw_graph *fixed = new_graph(false);
        tw_value fx = tw_input(fixed, "x", TW_F32, shape), fdx;
        tw_value fy = tw_multi_head_attention(fx, "mha", 4, &opts);
        tw_grad(tw_mean(tw_square(fy)), 1, &fx, &fdx);
        assert_int_equal(run(fixed, 1, &fx, &data, tw_add(fy, fdx), MOST, want), n);
        assert_near("symbolic extents", n, have, want, 1e-6);
        tw_tensor_free(out);
        tw_tensor_free(data);
        tw_graph_free(fixed);
    }
}

/* Causal: what comes later changes nothing before it. */
static void test_causal(void **state) {
    (void)state;
    enum { TIME = 5, WIDTH = 4, ALL = TIME * WIDTH };
    tw_graph *g = new_graph(false);
    tw_value x = tw_input(g, "x", TW_F64, TW_SHAPE(1, TIME, WIDTH));
    tw_value y = tw_multi_head_attention(x, "past", 2,
                                         &(tw_multi_head_opts){.causal = true, .rotary = true});
    double number[ALL], before[ALL], after[ALL];
    tw_tensor *data = tensor_drawn(context, TW_F64, TW_SHAPE(1, TIME, WIDTH), 3, -1, 1);
    run(g, 1, &x, &data, y, ALL, before);
    numbers_of(data, ALL, number);
    for (int i = 3 * WIDTH; i < ALL; i++) number[i] += 1;
    tw_tensor *changed = tensor_of(context, TW_F64, TW_SHAPE(1, TIME, WIDTH), number);
    run(g, 1, &x, &changed, y, ALL, after);
    assert_near("the past", 3 * WIDTH, before, after, 0);
    assert_true(fabs(before[3 * WIDTH] - after[3 * WIDTH]) > 1e-6);
}

/* Half of the probabilities go in training, none elsewhere, and a training step is refused there. */
static void test_dropout(void **state) {
    (void)state;
    enum { ALL = 2 * 6 * 8 };
    tw_multi_head_opts drop = {.dropout = 0.5}, keep = {0};
    tw_shape shape = TW_SHAPE(2, 6, 8);
    tw_tensor *data = tensor_drawn(context, TW_F32, shape, 9, -1, 1);
    double trained[ALL], evaluated[ALL], plain[ALL];
    for (int training = 0; training < 2; training++) {
        tw_graph *g = new_graph(training);
        tw_value x = tw_input(g, "x", TW_F32, shape);
        tw_value y = tw_multi_head_attention(x, "drop", 2, &drop);
        run(g, 1, &x, &data, y, ALL, training ? trained : evaluated);
        run(g, 1, &x, &data, tw_multi_head_attention(x, "drop", 2, &keep), ALL, plain);
        tw_minimize(tw_mean(y), &(tw_optimizer){.kind = TW_SGD, .rate = 0.1});
        assert_true(training ? !tw_graph_status(g) : tw_graph_status(g) != TW_OK);
        tw_graph_free(g);
    }
    assert_near("evaluation", ALL, evaluated, plain, 1e-6);
    int apart = 0;
    for (int i = 0; i < ALL; i++) apart += fabs(trained[i] - plain[i]) > 1e-3;
    assert_true(apart > ALL / 2);
}

/* Padding gives zeros whatever its row holds; its row gets no gradient; others of f64 do. */
static void test_padding(void **state) {
    (void)state;
    tw_graph *g = new_graph(false);
    tw_value at = tw_input(g, "at", TW_I32, TW_SHAPE(4)), w, dw, indices, rows;
    tw_embedding_opts opts = {.padded = true, .padding = 0, .dtype = TW_F64};
    tw_value y = tw_embedding(at, "padded", 3, 2, &opts);
    assert_int_equal(tw_dtype_of(y), TW_F64);
    assert_int_equal(tw_parameters(y, 1, &w), 1);
    tw_grad(tw_sum(y), 1, &w, &dw);
    assert_true(tw_grad_sparse(dw, &indices, &rows));
    const double index[] = {2, 0, 2, -1};
    tw_tensor *data = tensor_of(context, TW_I32, TW_SHAPE(4), index);
    double out[8], table[6], d[6];
    run(g, 1, &at, &data, y, 8, out);
    run(g, 1, &at, &data, dw, 6, d);
    numbers_at(store, "padded/weight", 6, table);
    assert_true(table[0] != 0);
    const double want[] = {table[4], table[5], 0, 0, table[4], table[5], 0, 0};
    const double want_d[] = {0, 0, 0, 0, 2, 2};
    assert_near("padding", 8, out, want, 0);
    assert_near("gradient", 6, d, want_d, 0);
}

/* The unrolled layer is the cell step by step, also in an immediate graph. */
static void test_unrolled(void **state) {
    (void)state;
    enum { BATCH = 2, TIME = 4, IN = 3, UNITS = 5, ALL = BATCH * TIME * UNITS };
    tw_graph *g = tw_graph_new(context, store, TW_IMMEDIATE, NULL);
    assert_non_null(g);
    tw_tape_begin(g);
    tw_tensor *data = tensor_drawn(context, TW_F64, TW_SHAPE(BATCH, TIME, IN), 4, -1, 1);
    tw_value x = tw_constant(g, data), h = none, c = none, step[TIME], last_h, last_c;
    for (int t = 0; t < TIME; t++) {
        tw_value now = tw_reshape(tw_slice(x, 1, t, 1), TW_SHAPE(BATCH, IN));
        tw_lstm_cell(now, h, c, "cell", UNITS, &h, &c, NULL);
        step[t] = tw_reshape(h, TW_SHAPE(BATCH, 1, UNITS));
    }
    tw_recurrent_opts opts = {.last_h = &last_h, .last_c = &last_c};
    tw_value y = tw_lstm(x, "cell", UNITS, &opts);
    double have[ALL], want[ALL];
    assert_int_equal(tw_read(y, have, sizeof have), TW_OK);
    assert_int_equal(tw_read(tw_concat(1, TIME, step), want, sizeof want), TW_OK);
    assert_near("unrolled", ALL, have, want, 1e-14);
    assert_int_equal(tw_read(last_c, have, BATCH * UNITS * sizeof *have), TW_OK);
    assert_int_equal(tw_read(c, want, BATCH * UNITS * sizeof *want), TW_OK);
    assert_near("last c", BATCH * UNITS, have, want, 1e-14);
    assert_int_equal(tw_tape_end(g, 0, NULL), TW_OK);
    double bias[4 * UNITS];
    assert_int_equal(numbers_at(store, "cell/hidden/bias", 4 * UNITS, bias), 4 * UNITS);
    for (int i = 0; i < 4 * UNITS; i++) assert_true(fabs(bias[i]) <= 1 / sqrt(UNITS));
}

/* A block trains, and microbatches take the step of the whole batch. */
static void test_microbatches(void **state) {
    (void)state;
    enum { BATCH = 4, TIME = 3, WIDTH = 6, MOST = WIDTH * WIDTH };
    tw_shape shape = TW_SHAPE(BATCH, TIME, WIDTH);
    tw_tensor *data = tensor_drawn(context, TW_F32, shape, 8, -1, 1), *out = NULL;
    double weight[2][MOST], loss[2];
    for (int k = 0; k < 2; k++) {
        tw_store *own = tw_store_new(context, &(tw_store_opts){.seed = 11});
        tw_graph *g = tw_graph_new(context, own, TW_SYMBOLIC, &(tw_graph_opts){.training = true});
        tw_value x = tw_input(g, "x", TW_F32, shape);
        tw_value y = tw_multi_head_attention(x, "mha", 3,
                                             &(tw_multi_head_opts){.causal = true, .rotary = true});
        y = tw_gru(tw_add(x, y), "gru", WIDTH, NULL);
        tw_value error = tw_mse(tw_swiglu(tw_dense(y, "up", 2 * WIDTH, NULL)), x);
        tw_minimize(error, &(tw_optimizer){.kind = TW_SGD, .rate = 0.5, .microbatches = k ? 2 : 1});
        tw_program *program = tw_compile(g, 1, &x, 1, &error, NULL);
        double first = 0;
        for (int i = 0; i < 20; i++) {
            if (!program || tw_run(program, &data, &out)) fail_msg("%s", tw_message(context));
            loss[k] = tw_tensor_item(out);
            if (!i) first = loss[k];
        }
        assert_true(loss[k] < 0.9 * first);
        assert_int_equal(numbers_at(own, "mha/query/weight", MOST, weight[k]), MOST);
    }
    assert_near("microbatches", MOST, weight[1], weight[0], 1e-5);
    assert_near("loss", 1, &loss[1], &loss[0], 1e-5);
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        EACH(test_refusals), EACH(test_symbolic), EACH(test_causal),       EACH(test_dropout),
        EACH(test_padding),  EACH(test_unrolled), EACH(test_microbatches),
    };
    return cmocka_run_group_tests_name("attention and recurrent layers", tests, NULL, NULL);
}
