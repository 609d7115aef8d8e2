/* tw_parallel_for over OpenMP, or over POSIX threads where the thread sanitizer must see them. */
#include "base/parallel.h"

#ifdef TW_THREADS_PTHREAD
#include <pthread.h>
#elif defined(TW_THREADS_OPENMP)
#include <omp.h>
#endif

typedef struct job {
    parallel_body body;
    void *argument;
    int64_t count, grain;
    int parts;
} job;

/* Part i of a job: whole grains, spread as evenly as they go. */
static void run_part(const job *job, int part) {
    int64_t grains = job->count / job->grain + (job->count % job->grain != 0);
    int64_t each = grains / job->parts, extra = grains % job->parts;
    int64_t first = each * part + (part < extra ? part : extra);
    int64_t last = first + each + (part < extra);
    int64_t begin = first * job->grain;
    int64_t end = last >= grains ? job->count : last * job->grain;
    if (begin < end) job->body(job->argument, begin, end);
}

#ifdef TW_THREADS_PTHREAD
enum { MOST_THREADS = 64 };
typedef struct seat {
    const job *job;
    int part;
} seat;

static void *run_seat(void *argument) {
    const seat *it = argument;
    run_part(it->job, it->part);
    return NULL;
}

static void run_job(const job *job) {
    pthread_t thread[MOST_THREADS];
    seat seats[MOST_THREADS];
    bool started[MOST_THREADS] = {false};
    for (int i = 1; i < job->parts; i++) {
        seats[i] = (seat){job, i};
        started[i] = pthread_create(&thread[i], NULL, run_seat, &seats[i]) == 0;
    }
    run_part(job, 0);
    for (int i = 1; i < job->parts; i++) {
        if (started[i])
            pthread_join(thread[i], NULL);
        else
            run_part(job, i);
    }
}
#else
enum { MOST_THREADS = 4096 };
static void run_job(const job *job) {
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
#endif

void tw_parallel_for(tw_context *context, int64_t count, int64_t grain, parallel_body body,
                     void *argument) {
    if (count <= 0) return;
    if (grain < 1) grain = 1;
    int64_t grains = count / grain + (count % grain != 0);
    int parts = context->threads < MOST_THREADS ? context->threads : MOST_THREADS;
    if (grains < parts) parts = (int)grains;
    if (parts <= 1) {
        body(argument, 0, count);
        return;
    }
    job job = {body, argument, count, grain, parts};
    run_job(&job);
}
