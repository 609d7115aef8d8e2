/* `thalweg graph`: a built-in model's graph as text, picture or program. */
#include <stdio.h>
#include <string.h>
#include <thalweg/thalweg.h>

#include "cli/cli.h"
#include "cli/file.h"
#include "models/models.h"

enum { MOST_INPUTS = 16, MOST_MODELS = 32, DEFAULT_BATCH = 64 };

typedef struct request {
    const tw_model *model;
    const tw_model_preset *preset;
    int64_t batch; /* 0: any, as a symbol */
    bool train, forward;
    bool text, dot, program, summary;
    const char *svg, *preset_name, *passes;
} request;

static void print_passes(void) {
    const char *name, *about;
    cli_heading("Passes");
    for (int i = 0; (name = tw_pass_name(i, &about)); i++) cli_row(name, about);
}

static void print_models(void) {
    cli_heading("Models");
    const tw_model *model;
    for (int i = 0; (model = models_at(i)); i++) {
        cli_row(model->name, model->about);
        char words[256] = "presets:";
        for (const tw_model_preset *preset = model->presets; preset->name; preset++) {
            size_t used = strlen(words);
            snprintf(words + used, sizeof words - used, " %s", preset->name);
        }
        cli_row("", words);
    }
    print_passes();
    cli_heading("Examples");
    printf("  thalweg graph practice\n"
           "  thalweg graph convnet --preset tiny --batch 0 --forward\n"
           "  thalweg graph convnet --svg convnet.svg\n"
           "  thalweg graph mlp --program\n"
           "  thalweg graph convnet --summary --batch 1\n");
}

static int refuse_model(const char *name) {
    const char *names[MOST_MODELS];
    const tw_model *model;
    int n = 0;
    while (n < MOST_MODELS && (model = models_at(n))) names[n++] = model->name;
    const char *near = name ? cli_nearest(name, n, names) : NULL;
    if (!name) return cli_misuse("which model? See 'thalweg graph --help' for a list");
    if (near) return cli_misuse("no model '%s'; did you mean '%s'?", name, near);
    return cli_misuse("no model '%s'; 'thalweg graph --help' lists them", name);
}

/* Finds what the words name and sees that the options go together. */
static int check(request *asked, const char *name) {
    asked->model = models_find(name);
    if (!asked->model) return refuse_model(name);
    asked->preset = models_preset(asked->model, asked->preset_name);
    if (!asked->preset)
        return cli_misuse("model '%s' has no preset '%s'; 'thalweg graph --help' lists them",
                          asked->model->name, asked->preset_name);
    if (asked->model->n_in > MOST_INPUTS)
        return cli_fail("model '%s' has more than %d inputs", asked->model->name, MOST_INPUTS);
    if (asked->train && asked->forward)
        return cli_misuse("--train and --forward exclude each other");
    if (asked->text + asked->dot + asked->program + asked->summary + (asked->svg != NULL) +
            (asked->passes != NULL) >
        1)
        return cli_misuse(
            "--text, --dot, --svg, --program, --summary and --passes exclude each other");
    return CLI_FINE;
}

/* The string goes to standard output; NULL is the context's error. */
static int print_string(tw_context *context, char *string) {
    if (!string) return cli_fail("%s", tw_message(context));
    fputs(string, stdout);
    tw_string_free(context, string);
    return CLI_FINE;
}

static int draw(tw_context *context, tw_graph *graph, const char *path) {
    char *dot = tw_graph_dot(graph);
    if (!dot) return cli_fail("%s", tw_message(context));
    drawn how = file_draw(dot, path);
    tw_string_free(context, dot);
    if (how == DRAWN_NO_GRAPHVIZ)
        return cli_fail("--svg needs Graphviz (Debian's package graphviz); --dot prints its input");
    return how == DRAWN ? CLI_FINE : CLI_FAILED;
}

static int print_program(tw_context *context, tw_graph *graph, const request *asked,
                         const tw_value *in, const tw_value *out) {
    const tw_compile_opts opts = {.read_only = asked->forward};
    tw_program *program = tw_compile(graph, asked->model->n_in, in, 1, out, &opts);
    if (!program) return cli_fail("%s", tw_message(context));
    int code = print_string(context, tw_program_print(program));
    tw_program_free(program);
    return code;
}

static int show(tw_context *context, const request *asked) {
    const tw_model *model = asked->model;
    const void *config = asked->preset->config;
    tw_store *store = tw_store_new(context, NULL);
    tw_graph *graph =
        tw_graph_new(context, store, TW_SYMBOLIC, &(tw_graph_opts){.training = !asked->forward});
    if (!store || !graph) return cli_fail("%s", tw_message(context));
    tw_value in[MOST_INPUTS] = {{0}}, out[1] = {{0}};
    model->inputs(graph, asked->batch ? asked->batch : tw_symbol(context, "batch"), in, config);
    model->loss(graph, in, out, config);
    if (!asked->forward) tw_minimize(out[0], model->optimizer(config));
    if (tw_graph_status(graph)) return cli_fail("%s", tw_message(context));
    if (asked->program) return print_program(context, graph, asked, in, out);
    tw_outputs(graph, 1, out);
    if (asked->passes)
        return print_string(
            context,
            tw_graph_print_passes(graph, strcmp(asked->passes, "all") ? asked->passes : NULL));
    if (asked->summary) return print_string(context, tw_graph_summary(graph));
    if (asked->svg) return draw(context, graph, asked->svg);
    return print_string(context, asked->dot ? tw_graph_dot(graph) : tw_graph_print(graph));
}

static int run(int argc, char **argv) {
    request asked = {.batch = DEFAULT_BATCH};
    const cli_option options[] = {
        {"preset", "P", "the model's size", OPTION_TEXT, &asked.preset_name, 0, 0},
        {"batch", "N", "examples in a batch (64); 0 leaves it open, as the extent 'batch'",
         OPTION_NUMBER, &asked.batch, 0, INT32_MAX},
        {"train", NULL, "forward, backward and update (this is the default)", OPTION_FLAG,
         &asked.train, 0, 0},
        {"forward", NULL, "the loss alone", OPTION_FLAG, &asked.forward, 0, 0},
        {"text", NULL, "as text, which parses back (this is the default)", OPTION_FLAG, &asked.text,
         0, 0},
        {"dot", NULL, "as a picture's source, for Graphviz", OPTION_FLAG, &asked.dot, 0, 0},
        {"svg", "FILE", "as a picture; needs Graphviz", OPTION_TEXT, &asked.svg, 0, 0},
        {"passes", "LIST", "as text after these passes, \"all\" or names with spaces between",
         OPTION_TEXT, &asked.passes, 0, 0},
        {"program", NULL, "as the compiled list of instructions, with memory offsets", OPTION_FLAG,
         &asked.program, 0, 0},
        {"summary", NULL, "as a table of its layers: shapes, parameters, operations, memory",
         OPTION_FLAG, &asked.summary, 0, 0},
        {0},
    };
    const cli_usage usage = {
        "graph", "MODEL [OPTION...]",
        "Prints or draws the graph of a built-in model: its loss, the gradients, and the update\n"
        "of its parameters, which are phases of one graph.",
        options, print_models};
    const char *name = NULL;
    int code = CLI_FINE;
    if (!options_read(&usage, argc, argv, &name, 1, &code)) return code;
    code = check(&asked, name);
    if (code) return code;
    tw_context *context = cli_context(0);
    if (!context) return CLI_FAILED;
    code = show(context, &asked);
    tw_context_free(context);
    return code;
}

const cli_command graph_command = {"graph", "print or draw a model's graph, or its program", run};
