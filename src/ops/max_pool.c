/*
 * Max pooling over the spatial axes of x (batch, space..., channels), which keeps where each
 * maximum was, and its gradient as a scatter to these places.
 */
#include <thalweg/operators.h>

#include "ops/batch.h"
#include "ops/composite.h"

enum { POOL_WINDOW, POOL_STRIDE, POOL_LOW, POOL_HIGH, POOL_DILATION, POOL_ATTRS };
enum { POOL_SPACE = POOL_DILATION }; /* in the gradient's list */

/* Number i of a list that may be left empty. */
static int64_t entry(const tw_attr *attr, int i, int64_t fallback) {
    return i < attr->list.rank ? attr->list.dim[i] : fallback;
}

/* (batch, space..., channels) -> (batch, positions, channels) */
static tw_shape flat_shape(tw_context *context, tw_shape shape) {
    int last = shape.rank - 1;
    return TW_SHAPE(shape.dim[0], tw_dim_product(context, shape, 1, last), shape.dim[last]);
}

static void max_pool_body(tw_graph *graph, const tw_signature *signature, const tw_value *in,
                          tw_value *out) {
    tw_shape shape = signature->operand[0].shape;
    const tw_attr *attr = signature->attr;
    if (shape.rank < 3 || shape.rank > 5 || attr[POOL_WINDOW].list.rank != shape.rank - 2) {
        tw_fail(graph, "x must be (batch, space..., channels) with 1 to 3 spatial axes, and "
                       "window must have an extent for each of them");
        return;
    }
    if (!body_type(graph, signature, 0, TYPES_FLOAT)) return;
    tw_attr full[POOL_ATTRS];
    for (int k = POOL_WINDOW; k < POOL_DILATION; k++) full[k] = attr[POOL_WINDOW];
    full[POOL_DILATION] = attr[POOL_DILATION];
    for (int i = 0; i < shape.rank - 2; i++) {
        full[POOL_STRIDE].list.dim[i] = entry(&attr[POOL_STRIDE], i, attr[POOL_WINDOW].list.dim[i]);
        full[POOL_LOW].list.dim[i] = entry(&attr[POOL_LOW], i, 0);
        full[POOL_HIGH].list.dim[i] = entry(&attr[POOL_HIGH], i, 0);
    }
    tw_value index = tw_apply(graph, "window_argmax", 1, in, full, NULL);
    if (!tw_ok(index)) return;
    tw_shape small = tw_shape_of(index);
    tw_value x = tw_reshape(in[0], flat_shape(signature->context, shape));
    tw_value at = tw_reshape(index, flat_shape(signature->context, small));
    out[0] = tw_reshape(tw_take_along(x, at, 1), small);
    out[1] = index;
}

static void max_pool_vjp(tw_graph *graph, tw_vjp *rule) {
    tw_shape shape = rule->operand_type[0].shape;
    tw_attr attr[POOL_SPACE + 1];
    for (int k = POOL_WINDOW; k <= POOL_HIGH; k++) attr[k] = rule->attr[k];
    attr[POOL_SPACE] = tw_attr_dims(tw_shape_make(shape.rank - 2, shape.dim + 1));
    const tw_value in[] = {rule->result[1], rule->d_result[0]};
    rule->d_operand[0] = tw_apply(graph, "max_pool_grad", 2, in, attr, NULL);
}

static const tw_attr_spec max_pool_attributes[] = {
    {"window", TW_ATTR_INTS, NULL, NULL, "extent of the window on each spatial axis"},
    {"stride", TW_ATTR_INTS, "[]", NULL, "distance between windows; empty: the window"},
    {"low", TW_ATTR_INTS, "[]", NULL, "padding before; empty: none"},
    {"high", TW_ATTR_INTS, "[]", NULL, "padding after; empty: none"},
    {"dilation", TW_ATTR_INTS, "[]", NULL, "distance of the window's elements; empty: 1"},
    {NULL, 0, NULL, NULL, NULL},
};

static const tw_sample max_pool_samples[] = {
    {.operands = "f64[2,4,6,3]", .attributes = "window=[2,2]", .distinct = true},
    {.operands = "f64[1,5,5,2]",
     .attributes = "window=[3,3] stride=[2,2] low=[1,1] high=[1,1]",
     .distinct = true},
    {.operands = "f64[2,7,1]", .attributes = "window=[2] stride=[1]", .distinct = true},
    {.operands = "f64[1,2,4,2,1]", .attributes = "window=[1,2,2]", .distinct = true},
    {.operands = "f64[1,2,1]", .attributes = "window=[1] stride=[1] low=[2]", .distinct = true},
    {.operands = "f64[1,7,6,2]",
     .attributes = "window=[2,3] stride=[2,1] low=[1,2] high=[0,1] dilation=[3,2]",
     .distinct = true},
    {.operands = "f64[2,6,1]",
     .attributes = "window=[2] stride=[1] dilation=[4]",
     .distinct = true},
    {.operands = "f64[0,4,4,3]", .attributes = "window=[2,2]"},
    {.operands = "bf16[1,4,6,3]", .attributes = "window=[2,2]"},
    {.operands = NULL},
};

const tw_operator op_max_pool = {
    .name = "max_pool",
    .formula = "y[n, o, c] = max over the window at o of x[n, ., c]; index: where, in the plane",
    .semantics = "NaN wins; the first of equals has the gradient; padding never wins: "
                 "a window with nothing else gives 0 and index -1",
    .operands = "x",
    .results = "y (index)",
    .attributes = max_pool_attributes,
    .vjp = max_pool_vjp,
    .batch = batch_rows,
    .meaning = TW_MEANS_BODY,
    .whole = true,
    .body = max_pool_body,
    .samples = max_pool_samples,
};

static void max_pool_grad_body(tw_graph *graph, const tw_signature *signature, const tw_value *in,
                               tw_value *out) {
    tw_type dy = signature->operand[1];
    tw_shape space = signature->attr[POOL_SPACE].list;
    int last = dy.shape.rank - 1;
    if (space.rank < 1 || space.rank != last - 1) {
        tw_fail(graph, "dy must be (batch, space..., channels) with an axis for each extent in "
                       "space");
        return;
    }
    if (!body_type(graph, signature, 1, TYPES_FLOAT) ||
        !body_expects(graph, signature, 0, TW_I32, dy.shape))
        return;
    tw_shape shape = dy.shape;
    for (int i = 0; i < space.rank; i++) shape.dim[i + 1] = space.dim[i];
    tw_shape flat = flat_shape(signature->context, dy.shape);
    tw_value base = tw_zeros(graph, dy.dtype, flat_shape(signature->context, shape));
    const tw_value scattered[] = {base, tw_reshape(in[0], flat), tw_reshape(in[1], flat)};
    /* axis, shared, how: add */
    const tw_attr attr[] = {tw_attr_int(1), tw_attr_dims(TW_SHAPE(0, 2)), tw_attr_int(0)};
    out[0] = tw_reshape(tw_apply(graph, "scatter", 3, scattered, attr, NULL), shape);
}

static const tw_attr_spec max_pool_grad_attributes[] = {
    {"window", TW_ATTR_INTS, NULL, NULL, "as in max_pool"},
    {"stride", TW_ATTR_INTS, "[]", NULL, "as in max_pool"},
    {"low", TW_ATTR_INTS, "[]", NULL, "as in max_pool"},
    {"high", TW_ATTR_INTS, "[]", NULL, "as in max_pool"},
    {"space", TW_ATTR_DIMS, NULL, NULL, "spatial extents of the pooled x"},
    {NULL, 0, NULL, NULL, NULL},
};

static const tw_sample max_pool_grad_samples[] = {
    {.operands = "i32[2,2,3,3] f64[2,2,3,3]",
     .attributes = "window=[2,2] space=[4,6]",
     .index_low = -1,
     .index_high = 23},
    {.operands = "i32[1,3,2] f64[1,3,2]",
     .attributes = "window=[2] stride=[1] space=[4]",
     .index_low = 0,
     .index_high = 3},
    {.operands = "i32[1,1,1] f64[1,1,1]",
     .attributes = "window=[1] space=[1]",
     .index_low = -1,
     .index_high = 0},
    {.operands = "i32[0,2,3] f64[0,2,3]", .attributes = "window=[2] space=[4]"},
    {.operands = NULL},
};

const tw_operator op_max_pool_grad = {
    .name = "max_pool_grad",
    .formula = "dx[n, p, c] = sum of dy[n, o, c] over the o with index[n, o, c] = p",
    .semantics = "a negative index is ignored; one past the end is TW_ERR_INDEX; equal indices "
                 "add up in order",
    .operands = "index dy",
    .results = "dx",
    .attributes = max_pool_grad_attributes,
    .batch = batch_rows,
    .meaning = TW_MEANS_BODY,
    .whole = true,
    .body = max_pool_grad_body,
    .samples = max_pool_grad_samples,
};

tw_value tw_max_pool(tw_value x, const tw_pool_opts *opts) {
    if (!rule_usable("tw_max_pool", 1, &x)) return rule_poison(x.graph);
    int space = tw_shape_of(x).rank - 2;
    if (!opts || space < 1 || space > 3)
        return rule_fail(x.graph, TW_ERR_ARGUMENT,
                         "tw_max_pool needs options with a window, and x (batch, space..., "
                         "channels) with 1 to 3 spatial axes; x has rank %d",
                         space + 2);
    tw_attr attr[POOL_ATTRS];
    for (int k = 0; k < POOL_ATTRS; k++) attr[k] = rule_ints(space, opts->window);
    bool dilated = false;
    for (int i = 0; i < space; i++) {
        if (opts->stride[i]) attr[POOL_STRIDE].list.dim[i] = opts->stride[i];
        attr[POOL_LOW].list.dim[i] = opts->low[i];
        attr[POOL_HIGH].list.dim[i] = opts->high[i];
        attr[POOL_DILATION].list.dim[i] = opts->dilation[i] ? opts->dilation[i] : 1;
        dilated |= opts->dilation[i] != 0;
    }
    if (!dilated) attr[POOL_DILATION] = rule_ints(0, NULL);
    return rule_apply1("max_pool", x, attr);
}
