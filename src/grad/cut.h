/*
 * How one node is computed in pieces, by its operator's factors; a composite by those of its
 * body. Decides and changes nothing.
 */
#ifndef GRAD_CUT_H
#define GRAD_CUT_H

#include "ir/graph.h"

typedef enum cut_kind {
    CUT_WHOLE,  /* every piece has all of it */
    CUT_SPLIT,  /* each piece has its part of axis `dim` */
    CUT_PARTIAL /* each piece has a part of a sum (max, ...) */
} cut_kind;

typedef struct cut {
    cut_kind kind;
    int dim;
    tw_reduction reduction;
} cut;

typedef struct cut_plan {
    int8_t
        want[TW_MAX_OPERANDS]; /* the axis along which a piece wants the operand cut, -1: whole */
    cut result[TW_MAX_RESULTS];
} cut_plan;

/* The extent of a piece; TW_DIM_NONE when `parts` does not divide it. */
int64_t cut_extent(tw_context *context, int64_t extent, int parts);
/* The type of a piece of a value of this type. */
tw_type cut_type(tw_context *context, tw_type type, cut how, int parts);

/* At least one operand is split. False: it cannot be computed in pieces as one node. */
bool cut_node(tw_graph *graph, const node *at, const cut *operand, int parts, cut_plan *out);
/* The plan of a primitive whose result 0 shall be split along `dim`, without regard to what its
 * operands are now. */
bool cut_by_result(tw_graph *graph, const node *at, int dim, int parts, cut_plan *out);
/* Whether attribute i states extents of the result, so that a piece states its own. */
bool cut_states_extents(const tw_operator *op, int i);

#endif
