/* Convolution, bias and activation as one composite, so that one kernel may do all three. */
#include "ops/batch.h"
#include "ops/composite.h"
#include "ops/conv.h"

enum { CONV_ACTIVATION = CONV_ATTRS };
enum { ACTIVATION_NONE, ACTIVATION_RELU };

static void conv_bias_body(tw_graph *graph, const tw_signature *signature, const tw_value *in,
                           tw_value *out) {
    tw_shape w = signature->operand[1].shape, bias = signature->operand[2].shape;
    tw_dtype result = (tw_dtype)signature->attr[CONV_RESULT].i;
    if (w.rank < 1 || bias.rank != 1 || bias.dim[0] != w.dim[w.rank - 1]) {
        tw_fail(graph, "bias must have an element for each output channel, the last extent of w");
        return;
    }
    if (!body_type(graph, signature, 0, TYPES_FLOAT) ||
        !body_expects(graph, signature, 2, result ? result : signature->operand[0].dtype, bias))
        return;
    tw_value y = tw_apply(graph, "conv", 2, in, signature->attr, NULL);
    y = tw_add(y, in[2]);
    out[0] = signature->attr[CONV_ACTIVATION].i == ACTIVATION_RELU ? tw_relu(y) : y;
}

/* The shared attributes and the DIMS of the spatial axes `from`.. of `shape`. */
static void gradient_attributes(const tw_attr *attr, tw_shape shape, int from, tw_attr *out) {
    for (int k = 0; k < CONV_ATTRS; k++) out[k] = attr[k];
    out[CONV_RESULT] = tw_attr_int(0);
    out[CONV_MORE] = tw_attr_dims(tw_shape_make(shape.rank - 2, shape.dim + from));
}

/* By y instead of what goes into the activation: relu(z) > 0 just where z > 0. */
static void conv_bias_vjp(tw_graph *graph, tw_vjp *rule) {
    tw_value x = rule->operand[0], w = rule->operand[1], dy = rule->d_result[0];
    if (rule->attr[CONV_ACTIVATION].i == ACTIVATION_RELU) dy = relu_grad(rule->result[0], dy);
    tw_attr attr[CONV_ATTRS + 1];
    gradient_attributes(rule->attr, rule->operand_type[0].shape, 1, attr);
    tw_value narrow = tw_cast(dy, rule->operand_type[0].dtype); /* a `result` may be wider */
    const tw_value for_x[] = {narrow, w}, for_w[] = {x, narrow};
    if (rule->wanted[0])
        rule->d_operand[0] = tw_apply(graph, "conv_input_grad", 2, for_x, attr, NULL);
    gradient_attributes(rule->attr, rule->operand_type[1].shape, 0, attr);
    rule->d_operand[1] = tw_apply(graph, "conv_weight_grad", 2, for_w, attr, NULL);
    /* (batch, space..., out) -> (out) */
    int64_t channels = rule->operand_type[2].shape.dim[0];
    tw_value rows = tw_reshape(dy, TW_SHAPE(TW_DIM_INFER, channels));
    rule->d_operand[2] = tw_sum_axis(rows, 0, false);
}

/* The examples join the batch of x; with weights of their own they are left to the body. */
static void conv_bias_batch(tw_graph *graph, tw_batch *rule) {
    if (rule->batched[1] || rule->batched[2] || rule->size == 0) return;
    const tw_value in[] = {batch_join(rule->operand[0], 0, 1), rule->operand[1], rule->operand[2]};
    tw_value y = tw_apply(graph, "conv_bias", 3, in, rule->attr, NULL);
    rule->result[0] = batch_part(y, 0, 1, rule->size);
}

static const tw_attr_spec conv_bias_attributes[] = {
    CONV_ATTR_SPECS,
    {"activation", TW_ATTR_CHOICE, "none", "none relu", "what is applied to the sum"},
    {NULL, 0, NULL, NULL, NULL},
};

static const tw_sample conv_bias_samples[] = {
    {.operands = "f64[2,5,4,3] f64[3,3,3,2] f64[2]", .attributes = "low=[1,1] high=[1,1]"},
    {.operands = "f64[1,4,4,2] f64[2,2,1,4] f64[4]",
     .attributes = "stride=[2,2] groups=2 activation=relu"},
    {.operands = "f64[2,6,1] f64[3,1,2] f64[2]", .attributes = "dilation=[2]"},
    {.operands = "f64[1,1,1] f64[1,1,1] f64[1]", .attributes = "activation=relu"},
    {.operands = "f64[0,4,4,2] f64[3,3,2,2] f64[2]"},
    {.operands = "bf16[2,5,4,3] bf16[3,3,3,2] f32[2]",
     .attributes = "low=[1,1] high=[1,1] result=f32 activation=relu"},
    {.operands = NULL},
};

const tw_operator op_conv_bias = {
    .name = "conv_bias",
    .formula = "y = activation(conv(x, w) + bias)",
    .semantics = "as conv and relu",
    .operands = "x w bias",
    .results = "y",
    .attributes = conv_bias_attributes,
    .vjp = conv_bias_vjp,
    .batch = conv_bias_batch,
    .meaning = TW_MEANS_BODY,
    .whole = true,
    .body = conv_bias_body,
    .samples = conv_bias_samples,
};

tw_value tw_conv_bias(tw_value x, tw_value w, tw_value bias, const tw_conv_opts *opts) {
    const tw_value in[] = {x, w, bias};
    if (!rule_usable("tw_conv_bias", 3, in)) return rule_poison(rule_graph(3, in));
    tw_attr attr[CONV_ATTRS + 1] = {{0}};
    if (!conv_attributes(tw_type_of(x), tw_type_of(w), opts, attr))
        return rule_fail(x.graph, TW_ERR_SHAPE,
                         "tw_conv_bias: x must be (batch, space..., in) with 1 to 3 spatial axes "
                         "and w of the same rank; `same` needs extents that are numbers");
    attr[CONV_ACTIVATION] = tw_attr_int(opts && opts->relu ? ACTIVATION_RELU : ACTIVATION_NONE);
    return tw_apply(x.graph, "conv_bias", 3, in, attr, NULL);
}
