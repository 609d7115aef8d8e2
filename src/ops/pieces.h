/* Index maps: strided copies from the extents and strides of operand and result. */
#ifndef OPS_PIECES_H
#define OPS_PIECES_H

#include <thalweg/operator.h>

/*
 * A list of pieces under construction. pieces_add drops axes of extent 1, merges axes that are
 * one run in both arrays, and leaves out a piece without elements; count may pass the capacity.
 */
typedef struct pieces {
    int count, capacity;
    tw_piece *out;
} pieces;
void pieces_add(pieces *list, const tw_piece *piece);
/* A piece over the box of `operand`: the steps of the operand, starts 0, out_step unset. */
tw_piece piece_of(const tw_signature *signature, int operand);

#endif
