/* Gradients that are rows at indices: recognised, joined, taken apart. */
#include <thalweg/operators.h>

#include "grad/reverse.h"

/* scatter's attributes, in its entry's order */
enum { AXIS, SHARED, HOW };

/* Whether the value is scatter-add of rows into zeros along axis 0. */
static bool is_sparse(const tw_graph *graph, uint32_t id) {
    const value *it = &graph->values.at[id];
    if (it->kind != VALUE_RESULT) return false;
    const node *made = &graph->nodes.at[it->node];
    if (strcmp(made->op->name, "scatter") || made->attr[AXIS].i || made->attr[SHARED].list.rank ||
        made->attr[HOW].i)
        return false;
    const value *base = &graph->values.at[made->operand[0]];
    const node *zeros = &graph->nodes.at[base->node];
    return strcmp(zeros->op->name, "splat") == 0 && zeros->attr[2].f == 0;
}

/* Indices as (k), rows as (k, the table's other extents). */
static void take_apart(tw_graph *graph, uint32_t id, tw_value *indices, tw_value *rows) {
    const node *made = &graph->nodes.at[graph->values.at[id].node];
    tw_value index = graph_handle(graph, made->operand[1]);
    tw_value update = graph_handle(graph, made->operand[2]);
    tw_shape own = tw_shape_of(index), row = graph->values.at[id].type.shape;
    int64_t count = tw_dim_product(graph->module->context, own, 0, own.rank);
    row.dim[0] = count;
    *indices = own.rank == 1 ? index : tw_reshape(index, tw_shape_make(1, &count));
    *rows = own.rank == 1 ? update : tw_reshape(update, row);
}

bool tw_grad_sparse(tw_value gradient, tw_value *indices, tw_value *rows) {
    tw_graph *graph = gradient.graph;
    if (!graph || graph->status || !indices || !rows) return false;
    uint32_t id = graph_resolve(graph, gradient);
    if (id == ABSENT || !is_sparse(graph, id)) return false;
    take_apart(graph, id, indices, rows);
    return graph->status == TW_OK;
}

static uint32_t join(tw_graph *graph, size_t n, const uint32_t *parts) {
    tw_value index[32], rows[32];
    for (size_t i = 0; i < n; i++) take_apart(graph, parts[i], &index[i], &rows[i]);
    uint32_t zeros = graph->nodes.at[graph->values.at[parts[0]].node].operand[0];
    tw_value operand[3] = {graph_handle(graph, zeros), tw_concat(0, (int)n, index),
                           tw_concat(0, (int)n, rows)};
    tw_value joined = tw_scatter_add(operand[0], operand[1], operand[2]);
    return graph_resolve(graph, joined);
}

uint32_t gradient_sum(tw_graph *graph, size_t n, const uint32_t *parts) {
    if (n == 1) return parts[0];
    bool sparse = n <= 32;
    tw_dtype index = (tw_dtype)0;
    for (size_t i = 0; sparse && i < n; i++) {
        sparse = is_sparse(graph, parts[i]);
        if (!sparse) break;
        const node *made = &graph->nodes.at[graph->values.at[parts[i]].node];
        tw_dtype own = graph->values.at[made->operand[1]].type.dtype;
        sparse = i == 0 || own == index;
        index = own;
    }
    if (sparse) return join(graph, n, parts);
    uint32_t sum = parts[0];
    for (size_t i = 1; i < n && sum != ABSENT; i++)
        sum = graph_resolve(graph, tw_add(graph_handle(graph, sum), graph_handle(graph, parts[i])));
    return sum;
}
