/* Strings that grow. */
#include "base/text.h"

#include <stdio.h>
#include <string.h>
#include <thalweg/graph.h>

#include "base/vector.h"

static bool reserve(text *text, size_t more) {
    if (text->failed || more > PTRDIFF_MAX - text->length ||
        !vector_reserve(text->context, (void **)&text->at, &text->capacity, text->length + more,
                        1)) {
        text->failed = true;
        return false;
    }
    return true;
}

void text_add_bytes(text *text, const char *bytes, size_t count) {
    if (!reserve(text, count + 1)) return;
    memcpy(text->at + text->length, bytes, count);
    text->length += count;
    text->at[text->length] = '\0';
}

void text_add(text *text, const char *format, ...) {
    va_list list, again;
    va_start(list, format);
    va_copy(again, list);
    int length = vsnprintf(NULL, 0, format, list);
    va_end(list);
    if (length >= 0 && reserve(text, (size_t)length + 1)) {
        vsnprintf(text->at + text->length, (size_t)length + 1, format, again);
        text->length += (size_t)length;
    }
    va_end(again);
}

char *text_take(text *text) {
    text_add_bytes(text, "", 0);
    if (text->failed) {
        text_drop(text);
        return NULL;
    }
    char *taken = text->at;
    text->at = NULL;
    text->length = text->capacity = 0;
    return taken;
}

void text_drop(text *text) {
    context_release(text->context, text->at);
    text->at = NULL;
    text->length = text->capacity = 0;
}

void tw_string_free(tw_context *context, char *string) {
    if (context) context_release(context, string);
}
