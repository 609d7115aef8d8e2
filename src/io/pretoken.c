/* The pattern by hand: each alternative is told by one or two characters. */
#include "io/pretoken.h"

#include <string.h>

#include "io/unicode_class.h"

static int more_bytes(unsigned char first) {
    return first < 0xc2 ? 0 : first < 0xe0 ? 1 : first < 0xf0 ? 2 : first < 0xf5 ? 3 : 0;
}

/* The class of the character at `at`, and where it ends. */
static unicode_class class_at(const char *at, const char *end, const char **next) {
    const unsigned char *byte = (const unsigned char *)at;
    *next = at + 1;
    if (byte[0] < 0x80) return unicode_class_of(byte[0]);
    int more = more_bytes(byte[0]);
    if (!more || more >= end - at) return UNICODE_OTHER;
    uint32_t character = byte[0] & (0x3fu >> more);
    for (int i = 1; i <= more; i++) {
        if ((byte[i] & 0xc0) != 0x80) return UNICODE_OTHER;
        character = character << 6 | (byte[i] & 0x3f);
    }
    static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
    if (character < least[more] || character > 0x10ffff || character >> 11 == 0x1b)
        return UNICODE_OTHER; /* too long a form, too large, or a surrogate */
    *next = at + more + 1;
    return unicode_class_of(character);
}

/* The end of the run of one class from `at` on, and where its last character starts. */
static const char *run_end(const char *at, const char *end, unicode_class class,
                           const char **last) {
    const char *next;
    *last = at;
    while (at < end && class_at(at, end, &next) == class) {
        *last = at;
        at = next;
    }
    return at;
}

static size_t contraction(const char *at, const char *end) {
    static const char *const endings[] = {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"};
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
        size_t length = strlen(endings[i]);
        if ((size_t)(end - at) >= length && !memcmp(at, endings[i], length)) return length;
    }
    return 0;
}

const char *pretoken_end(const char *at, const char *end) {
    const char *next, *last;
    unicode_class class = class_at(at, end, &next);
    if (*at == '\'') {
        size_t length = contraction(at, end);
        if (length) return at + length;
    }
    if (*at == ' ' && next < end) { /* one goes with what follows, unless that is a space too */
        const char *after;
        unicode_class following = class_at(next, end, &after);
        if (following != UNICODE_SPACE) return run_end(next, end, following, &last);
    }
    const char *stop = run_end(at, end, class, &last);
    /* Of spaces before a word, the last one is left for it. */
    return class == UNICODE_SPACE && stop < end && last > at ? last : stop;
}
