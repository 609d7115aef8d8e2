/* What is done with samples of a convolution's result as soon as they are there. */
#ifndef CODEGEN_CONV_FINISH_H
#define CODEGEN_CONV_FINISH_H

#include <stdint.h>

/* Of a piece, about, that is finished: it stays in a core's own cache. */
enum { CONV_FINISH_BYTES = 512 << 10 };

/* take: samples first.. are in y, a thread's own memory. From several threads at a time, in any order. */
typedef struct conv_finish {
    void (*take)(const void *state, int64_t first, int64_t samples, const float *y);
    const void *state;
} conv_finish;

#endif
