/*
 * NumPy's array files (numpy.org/doc/stable/reference/generated/numpy.lib.format.html):
 *
 *     "\x93NUMPY"  major  minor      versions 1.0 to 3.0
 *     length of the header           little-endian; u16 in version 1, u32 after
 *     header                         {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }
 *     elements                       in the order that the header says
 *
 * The header is a literal of Python; its three keys may come in any order. Nothing in the file is
 * trusted.
 */
#include "io/npy.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/number.h"
#include "io/aside.h"
#include "io/bytes.h"
#include "io/mapping.h"
#include "ir/dimension.h"
#include "runtime/tensor.h"

enum { PREFIX_BYTES = 8, HEADER_ALIGNMENT = 64, HEADER_AT_MOST = 1 << 20 };

static const char magic[] = "\x93NUMPY";

static const struct {
    const char *name;
    tw_dtype dtype;
} dtypes[] = {
    {"f2", TW_F16}, {"f4", TW_F32}, {"f8", TW_F64}, {"i4", TW_I32},
    {"i8", TW_I64}, {"u1", TW_U8},  {"u4", TW_U32}, {"b1", TW_BOOL},
};
enum { DTYPES = sizeof dtypes / sizeof dtypes[0] };

/* The header's literal. */

static void skip_space(const char **at) {
    while (**at == ' ' || **at == '\t' || **at == '\n' || **at == '\r') ++*at;
}

static bool take(const char **at, const char *word) {
    skip_space(at);
    size_t length = strlen(word);
    if (strncmp(*at, word, length) != 0) return false;
    *at += length;
    return true;
}

/* 'text' or "text" without escapes. */
static bool take_string(const char **at, const char **text, size_t *length) {
    skip_space(at);
    char quote = **at;
    if (quote != '\'' && quote != '"') return false;
    const char *end = strchr(*at + 1, quote);
    if (!end) return false;
    *text = *at + 1;
    *length = (size_t)(end - *text);
    *at = end + 1;
    return true;
}

static bool take_number(const char **at, int64_t *number) {
    skip_space(at);
    if (**at < '0' || **at > '9') return false;
    for (*number = 0; **at >= '0' && **at <= '9'; ++*at)
        if (!checked_mul(*number, 10, number) || !checked_add(*number, **at - '0', number))
            return false;
    if (**at == 'L') ++*at; /* Python 2 */
    return true;
}

static tw_status read_descr(stream *from, const char **at, npy_header *out) {
    const char *text;
    size_t length;
    const char *start = *at;
    if (!take_string(at, &text, &length))
        return stream_refuse(from, TW_ERR_UNSUPPORTED,
                             "'descr' is %.40s...; expected one element type in quotes, as '<f4'",
                             start);
    const uint16_t probe = 1;
    int machine = *(const unsigned char *)&probe ? LITTLE_ENDIAN_FILE : BIG_ENDIAN_FILE;
    for (int i = 0; i < DTYPES && length == 3; i++) {
        if (strncmp(text + 1, dtypes[i].name, 2) != 0 || !strchr("<>|=", *text)) continue;
        out->type.dtype = dtypes[i].dtype;
        out->order = *text == '<' ? LITTLE_ENDIAN_FILE : *text == '>' ? BIG_ENDIAN_FILE : machine;
        return TW_OK;
    }
    return stream_refuse(from, TW_ERR_UNSUPPORTED,
                         "the element type is '%.*s'; expected f2, f4, f8, i4, i8, u1, u4 or b1 "
                         "(in Python: x.astype('f4'))",
                         length < 40 ? (int)length : 40, text);
}

/* (), (3,) or (2, 3). */
static tw_status read_shape(stream *from, const char **at, tw_shape *out) {
    *out = (tw_shape){0, 0, {0}};
    bool good = take(at, "(");
    while (good && !take(at, ")")) {
        if (out->rank == TW_MAX_RANK)
            return stream_refuse(from, TW_ERR_UNSUPPORTED, "more than %d axes", TW_MAX_RANK);
        good = take_number(at, &out->dim[out->rank++]);
        skip_space(at);
        if (good && !take(at, ",")) {
            good = take(at, ")");
            break;
        }
    }
    if (good) return TW_OK;
    return stream_refuse(from, TW_ERR_FORMAT,
                         "'shape' is no tuple of numbers from 0 to 2^63 - 1, as (2, 3)");
}

enum { HAS_DESCR = 1, HAS_ORDER = 2, HAS_SHAPE = 4, HAS_ALL = 7 };

/* One 'key': value. */
static tw_status read_entry(stream *from, const char **at, npy_header *out, int *seen) {
    const char *key;
    size_t length;
    if (!take_string(at, &key, &length) || !take(at, ":"))
        return stream_refuse(from, TW_ERR_FORMAT, "the header is no dictionary of Python");
    if (length == 5 && !strncmp(key, "descr", length)) {
        *seen |= HAS_DESCR;
        return read_descr(from, at, out);
    }
    if (length == 5 && !strncmp(key, "shape", length)) {
        *seen |= HAS_SHAPE;
        return read_shape(from, at, &out->type.shape);
    }
    if (length == 13 && !strncmp(key, "fortran_order", length)) {
        *seen |= HAS_ORDER;
        out->fortran = take(at, "True");
        if (out->fortran || take(at, "False")) return TW_OK;
        return stream_refuse(from, TW_ERR_FORMAT, "'fortran_order' is neither True nor False");
    }
    return stream_refuse(from, TW_ERR_FORMAT,
                         "the header has the key '%.*s'; expected descr, fortran_order and shape",
                         length < 40 ? (int)length : 40, key);
}

static tw_status parse_header(stream *from, const char *text, npy_header *out) {
    int seen = 0;
    const char *at = text;
    bool good = take(&at, "{");
    while (good && !take(&at, "}")) {
        tw_status status = read_entry(from, &at, out, &seen);
        if (status) return status;
        if (!take(&at, ",")) {
            good = take(&at, "}");
            break;
        }
    }
    skip_space(&at);
    if (good && !*at && seen == HAS_ALL) return TW_OK;
    return stream_refuse(from, TW_ERR_FORMAT,
                         "the header is no dictionary of descr, fortran_order and shape alone");
}

/* The elements must be what the stream still has. */
static tw_status check_size(const stream *from, npy_header *out) {
    size_t bytes;
    bool fits = type_bytes(out->type, &bytes);
    out->bytes = fits ? (int64_t)bytes : -1;
    int64_t left = from->size - from->offset;
    if (out->bytes == left) return TW_OK;
    if (!fits || out->bytes > left)
        return stream_refuse(from, TW_ERR_FORMAT,
                             "the shape asks for more elements than the %lld bytes that are left",
                             (long long)left);
    return stream_refuse(from, TW_ERR_FORMAT, "%lld bytes follow the elements of %lld",
                         (long long)(left - out->bytes), (long long)out->bytes);
}

static tw_status read_length(stream *from, int64_t *length) {
    unsigned char prefix[PREFIX_BYTES], raw[4] = {0};
    tw_status status = stream_read(from, prefix, sizeof prefix, "magic and version");
    if (status) return status;
    if (memcmp(prefix, magic, sizeof magic - 1) != 0)
        return stream_refuse(from, TW_ERR_FORMAT,
                             "does not start as a NumPy array does; is it another format?");
    if (prefix[6] < 1 || prefix[6] > 3 || prefix[7])
        return stream_refuse(from, TW_ERR_UNSUPPORTED,
                             "version %d.%d of the format; expected 1.0, 2.0 or 3.0", prefix[6],
                             prefix[7]);
    status = stream_read(from, raw, prefix[6] == 1 ? 2 : 4, "header's length");
    if (status) return status;
    *length =
        (int64_t)raw[0] | (int64_t)raw[1] << 8 | (int64_t)raw[2] << 16 | (int64_t)raw[3] << 24;
    if (*length <= HEADER_AT_MOST) return TW_OK;
    return stream_refuse(from, TW_ERR_FORMAT, "a header of %lld bytes; expected at most %d",
                         (long long)*length, HEADER_AT_MOST);
}

tw_status npy_read_header(stream *from, npy_header *out) {
    int64_t length = 0;
    *out = (npy_header){0};
    tw_status status = read_length(from, &length);
    if (status) return status;
    char *text = context_allocate(from->context, (size_t)length + 1, 1);
    if (!text) return TW_ERR_MEMORY;
    status = stream_read(from, text, length, "header");
    if (!status) status = parse_header(from, text, out);
    if (!status) status = check_size(from, out);
    context_release(from->context, text);
    return status;
}

/* Elements. */

/* From the first axis fastest to the last axis fastest. */
static void reorder_axes(const char *from, char *to, size_t size, tw_shape shape) {
    int64_t at[TW_MAX_RANK] = {0}, step[TW_MAX_RANK], elements = shape_elements(shape), place = 0;
    int64_t stride = 1;
    for (int i = 0; i < shape.rank; i++) {
        step[i] = stride;
        stride *= shape.dim[i];
    }
    for (int64_t i = 0; i < elements; i++) {
        memcpy(to + (size_t)i * size, from + (size_t)place * size, size);
        for (int axis = shape.rank - 1; axis >= 0; axis--) {
            place += step[axis];
            if (++at[axis] < shape.dim[axis]) break;
            place -= step[axis] * shape.dim[axis];
            at[axis] = 0;
        }
    }
}

static tw_status read_into(stream *from, const npy_header *header, void *data) {
    size_t size = tw_dtype_size(header->type.dtype);
    void *room = data;
    if (header->fortran) room = context_allocate(from->context, (size_t)header->bytes, 1);
    if (!room) return TW_ERR_MEMORY;
    tw_status status = stream_read(from, room, header->bytes, "elements");
    if (!status) bytes_reorder(room, (size_t)header->bytes, size, header->order);
    if (!status && header->fortran) reorder_axes(room, data, size, header->type.shape);
    if (header->fortran) context_release(from->context, room);
    if (header->type.dtype == TW_BOOL) /* any other byte than 0 is true */
        for (int64_t i = 0; i < header->bytes && !status; i++)
            ((char *)data)[i] = ((char *)data)[i] != 0;
    return status;
}

tw_tensor *npy_read_elements(stream *from, const npy_header *header) {
    tw_tensor *tensor = tensor_new(from->context, header->type);
    if (!tensor || !header->bytes) return tensor;
    if (!read_into(from, header, tensor->data)) return tensor;
    tw_tensor_free(tensor);
    return NULL;
}

/* Files. */

typedef struct held_mapping {
    tw_context *context;
    mapping map;
} held_mapping;

static void release_mapping(void *user) {
    held_mapping *it = user;
    mapping_close(&it->map);
    context_release(it->context, it);
}

/* A tensor over the file's own memory, which it takes over; NULL with the context's error. */
static tw_tensor *wrap_mapping(tw_context *context, const mapping *map, const npy_header *header) {
    held_mapping *held = context_allocate(context, 1, sizeof *held);
    if (!held) return NULL;
    *held = (held_mapping){context, *map};
    tw_tensor *tensor =
        tw_tensor_wrap(context, header->type.dtype, header->type.shape,
                       map->data + (map->bytes - (size_t)header->bytes), release_mapping, held);
    if (!tensor) context_release(context, held);
    return tensor;
}

static bool may_map(const stream *from, const npy_header *header) {
    const uint16_t probe = 1;
    int machine = *(const unsigned char *)&probe ? LITTLE_ENDIAN_FILE : BIG_ENDIAN_FILE;
    size_t size = tw_dtype_size(header->type.dtype);
    return header->bytes && !header->fortran && header->type.dtype != TW_BOOL &&
           (size == 1 || header->order == machine) && (size_t)from->offset % size == 0;
}

tw_tensor *tw_npy_read(tw_context *context, const char *path) {
    mapping map;
    if (!context || mapping_open(context, "npy file", path, &map)) return NULL;
    stream from = {.context = context, .kind = "npy file", .path = path, .at = map.data};
    from.left = map.bytes;
    from.size = (int64_t)map.bytes;
    npy_header header;
    tw_tensor *tensor = NULL;
    if (!stream_start(&from) && !npy_read_header(&from, &header)) {
        if (header.type.shape.rank < 2) header.fortran = false; /* the same order */
        if (may_map(&from, &header)) {
            tensor = wrap_mapping(context, &map, &header);
            if (tensor) return tensor;
        } else {
            tensor = npy_read_elements(&from, &header);
        }
    }
    mapping_close(&map);
    return tensor;
}

/* The header, padded so that the elements start at a multiple of 64; its bytes, or -1. */
static int make_header(tw_type type, char *out, size_t capacity) {
    const uint16_t probe = 1;
    const char *name = NULL;
    for (int i = 0; i < DTYPES; i++)
        if (dtypes[i].dtype == type.dtype) name = dtypes[i].name;
    if (!name) return -1;
    char order = tw_dtype_size(type.dtype) == 1 ? '|' : *(const unsigned char *)&probe ? '<' : '>';
    size_t at = PREFIX_BYTES + 2;
    at += (size_t)snprintf(out + at, capacity - at,
                           "{'descr': '%c%s', 'fortran_order': False, 'shape': (", order, name);
    for (int i = 0; i < type.shape.rank; i++)
        at += (size_t)snprintf(out + at, capacity - at, i ? ", %lld" : "%lld",
                               (long long)type.shape.dim[i]);
    at += (size_t)snprintf(out + at, capacity - at, type.shape.rank == 1 ? ",), }" : "), }");
    while ((at + 1) % HEADER_ALIGNMENT) out[at++] = ' ';
    out[at++] = '\n';
    size_t length = at - PREFIX_BYTES - 2;
    memcpy(out, magic, sizeof magic - 1);
    out[6] = 1;
    out[7] = 0;
    out[8] = (char)(length & 255);
    out[9] = (char)(length >> 8);
    return (int)at;
}

/* Into what is there: a device, a pipe, what a link leads to. NULL, or what failed (errno). */
static const char *write_through(const tw_tensor *tensor, const char *path, const char *header,
                                 size_t length) {
    FILE *file = fopen(path, "wbe");
    if (!file) return "cannot write it";
    bool good = fwrite(header, 1, length, file) == length &&
                fwrite(tensor->data, 1, tensor->bytes, file) == tensor->bytes;
    int reason = errno;
    if (fclose(file) && good) return "cannot write all of it";
    errno = reason;
    return good ? NULL : "cannot write all of it";
}

/* A new file in the old one's place, which may be mapped: by the tensor that is written, even. */
static const char *write_aside(const tw_tensor *tensor, const char *path, const char *header,
                               size_t length) {
    aside file;
    const char *what = aside_begin(&file, tensor->object.context, path);
    if (!what) what = aside_write(&file, header, length);
    if (!what) what = aside_write(&file, tensor->data, tensor->bytes);
    if (!what) what = aside_commit(&file);
    aside_end(&file);
    return what;
}

tw_status tw_npy_write(tw_tensor *tensor, const char *path) {
    if (!tensor) return TW_ERR_NULL;
    tw_context *context = tensor->object.context;
    if (!path) return context_error(context, TW_ERR_NULL, "tw_npy_write: the path is NULL");
    char header[512];
    int length = make_header(tensor->type, header, sizeof header);
    if (length < 0)
        return context_error(context, TW_ERR_UNSUPPORTED,
                             "npy file '%s': NumPy has no %s; cast the tensor to f32 first", path,
                             tw_dtype_name(tensor->type.dtype));
    struct stat facts;
    bool through = !lstat(path, &facts) && !S_ISREG(facts.st_mode);
    const char *what =
        (through ? write_through : write_aside)(tensor, path, header, (size_t)length);
    if (!what) return TW_OK;
    return context_error(context, TW_ERR_IO, "npy file '%s': %s: %s", path, what, strerror(errno));
}
