/*
 * The order of nodes for little memory: of those whose operands stand, the one that frees most less
 * what it takes, ties in the order of the graph; the update phase after the others, as variables are then
 * written in place. The graph's own order stays where the other one does not need less by the estimate.
 */
#include "passes/footprint.h"
#include "passes/passes.h"

enum { MOST_NODES = 4096 };

typedef struct schedule {
    footprint memory;
    uint32_t *order; /* nodes as scheduled */
    uint8_t *placed; /* by node */
} schedule;

static bool allocate(rewrite *r, schedule *s, size_t count) {
    tw_context *context = r->to->module->context;
    s->order = context_allocate(context, count + 1, sizeof *s->order);
    s->placed = context_allocate(context, r->from->nodes.count + 1, 1);
    return s->order && s->placed;
}

static bool stands_first(const node *it) { return node_is(it, "input") || node_is(it, "variable"); }

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
        double gain = footprint_freed(&s->memory, it, false) - footprint_taken(&s->memory, it) +
                      footprint_unread(&s->memory, it);
        if (best < count && best_updates == updates && !(gain > most)) continue;
        best = i;
        most = gain;
        best_updates = updates;
    }
    return best;
}

static void plan(const rewrite *r, schedule *s, const uint32_t *order, size_t count) {
    size_t done = 0, first = 0;
    footprint_restart(&s->memory, r);
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
        (void)footprint_freed(&s->memory, &r->from->nodes.at[order[at]], true);
    }
}

static bool arrange(rewrite *r, uint32_t *order, size_t count) {
    schedule *s = r->state;
    if (count > MOST_NODES) return true;
    if (!footprint_start(&s->memory, r, order, count) || !allocate(r, s, count)) {
        graph_error(r->to, TW_ERR_MEMORY, "out of memory in scheduling");
        return false;
    }
    plan(r, s, order, count);
    if (footprint_peak(&s->memory, r, s->order, count, NULL) <
        footprint_peak(&s->memory, r, order, count, NULL))
        memcpy(order, s->order, count * sizeof *order);
    return true;
}

static void end(rewrite *r) {
    schedule *s = r->state;
    tw_context *context = r->to->module->context;
    footprint_end(&s->memory, r);
    context_release(context, s->order);
    context_release(context, s->placed);
}

const pass schedule_pass = {.name = "schedule",
                            .about = "nodes in the order that needs the least memory",
                            .state_size = sizeof(schedule),
                            .arrange = arrange,
                            .end = end};
