/*
 * How a product of matrices is computed by generated register tiles: which tile, which units of work, which
 * kernels. It depends on the shape alone and serves any number of runs.
 */
#ifndef CODEGEN_GENERATED_DOT_PLAN_H
#define CODEGEN_GENERATED_DOT_PLAN_H

#include "codegen/generated/dot_kernels.h"
#include "ops/product.h"

enum {
    DOT_UNITS = 32, /* of a product, so that threads end together */
    DOT_REST_ROWS = 4,
    DOT_BLOCK_FLOATS = 8192, /* of y, that are finished at a time: they stay in the nearest cache */
};

/* An extent in blocks of `step`, the last of which may be shorter. */
typedef struct division {
    int64_t extent, step, count, last;
} division;

typedef struct dot_plan {
    const machine_target *target; /* NULL: tiles don't serve */
    matrix_product m;
    bool halved;             /* m has the two halves of the product (generated/halves.h) */
    bool finished, fetching; /* by a dot_finish; what it reads is fetched */
    int64_t batch, rows, columns, depth;
    int64_t x_row, x_depth, w_depth, w_column, y_row;
    dot_kind kind; /* not DOT_TURN */
    bool swapped;  /* x and w: one column is one row */
    bool turned;   /* panels of w, to scratch of the thread's own; of DOT_INNER, w as a whole */
    bool packed;   /* ... copied there */
    bool paired;  /* ... two depths at a time, whose numbers alternate; `depth` counts such pairs */
    int64_t rest; /* columns after `columns`, as sums along the depth from a copy of w's */
    bool across;  /* a unit goes through all panels */
    bool row_wise; /* ... block after block */
    int lanes;
    int64_t last_lanes;    /* of the last vector of columns */
    int64_t turned_column; /* DOT_INNER: from one turned column to the next */
    /* DOT_OUTER: panels of vectors of columns, blocks of rows. DOT_INNER: panels of rows, blocks of
     * columns. */
    division panels, blocks;
    division
        groups; /* of panels, that are computed together: one panel, if it is not for long rows */
    division slices; /* of the depth, each of which goes over all panels of a group */
    int64_t strips;  /* of a matrix: its groups, or one of all */
    int64_t parts;   /* of the blocks of a strip, a unit each */
    dot_kernel kernel[2][2], turner; /* [last panel][last block] */
    dot_kernel adding[2];            /* [last panel] */
    dot_kernel resting[2];           /* of DOT_REST_ROWS rows; of the last ones */
    size_t panel_floats;             /* of a turned or packed panel */
    size_t scratch_floats;           /* of a group of such, or of the rest; else 0 */
    int64_t units;
    double
        work; /* what is read once counts too: a multiply-add is cheaper than its operand from memory */
} dot_plan;

/* All but the kernels. TW_ERR_UNSUPPORTED, without a message, where there is no generated code or the shape is not
 * for it (too deep). */
tw_status dot_plan_shape(tw_context *context, const matrix_product *m, bool finished, bool fetching,
                         dot_plan *plan);
/* Finds or compiles them; the same statuses. */
tw_status dot_plan_kernels(tw_context *context, dot_plan *plan);

#endif
