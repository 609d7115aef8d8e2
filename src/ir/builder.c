/* Appending nodes: the one place where types are inferred, metadata inherited, errors dressed. */
#include <limits.h>
#include <stdio.h>

#include "base/text.h"
#include "ir/dimension.h"
#include "ir/graph.h"

tw_status tw_refuse(const tw_signature *signature, tw_status status, const char *format, ...) {
    va_list list;
    va_start(list, format);
    context_error_v(signature->context, status, format, list);
    va_end(list);
    return status;
}

/* "dot(f32[2,3], f32[4,5]) in scope "fc1": why". */
static void report(tw_graph *graph, const tw_operator *op, int n, const tw_type *operand,
                   tw_status status) {
    tw_context *context = graph->module->context;
    text call = {.context = context};
    text_add(&call, "%s(", op->name);
    for (int i = 0; i < n; i++) {
        if (i) text_add(&call, ", ");
        if (operand[i].dtype)
            type_print(context, operand[i], &call);
        else
            text_add(&call, "_");
    }
    text_add(&call, ")");
    const char *scope = graph_scope(graph);
    if (*scope) text_add(&call, " in scope \"%s\"", scope);
    if (graph->meta.source) text_add(&call, " at %s", graph->meta.source);
    if (call.failed)
        graph_error(graph, TW_ERR_MEMORY, "%s: out of memory", op->name);
    else
        graph_error(graph, status, "%s: %s", call.at, tw_message(context));
    text_drop(&call);
}

/* Refuses a result that no value can have. */
static tw_status check_result(const tw_signature *signature, int i) {
    tw_context *context = signature->context;
    const tw_type *type = &signature->result[i];
    if (!tw_dtype_size(type->dtype))
        return tw_refuse(signature, TW_ERR_TYPE, "result %d: %d names no element type", i,
                         (int)type->dtype);
    if (type->shape.rank < 0 || type->shape.rank > TW_MAX_RANK)
        return tw_refuse(signature, TW_ERR_SHAPE, "result %d has rank %d, expected 0 to %d", i,
                         (int)type->shape.rank, TW_MAX_RANK);
    for (int axis = 0; axis < type->shape.rank; axis++)
        if (!dimension_exists(context, type->shape.dim[axis]))
            return tw_refuse(signature, TW_ERR_SHAPE,
                             "result %d: axis %d has extent %lld, expected 0 or more, or an extent "
                             "of tw_symbol",
                             i, axis, (long long)type->shape.dim[axis]);
    if (shape_known(type->shape) && shape_elements(type->shape) < 0)
        return tw_refuse(signature, TW_ERR_SHAPE, "result %d has more elements than 63 bits count",
                         i);
    return TW_OK;
}

/* A composite's result types are those of its body, which is built for that and dropped. */
static tw_status infer_by_body(tw_graph *graph, tw_signature *signature) {
    module *module = graph->module;
    size_t functions = module->functions.count;
    arena_mark mark = arena_save(&module->arena);
    bool absent[TW_MAX_OPERANDS];
    for (int i = 0; i < signature->n_operands; i++) absent[i] = signature->operand[i].dtype == 0;
    tw_graph *body = graph_body(graph, signature->op, signature->n_operands, signature->operand,
                                absent, signature->attr);
    for (int i = 0; body && i < signature->n_results; i++)
        signature->result[i] = body->values.at[body->outputs.at[i]].type;
    graph_drop_functions(graph, functions);
    arena_restore(&module->arena, mark);
    return body ? TW_OK : (graph->status ? graph->status : TW_ERR_SHAPE);
}

static tw_status infer(tw_graph *graph, tw_signature *signature) {
    if (!signature->op->infer) return infer_by_body(graph, signature);
    tw_status status = signature->op->infer(signature);
    for (int i = 0; !status && i < signature->n_results; i++) status = check_result(signature, i);
    if (status) report(graph, signature->op, signature->n_operands, signature->operand, status);
    return status;
}

/* Types of operands and, yet to be inferred, of results. They last as long as their call: values have them. */
typedef struct signature_types {
    tw_type operand[TW_MAX_OPERANDS], result[TW_MAX_RESULTS];
} signature_types;

/* Operand types, and attributes in the arena; false when memory is out. */
static bool fill_signature(tw_graph *graph, const tw_operator *op, int n, const uint32_t *operand,
                           const tw_attr *attr, int results, signature_types *types,
                           tw_signature *out) {
    arena *arena = &graph->module->arena;
    tw_context *context = graph->module->context;
    int attrs = operator_attr_count(op);
    tw_attr *copy = arena_allocate(arena, (size_t)attrs, sizeof *copy);
    /* infer of `call` says how many results there are */
    memset(types->result, 0, sizeof types->result);
    if (!copy) {
        graph_error(graph, TW_ERR_MEMORY, "%s: out of memory", op->name);
        return false;
    }
    for (int i = 0; i < n; i++)
        types->operand[i] = operand[i] == ABSENT ? (tw_type){0} : graph->values.at[operand[i]].type;
    if (attr && attrs) {
        memcpy(copy, attr, sizeof *copy * (size_t)attrs);
    } else if (attrs) {
        tw_status status = operator_defaults(context, op, copy);
        if (status) {
            report(graph, op, n, types->operand, status);
            return false;
        }
    }
    *out = (tw_signature){.context = context,
                          .op = op,
                          .n_operands = n,
                          .n_results = results,
                          .operand = types->operand,
                          .result = types->result,
                          .attr = copy};
    return true;
}

/* Strings and data of attributes live in the module. */
static bool own_attrs(tw_graph *graph, const tw_operator *op, tw_attr *attr) {
    arena *arena = &graph->module->arena;
    for (int i = 0; i < operator_attr_count(op); i++) {
        tw_attr_kind kind = op->attributes[i].kind;
        if (kind == TW_ATTR_STRING && attr[i].string) {
            attr[i].string = arena_copy_string(arena, attr[i].string);
            if (!attr[i].string) return false;
        }
        if (kind == TW_ATTR_DATA && attr[i].data) {
            void *copy = arena_allocate(arena, attr[i].bytes, 1);
            if (!copy) return false;
            memcpy(copy, attr[i].data, attr[i].bytes);
            attr[i].data = copy;
        }
    }
    return true;
}

/* own: the attributes' strings and data are not the module's yet. */
static uint32_t push_node(tw_graph *graph, const tw_signature *signature, const uint32_t *operand,
                          bool own) {
    tw_context *context = graph->module->context;
    int n = signature->n_operands;
    uint32_t *copy = arena_allocate(&graph->module->arena, (size_t)n, sizeof *copy);
    if (graph->values.count >= UINT32_MAX - TW_MAX_RESULTS || !copy ||
        (own && !own_attrs(graph, signature->op, (tw_attr *)signature->attr)))
        return NO_NODE;
    if (n) memcpy(copy, operand, sizeof *copy * (size_t)n);
    size_t first = graph->values.count;
    uint32_t index = (uint32_t)graph->nodes.count;
    for (int i = 0; i < signature->n_results; i++) {
        value *result = VECTOR_PUSH(context, &graph->values);
        if (!result) {
            graph->values.count = first;
            return NO_NODE;
        }
        *result = (value){.kind = VALUE_RESULT,
                          .type = signature->result[i],
                          .node = index,
                          .result = (uint32_t)i,
                          .tape = graph->tape};
    }
    node *made = VECTOR_PUSH(context, &graph->nodes);
    if (!made) {
        graph->values.count = first;
        return NO_NODE;
    }
    *made = (node){.op = signature->op,
                   .n_operands = n,
                   .n_results = signature->n_results,
                   .operand = copy,
                   .first_result = (uint32_t)first,
                   .attr = (tw_attr *)signature->attr,
                   .meta = graph->meta};
    made->meta.scope = graph_scope(graph);
    return index;
}

uint32_t graph_append(tw_graph *graph, const tw_operator *op, int n, const uint32_t *operand,
                      const tw_attr *attr) {
    if (graph->status) return NO_NODE;
    int least, most, results;
    operator_arity(op, &least, &most, &results);
    if (n < least || n > most || n > TW_MAX_OPERANDS || results > TW_MAX_RESULTS) {
        graph_error(graph, TW_ERR_ARGUMENT, "%s: %d operands given, %d to %d expected (%s)",
                    op->name, n, least, most < TW_MAX_OPERANDS ? most : TW_MAX_OPERANDS,
                    op->operands);
        return NO_NODE;
    }
    tw_signature signature;
    signature_types types;
    if (!fill_signature(graph, op, n, operand, attr, results, &types, &signature)) return NO_NODE;
    if (infer(graph, &signature)) return NO_NODE;
    uint32_t index = push_node(graph, &signature, operand, true);
    if (index == NO_NODE) {
        graph_error(graph, TW_ERR_MEMORY, "%s: out of memory", op->name);
        return NO_NODE;
    }
    if (graph->mode == TW_IMMEDIATE && strcmp(op->name, "input")) {
        tw_status status = graph->module->context->executor->compute(graph, index);
        if (status) {
            report(graph, op, n, signature.operand, status);
            return NO_NODE;
        }
    }
    return index;
}

uint32_t graph_copy(tw_graph *graph, const tw_graph *from, const node *it,
                    const uint32_t *operand) {
    tw_type result[TW_MAX_RESULTS];
    for (int i = 0; i < it->n_results; i++)
        result[i] = from->values.at[it->first_result + (uint32_t)i].type;
    tw_signature signature = {.context = graph->module->context,
                              .op = it->op,
                              .n_operands = it->n_operands,
                              .n_results = it->n_results,
                              .result = result,
                              .attr = it->attr};
    uint32_t index = push_node(graph, &signature, operand, false);
    if (index == NO_NODE) graph_error(graph, TW_ERR_MEMORY, "%s: out of memory", it->op->name);
    return index;
}

/* An operand's name in the entry ends with ? when it may be left out. */
static bool is_optional(const tw_operator *op, int i) {
    const char *at = op->operands;
    for (int k = 0; *at; k++) {
        size_t length = strcspn(at, " ");
        if (k == i) return length && at[length - 1] == '?';
        at += length;
        at += strspn(at, " ");
    }
    return false;
}

tw_value tw_apply(tw_graph *graph, const char *name, int n, const tw_value *operands,
                  const tw_attr *attr, tw_value *results) {
    tw_value poison = {graph, 0, 0};
    if (results) results[0] = poison;
    if (!graph) return poison;
    const tw_operator *op = tw_operator_find(graph->module->context, name);
    if (!op) {
        graph_error(graph, TW_ERR_NOT_FOUND, "there is no operator \"%s\"; tw_register adds one",
                    name ? name : "(null)");
        return poison;
    }
    int least, most, count;
    operator_arity(op, &least, &most, &count);
    for (int i = 0; results && i < count; i++) results[i] = poison;
    if (graph->status) return poison;
    uint32_t id[TW_MAX_OPERANDS];
    if (n < 0 || n > TW_MAX_OPERANDS || (n && !operands)) {
        graph_error(graph, TW_ERR_ARGUMENT, "%s: %d operands%s; at most %d are served", name, n,
                    n > 0 && !operands ? " at a NULL pointer" : "", TW_MAX_OPERANDS);
        return poison;
    }
    for (int i = 0; i < n; i++) {
        bool left_out = !operands[i].graph && is_optional(op, i);
        id[i] = left_out ? ABSENT : graph_resolve(graph, operands[i]);
        if (id[i] == ABSENT && !left_out) return poison;
    }
    uint32_t made = graph_append(graph, op, n, id, attr);
    if (made == NO_NODE) return poison;
    uint32_t first = graph->nodes.at[made].first_result;
    for (int i = 0; results && i < graph->nodes.at[made].n_results; i++)
        results[i] = graph_handle(graph, first + (uint32_t)i);
    return graph_handle(graph, first);
}

tw_value tw_input(tw_graph *graph, const char *name, tw_dtype dtype, tw_shape shape) {
    tw_attr attr[3] = {
        {.string = name ? name : ""}, {.i = dtype}, {.list = shape, .i = shape.rank}};
    if (graph && graph->mode == TW_IMMEDIATE && graph->status == TW_OK)
        graph_error(graph, TW_ERR_ARGUMENT,
                    "input \"%s\" in an immediate graph: give data by tw_constant", attr[0].string);
    tw_value made = tw_apply(graph, "input", 0, NULL, attr, NULL);
    if (!tw_ok(made)) return made;
    uint32_t *slot = VECTOR_PUSH(graph->module->context, &graph->inputs);
    if (slot)
        *slot = made.id;
    else
        graph_error(graph, TW_ERR_MEMORY, "out of memory for input \"%s\"", attr[0].string);
    return made;
}

uint32_t graph_leaf(tw_graph *graph, tw_type type, void *tensor) {
    tw_attr attr[3] = {
        {.string = ""}, {.i = type.dtype}, {.list = type.shape, .i = type.shape.rank}};
    tw_value made = tw_apply(graph, "input", 0, NULL, attr, NULL);
    if (!tw_ok(made)) {
        graph->module->context->executor->drop(tensor);
        return ABSENT;
    }
    graph->values.at[made.id].tensor = tensor;
    return made.id;
}

tw_value tw_constant_of(tw_graph *graph, tw_dtype dtype, tw_shape shape, const void *data) {
    tw_value poison = {graph, 0, 0};
    if (!graph) return poison;
    int64_t elements = shape_known(shape) ? shape_elements(shape) : -1;
    if (!data || elements < 0 || !tw_dtype_size(dtype)) {
        graph_error(graph, TW_ERR_ARGUMENT,
                    "tw_constant_of: data, a type and a shape of known extents are needed");
        return poison;
    }
    tw_attr attr[3] = {{.i = dtype},
                       {.list = shape, .i = shape.rank},
                       {.data = data, .bytes = (size_t)elements * tw_dtype_size(dtype)}};
    return tw_apply(graph, "constant", 0, NULL, attr, NULL);
}

tw_value tw_full(tw_graph *graph, tw_dtype dtype, tw_shape shape, double number) {
    tw_attr attr[3] = {{.i = dtype}, {.list = shape, .i = shape.rank}, {.f = number}};
    return tw_apply(graph, "splat", 0, NULL, attr, NULL);
}

tw_value tw_zeros(tw_graph *graph, tw_dtype dtype, tw_shape shape) {
    return tw_full(graph, dtype, shape, 0);
}

tw_value tw_literal(tw_value like, double number) {
    tw_value poison = {like.graph, 0, 0};
    if (!tw_ok(like)) return poison;
    tw_type type = tw_type_of(like);
    return tw_full(like.graph, type.dtype, type.shape, number);
}
