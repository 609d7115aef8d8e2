/* One training step as a function: run line by line, where a debugger can stop, then compiled. Both
 * give the same numbers. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <thalweg/thalweg.h>

typedef struct {
    int hidden;
    double rate;
} mlp;

static void mlp_step(tw_graph *g, const tw_value *in, tw_value *out, const void *config) {
    const mlp *m = config;
    (void)g;
    tw_value h = tw_relu(tw_dense(in[0], "fc1", m->hidden, NULL)), w[8], dw[8];
    out[0] = tw_cross_entropy(tw_dense(h, "fc2", 10, NULL), in[1], NULL);
    int n = tw_parameters(out[0], 8, w); /* those the loss depends on */
    tw_grad(out[0], n, w, dw);
    for (int i = 0; i < n; i++) tw_assign(w[i], tw_sub(w[i], tw_scale(dw[i], m->rate)));
}

static void train(tw_context *c, tw_store *vars, tw_tensor *x, tw_tensor *y, int by_line,
                  double *losses) {
    mlp m = {.hidden = 64, .rate = 0.3};
    tw_graph *g = tw_graph_new(c, vars, TW_IMMEDIATE, &(tw_graph_opts){.training = true});
    for (int i = 0; i < by_line; i++) {
        tw_tape_begin(g);
        tw_value loss, in[] = {tw_constant(g, x), tw_constant(g, y)};
        mlp_step(g, in, &loss, &m); /* a debugger can tw_print() on any line */
        losses[i] = tw_item(loss);
        if (tw_tape_end(g, 0, NULL)) return; /* frees the step's nodes, commits the assigns */
    }
    tw_tensor *in[] = {x, y}, *loss = NULL;
    tw_jit *step =
        tw_jit_new(c, vars, mlp_step, 2, 1, &m, sizeof m, &(tw_jit_opts){.training = true});
    for (int i = by_line; i < 100 && !tw_jit_run(step, in, &loss); i++)
        losses[i] = tw_tensor_item(loss);
}

int main(void) {
    enum { BATCH = 32, WIDTH = 20 };
    static float xs[BATCH * WIDTH];
    static int32_t ys[BATCH];
    double mixed[100] = {0}, compiled[100] = {0};
    for (int i = 0; i < BATCH * WIDTH; i++) xs[i] = (float)rand() / (float)RAND_MAX - 0.5f;
    for (int i = 0; i < BATCH; i++) ys[i] = i % 10;
    tw_context *c = tw_context_new(NULL);
    tw_tensor *x = tw_tensor_wrap(c, TW_F32, TW_SHAPE(BATCH, WIDTH), xs, NULL, NULL);
    tw_tensor *y = tw_tensor_wrap(c, TW_I32, TW_SHAPE(BATCH), ys, NULL, NULL);
    train(c, tw_store_new(c, &(tw_store_opts){.seed = 1}), x, y, 10, mixed);
    train(c, tw_store_new(c, &(tw_store_opts){.seed = 1}), x, y, 0, compiled);
    if (tw_last_status(c)) fprintf(stderr, "%s\n", tw_message(c));
    tw_context_free(c);
    double apart = 0;
    for (int i = 0; i < 100; i++)
        apart = fmax(apart, fabs(mixed[i] - compiled[i]) / fabs(compiled[i]));
    printf("loss %g, after 100 steps %g; 10 of them by line: %g apart\n", compiled[0], compiled[99],
           apart);
    return compiled[99] < compiled[0] / 2 && apart < 1e-6 ? 0 : 1;
}
