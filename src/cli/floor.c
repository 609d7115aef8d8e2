/* The roofline (Williams et al. 2009) of this machine, with a bandwidth for each size of work. */
#include "cli/floor.h"

enum { SIDE = 512, RUNS = 9 };

/* The fastest of a few times of the one instruction of a program of the graph; 0 on failure. */
static double seconds_of(tw_context *context, tw_graph *graph, tw_value in, tw_value out,
                         tw_shape shape) {
    tw_tensor *x = tw_tensor_new(context, TW_F32, shape), *y = NULL;
    tw_program *program = x ? tw_compile(graph, 1, &in, 1, &out, NULL) : NULL;
    double best = 0;
    for (int i = 0; program && i < RUNS; i++) {
        tw_profile *profile = tw_profile_new(program, &x, &y, 1);
        const tw_profile_row *row = profile ? tw_profile_at(profile, 0) : NULL;
        if (row && (best == 0 || row->seconds < best)) best = row->seconds;
        tw_profile_free(profile);
    }
    tw_tensor_free(x);
    tw_tensor_free(y);
    tw_program_free(program);
    tw_graph_free(graph);
    return best;
}

static double product_rate(tw_context *context) {
    tw_graph *graph = tw_graph_new(context, NULL, TW_SYMBOLIC, NULL);
    tw_value x = tw_input(graph, "x", TW_F32, TW_SHAPE(SIDE, SIDE));
    double seconds = seconds_of(context, graph, x, tw_matmul(x, x), TW_SHAPE(SIDE, SIDE));
    return seconds > 0 ? 2.0 * SIDE * SIDE * SIDE / seconds : 0;
}

static double copy_rate(tw_context *context, int64_t n) {
    tw_graph *graph = tw_graph_new(context, NULL, TW_SYMBOLIC, NULL);
    tw_value x = tw_input(graph, "x", TW_F32, TW_SHAPE(n));
    double seconds = seconds_of(context, graph, x, tw_neg(x), TW_SHAPE(n));
    return seconds > 0 ? 2.0 * sizeof(float) * (double)n / seconds : 0;
}

tw_status floor_measure(tw_context *context, machine_floor *out) {
    int64_t n = 1 << 14;
    out->flops = product_rate(context);
    for (int i = 0; i < FLOOR_SIZES; i++, n *= 8) {
        out->bytes[i] = copy_rate(context, n);
        out->upto[i] = 4.0 * 2 * sizeof(float) * (double)n;
        if (out->bytes[i] <= 0) return tw_last_status(context);
    }
    return out->flops > 0 ? TW_OK : tw_last_status(context);
}

double floor_seconds(const machine_floor *floor, double flops, double bytes) {
    int i = 0;
    while (i < FLOOR_SIZES - 1 && bytes > floor->upto[i]) i++;
    double computing = flops / floor->flops, moving = bytes / floor->bytes[i];
    return computing > moving ? computing : moving;
}
