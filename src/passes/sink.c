/* Transposes sink into products: dot takes its axes in any order, so that the copy is not made. */
#include "ir/dimension.h"
#include "passes/passes.h"

enum { BATCH_A, BATCH_B, CONTRACT_A, CONTRACT_B, RESULT, ATTRS };

static bool lists(const tw_shape *list, int64_t axis) {
    for (int i = 0; i < list->rank; i++)
        if (list->dim[i] == axis) return true;
    return false;
}

/* The result has the free axes in the operand's order: they must rise before the transpose too. */
static bool keeps_order(const tw_attr *attr, bool b, const tw_shape *axes) {
    int64_t last = -1;
    for (int i = 0; i < axes->rank; i++) {
        if (lists(&attr[b ? BATCH_B : BATCH_A].list, i)) continue;
        if (lists(&attr[b ? CONTRACT_B : CONTRACT_A].list, i)) continue;
        if (axes->dim[i] < last) return false;
        last = axes->dim[i];
    }
    return true;
}

static void rename(tw_attr *attr, const tw_shape *axes) {
    for (int i = 0; i < attr->list.rank; i++) attr->list.dim[i] = axes->dim[attr->list.dim[i]];
}

static bool visit(rewrite *r, const node *it, const uint32_t *operand, uint32_t *result) {
    if (strcmp(it->op->name, "dot")) return false;
    uint32_t in[2] = {operand[0], operand[1]};
    tw_attr attr[ATTRS];
    memcpy(attr, it->attr, sizeof attr);
    bool sunk = false;
    for (int k = 0; k < 2; k++) {
        const node *made = rewrite_made_by(r, in[k], "transpose");
        if (!made || !keeps_order(attr, k, &made->attr[0].list)) continue;
        rename(&attr[k ? BATCH_B : BATCH_A], &made->attr[0].list);
        rename(&attr[k ? CONTRACT_B : CONTRACT_A], &made->attr[0].list);
        in[k] = made->operand[0];
        sunk = true;
    }
    uint32_t made = sunk ? graph_append(r->to, it->op, 2, in, attr) : NO_NODE;
    if (made == NO_NODE) return false;
    result[0] = r->to->nodes.at[made].first_result;
    return true;
}

const pass sink_pass = {
    .name = "sink", .about = "products read transposed operands as they are", .visit = visit};
