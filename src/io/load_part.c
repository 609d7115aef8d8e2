/* Part of a safetensors file into a store, under other names: what fine-tuning starts from. */
#include <stdlib.h>
#include <thalweg/checkpoint.h>

#include "base/text.h"
#include "io/safetensors.h"
#include "optim/settings.h"

enum { STARS_AT_MOST = 8 };

typedef struct span {
    const char *at;
    size_t length;
} span;

/* What the stars of a pattern stood for. */
typedef struct match {
    span star[STARS_AT_MOST];
    int stars;
} match;

static int stars_in(span pattern) {
    int stars = 0;
    for (size_t i = 0; i < pattern.length; i++) stars += pattern.at[i] == '*';
    return stars;
}

/* Each star takes as little as it can; the last one gives way (as in optim/settings.c). */
static bool matches(span pattern, const char *name, match *found) {
    size_t at = 0;
    const char *here = name;
    *found = (match){0};
    size_t after = 0; /* in the pattern, behind the last star; 0: none yet */
    while (*here) {
        if (at < pattern.length && pattern.at[at] == '*') {
            found->star[found->stars++] = (span){here, 0};
            after = ++at;
        } else if (at < pattern.length && pattern.at[at] == *here) {
            at++, here++;
        } else if (after) {
            span *last = &found->star[found->stars - 1];
            last->length++;
            here = last->at + last->length;
            at = after;
        } else {
            return false;
        }
    }
    for (; at < pattern.length && pattern.at[at] == '*'; at++)
        found->star[found->stars++] = (span){here, 0};
    return at == pattern.length;
}

/* The next word of a list; empty at its end. */
static span next_word(const char **list) {
    *list += strspn(*list, " ");
    span word = {*list, strcspn(*list, " ")};
    *list += word.length;
    return word;
}

static tw_status refuse(tw_context *context, const char *field, span word, const char *what) {
    return context_error(context, TW_ERR_ARGUMENT, "tw_store_load_part: .%s \"%.*s\" %s", field,
                         (int)word.length, word.at, what);
}

/* ---- which ---- */

/* A pattern that finds nothing is misspelt: nothing would be loaded, and nobody would know. */
static tw_status check_found(const safetensors *file, const char *field, span pattern) {
    match found;
    for (int i = 0; i < file->count; i++)
        if (matches(pattern, file->entries[i].name, &found)) return TW_OK;
    text names = {.context = file->context};
    for (int i = 0; i < file->count && i < 8; i++)
        text_add(&names, "%s'%s'", i ? ", " : "", file->entries[i].name);
    tw_status status = names.failed
                           ? TW_ERR_MEMORY
                           : safetensors_refuse(file->context, file->path, TW_ERR_NOT_FOUND,
                                                ".%s \"%.*s\" matches none of its %d tensors%s%s%s",
                                                field, (int)pattern.length, pattern.at, file->count,
                                                file->count ? ": " : "", names.at ? names.at : "",
                                                file->count > 8 ? ", ..." : "");
    text_drop(&names);
    return status;
}

static tw_status check_patterns(const safetensors *file, const char *field, const char *list) {
    tw_status status = TW_OK;
    while (list && !status) {
        span pattern = next_word(&list);
        if (!pattern.length) break;
        status = stars_in(pattern) > STARS_AT_MOST
                     ? refuse(file->context, field, pattern, "has too many stars")
                     : check_found(file, field, pattern);
    }
    return status;
}

static void choose(safetensors *file, const tw_load_opts *opts) {
    for (int i = 0; i < file->count; i++) {
        safetensors_entry *item = &file->entries[i];
        if ((opts->only && !pattern_list_matches(opts->only, item->name)) ||
            (opts->except && pattern_list_matches(opts->except, item->name)))
            item->target = NULL;
    }
}

/* ---- under which name ---- */

typedef struct rule {
    span from, to;
} rule;

/* False at the end of the list. */
static bool next_rule(const char **list, rule *out, span *word) {
    *word = next_word(list);
    const char *equals = word->length ? memchr(word->at, '=', word->length) : NULL;
    if (!equals) {
        *out = (rule){*word, {word->at, 0}};
        return word->length > 0;
    }
    size_t length = (size_t)(equals - word->at);
    *out = (rule){{word->at, length}, {equals + 1, word->length - length - 1}};
    return true;
}

static tw_status check_rules(const safetensors *file, const char *list) {
    tw_status status = TW_OK;
    rule it;
    span word;
    while (!status && next_rule(&list, &it, &word)) {
        if (!it.from.length || !it.to.length)
            status = refuse(file->context, "rename", word, "is not FROM=TO");
        else if (stars_in(it.from) > STARS_AT_MOST)
            status = refuse(file->context, "rename", word, "has too many stars");
        else if (stars_in(it.to) > stars_in(it.from))
            status =
                refuse(file->context, "rename", word, "has more stars behind the = than before it");
        else
            status = check_found(file, "rename", it.from);
    }
    return status;
}

/* The name behind the =, its stars filled in from the left. */
static void add_target(const rule *it, const match *found, text *out) {
    int star = 0;
    for (size_t i = 0; i < it->to.length; i++) {
        bool filled = it->to.at[i] == '*';
        span piece = filled ? found->star[star++] : (span){it->to.at + i, 1};
        text_add_bytes(out, piece.at, piece.length);
    }
}

/* The first rule that matches counts. */
static tw_status rename_one(safetensors *file, safetensors_entry *item, const char *rules) {
    rule it;
    span word;
    match found;
    bool hit = false;
    while (!hit && next_rule(&rules, &it, &word)) hit = matches(it.from, item->name, &found);
    if (!hit) return TW_OK;
    text name = {.context = file->context};
    add_target(&it, &found, &name);
    item->target = item->renamed = text_take(&name);
    return item->target ? TW_OK : TW_ERR_MEMORY;
}

static int compare_targets(const void *a, const void *b) {
    const safetensors_entry *left = *(const safetensors_entry *const *)a;
    const safetensors_entry *right = *(const safetensors_entry *const *)b;
    int order = strcmp(left->target, right->target);
    return order ? order : strcmp(left->name, right->name);
}

/* Two tensors cannot go into one variable. */
static tw_status check_targets(const safetensors *file) {
    const safetensors_entry **list =
        context_allocate(file->context, (size_t)file->count + 1, sizeof(safetensors_entry *));
    if (!list) return TW_ERR_MEMORY;
    size_t n = 0;
    for (int i = 0; i < file->count; i++)
        if (file->entries[i].target) list[n++] = &file->entries[i];
    qsort(list, n, sizeof *list, compare_targets);
    tw_status status = TW_OK;
    for (size_t i = 1; i < n && !status; i++)
        if (!strcmp(list[i - 1]->target, list[i]->target))
            status = safetensors_refuse(file->context, file->path, TW_ERR_ARGUMENT,
                                        "'%s' and '%s' would both become '%s'; leave one out",
                                        list[i - 1]->name, list[i]->name, list[i]->target);
    context_release(file->context, list);
    return status;
}

/* ---- into the store ---- */

static tw_status check_types(safetensors *file, const tw_store *store, bool lenient) {
    for (int i = 0; i < file->count; i++) {
        safetensors_entry *item = &file->entries[i];
        if (!item->target) continue;
        tw_status status = safetensors_check(file, item, store);
        if (status == TW_ERR_SHAPE && lenient)
            item->target = NULL;
        else if (status)
            return status;
    }
    return TW_OK;
}

static tw_status load(safetensors *file, tw_store *store, const char *path,
                      const tw_load_opts *opts) {
    tw_status status = safetensors_open(file, store->object.context, path);
    if (!status) status = check_patterns(file, "only", opts->only);
    if (!status && opts->rename) status = check_rules(file, opts->rename);
    if (status) return status;
    choose(file, opts);
    for (int i = 0; !status && opts->rename && i < file->count; i++)
        if (file->entries[i].target) status = rename_one(file, &file->entries[i], opts->rename);
    if (!status) status = check_targets(file);
    if (!status) status = check_types(file, store, opts->lenient);
    if (!status) status = safetensors_read(file);
    return status ? status : safetensors_commit(file, store);
}

tw_status tw_store_load_part(tw_store *store, const char *path, const tw_load_opts *opts,
                             int *loaded) {
    if (loaded) *loaded = 0;
    if (!store) return TW_ERR_NULL;
    if (!path)
        return context_error(store->object.context, TW_ERR_NULL,
                             "tw_store_load_part: the path is NULL");
    safetensors file;
    tw_status status = load(&file, store, path, opts ? opts : &(tw_load_opts){0});
    for (int i = 0; !status && loaded && i < file.count; i++)
        *loaded += file.entries[i].target != NULL;
    safetensors_close(&file);
    return status;
}
