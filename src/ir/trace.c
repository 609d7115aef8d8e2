/*
 * A model function as a closed function of the module. Variables that it uses are the outer
 * graph's: each becomes a further input, and an assign a further output.
 */
#include <stdio.h>

#include "ir/graph.h"

/* The function that is traced draws random numbers and names variables where the graph stands. */
static void enter(tw_graph *graph, tw_graph *function) {
    const char *scope = graph_scope(graph);
    function->outer = graph;
    function->table = graph->table; /* its seed */
    function->meta = graph->meta;
    function->meta.scope = scope;
    if (*scope) tw_scope_begin(function, "%s", scope);
    function->draws.at = graph->draws.at;
    function->draws.count = graph->draws.count;
    function->draws.capacity = graph->draws.capacity;
}

static void leave(tw_graph *graph, tw_graph *function) {
    graph->draws.at = function->draws.at;
    graph->draws.count = function->draws.count;
    graph->draws.capacity = function->draws.capacity;
    function->draws.at = NULL;
    function->draws.count = function->draws.capacity = 0;
    size_t scopes = *graph_scope(graph) ? 1 : 0;
    if (function->scopes.count != scopes)
        graph_error(function, TW_ERR_ARGUMENT,
                    "function @%s: its scopes do not begin and end in it", function->name);
    function->outer = NULL;
    function->table = NULL;
    if (function->skipped && !graph->skipped) graph->skipped = function->skipped;
    if (function->status) graph_error(graph, function->status, "%s", function->message);
}

/* The outputs: the function's own, then each assigned variable's last version. */
static void close_outputs(function_trace *out, int n_out, const tw_value *result) {
    tw_graph *function = out->function;
    tw_value all[TW_MAX_RESULTS];
    int n = 0;
    for (; n < n_out; n++) all[n] = result[n];
    for (uint32_t i = 0; i < function->variables.count; i++) {
        uint32_t last = graph_final(function, i);
        if (last == function->variables.at[i].initial) continue;
        if (n == TW_MAX_RESULTS) {
            graph_error(function, TW_ERR_UNSUPPORTED,
                        "function @%s: more than %d outputs and assigned variables together",
                        function->name, TW_MAX_RESULTS);
            return;
        }
        out->assigned[n - n_out] = out->variable[i];
        all[n++] = graph_handle(function, last);
    }
    out->n_assigned = n - n_out;
    function->assigns.count = 0;
    tw_outputs(function, n, all);
}

/* The outer graph's handle of each variable that the function uses. */
static bool list_variables(tw_graph *graph, function_trace *out) {
    tw_graph *function = out->function;
    out->n_variables = (int)function->variables.count;
    if (function->variables.count > TW_MAX_OPERANDS) {
        graph_error(graph, TW_ERR_UNSUPPORTED,
                    "function @%s uses %zu variables, at most %d are served", function->name,
                    function->variables.count, TW_MAX_OPERANDS);
        return false;
    }
    for (size_t i = 0; i < function->variables.count; i++) {
        const variable_spec *spec = &function->variables.at[i].spec;
        out->variable[i] =
            graph_declare(graph, spec->path, spec->type, spec->init, spec->trainable);
    }
    return graph->status == TW_OK;
}

/* A closed function has inputs in the place of variables. */
static void forget_variables(tw_graph *function) {
    for (size_t i = 0; i < function->variables.count; i++)
        function->values.at[function->variables.at[i].reference].kind = VALUE_DROPPED;
    function->variables.count = 0;
}

bool graph_trace(tw_graph *graph, const char *name, tw_function build, const void *config, int n_in,
                 const tw_type *in, int n_out, function_trace *out) {
    *out = (function_trace){0};
    if (graph->status) return false;
    if (!build || n_in < 0 || n_in > TW_MAX_OPERANDS || n_out < 1 || n_out > TW_MAX_RESULTS) {
        graph_error(graph, TW_ERR_ARGUMENT,
                    "function \"%s\": %d inputs and %d outputs, expected a function, at most %d "
                    "inputs and 1 to %d outputs",
                    name, n_in, n_out, TW_MAX_OPERANDS, TW_MAX_RESULTS);
        return false;
    }
    const char *unique =
        arena_format(&graph->module->arena, "%s_%d", name, graph->module->next_function++);
    tw_graph *function = unique ? graph_function(graph, unique) : NULL;
    if (!function) {
        graph_error(graph, TW_ERR_MEMORY, "out of memory for function \"%s\"", name);
        return false;
    }
    out->function = function;
    tw_value x[TW_MAX_OPERANDS] = {{0}}, result[TW_MAX_RESULTS] = {{0}};
    enter(graph, function);
    for (int i = 0; i < n_in; i++) {
        char input[16];
        snprintf(input, sizeof input, "x%d", i);
        x[i] = tw_input(function, input, in[i].dtype, in[i].shape);
    }
    build(function, x, result, config);
    bool good = list_variables(graph, out);
    if (good && !function->status) close_outputs(out, n_out, result);
    forget_variables(function);
    leave(graph, function);
    return good && !graph->status;
}
