/* Batches through a compiled function. */
#include "cli/score.h"

#include <math.h>
#include <stdio.h>

static int fail(const scorer *it) { return cli_fail("%s", tw_message(it->context)); }

score_result score_batch(scorer *it, score *sums, double *loss) {
    tw_tensor *batch[TW_MAX_COLUMNS] = {NULL}, *in[MODEL_INPUTS] = {NULL};
    tw_status status = tw_loader_next(it->loader, batch);
    if (status == TW_END) return SCORE_END;
    for (int i = 0; !status && i < it->n_in; i++) in[i] = batch[it->data->column[i]];
    if (!status) status = tw_jit_run(it->jit, in, it->out);
    if (status) {
        fail(it);
        return SCORE_FAILED;
    }
    int64_t n = tw_tensor_type(in[0]).shape.dim[0];
    *loss = tw_tensor_item(it->out[0]);
    sums->loss += *loss * (double)n;
    if (it->counts) sums->correct += tw_tensor_item(it->out[1]);
    sums->examples += n;
    return SCORE_ONE;
}

void score_end(scorer *it) {
    for (int i = 0; i < 2; i++) tw_tensor_free(it->out[i]);
    tw_jit_free(it->jit);
    tw_loader_free(it->loader);
    *it = (scorer){0};
}

double score_loss(const score *sums) {
    return sums->examples ? sums->loss / (double)sums->examples : NAN;
}

double score_accuracy(const score *sums, int64_t answers) {
    return sums->examples ? sums->correct / ((double)sums->examples * (double)answers) : NAN;
}

int64_t score_answers(const model_inputs *inputs) {
    tw_type last = inputs->type[inputs->n - 1];
    int64_t answers = 1;
    if (last.dtype != TW_I32 && last.dtype != TW_I64) return answers;
    for (int i = 0; i < last.shape.rank; i++)
        if (last.shape.dim[i] > 0) answers *= last.shape.dim[i];
    return answers;
}

const char *score_open(int n) { return "bbbbbbbbbbbbbbbb" + (MODEL_INPUTS - n); }
