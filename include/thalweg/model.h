/* A model as the command line knows it: a struct that a C file exports. */
#ifndef THALWEG_MODEL_H
#define THALWEG_MODEL_H

#include <thalweg/graph.h>
#include <thalweg/optim.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tw_model_preset {
    const char *name;   /* the first preset is the default */
    const void *config; /* what the functions below get */
} tw_model_preset;

typedef struct tw_model {
    int version; /* TW_MODEL_VERSION */
    const char *name, *about;
    const tw_model_preset *presets; /* ends with a NULL name */
    int n_in;
    /* Declares the inputs for a batch of that many examples (may be a symbolic extent). */
    void (*inputs)(tw_graph *graph, int64_t batch, tw_value *in, const void *config);
    tw_function loss;    /* in[] -> the loss */
    tw_function metrics; /* in[] -> loss, number of correct answers (i32 scalar) */
    const tw_optimizer *(*optimizer)(const void *config);
    void *reserved_[4];
} tw_model;

enum { TW_MODEL_VERSION = 1 };

#ifdef __cplusplus
}
#endif
#endif
