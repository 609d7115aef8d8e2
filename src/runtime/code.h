/*
 * Compiled code: a flat list of instructions over slots. It is immutable once arranged and shared
 * by counting. A slot is where a value lives; extents may still be symbols.
 */
#ifndef RUNTIME_CODE_H
#define RUNTIME_CODE_H

#include <thalweg/run.h>

#include "codegen/generated/generated.h"
#include "ir/graph.h"

typedef enum slot_kind {
    SLOT_TRANSIENT = 1, /* planned memory */
    SLOT_INPUT,         /* the of-th input's tensor */
    SLOT_VARIABLE,      /* the of-th variable's present value */
    SLOT_CONSTANT,      /* data in the code */
    SLOT_ALIAS,         /* slot `of` under another shape */
    SLOT_VIEW,          /* slot `of` read by strides; elementwise instructions only */
    SLOT_REGISTER       /* lives within a group, in its of-th block of scratch */
} slot_kind;

struct slot {
    slot_kind kind;
    tw_type type;
    uint32_t of;
    const void *data;     /* CONSTANT */
    const tw_shape *axes; /* VIEW: the result axis of each axis of `of` */
    uint32_t assigned;    /* variable + 1 whose next value is computed here; 0 for none */
    int first, last;      /* groups between which its memory is in use */
};

typedef struct instruction {
    const tw_operator *op;
    int n_operands, n_results;
    uint32_t *operand; /* slots, or ABSENT */
    uint32_t result;   /* the first slot; the others follow */
    tw_attr *attr;
    bool symbolic;              /* an attribute has extents to be bound */
    bool scalar;                /* run by the elementwise driver */
    const generated *generated; /* of a fused function: what runs it */
    bool beside;                /* the one before, if that can be: both are products */
    const char *scope, *source; /* source: NULL for none */
} instruction;

/* Instructions that run together: elementwise ones go over their box block by block, products side by side. */
struct group {
    int first, count;
    bool beside;   /* products */
    int registers; /* blocks of scratch */
};

typedef struct code_input {
    const char *name;
    tw_type type;
    uint32_t slot;
} code_input;

typedef struct code_variable {
    variable_spec spec;
    uint32_t slot;  /* its present value; ABSENT when it is only assigned */
    uint32_t final; /* the slot of its next value; ABSENT when it is not assigned */
    bool in_place;  /* ... which is computed over the present one */
} code_variable;

struct code {
    tw_context *context;
    arena arena;
    bool plain, check;
    int n_symbols; /* of the context when it was compiled */
    VECTOR(struct slot) slots;
    VECTOR(instruction) instructions;
    VECTOR(struct group) groups;
    VECTOR(code_input) inputs;
    VECTOR(code_variable) variables;
    VECTOR(uint32_t) outputs;
};

enum { GROUP_REGISTERS = 12, GROUP_MEMBERS = 24 };

struct code *code_new(tw_context *context, const tw_compile_opts *opts);
void code_free(struct code *code);

/* The instructions that the outputs and, unless read_only, the assigns of `graph` need; in[] are
 * its inputs in order. */
tw_status code_lower(struct code *code, tw_graph *graph, int n_in, const uint32_t *in, int n_out,
                     const uint32_t *out, const tw_compile_opts *opts);
/* Drops what nobody needs, turns broadcasts into views, groups instructions, gives
 * assigned slots their variables, and finds how long each slot lives. */
tw_status code_arrange(struct code *code);

/* The next value of a variable is computed where it will stay, if it has memory of its own; groups are
 * known. */
void code_place_assigns(struct code *code);
/* The slot whose memory `slot` reads. */
uint32_t code_root(const struct code *code, uint32_t slot);
/* The attribute of that name; NULL for none. */
const tw_attr *code_attr(const tw_operator *op, const tw_attr *attr, const char *name);

#endif
