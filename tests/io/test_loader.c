/*
 * Loaders: order, partial batches, epochs, seeking, failing and slow sources, training.
 * LABELS: threads
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <thalweg/thalweg.h>
#include <time.h>
#include <unistd.h>

static tw_context *context;

static int begin(void **state) {
    (void)state;
    context = tw_context_new(NULL);
    return !context;
}

static int end(void **state) {
    (void)state;
    tw_context_free(context);
    return 0;
}

static void sleep_for(double seconds) {
    nanosleep(&(struct timespec){0, (long)(seconds * 1e9)}, NULL);
}

/* Example i is {i, 2 i} and -i. It may be slow, and fail. */
typedef struct numbers {
    double delay;        /* of a call */
    atomic_llong broken; /* the example that fails, if positive */
    atomic_int inside, overlaps, released;
} numbers;

static tw_status read_numbers(void *user, int64_t n, const int64_t *index, void *const *out,
                              char *message, size_t capacity) {
    numbers *it = user;
    it->overlaps += it->inside++ != 0;
    if (it->delay > 0) sleep_for(it->delay);
    tw_status status = TW_OK;
    for (int64_t i = 0; i < n; i++) {
        if (it->broken && index[i] == it->broken) {
            snprintf(message, capacity, "numbers.txt, row %lld: no number", (long long)index[i]);
            status = TW_ERR_FORMAT;
        }
        ((int32_t *)out[0])[2 * i] = (int32_t)index[i];
        ((int32_t *)out[0])[2 * i + 1] = 2 * (int32_t)index[i];
        ((double *)out[1])[i] = -(double)index[i];
    }
    it->inside--;
    return status;
}

static void release_numbers(void *user) { ((numbers *)user)->released++; }

static tw_dataset *dataset_of(numbers *user, int64_t count) {
    const tw_dataset_source source = {
        .count = count,
        .columns = 2,
        .type = {{TW_I32, TW_SHAPE(2)}, {TW_F64, TW_SHAPE()}},
        .read = read_numbers,
        .release = release_numbers,
        .user = user,
    };
    tw_dataset *dataset = tw_dataset_new(context, &source);
    assert_non_null(dataset);
    return dataset;
}

/* The loader alone holds the dataset, which ends with it. */
static tw_loader *loader_of(numbers *user, int64_t count, const tw_loader_opts *opts) {
    tw_dataset *dataset = dataset_of(user, count);
    tw_loader *loader = tw_loader_new(dataset, opts);
    tw_dataset_free(dataset);
    return loader;
}

/* The loader's next examples, appended to order[]; the status that ended it, at most `most`. */
static tw_status gather(tw_loader *loader, int64_t most, int32_t *order, int64_t *count) {
    tw_tensor *batch[2];
    tw_status status = TW_OK;
    while (*count < most && !(status = tw_loader_next(loader, batch))) {
        int64_t n = tw_tensor_type(batch[0]).shape.dim[0];
        assert_int_equal(tw_tensor_type(batch[1]).shape.dim[0], n);
        assert_int_equal(tw_tensor_type(batch[0]).shape.rank, 2);
        assert_int_equal(tw_tensor_bytes(batch[1]), (size_t)n * sizeof(double));
        const int32_t *pair = tw_tensor_map(batch[0]);
        const double *minus = tw_tensor_map(batch[1]);
        for (int64_t i = 0; i < n; i++) {
            assert_int_equal(pair[2 * i + 1], 2 * pair[2 * i]);
            assert_true(minus[i] == -(double)pair[2 * i]);
            order[(*count)++] = pair[2 * i];
        }
    }
    return status;
}

static void in_order_with_a_partial_batch(void **state) {
    (void)state;
    for (int prefetch = -1; prefetch < 4; prefetch++) {
        numbers user = {0};
        tw_dataset *dataset = dataset_of(&user, 10);
        tw_loader *loader =
            tw_loader_new(dataset, &(tw_loader_opts){.batch = 4, .prefetch = prefetch});
        assert_ptr_equal(tw_loader_dataset(loader), dataset);
        tw_tensor *batch[2];
        for (int epoch = 0; epoch < 3; epoch++) {
            const int64_t sizes[] = {4, 4, 2};
            for (int i = 0; i < 3; i++) {
                tw_cursor at = tw_loader_cursor(loader);
                assert_int_equal(at.epoch, epoch);
                assert_int_equal(at.example, 4 * i);
                assert_int_equal(tw_loader_next(loader, batch), TW_OK);
                assert_int_equal(tw_tensor_type(batch[0]).shape.dim[0], sizes[i]);
                assert_int_equal(*(int32_t *)tw_tensor_map(batch[0]), 4 * i);
            }
            assert_int_equal(tw_loader_next(loader, batch), TW_END);
        }
        tw_dataset_free(dataset);
        tw_loader_free(loader);
        assert_int_equal(user.released, 1);
    }
}

static void shuffles_are_permutations(void **state) {
    (void)state;
    enum { COUNT = 1000, EPOCHS = 3 };
    static int32_t order[EPOCHS][COUNT];
    numbers user = {0};
    tw_loader *loader =
        loader_of(&user, COUNT, &(tw_loader_opts){.batch = 64, .shuffle = true, .seed = 5});
    for (int e = 0; e < EPOCHS; e++) {
        int64_t n = 0;
        assert_int_equal(gather(loader, INT64_MAX, order[e], &n), TW_END);
        assert_int_equal(n, COUNT);
        bool seen[COUNT] = {false};
        int at_home = 0;
        for (int i = 0; i < COUNT; i++) {
            assert_false(seen[order[e][i]]);
            seen[order[e][i]] = true;
            at_home += order[e][i] == i;
        }
        assert_true(at_home < 10); /* 1 is expected */
        for (int before = 0; before < e; before++)
            assert_memory_not_equal(order[e], order[before], sizeof order[e]);
    }
    tw_loader_free(loader);
}

static void the_order_is_the_same_everywhere(void **state) {
    (void)state;
    numbers user = {0};
    int32_t order[20];
    int64_t n = 0;
    const tw_loader_opts opts = {.batch = 3, .shuffle = true, .repeat = true, .seed = 7};
    tw_loader *loader = loader_of(&user, 10, &opts);
    assert_int_equal(gather(loader, 20, order, &n), TW_OK);
    assert_int_equal(n, 20);
    /* Computed apart from the library, from the definitions of Philox and of the shuffle. */
    const int32_t golden[] = {5, 6, 9, 1, 4, 2, 7, 3, 8, 0, 6, 2, 9, 5, 3, 7, 0, 1, 8, 4};
    assert_memory_equal(order, golden, sizeof golden);
    tw_loader_free(loader);
}

static void repeating_never_ends(void **state) {
    (void)state;
    numbers user = {0};
    tw_loader *loader = loader_of(&user, 5, &(tw_loader_opts){.batch = 2, .repeat = true});
    tw_tensor *batch[2];
    const int64_t sizes[] = {2, 2, 1};
    for (int i = 0; i < 30; i++) {
        assert_int_equal(tw_loader_next(loader, batch), TW_OK);
        assert_int_equal(tw_tensor_type(batch[0]).shape.dim[0], sizes[i % 3]);
    }
    tw_cursor at = tw_loader_cursor(loader);
    assert_int_equal(at.epoch, 10);
    assert_int_equal(at.example, 0);
    tw_loader_free(loader);
}

static void dropping_the_last(void **state) {
    (void)state;
    numbers user = {0};
    tw_dataset *dataset = dataset_of(&user, 10);
    tw_loader_opts opts = {.batch = 4, .drop_last = true};
    tw_loader *loader = tw_loader_new(dataset, &opts);
    tw_tensor *batch[2];
    for (int epoch = 0; epoch < 2; epoch++) {
        for (int i = 0; i < 2; i++) {
            assert_int_equal(tw_loader_next(loader, batch), TW_OK);
            assert_int_equal(tw_tensor_type(batch[0]).shape.dim[0], 4);
        }
        assert_int_equal(tw_loader_next(loader, batch), TW_END);
    }
    tw_loader_free(loader);
    opts.batch = 11;
    loader = tw_loader_new(dataset, &opts);
    assert_int_equal(tw_loader_next(loader, batch), TW_END);
    tw_loader_free(loader);
    opts.repeat = true;
    assert_null(tw_loader_new(dataset, &opts));
    assert_non_null(strstr(tw_message(context), "never fill a batch of 11"));
    opts.drop_last = false; /* then all of it is a batch */
    loader = tw_loader_new(dataset, &opts);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(tw_loader_next(loader, batch), TW_OK);
        assert_int_equal(tw_tensor_type(batch[0]).shape.dim[0], 10);
    }
    tw_loader_free(loader);
    tw_dataset_free(dataset);
}

static void odd_arguments(void **state) {
    (void)state;
    numbers user = {0};
    tw_dataset *dataset = dataset_of(&user, 10), *none = tw_dataset_range(dataset, 0, 0);
    tw_tensor *batch[2];
    assert_null(tw_loader_new(NULL, NULL));
    assert_null(tw_loader_new(dataset, &(tw_loader_opts){.batch = -1}));
    assert_null(tw_loader_new(dataset, &(tw_loader_opts){.prefetch = -2}));
    assert_null(tw_loader_new(dataset, &(tw_loader_opts){.prefetch = 100000}));
    assert_null(tw_loader_new(none, &(tw_loader_opts){.repeat = true}));
    tw_loader *empty = tw_loader_new(none, NULL), *loader = tw_loader_new(dataset, NULL);
    for (int i = 0; i < 3; i++) assert_int_equal(tw_loader_next(empty, batch), TW_END);
    assert_int_equal(tw_loader_next(loader, NULL), TW_ERR_NULL);
    assert_int_equal(tw_loader_next(NULL, batch), TW_ERR_NULL);
    assert_int_equal(tw_loader_seek(NULL, (tw_cursor){0, 0}), TW_ERR_NULL);
    assert_int_equal(tw_loader_seek(loader, (tw_cursor){0, 11}), TW_ERR_ARGUMENT);
    assert_int_equal(tw_loader_seek(loader, (tw_cursor){-1, 0}), TW_ERR_ARGUMENT);
    assert_int_equal(tw_loader_seek(loader, (tw_cursor){INT64_MAX - 1, 0}), TW_ERR_ARGUMENT);
    assert_int_equal(tw_loader_seek(loader, (tw_cursor){0, -1}), TW_ERR_ARGUMENT);
    assert_int_equal(tw_loader_next(loader, batch), TW_OK); /* the default batch holds them all */
    assert_int_equal(tw_tensor_type(batch[0]).shape.dim[0], 10);
    tw_loader_free(empty);
    tw_loader_free(loader);
    tw_loader_free(NULL);
    tw_dataset_free(none);
    tw_dataset_free(dataset);
}

/* From each cursor of a run on: the batches of a loader that never stopped, ends included. */
static void seeking_goes_on_bitwise(void **state) {
    (void)state;
    enum { COUNT = 23, BATCH = 5, CALLS = 18 };
    for (int kind = 0; kind < 8; kind++) {
        numbers user = {0};
        tw_dataset *dataset = dataset_of(&user, COUNT);
        const tw_loader_opts opts = {.batch = BATCH,
                                     .shuffle = kind & 1,
                                     .repeat = kind & 2,
                                     .drop_last = kind & 4,
                                     .seed = 3};
        static int32_t seen[CALLS][BATCH];
        int64_t size[CALLS];
        tw_cursor cursor[CALLS];
        tw_tensor *batch[2];
        for (int from = -1; from < CALLS; from++) {
            tw_loader *loader = tw_loader_new(dataset, &opts);
            if (from >= 0) {
                if (from % 2) assert_int_equal(tw_loader_next(loader, batch), TW_OK);
                assert_int_equal(tw_loader_seek(loader, cursor[from]), TW_OK);
            }
            for (int i = from < 0 ? 0 : from; i < CALLS; i++) {
                tw_cursor at = tw_loader_cursor(loader);
                tw_status status = tw_loader_next(loader, batch);
                int64_t n = status ? -1 : tw_tensor_type(batch[0]).shape.dim[0];
                if (status) assert_int_equal(status, TW_END);
                if (from < 0) {
                    size[i] = n;
                    cursor[i] = at;
                }
                assert_int_equal(n, size[i]);
                assert_memory_equal(&at, &cursor[i], sizeof at);
                for (int64_t j = 0; j < n; j++) {
                    int32_t number = ((int32_t *)tw_tensor_map(batch[0]))[2 * j];
                    if (from < 0) seen[i][j] = number;
                    assert_int_equal(number, seen[i][j]);
                }
            }
            tw_loader_free(loader);
        }
        tw_dataset_free(dataset);
    }
}

/* A cursor that no batch of this size ends at: the rest of the epoch, then whole ones. */
static void seeking_between_batches(void **state) {
    (void)state;
    numbers user = {0};
    tw_loader *loader = loader_of(&user, 10, &(tw_loader_opts){.batch = 4});
    assert_int_equal(tw_loader_seek(loader, (tw_cursor){2, 3}), TW_OK);
    tw_tensor *batch[2];
    const int64_t sizes[] = {4, 3, -1, 4, 4, 2, -1};
    for (int i = 0; i < 7; i++) {
        tw_status status = tw_loader_next(loader, batch);
        assert_int_equal(status ? -1 : tw_tensor_type(batch[0]).shape.dim[0], sizes[i]);
    }
    assert_int_equal(tw_loader_cursor(loader).epoch, 4);
    tw_loader_free(loader);
}

static void failures_come_out_with_their_message(void **state) {
    (void)state;
    for (int prefetch = -1; prefetch < 3; prefetch++) {
        numbers user = {.broken = 6};
        tw_loader *loader =
            loader_of(&user, 10, &(tw_loader_opts){.batch = 2, .prefetch = prefetch});
        int32_t order[16];
        int64_t n = 0;
        assert_int_equal(gather(loader, INT64_MAX, order, &n), TW_ERR_FORMAT);
        assert_int_equal(n, 6); /* what comes before is whole */
        assert_int_equal(tw_last_status(context), TW_ERR_FORMAT);
        assert_string_equal(tw_message(context), "numbers.txt, row 6: no number");
        assert_int_equal(tw_loader_cursor(loader).example, 6);
        assert_int_equal(gather(loader, INT64_MAX, order, &n), TW_ERR_FORMAT);
        user.broken = 0; /* mended: the same batch again */
        assert_int_equal(gather(loader, INT64_MAX, order, &n), TW_END);
        assert_int_equal(n, 10);
        for (int i = 0; i < 10; i++) assert_int_equal(order[i], i);
        tw_loader_free(loader);
    }
}

static void waiting_is_told_and_prefetch_hides_it(void **state) {
    (void)state;
    enum { BATCHES = 10 };
    double waited[2];
    for (int ahead = 0; ahead < 2; ahead++) {
        numbers user = {.delay = 0.01};
        tw_loader *loader =
            loader_of(&user, BATCHES, &(tw_loader_opts){.batch = 1, .prefetch = ahead ? 2 : -1});
        tw_tensor *batch[2];
        while (!tw_loader_next(loader, batch)) sleep_for(0.04); /* the step */
        waited[ahead] = tw_loader_waited(loader);
        tw_loader_free(loader);
    }
    assert_true(waited[0] >= BATCHES * 0.01);
    assert_true(waited[1] > 0); /* for the first */
    assert_true(waited[1] < waited[0] / 2);
}

/* A loader that is given up while its thread reads, waits, or has not begun; in a context's end too. */
static void ends_at_any_time(void **state) {
    (void)state;
    for (int i = 0; i < 12; i++) {
        numbers user = {.delay = 0.001 * (i % 4)};
        tw_context *outer = context, *own = tw_context_new(NULL);
        context = own;
        tw_dataset *dataset = dataset_of(&user, 100), *one, *two;
        assert_int_equal(tw_dataset_split(dataset, 0.5, 1, &one, &two), TW_OK);
        tw_loader *loader = tw_loader_new(tw_dataset_convert(one, 1, TW_F32, TW_SHAPE(), 1, 0),
                                          &(tw_loader_opts){.batch = 3, .prefetch = 1 + i % 3});
        tw_loader *other = tw_loader_new(two, NULL); /* both read the same source */
        tw_tensor *batch[2];
        for (int j = 0; j < i / 2; j++) {
            tw_loader_next(loader, batch);
            tw_loader_next(other, batch);
        }
        if (i % 2) tw_loader_free(loader);
        tw_context_free(own);
        assert_int_equal(user.released, 1);
        assert_int_equal(user.overlaps, 0); /* one call at a time */
        context = outer;
    }
}

static void text(void **state) {
    (void)state;
    char path[] = "/tmp/thalweg-loader-XXXXXX";
    int descriptor = mkstemp(path);
    assert_int_equal(write(descriptor, "abcdefghijk", 11), 11);
    assert_int_equal(close(descriptor), 0);
    tw_loader *loader = tw_loader_text(context, path, 3, &(tw_loader_opts){.batch = 2});
    if (!loader) fail_msg("%s", tw_message(context));
    tw_tensor *batch[2];
    assert_int_equal(tw_loader_next(loader, batch), TW_OK);
    const int32_t now[] = {'a', 'b', 'c', 'd', 'e', 'f'}, next[] = {'b', 'c', 'd', 'e', 'f', 'g'};
    assert_int_equal(tw_tensor_bytes(batch[0]), sizeof now);
    assert_memory_equal(tw_tensor_map(batch[0]), now, sizeof now);
    assert_memory_equal(tw_tensor_map(batch[1]), next, sizeof next);
    assert_int_equal(tw_loader_next(loader, batch), TW_OK);
    assert_int_equal(tw_tensor_type(batch[1]).shape.dim[0], 1);
    assert_int_equal(tw_loader_next(loader, batch), TW_END);
    tw_loader_free(loader);
    assert_int_equal(unlink(path), 0);
    assert_null(tw_loader_text(context, "/nowhere/text", 3, NULL));
    assert_int_equal(tw_last_status(context), TW_ERR_NOT_FOUND);
}

/* Training. */

static int traces;

static void regression(tw_graph *graph, const tw_value *in, tw_value *out, const void *config) {
    (void)config;
    traces++;
    (void)graph;
    tw_value x = tw_cast(in[0], TW_F32), y = tw_cast(in[1], TW_F32);
    tw_value guess = tw_dense(tw_scale(x, 0.01), "line", 1, NULL);
    out[0] = tw_mse(tw_reshape(guess, tw_shape_of(y)), y);
    tw_minimize(out[0], &(tw_optimizer){.kind = TW_SGD, .rate = 0.01});
}

static void a_partial_batch_trains_without_another_compile(void **state) {
    (void)state;
    numbers user = {0};
    tw_loader *loader = loader_of(&user, 50, &(tw_loader_opts){.batch = 16, .shuffle = true});
    tw_store *store = tw_store_new(context, NULL);
    tw_jit *jit = tw_jit_new(context, store, regression, 2, 1, NULL, 0,
                             &(tw_jit_opts){.training = true, .open = "bb"});
    tw_tensor *batch[2], *loss = NULL;
    double first = 0, last = 0;
    int sizes[17] = {0};
    traces = 0;
    for (int epoch = 0; epoch < 20; epoch++) {
        tw_status status;
        while (!(status = tw_loader_next(loader, batch))) {
            sizes[tw_tensor_type(batch[0]).shape.dim[0]]++;
            if (tw_jit_run(jit, batch, &loss)) fail_msg("%s", tw_message(context));
            last = tw_tensor_item(loss);
            if (tw_store_step(store) == 1) first = last;
        }
        assert_int_equal(status, TW_END);
    }
    assert_int_equal(sizes[16], 60);
    assert_int_equal(sizes[2], 20); /* the last of each epoch */
    assert_int_equal(tw_store_step(store), 80);
    assert_int_equal(traces, 1);
    assert_true(last < first / 2);
    tw_jit_free(jit);
    tw_tensor_free(loss);
    tw_store_free(store);
    tw_loader_free(loader);
}

/* realloc that counts its calls. */
static void *count_memory(void *user, void *old, size_t bytes) {
    ++*(atomic_int *)user;
    if (bytes) return realloc(old, bytes);
    free(old);
    return NULL;
}

static void a_thousand_epochs_in_the_same_memory(void **state) {
    (void)state;
    numbers user = {0};
    atomic_int asked = 0;
    tw_context *outer = context;
    context = tw_context_new(&(tw_context_opts){.allocate = count_memory, .allocate_user = &asked});
    tw_loader *loader = loader_of(&user, 1000, &(tw_loader_opts){.batch = 64, .shuffle = true});
    tw_tensor *batch[2];
    for (int epoch = 0; epoch < 1000; epoch++) {
        if (epoch == 20) asked = 0; /* from here on nothing is asked for */
        int64_t examples = 0;
        while (!tw_loader_next(loader, batch)) examples += tw_tensor_type(batch[0]).shape.dim[0];
        assert_int_equal(examples, 1000);
    }
    assert_int_equal(asked, 0);
    tw_context_free(context);
    context = outer;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_order_with_a_partial_batch),
        cmocka_unit_test(shuffles_are_permutations),
        cmocka_unit_test(the_order_is_the_same_everywhere),
        cmocka_unit_test(repeating_never_ends),
        cmocka_unit_test(dropping_the_last),
        cmocka_unit_test(odd_arguments),
        cmocka_unit_test(seeking_goes_on_bitwise),
        cmocka_unit_test(seeking_between_batches),
        cmocka_unit_test(failures_come_out_with_their_message),
        cmocka_unit_test(waiting_is_told_and_prefetch_hides_it),
        cmocka_unit_test(ends_at_any_time),
        cmocka_unit_test(text),
        cmocka_unit_test(a_partial_batch_trains_without_another_compile),
        cmocka_unit_test(a_thousand_epochs_in_the_same_memory),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
