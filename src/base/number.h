/* The smaller number, checked sizes, hashes, counter-based random numbers. */
#ifndef BASE_NUMBER_H
#define BASE_NUMBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

/* False on overflow, when *out is not to be used. */
static inline bool checked_mul(int64_t a, int64_t b, int64_t *out) {
    return !__builtin_mul_overflow(a, b, out);
}
static inline bool checked_add(int64_t a, int64_t b, int64_t *out) {
    return !__builtin_add_overflow(a, b, out);
}

/* FNV-1a, 64 bits; `hash` is the running value, HASH_START at first. */
#define HASH_START UINT64_C(0xcbf29ce484222325)
uint64_t hash_bytes(uint64_t hash, const void *data, size_t count);
uint64_t hash_string(uint64_t hash, const char *string);

/* Philox4x32-10 (Salmon et al., SC 2011): four words for a 64-bit key and a 128-bit counter. */
void philox(uint64_t key, uint64_t counter_low, uint64_t counter_high, uint32_t out[4]);

/* 0..count-1 in an order that follows from key and stream, and is the same on every machine (Fisher &
 * Yates; a draw's bias is below count / 2^64). */
void shuffle(int64_t *order, int64_t count, uint64_t key, uint64_t stream);

#endif
