/* Tiles of Winograd's convolution, one vector of channels at a time. */
#ifndef CODEGEN_PLAIN_WINOGRAD_TILE_H
#define CODEGEN_PLAIN_WINOGRAD_TILE_H

#include "codegen/plain/lanes.h"
#include "codegen/plain/winograd.h"

/* Tiles of BLOCK positions are transformed and multiplied while they are in cache. */
enum { POSITIONS = 16, BLOCK = 48, ROW_STEP = 12, LINE = 16, MOST_CHANNELS = 256 };

/* A pixel of the padding. */
static const float no_pixel[MOST_CHANNELS];

/* What a convolution reads and writes, in two spatial axes. */
typedef struct tiling {
    int64_t batch, channels; /* of the array that is read */
    int64_t in[2], low[2];   /* its extents, and the zeros before them */
    int64_t out[2];          /* extents of the other array, which is cut into 2x2 */
    int64_t tiles[2], count; /* of all samples together */
} tiling;

static inline tiling tiling_of(int64_t batch, int64_t channels, const int64_t in[3],
                               const int64_t out[3], int64_t low_y, int64_t low_x) {
    tiling t = {.batch = batch, .channels = channels, .low = {low_y, low_x}};
    for (int i = 0; i < 2; i++) {
        t.in[i] = in[i + 1];
        t.out[i] = out[i + 1];
        t.tiles[i] = (out[i + 1] + 1) / 2;
    }
    t.count = batch * t.tiles[0] * t.tiles[1];
    return t;
}

/* Floats between the positions of a block; a line more, so that they are not all in one cache set. */
static inline int64_t position_step(int64_t channels) { return BLOCK * channels + LINE; }

/* The pixels of a square with a corner at (y, x); those outside of the array are no_pixel. */
typedef struct window {
    const float *pixel[POSITIONS];
} window;

static inline window window_at(const float *sample, const int64_t extent[2], int64_t channels,
                               int64_t y, int64_t x, int side) {
    window w;
    for (int i = 0; i < side; i++)
        for (int j = 0; j < side; j++) {
            int64_t row = y + i, column = x + j;
            bool inside = row >= 0 && row < extent[0] && column >= 0 && column < extent[1];
            w.pixel[i * side + j] =
                inside ? sample + (row * extent[1] + column) * channels : no_pixel;
        }
    return w;
}

/* BT d B of a tile of 4x4: `to` has 16 positions. */
static inline void transform_input(const window *from, int64_t channel, float *to, int64_t step) {
    lanes half[4][4];
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) {
        lanes a = load(from->pixel[j] + channel), b = load(from->pixel[4 + j] + channel);
        lanes c = load(from->pixel[8 + j] + channel), d = load(from->pixel[12 + j] + channel);
        half[0][j] = a - c;
        half[1][j] = b + c;
        half[2][j] = c - b;
        half[3][j] = b - d;
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        store(to + (i * 4 + 0) * step, half[i][0] - half[i][2]);
        store(to + (i * 4 + 1) * step, half[i][1] + half[i][2]);
        store(to + (i * 4 + 2) * step, half[i][2] - half[i][1]);
        store(to + (i * 4 + 3) * step, half[i][1] - half[i][3]);
    }
}

/* Tiles first.. of x, `count` of them, and as many more as make whole rows of the products. */
static inline void transform_inputs(const tiling *t, const float *x, int64_t first, int64_t count,
                                    float *to) {
    int64_t step = position_step(t->channels), sample = t->in[0] * t->in[1] * t->channels;
    int64_t rows = (count + ROW_STEP - 1) / ROW_STEP * ROW_STEP;
    for (int64_t i = 0; i < rows; i++) {
        int64_t tile = first + (i < count ? i : count - 1);
        int64_t column = tile % t->tiles[1], row = tile / t->tiles[1] % t->tiles[0];
        const float *from = x + tile / (t->tiles[0] * t->tiles[1]) * sample;
        window w =
            window_at(from, t->in, t->channels, row * 2 - t->low[0], column * 2 - t->low[1], 4);
        for (int64_t c = 0; c < t->channels; c += LANES)
            transform_input(&w, c, to + i * t->channels + c, step);
    }
}

/* 0 in each lane as long as all numbers have been finite, then NaN. */
static inline lanes finite_so_far(lanes known, lanes value) { return known + value * 0; }
static inline bool all_finite(lanes known) {
    bool finite = true;
    for (int i = 0; i < LANES; i++) finite &= known[i] == 0;
    return finite;
}

#endif
