/* Tensors: allocation, wrapping, copying out and in. */
#include "runtime/tensor.h"

#include <math.h>
#include <string.h>

#include "base/half.h"
#include "base/number.h"
#include "ir/dimension.h"

bool type_bytes(tw_type type, size_t *bytes) {
    size_t size = tw_dtype_size(type.dtype);
    if (!size || type.shape.rank < 0 || type.shape.rank > TW_MAX_RANK) return false;
    if (!shape_known(type.shape)) return false;
    int64_t elements = shape_elements(type.shape), total;
    if (elements < 0 || !checked_mul(elements, (int64_t)size, &total)) return false;
    if (total > PTRDIFF_MAX - 64) return false;
    *bytes = (size_t)total;
    return true;
}

static void tensor_destroy(object *head) {
    tw_tensor *tensor = (tw_tensor *)head;
    if (tensor->owned)
        context_release_aligned(head->context, tensor->data);
    else if (tensor->release)
        tensor->release(tensor->user);
    tensor->data = NULL;
}

/* A tensor without memory yet. */
static tw_tensor *tensor_head(tw_context *context, tw_type type) {
    size_t bytes;
    if (!type_bytes(type, &bytes)) {
        context_error(context, TW_ERR_SHAPE,
                      "a tensor needs an element type, a rank of 0 to %d and fixed extents >= 0 "
                      "whose bytes fit in memory",
                      TW_MAX_RANK);
        return NULL;
    }
    tw_tensor *tensor = object_new(context, sizeof *tensor, tensor_destroy);
    if (!tensor) return NULL;
    tensor->type = type;
    tensor->bytes = bytes;
    return tensor;
}

tw_tensor *tensor_new(tw_context *context, tw_type type) {
    tw_tensor *tensor = tensor_head(context, type);
    if (!tensor) return NULL;
    tensor->data = context_allocate_aligned(context, tensor->bytes ? tensor->bytes : 1);
    tensor->owned = tensor->data != NULL;
    if (tensor->data) return tensor;
    object_drop(tensor);
    return NULL;
}

tw_tensor *tw_tensor_new(tw_context *context, tw_dtype dtype, tw_shape shape) {
    if (!context) return NULL;
    tw_tensor *tensor = tensor_new(context, (tw_type){dtype, shape});
    if (tensor) memset(tensor->data, 0, tensor->bytes);
    return tensor;
}

tw_tensor *tw_tensor_wrap(tw_context *context, tw_dtype dtype, tw_shape shape, void *data,
                          void (*release)(void *user), void *user) {
    if (!context) return NULL;
    tw_tensor *tensor = tensor_head(context, (tw_type){dtype, shape});
    if (!tensor) return NULL;
    if (!data && tensor->bytes) {
        context_error(context, TW_ERR_NULL, "tw_tensor_wrap: no memory given");
        object_drop(tensor);
        return NULL;
    }
    tensor->data = data;
    tensor->release = release;
    tensor->user = user;
    return tensor;
}

tw_tensor *tensor_alias(tw_tensor *base, tw_type type) {
    tw_tensor *tensor = tensor_head(base->object.context, type);
    if (!tensor) return NULL;
    tensor->data = base->data;
    tensor->release = object_drop;
    tensor->user = object_hold(base);
    return tensor;
}

tw_tensor *tensor_copy(const tw_tensor *base) {
    tw_tensor *tensor = tensor_new(base->object.context, base->type);
    if (tensor && base->bytes) memcpy(tensor->data, base->data, base->bytes);
    return tensor;
}

void tw_tensor_free(tw_tensor *tensor) { object_drop(tensor); }

tw_type tw_tensor_type(const tw_tensor *tensor) {
    return tensor ? tensor->type : (tw_type){0, {0, 0, {0}}};
}

size_t tw_tensor_bytes(const tw_tensor *tensor) { return tensor ? tensor->bytes : 0; }

static tw_status check_bytes(const tw_tensor *tensor, size_t bytes, const void *memory) {
    if (bytes != tensor->bytes)
        return context_error(tensor->object.context, TW_ERR_ARGUMENT,
                             "the tensor has %zu bytes, %zu given", tensor->bytes, bytes);
    if (!memory && bytes)
        return context_error(tensor->object.context, TW_ERR_NULL, "no memory to copy to or from");
    return TW_OK;
}

tw_status tw_tensor_get(tw_tensor *tensor, void *destination, size_t bytes) {
    if (!tensor) return TW_ERR_NULL;
    tw_status status = check_bytes(tensor, bytes, destination);
    if (!status && bytes) memcpy(destination, tensor->data, bytes);
    return status;
}

tw_status tw_tensor_put(tw_tensor *tensor, const void *source, size_t bytes) {
    if (!tensor) return TW_ERR_NULL;
    tw_status status = check_bytes(tensor, bytes, source);
    if (!status && bytes) memcpy(tensor->data, source, bytes);
    return status;
}

double tw_tensor_item(tw_tensor *tensor) {
    if (!tensor) return NAN;
    if (shape_elements(tensor->type.shape) == 1)
        return element_read(tensor->type.dtype, tensor->data, 0);
    context_error(tensor->object.context, TW_ERR_SHAPE,
                  "tw_tensor_item wants one element; the tensor has %lld",
                  (long long)shape_elements(tensor->type.shape));
    return NAN;
}

void *tw_tensor_map(tw_tensor *tensor) { return tensor ? tensor->data : NULL; }

double element_read(tw_dtype dtype, const void *data, int64_t index) {
    switch (dtype) {
    case TW_BOOL:
    case TW_U8: return ((const uint8_t *)data)[index];
    case TW_I32: return ((const int32_t *)data)[index];
    case TW_I64: return (double)((const int64_t *)data)[index];
    case TW_U32: return ((const uint32_t *)data)[index];
    case TW_F16:
    case TW_BF16: return half_read(dtype, ((const uint16_t *)data)[index]);
    case TW_F32: return (double)((const float *)data)[index];
    case TW_F64: return ((const double *)data)[index];
    default: return NAN;
    }
}

/* Toward zero; NaN gives 0; past the ends, the ends. */
static int64_t saturate(double number, double low, double high) {
    if (!(number == number)) return 0;
    if (number <= low) return (int64_t)low;
    if (number >= high) return high >= 0x1p63 ? INT64_MAX : (int64_t)high;
    return (int64_t)number;
}

void element_write(tw_dtype dtype, void *data, int64_t index, double number) {
    switch (dtype) {
    case TW_BOOL: ((uint8_t *)data)[index] = number != 0; break;
    case TW_U8: ((uint8_t *)data)[index] = (uint8_t)saturate(number, 0, UINT8_MAX); break;
    case TW_I32: ((int32_t *)data)[index] = (int32_t)saturate(number, INT32_MIN, INT32_MAX); break;
    case TW_I64: ((int64_t *)data)[index] = saturate(number, -0x1p63, 0x1p63); break;
    case TW_U32: ((uint32_t *)data)[index] = (uint32_t)saturate(number, 0, UINT32_MAX); break;
    case TW_F16:
    case TW_BF16: ((uint16_t *)data)[index] = half_of(dtype, number); break;
    case TW_F32: ((float *)data)[index] = (float)number; break;
    case TW_F64: ((double *)data)[index] = number; break;
    default: break;
    }
}
