/* One call of tw_minimize at work. */
#ifndef OPTIM_MINIMIZER_H
#define OPTIM_MINIMIZER_H

#include <thalweg/optim.h>

#include "ir/graph.h"

typedef struct parameter {
    tw_value w, g;
    tw_value indices, rows; /* of a sparse gradient */
    bool sparse;
    double decay, rate_factor; /* as groups and no_decay say */
} parameter;

typedef struct minimizer {
    tw_graph *graph;
    tw_optimizer settings;
    tw_value sum, weight; /* weight absent: the loss is no pair */
    tw_value next_step;   /* i64, 1 at the first update */
    tw_value rate;        /* absent: the settings' number */
    int n;
    parameter *parameters;
} minimizer;

tw_value minimizer_scalar(const minimizer *m, tw_dtype dtype, double number);
/* x times a scalar of any float type, in x's type; of f16 and bf16 computed in f32. */
tw_value minimizer_scaled(tw_value x, tw_value factor);
/* Appends the update of one parameter, whose gradient is still to be multiplied by `factor`
 * (absent for 1), and assigns what it gives. */
void minimizer_update(minimizer *m, parameter *p, tw_value factor);

#endif
