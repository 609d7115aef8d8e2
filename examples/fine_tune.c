/*
 * Fine-tuning: a network learns one task and is saved; another one, with a head of its own, takes over
 * its body and learns a related task from a few examples, with the body frozen.
 *
 * The tasks are about two hidden bits of a point x: whether x0 and x1 have the same sign, and whether
 * x2 and x3 have. Task one names both (four classes) and has 1024 examples; task two asks for the
 * first bit alone (two classes) and has 64.
 */
#include <stdio.h>
#include <thalweg/thalweg.h>

enum { FEATURES = 6, MANY = 1024, FEW = 64, TEST = 1000 };

typedef struct network {
    const char *body;   /* where the body's variables live: "encoder/fc1/weight" and so on */
    const char *frozen; /* patterns of variables that are not trained; NULL: all are */
    int64_t classes;
} network;

static tw_value logits_of(tw_graph *graph, tw_value x, const network *net) {
    const tw_dense_opts relu = {.relu = true};
    tw_scope_begin(graph, "%s", net->body);
    x = tw_dense(tw_dense(x, "fc1", 64, &relu), "fc2", 32, &relu); /* (batch, 32) */
    tw_scope_end(graph);
    return tw_dense(x, "head", net->classes, NULL);
}
static void step(tw_graph *graph, const tw_value *in, tw_value *out, const void *config) {
    const network *net = config;
    out[0] = tw_cross_entropy(logits_of(graph, in[0], net), in[1], NULL);
    tw_minimize(out[0], &(tw_optimizer){.kind = TW_ADAM, .rate = 0.01, .frozen = net->frozen});
}
static void correct(tw_graph *graph, const tw_value *in, tw_value *out, const void *config) {
    out[0] = tw_correct(logits_of(graph, in[0], config), in[1]);
}

/* n points between -1 and 1 in in[0], their classes in in[1]. */
static void make_data(tw_context *c, int n, int64_t classes, uint32_t seed, tw_tensor **in) {
    in[0] = tw_tensor_new(c, TW_F32, TW_SHAPE(n, FEATURES));
    in[1] = tw_tensor_new(c, TW_I32, TW_SHAPE(n));
    float *x = tw_tensor_map(in[0]);
    int32_t *y = tw_tensor_map(in[1]);
    for (int i = 0; x && y && i < n; i++, x += FEATURES) {
        for (int k = 0; k < FEATURES; k++) {
            seed = seed * 1664525u + 1013904223u;
            x[k] = (float)(seed >> 8) / (float)(1 << 23) - 1;
        }
        int first = x[0] * x[1] > 0, second = x[2] * x[3] > 0;
        y[i] = classes == 4 ? 2 * first + second : first;
    }
}
static tw_status train(tw_context *c, tw_store *store, const network *net, tw_tensor **in) {
    tw_jit *jit =
        tw_jit_new(c, store, step, 2, 1, net, sizeof *net, &(tw_jit_opts){.training = true});
    tw_tensor *loss = NULL;
    tw_status status = TW_OK;
    for (int i = 0; i < 200 && !status; i++) {
        status = tw_jit_run(jit, in, &loss);
        if (i % 50 == 0 || i == 199) printf("  step %3d  loss %.4f\n", i, tw_tensor_item(loss));
    }
    return status;
}
static double accuracy(tw_context *c, tw_store *store, const network *net, tw_tensor **in) {
    tw_tensor *count = NULL;
    tw_jit_run(tw_jit_new(c, store, correct, 2, 1, net, sizeof *net, NULL), in, &count);
    return tw_tensor_item(count) / TEST; /* NaN after a failure */
}

int main(void) {
    tw_context *c = tw_context_new(NULL);
    tw_store *first = tw_store_new(c, NULL), *tuned = tw_store_new(c, NULL);
    tw_store *fresh = tw_store_new(c, NULL);
    tw_tensor *many[2], *few[2], *test[2];
    make_data(c, MANY, 4, 1, many);
    make_data(c, FEW, 2, 2, few);
    make_data(c, TEST, 2, 3, test);

    puts("task one");
    tw_status status = train(c, first, &(network){"encoder", NULL, 4}, many);
    if (!status) status = tw_store_save(first, "fine_tune.safetensors");

    /* The file has encoder/..., head/... for four classes, and the optimiser's state. The new network
     * wants the encoder alone, which it calls body. (.lenient would skip what does not fit.) */
    puts("task two: the saved body frozen, a new head");
    const network head_only = {"body", "body/*", 2}, all = {"body", NULL, 2};
    const tw_load_opts part = {.except = "head/* optimizer/*", .rename = "encoder/*=body/*"};
    int loaded = 0;
    if (!status) status = tw_store_load_part(tuned, "fine_tune.safetensors", &part, &loaded);
    if (!status) status = train(c, tuned, &head_only, few);
    puts("task two: from nothing, for comparison");
    if (!status) status = train(c, fresh, &all, few);

    double with = accuracy(c, tuned, &head_only, test), without = accuracy(c, fresh, &all, test);
    bool learnt = !status && loaded == 4 && with > 0.85 && with > without;
    if (status || with != with) fprintf(stderr, "fine_tune: %s\n", tw_message(c));
    printf("right: %.1f %% fine-tuned, %.1f %% from nothing\n", 100 * with, 100 * without);
    remove("fine_tune.safetensors");
    tw_context_free(c); /* and all that was made in it */
    return !learnt;
}
