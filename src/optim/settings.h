/* An optimiser's options with their defaults filled in and checked. */
#ifndef OPTIM_SETTINGS_H
#define OPTIM_SETTINGS_H

#include <thalweg/optim.h>

/* A number of an options struct: 0 is `fallback`, TW_ZERO is 0. */
double settings_number(double given, double fallback);

/* NULL options are all defaults. False, with the graph's error set, for numbers out of range. */
bool settings_fill(tw_graph *graph, const tw_optimizer *given, tw_optimizer *out);

/* Whether one of the space-separated patterns matches all of `path`; * is any run of bytes. */
bool pattern_list_matches(const char *patterns, const char *path);

#endif
