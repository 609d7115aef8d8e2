/*
 * What this machine can do at best: fused multiply-adds in f32 a second, and bytes moved a second
 * by a copy, for working sets from cache to memory: the better of the C library's copy and one that
 * writes past the caches, both in huge pages. bench/compare makes the floor from it.
 *
 * usage: bench_floor THREADS
 * prints "flops RATE", then "bandwidth BYTES RATE" for growing BYTES (read and written).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#ifdef __AVX512F__
#include <immintrin.h>
#endif

#include "base/parallel.h"

#ifdef __AVX512F__
enum { LANES = 16 };
#else
enum { LANES = 8 };
#endif
/* Enough of them to hide the latency of the multiply-add, few enough for the registers. */
enum { CHAINS = 12, FMA_LOOPS = 4000000, TRIES = 5 };
static const double LEAST_SECONDS = 0.5; /* of tries: a neighbour's burst passes */
typedef float lanes __attribute__((vector_size(LANES * 4)));

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* argument: a float per thread that keeps the result alive. */
static void multiply_add(void *argument, int64_t begin, int64_t end) {
    for (int64_t thread = begin; thread < end; thread++) {
        lanes sum[CHAINS], factor, offset;
        for (int k = 0; k < LANES; k++) factor[k] = 0.999f, offset[k] = 1e-3f;
        for (int i = 0; i < CHAINS; i++) sum[i] = offset * (float)(i + 1);
        for (int64_t n = 0; n < FMA_LOOPS; n++)
#pragma GCC unroll 12
            for (int i = 0; i < CHAINS; i++) sum[i] = sum[i] * factor + offset;
        float total = 0;
        for (int i = 0; i < CHAINS; i++)
            for (int k = 0; k < LANES; k++) total += sum[i][k];
        ((float *)argument)[thread] = total;
    }
}

typedef struct copying {
    char *from, *to;
    size_t part; /* bytes that a thread reads; it writes as many */
    int64_t times;
} copying;

static void copy(void *argument, int64_t begin, int64_t end) {
    const copying *c = argument;
    for (int64_t thread = begin; thread < end; thread++)
        for (int64_t n = 0; n < c->times; n++) {
            memcpy(c->to + (size_t)thread * c->part, c->from + (size_t)thread * c->part, c->part);
            __asm__ volatile("" ::: "memory"); /* each copy is made */
        }
}

#ifdef __AVX512F__
/* Writes without reading the lines first. */
static void stream(void *argument, int64_t begin, int64_t end) {
    const copying *c = argument;
    for (int64_t thread = begin; thread < end; thread++)
        for (int64_t n = 0; n < c->times; n++) {
            const char *from = c->from + (size_t)thread * c->part;
            char *to = c->to + (size_t)thread * c->part;
            for (size_t i = 0; i < c->part; i += 64)
                _mm512_stream_si512((void *)(to + i), _mm512_load_si512((const void *)(from + i)));
            _mm_sfence();
        }
}
#else
#define stream copy
#endif

static char *huge_pages(size_t bytes) {
    const size_t page = (size_t)2 << 20;
    char *memory = aligned_alloc(page, bytes);
    if (!memory) return NULL;
#ifdef MADV_HUGEPAGE
    madvise(memory, bytes, MADV_HUGEPAGE); /* where it is refused, small ones must do */
#endif
    memset(memory, 1, bytes);
    return memory;
}

/* Best of many tries: a floor is what the machine can do, not what it does on average. */
static double best_time(tw_context *context, int threads, parallel_body body, void *argument) {
    double best = 1e300, first = now();
    for (int i = 0; i < TRIES || now() - first < LEAST_SECONDS; i++) {
        double start = now();
        tw_parallel_for(context, threads, 1, body, argument);
        double seconds = now() - start;
        if (seconds < best) best = seconds;
    }
    return best;
}

int main(int argc, char **argv) {
    int threads = argc > 1 ? atoi(argv[1]) : 0;
    if (threads < 1 || threads > 1024) {
        fprintf(stderr, "usage: bench_floor THREADS\n");
        return 2;
    }
    const size_t largest = (size_t)256 << 20;
    tw_context *context = tw_context_new(&(tw_context_opts){.threads = threads});
    float *kept = calloc((size_t)threads, sizeof *kept);
    copying c = {.from = huge_pages(largest), .to = huge_pages(largest)};
    if (!context || !kept || !c.from || !c.to) return 1;

    double seconds = best_time(context, threads, multiply_add, kept);
    printf("flops %.6g\n", 2.0 * LANES * CHAINS * FMA_LOOPS * threads / seconds);
    for (size_t bytes = (size_t)64 << 10; bytes <= largest; bytes *= 4) {
        c.part = bytes / 2 / (size_t)threads / 64 * 64;
        c.times = (int64_t)(((size_t)512 << 20) / bytes);
        seconds = best_time(context, threads, copy, &c);
        double streamed = best_time(context, threads, stream, &c);
        if (streamed < seconds) seconds = streamed;
        double moved = 2.0 * (double)c.part * threads * (double)c.times;
        printf("bandwidth %zu %.6g\n", bytes, moved / seconds);
    }
    free(kept);
    free(c.from);
    free(c.to);
    tw_context_free(context);
    return 0;
}
