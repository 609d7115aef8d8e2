/* From the axes of a dot to a product of matrices. */
#include "ops/product.h"

#include "ir/dimension.h"
#include "ops/rules.h"

enum { BATCH_A, BATCH_B, CONTRACT_A, CONTRACT_B }; /* the attributes of dot */

/* Axes walked together in both operands; a step is 0 where an operand lacks them. */
typedef struct group {
    int n;
    int64_t extent[TW_MAX_RANK], a_step[TW_MAX_RANK], b_step[TW_MAX_RANK];
} group;

/* Appends an axis as the innermost one, merged with the one before if both are one run. */
static void add_axis(group *g, int64_t extent, int64_t a_step, int64_t b_step) {
    int last = g->n - 1;
    if (extent == 1) return;
    if (last >= 0 && g->a_step[last] == a_step * extent && g->b_step[last] == b_step * extent) {
        g->extent[last] *= extent;
        g->a_step[last] = a_step;
        g->b_step[last] = b_step;
        return;
    }
    g->extent[g->n] = extent;
    g->a_step[g->n] = a_step;
    g->b_step[g->n++] = b_step;
}

/* An operand, its axes in the two lists and its steps. */
typedef struct factor {
    const tw_shape *shape, *batch, *contract;
    int64_t step[TW_MAX_RANK];
} factor;

static void clear(group *g) {
    g->n = 0;
    g->a_step[0] = g->b_step[0] = 0;
}

static void pair_axes(group *g, const factor *a, const tw_shape *of_a, const factor *b,
                      const tw_shape *of_b) {
    clear(g);
    for (int i = 0; i < of_a->rank; i++)
        add_axis(g, a->shape->dim[of_a->dim[i]], a->step[of_a->dim[i]], b->step[of_b->dim[i]]);
}

static void free_axes(group *g, const factor *f, bool b) {
    uint32_t listed = axes_bits(f->batch) | axes_bits(f->contract);
    clear(g);
    for (int axis = 0; axis < f->shape->rank; axis++)
        if (!(listed >> axis & 1))
            add_axis(g, f->shape->dim[axis], b ? 0 : f->step[axis], b ? f->step[axis] : 0);
}

/* A matrix in memory: its steps have to be those of a plain or a transposed one. */
static bool set_matrix(int64_t rows, int64_t row_step, int64_t columns, int64_t column_step,
                       int64_t *extent, int64_t *stride) {
    if (columns == 1) column_step = 1; /* steps of axes of extent 1 are free */
    if (rows == 1) row_step = column_step == 1 ? columns : 1;
    if (columns == 1 && row_step == 1) column_step = rows;
    extent[0] = rows;
    extent[1] = columns;
    stride[0] = row_step;
    stride[1] = column_step;
    return (column_step == 1 && row_step >= columns) || (row_step == 1 && column_step >= rows);
}

static int64_t extent_of(const group *g) { return g->n ? g->extent[0] : 1; }

bool product_of(const tw_signature *signature, matrix_product *m) {
    const tw_attr *attr = signature->attr;
    const tw_type *operand = signature->operand;
    factor a = {&operand[0].shape, &attr[BATCH_A].list, &attr[CONTRACT_A].list, {0}};
    factor b = {&operand[1].shape, &attr[BATCH_B].list, &attr[CONTRACT_B].list, {0}};
    group batch, depth, rows, columns;
    rule_strides(*a.shape, a.step);
    rule_strides(*b.shape, b.step);
    pair_axes(&batch, &a, a.batch, &b, b.batch);
    pair_axes(&depth, &a, a.contract, &b, b.contract);
    free_axes(&rows, &a, false);
    free_axes(&columns, &b, true);
    if (batch.n > PRODUCT_RANK - 2 || depth.n > 1 || rows.n > 1 || columns.n > 1) return false;
    int n = batch.n;
    m->rank = n + 2;
    for (int i = 0; i < n; i++) {
        m->x_extent[i] = m->w_extent[i] = m->y_extent[i] = batch.extent[i];
        m->x_stride[i] = batch.a_step[i];
        m->w_stride[i] = batch.b_step[i];
    }
    m->y_extent[n] = extent_of(&rows);
    m->y_extent[n + 1] = extent_of(&columns);
    int64_t step = 1;
    for (int i = n + 1; i >= 0; i--) {
        m->y_stride[i] = step;
        step *= m->y_extent[i];
    }
    return set_matrix(extent_of(&rows), rows.a_step[0], extent_of(&depth), depth.a_step[0],
                      m->x_extent + n, m->x_stride + n) &&
           set_matrix(extent_of(&depth), depth.b_step[0], extent_of(&columns), columns.b_step[0],
                      m->w_extent + n, m->w_stride + n);
}

enum {
    DEEP = 1536, /* so many rows of a turned x, a multiple of FAR numbers apart, leave */
    FAR = 512,   /* ... the cache before the next numbers of each are read */
    WIDE = 128,
    SHALLOW = 16, /* a turned panel so shallow is not worth its turning, where y is large */
    LARGE = 1 << 17
};

bool product_tiled(const matrix_product *m) {
    int64_t n = m->rank - 2, rows = m->y_extent[n], columns = m->y_extent[n + 1];
    int64_t depth = m->x_extent[n + 1];
    if (depth > PRODUCT_DEPTH) return false;
    bool turned = m->w_stride[n + 1] != 1 && columns > 1, wide = rows >= WIDE && columns >= WIDE;
    int64_t apart = m->x_stride[n + 1];
    if (depth >= DEEP && wide && !turned && apart > 1 && apart % FAR == 0) return false;
    return !(turned && depth < SHALLOW && rows >= WIDE && rows * columns >= LARGE);
}
