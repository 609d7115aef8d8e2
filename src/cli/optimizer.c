/* Names of optimisers and schedules, and what the command line takes for their other fields. */
#include "cli/optimizer.h"

#include <stdio.h>
#include <string.h>

static const char *const kinds[] = {"sgd",     "momentum",  "adam", "adamw", "adagrad",
                                    "rmsprop", "adafactor", "lamb", "lion"};
static const char *const schedules[] = {"constant",   "step",   "exponential",  "linear",
                                        "polynomial", "cosine", "inverse-root", "one-cycle"};
enum {
    KINDS = sizeof kinds / sizeof kinds[0],
    SCHEDULES = sizeof schedules / sizeof schedules[0],
    STEP_PARTS = 3 /* --schedule step: a tenth of the rate from each third on */
};
static const double exponential_end = 0.01; /* --schedule exponential: this share at the end */

/* Index in the list, -1 after a message. */
static int look_up(const char *what, const char *word, int n, const char *const *names) {
    char list[256] = "";
    for (int i = 0; i < n; i++) {
        if (!strcmp(names[i], word)) return i;
        snprintf(list + strlen(list), sizeof list - strlen(list), " %s", names[i]);
    }
    const char *near = cli_nearest(word, n, names);
    if (near)
        cli_misuse("no %s '%s'; did you mean '%s'?", what, word, near);
    else
        cli_misuse("no %s '%s'; there are:%s", what, word, list);
    return -1;
}

/* Another kind starts from its own defaults; what is no formula's stays. */
static void change_kind(tw_optimizer *optimizer, tw_optimizer_kind kind) {
    const tw_optimizer was = *optimizer;
    if ((was.kind ? was.kind : TW_SGD) == kind) return;
    *optimizer = (tw_optimizer){.kind = kind,
                                .weight_decay = was.weight_decay,
                                .no_decay = was.no_decay,
                                .parameters = was.parameters,
                                .frozen = was.frozen,
                                .groups = was.groups,
                                .n_groups = was.n_groups,
                                .clip_value = was.clip_value,
                                .clip_norm = was.clip_norm,
                                .microbatches = was.microbatches,
                                .schedule = was.schedule,
                                .name = was.name};
}

static void change_schedule(tw_schedule *schedule, tw_schedule_kind kind, int64_t steps) {
    *schedule = (tw_schedule){.kind = kind, .steps = steps};
    if (kind == TW_CONSTANT_RATE || kind == TW_INVERSE_ROOT) schedule->steps = 0;
    if (kind == TW_STEP_DECAY)
        *schedule = (tw_schedule){.kind = kind, .every = (steps + STEP_PARTS - 1) / STEP_PARTS};
    if (kind == TW_EXPONENTIAL_DECAY)
        *schedule = (tw_schedule){.kind = kind, .every = steps, .decay = exponential_end};
}

int optimizer_choose(const optimizer_choice *choice, int64_t steps, tw_optimizer *optimizer) {
    if (choice->kind) {
        int kind = look_up("optimizer", choice->kind, KINDS, kinds);
        if (kind < 0) return CLI_MISUSED;
        change_kind(optimizer, (tw_optimizer_kind)(kind + 1));
    }
    if (choice->schedule) {
        int kind = look_up("schedule", choice->schedule, SCHEDULES, schedules);
        if (kind < 0) return CLI_MISUSED;
        change_schedule(&optimizer->schedule, (tw_schedule_kind)(kind + 1), steps);
    }
    if (choice->warmup) {
        if (choice->warmup >= steps)
            return cli_misuse("--warmup %lld is not less than the training's %lld steps",
                              (long long)choice->warmup, (long long)steps);
        optimizer->schedule.warmup = choice->warmup;
        if (!optimizer->schedule.kind) optimizer->schedule.kind = TW_CONSTANT_RATE;
    }
    if (choice->rate > 0) optimizer->rate = choice->rate;
    if (choice->clip > 0) optimizer->clip_norm = choice->clip;
    if (choice->weight_decay > 0) optimizer->weight_decay = choice->weight_decay;
    return CLI_FINE;
}

const char *optimizer_name(const tw_optimizer *optimizer) {
    int kind = optimizer->kind ? optimizer->kind - 1 : 0;
    return kind >= 0 && kind < KINDS ? kinds[kind] : "?";
}

double optimizer_rate(const tw_optimizer *optimizer, int64_t step) {
    /* optim.h's defaults */
    static const double rates[KINDS] = {1e-2, 1e-2, 1e-3, 1e-3, 1e-2, 1e-2, 1e-2, 1e-3, 1e-4};
    int kind = optimizer->kind ? optimizer->kind - 1 : 0;
    double rate = optimizer->rate;
    if (rate == 0 && kind >= 0 && kind < KINDS) rate = rates[kind];
    return tw_schedule_rate(&optimizer->schedule, rate, step);
}
