/*
 * From a graph to instructions: nodes that outputs and assigns need, calls and composites without
 * a kernel expanded, reshapes as aliases. The reference form computes f32 as f64.
 */
#include "base/half.h"
#include "codegen/overrides.h"
#include "ir/dimension.h"
#include "runtime/code.h"
#include "runtime/dispatch.h"
#include "runtime/scalar.h"
#include "runtime/tensor.h"
#include "runtime/wide.h"

/* Where a node stands. */
typedef struct place {
    const char *scope, *source;
    bool beside; /* the node before */
} place;

typedef struct lowering {
    tw_context *context;
    struct code *code;
    tw_graph *scratch;              /* where bodies of composites are built */
    VECTOR(generated_source) fused; /* functions of fused nodes, and their kernels */
    generated **kernels;
    bool reference;
    int depth;   /* calls and composites that are being expanded */
    place outer; /* of the composite or call that is being expanded; scope NULL at the top */
} lowering;

static tw_status no_memory(const lowering *l) {
    return context_error(l->context, TW_ERR_MEMORY, "out of memory while compiling");
}

/* ABSENT when memory is out. */
static uint32_t push_slot(lowering *l, slot_kind kind, tw_type type, uint32_t of) {
    struct slot *made = VECTOR_PUSH(l->context, &l->code->slots);
    if (!made) return ABSENT;
    made->kind = kind;
    made->type = type;
    made->of = of;
    return (uint32_t)l->code->slots.count - 1;
}

/* The element type that a value has in this code. */
static tw_dtype dtype_in(const lowering *l, tw_dtype dtype) {
    return l->reference && dtype == TW_F32 ? TW_F64 : dtype;
}

/* The attributes in the code's own memory. */
static tw_attr *own_attrs(lowering *l, const tw_operator *op, const tw_attr *attr) {
    int count = operator_attr_count(op);
    tw_attr *copy = arena_allocate(&l->code->arena, (size_t)count + 1, sizeof *copy);
    for (int i = 0; copy && i < count; i++) {
        copy[i] = attr[i];
        tw_attr_kind kind = op->attributes[i].kind;
        if (kind == TW_ATTR_DTYPE) copy[i].i = dtype_in(l, (tw_dtype)attr[i].i);
        if (kind == TW_ATTR_STRING && attr[i].string) {
            copy[i].string = arena_copy_string(&l->code->arena, attr[i].string);
            if (!copy[i].string) return NULL;
        }
        if (kind == TW_ATTR_DATA && attr[i].bytes) {
            void *data = arena_allocate(&l->code->arena, attr[i].bytes, 1);
            if (!data) return NULL;
            copy[i].data = memcpy(data, attr[i].data, attr[i].bytes);
        }
    }
    return copy;
}

static bool attrs_symbolic(const tw_operator *op, const tw_attr *attr) {
    for (int i = 0; op->attributes && op->attributes[i].name; i++)
        if (op->attributes[i].kind == TW_ATTR_DIMS && !shape_known(attr[i].list)) return true;
    return false;
}

/* Result types in f64, which the graph does not know. */
static tw_status infer_again(lowering *l, const instruction *made, tw_type *result) {
    tw_type operand[TW_MAX_OPERANDS] = {{0}};
    for (int i = 0; i < made->n_operands; i++)
        if (made->operand[i] != ABSENT) operand[i] = l->code->slots.at[made->operand[i]].type;
    tw_signature signature = {l->context, made->op, made->n_operands, made->n_results,
                              operand,    result,   made->attr};
    return made->op->infer(&signature);
}

/* Appends an instruction; result[] holds the graph's types. Gives the first result's slot. */
static tw_status emit(lowering *l, const tw_operator *op, int n, const uint32_t *operand,
                      const tw_attr *attr, int n_results, const tw_type *result, place at,
                      uint32_t *first) {
    tw_type types[TW_MAX_RESULTS];
    memcpy(types, result, (size_t)n_results * sizeof *types);
    instruction made = {.op = op, .n_operands = n, .n_results = n_results};
    made.attr = own_attrs(l, op, attr);
    made.operand = arena_allocate(&l->code->arena, (size_t)n + 1, sizeof *made.operand);
    made.scope = arena_copy_string(&l->code->arena, at.scope ? at.scope : "");
    made.beside = at.beside;
    made.source = at.source ? arena_copy_string(&l->code->arena, at.source) : NULL;
    if (!made.attr || !made.operand || !made.scope || (at.source && !made.source))
        return no_memory(l);
    if (n) memcpy(made.operand, operand, (size_t)n * sizeof *operand);
    made.symbolic = attrs_symbolic(op, made.attr);
    made.scalar = op->meaning == TW_MEANS_SCALAR && (l->code->plain || !override_find(op->name));
    if (l->reference) {
        tw_status status = infer_again(l, &made, types);
        if (status) return status;
    }
    made.result = (uint32_t)l->code->slots.count;
    for (int i = 0; i < n_results; i++)
        if (push_slot(l, SLOT_TRANSIENT, types[i], 0) == ABSENT) return no_memory(l);
    instruction *added = VECTOR_PUSH(l->context, &l->code->instructions);
    if (!added) return no_memory(l);
    *added = made;
    *first = made.result;
    return TW_OK;
}

/* Which operands of a node are variables that the graph assigns. */
static uint64_t updated_operands(const tw_graph *graph, const node *it) {
    uint64_t updated = 0;
    for (uint32_t i = 0; i < graph->variables.count; i++) {
        uint32_t initial = graph->variables.at[i].initial;
        if (graph_final(graph, i) == initial) continue;
        for (int k = 0; k < it->n_operands; k++)
            if (it->operand[k] == initial) updated |= (uint64_t)1 << k;
    }
    return updated;
}

/* The functions of the graph's fused nodes, and their machine code all at once. */
static tw_status lower_kernels(lowering *l, const tw_graph *graph, const uint8_t *live) {
    for (size_t i = 0; i < graph->nodes.count; i++) {
        if (!live[i] || !node_is(&graph->nodes.at[i], "fused")) continue;
        const node *it = &graph->nodes.at[i];
        generated_source *added = VECTOR_PUSH(l->context, &l->fused);
        if (!added) return no_memory(l);
        *added = (generated_source){it->attr[0].function, updated_operands(graph, it)};
    }
    if (!l->fused.count || l->code->plain || l->reference) return TW_OK;
    l->kernels = context_allocate(l->context, l->fused.count, sizeof *l->kernels);
    if (!l->kernels) return no_memory(l);
    return generated_make(l->context, (int)l->fused.count, l->fused.at, &l->code->arena,
                          l->kernels);
}

static const generated *kernel_of(const lowering *l, const tw_graph *function) {
    for (size_t i = 0; l->kernels && i < l->fused.count; i++)
        if (l->fused.at[i].function == function) return l->kernels[i];
    return NULL;
}

/* The slot as that element type, by a cast where it has another one. */
static tw_status convert(lowering *l, tw_dtype dtype, uint32_t *slot) {
    tw_type type = l->code->slots.at[*slot].type;
    if (type.dtype == dtype) return TW_OK;
    const tw_operator *cast = tw_operator_find(l->context, "cast");
    tw_attr attr = tw_attr_int(dtype);
    type.dtype = dtype;
    if (!cast) return context_error(l->context, TW_ERR_NOT_FOUND, "operator cast is missing");
    bool reference = l->reference;
    l->reference = false; /* the very type that is asked for */
    tw_status status = emit(l, cast, 1, slot, &attr, 1, &type, (place){0}, slot);
    l->reference = reference;
    return status;
}

static tw_status lower_variable(lowering *l, const node *it, tw_type type, uint32_t *result) {
    const char *path = it->attr[0].string;
    for (size_t i = 0; i < l->code->variables.count; i++) {
        code_variable *known = &l->code->variables.at[i];
        if (strcmp(known->spec.path, path)) continue;
        if (known->slot == ABSENT) known->slot = push_slot(l, SLOT_VARIABLE, type, (uint32_t)i);
        if (known->slot == ABSENT) return no_memory(l);
        *result = known->slot;
        return convert(l, dtype_in(l, type.dtype), result);
    }
    return context_error(l->context, TW_ERR_NOT_FOUND, "variable \"%s\" was never declared", path);
}

static tw_status lower_constant(lowering *l, const node *it, tw_type type, uint32_t *result) {
    tw_attr *attr = own_attrs(l, it->op, it->attr);
    uint32_t slot = push_slot(l, SLOT_CONSTANT, type, 0);
    if (!attr || slot == ABSENT) return no_memory(l);
    const tw_attr *data = code_attr(it->op, attr, "data");
    l->code->slots.at[slot].data = data ? data->data : NULL;
    *result = slot;
    return convert(l, dtype_in(l, type.dtype), result);
}

static tw_status lower_graph(lowering *l, const tw_graph *graph, const uint8_t *live,
                             uint32_t *map);

/* A traced function's nodes have a place of their own, a composite's body has not. */
static place place_of(const lowering *l, const node *it) {
    bool own = *it->meta.scope || !l->outer.scope;
    return (place){own ? it->meta.scope : l->outer.scope,
                   it->meta.source ? it->meta.source : l->outer.source, it->meta.beside != 0};
}

/* A function's nodes in place of the node that names it. */
static tw_status lower_callee(lowering *l, const tw_graph *callee, const node *it,
                              const uint32_t *operand, uint32_t *result) {
    if (l->depth >= CALL_DEPTH)
        return context_error(l->context, TW_ERR_UNSUPPORTED,
                             "tw_compile: functions nest deeper than %d calls", CALL_DEPTH);
    uint32_t *map = context_allocate(l->context, callee->values.count, sizeof *map);
    if (!map) return no_memory(l);
    place outer = l->outer;
    l->outer = place_of(l, it);
    size_t next = 0;
    for (int i = 0; i < it->n_operands && next < callee->inputs.count; i++)
        if (operand[i] != ABSENT) map[callee->inputs.at[next++]] = operand[i];
    l->depth++;
    tw_status status = lower_graph(l, callee, NULL, map);
    l->depth--;
    for (int i = 0; !status && i < it->n_results; i++) result[i] = map[callee->outputs.at[i]];
    l->outer = outer;
    context_release(l->context, map);
    return status;
}

/* The operands of a composite with f16 and bf16 ones in the type that its body computes in. */
static tw_status widen_operands(lowering *l, int n, uint32_t *operand, bool *wide) {
    tw_status status = TW_OK;
    *wide = false;
    for (int i = 0; i < n && !status; i++) {
        if (operand[i] == ABSENT || !dtype_half(l->code->slots.at[operand[i]].type.dtype)) continue;
        *wide = true;
        status = convert(l, dtype_in(l, TW_F32), &operand[i]);
    }
    return status;
}

static tw_status lower_composite(lowering *l, const node *it, uint32_t *operand,
                                 const tw_type *result_types, uint32_t *result) {
    tw_type types[TW_MAX_OPERANDS] = {{0}};
    bool absent[TW_MAX_OPERANDS] = {false}, wide;
    tw_status status = widen_operands(l, it->n_operands, operand, &wide);
    if (status) return status;
    for (int i = 0; i < it->n_operands; i++) {
        absent[i] = operand[i] == ABSENT;
        if (!absent[i]) types[i] = l->code->slots.at[operand[i]].type;
    }
    tw_attr *attr = own_attrs(l, it->op, it->attr);
    if (!attr) return no_memory(l);
    if (wide) wide_attributes(it->op, dtype_in(l, TW_F32), attr);
    tw_graph *body = graph_body(l->scratch, it->op, it->n_operands, types, absent, attr);
    if (!body)
        return context_error(l->context, l->scratch->status ? l->scratch->status : TW_ERR_MEMORY,
                             "%s", l->scratch->message);
    status = lower_callee(l, body, it, operand, result);
    for (int i = 0; i < it->n_results && wide && !status; i++)
        if (dtype_half(result_types[i].dtype))
            status = convert(l, result_types[i].dtype, &result[i]);
    return status;
}

static tw_status lower_alias(lowering *l, tw_type type, uint32_t of, uint32_t *result) {
    type.dtype = l->code->slots.at[of].type.dtype;
    *result = push_slot(l, SLOT_ALIAS, type, of);
    return *result == ABSENT ? no_memory(l) : TW_OK;
}

static tw_status lower_node(lowering *l, const tw_graph *graph, const node *it, uint32_t *map) {
    uint32_t operand[TW_MAX_OPERANDS], result[TW_MAX_RESULTS] = {0};
    tw_type types[TW_MAX_RESULTS];
    for (int i = 0; i < it->n_operands; i++)
        operand[i] = it->operand[i] == ABSENT ? ABSENT : map[it->operand[i]];
    for (int i = 0; i < it->n_results; i++)
        types[i] = graph->values.at[it->first_result + (uint32_t)i].type;
    tw_status status;
    if (node_is(it, "variable"))
        status = lower_variable(l, it, types[0], result);
    else if (node_is(it, "constant"))
        status = lower_constant(l, it, types[0], result);
    else if (node_is(it, "stop_gradient"))
        status = (result[0] = operand[0], TW_OK);
    else if (node_is(it, "reshape"))
        status = lower_alias(l, types[0], operand[0], result);
    else if (node_is(it, "fused") && kernel_of(l, it->attr[0].function)) {
        status = emit(l, it->op, it->n_operands, operand, it->attr, it->n_results, types,
                      place_of(l, it), result);
        for (int i = 1; i < it->n_results; i++) result[i] = result[0] + (uint32_t)i;
        if (!status)
            l->code->instructions.at[l->code->instructions.count - 1].generated =
                kernel_of(l, it->attr[0].function);
    } else if (operator_calls(it->op))
        status = lower_callee(l, it->attr[0].function, it, operand, result);
    else if (it->op->meaning == TW_MEANS_BODY && !dispatch_has(it->op, l->code->plain))
        status = lower_composite(l, it, operand, types, result);
    else {
        status = emit(l, it->op, it->n_operands, operand, it->attr, it->n_results, types,
                      place_of(l, it), result);
        for (int i = 1; i < it->n_results; i++) result[i] = result[0] + (uint32_t)i;
    }
    for (int i = 0; !status && i < it->n_results; i++)
        map[it->first_result + (uint32_t)i] = result[i];
    return status;
}

/* map[] gives each value its slot; those of inputs are set by the caller. */
static tw_status lower_graph(lowering *l, const tw_graph *graph, const uint8_t *live,
                             uint32_t *map) {
    for (size_t i = 0; i < graph->nodes.count; i++) {
        const node *it = &graph->nodes.at[i];
        if ((live && !live[i]) || node_is(it, "input")) continue;
        tw_status status = lower_node(l, graph, it, map);
        if (status) return status;
    }
    return TW_OK;
}

/* The inputs' slots, in the order of the program's arguments. */
static tw_status lower_inputs(lowering *l, const tw_graph *graph, int n, const uint32_t *in,
                              uint32_t *map) {
    for (int i = 0; i < n; i++) {
        const value *it = &graph->values.at[in[i]];
        const node *made = it->kind == VALUE_RESULT ? &graph->nodes.at[it->node] : NULL;
        if (!made || !node_is(made, "input"))
            return context_error(l->context, TW_ERR_ARGUMENT,
                                 "tw_compile: in[%d] is no input of the graph; make it by tw_input",
                                 i);
        code_input *input = VECTOR_PUSH(l->context, &l->code->inputs);
        uint32_t slot = push_slot(l, SLOT_INPUT, it->type, (uint32_t)i);
        if (!input || slot == ABSENT) return no_memory(l);
        input->name = arena_copy_string(&l->code->arena, made->attr[0].string);
        if (!input->name) return no_memory(l);
        input->type = it->type;
        input->slot = map[in[i]] = slot;
        tw_status status = convert(l, dtype_in(l, it->type.dtype), &map[in[i]]);
        if (status) return status;
    }
    return TW_OK;
}

/* Every input that is needed is among in[]. */
static tw_status check_inputs(const lowering *l, const tw_graph *graph, int n, const uint32_t *in,
                              const uint8_t *live) {
    for (size_t i = 0; i < graph->nodes.count; i++) {
        const node *it = &graph->nodes.at[i];
        if (!live[i] || !node_is(it, "input")) continue;
        bool found = false;
        for (int k = 0; k < n; k++) found = found || in[k] == it->first_result;
        if (!found)
            return context_error(l->context, TW_ERR_ARGUMENT,
                                 "tw_compile: the results need input \"%s\", which is not in in[]",
                                 it->attr[0].string);
    }
    return TW_OK;
}

/* The graph's variables in order of declaration, as the code's. */
static tw_status lower_variables(lowering *l, const tw_graph *graph) {
    for (size_t i = 0; i < graph->variables.count; i++) {
        code_variable *made = VECTOR_PUSH(l->context, &l->code->variables);
        if (!made) return no_memory(l);
        made->spec = graph->variables.at[i].spec;
        made->spec.path = arena_copy_string(&l->code->arena, made->spec.path);
        made->slot = made->final = ABSENT;
        if (!made->spec.path) return no_memory(l);
    }
    return TW_OK;
}

static tw_status lower_results(lowering *l, const tw_graph *graph, int n_out, const uint32_t *out,
                               bool read_only, const uint32_t *map) {
    for (int i = 0; i < n_out; i++) {
        uint32_t slot = map[out[i]];
        tw_status status = convert(l, graph->values.at[out[i]].type.dtype, &slot);
        uint32_t *place = status ? NULL : VECTOR_PUSH(l->context, &l->code->outputs);
        if (!place) return status ? status : no_memory(l);
        *place = slot;
    }
    for (size_t i = 0; !read_only && i < graph->variables.count; i++) {
        const graph_variable *variable = &graph->variables.at[i];
        uint32_t last = graph_final(graph, (uint32_t)i);
        if (last == variable->initial) continue;
        l->code->variables.at[i].final = map[last];
        tw_status status = convert(l, variable->spec.type.dtype, &l->code->variables.at[i].final);
        if (status) return status;
    }
    return TW_OK;
}

/* Marks what outputs, assigns and effects need. */
static void mark(const tw_graph *graph, int n_out, const uint32_t *out, bool read_only,
                 uint8_t *live) {
    graph_mark(graph, (size_t)n_out, out, live);
    for (size_t i = 0; i < graph->nodes.count; i++)
        if (graph->nodes.at[i].op->effect)
            graph_mark(graph, 1, &graph->nodes.at[i].first_result, live);
    for (uint32_t i = 0; !read_only && i < graph->variables.count; i++) {
        uint32_t last = graph_final(graph, i);
        if (last != graph->variables.at[i].initial) graph_mark(graph, 1, &last, live);
    }
}

tw_status code_lower(struct code *code, tw_graph *graph, int n_in, const uint32_t *in, int n_out,
                     const uint32_t *out, const tw_compile_opts *opts) {
    tw_context *context = code->context;
    lowering l = {.context = context, .code = code, .reference = opts->reference};
    l.scratch =
        tw_graph_new(context, NULL, TW_SYMBOLIC, &(tw_graph_opts){.training = graph->training});
    uint8_t *live = context_allocate(context, graph->nodes.count + 1, 1);
    uint32_t *map = context_allocate(context, graph->values.count + 1, sizeof *map);
    tw_status status = l.scratch && live && map ? TW_OK : TW_ERR_MEMORY;
    if (!status) mark(graph, n_out, out, opts->read_only, live);
    if (!status) status = check_inputs(&l, graph, n_in, in, live);
    if (!status) status = lower_variables(&l, graph);
    if (!status) status = lower_kernels(&l, graph, live);
    if (!status) status = lower_inputs(&l, graph, n_in, in, map);
    if (!status) status = lower_graph(&l, graph, live, map);
    if (!status) status = lower_results(&l, graph, n_out, out, opts->read_only, map);
    context_release(context, live);
    context_release(context, map);
    VECTOR_FREE(context, &l.fused);
    context_release(context, l.kernels);
    tw_graph_free(l.scratch);
    return status;
}
