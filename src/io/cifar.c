/*
 * CIFAR-10's binary files (Krizhevsky 2009, cs.toronto.edu/~kriz/cifar.html): records of one byte
 * of label and 3072 of pixels, the planes of red, green and blue, each row by row. The files stay
 * mapped; an example is turned to (row, column, channel) as it is read.
 */
#include <string.h>

#include "io/dataset.h"
#include "io/mapping.h"

enum {
    SIDE = 32,
    CHANNELS = 3,
    PLANE = SIDE * SIDE,
    PIXELS = PLANE * CHANNELS,
    RECORD = PIXELS + 1
};
enum { CLASSES = 10 };

static const char *const classes[CLASSES + 1] = {
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"};

typedef struct cifar_file {
    mapping map;
    int64_t first; /* example */
} cifar_file;

typedef struct cifar {
    tw_context *context;
    int n;
    cifar_file *file;
} cifar;

static void cifar_release(void *user) {
    cifar *it = user;
    for (int i = 0; it->file && i < it->n; i++) mapping_close(&it->file[i].map);
    context_release(it->context, it->file);
    context_release(it->context, it);
}

static tw_status cifar_read(void *user, const dataset_request *request) {
    const cifar *it = user;
    unsigned char *image = request->out[0], *label = request->out[1];
    for (int64_t i = 0; i < request->n; i++, image += PIXELS) {
        int file = it->n - 1;
        while (it->file[file].first > request->index[i]) file--;
        int64_t place = request->index[i] - it->file[file].first;
        const unsigned char *record = it->file[file].map.data + place * RECORD;
        label[i] = *record++;
        for (int p = 0; p < PLANE; p++)
            for (int c = 0; c < CHANNELS; c++)
                image[p * CHANNELS + c] = record[(size_t)c * PLANE + (size_t)p];
    }
    return TW_OK;
}

/* Whole records, and labels of ten classes. */
static tw_status check_file(tw_context *context, const char *path, const mapping *map) {
    if (map->bytes % RECORD)
        return context_error(context, TW_ERR_FORMAT,
                             "CIFAR-10 file '%s', offset %zu: the last record is cut; expected "
                             "records of %d bytes",
                             path, map->bytes - map->bytes % RECORD, RECORD);
    for (size_t at = 0; at < map->bytes; at += RECORD)
        if (map->data[at] >= CLASSES)
            return context_error(context, TW_ERR_FORMAT,
                                 "CIFAR-10 file '%s', offset %zu: label %d; expected 0 to %d", path,
                                 at, map->data[at], CLASSES - 1);
    return TW_OK;
}

static tw_status open_files(cifar *it, int n, const char *const *paths, int64_t *count) {
    it->file = context_allocate(it->context, (size_t)n, sizeof *it->file);
    if (!it->file) return TW_ERR_MEMORY;
    it->n = n;
    for (int i = 0; i < n; i++) {
        mapping *map = &it->file[i].map;
        tw_status status = mapping_open(it->context, "CIFAR-10 file", paths[i], map);
        if (!status) status = check_file(it->context, paths[i], map);
        if (status) return status;
        it->file[i].first = *count;
        *count += (int64_t)(map->bytes / RECORD);
    }
    return TW_OK;
}

tw_dataset *tw_dataset_cifar(tw_context *context, int n, const char *const *paths) {
    if (!context) return NULL;
    if (n < 1 || !paths) {
        context_error(context, TW_ERR_ARGUMENT, "tw_dataset_cifar: no files given");
        return NULL;
    }
    cifar *it = context_allocate(context, 1, sizeof *it);
    if (!it) return NULL;
    it->context = context;
    tw_dataset_source source = {
        .columns = 2,
        .name = {"images", "labels"},
        .type = {{TW_U8, TW_SHAPE(SIDE, SIDE, CHANNELS)}, {TW_U8, TW_SHAPE()}},
        .classes = {NULL, classes},
        .release = cifar_release,
        .user = it,
    };
    tw_dataset *dataset = NULL;
    if (!open_files(it, n, paths, &source.count))
        dataset = dataset_new(context, &source, cifar_read);
    if (!dataset) cifar_release(it);
    return dataset;
}
