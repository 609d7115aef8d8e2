/* What the optimisers' composites share. */
#ifndef OPS_UPDATE_H
#define OPS_UPDATE_H

#include <thalweg/operator.h>

/* Checks that the first `arrays` operands are floats alike and the next, the rate, is a scalar of
 * their type; false when they are, true after a tw_fail. */
bool update_refused(tw_graph *graph, const tw_signature *signature, int arrays);
/* keep old + (1 - keep) fresh */
tw_value update_average(tw_value old, tw_value fresh, double keep);
/* 1 / (1 - beta^step) as a scalar of `dtype`; step is an i64 scalar. */
tw_value update_bias_correction(tw_graph *graph, double beta, tw_value step, tw_dtype dtype);

#endif
