/*
 * Products of matrices by generated register tiles: the walk over the units of their plans. y is cut into panels of
 * columns and these into blocks of rows, each as even as it goes; a panel of w whose columns lie side by side in
 * memory is turned first, and one that would not stay in the caches copied, into scratch of the thread's own.
 */
#include "codegen/generated/dot.h"

#include <stdatomic.h>
#include <string.h>

#include "base/context.h"
#include "base/number.h"
#include "base/parallel.h"
#include "base/scratch.h"
#include "codegen/generated/halves.h"
#include "ir/graph.h"

enum {
    GRAIN = 40000,      /* operations that are worth a thread */
    CALL = 100000,      /* ... that are worth a look at who does what */
    LASTING = 50000000, /* ... of a share that others help with */
    MOST_SHARES = 128,
    FETCHES = 512 /* lines of a tile */
};

typedef dot_task job; /* x and w as the kernels see them */

/* The units of all products that a thread does first; who is done goes on with those of the others, if they last. */
typedef struct share {
    _Alignas(64) atomic_llong next; /* a line of its own: most are taken by one thread alone */
    int64_t end;
} share;

/* Products that are computed side by side; of the work of all, each share is an even part. */
typedef struct jobs {
    const job *at;
    job one; /* `at` of one: a worker reads it together with the rest */
    int n, shares;
    bool fixed;          /* they don't last: cut further, they would cost more than they give */
    int64_t units, some; /* taken at a time */
    double work;
    size_t scratch_floats; /* the most of any */
    float *scratch;        /* so many for each thread */
    atomic_int slots;
    share share[MOST_SHARES];
} jobs;

/* Where matrix `number` of the batch begins. */
static int64_t batch_offset(const matrix_product *m, const int64_t *stride, int64_t number) {
    int64_t offset = 0;
    for (int i = (int)m->rank - 3; i > 0; i--) {
        offset += number % m->y_extent[i] * stride[i];
        number /= m->y_extent[i];
    }
    return offset + (m->rank > 2 ? number * stride[0] : 0);
}

/* The arguments for matrix b, at its first panel. */
static dot_arguments matrix_arguments(const job *j, int64_t b) {
    const dot_plan *plan = j->plan;
    const matrix_product *m = &plan->m;
    const int64_t *x_stride = plan->swapped ? m->w_stride : m->x_stride;
    const int64_t *w_stride = plan->swapped ? m->x_stride : m->w_stride;
    bool inner = plan->kind == DOT_INNER;
    return (dot_arguments){.x = j->x + batch_offset(m, x_stride, b),
                           .w = j->w + batch_offset(m, w_stride, b),
                           .y = j->y ? j->y + b * plan->rows * (plan->columns + plan->rest) : NULL,
                           .depth = plan->depth,
                           .x_row = plan->x_row,
                           .x_depth = plan->x_depth,
                           .w_step = inner ? plan->w_column : plan->w_depth,
                           .y_row = plan->y_row,
                           .columns = inner ? 0 : plan->last_lanes};
}

/* The arguments moved on to panel p, but for what is in scratch. */
static void move_to_panel(const dot_plan *plan, dot_arguments *a, int64_t p) {
    bool inner = plan->kind == DOT_INNER;
    int64_t first = p * plan->panels.step * (inner ? 1 : plan->lanes);
    *(inner ? &a->x : &a->w) += first * (inner ? plan->x_row : plan->w_column);
    if (a->y) a->y += inner ? first * plan->y_row : first;
}

static void turn(const dot_plan *plan, const dot_arguments *a, int64_t columns, int64_t step,
                 float *panel) {
    dot_arguments to = *a;
    to.y = panel;
    to.y_row = step;
    to.w_step = plan->w_column;
    to.columns = columns;
    plan->turner(&to, 0, step / plan->lanes);
}

static void pack(const dot_plan *plan, const dot_arguments *a, int64_t columns, int64_t step,
                 float *panel) {
    for (int64_t k = 0; k < plan->depth; k++)
        memcpy(panel + k * step, a->w + k * a->w_step, (size_t)columns * sizeof *panel);
}

/* Columns past the last are 0. */
static void pair(const dot_plan *plan, const dot_arguments *a, int64_t columns, int64_t step,
                 float *panel) {
    memset(panel, 0, (size_t)(plan->depth * step) * sizeof *panel);
    for (int64_t k = 0; k < 2 * plan->depth; k++)
        for (int64_t i = 0; i < columns; i++)
            panel[k / 2 * step + 2 * i + k % 2] = a->w[k * a->w_step + i];
}

/* Panels p..end-1, one after the other, `a` at the first of them. */
static void fill_scratch(const dot_plan *plan, const dot_arguments *a, int64_t p, int64_t end,
                         float *panel) {
    int64_t usual = plan->panels.step * plan->lanes;
    for (dot_arguments at = *a; p < end; p++, panel += plan->panel_floats) {
        int64_t step = p == plan->panels.count - 1 ? plan->panels.last * plan->lanes : usual;
        int64_t columns = least(step, plan->columns - p * usual);
        (plan->turned ? turn : plan->paired ? pair : pack)(plan, &at, columns, step, panel);
        at.w += usual * plan->w_column;
    }
}

/* w as a whole for DOT_INNER: along the depth there is what is along the columns for panels. */
static void fill_turned(const dot_plan *plan, const dot_arguments *a, float *to) {
    dot_arguments turned = *a;
    turned.depth = plan->columns;
    turned.columns = plan->depth;
    turned.w_step = plan->w_depth;
    turned.y = to;
    turned.y_row = plan->turned_column;
    plan->turner(&turned, 0, (plan->depth + plan->lanes - 1) / plan->lanes);
}

/* What a walk over panels moves. */
typedef struct origin {
    const float *x, *w;
    float *y;
    int64_t depth, w_step, first_fetch;
} origin;

/* From panel p, where `at` stands, to panel i of its group. */
static void use_panel(const dot_plan *plan, const origin *at, int64_t p, int64_t i,
                      dot_arguments *a) {
    a->x = at->x;
    a->w = at->w;
    a->y = at->y;
    a->first_fetch = at->first_fetch;
    if (plan->kind == DOT_INNER) {
        int64_t rows = (i - p) * plan->panels.step;
        a->x += rows * a->x_row;
        a->y += rows * a->y_row;
        return;
    }
    bool last = i == plan->panels.count - 1, scratch = plan->turned || plan->packed;
    int64_t columns = (i - p) * plan->panels.step * plan->lanes;
    a->w += scratch ? (i - p) * (int64_t)plan->panel_floats : columns;
    if (scratch) a->w_step = (last ? plan->panels.last : plan->panels.step) * plan->lanes;
    a->y += columns;
    a->fetch_offset = columns * (int64_t)sizeof(float);
}

/* The arguments moved on by `count` blocks of the usual size; y as far as it is there. */
static void move_on(const dot_plan *plan, dot_arguments *a, int64_t count) {
    int64_t first = count * plan->blocks.step;
    bool inner = plan->kind == DOT_INNER;
    if (inner)
        a->w += first * a->w_step;
    else
        a->x += first * a->x_row;
    if (a->y) a->y += inner ? first : first * a->y_row;
    if (a->fetch) a->first_fetch += count * plan->depth;
}

/* Blocks first..first+count-1 of a panel, the first of which `a` stands at; one block, if it adds. */
static void run_blocks(const dot_plan *plan, dot_arguments *a, bool last_panel, bool adds,
                       int64_t first, int64_t count) {
    if (adds) {
        plan->adding[last_panel](a, 0, 1);
        return;
    }
    bool shorter = first + count == plan->blocks.count && plan->blocks.last < plan->blocks.step;
    int64_t whole = count - shorter;
    if (whole) plan->kernel[last_panel][0](a, 0, whole);
    if (!shorter) return;
    move_on(plan, a, whole);
    plan->kernel[last_panel][1](a, 0, 1);
}

/* Where blocks first..first+count-1 of panels p..p+panels-1 of matrix b are in y; the step is that of memory for
 * them alone. */
static dot_block block_at(const dot_plan *plan, int64_t b, int64_t p, int64_t panels, int64_t first,
                          int64_t count) {
    bool inner = plan->kind == DOT_INNER;
    int64_t unit = plan->panels.step * (inner ? 1 : plan->lanes), from = first * plan->blocks.step;
    int64_t to = least(from + count * plan->blocks.step, plan->blocks.extent);
    int64_t across = least(panels * unit, (inner ? plan->rows : plan->columns) - p * unit);
    if (inner) return (dot_block){b * plan->rows + p * unit, across, from, to - from, to - from};
    return (dot_block){b * plan->rows + from, to - from, p * unit, across, panels * unit};
}

/* What is wanted after these blocks of a group's first panel, and further on of the others. */
static int64_t lines_of(const job *j, int64_t b, int64_t p, int64_t first, int64_t count,
                        const void **line) {
    dot_block at = block_at(j->plan, b, p, 1, first, count);
    int64_t most = least(FETCHES, count * j->plan->depth);
    return j->finish->fetch(j->finish->state, &at, line, (int)most);
}

/* Blocks first..first+count-1 of panels p..end-1; `a` stands at the first of them, and does so again after. What it
 * has was just written: to read it as a whole, for a copy, would wait for that. */
static void run_panels(const dot_plan *plan, dot_arguments *a, int64_t p, int64_t end,
                       int64_t first, int64_t count) {
    const origin at = {a->x, a->w, a->y, a->depth, a->w_step, a->first_fetch};
    for (int64_t slice = 0; slice < plan->slices.count; slice++)
        for (int64_t i = p; i < end; i++) {
            use_panel(plan, &at, p, i, a);
            int64_t depth = slice * plan->slices.step;
            a->x += depth * a->x_depth;
            a->w += depth * a->w_step;
            a->depth = least(plan->slices.step, plan->depth - depth);
            run_blocks(plan, a, i == plan->panels.count - 1, slice > 0, first, count);
        }
    a->x = at.x, a->w = at.w, a->y = at.y;
    a->depth = at.depth, a->w_step = at.w_step, a->first_fetch = at.first_fetch;
}

/* Blocks first..first+count-1 of a group's panels, each few finished as soon as they are there; `at` stands at its
 * first panel. */
static void finish_group(const job *j, const dot_arguments *at, int64_t b, int64_t group,
                         int64_t first, int64_t count) {
    _Alignas(64) float numbers[DOT_BLOCK_FLOATS];
    const void *line[FETCHES];
    const dot_plan *plan = j->plan;
    int64_t begin = group * plan->groups.step,
            end = least(begin + plan->groups.step, plan->groups.extent);
    dot_block one = block_at(plan, b, begin, end - begin, first, 1);
    int64_t each = DOT_BLOCK_FLOATS / (plan->kind == DOT_INNER ? one.rows * plan->blocks.step
                                                               : plan->blocks.step * one.step);
    for (int64_t stop = first + count; first < stop; first += each) {
        int64_t some = least(each, stop - first);
        dot_block all = block_at(plan, b, begin, end - begin, first, some);
        dot_arguments a = *at;
        move_on(plan, &a, first);
        a.y = numbers;
        a.y_row = all.step;
        a.fetch = line;
        a.last_fetch = (plan->fetching ? lines_of(j, b, begin, first, some, line) : 0) - 1;
        run_panels(plan, &a, begin, end, first, some);
        j->finish->take(j->finish->state, &all, numbers);
    }
}

/* What a thread's scratch holds. */
typedef struct held_panel {
    const job *of;
    int64_t number;
} held_panel;

/* The columns of the rest, one after the other. */
static void copy_rest(const dot_plan *plan, const dot_arguments *a, float *to) {
    const float *from = a->w + plan->columns;
    for (int64_t i = 0; i < plan->rest; i++, from++, to += plan->depth)
        for (int64_t k = 0; k < plan->depth; k++) to[k] = from[k * a->w_step];
}

static void run_rest_rows(const dot_plan *plan, dot_arguments a, int64_t rows) {
    for (; rows >= DOT_REST_ROWS; rows -= DOT_REST_ROWS) {
        plan->resting[0](&a, 0, 1);
        a.x += DOT_REST_ROWS * a.x_row;
        a.y += DOT_REST_ROWS * a.y_row;
    }
    if (rows) plan->resting[1](&a, 0, 1);
}

/* The rest of these rows of matrix b, at which `at` stands; `copy` has its part of w. */
static void run_rest(const job *j, const dot_arguments *at, int64_t b, int64_t row, int64_t rows,
                     const float *copy) {
    _Alignas(64) float numbers[DOT_BLOCK_FLOATS];
    const dot_plan *plan = j->plan;
    int64_t most = DOT_BLOCK_FLOATS / plan->rest / DOT_REST_ROWS * DOT_REST_ROWS;
    dot_arguments a = *at;
    a.w = copy;
    a.w_step = plan->depth;
    a.x += row * a.x_row;
    if (!j->finish) {
        a.y += row * a.y_row + plan->columns;
        run_rest_rows(plan, a, rows);
        return;
    }
    a.y = numbers;
    a.y_row = plan->rest;
    for (int64_t some; rows > 0; rows -= some, row += some, a.x += some * a.x_row) {
        some = least(rows, most);
        run_rest_rows(plan, a, some);
        const dot_block block = {b * plan->rows + row, some, plan->columns, plan->rest, plan->rest};
        j->finish->take(j->finish->state, &block, numbers);
    }
}

/* Whether the scratch has to be filled with what has this number. */
static bool takes_scratch(held_panel *held, const job *j, int64_t number) {
    bool there = held->of == j && held->number == number;
    *held = (held_panel){j, number};
    return !there;
}

/* w in scratch: panels p..end-1 of matrix b, or for DOT_INNER all of it. */
static void use_scratch(const job *j, dot_arguments *a, float *panel, held_panel *held, int64_t b,
                        int64_t p, int64_t end) {
    const dot_plan *plan = j->plan;
    if (plan->kind == DOT_INNER) {
        if (takes_scratch(held, j, b)) fill_turned(plan, a, panel);
        a->w_step = plan->turned_column;
    } else if (takes_scratch(held, j, b * plan->panels.count + p)) {
        fill_scratch(plan, a, p, end, panel);
    }
    a->w = panel;
}

/* Blocks first..first+count-1 of a group's panels, of matrix b. */
static void run_group(const job *j, float *panel, held_panel *held, int64_t b, int64_t group,
                      int64_t first, int64_t count) {
    const dot_plan *plan = j->plan;
    int64_t p = group * plan->groups.step, end = least(p + plan->groups.step, plan->groups.extent);
    dot_arguments a = matrix_arguments(j, b);
    if (plan->rest && end == plan->panels.count) {
        int64_t row = first * plan->blocks.step;
        if (takes_scratch(held, j, b)) copy_rest(plan, &a, panel);
        run_rest(j, &a, b, row, least(count * plan->blocks.step, plan->rows - row), panel);
    }
    move_to_panel(plan, &a, p);
    if (plan->panel_floats) use_scratch(j, &a, panel, held, b, p, end);
    if (j->finish) {
        finish_group(j, &a, b, group, first, count);
        return;
    }
    move_on(plan, &a, first);
    int64_t each = plan->row_wise ? 1 : count;
    for (int64_t stop = first + count; first < stop; first += each, move_on(plan, &a, each))
        run_panels(plan, &a, p, end, first, each);
}

/* The block that a part of a strip begins with. A division takes as long as a tile of a small product. */
static int64_t part_begin(const dot_plan *plan, int64_t part) {
    if (part == 0 || part == plan->parts) return part ? plan->blocks.count : 0;
    return part * plan->blocks.count / plan->parts;
}

/* Units begin..end-1 of a product, as many at a time as lie in the same panels. */
static void run_units(const job *j, float *panel, held_panel *held, int64_t begin, int64_t end) {
    const dot_plan *plan = j->plan;
    int64_t strip = begin / plan->parts, part = begin - strip * plan->parts;
    int64_t b = strip / plan->strips, group = strip - b * plan->strips;
    for (int64_t left = end - begin, count; left > 0; left -= count, part = 0) {
        count = least(left, plan->parts - part);
        int64_t first = part_begin(plan, part), blocks = part_begin(plan, part + count) - first;
        int64_t last = plan->across ? plan->groups.count : group + 1;
        for (int64_t i = group; i < last; i++) run_group(j, panel, held, b, i, first, blocks);
        if (++group < plan->strips) continue;
        group = 0;
        b++;
    }
}

/* The first unit past so much of the work. */
static int64_t unit_at(const jobs *all, double work) {
    int64_t before = 0;
    for (int i = 0; i < all->n; i++) {
        const job *j = &all->at[i];
        if (work < j->plan->work)
            return before + (int64_t)(work / j->plan->work * (double)j->plan->units + 0.5);
        work -= j->plan->work;
        before += j->plan->units;
    }
    return before;
}

/* The first unit of share i, or past the last share's. */
static int64_t share_begin(const jobs *all, int64_t i) {
    if (i == 0) return 0;
    return i == all->shares ? all->units : unit_at(all, all->work * (double)i / all->shares);
}

static void share_out(jobs *all) {
    int64_t worthwhile = (int64_t)(CALL * (double)all->units / all->work);
    all->some = all->units / all->shares / DOT_UNITS + 1;
    if (all->some < worthwhile) all->some = worthwhile;
    for (int i = 0; i < all->shares; i++) {
        all->share[i].end = share_begin(all, i + 1);
        atomic_init(&all->share[i].next, share_begin(all, i));
    }
}

/* Units of all products. */
static void run_range(const jobs *all, int64_t unit, int64_t stop, float *panel, held_panel *held) {
    const job *j = all->n == 1 ? &all->one : all->at;
    for (int64_t before = 0; unit < stop;) {
        for (; unit - before >= j->plan->units; j++) before += j->plan->units;
        int64_t end = least(stop, before + j->plan->units);
        run_units(j, panel, held, unit - before, end - before);
        unit = end;
    }
}

/* Half of what is left at a time, so that somebody may help with the rest. */
static void run_share(const jobs *all, share *it, float *panel, held_panel *held) {
    int64_t left;
    while ((left = it->end - atomic_load_explicit(&it->next, memory_order_relaxed)) > 0) {
        int64_t some = least((left + 1) / 2, all->some);
        int64_t unit = atomic_fetch_add(&it->next, some);
        run_range(all, unit, least(unit + some, it->end), panel, held);
    }
}

/* The same units each time, as far as it goes: what they read and write may still be in the core's own cache.
 * Each call takes a slot of scratch; there are no more calls than threads. */
static void run_shares(void *argument, int64_t begin, int64_t end) {
    jobs *all = argument;
    held_panel held = {NULL, -1};
    float *panel = NULL;
    if (all->scratch_floats)
        panel = all->scratch + (size_t)atomic_fetch_add(&all->slots, 1) * all->scratch_floats;
    for (int64_t own = begin; own < end; own++) {
        if (all->fixed) {
            run_range(all, share_begin(all, own), share_begin(all, own + 1), panel, &held);
            continue;
        }
        for (int i = 0; i < all->shares; i++)
            run_share(all, &all->share[(own + i) % all->shares], panel, &held);
    }
}

/* A panel for each thread. */
static size_t scratch_bytes(const tw_context *context, size_t panel) {
    return (size_t)context->threads * panel * sizeof(float);
}

static tw_status run(tw_context *context, int n, const job *at) {
    jobs all;
    all.at = at;
    all.one = at[0];
    all.n = n;
    all.units = 0;
    all.work = 0;
    all.scratch_floats = 0;
    atomic_init(&all.slots, 0);
    for (int i = 0; i < n; i++) {
        const dot_plan *plan = at[i].plan;
        all.units += plan->units;
        all.work += plan->work;
        if (plan->scratch_floats > all.scratch_floats) all.scratch_floats = plan->scratch_floats;
    }
    scratch_mark mark = {0};
    if (all.scratch_floats) {
        mark = scratch_save(context);
        all.scratch = scratch_take(context, scratch_bytes(context, all.scratch_floats));
        if (!all.scratch) return TW_ERR_MEMORY;
    }
    int64_t most = least(least(context->threads, MOST_SHARES), all.units);
    double worth = all.work / GRAIN;
    all.shares = worth >= (double)most ? (int)most : worth < 1 ? 1 : (int)worth;
    all.fixed = all.work < (double)all.shares * LASTING;
    if (!all.fixed) share_out(&all);
    tw_parallel_for(context, all.shares, 1, run_shares, &all);
    if (all.scratch_floats) scratch_restore(context, mark);
    return TW_OK;
}

static job job_of(dot_task task) {
    if (!task.plan->swapped) return task;
    return (job){task.plan, task.w, task.x, task.y, task.finish};
}

static tw_status run_halves(tw_context *context, const dot_plan *plan, const float *x,
                            const float *w, float *y, const dot_finish *finish) {
    scratch_mark mark = scratch_save(context);
    float *partial = scratch_take(context, halves_bytes(&plan->m));
    if (!partial) return TW_ERR_MEMORY;
    const job j = job_of((dot_task){plan, x, w, partial, NULL});
    tw_status status = run(context, 1, &j);
    if (!status) halves_add(context, &plan->m, partial, y, finish);
    scratch_restore(context, mark);
    return status;
}

/* One product: to y or, where y is NULL, to the finish. */
static tw_status run_one(tw_context *context, const dot_plan *plan, const float *x, const float *w,
                         float *y, const dot_finish *finish) {
    if (plan->halved) return run_halves(context, plan, x, w, y, finish);
    const job j = job_of((dot_task){plan, x, w, y, finish});
    return run(context, 1, &j);
}

tw_status generated_dot_prepare(tw_context *context, const matrix_product *m,
                                const dot_finish *finish, dot_plan *plan) {
    tw_status status = dot_plan_shape(context, m, finish, finish && finish->fetch, plan);
    if (!status) status = dot_plan_kernels(context, plan);
    if (status) plan->target = NULL;
    return status;
}

tw_status generated_dot(tw_context *context, const dot_plan *plan, const float *x, const float *w,
                        float *y) {
    return run_one(context, plan, x, w, y, NULL);
}

tw_status generated_dot_finished(tw_context *context, const dot_plan *plan, const float *x,
                                 const float *w, const dot_finish *finish) {
    return run_one(context, plan, x, w, NULL, finish);
}

tw_status generated_dots(tw_context *context, int n, const dot_task *task) {
    job j[MOST_BESIDE];
    for (int i = 0; i < n; i++) j[i] = job_of(task[i]);
    return run(context, n, j);
}

size_t generated_dot_bytes(const tw_context *context, const dot_plan *plan) {
    size_t bytes = scratch_bytes(context, plan->scratch_floats);
    return plan->halved ? scratch_rounded(bytes) + halves_bytes(&plan->m) : bytes;
}

size_t generated_dots_bytes(const tw_context *context, int n, const dot_plan *const *plan) {
    size_t most = 0;
    for (int i = 0; i < n; i++)
        if (plan[i]->scratch_floats > most) most = plan[i]->scratch_floats;
    return scratch_bytes(context, most);
}
