/*
 * The 16-bit floats: f16 (IEEE 754 binary16: 5 bits of exponent, 10 of fraction) and bf16 (the
 * upper half of an f32). Widening is exact; narrowing rounds to the nearest, ties to even, past
 * the largest number to infinity. NaNs keep their sign and as much of their payload as fits, so
 * that every pattern of 16 bits comes back from f32 as it was.
 */
#ifndef BASE_HALF_H
#define BASE_HALF_H

#include <string.h>
#include <thalweg/base.h>

#include "base/described.h"

static inline bool dtype_half(tw_dtype dtype) { return dtype == TW_F16 || dtype == TW_BF16; }

static inline uint32_t float_bits(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}
static inline float float_of_bits(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline float bf16_widen(uint16_t half) { return float_of_bits((uint32_t)half << 16); }

static inline uint16_t bf16_narrow(float x) {
    uint32_t bits = float_bits(x);
    uint32_t nan = bits >> 16 | (bits & 0x7f0000 ? 0 : 0x40);
    uint32_t rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    return (uint16_t)((bits & 0x7fffffff) > 0x7f800000 ? nan : rounded);
}

/* The fraction and exponent are shifted into place and the bias is mended; a subnormal, which has
 * no leading 1, is mended by a subtraction of floats. */
static inline float f16_widen(uint16_t half) {
    uint32_t bits = (uint32_t)(half & 0x7fff) << 13, exponent = bits & 0x0f800000;
    uint32_t normal = bits + (112u << 23), special = bits + (224u << 23);
    uint32_t tiny = float_bits(float_of_bits(bits + (113u << 23)) - 0x1p-14f);
    uint32_t size = exponent == 0x0f800000 ? special : exponent ? normal : tiny;
    return float_of_bits(size | (uint32_t)(half & 0x8000) << 16);
}

/* Subnormals are rounded by an addition of floats whose last bit is theirs. */
static inline uint16_t f16_narrow(float x) {
    uint32_t bits = float_bits(x), sign = bits >> 16 & 0x8000;
    bits &= 0x7fffffff;
    uint32_t tiny = float_bits(float_of_bits(bits) + 0.5f) - 0x3f000000;
    uint32_t normal = (bits - (112u << 23) + 0xfff + (bits >> 13 & 1)) >> 13;
    uint32_t nan = 0x7c00 | (bits >> 13 & 0x3ff) | (bits & 0x7fe000 ? 0 : 0x200);
    uint32_t size = bits > 0x7f800000    ? nan
                    : bits >= 0x47800000 ? 0x7c00 /* 65536 and more */
                    : bits < 0x38800000  ? tiny   /* below 2^-14 */
                                         : normal;
    return (uint16_t)(size | sign);
}

/* To f32 with the last bit set where that is inexact ("rounding to odd"): rounding the result once
 * more, to 22 bits or fewer, gives what rounding x at once would (Boldo & Melquiond 2008). */
DESCRIBED_FUNCTION(float, float_to_odd, (double x), {
    float near = (float)x;
    double back = (double)near, size = x < 0 ? -x : x;
    uint32_t bits = float_bits(near);
    bits = size < (back < 0 ? -back : back) ? bits - 1 : bits;
    return x == back || x != x ? near : float_of_bits(bits | 1);
})
static inline uint16_t f16_of(double x) { return f16_narrow(float_to_odd(x)); }
static inline uint16_t bf16_of(double x) { return bf16_narrow(float_to_odd(x)); }
/* f64 holds 53 bits: of a wider integer, the last one it takes stands for all below. */
DESCRIBED_FUNCTION(double, double_to_odd, (int64_t x), {
    const int64_t most = (int64_t)1 << 53, low = x & 0x7ff;
    bool wide = x > most || x < -most;
    return (double)(wide ? (x - low) | (low != 0 ? 0x800 : 0) : x);
})

/* `count` elements at from[i * step] as f32, and back; dtype is f16 or bf16. */
void half_widen(tw_dtype dtype, const uint16_t *from, int64_t step, int64_t count, float *to);
void half_narrow(tw_dtype dtype, const float *from, int64_t count, uint16_t *to);

/* One element, for reading and writing by number. */
static inline double half_read(tw_dtype dtype, uint16_t half) {
    return (double)(dtype == TW_F16 ? f16_widen(half) : bf16_widen(half));
}
static inline uint16_t half_of(tw_dtype dtype, double number) {
    return dtype == TW_F16 ? f16_of(number) : bf16_of(number);
}

#endif
