/*
 * tw_minimize: the gradient of a loss for its parameters, and one update of each as an assign.
 * A loss that is a pair is differentiated by its sum; the gradients are divided by the weight
 * once, after microbatches have been added up.
 */
#include <thalweg/init.h>
#include <thalweg/operators.h>

#include "grad/microbatch.h"
#include "ir/graph.h"
#include "optim/settings.h"

typedef struct parameter {
    tw_value w, g;
    tw_value indices, rows; /* of a sparse gradient */
    bool sparse, decays;
} parameter;

typedef struct minimizer {
    tw_graph *graph;
    tw_optimizer settings;
    tw_value sum, weight; /* weight absent: the loss is no pair */
    tw_value next_step;
    int n;
    parameter *parameters;
} minimizer;

static tw_value scalar(minimizer *m, tw_dtype dtype, double number) {
    return tw_full(m->graph, dtype, TW_SHAPE(), number);
}

/* The pair behind a loss. A weight that is trained itself takes part in the gradient: no pair. */
static void split_loss(minimizer *m, tw_value loss) {
    m->sum = loss;
    uint32_t id = graph_resolve(m->graph, loss);
    if (id == ABSENT) return;
    const value *it = &m->graph->values.at[id];
    const node *made = &m->graph->nodes.at[it->node];
    if (it->kind != VALUE_RESULT || strcmp(made->op->name, "loss")) return;
    tw_value weight = graph_handle(m->graph, made->operand[1]);
    if (tw_parameters(weight, 0, NULL)) return;
    m->sum = graph_handle(m->graph, made->operand[0]);
    m->weight = weight;
}

static bool is_trained(const tw_optimizer *settings, const char *path) {
    return !settings->parameters || pattern_list_matches(settings->parameters, path);
}

/* Fills parameters[].w and .g; the lists stand in `all` (2 * count values). */
static void differentiate(minimizer *m, int count, tw_value *all) {
    const tw_optimizer *settings = &m->settings;
    tw_parameters(m->sum, count, all);
    for (int i = 0; i < count; i++)
        if (is_trained(settings, tw_path(all[i]))) all[m->n++] = all[i];
    if (!m->n) {
        graph_error(m->graph, TW_ERR_ARGUMENT,
                    "tw_minimize: the loss depends on no parameter%s%s%s; tw_parameter makes them",
                    settings->parameters ? " that matches \"" : "",
                    settings->parameters ? settings->parameters : "",
                    settings->parameters ? "\"" : "");
        return;
    }
    tw_grad(m->sum, m->n, all, all + count);
    for (int i = 0; i < m->n; i++) {
        parameter *p = &m->parameters[i];
        const char *path = tw_path(all[i]), *spared = settings->no_decay;
        p->w = all[i];
        p->g = all[count + i];
        p->decays = settings->weight_decay > 0 && !(spared && pattern_list_matches(spared, path));
        p->sparse = settings->kind == TW_SGD && !p->decays && settings->clip_norm == 0 &&
                    tw_grad_sparse(p->g, &p->indices, &p->rows);
    }
}

/* sqrt of the sum of squares of all gradients, in the type of the first. */
static tw_value global_norm(minimizer *m) {
    tw_dtype dtype = tw_dtype_of(m->parameters[0].g);
    tw_value total = scalar(m, dtype, 0);
    for (int i = 0; i < m->n; i++)
        total = tw_add(total, tw_cast(tw_sum(tw_square(m->parameters[i].g)), dtype));
    return tw_sqrt(total);
}

/*
 * What every gradient is multiplied by, absent for 1: 1 / weight, and for clipping
 * clip_norm / max(norm, clip_norm), where norm is that of the divided gradients.
 */
static tw_value gradient_factor(minimizer *m) {
    tw_value factor = {0};
    if (m->weight.graph) factor = tw_div(tw_literal(m->weight, 1), m->weight);
    if (m->settings.clip_norm > 0) {
        tw_value norm = global_norm(m);
        if (factor.graph) {
            factor = tw_cast(factor, tw_dtype_of(norm));
            norm = tw_mul(norm, tw_abs(factor));
        }
        tw_value limit = tw_literal(norm, m->settings.clip_norm);
        tw_value clip = tw_div(limit, tw_max(norm, limit));
        factor = factor.graph ? tw_mul(factor, clip) : clip;
    }
    return factor;
}

/* The optimiser's variable of a parameter, at "optimizer/<path>/<name>"; starts as zeros. */
static tw_value state_of(minimizer *m, const parameter *p, const char *name) {
    const char *path =
        arena_format(&m->graph->module->arena, "optimizer/%s/%s", tw_path(p->w), name);
    if (path) return graph_declare(m->graph, path, tw_type_of(p->w), tw_zeros_init(), false);
    graph_error(m->graph, TW_ERR_MEMORY, "tw_minimize: out of memory");
    return (tw_value){m->graph, 0, 0};
}

static void update_sgd(minimizer *m, parameter *p, tw_value factor) {
    tw_dtype dtype = tw_dtype_of(p->w);
    tw_value rate = scalar(m, dtype, m->settings.rate);
    /* Scaling the rate instead of the gradient saves a pass over it. */
    if (factor.graph && !p->decays) rate = tw_mul(rate, factor);
    if (p->sparse) {
        tw_assign(p->w, tw_scatter_add(p->w, p->indices, tw_mul(p->rows, tw_neg(rate))));
        return;
    }
    const tw_value in[] = {p->w, p->g, rate};
    tw_assign(p->w, tw_apply(m->graph, "sgd_update", 3, in, NULL, NULL));
}

static void update_momentum(minimizer *m, parameter *p) {
    tw_value v = state_of(m, p, "v"), out[TW_MAX_RESULTS];
    const tw_value in[] = {p->w, v, p->g, scalar(m, tw_dtype_of(p->w), m->settings.rate)};
    const tw_attr attr[] = {tw_attr_float(m->settings.momentum), tw_attr_int(m->settings.nesterov)};
    tw_apply(m->graph, "momentum_update", 4, in, attr, out);
    tw_assign(p->w, out[0]);
    tw_assign(v, out[1]);
}

static void update_adam(minimizer *m, parameter *p) {
    const tw_optimizer *settings = &m->settings;
    double decay = settings->kind == TW_ADAMW && p->decays ? settings->weight_decay : 0;
    tw_value mean = state_of(m, p, "m"), square = state_of(m, p, "v"), out[TW_MAX_RESULTS];
    tw_value rate = scalar(m, tw_dtype_of(p->w), settings->rate);
    const tw_value in[] = {p->w, mean, square, p->g, rate, m->next_step};
    const tw_attr attr[] = {tw_attr_float(settings->beta1), tw_attr_float(settings->beta2),
                            tw_attr_float(settings->epsilon), tw_attr_float(decay)};
    tw_apply(m->graph, "adam_update", 6, in, attr, out);
    tw_assign(p->w, out[0]);
    tw_assign(mean, out[1]);
    tw_assign(square, out[2]);
}

static void update(minimizer *m, parameter *p, tw_value factor) {
    const tw_optimizer *settings = &m->settings;
    if (factor.graph) factor = tw_cast(factor, tw_dtype_of(p->w));
    bool added = p->decays && settings->kind != TW_ADAMW;
    if (factor.graph && (added || settings->kind != TW_SGD)) p->g = tw_mul(p->g, factor);
    if (added) p->g = tw_add(p->g, tw_scale(p->w, settings->weight_decay));
    switch (settings->kind) {
    case TW_SGD: update_sgd(m, p, factor); break;
    case TW_MOMENTUM: update_momentum(m, p); break;
    case TW_ADAM:
    case TW_ADAMW: update_adam(m, p); break;
    }
}

static void append_updates(minimizer *m) {
    tw_graph *graph = m->graph;
    node_meta meta = graph->meta;
    bool fixed = graph->scope_fixed;
    graph->meta = (node_meta){.phase = PHASE_UPDATE, .scope = "optimizer"};
    graph->scope_fixed = true;
    tw_type count = {TW_I64, TW_SHAPE()};
    tw_value step = graph_declare(graph, "optimizer/step", count, tw_zeros_init(), false);
    m->next_step = tw_add(step, scalar(m, TW_I64, 1));
    tw_value factor = gradient_factor(m);
    for (int i = 0; i < m->n && !graph->status; i++) {
        const char *scope =
            arena_format(&graph->module->arena, "optimizer/%s", tw_path(m->parameters[i].w));
        graph->meta.scope = scope ? scope : "optimizer";
        update(m, &m->parameters[i], factor);
    }
    graph->meta.scope = "optimizer";
    tw_assign(step, m->next_step);
    graph->meta = meta;
    graph->scope_fixed = fixed;
}

/* An immediate graph has computed the loss already; cutting its batch would save nothing. */
static bool cut(minimizer *m) {
    if (m->settings.microbatches == 1) return true;
    if (!m->weight.graph) {
        graph_error(m->graph, TW_ERR_ARGUMENT,
                    "tw_minimize: with microbatches the loss must be a pair of sum and weight "
                    "(tw_loss), the weight without parameters");
        return false;
    }
    if (m->graph->mode == TW_IMMEDIATE) return true;
    return microbatch_cut(m->graph, m->settings.microbatches);
}

/* A model that drops when it is trained would be trained without. */
static bool is_for_training(tw_graph *graph) {
    if (!graph->skipped) return true;
    graph_error(graph, TW_ERR_ARGUMENT,
                "tw_minimize: %s does nothing, as training is off in this graph; set .training in "
                "tw_graph_opts or tw_jit_opts",
                graph->skipped);
    return false;
}

void tw_minimize(tw_value loss, const tw_optimizer *optimizer) {
    tw_graph *graph = loss.graph;
    if (!graph || graph->status || !is_for_training(graph)) return;
    minimizer m = {.graph = graph};
    if (!settings_fill(graph, optimizer, &m.settings)) return;
    split_loss(&m, loss);
    int count = tw_parameters(m.sum, 0, NULL);
    tw_context *context = graph->module->context;
    tw_value *all = context_allocate(context, 2 * (size_t)count + 1, sizeof *all);
    m.parameters = context_allocate(context, (size_t)count + 1, sizeof *m.parameters);
    if (all && m.parameters) {
        differentiate(&m, count, all);
        if (!graph->status && cut(&m)) append_updates(&m);
    } else {
        graph_error(graph, TW_ERR_MEMORY, "tw_minimize: out of memory");
    }
    context_release(context, all);
    context_release(context, m.parameters);
}
