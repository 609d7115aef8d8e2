/* Out of memory: the n-th allocation fails, for every n until a training step succeeds: an error
 * each time, nothing leaked, nothing committed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <thalweg/thalweg.h>

#include "models/models.h"

typedef struct failing {
    long left, live;
    bool failed;
} failing;

static void *allocate(void *user, void *old, size_t bytes) {
    failing *it = user;
    if (!bytes) {
        it->live -= old != NULL;
        free(old);
        return NULL;
    }
    if (it->left-- == 0) {
        it->failed = true;
        return NULL;
    }
    void *made = realloc(old, bytes);
    it->live += made && !old;
    return made;
}

static void step(tw_graph *g, const tw_value *in, tw_value *out, const void *config) {
    (void)g, (void)config;
    tw_value h = tw_relu(tw_dense(in[0], "a", 6, NULL));
    out[0] = tw_cross_entropy(tw_dense(h, "b", 5, NULL), in[1], NULL);
    tw_minimize(out[0], &(tw_optimizer){.kind = TW_MOMENTUM});
}

/* Two jitted steps, or one line by line. */
static tw_status work(tw_context *c, bool immediate) {
    tw_store *s = tw_store_new(c, NULL);
    tw_tensor *loss = NULL, *in[] = {tw_tensor_new(c, TW_F32, TW_SHAPE(4, 3)),
                                     tw_tensor_new(c, TW_I32, TW_SHAPE(4))};
    if (!s || !in[0] || !in[1]) return TW_ERR_MEMORY;
    if (immediate) {
        tw_graph *g = tw_graph_new(c, s, TW_IMMEDIATE, &(tw_graph_opts){.training = true});
        tw_value out = {0};
        tw_tape_begin(g);
        step(g, (tw_value[]){tw_constant(g, in[0]), tw_constant(g, in[1])}, &out, NULL);
        return tw_tape_end(g, 1, &out);
    }
    tw_jit *jit = tw_jit_new(c, s, step, 2, 1, NULL, 0, &(tw_jit_opts){.training = true});
    for (int i = 0; i < 2; i++) {
        tw_status status = jit ? tw_jit_run(jit, in, &loss) : TW_ERR_MEMORY;
        if (status) return status;
        if (tw_store_step(s) != i + 1) return TW_ERR_ARGUMENT;
    }
    return TW_OK;
}

/* The practice graph: built, differentiated, updated, compiled, run; then printed and parsed. */
static tw_status practice(tw_context *c) {
    const tw_model *model = models_find("practice");
    const void *config = models_preset(model, "tiny")->config;
    tw_store *s = tw_store_new(c, NULL);
    tw_graph *g = tw_graph_new(c, s, TW_SYMBOLIC, &(tw_graph_opts){.training = true});
    if (!s || !g) return TW_ERR_MEMORY;
    tw_value in[4] = {{0}}, loss = {0};
    model->inputs(g, 4, in, config);
    model->loss(g, in, &loss, config);
    tw_minimize(loss, model->optimizer(config));
    tw_program *program = tw_compile(g, model->n_in, in, 1, &loss, NULL);
    tw_tensor *data[4] = {NULL}, *out = NULL;
    for (int i = 0; program && i < model->n_in; i++) {
        data[i] = tw_tensor_new(c, tw_dtype_of(in[i]), tw_shape_of(in[i]));
        if (!data[i]) return TW_ERR_MEMORY;
    }
    tw_status status = program ? tw_run(program, data, &out) : TW_ERR_MEMORY;
    if (status) return status;
    char *text = tw_graph_print(g);
    tw_graph *again = text ? tw_graph_parse(c, s, text) : NULL;
    char *table = again ? tw_graph_summary(again) : NULL;
    tw_string_free(c, text);
    tw_string_free(c, table);
    return table ? TW_OK : TW_ERR_MEMORY;
}

static void inner(tw_graph *g, const tw_value *in, tw_value *out, const void *config) {
    (void)g, (void)config;
    out[0] = tw_dropout(tw_tanh(tw_dense(in[0], "inner", 3, NULL)), 0.5, NULL);
}

/* A checkpoint, random numbers, microbatches. */
static tw_status checkpointed(tw_context *c) {
    tw_store *s = tw_store_new(c, NULL);
    tw_graph *g = tw_graph_new(c, s, TW_SYMBOLIC, &(tw_graph_opts){.training = true});
    tw_tensor *data = tw_tensor_new(c, TW_F32, TW_SHAPE(4, 3)), *out = NULL;
    if (!s || !g || !data) return TW_ERR_MEMORY;
    tw_value x = tw_input(g, "x", TW_F32, TW_SHAPE(4, 3)), h = {0};
    tw_checkpoint(g, inner, NULL, 1, &x, 1, &h);
    tw_value loss = tw_mse(h, x);
    tw_minimize(loss, &(tw_optimizer){.kind = TW_ADAM, .microbatches = 2});
    tw_program *program = tw_compile(g, 1, &x, 1, &loss, NULL);
    return program ? tw_run(program, &data, &out) : TW_ERR_MEMORY;
}

static tw_status jitted(tw_context *c) { return work(c, false); }
static tw_status line_by_line(tw_context *c) { return work(c, true); }

static void fail_everywhere(tw_status (*attempt)(tw_context *context)) {
    for (long n = 0;; n++) {
        failing memory = {.left = n};
        tw_context *c = tw_context_new(
            &(tw_context_opts){.threads = 1, .allocate = allocate, .allocate_user = &memory});
        tw_status status = c ? attempt(c) : TW_ERR_MEMORY;
        tw_context_free(c);
        if (memory.live) fail_msg("allocation %ld fails: %ld blocks leak", n, memory.live);
        if (!memory.failed) {
            assert_int_equal(status, TW_OK);
            return;
        }
        if (status >= 0) fail_msg("allocation %ld fails: status %d", n, (int)status);
    }
}

static void test_jitted(void **state) {
    (void)state;
    fail_everywhere(jitted);
}

static void test_line_by_line(void **state) {
    (void)state;
    fail_everywhere(line_by_line);
}

static void test_practice(void **state) {
    (void)state;
    fail_everywhere(practice);
}

static void test_checkpointed(void **state) {
    (void)state;
    fail_everywhere(checkpointed);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_jitted), cmocka_unit_test(test_line_by_line),
        cmocka_unit_test(test_practice), cmocka_unit_test(test_checkpointed)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
