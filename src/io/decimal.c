/* The exact way from decimal text to f32: the digits that count, without a point, to strtof. */
#include "io/decimal.h"

#include <stdio.h>
#include <stdlib.h>

#define TEN(n)                                                                                     \
    1e##n##0, 1e##n##1, 1e##n##2, 1e##n##3, 1e##n##4, 1e##n##5, 1e##n##6, 1e##n##7, 1e##n##8,      \
        1e##n##9
const double decimal_power[DECIMAL_POWERS] = {TEN(0), TEN(1), TEN(2), TEN(3), TEN(4), TEN(5),
                                              1e60,   1e61,   1e62,   1e63,   1e64};

enum {
    DIGITS_KEPT = 160, /* the middle of two f32 has 113 at most; one more says if any follow */
    EXPONENT_AT_MOST = 100000
};

typedef struct decimal {
    bool minus;
    char digits[DIGITS_KEPT + 32];
    int count;
    bool more; /* a digit that is not 0 follows those kept */
    int64_t power;
} decimal;

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static const char *take_digits(const char *at, const char *end, decimal *d, bool fraction) {
    for (; at < end && is_digit(*at); at++) {
        bool leading = !d->count && *at == '0', kept = !leading && d->count < DIGITS_KEPT;
        if (kept)
            d->digits[d->count++] = *at;
        else if (!leading)
            d->more = d->more || *at != '0';
        d->power += (!kept && !leading) - fraction;
    }
    return at;
}

static const char *take_exponent(const char *at, const char *end, decimal *d) {
    bool minus = at < end && *at == '-';
    if (at < end && (*at == '-' || *at == '+')) at++;
    int64_t exponent = 0;
    const char *start = at;
    for (; at < end && is_digit(*at); at++)
        if (exponent < EXPONENT_AT_MOST) exponent = exponent * 10 + (*at - '0');
    d->power += minus ? -exponent : exponent;
    return at > start ? at : NULL;
}

/* In any case, by ASCII: the C library's comparisons ask the locale. */
static bool is_word(const char *begin, const char *end, const char *word) {
    while (begin < end && *word && (*begin | 0x20) == *word) begin++, word++;
    return begin == end && !*word;
}

decimal_kind decimal_exact(const char *begin, const char *end, float *out) {
    decimal d = {.minus = begin < end && *begin == '-'};
    const char *at = begin;
    if (at < end && (*at == '-' || *at == '+')) at++;
    if (is_word(at, end, "nan")) return DECIMAL_NAN;
    if (is_word(at, end, "inf") || is_word(at, end, "infinity")) {
        *out = d.minus ? -__builtin_inff() : __builtin_inff();
        return DECIMAL_NUMBER;
    }
    const char *start = at;
    at = take_digits(at, end, &d, false);
    bool any = at > start;
    if (at < end && *at == '.') {
        start = ++at;
        at = take_digits(at, end, &d, true);
        any = any || at > start;
    }
    if (!any) return DECIMAL_NONE;
    if (at < end && (*at == 'e' || *at == 'E')) at = take_exponent(at + 1, end, &d);
    if (!at || at < end) return DECIMAL_NONE;
    if (d.more) d.digits[d.count++] = '1', d.power--;
    if (!d.count) d.digits[d.count++] = '0', d.power = 0;
    snprintf(d.digits + d.count, sizeof d.digits - (size_t)d.count, "e%lld", (long long)d.power);
    float size = strtof(d.digits, NULL);
    *out = d.minus ? -size : size;
    return size > FLT_MAX ? DECIMAL_RANGE : DECIMAL_NUMBER;
}
