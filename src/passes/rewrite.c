/* The walk that every pass shares. */
#include "passes/rewrite.h"

#include <thalweg/operators.h>

#include "ir/dimension.h"

const node *rewrite_node(const rewrite *r, uint32_t id) {
    return &r->to->nodes.at[r->to->values.at[id].node];
}

const node *rewrite_made_by(const rewrite *r, uint32_t id, const char *name) {
    const node *made = rewrite_node(r, id);
    return node_is(made, name) ? made : NULL;
}

tw_type rewrite_type(const rewrite *r, uint32_t id) { return r->to->values.at[id].type; }

bool rewrite_splat(const rewrite *r, uint32_t id, double *number) {
    const node *made = rewrite_made_by(r, id, "splat");
    if (made) *number = made->attr[2].f; /* dtype, shape, value */
    return made != NULL;
}

int64_t nominal_extent(const tw_context *context, int64_t extent) {
    enum { NOMINAL = 64, MOST_SYMBOLS = 64 };
    int64_t bound[MOST_SYMBOLS];
    int symbols = dimension_symbols(context);
    if (extent >= 0) return extent;
    for (int i = 0; i < symbols && i < MOST_SYMBOLS; i++) bound[i] = NOMINAL;
    extent = symbols > MOST_SYMBOLS ? -1 : dimension_evaluate(context, extent, bound, symbols);
    return extent < 0 ? NOMINAL : extent;
}

double rewrite_nominal(const rewrite *r, int64_t extent) {
    return (double)nominal_extent(r->to->module->context, extent);
}

void rewrite_mark(const tw_graph *graph, uint8_t *live) {
    graph_mark(graph, graph->outputs.count, graph->outputs.at, live);
    for (uint32_t i = 0; i < graph->variables.count; i++) {
        uint32_t last = graph_final(graph, i);
        if (last != graph->variables.at[i].initial) graph_mark(graph, 1, &last, live);
    }
    for (size_t i = 0; i < graph->nodes.count; i++) {
        const node *it = &graph->nodes.at[i];
        if (it->op->effect) graph_mark(graph, 1, &it->first_result, live);
        if (node_is(it, "input") || node_is(it, "variable")) live[i] = 1;
    }
}

static void count_uses(rewrite *r, const uint8_t *live) {
    const tw_graph *graph = r->from;
    for (size_t i = 0; i < graph->nodes.count; i++) {
        const node *it = &graph->nodes.at[i];
        for (int k = 0; live[i] && k < it->n_operands; k++)
            if (it->operand[k] != ABSENT) r->uses[it->operand[k]]++;
    }
    for (size_t i = 0; i < graph->outputs.count; i++) r->uses[graph->outputs.at[i]]++;
    for (uint32_t i = 0; i < graph->variables.count; i++) r->uses[graph_final(graph, i)]++;
}

static bool visit(rewrite *r, const pass *pass, const node *it) {
    tw_graph *to = r->to;
    uint32_t operand[TW_MAX_OPERANDS], result[TW_MAX_RESULTS];
    for (int i = 0; i < it->n_operands; i++)
        operand[i] = it->operand[i] == ABSENT ? ABSENT : r->map[it->operand[i]];
    to->meta = it->meta;
    if (node_is(it, "input") || node_is(it, "variable")) {
        result[0] = graph_copy_source(to, r->from, it);
    } else if (!pass->visit || !pass->visit(r, it, operand, result)) {
        uint32_t made = to->status ? NO_NODE : graph_copy(to, r->from, it, operand);
        for (int i = 0; i < it->n_results; i++)
            result[i] = made == NO_NODE ? ABSENT : to->nodes.at[made].first_result + (uint32_t)i;
    }
    bool inner = r->done[r->from->values.at[it->first_result].node];
    for (int i = 0; i < it->n_results && !to->status && !inner; i++) {
        uint32_t old = it->first_result + (uint32_t)i;
        if (result[i] == ABSENT ||
            !type_equal(to->values.at[result[i]].type, r->from->values.at[old].type))
            graph_error(to, TW_ERR_SHAPE, "pass %s: %s becomes a value of another type", pass->name,
                        it->op->name);
        r->map[old] = result[i];
    }
    return to->status == TW_OK;
}

/* Outputs and assigns, of the mapped values. */
static void close(rewrite *r) {
    tw_graph *to = r->to;
    tw_context *context = to->module->context;
    for (size_t i = 0; i < r->from->outputs.count; i++) {
        uint32_t *slot = VECTOR_PUSH(context, &to->outputs);
        if (slot)
            *slot = r->map[r->from->outputs.at[i]];
        else
            graph_error(to, TW_ERR_MEMORY, "out of memory in a pass");
    }
    for (uint32_t i = 0; i < r->from->variables.count && !to->status; i++) {
        uint32_t last = graph_final(r->from, i);
        if (last == r->from->variables.at[i].initial) continue;
        assignment *slot = VECTOR_PUSH(context, &to->assigns);
        if (!slot) {
            graph_error(to, TW_ERR_MEMORY, "out of memory in a pass");
            return;
        }
        *slot = (assignment){i, r->map[last]};
        to->variables.at[i].current = r->map[last];
    }
}

/* The live nodes, in the order that the pass wants. */
static bool arrange(rewrite *r, const pass *pass, const uint8_t *live, uint32_t *order,
                    size_t *count) {
    *count = 0;
    for (uint32_t i = 0; i < r->from->nodes.count; i++)
        if (live[i]) order[(*count)++] = i;
    return !pass->arrange || pass->arrange(r, order, *count);
}

static bool walk(rewrite *r, const pass *pass, uint8_t *live, uint32_t *order) {
    size_t count;
    rewrite_mark(r->from, live);
    count_uses(r, live);
    for (size_t i = 0; i < r->from->values.count; i++) r->map[i] = ABSENT;
    r->to->scope_fixed = true;
    if (!arrange(r, pass, live, order, &count)) return false;
    for (size_t i = 0; i < count; i++) {
        node it = r->from->nodes.at[order[i]];
        if (!r->done[order[i]] && !visit(r, pass, &it)) return false;
    }
    close(r);
    return r->to->status == TW_OK;
}

tw_graph *rewrite_run(tw_graph *graph, const pass *pass) {
    tw_context *context = graph->module->context;
    rewrite r = {.from = graph, .to = graph_function(graph, graph->name)};
    if (!r.to) return NULL;
    r.to->table = graph->table;
    r.to->training = graph->training;
    r.to->random_run = graph->random_run;
    r.to->run_counted = true;
    size_t values = graph->values.count;
    r.map = context_allocate(context, values, sizeof *r.map);
    r.uses = context_allocate(context, values, sizeof *r.uses);
    r.state = pass->state_size ? context_allocate(context, 1, pass->state_size) : NULL;
    r.done = context_allocate(context, graph->nodes.count + 1, 1);
    uint8_t *live = context_allocate(context, graph->nodes.count + 1, 1);
    uint32_t *order = context_allocate(context, graph->nodes.count + 1, sizeof *order);
    bool good = r.map && r.uses && r.done && live && order && (r.state || !pass->state_size);
    if (good)
        good = walk(&r, pass, live, order);
    else
        graph_error(r.to, TW_ERR_MEMORY, "out of memory in a pass");
    if (pass->end && r.state) pass->end(&r);
    context_release(context, r.map);
    context_release(context, r.uses);
    context_release(context, r.state);
    context_release(context, r.done);
    context_release(context, live);
    context_release(context, order);
    if (!good) graph_error(graph, r.to->status, "%s", r.to->message);
    return good ? r.to : NULL;
}
