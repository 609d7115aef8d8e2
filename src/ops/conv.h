/*
 * What the operators conv, conv_input_grad, conv_weight_grad and conv_bias share: their attributes
 * and the geometry of a call. All are one trilinear form over x, w and dy:
 *   sum over n, o, k, c, m of  x[n, i, c] * w[k, c - group's, m] * dy[n, o, m]
 *   where i * base_dilation = o * stride - low + k * dilation
 */
#ifndef OPS_CONV_H
#define OPS_CONV_H

#include <thalweg/operator.h>
#include <thalweg/operators.h>

#include "ops/rules.h"

/* The first attributes of each of the four; the gradients add `space` and `window`. */
enum {
    CONV_STRIDE,
    CONV_LOW,
    CONV_HIGH,
    CONV_DILATION,
    CONV_BASE_DILATION,
    CONV_GROUPS,
    CONV_RESULT,
    CONV_ATTRS, /* here stands what an operator adds: space, window, activation */
    CONV_MORE = CONV_ATTRS
};

/* The entries of those attributes in a tw_attr_spec array. */
#define CONV_ATTR_SPECS                                                                            \
    {"stride", TW_ATTR_INTS, "[]", NULL, "step of the window per spatial axis; []: 1"},            \
        {"low", TW_ATTR_INTS, "[]", NULL, "zeros before the first element; []: 0"},                \
        {"high", TW_ATTR_INTS, "[]", NULL, "zeros after the last element; []: 0"},                 \
        {"dilation", TW_ATTR_INTS, "[]", NULL, "distance of the window's elements; []: 1"},        \
        {"base_dilation", TW_ATTR_INTS, "[]", NULL, "distance of the input's elements; []: 1"},    \
        {"groups", TW_ATTR_INT, "1", NULL, "groups of channels, each convolved by itself"},        \
        RULE_RESULT_SPEC

/* Fills attr[0..CONV_ATTRS-1] from the options (NULL: all defaults) for x and w of these types.
 * False for a rank without 1 to 3 spatial axes, or `same` with extents that are not numbers. */
bool conv_attributes(tw_type x, tw_type w, const tw_conv_opts *opts, tw_attr *attr);

/* A call in numbers, as if there were three spatial axes (outer ones of extent 1). */
typedef struct conv_geometry {
    int64_t batch, groups, in_channels, out_channels; /* channels of all groups together */
    int64_t in[3], out[3], window[3];
    int64_t stride[3], low[3], high[3], dilation[3], base_dilation[3];
} conv_geometry;

/* From the types of x, w and y and the shared attributes; extents are numbers that fit. */
conv_geometry conv_geometry_of(tw_type x, tw_type w, tw_type y, const tw_attr *attr);

/* From so many samples on the batch is cut into pieces, each of which is one thread's. */
enum { CONV_FEW_SAMPLES = 8 };
/* Those whose result is the batch's, sample after sample: conv, conv_bias and conv_input_grad. */
bool conv_by_samples(const tw_operator *op);

/* The type of y for x and w that fit each other. */
tw_type conv_type(tw_context *context, tw_type x, tw_type w, const tw_attr *attr);
/* index[o, k]: where in the plane of x the window's element k lies for y's position o, -1 in the
 * padding and in the gaps of dilation. */
void conv_windows(const conv_geometry *g, int32_t *index);

/* The plain kernel of conv for f32 and f64: y (batch, out, out_channels). */
void conv_plain(tw_context *context, const conv_geometry *g, tw_dtype dtype, const void *x,
                const void *w, void *y);

/* Batch rules of conv, conv_input_grad and conv_weight_grad. */
void conv_batch(tw_graph *graph, tw_batch *rule);
void conv_input_grad_batch(tw_graph *graph, tw_batch *rule);
void conv_weight_grad_batch(tw_graph *graph, tw_batch *rule);

#endif
