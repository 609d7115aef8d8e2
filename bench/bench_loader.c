/*
 * What share of an epoch the convnet's training waits for data, with a loader that prefetches.
 *
 * bench_loader [FOLDER [THREADS [EPOCHS]]]: Fashion-MNIST's training files in FOLDER, shuffled, at
 * batch 128, after one epoch that is not counted. Prints each epoch, the share without a thread
 * for comparison, and last "RESULT loader-wait share=0.0123".
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <thalweg/thalweg.h>
#include <time.h>

#include "models/models.h"

enum { BATCH = 128, PATH_LENGTH = 4096 };

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void step(tw_graph *graph, const tw_value *in, tw_value *out, const void *config) {
    (void)config;
    const tw_model *model = convnet_model();
    model->loss(graph, in, out, model->presets->config);
    tw_minimize(out[0], &(tw_optimizer){.kind = TW_ADAM, .rate = 1e-3});
}

/* Images as f32 (28, 28, 1) of mean 0 and deviation 1, labels as i32. */
static tw_dataset *read_data(tw_context *context, const char *folder) {
    char path[2][PATH_LENGTH];
    const char *const name[] = {"images-idx3", "labels-idx1"};
    for (int i = 0; i < 2; i++)
        snprintf(path[i], sizeof path[i], "%s/train-%s-ubyte.gz", folder, name[i]);
    tw_dataset *bytes = tw_dataset_idx(context, path[0], path[1]);
    double mean = 0, deviation = 1;
    if (tw_dataset_moments(bytes, 0, &mean, &deviation)) return NULL;
    tw_shape shape = tw_dataset_type(bytes, 0).shape;
    tw_dataset *images =
        tw_dataset_convert(bytes, 0, TW_F32, TW_SHAPE(shape.dim[0], shape.dim[1], 1), 1 / deviation,
                           -mean / deviation);
    return tw_dataset_convert(images, 1, TW_I32, TW_SHAPE(), 1, 0);
}

/* An epoch; the share of it that was waiting, -1 on failure. */
static double epoch(tw_loader *loader, tw_jit *jit, const char *title) {
    tw_tensor *batch[2], *loss = NULL;
    double start = now(), waited = tw_loader_waited(loader);
    tw_status status;
    while (!(status = tw_loader_next(loader, batch)) && !(status = tw_jit_run(jit, batch, &loss)));
    double seconds = now() - start;
    waited = tw_loader_waited(loader) - waited;
    if (status == TW_END)
        printf("%s: %.2f s, waited %.4f s, loss %.4f\n", title, seconds, waited,
               tw_tensor_item(loss));
    tw_tensor_free(loss);
    fflush(stdout);
    return status == TW_END ? waited / seconds : -1;
}

int main(int argc, char **argv) {
    const char *folder = argc > 1 ? argv[1] : "/usr/share/datasets/fashion-mnist";
    int epochs = argc > 3 ? atoi(argv[3]) : 3;
    tw_context *context =
        tw_context_new(&(tw_context_opts){.threads = argc > 2 ? atoi(argv[2]) : 0});
    if (!context || epochs < 1) return 1;
    tw_dataset *data = read_data(context, folder);
    tw_loader_opts opts = {.batch = BATCH, .shuffle = true, .seed = 1};
    tw_loader *ahead = tw_loader_new(data, &opts);
    opts.prefetch = -1;
    tw_loader *alone = tw_loader_new(data, &opts);
    tw_store *store = tw_store_new(context, &(tw_store_opts){.seed = 1});
    tw_jit *jit = tw_jit_new(context, store, step, 2, 1, NULL, 0,
                             &(tw_jit_opts){.training = true, .open = "bb"});
    double worst = 0, share = alone && jit ? epoch(alone, jit, "without a thread (warms up)") : -1;
    for (int i = 0; i < epochs && share >= 0; i++) {
        share = epoch(ahead, jit, "with prefetch");
        if (share > worst) worst = share;
    }
    if (share < 0)
        fprintf(stderr, "bench_loader: %s\n", tw_message(context));
    else
        printf("RESULT loader-wait share=%.4f\n", worst);
    tw_context_free(context);
    return share < 0;
}
