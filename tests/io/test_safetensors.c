/* Stores as safetensors files: round trips, and files that lie. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <thalweg/run.h>
#include <unistd.h>

enum { FILE_AT_MOST = 4096 };

static tw_context *context;
static char folder[64], path[96], other[96];

static int begin(void **state) {
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/thalweg-safetensors-XXXXXX");
    if (!mkdtemp(folder)) return 1;
    snprintf(path, sizeof path, "%s/a.safetensors", folder);
    snprintf(other, sizeof other, "%s/b.safetensors", folder);
    context = tw_context_new(NULL);
    return !context;
}

/* Only the two files may be there: nothing written aside is left. */
static int end(void **state) {
    (void)state;
    tw_context_free(context);
    unlink(path);
    unlink(other);
    return rmdir(folder);
}

static void set(tw_store *store, const char *name, tw_dtype dtype, tw_shape shape,
                const void *data) {
    tw_tensor *tensor = tw_tensor_new(context, dtype, shape);
    assert_non_null(tensor);
    size_t bytes = tw_tensor_bytes(tensor);
    if (bytes) assert_int_equal(tw_tensor_put(tensor, data, bytes), TW_OK);
    assert_int_equal(tw_store_set(store, name, tensor), TW_OK);
    tw_tensor_free(tensor);
}

static tw_store *make_store(void) {
    tw_store *store = tw_store_new(context, NULL);
    assert_non_null(store);
    const float f32[] = {1.5f, -2.25f, 3e-30f, 0, -0.0f, 1e30f};
    const double f64[] = {0.1};
    const int64_t i64[] = {INT64_MIN, INT64_MAX};
    const int32_t i32[] = {-7};
    const uint32_t u32[] = {0xfffffffeu};
    const unsigned char bytes[] = {0, 1, 255}, bools[] = {1, 0, 1};
    set(store, "h0/ln1/weight", TW_F32, TW_SHAPE(2, 3), f32);
    set(store, "flags", TW_BOOL, TW_SHAPE(3), bools);
    set(store, "bytes", TW_U8, TW_SHAPE(3), bytes);
    set(store, "optimizer/step", TW_I64, TW_SHAPE(2), i64);
    set(store, "scalar", TW_F64, TW_SHAPE(), f64);
    set(store, "count", TW_I32, TW_SHAPE(1, 1), i32);
    set(store, "unsigned \"quoted\"", TW_U32, TW_SHAPE(), u32);
    set(store, "empty", TW_F32, TW_SHAPE(0, 4), NULL);
    return store;
}

static void assert_stores_equal(tw_store *a, tw_store *b) {
    assert_int_equal(tw_store_size(a), tw_store_size(b));
    for (int i = 0; i < tw_store_size(a); i++) {
        tw_tensor *left = tw_store_get(a, tw_store_path(a, i));
        tw_tensor *right = tw_store_get(b, tw_store_path(a, i));
        assert_non_null(left);
        assert_non_null(right);
        tw_type want = tw_tensor_type(left), have = tw_tensor_type(right);
        assert_int_equal(want.dtype, have.dtype);
        assert_int_equal(want.shape.rank, have.shape.rank);
        assert_memory_equal(want.shape.dim, have.shape.dim, sizeof want.shape.dim);
        size_t bytes = tw_tensor_bytes(left);
        if (bytes) assert_memory_equal(tw_tensor_map(left), tw_tensor_map(right), bytes);
        tw_tensor_free(left);
        tw_tensor_free(right);
    }
}

static size_t read_file(const char *from, unsigned char bytes[FILE_AT_MOST]) {
    FILE *file = fopen(from, "rb");
    assert_non_null(file);
    size_t count = fread(bytes, 1, FILE_AT_MOST, file);
    fclose(file);
    assert_in_range(count, 1, FILE_AT_MOST - 1);
    return count;
}

static void write_file(const void *bytes, size_t count) {
    FILE *file = fopen(other, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, count, file), count);
    fclose(file);
}

/* The bytes are refused, and the store stays as it was. */
static void refuses_bytes(const void *bytes, size_t count, tw_status status) {
    tw_store *store = tw_store_new(context, NULL);
    write_file(bytes, count);
    assert_int_equal(tw_store_load(store, other), status);
    assert_int_equal(tw_store_size(store), 0);
    assert_non_null(strstr(tw_message(context), other));
    tw_store_free(store);
}

static size_t make_file(unsigned char bytes[FILE_AT_MOST], const char *header, size_t elements) {
    size_t length = strlen(header);
    memset(bytes, 0, FILE_AT_MOST);
    for (int i = 0; i < 8; i++) bytes[i] = (unsigned char)(length >> 8 * i);
    memcpy(bytes + 8, header, length);
    return 8 + length + elements;
}

static void refuses(const char *header, size_t elements, tw_status status) {
    unsigned char bytes[FILE_AT_MOST];
    refuses_bytes(bytes, make_file(bytes, header, elements), status);
}

static void round_trip(void **state) {
    (void)state;
    tw_store *first = make_store(), *second = tw_store_new(context, NULL);
    assert_int_equal(tw_store_save(first, path), TW_OK);
    assert_int_equal(tw_store_load(second, path), TW_OK);
    assert_stores_equal(first, second);
    assert_int_equal(tw_store_save(second, other), TW_OK);
    unsigned char a[FILE_AT_MOST], b[FILE_AT_MOST];
    size_t count = read_file(path, a);
    assert_int_equal(read_file(other, b), count);
    assert_memory_equal(a, b, count);
    uint64_t header = 0;
    for (int i = 7; i >= 0; i--) header = header << 8 | a[i];
    assert_int_equal(header % 8, 0);
    assert_int_equal(a[8], '{');
    assert_int_equal(tw_store_load(second, path), TW_OK); /* onto what is there */
    assert_stores_equal(first, second);
}

static void empty_store(void **state) {
    (void)state;
    tw_store *store = tw_store_new(context, NULL);
    assert_int_equal(tw_store_save(store, path), TW_OK);
    assert_int_equal(tw_store_load(store, path), TW_OK);
    assert_int_equal(tw_store_size(store), 0);
}

static void foreign_file(void **state) {
    (void)state;
    unsigned char bytes[FILE_AT_MOST];
    size_t count = make_file(bytes,
                             "{\"b\":{\"data_offsets\":[4,12],\"shape\":[2],\"dtype\":\"F32\"},"
                             "\"a/b/c\":{\"dtype\":\"I32\",\"shape\":[],\"data_offsets\":[0,4]},"
                             "\"__metadata__\":{\"format\":\"pt\"}}  \n",
                             12);
    bytes[count - 12] = 42;
    tw_store *store = tw_store_new(context, NULL);
    write_file(bytes, count);
    assert_int_equal(tw_store_load(store, other), TW_OK);
    assert_int_equal(tw_store_size(store), 2);
    tw_tensor *tensor = tw_store_get(store, "a/b/c");
    assert_true(tw_tensor_item(tensor) == 42);
    tw_tensor_free(tensor);
}

static void cut_at_every_byte(void **state) {
    (void)state;
    unsigned char bytes[FILE_AT_MOST];
    assert_int_equal(tw_store_save(make_store(), path), TW_OK);
    size_t count = read_file(path, bytes);
    for (size_t n = 0; n < count; n++) refuses_bytes(bytes, n, TW_ERR_FORMAT);
    bytes[count] = 0;
    refuses_bytes(bytes, count + 1, TW_ERR_FORMAT);
}

/* Whatever one byte of the header becomes, loading gives an answer. */
static void changed_bytes(void **state) {
    (void)state;
    unsigned char bytes[FILE_AT_MOST];
    tw_store *small = tw_store_new(context, NULL);
    set(small, "a", TW_F32, TW_SHAPE(2), (float[]){1, 2});
    set(small, "b", TW_I64, TW_SHAPE(1), (int64_t[]){3});
    assert_int_equal(tw_store_save(small, path), TW_OK);
    size_t count = read_file(path, bytes);
    for (size_t n = 0; n < count - 16; n++) {
        unsigned char kept = bytes[n];
        const unsigned char changes[] = {0, '0', '9', '-', '"', '{', ']', ',', '\\', 0xff};
        for (size_t i = 0; i < sizeof changes; i++) {
            bytes[n] = changes[i];
            write_file(bytes, count);
            tw_store *store = tw_store_new(context, NULL);
            tw_status status = tw_store_load(store, other);
            assert_true(status == TW_OK || tw_store_size(store) == 0);
            tw_store_free(store);
        }
        bytes[n] = kept;
    }
}

static void lying_offsets(void **state) {
    (void)state;
#define F32(name, shape, offsets)                                                                  \
    "\"" name "\":{\"dtype\":\"F32\",\"shape\":[" shape "],\"data_offsets\":[" offsets "]}"
    refuses("{" F32("a", "2", "0,8") "," F32("b", "2", "4,12") "}", 12, TW_ERR_FORMAT);
    refuses("{" F32("a", "2", "0,8") "," F32("b", "2", "0,8") "}", 8, TW_ERR_FORMAT);
    refuses("{" F32("a", "1", "0,4") "," F32("b", "1", "8,12") "}", 12, TW_ERR_FORMAT);
    refuses("{" F32("a", "1", "4,8") "}", 8, TW_ERR_FORMAT);
    refuses("{" F32("a", "1", "0,4") "}", 8, TW_ERR_FORMAT);
    refuses("{" F32("a", "1", "0,8") "}", 8, TW_ERR_FORMAT);
    refuses("{" F32("a", "1", "4,0") "}", 4, TW_ERR_FORMAT);
    refuses("{" F32("a", "1", "-4,0") "}", 4, TW_ERR_FORMAT);
    refuses("{" F32("a", "1", "0.5,4.5") "}", 4, TW_ERR_FORMAT);
    refuses("{" F32("a", "1", "0,1e300") "}", 4, TW_ERR_FORMAT);
    refuses("{" F32("a", "1", "0,4,8") "}", 4, TW_ERR_FORMAT);
    refuses("{" F32("a", "4294967296,4294967296,4294967296", "0,4") "}", 4, TW_ERR_FORMAT);
    refuses("{" F32("a", "-1,-1", "0,4") "}", 4, TW_ERR_FORMAT);
    refuses("{" F32("a", "1,1,1,1,1,1,1,1,1", "0,4") "}", 4, TW_ERR_UNSUPPORTED);
    refuses("{" F32("a", "1", "0,4") "," F32("a", "1", "4,8") "}", 8, TW_ERR_FORMAT);
    refuses("{" F32("", "1", "0,4") "}", 4, TW_ERR_FORMAT);
    refuses("{" F32("a\\u0000b", "1", "0,4") "}", 4, TW_ERR_FORMAT);
    refuses("{" F32("a", "1", "0,4") "} x", 4, TW_ERR_FORMAT);
#undef F32
}

/* A header of a million pairs would keep a reader busy for an hour. */
static void too_much_metadata(void **state) {
    (void)state;
    enum { PAIRS = 1000000 };
    FILE *file = fopen(path, "wb");
    const char before[] = "{\"__metadata__\":{", after[] = "}}";
    uint64_t length = sizeof before + sizeof after - 2 + 12 * PAIRS - 1;
    for (int i = 0; i < 8; i++) fputc((int)(length >> 8 * i & 255), file);
    fputs(before, file);
    for (int i = 0; i < PAIRS; i++) fprintf(file, "%s\"%06d\":\"\"", i ? "," : "", i);
    fputs(after, file);
    assert_int_equal(fclose(file), 0);
    tw_store *store = tw_store_new(context, NULL);
    assert_int_equal(tw_store_load(store, path), TW_ERR_UNSUPPORTED);
    assert_non_null(strstr(tw_message(context), "1000000 pairs"));
    tw_store_free(store);
}

static void lying_headers(void **state) {
    (void)state;
    refuses("", 0, TW_ERR_FORMAT);
    refuses("[]", 0, TW_ERR_FORMAT);
    refuses(" {}", 0, TW_ERR_FORMAT);
    refuses("{", 0, TW_ERR_FORMAT);
    refuses("{\"a\":1}", 0, TW_ERR_FORMAT);
    refuses("{\"a\":{}}", 0, TW_ERR_FORMAT);
    refuses("{\"a\":{\"dtype\":\"F32\",\"shape\":[0]}}", 0, TW_ERR_FORMAT);
    refuses("{\"a\":{\"dtype\":4,\"shape\":[0],\"data_offsets\":[0,0]}}", 0, TW_ERR_FORMAT);
    refuses("{\"a\":{\"dtype\":\"F32\",\"shape\":0,\"data_offsets\":[0,0]}}", 0, TW_ERR_FORMAT);
    refuses("{\"a\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":0}}", 0, TW_ERR_FORMAT);
    refuses("{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[0]}}", 0, TW_ERR_FORMAT);
    refuses("{\"a\":{\"dtype\":\"C64\",\"shape\":[0],\"data_offsets\":[0,0]}}", 0,
            TW_ERR_UNSUPPORTED);
    refuses("{\"__metadata__\":[]}", 0, TW_ERR_FORMAT);
    refuses("{\"__metadata__\":{\"a\":1}}", 0, TW_ERR_FORMAT);
    unsigned char bytes[FILE_AT_MOST];
    size_t count = make_file(bytes,
                             "{\"a\":{\"dtype\":\"BOOL\",\"shape\":[1],"
                             "\"data_offsets\":[0,1]}}",
                             1);
    bytes[count - 1] = 2;
    refuses_bytes(bytes, count, TW_ERR_FORMAT);
    memset(bytes, 0xff, 16);
    refuses_bytes(bytes, 16, TW_ERR_FORMAT);
    char deep[2001];
    for (int i = 0; i < 1000; i++) memcpy(deep + 5 * i % 2000, "{\"a\":", 5);
    deep[2000] = '\0';
    refuses(deep, 0, TW_ERR_FORMAT);
}

/* Another type or shape in the store: nothing of the file is taken. */
static void other_types(void **state) {
    (void)state;
    tw_store *first = make_store(), *second = tw_store_new(context, NULL);
    assert_int_equal(tw_store_save(first, path), TW_OK);
    set(second, "scalar", TW_F64, TW_SHAPE(2), (double[]){1, 2});
    assert_int_equal(tw_store_load(second, path), TW_ERR_SHAPE);
    assert_int_equal(tw_store_size(second), 1);
    tw_store *third = tw_store_new(context, NULL);
    set(third, "count", TW_F32, TW_SHAPE(1, 1), (float[]){1});
    assert_int_equal(tw_store_load(third, path), TW_ERR_TYPE);
    assert_non_null(strstr(tw_message(context), "count"));
    assert_int_equal(tw_store_size(third), 1);
}

static void bad_paths(void **state) {
    (void)state;
    tw_store *store = make_store();
    assert_int_equal(tw_store_load(store, "/nowhere/at-all"), TW_ERR_NOT_FOUND);
    assert_int_equal(tw_store_load(store, folder), TW_ERR_IO);
    assert_int_equal(tw_store_load(store, NULL), TW_ERR_NULL);
    assert_int_equal(tw_store_load(NULL, path), TW_ERR_NULL);
    assert_int_equal(tw_store_save(store, "/nowhere/at-all"), TW_ERR_NOT_FOUND);
    assert_int_equal(tw_store_save(store, NULL), TW_ERR_NULL);
    assert_int_equal(tw_store_save(NULL, path), TW_ERR_NULL);
}

/* A save that fails leaves the old file. */
static void failed_save(void **state) {
    (void)state;
    unsigned char before[FILE_AT_MOST], after[FILE_AT_MOST];
    tw_store *store = make_store();
    assert_int_equal(tw_store_save(store, path), TW_OK);
    size_t count = read_file(path, before);
    /* A file system that is full after 100 bytes, as the limit of a process has it. */
    struct rlimit kept, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &kept), 0);
    small = (struct rlimit){.rlim_cur = 100, .rlim_max = kept.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    tw_status status = tw_store_save(store, path);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &kept), 0);
    assert_int_equal(status, TW_ERR_IO);
    assert_non_null(strstr(tw_message(context), path));
    assert_int_equal(read_file(path, after), count);
    assert_memory_equal(before, after, count);
}

/* What a killed save left is removed by the next one, and nothing else is. */
static void stale_files(void **state) {
    (void)state;
    tw_store *store = make_store();
    static const struct {
        const char *suffix;
        bool stale;
    } files[] = {{".0123abcd.tmp", true},   {".ffffffff.tmp", true}, {".tmp", false},
                 {".0123abcg.tmp", false},  {".0123abcd", false},    {".0123abcde.tmp", false},
                 {"x.0123abcd.tmp", false}, {".old", false}};
    char name[128];
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        snprintf(name, sizeof name, "%s%s", path, files[i].suffix);
        fclose(fopen(name, "w"));
    }
    assert_int_equal(tw_store_save(store, path), TW_OK);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        snprintf(name, sizeof name, "%s%s", path, files[i].suffix);
        assert_int_equal(unlink(name) != 0, files[i].stale);
    }
}

/* A name that JSON cannot carry would make a file that others refuse. */
static void names_in_other_codes(void **state) {
    (void)state;
    static const char *const bad[] = {"\xff",         "a\xc3",        "\xc0\x80",
                                      "\xe0\x9f\xbf", "\xed\xa0\x80", "\xf4\x90\x80\x80",
                                      "__metadata__"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        tw_store *store = tw_store_new(context, NULL);
        set(store, bad[i], TW_F32, TW_SHAPE(), (float[]){1});
        assert_int_equal(tw_store_save(store, path), TW_ERR_ARGUMENT);
        tw_store_free(store);
    }
    tw_store *store = tw_store_new(context, NULL), *again = tw_store_new(context, NULL);
    set(store, "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", TW_F32, TW_SHAPE(), (float[]){1});
    assert_int_equal(tw_store_save(store, path), TW_OK);
    assert_int_equal(tw_store_load(again, path), TW_OK);
    assert_stores_equal(store, again);
}

/* Devices and folders stay what they are. */
static void not_a_file(void **state) {
    (void)state;
    tw_store *store = make_store();
    assert_int_equal(tw_store_save(store, folder), TW_ERR_IO);
    snprintf(other, sizeof other, "%s/pipe", folder);
    assert_int_equal(mkfifo(other, 0600), 0);
    assert_int_equal(tw_store_save(store, other), TW_ERR_IO);
    struct stat facts;
    assert_int_equal(stat(other, &facts), 0);
    assert_true(S_ISFIFO(facts.st_mode));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(round_trip, begin, end),
        cmocka_unit_test_setup_teardown(empty_store, begin, end),
        cmocka_unit_test_setup_teardown(foreign_file, begin, end),
        cmocka_unit_test_setup_teardown(cut_at_every_byte, begin, end),
        cmocka_unit_test_setup_teardown(changed_bytes, begin, end),
        cmocka_unit_test_setup_teardown(lying_offsets, begin, end),
        cmocka_unit_test_setup_teardown(too_much_metadata, begin, end),
        cmocka_unit_test_setup_teardown(lying_headers, begin, end),
        cmocka_unit_test_setup_teardown(other_types, begin, end),
        cmocka_unit_test_setup_teardown(bad_paths, begin, end),
        cmocka_unit_test_setup_teardown(failed_save, begin, end),
        cmocka_unit_test_setup_teardown(stale_files, begin, end),
        cmocka_unit_test_setup_teardown(names_in_other_codes, begin, end),
        cmocka_unit_test_setup_teardown(not_a_file, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
