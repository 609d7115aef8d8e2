/*
 * f16 and bf16 are types to store: what has no kernel for them computes in f32 (in f64 where all
 * other floats are f64, as in the reference form) and rounds its results once.
 */
#ifndef RUNTIME_WIDE_H
#define RUNTIME_WIDE_H

#include <thalweg/operator.h>
#include <thalweg/run.h>

/* A call with wide copies of its f16 and bf16 operands and room for such results. */
typedef struct wide_call {
    tw_kernel_call call;
    tw_type operand[TW_MAX_OPERANDS], result[TW_MAX_RESULTS];
    const void *in[TW_MAX_OPERANDS];
    void *out[TW_MAX_RESULTS];
} wide_call;

/* Whether an operand or result is f16 or bf16. */
bool wide_needed(const tw_signature *signature);
/* The types and attributes alone, and the bytes that wide_begin takes. Both take scratch memory. */
tw_status wide_signature(wide_call *wide, const tw_signature *signature, size_t *bytes);
tw_status wide_begin(wide_call *wide, const tw_kernel_call *call);
/* The results in the types of `call`. */
void wide_round(const wide_call *wide, const tw_kernel_call *call);

/* `dtype` in place of f16 and bf16 among the attributes. */
void wide_attributes(const tw_operator *op, tw_dtype dtype, tw_attr *attr);
/* The tensor as another float type; NULL with the context's error. */
tw_tensor *wide_tensor(const tw_tensor *from, tw_dtype dtype);

#endif
