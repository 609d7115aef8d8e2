/*
 * What the fuzz targets share. A target is tests/fuzz/fuzz_NAME.c with one LLVMFuzzerTestOneInput,
 * its seeds and former findings are the files of tests/fuzz/corpus/NAME. The `fuzz` preset links
 * targets with libFuzzer; every other build links them with replay.c and runs the corpus as the
 * test fuzz_NAME.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <thalweg/thalweg.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The readers take paths: a file in memory, and its path. A failure ends the process. */
typedef struct fuzz_file {
    int descriptor;
    char path[64];
} fuzz_file;
void fuzz_file_begin(fuzz_file *file, const uint8_t *data, size_t size);
void fuzz_file_end(fuzz_file *file);

/* Ends the process, which libFuzzer takes for a finding, unless `holds`. */
void fuzz_expect(int holds, const char *what);
/* A reader that failed has said why; ends the process where `context` holds no message. */
void fuzz_expect_message(tw_context *context);

#endif
