/*
 * Composites become their bodies and calls their functions, so that the passes after this one see
 * primitives. What a kernel computes better as a whole stays (the entry's `whole`), and so do
 * composites of f16 and bf16, whose bodies compute in f32.
 */
#include "base/half.h"
#include "passes/passes.h"

static bool expand_node(rewrite *r, const node *it, const uint32_t *operand, int depth,
                        uint32_t *result);

/* Every node of `body`, its inputs standing for operand[]. */
static bool expand_body(rewrite *r, const tw_graph *body, const uint32_t *operand, int depth,
                        uint32_t *result) {
    tw_graph *to = r->to;
    tw_context *context = to->module->context;
    if (depth > CALL_DEPTH) {
        graph_error(to, TW_ERR_UNSUPPORTED, "tw_compile: functions nest deeper than %d calls",
                    CALL_DEPTH);
        return false;
    }
    uint32_t *map = context_allocate(context, body->values.count, sizeof *map);
    if (!map) {
        graph_error(to, TW_ERR_MEMORY, "out of memory for function @%s", body->name);
        return false;
    }
    const node_meta meta = to->meta;
    size_t next = 0;
    bool good = true;
    for (size_t i = 0; good && i < body->nodes.count; i++) {
        const node *it = &body->nodes.at[i];
        if (node_is(it, "input")) {
            while (*operand == ABSENT) operand++;
            map[body->inputs.at[next++]] = *operand++;
            continue;
        }
        uint32_t in[TW_MAX_OPERANDS];
        for (int k = 0; k < it->n_operands; k++)
            in[k] = it->operand[k] == ABSENT ? ABSENT : map[it->operand[k]];
        if (*it->meta.scope) to->meta.scope = it->meta.scope; /* a traced function's own */
        if (it->meta.source) to->meta.source = it->meta.source;
        good = expand_node(r, it, in, depth, &map[it->first_result]);
        to->meta = meta;
    }
    for (size_t i = 0; good && i < body->outputs.count; i++) result[i] = map[body->outputs.at[i]];
    context_release(context, map);
    return good;
}

static bool has_half(const tw_graph *graph, const node *it, const uint32_t *operand) {
    for (int i = 0; i < it->n_operands; i++)
        if (operand[i] != ABSENT && dtype_half(graph->values.at[operand[i]].type.dtype))
            return true;
    return false;
}

static tw_graph *body_of(rewrite *r, const node *it, const uint32_t *operand) {
    tw_type types[TW_MAX_OPERANDS] = {{0}};
    bool absent[TW_MAX_OPERANDS];
    if (operator_calls(it->op)) return it->attr[0].function;
    if (it->op->meaning != TW_MEANS_BODY || it->op->whole || has_half(r->to, it, operand))
        return NULL;
    for (int i = 0; i < it->n_operands; i++) {
        absent[i] = operand[i] == ABSENT;
        if (!absent[i]) types[i] = rewrite_type(r, operand[i]);
    }
    return graph_body(r->to, it->op, it->n_operands, types, absent, it->attr);
}

static bool expand_node(rewrite *r, const node *it, const uint32_t *operand, int depth,
                        uint32_t *result) {
    const tw_graph *body = body_of(r, it, operand);
    if (body) return expand_body(r, body, operand, depth + 1, result);
    uint32_t made =
        r->to->status ? NO_NODE : graph_append(r->to, it->op, it->n_operands, operand, it->attr);
    for (int i = 0; i < it->n_results && made != NO_NODE; i++)
        result[i] = r->to->nodes.at[made].first_result + (uint32_t)i;
    return made != NO_NODE;
}

static bool visit(rewrite *r, const node *it, const uint32_t *operand, uint32_t *result) {
    if (it->op->meaning != TW_MEANS_BODY && !operator_calls(it->op)) return false;
    return expand_node(r, it, operand, 0, result);
}

const pass expand_pass = {
    .name = "expand", .about = "composites become primitives", .visit = visit};
