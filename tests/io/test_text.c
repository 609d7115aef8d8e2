/* Text datasets: windows of bytes and of tokens. */
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
static char path[64];

static int begin(void **state) {
    (void)state;
    snprintf(path, sizeof path, "/tmp/thalweg-text-XXXXXX");
    int descriptor = mkstemp(path);
    context = tw_context_new(NULL);
    return descriptor < 0 || close(descriptor) || !context;
}

static int end(void **state) {
    (void)state;
    tw_context_free(context);
    return unlink(path);
}

static void put(const char *text) {
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static void count_is(int64_t length, int64_t stride, int64_t count) {
    tw_dataset *dataset = tw_dataset_text(context, path, length, stride, NULL);
    assert_non_null(dataset);
    assert_int_equal(tw_dataset_count(dataset), count);
    tw_dataset_free(dataset);
}

static void gives_windows_of_bytes(void **state) {
    (void)state;
    put("abcdefghi\xff");
    count_is(3, 0, 3); /* the last target is the last byte */
    count_is(4, 0, 2);
    count_is(3, 1, 7);
    count_is(9, 1, 1);
    count_is(2, 5, 2);
    tw_dataset *dataset = tw_dataset_text(context, path, 3, 0, NULL);
    assert_int_equal(tw_dataset_columns(dataset), 2);
    assert_string_equal(tw_dataset_name(dataset, 0), "tokens");
    assert_string_equal(tw_dataset_name(dataset, 1), "targets");
    assert_int_equal(tw_dataset_type(dataset, 1).dtype, TW_I32);
    assert_int_equal(tw_dataset_type(dataset, 1).shape.dim[0], 3);
    int32_t x[2][3], y[2][3];
    assert_int_equal(tw_dataset_read(dataset, 2, (int64_t[]){2, 0}, (void *[]){x, y}), TW_OK);
    const int32_t expected_x[2][3] = {{'g', 'h', 'i'}, {'a', 'b', 'c'}};
    const int32_t expected_y[2][3] = {{'h', 'i', 255}, {'b', 'c', 'd'}};
    assert_memory_equal(x, expected_x, sizeof x);
    assert_memory_equal(y, expected_y, sizeof y);
}

static void gives_windows_of_tokens(void **state) {
    (void)state;
    const char *text = "the thalweg is where the water is deepest, and where it flows fastest";
    put(text);
    tw_tokenizer *tokenizer = tw_tokenizer_new(context, "tests/golden/tokenizer/vocab.json",
                                               "tests/golden/tokenizer/merges.txt");
    assert_non_null(tokenizer);
    tw_tensor *all = tw_tokenizer_encode(tokenizer, text, strlen(text));
    const int32_t *token = tw_tensor_map(all);
    int64_t n = tw_tensor_type(all).shape.dim[0];
    assert_true(n > 8 && n < (int64_t)strlen(text));
    tw_dataset *dataset = tw_dataset_text(context, path, 4, 2, tokenizer);
    tw_tokenizer_free(tokenizer); /* the dataset has its tokens */
    assert_int_equal(tw_dataset_count(dataset), (n - 5) / 2 + 1);
    for (int64_t i = 0; i < tw_dataset_count(dataset); i++) {
        int32_t x[4], y[4];
        assert_int_equal(tw_dataset_read(dataset, 1, &i, (void *[]){x, y}), TW_OK);
        assert_memory_equal(x, token + 2 * i, sizeof x);
        assert_memory_equal(y, token + 2 * i + 1, sizeof y);
    }
    tw_dataset_free(dataset);
}

static void refuses(const char *file, int64_t length, int64_t stride, tw_status status,
                    const char *part) {
    assert_null(tw_dataset_text(context, file, length, stride, NULL));
    assert_int_equal(tw_last_status(context), status);
    if (!strstr(tw_message(context), part))
        fail_msg("%s; expected ...%s", tw_message(context), part);
}

static void refuses_what_is_wrong(void **state) {
    (void)state;
    put("abc");
    refuses(path, 3, 0, TW_ERR_FORMAT, "has 3 bytes; expected more than 3");
    refuses(path, 0, 0, TW_ERR_ARGUMENT, "length 0");
    refuses(path, 1, -1, TW_ERR_ARGUMENT, "stride -1");
    refuses(NULL, 1, 0, TW_ERR_NULL, "the path is NULL");
    refuses("/nowhere.txt", 1, 0, TW_ERR_NOT_FOUND, "'/nowhere.txt': cannot open it");
    refuses("/tmp", 1, 0, TW_ERR_IO, "no regular file");
    put("");
    refuses(path, 1, 0, TW_ERR_FORMAT, "has 0 bytes");
    tw_tokenizer *tokenizer = tw_tokenizer_new(context, "tests/golden/tokenizer/vocab.json",
                                               "tests/golden/tokenizer/merges.txt");
    assert_null(tw_dataset_text(context, path, 1, 0, tokenizer));
    assert_non_null(strstr(tw_message(context), "has 0 tokens"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(gives_windows_of_bytes, begin, end),
        cmocka_unit_test_setup_teardown(gives_windows_of_tokens, begin, end),
        cmocka_unit_test_setup_teardown(refuses_what_is_wrong, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
