/* Variables by path: what a store declares, without their contents. */
#ifndef IR_VARIABLE_H
#define IR_VARIABLE_H

#include <thalweg/graph.h>

#include "base/vector.h"

typedef struct variable_spec {
    const char *path; /* "h0/qkv/weight" */
    tw_type type;
    tw_init init;
    bool trainable;
} variable_spec;

/* The head of a store: the declared variables; entry i of the store's tensors belongs to spec i. */
typedef struct variable_table {
    tw_context *context;
    uint64_t seed;
    VECTOR(variable_spec) specs;
    bool frozen; /* a new path is an error */
} variable_table;

/* Index of `path`, -1 for none. */
int variable_find(const variable_table *table, const char *path);
/* Get or create; the path is copied. -1 on failure with the context's error set. */
int variable_declare(variable_table *table, const variable_spec *spec);
/* Forgets the variables after the first `count`: a build that failed leaves nothing behind. */
void variable_table_truncate(variable_table *table, size_t count);
void variable_table_end(variable_table *table);

#endif
