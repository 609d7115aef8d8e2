/* The functions that a graph uses through its FUNCTION attributes, at any depth. */
#ifndef IR_CALLEES_H
#define IR_CALLEES_H

#include "ir/graph.h"

typedef struct callees {
    tw_graph **at; /* each stands behind those that it uses itself */
    size_t count, capacity;
} callees;

/* The context's error is set on failure: memory, a function of another module, or recursion. */
tw_status callees_find(tw_graph *graph, callees *out);
void callees_free(tw_graph *graph, callees *list);

#endif
