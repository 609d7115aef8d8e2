/*
 * Metrics. Graph functions count: their results add up over batches, microbatches and devices.
 * Host functions make a number of the counts, or of whole arrays; they need no graph.
 */
#ifndef THALWEG_METRIC_H
#define THALWEG_METRIC_H

#include <thalweg/graph.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Graph functions. Labels are integers; negative ones are counted nowhere. */

/* How many rows of logits (..., classes) have their maximum at the label (...); i32 scalar. */
TW_API tw_value tw_correct(tw_value logits, tw_value labels);
/* How many rows have the label among their k greatest; i32 scalar. Of equal logits the first
 * ranks first, so k = 1 is tw_correct where there is no NaN, which is the greatest there and the least here. */
TW_API tw_value tw_top_k_correct(tw_value logits, tw_value labels, int64_t k);
/* Counts (classes, classes) of i64: row: the label, column: the prediction. Both are integers of
 * one shape; one past the end is TW_ERR_INDEX. */
TW_API tw_value tw_confusion(tw_value predicted, tw_value labels, int64_t classes);
/*
 * Scores in [0, 1] of labels 0 or 1, counted in equal bins: (2, bins) of i64, row 1 the positive
 * ones. Scores outside go to the first or last bin. For tw_auc_of_counts.
 */
TW_API tw_value tw_score_counts(tw_value scores, tw_value labels, int64_t bins);
/* exp(loss), of a mean cross-entropy per token. Means of it do not add up: take it of the mean. */
TW_API tw_value tw_perplexity(tw_value loss);

/* Host functions. `confusion` is a sum of what tw_confusion gives, row-major. NULL, or a class that
 * does not exist, gives NaN. */

typedef struct tw_scores {
    double precision, recall, f1; /* 0 where the denominator is 0 */
} tw_scores;
/* The share of counts on the diagonal; NaN of no counts. */
TW_API double tw_accuracy(int64_t classes, const int64_t *confusion);
/* Of one class against the rest. */
TW_API tw_scores tw_scores_of(int64_t classes, const int64_t *confusion, int64_t which);
/* The unweighted mean over classes that occur as a label or a prediction. */
TW_API tw_scores tw_scores_macro(int64_t classes, const int64_t *confusion);
/* Of the summed counts of all classes: all three are the accuracy. */
TW_API tw_scores tw_scores_micro(int64_t classes, const int64_t *confusion);

/*
 * The area under the ROC curve: the chance that a positive example scores above a negative one,
 * ties counting half. Labels above 0 are positive, 0 negative, negative ones are left out. Exact,
 * by ranks: Hanley & McNeil 1982. NaN when a class is missing, a score is NaN, or memory is out.
 */
TW_API double tw_auc(tw_context *context, int64_t n, const float *scores, const int32_t *labels);
/* The same of counts (2, bins): scores of one bin count as equal. */
TW_API double tw_auc_of_counts(int64_t bins, const int64_t *counts);

#ifdef __cplusplus
}
#endif
#endif
