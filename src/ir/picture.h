/*
 * What is drawn of a graph, and where: which nodes, in which boxes, between which ends an edge runs. A
 * `fused` node is not drawn itself: it is a box around its function's nodes, the members, and edges
 * go through it. Knows nothing of DOT.
 */
#ifndef IR_PICTURE_H
#define IR_PICTURE_H

#include "ir/graph.h"

/* A node of the graph, or a member: a node of the function that `group`, a node of the graph, names. */
typedef struct spot {
    uint32_t group, node; /* group is NO_NODE for a node of the graph itself */
} spot;

/* A value of the graph, or of the group's function. */
typedef struct place {
    uint32_t group, value;
} place;

typedef struct picture {
    tw_graph *graph;
    arena arena;
    uint32_t *order;    /* nodes by scope, then as they stand */
    uint8_t *shown;     /* of each node: it is drawn */
    const char **scope; /* of each node: the box in which it is drawn */
    spot *writer;       /* of each variable's node: who assigns it, and reads it too; or NO_NODE */
} picture;

/* picture_free also after a failure, which is in the context's error. */
bool picture_make(picture *p, tw_graph *graph);
void picture_free(picture *p);

/* The graph itself, or the function of a group. */
const tw_graph *picture_graph(const picture *p, uint32_t group);
const node *picture_node(const picture *p, spot at);
/* Where the value really comes from: through the results of groups and the inputs of functions. */
place picture_source(const picture *p, place from);
/* The node whose result it is. */
spot picture_maker(const picture *p, place from);
bool picture_is_group(const picture *p, uint32_t index);
/* Whether it is drawn: members are, but for inputs and splats. */
bool picture_shows(const picture *p, spot at);

/* "a/b/c" has depth 3, "" depth 0. */
int scope_depth(const char *scope);
/* How many leading components two scopes share; *length is their length in bytes. */
int scope_shared(const char *a, const char *b, size_t *length);

#endif
