/* Calls with f16 and bf16 operands and results as calls with f32 or f64 ones. */
#include "runtime/wide.h"

#include <string.h>

#include "base/context.h"
#include "base/half.h"
#include "base/parallel.h"
#include "base/scratch.h"
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

/* The type that a value of the call has in the wide one. */
static tw_type widened(tw_type type, tw_dtype dtype) {
    if (dtype_half(type.dtype)) type.dtype = dtype;
    return type;
}

tw_status wide_signature(wide_call *wide, const tw_signature *s, size_t *bytes) {
    memset(wide, 0, sizeof *wide);
    if (s->n_operands > TW_MAX_OPERANDS)
        return tw_refuse(s, TW_ERR_UNSUPPORTED, "more than %d operands of f16 or bf16",
                         TW_MAX_OPERANDS);
    size_t attrs = (size_t)operator_attr_count(s->op), one;
    tw_attr *attr = scratch_take(s->context, (attrs + 1) * sizeof *attr);
    if (!attr) return TW_ERR_MEMORY;
    if (attrs) memcpy(attr, s->attr, attrs * sizeof *attr);
    tw_dtype dtype = wide_dtype(s);
    wide_attributes(s->op, dtype, attr);
    *bytes = scratch_rounded((attrs + 1) * sizeof *attr);
    for (int i = 0; i < s->n_operands + s->n_results; i++) {
        int r = i - s->n_operands;
        tw_type from = r < 0 ? s->operand[i] : s->result[r], to = widened(from, dtype);
        *(r < 0 ? &wide->operand[i] : &wide->result[r]) = to;
        if (!dtype_half(from.dtype)) continue;
        if (!type_bytes(to, &one) || __builtin_add_overflow(*bytes, one + 64, bytes))
            return context_error(s->context, TW_ERR_MEMORY, "wide copies do not fit in memory");
    }
    wide->call = (tw_kernel_call){*s, wide->in, wide->out, NULL};
    wide->call.signature.operand = wide->operand;
    wide->call.signature.result = wide->result;
    wide->call.signature.attr = attr;
    return TW_OK;
}

/* Memory for the elements of a type; NULL when it is out. */
static void *room_for(tw_context *context, tw_type type) {
    size_t bytes;
    return type_bytes(type, &bytes) ? scratch_take(context, bytes) : NULL;
}

static tw_status widen_operand(wide_call *wide, const tw_kernel_call *call, int i) {
    tw_context *context = call->signature.context;
    tw_type from = call->signature.operand[i];
    wide->in[i] = call->in[i];
    if (!dtype_half(from.dtype) || !call->in[i]) return TW_OK;
    void *copy = room_for(context, wide->operand[i]);
    if (!copy) return TW_ERR_MEMORY;
    wide->in[i] = copy;
    convert(context, shape_elements(from.shape),
            (conversion){from.dtype, wide->operand[i].dtype, call->in[i], copy});
    return TW_OK;
}

tw_status wide_begin(wide_call *wide, const tw_kernel_call *call) {
    const tw_signature *s = &call->signature;
    size_t bytes;
    tw_status status = wide_signature(wide, s, &bytes);
    for (int i = 0; i < s->n_operands && !status; i++) status = widen_operand(wide, call, i);
    for (int i = 0; i < s->n_results && !status; i++) {
        bool half = dtype_half(s->result[i].dtype);
        wide->out[i] = half ? room_for(s->context, wide->result[i]) : call->out[i];
        if (!wide->out[i]) status = TW_ERR_MEMORY;
    }
    return status;
}

void wide_round(const wide_call *wide, const tw_kernel_call *call) {
    const tw_signature *s = &call->signature;
    for (int i = 0; i < s->n_results; i++) {
        if (!dtype_half(s->result[i].dtype)) continue;
        convert(
            s->context, shape_elements(s->result[i].shape),
            (conversion){wide->result[i].dtype, s->result[i].dtype, wide->out[i], call->out[i]});
    }
}

tw_tensor *wide_tensor(const tw_tensor *from, tw_dtype dtype) {
    tw_context *context = from->object.context;
    tw_tensor *to = tensor_new(context, (tw_type){dtype, from->type.shape});
    if (!to) return NULL;
    convert(context, shape_elements(from->type.shape),
            (conversion){from->type.dtype, dtype, from->data, to->data});
    return to;
}
