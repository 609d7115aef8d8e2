/* Groups of products that run side by side. */
#ifndef RUNTIME_BESIDE_H
#define RUNTIME_BESIDE_H

#include "runtime/program.h"

/* For extents that are known, after the group's steps: whether its products can run side by side, and their scratch.
 * They take turns where one of them can't. */
void beside_bind(tw_program *program, const struct group *group);
tw_status beside_run(const tw_program *program, const struct group *group);

#endif
