/*
 * A column in other numbers, and its moments. Where an element grows, its old form is read into the
 * end of the room of the new ones, and converted from the front: no memory besides. Blocks of it
 * are copied aside first, so that no object is seen as two types.
 */
#include <math.h>
#include <string.h>

#include "base/number.h"
#include "io/dataset.h"
#include "ir/dimension.h"
#include "runtime/tensor.h"

enum { BLOCK = 256, BYTES = 256, WIDEST = 8 };

typedef struct conversion {
    tw_dataset *base; /* a hold */
    int column;
    tw_dtype from, to;
    size_t from_size, to_size;
    int64_t elements; /* of one example */
    bool same;        /* only the shape is new */
    bool exact;       /* integers to integers */
    double scale, offset;
    char *scratch; /* one example of the base, where elements shrink */
    /* What each byte becomes, where the base's elements are bytes. */
    char table[BYTES * WIDEST];
    size_t bytes[TW_MAX_COLUMNS]; /* of one example of the result */
} conversion;

static bool is_integer(tw_dtype dtype) {
    return dtype == TW_U8 || dtype == TW_I32 || dtype == TW_I64 || dtype == TW_U32;
}

static void conversion_release(void *user) {
    conversion *it = user;
    tw_context *context = it->base->object.context;
    object_drop(it->base);
    context_release(context, it->scratch);
    context_release(context, it);
}

__extension__ typedef __int128 wide;

/* scale * x + offset in whole numbers, past the ends the ends. */
static int64_t exact_affine(int64_t x, int64_t scale, int64_t offset) {
    wide sum = (wide)scale * x + offset; /* at most 2^126 + 2^63 */
    return sum < INT64_MIN ? INT64_MIN : sum > INT64_MAX ? INT64_MAX : (int64_t)sum;
}

static int64_t integer_read(tw_dtype dtype, const void *data, int64_t i) {
    if (dtype == TW_I64) return ((const int64_t *)data)[i];
    return (int64_t)element_read(dtype, data, i); /* the others fit a double */
}

static int64_t between(int64_t x, int64_t low, int64_t high) {
    return x < low ? low : x > high ? high : x;
}

static void integer_write(tw_dtype dtype, void *data, int64_t i, int64_t x) {
    switch (dtype) {
    case TW_U8: ((uint8_t *)data)[i] = (uint8_t)between(x, 0, UINT8_MAX); break;
    case TW_I32: ((int32_t *)data)[i] = (int32_t)between(x, INT32_MIN, INT32_MAX); break;
    case TW_U32: ((uint32_t *)data)[i] = (uint32_t)between(x, 0, UINT32_MAX); break;
    default: ((int64_t *)data)[i] = x; break;
    }
}

/* At most BLOCK elements, from one typed block to another. */
static void convert_block(const conversion *it, const void *from, void *to, int64_t n) {
    if (it->exact) {
        int64_t scale = (int64_t)it->scale, offset = (int64_t)it->offset;
        for (int64_t i = 0; i < n; i++)
            integer_write(it->to, to, i,
                          exact_affine(integer_read(it->from, from, i), scale, offset));
        return;
    }
    double number[BLOCK];
    if (it->from == TW_F32)
        for (int64_t i = 0; i < n; i++) number[i] = (double)((const float *)from)[i];
    else
        for (int64_t i = 0; i < n; i++) number[i] = element_read(it->from, from, i);
    for (int64_t i = 0; i < n; i++) number[i] = it->scale * number[i] + it->offset;
    if (it->to == TW_F32)
        for (int64_t i = 0; i < n; i++) ((float *)to)[i] = (float)number[i];
    else
        for (int64_t i = 0; i < n; i++) element_write(it->to, to, i, number[i]);
}

/* By the table; `from` may lie in the end of `to`'s room. */
static void convert_bytes(const conversion *it, const unsigned char *from, char *to, int64_t n) {
    const char *table = it->table;
    switch (it->to_size) {
    case 1:
        for (int64_t i = 0; i < n; i++) to[i] = table[from[i]];
        break;
    case 2:
        for (int64_t i = 0; i < n; i++) memcpy(to + 2 * i, table + 2 * (size_t)from[i], 2);
        break;
    case 4:
        for (int64_t i = 0; i < n; i++) memcpy(to + 4 * i, table + 4 * (size_t)from[i], 4);
        break;
    default:
        for (int64_t i = 0; i < n; i++) memcpy(to + 8 * i, table + 8 * (size_t)from[i], 8);
        break;
    }
}

static void convert_elements(const conversion *it, const char *from, char *to, int64_t n) {
    if (it->from_size == 1) {
        convert_bytes(it, (const unsigned char *)from, to, n);
        return;
    }
    _Alignas(WIDEST) char old[BLOCK * WIDEST];
    _Alignas(WIDEST) char new[BLOCK * WIDEST];
    for (int64_t begin = 0; begin < n; begin += BLOCK) {
        int64_t count = n - begin < BLOCK ? n - begin : BLOCK;
        memcpy(old, from + (size_t)begin * it->from_size, (size_t)count * it->from_size);
        convert_block(it, old, new, count);
        memcpy(to + (size_t)begin * it->to_size, new, (size_t)count * it->to_size);
    }
}

static tw_status read_growing(const conversion *it, const dataset_request *request) {
    void *out[TW_MAX_COLUMNS];
    int columns = it->base->source.columns;
    int64_t n = request->n * it->elements;
    memcpy(out, request->out, (size_t)columns * sizeof *out);
    char *to = out[it->column], *from = to;
    if (n) from += (size_t)n * (it->to_size - it->from_size);
    out[it->column] = from;
    dataset_request inner = *request;
    inner.out = out;
    tw_status status = dataset_fetch(it->base, &inner);
    if (!status && n && !it->same) convert_elements(it, from, to, n);
    return status;
}

/* One example after the other: their old forms have no room in the new. */
static tw_status read_shrinking(const conversion *it, const dataset_request *request) {
    void *out[TW_MAX_COLUMNS];
    for (int64_t i = 0; i < request->n; i++) {
        for (int k = 0; k < it->base->source.columns; k++) {
            char *to = request->out[k];
            out[k] = it->bytes[k] ? to + (size_t)i * it->bytes[k] : to;
        }
        char *to = out[it->column];
        out[it->column] = it->scratch;
        dataset_request inner = *request;
        inner.n = 1;
        inner.index = request->index + i;
        inner.out = out;
        tw_status status = dataset_fetch(it->base, &inner);
        if (status) return status;
        if (it->elements) convert_elements(it, it->scratch, to, it->elements);
    }
    return TW_OK;
}

static tw_status conversion_read(void *user, const dataset_request *request) {
    const conversion *it = user;
    return it->scratch ? read_shrinking(it, request) : read_growing(it, request);
}

static void fill_table(conversion *it) {
    unsigned char byte[BYTES];
    _Alignas(WIDEST) char made[BYTES * WIDEST];
    for (int i = 0; i < BYTES; i++) byte[i] = (unsigned char)i;
    convert_block(it, byte, made, BYTES);
    memcpy(it->table, made, BYTES * it->to_size);
}

static tw_status check_conversion(const tw_dataset *dataset, int column, tw_type type, double scale,
                                  double offset) {
    tw_context *context = dataset->object.context;
    tw_type old = dataset->source.type[column];
    size_t bytes;
    if (!type_bytes(type, &bytes) || type.shape.rank >= TW_MAX_RANK ||
        shape_elements(type.shape) != shape_elements(old.shape))
        return context_error(context, TW_ERR_SHAPE,
                             "tw_dataset_convert: column %d has %lld elements; expected an element "
                             "type and a shape of as many",
                             column, (long long)shape_elements(old.shape));
    if (!isfinite(scale) || !isfinite(offset))
        return context_error(context, TW_ERR_ARGUMENT,
                             "tw_dataset_convert: scale %g and offset %g; expected finite numbers",
                             scale, offset);
    bool whole = scale == floor(scale) && offset == floor(offset) && fabs(scale) < 0x1p63 &&
                 fabs(offset) < 0x1p63;
    if (is_integer(old.dtype) && is_integer(type.dtype) && !whole)
        return context_error(context, TW_ERR_ARGUMENT,
                             "tw_dataset_convert: scale %g and offset %g of integers to integers; "
                             "expected whole numbers, or convert to a float type",
                             scale, offset);
    return TW_OK;
}

static conversion *conversion_new(tw_dataset *base, int column, tw_type type, double scale,
                                  double offset) {
    tw_context *context = base->object.context;
    tw_type old = base->source.type[column];
    conversion *it = context_allocate(context, 1, sizeof *it);
    if (!it) return NULL;
    it->base = object_hold(base);
    it->column = column;
    it->from = old.dtype;
    it->to = type.dtype;
    it->from_size = tw_dtype_size(old.dtype);
    it->to_size = tw_dtype_size(type.dtype);
    it->elements = shape_elements(type.shape);
    it->exact = is_integer(old.dtype) && is_integer(type.dtype);
    it->same = old.dtype == type.dtype && scale == 1 && offset == 0;
    it->scale = scale;
    it->offset = offset;
    memcpy(it->bytes, base->bytes, sizeof it->bytes);
    type_bytes(type, &it->bytes[column]);
    if (it->from_size == 1) fill_table(it);
    if (it->from_size <= it->to_size) return it;
    it->scratch = context_allocate(context, base->bytes[column] + 1, 1);
    if (it->scratch) return it;
    conversion_release(it);
    return NULL;
}

tw_dataset *tw_dataset_convert(tw_dataset *dataset, int column, tw_dtype dtype, tw_shape shape,
                               double scale, double offset) {
    const tw_type type = {dtype, shape};
    if (!dataset_has(dataset, column, "tw_dataset_convert") ||
        check_conversion(dataset, column, type, scale, offset))
        return NULL;
    conversion *it = conversion_new(dataset, column, type, scale, offset);
    if (!it) return NULL;
    tw_dataset_source source = dataset->source;
    source.type[column] = type;
    if (scale != 1 || offset != 0) source.classes[column] = NULL; /* no codes any more */
    source.read = NULL;
    source.release = conversion_release;
    source.user = it;
    tw_dataset *made = dataset_new(dataset->object.context, &source, conversion_read);
    if (!made) conversion_release(it);
    return made;
}

/* Moments. */

typedef struct moments {
    double count, mean, square; /* sum of squares of distances from the mean */
} moments;

/* Joins two parts (Chan, Golub & LeVeque 1979). */
static void moments_add(moments *all, moments part) {
    if (part.count == 0) return;
    double count = all->count + part.count, apart = part.mean - all->mean;
    all->square += part.square + apart * apart * all->count * part.count / count;
    all->mean += apart * part.count / count;
    all->count = count;
}

static moments moments_of(tw_dtype dtype, const void *data, int64_t n) {
    moments it = {(double)n, 0, 0};
    for (int64_t i = 0; i < n; i++) it.mean += element_read(dtype, data, i);
    it.mean /= it.count;
    for (int64_t i = 0; i < n; i++) {
        double apart = element_read(dtype, data, i) - it.mean;
        it.square += apart * apart;
    }
    return it;
}

/* Examples at a time, for about a megabyte. */
static int64_t moments_chunk(const tw_dataset *dataset) {
    enum { ROOM = 1 << 20, MOST = 4096 };
    size_t bytes = 1;
    for (int k = 0; k < dataset->source.columns; k++)
        bytes += dataset->bytes[k] < ROOM ? dataset->bytes[k] : (size_t)ROOM;
    int64_t chunk = (int64_t)(ROOM / bytes);
    return chunk < 1 ? 1 : chunk > MOST ? (int64_t)MOST : chunk;
}

static tw_status moments_read(tw_dataset *dataset, int column, int64_t chunk, void **out,
                              moments *all) {
    enum { MOST = 4096 };
    int64_t index[MOST], count = dataset->source.count;
    tw_type type = dataset->source.type[column];
    for (int64_t begin = 0; begin < count; begin += chunk) {
        int64_t n = count - begin < chunk ? count - begin : chunk;
        for (int64_t i = 0; i < n; i++) index[i] = begin + i;
        tw_status status = tw_dataset_read(dataset, n, index, out);
        if (status) return status;
        moments_add(all, moments_of(type.dtype, out[column], n * shape_elements(type.shape)));
    }
    return TW_OK;
}

tw_status tw_dataset_moments(tw_dataset *dataset, int column, double *mean, double *deviation) {
    if (!dataset) return TW_ERR_NULL;
    tw_context *context = dataset->object.context;
    if (!dataset_has(dataset, column, "tw_dataset_moments")) return tw_last_status(context);
    int64_t chunk = moments_chunk(dataset);
    void *out[TW_MAX_COLUMNS] = {0};
    moments all = {0};
    tw_status status = TW_OK;
    for (int k = 0; k < dataset->source.columns && !status; k++) {
        out[k] = context_allocate(context, dataset->bytes[k] + 1, (size_t)chunk);
        if (!out[k]) status = TW_ERR_MEMORY;
    }
    if (!status && dataset->bytes[column]) status = moments_read(dataset, column, chunk, out, &all);
    for (int k = 0; k < dataset->source.columns; k++) context_release(context, out[k]);
    if (!status && all.count == 0)
        status = context_error(context, TW_ERR_ARGUMENT,
                               "tw_dataset_moments: column %d has no elements", column);
    if (status) return status;
    if (mean) *mean = all.mean;
    if (deviation) *deviation = sqrt(all.square / all.count);
    return TW_OK;
}
