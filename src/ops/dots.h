/* The parts of dots, each a dot. */
#ifndef OPS_DOTS_H
#define OPS_DOTS_H

#include <thalweg/operator.h>

/* By number, as dot and dots have them; `turned` is of dots alone. */
enum { DOTS_BATCH_A, DOTS_BATCH_B, DOTS_CONTRACT_A, DOTS_CONTRACT_B, DOTS_RESULT, DOTS_TURNED };

typedef struct dots_part {
    tw_signature signature;
    tw_type operand[2];
    tw_attr attr[DOTS_TURNED];
} dots_part;

/* Product i; its result is the signature's i-th. */
void dots_part_of(const tw_signature *signature, int i, dots_part *out);

#endif
