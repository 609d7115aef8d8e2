/*
 * A model as the command line knows it: a struct that a C file exports. `thalweg train my_model.c`
 * compiles the file against these headers and calls its thalweg_model().
 */
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

/* A field of the configuration that `--set name=value` changes. */
typedef enum tw_field_kind { TW_FIELD_INT = 1, TW_FIELD_INT64, TW_FIELD_DOUBLE } tw_field_kind;
typedef struct tw_model_field {
    const char *name, *about;
    tw_field_kind kind;
    size_t offset; /* offsetof(configuration, field) */
} tw_model_field;

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
    /* From version 2 on; may be left out. */
    size_t config_size;           /* of a configuration: needed for fields */
    const tw_model_field *fields; /* ends with a NULL name */
    tw_function predict;          /* the first n_predict inputs -> predictions, one row each */
    int n_predict;                /* default 1 */
    bool no_correct;              /* metrics gives the loss alone: regression */
    void *reserved_[8];
} tw_model;

enum { TW_MODEL_VERSION = 2 };

#ifdef __cplusplus
}
#endif
#endif
