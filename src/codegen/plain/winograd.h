/*
 * 3x3 convolutions of stride 1 by Winograd's F(2x2, 3x3) (Lavin & Gray 2015): 16 products of
 * matrices on transformed tiles take 4/9 of the multiplications of the direct sums. With f32 the
 * roundings are of the size of the direct form's: the transforms hold 0, 1 and 1/2 alone.
 */
#ifndef CODEGEN_PLAIN_WINOGRAD_H
#define CODEGEN_PLAIN_WINOGRAD_H

#include "codegen/conv_finish.h"
#include "ops/conv.h"

/* Whether the machine has vectors wide enough for this, and the geometry is of this kind. */
bool winograd_serves(const conv_geometry *g);
/* The same for the weight gradient, whose sums must stay in cache. */
bool winograd_serves_weights(const conv_geometry *g);

/*
 * Floats of working memory: the transformed weights, a thread's blocks, and (for the weight
 * gradient) the sums of the `pieces` that the batch is cut into.
 */
size_t winograd_weight_floats(const conv_geometry *g);
size_t winograd_block_floats(const conv_geometry *g);
/* ... and of the samples that a thread finishes at a time, of y or of dx. */
size_t winograd_finished_floats(const conv_geometry *g, bool input_grad);
int winograd_pieces(const conv_geometry *g);

/*
 * The memory and the arrays of a call. Each call is false where a result is not finite. A tile
 * mixes its numbers, so an infinity spreads to neighbours that the direct sums keep apart from it:
 * the caller then takes the direct form, and finishes all samples again.
 */
typedef struct winograd_arrays {
    const float *x, *w, *bias, *dy; /* bias: may be NULL */
    float *result;                  /* with `finish`: winograd_finished_floats for each thread */
    const conv_finish *finish; /* of winograd_conv and winograd_input_grad; NULL: all is kept */
    bool relu;                 /* of what winograd_conv gives */
    float *weights, *blocks, *sums; /* sums: winograd_pieces of winograd_weight_floats */
} winograd_arrays;

/* y = conv(x, w), plus bias, rectified. */
bool winograd_conv(tw_context *context, const conv_geometry *g, const winograd_arrays *arrays);
/* dx from dy and w. */
bool winograd_input_grad(tw_context *context, const conv_geometry *g,
                         const winograd_arrays *arrays);
/* dw from x and dy. */
bool winograd_weight_grad(tw_context *context, const conv_geometry *g,
                          const winograd_arrays *arrays);

#endif
