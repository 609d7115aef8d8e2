/* Pieces of nodes: local operands, local attributes, and the whole from its pieces. */
#include "grad/pieces.h"

#include "ir/dimension.h"

static bool out_of_memory(pieces *p) {
    graph_error(p->graph, TW_ERR_MEMORY, "out of memory for microbatches");
    return false;
}

piece_value *pieces_value(pieces *p, uint32_t id) {
    while (p->value.count <= id)
        if (!VECTOR_PUSH(p->graph->module->context, &p->value)) {
            out_of_memory(p);
            return NULL;
        }
    return &p->value.at[id];
}

void pieces_end(pieces *p) {
    tw_context *context = p->graph->module->context;
    for (size_t i = 0; i < p->value.count; i++) {
        context_release(context, p->value.at[i].piece);
        context_release(context, p->value.at[i].stack);
    }
    VECTOR_FREE(context, &p->value);
    VECTOR_FREE(context, &p->plan);
}

/* Appends and gives the first result, ABSENT on failure. */
static uint32_t append(pieces *p, const char *name, int n, const uint32_t *operand,
                       const tw_attr *attr) {
    const tw_operator *op = tw_operator_find(p->graph->module->context, name);
    uint32_t made = op ? graph_append(p->graph, op, n, operand, attr) : NO_NODE;
    return made == NO_NODE ? ABSENT : p->graph->nodes.at[made].first_result;
}

static int64_t local_extent(pieces *p, int64_t extent) {
    return cut_extent(p->graph->module->context, extent, p->parts);
}

/* Where piece k starts. */
static int64_t local_start(pieces *p, int64_t extent, int k) {
    return tw_dim_mul(p->graph->module->context, local_extent(p, extent), k);
}

/* slice: start, limit, step */
static uint32_t append_slice(pieces *p, uint32_t whole, int dim, int k) {
    tw_shape shape = p->graph->values.at[whole].type.shape, start = shape, limit = shape,
             step = shape;
    for (int i = 0; i < shape.rank; i++) start.dim[i] = 0, step.dim[i] = 1;
    start.dim[dim] = local_start(p, shape.dim[dim], k);
    limit.dim[dim] = local_start(p, shape.dim[dim], k + 1);
    const tw_attr attr[] = {tw_attr_dims(start), tw_attr_dims(limit), tw_attr_dims(step)};
    return append(p, "slice", 1, &whole, attr);
}

static uint32_t piece_of(pieces *p, uint32_t id, int dim, int k);

/* random_bits: key, shape, full, offset; iota: dtype, shape, axis, start */
static bool localise_source(pieces *p, const node *at, int dim, int k, tw_attr *attr) {
    const char *name = at->op->name;
    if (!strcmp(name, "splat")) return true;
    int64_t extent = p->graph->values.at[at->first_result].type.shape.dim[dim];
    int64_t start = local_start(p, extent, k);
    if (!strcmp(name, "iota")) {
        if (at->attr[2].i != dim) return true;
        if (start < 0 || __builtin_add_overflow(at->attr[3].i, start, &attr[3].i)) return false;
        return true;
    }
    if (strcmp(name, "random_bits") || start < 0) return false;
    tw_shape shape = at->attr[1].list;
    if (!at->attr[2].list.rank) attr[2] = tw_attr_dims(shape);
    if (!at->attr[3].list.rank) {
        for (int i = 0; i < shape.rank; i++) shape.dim[i] = 0;
        attr[3] = tw_attr_dims(shape);
    }
    return !__builtin_add_overflow(attr[3].list.dim[dim], start, &attr[3].list.dim[dim]);
}

/* The node once more for piece k, result 0 split along `dim` (or partial, dim -1). */
static uint32_t append_local(pieces *p, const node *at, const uint32_t *operand, int dim,
                             const tw_attr *given) {
    tw_graph *graph = p->graph;
    tw_attr attr[32];
    int n = operator_attr_count(at->op);
    if (n > 32) return ABSENT;
    for (int i = 0; i < n; i++) {
        attr[i] = given[i];
        if (dim >= 0 && cut_states_extents(at->op, i))
            attr[i].list.dim[dim] = local_extent(p, attr[i].list.dim[dim]);
    }
    graph->meta = at->meta;
    uint32_t made = graph_append(graph, at->op, at->n_operands, operand, attr);
    return made == NO_NODE ? ABSENT : graph->nodes.at[made].first_result;
}

/* A piece of a whole value that is cheap to build as a piece; ABSENT without error: it is not. */
static uint32_t rebuild(pieces *p, const node *at, int dim, int k) {
    tw_attr attr[32];
    uint32_t operand[TW_MAX_OPERANDS];
    int n = operator_attr_count(at->op);
    cut_plan plan = {.want = {0}};
    if (n > 32 || at->n_results != 1) return ABSENT;
    for (int i = 0; i < n; i++) attr[i] = at->attr[i];
    if (localise_source(p, at, dim, k, attr)) {
        for (int i = 0; i < at->n_operands; i++) operand[i] = at->operand[i];
        return append_local(p, at, operand, dim, attr);
    }
    bool cheap = at->op->meaning == TW_MEANS_SCALAR || at->op->meaning == TW_MEANS_MAP;
    if (!cheap || !at->n_operands || !cut_by_result(p->graph, at, dim, p->parts, &plan))
        return ABSENT;
    for (int i = 0; i < at->n_operands; i++) {
        operand[i] = at->operand[i];
        if (plan.want[i] >= 0) operand[i] = piece_of(p, operand[i], plan.want[i], k);
        if (operand[i] == ABSENT) return ABSENT;
    }
    return append_local(p, at, operand, dim, attr);
}

/* Whether `rebuild` gives the same for every k: a constant, or a broadcast along `dim`. */
static bool is_same_for_all(pieces *p, const node *at, int dim) {
    cut_plan plan = {.want = {0}};
    if (node_is(at, "splat")) return true;
    if (!at->n_operands || at->op->meaning != TW_MEANS_MAP ||
        !cut_by_result(p->graph, at, dim, p->parts, &plan))
        return false;
    for (int i = 0; i < at->n_operands; i++)
        if (plan.want[i] >= 0) return false;
    return true;
}

static bool has_pieces(pieces *p, piece_value *it) {
    if (it->piece) return true;
    it->piece = context_allocate(p->graph->module->context, (size_t)p->parts, sizeof *it->piece);
    for (int k = 0; it->piece && k < p->parts; k++) it->piece[k] = ABSENT;
    return it->piece || out_of_memory(p);
}

/* Piece k of a value along an axis: as it was computed, built anew, or sliced. */
static uint32_t piece_of(pieces *p, uint32_t id, int dim, int k) {
    piece_value *it = &p->value.at[id];
    if (!has_pieces(p, it)) return ABSENT;
    bool computed = !it->kept && it->cut.kind == CUT_SPLIT && it->cut.dim == dim;
    if (computed) return it->piece[k];
    if (it->kept && it->along == dim && it->piece[k] != ABSENT) return it->piece[k];
    if (it->kept && it->along != dim) {
        for (int i = 0; i < p->parts; i++) it->piece[i] = ABSENT;
        it->along = dim;
    }
    const node *maker = &p->plan.at[it->planned - 1].node;
    uint32_t made = ABSENT;
    if (it->kept && k && it->piece[0] != ABSENT && is_same_for_all(p, maker, dim))
        made = it->piece[0];
    else if (it->kept)
        made = rebuild(p, maker, dim, k);
    if (made == ABSENT && !p->graph->status) {
        p->graph->meta = maker->meta;
        made = append_slice(p, id, dim, k);
    }
    if (it->kept) it->piece[k] = made;
    return made;
}

bool pieces_append_whole(pieces *p, const planned *entry) {
    node *made = VECTOR_PUSH(p->graph->module->context, &p->graph->nodes);
    if (!made) return out_of_memory(p);
    *made = entry->node;
    for (int i = 0; i < made->n_results; i++) {
        value *it = &p->graph->values.at[made->first_result + (uint32_t)i];
        it->node = (uint32_t)p->graph->nodes.count - 1;
        it->result = (uint32_t)i;
    }
    return true;
}

static bool keep_piece(pieces *p, uint32_t id, uint32_t piece, int k) {
    tw_graph *graph = p->graph;
    piece_value *it = &p->value.at[id];
    tw_type want = cut_type(graph->module->context, graph->values.at[id].type, it->cut, p->parts);
    if (!shape_equal(want.shape, graph->values.at[piece].type.shape)) {
        const node *made = &graph->nodes.at[graph->values.at[piece].node];
        graph_error(graph, TW_ERR_UNSUPPORTED,
                    "%s%s%s cannot be computed in %d microbatches: a piece has another shape than "
                    "its factors say",
                    made->op->name, *made->meta.scope ? " in scope " : "", made->meta.scope,
                    p->parts);
        return false;
    }
    if (it->cut.kind == CUT_PARTIAL) {
        if (!it->stack) it->stack = context_allocate(graph->module->context, 1, sizeof *it->stack);
        return it->stack ? tree_push(graph, it->cut.reduction, it->stack, piece, k == p->parts - 1)
                         : out_of_memory(p);
    }
    if (!has_pieces(p, it)) return false;
    it->piece[k] = piece;
    return true;
}

bool pieces_append(pieces *p, const planned *entry, int k) {
    const node *at = &entry->node;
    const cut_plan *plan = &entry->cut;
    uint32_t operand[TW_MAX_OPERANDS];
    p->graph->meta = at->meta;
    for (int i = 0; i < at->n_operands; i++) {
        operand[i] = at->operand[i];
        if (operand[i] == ABSENT || plan->want[i] < 0) continue;
        operand[i] = piece_of(p, operand[i], plan->want[i], k);
        if (operand[i] == ABSENT) return false;
    }
    p->graph->meta = at->meta;
    int dim = plan->result[0].kind == CUT_SPLIT ? plan->result[0].dim : -1;
    uint32_t first = append_local(p, at, operand, dim, at->attr);
    if (first == ABSENT) return false;
    for (int i = 0; i < at->n_results; i++)
        if (!keep_piece(p, at->first_result + (uint32_t)i, first + (uint32_t)i, k)) return false;
    return true;
}

/* The node appended last gives value `id` instead of the fresh one, which ends the list. */
static void adopt(tw_graph *graph, uint32_t id) {
    uint32_t index = (uint32_t)graph->nodes.count - 1;
    graph->nodes.at[index].first_result = id;
    graph->values.at[id].node = index;
    graph->values.at[id].result = 0;
    graph->values.count--;
}

/* Up to 32 operands a node: concat of concats. */
static uint32_t join(pieces *p, const uint32_t *piece, int n, int dim) {
    uint32_t part[TW_MAX_OPERANDS];
    int each = 1, count = 0;
    while (each * TW_MAX_OPERANDS < n) each *= TW_MAX_OPERANDS;
    if (n == 1) return piece[0];
    for (int i = 0; i < n; i += each) {
        part[count] = join(p, piece + i, n - i < each ? n - i : each, dim);
        if (part[count++] == ABSENT) return ABSENT;
    }
    const tw_attr axis = tw_attr_int(dim);
    return append(p, "concat", count, part, &axis);
}

bool pieces_put_together(pieces *p, const planned *entry) {
    p->graph->meta = entry->node.meta;
    for (int i = 0; i < entry->node.n_results; i++) {
        uint32_t id = entry->node.first_result + (uint32_t)i, whole;
        piece_value *it = &p->value.at[id];
        if (it->cut.kind == CUT_PARTIAL)
            whole = tree_finish(p->graph, it->cut.reduction, it->stack);
        else
            whole = join(p, it->piece, p->parts, it->cut.dim);
        if (whole == ABSENT) return false;
        adopt(p->graph, id);
    }
    return true;
}
