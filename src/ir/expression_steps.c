/*
 * Steps with C's rules of types: promotions, usual conversions, comparisons. A truth value is one
 * until arithmetic makes an int of it; comparisons and selects of one type don't widen it, which gives
 * the same value.
 */
#include "ir/expression_steps.h"

#include <math.h>
#include <string.h>

scalar_type steps_type(const steps *s, uint32_t value) {
    return s->failed ? SCALAR_I32 : s->step[value].type;
}

static bool same_number(double a, double b) { return memcmp(&a, &b, sizeof a) == 0; }

static bool same_step(const expression_step *a, const expression_step *b) {
    return a->code == b->code && a->type == b->type && a->a == b->a && a->b == b->b &&
           a->c == b->c && a->integer == b->integer && a->table == b->table &&
           same_number(a->number, b->number);
}

uint32_t steps_add(steps *s, expression_step made) {
    if (s->failed) return 0;
    for (uint32_t i = 0; i < s->count; i++)
        if (same_step(&s->step[i], &made)) return i;
    if (s->count == s->capacity) {
        uint32_t capacity = s->capacity ? s->capacity * 2 : 32;
        expression_step *step =
            capacity <= STEPS_MOST ? arena_allocate(s->memory, capacity, sizeof *step) : NULL;
        if (!step) {
            s->failed = true;
            return 0;
        }
        if (s->count) memcpy(step, s->step, s->count * sizeof *step);
        s->step = step;
        s->capacity = capacity;
    }
    s->step[s->count] = made;
    return s->count++;
}

/* As C wraps it. */
static int64_t wrapped(scalar_type type, int64_t integer) {
    switch (type) {
    case SCALAR_BOOL: return integer != 0;
    case SCALAR_U8: return (uint8_t)integer;
    case SCALAR_I32: return (int32_t)integer;
    case SCALAR_U32: return (uint32_t)integer;
    default: return integer;
    }
}

uint32_t steps_number(steps *s, scalar_type type, double number, int64_t integer) {
    expression_step made = {.code = EXPRESSION_NUMBER, .type = type};
    if (type == SCALAR_F32)
        made.number = (double)(float)number;
    else if (type == SCALAR_F64)
        made.number = number;
    else
        made.integer = wrapped(type, integer);
    return steps_add(s, made);
}

static uint32_t operation(steps *s, expression_code code, scalar_type type, uint32_t a, uint32_t b,
                          uint32_t c) {
    return steps_add(s, (expression_step){.code = code, .type = type, .a = a, .b = b, .c = c});
}

/* A number of another type; false where only the machine can say. */
static bool convert_number(steps *s, scalar_type type, const expression_step *from, uint32_t *out) {
    if (from->code != EXPRESSION_NUMBER) return false;
    bool floats = scalar_float(from->type);
    if (floats && !scalar_float(type)) {
        if (type == SCALAR_BOOL) {
            *out = steps_number(s, type, 0, from->number != 0);
            return true;
        }
        if (!(fabs(from->number) < 0x1p31)) return false;
        if (from->number < 0 && !scalar_signed(type)) return false;
        *out = steps_number(s, type, 0, (int64_t)from->number);
        return true;
    }
    double number = floats                     ? from->number
                    : from->type == SCALAR_U64 ? (double)(uint64_t)from->integer
                                               : (double)from->integer;
    /* two roundings could differ from one */
    if (!floats && type == SCALAR_F32)
        number = (double)(from->type == SCALAR_U64 ? (float)(uint64_t)from->integer
                                                   : (float)from->integer);
    *out = steps_number(s, type, number, from->integer);
    return true;
}

/* Whether every value of `from` is one of `to`. */
static bool holds(scalar_type to, scalar_type from) {
    static const uint8_t bits[] = {0, 1, 8, 31, 32, 63, 64, 24, 53};
    if (scalar_float(from)) return false;
    return bits[to] >= bits[from] && (!scalar_signed(from) || scalar_signed(to));
}

uint32_t steps_convert(steps *s, scalar_type type, uint32_t value) {
    uint32_t made;
    if (s->failed) return 0;
    expression_step from = s->step[value];
    if (from.type == type) return value;
    if (convert_number(s, type, &from, &made)) return made;
    if (from.code == EXPRESSION_CONVERT) {
        scalar_type first = s->step[from.a].type;
        if (holds(from.type, first) && !scalar_float(from.type))
            return steps_convert(s, type, from.a);
    }
    return operation(s, EXPRESSION_CONVERT, type, value, 0, 0);
}

static scalar_type promoted(scalar_type type) {
    return type == SCALAR_BOOL || type == SCALAR_U8 ? SCALAR_I32 : type;
}

/* What C's usual arithmetic conversions make of two types: the enumeration is in order of rank. */
static scalar_type common(scalar_type a, scalar_type b) {
    a = promoted(a), b = promoted(b);
    return a > b ? a : b;
}

uint32_t steps_unary(steps *s, expression_code code, uint32_t a) {
    if (s->failed) return 0;
    scalar_type type = promoted(steps_type(s, a));
    if (code == EXPRESSION_NOT && scalar_float(type)) {
        s->failed = true;
        return 0;
    }
    const expression_step *it = &s->step[a];
    if (code == EXPRESSION_NEG && it->code == EXPRESSION_NUMBER)
        return steps_number(s, type, -it->number, (int64_t)(0 - (uint64_t)it->integer));
    return operation(s, code, type, steps_convert(s, type, a), 0, 0);
}

uint32_t steps_binary(steps *s, expression_code code, uint32_t a, uint32_t b) {
    if (s->failed) return 0;
    scalar_type left = steps_type(s, a), right = steps_type(s, b), type = common(left, right);
    bool bits = code >= EXPRESSION_AND && code <= EXPRESSION_XOR;
    bool shift = code == EXPRESSION_SHIFT_LEFT || code == EXPRESSION_SHIFT_RIGHT;
    bool compares = code >= EXPRESSION_EQ && code <= EXPRESSION_GE;
    if ((bits || shift || code == EXPRESSION_REM) && scalar_float(type)) {
        s->failed = true;
        return 0;
    }
    if (shift) type = promoted(left);
    if (left == right && (compares || (bits && left == SCALAR_BOOL))) type = left;
    a = steps_convert(s, type, a);
    b = steps_convert(s, type, b);
    return operation(s, code, compares ? SCALAR_BOOL : type, a, b, 0);
}

uint32_t steps_select(steps *s, uint32_t where, uint32_t yes, uint32_t no) {
    if (s->failed) return 0;
    scalar_type left = steps_type(s, yes), right = steps_type(s, no);
    scalar_type type = left == right ? left : common(left, right);
    where = steps_convert(s, SCALAR_BOOL, where);
    yes = steps_convert(s, type, yes);
    no = steps_convert(s, type, no);
    return yes == no ? yes : operation(s, EXPRESSION_SELECT, type, where, yes, no);
}

/* How many of a, b, c are steps. */
static int reads(expression_code code) {
    switch (code) {
    case EXPRESSION_INPUT:
    case EXPRESSION_NUMBER: return 0;
    case EXPRESSION_CONVERT:
    case EXPRESSION_BITS:
    case EXPRESSION_NEG:
    case EXPRESSION_NOT:
    case EXPRESSION_ABS:
    case EXPRESSION_SQRT:
    case EXPRESSION_FLOOR:
    case EXPRESSION_CEIL:
    case EXPRESSION_RINT:
    case EXPRESSION_LOOKUP: return 1;
    case EXPRESSION_SELECT:
    case EXPRESSION_FMA: return 3;
    default: return 2;
    }
}

expression steps_take(steps *s, uint32_t result) {
    expression out = {0};
    uint32_t *place = s->failed ? NULL : arena_allocate(s->memory, s->count, sizeof *place);
    if (!place) {
        s->failed = true;
        return out;
    }
    place[result] = 1;
    for (uint32_t i = result + 1; i-- > 0;) {
        const expression_step *it = &s->step[i];
        int n = place[i] ? reads(it->code) : 0;
        if (n > 0) place[it->a] = 1;
        if (n > 1) place[it->b] = 1;
        if (n > 2) place[it->c] = 1;
    }
    for (uint32_t i = 0; i <= result; i++) {
        if (!place[i]) continue;
        expression_step it = s->step[i];
        int n = reads(it.code);
        if (n > 0) it.a = place[it.a];
        if (n > 1) it.b = place[it.b];
        if (n > 2) it.c = place[it.c];
        place[i] = out.count;
        s->step[out.count++] = it;
    }
    out.step = s->step;
    return out;
}
