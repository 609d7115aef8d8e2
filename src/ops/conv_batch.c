/*
 * Batch rules of conv and its gradients. An axis that two of x, w and y have takes the examples of
 * an operand into the result: the batch (x, y), a group's input channels (x, w) or its output
 * channels (w, y). Where both operands are batched, each example has groups of its own.
 */
#include <string.h>

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
    if (rule->size < 0 || __builtin_mul_overflow(rule->attr[CONV_GROUPS].i, rule->size, &groups)) {
        rule->result[0] =
            rule_fail(graph, TW_ERR_UNSUPPORTED,
                      "%s: with both operands batched the number of examples must be a number that "
                      "groups can have; bind the symbol",
                      rule->op->name);
        return;
    }
    place last = {rule->operand_type[0].shape.rank - 1, 1}, both[] = {last, last};
    by_places(graph, rule, both, last, groups);
}

/* from[i]: operand i's axis if it alone is batched; to[i]: the result's. */
static void by_form(tw_graph *graph, tw_batch *rule, const place *from, const place *to) {
    if (rule->size == 0) /* as a channel, none of a group's would be left to divide */
        batch_of_none(graph, rule);
    else if (rule->batched[0] && rule->batched[1])
        by_groups(graph, rule);
    else
        by_places(graph, rule, from, to[rule->batched[1]], rule->attr[CONV_GROUPS].i);
}

void conv_batch(tw_graph *graph, tw_batch *rule) {
    int last = rule->operand_type[0].shape.rank - 1;
    int64_t groups = rule->attr[CONV_GROUPS].i;
    const place at[] = {{0, 1}, {last, groups}};
    by_form(graph, rule, at, at);
}

void conv_input_grad_batch(tw_graph *graph, tw_batch *rule) {
    int last = rule->operand_type[0].shape.rank - 1;
    int64_t groups = rule->attr[CONV_GROUPS].i;
    const place from[] = {{0, 1}, {last - 1, 1}}, to[] = {{0, 1}, {last, groups}};
    by_form(graph, rule, from, to);
}

void conv_weight_grad_batch(tw_graph *graph, tw_batch *rule) {
    int last = rule->operand_type[0].shape.rank - 1;
    int64_t groups = rule->attr[CONV_GROUPS].i;
    const place from[] = {{last, groups}, {last, groups}}, to[] = {{last - 1, 1}, {last, groups}};
    by_form(graph, rule, from, to);
}
