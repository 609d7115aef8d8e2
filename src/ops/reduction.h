/* Reductions as other families use them. */
#ifndef OPS_REDUCTION_H
#define OPS_REDUCTION_H

#include <thalweg/operator.h>

/* A `reduce` node; x itself when there are no axes. */
tw_value reduction_apply(tw_value x, tw_reduction how, const tw_shape *axes);

#endif
