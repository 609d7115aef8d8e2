/*
 * One pass over the whole file before the first example is read: which columns are numbers, the
 * texts of the others in order of first sight, sums for the means, the number of rows, and where
 * each block of them starts. A column that looks like numbers and turns out to be text needs its
 * early cells as texts after all: then, and only then, there is a second pass.
 */
#include <stdio.h>
#include <string.h>

#include "base/vector.h"
#include "io/csv.h"

enum { WINDOW_BYTES = 1 << 20 };

/* The part of the file in memory; rows are taken from its front. */
typedef struct survey {
    csv_file *file;
    char *window;
    size_t capacity, length;
    int64_t offset;  /* of the window in the file */
    csv_place place; /* of the row at hand */
    char *scratch;
    size_t scratch_size;
} survey;

static tw_status refuse(survey *s, csv_place place, const csv_column *column, const char *format,
                        ...) TW_PRINTF(4, 5);
static tw_status refuse(survey *s, csv_place place, const csv_column *column, const char *format,
                        ...) {
    char what[2 * CSV_WHAT];
    va_list list;
    va_start(list, format);
    csv_describe(s->file, place, column, what, sizeof what, format, list);
    va_end(list);
    return context_error(s->file->context, TW_ERR_FORMAT, "%s", what);
}

static void show(char *out, size_t capacity, const csv_field *field) {
    size_t length = (size_t)(field->end - field->begin);
    bool cut = length >= capacity;
    if (cut) length = capacity - 4;
    snprintf(out, capacity, "%.*s%s", (int)length, field->begin, cut ? "..." : "");
}

static csv_use *use_of(const survey *s, const csv_column *column) {
    return &s->file->uses[column - s->file->columns];
}

/* A text column is told from a misprint among numbers by how many of its fields are numbers. */
static void count_numeric(const survey *s, csv_column *column, const csv_field *field) {
    float number;
    csv_cell cell = csv_classify(s->file, field, &number);
    if (cell == CSV_CELL_NUMBER) column->numeric++;
    if (cell != CSV_CELL_TEXT || column->example[0]) return;
    column->first_text = s->place;
    show(column->example, sizeof column->example, field);
}

static tw_status check_misprints(csv_file *file) {
    survey s = {.file = file};
    for (int i = 0; i < file->count; i++) {
        const csv_column *column = &file->columns[i];
        int64_t texts = file->rows - column->missing - column->numeric;
        if (file->uses[i].kind != CSV_TEXT || column->label || !texts ||
            column->numeric / 9 <= texts)
            continue;
        return refuse(
            &s, column->first_text, column,
            "'%s' is no number, and %lld other fields of the column are; expected a number "
            "in every row: correct it, or name it in tw_csv_opts.missing",
            column->example, (long long)column->numeric);
    }
    return TW_OK;
}

static tw_status add_text(survey *s, csv_column *column, const csv_field *field) {
    const char *bytes;
    size_t length, room = (size_t)(field->end - field->begin);
    if (field->doubled && room > s->scratch_size) {
        char *larger = context_resize(s->file->context, s->scratch, room, 1);
        if (!larger) return TW_ERR_MEMORY;
        s->scratch = larger;
        s->scratch_size = room;
    }
    csv_text(s->file, field, s->scratch, &bytes, &length);
    column->missing += !length;
    if (!column->label) count_numeric(s, column, field);
    if (!length && column->label)
        return refuse(s, s->place, column,
                      "the label is missing; expected one in every row (what means that is in "
                      "tw_csv_opts.missing)");
    if (memchr(bytes, 0, length))
        return refuse(s, s->place, column, "a zero byte in a text; expected UTF-8 or ASCII");
    if (spelling_add(&column->texts, bytes, length) < 0) return TW_ERR_MEMORY;
    if (column->texts.count > CSV_TEXTS)
        return refuse(s, s->place, column,
                      "more than %d different texts, the first in row %lld, '%s'; expected numbers "
                      "or categories: correct that row, or name the other columns in "
                      "tw_csv_opts.columns",
                      CSV_TEXTS, (long long)column->first_text.row + 1, column->example);
    return TW_OK;
}

static tw_status becomes_text(survey *s, csv_column *column, const csv_field *field) {
    column->first_text = s->place;
    show(column->example, sizeof column->example, field);
    if (column->label)
        return refuse(s, s->place, column,
                      "'%s' is no number; expected one, as the label of a regression",
                      column->example);
    csv_use *use = use_of(s, column);
    use->kind = CSV_TEXT;
    column->late = use->numbers || column->others;
    if (column->missing && spelling_add(&column->texts, "", 0) < 0) return TW_ERR_MEMORY;
    return add_text(s, column, field);
}

/* A cell of a column of numbers that is not a plain one. */
static tw_status look_closer(survey *s, csv_column *column, const csv_field *field) {
    float number = 0;
    char shown[48];
    switch (csv_classify(s->file, field, &number)) {
    case CSV_CELL_NUMBER:
        use_of(s, column)->numbers++;
        use_of(s, column)->sum += (double)number;
        return TW_OK;
    case CSV_CELL_NAN: column->others++; /* fall through */
    case CSV_CELL_MISSING:
        if (!column->missing++) column->first_missing = s->place;
        return column->label ? refuse(s, s->place, column,
                                      "the label is missing; expected a number in every row")
                             : TW_OK;
    case CSV_CELL_RANGE:
        show(shown, sizeof shown, field);
        return refuse(s, s->place, column, "'%s' is larger than any f32 (3.4e38)", shown);
    default: return becomes_text(s, column, field);
    }
}

static int count_fields(const csv_file *file, const char *at, const char *end) {
    csv_field field;
    const char *problem;
    int count = 1;
    while ((at = csv_field_at(at, end, file->separator, &field, &problem)) &&
           *at == file->separator)
        at++, count++;
    return count;
}

static tw_status take_row(survey *s, const char *row, const char *end) {
    csv_file *file = s->file;
    const char separator = file->separator, *at = row;
    for (int i = 0; i < file->count; i++) {
        csv_use *use = &file->uses[i];
        double number;
        const char *next = NULL;
        if (use->kind == CSV_NUMBER && (next = csv_number_at(at, separator, &number)) &&
            number > -(double)FLT_MAX && number < (double)FLT_MAX) {
            use->numbers++;
            use->sum += number;
        } else {
            csv_column *column = &file->columns[i];
            csv_field field;
            const char *problem = NULL;
            next = csv_field_at(at, end, separator, &field, &problem);
            if (!next) return refuse(s, s->place, column, "%s", problem);
            tw_status status = TW_OK;
            if (use->kind == CSV_NUMBER)
                status = look_closer(s, column, &field);
            else if (use->kind == CSV_TEXT)
                status = add_text(s, column, &field);
            if (status) return status;
        }
        if ((*next == separator) != (i + 1 < file->count))
            return refuse(s, s->place, NULL, "%d fields; expected %d, as in the first row",
                          count_fields(file, row, end), file->count);
        at = next + 1;
    }
    return TW_OK;
}

static tw_status note_row(survey *s, int64_t bytes) {
    csv_file *file = s->file;
    csv_block *last = file->blocks.count ? &file->blocks.at[file->blocks.count - 1] : NULL;
    int64_t offset = s->place.offset;
    if (!last || s->place.row - last->row >= CSV_BLOCK_ROWS ||
        offset - last->offset >= CSV_BLOCK_BYTES) {
        last = VECTOR_PUSH(file->context, &file->blocks);
        if (!last) return TW_ERR_MEMORY;
        *last = (csv_block){s->place.row, offset, 0};
    }
    if (bytes > file->longest_row) file->longest_row = bytes;
    last->bytes = offset + bytes - last->offset;
    if (last->bytes > file->longest_block) file->longest_block = last->bytes;
    return TW_OK;
}

/* More of the file behind what is left from `at` on, which goes to the window's front. */
static tw_status refill(survey *s, const char *at) {
    csv_file *file = s->file;
    size_t left = (size_t)(s->window + s->length - at);
    if (left == s->capacity) {
        if (left >= CSV_ROW_BYTES)
            return refuse(s, s->place, NULL, "longer than %d MB; is a quote in it never closed?",
                          CSV_ROW_BYTES >> 20);
        char *larger = context_resize(file->context, s->window, 2 * s->capacity + CSV_PADDING, 1);
        if (!larger) return TW_ERR_MEMORY;
        s->window = larger;
        s->capacity *= 2;
    } else {
        s->offset += at - s->window;
        memmove(s->window, at, left);
    }
    int64_t end = s->offset + (int64_t)left, more = file->size - end;
    if (more > (int64_t)(s->capacity - left)) more = (int64_t)(s->capacity - left);
    if (csv_pread(file, s->window + left, more, end))
        return context_error(file->context, TW_ERR_IO,
                             "CSV file '%s', offset %lld: cannot read %lld bytes", file->path,
                             (long long)end, (long long)more);
    s->length = left + (size_t)more;
    s->window[s->length] = '\n';
    memset(s->window + s->length + 1, 0, CSV_PADDING - 1);
    return TW_OK;
}

static tw_status take_rows(survey *s) {
    csv_file *file = s->file;
    const char *at = s->window;
    for (tw_status status;;) {
        const char *end = s->window + s->length;
        bool last = s->offset + (int64_t)s->length == file->size;
        at = csv_skip_empty(at, end);
        s->place = (csv_place){file->rows, s->offset + (at - s->window)};
        const char *newline = csv_row_end(at, end);
        /* A lone '\r' at the window's end may be half of an empty line's end. */
        if (!newline && !last) {
            status = refill(s, at);
            if (status) return status;
            at = s->window;
            continue;
        }
        if (at == end) return TW_OK;
        if (!newline) newline = end; /* quotes that stay open are found in the row */
        status = take_row(s, at, newline);
        if (!status) status = note_row(s, newline + 1 - at);
        if (status) return status;
        file->rows++;
        if (newline == end) return TW_OK;
        at = newline + 1;
    }
}

static tw_status pass(csv_file *file) {
    survey s = {.file = file, .capacity = WINDOW_BYTES, .offset = file->data};
    file->rows = file->longest_row = file->longest_block = 0;
    file->blocks.count = 0;
    s.window = context_resize(file->context, NULL, s.capacity + CSV_PADDING, 1);
    tw_status status = s.window ? refill(&s, s.window) : TW_ERR_MEMORY;
    if (!status) status = take_rows(&s);
    context_release(file->context, s.window);
    context_release(file->context, s.scratch);
    return status;
}

tw_status csv_survey(csv_file *file) {
    tw_status status = pass(file);
    bool again = false;
    for (int i = 0; i < file->count && !status; i++) again = again || file->columns[i].late;
    if (!again) return status ? status : check_misprints(file);
    for (int i = 0; i < file->count; i++) {
        csv_column *column = &file->columns[i];
        column->missing = column->others = column->numeric = 0;
        file->uses[i].numbers = 0;
        file->uses[i].sum = 0;
        if (file->uses[i].kind != CSV_TEXT) continue;
        spelling_end(&column->texts);
        spelling_start(&column->texts, file->context);
    }
    status = pass(file);
    return status ? status : check_misprints(file);
}
