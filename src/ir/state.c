/* Variables in a graph: references, versions, the run counter of random numbers. */
#include "base/number.h"
#include "base/text.h"
#include "ir/dimension.h"
#include "ir/graph.h"

static const char run_path[] = "random/run";

/* Refuses a type that is not the one the path has. */
static bool agrees(tw_graph *graph, const char *path, tw_type have, tw_type want) {
    if (type_equal(have, want)) return true;
    tw_context *context = graph->module->context;
    text types = {.context = context};
    type_print(context, have, &types);
    text_add(&types, " already; it is asked for as ");
    type_print(context, want, &types);
    if (!types.failed)
        graph_error(graph, TW_ERR_SHAPE,
                    "variable \"%s\" is %s: the same path is always the same variable, so choose "
                    "another name or scope",
                    path, types.at);
    else
        graph_error(graph, TW_ERR_MEMORY, "variable \"%s\": out of memory", path);
    text_drop(&types);
    return false;
}

static graph_variable *push_variable(tw_graph *graph, const variable_spec *spec, uint32_t initial) {
    tw_context *context = graph->module->context;
    value *reference = VECTOR_PUSH(context, &graph->values);
    graph_variable *variable = reference ? VECTOR_PUSH(context, &graph->variables) : NULL;
    if (!variable) {
        graph_error(graph, TW_ERR_MEMORY, "variable \"%s\": out of memory", spec->path);
        return NULL;
    }
    *reference = (value){.kind = VALUE_REFERENCE,
                         .type = spec->type,
                         .tape = graph->tape,
                         .variable = (uint32_t)graph->variables.count - 1};
    *variable = (graph_variable){.spec = *spec,
                                 .initial = initial,
                                 .current = initial,
                                 .reference = (uint32_t)graph->values.count - 1};
    return variable;
}

/* In a function that is traced: the outer graph's variable, as an input. */
static tw_value capture(tw_graph *function, const variable_spec *spec) {
    tw_graph *outer = function->outer;
    tw_value theirs = graph_declare(outer, spec->path, spec->type, spec->init, spec->trainable);
    if (!tw_ok(theirs)) {
        graph_error(function, outer->status, "%s", outer->message);
        return (tw_value){function, 0, 0};
    }
    if (!strcmp(spec->path, run_path)) outer->random_run = outer->values.at[theirs.id].variable + 1;
    tw_value input = tw_input(function, spec->path, spec->type.dtype, spec->type.shape);
    graph_variable *variable = tw_ok(input) ? push_variable(function, spec, input.id) : NULL;
    return variable ? graph_handle(function, variable->reference) : (tw_value){function, 0, 0};
}

tw_value graph_declare(tw_graph *graph, const char *path, tw_type type, tw_init init,
                       bool trainable) {
    tw_value poison = {graph, 0, 0};
    if (!graph || graph->status) return poison;
    for (size_t i = 0; i < graph->variables.count; i++) {
        const graph_variable *known = &graph->variables.at[i];
        if (strcmp(known->spec.path, path)) continue;
        return agrees(graph, path, known->spec.type, type) ? graph_handle(graph, known->reference)
                                                           : poison;
    }
    int stored = graph->table ? variable_find(graph->table, path) : -1;
    if (stored >= 0 && !agrees(graph, path, graph->table->specs.at[stored].type, type))
        return poison;
    if (stored < 0 && graph->table && graph->table->frozen) {
        graph_error(graph, TW_ERR_NOT_FOUND,
                    "variable \"%s\" is not in the store, which is frozen; is the name misspelt?",
                    path);
        return poison;
    }
    if (!shape_known(type.shape)) {
        graph_error(
            graph, TW_ERR_SHAPE,
            "variable \"%s\": its extents must be numbers from 0 on, not symbols or negative",
            path);
        return poison;
    }
    variable_spec spec = {arena_copy_string(&graph->module->arena, path), type, init, trainable};
    if (graph->outer && spec.path) return capture(graph, &spec);
    tw_attr attr[4] = {{.string = path},
                       {.i = type.dtype},
                       {.list = type.shape, .i = type.shape.rank},
                       {.i = trainable}};
    const tw_operator *op = tw_operator_find(graph->module->context, "variable");
    if (!spec.path || !op) {
        graph_error(graph, TW_ERR_MEMORY, "variable \"%s\": out of memory", path);
        return poison;
    }
    /* The executor of an immediate graph looks the initial value up by the declaration. */
    graph->declaring = &spec;
    uint32_t made = graph_append(graph, op, 0, NULL, attr);
    graph->declaring = NULL;
    if (made == NO_NODE) return poison;
    graph_variable *variable = push_variable(graph, &spec, graph->nodes.at[made].first_result);
    return variable ? graph_handle(graph, variable->reference) : poison;
}

static bool list_source(tw_graph *graph, const tw_graph *from, const node *it, uint32_t id) {
    if (node_is(it, "input")) {
        uint32_t *slot = VECTOR_PUSH(graph->module->context, &graph->inputs);
        if (slot) *slot = id;
        return slot;
    }
    for (size_t i = 0; i < from->variables.count; i++)
        if (from->variables.at[i].initial == it->first_result)
            return push_variable(graph, &from->variables.at[i].spec, id);
    graph_error(graph, TW_ERR_STALE, "a variable is read that the graph has no declaration of");
    return false;
}

uint32_t graph_copy_source(tw_graph *graph, const tw_graph *from, const node *it) {
    uint32_t made = graph->status ? NO_NODE : graph_copy(graph, from, it, NULL);
    if (made == NO_NODE) return ABSENT;
    uint32_t id = graph->nodes.at[made].first_result;
    if (list_source(graph, from, it, id)) return id;
    if (!graph->status) graph_error(graph, TW_ERR_MEMORY, "%s: out of memory", it->op->name);
    return ABSENT;
}

static tw_value declare(tw_graph *graph, const char *name, tw_type type, tw_init init,
                        bool trainable) {
    tw_value poison = {graph, 0, 0};
    if (!graph) return poison;
    if (!name || !*name) {
        graph_error(graph, TW_ERR_ARGUMENT, "a variable in scope \"%s\" needs a name",
                    graph_scope(graph));
        return poison;
    }
    const char *scope = graph_scope(graph);
    const char *path =
        arena_format(&graph->module->arena, "%s%s%s", scope, *scope ? "/" : "", name);
    if (path) return graph_declare(graph, path, type, init, trainable);
    graph_error(graph, TW_ERR_MEMORY, "variable \"%s\": out of memory", name);
    return poison;
}

tw_value tw_parameter(tw_graph *graph, const char *name, tw_dtype dtype, tw_shape shape,
                      tw_init init) {
    return declare(graph, name, (tw_type){dtype, shape}, init, true);
}

tw_value tw_variable(tw_graph *graph, const char *name, tw_dtype dtype, tw_shape shape,
                     tw_init init) {
    return declare(graph, name, (tw_type){dtype, shape}, init, false);
}

/* The variable that a handle refers to, or that its value is the initial version of. */
static graph_variable *variable_of(tw_value handle) {
    tw_graph *graph = handle.graph;
    if (!tw_ok(handle)) return NULL;
    const value *it = &graph->values.at[handle.id];
    return it->kind == VALUE_REFERENCE ? &graph->variables.at[it->variable] : NULL;
}

const char *tw_path(tw_value handle) {
    graph_variable *variable = variable_of(handle);
    return variable ? variable->spec.path : NULL;
}

tw_value tw_snapshot(tw_value handle) {
    graph_variable *variable = variable_of(handle);
    return variable ? graph_handle(handle.graph, graph_resolve(handle.graph, handle)) : handle;
}

tw_value tw_assign(tw_value handle, tw_value new_value) {
    tw_graph *graph = handle.graph;
    tw_value poison = {graph, 0, 0};
    if (!graph) return poison;
    graph_variable *variable = variable_of(handle);
    if (!variable) {
        graph_error(graph, TW_ERR_ARGUMENT, "tw_assign: its first argument must be a variable");
        return poison;
    }
    uint32_t id = graph_resolve(graph, new_value);
    if (id == ABSENT || graph->status) return poison;
    if (!agrees(graph, variable->spec.path, variable->spec.type, graph->values.at[id].type))
        return poison;
    assignment *slot = VECTOR_PUSH(graph->module->context, &graph->assigns);
    if (!slot) {
        graph_error(graph, TW_ERR_MEMORY, "out of memory at an assign");
        return poison;
    }
    *slot = (assignment){(uint32_t)(variable - graph->variables.at), id};
    variable->current = id;
    if (graph->mode == TW_IMMEDIATE && graph->tapes.count == 0) {
        tw_status status =
            graph->module->context->executor->commit(graph, graph->assigns.count - 1);
        if (status) graph_error(graph, status, "%s", tw_message(graph->module->context));
        graph->assigns.count = 0;
        variable->current = variable->initial; /* which the next use finds left behind */
    }
    return handle;
}

uint32_t graph_current(tw_graph *graph, uint32_t index) {
    graph_variable *variable = &graph->variables.at[index];
    if (graph->mode != TW_IMMEDIATE || variable->current != variable->initial || graph->status)
        return variable->current;
    const value *initial = &graph->values.at[variable->initial];
    if (initial->tape == graph->tape && graph->tapes.count) return variable->current;
    const node *made = &graph->nodes.at[initial->node];
    if (graph->module->context->executor->is_stored(graph, initial->node)) return variable->current;
    uint32_t again = graph_append(graph, made->op, 0, NULL, made->attr);
    if (again == NO_NODE) return ABSENT;
    variable = &graph->variables.at[index];
    variable->initial = variable->current = graph->nodes.at[again].first_result;
    return variable->current;
}

uint32_t graph_final(const tw_graph *graph, uint32_t variable) {
    return graph->variables.at[variable].current;
}

tw_value graph_random_run(tw_graph *graph) {
    tw_type type = {TW_I64, tw_shape_make(0, NULL)};
    tw_init zeros = {0};
    tw_value run = graph_declare(graph, run_path, type, zeros, false);
    if (tw_ok(run)) graph->random_run = graph->values.at[run.id].variable + 1;
    return run;
}

uint64_t graph_draw(tw_graph *graph, const char *scope) {
    uint64_t hash = hash_string(HASH_START, scope);
    for (size_t i = 0; i < graph->draws.count; i++)
        if (graph->draws.at[i].scope == hash) return graph->draws.at[i].count++;
    draw_count *added = VECTOR_PUSH(graph->module->context, &graph->draws);
    if (added)
        *added = (draw_count){hash, 1};
    else
        graph_error(graph, TW_ERR_MEMORY, "out of memory for a random operator");
    return 0;
}

void graph_count_run(tw_graph *graph) {
    if (!graph->random_run || graph->run_counted || graph->status) return;
    graph->run_counted = true;
    graph_variable *variable = &graph->variables.at[graph->random_run - 1];
    tw_value run = graph_handle(graph, variable->reference);
    int64_t one = 1;
    tw_value sum[2] = {run, tw_constant_of(graph, TW_I64, tw_shape_make(0, NULL), &one)};
    node_meta meta = graph->meta;
    graph->meta.phase = PHASE_UPDATE;
    tw_assign(run, tw_apply(graph, "add", 2, sum, NULL, NULL));
    graph->meta = meta;
}
