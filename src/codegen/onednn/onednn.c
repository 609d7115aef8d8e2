/* The cache of primitives and all calls of oneDNN (2.x). */
#include "codegen/onednn/onednn.h"

#include <omp.h>
#include <oneapi/dnnl/dnnl.h>
#include <string.h>

#include "base/context.h"
#include "base/half.h"
#include "base/parallel.h"
#include "base/scratch.h"
#include "base/vector.h"
#include "ops/rules.h"

enum { X, W, Y, BIAS, SCRATCHPAD, ARGUMENTS };
enum { MOST_PRIMITIVES = 1024 };

/* Arguments of one execution at a time. */
typedef struct slot {
    dnnl_memory_t memory[ARGUMENTS];
    dnnl_stream_t stream;
} slot;

struct onednn_primitive {
    onednn_key key;
    dnnl_primitive_t primitive; /* NULL: not served */
    dnnl_primitive_t reorder;   /* NULL: w is used as it is */
    dnnl_memory_t plain, packed, reorder_scratchpad;
    dnnl_memory_desc_t desc[ARGUMENTS];
    VECTOR(slot) slots;
    size_t reorder_bytes;
};

typedef struct cache {
    dnnl_engine_t engine;
    VECTOR(onednn_primitive *) entries;
} cache;

static void end_slot(slot *s) {
    for (int i = 0; i < ARGUMENTS; i++) dnnl_memory_destroy(s->memory[i]);
    dnnl_stream_destroy(s->stream);
}

static void end_primitive(tw_context *context, onednn_primitive *p) {
    for (size_t i = 0; i < p->slots.count; i++) end_slot(&p->slots.at[i]);
    VECTOR_FREE(context, &p->slots);
    dnnl_memory_destroy(p->plain);
    dnnl_memory_destroy(p->packed);
    dnnl_memory_destroy(p->reorder_scratchpad);
    dnnl_primitive_destroy(p->reorder);
    dnnl_primitive_destroy(p->primitive);
    context_release(context, p);
}

static void end_entries(tw_context *context, cache *c) {
    for (size_t i = 0; i < c->entries.count; i++) end_primitive(context, c->entries.at[i]);
    c->entries.count = 0;
}

static void cache_free(tw_context *context) {
    cache *c = context->onednn;
    end_entries(context, c);
    VECTOR_FREE(context, &c->entries);
    dnnl_engine_destroy(c->engine);
    context_release(context, c);
    context->onednn = NULL;
}

static cache *cache_of(tw_context *context) {
    if (context->onednn) return context->onednn;
    cache *c = context_allocate(context, 1, sizeof *c);
    if (!c) return NULL;
    if (dnnl_engine_create(&c->engine, dnnl_cpu, 0) != dnnl_success) {
        context_release(context, c);
        context_error(context, TW_ERR_MEMORY, "oneDNN gives no CPU engine");
        return NULL;
    }
    context->onednn = c;
    context->onednn_free = cache_free;
    return c;
}

static int64_t result_elements(const tw_signature *signature) {
    tw_shape shape = signature->result[0].shape;
    return rule_product(shape, 0, shape.rank);
}

size_t onednn_result_bytes(const tw_signature *signature) {
    if (signature->result[0].dtype != TW_BF16) return 0;
    return scratch_rounded((size_t)result_elements(signature) * sizeof(float));
}

void *onednn_result(const tw_kernel_call *call) {
    if (call->signature.result[0].dtype != TW_BF16) return call->out[0];
    return scratch_take(call->signature.context,
                        (size_t)result_elements(&call->signature) * sizeof(float));
}

typedef struct rounding {
    const float *from;
    uint16_t *to;
} rounding;

static void round_range(void *argument, int64_t begin, int64_t end) {
    const rounding *r = argument;
    half_narrow(TW_BF16, r->from + begin, end - begin, r->to + begin);
}

void onednn_finish(const tw_kernel_call *call, const void *result) {
    if (call->signature.result[0].dtype != TW_BF16) return;
    rounding work = {result, call->out[0]};
    tw_parallel_for(call->signature.context, result_elements(&call->signature), 16384, round_range,
                    &work);
}

void onednn_add_tree(float *arrays, int count, size_t elements, int64_t begin, int64_t end) {
    for (int step = 1; step < count; step *= 2) {
        for (int i = 0; i + step < count; i += 2 * step) {
            float *restrict to = arrays + (size_t)i * elements;
            const float *restrict from = to + (size_t)step * elements;
            for (int64_t e = begin; e < end; e++) to[e] += from[e];
        }
    }
}

int onednn_threads(const tw_context *context) {
#ifdef TW_THREADS_OPENMP
    return context->threads;
#else
    (void)context; /* the build for the thread sanitizer, which OpenMP would mislead */
    return 1;
#endif
}

/* The library asks OpenMP for the number of threads, both when it makes a primitive and when it
 * runs one. Gives the number to go back to. */
static int use_threads(int threads) {
    int before = omp_get_max_threads();
    if (before != threads) omp_set_num_threads(threads);
    return before;
}

/* Spatial axes that the library is told of: two, unless the outermost of three does something. */
static int spatial_axes(const conv_geometry *g) {
    bool flat = g->in[0] == 1 && g->out[0] == 1 && g->window[0] == 1 && !g->low[0] && !g->high[0];
    return flat ? 2 : 3;
}

/* Of bf16 convolutions the operands are bf16 and the result, that of primitive `of`, is f32. */
static dnnl_data_type_t type_of(const onednn_key *key, onednn_kind of) {
    return key->bf16 && key->kind != of ? dnnl_bf16 : dnnl_f32;
}

/* (batch, space..., channels) as the library numbers axes: batch, channels, space. */
static dnnl_status_t activation_desc(int64_t batch, int64_t channels, const int64_t *space,
                                     int axes, dnnl_data_type_t type, dnnl_memory_desc_t *out) {
    dnnl_dims_t extent = {batch, channels}, stride = {0, 1};
    int64_t step = channels;
    for (int i = axes - 1; i >= 0; i--) {
        extent[i + 2] = space[i];
        stride[i + 2] = step;
        step *= space[i];
    }
    stride[0] = step;
    return dnnl_memory_desc_init_by_strides(out, axes + 2, extent, type, stride);
}

/* (space..., in of a group, out) as [group,] out, in, space; in the order that the library likes
 * if `any`. */
static dnnl_status_t weight_desc(const conv_geometry *g, int axes, bool any, dnnl_data_type_t type,
                                 dnnl_memory_desc_t *out) {
    int lead = g->groups > 1;
    int64_t inputs = g->in_channels / g->groups, outputs = g->out_channels / g->groups;
    dnnl_dims_t extent = {g->groups}, stride = {outputs};
    extent[lead] = outputs;
    stride[lead] = 1;
    extent[lead + 1] = inputs;
    stride[lead + 1] = g->out_channels;
    int64_t step = inputs * g->out_channels;
    for (int i = axes - 1; i >= 0; i--) {
        extent[lead + 2 + i] = g->window[3 - axes + i];
        stride[lead + 2 + i] = step;
        step *= extent[lead + 2 + i];
    }
    if (any) {
        return dnnl_memory_desc_init_by_tag(out, lead + 2 + axes, extent, type,
                                            dnnl_format_tag_any);
    }
    return dnnl_memory_desc_init_by_strides(out, lead + 2 + axes, extent, type, stride);
}

/* The library's lists are longer than ours. */
static void fill_dims(dnnl_dims_t out, const int64_t *from, int n) {
    memset(out, 0, sizeof(dnnl_dims_t));
    memcpy(out, from, (size_t)n * sizeof *from);
}

/* Does the library have better than its reference loops for this? */
static bool is_fast(const_dnnl_primitive_desc_t desc) {
    const char *name = "";
    dnnl_primitive_desc_query(desc, dnnl_query_impl_info_str, 0, &name);
    return !strstr(name, "ref");
}

/* Attributes of every primitive: its scratchpad is ours, as one may run on several threads. */
static dnnl_primitive_attr_t own_scratchpad(void) {
    dnnl_primitive_attr_t attr;
    if (dnnl_primitive_attr_create(&attr) != dnnl_success) return NULL;
    dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user);
    return attr;
}

static dnnl_memory_desc_t queried(const_dnnl_primitive_desc_t desc, dnnl_query_t what) {
    const dnnl_memory_desc_t *found = dnnl_primitive_desc_query_md(desc, what, 0);
    dnnl_memory_desc_t none;
    memset(&none, 0, sizeof none);
    return found ? *found : none;
}

/* Makes p->primitive from a description; takes `desc`. */
static bool finish(onednn_primitive *p, dnnl_primitive_desc_t desc) {
    bool ok = is_fast(desc) && dnnl_primitive_create(&p->primitive, desc) == dnnl_success;
    if (ok) p->desc[SCRATCHPAD] = queried(desc, dnnl_query_scratchpad_md);
    dnnl_primitive_desc_destroy(desc);
    return ok;
}

static bool make_matmul(onednn_primitive *p, const cache *c) {
    const matrix_product *m = &p->key.matmul;
    int rank = (int)m->rank;
    dnnl_dims_t x, w, y, x_stride, w_stride, y_stride;
    fill_dims(x, m->x_extent, rank);
    fill_dims(w, m->w_extent, rank);
    fill_dims(y, m->y_extent, rank);
    fill_dims(x_stride, m->x_stride, rank);
    fill_dims(w_stride, m->w_stride, rank);
    fill_dims(y_stride, m->y_stride, rank);
    dnnl_matmul_desc_t desc;
    dnnl_data_type_t type = p->key.bf16 ? dnnl_bf16 : dnnl_f32;
    if (dnnl_memory_desc_init_by_strides(&p->desc[X], rank, x, type, x_stride) ||
        dnnl_memory_desc_init_by_strides(&p->desc[W], rank, w, type, w_stride) ||
        dnnl_memory_desc_init_by_strides(&p->desc[Y], rank, y, dnnl_f32, y_stride) ||
        dnnl_matmul_desc_init(&desc, &p->desc[X], &p->desc[W], NULL, &p->desc[Y]))
        return false;
    dnnl_primitive_attr_t attr = own_scratchpad();
    dnnl_primitive_desc_t made = NULL;
    if (!attr) return false;
    dnnl_status_t status = dnnl_primitive_desc_create(&made, &desc, attr, c->engine, NULL);
    dnnl_primitive_attr_destroy(attr);
    return status == dnnl_success && finish(p, made);
}

/* Creates the reorder between (space, in, out) and the order of desc[W], unless they are one. */
static bool make_reorder(onednn_primitive *p, const cache *c) {
    dnnl_memory_desc_t plain;
    dnnl_data_type_t type = type_of(&p->key, ONEDNN_CONV_WEIGHT_GRAD);
    if (weight_desc(&p->key.conv, spatial_axes(&p->key.conv), false, type, &plain)) return false;
    if (dnnl_memory_desc_equal(&plain, &p->desc[W])) return true;
    bool back = p->key.kind == ONEDNN_CONV_WEIGHT_GRAD;
    const dnnl_memory_desc_t *from = back ? &p->desc[W] : &plain, *to = back ? &plain : &p->desc[W];
    dnnl_primitive_attr_t attr = own_scratchpad();
    dnnl_primitive_desc_t desc = NULL;
    if (!attr) return false;
    dnnl_status_t status =
        dnnl_reorder_primitive_desc_create(&desc, from, c->engine, to, c->engine, attr);
    dnnl_primitive_attr_destroy(attr);
    if (status) return false;
    dnnl_memory_desc_t scratchpad = queried(desc, dnnl_query_scratchpad_md);
    status = dnnl_primitive_create(&p->reorder, desc);
    dnnl_primitive_desc_destroy(desc);
    p->reorder_bytes = dnnl_memory_desc_get_size(&scratchpad);
    return !status && !dnnl_memory_create(&p->plain, &plain, c->engine, DNNL_MEMORY_NONE) &&
           !dnnl_memory_create(&p->packed, &p->desc[W], c->engine, DNNL_MEMORY_NONE) &&
           !dnnl_memory_create(&p->reorder_scratchpad, &scratchpad, c->engine, DNNL_MEMORY_NONE);
}

/* desc[]: of x, w and y. */
static dnnl_status_t conv_desc(const onednn_primitive *p, onednn_kind kind, int axes,
                               const dnnl_memory_desc_t *desc, dnnl_convolution_desc_t *out) {
    const conv_geometry *g = &p->key.conv;
    int skip = 3 - axes;
    dnnl_dims_t stride, low, high, dilation = {0};
    fill_dims(stride, g->stride + skip, axes);
    fill_dims(low, g->low + skip, axes);
    fill_dims(high, g->high + skip, axes);
    for (int i = 0; i < axes; i++) dilation[i] = g->dilation[skip + i] - 1;
    const dnnl_memory_desc_t *x = &desc[X], *w = &desc[W], *y = &desc[Y];
    if (kind == ONEDNN_CONV_INPUT_GRAD) {
        return dnnl_dilated_convolution_backward_data_desc_init(out, dnnl_convolution_direct, x, w,
                                                                y, stride, dilation, low, high);
    }
    if (kind == ONEDNN_CONV_WEIGHT_GRAD) {
        return dnnl_dilated_convolution_backward_weights_desc_init(
            out, dnnl_convolution_direct, x, w, NULL, y, stride, dilation, low, high);
    }
    return dnnl_dilated_convolution_forward_desc_init(
        out, dnnl_forward_training, dnnl_convolution_direct, x, w,
        p->key.bias ? &p->desc[BIAS] : NULL, y, stride, dilation, low, high);
}

/* x, w (in any order) and y for a primitive of this kind. */
static bool conv_memory(const onednn_key *key, onednn_kind kind, dnnl_memory_desc_t *desc) {
    onednn_key as = *key;
    const conv_geometry *g = &key->conv;
    int axes = spatial_axes(g), skip = 3 - axes;
    as.kind = kind;
    return !activation_desc(g->batch, g->in_channels, g->in + skip, axes,
                            type_of(&as, ONEDNN_CONV_INPUT_GRAD), &desc[X]) &&
           !activation_desc(g->batch, g->out_channels, g->out + skip, axes,
                            type_of(&as, ONEDNN_CONV), &desc[Y]) &&
           !weight_desc(g, axes, true, type_of(&as, ONEDNN_CONV_WEIGHT_GRAD), &desc[W]);
}

static bool make_conv(onednn_primitive *p, const cache *c) {
    const conv_geometry *g = &p->key.conv;
    onednn_kind kind = p->key.kind;
    int axes = spatial_axes(g);
    dnnl_memory_desc_t hint[Y + 1];
    dnnl_dims_t bias = {g->out_channels}, one = {1};
    if (!conv_memory(&p->key, kind, p->desc) || !conv_memory(&p->key, ONEDNN_CONV, hint) ||
        (p->key.bias && dnnl_memory_desc_init_by_strides(&p->desc[BIAS], 1, bias, dnnl_f32, one)))
        return false;
    dnnl_primitive_attr_t attr = own_scratchpad();
    dnnl_primitive_desc_t forward = NULL, made = NULL;
    dnnl_convolution_desc_t desc;
    if (!attr) return false;
    dnnl_status_t status = conv_desc(p, ONEDNN_CONV, axes, hint, &desc);
    if (!status) status = dnnl_primitive_desc_create(&forward, &desc, attr, c->engine, NULL);
    if (!status && kind == ONEDNN_CONV) {
        made = forward;
        forward = NULL;
    } else if (!status) {
        status = conv_desc(p, kind, axes, p->desc, &desc);
        if (!status) status = dnnl_primitive_desc_create(&made, &desc, attr, c->engine, forward);
    }
    dnnl_primitive_attr_destroy(attr);
    if (forward) dnnl_primitive_desc_destroy(forward);
    if (status) return false;
    p->desc[W] = queried(made, kind == ONEDNN_CONV_WEIGHT_GRAD ? dnnl_query_diff_weights_md
                                                               : dnnl_query_weights_md);
    return finish(p, made) && make_reorder(p, c);
}

static tw_status add_slots(tw_context *context, const cache *c, onednn_primitive *p, int slots) {
    while ((int)p->slots.count < slots) {
        slot *s = VECTOR_PUSH(context, &p->slots);
        if (!s) return TW_ERR_MEMORY;
        bool ok =
            dnnl_stream_create(&s->stream, c->engine, dnnl_stream_default_flags) == dnnl_success;
        for (int i = 0; i < ARGUMENTS && ok; i++) {
            if (i == BIAS && !p->key.bias) continue;
            ok = dnnl_memory_create(&s->memory[i], &p->desc[i], c->engine, DNNL_MEMORY_NONE) ==
                 dnnl_success;
        }
        if (ok) continue;
        end_slot(s);
        p->slots.count--;
        return context_error(context, TW_ERR_MEMORY, "oneDNN is out of memory");
    }
    return TW_OK;
}

static onednn_primitive *make_entry(tw_context *context, cache *c, const onednn_key *key) {
    onednn_primitive *p = context_allocate(context, 1, sizeof *p);
    onednn_primitive **place = p ? VECTOR_PUSH(context, &c->entries) : NULL;
    if (!place) {
        context_release(context, p);
        return NULL;
    }
    *place = p;
    memcpy(&p->key, key, sizeof *key);
    int before = use_threads(key->threads);
    bool made = key->kind == ONEDNN_MATMUL ? make_matmul(p, c) : make_conv(p, c);
    use_threads(before);
    if (!made) {
        dnnl_primitive_destroy(p->primitive);
        p->primitive = NULL;
    }
    return p;
}

tw_status onednn_get(tw_context *context, const onednn_key *key, int slots,
                     onednn_primitive **out) {
    cache *c = cache_of(context);
    if (!c) return TW_ERR_MEMORY;
    onednn_primitive *found = NULL;
    for (size_t i = 0; i < c->entries.count && !found; i++) {
        onednn_primitive *p = c->entries.at[i];
        if (memcmp(&p->key, key, sizeof *key) == 0) found = p;
    }
    if (!found) found = make_entry(context, c, key);
    if (!found) return TW_ERR_MEMORY;
    if (!found->primitive) return TW_ERR_UNSUPPORTED;
    if (key->threads > 1) parallel_by_openmp(context);
    *out = found;
    return add_slots(context, c, found, slots);
}

void onednn_trim(tw_context *context) {
    cache *c = context->onednn;
    if (c && c->entries.count >= MOST_PRIMITIVES) end_entries(context, c);
}

bool onednn_same_order(const onednn_primitive *a, const onednn_primitive *b) {
    return dnnl_memory_desc_equal(&a->desc[W], &b->desc[W]);
}

size_t onednn_packed_elements(const onednn_primitive *p) {
    return (dnnl_memory_desc_get_size(&p->desc[W]) + sizeof(float) - 1) / sizeof(float);
}

size_t onednn_scratch_bytes(const onednn_primitive *p) {
    size_t bytes = dnnl_memory_desc_get_size(&p->desc[SCRATCHPAD]);
    return (bytes + 127) / 64 * 64; /* each on cache lines of its own */
}

size_t onednn_reorder_bytes(const onednn_primitive *p) {
    return p->reorder ? scratch_rounded(p->reorder_bytes + 1) : 0;
}

static tw_status execute(dnnl_primitive_t primitive, int threads, dnnl_stream_t stream, int n,
                         const dnnl_exec_arg_t *arguments) {
    int before = use_threads(threads);
    dnnl_status_t status = dnnl_primitive_execute(primitive, stream, n, arguments);
    if (!status) status = dnnl_stream_wait(stream);
    use_threads(before);
    return status ? TW_ERR_MEMORY : TW_OK;
}

static void set_data(dnnl_memory_t memory, const void *data) {
    dnnl_memory_set_data_handle(memory, (void *)(uintptr_t)data);
}

static tw_status reorder(tw_context *context, onednn_primitive *p, const void *w,
                         const void *packed) {
    bool back = p->key.kind == ONEDNN_CONV_WEIGHT_GRAD;
    size_t bytes = dnnl_memory_desc_get_size(&p->desc[W]);
    if (!p->reorder) {
        const void *from = back ? packed : w, *to = back ? w : packed;
        memcpy((void *)(uintptr_t)to, from, bytes);
        return TW_OK;
    }
    void *scratchpad = scratch_take(context, p->reorder_bytes + 1);
    if (!scratchpad) return TW_ERR_MEMORY;
    set_data(p->plain, w);
    set_data(p->packed, packed);
    set_data(p->reorder_scratchpad, scratchpad);
    dnnl_exec_arg_t list[] = {{DNNL_ARG_FROM, back ? p->packed : p->plain},
                              {DNNL_ARG_TO, back ? p->plain : p->packed},
                              {DNNL_ARG_SCRATCHPAD, p->reorder_scratchpad}};
    return execute(p->reorder, p->key.threads, p->slots.at[0].stream, 3, list);
}

tw_status onednn_pack(tw_context *context, onednn_primitive *p, const void *w, float *packed) {
    return reorder(context, p, w, packed);
}
tw_status onednn_unpack(tw_context *context, onednn_primitive *p, const float *packed, float *w) {
    return reorder(context, p, w, packed);
}

tw_status onednn_run(onednn_primitive *p, int slot_index, const onednn_arrays *arrays) {
    static const int names[][3] = {
        [ONEDNN_MATMUL] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST},
        [ONEDNN_CONV] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST},
        [ONEDNN_CONV_INPUT_GRAD] = {DNNL_ARG_DIFF_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DIFF_DST},
        [ONEDNN_CONV_WEIGHT_GRAD] = {DNNL_ARG_SRC, DNNL_ARG_DIFF_WEIGHTS, DNNL_ARG_DIFF_DST},
    };
    slot *s = &p->slots.at[slot_index];
    const int *name = names[p->key.kind];
    set_data(s->memory[X], arrays->x);
    set_data(s->memory[W], arrays->w);
    set_data(s->memory[Y], arrays->y);
    set_data(s->memory[SCRATCHPAD], arrays->scratch);
    dnnl_exec_arg_t list[ARGUMENTS] = {{name[X], s->memory[X]},
                                       {name[W], s->memory[W]},
                                       {name[Y], s->memory[Y]},
                                       {DNNL_ARG_SCRATCHPAD, s->memory[SCRATCHPAD]}};
    int n = 4;
    if (p->key.bias) {
        set_data(s->memory[BIAS], arrays->bias);
        list[n++] = (dnnl_exec_arg_t){DNNL_ARG_BIAS, s->memory[BIAS]};
    }
    return execute(p->primitive, p->key.threads, s->stream, n, list);
}
