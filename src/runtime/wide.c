/* Calls with f16 and bf16 operands and results as calls with f32 or f64 ones. */
#include "runtime/wide.h"

#include <string.h>

#include "base/context.h"
#include "base/half.h"
#include "base/parallel.h"
#include "ir/attribute.h"
#include "ir/dimension.h"
#include "ir/graph.h"
#include "runtime/tensor.h"

typedef struct conversion {
    tw_dtype from, to;
    const void *in;
    void *out;
} conversion;

/* Elements begin..end-1. */
static void convert_range(void *argument, int64_t begin, int64_t end) {
    const conversion *c = argument;
    const uint16_t *half = c->in;
    if (dtype_half(c->from) && c->to == TW_F32) {
        half_widen(c->from, half + begin, 1, end - begin, (float *)c->out + begin);
    } else if (c->from == TW_F32 && dtype_half(c->to)) {
        half_narrow(c->to, (const float *)c->in + begin, end - begin, (uint16_t *)c->out + begin);
    } else {
        for (int64_t i = begin; i < end; i++)
            element_write(c->to, c->out, i, element_read(c->from, c->in, i));
    }
}

static void convert(tw_context *context, int64_t elements, conversion c) {
    tw_parallel_for(context, elements, 16384, convert_range, &c);
}

bool wide_needed(const tw_signature *signature) {
    for (int i = 0; i < signature->n_operands; i++)
        if (dtype_half(signature->operand[i].dtype)) return true;
    for (int i = 0; i < signature->n_results; i++)
        if (dtype_half(signature->result[i].dtype)) return true;
    return false;
}

/* f64 where there are other floats and all of them are, else f32. */
static tw_dtype wide_dtype(const tw_signature *signature) {
    bool f32 = false, f64 = false;
    for (int i = 0; i < signature->n_operands + signature->n_results; i++) {
        int result = i - signature->n_operands;
        tw_dtype dtype = result < 0 ? signature->operand[i].dtype : signature->result[result].dtype;
        f32 = f32 || dtype == TW_F32;
        f64 = f64 || dtype == TW_F64;
    }
    return f64 && !f32 ? TW_F64 : TW_F32;
}

void wide_attributes(const tw_operator *op, tw_dtype dtype, tw_attr *attr) {
    for (int i = 0; op->attributes && op->attributes[i].name; i++)
        if (op->attributes[i].kind == TW_ATTR_DTYPE && dtype_half((tw_dtype)attr[i].i))
            attr[i].i = dtype;
}

/* Memory for the elements of a type; NULL when it is out. */
static void *room_for(tw_context *context, tw_type type) {
    size_t bytes;
    if (!type_bytes(type, &bytes)) return NULL;
    return context_allocate_aligned(context, bytes ? bytes : 1);
}

static tw_status widen_operand(wide_call *wide, const tw_kernel_call *call, int i, tw_dtype dtype) {
    tw_context *context = call->signature.context;
    tw_type from = call->signature.operand[i];
    wide->operand[i] = from;
    wide->in[i] = call->in[i];
    if (!dtype_half(from.dtype) || !call->in[i]) return TW_OK;
    wide->operand[i].dtype = dtype;
    wide->held[i] = room_for(context, wide->operand[i]);
    if (!wide->held[i]) return TW_ERR_MEMORY;
    wide->in[i] = wide->held[i];
    convert(context, shape_elements(from.shape),
            (conversion){from.dtype, dtype, call->in[i], wide->held[i]});
    return TW_OK;
}

static tw_status widen_result(wide_call *wide, const tw_kernel_call *call, int i, tw_dtype dtype) {
    wide->result[i] = call->signature.result[i];
    wide->out[i] = call->out[i];
    if (!dtype_half(wide->result[i].dtype)) return TW_OK;
    wide->result[i].dtype = dtype;
    wide->out[i] = room_for(call->signature.context, wide->result[i]);
    wide->held[TW_MAX_OPERANDS + i] = wide->out[i];
    return wide->out[i] ? TW_OK : TW_ERR_MEMORY;
}

tw_status wide_begin(wide_call *wide, const tw_kernel_call *call) {
    const tw_signature *s = &call->signature;
    memset(wide, 0, sizeof *wide);
    wide->call = (tw_kernel_call){*s, wide->in, wide->out};
    if (s->n_operands > TW_MAX_OPERANDS)
        return tw_refuse(s, TW_ERR_UNSUPPORTED, "more than %d operands of f16 or bf16",
                         TW_MAX_OPERANDS);
    size_t attrs = (size_t)operator_attr_count(s->op);
    wide->attr = context_allocate(s->context, attrs + 1, sizeof *wide->attr);
    if (!wide->attr) return TW_ERR_MEMORY;
    if (attrs) memcpy(wide->attr, s->attr, attrs * sizeof *wide->attr);
    tw_dtype dtype = wide_dtype(s);
    wide_attributes(s->op, dtype, wide->attr);
    wide->call.signature.operand = wide->operand;
    wide->call.signature.result = wide->result;
    wide->call.signature.attr = wide->attr;
    tw_status status = TW_OK;
    for (int i = 0; i < s->n_operands && !status; i++) status = widen_operand(wide, call, i, dtype);
    for (int i = 0; i < s->n_results && !status; i++) status = widen_result(wide, call, i, dtype);
    return status;
}

void wide_round(const wide_call *wide, const tw_kernel_call *call) {
    const tw_signature *s = &call->signature;
    for (int i = 0; i < s->n_results; i++) {
        if (!wide->held[TW_MAX_OPERANDS + i]) continue;
        convert(
            s->context, shape_elements(s->result[i].shape),
            (conversion){wide->result[i].dtype, s->result[i].dtype, wide->out[i], call->out[i]});
    }
}

void wide_end(wide_call *wide) {
    tw_context *context = wide->call.signature.context;
    for (int i = 0; i < TW_MAX_OPERANDS + TW_MAX_RESULTS; i++)
        if (wide->held[i]) context_release_aligned(context, wide->held[i]);
    context_release(context, wide->attr);
}

tw_tensor *wide_tensor(const tw_tensor *from, tw_dtype dtype) {
    tw_context *context = from->object.context;
    tw_tensor *to = tensor_new(context, (tw_type){dtype, from->type.shape});
    if (!to) return NULL;
    convert(context, shape_elements(from->type.shape),
            (conversion){from->type.dtype, dtype, from->data, to->data});
    return to;
}
