/*
 * What follows lowering: dead instructions go, broadcasts become views, neighbouring elementwise
 * instructions over one box and products side by side become groups, and each slot learns how long it lives.
 */
#include "ir/dimension.h"
#include "runtime/code.h"
#include "runtime/tensor.h"

/* How often each slot is used. */
typedef struct uses {
    uint32_t *all;    /* by anything: operands, aliases, outputs, assigns */
    uint32_t *direct; /* as an operand of an elementwise instruction */
} uses;

static struct slot *slot_at(const struct code *code, uint32_t slot) {
    return &code->slots.at[slot];
}

/* Instructions whose results reach an output or an assign. */
static void drop_dead(struct code *code, uint8_t *needed) {
    for (size_t i = 0; i < code->outputs.count; i++)
        needed[code_root(code, code->outputs.at[i])] = 1;
    for (size_t i = 0; i < code->variables.count; i++)
        if (code->variables.at[i].final != ABSENT)
            needed[code_root(code, code->variables.at[i].final)] = 1;
    size_t kept = code->instructions.count;
    for (size_t i = code->instructions.count; i-- > 0;) {
        instruction *it = &code->instructions.at[i];
        bool live = false;
        live = live || it->op->effect;
        for (int k = 0; k < it->n_results; k++) live = live || needed[it->result + (uint32_t)k];
        if (!live) continue;
        for (int k = 0; k < it->n_operands; k++)
            if (it->operand[k] != ABSENT) needed[code_root(code, it->operand[k])] = 1;
        code->instructions.at[--kept] = *it;
    }
    size_t left = code->instructions.count - kept;
    if (left && kept)
        memmove(code->instructions.at, code->instructions.at + kept,
                left * sizeof *code->instructions.at);
    code->instructions.count = left;
}

static void count_uses(const struct code *code, uses *out) {
    for (size_t i = 0; i < code->instructions.count; i++) {
        const instruction *it = &code->instructions.at[i];
        for (int k = 0; k < it->n_operands; k++) {
            if (it->operand[k] == ABSENT) continue;
            out->all[it->operand[k]]++;
            out->direct[it->operand[k]] += it->scalar;
        }
    }
    for (size_t i = 0; i < code->slots.count; i++)
        if (code->slots.at[i].kind == SLOT_ALIAS || code->slots.at[i].kind == SLOT_VIEW)
            out->all[code->slots.at[i].of]++;
    for (size_t i = 0; i < code->outputs.count; i++) out->all[code->outputs.at[i]]++;
    for (size_t i = 0; i < code->variables.count; i++)
        if (code->variables.at[i].final != ABSENT) out->all[code->variables.at[i].final]++;
}

static tw_status no_memory(const struct code *code) {
    return context_error(code->context, TW_ERR_MEMORY, "out of memory while compiling");
}

/* A splat's one number as a constant, read with steps of 0. */
static tw_status view_splat(struct code *code, const instruction *it) {
    tw_type type = slot_at(code, it->result)->type;
    const tw_attr *number = code_attr(it->op, it->attr, "value");
    void *data = arena_allocate(&code->arena, 1, 8);
    struct slot *scalar = data ? VECTOR_PUSH(code->context, &code->slots) : NULL;
    if (!scalar || !number) return no_memory(code);
    element_write(type.dtype, data, 0, number->f);
    *scalar = (struct slot){.kind = SLOT_CONSTANT, .type = {type.dtype, TW_SHAPE()}, .data = data};
    struct slot *result = slot_at(code, it->result);
    result->kind = SLOT_VIEW;
    result->of = (uint32_t)code->slots.count - 1;
    return TW_OK;
}

/* A small splat that others read is written once, now. */
static bool is_small(const struct code *code, const instruction *it) {
    tw_shape shape = slot_at(code, it->result)->type.shape;
    return shape_known(shape) && shape_elements(shape) <= 256;
}

static tw_status fold_splat(struct code *code, const instruction *it) {
    struct slot *result = slot_at(code, it->result);
    const tw_attr *number = code_attr(it->op, it->attr, "value");
    int64_t elements = shape_elements(result->type.shape);
    void *data = arena_allocate(&code->arena, (size_t)elements + 1, 8);
    if (!data || !number) return no_memory(code);
    for (int64_t i = 0; i < elements; i++) element_write(result->type.dtype, data, i, number->f);
    result->kind = SLOT_CONSTANT;
    result->data = data;
    return TW_OK;
}

/* Broadcasts and splats that elementwise instructions alone use are never written to memory. */
static tw_status make_views(struct code *code, const uses *use) {
    size_t kept = 0;
    for (size_t i = 0; i < code->instructions.count; i++) {
        instruction *it = &code->instructions.at[i];
        bool splat = !strcmp(it->op->name, "splat");
        bool only = use->all[it->result] == use->direct[it->result];
        if (splat && (only || is_small(code, it))) {
            tw_status status = only ? view_splat(code, it) : fold_splat(code, it);
            if (status) return status;
        } else if (only && !strcmp(it->op->name, "broadcast")) {
            struct slot *result = slot_at(code, it->result);
            result->kind = SLOT_VIEW;
            result->of = it->operand[0];
            result->axes = &code_attr(it->op, it->attr, "axes")->list;
        } else {
            code->instructions.at[kept++] = *it;
        }
    }
    code->instructions.count = kept;
    return TW_OK;
}

/* Whether `it` may run block by block after the instructions first..: everything it reads of
 * theirs it reads at its own element. */
static bool joins(const struct code *code, int first, const instruction *it) {
    const instruction *head = &code->instructions.at[first];
    if (!it->scalar) return false;
    if (!shape_equal(slot_at(code, it->result)->type.shape,
                     slot_at(code, head->result)->type.shape))
        return false;
    for (int k = 0; k < it->n_operands; k++) {
        uint32_t operand = it->operand[k];
        bool view = slot_at(code, operand)->kind == SLOT_VIEW;
        uint32_t root = code_root(code, operand);
        for (const instruction *other = head; view && other < it; other++)
            if (other->result == root) return false;
    }
    return true;
}

/* Uses of a member's result by later members, and the last of them. */
static uint32_t inner_uses(const struct code *code, const struct group *group, int member,
                           int *last) {
    uint32_t result = code->instructions.at[group->first + member].result, count = 0;
    for (int i = member + 1; i < group->count; i++) {
        const instruction *it = &code->instructions.at[group->first + i];
        for (int k = 0; k < it->n_operands; k++) {
            if (it->operand[k] != result) continue;
            count++;
            *last = i;
        }
    }
    return count;
}

/* Results that only members read live in blocks of scratch, a block free again after its last use. */
static void assign_registers(struct code *code, struct group *group, const uses *use) {
    int busy_until[GROUP_REGISTERS];
    for (int i = 0; i < group->count; i++) {
        struct slot *result = slot_at(code, code->instructions.at[group->first + i].result);
        int last = i, free = -1;
        uint32_t inner = inner_uses(code, group, i, &last);
        if (inner != use->all[code->instructions.at[group->first + i].result]) continue;
        /* A block that is read at i is not written at i. */
        for (int r = 0; r < group->registers && free < 0; r++)
            if (busy_until[r] < i) free = r;
        if (free < 0 && group->registers < GROUP_REGISTERS) free = group->registers++;
        if (free < 0) continue;
        busy_until[free] = last;
        result->kind = SLOT_REGISTER;
        result->of = (uint32_t)free;
    }
}

static bool is_product(const struct code *code, const instruction *it) {
    return it->generated ? it->generated->product != NULL
                         : !code->plain && !strcmp(it->op->name, "dot");
}

static bool makes(const struct code *code, const instruction *it, uint32_t slot) {
    uint32_t root = code_root(code, slot);
    return root >= it->result && root < it->result + (uint32_t)it->n_results;
}

/* Whether it makes the next value of the variable whose present value is in `slot`: in place, if nobody reads that at the
 * same time. */
static bool updates(const struct code *code, const instruction *it, uint32_t slot) {
    for (size_t i = 0; i < code->variables.count; i++) {
        const code_variable *variable = &code->variables.at[i];
        if (variable->slot == slot && variable->final != ABSENT && makes(code, it, variable->final))
            return true;
    }
    return false;
}

/* Whether `reader` reads a result of `maker`, or the present value of a variable that `maker` updates. */
static bool depends(const struct code *code, const instruction *reader, const instruction *maker) {
    for (int k = 0; k < reader->n_operands; k++) {
        uint32_t slot = reader->operand[k];
        if (slot == ABSENT) continue;
        if (makes(code, maker, slot) || updates(code, maker, code_root(code, slot))) return true;
    }
    return false;
}

/* Whether `it` is a product that can be computed side by side with those from `first` on. */
static bool stands_beside(const struct code *code, int first, const instruction *it) {
    const instruction *head = &code->instructions.at[first];
    if (!it->beside || !is_product(code, head) || !is_product(code, it)) return false;
    for (const instruction *other = head; other < it; other++)
        if (depends(code, it, other) || depends(code, other, it)) return false;
    return true;
}

static int most_members(const struct code *code, int first) {
    if (code->check) return 1;
    return code->instructions.at[first].scalar ? GROUP_MEMBERS : MOST_BESIDE;
}

static tw_status make_groups(struct code *code, const uses *use) {
    int n = (int)code->instructions.count;
    for (int first = 0; first < n;) {
        struct group *made = VECTOR_PUSH(code->context, &code->groups);
        if (!made) return no_memory(code);
        bool scalar = code->instructions.at[first].scalar;
        made->first = first;
        made->count = 1;
        for (; made->count < most_members(code, first) && first + made->count < n; made->count++) {
            const instruction *next = &code->instructions.at[first + made->count];
            if (scalar ? !joins(code, first, next) : !stands_beside(code, first, next)) break;
        }
        made->beside = !scalar && made->count > 1;
        if (scalar && made->count > 1) assign_registers(code, made, use);
        first += made->count;
    }
    return TW_OK;
}

static void extend(struct code *code, uint32_t slot, int at) {
    struct slot *root = slot_at(code, code_root(code, slot));
    if (at > root->last) root->last = at;
}

static void find_lives(struct code *code) {
    int end = (int)code->groups.count;
    for (int g = 0; g < end; g++) {
        const struct group *group = &code->groups.at[g];
        for (int i = group->first; i < group->first + group->count; i++) {
            const instruction *it = &code->instructions.at[i];
            for (int k = 0; k < it->n_results; k++) {
                struct slot *result = slot_at(code, it->result + (uint32_t)k);
                result->first = result->last = g;
            }
            for (int k = 0; k < it->n_operands; k++)
                if (it->operand[k] != ABSENT) extend(code, it->operand[k], g);
        }
    }
    for (size_t i = 0; i < code->outputs.count; i++) extend(code, code->outputs.at[i], end);
    for (size_t i = 0; i < code->variables.count; i++)
        if (code->variables.at[i].final != ABSENT) extend(code, code->variables.at[i].final, end);
}

tw_status code_arrange(struct code *code) {
    tw_context *context = code->context;
    size_t n = code->slots.count + code->instructions.count + 1; /* splats add slots */
    uint8_t *needed = context_allocate(context, n, 1);
    uses use = {context_allocate(context, n, sizeof *use.all),
                context_allocate(context, n, sizeof *use.direct)};
    tw_status status = needed && use.all && use.direct ? TW_OK : TW_ERR_MEMORY;
    if (!status) {
        drop_dead(code, needed);
        count_uses(code, &use);
        if (!code->check) status = make_views(code, &use); /* a check reads dense operands */
    }
    if (!status) {
        memset(use.all, 0, n * sizeof *use.all);
        memset(use.direct, 0, n * sizeof *use.direct);
        count_uses(code, &use);
        status = make_groups(code, &use);
    }
    if (!status) {
        code_place_assigns(code);
        find_lives(code);
    }
    context_release(context, needed);
    context_release(context, use.all);
    context_release(context, use.direct);
    return status;
}
