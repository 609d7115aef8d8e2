/*
 * Nodes computed one by one with the kernels that programs use. Composites without a kernel are
 * evaluated by their body, calls by their function.
 */
#include "eager/evaluate.h"

#include "base/half.h"
#include "ir/dimension.h"
#include "runtime/dispatch.h"
#include "runtime/wide.h"

static tw_context *context_of(const tw_graph *graph) { return graph->module->context; }

static void drop_all(size_t n, tw_tensor **tensors) {
    for (size_t i = 0; i < n; i++) {
        object_drop(tensors[i]);
        tensors[i] = NULL;
    }
}

static tw_type type_of(const tw_graph *graph, const node *it, int result) {
    return graph->values.at[it->first_result + (uint32_t)result].type;
}

/* `depth`: calls and composites around the node. */
static tw_status evaluate_at(int depth, tw_graph *graph, const node *it, tw_tensor *const *in,
                             tw_tensor **out);

/* Every node of a function; value[] holds a tensor for each of its values, the inputs' given. */
static tw_status evaluate_nodes(int depth, tw_graph *function, tw_tensor **value) {
    for (size_t i = 0; i < function->nodes.count; i++) {
        const node *it = &function->nodes.at[i];
        tw_tensor *in[32] = {NULL};
        if (node_is(it, "input")) continue;
        for (int k = 0; k < it->n_operands; k++)
            if (it->operand[k] != ABSENT) in[k] = value[it->operand[k]];
        tw_status status = evaluate_at(depth, function, it, in, &value[it->first_result]);
        if (status) return status;
    }
    return TW_OK;
}

static tw_status evaluate_function(int depth, tw_graph *function, int n_in, tw_tensor *const *in,
                                   int n_out, tw_tensor **out) {
    tw_context *context = context_of(function);
    if (depth >= CALL_DEPTH)
        return context_error(context, TW_ERR_UNSUPPORTED, "functions nest deeper than %d calls",
                             CALL_DEPTH);
    size_t n = function->values.count, next = 0;
    tw_tensor **value = context_allocate(context, n, sizeof *value);
    if (!value) return TW_ERR_MEMORY;
    for (int i = 0; i < n_in && next < function->inputs.count; i++)
        if (in[i]) value[function->inputs.at[next++]] = object_hold(in[i]);
    tw_status status = evaluate_nodes(depth + 1, function, value);
    for (int i = 0; !status && i < n_out; i++) out[i] = object_hold(value[function->outputs.at[i]]);
    drop_all(n, value);
    context_release(context, value);
    return status;
}

static tw_status evaluate_body(int depth, const tw_graph *graph, const node *it,
                               const tw_attr *attr, tw_tensor *const *in, tw_tensor **out) {
    tw_context *context = context_of(graph);
    tw_graph *scratch =
        tw_graph_new(context, NULL, TW_SYMBOLIC, &(tw_graph_opts){.training = graph->training});
    if (!scratch) return TW_ERR_MEMORY;
    tw_type types[32] = {{0}};
    bool absent[32] = {false};
    for (int i = 0; i < it->n_operands; i++) {
        absent[i] = !in[i];
        if (in[i]) types[i] = in[i]->type;
    }
    tw_graph *body = graph_body(scratch, it->op, it->n_operands, types, absent, attr);
    tw_status status = body ? evaluate_function(depth, body, it->n_operands, in, it->n_results, out)
                            : scratch->status;
    tw_graph_free(scratch);
    return status;
}

/* As evaluate_body; one with f16 or bf16 operands computes in f32 and rounds its results. */
static tw_status evaluate_composite(int depth, const tw_graph *graph, const node *it,
                                    tw_tensor *const *in, tw_tensor **out) {
    bool wide = false;
    for (int i = 0; i < it->n_operands; i++) wide |= in[i] && dtype_half(in[i]->type.dtype);
    if (!wide) return evaluate_body(depth, graph, it, it->attr, in, out);
    tw_tensor *from[32] = {NULL}, *to[TW_MAX_RESULTS] = {NULL};
    tw_attr attr[32] = {{0}};
    int attrs = operator_attr_count(it->op);
    if (attrs > 32) return TW_ERR_UNSUPPORTED;
    for (int i = 0; i < attrs; i++) attr[i] = it->attr[i];
    wide_attributes(it->op, TW_F32, attr);
    tw_status status = TW_OK;
    for (int i = 0; i < it->n_operands && !status; i++) {
        if (!in[i]) continue;
        bool half = dtype_half(in[i]->type.dtype);
        from[i] = half ? wide_tensor(in[i], TW_F32) : object_hold(in[i]);
        if (!from[i]) status = TW_ERR_MEMORY;
    }
    if (!status) status = evaluate_body(depth, graph, it, attr, from, to);
    for (int i = 0; i < it->n_results && !status; i++) {
        tw_dtype dtype = type_of(graph, it, i).dtype;
        out[i] = dtype_half(dtype) ? wide_tensor(to[i], dtype) : object_hold(to[i]);
        if (!out[i]) status = TW_ERR_MEMORY;
    }
    drop_all((size_t)it->n_operands, from);
    drop_all((size_t)it->n_results, to);
    return status;
}

static tw_status evaluate_kernel(const tw_graph *graph, const node *it, tw_tensor *const *in,
                                 tw_tensor **out) {
    tw_context *context = context_of(graph);
    tw_type operand[32] = {{0}}, result[TW_MAX_RESULTS];
    const void *from[32] = {NULL};
    void *to[TW_MAX_RESULTS] = {NULL};
    for (int i = 0; i < it->n_operands; i++) {
        if (!in[i]) continue;
        operand[i] = in[i]->type;
        from[i] = in[i]->data;
    }
    tw_status status = TW_OK;
    for (int i = 0; i < it->n_results && !status; i++) {
        result[i] = type_of(graph, it, i);
        out[i] = tensor_new(context, result[i]);
        if (out[i])
            to[i] = out[i]->data;
        else
            status = context->status;
    }
    tw_signature signature = {context, it->op, it->n_operands, it->n_results,
                              operand, result, it->attr};
    if (!status) status = dispatch_run(&(tw_kernel_call){signature, from, to, NULL}, false);
    if (status) drop_all((size_t)it->n_results, out);
    return status;
}

static tw_status one(const tw_graph *graph, tw_tensor *made, tw_tensor **out) {
    *out = made;
    return made ? TW_OK : context_of(graph)->status;
}

static const tw_attr *attr_named(const node *it, const char *name) {
    for (int i = 0; it->op->attributes && it->op->attributes[i].name; i++)
        if (!strcmp(it->op->attributes[i].name, name)) return &it->attr[i];
    return NULL;
}

static tw_status evaluate_constant(const tw_graph *graph, const node *it, tw_tensor **out) {
    const tw_attr *data = attr_named(it, "data");
    tw_status status = one(graph, tensor_new(context_of(graph), type_of(graph, it, 0)), out);
    if (!status && data && data->bytes) memcpy((*out)->data, data->data, data->bytes);
    return status;
}

static tw_status evaluate_at(int depth, tw_graph *graph, const node *it, tw_tensor *const *in,
                             tw_tensor **out) {
    const char *name = it->op->name;
    for (int i = 0; i < it->n_results; i++) out[i] = NULL;
    if (!strcmp(name, "constant")) return evaluate_constant(graph, it, out);
    if (!strcmp(name, "stop_gradient")) return one(graph, object_hold(in[0]), out);
    if (!strcmp(name, "reshape"))
        return one(graph, tensor_alias(in[0], type_of(graph, it, 0)), out);
    if (operator_calls(it->op))
        return evaluate_function(depth, attr_named(it, "function")->function, it->n_operands, in,
                                 it->n_results, out);
    if (it->op->meaning == TW_MEANS_BODY && !dispatch_has(it->op, false))
        return evaluate_composite(depth, graph, it, in, out);
    return evaluate_kernel(graph, it, in, out);
}

tw_status evaluate_node(tw_graph *graph, const node *it, tw_tensor *const *in, tw_tensor **out) {
    return evaluate_at(0, graph, it, in, out);
}
