/*
 * dot by the library's matrix product, wherever the axes make one: each of the groups batch, rows,
 * columns and depth has to be one run of elements a fixed step apart (batch: up to three). The
 * product is cut into pieces by shape alone, and each piece runs on one thread, as the library cuts
 * deep sums by the number of threads. Pieces of a sum are added in a fixed binary tree.
 */
#include <stdatomic.h>
#include <string.h>

#include "base/context.h"
#include "base/parallel.h"
#include "codegen/onednn/onednn.h"
#include "ops/rules.h"

enum { BATCH_A, BATCH_B, CONTRACT_A, CONTRACT_B }; /* the attributes of dot */

/* Axes walked together in both operands; a step is 0 where an operand lacks them. */
typedef struct group {
    int n;
    int64_t extent[TW_MAX_RANK], a_step[TW_MAX_RANK], b_step[TW_MAX_RANK];
} group;

/* Appends an axis as the innermost one, merged with the one before if both are one run. */
static void add_axis(group *g, int64_t extent, int64_t a_step, int64_t b_step) {
    int last = g->n - 1;
    if (extent == 1) return;
    if (last >= 0 && g->a_step[last] == a_step * extent && g->b_step[last] == b_step * extent) {
        g->extent[last] *= extent;
        g->a_step[last] = a_step;
        g->b_step[last] = b_step;
        return;
    }
    g->extent[g->n] = extent;
    g->a_step[g->n] = a_step;
    g->b_step[g->n++] = b_step;
}

static group paired_axes(tw_shape a, tw_shape b, const tw_shape *of_a, const tw_shape *of_b) {
    group g = {0};
    int64_t a_step[TW_MAX_RANK], b_step[TW_MAX_RANK];
    rule_strides(a, a_step);
    rule_strides(b, b_step);
    for (int i = 0; i < of_a->rank; i++)
        add_axis(&g, a.dim[of_a->dim[i]], a_step[of_a->dim[i]], b_step[of_b->dim[i]]);
    return g;
}

static group free_axes(tw_shape shape, const tw_shape *batch, const tw_shape *contract, bool b) {
    group g = {0};
    int64_t step[TW_MAX_RANK];
    rule_strides(shape, step);
    for (int axis = 0; axis < shape.rank; axis++) {
        bool listed = false;
        for (int i = 0; i < batch->rank; i++) listed |= batch->dim[i] == axis;
        for (int i = 0; i < contract->rank; i++) listed |= contract->dim[i] == axis;
        if (!listed) add_axis(&g, shape.dim[axis], b ? 0 : step[axis], b ? step[axis] : 0);
    }
    return g;
}

/* A matrix in memory: its steps have to be those of a plain or a transposed one. */
static bool set_matrix(int64_t rows, int64_t row_step, int64_t columns, int64_t column_step,
                       int64_t *extent, int64_t *stride) {
    if (columns == 1) column_step = 1; /* steps of axes of extent 1 are free */
    if (rows == 1) row_step = column_step == 1 ? columns : 1;
    if (columns == 1 && row_step == 1) column_step = rows;
    extent[0] = rows;
    extent[1] = columns;
    stride[0] = row_step;
    stride[1] = column_step;
    return (column_step == 1 && row_step >= columns) || (row_step == 1 && column_step >= rows);
}

static int64_t extent_of(const group *g) { return g->n ? g->extent[0] : 1; }

/* False where the call is no matrix product of the library's kind. */
static bool describe(const tw_signature *signature, onednn_matmul *m) {
    const tw_attr *attr = signature->attr;
    tw_shape a = signature->operand[0].shape, b = signature->operand[1].shape;
    const tw_shape *batch_a = &attr[BATCH_A].list, *batch_b = &attr[BATCH_B].list;
    const tw_shape *contract_a = &attr[CONTRACT_A].list, *contract_b = &attr[CONTRACT_B].list;
    group batch = paired_axes(a, b, batch_a, batch_b);
    group depth = paired_axes(a, b, contract_a, contract_b);
    group rows = free_axes(a, batch_a, contract_a, false);
    group columns = free_axes(b, batch_b, contract_b, true);
    if (batch.n > ONEDNN_MATMUL_RANK - 2 || depth.n > 1 || rows.n > 1 || columns.n > 1)
        return false;
    int n = batch.n;
    m->rank = n + 2;
    for (int i = 0; i < n; i++) {
        m->x_extent[i] = m->w_extent[i] = m->y_extent[i] = batch.extent[i];
        m->x_stride[i] = batch.a_step[i];
        m->w_stride[i] = batch.b_step[i];
    }
    m->y_extent[n] = extent_of(&rows);
    m->y_extent[n + 1] = extent_of(&columns);
    int64_t step = 1;
    for (int i = n + 1; i >= 0; i--) {
        m->y_stride[i] = step;
        step *= m->y_extent[i];
    }
    return set_matrix(extent_of(&rows), rows.a_step[0], extent_of(&depth), depth.a_step[0],
                      m->x_extent + n, m->x_stride + n) &&
           set_matrix(extent_of(&depth), depth.b_step[0], extent_of(&columns), columns.b_step[0],
                      m->w_extent + n, m->w_stride + n);
}

/* An extent in `pieces` of `step`, the last of which may be shorter. */
typedef struct cut {
    int64_t extent, step;
    int pieces;
} cut;

static cut make_cut(int64_t extent, int64_t pieces, int64_t unit) {
    cut c = {.extent = extent};
    if (pieces < 1) pieces = 1;
    c.step = (extent + pieces - 1) / pieces;
    c.step = (c.step + unit - 1) / unit * unit;
    if (c.step > extent) c.step = extent;
    c.pieces = (int)((extent + c.step - 1) / c.step);
    return c;
}

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

enum { MOST_PIECES = 32, MOST_DEPTH = 16, FEW_PIECES = 8 };

typedef struct job {
    tw_context *context;
    onednn_matmul m;
    int axis;        /* of y, which `outer` cuts: the first of the batch, rows or columns */
    cut outer, deep; /* deep: of the sum */
    onednn_primitive *primitive[2][2]; /* [a last, shorter piece of outer][... of deep] */
    bool bf16;
    const char *x, *w;
    float *y, *partials; /* y once for each piece of the sum, or y itself if that is whole */
    int64_t y_elements;
    size_t scratch_bytes;
    char *scratch;
    atomic_int slots;
    atomic_int status;
} job;

/* As many pieces as keep threads busy and each worth its call: about 2 million operations. */
static void choose_cuts(job *j) {
    onednn_matmul *m = &j->m;
    int last = (int)m->rank - 1;
    int64_t rows = m->y_extent[last - 1], columns = m->y_extent[last];
    int64_t depth = m->x_extent[last];
    double work = 2 * (double)j->y_elements * (double)depth / 2e6;
    int64_t wanted = work > MOST_PIECES ? MOST_PIECES : (int64_t)work;
    if (m->rank > 2 && m->y_extent[0] >= least(wanted, FEW_PIECES)) {
        j->axis = 0;
        j->outer = make_cut(m->y_extent[0], least(wanted, m->y_extent[0]), 1);
    } else {
        j->axis = rows >= columns ? last - 1 : last;
        int64_t extent = m->y_extent[j->axis];
        j->outer = make_cut(extent, least(wanted, extent / 32), 16);
    }
    int64_t deep = 1;
    if (j->outer.pieces < FEW_PIECES && j->y_elements < 1 << 18)
        deep = least(least(wanted / j->outer.pieces, depth / 512), MOST_DEPTH);
    j->deep = make_cut(depth, deep, 16);
}

/* The product of one piece. */
static onednn_matmul piece_of(const job *j, int64_t outer, int64_t deep) {
    onednn_matmul m = j->m;
    int last = (int)m.rank - 1;
    m.y_extent[j->axis] = outer;
    if (j->axis < last) m.x_extent[j->axis] = outer;
    if (j->axis != last - 1) m.w_extent[j->axis] = outer;
    m.x_extent[last] = m.w_extent[last - 1] = deep;
    return m;
}

static tw_status prepare(job *j) {
    onednn_key key;
    memset(&key, 0, sizeof key);
    key.kind = ONEDNN_MATMUL;
    key.threads = 1;
    key.bf16 = j->bf16;
    int slots = (int)least(j->context->threads, (int64_t)j->outer.pieces * j->deep.pieces);
    for (int i = 0; i < 4; i++) {
        int64_t outer = i / 2 ? j->outer.extent % j->outer.step : j->outer.step;
        int64_t deep = i % 2 ? j->deep.extent % j->deep.step : j->deep.step;
        if (outer == 0 || deep == 0) continue;
        onednn_primitive **place = &j->primitive[i / 2][i % 2];
        key.matmul = piece_of(j, outer, deep);
        tw_status status = onednn_get(j->context, &key, slots, place);
        if (status) return status;
        size_t bytes = onednn_scratch_bytes(*place);
        if (bytes > j->scratch_bytes) j->scratch_bytes = bytes;
    }
    j->scratch = onednn_memory(j->context, ONEDNN_SCRATCH, (size_t)slots * j->scratch_bytes);
    j->partials = j->y;
    if (j->deep.pieces > 1) {
        size_t copies = (size_t)j->deep.pieces;
        j->partials = onednn_memory(j->context, ONEDNN_PARTIALS,
                                    copies * (size_t)j->y_elements * sizeof(float));
    }
    return j->scratch && j->partials ? TW_OK : TW_ERR_MEMORY;
}

/* Each range takes a slot; there are no more ranges than threads. */
static void run_pieces(void *argument, int64_t begin, int64_t end) {
    job *j = argument;
    const onednn_matmul *m = &j->m;
    int slot = atomic_fetch_add(&j->slots, 1), last = (int)m->rank - 1, axis = j->axis;
    for (int64_t piece = begin; piece < end; piece++) {
        int64_t o = piece / j->deep.pieces, d = piece % j->deep.pieces;
        int64_t first = o * j->outer.step, depth = d * j->deep.step;
        bool shorter = first + j->outer.step > j->outer.extent;
        bool shallower = depth + j->deep.step > j->deep.extent;
        int64_t x = depth * m->x_stride[last], w = depth * m->w_stride[last - 1];
        if (axis < last) x += first * m->x_stride[axis];
        if (axis != last - 1) w += first * m->w_stride[axis];
        int64_t size = j->bf16 ? sizeof(uint16_t) : sizeof(float);
        onednn_arrays arrays = {.x = j->x + x * size, .w = j->w + w * size};
        arrays.y = j->partials + d * j->y_elements + first * m->y_stride[axis];
        arrays.scratch = j->scratch + (size_t)slot * j->scratch_bytes;
        tw_status status = onednn_run(j->primitive[shorter][shallower], slot, &arrays);
        if (status) atomic_store(&j->status, status);
    }
}

/* Elements begin..end-1 of y, as the sum of all pieces of the sum. */
static void add_partials(void *argument, int64_t begin, int64_t end) {
    const job *j = argument;
    onednn_add_tree(j->partials, j->deep.pieces, (size_t)j->y_elements, begin, end);
    memcpy(j->y + begin, j->partials + begin, (size_t)(end - begin) * sizeof(float));
}

tw_status onednn_dot(const tw_kernel_call *call) {
    const tw_signature *s = &call->signature;
    tw_dtype dtype = s->operand[0].dtype, result = s->result[0].dtype;
    bool served = dtype == TW_F32 || (dtype == TW_BF16 && (result == TW_F32 || result == TW_BF16));
    if (!served || rule_elements(s->result[0]) == 0 || rule_elements(s->operand[0]) == 0)
        return TW_ERR_UNSUPPORTED;
    job j;
    memset(&j, 0, sizeof j);
    j.context = s->context;
    j.bf16 = dtype == TW_BF16;
    j.x = call->in[0];
    j.w = call->in[1];
    j.y_elements = rule_product(s->result[0].shape, 0, s->result[0].shape.rank);
    if (!describe(s, &j.m)) return TW_ERR_UNSUPPORTED;
    choose_cuts(&j);
    onednn_trim(s->context);
    j.y = onednn_result(call);
    if (!j.y) return TW_ERR_MEMORY;
    tw_status status = prepare(&j);
    if (status) return status;
    tw_parallel_for(s->context, (int64_t)j.outer.pieces * j.deep.pieces, 1, run_pieces, &j);
    status = (tw_status)atomic_load(&j.status);
    if (status) return context_error(s->context, status, "oneDNN failed; it may lack memory");
    if (j.deep.pieces > 1) tw_parallel_for(s->context, j.y_elements, 4096, add_partials, &j);
    onednn_finish(call);
    return TW_OK;
}
