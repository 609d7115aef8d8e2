/* tw_parallel_for over the context's workers, or over OpenMP where a library needs that. */
#define _GNU_SOURCE /* sched_getaffinity */
#include "base/parallel.h"

#include <sched.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

#ifdef TW_THREADS_OPENMP
#include <omp.h>
#endif

enum { MOST_THREADS = 4096 };

typedef struct job {
    parallel_body body;
    void *argument;
    int64_t count, grain;
    int parts;
} job;

typedef struct range {
    int64_t begin, end;
} range;

/* Part i of a job: whole grains, spread as evenly as they go. */
static range range_of(const job *job, int part) {
    int64_t grains = job->count / job->grain + (job->count % job->grain != 0);
    int64_t each = grains / job->parts, extra = grains % job->parts;
    int64_t first = each * part + (part < extra ? part : extra);
    int64_t last = first + each + (part < extra);
    return (range){first * job->grain, last >= grains ? job->count : last * job->grain};
}

static void run_part(const job *job, int part) {
    range r = range_of(job, part);
    job->body(job->argument, r.begin, r.end);
}

static void run_by_openmp(const job *job) {
#ifdef TW_THREADS_OPENMP
#pragma omp parallel num_threads(job->parts)
    {
        /* Fewer threads may come than were asked for. */
        for (int i = omp_get_thread_num(); i < job->parts; i += omp_get_num_threads())
            run_part(job, i);
    }
#else
    for (int i = 0; i < job->parts; i++) run_part(job, i);
#endif
}

static void run_by_workers(tw_context *context, const job *job) {
    for (int i = 1; i < job->parts; i++) {
        range r = range_of(job, i);
        if (!workers_give(context->workers, i - 1, job->body, job->argument, r.begin, r.end))
            run_part(job, i);
    }
    run_part(job, 0);
    workers_wait(context->workers, job->parts - 1);
}

static int threads_of(const tw_context *context) {
    return context->threads < MOST_THREADS ? context->threads : MOST_THREADS;
}

/* Processors that this thread may run on. */
static int processors(void) {
#ifdef CPU_COUNT
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
#endif
    return (int)sysconf(_SC_NPROCESSORS_ONLN);
}

/* What users of OpenMP know: others want the processors while a thread waits. */
static bool waits_passively(void) {
    const char *policy = getenv("OMP_WAIT_POLICY");
    return policy && strcasecmp(policy, "passive") == 0;
}

bool parallel_start(tw_context *context) {
    int threads = threads_of(context), here = processors();
    context->workers = workers_new(context, threads - 1, threads <= here && !waits_passively());
    /* Bound: threads of ours would be so too, and OpenMP's know where they belong. */
    if (here < threads && here < sysconf(_SC_NPROCESSORS_ONLN)) parallel_by_openmp(context);
    return context->workers != NULL;
}

void tw_parallel_for(tw_context *context, int64_t count, int64_t grain, parallel_body body,
                     void *argument) {
    if (count <= 0) return;
    if (grain < 1) grain = 1;
    int64_t grains = count / grain + (count % grain != 0);
    int parts = threads_of(context);
    if (grains < parts) parts = (int)grains;
    if (parts <= 1 || context->in_parallel) {
        body(argument, 0, count);
        return;
    }
    job job = {body, argument, count, grain, parts};
    context->in_parallel = true;
    if (context->by_openmp)
        run_by_openmp(&job);
    else
        run_by_workers(context, &job);
    context->in_parallel = false;
}

void parallel_by_openmp(tw_context *context) {
#ifdef TW_THREADS_OPENMP
    context->by_openmp = true;
#else
    (void)context;
#endif
}
