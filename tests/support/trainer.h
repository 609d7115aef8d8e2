/* A small training run that uses what a checkpoint must keep: shuffled batches, the last one of an
 * epoch partial, dropout, Adam, a schedule, a series of checkpoints with scores and notes. */
#ifndef SUPPORT_TRAINER_H
#define SUPPORT_TRAINER_H

#include <thalweg/thalweg.h>

typedef struct trainer_opts {
    const char *folder; /* of checkpoints; NULL for none */
    int64_t hidden;     /* default 16 */
    tw_checkpoint_opts checkpoints;
    tw_loader_opts loader; /* batch 16, shuffled, repeated, seed 5 where it is all zeros */
    uint64_t seed;         /* of the store; default 7 */
} trainer_opts;

typedef struct trainer {
    tw_context *context;
    tw_store *store;
    tw_dataset *dataset;
    tw_loader *loader;
    tw_jit *jit;
    tw_checkpoints *checkpoints;
    tw_tensor *loss;
} trainer;

/* False on failure: tw_message(context) says why. */
bool trainer_begin(trainer *t, tw_context *context, const trainer_opts *opts);
/* One batch; the loss is in t->loss. */
tw_status trainer_step(trainer *t);
void trainer_end(trainer *t);

#endif
