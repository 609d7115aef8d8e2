/* One node on tensors, at once. */
#ifndef EAGER_EVALUATE_H
#define EAGER_EVALUATE_H

#include "ir/graph.h"
#include "runtime/tensor.h"

/* Computes node `it` of `graph` from in[] (NULL for an absent operand) to out[], one new hold each;
 * nothing is held on failure. Variables are not its business. */
tw_status evaluate_node(tw_graph *graph, const node *it, tw_tensor *const *in, tw_tensor **out);

#endif
