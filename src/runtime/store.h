/* A store's inside: the table of declared variables and their values. */
#ifndef RUNTIME_STORE_H
#define RUNTIME_STORE_H

#include "ir/variable.h"
#include "runtime/tensor.h"

typedef struct store_entry {
    tw_tensor *value; /* NULL until the variable is first used */
    tw_tensor *spare; /* of the same type, held by nobody else: where a run builds the next value */
} store_entry;

struct tw_store {
    object object;
    variable_table table;        /* right after the object: graphs find it there */
    VECTOR(store_entry) entries; /* entry i belongs to table.specs.at[i] */
    bool busy;                   /* an assigning run is under way */
};

/* The variable's value, made and initialised at first use; borrowed. NULL on failure. */
tw_tensor *store_value(tw_store *store, int variable);
/* The value as memory that nobody else holds: where somebody does, a copy takes its place. */
tw_tensor *store_own(tw_store *store, int variable);
/* Where the next value may be built; borrowed, contents undefined. NULL on failure. */
tw_tensor *store_spare(tw_store *store, int variable);
/* The spare becomes the value, without a copy; the old value the spare, unless somebody holds it. */
void store_swap(tw_store *store, int variable);
/* `tensor` becomes the value; the store takes a hold, or copies where the memory is not its own. */
tw_status store_rebind(tw_store *store, int variable, tw_tensor *tensor);

typedef struct store_item {
    const char *path;
    tw_tensor *value; /* memory of the library's own, which nobody writes to any more */
} store_item;

/* Sets, and creates where missing, n variables: all of them or, on failure, none. No copies. */
tw_status store_set_all(tw_store *store, size_t n, const store_item *items);

#endif
