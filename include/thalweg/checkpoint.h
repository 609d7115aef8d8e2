/*
 * Checkpoints: one safetensors file with every variable of a store (weights, optimiser state, run
 * count of random numbers) and, in its metadata, step, data cursor and what the caller adds. A file
 * is written aside, synced, and renamed over the old one: at any instant the folder holds a whole
 * checkpoint. A run that goes on from one gives the very weights of a run that never stopped.
 */
#ifndef THALWEG_CHECKPOINT_H
#define THALWEG_CHECKPOINT_H

#include <thalweg/data.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Writes FOLDER/checkpoint.safetensors; makes the folder. `loader` may be NULL. */
TW_API tw_status tw_checkpoint_save(const char *folder, tw_store *store, tw_loader *loader);
/*
 * TW_ERR_NOT_FOUND when there is none. Variables that the file lacks stay; the loader is sought to the
 * cursor. Both or, on failure, neither. A loader of another batch, shuffle, seed, drop_last or number
 * of examples is refused, since its batches would be others; one whose run was saved without a loader,
 * too. The store takes over the seed of the store that was saved, and is refused where a graph
 * draws random numbers by another seed already.
 */
TW_API tw_status tw_checkpoint_load(const char *folder, tw_store *store, tw_loader *loader);

/* A series of checkpoints in a folder, with its rules. It holds the store and the loader. */
typedef struct tw_checkpoint_opts {
    int keep;           /* the latest so many, FOLDER/step-000123.safetensors; default 1 */
    bool keep_best;     /* and FOLDER/best.safetensors, by the score given to tw_checkpoints_save */
    bool higher_better; /* scores: default, lower is better */
    int patience;       /* so many scores without a better one and tw_checkpoints_save gives TW_END;
                         * default: never */
    void *reserved_[8];
} tw_checkpoint_opts;
typedef struct tw_checkpoints tw_checkpoints;
TW_API tw_checkpoints *tw_checkpoints_new(tw_store *store, tw_loader *loader, const char *folder,
                                          const tw_checkpoint_opts *opts);
TW_API void tw_checkpoints_free(tw_checkpoints *checkpoints);
/*
 * NaN for a save without a score. TW_END: saved, and training should stop early. The number in the
 * name is tw_store_step; a folder with a later step than the store's is another run's, which
 * is refused (TW_ERR_ARGUMENT) rather than lost.
 */
TW_API tw_status tw_checkpoints_save(tw_checkpoints *checkpoints, double score);
/* Goes on from the latest one, best score and patience included; TW_ERR_NOT_FOUND for none. */
TW_API tw_status tw_checkpoints_resume(tw_checkpoints *checkpoints);
/* A pair that is kept in the metadata of every save from now on ("learning", "1e-3"; UTF-8), and its
 * value after a resume, borrowed until then or the next note; NULL for none. A NULL value removes the
 * pair. */
TW_API tw_status tw_checkpoints_note(tw_checkpoints *checkpoints, const char *key,
                                     const char *value);
TW_API const char *tw_checkpoints_noted(const tw_checkpoints *checkpoints, const char *key);

/* Loads part of any safetensors file into a store: fine-tuning. */
typedef struct tw_load_opts {
    const char *only;   /* space-separated patterns with * of the file's names; default: all */
    const char *except; /* ... of those to leave out */
    const char *rename; /* "from=to from=to": the first that matches; * stands for the same text on
                         * both sides ("encoder.*=block.*"), the shortest that fits; of several,
                         * the first for the first */
    bool lenient;       /* skip what the store has in another shape, instead of failing */
    void *reserved_[8];
} tw_load_opts;
/* *loaded (may be NULL): how many variables were set: all that were asked for or, on failure, none.
 * A pattern of `only` or `rename` that matches no tensor is misspelt: TW_ERR_NOT_FOUND. */
TW_API tw_status tw_store_load_part(tw_store *store, const char *path, const tw_load_opts *opts,
                                    int *loaded);
/* From now on a path that the store does not hold is an error, a misspelt name found. */
TW_API tw_status tw_store_freeze(tw_store *store);

#ifdef __cplusplus
}
#endif
#endif
