/* A string under construction. */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include "base/context.h"

/* Zero it with .context set. Once memory is out it stays empty-handed and `failed`. */
typedef struct text {
    tw_context *context;
    char *at;
    size_t length, capacity;
    bool failed;
} text;

void text_add(text *text, const char *format, ...) TW_PRINTF(2, 3);
void text_add_bytes(text *text, const char *bytes, size_t count);
/* The string, now the caller's (tw_string_free); NULL when memory was out. */
char *text_take(text *text);
void text_drop(text *text);

#endif
