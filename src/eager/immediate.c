/* The executor of immediate graphs, and the functions that read values. */
#include "eager/immediate.h"

#include <math.h>
#include <stdio.h>

#include "eager/evaluate.h"
#include "ir/dimension.h"
#include "ops/print.h"
#include "runtime/check.h"
#include "runtime/store.h"

/* The store's present value of the variable whose node is appended. */
static tw_status read_variable(tw_graph *graph, const node *it, tw_tensor **out) {
    tw_context *context = graph->module->context;
    if (!graph->store)
        return context_error(context, TW_ERR_NULL,
                             "the graph has variables, so tw_graph_new needs a store");
    variable_table *table = graph->table;
    int i = graph->declaring ? variable_declare(table, graph->declaring)
                             : variable_find(table, it->attr[0].string);
    tw_tensor *found = i < 0 ? NULL : store_value(graph->store, i);
    *out = object_hold(found);
    return found ? TW_OK : context->status;
}

/* Check mode: a variable is data from outside, every other node a call. */
static tw_status check_node(tw_graph *graph, const node *it, tw_tensor *const *in,
                            tw_tensor *const *out) {
    tw_context *context = graph->module->context;
    if (node_is(it, "variable"))
        return check_data(context, "variable", it->attr[0].string, out[0]->type, out[0]->data);
    tw_type operand[TW_MAX_OPERANDS] = {{0}}, result[TW_MAX_RESULTS];
    const void *from[TW_MAX_OPERANDS] = {NULL};
    void *to[TW_MAX_RESULTS];
    for (int i = 0; i < it->n_operands; i++) {
        if (!in[i]) continue;
        operand[i] = in[i]->type;
        from[i] = in[i]->data;
    }
    for (int i = 0; i < it->n_results; i++) {
        result[i] = out[i]->type;
        to[i] = out[i]->data;
    }
    tw_signature signature = {context, it->op, it->n_operands, it->n_results,
                              operand, result, it->attr};
    return check_call(&(tw_kernel_call){signature, from, to, NULL}, it->meta.scope,
                      it->meta.source);
}

static tw_status compute(tw_graph *graph, uint32_t index) {
    const node *it = &graph->nodes.at[index];
    tw_tensor *in[32] = {NULL}, *out[TW_MAX_RESULTS] = {NULL};
    for (int i = 0; i < it->n_operands; i++) {
        if (it->operand[i] == ABSENT) continue;
        in[i] = graph->values.at[it->operand[i]].tensor;
        if (!in[i])
            return context_error(graph->module->context, TW_ERR_STALE, "operand %d has no elements",
                                 i);
    }
    tw_status status = strcmp(it->op->name, "variable") ? evaluate_node(graph, it, in, out)
                                                        : read_variable(graph, it, out);
    if (!status && graph->check) status = check_node(graph, it, in, out);
    for (int i = 0; i < it->n_results && status; i++) object_drop(out[i]);
    for (int i = 0; i < it->n_results && !status; i++)
        graph->values.at[it->first_result + (uint32_t)i].tensor = out[i];
    return status;
}

static tw_status read_value(tw_graph *graph, uint32_t id, void *destination, size_t bytes) {
    tw_tensor *tensor = graph->values.at[id].tensor;
    if (tensor) return tw_tensor_get(tensor, destination, bytes);
    return context_error(graph->module->context, TW_ERR_STALE, "the value has no elements");
}

static void drop(void *tensor) { object_drop(tensor); }

static void *hold(void *tensor) { return object_hold(tensor); }

/* Whether a later assign of the tape binds the same variable. */
static bool is_overtaken(const tw_graph *graph, size_t i) {
    for (size_t k = i + 1; k < graph->assigns.count; k++)
        if (graph->assigns.at[k].variable == graph->assigns.at[i].variable) return true;
    return false;
}

/* Tensors of the store's own kind for every last assign, and room for them; then all at once. */
static tw_status commit(tw_graph *graph, size_t from) {
    tw_context *context = graph->module->context;
    size_t n = graph->assigns.count - from;
    if (!n) return TW_OK;
    tw_tensor **ready = context_allocate(context, n, sizeof *ready);
    int *variable = context_allocate(context, n, sizeof *variable);
    tw_status status = ready && variable ? TW_OK : TW_ERR_MEMORY;
    for (size_t i = 0; !status && i < n; i++) {
        const assignment *it = &graph->assigns.at[from + i];
        if (is_overtaken(graph, from + i)) continue;
        tw_tensor *made = graph->values.at[it->value].tensor;
        variable[i] = variable_find(graph->table, graph->variables.at[it->variable].spec.path);
        if (!made || variable[i] < 0 || !store_value(graph->store, variable[i]))
            status = context_error(context, TW_ERR_STALE, "an assigned value is gone");
        else if (!(ready[i] = made->owned ? object_hold(made) : tensor_copy(made)))
            status = TW_ERR_MEMORY;
    }
    if (!status && graph->store->busy)
        status = context_error(context, TW_ERR_BUSY, "the store is in use by a run that assigns");
    for (size_t i = 0; ready && i < n; i++) {
        if (!status && ready[i]) store_rebind(graph->store, variable[i], ready[i]);
        object_drop(ready[i]);
    }
    context_release(context, ready);
    context_release(context, variable);
    return status;
}

static bool is_stored(tw_graph *graph, uint32_t index) {
    const node *it = &graph->nodes.at[index];
    int i = variable_find(graph->table, it->attr[0].string);
    return i >= 0 && store_value(graph->store, i) == graph->values.at[it->first_result].tensor;
}

const executor immediate_executor = {compute, read_value, drop, hold, commit, is_stored};

/* The tensor behind a handle; NULL with the context's error. */
static tw_tensor *tensor_of(tw_value handle, const char *function) {
    tw_graph *graph = handle.graph;
    if (!graph) return NULL;
    tw_context *context = graph->module->context;
    uint32_t id = graph_resolve(graph, handle);
    if (id != ABSENT && graph->mode == TW_SYMBOLIC) {
        graph_error(graph, TW_ERR_UNSUPPORTED,
                    "%s: a value has no elements while a model is traced; give it out and run it",
                    function);
        return NULL;
    }
    tw_tensor *tensor = id == ABSENT ? NULL : graph->values.at[id].tensor;
    if (tensor) return tensor;
    if (graph->status)
        context_error(context, graph->status, "%s", graph->message);
    else
        context_error(context, TW_ERR_STALE, "%s: the value is poisoned or stale", function);
    return NULL;
}

tw_status tw_read(tw_value value, void *destination, size_t bytes) {
    tw_tensor *tensor = tensor_of(value, "tw_read");
    if (tensor) return tw_tensor_get(tensor, destination, bytes);
    return value.graph ? value.graph->module->context->status : TW_ERR_NULL;
}

double tw_item(tw_value value) {
    tw_tensor *tensor = tensor_of(value, "tw_item");
    return tensor ? tw_tensor_item(tensor) : NAN;
}

void tw_print(tw_value value) {
    tw_graph *graph = value.graph;
    if (!graph) {
        puts("absent");
        return;
    }
    const char *path = tw_path(value);
    char label[256];
    if (path)
        snprintf(label, sizeof label, "\"%s\"", path);
    else
        snprintf(label, sizeof label, "%%%u", value.id);
    if (tw_ok(value) && graph->mode == TW_SYMBOLIC) {
        print_append(value, label);
        return;
    }
    text line = {.context = graph->module->context};
    if (tw_ok(value)) {
        tw_tensor *tensor = tensor_of(value, "tw_print");
        print_line(line.context, label, tw_type_of(value), tensor ? tensor->data : NULL, &line);
    } else {
        text_add(&line, "%s poisoned or stale: %s", label, graph->message);
    }
    puts(line.failed ? "out of memory" : line.at);
    text_drop(&line);
}
