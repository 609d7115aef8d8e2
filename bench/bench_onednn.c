/*
 * Products by oneDNN alone, called as its manual says: what `bench/compare dot` compares with.
 *
 * bench_onednn CASE...: dot:BATCHxMxKxN. Speaks the protocol of harness.h. OMP_NUM_THREADS is the
 * number of threads.
 */
#include <oneapi/dnnl/dnnl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"

enum { MOST_CASES = 64, PROBES = 5, ARGUMENTS = 3 };

typedef struct product {
    dnnl_primitive_t primitive;
    dnnl_exec_arg_t arguments[ARGUMENTS];
    dnnl_stream_t stream;
} product;

static bool step(void *argument) {
    const product *p = argument;
    return dnnl_primitive_execute(p->primitive, p->stream, ARGUMENTS, p->arguments) ==
               dnnl_success &&
           dnnl_stream_wait(p->stream) == dnnl_success;
}

/* (batch, rows, columns), or without a batch of 1. */
static void extents(const int64_t *batch_rows_columns, int *rank, dnnl_dims_t dims) {
    int first = batch_rows_columns[0] == 1;
    *rank = 3 - first;
    for (int i = first; i < 3; i++) dims[i - first] = batch_rows_columns[i];
}

static bool create(dnnl_primitive_t *primitive, dnnl_primitive_desc_t chosen) {
    bool good = !dnnl_primitive_create(primitive, chosen);
    dnnl_primitive_desc_destroy(chosen);
    return good;
}

/* The primitive, and memories over data[]. */
#if DNNL_VERSION_MAJOR >= 3
static bool make(product *p, dnnl_engine_t engine, dnnl_dims_t *dims, int rank,
                 float *const *data) {
    const dnnl_format_tag_t tag = rank == 2 ? dnnl_ab : dnnl_abc;
    dnnl_memory_desc_t desc[ARGUMENTS];
    for (int i = 0; i < ARGUMENTS; i++)
        if (dnnl_memory_desc_create_with_tag(&desc[i], rank, dims[i], dnnl_f32, tag) ||
            dnnl_memory_create(&p->arguments[i].memory, desc[i], engine, data[i]))
            return false;
    dnnl_primitive_desc_t chosen;
    bool good = !dnnl_matmul_primitive_desc_create(&chosen, engine, desc[0], desc[1], NULL, desc[2],
                                                   NULL) &&
                create(&p->primitive, chosen);
    for (int i = 0; i < ARGUMENTS; i++) dnnl_memory_desc_destroy(desc[i]);
    return good;
}
#else
static bool make(product *p, dnnl_engine_t engine, dnnl_dims_t *dims, int rank,
                 float *const *data) {
    const dnnl_format_tag_t tag = rank == 2 ? dnnl_ab : dnnl_abc;
    dnnl_memory_desc_t desc[ARGUMENTS];
    for (int i = 0; i < ARGUMENTS; i++)
        if (dnnl_memory_desc_init_by_tag(&desc[i], rank, dims[i], dnnl_f32, tag) ||
            dnnl_memory_create(&p->arguments[i].memory, &desc[i], engine, data[i]))
            return false;
    dnnl_matmul_desc_t wanted;
    dnnl_primitive_desc_t chosen;
    return !dnnl_matmul_desc_init(&wanted, &desc[0], &desc[1], NULL, &desc[2]) &&
           !dnnl_primitive_desc_create(&chosen, &wanted, NULL, engine, NULL) &&
           create(&p->primitive, chosen);
}
#endif

static bool prepare(dnnl_engine_t engine, dnnl_stream_t stream, const char *name, product *p) {
    long long b, m, k, n;
    if (sscanf(name, "dot:%lldx%lldx%lldx%lld", &b, &m, &k, &n) != 4) return false;
    const int64_t shape[ARGUMENTS][3] = {{b, m, k}, {b, k, n}, {b, m, n}};
    const int role[ARGUMENTS] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST};
    dnnl_dims_t dims[ARGUMENTS] = {{0}};
    float *data[ARGUMENTS];
    size_t elements = 0;
    int rank = 0;
    p->stream = stream;
    for (int i = 0; i < ARGUMENTS; i++) {
        extents(shape[i], &rank, dims[i]);
        p->arguments[i].arg = role[i];
        elements = (size_t)(shape[i][0] * shape[i][1] * shape[i][2]);
        data[i] = aligned_alloc(64, (elements * 4 + 63) / 64 * 64);
        if (!data[i]) return false;
        for (size_t j = 0; j < elements; j++)
            data[i][j] = i == 2 ? 0 : harness_number((uint32_t)j, 77u * (uint32_t)i, 1);
    }
    if (!make(p, engine, dims, rank, data) || !step(p)) return false;
    printf("case %s\n", name);
    for (size_t i = 0; i < PROBES; i++)
        printf("check %.8g\n", (double)data[2][(elements - 1) * i / (PROBES - 1)]);
    return true;
}

int main(int argc, char **argv) {
    static product products[MOST_CASES];
    static harness_case cases[MOST_CASES];
    int n = argc - 1;
    if (n < 1 || n > MOST_CASES) {
        fprintf(stderr, "usage: bench_onednn CASE...\n");
        return 2;
    }
    dnnl_engine_t engine = NULL;
    dnnl_stream_t stream = NULL;
    bool good = !dnnl_engine_create(&engine, dnnl_cpu, 0) &&
                !dnnl_stream_create(&stream, engine, dnnl_stream_default_flags);
    for (int i = 0; good && i < n; i++) {
        good = prepare(engine, stream, argv[i + 1], &products[i]);
        cases[i] = (harness_case){argv[i + 1], step, &products[i]};
        if (!good) fprintf(stderr, "bench_onednn: cannot do %s\n", argv[i + 1]);
    }
    const dnnl_version_t *version = dnnl_version();
    printf("version oneDNN %d.%d.%d\n", version->major, version->minor, version->patch);
    good = good && harness_serve(n, cases);
    dnnl_stream_destroy(stream);
    dnnl_engine_destroy(engine);
    return !good;
}
