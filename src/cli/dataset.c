/* Reads the demo's images and scales them. */
#include "cli/dataset.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"

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
                labels->shape.dim[0] == image[0] && image[0] > 0;
    if (!good)
        cli_fail("the %s files in '%s' do not hold as many labels as images of %d x %d bytes", kind,
                 folder, DATASET_SIDE, DATASET_SIDE);
    return good;
}

static bool check_labels(const char *folder, const char *kind, tw_tensor *labels) {
    const unsigned char *label = tw_tensor_map(labels);
    int64_t count = tw_tensor_type(labels).shape.dim[0];
    for (int64_t i = 0; i < count; i++) {
        if (label[i] < DATASET_CLASSES) continue;
        cli_fail("the %s file in '%s' labels image %lld as %d; expected 0 to %d", kind, folder,
                 (long long)i, label[i], DATASET_CLASSES - 1);
        return false;
    }
    return true;
}

tw_dataset *dataset_read(tw_context *context, const char *folder, const char *kind) {
    tw_tensor *column[2] = {read_file(context, folder, kind, "-images-idx3-ubyte"), NULL};
    if (column[0]) column[1] = read_file(context, folder, kind, "-labels-idx1-ubyte");
    tw_type images = tw_tensor_type(column[0]), labels = tw_tensor_type(column[1]);
    tw_dataset *dataset = NULL;
    if (column[1] && check(folder, kind, &images, &labels) &&
        check_labels(folder, kind, column[1])) {
        dataset = tw_dataset_arrays(context, 2, column);
        if (!dataset) cli_fail("%s", tw_message(context));
    }
    for (int i = 0; i < 2; i++) tw_tensor_free(column[i]);
    return dataset;
}

tw_dataset *dataset_normalise(tw_context *context, tw_dataset *bytes, double mean,
                              double deviation) {
    if (!(deviation > 0)) deviation = 1; /* all of one grey */
    const tw_shape image = TW_SHAPE(DATASET_SIDE, DATASET_SIDE, 1);
    tw_dataset *images =
        tw_dataset_convert(bytes, 0, TW_F32, image, 1 / deviation, -mean / deviation);
    tw_dataset *both = tw_dataset_convert(images, 1, TW_I32, TW_SHAPE(), 1, 0);
    tw_dataset_free(images);
    if (!both) cli_fail("%s", tw_message(context));
    return both;
}
