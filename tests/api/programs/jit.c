/* One function: line by line, then jitted: as the interface was drawn up. Sources like it must go on
 * compiling; check_programs.sh does that. The example of this name runs. */
/* clang-format off */
#include <thalweg/thalweg.h>
#include <stdio.h>

typedef struct { int hidden; double rate; } mlp;
static void mlp_step(tw_graph *g, const tw_value *in, tw_value *out, const void *config) {
    const mlp *m = config; (void)g;
    tw_value h = tw_relu(tw_dense(in[0], "fc1", m->hidden, NULL)), w[8], dw[8];
    out[0] = tw_cross_entropy(tw_dense(h, "fc2", 10, NULL), in[1], NULL);
    int n = tw_parameters(out[0], 8, w);                       /* those the loss depends on */
    tw_grad(out[0], n, w, dw);
    for (int i = 0; i < n; i++) tw_assign(w[i], tw_sub(w[i], tw_scale(dw[i], m->rate)));
}
void train(tw_context *c, tw_store *vars, tw_tensor *x, tw_tensor *y) {
    mlp m = { .hidden = 512, .rate = 0.1 };
    tw_graph *g = tw_graph_new(c, vars, TW_IMMEDIATE, &(tw_graph_opts){ .training = true });
    for (int i = 0; i < 10; i++) {
        tw_tape_begin(g);
        tw_value loss, in[] = { tw_constant(g, x), tw_constant(g, y) };
        mlp_step(g, in, &loss, &m);                            /* a debugger can tw_print() on any line */
        printf("%d %g\n", i, tw_item(loss));
        if (tw_tape_end(g, 0, NULL)) return;                   /* frees the step's nodes, commits the assigns */
    }
    tw_tensor *in[] = { x, y }, *loss = NULL;
    tw_jit *step = tw_jit_new(c, vars, mlp_step, 2, 1, &m, sizeof m, &(tw_jit_opts){ .training = true });
    for (int i = 10; i < 1000 && !tw_jit_run(step, in, &loss); i++) printf("%d %g\n", i, tw_tensor_item(loss));
}
