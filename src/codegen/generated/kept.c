/*
 * Values that several passes over a row need: a dear one (softmax's exponentials) is computed in the
 * first of them, which keeps it in a local array for the others. Only where the row's extent is known.
 */
#include <stdio.h>

#include "codegen/generated/writer.h"

enum {
    DEAR = 8,           /* steps of an expression that cost more than a load and a store */
    MOST_BYTES = 16384, /* of all local arrays: half of a small first-level cache */
    MOST_PASSES = 32
};

static bool is_dear(writer *w, const node *it) {
    return w->n->function->values.at[it->first_result].type.dtype != TW_BOOL &&
           expression_weight(w->n->function, it, &w->memory) >= DEAR;
}

/* The local array of a value, if there is room: whole vectors. */
static uint32_t write_array(writer *w, uint32_t value, int64_t extent, int64_t *bytes) {
    tw_dtype dtype = w->n->function->values.at[value].type.dtype;
    int64_t vectors = (extent + w->code.lanes - 1) / w->code.lanes;
    int64_t more = vectors * w->code.lanes * (int64_t)tw_dtype_size(dtype);
    char type[64];
    if (*bytes + more > MOST_BYTES) return 0;
    *bytes += more;
    snprintf(type, sizeof type, "[%lld x %s]", (long long)vectors,
             vector_type(&w->code, scalar_type_of(dtype), true).at);
    return write_local(w, type);
}

/* The passes that store a value, as bits. */
static void find_roots(const nest *n, uint32_t *passes) {
    for (int i = 0; i < n->n_stores; i++) {
        uint32_t value = n->store[i].value;
        if (!n->row[value]) passes[value] |= 1u << n->phase[value];
    }
}

bool write_kept(writer *w) {
    const nest *n = w->n;
    const tw_graph *f = n->function;
    int inner = n->n_axes - 1;
    int64_t extent = nest_extent(n, inner), bytes = 0;
    bool one_axis = n->form == NEST_ROWS && nest_kept(n) == (1u << inner) - 1;
    if (!one_axis || n->phases < 2 || n->phases > MOST_PASSES || extent < 0 || extent > MOST_BYTES)
        return true;
    uint32_t *passes = arena_allocate(&w->memory, f->values.count + 1, sizeof *passes);
    if (!passes) return false;
    find_roots(n, passes);
    /* From the last node to the first: what needs a value needs its operands. */
    for (size_t i = f->nodes.count; i-- > 0;) {
        const node *it = &f->nodes.at[i];
        uint32_t value = it->first_result, need = passes[value];
        if (node_is(it, "reduce"))
            need = 1u << (n->after[value] - 1);
        else if (n->row[value])
            continue;
        else if ((need & (need - 1)) && is_dear(w, it))
            w->kept[value] = write_array(w, value, extent, &bytes);
        if (w->kept[value]) {
            w->kept_by[value] = (uint8_t)__builtin_ctz(need);
            need = 1u << w->kept_by[value];
        }
        for (int k = 0; k < it->n_operands; k++) passes[it->operand[k]] |= need;
    }
    return true;
}
