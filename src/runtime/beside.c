/* Groups of products that run side by side: their plans, and this run's pointers. */
#include "runtime/beside.h"

#include "runtime/fused.h"

/* NULL where tiles don't serve, or a sum over halves has to follow. */
static const dot_plan *plan_of(const step *at) {
    const dot_plan *plan = at->call.kept;
    if (at->product) plan = at->product->blocks ? &at->product->plan : NULL;
    return plan && plan->target && !plan->halved ? plan : NULL;
}

void beside_bind(tw_program *program, const struct group *group) {
    const dot_plan *plan[MOST_BESIDE];
    step *at = &program->steps[group->first];
    at->beside = true;
    for (int i = 0; i < group->count; i++) {
        plan[i] = plan_of(&at[i]);
        at->beside = at->beside && plan[i];
        if (at[i].workspace > at->workspace) at->workspace = at[i].workspace;
    }
    if (at->beside)
        at->workspace = generated_dots_bytes(program->object.context, group->count, plan);
}

tw_status beside_run(const tw_program *program, const struct group *group) {
    dot_task task[MOST_BESIDE];
    generated_finishing finishing[MOST_BESIDE];
    for (int i = 0; i < group->count; i++) {
        const instruction *it = &program->code->instructions.at[group->first + i];
        const step *at = &program->steps[group->first + i];
        if (it->generated)
            task[i] = fused_task(it, at, &finishing[i]);
        else
            task[i] = (dot_task){at->call.kept, at->in[0], at->in[1], at->out[0], NULL};
    }
    return generated_dots(program->object.context, group->count, task);
}
