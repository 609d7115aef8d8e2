/* jit: a model function traced and compiled once for each set of input types. */
#include <stdio.h>

#include "base/vector.h"
#include "ir/dimension.h"
#include "ir/graph.h"
#include "runtime/tensor.h"

typedef struct trace {
    tw_type *type; /* of each input; axis 0 of an open one is the symbol's handle */
    tw_program *program;
} trace;

struct tw_jit {
    object object;
    tw_store *store;
    tw_function function;
    int n_in, n_out;
    void *config;
    bool training, check;
    size_t memory;
    char *open; /* n_in letters */
    VECTOR(trace) traces;
};

static void jit_destroy(object *head) {
    tw_jit *jit = (tw_jit *)head;
    for (size_t i = 0; i < jit->traces.count; i++) {
        context_release(head->context, jit->traces.at[i].type);
        object_drop(jit->traces.at[i].program);
    }
    VECTOR_FREE(head->context, &jit->traces);
    context_release(head->context, jit->config);
    context_release(head->context, jit->open);
    object_drop(jit->store);
}

/* A letter or '-' for each input, and nothing else. */
static bool open_is_valid(const char *open, int n_in) {
    if (!open) return true;
    if (strlen(open) != (size_t)n_in) return false;
    for (; *open; open++)
        if (*open != '-' && (*open < 'a' || *open > 'z')) return false;
    return true;
}

/* Copies what the jit keeps; false when memory is out. */
static bool keep(tw_jit *jit, const void *config, size_t config_size, const char *open) {
    tw_context *context = jit->object.context;
    jit->config = context_allocate(context, config_size + 1, 1);
    jit->open = context_allocate(context, (size_t)jit->n_in + 1, 1);
    if (!jit->config || !jit->open) return false;
    if (config_size) memcpy(jit->config, config, config_size);
    for (int i = 0; i < jit->n_in; i++) jit->open[i] = open ? open[i] : '-';
    return true;
}

tw_jit *tw_jit_new(tw_context *context, tw_store *store, tw_function function, int n_in, int n_out,
                   const void *config, size_t config_size, const tw_jit_opts *opts) {
    if (!context) return NULL;
    if (!function || (!config && config_size)) {
        context_error(context, TW_ERR_NULL, "tw_jit_new: no function or no configuration given");
        return NULL;
    }
    if (n_in < 0 || n_out < 0 || n_in > 1024 || n_out > 1024 ||
        (opts && !open_is_valid(opts->open, n_in))) {
        context_error(context, TW_ERR_ARGUMENT,
                      "tw_jit_new: 0 to 1024 inputs and outputs, and for each input a letter a-z "
                      "or '-' in .open, are expected");
        return NULL;
    }
    tw_jit *jit = object_new(context, sizeof *jit, jit_destroy);
    if (!jit) return NULL;
    jit->function = function;
    jit->n_in = n_in;
    jit->n_out = n_out;
    jit->training = opts && opts->training;
    jit->check = opts && opts->check;
    jit->memory = opts ? opts->memory : 0;
    jit->store = object_hold(store);
    if (keep(jit, config, config_size, opts ? opts->open : NULL)) return jit;
    object_drop(jit);
    return NULL;
}

void tw_jit_free(tw_jit *jit) { object_drop(jit); }

/* The type under which input i is traced. */
static tw_type traced_type(const tw_jit *jit, int i, tw_type given) {
    if (jit->open[i] == '-' || given.shape.rank == 0) return given;
    char name[2] = {jit->open[i], '\0'};
    given.shape.dim[0] = tw_symbol(jit->object.context, name);
    return given;
}

static const trace *find_trace(const tw_jit *jit, tw_tensor *const *in) {
    for (size_t i = 0; i < jit->traces.count; i++) {
        const trace *it = &jit->traces.at[i];
        bool same = true;
        for (int k = 0; k < jit->n_in && same; k++) {
            tw_type type = traced_type(jit, k, in[k]->type);
            same = type_equal(type, it->type[k]);
        }
        if (same) return it;
    }
    return NULL;
}

/* The function as a graph of symbolic inputs, compiled. NULL with the context's error. */
static tw_program *compile(const tw_jit *jit, const tw_type *type, tw_value *value) {
    tw_context *context = jit->object.context;
    tw_graph *graph =
        tw_graph_new(context, jit->store, TW_SYMBOLIC, &(tw_graph_opts){.training = jit->training});
    if (!graph) return NULL;
    tw_value *in = value, *out = value + jit->n_in;
    for (int i = 0; i < jit->n_in; i++) {
        char name[16];
        snprintf(name, sizeof name, "in%d", i);
        in[i] = tw_input(graph, name, type[i].dtype, type[i].shape);
    }
    jit->function(graph, in, out, jit->config);
    tw_program *program =
        tw_compile(graph, jit->n_in, in, jit->n_out, out,
                   &(tw_compile_opts){.check = jit->check, .memory = jit->memory});
    tw_graph_free(graph);
    return program;
}

static const trace *add_trace(tw_jit *jit, tw_tensor *const *in) {
    tw_context *context = jit->object.context;
    size_t n = (size_t)jit->n_in + (size_t)jit->n_out;
    tw_type *type = context_allocate(context, (size_t)jit->n_in + 1, sizeof *type);
    tw_value *value = context_allocate(context, n + 1, sizeof *value);
    trace made = {type, NULL}, *place = NULL;
    if (type && value) {
        for (int i = 0; i < jit->n_in; i++) type[i] = traced_type(jit, i, in[i]->type);
        made.program = compile(jit, type, value);
    }
    if (made.program) place = VECTOR_PUSH(context, &jit->traces);
    context_release(context, value);
    if (place) {
        *place = made;
        return place;
    }
    context_release(context, type);
    object_drop(made.program);
    return NULL;
}

/* The program for these inputs; NULL with the context's error. */
static tw_program *program_for(tw_jit *jit, tw_tensor *const *in, const char *who) {
    tw_context *context = jit->object.context;
    for (int i = 0; i < jit->n_in; i++) {
        if (in && in[i]) continue;
        context_error(context, TW_ERR_NULL, "%s: input %d is NULL", who, i);
        return NULL;
    }
    const trace *it = find_trace(jit, in);
    if (!it) it = add_trace(jit, in);
    return it ? it->program : NULL;
}

tw_status tw_jit_plan(tw_jit *jit, tw_tensor *const *in, tw_memory *out) {
    if (!jit || !out) return TW_ERR_NULL;
    tw_program *program = program_for(jit, in, "tw_jit_plan");
    return program ? tw_program_plan(program, in, out) : jit->object.context->status;
}

tw_status tw_jit_run(tw_jit *jit, tw_tensor *const *in, tw_tensor **out) {
    if (!jit) return TW_ERR_NULL;
    tw_program *program = program_for(jit, in, "tw_jit_run");
    return program ? tw_run(program, in, out) : jit->object.context->status;
}
