/*
 * A function of scalars and its text, from which generated code is made (ir/expression_text.c). The body
 * is declarations, assignments and one return. Products that are added are written as fmaf, so that
 * every compiler rounds alike.
 */
#ifndef BASE_DESCRIBED_H
#define BASE_DESCRIBED_H

/* A loop vectorises only if its body is all there. */
#if defined(__GNUC__)
#define ALWAYS_INLINE static inline __attribute__((always_inline))
#else
#define ALWAYS_INLINE static inline
#endif

#define DESCRIBED_FUNCTION(R, name, parameters, ...)                                               \
    ALWAYS_INLINE R name parameters __VA_ARGS__ static const char name##_text[] =                  \
        #R " " #name #parameters #__VA_ARGS__;

#endif
