/* A file mapped into memory, private: writing there changes memory only. */
#ifndef IO_MAPPING_H
#define IO_MAPPING_H

#include "base/context.h"

typedef struct mapping {
    unsigned char *data; /* NULL when the file is empty */
    size_t bytes;
} mapping;

/* `kind` ("npy file") starts the messages. */
tw_status mapping_open(tw_context *context, const char *kind, const char *path, mapping *out);
void mapping_close(mapping *map);

#endif
