/* CIFAR-10's binary files: order of pixels, several files, damage. */
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

enum { FILES = 4, PLANE = 1024, PIXELS = 3 * PLANE, RECORD = PIXELS + 1 };

static tw_context *context;
static char path[FILES][64];
static const char *paths[FILES];

static int begin(void **state) {
    (void)state;
    for (int i = 0; i < FILES; i++) {
        snprintf(path[i], sizeof path[i], "/tmp/thalweg-cifar-XXXXXX");
        int descriptor = mkstemp(path[i]);
        if (descriptor < 0 || close(descriptor)) return -1;
        paths[i] = path[i];
    }
    context = tw_context_new(NULL);
    return !context;
}

static int end(void **state) {
    (void)state;
    tw_context_free(context);
    int failed = 0;
    for (int i = 0; i < FILES; i++) failed |= unlink(path[i]);
    return failed;
}

/* What channel c of pixel p of example i is. */
static unsigned char pixel(int i, int c, int p) {
    return (unsigned char)(31 * i + 7 * c + p + (p >> 5));
}

static void put(int file, int from, int n, size_t more) {
    static unsigned char record[RECORD];
    FILE *out = fopen(path[file], "wb");
    assert_non_null(out);
    for (int i = from; i < from + n; i++) {
        record[0] = (unsigned char)(i % 10);
        for (int k = 0; k < PIXELS; k++) record[1 + k] = pixel(i, k / PLANE, k % PLANE);
        assert_int_equal(fwrite(record, 1, RECORD, out), RECORD);
    }
    assert_int_equal(fwrite(record, 1, more, out), more);
    assert_int_equal(fclose(out), 0);
}

static void reads_pixels_by_channel(void **state) {
    (void)state;
    put(0, 0, 3, 0);
    put(1, 3, 0, 0); /* an empty file between */
    put(2, 3, 2, 0);
    put(3, 5, 0, 0);
    tw_dataset *dataset = tw_dataset_cifar(context, FILES, paths);
    if (!dataset) fail_msg("%s", tw_message(context));
    assert_int_equal(tw_dataset_count(dataset), 5);
    assert_string_equal(tw_dataset_name(dataset, 0), "images");
    assert_string_equal(tw_dataset_name(dataset, 1), "labels");
    tw_type type = tw_dataset_type(dataset, 0);
    assert_int_equal(type.dtype, TW_U8);
    assert_int_equal(type.shape.rank, 3);
    assert_int_equal(type.shape.dim[2], 3);
    assert_string_equal(tw_dataset_class(dataset, 1, 0), "airplane");
    assert_string_equal(tw_dataset_class(dataset, 1, 9), "truck");
    assert_null(tw_dataset_class(dataset, 1, 10));
    static unsigned char images[5 * PIXELS];
    unsigned char labels[5];
    const int64_t index[] = {4, 0, 3, 2, 1};
    assert_int_equal(tw_dataset_read(dataset, 5, index, (void *[]){images, labels}), TW_OK);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(labels[i], index[i]);
        for (int p = 0; p < PLANE; p++)
            for (int c = 0; c < 3; c++)
                assert_int_equal(images[(i * PLANE + p) * 3 + c], pixel((int)index[i], c, p));
    }
    tw_dataset_free(dataset);
}

static void refuses(tw_status status, const char *part) {
    assert_null(tw_dataset_cifar(context, 2, paths));
    assert_int_equal(tw_last_status(context), status);
    if (!strstr(tw_message(context), part)) fail_msg("'%s' in: %s", part, tw_message(context));
}

static void refuses_damage(void **state) {
    (void)state;
    put(0, 0, 1, 0);
    put(1, 0, 2, 100);
    refuses(TW_ERR_FORMAT, "offset 6146: the last record is cut");
    refuses(TW_ERR_FORMAT, path[1]);
    put(1, 0, 2, 0);
    FILE *file = fopen(path[1], "r+b");
    assert_int_equal(fseek(file, RECORD, SEEK_SET), 0);
    assert_int_equal(fputc(10, file), 10);
    fclose(file);
    refuses(TW_ERR_FORMAT, "offset 3073: label 10");
    const char *kept = paths[1];
    paths[1] = "/nowhere/data_batch_1.bin";
    refuses(TW_ERR_NOT_FOUND, "/nowhere/data_batch_1.bin");
    paths[1] = NULL;
    refuses(TW_ERR_NULL, "path");
    paths[1] = kept;
    assert_null(tw_dataset_cifar(context, 0, paths));
    assert_null(tw_dataset_cifar(context, 1, NULL));
    assert_null(tw_dataset_cifar(NULL, 1, paths));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_pixels_by_channel),
        cmocka_unit_test(refuses_damage),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
