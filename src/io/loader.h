/* A loader from the inside: what its order of batches follows from. */
#ifndef IO_LOADER_H
#define IO_LOADER_H

#include <thalweg/data.h>

/* As given, with the defaults filled in. */
const tw_loader_opts *loader_opts(const tw_loader *loader);

#endif
