/* A vector of f32 numbers, as wide as the machine's, written out where gcc makes none of a loop. */
#ifndef CODEGEN_PLAIN_LANES_H
#define CODEGEN_PLAIN_LANES_H

#include <stdint.h>

#if defined(__AVX512F__)
enum { LANES_WIDE = 1, LANES = 16 };
#elif defined(__AVX2__) && defined(__FMA__)
enum { LANES_WIDE = 1, LANES = 8 };
#else
enum { LANES_WIDE = 0, LANES = 4 };
#endif

typedef float lanes __attribute__((vector_size(LANES * 4)));
typedef int32_t lanes_mask __attribute__((vector_size(LANES * 4)));
/* The same, anywhere in memory. */
typedef float lanes_at __attribute__((vector_size(LANES * 4), aligned(4), may_alias));

static inline lanes load(const float *from) { return *(const lanes_at *)from; }
static inline void store(float *to, lanes value) { *(lanes_at *)to = value; }

typedef int32_t places_at __attribute__((vector_size(LANES * 4), aligned(4), may_alias));

/* a where the mask has ones, else b. */
static inline lanes select_lanes(lanes_mask mask, lanes a, lanes b) {
    return (lanes)(((lanes_mask)a & mask) | ((lanes_mask)b & ~mask));
}

#endif
