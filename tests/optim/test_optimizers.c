/* Optimisers against the same steps done in double by the formulas of their papers. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "support/numbers.h"

enum { N = 5, STEPS = 4 };

static const double target[N] = {0.5, -1, 2, 0.25, -3};

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

/* Mean of (w - target)^2 / 2 over N elements, w from 1: the gradient is (w - target) / N. */
static tw_value model(tw_graph *graph, tw_dtype dtype, tw_value *x) {
    *x = tw_input(graph, "target", dtype, TW_SHAPE(N));
    tw_scope_begin(graph, "layer");
    tw_value w = tw_parameter(graph, "weight", dtype, TW_SHAPE(N), tw_constant_init(1));
    tw_scope_end(graph);
    return tw_mean(tw_scale(tw_square(tw_sub(w, *x)), 0.5));
}

static tw_store *train(const tw_optimizer *optimizer, tw_dtype dtype) {
    tw_store *store = tw_store_new(context, NULL);
    tw_graph *graph = tw_graph_new(context, store, TW_SYMBOLIC, &(tw_graph_opts){.training = true});
    tw_value x, loss = model(graph, dtype, &x);
    tw_minimize(loss, optimizer);
    tw_program *program = tw_compile(graph, 1, &x, 1, &loss, NULL);
    if (!program) fail_msg("%s", tw_message(context));
    tw_tensor *in = tensor_of(context, dtype, TW_SHAPE(N), target), *out = NULL;
    for (int i = 0; i < STEPS; i++)
        if (tw_run(program, &in, &out)) fail_msg("%s", tw_message(context));
    assert_int_equal(tw_store_step(store), STEPS);
    tw_tensor_free(in);
    tw_tensor_free(out);
    tw_program_free(program);
    tw_graph_free(graph);
    return store;
}

typedef struct truth {
    double w[N], m[N], v[N];
} truth;

static void true_gradient(const tw_optimizer *o, const truth *t, double *g) {
    double norm = 0;
    for (int i = 0; i < N; i++) {
        g[i] = (t->w[i] - target[i]) / N;
        norm += g[i] * g[i];
    }
    norm = sqrt(norm);
    for (int i = 0; i < N; i++) {
        if (o->clip_norm > 0 && norm > o->clip_norm) g[i] *= o->clip_norm / norm;
        if (o->kind != TW_ADAMW) g[i] += o->weight_decay * t->w[i];
    }
}

static void true_step(const tw_optimizer *o, truth *t, int step) {
    double g[N];
    true_gradient(o, t, g);
    for (int i = 0; i < N; i++) {
        double *w = &t->w[i], *m = &t->m[i], *v = &t->v[i];
        if (o->kind == TW_SGD) *w -= o->rate * g[i];
        if (o->kind == TW_MOMENTUM) {
            *v = o->momentum * *v + g[i];
            *w -= o->rate * (o->nesterov ? g[i] + o->momentum * *v : *v);
        }
        if (o->kind < TW_ADAM) continue;
        *m = o->beta1 * *m + (1 - o->beta1) * g[i];
        *v = o->beta2 * *v + (1 - o->beta2) * g[i] * g[i];
        double top = *m / (1 - pow(o->beta1, step)), root = sqrt(*v / (1 - pow(o->beta2, step)));
        double decay = o->kind == TW_ADAMW ? o->weight_decay * *w : 0;
        *w -= o->rate * (top / (root + o->epsilon) + decay);
    }
}

/* `full` states every number that `given` leaves at its default. */
static void check(const char *what, const tw_optimizer *given, const tw_optimizer *full) {
    const tw_dtype dtypes[] = {TW_F64, TW_F32};
    truth t = {.w = {0}};
    for (int i = 0; i < N; i++) t.w[i] = 1;
    for (int step = 1; step <= STEPS; step++) true_step(full, &t, step);
    for (int k = 0; k < 2; k++) {
        double w[N], tolerance = dtypes[k] == TW_F64 ? 1e-13 : 1e-6;
        tw_store *store = train(given, dtypes[k]);
        assert_int_equal(numbers_at(store, "layer/weight", N, w), N);
        assert_near(what, N, w, t.w, tolerance);
        if (full->kind != TW_SGD) {
            assert_int_equal(numbers_at(store, "optimizer/layer/weight/v", N, w), N);
            assert_near("its v", N, w, t.v, tolerance);
        }
        if (full->kind >= TW_ADAM) {
            assert_int_equal(numbers_at(store, "optimizer/layer/weight/m", N, w), N);
            assert_near("its m", N, w, t.m, tolerance);
        }
        tw_store_free(store);
    }
}

static void test_sgd(void **state) {
    (void)state;
    tw_optimizer o = {.kind = TW_SGD, .rate = 0.3};
    check("sgd", &o, &o);
    check("defaults", NULL, &(tw_optimizer){.kind = TW_SGD, .rate = 1e-2});
    o.weight_decay = 0.1;
    check("sgd with decay", &o, &o);
    o.clip_norm = 0.05;
    check("sgd with decay, clipped", &o, &o);
    o.weight_decay = 0;
    check("sgd, clipped", &o, &o);
    o.clip_norm = 100;
    check("sgd, below the norm", &o, &o);
    check("a rate of zero", &(tw_optimizer){.kind = TW_SGD, .rate = TW_ZERO},
          &(tw_optimizer){.kind = TW_SGD, .rate = 0});
}

static void test_momentum(void **state) {
    (void)state;
    tw_optimizer given = {.kind = TW_MOMENTUM}, full = given;
    full.rate = 1e-2, full.momentum = 0.9;
    check("momentum", &given, &full);
    given.nesterov = full.nesterov = true;
    given.rate = full.rate = 0.25;
    check("nesterov", &given, &full);
    given.weight_decay = full.weight_decay = 0.2;
    check("nesterov with decay", &given, &full);
}

static void test_adam(void **state) {
    (void)state;
    tw_optimizer given = {.kind = TW_ADAM}, full = given;
    full.rate = 1e-3, full.beta1 = 0.9, full.beta2 = 0.999, full.epsilon = 1e-8;
    check("adam", &given, &full);
    given.weight_decay = full.weight_decay = 0.1;
    check("adam with decay", &given, &full);
    given.kind = full.kind = TW_ADAMW;
    given.rate = full.rate = 0.05;
    check("adamw", &given, &full);
    given.clip_norm = full.clip_norm = 0.1;
    given.beta1 = TW_ZERO, full.beta1 = 0;
    check("adamw, clipped, without beta1", &given, &full);
}

/* Two parameters, of which patterns choose. */
static void test_patterns(void **state) {
    (void)state;
    const struct {
        const char *parameters, *no_decay;
        double a, b; /* after one step of rate 0.5 with decay 0.5 from 1, gradient 1 */
    } cases[] = {
        {NULL, NULL, 0.25, 0.25},      {"net/a", NULL, 0.25, 1},       {"x net/*b", NULL, 1, 0.25},
        {NULL, "*bias *b", 0.25, 0.5}, {"*", "net/a net/b", 0.5, 0.5}, {"net/*a*", "*", 0.5, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tw_store *store = tw_store_new(context, NULL);
        tw_graph *graph = tw_graph_new(context, store, TW_SYMBOLIC, NULL);
        tw_scope_begin(graph, "net");
        tw_value a = tw_parameter(graph, "a", TW_F64, TW_SHAPE(), tw_constant_init(1));
        tw_value b = tw_parameter(graph, "b", TW_F64, TW_SHAPE(), tw_constant_init(1));
        tw_value loss = tw_add(a, b);
        tw_minimize(loss, &(tw_optimizer){.kind = TW_SGD,
                                          .rate = 0.5,
                                          .weight_decay = 0.5,
                                          .parameters = cases[i].parameters,
                                          .no_decay = cases[i].no_decay});
        tw_scope_end(graph);
        tw_program *program = tw_compile(graph, 0, NULL, 1, &loss, NULL);
        tw_tensor *out = NULL;
        if (!program || tw_run(program, NULL, &out)) fail_msg("%s", tw_message(context));
        double got[2], want[2] = {cases[i].a, cases[i].b};
        numbers_at(store, "net/a", 1, &got[0]);
        numbers_at(store, "net/b", 1, &got[1]);
        assert_near("patterns", 2, got, want, 1e-15);
        tw_tensor_free(out);
        tw_program_free(program);
        tw_graph_free(graph);
        tw_store_free(store);
    }
}

/* One SGD step on an embedding used twice; `dense` hides that the gradient is sparse. */
static void embedding_step(bool dense, double *table, bool *sparse) {
    const double tokens[] = {3, 1, 3, 0, -1, 3};
    tw_store *store = tw_store_new(context, &(tw_store_opts){.seed = 3});
    tw_graph *graph = tw_graph_new(context, store, TW_SYMBOLIC, &(tw_graph_opts){.training = true});
    tw_value in[2] = {tw_input(graph, "a", TW_I32, TW_SHAPE(6)),
                      tw_input(graph, "b", TW_I32, TW_SHAPE(6))};
    tw_value a = tw_embedding(in[0], "words", 4, 2, NULL);
    tw_value b = tw_embedding(in[1], "words", 4, 2, NULL);
    tw_value loss = tw_mean(tw_square(tw_add(a, tw_scale(b, 2)))), w, dw, indices, rows;
    assert_int_equal(tw_parameters(loss, 1, &w), 1);
    tw_grad(loss, 1, &w, &dw);
    *sparse = tw_grad_sparse(dw, &indices, &rows);
    /* A norm that no gradient reaches: clipping needs dense gradients and changes nothing. */
    tw_minimize(loss, &(tw_optimizer){.kind = TW_SGD, .rate = 0.5, .clip_norm = dense ? 1e20 : 0});
    char *text = tw_graph_print(graph);
    assert_non_null(text);
    assert_int_equal(strstr(text, "sgd_update") != NULL, dense);
    tw_string_free(context, text);
    tw_program *program = tw_compile(graph, 2, in, 1, &loss, NULL);
    tw_tensor *x = tensor_of(context, TW_I32, TW_SHAPE(6), tokens), *out = NULL;
    if (!program || tw_run(program, (tw_tensor *[]){x, x}, &out))
        fail_msg("%s", tw_message(context));
    numbers_at(store, "words/weight", 8, table);
    tw_tensor_free(x);
    tw_tensor_free(out);
    tw_program_free(program);
    tw_graph_free(graph);
    tw_store_free(store);
}

static void test_sparse(void **state) {
    (void)state;
    double sparse[8], dense[8];
    bool is_sparse;
    embedding_step(false, sparse, &is_sparse);
    assert_true(is_sparse);
    embedding_step(true, dense, &is_sparse);
    assert_near("sparse update", 8, sparse, dense, 1e-6);
}

/* Line by line as compiled; microbatches, for which an immediate graph has no use, included. */
static void test_immediate(void **state) {
    (void)state;
    for (int kind = TW_SGD; kind <= TW_LION; kind++) {
        tw_optimizer o = {
            .kind = (tw_optimizer_kind)kind, .rate = 0.25, .weight_decay = 0.1, .clip_norm = 0.5};
        tw_store *compiled = train(&o, TW_F64), *store = tw_store_new(context, NULL);
        tw_graph *graph =
            tw_graph_new(context, store, TW_IMMEDIATE, &(tw_graph_opts){.training = true});
        tw_tensor *in = tensor_of(context, TW_F64, TW_SHAPE(N), target);
        o.microbatches = N;
        for (int i = 0; i < STEPS; i++) {
            tw_tape_begin(graph);
            tw_value w =
                tw_parameter(graph, "layer/weight", TW_F64, TW_SHAPE(N), tw_constant_init(1));
            tw_value x = tw_constant(graph, in);
            tw_minimize(tw_mean(tw_scale(tw_square(tw_sub(w, x)), 0.5)), &o);
            if (tw_tape_end(graph, 0, NULL)) fail_msg("%s", tw_message(context));
        }
        double line[N], program[N];
        numbers_at(store, "layer/weight", N, line);
        numbers_at(compiled, "layer/weight", N, program);
        assert_near("line by line", N, line, program, 1e-14);
        assert_int_equal(tw_store_step(store), STEPS);
        tw_tensor_free(in);
        tw_graph_free(graph);
        tw_store_free(store);
        tw_store_free(compiled);
    }
}

/* Each is refused, with a message that says so. */
static void test_errors(void **state) {
    (void)state;
    const struct {
        tw_optimizer optimizer;
        const char *says;
    } cases[] = {
        {{.kind = (tw_optimizer_kind)99}, "kind 99"},
        {{.rate = -1}, "rate"},
        {{.rate = NAN}, "rate"},
        {{.kind = TW_ADAM, .beta1 = 1}, "beta1"},
        {{.clip_norm = -1}, "clip_norm"},
        {{.microbatches = -2}, "microbatches"},
        {{.parameters = "nothing*"}, "nothing*"},
        {{.microbatches = 2}, "multiple"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tw_store *store = tw_store_new(context, NULL);
        tw_graph *graph = tw_graph_new(context, store, TW_SYMBOLIC, NULL);
        tw_value x, loss = model(graph, TW_F64, &x);
        tw_minimize(loss, &cases[i].optimizer);
        assert_int_not_equal(tw_graph_status(graph), TW_OK);
        if (!strstr(tw_message(context), cases[i].says))
            fail_msg("'%s' is not in: %s", cases[i].says, tw_message(context));
        tw_graph_free(graph);
        tw_store_free(store);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sgd),       cmocka_unit_test(test_momentum),
        cmocka_unit_test(test_adam),      cmocka_unit_test(test_patterns),
        cmocka_unit_test(test_sparse),    cmocka_unit_test(test_errors),
        cmocka_unit_test(test_immediate),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
