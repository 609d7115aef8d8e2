/*
 * Memory for work: what the forward phase made is not kept for the later phases but computed again
 * where they first read it (Chen et al. 2016, Training Deep Nets with Sublinear Memory Cost). The
 * first level computes cheap work again: elementwise, movement, reductions. The others keep every
 * second, fourth, ... result of the rest too. The same operators on the same operands: the numbers are
 * the same.
 */
#include "passes/passes.h"

typedef struct recompute {
    uint32_t *copy;  /* by value of `from`: its copy in `to`, ABSENT for none yet */
    uint32_t *heavy; /* by node: the how manieth of the costly ones of the forward phase, from 1 */
    int depth;
} recompute;

enum { DEEPEST = 512 };

static bool is_cheap(const node *it) {
    return it->op->meaning == TW_MEANS_SCALAR || it->op->meaning == TW_MEANS_MAP ||
           node_is(it, "reduce") || node_is(it, "random_bits");
}

static bool start(rewrite *r) {
    recompute *s = r->state;
    const tw_graph *graph = r->from;
    uint32_t heavy = 0;
    if (s->copy) return true;
    tw_context *context = r->to->module->context;
    s->copy = context_allocate(context, graph->values.count + 1, sizeof *s->copy);
    s->heavy = context_allocate(context, graph->nodes.count + 1, sizeof *s->heavy);
    if (!s->copy || !s->heavy) {
        graph_error(r->to, TW_ERR_MEMORY, "out of memory in recomputation");
        return false;
    }
    for (size_t i = 0; i < graph->values.count; i++) s->copy[i] = ABSENT;
    for (size_t i = 0; i < graph->nodes.count; i++) {
        const node *it = &graph->nodes.at[i];
        if (it->meta.phase == PHASE_FORWARD && it->n_operands && !is_cheap(it))
            s->heavy[i] = ++heavy;
    }
    return true;
}

/* Whether the later phases compute it again. What has residuals or effects stays, as do calls. */
static bool is_dropped(const rewrite *r, uint32_t value, uint32_t keep_each) {
    const recompute *s = r->state;
    uint32_t index = r->from->values.at[value].node;
    const node *it = &r->from->nodes.at[index];
    if (it->meta.phase != PHASE_FORWARD || !it->n_operands || it->n_results != 1 ||
        it->op->effect || operator_calls(it->op))
        return false;
    return is_cheap(it) || (keep_each > 1 && s->heavy[index] % keep_each != 0);
}

/* The value for a reader of a later phase; ABSENT after an error. */
static uint32_t again(rewrite *r, uint32_t value, uint32_t keep_each) {
    recompute *s = r->state;
    if (s->copy[value] != ABSENT) return s->copy[value];
    if (!is_dropped(r, value, keep_each) || s->depth >= DEEPEST) return r->map[value];
    const node *it = &r->from->nodes.at[r->from->values.at[value].node];
    uint32_t operand[TW_MAX_OPERANDS];
    s->depth++;
    for (int k = 0; k < it->n_operands; k++)
        operand[k] = it->operand[k] == ABSENT ? ABSENT : again(r, it->operand[k], keep_each);
    s->depth--;
    const node_meta meta = r->to->meta;
    r->to->meta = it->meta;
    r->to->meta.phase = meta.phase;
    r->to->meta.epoch = it->meta.epoch + 1;
    uint32_t made = r->to->status ? NO_NODE : graph_copy(r->to, r->from, it, operand);
    r->to->meta = meta;
    if (made == NO_NODE) return ABSENT;
    return s->copy[value] = r->to->nodes.at[made].first_result;
}

static bool visit(rewrite *r, const node *it, const uint32_t *given, uint32_t *result,
                  uint32_t keep_each) {
    uint32_t operand[TW_MAX_OPERANDS];
    (void)given;
    if (!start(r) || it->meta.phase == PHASE_FORWARD) return false;
    for (int k = 0; k < it->n_operands; k++)
        operand[k] = it->operand[k] == ABSENT ? ABSENT : again(r, it->operand[k], keep_each);
    uint32_t made = r->to->status ? NO_NODE : graph_copy(r->to, r->from, it, operand);
    if (made == NO_NODE) return false;
    for (int i = 0; i < it->n_results; i++)
        result[i] = r->to->nodes.at[made].first_result + (uint32_t)i;
    return true;
}

#define LEVEL(KEEP)                                                                                \
    static bool visit_##KEEP(rewrite *r, const node *it, const uint32_t *operand,                  \
                             uint32_t *result) {                                                   \
        return visit(r, it, operand, result, KEEP);                                                \
    }
LEVEL(1)
LEVEL(2)
LEVEL(4)
LEVEL(8)
LEVEL(16)

static void end(rewrite *r) {
    recompute *s = r->state;
    context_release(r->to->module->context, s->copy);
    context_release(r->to->module->context, s->heavy);
}

#define PASS(NAME, ABOUT, KEEP)                                                                    \
    {.name = NAME,                                                                                 \
     .about = ABOUT,                                                                               \
     .state_size = sizeof(recompute),                                                              \
     .visit = visit_##KEEP,                                                                        \
     .end = end,                                                                                   \
     .asked = true}
const pass recompute_passes[RECOMPUTE_LEVELS] = {
    PASS("recompute", "cheap forward work is done again, for a budget of memory", 1),
    PASS("recompute2", "... and every second product", 2),
    PASS("recompute4", "... and three products of four", 4),
    PASS("recompute8", "... and seven of eight", 8),
    PASS("recompute16", "... and fifteen of sixteen", 16),
};
