/*
 * sort and top_k, each with where its elements stood. A line is sorted by merging: stable, of a
 * known cost, and the same for any number of threads, as one thread has one line.
 */
#include <stdlib.h>
#include <string.h>
#include <thalweg/operators.h>

#include "base/parallel.h"
#include "base/scratch.h"
#include "ops/families.h"
#include "ops/rules.h"

enum { SORT_AXIS, SORT_DESCENDING, SORT_ATTRS };
enum { TOP_K };

static tw_status check_extent(const tw_signature *signature, int64_t axis) {
    int64_t extent = signature->operand[0].shape.dim[axis];
    if (extent <= INT32_MAX) return TW_OK;
    return tw_refuse(signature, TW_ERR_SHAPE, "axis %lld has %lld elements, expected at most %d",
                     (long long)axis, (long long)extent, INT32_MAX);
}

static tw_status sort_infer(tw_signature *signature) {
    tw_type x = signature->operand[0];
    int64_t axis = signature->attr[SORT_AXIS].i;
    tw_status status = rule_type(signature, 0, TYPES_ALL);
    if (!status) status = rule_axis(signature, "axis", axis, x.shape.rank);
    if (!status) status = check_extent(signature, axis);
    if (!status) status = rule_result(signature, 0, x.dtype, x.shape);
    return status ? status : rule_result(signature, 1, TW_I32, x.shape);
}

static tw_status refuse_k(const tw_signature *signature, int64_t extent) {
    return tw_refuse(signature, TW_ERR_ARGUMENT, "k is %lld, expected 0 to %lld, the last extent",
                     (long long)signature->attr[TOP_K].i, (long long)extent);
}

static tw_status top_k_infer(tw_signature *signature) {
    tw_type x = signature->operand[0];
    int64_t k = signature->attr[TOP_K].i;
    int last = x.shape.rank - 1;
    tw_status status = rule_type(signature, 0, TYPES_ALL);
    if (!status) status = rule_rank(signature, 0, 1, TW_MAX_RANK);
    if (!status) status = check_extent(signature, last);
    if (status) return status;
    int64_t extent = x.shape.dim[last];
    if (k < 0 || k > INT32_MAX || (extent >= 0 && k > extent)) return refuse_k(signature, extent);
    x.shape.dim[last] = k;
    status = rule_result(signature, 0, x.dtype, x.shape);
    return status ? status : rule_result(signature, 1, TW_I32, x.shape);
}

/* Every element goes back to where it stood. */
static tw_value put_back(tw_graph *graph, const tw_vjp *rule, int64_t axis) {
    const tw_type *x = &rule->operand_type[0];
    tw_shape shared = {0};
    for (int i = 0; i < x->shape.rank; i++)
        if (i != axis) shared.dim[shared.rank++] = i;
    tw_attr attr[] = {tw_attr_int(axis), tw_attr_dims(shared), tw_attr_int(0)};
    tw_value operands[] = {tw_zeros(graph, x->dtype, x->shape), rule->result[1], rule->d_result[0]};
    return tw_apply(graph, "scatter", 3, operands, attr, NULL);
}

static void sort_vjp(tw_graph *graph, tw_vjp *rule) {
    if (!rule->d_result[0].graph) return;
    rule->d_operand[0] = put_back(graph, rule, rule->attr[SORT_AXIS].i);
}
static void top_k_vjp(tw_graph *graph, tw_vjp *rule) {
    if (!rule->d_result[0].graph) return;
    rule->d_operand[0] = put_back(graph, rule, rule->operand_type[0].shape.rank - 1);
}

static void sort_batch(tw_graph *graph, tw_batch *rule) {
    tw_attr attr[SORT_ATTRS] = {tw_attr_int(rule->attr[SORT_AXIS].i + 1),
                                rule->attr[SORT_DESCENDING]};
    tw_apply(graph, "sort", 1, rule->operand, attr, rule->result);
}

static int sort_factors(const tw_signature *signature, tw_factor *out) {
    int n = rule_factors_elementwise(signature, out);
    out[signature->attr[SORT_AXIS].i].kind = TW_FACTOR_REPLICATE;
    return n;
}

/* The last axes of operand and results differ. */
static int top_k_factors(const tw_signature *signature, tw_factor *out) {
    int n = rule_factors_elementwise(signature, out), last = n - 1;
    out[last] = rule_whole_operand(0, last, signature->operand[0].shape.dim[last]);
    out[n] = rule_whole_result(last, signature->result[0].shape.dim[last]);
    out[n++].result[1] = (int8_t)last;
    return n;
}

/* n log2 n comparisons for each line. */
static void sort_cost(const tw_signature *signature, tw_cost *out) {
    bool top = signature->result[0].shape.rank > 0 && !strcmp(signature->op->name, "top_k");
    tw_shape x = signature->operand[0].shape;
    int64_t extent = x.dim[top ? x.rank - 1 : (int)signature->attr[SORT_AXIS].i];
    double levels = 1;
    for (int64_t n = extent; n > 2; n = (n + 1) / 2) levels++;
    rule_cost_bytes(signature, out);
    out->flops = rule_elements(signature->operand[0]) * levels;
}

/* x as (outer, count, inner); the results as (outer, kept, inner). */
typedef struct lines {
    int64_t count, inner, kept;
    bool descending, few; /* few: kept is far below count */
    const void *in;
    void *out;
    int32_t *index;
    int64_t n, each, room; /* lines; of each seat; items of a seat's memory */
    void *memory;          /* by seat: a context gives memory to one thread at a time */
} lines;

/*
 * One line: element k and where it stood, sorted by merging runs that double. `spare` is as long;
 * the sorted line is in what the function gives. NaN is after every number.
 */
#define SORT_LINES(suffix, T)                                                                      \
    typedef struct item_##suffix {                                                                 \
        T value;                                                                                   \
        int32_t index;                                                                             \
    } item_##suffix;                                                                               \
    static inline bool before_##suffix(T a, T b, bool descending) {                                \
        return (descending ? a > b : a < b) || (a == a && b != b);                                 \
    }                                                                                              \
    static item_##suffix *merge_##suffix(item_##suffix *line, item_##suffix *spare, int64_t count, \
                                         bool descending) {                                        \
        for (int64_t run = 1; run < count; run *= 2) {                                             \
            for (int64_t start = 0; start < count; start += 2 * run) {                             \
                int64_t middle = start + run < count ? start + run : count;                        \
                int64_t end = middle + run < count ? middle + run : count;                         \
                int64_t a = start, b = middle;                                                     \
                for (int64_t to = start; to < end; to++) {                                         \
                    bool right =                                                                   \
                        a == middle ||                                                             \
                        (b < end && before_##suffix(line[b].value, line[a].value, descending));    \
                    spare[to] = right ? line[b++] : line[a++];                                     \
                }                                                                                  \
            }                                                                                      \
            item_##suffix *sorted = spare;                                                         \
            spare = line;                                                                          \
            line = sorted;                                                                         \
        }                                                                                          \
        return line;                                                                               \
    }                                                                                              \
    /* The first `kept` of the sorted line, by insertion: equals go after those that are there. */ \
    static void choose_##suffix(item_##suffix *best, const T *in, int64_t stride, int64_t count,   \
                                int64_t kept, bool descending) {                                   \
        int64_t n = 0;                                                                             \
        for (int64_t k = 0; k < count; k++) {                                                      \
            const T value = in[k * stride];                                                        \
            if (n == kept && !before_##suffix(value, best[n - 1].value, descending)) continue;     \
            int64_t at = n < kept ? n++ : n - 1;                                                   \
            for (; at > 0 && before_##suffix(value, best[at - 1].value, descending); at--)         \
                best[at] = best[at - 1];                                                           \
            best[at].value = value;                                                                \
            best[at].index = (int32_t)k;                                                           \
        }                                                                                          \
    }                                                                                              \
    static void sort_##suffix(void *argument, int64_t begin, int64_t end) {                        \
        const lines *l = argument;                                                                 \
        item_##suffix *memory = (item_##suffix *)l->memory + begin * l->room;                      \
        const int64_t last = end * l->each < l->n ? end * l->each : l->n;                          \
        for (int64_t i = begin * l->each; i < last; i++) {                                         \
            const int64_t outer = i / l->inner, inner = i % l->inner;                              \
            const T *in = (const T *)l->in + outer * l->count * l->inner + inner;                  \
            T *out = (T *)l->out + outer * l->kept * l->inner + inner;                             \
            int32_t *index = l->index + outer * l->kept * l->inner + inner;                        \
            const item_##suffix *sorted = memory;                                                  \
            if (l->few) {                                                                          \
                choose_##suffix(memory, in, l->inner, l->count, l->kept, l->descending);           \
            } else {                                                                               \
                for (int64_t k = 0; k < l->count; k++) {                                           \
                    memory[k].value = in[k * l->inner];                                            \
                    memory[k].index = (int32_t)k;                                                  \
                }                                                                                  \
                sorted = merge_##suffix(memory, memory + l->count, l->count, l->descending);       \
            }                                                                                      \
            for (int64_t k = 0; k < l->kept; k++) {                                                \
                out[k * l->inner] = sorted[k].value;                                               \
                index[k * l->inner] = sorted[k].index;                                             \
            }                                                                                      \
        }                                                                                          \
    }
SORT_LINES(f32, float)
SORT_LINES(f64, double)
SORT_LINES(i32, int32_t)
SORT_LINES(i64, int64_t)
SORT_LINES(u8, uint8_t)
SORT_LINES(u32, uint32_t)

static tw_status run(const tw_kernel_call *call, int axis, bool descending) {
    static const parallel_body bodies[TW_F64 + 1] = {
        [TW_F32] = sort_f32, [TW_F64] = sort_f64, [TW_I32] = sort_i32, [TW_I64] = sort_i64,
        [TW_U8] = sort_u8,   [TW_U32] = sort_u32, [TW_BOOL] = sort_u8};
    const tw_signature *s = &call->signature;
    tw_shape x = s->operand[0].shape;
    tw_status status = check_extent(s, axis);
    if (status) return status;
    tw_context *context = s->context;
    lines l = {.count = x.dim[axis],
               .inner = rule_product(x, axis + 1, x.rank),
               .kept = s->result[0].shape.dim[axis],
               .descending = descending,
               .in = call->in[0],
               .out = call->out[0],
               .index = call->out[1]};
    if (l.kept == 0) return TW_OK;
    l.few = l.kept <= 32 && l.kept < l.count / 4;
    l.n = rule_product(x, 0, axis) * l.inner;
    int64_t least = 1 + 4096 / l.count, seats = (l.n + least - 1) / least;
    if (seats > context->threads) seats = context->threads;
    if (seats < 1) return TW_OK;
    l.each = (l.n + seats - 1) / seats;
    l.room = l.few ? l.kept : 2 * l.count;
    size_t item = tw_dtype_size(s->operand[0].dtype) > 4 ? sizeof(item_f64) : sizeof(item_f32);
    l.memory = scratch_take(context, (size_t)(seats * l.room) * item);
    if (!l.memory) return TW_ERR_MEMORY;
    tw_parallel_for(context, seats, 1, bodies[s->operand[0].dtype], &l);
    return TW_OK;
}

static tw_status sort_kernel(const tw_kernel_call *call) {
    return run(call, (int)call->signature.attr[SORT_AXIS].i,
               call->signature.attr[SORT_DESCENDING].i);
}

static tw_status top_k_kernel(const tw_kernel_call *call) {
    const tw_signature *s = &call->signature;
    int last = s->operand[0].shape.rank - 1;
    int64_t extent = s->operand[0].shape.dim[last];
    if (s->attr[TOP_K].i > extent) return refuse_k(s, extent);
    return run(call, last, true);
}

static const tw_attr_spec sort_specs[] = {
    {"axis", TW_ATTR_INT, NULL, NULL, "the axis along which elements are put in order"},
    {"descending", TW_ATTR_BOOL, "false", NULL, "the greatest first"},
    {0},
};
static const tw_sample sort_samples[] = {
    {.operands = "f64[3,5]", .attributes = "axis=1", .distinct = true},
    {.operands = "f64[6,2]", .attributes = "axis=0, descending=true", .distinct = true},
    {.operands = "f64[2,7,3]", .attributes = "axis=1", .distinct = true},
    {.operands = "f64[1]", .attributes = "axis=0"},
    {.operands = "f64[0,3]", .attributes = "axis=0"},
    {.operands = "f64[0,3]", .attributes = "axis=1"},
    {.operands = "i32[3,9]", .attributes = "axis=1"}, /* with equals */
    {.operands = "i64[9]", .attributes = "axis=0, descending=true"},
    {.operands = "u8[9]", .attributes = "axis=0"},
    {.operands = "u32[9]", .attributes = "axis=0, descending=true"},
    {.operands = "bool[9]", .attributes = "axis=0"},
    {0},
};
static const tw_operator op_sort = {
    .name = "sort",
    .formula = "y = x in rising (falling) order along axis; y[i] = x[index[i]]",
    .semantics = "stable: equals keep their order, -0 equals 0; NaN is last both ways; "
                 "false < true; each element's gradient goes where it stood",
    .operands = "x",
    .results = "y index",
    .attributes = sort_specs,
    .infer = sort_infer,
    .vjp = sort_vjp,
    .batch = sort_batch,
    .factors = sort_factors,
    .cost = sort_cost,
    .meaning = TW_MEANS_LOOPS,
    .kernel = sort_kernel,
    .samples = sort_samples,
};

static const tw_attr_spec top_k_specs[] = {
    {"k", TW_ATTR_INT, NULL, NULL, "how many, at most the last extent"},
    {0},
};
static const tw_sample top_k_samples[] = {
    {.operands = "f64[3,5]", .attributes = "k=2", .distinct = true},
    {.operands = "f64[2,2,6]", .attributes = "k=6", .distinct = true},
    {.operands = "f64[1]", .attributes = "k=1"},
    {.operands = "f64[4]", .attributes = "k=0"},
    {.operands = "f64[0,3]", .attributes = "k=2"},
    {.operands = "i32[2,9]", .attributes = "k=4"}, /* with equals */
    {.operands = "i64[9]", .attributes = "k=3"},
    {.operands = "u8[9]", .attributes = "k=3"},
    {.operands = "f64[2,40]", .attributes = "k=3", .distinct = true},
    {.operands = "u32[2,60]", .attributes = "k=5"},
    {0},
};
static const tw_operator op_top_k = {
    .name = "top_k",
    .formula =
        "y = the k greatest of x along the last axis, the greatest first; y[i] = x[index[i]]",
    .semantics = "of equals the lowest index first; NaN after every number, as in sort; each "
                 "element's gradient goes where it stood; k above the extent is refused",
    .operands = "x",
    .results = "y index",
    .attributes = top_k_specs,
    .infer = top_k_infer,
    .vjp = top_k_vjp,
    .batch = rule_batch_leading,
    .factors = top_k_factors,
    .cost = sort_cost,
    .meaning = TW_MEANS_LOOPS,
    .kernel = top_k_kernel,
    .samples = top_k_samples,
};

const tw_operator *const ops_sort[] = {&op_sort, &op_top_k, NULL};

/* Both results of a node; the first is returned. */
static tw_value two(const char *name, tw_value x, const tw_attr *attr, tw_value *index) {
    tw_value results[TW_MAX_RESULTS] = {rule_poison(x.graph), rule_poison(x.graph)};
    tw_value y = tw_apply(x.graph, name, 1, &x, attr, results);
    if (index) *index = tw_ok(y) ? results[1] : rule_poison(x.graph);
    return y;
}

tw_value tw_sort(tw_value x, int axis, bool descending, tw_value *index) {
    if (index) *index = rule_poison(x.graph);
    if (!rule_usable("sort", 1, &x)) return rule_poison(x.graph);
    axis = rule_axis_of("sort", x, axis);
    if (axis < 0) return rule_poison(x.graph);
    const tw_attr attr[SORT_ATTRS] = {tw_attr_int(axis), tw_attr_int(descending)};
    return two("sort", x, attr, index);
}

tw_value tw_argsort(tw_value x, int axis, bool descending) {
    tw_value index = {0};
    tw_sort(x, axis, descending, &index);
    return index;
}

tw_value tw_top_k(tw_value x, int64_t k, tw_value *index) {
    if (index) *index = rule_poison(x.graph);
    if (!rule_usable("top_k", 1, &x)) return rule_poison(x.graph);
    const tw_attr attr = tw_attr_int(k);
    return two("top_k", x, &attr, index);
}
