/* Defaults and ranges of an optimiser's options, and patterns of paths. */
#include "optim/settings.h"

#include <string.h>

#include "ir/graph.h"
#include "optim/schedule.h"

double settings_number(double given, double fallback) {
    if (given == TW_ZERO) return 0;
    return given == 0 ? fallback : given;
}

/* NaN is in no range. */
static bool in_range(tw_graph *graph, const char *name, double number, double low, double high) {
    if (number >= low && number <= high) return true;
    graph_error(graph, TW_ERR_ARGUMENT, "tw_minimize: %s is %g, expected %g to %g", name, number,
                low, high);
    return false;
}

/* Each kind's own defaults. Adafactor's epsilon depends on the element type: 0 stays. */
static const struct {
    double rate, momentum, beta2, epsilon;
} defaults[] = {
    [TW_SGD] = {1e-2, 0.9, 0.999, 1e-8},      [TW_MOMENTUM] = {1e-2, 0.9, 0.999, 1e-8},
    [TW_ADAM] = {1e-3, 0.9, 0.999, 1e-8},     [TW_ADAMW] = {1e-3, 0.9, 0.999, 1e-8},
    [TW_ADAGRAD] = {1e-2, 0.9, 0.999, 1e-10}, [TW_RMSPROP] = {1e-2, 0, 0.99, 1e-8},
    [TW_ADAFACTOR] = {1e-2, 0.9, 0.999, 0},   [TW_LAMB] = {1e-3, 0.9, 0.999, 1e-6},
    [TW_LION] = {1e-4, 0.9, 0.99, 1e-8},
};

static void fill(tw_optimizer *out) {
    tw_optimizer_kind kind = out->kind;
    if (!out->microbatches) out->microbatches = 1;
    if (!out->name) out->name = "optimizer";
    out->rate = settings_number(out->rate, defaults[kind].rate);
    out->momentum = settings_number(out->momentum, defaults[kind].momentum);
    out->dampening = settings_number(out->dampening, 0);
    out->beta1 = settings_number(out->beta1, 0.9);
    out->beta2 = settings_number(out->beta2, defaults[kind].beta2);
    /* Adafactor squares it, so that this is an exact zero there. */
    if (kind == TW_ADAFACTOR && out->epsilon == TW_ZERO) out->epsilon = 0x1p-1000;
    out->epsilon = settings_number(out->epsilon, defaults[kind].epsilon);
    out->accumulator = settings_number(out->accumulator, 0);
    out->power = settings_number(out->power, 0.8);
    out->least = settings_number(out->least, 1e-3);
    out->clip_update = settings_number(out->clip_update, 1);
    out->weight_decay = settings_number(out->weight_decay, 0);
    out->clip_value = settings_number(out->clip_value, 0);
    out->clip_norm = settings_number(out->clip_norm, 0);
}

static bool groups_are_good(tw_graph *graph, const tw_optimizer *o) {
    if (o->n_groups < 0 || (o->n_groups && !o->groups)) {
        graph_error(graph, TW_ERR_ARGUMENT, "tw_minimize: %d groups at a NULL pointer or fewer",
                    o->n_groups);
        return false;
    }
    for (int i = 0; i < o->n_groups; i++) {
        const tw_optimizer_group *group = &o->groups[i];
        if (!group->parameters) {
            graph_error(graph, TW_ERR_ARGUMENT,
                        "tw_minimize: group %d has no patterns in .parameters", i);
            return false;
        }
        if (!in_range(graph, "a group's rate_factor", settings_number(group->rate_factor, 1), 0,
                      1e30) ||
            !in_range(graph, "a group's weight_decay", settings_number(group->weight_decay, 0), 0,
                      1e30))
            return false;
    }
    return true;
}

static bool switches_agree(tw_graph *graph, const tw_optimizer *o) {
    const char *wrong = NULL;
    if (o->nesterov && o->kind != TW_MOMENTUM) wrong = "nesterov is for TW_MOMENTUM";
    if (o->nesterov && o->dampening != 0) wrong = "nesterov and dampening exclude each other";
    if (o->amsgrad && o->kind != TW_ADAM && o->kind != TW_ADAMW)
        wrong = "amsgrad is for TW_ADAM and TW_ADAMW";
    if (o->centered && o->kind != TW_RMSPROP) wrong = "centered is for TW_RMSPROP";
    if (!*o->name || o->name[0] == '/' || o->name[strlen(o->name) - 1] == '/')
        wrong = "name is empty or has a / at an end";
    if (wrong) graph_error(graph, TW_ERR_ARGUMENT, "tw_minimize: %s", wrong);
    return !wrong;
}

bool settings_fill(tw_graph *graph, const tw_optimizer *given, tw_optimizer *out) {
    *out = given ? *given : (tw_optimizer){0};
    if (!out->kind) out->kind = TW_SGD;
    if (out->kind < TW_SGD || out->kind > TW_LION) {
        graph_error(graph, TW_ERR_ARGUMENT, "tw_minimize: there is no optimizer kind %d",
                    (int)out->kind);
        return false;
    }
    fill(out);
    const double below_one = 1 - 0x1p-53, most = 1e30;
    const char *wrong = schedule_problem(&out->schedule);
    if (wrong) graph_error(graph, TW_ERR_ARGUMENT, "tw_minimize: schedule: %s", wrong);
    return !wrong && in_range(graph, "rate", out->rate, 0, most) &&
           in_range(graph, "momentum", out->momentum, 0, below_one) &&
           in_range(graph, "dampening", out->dampening, 0, 1) &&
           in_range(graph, "beta1", out->beta1, 0, below_one) &&
           in_range(graph, "beta2", out->beta2, 0, below_one) &&
           in_range(graph, "epsilon", out->epsilon, 0, most) &&
           in_range(graph, "accumulator", out->accumulator, 0, most) &&
           in_range(graph, "power", out->power, 0, 1) &&
           in_range(graph, "least", out->least, 0, most) &&
           in_range(graph, "clip_update", out->clip_update, 0x1p-100, most) &&
           in_range(graph, "weight_decay", out->weight_decay, 0, most) &&
           in_range(graph, "clip_value", out->clip_value, 0, most) &&
           in_range(graph, "clip_norm", out->clip_norm, 0, most) &&
           in_range(graph, "microbatches", out->microbatches, 1, 1 << 16) &&
           groups_are_good(graph, out) && switches_agree(graph, out);
}

/* The pattern is `length` bytes. Greedy with one point of return: the last star. */
static bool pattern_matches(const char *pattern, size_t length, const char *path) {
    size_t at = 0, star = length;
    const char *retry = path;
    while (*path) {
        if (at < length && pattern[at] == '*') {
            star = at++;
            retry = path;
        } else if (at < length && pattern[at] == *path) {
            at++, path++;
        } else if (star < length) {
            at = star + 1;
            path = ++retry;
        } else {
            return false;
        }
    }
    while (at < length && pattern[at] == '*') at++;
    return at == length;
}

bool pattern_list_matches(const char *patterns, const char *path) {
    while (*patterns) {
        size_t length = strcspn(patterns, " ");
        if (length && pattern_matches(patterns, length, path)) return true;
        patterns += length;
        patterns += strspn(patterns, " ");
    }
    return false;
}
