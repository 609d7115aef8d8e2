/*
 * What expressions say against what plain kernels do: every elementwise operator, for every type and
 * attribute, step by step over special and random values, bit for bit (any NaN is as good as another).
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/half.h"
#include "ir/expression.h"

enum { ELEMENTS = 6000 };

static tw_context *context;
static uint64_t random_state = 1;

static uint64_t random_bits(void) {
    random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    uint64_t x = random_state ^ random_state >> 33;
    return x * UINT64_C(0xff51afd7ed558ccd) ^ x >> 29;
}

/* ---- an interpreter ---- */

typedef union scalar {
    float f;
    double d;
    int64_t i; /* of integers, extended as their type is */
} scalar;

static int64_t wrap(scalar_type type, uint64_t bits) {
    switch (type) {
    case SCALAR_BOOL: return bits & 1;
    case SCALAR_U8: return (uint8_t)bits;
    case SCALAR_I32: return (int32_t)(uint32_t)bits;
    case SCALAR_U32: return (uint32_t)bits;
    default: return (int64_t)bits;
    }
}

/* Where C's conversion means nothing, no one may read it. */
static int64_t integer_of(scalar_type type, double x) {
    switch (type) {
    case SCALAR_BOOL: return x != 0;
    case SCALAR_U8: return x > -1 && x < 256 ? (int64_t)x : 77;
    case SCALAR_I32: return x > -2147483649.0 && x < 2147483648.0 ? (int64_t)x : 77;
    case SCALAR_U32: return x > -1 && x < 4294967296.0 ? (int64_t)x : 77;
    case SCALAR_I64: return x >= -0x1p63 && x < 0x1p63 ? (int64_t)x : 77;
    default: return x > -1 && x < 0x1p64 ? (int64_t)(uint64_t)x : 77;
    }
}

static scalar convert(scalar_type to, scalar_type from, scalar x) {
    scalar y = {.i = 0};
    bool large = from == SCALAR_U64;
    if (to == SCALAR_F32)
        y.f = from == SCALAR_F32   ? x.f
              : from == SCALAR_F64 ? (float)x.d
              : large              ? (float)(uint64_t)x.i
                                   : (float)x.i;
    else if (to == SCALAR_F64)
        y.d = from == SCALAR_F32   ? (double)x.f
              : from == SCALAR_F64 ? x.d
              : large              ? (double)(uint64_t)x.i
                                   : (double)x.i;
    else if (from == SCALAR_F32 || from == SCALAR_F64)
        y.i = integer_of(to, from == SCALAR_F32 ? (double)x.f : x.d);
    else
        y.i = to == SCALAR_BOOL ? x.i != 0 : wrap(to, (uint64_t)x.i);
    return y;
}

#define FLOAT_STEP(T, member)                                                                      \
    static scalar step_##T(expression_code code, scalar a, scalar b, scalar c) {                   \
        scalar y = {.i = 0};                                                                       \
        T p = a.member, q = b.member;                                                              \
        switch (code) {                                                                            \
        case EXPRESSION_NEG: y.member = -p; break;                                                 \
        case EXPRESSION_ADD: y.member = p + q; break;                                              \
        case EXPRESSION_SUB: y.member = p - q; break;                                              \
        case EXPRESSION_MUL: y.member = p * q; break;                                              \
        case EXPRESSION_DIV: y.member = p / q; break;                                              \
        case EXPRESSION_FMA: y.member = (T)FMA_##T(p, q, c.member); break;                         \
        case EXPRESSION_ABS: y.member = (T)fabs((double)p); break;                                 \
        case EXPRESSION_SQRT: y.member = SQRT_##T(p); break;                                       \
        case EXPRESSION_FLOOR: y.member = (T)floor((double)p); break;                              \
        case EXPRESSION_CEIL: y.member = (T)ceil((double)p); break;                                \
        case EXPRESSION_RINT: y.member = (T)rint((double)p); break;                                \
        case EXPRESSION_COPYSIGN: y.member = (T)copysign((double)p, (double)q); break;             \
        default: fail_msg("code %d on floats", (int)code);                                         \
        }                                                                                          \
        return y;                                                                                  \
    }
#define FMA_float fmaf
#define FMA_double fma
#define SQRT_float sqrtf
#define SQRT_double sqrt
FLOAT_STEP(float, f)
FLOAT_STEP(double, d)

static bool related(expression_code code, int order, bool unordered) {
    if (unordered) return code == EXPRESSION_NE;
    switch (code) {
    case EXPRESSION_EQ: return order == 0;
    case EXPRESSION_NE: return order != 0;
    case EXPRESSION_LT: return order < 0;
    case EXPRESSION_LE: return order <= 0;
    case EXPRESSION_GT: return order > 0;
    default: return order >= 0;
    }
}

static bool compare(expression_code code, scalar_type type, scalar a, scalar b) {
    if (type == SCALAR_F32)
        return related(code, (a.f > b.f) - (a.f < b.f), isnan(a.f) || isnan(b.f));
    if (type == SCALAR_F64)
        return related(code, (a.d > b.d) - (a.d < b.d), isnan(a.d) || isnan(b.d));
    if (type == SCALAR_U64) {
        uint64_t p = (uint64_t)a.i, q = (uint64_t)b.i;
        return related(code, (p > q) - (p < q), false);
    }
    return related(code, (a.i > b.i) - (a.i < b.i), false);
}

static uint64_t divided(expression_code code, scalar_type type, int64_t a, int64_t b) {
    bool rest = code == EXPRESSION_REM;
    if (b == 0) return 77;
    if (b == -1 && type != SCALAR_U64) return rest ? 0 : 0 - (uint64_t)a;
    if (type == SCALAR_U64) return rest ? (uint64_t)a % (uint64_t)b : (uint64_t)a / (uint64_t)b;
    return (uint64_t)(rest ? a % b : a / b);
}

static int64_t step_integer(expression_code code, scalar_type type, int64_t a, int64_t b) {
    uint64_t p = (uint64_t)a, q = (uint64_t)b, y = 0;
    bool natural = type == SCALAR_I32 || type == SCALAR_I64;
    switch (code) {
    case EXPRESSION_NEG: y = 0 - p; break;
    case EXPRESSION_NOT: y = ~p; break;
    case EXPRESSION_ADD: y = p + q; break;
    case EXPRESSION_SUB: y = p - q; break;
    case EXPRESSION_MUL: y = p * q; break;
    case EXPRESSION_DIV:
    case EXPRESSION_REM: y = divided(code, type, a, b); break;
    case EXPRESSION_AND: y = p & q; break;
    case EXPRESSION_OR: y = p | q; break;
    case EXPRESSION_XOR: y = p ^ q; break;
    case EXPRESSION_SHIFT_LEFT: y = q < 64 ? p << q : 77; break;
    case EXPRESSION_SHIFT_RIGHT: y = q >= 64 ? 77 : natural ? (uint64_t)(a >> q) : p >> q; break;
    default: fail_msg("code %d on integers", (int)code);
    }
    return wrap(type, y);
}

static scalar bits_of(scalar_type to, scalar_type from, scalar x) {
    scalar y = {.i = 0};
    if (to == SCALAR_F32) {
        uint32_t bits = (uint32_t)x.i;
        memcpy(&y.f, &bits, sizeof bits);
    } else {
        uint32_t bits;
        assert_true(from == SCALAR_F32 && to == SCALAR_U32);
        memcpy(&bits, &x.f, sizeof bits);
        y.i = bits;
    }
    return y;
}

static scalar evaluate(const expression *e, const scalar *in) {
    scalar value[1024];
    assert_in_range(e->count, 1, 1024);
    for (uint32_t i = 0; i < e->count; i++) {
        const expression_step *it = &e->step[i];
        scalar a = it->code == EXPRESSION_INPUT ? in[it->a] : value[it->a];
        scalar b = value[it->b], c = value[it->c], *y = &value[i];
        scalar_type from = it->code == EXPRESSION_INPUT ? it->type : e->step[it->a].type;
        y->i = 0;
        switch (it->code) {
        case EXPRESSION_INPUT: *y = a; break;
        case EXPRESSION_NUMBER:
            if (it->type == SCALAR_F32)
                y->f = (float)it->number;
            else if (it->type == SCALAR_F64)
                y->d = it->number;
            else
                y->i = it->integer;
            break;
        case EXPRESSION_CONVERT: *y = convert(it->type, from, a); break;
        case EXPRESSION_BITS: *y = bits_of(it->type, from, a); break;
        case EXPRESSION_EQ:
        case EXPRESSION_NE:
        case EXPRESSION_LT:
        case EXPRESSION_LE:
        case EXPRESSION_GT:
        case EXPRESSION_GE:
            assert_int_equal(e->step[it->b].type, from);
            y->i = compare(it->code, from, a, b);
            break;
        case EXPRESSION_SELECT:
            assert_int_equal(from, SCALAR_BOOL);
            assert_int_equal(e->step[it->b].type, it->type);
            assert_int_equal(e->step[it->c].type, it->type);
            *y = a.i ? b : c;
            break;
        case EXPRESSION_SCALE: y->f = isnan(b.f) ? a.f + b.f : ldexpf(a.f, (int)b.f); break;
        case EXPRESSION_LOOKUP: y->f = it->table[a.i & 31]; break;
        default:
            assert_int_equal(from, it->type);
            if (it->type == SCALAR_F32)
                *y = step_float(it->code, a, b, c);
            else if (it->type == SCALAR_F64)
                *y = step_double(it->code, a, b, c);
            else
                y->i = step_integer(it->code, it->type, a.i, b.i);
        }
    }
    return value[e->count - 1];
}

/* ---- elements in memory ---- */

static uint64_t drawn_float(bool wide) {
    static const double special[] = {0,      -0.0,    1,         -1,         0.5,          -2.5,
                                     3.5,    1e-42,   -1e-42,    1e-310,     0x1p-126,     88.9,
                                     -103.9, 1e30,    255,       256,        -0.75,        0x1p31,
                                     0x1p63, -0x1p31, 0x1p64,    2147483647, 4294967295.0, 65504,
                                     65520,  1e308,   0x1p-1074, -0x1p63};
    uint64_t draw = random_bits();
    double x = (double)(int64_t)random_bits() * 0x1p-60;
    enum { SPECIAL = sizeof special / sizeof *special };
    switch (draw % 8) {
    case 0: x = NAN; break;
    case 1: x = draw & 64 ? INFINITY : -INFINITY; break;
    case 2:
    case 3: x = special[draw / 8 % SPECIAL]; break;
    case 4: x *= 16; break;
    case 5: return wide ? random_bits() : (uint32_t)random_bits();
    default: break;
    }
    uint64_t bits = 0;
    float narrow = (float)x;
    memcpy(&bits, wide ? (const void *)&x : &narrow, wide ? 8 : 4);
    return bits;
}

static void draw(tw_dtype dtype, void *to, int i) {
    static const int64_t edge[] = {0,   1,         -1,        2,         7,        255,
                                   128, INT32_MIN, INT32_MAX, INT64_MIN, INT64_MAX};
    uint64_t bits = random_bits();
    if (dtype == TW_F32 || dtype == TW_F64)
        bits = drawn_float(dtype == TW_F64);
    else if (dtype_half(dtype))
        bits = bits & 1 ? bits >> 8 : half_of(dtype, (double)(int64_t)random_bits() * 0x1p-60);
    else if (dtype == TW_BOOL)
        bits &= 1;
    else if (bits % 2)
        bits = (uint64_t)edge[bits / 2 % 11];
    size_t size = tw_dtype_size(dtype);
    memcpy((char *)to + (size_t)i * size, &bits, size);
}

static scalar load(tw_dtype dtype, const void *from, int i) {
    scalar x = {.i = 0};
    size_t size = tw_dtype_size(dtype);
    uint64_t bits = 0;
    memcpy(&bits, (const char *)from + (size_t)i * size, size);
    if (dtype == TW_F16)
        x.f = f16_widen((uint16_t)bits);
    else if (dtype == TW_BF16)
        x.f = bf16_widen((uint16_t)bits);
    else if (dtype == TW_F32 || dtype == TW_F64)
        memcpy(&x, &bits, size);
    else
        x.i = wrap(scalar_type_of(dtype), bits);
    return x;
}

/* The bits of an element, those of one NaN for all. */
static uint64_t stored(tw_dtype dtype, scalar x) {
    uint64_t bits = 0;
    if (dtype_half(dtype))
        return isnan(x.f) ? 0x7fff : dtype == TW_F16 ? f16_narrow(x.f) : bf16_narrow(x.f);
    if (dtype == TW_F32 && isnan(x.f)) x.f = NAN;
    if (dtype == TW_F64 && isnan(x.d)) x.d = NAN;
    memcpy(&bits, &x, tw_dtype_size(dtype));
    return bits;
}

/* ---- operators ---- */

typedef struct use {
    const tw_operator *op;
    int n;
    tw_type operand[TW_SCALAR_OPERANDS], result;
    tw_attr attr;
    tw_dtype by;
    void *in[TW_SCALAR_OPERANDS], *out;
} use;

static int operands_of(const tw_operator *op) {
    int n = 1;
    for (const char *c = op->operands; *c; c++) n += *c == ' ';
    return n;
}

/* The plain kernel, as the runtime calls it: f16 and bf16 through f32. */
static void run_kernel(use *u) {
    bool wide = dtype_half(u->by) && !u->op->scalar[u->by];
    tw_scalar_kernel kernel = u->op->scalar[wide ? TW_F32 : u->by];
    int64_t step[TW_SCALAR_OPERANDS];
    void *widened[TW_SCALAR_OPERANDS] = {NULL}, *result = u->out;
    const void *in[TW_SCALAR_OPERANDS];
    bool narrows = wide && dtype_half(u->result.dtype);
    for (int k = 0; k < u->n; k++) {
        in[k] = u->in[k];
        step[k] = 1;
        if (!wide || !dtype_half(u->operand[k].dtype)) continue;
        widened[k] = malloc(ELEMENTS * sizeof(float));
        half_widen(u->operand[k].dtype, u->in[k], 1, ELEMENTS, widened[k]);
        in[k] = widened[k];
    }
    if (narrows) result = malloc(ELEMENTS * sizeof(float));
    kernel(ELEMENTS, result, in, step, &u->attr);
    if (narrows) {
        half_narrow(u->result.dtype, result, ELEMENTS, u->out);
        free(result);
    }
    for (int k = 0; k < u->n; k++) free(widened[k]);
}

static void compare_with_kernel(use *u, const expression *e) {
    for (int k = 0; k < u->n; k++) {
        u->in[k] = malloc(ELEMENTS * tw_dtype_size(u->operand[k].dtype));
        for (int i = 0; i < ELEMENTS; i++) draw(u->operand[k].dtype, u->in[k], i);
    }
    u->out = malloc(ELEMENTS * tw_dtype_size(u->result.dtype));
    run_kernel(u);
    for (int i = 0; i < ELEMENTS; i++) {
        scalar in[TW_SCALAR_OPERANDS];
        for (int k = 0; k < u->n; k++) in[k] = load(u->operand[k].dtype, u->in[k], i);
        uint64_t have = stored(u->result.dtype, evaluate(e, in));
        uint64_t want = stored(u->result.dtype, load(u->result.dtype, u->out, i));
        if (have == want) continue;
        fail_msg("%s of %s to %s, attribute %lld: %llx, the kernel has %llx for bits %llx, %llx",
                 u->op->name, tw_dtype_name(u->by), tw_dtype_name(u->result.dtype),
                 (long long)u->attr.i, (unsigned long long)have, (unsigned long long)want,
                 (unsigned long long)in[0].i, u->n > 1 ? (unsigned long long)in[1].i : 0);
    }
    for (int k = 0; k < u->n; k++) free(u->in[k]);
    free(u->out);
}

/* What has no text that says it all: calls of the C library. */
static bool left_to_kernel(const char *name, tw_dtype by) {
    static const char *const f32[] = {"pow", "rem", "atan2"};
    static const char *const f64[] = {"sin",   "cos", "expm1", "log1p",    "pow",  "rem",
                                      "atan2", "exp", "log",   "logistic", "tanh", "erf"};
    if (by == TW_F64) {
        for (size_t i = 0; i < sizeof f64 / sizeof *f64; i++)
            if (strcmp(name, f64[i]) == 0) return true;
    } else if (by == TW_F32 || dtype_half(by)) {
        for (size_t i = 0; i < sizeof f32 / sizeof *f32; i++)
            if (strcmp(name, f32[i]) == 0) return true;
    }
    return false;
}

/* One attribute value; false where the operator refuses it. */
static bool check_use(use *u, int *compared) {
    tw_signature signature = {.context = context,
                              .op = u->op,
                              .n_operands = u->n,
                              .n_results = 1,
                              .operand = u->operand,
                              .result = &u->result,
                              .attr = &u->attr};
    if (u->op->infer(&signature)) return false;
    arena memory;
    arena_start(&memory, context);
    expression e = {0};
    bool have = expression_of(u->op, u->n, u->operand, u->result, &u->attr, &memory, &e);
    if (have == left_to_kernel(u->op->name, u->by))
        fail_msg("%s of %s %s an expression", u->op->name, tw_dtype_name(u->by),
                 have ? "has" : "lacks");
    if (have) compare_with_kernel(u, &e);
    *compared += have;
    arena_end(&memory);
    return true;
}

static void kernels(void **state) {
    (void)state;
    int compared = 0;
    for (int i = 0; tw_operator_at(context, i); i++) {
        const tw_operator *op = tw_operator_at(context, i);
        if (op->meaning != TW_MEANS_SCALAR) continue;
        int n = operands_of(op);
        for (tw_dtype by = TW_BOOL; by <= TW_F64; by++) {
            if (!op->scalar[by] && !(dtype_half(by) && op->scalar[TW_F32])) continue;
            use u = {.op = op, .n = n, .by = by};
            tw_shape shape = {.rank = 1, .dim = {ELEMENTS}};
            for (int k = 0; k < n; k++) u.operand[k] = (tw_type){.dtype = by, .shape = shape};
            if (strcmp(op->name, "select") == 0) u.operand[0].dtype = TW_BOOL;
            bool chosen = op->attributes && op->attributes[0].name;
            bool any = false;
            for (int how = 0; how <= (chosen ? TW_F64 : 0); how++) {
                u.attr = tw_attr_int(how);
                any = check_use(&u, &compared) || any;
            }
            if (!any) fail_msg("%s refuses %s", op->name, tw_dtype_name(by));
        }
    }
    print_message("%d expressions agree with their kernels\n", compared);
    assert_true(compared > 250);
}

/* ---- texts ---- */

/* The count of steps of `text` in x of f32 and n of i32, 0 if it is refused. */
static uint32_t count_of(const char *text, tw_type result) {
    const tw_scalar_text of = {"x n", text, NULL, 0};
    tw_operator op = {.name = "test", .meaning = TW_MEANS_SCALAR, .scalar_text = {[TW_F32] = &of}};
    tw_type operand[] = {{.dtype = TW_F32}, {.dtype = TW_I32}};
    arena memory;
    arena_start(&memory, context);
    expression e = {0};
    bool good = expression_of(&op, 2, operand, result, NULL, &memory, &e);
    if (good) assert_int_equal(e.step[e.count - 1].type, scalar_type_of(result.dtype));
    arena_end(&memory);
    return good ? e.count : 0;
}

static void texts(void **state) {
    (void)state;
    const tw_type f32 = {.dtype = TW_F32}, i32 = {.dtype = TW_I32}, boolean = {.dtype = TW_BOOL};
    assert_int_equal(count_of("x", f32), 1);
    assert_int_equal(count_of("-x", f32), 2);
    assert_int_equal(count_of("x + x * 2", f32), 4);         /* the 2 is a float at once */
    assert_int_equal(count_of("(x * x) + (x * x)", f32), 3); /* one product */
    assert_int_equal(count_of("x > 0 && n < 3", boolean), 7);
    assert_int_equal(count_of("n << 2 | 1", i32), 5);
    assert_int_equal(count_of("fmaf(x, x, 0x1p-3f)", f32), 3);
    assert_int_equal(count_of("(float)(double)x", f32), 3);
    assert_int_equal(count_of("(int32_t)(int64_t)n", i32), 1);
    assert_true(count_of("elementary_exp(x)", f32) > 20);
}

static void malformed(void **state) {
    (void)state;
    const tw_type f32 = {.dtype = TW_F32};
    static const char *const wrong[] = {"",
                                        "x +",
                                        "x + + ",
                                        "(x",
                                        "x)",
                                        "x x",
                                        "y",
                                        "x ? 1",
                                        "x ? : 2",
                                        "x % 2",
                                        "x & 1",
                                        "~x",
                                        "x << 1",
                                        "x = 1",
                                        "x++",
                                        "--x",
                                        "1.5q",
                                        "1.5ff",
                                        "0x",
                                        "12345678901234567890123",
                                        "1.000000000000000000000000000000000000000000000000001",
                                        "fmaf(x, x)",
                                        "sqrtf()",
                                        "sqrtf(x",
                                        "sqrtf(x, x, x, x, x)",
                                        "gamma(x)",
                                        "elementary_exp(x, x)",
                                        "elementary_exp()",
                                        "(char)x",
                                        "x, x",
                                        "x;",
                                        "\"x\"",
                                        "@"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        if (count_of(wrong[i], f32)) fail_msg("accepted: %s", wrong[i]);
    char *deep = malloc(100001);
    memset(deep, '(', 100000);
    deep[100000] = 0;
    assert_int_equal(count_of(deep, f32), 0);
    memset(deep, '-', 100000);
    for (int i = 1; i < 100000; i += 2) deep[i] = ' ';
    assert_int_equal(count_of(deep, f32), 0);
    free(deep);
}

static int setup(void **state) {
    (void)state;
    context = tw_context_new(NULL);
    return context ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    tw_context_free(context);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(kernels), cmocka_unit_test(texts),
                                       cmocka_unit_test(malformed)};
    return cmocka_run_group_tests_name("expression", tests, setup, teardown);
}
