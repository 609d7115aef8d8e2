/*
 * dot: the contraction of two arrays over paired axes, and the public functions on it. The plain
 * kernel sums over the contracted axes in one fixed order; libraries override it.
 */
#include <string.h>
#include <thalweg/operators.h>

#include "base/context.h"
#include "base/parallel.h"
#include "base/scratch.h"
#include "ir/dimension.h"
#include "ops/batch.h"
#include "ops/families.h"
#include "ops/rules.h"

enum { BATCH_A, BATCH_B, CONTRACT_A, CONTRACT_B, RESULT, ATTRS };

static const tw_attr_spec attributes[] = {
    {"batch_a", TW_ATTR_INTS, "[]", NULL, "axes of a that lead the result, paired with batch_b"},
    {"batch_b", TW_ATTR_INTS, "[]", NULL, "axes of b, paired with batch_a"},
    {"contract_a", TW_ATTR_INTS, "[]", NULL, "axes of a to sum over, paired with contract_b"},
    {"contract_b", TW_ATTR_INTS, "[]", NULL, "axes of b to sum over, paired with contract_a"},
    RULE_RESULT_SPEC,
    {0},
};

/* The axes of one side: which are listed, and the free ones in ascending order. */
typedef struct side {
    const tw_shape *batch, *contract;
    int free[TW_MAX_RANK], n_free;
} side;

static side side_of(const tw_attr *attr, int rank, bool b) {
    side s = {.batch = &attr[b ? BATCH_B : BATCH_A].list,
              .contract = &attr[b ? CONTRACT_B : CONTRACT_A].list};
    for (int axis = 0; axis < rank; axis++) {
        bool listed = false;
        for (int i = 0; i < s.batch->rank; i++) listed |= s.batch->dim[i] == axis;
        for (int i = 0; i < s.contract->rank; i++) listed |= s.contract->dim[i] == axis;
        if (!listed) s.free[s.n_free++] = axis;
    }
    return s;
}

static tw_status check_axes(const tw_signature *signature, bool b) {
    const tw_attr *attr = signature->attr;
    int rank = signature->operand[b].shape.rank;
    bool batch[TW_MAX_RANK], contract[TW_MAX_RANK];
    tw_status status = rule_axes(signature, b ? "batch_b" : "batch_a",
                                 &attr[b ? BATCH_B : BATCH_A].list, rank, batch);
    if (!status) {
        status = rule_axes(signature, b ? "contract_b" : "contract_a",
                           &attr[b ? CONTRACT_B : CONTRACT_A].list, rank, contract);
    }
    for (int axis = 0; axis < rank && !status; axis++) {
        if (!batch[axis] || !contract[axis]) continue;
        status = tw_refuse(signature, TW_ERR_ARGUMENT,
                           "axis %d of %s is a batch axis and contracted too", axis, b ? "b" : "a");
    }
    return status;
}

static tw_status check_pairs(const tw_signature *signature, const char *what, const tw_shape *a,
                             const tw_shape *b) {
    if (a->rank != b->rank) {
        return tw_refuse(signature, TW_ERR_ARGUMENT, "%d %s axes of a and %d of b, expected pairs",
                         (int)a->rank, what, (int)b->rank);
    }
    for (int i = 0; i < a->rank; i++) {
        if (signature->operand[0].shape.dim[a->dim[i]] ==
            signature->operand[1].shape.dim[b->dim[i]])
            continue;
        return tw_refuse(signature, TW_ERR_SHAPE,
                         "%s axes %lld of a and %lld of b differ in extent", what,
                         (long long)a->dim[i], (long long)b->dim[i]);
    }
    return TW_OK;
}

static tw_status infer(tw_signature *signature) {
    const tw_attr *attr = signature->attr;
    const tw_type *in = signature->operand;
    tw_status status = rule_type(signature, 0, TYPES_FLOAT);
    if (!status) status = rule_same_dtype(signature, 0, 1);
    if (!status) status = check_axes(signature, false);
    if (!status) status = check_axes(signature, true);
    if (!status) status = check_pairs(signature, "batch", &attr[BATCH_A].list, &attr[BATCH_B].list);
    if (!status) {
        status =
            check_pairs(signature, "contracted", &attr[CONTRACT_A].list, &attr[CONTRACT_B].list);
    }
    if (status) return status;
    side a = side_of(attr, in[0].shape.rank, false), b = side_of(attr, in[1].shape.rank, true);
    tw_shape shape = {.rank = a.batch->rank + a.n_free + b.n_free};
    if (shape.rank <= TW_MAX_RANK) {
        int n = 0;
        for (int i = 0; i < a.batch->rank; i++) shape.dim[n++] = in[0].shape.dim[a.batch->dim[i]];
        for (int i = 0; i < a.n_free; i++) shape.dim[n++] = in[0].shape.dim[a.free[i]];
        for (int i = 0; i < b.n_free; i++) shape.dim[n++] = in[1].shape.dim[b.free[i]];
    }
    tw_dtype dtype;
    status = rule_result_dtype(signature, &attr[RESULT], &dtype);
    return status ? status : rule_result(signature, 0, dtype, shape);
}

/* The gradient of one side is a dot of the other side with dy, its axes put back in order. */
static tw_value side_gradient(const tw_vjp *rule, bool of_b) {
    side own = side_of(rule->attr, rule->operand_type[of_b].shape.rank, of_b);
    side other = side_of(rule->attr, rule->operand_type[!of_b].shape.rank, !of_b);
    int n_batch = own.batch->rank, n_first = of_b ? other.n_free : own.n_free;
    tw_attr attr[ATTRS] = {{0}};
    tw_shape d_batch = {.rank = n_batch}, d_contract = {.rank = other.n_free};
    tw_shape other_free = {.rank = other.n_free};
    for (int i = 0; i < n_batch; i++) d_batch.dim[i] = i;
    for (int i = 0; i < other.n_free; i++) {
        d_contract.dim[i] = n_batch + (of_b ? 0 : n_first) + i;
        other_free.dim[i] = other.free[i];
    }
    attr[of_b ? BATCH_B : BATCH_A] = tw_attr_dims(d_batch);
    attr[of_b ? BATCH_A : BATCH_B] = tw_attr_dims(*other.batch);
    attr[of_b ? CONTRACT_B : CONTRACT_A] = tw_attr_dims(d_contract);
    attr[of_b ? CONTRACT_A : CONTRACT_B] = tw_attr_dims(other_free);
    tw_value with = rule->operand[!of_b];
    tw_value dy = tw_cast(rule->d_result[0], rule->operand_type[0].dtype);
    tw_value out = of_b ? rule_apply2("dot", with, dy, attr) : rule_apply2("dot", dy, with, attr);

    /* at[i]: the operand's axis that stands at axis i of `out`. The other side's remaining axes
     * are its contracted ones, ascending. */
    int at[TW_MAX_RANK], n = 0;
    for (int i = 0; i < n_batch; i++) at[n++] = (int)own.batch->dim[i];
    for (int i = 0; i < own.n_free && !of_b; i++) at[n++] = own.free[i];
    for (int axis = 0; axis < TW_MAX_RANK; axis++) {
        for (int i = 0; i < own.contract->rank; i++)
            if (other.contract->dim[i] == axis) at[n++] = (int)own.contract->dim[i];
    }
    for (int i = 0; i < own.n_free && of_b; i++) at[n++] = own.free[i];
    int axes[TW_MAX_RANK];
    bool in_order = true;
    for (int i = 0; i < n; i++) {
        axes[at[i]] = i;
        in_order &= at[i] == i;
    }
    if (in_order) return out;
    tw_attr order = rule_axes_attr(n, axes);
    return rule_apply1("transpose", out, &order);
}

static void vjp(tw_graph *graph, tw_vjp *rule) {
    (void)graph;
    if (rule->wanted[0]) rule->d_operand[0] = side_gradient(rule, false);
    if (rule->wanted[1]) rule->d_operand[1] = side_gradient(rule, true);
}

/* The examples are a batch axis of both sides, or a free axis of one, which then goes first. */
static void batch(tw_graph *graph, tw_batch *rule) {
    (void)graph;
    bool both = rule->batched[0] && rule->batched[1];
    tw_attr attr[ATTRS];
    attr[RESULT] = rule->attr[RESULT];
    for (int i = 0; i < RESULT; i++) {
        const tw_shape *axes = &rule->attr[i].list;
        bool of_b = i == BATCH_B || i == CONTRACT_B, leads = i == BATCH_A || i == BATCH_B;
        attr[i] = !rule->batched[of_b] ? rule->attr[i]
                  : both && leads      ? batch_axes_too(axes)
                                       : batch_axes(axes);
    }
    int at = rule->attr[BATCH_A].list.rank;
    if (!rule->batched[0]) at = rule->operand_type[0].shape.rank - rule->attr[CONTRACT_A].list.rank;
    tw_value y = rule_apply2("dot", rule->operand[0], rule->operand[1], attr);
    rule->result[0] = both ? y : batch_move(y, at, 0);
}

static int factors(const tw_signature *signature, tw_factor *out) {
    tw_shape x = signature->operand[0].shape, y = signature->operand[1].shape;
    side a = side_of(signature->attr, x.rank, false), b = side_of(signature->attr, y.rank, true);
    int n = 0;
    int8_t result = 0;
    for (int i = 0; i < a.batch->rank; i++) {
        out[n] = rule_factor(TW_FACTOR_PASS, x.dim[a.batch->dim[i]]);
        out[n].operand[0] = (int8_t)a.batch->dim[i];
        out[n].operand[1] = (int8_t)b.batch->dim[i];
        out[n++].result[0] = result++;
    }
    for (int i = 0; i < a.n_free; i++) {
        out[n] = rule_factor(TW_FACTOR_PASS, x.dim[a.free[i]]);
        out[n].operand[0] = (int8_t)a.free[i];
        out[n++].result[0] = result++;
    }
    for (int i = 0; i < b.n_free; i++) {
        out[n] = rule_factor(TW_FACTOR_PASS, y.dim[b.free[i]]);
        out[n].operand[1] = (int8_t)b.free[i];
        out[n++].result[0] = result++;
    }
    for (int i = 0; i < a.contract->rank; i++) {
        out[n] = rule_factor(TW_FACTOR_REDUCE, x.dim[a.contract->dim[i]]);
        out[n].reduction = TW_SUM;
        out[n].operand[0] = (int8_t)a.contract->dim[i];
        out[n++].operand[1] = (int8_t)b.contract->dim[i];
    }
    return n;
}

static void cost(const tw_signature *signature, tw_cost *out) {
    rule_cost_bytes(signature, out);
    const tw_shape *contract = &signature->attr[CONTRACT_A].list;
    out->flops = 2 * rule_elements(signature->result[0]);
    for (int i = 0; i < contract->rank; i++)
        out->flops *= (double)signature->operand[0].shape.dim[contract->dim[i]];
}

/* A call as `batch` products of (rows, depth) by (depth, columns); the offset of each element is
 * the sum of one entry of each of its tables. */
typedef struct plan {
    int64_t batch, rows, columns, depth;
    int64_t *a_batch, *b_batch, *a_row, *b_column, *a_depth, *b_depth;
    const void *a, *b;
    void *out, *packed;
    size_t size; /* of an element */
} plan;

static int64_t extent_of(tw_shape shape, int n, const int64_t *axes) {
    int64_t product = 1;
    for (int i = 0; i < n; i++) product *= shape.dim[axes[i]];
    return product;
}

/* The offsets of all index tuples over these axes, the last axis fastest. */
static void fill_table(tw_shape shape, int n, const int64_t *axes, int64_t *table) {
    int64_t stride[TW_MAX_RANK], count = extent_of(shape, n, axes);
    rule_strides(shape, stride);
    for (int64_t i = 0; i < count; i++) {
        int64_t rest = i, offset = 0;
        for (int k = n - 1; k >= 0; k--) {
            offset += rest % shape.dim[axes[k]] * stride[axes[k]];
            rest /= shape.dim[axes[k]];
        }
        table[i] = offset;
    }
}

static void free_axes(const side *s, int64_t *out) {
    for (int i = 0; i < s->n_free; i++) out[i] = s->free[i];
}

/* Gives the tables' memory, NULL when there is none. */
static int64_t *make_plan(const tw_kernel_call *call, plan *p) {
    tw_shape x = call->signature.operand[0].shape, y = call->signature.operand[1].shape;
    side a = side_of(call->signature.attr, x.rank, false);
    side b = side_of(call->signature.attr, y.rank, true);
    int64_t free_a[TW_MAX_RANK], free_b[TW_MAX_RANK];
    free_axes(&a, free_a);
    free_axes(&b, free_b);
    p->batch = extent_of(x, a.batch->rank, a.batch->dim);
    p->rows = extent_of(x, a.n_free, free_a);
    p->columns = extent_of(y, b.n_free, free_b);
    p->depth = extent_of(x, a.contract->rank, a.contract->dim);
    size_t entries = (size_t)(2 * p->batch + p->rows + p->columns + 2 * p->depth);
    int64_t *tables = scratch_take(call->signature.context, (entries + 1) * sizeof *tables);
    if (!tables) return NULL;
    p->a_batch = tables;
    p->b_batch = p->a_batch + p->batch;
    p->a_row = p->b_batch + p->batch;
    p->b_column = p->a_row + p->rows;
    p->a_depth = p->b_column + p->columns;
    p->b_depth = p->a_depth + p->depth;
    fill_table(x, a.batch->rank, a.batch->dim, p->a_batch);
    fill_table(y, b.batch->rank, b.batch->dim, p->b_batch);
    fill_table(x, a.n_free, free_a, p->a_row);
    fill_table(y, b.n_free, free_b, p->b_column);
    fill_table(x, a.contract->rank, a.contract->dim, p->a_depth);
    fill_table(y, b.contract->rank, b.contract->dim, p->b_depth);
    p->a = call->in[0];
    p->b = call->in[1];
    p->out = call->out[0];
    p->size = tw_dtype_size(call->signature.operand[0].dtype);
    return tables;
}

/* Rows begin..end-1 of b as (batch, depth, columns), for columns that are not side by side. */
#define DEFINE_PACK(T)                                                                             \
    static void pack_##T(void *argument, int64_t begin, int64_t end) {                             \
        const plan *p = argument;                                                                  \
        for (int64_t r = begin; r < end; r++) {                                                    \
            const T *b = (const T *)p->b + p->b_batch[r / p->depth] + p->b_depth[r % p->depth];    \
            T *to = (T *)p->packed + r * p->columns;                                               \
            for (int64_t j = 0; j < p->columns; j++) to[j] = b[p->b_column[j]];                    \
        }                                                                                          \
    }

/* Rows begin..end-1 of the result; each element is a sum over depth in ascending order. */
#define DEFINE_ROWS(T)                                                                             \
    static void rows_##T(void *argument, int64_t begin, int64_t end) {                             \
        const plan *p = argument;                                                                  \
        for (int64_t r = begin; r < end; r++) {                                                    \
            int64_t batch = r / p->rows;                                                           \
            const T *a = (const T *)p->a + p->a_batch[batch] + p->a_row[r % p->rows];              \
            const T *b = (const T *)p->b + p->b_batch[batch];                                      \
            T *restrict out = (T *)p->out + r * p->columns;                                        \
            for (int64_t j = 0; j < p->columns; j++) out[j] = 0;                                   \
            int64_t k = 0;                                                                         \
            for (; k + 2 <= p->depth; k += 2) {                                                    \
                const T x = a[p->a_depth[k]], y = a[p->a_depth[k + 1]];                            \
                const T *restrict bx = b + p->b_depth[k], *restrict by = b + p->b_depth[k + 1];    \
                for (int64_t j = 0; j < p->columns; j++)                                           \
                    out[j] = (out[j] + x * bx[j]) + y * by[j];                                     \
            }                                                                                      \
            for (; k < p->depth; k++) {                                                            \
                const T x = a[p->a_depth[k]];                                                      \
                const T *restrict bx = b + p->b_depth[k];                                          \
                for (int64_t j = 0; j < p->columns; j++) out[j] += x * bx[j];                      \
            }                                                                                      \
        }                                                                                          \
    }

DEFINE_PACK(float)
DEFINE_PACK(double)
DEFINE_ROWS(float)
DEFINE_ROWS(double)

static tw_status pack(tw_context *context, plan *p) {
    int64_t rows = p->batch * p->depth;
    p->packed = scratch_take(context, (size_t)(rows * p->columns) * p->size);
    if (!p->packed) return TW_ERR_MEMORY;
    tw_parallel_for(context, rows, 1 + 16384 / (p->columns + 1),
                    p->size == sizeof(float) ? pack_float : pack_double, p);
    for (int64_t i = 0; i < p->batch; i++) p->b_batch[i] = i * p->depth * p->columns;
    for (int64_t k = 0; k < p->depth; k++) p->b_depth[k] = k * p->columns;
    p->b = p->packed;
    return TW_OK;
}

static tw_status kernel(const tw_kernel_call *call) {
    tw_context *context = call->signature.context;
    if (rule_elements(call->signature.result[0]) == 0) return TW_OK;
    plan p = {0};
    int64_t *tables = make_plan(call, &p);
    if (!tables) return TW_ERR_MEMORY;
    bool dense = true;
    for (int64_t j = 0; j < p.columns && dense; j++) dense = p.b_column[j] == j;
    tw_status status = dense ? TW_OK : pack(context, &p);
    if (!status) {
        int64_t grain = 1 + (1 << 16) / (p.columns * (p.depth + 1));
        tw_parallel_for(context, p.batch * p.rows, grain,
                        p.size == sizeof(float) ? rows_float : rows_double, &p);
    }
    return status;
}

static const tw_sample samples[] = {
    {.operands = "f64[3,4] f64[4,5]", .attributes = "contract_a=[1], contract_b=[0]"},
    {.operands = "f64[4,3] f64[5,4]", .attributes = "contract_a=[0], contract_b=[1]"},
    {.operands = "f64[2,3,4] f64[2,4,3]",
     .attributes = "batch_a=[0], batch_b=[0], contract_a=[2], contract_b=[1]"},
    {.operands = "f64[3,2,4] f64[4,3,2]",
     .attributes = "batch_a=[1], batch_b=[2], contract_a=[2], contract_b=[0]"},
    {.operands = "f64[2,3,4] f64[4,2,3]", .attributes = "contract_a=[2,0], contract_b=[0,1]"},
    {.operands = "f64[4] f64[4]", .attributes = "contract_a=[0], contract_b=[0]"},
    {.operands = "f64[2] f64[3]", .attributes = ""},
    {.operands = "f64[] f64[]", .attributes = ""},
    {.operands = "f64[] f64[2,3]", .attributes = ""},
    {.operands = "f64[2,3] f64[2,3]", .attributes = "contract_a=[0,1], contract_b=[0,1]"},
    {.operands = "f64[2,3] f64[3,2]", .attributes = "batch_a=[0,1], batch_b=[1,0]"},
    {.operands = "f64[2,2,3,2] f64[2,3,2,2]",
     .attributes = "batch_a=[0,1], batch_b=[3,0], contract_a=[3], contract_b=[2]"},
    {.operands = "f64[0,2,3] f64[0,3,1]",
     .attributes = "batch_a=[0], batch_b=[0], contract_a=[2], contract_b=[1]"},
    {.operands = "f64[1,1] f64[1,1]", .attributes = "contract_a=[1], contract_b=[0]"},
    {.operands = "f64[2,0] f64[0,3]", .attributes = "contract_a=[1], contract_b=[0]"},
    {.operands = "f64[0,2] f64[2,3]", .attributes = "contract_a=[1], contract_b=[0]"},
    {.operands = "bf16[3,4] bf16[4,5]", .attributes = "contract_a=[1], contract_b=[0], result=f32"},
    {.operands = "f16[4,3] f16[4,5]", .attributes = "contract_a=[0], contract_b=[0]"},
    {0},
};

static const tw_operator dot = {
    .name = "dot",
    .formula = "y[batch, i, j] = sum over contracted k of a[batch, i, k] * b[batch, k, j]",
    .semantics = "NaN and infinity follow IEEE arithmetic, also times zero. Contracting an axis of "
                 "extent 0 gives zeros. f32, f16 and bf16 are summed in f32; the order of a sum "
                 "depends on shapes alone.",
    .operands = "a b",
    .results = "y",
    .attributes = attributes,
    .infer = infer,
    .vjp = vjp,
    .batch = batch,
    .factors = factors,
    .cost = cost,
    .meaning = TW_MEANS_LOOPS,
    .kernel = kernel,
    .samples = samples,
};

const tw_operator *const ops_dot[] = {&dot, NULL};

/* result: 0 for the operands' type. */
static tw_value apply_dot(tw_value a, tw_value b, int n_batch, const int *batch_a,
                          const int *batch_b, int n_contract, const int *contract_a,
                          const int *contract_b, tw_dtype result) {
    tw_value operands[] = {a, b};
    tw_graph *graph = rule_graph(2, operands);
    if (!rule_usable("tw_dot", 2, operands)) return rule_poison(graph);
    if (n_batch < 0 || n_batch > TW_MAX_RANK || n_contract < 0 || n_contract > TW_MAX_RANK) {
        return rule_fail(graph, TW_ERR_ARGUMENT,
                         "tw_dot: %d batch and %d contracted axes, expected 0 to %d", n_batch,
                         n_contract, TW_MAX_RANK);
    }
    struct {
        tw_value of;
        int n;
        const int *axes;
    } lists[RESULT] = {{a, n_batch, batch_a},
                       {b, n_batch, batch_b},
                       {a, n_contract, contract_a},
                       {b, n_contract, contract_b}};
    tw_attr attr[ATTRS] = {[RESULT] = tw_attr_int(result)};
    for (int i = 0; i < RESULT; i++) {
        int axes[TW_MAX_RANK];
        if (lists[i].n < 0 || lists[i].n > TW_MAX_RANK || (lists[i].n && !lists[i].axes))
            return rule_fail(graph, TW_ERR_ARGUMENT,
                             "tw_dot: %d batch and %d contracting axes%s, expected lists of 0 to "
                             "%d each",
                             n_batch, n_contract, lists[i].axes ? "" : ", a list is NULL",
                             TW_MAX_RANK);
        for (int k = 0; k < lists[i].n; k++) {
            axes[k] = rule_axis_of("tw_dot", lists[i].of, lists[i].axes[k]);
            if (axes[k] < 0) return rule_poison(graph);
        }
        attr[i] = rule_axes_attr(lists[i].n, axes);
    }
    return tw_apply(graph, "dot", 2, operands, attr, NULL);
}

tw_value tw_dot(tw_value a, tw_value b, int n_batch, const int *batch_a, const int *batch_b,
                int n_contract, const int *contract_a, const int *contract_b) {
    return apply_dot(a, b, n_batch, batch_a, batch_b, n_contract, contract_a, contract_b, 0);
}

tw_value tw_dot_as(tw_value a, tw_value b, int n_batch, const int *batch_a, const int *batch_b,
                   int n_contract, const int *contract_a, const int *contract_b, tw_dtype result) {
    return apply_dot(a, b, n_batch, batch_a, batch_b, n_contract, contract_a, contract_b, result);
}

static tw_value matmul(tw_value a, tw_value b, tw_dtype result) {
    tw_value operands[] = {a, b};
    tw_graph *graph = rule_graph(2, operands);
    if (!rule_usable("tw_matmul", 2, operands)) return rule_poison(graph);
    int rank_a = tw_shape_of(a).rank, rank_b = tw_shape_of(b).rank;
    if (rank_a < 2 || rank_b < 2 || (rank_a > 2 && rank_b > 2 && rank_a != rank_b)) {
        return rule_fail(graph, TW_ERR_SHAPE,
                         "tw_matmul: operands of rank %d and %d, expected (..., m, k) and "
                         "(..., k, n) with the same leading axes, or none in one of them",
                         rank_a, rank_b);
    }
    int batch[TW_MAX_RANK], n_batch = rank_a == rank_b ? rank_a - 2 : 0;
    for (int i = 0; i < n_batch; i++) batch[i] = i;
    int last = rank_a - 1, row = rank_b - 2;
    tw_value y = apply_dot(a, b, n_batch, batch, batch, 1, &last, &row, result);
    if (rank_a > 2 || rank_b == 2) return y;
    /* (m, ..., n): m belongs before n. */
    int axes[TW_MAX_RANK];
    for (int i = 0; i < rank_b - 2; i++) axes[i] = i + 1;
    axes[rank_b - 2] = 0;
    axes[rank_b - 1] = rank_b - 1;
    return tw_permute(y, axes);
}

tw_value tw_matmul(tw_value a, tw_value b) { return matmul(a, b, 0); }

tw_value tw_matmul_as(tw_value a, tw_value b, tw_dtype result) { return matmul(a, b, result); }
