/* Products cut in the middle of the depth, as a batch of two products that are added. */
#ifndef CODEGEN_GENERATED_HALVES_H
#define CODEGEN_GENERATED_HALVES_H

#include "codegen/generated/dot.h"

/* Whether the product is worth cutting, by its extents and whether w is updated; `halves` computes both of its halves. */
bool halves_of(const matrix_product *m, matrix_product *halves);
/* The memory that both take. */
size_t halves_bytes(const matrix_product *halves);
/* Adds them, to y or, where y is NULL, block by block to the finish. */
void halves_add(tw_context *context, const matrix_product *halves, const float *partial, float *y,
                const dot_finish *finish);

#endif
