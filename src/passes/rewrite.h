/*
 * Graph to graph: the live nodes in order, and for each what a pass makes of it. What takes the
 * place of a value has its type; what is appended inherits the node's phase, scope and source.
 */
#ifndef PASSES_REWRITE_H
#define PASSES_REWRITE_H

#include "ir/graph.h"

typedef struct rewrite {
    tw_graph *from, *to;
    uint32_t *map;  /* by value of `from`: its value in `to`, ABSENT before it has one */
    uint32_t *uses; /* by value of `from`: live nodes, outputs and assigns that read it */
    uint8_t *done;  /* by node of `from`: its results are in map[] already, or nobody reads them */
    void *state;    /* the pass's own */
} rewrite;

typedef struct pass {
    const char *name, *about;
    size_t state_size; /* zeroed before the walk; 0: none */
    /* Another order of the `count` live nodes in order[], operands first; NULL: as they stand. */
    bool (*arrange)(rewrite *r, uint32_t *order, size_t count);
    /* The node's results as values of `to`; false: nothing better than a copy of it. */
    bool (*visit)(rewrite *r, const node *it, const uint32_t *operand, uint32_t *result);
    void (*end)(rewrite *r); /* may be NULL */
    bool asked;              /* runs only where it is named */
} pass;

/* The graph after the pass, a further function of the module, with inputs, outputs, variables and
 * assigns in the same order. NULL with the graph's error. */
tw_graph *rewrite_run(tw_graph *graph, const pass *pass);

/* Marks what outputs, assigns and effects need, and all inputs and variables. */
void rewrite_mark(const tw_graph *graph, uint8_t *live);
/* The node that makes a value of `to`. */
const node *rewrite_node(const rewrite *r, uint32_t id);
/* That node when its operator has this name; else NULL. */
const node *rewrite_made_by(const rewrite *r, uint32_t id, const char *name);
tw_type rewrite_type(const rewrite *r, uint32_t id);
/* The number of a splat; false when the value is none. */
bool rewrite_splat(const rewrite *r, uint32_t id, double *number);

/* The extent, or what an open one counts as in estimates. */
int64_t nominal_extent(const tw_context *context, int64_t extent);
double rewrite_nominal(const rewrite *r, int64_t extent);

#endif
