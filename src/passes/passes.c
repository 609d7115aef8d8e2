/* The list of passes and the pipeline. */
#include "passes/passes.h"

#include <stdio.h>

#include "base/text.h"
#include "ir/verify.h"

/* What nothing reads: every walk leaves it out, and so this one has nothing else to do. */
static const pass dead_pass = {.name = "dead", .about = "what nothing reads goes"};

static const pass *const list[] = {&pool_pass,           &expand_pass,         &fold_pass,
                                   &simplify_pass,       &sink_pass,           &common_pass,
                                   &order_pass,          &dead_pass,           &recompute_passes[0],
                                   &recompute_passes[1], &recompute_passes[2], &recompute_passes[3],
                                   &recompute_passes[4], &spread_pass,         &fuse_pass,
                                   &schedule_pass,       &merge_pass};
enum { PASSES = sizeof list / sizeof *list };

const pass *passes_at(int i) { return i >= 0 && i < PASSES ? list[i] : NULL; }

const char *tw_pass_name(int i, const char **about) {
    const pass *it = passes_at(i);
    if (about) *about = it ? it->about : NULL;
    return it ? it->name : NULL;
}

static const pass *find(const char *name, size_t length) {
    for (int i = 0; i < PASSES; i++)
        if (strlen(list[i]->name) == length && !strncmp(list[i]->name, name, length))
            return list[i];
    return NULL;
}

/* Sharing tells `order` what is read twice, and finds what its chains have in common. */
void passes_choose(bool generates, int level, char names[PASSES_NAMES]) {
    snprintf(names, PASSES_NAMES, "pool %sfold simplify sink common order common dead %s %s",
             generates ? "expand " : "", level ? recompute_passes[level - 1].name : "",
             generates ? "spread fuse schedule merge" : "");
}

static tw_graph *apply(tw_graph *graph, const pass *pass, bool verify) {
    tw_graph *after = rewrite_run(graph, pass);
    if (!after) return NULL;
    return verify && tw_graph_verify(after) ? NULL : after;
}

static tw_graph *refuse(tw_graph *graph, const char *name, size_t length) {
    tw_context *context = graph->module->context;
    text known = {.context = context};
    for (int i = 0; i < PASSES; i++) text_add(&known, "%s%s", i ? ", " : "", list[i]->name);
    context_error(context, TW_ERR_NOT_FOUND, "there is no pass \"%.*s\"; there are %s", (int)length,
                  name, known.failed ? "others" : known.at);
    text_drop(&known);
    return NULL;
}

tw_graph *passes_run(tw_graph *given, const char *names, bool verify) {
    tw_graph *graph = given;
    char all[PASSES_NAMES];
    passes_choose(true, 0, all);
    if (!names) names = all;
    while (graph && *(names += strspn(names, " "))) {
        size_t length = strcspn(names, " ");
        const pass *pass = find(names, length);
        if (!pass) return refuse(graph, names, length);
        tw_graph *before = graph;
        graph = apply(before, pass, verify);
        if (graph && before != given) graph_empty(before);
        names += length;
    }
    return graph;
}

/* What `print` gives of the graph after the passes. */
static char *after_passes(tw_graph *graph, const char *passes, char *(*print)(tw_graph *)) {
    if (!graph) return NULL;
    size_t functions = graph->module->functions.count;
    tw_graph *after = passes_run(graph, passes, true);
    char *text = after ? print(after) : NULL;
    graph_drop_functions(graph, functions);
    return text;
}

char *tw_graph_print_passes(tw_graph *graph, const char *passes) {
    return after_passes(graph, passes, tw_graph_print);
}

char *tw_graph_dot_passes(tw_graph *graph, const char *passes) {
    return after_passes(graph, passes, tw_graph_dot);
}
