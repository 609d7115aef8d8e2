/* What a training leaves behind of its numbers: lines of JSON, TensorBoard's events, a curve. */
#ifndef CLI_RECORD_H
#define CLI_RECORD_H

#include <stdio.h>
#include <thalweg/log.h>

#include "base/vector.h"

typedef struct record_point {
    double epoch, loss;
} record_point;
typedef VECTOR(record_point) record_points;

typedef struct run_record {
    tw_context *context;
    char *path; /* of the lines */
    FILE *lines;
    int64_t written; /* lines, those of an earlier run too */
    tw_event_log *events;
    record_points steps, held_out;
} run_record;

/* What is said of an epoch; NaN where there is nothing to say. */
typedef struct record_epoch {
    int64_t epoch, step;
    double loss, accuracy, held_out_loss, held_out_accuracy, rate, seconds;
    double waited; /* of the seconds, for data */
} record_epoch;

/*
 * Begins in the folder, which exists; the lines go to `path` (NULL: FOLDER/log.jsonl). The first
 * `kept` lines of an earlier run stay. All give false after a message.
 */
bool record_begin(run_record *record, tw_context *context, const char *folder, const char *path,
                  int64_t kept);
/* Removes the events of an earlier run: TensorBoard would draw both as one. */
bool record_clear(const char *folder);
/* A step's loss at `epoch`, a fraction of epochs done. */
bool record_step(run_record *record, int64_t step, double epoch, double loss);
bool record_add(run_record *record, const record_epoch *epoch);
/* So that others, and a run that goes on from a checkpoint, see all. */
bool record_flush(run_record *record);
bool record_draw(run_record *record, const char *title, const char *path);
void record_end(run_record *record);

#endif
