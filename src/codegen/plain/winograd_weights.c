/*
 * conv_weight_grad by Winograd's transform, transposed: with V the tiles of x and D = A dy AT those
 * of dy, dw = GT (sum over tiles of V D) G. The batch is cut by shape alone, and the pieces' sums
 * are added in a fixed binary tree.
 */
#include <stdatomic.h>
#include <string.h>

#include "base/parallel.h"
#include "codegen/onednn/onednn.h"
#include "codegen/plain/winograd_tile.h"

typedef struct job {
    tiling tiling;
    const winograd_arrays *arrays;
    int64_t in, out; /* channels */
    int64_t block_floats, sum_floats;
    int pieces;
    atomic_int slots, infinite;
} job;

/* A dy AT of a tile of 2x2: `to` has 16 positions. */
static void transform_gradient(const window *from, int64_t channel, float *to, int64_t step) {
    lanes half[4][2];
    for (int j = 0; j < 2; j++) {
        lanes a = load(from->pixel[j] + channel), b = load(from->pixel[2 + j] + channel);
        half[0][j] = a;
        half[1][j] = a + b;
        half[2][j] = a - b;
        half[3][j] = -b;
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        store(to + (i * 4 + 0) * step, half[i][0]);
        store(to + (i * 4 + 1) * step, half[i][0] + half[i][1]);
        store(to + (i * 4 + 2) * step, half[i][0] - half[i][1]);
        store(to + (i * 4 + 3) * step, -half[i][1]);
    }
}

static void transform_gradients(const job *j, int64_t first, int64_t count, float *to) {
    const tiling *t = &j->tiling;
    int64_t sample = t->out[0] * t->out[1] * j->out;
    for (int64_t i = 0; i < count; i++) {
        int64_t tile = first + i, column = tile % t->tiles[1];
        int64_t row = tile / t->tiles[1] % t->tiles[0];
        const float *from = j->arrays->dy + tile / (t->tiles[0] * t->tiles[1]) * sample;
        window w = window_at(from, t->out, j->out, row * 2, column * 2, 2);
        for (int64_t c = 0; c < j->out; c += LANES)
            transform_gradient(&w, c, to + i * j->out + c, position_step(j->out));
    }
}

/* ROWS channels of x by COLUMNS vectors of dy's: s += the sum over `count` tiles of v d. */
enum { ROWS = LANES == 16 ? 8 : 4 };
#define PRODUCT(NAME, COLUMNS)                                                                     \
    static void NAME(int64_t count, int64_t in, int64_t out, const float *v, const float *d,       \
                     float *s) {                                                                   \
        lanes sum[ROWS][COLUMNS];                                                                  \
        _Pragma("GCC unroll 8") for (int r = 0; r < ROWS; r++)                                     \
            _Pragma("GCC unroll 2") for (int c = 0; c < (COLUMNS); c++) sum[r][c] =                \
                load(s + r * out + c * LANES);                                                     \
        for (int64_t k = 0; k < count; k++, v += in, d += out) {                                   \
            lanes b[COLUMNS];                                                                      \
            _Pragma("GCC unroll 2") for (int c = 0; c < (COLUMNS); c++) b[c] =                     \
                load(d + c * LANES);                                                               \
            _Pragma("GCC unroll 8") for (int r = 0; r < ROWS; r++)                                 \
                _Pragma("GCC unroll 2") for (int c = 0; c < (COLUMNS); c++) sum[r][c] +=           \
                v[r] * b[c];                                                                       \
        }                                                                                          \
        _Pragma("GCC unroll 8") for (int r = 0; r < ROWS; r++)                                     \
            _Pragma("GCC unroll 2") for (int c = 0; c < (COLUMNS); c++)                            \
                store(s + r * out + c * LANES, sum[r][c]);                                         \
    }
PRODUCT(product_two, 2)
PRODUCT(product_one, 1)

static void multiply(const job *j, int64_t count, const float *v, const float *d, float *s) {
    int64_t in = j->in, out = j->out;
    for (int p = 0; p < POSITIONS; p++) {
        const float *vp = v + p * position_step(in), *dp = d + p * position_step(out);
        float *sp = s + p * in * out;
        for (int64_t o = 0; o < out;) {
            bool two = out - o >= 2 * LANES;
            for (int64_t i = 0; i < in; i += ROWS) {
                if (two)
                    product_two(count, in, out, vp + i, dp + o, sp + i * out + o);
                else
                    product_one(count, in, out, vp + i, dp + o, sp + i * out + o);
            }
            o += two ? 2 * LANES : LANES;
        }
    }
}

/* The sums of pieces begin..end-1. */
static void run_pieces(void *argument, int64_t begin, int64_t end) {
    job *j = argument;
    int slot = atomic_fetch_add(&j->slots, 1);
    float *v = j->arrays->blocks + slot * j->block_floats;
    float *d = v + POSITIONS * position_step(j->in);
    const tiling *t = &j->tiling;
    int64_t in_sample = t->tiles[0] * t->tiles[1];
    for (int64_t piece = begin; piece < end; piece++) {
        float *s = j->arrays->sums + piece * j->sum_floats;
        int64_t first = t->batch * piece / j->pieces * in_sample;
        int64_t past = t->batch * (piece + 1) / j->pieces * in_sample;
        memset(s, 0, (size_t)j->sum_floats * sizeof *s);
        for (; first < past; first += BLOCK) {
            int64_t count = past - first < BLOCK ? past - first : BLOCK;
            transform_inputs(t, j->arrays->x, first, count, v);
            transform_gradients(j, first, count, d);
            multiply(j, count, v, d, s);
        }
    }
}

/* GT s G. */
static void transform_sum(const float *s, int64_t step, lanes dw[3][3]) {
    lanes half[3][4];
    for (int k = 0; k < 4; k++) {
        lanes a = load(s + k * step), b = load(s + (4 + k) * step);
        lanes c = load(s + (8 + k) * step), d = load(s + (12 + k) * step);
        lanes sum = (b + c) * 0.5f;
        half[0][k] = a + sum;
        half[1][k] = (b - c) * 0.5f;
        half[2][k] = sum + d;
    }
    for (int i = 0; i < 3; i++) {
        lanes sum = (half[i][1] + half[i][2]) * 0.5f;
        dw[i][0] = half[i][0] + sum;
        dw[i][1] = (half[i][1] - half[i][2]) * 0.5f;
        dw[i][2] = sum + half[i][3];
    }
}

/* Channels begin..end-1 of x: the pieces' sums added up, and transformed to dw (3, 3, in, out). */
static void finish(void *argument, int64_t begin, int64_t end) {
    job *j = argument;
    float *sums = j->arrays->sums, *dw = j->arrays->result;
    int64_t plane = j->in * j->out;
    lanes known = {0};
    for (int p = 0; p < POSITIONS; p++) {
        onednn_add_tree(sums, j->pieces, (size_t)j->sum_floats, p * plane + begin * j->out,
                        p * plane + end * j->out);
    }
    for (int64_t at = begin * j->out; at < end * j->out; at += LANES) {
        lanes window[3][3];
        transform_sum(sums + at, plane, window);
        for (int k = 0; k < 9; k++) {
            known = finite_so_far(known, window[k / 3][k % 3]);
            store(dw + k * plane + at, window[k / 3][k % 3]);
        }
    }
    if (!all_finite(known)) atomic_store(&j->infinite, 1);
}

bool winograd_weight_grad(tw_context *context, const conv_geometry *g,
                          const winograd_arrays *arrays) {
    job j = {.arrays = arrays, .in = g->in_channels, .out = g->out_channels};
    j.tiling = tiling_of(g->batch, g->in_channels, g->in, g->out, g->low[1], g->low[2]);
    j.block_floats = (int64_t)winograd_block_floats(g);
    j.sum_floats = (int64_t)winograd_weight_floats(g);
    j.pieces = winograd_pieces(g);
    tw_parallel_for(context, j.pieces, 1, run_pieces, &j);
    tw_parallel_for(context, j.in, 1, finish, &j);
    return !atomic_load(&j.infinite);
}
