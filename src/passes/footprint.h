/* What values of a graph take of memory, and the peak of an order of its nodes: an estimate, open extents at
 * their nominal numbers. */
#ifndef PASSES_FOOTPRINT_H
#define PASSES_FOOTPRINT_H

#include "passes/rewrite.h"

typedef struct footprint {
    double *bytes;  /* by value: what it takes of memory, 0 for another's under another shape */
    uint32_t *root; /* by value: whose memory it reads */
    uint32_t *uses; /* by root: reads by nodes, and by outputs and assigns, which never end */
    uint32_t *left; /* by root: reads to come */
} footprint;

/* Of the live nodes in order[]. False when memory is out; footprint_end in any case. */
bool footprint_start(footprint *f, const rewrite *r, const uint32_t *order, size_t count);
void footprint_end(footprint *f, const rewrite *r);

void footprint_restart(footprint *f, const rewrite *r);
/* Bytes that are free once `it` has run; the last reads are counted where `take` is set. */
double footprint_freed(footprint *f, const node *it, bool take);
double footprint_taken(const footprint *f, const node *it);
/* Of results that nobody reads: they are gone after their node. */
double footprint_unread(const footprint *f, const node *it);
/* joined[], by node: it runs together with the one before it in order[]; NULL for none. */
double footprint_peak(footprint *f, const rewrite *r, const uint32_t *order, size_t count,
                      const uint8_t *joined);

#endif
