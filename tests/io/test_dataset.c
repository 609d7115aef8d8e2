/* Datasets: arrays, a user's source, ranges, splits, conversions, moments, and what they refuse. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <thalweg/data.h>
#include <unistd.h>

static tw_context *context;

static int begin(void **state) {
    (void)state;
    context = tw_context_new(NULL);
    return !context;
}

static int end(void **state) {
    (void)state;
    tw_context_free(context);
    return 0;
}

static void says(tw_status status, const char *part) {
    assert_int_equal(tw_last_status(context), status);
    if (!strstr(tw_message(context), part)) fail_msg("'%s' in: %s", part, tw_message(context));
}

/* Example i: {10 i, 10 i + 1} as u8, and i as i32. */
enum { COUNT = 10 };
static uint8_t pairs[COUNT][2];
static int32_t numbers[COUNT];

static tw_dataset *arrays(void) {
    for (int i = 0; i < COUNT; i++) {
        pairs[i][0] = (uint8_t)(10 * i);
        pairs[i][1] = (uint8_t)(10 * i + 1);
        numbers[i] = i;
    }
    tw_tensor *column[] = {
        tw_tensor_wrap(context, TW_U8, TW_SHAPE(COUNT, 2), pairs, NULL, NULL),
        tw_tensor_wrap(context, TW_I32, TW_SHAPE(COUNT), numbers, NULL, NULL),
    };
    tw_dataset *dataset = tw_dataset_arrays(context, 2, column);
    for (int i = 0; i < 2; i++) tw_tensor_free(column[i]); /* the dataset holds them */
    return dataset;
}

static void arrays_are_read_without_a_copy(void **state) {
    (void)state;
    tw_dataset *dataset = arrays();
    assert_int_equal(tw_dataset_count(dataset), COUNT);
    assert_int_equal(tw_dataset_columns(dataset), 2);
    tw_type type = tw_dataset_type(dataset, 0);
    assert_int_equal(type.dtype, TW_U8);
    assert_int_equal(type.shape.rank, 1);
    assert_int_equal(type.shape.dim[0], 2);
    assert_int_equal(tw_dataset_type(dataset, 1).shape.rank, 0);
    assert_int_equal(tw_dataset_type(dataset, 2).dtype, 0);
    assert_string_equal(tw_dataset_name(dataset, 0), "");
    assert_null(tw_dataset_class(dataset, 0, 0));
    numbers[7] = -7; /* wrapped memory is the caller's */
    uint8_t pair[6];
    int32_t number[3];
    void *out[] = {pair, number};
    assert_int_equal(tw_dataset_read(dataset, 3, (int64_t[]){7, 0, 7}, out), TW_OK);
    assert_memory_equal(pair, ((uint8_t[]){70, 71, 0, 1, 70, 71}), 6);
    assert_memory_equal(number, ((int32_t[]){-7, 0, -7}), sizeof number);
    assert_int_equal(tw_dataset_read(dataset, 0, NULL, NULL), TW_OK);
    tw_dataset_free(dataset);
}

static void reading_checks_its_arguments(void **state) {
    (void)state;
    tw_dataset *dataset = arrays();
    uint8_t pair[2];
    int32_t number;
    void *out[] = {pair, &number};
    assert_int_equal(tw_dataset_read(dataset, 1, (int64_t[]){COUNT}, out), TW_ERR_INDEX);
    says(TW_ERR_INDEX, "example 10 of a dataset that has 10");
    assert_int_equal(tw_dataset_read(dataset, 1, (int64_t[]){-1}, out), TW_ERR_INDEX);
    assert_int_equal(tw_dataset_read(dataset, -1, (int64_t[]){0}, out), TW_ERR_ARGUMENT);
    assert_int_equal(tw_dataset_read(dataset, 1, NULL, out), TW_ERR_NULL);
    out[1] = NULL;
    assert_int_equal(tw_dataset_read(dataset, 1, (int64_t[]){0}, out), TW_ERR_NULL);
    says(TW_ERR_NULL, "column 1");
    assert_int_equal(tw_dataset_read(NULL, 1, (int64_t[]){0}, out), TW_ERR_NULL);
    tw_tensor *uneven[] = {tw_tensor_new(context, TW_F32, TW_SHAPE(3, 2)),
                           tw_tensor_new(context, TW_F32, TW_SHAPE(4))};
    assert_null(tw_dataset_arrays(context, 2, uneven));
    says(TW_ERR_SHAPE, "array 1 of a dataset has 4 examples, array 0 has 3");
    tw_tensor *scalar = tw_tensor_new(context, TW_F32, TW_SHAPE());
    assert_null(tw_dataset_arrays(context, 1, &scalar));
    says(TW_ERR_SHAPE, "scalar");
    assert_null(tw_dataset_arrays(context, 0, NULL));
    assert_null(tw_dataset_arrays(context, 1, (tw_tensor *[]){NULL}));
    assert_null(tw_dataset_arrays(context, TW_MAX_COLUMNS + 1, uneven));
}

/* A user's source: squares, that fail from `broken` on. */
typedef struct squares {
    int64_t broken;
    bool silent;
    int released;
} squares;

static tw_status read_squares(void *user, int64_t n, const int64_t *index, void *const *out,
                              char *message, size_t capacity) {
    const squares *it = user;
    for (int64_t i = 0; i < n; i++) {
        if (it->broken && index[i] >= it->broken) {
            if (!it->silent)
                snprintf(message, capacity, "row %lld is missing", (long long)index[i]);
            return TW_ERR_IO;
        }
        ((double *)out[0])[i] = (double)(index[i] * index[i]);
    }
    return TW_OK;
}

static void release_squares(void *user) { ((squares *)user)->released++; }

static tw_dataset_source squares_source(squares *user) {
    static const char *const classes[] = {"zero", "one", NULL};
    return (tw_dataset_source){.count = 100,
                               .columns = 1,
                               .name = {"square"},
                               .type = {{TW_F64, TW_SHAPE()}},
                               .classes = {classes},
                               .read = read_squares,
                               .release = release_squares,
                               .user = user};
}

static void a_users_source(void **state) {
    (void)state;
    squares user = {50, false, 0};
    tw_dataset_source source = squares_source(&user);
    char name[] = "square"; /* copied: it may change */
    source.name[0] = name;
    tw_dataset *dataset = tw_dataset_new(context, &source);
    name[0] = '?';
    assert_string_equal(tw_dataset_name(dataset, 0), "square");
    assert_string_equal(tw_dataset_class(dataset, 0, 1), "one");
    assert_null(tw_dataset_class(dataset, 0, 2));
    assert_null(tw_dataset_class(dataset, 0, -1));
    double out[2];
    void *columns[] = {out};
    assert_int_equal(tw_dataset_read(dataset, 2, (int64_t[]){3, 7}, columns), TW_OK);
    assert_true(out[0] == 9 && out[1] == 49);
    assert_int_equal(tw_dataset_read(dataset, 2, (int64_t[]){3, 50}, columns), TW_ERR_IO);
    says(TW_ERR_IO, "row 50 is missing");
    user.silent = true;
    assert_int_equal(tw_dataset_read(dataset, 1, (int64_t[]){50}, columns), TW_ERR_IO);
    says(TW_ERR_IO, "said nothing");
    tw_dataset *part = tw_dataset_range(dataset, 10, 5);
    tw_dataset_free(dataset);
    assert_int_equal(user.released, 0); /* the part holds it */
    assert_int_equal(tw_dataset_read(part, 1, (int64_t[]){2}, columns), TW_OK);
    assert_true(out[0] == 144);
    assert_string_equal(tw_dataset_class(part, 0, 0), "zero");
    tw_dataset_free(part);
    assert_int_equal(user.released, 1);
}

static void sources_are_checked(void **state) {
    (void)state;
    squares user = {0};
    tw_dataset_source source = squares_source(&user);
    assert_null(tw_dataset_new(context, NULL));
    source.read = NULL;
    assert_null(tw_dataset_new(context, &source));
    source = squares_source(&user);
    source.count = -1;
    assert_null(tw_dataset_new(context, &source));
    source = squares_source(&user);
    source.columns = 0;
    assert_null(tw_dataset_new(context, &source));
    source.columns = TW_MAX_COLUMNS + 1;
    assert_null(tw_dataset_new(context, &source));
    source = squares_source(&user);
    source.type[0].shape = TW_SHAPE(tw_symbol(context, "n"));
    assert_null(tw_dataset_new(context, &source));
    says(TW_ERR_SHAPE, "column 0");
    source.type[0].shape = TW_SHAPE(1, 1, 1, 1, 1, 1, 1, 1); /* no room for the batch's axis */
    assert_null(tw_dataset_new(context, &source));
    source.type[0] = (tw_type){0, TW_SHAPE()};
    assert_null(tw_dataset_new(context, &source));
    assert_int_equal(user.released, 0);
}

static void ranges(void **state) {
    (void)state;
    tw_dataset *dataset = arrays(), *part = tw_dataset_range(dataset, 4, 6);
    assert_int_equal(tw_dataset_count(part), 6);
    tw_dataset *inner = tw_dataset_range(part, 1, 2);
    uint8_t pair[4];
    int32_t number[2];
    void *out[] = {pair, number};
    assert_int_equal(tw_dataset_read(inner, 2, (int64_t[]){1, 0}, out), TW_OK);
    assert_memory_equal(number, ((int32_t[]){6, 5}), sizeof number);
    assert_memory_equal(pair, ((uint8_t[]){60, 61, 50, 51}), 4);
    assert_int_equal(tw_dataset_read(inner, 1, (int64_t[]){2}, out), TW_ERR_INDEX);
    assert_int_equal(tw_dataset_count(tw_dataset_range(dataset, 10, 0)), 0);
    assert_null(tw_dataset_range(dataset, 4, 7));
    says(TW_ERR_ARGUMENT, "7 examples from 4 on of a dataset that has 10");
    assert_null(tw_dataset_range(dataset, -1, 2));
    assert_null(tw_dataset_range(dataset, 2, -1));
    assert_null(tw_dataset_range(dataset, INT64_MAX, INT64_MAX));
    assert_null(tw_dataset_range(NULL, 0, 0));
}

/* More indices than a view translates at a time. */
static void long_reads_through_a_view(void **state) {
    (void)state;
    squares user = {0};
    tw_dataset_source source = squares_source(&user);
    source.count = 5000;
    tw_dataset *base = tw_dataset_new(context, &source);
    tw_dataset *part = tw_dataset_range(base, 1000, 3000);
    static int64_t index[3000];
    static double out[3000];
    for (int i = 0; i < 3000; i++) index[i] = 2999 - i;
    assert_int_equal(tw_dataset_read(part, 3000, index, (void *[]){out}), TW_OK);
    for (int i = 0; i < 3000; i++) assert_true(out[i] == (3999.0 - i) * (3999.0 - i));
    tw_dataset_free(part);
    tw_dataset_free(base);
}

static void split_parts(uint64_t seed, int32_t *first, int64_t *n_first, int32_t *second,
                        int64_t *n_second) {
    tw_dataset *dataset = arrays(), *one, *two;
    assert_int_equal(tw_dataset_split(dataset, 0.3, seed, &one, &two), TW_OK);
    tw_dataset *part[] = {one, two};
    int32_t *to[] = {first, second};
    int64_t *n[] = {n_first, n_second};
    for (int p = 0; p < 2; p++) {
        uint8_t pair[2 * COUNT];
        int64_t index[COUNT] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
        void *out[] = {pair, to[p]};
        *n[p] = tw_dataset_count(part[p]);
        assert_int_equal(tw_dataset_read(part[p], *n[p], index, out), TW_OK);
        for (int i = 0; i < *n[p]; i++) assert_int_equal(pair[2 * i], 10 * to[p][i]);
        tw_dataset_free(part[p]);
    }
    tw_dataset_free(dataset);
}

static void splits_are_a_partition_in_order(void **state) {
    (void)state;
    int32_t first[COUNT], second[COUNT], again[COUNT], rest[COUNT];
    int64_t one, two;
    split_parts(1, first, &one, second, &two);
    assert_int_equal(one, 7);
    assert_int_equal(two, 3);
    bool seen[COUNT] = {false};
    for (int i = 0; i < one; i++) seen[first[i]] = true;
    for (int i = 0; i < two; i++) seen[second[i]] = true;
    for (int i = 0; i < COUNT; i++) assert_true(seen[i]);
    for (int i = 1; i < one; i++) assert_true(first[i] > first[i - 1]);
    for (int i = 1; i < two; i++) assert_true(second[i] > second[i - 1]);
    split_parts(1, again, &one, rest, &two);
    assert_memory_equal(second, rest, 3 * sizeof *rest);
    /* On every machine. */
    assert_memory_equal(second, ((int32_t[]){2, 6, 8}), 3 * sizeof *second);
    bool another = false;
    for (uint64_t seed = 2; seed < 6; seed++) {
        split_parts(seed, again, &one, rest, &two);
        another = another || memcmp(second, rest, 3 * sizeof *rest) != 0;
    }
    assert_true(another);
}

static void splits_at_the_ends(void **state) {
    (void)state;
    tw_dataset *dataset = arrays(), *one, *two;
    assert_int_equal(tw_dataset_split(dataset, 0, 1, &one, &two), TW_OK);
    assert_int_equal(tw_dataset_count(one), COUNT);
    assert_int_equal(tw_dataset_count(two), 0);
    assert_int_equal(tw_dataset_split(dataset, 1, 1, &one, &two), TW_OK);
    assert_int_equal(tw_dataset_count(one), 0);
    assert_int_equal(tw_dataset_split(dataset, 1.5, 1, &one, &two), TW_ERR_ARGUMENT);
    assert_null(one);
    assert_null(two);
    assert_int_equal(tw_dataset_split(dataset, NAN, 1, &one, &two), TW_ERR_ARGUMENT);
    assert_int_equal(tw_dataset_split(dataset, 0.5, 1, NULL, &two), TW_ERR_NULL);
    assert_int_equal(tw_dataset_split(NULL, 0.5, 1, &one, &two), TW_ERR_NULL);
}

static void conversions(void **state) {
    (void)state;
    tw_dataset *dataset = arrays();
    tw_dataset *real = tw_dataset_convert(dataset, 0, TW_F32, TW_SHAPE(2, 1), 1.0 / 255, -0.5);
    tw_type type = tw_dataset_type(real, 0);
    assert_int_equal(type.dtype, TW_F32);
    assert_int_equal(type.shape.rank, 2);
    float x[4];
    int32_t number[2];
    assert_int_equal(tw_dataset_read(real, 2, (int64_t[]){9, 3}, (void *[]){x, number}), TW_OK);
    const int raw[] = {90, 91, 30, 31};
    for (int i = 0; i < 4; i++) assert_true(fabs((double)x[i] - (raw[i] / 255.0 - 0.5)) < 1e-7);
    assert_memory_equal(number, ((int32_t[]){9, 3}), sizeof number);
    /* Back to bytes: elements shrink, and saturate. */
    tw_dataset *back = tw_dataset_convert(real, 0, TW_U8, TW_SHAPE(2), 510, 254.5);
    uint8_t y[4];
    assert_int_equal(tw_dataset_read(back, 2, (int64_t[]){9, 1}, (void *[]){y, number}), TW_OK);
    assert_int_equal(y[0], 179); /* 510 (90 / 255 - 1 / 2) + 254.5 = 179.5 */
    assert_int_equal(y[2], 19);
    assert_memory_equal(number, ((int32_t[]){9, 1}), sizeof number);
    tw_dataset *high = tw_dataset_convert(dataset, 0, TW_U8, TW_SHAPE(2), 3, -30);
    assert_int_equal(tw_dataset_read(high, 2, (int64_t[]){9, 0}, (void *[]){y, number}), TW_OK);
    assert_memory_equal(y, ((uint8_t[]){240, 243, 0, 0}), 4);
}

/* Every pair of types, both ways through more than one block. */
static void conversions_of_every_type(void **state) {
    (void)state;
    enum { N = 700 };
    static const tw_dtype types[] = {TW_BOOL, TW_U8,   TW_I32, TW_I64, TW_U32,
                                     TW_F16,  TW_BF16, TW_F32, TW_F64};
    static double numbers_[N];
    for (int i = 0; i < N; i++) numbers_[i] = i % 120;
    tw_tensor *tensor = tw_tensor_wrap(context, TW_F64, TW_SHAPE(1, N), numbers_, NULL, NULL);
    tw_dataset *base = tw_dataset_arrays(context, 1, &tensor);
    for (size_t a = 0; a < sizeof types / sizeof *types; a++)
        for (size_t b = 0; b < sizeof types / sizeof *types; b++) {
            tw_dataset *one = tw_dataset_convert(base, 0, types[a], TW_SHAPE(N), 1, 0);
            tw_dataset *two = tw_dataset_convert(one, 0, types[b], TW_SHAPE(7, 100), 2, 1);
            tw_dataset *last = tw_dataset_convert(two, 0, TW_F64, TW_SHAPE(N), 1, 0);
            static double out[N];
            assert_int_equal(tw_dataset_read(last, 1, (int64_t[]){0}, (void *[]){out}), TW_OK);
            for (int i = 0; i < N; i++) {
                double x = types[a] == TW_BOOL ? numbers_[i] != 0 : numbers_[i];
                double y = types[b] == TW_BOOL ? 1 : 2 * x + 1;
                if (out[i] != y) fail_msg("%zu to %zu: %g for %g", a, b, out[i], y);
            }
            tw_dataset_free(last);
            tw_dataset_free(two);
            tw_dataset_free(one);
        }
}

static void integer_conversions_are_exact(void **state) {
    (void)state;
    int64_t wide[] = {(INT64_C(1) << 60) + 1, INT64_MIN, -3};
    tw_tensor *tensor = tw_tensor_wrap(context, TW_I64, TW_SHAPE(3), wide, NULL, NULL);
    tw_dataset *base = tw_dataset_arrays(context, 1, &tensor);
    int64_t out[3], all[] = {0, 1, 2};
    tw_dataset *odd = tw_dataset_convert(base, 0, TW_I64, TW_SHAPE(), 3, 2);
    assert_int_equal(tw_dataset_read(odd, 3, all, (void *[]){out}), TW_OK);
    assert_true(out[0] == 3 * ((INT64_C(1) << 60) + 1) + 2);
    assert_true(out[1] == INT64_MIN);
    assert_true(out[2] == -7);
    /* Exact where the product alone is past the end. */
    tw_dataset *far = tw_dataset_convert(base, 0, TW_I64, TW_SHAPE(), 8, -0x1p62);
    assert_int_equal(tw_dataset_read(far, 1, all, (void *[]){out}), TW_OK);
    assert_true(out[0] == (INT64_C(1) << 62) + 8);
    far = tw_dataset_convert(base, 0, TW_I64, TW_SHAPE(), -8, 0x1p62);
    assert_int_equal(tw_dataset_read(far, 1, all, (void *[]){out}), TW_OK);
    assert_true(out[0] == -(INT64_C(1) << 62) - 8);
    int32_t narrow[3];
    tw_dataset *small = tw_dataset_convert(base, 0, TW_I32, TW_SHAPE(), 1, 0);
    assert_int_equal(tw_dataset_read(small, 3, all, (void *[]){narrow}), TW_OK);
    assert_memory_equal(narrow, ((int32_t[]){INT32_MAX, INT32_MIN, -3}), sizeof narrow);
    assert_null(tw_dataset_convert(base, 0, TW_I32, TW_SHAPE(), 0.5, 0));
    says(TW_ERR_ARGUMENT, "whole numbers");
    assert_null(tw_dataset_convert(base, 0, TW_F32, TW_SHAPE(), NAN, 0));
    assert_null(tw_dataset_convert(base, 0, TW_F32, TW_SHAPE(2), 1, 0));
    assert_null(tw_dataset_convert(base, 1, TW_F32, TW_SHAPE(), 1, 0));
    assert_null(tw_dataset_convert(base, 0, 0, TW_SHAPE(), 1, 0));
    assert_null(tw_dataset_convert(NULL, 0, TW_F32, TW_SHAPE(), 1, 0));
}

static void moments(void **state) {
    (void)state;
    double mean = 0, deviation = 0;
    tw_dataset *dataset = arrays();
    assert_int_equal(tw_dataset_moments(dataset, 0, &mean, &deviation), TW_OK);
    assert_true(fabs(mean - 45.5) < 1e-12); /* 0, 1, 10, 11, ..., 91 */
    assert_true(fabs(deviation - sqrt(825.25)) < 1e-12);
    /* Many chunks, far from zero. */
    enum { N = 300000 };
    double *far = malloc(N * sizeof *far);
    assert_non_null(far);
    for (int i = 0; i < N; i++) far[i] = 1e9 + (i % 2 ? 1 : -1);
    tw_tensor *tensor = tw_tensor_wrap(context, TW_F64, TW_SHAPE(N), far, free, far);
    tw_dataset *large = tw_dataset_arrays(context, 1, &tensor);
    assert_int_equal(tw_dataset_moments(large, 0, &mean, &deviation), TW_OK);
    assert_true(mean == 1e9 && fabs(deviation - 1) < 1e-9);
    assert_int_equal(tw_dataset_moments(dataset, 2, &mean, &deviation), TW_ERR_ARGUMENT);
    assert_int_equal(tw_dataset_moments(tw_dataset_range(dataset, 0, 0), 0, &mean, NULL),
                     TW_ERR_ARGUMENT);
    squares user = {50, false, 0};
    tw_dataset_source source = squares_source(&user);
    tw_dataset *broken = tw_dataset_new(context, &source);
    assert_int_equal(tw_dataset_moments(broken, 0, &mean, &deviation), TW_ERR_IO);
    says(TW_ERR_IO, "row 50");
    tw_dataset_free(broken);
}

static void idx_files(void **state) {
    (void)state;
    char folder[] = "/tmp/thalweg-dataset-XXXXXX", images[64], labels[64];
    assert_non_null(mkdtemp(folder));
    snprintf(images, sizeof images, "%s/images", folder);
    snprintf(labels, sizeof labels, "%s/labels", folder);
    const unsigned char three[] = {0, 0, 8, 3, 0, 0, 0, 3, 0, 0, 0,
                                   1, 0, 0, 0, 2, 1, 2, 3, 4, 5, 6};
    const unsigned char codes[] = {0, 0, 8, 1, 0, 0, 0, 3, 7, 8, 9};
    FILE *file = fopen(images, "wb");
    assert_int_equal(fwrite(three, 1, sizeof three, file), sizeof three);
    fclose(file);
    file = fopen(labels, "wb");
    assert_int_equal(fwrite(codes, 1, sizeof codes, file), sizeof codes);
    fclose(file);
    tw_dataset *dataset = tw_dataset_idx(context, images, labels);
    assert_int_equal(tw_dataset_count(dataset), 3);
    assert_string_equal(tw_dataset_name(dataset, 0), "images");
    assert_string_equal(tw_dataset_name(dataset, 1), "labels");
    assert_int_equal(tw_dataset_type(dataset, 0).shape.rank, 2);
    unsigned char image[2], label;
    assert_int_equal(tw_dataset_read(dataset, 1, (int64_t[]){1}, (void *[]){image, &label}), TW_OK);
    assert_true(image[0] == 3 && image[1] == 4 && label == 8);
    dataset = tw_dataset_idx(context, images, NULL);
    assert_int_equal(tw_dataset_columns(dataset), 1);
    assert_null(tw_dataset_idx(context, labels, labels));
    says(TW_ERR_SHAPE, labels);
    assert_null(tw_dataset_idx(context, images, images));
    assert_null(tw_dataset_idx(context, images, "/nowhere/labels"));
    says(TW_ERR_NOT_FOUND, "/nowhere/labels");
    file = fopen(labels, "wb");
    const unsigned char two[] = {0, 0, 8, 1, 0, 0, 0, 2, 7, 8};
    assert_int_equal(fwrite(two, 1, sizeof two, file), sizeof two);
    fclose(file);
    assert_null(tw_dataset_idx(context, images, labels));
    says(TW_ERR_SHAPE, "2 labels for the 3 images");
    assert_int_equal(unlink(images) | unlink(labels) | rmdir(folder), 0);
}

/* Any order of ends, and none: the context ends what is left. */
static void ends_in_any_order(void **state) {
    (void)state;
    squares user = {0};
    tw_context *own = tw_context_new(NULL);
    tw_dataset_source source = squares_source(&user);
    tw_dataset *base = tw_dataset_new(own, &source), *one, *two;
    tw_dataset_split(tw_dataset_convert(base, 0, TW_F32, TW_SHAPE(1), 2, 0), 0.5, 1, &one, &two);
    tw_dataset_free(base);
    tw_dataset_free(two);
    tw_context_free(own);
    assert_int_equal(user.released, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arrays_are_read_without_a_copy),
        cmocka_unit_test(reading_checks_its_arguments),
        cmocka_unit_test(a_users_source),
        cmocka_unit_test(sources_are_checked),
        cmocka_unit_test(ranges),
        cmocka_unit_test(long_reads_through_a_view),
        cmocka_unit_test(splits_are_a_partition_in_order),
        cmocka_unit_test(splits_at_the_ends),
        cmocka_unit_test(conversions),
        cmocka_unit_test(conversions_of_every_type),
        cmocka_unit_test(integer_conversions_are_exact),
        cmocka_unit_test(moments),
        cmocka_unit_test(idx_files),
        cmocka_unit_test(ends_in_any_order),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
