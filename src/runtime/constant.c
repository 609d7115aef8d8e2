/* tw_constant: a tensor's way into a graph. */
#include "ir/graph.h"

#include "runtime/tensor.h"

/* The graph copies the elements: values never change, a tensor's memory may. */
tw_value tw_constant(tw_graph *graph, tw_tensor *tensor) {
    tw_value none = {0};
    if (!graph) return none;
    if (!tensor) {
        graph_error(graph, TW_ERR_NULL, "tw_constant: no tensor given");
        return graph_handle(graph, 0);
    }
    if (graph->mode == TW_SYMBOLIC)
        return tw_constant_of(graph, tensor->type.dtype, tensor->type.shape, tensor->data);
    tw_tensor *copy = tensor_copy(tensor);
    uint32_t leaf = copy ? graph_leaf(graph, copy->type, copy) : ABSENT;
    if (!copy) graph_error(graph, TW_ERR_MEMORY, "tw_constant: out of memory");
    return graph_handle(graph, leaf == ABSENT ? 0 : leaf);
}
