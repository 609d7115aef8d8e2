/* A perceptron with dropout over synthetic data. */
#include "support/trainer.h"

enum { EXAMPLES = 100, FEATURES = 12, CLASSES = 4, DEFAULT_HIDDEN = 16 };

static void step(tw_graph *graph, const tw_value *in, tw_value *out, const void *config) {
    (void)graph;
    tw_value h =
        tw_dense(in[0], "body/fc1", *(const int64_t *)config, &(tw_dense_opts){.relu = true});
    h = tw_dropout(h, 0.3, NULL);
    h = tw_dense(h, "body/fc2", *(const int64_t *)config, &(tw_dense_opts){.relu = true});
    out[0] = tw_cross_entropy(tw_dense(h, "head", CLASSES, NULL), in[1], NULL);
    tw_minimize(out[0], &(tw_optimizer){.kind = TW_ADAM,
                                        .rate = 0.01,
                                        .schedule = {TW_COSINE, .warmup = 5, .steps = 500}});
}

/* Points around a corner for each class; the numbers are those of a linear congruence. */
static void fill(float *x, int32_t *y) {
    uint32_t state = 1;
    for (int i = 0; i < EXAMPLES; i++) {
        y[i] = i % CLASSES;
        for (int k = 0; k < FEATURES; k++) {
            state = state * 1664525u + 1013904223u;
            float noise = (float)(state >> 8) / (float)(1 << 24) - 0.5f;
            x[i * FEATURES + k] = noise + (k % CLASSES == y[i] ? 1.0f : 0.0f);
        }
    }
}

static tw_dataset *make_data(tw_context *context) {
    tw_tensor *columns[] = {tw_tensor_new(context, TW_F32, TW_SHAPE(EXAMPLES, FEATURES)),
                            tw_tensor_new(context, TW_I32, TW_SHAPE(EXAMPLES))};
    tw_dataset *made = NULL;
    if (columns[0] && columns[1]) {
        fill(tw_tensor_map(columns[0]), tw_tensor_map(columns[1]));
        made = tw_dataset_arrays(context, 2, columns);
    }
    tw_tensor_free(columns[0]);
    tw_tensor_free(columns[1]);
    return made;
}

bool trainer_begin(trainer *t, tw_context *context, const trainer_opts *opts) {
    *t = (trainer){.context = context};
    tw_loader_opts loading = opts->loader;
    if (!loading.batch)
        loading = (tw_loader_opts){.batch = 16, .shuffle = true, .repeat = true, .seed = 5};
    int64_t hidden = opts->hidden ? opts->hidden : DEFAULT_HIDDEN;
    t->store = tw_store_new(context, &(tw_store_opts){.seed = opts->seed ? opts->seed : 7});
    t->dataset = make_data(context);
    t->loader = tw_loader_new(t->dataset, &loading);
    t->jit = tw_jit_new(context, t->store, step, 2, 1, &hidden, sizeof hidden,
                        &(tw_jit_opts){.training = true, .open = "nn"});
    if (opts->folder)
        t->checkpoints = tw_checkpoints_new(t->store, t->loader, opts->folder, &opts->checkpoints);
    return t->store && t->loader && t->jit && (t->checkpoints || !opts->folder);
}

tw_status trainer_step(trainer *t) {
    tw_tensor *batch[TW_MAX_COLUMNS];
    tw_status status = tw_loader_next(t->loader, batch);
    if (status == TW_END) status = tw_loader_next(t->loader, batch);
    return status ? status : tw_jit_run(t->jit, batch, &t->loss);
}

void trainer_end(trainer *t) {
    tw_checkpoints_free(t->checkpoints);
    tw_tensor_free(t->loss);
    tw_jit_free(t->jit);
    tw_loader_free(t->loader);
    tw_dataset_free(t->dataset);
    tw_store_free(t->store);
    *t = (trainer){.context = t->context};
}
