/* Random numbers against published vectors; ranges of tw_parallel_for; arenas; failing memory;
 * aligned memory.
 * LABELS: threads */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/number.h"
#include "base/parallel.h"
#include "base/text.h"
#include <thalweg/graph.h>

/* Random123's known-answer tests of philox4x32-10. */
static void philox_matches_known_answers(void **state) {
    (void)state;
    uint32_t out[4];
    philox(0, 0, 0, out);
    assert_int_equal(out[0], 0x6627e8d5);
    assert_int_equal(out[1], 0xe169c58d);
    assert_int_equal(out[2], 0xbc57ac4c);
    assert_int_equal(out[3], 0x9b00dbd8);
    philox(UINT64_MAX, UINT64_MAX, UINT64_MAX, out);
    assert_int_equal(out[0], 0x408f276d);
    assert_int_equal(out[1], 0x41c83b0e);
    assert_int_equal(out[2], 0xa20bc7c6);
    assert_int_equal(out[3], 0x6d5451fd);
}

typedef struct tally {
    int seen[1000];
    int64_t count, grain;
    int bad_starts;
} tally;

static void mark(void *argument, int64_t begin, int64_t end) {
    tally *it = argument;
    if (begin % it->grain) it->bad_starts++;
    for (int64_t i = begin; i < end; i++) it->seen[i]++;
}

static void parallel_ranges_cover_once(void **state) {
    (void)state;
    for (int threads = 1; threads <= 5; threads++) {
        tw_context *context = tw_context_new(&(tw_context_opts){.threads = threads});
        for (int64_t count = 0; count <= 1000; count += 37) {
            for (int64_t grain = 1; grain <= 65; grain += 16) {
                tally it = {.count = count, .grain = grain};
                tw_parallel_for(context, count, grain, mark, &it);
                for (int64_t i = 0; i < 1000; i++) assert_int_equal(it.seen[i], i < count);
                assert_int_equal(it.bad_starts, 0);
            }
        }
        tw_context_free(context);
    }
}

enum { NESTED = 8 };
typedef struct nested {
    tw_context *context;
    tally inner[NESTED];
} nested;

static void mark_again(void *argument, int64_t begin, int64_t end) {
    nested *it = argument;
    for (int64_t i = begin; i < end; i++) tw_parallel_for(it->context, 100, 1, mark, &it->inner[i]);
}

static void parallel_calls_nest(void **state) {
    nested it = {tw_context_new(&(tw_context_opts){.threads = 3}), {{{0}, 0, 0, 0}}};
    (void)state;
    for (int i = 0; i < NESTED; i++) it.inner[i].grain = 1;
    tw_parallel_for(it.context, NESTED, 1, mark_again, &it);
    for (int i = 0; i < NESTED; i++)
        for (int k = 0; k < 100; k++) assert_int_equal(it.inner[i].seen[k], 1);
    tw_context_free(it.context);
}

/* Breaks after which all threads sleep; more threads than processors, which do so at once; then over OpenMP. */
static void threads_wake_up(void **state) {
    static const struct timespec pause = {0, 20000000};
    (void)state;
    setenv("OMP_WAIT_POLICY", "active", 1); /* the tests are told to be passive */
    for (int threads = 2; threads <= 9; threads += 7) {
        tw_context *context = tw_context_new(&(tw_context_opts){.threads = threads});
        for (int round = 0; round < 8; round++) {
            for (int i = 0; i < 50; i++) {
                tally it = {.count = 1000, .grain = 3};
                tw_parallel_for(context, 1000, 3, mark, &it);
                for (int64_t k = 0; k < 1000; k++) assert_int_equal(it.seen[k], 1);
            }
            if (round < 4) nanosleep(&pause, NULL);
            if (round == 6) parallel_by_openmp(context);
        }
        tw_context_free(context);
    }
    setenv("OMP_WAIT_POLICY", "passive", 1);
}

static void many_calls_follow_one_another(void **state) {
    (void)state;
    tw_context *context = tw_context_new(&(tw_context_opts){.threads = 2});
    tally it = {.count = 2, .grain = 1};
    for (int i = 0; i < 100000; i++) tw_parallel_for(context, 2, 1, mark, &it);
    assert_int_equal(it.seen[0], 100000);
    assert_int_equal(it.seen[1], 100000);
    tw_context_free(context);
}

static void arena_restores(void **state) {
    (void)state;
    tw_context *context = tw_context_new(NULL);
    arena arena;
    arena_start(&arena, context);
    char *kept = arena_format(&arena, "%s-%d", "kept", 7);
    arena_mark mark = arena_save(&arena);
    for (int i = 0; i < 100; i++) assert_non_null(arena_allocate(&arena, 1000, 7));
    arena_restore(&arena, mark);
    assert_string_equal(kept, "kept-7");
    assert_null(arena_allocate(&arena, SIZE_MAX / 2, 4));
    assert_int_equal(tw_last_status(context), TW_ERR_MEMORY);
    arena_end(&arena);
    tw_context_free(context);
}

static void text_grows(void **state) {
    (void)state;
    tw_context *context = tw_context_new(NULL);
    text line = {.context = context};
    for (int i = 0; i < 100; i++) text_add(&line, "%d,", i % 10);
    assert_int_equal(line.length, 200);
    char *taken = text_take(&line);
    assert_memory_equal(taken, "0,1,2,", 6);
    tw_string_free(context, taken);
    tw_context_free(context);
}

static void *counted(void *user, void *old, size_t bytes) {
    int *held = user;
    if (!bytes) {
        *held -= old != NULL;
        free(old);
        return NULL;
    }
    *held += old == NULL;
    return realloc(old, bytes);
}

/* Lines of cache, and from 4 MiB on huge pages; by the library's allocator and by one of the user's. */
static void aligned_memory(void **state) {
    static const size_t sizes[] = {1, 100, (4 << 20) - 1, 4 << 20, (9 << 20) + 3};
    int held = 0;
    tw_context *context[2] = {
        tw_context_new(NULL),
        tw_context_new(&(tw_context_opts){.allocate = counted, .allocate_user = &held})};
    (void)state;
    int before = held;
    for (int c = 0; c < 2; c++) {
        for (int i = 0; i < 5; i++) {
            char *memory = context_allocate_aligned(context[c], sizes[i]);
            assert_non_null(memory);
            assert_int_equal((uintptr_t)memory % (sizes[i] < 4 << 20 ? 64 : 2 << 20), 0);
            memory[0] = memory[sizes[i] - 1] = 1;
            context_release_aligned(context[c], memory);
        }
        assert_null(context_allocate_aligned(context[c], SIZE_MAX));
        assert_int_equal(tw_last_status(context[c]), TW_ERR_MEMORY);
    }
    assert_int_equal(held, before);
    for (int c = 0; c < 2; c++) tw_context_free(context[c]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(philox_matches_known_answers),
        cmocka_unit_test(parallel_ranges_cover_once),
        cmocka_unit_test(parallel_calls_nest),
        cmocka_unit_test(threads_wake_up),
        cmocka_unit_test(many_calls_follow_one_another),
        cmocka_unit_test(arena_restores),
        cmocka_unit_test(text_grows),
        cmocka_unit_test(aligned_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
