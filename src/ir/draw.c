/*
 * The picture of a graph, as Graphviz DOT: a node for each operator, filled by its phase, in the
 * boxes of its scopes; edges carry types; an assignment is a dashed edge back to its variable, or
 * where the assigning node also reads the variable, one dashed edge with two heads. The
 * update of a variable ("optimizer/fc1/weight") stands in the variable's own box ("fc1"): apart, in
 * a box of the optimiser's, its edges would cross the whole picture. What is fused stands in a
 * shaded box that has the name of its function; edges inside carry no types, as those values are
 * never in memory. Constants of one number are drawn small beside each user, since edges from a
 * shared one would cross the whole picture.
 */
#include "base/text.h"
#include "ir/attribute.h"
#include "ir/dimension.h"
#include "ir/picture.h"
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
static const char group_fill[] = "#f4f1ec", group_line[] = "#8a7f6c";

typedef struct drawing {
    tw_context *context;
    picture picture;
    text out;
} drawing;

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

/* Its first STRING attribute: an input's name, a variable's path. */
static const char *string_of(const node *n) {
    for (int i = 0; n->op->attributes && n->op->attributes[i].name; i++)
        if (n->op->attributes[i].kind == TW_ATTR_STRING && n->attr[i].string)
            return n->attr[i].string;
    return "";
}

/* The attributes that say what a node does, each in a line of small type. Those that only repeat
 * the result's type, and those at their default, are left out. */
static void add_attributes(drawing *d, const node *n) {
    for (int i = 0; n->op->attributes && n->op->attributes[i].name; i++) {
        const tw_attr_spec *spec = &n->op->attributes[i];
        if (spec->kind == TW_ATTR_DTYPE || spec->kind == TW_ATTR_DATA ||
            strcmp(spec->name, "shape") == 0 || attr_is_default(d->context, n->op, i, &n->attr[i]))
            continue;
        text line = {.context = d->context};
        if (spec->kind != TW_ATTR_CHOICE && spec->kind != TW_ATTR_FUNCTION)
            text_add(&line, "%s ", spec->name);
        if (attr_print(d->context, spec, &n->attr[i], &line) && !line.failed) {
            text_add(&d->out, "<br/><font point-size=\"9\">");
            add_label(&d->out, line.at);
            text_add(&d->out, "</font>");
        }
        text_drop(&line);
    }
}

static void add_type(drawing *d, tw_type type) { type_print(d->context, type, &d->out); }

/* A node's name in the text: n3, and n3_5 for a member of 3. */
static void add_name(drawing *d, spot at) {
    if (at.group == NO_NODE)
        text_add(&d->out, "n%u", at.node);
    else
        text_add(&d->out, "n%u_%u", at.group, at.node);
}

/* The small constant that is the node's i-th operand. */
static void add_splat_name(drawing *d, spot at, int i) {
    if (at.group == NO_NODE)
        text_add(&d->out, "c%u_%d", at.node, i);
    else
        text_add(&d->out, "c%u_%u_%d", at.group, at.node, i);
}

static void add_node(drawing *d, spot at) {
    const node *n = picture_node(&d->picture, at);
    text *out = &d->out;
    tw_type type = picture_graph(&d->picture, at.group)->values.at[n->first_result].type;
    bool input = node_is(n, "input"), variable = node_is(n, "variable");
    add_name(d, at);
    text_add(out, " [");
    if (input || variable) {
        text_add(out, "shape=%s, fillcolor=\"%s\", color=\"%s\", ", input ? "invhouse" : "cylinder",
                 input ? input_fill : variable_fill, input ? input_line : variable_line);
        text_add(out, "label=<<b>");
        add_label(out, string_of(n));
        text_add(out, "</b><br/><font point-size=\"9\">");
        add_type(d, type);
        text_add(out, "</font>>];\n");
        return;
    }
    text_add(out, "fillcolor=\"%s\", color=\"%s\", ", phases[n->meta.phase].fill,
             phases[n->meta.phase].line);
    if (n->op->meaning == TW_MEANS_BODY) text_add(out, "peripheries=2, ");
    text_add(out, "label=<");
    add_label(out, n->op->name);
    add_attributes(d, n);
    text_add(out, ">];\n");
}

static void add_splat(drawing *d, spot at, int i, const node *source) {
    double number = 0;
    for (int k = 0; source->op->attributes && source->op->attributes[k].name; k++)
        if (source->op->attributes[k].kind == TW_ATTR_FLOAT) number = source->attr[k].f;
    add_splat_name(d, at, i);
    text_add(&d->out, " [shape=ellipse, style=filled, fillcolor=white, color=\"#999999\", ");
    text_add(&d->out, "fontsize=9, width=0.2, height=0.2, margin=\"0.03,0.02\", label=\"");
    text_add_number(&d->out, number, 9);
    text_add(&d->out, "\"];\n");
}

static void indent(drawing *d, int depth) {
    enum { DEEPEST = 8 }; /* a hostile scope must not make the text quadratic */
    for (int i = 0; i <= depth && i <= DEEPEST; i++) text_add_bytes(&d->out, "  ", 2);
}

static void close_boxes(drawing *d, int from, int to) {
    for (int depth = from; depth > to; depth--) {
        indent(d, depth - 1);
        text_add(&d->out, "}\n");
    }
}

/* Opens the boxes of `scope` past its first `length` bytes, which are `depth` components. */
static void open_boxes(drawing *d, const char *scope, size_t length, int depth, uint32_t *boxes) {
    const char *at = scope + length + (depth > 0 && scope[length] == '/');
    for (int last = scope_depth(scope); depth < last; depth++) {
        text name = {.context = d->context};
        size_t size = strcspn(at, "/");
        text_add_bytes(&name, at, size);
        indent(d, depth);
        text_add(&d->out, "subgraph cluster_%u { fontsize=12; label=<<b>", (*boxes)++);
        if (!name.failed) add_label(&d->out, name.at);
        text_add(&d->out, "</b>>;\n");
        text_drop(&name);
        at += size + (at[size] == '/');
    }
}

/* The node, and the constants that it reads. */
static void add_spot(drawing *d, spot at, int depth) {
    const picture *p = &d->picture;
    const node *n = picture_node(p, at);
    indent(d, depth);
    add_node(d, at);
    for (int k = 0; k < n->n_operands; k++) {
        if (n->operand[k] == ABSENT) continue;
        place from = picture_source(p, (place){at.group, n->operand[k]});
        const node *source = picture_node(p, picture_maker(p, from));
        if (!node_is(source, "splat")) continue;
        indent(d, depth);
        add_splat(d, at, k, source);
    }
}

static void add_group(drawing *d, uint32_t index, int depth) {
    const tw_graph *function = picture_graph(&d->picture, index);
    indent(d, depth);
    text_add(&d->out,
             "subgraph cluster_n%u { style=\"filled,rounded\"; fillcolor=\"%s\"; color=\"%s\"; "
             "fontsize=10; labeljust=l; label=<",
             index, group_fill, group_line);
    add_label(&d->out, function->name);
    text_add(&d->out, ">;\n");
    for (uint32_t i = 0; i < function->nodes.count && !d->out.failed; i++)
        if (picture_shows(&d->picture, (spot){index, i})) add_spot(d, (spot){index, i}, depth + 1);
    indent(d, depth);
    text_add(&d->out, "}\n");
}

static void add_nodes(drawing *d) {
    const picture *p = &d->picture;
    const char *scope = "";
    uint32_t boxes = 0;
    for (size_t i = 0; i < p->graph->nodes.count && !d->out.failed; i++) {
        uint32_t index = p->order[i];
        size_t length;
        if (!p->shown[index]) continue;
        const char *inner = p->scope[index];
        int depth = scope_depth(inner), shared = scope_shared(scope, inner, &length);
        close_boxes(d, scope_depth(scope), shared);
        open_boxes(d, inner, length, shared, &boxes);
        scope = inner;
        if (picture_is_group(p, index))
            add_group(d, index, depth);
        else
            add_spot(d, (spot){NO_NODE, index}, depth);
    }
    close_boxes(d, scope_depth(scope), 0);
}

/* The name of result i where a node has several: "index" of "y (index)". */
static void add_result_name(drawing *d, const node *n, uint32_t i) {
    const char *at = n->op->results;
    for (; i > 0 && *at; i--) {
        at += strcspn(at, " ");
        at += strspn(at, " ");
    }
    at += *at == '(';
    text_add_bytes(&d->out, at, strcspn(at, " )"));
    text_add_bytes(&d->out, " ", 1);
}

static void add_edge_label(drawing *d, place from) {
    const value *it = &picture_graph(&d->picture, from.group)->values.at[from.value];
    const node *n = picture_node(&d->picture, (spot){from.group, it->node});
    text_add(&d->out, "label=\"");
    if (n->n_results > 1) add_result_name(d, n, it->result);
    add_type(d, it->type);
    text_add(&d->out, "\"");
}

static const char *scope_of(const picture *p, spot at) {
    return p->scope[at.group == NO_NODE ? at.node : at.group];
}

/* Many updates read one rate or step: such an edge between boxes must not pull them together. */
static bool pulls(const picture *p, spot from, spot to) {
    return picture_node(p, to)->meta.phase != PHASE_UPDATE ||
           strcmp(scope_of(p, from), scope_of(p, to)) == 0;
}

static bool is_writer(const picture *p, spot of, spot at) {
    if (of.group != NO_NODE) return false;
    spot writer = p->writer[of.node];
    return writer.node == at.node && writer.group == at.group;
}

static void add_edges_to(drawing *d, spot to) {
    const picture *p = &d->picture;
    const node *n = picture_node(p, to);
    for (int k = 0; k < n->n_operands; k++) {
        if (n->operand[k] == ABSENT) continue;
        place value = picture_source(p, (place){to.group, n->operand[k]});
        spot from = picture_maker(p, value);
        text_add(&d->out, "  ");
        if (node_is(picture_node(p, from), "splat")) {
            add_splat_name(d, to, k);
            text_add(&d->out, " -> ");
            add_name(d, to);
            text_add(&d->out, " [color=\"#999999\"];\n");
            continue;
        }
        add_name(d, from);
        text_add(&d->out, " -> ");
        add_name(d, to);
        text_add(&d->out, " [color=\"%s\", ", phases[n->meta.phase].line);
        if (!pulls(p, from, to)) text_add(&d->out, "weight=0, ");
        if (is_writer(p, from, to)) text_add(&d->out, "style=dashed, dir=both, ");
        if (to.group != NO_NODE && from.group == to.group)
            text_add(&d->out, "weight=4"); /* members stay close */
        else
            add_edge_label(d, value);
        text_add(&d->out, "];\n");
    }
}

static void add_edges(drawing *d) {
    const picture *p = &d->picture;
    for (uint32_t i = 0; i < p->graph->nodes.count && !d->out.failed; i++) {
        if (!p->shown[i]) continue;
        if (!picture_is_group(p, i)) {
            add_edges_to(d, (spot){NO_NODE, i});
            continue;
        }
        for (uint32_t k = 0; k < picture_graph(p, i)->nodes.count; k++)
            if (picture_shows(p, (spot){i, k})) add_edges_to(d, (spot){i, k});
    }
}

/* Results of the graph, and assignments as edges back to the variables. */
static void add_ends(drawing *d) {
    const picture *p = &d->picture;
    const tw_graph *graph = p->graph;
    for (size_t i = 0; i < graph->outputs.count; i++) {
        place value = picture_source(p, (place){NO_NODE, graph->outputs.at[i]});
        text_add(&d->out,
                 "  r%zu [shape=house, fillcolor=\"%s\", color=\"%s\", label=\"result %zu\"];\n  ",
                 i, input_fill, input_line, i);
        add_name(d, picture_maker(p, value));
        text_add(&d->out, " -> r%zu [color=\"%s\", ", i, input_line);
        add_edge_label(d, value);
        text_add(&d->out, "];\n");
    }
    for (size_t i = 0; i < graph->assigns.count; i++) {
        const graph_variable *variable = &graph->variables.at[graph->assigns.at[i].variable];
        spot own = picture_maker(p, (place){NO_NODE, variable->initial});
        place last = picture_source(p, (place){NO_NODE, graph->assigns.at[i].value});
        spot from = picture_maker(p, last);
        if (is_writer(p, own, from)) continue; /* add_edges drew it */
        text_add(&d->out, "  ");
        add_name(d, from);
        text_add(&d->out, " -> ");
        add_name(d, own);
        text_add(&d->out, " [style=dashed, constraint=false, color=\"%s\", ",
                 phases[PHASE_UPDATE].line);
        text_add(&d->out, "fontcolor=\"%s\", label=\"assign\"];\n", phases[PHASE_UPDATE].line);
    }
}

/* How many nodes of each phase are drawn; gives the number of groups. */
static size_t count_nodes(const picture *p, size_t count[3]) {
    size_t groups = 0;
    for (uint32_t i = 0; i < p->graph->nodes.count; i++) {
        if (!p->shown[i]) continue;
        if (!picture_is_group(p, i)) {
            count[p->graph->nodes.at[i].meta.phase]++;
            continue;
        }
        const tw_graph *function = picture_graph(p, i);
        for (uint32_t k = 0; k < function->nodes.count; k++)
            count[function->nodes.at[k].meta.phase] += picture_shows(p, (spot){i, k});
        groups++;
    }
    return groups;
}

static void add_head(drawing *d) {
    size_t count[3] = {0};
    text *out = &d->out;
    size_t groups = count_nodes(&d->picture, count);
    text_add(out, "digraph thalweg {\n  graph [label=<<b>");
    add_label(out, d->picture.graph->name);
    text_add(out, "</b><br/><font point-size=\"10\">%zu forward, %zu backward and %zu update nodes",
             count[PHASE_FORWARD], count[PHASE_BACKWARD], count[PHASE_UPDATE]);
    if (groups) text_add(out, ", %zu fused group%s", groups, groups > 1 ? "s" : "");
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

static void add_legend(drawing *d) {
    text *out = &d->out;
    size_t count[3] = {0};
    text_add(out, "  legend [shape=plain, style=\"\", fontsize=10, label=<<table border=\"0\" "
                  "cellborder=\"0\" cellspacing=\"3\">");
    for (int i = PHASE_FORWARD; i <= PHASE_UPDATE; i++)
        add_legend_row(out, phases[i].fill, phases[i].name);
    add_legend_row(out, variable_fill, "variable (cylinder)");
    add_legend_row(out, input_fill, "input and result");
    if (count_nodes(&d->picture, count)) add_legend_row(out, group_fill, "one kernel (fused)");
    text_add(out, "<tr><td>&#9633;&#9633;</td><td align=\"left\">double line: composite</td></tr>"
                  "<tr><td>&#8674;</td><td align=\"left\">dashed: assigned</td></tr></table>>];\n");
}

char *tw_graph_dot(tw_graph *graph) {
    if (!graph) return NULL;
    tw_context *context = graph->module->context;
    drawing d = {.context = context, .out = {.context = context}};
    bool fine = picture_make(&d.picture, graph);
    if (fine) {
        add_head(&d);
        add_nodes(&d);
        add_edges(&d);
        add_ends(&d);
        add_legend(&d);
        text_add(&d.out, "}\n");
    }
    picture_free(&d.picture);
    if (fine) return text_take(&d.out);
    text_drop(&d.out);
    return NULL;
}
