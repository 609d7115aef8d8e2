/* The movements of the axis of examples that batch rules are made of. */
#include "ops/batch.h"

#include <thalweg/operators.h>

#include "ir/graph.h"
#include "ops/rules.h"

tw_attr batch_list(int64_t first, const tw_shape *list) {
    tw_shape longer = {.rank = list->rank + 1};
    longer.dim[0] = first;
    for (int i = 0; i < list->rank && i + 1 < TW_MAX_RANK; i++) longer.dim[i + 1] = list->dim[i];
    return tw_attr_dims(longer);
}

tw_attr batch_axes(const tw_shape *axes) {
    tw_shape moved = *axes;
    for (int i = 0; i < moved.rank; i++) moved.dim[i]++;
    return tw_attr_dims(moved);
}

tw_attr batch_axes_too(const tw_shape *axes) {
    tw_attr moved = batch_axes(axes);
    return batch_list(0, &moved.list);
}

tw_value batch_move(tw_value x, int from, int to) {
    int axes[TW_MAX_RANK], rank = tw_shape_of(x).rank, next = 0;
    if (from == to || !tw_ok(x)) return x;
    for (int i = 0; i < rank; i++) {
        if (next == from) next++;
        axes[i] = i == to ? from : next++;
    }
    return tw_permute(x, axes);
}

tw_value batch_join(tw_value x, int axis, int64_t groups) {
    if (!tw_ok(x)) return x;
    tw_context *context = x.graph->module->context;
    tw_shape shape = tw_shape_of(x), joined = {.rank = shape.rank - 1};
    for (int i = 0; i < joined.rank; i++) joined.dim[i] = shape.dim[i + 1];
    joined.dim[axis] = tw_dim_mul(context, shape.dim[0], shape.dim[axis + 1]);
    if (groups > 1) {
        tw_shape split = {.rank = shape.rank + 1};
        for (int i = 0, at = 0; i < shape.rank; i++) {
            if (i == axis + 1) split.dim[at++] = groups;
            split.dim[at++] =
                i == axis + 1 ? tw_dim_div(context, shape.dim[i], groups) : shape.dim[i];
        }
        x = tw_reshape(x, split);
    }
    return tw_reshape(batch_move(x, 0, axis + (groups > 1)), joined);
}

tw_value batch_part(tw_value x, int axis, int64_t groups, int64_t size) {
    if (!tw_ok(x)) return x;
    tw_context *context = x.graph->module->context;
    tw_shape shape = tw_shape_of(x), split = {0}, parted = {.rank = shape.rank + 1};
    int64_t part = size ? tw_dim_div(context, shape.dim[axis], size) : 0;
    parted.dim[0] = size;
    for (int i = 0; i < shape.rank; i++) {
        if (i == axis && groups > 1) split.dim[split.rank++] = groups;
        if (i == axis) split.dim[split.rank++] = size;
        bool grouped = i == axis && groups > 1;
        split.dim[split.rank++] = grouped     ? tw_dim_div(context, part, groups)
                                  : i == axis ? part
                                              : shape.dim[i];
        parted.dim[i + 1] = i == axis ? part : shape.dim[i];
    }
    x = batch_move(tw_reshape(x, split), axis + (groups > 1), 0);
    return groups > 1 ? tw_reshape(x, parted) : x;
}

/* One example of zeros tells the results' types. */
void batch_of_none(tw_graph *graph, tw_batch *rule) {
    tw_value in[TW_MAX_OPERANDS], result[TW_MAX_RESULTS];
    for (int i = 0; i < rule->n_operands; i++) {
        const tw_type *type = &rule->operand_type[i];
        in[i] = type->dtype ? tw_zeros(graph, type->dtype, type->shape) : (tw_value){0};
    }
    tw_apply(graph, rule->op->name, rule->n_operands, in, rule->attr, result);
    for (int i = 0; i < rule->n_results; i++) {
        tw_type type = tw_type_of(result[i]);
        rule->result[i] = tw_zeros(graph, type.dtype, batch_list(0, &type.shape).list);
    }
}

void batch_rows(tw_graph *graph, tw_batch *rule) {
    tw_value in[TW_MAX_OPERANDS];
    if (rule->size == 0) {
        batch_of_none(graph, rule);
        return;
    }
    for (int i = 0; i < rule->n_operands; i++) in[i] = batch_join(rule_batched(rule, i), 0, 1);
    tw_apply(graph, rule->op->name, rule->n_operands, in, rule->attr, rule->result);
    for (int i = 0; i < rule->n_results; i++)
        rule->result[i] = batch_part(rule->result[i], 0, 1, rule->size);
}
