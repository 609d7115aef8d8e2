/* Logs of a training that other tools read: TensorBoard's event files. */
#ifndef THALWEG_LOG_H
#define THALWEG_LOG_H

#include <thalweg/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Scalars over steps in a file FOLDER/events.out.tfevents.SECONDS.HOST.PROCESS.NUMBER of its own,
 * records in TensorFlow's framing (TFRecord: length, masked CRC-32C, Event message). Charts are named
 * by their tags, those with one beginning "loss/..." stand together.
 */
typedef struct tw_event_log tw_event_log;
/* Makes the folder's last part when it is missing. NULL on failure. */
TW_API tw_event_log *tw_event_log_new(tw_context *context, const char *folder);
/* Writes what is still in memory; a failure of it is the context's latest error. */
TW_API void tw_event_log_free(tw_event_log *log);
/* The value as f32, with the time of the call. TW_ERR_ARGUMENT for an empty tag. */
TW_API tw_status tw_event_log_scalar(tw_event_log *log, const char *tag, int64_t step,
                                     double value);
/* So that a reader sees what was logged: after each epoch, say. */
TW_API tw_status tw_event_log_flush(tw_event_log *log);

#ifdef __cplusplus
}
#endif
#endif
