/*
 * Checks every rule of the representation. It trusts nothing that it has not checked before: it is
 * what tells a transform's author where the graph first went wrong.
 */
#include "ir/verify.h"

#include <stdio.h>

#include "base/text.h"
#include "ir/attribute.h"
#include "ir/callees.h"
#include "ir/dimension.h"
#include "ir/graph.h"

typedef struct verifier {
    tw_context *context;
    tw_graph *graph;
    uint32_t node; /* the one that is checked; NO_NODE elsewhere */
} verifier;

static tw_status broken(const verifier *v, const char *format, ...) TW_PRINTF(2, 3);

static tw_status broken(const verifier *v, const char *format, ...) {
    text why = {.context = v->context};
    char message[1024];
    va_list list;
    va_start(list, format);
    vsnprintf(message, sizeof message, format, list);
    va_end(list);
    text_add(&why, "graph @%s", v->graph->name);
    if (v->node != NO_NODE) {
        const node *n = &v->graph->nodes.at[v->node];
        text_add(&why, ", node %u (%s)", v->node, n->op && n->op->name ? n->op->name : "?");
        if (n->meta.scope && *n->meta.scope) text_add(&why, " in scope \"%s\"", n->meta.scope);
    }
    text_add(&why, ": %s", message);
    if (!why.failed) context_error(v->context, TW_ERR_ARGUMENT, "%s", why.at);
    tw_status status = why.failed ? TW_ERR_MEMORY : TW_ERR_ARGUMENT;
    text_drop(&why);
    return status;
}

static tw_status broken_type(const verifier *v, const char *what, tw_type is, tw_type should) {
    text why = {.context = v->context};
    type_print(v->context, is, &why);
    text_add(&why, " but should be ");
    type_print(v->context, should, &why);
    tw_status status = why.failed ? TW_ERR_MEMORY : broken(v, "%s is %s", what, why.at);
    text_drop(&why);
    return status;
}

/* Whether operand i's name ends with '?'; those past the last name are as the last. */
static bool is_optional(const tw_operator *op, int i) {
    const char *word = op->operands;
    size_t length = strcspn(word, " ");
    for (; i > 0 && word[length] == ' '; i--) {
        word += length + strspn(word + length, " ");
        length = strcspn(word, " ");
    }
    return length > 0 && word[length - 1] == '?';
}

const char *operands_fault(const tw_operator *op, int n, const uint32_t *operand) {
    int least, most, results;
    operator_arity(op, &least, &most, &results);
    if (n < least) return "too few operands";
    if (n > most) return "too many operands";
    for (int i = 0; i < n; i++)
        if (operand[i] == ABSENT && !is_optional(op, i))
            return "an operand is absent that is not optional";
    return NULL;
}

/* A value that a node before `limit` computes. */
static bool is_computed(const tw_graph *graph, uint32_t id, uint32_t limit) {
    if (id >= graph->values.count || graph->values.at[id].kind != VALUE_RESULT) return false;
    const value *it = &graph->values.at[id];
    if (it->node >= limit || it->node >= graph->nodes.count) return false;
    const node *n = &graph->nodes.at[it->node];
    return it->result < (uint32_t)n->n_results && n->first_result + it->result == id;
}

static tw_status check_results(const verifier *v, const node *n) {
    const tw_graph *graph = v->graph;
    if (n->n_results < 1) return broken(v, "it has no results");
    for (int i = 0; i < n->n_results; i++) {
        uint32_t id = n->first_result + (uint32_t)i;
        if (!is_computed(graph, id, v->node + 1) || graph->values.at[id].node != v->node)
            return broken(v, "result %d: value %u does not name this node as its source", i, id);
    }
    return TW_OK;
}

static tw_status check_operands(const verifier *v, const node *n) {
    const char *fault = operands_fault(n->op, n->n_operands, n->operand);
    if (fault) return broken(v, "%s", fault);
    for (int i = 0; i < n->n_operands; i++)
        if (n->operand[i] != ABSENT && !is_computed(v->graph, n->operand[i], v->node))
            return broken(v, "operand %d: value %u is not computed before", i, n->operand[i]);
    return TW_OK;
}

static tw_status check_meta(const verifier *v, const node *n) {
    if ((int)n->meta.phase < PHASE_FORWARD || n->meta.phase > PHASE_UPDATE)
        return broken(v, "phase %d does not exist", (int)n->meta.phase);
    if (!n->meta.scope) return broken(v, "it has no scope; the top one is \"\"");
    if (n->meta.epoch < 0) return broken(v, "recompute epoch %d is negative", n->meta.epoch);
    bool beside = n->meta.beside == 0 || n->meta.beside == 1;
    return beside ? TW_OK : broken(v, "beside is %d, expected 0 or 1", n->meta.beside);
}

/* Operand types of a node in types[]; absent ones get no type. */
static void operand_types(const tw_graph *graph, const node *n, tw_type *types, bool *absent) {
    for (int i = 0; i < n->n_operands; i++) {
        absent[i] = n->operand[i] == ABSENT;
        if (!absent[i]) types[i] = graph->values.at[n->operand[i]].type;
    }
}

/* A composite's types follow from its body, which is built for that and dropped again. */
static tw_status infer_by_body(const verifier *v, const node *n, const tw_type *types,
                               const bool *absent, tw_type *result) {
    tw_graph *graph = v->graph;
    module *owner = graph->module;
    size_t functions = owner->functions.count;
    arena_mark mark = arena_save(&owner->arena);
    tw_graph *body = graph_body(graph, n->op, n->n_operands, types, absent, n->attr);
    bool counts = body && body->outputs.count == (size_t)n->n_results;
    for (int i = 0; counts && i < n->n_results; i++)
        result[i] = body->values.at[body->outputs.at[i]].type;
    tw_status status = TW_OK;
    if (!body)
        status = broken(v, "its body refuses: %s", v->context->message);
    else if (!counts)
        status = broken(v, "its body has another number of results");
    graph->status = TW_OK; /* as it was: looking must not change the graph */
    graph_drop_functions(graph, functions);
    arena_restore(&owner->arena, mark);
    return status;
}

static tw_status infer(const verifier *v, const node *n, const tw_type *types, const bool *absent,
                       tw_type *result) {
    if (!n->op->infer) return infer_by_body(v, n, types, absent, result);
    tw_signature signature = {.context = v->context,
                              .op = n->op,
                              .n_operands = n->n_operands,
                              .n_results = n->n_results,
                              .operand = types,
                              .result = result,
                              .attr = n->attr};
    if (n->op->infer(&signature) == TW_OK) return TW_OK;
    return broken(v, "its operands no longer fit: %s", v->context->message);
}

static tw_status check_types(const verifier *v, const node *n) {
    size_t operands = (size_t)n->n_operands;
    tw_type result[TW_MAX_RESULTS] = {{0}};
    tw_type *types = context_allocate(v->context, operands + 1, sizeof *types);
    bool *absent = context_allocate(v->context, operands + 1, sizeof *absent);
    tw_status status = types && absent ? TW_OK : TW_ERR_MEMORY;
    if (status == TW_OK) {
        operand_types(v->graph, n, types, absent);
        status = infer(v, n, types, absent, result);
    }
    context_release(v->context, types);
    context_release(v->context, absent);
    for (int i = 0; status == TW_OK && i < n->n_results; i++) {
        tw_type is = v->graph->values.at[n->first_result + (uint32_t)i].type;
        if (!type_equal(is, result[i])) status = broken_type(v, "a result", is, result[i]);
    }
    return status;
}

/* Each operand and result as the function of a `call` has it. */
static tw_status check_call(const verifier *v, const node *n, const tw_graph *function) {
    if (function->variables.count) return broken(v, "function @%s has variables", function->name);
    if (function->inputs.count != (size_t)n->n_operands)
        return broken(v, "%d operands, but function @%s has %zu inputs", n->n_operands,
                      function->name, function->inputs.count);
    if (function->outputs.count != (size_t)n->n_results)
        return broken(v, "%d results, but function @%s has %zu outputs", n->n_results,
                      function->name, function->outputs.count);
    for (int i = 0; i < n->n_operands; i++) {
        tw_type is = v->graph->values.at[n->operand[i]].type;
        tw_type should = function->values.at[function->inputs.at[i]].type;
        if (!type_equal(is, should)) return broken_type(v, "an operand", is, should);
    }
    for (int i = 0; i < n->n_results; i++) {
        tw_type is = v->graph->values.at[n->first_result + (uint32_t)i].type;
        tw_type should = function->values.at[function->outputs.at[i]].type;
        if (!type_equal(is, should)) return broken_type(v, "a result", is, should);
    }
    return TW_OK;
}

static const graph_variable *variable_at(const tw_graph *graph, const char *path) {
    for (size_t i = 0; i < graph->variables.count; i++)
        if (strcmp(graph->variables.at[i].spec.path, path) == 0) return &graph->variables.at[i];
    return NULL;
}

/* What an operator's own name asks for. */
static tw_status check_special(const verifier *v, const node *n) {
    bool call = operator_calls(n->op), variable = node_is(n, "variable");
    for (int i = 0; (call || variable) && n->op->attributes && n->op->attributes[i].name; i++) {
        const tw_attr_spec *spec = &n->op->attributes[i];
        if (call && spec->kind == TW_ATTR_FUNCTION) return check_call(v, n, n->attr[i].function);
        if (!variable || spec->kind != TW_ATTR_STRING) continue;
        const graph_variable *known = variable_at(v->graph, n->attr[i].string);
        tw_type is = v->graph->values.at[n->first_result].type;
        if (!known) return broken(v, "the graph has no variable \"%s\"", n->attr[i].string);
        if (!type_equal(is, known->spec.type)) return broken_type(v, "it", is, known->spec.type);
    }
    return TW_OK;
}

static tw_status check_node(const verifier *v, const node *n) {
    if (!n->op || tw_operator_find(v->context, n->op->name) != n->op)
        return broken(v, "its operator is not registered");
    if (n->n_results > TW_MAX_RESULTS)
        return broken(v, "it has more than %d results", TW_MAX_RESULTS);
    tw_status status = check_results(v, n);
    if (status == TW_OK) status = check_operands(v, n);
    if (status == TW_OK) status = check_meta(v, n);
    const char *fault = status == TW_OK ? attributes_fault(n->op, n->attr) : NULL;
    if (fault) status = broken(v, "%s", fault);
    if (status == TW_OK) status = check_special(v, n);
    return status == TW_OK ? check_types(v, n) : status;
}

static tw_status check_variable(const verifier *v, size_t i) {
    const tw_graph *graph = v->graph;
    const graph_variable *variable = &graph->variables.at[i];
    const char *path = variable->spec.path;
    uint32_t all = (uint32_t)graph->nodes.count;
    if (!path) return broken(v, "variable %zu has no path", i);
    if (variable_at(graph, path) != variable) return broken(v, "two variables are \"%s\"", path);
    if (variable->reference >= graph->values.count ||
        graph->values.at[variable->reference].kind != VALUE_REFERENCE ||
        graph->values.at[variable->reference].variable != i)
        return broken(v, "variable \"%s\": its handle is no reference to it", path);
    if (!is_computed(graph, variable->initial, all) || !is_computed(graph, variable->current, all))
        return broken(v, "variable \"%s\": a version of it is not computed", path);
    const node *made = &graph->nodes.at[graph->values.at[variable->initial].node];
    if (strcmp(made->op->name, "variable") != 0)
        return broken(v, "variable \"%s\" does not start from a variable node", path);
    tw_type is = graph->values.at[variable->current].type;
    return type_equal(is, variable->spec.type) ? TW_OK
                                               : broken_type(v, path, is, variable->spec.type);
}

static tw_status check_tables(const verifier *v) {
    const tw_graph *graph = v->graph;
    uint32_t all = (uint32_t)graph->nodes.count;
    for (size_t i = 0; i < graph->variables.count; i++) {
        tw_status status = check_variable(v, i);
        if (status != TW_OK) return status;
    }
    for (size_t i = 0; i < graph->inputs.count; i++) {
        uint32_t id = graph->inputs.at[i];
        if (!is_computed(graph, id, all) ||
            strcmp(graph->nodes.at[graph->values.at[id].node].op->name, "input") != 0)
            return broken(v, "input %zu: value %u is not an input node's", i, id);
        if (i && graph->inputs.at[i - 1] >= id) return broken(v, "inputs are out of order");
    }
    for (size_t i = 0; i < graph->outputs.count; i++)
        if (!is_computed(graph, graph->outputs.at[i], all))
            return broken(v, "output %zu: value %u is not computed", i, graph->outputs.at[i]);
    for (size_t i = 0; i < graph->assigns.count; i++) {
        const assignment *a = &graph->assigns.at[i];
        if (a->variable >= graph->variables.count)
            return broken(v, "assign %zu: there is no variable %u", i, a->variable);
        const variable_spec *spec = &graph->variables.at[a->variable].spec;
        if (!is_computed(graph, a->value, all))
            return broken(v, "assign to \"%s\": value %u is not computed", spec->path, a->value);
        tw_type is = graph->values.at[a->value].type;
        if (!type_equal(is, spec->type)) return broken_type(v, spec->path, is, spec->type);
    }
    return TW_OK;
}

static tw_status check_graph(tw_context *context, tw_graph *graph) {
    verifier v = {context, graph, NO_NODE};
    if (graph->status != TW_OK) return context_error(context, graph->status, "%s", graph->message);
    if (graph->nodes.count >= NO_NODE) return broken(&v, "it has too many nodes");
    for (uint32_t i = 0; i < graph->nodes.count; i++) {
        v.node = i;
        tw_status status = check_node(&v, &graph->nodes.at[i]);
        if (status != TW_OK) return status;
    }
    v.node = NO_NODE;
    return check_tables(&v);
}

/* Functions are walked by their nodes' operators and attributes: these must hold first. */
static tw_status check_walkable(tw_graph *graph) {
    verifier v = {graph->module->context, graph, NO_NODE};
    for (uint32_t i = 0; i < graph->nodes.count; i++) {
        const node *n = &graph->nodes.at[i];
        v.node = i;
        if (!n->op || (!n->attr && operator_attr_count(n->op) > 0) ||
            (!n->operand && n->n_operands))
            return broken(&v, "it is not whole");
    }
    return TW_OK;
}

tw_status tw_graph_verify(tw_graph *graph) {
    if (!graph) return TW_ERR_NULL;
    tw_context *context = graph->module->context;
    callees used = {0};
    tw_status status = TW_OK;
    for (size_t i = 0; status == TW_OK && i < graph->module->functions.count; i++)
        status = check_walkable(graph->module->functions.at[i]);
    if (status == TW_OK) status = callees_find(graph, &used);
    for (size_t i = 0; status == TW_OK && i < used.count; i++)
        status = check_graph(context, used.at[i]);
    if (status == TW_OK) status = check_graph(context, graph);
    callees_free(graph, &used);
    return status;
}
