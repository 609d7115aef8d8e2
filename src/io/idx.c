/*
 * Reads idx files, LeCun's format of MNIST and its successors, gzipped or plain:
 *
 *     0  0  type  rank   four bytes
 *     extent ...         a big-endian u32 for each axis, outermost first
 *     element ...        big-endian, row-major
 *
 * Nothing in the file is trusted: extents are checked against the file's size before memory is
 * taken for them, and the elements must end where the file ends.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <thalweg/data.h>
#include <unistd.h>
#include <zlib.h>

#include "base/context.h"
#include "base/number.h"
#include "io/bytes.h"
#include "runtime/tensor.h"

enum {
    MAGIC_BYTES = 4,
    EXTENT_BYTES = 4,
    BUFFER_BYTES = 1 << 17,
    READ_AT_MOST = 1 << 30, /* gzread counts in int */
    DEFLATE_RATIO = 1032    /* one input byte never inflates to more */
};

typedef struct idx_file {
    tw_context *context;
    const char *path;
    gzFile stream;
    int64_t size;   /* on disk */
    int64_t offset; /* of the inflated stream */
} idx_file;

static tw_status refuse_system(idx_file *file, const char *what) {
    tw_status status = errno == ENOENT || errno == ENOTDIR ? TW_ERR_NOT_FOUND : TW_ERR_IO;
    return context_error(file->context, status, "idx file '%s': %s: %s", file->path, what,
                         strerror(errno));
}

static tw_status open_file(idx_file *file) {
    int descriptor = open(file->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (descriptor < 0) return refuse_system(file, "cannot open it");
    struct stat facts;
    if (fstat(descriptor, &facts)) {
        tw_status status = refuse_system(file, "cannot ask its size");
        close(descriptor);
        return status;
    }
    if (!S_ISREG(facts.st_mode)) {
        close(descriptor);
        return context_error(file->context, TW_ERR_IO, "idx file '%s' is no regular file",
                             file->path);
    }
    file->size = facts.st_size;
    file->stream = gzdopen(descriptor, "rb");
    if (!file->stream) {
        close(descriptor);
        return context_error(file->context, TW_ERR_MEMORY, "idx file '%s': out of memory",
                             file->path);
    }
    gzbuffer(file->stream, BUFFER_BYTES);
    return TW_OK;
}

/* Reads exactly `bytes`. */
static tw_status read_exactly(idx_file *file, void *destination, int64_t bytes, const char *what) {
    unsigned char *at = destination;
    int64_t left = bytes;
    while (left > 0) {
        unsigned ask = left < READ_AT_MOST ? (unsigned)left : (unsigned)READ_AT_MOST;
        int got = gzread(file->stream, at, ask);
        if (got <= 0) {
            int code = Z_OK;
            const char *reason = gzerror(file->stream, &code);
            if (code == Z_MEM_ERROR)
                return context_error(file->context, TW_ERR_MEMORY, "idx file '%s': out of memory",
                                     file->path);
            bool cut = code == Z_OK || code == Z_STREAM_END || code == Z_BUF_ERROR;
            return context_error(file->context, TW_ERR_FORMAT,
                                 "idx file '%s', offset %lld: %s; expected %lld more bytes of %s",
                                 file->path, (long long)file->offset,
                                 cut ? "the file ends here" : reason, (long long)left, what);
        }
        at += got;
        left -= got;
        file->offset += got;
    }
    return TW_OK;
}

static tw_status read_type(idx_file *file, const unsigned char *magic, tw_type *type) {
    if (magic[0] || magic[1])
        return context_error(file->context, TW_ERR_FORMAT,
                             "idx file '%s', offset 0: starts with %02x %02x where an idx file "
                             "has 00 00; is it another format?",
                             file->path, magic[0], magic[1]);
    switch (magic[2]) {
    case 0x08: type->dtype = TW_U8; break;
    case 0x0c: type->dtype = TW_I32; break;
    case 0x0d: type->dtype = TW_F32; break;
    case 0x0e: type->dtype = TW_F64; break;
    default:
        return context_error(file->context,
                             magic[2] == 0x09 || magic[2] == 0x0b ? TW_ERR_UNSUPPORTED
                                                                  : TW_ERR_FORMAT,
                             "idx file '%s', offset 2: element type 0x%02x; expected 0x08 (u8), "
                             "0x0c (i32), 0x0d (f32) or 0x0e (f64)",
                             file->path, magic[2]);
    }
    if (magic[3] < 1 || magic[3] > TW_MAX_RANK)
        return context_error(file->context, TW_ERR_FORMAT,
                             "idx file '%s', offset 3: rank %d; expected 1 to %d", file->path,
                             magic[3], TW_MAX_RANK);
    type->shape.rank = magic[3];
    return TW_OK;
}

/* The extents, and the bytes of all elements: refused if the file is too small to hold them. */
static tw_status read_extents(idx_file *file, tw_type *type, int64_t *bytes) {
    unsigned char raw[TW_MAX_RANK * EXTENT_BYTES];
    tw_shape *shape = &type->shape;
    tw_status status = read_exactly(file, raw, (int64_t)shape->rank * EXTENT_BYTES, "extents");
    if (status) return status;
    bool empty = false;
    for (int i = 0; i < shape->rank; i++) {
        shape->dim[i] = bytes_big_u32(raw + (size_t)i * EXTENT_BYTES);
        empty = empty || shape->dim[i] == 0;
    }
    int64_t most = 0, total = empty ? 0 : (int64_t)tw_dtype_size(type->dtype);
    bool fits = checked_mul(file->size, DEFLATE_RATIO, &most);
    for (int i = 0; i < shape->rank && fits; i++) fits = checked_mul(total, shape->dim[i], &total);
    size_t room;
    fits = fits && type_bytes(*type, &room); /* which are too large even beside one of 0 */
    if (gzdirect(file->stream)) most = file->size - file->offset;
    if (!fits || total > most)
        return context_error(file->context, TW_ERR_FORMAT,
                             "idx file '%s', offset %d: the extents ask for more elements than a "
                             "file of %lld bytes holds",
                             file->path, MAGIC_BYTES, (long long)file->size);
    *bytes = total;
    return TW_OK;
}

/* Nothing may follow the elements; for gzip this also makes zlib check its sum. */
static tw_status expect_end(idx_file *file) {
    unsigned char byte;
    int got = gzread(file->stream, &byte, 1);
    if (got == 0) {
        int code = Z_OK;
        gzerror(file->stream, &code);
        if (code == Z_OK || code == Z_STREAM_END) return TW_OK;
    }
    return context_error(file->context, TW_ERR_FORMAT, "idx file '%s', offset %lld: %s", file->path,
                         (long long)file->offset,
                         got > 0 ? "bytes follow the last element"
                                 : "the gzip stream is damaged or cut at its end");
}

static tw_status read_tensor(idx_file *file, tw_tensor **out) {
    unsigned char magic[MAGIC_BYTES];
    tw_type type = {0};
    int64_t bytes = 0;
    tw_status status = read_exactly(file, magic, MAGIC_BYTES, "header");
    if (!status) status = read_type(file, magic, &type);
    if (!status) status = read_extents(file, &type, &bytes);
    if (status) return status;
    *out = tw_tensor_new(file->context, type.dtype, type.shape);
    if (!*out) return tw_last_status(file->context);
    if (bytes) {
        void *data = tw_tensor_map(*out);
        if (!data) return tw_last_status(file->context);
        status = read_exactly(file, data, bytes, "elements");
        if (status) return status;
        bytes_reorder(data, (size_t)bytes, tw_dtype_size(type.dtype), BIG_ENDIAN_FILE);
    }
    return expect_end(file);
}

tw_tensor *tw_idx_read(tw_context *context, const char *path) {
    if (!context) return NULL;
    if (!path) {
        context_error(context, TW_ERR_NULL, "tw_idx_read: the path is NULL");
        return NULL;
    }
    idx_file file = {.context = context, .path = path};
    tw_tensor *tensor = NULL;
    tw_status status = open_file(&file);
    if (!status) status = read_tensor(&file, &tensor);
    if (file.stream) gzclose_r(file.stream);
    if (status && tensor) {
        tw_tensor_free(tensor);
        tensor = NULL;
    }
    return tensor;
}
