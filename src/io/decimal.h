/*
 * Decimal numbers from text to f32, correctly rounded (to the nearest, ties to even), whatever the
 * locale. The quick way takes digits eight at a time (Lemire 2021, "Number parsing at a gigabyte
 * per second", section 3) and computes in f64 with an error of a few units in the last place; where
 * that could round to another f32, and for all that is not plain, the exact way decides.
 */
#ifndef IO_DECIMAL_H
#define IO_DECIMAL_H

#include <float.h>
#include <string.h>
#include <thalweg/base.h>

enum {
    DECIMAL_PADDING = 16, /* readable bytes that must follow a text for decimal_quick */
    DECIMAL_POWERS = 65   /* 10^0 to 10^64 */
};
extern const double decimal_power[DECIMAL_POWERS];

typedef enum decimal_kind {
    DECIMAL_NUMBER = 1,
    DECIMAL_NAN,   /* "nan" in any case */
    DECIMAL_RANGE, /* a number, but past the largest f32 */
    DECIMAL_NONE   /* no number */
} decimal_kind;

/* The whole of begin..end, without blanks around it: [+-] digits [. digits] [e [+-] digits], with
 * a digit somewhere before the e, or "inf", "infinity", "nan" in any case. */
decimal_kind decimal_exact(const char *begin, const char *end, float *out);

/* How many of the eight characters at `at` are digits before the first that is none, and what
 * number they make. */
static inline unsigned decimal_eight(const char *at, uint64_t *number) {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    uint64_t bytes;
    memcpy(&bytes, at, sizeof bytes);
    bytes ^= UINT64_C(0x3030303030303030);
    /* A carry out of a byte that is no digit spoils only those after it. */
    uint64_t other =
        (bytes | (bytes + UINT64_C(0x7676767676767676))) & UINT64_C(0x8080808080808080);
    unsigned count = other ? (unsigned)__builtin_ctzll(other) / 8 : 8;
    if (!count) return *number = 0;
    bytes <<= 64 - 8 * count; /* leading zeros */
    bytes = bytes * 10 + (bytes >> 8);
    *number = ((bytes & UINT64_C(0x000000ff000000ff)) * UINT64_C(0x000f424000000064) +
               (bytes >> 16 & UINT64_C(0x000000ff000000ff)) * UINT64_C(0x0000271000000001)) >>
              32;
    return count;
#else
    unsigned count = 0;
    *number = 0;
    for (; count < 8 && at[count] >= '0' && at[count] <= '9'; count++)
        *number = *number * 10 + (uint64_t)(at[count] - '0');
    return count;
#endif
}

/* Appends the digits at `at` to *number; NULL where they no longer fit, else their end. */
static inline const char *decimal_digits(const char *at, uint64_t *number) {
    static const uint64_t factor[] = {1,      10,      100,      1000,     10000,
                                      100000, 1000000, 10000000, 100000000};
    for (;;) {
        uint64_t next;
        unsigned count = decimal_eight(at, &next);
        if (*number >= UINT64_C(1000000000000000000) / factor[count] * 10) return NULL;
        *number = *number * factor[count] + next;
        at += count;
        if (count < 8) return at;
    }
}

/* The number at `at` within a few units in the last place of f64, and its end; NULL where it is
 * not plain, or is too long or too large for this way. The text ends with something that is no part
 * of a number, and DECIMAL_PADDING bytes after that can be read. */
static inline const char *decimal_quick(const char *at, double *out) {
    bool minus = false;
    if (__builtin_expect((unsigned char)(*at - '0') > 9, 0)) { /* digits need not wait for it */
        minus = *at == '-';
        at += minus || *at == '+';
    }
    uint64_t number = 0;
    const char *start = at;
    at = decimal_digits(at, &number);
    if (!at) return NULL;
    int64_t digits = at - start, power = 0;
    if (*at == '.') {
        start = ++at;
        at = decimal_digits(at, &number);
        if (!at) return NULL;
        digits += at - start;
        power = start - at;
    }
    if (!digits) return NULL;
    if ((*at | 0x20) == 'e') {
        at++;
        bool down = *at == '-';
        at += down || *at == '+';
        uint64_t exponent;
        unsigned count = decimal_eight(at, &exponent);
        if (!count || count > 4) return NULL;
        at += count;
        power += down ? -(int64_t)exponent : (int64_t)exponent;
    }
    if (power <= -DECIMAL_POWERS || power >= DECIMAL_POWERS) return NULL;
    double size = (double)number;
    if (power) size = power < 0 ? size / decimal_power[-power] : size * decimal_power[power];
    *out = minus ? -size : size;
    return at;
}

/* What decimal_quick gave, as f32; false where only decimal_exact can tell: near the middle of two
 * f32 (the 29 bits that are dropped are near 1000...), below the normal ones, past the largest. */
static inline bool decimal_round(double number, float *out) {
    uint64_t bits;
    memcpy(&bits, &number, sizeof bits);
    double size = number < 0 ? -number : number;
    bool near = ((bits + 16 - (1u << 28)) & ((1u << 29) - 1)) <= 32;
    bool small = (size < (double)FLT_MIN) & (size > 0); /* no branch: zeros are many */
    if (near | small | (size >= (double)FLT_MAX)) return false;
    *out = (float)number;
    return true;
}

#endif
