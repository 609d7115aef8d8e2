/* Datasets: a user's source, or arrays in memory, behind one lock and one check of indices. */
#include "io/dataset.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/number.h"
#include "ir/dimension.h"
#include "runtime/tensor.h"

tw_status dataset_refuse(const dataset_request *request, tw_status status, const char *format,
                         ...) {
    va_list list;
    va_start(list, format);
    if (request->message && request->capacity)
        vsnprintf(request->message, request->capacity, format, list);
    va_end(list);
    return status;
}

/* Making one. */

static void dataset_destroy(object *head) {
    tw_dataset *dataset = (tw_dataset *)head;
    if (dataset->source.release) dataset->source.release(dataset->source.user);
    context_release(head->context, dataset->memory);
    pthread_mutex_destroy(&dataset->lock);
}

static tw_status check_source(tw_context *context, const tw_dataset_source *source) {
    if (source->count < 0)
        return context_error(context, TW_ERR_ARGUMENT, "a dataset of %lld examples; expected 0 on",
                             (long long)source->count);
    if (source->columns < 1 || source->columns > TW_MAX_COLUMNS)
        return context_error(context, TW_ERR_ARGUMENT, "a dataset of %d columns; expected 1 to %d",
                             source->columns, TW_MAX_COLUMNS);
    for (int i = 0; i < source->columns; i++) {
        size_t bytes;
        if (type_bytes(source->type[i], &bytes) && source->type[i].shape.rank < TW_MAX_RANK)
            continue;
        return context_error(context, TW_ERR_SHAPE,
                             "column %d of a dataset: expected an element type, a rank of 0 to %d "
                             "and extents that are numbers and whose bytes fit in memory",
                             i, TW_MAX_RANK - 1);
    }
    return TW_OK;
}

/* Room for the copies: lists of classes first, for their alignment, then characters. */
static bool measure_names(tw_dataset *dataset, const tw_dataset_source *source, size_t *pointers,
                          size_t *bytes) {
    *pointers = *bytes = 0;
    for (int i = 0; i < source->columns; i++) {
        if (source->name[i]) *bytes += strlen(source->name[i]) + 1;
        if (!source->classes[i]) continue;
        for (const char *const *at = source->classes[i]; *at; at++) {
            dataset->classes[i]++;
            *bytes += strlen(*at) + 1;
        }
        *pointers += (size_t)dataset->classes[i] + 1;
    }
    return *pointers < SIZE_MAX / sizeof(char *) - *bytes;
}

static const char *copy_string(char **to, const char *from) {
    size_t bytes = strlen(from) + 1;
    char *copy = memcpy(*to, from, bytes);
    *to += bytes;
    return copy;
}

static bool copy_names(tw_dataset *dataset, const tw_dataset_source *source) {
    size_t pointers, bytes;
    if (!measure_names(dataset, source, &pointers, &bytes)) return false;
    dataset->memory =
        context_allocate(dataset->object.context, pointers * sizeof(char *) + bytes + 1, 1);
    if (!dataset->memory) return false;
    const char **list = dataset->memory;
    char *at = (char *)(list + pointers);
    for (int i = 0; i < source->columns; i++) {
        dataset->source.name[i] = source->name[i] ? copy_string(&at, source->name[i]) : NULL;
        dataset->source.classes[i] = source->classes[i] ? list : NULL;
        for (int64_t c = 0; c < dataset->classes[i]; c++)
            *list++ = copy_string(&at, source->classes[i][c]);
        if (source->classes[i]) *list++ = NULL;
    }
    return true;
}

tw_dataset *dataset_new(tw_context *context, const tw_dataset_source *source,
                        dataset_reader reader) {
    if (!context || check_source(context, source)) return NULL;
    tw_dataset *dataset = object_new(context, sizeof *dataset, dataset_destroy);
    if (!dataset) return NULL;
    pthread_mutex_init(&dataset->lock, NULL);
    dataset->source = *source;
    dataset->source.release = NULL; /* until nothing can fail any more */
    dataset->reader = reader;
    for (int i = 0; i < source->columns; i++) type_bytes(source->type[i], &dataset->bytes[i]);
    if (copy_names(dataset, source)) {
        dataset->source.release = source->release;
        return dataset;
    }
    object_drop(dataset);
    return NULL;
}

tw_dataset *tw_dataset_new(tw_context *context, const tw_dataset_source *source) {
    if (!context) return NULL;
    if (source && source->read) return dataset_new(context, source, NULL);
    context_error(context, TW_ERR_NULL, "tw_dataset_new: no %s given",
                  source ? "read function" : "source");
    return NULL;
}

void tw_dataset_free(tw_dataset *dataset) { object_drop(dataset); }

/* Arrays. */

typedef struct arrays {
    tw_context *context;
    int n;
    size_t bytes[TW_MAX_COLUMNS]; /* of one example */
    const char *data[TW_MAX_COLUMNS];
    tw_tensor *tensor[TW_MAX_COLUMNS]; /* holds */
} arrays;

static void arrays_release(void *user) {
    arrays *it = user;
    for (int i = 0; i < it->n; i++) object_drop(it->tensor[i]);
    context_release(it->context, it);
}

static tw_status arrays_read(void *user, const dataset_request *request) {
    const arrays *it = user;
    for (int k = 0; k < it->n; k++) {
        size_t bytes = it->bytes[k];
        char *to = request->out[k];
        if (!bytes) continue;
        for (int64_t i = 0; i < request->n; i++)
            memcpy(to + (size_t)i * bytes, it->data[k] + (size_t)request->index[i] * bytes, bytes);
    }
    return TW_OK;
}

static tw_status check_arrays(tw_context *context, int n, tw_tensor *const *columns) {
    if (n < 1 || n > TW_MAX_COLUMNS)
        return context_error(context, TW_ERR_ARGUMENT, "a dataset of %d arrays; expected 1 to %d",
                             n, TW_MAX_COLUMNS);
    for (int i = 0; i < n; i++) {
        if (!columns || !columns[i])
            return context_error(context, TW_ERR_NULL, "array %d of a dataset is NULL", i);
        tw_shape shape = columns[i]->type.shape;
        if (shape.rank == 0)
            return context_error(context, TW_ERR_SHAPE,
                                 "array %d of a dataset is a scalar; expected an axis 0 that "
                                 "counts the examples",
                                 i);
        if (shape.dim[0] != columns[0]->type.shape.dim[0])
            return context_error(context, TW_ERR_SHAPE,
                                 "array %d of a dataset has %lld examples, array 0 has %lld", i,
                                 (long long)shape.dim[0], (long long)columns[0]->type.shape.dim[0]);
    }
    return TW_OK;
}

tw_dataset *dataset_arrays(tw_context *context, int n, tw_tensor *const *columns,
                           const char *const *names, const char *const *const *classes) {
    if (!context || check_arrays(context, n, columns)) return NULL;
    arrays *it = context_allocate(context, 1, sizeof *it);
    if (!it) return NULL;
    it->context = context;
    it->n = n;
    tw_dataset_source source = {.count = columns[0]->type.shape.dim[0],
                                .columns = n,
                                .release = arrays_release,
                                .user = it};
    for (int i = 0; i < n; i++) {
        tw_type type = columns[i]->type;
        int rank = type.shape.rank - 1;
        type.shape = tw_shape_make(rank, type.shape.dim + 1);
        source.type[i] = type;
        source.name[i] = names ? names[i] : NULL;
        source.classes[i] = classes ? classes[i] : NULL;
        if (source.count) it->bytes[i] = columns[i]->bytes / (size_t)source.count;
        it->data[i] = columns[i]->data;
        it->tensor[i] = object_hold(columns[i]);
    }
    tw_dataset *dataset = dataset_new(context, &source, arrays_read);
    if (!dataset) arrays_release(it);
    return dataset;
}

tw_dataset *tw_dataset_arrays(tw_context *context, int n, tw_tensor *const *columns) {
    return dataset_arrays(context, n, columns, NULL, NULL);
}

/* What it is. */

int64_t tw_dataset_count(const tw_dataset *dataset) { return dataset ? dataset->source.count : 0; }

int tw_dataset_columns(const tw_dataset *dataset) { return dataset ? dataset->source.columns : 0; }

static bool has(const tw_dataset *dataset, int column) {
    return dataset && column >= 0 && column < dataset->source.columns;
}

tw_type tw_dataset_type(const tw_dataset *dataset, int i) {
    return has(dataset, i) ? dataset->source.type[i] : (tw_type){0, {0, 0, {0}}};
}

const char *tw_dataset_name(const tw_dataset *dataset, int i) {
    return has(dataset, i) && dataset->source.name[i] ? dataset->source.name[i] : "";
}

const char *tw_dataset_class(const tw_dataset *dataset, int column, int64_t code) {
    if (!has(dataset, column) || code < 0 || code >= dataset->classes[column]) return NULL;
    return dataset->source.classes[column][code];
}

bool dataset_has(const tw_dataset *dataset, int column, const char *function) {
    if (has(dataset, column)) return true;
    if (dataset)
        context_error(dataset->object.context, TW_ERR_ARGUMENT,
                      "%s: column %d of a dataset that has %d", function, column,
                      dataset->source.columns);
    return false;
}

tw_type dataset_batch_type(const tw_dataset *dataset, int column, int64_t n) {
    tw_type type = dataset->source.type[column];
    for (int i = type.shape.rank; i > 0; i--) type.shape.dim[i] = type.shape.dim[i - 1];
    type.shape.dim[0] = n;
    type.shape.rank++;
    return type;
}

/* Reading. */

static tw_status check_request(const tw_dataset *dataset, const dataset_request *request) {
    int64_t count = dataset->source.count;
    if (request->n < 0)
        return dataset_refuse(request, TW_ERR_ARGUMENT, "%lld examples of a dataset asked for",
                              (long long)request->n);
    if (request->n && (!request->index || !request->out))
        return dataset_refuse(request, TW_ERR_NULL, "tw_dataset_read: no index or no memory given");
    for (int64_t i = 0; i < request->n; i++)
        if (request->index[i] < 0 || request->index[i] >= count)
            return dataset_refuse(request, TW_ERR_INDEX, "example %lld of a dataset that has %lld",
                                  (long long)request->index[i], (long long)count);
    for (int k = 0; k < dataset->source.columns && request->n; k++)
        if (!request->out[k] && dataset->bytes[k])
            return dataset_refuse(request, TW_ERR_NULL, "no memory given for column %d", k);
    return TW_OK;
}

tw_status dataset_fetch(tw_dataset *dataset, const dataset_request *request) {
    tw_status status = check_request(dataset, request);
    if (status || !request->n) return status;
    const tw_dataset_source *source = &dataset->source;
    if (request->message && request->capacity) request->message[0] = '\0';
    pthread_mutex_lock(&dataset->lock);
    status = dataset->reader ? dataset->reader(source->user, request)
                             : source->read(source->user, request->n, request->index, request->out,
                                            request->message, request->capacity);
    pthread_mutex_unlock(&dataset->lock);
    if (!status) return TW_OK;
    if (status > 0) status = TW_ERR_IO;
    if (request->message && request->capacity && !request->message[0])
        dataset_refuse(request, status,
                       "a dataset's source failed with status %d and said nothing (examples from "
                       "%lld on)",
                       (int)status, (long long)request->index[0]);
    return status;
}

tw_status tw_dataset_read(tw_dataset *dataset, int64_t n, const int64_t *index, void *const *out) {
    if (!dataset) return TW_ERR_NULL;
    char message[DATASET_MESSAGE] = "";
    const dataset_request request = {0, n, index, out, message, sizeof message};
    tw_status status = dataset_fetch(dataset, &request);
    if (status) context_error(dataset->object.context, status, "%s", message);
    return status;
}
