/*
 * Next values of variables that are computed over the present ones, so that an update needs no second
 * buffer. Only where nobody reads the present value later, each element is read before it is
 * written, and nothing that comes after may fail: a run's assigns happen all or none.
 */
#include "codegen/overrides.h"
#include "ir/dimension.h"
#include "runtime/code.h"

/* Whether it computes element i of its results from element i of operands of their shape. */
static bool is_elementwise(const struct code *code, const instruction *it) {
    return it->scalar || it->generated || (!code->plain && override_in_place(it->op->name));
}

/* What is given all its memory beforehand and looks at no index. */
static bool may_fail(const struct code *code, const instruction *it) {
    if (it->generated && it->generated->product && !it->generated->product->sure) return true;
    bool never = is_elementwise(code, it) || it->op->meaning == TW_MEANS_MAP ||
                 !strcmp(it->op->name, "reduce");
    return !never || it->op->effect;
}

/* Every read of the operand by the kernel is of the element that it writes, in the same pass. */
static bool kernel_keeps_step(const instruction *it, int operand, int result) {
    const nest *n = &it->generated->nest;
    const generated_product *product = it->generated->product;
    uint32_t all = (1u << n->n_axes) - 1;
    for (int k = 0; product && k < product->n_operands; k++)
        if (product->operand[k] == operand) return false;
    if (n->phases != 1 || n->store[result].axes != all || n->store[result].how) return false;
    for (int i = 0; i < n->n_loads; i++)
        if (n->load[i].input == operand && n->load[i].axes != all) return false;
    return true;
}

/* Result k of `it` over operand `slot`, whose memory it has. */
static bool fits(const struct code *code, const instruction *it, int operand, int k) {
    const struct slot *from = &code->slots.at[it->operand[operand]];
    tw_type to = code->slots.at[it->result + (uint32_t)k].type;
    if (from->kind == SLOT_VIEW || from->type.dtype != to.dtype) return false;
    if (it->generated) return kernel_keeps_step(it, operand, k);
    return shape_equal(from->type.shape, to.shape);
}

/* Whether anything but instructions reads the variable's present value. */
static bool is_kept(const struct code *code, uint32_t present) {
    for (size_t i = 0; i < code->outputs.count; i++)
        if (code_root(code, code->outputs.at[i]) == present) return true;
    for (size_t i = 0; i < code->variables.count; i++) {
        uint32_t final = code->variables.at[i].final;
        if (final != ABSENT && code_root(code, final) == present) return true;
    }
    return false;
}

/* Instruction i, in group g, writes the next value as its result k. */
static bool is_safe(const struct code *code, uint32_t present, int g, int i, int k) {
    if (present == ABSENT) return true;
    if (is_kept(code, present)) return false;
    const struct group *group = &code->groups.at[g];
    for (int r = group->first; r < (int)code->instructions.count; r++) {
        const instruction *it = &code->instructions.at[r];
        for (int o = 0; o < it->n_operands; o++) {
            if (it->operand[o] == ABSENT || code_root(code, it->operand[o]) != present) continue;
            /* A group's members take turns block by block: those before i read first. */
            bool before = r < i && it->scalar && code->slots.at[it->operand[o]].kind != SLOT_VIEW;
            if (!before && (r != i || !fits(code, it, o, k))) return false;
        }
    }
    return true;
}

/* The last group that may fail, -1 for none. */
static int last_failing(const struct code *code) {
    for (int g = (int)code->groups.count; g-- > 0;) {
        const struct group *group = &code->groups.at[g];
        for (int i = group->first; i < group->first + group->count; i++)
            if (may_fail(code, &code->instructions.at[i])) return g;
    }
    return -1;
}

void code_place_assigns(struct code *code) {
    for (size_t i = 0; i < code->variables.count; i++) {
        if (code->variables.at[i].final == ABSENT) continue;
        struct slot *root = &code->slots.at[code_root(code, code->variables.at[i].final)];
        if (root->kind == SLOT_TRANSIENT && !root->assigned) root->assigned = (uint32_t)i + 1;
    }
    if (code->check) return;
    for (int g = last_failing(code) + 1; g < (int)code->groups.count; g++) {
        const struct group *group = &code->groups.at[g];
        for (int i = group->first; i < group->first + group->count; i++) {
            const instruction *it = &code->instructions.at[i];
            if (!is_elementwise(code, it)) continue;
            for (int k = 0; k < it->n_results; k++) {
                uint32_t assigned = code->slots.at[it->result + (uint32_t)k].assigned;
                if (!assigned) continue;
                code_variable *variable = &code->variables.at[assigned - 1];
                variable->in_place = is_safe(code, variable->slot, g, i, k);
            }
        }
    }
}
