/* Layers: plain functions over values, with variables by name. */
#ifndef THALWEG_NN_H
#define THALWEG_NN_H

#include <thalweg/init.h>
#include <thalweg/operators.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tw_dense_opts {
    tw_init weight; /* default: He normal */
    bool no_bias;
    bool relu;
    void *reserved_[4];
} tw_dense_opts;
/* x (..., in) -> (..., units). Variables name/weight (in, units), name/bias (units). */
TW_API tw_value tw_dense(tw_value x, const char *name, int64_t units, const tw_dense_opts *opts);

typedef struct tw_conv_layer_opts {
    tw_conv_opts conv;
    tw_init weight; /* default: He normal */
    bool no_bias;
    void *reserved_[4];
} tw_conv_layer_opts;
/* x (batch, space..., in) -> (batch, space..., filters); window[] has an extent for each spatial
 * axis. Variables name/weight (space..., in/groups, filters), name/bias (filters). */
TW_API tw_value tw_conv_layer(tw_value x, const char *name, int64_t filters, const int64_t *window,
                              const tw_conv_layer_opts *opts);

/* Each channel by itself: filters = channels * multiplier, those of channel c from c * multiplier
 * on. opts->conv.groups stays 0. Variables name/weight (space..., 1, filters), name/bias. */
TW_API tw_value tw_depthwise_conv_layer(tw_value x, const char *name, int64_t multiplier,
                                        const int64_t *window, const tw_conv_layer_opts *opts);

typedef struct tw_conv_transpose_layer_opts {
    tw_conv_transpose_opts conv;
    tw_init weight; /* default: He normal */
    bool no_bias;
    void *reserved_[4];
} tw_conv_transpose_layer_opts;
/* tw_conv_transpose: x (batch, space..., in) -> (batch, space..., filters). Variables name/weight
 * (space..., filters/groups, in), name/bias (filters). */
TW_API tw_value tw_conv_transpose_layer(tw_value x, const char *name, int64_t filters,
                                        const int64_t *window,
                                        const tw_conv_transpose_layer_opts *opts);

/*
 * Normalisations: y = (x - mean) / sqrt(variance + epsilon) * scale + bias, where the variance is
 * divided by the number of elements. Variables name/scale, name/bias, both (channels), the last
 * extent of x; they start at 1 and 0.
 */
typedef struct tw_norm_opts {
    double epsilon; /* 0: 1e-5; TW_ZERO: none */
    bool no_scale, no_bias;
    void *reserved_[4];
} tw_norm_opts;
/* x (..., channels): over the last axis. Ba, Kiros & Hinton 2016. */
TW_API tw_value tw_layer_norm(tw_value x, const char *name, const tw_norm_opts *opts);
/* The same about zero: y = x / sqrt(mean(x^2) + epsilon) * scale; there is no bias. Zhang &
 * Sennrich 2019. */
TW_API tw_value tw_rms_norm(tw_value x, const char *name, const tw_norm_opts *opts);
/* x (batch, space..., channels): over space and a group of neighbouring channels of each example;
 * `groups` divides the channels. Wu & He 2018. */
TW_API tw_value tw_group_norm(tw_value x, const char *name, int64_t groups,
                              const tw_norm_opts *opts);
/* x (batch, space..., channels): over the space of each example and channel. */
TW_API tw_value tw_instance_norm(tw_value x, const char *name, const tw_norm_opts *opts);

typedef struct tw_batch_norm_opts {
    double epsilon;  /* 0: 1e-5 */
    double momentum; /* 0: 0.1; running = (1 - momentum) running + momentum batch's */
    bool no_scale, no_bias;
    bool frozen; /* running statistics in training too, which stay as they are */
    void *reserved_[4];
} tw_batch_norm_opts;
/*
 * x (batch, space..., channels): over all but the channels. Ioffe & Szegedy 2015. A training graph
 * uses the batch's statistics and moves the running ones, name/mean and name/variance, which are
 * not trained, toward them (the variance there divided by the number of elements less 1; fewer than
 * two elements are refused). Others use the running ones, and tw_minimize refuses such a graph
 * unless the layer is frozen.
 */
TW_API tw_value tw_batch_norm(tw_value x, const char *name, const tw_batch_norm_opts *opts);

/* x > 0 ? x : slope x, with a learnt name/slope (channels), the last extent of x, from 0.25. */
TW_API tw_value tw_prelu(tw_value x, const char *name);

typedef struct tw_embedding_opts {
    tw_init weight; /* default: normal(1) */
    tw_dtype dtype; /* a float type; 0: f32 */
    /* With `padded`, `padding` is an index whose result is a zero row and whose row of the weight
     * gets no gradient: PyTorch's padding_idx, but zeros whatever the row itself holds. */
    bool padded;
    int64_t padding;
    void *reserved_[4];
} tw_embedding_opts;
/* indices (...) -> (..., width). Variable name/weight (vocabulary, width); a negative index gives a
 * zero row. */
TW_API tw_value tw_embedding(tw_value indices, const char *name, int64_t vocabulary, int64_t width,
                             const tw_embedding_opts *opts);

/* Keeps with probability 1 - rate, scales by its inverse. Training graphs only: elsewhere it is x
 * itself, and tw_minimize refuses the graph unless rate is 0. */
TW_API tw_value tw_dropout(tw_value x, double rate, const void *opts);

typedef struct tw_multi_head_opts {
    tw_value source;  /* (batch, source, any width): keys and values are of it; absent: of x */
    int64_t kv_heads; /* heads of keys and values, a divisor of heads; 0: heads */
    int64_t width;    /* of one head; 0: x's width / heads, which must divide */
    bool causal;      /* as in tw_attention_opts */
    bool rotary;      /* turn queries and keys by their positions (tw_rotary); not with a source */
    bool no_bias;
    tw_rotary_opts rotation; /* with `rotary` */
    tw_value positions;      /* with `rotary`: (time) or (batch, time) integers; absent: 0, 1, .. */
    tw_value mask;  /* bool, true: may attend; broadcasts to (batch, heads, time, source) */
    double scale;   /* of the scores; 0: 1 / sqrt(width) */
    double dropout; /* of the probabilities, in training graphs; as tw_dropout's rate */
    tw_init weight; /* of every projection; default: Xavier uniform */
    void *reserved_[4];
} tw_multi_head_opts;
/*
 * Multi-head attention (Vaswani et al. 2017, section 3.2.2): x (batch, time, in) -> (batch, time,
 * in). Variables name/query, name/key, name/value, name/out, each with weight (in, out) and bias.
 */
TW_API tw_value tw_multi_head_attention(tw_value x, const char *name, int64_t heads,
                                        const tw_multi_head_opts *opts);

/*
 * Recurrent cells, with PyTorch's formulas and order of gates. Variables name/input/weight (in,
 * gates * units), name/input/bias, name/hidden/weight (units, gates * units), name/hidden/bias;
 * two biases as PyTorch has them. All start uniform in +-1 / sqrt(units).
 */
typedef struct tw_recurrent_opts {
    tw_init weight; /* of both weights; default as above */
    bool no_bias;
    /* tw_lstm and tw_gru only. */
    bool backwards;            /* from the last step to the first; results stay in x's order */
    tw_value h, c;             /* first state (batch, units); absent: zeros. c: tw_lstm */
    tw_value *last_h, *last_c; /* where the state after the last step goes, unless NULL */
    void *reserved_[4];
} tw_recurrent_opts;
/*
 * Hochreiter & Schmidhuber 1997, with a forget gate (Gers et al. 2000). x (batch, in), h and c
 * (batch, units), or absent for zeros. Gates i, f, g, o = x input + h hidden; c' = sigmoid(f) c +
 * sigmoid(i) tanh(g), h' = sigmoid(o) tanh(c').
 */
TW_API void tw_lstm_cell(tw_value x, tw_value h, tw_value c, const char *name, int64_t units,
                         tw_value *h_out, tw_value *c_out, const tw_recurrent_opts *opts);
/*
 * Cho et al. 2014, the reset gate after the product: r, z, n in this order; r and z are sigmoids
 * of x input + h hidden, n = tanh(x input + r (h hidden)), h' = (1 - z) n + z h.
 */
TW_API tw_value tw_gru_cell(tw_value x, tw_value h, const char *name, int64_t units,
                            const tw_recurrent_opts *opts);
/* The cells over x (batch, time, in) -> (batch, time, units), unrolled: time must be a number from
 * 1. The variables are the cell's. */
TW_API tw_value tw_lstm(tw_value x, const char *name, int64_t units, const tw_recurrent_opts *opts);
TW_API tw_value tw_gru(tw_value x, const char *name, int64_t units, const tw_recurrent_opts *opts);

#ifdef __cplusplus
}
#endif
#endif
