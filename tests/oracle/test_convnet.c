/*
 * Ten training steps of the convolutional network against PyTorch's losses. The weights, images
 * and expected losses are made by scripts/oracle_convnet.py.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include <thalweg/thalweg.h>

#include "models/models.h"

enum { BATCH = 16, STEPS = 10, IMMEDIATE_STEPS = 3, PIXELS = 28 * 28 };
static const double TOLERANCE = 1e-4;

typedef struct fixture {
    tw_context *context;
    tw_store *golden, *store;
    float *images;
    int32_t *labels;
    double expected[STEPS];
    const tw_model *model;
    const void *config;
} fixture;

static void check(fixture *f, bool good) {
    if (!good) fail_msg("%s", tw_message(f->context));
}

static void read_losses(double *out) {
    FILE *file = fopen("tests/golden/convnet_tiny_losses.txt", "r");
    assert_non_null(file);
    for (int i = 0; i < STEPS; i++) assert_int_equal(fscanf(file, "%lf", &out[i]), 1);
    fclose(file);
}

/* The file's bytes as what the model takes: pixels in [0, 1]. */
static float *pixels_of(fixture *f) {
    static float pixels[STEPS * BATCH * PIXELS];
    tw_tensor *images = tw_store_get(f->golden, "images");
    const uint8_t *bytes = tw_tensor_map(images);
    check(f, bytes && tw_tensor_bytes(images) == sizeof pixels / sizeof *pixels);
    for (int i = 0; i < STEPS * BATCH * PIXELS; i++) pixels[i] = (float)bytes[i] / 255;
    return pixels;
}

static int setup(void **state) {
    static fixture f;
    f = (fixture){.context = tw_context_new(&(tw_context_opts){.threads = 2})};
    assert_non_null(f.context);
    read_losses(f.expected);
    f.golden = tw_store_new(f.context, NULL);
    check(&f, tw_store_load(f.golden, "tests/golden/convnet_tiny.safetensors") == TW_OK);
    f.images = pixels_of(&f);
    f.labels = tw_tensor_map(tw_store_get(f.golden, "labels"));
    check(&f, f.labels != NULL);

    /* Another seed than the file's: a weight that is not copied gives other losses. */
    f.store = tw_store_new(f.context, &(tw_store_opts){.seed = 99});
    for (int i = 0; i < tw_store_size(f.golden); i++) {
        const char *path = tw_store_path(f.golden, i);
        if (!strchr(path, '/')) continue; /* the data */
        tw_tensor *weight = tw_store_get(f.golden, path);
        check(&f, weight && tw_store_set(f.store, path, weight) == TW_OK);
        tw_tensor_free(weight);
    }
    assert_int_equal(tw_store_size(f.store), 8);

    f.model = models_find("convnet");
    assert_non_null(f.model);
    assert_int_equal(f.model->n_in, 2);
    assert_non_null(models_preset(f.model, "tiny"));
    f.config = models_preset(f.model, "tiny")->config;
    *state = &f;
    return 0;
}

static int teardown(void **state) {
    fixture *f = *state;
    tw_context_free(f->context);
    return 0;
}

/* Batch `step` of the file, without a copy. */
static void batch(fixture *f, int step, tw_tensor **in) {
    in[0] = tw_tensor_wrap(f->context, TW_F32, TW_SHAPE(BATCH, 28, 28, 1),
                           f->images + (size_t)step * BATCH * PIXELS, NULL, NULL);
    in[1] = tw_tensor_wrap(f->context, TW_I32, TW_SHAPE(BATCH), f->labels + (size_t)step * BATCH,
                           NULL, NULL);
    check(f, in[0] && in[1]);
}

static void compare(fixture *f, int step, double loss) {
    print_message("step %d: loss %.8f, expected %.8f\n", step, loss, f->expected[step]);
    if (!(fabs(loss - f->expected[step]) <= TOLERANCE))
        fail_msg("step %d: loss %.8f, expected %.8f", step, loss, f->expected[step]);
}

static const tw_optimizer adam = {.kind = TW_ADAM, .rate = 1e-3};

static void test_compiled(void **state) {
    fixture *f = *state;
    tw_graph *g =
        tw_graph_new(f->context, f->store, TW_SYMBOLIC, &(tw_graph_opts){.training = true});
    tw_value in[2] = {{0}}, loss = {0};
    f->model->inputs(g, BATCH, in, f->config);
    f->model->loss(g, in, &loss, f->config);
    tw_minimize(loss, &adam);
    tw_program *program = tw_compile(g, 2, in, 1, &loss, NULL);
    check(f, program != NULL);
    tw_tensor *data[2], *out = NULL;
    for (int i = 0; i < STEPS; i++) {
        batch(f, i, data);
        check(f, tw_run(program, data, &out) == TW_OK);
        compare(f, i, tw_tensor_item(out));
        tw_tensor_free(data[0]);
        tw_tensor_free(data[1]);
    }
    assert_int_equal(tw_store_step(f->store), STEPS);
}

static void test_immediate(void **state) {
    fixture *f = *state;
    tw_graph *g =
        tw_graph_new(f->context, f->store, TW_IMMEDIATE, &(tw_graph_opts){.training = true});
    tw_tensor *data[2];
    for (int i = 0; i < IMMEDIATE_STEPS; i++) {
        batch(f, i, data);
        tw_tape_begin(g);
        tw_value loss = {0}, in[] = {tw_constant(g, data[0]), tw_constant(g, data[1])};
        f->model->loss(g, in, &loss, f->config);
        tw_minimize(loss, &adam);
        double number = tw_item(loss);
        check(f, tw_tape_end(g, 0, NULL) == TW_OK);
        compare(f, i, number);
        tw_tensor_free(data[0]);
        tw_tensor_free(data[1]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_compiled, setup, teardown),
        cmocka_unit_test_setup_teardown(test_immediate, setup, teardown),
    };
    return cmocka_run_group_tests_name("convnet against PyTorch", tests, NULL, NULL);
}
