/*
 * conv and conv_input_grad by Winograd's transform. Blocks of tiles run in parallel; every tile is
 * computed by itself, so that its bits depend on no cut.
 */
#include "codegen/plain/winograd.h"

#include <stdatomic.h>

#include "base/parallel.h"
#include "codegen/plain/winograd_tile.h"

enum { MOST_PIECES = 16, LEAST_WORK = 1 << 20, MOST_SUM_CHANNELS = 128 * 128 };

bool winograd_serves(const conv_geometry *g) {
    bool good = LANES_WIDE && g->groups == 1 && g->in[0] == 1 && g->out[0] == 1;
    for (int i = 0; i < 3; i++) {
        good = good && g->stride[i] == 1 && g->dilation[i] == 1 && g->base_dilation[i] == 1 &&
               g->window[i] == (i == 0 ? 1 : 3) && g->low[i] <= (i == 0 ? 0 : 2);
    }
    good = good && g->in_channels % LANES == 0 && g->out_channels % LANES == 0 &&
           g->in_channels <= MOST_CHANNELS && g->out_channels <= MOST_CHANNELS;
    /* Of less work, the fixed costs eat what the multiplications save. */
    return good && (double)g->batch * (double)(g->out[1] * g->out[2]) * (double)g->in_channels *
                           (double)g->out_channels >=
                       LEAST_WORK;
}

bool winograd_serves_weights(const conv_geometry *g) {
    return winograd_serves(g) && g->in_channels * g->out_channels <= MOST_SUM_CHANNELS;
}

size_t winograd_weight_floats(const conv_geometry *g) {
    return (size_t)(POSITIONS * g->in_channels * g->out_channels);
}

size_t winograd_block_floats(const conv_geometry *g) {
    return (size_t)(POSITIONS * (position_step(g->in_channels) + position_step(g->out_channels)));
}

/* Samples that a block of tiles lies in, at most. */
static int64_t window_of(int64_t batch, const int64_t out[2]) {
    int64_t tiles = ((out[0] + 1) / 2) * ((out[1] + 1) / 2), samples = (BLOCK - 1) / tiles + 2;
    return samples < batch ? samples : batch;
}

size_t winograd_finished_floats(const conv_geometry *g, bool input_grad) {
    const int64_t *extent = input_grad ? g->in : g->out;
    int64_t channels = input_grad ? g->in_channels : g->out_channels;
    return (size_t)(window_of(g->batch, extent + 1) * extent[1] * extent[2] * channels);
}

int winograd_pieces(const conv_geometry *g) {
    return g->batch < MOST_PIECES ? (int)g->batch : MOST_PIECES;
}

typedef struct job {
    tiling tiling;
    const winograd_arrays *arrays;
    const float *x;
    int64_t in, out; /* channels */
    bool turned;     /* the weights are of the other direction */
    int64_t block_floats;
    atomic_int slots, infinite;
} job;

/* G g GT of one 3x3 window: 16 positions. */
static void transform_weight(lanes g[3][3], lanes u[4][4]) {
    lanes half[4][3];
    for (int j = 0; j < 3; j++) {
        lanes sum = (g[0][j] + g[2][j]) * 0.5f, middle = g[1][j] * 0.5f;
        half[0][j] = g[0][j];
        half[1][j] = sum + middle;
        half[2][j] = sum - middle;
        half[3][j] = g[2][j];
    }
    for (int i = 0; i < 4; i++) {
        lanes sum = (half[i][0] + half[i][2]) * 0.5f, middle = half[i][1] * 0.5f;
        u[i][0] = half[i][0];
        u[i][1] = sum + middle;
        u[i][2] = sum - middle;
        u[i][3] = half[i][2];
    }
}

/* Rows begin..end-1 of w (3, 3, rows, columns) to u (16, rows, columns); of a job that is turned,
 * with the window turned round, to u (16, columns, rows). */
static void transform_weights(void *argument, int64_t begin, int64_t end) {
    const job *j = argument;
    int64_t rows = j->turned ? j->out : j->in, columns = j->turned ? j->in : j->out;
    float *to = j->arrays->weights;
    for (int64_t row = begin; row < end; row++)
        for (int64_t column = 0; column < columns; column += LANES) {
            lanes g[3][3], u[4][4];
            for (int k = 0; k < 9; k++) {
                int at = j->turned ? 8 - k : k;
                g[k / 3][k % 3] = load(j->arrays->w + (at * rows + row) * columns + column);
            }
            transform_weight(g, u);
            for (int p = 0; p < POSITIONS; p++) {
                lanes value = u[p / 4][p % 4];
                float *plane = to + p * rows * columns;
                if (!j->turned) store(plane + row * columns + column, value);
                for (int i = 0; j->turned && i < LANES; i++)
                    plane[(column + i) * rows + row] = value[i];
            }
        }
}

/* ROWS tiles by COLUMNS vectors of m = v u; v (tiles, depth), u (depth, out). The sums fit the
 * registers, with a row of u. */
#define PRODUCT(NAME, ROWS, COLUMNS)                                                               \
    static void NAME(int64_t depth, int64_t out, const float *v, const float *u, float *m) {       \
        lanes sum[ROWS][COLUMNS] = {{{0}}};                                                        \
        for (int64_t k = 0; k < depth; k++, u += out) {                                            \
            lanes b[COLUMNS];                                                                      \
            _Pragma("GCC unroll 4") for (int c = 0; c < (COLUMNS); c++) b[c] =                     \
                load(u + c * LANES);                                                               \
            _Pragma("GCC unroll 12") for (int r = 0; r < (ROWS); r++) {                            \
                float a = v[r * depth + k];                                                        \
                _Pragma("GCC unroll 4") for (int c = 0; c < (COLUMNS); c++) sum[r][c] += a * b[c]; \
            }                                                                                      \
        }                                                                                          \
        _Pragma("GCC unroll 12") for (int r = 0; r < (ROWS); r++)                                  \
            _Pragma("GCC unroll 4") for (int c = 0; c < (COLUMNS); c++)                            \
                store(m + r * out + c * LANES, sum[r][c]);                                         \
    }
PRODUCT(product_wide, 6, 4)
PRODUCT(product_two, LANES == 16 ? 12 : 6, 2)
PRODUCT(product_one, 12, 1)

/* The 16 products of a block of `rows` tiles. */
static void multiply(const job *j, int64_t rows, const float *v, float *m) {
    int64_t out = j->out, depth = j->in;
    for (int p = 0; p < POSITIONS; p++) {
        const float *u = j->arrays->weights + p * depth * out;
        const float *vp = v + p * position_step(depth);
        float *mp = m + p * position_step(out);
        for (int64_t o = 0; o < out;) {
            int64_t left = (out - o) / LANES;
            if (LANES == 16 && left >= 4) {
                for (int64_t r = 0; r < rows; r += 6)
                    product_wide(depth, out, vp + r * depth, u + o, mp + r * out + o);
                o += 4 * LANES;
            } else if (left >= 2) {
                int64_t step = LANES == 16 ? 12 : 6;
                for (int64_t r = 0; r < rows; r += step)
                    product_two(depth, out, vp + r * depth, u + o, mp + r * out + o);
                o += 2 * LANES;
            } else {
                for (int64_t r = 0; r < rows; r += 12)
                    product_one(depth, out, vp + r * depth, u + o, mp + r * out + o);
                o += LANES;
            }
        }
    }
}

/* max(y, 0), where a NaN stays one. */
static lanes rectified(lanes y) {
    lanes_mask negative = y < 0;
    return (lanes)((lanes_mask)y & ~negative);
}

/* AT m A of one tile, to y00, y01, y10, y11. */
static void transform_output(const float *m, int64_t step, lanes y[2][2]) {
    lanes half[2][4];
#pragma GCC unroll 4
    for (int k = 0; k < 4; k++) {
        lanes a = load(m + k * step), b = load(m + (4 + k) * step);
        lanes c = load(m + (8 + k) * step), d = load(m + (12 + k) * step);
        half[0][k] = a + b + c;
        half[1][k] = b - c - d;
    }
    for (int i = 0; i < 2; i++) {
        y[i][0] = half[i][0] + half[i][1] + half[i][2];
        y[i][1] = half[i][1] - half[i][2] - half[i][3];
    }
}

/* Where results go: sample i to place i % window. */
typedef struct destination {
    float *result;
    int64_t window;
} destination;

/* Gives `known` with what the tile says of it. */
static lanes write_tile(const job *j, const destination *all, int64_t tile, const float *m,
                        lanes known) {
    const tiling *t = &j->tiling;
    int64_t x = tile % t->tiles[1] * 2, y = tile / t->tiles[1] % t->tiles[0] * 2;
    int64_t sample = tile / (t->tiles[0] * t->tiles[1]) % all->window;
    float *to = all->result + ((sample * t->out[0] + y) * t->out[1] + x) * j->out;
    bool low = y + 1 < t->out[0], right = x + 1 < t->out[1];
    for (int64_t c = 0; c < j->out; c += LANES) {
        lanes at[2][2];
        transform_output(m + c, position_step(j->out), at);
        for (int i = 0; i < 4; i++) {
            lanes value = at[i / 2][i % 2];
            if (j->arrays->bias) value += load(j->arrays->bias + c);
            bool inside = (i < 2 || low) && (i % 2 == 0 || right);
            if (!inside) continue;
            known = finite_so_far(known, value);
            if (j->arrays->relu) value = rectified(value);
            store(to + (i / 2 * t->out[1] + i % 2) * j->out + c, value);
        }
    }
    return known;
}

/* A block of tiles at most; false where a number is not finite. */
static bool run_block(const job *j, int slot, int64_t first, int64_t count, const destination *to) {
    float *v = j->arrays->blocks + slot * j->block_floats;
    float *m = v + POSITIONS * position_step(j->in);
    lanes known = {0};
    transform_inputs(&j->tiling, j->x, first, count, v);
    multiply(j, (count + ROW_STEP - 1) / ROW_STEP * ROW_STEP, v, m);
    for (int64_t i = 0; i < count; i++) known = write_tile(j, to, first + i, m + i * j->out, known);
    return all_finite(known);
}

static void run_blocks(void *argument, int64_t begin, int64_t end) {
    job *j = argument;
    const destination to = {j->arrays->result, j->tiling.batch};
    int slot = atomic_fetch_add(&j->slots, 1);
    for (int64_t block = begin; block < end; block++) {
        int64_t first = block * BLOCK, left = j->tiling.count - first;
        if (!run_block(j, slot, first, left < BLOCK ? left : BLOCK, &to))
            atomic_store(&j->infinite, 1);
    }
}

/* Those that lie side by side at a time. */
static void finish_samples(const job *j, int64_t first, int64_t end, const destination *from) {
    const conv_finish *finish = j->arrays->finish;
    int64_t sample = j->tiling.out[0] * j->tiling.out[1] * j->out, count;
    for (; first < end; first += count) {
        int64_t place = first % from->window;
        count = end - first < from->window - place ? end - first : from->window - place;
        finish->take(finish->state, first, count, from->result + place * sample);
    }
}

/* Samples begin..end-1 go to the thread's own memory, and are finished as soon as they are whole. */
static void run_finished(void *argument, int64_t begin, int64_t end) {
    job *j = argument;
    const tiling *t = &j->tiling;
    int slot = atomic_fetch_add(&j->slots, 1);
    int64_t tiles = t->tiles[0] * t->tiles[1], last = end * tiles, count;
    destination to = {j->arrays->result, window_of(t->batch, t->out)};
    to.result += slot * to.window * t->out[0] * t->out[1] * j->out;
    for (int64_t first = begin * tiles; first < last && !atomic_load(&j->infinite);
         first += count) {
        count = last - first < BLOCK ? last - first : BLOCK;
        if (run_block(j, slot, first, count, &to))
            finish_samples(j, first / tiles, (first + count) / tiles, &to);
        else
            atomic_store(&j->infinite, 1);
    }
}

static bool run(tw_context *context, const conv_geometry *g, job *j) {
    j->block_floats = (int64_t)winograd_block_floats(g);
    tw_parallel_for(context, j->turned ? j->out : j->in, LANES, transform_weights, j);
    if (j->arrays->finish)
        tw_parallel_for(context, g->batch, 1, run_finished, j);
    else
        tw_parallel_for(context, (j->tiling.count + BLOCK - 1) / BLOCK, 1, run_blocks, j);
    return !atomic_load(&j->infinite);
}

bool winograd_conv(tw_context *context, const conv_geometry *g, const winograd_arrays *arrays) {
    job j = {.arrays = arrays, .x = arrays->x, .in = g->in_channels, .out = g->out_channels};
    j.tiling = tiling_of(g->batch, g->in_channels, g->in, g->out, g->low[1], g->low[2]);
    return run(context, g, &j);
}

bool winograd_input_grad(tw_context *context, const conv_geometry *g,
                         const winograd_arrays *arrays) {
    job j = {.arrays = arrays, .x = arrays->dy, .in = g->out_channels, .out = g->in_channels};
    j.tiling = tiling_of(g->batch, g->out_channels, g->out, g->in, 2 - g->low[1], 2 - g->low[2]);
    j.turned = true;
    return run(context, g, &j);
}
