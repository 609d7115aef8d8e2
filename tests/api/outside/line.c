/* A program outside the tree, in what C11 and C++17 have in common: fits a line, y = 3 x - 1. */
#include <stdio.h>
#include <string.h>
#include <thalweg/thalweg.h>

int main(void) {
    float xs[8], ys[8];
    for (int i = 0; i < 8; i++) xs[i] = (float)i / 8, ys[i] = 3 * xs[i] - 1;
    tw_context *context = tw_context_new(NULL);
    tw_store *store = tw_store_new(context, NULL);
    tw_graph *graph = tw_graph_new(context, store, TW_SYMBOLIC, NULL);
    tw_value x = tw_input(graph, "x", TW_F32, TW_SHAPE(8, 1));
    tw_value y = tw_input(graph, "y", TW_F32, TW_SHAPE(8, 1));
    tw_value loss = tw_mse(tw_dense(x, "line", 1, NULL), y);
    tw_optimizer adam;
    memset(&adam, 0, sizeof adam);
    adam.kind = TW_ADAM;
    adam.rate = 0.1;
    tw_minimize(loss, &adam);
    tw_program *step = tw_compile(graph, TW_VALUES(x, y), TW_VALUES(loss), NULL);
    tw_tensor *in[2], *out[1] = {NULL};
    in[0] = tw_tensor_wrap(context, TW_F32, TW_SHAPE(8, 1), xs, NULL, NULL);
    in[1] = tw_tensor_wrap(context, TW_F32, TW_SHAPE(8, 1), ys, NULL, NULL);
    for (int i = 0; i < 300; i++) {
        if (tw_run(step, in, out)) break;
    }
    double slope = tw_tensor_item(tw_store_get(store, "line/weight"));
    double offset = tw_tensor_item(tw_store_get(store, "line/bias"));
    printf("y = %.3f x %+.3f\n", slope, offset);
    bool good = slope > 2.9 && slope < 3.1 && offset > -1.1 && offset < -0.9;
    if (!good) fprintf(stderr, "%s\n", tw_message(context));
    tw_context_free(context);
    return good ? 0 : 1;
}
