/* What a program takes of memory, by kind, and the refusal of a budget. */
#include <stdio.h>

#include "ir/dimension.h"
#include "runtime/program.h"

static size_t bytes_of(tw_type type) {
    size_t bytes = 0;
    (void)type_bytes(type, &bytes); /* the program is bound: it fits */
    return bytes;
}

static void count_variables(const struct code *code, tw_memory *out) {
    for (size_t i = 0; i < code->variables.count; i++) {
        const code_variable *it = &code->variables.at[i];
        size_t bytes = bytes_of(it->spec.type);
        if (it->slot == ABSENT && it->final == ABSENT) continue;
        *(it->spec.trainable ? &out->parameters : &out->state) += bytes;
        if (it->final != ABSENT && !it->in_place) out->spares += bytes;
    }
}

static void count_slots(const tw_program *program, tw_memory *out) {
    const struct code *code = program->code;
    for (size_t i = 0; i < code->slots.count; i++) {
        if (code->slots.at[i].kind == SLOT_CONSTANT) out->constants += bytes_of(program->type[i]);
        if (code->slots.at[i].kind == SLOT_INPUT) out->arguments += bytes_of(program->type[i]);
    }
    for (size_t i = 0; i < code->outputs.count; i++)
        out->arguments += bytes_of(program->type[code->outputs.at[i]]);
}

tw_status tw_program_plan(tw_program *program, tw_tensor *const *in, tw_memory *out) {
    if (!program || !out) return TW_ERR_NULL;
    tw_context *context = program->object.context;
    for (size_t i = 0; in && i < program->code->inputs.count; i++)
        if (!in[i])
            return context_error(context, TW_ERR_NULL, "tw_program_plan: input %zu is NULL", i);
    tw_status status = in ? program_bind(program, in) : program_bind_known(program);
    if (status) return status;
    if (!program->is_bound)
        return context_error(context, TW_ERR_ARGUMENT,
                             "tw_program_plan: extents depend on the inputs; give them, or run "
                             "the program first");
    *out = (tw_memory){.transients = program->planned_bytes};
    count_variables(program->code, out);
    count_slots(program, out);
    out->peak = out->parameters + out->state + out->spares + out->constants + out->transients +
                out->arguments;
    return TW_OK;
}

enum { SIZE_WORDS = 32 };
typedef struct size_words {
    char at[SIZE_WORDS];
} size_words;

static size_words words_of(size_t bytes) {
    size_words out;
    double size = (double)bytes;
    if (bytes < 1024)
        snprintf(out.at, SIZE_WORDS, "%zu B", bytes);
    else if (bytes < 1 << 20)
        snprintf(out.at, SIZE_WORDS, "%.1f KiB", size / 1024);
    else if (bytes < (size_t)1 << 30)
        snprintf(out.at, SIZE_WORDS, "%.1f MiB", size / (1 << 20));
    else
        snprintf(out.at, SIZE_WORDS, "%.2f GiB", size / (1 << 30));
    return out;
}

static void add_size(text *out, const char *name, size_t bytes) {
    text_add(out, "%s %s", name, words_of(bytes).at);
}

tw_status memory_refuse(tw_context *context, size_t budget, const tw_memory *first,
                        const tw_memory *least) {
    size_t fixed = least->peak - least->transients;
    const char *help =
        fixed >= budget
            ? "that is more than the budget without any transients: a smaller model, fewer states "
              "(SGD keeps none), or a larger budget would help"
            : "a smaller batch, microbatches, or a larger budget would help";
    return context_error(
        context, TW_ERR_MEMORY,
        "the memory budget of %s is %s too small: the step needs %s, and %s with work done again, "
        "of which %s are parameters, state, constants, inputs and outputs; %s",
        words_of(budget).at, words_of(least->peak - budget).at, words_of(first->peak).at,
        words_of(least->peak).at, words_of(fixed).at, help);
}

char *tw_memory_print(tw_context *context, const tw_memory *memory) {
    if (!context || !memory) return NULL;
    text out = {.context = context};
    add_size(&out, "peak", memory->peak);
    add_size(&out, ": parameters", memory->parameters);
    add_size(&out, ", state", memory->state);
    if (memory->spares) add_size(&out, ", next values", memory->spares);
    add_size(&out, ", transients", memory->transients);
    if (memory->constants) add_size(&out, ", constants", memory->constants);
    add_size(&out, ", inputs and outputs", memory->arguments);
    return text_take(&out);
}
