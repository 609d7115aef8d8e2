/*
 * Sibling products: those that share an operand (projections of one x, gates, gradients) are put next to one another
 * and marked, so that the threads share the work of all; what fusion finishes in their tiles comes with them. No
 * operand is concatenated or split. Where each is large enough to keep the threads busy for long, nothing is saved and
 * they stay. It comes last: in the final order it can be seen what it costs in memory.
 */
#include "passes/cluster.h"
#include "passes/footprint.h"
#include "passes/passes.h"

enum { MOST_NODES = 4096, LITTLE = 64 << 10 /* bytes that the peak may rise */ };
/* Operations of each, as the tiles count them: beyond, the threads meet seldom enough (docs/benchmarks.md). */
static const double MOST = 2e7;

typedef struct merging {
    footprint memory;
    double peak;     /* that the order may need */
    uint32_t *order; /* on trial */
    uint32_t *place; /* by node: where it stands in the order */
    uint32_t
        *first;     /* by node: the first of its siblings, itself if it is that; NO_NODE for none */
    uint32_t *next; /* by node: the next sibling, NO_NODE at the end */
    uint8_t *joined; /* by node: a sibling, but the first */
} merging;

/* ---- which are siblings ---- */

/* The dot that a node is or has, and the graph that it is in; NULL for none. */
static const node *product_in(const rewrite *r, const node *it, const tw_graph **graph) {
    *graph = r->from;
    if (!node_is(it, "fused")) return it;
    *graph = it->attr[0].function;
    for (size_t i = 0; i < (*graph)->nodes.count; i++)
        if (node_is(&(*graph)->nodes.at[i], "dot")) return &(*graph)->nodes.at[i];
    return NULL;
}

/* Operand k of the product, as a value of `from`; ABSENT where it is made within the function. */
static uint32_t operand_of(const rewrite *r, const node *it, int k) {
    const tw_graph *graph;
    const node *dot = product_in(r, it, &graph);
    if (graph == r->from) return dot->operand[k];
    for (size_t i = 0; i < graph->inputs.count; i++)
        if (graph->inputs.at[i] == dot->operand[k]) return it->operand[i];
    return ABSENT;
}

/* A multiply-add for each row, and the reading of w; 0 where it is not computed in tiles. */
static double work_of(const rewrite *r, const node *it) {
    const tw_graph *graph;
    const node *dot = product_in(r, it, &graph);
    matrix_product m;
    if (!dot || !cluster_product(r->to->module->context, graph, dot, &m)) return 0;
    double work = (double)m.x_extent[m.rank - 1] * (double)m.y_extent[m.rank - 1];
    for (int i = 0; i < (int)m.rank - 2; i++) work *= (double)m.y_extent[i];
    return work * (2 * (double)m.y_extent[m.rank - 2] + 16);
}

static bool is_candidate(const rewrite *r, const node *it) {
    double work = work_of(r, it);
    return work > 0 && work <= MOST;
}

static bool are_siblings(const rewrite *r, const node *a, const node *b) {
    if (a->meta.epoch != b->meta.epoch || a->meta.phase != b->meta.phase) return false;
    for (int i = 0; i < 2; i++)
        for (int k = 0; k < 2; k++) {
            uint32_t shared = operand_of(r, a, i);
            if (shared != ABSENT && shared == operand_of(r, b, k)) return true;
        }
    return false;
}

static int count_siblings(const merging *g, uint32_t first) {
    int n = 0;
    for (uint32_t i = first; i != NO_NODE; i = g->next[i]) n++;
    return n;
}

static void append(merging *g, uint32_t first, uint32_t added) {
    uint32_t last = first;
    while (g->next[last] != NO_NODE) last = g->next[last];
    g->next[last] = added;
    g->first[added] = first;
    g->joined[added] = 1;
}

static void take_back(merging *g, uint32_t first, uint32_t added) {
    uint32_t last = first;
    while (g->next[last] != added) last = g->next[last];
    g->next[last] = NO_NODE;
    g->first[added] = added;
    g->joined[added] = 0;
}

/* ---- where they can stand side by side ---- */

/* One past the last place of what makes their operands; past the end where that is one of them. */
static size_t earliest(const rewrite *r, const merging *g, uint32_t first, size_t count) {
    size_t after = 0;
    for (uint32_t i = first; i != NO_NODE; i = g->next[i])
        for (int k = 0; k < r->from->nodes.at[i].n_operands; k++) {
            uint32_t value = r->from->nodes.at[i].operand[k];
            if (value == ABSENT) continue;
            uint32_t from = r->from->values.at[value].node;
            if (g->first[from] == first) return count + 1;
            while (g->next[from] != NO_NODE) from = g->next[from];
            if (g->place[from] + 1 > after) after = g->place[from] + 1;
        }
    return after;
}

/* The first place where one of their results is read; siblings read at the place of the first. */
static size_t latest(const rewrite *r, const merging *g, uint32_t first, const uint32_t *order,
                     size_t count) {
    for (size_t i = 0; i < count; i++) {
        const node *it = &r->from->nodes.at[order[i]];
        for (int k = 0; k < it->n_operands; k++)
            if (it->operand[k] != ABSENT &&
                g->first[r->from->values.at[it->operand[k]].node] == first)
                return g->joined[order[i]] ? g->place[g->first[order[i]]] : i;
    }
    return count;
}

/* The order with all of `first` at place `at`, in g->order. */
static void gather(merging *g, uint32_t first, size_t at, const uint32_t *order, size_t count) {
    size_t done = 0;
    for (size_t i = 0; i <= count; i++) {
        for (uint32_t own = first; i == at && own != NO_NODE; own = g->next[own])
            g->order[done++] = own;
        if (i < count && g->first[order[i]] != first) g->order[done++] = order[i];
    }
}

/* Node `added` with those of `first`; false where there is no place for all, or memory would get worse. */
static bool join(const rewrite *r, merging *g, uint32_t first, uint32_t added, uint32_t *order,
                 size_t count) {
    append(g, first, added);
    size_t from = earliest(r, g, first, count), to = latest(r, g, first, order, count);
    size_t at = from < g->place[first] ? g->place[first] : from;
    bool good = from <= to && at <= to;
    if (good) {
        gather(g, first, at, order, count);
        good = footprint_peak(&g->memory, r, g->order, count, g->joined) <= g->peak;
    }
    if (!good) {
        take_back(g, first, added);
        return false;
    }
    memcpy(order, g->order, count * sizeof *order);
    for (uint32_t i = 0; i < count; i++) g->place[order[i]] = i;
    return true;
}

/* ---- the walk ---- */

static bool allocate(const rewrite *r, merging *g, const uint32_t *order, size_t count) {
    tw_context *context = r->to->module->context;
    size_t nodes = r->from->nodes.count + 1;
    g->order = context_allocate(context, count + 1, sizeof *g->order);
    g->place = context_allocate(context, nodes, sizeof *g->place);
    g->first = context_allocate(context, nodes, sizeof *g->first);
    g->next = context_allocate(context, nodes, sizeof *g->next);
    g->joined = context_allocate(context, nodes, 1);
    return g->order && g->place && g->first && g->next && g->joined &&
           footprint_start(&g->memory, r, order, count);
}

/* Candidate i of list[] goes to the first that takes it. */
static void find_siblings(const rewrite *r, merging *g, const uint32_t *list, size_t i,
                          uint32_t *order, size_t count) {
    const node *nodes = r->from->nodes.at;
    g->first[list[i]] = list[i];
    for (size_t k = 0; k < i; k++) {
        bool starts = g->first[list[k]] == list[k];
        if (!starts || !are_siblings(r, &nodes[list[k]], &nodes[list[i]])) continue;
        if (count_siblings(g, list[k]) == MOST_BESIDE) continue;
        if (join(r, g, list[k], list[i], order, count)) return;
    }
}

static bool arrange(rewrite *r, uint32_t *order, size_t count) {
    merging *g = r->state;
    size_t candidates = 0;
    if (count > MOST_NODES) return true;
    uint32_t *list = context_allocate(r->to->module->context, count + 1, sizeof *list);
    bool good = list && allocate(r, g, order, count);
    for (size_t i = 0; good && i < r->from->nodes.count; i++) g->first[i] = g->next[i] = NO_NODE;
    for (uint32_t i = 0; good && i < count; i++) {
        g->place[order[i]] = i;
        if (is_candidate(r, &r->from->nodes.at[order[i]])) list[candidates++] = order[i];
    }
    if (good) g->peak = footprint_peak(&g->memory, r, order, count, NULL) + LITTLE;
    for (size_t i = 0; good && i < candidates; i++) find_siblings(r, g, list, i, order, count);
    context_release(r->to->module->context, list);
    if (!good) graph_error(r->to, TW_ERR_MEMORY, "out of memory in merging products");
    return good;
}

static bool visit(rewrite *r, const node *it, const uint32_t *operand, uint32_t *result) {
    const merging *g = r->state;
    (void)operand, (void)result;
    r->to->meta.beside = g->joined && g->joined[r->from->values.at[it->first_result].node];
    return false;
}

static void end(rewrite *r) {
    merging *g = r->state;
    tw_context *context = r->to->module->context;
    footprint_end(&g->memory, r);
    context_release(context, g->order);
    context_release(context, g->place);
    context_release(context, g->first);
    context_release(context, g->next);
    context_release(context, g->joined);
}

const pass merge_pass = {.name = "merge",
                         .about = "products that share an operand stand side by side",
                         .state_size = sizeof(merging),
                         .arrange = arrange,
                         .visit = visit,
                         .end = end};
