/* The MODEL of a command: a built-in name, a shared object, or a C file, with its configuration. */
#ifndef CLI_MODEL_H
#define CLI_MODEL_H

#include <thalweg/data.h>
#include <thalweg/model.h>

#include "cli/cli.h"

enum { MODEL_INPUTS = TW_MAX_COLUMNS };

/* What the options say of it. */
typedef struct model_choice {
    const char *word, *preset; /* preset may be NULL */
    cli_list set;              /* "key=value" */
} model_choice;

typedef struct chosen_model {
    const tw_model *model;
    const char *preset; /* its name */
    const void *config;
    void *own;      /* the configuration, when --set changed it */
    void *object;   /* what dlopen gave */
    tw_model older; /* a model of version 1, with what came later left out */
} chosen_model;

/* Finds, compiles or loads it, and checks it: CLI_FINE, or the code after a message. `out` stays where
 * it is, and outlives the contexts that use the model. */
int model_choose(const char *command, const model_choice *choice, chosen_model *out);
void model_end(chosen_model *chosen);

/* Its functions. Metrics falls back to the loss. */
typedef enum model_part { MODEL_TRAIN = 1, MODEL_LOSS, MODEL_METRICS, MODEL_PREDICT } model_part;
/* Whether metrics gives the number of correct answers too. */
bool model_counts(const tw_model *model);
/* How many of its inputs predict reads. */
int model_predicts_from(const tw_model *model);

/* A part as a symbolic graph with its results named, for a batch of that many examples (0: any).
 * in[MODEL_INPUTS], out[2]. NULL after a message. */
tw_graph *model_graph(tw_context *context, tw_store *store, const chosen_model *chosen,
                      model_part part, int64_t batch, tw_value *in, tw_value *out);

/* What it takes: types of one example. */
typedef struct model_inputs {
    const char *model;
    int n;
    tw_type type[MODEL_INPUTS];
    char name[MODEL_INPUTS][64];
} model_inputs;
bool model_describe_inputs(tw_context *context, const chosen_model *chosen, model_inputs *out);

/* Parts of help pages: the built-in models and what else MODEL may be. */
void model_print_help(void);

#endif
