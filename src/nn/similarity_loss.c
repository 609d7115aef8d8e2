/* Losses of rows against rows: cosine embedding, contrastive, triplets, InfoNCE. */
#include "ir/dimension.h"
#include "ir/graph.h"
#include "nn/loss.h"

static tw_similarity_opts options(const tw_similarity_opts *opts, double margin) {
    tw_similarity_opts o = opts ? *opts : (tw_similarity_opts){.margin = 0};
    if (o.margin == 0) o.margin = margin;
    return o;
}

static bool rows_alike(const char *function, int n, const tw_value *in, const char *names) {
    if (!loss_alike(function, n, in, names)) return false;
    if (tw_shape_of(in[0]).rank > 0) return true;
    rule_fail(in[0].graph, TW_ERR_SHAPE, "%s: rows are scalars, expected (..., width)", function);
    return false;
}

/* Rows a and b, and `same` with a number for each pair. */
static bool pairs_alike(const char *function, tw_value a, tw_value b, tw_value same) {
    const tw_value in[] = {a, b, same};
    if (!rule_usable(function, 3, in) || !rows_alike(function, 2, in, "a and b")) return false;
    tw_type type = tw_type_of(same);
    if (type.dtype == tw_dtype_of(a) && shape_equal(type.shape, loss_rows(tw_shape_of(a))))
        return true;
    rule_fail(a.graph, type.dtype == tw_dtype_of(a) ? TW_ERR_SHAPE : TW_ERR_TYPE,
              "%s: same is %s of rank %d, expected %s and a number for each pair of rows", function,
              tw_dtype_name(type.dtype), (int)type.shape.rank, tw_dtype_name(tw_dtype_of(a)));
    return false;
}

static tw_value product(tw_value a, tw_value b) { return tw_sum_axis(tw_mul(a, b), -1, false); }

tw_value tw_cosine_embedding(tw_value a, tw_value b, tw_value same,
                             const tw_similarity_opts *opts) {
    const tw_value in[] = {a, b, same};
    if (!pairs_alike("tw_cosine_embedding", a, b, same)) return rule_poison(rule_graph(3, in));
    tw_similarity_opts o = options(opts, 0);
    a = loss_fine(a);
    b = loss_fine(b);
    const double epsilon = 1e-12; /* a row of zeros has cosine 0 */
    tw_value squares = tw_mul(tw_shift(product(a, a), epsilon), tw_shift(product(b, b), epsilon));
    tw_value cosine = tw_mul(product(a, b), tw_rsqrt(squares));
    tw_value pull = tw_sub(tw_literal(cosine, 1), cosine);
    tw_value push = tw_relu(tw_shift(cosine, -o.margin));
    tw_value together = tw_compare(TW_GT, same, tw_literal(same, 0));
    return loss_mean("tw_cosine_embedding", tw_select(together, pull, push), o.weights);
}

tw_value tw_contrastive(tw_value a, tw_value b, tw_value same, const tw_similarity_opts *opts) {
    const tw_value in[] = {a, b, same};
    if (!pairs_alike("tw_contrastive", a, b, same)) return rule_poison(rule_graph(3, in));
    tw_similarity_opts o = options(opts, 1);
    same = loss_fine(same);
    tw_value difference = tw_sub(loss_fine(a), loss_fine(b));
    tw_value square = product(difference, difference);
    /* The root's slope at 0 would be infinite. */
    tw_value distance = tw_sqrt(tw_shift(square, 1e-12));
    tw_value push = tw_square(tw_relu(tw_shift(tw_neg(distance), o.margin)));
    tw_value apart = tw_sub(tw_literal(same, 1), same);
    tw_value losses = tw_add(tw_mul(same, square), tw_mul(apart, push));
    return loss_mean("tw_contrastive", tw_scale(losses, 0.5), o.weights);
}

static tw_value distance(tw_value a, tw_value b) {
    tw_value difference = tw_shift(tw_sub(loss_fine(a), loss_fine(b)), 1e-6);
    return tw_sqrt(product(difference, difference));
}

tw_value tw_triplet_margin(tw_value anchor, tw_value positive, tw_value negative,
                           const tw_similarity_opts *opts) {
    const tw_value in[] = {anchor, positive, negative};
    if (!rows_alike("tw_triplet_margin", 3, in, "anchor, positive and negative"))
        return rule_poison(rule_graph(3, in));
    tw_similarity_opts o = options(opts, 1);
    tw_value near = distance(anchor, positive), far = distance(anchor, negative);
    if (o.swap) far = tw_min(far, distance(positive, negative));
    tw_value losses = tw_relu(tw_shift(tw_sub(near, far), o.margin));
    return loss_mean("tw_triplet_margin", losses, o.weights);
}

/* Row i of a shall find row i of b. A product of its own for each direction, instead of the
 * transposed one, is computed by rows of a: microbatches can cut it. */
static tw_value find_own(tw_value a, tw_value b, double temperature) {
    tw_value logits = tw_scale(tw_matmul(a, tw_transpose(b)), 1 / temperature);
    tw_value labels = tw_iota(a.graph, TW_I32, TW_SHAPE(tw_shape_of(a).dim[0]), 0);
    const tw_value pair[] = {logits, labels};
    return tw_apply(a.graph, "cross_entropy", 2, pair, NULL, NULL);
}

tw_value tw_info_nce(tw_value queries, tw_value keys, const tw_info_nce_opts *opts) {
    const tw_value in[] = {queries, keys};
    if (!loss_alike("tw_info_nce", 2, in, "queries and keys"))
        return rule_poison(rule_graph(2, in));
    tw_shape shape = tw_shape_of(queries);
    double temperature = opts && opts->temperature != 0 ? opts->temperature : 1;
    if (shape.rank != 2 || temperature < 0) {
        return rule_fail(queries.graph, shape.rank != 2 ? TW_ERR_SHAPE : TW_ERR_ARGUMENT,
                         "tw_info_nce: rank %d and temperature %g, expected (rows, width) and more "
                         "than 0",
                         (int)shape.rank, temperature);
    }
    queries = loss_fine(queries);
    keys = loss_fine(keys);
    tw_value losses = find_own(queries, keys, temperature);
    if (opts && opts->symmetric)
        losses = tw_scale(tw_add(losses, find_own(keys, queries, temperature)), 0.5);
    return loss_mean("tw_info_nce", losses, opts ? opts->weights : (tw_value){0});
}
