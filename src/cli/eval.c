/* `thalweg eval`: loss and accuracy of a trained model. */
#include <stdio.h>
#include <thalweg/thalweg.h>

#include "cli/trained.h"

static void metrics(tw_graph *graph, const tw_value *in, tw_value *out, const void *config) {
    const chosen_model *chosen = config;
    const tw_model *model = chosen->model;
    (model->metrics ? model->metrics : model->loss)(graph, in, out, chosen->config);
}

static int evaluate(trained *it, scorer *scorer) {
    const tw_model *model = it->chosen.model;
    int n = model->n_in, n_out = 1 + model_counts(model);
    int code = trained_load(it, MODEL_METRICS);
    if (!code) code = trained_read(it, n);
    if (code) return code;
    scorer->counts = n_out == 2;
    scorer->n_in = n;
    scorer->context = it->context;
    scorer->data = &it->data;
    scorer->loader = tw_loader_new(it->data.set, &(tw_loader_opts){.batch = it->settings->batch});
    scorer->jit = tw_jit_new(it->context, it->store, metrics, n, n_out, &it->chosen,
                             sizeof it->chosen, &(tw_jit_opts){.open = score_open(n)});
    if (!scorer->loader || !scorer->jit) return cli_fail("%s", tw_message(it->context));
    score sums = {0};
    score_result result = SCORE_ONE;
    double loss;
    while (result == SCORE_ONE) result = score_batch(scorer, &sums, &loss);
    if (result == SCORE_FAILED) return CLI_FAILED;
    printf("%lld examples  loss %.6g", (long long)sums.examples, score_loss(&sums));
    if (scorer->counts)
        printf("  accuracy %.4f", score_accuracy(&sums, score_answers(&it->inputs)));
    printf("\n");
    return CLI_FINE;
}

static void print_more(void) {
    model_print_help();
    data_print_help();
    cli_heading("Examples");
    printf("  thalweg eval mlp --data DIR --weights out/mlp\n"
           "  thalweg eval my_model.c --data new.csv --weights out/f/best.safetensors\n");
}

static int run(int argc, char **argv) {
    trained_settings s = {.batch = 256};
    const cli_option options[] = {TRAINED_OPTIONS(s), {0}};
    const cli_usage usage = {
        "eval", "MODEL --data PATH --weights PATH [OPTION...]",
        "Prints loss and accuracy of a trained model on data. Scale and classes are those\n"
        "of its training.",
        options, print_more};
    int code = CLI_FINE;
    if (!options_read(&usage, argc, argv, &s.model.word, 1, &code)) return code;
    if (s.model.word && !s.data.path)
        return cli_misuse("on which data? --data PATH; see 'thalweg eval --help'");
    trained it;
    scorer scorer = {0};
    code = trained_open(&it, "eval", &s);
    if (!code) code = evaluate(&it, &scorer);
    score_end(&scorer);
    trained_close(&it);
    return code;
}

const cli_command eval_command = {"eval", "loss and accuracy of a trained model", run};
