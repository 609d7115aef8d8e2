/* The practice graph: two matrix products, relu, mean squared error, and one SGD step, compiled. */
#include <stdio.h>
#include <stdlib.h>
#include <thalweg/thalweg.h>

/* Random inputs, and targets that depend on them: each is a mean of 78 of the inputs. */
static void next_batch(float *xs, float *ys) {
    for (int i = 0; i < 64 * 784; i++) xs[i] = (float)rand() / (float)RAND_MAX - 0.5f;
    for (int row = 0; row < 64; row++) {
        for (int k = 0; k < 10; k++) {
            float sum = 0;
            for (int i = 0; i < 78; i++) sum += xs[row * 784 + k * 78 + i];
            ys[row * 10 + k] = sum / 8;
        }
    }
}

int main(void) {
    static float xs[64 * 784], ys[64 * 10];
    tw_context *c = tw_context_new(NULL);
    tw_store *vars = tw_store_new(c, &(tw_store_opts){.seed = 1});
    tw_graph *g = tw_graph_new(c, vars, TW_SYMBOLIC, &(tw_graph_opts){.training = true});
    tw_value x = tw_input(g, "x", TW_F32, TW_SHAPE(64, 784)),
             y = tw_input(g, "y", TW_F32, TW_SHAPE(64, 10));
    tw_value w1 = tw_parameter(g, "w1", TW_F32, TW_SHAPE(784, 256), tw_he_normal());
    tw_value w2 = tw_parameter(g, "w2", TW_F32, TW_SHAPE(256, 10), tw_he_normal());
    tw_value loss = tw_mse(tw_matmul(tw_relu(tw_matmul(x, w1)), w2), y);
    tw_minimize(loss, &(tw_optimizer){.kind = TW_SGD, .rate = 0.1});
    tw_program *step = tw_compile(g, TW_VALUES(x, y), TW_VALUES(loss), NULL);
    tw_tensor *out[] = {NULL},
              *in[] = {tw_tensor_wrap(c, TW_F32, TW_SHAPE(64, 784), xs, NULL, NULL),
                       tw_tensor_wrap(c, TW_F32, TW_SHAPE(64, 10), ys, NULL, NULL)};
    double first = 0, last = 0;
    for (int i = 0; i < 100; i++) {
        next_batch(xs, ys);          /* fills the wrapped memory */
        if (tw_run(step, in, out)) { /* the one check */
            fprintf(stderr, "%s\n", tw_message(c));
            break;
        }
        last = tw_tensor_item(out[0]);
        if (i == 0) first = last;
        if (i % 10 == 0) printf("%d %g\n", i, last);
    }
    tw_context_free(c); /* ends everything made in c */
    return last < first * 0.7 ? 0 : 1;
}
