/* Clusters: which nodes can be members, and which clusters may become one. */
#include "passes/cluster.h"

#include "base/arena.h"
#include "ir/dimension.h"
#include "ir/expression.h"
#include "ops/conv.h"
#include "passes/rewrite.h"

enum {
    SEARCH = 4096,       /* nodes that a search for a way around looks at */
    SMALL = 16,          /* elements of what takes no time worth counting */
    MOST_WAITING = 2,    /* values that may be kept for a sum of more */
    FEW_ROWS = 32,       /* so many rows or fewer are cut, to have work for every thread, */
    CUT_ELEMENTS = 32768 /* where the box has so many elements or more */
};

/* The relation of a value to the domain of a cluster that makes or reads it: which axes it has. */
static uint32_t all_axes(const cluster *c) { return (1u << c->domain.rank) - 1; }
static uint32_t row_axes(const cluster *c) { return all_axes(c) & ~c->reduced; }

static tw_shape shape_of(const clusters *c, uint32_t value) {
    return c->graph->values.at[value].type.shape;
}

static bool is_row_shape(const cluster *of, tw_shape shape) {
    int rank = 0;
    for (int axis = 0; axis < of->domain.rank; axis++) {
        if (of->reduced >> axis & 1) continue;
        if (rank >= shape.rank || shape.dim[rank++] != of->domain.dim[axis]) return false;
    }
    return rank == shape.rank;
}

bool cluster_copies(const tw_graph *graph, uint32_t value) {
    return node_is(&graph->nodes.at[graph->values.at[value].node], "splat");
}

/* ---- single nodes ---- */

static bool types_served(const clusters *c, const node *it) {
    for (int i = 0; i < it->n_operands; i++)
        if (it->operand[i] == ABSENT ||
            !scalar_type_of(c->graph->values.at[it->operand[i]].type.dtype))
            return false;
    return scalar_type_of(c->graph->values.at[it->first_result].type.dtype) != 0;
}

static bool has_expression(const clusters *c, const node *it) {
    arena memory;
    expression found;
    arena_start(&memory, c->context);
    bool has = expression_of_node(c->graph, it, &memory, &found);
    arena_end(&memory);
    return has;
}

/* A reduction in the type of what it reduces. */
static bool is_reduction(const clusters *c, const node *it) {
    if (!node_is(it, "reduce") || it->attr[1].list.rank == 0) return false;
    tw_dtype from = c->graph->values.at[it->operand[0]].type.dtype;
    return from != TW_BOOL && from == c->graph->values.at[it->first_result].type.dtype;
}

static tw_type nominal_type(tw_context *context, tw_type type) {
    for (int i = 0; i < type.shape.rank; i++)
        type.shape.dim[i] = nominal_extent(context, type.shape.dim[i]);
    return type;
}

bool cluster_product(tw_context *context, const tw_graph *graph, const node *it,
                     matrix_product *m) {
    if (!node_is(it, "dot")) return false;
    tw_type operand[2], result = nominal_type(context, graph->values.at[it->first_result].type);
    for (int k = 0; k < 2; k++) {
        operand[k] = nominal_type(context, graph->values.at[it->operand[k]].type);
        if (cluster_copies(graph, it->operand[k])) return false;
    }
    const tw_signature signature = {context, it->op, 2, 1, operand, &result, it->attr};
    *m = (matrix_product){0};
    bool some = shape_elements(operand[0].shape) > 0 && shape_elements(result.shape) > 0;
    return some && operand[0].dtype == TW_F32 && result.dtype == TW_F32 &&
           product_of(&signature, m) && product_tiled(m);
}

/* A convolution whose result is there piece by piece of the batch. */
static bool is_convolution(const clusters *c, const node *it) {
    if (!conv_by_samples(it->op)) return false;
    tw_type result = nominal_type(c->context, c->graph->values.at[it->first_result].type);
    bool f32 = result.dtype == TW_F32;
    for (int k = 0; k < it->n_operands; k++)
        f32 = f32 && c->graph->values.at[it->operand[k]].type.dtype == TW_F32 &&
              !cluster_copies(c->graph, it->operand[k]);
    bool known = !node_is(it, "conv_input_grad") || shape_known(it->attr[CONV_MORE].list);
    return f32 && known && result.shape.dim[0] >= CONV_FEW_SAMPLES &&
           shape_elements(result.shape) > 0;
}

static bool can_join(const clusters *c, const node *it) {
    if (!it->n_operands || it->n_results != 1 || it->op->effect || !types_served(c, it))
        return false;
    if (is_reduction(c, it) || node_is(it, "broadcast")) return true;
    return it->op->meaning == TW_MEANS_SCALAR && has_expression(c, it);
}

/* What takes no time of its own is there as soon as what it reads. */
static void find_ready(clusters *c, uint32_t index) {
    const node *it = &c->graph->nodes.at[index];
    tw_shape shape = it->n_results ? shape_of(c, it->first_result) : TW_SHAPE();
    bool small = shape_known(shape) && shape_elements(shape) <= SMALL;
    bool light = small || can_join(c, it) || node_is(it, "reshape") ||
                 node_is(it, "stop_gradient") || node_is(it, "transpose");
    c->ready[index] = light || !it->n_operands ? 0 : index;
    for (int k = 0; light && k < it->n_operands; k++) {
        uint32_t before = c->ready[c->graph->values.at[it->operand[k]].node];
        if (before > c->ready[index]) c->ready[index] = before;
    }
}

static void start(clusters *c, uint32_t index) {
    const node *it = &c->graph->nodes.at[index];
    find_ready(c, index);
    c->of[index] = NO_CLUSTER;
    c->next[index] = NO_NODE;
    matrix_product m;
    bool product =
        c->live[index] && (cluster_product(c->context, c->graph, it, &m) || is_convolution(c, it));
    if (!c->live[index] || (!product && !can_join(c, it))) return;
    bool reduces = node_is(it, "reduce");
    c->of[index] = c->count;
    c->row[index] = reduces;
    cluster *made = &c->at[c->count++];
    *made = (cluster){.members = 1, .first = index, .last = index};
    made->product = product ? index : NO_NODE;
    made->domain = shape_of(c, reduces ? it->operand[0] : it->first_result);
    made->reduced = reduces ? axes_bits(&it->attr[1].list) : 0;
    made->ready = c->ready[index];
}

/* ---- what merging asks ---- */

/* Axes of the reader's domain that operand k of one of its members has. */
static uint32_t read_axes(const clusters *c, const cluster *reader, const node *it,
                          uint32_t index) {
    if (node_is(it, "reduce")) return all_axes(reader);
    uint32_t own = c->row[index] ? row_axes(reader) : all_axes(reader);
    if (!node_is(it, "broadcast")) return own;
    uint32_t bits = 0, place[TW_MAX_RANK];
    int rank = 0;
    for (uint32_t axis = 0; axis < (uint32_t)reader->domain.rank; axis++)
        if (own >> axis & 1) place[rank++] = axis;
    for (int i = 0; i < it->attr[1].list.rank; i++) bits |= 1u << place[it->attr[1].list.dim[i]];
    return bits;
}

static bool known_product(tw_shape shape, uint32_t axes, int64_t *out) {
    *out = 1;
    for (int i = 0; i < shape.rank; i++) {
        if (!(axes >> i & 1)) continue;
        if (shape.dim[i] < 0) return false;
        if (__builtin_mul_overflow(*out, shape.dim[i], out)) return false;
    }
    return true;
}

/* Few rows, each of many elements: its sums are cut into pieces that are put together after the
 * kernel, which therefore can't use them. */
static bool wants_cut(const cluster *c, uint32_t reduced) {
    int64_t rows, elements;
    uint32_t kept = all_axes(c) & ~reduced;
    if (!reduced || !known_product(c->domain, kept, &rows)) return false;
    bool inner_kept = kept >> (c->domain.rank - 1) & 1;
    int64_t last = c->domain.dim[c->domain.rank - 1];
    if (inner_kept && last > 0) rows = rows / last * ((last + 63) / 64);
    if (rows > FEW_ROWS) return false;
    return !known_product(c->domain, all_axes(c), &elements) || elements >= CUT_ELEMENTS;
}

typedef enum relation {
    RELATION_NONE,
    RELATION_SAME,         /* one domain */
    RELATION_READER_ROWS,  /* the reader's domain is the producer's rows */
    RELATION_PRODUCER_ROWS /* the producer's domain is the reader's rows */
} relation;

/* How the maker of a value and a reader of it fit, the reader's node being `index`. */
static relation relate(const clusters *c, const cluster *maker, bool value_is_row,
                       const cluster *reader, uint32_t index) {
    uint32_t made = value_is_row ? row_axes(maker) : all_axes(maker);
    uint32_t read = read_axes(c, reader, &c->graph->nodes.at[index], index);
    bool compatible = !maker->reduced || !reader->reduced || maker->reduced == reader->reduced;
    if (compatible && made == read && shape_equal(maker->domain, reader->domain))
        return RELATION_SAME;
    if (value_is_row && read == all_axes(reader) && !reader->reduced &&
        is_row_shape(maker, reader->domain))
        return RELATION_READER_ROWS;
    if (!value_is_row && !maker->reduced && reader->reduced && read == row_axes(reader) &&
        is_row_shape(reader, maker->domain))
        return RELATION_PRODUCER_ROWS;
    return RELATION_NONE;
}

/* Whether the sums of the merged cluster can still be put together after it. */
static bool keeps_cut(const cluster *maker, const cluster *reader, relation how,
                      bool value_is_row) {
    const cluster *box = how == RELATION_PRODUCER_ROWS ? reader : maker;
    if (!wants_cut(box, maker->reduced | reader->reduced)) return true;
    return how == RELATION_SAME && !value_is_row && !maker->after && !maker->rows &&
           !reader->after && !reader->rows;
}

/* ---- searches ---- */

static void push(clusters *c, uint32_t *depth, uint32_t index) {
    uint32_t of = c->of[index], at = of == NO_CLUSTER ? index : c->at[of].first;
    if (c->seen[at]) return;
    for (; at != NO_NODE; at = of == NO_CLUSTER ? NO_NODE : c->next[at]) {
        c->seen[at] = 1;
        c->stack[(*depth)++] = at;
    }
}

static void push_readers(clusters *c, uint32_t *depth, uint32_t index, uint32_t but) {
    const node *it = &c->graph->nodes.at[index];
    for (uint32_t v = it->first_result; v < it->first_result + (uint32_t)it->n_results; v++)
        for (uint32_t k = c->readers[v]; k < c->readers[v + 1]; k++)
            if (c->of[c->reader[k]] == NO_CLUSTER || c->of[c->reader[k]] != but)
                push(c, depth, c->reader[k]);
}

/* Whether a path leads from cluster `a` to cluster `b` by way of a node of neither. An honest "no" only:
 * a search that grows too long says yes. */
static bool goes_around(clusters *c, uint32_t a, uint32_t b) {
    uint32_t depth = 0, looked = 0;
    bool found = false;
    memset(c->seen, 0, c->graph->nodes.count);
    for (uint32_t i = c->at[a].first; i != NO_NODE; i = c->next[i]) c->seen[i] = 1;
    /* The first steps leave a by nodes outside b; from there b must not be met. */
    for (uint32_t i = c->at[a].first; i != NO_NODE; i = c->next[i]) push_readers(c, &depth, i, b);
    while (depth && !found) {
        uint32_t index = c->stack[--depth];
        if (++looked > SEARCH) return true;
        found = c->of[index] == b;
        if (!found) push_readers(c, &depth, index, NO_CLUSTER - 1);
    }
    return found;
}

/* ---- merging ---- */

/* Distinct values that the two read from elsewhere, and those that others read. */
static bool fits(clusters *c, uint32_t a, uint32_t b) {
    uint32_t input[CLUSTER_INPUTS], inputs = 0, outputs = 0;
    uint32_t pair[2] = {a, b};
    if (c->at[a].members + c->at[b].members > CLUSTER_MEMBERS) return false;
    for (int side = 0; side < 2; side++)
        for (uint32_t i = c->at[pair[side]].first; i != NO_NODE; i = c->next[i]) {
            const node *it = &c->graph->nodes.at[i];
            uint32_t inner = 0, of = it->first_result;
            for (uint32_t k = c->readers[of]; k < c->readers[of + 1]; k++)
                inner += c->of[c->reader[k]] == a || c->of[c->reader[k]] == b;
            if (c->uses[of] > inner && ++outputs > CLUSTER_OUTPUTS) return false;
            for (int k = 0; k < it->n_operands; k++) {
                uint32_t from = it->operand[k], maker = c->of[c->graph->values.at[from].node];
                if (maker == a || maker == b || cluster_copies(c->graph, from)) continue;
                uint32_t known = 0;
                while (known < inputs && input[known] != from) known++;
                if (known < inputs) continue;
                if (inputs == CLUSTER_INPUTS) return false;
                input[inputs++] = from;
            }
        }
    return true;
}

/* Whether the maker of a value would wait for work that comes later, and others for it, or what it reads
 * would be kept meanwhile: a sum of many parts is added up part by part. */
static bool delays(const clusters *c, uint32_t maker, uint32_t reader) {
    uint32_t waiting = 0;
    if (c->at[reader].ready <= c->at[maker].ready) return false;
    if (c->at[maker].reduced) return true; /* its result is small, what it reads is not */
    for (uint32_t i = c->at[maker].first; i != NO_NODE; i = c->next[i]) {
        const node *member = &c->graph->nodes.at[i];
        for (uint32_t k = c->readers[member->first_result];
             k < c->readers[member->first_result + 1]; k++) {
            uint32_t of = c->of[c->reader[k]];
            if (of == NO_CLUSTER || (of != maker && of != reader)) return true;
        }
        for (int k = 0; k < member->n_operands; k++) {
            uint32_t value = member->operand[k], from = c->graph->values.at[value].node;
            waiting += c->of[from] != maker && c->uses[value] == 1 &&
                       c->graph->nodes.at[from].n_operands > 0;
        }
    }
    return waiting > MOST_WAITING;
}

/* Whether one reads what the other reads or makes: else nothing is saved by going over both at once. */
static bool shares(const clusters *c, uint32_t a, uint32_t b) {
    for (uint32_t i = c->at[b].first; i != NO_NODE; i = c->next[i])
        for (int k = 0; !c->row[i] && k < c->graph->nodes.at[i].n_operands; k++) {
            if (node_is(&c->graph->nodes.at[i], "broadcast")) break;
            uint32_t value = c->graph->nodes.at[i].operand[k];
            uint32_t from = c->graph->values.at[value].node;
            if (cluster_copies(c->graph, value)) continue;
            if (c->of[from] == a && !c->row[from]) return true;
            for (uint32_t r = c->readers[value]; r < c->readers[value + 1]; r++)
                if (c->of[c->reader[r]] == a) return true;
        }
    return false;
}

static void make_rows(clusters *c, cluster *of) {
    for (uint32_t i = of->first; i != NO_NODE; i = c->next[i]) c->row[i] = 1;
    of->rows = true;
}

/* `reader` goes into `maker`. */
static void merge(clusters *c, uint32_t maker, uint32_t reader, relation how, bool value_is_row) {
    cluster *a = &c->at[maker], *b = &c->at[reader];
    if (how == RELATION_READER_ROWS) make_rows(c, b);
    if (how == RELATION_PRODUCER_ROWS) {
        make_rows(c, a);
        a->domain = b->domain;
    }
    a->after = a->after || b->after || (how == RELATION_SAME && value_is_row);
    a->rows = a->rows || b->rows;
    a->reduced |= b->reduced;
    a->ready = a->ready > b->ready ? a->ready : b->ready;
    for (uint32_t i = b->first; i != NO_NODE; i = c->next[i]) c->of[i] = maker;
    c->next[a->last] = b->first;
    a->last = b->last;
    a->members += b->members;
    b->members = 0;
}

static void try_edge(clusters *c, uint32_t value, uint32_t index) {
    uint32_t from = c->graph->values.at[value].node, maker = c->of[from], reader = c->of[index];
    if (maker == NO_CLUSTER || reader == NO_CLUSTER || maker == reader) return;
    if (c->at[maker].product != NO_NODE || c->at[reader].product != NO_NODE) return;
    bool row = c->row[from];
    relation how = relate(c, &c->at[maker], row, &c->at[reader], index);
    if (how == RELATION_NONE || !keeps_cut(&c->at[maker], &c->at[reader], how, row)) return;
    if (how == RELATION_SAME && row && !shares(c, maker, reader)) return;
    if (delays(c, maker, reader)) return;
    if (!fits(c, maker, reader) || goes_around(c, maker, reader) || goes_around(c, reader, maker))
        return;
    merge(c, maker, reader, how, row);
}

/* ---- products ---- */

static bool is_assigned(const clusters *c, uint32_t value) {
    for (uint32_t i = 0; i < c->graph->variables.count; i++)
        if (graph_final(c->graph, i) == value) return true;
    return false;
}

/* A variable's next value takes the place of the present one only where nothing can fail, as a convolution can;
 * for open extents it is not known how the product will be computed. */
static bool may_assign(const clusters *c, const node *product, const cluster *reader) {
    bool sure = node_is(product, "dot");
    for (int k = 0; sure && k < 2; k++) sure = shape_known(shape_of(c, product->operand[k]));
    for (uint32_t i = reader->first; !sure && i != NO_NODE; i = c->next[i])
        if (is_assigned(c, c->graph->nodes.at[i].first_result)) return false;
    return true;
}

/* Updates are scheduled after all else: what the product reads is then kept in place of its result. */
static bool keeps_little(const clusters *c, uint32_t product, const cluster *reader) {
    const tw_graph *graph = c->graph;
    matrix_product m;
    bool waits = false;
    for (uint32_t i = reader->first; i != NO_NODE; i = c->next[i])
        waits = waits || graph->nodes.at[i].meta.phase == PHASE_UPDATE;
    if (!waits || graph->nodes.at[product].meta.phase == PHASE_UPDATE) return true;
    if (!cluster_product(c->context, graph, &graph->nodes.at[product], &m)) return false;
    int n = (int)m.rank - 2;
    double rows = (double)m.y_extent[n], columns = (double)m.y_extent[n + 1];
    return (double)m.x_extent[n + 1] * (rows + columns) <= rows * columns;
}

/* Whether all that a cluster's reductions read is made by it and written for others anyway: they can do without the
 * rest of it. */
static bool reduces_results(const clusters *c, uint32_t of) {
    if (c->at[of].after || c->at[of].rows) return false;
    for (uint32_t i = c->at[of].first; i != NO_NODE; i = c->next[i]) {
        const node *it = &c->graph->nodes.at[i];
        if (!node_is(it, "reduce")) continue;
        uint32_t value = it->operand[0], from = c->graph->values.at[value].node, inner = 0;
        for (uint32_t k = c->readers[value]; k < c->readers[value + 1]; k++)
            inner += c->of[c->reader[k]] == of;
        if (c->of[from] != of || c->row[from] || c->uses[value] <= inner) return false;
    }
    return true;
}

/* The elementwise work of `from` goes to cluster `to`, its reductions stay. */
static void move_elementwise(clusters *c, uint32_t to, uint32_t from) {
    cluster *a = &c->at[to], *b = &c->at[from];
    uint32_t next = b->first;
    a->ready = a->ready > b->ready ? a->ready : b->ready;
    b->first = b->last = NO_NODE;
    b->members = 0;
    for (uint32_t i = next; i != NO_NODE; i = next) {
        cluster *goes = node_is(&c->graph->nodes.at[i], "reduce") ? b : a;
        next = c->next[i];
        c->next[i] = NO_NODE;
        *(goes->members++ ? &c->next[goes->last] : &goes->first) = i;
        goes->last = i;
        if (goes == a) c->of[i] = to;
    }
}

/* Elementwise work over the product's result that waits for nothing later, and is not done again on purpose. */
static bool takes_product(const clusters *c, uint32_t of, uint32_t index) {
    const cluster *it = &c->at[of];
    const node *product = &c->graph->nodes.at[index];
    if (it->ready != index || it->product != NO_NODE || (it->reduced && !reduces_results(c, of)) ||
        !shape_equal(it->domain, shape_of(c, product->first_result)))
        return false;
    for (uint32_t i = it->first; i != NO_NODE; i = c->next[i]) {
        const node *member = &c->graph->nodes.at[i];
        bool reads = false;
        for (int k = 0; k < member->n_operands; k++)
            reads = reads || member->operand[k] == product->first_result;
        if (reads && node_is(member, "broadcast")) return false;
        if (member->meta.epoch != product->meta.epoch) return false;
    }
    return may_assign(c, product, it) && keeps_little(c, index, it);
}

/* Node `index`, a product, goes to the first of its readers' clusters that takes it. Reductions stay apart, and
 * keep what they are fused with unless its results are written for others too. */
static void try_product(clusters *c, uint32_t index) {
    uint32_t value = c->graph->nodes.at[index].first_result, own = c->of[index];
    for (uint32_t k = c->readers[value]; k < c->readers[value + 1]; k++) {
        uint32_t reader = c->of[c->reader[k]];
        if (reader == NO_CLUSTER || !takes_product(c, reader, index)) continue;
        if (!fits(c, own, reader) || goes_around(c, own, reader) || goes_around(c, reader, own))
            continue;
        if (c->at[reader].reduced)
            move_elementwise(c, own, reader);
        else
            merge(c, own, reader, RELATION_SAME, false);
        return;
    }
}

/* ---- all of it ---- */

static size_t count_edges(const clusters *c) {
    size_t edges = 0;
    for (size_t i = 0; i < c->graph->nodes.count; i++)
        for (int k = 0; c->live[i] && k < c->graph->nodes.at[i].n_operands; k++)
            edges += c->graph->nodes.at[i].operand[k] != ABSENT;
    return edges;
}

static void list_readers(clusters *c) {
    const tw_graph *graph = c->graph;
    size_t values = graph->values.count;
    for (size_t i = 0; i < graph->nodes.count; i++)
        for (int k = 0; c->live[i] && k < graph->nodes.at[i].n_operands; k++)
            if (graph->nodes.at[i].operand[k] != ABSENT)
                c->readers[graph->nodes.at[i].operand[k] + 1]++;
    for (size_t v = 0; v < values; v++) c->readers[v + 1] += c->readers[v];
    for (size_t i = graph->nodes.count; i-- > 0;)
        for (int k = graph->nodes.at[i].n_operands; c->live[i] && k-- > 0;)
            if (graph->nodes.at[i].operand[k] != ABSENT)
                c->reader[--c->readers[graph->nodes.at[i].operand[k] + 1]] = (uint32_t)i;
    /* The counting down has moved each begin to its place, one entry up. */
    uint32_t edges = (uint32_t)count_edges(c);
    memmove(c->readers, c->readers + 1, values * sizeof *c->readers);
    c->readers[values] = edges;
}

bool clusters_find(clusters *c, tw_context *context, const tw_graph *graph, const uint8_t *live,
                   const uint32_t *uses) {
    size_t nodes = graph->nodes.count;
    *c = (clusters){.context = context, .graph = graph, .live = live, .uses = uses};
    size_t edges = count_edges(c);
    c->of = context_allocate(context, nodes + 1, sizeof *c->of);
    c->next = context_allocate(context, nodes + 1, sizeof *c->next);
    c->row = context_allocate(context, nodes + 1, 1);
    c->seen = context_allocate(context, nodes + 1, 1);
    c->ready = context_allocate(context, nodes + 1, sizeof *c->ready);
    c->stack = context_allocate(context, nodes + 1, sizeof *c->stack);
    c->at = context_allocate(context, nodes + 1, sizeof *c->at);
    c->reader = context_allocate(context, edges + 1, sizeof *c->reader);
    c->readers = context_allocate(context, graph->values.count + 2, sizeof *c->readers);
    if (!c->of || !c->next || !c->row || !c->seen || !c->ready || !c->stack || !c->at ||
        !c->reader || !c->readers)
        return false;
    list_readers(c);
    for (uint32_t i = 0; i < nodes; i++) start(c, i);
    /* Broadcasts first, so that what reads a row is known with what else it reads. */
    for (int broadcasts = 1; broadcasts >= 0; broadcasts--)
        for (uint32_t i = 0; i < nodes; i++)
            for (int k = 0; c->of[i] != NO_CLUSTER && k < graph->nodes.at[i].n_operands; k++) {
                uint32_t value = graph->nodes.at[i].operand[k];
                if (!broadcasts ||
                    node_is(&graph->nodes.at[graph->values.at[value].node], "broadcast"))
                    try_edge(c, value, i);
            }
    for (uint32_t i = 0; i < nodes; i++)
        if (c->of[i] != NO_CLUSTER && c->at[c->of[i]].product == i) try_product(c, i);
    return true;
}

void clusters_free(clusters *c) {
    context_release(c->context, c->of);
    context_release(c->context, c->next);
    context_release(c->context, c->row);
    context_release(c->context, c->seen);
    context_release(c->context, c->ready);
    context_release(c->context, c->stack);
    context_release(c->context, c->at);
    context_release(c->context, c->reader);
    context_release(c->context, c->readers);
}
