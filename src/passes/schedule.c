/*
 * The order of nodes for little memory: of those whose operands stand, the one that frees most less
 * what it takes, ties in the order of the graph; the update phase after the others, as variables are then
 * written in place. The graph's own order stays where the other one does not need less by the estimate.
 */
#include "ir/dimension.h"
#include "passes/passes.h"

enum { MOST_NODES = 4096 };

typedef struct schedule {
    double *bytes;   /* by value: what it takes of memory, 0 for another's under another shape */
    uint32_t *root;  /* by value: whose memory it reads */
    uint32_t *uses;  /* by root: reads by nodes, and by outputs and assigns, which never end */
    uint32_t *left;  /* by root: reads to come */
    uint32_t *order; /* nodes as scheduled */
    uint8_t *placed; /* by node */
} schedule;

static double bytes_of(const rewrite *r, uint32_t value) {
    tw_type type = r->from->values.at[value].type;
    double bytes = (double)tw_dtype_size(type.dtype);
    for (int i = 0; i < type.shape.rank; i++) bytes *= rewrite_nominal(r, type.shape.dim[i]);
    return bytes;
}

static bool allocate(rewrite *r, schedule *s, size_t count) {
    tw_context *context = r->to->module->context;
    size_t values = r->from->values.count + 1, nodes = r->from->nodes.count + 1;
    s->bytes = context_allocate(context, values, sizeof *s->bytes);
    s->root = context_allocate(context, values, sizeof *s->root);
    s->uses = context_allocate(context, values, sizeof *s->uses);
    s->left = context_allocate(context, values, sizeof *s->left);
    s->order = context_allocate(context, count + 1, sizeof *s->order);
    s->placed = context_allocate(context, nodes, 1);
    return s->bytes && s->root && s->uses && s->left && s->order && s->placed;
}

static bool stands_first(const node *it) { return node_is(it, "input") || node_is(it, "variable"); }

/* What variables become is in their memory, and constants are in the code's. */
static void measure(rewrite *r, schedule *s, const uint32_t *order, size_t count) {
    const tw_graph *graph = r->from;
    for (size_t i = 0; i < count; i++) {
        const node *it = &graph->nodes.at[order[i]];
        for (int k = 0; k < it->n_results; k++) {
            uint32_t value = it->first_result + (uint32_t)k;
            bool alias = node_is(it, "reshape") || node_is(it, "stop_gradient");
            s->root[value] = alias ? s->root[it->operand[0]] : value;
            bool outside = stands_first(it) || node_is(it, "constant") || node_is(it, "splat");
            s->bytes[value] = alias || outside ? 0 : bytes_of(r, value);
        }
        for (int k = 0; k < it->n_operands; k++)
            if (it->operand[k] != ABSENT) s->uses[s->root[it->operand[k]]]++;
    }
    for (size_t i = 0; i < graph->outputs.count; i++) s->uses[s->root[graph->outputs.at[i]]]++;
    for (uint32_t i = 0; i < graph->variables.count; i++) {
        uint32_t last = graph_final(graph, i);
        if (last != graph->variables.at[i].initial) s->bytes[s->root[last]] = 0;
    }
}

/* Bytes that are free once `it` has run; the last reads are counted where `take` is set. */
static double freed_by(schedule *s, const node *it, bool take) {
    double freed = 0;
    for (int k = 0; k < it->n_operands; k++) {
        if (it->operand[k] == ABSENT) continue;
        uint32_t root = s->root[it->operand[k]];
        if (--s->left[root] == 0) freed += s->bytes[root];
    }
    for (int k = 0; !take && k < it->n_operands; k++)
        if (it->operand[k] != ABSENT) s->left[s->root[it->operand[k]]]++;
    return freed;
}

static double taken_by(const schedule *s, const node *it) {
    double taken = 0;
    for (int k = 0; k < it->n_results; k++) taken += s->bytes[it->first_result + (uint32_t)k];
    return taken;
}

/* A result that nobody reads is gone after its node. */
static double unread_of(const schedule *s, const node *it) {
    double bytes = 0;
    for (int k = 0; k < it->n_results; k++)
        if (!s->uses[it->first_result + (uint32_t)k])
            bytes += s->bytes[it->first_result + (uint32_t)k];
    return bytes;
}

static void restart(const rewrite *r, schedule *s) {
    memcpy(s->left, s->uses, r->from->values.count * sizeof *s->left);
}

static double peak_of(const rewrite *r, schedule *s, const uint32_t *order, size_t count) {
    double now = 0, peak = 0;
    restart(r, s);
    for (size_t i = 0; i < count; i++) {
        const node *it = &r->from->nodes.at[order[i]];
        now += taken_by(s, it);
        if (now > peak) peak = now;
        now -= freed_by(s, it, true) + unread_of(s, it);
    }
    return peak;
}

static bool is_ready(const rewrite *r, const schedule *s, const node *it) {
    for (int k = 0; k < it->n_operands; k++)
        if (it->operand[k] != ABSENT && !s->placed[r->from->values.at[it->operand[k]].node])
            return false;
    return true;
}

/* Where the next node stands in order[]; effects keep their order. */
static size_t next_node(const rewrite *r, schedule *s, const uint32_t *order, size_t first,
                        size_t count) {
    size_t best = count;
    double most = 0;
    bool effect = false, best_updates = false;
    for (size_t i = first; i < count; i++) {
        const node *it = &r->from->nodes.at[order[i]];
        if (s->placed[order[i]]) continue;
        bool waits = it->op->effect && effect, updates = it->meta.phase == PHASE_UPDATE;
        effect = effect || it->op->effect;
        if (waits || (best < count && updates && !best_updates) || !is_ready(r, s, it)) continue;
        double gain = freed_by(s, it, false) - taken_by(s, it) + unread_of(s, it);
        if (best < count && best_updates == updates && !(gain > most)) continue;
        best = i;
        most = gain;
        best_updates = updates;
    }
    return best;
}

static void plan(const rewrite *r, schedule *s, const uint32_t *order, size_t count) {
    size_t done = 0, first = 0;
    restart(r, s);
    /* Inputs and variables keep their order: the graph's lists are made from it. */
    for (size_t i = 0; i < count; i++) {
        if (!stands_first(&r->from->nodes.at[order[i]])) continue;
        s->placed[order[i]] = 1;
        s->order[done++] = order[i];
    }
    while (done < count) {
        while (s->placed[order[first]]) first++;
        size_t at = next_node(r, s, order, first, count);
        s->placed[order[at]] = 1;
        s->order[done++] = order[at];
        (void)freed_by(s, &r->from->nodes.at[order[at]], true);
    }
}

static bool arrange(rewrite *r, uint32_t *order, size_t count) {
    schedule *s = r->state;
    if (count > MOST_NODES) return true;
    if (!allocate(r, s, count)) {
        graph_error(r->to, TW_ERR_MEMORY, "out of memory in scheduling");
        return false;
    }
    measure(r, s, order, count);
    plan(r, s, order, count);
    if (peak_of(r, s, s->order, count) < peak_of(r, s, order, count))
        memcpy(order, s->order, count * sizeof *order);
    return true;
}

static void end(rewrite *r) {
    schedule *s = r->state;
    tw_context *context = r->to->module->context;
    context_release(context, s->bytes);
    context_release(context, s->root);
    context_release(context, s->uses);
    context_release(context, s->left);
    context_release(context, s->order);
    context_release(context, s->placed);
}

const pass schedule_pass = {.name = "schedule",
                            .about = "nodes in the order that needs the least memory",
                            .state_size = sizeof(schedule),
                            .arrange = arrange,
                            .end = end};
