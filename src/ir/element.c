/* Elements of constants to and from text. */
#include "ir/element.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/half.h"
#include "base/vector.h"
#include "ir/scan.h"

typedef union element {
    uint8_t u8;
    uint16_t u16;
    int32_t i32;
    uint32_t u32;
    int64_t i64;
    float f32;
    double f64;
} element;

static int64_t element_integer(tw_dtype dtype, const element *e) {
    switch (dtype) {
    case TW_I32: return e->i32;
    case TW_I64: return e->i64;
    case TW_U32: return e->u32;
    default: return e->u8;
    }
}

/* The number of fewest digits that rounds to the element. */
static double half_shortest(tw_dtype dtype, uint16_t half) {
    double number = half_read(dtype, half);
    for (int digits = 1; digits <= 5; digits++) {
        char copy[32];
        snprintf(copy, sizeof copy, "%.*g", digits, number);
        double fewer = strtod(copy, NULL);
        if (half_of(dtype, fewer) == half) return fewer;
    }
    return number;
}

bool elements_print(tw_dtype dtype, const void *data, size_t bytes, text *out) {
    size_t size = tw_dtype_size(dtype);
    if (size == 0 || bytes % size != 0) return false;
    text_add_bytes(out, "[", 1);
    for (size_t i = 0; i < bytes && !out->failed; i += size) {
        element e = {0};
        memcpy(&e, (const char *)data + i, size);
        if (i) text_add_bytes(out, ",", 1);
        if (dtype == TW_F32)
            text_add_number(out, (double)e.f32, 9);
        else if (dtype == TW_F64)
            text_add_number(out, e.f64, 17);
        else if (dtype_half(dtype))
            text_add_number(out, half_shortest(dtype, e.u16), 9);
        else
            text_add(out, "%lld", (long long)element_integer(dtype, &e));
    }
    text_add_bytes(out, "]", 1);
    return true;
}

static bool integer_fits(tw_dtype dtype, int64_t number) {
    switch (dtype) {
    case TW_BOOL: return number == 0 || number == 1;
    case TW_U8: return number >= 0 && number <= UINT8_MAX;
    case TW_I32: return number >= INT32_MIN && number <= INT32_MAX;
    case TW_I64: return true;
    default: return number >= 0 && number <= UINT32_MAX;
    }
}

static bool element_parse(tw_dtype dtype, const char **at, element *out) {
    double number;
    int64_t integer;
    if (dtype == TW_F32 || dtype == TW_F64 || dtype_half(dtype)) {
        if (!scan_number(at, &number)) return false;
        if (dtype == TW_F32)
            out->f32 = (float)number;
        else if (dtype_half(dtype))
            out->u16 = half_of(dtype, number);
        else
            out->f64 = number;
        return true;
    }
    const char *p = *at;
    if (!scan_integer(&p, &integer) || !integer_fits(dtype, integer)) return false;
    *at = p;
    switch (tw_dtype_size(dtype)) {
    case 1: out->u8 = (uint8_t)integer; break;
    case 4: out->u32 = (uint32_t)integer; break;
    default: out->i64 = integer;
    }
    return true;
}

bool elements_parse(tw_context *context, tw_dtype dtype, const char **at, void **data,
                    size_t *bytes) {
    size_t size = tw_dtype_size(dtype), used = 0, capacity = 0;
    char *memory = NULL;
    bool fine = scan_mark(at, "[");
    while (fine && !scan_mark(at, "]")) {
        element e = {0};
        fine = (used == 0 || scan_mark(at, ",")) && element_parse(dtype, at, &e) &&
               vector_reserve(context, (void **)&memory, &capacity, used + size, 1);
        if (!fine) break;
        memcpy(memory + used, &e, size);
        used += size;
    }
    if (!fine) {
        context_release(context, memory);
        return false;
    }
    *data = memory;
    *bytes = used;
    return true;
}
