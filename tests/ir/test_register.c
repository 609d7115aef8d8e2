/* A user's operators, written with the public headers alone: they run, differentiate twice, print and
 * parse like the built-in ones; an entry with a missing field and a name that is taken are refused. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <thalweg/thalweg.h>

#include "support/numbers.h"

enum { ROWS = 2, COLUMNS = 3, ALL = ROWS * COLUMNS };

static const double points[ALL] = {0.5, -1, 0.25, 1.25, -0.75, 0};

/* What the entries share: one float operand, a result like it. */

static tw_status infer_float(tw_signature *signature) {
    tw_dtype dtype = signature->operand[0].dtype;
    if (dtype != TW_F32 && dtype != TW_F64)
        return tw_refuse(signature, TW_ERR_TYPE, "x is %s, expected a float", tw_dtype_name(dtype));
    signature->result[0] = signature->operand[0];
    return TW_OK;
}

/* Dimensions 0 to `pass` - 1 may be cut, the others not. */
static int factors_first(const tw_signature *signature, int pass, tw_factor *out) {
    tw_shape shape = signature->operand[0].shape;
    for (int axis = 0; axis < shape.rank; axis++) {
        tw_factor *factor = &out[axis];
        memset(factor, 0, sizeof *factor);
        memset(factor->operand, -1, sizeof factor->operand);
        memset(factor->result, -1, sizeof factor->result);
        factor->kind = axis < pass ? TW_FACTOR_PASS : TW_FACTOR_REPLICATE;
        factor->size = shape.dim[axis];
        factor->operand[0] = factor->result[0] = (int8_t)axis;
    }
    return shape.rank;
}

static int factors_all(const tw_signature *signature, tw_factor *out) {
    return factors_first(signature, TW_MAX_RANK, out);
}

static int factors_rows(const tw_signature *signature, tw_factor *out) {
    return factors_first(signature, signature->operand[0].shape.rank - 1, out);
}

static int64_t elements_of(tw_shape shape) {
    int64_t elements = 1;
    for (int i = 0; i < shape.rank; i++) elements *= shape.dim[i];
    return elements;
}

static void cost(const tw_signature *signature, tw_cost *out) {
    double elements = (double)elements_of(signature->operand[0].shape);
    out->flops = 2 * elements;
    out->bytes = 2 * elements * (double)tw_dtype_size(signature->operand[0].dtype);
}

/* cube: an expression of one element */

static void cube_f32(int64_t count, void *out, const void *const *in, const int64_t *step,
                     const tw_attr *attr) {
    (void)attr;
    const float *x = in[0];
    for (int64_t i = 0; i < count; i++, x += step[0]) ((float *)out)[i] = *x * *x * *x;
}

static void cube_f64(int64_t count, void *out, const void *const *in, const int64_t *step,
                     const tw_attr *attr) {
    (void)attr;
    const double *x = in[0];
    for (int64_t i = 0; i < count; i++, x += step[0]) ((double *)out)[i] = *x * *x * *x;
}

static void cube_vjp(tw_graph *graph, tw_vjp *rule) {
    (void)graph;
    tw_value slope = tw_scale(tw_square(rule->operand[0]), 3);
    rule->d_operand[0] = tw_mul(rule->d_result[0], slope);
}

static const tw_sample samples[] = {
    {.operands = "f64[2,3]"}, {.operands = "f64[1]"}, {.operands = "f64[0,3]"}, {.operands = NULL}};

static const tw_operator cube = {
    .name = "cube",
    .formula = "y = x^3",
    .semantics = "NaN gives NaN",
    .operands = "x",
    .results = "y",
    .infer = infer_float,
    .vjp = cube_vjp,
    .factors = factors_all,
    .cost = cost,
    .meaning = TW_MEANS_SCALAR,
    .scalar = {[TW_F32] = cube_f32, [TW_F64] = cube_f64},
    .samples = samples,
};

/* running_sum: a loop nest */

static const tw_attr_spec running_sum_attributes[] = {
    {"backwards", TW_ATTR_BOOL, "false", NULL, "from the last element to the first"},
    {.name = NULL},
};

static tw_status running_sum_infer(tw_signature *signature) {
    if (signature->operand[0].shape.rank == 0)
        return tw_refuse(signature, TW_ERR_SHAPE, "x is a scalar, expected an axis to sum along");
    return infer_float(signature);
}

#define RUNNING_SUM(name, T)                                                                       \
    static void name(const T *x, T *y, int64_t rows, int64_t columns, bool backwards) {            \
        for (int64_t r = 0; r < rows; r++) {                                                       \
            T sum = 0;                                                                             \
            for (int64_t c = 0; c < columns; c++) {                                                \
                int64_t at = r * columns + (backwards ? columns - 1 - c : c);                      \
                y[at] = sum += x[at];                                                              \
            }                                                                                      \
        }                                                                                          \
    }
RUNNING_SUM(running_sum_f32, float)
RUNNING_SUM(running_sum_f64, double)

static tw_status running_sum_kernel(const tw_kernel_call *call) {
    tw_type type = call->signature.operand[0];
    int64_t columns = type.shape.dim[type.shape.rank - 1];
    int64_t rows = columns ? elements_of(type.shape) / columns : 0;
    bool backwards = call->signature.attr[0].i;
    if (type.dtype == TW_F32)
        running_sum_f32(call->in[0], call->out[0], rows, columns, backwards);
    else
        running_sum_f64(call->in[0], call->out[0], rows, columns, backwards);
    return TW_OK;
}

static void running_sum_vjp(tw_graph *graph, tw_vjp *rule) {
    const tw_attr other = tw_attr_int(!rule->attr[0].i);
    rule->d_operand[0] = tw_apply(graph, "running_sum", 1, rule->d_result, &other, NULL);
}

static const tw_operator running_sum = {
    .name = "running_sum",
    .formula = "y[.., k] = sum of x[.., i] over i <= k (backwards: i >= k)",
    .semantics = "NaN gives NaN from there on",
    .operands = "x",
    .results = "y",
    .attributes = running_sum_attributes,
    .infer = running_sum_infer,
    .vjp = running_sum_vjp,
    .factors = factors_rows,
    .cost = cost,
    .meaning = TW_MEANS_LOOPS,
    .kernel = running_sum_kernel,
    .samples = samples,
};

/* fourth: a composite of a built-in operator and of the user's own; its body is all there is */

static const tw_attr_spec fourth_attributes[] = {
    {"scale", TW_ATTR_FLOAT, "1", NULL, "what the power is multiplied by"},
    {.name = NULL},
};

static void fourth_body(tw_graph *graph, const tw_signature *signature, const tw_value *in,
                        tw_value *out) {
    tw_value third = tw_apply(graph, "cube", 1, in, NULL, NULL);
    out[0] = tw_scale(tw_mul(in[0], third), signature->attr[0].f);
}

static const tw_operator fourth = {
    .name = "fourth",
    .formula = "y = scale x^4",
    .semantics = "NaN gives NaN",
    .operands = "x",
    .results = "y",
    .attributes = fourth_attributes,
    .meaning = TW_MEANS_BODY,
    .body = fourth_body,
    .samples = samples,
};

/* the tests */

static tw_context *context;

static int setup(void **state) {
    (void)state;
    const tw_operator *const mine[] = {&cube, &running_sum, &fourth};
    context = tw_context_new(NULL);
    for (size_t i = 0; context && i < sizeof mine / sizeof *mine; i++)
        if (tw_register(context, mine[i])) return -1;
    return context ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    tw_context_free(context);
    return 0;
}

/* y = f(x); first = d(sum y^2)/dx; second = d(sum first^2)/dx. */
enum { Y, FIRST, SECOND, OUTPUTS };

static void build(const char *name, const tw_attr *attr, tw_value x, tw_value *out) {
    out[Y] = tw_apply(x.graph, name, 1, &x, attr, NULL);
    tw_grad(tw_sum(tw_square(out[Y])), 1, &x, &out[FIRST]);
    tw_grad(tw_sum(tw_square(out[FIRST])), 1, &x, &out[SECOND]);
}

static void check_text(tw_graph *graph, const char *says) {
    char *first = tw_graph_print(graph);
    if (!first) fail_msg("%s", tw_message(context));
    if (!strstr(first, says)) fail_msg("\"%s\" is not in:\n%s", says, first);
    tw_graph *again = tw_graph_parse(context, NULL, first);
    if (!again || tw_graph_verify(again)) fail_msg("%s", tw_message(context));
    char *second = tw_graph_print(again);
    assert_string_equal(first, second);
    tw_string_free(context, first);
    tw_string_free(context, second);
    tw_graph_free(again);
}

/* Compiled with each set of options, and line by line. */
static void check(const char *name, const tw_attr *attr, const char *says, tw_dtype dtype,
                  double (*want)[ALL]) {
    static const char *const titles[OUTPUTS] = {"value", "first gradient", "second gradient"};
    static const tw_compile_opts ways[] = {{0}, {.plain = true}, {.reference = true}};
    double got[ALL], tolerance = dtype == TW_F32 ? 1e-5 : 1e-13;
    tw_tensor *x = tensor_of(context, dtype, TW_SHAPE(ROWS, COLUMNS), points);
    tw_graph *graph = tw_graph_new(context, NULL, TW_SYMBOLIC, NULL);
    tw_value in = tw_input(graph, "x", dtype, TW_SHAPE(tw_symbol(context, "n"), COLUMNS));
    tw_value out[OUTPUTS] = {{0}};
    build(name, attr, in, out);
    for (size_t way = 0; way < sizeof ways / sizeof *ways; way++) {
        tw_program *program = tw_compile(graph, 1, &in, OUTPUTS, out, &ways[way]);
        tw_tensor *result[OUTPUTS] = {NULL};
        if (!program || tw_run(program, &x, result)) fail_msg("%s", tw_message(context));
        for (int i = 0; i < OUTPUTS; i++) {
            assert_int_equal(numbers_of(result[i], ALL, got), ALL);
            assert_near(titles[i], ALL, got, want[i], tolerance);
            tw_tensor_free(result[i]);
        }
        tw_program_free(program);
    }
    check_text(graph, says);
    tw_graph *immediate = tw_graph_new(context, NULL, TW_IMMEDIATE, NULL);
    build(name, attr, tw_constant(immediate, x), out);
    for (int i = 0; i < OUTPUTS; i++) {
        float single[ALL];
        bool narrow = dtype == TW_F32;
        if (tw_read(out[i], narrow ? (void *)single : got, narrow ? sizeof single : sizeof got))
            fail_msg("%s", tw_message(context));
        for (int k = 0; narrow && k < ALL; k++) got[k] = single[k];
        assert_near(titles[i], ALL, got, want[i], tolerance);
    }
    tw_graph_free(immediate);
    tw_graph_free(graph);
    tw_tensor_free(x);
}

/* y = s x^n: first = 2 n s^2 x^(2n-1), second = 8 n^2 (2n-1) s^4 x^(4n-3). */
static void powers(double s, int n, double (*out)[ALL]) {
    for (int i = 0; i < ALL; i++) {
        double x = points[i];
        out[Y][i] = s * pow(x, n);
        out[FIRST][i] = 2 * n * s * s * pow(x, 2 * n - 1);
        out[SECOND][i] = 8 * n * n * (2 * n - 1) * pow(s, 4) * pow(x, 4 * n - 3);
    }
}

static void scalar_operator(void **state) {
    (void)state;
    double want[OUTPUTS][ALL];
    powers(1, 3, want);
    check("cube", NULL, " = cube(%0) : f32[n,3]", TW_F32, want);
    check("cube", NULL, " = cube(%0) : f64[n,3]", TW_F64, want);
}

static void composite_operator(void **state) {
    (void)state;
    double want[OUTPUTS][ALL];
    const tw_attr scale = tw_attr_float(0.5);
    powers(0.5, 4, want);
    check("fourth", &scale, " = fourth(%0) {scale=0.5} : f32[n,3]", TW_F32, want);
    check("fourth", &scale, " = fourth(%0) {scale=0.5} : f64[n,3]", TW_F64, want);
    powers(1, 4, want);
    check("fourth", NULL, " = fourth(%0) : f64[n,3]", TW_F64, want);
}

/* With C the running sum: y = C x, first = 2 C'C x, second = 8 C'C C'C x. */
static void loops_operator(void **state) {
    (void)state;
    double want[OUTPUTS][ALL], once[ALL], forth[ALL];
    for (int way = 0; way < 2; way++) {
        bool backwards = way;
        running_sum_f64(points, want[Y], ROWS, COLUMNS, backwards);
        running_sum_f64(want[Y], once, ROWS, COLUMNS, !backwards);
        running_sum_f64(once, forth, ROWS, COLUMNS, backwards);
        running_sum_f64(forth, want[SECOND], ROWS, COLUMNS, !backwards);
        for (int i = 0; i < ALL; i++) want[FIRST][i] = 2 * once[i], want[SECOND][i] *= 8;
        const tw_attr attr = tw_attr_int(backwards);
        check("running_sum", &attr, "{backwards=true}", TW_F32, want);
        check("running_sum", &attr, "{backwards=true}", TW_F64, want);
    }
}

static void infer_refuses_by_name(void **state) {
    (void)state;
    tw_graph *graph = tw_graph_new(context, NULL, TW_SYMBOLIC, NULL);
    tw_scope_begin(graph, "block");
    tw_value x = tw_input(graph, "x", TW_I32, TW_SHAPE(2));
    assert_false(tw_ok(tw_apply(graph, "cube", 1, &x, NULL, NULL)));
    assert_int_equal(tw_graph_status(graph), TW_ERR_TYPE);
    assert_string_equal(tw_message(context),
                        "cube(i32[2]) in scope \"block\": x is i32, expected a float");
    tw_graph_free(graph);
}

static void refused(const tw_operator *op, const char *field) {
    assert_int_equal(tw_register(context, op), TW_ERR_ARGUMENT);
    if (!strstr(tw_message(context), op->name) || !strstr(tw_message(context), field))
        fail_msg("\"%s\" and \"%s\" are not in: %s", op->name, field, tw_message(context));
}

#define LACKS(whole, field)                                                                        \
    do {                                                                                           \
        tw_operator op = whole;                                                                    \
        op.name = "incomplete";                                                                    \
        memset(&op.field, 0, sizeof op.field);                                                     \
        refused(&op, "lacks its field: " #field);                                                  \
    } while (0)

static void missing_fields_are_named(void **state) {
    (void)state;
    LACKS(cube, formula);
    LACKS(cube, semantics);
    LACKS(cube, operands);
    LACKS(cube, results);
    LACKS(cube, infer);
    LACKS(cube, vjp);
    LACKS(cube, factors);
    LACKS(cube, cost);
    LACKS(cube, meaning);
    LACKS(cube, scalar);
    LACKS(cube, samples);
    LACKS(running_sum, kernel);
    LACKS(fourth, body);
    tw_operator map = cube;
    map.name = "incomplete";
    map.meaning = TW_MEANS_MAP;
    refused(&map, "lacks its field: map");
    assert_null(tw_operator_find(context, "incomplete"));
    tw_operator nameless = cube;
    nameless.name = NULL;
    assert_int_equal(tw_register(context, &nameless), TW_ERR_NULL);
    assert_non_null(strstr(tw_message(context), "needs a name"));
    assert_int_equal(tw_register(context, NULL), TW_ERR_NULL);
    assert_int_equal(tw_register(NULL, &cube), TW_ERR_NULL);
}

static void taken_names_are_refused(void **state) {
    (void)state;
    refused(&cube, "registered already");
    tw_operator other = cube;
    other.name = "add";
    refused(&other, "registered already");
    assert_ptr_equal(tw_operator_find(context, "cube"), &cube);
    assert_ptr_not_equal(tw_operator_find(context, "add"), &other);
    /* Another context has a table of its own. */
    tw_context *apart = tw_context_new(NULL);
    assert_null(tw_operator_find(apart, "cube"));
    assert_int_equal(tw_register(apart, &cube), TW_OK);
    tw_context_free(apart);
}

static void scalar_operators_have_few_operands(void **state) {
    (void)state;
    static const char *const operands[] = {"a b c d e", "x bias?", "x...", ""};
    for (size_t i = 0; i < sizeof operands / sizeof *operands; i++) {
        tw_operator wide = cube;
        wide.name = "wide";
        wide.operands = operands[i];
        refused(&wide, "1 to 4 operands, none optional or open, and one result");
    }
    tw_operator pair = cube;
    pair.name = "pair";
    pair.results = "y (z)";
    refused(&pair, "results \"y (z)\"");
    pair.results = "";
    refused(&pair, "one result");
    /* As many as there may be. */
    tw_context *apart = tw_context_new(NULL);
    tw_operator most = cube;
    most.operands = "a b c d";
    assert_int_equal(tw_register(apart, &most), TW_OK);
    tw_context_free(apart);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scalar_operator),
        cmocka_unit_test(composite_operator),
        cmocka_unit_test(loops_operator),
        cmocka_unit_test(infer_refuses_by_name),
        cmocka_unit_test(missing_fields_are_named),
        cmocka_unit_test(taken_names_are_refused),
        cmocka_unit_test(scalar_operators_have_few_operands),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
