/*
 * CSV files (RFC 4180) as datasets: options, header, the plan of the columns, and what follows from
 * the survey of the file. A row is an example; empty lines are none.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <thalweg/optim.h>
#include <unistd.h>

#include "base/text.h"
#include "base/vector.h"
#include "io/csv.h"

enum { HEADER_FIRST = 64 << 10, CODE_AT_MOST = 65535 };

static tw_status refuse(csv_file *file, tw_status status, const char *format, ...) TW_PRINTF(3, 4);
static tw_status refuse(csv_file *file, tw_status status, const char *format, ...) {
    char what[2 * CSV_WHAT];
    va_list list;
    va_start(list, format);
    vsnprintf(what, sizeof what, format, list);
    va_end(list);
    return context_error(file->context, status, "CSV file '%s': %s", file->path, what);
}

static tw_status refuse_at(csv_file *file, csv_place place, const csv_column *column,
                           const char *format, ...) TW_PRINTF(4, 5);
static tw_status refuse_at(csv_file *file, csv_place place, const csv_column *column,
                           const char *format, ...) {
    char what[2 * CSV_WHAT];
    va_list list;
    va_start(list, format);
    csv_describe(file, place, column, what, sizeof what, format, list);
    va_end(list);
    return context_error(file->context, TW_ERR_FORMAT, "%s", what);
}

static void csv_free(csv_file *file) {
    tw_context *context = file->context;
    csv_read_end(file);
    for (int i = 0; i < file->count && file->columns; i++) {
        spelling_end(&file->columns[i].texts);
        context_release(context, file->columns[i].codes);
    }
    context_release(context, file->columns);
    context_release(context, file->uses);
    context_release(context, file->blocks.at);
    context_release(context, file->classes);
    spelling_end(&file->missing);
    if (file->names.context) arena_end(&file->names);
    if (file->descriptor >= 0) close(file->descriptor);
    context_release(context, file->path);
    context_release(context, file);
}

static void release(void *user) { csv_free(user); }

static tw_status check_options(csv_file *file) {
    const tw_csv_opts *o = &file->opts;
    file->separator = o->separator ? o->separator : ',';
    char c = file->separator;
    if (c == '"' || c == '\n' || c == '\r' || c == '.' || c == '+' || c == '-' ||
        (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
        return refuse(file, TW_ERR_ARGUMENT,
                      "the separator is '%c'; expected one that is no part of a number or a name, "
                      "like ',' ';' or a tab",
                      c);
    if (o->no_label && (o->label || o->regression))
        return refuse(file, TW_ERR_ARGUMENT, "no_label with %s; expected one of the two",
                      o->label ? "a label" : "regression");
    if (o->fill_mean && o->fill != 0)
        return refuse(file, TW_ERR_ARGUMENT, "both fill and fill_mean; expected one of the two");
    return TW_OK;
}

static tw_status open_file(csv_file *file) {
    file->descriptor = open(file->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file->descriptor < 0)
        return refuse(file, errno == ENOENT || errno == ENOTDIR ? TW_ERR_NOT_FOUND : TW_ERR_IO,
                      "cannot open it: %s", strerror(errno));
    struct stat facts;
    if (fstat(file->descriptor, &facts))
        return refuse(file, TW_ERR_IO, "cannot ask its size: %s", strerror(errno));
    if (!S_ISREG(facts.st_mode)) return refuse(file, TW_ERR_IO, "it is no regular file");
    file->size = facts.st_size;
    return TW_OK;
}

/* The next word of a list separated by blanks; a name with blanks stands in quotes. */
static bool next_word(const char **list, const char **word, size_t *length) {
    const char *at = *list;
    while (*at == ' ' || *at == '\t' || *at == '\n') at++;
    if (!*at) return false;
    bool quoted = *at == '"';
    *word = at += quoted;
    while (*at && (quoted ? *at != '"' : *at != ' ' && *at != '\t' && *at != '\n')) at++;
    *length = (size_t)(at - *word);
    *list = at + (quoted && *at);
    return true;
}

static tw_status note_missing(csv_file *file) {
    const char *list = file->opts.missing ? file->opts.missing : "NA nan ?", *word;
    size_t length;
    spelling_start(&file->missing, file->context);
    while (next_word(&list, &word, &length))
        if (spelling_add(&file->missing, word, length) < 0) return TW_ERR_MEMORY;
    return TW_OK;
}

static char *unquoted(csv_file *file, const csv_field *field) {
    char *name = arena_allocate(&file->names, (size_t)(field->end - field->begin) + 1, 1);
    if (!name) return NULL;
    const char *begin = field->begin, *end = field->end;
    while (begin < end && *begin == ' ') begin++;
    while (begin < end && end[-1] == ' ') end--;
    size_t count = 0;
    for (; begin < end; begin++) {
        name[count++] = *begin;
        if (field->doubled && *begin == '"') begin++;
    }
    return name;
}

/* The columns, from the first row's fields: their names, unless there is no header. */
static tw_status name_columns(csv_file *file, const char *at, const char *end) {
    struct {
        csv_column *at;
        size_t count, capacity;
    } columns = {0};
    const csv_place first = {file->opts.no_header ? 0 : -1, 0};
    for (;; at++) {
        csv_field field;
        const char *problem = NULL;
        at = csv_field_at(at, end, file->separator, &field, &problem);
        if (!at) return refuse_at(file, first, NULL, "%s", problem);
        if (file->count == CSV_COLUMNS)
            return refuse_at(file, first, NULL, "more than %d columns (is the separator '%c'?)",
                             CSV_COLUMNS, file->separator);
        csv_column *column = VECTOR_PUSH(file->context, &columns);
        file->columns = columns.at;
        if (!column) return TW_ERR_MEMORY;
        int number = file->count++;
        column->name = file->opts.no_header ? arena_format(&file->names, "%d", number)
                                            : unquoted(file, &field);
        if (!column->name) return TW_ERR_MEMORY;
        if (*at != file->separator) return TW_OK;
    }
}

static tw_status refuse_start(csv_file *file, const unsigned char *head, size_t length) {
    if (length >= 2 &&
        ((head[0] == 0xff && head[1] == 0xfe) || (head[0] == 0xfe && head[1] == 0xff)))
        return refuse(file, TW_ERR_FORMAT, "offset 0: it is UTF-16; expected UTF-8 or ASCII");
    if (length >= 2 && head[0] == 0x1f && head[1] == 0x8b)
        return refuse(file, TW_ERR_FORMAT,
                      "offset 0: it is gzipped; expected plain text: gunzip "
                      "it first");
    return TW_OK;
}

/* Reads the first row, with as much room as it takes. */
static tw_status read_header(csv_file *file) {
    tw_status status = TW_OK;
    char *head = NULL;
    for (int64_t room = HEADER_FIRST;; room *= 2) {
        int64_t length = file->size < room ? file->size : room;
        char *larger = context_resize(file->context, head, (size_t)length + CSV_PADDING, 1);
        status = larger ? TW_OK : TW_ERR_MEMORY;
        head = larger ? larger : head;
        if (!status && csv_pread(file, head, length, 0))
            status = refuse(file, TW_ERR_IO, "cannot read its first %lld bytes", (long long)length);
        if (status) break;
        const char *at = head, *end = head + length;
        head[length] = '\n';
        memset(head + length + 1, 0, CSV_PADDING - 1);
        status = refuse_start(file, (unsigned char *)head, (size_t)length);
        if (status) break;
        if (length >= 3 && !memcmp(at, "\xef\xbb\xbf", 3)) at += 3; /* UTF-8's mark */
        const char *start = at = csv_skip_empty(at, end);
        const char *newline = csv_row_end(at, end);
        if (!newline && length < file->size && room < CSV_ROW_BYTES) continue;
        if (!newline && length < file->size)
            status = refuse(file, TW_ERR_FORMAT,
                            "the first row is longer than %d MB; is a quote in "
                            "it never closed?",
                            CSV_ROW_BYTES >> 20);
        else if (at == end)
            status = refuse(file, TW_ERR_FORMAT, "it is empty; expected %s",
                            file->opts.no_header ? "rows" : "a header and rows");
        if (!newline) newline = end;
        if (!status) status = name_columns(file, at, newline);
        file->data = (file->opts.no_header || newline == end ? start : newline + 1) - head;
        if (!file->opts.no_header && newline == end) file->data = file->size;
        break;
    }
    context_release(file->context, head);
    return status;
}

/* ---- which columns ---- */

static tw_status find_column(csv_file *file, const char *name, size_t length, int *found) {
    text known = {.context = file->context};
    *found = -1;
    for (int i = 0; i < file->count; i++) {
        const char *other = file->columns[i].name;
        if (i < 32) text_add(&known, "%s'%s'", i ? ", " : "", other);
        if (strlen(other) != length || memcmp(other, name, length)) continue;
        if (*found >= 0) {
            text_drop(&known);
            return refuse(file, TW_ERR_ARGUMENT,
                          "two columns are called '%.*s', %d and %d; expected different names",
                          (int)length, name, *found, i);
        }
        *found = i;
    }
    if (*found < 0)
        refuse(file, TW_ERR_NOT_FOUND, "no column '%.*s'; it has %s%s", (int)length, name,
               known.at ? known.at : "none", file->count > 32 ? ", ..." : "");
    text_drop(&known);
    return *found < 0 ? TW_ERR_NOT_FOUND : TW_OK;
}

static tw_status choose_label(csv_file *file) {
    file->label = -1;
    file->uses = context_allocate(file->context, (size_t)file->count, sizeof *file->uses);
    if (!file->uses) return TW_ERR_MEMORY;
    for (int i = 0; i < file->count; i++)
        file->uses[i] = (csv_use){.kind = CSV_SKIP, .feature = -1};
    if (file->opts.no_label) return TW_OK;
    file->label = file->count - 1;
    tw_status status = TW_OK;
    if (file->opts.label)
        status = find_column(file, file->opts.label, strlen(file->opts.label), &file->label);
    if (status) return status;
    csv_column *label = &file->columns[file->label];
    label->label = true;
    file->uses[file->label].kind = file->opts.regression ? CSV_NUMBER : CSV_TEXT;
    spelling_start(&label->texts, file->context);
    return TW_OK;
}

static void add_feature(csv_file *file, int i) {
    file->uses[i].kind = CSV_NUMBER;
    file->uses[i].feature = file->features++;
    spelling_start(&file->columns[i].texts, file->context);
}

static tw_status choose_features(csv_file *file) {
    const char *list = file->opts.columns, *word;
    size_t length;
    for (int i = 0; i < file->count && !list; i++)
        if (i != file->label) add_feature(file, i);
    while (list && next_word(&list, &word, &length)) {
        int found;
        tw_status status = find_column(file, word, length, &found);
        if (status) return status;
        csv_column *column = &file->columns[found];
        if (column->label || file->uses[found].feature >= 0)
            return refuse(file, TW_ERR_ARGUMENT, "the column '%s' %s; expected each once",
                          column->name,
                          column->label ? "is the label and a feature" : "is named twice");
        add_feature(file, found);
    }
    if (file->features) return TW_OK;
    return refuse(file, TW_ERR_ARGUMENT,
                  "no feature: its only column is the label; expected no_label, or more columns "
                  "(is the separator '%c'?)",
                  file->separator);
}

/* ---- after the survey ---- */

static tw_status choose_fill(csv_file *file, csv_column *column, const csv_use *use) {
    if (use->kind != CSV_NUMBER || !column->missing) return TW_OK;
    if (file->opts.fill_mean && !use->numbers)
        return refuse_at(file, column->first_missing, column,
                         "every number is missing, so there is no mean; expected at least one, or "
                         "the column left out (tw_csv_opts.columns)");
    if (!file->opts.fill_mean && file->opts.fill == 0)
        return refuse_at(file, column->first_missing, column,
                         "the number is missing (%lld are in this column); expected one, or "
                         "tw_csv_opts.fill_mean, or fill (TW_ZERO for 0)",
                         (long long)column->missing);
    column->fill = file->opts.fill_mean         ? (float)(use->sum / (double)use->numbers)
                   : file->opts.fill == TW_ZERO ? 0
                                                : (float)file->opts.fill;
    return TW_OK;
}

/* A whole number from 0 to 65535 without leading zeros; else -1. */
static int32_t plain_code(const spelling *text) {
    if (!text->length || text->length > 5 || (text->bytes[0] == '0' && text->length > 1)) return -1;
    int32_t code = 0;
    for (size_t i = 0; i < text->length; i++) {
        if (text->bytes[i] < '0' || text->bytes[i] > '9') return -1;
        code = code * 10 + (text->bytes[i] - '0');
    }
    return code <= CODE_AT_MOST ? code : -1;
}

/* Labels that are codes already stay what they are. */
static tw_status keep_codes(csv_file *file, csv_column *label, size_t *classes) {
    int32_t most = 0;
    for (size_t i = 0; i < label->texts.count; i++) {
        int32_t code = plain_code(&label->texts.at[i]);
        if (code < 0) return TW_OK;
        if (code > most) most = code;
    }
    label->codes = context_allocate(file->context, label->texts.count, sizeof *label->codes);
    if (!label->codes) return TW_ERR_MEMORY;
    for (size_t i = 0; i < label->texts.count; i++)
        label->codes[i] = plain_code(&label->texts.at[i]);
    *classes = (size_t)most + 1;
    return TW_OK;
}

static tw_status name_classes(csv_file *file) {
    if (file->label < 0 || file->opts.regression) return TW_OK;
    csv_column *label = &file->columns[file->label];
    size_t count = label->texts.count;
    tw_status status = keep_codes(file, label, &count);
    if (status) return status;
    file->classes = context_allocate(file->context, count + 1, sizeof *file->classes);
    if (!file->classes) return TW_ERR_MEMORY;
    for (size_t i = 0; i < count; i++) {
        file->classes[i] =
            label->codes ? arena_format(&file->names, "%zu", i) : label->texts.at[i].bytes;
        if (!file->classes[i]) return TW_ERR_MEMORY;
    }
    return TW_OK;
}

static tw_status prepare(csv_file *file) {
    tw_status status = check_options(file);
    if (!status) status = open_file(file);
    if (!status) status = note_missing(file);
    if (!status) status = read_header(file);
    if (!status) status = choose_label(file);
    if (!status) status = choose_features(file);
    if (!status) status = csv_survey(file);
    if (!status && !file->rows)
        status = refuse(file, TW_ERR_FORMAT, "a header and no rows; expected at least one");
    for (int i = 0; i < file->count && !status; i++)
        status = choose_fill(file, &file->columns[i], &file->uses[i]);
    if (!status) status = name_classes(file);
    if (!status) status = csv_read_start(file);
    return status;
}

tw_dataset *tw_dataset_csv(tw_context *context, const char *path, const tw_csv_opts *opts) {
    if (!context) return NULL;
    if (!path) {
        context_error(context, TW_ERR_NULL, "tw_dataset_csv: the path is NULL");
        return NULL;
    }
    csv_file *file = context_allocate(context, 1, sizeof *file);
    if (!file) return NULL;
    file->context = context;
    file->descriptor = -1;
    if (opts) file->opts = *opts;
    arena_start(&file->names, context);
    file->path = context_allocate(context, strlen(path) + 1, 1);
    if (file->path) memcpy(file->path, path, strlen(path));
    if (!file->path || prepare(file)) {
        csv_free(file);
        return NULL;
    }
    tw_dataset_source source = {
        .count = file->rows,
        .columns = file->label < 0 ? 1 : 2,
        .name = {"features", "label"},
        .type = {{TW_F32, TW_SHAPE(file->features)},
                 {file->opts.regression ? TW_F32 : TW_I32, TW_SHAPE()}},
        .classes = {NULL, file->classes},
        .read = csv_read,
        .release = release,
        .user = file,
    };
    tw_dataset *dataset = tw_dataset_new(context, &source);
    if (!dataset) {
        csv_free(file);
        return NULL;
    }
    context_release(context, file->classes); /* the dataset has copies */
    file->classes = NULL;
    return dataset;
}
