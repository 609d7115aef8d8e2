/* The driver of index maps against a plain loop, over random boxes, steps and element sizes.
 * LABELS: threads */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include <thalweg/thalweg.h>

#include "base/number.h"
#include "runtime/map.h"

enum { SIZE = 1 << 16 };

static tw_piece piece; /* what the operator below copies */
static int one_piece(const tw_signature *signature, int capacity, tw_piece *out) {
    (void)signature;
    if (capacity > 0) out[0] = piece;
    return 1;
}

static uint32_t draw(uint64_t seed, uint64_t *i) {
    uint32_t word[4];
    philox(seed, (*i)++, 0, word);
    return word[0];
}

/* Distinct places for every element: the axes in a random order, each stepping over the inner ones
 * and a gap, forwards or (where `signs`) backwards. Gives the place of element 0. */
static int64_t draw_steps(uint64_t seed, uint64_t *i, int64_t *step, bool signs) {
    int order[TW_MAX_RANK];
    int64_t stride = 1, start = 0;
    for (int k = 0; k < piece.rank; k++) order[k] = k;
    for (int k = piece.rank - 1; k > 0; k--) {
        int other = (int)(draw(seed, i) % (uint32_t)(k + 1)), moved = order[k];
        order[k] = order[other], order[other] = moved;
    }
    for (int k = 0; k < piece.rank; k++) {
        int axis = order[k];
        bool back = signs && draw(seed, i) % 4 == 0;
        if (k == 0 && draw(seed, i) % 3 == 0) stride = 2;
        step[axis] = back ? -stride : stride;
        if (back) start += (piece.extent[axis] - 1) * stride;
        stride *= piece.extent[axis];
    }
    return start;
}

static void copy_plainly(size_t size, const char *in, char *out) {
    int64_t count = 1;
    for (int k = 0; k < piece.rank; k++) count *= piece.extent[k];
    for (int64_t e = 0; e < count; e++) {
        int64_t rest = e, from = piece.in_start, to = piece.out_start;
        for (int k = piece.rank - 1; k >= 0; k--) {
            from += rest % piece.extent[k] * piece.in_step[k];
            to += rest % piece.extent[k] * piece.out_step[k];
            rest /= piece.extent[k];
        }
        memcpy(out + to * (int64_t)size, in + from * (int64_t)size, size);
    }
}

static void random_boxes(void **state) {
    (void)state;
    tw_context *c = tw_context_new(&(tw_context_opts){.threads = 2});
    static char in[SIZE * 8], want[SIZE * 8], got[SIZE * 8];
    const tw_dtype dtypes[] = {TW_U8, TW_BF16, TW_F32, TW_F64};
    const tw_operator op = {.name = "piece", .map = one_piece};
    for (size_t i = 0; i < sizeof in; i++) in[i] = (char)(i * 37 + i / 251);
    for (uint64_t seed = 1; seed <= 600; seed++) {
        uint64_t i = 0;
        piece = (tw_piece){.rank = (int)(draw(seed, &i) % 6)};
        int64_t room = SIZE / 2;
        for (int k = 0; k < piece.rank; k++) {
            uint32_t most = seed % 7 == 0 && k == 0 ? 30000 : 20;
            int64_t extent = 1 + draw(seed, &i) % most;
            if (extent > room) extent = room;
            piece.extent[k] = extent;
            room /= extent;
        }
        if (piece.rank && draw(seed, &i) % 40 == 0) piece.extent[0] = 0;
        piece.out_start = draw_steps(seed, &i, piece.out_step, true);
        piece.in_start = draw_steps(seed, &i, piece.in_step, true);
        if (piece.rank && draw(seed, &i) % 3 == 0) { /* a broadcast */
            int axis = (int)(draw(seed, &i) % (uint32_t)piece.rank);
            if (piece.in_step[axis] > 0) piece.in_step[axis] = 0;
        }
        if (piece.rank && piece.extent[0] == 0) piece.in_start = piece.out_start = 0;
        tw_dtype dtype = dtypes[draw(seed, &i) % 4];
        tw_type type = {dtype, TW_SHAPE(SIZE)};
        memset(want, 1, sizeof want), memset(got, 1, sizeof got);
        tw_signature signature = {c, &op, 1, 1, &type, &type, NULL};
        const void *from[] = {in};
        void *to[] = {got};
        copy_plainly(tw_dtype_size(dtype), in, want);
        assert_int_equal(map_run(&(tw_kernel_call){signature, from, to, NULL}), TW_OK);
        if (memcmp(want, got, sizeof want)) fail_msg("seed %d", (int)seed);
    }
    tw_context_free(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(random_boxes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
