/* idx files: every type, gzip or not, and damage of every kind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <thalweg/data.h>
#include <unistd.h>
#include <zlib.h>

static tw_context *context;
static char path[64];

static int begin(void **state) {
    (void)state;
    snprintf(path, sizeof path, "/tmp/thalweg-idx-XXXXXX");
    int descriptor = mkstemp(path);
    context = tw_context_new(NULL);
    return descriptor < 0 || close(descriptor) || !context;
}

static int end(void **state) {
    (void)state;
    tw_context_free(context);
    return unlink(path);
}

static void put(const void *bytes, size_t count, bool zipped) {
    gzFile file = gzopen(path, zipped ? "wb" : "wbT");
    assert_non_null(file);
    if (count) assert_int_equal(gzwrite(file, bytes, (unsigned)count), count);
    assert_int_equal(gzclose(file), Z_OK);
}

static void refuses(const void *bytes, size_t count, tw_status status) {
    put(bytes, count, false);
    assert_null(tw_idx_read(context, path));
    assert_int_equal(tw_last_status(context), status);
    assert_non_null(strstr(tw_message(context), path));
}

static const unsigned char bytes_2x3[] = {0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 4, 5, 255};

static void reads_bytes(void **state) {
    (void)state;
    for (int zipped = 0; zipped < 2; zipped++) {
        put(bytes_2x3, sizeof bytes_2x3, zipped);
        tw_tensor *tensor = tw_idx_read(context, path);
        assert_non_null(tensor);
        tw_type type = tw_tensor_type(tensor);
        assert_int_equal(type.dtype, TW_U8);
        assert_int_equal(type.shape.rank, 2);
        assert_int_equal(type.shape.dim[0], 2);
        assert_int_equal(type.shape.dim[1], 3);
        assert_memory_equal(tw_tensor_map(tensor), bytes_2x3 + 12, 6);
        tw_tensor_free(tensor);
    }
}

static void reads_wide_types(void **state) {
    (void)state;
    const unsigned char ints[] = {0, 0, 12, 1, 0, 0, 0, 2, 0, 0, 1, 2, 255, 255, 255, 254};
    put(ints, sizeof ints, true);
    tw_tensor *tensor = tw_idx_read(context, path);
    assert_non_null(tensor);
    const int32_t *i = tw_tensor_map(tensor);
    assert_int_equal(i[0], 258);
    assert_int_equal(i[1], -2);
    tw_tensor_free(tensor);
    const unsigned char floats[] = {0, 0, 13, 1, 0, 0, 0, 1, 0x3f, 0xc0, 0, 0};
    put(floats, sizeof floats, false);
    tensor = tw_idx_read(context, path);
    assert_non_null(tensor);
    assert_true(tw_tensor_item(tensor) == 1.5);
    tw_tensor_free(tensor);
    const unsigned char doubles[] = {0, 0, 14, 1, 0, 0, 0, 1, 0xbf, 0xe0, 0, 0, 0, 0, 0, 0};
    put(doubles, sizeof doubles, false);
    tensor = tw_idx_read(context, path);
    assert_non_null(tensor);
    assert_true(tw_tensor_item(tensor) == -0.5);
    tw_tensor_free(tensor);
}

static void reads_no_elements(void **state) {
    (void)state;
    const unsigned char none[] = {0, 0, 8, 2, 0, 0, 0, 0, 255, 255, 255, 255};
    put(none, sizeof none, false);
    tw_tensor *tensor = tw_idx_read(context, path);
    assert_non_null(tensor);
    assert_int_equal(tw_tensor_bytes(tensor), 0);
    tw_tensor_free(tensor);
}

static void refuses_bad_headers(void **state) {
    (void)state;
    unsigned char bad[sizeof bytes_2x3 + 1];
    const struct {
        size_t at;
        unsigned char byte;
        tw_status status;
    } changes[] = {
        {0, 1, TW_ERR_FORMAT},       {1, 'K', TW_ERR_FORMAT}, {2, 9, TW_ERR_UNSUPPORTED},
        {2, 11, TW_ERR_UNSUPPORTED}, {2, 10, TW_ERR_FORMAT},  {2, 0, TW_ERR_FORMAT},
        {3, 0, TW_ERR_FORMAT},       {3, 9, TW_ERR_FORMAT},   {3, 255, TW_ERR_FORMAT},
        {4, 255, TW_ERR_FORMAT},     {7, 1, TW_ERR_FORMAT},   {7, 3, TW_ERR_FORMAT},
    };
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        memcpy(bad, bytes_2x3, sizeof bytes_2x3);
        bad[changes[i].at] = changes[i].byte;
        refuses(bad, sizeof bytes_2x3, changes[i].status);
    }
    memcpy(bad, bytes_2x3, sizeof bytes_2x3);
    bad[sizeof bytes_2x3] = 0;
    refuses(bad, sizeof bad, TW_ERR_FORMAT);
}

/* Extents whose product overflows, or is far beyond what the file could inflate to. */
static void refuses_hostile_extents(void **state) {
    (void)state;
    unsigned char hostile[4 + 8 * 4 + 8];
    memset(hostile, 255, sizeof hostile);
    hostile[0] = hostile[1] = 0;
    for (int type = 8; type <= 14; type += 6) {
        for (int rank = 1; rank <= 8; rank++) {
            hostile[2] = (unsigned char)type;
            hostile[3] = (unsigned char)rank;
            refuses(hostile, sizeof hostile, TW_ERR_FORMAT);
            put(hostile, sizeof hostile, true);
            assert_null(tw_idx_read(context, path));
            assert_int_equal(tw_last_status(context), TW_ERR_FORMAT);
        }
    }
    memset(hostile + 4, 0, 4); /* no elements, in an array of no size */
    refuses(hostile, sizeof hostile, TW_ERR_FORMAT);
}

static void refuses_cut_files(void **state) {
    (void)state;
    for (size_t n = 0; n < sizeof bytes_2x3; n++) refuses(bytes_2x3, n, TW_ERR_FORMAT);
    put(bytes_2x3, sizeof bytes_2x3, true);
    FILE *file = fopen(path, "rb");
    unsigned char zipped[256];
    size_t count = fread(zipped, 1, sizeof zipped, file);
    fclose(file);
    assert_in_range(count, 20, sizeof zipped - 1);
    for (size_t n = 0; n < count; n++) refuses(zipped, n, TW_ERR_FORMAT);
    zipped[count - 6] ^= 1; /* of the sum over the contents */
    refuses(zipped, count, TW_ERR_FORMAT);
}

static void refuses_what_is_no_file(void **state) {
    (void)state;
    assert_null(tw_idx_read(context, "/nowhere/at-all.gz"));
    assert_int_equal(tw_last_status(context), TW_ERR_NOT_FOUND);
    assert_null(tw_idx_read(context, "/tmp"));
    assert_int_equal(tw_last_status(context), TW_ERR_IO);
    assert_null(tw_idx_read(context, NULL));
    assert_int_equal(tw_last_status(context), TW_ERR_NULL);
    assert_null(tw_idx_read(NULL, path));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(reads_bytes, begin, end),
        cmocka_unit_test_setup_teardown(reads_wide_types, begin, end),
        cmocka_unit_test_setup_teardown(reads_no_elements, begin, end),
        cmocka_unit_test_setup_teardown(refuses_bad_headers, begin, end),
        cmocka_unit_test_setup_teardown(refuses_hostile_extents, begin, end),
        cmocka_unit_test_setup_teardown(refuses_cut_files, begin, end),
        cmocka_unit_test_setup_teardown(refuses_what_is_no_file, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
