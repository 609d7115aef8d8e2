/*
 * Losses: plain functions over values. Each gives a pair of a sum and a weight (tw_loss), so that
 * microbatches and devices add up sums and weights, and divide once.
 *
 * Weights of examples, where an options struct has them, make the loss a weighted mean: the sum of
 * weight times loss over the sum of weights. Their axes are the leading ones of what is averaged:
 * for losses (batch, length), weights are (), (batch) or (batch, length). Operands have one float
 * type, weights too; of f16 and bf16 the loss is computed, and given, in f32. Errors: TW_ERR_SHAPE, TW_ERR_TYPE, TW_ERR_ARGUMENT on the graph.
 */
#ifndef THALWEG_LOSS_H
#define THALWEG_LOSS_H

#include <thalweg/metric.h>
#include <thalweg/operators.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The loss sum / weight, of two scalars. */
TW_API tw_value tw_loss(tw_value sum, tw_value weight);
/* The loss of losses (...) that are weighted as said above; absent weights are ones. */
TW_API tw_value tw_weighted_mean(tw_value losses, tw_value weights);

/* Regression: prediction and target of one shape. */

TW_API tw_value tw_mse(tw_value prediction, tw_value target); /* mean over all elements */

typedef struct tw_regression_opts {
    tw_value weights; /* of the elements or of leading axes */
    double delta;     /* Huber's delta, smooth L1's beta; default 1 */
    void *reserved_[4];
} tw_regression_opts;
TW_API tw_value tw_squared_error(tw_value prediction, tw_value target,
                                 const tw_regression_opts *opts);
TW_API tw_value tw_l1(tw_value prediction, tw_value target, const tw_regression_opts *opts);
/* d^2 / 2 where |d| <= delta, else delta (|d| - delta / 2): Huber 1964. */
TW_API tw_value tw_huber(tw_value prediction, tw_value target, const tw_regression_opts *opts);
/* Huber's loss divided by delta: Girshick 2015. */
TW_API tw_value tw_smooth_l1(tw_value prediction, tw_value target, const tw_regression_opts *opts);

/* Classification. */

typedef struct tw_cross_entropy_opts {
    tw_value weights;       /* of the rows, (...) or leading axes of it */
    tw_value class_weights; /* (classes) */
    double smoothing;       /* in [0, 1]: the target is (1 - s) label + s / classes: Szegedy 2016 */
    bool ignore;            /* ignore labels equal to `ignored`, as negative ones always are */
    int64_t ignored;
    void *reserved_[4];
} tw_cross_entropy_opts;
/*
 * Softmax cross-entropy of logits (..., classes). Integer labels (...): the mean over rows whose
 * label is not negative; with class weights, a row weighs as much as its label's class. Float
 * labels (..., classes) are probabilities: class weights multiply each class's term and rows weigh
 * alike. Both as PyTorch's cross_entropy. A label past the end is TW_ERR_INDEX when it runs.
 */
TW_API tw_value tw_cross_entropy(tw_value logits, tw_value labels,
                                 const tw_cross_entropy_opts *opts);

typedef struct tw_binary_cross_entropy_opts {
    tw_value weights;    /* of the elements or of leading axes */
    tw_value pos_weight; /* of the positive term; broadcasts to the targets' shape */
    void *reserved_[4];
} tw_binary_cross_entropy_opts;
/* Logits and targets in [0, 1] of one shape; the mean over all elements. Exact for logits of any
 * size: nothing overflows. */
TW_API tw_value tw_binary_cross_entropy(tw_value logits, tw_value targets,
                                        const tw_binary_cross_entropy_opts *opts);

typedef struct tw_kl_divergence_opts {
    tw_value weights; /* of the rows */
    bool log_target;  /* the target too is in logarithms */
    void *reserved_[4];
} tw_kl_divergence_opts;
/* sum of target (log target - log_input) over the last axis, 0 where target is 0; the mean over
 * rows, that is all other axes (for matrices PyTorch's "batchmean"). */
TW_API tw_value tw_kl_divergence(tw_value log_input, tw_value target,
                                 const tw_kl_divergence_opts *opts);

typedef struct tw_hinge_opts {
    tw_value weights; /* of the losses */
    double margin;    /* default 1 */
    bool squared;
    void *reserved_[4];
} tw_hinge_opts;
/* max(0, margin - target score), targets -1 or 1 of the scores' type and shape. */
TW_API tw_value tw_hinge(tw_value scores, tw_value targets, const tw_hinge_opts *opts);
/* Scores (..., classes), integer labels (...): the sum over classes but the label of
 * max(0, margin - score of the label + score) / classes; negative labels are ignored. Crammer &
 * Singer 2001 as PyTorch's multi_margin_loss. */
TW_API tw_value tw_multi_margin(tw_value scores, tw_value labels, const tw_hinge_opts *opts);

/* Similarity: rows (..., width) compared along the last axis. */

typedef struct tw_similarity_opts {
    tw_value weights; /* of the pairs or triplets */
    double margin;    /* default: 1; tw_cosine_embedding 0 */
    bool swap; /* tw_triplet_margin: the negative is the one nearer to either of the others */
    void *reserved_[4];
} tw_similarity_opts;
/* same (...) is 1 for pairs to pull together, -1 for others: 1 - cos, or max(0, cos - margin). */
TW_API tw_value tw_cosine_embedding(tw_value a, tw_value b, tw_value same,
                                    const tw_similarity_opts *opts);
/* same (...) in {0, 1}, D the distance of a and b: D^2 / 2, or max(0, margin - D)^2 / 2. Hadsell,
 * Chopra & LeCun 2006, eq. 4, whose Y is 1 - same. */
TW_API tw_value tw_contrastive(tw_value a, tw_value b, tw_value same,
                               const tw_similarity_opts *opts);
/* max(0, |anchor - positive| - |anchor - negative| + margin), 1e-6 added to each difference as in
 * PyTorch. Swap: Balntas et al. 2016. */
TW_API tw_value tw_triplet_margin(tw_value anchor, tw_value positive, tw_value negative,
                                  const tw_similarity_opts *opts);

typedef struct tw_info_nce_opts {
    tw_value weights;   /* of the rows */
    double temperature; /* default 1 */
    bool symmetric;     /* the mean of both directions: Radford et al. 2021 */
    void *reserved_[4];
} tw_info_nce_opts;
/*
 * Queries and keys (rows, width): cross-entropy of dot products / temperature, where key i is the
 * right one for query i and the batch's other keys are wrong: van den Oord et al. 2018. Rows are
 * not normalised. It joins the rows of a batch: under microbatches the whole batch's keys count.
 */
TW_API tw_value tw_info_nce(tw_value queries, tw_value keys, const tw_info_nce_opts *opts);

/* Ranking. */

typedef struct tw_ranking_opts {
    tw_value weights; /* of the pairs of tw_margin_ranking, else of the lists */
    double margin;    /* tw_margin_ranking; default 0 */
    void *reserved_[4];
} tw_ranking_opts;
/* max(0, margin - first (a - b)): first is 1 where a should rank before b, -1 where after. */
TW_API tw_value tw_margin_ranking(tw_value a, tw_value b, tw_value first,
                                  const tw_ranking_opts *opts);
/*
 * Over lists: scores and relevance (lists, items) of one type; an item of negative relevance is
 * padding. Time and memory grow with the square of items, but in tw_listnet.
 */
/* log(1 + exp(s_j - s_i)), the mean over pairs of a list with relevance i > j: RankNet, Burges et
 * al. 2005. */
TW_API tw_value tw_pairwise_logistic(tw_value scores, tw_value relevance,
                                     const tw_ranking_opts *opts);
/* Cross-entropy of softmax(relevance) and softmax(scores), the mean over lists: ListNet, Cao et
 * al. 2007, with top-1 probabilities. */
TW_API tw_value tw_listnet(tw_value scores, tw_value relevance, const tw_ranking_opts *opts);
/* The negative log-likelihood of the order by relevance, items of equal relevance in the order in
 * which they stand; the mean over lists: ListMLE, Xia et al. 2008. */
TW_API tw_value tw_listmle(tw_value scores, tw_value relevance, const tw_ranking_opts *opts);

/* Sequences. */

typedef struct tw_ctc_opts {
    tw_value weights;       /* (batch) */
    int64_t blank;          /* the class of the blank; default 0 */
    bool log_probabilities; /* logits are log-probabilities already: no log_softmax */
    bool zero_infinity;     /* an impossible alignment gives 0 in place of infinity */
    bool per_label;         /* divide each loss by its number of labels (at least 1) */
    void *reserved_[4];
} tw_ctc_opts;
/*
 * Connectionist temporal classification: Graves et al. 2006, eq. 6 to 8, by the forward recursion
 * in logarithms. Logits (batch, time, classes), labels (batch, length) of which the first
 * label_lengths (batch) count, each in 0..classes-1 and not the blank; input_lengths (batch) in
 * 1..time. Mean over examples (PyTorch's reduction="mean" is this with per_label). An impossible
 * alignment has gradient 0. Time and length must be numbers; the recursion is unrolled over time.
 * Lengths and labels are i32 or i64. A label or a length past the end is TW_ERR_INDEX.
 */
TW_API tw_value tw_ctc(tw_value logits, tw_value labels, tw_value input_lengths,
                       tw_value label_lengths, const tw_ctc_opts *opts);

#ifdef __cplusplus
}
#endif
#endif
