/* Kernels take memory in the caller's thread alone: an allocator need not be made for several. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include <thalweg/thalweg.h>

static pthread_t caller;
static atomic_int strangers;

static void *allocate(void *user, void *old, size_t bytes) {
    (void)user;
    if (!pthread_equal(pthread_self(), caller)) strangers++;
    if (bytes) return realloc(old, bytes);
    free(old);
    return NULL;
}

static tw_value attention(tw_value x) {
    tw_value q = tw_reshape(x, TW_SHAPE(20, 20, 4, 64));
    return tw_attention(q, q, q, &(tw_attention_opts){.causal = true});
}
static tw_value windows(tw_value x) {
    return tw_max_pool(tw_reshape(x, TW_SHAPE(8, 50, 32, 8)), &(tw_pool_opts){.window = {3, 3}});
}
static tw_value sort(tw_value x) { return tw_sort(x, 1, false, NULL); }
static tw_value sort_columns(tw_value x) { return tw_sort(x, 0, true, NULL); }
static tw_value top(tw_value x) { return tw_top_k(x, 3, NULL); }
static tw_value half(tw_value x) { return tw_cumulative_sum(tw_cast(x, TW_BF16), 0); }
static tw_value product(tw_value x) { return tw_matmul(x, tw_transpose(x)); }
static tw_value scattered(tw_value x) {
    tw_value rows = tw_cast(tw_reshape(tw_slice(x, 1, 0, 1), TW_SHAPE(400)), TW_I32);
    return tw_scatter_add(x, rows, x);
}

static tw_value (*const cases[])(tw_value) = {attention, windows, sort,    sort_columns,
                                              top,       half,    product, scattered};

static void in_the_callers_thread(void **state) {
    (void)state;
    caller = pthread_self();
    tw_context *context = tw_context_new(&(tw_context_opts){.threads = 4, .allocate = allocate});
    tw_store *store = tw_store_new(context, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tw_graph *g = tw_graph_new(context, store, TW_IMMEDIATE, NULL);
        tw_value x = tw_random_uniform(g, TW_F32, TW_SHAPE(400, 256));
        if (!tw_ok(cases[i](x))) fail_msg("%zu: %s", i, tw_message(context));
        if (strangers) fail_msg("%zu takes memory in %d other threads", i, (int)strangers);
        tw_graph_free(g);
    }
    tw_context_free(context);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(in_the_callers_thread)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
