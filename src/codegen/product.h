/*
 * A dot as a product of matrices y = x w, wherever its axes make one: each of the groups batch, rows,
 * columns and depth has to be one run of elements a fixed step apart (batch: up to three).
 */
#ifndef CODEGEN_PRODUCT_H
#define CODEGEN_PRODUCT_H

#include <thalweg/operator.h>

/* y = x * w over the last two axes, batched over the first rank - 2; strides in elements. */
enum { PRODUCT_RANK = 5 };
typedef struct matrix_product {
    int64_t rank;
    int64_t x_extent[PRODUCT_RANK], x_stride[PRODUCT_RANK];
    int64_t w_extent[PRODUCT_RANK], w_stride[PRODUCT_RANK];
    int64_t y_extent[PRODUCT_RANK], y_stride[PRODUCT_RANK];
} matrix_product;

/* False where the call is no product of matrices that are plain or transposed. `m` is zeroed. */
bool product_of(const tw_signature *signature, matrix_product *m);

/* The override of dot: generated tiles or the library, by the shape (product_choice.c). */
tw_status product_dot(const tw_kernel_call *call);
tw_status product_dot_workspace(const tw_signature *signature, size_t *bytes);

#endif
