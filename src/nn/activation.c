/* Activations that learn. */
#include "nn/layer.h"
#include "ops/rules.h"

/* He et al. 2015, "Delving Deep into Rectifiers", eq. 1; slopes start at 0.25 as there. */
tw_value tw_prelu(tw_value x, const char *name) {
    if (!layer_begin("tw_prelu", x, name)) return rule_poison(x.graph);
    tw_graph *graph = x.graph;
    tw_type type = tw_type_of(x);
    tw_value y = rule_poison(graph);
    if (type.shape.rank < 1) {
        tw_fail(graph, "tw_prelu \"%s\": x is a scalar, expected (..., channels)", name);
    } else if (!type_in(type.dtype, TYPES_FLOAT)) {
        tw_fail(graph, "tw_prelu \"%s\": x is %s, expected floats; tw_cast converts", name,
                tw_dtype_name(type.dtype));
    } else {
        tw_shape row = TW_SHAPE(type.shape.dim[type.shape.rank - 1]);
        tw_value slope = tw_parameter(graph, "slope", type.dtype, row, tw_constant_init(0.25));
        tw_value positive = tw_compare(TW_GT, x, tw_literal(x, 0));
        y = tw_select(positive, x, tw_mul(x, slope));
    }
    tw_scope_end(graph);
    return y;
}
