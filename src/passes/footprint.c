/* The memory of values: aliases, variables and constants take none of their own. */
#include "passes/footprint.h"

#include "ir/dimension.h"

static double bytes_of(const rewrite *r, uint32_t value) {
    tw_type type = r->from->values.at[value].type;
    double bytes = (double)tw_dtype_size(type.dtype);
    for (int i = 0; i < type.shape.rank; i++) bytes *= rewrite_nominal(r, type.shape.dim[i]);
    return bytes;
}

static bool stands_first(const node *it) { return node_is(it, "input") || node_is(it, "variable"); }

/* What variables become is in their memory, and constants are in the code's. */
static void measure(footprint *f, const rewrite *r, const uint32_t *order, size_t count) {
    const tw_graph *graph = r->from;
    for (size_t i = 0; i < count; i++) {
        const node *it = &graph->nodes.at[order[i]];
        for (int k = 0; k < it->n_results; k++) {
            uint32_t value = it->first_result + (uint32_t)k;
            bool alias = node_is(it, "reshape") || node_is(it, "stop_gradient");
            f->root[value] = alias ? f->root[it->operand[0]] : value;
            bool outside = stands_first(it) || node_is(it, "constant") || node_is(it, "splat");
            f->bytes[value] = alias || outside ? 0 : bytes_of(r, value);
        }
        for (int k = 0; k < it->n_operands; k++)
            if (it->operand[k] != ABSENT) f->uses[f->root[it->operand[k]]]++;
    }
    for (size_t i = 0; i < graph->outputs.count; i++) f->uses[f->root[graph->outputs.at[i]]]++;
    for (uint32_t i = 0; i < graph->variables.count; i++) {
        uint32_t last = graph_final(graph, i);
        if (last != graph->variables.at[i].initial) f->bytes[f->root[last]] = 0;
    }
}

bool footprint_start(footprint *f, const rewrite *r, const uint32_t *order, size_t count) {
    tw_context *context = r->to->module->context;
    size_t values = r->from->values.count + 1;
    f->bytes = context_allocate(context, values, sizeof *f->bytes);
    f->root = context_allocate(context, values, sizeof *f->root);
    f->uses = context_allocate(context, values, sizeof *f->uses);
    f->left = context_allocate(context, values, sizeof *f->left);
    if (!f->bytes || !f->root || !f->uses || !f->left) return false;
    measure(f, r, order, count);
    return true;
}

void footprint_end(footprint *f, const rewrite *r) {
    tw_context *context = r->to->module->context;
    context_release(context, f->bytes);
    context_release(context, f->root);
    context_release(context, f->uses);
    context_release(context, f->left);
}

double footprint_freed(footprint *f, const node *it, bool take) {
    double freed = 0;
    for (int k = 0; k < it->n_operands; k++) {
        if (it->operand[k] == ABSENT) continue;
        uint32_t root = f->root[it->operand[k]];
        if (--f->left[root] == 0) freed += f->bytes[root];
    }
    for (int k = 0; !take && k < it->n_operands; k++)
        if (it->operand[k] != ABSENT) f->left[f->root[it->operand[k]]]++;
    return freed;
}

double footprint_taken(const footprint *f, const node *it) {
    double taken = 0;
    for (int k = 0; k < it->n_results; k++) taken += f->bytes[it->first_result + (uint32_t)k];
    return taken;
}

double footprint_unread(const footprint *f, const node *it) {
    double bytes = 0;
    for (int k = 0; k < it->n_results; k++)
        if (!f->uses[it->first_result + (uint32_t)k])
            bytes += f->bytes[it->first_result + (uint32_t)k];
    return bytes;
}

void footprint_restart(footprint *f, const rewrite *r) {
    memcpy(f->left, f->uses, r->from->values.count * sizeof *f->left);
}

double footprint_peak(footprint *f, const rewrite *r, const uint32_t *order, size_t count,
                      const uint8_t *joined) {
    double now = 0, peak = 0, freed = 0;
    footprint_restart(f, r);
    for (size_t i = 0; i < count; i++) {
        const node *it = &r->from->nodes.at[order[i]];
        if (!joined || !joined[order[i]]) {
            now -= freed;
            freed = 0;
        }
        now += footprint_taken(f, it);
        if (now > peak) peak = now;
        freed += footprint_freed(f, it, true) + footprint_unread(f, it);
    }
    return peak;
}
