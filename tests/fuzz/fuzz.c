/* Files in memory and expectations for the fuzz targets. */
#define _GNU_SOURCE
#include "fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

void fuzz_expect(int holds, const char *what) {
    if (holds) return;
    fprintf(stderr, "fuzz: expected: %s\n", what);
    abort();
}

void fuzz_expect_message(tw_context *context) {
    fuzz_expect(tw_last_status(context) < 0, "a status that says failure");
    fuzz_expect(tw_message(context)[0] != '\0', "a message");
}

void fuzz_file_begin(fuzz_file *file, const uint8_t *data, size_t size) {
    file->descriptor = memfd_create("fuzz", MFD_CLOEXEC);
    fuzz_expect(file->descriptor >= 0, "a file in memory");
    for (size_t done = 0; done < size;) {
        ssize_t count = write(file->descriptor, data + done, size - done);
        fuzz_expect(count > 0, "to write the file in memory");
        done += (size_t)count;
    }
    snprintf(file->path, sizeof file->path, "/proc/self/fd/%d", file->descriptor);
}

void fuzz_file_end(fuzz_file *file) { close(file->descriptor); }
