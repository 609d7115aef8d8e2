/*
 * Operators that name functions of the module: call, checkpoint, custom_gradient, fused. A model function
 * becomes a closed function; the variables that it uses are operands.
 */
#include <thalweg/control.h>
#include <thalweg/operators.h>

#include "ir/dimension.h"
#include "ir/graph.h"
#include "ops/families.h"
#include "ops/rules.h"

enum { FUNCTION, GRADIENT };

/* Their number of results is not fixed: the function's outputs say it. */
static tw_status infer_call(tw_signature *signature) {
    const tw_graph *function = signature->attr[FUNCTION].function;
    if (!function) return tw_refuse(signature, TW_ERR_NULL, "no function is given");
    if (function->inputs.count != (size_t)signature->n_operands) {
        return tw_refuse(signature, TW_ERR_ARGUMENT, "%d operands, but @%s has %zu inputs",
                         signature->n_operands, function->name, function->inputs.count);
    }
    if (function->outputs.count < 1 || function->outputs.count > TW_MAX_RESULTS) {
        return tw_refuse(signature, TW_ERR_ARGUMENT, "@%s has %zu outputs, expected 1 to %d",
                         function->name, function->outputs.count, TW_MAX_RESULTS);
    }
    for (int i = 0; i < signature->n_operands; i++) {
        tw_type want = function->values.at[function->inputs.at[i]].type;
        tw_type have = signature->operand[i];
        if (type_equal(have, want)) continue;
        return tw_refuse(signature, TW_ERR_SHAPE,
                         "operand %d is not of the type of input %d of @%s", i, i, function->name);
    }
    signature->n_results = (int)function->outputs.count;
    for (int i = 0; i < signature->n_results; i++) {
        signature->result[i] = function->values.at[function->outputs.at[i]].type;
    }
    return TW_OK;
}

static const tw_attr_spec call_attributes[] = {
    {"function", TW_ATTR_FUNCTION, NULL, NULL, "a function of the module"}, {0}};

/* What the three have in common. */
#define CALL_COMMON                                                                                \
    .operands = "x...", .results = "y...", .infer = infer_call, .factors = rule_factors_whole,     \
    .cost = rule_cost_bytes, .meaning = TW_MEANS_STATE,                                            \
    .no_samples = "its meaning is the function's"

static const tw_operator op_call = {
    CALL_COMMON,
    .name = "call",
    .formula = "y = function(x)",
    .semantics = "as the function's nodes in the place of the call; its gradient is theirs",
    .attributes = call_attributes,
};

static const tw_operator op_checkpoint = {
    CALL_COMMON,
    .name = "checkpoint",
    .formula = "y = function(x)",
    .semantics =
        "as call; the gradient keeps x alone and computes the rest again, under a recompute "
        "epoch of its own (Chen et al. 2016)",
    .attributes = call_attributes,
};

/* What the fuse pass makes; a program runs it as one kernel where it can generate one. */
static const tw_operator op_fused = {
    CALL_COMMON,
    .name = "fused",
    .formula = "y = function(x)",
    .semantics =
        "as call; the function is elementwise work and reductions over one box of elements, or "
        "elementwise work on the result of a dot",
    .attributes = call_attributes,
};

/* custom_gradient: gradient(x, y, dy) gives dx. */

static const tw_attr_spec custom_attributes[] = {
    {"function", TW_ATTR_FUNCTION, NULL, NULL, "a function of the module"},
    {"gradient", TW_ATTR_FUNCTION, NULL, NULL, "its gradient: x..., y..., dy... to dx..."},
    {0}};

static void custom_vjp(tw_graph *graph, tw_vjp *rule) {
    int n = rule->n_operands, m = rule->n_results;
    tw_value in[TW_MAX_OPERANDS + 2 * TW_MAX_RESULTS], dx[TW_MAX_RESULTS] = {{0}};
    for (int i = 0; i < n; i++) in[i] = rule->operand[i];
    for (int i = 0; i < m; i++) {
        tw_value dy = rule->d_result[i];
        in[n + i] = rule->result[i];
        in[n + m + i] = dy.graph ? dy : tw_literal(rule->result[i], 0);
    }
    const tw_attr attr = {.function = rule->attr[GRADIENT].function};
    tw_apply(graph, "call", n + 2 * m, in, &attr, dx);
    for (int i = 0; i < n; i++)
        if (rule->wanted[i]) rule->d_operand[i] = dx[i];
}

static const tw_operator op_custom_gradient = {
    CALL_COMMON,
    .name = "custom_gradient",
    .formula = "y = function(x), dx = gradient(x, y, dy)",
    .semantics = "as call; the gradient is what the second function gives, right or not",
    .attributes = custom_attributes,
    .vjp = custom_vjp,
};

const tw_operator *const ops_control[] = {&op_call, &op_checkpoint, &op_custom_gradient, &op_fused,
                                          NULL};

/* The values of in[] and their types; false after an error. */
static bool operands_of(tw_graph *graph, const char *function, int n, const tw_value *in,
                        tw_value *operand, tw_type *type) {
    if (n < 0 || n > TW_MAX_OPERANDS) {
        rule_fail(graph, TW_ERR_ARGUMENT, "%s: %d inputs, expected 0 to %d", function, n,
                  TW_MAX_OPERANDS);
        return false;
    }
    for (int i = 0; i < n; i++) {
        if (!in || !in[i].graph) {
            rule_fail(graph, TW_ERR_NULL, "%s: input %d is absent", function, i);
            return false;
        }
    }
    if (n && !rule_usable(function, n, in)) return false;
    for (int i = 0; i < n; i++) {
        operand[i] = in[i];
        type[i] = tw_type_of(in[i]);
    }
    return true;
}

static bool results_of(tw_graph *graph, const char *function, int n, const tw_value *out) {
    if (out && n > 0) return true;
    rule_fail(graph, TW_ERR_ARGUMENT, "%s: %d outputs%s, expected 1 to %d", function, n,
              out ? "" : " at a NULL pointer", TW_MAX_RESULTS);
    return false;
}

/* Appends the node on in[] and the variables, gives the outputs, assigns what was assigned. */
static void append_call(tw_graph *graph, const char *name, int n, tw_value *operand,
                        const function_trace *traced, const tw_attr *attr, int n_out,
                        tw_value *out) {
    tw_value result[TW_MAX_RESULTS];
    if (n + traced->n_variables > TW_MAX_OPERANDS) {
        rule_fail(graph, TW_ERR_UNSUPPORTED,
                  "tw_%s: %d inputs and %d variables, at most %d together", name, n,
                  traced->n_variables, TW_MAX_OPERANDS);
        return;
    }
    for (int i = 0; i < traced->n_variables; i++) operand[n + i] = traced->variable[i];
    tw_apply(graph, name, n + traced->n_variables, operand, attr, result);
    for (int i = 0; i < n_out; i++) out[i] = result[i];
    for (int i = 0; i < traced->n_assigned; i++) tw_assign(traced->assigned[i], result[n_out + i]);
}

static void call(tw_graph *graph, const char *name, tw_function function, const void *config,
                 int n_in, const tw_value *in, int n_out, tw_value *out) {
    tw_value operand[2 * TW_MAX_OPERANDS];
    tw_type type[TW_MAX_OPERANDS];
    function_trace traced;
    bool fine = graph && results_of(graph, name, n_out, out) &&
                operands_of(graph, name, n_in, in, operand, type);
    for (int i = 0; out && i < n_out; i++) out[i] = rule_poison(graph); /* out may be in */
    if (!fine) return;
    if (!graph_trace(graph, name, function, config, n_in, type, n_out, &traced)) return;
    const tw_attr attr = {.function = traced.function};
    append_call(graph, name, n_in, operand, &traced, &attr, n_out, out);
}

void tw_call(tw_graph *graph, tw_function function, const void *config, int n_in,
             const tw_value *in, int n_out, tw_value *out) {
    call(graph, "call", function, config, n_in, in, n_out, out);
}

void tw_checkpoint(tw_graph *graph, tw_function function, const void *config, int n_in,
                   const tw_value *in, int n_out, tw_value *out) {
    call(graph, "checkpoint", function, config, n_in, in, n_out, out);
}

/* What the user's gradient leaves absent is zero: a closed function has a value for each result. */
typedef struct gradient_of {
    tw_function build;
    const void *config;
    int n_in, n_out;
} gradient_of;

static void build_gradient(tw_graph *graph, const tw_value *in, tw_value *out, const void *config) {
    const gradient_of *of = config;
    of->build(graph, in, out, of->config);
    for (int i = 0; i < of->n_in; i++) {
        if (!out[i].graph) out[i] = tw_literal(in[i], 0);
        tw_type want = tw_type_of(in[i]), have = tw_type_of(out[i]);
        if (tw_ok(out[i]) && (!type_equal(have, want)))
            tw_fail(graph,
                    "tw_custom_gradient: the gradient of input %d is of another type than it", i);
    }
}

void tw_custom_gradient(tw_graph *graph, tw_function function, tw_function gradient,
                        const void *config, int n_in, const tw_value *in, int n_out,
                        tw_value *out) {
    static const char name[] = "custom_gradient";
    tw_value operand[2 * TW_MAX_OPERANDS];
    tw_type type[TW_MAX_OPERANDS + 2 * TW_MAX_RESULTS];
    function_trace traced, back;
    bool fine = graph && results_of(graph, name, n_out, out) &&
                operands_of(graph, name, n_in, in, operand, type);
    for (int i = 0; out && i < n_out; i++) out[i] = rule_poison(graph); /* out may be in */
    if (!fine) return;
    if (!graph_trace(graph, name, function, config, n_in, type, n_out, &traced)) return;
    if (!gradient || traced.n_variables || n_in > TW_MAX_RESULTS ||
        n_in + 2 * n_out > TW_MAX_OPERANDS) {
        rule_fail(graph, TW_ERR_ARGUMENT, "tw_custom_gradient: %s",
                  !gradient            ? "no gradient function is given"
                  : traced.n_variables ? "the function uses variables; give them as inputs, so "
                                         "that the gradient covers them"
                                       : "too many inputs or outputs");
        return;
    }
    for (int i = 0; i < 2 * n_out; i++)
        type[n_in + i] = traced.function->values.at[traced.function->outputs.at[i % n_out]].type;
    gradient_of of = {gradient, config, n_in, n_out};
    if (!graph_trace(graph, "gradient", build_gradient, &of, n_in + 2 * n_out, type, n_in, &back))
        return;
    if (back.n_variables) {
        rule_fail(graph, TW_ERR_ARGUMENT,
                  "tw_custom_gradient: the gradient uses variables; give "
                  "them as inputs of the function");
        return;
    }
    const tw_attr attr[] = {{.function = traced.function}, {.function = back.function}};
    append_call(graph, name, n_in, operand, &traced, attr, n_out, out);
}
