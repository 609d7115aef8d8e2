/* Linear regression: 30 lines that find the weights of y = 2 a - 3 b + 0.5 from examples. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <thalweg/thalweg.h>

int main(void) {
    enum { N = 100 };
    static float xs[N][2], ys[N][1];
    for (int i = 0; i < N; i++) {
        for (int k = 0; k < 2; k++) xs[i][k] = (float)rand() / (float)RAND_MAX - 0.5f;
        ys[i][0] = 2 * xs[i][0] - 3 * xs[i][1] + 0.5f;
    }
    tw_context *c = tw_context_new(NULL);
    tw_store *vars = tw_store_new(c, &(tw_store_opts){.seed = 1});
    tw_graph *g = tw_graph_new(c, vars, TW_SYMBOLIC, NULL);
    tw_value x = tw_input(g, "x", TW_F32, TW_SHAPE(N, 2)),
             y = tw_input(g, "y", TW_F32, TW_SHAPE(N, 1));
    tw_value loss = tw_mse(tw_dense(x, "line", 1, NULL), y);
    tw_minimize(loss, &(tw_optimizer){.kind = TW_SGD, .rate = 0.5});
    tw_program *step = tw_compile(g, TW_VALUES(x, y), TW_VALUES(loss), NULL);
    tw_tensor *out[] = {NULL}, *in[] = {tw_tensor_wrap(c, TW_F32, TW_SHAPE(N, 2), xs, NULL, NULL),
                                        tw_tensor_wrap(c, TW_F32, TW_SHAPE(N, 1), ys, NULL, NULL)};
    for (int i = 0; i < 200; i++)
        if (tw_run(step, in, out)) break;
    double error = tw_tensor_item(out[0]); /* NaN if anything failed */
    if (tw_last_status(c)) fprintf(stderr, "%s\n", tw_message(c));
    float w[2] = {0}, b[1] = {0};
    tw_tensor_get(tw_store_get(vars, "line/weight"), w, sizeof w);
    tw_tensor_get(tw_store_get(vars, "line/bias"), b, sizeof b);
    printf("y = %.3f a %+.3f b %+.3f, error %.2g\n", w[0], w[1], b[0], error);
    tw_context_free(c);
    return error < 1e-6 && fabsf(w[0] - 2) < 0.01f && fabsf(w[1] + 3) < 0.01f ? 0 : 1;
}
