/* The format of CSV files, RFC 4180: rows, fields, quotes. Also what a field may mean. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "io/csv.h"

static uint64_t repeat(char c) { return (unsigned char)c * UINT64_C(0x0101010101010101); }

/* The high bit of each zero byte, exactly up to the first one. */
static uint64_t zeros(uint64_t word) {
    return (word - UINT64_C(0x0101010101010101)) & ~word & UINT64_C(0x8080808080808080);
}

/* The first separator, newline or quote. */
static const char *find_special(const char *at, char separator) {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    const uint64_t separators = repeat(separator), newlines = repeat('\n'), quotes = repeat('"');
    for (;; at += 8) {
        uint64_t word;
        memcpy(&word, at, sizeof word);
        uint64_t found = zeros(word ^ separators) | zeros(word ^ newlines) | zeros(word ^ quotes);
        if (found) return at + __builtin_ctzll(found) / 8;
    }
#else
    while (*at != separator && *at != '\n' && *at != '"') at++;
    return at;
#endif
}

static const char *quoted_field(const char *at, const char *end, char separator, csv_field *field,
                                const char **problem) {
    *field = (csv_field){.begin = ++at, .quoted = true};
    for (;;) {
        at = memchr(at, '"', (size_t)(end - at));
        if (!at) {
            *problem = "a quote that opens here is never closed";
            return NULL;
        }
        if (at[1] != '"') break;
        field->doubled = true;
        at += 2;
    }
    field->end = at++;
    if (csv_ends(at, separator)) return at;
    *problem = "text follows the closing quote; expected the separator or the row's end (a quote "
               "inside a quoted field is written \"\")";
    return NULL;
}

const char *csv_field_at(const char *at, const char *end, char separator, csv_field *field,
                         const char **problem) {
    if (*at == '"') return quoted_field(at, end, separator, field, problem);
    *field = (csv_field){.begin = at};
    at = find_special(at, separator);
    if (*at == '"') {
        *problem = "a quote inside a field that does not start with one; expected the whole field "
                   "in quotes, and the quote in it as \"\"";
        return NULL;
    }
    if (*at == '\n' && at > field->begin && at[-1] == '\r') at--;
    field->end = at;
    return at;
}

/* A newline ends the row unless an odd number of quotes stands before it. */
const char *csv_row_end(const char *at, const char *end) {
    bool inside = false;
    while (at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        if (!newline) return NULL;
        for (const char *quote = at; (quote = memchr(quote, '"', (size_t)(newline - quote)));
             quote++)
            inside = !inside;
        if (!inside) return newline;
        at = newline + 1;
    }
    return NULL;
}

const char *csv_skip_empty(const char *at, const char *end) {
    for (;;) {
        if (at < end && *at == '\n')
            at++;
        else if (end - at >= 2 && at[0] == '\r' && at[1] == '\n')
            at += 2;
        else if (end - at == 1 && *at == '\r')
            at++;
        else
            return at;
    }
}

static bool is_blank(char c) { return c == ' ' || c == '\t'; }

static bool is_missing(const csv_file *file, const char *begin, const char *end) {
    return begin == end || spelling_find(&file->missing, begin, (size_t)(end - begin)) >= 0;
}

static void trim(const csv_field *field, const char **begin, const char **end) {
    *begin = field->begin, *end = field->end;
    while (*begin < *end && is_blank(**begin)) ++*begin;
    while (*begin < *end && is_blank((*end)[-1])) --*end;
}

csv_cell csv_classify(const csv_file *file, const csv_field *field, float *number) {
    const char *begin, *end;
    trim(field, &begin, &end);
    if (is_missing(file, begin, end)) return CSV_CELL_MISSING;
    switch (decimal_exact(begin, end, number)) {
    case DECIMAL_NUMBER: return CSV_CELL_NUMBER;
    case DECIMAL_NAN: return CSV_CELL_NAN;
    case DECIMAL_RANGE: return CSV_CELL_RANGE;
    default: return CSV_CELL_TEXT;
    }
}

void csv_text(const csv_file *file, const csv_field *field, char *scratch, const char **bytes,
              size_t *length) {
    const char *begin, *end;
    trim(field, &begin, &end);
    *bytes = field->begin;
    *length = (size_t)(field->end - field->begin);
    if (is_missing(file, begin, end)) {
        *length = 0;
    } else if (field->doubled) {
        size_t count = 0;
        for (const char *at = field->begin; at < field->end; at++) {
            scratch[count++] = *at;
            if (*at == '"') at++;
        }
        *bytes = scratch;
        *length = count;
    }
}

tw_status csv_pread(const csv_file *file, char *to, int64_t bytes, int64_t offset) {
    while (bytes > 0) {
        ssize_t got = pread(file->descriptor, to, (size_t)bytes, offset);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return TW_ERR_IO;
        to += got;
        offset += got;
        bytes -= got;
    }
    return TW_OK;
}

/* Newlines before `offset`, plus one. Only messages ask, so nobody counts them before. */
static int64_t line_of(const csv_file *file, int64_t offset) {
    char bytes[4096];
    int64_t line = 1;
    for (int64_t at = 0; at < offset;) {
        int64_t count = offset - at < (int64_t)sizeof bytes ? offset - at : (int64_t)sizeof bytes;
        if (csv_pread(file, bytes, count, at)) break;
        for (int64_t i = 0; i < count; i++) line += bytes[i] == '\n';
        at += count;
    }
    return line;
}

void csv_describe(const csv_file *file, csv_place place, const csv_column *column, char *out,
                  size_t capacity, const char *format, va_list list) {
    char what[CSV_WHAT], row[32] = "header";
    vsnprintf(what, sizeof what, format, list);
    if (place.row >= 0) snprintf(row, sizeof row, "row %lld", (long long)place.row + 1);
    snprintf(out, capacity, "CSV file '%s', %s (line %lld)%s%s%s: %s", file->path, row,
             (long long)line_of(file, place.offset), column ? ", column '" : "",
             column ? column->name : "", column ? "'" : "", what);
}
