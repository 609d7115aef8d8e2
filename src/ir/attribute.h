/* Attributes to and from text, by their specification: for the graph's text form, for defaults,
 * and for samples. */
#ifndef IR_ATTRIBUTE_H
#define IR_ATTRIBUTE_H

#include <thalweg/operator.h>

#include "base/text.h"

/* DATA needs attr->i, its elements' type. False for a value outside its kind's range. */
bool attr_print(tw_context *context, const tw_attr_spec *spec, const tw_attr *attr, text *out);
bool attr_equal(const tw_attr_spec *spec, const tw_attr *a, const tw_attr *b);

/*
 * Reads a value from *at on, which it moves past it; on failure *at is the culprit, and nothing is
 * left to release. DATA needs out->i. A FUNCTION gets its name as `string`; the caller finds it.
 */
tw_status attr_parse(tw_context *context, const tw_attr_spec *spec, const char **at, tw_attr *out);
/* Frees what attr_parse allocated. */
void attr_release(tw_context *context, const tw_attr_spec *spec, tw_attr *attr);

/* Whether attr has the default of the operator's i-th attribute. */
bool attr_is_default(tw_context *context, const tw_operator *op, int i, const tw_attr *attr);

/* "{axes=[0], how=max}", without those that equal their default; nothing when none is left. */
bool attributes_print(tw_context *context, const tw_operator *op, const tw_attr *attr, text *out);
/* "axes=[0], how=max" (commas may be missing) up to the first thing that is no name; fills defaults
 * and fails when a required one is missing. out[] has an entry for each specification. */
tw_status attributes_parse(tw_context *context, const tw_operator *op, const char **at,
                           tw_attr *out);
/* NULL, or what is wrong with the values together: each in range, and data as long as the shape says. */
const char *attributes_fault(const tw_operator *op, const tw_attr *attr);
void attributes_release(tw_context *context, const tw_operator *op, tw_attr *attr);

/* "relu.1", or in quotes when it is no plain name. */
void function_name_print(const char *name, text *out);
char *function_name_parse(tw_context *context, const char **at); /* with the @; context_release */

#endif
