/* What the layers share: the scope of a layer's variables, and initial values by default. */
#ifndef NN_LAYER_H
#define NN_LAYER_H

#include <thalweg/nn.h>

/* Begins the scope `name` for the variables of a layer on x, to be ended by tw_scope_end. False,
 * with the graph's error and no scope, when x is unusable or `name` is missing. */
bool layer_begin(const char *layer, tw_value x, const char *name);
/* `given`, or `fallback` where it is left at its default. */
tw_init layer_init(const tw_init *given, tw_init fallback);

#endif
