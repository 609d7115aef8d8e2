/* One run of a program: pointers, groups in order, outputs, commit. */
#include "base/clock.h"
#include "base/parallel.h"
#include "base/scratch.h"
#include "ir/dimension.h"
#include "runtime/beside.h"
#include "runtime/check.h"
#include "runtime/dispatch.h"
#include "runtime/fused.h"
#include "runtime/program.h"

/* A group's elementwise instructions over one range of elements. */
typedef struct blocks {
    const tw_program *program;
    const struct group *group;
} blocks;

enum {
    REGISTER_BYTES = SCALAR_BLOCK * 8,
    ALIGNED = 64,
    SMALL = 4096 /* bytes that are copied before it is clear that they need not be */
};

/* Where a register's element 0 would be, so that element `begin` is the block's first. */
static char *register_base(char *scratch, uint32_t number, int64_t begin, size_t size) {
    return (char *)((uintptr_t)(scratch + (size_t)number * REGISTER_BYTES) -
                    (uintptr_t)begin * size);
}

static void run_member(const blocks *work, int i, char *scratch, int64_t begin, int64_t end) {
    const struct code *code = work->program->code;
    const instruction *it = &code->instructions.at[i];
    const step *at = &work->program->steps[i];
    const void *in[TW_SCALAR_OPERANDS];
    for (int k = 0; k < it->n_operands; k++) {
        const struct slot *operand = &code->slots.at[it->operand[k]];
        in[k] = operand->kind == SLOT_REGISTER
                    ? register_base(scratch, operand->of, begin, at->loop->size[k])
                    : at->in[k];
    }
    const struct slot *result = &code->slots.at[it->result];
    size_t size = at->loop->out_size;
    char *out = result->kind == SLOT_REGISTER ? register_base(scratch, result->of, begin, size)
                                              : at->out[0];
    scalar_loop_run(at->loop, begin, end,
                    (void *)((uintptr_t)out + (uintptr_t)begin * (uintptr_t)size), in);
}

static void run_blocks(void *argument, int64_t begin, int64_t end) {
    _Alignas(64) char scratch[GROUP_REGISTERS * REGISTER_BYTES];
    const blocks *work = argument;
    for (; begin < end; begin += SCALAR_BLOCK) {
        int64_t stop = begin + SCALAR_BLOCK < end ? begin + SCALAR_BLOCK : end;
        for (int i = 0; i < work->group->count; i++)
            run_member(work, work->group->first + i, scratch, begin, stop);
    }
}

static void run_elementwise(const tw_program *program, const struct group *group) {
    const step *head = &program->steps[group->first];
    int64_t elements = shape_elements(head->result[0].shape);
    tw_context *context = program->object.context;
    if (group->count == 1) {
        scalar_run(context, head->loop, elements, head->out[0], head->in);
        return;
    }
    blocks work = {program, group};
    int64_t grain = SCALAR_BLOCK * (group->count < 4 ? 4 : 2);
    tw_parallel_for(context, elements, grain, run_blocks, &work);
}

/* An instruction by itself, or all of a group of products. */
static tw_status run_step(const tw_program *program, const struct group *group, int i) {
    const instruction *it = &program->code->instructions.at[i];
    const step *head = &program->steps[group->first], *at = &program->steps[i];
    tw_context *context = program->object.context;
    scratch_plan(context, head->scratch, head->workspace);
    tw_status status = head->beside    ? beside_run(program, group)
                       : it->generated ? fused_run(program, it, at)
                                       : dispatch_run(&at->call, program->code->plain);
    scratch_plan(context, NULL, 0);
    if (!status) return TW_OK;
    const char *scope = *it->scope ? it->scope : "the top scope";
    return context_error(context, status, "%s in %s: %s", it->op->name, scope, tw_message(context));
}

static tw_status run_group(const tw_program *program, const struct group *group) {
    const step *head = &program->steps[group->first];
    if (program->code->instructions.at[group->first].scalar) {
        run_elementwise(program, group);
        return TW_OK;
    }
    int count = head->beside ? 1 : group->count;
    tw_status status = TW_OK;
    for (int i = 0; i < count && !status; i++) status = run_step(program, group, group->first + i);
    return status;
}

static tw_status check_arguments(const tw_program *program, tw_tensor *const *in, tw_tensor **out) {
    tw_context *context = program->object.context;
    const struct code *code = program->code;
    if ((code->inputs.count && !in) || (code->outputs.count && !out))
        return context_error(context, TW_ERR_NULL, "tw_run: no inputs or no outputs given");
    for (size_t i = 0; i < code->inputs.count; i++)
        if (!in[i])
            return context_error(context, TW_ERR_NULL, "tw_run: input %zu, \"%s\", is NULL", i,
                                 code->inputs.at[i].name);
    return TW_OK;
}

static tw_status check_output(const tw_program *program, size_t i, const tw_tensor *given) {
    tw_context *context = program->object.context;
    const tw_type *want = &program->type[program->code->outputs.at[i]];
    if (type_equal(*want, given->type)) return TW_OK;
    text words = {.context = context};
    type_print(context, *want, &words);
    text_add(&words, ", the tensor given for it ");
    type_print(context, given->type, &words);
    tw_status status =
        context_error(context, TW_ERR_SHAPE, "output %zu is %s; free it and give NULL", i,
                      words.failed ? "of another type" : words.at);
    text_drop(&words);
    return status;
}

static tw_status prepare_outputs(const tw_program *program, tw_tensor **out) {
    for (size_t i = 0; i < program->code->outputs.count; i++) {
        const tw_type *type = &program->type[program->code->outputs.at[i]];
        if (!out[i]) out[i] = tensor_new(program->object.context, *type);
        if (!out[i]) return TW_ERR_MEMORY;
        tw_status status = check_output(program, i, out[i]);
        if (status) return status;
    }
    return TW_OK;
}

/* Where the variable's next value is computed. */
static tw_tensor *next_value(const tw_program *program, size_t variable) {
    int index = program->variable[variable];
    return program->code->variables.at[variable].in_place ? store_value(program->store, index)
                                                          : store_spare(program->store, index);
}

static bool overlap(const void *a, size_t a_bytes, const void *b, size_t b_bytes) {
    uintptr_t first = (uintptr_t)a, second = (uintptr_t)b;
    return a_bytes && b_bytes && first < second + b_bytes && second < first + a_bytes;
}

/* Whether an output's tensor is worth writing before the run's end, and can be: nothing that the run reads is
 * in it. */
static bool is_apart(const tw_program *program, tw_tensor *const *in, const tw_tensor *out) {
    const struct code *code = program->code;
    if (out->bytes < SMALL || (uintptr_t)out->data % ALIGNED) return false;
    for (size_t i = 0; i < code->inputs.count; i++)
        if (overlap(out->data, out->bytes, in[i]->data, in[i]->bytes)) return false;
    for (uint32_t i = 0; i < code->slots.count; i++) {
        const struct slot *it = &code->slots.at[i];
        if (it->kind != SLOT_VARIABLE && !it->assigned) continue;
        size_t bytes = 0;
        type_bytes(program->type[i], &bytes);
        if (overlap(out->data, out->bytes, program->data[i], bytes)) return false;
    }
    return true;
}

/* Outputs are computed where they are wanted rather than copied there. */
static void point_outputs(tw_program *program, tw_tensor *const *in, tw_tensor *const *out) {
    const struct code *code = program->code;
    for (uint32_t i = 0; i < program->n_planned; i++)
        program->data[program->planned[i]] = program->memory + program->items[i].offset;
    for (size_t i = code->outputs.count; i-- > 0;) {
        uint32_t root = code_root(code, code->outputs.at[i]);
        const struct slot *it = &code->slots.at[root];
        if (it->kind == SLOT_TRANSIENT && !it->assigned && is_apart(program, in, out[i]))
            program->data[root] = out[i]->data;
    }
}

/* The memory of every slot. Variables are initialised, and next values get their spares. */
static tw_status point(tw_program *program, tw_tensor *const *in, tw_tensor *const *out) {
    const struct code *code = program->code;
    for (size_t i = 0; i < code->variables.count; i++) {
        const code_variable *it = &code->variables.at[i];
        int index = program->variable[i];
        if (it->slot != ABSENT || it->in_place) {
            tw_tensor *value = it->in_place ? store_own(program->store, index)
                                            : store_value(program->store, index);
            if (!value) return program->object.context->status;
            if (it->slot != ABSENT) program->data[it->slot] = value->data;
        }
        if (it->final != ABSENT && !it->in_place && !store_spare(program->store, index))
            return TW_ERR_MEMORY;
    }
    for (uint32_t i = 0; i < code->slots.count; i++) {
        const struct slot *it = &code->slots.at[i];
        if (it->kind == SLOT_INPUT) program->data[i] = in[it->of]->data;
        if (it->kind == SLOT_CONSTANT) program->data[i] = (void *)(uintptr_t)it->data;
        if (it->assigned) program->data[i] = next_value(program, it->assigned - 1)->data;
    }
    point_outputs(program, in, out);
    for (uint32_t i = 0; i < code->slots.count; i++)
        if (code->slots.at[i].kind == SLOT_ALIAS || code->slots.at[i].kind == SLOT_VIEW)
            program->data[i] = program->data[code_root(code, i)];
    for (size_t i = 0; i < code->instructions.count; i++) {
        const instruction *it = &code->instructions.at[i];
        step *at = &program->steps[i];
        for (int k = 0; k < it->n_operands; k++)
            at->in[k] = it->operand[k] == ABSENT ? NULL : program->data[it->operand[k]];
        for (int k = 0; k < it->n_results; k++)
            at->out[k] = program->data[it->result + (uint32_t)k];
    }
    return TW_OK;
}

/* Outputs are written in order: none may destroy one before it, or what one after it is. */
static tw_status check_sharing(const tw_program *program, tw_tensor *const *out) {
    tw_context *context = program->object.context;
    const struct code *code = program->code;
    for (size_t i = 0; i < code->outputs.count; i++)
        for (size_t k = i + 1; k < code->outputs.count; k++) {
            const void *source = program->data[code->outputs.at[k]];
            if (overlap(out[i]->data, out[i]->bytes, out[k]->data, out[k]->bytes))
                return context_error(context, TW_ERR_ARGUMENT,
                                     "tw_run: the tensors for outputs %zu and %zu share memory", i,
                                     k);
            bool written = program->data[code->outputs.at[i]] == out[i]->data;
            if (!written && overlap(out[i]->data, out[i]->bytes, source, out[k]->bytes))
                return context_error(context, TW_ERR_ARGUMENT,
                                     "tw_run: the tensor for output %zu shares memory with the "
                                     "input or variable that output %zu is",
                                     i, k);
        }
    return TW_OK;
}

/* Next values that no instruction built in their spares: before outputs may overwrite inputs. */
static void copy_finals(tw_program *program) {
    const struct code *code = program->code;
    for (size_t i = 0; i < code->variables.count; i++) {
        uint32_t final = code->variables.at[i].final;
        if (final == ABSENT || code->slots.at[code_root(code, final)].assigned == i + 1) continue;
        tw_tensor *spare = store_spare(program->store, program->variable[i]);
        if (spare->bytes) memcpy(spare->data, program->data[final], spare->bytes);
    }
}

/* Nothing here can fail: a run that comes here happens whole. */
static void commit(tw_program *program) {
    const struct code *code = program->code;
    for (size_t i = 0; i < code->variables.count; i++)
        if (code->variables.at[i].final != ABSENT && !code->variables.at[i].in_place)
            store_swap(program->store, program->variable[i]);
}

/* Check mode: what comes from outside. */
static tw_status check_given(const tw_program *program, tw_tensor *const *in) {
    const struct code *code = program->code;
    tw_status status = TW_OK;
    for (size_t i = 0; !status && i < code->inputs.count; i++)
        status =
            check_data(code->context, "input", code->inputs.at[i].name, in[i]->type, in[i]->data);
    for (size_t i = 0; !status && i < code->variables.count; i++) {
        const code_variable *it = &code->variables.at[i];
        if (it->slot == ABSENT) continue;
        status = check_data(code->context, "variable", it->spec.path, it->spec.type,
                            program->data[it->slot]);
    }
    return status;
}

static bool assigns_any(const struct code *code) {
    for (size_t i = 0; i < code->variables.count; i++)
        if (code->variables.at[i].final != ABSENT) return true;
    return false;
}

static tw_status run_groups(tw_program *program) {
    const struct code *code = program->code;
    double *times = program->times;
    for (size_t i = 0; i < code->groups.count; i++) {
        if (times) times[i] = clock_seconds();
        tw_status status = run_group(program, &code->groups.at[i]);
        if (!status && code->check) {
            const instruction *it = &code->instructions.at[code->groups.at[i].first];
            status =
                check_call(&program->steps[code->groups.at[i].first].call, it->scope, it->source);
        }
        if (status) return status;
    }
    if (times) times[code->groups.count] = clock_seconds();
    return TW_OK;
}

tw_status tw_run(tw_program *program, tw_tensor *const *in, tw_tensor **out) {
    if (!program) return TW_ERR_NULL;
    const struct code *code = program->code;
    bool assigns = assigns_any(code);
    tw_status status = check_arguments(program, in, out);
    if (!status && program->store && program->store->busy)
        status = context_error(program->object.context, TW_ERR_BUSY,
                               "the store is in use by a run that assigns");
    if (!status) status = program_bind(program, in);
    if (!status) status = prepare_outputs(program, out);
    if (!status) status = point(program, in, out);
    if (!status) status = check_sharing(program, out);
    if (!status && code->check) status = check_given(program, in);
    if (status) return status;
    if (assigns) program->store->busy = true;
    status = run_groups(program);
    if (!status && assigns) copy_finals(program);
    for (size_t i = 0; !status && i < code->outputs.count; i++)
        if (out[i]->bytes && out[i]->data != program->data[code->outputs.at[i]])
            memmove(out[i]->data, program->data[code->outputs.at[i]], out[i]->bytes);
    if (!status && assigns) commit(program);
    if (assigns) program->store->busy = false;
    return status;
}
