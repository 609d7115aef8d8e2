/*
 * A generator and a discriminator in one step graph: two optimisers of disjoint parameters, under
 * names of their own. The generator learns the mean and deviation of a Gaussian.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <thalweg/init.h>

#include "base/number.h"
#include "support/numbers.h"

enum { BATCH = 128, STEPS = 2000 };
static const double MEAN = 2, DEVIATION = 0.5;

static void normals(uint64_t key, uint64_t from, double mean, double deviation, float *out) {
    for (int i = 0; i < BATCH; i++) {
        uint32_t word[4];
        philox(key, from + (uint64_t)i, 0, word);
        double radius = sqrt(-2 * log((word[0] + 0.5) * 0x1p-32));
        out[i] = (float)(mean + deviation * radius * cos(6.283185307179586 * word[1] * 0x1p-32));
    }
}

/* log(1 + e^x) */
static tw_value softplus(tw_value x) {
    return tw_add(tw_relu(x), tw_log1p(tw_exp(tw_neg(tw_abs(x)))));
}

/* Of x and x^2: the log ratio of two Gaussians is a quadratic. Its weight decay keeps the game from
 * circling. */
static tw_value discriminate(tw_graph *g, tw_value x) {
    tw_scope_begin(g, "discriminator");
    tw_value h = tw_concat(1, TW_VALUES(x, tw_square(x)));
    tw_value y = tw_dense(h, "out", 1, NULL);
    tw_scope_end(g);
    return y;
}

static tw_value generate(tw_graph *g, tw_value noise) {
    tw_scope_begin(g, "generator");
    tw_dense_opts opts = {.weight = tw_constant_init(1)};
    tw_value y = tw_dense(noise, "out", 1, &opts);
    tw_scope_end(g);
    return y;
}

static tw_program *step_program(tw_context *c, tw_store *store) {
    tw_graph *g = tw_graph_new(c, store, TW_SYMBOLIC, &(tw_graph_opts){.training = true});
    tw_value in[] = {tw_input(g, "real", TW_F32, TW_SHAPE(BATCH, 1)),
                     tw_input(g, "noise", TW_F32, TW_SHAPE(BATCH, 1))};
    tw_value fake = generate(g, in[1]);
    tw_value on_real = discriminate(g, in[0]), on_fake = discriminate(g, fake);
    tw_value out[] = {tw_mean(tw_add(softplus(tw_neg(on_real)), softplus(on_fake))),
                      tw_mean(softplus(tw_neg(on_fake)))};
    tw_optimizer optimizer = {.kind = TW_ADAM, .rate = 0.01, .beta1 = 0.5};
    optimizer.parameters = "discriminator/*";
    optimizer.name = "optimizers/discriminator";
    optimizer.weight_decay = 0.1;
    tw_minimize(out[0], &optimizer);
    optimizer.parameters = "generator/*";
    optimizer.name = "optimizers/generator";
    optimizer.weight_decay = 0;
    optimizer.rate = 0.003;
    tw_minimize(out[1], &optimizer);
    tw_average(g, &(tw_average_opts){.decay = 0.99, .parameters = "generator/*"});
    tw_program *program = tw_compile(g, 2, in, 2, out, NULL);
    if (!program) fail_msg("%s", tw_message(c));
    return program;
}

static void measure(tw_context *c, tw_store *store, double *mean, double *deviation) {
    tw_graph *g = tw_graph_new(c, store, TW_SYMBOLIC, NULL);
    tw_value noise = tw_input(g, "noise", TW_F32, TW_SHAPE(BATCH, 1)), y = generate(g, noise);
    tw_program *program = tw_compile(g, 1, &noise, 1, &y, NULL);
    float given[BATCH];
    double number[BATCH];
    tw_tensor *in = tw_tensor_wrap(c, TW_F32, TW_SHAPE(BATCH, 1), given, NULL, NULL), *out = NULL;
    double sum = 0, square = 0;
    for (int k = 0; k < 20; k++) {
        normals(7, (uint64_t)(k * BATCH), 0, 1, given);
        if (tw_run(program, &in, &out)) fail_msg("%s", tw_message(c));
        numbers_of(out, BATCH, number);
        for (int i = 0; i < BATCH; i++) sum += number[i], square += number[i] * number[i];
    }
    *mean = sum / (20 * BATCH);
    *deviation = sqrt(square / (20 * BATCH) - *mean * *mean);
}

static void test_gan(void **state) {
    (void)state;
    tw_context *c = tw_context_new(NULL);
    tw_store *store = tw_store_new(c, &(tw_store_opts){.seed = 1});
    tw_program *program = step_program(c, store);
    float real[BATCH], noise[BATCH];
    tw_tensor *in[] = {tw_tensor_wrap(c, TW_F32, TW_SHAPE(BATCH, 1), real, NULL, NULL),
                       tw_tensor_wrap(c, TW_F32, TW_SHAPE(BATCH, 1), noise, NULL, NULL)};
    tw_tensor *out[2] = {NULL};
    double mean, deviation;
    measure(c, store, &mean, &deviation);
    assert_true(fabs(mean) < 0.1 && fabs(deviation - 1) < 0.1); /* far from the target */
    for (int i = 0; i < STEPS; i++) {
        normals(1, (uint64_t)i * BATCH, MEAN, DEVIATION, real);
        normals(2, (uint64_t)i * BATCH, 0, 1, noise);
        if (tw_run(program, in, out)) fail_msg("%s", tw_message(c));
        assert_true(isfinite(tw_tensor_item(out[0])) && isfinite(tw_tensor_item(out[1])));
    }
    double count;
    numbers_at(store, "optimizers/generator/step", 1, &count);
    assert_int_equal((int)count, STEPS);
    numbers_at(store, "optimizers/discriminator/step", 1, &count);
    assert_int_equal((int)count, STEPS);
    assert_int_equal(tw_store_step(store), STEPS);
    assert_int_equal(tw_store_swap_averages(store), TW_OK);
    measure(c, store, &mean, &deviation);
    print_message("mean %.3f for %g, deviation %.3f for %g\n", mean, MEAN, deviation, DEVIATION);
    assert_true(fabs(mean - MEAN) < 0.15);
    assert_true(fabs(deviation - DEVIATION) < 0.15);
    tw_context_free(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_gan)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
