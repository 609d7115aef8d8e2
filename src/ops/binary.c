/*
 * Elementwise operators of two operands, compare and select, and the functions that make
 * them; those broadcast, the operators want equal shapes.
 */
#include <thalweg/operators.h>

#include "ops/families.h"
#include "ops/rules.h"
#include "ops/scalar.h"

/* Integers wrap: the arithmetic is done unsigned. */
#define NUMBER_KERNELS(name, float_expression, i32_expression, i64_expression, u_expression)       \
    SCALAR_2(name##_f32, float, float, float_expression)                                           \
    SCALAR_2(name##_f64, double, double, float_expression)                                         \
    SCALAR_2(name##_i32, int32_t, int32_t, i32_expression)                                         \
    SCALAR_2(name##_i64, int64_t, int64_t, i64_expression)                                         \
    SCALAR_2(name##_u8, uint8_t, uint8_t, u_expression)                                            \
    SCALAR_2(name##_u32, uint32_t, uint32_t, u_expression)
#define NUMBER_TABLE(name)                                                                         \
    [TW_F32] = name##_f32, [TW_F64] = name##_f64, [TW_I32] = name##_i32, [TW_I64] = name##_i64,    \
    [TW_U8] = name##_u8, [TW_U32] = name##_u32
#define NUMBER_TEXTS(name)                                                                         \
    [TW_F32] = &name##_f32_text, [TW_F64] = &name##_f64_text, [TW_I32] = &name##_i32_text,         \
    [TW_I64] = &name##_i64_text, [TW_U8] = &name##_u8_text, [TW_U32] = &name##_u32_text

NUMBER_KERNELS(add, a + b, (uint32_t)a + (uint32_t)b, (uint64_t)a + (uint64_t)b, a + b)
NUMBER_KERNELS(sub, a - b, (uint32_t)a - (uint32_t)b, (uint64_t)a - (uint64_t)b, a - b)
NUMBER_KERNELS(mul, a *b, (uint32_t)a *(uint32_t)b, (uint64_t)a *(uint64_t)b, a *b)
/* By 0 gives 0; by -1 is a negation, which wraps where the quotient would not fit. */
NUMBER_KERNELS(div, a / b,
               b == 0    ? 0u
               : b == -1 ? 0u - (uint32_t)a
                         : (uint32_t)(a / b),
               b == 0    ? UINT64_C(0)
               : b == -1 ? UINT64_C(0) - (uint64_t)a
                         : (uint64_t)(a / b),
               b == 0 ? 0 : a / b)
NUMBER_KERNELS(max, a > b || a != a ? a : b, a > b ? a : b, a > b ? a : b, a > b ? a : b)
NUMBER_KERNELS(min, a < b || a != a ? a : b, a < b ? a : b, a < b ? a : b, a < b ? a : b)
/* Powers that products give are these products, so that a constant b needs no pow. */
#define POWER(pow) b == 2 ? a *a : b == 3 ? a *a *a : b == -1 ? 1 / a : pow(a, b)
SCALAR_2(pow_f32, float, float, POWER(powf))
SCALAR_2(pow_f64, double, double, POWER(pow))
/* By 0 gives a, so that a = (a / b) b + rem; by -1 gives 0, where C's % could trap. */
SCALAR_2(rem_f32, float, float, fmodf(a, b))
SCALAR_2(rem_f64, double, double, fmod(a, b))
SCALAR_2(rem_i32, int32_t, int32_t, b == 0 ? a : b == -1 ? 0 : a % b)
SCALAR_2(rem_i64, int64_t, int64_t, b == 0 ? a : b == -1 ? 0 : a % b)
SCALAR_2(rem_u8, uint8_t, uint8_t, b == 0 ? a : a % b)
SCALAR_2(rem_u32, uint32_t, uint32_t, b == 0 ? a : a % b)
SCALAR_2(atan2_f32, float, float, atan2f(a, b))
SCALAR_2(atan2_f64, double, double, atan2(a, b))

/* Truth values are 0 and 1, so that the bits of integers and of bool go the same way. */
#define BIT_KERNELS(name, sign)                                                                    \
    SCALAR_2(name##_u8, uint8_t, uint8_t, a sign b)                                                \
    SCALAR_2(name##_i32, int32_t, int32_t, a sign b)                                               \
    SCALAR_2(name##_i64, int64_t, int64_t, a sign b)                                               \
    SCALAR_2(name##_u32, uint32_t, uint32_t, a sign b)
#define BIT_TABLE(name)                                                                            \
    [TW_BOOL] = name##_u8, [TW_U8] = name##_u8, [TW_I32] = name##_i32, [TW_I64] = name##_i64,      \
    [TW_U32] = name##_u32
#define BIT_TEXTS(name)                                                                            \
    [TW_BOOL] = &name##_u8_text, [TW_U8] = &name##_u8_text, [TW_I32] = &name##_i32_text,           \
    [TW_I64] = &name##_i64_text, [TW_U32] = &name##_u32_text
BIT_KERNELS(and, &)
BIT_KERNELS(or, |)
BIT_KERNELS(xor, ^)

enum { COMPARE_EQ, COMPARE_NE, COMPARE_LT, COMPARE_LE, COMPARE_GT, COMPARE_GE };
#define COMPARE_KERNELS(name, T)                                                                   \
    SCALAR_2(name##_eq, uint8_t, T, a == b)                                                        \
    SCALAR_2(name##_ne, uint8_t, T, a != b)                                                        \
    SCALAR_2(name##_lt, uint8_t, T, a < b)                                                         \
    SCALAR_2(name##_le, uint8_t, T, a <= b)                                                        \
    SCALAR_2(name##_gt, uint8_t, T, a > b)                                                         \
    SCALAR_2(name##_ge, uint8_t, T, a >= b)                                                        \
    static void name(SCALAR_ARGUMENTS) {                                                           \
        static const tw_scalar_kernel kernels[] = {                                                \
            [COMPARE_EQ] = name##_eq, [COMPARE_NE] = name##_ne, [COMPARE_LT] = name##_lt,          \
            [COMPARE_LE] = name##_le, [COMPARE_GT] = name##_gt, [COMPARE_GE] = name##_ge};         \
        kernels[attr[0].i](count, out, in, step, attr);                                            \
    }                                                                                              \
    static const tw_scalar_text *const name##_texts[] = {                                          \
        [COMPARE_EQ] = &name##_eq_text, [COMPARE_NE] = &name##_ne_text,                            \
        [COMPARE_LT] = &name##_lt_text, [COMPARE_LE] = &name##_le_text,                            \
        [COMPARE_GT] = &name##_gt_text, [COMPARE_GE] = &name##_ge_text};                           \
    static const tw_scalar_text name##_text = {NULL, NULL, name##_texts, COMPARE_GE + 1};
COMPARE_KERNELS(compare_f32, float)
COMPARE_KERNELS(compare_f64, double)
COMPARE_KERNELS(compare_i32, int32_t)
COMPARE_KERNELS(compare_i64, int64_t)
COMPARE_KERNELS(compare_u8, uint8_t)
COMPARE_KERNELS(compare_u32, uint32_t)
COMPARE_KERNELS(compare_bool, uint8_t)

#define SELECT_ONE(where, a, b) (where ? a : b)
#define SELECT_KERNEL(name, T)                                                                     \
    SCALAR_TEXT(name, "where a b", SELECT_ONE(where, a, b))                                        \
    static void name(SCALAR_ARGUMENTS) {                                                           \
        const uint8_t *where = in[0];                                                              \
        const T *yes = in[1], *no = in[2];                                                         \
        T *result = out;                                                                           \
        (void)attr;                                                                                \
        if (step[0] == 1 && step[1] == 1 && step[2] == 1) {                                        \
            SCALAR_LOOP for (int64_t i = 0; i < count; i++) {                                      \
                const T a = yes[i], b = no[i];                                                     \
                result[i] = SELECT_ONE(where[i], a, b);                                            \
            }                                                                                      \
        } else if (step[0] == 1 && step[1] == 1 && step[2] == 0) {                                 \
            const T b = count > 0 ? no[0] : (T)0;                                                  \
            SCALAR_LOOP for (int64_t i = 0; i < count; i++) {                                      \
                const T a = yes[i];                                                                \
                result[i] = SELECT_ONE(where[i], a, b);                                            \
            }                                                                                      \
        } else {                                                                                   \
            for (int64_t i = 0; i < count; i++) {                                                  \
                const T a = yes[i * step[1]], b = no[i * step[2]];                                 \
                result[i] = SELECT_ONE(where[i * step[0]], a, b);                                  \
            }                                                                                      \
        }                                                                                          \
    }
SELECT_KERNEL(select_f32, float)
SELECT_KERNEL(select_f64, double)
SELECT_KERNEL(select_i32, int32_t)
SELECT_KERNEL(select_i64, int64_t)
SELECT_KERNEL(select_u8, uint8_t)
SELECT_KERNEL(select_u32, uint32_t)

static tw_status compare_infer(tw_signature *signature) {
    if (signature->attr[0].i < COMPARE_EQ || signature->attr[0].i > COMPARE_GE) {
        return tw_refuse(signature, TW_ERR_ARGUMENT, "how is %lld, expected 0 to %d",
                         (long long)signature->attr[0].i, COMPARE_GE);
    }
    tw_status status = rule_infer_same(signature);
    signature->result[0].dtype = TW_BOOL;
    return status;
}

static tw_status select_infer(tw_signature *signature) {
    tw_status status = rule_type(signature, 0, TYPES_BOOL);
    if (!status) status = rule_type(signature, 1, TYPES_ALL);
    if (!status) status = rule_same_dtype(signature, 1, 2);
    if (!status) status = rule_same_shape(signature, 1, 2);
    if (!status) status = rule_same_shape(signature, 0, 1);
    if (!status) signature->result[0] = signature->operand[1];
    return status;
}

static void add_vjp(tw_graph *graph, tw_vjp *rule) {
    (void)graph;
    rule->d_operand[0] = rule->d_operand[1] = rule->d_result[0];
}

static void sub_vjp(tw_graph *graph, tw_vjp *rule) {
    (void)graph;
    rule->d_operand[0] = rule->d_result[0];
    if (rule->wanted[1]) rule->d_operand[1] = tw_neg(rule->d_result[0]);
}

static void mul_vjp(tw_graph *graph, tw_vjp *rule) {
    (void)graph;
    if (rule->wanted[0]) rule->d_operand[0] = tw_mul(rule->d_result[0], rule->operand[1]);
    if (rule->wanted[1]) rule->d_operand[1] = tw_mul(rule->d_result[0], rule->operand[0]);
}

/* d(a/b) = da/b - (a/b) db/b */
static void div_vjp(tw_graph *graph, tw_vjp *rule) {
    (void)graph;
    tw_value d = tw_div(rule->d_result[0], rule->operand[1]);
    rule->d_operand[0] = d;
    if (rule->wanted[1]) rule->d_operand[1] = tw_neg(tw_mul(d, rule->result[0]));
}

/* All of d where `wins`, half of it where the operands are equal. */
static tw_value share(tw_vjp *rule, tw_comparison wins, tw_value tie) {
    tw_value where = tw_compare(wins, rule->operand[0], rule->operand[1]);
    return tw_select(where, rule->d_result[0], tie);
}

static void max_vjp(tw_graph *graph, tw_vjp *rule) {
    (void)graph;
    tw_value d = rule->d_result[0];
    tw_value equal = tw_compare(TW_EQ, rule->operand[0], rule->operand[1]);
    tw_value half = tw_scale(d, 0.5), tie = tw_select(equal, half, tw_literal(d, 0));
    rule->d_operand[0] = share(rule, TW_GT, tie);
    rule->d_operand[1] = share(rule, TW_LT, tie);
}

static void min_vjp(tw_graph *graph, tw_vjp *rule) {
    (void)graph;
    tw_value d = rule->d_result[0];
    tw_value equal = tw_compare(TW_EQ, rule->operand[0], rule->operand[1]);
    tw_value half = tw_scale(d, 0.5), tie = tw_select(equal, half, tw_literal(d, 0));
    rule->d_operand[0] = share(rule, TW_LT, tie);
    rule->d_operand[1] = share(rule, TW_GT, tie);
}

/* da = d b a^(b-1), 0 where b = 0; db = d a^b ln a, 0 where a <= 0 */
static void pow_vjp(tw_graph *graph, tw_vjp *rule) {
    (void)graph;
    tw_value a = rule->operand[0], b = rule->operand[1], d = rule->d_result[0];
    tw_value zero = tw_literal(a, 0), one = tw_literal(a, 1);
    tw_value less = tw_sub(b, one);
    tw_value exponent = tw_select(tw_compare(TW_EQ, b, zero), one, less);
    rule->d_operand[0] = tw_mul(d, tw_mul(b, tw_pow(a, exponent)));
    tw_value positive = tw_compare(TW_GT, a, zero);
    tw_value logarithm = tw_log(tw_select(positive, a, one));
    rule->d_operand[1] = tw_mul(d, tw_mul(rule->result[0], logarithm));
}

/* d rem(a, b) = da - trunc(a / b) db; the quotient is a whole number but for rounding, and rounded
 * it has no gradient of its own */
static void rem_vjp(tw_graph *graph, tw_vjp *rule) {
    (void)graph;
    tw_value d = rule->d_result[0];
    rule->d_operand[0] = d;
    if (!rule->wanted[1]) return;
    tw_value whole = tw_div(tw_sub(rule->operand[0], rule->result[0]), rule->operand[1]);
    rule->d_operand[1] = tw_neg(tw_mul(d, tw_round(whole)));
}

/* d atan2(a, b) = (b da - a db) / (a^2 + b^2) */
static void atan2_vjp(tw_graph *graph, tw_vjp *rule) {
    (void)graph;
    tw_value a = rule->operand[0], b = rule->operand[1];
    tw_value d = tw_div(rule->d_result[0], tw_add(tw_square(a), tw_square(b)));
    if (rule->wanted[0]) rule->d_operand[0] = tw_mul(d, b);
    if (rule->wanted[1]) rule->d_operand[1] = tw_neg(tw_mul(d, a));
}

static void select_vjp(tw_graph *graph, tw_vjp *rule) {
    (void)graph;
    tw_value where = rule->operand[0], d = rule->d_result[0], zero = tw_literal(d, 0);
    rule->d_operand[1] = tw_select(where, d, zero);
    rule->d_operand[2] = tw_select(where, zero, d);
}

static const tw_sample pair_samples[] = {
    {.operands = "f64[3,5] f64[3,5]"}, {.operands = "f64[1] f64[1]"},
    {.operands = "f64[] f64[]"},       {.operands = "f64[0,2] f64[0,2]"},
    {.operands = "i32[4] i32[4]"},     {.operands = "bf16[3,300] bf16[3,300]"},
    {.operands = "f16[4] f16[4]"},     {0},
};
static const tw_sample divide_samples[] = {
    {.operands = "f64[3,5] f64[3,5]", .low = 0.5, .high = 2},
    {.operands = "f64[1] f64[1]", .low = -2, .high = -0.5},
    {.operands = "f64[0,2] f64[0,2]"},
    {.operands = "i32[6] i32[6]"}, /* some divisors are 0 */
    {0},
};
static const tw_sample distinct_samples[] = {
    {.operands = "f64[3,5] f64[3,5]", .distinct = true},
    {.operands = "f64[1] f64[1]", .distinct = true},
    {.operands = "f64[0,2] f64[0,2]"},
    {.operands = "i32[6] i32[6]"},
    {0},
};
static const tw_sample power_samples[] = {
    {.operands = "f64[3,5] f64[3,5]", .low = 0.5, .high = 2},
    {.operands = "f64[1] f64[1]", .low = 0.5, .high = 2},
    {.operands = "f64[0,2] f64[0,2]"},
    {0},
};
static const tw_sample bool_samples[] = {
    {.operands = "bool[3,5] bool[3,5]"},
    {.operands = "bool[1] bool[1]"},
    {.operands = "bool[0,2] bool[0,2]"},
    {.operands = "i32[6] i32[6]", .index_low = -5, .index_high = 5},
    {.operands = "i64[6] i64[6]", .index_low = -5, .index_high = 5},
    {.operands = "u8[6] u8[6]", .index_high = 255},
    {.operands = "u32[6] u32[6]", .index_high = 255},
    {0},
};
static const tw_sample rem_samples[] = {
    {.operands = "f64[3,5] f64[3,5]", .low = 1.1, .high = 1.9},
    {.operands = "f64[1] f64[1]", .low = -0.9, .high = -0.6},
    {.operands = "f64[] f64[]", .low = 1.1, .high = 1.9},
    {.operands = "f64[0,2] f64[0,2]"},
    {.operands = "i32[12] i32[12]", .index_low = -5, .index_high = 5}, /* some divisors are 0 */
    {.operands = "i64[12] i64[12]", .index_low = -5, .index_high = 5},
    {.operands = "u8[6] u8[6]", .index_high = 6},
    {.operands = "u32[6] u32[6]", .index_high = 6},
    {0},
};
static const tw_sample angle_samples[] = {
    {.operands = "f64[3,5] f64[3,5]", .kink_at_zero = true},
    {.operands = "f64[1] f64[1]", .kink_at_zero = true},
    {.operands = "f64[] f64[]", .low = -2, .high = -0.5},
    {.operands = "f64[0,2] f64[0,2]"},
    {0},
};
static const tw_sample compare_samples[] = {
    {.operands = "f64[3,5] f64[3,5]", .attributes = "how=lt", .distinct = true},
    {.operands = "f64[1] f64[1]", .attributes = "how=ge", .distinct = true},
    {.operands = "i32[8] i32[8]", .attributes = "how=eq"},
    {.operands = "i64[8] i64[8]", .attributes = "how=ne"},
    {.operands = "u8[8] u8[8]", .attributes = "how=gt"},
    {.operands = "bool[8] bool[8]", .attributes = "how=le"},
    {.operands = "bf16[300] bf16[300]", .attributes = "how=lt"},
    {.operands = "f64[0,2] f64[0,2]", .attributes = "how=eq"},
    {0},
};
static const tw_sample select_samples[] = {
    {.operands = "bool[3,5] f64[3,5] f64[3,5]"}, {.operands = "bool[1] f64[1] f64[1]"},
    {.operands = "bool[0,2] f64[0,2] f64[0,2]"}, {.operands = "bool[4] i32[4] i32[4]"},
    {.operands = "bool[300] f16[300] f16[300]"}, {0},
};

/* What all entries of this file have in common. */
#define BINARY_COMMON                                                                              \
    .results = "y", .batch = rule_batch_leading, .factors = rule_factors_elementwise,              \
    .cost = rule_cost_elementwise, .meaning = TW_MEANS_SCALAR

static const tw_operator op_add = {
    BINARY_COMMON,
    .name = "add",
    .formula = "y = a + b",
    .semantics = "integers wrap",
    .operands = "a b",
    .infer = rule_infer_number,
    .vjp = add_vjp,
    .scalar = {NUMBER_TABLE(add)},
    .scalar_text = {NUMBER_TEXTS(add)},
    .samples = pair_samples,
};
static const tw_operator op_sub = {
    BINARY_COMMON,
    .name = "sub",
    .formula = "y = a - b",
    .semantics = "integers wrap",
    .operands = "a b",
    .infer = rule_infer_number,
    .vjp = sub_vjp,
    .scalar = {NUMBER_TABLE(sub)},
    .scalar_text = {NUMBER_TEXTS(sub)},
    .samples = pair_samples,
};
static const tw_operator op_mul = {
    BINARY_COMMON,
    .name = "mul",
    .formula = "y = a b",
    .semantics = "integers wrap",
    .operands = "a b",
    .infer = rule_infer_number,
    .vjp = mul_vjp,
    .scalar = {NUMBER_TABLE(mul)},
    .scalar_text = {NUMBER_TEXTS(mul)},
    .samples = pair_samples,
};
static const tw_operator op_div = {
    BINARY_COMMON,
    .name = "div",
    .formula = "y = a / b",
    .semantics = "integers round toward 0, wrap, and give 0 for a divisor 0; floats as IEEE 754",
    .operands = "a b",
    .infer = rule_infer_number,
    .vjp = div_vjp,
    .scalar = {NUMBER_TABLE(div)},
    .scalar_text = {NUMBER_TEXTS(div)},
    .samples = divide_samples,
};
static const tw_operator op_max = {
    BINARY_COMMON,
    .name = "max",
    .formula = "y = a if a > b, else b",
    .semantics = "NaN if either is NaN; equal operands get half of the gradient each",
    .operands = "a b",
    .infer = rule_infer_number,
    .vjp = max_vjp,
    .scalar = {NUMBER_TABLE(max)},
    .scalar_text = {NUMBER_TEXTS(max)},
    .samples = distinct_samples,
};
static const tw_operator op_min = {
    BINARY_COMMON,
    .name = "min",
    .formula = "y = a if a < b, else b",
    .semantics = "NaN if either is NaN; equal operands get half of the gradient each",
    .operands = "a b",
    .infer = rule_infer_number,
    .vjp = min_vjp,
    .scalar = {NUMBER_TABLE(min)},
    .scalar_text = {NUMBER_TEXTS(min)},
    .samples = distinct_samples,
};
static const tw_operator op_pow = {
    BINARY_COMMON,
    .name = "pow",
    .formula = "y = a^b",
    .semantics = "as C's pow, but a a, a a a and 1 / a for b of 2, 3 and -1; the gradient of b is "
                 "0 where a <= 0",
    .operands = "a b",
    .infer = rule_infer_float,
    .vjp = pow_vjp,
    .scalar = {[TW_F32] = pow_f32, [TW_F64] = pow_f64},
    .scalar_text = {[TW_F32] = &pow_f32_text, [TW_F64] = &pow_f64_text},
    .samples = power_samples,
};
static const tw_operator op_and = {
    BINARY_COMMON,
    .name = "and",
    .formula = "y = a and b",
    .semantics = "bool; of integers each bit",
    .operands = "a b",
    .infer = rule_infer_bits,
    .no_vjp = "truth values and bits have no gradient",
    .scalar = {BIT_TABLE(and)},
    .scalar_text = {BIT_TEXTS(and)},
    .samples = bool_samples,
};
static const tw_operator op_or = {
    BINARY_COMMON,
    .name = "or",
    .formula = "y = a or b",
    .semantics = "bool; of integers each bit",
    .operands = "a b",
    .infer = rule_infer_bits,
    .no_vjp = "truth values and bits have no gradient",
    .scalar = {BIT_TABLE(or)},
    .scalar_text = {BIT_TEXTS(or)},
    .samples = bool_samples,
};
static const tw_operator op_xor = {
    BINARY_COMMON,
    .name = "xor",
    .formula = "y = a or b but not both",
    .semantics = "bool; of integers each bit",
    .operands = "a b",
    .infer = rule_infer_bits,
    .no_vjp = "truth values and bits have no gradient",
    .scalar = {BIT_TABLE(xor)},
    .scalar_text = {BIT_TEXTS(xor)},
    .samples = bool_samples,
};
static const tw_operator op_rem = {
    BINARY_COMMON,
    .name = "rem",
    .formula = "y = a - trunc(a / b) b",
    .semantics =
        "the sign of a, as C's fmod and %; floats: b = 0 or a infinite gives NaN; integers: "
        "a divisor 0 gives a, -1 gives 0; the gradient of b is -trunc(a / b)",
    .operands = "a b",
    .infer = rule_infer_number,
    .vjp = rem_vjp,
    .scalar = {NUMBER_TABLE(rem)},
    .scalar_text = {NUMBER_TEXTS(rem)},
    .samples = rem_samples,
};
static const tw_operator op_atan2 = {
    BINARY_COMMON,
    .name = "atan2",
    .formula = "y = the angle of the point (b, a), in (-pi, pi]",
    .semantics = "as C's atan2: signs of zeros count, atan2(0, 0) = 0; NaN if either is NaN; the "
                 "gradient at (0, 0) is NaN",
    .operands = "a b",
    .infer = rule_infer_float,
    .vjp = atan2_vjp,
    .scalar = {[TW_F32] = atan2_f32, [TW_F64] = atan2_f64},
    .scalar_text = {[TW_F32] = &atan2_f32_text, [TW_F64] = &atan2_f64_text},
    .samples = angle_samples,
};

static const tw_attr_spec compare_attributes[] = {
    {"how", TW_ATTR_CHOICE, NULL, "eq ne lt le gt ge", "the relation of a to b"}, {0}};

static const tw_operator op_compare = {
    BINARY_COMMON,
    .name = "compare",
    .formula = "y = true where a `how` b",
    .semantics = "every relation with NaN but ne is false; false < true",
    .operands = "a b",
    .attributes = compare_attributes,
    .infer = compare_infer,
    .no_vjp = "truth values have no gradient",
    .scalar = {NUMBER_TABLE(compare), [TW_BOOL] = compare_bool},
    .scalar_text = {NUMBER_TEXTS(compare), [TW_BOOL] = &compare_bool_text},
    .samples = compare_samples,
};
static const tw_operator op_select = {
    BINARY_COMMON,
    .name = "select",
    .formula = "y = yes where `where` is true, else no",
    .semantics = "what is not chosen has no effect, NaN or not, and gets the gradient 0",
    .operands = "where yes no",
    .infer = select_infer,
    .vjp = select_vjp,
    .scalar = {NUMBER_TABLE(select), [TW_BOOL] = select_u8},
    .scalar_text = {NUMBER_TEXTS(select), [TW_BOOL] = &select_u8_text},
    .samples = select_samples,
};

const tw_operator *const ops_binary[] = {
    &op_add, &op_sub,     &op_mul,    &op_div, &op_max, &op_min,   &op_pow, &op_and,
    &op_or,  &op_compare, &op_select, &op_xor, &op_rem, &op_atan2, NULL,
};

/* Brings the values to their common shape; without one they stay, for infer to refuse. */
static void align(int n, tw_value *values) {
    tw_shape shape = tw_shape_of(values[0]);
    for (int i = 1; i < n; i++) {
        if (!rule_broadcast_shape(shape, tw_shape_of(values[i]), &shape)) return;
    }
    for (int i = 0; i < n; i++) values[i] = tw_broadcast(values[i], shape);
}

static tw_value binary(const char *name, tw_value a, tw_value b, const tw_attr *attr) {
    tw_value operands[] = {a, b};
    if (!rule_usable(name, 2, operands)) return rule_poison(rule_graph(2, operands));
    align(2, operands);
    return tw_apply(a.graph, name, 2, operands, attr, NULL);
}

tw_value tw_add(tw_value a, tw_value b) { return binary("add", a, b, NULL); }
tw_value tw_sub(tw_value a, tw_value b) { return binary("sub", a, b, NULL); }
tw_value tw_mul(tw_value a, tw_value b) { return binary("mul", a, b, NULL); }
tw_value tw_div(tw_value a, tw_value b) { return binary("div", a, b, NULL); }
tw_value tw_max(tw_value a, tw_value b) { return binary("max", a, b, NULL); }
tw_value tw_min(tw_value a, tw_value b) { return binary("min", a, b, NULL); }
tw_value tw_pow(tw_value a, tw_value b) { return binary("pow", a, b, NULL); }
tw_value tw_and(tw_value a, tw_value b) { return binary("and", a, b, NULL); }
tw_value tw_or(tw_value a, tw_value b) { return binary("or", a, b, NULL); }
tw_value tw_xor(tw_value a, tw_value b) { return binary("xor", a, b, NULL); }
tw_value tw_rem(tw_value a, tw_value b) { return binary("rem", a, b, NULL); }
tw_value tw_atan2(tw_value a, tw_value b) { return binary("atan2", a, b, NULL); }

tw_value tw_compare(tw_comparison how, tw_value a, tw_value b) {
    if (how < TW_EQ || how > TW_GE) {
        tw_value operands[] = {a, b};
        return rule_fail(rule_graph(2, operands), TW_ERR_ARGUMENT,
                         "compare: %d is no tw_comparison", (int)how);
    }
    tw_attr attr = tw_attr_int(how - TW_EQ);
    return binary("compare", a, b, &attr);
}

tw_value tw_select(tw_value where, tw_value yes, tw_value no) {
    tw_value operands[] = {where, yes, no};
    if (!rule_usable("select", 3, operands)) return rule_poison(rule_graph(3, operands));
    align(3, operands);
    return tw_apply(where.graph, "select", 3, operands, NULL, NULL);
}
