/* From fused functions to machine code, and from extents to calls. */
#include "codegen/generated/generated.h"

#include <stdio.h>

#include "ir/derive.h"
#include "ir/dimension.h"
#include "ir/expression.h"
#include "ops/conv.h"

enum {
    GRAIN = 65536,      /* operations that are worth a thread of their own */
    LEAST_GRAIN = 2048, /* elements, so */
    FEW_UNITS = 32,     /* so many results of a reduction or fewer are cut into pieces */
    PIECE_ELEMENTS = 16384,
    MOST_PIECES = 256
};

/* ---- machine code ---- */

/* Each operator's own count for a box of one element. */
static bool count_flops(generated *g, const tw_graph *function) {
    for (size_t i = 0; i < function->nodes.count; i++) {
        const node *it = &function->nodes.at[i];
        tw_type operand[TW_SCALAR_OPERANDS], result;
        tw_cost cost = {0, 0};
        if (!it->n_operands || it->n_operands > TW_SCALAR_OPERANDS) continue;
        bool row = g->nest.row[it->first_result];
        if (node_is(it, "reduce")) {
            row = false;
            cost.flops = 1;
        } else {
            for (int k = 0; k < it->n_operands; k++)
                operand[k] = (tw_type){function->values.at[it->operand[k]].type.dtype, TW_SHAPE()};
            result = (tw_type){function->values.at[it->first_result].type.dtype, TW_SHAPE()};
            const tw_signature one = {
                function->module->context, it->op, it->n_operands, 1, operand, &result, it->attr};
            if (it->op->meaning == TW_MEANS_SCALAR && !signature_cost(&one, &cost)) return false;
        }
        *(row ? &g->row_flops : &g->element_flops) += cost.flops;
    }
    return true;
}

static const char *name_of(const nest *n, arena *memory) {
    char name[96] = "";
    size_t length = n->product ? strlen(strcpy(name, n->product->op->name)) : 0;
    for (size_t i = 0; i < n->function->nodes.count; i++) {
        const node *it = &n->function->nodes.at[i];
        if (!it->n_operands || node_is(it, "broadcast") || it == n->product) continue;
        const char *word = it->op->name;
        size_t more = strlen(word) + (length > 0);
        if (length + more + 4 >= sizeof name) {
            snprintf(name + length, sizeof name - length, "+..");
            break;
        }
        length +=
            (size_t)snprintf(name + length, sizeof name - length, "%s%s", length ? "+" : "", word);
    }
    return arena_copy_string(memory, name);
}

static int input_of(const tw_graph *function, uint32_t value) {
    int i = 0;
    while (function->inputs.at[i] != value) i++; /* the nest has looked */
    return i;
}

static generated_product *product_in(const nest *n, uint64_t updated, arena *memory) {
    const node *it = n->product;
    generated_product *made = arena_allocate(memory, 1, sizeof *made);
    size_t count = (size_t)operator_attr_count(it->op);
    tw_attr *attr = arena_allocate(memory, count + 1, sizeof *attr);
    if (!made || !attr) return NULL;
    memcpy(attr, it->attr, count * sizeof *attr); /* lists and numbers, without pointers */
    *made = (generated_product){.op = it->op,
                                .attr = attr,
                                .n_operands = it->n_operands,
                                .type = n->function->values.at[it->first_result].type,
                                .load = nest_load_of_product(n),
                                .by_samples = conv_by_samples(it->op)};
    for (int k = 0; k < it->n_operands; k++)
        made->operand[k] = input_of(n->function, it->operand[k]);
    made->updated = updated >> made->operand[1] & 1;
    return made;
}

/* NULL when there is no text; *status tells whether that is a failure. */
static generated *describe(tw_context *context, const generated_source *from,
                           const machine_target *target, arena *memory, char **text,
                           tw_status *status) {
    generated *g = arena_allocate(memory, 1, sizeof *g);
    *text = NULL;
    *status = g ? TW_OK : TW_ERR_MEMORY;
    if (!g || !nest_find(&g->nest, from->function, memory)) return NULL;
    *text = kernel_text(context, &g->nest, target);
    if (!*text) return NULL;
    g->tile = kernel_tile(&g->nest, target);
    g->weight = nest_weight(&g->nest, memory);
    g->name = name_of(&g->nest, memory);
    if (!g->name || !count_flops(g, from->function)) *status = TW_ERR_MEMORY;
    if (g->nest.product && !(g->product = product_in(&g->nest, from->updated, memory)))
        *status = TW_ERR_MEMORY;
    g->nest.function = NULL;
    g->nest.product = NULL;
    return g;
}

/* Where all extents are known, the product's code is made now, and whether it can fail is known. */
static tw_status settle_product(tw_context *context, generated *g, tw_graph *function) {
    generated_product *product = g->product;
    dot_plan plan;
    int64_t extent[TW_MAX_RANK];
    tw_type operand[2];
    bool known = !product->by_samples;
    for (int k = 0; known && k < 2; k++) {
        operand[k] = function->values.at[function->inputs.at[product->operand[k]]].type;
        known = shape_known(operand[k].shape);
    }
    if (!known) return TW_OK;
    for (int axis = 0; axis < g->nest.n_axes; axis++) extent[axis] = nest_extent(&g->nest, axis);
    const tw_signature dot = {context, product->op, 2, 1, operand, &product->type, product->attr};
    return generated_product_prepare(g, &dot, extent, &plan, &product->sure);
}

tw_status generated_make(tw_context *context, int n, const generated_source *from, arena *memory,
                         generated **out) {
    const machine_target *target = machine_target_of(context);
    char **text = context_allocate(context, (size_t)n + 1, sizeof *text);
    void **code = context_allocate(context, (size_t)n + 1, sizeof *code);
    tw_status status = text && code ? TW_OK : TW_ERR_MEMORY;
    for (int i = 0; i < n; i++) out[i] = NULL;
    for (int i = 0; i < n && target && !status; i++)
        out[i] = describe(context, &from[i], target, memory, &text[i], &status);
    if (!status && target) status = machine_code_get(context, n, (const char *const *)text, code);
    for (int i = 0; i < n && code; i++) {
        if (out[i] && code[i] && !status)
            memcpy(&out[i]->kernel, &code[i], sizeof code[i]); /* ISO C has no cast for this */
        else
            out[i] = NULL;
        if (text) tw_string_free(context, text[i]);
        if (!status && out[i] && out[i]->product)
            status = settle_product(context, out[i], from[i].function);
    }
    context_release(context, text);
    context_release(context, code);
    return status;
}

/* ---- calls ---- */

static int64_t rounded_up(int64_t a, int64_t unit) { return (a + unit - 1) / unit * unit; }
static int64_t quotient_up(int64_t a, int64_t b) { return b ? (a + b - 1) / b : 0; }

/* Steps along each axis of what has the axes `axes`, dense in their order. */
static void set_steps(const nest *n, const int64_t *extent, uint32_t axes, int64_t *step) {
    int64_t next = 1;
    for (int axis = n->n_axes - 1; axis >= 0; axis--) {
        bool has = axes >> axis & 1;
        step[axis] = has ? next : 0;
        if (has) next *= extent[axis];
    }
}

/* Cuts the first reduced axis, by shape alone, where there are few results of many elements. */
static int64_t cut(const nest *n, const int64_t *extent, int64_t units, int64_t elements,
                   int64_t *step) {
    int first = 0;
    while (first < n->n_axes - 1 && !n->axis[first].reduced) first++;
    int64_t of = extent[first];
    *step = of ? of : 1;
    if (!n->cuttable || !n->axis[first].reduced || units > FEW_UNITS ||
        elements < 2 * PIECE_ELEMENTS)
        return 1;
    int64_t wanted = elements / PIECE_ELEMENTS;
    if (wanted > MOST_PIECES) wanted = MOST_PIECES;
    wanted = quotient_up(wanted, units);
    *step = quotient_up(of, wanted);
    if (n->form == NEST_ROWS && first == n->n_axes - 1) *step = rounded_up(*step, 64);
    return quotient_up(of, *step);
}

void generated_bind(const generated *g, const int64_t *extent, generated_call *out) {
    const nest *n = &g->nest;
    int inner = n->n_axes - 1;
    int64_t kept = 1, reduced = 1, step;
    for (int axis = 0; axis < n->n_axes; axis++) {
        out->slot[axis] = extent[axis];
        *(n->axis[axis].reduced ? &reduced : &kept) *= extent[axis];
    }
    int64_t elements = kept * reduced, each;
    if (n->form == NEST_ELEMENTS) {
        step = extent[inner] > NEST_BLOCK && !n->whole_rows ? NEST_BLOCK
               : extent[inner]                              ? extent[inner]
                                                            : 1;
        out->pieces = quotient_up(extent[inner], step);
        out->units = extent[inner] ? kept / extent[inner] * out->pieces : 0;
        each = step;
    } else {
        int64_t units = kept;
        each = reduced;
        if (n->form == NEST_COLUMNS) {
            units = extent[inner] ? kept / extent[inner] * quotient_up(extent[inner], g->tile) : 0;
            each = reduced * g->tile;
        }
        out->pieces = units ? cut(n, extent, units, elements, &step) : 1;
        if (!units) step = 1;
        out->units = units * out->pieces;
        each = quotient_up(each, out->pieces);
    }
    out->kept = kept;
    out->elements = elements;
    int64_t grain = GRAIN / (2 + g->weight);
    if (grain < LEAST_GRAIN) grain = LEAST_GRAIN;
    out->grain = each ? quotient_up(grain, each) : 1;
    out->slot[kernel_slot(n, KERNEL_STEP)] = step;
    out->slot[kernel_slot(n, KERNEL_PIECES)] = out->pieces;
    out->slot[kernel_slot(n, KERNEL_KEPT)] = kept;
    for (int i = 0; i < n->n_loads; i++)
        set_steps(n, extent, n->load[i].axes, out->slot + kernel_slot_load(n, i) + 1);
    for (int i = 0; i < n->n_stores; i++)
        set_steps(n, extent, n->store[i].axes, out->slot + kernel_slot_store(n, i) + 1);
}
