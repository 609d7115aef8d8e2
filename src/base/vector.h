/* A growable array on the context's allocator: struct { type *at; size_t count, capacity; }. */
#ifndef BASE_VECTOR_H
#define BASE_VECTOR_H

#include <string.h>

#include "base/context.h"

#define VECTOR(type)                                                                               \
    struct {                                                                                       \
        type *at;                                                                                  \
        size_t count, capacity;                                                                    \
    }

/* Room for one more; false when memory is out. */
bool vector_reserve(tw_context *context, void **at, size_t *capacity, size_t count, size_t size);

/* A zeroed new last element, or NULL. */
#define VECTOR_PUSH(context, v)                                                                    \
    (vector_reserve(context, (void **)&(v)->at, &(v)->capacity, (v)->count + 1, sizeof *(v)->at)   \
         ? (memset(&(v)->at[(v)->count], 0, sizeof *(v)->at), &(v)->at[(v)->count++])              \
         : NULL)
#define VECTOR_FREE(context, v)                                                                    \
    (context_release(context, (v)->at), (v)->at = NULL, (v)->count = (v)->capacity = 0)

#endif
