/* Multi-head attention as a layer: four projections around tw_attention. */
#include <float.h>
#include <math.h>

#include "nn/layer.h"

#include "ir/graph.h"
#include "ops/rules.h"

/* What the options come to. */
typedef struct heads {
    const char *name;
    int64_t heads, kv_heads, width;
    tw_value x, source;
    tw_multi_head_opts opts;
} heads;

/* Refuses, or fills in. */
static bool heads_of(tw_value x, const char *name, int64_t count, const tw_multi_head_opts *opts,
                     heads *h) {
    static const tw_multi_head_opts none;
    *h = (heads){.name = name, .heads = count, .x = x, .opts = opts ? *opts : none};
    h->source = h->opts.source.graph ? h->opts.source : x;
    h->kv_heads = h->opts.kv_heads ? h->opts.kv_heads : count;
    if (!tw_ok(h->source)) return false;
    tw_shape shape = tw_shape_of(x), from = tw_shape_of(h->source);
    if (shape.rank != 3 || from.rank != 3 || shape.dim[2] < 1 || from.dim[2] < 1) {
        tw_fail(x.graph,
                "tw_multi_head_attention \"%s\": x has rank %d and its source %d, expected "
                "(batch, time, in) with a known number of features",
                name, (int)shape.rank, (int)from.rank);
        return false;
    }
    if (count < 1 || h->kv_heads < 1 || count % h->kv_heads) {
        tw_fail(x.graph,
                "tw_multi_head_attention \"%s\": %lld heads with %lld of keys and values, "
                "expected a multiple",
                name, (long long)count, (long long)h->kv_heads);
        return false;
    }
    if (!h->opts.width && shape.dim[2] % count) {
        tw_fail(x.graph,
                "tw_multi_head_attention \"%s\": %lld features do not divide into %lld "
                "heads; give the width of one",
                name, (long long)shape.dim[2], (long long)count);
        return false;
    }
    h->width = h->opts.width ? h->opts.width : shape.dim[2] / count;
    if (h->width < 1 || tw_dim_mul(x.graph->module->context, count, h->width) == TW_DIM_NONE) {
        tw_fail(x.graph,
                "tw_multi_head_attention \"%s\": %lld heads of width %lld, expected at least "
                "1 and a product of 63 bits",
                name, (long long)count, (long long)h->width);
        return false;
    }
    if (h->opts.rotary && h->opts.source.graph) {
        tw_fail(x.graph,
                "tw_multi_head_attention \"%s\": rotary positions with a source, whose "
                "keys have none; leave one out",
                name);
        return false;
    }
    if (!(h->opts.dropout >= 0 && h->opts.dropout < 1)) {
        tw_fail(x.graph, "tw_multi_head_attention \"%s\": dropout is %g, expected 0 <= rate < 1",
                name, h->opts.dropout);
        return false;
    }
    return true;
}

static tw_value projected(const heads *h, tw_value x, const char *name, int64_t units) {
    tw_dense_opts opts = {.no_bias = h->opts.no_bias,
                          .weight = layer_init(&h->opts.weight, tw_xavier_uniform())};
    return tw_dense(x, name, units, &opts);
}

/* (batch, time, in) -> (batch, time, count, width) */
static tw_value split_heads(const heads *h, tw_value x, const char *name, int64_t count) {
    tw_shape shape = tw_shape_of(x);
    tw_value y = projected(h, x, name, count * h->width);
    return tw_reshape(y, TW_SHAPE(shape.dim[0], shape.dim[1], count, h->width));
}

/* Each kv head once for every head that reads it. */
static tw_value repeated(const heads *h, tw_value x) {
    tw_shape s = tw_shape_of(h->source);
    tw_shape thin = TW_SHAPE(s.dim[0], s.dim[1], h->kv_heads, 1, h->width), wide = thin;
    wide.dim[3] = h->heads / h->kv_heads;
    x = tw_broadcast(tw_reshape(x, thin), wide);
    return tw_reshape(x, TW_SHAPE(s.dim[0], s.dim[1], h->heads, h->width));
}

/* mask and causal together, of `scores`; absent where neither is. */
static tw_value allowed_keys(const heads *h, tw_value scores) {
    tw_shape full = tw_shape_of(scores);
    tw_value allowed = h->opts.mask;
    if (allowed.graph) allowed = tw_broadcast(allowed, full);
    if (!h->opts.causal) return allowed;
    tw_value row = tw_iota(scores.graph, TW_I32, full, 2);
    tw_value past = tw_compare(TW_GE, row, tw_iota(scores.graph, TW_I32, full, 3));
    return allowed.graph ? tw_and(allowed, past) : past;
}

/* The least finite number: of -infinity alone the softmax would be NaN. */
static double lowest_of(tw_dtype dtype) {
    switch (dtype) {
    case TW_F16: return -65504;
    case TW_BF16: return -0x1.fep127;
    case TW_F32: return -FLT_MAX;
    default: return -DBL_MAX;
    }
}

/* tw_attention with its probabilities at hand, for dropout. */
static tw_value dropped_attention(const heads *h, tw_value q, tw_value k, tw_value v) {
    const int outer[] = {0, 2}, inner[] = {0, 1}, width[] = {3}, last[] = {3}, source[] = {1};
    const int axes[] = {0, 2, 1, 3};
    double scale = h->opts.scale != 0 ? h->opts.scale : 1 / sqrt((double)h->width);
    k = repeated(h, k);
    v = repeated(h, v);
    tw_value scores = tw_dot(tw_scale(q, scale), k, 2, outer, outer, 1, width, width);
    tw_value allowed = allowed_keys(h, scores), p = scores;
    if (allowed.graph) p = tw_select(allowed, p, tw_literal(p, lowest_of(tw_dtype_of(p))));
    p = tw_softmax(p);
    if (allowed.graph) p = tw_select(allowed, p, tw_literal(p, 0));
    p = tw_dropout(p, h->opts.dropout, NULL); /* (batch, heads, time, source) */
    return tw_permute(tw_dot(p, v, 2, inner, outer, 1, last, source), axes);
}

static tw_value attended(const heads *h) {
    tw_value q = split_heads(h, h->x, "query", h->heads);
    tw_value k = split_heads(h, h->source, "key", h->kv_heads);
    tw_value v = split_heads(h, h->source, "value", h->kv_heads);
    if (h->opts.rotary) {
        q = tw_rotary(q, h->opts.positions, &h->opts.rotation);
        k = tw_rotary(k, h->opts.positions, &h->opts.rotation);
    }
    if (h->opts.dropout > 0) {
        if (tw_training(h->x.graph)) return dropped_attention(h, q, k, v);
        graph_skip_layer(h->x.graph, "tw_multi_head_attention");
    }
    tw_attention_opts opts = {
        .causal = h->opts.causal, .scale = h->opts.scale, .mask = h->opts.mask};
    return tw_attention(q, k, v, &opts);
}

tw_value tw_multi_head_attention(tw_value x, const char *name, int64_t count,
                                 const tw_multi_head_opts *opts) {
    if (!layer_begin("tw_multi_head_attention", x, name)) return rule_poison(x.graph);
    tw_graph *graph = x.graph;
    tw_value y = rule_poison(graph);
    heads h;
    if (heads_of(x, name, count, opts, &h)) {
        tw_shape shape = tw_shape_of(x);
        tw_shape flat = TW_SHAPE(shape.dim[0], shape.dim[1], h.heads * h.width);
        y = projected(&h, tw_reshape(attended(&h), flat), "out", shape.dim[2]);
    }
    tw_scope_end(graph);
    return y;
}
