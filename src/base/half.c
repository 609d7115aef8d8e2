/* Rows of 16-bit floats to and from f32. */
#include "base/half.h"

#define DEFINE_WIDEN(name)                                                                         \
    static void name##_all(const uint16_t *restrict from, int64_t step, int64_t count,             \
                           float *restrict to) {                                                   \
        if (step == 1)                                                                             \
            for (int64_t i = 0; i < count; i++) to[i] = name(from[i]);                             \
        else                                                                                       \
            for (int64_t i = 0; i < count; i++) to[i] = name(from[i * step]);                      \
    }
DEFINE_WIDEN(f16_widen)
DEFINE_WIDEN(bf16_widen)

#define DEFINE_NARROW(name)                                                                        \
    static void name##_all(const float *restrict from, int64_t count, uint16_t *restrict to) {     \
        for (int64_t i = 0; i < count; i++) to[i] = name(from[i]);                                 \
    }
DEFINE_NARROW(f16_narrow)
DEFINE_NARROW(bf16_narrow)

void half_widen(tw_dtype dtype, const uint16_t *from, int64_t step, int64_t count, float *to) {
    if (dtype == TW_F16)
        f16_widen_all(from, step, count, to);
    else
        bf16_widen_all(from, step, count, to);
}

void half_narrow(tw_dtype dtype, const float *from, int64_t count, uint16_t *to) {
    if (dtype == TW_F16)
        f16_narrow_all(from, count, to);
    else
        bf16_narrow_all(from, count, to);
}
