/*
 * Which nodes run as one kernel. A cluster is elementwise work and reductions over one box of
 * elements, its domain: every value in it has either all axes of the domain, or those that remain when
 * the cluster's reductions have taken theirs (a row value). Grown greedily along edges from producer
 * to consumer, never so that a path would leave a cluster and come back. At last a product or convolution joins
 * the elementwise work on its result.
 */
#ifndef PASSES_CLUSTER_H
#define PASSES_CLUSTER_H

#include "ir/graph.h"
#include "ops/product.h"

enum { CLUSTER_MEMBERS = 64, CLUSTER_INPUTS = 24, CLUSTER_OUTPUTS = 12 };
#define NO_CLUSTER UINT32_MAX

typedef struct cluster {
    tw_shape domain;
    uint32_t reduced;              /* axes of the domain, as bits */
    uint32_t ready;                /* of its inputs, the latest: as clusters.ready */
    uint32_t members, first, last; /* nodes, linked by clusters.next; 0 members: merged away */
    bool after;                    /* a member of all axes depends on a reduction of the cluster */
    bool rows;                     /* a member other than a reduction is a row value */
    uint32_t product; /* the dot or convolution whose result the others read; NO_NODE */
} cluster;

typedef struct clusters {
    tw_context *context;
    const tw_graph *graph;
    const uint8_t *live;
    const uint32_t *uses;       /* by value */
    uint32_t *of;               /* by node: its cluster, NO_CLUSTER for none */
    uint32_t *next;             /* by node: the next member, NO_NODE at the end */
    uint8_t *row;               /* by node: its result is a row value */
    uint32_t *reader, *readers; /* readers of value v: reader[readers[v] .. readers[v + 1] - 1] */
    uint32_t *
        ready; /* by node: the last node before it, or itself, that does more than this pass fuses */
    uint8_t *seen; /* by node, for searches */
    uint32_t *stack;
    cluster *at; /* as many as nodes */
    uint32_t count;
} clusters;

/* In order[] are the live nodes. False when memory is out. */
bool clusters_find(clusters *out, tw_context *context, const tw_graph *graph, const uint8_t *live,
                   const uint32_t *uses);
void clusters_free(clusters *c);

/* Whether the value is one number that a kernel knows, so that everyone who reads it has a copy. */
bool cluster_copies(const tw_graph *graph, uint32_t value);
/* Whether the node is a dot that is computed in tiles, open extents at their nominal numbers. */
bool cluster_product(tw_context *context, const tw_graph *graph, const node *it, matrix_product *m);

#endif
