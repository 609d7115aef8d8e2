/* vmap on nodes: what tw_vmap is made of, and dynamic batching. */
#ifndef GRAD_VMAP_H
#define GRAD_VMAP_H

#include "ir/graph.h"

/* The node draws random numbers, itself or in its body or function: other ones for each example. */
bool batch_draws(tw_graph *graph, const node *it);

/*
 * Appends the node `it` (of this graph or another one of its module) for `size` examples at once.
 * operand[] are its operands in `graph`; those that are batched carry the examples as axis 0, and
 * so does each of result[]. An operator's rule is asked; a composite without one is batched node by
 * node, and so is what a call names. The new nodes have graph->meta. False with the graph's error.
 */
bool batch_node(tw_graph *graph, const node *it, int64_t size, const uint32_t *operand,
                const bool *batched, uint32_t *result);

#endif
