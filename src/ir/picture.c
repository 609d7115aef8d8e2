/* Chooses what is drawn of a graph, and in which boxes. */
#include "ir/picture.h"

#include <stdlib.h>

const tw_graph *picture_graph(const picture *p, uint32_t group) {
    return group == NO_NODE ? p->graph : p->graph->nodes.at[group].attr[0].function;
}

const node *picture_node(const picture *p, spot at) {
    return &picture_graph(p, at.group)->nodes.at[at.node];
}

bool picture_is_group(const picture *p, uint32_t index) {
    const node *it = &p->graph->nodes.at[index];
    return node_is(it, "fused") && it->attr[0].function;
}

bool picture_shows(const picture *p, spot at) {
    if (at.group == NO_NODE) return p->shown[at.node];
    const node *it = picture_node(p, at);
    return p->shown[at.group] && !node_is(it, "input") && !node_is(it, "splat");
}

spot picture_maker(const picture *p, place from) {
    return (spot){from.group, picture_graph(p, from.group)->values.at[from.value].node};
}

/* The value outside that the function's input stands for; ABSENT for none. */
static uint32_t outside(const picture *p, place from) {
    const tw_graph *function = picture_graph(p, from.group);
    const node *call = &p->graph->nodes.at[from.group];
    for (int i = 0; i < call->n_operands && (size_t)i < function->inputs.count; i++)
        if (function->inputs.at[i] == from.value) return call->operand[i];
    return ABSENT;
}

place picture_source(const picture *p, place from) {
    for (;;) {
        spot maker = picture_maker(p, from);
        if (from.group == NO_NODE && picture_is_group(p, maker.node)) {
            const tw_graph *function = picture_graph(p, maker.node);
            from =
                (place){maker.node, function->outputs.at[p->graph->values.at[from.value].result]};
        } else if (from.group != NO_NODE && node_is(picture_node(p, maker), "input")) {
            uint32_t value = outside(p, from);
            if (value == ABSENT) return from;
            from = (place){NO_NODE, value};
        } else {
            return from;
        }
    }
}

int scope_depth(const char *scope) {
    int depth = *scope != 0;
    for (const char *c = scope; *c; c++) depth += *c == '/';
    return depth;
}

int scope_shared(const char *a, const char *b, size_t *length) {
    int depth = 0;
    *length = 0;
    if (!*a || !*b) return 0;
    for (size_t i = 0;; i++) {
        bool a_ends = !a[i] || a[i] == '/', b_ends = !b[i] || b[i] == '/';
        if (a_ends && b_ends) {
            depth++;
            *length = i;
        }
        if (!a[i] || a[i] != b[i]) return depth;
    }
}

/* '/' goes before every other character, so that the nodes of a box stand together. */
static int scope_order(const char *a, const char *b) {
    while (*a && *a == *b) a++, b++;
    int x = *a == '/' ? 1 : *a ? (unsigned char)*a + 1 : 0;
    int y = *b == '/' ? 1 : *b ? (unsigned char)*b + 1 : 0;
    return (x > y) - (x < y);
}

typedef struct sort_key {
    const char *scope;
    uint32_t node;
} sort_key;

static int by_scope(const void *a, const void *b) {
    const sort_key *p = a, *q = b;
    int order = scope_order(p->scope, q->scope);
    return order ? order : (p->node > q->node) - (p->node < q->node);
}

static bool choose_order(picture *p) {
    size_t count = p->graph->nodes.count;
    sort_key *keys = arena_allocate(&p->arena, count + 1, sizeof *keys);
    if (!keys) return false;
    for (uint32_t i = 0; i < count; i++) keys[i] = (sort_key){p->scope[i], i};
    qsort(keys, count, sizeof *keys, by_scope);
    for (size_t i = 0; i < count; i++) p->order[i] = keys[i].node;
    return true;
}

/* Splats stand beside their users, and what a gradient computes for nobody would only confuse: both
 * are drawn where an end of the graph needs them. */
static void choose_shown(picture *p) {
    const tw_graph *graph = p->graph;
    bool ends = graph->outputs.count || graph->assigns.count;
    graph_mark(graph, graph->outputs.count, graph->outputs.at, p->shown);
    for (size_t i = 0; i < graph->assigns.count; i++)
        graph_mark(graph, 1, &graph->assigns.at[i].value, p->shown);
    for (size_t i = 0; i < graph->nodes.count; i++) {
        const node *n = &graph->nodes.at[i];
        if (!ends || n->meta.phase != PHASE_BACKWARD) p->shown[i] = 1;
        if (node_is(n, "splat")) p->shown[i] = 0;
    }
    for (size_t i = 0; i < graph->outputs.count; i++)
        p->shown[graph->values.at[graph->outputs.at[i]].node] = 1;
    for (size_t i = 0; i < graph->assigns.count; i++)
        p->shown[graph->values.at[graph->assigns.at[i].value].node] = 1;
}

/* Where a variable's own node is drawn, by the variable's path. */
typedef struct home {
    const char *path, *scope;
} home;

typedef struct homes {
    home *at;
    size_t count;
} homes;

static int by_path(const void *a, const void *b) {
    return strcmp(((const home *)a)->path, ((const home *)b)->path);
}

/* The scope, but for an update of "optimizer/fc1/weight": beside the variable "fc1/weight". */
static const char *box_of(const node_meta *meta, const homes *homes) {
    if (meta->phase != PHASE_UPDATE) return meta->scope;
    for (const char *rest = strchr(meta->scope, '/'); rest; rest = strchr(rest, '/')) {
        const home key = {++rest, NULL};
        const home *found =
            homes->count ? bsearch(&key, homes->at, homes->count, sizeof key, by_path) : NULL;
        if (found) return found->scope;
    }
    return meta->scope;
}

static bool choose_boxes(picture *p) {
    const tw_graph *graph = p->graph;
    homes homes = {.count = graph->variables.count};
    homes.at = arena_allocate(&p->arena, homes.count + 1, sizeof *homes.at);
    if (!homes.at) return false;
    for (size_t i = 0; i < homes.count; i++) {
        const graph_variable *variable = &graph->variables.at[i];
        const node *own = &graph->nodes.at[graph->values.at[variable->initial].node];
        homes.at[i] = (home){variable->spec.path, own->meta.scope};
    }
    qsort(homes.at, homes.count, sizeof *homes.at, by_path);
    for (size_t i = 0; i < graph->nodes.count; i++)
        p->scope[i] = box_of(&graph->nodes.at[i].meta, &homes);
    return true;
}

/* Whether the drawn node reads the value itself. */
static bool reads(const picture *p, spot reader, uint32_t value) {
    const node *n = picture_node(p, reader);
    for (int k = 0; k < n->n_operands; k++) {
        if (n->operand[k] == ABSENT) continue;
        place from = picture_source(p, (place){reader.group, n->operand[k]});
        if (from.group == NO_NODE && from.value == value) return true;
    }
    return false;
}

static void choose_writers(picture *p) {
    const tw_graph *graph = p->graph;
    for (size_t i = 0; i < graph->nodes.count; i++) p->writer[i] = (spot){NO_NODE, NO_NODE};
    for (size_t i = 0; i < graph->assigns.count; i++) {
        uint32_t initial = graph->variables.at[graph->assigns.at[i].variable].initial;
        place last = picture_source(p, (place){NO_NODE, graph->assigns.at[i].value});
        spot writer = picture_maker(p, last);
        if (reads(p, writer, initial)) p->writer[graph->values.at[initial].node] = writer;
    }
}

bool picture_make(picture *p, tw_graph *graph) {
    size_t count = graph->nodes.count;
    *p = (picture){.graph = graph};
    arena_start(&p->arena, graph->module->context);
    p->order = arena_allocate(&p->arena, count + 1, sizeof *p->order);
    p->shown = arena_allocate(&p->arena, count + 1, 1);
    p->scope = arena_allocate(&p->arena, count + 1, sizeof *p->scope);
    p->writer = arena_allocate(&p->arena, count + 1, sizeof *p->writer);
    if (!p->order || !p->shown || !p->scope || !p->writer) return false;
    choose_shown(p);
    choose_writers(p);
    return choose_boxes(p) && choose_order(p);
}

void picture_free(picture *p) { arena_end(&p->arena); }
