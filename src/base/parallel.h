/* The one seam to threads. Kernels never call OpenMP themselves. */
#ifndef BASE_PARALLEL_H
#define BASE_PARALLEL_H

#include "base/context.h"

typedef void (*parallel_body)(void *argument, int64_t begin, int64_t end);

/*
 * Calls body on disjoint ranges that cover 0..count-1, on the context's threads. Ranges are
 * multiples of `grain` (the last may be shorter); up to one grain stays serial. What a body
 * computes must not depend on how the ranges are cut. Calls do not nest in parallel.
 */
void tw_parallel_for(tw_context *context, int64_t count, int64_t grain, parallel_body body,
                     void *argument);

#endif
