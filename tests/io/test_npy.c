/*
 * NumPy's files: those that NumPy made (scripts/golden_npy.py), those we write, and damage of every
 * kind. GOLDEN names another folder of NumPy's files, WRITTEN a folder in which ours stay: check_numpy.sh.
 */
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

static tw_context *context;
static char scratch[64];

static int begin(void **state) {
    (void)state;
    snprintf(scratch, sizeof scratch, "/tmp/thalweg-npy-XXXXXX");
    int descriptor = mkstemp(scratch);
    context = tw_context_new(NULL);
    return descriptor < 0 || close(descriptor) || !context;
}

static int end(void **state) {
    (void)state;
    tw_context_free(context);
    return unlink(scratch);
}

static const char *golden(const char *name) {
    static char path[512];
    const char *folder = getenv("GOLDEN");
    snprintf(path, sizeof path, "%s/%s", folder ? folder : "tests/golden", name);
    return path;
}

/* Element i as a double. */
static double element(tw_tensor *tensor, int64_t i) {
    const void *data = tw_tensor_map(tensor);
    switch (tw_tensor_type(tensor).dtype) {
    case TW_BOOL:
    case TW_U8: return ((const uint8_t *)data)[i];
    case TW_I32: return ((const int32_t *)data)[i];
    case TW_U32: return ((const uint32_t *)data)[i];
    case TW_I64: return (double)((const int64_t *)data)[i];
    case TW_F32: return (double)((const float *)data)[i];
    case TW_F64: return ((const double *)data)[i];
    default: return 0;
    }
}

static double expected(tw_dtype dtype, int64_t i) {
    if (dtype == TW_BOOL) return i % 3 == 0;
    return dtype == TW_U8 || dtype == TW_U32 ? (double)i : (double)(i - 3);
}

/* Half-precision numbers from -3 on. */
static const uint16_t halves[] = {0xc200, 0xc000, 0xbc00, 0x0000, 0x3c00, 0x4000, 0x4200, 0x4400,
                                  0x4500, 0x4600, 0x4700, 0x4800, 0x4880, 0x4900, 0x4980, 0x4a00,
                                  0x4a80, 0x4b00, 0x4b80, 0x4c00, 0x4c40, 0x4c80, 0x4cc0, 0x4d00};

static void check(tw_tensor *tensor, tw_dtype dtype, tw_shape shape) {
    if (!tensor) fail_msg("%s", tw_message(context));
    tw_type type = tw_tensor_type(tensor);
    assert_int_equal(type.dtype, dtype);
    assert_int_equal(type.shape.rank, shape.rank);
    int64_t count = 1;
    for (int i = 0; i < shape.rank; i++) {
        assert_int_equal(type.shape.dim[i], shape.dim[i]);
        count *= shape.dim[i];
    }
    if (dtype == TW_F16)
        assert_memory_equal(tw_tensor_map(tensor), halves, sizeof halves);
    else
        for (int64_t i = 0; i < count; i++) assert_true(element(tensor, i) == expected(dtype, i));
}

static const struct {
    const char *name;
    tw_dtype dtype;
} types[] = {{"f2", TW_F16}, {"f4", TW_F32}, {"f8", TW_F64}, {"i4", TW_I32},
             {"i8", TW_I64}, {"u1", TW_U8},  {"u4", TW_U32}, {"b1", TW_BOOL}};
enum { TYPES = sizeof types / sizeof types[0] };

static void reads_every_type(void **state) {
    (void)state;
    char name[32];
    for (int i = 0; i < TYPES; i++) {
        snprintf(name, sizeof name, "npy_%s.npy", types[i].name);
        tw_tensor *tensor = tw_npy_read(context, golden(name));
        check(tensor, types[i].dtype, TW_SHAPE(2, 3, 4));
        /* A mapped file's elements are ours to change; the file stays. */
        memset(tw_tensor_map(tensor), 1, tw_tensor_bytes(tensor));
        tw_tensor_free(tensor);
        check(tw_npy_read(context, golden(name)), types[i].dtype, TW_SHAPE(2, 3, 4));
    }
}

static void reads_every_form(void **state) {
    (void)state;
    check(tw_npy_read(context, golden("npy_big.npy")), TW_F32, TW_SHAPE(2, 3, 4));
    check(tw_npy_read(context, golden("npy_fortran.npy")), TW_I32, TW_SHAPE(2, 3, 4));
    check(tw_npy_read(context, golden("npy_big_fortran.npy")), TW_F64, TW_SHAPE(2, 3, 4));
    check(tw_npy_read(context, golden("npy_version2.npy")), TW_F32, TW_SHAPE(2, 3, 4));
    check(tw_npy_read(context, golden("npy_version3.npy")), TW_F32, TW_SHAPE(2, 3, 4));
    check(tw_npy_read(context, golden("npy_vector.npy")), TW_I32, TW_SHAPE(5));
    check(tw_npy_read(context, golden("npy_empty.npy")), TW_F32, TW_SHAPE(0, 3));
    tw_tensor *scalar = tw_npy_read(context, golden("npy_scalar.npy"));
    assert_int_equal(tw_tensor_type(scalar).shape.rank, 0);
    assert_true(tw_tensor_item(scalar) == 2.5);
    assert_null(tw_npy_read(context, golden("npy_complex.npy")));
    assert_int_equal(tw_last_status(context), TW_ERR_UNSUPPORTED);
    assert_non_null(strstr(tw_message(context), "'<c8'"));
    assert_null(tw_npy_read(context, golden("npy_record.npy")));
    assert_int_equal(tw_last_status(context), TW_ERR_UNSUPPORTED);
}

static void reads_archives(void **state) {
    (void)state;
    static const char *const names[] = {"npz_stored.npz", "npz_deflated.npz"};
    for (int i = 0; i < 2; i++) {
        const char *path = golden(names[i]);
        check(tw_npz_read(context, path, "x"), TW_F32, TW_SHAPE(6, 2));
        check(tw_npz_read(context, path, "label"), TW_U8, TW_SHAPE(6));
        check(tw_npz_read(context, path, "f"), TW_I64, TW_SHAPE(6, 2, 2));
        assert_null(tw_npz_read(context, path, "y"));
        assert_int_equal(tw_last_status(context), TW_ERR_NOT_FOUND);
        assert_null(tw_npz_read(context, path, NULL));
        tw_dataset *dataset = tw_dataset_npz(context, path);
        assert_int_equal(tw_dataset_count(dataset), 6);
        assert_int_equal(tw_dataset_columns(dataset), 3);
        assert_string_equal(tw_dataset_name(dataset, 0), "x");
        assert_string_equal(tw_dataset_name(dataset, 1), "label");
        assert_string_equal(tw_dataset_name(dataset, 2), "f");
        float x[2];
        uint8_t label;
        int64_t f[4];
        assert_int_equal(tw_dataset_read(dataset, 1, (int64_t[]){5}, (void *[]){x, &label, f}),
                         TW_OK);
        assert_true(x[0] == 7 && x[1] == 8 && label == 5 && f[0] == 17 && f[3] == 20);
        tw_dataset_free(dataset);
    }
}

static tw_tensor *counted(tw_dtype dtype, tw_shape shape, int64_t count) {
    tw_tensor *tensor = tw_tensor_new(context, dtype, shape);
    void *data = tw_tensor_map(tensor);
    if (dtype == TW_F16) memcpy(data, halves, sizeof halves);
    for (int64_t i = 0; i < count; i++) {
        double number = expected(dtype, i);
        switch (dtype) {
        case TW_BOOL:
        case TW_U8: ((uint8_t *)data)[i] = (uint8_t)number; break;
        case TW_I32: ((int32_t *)data)[i] = (int32_t)number; break;
        case TW_U32: ((uint32_t *)data)[i] = (uint32_t)number; break;
        case TW_I64: ((int64_t *)data)[i] = (int64_t)number; break;
        case TW_F32: ((float *)data)[i] = (float)number; break;
        case TW_F64: ((double *)data)[i] = number; break;
        default: break;
        }
    }
    return tensor;
}

/* Written, and read back. */
static void round_trip(const char *name, tw_tensor *tensor, tw_dtype dtype, tw_shape shape) {
    char path[512];
    const char *folder = getenv("WRITTEN");
    if (folder)
        snprintf(path, sizeof path, "%s/%s.npy", folder, name);
    else
        snprintf(path, sizeof path, "%s", scratch);
    assert_int_equal(tw_npy_write(tensor, path), TW_OK);
    tw_tensor *back = tw_npy_read(context, path);
    if (shape.rank) check(back, dtype, shape);
    assert_int_equal(tw_tensor_bytes(back), tw_tensor_bytes(tensor));
    if (tw_tensor_bytes(tensor))
        assert_memory_equal(tw_tensor_map(back), tw_tensor_map(tensor), tw_tensor_bytes(tensor));
    tw_tensor_free(back);
    tw_tensor_free(tensor);
}

static void writes(void **state) {
    (void)state;
    for (int i = 0; i < TYPES; i++)
        round_trip(types[i].name, counted(types[i].dtype, TW_SHAPE(2, 3, 4), 24), types[i].dtype,
                   TW_SHAPE(2, 3, 4));
    float half = 2.5f;
    round_trip("scalar", tw_tensor_wrap(context, TW_F32, TW_SHAPE(), &half, NULL, NULL), TW_F32,
               TW_SHAPE());
    round_trip("vector", counted(TW_I32, TW_SHAPE(5), 5), TW_I32, TW_SHAPE(5));
    round_trip("empty", counted(TW_F32, TW_SHAPE(0, 3), 0), TW_F32, TW_SHAPE(0, 3));
    round_trip("rank8", counted(TW_F32, TW_SHAPE(1, 2, 1, 1, 1, 1, 3, 1), 6), TW_F32,
               TW_SHAPE(1, 2, 1, 1, 1, 1, 3, 1));
    tw_tensor *brain = tw_tensor_new(context, TW_BF16, TW_SHAPE(2));
    assert_int_equal(tw_npy_write(brain, scratch), TW_ERR_UNSUPPORTED);
    assert_int_equal(tw_npy_write(brain, NULL), TW_ERR_NULL);
    assert_int_equal(tw_npy_write(NULL, scratch), TW_ERR_NULL);
    tw_tensor *real = tw_tensor_new(context, TW_F32, TW_SHAPE(2));
    assert_int_equal(tw_npy_write(real, "/nowhere/x.npy"), TW_ERR_IO);
    assert_non_null(strstr(tw_message(context), "/nowhere/x.npy"));
    assert_int_equal(tw_npy_write(real, "/dev/full"), TW_ERR_IO);
}

/* Damage. */

static size_t load(const char *path, unsigned char *bytes, size_t capacity) {
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    size_t count = fread(bytes, 1, capacity, file);
    assert_true(count < capacity);
    fclose(file);
    return count;
}

static void store(const void *bytes, size_t count) {
    unlink(scratch); /* a new file: some systems wait for the disk when an old one is cut */
    FILE *file = fopen(scratch, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, count, file), count);
    assert_int_equal(fclose(file), 0);
}

static void refuses_header(const char *header, tw_status status, const char *part) {
    unsigned char bytes[1024] = "\x93NUMPY\1";
    size_t length = strlen(header);
    bytes[8] = (unsigned char)length;
    bytes[9] = (unsigned char)(length >> 8);
    memcpy(bytes + 10, header, length);
    store(bytes, 10 + length + 24);
    assert_null(tw_npy_read(context, scratch));
    if (tw_last_status(context) != status || !strstr(tw_message(context), part) ||
        !strstr(tw_message(context), scratch) || !strstr(tw_message(context), "offset"))
        fail_msg("%s: %s", header, tw_message(context));
}

static void refuses_bad_headers(void **state) {
    (void)state;
    refuses_header("", TW_ERR_FORMAT, "dictionary");
    refuses_header("{", TW_ERR_FORMAT, "dictionary");
    refuses_header("{}", TW_ERR_FORMAT, "dictionary");
    refuses_header("{'descr': '<f4', 'fortran_order': False}", TW_ERR_FORMAT, "shape");
    refuses_header("{'descr': '<f4', 'fortran_order': False, 'shape': (6,)} x", TW_ERR_FORMAT,
                   "alone");
    refuses_header("{'descr': '<f4', 'fortran_order': False, 'shape': (6,), 'x': 1}", TW_ERR_FORMAT,
                   "key 'x'");
    refuses_header("{'descr': '<f4', 'fortran_order': 0, 'shape': (6,)}", TW_ERR_FORMAT, "True");
    refuses_header("{'descr': '<f4', 'fortran_order': False, 'shape': 6}", TW_ERR_FORMAT, "tuple");
    refuses_header("{'descr': '<f4', 'fortran_order': False, 'shape': (-6,)}", TW_ERR_FORMAT,
                   "tuple");
    refuses_header("{'descr': '<f4', 'fortran_order': False, 'shape': (6", TW_ERR_FORMAT, "tuple");
    refuses_header("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}",
                   TW_ERR_FORMAT, "tuple");
    refuses_header("{'descr': '<f4', 'fortran_order': False, "
                   "'shape': (4294967296, 4294967296, 4294967296)}",
                   TW_ERR_FORMAT, "more elements");
    refuses_header("{'descr': '<f4', 'fortran_order': False, 'shape': (7,)}", TW_ERR_FORMAT,
                   "more elements");
    refuses_header("{'descr': '<f4', 'fortran_order': False, 'shape': (5,)}", TW_ERR_FORMAT,
                   "4 bytes follow");
    refuses_header("{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,6)}",
                   TW_ERR_UNSUPPORTED, "8 axes");
    refuses_header("{'descr': '|O', 'fortran_order': False, 'shape': (6,)}", TW_ERR_UNSUPPORTED,
                   "'|O'");
    refuses_header("{'descr': '<i2', 'fortran_order': False, 'shape': (12,)}", TW_ERR_UNSUPPORTED,
                   "'<i2'");
    refuses_header("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (6,)}",
                   TW_ERR_UNSUPPORTED, "[('a'");
    refuses_header("{'descr': '<f4, 'fortran_order': False, 'shape': (6,)}", TW_ERR_UNSUPPORTED,
                   "element type");
}

/* Any order of keys, any spaces, either quote, Python 2's numbers. */
static void reads_loose_headers(void **state) {
    (void)state;
    const char *const headers[] = {
        "{\"shape\":(2L,3L),\"fortran_order\":False,\"descr\":\"<f4\"}",
        "  { 'fortran_order' : False , 'shape' : ( 2 , 3 , ) , 'descr' : '=f4' , }  \n",
    };
    for (int i = 0; i < 2; i++) {
        unsigned char bytes[256] = "\x93NUMPY\1";
        size_t length = strlen(headers[i]);
        bytes[8] = (unsigned char)length;
        memcpy(bytes + 10, headers[i], length);
        for (int k = 0; k < 6; k++)
            memcpy(bytes + 10 + length + 4 * (size_t)k, &(float){(float)(k - 3)}, 4);
        store(bytes, 10 + length + 24);
        check(tw_npy_read(context, scratch), TW_F32, TW_SHAPE(2, 3));
    }
}

static void refuses_cut_and_changed_files(void **state) {
    (void)state;
    unsigned char bytes[4096];
    size_t count = load(golden("npy_fortran.npy"), bytes, sizeof bytes);
    for (size_t n = 0; n < count; n++) {
        store(bytes, n);
        assert_null(tw_npy_read(context, scratch));
        assert_int_equal(tw_last_status(context), TW_ERR_FORMAT);
        assert_non_null(strstr(tw_message(context), scratch));
    }
    for (size_t i = 0; i < 10; i++) {
        bytes[i] ^= 0x80;
        store(bytes, count);
        assert_null(tw_npy_read(context, scratch));
        bytes[i] ^= 0x80;
    }
    assert_null(tw_npy_read(context, "/nowhere/x.npy"));
    assert_int_equal(tw_last_status(context), TW_ERR_NOT_FOUND);
    assert_null(tw_npy_read(context, "/tmp"));
    assert_int_equal(tw_last_status(context), TW_ERR_IO);
    assert_null(tw_npy_read(context, NULL));
    assert_null(tw_npy_read(NULL, scratch));
}

/* Cut anywhere, an archive is refused; with a bit of any byte changed it is read or refused, and the arrays
 * that are read are right: a changed element fails the archive's sum. */
static void refuses_damaged_archives(void **state) {
    (void)state;
    static const char *const names[] = {"npz_stored.npz", "npz_deflated.npz"};
    for (int i = 0; i < 2; i++) {
        unsigned char bytes[4096];
        size_t count = load(golden(names[i]), bytes, sizeof bytes);
        for (size_t n = 0; n < count; n++) {
            store(bytes, n);
            assert_null(tw_dataset_npz(context, scratch));
            assert_int_equal(tw_last_status(context), TW_ERR_FORMAT);
        }
        for (size_t at = 0; at < count; at++) {
            unsigned char bit = (unsigned char)(1 << at % 8);
            bytes[at] ^= bit;
            store(bytes, count);
            bytes[at] ^= bit;
            tw_tensor *x = tw_npz_read(context, scratch, "x");
            if (x)
                check(x, TW_F32, TW_SHAPE(6, 2));
            else
                assert_non_null(strstr(tw_message(context), scratch));
            tw_tensor_free(x);
        }
    }
}

static void columns_of_an_archive_agree(void **state) {
    (void)state;
    assert_null(tw_dataset_npz(context, golden("npz_uneven.npz")));
    assert_int_equal(tw_last_status(context), TW_ERR_SHAPE);
    assert_non_null(strstr(tw_message(context), "'label' has 5 examples, array 'x' has 6"));
    assert_null(tw_dataset_npz(context, golden("npz_scalar.npz")));
    assert_non_null(strstr(tw_message(context), "'rate' is a scalar"));
    assert_true(tw_tensor_item(tw_npz_read(context, golden("npz_scalar.npz"), "rate")) == 2.5);
    unsigned char bytes[4096];
    size_t count = load(golden("npz_stored.npz"), bytes, sizeof bytes);
    /* The end record's count of members says 0. */
    bytes[count - 22 + 10] = 0;
    store(bytes, count);
    assert_null(tw_dataset_npz(context, scratch));
    assert_non_null(strstr(tw_message(context), "no arrays"));
    bytes[count - 22 + 10] = 0xff;
    bytes[count - 22 + 11] = 0xff;
    store(bytes, count);
    assert_null(tw_dataset_npz(context, scratch));
    assert_int_equal(tw_last_status(context), TW_ERR_UNSUPPORTED);
    assert_non_null(strstr(tw_message(context), "zip64"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_every_type),
        cmocka_unit_test(reads_every_form),
        cmocka_unit_test(reads_archives),
        cmocka_unit_test(writes),
        cmocka_unit_test(refuses_bad_headers),
        cmocka_unit_test(reads_loose_headers),
        cmocka_unit_test(refuses_cut_and_changed_files),
        cmocka_unit_test(refuses_damaged_archives),
        cmocka_unit_test(columns_of_an_archive_agree),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
