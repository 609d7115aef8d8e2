/* The optimiser that the options ask for, on top of the model's own. */
#ifndef CLI_OPTIMIZER_H
#define CLI_OPTIMIZER_H

#include <thalweg/optim.h>

#include "cli/cli.h"

typedef struct optimizer_choice {
    const char *kind, *schedule;     /* NULL: the model's */
    double rate, clip, weight_decay; /* 0: the model's */
    int64_t warmup;                  /* steps */
} optimizer_choice;

/* `steps`: of the whole training. CLI_FINE, or the code after a message. */
int optimizer_choose(const optimizer_choice *choice, int64_t steps, tw_optimizer *optimizer);
/* "adam" */
const char *optimizer_name(const tw_optimizer *optimizer);
double optimizer_rate(const tw_optimizer *optimizer, int64_t step);

#endif
