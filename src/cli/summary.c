/* `thalweg summary`: a model's layers as a table. */
#include <stdio.h>
#include <thalweg/thalweg.h>

#include "cli/cli.h"
#include "cli/model.h"

typedef struct request {
    model_choice model;
    int64_t batch; /* 0: any */
    bool train;
} request;

static int show(tw_context *context, const request *asked, const chosen_model *chosen) {
    tw_value in[MODEL_INPUTS] = {{0}}, out[2] = {{0}};
    tw_store *store = tw_store_new(context, NULL);
    if (!store) return cli_fail("%s", tw_message(context));
    tw_graph *graph = model_graph(context, store, chosen, asked->train ? MODEL_TRAIN : MODEL_LOSS,
                                  asked->batch, in, out);
    return graph ? cli_print_string(context, tw_graph_summary(graph)) : CLI_FAILED;
}

static void print_more(void) {
    model_print_help();
    cli_heading("Examples");
    printf("  thalweg summary convnet\n"
           "  thalweg summary mlp --set hidden=64 --batch 128 --train\n");
}

static int run(int argc, char **argv) {
    request asked = {.batch = 1};
    const cli_option options[] = {
        {"preset", "P", "the model's size", OPTION_TEXT, &asked.model.preset, 0, 0},
        {"set", "KEY=VALUE", "a field of the model; may be given again", OPTION_LIST,
         &asked.model.set, 0, 0},
        {"batch", "N", "examples in a batch (1); 0 leaves it open", OPTION_NUMBER, &asked.batch, 0,
         INT32_MAX},
        {"train", NULL, "with gradients and update: what is kept for them", OPTION_FLAG,
         &asked.train, 0, 0},
        {0},
    };
    const cli_usage usage = {
        "summary", "MODEL [OPTION...]",
        "Prints a model's layers as a table: shapes, parameters, floating-point\n"
        "operations, and the bytes that training keeps.",
        options, print_more};
    chosen_model chosen;
    int code = CLI_FINE;
    if (!options_read(&usage, argc, argv, &asked.model.word, 1, &code)) return code;
    code = model_choose("summary", &asked.model, &chosen);
    if (code) return code;
    tw_context *context = cli_context(0);
    code = context ? show(context, &asked, &chosen) : CLI_FAILED;
    tw_context_free(context);
    model_end(&chosen);
    return code;
}

const cli_command summary_command = {"summary", "print a model's layers as a table", run};
