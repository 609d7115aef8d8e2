/* The memory planner. */
#include "runtime/plan.h"

#include <stdint.h>
#include <stdlib.h>

enum { ALIGNMENT = 64 };

static size_t rounded(size_t bytes) { return (bytes + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1); }

static void heap_down(const plan_item *items, uint32_t *order, size_t at, size_t n) {
    for (;;) {
        size_t least = at;
        for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < n; child++) {
            size_t a = items[order[child]].bytes, b = items[order[least]].bytes;
            if (a < b || (a == b && order[child] > order[least])) least = child;
        }
        if (least == at) return;
        uint32_t moved = order[at];
        order[at] = order[least];
        order[least] = moved;
        at = least;
    }
}

/* Largest first, ties by number: by a heap, which needs neither memory nor a global. */
static void sort_by_size(const plan_item *items, uint32_t *order, size_t n) {
    for (size_t i = 0; i < n; i++) order[i] = (uint32_t)i;
    for (size_t i = n / 2; i-- > 0;) heap_down(items, order, i, n);
    for (size_t end = n; end > 1; end--) {
        uint32_t least = order[0];
        order[0] = order[end - 1];
        order[end - 1] = least;
        heap_down(items, order, 0, end - 1);
    }
}

static bool live_together(const plan_item *a, const plan_item *b) {
    return a->first <= b->last && b->first <= a->last;
}

/* placed[] is in order of offset. */
static size_t best_offset(const plan_item *items, const uint32_t *placed, size_t n_placed,
                          const plan_item *item) {
    size_t end = 0, best = SIZE_MAX, best_gap = SIZE_MAX, need = rounded(item->bytes);
    for (size_t i = 0; i < n_placed; i++) {
        const plan_item *other = &items[placed[i]];
        if (!live_together(item, other)) continue;
        if (other->offset >= end + need && other->offset - end < best_gap) {
            best = end;
            best_gap = other->offset - end;
        }
        size_t other_end = other->offset + rounded(other->bytes);
        if (other_end > end) end = other_end;
    }
    return best == SIZE_MAX ? end : best;
}

tw_status plan_offsets(tw_context *context, size_t n, plan_item *items, uint32_t *order,
                       size_t *total) {
    size_t sum = 0;
    for (size_t i = 0; i < n; i++) {
        if (items[i].bytes > PTRDIFF_MAX - ALIGNMENT ||
            __builtin_add_overflow(sum, rounded(items[i].bytes), &sum) || sum > PTRDIFF_MAX)
            return context_error(context, TW_ERR_MEMORY, "the buffers do not fit in memory");
    }
    sort_by_size(items, order, n);
    *total = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t now = order[i];
        items[now].offset = best_offset(items, order, i, &items[now]);
        size_t end = items[now].offset + rounded(items[now].bytes);
        if (end > *total) *total = end;
        size_t place = i;
        for (; place > 0 && items[order[place - 1]].offset > items[now].offset; place--)
            order[place] = order[place - 1];
        order[place] = now;
    }
    return TW_OK;
}
