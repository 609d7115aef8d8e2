/*
 * Reading safetensors files. A file is not trusted: its header is checked whole before a tensor is
 * made, and all tensors are read before a store changes.
 */
#include "io/safetensors.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cJSON.h>

#include "base/number.h"
#include "base/text.h"
#include "io/bytes.h"
#include "ir/dimension.h"

static const struct {
    const char *name;
    tw_dtype dtype; /* 0: we have no such type; a file may hold it where it is not asked for */
    int bytes;
} dtypes[] = {
    {"BOOL", TW_BOOL, 1}, {"U8", TW_U8, 1},   {"I32", TW_I32, 4},   {"I64", TW_I64, 8},
    {"U32", TW_U32, 4},   {"F16", TW_F16, 2}, {"BF16", TW_BF16, 2}, {"F32", TW_F32, 4},
    {"F64", TW_F64, 8},   {"I8", 0, 1},       {"I16", 0, 2},        {"U16", 0, 2},
    {"U64", 0, 8},        {"C64", 0, 8},      {"F8_E4M3", 0, 1},    {"F8_E5M2", 0, 1},
};
enum { DTYPES = sizeof dtypes / sizeof dtypes[0] };

const char *safetensors_dtype(tw_dtype dtype) {
    for (int i = 0; i < DTYPES; i++)
        if (dtype && dtypes[i].dtype == dtype) return dtypes[i].name;
    return NULL;
}

static tw_status refuse_list(tw_context *context, const char *path, tw_status status,
                             const char *format, va_list list) {
    char what[1024];
    vsnprintf(what, sizeof what, format, list);
    return context_error(context, status, "safetensors file '%s': %s", path, what);
}

tw_status safetensors_refuse(tw_context *context, const char *path, tw_status status,
                             const char *format, ...) {
    va_list list;
    va_start(list, format);
    refuse_list(context, path, status, format, list);
    va_end(list);
    return status;
}

tw_status safetensors_refuse_system(tw_context *context, const char *path, const char *what) {
    tw_status status = errno == ENOENT || errno == ENOTDIR ? TW_ERR_NOT_FOUND
                       : errno == ENOMEM                   ? TW_ERR_MEMORY
                                                           : TW_ERR_IO;
    return safetensors_refuse(context, path, status, "%s: %s", what, strerror(errno));
}

static tw_status refuse(const safetensors *file, tw_status status, const char *format, ...)
    TW_PRINTF(3, 4);
static tw_status refuse(const safetensors *file, tw_status status, const char *format, ...) {
    va_list list;
    va_start(list, format);
    refuse_list(file->context, file->path, status, format, list);
    va_end(list);
    return status;
}

static tw_status refuse_system(const safetensors *file, const char *what) {
    return safetensors_refuse_system(file->context, file->path, what);
}

static tw_status refuse_memory(const safetensors *file) {
    return refuse(file, TW_ERR_MEMORY, "out of memory");
}

static tw_status read_at(const safetensors *file, void *destination, int64_t bytes,
                         int64_t offset) {
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

static tw_status open_file(safetensors *file) {
    file->descriptor = open(file->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file->descriptor < 0) return refuse_system(file, "cannot open it");
    struct stat facts;
    if (fstat(file->descriptor, &facts)) return refuse_system(file, "cannot ask its size");
    if (!S_ISREG(facts.st_mode)) return refuse(file, TW_ERR_IO, "is no regular file");
    file->size = facts.st_size;
    return TW_OK;
}

static tw_status read_header(safetensors *file) {
    unsigned char prefix[SAFETENSORS_LENGTH];
    if (file->size < SAFETENSORS_LENGTH)
        return refuse(file, TW_ERR_FORMAT, "has %lld bytes; the length of its header needs 8",
                      (long long)file->size);
    tw_status status = read_at(file, prefix, SAFETENSORS_LENGTH, 0);
    if (status) return status;
    uint64_t length = bytes_little_u64(prefix);
    if (length > (uint64_t)(file->size - SAFETENSORS_LENGTH) || length > SAFETENSORS_HEADER)
        return refuse(file, TW_ERR_FORMAT,
                      "offset 0: a header of %llu bytes, in a file of %lld; is it another format, "
                      "or cut?",
                      (unsigned long long)length, (long long)file->size);
    file->header = context_allocate(file->context, (size_t)length + 1, 1);
    if (!file->header) return refuse_memory(file);
    status = read_at(file, file->header, (int64_t)length, SAFETENSORS_LENGTH);
    if (status) return status;
    file->data = SAFETENSORS_LENGTH + (int64_t)length;
    if (file->header[0] != '{')
        return refuse(file, TW_ERR_FORMAT, "offset 8: the header does not start with '{'");
    const char *end = file->header;
    if (memchr(file->header, '\0', (size_t)length) || strstr(file->header, "\\u0000"))
        return refuse(file, TW_ERR_FORMAT, "the header holds a zero character");
    file->json = cJSON_ParseWithLengthOpts(file->header, (size_t)length, &end, false);
    if (file->json) end += strspn(end, " \t\r\n");
    if (!file->json || end != file->header + length)
        return refuse(file, TW_ERR_FORMAT, "offset %lld: the header is malformed JSON",
                      (long long)(SAFETENSORS_LENGTH + (end - file->header)));
    return TW_OK;
}

/* A whole number that a double holds exactly, or -1. */
static int64_t read_count(const cJSON *item) {
    double number = cJSON_IsNumber(item) ? item->valuedouble : -1;
    if (!(number >= 0 && number <= 0x1p53)) return -1;
    return (double)(int64_t)number == number ? (int64_t)number : -1;
}

static tw_status refuse_dtype(const safetensors *file, const char *name, const char *dtype) {
    return refuse(file, TW_ERR_UNSUPPORTED,
                  "tensor '%s' has dtype '%.32s'; read are BOOL, U8, I32, I64, U32, F16, BF16, F32 "
                  "and F64",
                  name, dtype);
}

static tw_status read_dtype(const safetensors *file, const cJSON *item, safetensors_entry *out) {
    if (!cJSON_IsString(item))
        return refuse(file, TW_ERR_FORMAT, "tensor '%s' has no dtype", out->name);
    for (int i = 0; i < DTYPES; i++) {
        if (strcmp(dtypes[i].name, item->valuestring)) continue;
        out->dtype = i;
        out->type.dtype = dtypes[i].dtype;
        return TW_OK;
    }
    return refuse_dtype(file, out->name, item->valuestring);
}

static tw_status read_shape(const safetensors *file, const cJSON *item, safetensors_entry *out) {
    if (!cJSON_IsArray(item))
        return refuse(file, TW_ERR_FORMAT, "tensor '%s' has no shape", out->name);
    const cJSON *extent;
    cJSON_ArrayForEach(extent, item) {
        int64_t number = read_count(extent);
        if (number < 0)
            return refuse(file, TW_ERR_FORMAT, "tensor '%s' has an extent that is no count",
                          out->name);
        if (out->type.shape.rank == TW_MAX_RANK)
            return refuse(file, TW_ERR_UNSUPPORTED, "tensor '%s' has more than %d axes", out->name,
                          TW_MAX_RANK);
        out->type.shape.dim[out->type.shape.rank++] = number;
    }
    return TW_OK;
}

static tw_status read_offsets(const safetensors *file, const cJSON *item, safetensors_entry *out) {
    if (!cJSON_IsArray(item) || cJSON_GetArraySize(item) != 2)
        return refuse(file, TW_ERR_FORMAT, "tensor '%s' has no pair data_offsets", out->name);
    out->begin = read_count(cJSON_GetArrayItem(item, 0));
    out->end = read_count(cJSON_GetArrayItem(item, 1));
    if (out->begin < 0 || out->end < out->begin || out->end > file->size - file->data)
        return refuse(file, TW_ERR_FORMAT,
                      "tensor '%s' has data_offsets outside the file's %lld bytes of elements; is "
                      "it cut?",
                      out->name, (long long)(file->size - file->data));
    int64_t elements = shape_elements(out->type.shape), bytes = 0;
    if (elements < 0 || !checked_mul(elements, dtypes[out->dtype].bytes, &bytes) ||
        bytes != out->end - out->begin)
        return refuse(
            file, TW_ERR_FORMAT,
            "tensor '%s' has %lld bytes of elements, which do not fit its dtype and shape",
            out->name, (long long)(out->end - out->begin));
    return TW_OK;
}

static tw_status read_entry(const safetensors *file, const cJSON *item, safetensors_entry *out) {
    out->name = out->target = item->string;
    if (!cJSON_IsObject(item) || !*out->name || cJSON_GetArraySize(item) != 3)
        return refuse(file, TW_ERR_FORMAT,
                      "tensor '%s' is not described by dtype, shape and data_offsets", out->name);
    tw_status status = read_dtype(file, cJSON_GetObjectItemCaseSensitive(item, "dtype"), out);
    if (!status) status = read_shape(file, cJSON_GetObjectItemCaseSensitive(item, "shape"), out);
    if (!status)
        status = read_offsets(file, cJSON_GetObjectItemCaseSensitive(item, "data_offsets"), out);
    return status;
}

static int compare_names(const void *a, const void *b) {
    return strcmp(((const safetensors_entry *)a)->name, ((const safetensors_entry *)b)->name);
}

static int compare_offsets(const void *a, const void *b) {
    const safetensors_entry *left = a, *right = b;
    if (left->begin != right->begin) return left->begin < right->begin ? -1 : 1;
    if (left->end != right->end) return left->end < right->end ? -1 : 1;
    return strcmp(left->name, right->name);
}

/* Each path once, and each byte of the elements in one tensor. */
static tw_status check_together(safetensors *file) {
    size_t count = (size_t)file->count;
    qsort(file->entries, count, sizeof *file->entries, compare_names);
    for (int i = 1; i < file->count; i++)
        if (!strcmp(file->entries[i - 1].name, file->entries[i].name))
            return refuse(file, TW_ERR_FORMAT, "has two tensors '%s'", file->entries[i].name);
    qsort(file->entries, count, sizeof *file->entries, compare_offsets);
    int64_t offset = 0;
    for (int i = 0; i < file->count; i++) {
        const safetensors_entry *item = &file->entries[i];
        if (item->begin != offset)
            return refuse(file, TW_ERR_FORMAT, "tensor '%s' starts at offset %lld; %s", item->name,
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

static tw_status read_metadata(safetensors *file, const cJSON *item) {
    enum { PAIRS_AT_MOST = 1 << 14 }; /* each new one is compared with those before */
    bool good = cJSON_IsObject(item);
    if (good && cJSON_GetArraySize(item) > PAIRS_AT_MOST)
        return refuse(file, TW_ERR_UNSUPPORTED,
                      SAFETENSORS_METADATA " has %d pairs; read are at most %d",
                      cJSON_GetArraySize(item), PAIRS_AT_MOST);
    const cJSON *pair;
    cJSON_ArrayForEach(pair, item) {
        good = good && cJSON_IsString(pair);
        if (good && !words_set(file->context, &file->metadata, pair->string, pair->valuestring))
            return refuse_memory(file);
    }
    return good ? TW_OK
                : refuse(file, TW_ERR_FORMAT, SAFETENSORS_METADATA " is not an object of strings");
}

static tw_status read_entries(safetensors *file) {
    int n = cJSON_GetArraySize(file->json);
    file->entries = context_allocate(file->context, (size_t)n + 1, sizeof *file->entries);
    if (!file->entries) return refuse_memory(file);
    const cJSON *item;
    cJSON_ArrayForEach(item, file->json) {
        bool metadata = !strcmp(item->string, SAFETENSORS_METADATA);
        tw_status status = metadata ? read_metadata(file, item)
                                    : read_entry(file, item, &file->entries[file->count]);
        if (status) return status;
        file->count += !metadata;
    }
    return check_together(file);
}

tw_status safetensors_open(safetensors *file, tw_context *context, const char *path) {
    *file = (safetensors){.context = context, .path = path, .descriptor = -1};
    tw_status status = open_file(file);
    if (!status) status = read_header(file);
    if (!status) status = read_entries(file);
    return status;
}

void safetensors_close(safetensors *file) {
    for (int i = 0; i < file->count; i++) {
        tw_tensor_free(file->entries[i].tensor);
        context_release(file->context, file->entries[i].renamed);
    }
    context_release(file->context, file->entries);
    context_release(file->context, file->header);
    words_end(file->context, &file->metadata);
    cJSON_Delete(file->json);
    if (file->descriptor >= 0) close(file->descriptor);
}

/* ---- into a store ---- */

tw_status safetensors_check(const safetensors *file, const safetensors_entry *item,
                            const tw_store *store) {
    if (!item->type.dtype) return refuse_dtype(file, item->name, dtypes[item->dtype].name);
    int known = variable_find(&store->table, item->target);
    if (known < 0) return TW_OK;
    tw_type want = store->table.specs.at[known].type;
    if (type_equal(want, item->type)) return TW_OK;
    text message = {.context = file->context};
    text_add(&message, "'%s' is ", item->name);
    type_print(file->context, item->type, &message);
    text_add(&message, " there and ");
    type_print(file->context, want, &message);
    text_add(&message, " in the store");
    if (strcmp(item->name, item->target)) text_add(&message, ", as '%s'", item->target);
    tw_status status = want.dtype == item->type.dtype ? TW_ERR_SHAPE : TW_ERR_TYPE;
    status = message.failed ? refuse_memory(file) : refuse(file, status, "%s", message.at);
    text_drop(&message);
    return status;
}

static tw_status read_elements(safetensors *file, safetensors_entry *item) {
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
            return refuse(file, TW_ERR_FORMAT, "tensor '%s' of BOOL has a byte %d", item->name,
                          data[i]);
    return TW_OK;
}

tw_status safetensors_read(safetensors *file) {
    tw_status status = TW_OK;
    for (int i = 0; !status && i < file->count; i++)
        if (file->entries[i].target) status = read_elements(file, &file->entries[i]);
    return status;
}

tw_status safetensors_commit(safetensors *file, tw_store *store) {
    size_t most = (size_t)file->count + 1, n = 0;
    store_item *items = context_allocate(file->context, most, sizeof *items);
    if (!items) return refuse_memory(file);
    for (int i = 0; i < file->count; i++)
        if (file->entries[i].target)
            items[n++] = (store_item){file->entries[i].target, file->entries[i].tensor};
    tw_status status = store_set_all(store, n, items);
    context_release(file->context, items);
    return status;
}

static tw_status load(safetensors *file, tw_store *store, const char *path) {
    tw_status status = safetensors_open(file, store->object.context, path);
    for (int i = 0; !status && i < file->count; i++)
        status = safetensors_check(file, &file->entries[i], store);
    if (!status) status = safetensors_read(file);
    return status ? status : safetensors_commit(file, store);
}

tw_status tw_store_load(tw_store *store, const char *path) {
    if (!store) return TW_ERR_NULL;
    if (!path)
        return context_error(store->object.context, TW_ERR_NULL, "tw_store_load: the path is NULL");
    safetensors file;
    tw_status status = load(&file, store, path);
    safetensors_close(&file);
    return status;
}
