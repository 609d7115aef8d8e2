/* The array format inside: an array from any stream of bytes. */
#ifndef IO_NPY_H
#define IO_NPY_H

#include <thalweg/data.h>

#include "io/stream.h"

typedef struct npy_header {
    tw_type type;
    bool fortran;  /* the first axis is the fastest */
    int order;     /* BIG_ENDIAN_FILE, ... */
    int64_t bytes; /* of the elements */
} npy_header;

/* The header; the stream then stands at the elements, which fill its rest exactly. */
tw_status npy_read_header(stream *from, npy_header *out);
/* A new tensor of the elements; NULL with the context's error. */
tw_tensor *npy_read_elements(stream *from, const npy_header *header);

#endif
