/* A budget of memory: met by doing work again, with the same bits, or refused with a reason. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <thalweg/thalweg.h>

#include "support/golden.h"
#include "support/numbers.h"

enum { BATCH = 512, WIDTH = 64, LAYERS = 16, STEPS = 3 };

typedef struct training {
    tw_context *context;
    tw_store *store;
    tw_program *program;
    double loss[STEPS];
} training;

/* A deep perceptron; `dropout` has masks, which are made again. */
static training compiled_as(size_t budget, bool dropout, bool plain) {
    training t = {.context = tw_context_new(&(tw_context_opts){.threads = 2})};
    t.store = tw_store_new(t.context, NULL);
    tw_graph *g = tw_graph_new(t.context, t.store, TW_SYMBOLIC, &(tw_graph_opts){.training = true});
    tw_value x = tw_input(g, "x", TW_F32, TW_SHAPE(BATCH, WIDTH)), h = x;
    for (int i = 0; i < LAYERS; i++) {
        char name[16];
        snprintf(name, sizeof name, "layer%d", i);
        h = tw_tanh(tw_dense(h, name, WIDTH, NULL));
        if (dropout && i % 4 == 1) h = tw_dropout(h, 0.1, NULL);
    }
    tw_value loss = tw_mse(h, x);
    tw_minimize(loss, &(tw_optimizer){.kind = TW_ADAM});
    t.program =
        tw_compile(g, 1, &x, 1, &loss, &(tw_compile_opts){.memory = budget, .plain = plain});
    tw_graph_free(g);
    return t;
}

static training compiled(size_t budget, bool dropout) {
    return compiled_as(budget, dropout, false);
}

static size_t peak(const training *t) {
    tw_memory memory;
    if (tw_program_plan(t->program, NULL, &memory)) fail_msg("%s", tw_message(t->context));
    return memory.peak;
}

static void run(training *t) {
    tw_tensor *x = tensor_drawn(t->context, TW_F32, TW_SHAPE(BATCH, WIDTH), 3, -1, 1), *out = NULL;
    for (int i = 0; i < STEPS; i++) {
        if (tw_run(t->program, &x, &out)) fail_msg("%s", tw_message(t->context));
        t->loss[i] = tw_tensor_item(out);
    }
}

static void compare(const training *a, const training *b) {
    assert_memory_equal(a->loss, b->loss, sizeof a->loss);
    assert_int_equal(tw_store_size(a->store), tw_store_size(b->store));
    for (int i = 0; i < tw_store_size(a->store); i++) {
        tw_tensor *x = tw_store_get(a->store, tw_store_path(a->store, i));
        tw_tensor *y = tw_store_get(b->store, tw_store_path(a->store, i));
        if (memcmp(tw_tensor_map(x), tw_tensor_map(y), tw_tensor_bytes(x)))
            fail_msg("%s has other bits", tw_store_path(a->store, i));
        tw_tensor_free(x);
        tw_tensor_free(y);
    }
}

static void test_met(void **state) {
    (void)state;
    for (int kind = 0; kind < 4; kind++) {
        bool dropout = kind & 1, plain = kind & 2;
        training whole = compiled_as(0, dropout, plain);
        assert_non_null(whole.program);
        size_t need = peak(&whole), budget = need - need / 4;
        training within = compiled_as(budget, dropout, plain);
        if (!within.program) fail_msg("%s", tw_message(within.context));
        assert_true(peak(&within) <= budget);
        run(&whole);
        run(&within);
        /* Generated kernels may round otherwise where they are fused otherwise. */
        if (plain) compare(&whole, &within);
        assert_near("losses", STEPS, within.loss, whole.loss, 1e-6);
        training same = compiled_as(need, dropout, plain); /* enough: nothing changes */
        assert_int_equal(peak(&same), need);
        tw_context_free(whole.context);
        tw_context_free(within.context);
        tw_context_free(same.context);
    }
}

static void test_refused(void **state) {
    (void)state;
    char words[4096] = "";
    const size_t budgets[] = {2500000, 65536};
    for (int i = 0; i < 2; i++) {
        training t = compiled(budgets[i], false);
        assert_null(t.program);
        assert_int_equal(tw_last_status(t.context), TW_ERR_MEMORY);
        assert_int_equal(tw_store_size(t.store), 0);
        strcat(strcat(words, tw_message(t.context)), "\n");
        tw_context_free(t.context);
    }
    golden_compare("budget_refused.txt", words);
}

static void test_open(void **state) {
    (void)state;
    tw_context *c = tw_context_new(NULL);
    tw_graph *g = tw_graph_new(c, NULL, TW_SYMBOLIC, NULL);
    tw_value x = tw_input(g, "x", TW_F32, TW_SHAPE(tw_symbol(c, "n"))), y = tw_exp(x);
    assert_null(tw_compile(g, 1, &x, 1, &y, &(tw_compile_opts){.memory = 1 << 20}));
    assert_int_equal(tw_last_status(c), TW_ERR_ARGUMENT);
    tw_context_free(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_met),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
