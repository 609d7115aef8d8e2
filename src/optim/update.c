/* The update of one parameter by each kind of optimiser: its state, its composite, the assigns. */
#include <thalweg/init.h>
#include <thalweg/operators.h>

#include "optim/minimizer.h"

/* The optimiser's variable of a parameter, at "NAME/<path>/<state>". */
static tw_value state_from(minimizer *m, const parameter *p, const char *name, tw_shape shape,
                           double start) {
    const char *path =
        arena_format(&m->graph->module->arena, "%s/%s/%s", m->settings.name, tw_path(p->w), name);
    tw_type type = {tw_dtype_of(p->w), shape};
    if (path) return graph_declare(m->graph, path, type, tw_constant_init(start), false);
    graph_error(m->graph, TW_ERR_MEMORY, "tw_minimize: out of memory");
    return (tw_value){m->graph, 0, 0};
}

static tw_value state_of(minimizer *m, const parameter *p, const char *name) {
    return state_from(m, p, name, tw_shape_of(p->w), 0);
}

/* The rate as a scalar of the parameter's type. */
static tw_value rate_of(minimizer *m, const parameter *p) {
    tw_dtype dtype = tw_dtype_of(p->w);
    if (!m->rate.graph) return minimizer_scalar(m, dtype, m->settings.rate * p->rate_factor);
    tw_value rate = tw_cast(m->rate, dtype);
    return p->rate_factor == 1 ? rate : tw_scale(rate, p->rate_factor);
}

/* Applies the composite; its results go to w and the states in their order. */
static void step_with(minimizer *m, const char *composite, int n, const tw_value *in,
                      const tw_attr *attr, int n_states, const tw_value *state) {
    tw_value out[TW_MAX_RESULTS];
    tw_apply(m->graph, composite, n, in, attr, out);
    for (int i = 0; i < n_states && !m->graph->status; i++) tw_assign(state[i], out[i]);
}

static void update_sgd(minimizer *m, parameter *p, tw_value factor) {
    tw_value rate = rate_of(m, p);
    /* Scaling the rate instead of the gradient saves a pass over it. */
    if (factor.graph) rate = tw_mul(rate, tw_cast(factor, tw_dtype_of(rate)));
    if (p->sparse) {
        tw_assign(p->w, tw_scatter_add(p->w, p->indices, tw_mul(p->rows, tw_neg(rate))));
        return;
    }
    const tw_value in[] = {p->w, p->g, rate};
    step_with(m, "sgd_update", 3, in, NULL, 1, &p->w);
}

static void step_momentum(minimizer *m, parameter *p, tw_value direction, const char *name) {
    tw_value v = state_of(m, p, name);
    const tw_value in[] = {p->w, v, direction, rate_of(m, p)}, state[] = {p->w, v};
    const tw_attr attr[] = {tw_attr_float(m->settings.momentum), tw_attr_int(m->settings.nesterov)};
    step_with(m, "momentum_update", 4, in, attr, 2, state);
}

/* Dampening spares the first step, as in PyTorch. */
static void update_momentum(minimizer *m, parameter *p) {
    if (m->settings.dampening != 0) {
        tw_dtype dtype = tw_dtype_of(p->w);
        tw_value first = tw_compare(TW_EQ, m->next_step, minimizer_scalar(m, TW_I64, 1));
        tw_value share = tw_select(first, minimizer_scalar(m, dtype, 1),
                                   minimizer_scalar(m, dtype, 1 - m->settings.dampening));
        p->g = tw_mul(p->g, share);
    }
    step_momentum(m, p, p->g, "v");
}

/* Adam, AdamW and LAMB. */
static void update_adam(minimizer *m, parameter *p) {
    const tw_optimizer *s = &m->settings;
    double decay = s->kind == TW_ADAM ? 0 : p->decay;
    tw_value mean = state_of(m, p, "m"), square = state_of(m, p, "v"), rate = rate_of(m, p);
    const tw_attr attr[] = {tw_attr_float(s->beta1), tw_attr_float(s->beta2),
                            tw_attr_float(s->epsilon), tw_attr_float(decay)};
    if (s->amsgrad) {
        tw_value top = state_of(m, p, "top");
        const tw_value state[] = {p->w, mean, square, top};
        const tw_value in[] = {p->w, mean, square, top, p->g, rate, m->next_step};
        step_with(m, "amsgrad_update", 7, in, attr, 4, state);
        return;
    }
    const tw_value in[] = {p->w, mean, square, p->g, rate, m->next_step};
    step_with(m, s->kind == TW_LAMB ? "lamb_update" : "adam_update", 6, in, attr, 3, in);
}

static void update_adagrad(minimizer *m, parameter *p) {
    tw_value sum = state_from(m, p, "sum", tw_shape_of(p->w), m->settings.accumulator);
    const tw_value in[] = {p->w, sum, p->g, rate_of(m, p)};
    const tw_attr attr[] = {tw_attr_float(m->settings.epsilon)};
    step_with(m, "adagrad_update", 4, in, attr, 2, in);
}

static void update_rmsprop(minimizer *m, parameter *p) {
    const tw_optimizer *s = &m->settings;
    const tw_attr attr[] = {tw_attr_float(s->beta2), tw_attr_float(s->epsilon)};
    tw_value in[] = {p->g, state_of(m, p, "v"), {0}}, out[TW_MAX_RESULTS];
    if (s->centered) in[2] = state_of(m, p, "m");
    const char *composite = s->centered ? "rmsprop_centered" : "rmsprop";
    tw_apply(m->graph, composite, s->centered ? 3 : 2, in, attr, out);
    if (m->graph->status) return;
    tw_assign(in[1], out[1]);
    if (s->centered) tw_assign(in[2], out[2]);
    if (s->momentum > 0) {
        step_momentum(m, p, out[0], "b");
        return;
    }
    const tw_value sgd[] = {p->w, out[0], rate_of(m, p)};
    step_with(m, "sgd_update", 3, sgd, NULL, 1, &p->w);
}

static void update_adafactor(minimizer *m, parameter *p) {
    const tw_optimizer *s = &m->settings;
    tw_shape shape = tw_shape_of(p->w);
    static const double units[] = {
        [TW_F16] = 0x1p-10, [TW_BF16] = 0x1p-7, [TW_F32] = 0x1p-23, [TW_F64] = 0x1p-52};
    double unit = units[tw_dtype_of(p->w)];
    const tw_attr attr[] = {
        tw_attr_float(s->power), tw_attr_float(s->epsilon == 0 ? unit : s->epsilon),
        tw_attr_float(s->least), tw_attr_float(s->clip_update), tw_attr_float(p->decay)};
    if (shape.rank < 2) {
        const tw_value in[] = {p->w, state_of(m, p, "v"), p->g, rate_of(m, p), m->next_step};
        step_with(m, "adafactor_vector_update", 5, in, attr, 2, in);
        return;
    }
    tw_shape row = shape, column = shape;
    row.dim[shape.rank - 1] = column.dim[shape.rank - 2] = 1;
    const tw_value in[] = {p->w,
                           state_from(m, p, "row", row, 0),
                           state_from(m, p, "col", column, 0),
                           p->g,
                           rate_of(m, p),
                           m->next_step};
    step_with(m, "adafactor_update", 6, in, attr, 3, in);
}

static void update_lion(minimizer *m, parameter *p) {
    const tw_optimizer *s = &m->settings;
    const tw_value in[] = {p->w, state_of(m, p, "m"), p->g, rate_of(m, p)};
    const tw_attr attr[] = {tw_attr_float(s->beta1), tw_attr_float(s->beta2),
                            tw_attr_float(p->decay)};
    step_with(m, "lion_update", 4, in, attr, 2, in);
}

/* Whether weight decay is part of the gradient. */
static bool decay_is_added(tw_optimizer_kind kind) {
    return kind != TW_ADAMW && kind != TW_ADAFACTOR && kind != TW_LAMB && kind != TW_LION;
}

void minimizer_update(minimizer *m, parameter *p, tw_value factor) {
    const tw_optimizer *settings = &m->settings;
    bool added = p->decay > 0 && decay_is_added(settings->kind);
    bool half = tw_dtype_of(p->w) == TW_F16 || tw_dtype_of(p->w) == TW_BF16;
    if (factor.graph && half && p->sparse) { /* rate times factor may be too little for f16 */
        p->rows = minimizer_scaled(p->rows, factor);
        factor = (tw_value){0};
    } else if (factor.graph && (half || added || settings->kind != TW_SGD)) {
        p->g = minimizer_scaled(p->g, factor);
        factor = (tw_value){0};
    }
    if (added) p->g = tw_add(p->g, tw_scale(p->w, p->decay));
    switch (settings->kind) {
    case TW_SGD: update_sgd(m, p, factor); break;
    case TW_MOMENTUM: update_momentum(m, p); break;
    case TW_ADAM:
    case TW_ADAMW:
    case TW_LAMB: update_adam(m, p); break;
    case TW_ADAGRAD: update_adagrad(m, p); break;
    case TW_RMSPROP: update_rmsprop(m, p); break;
    case TW_ADAFACTOR: update_adafactor(m, p); break;
    case TW_LION: update_lion(m, p); break;
    }
}
