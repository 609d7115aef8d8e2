/* Tokenizer files: a vocabulary, a zero byte, the merges, a zero byte, and a text to encode. Where the
 * vocabulary is empty a small one stands for it, so that merges are reached at all. */
#include <stdio.h>
#include <string.h>

#include "fuzz/fuzz.h"

/* What stands before the next zero byte; *data and *size go on behind it. */
static size_t part(const uint8_t **data, size_t *size, const uint8_t **out) {
    *out = *data;
    const uint8_t *end = *size ? memchr(*data, 0, *size) : NULL;
    size_t length = end ? (size_t)(end - *data) : *size;
    size_t skip = end ? length + 1 : length;
    *data += skip;
    *size -= skip;
    return length;
}

static void use(tw_context *context, tw_tokenizer *tokenizer, const char *text, size_t bytes) {
    tw_tensor *tokens = tw_tokenizer_encode(tokenizer, text, bytes);
    if (!tokens) {
        fuzz_expect_message(context);
        return;
    }
    const int32_t *codes = tw_tensor_map(tokens);
    int64_t n = (int64_t)(tw_tensor_bytes(tokens) / sizeof *codes);
    for (int64_t i = 0; i < n; i++)
        fuzz_expect(codes[i] >= 0 && codes[i] < tw_tokenizer_size(tokenizer),
                    "tokens of the vocabulary");
    char *again = tw_tokenizer_decode(tokenizer, n, codes);
    if (!again) fuzz_expect_message(context);
    if (again && !memchr(text, 0, bytes))
        fuzz_expect(strlen(again) == bytes && !memcmp(again, text, bytes),
                    "what is encoded decodes to itself");
    tw_string_free(context, again);
    tw_tensor_free(tokens);
}

/* GPT-2's letters: a printable byte stands for itself, the others for 256, 257, ... */
static size_t make_vocabulary(char *out, size_t capacity) {
    static const char *const joined[] = {"aa", "ab",   "aaa",      "aba", "aaaa",
                                         "he", "hell", "\\u0120a", "12",  "\\u0120\\u0120"};
    size_t at = 0;
    int others = 0;
    for (int byte = 0; byte < 256; byte++) {
        bool printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte != 173);
        int letter = printable ? byte : 256 + others++;
        at += (size_t)snprintf(out + at, capacity - at, "%c\"\\u%04x\":%d", byte ? ',' : '{',
                               (unsigned)letter, byte);
    }
    for (size_t i = 0; i < sizeof joined / sizeof joined[0]; i++)
        at += (size_t)snprintf(out + at, capacity - at, ",\"%s\":%zu", joined[i], 256 + i);
    return at + (size_t)snprintf(out + at, capacity - at, "}");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const uint8_t *vocabulary, *merges;
    size_t vocabulary_size = part(&data, &size, &vocabulary);
    size_t merges_size = part(&data, &size, &merges);
    fuzz_file files[2];
    char small[8192];
    if (!vocabulary_size) {
        vocabulary_size = make_vocabulary(small, sizeof small);
        vocabulary = (const uint8_t *)small;
    }
    fuzz_file_begin(&files[0], vocabulary, vocabulary_size);
    fuzz_file_begin(&files[1], merges, merges_size);
    tw_context *context = tw_context_new(NULL);
    tw_tokenizer *tokenizer = tw_tokenizer_new(context, files[0].path, files[1].path);
    if (!tokenizer) fuzz_expect_message(context);
    if (tokenizer) use(context, tokenizer, size ? (const char *)data : "", size);
    tw_tokenizer_free(tokenizer);
    tw_context_free(context);
    for (int i = 0; i < 2; i++) fuzz_file_end(&files[i]);
    return 0;
}
