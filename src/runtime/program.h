/*
 * A program: shared code and a session of it, with the numbers and buffers of its latest binding.
 * A run with the extents of the run before allocates nothing.
 */
#ifndef RUNTIME_PROGRAM_H
#define RUNTIME_PROGRAM_H

#include "runtime/code.h"
#include "runtime/plan.h"
#include "runtime/scalar.h"
#include "runtime/store.h"

/* The product or convolution of a generated kernel. */
typedef struct fused_product {
    tw_type operand[PRODUCT_OPERANDS], result;
    tw_signature signature;
    dot_plan plan;
    bool blocks;  /* with the kernel block by block; else it is computed before */
    size_t bytes; /* ... to memory of so many bytes */
} fused_product;

/* An instruction as it is run: extents are numbers, pointers those of this run. */
typedef struct step {
    tw_kernel_call call;
    void *kept; /* what its kernel may keep from run to run */
    tw_type *operand, *result;
    const void **in;
    void **out;
    tw_attr *attr;          /* own copy where the instruction's is symbolic */
    scalar_loop *loop;      /* elementwise instructions */
    generated_call fused;   /* generated kernels */
    size_t pieces_bytes;    /* ... of the results of pieces of a reduction */
    fused_product *product; /* ... of a kernel with a product */
    bool beside;            /* the products of its group, which it leads, run side by side */
    size_t workspace; /* bytes of scratch memory that the kernel takes; the most of its group */
    char *scratch;    /* ... and its place */
} step;

struct tw_program {
    object object;
    struct code *code;
    tw_store *store;
    arena arena;              /* the arrays below */
    int *variable;            /* the store's index of each variable of the code */
    int64_t *bound, *binding; /* the symbols' extents; those of the run that begins */
    bool is_bound;
    tw_type *type; /* of each slot */
    void **data;   /* of each slot: its memory in this run */
    step *steps;   /* of each instruction */
    uint32_t n_planned;
    uint32_t *planned; /* slots with planned memory */
    plan_item
        *items; /* ... and their places; after them the workspaces of the steps that have one */
    uint32_t *order;
    char *memory;
    size_t memory_bytes, planned_bytes;
    double *times; /* while it is profiled: when each group began, and when the last one ended */
};

/* Extents from the inputs: symbols, then types, attributes, loops and places if they changed. */
tw_status program_bind(tw_program *program, tw_tensor *const *in);
/* The same before the first run, where no extent depends on an input. */
tw_status program_bind_known(tw_program *program);
/* The arrays of a new program; its code is arranged. */
tw_status program_allocate(tw_program *program);

/* TW_ERR_MEMORY, with by how much the budget fails and what would help. first: as it is; least: with work
 * done again. */
tw_status memory_refuse(tw_context *context, size_t budget, const tw_memory *first,
                        const tw_memory *least);

#endif
