/* Parts of a dataset: a range, and a random split. They hold the whole and pick examples of it. */
#include "base/number.h"
#include "io/dataset.h"

enum { CHUNK = 512 }; /* indices that are translated at a time */

/* The stream of tw_dataset_split's order; a loader's streams are its epochs. */
#define SPLIT_STREAM UINT64_MAX

typedef struct view {
    tw_dataset *base; /* a hold */
    int64_t from;
    int64_t *index; /* of each example in the base; NULL: from + i */
} view;

static void view_release(void *user) {
    view *it = user;
    tw_context *context = it->base->object.context;
    object_drop(it->base);
    context_release(context, it->index);
    context_release(context, it);
}

static tw_status view_read(void *user, const dataset_request *request) {
    const view *it = user;
    int64_t index[CHUNK];
    void *out[TW_MAX_COLUMNS];
    for (int64_t begin = 0; begin < request->n; begin += CHUNK) {
        int64_t n = request->n - begin < CHUNK ? request->n - begin : CHUNK;
        for (int64_t i = 0; i < n; i++) {
            int64_t example = request->index[begin + i];
            index[i] = it->index ? it->index[example] : it->from + example;
        }
        for (int k = 0; k < it->base->source.columns; k++) {
            char *to = request->out[k];
            out[k] = it->base->bytes[k] ? to + (size_t)begin * it->base->bytes[k] : to;
        }
        dataset_request inner = *request;
        inner.n = n;
        inner.index = index;
        inner.out = out;
        tw_status status = dataset_fetch(it->base, &inner);
        if (status) return status;
    }
    return TW_OK;
}

/* `count` examples of the base; takes `index` over, whatever happens. */
static tw_dataset *view_new(tw_dataset *base, int64_t count, int64_t from, int64_t *index) {
    tw_context *context = base->object.context;
    view *it = context_allocate(context, 1, sizeof *it);
    if (!it) {
        context_release(context, index);
        return NULL;
    }
    *it = (view){object_hold(base), from, index};
    tw_dataset_source source = base->source;
    source.count = count;
    source.read = NULL;
    source.release = view_release;
    source.user = it;
    tw_dataset *dataset = dataset_new(context, &source, view_read);
    if (!dataset) view_release(it);
    return dataset;
}

tw_dataset *tw_dataset_range(tw_dataset *dataset, int64_t from, int64_t count) {
    if (!dataset) return NULL;
    int64_t all = dataset->source.count;
    if (from >= 0 && count >= 0 && from <= all && count <= all - from)
        return view_new(dataset, count, from, NULL);
    context_error(dataset->object.context, TW_ERR_ARGUMENT,
                  "tw_dataset_range: %lld examples from %lld on of a dataset that has %lld",
                  (long long)count, (long long)from, (long long)all);
    return NULL;
}

tw_status tw_dataset_split(tw_dataset *dataset, double fraction, uint64_t seed, tw_dataset **first,
                           tw_dataset **second) {
    if (first) *first = NULL;
    if (second) *second = NULL;
    if (!dataset) return TW_ERR_NULL;
    tw_context *context = dataset->object.context;
    if (!first || !second)
        return context_error(context, TW_ERR_NULL, "tw_dataset_split: no place for the parts");
    if (!(fraction >= 0 && fraction <= 1))
        return context_error(context, TW_ERR_ARGUMENT,
                             "tw_dataset_split: a fraction of %g; expected 0 to 1", fraction);
    int64_t all = dataset->source.count, drawn = (int64_t)(fraction * (double)all + 0.5);
    int64_t *order = context_allocate(context, (size_t)all, sizeof *order);
    int64_t *one = context_allocate(context, (size_t)(all - drawn), sizeof *one);
    int64_t *two = context_allocate(context, (size_t)drawn, sizeof *two);
    char *chosen = context_allocate(context, (size_t)all, 1);
    if (order && one && two && chosen) {
        int64_t n_one = 0, n_two = 0;
        shuffle(order, all, seed, SPLIT_STREAM);
        for (int64_t i = 0; i < drawn; i++) chosen[order[i]] = 1;
        for (int64_t i = 0; i < all; i++)
            if (chosen[i])
                two[n_two++] = i;
            else
                one[n_one++] = i;
        *first = view_new(dataset, all - drawn, 0, one);
        *second = view_new(dataset, drawn, 0, two);
        one = two = NULL;
    }
    context_release(context, order);
    context_release(context, one);
    context_release(context, two);
    context_release(context, chosen);
    if (*first && *second) return TW_OK;
    object_drop(*first);
    object_drop(*second);
    *first = *second = NULL;
    return tw_last_status(context);
}
