/* Layers: dense, embedding, dropout; and what the layers of other files share. */
#include "nn/layer.h"

#include "ir/graph.h"
#include "ops/rules.h"

tw_init layer_init(const tw_init *given, tw_init fallback) {
    return given && given->kind ? *given : fallback;
}

bool layer_begin(const char *layer, tw_value x, const char *name) {
    if (!rule_usable(layer, 1, &x)) return false;
    if (!name || !*name) {
        graph_error(x.graph, TW_ERR_ARGUMENT, "%s needs a name for its variables", layer);
        return false;
    }
    tw_scope_begin(x.graph, "%s", name);
    return true;
}

tw_value tw_dense(tw_value x, const char *name, int64_t units, const tw_dense_opts *opts) {
    if (!layer_begin("tw_dense", x, name)) return rule_poison(x.graph);
    tw_graph *graph = x.graph;
    tw_type type = tw_type_of(x);
    int last = type.shape.rank - 1, first = 0;
    tw_value y = rule_poison(graph);
    if (last < 0) {
        tw_fail(graph, "tw_dense \"%s\": x is a scalar, expected (..., in)", name);
    } else {
        tw_shape shape = TW_SHAPE(type.shape.dim[last], units);
        tw_init init = layer_init(opts ? &opts->weight : NULL, tw_he_normal());
        tw_value w = tw_parameter(graph, "weight", type.dtype, shape, init);
        y = tw_dot(x, w, 0, NULL, NULL, 1, &last, &first);
        if (!opts || !opts->no_bias)
            y = tw_add(y,
                       tw_parameter(graph, "bias", type.dtype, TW_SHAPE(units), tw_zeros_init()));
        if (opts && opts->relu) y = tw_relu(y);
    }
    tw_scope_end(graph);
    return y;
}

tw_value tw_embedding(tw_value indices, const char *name, int64_t vocabulary, int64_t width,
                      const tw_embedding_opts *opts) {
    if (!layer_begin("tw_embedding", indices, name)) return rule_poison(indices.graph);
    tw_init init = layer_init(opts ? &opts->weight : NULL, tw_normal(1));
    tw_shape shape = TW_SHAPE(vocabulary, width);
    tw_value y = tw_take(tw_parameter(indices.graph, "weight", TW_F32, shape, init), indices);
    tw_scope_end(indices.graph);
    return y;
}

tw_value tw_dropout(tw_value x, double rate, const void *opts) {
    (void)opts;
    if (!rule_usable("tw_dropout", 1, &x)) return rule_poison(x.graph);
    if (!(rate >= 0 && rate < 1)) {
        return rule_fail(x.graph, TW_ERR_ARGUMENT, "tw_dropout: rate %g, expected 0 <= rate < 1",
                         rate);
    }
    if (rate == 0) return x;
    if (!tw_training(x.graph)) {
        graph_skip_layer(x.graph, "tw_dropout");
        return x;
    }
    tw_type type = tw_type_of(x);
    tw_value draw = tw_random_uniform(x.graph, type.dtype, type.shape);
    tw_value kept = tw_compare(TW_GE, draw, tw_literal(draw, rate));
    return tw_select(kept, tw_scale(x, 1 / (1 - rate)), tw_literal(x, 0));
}
