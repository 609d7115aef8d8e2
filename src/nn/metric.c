/* Metrics: counts as graph functions, and what the host makes of counts and of whole arrays. */
#include <math.h>
#include <stdlib.h>
#include <thalweg/metric.h>

#include "base/context.h"
#include "nn/loss.h"

tw_value tw_correct(tw_value logits, tw_value labels) {
    const tw_value in[] = {logits, labels};
    if (!rule_usable("tw_correct", 2, in)) return rule_poison(rule_graph(2, in));
    tw_value answer = tw_argmax(logits, -1);
    if (tw_ok(answer)) labels = loss_labels("tw_correct", labels, tw_shape_of(answer));
    if (!tw_ok(answer) || !tw_ok(labels)) return rule_poison(rule_graph(2, in));
    tw_value right = tw_compare(TW_EQ, tw_cast(answer, tw_dtype_of(labels)), labels);
    return tw_sum(tw_cast(right, TW_I32));
}

/* A label is among the k greatest when fewer than k logits rank before its own. */
tw_value tw_top_k_correct(tw_value logits, tw_value labels, int64_t k) {
    const tw_value in[] = {logits, labels};
    if (!rule_usable("tw_top_k_correct", 2, in)) return rule_poison(rule_graph(2, in));
    tw_shape shape = tw_shape_of(logits), column = loss_rows(shape);
    if (shape.rank == 0 || k < 1) {
        return rule_fail(logits.graph, TW_ERR_ARGUMENT,
                         "tw_top_k_correct: logits of rank %d and k = %lld, expected "
                         "(..., classes) and at least 1",
                         (int)shape.rank, (long long)k);
    }
    labels = loss_labels("tw_top_k_correct", labels, column);
    if (!tw_ok(labels)) return labels;
    column.dim[column.rank++] = 1;
    tw_value own = tw_reshape(labels, column);
    tw_value right = tw_take_along(logits, own, -1);
    tw_value place = tw_iota(logits.graph, tw_dtype_of(own), shape, shape.rank - 1);
    tw_value tied = tw_and(tw_compare(TW_EQ, logits, right), tw_compare(TW_LT, place, own));
    tw_value before = tw_or(tw_compare(TW_GT, logits, right), tied);
    tw_value count = tw_sum_axis(tw_cast(before, TW_I32), -1, true);
    tw_value good = tw_compare(TW_LT, count, tw_literal(count, (double)k));
    good = tw_and(good, tw_compare(TW_GE, own, tw_literal(own, 0)));
    good = tw_and(good, tw_compare(TW_EQ, right, right)); /* no NaN */
    return tw_sum(tw_cast(good, TW_I32));
}

/* Counts (rows, columns) of i64 of pairs of indices of one shape. */
static tw_value count_pairs(const char *function, tw_value row, tw_value column, int64_t rows,
                            int64_t columns) {
    row = loss_labels(function, row, tw_shape_of(column));
    column = tw_ok(row) ? loss_labels(function, column, tw_shape_of(column)) : row;
    if (!tw_ok(column)) return column;
    tw_value flat = tw_reshape(column, TW_SHAPE(TW_DIM_INFER));
    tw_value ones = tw_one_hot(flat, columns, TW_I64);
    tw_value none = tw_zeros(row.graph, TW_I64, TW_SHAPE(rows, columns));
    return tw_scatter_add(none, tw_reshape(row, TW_SHAPE(TW_DIM_INFER)), ones);
}

tw_value tw_confusion(tw_value predicted, tw_value labels, int64_t classes) {
    const tw_value in[] = {predicted, labels};
    if (!rule_usable("tw_confusion", 2, in)) return rule_poison(rule_graph(2, in));
    if (classes < 1) {
        return rule_fail(labels.graph, TW_ERR_ARGUMENT,
                         "tw_confusion: %lld classes, expected at least 1", (long long)classes);
    }
    return count_pairs("tw_confusion", labels, predicted, classes, classes);
}

tw_value tw_score_counts(tw_value scores, tw_value labels, int64_t bins) {
    const tw_value in[] = {scores, labels};
    if (!rule_usable("tw_score_counts", 2, in)) return rule_poison(rule_graph(2, in));
    tw_dtype dtype = tw_dtype_of(scores);
    if (!type_in(dtype, TYPES_FLOAT) || bins < 1 || bins > INT32_MAX) {
        return rule_fail(scores.graph, TW_ERR_ARGUMENT,
                         "tw_score_counts: scores of %s in %lld bins, expected floats and at "
                         "least 1",
                         tw_dtype_name(dtype), (long long)bins);
    }
    tw_value bin = tw_cast(tw_floor(tw_scale(loss_fine(scores), (double)bins)), TW_I32);
    bin = tw_min(tw_max(bin, tw_literal(bin, 0)), tw_literal(bin, (double)(bins - 1)));
    return count_pairs("tw_score_counts", labels, bin, 2, bins);
}

tw_value tw_perplexity(tw_value loss) { return tw_exp(loss); }

/* host */

typedef struct outcome {
    double hits, predicted, labelled; /* true positives; column and row of the class */
} outcome;

static outcome outcome_of(int64_t classes, const int64_t *confusion, int64_t which) {
    outcome o = {(double)confusion[which * classes + which], 0, 0};
    for (int64_t i = 0; i < classes; i++) {
        o.predicted += (double)confusion[i * classes + which];
        o.labelled += (double)confusion[which * classes + i];
    }
    return o;
}

static double ratio(double a, double b) { return b > 0 ? a / b : 0; }

static tw_scores scores_of(outcome o) {
    return (tw_scores){ratio(o.hits, o.predicted), ratio(o.hits, o.labelled),
                       ratio(2 * o.hits, o.predicted + o.labelled)};
}

double tw_accuracy(int64_t classes, const int64_t *confusion) {
    if (!confusion) return NAN;
    double hits = 0, all = 0;
    for (int64_t i = 0; i < classes; i++) {
        outcome o = outcome_of(classes, confusion, i);
        hits += o.hits;
        all += o.labelled;
    }
    return all > 0 ? hits / all : NAN;
}

tw_scores tw_scores_of(int64_t classes, const int64_t *confusion, int64_t which) {
    if (!confusion || which < 0 || which >= classes) return (tw_scores){NAN, NAN, NAN};
    return scores_of(outcome_of(classes, confusion, which));
}

tw_scores tw_scores_macro(int64_t classes, const int64_t *confusion) {
    if (!confusion) return (tw_scores){NAN, NAN, NAN};
    tw_scores mean = {0, 0, 0};
    double n = 0;
    for (int64_t i = 0; i < classes; i++) {
        outcome o = outcome_of(classes, confusion, i);
        tw_scores s = scores_of(o);
        n += o.predicted + o.labelled > 0;
        mean.precision += s.precision;
        mean.recall += s.recall;
        mean.f1 += s.f1;
    }
    return (tw_scores){ratio(mean.precision, n), ratio(mean.recall, n), ratio(mean.f1, n)};
}

tw_scores tw_scores_micro(int64_t classes, const int64_t *confusion) {
    if (!confusion) return (tw_scores){NAN, NAN, NAN};
    outcome all = {0, 0, 0};
    for (int64_t i = 0; i < classes; i++) {
        outcome o = outcome_of(classes, confusion, i);
        all.hits += o.hits;
        all.predicted += o.predicted;
        all.labelled += o.labelled;
    }
    return scores_of(all);
}

static int compare_floats(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* The area from two ascending lists: pairs won, and half of the ties. */
static double area(const float *positive, int64_t p, const float *negative, int64_t n) {
    double won = 0;
    int64_t below = 0, upto = 0; /* negatives < score, <= score */
    for (int64_t i = 0; i < p; i++) {
        while (below < n && negative[below] < positive[i]) below++;
        while (upto < n && negative[upto] <= positive[i]) upto++;
        won += (double)below + 0.5 * (double)(upto - below);
    }
    return p && n ? won / (double)p / (double)n : NAN;
}

double tw_auc(tw_context *context, int64_t n, const float *scores, const int32_t *labels) {
    if (!context || n < 1 || !scores || !labels) return NAN;
    float *sorted = context_allocate(context, (size_t)n, sizeof *sorted);
    if (!sorted) return NAN;
    int64_t positives = 0, negatives = 0;
    bool good = true;
    for (int64_t i = 0; good && i < n; i++) { /* positives from the front, negatives from the end */
        if (labels[i] < 0) continue;
        good = scores[i] == scores[i];
        sorted[labels[i] ? positives++ : n - ++negatives] = scores[i];
    }
    float *other = sorted + (n - negatives);
    if (good && positives && negatives) {
        qsort(sorted, (size_t)positives, sizeof *sorted, compare_floats);
        qsort(other, (size_t)negatives, sizeof *sorted, compare_floats);
    }
    double found = good ? area(sorted, positives, other, negatives) : NAN;
    context_release(context, sorted);
    return found;
}

double tw_auc_of_counts(int64_t bins, const int64_t *counts) {
    if (!counts) return NAN;
    double won = 0, negatives = 0, positives = 0;
    for (int64_t i = 0; i < bins; i++) {
        double n = (double)counts[i], p = (double)counts[bins + i];
        won += p * (negatives + 0.5 * n);
        negatives += n;
        positives += p;
    }
    return positives > 0 && negatives > 0 ? won / positives / negatives : NAN;
}
