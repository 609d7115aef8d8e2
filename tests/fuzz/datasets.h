/* Reading whole datasets in fuzz targets. */
#ifndef FUZZ_DATASETS_H
#define FUZZ_DATASETS_H

#include <stdlib.h>

#include "fuzz/fuzz.h"

enum { FUZZ_EXAMPLES = 64, FUZZ_BYTES = 1 << 22 };

static inline size_t fuzz_example_bytes(tw_type type) {
    size_t bytes = 8; /* no element type is wider */
    for (int i = 0; i < type.shape.rank; i++)
        if (__builtin_mul_overflow(bytes, (size_t)type.shape.dim[i], &bytes)) return SIZE_MAX;
    return bytes;
}

/* Reads the first and the last examples, each by itself, and frees the dataset, which may be NULL. */
static inline void fuzz_dataset(tw_context *context, tw_dataset *dataset) {
    void *out[TW_MAX_COLUMNS] = {NULL};
    int64_t count = tw_dataset_count(dataset);
    int columns = tw_dataset_columns(dataset);
    bool small = dataset != NULL;
    for (int k = 0; k < columns; k++) {
        size_t bytes = fuzz_example_bytes(tw_dataset_type(dataset, k));
        small = small && bytes <= FUZZ_BYTES;
        if (small) out[k] = malloc(bytes + 1);
        for (int64_t code = 0; code < FUZZ_EXAMPLES; code++) tw_dataset_class(dataset, k, code);
    }
    for (int64_t i = 0; small && i < count; i++) {
        if (i == FUZZ_EXAMPLES && count > 2 * FUZZ_EXAMPLES) i = count - FUZZ_EXAMPLES;
        if (tw_dataset_read(dataset, 1, &i, out)) fuzz_expect_message(context);
    }
    for (int k = 0; k < columns; k++) free(out[k]);
    tw_dataset_free(dataset);
}

#endif
