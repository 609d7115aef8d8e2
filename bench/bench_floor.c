/*
 * What this machine can do at best: fused multiply-adds in f32, and bytes moved by a copy, for
 * working sets from cache to memory: by the C library's copy and by one that writes past the
 * caches in turn, both in huge pages. bench/compare makes the floor from the fastest steps.
 *
 * bench_floor THREADS speaks the protocol of harness.h; its cases are flops and copy:BYTES for growing
 * BYTES (read and written).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#ifdef __AVX512F__
#include <immintrin.h>
#endif

#include "base/parallel.h"
#include "harness.h"

#ifdef __AVX512F__
enum { LANES = 16 };
#else
enum { LANES = 8 };
#endif
/* Enough of them to hide the latency of the multiply-add, few enough for the registers. */
enum { CHAINS = 12, FMA_LOOPS = 400000, MOST_SIZES = 16 };
static const size_t LEAST_BYTES = (size_t)64 << 10, MOST_BYTES = (size_t)256 << 20;
static const double STEP_BYTES = 256e6; /* that a step moves, if not all of a larger size */
typedef float lanes __attribute__((vector_size(LANES * 4)));

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
    tw_context *context;
    int threads;
    bool streams; /* the next step */
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

static bool step_copy(void *argument) {
    copying *c = argument;
    c->streams = !c->streams;
    tw_parallel_for(c->context, c->threads, 1, c->streams ? stream : copy, c);
    return true;
}

typedef struct multiplying {
    tw_context *context;
    int threads;
    float *kept;
} multiplying;

static bool step_multiply(void *argument) {
    const multiplying *m = argument;
    tw_parallel_for(m->context, m->threads, 1, multiply_add, m->kept);
    return true;
}

int main(int argc, char **argv) {
    int threads = argc > 1 ? atoi(argv[1]) : 0, n = 0;
    if (threads < 1 || threads > 1024) {
        fprintf(stderr, "usage: bench_floor THREADS\n");
        return 2;
    }
    tw_context *context = tw_context_new(&(tw_context_opts){.threads = threads});
    multiplying m = {context, threads, calloc((size_t)threads, sizeof *m.kept)};
    char *from = huge_pages(MOST_BYTES / 2), *to = huge_pages(MOST_BYTES / 2);
    if (!context || !m.kept || !from || !to) return 1;

    copying c[MOST_SIZES];
    char name[MOST_SIZES][32];
    harness_case cases[MOST_SIZES + 1];
    printf("case flops\noperator flops %.0f 0\n", 2.0 * LANES * CHAINS * FMA_LOOPS * threads);
    for (size_t bytes = LEAST_BYTES; bytes <= MOST_BYTES; bytes *= 2, n++) {
        c[n] = (copying){.from = from, .to = to, .context = context, .threads = threads};
        c[n].part = bytes / 2 / (size_t)threads / 64 * 64;
        c[n].times = 1 + (int64_t)(STEP_BYTES / (double)bytes);
        snprintf(name[n], sizeof name[n], "copy:%zu", bytes);
        printf("case %s\noperator copy 0 %.0f\n", name[n],
               2.0 * (double)c[n].part * threads * (double)c[n].times);
        cases[n] = (harness_case){name[n], step_copy, &c[n]};
    }
    cases[n] = (harness_case){"flops", step_multiply, &m};
    bool good = harness_serve(n + 1, cases);
    free(m.kept);
    free(from);
    free(to);
    tw_context_free(context);
    return good ? 0 : 1;
}
