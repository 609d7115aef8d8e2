/* Distinct byte strings, numbered 0, 1, ... in order of first sight. */
#ifndef IO_SPELLING_H
#define IO_SPELLING_H

#include "base/arena.h"

typedef struct spelling {
    uint64_t hash;
    const char *bytes; /* a zero byte follows them */
    size_t length;
} spelling;

/* Zero it, then spelling_start. Lookups change nothing and take no memory. */
typedef struct spelling_table {
    tw_context *context;
    arena arena;
    spelling *at;
    size_t count, capacity;
    uint32_t *slots; /* 1 + number, 0 where empty; a power of two of them */
    size_t mask;
} spelling_table;

void spelling_start(spelling_table *table, tw_context *context);
void spelling_end(spelling_table *table);
/* The number of these bytes; -1 where the table lacks them. */
int64_t spelling_find(const spelling_table *table, const char *bytes, size_t length);
/* The same, and adds what it lacks; -1 when memory is out, with the context's error. */
int64_t spelling_add(spelling_table *table, const char *bytes, size_t length);

#endif
