/*
 * Scalar kernels: one expression of one element, made into a loop for each element type. Steps
 * are 0 or 1 nearly always, and those loops vectorise; an operand may be the result itself.
 */
#ifndef OPS_SCALAR_H
#define OPS_SCALAR_H

#include <math.h>
#include <thalweg/operator.h>

/* No iteration reads what another one writes. */
#if defined(__GNUC__) && !defined(__clang__)
#define SCALAR_LOOP _Pragma("GCC ivdep")
#else
#define SCALAR_LOOP
#endif

#define SCALAR_ARGUMENTS                                                                           \
    int64_t count, void *out, const void *const *in, const int64_t *step, const tw_attr *attr

/* The text of what kernel `name` computes, with macros expanded. */
#define SCALAR_TEXT(name, names, ...) SCALAR_TEXT_EXPANDED(name, names, __VA_ARGS__)
#define SCALAR_TEXT_EXPANDED(name, names, ...)                                                     \
    static const tw_scalar_text name##_text = {names, #__VA_ARGS__, NULL, 0};

/* R name(T x): `store` of `expression` in x. */
#define SCALAR_STORE_1(name, R, T, store, expression)                                              \
    SCALAR_TEXT(name, "x", expression)                                                             \
    static void name(SCALAR_ARGUMENTS) {                                                           \
        const T *at = in[0];                                                                       \
        R *result = out;                                                                           \
        (void)attr;                                                                                \
        if (step[0] == 1) {                                                                        \
            SCALAR_LOOP for (int64_t i = 0; i < count; i++) {                                      \
                const T x = at[i];                                                                 \
                result[i] = store(expression);                                                     \
            }                                                                                      \
        } else {                                                                                   \
            for (int64_t i = 0; i < count; i++) {                                                  \
                const T x = at[i * step[0]];                                                       \
                result[i] = store(expression);                                                     \
            }                                                                                      \
        }                                                                                          \
    }
#define SCALAR_1(name, R, T, expression) SCALAR_STORE_1(name, R, T, (R), expression)

/* One loop of SCALAR_2; the elements are named a and b. */
#define SCALAR_2_LOOP(R, T, index_a, index_b, expression)                                          \
    SCALAR_LOOP for (int64_t i = 0; i < count; i++) {                                              \
        const T a = left[index_a], b = right[index_b];                                             \
        result[i] = (R)(expression);                                                               \
    }

/* R name(T a, T b): `expression` in a and b. */
#define SCALAR_2(name, R, T, expression)                                                           \
    SCALAR_TEXT(name, "a b", expression)                                                           \
    static void name(SCALAR_ARGUMENTS) {                                                           \
        const T *left = in[0], *right = in[1];                                                     \
        R *result = out;                                                                           \
        (void)attr;                                                                                \
        if (step[0] == 1 && step[1] == 1) {                                                        \
            SCALAR_2_LOOP(R, T, i, i, expression)                                                  \
        } else if (step[0] == 1 && step[1] == 0) {                                                 \
            const T fixed = count > 0 ? right[0] : (T)0;                                           \
            right = &fixed;                                                                        \
            SCALAR_2_LOOP(R, T, i, 0, expression)                                                  \
        } else if (step[0] == 0 && step[1] == 1) {                                                 \
            const T fixed = count > 0 ? left[0] : (T)0;                                            \
            left = &fixed;                                                                         \
            SCALAR_2_LOOP(R, T, 0, i, expression)                                                  \
        } else {                                                                                   \
            SCALAR_2_LOOP(R, T, i *step[0], i *step[1], expression)                                \
        }                                                                                          \
    }

#endif
