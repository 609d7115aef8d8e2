/* A line of JSON for each step and each epoch is the log itself; the curve is drawn from it. */
#include "cli/record.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <thalweg/graph.h>

#include <cJSON.h>

#include "base/text.h"
#include "cli/cli.h"
#include "io/curve.h"

enum { MOST_POINTS = 2000 };          /* of the curve */
static const double smoothing = 0.97; /* of the curve, per point */

static bool fail_path(const run_record *record, const char *what) {
    cli_fail("cannot %s '%s': %s", what, record->path, strerror(errno));
    return false;
}

static bool add_point(run_record *record, record_points *points, double epoch, double loss) {
    record_point *point = VECTOR_PUSH(record->context, points);
    if (!point) return cli_fail("out of memory") == CLI_FINE;
    *point = (record_point){epoch, loss};
    return true;
}

static double number_of(const cJSON *line, const char *key) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(line, key);
    return cJSON_IsNumber(item) ? item->valuedouble : NAN;
}

/* Takes a line of an earlier run into the curve; false for one that is none. */
static bool take_line(run_record *record, const char *words) {
    cJSON *line = cJSON_Parse(words);
    const char *kind = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(line, "kind"));
    bool good = kind != NULL;
    if (good && !strcmp(kind, "step"))
        good = add_point(record, &record->steps, number_of(line, "epoch"), number_of(line, "loss"));
    else if (good)
        good = add_point(record, &record->held_out, number_of(line, "epoch"),
                         number_of(line, "val_loss"));
    cJSON_Delete(line);
    return good;
}

/* Cuts the lines off that were written after the checkpoint. */
static bool keep_lines(run_record *record, int64_t most) {
    FILE *old = fopen(record->path, "r");
    char *line = NULL;
    size_t room = 0;
    text kept = {.context = record->context};
    if (!old) return errno == ENOENT || fail_path(record, "read");
    while (record->written < most && getline(&line, &room, old) > 0) {
        if (line[strlen(line) - 1] != '\n' || !take_line(record, line)) break;
        text_add(&kept, "%s", line);
        record->written++;
    }
    free(line);
    fclose(old);
    FILE *again = fopen(record->path, "w");
    bool good = again && !kept.failed && (!kept.length || fputs(kept.at, again) >= 0);
    if (again) good = !fclose(again) && good;
    text_drop(&kept);
    return good || fail_path(record, "write");
}

bool record_clear(const char *folder) {
    static const char begin[] = "events.out.tfevents.";
    DIR *list = opendir(folder);
    bool good = list != NULL;
    for (const struct dirent *entry; good && (entry = readdir(list));)
        if (!strncmp(entry->d_name, begin, sizeof begin - 1))
            good = !unlinkat(dirfd(list), entry->d_name, 0);
    if (!good) cli_fail("cannot clear '%s': %s", folder, strerror(errno));
    if (list) closedir(list);
    return good;
}

bool record_begin(run_record *record, tw_context *context, const char *folder, const char *path,
                  int64_t kept) {
    *record = (run_record){.context = context};
    text name = {.context = context};
    text_add(&name, "%s%s", path ? path : folder, path ? "" : "/log.jsonl");
    record->path = text_take(&name);
    if (!record->path) return cli_fail("out of memory") == CLI_FINE;
    if (kept && !keep_lines(record, kept)) return false;
    record->lines = fopen(record->path, kept ? "a" : "w");
    if (!record->lines) return fail_path(record, "write");
    record->events = tw_event_log_new(context, folder);
    return record->events || cli_fail("%s", tw_message(context)) == CLI_FINE;
}

static bool write_line(run_record *record, cJSON *line, bool good) {
    char *words = good ? cJSON_PrintUnformatted(line) : NULL;
    cJSON_Delete(line);
    if (!words) return cli_fail("out of memory") == CLI_FINE;
    good = fprintf(record->lines, "%s\n", words) >= 0;
    cJSON_free(words);
    record->written++;
    return good || fail_path(record, "write");
}

/* A number that is NaN stays out. */
static bool put(cJSON *line, const char *key, double number) {
    return isnan(number) || cJSON_AddNumberToObject(line, key, number);
}

static bool log_scalar(run_record *record, const char *tag, int64_t step, double value) {
    if (isnan(value) || !tw_event_log_scalar(record->events, tag, step, value)) return true;
    return cli_fail("%s", tw_message(record->context)) == CLI_FINE;
}

bool record_step(run_record *record, int64_t step, double epoch, double loss) {
    cJSON *line = cJSON_CreateObject();
    bool good = cJSON_AddStringToObject(line, "kind", "step") && put(line, "step", (double)step) &&
                put(line, "epoch", epoch) && put(line, "loss", loss);
    return write_line(record, line, good) && add_point(record, &record->steps, epoch, loss) &&
           log_scalar(record, "loss/train", step, loss);
}

bool record_add(run_record *record, const record_epoch *it) {
    cJSON *line = cJSON_CreateObject();
    bool good = cJSON_AddStringToObject(line, "kind", "epoch") &&
                put(line, "step", (double)it->step) && put(line, "epoch", (double)it->epoch) &&
                put(line, "loss", it->loss) && put(line, "accuracy", it->accuracy) &&
                put(line, "val_loss", it->held_out_loss) &&
                put(line, "val_accuracy", it->held_out_accuracy) && put(line, "rate", it->rate) &&
                put(line, "seconds", it->seconds) && put(line, "waited", it->waited);
    return write_line(record, line, good) &&
           add_point(record, &record->held_out, (double)it->epoch, it->held_out_loss) &&
           log_scalar(record, "accuracy/train", it->step, it->accuracy) &&
           log_scalar(record, "loss/validation", it->step, it->held_out_loss) &&
           log_scalar(record, "accuracy/validation", it->step, it->held_out_accuracy) &&
           log_scalar(record, "rate", it->step, it->rate) && record_flush(record);
}

bool record_flush(run_record *record) {
    if (fflush(record->lines)) return fail_path(record, "write");
    if (tw_event_log_flush(record->events))
        return cli_fail("%s", tw_message(record->context)) == CLI_FINE;
    return true;
}

/* All steps as a smooth line over a faint one, thinned to what a picture can show. */
bool record_draw(run_record *record, const char *title, const char *path) {
    size_t count = record->steps.count, held = record->held_out.count, n = 0;
    size_t every = count / MOST_POINTS + 1;
    double *room = calloc(3 * count + 2 * held + 1, sizeof *room);
    if (!room) return cli_fail("out of memory") == CLI_FINE;
    double *at = room, *loss = at + count, *smooth = loss + count, *ends = smooth + count;
    double *held_out = ends + held, mean = 0, weight = 0;
    for (size_t i = 0; i < count; i++) {
        const record_point *point = &record->steps.at[i];
        mean = smoothing * mean + (1 - smoothing) * point->loss;
        weight = smoothing * weight + (1 - smoothing);
        if (i % every) continue;
        at[n] = point->epoch;
        loss[n] = point->loss;
        smooth[n++] = mean / weight;
    }
    size_t m = 0;
    for (size_t i = 0; i < held; i++) {
        if (isnan(record->held_out.at[i].loss)) continue;
        ends[m] = record->held_out.at[i].epoch;
        held_out[m++] = record->held_out.at[i].loss;
    }
    const curve_series series[] = {
        {NULL, at, loss, (int64_t)n, CURVE_FAINT, 0},
        {"training", at, smooth, (int64_t)n, CURVE_LINE, 0},
        {"validation", ends, held_out, (int64_t)m, CURVE_POINTS, 1},
    };
    const curve plot = {title, "epoch", "loss", series, m ? 3 : 2};
    bool good = !curve_write(record->context, &plot, path);
    if (!good) cli_fail("%s", tw_message(record->context));
    free(room);
    return good;
}

void record_end(run_record *record) {
    if (record->lines) fclose(record->lines);
    tw_event_log_free(record->events);
    if (record->context) {
        tw_string_free(record->context, record->path);
        VECTOR_FREE(record->context, &record->steps);
        VECTOR_FREE(record->context, &record->held_out);
    }
    *record = (run_record){0};
}
