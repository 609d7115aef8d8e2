/* From a program's inputs to numbers: symbols, shapes, attributes, places of buffers. */
#include "ir/dimension.h"
#include "runtime/beside.h"
#include "runtime/dispatch.h"
#include "runtime/fused.h"

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
    size_t kept = it->generated ? 0 : dispatch_kept_bytes(it->op, program->code->plain);
    if (kept && !(out->kept = arena_allocate(arena, 1, kept))) return false;
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
    size_t items = slots + code->instructions.count + 1; /* a workspace each */
    program->items = arena_allocate(arena, items, sizeof *program->items);
    program->order = arena_allocate(arena, items, sizeof *program->order);
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

/* symbol -1, or the one that an extent of `axis` leaves without a number. */
static tw_status refuse_input(const tw_program *program, size_t i, tw_type given, int axis,
                              int symbol) {
    tw_context *context = program->object.context;
    const code_input *input = &program->code->inputs.at[i];
    text words = {.context = context};
    type_print(context, input->type, &words);
    text_add(&words, ", given ");
    type_print(context, given, &words);
    if (symbol >= 0) {
        text_add(&words, ": no %s = 0, 1, 2, ... gives ", dimension_symbol_name(context, symbol));
        dimension_print(context, input->type.shape.dim[axis], &words);
        text_add(&words, " = %lld", (long long)given.shape.dim[axis]);
    }
    tw_status status = given.dtype == input->type.dtype ? TW_ERR_SHAPE : TW_ERR_TYPE;
    status = context_error(context, status, "input %zu, \"%s\", is %s", i, input->name,
                           words.failed ? "of another type" : words.at);
    text_drop(&words);
    return status;
}

/* Binds what the extents of input i leave no choice for; *any tells that there was something. */
static tw_status solve_extents(tw_program *program, size_t i, const tw_shape *given, bool *any) {
    const struct code *code = program->code;
    const tw_shape *want = &code->inputs.at[i].type.shape;
    for (int axis = 0; axis < want->rank; axis++) {
        int64_t value;
        int symbol = dimension_solve(program->object.context, want->dim[axis], program->binding,
                                     code->n_symbols, given->dim[axis], &value);
        if (symbol < 0) continue;
        if (value < 0)
            return refuse_input(program, i, (tw_type){code->inputs.at[i].type.dtype, *given}, axis,
                                symbol);
        program->binding[symbol] = value;
        *any = true;
    }
    return TW_OK;
}

/* Under the binding. An extent with no number stays for evaluate_shape to refuse. */
static bool fits_extents(const tw_program *program, const tw_shape *want, const tw_shape *given) {
    for (int axis = 0; axis < want->rank; axis++) {
        int64_t extent = dimension_evaluate(program->object.context, want->dim[axis],
                                            program->binding, program->code->n_symbols);
        if (extent != TW_DIM_NONE && extent != given->dim[axis]) return false;
    }
    return true;
}

/* The symbols' numbers from the inputs' extents, in rounds, as one may need another's number. */
static tw_status bind_symbols(tw_program *program, tw_tensor *const *in) {
    const struct code *code = program->code;
    for (int i = 0; i < code->n_symbols; i++) program->binding[i] = -1;
    for (size_t i = 0; i < code->inputs.count; i++) {
        const tw_type *want = &code->inputs.at[i].type, *given = &in[i]->type;
        if (want->dtype != given->dtype || want->shape.rank != given->shape.rank)
            return refuse_input(program, i, *given, 0, -1);
    }
    for (bool any = code->n_symbols > 0; any;) {
        any = false;
        for (size_t i = 0; i < code->inputs.count; i++) {
            tw_status status = solve_extents(program, i, &in[i]->type.shape, &any);
            if (status) return status;
        }
    }
    for (size_t i = 0; i < code->inputs.count; i++)
        if (!fits_extents(program, &code->inputs.at[i].type.shape, &in[i]->type.shape))
            return refuse_input(program, i, in[i]->type, 0, -1);
    return TW_OK;
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
    scalar_strides strides[TW_SCALAR_OPERANDS];
    for (int k = 0; k < it->n_operands; k++) strides[k] = strides_of(program, it->operand[k]);
    scalar_loop_start(out->loop, &out->call.signature, strides);
    if (out->loop->kernel) return TW_OK;
    return context_error(program->object.context, TW_ERR_UNSUPPORTED, "%s has no kernel for %s",
                         it->op->name, tw_dtype_name(out->operand[it->n_operands - 1].dtype));
}

/* Whether any extent of the instruction depends on an input. */
static bool is_symbolic(const struct code *code, const instruction *it) {
    bool symbolic = it->symbolic;
    for (int k = 0; k < it->n_operands; k++)
        if (it->operand[k] != ABSENT)
            symbolic = symbolic || !shape_known(code->slots.at[it->operand[k]].type.shape);
    for (int k = 0; k < it->n_results; k++)
        symbolic = symbolic || !shape_known(code->slots.at[it->result + (uint32_t)k].type.shape);
    return symbolic;
}

/*
 * The operator's own rule with the numbers: symbols leave open what only numbers decide, such as
 * whether a slice ends within its operand. Composites by body follow from operators with rules.
 */
static tw_status check_step(const tw_program *program, const instruction *it, const step *at) {
    if (!it->op->infer || !is_symbolic(program->code, it)) return TW_OK;
    tw_context *context = program->object.context;
    const char *scope = *it->scope ? it->scope : "the top scope";
    tw_type result[TW_MAX_RESULTS] = {{0}};
    tw_signature signature = at->call.signature;
    signature.result = result;
    tw_status status = it->op->infer(&signature);
    if (status)
        return context_error(context, status, "%s in %s: %s", it->op->name, scope,
                             tw_message(context));
    bool same = signature.n_results == it->n_results;
    for (int k = 0; same && k < it->n_results; k++) same = type_equal(result[k], at->result[k]);
    if (same) return TW_OK;
    return context_error(context, TW_ERR_SHAPE,
                         "%s in %s: the extents of this run give a result of another type than "
                         "the symbols promised",
                         it->op->name, scope);
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
    if (it->generated) {
        tw_shape domain = it->generated->nest.domain;
        tw_status bad = evaluate_shape(program, &domain);
        return bad ? bad : fused_bind(program, it, out, domain);
    }
    tw_status status = check_step(program, it, out);
    if (status || it->scalar) return status ? status : bind_loop(program, it, out);
    bool plain = program->code->plain;
    status = dispatch_prepare(&out->call, plain, out->kept);
    return status ? status : dispatch_workspace(&out->call.signature, plain, &out->workspace);
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
    size_t n = program->n_planned;
    for (int g = 0; g < (int)code->groups.count; g++) {
        size_t bytes = program->steps[code->groups.at[g].first].workspace;
        if (bytes) program->items[n++] = (plan_item){.bytes = bytes, .first = g, .last = g};
    }
    tw_status status =
        plan_offsets(context, n, program->items, program->order, &program->planned_bytes);
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
    n = program->n_planned;
    for (size_t g = 0; g < code->groups.count; g++) {
        step *at = &program->steps[code->groups.at[g].first];
        if (at->workspace) at->scratch = program->memory + program->items[n++].offset;
    }
    return TW_OK;
}

static tw_status bind_all(tw_program *program) {
    const struct code *code = program->code;
    tw_status status = bind_types(program);
    for (size_t i = 0; !status && i < code->instructions.count; i++)
        status = bind_step(program, &code->instructions.at[i], &program->steps[i]);
    for (size_t g = 0; !status && g < code->groups.count; g++)
        if (code->groups.at[g].beside) beside_bind(program, &code->groups.at[g]);
    if (!status) status = bind_memory(program);
    program->is_bound = !status;
    return status;
}

tw_status program_bind(tw_program *program, tw_tensor *const *in) {
    tw_status status = bind_symbols(program, in);
    if (status) return status;
    size_t symbols = (size_t)program->code->n_symbols;
    bool same = program->is_bound;
    for (size_t i = 0; same && i < symbols; i++) same = program->binding[i] == program->bound[i];
    if (same) return TW_OK;
    memcpy(program->bound, program->binding, symbols * sizeof *program->bound);
    return bind_all(program);
}

tw_status program_bind_known(tw_program *program) {
    const struct code *code = program->code;
    if (program->is_bound) return TW_OK;
    for (size_t i = 0; i < code->slots.count; i++)
        if (!shape_known(code->slots.at[i].type.shape)) return TW_OK;
    return bind_all(program);
}
