/* Writing aside, syncing, renaming. */
#include "io/aside.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/number.h"

enum { TRIES = 16, DIGITS = 8 };

#define SUFFIX ".tmp"

static const char *last_part(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static const char *no_memory(void) {
    errno = ENOMEM;
    return "cannot name a file aside";
}

bool aside_folder(const char *path, text *out) {
    const char *slash = strrchr(path, '/');
    if (!slash)
        text_add(out, ".");
    else
        text_add_bytes(out, path, slash == path ? 1 : (size_t)(slash - path));
    return !out->failed;
}

size_t aside_base(const char *name) {
    size_t length = strlen(name), suffix = 1 + DIGITS + strlen(SUFFIX);
    if (length <= suffix) return 0;
    const char *end = name + length - suffix;
    bool good = *end == '.' && strspn(end + 1, "0123456789abcdef") == DIGITS &&
                !strcmp(end + 1 + DIGITS, SUFFIX);
    return good ? length - suffix : 0;
}

/* What earlier saves of this path left behind when they were killed. */
static const char *sweep(const aside *file) {
    text folder = {.context = file->context};
    if (!aside_folder(file->path, &folder)) {
        text_drop(&folder);
        return no_memory();
    }
    DIR *list = opendir(folder.at);
    text_drop(&folder);
    if (!list) return NULL; /* what is wrong will show when the file is made */
    const char *base = last_part(file->path);
    size_t length = strlen(base);
    /* A name that does not go (another process was quicker, or it is a folder) does no harm. */
    for (struct dirent *item = readdir(list); item; item = readdir(list))
        if (aside_base(item->d_name) == length && !strncmp(item->d_name, base, length))
            (void)!unlinkat(dirfd(list), item->d_name, 0);
    closedir(list);
    return NULL;
}

/* A name of its own for each save, so that two processes never write into one file. */
static bool choose_name(aside *file, int attempt) {
    struct timespec now = {0};
    clock_gettime(CLOCK_REALTIME, &now);
    const int64_t parts[] = {now.tv_sec, now.tv_nsec, getpid(), attempt, (int64_t)(intptr_t)file};
    uint64_t hash = hash_bytes(HASH_START, parts, sizeof parts);
    file->name.length = 0;
    text_add(&file->name, "%s.%0*lx" SUFFIX, file->path, DIGITS,
             (unsigned long)((hash ^ hash >> 32) & 0xffffffff));
    return !file->name.failed;
}

const char *aside_begin(aside *file, tw_context *context, const char *path) {
    *file = (aside){context, path, {.context = context}, -1, false};
    const char *what = sweep(file);
    if (what) return what;
    for (int i = 0; i < TRIES && file->descriptor < 0; i++) {
        if (!choose_name(file, i)) return no_memory();
        file->descriptor = open(file->name.at, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (file->descriptor < 0 && errno != EEXIST) break;
    }
    file->made = file->descriptor >= 0;
    return file->made ? NULL : "cannot create it";
}

const char *aside_write(aside *file, const void *data, size_t bytes) {
    const char *at = data;
    while (bytes) {
        ssize_t done = write(file->descriptor, at, bytes);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) return "cannot write";
        at += done;
        bytes -= (size_t)done;
    }
    return NULL;
}

/* Signals that a handler takes end calls on some file systems. */
static int sync_all(int descriptor) {
    int failed;
    do failed = fsync(descriptor);
    while (failed && errno == EINTR);
    return failed;
}

const char *aside_sync(const char *folder) {
    int descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0) return "cannot open its folder";
    /* Some file systems cannot sync a folder and say EINVAL; nothing more can be done there. */
    int failure = sync_all(descriptor) && errno != EINVAL ? errno : 0;
    close(descriptor);
    errno = failure;
    return failure ? "cannot sync its folder" : NULL;
}

static const char *sync_folder_of(tw_context *context, const char *path) {
    text folder = {.context = context};
    const char *what = aside_folder(path, &folder) ? aside_sync(folder.at) : no_memory();
    int kept = errno;
    text_drop(&folder);
    errno = kept;
    return what;
}

const char *aside_commit(aside *file) {
    if (sync_all(file->descriptor)) return "cannot sync";
    int descriptor = file->descriptor;
    file->descriptor = -1;
    if (close(descriptor) && errno != EINTR) return "cannot write";
    struct stat facts;
    /* A rename would take the place of a device, too. */
    if (!stat(file->path, &facts) && !S_ISREG(facts.st_mode)) {
        errno = S_ISDIR(facts.st_mode) ? EISDIR : EEXIST;
        return "cannot replace what is there";
    }
    if (rename(file->name.at, file->path)) return "cannot rename";
    file->made = false;
    return sync_folder_of(file->context, file->path);
}

void aside_end(aside *file) {
    int kept = errno;
    if (file->descriptor >= 0) close(file->descriptor);
    file->descriptor = -1;
    if (file->made) unlink(file->name.at);
    file->made = false;
    text_drop(&file->name);
    errno = kept;
}

/* Makes `folder` if it is missing, and its entry last. */
static const char *make_one(tw_context *context, const char *folder) {
    if (!mkdir(folder, 0777)) return sync_folder_of(context, folder);
    int why = errno;
    struct stat facts;
    if (!stat(folder, &facts) && S_ISDIR(facts.st_mode)) return NULL;
    errno = why == EEXIST ? ENOTDIR : why;
    return "cannot make the folder";
}

const char *aside_make_folder(tw_context *context, const char *folder) {
    text path = {.context = context};
    text_add(&path, "%s", folder);
    while (!path.failed && path.length > 1 && path.at[path.length - 1] == '/')
        path.at[--path.length] = '\0';
    const char *what = path.failed ? no_memory() : NULL;
    for (size_t i = 1; !what && i <= path.length; i++) {
        if (path.at[i] != '/' && path.at[i]) continue;
        char kept = path.at[i];
        path.at[i] = '\0';
        if (path.at[i - 1] != '/') what = make_one(context, path.at);
        path.at[i] = kept;
    }
    int why = errno;
    text_drop(&path);
    errno = why;
    return what;
}
