/* Functions of a module: bodies of composites, copies, what depends on what. */
#include <stdio.h>

#include "ir/graph.h"

/* Operand i's name in the entry, "x0" style where the list is open. */
static void operand_name(const tw_operator *op, int i, char *out, size_t size) {
    const char *at = op->operands;
    for (int k = 0; *at; k++) {
        size_t length = strcspn(at, " ");
        bool many = length > 3 && strncmp(at + length - 3, "...", 3) == 0;
        if (many) {
            snprintf(out, size, "%.*s%d", (int)length - 3, at, i - k);
            return;
        }
        if (k == i) {
            snprintf(out, size, "%.*s", (int)(length - (at[length - 1] == '?')), at);
            return;
        }
        at += length;
        at += strspn(at, " ");
    }
    snprintf(out, size, "x%d", i);
}

/* An open list of results is as long as infer says. */
static int result_count(const tw_signature *signature) {
    tw_type result[TW_MAX_RESULTS];
    tw_signature inferred = *signature;
    inferred.result = result;
    bool stated = signature->op->infer && !signature->op->infer(&inferred);
    return stated ? inferred.n_results : signature->n_results;
}

tw_graph *graph_body(tw_graph *graph, const tw_operator *op, int n, const tw_type *operand,
                     const bool *absent, const tw_attr *attr) {
    char name[128];
    module *module = graph->module;
    snprintf(name, sizeof name, "%.100s_%d", op->name, module->next_function++);
    tw_graph *body = graph_function(graph, name);
    if (!body) return NULL;
    tw_value in[TW_MAX_OPERANDS] = {{0}}, out[TW_MAX_RESULTS] = {{0}};
    for (int i = 0; i < n; i++) {
        operand_name(op, i, name, sizeof name);
        if (!absent[i]) in[i] = tw_input(body, name, operand[i].dtype, operand[i].shape);
    }
    int least, most, results;
    operator_arity(op, &least, &most, &results);
    tw_signature signature = {.context = module->context,
                              .op = op,
                              .n_operands = n,
                              .n_results = results,
                              .operand = operand,
                              .attr = attr};
    signature.n_results = result_count(&signature);
    op->body(body, &signature, in, out);
    if (body->status == TW_OK) tw_outputs(body, signature.n_results, out);
    if (body->status == TW_OK) return body;
    const char *scope = graph_scope(graph);
    graph_error(graph, body->status, "%s%s%s%s: %s", op->name, *scope ? " in scope \"" : "", scope,
                *scope ? "\"" : "", body->message);
    return NULL;
}

/* Copies a node; map[] gives the new id of each old value and is extended. */
static uint32_t copy_node(tw_graph *to, const tw_graph *from, uint32_t index, uint32_t *map) {
    const node *old = &from->nodes.at[index];
    uint32_t operand[TW_MAX_OPERANDS];
    for (int i = 0; i < old->n_operands; i++)
        operand[i] = old->operand[i] == ABSENT ? ABSENT : map[old->operand[i]];
    const node_meta meta = to->meta;
    bool fixed = to->scope_fixed;
    if (*old->meta.scope) { /* a traced function's own; a body has none */
        to->meta.scope = old->meta.scope;
        to->scope_fixed = true;
    }
    if (old->meta.source) to->meta.source = old->meta.source;
    uint32_t made = graph_append(to, old->op, old->n_operands, operand, old->attr);
    to->meta = meta;
    to->scope_fixed = fixed;
    if (made == NO_NODE) return NO_NODE;
    for (int i = 0; i < old->n_results; i++)
        map[old->first_result + (uint32_t)i] = to->nodes.at[made].first_result + (uint32_t)i;
    return made;
}

bool graph_inline(tw_graph *to, const tw_graph *body, const uint32_t *operand, uint32_t *results) {
    tw_context *context = to->module->context;
    uint32_t *map = context_allocate(context, body->values.count, sizeof *map);
    if (!map) {
        graph_error(to, TW_ERR_MEMORY, "out of memory for function @%s", body->name);
        return false;
    }
    bool good = true;
    size_t next_input = 0;
    /* Absent operands have no input in the body. */
    for (uint32_t i = 0; good && i < body->nodes.count; i++) {
        const node *it = &body->nodes.at[i];
        if (next_input < body->inputs.count && it->first_result == body->inputs.at[next_input]) {
            while (*operand == ABSENT) operand++;
            map[it->first_result] = *operand++;
            next_input++;
        } else if (!it->op->effect) {
            good = copy_node(to, body, i, map) != NO_NODE;
        }
    }
    for (size_t i = 0; good && i < body->outputs.count; i++) results[i] = map[body->outputs.at[i]];
    context_release(context, map);
    return good;
}

void graph_mark(const tw_graph *graph, size_t n, const uint32_t *values, uint8_t *live) {
    for (size_t i = 0; i < n; i++)
        if (values[i] != ABSENT && values[i] != 0) live[graph->values.at[values[i]].node] = 1;
    for (size_t i = graph->nodes.count; i-- > 0;) {
        if (!live[i]) continue;
        const node *it = &graph->nodes.at[i];
        for (int k = 0; k < it->n_operands; k++)
            if (it->operand[k] != ABSENT) live[graph->values.at[it->operand[k]].node] = 1;
    }
}
