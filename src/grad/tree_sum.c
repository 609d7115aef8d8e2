/* The fixed tree of combination. */
#include "grad/tree_sum.h"

static uint32_t combine(tw_graph *graph, tw_reduction reduction, uint32_t a, uint32_t b) {
    static const char *const names[] = {
        [TW_SUM] = "add", [TW_MAX] = "max", [TW_MIN] = "min", [TW_PROD] = "mul"};
    const tw_operator *op = tw_operator_find(graph->module->context, names[reduction]);
    const uint32_t operand[] = {a, b};
    uint32_t made = graph_append(graph, op, 2, operand, NULL);
    return made == NO_NODE ? ABSENT : graph->nodes.at[made].first_result;
}

static bool merge_top(tw_graph *graph, tw_reduction reduction, tree_stack *stack) {
    int top = stack->count - 1;
    uint32_t both = combine(graph, reduction, stack->value[top - 1], stack->value[top]);
    stack->value[top - 1] = both;
    stack->weight[top - 1] += stack->weight[top];
    stack->count--;
    return both != ABSENT;
}

bool tree_push(tw_graph *graph, tw_reduction reduction, tree_stack *stack, uint32_t part,
               bool last) {
    stack->value[stack->count] = part;
    stack->weight[stack->count++] = 1;
    while (!last && stack->count > 1 &&
           stack->weight[stack->count - 1] == stack->weight[stack->count - 2])
        if (!merge_top(graph, reduction, stack)) return false;
    return true;
}

uint32_t tree_finish(tw_graph *graph, tw_reduction reduction, tree_stack *stack) {
    while (stack->count > 1)
        if (!merge_top(graph, reduction, stack)) return ABSENT;
    return stack->value[0];
}
