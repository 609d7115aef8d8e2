/*
 * A checkpoint's file inside: a store's variables and, as metadata, what else a run goes on from.
 *
 *     version       of this list
 *     step, seed    of the store
 *     epoch, example                                             the loader's cursor
 *     batch, shuffle, shuffle_seed, drop_last, examples          what its order follows from
 *     score, best, since_best, note.KEY                          of a series (io/checkpoints.c)
 */
#ifndef IO_CHECKPOINT_H
#define IO_CHECKPOINT_H

#include <thalweg/checkpoint.h>

#include "io/safetensors.h"

enum { CHECKPOINT_VERSION = 1 };

/* `more` may be NULL; `loader` too. */
tw_status checkpoint_write(const char *path, tw_store *store, tw_loader *loader, const words *more);
/* Opens the file and checks that it is a checkpoint; safetensors_close follows in any case. */
tw_status checkpoint_open(safetensors *file, tw_context *context, const char *path);
/* Into store and loader: both, or on failure neither. */
tw_status checkpoint_restore(safetensors *file, tw_store *store, tw_loader *loader);

bool checkpoint_add_count(tw_context *context, words *list, const char *key, uint64_t count);
/* False where there is none, or no count. */
bool checkpoint_count(const words *list, const char *key, uint64_t *count);

#endif
