/*
 * Files in the safetensors format (huggingface.co/docs/safetensors) from the inside:
 *
 *     u64, little-endian      length of the header
 *     header                  JSON: {"path": {"dtype": "F32", "shape": [2, 3],
 *                                             "data_offsets": [begin, end]}, ...,
 *                                    "__metadata__": {"key": "value", ...}}
 *     elements                little-endian, row-major; offsets count from here
 */
#ifndef IO_SAFETENSORS_H
#define IO_SAFETENSORS_H

#include "io/words.h"
#include "runtime/store.h"

enum {
    SAFETENSORS_LENGTH = 8,                 /* bytes before the header */
    SAFETENSORS_HEADER = 100 * 1000 * 1000, /* most bytes of a header */
    SAFETENSORS_ALIGNMENT = 8               /* of the elements when we write */
};
#define SAFETENSORS_METADATA "__metadata__" /* the one name in a header that is no tensor */

/* "F32" and the like; NULL for a type that the format does not know. */
const char *safetensors_dtype(tw_dtype dtype);
tw_status safetensors_refuse(tw_context *context, const char *path, tw_status status,
                             const char *format, ...) TW_PRINTF(4, 5);
/* `what` could not be done: errno says why. */
tw_status safetensors_refuse_system(tw_context *context, const char *path, const char *what);

/* A store as a file, which is there whole or not at all (io/aside.h). `metadata` may be NULL. */
tw_status safetensors_save(tw_store *store, const char *path, const words *metadata);

/* A tensor of a file. */
typedef struct safetensors_entry {
    const char *name;   /* in the file */
    const char *target; /* the variable that it goes to; at first its name; NULL leaves it out */
    char *renamed;      /* the target's memory where it is another name; else NULL */
    tw_type type;       /* dtype 0: a type that we do not have */
    int dtype;          /* which of the format's */
    int64_t begin, end; /* offsets of its elements */
    tw_tensor *tensor;  /* one hold, once it is read */
} safetensors_entry;

typedef struct safetensors {
    tw_context *context;
    const char *path;
    int descriptor; /* -1 when closed */
    int64_t size;
    int64_t data; /* where the elements start */
    char *header;
    struct cJSON *json;
    safetensors_entry *entries;
    int count;
    words metadata;
} safetensors;

/* Opens the file and reads and checks its header. safetensors_close follows in any case. */
tw_status safetensors_open(safetensors *file, tw_context *context, const char *path);
/* The entry goes into the variable `target`: refuses another type in the store. */
tw_status safetensors_check(const safetensors *file, const safetensors_entry *entry,
                            const tw_store *store);
/* Reads the elements of the entries that have a target. */
tw_status safetensors_read(safetensors *file);
/* Puts what was read into the store: all of it or, on failure, nothing. */
tw_status safetensors_commit(safetensors *file, tw_store *store);
void safetensors_close(safetensors *file);

#endif
