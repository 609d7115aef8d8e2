/* One checkpoint: saved with all that a run goes on from, restored whole or not at all. */
#include "io/checkpoint.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/text.h"
#include "io/aside.h"
#include "io/loader.h"

#define FILE_NAME "checkpoint.safetensors"

bool checkpoint_add_count(tw_context *context, words *list, const char *key, uint64_t count) {
    char digits[32];
    snprintf(digits, sizeof digits, "%llu", (unsigned long long)count);
    return words_set(context, list, key, digits);
}

bool checkpoint_count(const words *list, const char *key, uint64_t *count) {
    const char *value = words_get(list, key);
    if (!value || *value < '0' || *value > '9') return false;
    char *end = NULL;
    errno = 0;
    unsigned long long number = strtoull(value, &end, 10);
    if (errno || *end) return false;
    *count = number;
    return true;
}

/* ---- what a loader's order follows from ---- */

enum { BATCH, SHUFFLE, SHUFFLE_SEED, DROP_LAST, EXAMPLES, SETTINGS };

static const struct {
    const char *key, *say;
} settings[SETTINGS] = {
    [BATCH] = {"batch", "a batch of"},
    [SHUFFLE] = {"shuffle", "shuffle"},
    [SHUFFLE_SEED] = {"shuffle_seed", "seed"},
    [DROP_LAST] = {"drop_last", "drop_last"},
    [EXAMPLES] = {"examples", "a dataset of this many examples:"},
};

static void settings_of(const tw_loader *loader, uint64_t out[SETTINGS]) {
    const tw_loader_opts *opts = loader_opts(loader);
    out[BATCH] = (uint64_t)opts->batch;
    out[SHUFFLE] = opts->shuffle;
    out[SHUFFLE_SEED] = opts->seed;
    out[DROP_LAST] = opts->drop_last;
    out[EXAMPLES] = (uint64_t)tw_dataset_count(tw_loader_dataset(loader));
}

/* Another order of batches would be another run: refused, with what to set. */
static tw_status check_settings(const safetensors *file, const tw_loader *loader) {
    uint64_t have[SETTINGS];
    settings_of(loader, have);
    for (int i = 0; i < SETTINGS; i++) {
        uint64_t want = 0;
        if (!checkpoint_count(&file->metadata, settings[i].key, &want))
            return safetensors_refuse(file->context, file->path, TW_ERR_ARGUMENT,
                                      "was saved without a loader (no '%s' in its metadata), so it "
                                      "has no place in the data to go on from; load it without one",
                                      settings[i].key);
        /* The seed orders nothing where nothing is shuffled. */
        if (have[i] == want || (i == SHUFFLE_SEED && !have[SHUFFLE])) continue;
        return safetensors_refuse(file->context, file->path, TW_ERR_ARGUMENT,
                                  "was saved with %s %llu and the loader has %llu; a run goes on "
                                  "only with the loader that it began with",
                                  settings[i].say, (unsigned long long)want,
                                  (unsigned long long)have[i]);
    }
    return TW_OK;
}

static tw_status read_cursor(const safetensors *file, const tw_loader *loader, tw_cursor *cursor) {
    uint64_t epoch, example;
    if (!checkpoint_count(&file->metadata, "epoch", &epoch) || epoch > INT64_MAX ||
        !checkpoint_count(&file->metadata, "example", &example) ||
        example > (uint64_t)tw_dataset_count(tw_loader_dataset(loader)))
        return safetensors_refuse(file->context, file->path, TW_ERR_FORMAT,
                                  "its metadata has no epoch, or no example of the dataset");
    *cursor = (tw_cursor){(int64_t)epoch, (int64_t)example};
    return TW_OK;
}

/* ---- saving ---- */

static bool add_loader(tw_context *context, words *list, const tw_loader *loader) {
    tw_cursor cursor = tw_loader_cursor(loader);
    uint64_t have[SETTINGS];
    settings_of(loader, have);
    bool good = checkpoint_add_count(context, list, "epoch", (uint64_t)cursor.epoch) &&
                checkpoint_add_count(context, list, "example", (uint64_t)cursor.example);
    for (int i = 0; good && i < SETTINGS; i++)
        good = checkpoint_add_count(context, list, settings[i].key, have[i]);
    return good;
}

tw_status checkpoint_write(const char *path, tw_store *store, tw_loader *loader,
                           const words *more) {
    tw_context *context = store->object.context;
    words list = {0};
    bool good = checkpoint_add_count(context, &list, "version", CHECKPOINT_VERSION) &&
                checkpoint_add_count(context, &list, "step", (uint64_t)tw_store_step(store)) &&
                checkpoint_add_count(context, &list, "seed", store->table.seed) &&
                (!loader || add_loader(context, &list, loader));
    for (size_t i = 0; good && more && i < more->count; i++)
        good = words_set(context, &list, more->at[i].key, more->at[i].value);
    tw_status status = good ? safetensors_save(store, path, &list) : TW_ERR_MEMORY;
    words_end(context, &list);
    return status;
}

/* ---- restoring ---- */

tw_status checkpoint_open(safetensors *file, tw_context *context, const char *path) {
    tw_status status = safetensors_open(file, context, path);
    if (status) return status;
    uint64_t version = 0;
    if (!checkpoint_count(&file->metadata, "version", &version) || !version)
        return safetensors_refuse(context, path, TW_ERR_FORMAT,
                                  "is no checkpoint: its metadata has no version; tw_store_load "
                                  "takes the weights of any file");
    if (version > CHECKPOINT_VERSION)
        return safetensors_refuse(context, path, TW_ERR_UNSUPPORTED,
                                  "is a checkpoint of version %llu; this library knows up to %d, a "
                                  "newer one reads it",
                                  (unsigned long long)version, CHECKPOINT_VERSION);
    return TW_OK;
}

/* Random numbers follow from the seed, and graphs take it in when they are built. */
static tw_status check_seed(const safetensors *file, const tw_store *store, uint64_t *seed) {
    if (!checkpoint_count(&file->metadata, "seed", seed))
        return safetensors_refuse(file->context, file->path, TW_ERR_FORMAT,
                                  "its metadata has no seed");
    if (*seed == store->table.seed || variable_find(&store->table, "random/run") < 0) return TW_OK;
    return safetensors_refuse(file->context, file->path, TW_ERR_ARGUMENT,
                              "was saved with tw_store_opts.seed %llu, and the store has %llu and "
                              "a graph that draws random numbers already; make it with that seed, "
                              "or load before the graph is built",
                              (unsigned long long)*seed, (unsigned long long)store->table.seed);
}

static tw_status prepare(safetensors *file, const tw_store *store, const tw_loader *loader,
                         uint64_t *seed, tw_cursor *cursor) {
    tw_status status = check_seed(file, store, seed);
    if (!status && loader) status = check_settings(file, loader);
    if (!status && loader) status = read_cursor(file, loader, cursor);
    for (int i = 0; !status && i < file->count; i++)
        status = safetensors_check(file, &file->entries[i], store);
    return status ? status : safetensors_read(file);
}

tw_status checkpoint_restore(safetensors *file, tw_store *store, tw_loader *loader) {
    uint64_t seed = 0;
    tw_cursor cursor = {0}, before = {0};
    tw_status status = prepare(file, store, loader, &seed, &cursor);
    if (status) return status;
    if (loader) {
        before = tw_loader_cursor(loader);
        status = tw_loader_seek(loader, cursor);
    }
    if (!status) status = safetensors_commit(file, store);
    if (!status)
        store->table.seed = seed;
    else if (loader)
        (void)tw_loader_seek(loader, before);
    return status;
}

/* ---- a folder with one ---- */

static tw_status path_in(const char *folder, tw_store *store, const char *function, text *path) {
    tw_context *context = store->object.context;
    *path = (text){.context = context};
    if (!folder || !*folder)
        return context_error(context, folder ? TW_ERR_ARGUMENT : TW_ERR_NULL, "%s: no folder given",
                             function);
    text_add(path, "%s/" FILE_NAME, folder);
    return path->failed ? TW_ERR_MEMORY : TW_OK;
}

tw_status tw_checkpoint_save(const char *folder, tw_store *store, tw_loader *loader) {
    if (!store) return TW_ERR_NULL;
    text path;
    tw_status status = path_in(folder, store, "tw_checkpoint_save", &path);
    if (!status) {
        const char *what = aside_make_folder(store->object.context, folder);
        if (what) status = safetensors_refuse_system(store->object.context, path.at, what);
    }
    if (!status) status = checkpoint_write(path.at, store, loader, NULL);
    text_drop(&path);
    return status;
}

tw_status tw_checkpoint_load(const char *folder, tw_store *store, tw_loader *loader) {
    if (!store) return TW_ERR_NULL;
    text path;
    tw_status status = path_in(folder, store, "tw_checkpoint_load", &path);
    if (!status) {
        safetensors file;
        status = checkpoint_open(&file, store->object.context, path.at);
        if (!status) status = checkpoint_restore(&file, store, loader);
        safetensors_close(&file);
    }
    text_drop(&path);
    return status;
}
