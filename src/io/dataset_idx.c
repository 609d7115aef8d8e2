/* Labelled images in two idx files, as MNIST and its successors have them. */
#include "io/dataset.h"
#include "runtime/tensor.h"

static tw_status check(tw_context *context, const char *images, const tw_tensor *image,
                       const char *labels, const tw_tensor *label) {
    if (image->type.dtype != TW_U8 || image->type.shape.rank != 3)
        return context_error(context, TW_ERR_SHAPE,
                             "idx file '%s' holds %s of rank %d; expected images: u8 of rank 3",
                             images, tw_dtype_name(image->type.dtype), image->type.shape.rank);
    if (!label) return TW_OK;
    if (label->type.dtype != TW_U8 || label->type.shape.rank != 1)
        return context_error(context, TW_ERR_SHAPE,
                             "idx file '%s' holds %s of rank %d; expected labels: u8 of rank 1",
                             labels, tw_dtype_name(label->type.dtype), label->type.shape.rank);
    if (label->type.shape.dim[0] == image->type.shape.dim[0]) return TW_OK;
    return context_error(
        context, TW_ERR_SHAPE, "idx file '%s' has %lld labels for the %lld images of '%s'", labels,
        (long long)label->type.shape.dim[0], (long long)image->type.shape.dim[0], images);
}

tw_dataset *tw_dataset_idx(tw_context *context, const char *images, const char *labels) {
    static const char *const names[] = {"images", "labels"};
    if (!context) return NULL;
    tw_tensor *column[2] = {tw_idx_read(context, images), NULL};
    if (column[0] && labels) column[1] = tw_idx_read(context, labels);
    tw_dataset *dataset = NULL;
    if (column[0] && (column[1] || !labels) &&
        !check(context, images, column[0], labels, column[1]))
        dataset = dataset_arrays(context, labels ? 2 : 1, column, names, NULL);
    for (int i = 0; i < 2; i++) tw_tensor_free(column[i]);
    return dataset;
}
