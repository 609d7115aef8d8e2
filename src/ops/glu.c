/* Gated linear units: one half of the last axis times an activation of the other. */
#include <thalweg/operators.h>

#include "ops/rules.h"

static tw_value gated(const char *function, tw_value x, tw_value (*activation)(tw_value)) {
    if (!rule_usable(function, 1, &x)) return rule_poison(x.graph);
    tw_shape shape = tw_shape_of(x);
    if (shape.rank < 1 || (shape.dim[shape.rank - 1] >= 0 && shape.dim[shape.rank - 1] % 2))
        return rule_fail(x.graph, TW_ERR_SHAPE,
                         "%s: the last of %d axes has extent %lld, expected an even one", function,
                         (int)shape.rank, shape.rank ? (long long)shape.dim[shape.rank - 1] : 0LL);
    tw_value half[2];
    tw_split(x, -1, 2, half);
    return tw_mul(half[0], activation(half[1]));
}

tw_value tw_glu(tw_value x) { return gated("tw_glu", x, tw_sigmoid); }
tw_value tw_geglu(tw_value x) { return gated("tw_geglu", x, tw_gelu); }
tw_value tw_swiglu(tw_value x) { return gated("tw_swiglu", x, tw_silu); }
tw_value tw_reglu(tw_value x) { return gated("tw_reglu", x, tw_relu); }
