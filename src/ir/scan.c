/* Reading and writing the words of the text form: marks, words, numbers, quoted texts. */
#include "ir/scan.h"

#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

void scan_space(const char **at) {
    const char *p = *at;
    for (;;) {
        while (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r') p++;
        if (*p != '#') break;
        while (*p && *p != '\n') p++;
    }
    *at = p;
}

bool scan_mark(const char **at, const char *mark) {
    size_t length = strlen(mark);
    scan_space(at);
    if (strncmp(*at, mark, length) != 0) return false;
    *at += length;
    return true;
}

bool scan_word(const char **at, char out[SCAN_WORD]) {
    scan_space(at);
    const char *p = *at;
    if (!is_letter(*p)) return false;
    while (is_letter(*p) || is_digit(*p)) p++;
    size_t length = (size_t)(p - *at);
    if (length >= SCAN_WORD) return false;
    memcpy(out, *at, length);
    out[length] = 0;
    *at = p;
    return true;
}

bool scan_integer(const char **at, int64_t *out) {
    scan_space(at);
    const char *p = *at;
    bool negative = *p == '-';
    if (negative) p++;
    if (!is_digit(*p)) return false;
    int64_t number = 0; /* kept negative, so that INT64_MIN fits */
    for (; is_digit(*p); p++) {
        if (__builtin_mul_overflow(number, 10, &number)) return false;
        if (__builtin_sub_overflow(number, *p - '0', &number)) return false;
    }
    if (!negative && __builtin_sub_overflow(0, number, &number)) return false;
    *out = number;
    *at = p;
    return true;
}

/* Length of a number's text at p. */
static size_t number_length(const char *p) {
    const char *start = p;
    if (*p == '-' || *p == '+') p++;
    if (is_letter(*p))
        return strncmp(p, "inf", 3) && strncmp(p, "nan", 3) ? 0 : (size_t)(p - start) + 3;
    while (is_digit(*p) || *p == '.') p++;
    if (*p == 'e' || *p == 'E') {
        p++;
        if (*p == '-' || *p == '+') p++;
        while (is_digit(*p)) p++;
    }
    return (size_t)(p - start);
}

bool scan_number(const char **at, double *out) {
    char copy[80], *end = NULL;
    scan_space(at);
    size_t length = number_length(*at);
    if (length == 0 || length >= sizeof copy) return false;
    memcpy(copy, *at, length);
    copy[length] = 0;
    char *point = strchr(copy, '.');
    if (point) *point = *localeconv()->decimal_point;
    double number = strtod(copy, &end);
    if (*end || end == copy) return false;
    *out = number;
    *at += length;
    return true;
}

static int hexadecimal(char c) {
    if (is_digit(c)) return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The character after a backslash at p; 0 when malformed. Gives how many characters it took. */
static char escaped(const char *p, int *taken) {
    *taken = 1;
    if (*p == '"' || *p == '\\') return *p;
    if (*p == 'n') return '\n';
    if (*p == 't') return '\t';
    if (*p != 'x') return 0;
    int high = hexadecimal(p[1]), low = high < 0 ? -1 : hexadecimal(p[2]);
    *taken = 3;
    return low < 0 ? 0 : (char)(high * 16 + low);
}

char *scan_string(tw_context *context, const char **at) {
    scan_space(at);
    const char *p = *at;
    if (*p++ != '"') return NULL;
    const char *end = p;
    while (*end && *end != '"' && *end != '\n') end += end[0] == '\\' && end[1] ? 2 : 1;
    if (*end != '"') return NULL;
    char *out = context_allocate(context, (size_t)(end - p) + 1, 1);
    if (!out) return NULL;
    size_t length = 0;
    while (p < end) {
        char c = *p++;
        if (c == '\\') {
            int taken;
            c = escaped(p, &taken);
            if (c == 0) {
                *at = p;
                context_release(context, out);
                return NULL;
            }
            p += taken;
        }
        out[length++] = c;
    }
    *at = end + 1;
    return out;
}

void text_add_quoted(text *out, const char *string) {
    text_add_bytes(out, "\"", 1);
    for (const char *p = string; *p; p++) {
        unsigned char c = (unsigned char)*p;
        if (c == '"' || c == '\\')
            text_add(out, "\\%c", c);
        else if (c == '\n')
            text_add_bytes(out, "\\n", 2);
        else if (c == '\t')
            text_add_bytes(out, "\\t", 2);
        else if (c < 0x20 || c == 0x7f)
            text_add(out, "\\x%02x", c);
        else
            text_add_bytes(out, p, 1);
    }
    text_add_bytes(out, "\"", 1);
}

/* Whether these digits give the number back; floats are the numbers that need at most 9. */
static bool is_exact(const char *copy, double number, int digits) {
    return digits <= 9 ? strtof(copy, NULL) == (float)number : strtod(copy, NULL) == number;
}

void text_add_number(text *out, double number, int digits) {
    char copy[64];
    for (int few = digits <= 9 ? 6 : 15; few <= digits; few++) {
        snprintf(copy, sizeof copy, "%.*g", few, number);
        if (is_exact(copy, number, digits)) break;
    }
    char *point = strchr(copy, *localeconv()->decimal_point);
    if (point) *point = '.';
    text_add_bytes(out, copy, strlen(copy));
}
