/* Which tile a product of matrices takes, and in which units it is cut. */
#include "codegen/generated/dot_plan.h"

#include <math.h>

#include "base/number.h"
#include "codegen/generated/halves.h"

enum {
    STORE_BOUND = 16,   /* up to this depth stores count most, and rows that are */
    FAR = 256,          /* ... so many floats apart meet in few places of the cache, */
    FEW_ROWS = 4,       /* ... which have room for these */
    ROW_WISE = 1 << 19, /* numbers of y, from which on they are stored one after the other, */
    PAGE = 1024,        /* ... as rows whole pages apart meet in the cache */
    INNER_ROWS = 4,
    INNER_MOST = 8, /* up to so many rows w is not worth turning, if it is not shallow: */
    SHALLOW = 128,
    REST_VECTORS = 3, /* fewer, of which one less is worth the rest's own sums */
    REST_ROWS = 16,   /* ... for so many rows */
    INNER_WIDTH = 4,
    SWEPT_BYTES = 16 << 20, /* of w, from which on it comes from memory: */
    SWEPT_DEPTH = 16,       /* ... it is gone over so many of its rows at a time, */
    SWEPT_COLUMNS = 1024,   /* ... which lie side by side as far as this, */
    SWEPT_GROUPS = 4,       /* ... or half of it if these groups would be fewer */
    UNIT = 15000,           /* operations that are worth a call of their own */
    NARROW_CALLS = 4,       /* ... of narrow panels, each of which has several */
    PAIRED_DEPTH = 10,      /* from which on two depths at a time pay, */
    PAIRED_ROWS = 64,       /* ... for so many rows */
    HALVED = 16, /* lanes: on many machines such a vector takes as long as two of half its width */
    PACKED_BLOCKS = 48, /* of a panel, that are worth a copy of it: */
    SECOND_CACHE = 1 << 20,
    PANEL_BYTES = 256 << 10 /* of panels that are gone over together or often: they stay there */
};

static division cut(int64_t extent, int64_t step) {
    int64_t count = (extent + step - 1) / step;
    return (division){extent, step, count, extent - (count - 1) * step};
}

/* In as few blocks of at most so many as it goes, which are even. */
static division divide(int64_t extent, int64_t most) {
    int64_t count = (extent + most - 1) / most;
    return cut(extent, (extent + count - 1) / count);
}

static int most_rows(const machine_target *target, int64_t width) {
    /* Sums, a row of w and an element of x fit in the registers. */
    static const int many[] = {0, 12, 12, 8, 6, 4, 3, 2, 2}, few[] = {0, 8, 5, 3, 2, 1, 1, 1, 1};
    return target->vector_registers >= 32 ? many[width] : few[width];
}

/* Half cycles of a tile for one depth, about: multiply-adds, loads, or the wait for sums; and what a tile
 * costs besides, spread over the depth. */
static double tile_cost(int64_t rows, int64_t width, int64_t depth) {
    dot_form form = {.kind = DOT_OUTER, .rows = (int)rows, .width = (int)width};
    double sums = (double)(rows * width), loads = (double)(width + rows);
    double wait = 4.0 / dot_chains(&form), most = sums > loads ? sums : loads;
    if (wait > most) most = wait;
    return most + 0.5 + (12 + 1.5 * sums) / (double)depth;
}

static double panel_cost(int64_t width, const division *blocks, int64_t depth) {
    return (double)(blocks->count - 1) * tile_cost(blocks->step, width, depth) +
           tile_cost(blocks->last, width, depth);
}

/* Of two threads (so it was measured) the first has half of the tiles, rounded up, and only the other the narrow
 * panel at the end: as long as that takes. Of a batch both have narrow ones. */
static double tiles_cost(const division *panels, const division *blocks, int64_t depth,
                         int64_t batch) {
    double usual = panel_cost(panels->step, blocks, depth);
    double all = (double)(panels->count - 1) * usual + panel_cost(panels->last, blocks, depth);
    double tiles = (double)(batch * panels->count * blocks->count), more = ceil(tiles / 2);
    if (batch > 1) return all * 2 * more / tiles;
    double longer = 2 * more / (double)blocks->count * usual;
    return all > longer ? all : longer;
}

static void choose_outer(dot_plan *plan) {
    int64_t vectors = (plan->columns + plan->lanes - 1) / plan->lanes;
    bool shallow = plan->depth <= STORE_BOUND && plan->y_row >= FAR && !plan->finished;
    double least = 0;
    for (int width = 1; width <= DOT_WIDTH && (width == 1 || width <= vectors); width++) {
        division panels = divide(vectors, width);
        int most = most_rows(plan->target, panels.step);
        division blocks = divide(plan->rows, shallow && most > FEW_ROWS ? FEW_ROWS : most);
        double cost = vectors > 1 ? tiles_cost(&panels, &blocks, plan->depth, plan->batch) : 0;
        if (width > 1 && cost >= least) continue;
        least = cost;
        plan->panels = panels;
        plan->blocks = blocks;
    }
}

/* The product as the kernels see it; a product with one column as one with one row. */
static void set_geometry(dot_plan *plan) {
    const matrix_product *m = &plan->m;
    int n = (int)m->rank - 2;
    plan->batch = 1;
    for (int i = 0; i < n; i++) plan->batch *= m->y_extent[i];
    plan->rows = m->y_extent[n];
    plan->columns = m->y_extent[n + 1];
    plan->depth = m->x_extent[n + 1];
    plan->x_row = m->x_stride[n];
    plan->x_depth = m->x_stride[n + 1];
    plan->w_depth = m->w_stride[n];
    plan->w_column = m->w_stride[n + 1];
    plan->y_row = m->y_stride[n];
}

static void swap_sides(dot_plan *plan) {
    if (plan->columns != 1 || plan->rows == 1) return;
    plan->swapped = true;
    int64_t x_row = plan->x_row, x_depth = plan->x_depth;
    plan->x_row = 0;
    plan->x_depth = plan->w_depth;
    plan->w_depth = x_depth;
    plan->w_column = x_row;
    plan->columns = plan->rows;
    plan->rows = 1;
    plan->y_row = plan->columns;
}

/*
 * Whether a thread copies a panel of w first, so that its rows follow one another: where many blocks go over it, and it
 * would not stay in the second cache, as it is large or its rows, a multiple of a large power of two apart, share few
 * places there. What is finished at once has panels that are gone over together.
 */
static bool is_packed(const dot_plan *plan) {
    int64_t row = plan->panels.step * plan->lanes * (int64_t)sizeof(float);
    int64_t apart = plan->w_depth * (int64_t)sizeof(float), power = apart & -apart;
    bool stays = plan->depth * row <= PANEL_BYTES && plan->depth * power <= SECOND_CACHE;
    return plan->kind == DOT_OUTER && !plan->turned && !plan->finished && plan->w_column == 1 &&
           plan->blocks.count >= PACKED_BLOCKS && !stays;
}

/* Few rows of a large w: whole pages of it are read one after the other, which memory is fastest at. */
static int64_t choose_slices(dot_plan *plan) {
    int64_t columns = plan->panels.step * plan->lanes, most = SWEPT_COLUMNS / columns;
    bool few = plan->kind == DOT_OUTER && !plan->turned && plan->blocks.count == 1;
    double bytes = (double)plan->depth * (double)plan->columns * sizeof(float);
    bool swept = few && plan->w_column == 1 && plan->depth > SWEPT_DEPTH && bytes >= SWEPT_BYTES;
    plan->slices = divide(plan->depth, swept ? SWEPT_DEPTH : plan->depth);
    if (!swept) return 1;
    return most * SWEPT_GROUPS > plan->panels.count ? most / 2 : most;
}

/* Panels whose results are finished together: what is read and written with them then lies side by side. Of those
 * that are turned each of two threads turns a half. */
static int64_t finished_together(const dot_plan *plan) {
    int64_t floats = plan->depth * plan->panels.step * plan->lanes;
    int64_t most = PANEL_BYTES / (floats * (int64_t)sizeof(float));
    return plan->turned ? least(most, plan->panels.count / 2) : most;
}

static int64_t single_depths(const dot_plan *plan) {
    return plan->paired ? 2 * plan->depth : plan->depth;
}

static double operations_of(const dot_plan *plan) {
    return 2.0 * (double)plan->rows * (double)plan->columns * (double)single_depths(plan);
}

/* Panels of a few rows with few columns, that are worth a unit. */
static int64_t narrow_together(const dot_plan *plan) {
    double units = operations_of(plan) / (NARROW_CALLS * UNIT);
    return plan->panels.count / (int64_t)(units < 1 ? 1 : units < DOT_UNITS ? units : DOT_UNITS);
}

/* Whether y is written row after row, which is most of the work then; w stays in the nearest cache. */
static bool is_row_wise(const dot_plan *plan) {
    return plan->kind == DOT_OUTER && !plan->turned && !plan->packed && !plan->finished &&
           plan->depth <= STORE_BOUND && plan->depth * plan->columns <= DOT_BLOCK_FLOATS &&
           plan->y_row % PAGE == 0 && plan->batch * plan->rows * plan->columns >= ROW_WISE;
}

static void choose_groups(dot_plan *plan) {
    bool inner = plan->kind == DOT_INNER;
    int64_t most = choose_slices(plan);
    if (inner)
        most = plan->turned ? narrow_together(plan) : 1;
    else if (plan->finished && plan->slices.count == 1)
        most = finished_together(plan);
    int64_t block = plan->blocks.step * plan->panels.step * (inner ? 1 : plan->lanes);
    if (plan->finished) most = least(most, DOT_BLOCK_FLOATS / block);
    plan->row_wise = is_row_wise(plan);
    if (plan->row_wise) most = plan->panels.count;
    plan->groups = divide(plan->panels.count, most < 1 ? 1 : most);
}

static void choose_units(dot_plan *plan) {
    /* Of two panels each thread would have one, and fetch ahead into the other's results. */
    plan->across = plan->kind == DOT_OUTER && !plan->scratch_floats && plan->groups.count == 2 &&
                   plan->blocks.count > 1;
    plan->strips = plan->across ? 1 : plan->groups.count;
    int64_t strips = plan->batch * plan->strips, parts = (DOT_UNITS + strips - 1) / strips;
    double most = operations_of(plan) / (double)plan->strips / UNIT;
    if ((double)parts > most) parts = (int64_t)most;
    if (parts > 1) parts += parts % 2;
    if (parts > plan->blocks.count) parts = plan->blocks.count;
    plan->parts = parts < 1 ? 1 : parts;
    plan->units = strips * plan->parts;
}

static int64_t whole_vectors(const dot_plan *plan, int64_t extent) {
    return (extent + plan->lanes - 1) / plan->lanes * plan->lanes;
}

/* Turning takes whole vectors both ways. For sums along the depth w is turned as a whole, with a vector after each
 * column: a power of two apart they would meet in the cache. */
static void choose_scratch(dot_plan *plan) {
    int64_t depth = whole_vectors(plan, plan->depth), panels = plan->groups.step;
    int64_t floats = depth * plan->panels.step * plan->lanes;
    if (plan->kind == DOT_INNER) {
        plan->turned_column = depth + plan->lanes;
        floats = whole_vectors(plan, plan->columns) * plan->turned_column;
        panels = 1;
    }
    plan->panel_floats = plan->turned || plan->packed ? (size_t)floats : 0;
    plan->scratch_floats =
        plan->rest ? (size_t)(plan->rest * plan->depth) : (size_t)panels * plan->panel_floats;
}

/* Few columns past whole vectors: a vector of their own would be mostly empty. */
static int64_t rest_of(const dot_plan *plan) {
    int64_t whole = plan->lanes, rest = plan->columns % whole;
    bool few = rest <= INNER_WIDTH && plan->columns > whole && plan->columns < REST_VECTORS * whole;
    bool along = plan->x_depth == 1 && plan->w_column == 1 && plan->depth >= SHALLOW;
    return few && along && plan->rows >= REST_ROWS ? rest : 0;
}

/*
 * Few columns of wide vectors: whether w is turned, so that sums along the depth take whole vectors of it. Cost is in
 * multiply-adds of a vector: adding up the lanes of a sum takes about 8, turning a row of w 19. A vector that is mostly
 * empty costs as much as a full one or, where it is half as wide, on some machines half of that.
 */
static bool is_narrow(const dot_plan *plan) {
    bool along = plan->w_column == 1 && plan->x_depth == 1 && plan->columns > 1;
    if (!along || plan->lanes != HALVED || plan->columns >= HALVED) return false;
    double rows = (double)plan->rows, columns = (double)plan->columns, depth = (double)plan->depth;
    double outer = rows * depth * (plan->columns <= HALVED / 2 ? 0.8 : 1.25);
    double inner = rows * columns * (depth / HALVED + 8) + 19 * depth;
    return inner < 0.85 * outer;
}

/* Half a vector of columns, two depths of which fill a whole one. */
static bool is_paired(const dot_plan *plan) {
    return plan->lanes == HALVED && plan->columns > 1 && plan->columns <= HALVED / 2 &&
           plan->w_column == 1 && plan->x_depth == 1 && plan->depth % 2 == 0 &&
           plan->depth >= PAIRED_DEPTH && plan->rows >= PAIRED_ROWS;
}

/* The rest takes a few rows at a time, so blocks are of whole such. */
static void choose_with_rest(dot_plan *plan) {
    choose_outer(plan);
    int64_t some = plan->blocks.step / DOT_REST_ROWS;
    plan->blocks = cut(plan->rows, (some ? some : 1) * DOT_REST_ROWS);
}

/* Which sums vectors hold: of several columns, or parts of one. */
static bool choose_kind(dot_plan *plan) {
    bool inner = is_narrow(plan);
    plan->turned = inner;
    if (plan->w_column != 1 && plan->columns != 1) {
        if (plan->w_depth != 1 && plan->depth != 1) return false;
        bool few = plan->rows <= (plan->depth >= SHALLOW ? INNER_MOST : INNER_ROWS);
        inner = few && (plan->x_depth == 1 || plan->depth == 1);
        plan->turned = !inner;
    }
    plan->kind = inner ? DOT_INNER : DOT_OUTER;
    return true;
}

static void choose_tiles(dot_plan *plan) {
    if (plan->kind == DOT_INNER) {
        plan->panels = divide(plan->rows, INNER_ROWS);
        /* Of four: a shorter one is rarer than with even ones. */
        plan->blocks = cut(plan->columns, least(plan->columns, INNER_WIDTH));
        return;
    }
    plan->rest = plan->turned ? 0 : rest_of(plan);
    plan->columns -= plan->rest;
    plan->paired = !plan->turned && is_paired(plan);
    if (plan->paired) {
        plan->depth /= 2;
        plan->x_depth = 2;
    } else if (plan->lanes == HALVED && plan->columns <= HALVED / 2) {
        plan->lanes /= 2;
    }
    if (plan->rest)
        choose_with_rest(plan);
    else
        choose_outer(plan);
    plan->packed = plan->paired || (!plan->rest && is_packed(plan));
}

static bool choose(dot_plan *plan) {
    plan->lanes = plan->target->vector_bytes / 4;
    if (plan->depth > PRODUCT_DEPTH || plan->depth < 1 || !choose_kind(plan)) return false;
    choose_tiles(plan);
    plan->last_lanes = (plan->columns - 1) % plan->lanes + 1;
    choose_groups(plan);
    choose_scratch(plan);
    choose_units(plan);
    plan->fetching = plan->fetching && plan->kind == DOT_OUTER && plan->slices.count == 1;
    return true;
}

static dot_form form_of(const dot_plan *plan, int last_panel, int last_block) {
    int panel = (int)(last_panel ? plan->panels.last : plan->panels.step);
    int block = (int)(last_block ? plan->blocks.last : plan->blocks.step);
    if (plan->kind == DOT_INNER)
        return (dot_form){.kind = DOT_INNER, .lanes = plan->lanes, .rows = panel, .width = block};
    return (dot_form){.kind = DOT_OUTER,
                      .lanes = plan->lanes,
                      .rows = block,
                      .width = panel,
                      .masked = last_panel && plan->columns % plan->lanes,
                      .fetches = plan->fetching,
                      .paired = plan->paired};
}

tw_status dot_plan_kernels(tw_context *context, dot_plan *plan) {
    dot_form form[DOT_FORMS];
    dot_kernel *to[DOT_FORMS];
    int n = 0;
    for (int last = 0; last < 2; last++)
        for (int block = 0; block < 2; block++) {
            form[n] = form_of(plan, last || plan->panels.count == 1, block);
            to[n++] = &plan->kernel[last][block];
        }
    for (int last = 0; last < 2 && plan->slices.count > 1; last++) {
        form[n] = form_of(plan, last || plan->panels.count == 1, 0);
        form[n].adds = true;
        to[n++] = &plan->adding[last];
    }
    for (int last = 0; last < 2 && plan->rest; last++) {
        int64_t rows = last ? plan->rows % DOT_REST_ROWS : DOT_REST_ROWS;
        if (!rows) continue;
        form[n] = (dot_form){.kind = DOT_INNER,
                             .lanes = plan->target->vector_bytes / 4,
                             .rows = (int)rows,
                             .width = (int)plan->rest};
        to[n++] = &plan->resting[last];
    }
    if (plan->turned) {
        form[n] = (dot_form){.kind = DOT_TURN, .lanes = plan->lanes, .rows = 1, .width = 1};
        to[n++] = &plan->turner;
    }
    return dot_kernels_find(context, n, form, to);
}

tw_status dot_plan_shape(tw_context *context, const matrix_product *m, bool finished, bool fetching,
                         dot_plan *plan) {
    *plan = (dot_plan){.m = *m};
    plan->halved = halves_of(m, &plan->m);
    plan->finished = finished && !plan->halved;
    plan->fetching = fetching && !plan->halved;
    tw_status status = dot_kernels_target(context, &plan->target);
    if (status) return status;
    set_geometry(plan);
    swap_sides(plan);
    if (!choose(plan)) {
        plan->target = NULL;
        return TW_ERR_UNSUPPORTED;
    }
    plan->work = (double)(plan->batch * (plan->columns + plan->rest) * single_depths(plan)) *
                 (2.0 * (double)plan->rows + 16);
    return TW_OK;
}
