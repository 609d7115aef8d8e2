/*
 * Products with a weight in training, cut in the middle of the depth: each thread reads one half of w's rows, those
 * that it also updates. By columns it would read all rows, and half of them would have to come from another core
 * after each update.
 */
#include "codegen/generated/halves.h"

#include "base/parallel.h"

enum {
    LEAST_ROWS = 16,
    LEAST_DEPTH = 256,
    LEAST_BYTES = 256 << 10, /* of w */
    MOST_BYTES = 2 << 20,    /* ... what stays in the cores' own caches from step to step */
    W_OF_Y = 4,              /* so many times as large as y, which is written twice and added */
    BLOCK_FLOATS = 4096,     /* added at a time */
    GRAIN_FLOATS = 4096      /* worth a thread */
};

bool halves_of(const matrix_product *m, matrix_product *halves) {
    int64_t rows = m->y_extent[0], columns = m->y_extent[1], depth = m->x_extent[1];
    if (!m->w_updated || m->rank != 2 || m->w_stride[1] != 1 || rows < LEAST_ROWS ||
        depth < LEAST_DEPTH || depth % 2)
        return false;
    double w = (double)depth * (double)columns, y = (double)rows * (double)columns;
    if (columns > BLOCK_FLOATS || w * sizeof(float) < LEAST_BYTES ||
        w * sizeof(float) > MOST_BYTES || y * W_OF_Y > w)
        return false;
    *halves = (matrix_product){
        .rank = 3,
        .x_extent = {2, rows, depth / 2},
        .x_stride = {depth / 2 * m->x_stride[1], m->x_stride[0], m->x_stride[1]},
        .w_extent = {2, depth / 2, columns},
        .w_stride = {depth / 2 * m->w_stride[0], m->w_stride[0], 1},
        .y_extent = {2, rows, columns},
        .y_stride = {rows * columns, columns, 1},
    };
    return true;
}

size_t halves_bytes(const matrix_product *halves) {
    return 2 * (size_t)halves->y_stride[0] * sizeof(float);
}

typedef struct adding {
    const float *first, *second;
    int64_t columns;
    float *y;
    const dot_finish *finish;
} adding;

static void add(const float *first, const float *second, int64_t count, float *to) {
    for (int64_t i = 0; i < count; i++) to[i] = first[i] + second[i];
}

static void add_rows(void *argument, int64_t row, int64_t end) {
    _Alignas(64) float numbers[BLOCK_FLOATS];
    const adding *a = argument;
    int64_t most = BLOCK_FLOATS / a->columns;
    for (; row < end; row += most) {
        int64_t rows = most < end - row ? most : end - row, from = row * a->columns;
        float *to = a->finish ? numbers : a->y + from;
        add(a->first + from, a->second + from, rows * a->columns, to);
        if (!a->finish) continue;
        const dot_block block = {row, rows, 0, a->columns, a->columns};
        a->finish->take(a->finish->state, &block, numbers);
    }
}

void halves_add(tw_context *context, const matrix_product *halves, const float *partial, float *y,
                const dot_finish *finish) {
    int64_t columns = halves->y_extent[2];
    adding a = {partial, partial + halves->y_stride[0], columns, y, finish};
    tw_parallel_for(context, halves->y_extent[1], GRAIN_FLOATS / columns + 1, add_rows, &a);
}
