/* Compiled code as an object. */
#include "runtime/code.h"

#include "ir/dimension.h"

struct code *code_new(tw_context *context, const tw_compile_opts *opts) {
    struct code *made = context_allocate(context, 1, sizeof *made);
    if (!made) return NULL;
    made->context = context;
    made->plain = opts->plain || opts->reference;
    made->check = opts->check;
    made->n_symbols = dimension_symbols(context);
    arena_start(&made->arena, context);
    return made;
}

void code_free(struct code *code) {
    if (!code) return;
    tw_context *context = code->context;
    VECTOR_FREE(context, &code->slots);
    VECTOR_FREE(context, &code->instructions);
    VECTOR_FREE(context, &code->groups);
    VECTOR_FREE(context, &code->inputs);
    VECTOR_FREE(context, &code->variables);
    VECTOR_FREE(context, &code->outputs);
    arena_end(&code->arena);
    context_release(context, code);
}

uint32_t code_root(const struct code *code, uint32_t slot) {
    while (code->slots.at[slot].kind == SLOT_ALIAS || code->slots.at[slot].kind == SLOT_VIEW)
        slot = code->slots.at[slot].of;
    return slot;
}

const tw_attr *code_attr(const tw_operator *op, const tw_attr *attr, const char *name) {
    for (int i = 0; op->attributes && op->attributes[i].name; i++)
        if (!strcmp(op->attributes[i].name, name)) return &attr[i];
    return NULL;
}
