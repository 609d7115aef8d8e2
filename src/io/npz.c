/*
 * NumPy's archives: zip files of array files, stored or deflated (PKWARE's APPNOTE 6.3.9, 4.3). The
 * central directory at the end says where each member is; of the local headers only the lengths
 * are used. Archives with members or a directory past 4 GiB (zip64) are refused.
 */
#include <string.h>

#include "base/vector.h"
#include "io/dataset.h"
#include "io/mapping.h"
#include "io/npy.h"
#include "runtime/tensor.h"

enum {
    END_BYTES = 22,
    COMMENT_MOST = 65535,
    MEMBER_BYTES = 46,
    LOCAL_BYTES = 30,
    STORED = 0,
    DEFLATED = 8,
    ENCRYPTED = 1, /* of the flags */
    ZIP64_COUNT = 0xffff
};
#define ZIP64_SIZE UINT32_C(0xffffffff)

typedef struct archive {
    tw_context *context;
    const char *path;
    mapping map;
    size_t at, end; /* of the central directory that is left */
    int64_t left;   /* members */
} archive;

typedef struct member {
    char *name; /* without ".npy"; the caller's */
    int method;
    uint32_t sum;
    size_t packed, size, at; /* at: of the local header */
} member;

static uint32_t u16(const unsigned char *at) { return at[0] | (uint32_t)at[1] << 8; }
static uint32_t u32(const unsigned char *at) { return u16(at) | u16(at + 2) << 16; }

static tw_status refuse(const archive *zip, tw_status status, size_t offset, const char *what) {
    return context_error(zip->context, status, "npz file '%s', offset %zu: %s", zip->path, offset,
                         what);
}

/* Finds the end record, which names the central directory. */
static tw_status find_directory(archive *zip) {
    const unsigned char *data = zip->map.data;
    size_t bytes = zip->map.bytes, at = bytes;
    size_t least = bytes > END_BYTES + COMMENT_MOST ? bytes - END_BYTES - COMMENT_MOST : 0;
    for (size_t i = bytes < END_BYTES ? 0 : bytes - END_BYTES + 1; i-- > least;)
        if (!memcmp(data + i, "PK\5\6", 4) && u16(data + i + 20) <= bytes - END_BYTES - i) {
            at = i;
            break;
        }
    if (at == bytes)
        return refuse(zip, TW_ERR_FORMAT, bytes,
                      "no zip directory at the end; the file is cut, or of another format");
    uint32_t size = u32(data + at + 12), offset = u32(data + at + 16);
    zip->left = u16(data + at + 10);
    if (zip->left == ZIP64_COUNT || size == ZIP64_SIZE || offset == ZIP64_SIZE)
        return refuse(zip, TW_ERR_UNSUPPORTED, at,
                      "a zip64 archive (past 4 GiB); save its arrays as npy files");
    if (offset > at || size > at - offset)
        return refuse(zip, TW_ERR_FORMAT, at, "the zip directory lies outside the file");
    zip->at = offset;
    zip->end = offset + size;
    return TW_OK;
}

static tw_status open_archive(archive *zip, tw_context *context, const char *path) {
    *zip = (archive){.context = context, .path = path};
    tw_status status = mapping_open(context, "npz file", path, &zip->map);
    if (status) return status;
    status = find_directory(zip);
    if (status) mapping_close(&zip->map);
    return status;
}

/* The next member of the directory; TW_END after the last. */
static tw_status next_member(archive *zip, member *out) {
    if (!zip->left) return TW_END;
    const unsigned char *at = zip->map.data + zip->at;
    size_t room = zip->end - zip->at;
    if (room < MEMBER_BYTES || memcmp(at, "PK\1\2", 4) != 0)
        return refuse(zip, TW_ERR_FORMAT, zip->at, "expected an entry of the zip directory");
    size_t length = u16(at + 28), whole = MEMBER_BYTES + length + u16(at + 30) + u16(at + 32);
    if (whole > room)
        return refuse(zip, TW_ERR_FORMAT, zip->at, "an entry of the zip directory is cut");
    *out =
        (member){NULL, (int)u16(at + 10), u32(at + 16), u32(at + 20), u32(at + 24), u32(at + 42)};
    if (out->packed == ZIP64_SIZE || out->size == ZIP64_SIZE || out->at == ZIP64_SIZE)
        return refuse(zip, TW_ERR_UNSUPPORTED, zip->at,
                      "an array past 4 GiB (zip64); save it as an npy file");
    if (u16(at + 8) & ENCRYPTED)
        return refuse(zip, TW_ERR_UNSUPPORTED, zip->at, "an encrypted member");
    if (out->method != STORED && out->method != DEFLATED)
        return refuse(zip, TW_ERR_UNSUPPORTED, zip->at,
                      "a compression that is neither 'stored' nor 'deflated'");
    out->name = context_allocate(zip->context, length + 1, 1);
    if (!out->name) return TW_ERR_MEMORY;
    memcpy(out->name, at + MEMBER_BYTES, length);
    length = strlen(out->name);
    if (length > 4 && !strcmp(out->name + length - 4, ".npy")) out->name[length - 4] = '\0';
    zip->at += whole;
    zip->left--;
    return TW_OK;
}

/* Where the member's data are. */
static tw_status find_data(const archive *zip, const member *it, size_t *offset) {
    const unsigned char *data = zip->map.data;
    size_t bytes = zip->map.bytes;
    if (it->at > bytes || bytes - it->at < LOCAL_BYTES || memcmp(data + it->at, "PK\3\4", 4) != 0)
        return refuse(zip, TW_ERR_FORMAT, it->at, "expected a member of the zip archive");
    *offset = it->at + LOCAL_BYTES + u16(data + it->at + 26) + u16(data + it->at + 28);
    if (*offset > bytes || it->packed > bytes - *offset)
        return refuse(zip, TW_ERR_FORMAT, it->at, "a member ends past the end of the file");
    if (it->method == STORED && it->packed != it->size)
        return refuse(zip, TW_ERR_FORMAT, it->at, "a stored member with two sizes");
    return TW_OK;
}

static tw_tensor *read_member(const archive *zip, const member *it) {
    enum { RATIO = 1032 }; /* one byte never inflates to more */
    size_t offset = 0;
    if (find_data(zip, it, &offset)) return NULL;
    if (it->size / RATIO > it->packed) {
        refuse(zip, TW_ERR_FORMAT, it->at, "a member that is larger than its data can inflate to");
        return NULL;
    }
    stream from = {.context = zip->context,
                   .kind = "npz file",
                   .path = zip->path,
                   .member = it->name,
                   .at = zip->map.data + offset,
                   .left = it->packed,
                   .size = (int64_t)it->size,
                   .deflated = it->method == DEFLATED};
    npy_header header;
    tw_tensor *tensor = NULL;
    if (!stream_start(&from) && !npy_read_header(&from, &header))
        tensor = npy_read_elements(&from, &header);
    if (tensor && from.sum != it->sum) {
        stream_refuse(&from, TW_ERR_FORMAT, "the data do not have the archive's CRC-32");
        tw_tensor_free(tensor);
        tensor = NULL;
    }
    stream_end(&from);
    return tensor;
}

tw_tensor *tw_npz_read(tw_context *context, const char *path, const char *name) {
    archive zip;
    if (!context) return NULL;
    if (!name) {
        context_error(context, TW_ERR_NULL, "tw_npz_read: the array's name is NULL");
        return NULL;
    }
    if (open_archive(&zip, context, path)) return NULL;
    tw_tensor *tensor = NULL;
    tw_status status = TW_OK;
    bool found = false;
    for (member it; !found && !(status = next_member(&zip, &it));) {
        found = !strcmp(it.name, name);
        if (found) tensor = read_member(&zip, &it);
        context_release(context, it.name);
    }
    if (status == TW_END)
        context_error(context, TW_ERR_NOT_FOUND, "npz file '%s' has no array '%s'", path, name);
    mapping_close(&zip.map);
    return tensor;
}

typedef struct columns {
    int n;
    tw_tensor *tensor[TW_MAX_COLUMNS];
    char *name[TW_MAX_COLUMNS];
} columns;

/* One more array, which must count as many examples as the first. */
static tw_status add_column(const archive *zip, const member *it, columns *all) {
    if (all->n == TW_MAX_COLUMNS) {
        context_release(zip->context, it->name);
        return context_error(zip->context, TW_ERR_UNSUPPORTED,
                             "npz file '%s' has more than %d arrays; read those you need with "
                             "tw_npz_read",
                             zip->path, TW_MAX_COLUMNS);
    }
    all->name[all->n] = it->name;
    all->tensor[all->n] = read_member(zip, it);
    if (!all->tensor[all->n++]) return tw_last_status(zip->context);
    tw_shape shape = all->tensor[all->n - 1]->type.shape, first = all->tensor[0]->type.shape;
    if (shape.rank == 0)
        return context_error(zip->context, TW_ERR_SHAPE,
                             "npz file '%s', array '%s' is a scalar; expected an axis 0 that "
                             "counts the examples",
                             zip->path, it->name);
    if (shape.dim[0] == first.dim[0]) return TW_OK;
    return context_error(zip->context, TW_ERR_SHAPE,
                         "npz file '%s', array '%s' has %lld examples, array '%s' has %lld",
                         zip->path, it->name, (long long)shape.dim[0], all->name[0],
                         (long long)first.dim[0]);
}

tw_dataset *tw_dataset_npz(tw_context *context, const char *path) {
    archive zip;
    if (!context || open_archive(&zip, context, path)) return NULL;
    columns all = {0};
    tw_status status = TW_OK;
    for (member it; !status && !(status = next_member(&zip, &it));)
        status = add_column(&zip, &it, &all);
    tw_dataset *dataset = NULL;
    if (status == TW_END && !all.n)
        context_error(context, TW_ERR_FORMAT, "npz file '%s' has no arrays", path);
    else if (status == TW_END)
        dataset = dataset_arrays(context, all.n, all.tensor, (const char *const *)all.name, NULL);
    for (int i = 0; i < all.n; i++) {
        tw_tensor_free(all.tensor[i]);
        context_release(context, all.name[i]);
    }
    mapping_close(&zip.map);
    return dataset;
}
