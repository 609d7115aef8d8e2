/* Reading small texts: attributes, types, graphs. Each function first skips spaces and comments
 * (# to the end of the line), then moves *at past what it read; on failure *at is the culprit. */
#ifndef IR_SCAN_H
#define IR_SCAN_H

#include "base/text.h"

enum { SCAN_WORD = 64 }; /* room for the longest word with its end */

void scan_space(const char **at);
/* True and past it if `mark` comes next. */
bool scan_mark(const char **at, const char *mark);
/* [A-Za-z_][A-Za-z0-9_]*, shorter than SCAN_WORD. */
bool scan_word(const char **at, char out[SCAN_WORD]);
bool scan_integer(const char **at, int64_t *out);
/* Decimal, or inf or nan with a sign; always with a point, whatever the locale. */
bool scan_number(const char **at, double *out);
/* A text in quotes, as text_add_quoted writes it; the caller's to context_release. NULL: malformed,
 * or out of memory with the context's error set. */
char *scan_string(tw_context *context, const char **at);

void text_add_quoted(text *out, const char *string);
/* As few digits as give the same number back: at most 9, for a float, or 17. */
void text_add_number(text *out, double number, int digits);

#endif
