/* Checks of schedules. */
#ifndef OPTIM_SCHEDULE_H
#define OPTIM_SCHEDULE_H

#include <thalweg/optim.h>

/* What is wrong with it, NULL for nothing. */
const char *schedule_problem(const tw_schedule *schedule);
/* Whether the factor is not 1 always. */
bool schedule_varies(const tw_schedule *schedule);

#endif
