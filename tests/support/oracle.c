/* Cases of a file at work: variables set, inputs given, outputs, gradients and variables compared. */
#include "support/oracle.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "support/sample.h"

enum { LIST = 16, MAX_CASES = 256 };
static const double TOLERANCE = 1e-5;

static struct {
    const char *file;
    const oracle_case *cases;
} program;

/* One case: what the file has of it. */
typedef struct work {
    const oracle_case *row;
    tw_context *context;
    tw_store *golden, *store;
    int n_in, n_out, n_x; /* n_x: values that are differentiated */
    tw_tensor *data[LIST];
    tw_value in[LIST], out[3 * LIST], x[2 * LIST];
    char expected[3 * LIST][160]; /* the file's path for each output of the program */
    int n_results;
} work;

static void stop(const work *w, const char *what) {
    fail_msg("%s: %s: %s", w->row->name, what, tw_message(w->context));
}

/* The file's tensor CASE/KIND/NAME; NULL when it has none. */
static tw_tensor *stored(const work *w, const char *path) {
    for (int i = 0; i < tw_store_size(w->golden); i++)
        if (!strcmp(tw_store_path(w->golden, i), path)) return tw_store_get(w->golden, path);
    return NULL;
}

/* The part of `path` after CASE/KIND/; NULL for another case or kind. */
static const char *name_in(const work *w, const char *path, const char *kind) {
    size_t length = strlen(w->row->name);
    if (strncmp(path, w->row->name, length) || path[length] != '/') return NULL;
    path += length + 1;
    length = strlen(kind);
    return strncmp(path, kind, length) || path[length] != '/' ? NULL : path + length + 1;
}

/* Another seed than any file's: a variable that is not copied gives other numbers. */
static void load(work *w) {
    w->golden = tw_store_new(w->context, NULL);
    w->store = tw_store_new(w->context, &(tw_store_opts){.seed = 99});
    if (!w->golden || !w->store || tw_store_load(w->golden, program.file)) stop(w, program.file);
    for (int i = 0; i < tw_store_size(w->golden); i++) {
        const char *path = tw_store_path(w->golden, i), *name = name_in(w, path, "variable");
        if (name && tw_store_set(w->store, name, tw_store_get(w->golden, path))) stop(w, path);
        w->n_out += name_in(w, path, "out") != NULL;
    }
    if (!w->n_out || w->n_out > TW_MAX_RESULTS * 2) fail_msg("%s: no outputs", w->row->name);
}

static void add_result(work *w, tw_value v, const char *kind, const char *name) {
    assert_true(w->n_results < 3 * LIST);
    snprintf(w->expected[w->n_results], sizeof w->expected[0], "%s/%s/%s", w->row->name, kind,
             name);
    w->out[w->n_results++] = v;
}

static tw_graph *build(work *w) {
    char path[160], number[16];
    tw_graph *g = tw_graph_new(w->context, w->store, TW_SYMBOLIC,
                               &(tw_graph_opts){.training = w->row->training});
    if (!g) stop(w, "graph");
    for (;; w->n_in++) {
        snprintf(path, sizeof path, "%s/in/%d", w->row->name, w->n_in);
        tw_tensor *data = stored(w, path);
        if (!data) break;
        assert_true(w->n_in < LIST);
        tw_type type = tw_tensor_type(data);
        snprintf(number, sizeof number, "in%d", w->n_in);
        w->data[w->n_in] = data;
        w->in[w->n_in] = tw_input(g, number, type.dtype, type.shape);
    }
    tw_value made[2 * TW_MAX_RESULTS] = {{0}};
    w->row->build(g, w->in, made, w->row->config);
    if (tw_graph_status(g)) stop(w, "does not build");
    for (int i = 0; i < w->n_out; i++) {
        snprintf(number, sizeof number, "%d", i);
        add_result(w, made[i], "out", number);
    }
    return g;
}

/* The scalar sum(out * weight) over the outputs that have a weight. */
static tw_value scalar_of(work *w) {
    char path[160];
    tw_value y = {0};
    for (int i = 0; i < w->n_out; i++) {
        snprintf(path, sizeof path, "%s/weight/%d", w->row->name, i);
        tw_tensor *weight = stored(w, path);
        if (!weight) continue;
        tw_value part = tw_sum(tw_mul(w->out[i], tw_constant(w->out[i].graph, weight)));
        y = y.graph ? tw_add(y, part) : part;
    }
    return y;
}

static void differentiate(work *w, tw_graph *g) {
    tw_value y = scalar_of(w), x[2 * LIST], dx[2 * LIST];
    char names[2 * LIST][160];
    int n = 0;
    if (!y.graph) return;
    for (int i = 0; i < w->n_in; i++) {
        snprintf(names[n], sizeof names[0], "%s/d_in/%d", w->row->name, i);
        if (stored(w, names[n])) x[n++] = w->in[i];
    }
    tw_value parameter[LIST];
    int count = tw_parameters(y, LIST, parameter);
    assert_true(count <= LIST);
    for (int i = 0; i < count; i++) {
        snprintf(names[n], sizeof names[0], "%s/d_variable/%s", w->row->name,
                 tw_path(parameter[i]));
        if (!stored(w, names[n])) fail_msg("%s is not in %s", names[n], program.file);
        x[n++] = parameter[i];
    }
    tw_grad(y, n, x, dx);
    if (tw_graph_status(g)) stop(w, "does not differentiate");
    for (int i = 0; i < n; i++) {
        assert_true(w->n_results < 3 * LIST);
        memcpy(w->expected[w->n_results], names[i], sizeof names[0]);
        w->out[w->n_results++] = dx[i];
    }
}

/* Copies of what the store gives: numbers and their count. */
static void compare(const work *w, tw_tensor *have, const char *path) {
    sample reader = {.context = w->context};
    tw_tensor *want = stored(w, path);
    if (!want) fail_msg("%s is not in %s", path, program.file);
    int64_t n, m;
    double *a = sample_numbers(&reader, have, &n), *b = sample_numbers(&reader, want, &m);
    if (n != m) fail_msg("%s: %lld elements, expected %lld", path, (long long)n, (long long)m);
    double apart = sample_distance(n, a, b);
    if (!(apart <= TOLERANCE)) {
        for (int64_t i = 0; i < n && i < 8; i++)
            print_message("%lld: %.9g, expected %.9g\n", (long long)i, a[i], b[i]);
        fail_msg("%s: %g apart, %g allowed", path, apart, TOLERANCE);
    }
    free(a);
    free(b);
    tw_tensor_free(want);
}

static void test_case(void **state) {
    work w = {.row = *state, .context = tw_context_new(&(tw_context_opts){.threads = 2})};
    assert_non_null(w.context);
    load(&w);
    tw_graph *g = build(&w);
    differentiate(&w, g);
    tw_program *step = tw_compile(g, w.n_in, w.in, w.n_results, w.out, NULL);
    if (!step) stop(&w, "does not compile");
    tw_tensor *result[3 * LIST] = {NULL};
    if (tw_run(step, w.data, result)) stop(&w, "does not run");
    for (int i = 0; i < w.n_results; i++) compare(&w, result[i], w.expected[i]);
    for (int i = 0; i < tw_store_size(w.golden); i++) {
        const char *path = tw_store_path(w.golden, i), *name = name_in(&w, path, "after");
        tw_tensor *after = name ? tw_store_get(w.store, name) : NULL;
        if (name && !after) stop(&w, name);
        if (name) compare(&w, after, path);
    }
    tw_context_free(w.context);
}

/* Every case of the file has its row. */
static void test_complete(void **state) {
    (void)state;
    tw_context *context = tw_context_new(NULL);
    assert_non_null(context);
    tw_store *golden = tw_store_new(context, NULL);
    assert_int_equal(tw_store_load(golden, program.file), TW_OK);
    assert_true(tw_store_size(golden) > 0);
    for (int i = 0; i < tw_store_size(golden); i++) {
        const char *path = tw_store_path(golden, i);
        size_t length = strcspn(path, "/");
        const oracle_case *row = program.cases;
        while (row->name && (strlen(row->name) != length || strncmp(row->name, path, length)))
            row++;
        if (!row->name) fail_msg("%s: the case of %s has no test", program.file, path);
    }
    tw_context_free(context);
}

int oracle_main(const char *file, const oracle_case *cases) {
    static struct CMUnitTest tests[MAX_CASES + 1];
    size_t n = 0;
    program.file = file;
    program.cases = cases;
    for (; cases[n].name && n < MAX_CASES; n++)
        tests[n] =
            (struct CMUnitTest){cases[n].name, test_case, NULL, NULL, (void *)(uintptr_t)&cases[n]};
    tests[n++] =
        (struct CMUnitTest){"every stored case is tested", test_complete, NULL, NULL, NULL};
    return _cmocka_run_group_tests(file, tests, n, NULL, NULL) != 0;
}
