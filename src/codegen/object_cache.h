/*
 * Compiled objects on disk, one file each, for the next process. Several processes use a folder at once: a
 * file appears whole, by rename, or not at all. All failures are silent: what is not found is compiled.
 */
#ifndef CODEGEN_OBJECT_CACHE_H
#define CODEGEN_OBJECT_CACHE_H

#include "base/context.h"

/* Of all that decides an object. */
typedef struct object_key {
    uint64_t low, high;
} object_key;

/* The folder of the context's objects, which the caller frees (context_release); NULL: keeps none. */
char *object_cache_folder(tw_context *context);

/* The object's bytes, the caller's (context_release), and its size; NULL: not there, or damaged. */
void *object_cache_read(tw_context *context, const char *folder, object_key key, size_t *bytes);
void object_cache_write(const char *folder, object_key key, const void *object, size_t bytes);
/* Removes the oldest files until at most `most` bytes are left. */
void object_cache_trim(tw_context *context, const char *folder, uint64_t most);

#endif
