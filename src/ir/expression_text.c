/*
 * A reader of the C that scalar kernels are made of, by recursive descent. It makes steps as it goes; a
 * call of a function with a text reads that text in a frame of its own, so calls are inlined.
 */
#include "ir/expression_text.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/elementary.h"

enum { LOCALS_MOST = 40, DEPTH_MOST = 200, ARGUMENTS_MOST = 4 };

typedef struct word {
    const char *at;
    size_t length;
} word;

typedef struct local {
    word name;
    scalar_type type;
    uint32_t value;
} local;

/* What is being read: an expression, or a function's body. */
typedef struct reader {
    steps *s;
    const char *at;
    int depth, n_locals;
    local locals[LOCALS_MOST];
} reader;

static const char *const functions[] = {ELEMENTARY_TEXTS, float_to_odd_text, double_to_odd_text};

static const struct {
    const char *name;
    expression_code code;
    int arguments;
    scalar_type argument, result;
} instructions[] = {
    {"fmaf", EXPRESSION_FMA, 3, SCALAR_F32, SCALAR_F32},
    {"fma", EXPRESSION_FMA, 3, SCALAR_F64, SCALAR_F64},
    {"fabsf", EXPRESSION_ABS, 1, SCALAR_F32, SCALAR_F32},
    {"fabs", EXPRESSION_ABS, 1, SCALAR_F64, SCALAR_F64},
    {"sqrtf", EXPRESSION_SQRT, 1, SCALAR_F32, SCALAR_F32},
    {"sqrt", EXPRESSION_SQRT, 1, SCALAR_F64, SCALAR_F64},
    {"floorf", EXPRESSION_FLOOR, 1, SCALAR_F32, SCALAR_F32},
    {"floor", EXPRESSION_FLOOR, 1, SCALAR_F64, SCALAR_F64},
    {"ceilf", EXPRESSION_CEIL, 1, SCALAR_F32, SCALAR_F32},
    {"ceil", EXPRESSION_CEIL, 1, SCALAR_F64, SCALAR_F64},
    {"rintf", EXPRESSION_RINT, 1, SCALAR_F32, SCALAR_F32},
    {"rint", EXPRESSION_RINT, 1, SCALAR_F64, SCALAR_F64},
    {"copysignf", EXPRESSION_COPYSIGN, 2, SCALAR_F32, SCALAR_F32},
    {"copysign", EXPRESSION_COPYSIGN, 2, SCALAR_F64, SCALAR_F64},
    {"scaled", EXPRESSION_SCALE, 2, SCALAR_F32, SCALAR_F32},
    {"float_bits", EXPRESSION_BITS, 1, SCALAR_F32, SCALAR_U32},
    {"float_of_bits", EXPRESSION_BITS, 1, SCALAR_U32, SCALAR_F32},
};

static uint32_t ternary(reader *r);
static uint32_t unary(reader *r);
static uint32_t call_text(reader *r, const char *text, int n, const uint32_t *argument);

static uint32_t fail(reader *r) {
    r->s->failed = true;
    r->at = "";
    return 0;
}

/* ---- words ---- */

static void skip(reader *r) {
    while (isspace((unsigned char)*r->at)) r->at++;
}

static bool part_of_word(char c) { return isalnum((unsigned char)c) || c == '_'; }

/* The sign, if it stands here. */
static bool take(reader *r, const char *sign) {
    size_t length = strlen(sign);
    skip(r);
    if (strncmp(r->at, sign, length) != 0) return false;
    r->at += length;
    return true;
}

static void expect(reader *r, const char *sign) {
    if (!take(r, sign)) fail(r);
}

/* A name or keyword; of length 0 where there is none. */
static word take_word(reader *r) {
    skip(r);
    word it = {r->at, 0};
    if (isdigit((unsigned char)*r->at)) return it;
    while (part_of_word(it.at[it.length])) it.length++;
    r->at += it.length;
    return it;
}

static bool is(word it, const char *name) {
    return strlen(name) == it.length && memcmp(it.at, name, it.length) == 0;
}

/* 0 where the word names no type. */
static scalar_type type_named(word it) {
    static const struct {
        const char *name;
        scalar_type type;
    } types[] = {{"float", SCALAR_F32},    {"double", SCALAR_F64},  {"int32_t", SCALAR_I32},
                 {"uint32_t", SCALAR_U32}, {"int64_t", SCALAR_I64}, {"uint64_t", SCALAR_U64},
                 {"uint8_t", SCALAR_U8},   {"int", SCALAR_I32},     {"bool", SCALAR_BOOL},
                 {"_Bool", SCALAR_BOOL}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (is(it, types[i].name)) return types[i].type;
    return (scalar_type)0;
}

static local *find_local(reader *r, word name) {
    for (int i = r->n_locals; i-- > 0;) {
        local *it = &r->locals[i];
        if (it->name.length == name.length && !memcmp(it->name.at, name.at, name.length)) return it;
    }
    return NULL;
}

static void add_local(reader *r, word name, scalar_type type, uint32_t value) {
    if (r->n_locals == LOCALS_MOST || !name.length) {
        fail(r);
        return;
    }
    r->locals[r->n_locals++] = (local){name, type, steps_convert(r->s, type, value)};
}

/* ---- numbers ---- */

/* The first of C's types for the literal that holds it. */
static uint32_t whole(reader *r, const char *text, const char *suffix, bool hex) {
    bool is_unsigned = false, is_long = false;
    for (; *suffix; suffix++) {
        if (*suffix == 'u' || *suffix == 'U')
            is_unsigned = true;
        else if (*suffix == 'l' || *suffix == 'L')
            is_long = true;
        else
            return fail(r);
    }
    errno = 0;
    uint64_t value = strtoull(text, NULL, 0);
    if (errno) return fail(r);
    scalar_type type;
    if (value > INT64_MAX)
        type = SCALAR_U64;
    else if (is_unsigned)
        type = is_long || value > UINT32_MAX ? SCALAR_U64 : SCALAR_U32;
    else if (is_long || value > UINT32_MAX || (value > INT32_MAX && !hex))
        type = SCALAR_I64;
    else
        type = value > INT32_MAX ? SCALAR_U32 : SCALAR_I32;
    return steps_number(r->s, type, 0, (int64_t)value);
}

static uint32_t number(reader *r) {
    char text[48], *end;
    size_t n = 0;
    bool hex = r->at[0] == '0' && (r->at[1] == 'x' || r->at[1] == 'X'), real = false;
    for (;; r->at++) {
        char c = *r->at, lower = (char)tolower((unsigned char)c);
        char before = n ? (char)tolower((unsigned char)text[n - 1]) : 0;
        bool sign = (c == '+' || c == '-') && before == (hex ? 'p' : 'e');
        if (!isalnum((unsigned char)c) && c != '.' && !sign) break;
        if (n + 1 == sizeof text) return fail(r);
        real = real || c == '.' || lower == (hex ? 'p' : 'e');
        text[n++] = c;
    }
    text[n] = 0;
    if (real) {
        double value = strtod(text, &end);
        if (end == text) return fail(r);
        if (!*end) return steps_number(r->s, SCALAR_F64, value, 0);
        if ((*end != 'f' && *end != 'F') || end[1]) return fail(r);
        return steps_number(r->s, SCALAR_F32, (double)strtof(text, &end), 0);
    }
    strtoull(text, &end, 0);
    return end == text ? fail(r) : whole(r, text, end, hex);
}

/* ---- expressions ---- */

static int arguments(reader *r, uint32_t *argument) {
    int n = 0;
    expect(r, "(");
    if (take(r, ")")) return 0;
    do {
        if (n == ARGUMENTS_MOST) {
            fail(r);
            return 0;
        }
        argument[n++] = ternary(r);
    } while (take(r, ","));
    expect(r, ")");
    return n;
}

static bool text_defines(const char *text, word name) {
    const char *at = strchr(text, ' ') + 1;
    return strncmp(at, name.at, name.length) == 0 && at[name.length] == '(';
}

static const struct {
    const char *name;
    const float (*row)[PIECES];
} tables[] = {ELEMENTARY_PIECES};

/* "(tanh_pieces[3], i)" */
static uint32_t lookup_call(reader *r) {
    const float(*row)[PIECES] = NULL;
    expect(r, "(");
    word name = take_word(r);
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
        if (is(name, tables[i].name)) row = tables[i].row;
    expect(r, "[");
    skip(r);
    int number = *r->at >= '0' && *r->at < '0' + PIECE_ROWS ? *r->at++ - '0' : -1;
    expect(r, "]");
    expect(r, ",");
    uint32_t index = steps_convert(r->s, SCALAR_U32, ternary(r));
    expect(r, ")");
    if (!row || number < 0) return fail(r);
    return steps_add(
        r->s, (expression_step){
                  .code = EXPRESSION_LOOKUP, .type = SCALAR_F32, .a = index, .table = row[number]});
}

static uint32_t call(reader *r, word name) {
    uint32_t argument[ARGUMENTS_MOST] = {0};
    if (is(name, "lookup")) return lookup_call(r);
    /* <math.h> makes NAN of it. */
    if (is(name, "__builtin_nanf")) {
        expect(r, "(\"\")");
        return steps_number(r->s, SCALAR_F32, (double)NAN, 0);
    }
    int n = arguments(r, argument);
    if (r->s->failed) return 0;
    if (is(name, "__builtin_inff") && n == 0)
        return steps_number(r->s, SCALAR_F32, (double)INFINITY, 0);
    for (size_t i = 0; i < sizeof instructions / sizeof *instructions; i++) {
        if (!is(name, instructions[i].name)) continue;
        if (n != instructions[i].arguments) return fail(r);
        for (int k = 0; k < n; k++)
            argument[k] = steps_convert(r->s, instructions[i].argument, argument[k]);
        return steps_add(r->s, (expression_step){.code = instructions[i].code,
                                                 .type = instructions[i].result,
                                                 .a = argument[0],
                                                 .b = argument[1],
                                                 .c = argument[2]});
    }
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
        if (text_defines(functions[i], name)) return call_text(r, functions[i], n, argument);
    return fail(r);
}

/* "(" has been read. */
static uint32_t cast_or_group(reader *r) {
    const char *start = r->at;
    scalar_type type = type_named(take_word(r));
    if (type && take(r, ")")) return steps_convert(r->s, type, unary(r));
    r->at = start;
    uint32_t value = ternary(r);
    expect(r, ")");
    return value;
}

static uint32_t primary(reader *r) {
    skip(r);
    if (take(r, "(")) return cast_or_group(r);
    if (isdigit((unsigned char)*r->at) || *r->at == '.') return number(r);
    word name = take_word(r);
    if (!name.length) return fail(r);
    skip(r);
    if (*r->at == '(') return call(r, name);
    local *it = find_local(r, name);
    if (it) return it->value;
    if (is(name, "INFINITY")) return steps_number(r->s, SCALAR_F32, (double)INFINITY, 0);
    if (is(name, "NAN")) return steps_number(r->s, SCALAR_F32, (double)NAN, 0);
    return fail(r);
}

static uint32_t unary(reader *r) {
    uint32_t value = 0;
    if (r->s->failed || ++r->depth > DEPTH_MOST) return fail(r);
    skip(r);
    if (!strncmp(r->at, "--", 2) || !strncmp(r->at, "++", 2)) return fail(r);
    if (take(r, "-"))
        value = steps_unary(r->s, EXPRESSION_NEG, unary(r));
    else if (take(r, "+"))
        value = unary(r);
    else if (take(r, "~"))
        value = steps_unary(r->s, EXPRESSION_NOT, unary(r));
    else if (take(r, "!"))
        value = steps_add(r->s, (expression_step){.code = EXPRESSION_NOT,
                                                  .type = SCALAR_BOOL,
                                                  .a = steps_convert(r->s, SCALAR_BOOL, unary(r))});
    else
        value = primary(r);
    r->depth--;
    return value;
}

/* Longer signs first; `truth` for && and ||. */
static const struct binary_sign {
    const char *sign;
    int level;
    expression_code code;
    bool truth;
} signs[] = {
    {"||", 1, EXPRESSION_OR, true},          {"&&", 2, EXPRESSION_AND, true},
    {"==", 6, EXPRESSION_EQ, false},         {"!=", 6, EXPRESSION_NE, false},
    {"<<", 8, EXPRESSION_SHIFT_LEFT, false}, {">>", 8, EXPRESSION_SHIFT_RIGHT, false},
    {"<=", 7, EXPRESSION_LE, false},         {">=", 7, EXPRESSION_GE, false},
    {"<", 7, EXPRESSION_LT, false},          {">", 7, EXPRESSION_GT, false},
    {"|", 3, EXPRESSION_OR, false},          {"^", 4, EXPRESSION_XOR, false},
    {"&", 5, EXPRESSION_AND, false},         {"+", 9, EXPRESSION_ADD, false},
    {"-", 9, EXPRESSION_SUB, false},         {"*", 10, EXPRESSION_MUL, false},
    {"/", 10, EXPRESSION_DIV, false},        {"%", 10, EXPRESSION_REM, false},
};

/* Signs of `level` and what binds tighter. */
static uint32_t binary(reader *r, int level) {
    uint32_t left = unary(r);
    while (!r->s->failed) {
        const struct binary_sign *found = NULL;
        skip(r);
        for (size_t i = 0; i < sizeof signs / sizeof *signs && !found; i++)
            if (!strncmp(r->at, signs[i].sign, strlen(signs[i].sign))) found = &signs[i];
        if (!found || found->level < level) break;
        r->at += strlen(found->sign);
        uint32_t right = binary(r, found->level + 1);
        if (found->truth) {
            left = steps_convert(r->s, SCALAR_BOOL, left);
            right = steps_convert(r->s, SCALAR_BOOL, right);
        }
        left = steps_binary(r->s, found->code, left, right);
    }
    return left;
}

static uint32_t ternary(reader *r) {
    if (r->s->failed || ++r->depth > DEPTH_MOST) return fail(r);
    uint32_t value = binary(r, 1);
    if (take(r, "?")) {
        uint32_t yes = ternary(r);
        expect(r, ":");
        value = steps_select(r->s, value, yes, ternary(r));
    }
    r->depth--;
    return value;
}

/* ---- functions ---- */

/* "float x, int32_t n)": the arguments as locals. */
static void parameters(reader *r, int n, const uint32_t *argument) {
    expect(r, "(");
    for (int i = 0; i < n && !r->s->failed; i++) {
        if (i) expect(r, ",");
        scalar_type type = type_named(take_word(r));
        if (!type) {
            fail(r);
            return;
        }
        add_local(r, take_word(r), type, argument[i]);
    }
    expect(r, ")");
}

/* "const float a = 1, b = a;" from after the type, or "a = 2;" from after the name. */
static void statement(reader *r, scalar_type type, word first) {
    local *there = type ? NULL : find_local(r, first);
    if (!type && !there) fail(r);
    if (there) {
        expect(r, "=");
        there->value = steps_convert(r->s, there->type, ternary(r));
    }
    while (type && !r->s->failed) {
        word name = take_word(r);
        expect(r, "=");
        add_local(r, name, type, ternary(r));
        if (!take(r, ",")) break;
    }
    expect(r, ";");
}

static uint32_t call_text(reader *r, const char *text, int n, const uint32_t *argument) {
    reader body = {.s = r->s, .at = text, .depth = r->depth + 1};
    scalar_type result = type_named(take_word(&body));
    take_word(&body);
    parameters(&body, n, argument);
    expect(&body, "{");
    while (!r->s->failed) {
        word first = take_word(&body);
        if (is(first, "return")) break;
        if (is(first, "const")) first = take_word(&body);
        statement(&body, type_named(first), first);
    }
    uint32_t value = steps_convert(r->s, result, ternary(&body));
    expect(&body, ";");
    expect(&body, "}");
    return value;
}

uint32_t expression_read(steps *s, const char *names, const uint32_t *operand, int n_operands,
                         const char *text) {
    reader r = {.s = s, .at = names};
    for (int i = 0; i < n_operands && !s->failed; i++)
        add_local(&r, take_word(&r), steps_type(s, operand[i]), operand[i]);
    skip(&r);
    if (*r.at) fail(&r);
    r.at = text;
    uint32_t value = ternary(&r);
    skip(&r);
    if (*r.at) fail(&r);
    return s->failed ? 0 : value;
}
