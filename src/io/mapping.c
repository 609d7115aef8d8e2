/* Files mapped into memory. */
#include "io/mapping.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static tw_status refuse(tw_context *context, const char *kind, const char *path, const char *what) {
    tw_status status = errno == ENOENT || errno == ENOTDIR ? TW_ERR_NOT_FOUND : TW_ERR_IO;
    return context_error(context, status, "%s '%s': %s: %s", kind, path, what, strerror(errno));
}

tw_status mapping_open(tw_context *context, const char *kind, const char *path, mapping *out) {
    *out = (mapping){NULL, 0};
    if (!path) return context_error(context, TW_ERR_NULL, "%s: the path is NULL", kind);
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (descriptor < 0) return refuse(context, kind, path, "cannot open it");
    struct stat facts;
    tw_status status = TW_OK;
    if (fstat(descriptor, &facts))
        status = refuse(context, kind, path, "cannot ask its size");
    else if (!S_ISREG(facts.st_mode))
        status = context_error(context, TW_ERR_IO, "%s '%s' is no regular file", kind, path);
    else if (facts.st_size > 0) {
        out->bytes = (size_t)facts.st_size;
        void *data = mmap(NULL, out->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE,
                          descriptor, 0);
        if (data == MAP_FAILED)
            status = refuse(context, kind, path, "cannot map it");
        else
            out->data = data;
    }
    close(descriptor);
    if (status) *out = (mapping){NULL, 0};
    return status;
}

void mapping_close(mapping *map) {
    if (map->data) munmap(map->data, map->bytes);
    *map = (mapping){NULL, 0};
}
