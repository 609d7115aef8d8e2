/* A training run by the command line's settings. */
#ifndef CLI_TRAINING_H
#define CLI_TRAINING_H

#include "cli/data.h"
#include "cli/optimizer.h"

/* Ended by a signal after a checkpoint: sysexits' EX_TEMPFAIL, "try again", and the shell's code. */
enum { TRAINING_TERMINATED = 75, TRAINING_INTERRUPTED = 130 };

typedef struct training_settings {
    model_choice model;
    data_choice data;
    optimizer_choice optimizer;
    const char *held_out;             /* --val: a path or a fraction */
    const char *out, *lines, *memory; /* memory: --memory, NULL for none */
    int64_t epochs, batch, seed, threads, eval_every, save_every, keep, patience;
    bool resume, overwrite, check;
} training_settings;

/* Trains, printing as it goes; gives the exit code. */
int training_run(tw_context *context, const training_settings *settings,
                 const chosen_model *chosen);

#endif
