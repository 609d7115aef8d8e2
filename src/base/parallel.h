/* The one seam to threads. */
#ifndef BASE_PARALLEL_H
#define BASE_PARALLEL_H

#include "base/context.h"
#include "base/workers.h"

/* Before the first tw_parallel_for; tw_context_free ends it. False: no memory. */
bool parallel_start(tw_context *context);

/*
 * Calls body on disjoint ranges that cover 0..count-1, on the context's threads. Ranges are
 * multiples of `grain` (the last may be shorter); up to one grain stays serial. What a body
 * computes must not depend on how the ranges are cut. Calls do not nest in parallel.
 */
void tw_parallel_for(tw_context *context, int64_t count, int64_t grain, parallel_body body,
                     void *argument);

/*
 * From here on by OpenMP: a library's own threads, OpenMP's, go on looking for work for some time
 * when it has none, and would keep ours off the processors. Without effect where
 * there is no OpenMP.
 */
void parallel_by_openmp(tw_context *context);

#endif
