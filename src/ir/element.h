/* Elements of constants to and from text. */
#ifndef IR_ELEMENT_H
#define IR_ELEMENT_H

#include "base/text.h"

/* "[1,2.5]": enough digits to read the same bits back. False: `bytes` is no whole number. */
bool elements_print(tw_dtype dtype, const void *data, size_t bytes, text *out);
/* The elements become the caller's, to context_release; NULL for none. */
bool elements_parse(tw_context *context, tw_dtype dtype, const char **at, void **data,
                    size_t *bytes);

#endif
