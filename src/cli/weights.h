/* A model's weights as files, with notes of how they were made. */
#ifndef CLI_WEIGHTS_H
#define CLI_WEIGHTS_H

#include "cli/model.h"
#include "io/words.h"

/*
 * Notes, as metadata of the files: "note.preset", "note.set" (words "key=value"), "note.data" (fit.h).
 * --weights names a file, or a folder of `train`: its best.safetensors, else weights.safetensors,
 * else the latest checkpoint.
 */
#define NOTE_PRESET "preset"
#define NOTE_SET "set"
#define NOTE_DATA "data"

enum { WEIGHTS_PATH = 4096 };

/* The file that the word names; CLI_FINE or the code after a message. */
int weights_find(const char *word, char path[WEIGHTS_PATH]);
/* The folder's step-*.safetensors of the highest number; false for none. */
bool weights_latest(const char *folder, char path[WEIGHTS_PATH]);
/* The value of a file's note, malloc'd; NULL for none. False after a message. */
bool weights_note(tw_context *context, const char *path, const char *key, char **value);

/* Puts what the model's part uses into the store, which is empty before. False after a message. */
bool weights_load(tw_context *context, const chosen_model *chosen, model_part part, tw_store *store,
                  const char *path);
/* Writes what the model uses, and no optimiser's state; `notes` have plain keys and may be NULL.
 * False after a message. */
bool weights_save(tw_context *context, const chosen_model *chosen, tw_store *store,
                  const char *path, const words *notes);
/* Trained elements of the model; -1 after a message. */
int64_t weights_count(tw_context *context, const chosen_model *chosen);

#endif
