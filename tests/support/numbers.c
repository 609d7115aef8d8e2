/* Tensors from and to doubles. */
#include "support/numbers.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/half.h"
#include "base/number.h"
#include "ir/dimension.h"

static void put(tw_dtype dtype, void *data, int64_t i, double number) {
    switch (dtype) {
    case TW_F16:
    case TW_BF16: ((uint16_t *)data)[i] = half_of(dtype, number); break;
    case TW_F32: ((float *)data)[i] = (float)number; break;
    case TW_F64: ((double *)data)[i] = number; break;
    case TW_I32: ((int32_t *)data)[i] = (int32_t)number; break;
    case TW_I64: ((int64_t *)data)[i] = (int64_t)number; break;
    case TW_BOOL:
    case TW_U8: ((uint8_t *)data)[i] = (uint8_t)number; break;
    case TW_U32: ((uint32_t *)data)[i] = (uint32_t)number; break;
    default: fail_msg("no numbers of type %s", tw_dtype_name(dtype));
    }
}

static double get(tw_dtype dtype, const void *data, int64_t i) {
    switch (dtype) {
    case TW_F16:
    case TW_BF16: return half_read(dtype, ((const uint16_t *)data)[i]);
    case TW_F32: return (double)((const float *)data)[i];
    case TW_F64: return ((const double *)data)[i];
    case TW_I32: return ((const int32_t *)data)[i];
    case TW_I64: return (double)((const int64_t *)data)[i];
    case TW_BOOL:
    case TW_U8: return ((const uint8_t *)data)[i];
    case TW_U32: return ((const uint32_t *)data)[i];
    default: fail_msg("no numbers of type %s", tw_dtype_name(dtype));
    }
    return NAN;
}

tw_tensor *tensor_of(tw_context *context, tw_dtype dtype, tw_shape shape, const double *number) {
    tw_tensor *tensor = tw_tensor_new(context, dtype, shape);
    assert_non_null(tensor);
    void *data = tw_tensor_map(tensor);
    for (int64_t i = 0; i < shape_elements(shape); i++) put(dtype, data, i, number[i]);
    return tensor;
}

tw_tensor *tensor_drawn(tw_context *context, tw_dtype dtype, tw_shape shape, uint64_t seed,
                        double low, double high) {
    int64_t count = shape_elements(shape);
    double *number = calloc((size_t)count + 1, sizeof *number);
    assert_non_null(number);
    for (int64_t i = 0; i < count; i++) {
        uint32_t word[4];
        philox(seed, (uint64_t)i, 0, word);
        number[i] = low + (high - low) * (word[0] * 0x1p-32);
    }
    tw_tensor *tensor = tensor_of(context, dtype, shape, number);
    free(number);
    return tensor;
}

int numbers_of(tw_tensor *tensor, int capacity, double *out) {
    assert_non_null(tensor);
    tw_type type = tw_tensor_type(tensor);
    int count = (int)shape_elements(type.shape);
    const void *data = tw_tensor_map(tensor);
    for (int i = 0; i < count && i < capacity; i++) out[i] = get(type.dtype, data, i);
    return count;
}

int numbers_at(tw_store *store, const char *path, int capacity, double *out) {
    tw_tensor *tensor = tw_store_get(store, path);
    if (!tensor) fail_msg("there is no variable \"%s\"", path);
    int count = numbers_of(tensor, capacity, out);
    tw_tensor_free(tensor);
    return count;
}

void assert_near(const char *what, int n, const double *a, const double *b, double tolerance) {
    double most = 0, scale = 1;
    for (int i = 0; i < n; i++) {
        double apart = fabs(a[i] - b[i]);
        if (!(apart <= most)) most = apart;
        scale = fmax(scale, fabs(b[i]));
    }
    if (!(most <= tolerance * scale))
        fail_msg("%s: %g apart, %g allowed; %.9g for %.9g at first", what, most / scale, tolerance,
                 n ? a[0] : 0, n ? b[0] : 0);
}

void assert_tensors_near(const char *what, tw_tensor *a, tw_tensor *b, double tolerance) {
    int n = (int)(tw_tensor_bytes(a) / tw_dtype_size(tw_tensor_type(a).dtype));
    double *x = calloc((size_t)n + 1, sizeof *x), *y = calloc((size_t)n + 1, sizeof *y);
    assert_true(x && y && numbers_of(a, n, x) == n && numbers_of(b, n, y) == n);
    assert_near(what, n, x, y, tolerance);
    free(x);
    free(y);
}

void assert_same_bits(const char *what, tw_tensor *a, tw_tensor *b) {
    assert_int_equal(tw_tensor_bytes(a), tw_tensor_bytes(b));
    if (memcmp(tw_tensor_map(a), tw_tensor_map(b), tw_tensor_bytes(a)))
        fail_msg("%s: other bits", what);
}
