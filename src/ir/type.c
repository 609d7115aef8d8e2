/* Element types, shapes and types: sizes, comparison, and their texts ("f32[64,2*n]"). */
#include <string.h>

#include "base/number.h"
#include "ir/dimension.h"
#include "ir/scan.h"

static const struct {
    const char *name;
    size_t size;
} dtypes[] = {
    [TW_BOOL] = {"bool", 1}, [TW_U8] = {"u8", 1},   [TW_I32] = {"i32", 4},
    [TW_I64] = {"i64", 8},   [TW_U32] = {"u32", 4}, [TW_F16] = {"f16", 2},
    [TW_BF16] = {"bf16", 2}, [TW_F32] = {"f32", 4}, [TW_F64] = {"f64", 8},
};

static bool is_dtype(tw_dtype dtype) { return (int)dtype >= TW_BOOL && (int)dtype <= TW_F64; }

size_t tw_dtype_size(tw_dtype dtype) { return is_dtype(dtype) ? dtypes[dtype].size : 0; }

const char *tw_dtype_name(tw_dtype dtype) { return is_dtype(dtype) ? dtypes[dtype].name : "?"; }

bool dtype_parse(const char **at, tw_dtype *out) {
    char word[SCAN_WORD];
    const char *p = *at;
    if (!scan_word(&p, word)) return false;
    for (int i = TW_BOOL; i <= TW_F64; i++) {
        if (strcmp(word, dtypes[i].name) != 0) continue;
        *out = (tw_dtype)i;
        *at = p;
        return true;
    }
    return false;
}

static bool rank_fits(tw_shape shape) { return shape.rank >= 0 && shape.rank <= TW_MAX_RANK; }

bool shape_known(tw_shape shape) {
    if (!rank_fits(shape)) return false;
    for (int i = 0; i < shape.rank; i++)
        if (shape.dim[i] < 0) return false;
    return true;
}

int64_t shape_elements(tw_shape shape) {
    /* An extent of zero does not excuse the others: parts of their product are computed too. */
    int64_t count = 1;
    bool empty = false;
    if (!shape_known(shape)) return -1;
    for (int i = 0; i < shape.rank; i++) {
        if (shape.dim[i] == 0)
            empty = true;
        else if (!checked_mul(count, shape.dim[i], &count))
            return -1;
    }
    return empty ? 0 : count;
}

void shape_print(const tw_context *context, tw_shape shape, text *out) {
    text_add_bytes(out, "[", 1);
    for (int i = 0; i < shape.rank && i < TW_MAX_RANK; i++) {
        if (i) text_add_bytes(out, ",", 1);
        dimension_print(context, shape.dim[i], out);
    }
    text_add_bytes(out, "]", 1);
}

bool shape_parse(tw_context *context, const char **at, tw_shape *out) {
    tw_shape shape = {0};
    if (!scan_mark(at, "[")) return false;
    while (!scan_mark(at, "]")) {
        if (shape.rank > 0 && !scan_mark(at, ",")) return false;
        if (shape.rank == TW_MAX_RANK) return false;
        scan_space(at);
        int64_t dim = dimension_parse(context, at);
        if (dim == TW_DIM_NONE) return false;
        shape.dim[shape.rank++] = dim;
    }
    *out = shape;
    return true;
}

void type_print(const tw_context *context, tw_type type, text *out) {
    text_add(out, "%s", tw_dtype_name(type.dtype));
    shape_print(context, type.shape, out);
}

bool type_parse(tw_context *context, const char **at, tw_type *out) {
    tw_type type;
    if (!dtype_parse(at, &type.dtype) || !shape_parse(context, at, &type.shape)) return false;
    *out = type;
    return true;
}
