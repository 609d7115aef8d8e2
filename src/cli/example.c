/* Builds an operator's sample and prints what follows from it. */
#include "cli/example.h"

#include <stdio.h>
#include <thalweg/thalweg.h>

#include "ir/attribute.h"
#include "ir/dimension.h"

static bool is_float(tw_type type) { return type.dtype == TW_F32 || type.dtype == TW_F64; }

/* Word i of a list with single spaces between; its length, 0 past the end. */
static int word_at(const char *list, int i, const char **out) {
    for (; i > 0 && *list; i--) {
        list += strcspn(list, " ");
        list += strspn(list, " ");
    }
    *out = list;
    return (int)strcspn(list, " ");
}

static bool is_open(const char *word, int length) {
    return length > 3 && !strncmp(word + length - 3, "...", 3);
}

void example_operand_name(const tw_operator *op, int i, char *out, size_t size) {
    const char *word;
    for (int k = 0; k <= i; k++) {
        int length = word_at(op->operands, k, &word);
        if (!length) break;
        if (is_open(word, length)) {
            snprintf(out, size, "%.*s%d", length - 3, word, i - k);
            return;
        }
        if (k == i) {
            snprintf(out, size, "%.*s", length - (word[length - 1] == '?'), word);
            return;
        }
    }
    snprintf(out, size, "operand%d", i);
}

void example_result_name(const tw_operator *op, int i, char *out, size_t size) {
    const char *word;
    int length = word_at(op->results, i, &word);
    if (length > 2 && *word == '(')
        snprintf(out, size, "%.*s", length - 2, word + 1);
    else if (length)
        snprintf(out, size, "%.*s", length, word);
    else
        snprintf(out, size, "result%d", i);
}

/* "f64[2,3] _ i32[4]": types and absent operands. */
static bool parse_operands(example *e, const char *at) {
    e->n_operands = 0;
    for (;;) {
        while (*at == ' ') at++;
        if (!*at) return true;
        if (e->n_operands == EXAMPLE_OPERANDS) return false;
        int i = e->n_operands++;
        e->absent[i] = *at == '_';
        e->operand[i] = (tw_type){0};
        if (e->absent[i])
            at++;
        else if (!type_parse(e->context, &at, &e->operand[i]))
            return false;
    }
}

static const tw_sample *choose(example *e) {
    for (const tw_sample *s = e->op->samples; s && s->operands; s++)
        for (int i = 0; parse_operands(e, s->operands) && i < e->n_operands; i++)
            if (is_float(e->operand[i])) return s;
    return e->op->samples && e->op->samples[0].operands ? &e->op->samples[0] : NULL;
}

bool example_begin(example *e, tw_context *context, const tw_operator *op) {
    *e = (example){.op = op, .context = context, .n_attributes = operator_attr_count(op)};
    const tw_sample *sample = choose(e);
    const char *at = sample && sample->attributes ? sample->attributes : "";
    if (!sample || e->n_attributes > EXAMPLE_OPERANDS || !parse_operands(e, sample->operands) ||
        attributes_parse(context, op, &at, e->attr) != TW_OK) {
        e->n_attributes = 0;
        return false;
    }
    e->graph = tw_graph_new(context, NULL, TW_SYMBOLIC, NULL);
    for (int i = 0; e->graph && i < e->n_operands; i++) {
        char name[64];
        example_operand_name(op, i, name, sizeof name);
        if (!e->absent[i])
            e->in[i] = tw_input(e->graph, name, e->operand[i].dtype, e->operand[i].shape);
    }
    tw_apply(e->graph, op->name, e->n_operands, e->in, e->n_attributes ? e->attr : NULL, e->out);
    if (!e->graph || tw_graph_status(e->graph) != TW_OK) return false;
    e->n_results = e->graph->nodes.at[e->graph->nodes.count - 1].n_results;
    for (int i = 0; i < e->n_results; i++) e->result[i] = tw_type_of(e->out[i]);
    return true;
}

void example_end(example *e) {
    tw_graph_free(e->graph);
    if (e->n_attributes) attributes_release(e->context, e->op, e->attr);
}

tw_signature example_signature(const example *e) {
    return (tw_signature){.context = e->context,
                          .op = e->op,
                          .n_operands = e->n_operands,
                          .n_results = e->n_results,
                          .operand = e->operand,
                          .result = (tw_type *)e->result,
                          .attr = e->attr};
}

/* Copies the nodes that the values need into a graph of its own, and prints that. */
static char *print_live(const tw_graph *graph, size_t n, const uint32_t *id) {
    tw_context *context = graph->module->context;
    tw_graph *to = tw_graph_new(context, NULL, TW_SYMBOLIC, NULL);
    uint8_t *live = context_allocate(context, graph->nodes.count, 1);
    uint32_t *map = context_allocate(context, graph->values.count, sizeof *map);
    tw_value out[EXAMPLE_OPERANDS] = {{0}};
    char *text = NULL;
    bool good = to && live && map;
    if (good) graph_mark(graph, n, id, live);
    for (uint32_t i = 0; good && i < graph->nodes.count; i++) {
        const node *at = &graph->nodes.at[i];
        uint32_t operand[EXAMPLE_OPERANDS];
        if (!live[i]) continue;
        for (int k = 0; k < at->n_operands; k++)
            operand[k] = at->operand[k] == ABSENT ? ABSENT : map[at->operand[k]];
        to->meta = at->meta;
        uint32_t made = graph_append(to, at->op, at->n_operands, operand, at->attr);
        good = made != NO_NODE;
        for (int k = 0; good && k < at->n_results; k++)
            map[at->first_result + (uint32_t)k] = to->nodes.at[made].first_result + (uint32_t)k;
    }
    for (size_t i = 0; good && i < n; i++) out[i] = graph_handle(to, map[id[i]]);
    if (good) tw_outputs(to, (int)n, out);
    if (good) text = tw_graph_print(to);
    context_release(context, live);
    context_release(context, map);
    tw_graph_free(to);
    return text;
}

char *example_text(example *e) {
    tw_outputs(e->graph, e->n_results, e->out);
    return tw_graph_print(e->graph);
}

char *example_body(example *e) {
    if (!e->op->body) return NULL;
    size_t functions = e->graph->module->functions.count;
    tw_graph *body = graph_body(e->graph, e->op, e->n_operands, e->operand, e->absent,
                                e->n_attributes ? e->attr : NULL);
    char *text = NULL;
    if (body) text = print_live(body, body->outputs.count, body->outputs.at);
    graph_drop_functions(e->graph, functions);
    return text;
}

static bool is_residual(const tw_operator *op, int i) {
    const char *word;
    return word_at(op->results, i, &word) && *word == '(';
}

char *example_gradient(example *e, bool *zero) {
    tw_value d_result[TW_MAX_RESULTS] = {{0}}, d_operand[EXAMPLE_OPERANDS] = {{0}};
    bool wanted[EXAMPLE_OPERANDS] = {false}, any = false;
    *zero = false;
    if (!e->op->vjp) return NULL;
    for (int i = 0; i < e->n_results; i++) {
        char name[64] = "d_";
        if (is_residual(e->op, i) || !is_float(e->result[i])) continue;
        example_result_name(e->op, i, name + 2, sizeof name - 2);
        d_result[i] = tw_input(e->graph, name, e->result[i].dtype, e->result[i].shape);
        any = true;
    }
    bool reached = false;
    for (int i = 0; i < e->n_operands; i++)
        reached |= wanted[i] = !e->absent[i] && is_float(e->operand[i]);
    if (!any || !reached) return NULL;
    tw_vjp rule = {.n_operands = e->n_operands,
                   .n_results = e->n_results,
                   .operand = e->in,
                   .result = e->out,
                   .d_result = d_result,
                   .attr = e->attr,
                   .operand_type = e->operand,
                   .wanted = wanted,
                   .d_operand = d_operand};
    e->graph->meta.phase = PHASE_BACKWARD;
    e->op->vjp(e->graph, &rule);
    uint32_t id[EXAMPLE_OPERANDS];
    size_t n = 0;
    for (int i = 0; i < e->n_operands; i++)
        if (wanted[i] && d_operand[i].graph) id[n++] = graph_resolve(e->graph, d_operand[i]);
    if (e->graph->status != TW_OK) return NULL;
    *zero = n == 0;
    return n ? print_live(e->graph, n, id) : NULL;
}
