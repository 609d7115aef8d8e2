/*
 * A dot as a product of matrices y = x w, wherever its axes make one: each of the groups batch, rows,
 * columns and depth has to be one run of elements a fixed step apart (batch: up to three).
 */
#ifndef OPS_PRODUCT_H
#define OPS_PRODUCT_H

#include <thalweg/operator.h>

/* y = x * w over the last two axes, batched over the first rank - 2; strides in elements. */
enum { PRODUCT_RANK = 5 };
typedef struct matrix_product {
    int64_t rank;
    int64_t x_extent[PRODUCT_RANK], x_stride[PRODUCT_RANK];
    int64_t w_extent[PRODUCT_RANK], w_stride[PRODUCT_RANK];
    int64_t y_extent[PRODUCT_RANK], y_stride[PRODUCT_RANK];
    int64_t w_updated; /* the program also writes w: threads had better keep to rows of it */
} matrix_product;

/* False where the call is no product of matrices that are plain or transposed. `m` is zeroed. */
bool product_of(const tw_signature *signature, matrix_product *m);

/*
 * Whether generated tiles are at least as fast as the library, of the products that they can compute: by
 * bench/bench_product but for two kinds of shape. The shape decides, never the threads.
 */
enum { PRODUCT_DEPTH = 4096 }; /* of one chain of sums, at most */
bool product_tiled(const matrix_product *m);

#endif
