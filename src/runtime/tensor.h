/* A tensor's inside: dense elements in host memory, counted. */
#ifndef RUNTIME_TENSOR_H
#define RUNTIME_TENSOR_H

#include <thalweg/run.h>

#include "base/context.h"

struct tw_tensor {
    object object;
    tw_type type;
    size_t bytes;
    void *data;
    bool owned; /* data is the library's, aligned to 64 */
    void (*release)(void *user);
    void *user;
};

/* Bytes of a type of known extents; false on overflow or a type that has no elements in memory. */
bool type_bytes(tw_type type, size_t *bytes);

/* As tw_tensor_new, not cleared. */
tw_tensor *tensor_new(tw_context *context, tw_type type);
/* Another type of as many bytes over `base`'s memory, which it holds. */
tw_tensor *tensor_alias(tw_tensor *base, tw_type type);
/* `base` copied to memory of its own. */
tw_tensor *tensor_copy(const tw_tensor *base);

/* One element as a double, NaN for a type without arithmetic here; and back, saturating. */
double element_read(tw_dtype dtype, const void *data, int64_t index);
void element_write(tw_dtype dtype, void *data, int64_t index, double number);

#endif
