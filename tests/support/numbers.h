/* Tensors from and to doubles, for tests that state their numbers. */
#ifndef SUPPORT_NUMBERS_H
#define SUPPORT_NUMBERS_H

#include <thalweg/thalweg.h>

/* Each fails the running test on any failure. Floats and integers of any kernel type. */
tw_tensor *tensor_of(tw_context *context, tw_dtype dtype, tw_shape shape, const double *number);
/* Numbers that look random, the same ones for the same seed, in [low, high). */
tw_tensor *tensor_drawn(tw_context *context, tw_dtype dtype, tw_shape shape, uint64_t seed,
                        double low, double high);
/* The first `capacity` elements; gives their number. */
int numbers_of(tw_tensor *tensor, int capacity, double *out);
/* The variable's elements. */
int numbers_at(tw_store *store, const char *path, int capacity, double *out);

/* max|a-b| / max(1, max|b|) is at most `tolerance`; NaN fails. */
void assert_near(const char *what, int n, const double *a, const double *b, double tolerance);
/* The same for all elements of two tensors. */
void assert_tensors_near(const char *what, tw_tensor *a, tw_tensor *b, double tolerance);
void assert_same_bits(const char *what, tw_tensor *a, tw_tensor *b);

#endif
