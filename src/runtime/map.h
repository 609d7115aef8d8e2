/* Movement: strided copies of boxes of elements. */
#ifndef RUNTIME_MAP_H
#define RUNTIME_MAP_H

#include <thalweg/operator.h>

/* Runs an operator that means an index map. */
tw_status map_run(const tw_kernel_call *call);
/* `count` elements of `size` bytes (1, 2, 4, 8), each as *value. */
void map_fill(tw_context *context, int64_t count, size_t size, void *out, const void *value);

#endif
