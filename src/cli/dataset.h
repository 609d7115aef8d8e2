/* Labelled images as the demo reads them. */
#ifndef CLI_DATASET_H
#define CLI_DATASET_H

#include <thalweg/data.h>

enum { DATASET_SIDE = 28, DATASET_CLASSES = 10 };

/* KIND-images-idx3-ubyte and KIND-labels-idx1-ubyte, with or without .gz: images u8 (28, 28), labels
 * u8. NULL after a message. */
tw_dataset *dataset_read(tw_context *context, const char *folder, const char *kind);
/* As the network takes them: images f32 (28, 28, 1) minus the mean, over the deviation; labels i32.
 * NULL after a message. */
tw_dataset *dataset_normalise(tw_context *context, tw_dataset *bytes, double mean,
                              double deviation);

#endif
