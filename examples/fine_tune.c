/*
 * Fine-tuning: a network learns one task and is saved; another one, with a head of its own, takes
 * over its body and learns a related task from a few examples, with the body frozen.
 *
 * Both tasks are about two hidden bits of a point x: whether x0 and x1 have the same sign, and
 * whether x2 and x3 have. No straight line tells them; the body must find features that do. Task one
 * names both bits (four classes) and has 1024 examples. Task two asks for the first bit alone (two
 * classes) and has 64.
 */
#include <stdio.h>
#include <string.h>
#include <thalweg/thalweg.h>

enum { FEATURES = 6, MANY = 1024, FEW = 64, TEST = 1000 };

/* One function builds both networks; what differs is in the configuration. */
typedef struct network {
    const char *body;   /* where the body's variables live: "encoder/fc1/weight" and so on */
    const char *frozen; /* patterns of variables that are not trained; NULL: all are */
    int64_t classes;
} network;

static tw_value logits_of(tw_graph *graph, tw_value x, const network *net) {
    const tw_dense_opts relu = {.relu = true};
    tw_scope_begin(graph, "%s", net->body);
    x = tw_dense(x, "fc1", 64, &relu); /* (batch, 64) */
    x = tw_dense(x, "fc2", 32, &relu);
    tw_scope_end(graph);
    return tw_dense(x, "head", net->classes, NULL);
}

static void train_step(tw_graph *graph, const tw_value *in, tw_value *out, const void *config) {
    const network *net = config;
    out[0] = tw_cross_entropy(logits_of(graph, in[0], net), in[1], NULL);
    tw_minimize(out[0], &(tw_optimizer){.kind = TW_ADAM, .rate = 0.01, .frozen = net->frozen});
}

static void correct(tw_graph *graph, const tw_value *in, tw_value *out, const void *config) {
    out[0] = tw_correct(logits_of(graph, in[0], config), in[1]);
}

/* ---- data: points between -1 and 1 and the class that `label` gives them ---- */

static int both_bits(int a, int b) { return 2 * a + b; }
static int first_bit(int a, int b) {
    (void)b;
    return a;
}

typedef struct data {
    tw_tensor *in[2]; /* points (n, FEATURES), classes (n) */
} data;

static data make_data(tw_context *context, int n, int (*label)(int, int), uint32_t seed) {
    data made = {{tw_tensor_new(context, TW_F32, TW_SHAPE(n, FEATURES)),
                  tw_tensor_new(context, TW_I32, TW_SHAPE(n))}};
    float *x = tw_tensor_map(made.in[0]);
    int32_t *y = tw_tensor_map(made.in[1]);
    for (int i = 0; x && y && i < n; i++, x += FEATURES) {
        for (int k = 0; k < FEATURES; k++) {
            seed = seed * 1664525u + 1013904223u;
            x[k] = (float)(seed >> 8) / (float)(1 << 23) - 1;
        }
        y[i] = label(x[0] * x[1] > 0, x[2] * x[3] > 0);
    }
    return made;
}

/* ---- training ---- */

static tw_status train(tw_context *context, tw_store *store, const network *net, data d,
                       int steps) {
    tw_jit *jit = tw_jit_new(context, store, train_step, 2, 1, net, sizeof *net,
                             &(tw_jit_opts){.training = true});
    tw_tensor *loss = NULL;
    tw_status status = TW_OK;
    for (int i = 0; i < steps && !status; i++) {
        status = tw_jit_run(jit, d.in, &loss);
        if (!status && (i % 50 == 0 || i == steps - 1))
            printf("  step %3d  loss %.4f\n", i, tw_tensor_item(loss));
    }
    tw_tensor_free(loss);
    tw_jit_free(jit);
    return status;
}

/* The share of right answers; -1 on failure. */
static double accuracy(tw_context *context, tw_store *store, const network *net, data d) {
    tw_jit *jit = tw_jit_new(context, store, correct, 2, 1, net, sizeof *net, NULL);
    tw_tensor *count = NULL;
    tw_status status = tw_jit_run(jit, d.in, &count);
    double share = status ? -1 : tw_tensor_item(count) / TEST;
    tw_tensor_free(count);
    tw_jit_free(jit);
    return share;
}

int main(int count, char **words) {
    const char *path = count > 1 ? words[1] : "fine_tune.safetensors";
    tw_context *c = tw_context_new(NULL);

    puts("task one, everything trained:");
    const network first = {.body = "encoder", .classes = 4};
    tw_store *pretrained = tw_store_new(c, &(tw_store_opts){.seed = 1});
    tw_status status = train(c, pretrained, &first, make_data(c, MANY, both_bits, 1), 200);
    if (!status) status = tw_store_save(pretrained, path);

    /* The file has encoder/..., head/... of four classes, and the optimiser's state. The new network
     * wants the encoder alone, which it calls body. tw_load_opts.lenient would skip what does not
     * fit, and tw_store_freeze would make a misspelt name an error. */
    const network second = {.body = "body", .frozen = "body/*", .classes = 2};
    tw_store *tuned = tw_store_new(c, &(tw_store_opts){.seed = 2});
    int loaded = 0;
    if (!status)
        status = tw_store_load_part(
            tuned, path,
            &(tw_load_opts){.except = "head/* optimizer/*", .rename = "encoder/*=body/*"}, &loaded);
    if (!status) printf("loaded %d variables\ntask two, the head trained:\n", loaded);
    data few = make_data(c, FEW, first_bit, 2), test = make_data(c, TEST, first_bit, 3);
    if (!status) status = train(c, tuned, &second, few, 150);

    /* What the same examples give without the file. */
    const network alone = {.body = "body", .classes = 2};
    tw_store *fresh = tw_store_new(c, &(tw_store_opts){.seed = 2});
    if (!status) puts("task two from nothing:");
    if (!status) status = train(c, fresh, &alone, few, 150);
    double with = status ? -1 : accuracy(c, tuned, &second, test);
    double without = status ? -1 : accuracy(c, fresh, &alone, test);
    if (status || with < 0 || without < 0) {
        fprintf(stderr, "fine_tune: %s\n", tw_message(c));
        status = TW_ERR_ARGUMENT;
    } else {
        printf("right on new examples: %.1f %% fine-tuned, %.1f %% from nothing\n", 100 * with,
               100 * without);
    }
    if (count < 2) remove(path);
    tw_context_free(c); /* and all that was made in it */
    return status || with < 0.85 || with < without;
}
