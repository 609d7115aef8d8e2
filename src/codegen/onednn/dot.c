/*
 * dot by the library's matrix product, wherever the axes make one. The product is cut into
 * pieces by shape alone, and each piece runs on one thread, as the library cuts deep sums by the number
 * of threads. Pieces of a sum are added in a fixed binary tree.
 */
#include <stdatomic.h>
#include <string.h>

#include "base/context.h"
#include "base/number.h"
#include "base/parallel.h"
#include "base/scratch.h"
#include "codegen/onednn/onednn.h"
#include "ops/rules.h"

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

enum { MOST_PIECES = 32, MOST_DEPTH = 16, FEW_PIECES = 8 };

typedef struct job {
    tw_context *context;
    matrix_product m;
    int axis;        /* of y, which `outer` cuts: the first of the batch, rows or columns */
    cut outer, deep; /* deep: of the sum */
    onednn_primitive *primitive[2][2]; /* [a last, shorter piece of outer][... of deep] */
    bool bf16;
    const char *x, *w;
    float *y, *partials; /* y once for each piece of the sum, or y itself if that is whole */
    int64_t y_elements;
    int most; /* pieces at work at a time */
    size_t scratch_bytes;
    char *scratch;
    atomic_int slots;
    atomic_int status;
} job;

/* As many pieces as keep threads busy and each worth its call: about 2 million operations. */
static void choose_cuts(job *j) {
    matrix_product *m = &j->m;
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
static matrix_product piece_of(const job *j, int64_t outer, int64_t deep) {
    matrix_product m = j->m;
    int last = (int)m.rank - 1;
    m.y_extent[j->axis] = outer;
    if (j->axis < last) m.x_extent[j->axis] = outer;
    if (j->axis != last - 1) m.w_extent[j->axis] = outer;
    m.x_extent[last] = m.w_extent[last - 1] = deep;
    return m;
}

/* The primitives. */
static tw_status prepare(job *j) {
    onednn_key key;
    memset(&key, 0, sizeof key);
    key.kind = ONEDNN_MATMUL;
    key.threads = 1;
    key.bf16 = j->bf16;
    j->most = (int)least(j->context->threads, (int64_t)j->outer.pieces * j->deep.pieces);
    for (int i = 0; i < 4; i++) {
        int64_t outer = i / 2 ? j->outer.extent % j->outer.step : j->outer.step;
        int64_t deep = i % 2 ? j->deep.extent % j->deep.step : j->deep.step;
        if (outer == 0 || deep == 0) continue;
        onednn_primitive **place = &j->primitive[i / 2][i % 2];
        key.matmul = piece_of(j, outer, deep);
        tw_status status = onednn_get(j->context, &key, j->most, place);
        if (status) return status;
        size_t bytes = onednn_scratch_bytes(*place);
        if (bytes > j->scratch_bytes) j->scratch_bytes = bytes;
    }
    return TW_OK;
}

static size_t all_scratch(const job *j) { return (size_t)j->most * j->scratch_bytes; }

static size_t all_partials(const job *j) {
    if (j->deep.pieces == 1) return 0;
    return (size_t)j->deep.pieces * (size_t)j->y_elements * sizeof(float);
}

static tw_status take_memory(job *j) {
    j->scratch = scratch_take(j->context, all_scratch(j));
    j->partials = j->deep.pieces > 1 ? scratch_take(j->context, all_partials(j)) : j->y;
    return j->scratch && j->partials ? TW_OK : TW_ERR_MEMORY;
}

/* Each range takes a slot; there are no more ranges than threads. */
static void run_pieces(void *argument, int64_t begin, int64_t end) {
    job *j = argument;
    const matrix_product *m = &j->m;
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

/* The cuts and the primitives of a call. */
static tw_status plan(job *j, const tw_signature *s) {
    tw_dtype dtype = s->operand[0].dtype, result = s->result[0].dtype;
    bool served = dtype == TW_F32 || (dtype == TW_BF16 && (result == TW_F32 || result == TW_BF16));
    if (!served || rule_elements(s->result[0]) == 0 || rule_elements(s->operand[0]) == 0)
        return TW_ERR_UNSUPPORTED;
    memset(j, 0, sizeof *j);
    j->context = s->context;
    j->bf16 = dtype == TW_BF16;
    j->y_elements = rule_product(s->result[0].shape, 0, s->result[0].shape.rank);
    if (!product_of(s, &j->m)) return TW_ERR_UNSUPPORTED;
    choose_cuts(j);
    onednn_trim(s->context);
    return prepare(j);
}

tw_status onednn_dot_workspace(const tw_signature *signature, size_t *bytes) {
    job j;
    tw_status status = plan(&j, signature);
    if (status) return status;
    *bytes = onednn_result_bytes(signature) + scratch_rounded(all_scratch(&j) + 1) +
             scratch_rounded(all_partials(&j));
    return TW_OK;
}

tw_status onednn_dot(const tw_kernel_call *call) {
    const tw_signature *s = &call->signature;
    job j;
    tw_status status = plan(&j, s);
    if (status) return status;
    j.x = call->in[0];
    j.w = call->in[1];
    j.y = onednn_result(call);
    if (!j.y || take_memory(&j)) return TW_ERR_MEMORY;
    tw_parallel_for(s->context, (int64_t)j.outer.pieces * j.deep.pieces, 1, run_pieces, &j);
    status = (tw_status)atomic_load(&j.status);
    if (status) return context_error(s->context, status, "oneDNN failed; it may lack memory");
    if (j.deep.pieces > 1) tw_parallel_for(s->context, j.y_elements, 4096, add_partials, &j);
    onednn_finish(call, j.y);
    return TW_OK;
}
