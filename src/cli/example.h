/* An operator at work on one of its samples: what the reference page shows of it. */
#ifndef CLI_EXAMPLE_H
#define CLI_EXAMPLE_H

#include "ir/graph.h"

enum { EXAMPLE_OPERANDS = 32 };

typedef struct example {
    tw_graph *graph; /* inputs and the operator's node */
    int n_operands, n_results, n_attributes;
    tw_type operand[EXAMPLE_OPERANDS], result[TW_MAX_RESULTS];
    bool absent[EXAMPLE_OPERANDS];
    tw_value in[EXAMPLE_OPERANDS], out[TW_MAX_RESULTS];
    tw_attr attr[EXAMPLE_OPERANDS];
    const tw_operator *op;
    tw_context *context;
} example;

/* Builds the first sample that has a float operand, else the first; false when there is none that
 * builds. example_end either way. */
bool example_begin(example *e, tw_context *context, const tw_operator *op);
void example_end(example *e);

/* The name of operand i, of result i. */
void example_operand_name(const tw_operator *op, int i, char *out, size_t size);
void example_result_name(const tw_operator *op, int i, char *out, size_t size);

/* Texts of the graph, of a composite's body, and of the gradient by the operator's own rule: what
 * the rule needs and adds. The caller's (tw_string_free); NULL when there is none. *zero: the rule
 * gives no operand a gradient. */
char *example_text(example *e);
char *example_body(example *e);
char *example_gradient(example *e, bool *zero);

tw_signature example_signature(const example *e);

#endif
