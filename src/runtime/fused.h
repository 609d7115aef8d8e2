/* Instructions that a generated kernel runs. */
#ifndef RUNTIME_FUSED_H
#define RUNTIME_FUSED_H

#include "codegen/generated/generated.h"
#include "runtime/program.h"

/* Slots and pieces for extents that are known; domain is the nest's with numbers. */
tw_status fused_bind(tw_program *program, const instruction *it, step *at, tw_shape domain);
tw_status fused_run(const tw_program *program, const instruction *it, const step *at);
/* One that runs in blocks, as one of several products side by side. */
dot_task fused_task(const instruction *it, const step *at, generated_finishing *finishing);

#endif
