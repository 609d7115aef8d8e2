/*
 * A model function against another framework's stored numbers. A file tests/golden/NAME.safetensors
 * (scripts/oracle.py writes it) holds for each case
 *
 *     CASE/in/I           the inputs, in order
 *     CASE/variable/PATH  variables before the run
 *     CASE/out/I          the expected outputs
 *     CASE/weight/I       what output I is multiplied by to make the scalar that is differentiated
 *     CASE/d_in/I         the gradient of that scalar for input I
 *     CASE/d_variable/PATH
 *     CASE/after/PATH     variables after the run (running statistics)
 */
#ifndef SUPPORT_ORACLE_H
#define SUPPORT_ORACLE_H

#include <thalweg/thalweg.h>

typedef struct oracle_case {
    const char *name;
    tw_function build;
    const void *config;
    bool training;
} oracle_case;

/* A whole cmocka program: one test for each case, and one that fails when the file holds a case
 * that no row names. Ends with a NULL name. Tolerance 1e-5 by the project's measure, in float32.
 * Gives main's exit status. */
int oracle_main(const char *file, const oracle_case *cases);

#endif
