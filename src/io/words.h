/* A small map from string to string in order of insertion: metadata of files, notes of a run. */
#ifndef IO_WORDS_H
#define IO_WORDS_H

#include "base/vector.h"

typedef struct word {
    char *key, *value;
} word;
typedef VECTOR(word) words;

/* Copies both; a key that is there gets the new value, with NULL it goes. False: memory is out,
 * nothing changed. */
bool words_set(tw_context *context, words *list, const char *key, const char *value);
/* NULL for none. */
const char *words_get(const words *list, const char *key);
void words_end(tw_context *context, words *list);

/* Whether files may carry the string: JSON is UTF-8 (RFC 3629), and other readers insist. */
bool words_utf8(const char *string);

#endif
