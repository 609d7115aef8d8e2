/*
 * exp, log, tanh, erf, sin, cos, expm1, log1p and the logistic function of float32 without a branch, so
 * that loops over them vectorise. Within 2 units in the last place of the truth for every float (the logistic
 * function 2.5; measured in tests/base/test_elementary.c), infinities, NaN and subnormals included. The
 * coefficients come from scripts/fit_elementary.py; the schemes are those of Cody & Waite, Software
 * Manual for the Elementary Functions (1980), but for tanh and erf, which are tables of polynomials (as in
 * Muller, Elementary Functions, chapter 4): vectors of 32 numbers can be looked up in registers.
 */
#ifndef BASE_ELEMENTARY_H
#define BASE_ELEMENTARY_H

#include <math.h>
#include <stdint.h>

#include "base/described.h"
#include "base/elementary_pieces.h"
#include "base/half.h"

/* 2^n for -126 <= n <= 127. */
DESCRIBED_FUNCTION(float, power_of_two, (int32_t n),
                   { return float_of_bits((uint32_t)(n + 127) << 23); })

/* y 2^n for a whole n from -252 to 254, rounded once, in two halves: 2^n may be too large or too small for
 * one float. Generated code has an instruction for it. */
ALWAYS_INLINE float scaled(float y, float n) {
    int32_t whole = (int32_t)(float_bits(n + 0x1.8p23f) - float_bits(0x1.8p23f)), half = whole >> 1;
    return y * power_of_two(half) * power_of_two(whole - half);
}

/* e^x = 2^n e^r with r = x - n ln 2; e^r = 1 + r (1 + r q(r)). For x up to 89. */
DESCRIBED_FUNCTION(float, elementary_exp_below, (float x), {
    const float to_nearest = 0x1.8p23f;        /* adding it rounds to an integer */
    float clamped = x < -104.0f ? -104.0f : x; /* NaN stays */
    float n = fmaf(clamped, 1.44269504f, to_nearest) - to_nearest;
    float r = fmaf(n, -0.693145752f, clamped);
    r = fmaf(n, -1.42860677e-6f, r);
    float q = 1.38145965e-3f;
    q = fmaf(q, r, 8.36871751e-3f);
    q = fmaf(q, r, 4.16683890e-2f);
    q = fmaf(q, r, 1.66665211e-1f);
    q = fmaf(q, r, 4.99999940e-1f);
    q = fmaf(q, r, 1.0f);
    return scaled(fmaf(q, r, 1.0f), n);
})

DESCRIBED_FUNCTION(float, elementary_exp, (float x),
                   { return elementary_exp_below(x > 89.0f ? 89.0f : x); })

/* x = 2^e (1 + f) with sqrt(1/2) <= 1 + f < sqrt(2); ln(1 + f) = f - f^2 / 2 + f^3 q(f). */
DESCRIBED_FUNCTION(float, elementary_log, (float x), {
    float scaled = x < 0x1p-126f ? x * 0x1p23f : x;
    uint32_t bits = float_bits(scaled) - 0x3f3504f3u; /* sqrt(1/2) */
    float e = (float)((int32_t)bits >> 23) - (x < 0x1p-126f ? 23.0f : 0.0f);
    float f = float_of_bits((bits & 0x007fffffu) + 0x3f3504f3u) - 1.0f;
    float q = -7.63442963e-2f;
    q = fmaf(q, f, 1.27615497e-1f);
    q = fmaf(q, f, -1.31601945e-1f);
    q = fmaf(q, f, 1.42017618e-1f);
    q = fmaf(q, f, -1.66233569e-1f);
    q = fmaf(q, f, 2.00012267e-1f);
    q = fmaf(q, f, -2.50008225e-1f);
    q = fmaf(q, f, 3.33333313e-1f);
    float s = f * f, y = fmaf(s * f, q, e * -2.12194440e-4f);
    y = fmaf(s, -0.5f, y) + f;
    y = fmaf(e, 0.693359375f, y);
    y = x > 0x1.fffffep127f ? x : y;
    y = x == 0.0f ? -INFINITY : y;
    return x >= 0.0f ? y : x < 0.0f ? (float)NAN : x;
})

/* Of t = |x|, by the pieces of 1 + t: eight to each power of two, from their lower ends. From 9 on they are 1. */
DESCRIBED_FUNCTION(float, elementary_tanh, (float x), {
    float t = fabsf(x);
    t = t > 14.9f ? 14.9f : t;
    uint32_t bits = float_bits(t + 1.0f), i = bits >> 20;
    float d = t - (float_of_bits(bits & 0xfff00000u) - 1.0f);
    float w = lookup(tanh_pieces[4], i);
    float p = fmaf(float_of_bits(float_bits(w) << 16), d, w);
    p = fmaf(p, d, lookup(tanh_pieces[3], i));
    p = fmaf(p, d, lookup(tanh_pieces[2], i));
    p = fmaf(p, d, lookup(tanh_pieces[1], i));
    p = fmaf(p, d, lookup(tanh_pieces[0], i));
    return copysignf(p, x);
})

/* Of t = |x|, by the pieces around multiples of 1/8, the lowest bits of t + 1.5 2^20. They have f(low + d) - d, as near
 * 0 what is added to d must be small. From 3.8 on they are 1. */
DESCRIBED_FUNCTION(float, elementary_erf, (float x), {
    float t = fabsf(x);
    t = t > 3.875f ? 3.875f : t;
    float shifted = t + 0x1.8p20f, d = t - (shifted - 0x1.8p20f);
    uint32_t i = float_bits(shifted);
    float w = lookup(erf_pieces[4], i);
    float p = fmaf(float_of_bits(float_bits(w) << 16), d, w);
    p = fmaf(p, d, lookup(erf_pieces[3], i));
    p = fmaf(p, d, lookup(erf_pieces[2], i));
    p = fmaf(p, d, lookup(erf_pieces[1], i));
    p = fmaf(p, d, lookup(erf_pieces[0], i) + d);
    return copysignf(p, x);
})

/* By e^-|x|, which does not overflow where the result is still a number. Within 2.5 units in the last place: the
 * rounding of 1 + t could be corrected, at a quarter of the time. */
DESCRIBED_FUNCTION(float, elementary_logistic, (float x), {
    float t = elementary_exp_below(-fabsf(x));
    return (x < 0.0f ? t : 1.0f) / (1.0f + t);
})

/* e^x - 1 = 2^n (e^r - 1) + 2^n - 1, as in elementary_exp; halved, as 2^n may be too large. */
DESCRIBED_FUNCTION(float, elementary_expm1, (float x), {
    const float to_nearest = 0x1.8p23f;
    float clamped = x > 89.0f ? 89.0f : x;
    clamped = clamped < -18.0f ? -18.0f : clamped; /* rounds to -1 */
    float shifted = fmaf(clamped, 1.44269504f, to_nearest), n = shifted - to_nearest;
    float r = fmaf(n, -0.693145752f, clamped);
    r = fmaf(n, -1.42860677e-6f, r);
    float q = 1.38145965e-3f;
    q = fmaf(q, r, 8.36871751e-3f);
    q = fmaf(q, r, 4.16683890e-2f);
    q = fmaf(q, r, 1.66665211e-1f);
    q = fmaf(q, r, 4.99999940e-1f);
    float p = fmaf(r * r, q, r);
    int32_t whole = (int32_t)(float_bits(shifted) - float_bits(to_nearest));
    float half = power_of_two(whole - 1), y = fmaf(p, half, half - 0.5f) * 2.0f;
    y = whole == 0 ? p : y;
    return x == 0.0f || x != x ? x : y;
})

/* ln(1 + x) as elementary_log of u = 1 + x rounded; what the rounding lost goes to f. */
DESCRIBED_FUNCTION(float, elementary_log1p, (float x), {
    float u = x + 1.0f, lost = x >= 1.0f ? 1.0f - (u - x) : x - (u - 1.0f);
    uint32_t bits = float_bits(u) - 0x3f3504f3u; /* sqrt(1/2) */
    int32_t whole = (int32_t)bits >> 23;
    float e = (float)whole, scale = power_of_two(whole > 126 ? -126 : -whole);
    float f = float_of_bits((bits & 0x007fffffu) + 0x3f3504f3u) - 1.0f;
    f = fmaf(lost, scale, f);
    float q = -7.63442963e-2f;
    q = fmaf(q, f, 1.27615497e-1f);
    q = fmaf(q, f, -1.31601945e-1f);
    q = fmaf(q, f, 1.42017618e-1f);
    q = fmaf(q, f, -1.66233569e-1f);
    q = fmaf(q, f, 2.00012267e-1f);
    q = fmaf(q, f, -2.50008225e-1f);
    q = fmaf(q, f, 3.33333313e-1f);
    float s = f * f, y = fmaf(s * f, q, e * -2.12194440e-4f);
    y = fmaf(s, -0.5f, y) + f;
    y = fmaf(e, 0.693359375f, y);
    y = x == 0.0f || x > 0x1.fffffep127f ? x : y;
    y = x == -1.0f ? -INFINITY : y;
    return x >= -1.0f ? y : x < -1.0f ? (float)NAN : x;
})

/*
 * sin(t + quarters pi / 2) for t >= 0. t 2/pi = n + f with n whole and |f| <= 1/2, in double: of the
 * bits of 2/pi, those whose product with t is a multiple of 4 are left out, and of the others the products
 * of t with 26 and 26 bits are exact and so is their sum (Payne & Hanek 1983). No float comes closer to a
 * multiple of pi / 2 than 2^-30, so f is known well enough.
 */
DESCRIBED_FUNCTION(float, elementary_turned, (float t, int32_t quarters), {
    double high = 0x1.45f3068p-1, middle = 0x1.7272208p-27, low = 0x1.4a7f09d5f47d5p-54;
    bool above = t >= 0x1p51f;
    high = above ? 0x1.7272208p-27 : high;
    middle = above ? 0x1.4a7f09p-54 : middle;
    low = above ? 0x1.abe8fa9a6ee07p-79 : low;
    above = t >= 0x1p77f;
    high = above ? 0x1.4a7f09p-54 : high;
    middle = above ? 0x1.abe8fa8p-79 : middle;
    low = above ? 0x1.a6ee06db14acdp-107 : low;
    above = t >= 0x1p103f;
    high = above ? 0x1.abe8fa8p-79 : high;
    middle = above ? 0x1.a6ee06p-107 : middle;
    low = above ? 0x1.b6295993c4390p-132 : low;
    bool finite = t <= 0x1.fffffep127f;
    double wide = (double)(finite ? t : 0.0f), p = wide * high;
    p = fma(rint(p * 0.25), -4.0, p);
    p = fma(wide, middle, p);
    double n = rint(fma(wide, low, p));
    float r = (float)(fma(wide, low, p - n) * 1.57079632679489662), s = r * r;
    float a = fmaf(s, -1.95172339e-4f, 8.33217800e-3f);
    a = fmaf(a, s, -1.66666552e-1f);
    float sine = fmaf(a * s, r, r);
    float b = fmaf(s, 2.44383773e-5f, -1.38873665e-3f);
    b = fmaf(b, s, 4.16666456e-2f);
    float cosine = fmaf(s * s, b, fmaf(s, -0.5f, 1.0f));
    int32_t quarter = (int32_t)n + quarters;
    float y = (quarter & 1) != 0 ? cosine : sine;
    y = (quarter & 2) != 0 ? -y : y;
    return finite ? y : (float)NAN;
})

DESCRIBED_FUNCTION(float, elementary_sin, (float x), {
    uint32_t sign = float_bits(x) & 0x80000000u;
    return float_of_bits(float_bits(elementary_turned(fabsf(x), 0)) ^ sign);
})

DESCRIBED_FUNCTION(float, elementary_cos, (float x), { return elementary_turned(fabsf(x), 1); })

#define ELEMENTARY_TEXTS                                                                           \
    power_of_two_text, elementary_exp_below_text, elementary_exp_text, elementary_log_text,        \
        elementary_tanh_text, elementary_erf_text, elementary_logistic_text,                       \
        elementary_expm1_text, elementary_log1p_text, elementary_turned_text, elementary_sin_text, \
        elementary_cos_text

#endif
