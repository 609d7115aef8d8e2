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

typedef struct tw_embedding_opts {
    tw_init weight; /* default: normal(1) */
    void *reserved_[4];
} tw_embedding_opts;
/* Variable name/weight (vocabulary, width); a negative index gives a zero row. */
TW_API tw_value tw_embedding(tw_value indices, const char *name, int64_t vocabulary, int64_t width,
                             const tw_embedding_opts *opts);

/* Keeps with probability 1 - rate, scales by its inverse. Training graphs only: elsewhere it is x
 * itself, and tw_minimize refuses the graph unless rate is 0. */
TW_API tw_value tw_dropout(tw_value x, double rate, const void *opts);

#ifdef __cplusplus
}
#endif
#endif
