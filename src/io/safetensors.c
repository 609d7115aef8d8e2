/*
 * A store as one safetensors file (huggingface.co/docs/safetensors):
 *
 *     u64, little-endian      length of the header
 *     header                  JSON: {"path": {"dtype": "F32", "shape": [2, 3],
 *                                             "data_offsets": [begin, end]}, ...}
 *     elements                little-endian, row-major; offsets count from here
 *
 * Saving writes beside the file and renames, so that the path holds the old or the new file and
 * never a half. Loading trusts nothing, and checks and reads the whole file before the store
 * changes.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <thalweg/run.h>
#include <unistd.h>

#include <cJSON.h>

#include "base/context.h"
#include "base/number.h"
#include "base/text.h"
#include "io/bytes.h"
#include "ir/dimension.h"
#include "runtime/store.h"

enum { LENGTH_BYTES = 8, HEADER_AT_MOST = 100 * 1000 * 1000, HEADER_ALIGNMENT = 8 };

#define METADATA "__metadata__" /* the one name in a header that is no tensor */

static const struct {
    const char *name;
    tw_dtype dtype;
} dtypes[] = {
    {"BOOL", TW_BOOL}, {"U8", TW_U8},     {"I32", TW_I32}, {"I64", TW_I64}, {"U32", TW_U32},
    {"F16", TW_F16},   {"BF16", TW_BF16}, {"F32", TW_F32}, {"F64", TW_F64},
};
enum { DTYPES = sizeof dtypes / sizeof dtypes[0] };

/* A tensor on its way to or from the file. */
typedef struct entry {
    const char *path;
    tw_type type;
    int64_t begin, end; /* offsets of its elements */
    tw_tensor *tensor;  /* one hold */
} entry;

typedef struct tensor_file {
    tw_context *context;
    tw_store *store;
    const char *path;
    int descriptor; /* -1 when closed */
    int64_t size;
    int64_t data; /* where the elements start */
    char *header;
    cJSON *json;
    entry *entries;
    int count;
} tensor_file;

static tw_status refuse(tensor_file *file, tw_status status, const char *format, ...)
    TW_PRINTF(3, 4);
static tw_status refuse(tensor_file *file, tw_status status, const char *format, ...) {
    char what[1024];
    va_list list;
    va_start(list, format);
    vsnprintf(what, sizeof what, format, list);
    va_end(list);
    return context_error(file->context, status, "safetensors file '%s': %s", file->path, what);
}

static tw_status refuse_system(tensor_file *file, const char *what) {
    tw_status status = errno == ENOENT || errno == ENOTDIR ? TW_ERR_NOT_FOUND : TW_ERR_IO;
    return refuse(file, status, "%s: %s", what, strerror(errno));
}

static tw_status refuse_memory(tensor_file *file) {
    return refuse(file, TW_ERR_MEMORY, "out of memory");
}

static void file_end(tensor_file *file) {
    for (int i = 0; i < file->count; i++)
        if (file->entries[i].tensor) tw_tensor_free(file->entries[i].tensor);
    context_release(file->context, file->entries);
    context_release(file->context, file->header);
    cJSON_Delete(file->json);
    if (file->descriptor >= 0) close(file->descriptor);
}

static const char *dtype_to_name(tw_dtype dtype) {
    for (int i = 0; i < DTYPES; i++)
        if (dtypes[i].dtype == dtype) return dtypes[i].name;
    return NULL;
}

/* ---- saving ---- */

/* Wide elements first, so that all stand aligned; then by path, so that equal stores give equal
 * files whatever order they were made in. */
static int compare_for_saving(const void *a, const void *b) {
    const entry *left = a, *right = b;
    size_t wide = tw_dtype_size(left->type.dtype), other = tw_dtype_size(right->type.dtype);
    if (wide != other) return wide > other ? -1 : 1;
    return strcmp(left->path, right->path);
}

static tw_status collect(tensor_file *file) {
    int n = tw_store_size(file->store);
    file->entries = context_allocate(file->context, (size_t)n + 1, sizeof *file->entries);
    if (!file->entries) return refuse_memory(file);
    for (int i = 0; i < n; i++) {
        entry *item = &file->entries[file->count];
        item->path = tw_store_path(file->store, i);
        item->tensor = tw_store_get(file->store, item->path);
        if (!item->tensor) return tw_last_status(file->context);
        file->count++;
        item->type = tw_tensor_type(item->tensor);
        if (!dtype_to_name(item->type.dtype))
            return refuse(file, TW_ERR_UNSUPPORTED, "'%s' is %s, which the format does not know",
                          item->path, tw_dtype_name(item->type.dtype));
        if (!strcmp(item->path, METADATA))
            return refuse(file, TW_ERR_ARGUMENT, "no variable may be called " METADATA);
    }
    qsort(file->entries, (size_t)file->count, sizeof *file->entries, compare_for_saving);
    int64_t offset = 0;
    for (int i = 0; i < file->count; i++) {
        entry *item = &file->entries[i];
        item->begin = offset;
        if (!checked_add(offset, (int64_t)tw_tensor_bytes(item->tensor), &offset))
            return refuse(file, TW_ERR_MEMORY, "the store is too large for a file");
        item->end = offset;
    }
    return TW_OK;
}

static bool add_number(cJSON *list, int64_t number) {
    return cJSON_AddItemToArray(list, cJSON_CreateNumber((double)number));
}

static bool describe(cJSON *json, const entry *item) {
    cJSON *about = cJSON_AddObjectToObject(json, item->path);
    if (!about || !cJSON_AddStringToObject(about, "dtype", dtype_to_name(item->type.dtype)))
        return false;
    cJSON *shape = cJSON_AddArrayToObject(about, "shape");
    bool good = shape != NULL;
    for (int i = 0; good && i < item->type.shape.rank; i++)
        good = add_number(shape, item->type.shape.dim[i]);
    cJSON *offsets = good ? cJSON_AddArrayToObject(about, "data_offsets") : NULL;
    return offsets && add_number(offsets, item->begin) && add_number(offsets, item->end);
}

/* The header with its length before it, padded with spaces so that the elements stand aligned. */
static tw_status make_header(tensor_file *file, text *out) {
    file->json = cJSON_CreateObject();
    cJSON *about = file->json ? cJSON_AddObjectToObject(file->json, METADATA) : NULL;
    if (!about || !cJSON_AddStringToObject(about, "format", "thalweg")) return refuse_memory(file);
    for (int i = 0; i < file->count; i++)
        if (!describe(file->json, &file->entries[i])) return refuse_memory(file);
    char *json = cJSON_PrintUnformatted(file->json);
    if (!json) return refuse_memory(file);
    size_t length = strlen(json);
    size_t padded = (length + HEADER_ALIGNMENT - 1) / HEADER_ALIGNMENT * HEADER_ALIGNMENT;
    unsigned char prefix[LENGTH_BYTES];
    bytes_put_little_u64(prefix, padded);
    text_add_bytes(out, (const char *)prefix, LENGTH_BYTES);
    text_add_bytes(out, json, length);
    text_add(out, "%*s", (int)(padded - length), "");
    cJSON_free(json);
    if (padded > HEADER_AT_MOST) return refuse(file, TW_ERR_ARGUMENT, "too many variables");
    return out->failed ? refuse_memory(file) : TW_OK;
}

static tw_status write_all(tensor_file *file, const void *data, size_t bytes) {
    const char *at = data;
    while (bytes) {
        ssize_t done = write(file->descriptor, at, bytes);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) return refuse_system(file, "cannot write");
        at += done;
        bytes -= (size_t)done;
    }
    return TW_OK;
}

static tw_status write_elements(tensor_file *file, entry *item) {
    size_t bytes = tw_tensor_bytes(item->tensor);
    if (!bytes) return TW_OK;
    void *copy = context_allocate(file->context, bytes, 1);
    if (!copy) return refuse_memory(file);
    tw_status status = tw_tensor_get(item->tensor, copy, bytes);
    bytes_reorder(copy, bytes, tw_dtype_size(item->type.dtype), LITTLE_ENDIAN_FILE);
    if (!status) status = write_all(file, copy, bytes);
    context_release(file->context, copy);
    return status;
}

static tw_status write_file(tensor_file *file, const char *aside, const text *header) {
    file->descriptor = open(aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (file->descriptor < 0) return refuse_system(file, "cannot create it");
    tw_status status = write_all(file, header->at, header->length);
    for (int i = 0; !status && i < file->count; i++)
        status = write_elements(file, &file->entries[i]);
    if (!status && fsync(file->descriptor)) status = refuse_system(file, "cannot write");
    if (close(file->descriptor) && !status) status = refuse_system(file, "cannot write");
    file->descriptor = -1;
    return status;
}

/* Makes a rename last: the folder's entry is data of the folder. */
static tw_status sync_folder(tensor_file *file) {
    text folder = {.context = file->context};
    const char *slash = strrchr(file->path, '/');
    if (!slash)
        text_add(&folder, ".");
    else
        text_add_bytes(&folder, file->path, slash == file->path ? 1 : (size_t)(slash - file->path));
    if (folder.failed) {
        text_drop(&folder);
        return refuse_memory(file);
    }
    tw_status status = TW_OK;
    int descriptor = open(folder.at, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    /* Some file systems cannot sync a folder and say EINVAL; nothing more can be done there. */
    if (descriptor < 0 || (fsync(descriptor) && errno != EINVAL))
        status = refuse_system(file, "cannot write its folder");
    if (descriptor >= 0) close(descriptor);
    text_drop(&folder);
    return status;
}

static tw_status save(tensor_file *file, text *aside, text *header) {
    text_add(aside, "%s.tmp", file->path);
    if (aside->failed) return refuse_memory(file);
    tw_status status = collect(file);
    if (!status) status = make_header(file, header);
    if (status) return status;
    status = write_file(file, aside->at, header);
    if (!status && rename(aside->at, file->path)) status = refuse_system(file, "cannot rename");
    if (status) {
        unlink(aside->at);
        return status;
    }
    return sync_folder(file);
}

tw_status tw_store_save(tw_store *store, const char *path) {
    if (!store) return TW_ERR_NULL;
    tw_context *context = store->object.context;
    if (!path) return context_error(context, TW_ERR_NULL, "tw_store_save: the path is NULL");
    tensor_file file = {.context = context, .store = store, .path = path, .descriptor = -1};
    text aside = {.context = context}, header = {.context = context};
    tw_status status = save(&file, &aside, &header);
    text_drop(&aside);
    text_drop(&header);
    file_end(&file);
    return status;
}

/* ---- loading ---- */

static tw_status read_at(tensor_file *file, void *destination, int64_t bytes, int64_t offset) {
    char *at = destination;
    while (bytes > 0) {
        ssize_t done = pread(file->descriptor, at, (size_t)bytes, (off_t)offset);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) return refuse_system(file, "cannot read");
        if (done == 0)
            return refuse(file, TW_ERR_FORMAT, "ends at offset %lld, %lld bytes early",
                          (long long)offset, (long long)bytes);
        at += done;
        bytes -= done;
        offset += done;
    }
    return TW_OK;
}

static tw_status open_file(tensor_file *file) {
    file->descriptor = open(file->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file->descriptor < 0) return refuse_system(file, "cannot open it");
    struct stat facts;
    if (fstat(file->descriptor, &facts)) return refuse_system(file, "cannot ask its size");
    if (!S_ISREG(facts.st_mode)) return refuse(file, TW_ERR_IO, "is no regular file");
    file->size = facts.st_size;
    return TW_OK;
}

static tw_status read_header(tensor_file *file) {
    unsigned char prefix[LENGTH_BYTES];
    if (file->size < LENGTH_BYTES)
        return refuse(file, TW_ERR_FORMAT, "has %lld bytes; the length of its header needs 8",
                      (long long)file->size);
    tw_status status = read_at(file, prefix, LENGTH_BYTES, 0);
    if (status) return status;
    uint64_t length = bytes_little_u64(prefix);
    if (length > (uint64_t)(file->size - LENGTH_BYTES) || length > HEADER_AT_MOST)
        return refuse(file, TW_ERR_FORMAT,
                      "offset 0: a header of %llu bytes, in a file of %lld; is it another format, "
                      "or cut?",
                      (unsigned long long)length, (long long)file->size);
    file->header = context_allocate(file->context, (size_t)length + 1, 1);
    if (!file->header) return refuse_memory(file);
    status = read_at(file, file->header, (int64_t)length, LENGTH_BYTES);
    if (status) return status;
    file->data = LENGTH_BYTES + (int64_t)length;
    if (file->header[0] != '{')
        return refuse(file, TW_ERR_FORMAT, "offset 8: the header does not start with '{'");
    const char *end = file->header;
    if (memchr(file->header, '\0', (size_t)length) || strstr(file->header, "\\u0000"))
        return refuse(file, TW_ERR_FORMAT, "the header holds a zero character");
    file->json = cJSON_ParseWithLengthOpts(file->header, (size_t)length, &end, false);
    if (file->json) end += strspn(end, " \t\r\n");
    if (!file->json || end != file->header + length)
        return refuse(file, TW_ERR_FORMAT, "offset %lld: the header is malformed JSON",
                      (long long)(LENGTH_BYTES + (end - file->header)));
    return TW_OK;
}

/* A whole number that a double holds exactly, or -1. */
static int64_t read_count(const cJSON *item) {
    double number = cJSON_IsNumber(item) ? item->valuedouble : -1;
    if (!(number >= 0 && number <= 0x1p53)) return -1;
    return (double)(int64_t)number == number ? (int64_t)number : -1;
}

static tw_status read_dtype(tensor_file *file, const cJSON *item, entry *out) {
    if (!cJSON_IsString(item))
        return refuse(file, TW_ERR_FORMAT, "tensor '%s' has no dtype", out->path);
    for (int i = 0; i < DTYPES; i++) {
        if (strcmp(dtypes[i].name, item->valuestring)) continue;
        out->type.dtype = dtypes[i].dtype;
        return TW_OK;
    }
    return refuse(file, TW_ERR_UNSUPPORTED,
                  "tensor '%s' has dtype '%.32s'; read are BOOL, U8, I32, I64, U32, F16, BF16, F32 "
                  "and F64",
                  out->path, item->valuestring);
}

static tw_status read_shape(tensor_file *file, const cJSON *item, entry *out) {
    if (!cJSON_IsArray(item))
        return refuse(file, TW_ERR_FORMAT, "tensor '%s' has no shape", out->path);
    const cJSON *extent;
    cJSON_ArrayForEach(extent, item) {
        int64_t number = read_count(extent);
        if (number < 0)
            return refuse(file, TW_ERR_FORMAT, "tensor '%s' has an extent that is no count",
                          out->path);
        if (out->type.shape.rank == TW_MAX_RANK)
            return refuse(file, TW_ERR_UNSUPPORTED, "tensor '%s' has more than %d axes", out->path,
                          TW_MAX_RANK);
        out->type.shape.dim[out->type.shape.rank++] = number;
    }
    return TW_OK;
}

static tw_status read_offsets(tensor_file *file, const cJSON *item, entry *out) {
    if (!cJSON_IsArray(item) || cJSON_GetArraySize(item) != 2)
        return refuse(file, TW_ERR_FORMAT, "tensor '%s' has no pair data_offsets", out->path);
    out->begin = read_count(cJSON_GetArrayItem(item, 0));
    out->end = read_count(cJSON_GetArrayItem(item, 1));
    if (out->begin < 0 || out->end < out->begin || out->end > file->size - file->data)
        return refuse(file, TW_ERR_FORMAT,
                      "tensor '%s' has data_offsets outside the file's %lld bytes of elements; is "
                      "it cut?",
                      out->path, (long long)(file->size - file->data));
    int64_t elements = shape_elements(out->type.shape), bytes = 0;
    if (elements < 0 || !checked_mul(elements, (int64_t)tw_dtype_size(out->type.dtype), &bytes) ||
        bytes != out->end - out->begin)
        return refuse(
            file, TW_ERR_FORMAT,
            "tensor '%s' has %lld bytes of elements, which do not fit its dtype and shape",
            out->path, (long long)(out->end - out->begin));
    return TW_OK;
}

static tw_status read_entry(tensor_file *file, const cJSON *item, entry *out) {
    out->path = item->string;
    if (!cJSON_IsObject(item) || !*out->path || cJSON_GetArraySize(item) != 3)
        return refuse(file, TW_ERR_FORMAT,
                      "tensor '%s' is not described by dtype, shape and data_offsets", out->path);
    tw_status status = read_dtype(file, cJSON_GetObjectItemCaseSensitive(item, "dtype"), out);
    if (!status) status = read_shape(file, cJSON_GetObjectItemCaseSensitive(item, "shape"), out);
    if (!status)
        status = read_offsets(file, cJSON_GetObjectItemCaseSensitive(item, "data_offsets"), out);
    return status;
}

static int compare_paths(const void *a, const void *b) {
    return strcmp(((const entry *)a)->path, ((const entry *)b)->path);
}

static int compare_offsets(const void *a, const void *b) {
    const entry *left = a, *right = b;
    if (left->begin != right->begin) return left->begin < right->begin ? -1 : 1;
    if (left->end != right->end) return left->end < right->end ? -1 : 1;
    return strcmp(left->path, right->path);
}

/* Each path once, and each byte of the elements in one tensor. */
static tw_status check_together(tensor_file *file) {
    size_t count = (size_t)file->count;
    qsort(file->entries, count, sizeof *file->entries, compare_paths);
    for (int i = 1; i < file->count; i++)
        if (!strcmp(file->entries[i - 1].path, file->entries[i].path))
            return refuse(file, TW_ERR_FORMAT, "has two tensors '%s'", file->entries[i].path);
    qsort(file->entries, count, sizeof *file->entries, compare_offsets);
    int64_t offset = 0;
    for (int i = 0; i < file->count; i++) {
        const entry *item = &file->entries[i];
        if (item->begin != offset)
            return refuse(file, TW_ERR_FORMAT, "tensor '%s' starts at offset %lld; %s", item->path,
                          (long long)item->begin,
                          item->begin < offset ? "it overlaps another tensor"
                                               : "bytes before it belong to no tensor");
        offset = item->end;
    }
    if (offset != file->size - file->data)
        return refuse(file, TW_ERR_FORMAT, "%lld bytes follow the last tensor",
                      (long long)(file->size - file->data - offset));
    return TW_OK;
}

static tw_status check_metadata(tensor_file *file, const cJSON *item) {
    bool good = cJSON_IsObject(item);
    const cJSON *word;
    cJSON_ArrayForEach(word, item) good = good && cJSON_IsString(word);
    return good ? TW_OK : refuse(file, TW_ERR_FORMAT, METADATA " is not an object of strings");
}

static tw_status read_entries(tensor_file *file) {
    int n = cJSON_GetArraySize(file->json);
    file->entries = context_allocate(file->context, (size_t)n + 1, sizeof *file->entries);
    if (!file->entries) return refuse_memory(file);
    const cJSON *item;
    cJSON_ArrayForEach(item, file->json) {
        bool metadata = !strcmp(item->string, METADATA);
        tw_status status = metadata ? check_metadata(file, item)
                                    : read_entry(file, item, &file->entries[file->count]);
        if (status) return status;
        file->count += !metadata;
    }
    return check_together(file);
}

/* What the store has already must have the file's type. */
static tw_status check_store(tensor_file *file) {
    const variable_table *table = &file->store->table;
    for (int i = 0; i < file->count; i++) {
        const entry *item = &file->entries[i];
        int known = variable_find(table, item->path);
        if (known < 0) continue;
        tw_type want = table->specs.at[known].type;
        if (want.dtype == item->type.dtype && shape_equal(want.shape, item->type.shape)) continue;
        text message = {.context = file->context};
        text_add(&message, "'%s' is ", item->path);
        type_print(file->context, item->type, &message);
        text_add(&message, " there and ");
        type_print(file->context, want, &message);
        text_add(&message, " in the store");
        tw_status status = want.dtype == item->type.dtype ? TW_ERR_SHAPE : TW_ERR_TYPE;
        status = message.failed ? refuse_memory(file) : refuse(file, status, "%s", message.at);
        text_drop(&message);
        return status;
    }
    return TW_OK;
}

static tw_status read_elements(tensor_file *file, entry *item) {
    item->tensor = tw_tensor_new(file->context, item->type.dtype, item->type.shape);
    if (!item->tensor) return tw_last_status(file->context);
    size_t bytes = (size_t)(item->end - item->begin);
    if (!bytes) return TW_OK;
    unsigned char *data = tw_tensor_map(item->tensor);
    if (!data) return tw_last_status(file->context);
    tw_status status = read_at(file, data, (int64_t)bytes, file->data + item->begin);
    if (status) return status;
    bytes_reorder(data, bytes, tw_dtype_size(item->type.dtype), LITTLE_ENDIAN_FILE);
    if (item->type.dtype != TW_BOOL) return TW_OK;
    for (size_t i = 0; i < bytes; i++)
        if (data[i] > 1)
            return refuse(file, TW_ERR_FORMAT, "tensor '%s' of BOOL has a byte %d", item->path,
                          data[i]);
    return TW_OK;
}

static tw_status load(tensor_file *file) {
    tw_status status = open_file(file);
    if (!status) status = read_header(file);
    if (!status) status = read_entries(file);
    if (!status) status = check_store(file);
    for (int i = 0; !status && i < file->count; i++)
        status = read_elements(file, &file->entries[i]);
    for (int i = 0; !status && i < file->count; i++)
        status = tw_store_set(file->store, file->entries[i].path, file->entries[i].tensor);
    return status;
}

tw_status tw_store_load(tw_store *store, const char *path) {
    if (!store) return TW_ERR_NULL;
    tw_context *context = store->object.context;
    if (!path) return context_error(context, TW_ERR_NULL, "tw_store_load: the path is NULL");
    tensor_file file = {.context = context, .store = store, .path = path, .descriptor = -1};
    tw_status status = load(&file);
    file_end(&file);
    return status;
}
