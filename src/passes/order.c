/*
 * Matmul order by cost: a chain of matrix products is taken apart, through transposes, and put
 * together in the order of the fewest multiplications (Cormen et al., Introduction to Algorithms,
 * 15.2). A(Bx) instead of (AB)x, and low-rank products from the thin side. A product that is read
 * twice stays what it is. Open extents count as the nominal extent.
 */
#include <thalweg/operators.h>

#include "ir/dimension.h"
#include "passes/passes.h"

enum { LONGEST = 16 };
enum { BATCH_A, BATCH_B, CONTRACT_A, CONTRACT_B, RESULT };

/* A factor of the chain: rows x columns once transposed as asked. A vector, at an end of the chain,
 * has rank 1 and an extent of 1 on its outer side. */
typedef struct factor {
    uint32_t value; /* of `to` */
    bool transposed;
} factor;

typedef struct chain {
    rewrite *r;
    int n;
    factor at[LONGEST];
    double extent[LONGEST + 1]; /* factor i is extent[i] x extent[i + 1] */
    double cost[LONGEST][LONGEST];
    int split[LONGEST][LONGEST];
} chain;

/* A product of matrices, or of a matrix and a vector, without batch axes or another result type. */
static bool is_product(const rewrite *r, const node *it) {
    if (strcmp(it->op->name, "dot") || it->attr[BATCH_A].list.rank || it->attr[RESULT].i)
        return false;
    if (it->attr[CONTRACT_A].list.rank != 1) return false;
    for (int i = 0; i < 2; i++) {
        tw_type type = rewrite_type(r, it->operand[i]);
        if (type.shape.rank < 1 || type.shape.rank > 2) return false;
        if (type.dtype != TW_F32 && type.dtype != TW_F64) return false;
    }
    return true;
}

/* Reads of each value of `to`: those that its value of `from` has. */
typedef struct order_state {
    uint32_t *reads;
    size_t count;
} order_state;

/* The product behind a value that nothing else reads. */
static const node *inner_product(const rewrite *r, uint32_t id) {
    const order_state *s = r->state;
    const node *made = rewrite_node(r, id);
    bool once = id < s->count && s->reads[id] == 1;
    return once && node_is(made, "dot") && is_product(r, made) ? made : NULL;
}

/* Appends the factors of op(value), op transposing or not; false for a chain that is too long, at
 * the latest after `depth` products. */
static bool flatten(chain *c, uint32_t id, bool transposed, int depth) {
    const node *inner = inner_product(c->r, id);
    if (!inner || rewrite_type(c->r, id).shape.rank != 2) {
        if (c->n == LONGEST) return false;
        c->at[c->n++] = (factor){id, transposed};
        return true;
    }
    if (!depth--) return false;
    uint32_t a = inner->operand[0], b = inner->operand[1];
    bool flip_a = inner->attr[CONTRACT_A].list.dim[0] == 0;
    bool flip_b = inner->attr[CONTRACT_B].list.dim[0] == 1;
    if (transposed) return flatten(c, b, !flip_b, depth) && flatten(c, a, !flip_a, depth);
    return flatten(c, a, flip_a, depth) && flatten(c, b, flip_b, depth);
}

static void measure(chain *c) {
    for (int i = 0; i < c->n; i++) {
        tw_shape shape = rewrite_type(c->r, c->at[i].value).shape;
        bool vector = shape.rank == 1, flip = c->at[i].transposed;
        double first = rewrite_nominal(c->r, shape.dim[0]),
               last = vector ? 1 : rewrite_nominal(c->r, shape.dim[1]);
        if (vector && i == 0) flip = true; /* 1 x n on the left, n x 1 on the right */
        c->extent[i] = flip ? last : first;
        c->extent[i + 1] = flip ? first : last;
    }
}

static double product_cost(const chain *c, int from, int split, int to) {
    return c->extent[from] * c->extent[split + 1] * c->extent[to + 1];
}

/* The best order of factors from..to, for all of them. */
static void find_order(chain *c) {
    for (int length = 2; length <= c->n; length++) {
        for (int from = 0; from + length <= c->n; from++) {
            int to = from + length - 1;
            for (int split = from; split < to; split++) {
                double cost = c->cost[from][split] + c->cost[split + 1][to] +
                              product_cost(c, from, split, to);
                if (split > from && cost >= c->cost[from][to]) continue;
                c->cost[from][to] = cost;
                c->split[from][to] = split;
            }
        }
    }
}

static factor emit(const chain *c, int from, int to) {
    if (from == to) return c->at[from];
    int split = c->split[from][to];
    factor a = emit(c, from, split), b = emit(c, split + 1, to);
    tw_graph *graph = c->r->to;
    if (a.value == ABSENT || b.value == ABSENT) return (factor){ABSENT, false};
    int rank_a = rewrite_type(c->r, a.value).shape.rank;
    int rank_b = rewrite_type(c->r, b.value).shape.rank;
    int contract_a = rank_a == 1 || a.transposed ? 0 : 1, contract_b = rank_b == 2 && b.transposed;
    tw_value y = tw_dot(graph_handle(graph, a.value), graph_handle(graph, b.value), 0, NULL, NULL,
                        1, &contract_a, &contract_b);
    return (factor){tw_ok(y) ? y.id : ABSENT, false};
}

/* What the chain costs in the order in which it was written. */
static double cost_as_written(const rewrite *r, const node *it) {
    tw_shape a = rewrite_type(r, it->operand[0]).shape, b = rewrite_type(r, it->operand[1]).shape;
    double cost = 1;
    for (int i = 0; i < a.rank; i++) cost *= rewrite_nominal(r, a.dim[i]);
    for (int i = 0; i < b.rank; i++)
        if (i != it->attr[CONTRACT_B].list.dim[0]) cost *= rewrite_nominal(r, b.dim[i]);
    for (int i = 0; i < 2; i++) {
        const node *inner = inner_product(r, it->operand[i]);
        if (inner && rewrite_type(r, it->operand[i]).shape.rank == 2)
            cost += cost_as_written(r, inner);
    }
    return cost;
}

static void note(rewrite *r, uint32_t id, uint32_t reads) {
    order_state *s = r->state;
    if (id < s->count) s->reads[id] = reads; /* past the end: a product that is left whole */
}

static bool start(rewrite *r) {
    order_state *s = r->state;
    if (s->reads) return true;
    s->count = LONGEST * r->from->values.count; /* a product becomes one less than that at most */
    s->reads = context_allocate(r->to->module->context, s->count, sizeof *s->reads);
    if (!s->reads) graph_error(r->to, TW_ERR_MEMORY, "out of memory for the order of products");
    return s->reads != NULL;
}

static bool reorder(rewrite *r, const node *it, const uint32_t *operand, uint32_t *result) {
    chain c = {.r = r};
    node root = *it;
    uint32_t own[2] = {operand[0], operand[1]};
    root.operand = own;
    if (strcmp(it->op->name, "dot") || !is_product(r, &root)) return false;
    bool flip_a = it->attr[CONTRACT_A].list.dim[0] == 0 && rewrite_type(r, own[0]).shape.rank == 2;
    bool flip_b = it->attr[CONTRACT_B].list.dim[0] == 1;
    if (!flatten(&c, own[0], flip_a, LONGEST) || !flatten(&c, own[1], flip_b, LONGEST))
        return false;
    if (c.n < 3) return false;
    measure(&c);
    find_order(&c);
    if (!(c.cost[0][c.n - 1] < cost_as_written(r, &root))) return false;
    uint32_t id = (uint32_t)r->to->values.count;
    result[0] = emit(&c, 0, c.n - 1).value;
    for (; id < r->to->values.count; id++) note(r, id, 1); /* a longer chain opens them again */
    return true;
}

static bool visit(rewrite *r, const node *it, const uint32_t *operand, uint32_t *result) {
    if (!start(r)) return false;
    if (!reorder(r, it, operand, result)) {
        uint32_t made = graph_copy(r->to, r->from, it, operand);
        if (made == NO_NODE) return false;
        for (int i = 0; i < it->n_results; i++)
            result[i] = r->to->nodes.at[made].first_result + (uint32_t)i;
    }
    for (int i = 0; i < it->n_results; i++)
        note(r, result[i], r->uses[it->first_result + (uint32_t)i]);
    return true;
}

static void end(rewrite *r) {
    context_release(r->to->module->context, ((order_state *)r->state)->reads);
}

const pass order_pass = {.name = "order",
                         .about = "matrix products in the cheapest order",
                         .state_size = sizeof(order_state),
                         .visit = visit,
                         .end = end};
