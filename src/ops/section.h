/* The entries of slice, pad and concat, for the family's list. */
#ifndef OPS_SECTION_H
#define OPS_SECTION_H

#include <thalweg/operator.h>

extern const tw_operator op_slice, op_pad, op_concat;

#endif
