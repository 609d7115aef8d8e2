/* Attention, rotary positions, recurrent cells, embedding, gated units and tensor functions against
 * PyTorch (scripts/oracle_attention.py). */
#include <math.h>
#include <stddef.h>

#include "support/oracle.h"

#define BUILD(name)                                                                                \
    static void name(tw_graph *g, const tw_value *in, tw_value *out, const void *config)

/* Attention on q, k, v and a mask where there is one; the settings of a case. */
typedef struct attention_case {
    bool causal, mask;
    double scale;
} attention_case;

BUILD(attention) {
    (void)g;
    const attention_case *c = config;
    tw_attention_opts opts = {.causal = c->causal, .scale = c->scale};
    if (c->mask) opts.mask = in[3];
    out[0] = tw_attention(in[0], in[1], in[2], &opts);
}
BUILD(attention_default) {
    (void)g, (void)config;
    out[0] = tw_attention(in[0], in[1], in[2], NULL);
}
static const attention_case causal = {.causal = true}, scale = {.scale = 0.25},
                            mask = {.mask = true}, mask_causal = {.mask = true, .causal = true};

BUILD(rotary) {
    (void)g;
    out[0] = tw_rotary(in[0], (tw_value){0}, config);
}
BUILD(rotary_positions) {
    (void)g;
    out[0] = tw_rotary(in[0], in[1], config);
}
static const tw_rotary_opts interleaved = {.interleaved = true}, base = {.base = 500};

BUILD(multi_head) {
    (void)g, (void)config;
    out[0] = tw_multi_head_attention(in[0], "mha", 3, NULL);
}
BUILD(multi_head_causal_no_bias) {
    (void)g, (void)config;
    out[0] = tw_multi_head_attention(in[0], "mha", 2,
                                     &(tw_multi_head_opts){.causal = true, .no_bias = true});
}
BUILD(multi_head_grouped_rotary) {
    (void)g, (void)config;
    tw_multi_head_opts opts = {.kv_heads = 2,
                               .width = 4,
                               .causal = true,
                               .rotary = true,
                               .rotation = {.base = 100, .interleaved = true},
                               .positions = in[1]};
    out[0] = tw_multi_head_attention(in[0], "mha", 4, &opts);
}
BUILD(multi_head_source_mask) {
    (void)g, (void)config;
    tw_multi_head_opts opts = {.source = in[1], .mask = in[2]};
    out[0] = tw_multi_head_attention(in[0], "mha", 2, &opts);
}
BUILD(multi_head_dropout) {
    (void)g, (void)config;
    tw_multi_head_opts opts = {
        .kv_heads = 2, .width = 2, .causal = true, .mask = in[1], .scale = 0.3, .dropout = 1e-12};
    out[0] = tw_multi_head_attention(in[0], "mha", 4, &opts);
}

enum { UNITS = 4 };
BUILD(lstm_cell) {
    (void)g, (void)config;
    tw_lstm_cell(in[0], in[1], in[2], "lstm", UNITS, &out[0], &out[1], NULL);
}
BUILD(lstm_cell_from_zeros) {
    (void)g, (void)config;
    const tw_value none = {0};
    tw_lstm_cell(in[0], none, none, "lstm", UNITS, &out[0], &out[1],
                 &(tw_recurrent_opts){.no_bias = true});
}
BUILD(gru_cell) {
    (void)g, (void)config;
    out[0] = tw_gru_cell(in[0], in[1], "gru", UNITS, NULL);
}
BUILD(gru_cell_from_zeros) {
    (void)g, (void)config;
    out[0] = tw_gru_cell(in[0], (tw_value){0}, "gru", UNITS, &(tw_recurrent_opts){.no_bias = true});
}
BUILD(lstm) {
    (void)g, (void)config;
    out[0] =
        tw_lstm(in[0], "lstm", UNITS, &(tw_recurrent_opts){.last_h = &out[1], .last_c = &out[2]});
}
BUILD(lstm_states_backwards) {
    (void)g, (void)config;
    tw_recurrent_opts opts = {
        .h = in[1], .c = in[2], .backwards = true, .last_h = &out[1], .last_c = &out[2]};
    out[0] = tw_lstm(in[0], "lstm", UNITS, &opts);
}
BUILD(gru) {
    (void)g, (void)config;
    out[0] = tw_gru(in[0], "gru", UNITS, &(tw_recurrent_opts){.last_h = &out[1]});
}
BUILD(gru_states_backwards) {
    (void)g, (void)config;
    tw_recurrent_opts opts = {.h = in[1], .backwards = true, .last_h = &out[1]};
    out[0] = tw_gru(in[0], "gru", UNITS, &opts);
}

BUILD(embedding) {
    (void)g, (void)config;
    out[0] = tw_embedding(in[0], "words", 6, 3, NULL);
}
BUILD(embedding_padding) {
    (void)g, (void)config;
    out[0] = tw_embedding(in[0], "words", 6, 3, &(tw_embedding_opts){.padded = true, .padding = 2});
}

typedef struct einsum_case {
    const char *equation;
    int n;
} einsum_case;
BUILD(einsum) {
    (void)g;
    const einsum_case *c = config;
    out[0] = tw_einsum(c->equation, c->n, in);
}
#define EINSUM(name, equation, n) {name, einsum, &(const einsum_case){equation, n}, false}

/* A case that is one expression of in[]. */
#define EXPRESSION(name, expression)                                                               \
    BUILD(name) {                                                                                  \
        (void)g, (void)config;                                                                     \
        out[0] = expression;                                                                       \
    }
EXPRESSION(glu, tw_glu(in[0]))
EXPRESSION(geglu, tw_geglu(in[0]))
EXPRESSION(swiglu, tw_swiglu(in[0]))
EXPRESSION(reglu, tw_reglu(in[0]))
EXPRESSION(logsumexp, tw_logsumexp(in[0], -1, false))
EXPRESSION(logsumexp_axis_keep, tw_logsumexp(in[0], 1, true))
EXPRESSION(logsumexp_large, tw_logsumexp(in[0], 0, false))
EXPRESSION(softmax_axis, tw_softmax_axis(in[0], 0))
EXPRESSION(log_softmax, tw_log_softmax(in[0]))
EXPRESSION(log_softmax_axis, tw_log_softmax_axis(in[0], 1))
EXPRESSION(one_hot, tw_mul(tw_one_hot(in[0], 4, TW_F32),
                           tw_parameter(g, "scale", TW_F32, TW_SHAPE(4), tw_zeros_init())))
EXPRESSION(norm_1, tw_norm(in[0], 1, 1, false))
EXPRESSION(norm_2, tw_norm(in[0], 2, -1, true))
EXPRESSION(norm_infinity, tw_norm(in[0], INFINITY, 0, false))
EXPRESSION(norm_1_of_zero, tw_norm(in[0], 1, -1, false))
EXPRESSION(norm_2_of_zero, tw_norm(in[0], 2, -1, false))
EXPRESSION(norm_infinity_of_zero, tw_norm(in[0], INFINITY, -1, false))
EXPRESSION(normalize, tw_normalize(in[0], 2, 1, 0))
EXPRESSION(normalize_1_epsilon, tw_normalize(in[0], 1, -1, 2.5))
EXPRESSION(variance, tw_variance_axis(in[0], -1, 0, false))
EXPRESSION(variance_unbiased_keep, tw_variance_axis(in[0], 1, 1, true))
EXPRESSION(standard_deviation, tw_standard_deviation_axis(in[0], 0, 0, false))
EXPRESSION(standard_deviation_of_equals, tw_standard_deviation_axis(in[0], -1, 1, false))
EXPRESSION(cosine_similarity, tw_cosine_similarity(in[0], in[1], -1, 0))
EXPRESSION(cosine_similarity_axis_epsilon, tw_cosine_similarity(in[0], in[1], 1, 2))
EXPRESSION(clip_by_norm_over, tw_clip_by_norm(in[0], 1.5))
EXPRESSION(clip_by_norm_under, tw_clip_by_norm(in[0], 100))
EXPRESSION(clip_by_norm_of_zero, tw_clip_by_norm(in[0], 1))

#define ROW(name) {#name, name, NULL, false}
static const oracle_case cases[] = {
    {"attention", attention_default, NULL, false},
    {"attention_causal", attention, &causal, false},
    {"attention_causal_long_source", attention, &causal, false},
    {"attention_causal_short_source", attention, &causal, false},
    {"attention_scale", attention, &scale, false},
    {"attention_grouped", attention_default, NULL, false},
    {"attention_grouped_causal", attention, &causal, false},
    {"attention_mask", attention, &mask, false},
    {"attention_mask_broadcast", attention, &mask, false},
    {"attention_mask_causal", attention, &mask_causal, false},
    {"attention_mask_empty_row", attention, &mask, false},
    {"rotary", rotary, NULL, false},
    {"rotary_interleaved", rotary, &interleaved, false},
    {"rotary_positions", rotary_positions, &base, false},
    {"rotary_positions_batch", rotary_positions, &interleaved, false},
    ROW(multi_head),
    ROW(multi_head_causal_no_bias),
    ROW(multi_head_grouped_rotary),
    ROW(multi_head_source_mask),
    {"multi_head_dropout", multi_head_dropout, NULL, true},
    ROW(lstm_cell),
    ROW(lstm_cell_from_zeros),
    ROW(gru_cell),
    ROW(gru_cell_from_zeros),
    ROW(lstm),
    ROW(lstm_states_backwards),
    ROW(gru),
    ROW(gru_states_backwards),
    {"gru_long", gru, NULL, false},
    ROW(embedding),
    ROW(embedding_padding),
    ROW(glu),
    ROW(geglu),
    ROW(swiglu),
    ROW(reglu),
    EINSUM("einsum_matmul", "ij,jk->ik", 2),
    EINSUM("einsum_implicit", "ij,jk", 2),
    EINSUM("einsum_implicit_order", "ba", 1),
    EINSUM("einsum_batch", "bij,bjk->bki", 2),
    EINSUM("einsum_attention", "bthw, bshw -> bhts", 2),
    EINSUM("einsum_trace", "ii", 1),
    EINSUM("einsum_diagonal", "iji->ij", 1),
    EINSUM("einsum_diagonal_of_three", "iii->i", 1),
    EINSUM("einsum_two_diagonals", "ijij,jk->ik", 2),
    EINSUM("einsum_sums", "ijk,lj->k", 2),
    EINSUM("einsum_outer", "i,j,k->kji", 3),
    EINSUM("einsum_elementwise", "ij,ij->ji", 2),
    EINSUM("einsum_chain", "ab,bc,cd,de->ea", 4),
    EINSUM("einsum_bilinear", "bn,anm,bm->ba", 3),
    EINSUM("einsum_scalar", "i,i->", 2),
    EINSUM("einsum_sums_of_both", "i,jk->", 2),
    EINSUM("einsum_capitals", "aB,Bc", 2),
    ROW(logsumexp),
    ROW(logsumexp_axis_keep),
    ROW(logsumexp_large),
    {"logsumexp_infinite", logsumexp, NULL, false},
    {"logsumexp_all_infinite", logsumexp, NULL, false},
    ROW(softmax_axis),
    ROW(log_softmax),
    ROW(log_softmax_axis),
    ROW(one_hot),
    ROW(norm_1),
    ROW(norm_2),
    ROW(norm_infinity),
    ROW(norm_1_of_zero),
    ROW(norm_2_of_zero),
    ROW(norm_infinity_of_zero),
    ROW(normalize),
    ROW(normalize_1_epsilon),
    ROW(variance),
    ROW(variance_unbiased_keep),
    ROW(standard_deviation),
    ROW(standard_deviation_of_equals),
    ROW(cosine_similarity),
    ROW(cosine_similarity_axis_epsilon),
    ROW(clip_by_norm_over),
    ROW(clip_by_norm_under),
    ROW(clip_by_norm_of_zero),
    {0},
};

int main(void) { return oracle_main("tests/golden/oracle_attention.safetensors", cases); }
