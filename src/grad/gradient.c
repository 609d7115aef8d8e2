/* tw_grad and tw_parameters: which version of a variable is meant, where the sweep starts. */
#include <thalweg/operators.h>

#include "base/half.h"
#include "grad/reverse.h"

/* used[v]: y depends on value v. NULL when memory is out. */
static uint8_t *used_values(tw_graph *graph, uint32_t y) {
    tw_context *context = graph->module->context;
    uint8_t *live = context_allocate(context, graph->nodes.count, 1);
    uint8_t *used = context_allocate(context, graph->values.count, 1);
    if (live && used) {
        graph_mark(graph, 1, &y, live);
        used[y] = 1;
        for (size_t i = 0; i < graph->nodes.count; i++) {
            const node *at = &graph->nodes.at[i];
            for (int k = 0; live[i] && k < at->n_operands; k++)
                if (at->operand[k] != ABSENT) used[at->operand[k]] = 1;
        }
        context_release(context, live);
        return used;
    }
    context_release(context, live);
    context_release(context, used);
    graph_error(graph, TW_ERR_MEMORY, "out of memory for a gradient");
    return NULL;
}

/* The latest version of a variable that y depends on; its present one when there is none. */
static uint32_t version_for(const tw_graph *graph, uint32_t variable, const uint8_t *used) {
    for (size_t i = graph->assigns.count; i-- > 0;) {
        const assignment *it = &graph->assigns.at[i];
        if (it->variable == variable && used[it->value]) return it->value;
    }
    const graph_variable *it = &graph->variables.at[variable];
    return used[it->initial] ? it->initial : it->current;
}

static void gradients(tw_graph *graph, uint32_t y, int n, const tw_value *x, tw_value *dx,
                      const uint8_t *used, uint32_t *ids) {
    uint32_t *given = ids, *made = ids + n;
    for (int i = 0; i < n; i++) {
        given[i] = graph_resolve(graph, x[i]);
        if (given[i] == ABSENT) return;
        const value *it = &graph->values.at[x[i].id];
        if (it->kind == VALUE_REFERENCE) given[i] = version_for(graph, it->variable, used);
    }
    node_meta meta = graph->meta;
    graph->meta.phase = PHASE_BACKWARD;
    graph->meta.scope = graph_scope(graph);
    tw_value seed = tw_literal(graph_handle(graph, y), 1);
    uint32_t dy = graph_resolve(graph, seed);
    if (dy != ABSENT && reverse(graph, 0, 1, &y, &dy, n, given, made))
        for (int i = 0; i < n; i++)
            dx[i] = made[i] != ABSENT ? graph_handle(graph, made[i])
                                      : tw_literal(graph_handle(graph, given[i]), 0);
    graph->meta = meta;
}

void tw_grad(tw_value y, int n, const tw_value *x, tw_value *dx) {
    tw_graph *graph = y.graph;
    for (int i = 0; dx && i < n; i++) dx[i] = (tw_value){graph, 0, 0};
    if (!graph || !x || !dx || n < 0 || graph->status) return;
    uint32_t id = graph_resolve(graph, y);
    if (id == ABSENT) return;
    tw_dtype dtype = graph->values.at[id].type.dtype;
    if (dtype != TW_F32 && dtype != TW_F64 && !dtype_half(dtype)) {
        graph_error(graph, TW_ERR_TYPE, "tw_grad: y is %s; the gradient of a float is expected",
                    tw_dtype_name(dtype));
        return;
    }
    tw_context *context = graph->module->context;
    uint8_t *used = used_values(graph, id);
    uint32_t *ids = context_allocate(context, 2 * (size_t)n, sizeof *ids);
    if (used && ids)
        gradients(graph, id, n, x, dx, used, ids);
    else
        graph_error(graph, TW_ERR_MEMORY, "out of memory for a gradient");
    context_release(context, used);
    context_release(context, ids);
}

/* The order of variables in a graph is that of their first use in it. */
int tw_parameters(tw_value y, int capacity, tw_value *out) {
    tw_graph *graph = y.graph;
    if (!graph || graph->status) return 0;
    uint32_t id = graph_resolve(graph, y);
    uint8_t *used = id == ABSENT ? NULL : used_values(graph, id);
    if (!used) return 0;
    int count = 0;
    for (uint32_t v = 0; v < graph->variables.count; v++) {
        const graph_variable *it = &graph->variables.at[v];
        if (!it->spec.trainable || !used[version_for(graph, v, used)]) continue;
        if (count < capacity && out) out[count] = graph_handle(graph, it->reference);
        count++;
    }
    context_release(graph->module->context, used);
    return count;
}
