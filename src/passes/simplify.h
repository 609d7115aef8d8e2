/* Rules of algebra: each is a function that gives what a node's result is too. */
#ifndef PASSES_SIMPLIFY_H
#define PASSES_SIMPLIFY_H

#include <thalweg/operators.h>

#include "passes/rewrite.h"

/* A node, its operands in `to`, and its result's type. */
typedef struct site {
    rewrite *r;
    const node *it;
    const uint32_t *in;
    const uint32_t *uses; /* by it->operand; NULL: `it` was made by a rule */
    tw_type type;
} site;

/* For an operator by name, NULL for every elementwise one. `apply` gives a value of `to` that has every
 * bit of the node's result, or ABSENT; makers move when a node is appended. */
typedef struct rule {
    const char *op;
    uint32_t (*apply)(const site *s);
} rule;

/* Lists that end with an entry without a function. */
extern const rule movement_rules[];

static inline tw_shape site_shape(const site *s, int k) {
    return rewrite_type(s->r, s->in[k]).shape;
}
static inline tw_value site_operand(const site *s, int k) {
    return graph_handle(s->r->to, s->in[k]);
}
/* The node that makes operand k, when its operator has this name; else NULL. */
static inline const node *site_maker(const site *s, int k, const char *op) {
    return s->in[k] == ABSENT ? NULL : rewrite_made_by(s->r, s->in[k], op);
}
/* What a function of operators.h made; ABSENT after an error. */
static inline uint32_t site_made(const site *s, tw_value made) {
    return tw_ok(made) ? graph_resolve(s->r->to, made) : ABSENT;
}
static inline uint32_t site_apply(const site *s, const char *op, int n, const uint32_t *in,
                                  const tw_attr *attr) {
    tw_value handle[TW_MAX_OPERANDS];
    for (int i = 0; i < n; i++) {
        if (in[i] == ABSENT) return ABSENT;
        handle[i] = graph_handle(s->r->to, in[i]);
    }
    return site_made(s, tw_apply(s->r->to, op, n, handle, attr, NULL));
}
/* The same value, or the same number everywhere. */
bool site_same(const site *s, uint32_t a, uint32_t b);

#endif
