/*
 * Reads the text form that print.c writes. A text is foreign: everything in it is checked before it
 * is used, and each failure names line and column. Nothing here calls itself, whatever the text.
 *
 *   text      = { "function" "@" name body } "graph" "@" name body
 *   body      = "{" { statement } "}"
 *   statement = value {"," value} "=" operator "(" operands ")" ["{" attributes "}"] ":" types meta
 *             | "return" values | "assign" path "=" value
 *   meta      = ["!backward" | "!update"] ["scope=" text] ["source=" text] ["epoch=" number] ["beside=" number]
 */
#include <limits.h>
#include <stdio.h>
#include <thalweg/init.h>

#include "ir/attribute.h"
#include "ir/dimension.h"
#include "ir/graph.h"
#include "ir/scan.h"
#include "ir/verify.h"

typedef struct binding {
    int64_t number; /* as in the text: numbers rise, but may leave gaps */
    uint32_t id;
} binding;

typedef struct parser {
    tw_context *context;
    const char *text, *at;
    tw_graph *main, *graph; /* the module's main graph; the one that is read now */
    bool returned;          /* it had its return */
    VECTOR(tw_graph *) functions;
    VECTOR(binding) bindings;
    /* Of the present statement: */
    VECTOR(int64_t) results;
    VECTOR(uint32_t) operands;
    VECTOR(tw_type) types;
    const tw_operator *op;
    const char *op_at;
    tw_attr *attr;
} parser;

static bool fail(parser *p, const char *where, tw_status status, const char *format, ...)
    TW_PRINTF(4, 5);

static bool fail(parser *p, const char *where, tw_status status, const char *format, ...) {
    char message[1024];
    va_list list;
    int line = 1, column = 1;
    va_start(list, format);
    vsnprintf(message, sizeof message, format, list);
    va_end(list);
    for (const char *c = p->text; c < where; c++) {
        column = *c == '\n' ? 1 : column + 1;
        line += *c == '\n';
    }
    context_error(p->context, status, "line %d, column %d: %s", line, column, message);
    return false;
}

/* What stands at p->at is not what it should be; memory that ran out meanwhile goes first. */
static bool expected(parser *p, const char *what) {
    if (p->context->status == TW_ERR_MEMORY) return false;
    scan_space(&p->at);
    if (!*p->at) return fail(p, p->at, TW_ERR_FORMAT, "expected %s but the text ends", what);
    int length = 0;
    while (length < 16 && p->at[length] > ' ' && p->at[length] != 127) length++;
    return fail(p, p->at, TW_ERR_FORMAT, "expected %s before '%.*s'", what, length, p->at);
}

static bool expect_mark(parser *p, const char *mark, const char *what) {
    return scan_mark(&p->at, mark) || expected(p, what);
}

/* The present graph refused something. */
static bool refused(parser *p, const char *where) {
    tw_status status = p->graph->status;
    if (status == TW_OK) status = p->context->status;
    if (status == TW_OK) status = TW_ERR_FORMAT;
    const char *why = p->graph->status ? p->graph->message : p->context->message;
    return fail(p, where, status, "%s", why);
}

static bool scan_value(parser *p, int64_t *number) {
    const char *at = p->at;
    if (!scan_mark(&at, "%") || *at < '0' || *at > '9' || !scan_integer(&at, number))
        return expected(p, "a value such as %0");
    p->at = at;
    return true;
}

/* A value that is defined above, as its id. */
static bool scan_defined(parser *p, uint32_t *id) {
    int64_t number;
    size_t low = 0, high = p->bindings.count;
    scan_space(&p->at);
    const char *where = p->at;
    if (!scan_value(p, &number)) return false;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (p->bindings.at[middle].number < number)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == p->bindings.count || p->bindings.at[low].number != number)
        return fail(p, where, TW_ERR_FORMAT, "%%%lld is not defined above", (long long)number);
    *id = p->bindings.at[low].id;
    return true;
}

static bool parse_results(parser *p) {
    p->results.count = 0;
    do {
        int64_t number, last = -1;
        scan_space(&p->at);
        const char *where = p->at;
        if (!scan_value(p, &number)) return false;
        if (p->bindings.count) last = p->bindings.at[p->bindings.count - 1].number;
        if (p->results.count) last = p->results.at[p->results.count - 1];
        if (number <= last)
            return fail(p, where, TW_ERR_FORMAT, "%%%lld does not follow %%%lld: numbers rise",
                        (long long)number, (long long)last);
        int64_t *slot = VECTOR_PUSH(p->context, &p->results);
        if (!slot) return false;
        *slot = number;
    } while (scan_mark(&p->at, ","));
    return expect_mark(p, "=", "'='");
}

static bool parse_operator(parser *p) {
    char name[SCAN_WORD];
    scan_space(&p->at);
    p->op_at = p->at;
    if (!scan_word(&p->at, name)) return expected(p, "an operator");
    p->op = tw_operator_find(p->context, name);
    return p->op || fail(p, p->op_at, TW_ERR_NOT_FOUND, "there is no operator %s", name);
}

static bool parse_operands(parser *p) {
    p->operands.count = 0;
    if (!expect_mark(p, "(", "'('")) return false;
    while (!scan_mark(&p->at, ")")) {
        if (p->operands.count && !expect_mark(p, ",", "',' or ')'")) return false;
        uint32_t id = ABSENT;
        if (!scan_mark(&p->at, "_") && !scan_defined(p, &id)) return false;
        uint32_t *slot = VECTOR_PUSH(p->context, &p->operands);
        if (!slot) return false;
        *slot = id;
    }
    if (p->operands.count > INT_MAX) return fail(p, p->op_at, TW_ERR_FORMAT, "too many operands");
    const char *fault = operands_fault(p->op, (int)p->operands.count, p->operands.at);
    return !fault || fail(p, p->op_at, TW_ERR_FORMAT, "%s: %s; its operands are: %s", p->op->name,
                          fault, *p->op->operands ? p->op->operands : "none");
}

/* Puts the functions that FUNCTION attributes name in their place. */
static bool find_functions(parser *p) {
    for (int i = 0; p->op->attributes && p->op->attributes[i].name; i++) {
        tw_attr *attr = &p->attr[i];
        if (p->op->attributes[i].kind != TW_ATTR_FUNCTION) continue;
        for (size_t k = 0; k < p->functions.count && !attr->function; k++)
            if (strcmp(p->functions.at[k]->name, attr->string) == 0)
                attr->function = p->functions.at[k];
        if (!attr->function)
            return fail(p, p->op_at, TW_ERR_NOT_FOUND, "function @%s is not defined above",
                        attr->string);
    }
    return true;
}

static bool parse_attributes(parser *p) {
    bool braces = scan_mark(&p->at, "{");
    const char *none = "", **at = braces ? &p->at : &none;
    if (attributes_parse(p->context, p->op, at, p->attr) != TW_OK) {
        tw_status status = p->context->status;
        if (status == TW_ERR_MEMORY) return false;
        if (status == TW_ERR_FORMAT && braces)
            return fail(p, p->at, status, "%s", p->context->message);
        return fail(p, p->op_at, status, "%s", p->context->message);
    }
    if (braces && !expect_mark(p, "}", "an attribute or '}'")) return false;
    if (!find_functions(p)) return false;
    const char *fault = attributes_fault(p->op, p->attr);
    return !fault || fail(p, p->op_at, TW_ERR_FORMAT, "%s: %s", p->op->name, fault);
}

static bool parse_types(parser *p) {
    p->types.count = 0;
    if (!expect_mark(p, ":", "':' and the types of the results")) return false;
    do {
        tw_type *type = VECTOR_PUSH(p->context, &p->types);
        if (!type) return false;
        if (!type_parse(p->context, &p->at, type)) return expected(p, "a type such as f32[64,2*n]");
    } while (scan_mark(&p->at, ","));
    return true;
}

/* name="..." into the module's arena. */
static bool parse_meta_text(parser *p, const char **out) {
    if (!expect_mark(p, "=", "'='")) return false;
    char *given = scan_string(p->context, &p->at);
    if (!given) return expected(p, "a text in quotes");
    bool same = *out && strcmp(*out, given) == 0;
    if (!same) *out = arena_copy_string(&p->main->module->arena, given);
    context_release(p->context, given);
    return *out != NULL;
}

static bool parse_number(parser *p, int most, const char *range, int *out) {
    int64_t number = 0;
    if (!expect_mark(p, "=", "'='")) return false;
    const char *at = p->at;
    if (!scan_integer(&at, &number) || number < 0 || number > most) return expected(p, range);
    p->at = at;
    *out = (int)number;
    return true;
}

static bool parse_meta(parser *p) {
    node_meta meta = {.scope = ""}, *last = &p->graph->meta;
    char word[SCAN_WORD];
    if (scan_mark(&p->at, "!")) {
        const char *at = p->at;
        if (!scan_word(&at, word)) return expected(p, "backward or update");
        if (strcmp(word, "backward") == 0)
            meta.phase = PHASE_BACKWARD;
        else if (strcmp(word, "update") == 0)
            meta.phase = PHASE_UPDATE;
        else
            return expected(p, "backward or update");
        p->at = at;
    }
    for (const char *at = p->at; scan_word(&at, word); at = p->at) {
        bool scope = strcmp(word, "scope") == 0, source = strcmp(word, "source") == 0;
        bool epoch = strcmp(word, "epoch") == 0;
        if (!scope && !source && !epoch && strcmp(word, "beside") != 0) break;
        p->at = at;
        if (scope) meta.scope = last->scope; /* most often the same again: no further copy */
        if (source) meta.source = last->source;
        bool fine = scope    ? parse_meta_text(p, &meta.scope)
                    : source ? parse_meta_text(p, &meta.source)
                    : epoch  ? parse_number(p, INT_MAX, "a number from 0 on", &meta.epoch)
                             : parse_number(p, 1, "0 or 1", &meta.beside);
        if (!fine) return false;
    }
    p->graph->meta = meta;
    p->graph->scope_fixed = true;
    return true;
}

static const tw_attr *attr_named(const parser *p, const char *name) {
    for (int i = 0; p->op->attributes && p->op->attributes[i].name; i++)
        if (strcmp(p->op->attributes[i].name, name) == 0) return &p->attr[i];
    return NULL;
}

/* The node's index. Inputs and variables go the way that fills the graph's tables. */
static uint32_t append(parser *p) {
    tw_graph *graph = p->graph;
    size_t before = graph->nodes.count;
    const tw_attr *dtype = attr_named(p, "dtype"), *shape = attr_named(p, "shape");
    const tw_attr *name = attr_named(p, "name"), *path = attr_named(p, "path");
    const tw_attr *trainable = attr_named(p, "trainable");
    if (strcmp(p->op->name, "input") == 0 && name && dtype && shape)
        tw_input(graph, name->string, (tw_dtype)dtype->i, shape->list);
    else if (strcmp(p->op->name, "variable") == 0 && path && dtype && shape && trainable)
        graph_declare(graph, path->string, (tw_type){(tw_dtype)dtype->i, shape->list},
                      tw_zeros_init(), trainable->i != 0);
    if (graph->nodes.count > before) return (uint32_t)before;
    if (graph->status) return NO_NODE;
    /* Also a variable that the graph has: a tape reads it again after an assignment. */
    return graph_append(graph, p->op, (int)p->operands.count, p->operands.at, p->attr);
}

static bool bind(parser *p, const node *made) {
    const char *where = p->op_at;
    if ((size_t)made->n_results != p->results.count || p->types.count != p->results.count)
        return fail(p, where, TW_ERR_FORMAT, "%s has %d results, not %zu of %zu types", p->op->name,
                    made->n_results, p->results.count, p->types.count);
    for (size_t i = 0; i < p->results.count; i++) {
        uint32_t id = made->first_result + (uint32_t)i;
        tw_type given = p->types.at[i], type = p->graph->values.at[id].type;
        if (!type_equal(given, type)) {
            text is = {.context = p->context};
            type_print(p->context, type, &is);
            char *word = text_take(&is);
            if (word)
                fail(p, where, TW_ERR_TYPE, "%%%lld is %s", (long long)p->results.at[i], word);
            tw_string_free(p->context, word);
            return false;
        }
        binding *slot = VECTOR_PUSH(p->context, &p->bindings);
        if (!slot) return false;
        *slot = (binding){p->results.at[i], id};
    }
    return true;
}

static bool parse_rest_of_node(parser *p) {
    if (!parse_types(p) || !parse_meta(p)) return false;
    uint32_t made = append(p);
    if (made == NO_NODE || p->graph->status) return refused(p, p->op_at);
    return bind(p, &p->graph->nodes.at[made]);
}

static bool parse_node(parser *p) {
    if (!parse_results(p) || !parse_operator(p) || !parse_operands(p)) return false;
    int count = operator_attr_count(p->op);
    p->attr = context_allocate(p->context, (size_t)count + 1, sizeof *p->attr);
    if (!p->attr) return false;
    bool fine = parse_attributes(p) && parse_rest_of_node(p);
    attributes_release(p->context, p->op, p->attr);
    context_release(p->context, p->attr);
    return fine;
}

static bool parse_return(parser *p, const char *where) {
    if (p->returned) return fail(p, where, TW_ERR_FORMAT, "a second return");
    p->returned = true;
    do {
        uint32_t id;
        if (!scan_defined(p, &id)) return false;
        uint32_t *slot = VECTOR_PUSH(p->context, &p->graph->outputs);
        if (!slot) return false;
        *slot = id;
    } while (scan_mark(&p->at, ","));
    return true;
}

static bool parse_assign(parser *p, const char *where) {
    tw_graph *graph = p->graph;
    uint32_t id;
    char *path = scan_string(p->context, &p->at);
    if (!path) return expected(p, "a variable's path in quotes");
    size_t i = 0;
    while (i < graph->variables.count && strcmp(graph->variables.at[i].spec.path, path) != 0) i++;
    bool found = i < graph->variables.count;
    if (!found) fail(p, where, TW_ERR_NOT_FOUND, "there is no variable \"%s\" above", path);
    context_release(p->context, path);
    if (!found || !expect_mark(p, "=", "'='") || !scan_defined(p, &id)) return false;
    tw_assign(graph_handle(graph, graph->variables.at[i].reference), graph_handle(graph, id));
    return graph->status == TW_OK || refused(p, where);
}

/* Up to the closing brace. */
static bool parse_body(parser *p) {
    char word[SCAN_WORD];
    p->bindings.count = 0;
    p->returned = false;
    if (!expect_mark(p, "{", "'{'")) return false;
    while (!scan_mark(&p->at, "}")) {
        scan_space(&p->at);
        const char *where = p->at;
        if (*where == '%') {
            if (!parse_node(p)) return false;
        } else if (!scan_word(&p->at, word)) {
            return expected(p, "a value, return, assign or '}'");
        } else if (strcmp(word, "return") == 0) {
            if (!parse_return(p, where)) return false;
        } else if (strcmp(word, "assign") == 0) {
            if (!parse_assign(p, where)) return false;
        } else {
            p->at = where;
            return expected(p, "a value, return, assign or '}'");
        }
    }
    return true;
}

/* What building left in the graph besides nodes: later additions start like after tw_graph_new. */
static void settle(tw_graph *graph) {
    graph->meta = (node_meta){.scope = ""};
    graph->scope_fixed = false;
    for (size_t i = 0; i < graph->nodes.count; i++)
        if (strcmp(graph->nodes.at[i].op->name, "random_bits") == 0)
            graph_draw(graph, graph->nodes.at[i].meta.scope);
    for (size_t i = 0; i < graph->variables.count; i++)
        if (strcmp(graph->variables.at[i].spec.path, "random/run") == 0)
            graph->random_run = (uint32_t)i + 1;
    for (size_t i = 0; i < graph->assigns.count; i++)
        if (graph->assigns.at[i].variable + 1 == graph->random_run) graph->run_counted = true;
}

static bool start_graph(parser *p, const char *name, bool is_main) {
    if (is_main) {
        p->graph = p->main;
        p->main->name = arena_copy_string(&p->main->module->arena, name);
        return p->main->name != NULL;
    }
    for (size_t i = 0; i < p->functions.count; i++)
        if (strcmp(p->functions.at[i]->name, name) == 0)
            return fail(p, p->at, TW_ERR_FORMAT, "a second function @%s", name);
    tw_graph *function = graph_function(p->main, name);
    tw_graph **slot = function ? VECTOR_PUSH(p->context, &p->functions) : NULL;
    if (!slot) return false;
    *slot = p->graph = function;
    return true;
}

static bool parse_text(parser *p) {
    char word[SCAN_WORD];
    for (bool is_main = false; !is_main;) {
        const char *at = p->at;
        bool known = scan_word(&at, word);
        is_main = known && strcmp(word, "graph") == 0;
        if (!is_main && !(known && strcmp(word, "function") == 0))
            return expected(p, "graph or function");
        p->at = at;
        char *name = function_name_parse(p->context, &p->at);
        if (!name) return expected(p, "a name such as @main");
        bool started = start_graph(p, name, is_main);
        context_release(p->context, name);
        if (!started || !parse_body(p)) return false;
        settle(p->graph);
    }
    scan_space(&p->at);
    return !*p->at || fail(p, p->at, TW_ERR_FORMAT, "there is more after the graph's end");
}

tw_graph *tw_graph_parse(tw_context *context, tw_store *store, const char *source) {
    if (!context) return NULL;
    if (!source) {
        context_error(context, TW_ERR_NULL, "tw_graph_parse: the text is NULL");
        return NULL;
    }
    tw_status before = context->status;
    parser p = {.context = context, .text = source, .at = source};
    p.main = tw_graph_new(context, store, TW_SYMBOLIC, NULL);
    if (!p.main) return NULL;
    context->status = TW_OK;
    bool fine = parse_text(&p);
    VECTOR_FREE(context, &p.functions);
    VECTOR_FREE(context, &p.bindings);
    VECTOR_FREE(context, &p.results);
    VECTOR_FREE(context, &p.operands);
    VECTOR_FREE(context, &p.types);
    if (!fine) {
        tw_graph_free(p.main);
        return NULL;
    }
    context->status = before;
    return p.main;
}
