/* A compiled function run over batches of a dataset, and what it scored. */
#ifndef CLI_SCORE_H
#define CLI_SCORE_H

#include "cli/fit.h"
#include "cli/progress.h"

/* Sums over examples. */
typedef struct score {
    double loss, correct;
    int64_t examples;
} score;

/* Metrics, with or without an update. Fill in the first part; score_end frees the second. */
typedef struct scorer {
    tw_context *context;
    tw_jit *jit;
    tw_loader *loader;
    const fitted_data *data;
    int n_in;
    bool counts; /* there is a second result: correct answers */

    tw_tensor *out[2];
} scorer;

typedef enum score_result { SCORE_ONE = 1, SCORE_END, SCORE_FAILED } score_result;
/* The next batch, added to the sums; *loss is its mean. SCORE_FAILED comes after a message. */
score_result score_batch(scorer *it, score *sums, double *loss);
void score_end(scorer *it);

double score_loss(const score *sums);
/* Share of right answers, of which an example has `answers`. */
double score_accuracy(const score *sums, int64_t answers);
/* How many classes an example's labels are: the last input's elements, when they are integers. */
int64_t score_answers(const model_inputs *inputs);

/* tw_jit_opts.open for n inputs whose axis 0 is the batch. */
const char *score_open(int n);

#endif
