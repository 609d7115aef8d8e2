/* Pictures: what Pillow decodes and resizes them to (scripts/golden_images.py), and damage of every
 * kind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <thalweg/run.h>
#include <zlib.h>

#include "io/image.h"
#include "io/resize.h"

static tw_context *context;
static tw_store *golden;
static char said[512];
static const image_message message = {said, sizeof said};

static int begin(void **state) {
    (void)state;
    context = tw_context_new(NULL);
    golden = tw_store_new(context, NULL);
    return tw_store_load(golden, "tests/golden/images.safetensors");
}

static int end(void **state) {
    (void)state;
    tw_store_free(golden);
    tw_context_free(context);
    return 0;
}

/* Elements that stay the store's. */
static const void *elements(const char *name, const char *part, tw_type *type) {
    char path[128];
    snprintf(path, sizeof path, "%s.%s", name, part);
    tw_tensor *tensor = tw_store_get(golden, path);
    if (!tensor) fail_msg("%s", tw_message(context));
    *type = tw_tensor_type(tensor);
    const void *data = tw_tensor_map(tensor);
    tw_tensor_free(tensor);
    return data;
}

/* libjpeg's versions round differently by one. */
static void check_pixels(const char *name, const char *part, int64_t channels, int tolerance) {
    tw_type file, type;
    const uint8_t *bytes = elements(name, "file", &file);
    const uint8_t *want = elements(name, part, &type);
    image got;
    if (image_decode(bytes, (size_t)file.shape.dim[0], channels, &got, &message))
        fail_msg("%s: %s", name, said);
    assert_int_equal(got.height, type.shape.dim[0]);
    assert_int_equal(got.width, type.shape.dim[1]);
    assert_int_equal(got.channels, channels);
    for (int64_t i = 0; i < got.height * got.width * channels; i++)
        if (abs(got.pixels[i] - want[i]) > tolerance)
            fail_msg("%s.%s: element %lld is %d, not %d", name, part, (long long)i, got.pixels[i],
                     want[i]);
    image_end(&got);
}

static const char *const png[] = {"png/rgb",           "png/grey",  "png/bit",   "png/palette",
                                  "png/palette_clear", "png/rgba",  "png/rgb16", "png/grey_alpha",
                                  "png/interlaced",    "png/grey16"};
static const char *const jpeg[] = {"jpeg/colours", "jpeg/full", "jpeg/progressive", "jpeg/grey",
                                   "jpeg/ink"};
enum { PNGS = sizeof png / sizeof png[0], JPEGS = sizeof jpeg / sizeof jpeg[0] };

static bool lacks(const char *format, const char *name) {
    tw_type type;
    image got;
    const uint8_t *bytes = elements(name, "file", &type);
    tw_status status = image_decode(bytes, (size_t)type.shape.dim[0], 3, &got, &message);
    image_end(&got);
    if (status != TW_ERR_UNSUPPORTED) return false;
    assert_non_null(strstr(said, "this build lacks"));
    assert_non_null(strstr(said, format));
    return true;
}

static void decodes_png_as_pillow_does(void **state) {
    (void)state;
    if (lacks("libpng", png[0])) skip();
    for (int i = 0; i < PNGS; i++) {
        check_pixels(png[i], "rgb", 3, 0);
        check_pixels(png[i], "grey", 1, 0);
    }
}

static void decodes_jpeg_as_pillow_does(void **state) {
    (void)state;
    if (lacks("libjpeg", jpeg[0])) skip();
    for (int i = 0; i < JPEGS; i++) {
        check_pixels(jpeg[i], "rgb", 3, 2);
        check_pixels(jpeg[i], "grey", 1, 2);
    }
}

/* Of exactly `size` bytes, so that the address sanitizer sees a read past them. */
static tw_status decode_copy(const uint8_t *bytes, size_t size) {
    uint8_t *copy = malloc(size + !size);
    if (size) memcpy(copy, bytes, size);
    image got;
    said[0] = '\0';
    tw_status status = image_decode(copy, size, 3, &got, &message);
    if (status) assert_null(got.pixels);
    if (status) assert_true(said[0] != '\0');
    image_end(&got);
    free(copy);
    return status;
}

static void refuses_cut_files(void **state) {
    (void)state;
    for (int i = 0; i < PNGS + JPEGS; i++) {
        const char *name = i < PNGS ? png[i] : jpeg[i - PNGS];
        if (lacks(i < PNGS ? "libpng" : "libjpeg", name)) continue;
        tw_type type;
        const uint8_t *bytes = elements(name, "file", &type);
        /* The last two bytes of a JPEG say that it ends; all is there before them. */
        int64_t whole = type.shape.dim[0] - (i < PNGS ? 0 : 2);
        for (int64_t n = 0; n < whole; n++)
            if (decode_copy(bytes, (size_t)n) != TW_ERR_FORMAT)
                fail_msg("%s, cut to %lld bytes, is not refused as malformed", name, (long long)n);
    }
}

/* Whatever comes out, it comes out in order. */
static void survives_damage(void **state) {
    (void)state;
    for (int i = 0; i < PNGS + JPEGS; i++) {
        tw_type type;
        const uint8_t *bytes = elements(i < PNGS ? png[i] : jpeg[i - PNGS], "file", &type);
        size_t size = (size_t)type.shape.dim[0];
        uint8_t *copy = malloc(size);
        for (size_t at = 0; at < size; at++) {
            memcpy(copy, bytes, size);
            copy[at] ^= 0xff;
            tw_status status = decode_copy(copy, size);
            assert_true(status <= TW_OK);
        }
        free(copy);
    }
}

/* The golden PNG with other sides, and the sum over its header that fits them. */
static tw_status decode_sides(uint32_t width, uint32_t height) {
    enum { LETTERS = 12, SIDES = 16, SUM = 29 };
    tw_type type;
    const uint8_t *bytes = elements("png/rgb", "file", &type);
    size_t size = (size_t)type.shape.dim[0];
    uint8_t *copy = malloc(size);
    memcpy(copy, bytes, size);
    for (int i = 0; i < 4; i++) {
        copy[SIDES + i] = (uint8_t)(width >> (24 - 8 * i));
        copy[SIDES + 4 + i] = (uint8_t)(height >> (24 - 8 * i));
    }
    uint32_t sum = (uint32_t)crc32(0, copy + LETTERS, SUM - LETTERS);
    for (int i = 0; i < 4; i++) copy[SUM + i] = (uint8_t)(sum >> (24 - 8 * i));
    tw_status status = decode_copy(copy, size);
    free(copy);
    return status;
}

static void refuses_hostile_sizes(void **state) {
    (void)state;
    if (!lacks("libpng", png[0])) {
        assert_int_equal(decode_sides(13, 9), TW_OK);
        assert_int_equal(decode_sides(60000, 60000), TW_ERR_UNSUPPORTED);
        assert_non_null(strstr(said, "60000 x 60000 pixels"));
        assert_int_equal(decode_sides(8000, 8000), TW_ERR_FORMAT);
        assert_non_null(strstr(said, "more than a file of"));
        assert_int_equal(decode_sides(13, 10), TW_ERR_FORMAT);
        assert_int_equal(decode_sides(0, 9), TW_ERR_FORMAT);
        assert_int_equal(decode_sides(UINT32_MAX, 1), TW_ERR_FORMAT);
    }
    if (!lacks("libjpeg", jpeg[0])) {
        tw_type type;
        const uint8_t *bytes = elements("jpeg/full", "file", &type);
        size_t size = (size_t)type.shape.dim[0], at = 0;
        while (bytes[at] != 0xff || bytes[at + 1] != 0xc0) at++;
        uint8_t *copy = malloc(size);
        memcpy(copy, bytes, size);
        memset(copy + at + 5, 0xfe, 4); /* height and width */
        assert_int_equal(decode_copy(copy, size), TW_ERR_UNSUPPORTED);
        assert_non_null(strstr(said, "65278 x 65278 pixels"));
        copy[at + 5] = copy[at + 7] = 0x1f;
        assert_int_equal(decode_copy(copy, size), TW_ERR_FORMAT);
        assert_non_null(strstr(said, "more than a file of"));
        free(copy);
    }
    assert_int_equal(decode_copy((const uint8_t *)"GIF89a", 6), TW_ERR_FORMAT);
    assert_non_null(strstr(said, "neither a PNG nor a JPEG"));
}

static void check_resize(const char *name) {
    tw_type type, result;
    const uint8_t *pixels = elements(name, "from", &type);
    const double *box = elements(name, "box", &result);
    const float *exact = elements(name, "exact", &result);
    const uint8_t *bytes = elements(name, "bytes", &result);
    int64_t height = result.shape.dim[0], width = result.shape.dim[1],
            channels = result.shape.dim[2];
    const image from = {type.shape.dim[0], type.shape.dim[1], channels,
                        (uint8_t *)(uintptr_t)pixels};
    float *out = malloc((size_t)(height * width * channels) * sizeof *out);
    assert_true(
        image_resize(&from, (image_box){box[0], box[1], box[2], box[3]}, height, width, out));
    for (int64_t i = 0; i < height * width * channels; i++) {
        if (!(fabsf(out[i] - exact[i]) <= 1e-3f))
            fail_msg("%s: element %lld is %g, not %g", name, (long long)i, (double)out[i],
                     (double)exact[i]);
        /* In units of 1/255: Pillow rounds to bytes after either pass. */
        assert_true(fabsf(out[i] - (float)bytes[i]) <= 1.0f);
    }
    free(out);
}

static void resizes_as_pillow_does(void **state) {
    (void)state;
    const char *const names[] = {
        "resize/same", "resize/smaller",  "resize/much_smaller", "resize/larger", "resize/mixed",
        "resize/part", "resize/odd_part", "resize/one",          "resize/to_one", "resize/grey"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) check_resize(names[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decodes_png_as_pillow_does), cmocka_unit_test(decodes_jpeg_as_pillow_does),
        cmocka_unit_test(refuses_cut_files),          cmocka_unit_test(survives_damage),
        cmocka_unit_test(refuses_hostile_sizes),      cmocka_unit_test(resizes_as_pillow_does),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
