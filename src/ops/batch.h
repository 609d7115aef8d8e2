/*
 * How batch rules move the axis of examples through axes, lists of them and shapes. Names start
 * with batch_.
 */
#ifndef OPS_BATCH_H
#define OPS_BATCH_H

#include <thalweg/operator.h>

/* A list with one more entry in front. What has no room is refused by the operator's infer. */
tw_attr batch_list(int64_t first, const tw_shape *list);
/* A list of axes, each moved by the axis of examples; and that axis itself before them. */
tw_attr batch_axes(const tw_shape *axes);
tw_attr batch_axes_too(const tw_shape *axes);

/* Axis `from` of x becomes axis `to`; the others keep their order. */
tw_value batch_move(tw_value x, int from, int to);
/*
 * (examples, ..., groups part, ...) -> (..., groups examples part, ...) and back: axis 0 becomes
 * part of `axis`, which is counted without the examples.
 */
tw_value batch_join(tw_value x, int axis, int64_t groups);
tw_value batch_part(tw_value x, int axis, int64_t groups, int64_t size);

/* The results of no examples at all: from `size` nothing could be divided. */
void batch_of_none(tw_graph *graph, tw_batch *rule);
/* The rule of operators whose operands and results all have independent rows as axis 0: one row
 * for each example and row. */
void batch_rows(tw_graph *graph, tw_batch *rule);

#endif
