/* Recurrent cells, and layers that unroll them over a known number of steps. */
#include <math.h>

#include "nn/layer.h"

#include "ir/graph.h"
#include "ops/rules.h"

enum { LSTM_GATES = 4, GRU_GATES = 3, STEPS_JOINED = 32, LEVELS = 4, MAX_STEPS = 1 << 20 };

static const int64_t MAX_UNITS = INT64_MAX / LSTM_GATES;

typedef struct cell {
    const char *layer, *name;
    int gates;
    int64_t units, batch;
    tw_dtype dtype;
    tw_graph *graph;
    tw_recurrent_opts opts;
    tw_value weight, bias; /* of the hidden state */
} cell;

/* name/weight (in, gates * units) and name/bias, absent without biases. */
static void variables(const cell *it, const char *name, int64_t in, tw_value *weight,
                      tw_value *bias) {
    double bound = 1 / sqrt((double)it->units);
    tw_init usual = tw_uniform(-bound, bound), init = layer_init(&it->opts.weight, usual);
    int64_t out = it->gates * it->units;
    *bias = (tw_value){0};
    tw_scope_begin(it->graph, "%s", name);
    *weight = tw_parameter(it->graph, "weight", it->dtype, TW_SHAPE(in, out), init);
    if (!it->opts.no_bias) *bias = tw_parameter(it->graph, "bias", it->dtype, TW_SHAPE(out), usual);
    tw_scope_end(it->graph);
}

static tw_value affine(tw_value x, tw_value weight, tw_value bias) {
    int last = tw_shape_of(x).rank - 1, first = 0;
    tw_value y = tw_dot(x, weight, 0, NULL, NULL, 1, &last, &first);
    return bias.graph ? tw_add(y, bias) : y;
}

/* The gates' share of x (..., in), in the scope of the layer; false with the graph's error. */
static bool begin(cell *it, tw_value x, int rank, tw_value *gates) {
    tw_type type = tw_type_of(x);
    if (type.shape.rank != rank || type.shape.dim[rank - 1] < 1 || it->units < 1 ||
        it->units > MAX_UNITS) {
        tw_fail(it->graph,
                "%s \"%s\": x has rank %d and %lld units are wanted, expected (%s) with "
                "a known number of features, and 1 to %lld units",
                it->layer, it->name, (int)type.shape.rank, (long long)it->units,
                rank == 2 ? "batch, in" : "batch, time, in", (long long)MAX_UNITS);
        return false;
    }
    tw_value weight, bias;
    it->dtype = type.dtype;
    it->batch = type.shape.dim[0];
    variables(it, "input", type.shape.dim[rank - 1], &weight, &bias);
    variables(it, "hidden", it->units, &it->weight, &it->bias);
    *gates = affine(x, weight, bias);
    return true;
}

/* A state as given, or zeros; poisoned if of another type. */
static tw_value state_of(const cell *it, const char *what, tw_value given) {
    tw_shape shape = TW_SHAPE(it->batch, it->units);
    if (!given.graph) return tw_zeros(it->graph, it->dtype, shape);
    if (!tw_ok(given)) return rule_poison(it->graph);
    tw_type type = tw_type_of(given);
    bool same = type.dtype == it->dtype && type.shape.rank == 2 && type.shape.dim[0] == it->batch &&
                type.shape.dim[1] == it->units;
    if (same) return given;
    return rule_fail(it->graph, TW_ERR_SHAPE,
                     "%s \"%s\": %s is %s of rank %d, expected %s (batch, units) with %lld units",
                     it->layer, it->name, what, tw_dtype_name(type.dtype), (int)type.shape.rank,
                     tw_dtype_name(it->dtype), (long long)it->units);
}

/* One step from the input's share (batch, 4 units); h and c are replaced. */
static void lstm_step(const cell *it, tw_value from_x, tw_value *h, tw_value *c) {
    tw_value gate[LSTM_GATES]; /* i, f, g, o */
    tw_split(tw_add(from_x, affine(*h, it->weight, it->bias)), 1, LSTM_GATES, gate);
    tw_value kept = tw_mul(tw_sigmoid(gate[1]), *c);
    *c = tw_add(kept, tw_mul(tw_sigmoid(gate[0]), tw_tanh(gate[2])));
    *h = tw_mul(tw_sigmoid(gate[3]), tw_tanh(*c));
}

/* The same for (batch, 3 units); there is no c. */
static void gru_step(const cell *it, tw_value from_x, tw_value *h, tw_value *c) {
    (void)c;
    tw_value x[GRU_GATES], own[GRU_GATES]; /* r, z, n */
    tw_split(from_x, 1, GRU_GATES, x);
    tw_split(affine(*h, it->weight, it->bias), 1, GRU_GATES, own);
    tw_value r = tw_sigmoid(tw_add(x[0], own[0])), z = tw_sigmoid(tw_add(x[1], own[1]));
    tw_value n = tw_tanh(tw_add(x[2], tw_mul(r, own[2])));
    *h = tw_add(n, tw_mul(z, tw_sub(*h, n))); /* (1 - z) n + z h */
}

static cell cell_of(const char *layer, const char *name, int gates, int64_t units, tw_value x,
                    const tw_recurrent_opts *opts) {
    static const tw_recurrent_opts none;
    return (cell){.layer = layer,
                  .name = name,
                  .gates = gates,
                  .units = units,
                  .graph = x.graph,
                  .opts = opts ? *opts : none};
}

void tw_lstm_cell(tw_value x, tw_value h, tw_value c, const char *name, int64_t units,
                  tw_value *h_out, tw_value *c_out, const tw_recurrent_opts *opts) {
    tw_value poison = rule_poison(x.graph), gates;
    if (h_out) *h_out = poison;
    if (c_out) *c_out = poison;
    if (!layer_begin("tw_lstm_cell", x, name)) return;
    cell it = cell_of("tw_lstm_cell", name, LSTM_GATES, units, x, opts);
    if (begin(&it, x, 2, &gates)) {
        h = state_of(&it, "h", h);
        c = state_of(&it, "c", c);
        lstm_step(&it, gates, &h, &c);
        if (h_out) *h_out = h;
        if (c_out) *c_out = c;
    }
    tw_scope_end(it.graph);
}

tw_value tw_gru_cell(tw_value x, tw_value h, const char *name, int64_t units,
                     const tw_recurrent_opts *opts) {
    tw_value y = rule_poison(x.graph), gates;
    if (!layer_begin("tw_gru_cell", x, name)) return y;
    cell it = cell_of("tw_gru_cell", name, GRU_GATES, units, x, opts);
    if (begin(&it, x, 2, &gates)) {
        y = state_of(&it, "h", h);
        gru_step(&it, gates, &y, NULL);
    }
    tw_scope_end(it.graph);
    return y;
}

/* Steps to be joined along time: a full list becomes one entry of the next. */
typedef struct sequence {
    tw_value at[LEVELS][STEPS_JOINED];
    int n[LEVELS];
} sequence;

static void sequence_add(sequence *s, int level, tw_value v) {
    s->at[level][s->n[level]++] = v;
    if (s->n[level] < STEPS_JOINED || level + 1 == LEVELS) return;
    s->n[level] = 0;
    sequence_add(s, level + 1, tw_concat(1, STEPS_JOINED, s->at[level]));
}

/* Those of higher levels come first. Of MAX_STEPS the last level has at most 31. */
static tw_value sequence_join(sequence *s) {
    tw_value tail = {0};
    for (int level = 0; level < LEVELS; level++) {
        if (tail.graph) s->at[level][s->n[level]++] = tail;
        if (s->n[level]) tail = tw_concat(1, s->n[level], s->at[level]);
    }
    return tail;
}

static tw_value unrolled(cell *it, tw_value x,
                         void (*step)(const cell *, tw_value, tw_value *, tw_value *)) {
    sequence steps = {.n = {0}};
    tw_value gates, poison = rule_poison(it->graph);
    tw_recurrent_opts *opts = &it->opts;
    if (opts->last_h) *opts->last_h = poison;
    if (opts->last_c) *opts->last_c = poison;
    if (!begin(it, x, 3, &gates)) return poison;
    int64_t time = tw_shape_of(x).dim[1];
    if (time < 1 || time >= MAX_STEPS) {
        tw_fail(it->graph,
                "%s \"%s\": time is %s, expected a number from 1 to %d, since the steps "
                "are unrolled",
                it->layer, it->name,
                time < 0 ? "symbolic"
                : time   ? "too long"
                         : "0",
                MAX_STEPS - 1);
        return poison;
    }
    bool lstm = it->gates == LSTM_GATES;
    tw_value h = state_of(it, "h", opts->h), c = {0};
    if (lstm) c = state_of(it, "c", opts->c);
    tw_shape flat = TW_SHAPE(it->batch, it->gates * it->units),
             one = TW_SHAPE(it->batch, 1, it->units);
    for (int64_t t = 0; t < time && tw_ok(h); t++) {
        tw_value now = tw_slice(gates, 1, opts->backwards ? time - 1 - t : t, 1);
        step(it, tw_reshape(now, flat), &h, &c);
        sequence_add(&steps, 0, tw_reshape(h, one));
    }
    if (!tw_ok(h)) return poison;
    if (opts->last_h) *opts->last_h = h;
    if (opts->last_c && lstm) *opts->last_c = c;
    tw_value y = sequence_join(&steps);
    return opts->backwards ? tw_reverse(y, 1) : y;
}

tw_value tw_lstm(tw_value x, const char *name, int64_t units, const tw_recurrent_opts *opts) {
    if (!layer_begin("tw_lstm", x, name)) return rule_poison(x.graph);
    cell it = cell_of("tw_lstm", name, LSTM_GATES, units, x, opts);
    tw_value y = unrolled(&it, x, lstm_step);
    tw_scope_end(it.graph);
    return y;
}

tw_value tw_gru(tw_value x, const char *name, int64_t units, const tw_recurrent_opts *opts) {
    if (!layer_begin("tw_gru", x, name)) return rule_poison(x.graph);
    cell it = cell_of("tw_gru", name, GRU_GATES, units, x, opts);
    tw_value y = unrolled(&it, x, gru_step);
    tw_scope_end(it.graph);
    return y;
}
