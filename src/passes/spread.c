/* Broadcasts spread: each elementwise reader gets one of its own, which costs nothing within a kernel, and
 * readers that have only a bias in common stay apart. Common subexpressions had made them one. */
#include "passes/passes.h"

static bool is_reader(const node *it) {
    return it->op->meaning == TW_MEANS_SCALAR || node_is(it, "reduce");
}

static bool visit(rewrite *r, const node *it, const uint32_t *operand, uint32_t *result) {
    uint32_t in[TW_MAX_OPERANDS];
    bool spread = false;
    if (!is_reader(it)) return false;
    const node_meta meta = r->to->meta;
    for (int k = 0; k < it->n_operands; k++) {
        in[k] = operand[k];
        const node *made = in[k] == ABSENT ? NULL : rewrite_made_by(r, in[k], "broadcast");
        if (!made || r->uses[it->operand[k]] < 2) continue;
        node own = *made; /* appending may move it */
        r->to->meta = own.meta;
        uint32_t copy = graph_append(r->to, own.op, 1, own.operand, own.attr);
        r->to->meta = meta;
        if (copy == NO_NODE) return false;
        in[k] = r->to->nodes.at[copy].first_result;
        spread = true;
    }
    uint32_t made = spread ? graph_append(r->to, it->op, it->n_operands, in, it->attr) : NO_NODE;
    if (made == NO_NODE) return false;
    result[0] = r->to->nodes.at[made].first_result;
    return true;
}

const pass spread_pass = {
    .name = "spread", .about = "elementwise readers get a broadcast of their own", .visit = visit};
