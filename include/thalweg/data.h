/* Readers of data files. */
#ifndef THALWEG_DATA_H
#define THALWEG_DATA_H

#include <thalweg/run.h>

#ifdef __cplusplus
extern "C" {
#endif

/* An idx file (LeCun's MNIST format), gzipped or not, as a tensor of its own type and shape:
 * u8, i32, f32 or f64. NULL on failure; the message names file, offset, what was expected. */
TW_API tw_tensor *tw_idx_read(tw_context *context, const char *path);

#ifdef __cplusplus
}
#endif
#endif
