/* Rotary positions: pairs of elements turned by angles that grow with the position. */
#include <math.h>
#include <thalweg/operators.h>

#include "base/context.h"
#include "ir/graph.h"
#include "ops/rules.h"

/* base^(-2 i / width) for i below width / 2, as a constant (width / 2). */
static tw_value frequencies(tw_value x, int64_t width, double base) {
    tw_graph *graph = x.graph;
    tw_context *context = graph->module->context;
    int64_t half = width / 2;
    void *number = context_allocate(context, (size_t)half + 1, sizeof(double));
    if (!number) return rule_fail(graph, TW_ERR_MEMORY, "tw_rotary: out of memory");
    tw_dtype dtype = tw_dtype_of(x);
    for (int64_t i = 0; i < half; i++) {
        double f = pow(base, -2.0 * (double)i / (double)width);
        if (dtype == TW_F32)
            ((float *)number)[i] = (float)f;
        else
            ((double *)number)[i] = f;
    }
    tw_value made = tw_constant_of(graph, dtype, TW_SHAPE(half), number);
    context_release(context, number);
    return made;
}

/* (time) or (batch, time), or absent -> (1 or batch, time, 1, 1) of x's type; poisoned if neither. */
static tw_value position_column(tw_value x, tw_value positions) {
    tw_type type = tw_type_of(x);
    int64_t batch = type.shape.dim[0], time = type.shape.dim[1];
    if (!positions.graph) return tw_iota(x.graph, type.dtype, TW_SHAPE(1, time, 1, 1), 1);
    tw_type given = tw_type_of(positions);
    int rank = given.shape.rank;
    bool integer = given.dtype == TW_I32 || given.dtype == TW_I64;
    bool fits = (rank == 1 && given.shape.dim[0] == time) ||
                (rank == 2 && given.shape.dim[0] == batch && given.shape.dim[1] == time);
    if (!integer || !fits)
        return rule_fail(x.graph, integer ? TW_ERR_SHAPE : TW_ERR_TYPE,
                         "tw_rotary: positions are %s of rank %d%s, expected i32 or i64 of shape "
                         "(time) or (batch, time) as x has them",
                         tw_dtype_name(given.dtype), rank, fits ? "" : " with other extents");
    tw_value number = tw_cast(positions, type.dtype);
    return tw_reshape(number, TW_SHAPE(rank == 1 ? 1 : batch, time, 1, 1));
}

/* The pairs as two halves (batch, time, heads, width / 2), and from these the whole again. */
static void pairs_of(tw_value x, bool interleaved, tw_value *pair) {
    tw_shape shape = tw_shape_of(x);
    int64_t half = shape.dim[3] / 2;
    if (!interleaved) {
        tw_split(x, 3, 2, pair);
        return;
    }
    shape.dim[3] = half;
    tw_shape split = TW_SHAPE(shape.dim[0], shape.dim[1], shape.dim[2], half, 2);
    tw_value apart[2];
    tw_split(tw_reshape(x, split), 4, 2, apart);
    for (int i = 0; i < 2; i++) pair[i] = tw_reshape(apart[i], shape);
}

static tw_value whole_of(const tw_value *pair, bool interleaved, tw_shape shape) {
    if (!interleaved) return tw_concat(3, 2, pair);
    tw_shape thin = TW_SHAPE(shape.dim[0], shape.dim[1], shape.dim[2], shape.dim[3] / 2, 1);
    const tw_value apart[] = {tw_reshape(pair[0], thin), tw_reshape(pair[1], thin)};
    return tw_reshape(tw_concat(4, 2, apart), shape);
}

tw_value tw_rotary(tw_value x, tw_value positions, const tw_rotary_opts *opts) {
    const tw_value in[] = {x, positions};
    int n = positions.graph ? 2 : 1;
    tw_graph *graph = rule_graph(n, in);
    if (!rule_usable("tw_rotary", n, in)) return rule_poison(graph);
    tw_type type = tw_type_of(x);
    double base = opts && opts->base != 0 ? opts->base : 10000;
    int64_t width = type.shape.rank == 4 ? type.shape.dim[3] : -1;
    if (width < 0 || width % 2)
        return rule_fail(graph, TW_ERR_SHAPE,
                         "tw_rotary: x has rank %d, expected (batch, time, heads, width) with a "
                         "known even width",
                         (int)type.shape.rank);
    if (!type_in(type.dtype, TYPES_FLOAT))
        return rule_fail(graph, TW_ERR_TYPE, "tw_rotary: x is %s, expected f32 or f64",
                         tw_dtype_name(type.dtype));
    if (!(base > 0 && isfinite(base)))
        return rule_fail(graph, TW_ERR_ARGUMENT, "tw_rotary: base is %g, expected above 0", base);
    bool interleaved = opts && opts->interleaved;
    tw_value angle = tw_mul(position_column(x, positions), frequencies(x, width, base));
    tw_value c = tw_cos(angle), s = tw_sin(angle), pair[2], turned[2];
    pairs_of(x, interleaved, pair);
    turned[0] = tw_sub(tw_mul(pair[0], c), tw_mul(pair[1], s));
    turned[1] = tw_add(tw_mul(pair[1], c), tw_mul(pair[0], s));
    return whole_of(turned, interleaved, type.shape);
}
