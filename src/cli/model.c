/* Finds the model that a word names, and its configuration. */
#include "cli/model.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/compile.h"
#include "models/models.h"

enum { MOST_NAMES = 64, WORD_LENGTH = 64 };

static bool ends_with(const char *word, const char *end) {
    size_t length = strlen(word), n = strlen(end);
    return length > n && !strcmp(word + length - n, end);
}

static int refuse_name(const char *command, const char *name) {
    const char *names[MOST_NAMES];
    const tw_model *model;
    int n = 0;
    while (n < MOST_NAMES && (model = models_at(n))) names[n++] = model->name;
    const char *near = cli_nearest(name, n, names);
    if (near) return cli_misuse("no model '%s'; did you mean '%s'?", name, near);
    return cli_misuse("no model '%s'; 'thalweg %s --help' lists them", name, command);
}

/* The struct of a loaded object. */
static int take_model(const char *word, chosen_model *out) {
    const tw_model *(*give)(void) = NULL;
    void *symbol = dlsym(out->object, "thalweg_model");
    if (!symbol)
        return cli_fail("'%s' has no function 'const tw_model *thalweg_model(void)'", word);
    memcpy(&give, &symbol, sizeof give); /* ISO C has no cast between the two kinds of pointer */
    const tw_model *model = out->model = give();
    if (!model) return cli_fail("thalweg_model() of '%s' gives NULL", word);
    if (model->version < 1 || model->version > TW_MODEL_VERSION)
        return cli_fail("'%s' was made for version %d of tw_model, this is thalweg " CLI_VERSION
                        " with version %d: compile it with this one's headers",
                        word, model->version, TW_MODEL_VERSION);
    if (model->version == 1) {
        memcpy(&out->older, model, offsetof(tw_model, config_size));
        out->model = &out->older;
    }
    return CLI_FINE;
}

static int find_model(const char *command, const char *word, chosen_model *out) {
    bool source = ends_with(word, ".c"), object = ends_with(word, ".so");
    if (!source && !object) {
        out->model = models_find(word);
        return out->model ? CLI_FINE : refuse_name(command, word);
    }
    if (source) {
        out->object = compile_load(word);
    } else {
        /* Without a slash, dlopen would search the system's folders. */
        char *path = malloc(strlen(word) + sizeof "./");
        if (!path) return cli_fail("out of memory");
        sprintf(path, "%s%s", strchr(word, '/') ? "" : "./", word);
        out->object = compile_open(path);
        free(path);
    }
    return out->object ? take_model(word, out) : CLI_FAILED;
}

static int check_model(const char *word, const tw_model *model) {
    if (!model->name || !*model->name || !model->presets || !model->presets[0].name ||
        !model->inputs || !model->loss || !model->optimizer)
        return cli_fail("the model of '%s' lacks name, presets, inputs, loss or optimizer", word);
    if (model->n_in < 1 || model->n_in > MODEL_INPUTS)
        return cli_fail("the model '%s' has %d inputs; expected 1 to %d", model->name, model->n_in,
                        MODEL_INPUTS);
    if (model->n_predict < 0 || model->n_predict > model->n_in)
        return cli_fail("the model '%s' predicts from %d of its %d inputs", model->name,
                        model->n_predict, model->n_in);
    return CLI_FINE;
}

static int choose_preset(const char *name, chosen_model *out) {
    const tw_model_preset *preset = models_preset(out->model, name);
    if (!preset) {
        char words[256] = "";
        for (const tw_model_preset *p = out->model->presets; p->name; p++)
            snprintf(words + strlen(words), sizeof words - strlen(words), " %s", p->name);
        return cli_misuse("model '%s' has no preset '%s'; it has:%s", out->model->name, name,
                          words);
    }
    out->preset = preset->name;
    out->config = preset->config;
    return CLI_FINE;
}

static const tw_model_field *find_field(const tw_model *model, const char *name) {
    for (const tw_model_field *field = model->fields; field && field->name; field++)
        if (!strcmp(field->name, name)) return field;
    return NULL;
}

static int refuse_field(const tw_model *model, const char *name) {
    const char *names[MOST_NAMES] = {NULL};
    char words[512] = "";
    int n = 0;
    for (const tw_model_field *field = model->fields; field && field->name && n < MOST_NAMES;
         field++) {
        snprintf(words + strlen(words), sizeof words - strlen(words), " %s", field->name);
        names[n++] = field->name;
    }
    const char *near = cli_nearest(name, n, names);
    if (!n) return cli_misuse("model '%s' has no fields for --set", model->name);
    if (near)
        return cli_misuse("model '%s' has no field '%s'; did you mean '%s'?", model->name, name,
                          near);
    return cli_misuse("model '%s' has no field '%s'; it has:%s", model->name, name, words);
}

static int set_field(const chosen_model *chosen, const char *word) {
    const char *equals = strchr(word, '=');
    char name[WORD_LENGTH], *end;
    if (!equals || equals == word) return cli_misuse("--set takes KEY=VALUE, not '%s'", word);
    snprintf(name, sizeof name, "%.*s", (int)(equals - word), word);
    const tw_model_field *field = find_field(chosen->model, name);
    if (!field) return refuse_field(chosen->model, name);
    const char *value = equals + 1;
    char *to = (char *)chosen->own + field->offset;
    errno = 0;
    if (field->kind == TW_FIELD_DOUBLE) {
        double number = strtod(value, &end);
        if (end == value || *end || errno)
            return cli_misuse("--set %s takes a number, not '%s'", name, value);
        memcpy(to, &number, sizeof number);
        return CLI_FINE;
    }
    int64_t number = strtoll(value, &end, 10);
    bool small = field->kind == TW_FIELD_INT;
    if (end == value || *end || errno || (small && number != (int)number))
        return cli_misuse("--set %s takes a whole number, not '%s'", name, value);
    if (small)
        memcpy(to, &(int){(int)number}, sizeof(int));
    else
        memcpy(to, &number, sizeof number);
    return CLI_FINE;
}

static int set_fields(const cli_list *set, chosen_model *out) {
    const tw_model *model = out->model;
    if (!set->n) return CLI_FINE;
    if (!model->fields || !model->config_size || !out->config)
        return cli_misuse("model '%s' has no fields for --set", model->name);
    out->own = malloc(model->config_size);
    if (!out->own) return cli_fail("out of memory");
    memcpy(out->own, out->config, model->config_size);
    out->config = out->own;
    int code = CLI_FINE;
    for (int i = 0; !code && i < set->n; i++) code = set_field(out, set->at[i]);
    return code;
}

int model_choose(const char *command, const model_choice *choice, chosen_model *out) {
    *out = (chosen_model){0};
    if (!choice->word)
        return cli_misuse("which model? See 'thalweg %s --help' for a list", command);
    int code = find_model(command, choice->word, out);
    if (!code) code = check_model(choice->word, out->model);
    if (!code) code = choose_preset(choice->preset, out);
    if (!code) code = set_fields(&choice->set, out);
    if (code) model_end(out);
    return code;
}

void model_end(chosen_model *chosen) {
    free(chosen->own);
    if (chosen->object) dlclose(chosen->object);
    *chosen = (chosen_model){0};
}

static void add_words(char *words, size_t size, const char *lead, const char *word) {
    size_t used = strlen(words);
    snprintf(words + used, size - used, "%s%s", lead, word);
}

void model_print_help(void) {
    cli_heading("Models");
    const tw_model *model;
    for (int i = 0; (model = models_at(i)); i++) {
        char words[256] = "presets:";
        for (const tw_model_preset *preset = model->presets; preset->name; preset++)
            add_words(words, sizeof words, " ", preset->name);
        add_words(words, sizeof words, "", "; fields:");
        for (const tw_model_field *field = model->fields; field && field->name; field++)
            add_words(words, sizeof words, " ", field->name);
        cli_row(model->name, model->about);
        cli_row("", words);
    }
    cli_row("FILE.c", "your own: compiled by $CC or cc; it has a function "
                      "const tw_model *thalweg_model(void), see thalweg/model.h");
    cli_row("FILE.so", "the same, compiled");
}
