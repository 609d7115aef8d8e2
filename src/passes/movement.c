/* Movements that cancel, that become one, or that take less than they were given. */
#include "ir/dimension.h"
#include "passes/simplify.h"

enum { SLICE_START, SLICE_LIMIT, SLICE_STEP };
enum { PAD_LOW, PAD_HIGH, PAD_INTERIOR };
enum { BROADCAST_SHAPE, BROADCAST_AXES };

/* ---- reshape ---- */

static uint32_t reshape_to_the_same(const site *s) {
    return shape_equal(site_shape(s, 0), s->type.shape) ? s->in[0] : ABSENT;
}

static uint32_t reshape_of_reshape(const site *s) {
    const node *inner = site_maker(s, 0, "reshape");
    if (!inner) return ABSENT;
    uint32_t x = inner->operand[0];
    if (shape_equal(rewrite_type(s->r, x).shape, s->type.shape)) return x;
    return site_made(s, tw_reshape(graph_handle(s->r->to, x), s->type.shape));
}

/* One element that was spread over one shape is spread over the other. */
static uint32_t reshape_of_spread_element(const site *s) {
    const node *inner = site_maker(s, 0, "broadcast");
    if (!inner) return ABSENT;
    tw_shape shape = rewrite_type(s->r, inner->operand[0]).shape;
    for (int i = 0; i < shape.rank; i++)
        if (shape.dim[i] != 1) return ABSENT;
    tw_value x = graph_handle(s->r->to, inner->operand[0]);
    if (shape.rank) x = tw_reshape(x, TW_SHAPE());
    return site_made(s, tw_broadcast(x, s->type.shape));
}

/* ---- broadcast ---- */

static uint32_t broadcast_to_the_same(const site *s) {
    return shape_equal(site_shape(s, 0), s->type.shape) ? s->in[0] : ABSENT;
}

static uint32_t broadcast_along(const site *s, uint32_t x, tw_shape axes) {
    const tw_attr attr[] = {tw_attr_dims(s->type.shape), tw_attr_dims(axes)};
    return site_apply(s, "broadcast", 1, &x, attr);
}

static uint32_t broadcast_of_broadcast(const site *s) {
    const node *inner = site_maker(s, 0, "broadcast");
    if (!inner) return ABSENT;
    tw_shape axes = inner->attr[BROADCAST_AXES].list;
    for (int i = 0; i < axes.rank; i++)
        axes.dim[i] = s->it->attr[BROADCAST_AXES].list.dim[axes.dim[i]];
    return broadcast_along(s, inner->operand[0], axes);
}

/* ---- transpose ---- */

static uint32_t transpose_nothing(const site *s) {
    const tw_shape *axes = &s->it->attr[0].list;
    for (int i = 0; i < axes->rank; i++)
        if (axes->dim[i] != i) return ABSENT;
    return s->in[0];
}

static uint32_t transpose_of_transpose(const site *s) {
    const node *inner = site_maker(s, 0, "transpose");
    if (!inner) return ABSENT;
    const tw_shape *outer = &s->it->attr[0].list;
    int axes[TW_MAX_RANK];
    bool back = true;
    for (int i = 0; i < outer->rank; i++) {
        axes[i] = (int)inner->attr[0].list.dim[outer->dim[i]];
        back = back && axes[i] == i;
    }
    if (back) return inner->operand[0];
    return site_made(s, tw_permute(graph_handle(s->r->to, inner->operand[0]), axes));
}

/* The broadcast goes to the other axes at once, where they rise there too. */
static uint32_t transpose_of_broadcast(const site *s) {
    const node *inner = site_maker(s, 0, "broadcast");
    if (!inner) return ABSENT;
    tw_shape axes = inner->attr[BROADCAST_AXES].list;
    const tw_shape *outer = &s->it->attr[0].list;
    for (int i = 0; i < axes.rank; i++) {
        int to = 0;
        while (outer->dim[to] != axes.dim[i]) to++;
        axes.dim[i] = to;
        if (i && axes.dim[i] < axes.dim[i - 1]) return ABSENT;
    }
    return broadcast_along(s, inner->operand[0], axes);
}

/* ---- slice ---- */

typedef struct section {
    tw_shape start, limit, step;
} section;

static section section_of(const node *it) {
    return (section){it->attr[SLICE_START].list, it->attr[SLICE_LIMIT].list,
                     it->attr[SLICE_STEP].list};
}

static void put(section *to, int axis, int64_t start, int64_t limit, int64_t step) {
    to->start.dim[axis] = start;
    to->limit.dim[axis] = limit;
    to->step.dim[axis] = step;
}

/* With open extents, equal extents alone don't say that a slice is the whole. */
static bool is_whole(const section *at, int axis, int64_t from, int64_t to) {
    return from == to && at->start.dim[axis] == 0 && at->step.dim[axis] == 1;
}

/* The section of x, which is x itself when it is the whole. */
static uint32_t cut(const site *s, uint32_t x, const section *at) {
    tw_shape shape = rewrite_type(s->r, x).shape;
    bool whole = true;
    for (int i = 0; i < shape.rank; i++)
        whole = whole && at->start.dim[i] == 0 && at->step.dim[i] == 1 &&
                at->limit.dim[i] == shape.dim[i];
    if (whole) return x;
    const tw_attr attr[] = {tw_attr_dims(at->start), tw_attr_dims(at->limit),
                            tw_attr_dims(at->step)};
    return site_apply(s, "slice", 1, &x, attr);
}

/* The first and the last element of an axis; false for an open extent and for none. */
static bool ends(const site *s, const section *at, int axis, int64_t *first, int64_t *last) {
    int64_t count = s->type.shape.dim[axis];
    *first = at->start.dim[axis];
    if (count <= 0 || *first < 0) return false;
    *last = *first + (count - 1) * at->step.dim[axis];
    return true;
}

static uint32_t slice_of_everything(const site *s) {
    section at = section_of(s->it);
    tw_shape from = site_shape(s, 0);
    for (int i = 0; i < from.rank; i++)
        if (!is_whole(&at, i, from.dim[i], s->type.shape.dim[i])) return ABSENT;
    return s->in[0];
}

static uint32_t slice_of_slice(const site *s) {
    const node *inner = site_maker(s, 0, "slice");
    if (!inner) return ABSENT;
    section outer = section_of(s->it), at = section_of(inner);
    tw_shape between = site_shape(s, 0), from = rewrite_type(s->r, inner->operand[0]).shape;
    for (int i = 0; i < between.rank; i++) {
        int64_t first, last, step, start = at.start.dim[i];
        if (is_whole(&outer, i, between.dim[i], s->type.shape.dim[i])) continue;
        if (is_whole(&at, i, from.dim[i], between.dim[i])) {
            put(&at, i, outer.start.dim[i], outer.limit.dim[i], outer.step.dim[i]);
            continue;
        }
        if (!ends(s, &outer, i, &first, &last) || start < 0) return ABSENT;
        if (__builtin_mul_overflow(at.step.dim[i], outer.step.dim[i], &step)) return ABSENT;
        put(&at, i, start + first * at.step.dim[i], start + last * at.step.dim[i] + 1, step);
    }
    return cut(s, inner->operand[0], &at);
}

/* Within one of the parts. */
static uint32_t slice_of_concat(const site *s) {
    const node *inner = site_maker(s, 0, "concat");
    if (!inner) return ABSENT;
    section at = section_of(s->it);
    int axis = (int)inner->attr[0].i;
    int64_t first, last, offset = 0;
    if (!ends(s, &at, axis, &first, &last)) return ABSENT;
    for (int k = 0; k < inner->n_operands; k++) {
        int64_t size = rewrite_type(s->r, inner->operand[k]).shape.dim[axis];
        if (size < 0 || first < offset) return ABSENT;
        if (last < offset + size) {
            put(&at, axis, first - offset, last - offset + 1, at.step.dim[axis]);
            return cut(s, inner->operand[k], &at);
        }
        offset += size;
    }
    return ABSENT;
}

/* Within what was padded. */
static uint32_t slice_of_pad(const site *s) {
    const node *inner = site_maker(s, 0, "pad");
    if (!inner) return ABSENT;
    section at = section_of(s->it);
    tw_shape from = rewrite_type(s->r, inner->operand[0]).shape;
    for (int i = 0; i < from.rank; i++) {
        int64_t low = inner->attr[PAD_LOW].list.dim[i], high = inner->attr[PAD_HIGH].list.dim[i];
        int64_t first, last;
        if (inner->attr[PAD_INTERIOR].list.dim[i]) return ABSENT;
        if (!low && !high) continue;
        if (!ends(s, &at, i, &first, &last) || from.dim[i] < 0) return ABSENT;
        if (first < low || last - low >= from.dim[i]) return ABSENT;
        put(&at, i, first - low, last - low + 1, at.step.dim[i]);
    }
    return cut(s, inner->operand[0], &at);
}

static uint32_t slice_of_broadcast(const site *s) {
    const node *inner = site_maker(s, 0, "broadcast");
    if (!inner) return ABSENT;
    const tw_shape axes = inner->attr[BROADCAST_AXES].list;
    const tw_shape none = {.rank = axes.rank};
    section at = section_of(s->it), own = {none, none, none};
    for (int i = 0; i < axes.rank; i++)
        put(&own, i, at.start.dim[axes.dim[i]], at.limit.dim[axes.dim[i]],
            at.step.dim[axes.dim[i]]);
    uint32_t x = cut(s, inner->operand[0], &own);
    return x == ABSENT ? ABSENT : broadcast_along(s, x, axes);
}

/* ---- concat ---- */

static uint32_t concat_of(const site *s, int n, const uint32_t *in) {
    return n == 1 ? in[0] : site_apply(s, "concat", n, in, s->it->attr);
}

static uint32_t concat_of_one(const site *s) { return s->it->n_operands == 1 ? s->in[0] : ABSENT; }

static uint32_t concat_with_empty(const site *s) {
    uint32_t in[TW_MAX_OPERANDS];
    int n = 0;
    for (int k = 0; k < s->it->n_operands; k++)
        if (site_shape(s, k).dim[s->it->attr[0].i]) in[n++] = s->in[k];
    return n && n < s->it->n_operands ? concat_of(s, n, in) : ABSENT;
}

static uint32_t concat_of_concat(const site *s) {
    uint32_t in[TW_MAX_OPERANDS];
    int n = 0;
    bool found = false;
    for (int k = 0; k < s->it->n_operands; k++) {
        const node *inner = site_maker(s, k, "concat");
        bool opened = inner && inner->attr[0].i == s->it->attr[0].i;
        int parts = opened ? inner->n_operands : 1;
        if (n + parts > TW_MAX_OPERANDS) return ABSENT;
        for (int i = 0; i < parts; i++) in[n++] = opened ? inner->operand[i] : s->in[k];
        found = found || opened;
    }
    return found ? concat_of(s, n, in) : ABSENT;
}

/* Whether b goes on along the axis where a ended. */
static bool continues(const section *a, const section *b, int axis) {
    for (int i = 0; i < a->start.rank; i++) {
        bool same = a->start.dim[i] == b->start.dim[i] && a->limit.dim[i] == b->limit.dim[i];
        if (a->step.dim[i] != b->step.dim[i]) return false;
        if (i == axis ? a->step.dim[i] != 1 || a->limit.dim[i] != b->start.dim[i] : !same)
            return false;
    }
    return true;
}

/* Slices of one array that follow each other are one slice. */
static uint32_t concat_of_neighbours(const site *s) {
    uint32_t in[TW_MAX_OPERANDS];
    int n = 0, axis = (int)s->it->attr[0].i;
    for (int k = 0, next; k < s->it->n_operands; k = next) {
        const node *inner = site_maker(s, k, "slice");
        next = k + 1;
        in[n++] = s->in[k];
        if (!inner) continue;
        section at = section_of(inner);
        const uint32_t x = inner->operand[0];
        for (; next < s->it->n_operands; next++) {
            const node *following = site_maker(s, next, "slice");
            if (!following || following->operand[0] != x) break;
            section more = section_of(following);
            if (!continues(&at, &more, axis)) break;
            at.limit.dim[axis] = more.limit.dim[axis];
        }
        if (next > k + 1) in[n - 1] = cut(s, x, &at);
        if (in[n - 1] == ABSENT) return ABSENT;
    }
    return n < s->it->n_operands ? concat_of(s, n, in) : ABSENT;
}

/* ---- pad ---- */

static uint32_t pad_by_nothing(const site *s) {
    for (int i = 0; i < s->type.shape.rank; i++)
        for (int k = PAD_LOW; k <= PAD_INTERIOR; k++)
            if (s->it->attr[k].list.dim[i]) return ABSENT;
    return s->in[0];
}

static uint32_t pad_of_pad(const site *s) {
    const node *inner = site_maker(s, 0, "pad");
    if (!inner || !site_same(s, inner->operand[1], s->in[1])) return ABSENT;
    tw_attr attr[] = {s->it->attr[PAD_LOW], s->it->attr[PAD_HIGH], s->it->attr[PAD_INTERIOR]};
    for (int i = 0; i < s->type.shape.rank; i++) {
        if (attr[PAD_INTERIOR].list.dim[i] || inner->attr[PAD_INTERIOR].list.dim[i]) return ABSENT;
        for (int k = PAD_LOW; k <= PAD_HIGH; k++) {
            int64_t more = inner->attr[k].list.dim[i], *sum = &attr[k].list.dim[i];
            if (more < 0 || *sum < 0 || __builtin_add_overflow(*sum, more, sum)) return ABSENT;
        }
    }
    const uint32_t in[] = {inner->operand[0], s->in[1]};
    return site_apply(s, "pad", 2, in, attr);
}

/* ---- reverse ---- */

static void toggle(const tw_shape *axes, bool *reversed) {
    for (int i = 0; i < axes->rank; i++) reversed[axes->dim[i]] = !reversed[axes->dim[i]];
}

/* Axes of one element, and those that are reversed twice, are as they were. */
static uint32_t reverse_less(const site *s) {
    bool reversed[TW_MAX_RANK] = {false};
    const node *inner = site_maker(s, 0, "reverse");
    tw_shape axes = {0};
    toggle(&s->it->attr[0].list, reversed);
    if (inner) toggle(&inner->attr[0].list, reversed);
    for (int i = 0; i < s->type.shape.rank; i++)
        if (reversed[i] && s->type.shape.dim[i] != 1) axes.dim[axes.rank++] = i;
    uint32_t x = inner ? inner->operand[0] : s->in[0];
    if (!axes.rank) return x;
    if (!inner && axes.rank == s->it->attr[0].list.rank) return ABSENT;
    const tw_attr attr[] = {tw_attr_dims(axes)};
    return site_apply(s, "reverse", 1, &x, attr);
}

const rule movement_rules[] = {
    {"reshape", reshape_to_the_same},
    {"reshape", reshape_of_reshape},
    {"reshape", reshape_of_spread_element},
    {"broadcast", broadcast_to_the_same},
    {"broadcast", broadcast_of_broadcast},
    {"transpose", transpose_nothing},
    {"transpose", transpose_of_transpose},
    {"transpose", transpose_of_broadcast},
    {"slice", slice_of_everything},
    {"slice", slice_of_slice},
    {"slice", slice_of_concat},
    {"slice", slice_of_pad},
    {"slice", slice_of_broadcast},
    {"concat", concat_of_one},
    {"concat", concat_with_empty},
    {"concat", concat_of_concat},
    {"concat", concat_of_neighbours},
    {"pad", pad_by_nothing},
    {"pad", pad_of_pad},
    {"reverse", reverse_less},
    {0},
};
