/*
 * max_pool over x (batch, space..., channels), rows of output in parallel, and its gradient,
 * examples in parallel so that what is added to one element is added in one order.
 */
#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "base/parallel.h"
#include "codegen/plain/kernels.h"
#include "codegen/plain/lanes.h"

enum { POOL_WINDOW, POOL_STRIDE, POOL_LOW, POOL_HIGH, POOL_DILATION };

/* As if there were three spatial axes; outer ones of extent 1. */
typedef struct pool {
    int64_t batch, channels;
    int64_t in[3], out[3], window[3], stride[3], low[3], dilation[3];
    const void *x;
    void *y;
    int32_t *index;
} pool;

static pool pool_of(const tw_kernel_call *call) {
    const tw_signature *s = &call->signature;
    tw_shape x = s->operand[0].shape, y = s->result[0].shape;
    pool p = {.batch = x.dim[0],
              .channels = x.dim[x.rank - 1],
              .in = {1, 1, 1},
              .out = {1, 1, 1},
              .window = {1, 1, 1},
              .stride = {1, 1, 1},
              .dilation = {1, 1, 1},
              .x = call->in[0],
              .y = call->out[0],
              .index = call->out[1]};
    const tw_shape *window = &s->attr[POOL_WINDOW].list, *stride = &s->attr[POOL_STRIDE].list;
    const tw_shape *low = &s->attr[POOL_LOW].list, *dilation = &s->attr[POOL_DILATION].list;
    for (int i = 0, axis = 5 - x.rank; i < x.rank - 2; i++, axis++) {
        p.in[axis] = x.dim[i + 1];
        p.out[axis] = y.dim[i + 1];
        p.window[axis] = window->dim[i];
        p.stride[axis] = i < stride->rank ? stride->dim[i] : window->dim[i];
        p.low[axis] = i < low->rank ? low->dim[i] : 0;
        p.dilation[axis] = i < dilation->rank ? dilation->dim[i] : 1;
    }
    return p;
}

typedef struct span {
    int64_t begin, end, step;
} span;

/* The part of the window at output o that lies on the input. */
static span on_input(const pool *p, int axis, int64_t o) {
    int64_t step = p->dilation[axis], begin = o * p->stride[axis] - p->low[axis];
    int64_t end = begin + (p->window[axis] - 1) * step + 1;
    if (begin < 0) begin += (step - 1 - begin) / step * step;
    return (span){begin, end < p->in[axis] ? end : p->in[axis], step};
}

/* Channels of one output position: y and index against the place x. A NaN wins and stays. */
#define AGAINST(NAME, T)                                                                           \
    static void NAME(int64_t channels, const T *restrict x, int32_t place, T *restrict y,          \
                     int32_t *restrict index) {                                                    \
        for (int64_t n = 0; n < channels; n++) {                                                   \
            bool wins = !(x[n] <= y[n]) & (y[n] == y[n]);                                          \
            y[n] = wins ? x[n] : y[n];                                                             \
            index[n] = wins ? place : index[n];                                                    \
        }                                                                                          \
    }
AGAINST(against_f32, float)
AGAINST(against_f64, double)

#define WINDOW(NAME, T, EACH)                                                                      \
    static void NAME(const pool *p, const T *plane, span a, span b, span c, T *y,                  \
                     int32_t *index) {                                                             \
        bool first = true;                                                                         \
        for (int64_t n = 0; n < p->channels; n++) y[n] = 0, index[n] = -1;                         \
        for (int64_t i = a.begin; i < a.end; i += a.step)                                          \
            for (int64_t j = b.begin; j < b.end; j += b.step)                                      \
                for (int64_t k = c.begin; k < c.end; k += c.step) {                                \
                    int64_t place = (i * p->in[1] + j) * p->in[2] + k;                             \
                    const T *x = plane + place * p->channels;                                      \
                    for (int64_t n = 0; first && n < p->channels; n++)                             \
                        y[n] = x[n], index[n] = (int32_t)place;                                    \
                    if (!first) EACH(p->channels, x, (int32_t)place, y, index);                    \
                    first = false;                                                                 \
                }                                                                                  \
    }
WINDOW(window_f32, float, against_f32)
WINDOW(window_f64, double, against_f64)

/* Rows are (batch, out[0], out[1]). */
#define POOL_ROWS(NAME, T, EACH)                                                                   \
    static void NAME(void *argument, int64_t begin, int64_t end) {                                 \
        const pool *p = argument;                                                                  \
        int64_t plane = p->in[0] * p->in[1] * p->in[2] * p->channels;                              \
        for (int64_t row = begin; row < end; row++) {                                              \
            const T *x = (const T *)p->x + row / (p->out[0] * p->out[1]) * plane;                  \
            span a = on_input(p, 0, row / p->out[1] % p->out[0]);                                  \
            span b = on_input(p, 1, row % p->out[1]);                                              \
            for (int64_t o = 0; o < p->out[2]; o++) {                                              \
                int64_t at = (row * p->out[2] + o) * p->channels;                                  \
                EACH(p, x, a, b, on_input(p, 2, o), (T *)p->y + at, p->index + at);                \
            }                                                                                      \
        }                                                                                          \
    }
POOL_ROWS(pool_f32, float, window_f32)
POOL_ROWS(pool_f64, double, window_f64)

/* Windows of 2x2 in a plane, all on the input, of whole vectors of channels. */
static bool is_square(const pool *p) {
    return p->channels % LANES == 0 && p->in[0] == 1 && p->out[0] == 1 && p->window[1] == 2 &&
           p->window[2] == 2 && !p->low[1] && !p->low[2] && p->dilation[1] == 1 &&
           p->dilation[2] == 1 && (p->out[1] - 1) * p->stride[1] + 2 <= p->in[1] &&
           (p->out[2] - 1) * p->stride[2] + 2 <= p->in[2];
}

/* As AGAINST. */
static inline void meet(lanes other, int64_t place, lanes *best, lanes_mask *where) {
    lanes_mask wins = ~(other <= *best) & (*best == *best);
    lanes_mask there = (lanes_mask){0} + (int32_t)place;
    *best = select_lanes(wins, other, *best);
    *where = (there & wins) | (*where & ~wins);
}

static void square_f32(void *argument, int64_t begin, int64_t end) {
    const pool *p = argument;
    int64_t channels = p->channels, width = p->in[2];
    for (int64_t i = begin * p->out[2]; i < end * p->out[2]; i++) {
        int64_t row = i / p->out[2];
        int64_t place = row % p->out[1] * p->stride[1] * width + i % p->out[2] * p->stride[2];
        const float *x =
            (const float *)p->x + (row / p->out[1] * p->in[1] * width + place) * channels;
        for (int64_t c = 0; c < channels; c += LANES) {
            lanes best = load(x + c);
            lanes_mask where = (lanes_mask){0} + (int32_t)place;
            meet(load(x + channels + c), place + 1, &best, &where);
            meet(load(x + width * channels + c), place + width, &best, &where);
            meet(load(x + (width + 1) * channels + c), place + width + 1, &best, &where);
            store((float *)p->y + i * channels + c, best);
            *(places_at *)(p->index + i * channels + c) = where;
        }
    }
}

tw_status plain_max_pool(const tw_kernel_call *call) {
    const tw_signature *s = &call->signature;
    pool p = pool_of(call);
    bool narrow = s->operand[0].dtype == TW_F32;
    parallel_body rows = narrow ? pool_f32 : pool_f64;
    if (narrow && is_square(&p)) rows = square_f32;
    int64_t work = p.out[2] * p.channels * p.window[0] * p.window[1] * p.window[2];
    tw_parallel_for(s->context, p.batch * p.out[0] * p.out[1], 1 + 32768 / (work + 1), rows, &p);
    return TW_OK;
}

typedef struct scatter {
    int64_t outputs, places, channels; /* of one example */
    int64_t width, out_width;          /* for windows of 2x2 side by side; else 0 */
    const int32_t *index;
    const void *dy;
    void *dx;
    _Atomic int64_t bad; /* the first element whose index is past the end */
} scatter;

static void report(scatter *s, int64_t element) {
    int64_t known = atomic_load(&s->bad);
    while (element < known && !atomic_compare_exchange_weak(&s->bad, &known, element)) {}
}

/*
 * Windows of 2x2 side by side: each place of dx is in one window at most, and written once. False,
 * with part of dx written, where an index is in another window than its own, as the caller's may be.
 */
#define SPREAD(NAME, T)                                                                            \
    static bool NAME(const scatter *s, const int32_t *index, const T *dy, T *dx) {                 \
        int64_t channels = s->channels, below = s->width * channels;                               \
        int32_t strays = 0;                                                                        \
        for (int64_t o = 0; o < s->outputs; o++, index += channels, dy += channels) {              \
            int64_t place = o / s->out_width * 2 * s->width + o % s->out_width * 2;                \
            int32_t first = (int32_t)place, second = first + 1;                                    \
            int32_t third = (int32_t)(place + s->width), fourth = third + 1;                       \
            T *to = dx + place * channels;                                                         \
            _Pragma("GCC ivdep") for (int64_t c = 0; c < channels; c++) {                          \
                int32_t at = index[c];                                                             \
                T value = dy[c] + 0; /* 0 for -0, as a sum has it */                               \
                to[c] = at == first ? value : 0;                                                   \
                to[c + channels] = at == second ? value : 0;                                       \
                to[c + below] = at == third ? value : 0;                                           \
                to[c + below + channels] = at == fourth ? value : 0;                               \
                bool own = (at == first) | (at == second) | (at == third) | (at == fourth);        \
                strays |= (at >= 0) & !own;                                                        \
            }                                                                                      \
        }                                                                                          \
        return !strays;                                                                            \
    }
SPREAD(spread_f32, float)
SPREAD(spread_f64, double)

#define SCATTER(NAME, T, SPREAD)                                                                   \
    static void NAME(void *argument, int64_t begin, int64_t end) {                                 \
        scatter *s = argument;                                                                     \
        for (int64_t n = begin; n < end; n++) {                                                    \
            T *dx = (T *)s->dx + n * s->places * s->channels;                                      \
            int64_t first = n * s->outputs * s->channels;                                          \
            bool square = s->width != 0, covered = s->outputs * 4 == s->places;                    \
            if (square && !covered) memset(dx, 0, (size_t)(s->places * s->channels) * sizeof *dx); \
            if (square && SPREAD(s, s->index + first, (const T *)s->dy + first, dx)) continue;     \
            memset(dx, 0, (size_t)(s->places * s->channels) * sizeof *dx);                         \
            for (int64_t o = n * s->outputs; o < (n + 1) * s->outputs; o++) {                      \
                const int32_t *index = s->index + o * s->channels;                                 \
                const T *dy = (const T *)s->dy + o * s->channels;                                  \
                for (int64_t c = 0; c < s->channels; c++) {                                        \
                    if (index[c] < 0) continue;                                                    \
                    if (index[c] < s->places)                                                      \
                        dx[index[c] * s->channels + c] += dy[c];                                   \
                    else                                                                           \
                        report(s, o * s->channels + c);                                            \
                }                                                                                  \
            }                                                                                      \
        }                                                                                          \
    }
SCATTER(scatter_f32, float, spread_f32)
SCATTER(scatter_f64, double, spread_f64)

static bool are_side_by_side(const tw_signature *signature) {
    tw_shape dy = signature->operand[1].shape, dx = signature->result[0].shape;
    const tw_attr *attr = signature->attr;
    bool square = dx.rank == 4;
    for (int i = 0; i < 2 && square; i++) {
        const tw_shape *stride = &attr[POOL_STRIDE].list, *low = &attr[POOL_LOW].list;
        square = attr[POOL_WINDOW].list.dim[i] == 2 && (i >= stride->rank || stride->dim[i] == 2) &&
                 (i >= low->rank || low->dim[i] == 0) && dy.dim[i + 1] * 2 <= dx.dim[i + 1];
    }
    return square;
}

tw_status plain_max_pool_grad(const tw_kernel_call *call) {
    const tw_signature *signature = &call->signature;
    tw_shape dy = signature->operand[1].shape, dx = signature->result[0].shape;
    int64_t outputs = 1, places = 1;
    for (int i = 1; i < dy.rank - 1; i++) outputs *= dy.dim[i], places *= dx.dim[i];
    scatter s = {.outputs = outputs,
                 .places = places,
                 .channels = dy.dim[dy.rank - 1],
                 .index = call->in[0],
                 .dy = call->in[1],
                 .dx = call->out[0],
                 .bad = INT64_MAX};
    if (are_side_by_side(signature)) s.width = dx.dim[2], s.out_width = dy.dim[2];
    tw_parallel_for(signature->context, dy.dim[0], 1,
                    signature->operand[1].dtype == TW_F32 ? scatter_f32 : scatter_f64, &s);
    int64_t element = atomic_load(&s.bad);
    if (element == INT64_MAX) return TW_OK;
    return tw_refuse(signature, TW_ERR_INDEX, "index %d is past the last of %lld places",
                     (int)s.index[element], (long long)places);
}
