/* The loop over epochs, with evaluations, checkpoints, and signals that end it in good order. */
#include "cli/training.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <thalweg/thalweg.h>

#include "base/text.h"
#include "cli/file.h"
#include "cli/memory.h"
#include "cli/record.h"
#include "cli/score.h"
#include "cli/weights.h"

#define NOTE_PROGRESS "progress"

/* What the compiled functions get. */
typedef struct training_job {
    const tw_model *model;
    const void *config;
    tw_optimizer optimizer;
} training_job;

typedef struct training {
    tw_context *context;
    const training_settings *settings;
    const chosen_model *chosen;
    model_inputs inputs;
    fit_rules rules;
    fitted_data data, held_out; /* held_out.set may be NULL */
    training_job job;
    tw_store *store;
    scorer trainer, tester;
    tw_checkpoints *checkpoints;
    run_record record;
    words notes;
    text fields;            /* --set, as a note */
    int64_t count, answers; /* examples, and what is right or wrong in each */
    int64_t epoch;          /* from 0: the one under way */
    int64_t lines;          /* of the log, when the checkpoint was written */
    bool epoch_done;        /* but for its evaluation */
    score sums;             /* of it */
    double waited;          /* seconds for data, in the epochs before */
} training;

static volatile sig_atomic_t signalled;

static void catch (int number) { signalled = number; }

/* A second signal of the same kind does what it always did. */
static void catch_signals(void) {
    struct sigaction action = {.sa_handler = catch, .sa_flags = (int)(SA_RESTART | SA_RESETHAND)};
    sigemptyset(&action.sa_mask);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
}

static int fail(const training *run) { return cli_fail("%s", tw_message(run->context)); }

static void metrics(tw_graph *graph, const tw_value *in, tw_value *out, const void *config) {
    const training_job *job = config;
    tw_function function = job->model->metrics ? job->model->metrics : job->model->loss;
    function(graph, in, out, job->config);
}

static void training_step(tw_graph *graph, const tw_value *in, tw_value *out, const void *config) {
    metrics(graph, in, out, config);
    tw_minimize(out[0], &((const training_job *)config)->optimizer);
}

/* ---- checkpoints ---- */

static bool note(training *run, const char *key, const char *value) {
    if (words_set(run->context, &run->notes, key, value) &&
        !tw_checkpoints_note(run->checkpoints, key, value))
        return true;
    return fail(run) == CLI_FINE;
}

static bool note_progress(training *run) {
    char words[160];
    snprintf(words, sizeof words, "%lld %d %.17g %.17g %lld %lld", (long long)run->epoch,
             run->epoch_done, run->sums.loss, run->sums.correct, (long long)run->sums.examples,
             (long long)run->record.written);
    if (!tw_checkpoints_note(run->checkpoints, NOTE_PROGRESS, words)) return true;
    return fail(run) == CLI_FINE;
}

/* *stop: the score has not improved for --patience saves. */
static bool save(training *run, double score, bool *stop) {
    if (!record_flush(&run->record) || !note_progress(run)) return false;
    tw_status status = tw_checkpoints_save(run->checkpoints, score);
    if (stop) *stop = status == TW_END;
    return status >= 0 || fail(run) == CLI_FINE;
}

static bool same_model(const training *run) {
    const char *preset = tw_checkpoints_noted(run->checkpoints, NOTE_PRESET);
    const char *set = tw_checkpoints_noted(run->checkpoints, NOTE_SET);
    if (preset && set && !strcmp(preset, run->chosen->preset) && !strcmp(set, run->fields.at))
        return true;
    cli_fail("the checkpoint in '%s' is of preset '%s'%s%s; --resume goes on with the same",
             run->settings->out, preset ? preset : "?", set && *set ? " and --set " : "",
             set ? set : "");
    return false;
}

static bool resume(training *run) {
    tw_status status = tw_checkpoints_resume(run->checkpoints);
    if (status == TW_ERR_NOT_FOUND) {
        printf("no checkpoint in %s: starting from the beginning\n", run->settings->out);
        return true;
    }
    if (status) return fail(run) == CLI_FINE;
    const char *words = tw_checkpoints_noted(run->checkpoints, NOTE_PROGRESS);
    long long epoch, examples, lines;
    int done;
    if (!words || sscanf(words, "%lld %d %lg %lg %lld %lld", &epoch, &done, &run->sums.loss,
                         &run->sums.correct, &examples, &lines) != 6)
        return cli_fail("the checkpoint in '%s' was not written by 'thalweg train'",
                        run->settings->out) == CLI_FINE;
    if (!same_model(run)) return false;
    run->epoch = epoch;
    run->epoch_done = done;
    run->sums.examples = examples;
    run->lines = lines;
    printf("going on from step %lld\n", (long long)tw_store_step(run->store));
    return true;
}

/* ---- the loop ---- */

/* A batch's share of work after its step: numbers, the bar, a checkpoint. */
static bool after_step(training *run, progress *bar, double loss) {
    int64_t step = tw_store_step(run->store), every = run->settings->save_every;
    if (!isfinite(loss)) {
        progress_end(bar);
        cli_fail(
            "the loss is %s at step %lld: training has diverged; try a smaller --lr, --clip 1, "
            "or --check to see where",
            isnan(loss) ? "NaN" : "infinite", (long long)step);
        return false;
    }
    double epochs = (double)run->epoch + (double)run->sums.examples / (double)run->count;
    if (bar->terminal) progress_show(bar, run->sums.examples, score_loss(&run->sums));
    return record_step(&run->record, step, epochs, loss) &&
           (!every || step % every || signalled || save(run, NAN, NULL));
}

static bool train_epoch(training *run, progress *bar) {
    score_result result = SCORE_ONE;
    while (!signalled && result == SCORE_ONE) {
        double loss = 0;
        result = score_batch(&run->trainer, &run->sums, &loss);
        if (result == SCORE_ONE && !after_step(run, bar, loss)) return false;
    }
    run->epoch_done = result == SCORE_END;
    return result != SCORE_FAILED;
}

/* The score of the held-out examples; empty where there are none, or it is not their turn. */
static bool evaluate(training *run, score *sums) {
    int64_t epoch = run->epoch + 1;
    bool turn = epoch % run->settings->eval_every == 0 || epoch == run->settings->epochs;
    score_result result = run->held_out.set && turn ? SCORE_ONE : SCORE_END;
    double loss;
    *sums = (score){0};
    while (!signalled && result == SCORE_ONE) result = score_batch(&run->tester, sums, &loss);
    return result != SCORE_FAILED;
}

static void print_epoch(const training *run, const record_epoch *it) {
    printf("epoch %lld/%lld  loss %.4f", (long long)it->epoch, (long long)run->settings->epochs,
           it->loss);
    if (!isnan(it->accuracy)) printf(" accuracy %.3f", it->accuracy);
    if (!isnan(it->held_out_loss)) printf("  val loss %.4f", it->held_out_loss);
    if (!isnan(it->held_out_accuracy)) printf(" accuracy %.3f", it->held_out_accuracy);
    printf("  %.1f s\n", it->seconds);
    fflush(stdout);
}

/* Says what the epoch came to, saves, and goes to the next one. */
static bool end_epoch(training *run, const progress *bar, const score *held_out, bool *stop) {
    bool counts = run->trainer.counts;
    record_epoch it = {.epoch = run->epoch + 1,
                       .step = tw_store_step(run->store),
                       .loss = score_loss(&run->sums),
                       .accuracy = counts ? score_accuracy(&run->sums, run->answers) : NAN,
                       .held_out_loss = score_loss(held_out),
                       .held_out_accuracy = counts ? score_accuracy(held_out, run->answers) : NAN,
                       .seconds = progress_clock() - bar->began};
    it.waited = tw_loader_waited(run->trainer.loader) - run->waited;
    run->waited += it.waited;
    it.rate = optimizer_rate(&run->job.optimizer, it.step - 1);
    print_epoch(run, &it);
    double score = run->held_out.set ? it.held_out_loss : it.loss;
    run->epoch++;
    run->epoch_done = false;
    run->sums = (struct score){0};
    return record_add(&run->record, &it) && save(run, score, stop);
}

static int stop_by_signal(training *run) {
    if (!save(run, NAN, NULL)) return CLI_FAILED;
    bool terminated = signalled == SIGTERM;
    printf("stopped by %s at step %lld; --resume goes on\n", terminated ? "SIGTERM" : "SIGINT",
           (long long)tw_store_step(run->store));
    return terminated ? TRAINING_TERMINATED : TRAINING_INTERRUPTED;
}

static int train(training *run) {
    bool stop = false;
    if (run->epoch >= run->settings->epochs)
        printf("the %lld epochs are done; a larger --epochs goes on\n",
               (long long)run->settings->epochs);
    while (!stop && run->epoch < run->settings->epochs) {
        progress bar;
        score held_out;
        progress_start(&bar, run->epoch + 1, run->settings->epochs, run->count);
        if (!run->epoch_done && !train_epoch(run, &bar)) return CLI_FAILED;
        bool good = !run->epoch_done || evaluate(run, &held_out);
        progress_end(&bar);
        if (!good) return CLI_FAILED;
        if (signalled) return stop_by_signal(run);
        if (!end_epoch(run, &bar, &held_out, &stop)) return CLI_FAILED;
    }
    if (stop)
        printf("no better for %lld evaluations: stopped early\n",
               (long long)run->settings->patience);
    return CLI_FINE;
}

/* ---- before and after ---- */

static bool is_fraction(const char *word, double *out) {
    char *end;
    *out = strtod(word, &end);
    return end != word && !*end;
}

static int split_off(training *run, tw_dataset **raw, double fraction, tw_dataset **held_out) {
    tw_dataset *whole = *raw, *first = NULL;
    if (!(fraction > 0 && fraction < 1))
        return cli_misuse("--val takes a file, a folder or a fraction between 0 and 1, not '%s'",
                          run->settings->held_out);
    if (tw_dataset_split(whole, fraction, (uint64_t)run->settings->seed, &first, held_out))
        return fail(run);
    tw_dataset_free(whole);
    *raw = first;
    if (tw_dataset_count(first) > 0 && tw_dataset_count(*held_out) > 0) return CLI_FINE;
    return cli_fail("--val %s leaves no examples on one side", run->settings->held_out);
}

/* The files of --data and --val as they are: *held_out NULL where there is none. */
static int read_files(training *run, tw_dataset **raw, tw_dataset **held_out) {
    const training_settings *settings = run->settings;
    const data_choice *choice = &settings->data;
    data_place place;
    double fraction;
    int code = data_find(choice->path, &place), n = run->inputs.n;
    if (code) return code;
    *raw = data_read(run->context, choice, &place, DATA_TRAIN, &run->inputs, n);
    if (!*raw) return CLI_FAILED;
    if (settings->held_out && is_fraction(settings->held_out, &fraction))
        return split_off(run, raw, fraction, held_out);
    data_part part = DATA_TEST;
    if (settings->held_out) {
        code = data_find(settings->held_out, &place);
        part = place.test[0] ? DATA_TEST : DATA_TRAIN;
    }
    if (code || (part == DATA_TEST && !place.test[0])) return code;
    *held_out = data_read(run->context, choice, &place, part, &run->inputs, n);
    return *held_out ? CLI_FINE : CLI_FAILED;
}

static int read_data(training *run) {
    tw_dataset *raw = NULL, *held_out = NULL;
    const training_settings *settings = run->settings;
    if (!model_describe_inputs(run->context, run->chosen, &run->inputs)) return CLI_FAILED;
    int code = read_files(run, &raw, &held_out);
    if (!code)
        code = fit_data(run->context, &run->inputs, run->inputs.n, raw, settings->data.path,
                        &run->rules, &run->data);
    if (!code && held_out)
        code = fit_data(run->context, &run->inputs, run->inputs.n, held_out,
                        settings->held_out ? settings->held_out : settings->data.path, &run->rules,
                        &run->held_out);
    if (code) return code;
    run->count = tw_dataset_count(run->data.set);
    run->answers = score_answers(&run->inputs);
    return CLI_FINE;
}

/* The compiled functions and the loaders. */
static bool prepare_scorers(training *run) {
    const training_settings *settings = run->settings;
    const tw_model *model = run->chosen->model;
    const tw_loader_opts shuffled = {
        .batch = settings->batch, .shuffle = true, .seed = (uint64_t)settings->seed};
    const tw_loader_opts in_order = {.batch = settings->batch};
    tw_jit_opts training = {
        .training = true, .check = settings->check, .open = score_open(model->n_in)};
    if (memory_read(settings->memory, &training.memory)) return false;
    if (training.memory) training.open = NULL; /* a budget is for known extents */
    const tw_jit_opts testing = {.open = score_open(model->n_in)};
    int n_out = 1 + model_counts(model);
    scorer common = {.context = run->context, .n_in = model->n_in, .counts = n_out == 2};
    run->trainer = run->tester = common;
    run->trainer.data = &run->data;
    run->tester.data = &run->held_out;
    run->trainer.loader = tw_loader_new(run->data.set, &shuffled);
    run->trainer.jit = tw_jit_new(run->context, run->store, training_step, model->n_in, n_out,
                                  &run->job, sizeof run->job, &training);
    if (!run->trainer.loader || !run->trainer.jit) return fail(run) == CLI_FINE;
    if (!run->held_out.set) return true;
    run->tester.loader = tw_loader_new(run->held_out.set, &in_order);
    run->tester.jit = tw_jit_new(run->context, run->store, metrics, model->n_in, n_out, &run->job,
                                 sizeof run->job, &testing);
    return (run->tester.loader && run->tester.jit) || fail(run) == CLI_FINE;
}

static bool note_all(training *run) {
    char *rules = fit_print(&run->rules, &run->inputs);
    bool good = rules || cli_fail("out of memory") == CLI_FINE;
    good = good && note(run, NOTE_DATA, rules) && note(run, NOTE_PRESET, run->chosen->preset) &&
           note(run, NOTE_SET, run->fields.at);
    free(rules);
    return good;
}

static bool join(const training *run, const char *name, char path[WEIGHTS_PATH]) {
    int length = snprintf(path, WEIGHTS_PATH, "%s/%s", run->settings->out, name);
    if (length > 0 && length < WEIGHTS_PATH) return true;
    cli_fail("the path of --out is too long");
    return false;
}

/* What an earlier run left goes, or is in the way. */
static bool clear_folder(const training *run) {
    char path[WEIGHTS_PATH];
    const training_settings *settings = run->settings;
    while (!settings->resume && weights_latest(settings->out, path)) {
        if (!settings->overwrite) {
            cli_fail("'%s' holds the checkpoints of an earlier run: --resume goes on from them, "
                     "--overwrite removes them, --out names another folder",
                     settings->out);
            return false;
        }
        if (remove(path)) {
            cli_fail("cannot remove '%s'", path);
            return false;
        }
    }
    if (settings->resume || !join(run, "best.safetensors", path)) return settings->resume;
    remove(path); /* may not be there */
    return !settings->overwrite || record_clear(settings->out);
}

static bool prepare(training *run) {
    const training_settings *settings = run->settings;
    const tw_checkpoint_opts opts = {
        .keep = (int)settings->keep, .keep_best = true, .patience = (int)settings->patience};
    if (!file_make_folder(settings->out) || !clear_folder(run)) return false;
    run->store = tw_store_new(run->context, &(tw_store_opts){.seed = (uint64_t)settings->seed});
    if (!run->store) return fail(run) == CLI_FINE;
    if (!prepare_scorers(run)) return false;
    run->checkpoints = tw_checkpoints_new(run->store, run->trainer.loader, settings->out, &opts);
    if (!run->checkpoints) return fail(run) == CLI_FINE;
    const cli_list *set = &settings->model.set;
    text_add(&run->fields, "%s", set->n ? set->at[0] : "");
    for (int i = 1; i < set->n; i++) text_add(&run->fields, " %s", set->at[i]);
    if (run->fields.failed) return cli_fail("out of memory") == CLI_FINE;
    if (settings->resume && !resume(run)) return false;
    return note_all(run) &&
           record_begin(&run->record, run->context, settings->out, settings->lines, run->lines);
}

static bool print_start(const training *run) {
    const tw_model *model = run->chosen->model;
    int64_t parameters = weights_count(run->context, run->chosen);
    if (parameters < 0) return false;
    printf("%s (%s), %lld parameters; %lld examples", model->name, run->chosen->preset,
           (long long)parameters, (long long)run->count);
    if (run->held_out.set)
        printf(", %lld held out", (long long)tw_dataset_count(run->held_out.set));
    printf("; %s, batch %lld\n", optimizer_name(&run->job.optimizer),
           (long long)run->settings->batch);
    int64_t most = run->settings->batch < run->count ? run->settings->batch : run->count;
    if (memory_print_jit(run->context, run->trainer.jit, &run->inputs, most)) return false;
    if (!run->held_out.set)
        printf("nothing is held out to judge by: --val 0.1 would hold out a tenth\n");
    fflush(stdout);
    return true;
}

static bool finish(training *run) {
    char path[WEIGHTS_PATH], title[256];
    if (!join(run, "weights.safetensors", path) ||
        !weights_save(run->context, run->chosen, run->store, path, &run->notes))
        return false;
    printf("wrote %s", path);
    snprintf(title, sizeof title, "Loss of %s", run->chosen->model->name);
    if (!join(run, "loss.svg", path) || !record_draw(&run->record, title, path)) return false;
    printf(", loss.svg, %s\n", run->settings->lines ? run->settings->lines : "log.jsonl");
    return true;
}

static int perform(training *run) {
    const training_settings *settings = run->settings;
    int code = read_data(run);
    if (code) return code;
    run->job = (training_job){run->chosen->model, run->chosen->config,
                              *run->chosen->model->optimizer(run->chosen->config)};
    int64_t steps = (run->count + settings->batch - 1) / settings->batch * settings->epochs;
    code = optimizer_choose(&settings->optimizer, steps, &run->job.optimizer);
    if (code) return code;
    if (!prepare(run) || !print_start(run)) return CLI_FAILED;
    catch_signals();
    code = train(run);
    if (code) return code;
    return finish(run) ? CLI_FINE : CLI_FAILED;
}

int training_run(tw_context *context, const training_settings *settings,
                 const chosen_model *chosen) {
    training run = {
        .context = context, .settings = settings, .chosen = chosen, .fields = {.context = context}};
    int code = perform(&run);
    tw_checkpoints_free(run.checkpoints);
    score_end(&run.trainer);
    score_end(&run.tester);
    record_end(&run.record);
    words_end(context, &run.notes);
    text_drop(&run.fields);
    fit_end(&run.rules);
    return code;
}
