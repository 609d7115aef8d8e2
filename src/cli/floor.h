/* What this machine does at best: the least time for so many operations and bytes, by measured rates. */
#ifndef CLI_FLOOR_H
#define CLI_FLOOR_H

#include <thalweg/thalweg.h>

enum { FLOOR_SIZES = 4 };

typedef struct machine_floor {
    double flops;              /* a second, of a product of matrices */
    double bytes[FLOOR_SIZES]; /* ... read and written, */
    double upto[FLOOR_SIZES];  /* in work of about so many bytes */
} machine_floor;

/* Takes about a tenth of a second on the context's threads. */
tw_status floor_measure(tw_context *context, machine_floor *out);
double floor_seconds(const machine_floor *floor, double flops, double bytes);

#endif
