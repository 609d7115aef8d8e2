/* Averages of weights: their numbers, and evaluating with them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <string.h>
#include <cmocka.h>
#include <thalweg/init.h>

#include "support/numbers.h"

enum { STEPS = 6 };

static tw_context *context;

static int setup(void **state) {
    (void)state;
    context = tw_context_new(NULL);
    return context ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    tw_context_free(context);
    return 0;
}

/* w and net/v start at 1 and lose 0.5 and 0.25 in each step. */
static tw_value step(tw_graph *g, const tw_average_opts *opts) {
    tw_value w = tw_parameter(g, "w", TW_F64, TW_SHAPE(), tw_constant_init(1));
    tw_value v = tw_parameter(g, "net/v", TW_F32, TW_SHAPE(2), tw_constant_init(1));
    tw_value loss = tw_add(w, tw_cast(tw_scale(tw_sum(v), 0.5), TW_F64));
    tw_minimize(loss, &(tw_optimizer){.kind = TW_SGD, .rate = 0.5});
    tw_average(g, opts);
    return loss;
}

static void run(tw_store *store, const tw_average_opts *opts, bool immediate) {
    tw_mode mode = immediate ? TW_IMMEDIATE : TW_SYMBOLIC;
    tw_graph *g = tw_graph_new(context, store, mode, &(tw_graph_opts){.training = true});
    tw_tensor *out = NULL;
    tw_program *program = NULL;
    for (int i = 0; i < STEPS; i++) {
        if (immediate) {
            tw_tape_begin(g);
            step(g, opts);
            if (tw_tape_end(g, 0, NULL)) fail_msg("%s", tw_message(context));
            continue;
        }
        if (!program) {
            tw_value loss = step(g, opts);
            program = tw_compile(g, 0, NULL, 1, &loss, NULL);
        }
        if (!program || tw_run(program, NULL, &out)) fail_msg("%s", tw_message(context));
    }
    tw_tensor_free(out);
    tw_program_free(program);
    tw_graph_free(g);
}

/* The average after STEPS steps of a weight that loses `rate` in each. */
static double average_of(double rate, double decay, bool ramp) {
    double a = 0, w = 1;
    for (int n = 0; n < STEPS; n++) {
        w -= rate;
        double keep = ramp ? fmin(decay, (1.0 + n) / (10.0 + n)) : decay;
        a = n == 0 ? w : keep * a + (1 - keep) * w;
    }
    return a;
}

static void test_numbers(void **state) {
    (void)state;
    const struct {
        tw_average_opts opts;
        double decay;
    } cases[] = {
        {{0}, 0.999},
        {{.decay = 0.75}, 0.75},
        {{.decay = 0.3, .ramp = true}, 0.3},
        {{.decay = TW_ZERO}, 0},
    };
    for (size_t i = 0; i < 2 * (sizeof cases / sizeof *cases); i++) {
        const tw_average_opts *opts = &cases[i / 2].opts;
        tw_store *store = tw_store_new(context, NULL);
        run(store, opts, i % 2);
        double a[3], want[3];
        numbers_at(store, "average/w", 1, a);
        assert_int_equal(numbers_at(store, "average/net/v", 2, a + 1), 2);
        want[0] = average_of(0.5, cases[i / 2].decay, opts->ramp);
        want[1] = want[2] = average_of(0.25, cases[i / 2].decay, opts->ramp);
        assert_near("average of w", 1, a, want, 1e-15);
        assert_near("average of v", 2, a + 1, want + 1, 1e-6);
        numbers_at(store, "average/step", 1, a);
        assert_int_equal((int)a[0], STEPS);
        assert_int_equal(tw_store_step(store), STEPS);
        tw_store_free(store);
    }
}

/* A program compiled before sees the averages between two swaps. */
static void test_swap(void **state) {
    (void)state;
    tw_store *store = tw_store_new(context, NULL);
    run(store, &(tw_average_opts){.decay = 0.5, .parameters = "x w"}, false);
    assert_null(tw_store_get(store, "average/net/v"));
    tw_graph *g = tw_graph_new(context, store, TW_SYMBOLIC, NULL);
    tw_value w = tw_parameter(g, "w", TW_F64, TW_SHAPE(), tw_constant_init(1));
    tw_value v = tw_parameter(g, "net/v", TW_F32, TW_SHAPE(2), tw_constant_init(1));
    tw_value y[] = {tw_scale(w, 2), v};
    tw_program *program = tw_compile(g, 0, NULL, 2, y, NULL);
    tw_tensor *out[2] = {NULL}, *held = tw_store_get(store, "w");
    double weight = 1 - 0.5 * STEPS, average = average_of(0.5, 0.5, false);
    for (int i = 0; i < 4; i++) {
        double first = 0, second[2];
        if (!program || tw_run(program, NULL, out)) fail_msg("%s", tw_message(context));
        numbers_of(out[0], 1, &first);
        numbers_of(out[1], 2, second);
        assert_near("swapped", 1, &first, &(double){2 * (i % 2 ? average : weight)}, 1e-15);
        assert_near("not averaged", 1, second, &(double){1 - 0.25 * STEPS}, 1e-6);
        assert_int_equal(tw_store_swap_averages(store), TW_OK);
    }
    assert_true(tw_tensor_item(held) == weight); /* a hold does not change */
    tw_tensor_free(held);
    tw_tensor_free(out[0]);
    tw_tensor_free(out[1]);
    tw_program_free(program);
    tw_graph_free(g);
    /* Training goes on as if nothing had been. */
    run(store, &(tw_average_opts){.decay = 0.5, .parameters = "x w"}, false);
    double now;
    numbers_at(store, "w", 1, &now);
    assert_near("trained on", 1, &now, &(double){1 - 0.5 * 2 * STEPS}, 1e-15);
    tw_store_free(store);
}

static void test_errors(void **state) {
    (void)state;
    assert_int_equal(tw_store_swap_averages(NULL), TW_ERR_NULL);
    tw_store *store = tw_store_new(context, NULL);
    assert_int_equal(tw_store_swap_averages(store), TW_ERR_NOT_FOUND);
    /* Averages that no run has computed are no weights. */
    tw_graph *g = tw_graph_new(context, store, TW_SYMBOLIC, &(tw_graph_opts){.training = true});
    tw_value loss = step(g, NULL);
    tw_program *program = tw_compile(g, 0, NULL, 1, &loss, NULL);
    assert_non_null(program);
    assert_int_equal(tw_store_swap_averages(store), TW_ERR_NOT_FOUND);
    tw_program_free(program);
    tw_graph_free(g);
    const struct {
        tw_average_opts opts;
        const char *says;
    } cases[] = {
        {{.decay = 1.5}, "decay is 1.5"},
        {{.decay = NAN}, "decay"},
        {{.parameters = "nothing*"}, "no parameter that matches"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        g = tw_graph_new(context, NULL, TW_SYMBOLIC, &(tw_graph_opts){.training = true});
        step(g, &cases[i].opts);
        assert_int_equal(tw_graph_status(g), TW_ERR_ARGUMENT);
        if (!strstr(tw_message(context), cases[i].says))
            fail_msg("'%s' is not in: %s", cases[i].says, tw_message(context));
        tw_graph_free(g);
    }
    tw_store_free(store);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_swap),
        cmocka_unit_test(test_errors),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
