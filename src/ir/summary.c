/*
 * A table of a graph's layers: a row for each scope, in order of first use. A node belongs to the
 * scope that it stands in; a variable to the one that its path names.
 */
#include <math.h>
#include <stdio.h>

#include "base/text.h"
#include "ir/derive.h"
#include "ir/dimension.h"
#include "ir/graph.h"

typedef struct row {
    const char *scope;
    uint32_t last; /* its last result that a node of another scope reads; ABSENT for none */
    int64_t parameters;
    double flops, kept;
} row;

typedef struct summary {
    tw_graph *graph;
    tw_context *context;
    VECTOR(row) rows;
    uint8_t *kept, *left; /* by value: read by the backward phase, by another scope */
    bool trains;
    double flops[3]; /* by phase */
} summary;

static bool is_source(const node *it) {
    return it->op->meaning == TW_MEANS_STATE && !it->n_operands;
}

static row *row_of(summary *s, const char *scope) {
    for (size_t i = 0; i < s->rows.count; i++)
        if (!strcmp(s->rows.at[i].scope, scope)) return &s->rows.at[i];
    row *made = VECTOR_PUSH(s->context, &s->rows);
    if (made) *made = (row){.scope = scope, .last = ABSENT};
    return made;
}

/* What outputs and assigns need; everything where neither is known yet. */
static void find_live(const tw_graph *graph, uint8_t *live) {
    if (!graph->outputs.count) memset(live, 1, graph->nodes.count);
    graph_mark(graph, graph->outputs.count, graph->outputs.at, live);
    for (uint32_t i = 0; i < graph->variables.count; i++) {
        uint32_t last = graph_final(graph, i);
        if (last != graph->variables.at[i].initial) graph_mark(graph, 1, &last, live);
    }
}

/* Which values leave their scope, and which the backward phase reads. */
static void find_readers(summary *s, const uint8_t *live) {
    tw_graph *graph = s->graph;
    for (size_t i = 0; i < graph->nodes.count; i++) {
        const node *it = &graph->nodes.at[i];
        if (!live[i]) continue;
        s->trains |= it->meta.phase == PHASE_BACKWARD;
        for (int k = 0; k < it->n_operands; k++) {
            if (it->operand[k] == ABSENT) continue;
            const node *made = &graph->nodes.at[graph->values.at[it->operand[k]].node];
            if (it->meta.phase == PHASE_BACKWARD) s->kept[it->operand[k]] = 1;
            if (it->meta.phase == PHASE_FORWARD && strcmp(made->meta.scope, it->meta.scope))
                s->left[it->operand[k]] = 1;
        }
    }
    for (size_t i = 0; i < graph->outputs.count; i++) s->left[graph->outputs.at[i]] = 1;
}

static bool known(const tw_signature *signature) {
    for (int i = 0; i < signature->n_operands; i++)
        if (!shape_known(signature->operand[i].shape)) return false;
    for (int i = 0; i < signature->n_results; i++)
        if (!shape_known(signature->result[i].shape)) return false;
    return true;
}

/* NaN where an extent is no number. False when memory is out. */
static bool flops_of(const summary *s, const node *it, double *flops) {
    tw_type operand[TW_MAX_OPERANDS] = {{0}}, result[TW_MAX_RESULTS];
    for (int i = 0; i < it->n_operands; i++)
        if (it->operand[i] != ABSENT) operand[i] = s->graph->values.at[it->operand[i]].type;
    for (int i = 0; i < it->n_results; i++)
        result[i] = s->graph->values.at[it->first_result + (uint32_t)i].type;
    tw_signature signature = {s->context, it->op, it->n_operands, it->n_results,
                              operand,    result, it->attr};
    tw_cost cost = {NAN, 0};
    bool good = !known(&signature) || signature_cost(&signature, &cost);
    *flops = cost.flops;
    return good;
}

/* A reshape is another view of what it reads. */
static double bytes_of(const summary *s, const node *it, int result) {
    uint32_t id = it->first_result + (uint32_t)result;
    if (node_is(it, "reshape") || node_is(it, "splat")) return 0;
    if (s->trains && !s->kept[id]) return 0;
    tw_type type = s->graph->values.at[id].type;
    if (!shape_known(type.shape)) return NAN;
    return (double)shape_elements(type.shape) * (double)tw_dtype_size(type.dtype);
}

static bool add_node(summary *s, const node *it) {
    double flops;
    if (!flops_of(s, it, &flops)) return false;
    s->flops[it->meta.phase] += flops;
    if (it->meta.phase != PHASE_FORWARD) return true;
    row *to = row_of(s, it->meta.scope);
    if (!to) return false;
    to->flops += flops;
    for (int i = 0; i < it->n_results; i++) {
        uint32_t id = it->first_result + (uint32_t)i;
        to->kept += bytes_of(s, it, i);
        if (s->left[id]) to->last = id;
    }
    return true;
}

/* "conv1" of "conv1/weight". */
static bool add_parameters(summary *s) {
    for (size_t i = 0; i < s->graph->variables.count; i++) {
        const variable_spec *spec = &s->graph->variables.at[i].spec;
        if (!spec->trainable) continue;
        const char *slash = strrchr(spec->path, '/');
        const char *scope = arena_format(&s->graph->module->arena, "%.*s",
                                         slash ? (int)(slash - spec->path) : 0, spec->path);
        row *to = scope ? row_of(s, scope) : NULL;
        if (!to) return false;
        to->parameters += shape_elements(spec->type.shape);
    }
    return true;
}

/* "1.5 M" in ten columns; a '?' for NaN, nothing for a negative amount. */
static void add_amount(text *out, double amount, double step, const char *const *units) {
    int unit = 0;
    while (amount >= step && units[unit + 1]) amount /= step, unit++;
    if (isnan(amount) || amount < 0)
        text_add(out, " %10s", amount < 0 ? "" : "?");
    else
        text_add(out, " %*.*f%s", 10 - (int)strlen(units[unit]), unit && amount < 100 ? 1 : 0,
                 amount, units[unit]);
}

static const char *const counts[] = {"", " K", " M", " G", " T", NULL};
static const char *const sizes[] = {" B", " KiB", " MiB", " GiB", " TiB", NULL};

static void print_row(const summary *s, const char *name, int width, uint32_t last, double numbers,
                      double flops, double kept, text *out) {
    text_add(out, "%-*s  ", width, name);
    size_t start = out->length;
    if (last != ABSENT) type_print(s->context, s->graph->values.at[last].type, out);
    text_add(out, "%*s", out->length - start < 20 ? (int)(20 - (out->length - start)) : 0, "");
    add_amount(out, numbers, 1000, counts);
    add_amount(out, flops, 1000, counts);
    add_amount(out, kept, 1024, sizes);
    while (out->length && out->at[out->length - 1] == ' ') out->at[--out->length] = '\0';
    text_add(out, "\n");
}

static void print_table(const summary *s, text *out) {
    int width = 8; /* "backward" */
    double numbers = 0, kept = 0;
    for (size_t i = 0; i < s->rows.count; i++)
        if ((int)strlen(s->rows.at[i].scope) > width) width = (int)strlen(s->rows.at[i].scope);
    text_add(out, "%-*s  %-20s %10s %10s %10s\n", width, "layer", "output", "parameters", "flops",
             s->trains ? "kept" : "results");
    for (size_t i = 0; i < s->rows.count; i++) {
        const row *it = &s->rows.at[i];
        numbers += (double)it->parameters;
        kept += it->kept;
        print_row(s, *it->scope ? it->scope : "(top)", width, it->last, (double)it->parameters,
                  it->flops, it->kept, out);
    }
    text_add(out, "\n");
    print_row(s, "forward", width, ABSENT, numbers, s->flops[PHASE_FORWARD], kept, out);
    if (s->trains) print_row(s, "backward", width, ABSENT, -1, s->flops[PHASE_BACKWARD], -1, out);
    if (s->trains) print_row(s, "update", width, ABSENT, -1, s->flops[PHASE_UPDATE], -1, out);
}

char *tw_graph_summary(tw_graph *graph) {
    if (!graph) return NULL;
    summary s = {.graph = graph, .context = graph->module->context};
    size_t n = graph->values.count;
    s.kept = context_allocate(s.context, n, 1);
    s.left = context_allocate(s.context, n, 1);
    uint8_t *live = context_allocate(s.context, graph->nodes.count + 1, 1);
    text out = {.context = s.context};
    bool good = s.kept && s.left && live;
    if (good) find_live(graph, live);
    if (good) find_readers(&s, live);
    for (size_t i = 0; good && i < graph->nodes.count; i++)
        if (live[i] && !is_source(&graph->nodes.at[i])) good = add_node(&s, &graph->nodes.at[i]);
    good = good && add_parameters(&s);
    if (good) print_table(&s, &out);
    VECTOR_FREE(s.context, &s.rows);
    context_release(s.context, s.kept);
    context_release(s.context, s.left);
    context_release(s.context, live);
    if (good) return text_take(&out);
    context_error(s.context, TW_ERR_MEMORY, "out of memory for a summary");
    text_drop(&out);
    return NULL;
}
