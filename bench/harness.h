/*
 * What the programs share that bench/compare runs as sides. Such a program prints, for each of its
 * cases, "case NAME", its first results as "check NUMBER" (what sides compare), and "operator NAME
 * FLOPS BYTES" for what the case cannot do without; then "ready". After that it answers lines of
 * standard input:
 *
 *     time NAME SECONDS    does steps of the case for so long: "seconds MEDIAN"
 *     best NAME SECONDS    the same: "seconds FASTEST"
 *     memory               "peak_bytes N", the most memory that the process has had
 */
#ifndef BENCH_HARNESS_H
#define BENCH_HARNESS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct harness_case {
    const char *name;
    bool (*step)(void *argument); /* false: failed */
    void *argument;
} harness_case;

double harness_now(void);
/* Answers until the input ends; false when a step failed or memory is out. */
bool harness_serve(int n, const harness_case *cases);
/* The most resident bytes that the process has had; and what it has now without pages of files
 * and without machine code. */
int64_t harness_peak_bytes(void);
int64_t harness_own_bytes(void);
/* Element i of made-up data in [-range, range); bench/sides/serve.py has the same. */
float harness_number(uint32_t i, uint32_t salt, float range);

#endif
