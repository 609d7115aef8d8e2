/* The batch cut in parts that are computed one after the other, as a rewrite of the graph. */
#ifndef GRAD_MICROBATCH_H
#define GRAD_MICROBATCH_H

#include "ir/graph.h"

/*
 * Cuts axis 0 of every input of a symbolic graph in `parts` equal pieces and computes what follows
 * piece by piece: a value is whole, split along an axis, or a partial sum (max, ...) in each
 * piece; partial ones are combined in the fixed tree of grad/tree_sum.h. Every value keeps its
 * id and its meaning. False, with the graph's error set, where an operator cannot be cut.
 */
bool microbatch_cut(tw_graph *graph, int parts);

#endif
