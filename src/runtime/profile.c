/* Where a program's time goes: every group timed over several runs, with its operations and bytes. */
#include <stdlib.h>

#include "base/clock.h"
#include "ir/derive.h"
#include "ir/dimension.h"
#include "runtime/program.h"

struct tw_profile {
    object object;
    arena arena;
    int count;
    tw_profile_row *rows;
    double seconds;
};

enum { MOST_RUNS = 100000, NAME = 256 };

static void destroy(object *head) {
    tw_profile *profile = (tw_profile *)head;
    if (profile->arena.context) arena_end(&profile->arena);
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Sorts. */
static double median(double *numbers, int n) {
    qsort(numbers, (size_t)n, sizeof *numbers, by_size);
    return n % 2 ? numbers[n / 2] : (numbers[n / 2 - 1] + numbers[n / 2]) / 2;
}

static double bytes_of(const tw_program *program, uint32_t slot) {
    const struct code *code = program->code;
    if (slot == ABSENT || code->slots.at[slot].kind == SLOT_REGISTER) return 0;
    tw_type type = program->type[code_root(code, slot)]; /* a view reads what it is a view of */
    return (double)shape_elements(type.shape) * (double)tw_dtype_size(type.dtype);
}

/* "mul+add+tanh", or "dot+add|dot+add" side by side; what does not fit is "...". */
static const char *name_group(tw_profile *profile, const struct code *code,
                              const struct group *group) {
    char name[NAME] = "";
    size_t used = 0;
    for (int i = 0; i < group->count; i++) {
        const instruction *it = &code->instructions.at[group->first + i];
        const char *next = it->generated ? it->generated->name : it->op->name;
        size_t length = strlen(next);
        bool fits = used + length + 5 < sizeof name;
        if (i) name[used++] = group->beside ? '|' : '+';
        memcpy(name + used, fits ? next : "...", (fits ? length : 3) + 1);
        used += fits ? length : 3;
        if (!fits) break;
    }
    return arena_copy_string(&profile->arena, name);
}

static bool describe(tw_profile *profile, const tw_program *program, int g) {
    const struct code *code = program->code;
    const struct group *group = &code->groups.at[g];
    tw_profile_row *row = &profile->rows[g];
    row->operators = name_group(profile, code, group);
    row->scope = arena_copy_string(&profile->arena, code->instructions.at[group->first].scope);
    for (int i = group->first; i < group->first + group->count; i++) {
        const instruction *it = &code->instructions.at[i];
        tw_cost cost = {0, 0};
        const step *at = &program->steps[i];
        if (it->generated && it->generated->product &&
            !signature_cost(&at->product->signature, &cost))
            return false;
        if (it->generated)
            cost.flops += generated_flops(it->generated, &at->fused);
        else if (!signature_cost(&at->call.signature, &cost))
            return false;
        row->flops += cost.flops;
        for (int k = 0; k < it->n_operands; k++) row->bytes += bytes_of(program, it->operand[k]);
        for (int k = 0; k < it->n_results; k++)
            row->bytes += bytes_of(program, it->result + (uint32_t)k);
    }
    return row->operators && row->scope;
}

/* taken[g * runs + i]: seconds of group g in run i; those of the whole run behind them. */
static tw_status measure(tw_profile *profile, tw_program *program, tw_tensor *const *in,
                         tw_tensor **out, int runs, double *taken, double *times) {
    size_t count = (size_t)profile->count, all = (size_t)runs;
    tw_status status = tw_run(program, in, out);
    program->times = times;
    for (size_t i = 0; !status && i < all; i++) {
        double began = clock_seconds();
        status = tw_run(program, in, out);
        taken[count * all + i] = clock_seconds() - began;
        for (size_t g = 0; !status && g < count; g++) {
            taken[g * all + i] = times[g + 1] - times[g];
            profile->rows[g].start = times[g] - began;
        }
    }
    program->times = NULL;
    return status;
}

static tw_status fill(tw_profile *profile, tw_program *program, tw_tensor *const *in,
                      tw_tensor **out, int runs) {
    tw_context *context = profile->object.context;
    size_t count = (size_t)profile->count, all = (count + 1) * (size_t)runs;
    profile->rows = arena_allocate(&profile->arena, count + 1, sizeof *profile->rows);
    double *taken = context_allocate(context, all, sizeof *taken);
    double *times = context_allocate(context, count + 1, sizeof *times);
    tw_status status = profile->rows && taken && times
                           ? measure(profile, program, in, out, runs, taken, times)
                           : TW_ERR_MEMORY;
    for (int g = 0; !status && g < profile->count; g++) {
        profile->rows[g].seconds = median(taken + (size_t)g * (size_t)runs, runs);
        if (!describe(profile, program, g)) status = TW_ERR_MEMORY;
    }
    if (!status) profile->seconds = median(taken + count * (size_t)runs, runs);
    context_release(context, taken);
    context_release(context, times);
    return status;
}

tw_profile *tw_profile_new(tw_program *program, tw_tensor *const *in, tw_tensor **out, int runs) {
    if (!program) return NULL;
    tw_context *context = program->object.context;
    if (runs < 1 || runs > MOST_RUNS) {
        context_error(context, TW_ERR_ARGUMENT, "tw_profile_new: %d runs, expected 1 to %d", runs,
                      MOST_RUNS);
        return NULL;
    }
    tw_profile *profile = object_new(context, sizeof *profile, destroy);
    if (!profile) return NULL;
    arena_start(&profile->arena, context);
    profile->count = (int)program->code->groups.count;
    if (!fill(profile, program, in, out, runs)) return profile;
    object_drop(profile);
    return NULL;
}

void tw_profile_free(tw_profile *profile) { object_drop(profile); }

const tw_profile_row *tw_profile_at(const tw_profile *profile, int i) {
    return profile && i >= 0 && i < profile->count ? &profile->rows[i] : NULL;
}

double tw_profile_seconds(const tw_profile *profile) { return profile ? profile->seconds : 0; }
