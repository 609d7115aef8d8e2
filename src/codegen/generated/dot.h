/* Products of matrices by generated register tiles. */
#ifndef CODEGEN_GENERATED_DOT_H
#define CODEGEN_GENERATED_DOT_H

#include "codegen/product.h"

/*
 * y = x w in f32. TW_ERR_UNSUPPORTED, without a message, where there is no generated code or the shape is
 * not for it (too deep). The order of each sum follows from the extents, not from the threads.
 */
tw_status generated_dot(tw_context *context, const matrix_product *m, const float *x,
                        const float *w, float *y);

#endif
