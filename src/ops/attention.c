/*
 * Scaled dot-product attention (Vaswani et al. 2017, equation 1) and its gradient as a composite of
 * its own. Kept is each row's logarithm of the sum of exponentials (lse), from which the gradient
 * makes the probabilities anew (Dao et al. 2022, FlashAttention, section 3.1).
 */
#include <float.h>
#include <math.h>
#include <thalweg/operators.h>

#include "ir/dimension.h"
#include "ir/graph.h"
#include "ops/composite.h"
#include "ops/families.h"

enum { ATTENTION_CAUSAL, ATTENTION_SCALE, ATTENTION_ATTRS };

/* The extents, and what both bodies make of them. Heads are (kv heads, group), major to minor. */
typedef struct extents {
    tw_dtype dtype;
    int64_t batch, time, source, heads, kv_heads, group, width;
    double scale;
    bool causal;
} extents;

/* Refuses, or fills in. */
static bool extents_of(tw_graph *graph, const tw_signature *signature, extents *e) {
    tw_type q = signature->operand[0], k = signature->operand[1];
    if (!body_type(graph, signature, 0, TYPES_FLOAT)) return false;
    if (q.shape.rank != 4 || k.shape.rank != 4) {
        tw_fail(graph,
                "q has rank %d and k %d, expected (batch, time, heads, width) and "
                "(batch, source, kv heads, width)",
                (int)q.shape.rank, (int)k.shape.rank);
        return false;
    }
    const int64_t *dim = q.shape.dim;
    *e = (extents){.dtype = q.dtype,
                   .batch = dim[0],
                   .time = dim[1],
                   .heads = dim[2],
                   .width = dim[3],
                   .source = k.shape.dim[1],
                   .kv_heads = k.shape.dim[2],
                   .causal = signature->attr[ATTENTION_CAUSAL].i != 0,
                   .scale = signature->attr[ATTENTION_SCALE].f};
    tw_shape other = TW_SHAPE(e->batch, e->source, e->kv_heads, e->width);
    if (!body_expects(graph, signature, 1, q.dtype, other) ||
        !body_expects(graph, signature, 2, q.dtype, other))
        return false;
    bool none = e->heads == 0 && e->kv_heads == 0;
    e->group = none ? 1 : tw_dim_div(signature->context, e->heads, e->kv_heads);
    if (e->group == TW_DIM_NONE) {
        tw_fail(graph, "%lld heads of q for %lld of k and v, expected a multiple",
                (long long)e->heads, (long long)e->kv_heads);
        return false;
    }
    if (e->scale == 0) {
        if (e->width < 0) {
            tw_fail(graph, "width is symbolic, so scale must be given");
            return false;
        }
        e->scale = e->width ? 1 / sqrt((double)e->width) : 1;
    }
    return true;
}

/* Operand i, if there, broadcasts to (batch, heads, time, source). */
static bool mask_fits(tw_graph *graph, const tw_signature *signature, int i, const extents *e) {
    if (i >= signature->n_operands || !signature->operand[i].dtype) return true;
    tw_type mask = signature->operand[i];
    tw_shape full = TW_SHAPE(e->batch, e->heads, e->time, e->source), common;
    bool fits = rule_broadcast_shape(mask.shape, full, &common) && shape_equal(common, full);
    if (mask.dtype == TW_BOOL && fits) return true;
    tw_fail(graph,
            "mask is %s of rank %d%s, expected bool (true: may attend) that broadcasts to "
            "(batch, heads, time, source)",
            tw_dtype_name(mask.dtype), (int)mask.shape.rank,
            fits ? "" : ", which does not broadcast");
    return false;
}

/* Of lse and delta: the exponential of a difference to an lse of f16 or bf16 would be far off. */
static tw_dtype row_dtype(tw_dtype dtype) { return type_in(dtype, TYPES_HALF) ? TW_F32 : dtype; }

/* (batch, kv heads, group, time, source), or (..., width) in place of source. */
static tw_shape grouped(const extents *e, int64_t last) {
    return TW_SHAPE(e->batch, e->kv_heads, e->group, e->time, last);
}

/* (batch, time, heads, width) -> (batch, kv heads, group, time, width) */
static tw_value by_group(const extents *e, tw_value q) {
    const int axes[] = {0, 2, 3, 1, 4};
    tw_shape split = TW_SHAPE(e->batch, e->time, e->kv_heads, e->group, e->width);
    return tw_permute(tw_reshape(q, split), axes);
}

/* ... and back. */
static tw_value by_time(const extents *e, tw_value y) {
    const int axes[] = {0, 3, 1, 2, 4};
    return tw_reshape(tw_permute(y, axes), TW_SHAPE(e->batch, e->time, e->heads, e->width));
}

/* One number a row, (batch, heads, time) -> (batch, kv heads, group, time, last) of e's type */
static tw_value along_rows(const extents *e, tw_value row, int64_t last) {
    return tw_broadcast(tw_reshape(tw_cast(row, e->dtype), grouped(e, 1)), grouped(e, last));
}

/* Each (.., time, width) of a against (batch, source, kv heads, width) -> (.., time, source) */
static tw_value against_keys(tw_value a, tw_value keys) {
    const int batch_a[] = {0, 1}, batch_b[] = {0, 2}, last[] = {4}, width[] = {3};
    return tw_dot(a, keys, 2, batch_a, batch_b, 1, last, width);
}

/* Each (.., time, source) of a times the keys or values -> (.., time, width) */
static tw_value times_values(tw_value a, tw_value values) {
    const int batch_a[] = {0, 1}, batch_b[] = {0, 2}, last[] = {4}, source[] = {1};
    return tw_dot(a, values, 2, batch_a, batch_b, 1, last, source);
}

/* Sums over group and time: (.., time, source), (.., time, width) -> (batch, source, kv heads,
 * width) */
static tw_value over_queries(tw_value a, tw_value b) {
    const int batch[] = {0, 1}, summed[] = {2, 3}, axes[] = {0, 2, 1, 3};
    return tw_permute(tw_dot(a, b, 2, batch, batch, 2, summed, summed), axes);
}

/* Which key each query may attend to, of grouped(e, source); absent where all may. */
static tw_value allowed_keys(tw_graph *graph, const extents *e, tw_value mask) {
    tw_shape full = grouped(e, e->source);
    tw_value allowed = {0};
    if (mask.graph) {
        tw_shape heads = TW_SHAPE(e->batch, e->heads, e->time, e->source);
        allowed = tw_reshape(tw_broadcast(mask, heads), full);
    }
    if (e->causal) {
        tw_shape square = TW_SHAPE(e->time, e->source);
        tw_value row = tw_iota(graph, TW_I32, square, 0), key = tw_iota(graph, TW_I32, square, 1);
        tw_value past = tw_broadcast(tw_compare(TW_GE, row, key), full);
        allowed = allowed.graph ? tw_and(allowed, past) : past;
    }
    return allowed;
}

/* x where the key is allowed, else what has the exponential 0 and is below every score. */
static tw_value masked(const extents *e, tw_value allowed, tw_value x) {
    if (!allowed.graph) return x;
    return tw_select(allowed, x, tw_literal(x, e->dtype == TW_F32 ? -FLT_MAX : -DBL_MAX));
}

static tw_value mask_operand(const tw_signature *signature, const tw_value *in, int i) {
    return i < signature->n_operands ? in[i] : (tw_value){0};
}

/* attention */

/* The shift by the row's maximum is masked once more: a row without a key would have infinities. */
static void attention_body(tw_graph *graph, const tw_signature *signature, const tw_value *in,
                           tw_value *out) {
    extents e;
    if (!extents_of(graph, signature, &e) || !mask_fits(graph, signature, 3, &e)) return;
    tw_value allowed = allowed_keys(graph, &e, mask_operand(signature, in, 3));
    tw_value scores = against_keys(tw_scale(by_group(&e, in[0]), e.scale), in[1]);
    tw_value top = tw_stop_gradient(tw_max_axis(masked(&e, allowed, scores), -1, true));
    tw_value weight = tw_exp(masked(&e, allowed, tw_sub(scores, top)));
    tw_value total = tw_sum_axis(weight, -1, true); /* (batch, kv heads, group, time, 1) */
    tw_value none = tw_compare(TW_EQ, total, tw_literal(total, 0));
    tw_value divisor = tw_select(none, tw_literal(total, 1), total);
    out[0] = by_time(&e, tw_div(times_values(weight, in[2]), divisor));
    tw_value lse = tw_add(tw_log(total), top);
    out[1] = tw_cast(tw_reshape(lse, TW_SHAPE(e.batch, e.heads, e.time)), row_dtype(e.dtype));
}

/*
 * Dao 2023, FlashAttention-2, algorithm 2: delta = sum(out d_out) for each row. A gradient of lse,
 * which comes up in the second order, is taken off it, since d lse / d scores = probabilities.
 */
static void attention_vjp(tw_graph *graph, tw_vjp *rule) {
    tw_value out = rule->result[0], d_out = rule->d_result[0], d_lse = rule->d_result[1];
    const int axes[] = {0, 2, 1};
    if (!d_out.graph) d_out = tw_literal(out, 0);
    tw_dtype fine = row_dtype(tw_dtype_of(out));
    tw_value product = tw_mul(tw_cast(out, fine), tw_cast(d_out, fine));
    tw_value delta = tw_permute(tw_sum_axis(product, -1, false), axes);
    if (d_lse.graph) delta = tw_sub(delta, d_lse);
    tw_value in[] = {
        rule->operand[0], rule->operand[1], rule->operand[2], rule->result[1], delta, d_out, {0}};
    int n = rule->n_operands > 3 && rule->operand[3].graph ? 7 : 6;
    if (n == 7) in[6] = rule->operand[3];
    tw_value d[TW_MAX_RESULTS];
    tw_apply(graph, "attention_grad", n, in, rule->attr, d);
    for (int i = 0; i < 3; i++) rule->d_operand[i] = d[i];
}

static const tw_attr_spec attention_attributes[] = {
    {"causal", TW_ATTR_BOOL, "false", NULL, "query t attends to keys 0 to t only"},
    {"scale", TW_ATTR_FLOAT, "0", NULL, "factor of the scores; 0: 1 / sqrt(width)"},
    {NULL, 0, NULL, NULL, NULL},
};

static const tw_sample attention_samples[] = {
    {.operands = "f64[2,3,2,2] f64[2,3,2,2] f64[2,3,2,2]", .attributes = "causal=true"},
    {.operands = "f64[1,3,4,2] f64[1,4,2,2] f64[1,4,2,2] bool[1,4,3,4]"},
    {.operands = "f64[2,2,2,3] f64[2,4,1,3] f64[2,4,1,3] bool[2,1,1,4]",
     .attributes = "scale=0.3 causal=true"},
    {.operands = "f64[1,4,1,2] f64[1,2,1,2] f64[1,2,1,2] _", .attributes = "causal=true"},
    {.operands = "f64[1,2,1,1] f64[1,3,1,1] f64[1,3,1,1] bool[3]"},
    {.operands = "f64[1,1,1,1] f64[1,1,1,1] f64[1,1,1,1]"},
    {.operands = "f64[1,2,1,2] f64[1,0,1,2] f64[1,0,1,2]"},
    {.operands = "f64[0,2,2,2] f64[0,3,2,2] f64[0,3,2,2]"},
    {.operands = NULL},
};

static const tw_operator op_attention = {
    .name = "attention",
    .formula =
        "s[b, h, t, j] = scale sum_w q[b, t, h, w] k[b, j, h / group, w]; lse = log(sum_j "
        "exp(s)) over the keys allowed; out[b, t, h] = sum_j exp(s - lse) v[b, j, h / group]",
    .semantics = "a key is allowed where mask is true and, if causal, j <= t (counted from the "
                 "start also where time and source differ); a row with no allowed key gives zeros, "
                 "lse -inf and no gradient; lse of f16 and bf16 is f32; NaN in q gives NaN in its "
                 "rows, in a masked score "
                 "nothing, in v NaN to every row of its head, masked or not",
    .operands = "q k v mask?",
    .results = "out (lse)",
    .attributes = attention_attributes,
    .vjp = attention_vjp,
    .meaning = TW_MEANS_BODY,
    .body = attention_body,
    .samples = attention_samples,
};

/* attention_grad */

static void attention_grad_body(tw_graph *graph, const tw_signature *signature, const tw_value *in,
                                tw_value *out) {
    extents e;
    if (!extents_of(graph, signature, &e) || !mask_fits(graph, signature, 6, &e)) return;
    tw_shape rows = TW_SHAPE(e.batch, e.heads, e.time);
    if (!body_expects(graph, signature, 3, row_dtype(e.dtype), rows) ||
        !body_expects(graph, signature, 4, row_dtype(e.dtype), rows) ||
        !body_expects(graph, signature, 5, e.dtype, signature->operand[0].shape))
        return;
    tw_value allowed = allowed_keys(graph, &e, mask_operand(signature, in, 6));
    tw_value q = tw_scale(by_group(&e, in[0]), e.scale), d_out = by_group(&e, in[5]);
    tw_value scores = tw_sub(against_keys(q, in[1]), along_rows(&e, in[3], e.source));
    tw_value p = tw_exp(masked(&e, allowed, scores));
    tw_value d_p = against_keys(d_out, in[2]);
    tw_value d_scores = tw_mul(p, tw_sub(d_p, along_rows(&e, in[4], e.source)));
    out[0] = by_time(&e, tw_scale(times_values(d_scores, in[1]), e.scale));
    out[1] = over_queries(d_scores, q);
    out[2] = over_queries(p, d_out);
}

static const tw_sample attention_grad_samples[] = {
    {.operands = "f64[2,3,2,2] f64[2,3,2,2] f64[2,3,2,2] f64[2,2,3] f64[2,2,3] f64[2,3,2,2]",
     .attributes = "causal=true",
     .low = -1,
     .high = 1},
    {.operands = "f64[1,3,4,2] f64[1,4,2,2] f64[1,4,2,2] f64[1,4,3] f64[1,4,3] f64[1,3,4,2] "
                 "bool[4,3,4]",
     .attributes = "scale=0.5",
     .low = -1,
     .high = 1},
    {.operands = "f64[1,1,1,1] f64[1,1,1,1] f64[1,1,1,1] f64[1,1,1] f64[1,1,1] f64[1,1,1,1]",
     .low = -1,
     .high = 1},
    {.operands = "f64[0,2,2,2] f64[0,3,2,2] f64[0,3,2,2] f64[0,2,2] f64[0,2,2] f64[0,2,2,2]"},
    {.operands = NULL},
};

static const tw_operator op_attention_grad = {
    .name = "attention_grad",
    .formula = "p = exp(s - lse), 0 where masked; ds = p (d_out . v - delta); dv = sum p d_out, "
               "dk = scale sum ds q, dq = scale sum ds k",
    .semantics = "as attention; lse is attention's, delta[b, h, t] = sum_w out d_out less the "
                 "gradient of lse",
    .operands = "q k v lse delta d_out mask?",
    .results = "dq dk dv",
    .attributes = attention_attributes,
    .meaning = TW_MEANS_BODY,
    .body = attention_grad_body,
    .samples = attention_grad_samples,
};

const tw_operator *const ops_attention[] = {&op_attention, &op_attention_grad, NULL};

tw_value tw_attention(tw_value q, tw_value k, tw_value v, const tw_attention_opts *opts) {
    tw_value in[] = {q, k, v, opts ? opts->mask : (tw_value){0}};
    int n = in[3].graph ? 4 : 3;
    tw_graph *graph = rule_graph(n, in);
    if (!rule_usable("tw_attention", n, in)) return rule_poison(graph);
    double scale = opts ? opts->scale : 0;
    if (!isfinite(scale))
        return rule_fail(graph, TW_ERR_ARGUMENT, "tw_attention: scale is %g, expected a number",
                         scale);
    tw_attr attr[ATTENTION_ATTRS] = {tw_attr_int(opts && opts->causal), tw_attr_float(scale)};
    return tw_apply(graph, "attention", n, in, attr, NULL);
}
