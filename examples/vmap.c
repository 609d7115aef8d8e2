/* Gradients of each example, which a batch's gradient only sums: a loss of one example, differentiated,
 * and vmap makes it one for many. Their norms find the two examples whose labels are wrong. */
#include <math.h>
#include <stdio.h>
#include <thalweg/thalweg.h>

enum { N = 16, WIDTH = 4 };

/* in[]: one example x (WIDTH), its target (), the weights (WIDTH). out[0] is |d loss / d weights|. */
static void gradient_norm(tw_graph *g, const tw_value *in, tw_value *out, const void *config) {
    tw_value error = tw_sub(tw_sum(tw_mul(in[0], in[2])), in[1]), gradient;
    tw_grad(tw_square(error), 1, &in[2], &gradient);
    out[0] = tw_sqrt(tw_sum(tw_square(gradient)));
    (void)g, (void)config;
}

int main(void) {
    float xs[N][WIDTH], ys[N], ws[WIDTH] = {1, -2, 0.5f, 3}, norms[N] = {0};
    for (int i = 0; i < N; i++) {
        ys[i] = 0;
        for (int k = 0; k < WIDTH; k++) {
            xs[i][k] = (float)sin(1 + i * WIDTH + k);
            ys[i] += xs[i][k] * ws[k];
        }
        if (i == 3 || i == 11) ys[i] += 1; /* the wrong ones */
    }
    tw_context *c = tw_context_new(NULL);
    tw_graph *g = tw_graph_new(c, NULL, TW_IMMEDIATE, NULL);
    tw_value x = tw_constant_of(g, TW_F32, TW_SHAPE(N, WIDTH), xs);
    tw_value y = tw_constant_of(g, TW_F32, TW_SHAPE(N), ys);
    tw_value w = tw_constant_of(g, TW_F32, TW_SHAPE(WIDTH), ws), out;
    /* x and y are cut along axis 0; the weights are whole for every example. */
    tw_vmap(g, gradient_norm, NULL, 3, (tw_value[]){x, y, w}, (int[]){0, 0, TW_WHOLE}, 1, &out);
    bool good = !tw_read(out, norms, sizeof norms);
    for (int i = 0; i < N && good; i++) {
        double right = 0; /* d error^2 / d w = 2 error x, and error is -1 or 0 */
        for (int k = 0; k < WIDTH; k++) right += 4. * xs[i][k] * xs[i][k];
        right = i == 3 || i == 11 ? sqrt(right) : 0;
        if (norms[i] > 0.1f) printf("example %d is suspicious: gradient %.3f\n", i, norms[i]);
        good = fabs(norms[i] - right) < 1e-4;
    }
    if (tw_graph_status(g)) fprintf(stderr, "%s\n", tw_message(c));
    tw_context_free(c);
    return good ? 0 : 1;
}
