/* `thalweg profile`: where a model's time goes, instruction by instruction. */
#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <thalweg/thalweg.h>

#include "cli/cli.h"
#include "cli/file.h"
#include "cli/floor.h"
#include "cli/memory.h"
#include "cli/model.h"

enum { DEFAULT_BATCH = 64, DEFAULT_RUNS = 20, OPERATORS_WIDTH = 28 };

typedef struct request {
    model_choice model;
    chosen_model chosen;
    int64_t batch, runs, threads, rows;
    bool forward;
    const char *trace, *memory;
} request;

/* Numbers that look like data: floats in [-1, 1), integers 0, which is a label and a token of any
 * model. NULL after a message. */
static tw_tensor *make_input(tw_context *context, tw_value in) {
    tw_tensor *made = tw_tensor_new(context, tw_dtype_of(in), tw_shape_of(in));
    if (!made) {
        cli_fail("%s", tw_message(context));
        return NULL;
    }
    size_t bytes = tw_tensor_bytes(made);
    float *number = tw_tensor_map(made);
    memset(number, 0, bytes);
    uint32_t state = 1;
    for (size_t i = 0; tw_dtype_of(in) == TW_F32 && i < bytes / sizeof *number; i++) {
        state = state * 1664525u + 1013904223u;
        number[i] = (float)(state >> 8) * 0x1p-23f - 1;
    }
    return made;
}

static int count_rows(const tw_profile *profile) {
    int n = 0;
    while (tw_profile_at(profile, n)) n++;
    return n;
}

static int slower_first(const void *a, const void *b) {
    const tw_profile_row *x = *(const tw_profile_row *const *)a;
    const tw_profile_row *y = *(const tw_profile_row *const *)b;
    return (x->seconds < y->seconds) - (x->seconds > y->seconds);
}

static void print_row(const tw_profile_row *row, double whole, const machine_floor *floor) {
    char operators[OPERATORS_WIDTH + 1];
    snprintf(operators, sizeof operators, "%s", row->operators);
    if (strlen(row->operators) >= sizeof operators) strcpy(operators + OPERATORS_WIDTH - 3, "...");
    printf("%9.3f %5.1f%% %5.0f%% %8.1f %7.1f %7.2f  %-*s %s\n", 1e3 * row->seconds,
           100 * row->seconds / whole,
           100 * floor_seconds(floor, row->flops, row->bytes) / row->seconds,
           1e-9 * row->flops / row->seconds, 1e-9 * row->bytes / row->seconds, 1e-6 * row->bytes,
           OPERATORS_WIDTH, operators, *row->scope ? row->scope : "(top)");
}

static int print_table(const tw_profile *profile, const request *asked,
                       const machine_floor *floor) {
    int n = count_rows(profile);
    const tw_profile_row **row = calloc((size_t)n + 1, sizeof *row);
    if (!row) return cli_fail("out of memory");
    double whole = tw_profile_seconds(profile), inside = 0, rest = 0;
    for (int i = 0; i < n; i++) inside += (row[i] = tw_profile_at(profile, i))->seconds;
    qsort(row, (size_t)n, sizeof *row, slower_first);
    int shown = n < asked->rows ? n : (int)asked->rows;
    for (int i = shown; i < n; i++) rest += row[i]->seconds;
    printf("%9s %6s %6s %8s %7s %7s  %-*s %s\n", "ms", "share", "floor", "Gflop/s", "GB/s", "MB",
           OPERATORS_WIDTH, "operators", "scope");
    for (int i = 0; i < shown; i++) print_row(row[i], whole, floor);
    if (shown < n)
        printf("%9.3f %5.1f%% %32s %d more\n", 1e3 * rest, 100 * rest / whole, "", n - shown);
    double outside = whole > inside ? whole - inside : 0; /* medians need not add up */
    printf("%9.3f %5.1f%% %32s outside of instructions\n", 1e3 * outside, 100 * outside / whole,
           "");
    printf("%9.3f  a %s of %lld examples, the median of %lld\n", 1e3 * whole,
           asked->forward ? "forward run" : "training step", (long long)asked->batch,
           (long long)asked->runs);
    free(row);
    return CLI_FINE;
}

/* Chrome's trace format: complete events ("X") in microseconds, of the last run. */
static int write_trace(const tw_profile *profile, const char *path) {
    cJSON *root = cJSON_CreateObject(), *events = cJSON_AddArrayToObject(root, "traceEvents");
    const tw_profile_row *row;
    bool good = events != NULL;
    for (int i = 0; good && (row = tw_profile_at(profile, i)); i++) {
        cJSON *event = cJSON_CreateObject();
        good = cJSON_AddItemToArray(events, event) &&
               cJSON_AddStringToObject(event, "name", row->operators) &&
               cJSON_AddStringToObject(event, "cat", row->scope) &&
               cJSON_AddStringToObject(event, "ph", "X") &&
               cJSON_AddNumberToObject(event, "ts", 1e6 * row->start) &&
               cJSON_AddNumberToObject(event, "dur", 1e6 * row->seconds) &&
               cJSON_AddNumberToObject(event, "pid", 1) && cJSON_AddNumberToObject(event, "tid", 1);
        cJSON *more = good ? cJSON_AddObjectToObject(event, "args") : NULL;
        good = more && cJSON_AddStringToObject(more, "scope", row->scope) &&
               cJSON_AddNumberToObject(more, "flops", row->flops) &&
               cJSON_AddNumberToObject(more, "bytes", row->bytes);
    }
    char *text = good ? cJSON_PrintUnformatted(root) : NULL;
    cJSON_Delete(root);
    if (!text) return cli_fail("out of memory");
    good = file_write(path, text);
    free(text);
    if (good) printf("wrote %s\n", path);
    return good ? CLI_FINE : CLI_FAILED;
}

static int profile_graph(tw_context *context, const request *asked) {
    tw_value in[MODEL_INPUTS] = {{0}}, out[2] = {{0}};
    tw_tensor *data[MODEL_INPUTS] = {NULL}, *result[2] = {NULL};
    tw_store *store = tw_store_new(context, NULL);
    if (!store) return cli_fail("%s", tw_message(context));
    tw_graph *graph = model_graph(context, store, &asked->chosen,
                                  asked->forward ? MODEL_LOSS : MODEL_TRAIN, asked->batch, in, out);
    if (!graph) return CLI_FAILED;
    int n_in = asked->chosen.model->n_in;
    for (int i = 0; i < n_in; i++)
        if (!(data[i] = make_input(context, in[i]))) return CLI_FAILED;
    tw_memory memory;
    tw_compile_opts opts = {.read_only = asked->forward};
    if (memory_read(asked->memory, &opts.memory)) return CLI_MISUSED;
    tw_program *program = tw_compile(graph, n_in, in, 1, out, &opts);
    if (!program || tw_program_plan(program, data, &memory))
        return cli_fail("%s", tw_message(context));
    if (memory_print(context, &memory)) return CLI_FAILED;
    tw_profile *profile = tw_profile_new(program, data, result, (int)asked->runs);
    if (!profile) return cli_fail("%s", tw_message(context));
    machine_floor floor;
    if (floor_measure(context, &floor)) return cli_fail("%s", tw_message(context));
    int code = print_table(profile, asked, &floor);
    if (!code && asked->trace) code = write_trace(profile, asked->trace);
    return code;
}

static int run(int argc, char **argv) {
    request asked = {.batch = DEFAULT_BATCH, .runs = DEFAULT_RUNS, .rows = 20};
    const cli_option options[] = {
        {"preset", "P", "the model's size", OPTION_TEXT, &asked.model.preset, 0, 0},
        {"set", "KEY=VALUE", "a field of the model; may be given again", OPTION_LIST,
         &asked.model.set, 0, 0},
        {"batch", "N", "examples in a batch (64)", OPTION_NUMBER, &asked.batch, 1, INT32_MAX},
        {"forward", NULL, "the loss alone; the default is a training step", OPTION_FLAG,
         &asked.forward, 0, 0},
        {"runs", "N", "runs that are timed, after one to warm up (20)", OPTION_NUMBER, &asked.runs,
         1, 100000},
        {"rows", "N", "rows that are shown, the slowest first (20)", OPTION_NUMBER, &asked.rows, 1,
         100000},
        {"threads", "N", "threads (as many as there are cores)", OPTION_NUMBER, &asked.threads, 1,
         1024},
        {"memory", "SIZE", "a budget, as 2GiB: work is done again rather than kept", OPTION_TEXT,
         &asked.memory, 0, 0},
        {"trace", "FILE", "the last run as a Chrome trace, for Perfetto", OPTION_TEXT, &asked.trace,
         0, 0},
        {0},
    };
    const cli_usage usage = {
        "profile", "MODEL [OPTION...]",
        "Times each instruction of a model's compiled step, on made-up data. Elementwise\n"
        "operators that run as one stand in one row, as \"mul+add\". \"floor\" is the share\n"
        "of the time that the operations or the bytes take at this machine's best.",
        options, model_print_help};
    int code = CLI_FINE;
    if (!options_read(&usage, argc, argv, &asked.model.word, 1, &code)) return code;
    code = model_choose("profile", &asked.model, &asked.chosen);
    if (code) return code;
    tw_context *context = cli_context(asked.threads);
    code = context ? profile_graph(context, &asked) : CLI_FAILED;
    tw_context_free(context);
    model_end(&asked.chosen);
    return code;
}

const cli_command profile_command = {"profile", "time a model's step, instruction by instruction",
                                     run};
