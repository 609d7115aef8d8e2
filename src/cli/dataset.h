/* Labelled images as the demo reads them. */
#ifndef CLI_DATASET_H
#define CLI_DATASET_H

#include <thalweg/data.h>

enum { DATASET_SIDE = 28, DATASET_CLASSES = 10, DATASET_LEVELS = 256 };

typedef struct dataset {
    int64_t count;
    const unsigned char *pixels, *labels;
    tw_tensor *images_tensor, *labels_tensor; /* what the two point into */
} dataset;

/* Maps each grey level to [0, 1], minus the mean, over the deviation. */
typedef struct normalisation {
    float level[DATASET_LEVELS];
} normalisation;

/* Reads KIND-images-idx3-ubyte and KIND-labels-idx1-ubyte, with or without .gz. False after a
 * message. */
bool dataset_read(tw_context *context, const char *folder, const char *kind, dataset *out);
void dataset_end(dataset *set);
normalisation dataset_normalisation(const dataset *set);
/* Examples order[0..n) (or 0..n plus `from` when order is NULL) as a batch. */
void dataset_batch(const dataset *set, const normalisation *norm, const uint32_t *order,
                   int64_t from, int64_t n, float *images, int32_t *labels);
/* The numbers 0..count-1 in an order that follows from the seed. */
void dataset_shuffle(uint32_t *order, int64_t count, uint64_t seed);

#endif
