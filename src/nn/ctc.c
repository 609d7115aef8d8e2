/*
 * Connectionist temporal classification (Graves et al. 2006). The labels are extended to
 * 2 length + 1 states: blank, label, blank, ..., label, blank. alpha[s] is the logarithm of the
 * probability of all paths that are in state s at time t.
 */
#include <math.h>

#include "nn/loss.h"

typedef struct ctc {
    int64_t batch, time, length, states;
    tw_value skip;   /* (batch, states): 0 where a path may come from two states before */
    tw_value active; /* (batch, time): bool, before the input's end */
} ctc;

static bool refused(tw_value logits, tw_value labels, const tw_value *lengths, int64_t blank) {
    const char *function = "tw_ctc";
    tw_type scores = tw_type_of(logits), given = tw_type_of(labels);
    tw_graph *graph = logits.graph;
    if (!type_in(scores.dtype, TYPES_FLOAT) || !type_in(given.dtype, TYPES_INDEX)) {
        rule_fail(graph, TW_ERR_TYPE,
                  "%s: logits are %s and labels %s, expected floats and i32 or "
                  "i64; tw_cast converts",
                  function, tw_dtype_name(scores.dtype), tw_dtype_name(given.dtype));
        return true;
    }
    if (scores.shape.rank != 3 || given.shape.rank != 2 ||
        scores.shape.dim[0] != given.shape.dim[0]) {
        rule_fail(graph, TW_ERR_SHAPE,
                  "%s: logits have rank %d and labels rank %d, expected "
                  "(batch, time, classes) and (batch, length)",
                  function, (int)scores.shape.rank, (int)given.shape.rank);
        return true;
    }
    for (int i = 0; i < 2; i++) {
        tw_type type = tw_type_of(lengths[i]);
        if (type_in(type.dtype, TYPES_INDEX) && type.shape.rank == 1 &&
            type.shape.dim[0] == scores.shape.dim[0])
            continue;
        rule_fail(graph, TW_ERR_SHAPE, "%s: %s lengths must be (batch) of i32 or i64", function,
                  i ? "label" : "input");
        return true;
    }
    if (scores.shape.dim[1] < 1 || given.shape.dim[1] < 1) {
        rule_fail(graph, TW_ERR_SHAPE,
                  "%s: time and length must be numbers of at least 1, as the "
                  "recursion is unrolled; pad to the longest",
                  function);
        return true;
    }
    if (blank < 0 || (scores.shape.dim[2] >= 0 && blank >= scores.shape.dim[2])) {
        rule_fail(graph, TW_ERR_ARGUMENT, "%s: blank is %lld, expected one of %lld classes",
                  function, (long long)blank, (long long)scores.shape.dim[2]);
        return true;
    }
    return false;
}

/* lengths (batch) -> bool (batch, count): place < length. */
static tw_value before(tw_value lengths, int64_t count) {
    tw_value place = tw_iota(lengths.graph, tw_dtype_of(lengths), TW_SHAPE(count), 0);
    tw_value column = tw_reshape(lengths, TW_SHAPE(tw_shape_of(lengths).dim[0], 1));
    return tw_compare(TW_LT, place, column);
}

/* (batch, length) -> (batch, states); places past an example's labels hold the blank. */
static tw_value extended(const ctc *c, tw_value labels, tw_value label_lengths, int64_t blank) {
    tw_value blanks = tw_literal(labels, (double)blank);
    labels = tw_select(before(label_lengths, c->length), labels, blanks);
    tw_shape third = TW_SHAPE(c->batch, c->length, 1);
    const tw_value pair[] = {tw_reshape(blanks, third), tw_reshape(labels, third)};
    tw_value pairs = tw_reshape(tw_concat(2, 2, pair), TW_SHAPE(c->batch, 2 * c->length));
    const tw_value all[] = {pairs, tw_slice(blanks, 1, 0, 1)};
    return tw_concat(1, 2, all);
}

/* A path may leave out the blank between two labels that differ. */
static tw_value skips(const ctc *c, tw_value classes, tw_dtype dtype) {
    int64_t rest = c->states - 2;
    tw_value differ =
        tw_compare(TW_NE, tw_slice(classes, 1, 2, rest), tw_slice(classes, 1, 0, rest));
    tw_value zero = tw_cast(tw_literal(differ, 0), dtype);
    return tw_pad(tw_select(differ, zero, tw_literal(zero, LOSS_LOG_ZERO)), 1, 2, 0, LOSS_LOG_ZERO);
}

/* log(exp(a) + exp(b) + exp(c)); finite and with a finite gradient whatever they are. */
static tw_value add_3(tw_value a, tw_value b, tw_value c) {
    tw_value top = tw_stop_gradient(tw_max(a, tw_max(b, c)));
    tw_value sum = tw_add(tw_exp(tw_sub(a, top)), tw_exp(tw_sub(b, top)));
    return tw_add(tw_log(tw_add(sum, tw_exp(tw_sub(c, top)))), top);
}

/* One step of the recursion: eq. 6 and 7. emission (batch, 1, states). */
static tw_value step(const ctc *c, tw_value alpha, tw_value emission, int64_t t) {
    emission = tw_reshape(emission, TW_SHAPE(c->batch, c->states));
    if (t == 0) {
        tw_value state = tw_iota(emission.graph, TW_I32, TW_SHAPE(c->states), 0);
        tw_value start = tw_compare(TW_LT, state, tw_literal(state, 2));
        return tw_select(start, emission, tw_literal(emission, LOSS_LOG_ZERO));
    }
    tw_value wide = tw_pad(alpha, 1, 2, 0, LOSS_LOG_ZERO);
    tw_value one = tw_slice(wide, 1, 1, c->states), two = tw_slice(wide, 1, 0, c->states);
    tw_value next = tw_add(add_3(alpha, one, tw_add(two, c->skip)), emission);
    return tw_select(tw_slice(c->active, 1, t, 1), next, alpha);
}

/*
 * alpha (batch, states) after the last time of each example. Emissions (batch, count, states) from
 * time t are halved until one is left: a slice's gradient is as large as what it is cut from, so
 * single steps cut from all would make memory and time grow with the square of time.
 */
static tw_value forward(const ctc *c, tw_value alpha, tw_value emission, int64_t t, int64_t count) {
    if (count == 1) return step(c, alpha, emission, t);
    int64_t half = count / 2;
    alpha = forward(c, alpha, tw_slice(emission, 1, 0, half), t, half);
    return forward(c, alpha, tw_slice(emission, 1, half, count - half), t + half, count - half);
}

/* Paths end in the last label or the blank after it: eq. 8. */
static tw_value total(const ctc *c, tw_value alpha, tw_value label_lengths) {
    tw_value end = tw_add(label_lengths, label_lengths);
    const tw_value ends[] = {tw_reshape(end, TW_SHAPE(c->batch, 1)),
                             tw_reshape(tw_shift(end, -1), TW_SHAPE(c->batch, 1))};
    tw_value place = tw_concat(1, 2, ends);
    tw_value there = tw_compare(TW_GE, place, tw_literal(place, 0)); /* no label: only the blank */
    return loss_masked_logsumexp(tw_take_along(alpha, place, 1), there);
}

tw_value tw_ctc(tw_value logits, tw_value labels, tw_value input_lengths, tw_value label_lengths,
                const tw_ctc_opts *opts) {
    const tw_value in[] = {logits, labels, input_lengths, label_lengths};
    tw_graph *graph = rule_graph(4, in);
    tw_ctc_opts o = opts ? *opts : (tw_ctc_opts){.blank = 0};
    if (!rule_usable("tw_ctc", 4, in) || refused(logits, labels, in + 2, o.blank))
        return rule_poison(graph);
    logits = loss_fine(logits);
    tw_shape shape = tw_shape_of(logits);
    ctc c = {.batch = shape.dim[0], .time = shape.dim[1], .length = tw_shape_of(labels).dim[1]};
    c.states = 2 * c.length + 1;
    tw_value classes = extended(&c, labels, label_lengths, o.blank);
    const tw_attr attr[] = {tw_attr_int(2), tw_attr_dims(TW_SHAPE(0))}; /* axis, shared */
    tw_value p = o.log_probabilities ? logits : tw_log_softmax(logits);
    tw_value emission = rule_apply2("gather", p, classes, attr);
    emission = tw_max(emission, tw_literal(emission, LOSS_LOG_ZERO));
    c.skip = skips(&c, classes, tw_dtype_of(logits));
    c.active = before(input_lengths, c.time);
    tw_value alpha = forward(&c, (tw_value){0}, emission, 0, c.time);
    tw_value losses = tw_neg(total(&c, alpha, label_lengths));
    tw_value impossible = tw_compare(TW_GT, losses, tw_literal(losses, -LOSS_LOG_ZERO / 2));
    losses = tw_select(impossible, tw_literal(losses, o.zero_infinity ? 0 : INFINITY), losses);
    if (o.per_label) {
        tw_value count = tw_max(label_lengths, tw_literal(label_lengths, 1));
        losses = tw_div(losses, tw_cast(count, tw_dtype_of(logits)));
    }
    return loss_mean("tw_ctc", losses, o.weights);
}
