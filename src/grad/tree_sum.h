/*
 * The fixed tree in which parts are combined: n parts are the first p and the rest, p the largest
 * power of two below n. Whoever holds a run of 2^k parts from a multiple of 2^k on can combine
 * it alone, and the whole has the same bits however many devices did so.
 */
#ifndef GRAD_TREE_SUM_H
#define GRAD_TREE_SUM_H

#include "ir/graph.h"

/* The tree as parts come in one by one: runs of falling size, few of them alive at a time. */
typedef struct tree_stack {
    uint32_t value[32];
    int64_t weight[32];
    int count;
} tree_stack;

/* False with the graph's error set. `last`: leaves what remains to tree_finish. */
bool tree_push(tw_graph *graph, tw_reduction reduction, tree_stack *stack, uint32_t part,
               bool last);
/* The combined value, or ABSENT with the graph's error set. */
uint32_t tree_finish(tw_graph *graph, tw_reduction reduction, tree_stack *stack);

#endif
