/* What the losses share: checks of their operands, and the weighted pair at their end. */
#ifndef NN_LOSS_H
#define NN_LOSS_H

#include <thalweg/loss.h>

#include "ops/rules.h"

/* False with the graph's error unless all are usable, of one float type and of the first's shape. */
bool loss_alike(const char *function, int n, const tw_value *in, const char *names);
/* x, or f16 and bf16 as f32: losses are computed and given in that. Absent stays absent. */
tw_value loss_fine(tw_value x);
/* The shape without its last axis. */
tw_shape loss_rows(tw_shape shape);
/* Labels as i32 or i64; poisoned with the graph's error unless they are integers of that shape. */
tw_value loss_labels(const char *function, tw_value labels, tw_shape shape);
/* Weights over the leading axes of `shape` as an array of that shape, in the type of `like`. */
tw_value loss_spread(const char *function, tw_value weights, tw_value like, tw_shape shape);
/* The pair of losses and weights, which may be absent. */
tw_value loss_mean(const char *function, tw_value losses, tw_value weights);
/* Where the mask is true the value, else zero. */
tw_value loss_where(tw_value mask, tw_value x);
/* (..., n), bool (..., n) -> (...): log of the sum of exp(x) where the mask is true; about -1e30
 * where it is nowhere, and no gradient is ever NaN. */
tw_value loss_masked_logsumexp(tw_value x, tw_value mask);

/* Stands for the logarithm of zero: finite, so that differences of two are no NaN. */
#define LOSS_LOG_ZERO (-1e30)

#endif
