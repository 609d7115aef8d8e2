/* Reverse mode over a stretch of a graph, with several ends and given seeds. */
#ifndef GRAD_REVERSE_H
#define GRAD_REVERSE_H

#include "ir/graph.h"

/*
 * dx[i] = sum over k of dy[k] . d y[k] / d x[i], appended to the graph; ABSENT where nothing
 * depends on x[i]. Looks only at nodes from index `from` on. dy[k] may be ABSENT (zero).
 */
bool reverse(tw_graph *graph, uint32_t from, int n_y, const uint32_t *y, const uint32_t *dy,
             int n_x, const uint32_t *x, uint32_t *dx);

/* The sum of contributions in order; sparse ones alone stay sparse, by joining their rows. */
uint32_t gradient_sum(tw_graph *graph, size_t n, const uint32_t *parts);

#endif
