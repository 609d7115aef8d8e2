/*
 * The picture of a graph, as Graphviz DOT: a node for each operator, filled by its phase, in the
 * boxes of its scopes; edges carry types; an assignment is a dashed edge back to its variable, or
 * where the assigning node also reads the variable, one dashed edge with two heads. The
 * update of a variable ("optimizer/fc1/weight") stands in the variable's own box ("fc1"): apart, in
 * a box of the optimiser's, its edges would cross the whole picture.
 * Constants of one number are drawn small beside each user, since edges from a shared one would
 * cross the whole picture.
 */
#include <stdlib.h>

#include "base/text.h"
#include "ir/attribute.h"
#include "ir/dimension.h"
#include "ir/graph.h"
#include "ir/scan.h"

static const struct {
    const char *name, *fill, *line;
} phases[] = {
    [PHASE_FORWARD] = {"forward", "#cfe2f3", "#3d6f9e"},
    [PHASE_BACKWARD] = {"backward", "#fadcc3", "#b5622c"},
    [PHASE_UPDATE] = {"update", "#d5ebcd", "#4c8a3f"},
};
static const char variable_fill[] = "#fff2c9", variable_line[] = "#a37f1c";
static const char input_fill[] = "#ececf4", input_line[] = "#66668a";

typedef struct picture {
    tw_context *context;
    tw_graph *graph;
    uint32_t *order;    /* nodes by scope, then as they stand */
    uint8_t *shown;     /* of each node: it is drawn */
    const char **scope; /* of each node: the box in which it is drawn */
    uint32_t
        *writer; /* of each variable's node: the node that it is assigned from, and that reads it */
    text out;
} picture;

/* Text inside an HTML-like label. */
static void add_label(text *out, const char *string) {
    for (const char *p = string; *p; p++) {
        if (*p == '&')
            text_add(out, "&amp;");
        else if (*p == '<')
            text_add(out, "&lt;");
        else if (*p == '>')
            text_add(out, "&gt;");
        else if (*p == '"')
            text_add(out, "&quot;");
        else
            text_add_bytes(out, (unsigned char)*p < 0x20 ? "?" : p, 1);
    }
}

static bool named(const node *n, const char *name) { return strcmp(n->op->name, name) == 0; }

/* Its first STRING attribute: an input's name, a variable's path. */
static const char *string_of(const node *n) {
    for (int i = 0; n->op->attributes && n->op->attributes[i].name; i++)
        if (n->op->attributes[i].kind == TW_ATTR_STRING && n->attr[i].string)
            return n->attr[i].string;
    return "";
}

/* The attributes that say what a node does, each in a line of small type. Those that only repeat
 * the result's type, and those at their default, are left out. */
static void add_attributes(picture *p, const node *n) {
    for (int i = 0; n->op->attributes && n->op->attributes[i].name; i++) {
        const tw_attr_spec *spec = &n->op->attributes[i];
        if (spec->kind == TW_ATTR_DTYPE || spec->kind == TW_ATTR_DATA ||
            strcmp(spec->name, "shape") == 0 || attr_is_default(p->context, n->op, i, &n->attr[i]))
            continue;
        text line = {.context = p->context};
        if (spec->kind != TW_ATTR_CHOICE && spec->kind != TW_ATTR_FUNCTION)
            text_add(&line, "%s ", spec->name);
        if (attr_print(p->context, spec, &n->attr[i], &line) && !line.failed) {
            text_add(&p->out, "<br/><font point-size=\"9\">");
            add_label(&p->out, line.at);
            text_add(&p->out, "</font>");
        }
        text_drop(&line);
    }
}

static void add_type(picture *p, tw_type type) { type_print(p->context, type, &p->out); }

static void add_node(picture *p, uint32_t index) {
    const node *n = &p->graph->nodes.at[index];
    text *out = &p->out;
    tw_type type = p->graph->values.at[n->first_result].type;
    bool input = named(n, "input"), variable = named(n, "variable");
    text_add(out, "n%u [", index);
    if (input || variable) {
        text_add(out, "shape=%s, fillcolor=\"%s\", color=\"%s\", ", input ? "invhouse" : "cylinder",
                 input ? input_fill : variable_fill, input ? input_line : variable_line);
        text_add(out, "label=<<b>");
        add_label(out, string_of(n));
        text_add(out, "</b><br/><font point-size=\"9\">");
        add_type(p, type);
        text_add(out, "</font>>];\n");
        return;
    }
    text_add(out, "fillcolor=\"%s\", color=\"%s\", ", phases[n->meta.phase].fill,
             phases[n->meta.phase].line);
    if (n->op->meaning == TW_MEANS_BODY) text_add(out, "peripheries=2, ");
    text_add(out, "label=<");
    add_label(out, n->op->name);
    add_attributes(p, n);
    text_add(out, ">];\n");
}

/* The splat that is the node's i-th operand. */
static void add_splat(picture *p, uint32_t index, int i, const node *source) {
    double number = 0;
    for (int k = 0; source->op->attributes && source->op->attributes[k].name; k++)
        if (source->op->attributes[k].kind == TW_ATTR_FLOAT) number = source->attr[k].f;
    text_add(&p->out, "c%u_%d [shape=ellipse, style=filled, fillcolor=white, color=\"#999999\", ",
             index, i);
    text_add(&p->out, "fontsize=9, width=0.2, height=0.2, margin=\"0.03,0.02\", label=\"");
    text_add_number(&p->out, number, 9);
    text_add(&p->out, "\"];\n");
}

static const node *source_of(const tw_graph *graph, uint32_t id) {
    return &graph->nodes.at[graph->values.at[id].node];
}

static void indent(picture *p, int depth) {
    enum { DEEPEST = 8 }; /* a hostile scope must not make the text quadratic */
    for (int i = 0; i <= depth && i <= DEEPEST; i++) text_add_bytes(&p->out, "  ", 2);
}

/* "a/b/c" has depth 3, "" depth 0. */
static int scope_depth(const char *scope) {
    int depth = *scope != 0;
    for (const char *c = scope; *c; c++) depth += *c == '/';
    return depth;
}

/* How many leading components two scopes share; *length is their length in bytes. */
static int shared_depth(const char *a, const char *b, size_t *length) {
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

static void close_boxes(picture *p, int from, int to) {
    for (int depth = from; depth > to; depth--) {
        indent(p, depth - 1);
        text_add(&p->out, "}\n");
    }
}

/* Opens the boxes of `scope` past its first `length` bytes, which are `depth` components. */
static void open_boxes(picture *p, const char *scope, size_t length, int depth, uint32_t *boxes) {
    const char *at = scope + length + (depth > 0 && scope[length] == '/');
    for (int last = scope_depth(scope); depth < last; depth++) {
        text name = {.context = p->context};
        size_t size = strcspn(at, "/");
        text_add_bytes(&name, at, size);
        indent(p, depth);
        text_add(&p->out, "subgraph cluster_%u { fontsize=12; label=<<b>", (*boxes)++);
        if (!name.failed) add_label(&p->out, name.at);
        text_add(&p->out, "</b>>;\n");
        text_drop(&name);
        at += size + (at[size] == '/');
    }
}

static void add_nodes(picture *p) {
    const char *scope = "";
    uint32_t boxes = 0;
    for (size_t i = 0; i < p->graph->nodes.count && !p->out.failed; i++) {
        const node *n = &p->graph->nodes.at[p->order[i]];
        size_t length;
        if (!p->shown[p->order[i]]) continue;
        const char *inner = p->scope[p->order[i]];
        int depth = scope_depth(inner), shared = shared_depth(scope, inner, &length);
        close_boxes(p, scope_depth(scope), shared);
        open_boxes(p, inner, length, shared, &boxes);
        scope = inner;
        indent(p, depth);
        add_node(p, p->order[i]);
        for (int k = 0; k < n->n_operands; k++) {
            if (n->operand[k] == ABSENT) continue;
            const node *source = source_of(p->graph, n->operand[k]);
            if (!named(source, "splat")) continue;
            indent(p, depth);
            add_splat(p, p->order[i], k, source);
        }
    }
    close_boxes(p, scope_depth(scope), 0);
}

/* The name of result i where a node has several: "index" of "y (index)". */
static void add_result_name(picture *p, const node *n, uint32_t i) {
    const char *at = n->op->results;
    for (; i > 0 && *at; i--) {
        at += strcspn(at, " ");
        at += strspn(at, " ");
    }
    at += *at == '(';
    text_add_bytes(&p->out, at, strcspn(at, " )"));
    text_add_bytes(&p->out, " ", 1);
}

static void add_edge_label(picture *p, uint32_t id) {
    const node *n = source_of(p->graph, id);
    text_add(&p->out, "label=\"");
    if (n->n_results > 1) add_result_name(p, n, p->graph->values.at[id].result);
    add_type(p, p->graph->values.at[id].type);
    text_add(&p->out, "\"");
}

/* Many updates read one rate or step: such an edge between boxes must not pull them together. */
static bool pulls(const picture *p, uint32_t from, uint32_t to) {
    const node *n = &p->graph->nodes.at[to];
    return n->meta.phase != PHASE_UPDATE || p->scope[from] == p->scope[to] ||
           strcmp(p->scope[from], p->scope[to]) == 0;
}

static void add_edges(picture *p) {
    const tw_graph *graph = p->graph;
    for (uint32_t i = 0; i < graph->nodes.count && !p->out.failed; i++) {
        const node *n = &graph->nodes.at[i];
        for (int k = 0; k < n->n_operands && p->shown[i]; k++) {
            if (n->operand[k] == ABSENT) continue;
            const char *color = phases[n->meta.phase].line;
            if (named(source_of(graph, n->operand[k]), "splat")) {
                text_add(&p->out, "  c%u_%d -> n%u [color=\"#999999\"];\n", i, k, i);
                continue;
            }
            uint32_t from = graph->values.at[n->operand[k]].node;
            bool assigned = p->writer[from] == i;
            text_add(&p->out, "  n%u -> n%u [color=\"%s\", ", from, i, color);
            if (!pulls(p, from, i)) text_add(&p->out, "weight=0, ");
            if (assigned) text_add(&p->out, "style=dashed, dir=both, ");
            add_edge_label(p, n->operand[k]);
            text_add(&p->out, "];\n");
        }
    }
}

/* Results of the graph, and assignments as edges back to the variables. */
static void add_ends(picture *p) {
    const tw_graph *graph = p->graph;
    for (size_t i = 0; i < graph->outputs.count; i++) {
        uint32_t id = graph->outputs.at[i];
        text_add(&p->out,
                 "  r%zu [shape=house, fillcolor=\"%s\", color=\"%s\", label=\"result %zu\"];\n", i,
                 input_fill, input_line, i);
        text_add(&p->out, "  n%u -> r%zu [color=\"%s\", ", graph->values.at[id].node, i,
                 input_line);
        add_edge_label(p, id);
        text_add(&p->out, "];\n");
    }
    for (size_t i = 0; i < graph->assigns.count; i++) {
        const graph_variable *variable = &graph->variables.at[graph->assigns.at[i].variable];
        if (p->writer[graph->values.at[variable->initial].node] ==
            graph->values.at[graph->assigns.at[i].value].node)
            continue; /* add_edges drew it */
        text_add(&p->out, "  n%u -> n%u [style=dashed, constraint=false, color=\"%s\", ",
                 graph->values.at[graph->assigns.at[i].value].node,
                 graph->values.at[variable->initial].node, phases[PHASE_UPDATE].line);
        text_add(&p->out, "fontcolor=\"%s\", label=\"assign\"];\n", phases[PHASE_UPDATE].line);
    }
}

static void add_head(picture *p) {
    size_t count[3] = {0};
    text *out = &p->out;
    for (size_t i = 0; i < p->graph->nodes.count; i++)
        count[p->graph->nodes.at[i].meta.phase] += p->shown[i];
    text_add(out, "digraph thalweg {\n  graph [label=<<b>");
    add_label(out, p->graph->name);
    text_add(out, "</b><br/><font point-size=\"10\">%zu forward, %zu backward and %zu update nodes",
             count[PHASE_FORWARD], count[PHASE_BACKWARD], count[PHASE_UPDATE]);
    text_add(out, "</font>>, labelloc=t,\n    fontname=\"Helvetica\", fontsize=16, newrank=true, "
                  "nodesep=0.3, "
                  "ranksep=0.35, color=\"#aaaaaa\"];\n");
    text_add(out,
             "  node [shape=box, style=\"filled,rounded\", fontname=\"Helvetica\", fontsize=12, "
             "height=0.3, margin=\"0.12,0.05\"];\n");
    text_add(out, "  edge [fontname=\"Helvetica\", fontsize=9, fontcolor=\"#555555\", "
                  "arrowsize=0.6];\n");
}

static void add_legend_row(text *out, const char *fill, const char *words) {
    text_add(out, "<tr><td width=\"18\" bgcolor=\"%s\"></td><td align=\"left\">%s</td></tr>", fill,
             words);
}

static void add_legend(picture *p) {
    text *out = &p->out;
    text_add(out, "  legend [shape=plain, style=\"\", fontsize=10, label=<<table border=\"0\" "
                  "cellborder=\"0\" cellspacing=\"3\">");
    for (int i = PHASE_FORWARD; i <= PHASE_UPDATE; i++)
        add_legend_row(out, phases[i].fill, phases[i].name);
    add_legend_row(out, variable_fill, "variable (cylinder)");
    add_legend_row(out, input_fill, "input and result");
    text_add(out, "<tr><td>&#9633;&#9633;</td><td align=\"left\">double line: composite</td></tr>"
                  "<tr><td>&#8674;</td><td align=\"left\">dashed: assigned</td></tr></table>>];\n");
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
        if (named(n, "splat")) p->shown[i] = 0;
    }
    for (size_t i = 0; i < graph->outputs.count; i++)
        p->shown[graph->values.at[graph->outputs.at[i]].node] = 1;
    for (size_t i = 0; i < graph->assigns.count; i++)
        p->shown[graph->values.at[graph->assigns.at[i].value].node] = 1;
}

typedef struct place {
    const char *path, *scope;
} place;

static int by_path(const void *a, const void *b) {
    return strcmp(((const place *)a)->path, ((const place *)b)->path);
}

/* Where an update of scope "optimizer/fc1/weight" is drawn: beside the variable "fc1/weight". */
static const char *box_of(const char *scope, size_t n, const place *places) {
    for (const char *rest = strchr(scope, '/'); rest; rest = strchr(rest, '/')) {
        const place key = {++rest, NULL};
        const place *found = n ? bsearch(&key, places, n, sizeof key, by_path) : NULL;
        if (found) return found->scope;
    }
    return scope;
}

static bool choose_boxes(picture *p) {
    const tw_graph *graph = p->graph;
    size_t n = graph->variables.count;
    place *places = context_allocate(p->context, n + 1, sizeof *places);
    if (!places) return false;
    for (size_t i = 0; i < n; i++) {
        const graph_variable *variable = &graph->variables.at[i];
        places[i].path = variable->spec.path;
        places[i].scope = source_of(graph, variable->initial)->meta.scope;
    }
    qsort(places, n, sizeof *places, by_path);
    for (size_t i = 0; i < graph->nodes.count; i++) {
        const node_meta *meta = &graph->nodes.at[i].meta;
        p->scope[i] = meta->phase == PHASE_UPDATE ? box_of(meta->scope, n, places) : meta->scope;
    }
    context_release(p->context, places);
    return true;
}

static void choose_writers(picture *p) {
    const tw_graph *graph = p->graph;
    for (size_t i = 0; i < graph->nodes.count; i++) p->writer[i] = NO_NODE;
    for (size_t i = 0; i < graph->assigns.count; i++) {
        uint32_t initial = graph->variables.at[graph->assigns.at[i].variable].initial;
        uint32_t writer = graph->values.at[graph->assigns.at[i].value].node;
        const node *n = &graph->nodes.at[writer];
        for (int k = 0; k < n->n_operands; k++)
            if (n->operand[k] == initial) p->writer[graph->values.at[initial].node] = writer;
    }
}

static bool prepare(picture *p) {
    const tw_graph *graph = p->graph;
    size_t count = graph->nodes.count;
    sort_key *keys = context_allocate(p->context, count + 1, sizeof *keys);
    p->order = context_allocate(p->context, count + 1, sizeof *p->order);
    p->shown = context_allocate(p->context, count + 1, 1);
    p->scope = context_allocate(p->context, count + 1, sizeof *p->scope);
    p->writer = context_allocate(p->context, count + 1, sizeof *p->writer);
    bool fine = keys && p->writer && p->order && p->shown && p->scope && choose_boxes(p);
    if (fine) {
        for (uint32_t i = 0; i < count; i++) keys[i] = (sort_key){p->scope[i], i};
        qsort(keys, count, sizeof *keys, by_scope);
        for (size_t i = 0; i < count; i++) p->order[i] = keys[i].node;
        choose_shown(p);
        choose_writers(p);
    }
    context_release(p->context, keys);
    return fine;
}

char *tw_graph_dot(tw_graph *graph) {
    if (!graph) return NULL;
    tw_context *context = graph->module->context;
    picture p = {.context = context, .graph = graph, .out = {.context = context}};
    bool fine = prepare(&p);
    if (fine) {
        add_head(&p);
        add_nodes(&p);
        add_edges(&p);
        add_ends(&p);
        add_legend(&p);
        text_add(&p.out, "}\n");
    }
    context_release(context, p.order);
    context_release(context, p.shown);
    context_release(context, p.scope);
    context_release(context, p.writer);
    if (fine) return text_take(&p.out);
    text_drop(&p.out);
    return NULL;
}
