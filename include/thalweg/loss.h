/* Losses and metrics: plain functions over values. */
#ifndef THALWEG_LOSS_H
#define THALWEG_LOSS_H

#include <thalweg/operators.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * A loss is a sum and a weight; its number is sum / weight. Microbatches and devices add up sums
 * and weights, and divide once. Losses below are made this way; weight is a scalar like sum.
 */
TW_API tw_value tw_loss(tw_value sum, tw_value weight);

typedef struct tw_cross_entropy_opts {
    void *reserved_[4];
} tw_cross_entropy_opts;
/* logits (..., classes), labels (...) integers; negative labels are ignored. Mean over the rest. */
TW_API tw_value tw_cross_entropy(tw_value logits, tw_value labels,
                                 const tw_cross_entropy_opts *opts);
TW_API tw_value tw_mse(tw_value prediction, tw_value target); /* mean over all elements */
/* How many rows of logits (rows, classes) have their maximum at the label; i32 scalar. */
TW_API tw_value tw_correct(tw_value logits, tw_value labels);

#ifdef __cplusplus
}
#endif
#endif
