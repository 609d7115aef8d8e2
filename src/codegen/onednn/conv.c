/*
 * The convolutions by the library, but for those that Winograd's transform serves. The batch is cut
 * into pieces by shape alone, and each piece runs on one thread: the bits of a result do not depend
 * on how many threads there are. Pieces of a weight gradient are added in a fixed binary tree. Few
 * samples: the library's own threads, but for weight gradients, whose sums it would cut by threads.
 */
#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "base/context.h"
#include "base/parallel.h"
#include "base/scratch.h"
#include "codegen/onednn/onednn.h"
#include "codegen/plain/winograd.h"
#include "ops/rules.h"

enum { MOST_PIECES = 32, MOST_FINISHED = 1 << 16, MOST_PARTIALS = 16 };

typedef struct job {
    tw_context *context;
    const conv_geometry *g;
    onednn_kind kind;
    int pieces, most, copies;       /* most: at work at a time; copies: of packed w */
    onednn_primitive *primitive[2]; /* for the smaller pieces, and for those of one sample more */
    bool bf16; /* the operands, of x, w and y; the third, which is written, is f32 */
    const char *x, *y;
    const void *w, *bias;
    float *packed;          /* w; of a weight gradient: one for each piece */
    int64_t x_size, y_size; /* bytes of an element */
    size_t packed_elements, scratch_bytes;
    char *scratch;
    bool relu;
    bool finished;             /* y, or the x that is the result: it isn't kept */
    const conv_finish *finish; /* ... by this, as soon as a piece */
    float *blocks;             /* ... is in its slot's part of these */
    atomic_int slots, status;
} job;

static int64_t volume(const int64_t extent[3]) { return extent[0] * extent[1] * extent[2]; }

static int64_t first_sample(const job *j, int64_t piece) {
    return piece * (j->g->batch / j->pieces) +
           (piece < j->g->batch % j->pieces ? piece : j->g->batch % j->pieces);
}

/* Elements of a sample of the result. */
static int64_t sample_floats(const conv_geometry *g, onednn_kind kind) {
    bool input = kind == ONEDNN_CONV_INPUT_GRAD;
    return input ? volume(g->in) * g->in_channels : volume(g->out) * g->out_channels;
}

/* Of a slot, which holds the larger pieces. */
static size_t block_floats(const job *j) {
    int64_t samples = (j->g->batch + j->pieces - 1) / j->pieces;
    return j->finished ? (size_t)(samples * sample_floats(j->g, j->kind)) : 0;
}

/* max(y, 0), where a NaN stays one: the library's own would drop it. */
static void rectify(float *y, int64_t n) {
    for (int64_t i = 0; i < n; i++) y[i] = y[i] < 0 ? 0 : y[i];
}

static void run_piece(job *j, int64_t piece, int slot) {
    const conv_geometry *g = j->g;
    int64_t first = first_sample(j, piece), samples = first_sample(j, piece + 1) - first;
    bool more = samples > g->batch / j->pieces, gradient = j->w == NULL;
    bool of_input = j->kind == ONEDNN_CONV_INPUT_GRAD;
    int64_t y_sample = volume(g->out) * g->out_channels;
    onednn_arrays arrays = {.bias = j->bias};
    float *block = j->finished ? j->blocks + (size_t)slot * block_floats(j) : NULL;
    arrays.x = block && of_input ? (const char *)block
                                 : j->x + first * volume(g->in) * g->in_channels * j->x_size;
    arrays.y = block && !of_input ? (const char *)block : j->y + first * y_sample * j->y_size;
    arrays.w = j->packed + (gradient ? (size_t)piece * j->packed_elements : 0);
    arrays.scratch = j->scratch + (size_t)slot * j->scratch_bytes;
    tw_status status = onednn_run(j->primitive[more], slot, &arrays);
    if (status) atomic_store(&j->status, status);
    /* While the piece is in the cache. */
    if (j->relu) rectify((float *)(uintptr_t)arrays.y, samples * y_sample);
    if (block && !status) j->finish->take(j->finish->state, first, samples, block);
}

/* Each range takes a slot; there are no more ranges than threads. */
static void run_pieces(void *argument, int64_t begin, int64_t end) {
    job *j = argument;
    int slot = atomic_fetch_add(&j->slots, 1);
    for (int64_t piece = begin; piece < end; piece++) run_piece(j, piece, slot);
}

/* The primitives of a job. */
static tw_status prepare(job *j, bool bias) {
    onednn_kind kind = j->kind;
    onednn_key key;
    memset(&key, 0, sizeof key);
    key.kind = kind;
    key.bias = bias;
    key.bf16 = j->bf16;
    int64_t half = j->bf16 ? sizeof(uint16_t) : sizeof(float);
    j->x_size = kind == ONEDNN_CONV_INPUT_GRAD ? (int64_t)sizeof(float) : half;
    j->y_size = kind == ONEDNN_CONV ? (int64_t)sizeof(float) : half;
    memcpy(&key.conv, j->g, sizeof key.conv);
    bool gradient = kind == ONEDNN_CONV_WEIGHT_GRAD;
    key.threads = j->pieces == 1 && !gradient ? onednn_threads(j->context) : 1;
    int64_t samples = j->g->batch / j->pieces;
    j->most = j->pieces < j->context->threads ? j->pieces : j->context->threads;
    onednn_trim(j->context);
    for (int i = 0; i < 2; i++) {
        j->primitive[i] = NULL;
        if (i == 1 && j->g->batch % j->pieces == 0) continue;
        key.conv.batch = samples + i;
        tw_status status = onednn_get(j->context, &key, j->most, &j->primitive[i]);
        if (status) return status;
        /* One packed w serves both sizes of pieces. */
        if (i == 1 && !onednn_same_order(j->primitive[0], j->primitive[1]))
            return TW_ERR_UNSUPPORTED;
        j->packed_elements = onednn_packed_elements(j->primitive[i]);
        size_t bytes = onednn_scratch_bytes(j->primitive[i]);
        if (bytes > j->scratch_bytes) j->scratch_bytes = bytes;
    }
    j->copies = gradient ? j->pieces : 1;
    return TW_OK;
}

static size_t packed_bytes(const job *j) {
    return (size_t)j->copies * j->packed_elements * sizeof(float);
}

static size_t blocks_bytes(const job *j) {
    return (size_t)j->most * block_floats(j) * sizeof(float);
}

static tw_status take_memory(job *j) {
    j->packed = scratch_take(j->context, packed_bytes(j));
    j->scratch = scratch_take(j->context, (size_t)j->most * j->scratch_bytes);
    if (j->finished) j->blocks = scratch_take(j->context, blocks_bytes(j));
    return j->packed && j->scratch && (j->blocks || !j->finished) ? TW_OK : TW_ERR_MEMORY;
}

static tw_status run_job(job *j) {
    atomic_store(&j->slots, 0);
    atomic_store(&j->status, TW_OK);
    tw_parallel_for(j->context, j->pieces, 1, run_pieces, j);
    tw_status status = (tw_status)atomic_load(&j->status);
    if (!status) return TW_OK;
    return context_error(j->context, status, "oneDNN failed; it may lack memory");
}

/* What the library does not do, or what has nothing to sum: plain loops. */
static bool serves(const conv_geometry *g, const tw_signature *s) {
    tw_dtype dtype = s->operand[0].dtype, result = s->result[0].dtype;
    if (dtype != TW_F32 && (dtype != TW_BF16 || (result != TW_F32 && result != TW_BF16)))
        return false;
    bool dense = g->base_dilation[0] == 1 && g->base_dilation[1] == 1 && g->base_dilation[2] == 1;
    return dense && g->batch > 0 && g->in_channels > 0 && g->out_channels > 0 &&
           volume(g->in) > 0 && volume(g->out) > 0;
}

static int pieces_of(const conv_geometry *g) {
    if (g->batch < CONV_FEW_SAMPLES) return 1;
    return g->batch < MOST_PIECES ? (int)g->batch : MOST_PIECES;
}

/* ... each of which is finished: more, where they would be large. */
static int finished_pieces_of(const conv_geometry *g, onednn_kind kind) {
    double bytes = (double)g->batch * (double)sample_floats(g, kind) * sizeof(float);
    double pieces = ceil(bytes / CONV_FINISH_BYTES), least = pieces_of(g);
    if (pieces > (double)g->batch) pieces = (double)g->batch;
    if (pieces > MOST_FINISHED) pieces = MOST_FINISHED;
    return (int)(pieces > least ? pieces : least);
}

static int partials_of(const conv_geometry *g, const tw_signature *s) {
    int pieces = g->batch < MOST_PARTIALS ? (int)g->batch : MOST_PARTIALS;
    while (pieces > 1 && (double)pieces * rule_bytes(s->result[0]) > 64e6) pieces /= 2;
    return pieces;
}

/* Of a conv_bias. */
static bool has_relu(const tw_signature *s) { return s->attr[CONV_MORE].i == 1; } /* none, relu */

/* Of the transformed weights, or with `sums` of their gradient's pieces. */
static size_t winograd_weight_bytes(const conv_geometry *g, bool sums) {
    return (sums ? (size_t)winograd_pieces(g) : 1) * winograd_weight_floats(g) * sizeof(float);
}

/* ... of the threads: their blocks, and what they finish. */
static size_t winograd_block_bytes(const tw_context *context, const conv_geometry *g) {
    return (size_t)context->threads * winograd_block_floats(g) * sizeof(float);
}

static size_t winograd_finished_bytes(const tw_context *context, const conv_geometry *g,
                                      onednn_kind kind) {
    bool turned = kind == ONEDNN_CONV_INPUT_GRAD;
    return (size_t)context->threads * winograd_finished_floats(g, turned) * sizeof(float);
}

/* What Winograd's form takes; 0 where it does not serve. */
static size_t winograd_bytes(const tw_signature *s, const conv_geometry *g, onednn_kind kind,
                             bool finished) {
    bool sums = kind == ONEDNN_CONV_WEIGHT_GRAD;
    if (s->operand[0].dtype != TW_F32 || s->result[0].dtype != TW_F32) return 0;
    if (!(sums ? winograd_serves_weights : winograd_serves)(g)) return 0;
    return scratch_rounded(winograd_weight_bytes(g, sums)) +
           scratch_rounded(winograd_block_bytes(s->context, g)) +
           (finished ? scratch_rounded(winograd_finished_bytes(s->context, g, kind)) : 0);
}

/* Whether samples are finished by themselves: few are cut further, so that all threads have work. What threads hold of
 * Winograd's is less than half of the result. */
static bool finishes(const tw_signature *s, const conv_geometry *g, onednn_kind kind) {
    if (g->batch < CONV_FEW_SAMPLES) return false;
    if (!winograd_bytes(s, g, kind, false)) return true;
    double all = (double)g->batch * (double)sample_floats(g, kind) * sizeof(float);
    return 2 * (double)winograd_finished_bytes(s->context, g, kind) <= all;
}

static conv_geometry geometry_of(const tw_signature *s, onednn_kind kind) {
    switch (kind) {
    case ONEDNN_CONV_INPUT_GRAD:
        return conv_geometry_of(s->result[0], s->operand[1], s->operand[0], s->attr);
    case ONEDNN_CONV_WEIGHT_GRAD:
        return conv_geometry_of(s->operand[0], s->result[0], s->operand[1], s->attr);
    default: return conv_geometry_of(s->operand[0], s->operand[1], s->result[0], s->attr);
    }
}

static job job_of(const tw_signature *s, const conv_geometry *g, onednn_kind kind, bool finished) {
    job j = {.context = s->context, .g = g, .kind = kind, .finished = finished};
    j.bf16 = s->operand[0].dtype == TW_BF16;
    j.pieces = kind == ONEDNN_CONV_WEIGHT_GRAD ? partials_of(g, s)
               : finished                      ? finished_pieces_of(g, kind)
                                               : pieces_of(g);
    return j;
}

/* Where Winograd's form serves, the library is only asked for what is not finite. */
static tw_status workspace(const tw_signature *s, onednn_kind kind, bool finished, size_t *bytes) {
    conv_geometry g = geometry_of(s, kind);
    if (!serves(&g, s) || (finished && !finishes(s, &g, kind))) return TW_ERR_UNSUPPORTED;
    *bytes = winograd_bytes(s, &g, kind, finished);
    if (*bytes) return TW_OK;
    job j = job_of(s, &g, kind, finished);
    tw_status status = prepare(&j, kind == ONEDNN_CONV && s->n_operands > 2);
    if (status) return status;
    *bytes = onednn_result_bytes(s) + scratch_rounded(packed_bytes(&j)) +
             scratch_rounded((size_t)j.most * j.scratch_bytes) +
             (finished ? scratch_rounded(blocks_bytes(&j)) : 0) +
             onednn_reorder_bytes(j.primitive[0]);
    return TW_OK;
}

tw_status onednn_conv_workspace(const tw_signature *s, size_t *bytes) {
    return workspace(s, ONEDNN_CONV, false, bytes);
}

tw_status onednn_conv_input_grad_workspace(const tw_signature *s, size_t *bytes) {
    return workspace(s, ONEDNN_CONV_INPUT_GRAD, false, bytes);
}

tw_status onednn_conv_weight_grad_workspace(const tw_signature *s, size_t *bytes) {
    return workspace(s, ONEDNN_CONV_WEIGHT_GRAD, false, bytes);
}

static onednn_kind finished_kind(const tw_signature *s) {
    bool input = strcmp(s->op->name, "conv_input_grad") == 0;
    return input ? ONEDNN_CONV_INPUT_GRAD : ONEDNN_CONV;
}

tw_status onednn_conv_finished_workspace(const tw_signature *s, size_t *bytes) {
    return workspace(s, finished_kind(s), true, bytes);
}

static void rectify_range(void *argument, int64_t begin, int64_t end) {
    rectify((float *)argument + begin, end - begin);
}

static tw_status by_library(job *j) {
    bool whole = j->pieces == 1 && j->relu; /* one piece's relu is for all threads */
    if (whole) j->relu = false;
    tw_status status = prepare(j, j->bias != NULL);
    if (!status) status = take_memory(j);
    if (!status) status = onednn_pack(j->context, j->primitive[0], j->w, j->packed);
    if (!status) status = run_job(j);
    if (!status && whole) {
        int64_t elements = j->g->batch * volume(j->g->out) * j->g->out_channels;
        tw_parallel_for(j->context, elements, 1 << 14, rectify_range, (void *)(uintptr_t)j->y);
    }
    return status;
}

static tw_status run_winograd(tw_context *context, const conv_geometry *g, onednn_kind kind,
                              const winograd_arrays *arrays) {
    bool finite = kind == ONEDNN_CONV_WEIGHT_GRAD  ? winograd_weight_grad(context, g, arrays)
                  : kind == ONEDNN_CONV_INPUT_GRAD ? winograd_input_grad(context, g, arrays)
                                                   : winograd_conv(context, g, arrays);
    return finite ? TW_OK : TW_ERR_UNSUPPORTED;
}

/* TW_ERR_UNSUPPORTED, without a message, where the library has to do it: where the geometry is of
 * another kind, or a number is not finite. */
static tw_status by_winograd(const tw_kernel_call *call, const conv_geometry *g, onednn_kind kind,
                             winograd_arrays *arrays) {
    tw_context *context = call->signature.context;
    bool sums = kind == ONEDNN_CONV_WEIGHT_GRAD;
    if (!winograd_bytes(&call->signature, g, kind, arrays->finish != NULL))
        return TW_ERR_UNSUPPORTED;
    scratch_mark mark = scratch_save(context);
    arrays->weights = arrays->sums = scratch_take(context, winograd_weight_bytes(g, sums));
    arrays->blocks = scratch_take(context, winograd_block_bytes(context, g));
    arrays->result = arrays->finish
                         ? scratch_take(context, winograd_finished_bytes(context, g, kind))
                         : call->out[0];
    if (!arrays->weights || !arrays->blocks || !arrays->result) return TW_ERR_MEMORY;
    tw_status status = run_winograd(context, g, kind, arrays);
    if (status) scratch_restore(context, mark);
    return status;
}

tw_status onednn_conv(const tw_kernel_call *call) {
    const tw_signature *s = &call->signature;
    conv_geometry g = geometry_of(s, ONEDNN_CONV);
    if (!serves(&g, s)) return TW_ERR_UNSUPPORTED;
    winograd_arrays arrays = {.x = call->in[0], .w = call->in[1]};
    tw_status status = by_winograd(call, &g, ONEDNN_CONV, &arrays);
    if (status != TW_ERR_UNSUPPORTED) return status;
    job j = job_of(s, &g, ONEDNN_CONV, false);
    j.x = call->in[0];
    j.w = call->in[1];
    j.y = onednn_result(call);
    if (!j.y) return TW_ERR_MEMORY;
    status = by_library(&j);
    if (!status) onednn_finish(call, j.y);
    return status;
}

tw_status onednn_conv_input_grad(const tw_kernel_call *call) {
    const tw_signature *s = &call->signature;
    conv_geometry g = geometry_of(s, ONEDNN_CONV_INPUT_GRAD);
    if (!serves(&g, s)) return TW_ERR_UNSUPPORTED;
    winograd_arrays arrays = {.dy = call->in[0], .w = call->in[1]};
    tw_status status = by_winograd(call, &g, ONEDNN_CONV_INPUT_GRAD, &arrays);
    if (status != TW_ERR_UNSUPPORTED) return status;
    job j = job_of(s, &g, ONEDNN_CONV_INPUT_GRAD, false);
    j.x = onednn_result(call);
    if (!j.x) return TW_ERR_MEMORY;
    j.w = call->in[1];
    j.y = call->in[0];
    status = by_library(&j);
    if (!status) onednn_finish(call, j.x);
    return status;
}

tw_status onednn_conv_finished(const tw_kernel_call *call, const conv_finish *finish) {
    const tw_signature *s = &call->signature;
    onednn_kind kind = finished_kind(s);
    conv_geometry g = geometry_of(s, kind);
    if (!serves(&g, s) || !finishes(s, &g, kind)) return TW_ERR_UNSUPPORTED;
    const void *bias = s->n_operands > 2 ? call->in[2] : NULL;
    bool relu = bias && has_relu(s);
    winograd_arrays arrays = {.w = call->in[1], .bias = bias, .relu = relu, .finish = finish};
    *(kind == ONEDNN_CONV ? &arrays.x : &arrays.dy) = call->in[0];
    tw_status status = by_winograd(call, &g, kind, &arrays);
    if (status != TW_ERR_UNSUPPORTED) return status;
    job j = job_of(s, &g, kind, true);
    j.finish = finish;
    *(kind == ONEDNN_CONV ? &j.x : &j.y) = call->in[0];
    j.w = call->in[1];
    j.bias = bias;
    j.relu = relu;
    return by_library(&j);
}

/* Elements begin..end-1 of the sum of all pieces' weight gradients, left in the first. */
static void add_partials(void *argument, int64_t begin, int64_t end) {
    const job *j = argument;
    onednn_add_tree(j->packed, j->pieces, j->packed_elements, begin, end);
}

tw_status onednn_conv_weight_grad(const tw_kernel_call *call) {
    const tw_signature *s = &call->signature;
    conv_geometry g = geometry_of(s, ONEDNN_CONV_WEIGHT_GRAD);
    if (!serves(&g, s)) return TW_ERR_UNSUPPORTED;
    winograd_arrays arrays = {.x = call->in[0], .dy = call->in[1]};
    tw_status status = by_winograd(call, &g, ONEDNN_CONV_WEIGHT_GRAD, &arrays);
    if (status != TW_ERR_UNSUPPORTED) return status;
    job j = job_of(s, &g, ONEDNN_CONV_WEIGHT_GRAD, false);
    j.x = call->in[0];
    j.y = call->in[1];
    status = prepare(&j, false);
    if (!status) status = take_memory(&j);
    if (!status) status = run_job(&j);
    if (status) return status;
    tw_parallel_for(s->context, (int64_t)j.packed_elements, 4096, add_partials, &j);
    float *w = onednn_result(call);
    if (!w) return TW_ERR_MEMORY;
    status = onednn_unpack(s->context, j.primitive[0], j.packed, w);
    if (!status) onednn_finish(call, w);
    return status;
}

/* Without the library: conv's plain loops, then bias and activation row by row. */
typedef struct rows {
    int64_t channels;
    bool relu, f32;
    const void *bias;
    void *y;
} rows;

#define DEFINE_ADD_BIAS(T)                                                                         \
    static void add_bias_##T(const rows *r, int64_t begin, int64_t end) {                          \
        for (int64_t row = begin; row < end; row++) {                                              \
            T *restrict y = (T *)r->y + row * r->channels;                                         \
            const T *restrict bias = r->bias;                                                      \
            for (int64_t c = 0; c < r->channels; c++) {                                            \
                const T sum = y[c] + bias[c];                                                      \
                y[c] = r->relu && sum < 0 ? 0 : sum;                                               \
            }                                                                                      \
        }                                                                                          \
    }
DEFINE_ADD_BIAS(float)
DEFINE_ADD_BIAS(double)

static void add_bias(void *argument, int64_t begin, int64_t end) {
    const rows *r = argument;
    if (r->f32)
        add_bias_float(r, begin, end);
    else
        add_bias_double(r, begin, end);
}

tw_status onednn_conv_bias(const tw_kernel_call *call) {
    const tw_signature *s = &call->signature;
    tw_dtype dtype = s->operand[0].dtype;
    bool relu = has_relu(s);
    conv_geometry g = geometry_of(s, ONEDNN_CONV);
    tw_status status = TW_ERR_UNSUPPORTED;
    winograd_arrays arrays = {.x = call->in[0], .w = call->in[1], .bias = call->in[2]};
    arrays.relu = relu;
    if (serves(&g, s)) status = by_winograd(call, &g, ONEDNN_CONV, &arrays);
    if (status != TW_ERR_UNSUPPORTED) return status;
    if (serves(&g, s) && s->result[0].dtype == TW_F32) { /* else its bias is bf16 */
        job j = job_of(s, &g, ONEDNN_CONV, false);
        j.relu = relu;
        j.x = call->in[0];
        j.w = call->in[1];
        j.bias = call->in[2];
        j.y = call->out[0];
        status = by_library(&j);
    }
    if (status != TW_ERR_UNSUPPORTED || dtype == TW_BF16 || dtype == TW_F16) return status;
    conv_plain(s->context, &g, dtype, call->in[0], call->in[1], call->out[0]);
    rows r = {g.out_channels, relu, dtype == TW_F32, call->in[2], call->out[0]};
    tw_parallel_for(s->context, g.batch * volume(g.out), 1 + 16384 / (g.out_channels + 1), add_bias,
                    &r);
    return TW_OK;
}
