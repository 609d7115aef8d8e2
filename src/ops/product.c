/* From the axes of a dot to a product of matrices. */
#include "ops/product.h"

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

static group paired_axes(tw_shape a, tw_shape b, const tw_shape *of_a, const tw_shape *of_b) {
    group g = {0};
    int64_t a_step[TW_MAX_RANK], b_step[TW_MAX_RANK];
    rule_strides(a, a_step);
    rule_strides(b, b_step);
    for (int i = 0; i < of_a->rank; i++)
        add_axis(&g, a.dim[of_a->dim[i]], a_step[of_a->dim[i]], b_step[of_b->dim[i]]);
    return g;
}

static group free_axes(tw_shape shape, const tw_shape *batch, const tw_shape *contract, bool b) {
    group g = {0};
    int64_t step[TW_MAX_RANK];
    rule_strides(shape, step);
    for (int axis = 0; axis < shape.rank; axis++) {
        bool listed = false;
        for (int i = 0; i < batch->rank; i++) listed |= batch->dim[i] == axis;
        for (int i = 0; i < contract->rank; i++) listed |= contract->dim[i] == axis;
        if (!listed) add_axis(&g, shape.dim[axis], b ? 0 : step[axis], b ? step[axis] : 0);
    }
    return g;
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
    tw_shape a = signature->operand[0].shape, b = signature->operand[1].shape;
    const tw_shape *batch_a = &attr[BATCH_A].list, *batch_b = &attr[BATCH_B].list;
    const tw_shape *contract_a = &attr[CONTRACT_A].list, *contract_b = &attr[CONTRACT_B].list;
    group batch = paired_axes(a, b, batch_a, batch_b);
    group depth = paired_axes(a, b, contract_a, contract_b);
    group rows = free_axes(a, batch_a, contract_a, false);
    group columns = free_axes(b, batch_b, contract_b, true);
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
    DEEP = 1536, /* a panel of w so deep leaves the cache before the next rows of x come */
    WIDE = 128,
    SHALLOW = 16, /* a turned panel so shallow is not worth its turning, where y is large */
    LARGE = 1 << 17
};

bool product_tiled(const matrix_product *m) {
    int64_t n = m->rank - 2, rows = m->y_extent[n], columns = m->y_extent[n + 1];
    int64_t depth = m->x_extent[n + 1];
    if (depth > PRODUCT_DEPTH) return false;
    if (depth >= DEEP && rows >= WIDE && columns >= WIDE) return false;
    bool turned = m->w_stride[n + 1] != 1 && columns > 1;
    return !(turned && depth < SHALLOW && rows >= WIDE && rows * columns >= LARGE);
}
