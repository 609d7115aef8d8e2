/*
 * Where values come from: inputs, variables, constants; and stop_gradient, where gradients end.
 */
#include <string.h>
#include <thalweg/operators.h>

#include "base/half.h"
#include "base/parallel.h"
#include "ir/dimension.h"
#include "ir/graph.h"
#include "ops/families.h"
#include "ops/rules.h"
#include "ops/scalar.h"

enum { INPUT_NAME, INPUT_DTYPE, INPUT_SHAPE };
enum { VARIABLE_PATH, VARIABLE_DTYPE, VARIABLE_SHAPE, VARIABLE_TRAINABLE };
enum { CONSTANT_DTYPE, CONSTANT_SHAPE, CONSTANT_DATA };
enum { SPLAT_DTYPE, SPLAT_SHAPE, SPLAT_VALUE };

static const char no_operands[] = "it has no operands";

static void no_cost(const tw_signature *signature, tw_cost *out) {
    (void)signature;
    *out = (tw_cost){0, 0};
}

static tw_status input_infer(tw_signature *signature) {
    return rule_result(signature, 0, (tw_dtype)signature->attr[INPUT_DTYPE].i,
                       signature->attr[INPUT_SHAPE].list);
}

static int input_factors(const tw_signature *signature, tw_factor *out) {
    return rule_factors_stated(signature, INPUT_SHAPE, out);
}

static const tw_attr_spec input_attributes[] = {
    {"name", TW_ATTR_STRING, "\"\"", NULL, "what the input is called"},
    {"dtype", TW_ATTR_DTYPE, NULL, NULL, "its element type"},
    {"shape", TW_ATTR_DIMS, NULL, NULL, "its shape"},
    {0}};
static const tw_operator op_input = {
    .name = "input",
    .formula = "y = what the caller gives",
    .semantics = "every run gives the elements anew, in the order of the inputs",
    .operands = "",
    .results = "y",
    .attributes = input_attributes,
    .infer = input_infer,
    .no_vjp = no_operands,
    .factors = input_factors,
    .cost = no_cost,
    .meaning = TW_MEANS_STATE,
    .no_samples = "its value is the caller's",
};

static tw_status variable_infer(tw_signature *signature) {
    if (!shape_known(signature->attr[VARIABLE_SHAPE].list)) {
        return tw_refuse(signature, TW_ERR_SHAPE, "a variable's extents must be numbers");
    }
    return rule_result(signature, 0, (tw_dtype)signature->attr[VARIABLE_DTYPE].i,
                       signature->attr[VARIABLE_SHAPE].list);
}

static int variable_factors(const tw_signature *signature, tw_factor *out) {
    return rule_factors_stated(signature, VARIABLE_SHAPE, out);
}

static const tw_attr_spec variable_attributes[] = {
    {"path", TW_ATTR_STRING, NULL, NULL, "scope path and name"},
    {"dtype", TW_ATTR_DTYPE, NULL, NULL, "its element type"},
    {"shape", TW_ATTR_DIMS, NULL, NULL, "its shape, of numbers"},
    {"trainable", TW_ATTR_BOOL, "true", NULL, "whether optimisers change it"},
    {0}};
static const tw_operator op_variable = {
    .name = "variable",
    .formula = "y = the variable of the store as the run finds it",
    .semantics = "made at its first use; its first value follows from the store's seed and path",
    .operands = "",
    .results = "y",
    .attributes = variable_attributes,
    .infer = variable_infer,
    .no_vjp = no_operands,
    .factors = variable_factors,
    .cost = no_cost,
    .meaning = TW_MEANS_STATE,
    .no_samples = "its value is the store's",
};

static tw_status constant_infer(tw_signature *signature) {
    tw_type type = {(tw_dtype)signature->attr[CONSTANT_DTYPE].i,
                    signature->attr[CONSTANT_SHAPE].list};
    tw_status status = rule_result(signature, 0, type.dtype, type.shape);
    if (status) return status;
    if (!shape_known(type.shape)) {
        return tw_refuse(signature, TW_ERR_SHAPE, "a constant's extents must be numbers");
    }
    size_t bytes = (size_t)shape_elements(type.shape) * tw_dtype_size(type.dtype);
    if (signature->attr[CONSTANT_DATA].bytes == bytes) return TW_OK;
    return tw_refuse(signature, TW_ERR_SHAPE, "%zu bytes of data, expected %zu for the shape",
                     signature->attr[CONSTANT_DATA].bytes, bytes);
}

static const tw_attr_spec constant_attributes[] = {
    {"dtype", TW_ATTR_DTYPE, NULL, NULL, "the element type"},
    {"shape", TW_ATTR_DIMS, NULL, NULL, "the shape, of numbers"},
    {"data", TW_ATTR_DATA, NULL, NULL, "the elements in row-major order"},
    {0}};
static const tw_operator op_constant = {
    .name = "constant",
    .formula = "y = data",
    .semantics = "bit for bit",
    .operands = "",
    .results = "y",
    .attributes = constant_attributes,
    .infer = constant_infer,
    .no_vjp = no_operands,
    .factors = rule_factors_whole,
    .cost = no_cost,
    .meaning = TW_MEANS_STATE,
    .no_samples = "its value is in the graph",
};

/* ---- splat ---- */

static tw_status splat_infer(tw_signature *signature) {
    tw_dtype dtype = (tw_dtype)signature->attr[SPLAT_DTYPE].i;
    if (!type_in(dtype, TYPES_ALL)) {
        return tw_refuse(signature, TW_ERR_TYPE, "%s has no kernels yet", tw_dtype_name(dtype));
    }
    return rule_result(signature, 0, dtype, signature->attr[SPLAT_SHAPE].list);
}

/* One element of the type, as cast does it: integers saturate, NaN gives 0. */
static void element_of(tw_dtype dtype, double number, void *out) {
    double least = dtype == TW_I32 ? INT32_MIN : dtype == TW_I64 ? (double)INT64_MIN : 0;
    double most = dtype == TW_I32   ? INT32_MAX
                  : dtype == TW_I64 ? 0x1p63
                  : dtype == TW_U8  ? UINT8_MAX
                                    : UINT32_MAX;
    double fit = number != number ? 0 : number < least ? least : number > most ? most : number;
    int64_t whole = fit >= 0x1p63 ? INT64_MAX : (int64_t)fit;
    switch (dtype) {
    case TW_F16:
    case TW_BF16: memcpy(out, &(uint16_t){half_of(dtype, number)}, sizeof(uint16_t)); break;
    case TW_F32: memcpy(out, &(float){(float)number}, sizeof(float)); break;
    case TW_F64: memcpy(out, &number, sizeof number); break;
    case TW_BOOL: memcpy(out, &(uint8_t){number != 0}, 1); break;
    case TW_U8: memcpy(out, &(uint8_t){(uint8_t)whole}, 1); break;
    case TW_I32:
    case TW_U32: memcpy(out, &(uint32_t){(uint32_t)whole}, sizeof(uint32_t)); break;
    default: memcpy(out, &whole, sizeof whole); break;
    }
}

typedef struct fill {
    char *out;
    size_t size;
    uint64_t element; /* its first `size` bytes */
} fill;

static void fill_range(void *argument, int64_t begin, int64_t end) {
    const fill *f = argument;
    uint32_t word;
    uint16_t half;
    memcpy(&word, &f->element, sizeof word);
    memcpy(&half, &f->element, sizeof half);
    switch (f->size) {
    case 1: memset(f->out + begin, *(const uint8_t *)&f->element, (size_t)(end - begin)); break;
    case 2:
        for (int64_t i = begin; i < end; i++) ((uint16_t *)(void *)f->out)[i] = half;
        break;
    case 4:
        for (int64_t i = begin; i < end; i++) ((uint32_t *)(void *)f->out)[i] = word;
        break;
    default:
        for (int64_t i = begin; i < end; i++) ((uint64_t *)(void *)f->out)[i] = f->element;
    }
}

static tw_status splat_kernel(const tw_kernel_call *call) {
    tw_type type = call->signature.result[0];
    fill work = {call->out[0], tw_dtype_size(type.dtype), 0};
    element_of(type.dtype, call->signature.attr[SPLAT_VALUE].f, &work.element);
    tw_parallel_for(call->signature.context, shape_elements(type.shape), 65536, fill_range, &work);
    return TW_OK;
}

static int splat_factors(const tw_signature *signature, tw_factor *out) {
    return rule_factors_stated(signature, SPLAT_SHAPE, out);
}

static const tw_attr_spec splat_attributes[] = {
    {"dtype", TW_ATTR_DTYPE, NULL, NULL, "the element type"},
    {"shape", TW_ATTR_DIMS, NULL, NULL, "the shape"},
    {"value", TW_ATTR_FLOAT, "0", NULL, "every element"},
    {0}};
static const tw_sample splat_samples[] = {
    {.operands = "", .attributes = "dtype=f64, shape=[2,3], value=1.5"},
    {.operands = "", .attributes = "dtype=f64, shape=[1]"},
    {.operands = "", .attributes = "dtype=f64, shape=[0,2], value=1"},
    {.operands = "", .attributes = "dtype=i32, shape=[], value=-3"},
    {.operands = "", .attributes = "dtype=bool, shape=[4], value=1"},
    {.operands = "", .attributes = "dtype=bf16, shape=[3], value=0.1"},
    {.operands = "", .attributes = "dtype=f16, shape=[2,2], value=70000"},
    {0},
};
static const tw_operator op_splat = {
    .name = "splat",
    .formula = "y[i] = value",
    .semantics = "the value as `cast` converts f64",
    .operands = "",
    .results = "y",
    .attributes = splat_attributes,
    .infer = splat_infer,
    .no_vjp = no_operands,
    .factors = splat_factors,
    .cost = rule_cost_bytes,
    .meaning = TW_MEANS_LOOPS,
    .kernel = splat_kernel,
    .halves = true,
    .samples = splat_samples,
};

/* ---- stop_gradient ---- */

SCALAR_1(copy_8, uint8_t, uint8_t, x)
SCALAR_1(copy_16, uint16_t, uint16_t, x)
SCALAR_1(copy_32, uint32_t, uint32_t, x)
SCALAR_1(copy_64, uint64_t, uint64_t, x)

static const tw_sample stop_gradient_samples[] = {
    {.operands = "f64[3,5]"},
    {.operands = "f64[1]"},
    {.operands = "f64[0,2]"},
    {.operands = "i32[4]"},
    {.operands = "bool[3]"},
    {.operands = "bf16[3]"},
    {0},
};
static const tw_operator op_stop_gradient = {
    .name = "stop_gradient",
    .formula = "y = x",
    .semantics = "the gradient of x is 0",
    .operands = "x",
    .results = "y",
    .infer = rule_infer_same,
    .vjp = rule_vjp_zero,
    .batch = rule_batch_leading,
    .factors = rule_factors_elementwise,
    .cost = rule_cost_bytes,
    .meaning = TW_MEANS_SCALAR,
    .scalar = {[TW_BOOL] = copy_8,
               [TW_U8] = copy_8,
               [TW_I32] = copy_32,
               [TW_U32] = copy_32,
               [TW_F16] = copy_16,
               [TW_BF16] = copy_16,
               [TW_F32] = copy_32,
               [TW_I64] = copy_64,
               [TW_F64] = copy_64},
    .scalar_text = {[TW_BOOL] = &copy_8_text,
                    [TW_U8] = &copy_8_text,
                    [TW_I32] = &copy_32_text,
                    [TW_U32] = &copy_32_text,
                    [TW_F16] = &copy_16_text,
                    [TW_BF16] = &copy_16_text,
                    [TW_F32] = &copy_32_text,
                    [TW_I64] = &copy_64_text,
                    [TW_F64] = &copy_64_text},
    .samples = stop_gradient_samples,
};

const tw_operator *const ops_state[] = {
    &op_input, &op_variable, &op_constant, &op_splat, &op_stop_gradient, NULL,
};

tw_value tw_stop_gradient(tw_value x) { return rule_apply1("stop_gradient", x, NULL); }
