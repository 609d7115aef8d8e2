/* Threads that wait for ranges of work: what tw_parallel_for runs on. */
#ifndef BASE_WORKERS_H
#define BASE_WORKERS_H

#include <stdbool.h>
#include <stdint.h>
#include <thalweg/base.h>

typedef void (*parallel_body)(void *argument, int64_t begin, int64_t end);

/* `count` workers of one caller, 0 and more; NULL: no memory. Each thread starts with its first range. Patient ones, and
 * their caller, keep their processors for some milliseconds while they wait for one another. */
typedef struct workers workers;
workers *workers_new(tw_context *context, int count, bool patient);
void workers_free(tw_context *context, workers *workers);

/*
 * Worker `index` calls body on the range, while the caller goes on; workers_wait comes before the
 * next range of the same worker. False: the system gives no thread, the caller has to do it.
 */
bool workers_give(workers *workers, int index, parallel_body body, void *argument, int64_t begin,
                  int64_t end);
/* Until the first `count` workers have done what they were given. */
void workers_wait(workers *workers, int count);

#endif
