/*
 * Examples by number: the block that holds the row is read from disk, unless it is one of those
 * kept, and its rows are found one after the other. In order, each byte is looked at once. The
 * survey has seen every cell, so whatever does not fit now has changed since.
 */
#include <stdio.h>
#include <string.h>

#include "io/csv.h"

enum { CACHE_BYTES = 8 << 20, SLOTS_AT_MOST = 128 };

typedef struct reading {
    csv_file *file;
    char *message;
    size_t capacity;
} reading;

static tw_status changed(const reading *r, csv_place place, const csv_column *column,
                         const char *format, ...) TW_PRINTF(4, 5);
static tw_status changed(const reading *r, csv_place place, const csv_column *column,
                         const char *format, ...) {
    va_list list;
    va_start(list, format);
    csv_describe(r->file, place, column, r->message, r->capacity, format, list);
    va_end(list);
    return TW_ERR_FORMAT;
}

tw_status csv_read_start(csv_file *file) {
    size_t bytes = (size_t)file->longest_block + CSV_PADDING;
    int64_t count = CACHE_BYTES / (int64_t)bytes;
    if (count > SLOTS_AT_MOST) count = SLOTS_AT_MOST;
    if (count > (int64_t)file->blocks.count) count = (int64_t)file->blocks.count;
    if (count < 1) count = 1;
    file->slots = context_allocate(file->context, (size_t)count, sizeof *file->slots);
    file->scratch = context_resize(file->context, NULL, (size_t)file->longest_row + 1, 1);
    if (!file->slots || !file->scratch) return TW_ERR_MEMORY;
    file->slot_count = (int)count;
    for (int i = 0; i < file->slot_count; i++) {
        csv_slot *slot = &file->slots[i];
        slot->block = -1;
        slot->bytes = context_resize(file->context, NULL, bytes, 1);
        slot->starts = context_resize(file->context, NULL, CSV_BLOCK_ROWS + 1, sizeof(uint32_t));
        if (!slot->bytes || !slot->starts) return TW_ERR_MEMORY;
    }
    return TW_OK;
}

void csv_read_end(csv_file *file) {
    for (int i = 0; i < file->slot_count; i++) {
        context_release(file->context, file->slots[i].bytes);
        context_release(file->context, file->slots[i].starts);
    }
    context_release(file->context, file->slots);
    context_release(file->context, file->scratch);
}

static int64_t find_block(csv_file *file, int64_t row) {
    const csv_block *blocks = file->blocks.at;
    int64_t count = (int64_t)file->blocks.count;
    for (int64_t i = file->latest; i < file->latest + 2 && i < count; i++)
        if (blocks[i].row <= row && (i + 1 == count || row < blocks[i + 1].row))
            return file->latest = i;
    int64_t low = 0, high = count;
    while (high - low > 1) {
        int64_t middle = low + (high - low) / 2;
        if (blocks[middle].row <= row)
            low = middle;
        else
            high = middle;
    }
    return file->latest = low;
}

static tw_status load_block(const reading *r, csv_slot *slot, int64_t number) {
    csv_file *file = r->file;
    const csv_block *block = &file->blocks.at[number];
    int64_t length = block->bytes; /* with the end of a last row that has none */
    if (length > file->size - block->offset) length = file->size - block->offset;
    slot->block = -1;
    if (csv_pread(file, slot->bytes, length, block->offset))
        return changed(r, (csv_place){block->row, block->offset}, NULL,
                       "cannot read %lld bytes from offset %lld; has the file changed since it was "
                       "opened?",
                       (long long)length, (long long)block->offset);
    slot->length = (size_t)length;
    slot->bytes[length] = '\n';
    memset(slot->bytes + length + 1, 0, CSV_PADDING - 1);
    slot->block = number;
    slot->known = 1;
    slot->starts[0] = 0;
    return TW_OK;
}

/* A cell of a column of numbers that is not a plain one; false where there is no number now. */
static bool closer_number(const csv_file *file, const csv_column *column, const csv_field *field,
                          float *out) {
    csv_cell cell = csv_classify(file, field, out);
    if (cell == CSV_CELL_NUMBER) return true;
    if (column->label || (cell != CSV_CELL_MISSING && cell != CSV_CELL_NAN)) return false;
    *out = column->fill;
    return column->missing > 0;
}

/* -1 where the text is a new one. */
static int64_t text_code(const csv_file *file, const csv_column *column, const csv_field *field) {
    const char *bytes;
    size_t length;
    if (field->doubled && field->end - field->begin > file->longest_row) return -1;
    csv_text(file, field, file->scratch, &bytes, &length);
    int64_t code = spelling_find(&column->texts, bytes, length);
    return code >= 0 && column->codes ? column->codes[code] : code;
}

/* A field that is not a plain number: its end, NULL where it does not fit its column. */
static const char *closer_field(const csv_file *file, int i, const char *at, const char *end,
                                float *number, int32_t *code) {
    const csv_column *column = &file->columns[i];
    csv_kind kind = file->uses[i].kind;
    csv_field field;
    const char *problem = NULL;
    const char *next = csv_field_at(at, end, file->separator, &field, &problem);
    if (!next || kind == CSV_SKIP) return next;
    if (kind == CSV_NUMBER) return closer_number(file, column, &field, number) ? next : NULL;
    int64_t found = text_code(file, column, &field);
    if (found < 0) return NULL;
    *code = (int32_t)found;
    *number = (float)found;
    return next;
}

/* The row at `at`, into its features and label; gives where the next one starts, NULL on error. */
static const char *parse_row(const reading *r, csv_place place, const char *at, const char *end,
                             float *features, void *label) {
    const csv_file *file = r->file;
    const char separator = file->separator;
    const int last = file->count - 1;
    for (int i = 0;; i++) {
        const csv_use *use = &file->uses[i];
        double wide = 0;
        float number = 0;
        int32_t code = 0;
        const char *next = NULL;
        if (use->kind == CSV_NUMBER) next = csv_number_at(at, separator, &wide);
        if (!next || !decimal_round(wide, &number)) {
            next = closer_field(file, i, at, end, &number, &code);
            if (!next) {
                changed(r, place, &file->columns[i], "not what it was when the file was opened");
                return NULL;
            }
        }
        if (use->feature >= 0)
            features[use->feature] = number;
        else if (i == file->label && use->kind == CSV_TEXT)
            memcpy(label, &code, sizeof code);
        else if (i == file->label)
            memcpy(label, &number, sizeof number);
        if ((*next == separator) != (i < last)) {
            changed(r, place, NULL, "not %d fields any more as when the file was opened",
                    file->count);
            return NULL;
        }
        at = next + 1;
        if (i == last) return at + (*next == '\r');
    }
}

static tw_status read_row(const reading *r, int64_t row, float *features, void *label) {
    csv_file *file = r->file;
    int64_t number = find_block(file, row);
    csv_slot *slot = &file->slots[number % file->slot_count];
    tw_status status = slot->block == number ? TW_OK : load_block(r, slot, number);
    if (status) return status;
    const csv_block *block = &file->blocks.at[number];
    const char *end = slot->bytes + slot->length;
    int local = (int)(row - block->row);
    csv_place place = {row, block->offset};
    while (slot->known <= local) {
        const char *at = slot->bytes + slot->starts[slot->known - 1];
        at = at < end ? csv_row_end(at, end) : NULL;
        if (!at) return changed(r, place, NULL, "gone since the file was opened");
        at = csv_skip_empty(at + 1, end);
        slot->starts[slot->known++] = (uint32_t)(at - slot->bytes);
    }
    const char *at = slot->bytes + slot->starts[local];
    place.offset += slot->starts[local];
    if (at >= end) return changed(r, place, NULL, "gone since the file was opened");
    at = parse_row(r, place, at, end, features, label);
    if (!at) return TW_ERR_FORMAT;
    if (local + 1 == slot->known && slot->known <= CSV_BLOCK_ROWS) {
        if (at < end) at = csv_skip_empty(at, end);
        slot->starts[slot->known++] = (uint32_t)((at < end ? at : end) - slot->bytes);
    }
    return TW_OK;
}

tw_status csv_read(void *user, int64_t n, const int64_t *index, void *const *out, char *message,
                   size_t capacity) {
    csv_file *file = user;
    const reading r = {file, message, capacity};
    tw_status status = TW_OK;
    for (int64_t i = 0; i < n && !status; i++) {
        float *features = (float *)out[0] + i * file->features;
        char *label = file->label >= 0 ? (char *)out[1] + 4 * i : NULL;
        status = read_row(&r, index[i], features, label);
    }
    return status;
}
