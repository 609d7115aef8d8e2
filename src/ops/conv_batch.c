/*
 * Batch rules of conv and its gradients. An axis that two of x, w and y have takes the examples of
 * an operand into the result: the batch (x, y), a group's input channels (x, w) or its output
 * channels (w, y). Where both operands are batched, each example has groups of its own.
 */
#include <string.h>

#include "base/context.h"
#include "ir/graph.h"
#include "ops/batch.h"
#include "ops/conv.h"
#include "ops/rules.h"

/* An axis, and the number of groups that lie in it outside of the examples. */
typedef struct place {
    int axis;
    int64_t groups;
} place;

/* Operand i (both: -1) is batched: its examples enter at from[] and are the result's at `to`. */
static void by_places(tw_graph *graph, tw_batch *rule, const place *from, place to,
                      int64_t groups) {
    tw_attr attr[CONV_ATTRS + 1];
    bool more = strcmp(rule->op->name, "conv") != 0;
    memcpy(attr, rule->attr, (CONV_ATTRS + (size_t)more) * sizeof *attr);
    attr[CONV_GROUPS] = tw_attr_int(groups);
    tw_value in[2];
    for (int i = 0; i < 2; i++)
        in[i] = rule->batched[i] ? batch_join(rule->operand[i], from[i].axis, from[i].groups)
                                 : rule->operand[i];
    tw_value y = tw_apply(graph, rule->op->name, 2, in, attr, NULL);
    rule->result[0] = batch_part(y, to.axis, to.groups, rule->size);
}

/* In each of these the channels of x, w's output channels and those of y are the last axis. */
static void by_groups(tw_graph *graph, tw_batch *rule) {
    int64_t groups;
    if (__builtin_mul_overflow(rule->attr[CONV_GROUPS].i, rule->size, &groups)) {
        rule->result[0] =
            rule_fail(graph, TW_ERR_MEMORY, "%s: more groups than can be counted", rule->op->name);
        return;
    }
    place last = {rule->operand_type[0].shape.rank - 1, 1}, both[] = {last, last};
    by_places(graph, rule, both, last, groups);
}

/*
 * An open number of examples cannot be a number of groups: there the windows of x are laid out,
 * as (examples, batch, positions, window, groups, channels), and contracted.
 */
typedef struct layout {
    tw_type x, w, y; /* of one example */
    int64_t size, groups, positions, taps, plane;
    tw_value index; /* (positions, window), into the plane of x */
} layout;

static bool lay_out(tw_graph *graph, tw_batch *rule, layout *l) {
    tw_context *context = graph->module->context;
    bool known = true;
    int last = l->x.shape.rank - 1;
    for (int i = 1; i <= last; i++)
        known = known && l->x.shape.dim[i] >= 0 && l->w.shape.dim[i - 1] >= 0;
    known = known && l->w.shape.dim[last] >= 0;
    conv_geometry g = {0};
    l->groups = rule->attr[CONV_GROUPS].i;
    l->size = rule->size;
    if (known) {
        g = conv_geometry_of(l->x, l->w, l->y, rule->attr);
        l->positions = g.out[0] * g.out[1] * g.out[2];
        l->taps = g.window[0] * g.window[1] * g.window[2];
        l->plane = g.in[0] * g.in[1] * g.in[2];
    }
    if (!known || l->plane > INT32_MAX) {
        rule_fail(graph, TW_ERR_UNSUPPORTED,
                  "%s: with both operands batched and an open number of examples the other extents "
                  "must be numbers, and the plane of x small enough for i32; bind the symbols",
                  rule->op->name);
        return false;
    }
    size_t count = (size_t)l->positions * (size_t)l->taps;
    int32_t *index = context_allocate(context, count + 1, sizeof *index);
    if (!index) {
        rule_fail(graph, TW_ERR_MEMORY, "%s: out of memory", rule->op->name);
        return false;
    }
    conv_windows(&g, index);
    l->index = tw_constant_of(graph, TW_I32, TW_SHAPE(l->positions, l->taps), index);
    context_release(context, index);
    return true;
}

/* (examples, batch, space..., channels) -> (examples, batch, positions, groups, channels) */
static tw_value split_space(const layout *l, tw_value y) {
    int64_t channels = l->y.shape.dim[l->y.shape.rank - 1];
    return tw_reshape(
        y, TW_SHAPE(l->size, l->y.shape.dim[0], l->positions, l->groups, channels / l->groups));
}

/* (examples, window..., in, out) -> (examples, window, in, groups, out) */
static tw_value split_window(const layout *l, tw_value w) {
    const int64_t *channels = l->w.shape.dim + l->w.shape.rank - 2;
    return tw_reshape(w,
                      TW_SHAPE(l->size, l->taps, channels[0], l->groups, channels[1] / l->groups));
}

/* -> (examples, batch, positions, window, groups, channels) */
static tw_value windows(const layout *l, tw_value x) {
    int64_t channels = l->x.shape.dim[l->x.shape.rank - 1];
    const tw_attr attr[] = {tw_attr_int(2), rule_ints(0, NULL)}; /* axis, shared */
    x = tw_reshape(x, TW_SHAPE(l->size, l->x.shape.dim[0], l->plane, channels));
    x = rule_apply2("gather", x, l->index, attr);
    return tw_reshape(x, TW_SHAPE(l->size, l->x.shape.dim[0], l->positions, l->taps, l->groups,
                                  channels / l->groups));
}

/* The result for each example, all in one reshape. */
static tw_value whole(const layout *l, tw_value flat, tw_type type) {
    return tw_reshape(flat, batch_list(l->size, &type.shape).list);
}

static void conv_by_windows(tw_graph *graph, tw_batch *rule) {
    layout l = {.x = rule->operand_type[0], .w = rule->operand_type[1]};
    l.y = conv_type(graph->module->context, l.x, l.w, rule->attr);
    if (!lay_out(graph, rule, &l)) return;
    tw_value y = tw_dot(windows(&l, rule->operand[0]), split_window(&l, rule->operand[1]), 2,
                        (int[]){0, 4}, (int[]){0, 3}, 2, (int[]){3, 5}, (int[]){1, 2});
    rule->result[0] = whole(&l, batch_move(y, 1, 3), l.y); /* groups before the channels */
}

static void weight_grad_by_windows(tw_graph *graph, tw_batch *rule) {
    layout l = {.x = rule->operand_type[0], .y = rule->operand_type[1]};
    int last = l.x.shape.rank - 1;
    l.w = l.x;
    for (int i = 0; i < last - 1; i++) l.w.shape.dim[i] = rule->attr[CONV_MORE].list.dim[i];
    l.w.shape.dim[last - 1] = l.x.shape.dim[last] / rule->attr[CONV_GROUPS].i;
    l.w.shape.dim[last] = l.y.shape.dim[last];
    if (!lay_out(graph, rule, &l)) return;
    tw_value w = tw_dot(windows(&l, rule->operand[0]), split_space(&l, rule->operand[1]), 2,
                        (int[]){0, 4}, (int[]){0, 3}, 2, (int[]){1, 2}, (int[]){1, 2});
    rule->result[0] = whole(&l, batch_move(w, 1, 3), l.w);
}

/* The windows' gradients are added where their elements were taken. */
static void input_grad_by_windows(tw_graph *graph, tw_batch *rule) {
    layout l = {.y = rule->operand_type[0], .w = rule->operand_type[1]};
    int last = l.y.shape.rank - 1;
    l.x = l.y;
    for (int i = 0; i < last - 1; i++) l.x.shape.dim[i + 1] = rule->attr[CONV_MORE].list.dim[i];
    l.x.shape.dim[last] = l.w.shape.dim[last - 1] * rule->attr[CONV_GROUPS].i;
    if (!lay_out(graph, rule, &l)) return;
    int64_t batch = l.y.shape.dim[0], channels = l.x.shape.dim[last];
    tw_value d = tw_dot(split_space(&l, rule->operand[0]), split_window(&l, rule->operand[1]), 2,
                        (int[]){0, 3}, (int[]){0, 3}, 1, (int[]){4}, (int[]){4});
    d = tw_reshape(batch_move(d, 1, 4), /* (examples, batch, positions, window, groups, in) */
                   TW_SHAPE(l.size, batch, l.positions, l.taps, channels));
    tw_value x = tw_zeros(graph, l.y.dtype, TW_SHAPE(l.size, batch, l.plane, channels));
    const tw_value in[] = {x, l.index, d};
    const tw_attr attr[] = {tw_attr_int(2), rule_ints(0, NULL), tw_attr_int(0)}; /* how: add */
    rule->result[0] = whole(&l, tw_apply(graph, "scatter", 3, in, attr, NULL), l.x);
}

/* from[i]: operand i's axis if it alone is batched; to[i]: the result's. */
static void by_form(tw_graph *graph, tw_batch *rule, const place *from, const place *to,
                    void (*by_windows)(tw_graph *graph, tw_batch *rule)) {
    if (rule->size == 0) /* as a channel, none of a group's would be left to divide */
        batch_of_none(graph, rule);
    else if (rule->batched[0] && rule->batched[1])
        (rule->size < 0 ? by_windows : by_groups)(graph, rule);
    else
        by_places(graph, rule, from, to[rule->batched[1]], rule->attr[CONV_GROUPS].i);
}

void conv_batch(tw_graph *graph, tw_batch *rule) {
    int last = rule->operand_type[0].shape.rank - 1;
    int64_t groups = rule->attr[CONV_GROUPS].i;
    const place at[] = {{0, 1}, {last, groups}};
    by_form(graph, rule, at, at, conv_by_windows);
}

void conv_input_grad_batch(tw_graph *graph, tw_batch *rule) {
    int last = rule->operand_type[0].shape.rank - 1;
    int64_t groups = rule->attr[CONV_GROUPS].i;
    const place from[] = {{0, 1}, {last - 1, 1}}, to[] = {{0, 1}, {last, groups}};
    by_form(graph, rule, from, to, input_grad_by_windows);
}

void conv_weight_grad_batch(tw_graph *graph, tw_batch *rule) {
    int last = rule->operand_type[0].shape.rank - 1;
    int64_t groups = rule->attr[CONV_GROUPS].i;
    const place from[] = {{last, groups}, {last, groups}}, to[] = {{last - 1, 1}, {last, groups}};
    by_form(graph, rule, from, to, weight_grad_by_windows);
}
