/* Defaults and ranges of an optimiser's options, and patterns of paths. */
#include "optim/settings.h"

#include <string.h>

#include "ir/graph.h"

static double chosen(double given, double fallback) {
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

bool settings_fill(tw_graph *graph, const tw_optimizer *given, tw_optimizer *out) {
    *out = given ? *given : (tw_optimizer){0};
    if (!out->kind) out->kind = TW_SGD;
    if (out->kind < TW_SGD || out->kind > TW_ADAMW) {
        graph_error(graph, TW_ERR_ARGUMENT, "tw_minimize: there is no optimizer kind %d",
                    (int)out->kind);
        return false;
    }
    if (!out->microbatches) out->microbatches = 1;
    out->rate = chosen(out->rate, out->kind >= TW_ADAM ? 1e-3 : 1e-2);
    out->momentum = chosen(out->momentum, 0.9);
    out->beta1 = chosen(out->beta1, 0.9);
    out->beta2 = chosen(out->beta2, 0.999);
    out->epsilon = chosen(out->epsilon, 1e-8);
    out->weight_decay = chosen(out->weight_decay, 0);
    out->clip_norm = chosen(out->clip_norm, 0);
    const double below_one = 1 - 0x1p-53, most = 1e30;
    return in_range(graph, "rate", out->rate, 0, most) &&
           in_range(graph, "momentum", out->momentum, 0, below_one) &&
           in_range(graph, "beta1", out->beta1, 0, below_one) &&
           in_range(graph, "beta2", out->beta2, 0, below_one) &&
           in_range(graph, "epsilon", out->epsilon, 0, most) &&
           in_range(graph, "weight_decay", out->weight_decay, 0, most) &&
           in_range(graph, "clip_norm", out->clip_norm, 0, most) &&
           in_range(graph, "microbatches", out->microbatches, 1, 1 << 16);
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
