/* Out of memory: the n-th allocation fails, for every n until a training step succeeds: an error
 * each time, nothing leaked, nothing committed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <thalweg/thalweg.h>

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

static void fail_everywhere(bool immediate) {
    for (long n = 0;; n++) {
        failing memory = {.left = n};
        tw_context *c = tw_context_new(
            &(tw_context_opts){.threads = 1, .allocate = allocate, .allocate_user = &memory});
        tw_status status = c ? work(c, immediate) : TW_ERR_MEMORY;
        tw_context_free(c);
        if (memory.live) fail_msg("allocation %ld fails: %ld blocks leak", n, memory.live);
        if (!memory.failed) {
            assert_int_equal(status, TW_OK);
            return;
        }
        if (status >= 0) fail_msg("allocation %ld fails: status %d", n, (int)status);
    }
}

static void jitted(void **state) {
    (void)state;
    fail_everywhere(false);
}

static void line_by_line(void **state) {
    (void)state;
    fail_everywhere(true);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(jitted), cmocka_unit_test(line_by_line)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
