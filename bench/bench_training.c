/*
 * Training steps of the built-in models, for bench/compare.
 *
 * bench_training MODEL prepare FILE: writes initial weights, and images and labels made from a seed.
 * bench_training MODEL run FILE THREADS: loads them, trains, and speaks the protocol of harness.h;
 * its checks are the first losses. It prints "before_bytes N" and "after_bytes N", the memory of its own
 * that the process had with weights and data before the program was made, and after the first steps;
 * "planned_bytes N", the program's transient memory; and "state_bytes N", what the optimiser has made
 * in the store.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <thalweg/thalweg.h>

#include "harness.h"
#include "models/models.h"

enum { BATCHES = 10, IMAGES = BATCHES * 128, SIDE = 28, PIXELS = SIDE * SIDE, CLASSES = 10 };
enum { LOSSES = 5, MOST_DENSE = 3 };

/* A model's batch and matrices: those of its dense layers, in order. */
typedef struct work {
    const char *model, *dense[MOST_DENSE];
    int batch;
} work;

static const work works[] = {
    {"practice", {"w1", "w2"}, 64},
    {"mlp", {"fc1/weight", "fc2/weight", "fc3/weight"}, 128},
    {"convnet", {"fc1/weight", "fc2/weight"}, 128},
};

typedef struct trainer {
    const work *work;
    const tw_model *model;
    tw_context *context;
    tw_store *store;
    tw_program *program;
    tw_tensor *in[BATCHES][2], *loss;
    size_t weight_bytes;
    int next;
} trainer;

static int fail(const trainer *t) {
    fprintf(stderr, "bench_training: %s\n", t->context ? tw_message(t->context) : "no memory");
    tw_context_free(t->context);
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

static tw_graph *build(trainer *t, tw_value *in, tw_value *loss) {
    tw_graph *g =
        tw_graph_new(t->context, t->store, TW_SYMBOLIC, &(tw_graph_opts){.training = true});
    t->model->inputs(g, t->work->batch, in, t->model->presets->config);
    t->model->loss(g, in, loss, t->model->presets->config);
    return g;
}

static int prepare(trainer *t, const char *path) {
    static uint8_t images[IMAGES * PIXELS];
    static int32_t labels[IMAGES];
    draw_images(images, labels);
    t->store = tw_store_new(t->context, &(tw_store_opts){.seed = 1});
    tw_value in[2] = {{0}}, loss = {0};
    tw_graph *g = build(t, in, &loss);
    /* The first run makes the weights. */
    tw_program *forward = tw_compile(g, 2, in, 1, &loss, NULL);
    tw_tensor *blank[2], *out = NULL;
    for (int i = 0; i < 2; i++) {
        blank[i] = tw_tensor_new(t->context, tw_dtype_of(in[i]), tw_shape_of(in[i]));
        if (!blank[i]) return fail(t);
        memset(tw_tensor_map(blank[i]), 0, tw_tensor_bytes(blank[i]));
    }
    tw_tensor *x =
        tw_tensor_wrap(t->context, TW_U8, TW_SHAPE(IMAGES, SIDE, SIDE), images, NULL, NULL);
    tw_tensor *y = tw_tensor_wrap(t->context, TW_I32, TW_SHAPE(IMAGES), labels, NULL, NULL);
    if (tw_run(forward, blank, &out) || tw_store_set(t->store, "images", x) ||
        tw_store_set(t->store, "labels", y) || tw_store_save(t->store, path))
        return fail(t);
    tw_context_free(t->context);
    return 0;
}

/* The file's data as batches of what the model takes: pixels, and labels or a 1 in their place. */
static void cut_batches(trainer *t, const uint8_t *images, int32_t *labels, const tw_value *in) {
    static float pixels[IMAGES * PIXELS], ones[IMAGES * CLASSES];
    int batch = t->work->batch;
    for (int i = 0; i < IMAGES * PIXELS; i++) pixels[i] = (float)images[i] / 255;
    for (int i = 0; i < IMAGES; i++) ones[i * CLASSES + labels[i]] = 1;
    for (int i = 0; i < BATCHES; i++) {
        void *wanted = tw_dtype_of(in[1]) == TW_I32 ? (void *)(labels + i * batch)
                                                    : (void *)(ones + i * batch * CLASSES);
        t->in[i][0] = tw_tensor_wrap(t->context, TW_F32, tw_shape_of(in[0]),
                                     pixels + i * batch * PIXELS, NULL, NULL);
        t->in[i][1] =
            tw_tensor_wrap(t->context, tw_dtype_of(in[1]), tw_shape_of(in[1]), wanted, NULL, NULL);
    }
}

/* The file's weights go into a store of their own, without the data, which is left in *file. */
static bool load_weights(trainer *t, const char *path, tw_store **file) {
    *file = tw_store_new(t->context, NULL);
    if (tw_store_load(*file, path)) return false;
    for (int i = 0; i < tw_store_size(*file); i++) {
        const char *name = tw_store_path(*file, i);
        tw_tensor *value = tw_store_get(*file, name);
        bool data = !strcmp(name, "images") || !strcmp(name, "labels");
        if (!value || (!data && tw_store_set(t->store, name, value))) return false;
        tw_tensor_free(value);
    }
    return true;
}

static void print_operator(const char *name, double flops, double numbers) {
    printf("operator %s %.0f %.0f\n", name, flops, 4 * numbers);
}

/* A product of (m, k) and (k, n), and its gradients: the same arithmetic each time. */
static void print_product(const char *name, double m, double k, double n, bool first) {
    char title[48];
    const char *const part[] = {"", "-weight-gradient", "-input-gradient"};
    for (int i = 0; i < (first ? 2 : 3); i++) { /* nobody asks for the data's gradient */
        snprintf(title, sizeof title, "%s%s", name, part[i]);
        print_operator(title, 2 * m * k * n, m * k + k * n + m * n);
    }
}

/*
 * 3x3 convolution (with bias and relu) and 2x2 pooling of images of side x side. Winograd's
 * transform of 2x2 tiles leaves 4/9 of the multiplications; with one channel in, nothing is saved.
 */
static void print_block(int layer, double batch, double side, const int64_t *extent) {
    char title[40];
    double in = (double)extent[0], out = (double)extent[1];
    double pixels = batch * side * side, flops = 2 * pixels * (in > 1 ? 4 : 9) * in * out;
    double weights = 9 * in * out, numbers = pixels * in + weights + pixels * out;
    const char *const part[] = {"", "-weight-gradient", "-input-gradient"};
    for (int i = 0; i < (layer == 1 ? 2 : 3); i++) { /* as in print_product */
        snprintf(title, sizeof title, "conv%d%s", layer, part[i]);
        print_operator(title, flops, numbers);
    }
    snprintf(title, sizeof title, "pool%d", layer);
    print_operator(title, pixels * out, pixels * out * 1.25);
    snprintf(title, sizeof title, "pool%d-gradient", layer); /* reads both, writes the larger */
    print_operator(title, pixels * out, pixels * out * 2.25);
}

/* The last two extents of a weight, and the number of its elements. */
static double weight_of(tw_store *store, const char *name, int64_t *extent) {
    tw_tensor *weight = tw_store_get(store, name);
    tw_shape shape = tw_tensor_type(weight).shape;
    extent[0] = shape.dim[shape.rank - 2];
    extent[1] = shape.dim[shape.rank - 1];
    double elements = (double)(tw_tensor_bytes(weight) / 4);
    tw_tensor_free(weight);
    return elements;
}

/*
 * The least that a step must compute and move, from the shapes of the weights: every operator
 * reads its operands once and writes its results once. Biases, relu and the loss ride along
 * with their neighbours.
 */
static void print_operators(const trainer *t) {
    const work *w = t->work;
    int64_t extent[2];
    double parameters = 0;
    bool images = !strcmp(w->model, "convnet");
    for (int i = 1; images && i <= 2; i++) {
        char name[32];
        snprintf(name, sizeof name, "conv%d/weight", i);
        parameters += weight_of(t->store, name, extent) + (double)extent[1];
        print_block(i, w->batch, SIDE / (double)i, extent);
    }
    bool biases = strchr(w->dense[0], '/') != NULL;
    for (int i = 0; i < MOST_DENSE && w->dense[i]; i++) {
        parameters += weight_of(t->store, w->dense[i], extent);
        parameters += biases ? (double)extent[1] : 0;
        print_product(w->dense[i], w->batch, (double)extent[0], (double)extent[1],
                      i == 0 && !images);
    }
    if (t->model->optimizer(t->model->presets->config)->kind == TW_ADAM)
        print_operator("adam", 12 * parameters, 7 * parameters);
    else
        print_operator("descent", 2 * parameters, 3 * parameters);
}

static size_t store_bytes(tw_store *store) {
    size_t bytes = 0;
    for (int i = 0; i < tw_store_size(store); i++) {
        tw_tensor *value = tw_store_get(store, tw_store_path(store, i));
        bytes += value ? tw_tensor_bytes(value) : 0;
        tw_tensor_free(value);
    }
    return bytes;
}

static double step(trainer *t) {
    tw_status status = tw_run(t->program, t->in[t->next], &t->loss);
    t->next = (t->next + 1) % BATCHES;
    return status ? NAN : tw_tensor_item(t->loss);
}

static bool good_step(void *trainer) { return !isnan(step(trainer)); }

/* Weights and batches, and the training graph's program. */
static bool prepare_program(trainer *t, const char *path) {
    t->store = tw_store_new(t->context, NULL);
    tw_store *file;
    tw_value in[2] = {{0}}, loss = {0};
    if (!load_weights(t, path, &file)) return false;
    tw_graph *g = build(t, in, &loss);
    tw_tensor *images = tw_store_get(file, "images"), *labels = tw_store_get(file, "labels");
    if (!images || !labels || tw_graph_status(g)) return false;
    cut_batches(t, tw_tensor_map(images), tw_tensor_map(labels), in);
    tw_tensor_free(images);
    tw_store_free(file); /* the labels are held */
    printf("before_bytes %lld\n", (long long)harness_own_bytes());
    t->weight_bytes = store_bytes(t->store);
    tw_minimize(loss, t->model->optimizer(t->model->presets->config));
    t->program = tw_compile(g, 2, in, 1, &loss, NULL);
    tw_graph_free(g);
    return t->program != NULL;
}

static int run(trainer *t, const char *path) {
    printf("case %s\n", t->work->model); /* from here on, nothing but the model's own work */
    fflush(stdout);
    if (!prepare_program(t, path)) return fail(t);
    for (int i = 0; i < LOSSES; i++) {
        printf("check %.8f\n", step(t));
        fflush(stdout);
    }
    printf("after_bytes %lld\n", (long long)harness_own_bytes());
    print_operators(t);
    printf("planned_bytes %zu\n", tw_program_memory(t->program));
    printf("state_bytes %zu\n", store_bytes(t->store) - t->weight_bytes);
    const harness_case only = {t->work->model, good_step, t};
    if (tw_last_status(t->context) < 0 || !harness_serve(1, &only)) return fail(t);
    tw_context_free(t->context);
    return 0;
}

int main(int argc, char **argv) {
    static trainer t;
    t.model = argc > 1 ? models_find(argv[1]) : NULL;
    for (int i = 0; t.model && i < (int)(sizeof works / sizeof *works); i++)
        if (!strcmp(works[i].model, argv[1])) t.work = &works[i];
    bool preparing = argc == 4 && !strcmp(argv[2], "prepare");
    if (!t.work || !(preparing || (argc == 5 && !strcmp(argv[2], "run")))) {
        fprintf(stderr, "usage: bench_training practice|mlp|convnet prepare FILE | run FILE "
                        "THREADS\n");
        return 2;
    }
    t.context = tw_context_new(&(tw_context_opts){.threads = preparing ? 1 : atoi(argv[4])});
    if (!t.context) return fail(&t);
    return preparing ? prepare(&t, argv[3]) : run(&t, argv[3]);
}
