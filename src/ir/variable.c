/* The table of declared variables that a store starts with: paths, types, how they begin. */
#include "ir/variable.h"

#include <string.h>

#include "ir/dimension.h"

int variable_find(const variable_table *table, const char *path) {
    for (size_t i = 0; i < table->specs.count; i++)
        if (!strcmp(table->specs.at[i].path, path)) return (int)i;
    return -1;
}

static int refuse_type(const variable_table *table, const variable_spec *known, tw_type given) {
    text words = {.context = table->context};
    type_print(table->context, known->type, &words);
    text_add(&words, ", not ");
    type_print(table->context, given, &words);
    char *why = text_take(&words);
    if (!why) return -1;
    tw_status status = known->type.dtype == given.dtype ? TW_ERR_SHAPE : TW_ERR_TYPE;
    context_error(table->context, status, "variable \"%s\" is %s; give it another name or scope",
                  known->path, why);
    tw_string_free(table->context, why);
    return -1;
}

/* The same path is the same variable; a later declaration may say that it is trained (a loaded
 * file does not know). */
static int declare_again(variable_table *table, int i, const variable_spec *spec) {
    variable_spec *known = &table->specs.at[i];
    if (!type_equal(known->type, spec->type)) return refuse_type(table, known, spec->type);
    known->trainable = known->trainable || spec->trainable;
    return i;
}

static tw_status check_new(const variable_table *table, const variable_spec *spec) {
    if (!spec->path || !*spec->path)
        return context_error(table->context, TW_ERR_ARGUMENT, "a variable needs a name");
    if (!shape_known(spec->type.shape) || shape_elements(spec->type.shape) < 0)
        return context_error(table->context, TW_ERR_SHAPE,
                             "variable \"%s\" needs a shape of fixed extents", spec->path);
    if (table->frozen)
        return context_error(table->context, TW_ERR_NOT_FOUND,
                             "the store has no variable \"%s\" and is frozen", spec->path);
    return TW_OK;
}

int variable_declare(variable_table *table, const variable_spec *spec) {
    int known = spec->path ? variable_find(table, spec->path) : -1;
    if (known >= 0) return declare_again(table, known, spec);
    if (check_new(table, spec)) return -1;
    size_t length = strlen(spec->path) + 1;
    char *path = context_allocate(table->context, length, 1);
    if (!path) return -1;
    variable_spec *added = VECTOR_PUSH(table->context, &table->specs);
    if (!added) {
        context_release(table->context, path);
        return -1;
    }
    *added = *spec;
    added->path = memcpy(path, spec->path, length);
    return (int)table->specs.count - 1;
}

void variable_table_truncate(variable_table *table, size_t count) {
    while (table->specs.count > count) {
        variable_spec *last = &table->specs.at[--table->specs.count];
        context_release(table->context, (void *)(uintptr_t)last->path);
    }
}

void variable_table_end(variable_table *table) {
    variable_table_truncate(table, 0);
    VECTOR_FREE(table->context, &table->specs);
}
