/* `thalweg train`: trains a model on data. */
#include <stdio.h>
#include <string.h>

#include "cli/training.h"

static void print_more(void) {
    model_print_help();
    data_print_help();
    cli_heading("Writes");
    cli_row("step-N.safetensors", "the checkpoint to go on from");
    cli_row("best.safetensors", "the one of the least validation loss");
    cli_row("weights.safetensors", "the last weights alone");
    cli_row("log.jsonl", "a line of JSON for each step and epoch");
    cli_row("events.out.tfevents*", "the same for TensorBoard: tensorboard --logdir DIR");
    cli_row("loss.svg", "the loss over epochs");
    cli_heading("Exit codes");
    cli_row("0, 1, 2", "trained; failed; misuse of the options");
    cli_row("75", "ended by SIGTERM, a checkpoint written: --resume goes on");
    cli_row("130", "ended by SIGINT (Ctrl-C), a checkpoint written");
    cli_heading("Examples");
    printf("  thalweg train mlp --data /usr/share/datasets/fashion-mnist --epochs 5\n"
           "  thalweg train my_model.c --data flowers.csv --val 0.2 --lr 0.01 --out out/f\n"
           "  thalweg train mlp --data DIR --optimizer adamw --schedule cosine --warmup 100\n");
}

static int check(const training_settings *settings) {
    if (!settings->model.word)
        return cli_misuse("which model? See 'thalweg train --help' for a list");
    if (!settings->data.path)
        return cli_misuse("train on which data? --data PATH; see 'thalweg train --help'");
    if (settings->resume && settings->overwrite)
        return cli_misuse("--resume and --overwrite exclude each other");
    return data_check(&settings->data);
}

static int train(training_settings *settings) {
    char folder[512];
    chosen_model chosen;
    int code = check(settings);
    if (!code) code = model_choose("train", &settings->model, &chosen);
    if (code) return code;
    snprintf(folder, sizeof folder, "out/%s", chosen.model->name);
    if (!settings->out) settings->out = folder;
    settings->data.seed = settings->seed;
    tw_context *context = cli_context(settings->threads);
    code = context ? training_run(context, settings, &chosen) : CLI_FAILED;
    tw_context_free(context);
    model_end(&chosen);
    return code;
}

static int run(int argc, char **argv) {
    training_settings s = {.epochs = 10, .batch = 64, .seed = 1, .eval_every = 1, .keep = 1};
    const cli_option options[] = {
        {"data", "PATH", "what to train on; see below", OPTION_TEXT, &s.data.path, 0, 0},
        {"val", "PATH|SHARE", "what is held out: other data, or a share of these, as 0.1",
         OPTION_TEXT, &s.held_out, 0, 0},
        {"out", "DIR", "where results go (out/MODEL)", OPTION_TEXT, &s.out, 0, 0},
        {"resume", NULL, "go on from the checkpoint in DIR, if there is one", OPTION_FLAG,
         &s.resume, 0, 0},
        {"overwrite", NULL, "remove the checkpoints and events of an earlier run in DIR",
         OPTION_FLAG, &s.overwrite, 0, 0},
        {"epochs", "N", "passes over the data (10)", OPTION_NUMBER, &s.epochs, 1, 1000000},
        {"batch", "N", "examples in a step (64)", OPTION_NUMBER, &s.batch, 1, 1 << 24},
        {"memory", "SIZE", "a budget, as 2GiB: work is done again rather than kept", OPTION_TEXT,
         &s.memory, 0, 0},
        {"optimizer", "O", "sgd momentum adam adamw adagrad rmsprop adafactor lamb lion",
         OPTION_TEXT, &s.optimizer.kind, 0, 0},
        {"lr", "X", "the rate; default: the model's", OPTION_REAL, &s.optimizer.rate, 0, 0},
        {"schedule", "S",
         "of the rate: constant step exponential linear polynomial cosine inverse-root one-cycle",
         OPTION_TEXT, &s.optimizer.schedule, 0, 0},
        {"warmup", "N", "steps in which the rate rises", OPTION_NUMBER, &s.optimizer.warmup, 0,
         INT32_MAX},
        {"clip", "X", "the gradient's greatest norm", OPTION_REAL, &s.optimizer.clip, 0, 0},
        {"weight-decay", "X", "the optimiser's", OPTION_REAL, &s.optimizer.weight_decay, 0, 0},
        {"seed", "N", "of initial weights, order and split (1)", OPTION_NUMBER, &s.seed, 0,
         INT64_MAX},
        {"preset", "P", "the model's size", OPTION_TEXT, &s.model.preset, 0, 0},
        {"set", "KEY=VALUE", "a field of the model; may be given again", OPTION_LIST, &s.model.set,
         0, 0},
        {"eval-every", "N", "epochs between evaluations of what is held out (1)", OPTION_NUMBER,
         &s.eval_every, 1, 1000000},
        {"save-every", "N", "steps between checkpoints, besides those after each epoch",
         OPTION_NUMBER, &s.save_every, 1, INT32_MAX},
        {"keep", "N", "checkpoints to keep (1)", OPTION_NUMBER, &s.keep, 1, 1000000},
        {"patience", "N", "evaluations without a better one before it stops early", OPTION_NUMBER,
         &s.patience, 1, 1000000},
        {"log-json", "FILE", "where the lines of JSON go (DIR/log.jsonl)", OPTION_TEXT, &s.lines, 0,
         0},
        {"threads", "N", "threads (as many as there are cores)", OPTION_NUMBER, &s.threads, 1,
         1024},
        {"check", NULL, "slow: stop at the first operator that makes a NaN, and name it",
         OPTION_FLAG, &s.check, 0, 0},
        DATA_OPTIONS(s.data),
        {"flip", NULL, "images: mirror half of them, drawn anew in each epoch", OPTION_FLAG,
         &s.data.flip, 0, 0},
        {"crop", "SHARE", "images: a random part of at least this share of the area", OPTION_REAL,
         &s.data.crop, 0, 0},
        {0},
    };
    const cli_usage usage = {
        "train", "MODEL --data PATH [OPTION...]",
        "Trains a model, judges it by what is held out, writes weights and checkpoints.", options,
        print_more};
    int code = CLI_FINE;
    if (!options_read(&usage, argc, argv, &s.model.word, 1, &code)) return code;
    return train(&s);
}

const cli_command train_command = {"train", "train a model on your data", run};
