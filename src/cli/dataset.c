/* Reads the demo's images, scales them, shuffles them, cuts batches. */
#include "cli/dataset.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"

enum { PIXELS = DATASET_SIDE * DATASET_SIDE };

/* Gives the tensor of the file with or without ".gz", or NULL after a message. */
static tw_tensor *read_file(tw_context *context, const char *folder, const char *kind,
                            const char *what) {
    size_t length = strlen(folder) + strlen(kind) + strlen(what) + sizeof "/.gz";
    char *path = malloc(length);
    if (!path) {
        cli_fail("out of memory");
        return NULL;
    }
    snprintf(path, length, "%s/%s%s.gz", folder, kind, what);
    if (access(path, F_OK)) path[strlen(path) - strlen(".gz")] = '\0';
    tw_tensor *tensor = tw_idx_read(context, path);
    if (!tensor && tw_last_status(context) == TW_ERR_NOT_FOUND)
        cli_fail("no data set in '%s'; install Debian's package dataset-fashion-mnist, or name its "
                 "folder with --data DIR",
                 folder);
    else if (!tensor)
        cli_fail("%s", tw_message(context));
    free(path);
    return tensor;
}

static bool check(const char *folder, const char *kind, const tw_type *images,
                  const tw_type *labels) {
    const int64_t *image = images->shape.dim;
    bool good = images->dtype == TW_U8 && images->shape.rank == 3 && image[1] == DATASET_SIDE &&
                image[2] == DATASET_SIDE && labels->dtype == TW_U8 && labels->shape.rank == 1 &&
                labels->shape.dim[0] == image[0] && image[0] > 0 && image[0] <= INT32_MAX;
    if (!good)
        cli_fail("the %s files in '%s' do not hold as many labels as images of %d x %d bytes", kind,
                 folder, DATASET_SIDE, DATASET_SIDE);
    return good;
}

bool dataset_read(tw_context *context, const char *folder, const char *kind, dataset *out) {
    memset(out, 0, sizeof *out);
    out->images_tensor = read_file(context, folder, kind, "-images-idx3-ubyte");
    if (!out->images_tensor) return false;
    out->labels_tensor = read_file(context, folder, kind, "-labels-idx1-ubyte");
    if (!out->labels_tensor) return false;
    tw_type images = tw_tensor_type(out->images_tensor);
    tw_type labels = tw_tensor_type(out->labels_tensor);
    if (!check(folder, kind, &images, &labels)) return false;
    out->count = images.shape.dim[0];
    out->pixels = tw_tensor_map(out->images_tensor);
    out->labels = tw_tensor_map(out->labels_tensor);
    for (int64_t i = 0; i < out->count; i++) {
        if (out->labels[i] < DATASET_CLASSES) continue;
        cli_fail("the %s file in '%s' labels image %lld as %d; expected 0 to %d", kind, folder,
                 (long long)i, out->labels[i], DATASET_CLASSES - 1);
        return false;
    }
    return true;
}

void dataset_end(dataset *set) {
    tw_tensor_free(set->images_tensor);
    tw_tensor_free(set->labels_tensor);
}

normalisation dataset_normalisation(const dataset *set) {
    int64_t histogram[DATASET_LEVELS] = {0};
    for (int64_t i = 0; i < set->count * PIXELS; i++) histogram[set->pixels[i]]++;
    double count = (double)(set->count * PIXELS), mean = 0, square = 0;
    for (int i = 0; i < DATASET_LEVELS; i++) mean += i / 255.0 * (double)histogram[i] / count;
    for (int i = 0; i < DATASET_LEVELS; i++)
        square += (i / 255.0 - mean) * (i / 255.0 - mean) * (double)histogram[i] / count;
    double deviation = square > 0 ? sqrt(square) : 1; /* all of one grey */
    normalisation norm;
    for (int i = 0; i < DATASET_LEVELS; i++)
        norm.level[i] = (float)((i / 255.0 - mean) / deviation);
    return norm;
}

void dataset_batch(const dataset *set, const normalisation *norm, const uint32_t *order,
                   int64_t from, int64_t n, float *images, int32_t *labels) {
    for (int64_t i = 0; i < n; i++) {
        int64_t example = order ? order[from + i] : from + i;
        const unsigned char *pixels = set->pixels + example * PIXELS;
        for (int p = 0; p < PIXELS; p++) images[i * PIXELS + p] = norm->level[pixels[p]];
        labels[i] = set->labels[example];
    }
}

/* SplitMix64 (Steele, Lea & Flood 2014). */
static uint64_t next_random(uint64_t *state) {
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* Fisher and Yates; the bias of the scaled 32-bit draw is below count / 2^32. */
void dataset_shuffle(uint32_t *order, int64_t count, uint64_t seed) {
    uint64_t state = seed;
    for (int64_t i = 0; i < count; i++) order[i] = (uint32_t)i;
    for (int64_t i = count - 1; i > 0; i--) {
        int64_t j = (int64_t)((next_random(&state) >> 32) * (uint64_t)(i + 1) >> 32);
        uint32_t kept = order[i];
        order[i] = order[j];
        order[j] = kept;
    }
}
