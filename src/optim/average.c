/* tw_average: exponential moving averages of the weights, kept beside them. */
#include <thalweg/init.h>
#include <thalweg/operators.h>

#include "ir/graph.h"
#include "optim/settings.h"

/* 0 at the first call, then the decay, from n / (n + 9) on with a ramp. */
static tw_value share_kept(tw_value step, double decay, bool ramp) {
    tw_value n = tw_cast(step, TW_F64), keep = tw_literal(n, decay);
    if (ramp) keep = tw_min(keep, tw_div(tw_shift(n, 1), tw_shift(n, 10)));
    return tw_select(tw_compare(TW_EQ, n, tw_literal(n, 0)), tw_literal(n, 0), keep);
}

static bool average_variable(tw_graph *graph, tw_value w, tw_value keep) {
    const char *path = arena_format(&graph->module->arena, "average/%s", tw_path(w));
    if (!path) {
        graph_error(graph, TW_ERR_MEMORY, "tw_average: out of memory");
        return false;
    }
    graph->meta.scope = path;
    tw_value a = graph_declare(graph, path, tw_type_of(w), tw_zeros_init(), false);
    const tw_value in[] = {a, w, tw_cast(keep, tw_dtype_of(w))};
    tw_assign(a, tw_apply(graph, "average_update", 3, in, NULL, NULL));
    return !graph->status;
}

static bool is_averaged(const graph_variable *variable, const tw_average_opts *opts) {
    if (!variable->spec.trainable) return false;
    return !opts->parameters || pattern_list_matches(opts->parameters, variable->spec.path);
}

static void append_averages(tw_graph *graph, const tw_average_opts *opts, double decay) {
    size_t count = graph->variables.count; /* without those declared below */
    int found = 0;
    tw_type scalar = {TW_I64, TW_SHAPE()};
    tw_value step = graph_declare(graph, "average/step", scalar, tw_zeros_init(), false);
    tw_value keep = share_kept(step, decay, opts->ramp);
    for (size_t i = 0; i < count && !graph->status; i++) {
        if (!is_averaged(&graph->variables.at[i], opts)) continue;
        tw_value w = graph_handle(graph, graph->variables.at[i].reference);
        if (!average_variable(graph, w, keep)) return;
        found++;
    }
    if (graph->status) return;
    graph->meta.scope = "average";
    if (found)
        tw_assign(step, tw_add(step, tw_full(graph, TW_I64, TW_SHAPE(), 1)));
    else
        graph_error(graph, TW_ERR_ARGUMENT,
                    "tw_average: the graph has no parameter%s; tw_parameter makes them",
                    opts->parameters ? " that matches" : "");
}

void tw_average(tw_graph *graph, const tw_average_opts *opts) {
    if (!graph || graph->status) return;
    const tw_average_opts chosen = opts ? *opts : (tw_average_opts){0};
    double decay = settings_number(chosen.decay, 0.999);
    if (!(decay >= 0 && decay <= 1)) {
        graph_error(graph, TW_ERR_ARGUMENT, "tw_average: decay is %g, expected 0 to 1", decay);
        return;
    }
    node_meta meta = graph->meta;
    bool fixed = graph->scope_fixed;
    graph->meta = (node_meta){.phase = PHASE_UPDATE, .scope = "average"};
    graph->scope_fixed = true;
    append_averages(graph, &chosen, decay);
    graph->meta = meta;
    graph->scope_fixed = fixed;
}
