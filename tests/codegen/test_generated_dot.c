/*
 * Generated products against sums in double precision, over extents around the sizes of tiles, layouts and
 * batches; the same bits with 1, 2 and 3 threads; with the widest vectors and with narrower ones.
 * LABELS: threads
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>
#include <thalweg/thalweg.h>

#include "codegen/generated/dot.h"
#include "codegen/machine_code.h"

enum { MOST_THREADS = 3, GUARD = 32 };

static tw_context *context[MOST_THREADS];

static int start(int vectors) {
    for (int i = 0; i < MOST_THREADS; i++) {
        context[i] = tw_context_new(&(tw_context_opts){.threads = i + 1, .vectors = vectors});
        assert_non_null(context[i]);
    }
    return 0;
}
static int start_widest(void **state) { return (void)state, start(0); }
static int start_half(void **state) { return (void)state, start(32); }
static int start_quarter(void **state) { return (void)state, start(16); }

static int teardown(void **state) {
    (void)state;
    for (int i = 0; i < MOST_THREADS; i++) tw_context_free(context[i]);
    return 0;
}

/* ---- one product ---- */

typedef struct layout {
    bool x_turned, w_turned; /* the axis that lies side by side is the rows', the depth's */
} layout;

static matrix_product product(int64_t batch, int64_t rows, int64_t depth, int64_t columns,
                              layout l) {
    return (matrix_product){
        .rank = 3,
        .x_extent = {batch, rows, depth},
        .x_stride = {rows * depth, l.x_turned ? 1 : depth, l.x_turned ? rows : 1},
        .w_extent = {batch, depth, columns},
        .w_stride = {depth * columns, l.w_turned ? 1 : columns, l.w_turned ? depth : 1},
        .y_extent = {batch, rows, columns},
        .y_stride = {rows * columns, columns, 1},
    };
}

/* Numbers that end where their memory does: what reads on is killed. */
typedef struct operand {
    float *at;
    char *pages;
    size_t bytes;
} operand;

static operand drawn(int64_t count, uint32_t seed) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), bytes = (size_t)count * sizeof(float);
    operand o = {.bytes = (bytes + page - 1) / page * page + page};
    o.pages = mmap(NULL, o.bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(o.pages != MAP_FAILED);
    assert_int_equal(mprotect(o.pages + o.bytes - page, page, PROT_NONE), 0);
    float *made = o.at = (float *)(void *)(o.pages + o.bytes - page - bytes);
    for (int64_t i = 0; i < count; i++) {
        seed = seed * 1664525 + 1013904223;
        made[i] = (float)(seed >> 8) / 8388608.0f - 1;
    }
    return o;
}

static void drop(const operand *o) { assert_int_equal(munmap(o->pages, o->bytes), 0); }

/* Each sum within a bound of rounding: depth * 2^-24 * sum of |x w|. */
static void check_sums(const matrix_product *m, const float *x, const float *w, const float *y) {
    for (int64_t b = 0; b < m->y_extent[0]; b++)
        for (int64_t i = 0; i < m->y_extent[1]; i++)
            for (int64_t j = 0; j < m->y_extent[2]; j++) {
                double sum = 0, size = 0;
                for (int64_t k = 0; k < m->x_extent[2]; k++) {
                    double of_x = x[b * m->x_stride[0] + i * m->x_stride[1] + k * m->x_stride[2]];
                    double of_w = w[b * m->w_stride[0] + k * m->w_stride[1] + j * m->w_stride[2]];
                    sum += of_x * of_w;
                    size += of_x * of_w < 0 ? -of_x * of_w : of_x * of_w;
                }
                double got = y[b * m->y_stride[0] + i * m->y_stride[1] + j];
                double bound = (double)(m->x_extent[2] + 1) * size / 16777216;
                if (got - sum <= bound && sum - got <= bound) continue;
                fail_msg("%d x (%d,%d,%d): y[%d,%d,%d] is %.9g, not %.9g", (int)m->y_extent[0],
                         (int)m->y_extent[1], (int)m->x_extent[2], (int)m->y_extent[2], (int)b,
                         (int)i, (int)j, got, sum);
            }
}

static int64_t elements(const int64_t *extent) { return extent[0] * extent[1] * extent[2]; }

static tw_status computed(tw_context *in, const matrix_product *m, const float *x, const float *w,
                          float *y) {
    dot_plan plan;
    tw_status status = generated_dot_prepare(in, m, NULL, &plan);
    return status ? status : generated_dot(in, &plan, x, w, y);
}

/* `same` is m in other words, which is what is computed. */
static void check_product(const matrix_product *m, const matrix_product *same) {
    size_t results = (size_t)elements(m->y_extent), bytes = (results + GUARD) * sizeof(float);
    operand x = drawn(elements(m->x_extent), 1), w = drawn(elements(m->w_extent), 2);
    float *first = malloc(bytes), *y = malloc(bytes);
    assert_non_null(first);
    assert_non_null(y);
    for (int i = 0; i < MOST_THREADS; i++) {
        float *to = i ? y : first;
        memset(to, 0xff, bytes); /* NaN: what is not written shows */
        assert_int_equal(computed(context[i], same, x.at, w.at, to), TW_OK);
        for (int g = 0; g < GUARD; g++) {
            uint32_t bits;
            memcpy(&bits, to + results + g, sizeof bits);
            assert_int_equal(bits, 0xffffffff);
        }
        if (i) assert_memory_equal(first, y, bytes);
    }
    check_sums(m, x.at, w.at, first);
    drop(&x);
    drop(&w);
    free(first);
    free(y);
}

static void check(int64_t batch, int64_t rows, int64_t depth, int64_t columns, layout l) {
    matrix_product m = product(batch, rows, depth, columns, l);
    check_product(&m, &m);
}

static bool is_served(void) { return machine_target_of(context[0]) != NULL; }

static void check_layouts(int64_t batch, int64_t rows, int64_t depth, int64_t columns) {
    for (int l = 0; l < 4; l++) check(batch, rows, depth, columns, (layout){l & 1, l >> 1});
}

/* ---- tests ---- */

/* Extents of one, below, at and above a tile's and a vector's, and primes. */
static void small_extents(void **state) {
    (void)state;
    static const int64_t rows[] = {1, 2, 3, 5, 7, 8, 12, 13, 25};
    static const int64_t columns[] = {1, 3, 4, 15, 16, 17, 31, 48, 65, 130};
    static const int64_t depth[] = {1, 2, 3, 15, 16, 17, 67};
    if (!is_served()) skip();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (size_t j = 0; j < sizeof columns / sizeof *columns; j++)
            for (size_t k = 0; k < sizeof depth / sizeof *depth; k++)
                check_layouts(1, rows[i], depth[k], columns[j]);
}

static void batches(void **state) {
    (void)state;
    if (!is_served()) skip();
    check_layouts(2, 3, 5, 7);
    check_layouts(7, 1, 33, 9);
    check_layouts(5, 19, 8, 1);
    check_layouts(64, 32, 64, 32);
    check_layouts(9, 33, 17, 49);
}

/* Enough work to be cut over threads, in each way. */
static void threads(void **state) {
    (void)state;
    if (!is_served()) skip();
    check_layouts(1, 64, 300, 256);
    check_layouts(1, 300, 64, 10);
    check_layouts(1, 1, 1024, 1023);
    check_layouts(1, 1023, 1024, 1);
    check_layouts(1, 4, 777, 517);
    check_layouts(1, 500, 8, 100);
    check_layouts(1, 16, 4096, 16);
}

/* Few rows of a w that comes from memory: the sums are gone on with slice after slice of the depth. */
static void large_w(void **state) {
    (void)state;
    if (!is_served()) skip();
    check(1, 1, 4096, 1031, (layout){0});
    check(1, 4, 2051, 2100, (layout){true, false});
    check(2, 2, 1030, 4200, (layout){0});
}

/* Columns past whole vectors. */
static void rests(void **state) {
    (void)state;
    if (!is_served()) skip();
    check_layouts(1, 33, 130, 18);
    check_layouts(3, 18, 129, 35);
    check_layouts(1, 67, 200, 20);
}

/* Fewer columns than a vector: along the depth, or two depths at a time. */
static void narrow(void **state) {
    (void)state;
    if (!is_served()) skip();
    for (int64_t columns = 2; columns < 16; columns++) {
        check(1, 131, 520, columns, (layout){0});
        check(2, 270, 257, columns, (layout){0});
        check(1, 133, 24, columns, (layout){0});
        check(3, 64, 66, columns, (layout){0});
    }
    check(1, 5, 4096, 3, (layout){0});
    check(3, 4100, 129, 2, (layout){0});
}

/* Panels that don't stay in the cache: rows far apart, and many rows with a masked vector. */
static void packed(void **state) {
    (void)state;
    if (!is_served()) skip();
    check(1, 300, 520, 512, (layout){0});
    check(1, 301, 4096, 70, (layout){0});
}

/* A weight in training: the depth is cut in halves; and just not. */
static void halves(void **state) {
    static const int64_t extent[][3] = {
        {20, 512, 200}, {17, 1022, 133}, {17, 1023, 133}, {64, 784, 256}};
    (void)state;
    if (!is_served()) skip();
    for (int i = 0; i < 8; i++) {
        const int64_t *e = extent[i / 2];
        matrix_product m = product(1, e[0], e[1], e[2], (layout){i % 2, false});
        matrix_product same = {
            .rank = 2,
            .x_extent = {e[0], e[1]},
            .x_stride = {m.x_stride[1], m.x_stride[2]},
            .w_extent = {e[1], e[2]},
            .w_stride = {e[2], 1},
            .y_extent = {e[0], e[2]},
            .y_stride = {e[2], 1},
            .w_updated = 1,
        };
        check_product(&m, &same);
    }
}

/* A batch whose operand is one for all has a step of 0. */
static void shared_operand(void **state) {
    (void)state;
    if (!is_served()) skip();
    matrix_product m = product(3, 4, 5, 6, (layout){0});
    m.w_stride[0] = 0;
    operand x = drawn(60, 1), w = drawn(30, 2);
    float y[72];
    assert_int_equal(computed(context[1], &m, x.at, w.at, y), TW_OK);
    check_sums(&m, x.at, w.at, y);
    drop(&x);
    drop(&w);
}

/* What is too deep, and what has no code, is declined and not computed badly. */
static void declined(void **state) {
    (void)state;
    float one[1] = {1}, y[1] = {2};
    matrix_product m = product(1, 1, 4097, 1, (layout){0});
    assert_int_equal(computed(context[0], &m, one, one, y), TW_ERR_UNSUPPORTED);
    tw_context *without = tw_context_new(&(tw_context_opts){.no_codegen = true});
    assert_non_null(without);
    m = product(1, 1, 1, 1, (layout){0});
    assert_int_equal(computed(without, &m, one, one, y), TW_ERR_UNSUPPORTED);
    assert_true(y[0] == 2);
    tw_context_free(without);
}

/* NaN and infinity come through, and numbers beside the matrices do not come in. */
static void specials(void **state) {
    (void)state;
    if (!is_served()) skip();
    float x[6] = {1, 2, NAN, 0, INFINITY, 1}, w[3 * 3] = {1, 1, 1, 0, 1, 2, 1, 1, 0}, y[6];
    matrix_product m = product(1, 2, 3, 3, (layout){0});
    assert_int_equal(computed(context[0], &m, x, w, y), TW_OK);
    for (int j = 0; j < 3; j++) assert_true(y[j] != y[j]);
    assert_true(y[3] != y[3]); /* 0 times infinity */
    assert_true(y[4] == INFINITY && y[5] == INFINITY);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_extents),  cmocka_unit_test(batches),  cmocka_unit_test(threads),
        cmocka_unit_test(large_w),        cmocka_unit_test(rests),    cmocka_unit_test(packed),
        cmocka_unit_test(shared_operand), cmocka_unit_test(declined), cmocka_unit_test(specials),
        cmocka_unit_test(halves),         cmocka_unit_test(narrow),
    };
    int failed = cmocka_run_group_tests_name("widest vectors", tests, start_widest, teardown);
    failed += cmocka_run_group_tests_name("32 bytes", tests, start_half, teardown);
    return failed + cmocka_run_group_tests_name("16 bytes", tests, start_quarter, teardown);
}
