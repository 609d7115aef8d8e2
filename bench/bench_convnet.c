/*
 * Training steps of the convnet, for bench/compare.
 *
 * bench_convnet prepare FILE: writes initial weights, and images and labels made from a seed.
 * bench_convnet run FILE THREADS STEPS: loads them and trains with Adam at batch 128. Prints
 * "operator NAME FLOPS BYTES" for each operator that the step cannot do without, the first losses
 * as "loss NUMBER", then for each line on standard input "step_seconds MEDIAN" of STEPS steps.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <thalweg/thalweg.h>

#include "models/models.h"

enum { BATCH = 128, BATCHES = 10, IMAGES = BATCH * BATCHES, SIDE = 28, CLASSES = 10, LOSSES = 5 };

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int fail(tw_context *context) {
    fprintf(stderr, "bench_convnet: %s\n", context ? tw_message(context) : "no memory");
    tw_context_free(context);
    return 1;
}

/* A block of light at a place that tells the class, under noise. */
static void draw_images(uint8_t *images, int32_t *labels) {
    uint32_t random = 12345;
    for (int i = 0; i < IMAGES; i++) {
        random = random * 1664525u + 1013904223u;
        labels[i] = (int32_t)(random >> 16) % CLASSES;
        for (int y = 0; y < SIDE; y++)
            for (int x = 0; x < SIDE; x++) {
                random = random * 1664525u + 1013904223u;
                bool lit = y / 6 == labels[i] % 5 && x / 14 == labels[i] / 5;
                images[(i * SIDE + y) * SIDE + x] = (uint8_t)((random >> 25) + (lit ? 120 : 0));
            }
    }
}

static tw_graph *build(tw_context *context, tw_store *store, const tw_model *model, tw_value *in,
                       tw_value *loss) {
    tw_graph *g = tw_graph_new(context, store, TW_SYMBOLIC, &(tw_graph_opts){.training = true});
    model->inputs(g, BATCH, in, model->presets->config);
    model->loss(g, in, loss, model->presets->config);
    return g;
}

static int prepare(tw_context *context, const tw_model *model, const char *path) {
    static uint8_t images[IMAGES * SIDE * SIDE];
    static int32_t labels[IMAGES];
    draw_images(images, labels);
    tw_store *store = tw_store_new(context, &(tw_store_opts){.seed = 1});
    tw_value in[2] = {{0}}, loss = {0};
    tw_graph *g = build(context, store, model, in, &loss);
    /* The first run makes the weights. */
    tw_program *forward = tw_compile(g, 2, in, 1, &loss, NULL);
    static float blank[BATCH * SIDE * SIDE];
    tw_tensor *one[] = {tw_tensor_wrap(context, TW_F32, tw_shape_of(in[0]), blank, NULL, NULL),
                        tw_tensor_wrap(context, TW_I32, tw_shape_of(in[1]), labels, NULL, NULL)};
    tw_tensor *out = NULL;
    tw_tensor *x = tw_tensor_wrap(context, TW_U8, TW_SHAPE(IMAGES, SIDE, SIDE), images, NULL, NULL);
    tw_tensor *y = tw_tensor_wrap(context, TW_I32, TW_SHAPE(IMAGES), labels, NULL, NULL);
    if (tw_run(forward, one, &out) || tw_store_set(store, "images", x) ||
        tw_store_set(store, "labels", y) || tw_store_save(store, path))
        return fail(context);
    tw_context_free(context);
    return 0;
}

static void print_operator(const char *name, double flops, double numbers) {
    printf("operator %s %.0f %.0f\n", name, flops, 4 * numbers);
}

/* A product of (m, k) and (k, n), and its two gradients: the same arithmetic three times. */
static void print_product(const char *name, double m, double k, double n) {
    char title[32];
    const char *const part[] = {"", "-input-gradient", "-weight-gradient"};
    for (int i = 0; i < 3; i++) {
        snprintf(title, sizeof title, "%s%s", name, part[i]);
        print_operator(title, 2 * m * k * n, m * k + k * n + m * n);
    }
}

/*
 * 3x3 convolution (with bias and relu) and 2x2 pooling of images of side x side. Winograd's
 * transform of 2x2 tiles leaves 4/9 of the multiplications; with one channel in, nothing is saved.
 */
static void print_block(int layer, double side, double in, double out) {
    char title[40];
    double pixels = BATCH * side * side, flops = 2 * pixels * (in > 1 ? 4 : 9) * in * out;
    double weights = 9 * in * out, numbers = pixels * in + weights + pixels * out;
    const char *const part[] = {"", "-weight-gradient", "-input-gradient"};
    for (int i = 0; i < (layer == 1 ? 2 : 3); i++) { /* nobody asks for the images' gradient */
        snprintf(title, sizeof title, "conv%d%s", layer, part[i]);
        print_operator(title, flops, numbers);
    }
    snprintf(title, sizeof title, "pool%d", layer);
    print_operator(title, pixels * out, pixels * out * 1.25);
    snprintf(title, sizeof title, "pool%d-gradient", layer); /* reads both, writes the larger */
    print_operator(title, pixels * out, pixels * out * 2.25);
}

/*
 * The least that a step must compute and move, from the shapes of the weights: every operator
 * reads its operands once and writes its results once. Biases, relu and the loss ride along
 * with their neighbours.
 */
static void print_operators(tw_store *store) {
    const char *const names[] = {"conv1/weight", "conv2/weight", "fc1/weight", "fc2/weight"};
    int64_t in[4], out[4];
    double parameters = 0;
    for (int i = 0; i < 4; i++) {
        tw_tensor *weight = tw_store_get(store, names[i]);
        tw_shape shape = tw_tensor_type(weight).shape;
        in[i] = shape.dim[shape.rank - 2];
        out[i] = shape.dim[shape.rank - 1];
        parameters += (double)(tw_tensor_bytes(weight) / 4) + (double)out[i];
        tw_tensor_free(weight);
    }
    print_block(1, SIDE, (double)in[0], (double)out[0]);
    print_block(2, SIDE / 2.0, (double)in[1], (double)out[1]);
    print_product("fc1", BATCH, (double)in[2], (double)out[2]);
    print_product("fc2", BATCH, (double)in[3], (double)out[3]);
    print_operator("adam", 12 * parameters, 7 * parameters);
}

typedef struct trainer {
    tw_program *program;
    tw_tensor *in[BATCHES][2], *loss;
    int next;
} trainer;

static double step(trainer *t) {
    tw_status status = tw_run(t->program, t->in[t->next], &t->loss);
    t->next = (t->next + 1) % BATCHES;
    return status ? NAN : tw_tensor_item(t->loss);
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int serve(trainer *t, int steps) {
    double *seconds = calloc((size_t)steps, sizeof *seconds);
    char line[64];
    bool good = seconds != NULL;
    while (good && fgets(line, sizeof line, stdin)) {
        for (int i = 0; i < steps; i++) {
            double start = now();
            good = good && !isnan(step(t));
            seconds[i] = now() - start;
        }
        qsort(seconds, (size_t)steps, sizeof *seconds, by_size);
        double median = (seconds[steps / 2] + seconds[(steps - 1) / 2]) / 2;
        if (good) printf("step_seconds %.9f\n", median);
        fflush(stdout);
    }
    free(seconds);
    return good;
}

/* The file's weights go into a store of their own, without the data. */
static bool load(tw_context *context, const char *path, tw_store *store, trainer *t) {
    tw_store *file = tw_store_new(context, NULL);
    if (tw_store_load(file, path)) return false;
    for (int i = 0; i < tw_store_size(file); i++) {
        const char *name = tw_store_path(file, i);
        tw_tensor *value = tw_store_get(file, name);
        if (!value || (strchr(name, '/') && tw_store_set(store, name, value))) return false;
        tw_tensor_free(value);
    }
    static float pixels[IMAGES * SIDE * SIDE];
    const uint8_t *images = tw_tensor_map(tw_store_get(file, "images"));
    int32_t *labels = tw_tensor_map(tw_store_get(file, "labels"));
    for (int i = 0; images && i < IMAGES * SIDE * SIDE; i++) pixels[i] = (float)images[i] / 255;
    for (int i = 0; images && labels && i < BATCHES; i++) {
        t->in[i][0] = tw_tensor_wrap(context, TW_F32, TW_SHAPE(BATCH, SIDE, SIDE, 1),
                                     pixels + i * BATCH * SIDE * SIDE, NULL, NULL);
        t->in[i][1] =
            tw_tensor_wrap(context, TW_I32, TW_SHAPE(BATCH), labels + i * BATCH, NULL, NULL);
    }
    return images && labels;
}

static int run(tw_context *context, const tw_model *model, const char *path, int steps) {
    static trainer t;
    tw_store *store = tw_store_new(context, NULL);
    tw_value in[2] = {{0}}, loss = {0};
    if (!load(context, path, store, &t)) return fail(context);
    tw_graph *g = build(context, store, model, in, &loss);
    tw_minimize(loss, &(tw_optimizer){.kind = TW_ADAM, .rate = 1e-3});
    t.program = tw_compile(g, 2, in, 1, &loss, NULL);
    if (!t.program) return fail(context);
    print_operators(store);
    for (int i = 0; i < LOSSES; i++) printf("loss %.8f\n", step(&t));
    fflush(stdout);
    if (tw_last_status(context) < 0 || !serve(&t, steps)) return fail(context);
    tw_context_free(context);
    return 0;
}

int main(int argc, char **argv) {
    const tw_model *model = models_find("convnet");
    bool preparing = argc == 3 && !strcmp(argv[1], "prepare");
    if (!model || !(preparing || (argc == 5 && !strcmp(argv[1], "run") && atoi(argv[4]) > 0))) {
        fprintf(stderr, "usage: bench_convnet prepare FILE | run FILE THREADS STEPS\n");
        return 2;
    }
    tw_context_opts opts = {.threads = preparing ? 1 : atoi(argv[3])};
    tw_context *context = tw_context_new(&opts);
    if (!context) return fail(NULL);
    return preparing ? prepare(context, model, argv[2])
                     : run(context, model, argv[2], atoi(argv[4]));
}
