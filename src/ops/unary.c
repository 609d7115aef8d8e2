/* Elementwise operators of one operand, and the functions that make them. */
#include <thalweg/operators.h>

#include "base/half.h"
#include "base/elementary.h"
#include "ops/families.h"
#include "ops/rules.h"
#include "ops/scalar.h"

/* Integers wrap: the arithmetic is done unsigned. */
#define NUMBER_KERNELS(name, f32_expression, f64_expression, signed_expression,                    \
                       unsigned_expression)                                                        \
    SCALAR_1(name##_f32, float, float, f32_expression)                                             \
    SCALAR_1(name##_f64, double, double, f64_expression)                                           \
    SCALAR_1(name##_i32, int32_t, int32_t, signed_expression)                                      \
    SCALAR_1(name##_i64, int64_t, int64_t, signed_expression)                                      \
    SCALAR_1(name##_u8, uint8_t, uint8_t, unsigned_expression)                                     \
    SCALAR_1(name##_u32, uint32_t, uint32_t, unsigned_expression)
#define NUMBER_TABLE(name)                                                                         \
    {[TW_F32] = name##_f32, [TW_F64] = name##_f64, [TW_I32] = name##_i32,                          \
     [TW_I64] = name##_i64, [TW_U8] = name##_u8,   [TW_U32] = name##_u32},                         \
        .scalar_text = {                                                                           \
            [TW_F32] = &name##_f32_text, [TW_F64] = &name##_f64_text, [TW_I32] = &name##_i32_text, \
            [TW_I64] = &name##_i64_text, [TW_U8] = &name##_u8_text,   [TW_U32] = &name##_u32_text}
/* The f32 expression calls the f32 functions of math.h. */
#define FLOAT_KERNELS(name, f32_expression, f64_expression)                                        \
    SCALAR_1(name##_f32, float, float, f32_expression)                                             \
    SCALAR_1(name##_f64, double, double, f64_expression)
#define FLOAT_TABLE(name)                                                                          \
    {[TW_F32] = name##_f32, [TW_F64] = name##_f64},                                                \
        .scalar_text = {[TW_F32] = &name##_f32_text, [TW_F64] = &name##_f64_text}

NUMBER_KERNELS(neg, -x, -x, 0 - (uint64_t)x, 0 - (uint64_t)x)
NUMBER_KERNELS(absolute, fabsf(x), fabs(x), x < 0 ? 0 - (uint64_t)x : (uint64_t)x, x)
NUMBER_KERNELS(sign,
               x > 0   ? 1
               : x < 0 ? -1
                       : x,
               x > 0   ? 1
               : x < 0 ? -1
                       : x,
               (x > 0) - (x < 0), x > 0)
FLOAT_KERNELS(exponential, elementary_exp(x), exp(x))
FLOAT_KERNELS(logarithm, elementary_log(x), log(x))
FLOAT_KERNELS(square_root, sqrtf(x), sqrt(x))
FLOAT_KERNELS(reciprocal_root, 1.0f / sqrtf(x), 1.0 / sqrt(x))
FLOAT_KERNELS(sine, elementary_sin(x), sin(x))
FLOAT_KERNELS(cosine, elementary_cos(x), cos(x))
FLOAT_KERNELS(hyperbolic, elementary_tanh(x), tanh(x))
FLOAT_KERNELS(logistic, elementary_logistic(x), 1.0 / (1.0 + exp(-x)))
FLOAT_KERNELS(floor_of, floorf(x), floor(x))
FLOAT_KERNELS(ceiling, ceilf(x), ceil(x))
FLOAT_KERNELS(rounded, rintf(x), rint(x)) /* the default rounding: to the nearest, ties to even */
FLOAT_KERNELS(exponential_less_1, elementary_expm1(x), expm1(x))
FLOAT_KERNELS(logarithm_of_1_more, elementary_log1p(x), log1p(x))
FLOAT_KERNELS(error_function, elementary_erf(x), erf(x))
SCALAR_1(not_bool, uint8_t, uint8_t, !x)
SCALAR_1(not_u8, uint8_t, uint8_t, ~x)
SCALAR_1(not_i32, int32_t, int32_t, ~x)
SCALAR_1(not_i64, int64_t, int64_t, ~x)
SCALAR_1(not_u32, uint32_t, uint32_t, ~x)

/* Floats to integers saturate, NaN gives 0. */
#define SATURATE(T, least, most)                                                                   \
    x != x ? (T)0 : x <= (double)(least) ? (T)(least) : x >= (double)(most) ? (T)(most) : (T)x
#define WRAP(T, least, most) (T) x
/* What rounds to f16 and bf16 as x does, in f32. */
#define ROUNDS_FLOAT(x) x
#define ROUNDS_DOUBLE(x) float_to_odd(x)
#define ROUNDS_I64(x) float_to_odd(double_to_odd(x))
#define CAST_KERNELS(name, S, WHOLE, ROUNDS)                                                       \
    SCALAR_1(name##_bool, uint8_t, S, x != 0)                                                      \
    SCALAR_1(name##_u8, uint8_t, S, WHOLE(uint8_t, 0, UINT8_MAX))                                  \
    SCALAR_1(name##_i32, int32_t, S, WHOLE(int32_t, INT32_MIN, INT32_MAX))                         \
    SCALAR_1(name##_i64, int64_t, S, WHOLE(int64_t, INT64_MIN, INT64_MAX))                         \
    SCALAR_1(name##_u32, uint32_t, S, WHOLE(uint32_t, 0, UINT32_MAX))                              \
    SCALAR_STORE_1(name##_f16, uint16_t, S, f16_narrow, ROUNDS(x))                                 \
    SCALAR_STORE_1(name##_bf16, uint16_t, S, bf16_narrow, ROUNDS(x))                               \
    SCALAR_1(name##_f32, float, S, x)                                                              \
    SCALAR_1(name##_f64, double, S, x)                                                             \
    static void name(SCALAR_ARGUMENTS) {                                                           \
        static const tw_scalar_kernel to[TW_F64 + 1] = {                                           \
            [TW_BOOL] = name##_bool, [TW_U8] = name##_u8,   [TW_I32] = name##_i32,                 \
            [TW_I64] = name##_i64,   [TW_U32] = name##_u32, [TW_F16] = name##_f16,                 \
            [TW_BF16] = name##_bf16, [TW_F32] = name##_f32, [TW_F64] = name##_f64};                \
        to[attr[0].i](count, out, in, step, attr);                                                 \
    }                                                                                              \
    static const tw_scalar_text *const name##_texts[TW_F64 + 1] = {                                \
        [TW_BOOL] = &name##_bool_text, [TW_U8] = &name##_u8_text,   [TW_I32] = &name##_i32_text,   \
        [TW_I64] = &name##_i64_text,   [TW_U32] = &name##_u32_text, [TW_F16] = &name##_f16_text,   \
        [TW_BF16] = &name##_bf16_text, [TW_F32] = &name##_f32_text, [TW_F64] = &name##_f64_text};  \
    static const tw_scalar_text name##_text = {NULL, NULL, name##_texts, TW_F64 + 1};
CAST_KERNELS(cast_f32, float, SATURATE, ROUNDS_FLOAT)
CAST_KERNELS(cast_f64, double, SATURATE, ROUNDS_DOUBLE)
CAST_KERNELS(cast_i32, int32_t, WRAP, ROUNDS_DOUBLE)
CAST_KERNELS(cast_i64, int64_t, WRAP, ROUNDS_I64)
CAST_KERNELS(cast_u8, uint8_t, WRAP, ROUNDS_DOUBLE)
CAST_KERNELS(cast_u32, uint32_t, WRAP, ROUNDS_DOUBLE)
CAST_KERNELS(cast_bool, uint8_t, WRAP, ROUNDS_DOUBLE)

/* From f16 and bf16: block by block through f32, which holds them exactly. */
static void cast_half(tw_dtype dtype, SCALAR_ARGUMENTS) {
    enum { BLOCK = 256 };
    float wide[BLOCK];
    const void *row = wide;
    size_t size = tw_dtype_size((tw_dtype)attr[0].i);
    for (int64_t i = 0; i < count; i += BLOCK) {
        int64_t n = count - i < BLOCK ? count - i : BLOCK;
        half_widen(dtype, (const uint16_t *)in[0] + i * step[0], step[0], n, wide);
        cast_f32(n, (char *)out + (size_t)i * size, &row, &(int64_t){1}, attr);
    }
}
static void cast_f16(SCALAR_ARGUMENTS) { cast_half(TW_F16, count, out, in, step, attr); }
static void cast_bf16(SCALAR_ARGUMENTS) { cast_half(TW_BF16, count, out, in, step, attr); }

static tw_status cast_infer(tw_signature *signature) {
    tw_dtype to = (tw_dtype)signature->attr[0].i;
    tw_status status = rule_type(signature, 0, TYPES_ALL);
    if (!status && !type_in(to, TYPES_ALL)) {
        return tw_refuse(signature, TW_ERR_TYPE, "%s has no kernels yet", tw_dtype_name(to));
    }
    return status ? status : rule_result(signature, 0, to, signature->operand[0].shape);
}

/* Between floats; what went through an integer has no slope. */
static void cast_vjp(tw_graph *graph, tw_vjp *rule) {
    (void)graph;
    tw_dtype from = rule->operand_type[0].dtype;
    bool floats = type_in(from, TYPES_FLOAT) && type_in((tw_dtype)rule->attr[0].i, TYPES_FLOAT);
    rule->d_operand[0] = floats ? tw_cast(rule->d_result[0], from) : (tw_value){0};
}

static void neg_vjp(tw_graph *graph, tw_vjp *rule) {
    (void)graph;
    rule->d_operand[0] = tw_neg(rule->d_result[0]);
}

static void abs_vjp(tw_graph *graph, tw_vjp *rule) {
    (void)graph;
    rule->d_operand[0] = tw_mul(rule->d_result[0], tw_sign(rule->operand[0]));
}

static void exp_vjp(tw_graph *graph, tw_vjp *rule) {
    (void)graph;
    rule->d_operand[0] = tw_mul(rule->d_result[0], rule->result[0]);
}

static void log_vjp(tw_graph *graph, tw_vjp *rule) {
    (void)graph;
    rule->d_operand[0] = tw_div(rule->d_result[0], rule->operand[0]);
}

static void sqrt_vjp(tw_graph *graph, tw_vjp *rule) {
    (void)graph;
    rule->d_operand[0] = tw_scale(tw_div(rule->d_result[0], rule->result[0]), 0.5);
}

/* d x^(-1/2) = -1/2 x^(-3/2) = -1/2 y^3 */
static void rsqrt_vjp(tw_graph *graph, tw_vjp *rule) {
    (void)graph;
    tw_value y = rule->result[0];
    tw_value slope = tw_scale(tw_mul(tw_square(y), y), -0.5);
    rule->d_operand[0] = tw_mul(rule->d_result[0], slope);
}

static void sin_vjp(tw_graph *graph, tw_vjp *rule) {
    (void)graph;
    rule->d_operand[0] = tw_mul(rule->d_result[0], tw_cos(rule->operand[0]));
}

static void cos_vjp(tw_graph *graph, tw_vjp *rule) {
    (void)graph;
    rule->d_operand[0] = tw_neg(tw_mul(rule->d_result[0], tw_sin(rule->operand[0])));
}

/* 1 - y */
static tw_value complement(tw_value y) { return tw_sub(tw_literal(y, 1), y); }

static void tanh_vjp(tw_graph *graph, tw_vjp *rule) {
    (void)graph;
    rule->d_operand[0] = tw_mul(rule->d_result[0], complement(tw_square(rule->result[0])));
}

static void logistic_vjp(tw_graph *graph, tw_vjp *rule) {
    (void)graph;
    tw_value y = rule->result[0];
    rule->d_operand[0] = tw_mul(rule->d_result[0], tw_mul(y, complement(y)));
}

/* d (e^x - 1) = e^x = y + 1 */
static void expm1_vjp(tw_graph *graph, tw_vjp *rule) {
    (void)graph;
    rule->d_operand[0] = tw_mul(rule->d_result[0], tw_shift(rule->result[0], 1));
}

static void log1p_vjp(tw_graph *graph, tw_vjp *rule) {
    (void)graph;
    rule->d_operand[0] = tw_div(rule->d_result[0], tw_shift(rule->operand[0], 1));
}

/* d erf x = 2 / sqrt(pi) e^(-x^2) */
static void erf_vjp(tw_graph *graph, tw_vjp *rule) {
    (void)graph;
    tw_value bell = tw_exp(tw_neg(tw_square(rule->operand[0])));
    rule->d_operand[0] = tw_mul(rule->d_result[0], tw_scale(bell, 1.12837916709551257390));
}

static const tw_sample any_samples[] = {
    {.operands = "f64[3,5]"}, {.operands = "f64[1]"}, {.operands = "f64[]"},
    {.operands = "f64[0,2]"}, {.operands = "i32[4]"}, {0},
};
static const tw_sample float_samples[] = {
    {.operands = "f64[3,5]"}, {.operands = "f64[1]"},    {.operands = "f64[]"},
    {.operands = "f64[0,2]"}, {.operands = "bf16[300]"}, {0},
};
static const tw_sample kink_samples[] = {
    {.operands = "f64[3,5]", .kink_at_zero = true},
    {.operands = "f64[1]", .kink_at_zero = true},
    {.operands = "f64[0,2]"},
    {.operands = "i32[4]"},
    {0},
};
static const tw_sample positive_samples[] = {
    {.operands = "f64[3,5]", .low = 0.5, .high = 2},
    {.operands = "f64[1]", .low = 0.5, .high = 2},
    {.operands = "f64[0,2]"},
    {0},
};
static const tw_sample step_samples[] = {
    {.operands = "f64[3,5]", .kink_at_integers = true},
    {.operands = "f64[1]", .kink_at_integers = true},
    {.operands = "f64[0,2]"},
    {0},
};
static const tw_sample half_samples[] = {
    {.operands = "f64[3,5]", .low = 0.55, .high = 1.45},
    {.operands = "f64[1]", .low = -0.45, .high = 0.45},
    {.operands = "f64[0,2]"},
    {0},
};
static const tw_sample bool_samples[] = {{.operands = "bool[3,5]"}, {.operands = "bool[1]"},
                                         {.operands = "bool[0,2]"}, {.operands = "i32[4]"},
                                         {.operands = "i64[4]"},    {.operands = "u8[4]"},
                                         {.operands = "u32[4]"},    {0}};

/* What all entries of this file have in common. */
#define UNARY_COMMON                                                                               \
    .operands = "x", .results = "y", .batch = rule_batch_leading,                                  \
    .factors = rule_factors_elementwise, .cost = rule_cost_elementwise, .meaning = TW_MEANS_SCALAR

static const tw_operator op_neg = {
    UNARY_COMMON,
    .name = "neg",
    .formula = "y = -x",
    .semantics = "NaN gives NaN; integers wrap",
    .infer = rule_infer_number,
    .vjp = neg_vjp,
    .scalar = NUMBER_TABLE(neg),
    .samples = any_samples,
};
static const tw_operator op_abs = {
    UNARY_COMMON,
    .name = "abs",
    .formula = "y = |x|",
    .semantics = "NaN gives NaN; the least integer wraps to itself; the gradient at 0 is 0",
    .infer = rule_infer_number,
    .vjp = abs_vjp,
    .scalar = NUMBER_TABLE(absolute),
    .samples = kink_samples,
};
static const tw_operator op_sign = {
    UNARY_COMMON,
    .name = "sign",
    .formula = "y = 1 if x > 0, -1 if x < 0, else x",
    .semantics = "NaN gives NaN and a zero keeps its sign; the gradient is 0",
    .infer = rule_infer_number,
    .vjp = rule_vjp_zero,
    .scalar = NUMBER_TABLE(sign),
    .samples = kink_samples,
};
static const tw_operator op_exp = {
    UNARY_COMMON,
    .name = "exp",
    .formula = "y = e^x",
    .semantics = "NaN gives NaN; overflow gives infinity",
    .infer = rule_infer_float,
    .vjp = exp_vjp,
    .scalar = FLOAT_TABLE(exponential),
    .samples = float_samples,
};
static const tw_operator op_log = {
    UNARY_COMMON,
    .name = "log",
    .formula = "y = ln x",
    .semantics = "0 gives -infinity; negative numbers and NaN give NaN",
    .infer = rule_infer_float,
    .vjp = log_vjp,
    .scalar = FLOAT_TABLE(logarithm),
    .samples = positive_samples,
};
static const tw_operator op_sqrt = {
    UNARY_COMMON,
    .name = "sqrt",
    .formula = "y = x^(1/2)",
    .semantics = "negative numbers and NaN give NaN; the gradient at 0 is infinite",
    .infer = rule_infer_float,
    .vjp = sqrt_vjp,
    .scalar = FLOAT_TABLE(square_root),
    .samples = positive_samples,
};
static const tw_operator op_rsqrt = {
    UNARY_COMMON,
    .name = "rsqrt",
    .formula = "y = x^(-1/2)",
    .semantics = "0 gives infinity; negative numbers and NaN give NaN",
    .infer = rule_infer_float,
    .vjp = rsqrt_vjp,
    .scalar = FLOAT_TABLE(reciprocal_root),
    .samples = positive_samples,
};
static const tw_operator op_sin = {
    UNARY_COMMON,
    .name = "sin",
    .formula = "y = sin x",
    .semantics = "x in radians; NaN and infinities give NaN",
    .infer = rule_infer_float,
    .vjp = sin_vjp,
    .scalar = FLOAT_TABLE(sine),
    .samples = float_samples,
};
static const tw_operator op_cos = {
    UNARY_COMMON,
    .name = "cos",
    .formula = "y = cos x",
    .semantics = "x in radians; NaN and infinities give NaN",
    .infer = rule_infer_float,
    .vjp = cos_vjp,
    .scalar = FLOAT_TABLE(cosine),
    .samples = float_samples,
};
static const tw_operator op_tanh = {
    UNARY_COMMON,
    .name = "tanh",
    .formula = "y = (e^x - e^-x) / (e^x + e^-x)",
    .semantics = "NaN gives NaN; never outside [-1, 1]",
    .infer = rule_infer_float,
    .vjp = tanh_vjp,
    .scalar = FLOAT_TABLE(hyperbolic),
    .samples = float_samples,
};
static const tw_operator op_logistic = {
    UNARY_COMMON,
    .name = "logistic",
    .formula = "y = 1 / (1 + e^-x)",
    .semantics = "NaN gives NaN; never outside [0, 1]",
    .infer = rule_infer_float,
    .vjp = logistic_vjp,
    .scalar = FLOAT_TABLE(logistic),
    .samples = float_samples,
};
static const tw_operator op_floor = {
    UNARY_COMMON,
    .name = "floor",
    .formula = "y = the greatest integer <= x",
    .semantics = "NaN gives NaN; the gradient is 0",
    .infer = rule_infer_float,
    .vjp = rule_vjp_zero,
    .scalar = FLOAT_TABLE(floor_of),
    .samples = step_samples,
};
static const tw_operator op_ceil = {
    UNARY_COMMON,
    .name = "ceil",
    .formula = "y = the least integer >= x",
    .semantics = "NaN gives NaN; the gradient is 0",
    .infer = rule_infer_float,
    .vjp = rule_vjp_zero,
    .scalar = FLOAT_TABLE(ceiling),
    .samples = step_samples,
};
static const tw_operator op_round = {
    UNARY_COMMON,
    .name = "round",
    .formula = "y = the integer nearest to x",
    .semantics = "halves go to the even integer; NaN gives NaN; the gradient is 0",
    .infer = rule_infer_float,
    .vjp = rule_vjp_zero,
    .scalar = FLOAT_TABLE(rounded),
    .samples = half_samples,
};
static const tw_operator op_expm1 = {
    UNARY_COMMON,
    .name = "expm1",
    .formula = "y = e^x - 1",
    .semantics = "exact near 0; NaN gives NaN; overflow gives infinity",
    .infer = rule_infer_float,
    .vjp = expm1_vjp,
    .scalar = FLOAT_TABLE(exponential_less_1),
    .samples = float_samples,
};
static const tw_operator op_log1p = {
    UNARY_COMMON,
    .name = "log1p",
    .formula = "y = ln(1 + x)",
    .semantics = "exact near 0; -1 gives -infinity; less and NaN give NaN",
    .infer = rule_infer_float,
    .vjp = log1p_vjp,
    .scalar = FLOAT_TABLE(logarithm_of_1_more),
    .samples = positive_samples,
};
static const tw_operator op_erf = {
    UNARY_COMMON,
    .name = "erf",
    .formula = "y = 2 / sqrt(pi) times the integral of e^(-t^2) from 0 to x",
    .semantics = "NaN gives NaN; never outside [-1, 1]",
    .infer = rule_infer_float,
    .vjp = erf_vjp,
    .scalar = FLOAT_TABLE(error_function),
    .samples = float_samples,
};
static const tw_operator op_not = {
    UNARY_COMMON,
    .name = "not",
    .formula = "y = true where x is false",
    .semantics = "bool; of integers each bit",
    .infer = rule_infer_bits,
    .no_vjp = "truth values and bits have no gradient",
    .scalar = {[TW_BOOL] = not_bool,
               [TW_U8] = not_u8,
               [TW_I32] = not_i32,
               [TW_I64] = not_i64,
               [TW_U32] = not_u32},
    .scalar_text = {[TW_BOOL] = &not_bool_text,
                    [TW_U8] = &not_u8_text,
                    [TW_I32] = &not_i32_text,
                    [TW_I64] = &not_i64_text,
                    [TW_U32] = &not_u32_text},
    .samples = bool_samples,
};

static const tw_attr_spec cast_attributes[] = {
    {"dtype", TW_ATTR_DTYPE, NULL, NULL, "the result's element type"}, {0}};
static const tw_sample cast_samples[] = {
    {.operands = "f64[3,5]", .attributes = "dtype=f64"},
    {.operands = "f64[1]", .attributes = "dtype=i32", .kink_at_integers = true},
    {.operands = "i32[4]", .attributes = "dtype=f64"},
    {.operands = "u8[4]", .attributes = "dtype=f64"},
    {.operands = "i64[4]", .attributes = "dtype=bool"},
    {.operands = "bool[4]", .attributes = "dtype=f64"},
    {.operands = "f64[0,2]", .attributes = "dtype=u8"},
    {.operands = "bf16[3,5]", .attributes = "dtype=f64"},
    {.operands = "f64[3,5]", .attributes = "dtype=bf16"},
    {.operands = "f16[5]", .attributes = "dtype=bf16"},
    {.operands = "i32[4]", .attributes = "dtype=f16"},
    {0},
};
static const tw_operator op_cast = {
    UNARY_COMMON,
    .name = "cast",
    .formula = "y = x as dtype",
    .semantics = "between floats: to the nearest, ties to even; to an integer: toward 0, from "
                 "floats saturating with NaN as 0, from integers"
                 " wrapping; to bool: x != 0; the gradient is 0 unless both are floats",
    .attributes = cast_attributes,
    .infer = cast_infer,
    .vjp = cast_vjp,
    .scalar = {[TW_BOOL] = cast_bool,
               [TW_U8] = cast_u8,
               [TW_I32] = cast_i32,
               [TW_I64] = cast_i64,
               [TW_U32] = cast_u32,
               [TW_F16] = cast_f16,
               [TW_BF16] = cast_bf16,
               [TW_F32] = cast_f32,
               [TW_F64] = cast_f64},
    .scalar_text = {[TW_BOOL] = &cast_bool_text,
                    [TW_U8] = &cast_u8_text,
                    [TW_I32] = &cast_i32_text,
                    [TW_I64] = &cast_i64_text,
                    [TW_U32] = &cast_u32_text,
                    [TW_F16] = &cast_f32_text,
                    [TW_BF16] = &cast_f32_text,
                    [TW_F32] = &cast_f32_text,
                    [TW_F64] = &cast_f64_text},
    .samples = cast_samples,
};

const tw_operator *const ops_unary[] = {
    &op_neg,   &op_abs,   &op_sign, &op_exp,      &op_log,   &op_sqrt, &op_rsqrt,
    &op_sin,   &op_cos,   &op_tanh, &op_logistic, &op_floor, &op_ceil, &op_round,
    &op_expm1, &op_log1p, &op_erf,  &op_not,      &op_cast,  NULL,
};

tw_value tw_neg(tw_value x) { return rule_apply1("neg", x, NULL); }
tw_value tw_abs(tw_value x) { return rule_apply1("abs", x, NULL); }
tw_value tw_sign(tw_value x) { return rule_apply1("sign", x, NULL); }
tw_value tw_exp(tw_value x) { return rule_apply1("exp", x, NULL); }
tw_value tw_log(tw_value x) { return rule_apply1("log", x, NULL); }
tw_value tw_sqrt(tw_value x) { return rule_apply1("sqrt", x, NULL); }
tw_value tw_rsqrt(tw_value x) { return rule_apply1("rsqrt", x, NULL); }
tw_value tw_sin(tw_value x) { return rule_apply1("sin", x, NULL); }
tw_value tw_cos(tw_value x) { return rule_apply1("cos", x, NULL); }
tw_value tw_tanh(tw_value x) { return rule_apply1("tanh", x, NULL); }
tw_value tw_sigmoid(tw_value x) { return rule_apply1("logistic", x, NULL); }
tw_value tw_floor(tw_value x) { return rule_apply1("floor", x, NULL); }
tw_value tw_ceil(tw_value x) { return rule_apply1("ceil", x, NULL); }
tw_value tw_round(tw_value x) { return rule_apply1("round", x, NULL); }
tw_value tw_expm1(tw_value x) { return rule_apply1("expm1", x, NULL); }
tw_value tw_log1p(tw_value x) { return rule_apply1("log1p", x, NULL); }
tw_value tw_erf(tw_value x) { return rule_apply1("erf", x, NULL); }
tw_value tw_not(tw_value x) { return rule_apply1("not", x, NULL); }
/* No node where there is nothing to convert. */
tw_value tw_cast(tw_value x, tw_dtype dtype) {
    if (!rule_usable("cast", 1, &x)) return rule_poison(x.graph);
    if (tw_dtype_of(x) == dtype) return tw_snapshot(x);
    tw_attr attr = tw_attr_int(dtype);
    return rule_apply1("cast", x, &attr);
}
tw_value tw_square(tw_value x) { return tw_mul(x, x); }
tw_value tw_scale(tw_value x, double factor) { return tw_mul(x, tw_literal(x, factor)); }
tw_value tw_shift(tw_value x, double offset) { return tw_add(x, tw_literal(x, offset)); }
