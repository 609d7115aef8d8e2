/*
 * Byte-pair encoding (Sennrich et al. 2016) over bytes, as GPT-2 does it (Radford et al. 2019):
 *
 *     vocab.json   {"token": number, ...}, each byte of a token written as a printable character
 *     merges.txt   a pair of tokens in each line, the most urgent first
 *
 * A word starts as its bytes; the most urgent pair in it is joined, the leftmost of equals, until
 * no pair is in the list.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <thalweg/data.h>
#include <unistd.h>

#include <cJSON.h>

#include "base/text.h"
#include "base/vector.h"
#include "io/pretoken.h"
#include "io/spelling.h"

enum {
    BYTES = 256,
    FILE_AT_MOST = 256 << 20,
    WORDS_KEPT = 1 << 16,
    WORD_KEPT_BYTES = 64,
    CHARACTERS = 0x180 /* characters below stand for bytes */
};

typedef struct merge {
    uint64_t pair; /* left << 32 | right, plus 1; 0: an empty slot */
    int32_t rank, token;
} merge;

typedef struct token_list {
    int32_t *at;
    size_t count, capacity;
} token_list;

/* A piece of a word that is being joined; a joined piece leaves the list. */
typedef struct piece {
    int32_t token; /* -1: joined to the one before */
    uint32_t previous, next;
} piece;

struct tw_tokenizer {
    object object;
    spelling_table tokens; /* bytes of each, in the file's order */
    int32_t *numbers;      /* of tokens[i] */
    uint32_t *order;       /* which of tokens[] has this number */
    int32_t byte_token[BYTES];
    merge *merges;
    size_t merge_mask;
    /* Words seen before: their tokens are kept[from[i]] to kept[from[i + 1] - 1]. */
    spelling_table words;
    struct {
        size_t *at;
        size_t count, capacity;
    } from;
    token_list kept;
    piece *pieces;
    size_t piece_room;
    struct {
        uint64_t *at; /* rank << 32 | position, a binary heap */
        size_t count, capacity;
    } heap;
};

static void tokenizer_destroy(object *head) {
    tw_tokenizer *t = (tw_tokenizer *)head;
    spelling_end(&t->tokens);
    spelling_end(&t->words);
    context_release(head->context, t->numbers);
    context_release(head->context, t->order);
    context_release(head->context, t->merges);
    context_release(head->context, t->from.at);
    context_release(head->context, t->kept.at);
    context_release(head->context, t->pieces);
    context_release(head->context, t->heap.at);
}

/* ---- the two files ---- */

static tw_status refuse_system(tw_context *context, const char *path, const char *what) {
    return context_error(context,
                         errno == ENOENT || errno == ENOTDIR ? TW_ERR_NOT_FOUND : TW_ERR_IO,
                         "tokenizer file '%s': %s: %s", path, what, strerror(errno));
}

static tw_status read_whole(tw_context *context, const char *path, int descriptor, char **out,
                            size_t *length) {
    struct stat facts;
    if (fstat(descriptor, &facts)) return refuse_system(context, path, "cannot ask its size");
    if (!S_ISREG(facts.st_mode) || facts.st_size > FILE_AT_MOST)
        return context_error(context, TW_ERR_IO,
                             "tokenizer file '%s': expected a regular file of at most %d MB", path,
                             FILE_AT_MOST >> 20);
    *out = context_allocate(context, (size_t)facts.st_size + 1, 1);
    if (!*out) return TW_ERR_MEMORY;
    while (*length < (size_t)facts.st_size) {
        ssize_t got = read(descriptor, *out + *length, (size_t)facts.st_size - *length);
        if (got < 0) return refuse_system(context, path, "cannot read it");
        if (got == 0) break;
        *length += (size_t)got;
    }
    return TW_OK;
}

static tw_status load(tw_context *context, const char *path, char **out, size_t *length) {
    *out = NULL;
    *length = 0;
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (descriptor < 0) return refuse_system(context, path, "cannot open it");
    tw_status status = read_whole(context, path, descriptor, out, length);
    close(descriptor);
    return status;
}

/* GPT-2's bytes_to_unicode: printable bytes of Latin-1 stand for themselves, the 68 others for the
 * characters from 256 on, in order. byte_of[c]: -1 where c stands for none. */
static void fill_alphabet(int16_t byte_of[CHARACTERS]) {
    int others = 0;
    for (int c = 0; c < CHARACTERS; c++) byte_of[c] = -1;
    for (int byte = 0; byte < BYTES; byte++) {
        bool printable = (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte != 0xad);
        byte_of[printable ? byte : BYTES + others++] = (int16_t)byte;
    }
}

/* The written token as bytes, in its own memory, which they never outgrow; -1 where a character
 * stands for no byte. */
static int64_t to_bytes(const int16_t byte_of[CHARACTERS], char *written, size_t length) {
    int64_t count = 0;
    for (size_t i = 0; i < length;) {
        unsigned c = (unsigned char)written[i++];
        if (c >= 0xc0 && c < 0xe0 && i < length) /* none of the alphabet is longer */
            c = (c & 0x1f) << 6 | ((unsigned char)written[i++] & 0x3f);
        else if (c >= 0x80)
            return -1;
        if (c >= CHARACTERS || byte_of[c] < 0) return -1;
        written[count++] = (char)byte_of[c];
    }
    return count;
}

static tw_status take_token(tw_tokenizer *t, const char *path, cJSON *item, int64_t count,
                            const int16_t *alphabet) {
    tw_context *context = t->object.context;
    char shown[64];
    snprintf(shown, sizeof shown, "%s", item->string ? item->string : "");
    if (!cJSON_IsNumber(item) || item->valuedouble < 0 || item->valuedouble >= (double)count ||
        item->valuedouble != (double)(int32_t)item->valuedouble)
        return context_error(context, TW_ERR_FORMAT,
                             "tokenizer file '%s', token '%s': expected a whole number from 0 to "
                             "%lld, as there are %lld tokens",
                             path, shown, (long long)count - 1, (long long)count);
    int64_t length = item->string ? to_bytes(alphabet, item->string, strlen(item->string)) : -1;
    if (length < 1)
        return context_error(context, TW_ERR_FORMAT,
                             "tokenizer file '%s', token '%s': %s; expected GPT-2's printable "
                             "characters for bytes",
                             path, shown, length ? "a character that stands for no byte" : "empty");
    int32_t number = (int32_t)item->valuedouble;
    int64_t place = (int64_t)t->tokens.count;
    int64_t found = spelling_add(&t->tokens, item->string, (size_t)length);
    if (found < 0) return TW_ERR_MEMORY;
    if (found != place || t->order[number])
        return context_error(context, TW_ERR_FORMAT,
                             "tokenizer file '%s', token '%s': %s %d twice; expected each once",
                             path, shown,
                             found != place ? "the token, here with number," : "number", number);
    t->numbers[place] = number;
    t->order[number] = (uint32_t)place + 1; /* for now: 0 is none */
    return TW_OK;
}

static tw_status take_vocabulary(tw_tokenizer *t, const char *path, const cJSON *json,
                                 const int16_t *alphabet) {
    tw_context *context = t->object.context;
    int64_t count = cJSON_IsObject(json) ? cJSON_GetArraySize(json) : 0;
    if (count < BYTES)
        return context_error(context, TW_ERR_FORMAT,
                             "tokenizer file '%s': expected a JSON object {\"token\": number, ...} "
                             "of at least %d tokens, GPT-2's vocab.json",
                             path, BYTES);
    t->numbers = context_allocate(context, (size_t)count, sizeof *t->numbers);
    t->order = context_allocate(context, (size_t)count, sizeof *t->order);
    if (!t->numbers || !t->order) return TW_ERR_MEMORY;
    tw_status status = TW_OK;
    for (cJSON *item = json->child; item && !status; item = item->next)
        status = take_token(t, path, item, count, alphabet);
    if (status) return status;
    for (int64_t i = 0; i < count; i++) t->order[i]--;
    for (int byte = 0; byte < BYTES; byte++) {
        char one = (char)byte;
        int64_t found = spelling_find(&t->tokens, &one, 1);
        if (found < 0)
            return context_error(context, TW_ERR_FORMAT,
                                 "tokenizer file '%s': no token for the byte 0x%02x; expected one "
                                 "for each byte, so that every text has its tokens",
                                 path, byte);
        t->byte_token[byte] = t->numbers[found];
    }
    return TW_OK;
}

static tw_status read_vocabulary(tw_tokenizer *t, const char *path, const int16_t *alphabet) {
    char *bytes;
    size_t length;
    tw_status status = load(t->object.context, path, &bytes, &length);
    if (!status) {
        const char *stop = NULL;
        cJSON *json = cJSON_ParseWithLengthOpts(bytes, length, &stop, false);
        if (json)
            status = take_vocabulary(t, path, json, alphabet);
        else
            status = context_error(t->object.context, TW_ERR_FORMAT,
                                   "tokenizer file '%s', offset %lld: no well-formed JSON", path,
                                   (long long)(stop ? stop - bytes : 0));
        cJSON_Delete(json);
    }
    context_release(t->object.context, bytes);
    return status;
}

static merge *find_merge(const tw_tokenizer *t, int32_t left, int32_t right) {
    uint64_t pair = ((uint64_t)left << 32 | (uint32_t)right) + 1;
    uint64_t hash = pair * UINT64_C(0x9e3779b97f4a7c15);
    for (size_t slot = hash >> 32 & t->merge_mask;; slot = (slot + 1) & t->merge_mask)
        if (!t->merges[slot].pair || t->merges[slot].pair == pair) return &t->merges[slot];
}

/* The number of a token as written in merges.txt; -1 where it is none. */
static int32_t token_of(const tw_tokenizer *t, const int16_t *alphabet, char *written,
                        size_t length, int64_t *bytes) {
    *bytes = to_bytes(alphabet, written, length);
    int64_t found = *bytes > 0 ? spelling_find(&t->tokens, written, (size_t)*bytes) : -1;
    return found < 0 ? -1 : t->numbers[found];
}

static tw_status take_merge(tw_tokenizer *t, const char *path, int64_t line, int32_t rank,
                            char *text, size_t length, const int16_t *alphabet) {
    tw_context *context = t->object.context;
    char shown[80];
    snprintf(shown, sizeof shown, "%.*s", (int)(length < 64 ? length : 64), text);
    char *blank = memchr(text, ' ', length), *second = blank ? blank + 1 : NULL;
    if (!blank || memchr(second, ' ', (size_t)(text + length - second)))
        return context_error(context, TW_ERR_FORMAT,
                             "tokenizer file '%s', line %lld: '%s'; expected two tokens with a "
                             "blank between them",
                             path, (long long)line, shown);
    int64_t bytes[2];
    int32_t left = token_of(t, alphabet, text, (size_t)(blank - text), &bytes[0]);
    int32_t right = token_of(t, alphabet, second, (size_t)(text + length - second), &bytes[1]);
    int64_t joined = -1;
    if (left >= 0 && right >= 0) {
        memmove(text + bytes[0], second, (size_t)bytes[1]);
        joined = spelling_find(&t->tokens, text, (size_t)(bytes[0] + bytes[1]));
    }
    if (joined < 0)
        return context_error(context, TW_ERR_FORMAT,
                             "tokenizer file '%s', line %lld: '%s': %s is no token of the "
                             "vocabulary; do the two files belong together?",
                             path, (long long)line, shown,
                             left < 0    ? "the first"
                             : right < 0 ? "the second"
                                         : "what they make");
    merge *slot = find_merge(t, left, right);
    if (slot->pair)
        return context_error(context, TW_ERR_FORMAT,
                             "tokenizer file '%s', line %lld: '%s' for the second time", path,
                             (long long)line, shown);
    *slot = (merge){((uint64_t)left << 32 | (uint32_t)right) + 1, rank, t->numbers[joined]};
    return TW_OK;
}

static tw_status take_merges(tw_tokenizer *t, const char *path, char *bytes, size_t length,
                             const int16_t *alphabet) {
    size_t lines = 1, slots = 64;
    for (size_t i = 0; i < length; i++) lines += bytes[i] == '\n';
    while (slots < 2 * lines) slots *= 2;
    t->merges = context_allocate(t->object.context, slots, sizeof *t->merges);
    if (!t->merges) return TW_ERR_MEMORY;
    t->merge_mask = slots - 1;
    char *at = bytes, *end = bytes + length;
    int32_t rank = 0;
    tw_status status = TW_OK;
    for (int64_t line = 1; at < end && !status; line++) {
        char *newline = memchr(at, '\n', (size_t)(end - at)), *stop = newline ? newline : end;
        char *next = newline ? newline + 1 : end;
        if (stop > at && stop[-1] == '\r') stop--;
        bool version = line == 1 && stop - at >= 8 && !memcmp(at, "#version", 8);
        if (stop > at && !version)
            status = take_merge(t, path, line, rank++, at, (size_t)(stop - at), alphabet);
        at = next;
    }
    return status;
}

static tw_status read_merges(tw_tokenizer *t, const char *path, const int16_t *alphabet) {
    char *bytes;
    size_t length;
    tw_status status = load(t->object.context, path, &bytes, &length);
    if (!status) status = take_merges(t, path, bytes, length, alphabet);
    context_release(t->object.context, bytes);
    return status;
}

tw_tokenizer *tw_tokenizer_new(tw_context *context, const char *vocabulary, const char *merges) {
    if (!context) return NULL;
    if (!vocabulary || !merges) {
        context_error(context, TW_ERR_NULL, "tw_tokenizer_new: no path of the %s",
                      vocabulary ? "merges" : "vocabulary");
        return NULL;
    }
    tw_tokenizer *t = object_new(context, sizeof *t, tokenizer_destroy);
    if (!t) return NULL;
    int16_t alphabet[CHARACTERS];
    fill_alphabet(alphabet);
    spelling_start(&t->tokens, context);
    spelling_start(&t->words, context);
    tw_status status = read_vocabulary(t, vocabulary, alphabet);
    if (!status) status = read_merges(t, merges, alphabet);
    if (!status) return t;
    object_drop(t);
    return NULL;
}

void tw_tokenizer_free(tw_tokenizer *tokenizer) { object_drop(tokenizer); }

int64_t tw_tokenizer_size(const tw_tokenizer *tokenizer) {
    return tokenizer ? (int64_t)tokenizer->tokens.count : 0;
}

/* ---- encoding ---- */

static bool heap_push(tw_tokenizer *t, uint64_t entry) {
    uint64_t *last = VECTOR_PUSH(t->object.context, &t->heap);
    if (!last) return false;
    size_t at = t->heap.count - 1;
    for (; at && t->heap.at[(at - 1) / 2] > entry; at = (at - 1) / 2)
        t->heap.at[at] = t->heap.at[(at - 1) / 2];
    t->heap.at[at] = entry;
    return true;
}

static uint64_t heap_pop(tw_tokenizer *t) {
    uint64_t *heap = t->heap.at, first = heap[0], moved = heap[--t->heap.count];
    size_t count = t->heap.count, at = 0;
    for (size_t child; (child = 2 * at + 1) < count; at = child) {
        if (child + 1 < count && heap[child + 1] < heap[child]) child++;
        if (heap[child] >= moved) break;
        heap[at] = heap[child];
    }
    if (count) heap[at] = moved;
    return first;
}

static const merge *merge_at(const tw_tokenizer *t, uint32_t at) {
    const piece *left = &t->pieces[at];
    if (left->token < 0 || left->next == UINT32_MAX) return NULL;
    const merge *found = find_merge(t, left->token, t->pieces[left->next].token);
    return found->pair ? found : NULL;
}

static bool offer(tw_tokenizer *t, uint32_t at) {
    const merge *found = merge_at(t, at);
    return !found || heap_push(t, (uint64_t)found->rank << 32 | at);
}

static bool start_pieces(tw_tokenizer *t, const char *word, size_t length) {
    if (length > t->piece_room) {
        piece *larger = context_resize(t->object.context, t->pieces, length, sizeof *larger);
        if (!larger) return false;
        t->pieces = larger;
        t->piece_room = length;
    }
    for (size_t i = 0; i < length; i++)
        t->pieces[i] = (piece){t->byte_token[(unsigned char)word[i]], (uint32_t)i - 1,
                               i + 1 < length ? (uint32_t)i + 1 : UINT32_MAX};
    t->heap.count = 0;
    for (size_t i = 0; i + 1 < length; i++)
        if (!offer(t, (uint32_t)i)) return false;
    return true;
}

static tw_status encode_word(tw_tokenizer *t, const char *word, size_t length, token_list *out) {
    if (length >= UINT32_MAX)
        return context_error(t->object.context, TW_ERR_MEMORY, "a word of %zu bytes", length);
    if (!start_pieces(t, word, length)) return TW_ERR_MEMORY;
    piece *pieces = t->pieces;
    while (t->heap.count) {
        uint64_t entry = heap_pop(t);
        uint32_t at = (uint32_t)entry;
        const merge *found = merge_at(t, at);
        if (!found || found->rank != (int32_t)(entry >> 32)) continue; /* joined otherwise since */
        uint32_t gone = pieces[at].next, next = pieces[gone].next;
        pieces[at].token = found->token;
        pieces[at].next = next;
        pieces[gone].token = -1;
        if (next != UINT32_MAX) pieces[next].previous = at;
        if (at && !offer(t, pieces[at].previous)) return TW_ERR_MEMORY;
        if (!offer(t, at)) return TW_ERR_MEMORY;
    }
    for (uint32_t i = 0; i != UINT32_MAX; i = pieces[i].next) {
        int32_t *token = VECTOR_PUSH(t->object.context, out);
        if (!token) return TW_ERR_MEMORY;
        *token = pieces[i].token;
    }
    return TW_OK;
}

/* The word's place among those kept; -1 where it is not to be kept, -2 when memory is out. */
static int64_t keep_word(tw_tokenizer *t, const char *word, size_t length) {
    if (length > WORD_KEPT_BYTES) return -1;
    int64_t found = spelling_find(&t->words, word, length);
    if (found >= 0 || t->words.count >= WORDS_KEPT) return found;
    size_t before = t->kept.count, places = t->from.count;
    size_t *end = NULL;
    if (!encode_word(t, word, length, &t->kept)) end = VECTOR_PUSH(t->object.context, &t->from);
    if (end) {
        *end = t->kept.count;
        found = spelling_add(&t->words, word, length);
    }
    if (found >= 0) return found;
    t->kept.count = before;
    t->from.count = places;
    return -2;
}

static tw_status encode_all(tw_tokenizer *t, const char *at, const char *end, token_list *out) {
    while (at < end) {
        const char *stop = pretoken_end(at, end);
        size_t length = (size_t)(stop - at);
        int64_t place = keep_word(t, at, length);
        if (place == -2) return TW_ERR_MEMORY;
        if (place < 0) {
            tw_status status = encode_word(t, at, length, out);
            if (status) return status;
        } else {
            size_t from = place ? t->from.at[place - 1] : 0, count = t->from.at[place] - from;
            if (!vector_reserve(t->object.context, (void **)&out->at, &out->capacity,
                                out->count + count, sizeof *out->at))
                return TW_ERR_MEMORY;
            memcpy(out->at + out->count, t->kept.at + from, count * sizeof *out->at);
            out->count += count;
        }
        at = stop;
    }
    return TW_OK;
}

tw_tensor *tw_tokenizer_encode(tw_tokenizer *tokenizer, const char *text, size_t bytes) {
    if (!tokenizer) return NULL;
    tw_context *context = tokenizer->object.context;
    if (!text && bytes) {
        context_error(context, TW_ERR_NULL, "tw_tokenizer_encode: no text given");
        return NULL;
    }
    token_list tokens = {0};
    tw_tensor *tensor = NULL;
    if (!bytes || !encode_all(tokenizer, text, text + bytes, &tokens))
        tensor = tw_tensor_new(context, TW_I32, TW_SHAPE((int64_t)tokens.count));
    if (tensor && tokens.count &&
        tw_tensor_put(tensor, tokens.at, tokens.count * sizeof *tokens.at)) {
        tw_tensor_free(tensor);
        tensor = NULL;
    }
    context_release(context, tokens.at);
    return tensor;
}

char *tw_tokenizer_decode(tw_tokenizer *tokenizer, int64_t n, const int32_t *tokens) {
    if (!tokenizer) return NULL;
    text out = {.context = tokenizer->object.context};
    if (n < 0 || (n && !tokens)) {
        context_error(out.context, tokens ? TW_ERR_ARGUMENT : TW_ERR_NULL,
                      "tw_tokenizer_decode: %lld tokens%s", (long long)n, tokens ? "" : ", NULL");
        return NULL;
    }
    text_add_bytes(&out, "", 0);
    for (int64_t i = 0; i < n; i++) {
        if (tokens[i] < 0 || (size_t)tokens[i] >= tokenizer->tokens.count) {
            context_error(out.context, TW_ERR_INDEX,
                          "tw_tokenizer_decode: token %lld is %d; expected 0 to %lld", (long long)i,
                          tokens[i], (long long)tokenizer->tokens.count - 1);
            text_drop(&out);
            return NULL;
        }
        const spelling *token = &tokenizer->tokens.at[tokenizer->order[tokens[i]]];
        text_add_bytes(&out, token->bytes, token->length);
    }
    return text_take(&out);
}
