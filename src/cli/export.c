/* `thalweg export`: a trained model's weights alone, and its graph, for other programs. */
#include <stdio.h>
#include <stdlib.h>
#include <thalweg/thalweg.h>

#include "cli/file.h"
#include "cli/trained.h"

typedef struct request {
    trained_settings settings;
    const char *out, *graph;
    int64_t batch; /* of the graph; 0: any */
} request;

/* The graph that predicts, or computes the loss where the model cannot predict. */
static int write_graph(trained *it, const request *asked) {
    tw_value in[MODEL_INPUTS] = {{0}}, out[2] = {{0}};
    tw_graph *graph =
        model_graph(it->context, NULL, &it->chosen,
                    it->chosen.model->predict ? MODEL_PREDICT : MODEL_LOSS, asked->batch, in, out);
    if (!graph) return CLI_FAILED;
    char *words = tw_graph_print(graph);
    if (!words) return cli_fail("%s", tw_message(it->context));
    bool good = file_write(asked->graph, words);
    tw_string_free(it->context, words);
    tw_graph_free(graph);
    if (good) printf("wrote %s\n", asked->graph);
    return good ? CLI_FINE : CLI_FAILED;
}

/* With the notes, so that eval and predict can work from it. */
static int write_weights(trained *it, const request *asked) {
    static const char *const keys[] = {NOTE_PRESET, NOTE_SET, NOTE_DATA};
    words notes = {0};
    int code = trained_load(it, MODEL_METRICS);
    for (int i = 0; !code && i < 3; i++) {
        char *value = NULL;
        if (!weights_note(it->context, it->path, keys[i], &value)) code = CLI_FAILED;
        if (!code && value && !words_set(it->context, &notes, keys[i], value))
            code = cli_fail("out of memory");
        free(value);
    }
    if (!code && !weights_save(it->context, &it->chosen, it->store, asked->out, &notes))
        code = CLI_FAILED;
    words_end(it->context, &notes);
    if (!code) printf("wrote %s\n", asked->out);
    return code;
}

static void print_more(void) {
    model_print_help();
    cli_heading("Examples");
    printf("  thalweg export mlp --weights out/mlp --out mlp.safetensors\n"
           "  thalweg export my_model.c --weights out/f --graph f.txt --batch 1\n");
}

static int run(int argc, char **argv) {
    request asked = {0};
    trained_settings *s = &asked.settings;
    const cli_option options[] = {
        {"weights", "PATH", "a weights file, or the folder of a training", OPTION_TEXT, &s->weights,
         0, 0},
        {"out", "FILE", "the weights, as a safetensors file", OPTION_TEXT, &asked.out, 0, 0},
        {"graph", "FILE", "the graph that predicts, as text", OPTION_TEXT, &asked.graph, 0, 0},
        {"batch", "N", "examples in the graph's batch; default: open", OPTION_NUMBER, &asked.batch,
         0, INT32_MAX},
        {"preset", "P", "the model's size (the training's)", OPTION_TEXT, &s->model.preset, 0, 0},
        {"set", "KEY=VALUE", "a field of the model (the training's)", OPTION_LIST, &s->model.set, 0,
         0},
        {0},
    };
    const cli_usage usage = {
        "export", "MODEL --weights PATH [--out FILE] [--graph FILE] [OPTION...]",
        "Writes a trained model for other programs: its weights without the optimiser's\n"
        "state, as a safetensors file, and the graph that predicts, as text.",
        options, print_more};
    int code = CLI_FINE;
    if (!options_read(&usage, argc, argv, &s->model.word, 1, &code)) return code;
    if (!asked.out && !asked.graph)
        return cli_misuse("export what? --out FILE for the weights, --graph FILE for the graph");
    trained it;
    code = trained_open(&it, "export", s);
    if (!code && asked.out) code = write_weights(&it, &asked);
    if (!code && asked.graph) code = write_graph(&it, &asked);
    trained_close(&it);
    return code;
}

const cli_command export_command = {"export", "a trained model's weights and graph as files", run};
