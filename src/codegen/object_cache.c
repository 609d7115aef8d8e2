/* One file an object: a head with its key, size and checksum, then its bytes. */
#include "codegen/object_cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/number.h"
#include "base/text.h"
#include "base/vector.h"

enum { MOST_OBJECT = 1 << 26, PATH = 4096 };

typedef struct head {
    char magic[8];
    object_key key;
    uint64_t bytes, checksum;
} head;

static const char magic[8] = "TWOBJ 1";
static const char suffix[] = ".twobj";

char *object_cache_folder(tw_context *context) {
    const char *given = context->opts.cache, *home = getenv("HOME");
    text path = {.context = context};
    if (!given) given = getenv("THALWEG_CACHE");
    if (given && !*given) return NULL;
    if (given)
        text_add(&path, "%s/objects", given);
    else if (getenv("XDG_CACHE_HOME") && *getenv("XDG_CACHE_HOME"))
        text_add(&path, "%s/thalweg/objects", getenv("XDG_CACHE_HOME"));
    else if (home && *home)
        text_add(&path, "%s/.cache/thalweg/objects", home);
    else
        return NULL;
    return text_take(&path);
}

static bool path_of(char *out, const char *folder, object_key key) {
    int length = snprintf(out, PATH, "%s/%016llx%016llx%s", folder, (unsigned long long)key.high,
                          (unsigned long long)key.low, suffix);
    return length > 0 && length < PATH;
}

static bool read_all(int file, void *to, size_t bytes) {
    for (size_t done = 0; done < bytes;) {
        ssize_t n = read(file, (char *)to + done, bytes - done);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        done += (size_t)n;
    }
    return true;
}

static bool write_all(int file, const void *from, size_t bytes) {
    for (size_t done = 0; done < bytes;) {
        ssize_t n = write(file, (const char *)from + done, bytes - done);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        done += (size_t)n;
    }
    return true;
}

static bool is_head(const head *h, object_key key) {
    return !memcmp(h->magic, magic, sizeof magic) && h->key.low == key.low &&
           h->key.high == key.high && h->bytes && h->bytes <= MOST_OBJECT;
}

/* Code that somebody else may have put there is not run. */
static bool is_own(int file) {
    struct stat about;
    return !fstat(file, &about) && S_ISREG(about.st_mode) &&
           (about.st_uid == geteuid() || !about.st_uid);
}

void *object_cache_read(tw_context *context, const char *folder, object_key key, size_t *bytes) {
    char path[PATH];
    int file = path_of(path, folder, key) ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    head h;
    void *object = NULL;
    if (file < 0) return NULL;
    if (is_own(file) && read_all(file, &h, sizeof h) && is_head(&h, key))
        object = context_allocate(context, h.bytes, 1);
    if (object && (!read_all(file, object, h.bytes) ||
                   hash_bytes(HASH_START, object, h.bytes) != h.checksum)) {
        context_release(context, object);
        object = NULL;
    }
    close(file);
    if (object) *bytes = h.bytes;
    if (object) utimensat(AT_FDCWD, path, NULL, 0); /* it was of use: others go first */
    return object;
}

/* The folder and those above it. */
static void make_folder(const char *folder) {
    char path[PATH];
    if (strlen(folder) >= sizeof path) return;
    strcpy(path, folder);
    for (char *at = path + 1; *at; at++)
        if (*at == '/') {
            *at = '\0';
            mkdir(path, 0777);
            *at = '/';
        }
    mkdir(path, 0777);
}

void object_cache_write(const char *folder, object_key key, const void *object, size_t bytes) {
    char path[PATH], aside[PATH];
    head h = {.key = key, .bytes = bytes, .checksum = hash_bytes(HASH_START, object, bytes)};
    memcpy(h.magic, magic, sizeof magic);
    int length = snprintf(aside, sizeof aside, "%s/new-XXXXXX%s", folder, suffix);
    if (!path_of(path, folder, key) || length < 0 || length >= PATH || bytes > MOST_OBJECT) return;
    make_folder(folder);
    int file = mkstemps(aside, sizeof suffix - 1);
    if (file < 0) return;
    bool good = write_all(file, &h, sizeof h) && write_all(file, object, bytes);
    good = !close(file) && good && !rename(aside, path);
    if (!good) unlink(aside);
}

/* ---- the limit ---- */

typedef struct entry {
    char name[64];
    uint64_t bytes;
    struct timespec used;
} entry;

static int by_age(const void *a, const void *b) {
    const struct timespec *x = &((const entry *)a)->used, *y = &((const entry *)b)->used;
    if (x->tv_sec != y->tv_sec) return x->tv_sec < y->tv_sec ? -1 : 1;
    return (x->tv_nsec > y->tv_nsec) - (x->tv_nsec < y->tv_nsec);
}

static bool is_object(const char *name) {
    size_t length = strlen(name), end = sizeof suffix - 1;
    return length > end && length < sizeof((entry *)0)->name &&
           !strcmp(name + length - end, suffix);
}

void object_cache_trim(tw_context *context, const char *folder, uint64_t most) {
    DIR *open = opendir(folder);
    VECTOR(entry) found = {0};
    uint64_t all = 0;
    if (!open) return;
    for (const struct dirent *it; (it = readdir(open));) {
        struct stat about;
        if (!is_object(it->d_name) || fstatat(dirfd(open), it->d_name, &about, 0)) continue;
        entry *added = VECTOR_PUSH(context, &found);
        if (!added) break;
        strcpy(added->name, it->d_name);
        added->bytes = (uint64_t)about.st_blocks * 512; /* a small file takes a block */
        added->used = about.st_mtim;
        all += added->bytes;
    }
    if (all > most) qsort(found.at, found.count, sizeof *found.at, by_age);
    for (size_t i = 0; i < found.count && all > most; i++) {
        unlinkat(dirfd(open), found.at[i].name, 0);
        all -= found.at[i].bytes;
    }
    closedir(open);
    VECTOR_FREE(context, &found);
}
