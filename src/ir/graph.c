/* A graph's life: modules, errors, scopes, handles. */
#include "ir/graph.h"

#include <stdio.h>

static void module_free(module *module) {
    tw_context *context = module->context;
    VECTOR_FREE(context, &module->functions);
    arena_end(&module->arena);
    context_release(context, module);
}

void graph_drop_tensors(tw_graph *graph, size_t from) {
    const executor *executor = graph->module->context->executor;
    for (size_t i = from; i < graph->values.count; i++) {
        if (graph->values.at[i].tensor) executor->drop(graph->values.at[i].tensor);
        graph->values.at[i].tensor = NULL;
    }
}

/* What a graph holds apart from its module. */
void graph_empty(tw_graph *graph) {
    tw_context *context = graph->module->context;
    graph_drop_tensors(graph, 0);
    VECTOR_FREE(context, &graph->nodes);
    VECTOR_FREE(context, &graph->values);
    VECTOR_FREE(context, &graph->variables);
    VECTOR_FREE(context, &graph->inputs);
    VECTOR_FREE(context, &graph->outputs);
    VECTOR_FREE(context, &graph->assigns);
    VECTOR_FREE(context, &graph->scopes);
    VECTOR_FREE(context, &graph->tapes);
    VECTOR_FREE(context, &graph->draws);
}

static void graph_destroy(object *object) {
    tw_graph *graph = (tw_graph *)object;
    module *module = graph->module;
    if (!module) return;
    for (size_t i = 0; i < module->functions.count; i++) {
        tw_graph *function = module->functions.at[i];
        graph_empty(function);
        if (function != graph) context_release(module->context, function);
    }
    if (graph->store) object_drop(graph->store);
    module_free(module);
}

/* Value 0 of each graph is the poisoned one. */
static bool graph_start(tw_graph *graph, module *module, const char *name, tw_mode mode) {
    tw_context *context = module->context;
    graph->module = module;
    graph->name = name;
    graph->mode = mode;
    graph->meta.scope = "";
    value *poison = VECTOR_PUSH(context, &graph->values);
    tw_graph **slot = poison ? VECTOR_PUSH(context, &module->functions) : NULL;
    if (!slot) return false;
    poison->kind = VALUE_POISON;
    *slot = graph;
    return true;
}

tw_graph *graph_function(tw_graph *graph, const char *name) {
    module *module = graph->module;
    tw_context *context = module->context;
    tw_graph *function = context_allocate(context, 1, sizeof *function);
    if (function) {
        function->object.context = context;
        function->training = graph->training;
        const char *copy = arena_copy_string(&module->arena, name);
        if (copy && graph_start(function, module, copy, TW_SYMBOLIC)) return function;
        VECTOR_FREE(context, &function->values);
        context_release(context, function);
    }
    graph_error(graph, TW_ERR_MEMORY, "out of memory for function @%s", name);
    return NULL;
}

void graph_drop_functions(tw_graph *graph, size_t keep) {
    module *module = graph->module;
    while (module->functions.count > keep) {
        tw_graph *last = module->functions.at[--module->functions.count];
        graph_empty(last);
        context_release(module->context, last);
    }
}

tw_graph *graph_new_for(tw_context *context, tw_store *store, variable_table *table, tw_mode mode,
                        bool training) {
    if (!context) return NULL;
    if (mode != TW_SYMBOLIC && mode != TW_IMMEDIATE) {
        context_error(context, TW_ERR_ARGUMENT, "mode %d: expected TW_SYMBOLIC or TW_IMMEDIATE",
                      (int)mode);
        return NULL;
    }
    module *module = context_allocate(context, 1, sizeof *module);
    if (!module) return NULL;
    module->context = context;
    arena_start(&module->arena, context);
    tw_graph *graph = object_new(context, sizeof *graph, graph_destroy);
    if (!graph || !graph_start(graph, module, "main", mode)) {
        if (graph) {
            graph->module = NULL;
            VECTOR_FREE(context, &graph->values);
            object_drop(graph);
        }
        module_free(module);
        return NULL;
    }
    graph->store = object_hold(store);
    graph->table = table;
    graph->training = training;
    return graph;
}

void tw_graph_free(tw_graph *graph) { object_drop(graph); }

bool tw_training(const tw_graph *graph) { return graph && graph->training; }

tw_status tw_graph_status(const tw_graph *graph) { return graph ? graph->status : TW_ERR_NULL; }

static tw_status keep_first(tw_graph *graph, tw_status status, const char *format, va_list list) {
    va_list again;
    va_copy(again, list);
    if (graph->status == TW_OK) {
        char line[sizeof graph->message]; /* an argument may be a message */
        vsnprintf(line, sizeof line, format, list);
        memcpy(graph->message, line, sizeof line);
        graph->status = status;
        context_error(graph->module->context, status, "%s", line);
    }
    va_end(again);
    return graph->status;
}

tw_status graph_error(tw_graph *graph, tw_status status, const char *format, ...) {
    if (!graph) return status;
    va_list list;
    va_start(list, format);
    keep_first(graph, status, format, list);
    va_end(list);
    return status;
}

void tw_fail(tw_graph *graph, const char *format, ...) {
    if (!graph || !format) return;
    va_list list;
    va_start(list, format);
    keep_first(graph, TW_ERR_ARGUMENT, format, list);
    va_end(list);
}

const char *graph_scope(const tw_graph *graph) {
    if (graph->scope_fixed) return graph->meta.scope;
    return graph->scopes.count ? graph->scopes.at[graph->scopes.count - 1] : "";
}

void tw_scope_begin(tw_graph *graph, const char *format, ...) {
    if (!graph || !format) return;
    char name[256];
    va_list list;
    va_start(list, format);
    int length = vsnprintf(name, sizeof name, format, list);
    va_end(list);
    if (length <= 0 || (size_t)length >= sizeof name) {
        graph_error(graph, TW_ERR_ARGUMENT, "a scope's name has 1 to %zu bytes, this has %d",
                    sizeof name - 1, length);
        name[0] = '?', name[1] = '\0';
    }
    const char *outer = graph_scope(graph);
    const char *path =
        arena_format(&graph->module->arena, "%s%s%s", outer, *outer ? "/" : "", name);
    const char **slot = path ? VECTOR_PUSH(graph->module->context, &graph->scopes) : NULL;
    if (slot)
        *slot = path;
    else
        graph_error(graph, TW_ERR_MEMORY, "out of memory in scope \"%s\"", name);
}

void tw_scope_end(tw_graph *graph) {
    if (!graph) return;
    size_t tapes = graph->tapes.count;
    if (graph->scopes.count == (tapes ? graph->tapes.at[tapes - 1].scopes : 0))
        graph_error(graph, TW_ERR_ARGUMENT, "tw_scope_end without a tw_scope_begin before it%s",
                    tapes ? " in the tape" : "");
    else
        graph->scopes.count--;
}

void graph_skip_layer(tw_graph *graph, const char *layer) {
    if (graph->skipped) return;
    const char *scope = graph_scope(graph);
    graph->skipped = arena_format(&graph->module->arena, "%s in %s%s%s", layer,
                                  *scope ? "scope \"" : "the top scope", scope, *scope ? "\"" : "");
    if (!graph->skipped) graph_error(graph, TW_ERR_MEMORY, "%s: out of memory", layer);
}

void tw_source(tw_graph *graph, const char *where) {
    if (!graph) return;
    graph->meta.source = where ? arena_copy_string(&graph->module->arena, where) : NULL;
    if (where && !graph->meta.source)
        graph_error(graph, TW_ERR_MEMORY, "out of memory for a source location");
}

tw_value graph_handle(tw_graph *graph, uint32_t id) {
    tw_value handle = {graph, 0, 0};
    if (graph && id < graph->values.count && graph->values.at[id].kind != VALUE_POISON) {
        handle.id = id;
        handle.tape = graph->values.at[id].tape;
    }
    return handle;
}

/* The record behind a handle; NULL for absent, poisoned and stale ones. */
static value *record_of(tw_value handle) {
    tw_graph *graph = handle.graph;
    if (!graph || handle.id == 0 || handle.id >= graph->values.count) return NULL;
    value *it = &graph->values.at[handle.id];
    return it->kind != VALUE_POISON && it->tape == handle.tape ? it : NULL;
}

uint32_t graph_resolve(tw_graph *graph, tw_value handle) {
    if (!handle.graph) {
        graph_error(graph, TW_ERR_NULL,
                    "a value is absent where one is needed; did the function that made it fail?");
        return ABSENT;
    }
    if (handle.graph != graph) {
        graph_error(graph, TW_ERR_STALE, "a value of graph @%s is used in graph @%s",
                    handle.graph->name, graph->name);
        return ABSENT;
    }
    value *it = record_of(handle);
    if (!it) {
        if (handle.id)
            graph_error(graph, TW_ERR_STALE,
                        "a value of a tape that has ended; name it in tw_tape_end's keep[]");
        return ABSENT;
    }
    return it->kind == VALUE_REFERENCE ? graph_current(graph, it->variable) : handle.id;
}

bool tw_ok(tw_value value) { return record_of(value) != NULL; }

tw_type tw_type_of(tw_value handle) {
    value *it = record_of(handle);
    return it ? it->type : (tw_type){(tw_dtype)0, {0, 0, {0}}};
}

tw_shape tw_shape_of(tw_value handle) { return tw_type_of(handle).shape; }

tw_dtype tw_dtype_of(tw_value handle) { return tw_type_of(handle).dtype; }

void tw_outputs(tw_graph *graph, int n, const tw_value *out) {
    if (!graph) return;
    graph->outputs.count = 0;
    for (int i = 0; i < n; i++) {
        uint32_t id = graph_resolve(graph, out[i]);
        if (id == ABSENT) {
            graph_error(graph, TW_ERR_NULL, "output %d of @%s is absent or poisoned", i,
                        graph->name);
            return;
        }
        uint32_t *slot = VECTOR_PUSH(graph->module->context, &graph->outputs);
        if (slot)
            *slot = id;
        else
            graph_error(graph, TW_ERR_MEMORY, "out of memory for an output of @%s", graph->name);
    }
}
