/*
 * Products read their operands as they are. Transposes sink in: dot takes its axes in any order. Of
 * what was broadcast, or is one number, dot takes what there was before: a batch axis becomes a free axis
 * of the other operand, a free axis goes to the result. The sums are of the same products.
 */
#include <thalweg/operators.h>

#include "ir/dimension.h"
#include "passes/passes.h"

enum { BATCH_A, BATCH_B, CONTRACT_A, CONTRACT_B, RESULT, ATTRS };

typedef struct product {
    uint32_t in[2];
    tw_attr attr[ATTRS];
} product;

static tw_shape *batch(product *p, int k) { return &p->attr[k ? BATCH_B : BATCH_A].list; }
static tw_shape *contracted(product *p, int k) {
    return &p->attr[k ? CONTRACT_B : CONTRACT_A].list;
}

static int place(const tw_shape *list, int64_t axis) {
    for (int i = 0; i < list->rank; i++)
        if (list->dim[i] == axis) return i;
    return -1;
}

static bool is_free(product *p, int k, int64_t axis) {
    return place(batch(p, k), axis) < 0 && place(contracted(p, k), axis) < 0;
}

/* ---- transposes ---- */

/* The result has the free axes in the operand's order: they must rise before the transpose too. */
static bool keeps_order(product *p, int k, const tw_shape *axes) {
    int64_t last = -1;
    for (int i = 0; i < axes->rank; i++) {
        if (!is_free(p, k, i)) continue;
        if (axes->dim[i] < last) return false;
        last = axes->dim[i];
    }
    return true;
}

static void rename_axes(tw_shape *list, const tw_shape *axes) {
    for (int i = 0; i < list->rank; i++) list->dim[i] = axes->dim[list->dim[i]];
}

static bool sink_transpose(rewrite *r, product *p, int k) {
    const node *made = rewrite_made_by(r, p->in[k], "transpose");
    if (!made || !keeps_order(p, k, &made->attr[0].list)) return false;
    rename_axes(batch(p, k), &made->attr[0].list);
    rename_axes(contracted(p, k), &made->attr[0].list);
    p->in[k] = made->operand[0];
    return true;
}

/* ---- broadcasts ---- */

/* The result's axis that each axis of an operand is; -1 for those that are summed over. */
static void label_axes(product *p, int k, int rank, int first_free, int *label) {
    for (int axis = 0; axis < rank; axis++) {
        label[axis] = place(batch(p, k), axis);
        if (is_free(p, k, axis)) label[axis] = first_free++;
    }
}

/* Which axes operand k needs: those that it had before, and those that are summed. False for all. */
static bool find_kept(rewrite *r, product *p, int k, tw_shape *kept) {
    const node *made = rewrite_node(r, p->in[k]);
    int rank = rewrite_type(r, p->in[k]).shape.rank;
    const tw_shape none = {0}, *before = &none;
    if (node_is(made, "broadcast"))
        before = &made->attr[1].list;
    else if (!node_is(made, "splat"))
        return false;
    *kept = none;
    for (int axis = 0; axis < rank; axis++)
        if (place(before, axis) >= 0 || place(contracted(p, k), axis) >= 0)
            kept->dim[kept->rank++] = axis;
    return kept->rank < rank;
}

/* Without the batch axes that operand k has not; its other axes have new numbers. */
static void drop_axes(product *p, int k, const tw_shape *kept) {
    tw_shape own = {0}, other = {0}, *sums = contracted(p, k);
    for (int i = 0; i < batch(p, k)->rank; i++) {
        int at = place(kept, batch(p, k)->dim[i]);
        if (at < 0) continue;
        own.dim[own.rank++] = at;
        other.dim[other.rank++] = batch(p, !k)->dim[i];
    }
    *batch(p, k) = own;
    *batch(p, !k) = other;
    for (int i = 0; i < sums->rank; i++) sums->dim[i] = place(kept, sums->dim[i]);
}

/* Appends the labels of the axes that the result of `p` has; false unless they rise. */
static bool rising(product *p, int rank[2], int label[2][TW_MAX_RANK], tw_shape *out) {
    *out = (tw_shape){0};
    for (int i = 0; i < batch(p, 0)->rank; i++)
        out->dim[out->rank++] = label[0][batch(p, 0)->dim[i]];
    for (int k = 0; k < 2; k++)
        for (int axis = 0; axis < rank[k]; axis++)
            if (is_free(p, k, axis)) out->dim[out->rank++] = label[k][axis];
    for (int i = 1; i < out->rank; i++)
        if (out->dim[i] < out->dim[i - 1]) return false;
    return true;
}

/* The operand without its other axes. */
static uint32_t narrow(rewrite *r, uint32_t operand, const tw_shape *kept) {
    const node *made = rewrite_node(r, operand);
    tw_type type = rewrite_type(r, operand);
    tw_shape shape = {.rank = kept->rank};
    for (int i = 0; i < kept->rank; i++) shape.dim[i] = type.shape.dim[kept->dim[i]];
    tw_value small;
    if (node_is(made, "splat")) {
        small = tw_full(r->to, type.dtype, shape, made->attr[2].f);
    } else {
        tw_shape axes = made->attr[1].list;
        if (axes.rank == kept->rank) return made->operand[0];
        for (int i = 0; i < axes.rank; i++) axes.dim[i] = place(kept, axes.dim[i]);
        const tw_attr attr[] = {tw_attr_dims(shape), tw_attr_dims(axes)};
        tw_value x = graph_handle(r->to, made->operand[0]);
        small = tw_apply(r->to, "broadcast", 1, &x, attr, NULL);
    }
    return tw_ok(small) ? small.id : ABSENT;
}

/* axes[]: which of the result's axes are left. */
static bool sink_broadcast(rewrite *r, product *p, int k, tw_shape *axes) {
    int rank[2], label[2][TW_MAX_RANK];
    tw_shape kept;
    if (!find_kept(r, p, k, &kept)) return false;
    for (int side = 0; side < 2; side++) rank[side] = rewrite_type(r, p->in[side]).shape.rank;
    int free_a =
        rank[0] - contracted(p, 0)->rank; /* with the batch axes: where b's free ones start */
    label_axes(p, 0, rank[0], batch(p, 0)->rank, label[0]);
    label_axes(p, 1, rank[1], free_a, label[1]);
    product narrowed = *p;
    drop_axes(&narrowed, k, &kept);
    rank[k] = kept.rank;
    for (int i = 0; i < kept.rank; i++) label[k][i] = label[k][kept.dim[i]];
    if (!rising(&narrowed, rank, label, axes)) return false;
    narrowed.in[k] = narrow(r, p->in[k], &kept);
    *p = narrowed;
    return p->in[k] != ABSENT;
}

static bool visit(rewrite *r, const node *it, const uint32_t *operand, uint32_t *result) {
    if (strcmp(it->op->name, "dot")) return false;
    product p = {.in = {operand[0], operand[1]}};
    memcpy(p.attr, it->attr, sizeof p.attr);
    tw_shape axes, shape = r->from->values.at[it->first_result].type.shape;
    bool sunk = sink_transpose(r, &p, 0);
    sunk = sink_transpose(r, &p, 1) || sunk;
    bool narrowed = sink_broadcast(r, &p, 0, &axes) || sink_broadcast(r, &p, 1, &axes);
    if (!sunk && !narrowed) return false;
    uint32_t made = graph_append(r->to, it->op, 2, p.in, p.attr);
    if (made == NO_NODE) return false;
    result[0] = r->to->nodes.at[made].first_result;
    if (!narrowed || axes.rank == shape.rank) return true;
    tw_value small = graph_handle(r->to, result[0]);
    const tw_attr attr[] = {tw_attr_dims(shape), tw_attr_dims(axes)};
    tw_value wide = tw_apply(r->to, "broadcast", 1, &small, attr, NULL);
    result[0] = tw_ok(wide) ? wide.id : ABSENT;
    return true;
}

const pass sink_pass = {.name = "sink",
                        .about = "products read operands as they were before transposes and "
                                 "broadcasts",
                        .visit = visit};
