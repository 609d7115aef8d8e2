/* From a fused function to its loops. */
#include "codegen/generated/nest.h"

#include "ir/dimension.h"
#include "ir/expression.h"
#include "ops/conv.h"

static const node *maker(const nest *n, uint32_t value) {
    return &n->function->nodes.at[n->function->values.at[value].node];
}

static tw_shape shape_of(const nest *n, uint32_t value) {
    return n->function->values.at[value].type.shape;
}

/* ---- the box ---- */

static bool find_domain(nest *n) {
    const tw_graph *f = n->function;
    for (size_t i = 0; i < f->nodes.count; i++) {
        const node *it = &f->nodes.at[i];
        if (!node_is(it, "reduce")) continue;
        n->domain = shape_of(n, it->operand[0]);
        for (int k = 0; k < it->attr[1].list.rank; k++) n->reduced |= 1u << it->attr[1].list.dim[k];
        return true;
    }
    if (!f->outputs.count) return false;
    n->domain = shape_of(n, f->outputs.at[0]);
    return true;
}

static bool is_row(const nest *n, uint32_t value) {
    return n->reduced && shape_of(n, value).rank < n->domain.rank;
}

/* ---- which axes each operand has, of the domain ---- */

static uint32_t own_axes(const nest *n, bool row) {
    uint32_t all = (1u << n->domain.rank) - 1;
    return row ? all & ~n->reduced : all;
}

static uint32_t operand_axes(const nest *n, const node *it) {
    if (node_is(it, "reduce")) return own_axes(n, false);
    uint32_t own = own_axes(n, n->row[it->first_result]);
    if (!node_is(it, "broadcast")) return own;
    uint32_t bits = 0, place[TW_MAX_RANK];
    int rank = 0;
    for (uint32_t axis = 0; axis < (uint32_t)n->domain.rank; axis++)
        if (own >> axis & 1) place[rank++] = axis;
    for (int i = 0; i < it->attr[1].list.rank; i++) bits |= 1u << place[it->attr[1].list.dim[i]];
    return bits;
}

static int input_index(const nest *n, uint32_t value) {
    if (n->product && n->product->first_result == value) return (int)n->function->inputs.count;
    for (size_t i = 0; i < n->function->inputs.count; i++)
        if (n->function->inputs.at[i] == value) return (int)i;
    return -1;
}

static bool add_load(nest *n, uint32_t value, uint32_t axes) {
    int input = input_index(n, value);
    for (int i = 0; i < n->n_loads; i++)
        if (n->load[i].input == input && n->load[i].axes == axes) return true;
    if (input < 0 || n->n_loads == NEST_LOADS) return false;
    n->load[n->n_loads++] = (nest_load){input, axes, n->function->values.at[value].type.dtype};
    return true;
}

/* ---- merging ---- */

/* Whether `next` goes on where the nest's last axis stops, in all that is read and written. */
static bool goes_on(const nest *n, int last, int next) {
    uint32_t before = 1u << last, after = 1u << next;
    /* A product is computed in blocks of rows and columns, a convolution in pieces of the batch. */
    if (n->product && next >= n->columns && last < n->columns) return false;
    if (!(n->reduced & before) != !(n->reduced & after)) return false;
    for (int i = 0; i < n->n_loads; i++)
        if (!(n->load[i].axes & before) != !(n->load[i].axes & after)) return false;
    for (int i = 0; i < n->n_stores; i++)
        if (!(n->store[i].axes & before) != !(n->store[i].axes & after)) return false;
    return true;
}

static uint32_t renamed(const nest *n, uint32_t axes) {
    uint32_t bits = 0;
    for (int i = 0; i < n->n_axes; i++)
        if (axes & n->axis[i].of) bits |= 1u << i;
    return bits;
}

static void merge_axes(nest *n) {
    int last = -1;
    for (int axis = 0; axis < n->domain.rank; axis++) {
        if (n->domain.dim[axis] == 1) continue;
        if (last >= 0 && goes_on(n, last, axis)) {
            n->axis[n->n_axes - 1].of |= 1u << axis;
        } else {
            n->axis[n->n_axes].of = 1u << axis;
            n->axis[n->n_axes++].reduced = n->reduced >> axis & 1;
        }
        last = axis;
    }
    if (!n->n_axes) { /* one element */
        n->axis[0].of = n->domain.rank ? 1u << (n->domain.rank - 1) : 0;
        n->axis[0].reduced = n->reduced != 0;
        n->n_axes = 1;
    }
    for (int i = 0; i < n->n_loads; i++) n->load[i].axes = renamed(n, n->load[i].axes);
    for (int i = 0; i < n->n_stores; i++) n->store[i].axes = renamed(n, n->store[i].axes);
    bool inner_reduced = n->axis[n->n_axes - 1].reduced;
    n->form = !n->reduced ? NEST_ELEMENTS : inner_reduced ? NEST_ROWS : NEST_COLUMNS;
}

int64_t nest_extent(const nest *n, int axis) {
    int64_t product = 1;
    for (int i = 0; i < n->domain.rank; i++) {
        if (!(n->axis[axis].of >> i & 1)) continue;
        if (n->domain.dim[i] < 0 || __builtin_mul_overflow(product, n->domain.dim[i], &product))
            return -1;
    }
    return product;
}

/* A product's block is rows; a convolution's sample is, too, where they are short: blocks of them would take a division
 * more for each. */
static void find_rows(nest *n) {
    if (!n->product || n->n_axes == 1) return;
    int64_t row = nest_extent(n, n->n_axes - 1);
    n->whole_rows = !conv_by_samples(n->product->op) || (row >= 0 && row <= NEST_BLOCK);
}

/* ---- phases ---- */

/* A value of all axes is computed in the pass over them after the reductions that it needs; a row value
 * after the pass that gives its last sum. */
static void find_phases(nest *n) {
    const tw_graph *f = n->function;
    n->phases = 1;
    n->cuttable = n->form != NEST_ELEMENTS;
    for (size_t i = 0; i < f->nodes.count; i++) {
        const node *it = &f->nodes.at[i];
        uint32_t value = it->first_result;
        uint8_t full = 0, row = 0;
        for (int k = 0; k < it->n_operands; k++) {
            uint32_t from = it->operand[k];
            if (n->row[from] && n->after[from] > row) row = n->after[from];
            if (!n->row[from] && n->phase[from] > full) full = n->phase[from];
        }
        /* after[] counts from 1: a row value of inputs alone is there before the first pass. */
        if (node_is(it, "reduce")) {
            n->after[value] = (uint8_t)(full + 1);
        } else if (n->row[value]) {
            n->after[value] = row;
            if (it->n_operands) n->cuttable = false;
        } else {
            n->phase[value] = row > full ? row : full;
            if (row) n->cuttable = false;
            if (n->phase[value] + 1 > n->phases) n->phases = n->phase[value] + 1;
        }
    }
}

/* Axes of a product's result before those of its second operand, or of a convolution's before a sample's; -1 for
 * another node. */
static int leading_axes(const nest *n, const node *it) {
    if (conv_by_samples(it->op)) return 1;
    if (!node_is(it, "dot")) return -1;
    return shape_of(n, it->operand[0]).rank - it->attr[2].list.rank; /* contract_a */
}

/* A dot or convolution of inputs, whose result is all of the box. */
static bool find_product(nest *n) {
    const tw_graph *f = n->function;
    for (size_t i = 0; i < f->nodes.count; i++) {
        const node *it = &f->nodes.at[i];
        int leading = leading_axes(n, it);
        if (leading < 0) continue;
        if (n->product || n->reduced || !shape_equal(shape_of(n, it->first_result), n->domain))
            return false;
        for (int k = 0; k < it->n_operands; k++)
            if (!node_is(maker(n, it->operand[k]), "input")) return false;
        n->product = it;
        n->columns = leading;
    }
    return !n->product || add_load(n, n->product->first_result, own_axes(n, false));
}

static bool find_loads(nest *n) {
    const tw_graph *f = n->function;
    uint32_t product = n->product ? n->product->first_result : 0;
    for (size_t i = 0; i < f->nodes.count; i++) {
        const node *it = &f->nodes.at[i];
        if (it == n->product) continue;
        for (int k = 0; k < it->n_operands; k++) {
            uint32_t value = it->operand[k], axes = operand_axes(n, it);
            if (product && value == product && axes != own_axes(n, false)) return false;
            if (node_is(maker(n, value), "input") && !add_load(n, value, axes)) return false;
        }
    }
    return true;
}

bool nest_find(nest *out, const tw_graph *function, arena *memory) {
    nest *n = out;
    size_t values = function->values.count;
    memset(n, 0, sizeof *n);
    n->function = function;
    n->row = arena_allocate(memory, values + 1, 1);
    n->phase = arena_allocate(memory, values + 1, 1);
    n->after = arena_allocate(memory, values + 1, 1);
    if (!n->row || !n->phase || !n->after || !find_domain(n)) return false;
    for (uint32_t v = 1; v < values; v++) n->row[v] = is_row(n, v);
    if (!find_product(n) || !find_loads(n)) return false;
    for (size_t i = 0; i < function->outputs.count; i++) {
        uint32_t value = function->outputs.at[i];
        const node *it = maker(n, value);
        if (!it->n_operands) return false;
        n->store[n->n_stores++] =
            (nest_store){value, own_axes(n, n->row[value]), function->values.at[value].type.dtype,
                         node_is(it, "reduce") ? (int)it->attr[0].i + 1 : 0};
    }
    merge_axes(n);
    find_rows(n);
    find_phases(n);
    return true;
}

static int find_load(const nest *n, uint32_t value, uint32_t axes) {
    int input = input_index(n, value);
    for (int i = 0; i < n->n_loads; i++)
        if (n->load[i].input == input && n->load[i].axes == axes) return i;
    return -1;
}

int nest_load_of_product(const nest *n) {
    uint32_t all = (1u << n->domain.rank) - 1;
    return n->product ? find_load(n, n->product->first_result, renamed(n, all)) : -1;
}

int nest_load_of(const nest *n, const node *it, int k) {
    uint32_t value = it->operand[k];
    bool product = n->product && n->product->first_result == value;
    if (!product && !node_is(maker(n, value), "input")) return -1;
    return find_load(n, value, renamed(n, operand_axes(n, it)));
}

uint32_t nest_kept(const nest *n) {
    uint32_t bits = 0;
    for (int i = 0; i < n->n_axes; i++)
        if (!n->axis[i].reduced) bits |= 1u << i;
    return bits;
}

int nest_weight(const nest *n, arena *memory) {
    int weight = 0;
    for (size_t i = 0; i < n->function->nodes.count; i++) {
        const node *it = &n->function->nodes.at[i];
        if (!n->row[it->first_result]) weight += expression_weight(n->function, it, memory);
    }
    return weight;
}
