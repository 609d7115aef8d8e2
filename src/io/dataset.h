/*
 * Datasets inside: a source and its lock. A dataset does not change once it is made, and whoever
 * reads one may be another thread than the context's: reading touches no context, takes no memory
 * from it, and says what is wrong in a line of the caller's.
 */
#ifndef IO_DATASET_H
#define IO_DATASET_H

#include <pthread.h>
#include <thalweg/data.h>

#include "base/context.h"

enum { DATASET_MESSAGE = 1024 };

typedef struct dataset_request {
    int64_t epoch; /* for what is drawn anew in each one */
    int64_t n;
    const int64_t *index; /* checked: 0 to the dataset's count - 1 */
    void *const *out;     /* of each column */
    char *message;        /* for failures */
    size_t capacity;
} dataset_request;

typedef tw_status (*dataset_reader)(void *user, const dataset_request *request);

struct tw_dataset {
    object object;
    tw_dataset_source source;     /* names and classes are copies, in `memory` */
    dataset_reader reader;        /* NULL: source.read */
    size_t bytes[TW_MAX_COLUMNS]; /* of one example */
    int64_t classes[TW_MAX_COLUMNS];
    void *memory;
    pthread_mutex_t lock; /* held while the source reads: it is asked one thing at a time */
};

/* As tw_dataset_new; `reader` (NULL: source->read) learns the epoch too. On failure `user` stays
 * the caller's to release. */
tw_dataset *dataset_new(tw_context *context, const tw_dataset_source *source,
                        dataset_reader reader);
/* As tw_dataset_arrays, with names and classes, either NULL as a whole or for each column. */
tw_dataset *dataset_arrays(tw_context *context, int n, tw_tensor *const *columns,
                           const char *const *names, const char *const *const *classes);
/* For any thread: one at a time in each dataset. The status is TW_OK or negative. */
tw_status dataset_fetch(tw_dataset *dataset, const dataset_request *request);
/* A line into request->message; gives `status` back. */
tw_status dataset_refuse(const dataset_request *request, tw_status status, const char *format, ...)
    TW_PRINTF(3, 4);
/* Of one example of a batch: `type` with n in front. */
tw_type dataset_batch_type(const tw_dataset *dataset, int column, int64_t n);
/* Whether `column` is one of the dataset's; if not, an error that names the function. */
bool dataset_has(const tw_dataset *dataset, int column, const char *function);

#endif
