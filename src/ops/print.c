/* print: writes a value when the program comes to it. */
#include "ops/print.h"

#include <stdio.h>
#include <thalweg/operators.h>

#include "ir/dimension.h"
#include "ir/element.h"
#include "ir/graph.h"
#include "ops/families.h"
#include "ops/rules.h"

enum { SHOWN = 64 }; /* elements: enough to see what a value is about */

void print_line(tw_context *context, const char *label, tw_type type, const void *data, text *out) {
    text_add(out, "%s ", label);
    type_print(context, type, out);
    size_t size = tw_dtype_size(type.dtype), count = (size_t)shape_elements(type.shape);
    if (!data) return;
    text_add(out, " ");
    elements_print(type.dtype, data, (count < SHOWN ? count : SHOWN) * size, out);
    if (count > SHOWN) text_add(out, " and %zu more", count - SHOWN);
}

static const tw_attr_spec attributes[] = {
    {"label", TW_ATTR_STRING, NULL, NULL, "what stands before the value"}, {0}};

static tw_status infer(tw_signature *signature) {
    return rule_result(signature, 0, TW_BOOL, TW_SHAPE());
}

static tw_status kernel(const tw_kernel_call *call) {
    const tw_signature *signature = &call->signature;
    text line = {.context = signature->context};
    print_line(line.context, signature->attr[0].string, signature->operand[0], call->in[0], &line);
    bool good = !line.failed && puts(line.at) >= 0 && !fflush(stdout);
    text_drop(&line);
    *(uint8_t *)call->out[0] = good;
    return TW_OK;
}

/* All examples at once. */
static void batch(tw_graph *graph, tw_batch *rule) {
    tw_value printed = tw_apply(graph, "print", 1, rule->operand, rule->attr, NULL);
    rule->result[0] = tw_broadcast(printed, TW_SHAPE(rule->size));
}

static const tw_operator op_print = {
    .name = "print",
    .formula = "writes label, type and the first 64 elements of x to standard output",
    .semantics = "runs once in every run, in the order of the nodes, though nothing reads its "
                 "result, which is false if the line could not be written",
    .operands = "x",
    .results = "written",
    .attributes = attributes,
    .infer = infer,
    .no_vjp = "its result is a truth value",
    .batch = batch,
    .factors = rule_factors_whole,
    .cost = rule_cost_bytes,
    .meaning = TW_MEANS_LOOPS,
    .effect = true,
    .kernel = kernel,
    .no_samples = "it writes to standard output",
};

const tw_operator *const ops_print[] = {&op_print, NULL};

void print_append(tw_value value, const char *label) {
    const tw_attr attr = {.string = label};
    tw_apply(value.graph, "print", 1, &value, &attr, NULL);
}
