/*
 * The inner loops of reduce, for each element type and way of combining. Every loop is cut by
 * shape alone, so that its bits don't depend on threads.
 */
#ifndef OPS_REDUCE_KERNELS_H
#define OPS_REDUCE_KERNELS_H

#include <stdint.h>

enum { REDUCE_LANES = 32 };

typedef struct reduce_kernel {
    /* *out = all of `count` neighbours, at least one. */
    void (*run)(void *out, const void *in, int64_t count);
    /* out[c] = all of in[r * stride + c] over r < rows, for c < columns; at least one row. */
    void (*rows)(void *out, const void *in, int64_t rows, int64_t columns, int64_t stride);
    /* The result for nothing. */
    void (*empty)(void *out, int64_t count);
} reduce_kernel;

/* `expression` combines a and b, `start` is its neutral element. Lanes are folded in halves. */
#define REDUCE_KERNELS(name, T, start, expression)                                                 \
    static inline T name##_two(T a, T b) { return (T)(expression); }                               \
    static void name##_run(void *to, const void *from, int64_t count) {                            \
        const T *in = from;                                                                        \
        T lane[REDUCE_LANES];                                                                      \
        for (int k = 0; k < REDUCE_LANES; k++) lane[k] = (T)(start);                               \
        int64_t i = 0;                                                                             \
        for (; i + REDUCE_LANES <= count; i += REDUCE_LANES) {                                     \
            for (int k = 0; k < REDUCE_LANES; k++) lane[k] = name##_two(lane[k], in[i + k]);       \
        }                                                                                          \
        for (int k = 0; i + k < count; k++) lane[k] = name##_two(lane[k], in[i + k]);              \
        for (int half = REDUCE_LANES / 2; half > 0; half /= 2) {                                   \
            for (int k = 0; k < half; k++) lane[k] = name##_two(lane[k], lane[k + half]);          \
        }                                                                                          \
        *(T *)to = lane[0];                                                                        \
    }                                                                                              \
    static void name##_rows(void *to, const void *from, int64_t rows, int64_t columns,             \
                            int64_t stride) {                                                      \
        const T *restrict in = from;                                                               \
        T *restrict out = to;                                                                      \
        for (int64_t c = 0; c < columns; c++) out[c] = in[c];                                      \
        int64_t r = 1;                                                                             \
        for (; r + 4 <= rows; r += 4) {                                                            \
            const T *x = in + r * stride;                                                          \
            for (int64_t c = 0; c < columns; c++) {                                                \
                T low = name##_two(x[c], x[c + stride]);                                           \
                T high = name##_two(x[c + 2 * stride], x[c + 3 * stride]);                         \
                out[c] = name##_two(out[c], name##_two(low, high));                                \
            }                                                                                      \
        }                                                                                          \
        for (; r < rows; r++) {                                                                    \
            for (int64_t c = 0; c < columns; c++) out[c] = name##_two(out[c], in[r * stride + c]); \
        }                                                                                          \
    }                                                                                              \
    static void name##_empty(void *to, int64_t count) {                                            \
        T *out = to;                                                                               \
        for (int64_t i = 0; i < count; i++) out[i] = (T)(start);                                   \
    }

#define REDUCE_KERNEL(name) {name##_run, name##_rows, name##_empty}

#endif
