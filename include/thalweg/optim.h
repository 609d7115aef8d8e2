/* Optimisers: the update phase of a graph. */
#ifndef THALWEG_OPTIM_H
#define THALWEG_OPTIM_H

#include <thalweg/graph.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum tw_optimizer_kind { TW_SGD = 1, TW_MOMENTUM, TW_ADAM, TW_ADAMW } tw_optimizer_kind;

#define TW_ZERO (-0x1p-1000) /* an exact zero where 0 means the default */

/* Zero is each field's default; TW_ZERO says an exact zero. */
typedef struct tw_optimizer {
    tw_optimizer_kind kind;
    double rate;     /* default 1e-3; SGD and momentum 1e-2 */
    double momentum; /* TW_MOMENTUM; default 0.9 */
    bool nesterov;
    double beta1, beta2, epsilon; /* Adam (Kingma & Ba 2015): 0.9, 0.999, 1e-8 */
    double weight_decay;          /* L2 added to the gradient; TW_ADAMW: decoupled */
    const char *no_decay;         /* space-separated path patterns with * */
    const char *parameters;       /* patterns of the trained parameters; default: all */
    double clip_norm;             /* global norm; default: none */
    int microbatches;             /* cut axis 0 of every input in so many parts; default 1 */
    void *reserved_[8];
} tw_optimizer;

/*
 * Gradient of the loss for its parameters and one update of each, as assigns. State lives in
 * variables "optimizer/<path>/m" and the like; "optimizer/step" counts. With microbatches, sums
 * and weights of the parts are added in a fixed binary tree and divided once: the loss must be a
 * pair (tw_loss). A sparse gradient updates only its rows under TW_SGD (the same numbers as the
 * dense update); the other kinds make it dense first.
 */
TW_API void tw_minimize(tw_value loss, const tw_optimizer *optimizer);

#ifdef __cplusplus
}
#endif
#endif
