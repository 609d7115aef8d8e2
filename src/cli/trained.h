/* A trained model at work on data: what `eval`, `predict` and `export` begin with. */
#ifndef CLI_TRAINED_H
#define CLI_TRAINED_H

#include "cli/data.h"
#include "cli/score.h"
#include "cli/weights.h"

typedef struct trained_settings {
    model_choice model;
    data_choice data;
    const char *weights;
    bool on_training; /* data: the training part of a folder */
    int64_t batch, threads;
} trained_settings;

typedef struct trained {
    const trained_settings *settings;
    char path[WEIGHTS_PATH];
    chosen_model chosen; /* with preset and fields of the training, unless the options say others */
    tw_context *context;
    tw_store *store;
    model_inputs inputs;
    fit_rules rules;
    fitted_data data;
    char *fields; /* what the chosen ones point into */
} trained;

/* Finds model and weights. CLI_FINE, or the code after a message; trained_close in any case. */
int trained_open(trained *it, const char *command, const trained_settings *settings);
/* Loads what the part needs, and opens the data for its first n inputs. */
int trained_load(trained *it, model_part part);
int trained_read(trained *it, int n);
void trained_close(trained *it);

/* The options that eval and predict share, for their tables. */
#define TRAINED_OPTIONS(s)                                                                          \
    {"data", "PATH", "the data; see below", OPTION_TEXT, &(s).data.path, 0, 0},                     \
        {"weights",                                                                                 \
         "PATH",                                                                                    \
         "a weights file, or the folder of a training",                                             \
         OPTION_TEXT,                                                                               \
         &(s).weights,                                                                              \
         0,                                                                                         \
         0},                                                                                        \
        {"train",                                                                                   \
         NULL,                                                                                      \
         "of a folder, the training part (default: what is held out)",                              \
         OPTION_FLAG,                                                                               \
         &(s).on_training,                                                                          \
         0,                                                                                         \
         0},                                                                                        \
        {"batch", "N", "examples at once (256)", OPTION_NUMBER, &(s).batch, 1, 1 << 24},            \
        {"preset", "P", "the model's size (the training's)", OPTION_TEXT, &(s).model.preset, 0, 0}, \
        {"set",                                                                                     \
         "KEY=VALUE",                                                                               \
         "a field of the model (the training's)",                                                   \
         OPTION_LIST,                                                                               \
         &(s).model.set,                                                                            \
         0,                                                                                         \
         0},                                                                                        \
        {"threads", "N", "threads (as many as there are cores)", OPTION_NUMBER, &(s).threads,       \
         1,         1024},                                                                          \
        DATA_OPTIONS((s).data)

#endif
