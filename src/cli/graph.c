/* `thalweg graph`: a model's graph as text, picture or program. */
#include <stdio.h>
#include <string.h>
#include <thalweg/thalweg.h>

#include "cli/cli.h"
#include "cli/file.h"
#include "cli/memory.h"
#include "cli/model.h"

enum { DEFAULT_BATCH = 64 };

typedef struct request {
    model_choice model;
    chosen_model chosen;
    int64_t batch; /* 0: any, as a symbol */
    bool train, forward;
    bool text, dot, program, summary;
    const char *svg, *passes, *memory;
} request;

static void print_more(void) {
    const char *name, *about;
    model_print_help();
    cli_heading("Passes");
    for (int i = 0; (name = tw_pass_name(i, &about)); i++) cli_row(name, about);
    cli_heading("Examples");
    printf("  thalweg graph practice\n"
           "  thalweg graph convnet --preset tiny --batch 0 --forward\n"
           "  thalweg graph convnet --svg convnet.svg\n"
           "  thalweg graph mlp --passes all --svg compiled.svg\n"
           "  thalweg graph mlp --passes all --summary\n"
           "  thalweg graph mlp --program --set hidden=64\n"
           "  thalweg graph my_model.c --summary --batch 1\n");
}

/* Sees that the options go together. */
static int check(const request *asked) {
    if (asked->train && asked->forward)
        return cli_misuse("--train and --forward exclude each other");
    int forms = asked->text + asked->dot + asked->program + asked->summary + (asked->svg != NULL);
    if (forms > 1)
        return cli_misuse("--text, --dot, --svg, --program and --summary exclude each other");
    if (asked->passes && asked->program)
        return cli_misuse("--passes goes with --text, --dot, --svg and --summary");
    return CLI_FINE;
}

/* The graph's text, its table or its picture's source, as built or after passes. */
static char *words_of(tw_graph *graph, const request *asked) {
    bool picture = asked->dot || asked->svg;
    if (!asked->passes && asked->summary) return tw_graph_summary(graph);
    if (!asked->passes) return picture ? tw_graph_dot(graph) : tw_graph_print(graph);
    const char *list = strcmp(asked->passes, "all") ? asked->passes : NULL;
    if (asked->summary) return tw_graph_summary_passes(graph, list);
    return picture ? tw_graph_dot_passes(graph, list) : tw_graph_print_passes(graph, list);
}

static int draw(const char *dot, const char *path) {
    drawn how = file_draw(dot, path);
    if (how == DRAWN_NO_GRAPHVIZ)
        return cli_fail("--svg needs Graphviz (Debian's package graphviz); --dot prints its input");
    return how == DRAWN ? CLI_FINE : CLI_FAILED;
}

static int print_program(tw_context *context, tw_graph *graph, const request *asked,
                         const tw_value *in, const tw_value *out) {
    tw_compile_opts opts = {.read_only = asked->forward};
    if (memory_read(asked->memory, &opts.memory)) return CLI_MISUSED;
    tw_program *program = tw_compile(graph, asked->chosen.model->n_in, in, 1, out, &opts);
    if (!program) return cli_fail("%s", tw_message(context));
    int code = cli_print_string(context, tw_program_print(program));
    tw_program_free(program);
    return code;
}

static int show(tw_context *context, const request *asked) {
    tw_value in[MODEL_INPUTS] = {{0}}, out[2] = {{0}};
    tw_store *store = tw_store_new(context, NULL);
    if (!store) return cli_fail("%s", tw_message(context));
    tw_graph *graph = model_graph(context, store, &asked->chosen,
                                  asked->forward ? MODEL_LOSS : MODEL_TRAIN, asked->batch, in, out);
    if (!graph) return CLI_FAILED;
    if (asked->program) return print_program(context, graph, asked, in, out);
    char *words = words_of(graph, asked);
    if (!words && asked->passes && tw_last_status(context) == TW_ERR_NOT_FOUND)
        return cli_misuse("%s", tw_message(context));
    if (!words || !asked->svg) return cli_print_string(context, words);
    int code = draw(words, asked->svg);
    tw_string_free(context, words);
    return code;
}

static int run(int argc, char **argv) {
    request asked = {.batch = DEFAULT_BATCH};
    const cli_option options[] = {
        {"preset", "P", "the model's size", OPTION_TEXT, &asked.model.preset, 0, 0},
        {"set", "KEY=VALUE", "a field of the model; may be given again", OPTION_LIST,
         &asked.model.set, 0, 0},
        {"batch", "N", "examples in a batch (64); 0 leaves it open, as the extent 'batch'",
         OPTION_NUMBER, &asked.batch, 0, INT32_MAX},
        {"train", NULL, "forward, backward and update (this is the default)", OPTION_FLAG,
         &asked.train, 0, 0},
        {"forward", NULL, "the loss alone", OPTION_FLAG, &asked.forward, 0, 0},
        {"text", NULL, "as text, which parses back (this is the default)", OPTION_FLAG, &asked.text,
         0, 0},
        {"dot", NULL, "as a picture's source, for Graphviz", OPTION_FLAG, &asked.dot, 0, 0},
        {"svg", "FILE", "as a picture; needs Graphviz", OPTION_TEXT, &asked.svg, 0, 0},
        {"passes", "LIST",
         "after these passes, \"all\" or names with spaces between: what becomes one kernel is a "
         "shaded box in the picture",
         OPTION_TEXT, &asked.passes, 0, 0},
        {"program", NULL, "as the compiled list of instructions, with memory offsets", OPTION_FLAG,
         &asked.program, 0, 0},
        {"memory", "SIZE", "a budget, as 2GiB: work is done again rather than kept", OPTION_TEXT,
         &asked.memory, 0, 0},
        {"summary", NULL,
         "as a table of its layers: shapes, parameters, operations, memory; with --passes, of what "
         "each pass changes",
         OPTION_FLAG, &asked.summary, 0, 0},
        {0},
    };
    const cli_usage usage = {
        "graph", "MODEL [OPTION...]",
        "Prints or draws the graph of a model: its loss, the gradients, and the update\n"
        "of its parameters, which are phases of one graph.",
        options, print_more};
    int code = CLI_FINE;
    if (!options_read(&usage, argc, argv, &asked.model.word, 1, &code)) return code;
    code = check(&asked);
    if (!code) code = model_choose("graph", &asked.model, &asked.chosen);
    if (code) return code;
    tw_context *context = cli_context(0);
    code = context ? show(context, &asked) : CLI_FAILED;
    tw_context_free(context);
    model_end(&asked.chosen);
    return code;
}

const cli_command graph_command = {"graph", "print or draw a model's graph, or its program", run};
