/* Reads plain and deflated bytes alike. */
#include "io/stream.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { AT_MOST = 1 << 30 }; /* zlib counts in unsigned int */

tw_status stream_refuse(const stream *from, tw_status status, const char *format, ...) {
    char line[512];
    va_list list;
    va_start(list, format);
    vsnprintf(line, sizeof line, format, list);
    va_end(list);
    return context_error(from->context, status, "%s '%s'%s%s%s, offset %lld: %s", from->kind,
                         from->path, from->member ? ", array '" : "",
                         from->member ? from->member : "", from->member ? "'" : "",
                         (long long)from->offset, line);
}

tw_status stream_start(stream *from) {
    from->offset = 0;
    from->sum = 0;
    memset(&from->zip, 0, sizeof from->zip);
    if (from->deflated && inflateInit2(&from->zip, -MAX_WBITS) != Z_OK) {
        from->deflated = false;
        return stream_refuse(from, TW_ERR_MEMORY, "out of memory");
    }
    return TW_OK;
}

void stream_end(stream *from) {
    if (from->deflated) inflateEnd(&from->zip);
    from->deflated = false;
}

/* Up to `most` bytes; 0 at the end of the stream or where it is damaged. */
static size_t inflate_some(stream *from, void *to, size_t most) {
    z_stream *zip = &from->zip;
    unsigned in = from->left < AT_MOST ? (unsigned)from->left : (unsigned)AT_MOST;
    zip->next_in = (z_const Bytef *)from->at;
    zip->avail_in = in;
    zip->next_out = to;
    zip->avail_out = (unsigned)most;
    int code = inflate(zip, Z_NO_FLUSH);
    size_t used = in - zip->avail_in, got = most - zip->avail_out;
    from->at += used;
    from->left -= used;
    return code == Z_OK || code == Z_STREAM_END ? got : 0;
}

tw_status stream_read(stream *from, void *to, int64_t bytes, const char *what) {
    unsigned char *at = to;
    if (bytes > from->size - from->offset)
        return stream_refuse(from, TW_ERR_FORMAT, "%lld bytes are left; expected %lld of %s",
                             (long long)(from->size - from->offset), (long long)bytes, what);
    while (bytes > 0) {
        size_t most = bytes < AT_MOST ? (size_t)bytes : (size_t)AT_MOST, got;
        if (from->deflated) {
            got = inflate_some(from, at, most);
        } else {
            got = most < from->left ? most : from->left;
            memcpy(at, from->at, got);
            from->at += got;
            from->left -= got;
        }
        if (!got)
            return stream_refuse(from, TW_ERR_FORMAT,
                                 "the data are damaged or end here; expected %lld more bytes of %s",
                                 (long long)bytes, what);
        from->sum = (uint32_t)crc32(from->sum, at, (unsigned)got);
        at += got;
        bytes -= (int64_t)got;
        from->offset += (int64_t)got;
    }
    return TW_OK;
}
