/* A generative adversarial network (Goodfellow et al. 2014): a generator turns noise into numbers that a
 * discriminator can't tell from data. Two optimisers, each with a name and parameters of its own. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <thalweg/thalweg.h>

enum { BATCH = 128, NOISE = 4 };

/* A sum of uniforms: near to a normal of mean 0 and deviation 1. */
static float normal(void) {
    double sum = -6;
    for (int i = 0; i < 12; i++) sum += rand() / (double)RAND_MAX;
    return (float)sum;
}

static tw_value generate(tw_value noise) {
    tw_value h = tw_dense(noise, "generator/hidden", 16, &(tw_dense_opts){.relu = true});
    return tw_dense(h, "generator/out", 1, NULL);
}
static tw_value judge(tw_value x) { /* a logit: large for data */
    tw_value h = tw_leaky_relu(tw_dense(x, "judge/hidden", 32, NULL), 0.2);
    return tw_dense(tw_leaky_relu(tw_dense(h, "judge/more", 32, NULL), 0.2), "judge/out", 1, NULL);
}

/* in[]: data (batch, 1), noise (batch, NOISE). out[]: both losses, and what was made. */
static void step(tw_graph *g, const tw_value *in, tw_value *out, const void *config) {
    tw_value made = generate(in[1]), data = judge(in[0]), fake = judge(tw_stop_gradient(made));
    tw_value yes = tw_literal(data, 1), no = tw_literal(data, 0);
    out[0] =
        tw_add(tw_binary_cross_entropy(data, yes, NULL), tw_binary_cross_entropy(fake, no, NULL));
    tw_minimize(out[0], &(tw_optimizer){.kind = TW_ADAM,
                                        .rate = 2e-3,
                                        .beta1 = 0.5,
                                        .name = "judging",
                                        .parameters = "judge/*"});
    out[1] = tw_binary_cross_entropy(judge(made), yes, NULL); /* by the judge as it is now */
    tw_minimize(out[1], &(tw_optimizer){.kind = TW_ADAM,
                                        .rate = 1e-3,
                                        .beta1 = 0.5,
                                        .name = "generating",
                                        .parameters = "generator/*"});
    out[2] = made;
    (void)g, (void)config;
}

int main(void) {
    static float data[BATCH], noise[BATCH * NOISE], made[BATCH];
    tw_context *c = tw_context_new(NULL);
    tw_store *vars = tw_store_new(c, &(tw_store_opts){.seed = 1});
    tw_jit_opts training = {.training = true};
    tw_jit *jit = tw_jit_new(c, vars, step, 2, 3, NULL, 0, &training);
    tw_tensor *out[3] = {NULL}, *in[2];
    in[0] = tw_tensor_wrap(c, TW_F32, TW_SHAPE(BATCH, 1), data, NULL, NULL);
    in[1] = tw_tensor_wrap(c, TW_F32, TW_SHAPE(BATCH, NOISE), noise, NULL, NULL);
    double mean = 0, square = 0;
    enum { STEPS = 3000, LAST = 500 };
    for (int i = 0; i < STEPS; i++) {
        for (int k = 0; k < BATCH; k++) data[k] = 3 + 0.5f * normal();
        for (int k = 0; k < BATCH * NOISE; k++) noise[k] = normal();
        if (tw_jit_run(jit, in, out) || tw_tensor_get(out[2], made, sizeof made)) break;
        for (int k = 0; k < BATCH && i >= STEPS - LAST; k++) {
            mean += made[k] / (double)(BATCH * LAST);
            square += made[k] * made[k] / (double)(BATCH * LAST);
        }
    }
    double deviation = sqrt(square - mean * mean);
    printf("data: mean 3, deviation 0.5; generated: %.3f, %.3f\n", mean, deviation);
    if (tw_last_status(c)) fprintf(stderr, "%s\n", tw_message(c));
    tw_context_free(c);
    return fabs(mean - 3) < 0.2 && fabs(deviation - 0.5) < 0.2 ? 0 : 1;
}
