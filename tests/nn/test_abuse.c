/*
 * Every public layer, loss and function with operands and arguments that it cannot serve: absent,
 * poisoned, of another graph, of a wrong element type, of rank 0, of size 0, numbers out of range.
 * Each gives an error with a message or a value that can be computed, and never crashes; what is
 * accepted runs, as both modes are tried.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include <thalweg/thalweg.h>

/* Good operands for the other places. */
static tw_value floats(tw_graph *g, int rank, int64_t a, int64_t b, int64_t c, int64_t d) {
    return tw_full(g, TW_F32, tw_shape_make(rank, (int64_t[]){a, b, c, d}), 0.5);
}
static tw_value ones(tw_graph *g, int rank, int64_t a, int64_t b) {
    return tw_full(g, TW_I32, tw_shape_make(rank, (int64_t[]){a, b}), 1);
}
#define ROW2 floats(g, 2, 2, 4, 0, 0)
#define SEQUENCE floats(g, 3, 2, 5, 4, 0)
#define IMAGE floats(g, 4, 2, 6, 6, 4)
#define HEADS floats(g, 4, 2, 5, 2, 4)
#define LABELS ones(g, 1, 2, 0)
#define TRUTH tw_compare(TW_EQ, LABELS, LABELS)
static const int64_t window[3] = {2, 2, 2}, extents[3] = {3, 3, 3};
static const int swap[TW_MAX_RANK] = {1, 0, 2, 3, 4, 5, 6, 7}, first[] = {0}, second[] = {1};

static tw_value part(tw_value x) {
    tw_value parts[2];
    tw_split(x, 0, 2, parts);
    return parts[1];
}
static tw_value gradient(tw_value y, tw_value x) {
    tw_value dx;
    tw_grad(y, 1, &x, &dx);
    return dx;
}
static tw_value cell(tw_value x, tw_value h, tw_value c) {
    tw_value out;
    tw_lstm_cell(x, h, c, "l", 3, &out, NULL, NULL);
    return out;
}
static tw_value pair(tw_value (*of)(int, int, const tw_value *), tw_value a, tw_value b) {
    return of(0, 2, (const tw_value[]){a, b});
}
static tw_value einsum(tw_value a, tw_value b) {
    return tw_einsum("ij,jk->ik", 2, (const tw_value[]){a, b});
}

enum {
    WHOLE = 1, /* takes integers */
    TRUTHS = 2 /* takes bool */
};
/* name, what it takes beside floats, the call with the bad operand x */
#define CALLS(ROW)                                                                                 \
    ROW(neg, WHOLE, tw_neg(x))                                                                     \
    ROW(abs, WHOLE, tw_abs(x))                                                                     \
    ROW(sign, WHOLE, tw_sign(x))                                                                   \
    ROW(exp, 0, tw_exp(x))                                                                         \
    ROW(expm1, 0, tw_expm1(x))                                                                     \
    ROW(log, 0, tw_log(x))                                                                         \
    ROW(log1p, 0, tw_log1p(x))                                                                     \
    ROW(sqrt, 0, tw_sqrt(x))                                                                       \
    ROW(rsqrt, 0, tw_rsqrt(x))                                                                     \
    ROW(sin, 0, tw_sin(x))                                                                         \
    ROW(cos, 0, tw_cos(x))                                                                         \
    ROW(tanh, 0, tw_tanh(x))                                                                       \
    ROW(sigmoid, 0, tw_sigmoid(x))                                                                 \
    ROW(erf, 0, tw_erf(x))                                                                         \
    ROW(floor, 0, tw_floor(x))                                                                     \
    ROW(ceil, 0, tw_ceil(x))                                                                       \
    ROW(round, 0, tw_round(x))                                                                     \
    ROW(not, WHOLE | TRUTHS, tw_not(x))                                                            \
    ROW(square, WHOLE, tw_square(x))                                                               \
    ROW(scale, WHOLE, tw_scale(x, 2))                                                              \
    ROW(shift, WHOLE, tw_shift(x, 2))                                                              \
    ROW(relu, WHOLE, tw_relu(x))                                                                   \
    ROW(cast, WHOLE | TRUTHS, tw_cast(x, TW_F64))                                                  \
    ROW(cast_back, WHOLE | TRUTHS, tw_cast(x, TW_BOOL))                                            \
    ROW(cast_half, WHOLE | TRUTHS, tw_cast(x, TW_BF16))                                            \
    ROW(stop_gradient, WHOLE | TRUTHS, tw_stop_gradient(x))                                        \
    ROW(gelu, 0, tw_gelu(x))                                                                       \
    ROW(gelu_tanh, 0, tw_gelu_tanh(x))                                                             \
    ROW(silu, 0, tw_silu(x))                                                                       \
    ROW(softplus, 0, tw_softplus(x))                                                               \
    ROW(mish, 0, tw_mish(x))                                                                       \
    ROW(leaky_relu, 0, tw_leaky_relu(x, 0.1))                                                      \
    ROW(elu, 0, tw_elu(x, 1))                                                                      \
    ROW(selu, 0, tw_selu(x))                                                                       \
    ROW(relu6, WHOLE, tw_relu6(x))                                                                 \
    ROW(hard_tanh, WHOLE, tw_hard_tanh(x))                                                         \
    ROW(hard_sigmoid, 0, tw_hard_sigmoid(x))                                                       \
    ROW(hard_swish, 0, tw_hard_swish(x))                                                           \
    ROW(add, WHOLE, tw_add(x, x))                                                                  \
    ROW(add_2, 0, tw_add(ROW2, x))                                                                 \
    ROW(sub, WHOLE, tw_sub(x, x))                                                                  \
    ROW(mul, WHOLE, tw_mul(x, x))                                                                  \
    ROW(div, WHOLE, tw_div(x, x))                                                                  \
    ROW(max, WHOLE | TRUTHS, tw_max(x, x))                                                         \
    ROW(min, WHOLE | TRUTHS, tw_min(x, x))                                                         \
    ROW(pow, 0, tw_pow(x, x))                                                                      \
    ROW(rem, WHOLE, tw_rem(x, x))                                                                  \
    ROW(atan2, 0, tw_atan2(x, x))                                                                  \
    ROW(and, WHOLE | TRUTHS, tw_and(x, x))                                                         \
    ROW(or, WHOLE | TRUTHS, tw_or(x, x))                                                           \
    ROW(xor, WHOLE | TRUTHS, tw_xor(x, x))                                                         \
    ROW(clamp, WHOLE, tw_clamp(x, -1, 1))                                                          \
    ROW(clamp_to, WHOLE, tw_clamp_to(x, x, x))                                                     \
    ROW(clamp_to_2, 0, tw_clamp_to(ROW2, x, ROW2))                                                 \
    ROW(compare, WHOLE | TRUTHS, tw_compare(TW_LT, x, x))                                          \
    ROW(select, TRUTHS, tw_select(x, ROW2, ROW2))                                                  \
    ROW(select_2, 0, tw_select(TRUTH, x, LABELS))                                                  \
    ROW(reshape, WHOLE | TRUTHS, tw_reshape(x, TW_SHAPE(TW_DIM_INFER)))                            \
    ROW(transpose, WHOLE | TRUTHS, tw_transpose(x))                                                \
    ROW(permute, WHOLE | TRUTHS, tw_permute(x, swap))                                              \
    ROW(broadcast, WHOLE | TRUTHS, tw_broadcast(x, TW_SHAPE(3, 2, 4)))                             \
    ROW(slice, WHOLE | TRUTHS, tw_slice(x, 0, 1, 1))                                               \
    ROW(slice_step, WHOLE | TRUTHS, tw_slice_step(x, 0, -1, TW_END, -1))                           \
    ROW(pad, WHOLE | TRUTHS, tw_pad(x, 0, 1, 1, 0))                                                \
    ROW(concat, WHOLE | TRUTHS, pair(tw_concat, x, x))                                             \
    ROW(concat_2, 0, pair(tw_concat, ROW2, x))                                                     \
    ROW(split, WHOLE | TRUTHS, part(x))                                                            \
    ROW(reverse, WHOLE | TRUTHS, tw_reverse(x, 0))                                                 \
    ROW(dynamic_slice, WHOLE | TRUTHS, tw_dynamic_slice(x, LABELS, TW_SHAPE(1, 1)))                \
    ROW(dynamic_slice_2, WHOLE, tw_dynamic_slice(ROW2, x, TW_SHAPE(1, 1)))                         \
    ROW(dynamic_update, WHOLE | TRUTHS, tw_dynamic_update_slice(x, x, LABELS))                     \
    ROW(dynamic_update_2, 0, tw_dynamic_update_slice(ROW2, x, LABELS))                             \
    ROW(dynamic_update_3, WHOLE, tw_dynamic_update_slice(ROW2, ROW2, x))                           \
    ROW(reduce, WHOLE, tw_reduce(TW_SUM, x, 1, first, false))                                      \
    ROW(any, TRUTHS, tw_any(x, 0, false))                                                          \
    ROW(all, TRUTHS, tw_all(x, 0, true))                                                           \
    ROW(sum, WHOLE, tw_sum(x))                                                                     \
    ROW(sum_axis, WHOLE, tw_sum_axis(x, 0, false))                                                 \
    ROW(sum_as, 0, tw_sum_as(x, TW_F32))                                                           \
    ROW(max_axis, WHOLE | TRUTHS, tw_max_axis(x, 0, false))                                        \
    ROW(min_axis, WHOLE | TRUTHS, tw_min_axis(x, 0, true))                                         \
    ROW(prod_axis, WHOLE, tw_prod_axis(x, 0, false))                                               \
    ROW(mean, 0, tw_mean(x))                                                                       \
    ROW(mean_axis, 0, tw_mean_axis(x, 0, false))                                                   \
    ROW(argmax, WHOLE | TRUTHS, tw_argmax(x, 0))                                                   \
    ROW(argmin, WHOLE | TRUTHS, tw_argmin(x, 0))                                                   \
    ROW(cumulative, WHOLE | TRUTHS, tw_cumulative(TW_MAX, x, 0, NULL))                             \
    ROW(cumulative_sum, WHOLE, tw_cumulative_sum(x, 0))                                            \
    ROW(cumulative_prod, WHOLE, tw_cumulative_prod(x, 0))                                          \
    ROW(sort, WHOLE | TRUTHS, tw_sort(x, 0, true, NULL))                                           \
    ROW(argsort, WHOLE | TRUTHS, tw_argsort(x, 0, false))                                          \
    ROW(top_k, WHOLE | TRUTHS, tw_top_k(x, 1, NULL))                                               \
    ROW(matmul, 0, tw_matmul(x, ROW2))                                                             \
    ROW(matmul_2, 0, tw_matmul(ROW2, x))                                                           \
    ROW(matmul_as, 0, tw_matmul_as(x, x, TW_F32))                                                  \
    ROW(dot, WHOLE, tw_dot(x, x, 1, first, first, 1, second, second))                              \
    ROW(conv, 0, tw_conv(x, IMAGE, NULL))                                                          \
    ROW(conv_2, 0, tw_conv(IMAGE, x, NULL))                                                        \
    ROW(conv_bias, 0, tw_conv_bias(IMAGE, floats(g, 4, 2, 2, 4, 3), x, NULL))                      \
    ROW(conv_transpose, 0, tw_conv_transpose(x, IMAGE, NULL))                                      \
    ROW(conv_transpose_2, 0, tw_conv_transpose(IMAGE, x, NULL))                                    \
    ROW(max_pool, 0, tw_max_pool(x, &(tw_pool_opts){.window = {2, 2}}))                            \
    ROW(average_pool, 0, tw_average_pool(x, &(tw_pool_opts){.window = {2, 2}}))                    \
    ROW(global_average_pool, 0, tw_global_average_pool(x))                                         \
    ROW(global_max_pool, 0, tw_global_max_pool(x))                                                 \
    ROW(adaptive_average_pool, 0, tw_adaptive_average_pool(x, extents))                            \
    ROW(adaptive_max_pool, 0, tw_adaptive_max_pool(x, extents))                                    \
    ROW(resize_nearest, WHOLE | TRUTHS, tw_resize_nearest(x, extents))                             \
    ROW(resize_bilinear, 0, tw_resize_bilinear(x, extents, true))                                  \
    ROW(take, WHOLE | TRUTHS, tw_take(x, LABELS))                                                  \
    ROW(take_2, WHOLE, tw_take(ROW2, x))                                                           \
    ROW(take_along, 0, tw_take_along(x, LABELS, 0))                                                \
    ROW(take_along_2, WHOLE, tw_take_along(ROW2, x, 0))                                            \
    ROW(scatter_add, WHOLE, tw_scatter_add(x, LABELS, x))                                          \
    ROW(scatter_add_2, WHOLE, tw_scatter_add(ROW2, x, ROW2))                                       \
    ROW(scatter_add_3, 0, tw_scatter_add(ROW2, LABELS, x))                                         \
    ROW(scatter_max, WHOLE, tw_scatter_max(x, LABELS, x))                                          \
    ROW(scatter_set, WHOLE | TRUTHS, tw_scatter_set(x, LABELS, x))                                 \
    ROW(one_hot, WHOLE, tw_one_hot(x, 3, TW_F32))                                                  \
    ROW(softmax, 0, tw_softmax(x))                                                                 \
    ROW(log_softmax, 0, tw_log_softmax(x))                                                         \
    ROW(softmax_axis, 0, tw_softmax_axis(x, 0))                                                    \
    ROW(log_softmax_axis, 0, tw_log_softmax_axis(x, 0))                                            \
    ROW(logsumexp, 0, tw_logsumexp(x, 0, false))                                                   \
    ROW(attention, 0, tw_attention(x, HEADS, HEADS, NULL))                                         \
    ROW(attention_2, 0, tw_attention(HEADS, x, HEADS, NULL))                                       \
    ROW(attention_3, 0, tw_attention(HEADS, HEADS, x, NULL))                                       \
    ROW(attention_mask, TRUTHS,                                                                    \
        tw_attention(HEADS, HEADS, HEADS,                                                          \
                     &(tw_attention_opts){.mask = x.graph ? x : floats(g, 0, 0, 0, 0, 0)}))        \
    ROW(rotary, 0, tw_rotary(x, (tw_value){0}, NULL))                                              \
    ROW(glu, 0, tw_glu(x))                                                                         \
    ROW(geglu, 0, tw_geglu(x))                                                                     \
    ROW(swiglu, 0, tw_swiglu(x))                                                                   \
    ROW(reglu, 0, tw_reglu(x))                                                                     \
    ROW(einsum, 0, einsum(x, floats(g, 2, 4, 3, 0, 0)))                                            \
    ROW(einsum_2, 0, einsum(ROW2, x))                                                              \
    ROW(variance_axis, 0, tw_variance_axis(x, 0, 1, false))                                        \
    ROW(standard_deviation_axis, 0, tw_standard_deviation_axis(x, 0, 1, false))                    \
    ROW(norm_1, WHOLE, tw_norm(x, 1, 0, false))                                                    \
    ROW(norm_2, 0, tw_norm(x, 2, 0, false))                                                        \
    ROW(norm_most, WHOLE, tw_norm(x, INFINITY, 0, false))                                          \
    ROW(normalize, 0, tw_normalize(x, 2, 0, 0))                                                    \
    ROW(clip_by_norm, 0, tw_clip_by_norm(x, 1))                                                    \
    ROW(cosine_similarity, 0, tw_cosine_similarity(x, ROW2, 0, 0))                                 \
    ROW(cosine_similarity_2, 0, tw_cosine_similarity(ROW2, x, 0, 0))                               \
    ROW(literal, WHOLE | TRUTHS, tw_literal(x, 1))                                                 \
    ROW(grad, 0, gradient(x, ROW2))                                                                \
    ROW(grad_2, WHOLE | TRUTHS, gradient(tw_sum(ROW2), x))                                         \
    ROW(assign, 0, tw_assign(x, ROW2))                                                             \
    ROW(snapshot, WHOLE | TRUTHS, tw_snapshot(x))                                                  \
    ROW(dense, 0, tw_dense(x, "d", 3, NULL))                                                       \
    ROW(conv_layer, 0, tw_conv_layer(x, "c", 3, window, NULL))                                     \
    ROW(depthwise, 0, tw_depthwise_conv_layer(x, "c", 2, window, NULL))                            \
    ROW(conv_transpose_layer, 0, tw_conv_transpose_layer(x, "c", 3, window, NULL))                 \
    ROW(layer_norm, 0, tw_layer_norm(x, "n", NULL))                                                \
    ROW(rms_norm, 0, tw_rms_norm(x, "n", NULL))                                                    \
    ROW(group_norm, 0, tw_group_norm(x, "n", 2, NULL))                                             \
    ROW(instance_norm, 0, tw_instance_norm(x, "n", NULL))                                          \
    ROW(batch_norm, 0, tw_batch_norm(x, "n", NULL))                                                \
    ROW(batch_norm_frozen, 0, tw_batch_norm(x, "n", &(tw_batch_norm_opts){.frozen = true}))        \
    ROW(prelu, 0, tw_prelu(x, "p"))                                                                \
    ROW(embedding, WHOLE, tw_embedding(x, "e", 5, 3, NULL))                                        \
    ROW(embedding_padded, WHOLE, tw_embedding(x, "e", 5, 3, &(tw_embedding_opts){.padded = true})) \
    ROW(dropout, 0, tw_dropout(x, 0.5, NULL))                                                      \
    ROW(multi_head, 0, tw_multi_head_attention(x, "a", 2, NULL))                                   \
    ROW(multi_head_source, 0,                                                                      \
        tw_multi_head_attention(SEQUENCE, "a", 2,                                                  \
                                &(tw_multi_head_opts){.source = x.graph ? x : ROW2}))              \
    ROW(multi_head_mask, TRUTHS,                                                                   \
        tw_multi_head_attention(                                                                   \
            SEQUENCE, "a", 2, &(tw_multi_head_opts){.mask = x.graph ? x : ROW2, .dropout = 0.5}))  \
    ROW(lstm_cell, 0, cell(x, (tw_value){0}, (tw_value){0}))                                       \
    ROW(lstm_cell_2, 0, cell(ROW2, x.graph ? x : ROW2, (tw_value){0}))                             \
    ROW(lstm_cell_3, 0, cell(ROW2, (tw_value){0}, x.graph ? x : ROW2))                             \
    ROW(gru_cell, 0, tw_gru_cell(x, (tw_value){0}, "g", 3, NULL))                                  \
    ROW(gru_cell_2, 0, tw_gru_cell(ROW2, x.graph ? x : ROW2, "g", 3, NULL))                        \
    ROW(lstm, 0, tw_lstm(x, "l", 3, NULL))                                                         \
    ROW(gru, 0, tw_gru(x, "g", 3, NULL))                                                           \
    ROW(loss, 0, tw_loss(x, floats(g, 0, 0, 0, 0, 0)))                                             \
    ROW(loss_2, 0, tw_loss(floats(g, 0, 0, 0, 0, 0), x))                                           \
    ROW(weighted_mean, 0, tw_weighted_mean(x, floats(g, 1, 2, 0, 0, 0)))                           \
    ROW(weighted_mean_2, 0, tw_weighted_mean(ROW2, x.graph ? x : SEQUENCE))                        \
    ROW(mse, 0, tw_mse(x, x))                                                                      \
    ROW(mse_2, 0, tw_mse(ROW2, x))                                                                 \
    ROW(squared_error, 0, tw_squared_error(x, x, NULL))                                            \
    ROW(l1, 0, tw_l1(x, x, NULL))                                                                  \
    ROW(l1_2, 0, tw_l1(ROW2, x, NULL))                                                             \
    ROW(huber, 0, tw_huber(x, x, NULL))                                                            \
    ROW(smooth_l1, 0, tw_smooth_l1(x, x, NULL))                                                    \
    ROW(cross_entropy, 0, tw_cross_entropy(x, LABELS, NULL))                                       \
    ROW(cross_entropy_2, WHOLE, tw_cross_entropy(ROW2, x, NULL))                                   \
    ROW(cross_entropy_3, 0,                                                                        \
        tw_cross_entropy(ROW2, LABELS,                                                             \
                         &(tw_cross_entropy_opts){.class_weights = x.graph ? x : ROW2}))           \
    ROW(cross_entropy_4, 0,                                                                        \
        tw_cross_entropy(ROW2, LABELS,                                                             \
                         &(tw_cross_entropy_opts){.weights = x.graph ? x : SEQUENCE}))             \
    ROW(binary_cross_entropy, 0, tw_binary_cross_entropy(x, x, NULL))                              \
    ROW(binary_cross_entropy_2, 0,                                                                 \
        tw_binary_cross_entropy(                                                                   \
            ROW2, ROW2, &(tw_binary_cross_entropy_opts){.pos_weight = x.graph ? x : SEQUENCE}))    \
    ROW(kl_divergence, 0, tw_kl_divergence(x, x, NULL))                                            \
    ROW(hinge, 0, tw_hinge(x, x, NULL))                                                            \
    ROW(multi_margin, 0, tw_multi_margin(x, LABELS, NULL))                                         \
    ROW(multi_margin_2, WHOLE, tw_multi_margin(ROW2, x, NULL))                                     \
    ROW(cosine_embedding, 0, tw_cosine_embedding(x, x, floats(g, 1, 2, 0, 0, 0), NULL))            \
    ROW(cosine_embedding_2, 0, tw_cosine_embedding(ROW2, ROW2, x, NULL))                           \
    ROW(contrastive, 0, tw_contrastive(x, x, floats(g, 1, 2, 0, 0, 0), NULL))                      \
    ROW(contrastive_2, 0, tw_contrastive(ROW2, ROW2, x, NULL))                                     \
    ROW(triplet_margin, 0, tw_triplet_margin(x, x, x, NULL))                                       \
    ROW(triplet_margin_2, 0, tw_triplet_margin(ROW2, ROW2, x, NULL))                               \
    ROW(info_nce, 0, tw_info_nce(x, x, NULL))                                                      \
    ROW(info_nce_2, 0, tw_info_nce(ROW2, x, NULL))                                                 \
    ROW(margin_ranking, 0, tw_margin_ranking(x, x, x, NULL))                                       \
    ROW(pairwise_logistic, 0, tw_pairwise_logistic(x, x, NULL))                                    \
    ROW(pairwise_logistic_2, 0, tw_pairwise_logistic(ROW2, x, NULL))                               \
    ROW(listnet, 0, tw_listnet(x, x, NULL))                                                        \
    ROW(listmle, 0, tw_listmle(x, x, NULL))                                                        \
    ROW(ctc, 0, tw_ctc(x, ones(g, 2, 2, 2), LABELS, LABELS, NULL))                                 \
    ROW(ctc_2, WHOLE, tw_ctc(SEQUENCE, x, LABELS, LABELS, NULL))                                   \
    ROW(ctc_3, WHOLE, tw_ctc(SEQUENCE, ones(g, 2, 2, 2), x, LABELS, NULL))                         \
    ROW(ctc_4, WHOLE, tw_ctc(SEQUENCE, ones(g, 2, 2, 2), LABELS, x, NULL))                         \
    ROW(correct, WHOLE | TRUTHS, tw_correct(x, LABELS))                                            \
    ROW(correct_2, WHOLE, tw_correct(ROW2, x))                                                     \
    ROW(top_k_correct, WHOLE | TRUTHS, tw_top_k_correct(x, LABELS, 2))                             \
    ROW(top_k_correct_2, WHOLE, tw_top_k_correct(ROW2, x, 2))                                      \
    ROW(confusion, WHOLE, tw_confusion(x, LABELS, 3))                                              \
    ROW(confusion_2, WHOLE, tw_confusion(LABELS, x, 3))                                            \
    ROW(score_counts, 0, tw_score_counts(x, LABELS, 3))                                            \
    ROW(score_counts_2, WHOLE, tw_score_counts(floats(g, 1, 2, 0, 0, 0), x, 3))                    \
    ROW(perplexity, 0, tw_perplexity(x))                                                           \
    ROW(schedule, WHOLE,                                                                           \
        tw_schedule_factor(x, &(tw_schedule){.kind = TW_LINEAR_DECAY, .steps = 5}))                \
    ROW(minimize, 0, (tw_minimize(x, NULL), x))

static int problems; /* all are listed before the test fails */
#define problem(...) (problems++, print_error(__VA_ARGS__), print_error("\n"))

typedef struct call {
    const char *name;
    int takes;
    tw_value (*run)(tw_graph *g, tw_value x);
} call;
#define FUNCTION(name, takes, expression)                                                          \
    static tw_value call_##name(tw_graph *g, tw_value x) {                                         \
        (void)g;                                                                                   \
        return expression;                                                                         \
    }
CALLS(FUNCTION)
#define ENTRY(name, takes, expression) {#name, takes, call_##name},
static const call calls[] = {CALLS(ENTRY)};
enum { N_CALLS = sizeof calls / sizeof *calls };

static tw_context *context;
static const tw_mode modes[] = {TW_SYMBOLIC, TW_IMMEDIATE};

static tw_graph *graph_in(tw_mode mode, tw_store *store) {
    tw_graph *g = tw_graph_new(context, store, mode, &(tw_graph_opts){.training = true});
    assert_non_null(g);
    return g;
}

/* The call must fail, and say why. */
static void assert_refused(tw_graph *g, tw_value y, const char *name, const char *what) {
    if (tw_ok(y) && tw_graph_status(g) == TW_OK) problem("%s accepts %s", name, what);
    if (tw_graph_status(g) == TW_OK) problem("%s with %s leaves no error", name, what);
    if (strlen(tw_message(context)) < 10)
        problem("%s with %s: message \"%s\"", name, what, tw_message(context));
}

typedef enum kind { ABSENT_VALUE, POISONED, FOREIGN, INTEGERS, BOOLS } kind;
static const char *const kinds[] = {"an absent operand", "a poisoned operand",
                                    "another graph's operand", "integers", "bool"};

static tw_value bad_value(tw_graph *g, tw_graph *other, kind what) {
    switch (what) {
    case ABSENT_VALUE: return (tw_value){0};
    case POISONED: return tw_reshape(ROW2, TW_SHAPE(3));
    case FOREIGN: return floats(other, 2, 2, 4, 0, 0);
    case INTEGERS: return tw_full(g, TW_I32, TW_SHAPE(2, 4), 1);
    default: return tw_full(g, TW_BOOL, TW_SHAPE(2, 4), 1);
    }
}

static void try_kind(const call *c, tw_mode mode, kind what) {
    tw_store *store = tw_store_new(context, NULL);
    tw_graph *other = graph_in(mode, store), *g = graph_in(mode, store);
    tw_value x = bad_value(g, other, what), y = c->run(g, x);
    bool allowed = (what == INTEGERS && c->takes & WHOLE) || (what == BOOLS && c->takes & TRUTHS);
    if (allowed || what == FOREIGN) { /* one operand alone is of no other graph than its own */
        if (!tw_ok(y) && tw_graph_status(g) == TW_OK && tw_graph_status(other) == TW_OK)
            problem("%s with %s leaves no error", c->name, kinds[what]);
    } else if (what == ABSENT_VALUE && tw_graph_status(g) == TW_OK) {
        /* no operand knew a graph that could keep the error */
        if (tw_ok(y)) problem("%s accepts %s", c->name, kinds[what]);
    } else {
        assert_refused(g, y, c->name, kinds[what]);
    }
    tw_graph_free(g);
    tw_graph_free(other);
    tw_store_free(store);
}

static void assert_no_problem(void) {
    int n = problems;
    problems = 0;
    assert_int_equal(n, 0);
}

static void of_no_use(void **state) {
    (void)state;
    for (int i = 0; i < N_CALLS; i++)
        for (int mode = 0; mode < 2; mode++)
            for (kind what = ABSENT_VALUE; what <= FOREIGN; what++)
                try_kind(&calls[i], modes[mode], what);
    assert_no_problem();
}
static void of_another_type(void **state) {
    (void)state;
    for (int i = 0; i < N_CALLS; i++)
        for (int mode = 0; mode < 2; mode++)
            for (kind what = INTEGERS; what <= BOOLS; what++)
                try_kind(&calls[i], modes[mode], what);
    assert_no_problem();
}

/* Ranks 0 to 8, extents 0 and 1: a value that is there, or an error that says why not. */
static void of_any_shape(void **state) {
    (void)state;
    static const tw_dtype dtypes[] = {TW_F32, TW_I32, TW_BOOL, TW_F16};
    for (int i = 0; i < N_CALLS; i++)
        for (int n = 0; n < 2 * 4 * 2 * 9; n++) {
            tw_store *store = tw_store_new(context, NULL);
            tw_graph *g = graph_in(modes[n & 1], store);
            tw_shape shape = {.rank = n / 16};
            for (int k = 0; k < shape.rank; k++) shape.dim[k] = n >> 3 & 1;
            tw_value y = calls[i].run(g, tw_full(g, dtypes[n >> 1 & 3], shape, 0));
            if (!tw_ok(y) && tw_graph_status(g) == TW_OK)
                problem("%s of rank %d leaves no error", calls[i].name, shape.rank);
            if (tw_graph_status(g) && strlen(tw_message(context)) < 10)
                problem("%s of rank %d: message \"%s\"", calls[i].name, shape.rank,
                        tw_message(context));
            tw_graph_free(g);
            tw_store_free(store);
        }
    assert_no_problem();
}

/* Numbers out of range; x is (2, 4), (2, 5, 4) or (2, 6, 6, 4) as needed. n: one of `numbers`. */
#define WILD(ROW)                                                                                  \
    ROW(dense, tw_dense(ROW2, "d", n, NULL))                                                       \
    ROW(conv_layer, tw_conv_layer(IMAGE, "c", n, window, NULL))                                    \
    ROW(conv_window, tw_conv_layer(IMAGE, "c", 2, (int64_t[]){n, 2}, NULL))                        \
    ROW(conv_groups,                                                                               \
        tw_conv_layer(IMAGE, "c", 4, window, &(tw_conv_layer_opts){.conv.groups = n}))             \
    ROW(conv_stride,                                                                               \
        tw_conv_layer(IMAGE, "c", 4, window, &(tw_conv_layer_opts){.conv.stride = {n, -1}}))       \
    ROW(conv_padding,                                                                              \
        tw_conv_layer(IMAGE, "c", 4, window, &(tw_conv_layer_opts){.conv.low = {n, n}}))           \
    ROW(conv_dilation,                                                                             \
        tw_conv_layer(IMAGE, "c", 4, window, &(tw_conv_layer_opts){.conv.dilation = {n, -1}}))     \
    ROW(conv_base,                                                                                 \
        tw_conv_layer(IMAGE, "c", 4, window, &(tw_conv_layer_opts){.conv.base_dilation = {n, n}})) \
    ROW(depthwise, tw_depthwise_conv_layer(IMAGE, "c", n, window, NULL))                           \
    ROW(transposed, tw_conv_transpose_layer(IMAGE, "c", n, window, NULL))                          \
    ROW(transposed_window, tw_conv_transpose_layer(IMAGE, "c", 2, (int64_t[]){n, 2}, NULL))        \
    ROW(transposed_stride,                                                                         \
        tw_conv_transpose_layer(IMAGE, "c", 2, window,                                             \
                                &(tw_conv_transpose_layer_opts){.conv.stride = {n, n}}))           \
    ROW(transposed_extra,                                                                          \
        tw_conv_transpose_layer(IMAGE, "c", 2, window,                                             \
                                &(tw_conv_transpose_layer_opts){.conv.output_padding = {n, n}}))   \
    ROW(max_pool, tw_max_pool(IMAGE, &(tw_pool_opts){.window = {n, n}, .dilation = {3, 3}}))       \
    ROW(average_pool,                                                                              \
        tw_average_pool(IMAGE, &(tw_pool_opts){.window = {n, n}, .dilation = {3, 3}}))             \
    ROW(pool_low, tw_average_pool(IMAGE, &(tw_pool_opts){.window = {2, 2}, .low = {n, n}}))        \
    ROW(adaptive, tw_adaptive_average_pool(IMAGE, (int64_t[]){n, n}))                              \
    ROW(adaptive_max, tw_adaptive_max_pool(IMAGE, (int64_t[]){n, n}))                              \
    ROW(nearest, tw_resize_nearest(IMAGE, (int64_t[]){n, n}))                                      \
    ROW(bilinear, tw_resize_bilinear(IMAGE, (int64_t[]){n, n}, false))                             \
    ROW(group_norm, tw_group_norm(IMAGE, "n", n, NULL))                                            \
    ROW(embedding, tw_embedding(LABELS, "e", n, n, NULL))                                          \
    ROW(padding,                                                                                   \
        tw_embedding(LABELS, "e", 5, 2, &(tw_embedding_opts){.padded = true, .padding = n}))       \
    ROW(heads, tw_multi_head_attention(SEQUENCE, "a", n, NULL))                                    \
    ROW(kv_heads, tw_multi_head_attention(SEQUENCE, "a", 2, &(tw_multi_head_opts){.kv_heads = n})) \
    ROW(head_width, tw_multi_head_attention(SEQUENCE, "a", 2, &(tw_multi_head_opts){.width = n}))  \
    ROW(lstm, tw_lstm(SEQUENCE, "l", n, NULL))                                                     \
    ROW(gru, tw_gru(SEQUENCE, "g", n, NULL))                                                       \
    ROW(gru_cell, tw_gru_cell(ROW2, (tw_value){0}, "g", n, NULL))                                  \
    ROW(one_hot, tw_one_hot(LABELS, n, TW_F64))                                                    \
    ROW(top_k, tw_top_k(ROW2, n, NULL))                                                            \
    ROW(confusion, tw_confusion(LABELS, LABELS, n))                                                \
    ROW(score_counts, tw_score_counts(floats(g, 1, 2, 0, 0, 0), LABELS, n))                        \
    ROW(blank, tw_ctc(SEQUENCE, ones(g, 2, 2, 2), LABELS, LABELS, &(tw_ctc_opts){.blank = n}))     \
    ROW(slice_start, tw_slice(ROW2, 0, n, 1))                                                      \
    ROW(slice_size, tw_slice(ROW2, 0, 1, n))                                                       \
    ROW(pad_low, tw_pad(ROW2, 0, n == -1 ? -9 : n, 0, 0))                                          \
    ROW(broadcast, tw_broadcast(ROW2, TW_SHAPE(n, 2, 4)))                                          \
    ROW(dynamic_slice, tw_dynamic_slice(ROW2, LABELS, TW_SHAPE(n, 1)))                             \
    ROW(iota, tw_iota(g, TW_F64, TW_SHAPE(n, 4), 0))                                               \
    ROW(full, tw_full(g, TW_F64, TW_SHAPE(n, 4), 0))                                               \
    ROW(random, tw_random_uniform(g, TW_F64, TW_SHAPE(n, 4)))                                      \
    ROW(parameter, tw_parameter(g, "w", TW_F64, TW_SHAPE(n, 4), tw_he_normal()))                   \
    ROW(split_axis, part(tw_reshape(ROW2, TW_SHAPE(n, 4))))                                        \
    ROW(axis, tw_sum_axis(ROW2, n < 0 ? -3 : 2, false))                                            \
    ROW(axis_far, tw_softmax_axis(ROW2, n < 0 ? INT32_MIN : INT32_MAX))                            \
    ROW(sort_axis, tw_sort(ROW2, n < 0 ? INT32_MIN : INT32_MAX, false, NULL))                      \
    ROW(cumulative_axis, tw_cumulative_sum(ROW2, n < 0 ? INT32_MIN : INT32_MAX))                   \
    ROW(concat_axis, tw_concat(n < 0 ? INT32_MIN : INT32_MAX, 1, (tw_value[]){ROW2}))              \
    ROW(norm_axis, tw_norm(ROW2, 2, n < 0 ? INT32_MIN : INT32_MAX, false))                         \
    ROW(iota_axis, tw_iota(g, TW_F32, TW_SHAPE(2), n < 0 ? INT32_MIN : INT32_MAX))

typedef struct wild {
    const char *name;
    tw_value (*run)(tw_graph *g, int64_t n);
} wild;
#define WILD_FUNCTION(name, expression)                                                            \
    static tw_value wild_##name(tw_graph *g, int64_t n) {                                          \
        (void)g;                                                                                   \
        return expression;                                                                         \
    }
WILD(WILD_FUNCTION)
#define WILD_ENTRY(name, expression) {#name, wild_##name},
static const wild wilds[] = {WILD(WILD_ENTRY)};

static void of_wild_numbers(void **state) {
    (void)state;
    static const int64_t numbers[] = {-1,        INT32_MIN,     INT64_MAX,      INT64_MAX / 4,
                                      INT64_MIN, INT64_MIN + 2, INT64_MIN + 77, INT64_MIN / 2};
    for (size_t i = 0; i < sizeof wilds / sizeof *wilds; i++)
        for (size_t k = 0; k < 2 * sizeof numbers / sizeof *numbers; k++) {
            tw_store *store = tw_store_new(context, NULL);
            tw_graph *g = graph_in(modes[k & 1], store);
            tw_value y = wilds[i].run(g, numbers[k / 2]);
            char what[32];
            snprintf(what, sizeof what, "%lld", (long long)numbers[k / 2]);
            assert_refused(g, y, wilds[i].name, what);
            tw_graph_free(g);
            tw_store_free(store);
        }
    assert_no_problem();
}

static void identity(tw_graph *g, const tw_value *in, tw_value *out, const void *config) {
    (void)g, (void)config;
    out[0] = in[0];
}
static void nothing(tw_graph *g, const tw_value *in, tw_value *out, const void *config) {
    (void)g, (void)in, (void)out, (void)config;
}
static const int axes[] = {0};
static void call_one(tw_graph *g, tw_value x, tw_value *out) {
    tw_call(g, identity, NULL, 1, &x, 1, out);
}
static void call_nothing(tw_graph *g, tw_value x, tw_value *out) {
    tw_call(g, nothing, NULL, 1, &x, 1, out);
}
static void call_none(tw_graph *g, tw_value x, tw_value *out) {
    tw_call(g, NULL, NULL, 1, &x, 1, out);
}
static void call_many(tw_graph *g, tw_value x, tw_value *out) {
    tw_call(g, identity, NULL, -1, &x, 1, out);
}
static void checkpoint(tw_graph *g, tw_value x, tw_value *out) {
    tw_checkpoint(g, identity, NULL, 1, &x, 1, out);
}
static void checkpoint_nothing(tw_graph *g, tw_value x, tw_value *out) {
    tw_checkpoint(g, nothing, NULL, 1, &x, 1, out);
}
static void custom(tw_graph *g, tw_value x, tw_value *out) {
    tw_custom_gradient(g, identity, nothing, NULL, 1, &x, 1, out);
}
static void custom_none(tw_graph *g, tw_value x, tw_value *out) {
    tw_custom_gradient(g, identity, NULL, NULL, 1, &x, 1, out);
}
static void vmap(tw_graph *g, tw_value x, tw_value *out) {
    tw_vmap(g, identity, NULL, 1, &x, axes, 1, out);
}
static void vmap_nothing(tw_graph *g, tw_value x, tw_value *out) {
    tw_vmap(g, nothing, NULL, 1, &x, axes, 1, out);
}
static void vmap_none(tw_graph *g, tw_value x, tw_value *out) {
    tw_vmap(g, NULL, NULL, 1, &x, NULL, 1, out);
}
static void average(tw_graph *g, tw_value x, tw_value *out) {
    (void)x;
    tw_average(g, NULL); /* of a graph without parameters */
    *out = (tw_value){0};
}
static void split_none(tw_graph *g, tw_value x, tw_value *out) {
    tw_split(x, 0, g ? -1 : 0, out);
    tw_split(x, 0, 3, NULL);
    *out = tw_reshape(x, tw_shape_make(TW_MAX_RANK + 1, (int64_t[TW_MAX_RANK + 1]){0}));
}
static void print(tw_graph *g, tw_value x, tw_value *out) {
    if (!tw_ok(x)) tw_print(x);
    *out = tw_full(g, (tw_dtype)99, (tw_shape){.rank = -1}, 0);
}
static void queries(tw_graph *g, tw_value x, tw_value *out) {
    double item = tw_ok(x) ? 0 : tw_item(x);
    tw_value rows;
    if (!tw_ok(x)) assert_true(isnan(item) && tw_read(x, &item, sizeof item) != TW_OK);
    assert_false(tw_grad_sparse(x, out, &rows));
    assert_null(tw_path(x));
    assert_int_equal(tw_parameters(x, 0, NULL), 0);
    if (!tw_ok(x)) assert_int_equal((int)tw_dtype_of(x), 0);
    *out = tw_apply(g, NULL, 1, &x, NULL, NULL);
}

#define POINTERLESS(name, expression)                                                              \
    static void name(tw_graph *g, tw_value x, tw_value *out) {                                     \
        (void)g, (void)x;                                                                          \
        *out = expression;                                                                         \
    }
POINTERLESS(dot_null, tw_dot(x, x, 1, NULL, NULL, 0, NULL, NULL))
POINTERLESS(dot_many, tw_dot(x, x, 99, axes, axes, -1, NULL, NULL))
POINTERLESS(dot_negative, tw_dot(x, x, -1, NULL, NULL, 99, axes, axes))
POINTERLESS(einsum_null, tw_einsum(NULL, 1, &x))
POINTERLESS(einsum_values, x.graph ? tw_einsum("i", 2, (tw_value[]){x, {0}}) : x)
POINTERLESS(permute_null, tw_permute(x, NULL))
POINTERLESS(reduce_null, tw_reduce(TW_SUM, x, 2, NULL, false))
POINTERLESS(pool_null, tw_max_pool(x, NULL))
POINTERLESS(average_null, tw_average_pool(x, NULL))
POINTERLESS(nearest_null, tw_resize_nearest(x, NULL))
POINTERLESS(bilinear_null, tw_resize_bilinear(x, NULL, true))
POINTERLESS(constant_null, tw_constant_of(g, TW_F32, TW_SHAPE(2), NULL))
POINTERLESS(tensor_null, tw_constant(g, NULL))
POINTERLESS(parameter_null, tw_parameter(g, NULL, TW_F32, TW_SHAPE(2), tw_zeros_init()))
POINTERLESS(parameter_kind,
            tw_parameter(g, "w", TW_F32, TW_SHAPE(-2), (tw_init){.kind = 999, .a = NAN}))
POINTERLESS(dense_null, tw_dense(x, NULL, 3, NULL))
POINTERLESS(name_of_format, tw_dense(x, "%s%n/", -3, NULL))
POINTERLESS(apply_null, tw_apply(g, "add", 2, NULL, NULL, NULL))
POINTERLESS(compare_none, tw_compare((tw_comparison)77, x, x))
POINTERLESS(reduce_none, tw_reduce((tw_reduction)77, x, 1, axes, false))
POINTERLESS(cast_none, tw_cast(x, (tw_dtype)77))
POINTERLESS(norm_none, tw_norm(x, NAN, 0, false))
POINTERLESS(rank_many, tw_random_uniform(g, TW_F32, (tw_shape){.rank = INT16_MAX}))
POINTERLESS(dropout_rate, tw_dropout(x, NAN, NULL))
POINTERLESS(clip_limit, tw_clip_by_norm(x, -1))

/* {0} alone has no graph that could keep the error. */
static void assert_refused_by_any(tw_graph *g, tw_value y, const char *name, int what) {
    if (what == ABSENT_VALUE && !y.graph) return;
    assert_refused(g, y, name, what == 2 ? "a value" : kinds[what]);
}

/* Functions of a graph: of {0}, a poisoned and a good value, none of which they can serve. */
static void of_a_graph(void **state) {
    (void)state;
    static const struct {
        const char *name;
        void (*run)(tw_graph *g, tw_value x, tw_value *out);
        bool serves; /* a good value */
    } functions[] = {
        {"call", call_one, true},
        {"call of nothing", call_nothing, false},
        {"call without a function", call_none, false},
        {"call of -1 operands", call_many, false},
        {"checkpoint", checkpoint, true},
        {"checkpoint of nothing", checkpoint_nothing, false},
        {"custom gradient", custom, true},
        {"custom gradient without one", custom_none, false},
        {"vmap", vmap, true},
        {"vmap of nothing", vmap_nothing, false},
        {"vmap without a function", vmap_none, false},
        {"average", average, false},
        {"split", split_none, false},
        {"print", print, false},
        {"queries", queries, false},
        {"dot null", dot_null, false},
        {"dot many", dot_many, false},
        {"dot negative", dot_negative, false},
        {"einsum null", einsum_null, false},
        {"einsum values", einsum_values, false},
        {"permute null", permute_null, false},
        {"reduce null", reduce_null, false},
        {"pool null", pool_null, false},
        {"average null", average_null, false},
        {"nearest null", nearest_null, false},
        {"bilinear null", bilinear_null, false},
        {"constant null", constant_null, false},
        {"tensor null", tensor_null, false},
        {"parameter null", parameter_null, false},
        {"parameter kind", parameter_kind, false},
        {"dense null", dense_null, false},
        {"name of format", name_of_format, false},
        {"apply null", apply_null, false},
        {"compare none", compare_none, false},
        {"reduce none", reduce_none, false},
        {"cast none", cast_none, false},
        {"norm none", norm_none, false},
        {"rank many", rank_many, false},
        {"dropout rate", dropout_rate, false},
        {"clip limit", clip_limit, false},
    };
    for (int i = 0; i < (int)(sizeof functions / sizeof *functions) * 3 * 2; i++) {
        int at = i / 6, what = i / 2 % 3;
        tw_store *store = tw_store_new(context, NULL);
        tw_graph *g = graph_in(modes[i & 1], store);
        tw_value x = what == 2 ? ROW2 : bad_value(g, g, what), out = {0};
        functions[at].run(g, x, &out);
        if (what == 2 && functions[at].serves)
            assert_true(tw_ok(out));
        else
            assert_refused_by_any(g, out, functions[at].name, what);
        functions[at].run(NULL, (tw_value){0}, &out); /* no graph at all */
        tw_graph_free(g);
        tw_store_free(store);
    }
    assert_no_problem();
}

static int setup(void **state) {
    (void)state;
    context = tw_context_new(&(tw_context_opts){.threads = 1});
    return context ? 0 : -1;
}
static int teardown(void **state) {
    (void)state;
    tw_context_free(context);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_no_use),    cmocka_unit_test(of_another_type),
        cmocka_unit_test(of_any_shape), cmocka_unit_test(of_wild_numbers),
        cmocka_unit_test(of_a_graph),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
