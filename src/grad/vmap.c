/*
 * vmap: a function of one example becomes one of many. The function is built once, for the types
 * of one example, as a graph of its own; then its nodes are appended to the outer graph, those
 * that depend on an example through their operators' batch rules and the others as they are.
 */
#include "grad/vmap.h"

#include <stdio.h>
#include <thalweg/operators.h>

#include "ir/dimension.h"

enum { OPERANDS = 32 };

/* The nodes of one function on their way into `graph`. */
typedef struct batching {
    tw_graph *graph;
    tw_graph *body;
    int64_t size;
    bool inherit;     /* the nodes' metadata go along; otherwise graph->meta holds */
    uint32_t *map;    /* by value of the body: the value in `graph` */
    uint8_t *batched; /* by value of the body: that has the axis of examples */
    uint8_t *live;    /* by node of the body, or NULL: all are needed */
} batching;

/* A failure inside becomes that of the graph. */
static bool take_error(tw_graph *graph, const tw_graph *made) {
    graph_error(graph, made->status, "vmap: %s", made->message);
    return false;
}

static bool named(const node *it, const char *name) { return !strcmp(it->op->name, name); }

/* (...) -> (examples, ...) */
static uint32_t repeat(tw_graph *graph, int64_t size, uint32_t id) {
    tw_shape shape = graph->values.at[id].type.shape, wide = {.rank = shape.rank + 1};
    if (shape.rank == TW_MAX_RANK) {
        graph_error(graph, TW_ERR_SHAPE, "vmap: no rank is left for an axis of examples");
        return ABSENT;
    }
    wide.dim[0] = size;
    for (int i = 0; i < shape.rank; i++) wide.dim[i + 1] = shape.dim[i];
    return graph_resolve(graph, tw_broadcast(graph_handle(graph, id), wide));
}

static tw_type without_examples(tw_type type) {
    tw_type one = {type.dtype, {.rank = type.shape.rank - 1}};
    for (int i = 0; i < one.shape.rank; i++) one.shape.dim[i] = type.shape.dim[i + 1];
    return one;
}

/* The types of one example; an absent operand's is zero. */
static void example_types(const tw_graph *graph, const node *it, const uint32_t *operand,
                          const bool *batched, tw_type *out) {
    for (int i = 0; i < it->n_operands; i++) {
        out[i] = (tw_type){0};
        if (operand[i] == ABSENT) continue;
        out[i] = graph->values.at[operand[i]].type;
        if (batched[i]) out[i] = without_examples(out[i]);
    }
}

static tw_graph *body_of(tw_graph *graph, const node *it, const tw_type *types,
                         const uint32_t *operand) {
    bool absent[OPERANDS];
    if (operator_calls(it->op)) return it->attr[0].function;
    for (int i = 0; i < it->n_operands; i++) absent[i] = operand[i] == ABSENT;
    return graph_body(graph, it->op, it->n_operands, types, absent, it->attr);
}

static bool body_draws(tw_graph *body) {
    for (size_t i = 0; i < body->nodes.count; i++)
        if (batch_draws(body, &body->nodes.at[i])) return true;
    return false;
}

bool batch_draws(tw_graph *graph, const node *it) {
    if (named(it, "random_bits")) return true;
    if (operator_calls(it->op)) return body_draws(it->attr[0].function);
    if (it->op->meaning != TW_MEANS_BODY) return false;
    tw_type types[OPERANDS] = {{0}};
    bool none[OPERANDS] = {false}, run = false;
    example_types(graph, it, it->operand, none, types);
    /* The number of the run comes from outside, since a body has no variables. */
    for (int i = 0; i < it->n_operands; i++)
        run |= types[i].dtype == TW_I64 && types[i].shape.rank == 0;
    if (!run) return false;
    module *module = graph->module;
    size_t functions = module->functions.count;
    arena_mark mark = arena_save(&module->arena);
    tw_graph *body = body_of(graph, it, types, it->operand);
    bool draws = body && body_draws(body);
    graph_drop_functions(graph, functions);
    arena_restore(&module->arena, mark);
    return draws;
}

/* ---- one node ---- */

static bool wrong_result(tw_graph *graph, const node *it, int i) {
    graph_error(graph, TW_ERR_SHAPE,
                "%s: its batch rule gives result %d without the examples as axis 0", it->op->name,
                i);
    return false;
}

/* Result ids by the operator's rule; all ABSENT where it leaves them to the body. */
static bool by_rule(tw_graph *graph, const node *it, int64_t size, const uint32_t *operand,
                    const bool *batched, uint32_t *result) {
    tw_value in[OPERANDS] = {{0}}, out[TW_MAX_RESULTS] = {{0}};
    tw_type types[OPERANDS] = {{0}};
    example_types(graph, it, operand, batched, types);
    for (int i = 0; i < it->n_operands; i++)
        if (operand[i] != ABSENT) in[i] = graph_handle(graph, operand[i]);
    tw_batch rule = {.op = it->op,
                     .n_operands = it->n_operands,
                     .n_results = it->n_results,
                     .size = size,
                     .operand = in,
                     .batched = batched,
                     .operand_type = types,
                     .attr = it->attr,
                     .result = out};
    it->op->batch(graph, &rule);
    for (int i = 0; i < it->n_results; i++) result[i] = ABSENT;
    if (graph->status) return false;
    if (!out[0].graph && it->op->meaning == TW_MEANS_BODY) return true;
    for (int i = 0; i < it->n_results; i++) {
        result[i] = graph_resolve(graph, out[i]);
        if (result[i] == ABSENT) return false;
        tw_shape shape = graph->values.at[result[i]].type.shape;
        if (shape.rank < 1 || shape.dim[0] != size) return wrong_result(graph, it, i);
    }
    return true;
}

static bool through_body(tw_graph *graph, const node *it, int64_t size, const uint32_t *operand,
                         const bool *batched, uint32_t *result, bool *has);

/* has[i]: result i depends on an example. */
static bool by_rule_or_body(tw_graph *graph, const node *it, int64_t size, const uint32_t *operand,
                            const bool *batched, uint32_t *result, bool *has) {
    for (int i = 0; i < it->n_results; i++) has[i] = true;
    result[0] = ABSENT;
    if (it->op->batch && !by_rule(graph, it, size, operand, batched, result)) return false;
    if (result[0] != ABSENT) return true;
    if (it->op->meaning == TW_MEANS_BODY || operator_calls(it->op))
        return through_body(graph, it, size, operand, batched, result, has);
    graph_error(graph, TW_ERR_UNSUPPORTED, "vmap: %s has no batch rule (tw_operator.batch)",
                it->op->name);
    return false;
}

/* ---- the nodes of a function ---- */

/* As it is, with the operands' new ids. */
static bool copy_node(batching *b, const node *it, const uint32_t *operand) {
    uint32_t made = graph_append(b->graph, it->op, it->n_operands, operand, it->attr);
    if (made == NO_NODE) return false;
    for (int i = 0; i < it->n_results; i++)
        b->map[it->first_result + (uint32_t)i] =
            b->graph->nodes.at[made].first_result + (uint32_t)i;
    return true;
}

/* A rule must give what the function's own node has, for each example. */
static bool check_type(batching *b, const node *it, int i, uint32_t id) {
    tw_type have = without_examples(b->graph->values.at[id].type);
    tw_type want = b->body->values.at[it->first_result + (uint32_t)i].type;
    if (type_equal(have, want)) return true;
    graph_error(b->graph, TW_ERR_SHAPE,
                "%s: its batch rule gives result %d of another type than the operator's",
                it->op->name, i);
    return false;
}

static bool append_node(batching *b, uint32_t index) {
    const node *it = &b->body->nodes.at[index];
    uint32_t operand[OPERANDS], result[TW_MAX_RESULTS];
    bool batched[OPERANDS] = {false}, has[TW_MAX_RESULTS], any = false;
    for (int i = 0; i < it->n_operands; i++) {
        operand[i] = it->operand[i] == ABSENT ? ABSENT : b->map[it->operand[i]];
        batched[i] = it->operand[i] != ABSENT && b->batched[it->operand[i]];
        any |= batched[i];
    }
    if (b->inherit) b->graph->meta = it->meta;
    if (!any) any = batch_draws(b->body, it);
    if (b->body->status) return take_error(b->graph, b->body);
    if (!any) return copy_node(b, it, operand);
    if (!by_rule_or_body(b->graph, it, b->size, operand, batched, result, has)) return false;
    for (int i = 0; i < it->n_results; i++) {
        if (has[i] && !check_type(b, it, i, result[i])) return false;
        b->map[it->first_result + (uint32_t)i] = result[i];
        b->batched[it->first_result + (uint32_t)i] = has[i];
    }
    return true;
}

/* All nodes that have no value yet (inputs and variables may have one already). */
static bool append_nodes(batching *b) {
    for (uint32_t i = 0; i < b->body->nodes.count; i++) {
        uint32_t first = b->body->nodes.at[i].first_result;
        if (b->map[first] != ABSENT || (b->live && !b->live[i])) continue;
        if (!append_node(b, i)) return false;
    }
    return true;
}

static bool batching_start(batching *b, tw_graph *graph, tw_graph *body, int64_t size) {
    tw_context *context = graph->module->context;
    size_t values = body->values.count;
    *b = (batching){.graph = graph, .body = body, .size = size};
    b->map = context_allocate(context, values, sizeof *b->map);
    b->batched = context_allocate(context, values, 1);
    for (size_t i = 0; b->map && i < values; i++) b->map[i] = ABSENT;
    if (b->map && b->batched) return true;
    graph_error(graph, TW_ERR_MEMORY, "out of memory for vmap");
    return false;
}

static void batching_end(batching *b) {
    tw_context *context = b->graph->module->context;
    context_release(context, b->map);
    context_release(context, b->batched);
    context_release(context, b->live);
}

static bool through_body(tw_graph *graph, const node *it, int64_t size, const uint32_t *operand,
                         const bool *batched, uint32_t *result, bool *has) {
    tw_type types[OPERANDS] = {{0}};
    example_types(graph, it, operand, batched, types);
    tw_graph *body = body_of(graph, it, types, operand);
    if (!body) return false;
    batching b;
    bool good = batching_start(&b, graph, body, size);
    for (int i = 0, next = 0; good && i < it->n_operands; i++) {
        if (operand[i] == ABSENT) continue;
        uint32_t input = body->inputs.at[next++];
        b.map[input] = operand[i];
        b.batched[input] = batched[i];
    }
    good = good && append_nodes(&b);
    for (int i = 0; good && i < it->n_results; i++) {
        result[i] = b.map[body->outputs.at[i]];
        has[i] = b.batched[body->outputs.at[i]];
    }
    batching_end(&b);
    return good;
}

bool batch_node(tw_graph *graph, const node *it, int64_t size, const uint32_t *operand,
                const bool *batched, uint32_t *result) {
    node copy = *it; /* the array it stands in may grow */
    bool has[TW_MAX_RESULTS];
    if (graph->status || !by_rule_or_body(graph, &copy, size, operand, batched, result, has))
        return false;
    for (int i = 0; i < copy.n_results; i++) {
        if (!has[i]) result[i] = repeat(graph, size, result[i]);
        if (result[i] == ABSENT) return false;
    }
    return true;
}

/* ---- tw_vmap ---- */

/* in[] as operands: axes of examples moved to the front. The number of examples, or TW_DIM_NONE. */
static int64_t prepare(tw_graph *graph, int n, const tw_value *in, const int *axis, uint32_t *id) {
    int64_t size = TW_DIM_NONE;
    for (int i = 0; i < n; i++) {
        id[i] = graph_resolve(graph, in[i]);
        if (id[i] == ABSENT) return TW_DIM_NONE;
        if (axis[i] == TW_WHOLE) continue;
        tw_shape shape = graph->values.at[id[i]].type.shape;
        int at = axis[i] < 0 ? axis[i] + shape.rank : axis[i], order[TW_MAX_RANK];
        if (at < 0 || at >= shape.rank) {
            graph_error(graph, TW_ERR_ARGUMENT,
                        "tw_vmap: axis %d of operand %d, which has rank %d; TW_WHOLE is for one "
                        "that is the same for every example",
                        axis[i], i, (int)shape.rank);
            return TW_DIM_NONE;
        }
        if (size != TW_DIM_NONE && shape.dim[at] != size) {
            graph_error(graph, TW_ERR_SHAPE,
                        "tw_vmap: operand %d has another number of examples than those before it",
                        i);
            return TW_DIM_NONE;
        }
        size = shape.dim[at];
        if (at == 0) continue;
        for (int k = 0; k < shape.rank; k++) order[k] = k == 0 ? at : k <= at ? k - 1 : k;
        id[i] = graph_resolve(graph, tw_permute(graph_handle(graph, id[i]), order));
        if (id[i] == ABSENT) return TW_DIM_NONE;
    }
    if (size == TW_DIM_NONE)
        graph_error(graph, TW_ERR_ARGUMENT,
                    "tw_vmap: no operand is cut in examples; their number is not known");
    return size;
}

/* The function for the types of one example, as a graph: its variables are those of `graph`, its
 * random operators count on. */
static tw_graph *build(tw_graph *graph, tw_function function, const void *config, int n_in,
                       const uint32_t *id, const int *axis, int n_out) {
    tw_context *context = graph->module->context;
    char name[32];
    snprintf(name, sizeof name, "vmap_%d", graph->module->next_function++);
    tw_graph *made = graph_function(graph, name);
    if (!made) return NULL;
    tw_value *in = context_allocate(context, (size_t)(n_in + n_out), sizeof *in);
    const char **scope = VECTOR_PUSH(context, &made->scopes);
    if (in && scope) {
        *scope = graph_scope(graph);
        made->table = graph->table;
        made->meta = graph->meta;
        memcpy(&made->draws, &graph->draws, sizeof graph->draws);
        memset(&graph->draws, 0, sizeof graph->draws);
        for (int i = 0; i < n_in; i++) {
            tw_type type = graph->values.at[id[i]].type;
            if (axis[i] != TW_WHOLE) type = without_examples(type);
            snprintf(name, sizeof name, "x%d", i);
            in[i] = tw_input(made, name, type.dtype, type.shape);
        }
        function(made, in, in + n_in, config);
        if (made->scopes.count != 1)
            graph_error(made, TW_ERR_ARGUMENT, "the function's scopes do not begin and end in it");
        if (!made->status) tw_outputs(made, n_out, in + n_in);
        memcpy(&graph->draws, &made->draws, sizeof graph->draws);
        memset(&made->draws, 0, sizeof made->draws);
        if (!graph->skipped) graph->skipped = made->skipped;
    } else {
        graph_error(made, TW_ERR_MEMORY, "out of memory");
    }
    context_release(context, in);
    return made->status && !take_error(graph, made) ? NULL : made;
}

/* The outer graph's variable of the same path. */
static tw_value outer_variable(tw_graph *graph, const tw_graph *made, size_t i) {
    const graph_variable *it = &made->variables.at[i];
    if (made->random_run == i + 1) return graph_random_run(graph);
    return graph_declare(graph, it->spec.path, it->spec.type, it->spec.init, it->spec.trainable);
}

static bool mark_live(batching *b) {
    tw_graph *graph = b->graph;
    const tw_graph *made = b->body;
    b->live = context_allocate(graph->module->context, made->nodes.count, 1);
    if (!b->live) {
        graph_error(graph, TW_ERR_MEMORY, "out of memory for vmap");
        return false;
    }
    graph_mark(made, made->outputs.count, made->outputs.at, b->live);
    for (size_t i = 0; i < made->assigns.count; i++)
        graph_mark(made, 1, &made->assigns.at[i].value, b->live);
    return true;
}

static bool map_variables(batching *b) {
    for (size_t i = 0; i < b->body->variables.count; i++) {
        tw_value outer = outer_variable(b->graph, b->body, i);
        uint32_t id = tw_ok(outer) ? graph_resolve(b->graph, outer) : ABSENT;
        if (id == ABSENT) return false;
        b->map[b->body->variables.at[i].initial] = id;
    }
    return true;
}

static bool assign_outside(batching *b) {
    for (size_t i = 0; i < b->body->assigns.count; i++) {
        const assignment *it = &b->body->assigns.at[i];
        if (b->batched[it->value]) {
            graph_error(b->graph, TW_ERR_UNSUPPORTED,
                        "vmap: variable \"%s\" is assigned a value for each example; reduce them "
                        "outside of the function and assign there",
                        b->body->variables.at[it->variable].spec.path);
            return false;
        }
        tw_assign(outer_variable(b->graph, b->body, it->variable),
                  graph_handle(b->graph, b->map[it->value]));
    }
    return b->graph->status == TW_OK;
}

static void append_function(batching *b, int n_in, const uint32_t *id, const int *axis,
                            tw_value *out) {
    tw_graph *graph = b->graph;
    const tw_graph *made = b->body;
    for (int i = 0; i < n_in; i++) {
        b->map[made->inputs.at[i]] = id[i];
        b->batched[made->inputs.at[i]] = axis[i] != TW_WHOLE;
    }
    if (!map_variables(b) || !mark_live(b)) return;
    node_meta meta = graph->meta;
    bool fixed = graph->scope_fixed;
    graph->scope_fixed = b->inherit = true;
    bool good = append_nodes(b);
    graph->meta = meta;
    graph->scope_fixed = fixed;
    if (!good || !assign_outside(b)) return;
    for (size_t i = 0; i < made->outputs.count; i++) {
        uint32_t result = b->map[made->outputs.at[i]];
        if (!b->batched[made->outputs.at[i]]) result = repeat(graph, b->size, result);
        if (result == ABSENT) return;
        out[i] = graph_handle(graph, result);
    }
}

static void poison(tw_graph *graph, int n, tw_value *out) {
    for (int i = 0; out && i < n; i++) out[i] = (tw_value){graph, 0, 0};
}

void tw_vmap(tw_graph *graph, tw_function function, const void *config, int n_in,
             const tw_value *in, const int *axis, int n_out, tw_value *out) {
    if (!graph || graph->status || !function || !in || !axis || !out || n_in < 1 || n_out < 1) {
        poison(graph, n_out, out);
        if (!graph || graph->status) return;
        graph_error(graph, TW_ERR_NULL,
                    "tw_vmap: a function, operands with their axes, and results are needed");
        return;
    }
    tw_context *context = graph->module->context;
    uint32_t *id = context_allocate(context, (size_t)n_in, sizeof *id);
    int64_t size = id ? prepare(graph, n_in, in, axis, id) : TW_DIM_NONE;
    poison(graph, n_out, out); /* out may be in */
    if (!id) {
        graph_error(graph, TW_ERR_MEMORY, "out of memory for vmap");
        return;
    }
    tw_graph *made = NULL;
    batching b;
    if (size != TW_DIM_NONE) made = build(graph, function, config, n_in, id, axis, n_out);
    if (made) {
        if (batching_start(&b, graph, made, size)) append_function(&b, n_in, id, axis, out);
        batching_end(&b);
    }
    context_release(context, id);
}
