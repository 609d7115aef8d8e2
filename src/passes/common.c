/* Common subexpressions: a node that does what an earlier one did becomes that one. Those of
 * another recompute epoch stay apart (checkpoint), and so do nodes with effects. */
#include "base/number.h"
#include "ir/attribute.h"
#include "passes/passes.h"

typedef struct table {
    uint32_t *slot; /* node of `to` + 1; 0: free */
    size_t size;    /* a power of two */
} table;

static uint64_t hash_attr(const tw_attr_spec *spec, const tw_attr *attr, uint64_t hash) {
    switch (spec->kind) {
    case TW_ATTR_FLOAT: return hash_bytes(hash, &attr->f, sizeof attr->f);
    case TW_ATTR_STRING: return hash_string(hash, attr->string ? attr->string : "");
    case TW_ATTR_INTS:
    case TW_ATTR_DIMS:
        return hash_bytes(hash, attr->list.dim, (size_t)attr->list.rank * sizeof *attr->list.dim);
    case TW_ATTR_DATA: return hash_bytes(hash, attr->data, attr->bytes);
    case TW_ATTR_FUNCTION: return hash_bytes(hash, &attr->function, sizeof attr->function);
    default: return hash_bytes(hash, &attr->i, sizeof attr->i);
    }
}

static uint64_t hash_node(const node *it, const uint32_t *operand) {
    uint64_t hash = hash_string(HASH_START, it->op->name);
    hash = hash_bytes(hash, operand, (size_t)it->n_operands * sizeof *operand);
    hash = hash_bytes(hash, &it->meta.epoch, sizeof it->meta.epoch);
    for (int i = 0; it->op->attributes && it->op->attributes[i].name; i++)
        hash = hash_attr(&it->op->attributes[i], &it->attr[i], hash);
    return hash;
}

static bool equal(const node *a, const node *b, const uint32_t *operand) {
    if (a->op != b->op || a->n_operands != b->n_operands || a->n_results != b->n_results ||
        a->meta.epoch != b->meta.epoch)
        return false;
    for (int i = 0; i < a->n_operands; i++)
        if (a->operand[i] != operand[i]) return false;
    for (int i = 0; a->op->attributes && a->op->attributes[i].name; i++)
        if (!attr_equal(&a->op->attributes[i], &a->attr[i], &b->attr[i])) return false;
    return true;
}

static bool start(rewrite *r) {
    table *t = r->state;
    if (t->slot) return true;
    t->size = 16;
    while (t->size < 2 * r->from->nodes.count) t->size *= 2;
    t->slot = context_allocate(r->to->module->context, t->size, sizeof *t->slot);
    if (!t->slot) graph_error(r->to, TW_ERR_MEMORY, "out of memory for common subexpressions");
    return t->slot != NULL;
}

static bool visit(rewrite *r, const node *it, const uint32_t *operand, uint32_t *result) {
    if (it->op->effect || !start(r)) return false;
    const table *t = r->state;
    size_t at = (size_t)hash_node(it, operand) & (t->size - 1);
    for (; t->slot[at]; at = (at + 1) & (t->size - 1)) {
        const node *known = &r->to->nodes.at[t->slot[at] - 1];
        if (!equal(known, it, operand)) continue;
        for (int i = 0; i < it->n_results; i++) result[i] = known->first_result + (uint32_t)i;
        return true;
    }
    uint32_t made = graph_copy(r->to, r->from, it, operand);
    if (made == NO_NODE) return false;
    t->slot[at] = made + 1;
    for (int i = 0; i < it->n_results; i++)
        result[i] = r->to->nodes.at[made].first_result + (uint32_t)i;
    return true;
}

static void end(rewrite *r) { context_release(r->to->module->context, ((table *)r->state)->slot); }

const pass common_pass = {.name = "common",
                          .about = "equal nodes become one",
                          .state_size = sizeof(table),
                          .visit = visit,
                          .end = end};
