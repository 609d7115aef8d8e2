/* Model, weights and data together; the weights' notes say how they were made. */
#include "cli/trained.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <thalweg/thalweg.h>

/* Preset and fields of the training, unless the options name a preset; fields of theirs come last. */
static int follow_notes(trained *it, model_choice *choice, char **preset) {
    const cli_list given = choice->set;
    if (choice->preset) return CLI_FINE;
    if (!weights_note(it->context, it->path, NOTE_PRESET, preset) ||
        !weights_note(it->context, it->path, NOTE_SET, &it->fields))
        return CLI_FAILED;
    choice->preset = *preset;
    choice->set.n = 0;
    char *rest = NULL;
    for (char *word = it->fields ? strtok_r(it->fields, " ", &rest) : NULL;
         word && choice->set.n < CLI_LIST; word = strtok_r(NULL, " ", &rest))
        choice->set.at[choice->set.n++] = word;
    for (int i = 0; i < given.n && choice->set.n < CLI_LIST; i++)
        choice->set.at[choice->set.n++] = given.at[i];
    return CLI_FINE;
}

int trained_open(trained *it, const char *command, const trained_settings *settings) {
    *it = (trained){.settings = settings};
    model_choice choice = settings->model;
    char *preset = NULL;
    if (!choice.word) return cli_misuse("which model? See 'thalweg %s --help' for a list", command);
    int code = data_check(&settings->data);
    if (!code) code = weights_find(settings->weights, it->path);
    if (code) return code;
    it->context = cli_context(settings->threads);
    if (!it->context) return CLI_FAILED;
    code = follow_notes(it, &choice, &preset);
    if (!code) code = model_choose(command, &choice, &it->chosen);
    free(preset);
    if (!code && !model_describe_inputs(it->context, &it->chosen, &it->inputs)) code = CLI_FAILED;
    return code;
}

int trained_load(trained *it, model_part part) {
    it->store = tw_store_new(it->context, NULL);
    if (!it->store) return cli_fail("%s", tw_message(it->context));
    return weights_load(it->context, &it->chosen, part, it->store, it->path) ? CLI_FINE
                                                                             : CLI_FAILED;
}

int trained_read(trained *it, int n) {
    const data_choice *choice = &it->settings->data;
    data_place place;
    char *line = NULL;
    int code = data_find(choice->path, &place);
    if (code || !weights_note(it->context, it->path, NOTE_DATA, &line)) return CLI_FAILED;
    bool good = !line || fit_parse(line, &it->inputs, &it->rules);
    free(line);
    if (!good) return cli_fail("'%s' has a damaged note of its training data", it->path);
    data_part part = place.test[0] && !it->settings->on_training ? DATA_TEST : DATA_TRAIN;
    tw_dataset *raw = data_read(it->context, choice, &place, part, &it->inputs, n);
    if (!raw) return CLI_FAILED;
    return fit_data(it->context, &it->inputs, n, raw, choice->path, &it->rules, &it->data);
}

void trained_close(trained *it) {
    fit_end(&it->rules);
    tw_context_free(it->context);
    model_end(&it->chosen);
    free(it->fields);
}
