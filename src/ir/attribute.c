/* Attributes to and from text, by their specification. Knows nothing of graphs but a function's
 * name. */
#include "ir/attribute.h"

#include <stdio.h>
#include <string.h>

#include "base/number.h"
#include "ir/dimension.h"
#include "ir/element.h"
#include "ir/graph.h"
#include "ir/scan.h"

/* Word `i` of "eq ne lt", NULL past the end; its length. */
static const char *choice_word(const char *choices, int64_t i, size_t *length) {
    const char *p = choices;
    while (p && *p) {
        *length = strcspn(p, " ");
        if (i-- == 0) return p;
        p += *length;
        if (*p == ' ') p++;
    }
    return NULL;
}

void function_name_print(const char *name, text *out) {
    const char *plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.";
    text_add_bytes(out, "@", 1);
    if (*name && name[strspn(name, plain)] == 0)
        text_add(out, "%s", name);
    else
        text_add_quoted(out, name);
}

char *function_name_parse(tw_context *context, const char **at) {
    if (!scan_mark(at, "@")) return NULL;
    if (**at == '"') return scan_string(context, at);
    const char *p = *at;
    while ((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') ||
           *p == '_' || *p == '.')
        p++;
    size_t length = (size_t)(p - *at);
    if (length == 0) return NULL;
    char *name = context_allocate(context, length + 1, 1);
    if (!name) return NULL;
    memcpy(name, *at, length);
    *at = p;
    return name;
}

/* Whether an element type may be left open, as 0. */
static bool may_be_same(const tw_attr_spec *spec) {
    return spec->fallback && strcmp(spec->fallback, "same") == 0;
}

static const char *attr_fault(const tw_attr_spec *spec, const tw_attr *attr) {
    size_t length;
    switch (spec->kind) {
    case TW_ATTR_INT:
    case TW_ATTR_FLOAT: return NULL;
    case TW_ATTR_BOOL:
        return attr->i == 0 || attr->i == 1 ? NULL : "a switch is neither true nor false";
    case TW_ATTR_DTYPE:
        if (attr->i == 0 && may_be_same(spec)) return NULL;
        return attr->i >= TW_BOOL && attr->i <= TW_F64 ? NULL : "an element type does not exist";
    case TW_ATTR_CHOICE:
        return attr->i >= 0 && choice_word(spec->choices, attr->i, &length)
                   ? NULL
                   : "a choice is out of range";
    case TW_ATTR_INTS:
    case TW_ATTR_DIMS:
        if (attr->list.rank < 0 || attr->list.rank > TW_MAX_RANK)
            return "a list has more than 8 entries";
        for (int i = 0; spec->kind == TW_ATTR_DIMS && i < attr->list.rank; i++)
            if (attr->list.dim[i] == TW_DIM_NONE) return "an extent does not exist";
        return NULL;
    case TW_ATTR_STRING: return attr->string ? NULL : "a text is missing";
    case TW_ATTR_FUNCTION: return attr->function ? NULL : "a function is missing";
    case TW_ATTR_DATA: return attr->data || attr->bytes == 0 ? NULL : "data is missing";
    }
    return "an attribute is of no known kind";
}

bool attr_equal(const tw_attr_spec *spec, const tw_attr *a, const tw_attr *b) {
    switch (spec->kind) {
    case TW_ATTR_INT:
    case TW_ATTR_BOOL:
    case TW_ATTR_DTYPE:
    case TW_ATTR_CHOICE: return a->i == b->i;
    case TW_ATTR_FLOAT: return memcmp(&a->f, &b->f, sizeof a->f) == 0; /* NaN equals itself */
    case TW_ATTR_INTS:
    case TW_ATTR_DIMS: return shape_equal(a->list, b->list);
    case TW_ATTR_STRING: return a->string && b->string && strcmp(a->string, b->string) == 0;
    case TW_ATTR_FUNCTION: return a->function == b->function;
    case TW_ATTR_DATA:
        return a->bytes == b->bytes && (a->bytes == 0 || memcmp(a->data, b->data, a->bytes) == 0);
    }
    return false;
}

static void integers_print(tw_shape list, text *out) {
    for (int i = 0; i < list.rank; i++)
        text_add(out, "%s%lld", i ? "," : "[", (long long)list.dim[i]);
    text_add(out, list.rank ? "]" : "[]");
}

bool attr_print(tw_context *context, const tw_attr_spec *spec, const tw_attr *attr, text *out) {
    size_t length = 0;
    const char *word;
    if (attr_fault(spec, attr)) return false;
    switch (spec->kind) {
    case TW_ATTR_INT: text_add(out, "%lld", (long long)attr->i); return true;
    case TW_ATTR_FLOAT: text_add_number(out, attr->f, 17); return true;
    case TW_ATTR_BOOL: text_add(out, attr->i ? "true" : "false"); return true;
    case TW_ATTR_DTYPE:
        text_add(out, "%s", attr->i ? tw_dtype_name((tw_dtype)attr->i) : "same");
        return true;
    case TW_ATTR_CHOICE:
        word = choice_word(spec->choices, attr->i, &length);
        text_add_bytes(out, word, length);
        return true;
    case TW_ATTR_INTS: integers_print(attr->list, out); return true;
    case TW_ATTR_DIMS: shape_print(context, attr->list, out); return true;
    case TW_ATTR_STRING: text_add_quoted(out, attr->string); return true;
    case TW_ATTR_FUNCTION: function_name_print(attr->function->name, out); return true;
    case TW_ATTR_DATA: return elements_print((tw_dtype)attr->i, attr->data, attr->bytes, out);
    }
    return false;
}

static tw_status expected(tw_context *context, const tw_attr_spec *spec, const char *what) {
    if (tw_last_status(context) == TW_ERR_MEMORY) return TW_ERR_MEMORY;
    return context_error(context, TW_ERR_FORMAT, "attribute %s: expected %s", spec->name, what);
}

static bool integers_parse(const char **at, tw_shape *out) {
    tw_shape list = {0};
    if (!scan_mark(at, "[")) return false;
    while (!scan_mark(at, "]")) {
        if (list.rank > 0 && !scan_mark(at, ",")) return false;
        if (list.rank == TW_MAX_RANK || !scan_integer(at, &list.dim[list.rank])) return false;
        list.rank++;
    }
    *out = list;
    return true;
}

static tw_status choice_parse(tw_context *context, const tw_attr_spec *spec, const char **at,
                              tw_attr *out) {
    char given[SCAN_WORD];
    const char *p = *at, *word;
    size_t length;
    bool read = scan_word(&p, given);
    for (int64_t i = 0; read && (word = choice_word(spec->choices, i, &length)) != NULL; i++) {
        if (strlen(given) != length || memcmp(given, word, length) != 0) continue;
        out->i = i;
        *at = p;
        return TW_OK;
    }
    return context_error(context, TW_ERR_FORMAT, "attribute %s: expected one of: %s", spec->name,
                         spec->choices ? spec->choices : "");
}

static tw_status bool_parse(tw_context *context, const tw_attr_spec *spec, const char **at,
                            tw_attr *out) {
    char word[SCAN_WORD];
    const char *p = *at;
    if (!scan_word(&p, word) || (strcmp(word, "true") && strcmp(word, "false")))
        return expected(context, spec, "true or false");
    out->i = word[0] == 't';
    *at = p;
    return TW_OK;
}

static tw_status list_parse(tw_context *context, const tw_attr_spec *spec, const char **at,
                            tw_attr *out) {
    if (spec->kind == TW_ATTR_DIMS && !shape_parse(context, at, &out->list))
        return expected(context, spec, "up to 8 extents such as [64,2*n]");
    if (spec->kind == TW_ATTR_INTS && !integers_parse(at, &out->list))
        return expected(context, spec, "up to 8 integers such as [0,1]");
    out->i = out->list.rank;
    return TW_OK;
}

static tw_status data_parse(tw_context *context, const tw_attr_spec *spec, const char **at,
                            tw_attr *out) {
    void *data = NULL;
    if (!tw_dtype_size((tw_dtype)out->i))
        return expected(context, spec, "the element type (dtype=...) before the data");
    if (!elements_parse(context, (tw_dtype)out->i, at, &data, &out->bytes))
        return expected(context, spec, "numbers such as [1,2.5], each in its type's range");
    out->data = data;
    return TW_OK;
}

static tw_status type_name_parse(tw_context *context, const tw_attr_spec *spec, const char **at,
                                 tw_attr *out) {
    char word[SCAN_WORD];
    const char *p = *at;
    tw_dtype dtype;
    if (may_be_same(spec) && scan_word(&p, word) && strcmp(word, "same") == 0) {
        out->i = 0;
        *at = p;
        return TW_OK;
    }
    if (!dtype_parse(at, &dtype)) return expected(context, spec, "a type such as f32");
    out->i = dtype;
    return TW_OK;
}

static tw_status value_parse(tw_context *context, const tw_attr_spec *spec, const char **at,
                             tw_attr *out) {
    switch (spec->kind) {
    case TW_ATTR_INT:
        return scan_integer(at, &out->i) ? TW_OK : expected(context, spec, "an integer");
    case TW_ATTR_FLOAT:
        return scan_number(at, &out->f) ? TW_OK : expected(context, spec, "a number");
    case TW_ATTR_BOOL: return bool_parse(context, spec, at, out);
    case TW_ATTR_DTYPE: return type_name_parse(context, spec, at, out);
    case TW_ATTR_CHOICE: return choice_parse(context, spec, at, out);
    case TW_ATTR_INTS:
    case TW_ATTR_DIMS: return list_parse(context, spec, at, out);
    case TW_ATTR_STRING:
        out->string = scan_string(context, at);
        return out->string ? TW_OK : expected(context, spec, "a text in quotes");
    case TW_ATTR_FUNCTION:
        out->string = function_name_parse(context, at);
        return out->string ? TW_OK : expected(context, spec, "a function such as @f");
    case TW_ATTR_DATA: return data_parse(context, spec, at, out);
    }
    return expected(context, spec, "nothing: its kind is unknown");
}

tw_status attr_parse(tw_context *context, const tw_attr_spec *spec, const char **at, tw_attr *out) {
    /* Cleared, to tell memory that ran out below from a malformed text. */
    tw_status before = context->status;
    context->status = TW_OK;
    tw_status status = value_parse(context, spec, at, out);
    if (status == TW_OK) context->status = before;
    return status;
}

void attr_release(tw_context *context, const tw_attr_spec *spec, tw_attr *attr) {
    if (spec->kind == TW_ATTR_STRING || spec->kind == TW_ATTR_FUNCTION)
        context_release(context, (void *)(uintptr_t)attr->string);
    if (spec->kind == TW_ATTR_DATA) context_release(context, (void *)(uintptr_t)attr->data);
    attr->string = NULL;
    attr->data = NULL;
}

static bool is_owned(tw_attr_kind kind) {
    return kind == TW_ATTR_STRING || kind == TW_ATTR_FUNCTION || kind == TW_ATTR_DATA;
}

/* The default of one attribute. Allocates nothing: a STRING's fallback is the string itself. */
static tw_status default_parse(tw_context *context, const tw_operator *op, const tw_attr_spec *spec,
                               tw_attr *out) {
    const char *at = spec->fallback;
    memset(out, 0, sizeof *out);
    if (!at)
        return context_error(context, TW_ERR_ARGUMENT,
                             "%s: attribute %s is missing: it has no default", op->name,
                             spec->name);
    if (spec->kind == TW_ATTR_STRING) {
        out->string = at;
        return TW_OK;
    }
    bool malformed = is_owned(spec->kind) || attr_parse(context, spec, &at, out) != TW_OK;
    if (!malformed) scan_space(&at);
    if (malformed || *at)
        return context_error(context, TW_ERR_FORMAT,
                             "%s: attribute %s has the malformed default '%s'", op->name,
                             spec->name, spec->fallback);
    return TW_OK;
}

tw_status operator_defaults(tw_context *context, const tw_operator *op, tw_attr *out) {
    for (const tw_attr_spec *spec = op->attributes; spec && spec->name; spec++, out++) {
        tw_status status = default_parse(context, op, spec, out);
        if (status != TW_OK) return status;
    }
    return TW_OK;
}

static tw_dtype attributes_dtype(const tw_operator *op, const tw_attr *attr) {
    for (int i = 0; op->attributes && op->attributes[i].name; i++)
        if (op->attributes[i].kind == TW_ATTR_DTYPE) return (tw_dtype)attr[i].i;
    return (tw_dtype)0;
}

bool attr_is_default(tw_context *context, const tw_operator *op, int i, const tw_attr *attr) {
    const tw_attr_spec *spec = &op->attributes[i];
    tw_attr fallback;
    return spec->fallback && default_parse(context, op, spec, &fallback) == TW_OK &&
           attr_equal(spec, attr, &fallback);
}

bool attributes_print(tw_context *context, const tw_operator *op, const tw_attr *attr, text *out) {
    const char *before = "{";
    for (int i = 0; op->attributes && op->attributes[i].name; i++) {
        const tw_attr_spec *spec = &op->attributes[i];
        tw_attr given = attr[i];
        if (attr_is_default(context, op, i, &given)) continue;
        if (spec->kind == TW_ATTR_DATA) given.i = attributes_dtype(op, attr);
        text_add(out, "%s%s=", before, spec->name);
        before = ", ";
        if (attr_print(context, spec, &given, out)) continue;
        const char *fault = attr_fault(spec, &given);
        context_error(context, TW_ERR_ARGUMENT, "%s: attribute %s: %s", op->name, spec->name,
                      fault ? fault : "data is no whole number of elements");
        return false;
    }
    if (*before == ',') text_add_bytes(out, "}", 1);
    return true;
}

static int find_attribute(const tw_operator *op, const char *name) {
    for (int i = 0; op->attributes && op->attributes[i].name; i++)
        if (strcmp(op->attributes[i].name, name) == 0) return i;
    return -1;
}

/* Reads the "name=value" list into out[], noting in given[] which were there. */
static tw_status list_attributes(tw_context *context, const tw_operator *op, const char **at,
                                 tw_attr *out, bool *given) {
    char name[SCAN_WORD];
    for (const char *p = *at; scan_word(&p, name); p = *at) {
        int i = find_attribute(op, name);
        scan_space(at);
        if (i < 0)
            return context_error(context, TW_ERR_FORMAT, "%s has no attribute %s", op->name, name);
        if (given[i])
            return context_error(context, TW_ERR_FORMAT, "attribute %s is given twice", name);
        *at = p;
        if (!scan_mark(at, "="))
            return context_error(context, TW_ERR_FORMAT, "attribute %s: expected =", name);
        if (op->attributes[i].kind == TW_ATTR_DATA) out[i].i = attributes_dtype(op, out);
        tw_status status = attr_parse(context, &op->attributes[i], at, &out[i]);
        if (status != TW_OK) return status;
        given[i] = true;
        scan_mark(at, ",");
    }
    return TW_OK;
}

/* Strings among the defaults are copied, so that all strings of out[] are released alike. */
static tw_status fill_defaults(tw_context *context, const tw_operator *op, tw_attr *out,
                               const bool *given) {
    for (int i = 0; op->attributes && op->attributes[i].name; i++) {
        const tw_attr_spec *spec = &op->attributes[i];
        if (given[i]) continue;
        tw_status status = default_parse(context, op, spec, &out[i]);
        if (status != TW_OK) return status;
        if (spec->kind != TW_ATTR_STRING) continue;
        size_t size = strlen(out[i].string) + 1;
        char *copy = context_allocate(context, size, 1);
        if (copy) memcpy(copy, out[i].string, size);
        out[i].string = copy;
        if (!copy) return TW_ERR_MEMORY;
    }
    return TW_OK;
}

tw_status attributes_parse(tw_context *context, const tw_operator *op, const char **at,
                           tw_attr *out) {
    int count = operator_attr_count(op);
    memset(out, 0, (size_t)count * sizeof *out);
    bool *given = context_allocate(context, (size_t)count + 1, sizeof *given);
    if (!given) return TW_ERR_MEMORY;
    tw_status status = list_attributes(context, op, at, out, given);
    if (status == TW_OK) status = fill_defaults(context, op, out, given);
    if (status != TW_OK) attributes_release(context, op, out);
    context_release(context, given);
    return status;
}

/* Whether the data is as long as dtype and the (first) shape say; true where there is none. */
static bool data_fits(const tw_operator *op, const tw_attr *attr, size_t given) {
    for (int i = 0; op->attributes && op->attributes[i].name; i++) {
        if (op->attributes[i].kind != TW_ATTR_DIMS) continue;
        int64_t bytes, size = (int64_t)tw_dtype_size(attributes_dtype(op, attr));
        int64_t count = shape_elements(attr[i].list);
        return count >= 0 && checked_mul(count, size, &bytes) && (uint64_t)bytes == given;
    }
    return true;
}

const char *attributes_fault(const tw_operator *op, const tw_attr *attr) {
    for (int i = 0; op->attributes && op->attributes[i].name; i++) {
        const char *fault = attr_fault(&op->attributes[i], &attr[i]);
        if (fault) return fault;
        if (op->attributes[i].kind == TW_ATTR_DATA && !data_fits(op, attr, attr[i].bytes))
            return "the data has another number of elements than the shape";
    }
    return NULL;
}

void attributes_release(tw_context *context, const tw_operator *op, tw_attr *attr) {
    for (int i = 0; op->attributes && op->attributes[i].name; i++)
        attr_release(context, &op->attributes[i], &attr[i]);
}
