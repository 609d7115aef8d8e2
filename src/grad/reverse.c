/*
 * The gradient as a graph transform (Griewank & Walther, Evaluating Derivatives, ch. 3): walk the
 * nodes that lie between x and y backwards, ask each operator's rule, add what meets at a value.
 */
#include "grad/reverse.h"

#include <thalweg/operators.h>

#include "ir/dimension.h"
#include "ops/rules.h"

typedef struct contribution {
    uint32_t value, next; /* next + 1 in the list of contributions, 0 at the end */
} contribution;

typedef struct sweep {
    tw_graph *graph;
    uint32_t from;
    size_t nodes, values;   /* of the graph before the sweep */
    uint8_t *live;          /* by node: y depends on it */
    uint8_t *reached;       /* by value: depends on some x */
    uint32_t *first, *last; /* by value: its contributions, + 1 */
    VECTOR(contribution) contributions;
} sweep;

static bool contribute(sweep *sweep, uint32_t to, uint32_t what) {
    contribution *added = VECTOR_PUSH(sweep->graph->module->context, &sweep->contributions);
    if (!added) {
        graph_error(sweep->graph, TW_ERR_MEMORY, "out of memory for a gradient");
        return false;
    }
    added->value = what;
    uint32_t slot = (uint32_t)sweep->contributions.count;
    if (sweep->first[to])
        sweep->contributions.at[sweep->last[to] - 1].next = slot;
    else
        sweep->first[to] = slot;
    sweep->last[to] = slot;
    return true;
}

/* The gradient of value `of`, ABSENT for zero; its contributions become one. */
static uint32_t collect(sweep *sweep, uint32_t of) {
    if (!sweep->first[of]) return ABSENT;
    tw_context *context = sweep->graph->module->context;
    size_t count = 0;
    for (uint32_t at = sweep->first[of]; at; at = sweep->contributions.at[at - 1].next) count++;
    uint32_t *parts = context_allocate(context, count, sizeof *parts);
    if (!parts) {
        graph_error(sweep->graph, TW_ERR_MEMORY, "out of memory for a gradient");
        return ABSENT;
    }
    count = 0;
    for (uint32_t at = sweep->first[of]; at; at = sweep->contributions.at[at - 1].next)
        parts[count++] = sweep->contributions.at[at - 1].value;
    uint32_t sum = gradient_sum(sweep->graph, count, parts);
    context_release(context, parts);
    sweep->contributions.at[sweep->first[of] - 1] = (contribution){.value = sum};
    sweep->last[of] = sweep->first[of];
    return sum;
}

/* A composite or call without a rule: a copy of its body is differentiated in its place. */
static bool through_body(sweep *sweep, const node *at, const uint32_t *d_result,
                         uint32_t *d_operand) {
    tw_graph *graph = sweep->graph;
    tw_graph *body;
    uint32_t results[TW_MAX_RESULTS];
    if (at->op->meaning == TW_MEANS_BODY) {
        tw_type types[TW_MAX_OPERANDS] = {{0}};
        bool absent[TW_MAX_OPERANDS];
        for (int i = 0; i < at->n_operands; i++) {
            absent[i] = at->operand[i] == ABSENT;
            if (!absent[i]) types[i] = graph->values.at[at->operand[i]].type;
        }
        body = graph_body(graph, at->op, at->n_operands, types, absent, at->attr);
    } else {
        body = at->attr[0].function;
    }
    uint32_t from = (uint32_t)graph->nodes.count;
    /* Nodes of another epoch are never taken for the forward phase's, which would keep those. */
    if (node_is(at, "checkpoint")) graph->meta.epoch++;
    if (!body || !graph_inline(graph, body, at->operand, results)) return false;
    return reverse(graph, from, at->n_results, results, d_result, at->n_operands, at->operand,
                   d_operand);
}

static bool through_rule(sweep *sweep, const node *at, const uint32_t *d_result,
                         uint32_t *d_operand) {
    tw_graph *graph = sweep->graph;
    tw_value operand[TW_MAX_OPERANDS] = {{0}}, d[TW_MAX_OPERANDS] = {{0}};
    tw_value result[TW_MAX_RESULTS], given[TW_MAX_RESULTS] = {{0}};
    tw_type types[TW_MAX_OPERANDS] = {{0}};
    bool wanted[TW_MAX_OPERANDS] = {false};
    for (int i = 0; i < at->n_operands; i++) {
        if (at->operand[i] == ABSENT) continue;
        wanted[i] = sweep->reached[at->operand[i]];
        operand[i] = graph_handle(graph, at->operand[i]);
        types[i] = graph->values.at[at->operand[i]].type;
    }
    for (int i = 0; i < at->n_results; i++) {
        result[i] = graph_handle(graph, at->first_result + (uint32_t)i);
        if (d_result[i] != ABSENT) given[i] = graph_handle(graph, d_result[i]);
    }
    tw_vjp rule = {.n_operands = at->n_operands,
                   .n_results = at->n_results,
                   .operand = operand,
                   .result = result,
                   .d_result = given,
                   .attr = at->attr,
                   .operand_type = types,
                   .wanted = wanted,
                   .d_operand = d};
    at->op->vjp(graph, &rule);
    for (int i = 0; i < at->n_operands; i++)
        d_operand[i] = d[i].graph ? graph_resolve(graph, d[i]) : ABSENT;
    return graph->status == TW_OK;
}

static bool visit(sweep *sweep, uint32_t index) {
    tw_graph *graph = sweep->graph;
    node at = graph->nodes.at[index]; /* a copy: the array grows below */
    uint32_t d_result[TW_MAX_RESULTS], d_operand[TW_MAX_OPERANDS];
    bool any = false;
    for (int i = 0; i < at.n_results; i++) {
        d_result[i] = collect(sweep, at.first_result + (uint32_t)i);
        any |= d_result[i] != ABSENT;
    }
    if (graph->status) return false;
    if (!any) return true;
    for (int i = 0; i < at.n_operands; i++) d_operand[i] = ABSENT;
    graph->meta.scope = at.meta.scope;
    graph->meta.source = at.meta.source;
    graph->meta.epoch = at.meta.epoch;
    bool good;
    if (at.op->vjp) {
        good = through_rule(sweep, &at, d_result, d_operand);
    } else if (at.op->no_vjp) {
        graph_error(graph, TW_ERR_UNSUPPORTED,
                    "%s%s%s has no gradient: %s; put tw_stop_gradient around it if none is meant",
                    at.op->name, *at.meta.scope ? " in scope " : "", at.meta.scope, at.op->no_vjp);
        good = false;
    } else {
        good = through_body(sweep, &at, d_result, d_operand);
    }
    for (int i = 0; good && i < at.n_operands; i++) {
        if (at.operand[i] == ABSENT || d_operand[i] == ABSENT || !sweep->reached[at.operand[i]])
            continue;
        if (!type_equal(graph->values.at[d_operand[i]].type,
                        graph->values.at[at.operand[i]].type)) {
            graph_error(
                graph, TW_ERR_SHAPE,
                "%s: its vjp gives operand %d a gradient of another type than the operand's",
                at.op->name, i);
            return false;
        }
        good = contribute(sweep, at.operand[i], d_operand[i]);
    }
    return good;
}

/* Marks what depends on x and what y depends on, from node `from` on. */
static void mark(sweep *sweep, int n_y, const uint32_t *y, int n_x, const uint32_t *x) {
    tw_graph *graph = sweep->graph;
    for (int i = 0; i < n_x; i++)
        if (x[i] != ABSENT && type_in(graph->values.at[x[i]].type.dtype, TYPES_FLOAT))
            sweep->reached[x[i]] = 1;
    for (size_t i = sweep->from; i < sweep->nodes; i++) {
        const node *at = &graph->nodes.at[i];
        bool reached = false;
        for (int k = 0; k < at->n_operands; k++)
            reached |= at->operand[k] != ABSENT && sweep->reached[at->operand[k]];
        for (int k = 0; reached && k < at->n_results; k++)
            if (type_in(graph->values.at[at->first_result + (uint32_t)k].type.dtype, TYPES_FLOAT))
                sweep->reached[at->first_result + (uint32_t)k] = 1;
    }
    graph_mark(graph, (size_t)n_y, y, sweep->live);
}

static bool run_sweep(sweep *sweep, int n_y, const uint32_t *y, const uint32_t *dy, int n_x,
                      const uint32_t *x, uint32_t *dx) {
    tw_graph *graph = sweep->graph;
    for (int i = 0; i < n_y; i++)
        if (dy[i] != ABSENT && sweep->reached[y[i]] && !contribute(sweep, y[i], dy[i]))
            return false;
    for (size_t i = sweep->nodes; i-- > sweep->from;) {
        const node *at = &graph->nodes.at[i];
        bool between = false;
        for (int k = 0; k < at->n_operands; k++)
            between |= at->operand[k] != ABSENT && sweep->reached[at->operand[k]];
        if (between && sweep->live[i] && !visit(sweep, (uint32_t)i)) return false;
    }
    for (int i = 0; i < n_x; i++) dx[i] = x[i] == ABSENT ? ABSENT : collect(sweep, x[i]);
    return graph->status == TW_OK;
}

bool reverse(tw_graph *graph, uint32_t from, int n_y, const uint32_t *y, const uint32_t *dy,
             int n_x, const uint32_t *x, uint32_t *dx) {
    if (graph->status) return false;
    tw_context *context = graph->module->context;
    sweep sweep = {
        .graph = graph, .from = from, .nodes = graph->nodes.count, .values = graph->values.count};
    sweep.live = context_allocate(context, sweep.nodes, 1);
    sweep.reached = context_allocate(context, sweep.values, 1);
    sweep.first = context_allocate(context, sweep.values, sizeof *sweep.first);
    sweep.last = context_allocate(context, sweep.values, sizeof *sweep.last);
    bool good = sweep.live && sweep.reached && sweep.first && sweep.last;
    if (good) {
        mark(&sweep, n_y, y, n_x, x);
        node_meta meta = graph->meta;
        bool fixed = graph->scope_fixed;
        graph->scope_fixed = true;
        good = run_sweep(&sweep, n_y, y, dy, n_x, x, dx);
        graph->meta = meta;
        graph->scope_fixed = fixed;
    } else {
        graph_error(graph, TW_ERR_MEMORY, "out of memory for a gradient");
    }
    VECTOR_FREE(context, &sweep.contributions);
    context_release(context, sweep.live);
    context_release(context, sweep.reached);
    context_release(context, sweep.first);
    context_release(context, sweep.last);
    return good;
}
