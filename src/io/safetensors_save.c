/*
 * A store to a safetensors file. The order of the tensors and the bytes follow from the contents
 * alone: equal stores give equal files.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cJSON.h>

#include "base/number.h"
#include "io/aside.h"
#include "io/bytes.h"
#include "io/safetensors.h"
#include "ir/dimension.h"

typedef struct saving {
    tw_context *context;
    tw_store *store;
    const char *path;
    const words *metadata; /* may be NULL */
    aside file;
    cJSON *json;
    safetensors_entry *entries;
    int count;
} saving;

static tw_status refuse_memory(const saving *s) {
    return safetensors_refuse(s->context, s->path, TW_ERR_MEMORY, "out of memory");
}

static tw_status report(const saving *s, const char *what) {
    return what ? safetensors_refuse_system(s->context, s->path, what) : TW_OK;
}

/* Wide elements first, so that all stand aligned; then by path, so that equal stores give equal
 * files whatever order they were made in. */
static int compare_for_saving(const void *a, const void *b) {
    const safetensors_entry *left = a, *right = b;
    size_t wide = tw_dtype_size(left->type.dtype), other = tw_dtype_size(right->type.dtype);
    if (wide != other) return wide > other ? -1 : 1;
    return strcmp(left->name, right->name);
}

static tw_status check_name(const saving *s, const char *name) {
    if (!strcmp(name, SAFETENSORS_METADATA))
        return safetensors_refuse(s->context, s->path, TW_ERR_ARGUMENT,
                                  "no variable may be called " SAFETENSORS_METADATA);
    if (!words_utf8(name))
        return safetensors_refuse(s->context, s->path, TW_ERR_ARGUMENT,
                                  "the name '%s' is not UTF-8", name);
    return TW_OK;
}

static tw_status collect(saving *s) {
    int n = tw_store_size(s->store);
    s->entries = context_allocate(s->context, (size_t)n + 1, sizeof *s->entries);
    if (!s->entries) return refuse_memory(s);
    for (int i = 0; i < n; i++) {
        safetensors_entry *item = &s->entries[s->count];
        item->name = tw_store_path(s->store, i);
        item->tensor = tw_store_get(s->store, item->name);
        if (!item->tensor) return tw_last_status(s->context);
        s->count++;
        item->type = tw_tensor_type(item->tensor);
        tw_status status = check_name(s, item->name);
        if (status) return status;
        if (!safetensors_dtype(item->type.dtype))
            return safetensors_refuse(s->context, s->path, TW_ERR_UNSUPPORTED,
                                      "'%s' is %s, which the format does not know", item->name,
                                      tw_dtype_name(item->type.dtype));
    }
    qsort(s->entries, (size_t)s->count, sizeof *s->entries, compare_for_saving);
    int64_t offset = 0;
    for (int i = 0; i < s->count; i++) {
        safetensors_entry *item = &s->entries[i];
        item->begin = offset;
        if (!checked_add(offset, (int64_t)tw_tensor_bytes(item->tensor), &offset))
            return safetensors_refuse(s->context, s->path, TW_ERR_MEMORY,
                                      "the store is too large for a file");
        item->end = offset;
    }
    return TW_OK;
}

static bool add_number(cJSON *list, int64_t number) {
    return cJSON_AddItemToArray(list, cJSON_CreateNumber((double)number));
}

static bool describe(cJSON *json, const safetensors_entry *item) {
    cJSON *about = cJSON_AddObjectToObject(json, item->name);
    if (!about || !cJSON_AddStringToObject(about, "dtype", safetensors_dtype(item->type.dtype)))
        return false;
    cJSON *shape = cJSON_AddArrayToObject(about, "shape");
    bool good = shape != NULL;
    for (int i = 0; good && i < item->type.shape.rank; i++)
        good = add_number(shape, item->type.shape.dim[i]);
    cJSON *offsets = good ? cJSON_AddArrayToObject(about, "data_offsets") : NULL;
    return offsets && add_number(offsets, item->begin) && add_number(offsets, item->end);
}

static tw_status add_metadata(saving *s) {
    cJSON *about = cJSON_AddObjectToObject(s->json, SAFETENSORS_METADATA);
    if (!about || !cJSON_AddStringToObject(about, "format", "thalweg")) return refuse_memory(s);
    for (size_t i = 0; s->metadata && i < s->metadata->count; i++) {
        const word *pair = &s->metadata->at[i];
        if (!words_utf8(pair->key) || !words_utf8(pair->value))
            return safetensors_refuse(s->context, s->path, TW_ERR_ARGUMENT,
                                      "metadata '%s': '%s' is not UTF-8", pair->key, pair->value);
        if (!cJSON_AddStringToObject(about, pair->key, pair->value)) return refuse_memory(s);
    }
    return TW_OK;
}

/* The header with its length before it, padded with spaces so that the elements stand aligned. */
static tw_status make_header(saving *s, text *out) {
    s->json = cJSON_CreateObject();
    tw_status status = s->json ? add_metadata(s) : refuse_memory(s);
    if (status) return status;
    for (int i = 0; i < s->count; i++)
        if (!describe(s->json, &s->entries[i])) return refuse_memory(s);
    char *json = cJSON_PrintUnformatted(s->json);
    if (!json) return refuse_memory(s);
    size_t length = strlen(json), alignment = SAFETENSORS_ALIGNMENT;
    size_t padded = (length + alignment - 1) / alignment * alignment;
    unsigned char prefix[SAFETENSORS_LENGTH];
    bytes_put_little_u64(prefix, padded);
    text_add_bytes(out, (const char *)prefix, SAFETENSORS_LENGTH);
    text_add_bytes(out, json, length);
    text_add(out, "%*s", (int)(padded - length), "");
    cJSON_free(json);
    if (padded > SAFETENSORS_HEADER)
        return safetensors_refuse(s->context, s->path, TW_ERR_ARGUMENT, "too many variables");
    return out->failed ? refuse_memory(s) : TW_OK;
}

/* In pieces, so that a copy in the file's order of bytes needs no memory to speak of. */
static const char *write_elements(saving *s, const safetensors_entry *item) {
    enum { PIECE = 1 << 15 };
    char piece[PIECE];
    const char *data = tw_tensor_map(item->tensor);
    size_t left = tw_tensor_bytes(item->tensor);
    const char *what = NULL;
    while (left && !what) {
        size_t bytes = left < PIECE ? left : PIECE;
        memcpy(piece, data, bytes);
        bytes_reorder(piece, bytes, tw_dtype_size(item->type.dtype), LITTLE_ENDIAN_FILE);
        what = aside_write(&s->file, piece, bytes);
        data += bytes;
        left -= bytes;
    }
    return what;
}

static tw_status save(saving *s, text *header) {
    tw_status status = collect(s);
    if (!status) status = make_header(s, header);
    if (status) return status;
    const char *what = aside_begin(&s->file, s->context, s->path);
    if (!what) what = aside_write(&s->file, header->at, header->length);
    for (int i = 0; !what && i < s->count; i++) what = write_elements(s, &s->entries[i]);
    if (!what) what = aside_commit(&s->file);
    aside_end(&s->file);
    return report(s, what);
}

tw_status safetensors_save(tw_store *store, const char *path, const words *metadata) {
    tw_context *context = store->object.context;
    saving s = {.context = context, .store = store, .path = path, .metadata = metadata};
    text header = {.context = context};
    tw_status status = save(&s, &header);
    text_drop(&header);
    for (int i = 0; i < s.count; i++) tw_tensor_free(s.entries[i].tensor);
    context_release(context, s.entries);
    cJSON_Delete(s.json);
    return status;
}

tw_status tw_store_save(tw_store *store, const char *path) {
    if (!store) return TW_ERR_NULL;
    if (!path)
        return context_error(store->object.context, TW_ERR_NULL, "tw_store_save: the path is NULL");
    return safetensors_save(store, path, NULL);
}
