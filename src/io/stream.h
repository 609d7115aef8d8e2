/* A run of bytes in a mapped file, plain or deflated, read in order. */
#ifndef IO_STREAM_H
#define IO_STREAM_H

#include <zlib.h>

#include "base/context.h"

/* Set all fields up to `deflated`, then stream_start. */
typedef struct stream {
    tw_context *context;
    const char *kind, *path, *member; /* for messages: "npz file", its path, the array or NULL */
    const unsigned char *at;          /* of the file */
    size_t left;                      /* of the file */
    int64_t size;                     /* of what is read, inflated */
    bool deflated;
    int64_t offset; /* of what is read */
    uint32_t sum;   /* CRC-32 of what has been read */
    z_stream zip;
} stream;

tw_status stream_start(stream *from);
void stream_end(stream *from);
/* Exactly `bytes`; `what` they are, for the message. */
tw_status stream_read(stream *from, void *to, int64_t bytes, const char *what);
/* An error that says where the stream is. */
tw_status stream_refuse(const stream *from, tw_status status, const char *format, ...)
    TW_PRINTF(3, 4);

#endif
