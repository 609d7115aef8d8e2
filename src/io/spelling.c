/* Open addressing with linear probing; at most half of the slots are in use. */
#include "io/spelling.h"

#include <string.h>

#include "base/vector.h"

enum { FIRST_SLOTS = 64, MOST = INT32_MAX };

void spelling_start(spelling_table *table, tw_context *context) {
    *table = (spelling_table){.context = context};
    arena_start(&table->arena, context);
}

void spelling_end(spelling_table *table) {
    if (!table->context) return;
    arena_end(&table->arena);
    context_release(table->context, table->at);
    context_release(table->context, table->slots);
    *table = (spelling_table){0};
}

static uint64_t mix(const char *bytes, size_t length) {
    const uint64_t factor = UINT64_C(0x9e3779b97f4a7c15);
    uint64_t hash = length * factor, word;
    for (; length >= sizeof word; bytes += sizeof word, length -= sizeof word) {
        memcpy(&word, bytes, sizeof word);
        hash = (hash ^ word) * factor;
        hash ^= hash >> 32;
    }
    word = 0;
    for (size_t i = 0; i < length; i++) word = word << 8 | (unsigned char)bytes[i];
    hash = (hash ^ word) * factor;
    return hash ^ hash >> 32;
}

/* The slot that holds the bytes, or the empty one where they belong. */
static size_t probe(const spelling_table *table, uint64_t hash, const char *bytes, size_t length) {
    for (size_t slot = hash & table->mask;; slot = (slot + 1) & table->mask) {
        if (!table->slots[slot]) return slot;
        const spelling *known = &table->at[table->slots[slot] - 1];
        if (known->hash == hash && known->length == length && !memcmp(known->bytes, bytes, length))
            return slot;
    }
}

int64_t spelling_find(const spelling_table *table, const char *bytes, size_t length) {
    if (!table->slots) return -1;
    return (int64_t)table->slots[probe(table, mix(bytes, length), bytes, length)] - 1;
}

static bool grow(spelling_table *table) {
    size_t size = table->slots ? 2 * (table->mask + 1) : FIRST_SLOTS;
    uint32_t *slots = context_allocate(table->context, size, sizeof *slots);
    if (!slots) return false;
    context_release(table->context, table->slots);
    table->slots = slots;
    table->mask = size - 1;
    for (size_t i = 0; i < table->count; i++) {
        size_t slot = table->at[i].hash & table->mask;
        while (slots[slot]) slot = (slot + 1) & table->mask;
        slots[slot] = (uint32_t)i + 1;
    }
    return true;
}

int64_t spelling_add(spelling_table *table, const char *bytes, size_t length) {
    if (2 * (table->count + 1) > table->mask && !grow(table)) return -1;
    uint64_t hash = mix(bytes, length);
    size_t slot = probe(table, hash, bytes, length);
    if (table->slots[slot]) return (int64_t)table->slots[slot] - 1;
    if (table->count == MOST) {
        context_error(table->context, TW_ERR_MEMORY, "more than %d different texts", MOST);
        return -1;
    }
    char *copy = arena_allocate(&table->arena, length + 1, 1);
    if (!copy) return -1;
    memcpy(copy, bytes, length);
    spelling *added = VECTOR_PUSH(table->context, table);
    if (!added) return -1;
    *added = (spelling){.hash = hash, .bytes = copy, .length = length};
    table->slots[slot] = (uint32_t)table->count;
    return (int64_t)table->count - 1;
}
