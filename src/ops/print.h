/* The line that tw_print writes, and its operator. */
#ifndef OPS_PRINT_H
#define OPS_PRINT_H

#include <thalweg/graph.h>

#include "base/text.h"

/* "label f32[3] [1,2,3]"; without data the type alone. */
void print_line(tw_context *context, const char *label, tw_type type, const void *data, text *out);
/* A node that prints `value` in every run. */
void print_append(tw_value value, const char *label);

#endif
