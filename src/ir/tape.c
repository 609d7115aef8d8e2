/*
 * Tapes of immediate graphs: what a step appended is freed at the tape's end. The outermost end
 * commits the step's assigns; a nested end hands its assigns to the tape around it.
 */
#include "ir/graph.h"

void tw_tape_begin(tw_graph *graph) {
    if (!graph) return;
    module *module = graph->module;
    tape_frame *frame = VECTOR_PUSH(module->context, &graph->tapes);
    if (!frame) {
        graph_error(graph, TW_ERR_MEMORY, "out of memory for a tape");
        return;
    }
    *frame = (tape_frame){.tape = graph->tape,
                          .nodes = graph->nodes.count,
                          .values = graph->values.count,
                          .variables = graph->variables.count,
                          .assigns = graph->assigns.count,
                          .functions = module->functions.count,
                          .scopes = graph->scopes.count,
                          .skipped = graph->skipped,
                          .source = graph->meta.source,
                          .mark = arena_save(&module->arena)};
    frame->outer = arena_allocate(&module->arena, frame->variables, sizeof *frame->outer);
    for (size_t i = 0; frame->outer && i < frame->variables; i++)
        frame->outer[i] =
            (struct version){graph->variables.at[i].initial, graph->variables.at[i].current};
    if (!frame->outer) graph_error(graph, TW_ERR_MEMORY, "out of memory for a tape");
    graph->tape = ++graph->next_tape;
    if (graph->tapes.count > 1) return;
    graph->run_counted = false;
    graph->draws.count = 0;
}

/* What outlives a tape: a value to keep, or a variable's last binding in a nested tape. */
typedef struct survivor {
    void *tensor;       /* one hold */
    variable_spec spec; /* a binding's; the path is a copy */
} survivor;

static survivor survive(tw_graph *graph, uint32_t id) {
    const value *it = &graph->values.at[id];
    survivor kept = {.tensor = graph->module->context->executor->hold(it->tensor)};
    kept.spec.type = it->type;
    return kept;
}

static bool keep_values(tw_graph *graph, int n, const tw_value *keep, survivor *out) {
    for (int i = 0; i < n; i++) {
        uint32_t id = graph_resolve(graph, keep[i]);
        if (id == ABSENT) return false;
        out[i] = survive(graph, id);
    }
    return true;
}

/* The variables that a nested tape assigned, each with its last binding. */
static bool keep_bindings(tw_graph *graph, const tape_frame *frame, survivor *out) {
    tw_context *context = graph->module->context;
    for (size_t i = frame->assigns; i < graph->assigns.count; i++) {
        const graph_variable *variable = &graph->variables.at[graph->assigns.at[i].variable];
        if (variable->current != graph->assigns.at[i].value) continue;
        size_t length = strlen(variable->spec.path) + 1;
        char *path = context_allocate(context, length, 1);
        if (!path) {
            graph_error(graph, TW_ERR_MEMORY, "out of memory at a tape's end");
            return false;
        }
        memcpy(path, variable->spec.path, length);
        out[i - frame->assigns] = survive(graph, variable->current);
        out[i - frame->assigns].spec = variable->spec;
        out[i - frame->assigns].spec.path = path;
    }
    return true;
}

static void forget_ids(uint32_t *ids, size_t *count, size_t values) {
    size_t kept = 0;
    for (size_t i = 0; i < *count; i++)
        if (ids[i] < values) ids[kept++] = ids[i];
    *count = kept;
}

static void truncate_to(tw_graph *graph, const tape_frame *frame) {
    for (size_t i = 0; frame->outer && i < frame->variables; i++) {
        graph->variables.at[i].initial = frame->outer[i].initial;
        graph->variables.at[i].current = frame->outer[i].current;
    }
    graph_drop_tensors(graph, frame->values);
    forget_ids(graph->inputs.at, &graph->inputs.count, frame->values);
    forget_ids(graph->outputs.at, &graph->outputs.count, frame->values);
    graph->nodes.count = frame->nodes;
    graph->values.count = frame->values;
    graph->variables.count = frame->variables;
    graph->assigns.count = frame->assigns;
    graph->scopes.count = frame->scopes;
    graph_drop_functions(graph, frame->functions);
    arena_restore(&graph->module->arena, frame->mark);
    graph->tape = frame->tape;
    graph->skipped = frame->skipped;
    graph->meta.source = frame->source;
    graph->tapes.count--;
    if (graph->random_run > frame->variables) graph->random_run = 0;
}

/* A leaf of the outer tape; takes over the survivor's hold. */
static tw_value leave(tw_graph *graph, survivor *kept) {
    uint32_t leaf = graph_leaf(graph, kept->spec.type, kept->tensor);
    kept->tensor = NULL;
    return graph_handle(graph, leaf == ABSENT ? 0 : leaf);
}

static void rebind(tw_graph *graph, survivor *kept) {
    if (!kept->tensor) return;
    tw_value variable = graph_declare(graph, kept->spec.path, kept->spec.type, kept->spec.init,
                                      kept->spec.trainable);
    tw_assign(variable, leave(graph, kept));
}

/* Before anything is dropped: is the tape whole, and can its assigns be committed? */
static void finish(tw_graph *graph, const tape_frame *frame, bool outermost) {
    tw_context *context = graph->module->context;
    if (graph->scopes.count > frame->scopes)
        graph_error(graph, TW_ERR_ARGUMENT, "scope \"%s\" was begun in a tape and never ended",
                    graph->scopes.at[graph->scopes.count - 1]);
    if (!outermost) return;
    graph_count_run(graph);
    if (graph->status) return;
    tw_status committed = context->executor->commit(graph, frame->assigns);
    if (committed) graph_error(graph, committed, "%s", tw_message(context));
}

/* The end itself; kept[] has room for the n values and then every assign of the tape. */
static void end_tape(tw_graph *graph, int n, tw_value *keep, survivor *kept) {
    tape_frame frame = graph->tapes.at[graph->tapes.count - 1];
    bool outermost = graph->tapes.count == 1;
    bool drew = graph->random_run > 0;
    size_t bindings = outermost ? 0 : graph->assigns.count - frame.assigns;
    bool whole =
        keep_values(graph, n, keep, kept) && (outermost || keep_bindings(graph, &frame, kept + n));
    if (whole) finish(graph, &frame, outermost);
    bool good = graph->status == TW_OK;
    truncate_to(graph, &frame);
    tw_status first = graph->status;
    graph->status = TW_OK; /* the error ends with the tape */
    for (int i = 0; i < n; i++)
        keep[i] = kept[i].tensor ? leave(graph, &kept[i]) : graph_handle(graph, 0);
    for (size_t i = 0; good && i < bindings; i++) rebind(graph, &kept[(size_t)n + i]);
    if (!outermost && drew && !graph->random_run) graph_random_run(graph);
    if (first) graph->status = first;
}

tw_status tw_tape_end(tw_graph *graph, int n, tw_value *keep) {
    if (!graph) return TW_ERR_NULL;
    if (graph->tapes.count == 0)
        return graph_error(graph, TW_ERR_ARGUMENT, "tw_tape_end without a tw_tape_begin before it");
    tw_context *context = graph->module->context;
    if (n < 0 || (n && !keep)) {
        graph_error(graph, TW_ERR_NULL, "tw_tape_end: keep[] is missing");
        n = 0;
    }
    size_t room = (size_t)n + graph->assigns.count + 1;
    survivor *kept = context_allocate(context, room, sizeof *kept);
    if (kept) {
        end_tape(graph, n, keep, kept);
    } else {
        tape_frame frame = graph->tapes.at[graph->tapes.count - 1];
        graph_error(graph, TW_ERR_MEMORY, "out of memory at a tape's end");
        for (int i = 0; i < n; i++) keep[i] = graph_handle(graph, 0);
        truncate_to(graph, &frame);
    }
    for (size_t i = 0; kept && i < room; i++) {
        if (kept[i].tensor) context->executor->drop(kept[i].tensor);
        context_release(context, (void *)(uintptr_t)kept[i].spec.path);
    }
    context_release(context, kept);
    tw_status status = graph->status;
    graph->status = TW_OK;
    return status ? context_error(context, status, "%s", graph->message) : TW_OK;
}
