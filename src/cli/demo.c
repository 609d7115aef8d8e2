/* `thalweg demo`: trains the convolutional network on Fashion-MNIST, then writes and draws it. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <thalweg/thalweg.h>

#include "cli/cli.h"
#include "cli/dataset.h"
#include "cli/file.h"
#include "cli/progress.h"
#include "io/curve.h"
#include "models/models.h"

enum { TEST_BATCH = 500, PATH_LENGTH = 4096 };
static const double smoothing = 0.97; /* of the loss curve, per step */
static const double last_rate = 0.2;  /* of the last epochs, to settle down: times the model's */
enum { LAST_PART = 5 };               /* they are one in so many, but never the only one */

typedef struct demo_settings {
    int64_t epochs, threads, batch, seed;
    const char *data, *out;
} demo_settings;

/* What the compiled functions get. */
typedef struct demo_job {
    const tw_model *model;
    const void *config;
    tw_optimizer optimizer;
} demo_job;

/* Sums over examples. */
typedef struct demo_score {
    double loss, correct;
    int64_t examples;
} demo_score;

typedef struct demo_run {
    const demo_settings *settings;
    demo_job job;
    tw_context *context;
    tw_store *store;
    tw_jit *train, *train_last, *test;
    tw_loader *training, *held_out;
    int64_t training_count, held_out_count; /* of examples */
    int64_t steps;                          /* so far */
    int64_t steps_an_epoch;
    double *losses;      /* of each step */
    double *test_losses; /* of each epoch */
    tw_tensor *out[2], *test_out[2];
} demo_run;

static void metrics(tw_graph *graph, const tw_value *in, tw_value *out, const void *config) {
    const demo_job *job = config;
    job->model->metrics(graph, in, out, job->config);
}

static void training_step(tw_graph *graph, const tw_value *in, tw_value *out, const void *config) {
    const demo_job *job = config;
    job->model->metrics(graph, in, out, job->config);
    tw_minimize(out[0], &job->optimizer);
}

static int fail(const demo_run *demo) { return cli_fail("%s", tw_message(demo->context)); }

/* The next batch through `jit`, added to the score; TW_END after the epoch's last, else a failure
 * has had its message. */
static tw_status run_batch(const demo_run *demo, tw_loader *loader, tw_jit *jit, tw_tensor **out,
                           demo_score *score) {
    tw_tensor *batch[2];
    tw_status status = tw_loader_next(loader, batch);
    if (status == TW_END) return status;
    if (!status) status = tw_jit_run(jit, batch, out);
    if (status) {
        fail(demo);
        return status;
    }
    int64_t n = tw_tensor_type(batch[0]).shape.dim[0];
    score->loss += tw_tensor_item(out[0]) * (double)n;
    score->correct += tw_tensor_item(out[1]);
    score->examples += n;
    return TW_OK;
}

static bool test(demo_run *demo, demo_score *score) {
    tw_status status;
    while (!(status = run_batch(demo, demo->held_out, demo->test, demo->test_out, score)));
    return status == TW_END;
}

static bool train_epoch(demo_run *demo, tw_jit *jit, progress *bar, demo_score *score) {
    tw_status status;
    while (!(status = run_batch(demo, demo->training, jit, demo->out, score))) {
        double loss = tw_tensor_item(demo->out[0]);
        demo->losses[demo->steps++] = loss;
        if (!isfinite(loss)) {
            progress_end(bar);
            cli_fail("the loss is %g at step %lld: training has diverged; try another --seed or a "
                     "larger --batch",
                     loss, (long long)demo->steps);
            return false;
        }
        progress_show(bar, score->examples, score->loss / (double)score->examples);
    }
    return status == TW_END;
}

static bool train(demo_run *demo, double *accuracy) {
    int64_t epochs = demo->settings->epochs;
    for (int64_t epoch = 1; epoch <= epochs; epoch++) {
        bool last = epoch > 1 && epoch > epochs - (epochs + LAST_PART - 1) / LAST_PART;
        tw_jit *jit = last ? demo->train_last : demo->train;
        progress bar;
        demo_score training = {0}, tested = {0};
        progress_start(&bar, epoch, epochs, demo->training_count);
        if (!train_epoch(demo, jit, &bar, &training) || !test(demo, &tested)) return false;
        progress_end(&bar);
        *accuracy = tested.correct / (double)tested.examples;
        demo->test_losses[epoch - 1] = tested.loss / (double)tested.examples;
        printf("epoch %lld/%lld  loss %.4f  accuracy %.3f  test %.3f  %.1f s\n", (long long)epoch,
               (long long)epochs, training.loss / (double)training.examples,
               training.correct / (double)training.examples, *accuracy,
               progress_clock() - bar.began);
        fflush(stdout);
    }
    return true;
}

/* A path in the output folder; false after a message. */
static bool join(const demo_run *demo, const char *name, char path[PATH_LENGTH]) {
    int length = snprintf(path, PATH_LENGTH, "%s/%s", demo->settings->out, name);
    if (length > 0 && length < PATH_LENGTH) return true;
    cli_fail("the path of --out is too long");
    return false;
}

/* The training graph for any batch, as DOT; NULL after a message. */
static char *make_dot(const demo_run *demo) {
    tw_graph *graph =
        tw_graph_new(demo->context, demo->store, TW_SYMBOLIC, &(tw_graph_opts){.training = true});
    char *dot = NULL;
    if (graph) {
        const demo_job *job = &demo->job;
        tw_value in[2] = {{0}}, out[1] = {{0}};
        job->model->inputs(graph, tw_symbol(demo->context, "batch"), in, job->config);
        job->model->loss(graph, in, out, job->config);
        tw_minimize(out[0], &job->optimizer);
        tw_outputs(graph, 1, out);
        if (!tw_graph_status(graph)) dot = tw_graph_dot(graph);
    }
    if (!dot) fail(demo);
    tw_graph_free(graph);
    return dot;
}

static bool write_graph(const demo_run *demo) {
    char path[PATH_LENGTH];
    char *dot = make_dot(demo);
    if (!dot) return false;
    bool good = join(demo, "graph.dot", path) && file_write(path, dot);
    if (good) printf("wrote %s\n", path);
    good = good && join(demo, "graph.svg", path);
    drawn how = good ? file_draw(dot, path) : DRAWN_NOT;
    tw_string_free(demo->context, dot);
    if (how == DRAWN) printf("wrote %s\n", path);
    if (how == DRAWN_NO_GRAPHVIZ)
        printf("no %s: Graphviz is missing (Debian's package graphviz)\n", path);
    return good; /* without a picture there is still its source */
}

static bool write_curve(const demo_run *demo) {
    int64_t epochs = demo->settings->epochs, steps = demo->steps;
    double *room = calloc((size_t)(2 * steps + epochs), sizeof *room);
    if (!room) return cli_fail("out of memory") == CLI_FINE;
    double *at = room, *smooth = room + steps, *ends = room + 2 * steps, mean = 0, weight = 0;
    for (int64_t i = 0; i < steps; i++) {
        at[i] = (double)(i + 1) / (double)demo->steps_an_epoch;
        mean = smoothing * mean + (1 - smoothing) * demo->losses[i];
        weight = smoothing * weight + (1 - smoothing);
        smooth[i] = mean / weight;
    }
    for (int64_t i = 0; i < epochs; i++) ends[i] = (double)(i + 1);
    const curve_series series[] = {
        {NULL, at, demo->losses, steps, CURVE_FAINT, 0},
        {"training", at, smooth, steps, CURVE_LINE, 0},
        {"test", ends, demo->test_losses, epochs, CURVE_POINTS, 1},
    };
    const curve plot = {"Loss of convnet on Fashion-MNIST", "epoch", "cross entropy", series, 3};
    char path[PATH_LENGTH];
    bool good = join(demo, "loss.svg", path);
    if (good && curve_write(demo->context, &plot, path)) good = fail(demo) == CLI_FINE;
    if (good) printf("wrote %s\n", path);
    free(room);
    return good;
}

static bool write_weights(const demo_run *demo) {
    char path[PATH_LENGTH];
    if (!join(demo, "weights.safetensors", path)) return false;
    if (tw_store_save(demo->store, path)) return fail(demo) == CLI_FINE;
    printf("wrote %s\n", path);
    return true;
}

/* The files' examples as the network takes them, in batches. */
static bool make_loaders(demo_run *demo, tw_dataset *training, tw_dataset *held_out) {
    double mean = 0, deviation = 0;
    if (tw_dataset_moments(training, 0, &mean, &deviation)) return fail(demo) == CLI_FINE;
    tw_dataset *const bytes[] = {training, held_out};
    const tw_loader_opts opts[] = {
        {.batch = demo->settings->batch, .shuffle = true, .seed = (uint64_t)demo->settings->seed},
        {.batch = TEST_BATCH}};
    tw_loader **const loader[] = {&demo->training, &demo->held_out};
    for (int i = 0; i < 2; i++) {
        tw_dataset *numbers = dataset_normalise(demo->context, bytes[i], mean, deviation);
        if (!numbers) return false;
        *loader[i] = tw_loader_new(numbers, &opts[i]);
        tw_dataset_free(numbers);
        if (!*loader[i]) return fail(demo) == CLI_FINE;
    }
    demo->training_count = tw_dataset_count(training);
    demo->held_out_count = tw_dataset_count(held_out);
    return true;
}

static bool read_data(demo_run *demo) {
    const char *folder = demo->settings->data;
    tw_dataset *training = dataset_read(demo->context, folder, "train"), *held_out = NULL;
    if (training) held_out = dataset_read(demo->context, folder, "t10k");
    bool good = held_out && make_loaders(demo, training, held_out);
    tw_dataset_free(training);
    tw_dataset_free(held_out);
    if (!good) return false;
    int64_t count = demo->training_count, batch = demo->settings->batch;
    demo->steps_an_epoch = (count + batch - 1) / batch;
    size_t epochs = (size_t)demo->settings->epochs;
    demo->losses = calloc((size_t)demo->steps_an_epoch * epochs, sizeof *demo->losses);
    demo->test_losses = calloc(epochs, sizeof *demo->test_losses);
    if (!demo->losses || !demo->test_losses) return cli_fail("out of memory") == CLI_FINE;
    return true;
}

static bool prepare(demo_run *demo) {
    demo_job *job = &demo->job;
    const tw_jit_opts training = {.training = true, .open = "bb"}, testing = {.open = "bb"};
    job->model = convnet_model();
    job->config = models_preset(job->model, NULL)->config;
    job->optimizer = *job->model->optimizer(job->config);
    demo_job last = *job;
    last.optimizer.rate *= last_rate;
    demo->store =
        tw_store_new(demo->context, &(tw_store_opts){.seed = (uint64_t)demo->settings->seed});
    demo->train =
        tw_jit_new(demo->context, demo->store, training_step, 2, 2, job, sizeof *job, &training);
    demo->train_last =
        tw_jit_new(demo->context, demo->store, training_step, 2, 2, &last, sizeof last, &training);
    demo->test = tw_jit_new(demo->context, demo->store, metrics, 2, 2, job, sizeof *job, &testing);
    return (demo->store && demo->train && demo->train_last && demo->test) || fail(demo) == CLI_FINE;
}

static int perform(demo_run *demo) {
    double accuracy = 0;
    if (!read_data(demo) || !prepare(demo) || !file_make_folder(demo->settings->out))
        return CLI_FAILED;
    printf("convnet on %lld training images and %lld test images, batch %lld\n",
           (long long)demo->training_count, (long long)demo->held_out_count,
           (long long)demo->settings->batch);
    fflush(stdout);
    if (!train(demo, &accuracy)) return CLI_FAILED;
    if (!write_weights(demo) || !write_graph(demo) || !write_curve(demo)) return CLI_FAILED;
    printf("test accuracy %.3f\n", accuracy);
    return CLI_FINE;
}

static void clean_up(demo_run *demo) {
    for (int i = 0; i < 2; i++) {
        tw_tensor_free(demo->out[i]);
        tw_tensor_free(demo->test_out[i]);
    }
    tw_loader_free(demo->training);
    tw_loader_free(demo->held_out);
    tw_jit_free(demo->train);
    tw_jit_free(demo->train_last);
    tw_jit_free(demo->test);
    tw_store_free(demo->store);
    free(demo->losses);
    free(demo->test_losses);
    tw_context_free(demo->context);
}

static void print_more(void) {
    cli_heading("Writes");
    cli_row("weights.safetensors", "parameters and the optimiser's state");
    cli_row("graph.dot, .svg", "the training graph; the picture needs Graphviz");
    cli_row("loss.svg", "the loss by step and by epoch");
}

static int run(int argc, char **argv) {
    demo_settings settings = {.epochs = 5,
                              .batch = 128,
                              .seed = 1,
                              .data = "/usr/share/datasets/fashion-mnist",
                              .out = "out/demo"};
    const cli_option options[] = {
        {"epochs", "N", "passes over the training images (5)", OPTION_NUMBER, &settings.epochs, 1,
         10000},
        {"batch", "N", "images in a step (128)", OPTION_NUMBER, &settings.batch, 1, 65536},
        {"seed", "N", "of initial weights and of the order of images (1)", OPTION_NUMBER,
         &settings.seed, 0, INT64_MAX},
        {"threads", "N", "threads (as many as there are cores)", OPTION_NUMBER, &settings.threads,
         1, 1024},
        {"data", "DIR", "the data set's folder (/usr/share/datasets/fashion-mnist)", OPTION_TEXT,
         &settings.data, 0, 0},
        {"out", "DIR", "where results go (out/demo)", OPTION_TEXT, &settings.out, 0, 0},
        {0},
    };
    const cli_usage usage = {
        "demo", "[OPTION...]",
        "Trains a convolutional network on Fashion-MNIST, 60000 small pictures of clothes\n"
        "in ten classes, and reports loss and accuracy of each epoch.",
        options, print_more};
    int code = CLI_FINE;
    if (!options_read(&usage, argc, argv, NULL, 0, &code)) return code;
    demo_run demo = {.settings = &settings};
    demo.context = cli_context(settings.threads);
    if (!demo.context) return CLI_FAILED;
    code = perform(&demo);
    clean_up(&demo);
    return code;
}

const cli_command demo_command = {"demo", "train a convolutional network on Fashion-MNIST", run};
