/*
 * Factors and costs of composites. Each dimension of an operand is cut on trial: the cut spreads
 * over the body, node by node along their factors, until nothing changes or two nodes disagree.
 */
#include "ir/derive.h"

#include "ir/attribute.h"
#include "ir/dimension.h"
#include "ir/graph.h"

enum { MOST_ATTRIBUTES = 32, WHOLE = -1, PARTIAL = -2 };

typedef struct factors {
    int n;
    tw_factor at[TW_MAX_FACTORS];
} factors;

/* A scratch graph with the body of a composite in it. */
typedef struct scratch {
    const tw_signature *signature;
    tw_graph *graph, *body;
    bool absent[TW_MAX_OPERANDS];
    uint32_t input[TW_MAX_OPERANDS]; /* the body's value for each operand */
    uint8_t *live;                   /* by node of the body */
} scratch;

/* A cut on trial. */
typedef struct trial {
    scratch *s;
    const factors *of;      /* by node */
    int8_t *cut;            /* by value: the dimension that is cut, WHOLE or PARTIAL */
    const tw_factor **used; /* by node */
    tw_reduction reduction; /* of all partial values */
    int64_t units;          /* equal runs in which the dimension may be cut */
    bool changed;
} trial;

static tw_type type_of(const scratch *s, uint32_t id) { return s->body->values.at[id].type; }

/* ---- the body ---- */

static bool scratch_open(scratch *s, const tw_signature *signature) {
    *s = (scratch){.signature = signature};
    if (signature->n_operands > TW_MAX_OPERANDS) return false;
    s->graph = tw_graph_new(signature->context, NULL, TW_SYMBOLIC, NULL);
    if (!s->graph) return false;
    for (int i = 0; i < signature->n_operands; i++) s->absent[i] = !signature->operand[i].dtype;
    s->body = graph_body(s->graph, signature->op, signature->n_operands, signature->operand,
                         s->absent, signature->attr);
    if (!s->body) return false;
    s->live = context_allocate(signature->context, s->body->nodes.count, 1);
    if (!s->live) return false;
    graph_mark(s->body, s->body->outputs.count, s->body->outputs.at, s->live);
    for (int i = 0, k = 0; i < signature->n_operands; i++)
        s->input[i] = s->absent[i] ? ABSENT : s->body->inputs.at[k++];
    return s->body->outputs.count == (size_t)signature->n_results;
}

static void scratch_close(scratch *s) {
    context_release(s->signature->context, s->live);
    tw_graph_free(s->graph);
}

/* A node of the body as a signature; the arrays are the caller's. */
static tw_signature signature_of(const scratch *s, const node *at, tw_type *operand,
                                 tw_type *result) {
    for (int i = 0; i < at->n_operands; i++)
        operand[i] = at->operand[i] == ABSENT ? (tw_type){0} : type_of(s, at->operand[i]);
    for (int i = 0; i < at->n_results; i++) result[i] = type_of(s, at->first_result + (uint32_t)i);
    return (tw_signature){.context = s->signature->context,
                          .op = at->op,
                          .n_operands = at->n_operands,
                          .n_results = at->n_results,
                          .operand = operand,
                          .result = result,
                          .attr = at->attr};
}

/* ---- one trial ---- */

static int slot_of(int operand) {
    return operand < TW_FACTOR_OPERANDS ? operand : TW_FACTOR_OPERANDS - 1;
}

/* The dimension of operand i, or from n_operands on of a result. */
static int factor_dim(const tw_factor *factor, const node *at, int i) {
    return i < at->n_operands ? factor->operand[slot_of(i)] : factor->result[i - at->n_operands];
}

static uint32_t value_at(const node *at, int i) {
    return i < at->n_operands ? at->operand[i] : at->first_result + (uint32_t)(i - at->n_operands);
}

/* Only the major factor of a dimension cuts it into runs: the first that is not of size 1. */
static const tw_factor *major_factor(const factors *list, const node *at, int i, int dim) {
    const tw_factor *first = NULL;
    for (int k = 0; k < list->n; k++) {
        const tw_factor *factor = &list->at[k];
        if (factor_dim(factor, at, i) != dim) continue;
        if (factor->size != 1) return factor;
        if (!first) first = factor;
    }
    return first;
}

/* The cut is in as many runs as every factor on its way allows. */
static bool limit_units(trial *t, int64_t size) {
    int64_t a = t->units, b = size;
    if (a == b) return true;
    if (a <= 0 || b <= 0) return false;
    while (b) {
        int64_t rest = a % b;
        a = b;
        b = rest;
    }
    t->units = a;
    return a > 1;
}

static bool put(trial *t, uint32_t id, int cut) {
    if (t->cut[id] == cut) return true;
    if (t->cut[id] != WHOLE) return false;
    t->cut[id] = (int8_t)cut;
    t->changed = true;
    return true;
}

/* Pieces along it are the same operator, which needs to know nothing of where they stand. */
static bool is_plain(const tw_factor *factor) {
    return (factor->kind == TW_FACTOR_PASS || factor->kind == TW_FACTOR_REDUCE) &&
           !factor->attr.start && !factor->attr.whole;
}

/* The factor along which what is cut around the node is cut; false when there is no such one. */
static bool find_factor(const trial *t, const node *at, const factors *list,
                        const tw_factor **out) {
    *out = NULL;
    for (int i = 0; i < at->n_operands + at->n_results; i++) {
        uint32_t id = value_at(at, i);
        if (id == ABSENT || t->cut[id] == WHOLE) continue;
        if (t->cut[id] == PARTIAL) {
            if (i < at->n_operands) return false;
            continue;
        }
        const tw_factor *factor = major_factor(list, at, i, t->cut[id]);
        if (!factor || (*out && factor != *out)) return false;
        *out = factor;
    }
    return true;
}

static bool spread_node(trial *t, uint32_t index) {
    const node *at = &t->s->body->nodes.at[index];
    const factors *list = &t->of[index];
    const tw_factor *factor;
    if (!find_factor(t, at, list, &factor)) return false;
    if (!factor) return true;
    if (!is_plain(factor) || !limit_units(t, factor->size)) return false;
    t->used[index] = factor;
    for (int i = 0; i < at->n_operands + at->n_results; i++) {
        uint32_t id = value_at(at, i);
        int dim = factor_dim(factor, at, i);
        bool partial = i >= at->n_operands && dim < 0 && factor->kind == TW_FACTOR_REDUCE;
        if (id == ABSENT) continue;
        if (dim >= 0 && major_factor(list, at, i, dim) != factor) return false;
        if (partial && t->reduction && t->reduction != factor->reduction) return false;
        if (partial) t->reduction = factor->reduction;
        if (partial ? !put(t, id, PARTIAL) : dim >= 0 && !put(t, id, dim)) return false;
    }
    return true;
}

static bool spread(trial *t, uint32_t seed, int dim) {
    const tw_graph *body = t->s->body;
    for (size_t i = 0; i < body->values.count; i++) t->cut[i] = WHOLE;
    for (size_t i = 0; i < body->nodes.count; i++) t->used[i] = NULL;
    t->reduction = (tw_reduction)0;
    t->units = type_of(t->s, seed).shape.dim[dim];
    t->cut[seed] = (int8_t)dim;
    do {
        t->changed = false;
        for (uint32_t i = 0; i < body->nodes.count; i++)
            if (t->s->live[i] && !spread_node(t, i)) return false;
    } while (t->changed); /* ends: each round cuts a value more */
    return true;
}

/* ---- whether another size gives the same program ---- */

/* extent * up / down; TW_DIM_NONE when there is none. */
static int64_t scaled(const trial *t, int64_t extent, int64_t up, int64_t down) {
    tw_context *context = t->s->signature->context;
    return tw_dim_div(context, tw_dim_mul(context, extent, up), down);
}

static tw_type scaled_type(const trial *t, uint32_t id, int64_t up, int64_t down) {
    tw_type type = type_of(t->s, id);
    if (t->cut[id] >= 0)
        type.shape.dim[t->cut[id]] = scaled(t, type.shape.dim[t->cut[id]], up, down);
    return type;
}

/* Where the attribute states it: the entry of a list, or an integer. */
static int64_t *stated(const tw_operator *op, tw_factor_attr where, tw_attr *attr) {
    bool integer = op->attributes[where.extent - 1].kind == TW_ATTR_INT;
    return integer ? &attr->i : &attr->list.dim[where.entry];
}

static bool same_node(const trial *t, const tw_graph *other, uint32_t index, int64_t up,
                      int64_t down) {
    const node *a = &t->s->body->nodes.at[index], *b = &other->nodes.at[index];
    if (a->op != b->op || a->n_operands != b->n_operands || a->first_result != b->first_result)
        return false;
    for (int k = 0; k < a->n_operands; k++)
        if (a->operand[k] != b->operand[k]) return false;
    for (int k = 0; k < operator_attr_count(a->op); k++) {
        tw_attr want = a->attr[k];
        const tw_factor *used = t->used[index];
        if (used && used->attr.extent == k + 1) {
            int64_t *entry = stated(a->op, used->attr, &want);
            *entry = scaled(t, *entry, up, down);
        }
        if (!attr_equal(&a->op->attributes[k], &want, &b->attr[k])) return false;
    }
    for (int k = 0; k < a->n_results; k++) {
        uint32_t id = a->first_result + (uint32_t)k;
        if (!shape_equal(scaled_type(t, id, up, down).shape, other->values.at[id].type.shape))
            return false;
    }
    return true;
}

static bool same_program(const trial *t, const tw_graph *other, int64_t up, int64_t down) {
    const tw_graph *body = t->s->body;
    if (!other || other->nodes.count != body->nodes.count ||
        other->values.count != body->values.count)
        return false;
    for (uint32_t i = 0; i < body->nodes.count; i++)
        if (t->s->live[i] && !same_node(t, other, i, up, down)) return false;
    return true;
}

/*
 * The body built for the cut dimension up/down as long must be the same program on other arrays:
 * one that uses an extent as a number (a mean) would give each piece another number.
 */
static bool fits_at(const trial *t, const tw_factor_attr *follow, int64_t up, int64_t down) {
    const tw_signature *of = t->s->signature;
    tw_graph *graph = t->s->graph;
    tw_type types[TW_MAX_OPERANDS] = {{0}};
    tw_attr attr[MOST_ATTRIBUTES];
    int n_attr = operator_attr_count(of->op);
    if (n_attr > MOST_ATTRIBUTES) return false;
    for (int i = 0; i < n_attr; i++) attr[i] = of->attr[i];
    if (follow->extent) {
        int64_t *entry = stated(of->op, *follow, &attr[follow->extent - 1]);
        *entry = scaled(t, *entry, up, down);
        if (*entry == TW_DIM_NONE) return false;
    }
    for (int i = 0; i < of->n_operands; i++) {
        if (t->s->absent[i]) continue;
        types[i] = scaled_type(t, t->s->input[i], up, down);
        for (int k = 0; k < types[i].shape.rank; k++)
            if (types[i].shape.dim[k] == TW_DIM_NONE) return false;
    }
    size_t functions = graph->module->functions.count;
    arena_mark mark = arena_save(&graph->module->arena);
    tw_graph *other =
        graph_body(graph, of->op, of->n_operands, types, t->s->absent, n_attr ? attr : NULL);
    bool same = same_program(t, other, up, down);
    graph->status = TW_OK; /* a body may refuse the types: no error of the caller's */
    graph_drop_functions(graph, functions);
    arena_restore(&graph->module->arena, mark);
    return same;
}

/* Twice as long, and a fraction of at least two units where there is one. */
static bool fits(const trial *t, const tw_factor_attr *follow) {
    if (!fits_at(t, follow, 2, 1)) return false;
    for (int64_t part = 2; part <= t->units / 2; part++)
        if (t->units % part == 0) return fits_at(t, follow, 1, part);
    return true;
}

/* Which attribute of the composite, if any, states what is cut: an extent, a number of heads. */
static bool find_attribute(const trial *t, tw_factor_attr *out) {
    const tw_signature *of = t->s->signature;
    *out = (tw_factor_attr){0};
    if (fits(t, out)) return true;
    for (int i = 0; i < operator_attr_count(of->op); i++) {
        tw_attr_kind kind = of->op->attributes[i].kind;
        int entries = kind == TW_ATTR_DIMS ? of->attr[i].list.rank : kind == TW_ATTR_INT;
        for (int k = 0; k < entries; k++) {
            *out = (tw_factor_attr){.entry = (int8_t)k, .extent = (int8_t)(i + 1)};
            if (fits(t, out)) return true;
        }
    }
    return false;
}

/* ---- factors ---- */

static tw_factor no_factor(tw_factor_kind kind, int64_t size) {
    tw_factor factor = {.kind = kind, .size = size};
    for (int i = 0; i < TW_FACTOR_OPERANDS; i++) factor.operand[i] = -1;
    for (int i = 0; i < TW_MAX_RESULTS; i++) factor.result[i] = -1;
    return factor;
}

/* What the trial found as a factor; false when it is none. */
static bool read_factor(const trial *t, tw_factor *out) {
    const tw_signature *of = t->s->signature;
    int split = 0, partial = 0;
    *out = no_factor(TW_FACTOR_PASS, t->units);
    for (int i = 0; i < of->n_results && i < TW_MAX_RESULTS; i++) {
        int cut = t->cut[t->s->body->outputs.at[i]];
        split += cut >= 0;
        partial += cut == PARTIAL;
        if (cut >= 0) out->result[i] = (int8_t)cut;
    }
    if (partial ? split + partial != of->n_results : split == 0) return false;
    if (partial) {
        out->kind = TW_FACTOR_REDUCE;
        out->reduction = t->reduction;
    }
    for (int i = 0; i < of->n_operands; i++) {
        int cut = t->s->absent[i] ? WHOLE : t->cut[t->s->input[i]];
        if (i >= TW_FACTOR_OPERANDS && cut != out->operand[TW_FACTOR_OPERANDS - 1]) return false;
        out->operand[slot_of(i)] = (int8_t)cut;
    }
    return find_attribute(t, &out->attr);
}

/* The dimensions of operands (by slot) and results that are in the list. */
typedef struct covered {
    bool operand[TW_FACTOR_OPERANDS][TW_MAX_RANK], result[TW_MAX_RESULTS][TW_MAX_RANK];
} covered;

/* Marks what the factor covers; false, and nothing marked, where it is covered already. */
static bool cover(covered *c, const tw_factor *factor) {
    for (int pass = 0; pass < 2; pass++) {
        for (int i = 0; i < TW_FACTOR_OPERANDS; i++) {
            if (factor->operand[i] < 0) continue;
            if (!pass && c->operand[i][factor->operand[i]]) return false;
            if (pass) c->operand[i][factor->operand[i]] = true;
        }
        for (int i = 0; i < TW_MAX_RESULTS; i++) {
            if (factor->result[i] < 0) continue;
            if (!pass && c->result[i][factor->result[i]]) return false;
            if (pass) c->result[i][factor->result[i]] = true;
        }
    }
    return true;
}

static void add(factors *list, tw_factor factor) {
    if (list->n < TW_MAX_FACTORS) list->at[list->n++] = factor;
}

static void add_whole(factors *list, bool result, int i, int dim, int64_t size) {
    tw_factor factor = no_factor(TW_FACTOR_REPLICATE, size);
    if (result && i < TW_MAX_RESULTS)
        factor.result[i] = (int8_t)dim;
    else
        factor.operand[slot_of(i)] = (int8_t)dim;
    add(list, factor);
}

/* What is left of each covered dimension below its major factor stays together. */
static void add_rests(const trial *t, const tw_factor *factor, factors *list) {
    const tw_signature *of = t->s->signature;
    for (int i = 0; i < of->n_operands && i < TW_FACTOR_OPERANDS; i++) {
        if (factor->operand[i] < 0) continue;
        int64_t extent = of->operand[i].shape.dim[factor->operand[i]];
        if (extent != t->units) add_whole(list, false, i, factor->operand[i], extent / t->units);
    }
    for (int i = 0; i < of->n_results; i++) {
        if (factor->result[i] < 0) continue;
        int64_t extent = type_of(t->s, t->s->body->outputs.at[i]).shape.dim[factor->result[i]];
        if (extent != t->units) add_whole(list, true, i, factor->result[i], extent / t->units);
    }
}

static void try_dimension(trial *t, covered *c, bool result, int i, int dim, factors *list) {
    uint32_t seed = result ? t->s->body->outputs.at[i] : t->s->input[i];
    bool *done = result ? c->result[i] : c->operand[slot_of(i)];
    tw_factor factor;
    if (done[dim]) return;
    if (spread(t, seed, dim) && read_factor(t, &factor) && cover(c, &factor)) {
        add(list, factor);
        add_rests(t, &factor, list);
        return;
    }
    done[dim] = true;
    add_whole(list, result, i, dim, type_of(t->s, seed).shape.dim[dim]);
}

static void find_factors(trial *t, factors *list) {
    const tw_signature *of = t->s->signature;
    covered c = {0};
    for (int i = 0; i < of->n_operands; i++)
        for (int dim = 0; !t->s->absent[i] && dim < of->operand[i].shape.rank; dim++)
            try_dimension(t, &c, false, i, dim, list);
    for (int i = 0; i < of->n_results; i++)
        for (int dim = 0; dim < type_of(t->s, t->s->body->outputs.at[i]).shape.rank; dim++)
            try_dimension(t, &c, true, i, dim, list);
}

/* Nothing can be cut. */
static void add_all_whole(const tw_signature *signature, factors *list) {
    for (int i = 0; i < signature->n_operands && i < TW_FACTOR_OPERANDS; i++)
        for (int dim = 0; dim < signature->operand[i].shape.rank; dim++)
            add_whole(list, false, i, dim, signature->operand[i].shape.dim[dim]);
    for (int i = 0; i < signature->n_results; i++)
        for (int dim = 0; dim < signature->result[i].shape.rank; dim++)
            add_whole(list, true, i, dim, signature->result[i].shape.dim[dim]);
}

static bool derive_factors(scratch *s, factors *list) {
    tw_context *context = s->signature->context;
    const tw_graph *body = s->body;
    factors *of = context_allocate(context, body->nodes.count, sizeof *of);
    trial t = {.s = s, .of = of};
    t.cut = context_allocate(context, body->values.count, sizeof *t.cut);
    t.used = context_allocate(context, body->nodes.count, sizeof *t.used);
    bool good = of && t.cut && t.used;
    for (size_t i = 0; good && i < body->nodes.count; i++) {
        tw_type operand[TW_MAX_OPERANDS], result[TW_MAX_RESULTS];
        tw_signature signature = signature_of(s, &body->nodes.at[i], operand, result);
        if (s->live[i]) of[i].n = signature_factors(&signature, of[i].at);
    }
    if (good) find_factors(&t, list);
    context_release(context, of);
    context_release(context, t.cut);
    context_release(context, (void *)t.used);
    return good;
}

int signature_factors(const tw_signature *signature, tw_factor *out) {
    tw_context *context = signature->context;
    if (signature->op->factors) return signature->op->factors(signature, out);
    char message[sizeof context->message];
    memcpy(message, context->message, sizeof message);
    tw_status status = context->status;
    factors list = {0};
    scratch s = {.signature = signature};
    bool good = signature->op->body && scratch_open(&s, signature) && derive_factors(&s, &list);
    scratch_close(&s);
    if (!good) list.n = 0;
    if (!good) add_all_whole(signature, &list);
    /* Bodies that refuse a trial are no failure. */
    memcpy(context->message, message, sizeof message);
    context->status = status;
    for (int i = 0; i < list.n; i++) out[i] = list.at[i];
    return list.n;
}

/* ---- cost ---- */

static double bytes_of(int n, const tw_type *types) {
    double sum = 0;
    for (int i = 0; i < n; i++) {
        double bytes = (double)tw_dtype_size(types[i].dtype); /* 0 for an absent one */
        for (int k = 0; k < types[i].shape.rank; k++) bytes *= (double)types[i].shape.dim[k];
        sum += bytes;
    }
    return sum;
}

static bool add_flops(tw_graph *graph, const uint8_t *live, double *flops);

/* A composite's body. */
static bool body_flops(const tw_signature *signature, double *flops) {
    scratch s = {.signature = signature};
    bool good = scratch_open(&s, signature) && add_flops(s.body, s.live, flops);
    scratch_close(&s);
    return good;
}

/* The nodes of a function; live NULL: all. */
static bool add_flops(tw_graph *graph, const uint8_t *live, double *flops) {
    const scratch s = {.signature = &(tw_signature){.context = graph->module->context},
                       .body = graph};
    for (size_t i = 0; i < graph->nodes.count; i++) {
        tw_type operand[TW_MAX_OPERANDS], result[TW_MAX_RESULTS];
        tw_signature part = signature_of(&s, &graph->nodes.at[i], operand, result);
        tw_cost cost = {0, 0};
        if (live && !live[i]) continue;
        if (!signature_cost(&part, &cost)) return false;
        *flops += cost.flops;
    }
    return true;
}

bool signature_cost(const tw_signature *signature, tw_cost *out) {
    const tw_operator *op = signature->op;
    *out = (tw_cost){0, 0};
    if (op->cost) op->cost(signature, out);
    if (operator_calls(op))
        return !signature->attr[0].function ||
               add_flops(signature->attr[0].function, NULL, &out->flops);
    if (op->cost) return true;
    out->bytes = bytes_of(signature->n_operands, signature->operand) +
                 bytes_of(signature->n_results, signature->result);
    return op->body && body_flops(signature, &out->flops);
}
