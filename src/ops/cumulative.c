/*
 * cumulative: sum, product, maximum and minimum of all elements up to each one along an axis. One
 * line goes in its order by one thread, so that the bits depend on nothing else.
 */
#include <math.h>
#include <thalweg/operators.h>

#include "base/parallel.h"
#include "ops/families.h"
#include "ops/rules.h"

enum { AXIS, HOW, REVERSE, EXCLUSIVE, ATTRS };

static const tw_attr_spec cumulative_specs[] = {
    {"axis", TW_ATTR_INT, NULL, NULL, "the axis along which elements are combined"},
    {"how", TW_ATTR_CHOICE, "sum", "sum max min prod", "how elements are combined"},
    {"reverse", TW_ATTR_BOOL, "false", NULL, "from the last element to the first"},
    {"exclusive", TW_ATTR_BOOL, "false", NULL, "without the element itself"},
    {0},
};

static tw_status cumulative_infer(tw_signature *signature) {
    tw_type x = signature->operand[0];
    int64_t how = signature->attr[HOW].i;
    if (how < 0 || how > TW_PROD - TW_SUM) {
        return tw_refuse(signature, TW_ERR_ARGUMENT, "how is %lld, expected 0 to %d",
                         (long long)how, TW_PROD - TW_SUM);
    }
    bool truth = how == TW_MAX - TW_SUM || how == TW_MIN - TW_SUM;
    tw_status status = rule_type(signature, 0, truth ? TYPES_ALL : TYPES_NUMBER);
    if (!status) status = rule_axis(signature, "axis", signature->attr[AXIS].i, x.shape.rank);
    return status ? status : rule_result(signature, 0, x.dtype, x.shape);
}

/* ---- gradients ---- */

/* x shifted toward the front by `by` places along the axis; 0 comes after the end. */
static tw_value ahead(tw_value x, int axis, int64_t extent, int64_t by) {
    tw_value rest = tw_slice(x, axis, by, extent - by);
    return tw_pad(rest, axis, 0, by, 0);
}

/*
 * dx[k] = P[k] S[k], P the product of all before k, S[k] = sum over j >= k of d[j] times the
 * product of x between k and j (both excluded but j): the recurrence S[k] = d[k] + x[k+1] S[k+1].
 * It is solved by doubling (Hillis & Steele 1986: Data parallel algorithms): after the step of h,
 * S[k] = sum[k] + factor[k] S[k+2h]. Nothing is divided, so zeros are like any other number.
 */
static tw_value prod_vjp(tw_value x, tw_value d, int axis, bool exclusive) {
    int64_t extent = tw_shape_of(x).dim[axis];
    if (extent < 0) {
        return rule_fail(x.graph, TW_ERR_UNSUPPORTED,
                         "cumulative: no gradient of a product along axis %d, whose extent is "
                         "symbolic; bind the symbol",
                         axis);
    }
    if (extent == 0) return d;
    tw_value sum = exclusive ? ahead(d, axis, extent, 1) : d, factor = ahead(x, axis, extent, 1);
    for (int64_t h = 1; h < extent; h *= 2) {
        sum = tw_add(sum, tw_mul(factor, ahead(sum, axis, extent, h)));
        if (2 * h < extent) factor = tw_mul(factor, ahead(factor, axis, extent, h));
    }
    const tw_cumulative_opts before = {.exclusive = true};
    return tw_mul(tw_cumulative(TW_PROD, x, axis, &before), sum);
}

/* Where the extreme up to each element stands: where the last new one was set. */
static tw_value holder(tw_value x, tw_reduction how, int axis, bool exclusive) {
    const tw_cumulative_opts opts = {.exclusive = true};
    tw_value before = tw_cumulative(how, x, axis, &opts);
    tw_value place = tw_iota(x.graph, TW_I64, tw_shape_of(x), axis);
    tw_value first = tw_compare(TW_EQ, place, tw_literal(place, 0));
    tw_value beats = tw_compare(how == TW_MAX ? TW_GT : TW_LT, x, before);
    tw_value nan = tw_and(tw_compare(TW_NE, x, x), tw_compare(TW_EQ, before, before));
    tw_value fresh = tw_or(first, tw_or(beats, nan));
    tw_value set = tw_select(fresh, place, tw_literal(place, -1));
    return tw_cumulative(TW_MAX, set, axis, exclusive ? &opts : NULL);
}

/* An index below 0, that of nothing, is ignored. */
static tw_value extreme_vjp(tw_value x, tw_value d, tw_reduction how, int axis, bool exclusive) {
    tw_shape shared = {0};
    for (int i = 0; i < tw_shape_of(x).rank; i++)
        if (i != axis) shared.dim[shared.rank++] = i;
    tw_attr attr[] = {tw_attr_int(axis), tw_attr_dims(shared), tw_attr_int(0)};
    tw_value operands[] = {tw_literal(x, 0), holder(x, how, axis, exclusive), d};
    return tw_apply(x.graph, "scatter", 3, operands, attr, NULL);
}

static void cumulative_vjp(tw_graph *graph, tw_vjp *rule) {
    (void)graph;
    int axis = (int)rule->attr[AXIS].i;
    tw_reduction how = (tw_reduction)(rule->attr[HOW].i + TW_SUM);
    bool reverse = rule->attr[REVERSE].i, exclusive = rule->attr[EXCLUSIVE].i;
    tw_value x = rule->operand[0], d = rule->d_result[0];
    if (how == TW_SUM) {
        const tw_cumulative_opts opts = {.reverse = !reverse, .exclusive = exclusive};
        rule->d_operand[0] = tw_cumulative(TW_SUM, d, axis, &opts);
        return;
    }
    if (reverse) x = tw_reverse(x, axis), d = tw_reverse(d, axis);
    tw_value dx =
        how == TW_PROD ? prod_vjp(x, d, axis, exclusive) : extreme_vjp(x, d, how, axis, exclusive);
    rule->d_operand[0] = reverse ? tw_reverse(dx, axis) : dx;
}

static void cumulative_batch(tw_graph *graph, tw_batch *rule) {
    tw_attr attr[ATTRS] = {tw_attr_int(rule->attr[AXIS].i + 1), rule->attr[HOW],
                           rule->attr[REVERSE], rule->attr[EXCLUSIVE]};
    rule->result[0] = tw_apply(graph, "cumulative", 1, rule->operand, attr, NULL);
}

static int cumulative_factors(const tw_signature *signature, tw_factor *out) {
    int n = rule_factors_elementwise(signature, out);
    out[signature->attr[AXIS].i].kind = TW_FACTOR_REPLICATE;
    return n;
}

/* ---- the kernel ---- */

/* x as (outer, count, inner); a unit is a tile of columns of one outer index. */
typedef struct lines {
    int64_t count, inner, tiles;
    bool reverse, exclusive;
    const void *in;
    void *out;
} lines;

enum { TILE = 64 };

/* `expression` combines a, what was before, and b; `start` is that of nothing. */
#define CUMULATIVE(name, T, start, expression)                                                     \
    static void name(void *argument, int64_t begin, int64_t end) {                                 \
        const lines *l = argument;                                                                 \
        for (int64_t unit = begin; unit < end; unit++) {                                           \
            const int64_t column = unit % l->tiles * TILE;                                         \
            const int64_t left = l->inner - column, width = left < TILE ? left : TILE;             \
            const int64_t base = unit / l->tiles * l->count * l->inner + column;                   \
            T held[TILE];                                                                          \
            for (int64_t c = 0; c < width; c++) held[c] = (T)(start);                              \
            for (int64_t k = 0; k < l->count; k++) {                                               \
                const int64_t row = l->reverse ? l->count - 1 - k : k;                             \
                const T *in = (const T *)l->in + base + row * l->inner;                            \
                T *out = (T *)l->out + base + row * l->inner;                                      \
                for (int64_t c = 0; c < width; c++) {                                              \
                    const T a = held[c], b = in[c];                                                \
                    held[c] = (T)(expression);                                                     \
                    out[c] = l->exclusive ? a : held[c];                                           \
                }                                                                                  \
            }                                                                                      \
        }                                                                                          \
    }
/* sum and prod of integers wrap: they are done unsigned. */
#define SUM_AND_PROD(T, suffix, wide)                                                              \
    CUMULATIVE(sum_##suffix, T, 0, (wide)a + (wide)b)                                              \
    CUMULATIVE(prod_##suffix, T, 1, (wide)a *(wide)b)
SUM_AND_PROD(float, f32, float)
SUM_AND_PROD(double, f64, double)
SUM_AND_PROD(int32_t, i32, uint32_t)
SUM_AND_PROD(int64_t, i64, uint64_t)
SUM_AND_PROD(uint8_t, u8, uint32_t)
SUM_AND_PROD(uint32_t, u32, uint32_t)
#define MAX_AND_MIN(T, suffix, least, most)                                                        \
    CUMULATIVE(max_##suffix, T, least, a >= b || a != a ? a : b)                                   \
    CUMULATIVE(min_##suffix, T, most, a <= b || a != a ? a : b)
MAX_AND_MIN(float, f32, -INFINITY, INFINITY)
MAX_AND_MIN(double, f64, -INFINITY, INFINITY)
MAX_AND_MIN(int32_t, i32, INT32_MIN, INT32_MAX)
MAX_AND_MIN(int64_t, i64, INT64_MIN, INT64_MAX)
MAX_AND_MIN(uint8_t, u8, 0, UINT8_MAX)
MAX_AND_MIN(uint32_t, u32, 0, UINT32_MAX)
MAX_AND_MIN(uint8_t, bool, 0, 1)

#define BODIES(how)                                                                                \
    [TW_F32] = how##_f32, [TW_F64] = how##_f64, [TW_I32] = how##_i32, [TW_I64] = how##_i64,        \
    [TW_U8] = how##_u8, [TW_U32] = how##_u32

static tw_status cumulative_kernel(const tw_kernel_call *call) {
    /* In the order of the attribute's words. */
    static const parallel_body bodies[][TW_F64 + 1] = {{BODIES(sum)},
                                                       {BODIES(max), [TW_BOOL] = max_bool},
                                                       {BODIES(min), [TW_BOOL] = min_bool},
                                                       {BODIES(prod)}};
    const tw_attr *attr = call->signature.attr;
    tw_type x = call->signature.operand[0];
    int axis = (int)attr[AXIS].i;
    lines l = {.count = x.shape.dim[axis],
               .inner = rule_product(x.shape, axis + 1, x.shape.rank),
               .reverse = attr[REVERSE].i,
               .exclusive = attr[EXCLUSIVE].i,
               .in = call->in[0],
               .out = call->out[0]};
    l.tiles = (l.inner + TILE - 1) / TILE;
    int64_t width = l.inner < TILE ? l.inner : TILE;
    tw_parallel_for(call->signature.context, rule_product(x.shape, 0, axis) * l.tiles,
                    1 + 16384 / (l.count * width + 1), bodies[attr[HOW].i][x.dtype], &l);
    return TW_OK;
}

static const tw_sample cumulative_samples[] = {
    {.operands = "f64[3,5]", .attributes = "axis=1"},
    {.operands = "f64[3,5]", .attributes = "axis=0, reverse=true"},
    {.operands = "f64[2,4,3]", .attributes = "axis=1, exclusive=true"},
    {.operands = "f64[5]", .attributes = "axis=0, reverse=true, exclusive=true"},
    {.operands = "f64[2,6]", .attributes = "axis=1, how=prod"},
    {.operands = "f64[5,2]", .attributes = "axis=0, how=prod, exclusive=true"},
    {.operands = "f64[2,4,2]", .attributes = "axis=1, how=prod, reverse=true"},
    {.operands = "f64[3,7]",
     .attributes = "axis=1, how=prod, reverse=true, exclusive=true",
     .low = 0.5,
     .high = 2},
    {.operands = "f64[3,6]", .attributes = "axis=1, how=max", .distinct = true},
    /* Exclusive extremes of floats start with an infinity, which has no differences. */
    {.operands = "i32[6,3]", .attributes = "axis=0, how=max, reverse=true, exclusive=true"},
    {.operands = "f64[6,2]", .attributes = "axis=0, how=max, reverse=true", .distinct = true},
    {.operands = "f64[2,5,2]", .attributes = "axis=1, how=min, reverse=true", .distinct = true},
    {.operands = "f64[5]", .attributes = "axis=0, how=min", .distinct = true},
    {.operands = "i64[5]", .attributes = "axis=0, how=min, exclusive=true"},
    {.operands = "f64[1]", .attributes = "axis=0, how=prod"},
    {.operands = "f64[1,1]", .attributes = "axis=1, how=prod, exclusive=true"},
    {.operands = "f64[1,1]", .attributes = "axis=1, how=max"},
    {.operands = "f64[0,3]", .attributes = "axis=0, how=prod"},
    {.operands = "f64[3,0]", .attributes = "axis=0, how=max"},
    {.operands = "i32[3,4]", .attributes = "axis=1"},
    {.operands = "i64[3,4]", .attributes = "axis=0, how=prod"},
    {.operands = "u8[5]", .attributes = "axis=0, how=max"},
    {.operands = "u32[5]", .attributes = "axis=0, how=min, reverse=true"},
    {.operands = "bool[2,5]", .attributes = "axis=1, how=max"},
    {0},
};

static const tw_operator op_cumulative = {
    .name = "cumulative",
    .formula = "y[.., i, ..] = x[.., 0, ..] to x[.., i, ..] along axis, combined by how",
    .semantics = "in order of the axis; reverse: from its end; exclusive: without x[i], the first "
                 "being that of nothing: 0, the least number, the greatest number, 1; max and min: "
                 "NaN stays from the first on, the first of equals has the gradient; integers wrap",
    .operands = "x",
    .results = "y",
    .attributes = cumulative_specs,
    .infer = cumulative_infer,
    .vjp = cumulative_vjp,
    .batch = cumulative_batch,
    .factors = cumulative_factors,
    .cost = rule_cost_elementwise,
    .meaning = TW_MEANS_LOOPS,
    .kernel = cumulative_kernel,
    .samples = cumulative_samples,
};

const tw_operator *const ops_cumulative[] = {&op_cumulative, NULL};

tw_value tw_cumulative(tw_reduction how, tw_value x, int axis, const tw_cumulative_opts *opts) {
    if (!rule_usable("cumulative", 1, &x)) return rule_poison(x.graph);
    axis = rule_axis_of("cumulative", x, axis);
    if (axis < 0) return rule_poison(x.graph);
    if (how < TW_SUM || how > TW_PROD) {
        return rule_fail(x.graph, TW_ERR_ARGUMENT, "cumulative: %d is no tw_reduction", (int)how);
    }
    const tw_attr attr[ATTRS] = {tw_attr_int(axis), tw_attr_int(how - TW_SUM),
                                 tw_attr_int(opts && opts->reverse),
                                 tw_attr_int(opts && opts->exclusive)};
    return rule_apply1("cumulative", x, attr);
}

tw_value tw_cumulative_sum(tw_value x, int axis) { return tw_cumulative(TW_SUM, x, axis, NULL); }
tw_value tw_cumulative_prod(tw_value x, int axis) { return tw_cumulative(TW_PROD, x, axis, NULL); }
