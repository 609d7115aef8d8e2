/*
 * A CSV file between its parts: csv.c opens it and makes the dataset, csv_survey.c goes over the
 * whole file once for types, texts and the index, csv_read.c reads examples, csv_scan.c knows the
 * format. The file stays on disk; all passes read it through buffers of a bounded size.
 */
#ifndef IO_CSV_H
#define IO_CSV_H

#include <stdarg.h>
#include <thalweg/data.h>

#include "io/decimal.h"
#include "io/spelling.h"

enum {
    CSV_BLOCK_ROWS = 1024,
    CSV_BLOCK_BYTES = 64 << 10, /* a block ends with the first row that starts after as many */
    CSV_ROW_BYTES = 16 << 20,   /* of one row at most: memory is bounded whatever the file holds */
    CSV_COLUMNS = 1 << 18,      /* at most */
    CSV_TEXTS = 1 << 20,        /* different texts of a column at most */
    CSV_PADDING = DECIMAL_PADDING, /* zeros after a newline that ends what is in a buffer */
    CSV_WHAT = 512                 /* bytes of a message */
};

typedef enum csv_kind { CSV_SKIP = 1, CSV_NUMBER, CSV_TEXT } csv_kind;

/* A place in the file, for messages. */
typedef struct csv_place {
    int64_t row, offset; /* of data, from 0, the header is -1; of the row's first byte */
} csv_place;

/* What each cell needs of its column, apart from the rest: files have thousands of columns. */
typedef struct csv_use {
    double sum; /* of the numbers in it, and how many; the survey's */
    int64_t numbers;
    csv_kind kind;
    int feature; /* which one, in the example; -1 for the label */
} csv_use;

typedef struct csv_column {
    const char *name;
    bool label;
    float fill; /* of a missing number */
    spelling_table texts;
    int32_t *codes; /* of the label's texts where they are numbers themselves; else NULL */
    /* What the survey has seen: */
    bool late; /* found to be text after cells that looked like numbers */
    int64_t missing, others;
    int64_t numeric; /* of a column of texts: fields that are numbers */
    csv_place first_missing, first_text;
    char example[48]; /* the first text */
} csv_column;

typedef struct csv_block {
    int64_t row, offset; /* its first */
    int64_t bytes;       /* to its last row's end */
} csv_block;

/* A block's bytes in memory, and where the first `known` rows of it start. */
typedef struct csv_slot {
    int64_t block; /* -1: none */
    char *bytes;
    size_t length;
    int known;
    uint32_t *starts;
} csv_slot;

typedef struct csv_file {
    tw_context *context;
    tw_csv_opts opts;
    char *path;
    int descriptor;
    int64_t size;
    char separator;
    spelling_table missing; /* spellings of a missing value */
    arena names;
    csv_column *columns;
    csv_use *uses;              /* of each column */
    int count, features, label; /* label -1: none */
    int64_t data;               /* offset of the first row */
    int64_t rows;
    struct {
        csv_block *at;
        size_t count, capacity;
    } blocks;
    int64_t longest_row, longest_block; /* bytes */
    const char **classes;
    csv_slot *slots;
    int slot_count;
    int64_t latest; /* block */
    char *scratch;
} csv_file;

/* One field: its text without the quotes around it. */
typedef struct csv_field {
    const char *begin, *end;
    bool quoted, doubled; /* holds "" for a quote */
} csv_field;

typedef enum csv_cell {
    CSV_CELL_NUMBER = 1,
    CSV_CELL_MISSING,
    CSV_CELL_NAN,
    CSV_CELL_RANGE,
    CSV_CELL_TEXT
} csv_cell;

/* ---- csv_scan.c; every text ends with a newline at `end` and CSV_PADDING bytes after it ---- */

static inline bool csv_ends(const char *at, char separator) {
    return *at == separator || *at == '\n' || (*at == '\r' && at[1] == '\n');
}
/* A plain number in a field of its own: where the field ends; NULL: look closer. */
static inline const char *csv_number_at(const char *at, char separator, double *number) {
    bool quoted = false;
    if (__builtin_expect((unsigned char)(*at - '0') > 9, 0)) {
        while (*at == ' ' && separator != ' ') at++;
        quoted = *at == '"';
        at += quoted;
    }
    at = decimal_quick(at, number);
    if (!at || (quoted && *at++ != '"')) return NULL;
    return csv_ends(at, separator) ? at : NULL;
}
/* The field at `at`, and where it ends; NULL, and why, where it is malformed. */
const char *csv_field_at(const char *at, const char *end, char separator, csv_field *field,
                         const char **problem);
/* The newline that ends the row at `at`; NULL where there is none before `end`. */
const char *csv_row_end(const char *at, const char *end);
/* Past empty lines. */
const char *csv_skip_empty(const char *at, const char *end);
/* What the field holds; a number goes to *number. */
csv_cell csv_classify(const csv_file *file, const csv_field *field, float *number);
/* The field as a text: missing values are "". May use `scratch`, which has room for the row. */
void csv_text(const csv_file *file, const csv_field *field, char *scratch, const char **bytes,
              size_t *length);

/* "CSV file 'PATH', row R (line L), column 'C': ..."; column may be NULL. */
void csv_describe(const csv_file *file, csv_place place, const csv_column *column, char *out,
                  size_t capacity, const char *format, va_list list);
/* Reads `bytes` at `offset`: TW_ERR_IO where the file holds less. */
tw_status csv_pread(const csv_file *file, char *to, int64_t bytes, int64_t offset);

/* ---- csv_survey.c ---- */
/* Types, texts, sums, rows and the index, for the columns that are not skipped. */
tw_status csv_survey(csv_file *file);

/* ---- csv_read.c; a dataset asks for one thing at a time, in range ---- */
tw_status csv_read_start(csv_file *file);
void csv_read_end(csv_file *file);
tw_status csv_read(void *user, int64_t n, const int64_t *index, void *const *out, char *message,
                   size_t capacity);

#endif
