/*
 * The quick forms of max_pool and its gradient against loops: ties, NaN and zeros of both signs,
 * uneven extents, and indices that are in another window than their own.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <thalweg/thalweg.h>

#include "codegen/overrides.h"

enum { BATCH = 3, CHANNELS = 32, MOST = 17, PLANE = MOST * MOST };
static float x[BATCH * PLANE * CHANNELS], dx[BATCH * PLANE * CHANNELS],
    want[BATCH * PLANE * CHANNELS];
static float y[BATCH * PLANE * CHANNELS];
static int32_t at[BATCH * PLANE * CHANNELS];

static uint32_t draw(void) {
    static uint32_t state = 9;
    state = state * 1664525u + 1013904223u;
    return state >> 16;
}

/* Few values, so that ties are usual. */
static float draw_number(void) {
    static const float list[] = {0, -0.0F, 1, 2, -1, NAN, INFINITY, -INFINITY};
    return list[draw() % 8];
}

static tw_type type_of(tw_dtype dtype, int64_t height, int64_t width, int64_t channels) {
    return (tw_type){.dtype = dtype, .shape = TW_SHAPE(BATCH, height, width, channels)};
}

static void call(const char *name, int n_in, int n_out, const tw_type *in, tw_type *out,
                 tw_attr *attr, const void *const *from, void *const *to) {
    tw_context *context = tw_context_new(&(tw_context_opts){.threads = 2});
    const tw_operator *op = tw_operator_find(context, name);
    const tw_kernel_call it = {{context, op, n_in, n_out, in, out, attr}, from, to, NULL};
    assert_int_equal(override_find(name)(&it), TW_OK);
    tw_context_free(context);
}

static void check_forward(int64_t height, int64_t width, int64_t channels, int64_t stride) {
    int64_t rows = (height - 2) / stride + 1, columns = (width - 2) / stride + 1;
    for (int64_t i = 0; i < BATCH * height * width * channels; i++) x[i] = draw_number();
    tw_type in = type_of(TW_F32, height, width, channels);
    tw_type out[] = {type_of(TW_F32, rows, columns, channels),
                     type_of(TW_I32, rows, columns, channels)};
    tw_attr attr[5] = {{0}};
    attr[0] = tw_attr_dims(TW_SHAPE(2, 2));
    attr[1] = tw_attr_dims(TW_SHAPE(stride, stride));
    call("max_pool", 1, 2, &in, out, attr, (const void *[]){x}, (void *[]){y, at});
    for (int64_t i = 0; i < BATCH * rows * columns * channels; i++) {
        int64_t c = i % channels, column = i / channels % columns * stride;
        int64_t row = i / channels / columns % rows * stride;
        const float *plane = x + i / (channels * columns * rows) * height * width * channels;
        int64_t best = row * width + column;
        for (int k = 1; k < 4; k++) {
            int64_t other = (row + k / 2) * width + column + k % 2;
            float now = plane[best * channels + c], then = plane[other * channels + c];
            if (!isnan(now) && (isnan(then) || then > now)) best = other;
        }
        assert_int_equal(at[i], best);
        assert_memory_equal(&y[i], &plane[best * channels + c], sizeof *y);
    }
}

/* `strays`: indices anywhere in the plane, or none. */
static void check_gradient(int64_t height, int64_t width, int64_t channels, bool strays) {
    int64_t rows = height / 2, columns = width / 2;
    memset(want, 0, sizeof want);
    memset(dx, 0xff, sizeof dx);
    for (int64_t i = 0; i < BATCH * rows * columns * channels; i++) {
        int64_t column = i / channels % columns * 2, row = i / channels / columns % rows * 2;
        uint32_t drawn = draw();
        at[i] = (int32_t)((row + drawn / 2 % 2) * width + column + drawn % 2);
        if (strays && drawn % 5 == 0) at[i] = (int32_t)(draw() % (height * width)) - 1;
        y[i] = (float)(draw() % 5) - 2;
        if (draw() % 5 == 0) y[i] = -0.0F;
        int64_t sample = i / (channels * columns * rows);
        if (at[i] >= 0) want[(sample * height * width + at[i]) * channels + i % channels] += y[i];
    }
    tw_type in[] = {type_of(TW_I32, rows, columns, channels),
                    type_of(TW_F32, rows, columns, channels)};
    tw_type out = type_of(TW_F32, height, width, channels);
    tw_attr attr[5] = {{0}};
    attr[0] = tw_attr_dims(TW_SHAPE(2, 2));
    attr[4] = tw_attr_dims(TW_SHAPE(height, width));
    call("max_pool_grad", 2, 1, in, &out, attr, (const void *[]){at, y}, (void *[]){dx});
    assert_memory_equal(dx, want, (size_t)(BATCH * height * width * channels) * sizeof *dx);
}

static void test_forward(void **state) {
    (void)state;
    for (int64_t stride = 1; stride <= 3; stride++) {
        check_forward(14, 14, 32, stride);
        check_forward(7, 17, 16, stride);
        check_forward(6, 5, 3, stride); /* no whole vector */
        check_forward(2, 2, 8, stride);
    }
}

static void test_gradient(void **state) {
    (void)state;
    for (int strays = 0; strays < 2; strays++) {
        check_gradient(14, 14, 32, strays);
        check_gradient(7, 17, 16, strays);
        check_gradient(6, 5, 3, strays);
        check_gradient(2, 2, 8, strays);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forward),
        cmocka_unit_test(test_gradient),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
