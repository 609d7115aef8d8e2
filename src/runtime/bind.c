/* From a program's inputs to numbers: symbols, shapes, attributes, places of buffers. */
#include "ir/dimension.h"
#include "runtime/program.h"

static tw_status no_memory(const tw_program *program) {
    return context_error(program->object.context, TW_ERR_MEMORY, "out of memory for a program");
}

/* A step's arrays, of the instruction's lengths. */
static bool allocate_step(tw_program *program, const instruction *it, step *out) {
    arena *arena = &program->arena;
    size_t n_in = (size_t)it->n_operands + 1, n_out = (size_t)it->n_results;
    out->operand = arena_allocate(arena, n_in, sizeof *out->operand);
    out->result = arena_allocate(arena, n_out, sizeof *out->result);
    out->in = arena_allocate(arena, n_in, sizeof *out->in);
    out->out = arena_allocate(arena, n_out, sizeof *out->out);
    if (!out->operand || !out->result || !out->in || !out->out) return false;
    out->attr = it->attr;
    if (it->symbolic) {
        size_t attrs = (size_t)operator_attr_count(it->op);
        out->attr = arena_allocate(arena, attrs, sizeof *out->attr);
        if (!out->attr) return false;
        memcpy(out->attr, it->attr, attrs * sizeof *out->attr);
    }
    if (it->scalar && !(out->loop = arena_allocate(arena, 1, sizeof *out->loop))) return false;
    out->call.signature = (tw_signature){program->object.context,
                                         it->op,
                                         it->n_operands,
                                         it->n_results,
                                         out->operand,
                                         out->result,
                                         out->attr};
    out->call.in = out->in;
    out->call.out = out->out;
    return true;
}

static bool is_planned(const struct slot *it) {
    return it->kind == SLOT_TRANSIENT && !it->assigned;
}

tw_status program_allocate(tw_program *program) {
    const struct code *code = program->code;
    arena *arena = &program->arena;
    size_t slots = code->slots.count, symbols = (size_t)code->n_symbols + 1;
    program->bound = arena_allocate(arena, symbols, sizeof *program->bound);
    program->binding = arena_allocate(arena, symbols, sizeof *program->binding);
    program->type = arena_allocate(arena, slots + 1, sizeof *program->type);
    program->data = arena_allocate(arena, slots + 1, sizeof *program->data);
    program->planned = arena_allocate(arena, slots + 1, sizeof *program->planned);
    program->items = arena_allocate(arena, slots + 1, sizeof *program->items);
    program->order = arena_allocate(arena, slots + 1, sizeof *program->order);
    program->variable = arena_allocate(arena, code->variables.count + 1, sizeof(int));
    program->steps = arena_allocate(arena, code->instructions.count + 1, sizeof *program->steps);
    if (!program->bound || !program->binding || !program->type || !program->data ||
        !program->planned || !program->items || !program->order || !program->variable ||
        !program->steps)
        return no_memory(program);
    for (size_t i = 0; i < code->instructions.count; i++) {
        const instruction *it = &code->instructions.at[i];
        if (!allocate_step(program, it, &program->steps[i])) return no_memory(program);
        for (int k = 0; k < it->n_results; k++) {
            uint32_t slot = it->result + (uint32_t)k;
            if (is_planned(&code->slots.at[slot])) program->planned[program->n_planned++] = slot;
        }
    }
    return TW_OK;
}

static tw_status refuse_input(const tw_program *program, size_t i, tw_type given) {
    tw_context *context = program->object.context;
    const code_input *input = &program->code->inputs.at[i];
    text words = {.context = context};
    type_print(context, input->type, &words);
    text_add(&words, ", given ");
    type_print(context, given, &words);
    tw_status status = given.dtype == input->type.dtype ? TW_ERR_SHAPE : TW_ERR_TYPE;
    status = context_error(context, status, "input %zu, \"%s\", is %s", i, input->name,
                           words.failed ? "of another type" : words.at);
    text_drop(&words);
    return status;
}

/* Binds the symbols that stand alone in an input's type; checks the rest of it. */
static tw_status bind_symbols(tw_program *program, size_t i, tw_type given) {
    const tw_context *context = program->object.context;
    tw_type want = program->code->inputs.at[i].type;
    bool fits = want.dtype == given.dtype && want.shape.rank == given.shape.rank;
    for (int axis = 0; fits && axis < want.shape.rank; axis++) {
        int symbol = dimension_as_symbol(context, want.shape.dim[axis]);
        int64_t extent = given.shape.dim[axis];
        if (symbol >= 0 && program->binding[symbol] < 0) program->binding[symbol] = extent;
        if (symbol >= 0)
            fits = program->binding[symbol] == extent;
        else if (want.shape.dim[axis] >= 0)
            fits = want.shape.dim[axis] == extent;
    }
    return fits ? TW_OK : refuse_input(program, i, given);
}

static tw_status evaluate_shape(const tw_program *program, tw_shape *shape) {
    tw_context *context = program->object.context;
    for (int i = 0; i < shape->rank; i++) {
        int64_t extent = shape->dim[i];
        if (extent >= 0) continue;
        extent = dimension_evaluate(context, extent, program->bound, program->code->n_symbols);
        if (extent < 0) {
            text words = {.context = context};
            dimension_print(context, shape->dim[i], &words);
            tw_status status =
                context_error(context, TW_ERR_SHAPE,
                              "the extent %s is negative, not whole, or not bound by an input",
                              words.failed ? "" : words.at);
            text_drop(&words);
            return status;
        }
        shape->dim[i] = extent;
    }
    return TW_OK;
}

/* Extents of an input that are no symbol by themselves, like 2n+1. */
static tw_status check_extents(const tw_program *program, size_t i, tw_type given) {
    tw_type want = program->type[program->code->inputs.at[i].slot];
    return shape_equal(want.shape, given.shape) ? TW_OK : refuse_input(program, i, given);
}

static tw_status bind_types(tw_program *program) {
    const struct code *code = program->code;
    for (size_t i = 0; i < code->slots.count; i++) {
        size_t bytes;
        program->type[i] = code->slots.at[i].type;
        tw_status status = evaluate_shape(program, &program->type[i].shape);
        if (status) return status;
        if (!type_bytes(program->type[i], &bytes))
            return context_error(program->object.context, TW_ERR_MEMORY,
                                 "an intermediate value does not fit in memory");
    }
    return TW_OK;
}

/* Steps of an operand over its reader's box. */
static scalar_strides strides_of(const tw_program *program, uint32_t slot) {
    const struct slot *it = &program->code->slots.at[slot];
    if (it->kind != SLOT_VIEW) return scalar_dense(program->type[slot].shape);
    scalar_strides dense = scalar_dense(program->type[it->of].shape), strides = {{0}};
    for (int axis = 0; it->axes && axis < it->axes->rank; axis++)
        strides.axis[it->axes->dim[axis]] = dense.axis[axis];
    return strides;
}

static tw_status bind_loop(const tw_program *program, const instruction *it, step *out) {
    scalar_strides strides[SCALAR_OPERANDS];
    for (int k = 0; k < it->n_operands; k++) strides[k] = strides_of(program, it->operand[k]);
    scalar_loop_start(out->loop, &out->call.signature, strides);
    if (out->loop->kernel) return TW_OK;
    return context_error(program->object.context, TW_ERR_UNSUPPORTED, "%s has no kernel for %s",
                         it->op->name, tw_dtype_name(out->operand[it->n_operands - 1].dtype));
}

static tw_status bind_step(tw_program *program, const instruction *it, step *out) {
    for (int k = 0; k < it->n_operands; k++)
        if (it->operand[k] != ABSENT) out->operand[k] = program->type[it->operand[k]];
    for (int k = 0; k < it->n_results; k++)
        out->result[k] = program->type[it->result + (uint32_t)k];
    for (int k = 0; it->symbolic && k < operator_attr_count(it->op); k++) {
        if (it->op->attributes[k].kind != TW_ATTR_DIMS) continue;
        out->attr[k].list = it->attr[k].list;
        tw_status status = evaluate_shape(program, &out->attr[k].list);
        if (status) return status;
    }
    return it->scalar ? bind_loop(program, it, out) : TW_OK;
}

static tw_status bind_memory(tw_program *program) {
    const struct code *code = program->code;
    tw_context *context = program->object.context;
    for (uint32_t i = 0; i < program->n_planned; i++) {
        const struct slot *it = &code->slots.at[program->planned[i]];
        plan_item *item = &program->items[i];
        type_bytes(program->type[program->planned[i]], &item->bytes);
        item->first = it->first;
        item->last = it->last;
    }
    tw_status status = plan_offsets(context, program->n_planned, program->items, program->order,
                                    &program->planned_bytes);
    if (status) return status;
    if (!program->memory || program->planned_bytes > program->memory_bytes) {
        context_release_aligned(context, program->memory);
        program->memory_bytes = 0;
        program->memory = context_allocate_aligned(context, program->planned_bytes + 1);
        if (!program->memory) return TW_ERR_MEMORY;
        program->memory_bytes = program->planned_bytes;
    }
    for (uint32_t i = 0; i < program->n_planned; i++)
        program->data[program->planned[i]] = program->memory + program->items[i].offset;
    return TW_OK;
}

static tw_status bind_all(tw_program *program, tw_tensor *const *in) {
    const struct code *code = program->code;
    tw_status status = bind_types(program);
    for (size_t i = 0; !status && i < code->inputs.count; i++)
        status = check_extents(program, i, in[i]->type);
    for (size_t i = 0; !status && i < code->instructions.count; i++)
        status = bind_step(program, &code->instructions.at[i], &program->steps[i]);
    return status ? status : bind_memory(program);
}

tw_status program_bind(tw_program *program, tw_tensor *const *in) {
    size_t symbols = (size_t)program->code->n_symbols;
    for (size_t i = 0; i < symbols; i++) program->binding[i] = -1;
    for (size_t i = 0; i < program->code->inputs.count; i++) {
        tw_status status = bind_symbols(program, i, in[i]->type);
        if (status) return status;
    }
    bool same = program->is_bound;
    for (size_t i = 0; same && i < symbols; i++) same = program->binding[i] == program->bound[i];
    for (size_t i = 0; same && i < program->code->inputs.count; i++) {
        tw_status status = check_extents(program, i, in[i]->type);
        if (status) return status;
    }
    if (same) return TW_OK;
    memcpy(program->bound, program->binding, symbols * sizeof *program->bound);
    program->is_bound = false;
    tw_status status = bind_all(program, in);
    program->is_bound = !status;
    return status;
}
