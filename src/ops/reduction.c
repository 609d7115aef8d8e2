/*
 * reduce, argmax and argmin. A reduction goes one run of neighbouring axes at a time, from the last; each
 * run is (outer, count, inner) -> (outer, inner), cut into blocks by shape, whose partial results
 * are reduced in turn.
 */
#include "ops/reduction.h"

#include <math.h>
#include <string.h>
#include <thalweg/operators.h>

#include "base/context.h"
#include "base/parallel.h"
#include "base/scratch.h"
#include "ir/dimension.h"
#include "ops/batch.h"
#include "ir/graph.h"
#include "ops/families.h"
#include "ops/reduce_kernels.h"
#include "ops/rules.h"

enum { REDUCE_HOW, REDUCE_AXES, REDUCE_RESULT, REDUCE_ATTRS };
enum { ARGMAX_AXIS };

/* Elements that one block reduces, of a row and of rows; columns that go along together. */
enum { BLOCK = 8192, ROWS_BLOCK = 32768, COLUMNS = 1024 };

/* sum and prod of integers wrap: they are done unsigned. */
#define SUM_AND_PROD(T, suffix, wide)                                                              \
    REDUCE_KERNELS(sum_##suffix, T, 0, (wide)a + (wide)b)                                          \
    REDUCE_KERNELS(prod_##suffix, T, 1, (wide)a *(wide)b)
SUM_AND_PROD(float, f32, float)
SUM_AND_PROD(double, f64, double)
SUM_AND_PROD(int32_t, i32, uint32_t)
SUM_AND_PROD(int64_t, i64, uint64_t)
SUM_AND_PROD(uint8_t, u8, uint32_t)
SUM_AND_PROD(uint32_t, u32, uint32_t)
#define MAX_AND_MIN(T, suffix, least, most)                                                        \
    REDUCE_KERNELS(max_##suffix, T, least, a > b || a != a ? a : b)                                \
    REDUCE_KERNELS(min_##suffix, T, most, a < b || a != a ? a : b)
MAX_AND_MIN(float, f32, -INFINITY, INFINITY)
MAX_AND_MIN(double, f64, -INFINITY, INFINITY)
MAX_AND_MIN(int32_t, i32, INT32_MIN, INT32_MAX)
MAX_AND_MIN(int64_t, i64, INT64_MIN, INT64_MAX)
MAX_AND_MIN(uint8_t, u8, 0, UINT8_MAX)
MAX_AND_MIN(uint32_t, u32, 0, UINT32_MAX)
MAX_AND_MIN(uint8_t, bool, 0, 1)

#define KERNELS_OF(how)                                                                            \
    [TW_F32] = REDUCE_KERNEL(how##_f32), [TW_F64] = REDUCE_KERNEL(how##_f64),                      \
    [TW_I32] = REDUCE_KERNEL(how##_i32), [TW_I64] = REDUCE_KERNEL(how##_i64),                      \
    [TW_U8] = REDUCE_KERNEL(how##_u8), [TW_U32] = REDUCE_KERNEL(how##_u32)
/* In the order of the attribute's words. */
static const reduce_kernel kernels[][TW_F64 + 1] = {
    {KERNELS_OF(sum)},
    {KERNELS_OF(max), [TW_BOOL] = REDUCE_KERNEL(max_bool)},
    {KERNELS_OF(min), [TW_BOOL] = REDUCE_KERNEL(min_bool)},
    {KERNELS_OF(prod)},
};

/* ---- the driver ---- */

/* One pass: in (outer, count, inner) -> out (outer, blocks, inner). */
typedef struct pass {
    const reduce_kernel *kernel;
    size_t size;
    int64_t outer, count, inner;
    int64_t blocks, block, tiles; /* block: rows of each, the last one's fewer */
    const char *in;
    char *out;
} pass;

/* Units begin..end-1, each one tile of columns of one block. */
static void reduce_units(void *argument, int64_t begin, int64_t end) {
    const pass *p = argument;
    for (int64_t unit = begin; unit < end; unit++) {
        int64_t tile = unit % p->tiles, place = unit / p->tiles; /* place is (outer, block) */
        int64_t block = place % p->blocks, outer = place / p->blocks;
        int64_t row = block * p->block, column = tile * COLUMNS;
        int64_t rows = p->count - row < p->block ? p->count - row : p->block;
        int64_t columns = p->inner - column < COLUMNS ? p->inner - column : COLUMNS;
        const char *in = p->in + (size_t)((outer * p->count + row) * p->inner + column) * p->size;
        char *out = p->out + (size_t)(place * p->inner + column) * p->size;
        if (p->inner == 1)
            p->kernel->run(out, in, rows);
        else
            p->kernel->rows(out, in, rows, columns, p->inner);
    }
}

/* Narrow rows are taken several at a time as one: (count, inner) -> (count / fold, inner fold). */
static int64_t fold_of(int64_t count, int64_t inner) {
    if (inner == 1 || inner >= 64) return 1;
    int64_t fold = 1;
    while (inner * fold < 64 && count % (2 * fold) == 0) fold *= 2;
    return count / fold > 1 ? fold : 1;
}

static tw_status reduce_run(tw_context *context, const reduce_kernel *kernel, size_t size,
                            int64_t outer, int64_t count, int64_t inner, const char *in, char *out);

/* Reduces (outer, count, inner), no extent 0, to (outer, blocks, inner) and that in turn. */
static tw_status reduce_blocks(tw_context *context, pass *p) {
    int64_t width = p->inner < COLUMNS ? p->inner : COLUMNS;
    p->block = p->inner == 1 ? BLOCK : ROWS_BLOCK / width;
    p->blocks = (p->count + p->block - 1) / p->block;
    p->tiles = (p->inner + COLUMNS - 1) / COLUMNS;
    char *result = p->out, *partial = NULL;
    if (p->blocks > 1) {
        size_t elements = (size_t)p->outer * (size_t)p->blocks * (size_t)p->inner;
        partial = scratch_take(context, elements * p->size);
        if (!partial) return TW_ERR_MEMORY;
        p->out = partial;
    }
    int64_t rows = p->count < p->block ? p->count : p->block;
    int64_t grain = 2 * BLOCK / (rows * width);
    tw_parallel_for(context, p->outer * p->blocks * p->tiles, grain > 1 ? grain : 1, reduce_units,
                    p);
    if (!partial) return TW_OK;
    return reduce_run(context, p->kernel, p->size, p->outer, p->blocks, p->inner, partial, result);
}

static tw_status reduce_run(tw_context *context, const reduce_kernel *kernel, size_t size,
                            int64_t outer, int64_t count, int64_t inner, const char *in,
                            char *out) {
    int64_t fold = fold_of(count, inner);
    pass p = {.kernel = kernel, .size = size, .outer = outer, .in = in, .out = out};
    p.count = count / fold;
    p.inner = inner * fold;
    if (fold == 1) return reduce_blocks(context, &p);
    char *folded = scratch_take(context, (size_t)outer * (size_t)p.inner * size);
    if (!folded) return TW_ERR_MEMORY;
    p.out = folded;
    tw_status status = reduce_blocks(context, &p);
    for (int64_t i = 0; i < outer && !status; i++) {
        kernel->rows(out + (size_t)(i * inner) * size, folded + (size_t)(i * p.inner) * size, fold,
                     inner, inner);
    }
    return status;
}

/* What reduce_run takes. */
static size_t run_bytes(size_t size, int64_t outer, int64_t count, int64_t inner) {
    size_t bytes = 0;
    for (;;) {
        int64_t fold = fold_of(count, inner);
        count /= fold;
        inner *= fold;
        if (fold > 1) bytes += scratch_rounded((size_t)outer * (size_t)inner * size);
        int64_t width = inner < COLUMNS ? inner : COLUMNS;
        int64_t block = inner == 1 ? BLOCK : ROWS_BLOCK / width;
        count = (count + block - 1) / block;
        if (count <= 1) return bytes;
        bytes += scratch_rounded((size_t)(outer * count * inner) * size);
    }
}

/* Runs of neighbouring axes: extents, and whether they are reduced. Extents of 1 are left out. */
typedef struct runs {
    int n;
    int64_t extent[TW_MAX_RANK];
    bool reduced[TW_MAX_RANK];
} runs;

static runs runs_of(tw_shape shape, const tw_shape *axes) {
    bool reduced[TW_MAX_RANK] = {false};
    runs list = {0};
    for (int i = 0; i < axes->rank; i++) reduced[axes->dim[i]] = true;
    for (int i = 0; i < shape.rank; i++) {
        if (shape.dim[i] == 1) continue;
        if (list.n > 0 && list.reduced[list.n - 1] == reduced[i]) {
            list.extent[list.n - 1] *= shape.dim[i];
            continue;
        }
        list.extent[list.n] = shape.dim[i];
        list.reduced[list.n++] = reduced[i];
    }
    return list;
}

/* The last reduced run at or before i, -1 for none. */
static int reduced_run(const runs *list, int i) {
    while (i >= 0 && !list->reduced[i]) i--;
    return i;
}

static tw_status reduce_kernel_call(const tw_kernel_call *call) {
    const tw_signature *signature = &call->signature;
    tw_context *context = signature->context;
    tw_type type = signature->operand[0];
    size_t size = tw_dtype_size(type.dtype);
    const reduce_kernel *kernel = &kernels[signature->attr[REDUCE_HOW].i][type.dtype];
    int64_t results = shape_elements(signature->result[0].shape);
    int64_t elements = shape_elements(type.shape);
    if (elements == 0 && results > 0) kernel->empty(call->out[0], results);
    if (elements == 0 || results == 0) return TW_OK;
    runs list = runs_of(type.shape, &signature->attr[REDUCE_AXES].list);
    int at = reduced_run(&list, list.n - 1);
    if (at < 0) memcpy(call->out[0], call->in[0], (size_t)elements * size);
    const char *in = call->in[0];
    int64_t inner = 1;
    tw_status status = TW_OK;
    for (int i = list.n - 1; i >= 0 && at >= 0 && !status; i--) {
        if (!list.reduced[i]) {
            inner *= list.extent[i];
            continue;
        }
        int64_t outer = 1;
        for (int k = 0; k < i; k++) outer *= list.extent[k];
        bool last = reduced_run(&list, i - 1) < 0;
        char *next = last ? NULL : scratch_take(context, (size_t)(outer * inner) * size);
        if (!last && !next) status = TW_ERR_MEMORY;
        if (!status) {
            status = reduce_run(context, kernel, size, outer, list.extent[i], inner, in,
                                last ? call->out[0] : next);
        }
        in = next;
    }
    return status;
}

static size_t reduce_workspace(const tw_signature *signature) {
    tw_type type = signature->operand[0];
    size_t size = tw_dtype_size(type.dtype), bytes = 0;
    if (shape_elements(type.shape) == 0) return 0;
    runs list = runs_of(type.shape, &signature->attr[REDUCE_AXES].list);
    int64_t inner = 1;
    for (int i = list.n - 1; i >= 0 && reduced_run(&list, i) >= 0; i--) {
        int64_t outer = 1;
        if (!list.reduced[i]) {
            inner *= list.extent[i];
            continue;
        }
        for (int k = 0; k < i; k++) outer *= list.extent[k];
        bytes += run_bytes(size, outer, list.extent[i], inner);
        if (reduced_run(&list, i - 1) >= 0)
            bytes += scratch_rounded((size_t)(outer * inner) * size);
    }
    return bytes;
}

/* ---- reduce ---- */

static tw_status reduce_infer(tw_signature *signature) {
    tw_type x = signature->operand[0];
    const tw_shape *axes = &signature->attr[REDUCE_AXES].list;
    int64_t how = signature->attr[REDUCE_HOW].i;
    bool reduced[TW_MAX_RANK];
    if (how < 0 || how > TW_PROD - TW_SUM) {
        return tw_refuse(signature, TW_ERR_ARGUMENT, "how is %lld, expected 0 to %d",
                         (long long)how, TW_PROD - TW_SUM);
    }
    bool truth = how == TW_MAX - TW_SUM || how == TW_MIN - TW_SUM;
    tw_status status = rule_type(signature, 0, truth ? TYPES_ALL : TYPES_NUMBER);
    if (!status) status = rule_axes(signature, "axes", axes, x.shape.rank, reduced);
    if (status) return status;
    tw_shape shape = {0};
    for (int i = 0; i < x.shape.rank; i++) {
        if (!reduced[i]) shape.dim[shape.rank++] = x.shape.dim[i];
    }
    tw_dtype dtype;
    status = rule_result_dtype(signature, &signature->attr[REDUCE_RESULT], &dtype);
    return status ? status : rule_result(signature, 0, dtype, shape);
}

/* What has the result's type, in the operand's. */
static tw_value narrowed(tw_value y, const tw_vjp *rule) {
    return tw_cast(y, rule->operand_type[0].dtype);
}

/* y in the shape of x again: the operator broadcast with the axes that were kept. */
static tw_value spread(tw_value y, const tw_vjp *rule) {
    const tw_shape *axes = &rule->attr[REDUCE_AXES].list;
    tw_shape shape = rule->operand_type[0].shape, kept = {0};
    bool reduced[TW_MAX_RANK] = {false};
    if (axes->rank == 0) return y;
    for (int i = 0; i < axes->rank; i++) reduced[axes->dim[i]] = true;
    for (int i = 0; i < shape.rank; i++) {
        if (!reduced[i]) kept.dim[kept.rank++] = i;
    }
    tw_attr attr[] = {tw_attr_dims(shape), tw_attr_dims(kept)};
    return rule_apply1("broadcast", y, attr);
}

/* The gradient goes to the elements that equal the result, in equal parts. */
static tw_value extreme_vjp(const tw_vjp *rule) {
    const tw_shape *axes = &rule->attr[REDUCE_AXES].list;
    tw_value x = rule->operand[0];
    tw_value hit = tw_compare(TW_EQ, x, spread(narrowed(rule->result[0], rule), rule));
    tw_value hits = tw_cast(hit, rule->operand_type[0].dtype);
    tw_value d = narrowed(rule->d_result[0], rule);
    tw_value part = tw_div(d, reduction_apply(hits, TW_SUM, axes));
    tw_value zero = tw_literal(x, 0);
    return tw_select(hit, spread(part, rule), zero);
}

/* x with the axes that stay in front and all others as one last axis. */
static tw_value gathered(tw_value x, const tw_vjp *rule, int *order) {
    const tw_shape *axes = &rule->attr[REDUCE_AXES].list;
    tw_shape shape = rule->operand_type[0].shape, flat = {0};
    bool reduced[TW_MAX_RANK] = {false};
    int n = 0;
    for (int i = 0; i < axes->rank; i++) reduced[axes->dim[i]] = true;
    for (int i = 0; i < shape.rank; i++) {
        if (reduced[i]) continue;
        flat.dim[flat.rank++] = shape.dim[i];
        order[n++] = i;
    }
    int64_t count = 1;
    for (int i = 0; i < shape.rank; i++) {
        if (!reduced[i]) continue;
        count = tw_dim_mul(x.graph->module->context, count, shape.dim[i]);
        order[n++] = i;
    }
    flat.dim[flat.rank++] = count;
    return tw_reshape(tw_permute(x, order), flat);
}

/* The product of all before each element and all after it: no division, so zeros do no harm. */
static tw_value prod_vjp(const tw_vjp *rule) {
    const tw_shape *axes = &rule->attr[REDUCE_AXES].list;
    if (axes->rank == 0) return narrowed(rule->d_result[0], rule);
    tw_shape shape = rule->operand_type[0].shape, moved = {.rank = shape.rank};
    int order[TW_MAX_RANK] = {0}, back[TW_MAX_RANK] = {0};
    tw_value flat = gathered(rule->operand[0], rule, order);
    for (int i = 0; i < shape.rank; i++) {
        back[order[i]] = i;
        moved.dim[i] = shape.dim[order[i]];
    }
    const tw_cumulative_opts before = {.exclusive = true};
    const tw_cumulative_opts after = {.exclusive = true, .reverse = true};
    tw_value others =
        tw_mul(tw_cumulative(TW_PROD, flat, -1, &before), tw_cumulative(TW_PROD, flat, -1, &after));
    others = tw_permute(tw_reshape(others, moved), back);
    return tw_mul(spread(narrowed(rule->d_result[0], rule), rule), others);
}

static void reduce_vjp(tw_graph *graph, tw_vjp *rule) {
    (void)graph;
    switch (rule->attr[REDUCE_HOW].i + TW_SUM) {
    case TW_SUM: rule->d_operand[0] = spread(narrowed(rule->d_result[0], rule), rule); break;
    case TW_PROD: rule->d_operand[0] = prod_vjp(rule); break;
    default: rule->d_operand[0] = extreme_vjp(rule); break;
    }
}

static void reduce_batch(tw_graph *graph, tw_batch *rule) {
    (void)graph;
    tw_attr attr[] = {rule->attr[REDUCE_HOW], batch_axes(&rule->attr[REDUCE_AXES].list),
                      rule->attr[REDUCE_RESULT]};
    rule->result[0] = rule_apply1("reduce", rule->operand[0], attr);
}

static int reduce_factors(const tw_signature *signature, tw_factor *out) {
    const tw_shape *axes = &signature->attr[REDUCE_AXES].list;
    tw_shape shape = signature->operand[0].shape;
    bool reduced[TW_MAX_RANK] = {false};
    int kept = 0;
    for (int i = 0; i < axes->rank; i++) reduced[axes->dim[i]] = true;
    for (int i = 0; i < shape.rank; i++) {
        out[i] = rule_factor(reduced[i] ? TW_FACTOR_REDUCE : TW_FACTOR_PASS, shape.dim[i]);
        out[i].operand[0] = (int8_t)i;
        if (reduced[i])
            out[i].reduction = (tw_reduction)(signature->attr[REDUCE_HOW].i + TW_SUM);
        else
            out[i].result[0] = (int8_t)kept++;
    }
    return shape.rank;
}

static void reduce_cost(const tw_signature *signature, tw_cost *out) {
    rule_cost_bytes(signature, out);
    out->flops = rule_elements(signature->operand[0]);
}

static const tw_attr_spec reduce_attributes[] = {
    {"how", TW_ATTR_CHOICE, NULL, "sum max min prod", "how elements are combined"},
    {"axes", TW_ATTR_INTS, NULL, NULL, "the axes that go"},
    RULE_RESULT_SPEC,
    {0}};
static const tw_sample reduce_samples[] = {
    {.operands = "f64[3,5]", .attributes = "how=sum, axes=[0]"},
    {.operands = "f64[3,5]", .attributes = "how=sum, axes=[1]"},
    {.operands = "f64[2,3,4]", .attributes = "how=sum, axes=[0,2]"},
    {.operands = "f64[4,3]", .attributes = "how=max, axes=[1]", .distinct = true},
    {.operands = "f64[4,3]", .attributes = "how=min, axes=[0,1]", .distinct = true},
    {.operands = "f64[2,4]", .attributes = "how=prod, axes=[1]", .low = 0.5, .high = 2},
    {.operands = "f64[2,3,2]", .attributes = "how=prod, axes=[0,2]"},
    {.operands = "f64[2,3]", .attributes = "how=prod, axes=[]"},
    {.operands = "f64[2,3,2]", .attributes = "how=max, axes=[2,0]", .distinct = true},
    {.operands = "f64[2,1,3]", .attributes = "how=min, axes=[1]", .distinct = true},
    {.operands = "f64[2,3]", .attributes = "how=max, axes=[]", .distinct = true},
    {.operands = "f64[0,3]", .attributes = "how=prod, axes=[0]"},
    {.operands = "f64[1]", .attributes = "how=sum, axes=[0]"},
    {.operands = "f64[]", .attributes = "how=sum, axes=[]"},
    {.operands = "f64[0,3]", .attributes = "how=sum, axes=[0]"},
    {.operands = "f64[3,0]", .attributes = "how=max, axes=[0]"},
    {.operands = "i32[3,4]", .attributes = "how=sum, axes=[1]"},
    {.operands = "i64[3,4]", .attributes = "how=prod, axes=[0,1]"},
    {.operands = "i32[0,4]", .attributes = "how=max, axes=[0]"},
    {.operands = "u8[0,4]", .attributes = "how=min, axes=[0]"},
    {.operands = "u32[3,4]", .attributes = "how=min, axes=[0]"},
    {.operands = "bool[3,4]", .attributes = "how=min, axes=[1]"},
    {.operands = "bool[3,4]", .attributes = "how=max, axes=[0]"},
    {.operands = "bf16[3,40]", .attributes = "how=sum, axes=[1], result=f32"},
    {.operands = "bf16[3,40]", .attributes = "how=sum, axes=[1]"},
    {.operands = "f16[3,4]", .attributes = "how=max, axes=[0]"},
    {0},
};
static const tw_operator op_reduce = {
    .name = "reduce",
    .formula = "y = sum, max, min or prod of x over axes",
    .semantics = "max and min: NaN if any is NaN, equal elements share the gradient; integers wrap;"
                 " f16 and bf16 are combined in f32; of nothing: 0, the least number, the greatest "
                 "number, 1",
    .operands = "x",
    .results = "y",
    .attributes = reduce_attributes,
    .infer = reduce_infer,
    .vjp = reduce_vjp,
    .batch = reduce_batch,
    .factors = reduce_factors,
    .cost = reduce_cost,
    .meaning = TW_MEANS_LOOPS,
    .kernel = reduce_kernel_call,
    .workspace = reduce_workspace,
    .samples = reduce_samples,
};

/* ---- argmax ---- */

static tw_status argmax_infer(tw_signature *signature) {
    tw_type x = signature->operand[0];
    int64_t axis = signature->attr[ARGMAX_AXIS].i;
    tw_status status = rule_type(signature, 0, TYPES_ALL);
    if (!status) status = rule_axis(signature, "axis", axis, x.shape.rank);
    if (status) return status;
    if (x.shape.dim[axis] == 0 || x.shape.dim[axis] > INT32_MAX) {
        return tw_refuse(signature, TW_ERR_SHAPE, "axis %lld has %lld elements, expected 1 to %d",
                         (long long)axis, (long long)x.shape.dim[axis], INT32_MAX);
    }
    tw_shape shape = {0};
    for (int i = 0; i < x.shape.rank; i++) {
        if (i != axis) shape.dim[shape.rank++] = x.shape.dim[i];
    }
    return rule_result(signature, 0, TW_I32, shape);
}

typedef struct argmax_work {
    const void *in;
    int32_t *out;
    int64_t count, inner;
} argmax_work;

/* The first NaN wins over all numbers. */
#define ARG_BODY(name, T, beats)                                                                   \
    static void name(void *argument, int64_t begin, int64_t end) {                                 \
        const argmax_work *w = argument;                                                           \
        for (int64_t i = begin; i < end; i++) {                                                    \
            const T *x = (const T *)w->in + i / w->inner * w->count * w->inner + i % w->inner;     \
            T best = x[0];                                                                         \
            int64_t at = 0;                                                                        \
            for (int64_t k = 1; k < w->count; k++) {                                               \
                T it = x[k * w->inner];                                                            \
                if (it beats best || (it != it && best == best)) best = it, at = k;                \
            }                                                                                      \
            w->out[i] = (int32_t)at;                                                               \
        }                                                                                          \
    }
#define ARG_BODIES(name, beats)                                                                    \
    ARG_BODY(name##_f32, float, beats)                                                             \
    ARG_BODY(name##_f64, double, beats)                                                            \
    ARG_BODY(name##_i32, int32_t, beats)                                                           \
    ARG_BODY(name##_i64, int64_t, beats)                                                           \
    ARG_BODY(name##_u8, uint8_t, beats)                                                            \
    ARG_BODY(name##_u32, uint32_t, beats)                                                          \
    static const parallel_body name##_bodies[TW_F64 + 1] =                                         \
        {                                                                                          \
            [TW_F32] = name##_f32, [TW_F64] = name##_f64, [TW_I32] = name##_i32,                   \
            [TW_I64] = name##_i64, [TW_U8] = name##_u8,   [TW_U32] = name##_u32,                   \
            [TW_BOOL] = name##_u8};
ARG_BODIES(argmax, >)
ARG_BODIES(argmin, <)

static tw_status arg_kernel(const tw_kernel_call *call, const parallel_body *body) {
    const tw_signature *signature = &call->signature;
    tw_type x = signature->operand[0];
    int axis = (int)signature->attr[ARGMAX_AXIS].i;
    argmax_work work = {call->in[0], call->out[0], x.shape.dim[axis],
                        rule_product(x.shape, axis + 1, x.shape.rank)};
    int64_t results = shape_elements(signature->result[0].shape);
    if (results == 0) return TW_OK;
    if (work.count == 0 || work.count > INT32_MAX) {
        return tw_refuse(signature, TW_ERR_SHAPE, "axis %d has %lld elements, expected 1 to %d",
                         axis, (long long)work.count, INT32_MAX);
    }
    int64_t grain = 4 * BLOCK / work.count;
    tw_parallel_for(signature->context, results, grain > 1 ? grain : 1, body[x.dtype], &work);
    return TW_OK;
}

static void argmax_batch(tw_graph *graph, tw_batch *rule) {
    tw_attr attr = tw_attr_int(rule->attr[ARGMAX_AXIS].i + 1);
    rule->result[0] = tw_apply(graph, rule->op->name, 1, rule->operand, &attr, NULL);
}

static tw_status argmax_kernel(const tw_kernel_call *call) {
    return arg_kernel(call, argmax_bodies);
}
static tw_status argmin_kernel(const tw_kernel_call *call) {
    return arg_kernel(call, argmin_bodies);
}

static int argmax_factors(const tw_signature *signature, tw_factor *out) {
    tw_shape shape = signature->operand[0].shape;
    int kept = 0;
    for (int i = 0; i < shape.rank; i++) {
        bool reduced = i == signature->attr[ARGMAX_AXIS].i;
        out[i] = rule_factor(reduced ? TW_FACTOR_REPLICATE : TW_FACTOR_PASS, shape.dim[i]);
        out[i].operand[0] = (int8_t)i;
        if (!reduced) out[i].result[0] = (int8_t)kept++;
    }
    return shape.rank;
}

static const tw_attr_spec argmax_attributes[] = {
    {"axis", TW_ATTR_INT, NULL, NULL, "the axis that is searched, and goes"}, {0}};
static const tw_sample argmax_samples[] = {
    {.operands = "f64[3,5]", .attributes = "axis=1", .distinct = true},
    {.operands = "f64[3,5]", .attributes = "axis=0", .distinct = true},
    {.operands = "f64[1]", .attributes = "axis=0"},
    {.operands = "f64[0,3]", .attributes = "axis=1"},
    {.operands = "i32[2,6]", .attributes = "axis=1"},
    {0},
};
static const tw_operator op_argmax = {
    .name = "argmax",
    .formula = "y = the least i for which x[.., i, ..] is the maximum along axis",
    .semantics = "the first of equals; NaN counts as the greatest; an empty axis is refused",
    .operands = "x",
    .results = "y",
    .attributes = argmax_attributes,
    .infer = argmax_infer,
    .no_vjp = "indices have no gradient",
    .batch = argmax_batch,
    .factors = argmax_factors,
    .cost = reduce_cost,
    .meaning = TW_MEANS_LOOPS,
    .kernel = argmax_kernel,
    .samples = argmax_samples,
};
static const tw_operator op_argmin = {
    .name = "argmin",
    .formula = "y = the least i for which x[.., i, ..] is the minimum along axis",
    .semantics = "the first of equals; NaN counts as the least; an empty axis is refused",
    .operands = "x",
    .results = "y",
    .attributes = argmax_attributes,
    .infer = argmax_infer,
    .no_vjp = "indices have no gradient",
    .batch = argmax_batch,
    .factors = argmax_factors,
    .cost = reduce_cost,
    .meaning = TW_MEANS_LOOPS,
    .kernel = argmin_kernel,
    .samples = argmax_samples,
};

const tw_operator *const ops_reduction[] = {&op_reduce, &op_argmax, &op_argmin, NULL};

/* ---- functions ---- */

tw_value reduction_apply(tw_value x, tw_reduction how, const tw_shape *axes) {
    if (axes->rank == 0) return tw_snapshot(x);
    tw_attr attr[REDUCE_ATTRS] = {tw_attr_int(how - TW_SUM), tw_attr_dims(*axes)};
    return rule_apply1("reduce", x, attr);
}

tw_value tw_sum(tw_value x) {
    if (!rule_usable("sum", 1, &x)) return rule_poison(x.graph);
    tw_shape axes = {.rank = tw_shape_of(x).rank};
    for (int i = 0; i < axes.rank; i++) axes.dim[i] = i;
    return reduction_apply(x, TW_SUM, &axes);
}

tw_value tw_reduce(tw_reduction how, tw_value x, int n, const int *axes, bool keep) {
    if (!rule_usable("reduce", 1, &x)) return rule_poison(x.graph);
    tw_shape list = {.rank = n}, kept = tw_shape_of(x);
    if (n < 0 || n > TW_MAX_RANK || (n > 0 && !axes) || how < TW_SUM || how > TW_PROD) {
        return rule_fail(x.graph, TW_ERR_ARGUMENT,
                         "reduce: how %d over %d axes, expected a tw_reduction and a list of 0 to "
                         "%d axes",
                         (int)how, n, TW_MAX_RANK);
    }
    for (int i = 0; i < n; i++) {
        int axis = rule_axis_of("reduce", x, axes[i]);
        if (axis < 0) return rule_poison(x.graph);
        list.dim[i] = axis;
        kept.dim[axis] = 1;
    }
    tw_value y = reduction_apply(x, how, &list);
    return keep && n > 0 ? tw_reshape(y, kept) : y;
}

/* Of bool only: the extreme of numbers says nothing of truth. */
static tw_value truth(const char *name, tw_reduction how, tw_value x, int axis, bool keep) {
    if (!rule_usable(name, 1, &x)) return rule_poison(x.graph);
    if (tw_dtype_of(x) != TW_BOOL) {
        return rule_fail(x.graph, TW_ERR_TYPE,
                         "%s: the operand is %s, expected bool; tw_compare "
                         "gives it",
                         name, tw_dtype_name(tw_dtype_of(x)));
    }
    return tw_reduce(how, x, 1, &axis, keep);
}

tw_value tw_any(tw_value x, int axis, bool keep) { return truth("any", TW_MAX, x, axis, keep); }
tw_value tw_all(tw_value x, int axis, bool keep) { return truth("all", TW_MIN, x, axis, keep); }

tw_value tw_sum_as(tw_value x, tw_dtype result) {
    if (!rule_usable("sum_as", 1, &x)) return rule_poison(x.graph);
    tw_shape axes = {.rank = tw_shape_of(x).rank};
    for (int i = 0; i < axes.rank; i++) axes.dim[i] = i;
    tw_attr attr[REDUCE_ATTRS] = {tw_attr_int(0), tw_attr_dims(axes), tw_attr_int(result)};
    return rule_apply1("reduce", x, attr);
}

static tw_value along(const char *name, tw_value x, tw_reduction how, int axis, bool keep) {
    if (!rule_usable(name, 1, &x)) return rule_poison(x.graph);
    axis = rule_axis_of(name, x, axis);
    if (axis < 0) return rule_poison(x.graph);
    tw_shape axes = TW_SHAPE(axis), kept = tw_shape_of(x);
    tw_value y = reduction_apply(x, how, &axes);
    kept.dim[axis] = 1;
    return keep ? tw_reshape(y, kept) : y;
}

tw_value tw_sum_axis(tw_value x, int axis, bool keep) {
    return along("sum_axis", x, TW_SUM, axis, keep);
}
tw_value tw_max_axis(tw_value x, int axis, bool keep) {
    return along("max_axis", x, TW_MAX, axis, keep);
}
tw_value tw_min_axis(tw_value x, int axis, bool keep) {
    return along("min_axis", x, TW_MIN, axis, keep);
}
tw_value tw_prod_axis(tw_value x, int axis, bool keep) {
    return along("prod_axis", x, TW_PROD, axis, keep);
}

/* The number of elements as a scalar; counted when the program runs if symbolic. */
static tw_value count_of(tw_value x, tw_dtype dtype) {
    tw_type type = tw_type_of(x);
    if (!shape_known(type.shape)) return tw_sum(tw_full(x.graph, dtype, type.shape, 1));
    return tw_full(x.graph, dtype, TW_SHAPE(), rule_elements(type));
}

tw_value tw_mean(tw_value x) {
    if (!rule_usable("mean", 1, &x)) return rule_poison(x.graph);
    /* The count may be more than f16 or bf16 holds. */
    tw_dtype dtype = tw_dtype_of(x);
    bool half = type_in(dtype, TYPES_HALF);
    tw_value sum = half ? tw_sum_as(x, TW_F32) : tw_sum(x);
    tw_value weight = count_of(x, half ? TW_F32 : dtype);
    return tw_cast(rule_apply2("loss", sum, weight, NULL), dtype);
}

tw_value tw_mean_axis(tw_value x, int axis, bool keep) {
    if (!rule_usable("mean_axis", 1, &x)) return rule_poison(x.graph);
    tw_type type = tw_type_of(x);
    if (!type_in(type.dtype, TYPES_FLOAT))
        return rule_fail(x.graph, TW_ERR_TYPE,
                         "mean_axis: the operand is %s, expected floats; tw_cast converts",
                         tw_dtype_name(type.dtype));
    axis = rule_axis_of("mean_axis", x, axis);
    if (axis < 0) return rule_poison(x.graph);
    /* Neither the sum nor the count may be rounded to f16 or bf16. */
    bool half = type_in(type.dtype, TYPES_HALF);
    tw_dtype fine = half ? TW_F32 : type.dtype;
    tw_attr attr[REDUCE_ATTRS] = {tw_attr_int(0), tw_attr_dims(TW_SHAPE(axis)),
                                  tw_attr_int(half ? TW_F32 : 0)};
    tw_value ones = tw_full(x.graph, fine, TW_SHAPE(type.shape.dim[axis]), 1);
    tw_value y = tw_div(rule_apply1("reduce", x, attr), count_of(ones, fine));
    type.shape.dim[axis] = 1;
    if (keep) y = tw_reshape(y, type.shape);
    return half ? tw_cast(y, type.dtype) : y;
}

static tw_value arg(const char *name, tw_value x, int axis) {
    if (!rule_usable(name, 1, &x)) return rule_poison(x.graph);
    axis = rule_axis_of(name, x, axis);
    if (axis < 0) return rule_poison(x.graph);
    tw_attr attr = tw_attr_int(axis);
    return rule_apply1(name, x, &attr);
}

tw_value tw_argmax(tw_value x, int axis) { return arg("argmax", x, axis); }
tw_value tw_argmin(tw_value x, int axis) { return arg("argmin", x, axis); }
