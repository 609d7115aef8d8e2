/*
 * gather and its transpose scatter, iota, and the public functions on them. `axis` of x is what an
 * index addresses; the `shared` axes of x stand in the index too. The index has the shared axes
 * before `axis`, then axes of its own, then the shared axes after it; the result has x's axes with
 * the index's own ones in the place of `axis`.
 */
#include <string.h>
#include <thalweg/operators.h>

#include "base/parallel.h"
#include "ir/dimension.h"
#include "ir/graph.h"
#include "ops/batch.h"
#include "ops/families.h"
#include "ops/rules.h"

enum { AXIS, SHARED, HOW };
enum { HOW_ADD, HOW_MAX, HOW_SET };

static const tw_attr_spec gather_specs[] = {
    {"axis", TW_ATTR_INT, "0", NULL, "the axis of x that is indexed"},
    {"shared", TW_ATTR_INTS, "[]", NULL, "axes of x that the index has too, ascending"},
    {0},
};
static const tw_attr_spec scatter_specs[] = {
    {"axis", TW_ATTR_INT, "0", NULL, "the axis of base that is indexed"},
    {"shared", TW_ATTR_INTS, "[]", NULL, "axes of base that the index has too, ascending"},
    {"how", TW_ATTR_CHOICE, "add", "add max set", "what an update does to its place"},
    {0},
};

/* Own axes of the index stand at first..first+count-1 of the index, and at axis.. of the result. */
typedef struct own_axes {
    int first, count;
} own_axes;

static own_axes own_of(const tw_attr *attr, int index_rank) {
    const tw_shape *shared = &attr[SHARED].list;
    own_axes own = {0, index_rank - shared->rank};
    for (int i = 0; i < shared->rank; i++) own.first += shared->dim[i] < attr[AXIS].i;
    return own;
}

/* The axis of the index for axis `axis` of x; -1 where it has none. */
static int index_axis(const tw_attr *attr, own_axes own, int axis) {
    const tw_shape *shared = &attr[SHARED].list;
    for (int i = 0; i < shared->rank; i++)
        if (shared->dim[i] == axis) return i < own.first ? i : i + own.count;
    return -1;
}

/* Checks axis, shared and the index against x; gives the result's shape. */
static tw_status check_index(const tw_signature *signature, tw_shape *out) {
    const tw_attr *attr = signature->attr;
    const tw_shape *shared = &attr[SHARED].list;
    tw_shape x = signature->operand[0].shape, index = signature->operand[1].shape;
    bool seen[TW_MAX_RANK];
    tw_status status = rule_type(signature, 1, TYPES_INDEX);
    if (!status) status = rule_axis(signature, "axis", attr[AXIS].i, x.rank);
    if (!status) status = rule_axes(signature, "shared", shared, x.rank, seen);
    if (status) return status;
    for (int i = 0; i < shared->rank; i++) {
        if (shared->dim[i] == attr[AXIS].i || (i && shared->dim[i] < shared->dim[i - 1])) {
            return tw_refuse(signature, TW_ERR_ARGUMENT,
                             "shared axes must be ascending and must not hold the indexed axis");
        }
    }
    own_axes own = own_of(attr, index.rank);
    if (own.count < 0) {
        return tw_refuse(signature, TW_ERR_SHAPE, "the index has rank %d and shares %d axes",
                         (int)index.rank, (int)shared->rank);
    }
    out->rank = x.rank - 1 + own.count;
    for (int axis = 0; axis < x.rank; axis++) {
        int at = index_axis(attr, own, axis);
        if (at >= 0 && index.dim[at] != x.dim[axis]) {
            return tw_refuse(signature, TW_ERR_SHAPE,
                             "axis %d of the index differs from the shared axis %d", at, axis);
        }
        int to = axis < attr[AXIS].i ? axis : axis - 1 + own.count;
        if (axis != attr[AXIS].i && to < TW_MAX_RANK) out->dim[to] = x.dim[axis];
    }
    for (int i = 0; i < own.count && attr[AXIS].i + i < TW_MAX_RANK; i++)
        out->dim[attr[AXIS].i + i] = index.dim[own.first + i];
    return TW_OK;
}

static tw_status gather_infer(tw_signature *signature) {
    tw_shape shape = {0};
    tw_status status = rule_type(signature, 0, TYPES_ALL);
    if (!status) status = check_index(signature, &shape);
    return status ? status : rule_result(signature, 0, signature->operand[0].dtype, shape);
}

static tw_status scatter_infer(tw_signature *signature) {
    tw_shape shape = {0};
    bool set = signature->attr[HOW].i == HOW_SET;
    tw_status status = rule_type(signature, 0, set ? TYPES_ALL : TYPES_NUMBER);
    if (!status) status = rule_same_dtype(signature, 0, 2);
    if (!status) status = check_index(signature, &shape);
    if (status) return status;
    if (!shape_equal(shape, signature->operand[2].shape)) {
        return tw_refuse(signature, TW_ERR_SHAPE,
                         "the updates do not have the shape of base with the index's axes in the "
                         "place of axis %lld",
                         (long long)signature->attr[AXIS].i);
    }
    return rule_result(signature, 0, signature->operand[0].dtype, signature->operand[0].shape);
}

/* gather and scatter with the axis and the shared axes of `attr`. */
static tw_value apply_gather(const tw_attr *attr, tw_value x, tw_value index) {
    tw_attr list[] = {attr[AXIS], attr[SHARED]};
    return rule_apply2("gather", x, index, list);
}

static tw_value apply_scatter(const tw_attr *attr, int how, tw_value base, tw_value index,
                              tw_value updates) {
    tw_attr list[] = {attr[AXIS], attr[SHARED], tw_attr_int(how)};
    tw_value operands[] = {base, index, updates};
    tw_graph *graph = rule_graph(3, operands);
    return graph ? tw_apply(graph, "scatter", 3, operands, list, NULL) : (tw_value){0};
}

static void gather_vjp(tw_graph *graph, tw_vjp *rule) {
    const tw_type *x = &rule->operand_type[0];
    tw_value zeros = tw_zeros(graph, x->dtype, x->shape);
    rule->d_operand[0] =
        apply_scatter(rule->attr, HOW_ADD, zeros, rule->operand[1], rule->d_result[0]);
}

/* Equal maxima share the gradient evenly. */
static void max_vjp(tw_vjp *rule) {
    const tw_attr *attr = rule->attr;
    tw_value base = rule->operand[0], index = rule->operand[1], updates = rule->operand[2];
    tw_value y = rule->result[0], d = rule->d_result[0];
    tw_dtype dtype = rule->operand_type[0].dtype;
    tw_value kept = tw_cast(tw_compare(TW_EQ, base, y), dtype);
    tw_value won = tw_cast(tw_compare(TW_EQ, updates, apply_gather(attr, y, index)), dtype);
    tw_value share = tw_div(d, apply_scatter(attr, HOW_ADD, kept, index, won));
    rule->d_operand[0] = tw_mul(share, kept);
    rule->d_operand[2] = tw_mul(apply_gather(attr, share, index), won);
}

/* Only the last update of a place has its gradient: the one whose number stands there in the end. */
static void set_vjp(tw_graph *graph, tw_vjp *rule) {
    const tw_attr *attr = rule->attr;
    tw_value index = rule->operand[1], d = rule->d_result[0];
    tw_shape x = rule->operand_type[0].shape, updates = rule->operand_type[2].shape;
    own_axes own = own_of(attr, rule->operand_type[1].shape.rank);
    int first = (int)attr[AXIS].i, last = first + own.count;
    int64_t count = tw_dim_product(graph->module->context, updates, first, last);
    tw_shape wide = {.rank = updates.rank};
    for (int i = 0; i < wide.rank; i++) wide.dim[i] = i >= first && i < last ? updates.dim[i] : 1;
    tw_value number = tw_iota(graph, TW_I64, TW_SHAPE(count), 0);
    number = tw_broadcast(tw_reshape(number, wide), updates);
    tw_value none = tw_full(graph, TW_I64, x, -1);
    tw_value winner = apply_scatter(attr, HOW_SET, none, index, number);
    tw_value won = tw_compare(TW_EQ, apply_gather(attr, winner, index), number);
    tw_value kept = tw_compare(TW_EQ, winner, none);
    tw_value d_updates = apply_gather(attr, d, index);
    rule->d_operand[0] = tw_select(kept, d, tw_literal(d, 0));
    rule->d_operand[2] = tw_select(won, d_updates, tw_literal(d_updates, 0));
}

static void scatter_vjp(tw_graph *graph, tw_vjp *rule) {
    if (rule->attr[HOW].i == HOW_MAX) {
        max_vjp(rule);
    } else if (rule->attr[HOW].i == HOW_SET) {
        set_vjp(graph, rule);
    } else {
        rule->d_operand[0] = rule->d_result[0];
        rule->d_operand[2] = apply_gather(rule->attr, rule->d_result[0], rule->operand[1]);
    }
}

/* Where only the index is batched the examples are the first of its own axes. */
static void gather_batch(tw_graph *graph, tw_batch *rule) {
    (void)graph;
    const tw_attr *attr = rule->attr;
    tw_value x = rule->operand[0], index = rule->operand[1];
    if (!rule->batched[0]) {
        own_axes own = own_of(attr, rule->operand_type[1].shape.rank);
        tw_value y = apply_gather(attr, x, batch_move(index, 0, own.first));
        rule->result[0] = batch_move(y, (int)attr[AXIS].i, 0);
        return;
    }
    tw_attr wide[] = {tw_attr_int(attr[AXIS].i + 1), rule->batched[1]
                                                         ? batch_axes_too(&attr[SHARED].list)
                                                         : batch_axes(&attr[SHARED].list)};
    rule->result[0] = apply_gather(wide, x, index);
}

static void scatter_batch(tw_graph *graph, tw_batch *rule) {
    (void)graph;
    const tw_attr *attr = rule->attr;
    tw_attr wide[] = {tw_attr_int(attr[AXIS].i + 1), rule->batched[1]
                                                         ? batch_axes_too(&attr[SHARED].list)
                                                         : batch_axes(&attr[SHARED].list)};
    rule->result[0] = apply_scatter(wide, (int)attr[HOW].i, rule_batched(rule, 0), rule->operand[1],
                                    rule_batched(rule, 2));
}

/* Axes of x, of the index and of the gathered array: `rows` is -1 where that is the result. */
static int factors(const tw_signature *signature, bool scatter, tw_factor *out) {
    const tw_attr *attr = signature->attr;
    tw_shape x = signature->operand[0].shape, index = signature->operand[1].shape;
    own_axes own = own_of(attr, index.rank);
    int n = 0;
    for (int axis = 0; axis < x.rank; axis++) {
        bool indexed = axis == attr[AXIS].i;
        tw_factor *f = &out[n++];
        *f = rule_factor(indexed ? TW_FACTOR_REPLICATE : TW_FACTOR_PASS, x.dim[axis]);
        f->operand[0] = (int8_t)axis;
        f->operand[1] = (int8_t)index_axis(attr, own, axis);
        int to = axis < attr[AXIS].i ? axis : axis - 1 + own.count;
        if (scatter) f->result[0] = (int8_t)axis;
        if (scatter && !indexed) f->operand[2] = (int8_t)to;
        if (!scatter && !indexed) f->result[0] = (int8_t)to;
    }
    for (int i = 0; i < own.count; i++) {
        /* Each piece of the updates would add `base` once more: a cut of them is not a sum. */
        tw_factor *f = &out[n++];
        *f = rule_factor(scatter ? TW_FACTOR_REPLICATE : TW_FACTOR_PASS, index.dim[own.first + i]);
        f->operand[1] = (int8_t)(own.first + i);
        if (scatter)
            f->operand[2] = (int8_t)(attr[AXIS].i + i);
        else
            f->result[0] = (int8_t)(attr[AXIS].i + i);
    }
    return n;
}

static int gather_factors(const tw_signature *signature, tw_factor *out) {
    return factors(signature, false, out);
}
static int scatter_factors(const tw_signature *signature, tw_factor *out) {
    return factors(signature, true, out);
}

/* Only the rows that are addressed are read. */
static void gather_cost(const tw_signature *signature, tw_cost *out) {
    out->flops = 0;
    out->bytes = 2 * rule_bytes(signature->result[0]) + rule_bytes(signature->operand[1]);
}

static void scatter_cost(const tw_signature *signature, tw_cost *out) {
    rule_cost_bytes(signature, out);
    out->bytes += rule_bytes(signature->operand[2]);
    out->flops = signature->attr[HOW].i == HOW_SET ? 0 : rule_elements(signature->operand[2]);
}

/*
 * A call as `lanes`, which address disjoint parts of x, times `count` indices each, times rows of
 * `row` elements side by side. An outer axis is one that is not indexed and not in the row.
 */
typedef struct plan {
    int outer;
    int64_t extent[TW_MAX_RANK], x_step[TW_MAX_RANK], index_step[TW_MAX_RANK],
        rows_step[TW_MAX_RANK];
    int64_t lanes, count, row, chunks;
    int64_t index_stride, rows_stride, x_stride; /* from one index to the next; per index value */
    int64_t bound;                               /* the indexed axis's extent */
    tw_dtype index_type, dtype;
    size_t size;
    int how;
    const void *index;
    const char *x, *updates; /* read */
    char *out;               /* the rows of gather, the x of scatter */
} plan;

enum { CHUNK = 256 }; /* elements of a row that one thread does at a time */

static plan make_plan(const tw_kernel_call *call, tw_shape rows) {
    const tw_signature *s = &call->signature;
    const tw_attr *attr = s->attr;
    tw_shape x = s->operand[0].shape, index = s->operand[1].shape;
    own_axes own = own_of(attr, index.rank);
    int axis = (int)attr[AXIS].i, tail = x.rank;
    int64_t x_stride[TW_MAX_RANK], index_stride[TW_MAX_RANK], rows_stride[TW_MAX_RANK];
    rule_strides(x, x_stride);
    rule_strides(index, index_stride);
    rule_strides(rows, rows_stride);
    plan p = {.lanes = 1, .count = 1, .row = 1, .bound = x.dim[axis], .x_stride = x_stride[axis]};
    while (tail - 1 > axis && index_axis(attr, own, tail - 1) < 0) p.row *= x.dim[--tail];
    for (int i = 0; i < tail; i++) {
        if (i == axis) continue;
        int at = index_axis(attr, own, i), to = i < axis ? i : i - 1 + own.count;
        p.extent[p.outer] = x.dim[i];
        p.x_step[p.outer] = x_stride[i];
        p.index_step[p.outer] = at < 0 ? 0 : index_stride[at];
        p.rows_step[p.outer++] = rows_stride[to];
        p.lanes *= x.dim[i];
    }
    for (int i = 0; i < own.count; i++) p.count *= index.dim[own.first + i];
    p.index_stride = own.count ? index_stride[own.first + own.count - 1] : 0;
    p.rows_stride = own.count ? rows_stride[axis + own.count - 1] : 0;
    p.chunks = (p.row + CHUNK - 1) / CHUNK;
    p.index_type = s->operand[1].dtype;
    p.dtype = s->operand[0].dtype;
    p.size = tw_dtype_size(p.dtype);
    p.index = call->in[1];
    return p;
}

static int64_t index_at(const plan *p, int64_t i) {
    return p->index_type == TW_I32 ? ((const int32_t *)p->index)[i]
                                   : ((const int64_t *)p->index)[i];
}

/* A part of a lane: which elements of its rows, and where it starts in each array. */
typedef struct lane {
    int64_t x, index, rows, length;
} lane;

static lane lane_at(const plan *p, int64_t unit) {
    int64_t rest = unit / p->chunks, first = unit % p->chunks * CHUNK;
    lane l = {.x = first, .rows = first};
    l.length = p->row - first < CHUNK ? p->row - first : CHUNK;
    for (int i = p->outer - 1; i >= 0; i--) {
        int64_t at = rest % p->extent[i];
        rest /= p->extent[i];
        l.x += at * p->x_step[i];
        l.index += at * p->index_step[i];
        l.rows += at * p->rows_step[i];
    }
    return l;
}

static int64_t grain_of(const plan *p) {
    int64_t row = p->row < CHUNK ? p->row : CHUNK;
    return 1 + 16384 / (p->count * row + 1);
}

static tw_status check_bounds(const tw_kernel_call *call, const plan *p) {
    int64_t n =
        rule_product(call->signature.operand[1].shape, 0, call->signature.operand[1].shape.rank);
    int64_t largest = -1;
    for (int64_t i = 0; i < n; i++) {
        int64_t index = index_at(p, i);
        largest = index > largest ? index : largest;
    }
    if (largest < p->bound) return TW_OK;
    return tw_refuse(&call->signature, TW_ERR_INDEX,
                     "index %lld is past the end of axis %lld, which has extent %lld",
                     (long long)largest, (long long)call->signature.attr[AXIS].i,
                     (long long)p->bound);
}

/* `bytes` is mostly that of one element, which is worth a copy of known size. */
static void copy(char *to, const char *from, size_t bytes) {
    if (bytes == 4)
        memcpy(to, from, 4);
    else if (bytes == 8)
        memcpy(to, from, 8);
    else
        memcpy(to, from, bytes);
}

static void gather_lanes(void *argument, int64_t begin, int64_t end) {
    const plan *p = argument;
    for (int64_t unit = begin; unit < end; unit++) {
        lane l = lane_at(p, unit);
        size_t bytes = (size_t)l.length * p->size;
        for (int64_t q = 0; q < p->count; q++) {
            int64_t index = index_at(p, l.index + q * p->index_stride);
            char *to = p->out + (size_t)(l.rows + q * p->rows_stride) * p->size;
            if (index < 0)
                memset(to, 0, bytes);
            else
                copy(to, p->x + (size_t)(l.x + index * p->x_stride) * p->size, bytes);
        }
    }
}

static tw_status gather_kernel(const tw_kernel_call *call) {
    plan p = make_plan(call, call->signature.result[0].shape);
    tw_status status = check_bounds(call, &p);
    if (status) return status;
    p.x = call->in[0];
    p.out = call->out[0];
    /* Split long lists of indices into lanes of one, as gathering has no order to keep. */
    if (p.lanes * p.chunks < p.count && p.outer < TW_MAX_RANK) {
        for (int i = p.outer++; i > 0; i--) {
            p.extent[i] = p.extent[i - 1];
            p.x_step[i] = p.x_step[i - 1];
            p.index_step[i] = p.index_step[i - 1];
            p.rows_step[i] = p.rows_step[i - 1];
        }
        p.extent[0] = p.count;
        p.x_step[0] = 0;
        p.index_step[0] = p.index_stride;
        p.rows_step[0] = p.rows_stride;
        p.lanes *= p.count;
        p.count = 1;
    }
    tw_parallel_for(call->signature.context, p.lanes * p.chunks, grain_of(&p), gather_lanes, &p);
    return TW_OK;
}

/* The updates of a lane in the order of their indices. A NaN wins in max. */
#define DEFINE_UPDATE(T)                                                                           \
    static void update_##T(const plan *p, const lane *l) {                                         \
        for (int64_t q = 0; q < p->count; q++) {                                                   \
            const int64_t index = index_at(p, l->index + q * p->index_stride);                     \
            if (index < 0) continue;                                                               \
            const T *from = (const T *)(const void *)p->updates + l->rows + q * p->rows_stride;    \
            T *to = (T *)(void *)p->out + l->x + index * p->x_stride;                              \
            if (p->how == HOW_ADD)                                                                 \
                for (int64_t i = 0; i < l->length; i++) to[i] = (T)(to[i] + from[i]);              \
            else                                                                                   \
                for (int64_t i = 0; i < l->length; i++)                                            \
                    to[i] = from[i] > to[i] || from[i] != from[i] ? from[i] : to[i];               \
        }                                                                                          \
    }
DEFINE_UPDATE(float)
DEFINE_UPDATE(double)
DEFINE_UPDATE(uint8_t)
DEFINE_UPDATE(uint32_t)
DEFINE_UPDATE(uint64_t) /* adds as i64 does, and wraps */
DEFINE_UPDATE(int32_t)
DEFINE_UPDATE(int64_t)

static void set_lane(const plan *p, const lane *l) {
    for (int64_t q = 0; q < p->count; q++) {
        int64_t index = index_at(p, l->index + q * p->index_stride);
        if (index < 0) continue;
        copy(p->out + (size_t)(l->x + index * p->x_stride) * p->size,
             p->updates + (size_t)(l->rows + q * p->rows_stride) * p->size,
             (size_t)l->length * p->size);
    }
}

static void scatter_lanes(void *argument, int64_t begin, int64_t end) {
    const plan *p = argument;
    bool add = p->how == HOW_ADD;
    for (int64_t unit = begin; unit < end; unit++) {
        lane l = lane_at(p, unit);
        if (p->how == HOW_SET)
            set_lane(p, &l);
        else if (p->dtype == TW_F32)
            update_float(p, &l);
        else if (p->dtype == TW_F64)
            update_double(p, &l);
        else if (p->dtype == TW_U8)
            update_uint8_t(p, &l);
        else if (p->dtype == TW_U32 || (add && p->dtype == TW_I32))
            update_uint32_t(p, &l);
        else if (p->dtype == TW_I32)
            update_int32_t(p, &l);
        else if (add)
            update_uint64_t(p, &l);
        else
            update_int64_t(p, &l);
    }
}

static tw_status scatter_kernel(const tw_kernel_call *call) {
    const tw_signature *s = &call->signature;
    plan p = make_plan(call, s->operand[2].shape);
    tw_status status = check_bounds(call, &p);
    if (status) return status;
    p.how = (int)s->attr[HOW].i;
    p.updates = call->in[2];
    p.out = call->out[0];
    tw_shape x = s->operand[0].shape;
    memmove(p.out, call->in[0], (size_t)rule_product(x, 0, x.rank) * p.size);
    tw_parallel_for(s->context, p.lanes * p.chunks, grain_of(&p), scatter_lanes, &p);
    return TW_OK;
}

enum { IOTA_DTYPE, IOTA_SHAPE, IOTA_AXIS, IOTA_START, IOTA_ATTRS };
static const tw_attr_spec iota_specs[] = {
    {"dtype", TW_ATTR_DTYPE, NULL, NULL, "element type of the result"},
    {"shape", TW_ATTR_DIMS, NULL, NULL, "shape of the result"},
    {"axis", TW_ATTR_INT, "0", NULL, "the axis along which the numbers grow"},
    {"start", TW_ATTR_INT, "0", NULL, "the first number"},
    {0},
};

static tw_status iota_infer(tw_signature *signature) {
    const tw_attr *attr = signature->attr;
    tw_dtype dtype = (tw_dtype)attr[IOTA_DTYPE].i;
    tw_status status = rule_axis(signature, "axis", attr[IOTA_AXIS].i, attr[IOTA_SHAPE].list.rank);
    if (status) return status;
    if (!type_in(dtype, TYPES_NUMBER)) {
        return tw_refuse(signature, TW_ERR_TYPE, "dtype is %s, expected a number type",
                         tw_dtype_name(dtype));
    }
    return rule_result(signature, 0, dtype, attr[IOTA_SHAPE].list);
}

typedef struct count {
    int64_t extent, inner, start; /* of the axis; of the axes after it */
    tw_dtype dtype;
    void *out;
} count;

/* Elements of outer index begin..end-1. Integers wrap. */
#define DEFINE_IOTA(T)                                                                             \
    static void iota_##T(void *argument, int64_t begin, int64_t end) {                             \
        const count *c = argument;                                                                 \
        for (int64_t r = begin; r < end; r++) {                                                    \
            T *out = (T *)c->out + r * c->inner;                                                   \
            const T number = (T)(c->start + r % c->extent);                                        \
            for (int64_t i = 0; i < c->inner; i++) out[i] = number;                                \
        }                                                                                          \
    }
DEFINE_IOTA(float)
DEFINE_IOTA(double)
DEFINE_IOTA(uint8_t)
DEFINE_IOTA(uint32_t)
DEFINE_IOTA(int32_t)
DEFINE_IOTA(int64_t)

static tw_status iota_kernel(const tw_kernel_call *call) {
    static const parallel_body bodies[TW_F64 + 1] = {
        [TW_F32] = iota_float,    [TW_F64] = iota_double,  [TW_U8] = iota_uint8_t,
        [TW_U32] = iota_uint32_t, [TW_I32] = iota_int32_t, [TW_I64] = iota_int64_t};
    const tw_attr *attr = call->signature.attr;
    tw_shape shape = call->signature.result[0].shape;
    int axis = (int)attr[IOTA_AXIS].i;
    count c = {shape.dim[axis], rule_product(shape, axis + 1, shape.rank), attr[IOTA_START].i,
               (tw_dtype)attr[IOTA_DTYPE].i, call->out[0]};
    tw_parallel_for(call->signature.context, rule_product(shape, 0, axis + 1),
                    1 + 16384 / (c.inner + 1), bodies[c.dtype], &c);
    return TW_OK;
}

static const tw_sample gather_samples[] = {
    {.operands = "f64[5,3] i32[4]", .index_high = 4},
    {.operands = "f64[5,3] i64[2,3]", .index_low = -1, .index_high = 4},
    {.operands = "f64[4,3] i32[4]", .attributes = "axis=1, shared=[0]", .index_high = 2},
    {.operands = "f64[2,4,3] i32[2,2,3]", .attributes = "axis=1, shared=[0,2]", .index_high = 3},
    {.operands = "f64[2,3,4] i32[]", .attributes = "axis=1", .index_high = 2},
    {.operands = "f64[2,3,4] i64[2,2,2]",
     .attributes = "axis=2, shared=[0]",
     .index_low = -1,
     .index_high = 3},
    {.operands = "f64[3] i32[2,2]", .index_high = 2},
    {.operands = "bool[3,2] i32[4]", .index_low = -1, .index_high = 2},
    {.operands = "u8[3] i64[4]", .index_low = -1, .index_high = 2},
    {.operands = "i64[3,2] i32[3]", .attributes = "axis=1, shared=[0]", .index_high = 1},
    {.operands = "f64[1,1] i32[1]", .index_low = -1, .index_high = 0},
    {.operands = "f64[0,2] i32[2]", .index_low = -2, .index_high = -1},
    {.operands = "f64[3,2] i32[0]"},
    {0},
};

static const tw_sample scatter_samples[] = {
    {.operands = "f64[5,3] i32[4] f64[4,3]", .index_high = 4},
    {.operands = "f64[3,2] i64[6] f64[6,2]", .index_low = -1, .index_high = 2},
    {.operands = "f64[4,3] i32[4] f64[4]", .attributes = "axis=1, shared=[0]", .index_high = 2},
    {.operands = "f64[2,4,3] i32[2,5,3] f64[2,5,3]",
     .attributes = "axis=1, shared=[0,2], how=max",
     .index_low = -1,
     .index_high = 3,
     .distinct = true},
    {.operands = "f64[4,2] i32[2,3] f64[2,3,2]",
     .attributes = "how=set",
     .index_low = -1,
     .index_high = 3},
    {.operands = "f64[5,3] i32[7] f64[7,3]",
     .attributes = "how=max",
     .index_low = -1,
     .index_high = 4,
     .distinct = true},
    {.operands = "f64[3,4] i64[3,6] f64[3,6]",
     .attributes = "axis=1, shared=[0], how=set",
     .index_low = -1,
     .index_high = 3},
    {.operands = "f64[2,4] i32[] f64[2]", .attributes = "axis=1, how=set", .index_high = 3},
    {.operands = "i32[4] i32[6] i32[6]", .index_high = 3},
    {.operands = "i64[4] i32[6] i64[6]", .attributes = "how=max", .index_high = 3},
    {.operands = "u8[4] i32[6] u8[6]", .attributes = "how=max", .index_high = 3},
    {.operands = "bool[4] i32[6] bool[6]", .attributes = "how=set", .index_high = 3},
    {.operands = "f64[1,1] i32[1] f64[1,1]", .index_low = -1, .index_high = 0},
    {.operands = "f64[3,2] i32[0] f64[0,2]"},
    {0},
};

static const tw_sample iota_samples[] = {
    {.operands = "", .attributes = "dtype=f64, shape=[2,3,2], axis=1"},
    {.operands = "", .attributes = "dtype=i32, shape=[4], start=-2"},
    {.operands = "", .attributes = "dtype=i64, shape=[1,1], axis=1"},
    {.operands = "", .attributes = "dtype=u32, shape=[2,3], axis=0, start=7"},
    {.operands = "", .attributes = "dtype=f64, shape=[0,2], axis=1, start=-1"},
    {.operands = "", .attributes = "dtype=u8, shape=[0,2]"},
    {0},
};

static const tw_operator gather = {
    .name = "gather",
    .formula = "y[a, q, b] = x[a, index[shared of a, q, shared of b], b]; axis of x replaced",
    .semantics = "A negative index gives zeros; one past the end is TW_ERR_INDEX.",
    .operands = "x index",
    .results = "y",
    .attributes = gather_specs,
    .infer = gather_infer,
    .vjp = gather_vjp,
    .batch = gather_batch,
    .factors = gather_factors,
    .cost = gather_cost,
    .meaning = TW_MEANS_LOOPS,
    .kernel = gather_kernel,
    .samples = gather_samples,
};

static const tw_operator scatter = {
    .name = "scatter",
    .formula = "y = base; for each q: y[a, index[q], b] = how(y[a, index[q], b], updates[a, q, b])",
    .semantics = "A negative index is ignored; one past the end is TW_ERR_INDEX. Updates of one "
                 "place apply in the index's order: set keeps the last, which alone has a "
                 "gradient; equal maxima share the gradient evenly. max: NaN wins. Integers wrap.",
    .operands = "base index updates",
    .results = "y",
    .attributes = scatter_specs,
    .infer = scatter_infer,
    .vjp = scatter_vjp,
    .batch = scatter_batch,
    .factors = scatter_factors,
    .cost = scatter_cost,
    .meaning = TW_MEANS_LOOPS,
    .kernel = scatter_kernel,
    .samples = scatter_samples,
};

static int iota_factors(const tw_signature *signature, tw_factor *out) {
    int n = rule_factors_stated(signature, IOTA_SHAPE, out);
    if (n) out[signature->attr[IOTA_AXIS].i].attr.start = IOTA_START + 1;
    return n;
}

static const tw_operator iota = {
    .name = "iota",
    .formula = "y[..., i, ...] = start + i along axis",
    .semantics = "Integers wrap; floats round.",
    .operands = "",
    .results = "y",
    .attributes = iota_specs,
    .infer = iota_infer,
    .no_vjp = "it has no operands",
    .factors = iota_factors,
    .cost = rule_cost_bytes,
    .meaning = TW_MEANS_LOOPS,
    .kernel = iota_kernel,
    .samples = iota_samples,
};

const tw_operator *const ops_index[] = {&gather, &scatter, &iota, NULL};

tw_value tw_take(tw_value table, tw_value indices) {
    return rule_apply2("gather", table, indices, NULL);
}

tw_value tw_take_along(tw_value x, tw_value indices, int axis) {
    tw_value operands[] = {x, indices};
    tw_graph *graph = rule_graph(2, operands);
    if (!rule_usable("tw_take_along", 2, operands)) return rule_poison(graph);
    tw_shape shared = {0};
    int at = rule_axis_of("tw_take_along", x, axis);
    if (at < 0) return rule_poison(graph);
    for (int i = 0; i < tw_shape_of(x).rank; i++)
        if (i != at) shared.dim[shared.rank++] = i;
    tw_attr attr[] = {tw_attr_int(at), tw_attr_dims(shared)};
    return rule_apply2("gather", x, indices, attr);
}

static tw_value scatter_rows(int how, tw_value base, tw_value indices, tw_value updates) {
    tw_attr attr[] = {tw_attr_int(0), rule_ints(0, NULL)};
    return apply_scatter(attr, how, base, indices, updates);
}

tw_value tw_scatter_add(tw_value base, tw_value indices, tw_value updates) {
    return scatter_rows(HOW_ADD, base, indices, updates);
}
tw_value tw_scatter_max(tw_value base, tw_value indices, tw_value updates) {
    return scatter_rows(HOW_MAX, base, indices, updates);
}
tw_value tw_scatter_set(tw_value base, tw_value indices, tw_value updates) {
    return scatter_rows(HOW_SET, base, indices, updates);
}

tw_value tw_iota(tw_graph *graph, tw_dtype dtype, tw_shape shape, int axis) {
    if (!graph) return (tw_value){0};
    tw_attr attr[IOTA_ATTRS] = {tw_attr_int(dtype), tw_attr_dims(shape),
                                tw_attr_int(axis < 0 ? axis + shape.rank : axis), tw_attr_int(0)};
    return tw_apply(graph, "iota", 0, NULL, attr, NULL);
}

/* Ones set into zeros along a new last axis, so that an index is checked as everywhere. */
tw_value tw_one_hot(tw_value indices, int64_t classes, tw_dtype dtype) {
    tw_graph *graph = rule_graph(1, &indices);
    if (!rule_usable("tw_one_hot", 1, &indices)) return rule_poison(graph);
    tw_shape shape = tw_shape_of(indices), wide = shape, shared = {.rank = shape.rank};
    if (shape.rank == TW_MAX_RANK || classes < 0) {
        return rule_fail(graph, TW_ERR_ARGUMENT,
                         "tw_one_hot: %lld classes for indices of rank %d, expected at least 0 and "
                         "a rank below %d",
                         (long long)classes, (int)shape.rank, TW_MAX_RANK);
    }
    for (int i = 0; i < shape.rank; i++) shared.dim[i] = i;
    wide.dim[wide.rank++] = classes;
    tw_attr attr[] = {tw_attr_int(shape.rank), tw_attr_dims(shared)};
    return apply_scatter(attr, HOW_SET, tw_zeros(graph, dtype, wide), indices,
                         tw_full(graph, dtype, shape, 1));
}
