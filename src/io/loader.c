/*
 * Loaders: batches of a dataset in order. A thread fills a ring of batches ahead of the caller:
 *
 *     made    batches filled so far      the thread writes slot made % slots next
 *     taken   batches handed out so far  the caller has slot (taken - 1) % slots
 *
 * The thread goes on while made - taken + 1 < slots, so it never touches the batch that the caller has.
 * It lives from the first tw_loader_next to a seek, a failure or the end; each of these joins it, and
 * whoever has joined it owns the ring. Memory is all taken when the loader is made.
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/number.h"
#include "io/dataset.h"
#include "io/loader.h"
#include "runtime/tensor.h"

enum { DEFAULT_BATCH = 32, DEFAULT_PREFETCH = 2, MOST_PREFETCH = 1024 };

#define MOST_EPOCH (INT64_MAX / 2) /* no count of later ones overflows */

/* One batch. The tensors `part` lie over the memory of `full` for a batch that is not. */
typedef struct slot {
    int64_t n; /* examples */
    tw_status status;
    tw_tensor *full[TW_MAX_COLUMNS], *part[TW_MAX_COLUMNS];
    void *data[TW_MAX_COLUMNS];
    char message[DATASET_MESSAGE];
} slot;

struct tw_loader {
    object object;
    tw_dataset *dataset; /* a hold */
    tw_loader_opts opts; /* defaults filled in */
    int64_t count,
        room; /* examples in an epoch; in a full batch, or in all where those are fewer */
    int slots;
    slot *slot;
    tw_cursor next;  /* of the caller's next batch */
    tw_cursor ahead; /* of the filler's next batch */
    /* The filler's: of ahead.epoch when shuffled, else of the batch. */
    int64_t *order, order_epoch;
    /* Under the lock while the thread runs. */
    uint64_t made, taken;
    bool stop;
    bool running;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t filled, freed;
    double waited;
};

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Examples in the batch at `at`; 0 where the epoch has ended. */
static int64_t batch_size(const tw_loader *loader, tw_cursor at) {
    int64_t left = loader->count - at.example;
    if (left >= loader->opts.batch) return loader->opts.batch;
    return loader->opts.drop_last ? 0 : left;
}

static tw_cursor next_epoch(tw_cursor at) { return (tw_cursor){at.epoch + 1, 0}; }

/* Filling: in the thread, or in the caller's where there is none. */

static const int64_t *batch_order(tw_loader *loader, int64_t n) {
    tw_cursor at = loader->ahead;
    if (!loader->opts.shuffle) {
        for (int64_t i = 0; i < n; i++) loader->order[i] = at.example + i;
        return loader->order;
    }
    if (loader->order_epoch != at.epoch)
        shuffle(loader->order, loader->count, loader->opts.seed, (uint64_t)at.epoch);
    loader->order_epoch = at.epoch;
    return loader->order + at.example;
}

static tw_status fill(tw_loader *loader, slot *into) {
    into->n = batch_size(loader, loader->ahead);
    if (!into->n) {
        loader->ahead = next_epoch(loader->ahead);
        into->n = batch_size(loader, loader->ahead);
    }
    const dataset_request request = {
        .epoch = loader->ahead.epoch,
        .n = into->n,
        .index = batch_order(loader, into->n),
        .out = into->data,
        .message = into->message,
        .capacity = sizeof into->message,
    };
    into->status = dataset_fetch(loader->dataset, &request);
    loader->ahead.example += into->n;
    return into->status;
}

static void *run_thread(void *argument) {
    tw_loader *loader = argument;
    pthread_mutex_lock(&loader->lock);
    for (bool good = true; good;) {
        while (!loader->stop && loader->made - loader->taken + 1 >= (uint64_t)loader->slots)
            pthread_cond_wait(&loader->freed, &loader->lock);
        if (loader->stop) break;
        slot *into = &loader->slot[loader->made % (uint64_t)loader->slots];
        pthread_mutex_unlock(&loader->lock);
        good = !fill(loader, into);
        pthread_mutex_lock(&loader->lock);
        loader->made++;
        pthread_cond_signal(&loader->filled);
    }
    pthread_mutex_unlock(&loader->lock);
    return NULL;
}

/* Signals are for the program's own threads. */
static tw_status start_thread(tw_loader *loader) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&loader->thread, NULL, run_thread, loader);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed)
        return context_error(loader->object.context, TW_ERR_MEMORY,
                             "a loader's thread does not start: %s; .prefetch = -1 needs none",
                             strerror(failed));
    loader->running = true;
    return TW_OK;
}

/* Ends the thread and throws away what is ahead: the filler's next batch is the caller's. */
static void rewind_ring(tw_loader *loader) {
    if (loader->running) {
        pthread_mutex_lock(&loader->lock);
        loader->stop = true;
        pthread_cond_signal(&loader->freed);
        pthread_mutex_unlock(&loader->lock);
        pthread_join(loader->thread, NULL);
    }
    loader->running = loader->stop = false;
    loader->made = loader->taken = 0;
    loader->ahead = loader->next;
}

/* Making one. */

static tw_status check_opts(const tw_dataset *dataset, const tw_loader_opts *opts) {
    tw_context *context = dataset->object.context;
    int64_t count = dataset->source.count;
    if (opts->batch < 0 || opts->prefetch < -1 || opts->prefetch > MOST_PREFETCH)
        return context_error(context, TW_ERR_ARGUMENT,
                             "tw_loader_new: a batch of %lld, %d batches ahead; expected a batch "
                             "from 1 on, and -1 to %d ahead",
                             (long long)opts->batch, opts->prefetch, MOST_PREFETCH);
    if (opts->repeat && (count == 0 || (opts->drop_last && count < opts->batch)))
        return context_error(context, TW_ERR_ARGUMENT,
                             "tw_loader_new: %lld examples never fill a batch of %lld, however "
                             "often they repeat",
                             (long long)count, (long long)opts->batch);
    return TW_OK;
}

static void slots_free(tw_context *context, slot *slots, int count) {
    for (int i = 0; slots && i < count; i++)
        for (int k = 0; k < TW_MAX_COLUMNS; k++) {
            object_drop(slots[i].part[k]);
            object_drop(slots[i].full[k]);
        }
    context_release(context, slots);
}

/* NULL with the context's error. */
static slot *slots_new(tw_dataset *dataset, int64_t room, int count) {
    tw_context *context = dataset->object.context;
    slot *slots = context_allocate(context, (size_t)count, sizeof *slots);
    for (int i = 0; slots && i < count; i++)
        for (int k = 0; k < dataset->source.columns; k++) {
            tw_tensor *full = tensor_new(context, dataset_batch_type(dataset, k, room));
            if (!full) {
                slots_free(context, slots, count);
                return NULL;
            }
            slots[i].full[k] = full;
            slots[i].data[k] = full->data;
        }
    return slots;
}

static void loader_destroy(object *head) {
    tw_loader *loader = (tw_loader *)head;
    rewind_ring(loader);
    slots_free(head->context, loader->slot, loader->slots);
    context_release(head->context, loader->order);
    object_drop(loader->dataset);
    pthread_cond_destroy(&loader->filled);
    pthread_cond_destroy(&loader->freed);
    pthread_mutex_destroy(&loader->lock);
}

tw_loader *tw_loader_new(tw_dataset *dataset, const tw_loader_opts *given) {
    if (!dataset) return NULL;
    tw_loader_opts opts = given ? *given : (tw_loader_opts){0};
    if (opts.batch == 0) opts.batch = DEFAULT_BATCH;
    if (opts.prefetch == 0) opts.prefetch = DEFAULT_PREFETCH;
    if (check_opts(dataset, &opts)) return NULL;
    tw_context *context = dataset->object.context;
    int64_t count = dataset->source.count, room = opts.batch < count ? opts.batch : count;
    int slots = opts.prefetch < 0 ? 1 : opts.prefetch + 1;
    int64_t *order =
        context_allocate(context, (size_t)(opts.shuffle ? count : room), sizeof *order);
    /* Before the loader: a context ends its newest object first, and the thread writes these. */
    slot *ring = slots_new(dataset, room, slots);
    tw_loader *loader = order && ring ? object_new(context, sizeof *loader, loader_destroy) : NULL;
    if (!loader) {
        context_release(context, order);
        slots_free(context, ring, slots);
        return NULL;
    }
    pthread_mutex_init(&loader->lock, NULL);
    pthread_cond_init(&loader->filled, NULL);
    pthread_cond_init(&loader->freed, NULL);
    loader->dataset = object_hold(dataset);
    loader->opts = opts;
    loader->count = count;
    loader->room = room;
    loader->slots = slots;
    loader->slot = ring;
    loader->order = order;
    loader->order_epoch = -1;
    return loader;
}

tw_loader *tw_loader_text(tw_context *context, const char *path, int64_t length,
                          const tw_loader_opts *opts) {
    tw_dataset *dataset = tw_dataset_text(context, path, length, 0, NULL);
    tw_loader *loader = tw_loader_new(dataset, opts);
    tw_dataset_free(dataset);
    return loader;
}

void tw_loader_free(tw_loader *loader) { object_drop(loader); }

const tw_loader_opts *loader_opts(const tw_loader *loader) { return &loader->opts; }

tw_dataset *tw_loader_dataset(const tw_loader *loader) { return loader ? loader->dataset : NULL; }

tw_cursor tw_loader_cursor(const tw_loader *loader) {
    return loader ? loader->next : (tw_cursor){0, 0};
}

double tw_loader_waited(const tw_loader *loader) { return loader ? loader->waited : 0; }

tw_status tw_loader_seek(tw_loader *loader, tw_cursor cursor) {
    if (!loader) return TW_ERR_NULL;
    if (cursor.epoch < 0 || cursor.epoch > MOST_EPOCH || cursor.example < 0 ||
        cursor.example > loader->count)
        return context_error(loader->object.context, TW_ERR_ARGUMENT,
                             "tw_loader_seek: epoch %lld, example %lld; expected an epoch from 0 "
                             "to %lld and 0 to %lld examples; is it another dataset's cursor?",
                             (long long)cursor.epoch, (long long)cursor.example,
                             (long long)MOST_EPOCH, (long long)loader->count);
    loader->next = cursor;
    if (loader->opts.repeat && !batch_size(loader, cursor)) loader->next = next_epoch(cursor);
    rewind_ring(loader);
    return TW_OK;
}

/* Handing out. */

/* The slot that holds the caller's next batch, once it does. */
static slot *await(tw_loader *loader) {
    double start = now();
    slot *it = NULL;
    if (loader->opts.prefetch < 0) {
        it = loader->slot;
        fill(loader, it);
    } else {
        pthread_mutex_lock(&loader->lock);
        bool wait = loader->made == loader->taken;
        while (loader->made == loader->taken) pthread_cond_wait(&loader->filled, &loader->lock);
        it = &loader->slot[loader->taken++ % (uint64_t)loader->slots];
        pthread_cond_signal(&loader->freed);
        pthread_mutex_unlock(&loader->lock);
        if (!wait) return it;
    }
    loader->waited += now() - start;
    return it;
}

/* Tensors of n examples over the slot's memory; those of the latest n are kept. */
static tw_status give(tw_loader *loader, slot *it, tw_tensor **batch) {
    for (int k = 0; k < loader->dataset->source.columns; k++) {
        batch[k] = it->full[k];
        if (it->n == loader->room) continue;
        tw_tensor *part = it->part[k];
        if (!part || part->type.shape.dim[0] != it->n) {
            object_drop(part);
            part = tensor_alias(it->full[k], dataset_batch_type(loader->dataset, k, it->n));
            it->part[k] = part;
            if (!part) return tw_last_status(loader->object.context);
        }
        batch[k] = part;
    }
    return TW_OK;
}

tw_status tw_loader_next(tw_loader *loader, tw_tensor **batch) {
    if (!loader) return TW_ERR_NULL;
    tw_context *context = loader->object.context;
    if (!batch) return context_error(context, TW_ERR_NULL, "tw_loader_next: no place for tensors");
    if (!batch_size(loader, loader->next)) { /* repeating ones never stand here */
        loader->next = next_epoch(loader->next);
        return TW_END;
    }
    if (loader->opts.prefetch >= 0 && !loader->running) {
        tw_status failed = start_thread(loader);
        if (failed) return failed;
    }
    slot *it = await(loader);
    tw_status status = it->status;
    if (status) context_error(context, status, "%s", it->message);
    if (!status) status = give(loader, it, batch);
    if (status) { /* the next call tries this batch again */
        rewind_ring(loader);
        return status;
    }
    loader->next.example += it->n;
    if (loader->opts.repeat && !batch_size(loader, loader->next))
        loader->next = next_epoch(loader->next);
    return TW_OK;
}
