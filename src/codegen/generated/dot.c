/*
 * Products of matrices by generated register tiles: which tile, which units of work, and the walk over
 * them. y is cut into panels of columns and these into blocks of rows, each as even as it goes; a panel of
 * w whose columns lie side by side in memory is turned first, into scratch of the thread's own.
 */
#include "codegen/generated/dot.h"

#include <stdatomic.h>
#include <string.h>

#include "base/context.h"
#include "base/parallel.h"
#include "base/scratch.h"
#include "codegen/generated/dot_kernels.h"
#include "codegen/generated/halves.h"

enum {
    STORE_BOUND = 16, /* up to this depth stores count most, and rows that are */
    FAR = 256,        /* ... so many floats apart meet in few places of the cache, */
    FEW_ROWS = 4,     /* ... which have room for these */
    INNER_ROWS = 4,
    INNER_MOST = 8, /* up to so many rows w is not worth turning, if it is not shallow: */
    SHALLOW = 128,
    INNER_WIDTH = 4,
    SWEPT_BYTES = 16 << 20, /* of w, from which on it comes from memory: */
    SWEPT_DEPTH = 16,       /* ... it is gone over so many of its rows at a time, */
    SWEPT_COLUMNS = 1024,   /* ... which lie side by side as far as this, */
    SWEPT_GROUPS = 4,       /* ... or half of it if these groups would be fewer */
    GRAIN = 160000,         /* operations that are worth a thread */
    UNIT = 60000,           /* ... that are worth a call of their own */
    FINE_UNIT = 20000,
    UNITS = 32, /* of a product, so that threads end together */
    MOST_SHARES = 128,
    FINE_UNITS = 64,
    HALVED = 16, /* lanes: on many machines such a vector takes as long as two of half its width */
    FETCHES = 512,       /* lines of a tile */
    BLOCK_FLOATS = 8192, /* of y, that are finished at a time: they stay in the nearest cache */
    GROUP_BYTES =
        256 << 10 /* of the panels that are gone over for that: so do they, in the next one */
};

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

/* An extent in blocks of `step`, the last of which may be shorter. */
typedef struct division {
    int64_t extent, step, count, last;
} division;

static division divide(int64_t extent, int64_t most) {
    division d = {.extent = extent, .count = (extent + most - 1) / most};
    d.step = (extent + d.count - 1) / d.count;
    d.count = (extent + d.step - 1) / d.step;
    d.last = extent - (d.count - 1) * d.step;
    return d;
}

typedef struct job {
    const machine_target *target;
    const matrix_product *m;
    const float *x;
    const float *w;
    float *y; /* NULL: in blocks, to the finish */
    const dot_finish *finish;
    int64_t batch, rows, columns, depth;
    int64_t x_row, x_depth, w_depth, w_column, y_row;
    dot_kind kind; /* not DOT_TURN */
    bool swapped, turned;
    bool across; /* units go along the panels first, then down the parts */
    int lanes;
    /* DOT_OUTER: panels of vectors of columns, blocks of rows. DOT_INNER: panels of rows, blocks of
     * columns. */
    division panels, blocks;
    division
        groups; /* of panels, that are computed together: one panel, if it is not for long rows */
    division slices; /* of the depth, each of which goes over all panels of a group */
    int64_t parts;   /* of the blocks of a panel, a unit each */
    dot_kernel kernel[2][2], turner; /* [last panel][last block] */
    dot_kernel adding[2];            /* [last panel] */
    size_t panel_floats;
    int64_t units;
    double
        work; /* what is read once counts too: a multiply-add is cheaper than its operand from memory */
} job;

/* The units of all products that a thread does first; who is done goes on with those of the others. */
typedef struct share {
    _Alignas(64) atomic_llong next; /* a line of its own: most are taken by one thread alone */
    int64_t end;
} share;

/* Products that are computed side by side; of the work of all, each share is an even part. */
typedef struct jobs {
    job *at;
    int n, shares;
    int64_t units, some; /* taken at a time */
    double work;
    size_t panel_floats; /* the most of any */
    float *scratch;      /* so many for each thread */
    atomic_int slots;
    share share[MOST_SHARES];
} jobs;

/* ---- tiles ---- */

static int most_rows(const machine_target *target, int64_t width) {
    /* Sums, a row of w and an element of x fit in the registers. */
    static const int many[] = {0, 12, 12, 8, 6, 4, 3, 2, 2}, few[] = {0, 8, 5, 3, 2, 1, 1, 1, 1};
    return target->vector_registers >= 32 ? many[width] : few[width];
}

/* Cycles of a tile for one depth, about: multiply-adds, loads (spread ones are half the work), or the
 * wait for sums; and what a tile costs besides, spread over the depth. */
static double tile_cost(int64_t rows, int64_t width, int64_t depth) {
    dot_form form = {.kind = DOT_OUTER, .rows = (int)rows, .width = (int)width};
    double sums = (double)(rows * width), loads = (double)width + 0.5 * (double)rows;
    double wait = 4.0 / dot_chains(&form), most = sums > loads ? sums : loads;
    if (wait > most) most = wait;
    return most + 0.5 + (12 + 1.5 * sums) / (double)depth;
}

static double tiles_cost(const division *panels, const division *blocks, int64_t depth) {
    double cost = 0;
    for (int last = 0; last < 2; last++) {
        double count = last ? 1 : (double)(panels->count - 1);
        int64_t wide = last ? panels->last : panels->step;
        cost += count * ((double)(blocks->count - 1) * tile_cost(blocks->step, wide, depth) +
                         tile_cost(blocks->last, wide, depth));
    }
    return cost;
}

static void choose_outer(job *j) {
    int64_t vectors = (j->columns + j->lanes - 1) / j->lanes;
    bool shallow = j->depth <= STORE_BOUND && j->y_row >= FAR && !j->finish;
    double least = 0;
    for (int width = 1; width <= DOT_WIDTH && (width == 1 || width <= vectors); width++) {
        division panels = divide(vectors, width);
        int most = most_rows(j->target, panels.step);
        division blocks = divide(j->rows, shallow && most > FEW_ROWS ? FEW_ROWS : most);
        double cost = vectors > 1 ? tiles_cost(&panels, &blocks, j->depth) : 0;
        if (width > 1 && cost >= least) continue;
        least = cost;
        j->panels = panels;
        j->blocks = blocks;
    }
}

/* The product as the kernels see it; a product with one column as one with one row. */
static void set_geometry(job *j) {
    const matrix_product *m = j->m;
    int n = (int)m->rank - 2;
    j->batch = 1;
    for (int i = 0; i < n; i++) j->batch *= m->y_extent[i];
    j->rows = m->y_extent[n];
    j->columns = m->y_extent[n + 1];
    j->depth = m->x_extent[n + 1];
    j->x_row = m->x_stride[n];
    j->x_depth = m->x_stride[n + 1];
    j->w_depth = m->w_stride[n];
    j->w_column = m->w_stride[n + 1];
    j->y_row = m->y_stride[n];
}

static void swap_sides(job *j) {
    if (j->columns != 1 || j->rows == 1) return;
    j->swapped = true;
    int64_t x_row = j->x_row, x_depth = j->x_depth;
    const float *x = j->x;
    j->x = j->w;
    j->w = x;
    j->x_row = 0;
    j->x_depth = j->w_depth;
    j->w_depth = x_depth;
    j->w_column = x_row;
    j->columns = j->rows;
    j->rows = 1;
    j->y_row = j->columns;
}

/* Few rows of a large w: whole pages of it are read one after the other, which memory is fastest at. */
static int64_t choose_slices(job *j) {
    int64_t columns = j->panels.step * j->lanes, most = SWEPT_COLUMNS / columns;
    bool few = j->kind == DOT_OUTER && !j->turned && j->blocks.count == 1;
    double bytes = (double)j->depth * (double)j->columns * sizeof(float);
    bool swept = few && j->w_column == 1 && j->depth > SWEPT_DEPTH && bytes >= SWEPT_BYTES;
    j->slices = divide(j->depth, swept ? SWEPT_DEPTH : j->depth);
    if (!swept) return 1;
    return most * SWEPT_GROUPS > j->panels.count ? most / 2 : most;
}

/* Panels whose results are finished together: what is read and written with them then lies side by side. */
static int64_t finished_together(const job *j) {
    if (j->kind != DOT_OUTER || j->turned) return 1;
    return GROUP_BYTES / (j->depth * j->panels.step * j->lanes * (int64_t)sizeof(float));
}

static void choose_groups(job *j) {
    int64_t most = choose_slices(j);
    if (j->finish && j->slices.count == 1) most = finished_together(j);
    if (j->finish) most = least(most, BLOCK_FLOATS / (j->blocks.step * j->panels.step * j->lanes));
    j->groups = divide(j->panels.count, most < 1 ? 1 : most);
}

static void choose_units(job *j) {
    double operations = 2.0 * (double)j->rows * (double)j->columns * (double)j->depth;
    double panel = operations / (double)j->groups.count;
    /* Of two panels each thread would have one, and fetch ahead into the other's results. */
    j->across = j->kind == DOT_OUTER && !j->turned && j->groups.count == 2;
    int64_t panels = j->batch * j->groups.count, wanted = j->across ? FINE_UNITS : UNITS;
    int64_t parts = (wanted + panels - 1) / panels, unit = j->across ? FINE_UNIT : UNIT;
    if (parts > panel / (double)unit) parts = (int64_t)(panel / (double)unit);
    if (parts > 1) parts += parts % 2;
    if (parts > j->blocks.count) parts = j->blocks.count;
    j->parts = parts < 1 ? 1 : parts;
}

/* Turning takes whole vectors of the depth. */
static size_t panel_floats(const job *j) {
    int64_t depth = (j->depth + j->lanes - 1) / j->lanes * j->lanes;
    return (size_t)(depth * j->panels.step * j->lanes);
}

static bool choose(job *j) {
    j->lanes = j->target->vector_bytes / 4;
    if (j->depth > PRODUCT_DEPTH || j->depth < 1) return false;
    if (j->w_column == 1 || j->columns == 1) {
        j->kind = DOT_OUTER;
    } else if (j->w_depth == 1 || j->depth == 1) {
        bool few = j->rows <= (j->depth >= SHALLOW ? INNER_MOST : INNER_ROWS);
        bool inner = few && (j->x_depth == 1 || j->depth == 1);
        j->kind = inner ? DOT_INNER : DOT_OUTER;
        j->turned = !inner;
    } else {
        return false;
    }
    if (j->kind == DOT_INNER) {
        j->panels = divide(j->rows, INNER_ROWS);
        j->blocks = divide(j->columns, INNER_WIDTH);
        /* Blocks of four: a rest is rarer than with even ones. */
        j->blocks.step = j->columns < INNER_WIDTH ? j->columns : INNER_WIDTH;
        j->blocks.last = j->columns - (j->blocks.count - 1) * j->blocks.step;
    } else {
        if (j->lanes == HALVED && j->columns <= HALVED / 2) j->lanes /= 2;
        choose_outer(j);
    }
    choose_groups(j);
    choose_units(j);
    j->panel_floats = j->turned ? panel_floats(j) : 0;
    return true;
}

/* ---- kernels ---- */

static dot_form form_of(const job *j, int last_panel, int last_block) {
    int panel = (int)(last_panel ? j->panels.last : j->panels.step);
    int block = (int)(last_block ? j->blocks.last : j->blocks.step);
    if (j->kind == DOT_INNER)
        return (dot_form){.kind = DOT_INNER, .lanes = j->lanes, .rows = panel, .width = block};
    return (dot_form){.kind = DOT_OUTER,
                      .lanes = j->lanes,
                      .rows = block,
                      .width = panel,
                      .masked = last_panel && j->columns % j->lanes,
                      .fetches = j->finish && j->finish->fetch && j->slices.count == 1};
}

static tw_status find_kernels(tw_context *context, job *j) {
    dot_form form[DOT_FORMS];
    dot_kernel *to[DOT_FORMS];
    int n = 0;
    for (int last = 0; last < 2; last++)
        for (int block = 0; block < 2; block++) {
            form[n] = form_of(j, last || j->panels.count == 1, block);
            to[n++] = &j->kernel[last][block];
        }
    for (int last = 0; last < 2 && j->slices.count > 1; last++) {
        form[n] = form_of(j, last || j->panels.count == 1, 0);
        form[n].adds = true;
        to[n++] = &j->adding[last];
    }
    if (j->turned) {
        form[n] = (dot_form){.kind = DOT_TURN, .lanes = j->lanes, .rows = 1, .width = 1};
        to[n++] = &j->turner;
    }
    return dot_kernels_find(context, n, form, to);
}

/* ---- the walk ---- */

/* Where matrix `number` of the batch begins. */
static int64_t batch_offset(const matrix_product *m, const int64_t *stride, int64_t number) {
    int64_t offset = 0;
    for (int i = (int)m->rank - 3; i >= 0; i--) {
        offset += number % m->y_extent[i] * stride[i];
        number /= m->y_extent[i];
    }
    return offset;
}

/* The arguments for matrix b, at its first panel. */
static dot_arguments matrix_arguments(const job *j, int64_t b) {
    const matrix_product *m = j->m;
    const int64_t *x_stride = j->swapped ? m->w_stride : m->x_stride;
    const int64_t *w_stride = j->swapped ? m->x_stride : m->w_stride;
    bool inner = j->kind == DOT_INNER;
    return (dot_arguments){.x = j->x + batch_offset(m, x_stride, b),
                           .w = j->w + batch_offset(m, w_stride, b),
                           .y = j->y ? j->y + b * j->rows * j->columns : NULL,
                           .depth = j->depth,
                           .x_row = j->x_row,
                           .x_depth = j->x_depth,
                           .w_step = inner ? j->w_column : j->w_depth,
                           .y_row = j->y_row,
                           .columns = inner ? 0 : (j->columns - 1) % j->lanes + 1};
}

/* The arguments moved on to panel p, but for what is turned. */
static void move_to_panel(const job *j, dot_arguments *a, int64_t p) {
    bool inner = j->kind == DOT_INNER;
    int64_t first = p * j->panels.step * (inner ? 1 : j->lanes);
    *(inner ? &a->x : &a->w) += first * (inner ? j->x_row : j->w_column);
    if (a->y) a->y += inner ? first * j->y_row : first;
}

static void turn(const job *j, dot_arguments *a, int64_t p, float *panel) {
    bool last = p == j->panels.count - 1;
    int64_t vectors = last ? j->panels.last : j->panels.step;
    dot_arguments to = *a;
    to.y = panel;
    to.y_row = vectors * j->lanes;
    to.w_step = j->w_column;
    to.columns = j->columns - p * j->panels.step * j->lanes;
    if (to.columns > to.y_row) to.columns = to.y_row;
    j->turner(&to, 0, vectors);
    a->w = panel;
    a->w_step = to.y_row;
}

/* The arguments moved on by `count` blocks of the usual size; y as far as it is there. */
static void move_on(const job *j, dot_arguments *a, int64_t count) {
    int64_t first = count * j->blocks.step;
    bool inner = j->kind == DOT_INNER;
    if (inner)
        a->w += first * a->w_step;
    else
        a->x += first * a->x_row;
    if (a->y) a->y += inner ? first : first * a->y_row;
    if (a->fetch) a->first_fetch += count * j->depth;
}

/* Blocks first..first+count-1 of a panel, the first of which `a` stands at; one block, if it adds. */
static void run_blocks(const job *j, dot_arguments *a, bool last_panel, bool adds, int64_t first,
                       int64_t count) {
    if (adds) {
        j->adding[last_panel](a, 0, 1);
        return;
    }
    bool shorter = first + count == j->blocks.count && j->blocks.last < j->blocks.step;
    int64_t whole = count - shorter;
    if (whole) j->kernel[last_panel][0](a, 0, whole);
    if (!shorter) return;
    move_on(j, a, whole);
    j->kernel[last_panel][1](a, 0, 1);
}

/* Where blocks first..first+count-1 of panels p..p+panels-1 of matrix b are in y; the step is that of memory for
 * them alone. */
static dot_block block_at(const job *j, int64_t b, int64_t p, int64_t panels, int64_t first,
                          int64_t count) {
    bool inner = j->kind == DOT_INNER;
    int64_t unit = j->panels.step * (inner ? 1 : j->lanes), from = first * j->blocks.step;
    int64_t to = least(from + count * j->blocks.step, j->blocks.extent);
    int64_t across = least(panels * unit, (inner ? j->rows : j->columns) - p * unit);
    if (inner) return (dot_block){b * j->rows + p * unit, across, from, to - from, to - from};
    return (dot_block){b * j->rows + from, to - from, p * unit, across, panels * unit};
}

/* What is wanted after these blocks of a group's first panel, and further on of the others. */
static int64_t lines_of(const job *j, int64_t b, int64_t p, int64_t first, int64_t count,
                        const void **line) {
    dot_block at = block_at(j, b, p, 1, first, count);
    int64_t most = least(FETCHES, count * j->depth);
    return j->finish->fetch(j->finish->state, &at, line, (int)most);
}

/* Blocks first..first+count-1 of panels p..end-1; `at` stands at the first of them. */
static void run_panels(const job *j, const dot_arguments *at, int64_t p, int64_t end, int64_t first,
                       int64_t count) {
    for (int64_t slice = 0; slice < j->slices.count; slice++)
        for (int64_t i = p; i < end; i++) {
            dot_arguments a = *at;
            /* There is one panel if it is turned or not of columns. */
            int64_t columns = (i - p) * j->panels.step * j->lanes, depth = slice * j->slices.step;
            a.x += depth * a.x_depth;
            a.w += depth * a.w_step + columns;
            a.y += columns;
            a.depth = least(j->slices.step, j->depth - depth);
            a.fetch_offset = columns * (int64_t)sizeof(float);
            run_blocks(j, &a, i == j->panels.count - 1, slice > 0, first, count);
        }
}

/* Blocks first..first+count-1 of a group's panels, each few finished as soon as they are there; `at` stands at its
 * first panel. */
static void finish_group(const job *j, const dot_arguments *at, int64_t b, int64_t group,
                         int64_t first, int64_t count) {
    _Alignas(64) float numbers[BLOCK_FLOATS];
    const void *line[FETCHES];
    bool fetches = j->kind == DOT_OUTER && j->finish->fetch && j->slices.count == 1;
    int64_t begin = group * j->groups.step, end = least(begin + j->groups.step, j->groups.extent);
    dot_block one = block_at(j, b, begin, end - begin, first, 1);
    int64_t each = BLOCK_FLOATS /
                   (j->kind == DOT_INNER ? one.rows * j->blocks.step : j->blocks.step * one.step);
    for (int64_t stop = first + count; first < stop; first += each) {
        int64_t some = least(each, stop - first);
        dot_block all = block_at(j, b, begin, end - begin, first, some);
        dot_arguments a = *at;
        move_on(j, &a, first);
        a.y = numbers;
        a.y_row = all.step;
        a.fetch = line;
        a.last_fetch = (fetches ? lines_of(j, b, begin, first, some, line) : 0) - 1;
        run_panels(j, &a, begin, end, first, some);
        j->finish->take(j->finish->state, &all, numbers);
    }
}

/* What a thread's scratch holds. */
typedef struct held_panel {
    const job *of;
    int64_t number;
} held_panel;

static void run_unit(const job *j, float *panel, held_panel *held, int64_t unit) {
    int64_t of = unit / j->parts, part = unit % j->parts;
    int64_t b = of / j->groups.count, group = of % j->groups.count;
    if (j->across) {
        group = unit % j->groups.count;
        part = unit / j->groups.count % j->parts;
    }
    int64_t p = group * j->groups.step;
    dot_arguments a = matrix_arguments(j, b);
    move_to_panel(j, &a, p);
    if (j->turned && (held->of != j || held->number != of)) {
        turn(j, &a, p, panel);
        *held = (held_panel){j, of};
    } else if (j->turned) {
        a.w = panel;
        a.w_step = (p == j->panels.count - 1 ? j->panels.last : j->panels.step) * j->lanes;
    }
    int64_t first = part * j->blocks.count / j->parts;
    int64_t count = (part + 1) * j->blocks.count / j->parts - first;
    if (j->finish) {
        finish_group(j, &a, b, group, first, count);
    } else {
        move_on(j, &a, first);
        if (j->groups.step > 1 || j->slices.count > 1)
            run_panels(j, &a, p, least(p + j->groups.step, j->groups.extent), first, count);
        else
            run_blocks(j, &a, p == j->panels.count - 1, false, first, count);
    }
}

/* Tiles and units. */
static tw_status shape(tw_context *context, job *j) {
    tw_status status = dot_kernels_target(context, &j->target);
    if (status) return status;
    set_geometry(j);
    swap_sides(j);
    return choose(j) ? TW_OK : TW_ERR_UNSUPPORTED;
}

/* A turned panel for each thread. */
static size_t scratch_bytes(const tw_context *context, size_t panel) {
    return (size_t)context->threads * panel * sizeof(float);
}

static tw_status prepare(tw_context *context, job *j) {
    tw_status status = shape(context, j);
    return status ? status : find_kernels(context, j);
}

/* The first unit past so much of the work. */
static int64_t unit_at(const jobs *all, double work) {
    int64_t before = 0;
    for (int i = 0; i < all->n; i++) {
        const job *j = &all->at[i];
        if (work < j->work) return before + (int64_t)(work / j->work * (double)j->units + 0.5);
        work -= j->work;
        before += j->units;
    }
    return before;
}

static void share_out(jobs *all) {
    for (int i = 0; i < all->shares; i++) {
        double end = all->work * (i + 1) / all->shares;
        all->share[i].end = i + 1 == all->shares ? all->units : unit_at(all, end);
        atomic_init(&all->share[i].next, i ? all->share[i - 1].end : 0);
    }
}

static void run_share(const jobs *all, share *it, float *panel, held_panel *held) {
    for (int64_t unit; (unit = atomic_fetch_add(&it->next, all->some)) < it->end;) {
        const job *j = all->at;
        int64_t stop = least(unit + all->some, it->end);
        for (int64_t before = 0; unit < stop; unit++) {
            for (; unit - before >= j->units; j++) before += j->units;
            run_unit(j, panel, held, unit - before);
        }
    }
}

/* The same units each time, as far as it goes: what they read and write may still be in the core's own cache.
 * Each call takes a slot of scratch; there are no more calls than threads. */
static void run_shares(void *argument, int64_t begin, int64_t end) {
    jobs *all = argument;
    held_panel held = {NULL, -1};
    float *panel = NULL;
    if (all->panel_floats)
        panel = all->scratch + (size_t)atomic_fetch_add(&all->slots, 1) * all->panel_floats;
    for (int64_t own = begin; own < end; own++)
        for (int i = 0; i < all->shares; i++)
            run_share(all, &all->share[(own + i) % all->shares], panel, &held);
}

static tw_status run(tw_context *context, int n, job *at) {
    jobs all;
    all.at = at;
    all.n = n;
    all.units = 0;
    all.work = 0;
    all.panel_floats = 0;
    atomic_init(&all.slots, 0);
    for (int i = 0; i < n; i++) {
        job *j = &at[i];
        tw_status status = prepare(context, j);
        if (status) return status;
        j->units = j->batch * j->groups.count * j->parts;
        j->work = (double)(j->batch * j->columns * j->depth) * (2.0 * (double)j->rows + 16);
        all.units += j->units;
        all.work += j->work;
        if (j->panel_floats > all.panel_floats) all.panel_floats = j->panel_floats;
    }
    scratch_mark mark = scratch_save(context);
    if (all.panel_floats) {
        all.scratch = scratch_take(context, scratch_bytes(context, all.panel_floats));
        if (!all.scratch) return TW_ERR_MEMORY;
    }
    int64_t most = least(least(context->threads, MOST_SHARES), all.units);
    double worth = all.work / GRAIN;
    all.shares = worth >= (double)most ? (int)most : worth < 1 ? 1 : (int)worth;
    all.some = all.units / all.shares / UNITS + 1;
    share_out(&all);
    tw_parallel_for(context, all.shares, 1, run_shares, &all);
    scratch_restore(context, mark);
    return TW_OK;
}

/* One product: to y or, where y is NULL, to the finish. */
static tw_status run_one(tw_context *context, const matrix_product *m, const float *x,
                         const float *w, float *y, const dot_finish *finish) {
    matrix_product halves;
    job j = {.m = m, .x = x, .w = w, .y = y, .finish = finish};
    if (!halves_of(m, &halves)) return run(context, 1, &j);
    scratch_mark mark = scratch_save(context);
    float *partial = scratch_take(context, halves_bytes(&halves));
    if (!partial) return TW_ERR_MEMORY;
    j = (job){.m = &halves, .x = x, .w = w, .y = partial};
    tw_status status = run(context, 1, &j);
    if (!status) halves_add(context, &halves, partial, y, finish);
    scratch_restore(context, mark);
    return status;
}

tw_status generated_dot(tw_context *context, const matrix_product *m, const float *x,
                        const float *w, float *y) {
    return run_one(context, m, x, w, y, NULL);
}

tw_status generated_dot_finished(tw_context *context, const matrix_product *m, const float *x,
                                 const float *w, const dot_finish *finish) {
    return run_one(context, m, x, w, NULL, finish);
}

tw_status generated_dots(tw_context *context, int n, const matrix_product *m, const void *const *in,
                         void *const *y) {
    job j[TW_MAX_RESULTS];
    for (int i = 0; i < n; i++) j[i] = (job){.m = &m[i], .x = in[0], .w = in[i + 1], .y = y[i]};
    return run(context, n, j);
}

tw_status generated_dots_workspace(tw_context *context, int n, const matrix_product *m,
                                   size_t *bytes) {
    *bytes = 0;
    for (int i = 0; i < n; i++) {
        matrix_product halves;
        bool cut = n == 1 && halves_of(m, &halves);
        job j = {.m = cut ? &halves : &m[i]};
        tw_status status = shape(context, &j);
        if (status) return status;
        size_t own = scratch_bytes(context, j.panel_floats);
        if (cut) own = scratch_rounded(own) + halves_bytes(&halves);
        if (own > *bytes) *bytes = own;
    }
    return TW_OK;
}

tw_status generated_dot_prepare(tw_context *context, const matrix_product *m,
                                const dot_finish *finish, int64_t *rows, int64_t *columns) {
    matrix_product halves;
    bool cut = halves_of(m, &halves);
    job j = {.m = cut ? &halves : m, .finish = cut ? NULL : finish};
    tw_status status = prepare(context, &j);
    *rows = cut ? j.rows : j.batch * j.rows;
    *columns = j.columns;
    return status;
}
