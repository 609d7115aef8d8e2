/* Reads the inner dataset, the column into a buffer of its own, and translates. */
#include "cli/recode.h"

#include <stdlib.h>
#include <string.h>

#include "io/dataset.h"

typedef struct recoding {
    tw_dataset *inner;
    int column;
    tw_dtype dtype;
    int64_t n_map, width;
    int32_t *map;
} recoding;

static int64_t code_at(const void *codes, tw_dtype dtype, int64_t i) {
    switch (dtype) {
    case TW_U8: return ((const uint8_t *)codes)[i];
    case TW_BOOL: return ((const uint8_t *)codes)[i];
    case TW_I32: return ((const int32_t *)codes)[i];
    case TW_U32: return ((const uint32_t *)codes)[i];
    default: return ((const int64_t *)codes)[i];
    }
}

static tw_status translate(const recoding *job, const dataset_request *request, const void *codes) {
    void *to = request->out[job->column];
    if (job->width) memset(to, 0, (size_t)(request->n * job->width) * sizeof(float));
    for (int64_t i = 0; i < request->n; i++) {
        int64_t code = code_at(codes, job->dtype, i), given = code;
        if (job->map) code = code >= 0 && code < job->n_map ? job->map[code] : -1;
        if (code < 0 || (job->width && code >= job->width)) {
            const char *name = tw_dataset_class(job->inner, job->column, given);
            return dataset_refuse(request, TW_ERR_INDEX,
                                  "example %lld: class %lld%s%s%s is not one of the model's",
                                  (long long)request->index[i], (long long)given, name ? " ('" : "",
                                  name ? name : "", name ? "')" : "");
        }
        if (job->width)
            ((float *)to)[i * job->width + code] = 1;
        else
            ((int32_t *)to)[i] = (int32_t)code;
    }
    return TW_OK;
}

static tw_status read_recoded(void *user, const dataset_request *request) {
    const recoding *job = user;
    void *out[TW_MAX_COLUMNS];
    void *codes = malloc((size_t)request->n * tw_dtype_size(job->dtype) + 1);
    if (!codes) return dataset_refuse(request, TW_ERR_MEMORY, "out of memory");
    for (int i = 0; i < tw_dataset_columns(job->inner); i++) out[i] = request->out[i];
    out[job->column] = codes;
    dataset_request inner = *request;
    inner.out = out;
    tw_status status = dataset_fetch(job->inner, &inner);
    if (!status) status = translate(job, request, codes);
    free(codes);
    return status;
}

static void release(void *user) {
    recoding *job = user;
    free(job->map);
    free(job);
}

tw_dataset *recode(tw_context *context, tw_dataset *inner, int column, int64_t n_map,
                   const int32_t *map, int64_t width) {
    recoding *job = calloc(1, sizeof *job);
    if (job && map) job->map = malloc((size_t)n_map * sizeof *map + 1);
    if (!job || (map && !job->map)) {
        free(job);
        context_error(context, TW_ERR_MEMORY, "out of memory");
        return NULL;
    }
    job->inner = inner;
    job->column = column;
    job->dtype = tw_dataset_type(inner, column).dtype;
    job->n_map = n_map;
    job->width = width;
    if (map) memcpy(job->map, map, (size_t)n_map * sizeof *map);
    tw_dataset_source source = {.count = tw_dataset_count(inner),
                                .columns = tw_dataset_columns(inner),
                                .release = release,
                                .user = job};
    for (int i = 0; i < source.columns; i++) {
        source.name[i] = tw_dataset_name(inner, i);
        source.type[i] = tw_dataset_type(inner, i);
    }
    source.type[column] =
        width ? (tw_type){TW_F32, TW_SHAPE(width)} : (tw_type){TW_I32, TW_SHAPE()};
    tw_dataset *made = dataset_new(context, &source, read_recoded);
    if (!made) release(job);
    return made;
}
