/* The operators of a context by name, and the reading of an entry's operand lists. */
#include <limits.h>

#include "base/number.h"
#include "ir/graph.h"

struct operator_table {
    VECTOR(const tw_operator *) list;
};

operator_table *operator_table_new(tw_context *context) {
    return context_allocate(context, 1, sizeof(operator_table));
}

void operator_table_free(tw_context *context, operator_table *table) {
    if (!table) return;
    VECTOR_FREE(context, &table->list);
    context_release(context, table);
}

const tw_operator *tw_operator_at(const tw_context *context, int i) {
    const operator_table *table = context ? context->operators : NULL;
    return table && i >= 0 && (size_t)i < table->list.count ? table->list.at[i] : NULL;
}

const tw_operator *tw_operator_find(const tw_context *context, const char *name) {
    const operator_table *table = context ? context->operators : NULL;
    for (size_t i = 0; table && name && i < table->list.count; i++)
        if (strcmp(table->list.at[i]->name, name) == 0) return table->list.at[i];
    return NULL;
}

static bool has_scalar(const tw_operator *op) {
    for (int dtype = 0; dtype <= TW_F64; dtype++)
        if (op->scalar[dtype]) return true;
    return false;
}

/* The first field that an entry lacks, NULL when it is whole. */
static const char *missing_field(const tw_operator *op) {
    bool body = op->meaning == TW_MEANS_BODY, state = op->meaning == TW_MEANS_STATE;
    if (!op->formula) return "formula";
    if (!op->semantics) return "semantics";
    if (!op->operands) return "operands";
    if (!op->results) return "results";
    if (!op->infer && !body) return "infer";
    if (!op->vjp && !op->no_vjp && !body && !state) return "vjp or no_vjp";
    if (!op->factors && !body && !state) return "factors";
    if (!op->cost && !body && !state) return "cost";
    if (op->meaning < TW_MEANS_SCALAR || op->meaning > TW_MEANS_STATE) return "meaning";
    if (op->meaning == TW_MEANS_SCALAR && !has_scalar(op)) return "scalar";
    if (op->meaning == TW_MEANS_MAP && !op->map) return "map";
    if (op->meaning == TW_MEANS_LOOPS && !op->kernel) return "kernel";
    if (body && !op->body) return "body";
    if (!op->samples && !op->no_samples) return "samples or no_samples";
    return NULL;
}

/* The loops over elements hold a fixed number of operands and write one result. */
static bool fits_scalar(const tw_operator *op) {
    int least, most, results;
    operator_arity(op, &least, &most, &results);
    return results == 1 && least == most && least >= 1 && most <= TW_SCALAR_OPERANDS;
}

tw_status tw_register(tw_context *context, const tw_operator *op) {
    if (!context) return TW_ERR_NULL;
    if (!op || !op->name)
        return context_error(context, TW_ERR_NULL, "tw_register: an operator needs a name");
    if (tw_operator_find(context, op->name))
        return context_error(context, TW_ERR_ARGUMENT, "operator %s is registered already",
                             op->name);
    const char *missing = missing_field(op);
    if (missing)
        return context_error(context, TW_ERR_ARGUMENT, "operator %s lacks its field: %s", op->name,
                             missing);
    if (op->meaning == TW_MEANS_SCALAR && !fits_scalar(op))
        return context_error(context, TW_ERR_ARGUMENT,
                             "operator %s has operands \"%s\" and results \"%s\"; "
                             "TW_MEANS_SCALAR takes 1 to %d operands, none optional or open, and "
                             "one result",
                             op->name, op->operands, op->results, TW_SCALAR_OPERANDS);
    const tw_operator **slot = VECTOR_PUSH(context, &context->operators->list);
    if (!slot) return TW_ERR_MEMORY;
    *slot = op;
    return TW_OK;
}

bool operator_calls(const tw_operator *op) {
    return op->meaning == TW_MEANS_STATE && op->attributes &&
           op->attributes[0].kind == TW_ATTR_FUNCTION;
}

int operator_attr_count(const tw_operator *op) {
    int count = 0;
    while (op->attributes && op->attributes[count].name) count++;
    return count;
}

static int count_words(const char *list) {
    int words = 0;
    for (const char *at = list; *at; at++) words += *at != ' ' && (at == list || at[-1] == ' ');
    return words;
}

void operator_arity(const tw_operator *op, int *least, int *most, int *results) {
    *results = count_words(op->results);
    *least = *most = 0;
    for (const char *at = op->operands; *at;) {
        size_t length = strcspn(at, " ");
        bool optional = length && at[length - 1] == '?';
        bool many = length > 3 && strncmp(at + length - 3, "...", 3) == 0;
        if (many)
            *most = INT_MAX;
        else if (*most != INT_MAX)
            ++*most;
        *least += !optional;
        at += length;
        at += strspn(at, " ");
    }
}
