/* Growth of arrays. */
#include "base/vector.h"

bool vector_reserve(tw_context *context, void **at, size_t *capacity, size_t count, size_t size) {
    if (count <= *capacity) return true;
    size_t grown = *capacity < 8 ? 8 : *capacity + *capacity / 2;
    if (grown < count) grown = count;
    void *moved = context_resize(context, *at, grown, size);
    if (!moved) return false;
    *at = moved;
    *capacity = grown;
    return true;
}
