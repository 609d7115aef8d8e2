/*
 * The text form: functions that are used, each before its users, then the graph itself.
 * Values are numbered in order of printing, so that the text does not depend on how a graph came
 * about.
 */
#include "base/text.h"
#include "ir/attribute.h"
#include "ir/callees.h"
#include "ir/dimension.h"
#include "ir/graph.h"
#include "ir/scan.h"

typedef struct printer {
    tw_context *context;
    tw_graph *graph;
    uint32_t *number; /* of each value; ABSENT before it is printed */
    uint32_t next;
    text out;
} printer;

static void print_value(printer *p, uint32_t id) {
    if (id == ABSENT)
        text_add(&p->out, "_");
    else if (id < p->graph->values.count && p->number[id] != ABSENT)
        text_add(&p->out, "%%%u", p->number[id]);
    else
        text_add(&p->out, "%%?");
}

static void print_values(printer *p, size_t n, const uint32_t *ids) {
    for (size_t i = 0; i < n; i++) {
        if (i) text_add(&p->out, ", ");
        print_value(p, ids[i]);
    }
}

static void print_meta(printer *p, const node_meta *meta) {
    static const char *const phases[] = {"", " !backward", " !update"};
    text_add(&p->out, "%s", phases[meta->phase]);
    if (meta->scope && *meta->scope) {
        text_add(&p->out, " scope=");
        text_add_quoted(&p->out, meta->scope);
    }
    if (meta->source) {
        text_add(&p->out, " source=");
        text_add_quoted(&p->out, meta->source);
    }
    if (meta->epoch) text_add(&p->out, " epoch=%d", meta->epoch);
    if (meta->beside) text_add(&p->out, " beside=%d", meta->beside);
}

static bool print_node(printer *p, const node *n) {
    text_add(&p->out, "  ");
    for (int i = 0; i < n->n_results; i++) {
        p->number[n->first_result + (uint32_t)i] = p->next;
        text_add(&p->out, "%s%%%u", i ? ", " : "", p->next++);
    }
    text_add(&p->out, " = %s(", n->op->name);
    print_values(p, (size_t)n->n_operands, n->operand);
    text_add(&p->out, ") ");
    size_t before = p->out.length;
    if (!attributes_print(p->context, n->op, n->attr, &p->out)) return false;
    text_add(&p->out, "%s", p->out.length > before ? " : " : ": ");
    for (int i = 0; i < n->n_results; i++) {
        if (i) text_add(&p->out, ", ");
        type_print(p->context, p->graph->values.at[n->first_result + (uint32_t)i].type, &p->out);
    }
    print_meta(p, &n->meta);
    text_add(&p->out, "\n");
    return true;
}

static void print_ends(printer *p) {
    tw_graph *graph = p->graph;
    if (graph->outputs.count) {
        text_add(&p->out, "  return ");
        print_values(p, graph->outputs.count, graph->outputs.at);
        text_add(&p->out, "\n");
    }
    for (size_t i = 0; i < graph->assigns.count; i++) {
        const assignment *a = &graph->assigns.at[i];
        text_add(&p->out, "  assign ");
        text_add_quoted(&p->out, graph->variables.at[a->variable].spec.path);
        text_add(&p->out, " = ");
        print_value(p, a->value);
        text_add(&p->out, "\n");
    }
}

static bool print_function(printer *p, tw_graph *graph, const char *keyword) {
    p->graph = graph;
    p->next = 0;
    p->number = context_allocate(p->context, graph->values.count, sizeof *p->number);
    if (!p->number) return false;
    for (size_t i = 0; i < graph->values.count; i++) p->number[i] = ABSENT;
    text_add(&p->out, "%s ", keyword);
    function_name_print(graph->name, &p->out);
    text_add(&p->out, " {\n");
    bool fine = true;
    for (size_t i = 0; fine && i < graph->nodes.count; i++)
        fine = print_node(p, &graph->nodes.at[i]);
    if (fine) print_ends(p);
    text_add(&p->out, "}\n");
    context_release(p->context, p->number);
    return fine;
}

char *tw_graph_print(tw_graph *graph) {
    if (!graph) return NULL;
    tw_context *context = graph->module->context;
    printer p = {.context = context, .out = {.context = context}};
    callees used = {0};
    if (callees_find(graph, &used) != TW_OK) return NULL;
    bool fine = true;
    for (size_t i = 0; fine && i < used.count; i++)
        fine = print_function(&p, used.at[i], "function") && !p.out.failed;
    fine = fine && print_function(&p, graph, "graph");
    callees_free(graph, &used);
    if (fine) return text_take(&p.out);
    text_drop(&p.out);
    return NULL;
}
