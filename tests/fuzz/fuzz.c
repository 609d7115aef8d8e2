/* Files in memory, their mapping, and expectations for the fuzz targets. */
#define _GNU_SOURCE
#include "fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/*
 * The readers' mmap, by the linker's --wrap. The rest of a mapped file's last page is memory, which
 * the address sanitizer lets anyone read; here it does not.
 */
void *__real_mmap(void *at, size_t bytes, int protection, int flags, int descriptor, off_t offset);
int __real_munmap(void *at, size_t bytes);
void *__wrap_mmap(void *at, size_t bytes, int protection, int flags, int descriptor, off_t offset);
int __wrap_munmap(void *at, size_t bytes);

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define POISON 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define POISON 1
#endif
#if defined(POISON)
void __asan_poison_memory_region(const volatile void *at, size_t bytes);
void __asan_unpoison_memory_region(const volatile void *at, size_t bytes);

static size_t rest_of_page(size_t bytes) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    return (page - bytes % page) % page;
}
#endif

void *__wrap_mmap(void *at, size_t bytes, int protection, int flags, int descriptor, off_t offset) {
    char *data = __real_mmap(at, bytes, protection, flags, descriptor, offset);
#if defined(POISON)
    if (data != MAP_FAILED) __asan_poison_memory_region(data + bytes, rest_of_page(bytes));
#endif
    return data;
}

int __wrap_munmap(void *at, size_t bytes) {
#if defined(POISON)
    __asan_unpoison_memory_region((char *)at + bytes, rest_of_page(bytes));
#endif
    return __real_munmap(at, bytes);
}

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
