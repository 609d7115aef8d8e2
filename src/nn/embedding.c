/* Rows of a table by index. */
#include "nn/layer.h"

#include "ir/graph.h"
#include "ops/rules.h"

/* The indices, negative where they are the padding: such rows are zeros without a gradient. */
static tw_value without_padding(tw_value indices, int64_t padding) {
    tw_value at = tw_compare(TW_EQ, indices, tw_literal(indices, (double)padding));
    return tw_select(at, tw_literal(indices, -1), indices);
}

tw_value tw_embedding(tw_value indices, const char *name, int64_t vocabulary, int64_t width,
                      const tw_embedding_opts *opts) {
    if (!layer_begin("tw_embedding", indices, name)) return rule_poison(indices.graph);
    tw_graph *graph = indices.graph;
    tw_init init = layer_init(opts ? &opts->weight : NULL, tw_normal(1));
    tw_dtype dtype = opts && opts->dtype ? opts->dtype : TW_F32, given = tw_dtype_of(indices);
    tw_value y = rule_poison(graph);
    if (!type_in(dtype, TYPES_FLOAT)) {
        tw_fail(graph, "tw_embedding \"%s\": dtype is %s, expected a float type", name,
                tw_dtype_name(dtype));
    } else if (!type_in(given, TYPES_INDEX)) {
        tw_fail(graph, "tw_embedding \"%s\": indices are %s, expected i32 or i64; tw_cast converts",
                name, tw_dtype_name(given));
    } else if (opts && opts->padded && (opts->padding < 0 || opts->padding >= vocabulary)) {
        tw_fail(graph, "tw_embedding \"%s\": padding is %lld, expected 0 to %lld", name,
                (long long)opts->padding, (long long)vocabulary - 1);
    } else {
        if (opts && opts->padded) indices = without_padding(indices, opts->padding);
        y = tw_take(tw_parameter(graph, "weight", dtype, TW_SHAPE(vocabulary, width), init),
                    indices);
    }
    tw_scope_end(graph);
    return y;
}
