/* From factors to a plan for one node. */
#include "grad/cut.h"

#include "ir/attribute.h"
#include "ir/dimension.h"

int64_t cut_extent(tw_context *context, int64_t extent, int parts) {
    return tw_dim_div(context, extent, parts);
}

tw_type cut_type(tw_context *context, tw_type type, cut how, int parts) {
    if (how.kind == CUT_SPLIT)
        type.shape.dim[how.dim] = cut_extent(context, type.shape.dim[how.dim], parts);
    return type;
}

bool cut_states_extents(const tw_operator *op, int i) {
    const tw_attr_spec *spec = &op->attributes[i];
    return spec->kind == TW_ATTR_DIMS &&
           (!strcmp(spec->name, "shape") || !strcmp(spec->name, "limit"));
}

/* primitives */

typedef struct factors {
    int n;
    tw_factor at[TW_MAX_FACTORS];
} factors;

/* scatter: base, index, updates; axis, shared, how (0: add). splat: dtype, shape, value. */
static bool adds_to_zeros(const tw_graph *graph, const node *at) {
    if (strcmp(at->op->name, "scatter") || at->attr[2].i != 0) return false;
    const node *base = &graph->nodes.at[graph->values.at[at->operand[0]].node];
    return node_is(base, "splat") && base->attr[2].f == 0;
}

/* Pieces of the updates would each add the base: a sum only where the base is zeros. */
static void reduce_over_updates(factors *list) {
    for (int i = 0; i < list->n; i++) {
        tw_factor *factor = &list->at[i];
        if (factor->kind != TW_FACTOR_REPLICATE || factor->operand[0] >= 0) continue;
        factor->kind = TW_FACTOR_REDUCE;
        factor->reduction = TW_SUM;
    }
}

static bool find_factors(tw_graph *graph, const node *at, factors *out) {
    tw_type operand[TW_MAX_OPERANDS] = {{0}}, result[TW_MAX_RESULTS];
    if (!at->op->factors) return false;
    for (int i = 0; i < at->n_operands; i++)
        if (at->operand[i] != ABSENT) operand[i] = graph->values.at[at->operand[i]].type;
    for (int i = 0; i < at->n_results; i++)
        result[i] = graph->values.at[at->first_result + (uint32_t)i].type;
    tw_signature signature = {.context = graph->module->context,
                              .op = at->op,
                              .n_operands = at->n_operands,
                              .n_results = at->n_results,
                              .operand = operand,
                              .result = result,
                              .attr = at->attr};
    out->n = at->op->factors(&signature, out->at);
    if (adds_to_zeros(graph, at)) reduce_over_updates(out);
    return true;
}

static int operand_dim(const tw_factor *factor, int operand) {
    return factor->operand[operand < TW_FACTOR_OPERANDS ? operand : TW_FACTOR_OPERANDS - 1];
}

/* The major factor of a dimension: the first that is not of size 1. operand -1: of result 0. */
static const tw_factor *major_factor(const factors *list, int operand, int dim) {
    const tw_factor *first = NULL;
    for (int i = 0; i < list->n; i++) {
        const tw_factor *factor = &list->at[i];
        if ((operand < 0 ? factor->result[0] : operand_dim(factor, operand)) != dim) continue;
        if (factor->size != 1) return factor;
        if (!first) first = factor;
    }
    return first;
}

/* A piece of an operand or result is one run of its dimension only where the factor is major. */
static bool is_major(const factors *list, const tw_factor *factor, const node *at) {
    for (int i = 0; i < at->n_operands; i++) {
        int dim = operand_dim(factor, i);
        if (dim >= 0 && major_factor(list, i, dim) != factor) return false;
    }
    return factor->result[0] < 0 || major_factor(list, -1, factor->result[0]) == factor;
}

static bool plan_by(tw_graph *graph, const node *at, const factors *list, const tw_factor *factor,
                    int parts, cut_plan *out) {
    if (!factor || (factor->kind != TW_FACTOR_PASS && factor->kind != TW_FACTOR_REDUCE))
        return false;
    if (cut_extent(graph->module->context, factor->size, parts) == TW_DIM_NONE) return false;
    if (!is_major(list, factor, at)) return false;
    for (int i = 0; i < at->n_operands; i++) out->want[i] = (int8_t)operand_dim(factor, i);
    for (int i = 0; i < at->n_results; i++) {
        int dim = factor->result[i];
        bool reduces = factor->kind == TW_FACTOR_REDUCE;
        if (reduces == (dim >= 0)) return false;
        out->result[i] = reduces ? (cut){CUT_PARTIAL, 0, factor->reduction}
                                 : (cut){CUT_SPLIT, dim, (tw_reduction)0};
    }
    return true;
}

bool cut_by_result(tw_graph *graph, const node *at, int dim, int parts, cut_plan *out) {
    factors list;
    return find_factors(graph, at, &list) &&
           plan_by(graph, at, &list, major_factor(&list, -1, dim), parts, out);
}

static bool cut_primitive(tw_graph *graph, const node *at, const cut *operand, int parts,
                          cut_plan *out) {
    factors list;
    if (!find_factors(graph, at, &list)) return false;
    for (int i = 0; i < at->n_operands; i++)
        if (operand[i].kind == CUT_SPLIT &&
            plan_by(graph, at, &list, major_factor(&list, i, operand[i].dim), parts, out))
            return true;
    return false;
}

/* composites */

typedef struct body_cut {
    tw_graph *body;
    int parts;
    cut *state;   /* by value of the body */
    cut *forced;  /* what a value, else whole, must be: shapes follow the operands' */
    bool changed; /* `forced` grew: begin again */
} body_cut;

/*
 * Whether the whole value may be built split along `dim` when the body is built for pieces. What
 * it is made of then is so too; inputs of the body that are reached must come cut.
 */
static bool force_split(body_cut *c, uint32_t id, int dim) {
    if (c->forced[id].kind == CUT_SPLIT) return c->forced[id].dim == dim;
    const value *it = &c->body->values.at[id];
    const node *made = &c->body->nodes.at[it->node];
    const char *name = made->op->name;
    c->forced[id] = (cut){CUT_SPLIT, dim, (tw_reduction)0};
    c->changed = true;
    if (!strcmp(name, "input") || !strcmp(name, "splat")) return true;
    if (!strcmp(name, "iota")) return made->attr[2].i != dim; /* dtype, shape, axis */
    cut_plan plan;
    if (made->n_results != 1 || !made->n_operands ||
        !cut_by_result(c->body, made, dim, c->parts, &plan))
        return false;
    for (int i = 0; i < made->n_operands; i++)
        if (made->operand[i] != ABSENT && plan.want[i] >= 0 &&
            !force_split(c, made->operand[i], plan.want[i]))
            return false;
    return true;
}

static bool cut_body_node(body_cut *c, const node *at) {
    cut operand[TW_MAX_OPERANDS] = {{0}};
    bool split = false, partial = false;
    for (int i = 0; i < at->n_operands; i++) {
        if (at->operand[i] == ABSENT) continue;
        operand[i] = c->state[at->operand[i]];
        split |= operand[i].kind == CUT_SPLIT;
        partial |= operand[i].kind == CUT_PARTIAL;
    }
    if (partial) return false;
    if (!split) {
        for (int i = 0; i < at->n_results; i++)
            c->state[at->first_result + (uint32_t)i] = c->forced[at->first_result + (uint32_t)i];
        return true;
    }
    cut_plan plan;
    if (!cut_node(c->body, at, operand, c->parts, &plan)) return false;
    for (int i = 0; i < at->n_operands; i++) {
        if (at->operand[i] == ABSENT) continue;
        bool fits = plan.want[i] < 0
                        ? operand[i].kind == CUT_WHOLE
                        : operand[i].kind == CUT_SPLIT && operand[i].dim == plan.want[i];
        if (fits) continue;
        if (operand[i].kind != CUT_WHOLE || !force_split(c, at->operand[i], plan.want[i]))
            return false;
    }
    for (int i = 0; i < at->n_results; i++)
        c->state[at->first_result + (uint32_t)i] = plan.result[i];
    return true;
}

static bool run_body(body_cut *c) {
    do {
        c->changed = false;
        for (size_t i = 0; i < c->body->nodes.count; i++)
            if (!cut_body_node(c, &c->body->nodes.at[i])) return false;
    } while (c->changed); /* ends: each round forces a value more */
    return true;
}

/*
 * The body as built for pieces must be the same program on smaller arrays: a body that uses an
 * extent as a number (a mean over rows) would give each piece another number.
 */
static bool same_program(const body_cut *c, tw_graph *piece) {
    tw_graph *body = c->body;
    if (piece->nodes.count != body->nodes.count || piece->values.count != body->values.count)
        return false;
    for (size_t i = 0; i < body->nodes.count; i++) {
        const node *a = &body->nodes.at[i], *b = &piece->nodes.at[i];
        if (a->op != b->op || a->n_operands != b->n_operands || a->first_result != b->first_result)
            return false;
        for (int k = 0; k < a->n_operands; k++)
            if (a->operand[k] != b->operand[k]) return false;
        for (int k = 0; k < operator_attr_count(a->op); k++)
            if (!cut_states_extents(a->op, k) &&
                !attr_equal(&a->op->attributes[k], &a->attr[k], &b->attr[k]))
                return false;
        for (int k = 0; k < a->n_results; k++) {
            uint32_t id = a->first_result + (uint32_t)k;
            tw_type want =
                cut_type(body->module->context, body->values.at[id].type, c->state[id], c->parts);
            if (!shape_equal(want.shape, piece->values.at[id].type.shape)) return false;
        }
    }
    return true;
}

/* Seeds the body's inputs, runs, reads off wants and results. */
static bool plan_body(tw_graph *graph, const node *at, const cut *operand, const tw_type *types,
                      const bool *absent, body_cut *c, cut_plan *out) {
    tw_graph *body = c->body;
    for (int i = 0, k = 0; i < at->n_operands; i++)
        if (!absent[i]) {
            uint32_t in = body->inputs.at[k++];
            if (operand[i].kind == CUT_SPLIT) c->forced[in] = operand[i];
        }
    if (!run_body(c)) return false;
    tw_type local[TW_MAX_OPERANDS] = {{0}};
    for (int i = 0, k = 0; i < at->n_operands; i++) {
        out->want[i] = -1;
        if (absent[i]) continue;
        cut state = c->state[body->inputs.at[k++]];
        if (state.kind == CUT_SPLIT) out->want[i] = (int8_t)state.dim;
        local[i] = cut_type(graph->module->context, types[i], state, c->parts);
        if (!shape_known(local[i].shape) && state.kind == CUT_SPLIT &&
            local[i].shape.dim[state.dim] == TW_DIM_NONE)
            return false;
    }
    for (int i = 0; i < at->n_results; i++) out->result[i] = c->state[body->outputs.at[i]];
    tw_graph *piece = graph_body(graph, at->op, at->n_operands, local, absent, at->attr);
    /* A body that refuses its pieces' types is not an error of the graph: expanded, it may do. */
    if (!piece && graph->status != TW_ERR_MEMORY) graph->status = TW_OK;
    return piece && same_program(c, piece);
}

static bool cut_composite(tw_graph *graph, const node *at, const cut *operand, int parts,
                          cut_plan *out) {
    tw_context *context = graph->module->context;
    arena *memory = &graph->module->arena;
    size_t functions = graph->module->functions.count;
    arena_mark mark = arena_save(memory);
    tw_type types[TW_MAX_OPERANDS] = {{0}};
    bool absent[TW_MAX_OPERANDS];
    for (int i = 0; i < at->n_operands; i++) {
        absent[i] = at->operand[i] == ABSENT;
        if (!absent[i]) types[i] = graph->values.at[at->operand[i]].type;
    }
    bool good = false;
    tw_graph *body = graph_body(graph, at->op, at->n_operands, types, absent, at->attr);
    if (body) {
        body_cut c = {.body = body, .parts = parts};
        c.state = context_allocate(context, body->values.count, sizeof *c.state);
        c.forced = context_allocate(context, body->values.count, sizeof *c.forced);
        if (c.state && c.forced)
            good = plan_body(graph, at, operand, types, absent, &c, out);
        else
            graph_error(graph, TW_ERR_MEMORY, "out of memory for microbatches");
        context_release(context, c.state);
        context_release(context, c.forced);
    }
    graph_drop_functions(graph, functions);
    arena_restore(memory, mark);
    return good;
}

bool cut_node(tw_graph *graph, const node *at, const cut *operand, int parts, cut_plan *out) {
    if (at->op->meaning == TW_MEANS_BODY) return cut_composite(graph, at, operand, parts, out);
    return cut_primitive(graph, at, operand, parts, out);
}
