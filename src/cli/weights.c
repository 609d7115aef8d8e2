/* Loads, saves and counts the variables that a model's graph declares. */
#include "cli/weights.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <thalweg/thalweg.h>
#include <unistd.h>

#include "io/safetensors.h"
#include "ir/dimension.h"

bool weights_latest(const char *folder, char path[WEIGHTS_PATH]) {
    DIR *list = opendir(folder);
    long long latest = -1, step;
    for (const struct dirent *entry; list && (entry = readdir(list));) {
        int used = 0;
        if (sscanf(entry->d_name, "step-%lld.safetensors%n", &step, &used) != 1 || !used ||
            entry->d_name[used] || step <= latest)
            continue;
        latest = step;
        snprintf(path, WEIGHTS_PATH, "%s/%s", folder, entry->d_name);
    }
    if (list) closedir(list);
    return latest >= 0;
}

int weights_find(const char *word, char path[WEIGHTS_PATH]) {
    static const char *const names[] = {"best", "weights", "checkpoint"};
    struct stat facts;
    if (!word)
        return cli_misuse("which weights? --weights names a file, or the folder of a training");
    if (strlen(word) > WEIGHTS_PATH / 2) return cli_fail("the path of --weights is too long");
    if (stat(word, &facts)) return cli_fail("cannot read '%s': %s", word, strerror(errno));
    snprintf(path, WEIGHTS_PATH, "%s", word);
    if (!S_ISDIR(facts.st_mode)) return CLI_FINE;
    for (int i = 0; i < 3; i++) {
        snprintf(path, WEIGHTS_PATH, "%s/%s.safetensors", word, names[i]);
        if (!access(path, F_OK)) return CLI_FINE;
        if (i == 1 && weights_latest(word, path)) return CLI_FINE;
    }
    return cli_fail("the folder '%s' holds no weights: best.safetensors, weights.safetensors or "
                    "step-*.safetensors",
                    word);
}

bool weights_note(tw_context *context, const char *path, const char *key, char **value) {
    char name[64];
    safetensors file;
    *value = NULL;
    snprintf(name, sizeof name, "note.%s", key);
    tw_status status = safetensors_open(&file, context, path);
    const char *found = status ? NULL : words_get(&file.metadata, name);
    if (found) *value = strdup(found);
    safetensors_close(&file);
    if (status) cli_fail("%s", tw_message(context));
    return !status;
}

/* Declares a part's variables in the store: compiling does. */
static bool declare(tw_context *context, const chosen_model *chosen, model_part part,
                    tw_store *store) {
    tw_value in[MODEL_INPUTS] = {{0}}, out[2] = {{0}};
    tw_graph *graph = model_graph(context, store, chosen, part, 0, in, out);
    if (!graph) return false;
    int n_out = part == MODEL_METRICS ? 1 + model_counts(chosen->model) : 1;
    tw_program *program = tw_compile(graph, chosen->model->n_in, in, n_out, out,
                                     &(tw_compile_opts){.read_only = true});
    if (!program) cli_fail("%s", tw_message(context));
    tw_program_free(program);
    tw_graph_free(graph);
    return program != NULL;
}

/* Each of the store's variables must be in the file; what else it has stays there. */
static bool select_entries(safetensors *file, const tw_store *store, const chosen_model *chosen) {
    const variable_table *table = &store->table;
    for (size_t v = 0; v < table->specs.count; v++) {
        bool there = false;
        for (int i = 0; i < file->count && !there; i++)
            there = !strcmp(file->entries[i].name, table->specs.at[v].path);
        if (there) continue;
        cli_fail("'%s' has no '%s', which model '%s' uses; is it of another model?", file->path,
                 table->specs.at[v].path, chosen->model->name);
        return false;
    }
    for (int i = 0; i < file->count; i++)
        if (variable_find(table, file->entries[i].name) < 0) file->entries[i].target = NULL;
    return true;
}

static tw_status read_selected(safetensors *file, tw_store *store) {
    tw_status status = TW_OK;
    for (int i = 0; !status && i < file->count; i++)
        if (file->entries[i].target) status = safetensors_check(file, &file->entries[i], store);
    if (!status) status = safetensors_read(file);
    return status ? status : safetensors_commit(file, store);
}

bool weights_load(tw_context *context, const chosen_model *chosen, model_part part, tw_store *store,
                  const char *path) {
    if (!declare(context, chosen, part, store)) return false;
    safetensors file;
    tw_status status = safetensors_open(&file, context, path);
    bool good = !status && select_entries(&file, store, chosen);
    if (good) status = read_selected(&file, store);
    safetensors_close(&file);
    if (status) cli_fail("%s", tw_message(context));
    return good && !status;
}

static tw_status copy_variable(tw_store *from, tw_store *to, const char *path) {
    tw_tensor *tensor = tw_store_get(from, path);
    if (!tensor) return TW_ERR_NOT_FOUND;
    tw_status status = tw_store_set(to, path, tensor);
    tw_tensor_free(tensor);
    return status;
}

bool weights_save(tw_context *context, const chosen_model *chosen, tw_store *store,
                  const char *path, const words *notes) {
    tw_store *part = tw_store_new(context, NULL);
    words metadata = {0};
    bool good = part && declare(context, chosen, MODEL_METRICS, part);
    if (!part) cli_fail("%s", tw_message(context));
    tw_status status = TW_OK;
    for (int i = 0; good && !status && i < tw_store_size(part); i++)
        status = copy_variable(store, part, tw_store_path(part, i));
    for (size_t i = 0; good && !status && notes && i < notes->count; i++) {
        char key[64];
        snprintf(key, sizeof key, "note.%s", notes->at[i].key);
        if (!words_set(context, &metadata, key, notes->at[i].value)) status = TW_ERR_MEMORY;
    }
    if (good && !status) status = safetensors_save(part, path, &metadata);
    if (status) cli_fail("%s", tw_message(context));
    words_end(context, &metadata);
    tw_store_free(part);
    return good && !status;
}

int64_t weights_count(tw_context *context, const chosen_model *chosen) {
    tw_store *store = tw_store_new(context, NULL);
    if (!store) cli_fail("%s", tw_message(context));
    int64_t count = store && declare(context, chosen, MODEL_METRICS, store) ? 0 : -1;
    for (size_t i = 0; count >= 0 && i < store->table.specs.count; i++)
        if (store->table.specs.at[i].trainable)
            count += shape_elements(store->table.specs.at[i].type.shape);
    tw_store_free(store);
    return count;
}
