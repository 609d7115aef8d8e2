/* Variables with their contents. Declaring is the table's (ir/variable.h), allocating lazy. */
#include "runtime/store.h"

#include <string.h>
#include <thalweg/checkpoint.h>

#include "ir/dimension.h"
#include "runtime/initialize.h"

static void store_destroy(object *head) {
    tw_store *store = (tw_store *)head;
    for (size_t i = 0; i < store->entries.count; i++) {
        object_drop(store->entries.at[i].value);
        object_drop(store->entries.at[i].spare);
    }
    VECTOR_FREE(head->context, &store->entries);
    variable_table_end(&store->table);
}

tw_store *tw_store_new(tw_context *context, const tw_store_opts *opts) {
    if (!context) return NULL;
    tw_store *store = object_new(context, sizeof *store, store_destroy);
    if (!store) return NULL;
    store->table.context = context;
    if (opts) store->table.seed = opts->seed;
    return store;
}

void tw_store_free(tw_store *store) { object_drop(store); }

/* The entry of a declared variable. */
static store_entry *entry_of(tw_store *store, int variable) {
    if (variable < 0 || (size_t)variable >= store->table.specs.count) return NULL;
    while (store->entries.count <= (size_t)variable)
        if (!VECTOR_PUSH(store->object.context, &store->entries)) return NULL;
    return &store->entries.at[variable];
}

tw_tensor *store_value(tw_store *store, int variable) {
    store_entry *entry = entry_of(store, variable);
    if (!entry || entry->value) return entry ? entry->value : NULL;
    const variable_spec *spec = &store->table.specs.at[variable];
    tw_tensor *value = tensor_new(store->object.context, spec->type);
    if (!value) return NULL;
    if (initialize_fill(store->object.context, spec, store->table.seed, value->data)) {
        object_drop(value);
        return NULL;
    }
    return entry->value = value;
}

tw_tensor *store_spare(tw_store *store, int variable) {
    store_entry *entry = entry_of(store, variable);
    if (!entry) return NULL;
    if (!entry->spare)
        entry->spare = tensor_new(store->object.context, store->table.specs.at[variable].type);
    return entry->spare;
}

tw_tensor *store_own(tw_store *store, int variable) {
    tw_tensor *value = store_value(store, variable);
    if (!value || (value->owned && value->object.holds == 1)) return value;
    tw_tensor *copy = tensor_copy(value);
    if (!copy) return NULL;
    object_drop(value);
    return store->entries.at[variable].value = copy;
}

/* The old value may be built upon again where nobody else holds it. */
static void replace_value(store_entry *entry, tw_tensor *value) {
    tw_tensor *old = entry->value;
    entry->value = value;
    if (!old) return;
    if (!entry->spare && old->owned && old->object.holds == 1)
        entry->spare = old;
    else
        object_drop(old);
}

void store_swap(tw_store *store, int variable) {
    store_entry *entry = &store->entries.at[variable];
    tw_tensor *value = entry->spare;
    entry->spare = NULL;
    replace_value(entry, value);
}

tw_status store_rebind(tw_store *store, int variable, tw_tensor *tensor) {
    store_entry *entry = entry_of(store, variable);
    if (!entry) return TW_ERR_MEMORY;
    tw_tensor *value = tensor->owned ? object_hold(tensor) : tensor_copy(tensor);
    if (!value) return TW_ERR_MEMORY;
    replace_value(entry, value);
    return TW_OK;
}

tw_tensor *tw_store_get(tw_store *store, const char *path) {
    if (!store) return NULL;
    int i = path ? variable_find(&store->table, path) : -1;
    if (i < 0) {
        context_error(store->object.context, TW_ERR_NOT_FOUND, "the store has no variable \"%s\"",
                      path ? path : "");
        return NULL;
    }
    tw_tensor *value = store_value(store, i);
    return value ? object_hold(value) : NULL;
}

tw_status tw_store_set(tw_store *store, const char *path, tw_tensor *tensor) {
    if (!store) return TW_ERR_NULL;
    tw_context *context = store->object.context;
    if (!path || !tensor)
        return context_error(context, TW_ERR_NULL, "tw_store_set: no path or no tensor given");
    if (store->busy) return context_error(context, TW_ERR_BUSY, "the store is in a run");
    tw_tensor *copy = tensor_copy(tensor);
    if (!copy) return context->status;
    variable_spec spec = {path, tensor->type, {0}, false};
    int i = variable_declare(&store->table, &spec);
    tw_status status = i < 0 ? context->status : store_rebind(store, i, copy);
    object_drop(copy);
    return status;
}

tw_status store_set_all(tw_store *store, size_t n, const store_item *items) {
    tw_context *context = store->object.context;
    if (store->busy) return context_error(context, TW_ERR_BUSY, "the store is in a run");
    size_t before = store->table.specs.count;
    bool good = true;
    /* First everything that may fail. */
    for (size_t i = 0; good && i < n; i++) {
        variable_spec spec = {items[i].path, items[i].value->type, {0}, false};
        int variable = variable_declare(&store->table, &spec);
        good = variable >= 0 && entry_of(store, variable);
    }
    if (!good) {
        variable_table_truncate(&store->table, before);
        return context->status;
    }
    for (size_t i = 0; i < n; i++) {
        int variable = variable_find(&store->table, items[i].path);
        replace_value(&store->entries.at[variable], object_hold(items[i].value));
    }
    return TW_OK;
}

tw_status tw_store_freeze(tw_store *store) {
    if (!store) return TW_ERR_NULL;
    store->table.frozen = true;
    return TW_OK;
}

/* What an i64 scalar counts; -1 for another variable or one that no run has used. */
static int64_t count_at(const tw_store *store, int i) {
    if (i < 0 || (size_t)i >= store->entries.count || !store->entries.at[i].value) return -1;
    const tw_tensor *step = store->entries.at[i].value;
    return step->type.dtype == TW_I64 && step->bytes == 8 ? *(const int64_t *)step->data : -1;
}

int64_t tw_store_step(const tw_store *store) {
    if (!store) return 0;
    int i = variable_find(&store->table, "optimizer/step");
    if (i >= 0) return count_at(store, i) > 0 ? count_at(store, i) : 0;
    int64_t most = 0;
    for (size_t k = 0; k < store->table.specs.count; k++) {
        const variable_spec *spec = &store->table.specs.at[k];
        size_t length = strlen(spec->path);
        if (spec->trainable || length < 5 || strcmp(spec->path + length - 5, "/step") ||
            !strcmp(spec->path, "average/step"))
            continue;
        int64_t count = count_at(store, (int)k);
        if (count > most) most = count;
    }
    return most;
}

/* The variable of which `i` is the average, -1 for none. */
static int averaged_by(const tw_store *store, size_t i) {
    const char *path = store->table.specs.at[i].path;
    if (strncmp(path, "average/", 8) || !strcmp(path, "average/step")) return -1;
    int w = variable_find(&store->table, path + 8);
    if (w < 0) return -1;
    tw_type a = store->table.specs.at[i].type, b = store->table.specs.at[w].type;
    return type_equal(a, b) ? w : -1;
}

tw_status tw_store_swap_averages(tw_store *store) {
    if (!store) return TW_ERR_NULL;
    tw_context *context = store->object.context;
    if (store->busy) return context_error(context, TW_ERR_BUSY, "the store is in a run");
    int found = 0;
    bool kept = count_at(store, variable_find(&store->table, "average/step")) > 0;
    /* First make sure of all values: either every pair is swapped or none. */
    for (int swap = 0; kept && swap < 2; swap++) {
        for (size_t i = 0; i < store->table.specs.count; i++) {
            int w = averaged_by(store, i);
            if (w < 0) continue;
            if (!swap && (!store_value(store, (int)i) || !store_value(store, w)))
                return context->status;
            found++;
            if (!swap) continue;
            tw_tensor *value = store->entries.at[i].value;
            store->entries.at[i].value = store->entries.at[w].value;
            store->entries.at[w].value = value;
        }
    }
    if (found) return TW_OK;
    return context_error(context, TW_ERR_NOT_FOUND,
                         "the store has no averages; tw_average in the training graph keeps them");
}

int tw_store_size(const tw_store *store) { return store ? (int)store->table.specs.count : 0; }

const char *tw_store_path(const tw_store *store, int i) {
    if (i < 0 || i >= tw_store_size(store)) return NULL;
    return store->table.specs.at[i].path;
}
