/* Kernels of fused functions: what a program needs of them to bind and run them. */
#ifndef CODEGEN_GENERATED_GENERATED_H
#define CODEGEN_GENERATED_GENERATED_H

#include "codegen/generated/dot.h"
#include "codegen/generated/kernel.h"

typedef void (*generated_kernel)(void *arguments, int64_t begin, int64_t end);

enum { PRODUCT_OPERANDS = 3 };
/* The dot or convolution whose result the kernel reads: computed before it, or block by block together with it. */
typedef struct generated_product {
    const tw_operator *op;
    const tw_attr *attr;
    int n_operands, operand[PRODUCT_OPERANDS]; /* inputs of the function */
    tw_type type;                              /* of its result */
    int load;                                  /* of the nest, by which the kernel reads it */
    bool updated;    /* the program also writes what the second operand is */
    bool by_samples; /* a convolution */
    bool sure;       /* it runs in blocks, and can't fail */
} generated_product;

typedef struct generated {
    nest nest; /* its function is gone */
    generated_kernel kernel;
    int tile;   /* columns of a unit */
    int weight; /* operations on each element, about */
    double element_flops,
        row_flops;              /* as tw_cost counts: of each element, of each result of its axes */
    const char *name;           /* "mul+add+tanh" */
    generated_product *product; /* NULL without one */
} generated;

/* What a kernel is made from; bit i of `updated`: the program also writes what input i is. */
typedef struct generated_source {
    tw_graph *function;
    uint64_t updated;
} generated_source;

/*
 * out[i]: the kernel of from[i], in `memory`; NULL where there is none (the function's nodes serve
 * instead). TW_ERR_MEMORY alone is a failure.
 */
tw_status generated_make(tw_context *context, int n, const generated_source *from, arena *memory,
                         generated **out);

/* The numbers of a call that follow from the extents of the nest's axes. */
typedef struct generated_call {
    int64_t units, grain; /* of tw_parallel_for */
    int64_t pieces, kept; /* pieces of each reduction; elements of its result */
    int64_t elements;     /* of the box */
    int64_t *slot;
} generated_call;
/* Fills all slots but the pointers. */
void generated_bind(const generated *g, const int64_t *extent, generated_call *out);
static inline double generated_flops(const generated *g, const generated_call *call) {
    return g->element_flops * (double)call->elements + g->row_flops * (double)call->kept;
}

/*
 * Whether the product of g can run block by block with the kernel, for types that are known; extent[] is of the
 * nest's axes. All that it takes is made ready then, but for its scratch. TW_ERR_MEMORY alone is a failure.
 */
tw_status generated_product_prepare(const generated *g, const tw_signature *dot,
                                    const int64_t *extent, dot_plan *plan, bool *blocks);
/* x w, and of each block all the rest, for a call whose slots have all pointers but the product's. */
tw_status generated_product_run(tw_context *context, const generated *g, const dot_plan *plan,
                                const generated_call *call, const float *x, const float *w);

/* The same as one of several side by side (generated_dots); what it points to stays with the caller. */
typedef struct generated_finishing {
    const generated *g;
    const int64_t *slot; /* of the whole box */
    dot_finish finish;
} generated_finishing;
dot_task generated_product_task(const generated *g, const dot_plan *plan,
                                const generated_call *call, const float *x, const float *w,
                                generated_finishing *finishing);

/*
 * The same for a convolution, whose result is there sample by sample: bytes of scratch, or TW_ERR_UNSUPPORTED,
 * without a message, where it can't run so. The run gives that too; then nothing of worth is written.
 */
tw_status generated_convolution_bytes(const generated *g, const tw_signature *convolution,
                                      const generated_call *call, size_t *bytes);
tw_status generated_convolution_run(const generated *g, const tw_kernel_call *convolution,
                                    const generated_call *call);

#endif
