/* Strided copies in their simplest form. */
#include "ops/pieces.h"

#include "ops/rules.h"

tw_piece piece_of(const tw_signature *signature, int operand) {
    tw_shape shape = signature->operand[operand].shape;
    tw_piece piece = {.operand = operand, .rank = shape.rank};
    for (int i = 0; i < shape.rank; i++) piece.extent[i] = shape.dim[i];
    rule_strides(shape, piece.in_step);
    return piece;
}

void pieces_add(pieces *list, const tw_piece *piece) {
    tw_piece merged = *piece;
    merged.rank = 0;
    for (int i = 0; i < piece->rank; i++) {
        if (piece->extent[i] == 0) return;
        if (piece->extent[i] == 1) continue;
        int last = merged.rank - 1;
        if (last >= 0 && merged.out_step[last] == piece->out_step[i] * piece->extent[i] &&
            merged.in_step[last] == piece->in_step[i] * piece->extent[i]) {
            merged.extent[last] *= piece->extent[i];
        } else {
            last = merged.rank++;
            merged.extent[last] = piece->extent[i];
        }
        merged.out_step[last] = piece->out_step[i];
        merged.in_step[last] = piece->in_step[i];
    }
    if (list->count < list->capacity) list->out[list->count] = merged;
    list->count++;
}
