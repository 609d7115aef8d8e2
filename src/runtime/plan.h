/* Where each transient buffer lies: one stretch of memory, shared over time. */
#ifndef RUNTIME_PLAN_H
#define RUNTIME_PLAN_H

#include "base/context.h"

/* A buffer that is in use from step `first` to step `last`, both included. */
typedef struct plan_item {
    size_t bytes;
    int first, last;
    size_t offset; /* filled in: a multiple of 64 */
} plan_item;

/*
 * Gives every item an offset so that no two that live at once overlap; `total` is the size of the
 * whole. order[] is scratch for n numbers. Greedy: the largest item first, into the smallest gap
 * that fits (Pisarchyk & Lee 2020).
 */
tw_status plan_offsets(tw_context *context, size_t n, plan_item *items, uint32_t *order,
                       size_t *total);

#endif
