/*
 * A series of checkpoints in a folder: which are kept, which was best, when to stop.
 *
 * The best one is written before the numbered one whose metadata speaks of it: a run that is killed
 * in between goes on from the number before, comes to the same score, and writes the best again.
 */
#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/text.h"
#include "io/aside.h"
#include "io/checkpoint.h"
#include "io/loader.h"
#include "ir/scan.h"

#define NOTE "note."
#define STEP_NAME "step-%06lld.safetensors"
#define BEST_NAME "best.safetensors"

typedef struct standing {
    double best; /* NaN: none yet */
    uint64_t since_best;
} standing;

struct tw_checkpoints {
    object object;
    tw_store *store;   /* a hold */
    tw_loader *loader; /* a hold; may be NULL */
    char *folder;
    tw_checkpoint_opts opts;
    standing standing;
    words notes;
};

typedef VECTOR(int64_t) step_list;

static void destroy(object *head) {
    tw_checkpoints *series = (tw_checkpoints *)head;
    object_drop(series->store);
    object_drop(series->loader);
    context_release(head->context, series->folder);
    words_end(head->context, &series->notes);
}

tw_checkpoints *tw_checkpoints_new(tw_store *store, tw_loader *loader, const char *folder,
                                   const tw_checkpoint_opts *opts) {
    if (!store) return NULL;
    tw_context *context = store->object.context;
    tw_checkpoint_opts settings = opts ? *opts : (tw_checkpoint_opts){0};
    if (!folder || !*folder || settings.keep < 0 || settings.patience < 0) {
        context_error(context, folder ? TW_ERR_ARGUMENT : TW_ERR_NULL,
                      "tw_checkpoints_new: needs a folder, and keep and patience of at least 0; "
                      "folder '%s', keep %d, patience %d given",
                      folder ? folder : "", settings.keep, settings.patience);
        return NULL;
    }
    if (!settings.keep) settings.keep = 1;
    tw_checkpoints *series = object_new(context, sizeof *series, destroy);
    if (!series) return NULL;
    series->store = object_hold(store);
    series->loader = object_hold(loader);
    series->opts = settings;
    series->standing.best = NAN;
    text copy = {.context = context};
    text_add(&copy, "%s", folder);
    series->folder = text_take(&copy);
    if (series->folder) return series;
    object_drop(series);
    return NULL;
}

void tw_checkpoints_free(tw_checkpoints *checkpoints) { object_drop(checkpoints); }

/* ---- the folder ---- */

static tw_status refuse_folder(const tw_checkpoints *series, const char *what) {
    tw_status status = errno == ENOMEM ? TW_ERR_MEMORY : TW_ERR_IO;
    return context_error(series->object.context, status, "checkpoints in '%s': %s: %s",
                         series->folder, what, strerror(errno));
}

/* The step of "step-000123.safetensors", -1 for another name. */
static int64_t step_of(const char *name, size_t length) {
    char again[64];
    if (strncmp(name, "step-", 5)) return -1;
    errno = 0;
    long long step = strtoll(name + 5, NULL, 10);
    if (errno || step < 0) return -1;
    int bytes = snprintf(again, sizeof again, STEP_NAME, step);
    return (size_t)bytes == length && !strncmp(name, again, length) ? step : -1;
}

static int compare_steps(const void *a, const void *b) {
    int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;
    return left < right ? -1 : left > right;
}

/* Ascending; none where there is no folder. */
static tw_status list_steps(const tw_checkpoints *series, step_list *steps) {
    DIR *folder = opendir(series->folder);
    if (!folder) return errno == ENOENT ? TW_OK : refuse_folder(series, "cannot list the folder");
    tw_status status = TW_OK;
    for (struct dirent *item = readdir(folder); item && !status; item = readdir(folder)) {
        int64_t step = step_of(item->d_name, strlen(item->d_name));
        if (step < 0) continue;
        int64_t *added = VECTOR_PUSH(series->object.context, steps);
        if (added)
            *added = step;
        else
            status = TW_ERR_MEMORY;
    }
    closedir(folder);
    if (steps->count) qsort(steps->at, steps->count, sizeof *steps->at, compare_steps);
    return status;
}

/* Removes all but the latest, and what killed saves left. */
static tw_status prune(const tw_checkpoints *series, const step_list *steps) {
    DIR *folder = opendir(series->folder);
    if (!folder) return refuse_folder(series, "cannot list the folder");
    for (struct dirent *item = readdir(folder); item; item = readdir(folder)) {
        size_t base = aside_base(item->d_name);
        bool best = base == strlen(BEST_NAME) && !strncmp(item->d_name, BEST_NAME, base);
        if (best || (base && step_of(item->d_name, base) >= 0))
            (void)!unlinkat(dirfd(folder), item->d_name, 0);
    }
    tw_status status = TW_OK;
    for (size_t i = 0; i + (size_t)series->opts.keep < steps->count; i++) {
        char name[64];
        snprintf(name, sizeof name, STEP_NAME, (long long)steps->at[i]);
        if (unlinkat(dirfd(folder), name, 0) && errno != ENOENT)
            status = refuse_folder(series, "cannot remove an old checkpoint");
    }
    closedir(folder);
    return status;
}

/* ---- saving ---- */

static bool better(const tw_checkpoints *series, double score) {
    double best = series->standing.best;
    if (isnan(score) || isnan(best)) return !isnan(score);
    return series->opts.higher_better ? score > best : score < best;
}

static bool add_number(tw_context *context, words *list, const char *key, double number) {
    if (isnan(number)) return true;
    text digits = {.context = context};
    text_add_number(&digits, number, 17);
    bool good = !digits.failed && words_set(context, list, key, digits.at);
    text_drop(&digits);
    return good;
}

static bool describe(const tw_checkpoints *series, double score, const standing *next,
                     words *list) {
    tw_context *context = series->object.context;
    bool good = add_number(context, list, "score", score) &&
                add_number(context, list, "best", next->best) &&
                checkpoint_add_count(context, list, "since_best", next->since_best);
    for (size_t i = 0; good && i < series->notes.count; i++) {
        text key = {.context = context};
        text_add(&key, NOTE "%s", series->notes.at[i].key);
        good = !key.failed && words_set(context, list, key.at, series->notes.at[i].value);
        text_drop(&key);
    }
    return good;
}

static tw_status write_one(const tw_checkpoints *series, const char *name, const words *metadata) {
    text path = {.context = series->object.context};
    text_add(&path, "%s/%s", series->folder, name);
    tw_status status = path.failed
                           ? TW_ERR_MEMORY
                           : checkpoint_write(path.at, series->store, series->loader, metadata);
    text_drop(&path);
    return status;
}

/* Adds the present step to the list, which is what the folder held before. */
static tw_status place_step(const tw_checkpoints *series, int64_t step, step_list *steps) {
    int64_t latest = steps->count ? steps->at[steps->count - 1] : -1;
    if (latest > step)
        return context_error(series->object.context, TW_ERR_ARGUMENT,
                             "checkpoints in '%s': the folder holds step %lld, of a run that was "
                             "further than this one's step %lld; go on from it "
                             "(tw_checkpoints_resume), or save to another folder",
                             series->folder, (long long)latest, (long long)step);
    if (latest == step) return TW_OK;
    int64_t *added = VECTOR_PUSH(series->object.context, steps);
    if (!added) return TW_ERR_MEMORY;
    *added = step;
    return TW_OK;
}

static tw_status save(tw_checkpoints *series, double score, words *metadata, step_list *steps) {
    int64_t step = tw_store_step(series->store);
    tw_status status = list_steps(series, steps);
    if (!status) status = place_step(series, step, steps);
    if (status) return status;
    bool best = better(series, score);
    standing next = series->standing;
    if (best)
        next = (standing){score, 0};
    else if (!isnan(score))
        next.since_best++;
    if (!describe(series, score, &next, metadata)) return TW_ERR_MEMORY;
    const char *what = aside_make_folder(series->object.context, series->folder);
    if (what) return refuse_folder(series, what);
    if (best && series->opts.keep_best) status = write_one(series, BEST_NAME, metadata);
    char name[64];
    snprintf(name, sizeof name, STEP_NAME, (long long)step);
    if (!status) status = write_one(series, name, metadata);
    if (status) return status;
    series->standing = next;
    return prune(series, steps);
}

tw_status tw_checkpoints_save(tw_checkpoints *checkpoints, double score) {
    if (!checkpoints) return TW_ERR_NULL;
    tw_context *context = checkpoints->object.context;
    words metadata = {0};
    step_list steps = {0};
    tw_status status = save(checkpoints, score, &metadata, &steps);
    words_end(context, &metadata);
    VECTOR_FREE(context, &steps);
    if (status) return status;
    int patience = checkpoints->opts.patience;
    return patience && checkpoints->standing.since_best >= (uint64_t)patience ? TW_END : TW_OK;
}

/* ---- going on ---- */

static tw_status read_standing(const safetensors *file, standing *out) {
    *out = (standing){NAN, 0};
    const char *best = words_get(&file->metadata, "best");
    if (!checkpoint_count(&file->metadata, "since_best", &out->since_best) ||
        (best && (!scan_number(&best, &out->best) || *best)))
        return safetensors_refuse(file->context, file->path, TW_ERR_FORMAT,
                                  "its metadata has no since_best, or a best score that is no "
                                  "number: it is of no series");
    return TW_OK;
}

/* The present notes, and the file's over them. */
static bool merge_notes(const tw_checkpoints *series, const words *metadata, words *out) {
    tw_context *context = series->object.context;
    size_t prefix = strlen(NOTE);
    bool good = true;
    for (size_t i = 0; good && i < series->notes.count; i++)
        good = words_set(context, out, series->notes.at[i].key, series->notes.at[i].value);
    for (size_t i = 0; good && i < metadata->count; i++)
        if (!strncmp(metadata->at[i].key, NOTE, prefix))
            good = words_set(context, out, metadata->at[i].key + prefix, metadata->at[i].value);
    return good;
}

static tw_status resume_from(tw_checkpoints *series, const char *path) {
    tw_context *context = series->object.context;
    safetensors file;
    standing found = {0};
    words notes = {0};
    tw_status status = checkpoint_open(&file, context, path);
    if (!status) status = read_standing(&file, &found);
    if (!status && !merge_notes(series, &file.metadata, &notes)) status = TW_ERR_MEMORY;
    if (!status) status = checkpoint_restore(&file, series->store, series->loader);
    if (!status) {
        words old = series->notes;
        series->standing = found;
        series->notes = notes;
        notes = old;
    }
    words_end(context, &notes);
    safetensors_close(&file);
    return status;
}

tw_status tw_checkpoints_resume(tw_checkpoints *checkpoints) {
    if (!checkpoints) return TW_ERR_NULL;
    tw_context *context = checkpoints->object.context;
    step_list steps = {0};
    tw_status status = list_steps(checkpoints, &steps);
    if (!status && !steps.count)
        status = context_error(context, TW_ERR_NOT_FOUND,
                               "checkpoints in '%s': the folder holds no step-000000.safetensors "
                               "of any step to go on from",
                               checkpoints->folder);
    if (!status) {
        text path = {.context = context};
        text_add(&path, "%s/" STEP_NAME, checkpoints->folder, (long long)steps.at[steps.count - 1]);
        status = path.failed ? TW_ERR_MEMORY : resume_from(checkpoints, path.at);
        text_drop(&path);
    }
    VECTOR_FREE(context, &steps);
    return status;
}

tw_status tw_checkpoints_note(tw_checkpoints *checkpoints, const char *key, const char *value) {
    if (!checkpoints) return TW_ERR_NULL;
    tw_context *context = checkpoints->object.context;
    if (!key || !*key || !words_utf8(key) || (value && !words_utf8(value)))
        return context_error(context, key ? TW_ERR_ARGUMENT : TW_ERR_NULL,
                             "tw_checkpoints_note: key and value must be UTF-8, and the key not "
                             "empty; '%s' and '%s' given",
                             key ? key : "", value ? value : "");
    return words_set(context, &checkpoints->notes, key, value) ? TW_OK : TW_ERR_MEMORY;
}

const char *tw_checkpoints_noted(const tw_checkpoints *checkpoints, const char *key) {
    return checkpoints && key ? words_get(&checkpoints->notes, key) : NULL;
}
