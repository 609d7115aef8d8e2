/* A steady step: a run after the first ones neither allocates nor locks, and the process does not
 * grow. The calls are counted of the library's own objects, which the linker sends here; what other
 * libraries do inside is theirs.
 * WRAP: malloc calloc realloc free aligned_alloc posix_memalign mmap pthread_mutex_lock */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <thalweg/thalweg.h>
#include <unistd.h>

#include "base/context.h"
#include "models/models.h"
#include "support/numbers.h"

static long calls; /* of any of the wrapped functions */
static long locks;

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t bytes);
void __real_free(void *memory);
void *__real_aligned_alloc(size_t alignment, size_t bytes);
int __real_posix_memalign(void **out, size_t alignment, size_t bytes);
void *__real_mmap(void *at, size_t bytes, int protection, int flags, int file, off_t offset);
int __real_pthread_mutex_lock(pthread_mutex_t *mutex);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t bytes);
void __wrap_free(void *memory);
void *__wrap_aligned_alloc(size_t alignment, size_t bytes);
int __wrap_posix_memalign(void **out, size_t alignment, size_t bytes);
void *__wrap_mmap(void *at, size_t bytes, int protection, int flags, int file, off_t offset);
int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex);

void *__wrap_malloc(size_t bytes) {
    calls++;
    return __real_malloc(bytes);
}
void *__wrap_calloc(size_t count, size_t size) {
    calls++;
    return __real_calloc(count, size);
}
void *__wrap_realloc(void *old, size_t bytes) {
    calls++;
    return __real_realloc(old, bytes);
}
void __wrap_free(void *memory) {
    calls++;
    __real_free(memory);
}
void *__wrap_aligned_alloc(size_t alignment, size_t bytes) {
    calls++;
    return __real_aligned_alloc(alignment, bytes);
}
int __wrap_posix_memalign(void **out, size_t alignment, size_t bytes) {
    calls++;
    return __real_posix_memalign(out, alignment, bytes);
}
void *__wrap_mmap(void *at, size_t bytes, int protection, int flags, int file, off_t offset) {
    calls++;
    return __real_mmap(at, bytes, protection, flags, file, offset);
}
int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex) {
    locks++;
    return __real_pthread_mutex_lock(mutex);
}

/* ---- the programs ---- */

static void mlp(tw_value *in, tw_value *loss) {
    tw_value h = tw_relu(tw_dense(in[0], "a", 64, NULL));
    h = tw_layer_norm(tw_dense(h, "b", 48, NULL), "norm", NULL);
    h = tw_dropout(tw_gelu(h), 0.1, NULL);
    *loss = tw_cross_entropy(tw_dense(h, "c", 10, NULL), in[1], NULL);
}

/* The first convolution as it is, the second by Winograd's transform and the third by the library, finished. */
static void convnet(tw_value *in, tw_value *loss) {
    const int64_t window[] = {3, 3}, large[] = {5, 5};
    const tw_conv_layer_opts relu = {.conv = {.same = true, .relu = true}};
    const tw_conv_layer_opts none = {.conv = {.same = true}};
    tw_value h = tw_conv_layer(in[0], "conv1", 16, window, &relu);
    h = tw_silu(tw_conv_layer(h, "conv2", 32, window, &none));
    h = tw_max_pool(h, &(tw_pool_opts){.window = {2, 2}});
    h = tw_gelu(tw_conv_layer(h, "conv3", 16, large, &none));
    h = tw_relu(tw_dense(tw_reshape(h, TW_SHAPE(16, 576)), "hidden", 32, NULL));
    *loss = tw_cross_entropy(tw_dense(h, "out", 10, NULL), in[1], NULL);
}

typedef struct training {
    tw_context *context;
    tw_program *program;
    tw_tensor *in[2], *loss;
} training;

static training start(void (*model)(tw_value *in, tw_value *loss), tw_shape image, int threads) {
    training t = {.context = tw_context_new(&(tw_context_opts){.threads = threads})};
    tw_store *store = tw_store_new(t.context, NULL);
    tw_graph *graph =
        tw_graph_new(t.context, store, TW_SYMBOLIC, &(tw_graph_opts){.training = true});
    tw_shape labels = TW_SHAPE(image.dim[0]);
    tw_value in[2] = {tw_input(graph, "x", TW_F32, image), tw_input(graph, "y", TW_I32, labels)};
    tw_value loss = {0};
    model(in, &loss);
    tw_minimize(loss, &(tw_optimizer){.kind = TW_ADAM, .clip_norm = 1});
    t.program = tw_compile(graph, 2, in, 1, &loss, NULL);
    if (!t.program) fail_msg("%s", tw_message(t.context));
    t.in[0] = tensor_drawn(t.context, TW_F32, image, 1, -1, 1);
    t.in[1] = tensor_drawn(t.context, TW_I32, labels, 2, 0, 10);
    tw_graph_free(graph);
    return t;
}

static void steps(training *t, int n) {
    for (int i = 0; i < n; i++)
        if (tw_run(t->program, t->in, &t->loss)) fail_msg("%s", tw_message(t->context));
}

static void check_steady(void (*model)(tw_value *in, tw_value *loss), tw_shape image, int threads) {
    training t = start(model, image, threads);
    steps(&t, 3);
    long before = calls, locked = locks;
    steps(&t, 100);
    assert_int_equal(calls - before, 0);
    assert_int_equal(locks - locked, 0);
    assert_true(tw_tensor_item(t.loss) > 0);
    tw_context_free(t.context);
}

static void test_mlp(void **state) {
    (void)state;
    check_steady(mlp, TW_SHAPE(32, 40), 1);
    check_steady(mlp, TW_SHAPE(32, 40), 2);
}

static void test_convnet(void **state) {
    (void)state;
    check_steady(convnet, TW_SHAPE(16, 12, 12, 3), 1);
    check_steady(convnet, TW_SHAPE(16, 12, 12, 3), 2);
}

/* All that kernels take was planned. */
static void test_planned(void **state) {
    (void)state;
    for (int i = 0; i < 2; i++) {
        training t =
            i ? start(convnet, TW_SHAPE(16, 12, 12, 3), 2) : start(mlp, TW_SHAPE(32, 40), 2);
        steps(&t, 1);
        assert_int_equal(t.context->scratch.chunks.count, 0);
        tw_context_free(t.context);
    }
}

/* The wrapping works. */
static void test_counts(void **state) {
    (void)state;
    long before = calls;
    tw_context *context = tw_context_new(NULL);
    assert_true(calls > before);
    tw_context_free(context);
}

static long resident(void) {
    FILE *file = fopen("/proc/self/statm", "r");
    long all = 0, pages = 0;
    if (!file) skip();
    int found = fscanf(file, "%ld %ld", &all, &pages);
    (void)fclose(file);
    return found == 2 ? pages * sysconf(_SC_PAGESIZE) : -1;
}

static void test_resident(void **state) {
    (void)state;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    skip(); /* a sanitizer keeps what other libraries freed */
#endif
    for (int i = 0; i < 2; i++) {
        training t =
            i ? start(convnet, TW_SHAPE(16, 12, 12, 3), 2) : start(mlp, TW_SHAPE(32, 40), 2);
        steps(&t, 50);
        long before = resident();
        steps(&t, 1000);
        long after = resident();
        if (after - before > 1 << 18) fail_msg("from %ld to %ld bytes", before, after);
        tw_context_free(t.context);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counts),   cmocka_unit_test(test_mlp),
        cmocka_unit_test(test_convnet),  cmocka_unit_test(test_planned),
        cmocka_unit_test(test_resident),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
