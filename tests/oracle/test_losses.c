/* The losses with their options against PyTorch's numbers; scripts/oracle_losses.py makes them. */
#include "support/oracle.h"

#define LOSS(name)                                                                                 \
    static void name(tw_graph *graph, const tw_value *in, tw_value *out, const void *config)
#define UNUSED (void)graph, (void)in, (void)config

/* Inputs 0 and 1 the operands, input 2 the weights where `weighted`. */
typedef struct regression {
    tw_value (*loss)(tw_value, tw_value, const tw_regression_opts *);
    bool weighted;
    double delta;
} regression;
LOSS(build_regression) {
    UNUSED;
    const regression *c = config;
    tw_regression_opts opts = {.delta = c->delta};
    if (c->weighted) opts.weights = in[2];
    out[0] = c->loss(in[0], in[1], &opts);
}
LOSS(build_mse) {
    UNUSED;
    out[0] = tw_mse(in[0], in[1]);
}

typedef struct entropy {
    int class_weights, weights; /* which input, 0: none */
    double smoothing;
    bool ignore;
    int64_t ignored;
} entropy;
LOSS(build_entropy) {
    UNUSED;
    const entropy *c = config;
    tw_cross_entropy_opts opts = {
        .smoothing = c->smoothing, .ignore = c->ignore, .ignored = c->ignored};
    if (c->class_weights) opts.class_weights = in[c->class_weights];
    if (c->weights) opts.weights = in[c->weights];
    out[0] = tw_cross_entropy(in[0], in[1], &opts);
}

typedef struct binary {
    int pos_weight, weights;
} binary;
LOSS(build_binary) {
    UNUSED;
    const binary *c = config;
    tw_binary_cross_entropy_opts opts = {.weights = {0}};
    if (c->pos_weight) opts.pos_weight = in[c->pos_weight];
    if (c->weights) opts.weights = in[c->weights];
    out[0] = tw_binary_cross_entropy(in[0], in[1], &opts);
}

typedef struct divergence {
    bool log_target, weighted;
} divergence;
LOSS(build_divergence) {
    UNUSED;
    const divergence *c = config;
    tw_kl_divergence_opts opts = {.log_target = c->log_target};
    if (c->weighted) opts.weights = in[2];
    out[0] = tw_kl_divergence(in[0], in[1], &opts);
}

typedef struct hinge {
    tw_value (*loss)(tw_value, tw_value, const tw_hinge_opts *);
    bool weighted, squared;
    double margin;
} hinge;
LOSS(build_hinge) {
    UNUSED;
    const hinge *c = config;
    tw_hinge_opts opts = {.margin = c->margin, .squared = c->squared};
    if (c->weighted) opts.weights = in[2];
    out[0] = c->loss(in[0], in[1], &opts);
}

typedef struct similarity {
    tw_value (*loss)(tw_value, tw_value, tw_value, const tw_similarity_opts *);
    bool weighted, swap;
    double margin;
} similarity;
LOSS(build_similarity) {
    UNUSED;
    const similarity *c = config;
    tw_similarity_opts opts = {.margin = c->margin, .swap = c->swap};
    if (c->weighted) opts.weights = in[3];
    out[0] = c->loss(in[0], in[1], in[2], &opts);
}
LOSS(build_info_nce) {
    UNUSED;
    tw_info_nce_opts opts = {.temperature = 0.5, .symmetric = true};
    if (config) opts.weights = in[2];
    out[0] = tw_info_nce(in[0], in[1], config ? &opts : NULL);
}

LOSS(build_margin_ranking) {
    UNUSED;
    tw_ranking_opts opts = {.margin = 0.4};
    if (config) opts.weights = in[3];
    out[0] = tw_margin_ranking(in[0], in[1], in[2], config ? &opts : NULL);
}
typedef struct listwise {
    tw_value (*loss)(tw_value, tw_value, const tw_ranking_opts *);
    bool weighted;
} listwise;
LOSS(build_listwise) {
    UNUSED;
    const listwise *c = config;
    tw_ranking_opts opts = {.margin = 0};
    if (c->weighted) opts.weights = in[2];
    out[0] = c->loss(in[0], in[1], &opts);
}

typedef struct alignment {
    tw_ctc_opts opts;
    bool weighted, logarithms;
} alignment;
LOSS(build_ctc) {
    UNUSED;
    const alignment *c = config;
    tw_ctc_opts opts = c->opts;
    if (c->weighted) opts.weights = in[4];
    out[0] = tw_ctc(c->logarithms ? tw_log_softmax(in[0]) : in[0], in[1], in[2], in[3], &opts);
}

static const oracle_case cases[] = {
    {"mse", build_mse, NULL, false},
    {"squared_error", build_regression, &(const regression){tw_squared_error, true, 0}, false},
    {"l1", build_regression, &(const regression){tw_l1, false, 0}, false},
    {"l1_weights", build_regression, &(const regression){tw_l1, true, 0}, false},
    {"huber", build_regression, &(const regression){tw_huber, false, 0}, false},
    {"huber_delta", build_regression, &(const regression){tw_huber, true, 0.6}, false},
    {"smooth_l1", build_regression, &(const regression){tw_smooth_l1, false, 0}, false},
    {"smooth_l1_beta", build_regression, &(const regression){tw_smooth_l1, true, 0.4}, false},
    {"ce", build_entropy, &(const entropy){.smoothing = 0}, false},
    {"ce_large", build_entropy, &(const entropy){.smoothing = 0}, false},
    {"ce_smooth", build_entropy, &(const entropy){.smoothing = 0.2}, false},
    {"ce_class", build_entropy, &(const entropy){.class_weights = 2}, false},
    {"ce_class_smooth", build_entropy, &(const entropy){.class_weights = 2, .smoothing = 0.3},
     false},
    {"ce_ignore_0", build_entropy, &(const entropy){.ignore = true}, false},
    {"ce_ignore_2", build_entropy,
     &(const entropy){.class_weights = 2, .smoothing = 0.1, .ignore = true, .ignored = 2}, false},
    {"ce_rows", build_entropy, &(const entropy){.weights = 2, .smoothing = 0.25}, false},
    {"ce_all", build_entropy, &(const entropy){2, 3, 0.25, true, 3}, false},
    {"ce_dense", build_entropy, &(const entropy){.smoothing = 0}, false},
    {"ce_dense_class", build_entropy, &(const entropy){.class_weights = 2, .smoothing = 0.3},
     false},
    {"ce_dense_weights", build_entropy, &(const entropy){.weights = 2}, false},
    {"bce", build_binary, &(const binary){0, 0}, false},
    {"bce_extreme", build_binary, &(const binary){0, 0}, false},
    {"bce_extreme_pos", build_binary, &(const binary){2, 0}, false},
    {"bce_all", build_binary, &(const binary){2, 3}, false},
    {"kl", build_divergence, &(const divergence){false, false}, false},
    {"kl_zeros", build_divergence, &(const divergence){false, false}, false},
    {"kl_log", build_divergence, &(const divergence){true, false}, false},
    {"kl_rows", build_divergence, &(const divergence){false, true}, false},
    {"hinge", build_hinge, &(const hinge){tw_hinge, false, false, 0}, false},
    {"hinge_squared", build_hinge, &(const hinge){tw_hinge, true, true, 0.5}, false},
    {"multi_margin", build_hinge, &(const hinge){tw_multi_margin, false, false, 0}, false},
    {"multi_margin_squared", build_hinge, &(const hinge){tw_multi_margin, true, true, 0.5}, false},
    {"cosine", build_similarity, &(const similarity){tw_cosine_embedding, false, false, 0}, false},
    {"cosine_margin", build_similarity, &(const similarity){tw_cosine_embedding, true, false, 0.3},
     false},
    {"contrastive", build_similarity, &(const similarity){tw_contrastive, false, false, 0}, false},
    {"contrastive_margin", build_similarity, &(const similarity){tw_contrastive, true, false, 2.5},
     false},
    {"contrastive_equal", build_similarity, &(const similarity){tw_contrastive, false, false, 0},
     false},
    {"triplet", build_similarity, &(const similarity){tw_triplet_margin, false, false, 0}, false},
    {"triplet_swap", build_similarity, &(const similarity){tw_triplet_margin, true, true, 0.7},
     false},
    {"info_nce", build_info_nce, NULL, false},
    {"info_nce_symmetric", build_info_nce, "weighted", false},
    {"margin_ranking", build_margin_ranking, NULL, false},
    {"margin_ranking_margin", build_margin_ranking, "weighted", false},
    {"listnet", build_listwise, &(const listwise){tw_listnet, false}, false},
    {"listnet_padded", build_listwise, &(const listwise){tw_listnet, true}, false},
    {"listmle", build_listwise, &(const listwise){tw_listmle, false}, false},
    {"listmle_padded", build_listwise, &(const listwise){tw_listmle, true}, false},
    {"pairwise", build_listwise, &(const listwise){tw_pairwise_logistic, false}, false},
    {"pairwise_padded", build_listwise, &(const listwise){tw_pairwise_logistic, true}, false},
    {"ctc", build_ctc, &(const alignment){.weighted = false}, false},
    {"ctc_long", build_ctc, &(const alignment){.weighted = false}, false},
    {"ctc_per_label", build_ctc, &(const alignment){.opts = {.per_label = true}}, false},
    {"ctc_weights", build_ctc, &(const alignment){.weighted = true}, false},
    {"ctc_blank", build_ctc, &(const alignment){.opts = {.blank = 4}}, false},
    {"ctc_no_labels", build_ctc, &(const alignment){.weighted = false}, false},
    {"ctc_impossible", build_ctc, &(const alignment){.opts = {.zero_infinity = true}}, false},
    {"ctc_infinite", build_ctc, &(const alignment){.weighted = false}, false},
    {"ctc_logs", build_ctc,
     &(const alignment){.opts = {.log_probabilities = true}, .logarithms = true}, false},
    {.name = NULL},
};

int main(void) { return oracle_main("tests/golden/oracle_losses.safetensors", cases); }
