/* Byte order: files say theirs, machines have their own. */
#ifndef IO_BYTES_H
#define IO_BYTES_H

#include <stddef.h>
#include <stdint.h>

enum { BIG_ENDIAN_FILE = 1, LITTLE_ENDIAN_FILE };

/* Turns elements of `size` bytes from the file's order into the machine's, or back. */
static inline void bytes_reorder(void *data, size_t bytes, size_t size, int file_order) {
    const uint16_t probe = 1;
    int machine_order = *(const unsigned char *)&probe ? LITTLE_ENDIAN_FILE : BIG_ENDIAN_FILE;
    if (machine_order == file_order || size < 2) return;
    unsigned char *at = data;
    for (size_t base = 0; base + size <= bytes; base += size) {
        for (size_t i = 0; i < size / 2; i++) {
            unsigned char kept = at[base + i];
            at[base + i] = at[base + size - 1 - i];
            at[base + size - 1 - i] = kept;
        }
    }
}

static inline uint32_t bytes_big_u32(const unsigned char *at) {
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static inline uint64_t bytes_little_u64(const unsigned char *at) {
    uint64_t value = 0;
    for (int i = 7; i >= 0; i--) value = value << 8 | at[i];
    return value;
}

static inline void bytes_put_little_u64(unsigned char *at, uint64_t value) {
    for (int i = 0; i < 8; i++) at[i] = (unsigned char)(value >> 8 * i);
}

#endif
