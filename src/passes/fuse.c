/*
 * Fusion: each cluster becomes one node, `fused`, that names a function of its members. Its inputs are
 * what members read from elsewhere, its outputs what others read of theirs.
 */
#include <stdio.h>

#include "ir/dimension.h"
#include "passes/cluster.h"
#include "passes/passes.h"

typedef struct fusion {
    clusters clusters;
    bool found;
    uint8_t *placed; /* by node */
    uint32_t *path;  /* nodes that wait for their operands */
} fusion;

enum { SMALL = 16 }; /* elements of a box that needs no kernel of its own */

static bool is_small(tw_shape shape) {
    return shape_known(shape) && shape_elements(shape) <= SMALL;
}

/* A lone broadcast is a copy, lone small work not worth a kernel, a lone product has its own, and one without
 * inputs is a constant. */
static bool is_worth(const clusters *c, uint32_t of) {
    const cluster *it = &c->at[of];
    bool works = false, reads = false;
    if (!it->members || is_small(it->domain)) return false;
    if (it->product != NO_NODE && it->members == 1) return false;
    for (uint32_t i = it->first; i != NO_NODE; i = c->next[i]) {
        const node *member = &c->graph->nodes.at[i];
        works = works || !node_is(member, "broadcast");
        for (int k = 0; k < member->n_operands; k++) {
            uint32_t value = member->operand[k];
            reads = reads || (c->of[c->graph->values.at[value].node] != of &&
                              !cluster_copies(c->graph, value));
        }
    }
    return works && reads;
}

static void dissolve(clusters *c, cluster *it) {
    for (uint32_t i = it->first; it->members && i != NO_NODE; i = c->next[i]) c->of[i] = NO_CLUSTER;
    it->members = 0;
}

/* ---- the order: each cluster's members side by side, after all that they read ---- */

typedef struct ordering {
    rewrite *r;
    fusion *f;
    uint32_t *order;
    size_t count;
} ordering;

static bool is_live_node(const ordering *o, uint32_t index) {
    return o->f->clusters.live[index] && !o->f->placed[index];
}

/* The next node that `index` (or its cluster) waits for; NO_NODE when all stand. */
static uint32_t awaited(const ordering *o, uint32_t index) {
    const clusters *c = &o->f->clusters;
    uint32_t of = c->of[index];
    uint32_t at = of == NO_CLUSTER ? index : c->at[of].first;
    for (; at != NO_NODE; at = of == NO_CLUSTER ? NO_NODE : c->next[at]) {
        const node *it = &c->graph->nodes.at[at];
        for (int k = 0; k < it->n_operands; k++) {
            if (it->operand[k] == ABSENT) continue;
            uint32_t from = c->graph->values.at[it->operand[k]].node;
            bool inside = of != NO_CLUSTER && c->of[from] == of;
            if (!inside && is_live_node(o, from)) return from;
        }
    }
    return NO_NODE;
}

static void place(ordering *o, uint32_t index) {
    const clusters *c = &o->f->clusters;
    uint32_t of = c->of[index];
    uint32_t at = of == NO_CLUSTER ? index : c->at[of].first;
    for (; at != NO_NODE; at = of == NO_CLUSTER ? NO_NODE : c->next[at]) {
        o->f->placed[at] = 1;
        o->order[o->count++] = at;
    }
}

/* A cluster waits for the last of its members, unless somebody waits for it. */
static bool is_last(const clusters *c, uint32_t index) {
    uint32_t of = c->of[index];
    for (uint32_t i = of == NO_CLUSTER ? NO_NODE : c->at[of].first; i != NO_NODE; i = c->next[i])
        if (i > index) return false;
    return true;
}

static bool arrange(rewrite *r, uint32_t *order, size_t count) {
    fusion *f = r->state;
    tw_context *context = r->to->module->context;
    const tw_graph *graph = r->from;
    uint8_t *live = context_allocate(context, graph->nodes.count + 1, 1);
    f->placed = context_allocate(context, graph->nodes.count + 1, 1);
    f->path = context_allocate(context, graph->nodes.count + 1, sizeof *f->path);
    ordering o = {.r = r, .f = f, .order = order};
    for (size_t i = 0; live && i < count; i++) live[order[i]] = 1;
    f->found =
        live && f->placed && f->path && clusters_find(&f->clusters, context, graph, live, r->uses);
    if (!f->found) graph_error(r->to, TW_ERR_MEMORY, "out of memory in fusion");
    for (uint32_t i = 0; f->found && i < f->clusters.count; i++)
        if (!is_worth(&f->clusters, i)) dissolve(&f->clusters, &f->clusters.at[i]);
    /* Inputs and variables keep their order: the graph's lists are made from it. */
    for (uint32_t i = 0; f->found && i < graph->nodes.count; i++)
        if (!graph->nodes.at[i].n_operands && is_live_node(&o, i)) place(&o, i);
    for (uint32_t i = 0; f->found && i < graph->nodes.count; i++) {
        size_t depth = 0;
        if (is_live_node(&o, i) && is_last(&f->clusters, i)) f->path[depth++] = i;
        while (depth) {
            uint32_t top = f->path[depth - 1], next = awaited(&o, top);
            if (next != NO_NODE) {
                f->path[depth++] = next;
                continue;
            }
            if (is_live_node(&o, top)) place(&o, top);
            depth--;
        }
    }
    f->clusters.live = NULL;
    context_release(context, live);
    return f->found;
}

/* ---- the function ---- */

typedef struct making {
    rewrite *r;
    const clusters *clusters;
    uint32_t of;
    tw_graph *function;
    uint32_t *map; /* by value of `from`: its value in the function */
    uint32_t operand[TW_MAX_OPERANDS];
    int operands, outputs;
    uint32_t output[TW_MAX_RESULTS]; /* values of `from` */
} making;

static uint32_t input_of(making *m, uint32_t value) {
    char name[16];
    tw_type type = m->r->from->values.at[value].type;
    m->function->meta = (node_meta){.scope = ""};
    snprintf(name, sizeof name, "x%d", m->operands);
    tw_value made = tw_input(m->function, name, type.dtype, type.shape);
    if (!tw_ok(made)) return ABSENT;
    m->operand[m->operands++] = m->r->map[value];
    return made.id;
}

static uint32_t copy_of(making *m, uint32_t value) {
    const node *it = &m->r->from->nodes.at[m->r->from->values.at[value].node];
    m->function->meta = it->meta;
    uint32_t made = graph_copy(m->function, m->r->from, it, NULL);
    return made == NO_NODE ? ABSENT : m->function->nodes.at[made].first_result;
}

static bool add_member(making *m, uint32_t index) {
    const tw_graph *from = m->r->from;
    const node *it = &from->nodes.at[index];
    uint32_t operand[TW_MAX_OPERANDS];
    for (int k = 0; k < it->n_operands; k++) {
        uint32_t value = it->operand[k];
        if (m->map[value] == ABSENT)
            m->map[value] = cluster_copies(from, value) ? copy_of(m, value) : input_of(m, value);
        operand[k] = m->map[value];
        if (operand[k] == ABSENT) return false;
    }
    m->function->meta = it->meta;
    uint32_t made = graph_copy(m->function, from, it, operand);
    if (made == NO_NODE) return false;
    m->map[it->first_result] = m->function->nodes.at[made].first_result;
    return true;
}

/* Whether anybody outside the cluster reads the member's result. */
static bool is_output(const making *m, uint32_t value) {
    uint32_t inner = 0;
    const clusters *c = m->clusters;
    for (uint32_t k = c->readers[value]; k < c->readers[value + 1]; k++)
        inner += c->of[c->reader[k]] == m->of;
    return m->r->uses[value] > inner;
}

/* Members are linked in the order of merging; the graph's own is the one that holds. */
static bool add_members(making *m) {
    const clusters *c = m->clusters;
    uint32_t sorted[CLUSTER_MEMBERS], count = 0;
    for (uint32_t i = c->at[m->of].first; i != NO_NODE; i = c->next[i]) {
        uint32_t at = count++;
        for (; at > 0 && sorted[at - 1] > i; at--) sorted[at] = sorted[at - 1];
        sorted[at] = i;
    }
    tw_value results[TW_MAX_RESULTS];
    m->function->scope_fixed = true;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t value = m->r->from->nodes.at[sorted[i]].first_result;
        if (!add_member(m, sorted[i])) return false;
        m->r->done[sorted[i]] = 1;
        if (!is_output(m, value)) continue;
        m->output[m->outputs] = value;
        results[m->outputs++] = graph_handle(m->function, m->map[value]);
    }
    m->r->to->meta = m->r->from->nodes.at[sorted[count - 1]].meta;
    tw_outputs(m->function, m->outputs, results);
    return m->function->status == TW_OK;
}

static bool make(making *m) {
    rewrite *r = m->r;
    const tw_operator *op = tw_operator_find(r->to->module->context, "fused");
    if (!op || !add_members(m)) return false;
    const tw_attr attr = {.function = m->function};
    uint32_t made = graph_append(r->to, op, m->operands, m->operand, &attr);
    for (int i = 0; i < m->outputs && made != NO_NODE; i++)
        r->map[m->output[i]] = r->to->nodes.at[made].first_result + (uint32_t)i;
    return made != NO_NODE;
}

static bool visit(rewrite *r, const node *it, const uint32_t *operand, uint32_t *result) {
    fusion *f = r->state;
    (void)operand;
    uint32_t of = f->clusters.of[r->from->values.at[it->first_result].node];
    if (of == NO_CLUSTER) return false;
    char name[32];
    tw_context *context = r->to->module->context;
    making m = {.r = r, .clusters = &f->clusters, .of = of};
    snprintf(name, sizeof name, "fused_%d", r->to->module->next_function++);
    m.function = graph_function(r->to, name);
    m.map = context_allocate(context, r->from->values.count, sizeof *m.map);
    for (size_t i = 0; m.map && i < r->from->values.count; i++) m.map[i] = ABSENT;
    bool good = m.function && m.map && make(&m);
    if (!good) {
        tw_status status = m.function && m.function->status ? m.function->status : TW_ERR_MEMORY;
        graph_error(r->to, status, "%s",
                    m.function ? m.function->message : "out of memory in fusion");
    }
    context_release(context, m.map);
    result[0] = r->map[it->first_result];
    return true;
}

static void end(rewrite *r) {
    fusion *f = r->state;
    tw_context *context = r->to->module->context;
    if (f->clusters.context) clusters_free(&f->clusters);
    context_release(context, f->placed);
    context_release(context, f->path);
}

const pass fuse_pass = {.name = "fuse",
                        .about = "elementwise work and reductions of one box become one kernel",
                        .state_size = sizeof(fusion),
                        .arrange = arrange,
                        .visit = visit,
                        .end = end};
