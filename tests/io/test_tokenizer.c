/* Byte-pair encoding against another implementation, over any bytes, and every refusal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <thalweg/data.h>
#include <thalweg/graph.h>
#include <unistd.h>

#include "base/number.h"
#include "io/pretoken.h"

#define VOCABULARY "tests/golden/tokenizer/vocab.json"
#define MERGES "tests/golden/tokenizer/merges.txt"

static tw_context *context;
static char path[64];

static int begin(void **state) {
    (void)state;
    snprintf(path, sizeof path, "/tmp/thalweg-bpe-XXXXXX");
    int descriptor = mkstemp(path);
    context = tw_context_new(NULL);
    return descriptor < 0 || close(descriptor) || !context;
}

static int end(void **state) {
    (void)state;
    tw_context_free(context);
    return unlink(path);
}

static tw_tokenizer *golden(void) {
    tw_tokenizer *tokenizer = tw_tokenizer_new(context, VOCABULARY, MERGES);
    if (!tokenizer) fail_msg("%s", tw_message(context));
    return tokenizer;
}

/* One line of the golden file: the text in hexadecimal, then its tokens. */
static void encodes_line(tw_tokenizer *tokenizer, char *line) {
    char *at = strchr(line, ' '), text[1024];
    assert_non_null(at);
    size_t length = line[0] == '-' ? 0 : (size_t)(at - line) / 2;
    for (size_t i = 0; i < length; i++) {
        unsigned byte;
        assert_int_equal(sscanf(line + 2 * i, "%2x", &byte), 1);
        text[i] = (char)byte;
    }
    tw_tensor *tokens = tw_tokenizer_encode(tokenizer, text, length);
    assert_non_null(tokens);
    assert_int_equal(tw_tensor_type(tokens).dtype, TW_I32);
    assert_int_equal(tw_tensor_type(tokens).shape.rank, 1);
    int64_t count = tw_tensor_type(tokens).shape.dim[0], n = 0;
    const int32_t *token = tw_tensor_map(tokens);
    for (char *stop;; at = stop, n++) {
        long expected = strtol(at, &stop, 10);
        if (stop == at) break;
        if (n >= count || token[n] != expected) fail_msg("token %d of %s", (int)n, line);
    }
    assert_int_equal(n, count);
    char *back = tw_tokenizer_decode(tokenizer, count, token);
    assert_non_null(back);
    assert_memory_equal(back, text, length);
    assert_int_equal(back[length], 0);
    tw_string_free(context, back);
    tw_tensor_free(tokens);
}

static void encodes_as_others_do(void **state) {
    (void)state;
    tw_tokenizer *tokenizer = golden();
    assert_int_equal(tw_tokenizer_size(tokenizer), 420);
    for (int pass = 0; pass < 2; pass++) { /* then from the words kept */
        FILE *file = fopen("tests/golden/tokenizer/encodings.txt", "r");
        assert_non_null(file);
        char line[8192];
        int lines = 0;
        for (; fgets(line, sizeof line, file); lines++) encodes_line(tokenizer, line);
        assert_true(lines > 90);
        fclose(file);
    }
    tw_tokenizer_free(tokenizer);
}

static void returns(tw_tokenizer *tokenizer, const char *text, size_t length) {
    tw_tensor *tokens = tw_tokenizer_encode(tokenizer, text, length);
    assert_non_null(tokens);
    char *back =
        tw_tokenizer_decode(tokenizer, tw_tensor_type(tokens).shape.dim[0], tw_tensor_map(tokens));
    assert_non_null(back);
    assert_memory_equal(back, text, length);
    tw_string_free(context, back);
    tw_tensor_free(tokens);
}

/* Malformed UTF-8 too; the length of the text in memory is exact, so that the sanitizer sees
 * every read past it. */
static void gives_any_bytes_back(void **state) {
    (void)state;
    tw_tokenizer *tokenizer = golden();
    for (uint64_t i = 0; i < 400; i++) {
        size_t length = 1 + (size_t)(i % 97);
        char *text = malloc(length);
        assert_non_null(text);
        for (size_t k = 0; k < length; k++) {
            uint32_t word[4];
            philox(3, i, k, word);
            text[k] = (char)(word[0] % 3 ? word[1] : word[1] % 128);
        }
        returns(tokenizer, text, length);
        free(text);
    }
    const char *cut[] = {"\xe6\xb2", "\xf0\x9f\x98", "\xc3", "\xed\xa0\x80", "\xc0\xaf", "\xff "};
    for (size_t i = 0; i < sizeof cut / sizeof *cut; i++) {
        char *copy = malloc(strlen(cut[i]));
        memcpy(copy, cut[i], strlen(cut[i]));
        returns(tokenizer, copy, strlen(cut[i]));
        free(copy);
    }
}

/* One word of a million bytes is no slower than many words of as many. */
static void joins_long_words(void **state) {
    (void)state;
    tw_tokenizer *tokenizer = golden();
    size_t length = 1000000;
    char *text = malloc(length);
    for (size_t i = 0; i < length; i++) text[i] = "thalweg"[i % 7];
    returns(tokenizer, text, length);
    free(text);
}

static void splits(const char *text, const char *expected) {
    char found[256] = "";
    const char *end = text + strlen(text);
    for (const char *at = text; at < end;) {
        const char *stop = pretoken_end(at, end);
        snprintf(found + strlen(found), sizeof found - strlen(found), "[%.*s]", (int)(stop - at),
                 at);
        at = stop;
    }
    assert_string_equal(found, expected);
}

static void splits_into_words(void **state) {
    (void)state;
    splits("Hello, world!", "[Hello][,][ world][!]");
    splits("we've  gone   42km", "[we]['ve][ ][ gone][  ][ 42][km]");
    splits("a \n b", "[a][ \n][ b]");
    splits("a\nb", "[a][\n][b]");
    splits("x  ", "[x][  ]");
    splits("' 's 'S", "['][ '][s][ '][S]");
}

static void put(const char *text) {
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static void refuses(const char *vocabulary, const char *merges, tw_status status,
                    const char *part) {
    assert_null(tw_tokenizer_new(context, vocabulary, merges));
    const char *message = tw_message(context);
    if (tw_last_status(context) != status || !strstr(message, part))
        fail_msg("%d %s; expected %d ...%s", tw_last_status(context), message, status, part);
}

/* The golden vocabulary with its first occurrence of `old` replaced. */
static void put_vocabulary(const char *old, const char *new) {
    static char text[1 << 15], changed[1 << 15];
    FILE *file = fopen(VOCABULARY, "rb");
    assert_non_null(file);
    text[fread(text, 1, sizeof text - 1, file)] = 0;
    fclose(file);
    char *at = strstr(text, old);
    assert_non_null(at);
    snprintf(changed, sizeof changed, "%.*s%s%s", (int)(at - text), text, new, at + strlen(old));
    put(changed);
}

static void refuses_bad_vocabularies(void **state) {
    (void)state;
    refuses(NULL, MERGES, TW_ERR_NULL, "no path of the vocabulary");
    refuses(VOCABULARY, NULL, TW_ERR_NULL, "no path of the merges");
    refuses("/nowhere.json", MERGES, TW_ERR_NOT_FOUND, "'/nowhere.json': cannot open it");
    refuses("/tmp", MERGES, TW_ERR_IO, "expected a regular file");
    put("{\"a\": 0,");
    refuses(path, MERGES, TW_ERR_FORMAT, "no well-formed JSON");
    refuses(path, MERGES, TW_ERR_FORMAT, path);
    put("[1, 2]");
    refuses(path, MERGES, TW_ERR_FORMAT, "expected a JSON object");
    put("{\"a\": 0}");
    refuses(path, MERGES, TW_ERR_FORMAT, "at least 256 tokens");
    put_vocabulary("\"!\":0", "\"!\":420");
    refuses(path, MERGES, TW_ERR_FORMAT, "token '!': expected a whole number from 0 to 419");
    put_vocabulary("\"!\":0", "\"!\":0.5");
    refuses(path, MERGES, TW_ERR_FORMAT, "token '!': expected a whole number");
    put_vocabulary("\"!\":0", "\"!\":\"0\"");
    refuses(path, MERGES, TW_ERR_FORMAT, "token '!': expected a whole number");
    put_vocabulary("\"!\":0", "\"!\":1");
    refuses(path, MERGES, TW_ERR_FORMAT, "number 1 twice");
    put_vocabulary("\"!\":0", "\"#\":0");
    refuses(path, MERGES, TW_ERR_FORMAT, "twice; expected each once");
    put_vocabulary("\"!\":0", "\"!!\":0");
    refuses(path, MERGES, TW_ERR_FORMAT, "no token for the byte 0x21");
    put_vocabulary("\"!\":0", "\"! \":0");
    refuses(path, MERGES, TW_ERR_FORMAT, "token '! ': a character that stands for no byte");
    put_vocabulary("\"!\":0", "\"\xe6\xb2\xb3\":0");
    refuses(path, MERGES, TW_ERR_FORMAT, "a character that stands for no byte");
    put_vocabulary("\"!\":0", "\"\":0");
    refuses(path, MERGES, TW_ERR_FORMAT, "token '': empty");
}

static void refuses_bad_merges(void **state) {
    (void)state;
    refuses(VOCABULARY, "/nowhere.txt", TW_ERR_NOT_FOUND, "'/nowhere.txt': cannot open it");
    put("#version: 0.2\nh e\nth\n");
    refuses(VOCABULARY, path, TW_ERR_FORMAT, "line 3: 'th'; expected two tokens");
    put("t h e\n");
    refuses(VOCABULARY, path, TW_ERR_FORMAT, "line 1: 't h e'; expected two tokens");
    put("#version: 0.2\nzq h\n");
    refuses(VOCABULARY, path, TW_ERR_FORMAT, "line 2: 'zq h': the first is no token");
    put("h zq\n");
    refuses(VOCABULARY, path, TW_ERR_FORMAT, "the second is no token");
    put("z q\n");
    refuses(VOCABULARY, path, TW_ERR_FORMAT, "what they make is no token");
    put("h e\r\nh e\n");
    refuses(VOCABULARY, path, TW_ERR_FORMAT, "line 2: 'h e' for the second time");
    put(""); /* no pairs: bytes */
    tw_tokenizer *tokenizer = tw_tokenizer_new(context, VOCABULARY, path);
    assert_non_null(tokenizer);
    tw_tensor *tokens = tw_tokenizer_encode(tokenizer, "the", 3);
    assert_int_equal(tw_tensor_type(tokens).shape.dim[0], 3);
}

static void refuses_bad_tokens(void **state) {
    (void)state;
    tw_tokenizer *tokenizer = golden();
    assert_null(tw_tokenizer_decode(tokenizer, 2, (int32_t[]){0, 420}));
    assert_int_equal(tw_last_status(context), TW_ERR_INDEX);
    assert_non_null(strstr(tw_message(context), "token 1 is 420; expected 0 to 419"));
    assert_null(tw_tokenizer_decode(tokenizer, 1, (int32_t[]){-1}));
    assert_null(tw_tokenizer_decode(tokenizer, 1, NULL));
    assert_null(tw_tokenizer_encode(tokenizer, NULL, 1));
    char *nothing = tw_tokenizer_decode(tokenizer, 0, NULL);
    assert_string_equal(nothing, "");
    tw_string_free(context, nothing);
}

/* ---- memory that runs out ---- */

static int64_t calls_left, blocks_held;

static void *fail_in_time(void *user, void *old, size_t bytes) {
    (void)user;
    if (bytes && calls_left-- <= 0) return NULL;
    blocks_held += (old ? 0 : bytes > 0) - (old && !bytes);
    if (bytes) return realloc(old, bytes);
    free(old);
    return NULL;
}

/* The first allocation fails, the second, ...: an error each time, and nothing is lost. */
static void says_when_memory_is_out(void **state) {
    (void)state;
    const char *text = "the thalweg is where the river is deepest; it flows fastest there";
    bool good = false;
    for (int64_t n = 0; !good; n++) {
        calls_left = INT64_MAX;
        tw_context *small = tw_context_new(&(tw_context_opts){.allocate = fail_in_time});
        assert_non_null(small);
        calls_left = n;
        tw_tokenizer *tokenizer = tw_tokenizer_new(small, VOCABULARY, MERGES);
        if (!tokenizer) assert_int_equal(tw_last_status(small), TW_ERR_MEMORY);
        for (int i = 0; i < 2 && tokenizer; i++) { /* what failed once works later */
            tw_tensor *tokens = tw_tokenizer_encode(tokenizer, text, strlen(text));
            char *back = NULL;
            if (tokens)
                back = tw_tokenizer_decode(tokenizer, tw_tensor_type(tokens).shape.dim[0],
                                           tw_tensor_map(tokens));
            if (!back)
                assert_int_equal(tw_last_status(small), TW_ERR_MEMORY);
            else
                assert_string_equal(back, text);
            good = good || (back && i == 0);
            tw_string_free(small, back);
            tw_tensor_free(tokens);
            calls_left = INT64_MAX;
            if (i) assert_non_null(back);
        }
        tw_tokenizer_free(tokenizer);
        tw_context_free(small);
        assert_int_equal(blocks_held, 0);
        assert_true(good || n < 500);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(encodes_as_others_do, begin, end),
        cmocka_unit_test_setup_teardown(gives_any_bytes_back, begin, end),
        cmocka_unit_test_setup_teardown(joins_long_words, begin, end),
        cmocka_unit_test_setup_teardown(splits_into_words, begin, end),
        cmocka_unit_test_setup_teardown(refuses_bad_vocabularies, begin, end),
        cmocka_unit_test_setup_teardown(refuses_bad_merges, begin, end),
        cmocka_unit_test_setup_teardown(refuses_bad_tokens, begin, end),
        cmocka_unit_test_setup_teardown(says_when_memory_is_out, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
