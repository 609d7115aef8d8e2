/* Strings by string. Few of them: a search is a walk. */
#include "io/words.h"

static word *find(const words *list, const char *key) {
    for (size_t i = 0; i < list->count; i++)
        if (!strcmp(list->at[i].key, key)) return &list->at[i];
    return NULL;
}

static char *copy(tw_context *context, const char *string) {
    size_t bytes = strlen(string) + 1;
    char *made = context_allocate(context, bytes, 1);
    return made ? memcpy(made, string, bytes) : NULL;
}

static void end_one(tw_context *context, word *it) {
    context_release(context, it->key);
    context_release(context, it->value);
}

static void remove_one(tw_context *context, words *list, word *it) {
    end_one(context, it);
    size_t after = (size_t)(list->at + list->count - (it + 1));
    memmove(it, it + 1, after * sizeof *it);
    list->count--;
}

bool words_set(tw_context *context, words *list, const char *key, const char *value) {
    word *known = find(list, key);
    if (!value) {
        if (known) remove_one(context, list, known);
        return true;
    }
    word made = {known ? known->key : copy(context, key), copy(context, value)};
    word *place = made.key && made.value ? known ? known : VECTOR_PUSH(context, list) : NULL;
    if (!place) {
        if (!known) context_release(context, made.key);
        context_release(context, made.value);
        return false;
    }
    if (known) context_release(context, known->value);
    *place = made;
    return true;
}

const char *words_get(const words *list, const char *key) {
    const word *found = find(list, key);
    return found ? found->value : NULL;
}

void words_end(tw_context *context, words *list) {
    for (size_t i = 0; i < list->count; i++) end_one(context, &list->at[i]);
    VECTOR_FREE(context, list);
}

/* Bytes that follow a first byte, -1 for a byte that starts nothing. */
static int followers(unsigned char first) {
    if (first < 0x80) return 0;
    if (first >= 0xc2 && first <= 0xdf) return 1;
    if (first >= 0xe0 && first <= 0xef) return 2;
    return first >= 0xf0 && first <= 0xf4 ? 3 : -1;
}

/* The second byte of these is narrower: no longer form than needed, no surrogates, no number past
 * the last (RFC 3629, section 4). */
static bool second_fits(unsigned char first, unsigned char second) {
    switch (first) {
    case 0xe0: return second >= 0xa0;
    case 0xed: return second <= 0x9f;
    case 0xf0: return second >= 0x90;
    case 0xf4: return second <= 0x8f;
    default: return true;
    }
}

bool words_utf8(const char *string) {
    const unsigned char *at = (const unsigned char *)string;
    while (*at) {
        int more = followers(*at);
        if (more < 0 || (more && !second_fits(at[0], at[1]))) return false;
        at++;
        for (; more; more--, at++)
            if ((*at & 0xc0) != 0x80) return false;
    }
    return true;
}
