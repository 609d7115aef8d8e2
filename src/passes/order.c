/*
 * Matmul order by cost: A(Bx) instead of (AB)x, and low-rank products from the thin side. A product
 * that is read more than once is dissolved where its readers cost less without it, all together;
 * where it stays, each of them may use it. Open extents count as the nominal extent.
 */
#include <math.h>

#include "passes/chain.h"
#include "passes/passes.h"

enum { MOST_ROOTS = 64, DEEPEST = 16 };

/* The products above a value whose cost depends on whether it is there. */
typedef struct roots {
    int n;
    uint32_t at[MOST_ROOTS];
} roots;

typedef struct order_state {
    uint8_t *dissolved;
    uint32_t *first;  /* by value of `from`: where its readers start in reader[] */
    uint32_t *reader; /* live nodes, once for each time they read */
    uint32_t *seen;   /* by value: 1 + the last one whose roots were looked for from there */
} order_state;

static bool is_live(const rewrite *r, const node *it) {
    for (int i = 0; i < it->n_results; i++)
        if (r->uses[it->first_result + (uint32_t)i]) return true;
    return it->op->effect;
}

static void index_readers(rewrite *r, bool fill) {
    order_state *s = r->state;
    const tw_graph *graph = r->from;
    for (uint32_t i = 0; i < graph->nodes.count; i++) {
        const node *it = &graph->nodes.at[i];
        for (int k = 0; k < it->n_operands && is_live(r, it); k++) {
            if (it->operand[k] == ABSENT) continue;
            if (fill)
                s->reader[s->first[it->operand[k]]++] = i;
            else
                s->first[it->operand[k] + 1]++;
        }
    }
}

static bool allocate(rewrite *r) {
    order_state *s = r->state;
    tw_context *context = r->to->module->context;
    size_t values = r->from->values.count, reads = 1;
    for (size_t i = 0; i < r->from->nodes.count; i++)
        reads += (size_t)r->from->nodes.at[i].n_operands;
    s->dissolved = context_allocate(context, values + 1, sizeof *s->dissolved);
    s->first = context_allocate(context, values + 2, sizeof *s->first);
    s->reader = context_allocate(context, reads, sizeof *s->reader);
    s->seen = context_allocate(context, values + 1, sizeof *s->seen);
    if (s->dissolved && s->first && s->reader && s->seen) return true;
    graph_error(r->to, TW_ERR_MEMORY, "out of memory for the order of products");
    return false;
}

static int readers(const rewrite *r, uint32_t value) {
    const order_state *s = r->state;
    return (int)(s->first[value + 1] - s->first[value]);
}

static const node *reader(const rewrite *r, uint32_t value, int i) {
    const order_state *s = r->state;
    return &r->from->nodes.at[s->reader[s->first[value] + (uint32_t)i]];
}

/* Whether the value itself is wanted, and not only as a part of products. */
static bool is_wanted(const rewrite *r, uint32_t value, bool as_it_stands, int depth) {
    const order_state *s = r->state;
    if (!depth) return true;
    if (as_it_stands && r->uses[value] > 1 && !s->dissolved[value]) return true;
    if ((uint32_t)readers(r, value) != r->uses[value]) return true; /* an output, an assign */
    for (int i = 0; i < readers(r, value); i++) {
        const node *it = reader(r, value, i);
        if (chain_is_product(r->from, it)) continue;
        if (chain_through(r->from, it) != value) return true;
        if (is_wanted(r, it->first_result, true, depth - 1)) return true;
    }
    return false;
}

static bool has_factor(const chain *c, uint32_t value) {
    for (int i = 0; i < c->n; i++)
        if (c->at[i].value == value) return true;
    return false;
}

/* Whether a product reads the value as something else than a matrix of its rows and columns. */
static bool is_read_whole(rewrite *r, uint32_t value) {
    const order_state *s = r->state;
    for (int i = 0; i < readers(r, value); i++) {
        const node *it = reader(r, value, i);
        chain c;
        if (!chain_is_product(r->from, it)) continue;
        chain_take(&c, r, s->dissolved, it->first_result);
        if (has_factor(&c, value)) return true;
    }
    return false;
}

/* The products that are computed above `value`; false for too many. */
static bool find_roots(rewrite *r, uint32_t value, uint32_t mark, int depth, roots *out) {
    order_state *s = r->state;
    for (int i = 0; depth && i < readers(r, value); i++) {
        const node *it = reader(r, value, i);
        uint32_t y = it->first_result;
        bool product = chain_is_product(r->from, it);
        if ((!product && chain_through(r->from, it) != value) || s->seen[y] == mark) continue;
        s->seen[y] = mark;
        if (product && (is_wanted(r, y, true, DEEPEST) || is_read_whole(r, y))) {
            if (out->n == MOST_ROOTS) return false;
            out->at[out->n++] = y;
        }
        if (!find_roots(r, y, mark, depth - 1, out)) return false;
    }
    return true;
}

static double root_cost(rewrite *r, uint32_t root, uint32_t value) {
    const order_state *s = r->state;
    chain c;
    chain_take(&c, r, s->dissolved, root);
    return s->dissolved[value] && has_factor(&c, value) ? INFINITY : chain_cost(&c);
}

static double total_cost(rewrite *r, const roots *all, uint32_t value) {
    double cost = 0;
    for (int i = 0; i < all->n; i++) cost += root_cost(r, all->at[i], value);
    return cost;
}

/* What the value itself costs: the product behind it, unless that is there in any case. */
static double own_cost(rewrite *r, uint32_t value) {
    const node *product = chain_product(r->from, value);
    bool there = product->first_result != value && r->uses[product->first_result] > 1;
    return there ? 0 : root_cost(r, product->first_result, value);
}

static void weigh(rewrite *r, uint32_t value) {
    order_state *s = r->state;
    roots all = {0};
    if (r->uses[value] < 2 || !chain_product(r->from, value) || is_wanted(r, value, false, DEEPEST))
        return;
    if (!find_roots(r, value, value + 1, 2 * DEEPEST, &all)) return;
    double kept = own_cost(r, value) + total_cost(r, &all, value);
    s->dissolved[value] = true;
    if (!(total_cost(r, &all, value) < kept)) s->dissolved[value] = false;
}

static bool start(rewrite *r) {
    order_state *s = r->state;
    if (s->dissolved) return s->seen != NULL;
    if (!allocate(r)) return false;
    size_t values = r->from->values.count;
    index_readers(r, false);
    for (size_t i = 0; i < values; i++) s->first[i + 1] += s->first[i];
    index_readers(r, true);
    for (size_t i = values; i > 0; i--) s->first[i] = s->first[i - 1]; /* it had moved on */
    s->first[0] = 0;
    for (size_t i = values; i > 0; i--) weigh(r, (uint32_t)(i - 1));
    return true;
}

static bool visit(rewrite *r, const node *it, const uint32_t *operand, uint32_t *result) {
    const order_state *s = r->state;
    chain c;
    (void)operand;
    if (!chain_is_product(r->from, it) || !start(r)) return false;
    chain_take(&c, r, s->dissolved, it->first_result);
    if (c.n < 3 || !(chain_cost(&c) < c.written)) return false;
    result[0] = chain_emit(&c);
    return true;
}

static void end(rewrite *r) {
    order_state *s = r->state;
    tw_context *context = r->to->module->context;
    context_release(context, s->dissolved);
    context_release(context, s->first);
    context_release(context, s->reader);
    context_release(context, s->seen);
}

const pass order_pass = {.name = "order",
                         .about = "matrix products in the cheapest order",
                         .state_size = sizeof(order_state),
                         .visit = visit,
                         .end = end};
