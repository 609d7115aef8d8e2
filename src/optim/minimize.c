/*
 * tw_minimize: the gradient of a loss for its parameters, and one update of each as an assign.
 * A loss that is a pair is differentiated by its sum; the gradients are divided by the weight
 * once, after microbatches have been added up.
 */
#include "optim/minimizer.h"

#include <thalweg/init.h>
#include <thalweg/operators.h>

#include "grad/microbatch.h"
#include "optim/schedule.h"
#include "optim/settings.h"

tw_value minimizer_scalar(const minimizer *m, tw_dtype dtype, double number) {
    return tw_full(m->graph, dtype, TW_SHAPE(), number);
}

/* The pair behind a loss. A weight that is trained itself takes part in the gradient: no pair. */
static void split_loss(minimizer *m, tw_value loss) {
    m->sum = loss;
    uint32_t id = graph_resolve(m->graph, loss);
    if (id == ABSENT) return;
    const value *it = &m->graph->values.at[id];
    const node *made = &m->graph->nodes.at[it->node];
    if (it->kind == VALUE_RESULT && node_is(made, "cast")) { /* the mean of halves */
        it = &m->graph->values.at[made->operand[0]];
        made = &m->graph->nodes.at[it->node];
    }
    if (it->kind != VALUE_RESULT || strcmp(made->op->name, "loss")) return;
    tw_value weight = graph_handle(m->graph, made->operand[1]);
    if (tw_parameters(weight, 0, NULL)) return;
    m->sum = graph_handle(m->graph, made->operand[0]);
    m->weight = weight;
}

static bool is_trained(const tw_optimizer *settings, const char *path) {
    if (settings->frozen && pattern_list_matches(settings->frozen, path)) return false;
    return !settings->parameters || pattern_list_matches(settings->parameters, path);
}

/* What the groups say of a parameter. */
static void settle(const tw_optimizer *settings, const char *path, parameter *p) {
    p->decay = settings->weight_decay;
    p->rate_factor = 1;
    for (int i = 0; i < settings->n_groups; i++) {
        const tw_optimizer_group *group = &settings->groups[i];
        if (!pattern_list_matches(group->parameters, path)) continue;
        p->decay = settings_number(group->weight_decay, p->decay);
        p->rate_factor = settings_number(group->rate_factor, 1);
        break;
    }
    if (settings->no_decay && pattern_list_matches(settings->no_decay, path)) p->decay = 0;
}

/* Fills parameters[].w and .g; the lists stand in `all` (2 * count values). */
static void differentiate(minimizer *m, int count, tw_value *all) {
    const tw_optimizer *settings = &m->settings;
    tw_parameters(m->sum, count, all);
    for (int i = 0; i < count; i++)
        if (is_trained(settings, tw_path(all[i]))) all[m->n++] = all[i];
    if (!m->n) {
        graph_error(
            m->graph, TW_ERR_ARGUMENT,
            "tw_minimize: the loss depends on no parameter%s%s%s%s; tw_parameter makes them",
            settings->parameters ? " that matches \"" : "",
            settings->parameters ? settings->parameters : "", settings->parameters ? "\"" : "",
            settings->frozen ? " that is not frozen" : "");
        return;
    }
    tw_grad(m->sum, m->n, all, all + count);
    for (int i = 0; i < m->n; i++) {
        parameter *p = &m->parameters[i];
        p->w = all[i];
        p->g = all[count + i];
        settle(settings, tw_path(all[i]), p);
        p->sparse = settings->kind == TW_SGD && p->decay == 0 && settings->clip_norm == 0 &&
                    settings->clip_value == 0 && tw_grad_sparse(p->g, &p->indices, &p->rows);
    }
}

/* f16 and bf16 as f32. */
static tw_value widened(tw_value x) {
    tw_dtype dtype = tw_dtype_of(x);
    return dtype == TW_F16 || dtype == TW_BF16 ? tw_cast(x, TW_F32) : x;
}

tw_value minimizer_scaled(tw_value x, tw_value factor) {
    tw_value fine = widened(x);
    return tw_cast(tw_mul(fine, tw_cast(factor, tw_dtype_of(fine))), tw_dtype_of(x));
}

/* sqrt of the sum of squares of all gradients, in the type of the first, f32 for f16 and bf16. */
static tw_value global_norm(minimizer *m) {
    tw_value total = {0};
    for (int i = 0; i < m->n; i++) {
        tw_value square = tw_sum(tw_square(widened(m->parameters[i].g)));
        total = i ? tw_add(total, tw_cast(square, tw_dtype_of(total))) : square;
    }
    return tw_sqrt(total);
}

/* Every gradient, divided by the weight, to +-clip_value. */
static void clip_elements(minimizer *m, tw_value factor) {
    for (int i = 0; i < m->n; i++) {
        parameter *p = &m->parameters[i];
        if (factor.graph) p->g = minimizer_scaled(p->g, factor);
        tw_value limit = tw_literal(p->g, m->settings.clip_value);
        p->g = tw_min(tw_max(p->g, tw_neg(limit)), limit);
    }
}

/*
 * What every gradient is multiplied by, absent for 1: 1 / weight, and for clipping
 * clip_norm / max(norm, clip_norm), where norm is that of the divided gradients.
 */
static tw_value gradient_factor(minimizer *m) {
    tw_value factor = {0};
    if (m->weight.graph) factor = tw_div(tw_literal(m->weight, 1), m->weight);
    if (m->settings.clip_value > 0) {
        clip_elements(m, factor);
        factor = (tw_value){0};
    }
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

/* The rate of this step where it is no constant. */
static void schedule_rate(minimizer *m, tw_value step) {
    const tw_optimizer *settings = &m->settings;
    m->rate = settings->rate_value;
    if (!schedule_varies(&settings->schedule)) return;
    tw_value factor = tw_schedule_factor(step, &settings->schedule);
    m->rate =
        m->rate.graph ? tw_mul(tw_cast(m->rate, TW_F64), factor) : tw_scale(factor, settings->rate);
}

static bool is_assigned(const tw_graph *graph, tw_value variable) {
    const value *it = &graph->values.at[variable.id];
    if (it->kind != VALUE_REFERENCE) return false;
    const graph_variable *known = &graph->variables.at[it->variable];
    return known->current != known->initial;
}

/* A second optimiser under the name of a first would find its step counted twice. */
static bool name_is_free(minimizer *m, tw_value step) {
    if (m->graph->mode == TW_IMMEDIATE || m->graph->status || !is_assigned(m->graph, step) ||
        is_assigned(m->graph, m->parameters[0].w))
        return true;
    graph_error(m->graph, TW_ERR_ARGUMENT,
                "tw_minimize: this graph has an optimizer \"%s\" of other parameters already; give "
                "each a .name of its own",
                m->settings.name);
    return false;
}

static const char *scope_of(minimizer *m, const parameter *p) {
    const char *scope =
        arena_format(&m->graph->module->arena, "%s/%s", m->settings.name, tw_path(p->w));
    return scope ? scope : m->settings.name;
}

static void append_updates(minimizer *m) {
    tw_graph *graph = m->graph;
    node_meta meta = graph->meta;
    bool fixed = graph->scope_fixed;
    const char *name = arena_copy_string(&graph->module->arena, m->settings.name);
    const char *path = arena_format(&graph->module->arena, "%s/step", m->settings.name);
    if (!name || !path) {
        graph_error(graph, TW_ERR_MEMORY, "tw_minimize: out of memory");
        return;
    }
    m->settings.name = name; /* scopes outlive the call */
    graph->meta = (node_meta){.phase = PHASE_UPDATE, .scope = name};
    graph->scope_fixed = true;
    tw_type count = {TW_I64, TW_SHAPE()};
    tw_value step = graph_declare(graph, path, count, tw_zeros_init(), false);
    if (tw_ok(step) && name_is_free(m, step)) {
        m->next_step = tw_add(step, minimizer_scalar(m, TW_I64, 1));
        tw_value factor = gradient_factor(m);
        schedule_rate(m, step);
        for (int i = 0; i < m->n && !graph->status; i++) {
            graph->meta.scope = scope_of(m, &m->parameters[i]);
            minimizer_update(m, &m->parameters[i], factor);
        }
        graph->meta.scope = name;
        tw_assign(step, m->next_step);
    }
    graph->meta = meta;
    graph->scope_fixed = fixed;
}

/* The rate that the caller computes. */
static bool rate_is_scalar(minimizer *m) {
    tw_value rate = m->settings.rate_value;
    if (!rate.graph) return true;
    tw_type type = tw_type_of(rate);
    if (rate.graph == m->graph && tw_ok(rate) && type.shape.rank == 0 &&
        (type.dtype == TW_F32 || type.dtype == TW_F64))
        return true;
    graph_error(m->graph, TW_ERR_ARGUMENT,
                "tw_minimize: rate_value is of rank %d and type %s, expected a scalar of this "
                "graph, f32 or f64",
                (int)type.shape.rank, tw_dtype_name(type.dtype));
    return false;
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
    if (!settings_fill(graph, optimizer, &m.settings) || !rate_is_scalar(&m)) return;
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
