/* clamp: x kept between two bounds, which are operands like any others. */
#include <thalweg/operators.h>

#include "ops/families.h"
#include "ops/rules.h"
#include "ops/scalar.h"

/* A NaN among the three goes on. */
#define CLAMP_ONE(x, low, high)                                                                    \
    (low != low               ? low                                                                \
     : high != high           ? high                                                               \
     : x != x                 ? x                                                                  \
     : x > high || low > high ? high                                                               \
     : x < low                ? low                                                                \
                              : x)
#define CLAMP_KERNEL(name, T)                                                                      \
    SCALAR_TEXT(name, "x low high", CLAMP_ONE(x, low, high))                                       \
    static void name(SCALAR_ARGUMENTS) {                                                           \
        const T *at = in[0], *lower = in[1], *upper = in[2];                                       \
        T *result = out;                                                                           \
        (void)attr;                                                                                \
        if (step[0] == 1 && step[1] == 0 && step[2] == 0 && count > 0) {                           \
            const T low = lower[0], high = upper[0];                                               \
            SCALAR_LOOP for (int64_t i = 0; i < count; i++) {                                      \
                const T x = at[i];                                                                 \
                result[i] = CLAMP_ONE(x, low, high);                                               \
            }                                                                                      \
            return;                                                                                \
        }                                                                                          \
        for (int64_t i = 0; i < count; i++) {                                                      \
            const T x = at[i * step[0]], low = lower[i * step[1]], high = upper[i * step[2]];      \
            result[i] = CLAMP_ONE(x, low, high);                                                   \
        }                                                                                          \
    }
CLAMP_KERNEL(clamp_f32, float)
CLAMP_KERNEL(clamp_f64, double)
CLAMP_KERNEL(clamp_i32, int32_t)
CLAMP_KERNEL(clamp_i64, int64_t)
CLAMP_KERNEL(clamp_u8, uint8_t)
CLAMP_KERNEL(clamp_u32, uint32_t)

/* Each element's gradient goes to the one operand that the result is. */
static void clamp_vjp(tw_graph *graph, tw_vjp *rule) {
    (void)graph;
    tw_value x = rule->operand[0], low = rule->operand[1], high = rule->operand[2];
    tw_value d = rule->d_result[0], zero = tw_literal(d, 0);
    tw_value above = tw_or(tw_compare(TW_GT, x, high), tw_compare(TW_GT, low, high));
    tw_value below = tw_and(tw_compare(TW_LT, x, low), tw_not(above));
    tw_value inside = tw_and(tw_compare(TW_GE, x, low), tw_compare(TW_LE, x, high));
    if (rule->wanted[0]) rule->d_operand[0] = tw_select(inside, d, zero);
    if (rule->wanted[1]) rule->d_operand[1] = tw_select(below, d, zero);
    if (rule->wanted[2]) rule->d_operand[2] = tw_select(above, d, zero);
}

static const tw_sample clamp_samples[] = {
    {.operands = "f64[3,5] f64[3,5] f64[3,5]", .distinct = true},
    {.operands = "f64[1] f64[1] f64[1]", .distinct = true},
    {.operands = "f64[] f64[] f64[]", .distinct = true},
    {.operands = "f64[0,2] f64[0,2] f64[0,2]"},
    {.operands = "i32[8] i32[8] i32[8]", .index_low = -3, .index_high = 3},
    {.operands = "i64[8] i64[8] i64[8]", .index_low = -3, .index_high = 3},
    {.operands = "u8[8] u8[8] u8[8]"},
    {.operands = "u32[8] u32[8] u32[8]"},
    {0},
};

static const tw_operator op_clamp = {
    .name = "clamp",
    .formula = "y = min(max(x, low), high)",
    .semantics = "NaN if any of the three is NaN; high where low > high; the gradient goes to the "
                 "operand that the result is, to x where it equals a bound",
    .operands = "x low high",
    .results = "y",
    .infer = rule_infer_number,
    .vjp = clamp_vjp,
    .batch = rule_batch_leading,
    .factors = rule_factors_elementwise,
    .cost = rule_cost_elementwise,
    .meaning = TW_MEANS_SCALAR,
    .scalar = {[TW_F32] = clamp_f32,
               [TW_F64] = clamp_f64,
               [TW_I32] = clamp_i32,
               [TW_I64] = clamp_i64,
               [TW_U8] = clamp_u8,
               [TW_U32] = clamp_u32},
    .scalar_text = {[TW_F32] = &clamp_f32_text,
                    [TW_F64] = &clamp_f64_text,
                    [TW_I32] = &clamp_i32_text,
                    [TW_I64] = &clamp_i64_text,
                    [TW_U8] = &clamp_u8_text,
                    [TW_U32] = &clamp_u32_text},
    .samples = clamp_samples,
};

const tw_operator *const ops_clamp[] = {&op_clamp, NULL};

tw_value tw_clamp_to(tw_value x, tw_value low, tw_value high) {
    tw_value operands[] = {x, low, high};
    if (!rule_usable("clamp", 3, operands)) return rule_poison(rule_graph(3, operands));
    tw_shape shape = tw_shape_of(x);
    bool fits = rule_broadcast_shape(shape, tw_shape_of(low), &shape) &&
                rule_broadcast_shape(shape, tw_shape_of(high), &shape);
    for (int i = 0; i < 3 && fits; i++) operands[i] = tw_broadcast(operands[i], shape);
    return tw_apply(x.graph, "clamp", 3, operands, NULL, NULL);
}

tw_value tw_clamp(tw_value x, double low, double high) {
    return tw_clamp_to(x, tw_literal(x, low), tw_literal(x, high));
}
