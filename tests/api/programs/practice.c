/* The practice graph, symbolic: as the interface was drawn up. Sources like it must go on
 * compiling; check_programs.sh does that. The example of this name runs. */
/* clang-format off */
#include <thalweg/thalweg.h>
#include <stdio.h>

extern void next_batch(float *xs, float *ys);
int main(void) {
    static float xs[64 * 784], ys[64 * 10];
    tw_context *c = tw_context_new(NULL);
    tw_store *vars = tw_store_new(c, &(tw_store_opts){ .seed = 1 });
    tw_graph *g = tw_graph_new(c, vars, TW_SYMBOLIC, &(tw_graph_opts){ .training = true });
    tw_value x = tw_input(g, "x", TW_F32, TW_SHAPE(64, 784)), y = tw_input(g, "y", TW_F32, TW_SHAPE(64, 10));
    tw_value w1 = tw_parameter(g, "w1", TW_F32, TW_SHAPE(784, 256), tw_he_normal());
    tw_value w2 = tw_parameter(g, "w2", TW_F32, TW_SHAPE(256, 10), tw_he_normal());
    tw_value loss = tw_mse(tw_matmul(tw_relu(tw_matmul(x, w1)), w2), y);
    tw_minimize(loss, &(tw_optimizer){ .kind = TW_SGD, .rate = 0.1 });
    tw_program *step = tw_compile(g, TW_VALUES(x, y), TW_VALUES(loss), NULL);
    tw_tensor *out[] = { NULL }, *in[] = { tw_tensor_wrap(c, TW_F32, TW_SHAPE(64, 784), xs, NULL, NULL),
                                           tw_tensor_wrap(c, TW_F32, TW_SHAPE(64, 10), ys, NULL, NULL) };
    for (int i = 0; i < 100; i++) {
        next_batch(xs, ys);                                    /* fills the wrapped memory */
        if (tw_run(step, in, out)) { fprintf(stderr, "%s\n", tw_message(c)); break; }    /* the one check */
        printf("%d %g\n", i, tw_tensor_item(out[0]));
    }
    tw_context_free(c);                                        /* ends everything made in c */
}
