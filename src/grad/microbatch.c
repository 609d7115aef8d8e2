/*
 * The rewrite. First a plan: for each node whether it is computed whole or in pieces, and its
 * level, the number of times that pieces have to be put together before it. Then each level is
 * appended piece after piece, so that one piece's values can be dropped before the next one's;
 * partial results are combined on the way. What a value's id names stays what it was.
 */
#include "grad/microbatch.h"

#include "base/text.h"
#include "grad/cut.h"
#include "grad/pieces.h"
#include "ir/dimension.h"

/* plan */

/* The level from which all of a value can be read. */
static int whole_level(const piece_value *it) { return it->kept ? it->level : it->level + 1; }

static bool push_planned(pieces *p, const node *at, const cut_plan *plan, int level) {
    planned *entry = VECTOR_PUSH(p->graph->module->context, &p->plan);
    if (!entry) {
        graph_error(p->graph, TW_ERR_MEMORY, "out of memory for microbatches");
        return false;
    }
    entry->node = *at;
    entry->level = level;
    entry->in_pieces = plan != NULL;
    if (plan) entry->cut = *plan;
    if (level > p->last_level) p->last_level = level;
    bool input = node_is(at, "input");
    for (int i = 0; i < at->n_results; i++) {
        piece_value *it = pieces_value(p, at->first_result + (uint32_t)i);
        if (!it) return false;
        *it = (piece_value){.level = level, .planned = (uint32_t)p->plan.count, .kept = !plan};
        if (plan) it->cut = plan->result[i];
        if (input && p->graph->values.at[at->first_result].type.shape.rank)
            it->cut = (cut){CUT_SPLIT, 0, (tw_reduction)0};
    }
    return true;
}

static bool plan_whole(pieces *p, const node *at) {
    int level = 0;
    for (int i = 0; i < at->n_operands; i++) {
        if (at->operand[i] == ABSENT) continue;
        int needed = whole_level(&p->value.at[at->operand[i]]);
        if (needed > level) level = needed;
    }
    return push_planned(p, at, NULL, level);
}

static bool plan_in_pieces(pieces *p, const node *at, const cut_plan *plan) {
    int level = 0;
    for (int i = 0; i < at->n_operands; i++) {
        if (at->operand[i] == ABSENT) continue;
        const piece_value *it = &p->value.at[at->operand[i]];
        bool as_cut = it->cut.kind == CUT_SPLIT && it->cut.dim == plan->want[i];
        int needed = as_cut ? it->level : whole_level(it);
        if (needed > level) level = needed;
    }
    return push_planned(p, at, plan, level);
}

static bool plan_node(pieces *p, const node *at);

/* A node of a composite's body, with fresh ids for its results. */
static bool plan_expanded(pieces *p, const node *at, const node_meta *meta, uint32_t *map) {
    tw_graph *graph = p->graph;
    uint32_t operand[TW_MAX_OPERANDS];
    node copy = *at;
    for (int i = 0; i < at->n_operands; i++)
        operand[i] = at->operand[i] == ABSENT ? ABSENT : map[at->operand[i]];
    copy.operand = arena_allocate(&graph->module->arena, (size_t)at->n_operands, sizeof *operand);
    if (!copy.operand) return false;
    if (at->n_operands) memcpy(copy.operand, operand, (size_t)at->n_operands * sizeof *operand);
    copy.meta = *meta;
    copy.first_result = (uint32_t)graph->values.count;
    for (int i = 0; i < at->n_results; i++) {
        value *result = VECTOR_PUSH(graph->module->context, &graph->values);
        if (!result) return false;
        map[at->first_result + (uint32_t)i] = (uint32_t)graph->values.count - 1;
        *result = p->body->values.at[at->first_result + (uint32_t)i];
        result->tape = graph->tape;
    }
    return plan_node(p, &copy);
}

/* The composite's own result ids name what the body gives: by a reshape that changes nothing. */
static bool plan_result(pieces *p, const node *at, int result, uint32_t from) {
    uint32_t id = at->first_result + (uint32_t)result;
    tw_attr *attr = arena_allocate(&p->graph->module->arena, 1, sizeof *attr);
    uint32_t *operand = arena_allocate(&p->graph->module->arena, 1, sizeof *operand);
    if (!attr || !operand) return false;
    *attr = tw_attr_dims(p->graph->values.at[id].type.shape);
    *operand = from;
    const tw_operator *reshape = tw_operator_find(p->graph->module->context, "reshape");
    node copy = {.op = reshape,
                 .n_operands = 1,
                 .n_results = 1,
                 .operand = operand,
                 .first_result = id,
                 .attr = attr,
                 .meta = at->meta};
    return plan_node(p, &copy);
}

static bool expand_into(pieces *p, const node *at, tw_graph *body, uint32_t *map) {
    tw_graph *outer = p->body;
    bool good = true;
    size_t next = 0;
    for (int i = 0; i < at->n_operands; i++)
        if (at->operand[i] != ABSENT) map[body->inputs.at[next++]] = at->operand[i];
    for (size_t i = 0; good && i < body->nodes.count; i++) {
        const node *inner = &body->nodes.at[i];
        p->body = body;
        if (strcmp(inner->op->name, "input")) good = plan_expanded(p, inner, &at->meta, map);
    }
    p->body = outer;
    for (int i = 0; good && i < at->n_results; i++)
        good = plan_result(p, at, i, map[body->outputs.at[i]]);
    return good;
}

/* A composite or call that cannot be cut as one node is planned node by node. */
static bool plan_body(pieces *p, const node *at) {
    tw_graph *graph = p->graph, *body = NULL;
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
    uint32_t *map =
        body ? context_allocate(graph->module->context, body->values.count, sizeof *map) : NULL;
    bool good = map && expand_into(p, at, body, map);
    context_release(graph->module->context, map);
    if (!good) graph_error(graph, TW_ERR_MEMORY, "out of memory for microbatches");
    return good;
}

static bool refuse(pieces *p, const node *at) {
    tw_context *context = p->graph->module->context;
    text types = {.context = context};
    for (int i = 0; i < at->n_operands; i++) {
        if (at->operand[i] == ABSENT) continue;
        const piece_value *it = &p->value.at[at->operand[i]];
        if (types.length) text_add(&types, ", ");
        type_print(context, p->graph->values.at[at->operand[i]].type, &types);
        if (it->cut.kind == CUT_SPLIT) text_add(&types, " cut along axis %d", it->cut.dim);
    }
    graph_error(
        p->graph, TW_ERR_UNSUPPORTED,
        "%s(%s)%s%s%s cannot be computed in %d microbatches: it mixes what they keep apart, "
        "or an extent is no multiple of their number",
        at->op->name, types.failed ? "" : types.at, *at->meta.scope ? " in scope \"" : "",
        at->meta.scope, *at->meta.scope ? "\"" : "", p->parts);
    text_drop(&types);
    return false;
}

static bool plan_node(pieces *p, const node *at) {
    cut operand[TW_MAX_OPERANDS] = {{0}};
    bool split = false;
    for (int i = 0; i < at->n_operands; i++) {
        if (at->operand[i] == ABSENT) continue;
        operand[i] = p->value.at[at->operand[i]].cut;
        split |= operand[i].kind == CUT_SPLIT;
    }
    if (!split) return plan_whole(p, at);
    cut_plan plan = {.want = {0}};
    if (cut_node(p->graph, at, operand, p->parts, &plan)) return plan_in_pieces(p, at, &plan);
    if (p->graph->status) return false;
    if (at->op->meaning == TW_MEANS_BODY || operator_calls(at->op)) return plan_body(p, at);
    /* Pieces put together along their axis (a sparse gradient's rows) are whole anyway. */
    if (node_is(at, "concat")) return plan_whole(p, at);
    return refuse(p, at);
}

/* rewrite */

static bool append_level(pieces *p, int level) {
    for (size_t i = 0; i < p->plan.count; i++)
        if (p->plan.at[i].level == level && !p->plan.at[i].in_pieces &&
            !pieces_append_whole(p, &p->plan.at[i]))
            return false;
    for (int k = 0; k < p->parts; k++)
        for (size_t i = 0; i < p->plan.count; i++)
            if (p->plan.at[i].level == level && p->plan.at[i].in_pieces &&
                !pieces_append(p, &p->plan.at[i], k))
                return false;
    for (size_t i = 0; i < p->plan.count; i++)
        if (p->plan.at[i].level == level && p->plan.at[i].in_pieces &&
            !pieces_put_together(p, &p->plan.at[i]))
            return false;
    return true;
}

static void points_to(tw_graph *graph, const node *at, uint32_t index) {
    for (int i = 0; i < at->n_results; i++) {
        value *it = &graph->values.at[at->first_result + (uint32_t)i];
        it->node = index;
        it->result = (uint32_t)i;
    }
}

static bool rewrite(pieces *p) {
    tw_graph *graph = p->graph;
    tw_context *context = graph->module->context;
    node *old = graph->nodes.at;
    size_t count = graph->nodes.count, capacity = graph->nodes.capacity;
    node_meta meta = graph->meta;
    bool fixed = graph->scope_fixed;
    graph->nodes.at = NULL;
    graph->nodes.count = graph->nodes.capacity = 0;
    graph->scope_fixed = true;
    bool good = true;
    for (int level = 0; good && level <= p->last_level; level++) good = append_level(p, level);
    graph->meta = meta;
    graph->scope_fixed = fixed;
    if (good) {
        context_release(context, old);
        return true;
    }
    VECTOR_FREE(context, &graph->nodes);
    graph->nodes.at = old;
    graph->nodes.count = count;
    graph->nodes.capacity = capacity;
    for (size_t i = 0; i < count; i++) points_to(graph, &old[i], (uint32_t)i);
    return false;
}

static bool inputs_divide(tw_graph *graph, int parts) {
    for (size_t i = 0; i < graph->inputs.count; i++) {
        uint32_t id = graph->inputs.at[i];
        const value *it = &graph->values.at[id];
        if (!it->type.shape.rank) continue;
        if (cut_extent(graph->module->context, it->type.shape.dim[0], parts) != TW_DIM_NONE)
            continue;
        text type = {.context = graph->module->context};
        type_print(type.context, it->type, &type);
        graph_error(graph, TW_ERR_SHAPE,
                    "input \"%s\" %s cannot be cut in %d microbatches: axis 0 must be a multiple",
                    graph->nodes.at[it->node].attr[0].string, type.failed ? "" : type.at, parts);
        text_drop(&type);
        return false;
    }
    return true;
}

bool microbatch_cut(tw_graph *graph, int parts) {
    if (graph->status) return false;
    if (parts <= 1) return true;
    if (!inputs_divide(graph, parts)) return false;
    pieces p = {.graph = graph, .parts = parts};
    size_t values = graph->values.count;
    bool good = true;
    for (size_t i = 0; good && i < graph->nodes.count; i++) {
        node at = graph->nodes.at[i];
        good = plan_node(&p, &at);
    }
    if (good) good = rewrite(&p);
    if (!good) {
        graph->values.count = values;
        graph_error(graph, TW_ERR_MEMORY, "out of memory for microbatches");
    }
    pieces_end(&p);
    return good;
}
