/* Programs: compiling, freeing, printing. */
#include "runtime/program.h"

#include <stdint.h>
#include <stdio.h>

#include "ir/dimension.h"
#include "passes/passes.h"

static void program_destroy(object *head) {
    tw_program *program = (tw_program *)head;
    context_release_aligned(head->context, program->memory);
    if (program->arena.context) arena_end(&program->arena);
    object_drop(program->store);
    code_free(program->code);
}

void tw_program_free(tw_program *program) { object_drop(program); }

/* The values behind handles; false with the context's error. */
static bool resolve(tw_graph *graph, int n, const tw_value *handle, uint32_t *out) {
    for (int i = 0; i < n; i++) {
        out[i] = graph_resolve(graph, handle[i]);
        if (out[i] != ABSENT) continue;
        if (!graph->status)
            graph_error(graph, TW_ERR_NULL, "tw_compile: value %d is absent or poisoned", i);
        return false;
    }
    return true;
}

/* Variables come to be in the store once the whole compilation has succeeded. */
static tw_status declare_variables(tw_program *program) {
    const struct code *code = program->code;
    tw_store *store = program->store;
    if (!code->variables.count) return TW_OK;
    if (!store)
        return context_error(program->object.context, TW_ERR_NULL,
                             "the graph has variables, so tw_graph_new needs a store");
    size_t before = store->table.specs.count;
    for (size_t i = 0; i < code->variables.count; i++) {
        program->variable[i] = variable_declare(&store->table, &code->variables.at[i].spec);
        if (program->variable[i] >= 0) continue;
        variable_table_truncate(&store->table, before);
        return program->object.context->status;
    }
    return TW_OK;
}

/* The inputs of the graph after the passes are in the order of those before. */
static uint32_t same_input(const tw_graph *before, const tw_graph *after, uint32_t id) {
    for (size_t i = 0; i < before->inputs.count; i++)
        if (before->inputs.at[i] == id) return after->inputs.at[i];
    return 0; /* no input: what lowering refuses */
}

/* What the passes made lives until it is lowered. */
static tw_status lower_after_passes(struct code *code, tw_graph *graph, int n_in,
                                    const uint32_t *in, int n_out, const uint32_t *out,
                                    const tw_compile_opts *opts, int level) {
    module *module = graph->module;
    size_t functions = module->functions.count;
    arena_mark mark = arena_save(&module->arena);
    uint32_t *moved = context_allocate(module->context, (size_t)n_in + 1, sizeof *moved);
    tw_status status = moved ? TW_OK : TW_ERR_MEMORY;
    bool generates = !opts->plain && machine_target_of(module->context);
    char names[PASSES_NAMES];
    passes_choose(generates, level, names);
    tw_graph *after = moved ? passes_run(graph, names, false) : NULL;
    if (after) {
        for (int i = 0; i < n_in; i++) moved[i] = same_input(graph, after, in[i]);
        status = code_lower(code, after, n_in, moved, n_out, after->outputs.at, opts);
    } else if (!status) {
        status = graph->status ? graph->status : TW_ERR_MEMORY;
    }
    (void)out; /* they are the graph's outputs, in that order */
    context_release(module->context, moved);
    graph_drop_functions(graph, functions);
    arena_restore(&module->arena, mark);
    return status;
}

static tw_status build(tw_program *program, tw_graph *graph, int n_in, const uint32_t *in,
                       int n_out, const uint32_t *out, const tw_compile_opts *opts, int level) {
    program->code = code_new(program->object.context, opts);
    if (!program->code) return TW_ERR_MEMORY;
    bool as_built = opts->as_built || opts->reference || opts->check;
    long refused = program->object.context->refused;
    tw_status status =
        as_built ? code_lower(program->code, graph, n_in, in, n_out, out, opts)
                 : lower_after_passes(program->code, graph, n_in, in, n_out, out, opts, level);
    if (!status) status = code_arrange(program->code);
    if (!status) status = program_allocate(program);
    /* A kernel that was done without for want of memory: the program would be slow. */
    if (!status && program->object.context->refused != refused)
        status = context_error(program->object.context, TW_ERR_MEMORY,
                               "tw_compile: out of memory in the compiler");
    if (!status) status = declare_variables(program);
    return status;
}

/* A program of the graph, with as much work done again as `level` says; NULL with the context's error. */
static tw_program *attempt(tw_graph *graph, int n_in, const uint32_t *ids, int n_out,
                           const tw_compile_opts *opts, int level) {
    tw_program *program = object_new(graph->module->context, sizeof *program, program_destroy);
    if (!program) return NULL;
    arena_start(&program->arena, graph->module->context);
    program->store = object_hold(graph->store);
    if (!build(program, graph, n_in, ids, n_out, ids + n_in, opts, level)) return program;
    object_drop(program);
    return NULL;
}

/* The first one of the levels that fits the budget. */
static tw_program *fit(tw_graph *graph, int n_in, const uint32_t *ids, int n_out,
                       const tw_compile_opts *opts) {
    bool as_built = opts->as_built || opts->reference || opts->check;
    tw_memory memory, first = {0}, least = {.peak = SIZE_MAX};
    size_t before = graph->store ? graph->store->table.specs.count : 0;
    for (int level = 0; level <= (as_built ? 0 : RECOMPUTE_LEVELS); level++) {
        tw_program *program = attempt(graph, n_in, ids, n_out, opts, level);
        if (!program || !opts->memory) return program;
        tw_status status = tw_program_plan(program, NULL, &memory);
        if (!status && memory.peak <= opts->memory) return program;
        object_drop(program);
        if (graph->store) variable_table_truncate(&graph->store->table, before);
        if (status) return NULL;
        if (!level) first = memory;
        if (memory.peak < least.peak) least = memory;
    }
    memory_refuse(graph->module->context, opts->memory, &first, &least);
    return NULL;
}

static tw_program *compile(tw_graph *graph, int n_in, const tw_value *in, int n_out,
                           const tw_value *out, const tw_compile_opts *opts) {
    tw_context *context = graph->module->context;
    uint32_t *ids = context_allocate(context, (size_t)n_in + (size_t)n_out + 1, sizeof *ids);
    if (!ids) return NULL;
    if (!opts->read_only) graph_count_run(graph);
    if (resolve(graph, n_in, in, ids) && resolve(graph, n_out, out, ids + n_in))
        tw_outputs(graph, n_out, out);
    tw_program *program = NULL;
    if (graph->status)
        context_error(context, graph->status, "%s", graph->message);
    else
        program = fit(graph, n_in, ids, n_out, opts);
    context_release(context, ids);
    context_give_back(context); /* passes take more than most programs, and seldom run again */
    return program;
}

tw_program *tw_compile(tw_graph *graph, int n_in, const tw_value *in, int n_out,
                       const tw_value *out, const tw_compile_opts *opts) {
    static const tw_compile_opts none = {0};
    if (!graph) return NULL;
    tw_context *context = graph->module->context;
    if (graph->status)
        context_error(context, graph->status, "%s", graph->message);
    else if (graph->mode != TW_SYMBOLIC)
        context_error(context, TW_ERR_ARGUMENT,
                      "tw_compile wants a symbolic graph; an immediate one has computed already");
    else if (graph->scopes.count)
        context_error(context, TW_ERR_ARGUMENT, "scope \"%s\" was begun and never ended",
                      graph_scope(graph));
    else if (n_in < 0 || n_out < 0 || (n_in && !in) || (n_out && !out))
        context_error(context, TW_ERR_NULL, "tw_compile: inputs or outputs are missing");
    else
        return compile(graph, n_in, in, n_out, out, opts ? opts : &none);
    return NULL;
}

size_t tw_program_memory(const tw_program *program) { return program ? program->planned_bytes : 0; }

/* "%3:f32[2,4]"; a view or alias is named by what it reads. */
static void print_slot(const tw_program *program, uint32_t slot, text *out) {
    const struct code *code = program->code;
    if (slot == ABSENT) {
        text_add(out, "_");
        return;
    }
    const struct slot *root = &code->slots.at[code_root(code, slot)];
    switch (root->kind) {
    case SLOT_INPUT: text_add(out, "\"%s\"", code->inputs.at[root->of].name); break;
    case SLOT_VARIABLE: text_add(out, "\"%s\"", code->variables.at[root->of].spec.path); break;
    case SLOT_CONSTANT: text_add(out, "constant"); break;
    case SLOT_REGISTER: text_add(out, "r%u", root->of); break;
    default: text_add(out, "%%%u", code_root(code, slot)); break;
    }
    if (code->slots.at[slot].kind == SLOT_VIEW) text_add(out, "*");
    text_add(out, ":");
    type_print(code->context, program->is_bound ? program->type[slot] : code->slots.at[slot].type,
               out);
}

/* Where a result goes: "@offset+bytes", or the variable that it becomes. */
static void print_place(const tw_program *program, uint32_t slot, text *out) {
    const struct slot *it = &program->code->slots.at[slot];
    if (it->assigned) {
        const code_variable *variable = &program->code->variables.at[it->assigned - 1];
        text_add(out, variable->in_place ? " in \"%s\"" : " => \"%s\"", variable->spec.path);
        return;
    }
    for (uint32_t i = 0; program->is_bound && i < program->n_planned; i++)
        if (program->planned[i] == slot)
            text_add(out, " @%zu+%zu", program->items[i].offset, program->items[i].bytes);
}

static void print_instruction(const tw_program *program, const instruction *it, text *out) {
    text_add(out, "%s", it->op->name);
    if (it->generated) text_add(out, "[%s]", it->generated->name);
    text_add(out, "(");
    for (int k = 0; k < it->n_operands; k++) {
        if (k) text_add(out, ", ");
        print_slot(program, it->operand[k], out);
    }
    text_add(out, ") ->");
    for (int k = 0; k < it->n_results; k++) {
        text_add(out, k ? ", " : " ");
        print_slot(program, it->result + (uint32_t)k, out);
        print_place(program, it->result + (uint32_t)k, out);
    }
    if (*it->scope) text_add(out, " scope=\"%s\"", it->scope);
    text_add(out, "\n");
}

static void print_memory(tw_program *program, text *out) {
    tw_memory memory;
    text_add(out, "transient memory: %zu bytes\n", program->planned_bytes);
    if (tw_program_plan(program, NULL, &memory)) return;
    char *words = tw_memory_print(program->object.context, &memory);
    if (words) text_add(out, "%s\n", words);
    tw_string_free(program->object.context, words);
}

char *tw_program_print(tw_program *program) {
    if (!program || program_bind_known(program)) return NULL;
    const struct code *code = program->code;
    text out = {.context = program->object.context};
    for (size_t g = 0; g < code->groups.count; g++) {
        const struct group *group = &code->groups.at[g];
        for (int i = 0; i < group->count; i++) {
            /* Members of a group, which run block by block or side by side, share its number. */
            text_add(&out, "%4zu%s ", g, group->count == 1 ? " " : i ? "|" : "+");
            print_instruction(program, &code->instructions.at[group->first + i], &out);
        }
    }
    for (size_t i = 0; i < code->outputs.count; i++) {
        text_add(&out, "return ");
        print_slot(program, code->outputs.at[i], &out);
        text_add(&out, "\n");
    }
    if (program->is_bound) print_memory(program, &out);
    return text_take(&out);
}
