/*
 * A file that is there whole or not at all: written under another name beside its path, synced,
 * renamed over the path, and the folder synced, so that the name lasts too. A crash at any instant
 * leaves the old file or the new one, and perhaps PATH.XXXXXXXX.tmp, which the next save removes.
 */
#ifndef IO_ASIDE_H
#define IO_ASIDE_H

#include "base/text.h"

typedef struct aside {
    tw_context *context;
    const char *path; /* must outlive it */
    text name;        /* of the file under way */
    int descriptor;   /* -1 when closed */
    bool made;        /* and neither renamed nor removed yet */
} aside;

/* Each gives NULL, or what could not be done with errno saying why (ENOMEM: memory is out). After a
 * failure only aside_end may follow. */
const char *aside_begin(aside *file, tw_context *context, const char *path);
const char *aside_write(aside *file, const void *data, size_t bytes);
const char *aside_commit(aside *file);
/* Removes what was not committed. */
void aside_end(aside *file);

/* The folder that holds `path`. */
bool aside_folder(const char *path, text *out);
/* Makes entries of the folder last: its list of names is data of the folder. */
const char *aside_sync(const char *folder);
/* Makes the folder, and those above it, as far as they are missing. */
const char *aside_make_folder(tw_context *context, const char *folder);
/* Where `name` is "BASE.XXXXXXXX.tmp", a file under way, the length of BASE; else 0. */
size_t aside_base(const char *name);

#endif
