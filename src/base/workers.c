/*
 * One mailbox for each worker, in a line of cache of its own: the caller writes a range and a new ticket, the worker
 * writes the ticket back when it is done. Whoever waits looks at the ticket for some milliseconds, since that costs
 * 0.1 us for both ways, and then sleeps at a semaphore. Two threads on one processor need that long to be told apart:
 * the system moves the one that waits for its turn, but none that sleeps or ran just before.
 */
#include "base/workers.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

#include "base/context.h"

enum { CACHE_LINE = 64, MANY_LOOKS = 100000, FEW_LOOKS = 64 };

typedef struct waiter {
    _Alignas(CACHE_LINE) atomic_bool asleep;
    int looks;
    sem_t bell;
} waiter;

typedef struct worker {
    _Alignas(CACHE_LINE) atomic_uint given;
    parallel_body body; /* NULL: end */
    void *argument;
    int64_t begin, end;
    _Alignas(CACHE_LINE) atomic_uint done;
    waiter waiter, *caller;
    pthread_t thread;
    bool started;
} worker;

struct workers {
    waiter caller;
    int count;
    worker at[];
};

static void waiter_start(waiter *w, bool patient) {
    w->looks = patient ? MANY_LOOKS : FEW_LOOKS;
    sem_init(&w->bell, 0, 0);
}

static void pause_processor(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void sleep_at(waiter *me) {
    while (sem_wait(&me->bell) && errno == EINTR) continue;
}

static void wait_until(waiter *me, atomic_uint *word, unsigned value) {
    for (int i = 0; i < me->looks; i++) {
        if (atomic_load_explicit(word, memory_order_acquire) == value) return;
        pause_processor();
    }
    while (atomic_load(word) != value) {
        atomic_exchange(&me->asleep, true); /* and see what came before the last ring */
        /* Who took the mark away rings, so there is a ring to wait for. */
        if (atomic_load(word) != value || !atomic_exchange(&me->asleep, false)) sleep_at(me);
    }
}

static void ring(waiter *other) {
    if (atomic_exchange(&other->asleep, false)) sem_post(&other->bell);
}

static void *work(void *argument) {
    worker *me = argument;
    for (unsigned ticket = 1;; ticket++) {
        wait_until(&me->waiter, &me->given, ticket);
        if (!me->body) return NULL;
        me->body(me->argument, me->begin, me->end);
        /* In one order with wait_until: it sees the ticket, or we see that it sleeps. */
        atomic_store(&me->done, ticket);
        if (atomic_load(&me->caller->asleep)) ring(me->caller);
    }
}

workers *workers_new(tw_context *context, int count, bool patient) {
    workers *made =
        context_allocate_aligned(context, sizeof *made + (size_t)count * sizeof made->at[0]);
    if (!made) return NULL;
    memset(made, 0, sizeof *made);
    made->count = count;
    waiter_start(&made->caller, patient);
    for (int i = 0; i < count; i++) {
        memset(&made->at[i], 0, sizeof made->at[i]);
        made->at[i].caller = &made->caller;
        waiter_start(&made->at[i].waiter, patient);
    }
    return made;
}

/* A user's signals are for the user's threads. */
static bool start(worker *w) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    w->started = pthread_create(&w->thread, NULL, work, w) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return w->started;
}

static unsigned ticket_of(const worker *w) {
    return atomic_load_explicit(&w->given, memory_order_relaxed);
}

/* A worker that falls asleep this very moment is woken by workers_wait: a barrier here would hold up the caller for as
 * long as the line takes. */
static void give(worker *w, parallel_body body, void *argument, int64_t begin, int64_t end) {
    bool asleep = atomic_load_explicit(&w->waiter.asleep, memory_order_relaxed);
    w->body = body;
    w->argument = argument;
    w->begin = begin;
    w->end = end;
    atomic_store_explicit(&w->given, ticket_of(w) + 1, memory_order_release);
    if (asleep) ring(&w->waiter);
}

bool workers_give(workers *workers, int index, parallel_body body, void *argument, int64_t begin,
                  int64_t end) {
    worker *w = &workers->at[index];
    if (!w->started && !start(w)) return false;
    give(w, body, argument, begin, end);
    return true;
}

static void wait_for(workers *workers, worker *w) {
    if (atomic_load_explicit(&w->done, memory_order_acquire) == ticket_of(w)) return;
    ring(&w->waiter);
    wait_until(&workers->caller, &w->done, ticket_of(w));
}

void workers_wait(workers *workers, int count) {
    for (int i = 0; i < count; i++) wait_for(workers, &workers->at[i]);
}

void workers_free(tw_context *context, workers *workers) {
    if (!workers) return;
    for (int i = 0; i < workers->count; i++) {
        worker *w = &workers->at[i];
        if (w->started) {
            give(w, NULL, NULL, 0, 0);
            ring(&w->waiter);
            pthread_join(w->thread, NULL);
        }
        sem_destroy(&w->waiter.bell);
    }
    sem_destroy(&workers->caller.bell);
    context_release_aligned(context, workers);
}
