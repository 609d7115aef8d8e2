/* The memory planner: buffers that live at once never overlap, whatever the graph. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

#include "base/number.h"
#include "runtime/plan.h"

static uint32_t draw(uint64_t seed, uint64_t i) {
    uint32_t word[4];
    philox(seed, i, 0, word);
    return word[0];
}

static void check_no_overlap(const plan_item *items, size_t n, size_t total) {
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(items[i].offset % 64, 0);
        assert_true(items[i].offset + items[i].bytes <= total);
        for (size_t k = 0; k < i; k++) {
            const plan_item *a = &items[i], *b = &items[k];
            if (a->first > b->last || b->first > a->last) continue;
            assert_true(a->offset + a->bytes <= b->offset || b->offset + b->bytes <= a->offset ||
                        !a->bytes || !b->bytes);
        }
    }
}

/* No plan is smaller than what lives at one step. */
static size_t least_memory(const plan_item *items, size_t n, int steps) {
    size_t least = 0;
    for (int at = 0; at < steps; at++) {
        size_t sum = 0;
        for (size_t i = 0; i < n; i++)
            if (items[i].first <= at && at <= items[i].last) sum += (items[i].bytes + 63) / 64 * 64;
        if (sum > least) least = sum;
    }
    return least;
}

static void random_lives(void **state) {
    (void)state;
    tw_context *context = tw_context_new(NULL);
    enum { MOST = 300, STEPS = 120 };
    static plan_item items[MOST];
    static uint32_t order[MOST];
    for (uint64_t seed = 1; seed <= 60; seed++) {
        size_t n = draw(seed, 0) % MOST, total;
        for (size_t i = 0; i < n; i++) {
            int first = (int)(draw(seed, 3 * i + 1) % STEPS);
            items[i] = (plan_item){draw(seed, 3 * i + 2) % 9 ? draw(seed, 3 * i + 3) % 100000 : 0,
                                   first, first + (int)(draw(seed, 3 * i + 4) % 12), 0};
        }
        assert_int_equal(plan_offsets(context, n, items, order, &total), TW_OK);
        check_no_overlap(items, n, total);
        size_t least = least_memory(items, n, STEPS + 12);
        assert_true(total >= least);
        assert_true(total <= 2 * least + 64);
    }
    tw_context_free(context);
}

static void chain_takes_two_buffers(void **state) {
    (void)state;
    tw_context *context = tw_context_new(NULL);
    plan_item items[50];
    uint32_t order[50];
    size_t total;
    for (int i = 0; i < 50; i++) items[i] = (plan_item){1024, i, i + 1, 0};
    assert_int_equal(plan_offsets(context, 50, items, order, &total), TW_OK);
    assert_int_equal(total, 2048);
    tw_context_free(context);
}

static void refuses_what_cannot_fit(void **state) {
    (void)state;
    tw_context *context = tw_context_new(NULL);
    plan_item items[2] = {{PTRDIFF_MAX / 2 + 1, 0, 1, 0}, {PTRDIFF_MAX / 2 + 1, 0, 1, 0}};
    uint32_t order[2];
    size_t total;
    assert_int_equal(plan_offsets(context, 2, items, order, &total), TW_ERR_MEMORY);
    tw_context_free(context);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_lives),
        cmocka_unit_test(chain_takes_two_buffers),
        cmocka_unit_test(refuses_what_cannot_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
