/* Chains of matrix products: what they are made of, their best order, and that order as nodes. */
#include "passes/chain.h"

#include <math.h>
#include <thalweg/operators.h>

enum { BATCH_A, BATCH_B, CONTRACT_A, CONTRACT_B, RESULT };

static const node *maker(const tw_graph *graph, uint32_t value) {
    return &graph->nodes.at[graph->values.at[value].node];
}

static bool is_float(const tw_graph *graph, uint32_t value) {
    tw_dtype dtype = graph->values.at[value].type.dtype;
    return dtype == TW_F32 || dtype == TW_F64;
}

bool chain_is_product(const tw_graph *graph, const node *it) {
    return node_is(it, "dot") && !it->attr[RESULT].i && is_float(graph, it->first_result);
}

/* ---- what stands between products ---- */

/* One number for all elements. */
static bool is_scalar(const tw_graph *graph, uint32_t value) {
    const node *it = maker(graph, value);
    if (node_is(it, "splat")) return true;
    if (!node_is(it, "broadcast")) return false;
    tw_shape shape = graph->values.at[it->operand[0]].type.shape;
    for (int i = 0; i < shape.rank; i++)
        if (shape.dim[i] != 1) return false;
    return true;
}

/* Which operand of `mul`, `div` or `neg` is the matrix, and the scalar; -1 for another node. */
static int scaled_operand(const tw_graph *graph, const node *it, chain_scalar *scalar) {
    *scalar = (chain_scalar){.by = ABSENT, .divides = node_is(it, "div")};
    if (!is_float(graph, it->first_result)) return -1;
    if (node_is(it, "neg")) return 0;
    if (!scalar->divides && !node_is(it, "mul")) return -1;
    for (int k = 0; k < 2; k++) {
        scalar->by = it->operand[!k];
        if (is_scalar(graph, scalar->by)) return k;
        if (scalar->divides) break;
    }
    return -1;
}

uint32_t chain_through(const tw_graph *graph, const node *it) {
    chain_scalar scalar;
    if (node_is(it, "transpose") && is_float(graph, it->first_result)) return it->operand[0];
    int at = scaled_operand(graph, it, &scalar);
    return at < 0 ? ABSENT : it->operand[at];
}

const node *chain_product(const tw_graph *graph, uint32_t value) {
    for (int i = 0; i < CHAIN_SCALARS && value != ABSENT; i++) {
        const node *it = maker(graph, value);
        if (chain_is_product(graph, it)) return it;
        value = chain_through(graph, it);
    }
    return NULL;
}

/* ---- taking apart ---- */

static axis_list list_of(const tw_shape *axes) {
    axis_list list = {.n = axes->rank};
    for (int i = 0; i < list.n; i++) list.at[i] = (int)axes->dim[i];
    return list;
}

static axis_list range(int first, int n) {
    axis_list list = {.n = n};
    for (int i = 0; i < n; i++) list.at[i] = first + i;
    return list;
}

/* In any order, the axes first .. first + n - 1. */
static bool covers(const axis_list *list, int first, int n) {
    for (int i = 0; i < list->n; i++)
        if (list->at[i] < first || list->at[i] >= first + n) return false;
    return list->n == n;
}

/* Entries of `list`, counted from `first`, as the entries of `names` that they number. */
static axis_list named(const axis_list *list, int first, const axis_list *names) {
    axis_list out = {.n = list->n};
    for (int i = 0; i < list->n; i++) out.at[i] = names->at[list->at[i] - first];
    return out;
}

static bool lists(const axis_list *list, int axis) {
    for (int i = 0; i < list->n; i++)
        if (list->at[i] == axis) return true;
    return false;
}

static axis_list free_axes(int rank, const axis_list *batch, const axis_list *contract) {
    axis_list list = {0};
    for (int axis = 0; axis < rank; axis++)
        if (!lists(batch, axis) && !lists(contract, axis)) list.at[list.n++] = axis;
    return list;
}

static double extent_of(const chain *c, uint32_t value, const axis_list *list) {
    double extent = 1;
    for (int i = 0; i < list->n; i++)
        extent *= rewrite_nominal(c->r, c->r->from->values.at[value].type.shape.dim[list->at[i]]);
    return extent;
}

static void take(chain *c, factor is, int room, bool root);

/* A product as its two factors; false when it isn't read as a matrix of those rows and columns. */
static bool take_product(chain *c, const node *it, const factor *is, int room) {
    const value *of = c->r->from->values.at;
    const uint32_t a = it->operand[0], b = it->operand[1];
    axis_list batch_a = list_of(&it->attr[BATCH_A].list),
              batch_b = list_of(&it->attr[BATCH_B].list);
    axis_list sum_a = list_of(&it->attr[CONTRACT_A].list),
              sum_b = list_of(&it->attr[CONTRACT_B].list);
    axis_list free_a = free_axes(of[a].type.shape.rank, &batch_a, &sum_a);
    axis_list free_b = free_axes(of[b].type.shape.rank, &batch_b, &sum_b);
    int rows = batch_a.n, columns = rows + free_a.n;
    bool straight = covers(&is->left, rows, free_a.n) && covers(&is->right, columns, free_b.n);
    bool turned = covers(&is->right, rows, free_a.n) && covers(&is->left, columns, free_b.n);
    if (room < 2 || !covers(&is->batch, 0, rows) || (!straight && !turned)) return false;
    axis_list outer_a = named(straight ? &is->left : &is->right, rows, &free_a);
    axis_list outer_b = named(straight ? &is->right : &is->left, columns, &free_b);
    factor first = {a, named(&is->batch, 0, &batch_a), outer_a, sum_a};
    factor second = {b, named(&is->batch, 0, &batch_b), sum_b, outer_b};
    c->written += extent_of(c, a, &batch_a) * extent_of(c, a, &outer_a) * extent_of(c, a, &sum_a) *
                  extent_of(c, b, &outer_b);
    if (!straight) {
        first = (factor){b, second.batch, outer_b, sum_b};
        second = (factor){a, named(&is->batch, 0, &batch_a), sum_a, outer_a};
    }
    int before = c->n;
    take(c, first, room - 1, false);
    take(c, second, room - (c->n - before), false);
    return true;
}

static bool take_inside(chain *c, const factor *is, int room) {
    const tw_graph *from = c->r->from;
    const node *it = maker(from, is->value);
    if (chain_is_product(from, it)) return take_product(c, it, is, room);
    if (!chain_product(from, is->value)) return false;
    factor inner = *is;
    inner.value = chain_through(from, it);
    if (node_is(it, "transpose")) {
        axis_list axes = list_of(&it->attr[0].list);
        inner.batch = named(&is->batch, 0, &axes);
        inner.left = named(&is->left, 0, &axes);
        inner.right = named(&is->right, 0, &axes);
    } else {
        if (c->n_scalars == CHAIN_SCALARS) return false;
        scaled_operand(from, it, &c->scalar[c->n_scalars++]);
    }
    take(c, inner, room, false);
    return true;
}

/* Appends the factors of a value, `room` at most. */
static void take(chain *c, factor is, int room, bool root) {
    int first = c->n, first_scalar = c->n_scalars;
    double written = c->written;
    bool there = !root && c->r->uses[is.value] > 1 && !c->dissolved[is.value];
    if ((there && c->n_wholes == CHAIN_WHOLES) || !take_inside(c, &is, room)) {
        c->at[c->n++] = is;
    } else if (there && c->n_wholes < CHAIN_WHOLES) {
        c->whole[c->n_wholes++] =
            (chain_whole){is, first, c->n - 1, first_scalar, c->n_scalars - first_scalar};
        c->written = written;
    }
}

/* ---- the best order ---- */

static double part_cost(const chain *c, int first, int split, int last) {
    int rank = c->at[first].batch.n + c->at[first].left.n + c->at[last].right.n;
    if (rank > TW_MAX_RANK) return INFINITY;
    return c->cost[first][split] + c->cost[split + 1][last] +
           c->batch * c->extent[first] * c->extent[split + 1] * c->extent[last + 1];
}

static void find_order(chain *c) {
    for (int i = 0; i < c->n_wholes; i++)
        c->whole_at[c->whole[i].first][c->whole[i].last] = (int8_t)(i + 1);
    for (int length = 2; length <= c->n; length++) {
        for (int first = 0; first + length <= c->n; first++) {
            int last = first + length - 1;
            if (c->whole_at[first][last]) continue;
            for (int split = first; split < last; split++) {
                double cost = part_cost(c, first, split, last);
                if (split > first && cost >= c->cost[first][last]) continue;
                c->cost[first][last] = cost;
                c->split[first][last] = (int8_t)split;
            }
        }
    }
}

void chain_take(chain *c, rewrite *r, const uint8_t *dissolved, uint32_t root) {
    const node *it = maker(r->from, root);
    int rank = r->from->values.at[root].type.shape.rank, batch = it->attr[BATCH_A].list.rank;
    int rows =
        r->from->values.at[it->operand[0]].type.shape.rank - batch - it->attr[CONTRACT_A].list.rank;
    factor is = {root, range(0, batch), range(batch, rows),
                 range(batch + rows, rank - batch - rows)};
    *c = (chain){.r = r, .dissolved = dissolved};
    take(c, is, CHAIN_LONGEST, true);
    c->batch = extent_of(c, root, &is.batch);
    for (int i = 0; i < c->n; i++) {
        c->extent[i] = extent_of(c, c->at[i].value, &c->at[i].left);
        c->extent[i + 1] = extent_of(c, c->at[i].value, &c->at[i].right);
    }
    find_order(c);
}

double chain_cost(const chain *c) { return c->cost[0][c->n - 1]; }

/* ---- putting together ---- */

/* The scalars go to the smallest part; those of a part that is there are in it. */
static void survey(chain *c, int first, int last) {
    int whole = c->whole_at[first][last];
    if (c->extent[first] * c->extent[last + 1] <
        c->extent[c->scaled_first] * c->extent[c->scaled_last + 1]) {
        c->scaled_first = first;
        c->scaled_last = last;
    }
    for (int i = 0; whole && i < c->whole[whole - 1].scalars; i++)
        c->scalar[c->whole[whole - 1].first_scalar + i].done = true;
    if (whole || first == last) return;
    survey(c, first, c->split[first][last]);
    survey(c, c->split[first][last] + 1, last);
}

static tw_value scaled(const chain *c, tw_value x, const chain_scalar *scalar) {
    if (scalar->by == ABSENT) return tw_neg(x);
    const node *it = maker(c->r->from, scalar->by);
    tw_value by;
    if (node_is(it, "splat")) {
        by = tw_literal(x, it->attr[2].f);
    } else {
        by = graph_handle(c->r->to, c->r->map[it->operand[0]]);
        if (tw_shape_of(by).rank) by = tw_reshape(by, TW_SHAPE());
        by = tw_broadcast(by, tw_shape_of(x));
    }
    return scalar->divides ? tw_div(x, by) : tw_mul(x, by);
}

static bool same_axes(const tw_attr *attr, const axis_list *list) {
    if (attr->list.rank != list->n) return false;
    for (int i = 0; i < list->n; i++)
        if (attr->list.dim[i] != list->at[i]) return false;
    return true;
}

/* Whether a node is the product of a and b. */
static bool is_product_of(const tw_graph *graph, const node *it, const factor *a, const factor *b,
                          const axis_list *sum_a, const axis_list *sum_b) {
    return chain_is_product(graph, it) && it->operand[0] == a->value &&
           it->operand[1] == b->value && it->meta.epoch == graph->meta.epoch &&
           same_axes(&it->attr[BATCH_A], &a->batch) && same_axes(&it->attr[BATCH_B], &b->batch) &&
           same_axes(&it->attr[CONTRACT_A], sum_a) && same_axes(&it->attr[CONTRACT_B], sum_b);
}

/* The places, from `first` on, of free axes in a product's result: there they rise. */
static axis_list places(const axis_list *list, int first) {
    axis_list out = {.n = list->n};
    for (int i = 0; i < list->n; i++) {
        out.at[i] = first;
        for (int k = 0; k < list->n; k++) out.at[i] += list->at[k] < list->at[i];
    }
    return out;
}

/* a b, or what was made of them before: b^T a^T is that too, turned. */
static factor multiply(const chain *c, const factor *a, const factor *b) {
    tw_graph *to = c->r->to;
    int batch = a->batch.n;
    factor y = {ABSENT, range(0, batch), places(&a->left, batch),
                places(&b->right, batch + a->left.n)};
    for (size_t i = 0; i < to->nodes.count; i++) {
        const node *it = &to->nodes.at[i];
        if (is_product_of(to, it, a, b, &a->right, &b->left)) {
            y.value = it->first_result;
            return y;
        }
        if (is_product_of(to, it, b, a, &b->left, &a->right)) {
            y.value = it->first_result;
            y.left = places(&a->left, batch + b->right.n);
            y.right = places(&b->right, batch);
            return y;
        }
    }
    tw_value made = tw_dot(graph_handle(to, a->value), graph_handle(to, b->value), batch,
                           a->batch.at, b->batch.at, a->right.n, a->right.at, b->left.at);
    if (tw_ok(made)) y.value = graph_resolve(to, made);
    return y;
}

static factor emit(const chain *c, int first, int last) {
    int whole = c->whole_at[first][last];
    factor y = whole ? c->whole[whole - 1].is : c->at[first];
    if (whole || first == last) {
        y.value = c->r->map[y.value];
    } else {
        factor a = emit(c, first, c->split[first][last]);
        factor b = emit(c, c->split[first][last] + 1, last);
        if (a.value == ABSENT || b.value == ABSENT) return (factor){.value = ABSENT};
        y = multiply(c, &a, &b);
    }
    if (y.value == ABSENT || first != c->scaled_first || last != c->scaled_last) return y;
    tw_value part = graph_handle(c->r->to, y.value);
    for (int i = 0; i < c->n_scalars; i++)
        if (!c->scalar[i].done) part = scaled(c, part, &c->scalar[i]);
    y.value = tw_ok(part) ? graph_resolve(c->r->to, part) : ABSENT;
    return y;
}

uint32_t chain_emit(chain *c) {
    c->scaled_last = c->n - 1;
    survey(c, 0, c->n - 1);
    factor y = emit(c, 0, c->n - 1);
    if (y.value == ABSENT) return ABSENT;
    int axes[TW_MAX_RANK], n = 0;
    bool moved = false;
    const axis_list *const sides[] = {&y.batch, &y.left, &y.right};
    for (int side = 0; side < 3; side++)
        for (int i = 0; i < sides[side]->n; i++, n++) {
            axes[n] = sides[side]->at[i];
            moved = moved || axes[n] != n;
        }
    if (!moved) return y.value;
    tw_value turned = tw_permute(graph_handle(c->r->to, y.value), axes);
    return tw_ok(turned) ? graph_resolve(c->r->to, turned) : ABSENT;
}
