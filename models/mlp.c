/* A perceptron of two hidden layers over flattened images. */
#include "models.h"

#include <thalweg/thalweg.h>

typedef struct mlp {
    int64_t pixels, hidden, classes;
    tw_optimizer optimizer;
} mlp;

static const mlp default_size = {784, 512, 10, {.kind = TW_ADAM, .rate = 1e-3}};
static const mlp tiny_size = {784, 32, 10, {.kind = TW_ADAM, .rate = 1e-3}};

static void inputs(tw_graph *graph, int64_t batch, tw_value *in, const void *config) {
    const mlp *model = config;
    in[0] = tw_input(graph, "images", TW_F32, TW_SHAPE(batch, model->pixels));
    in[1] = tw_input(graph, "labels", TW_I32, TW_SHAPE(batch));
}

static tw_value logits_of(tw_value images, const mlp *model) {
    const tw_dense_opts relu = {.relu = true};
    tw_value x = tw_dense(images, "fc1", model->hidden, &relu);
    x = tw_dense(x, "fc2", model->hidden, &relu);
    return tw_dense(x, "fc3", model->classes, NULL);
}

static void metrics(tw_graph *graph, const tw_value *in, tw_value *out, const void *config) {
    (void)graph;
    tw_value logits = logits_of(in[0], config);
    out[0] = tw_cross_entropy(logits, in[1], NULL);
    out[1] = tw_correct(logits, in[1]);
}

static void loss(tw_graph *graph, const tw_value *in, tw_value *out, const void *config) {
    (void)graph;
    out[0] = tw_cross_entropy(logits_of(in[0], config), in[1], NULL);
}

/* Probabilities of the classes. */
static void predict(tw_graph *graph, const tw_value *in, tw_value *out, const void *config) {
    (void)graph;
    out[0] = tw_softmax(logits_of(in[0], config));
}

static const tw_optimizer *optimizer(const void *config) {
    return &((const mlp *)config)->optimizer;
}

const tw_model *mlp_model(void) {
    static const tw_model_preset presets[] = {
        {"default", &default_size},
        {"tiny", &tiny_size},
        {NULL, NULL},
    };
    static const tw_model_field fields[] = {
        {"pixels", "elements of an example", TW_FIELD_INT64, offsetof(mlp, pixels)},
        {"hidden", "units of each hidden layer", TW_FIELD_INT64, offsetof(mlp, hidden)},
        {"classes", "classes to tell apart", TW_FIELD_INT64, offsetof(mlp, classes)},
        {NULL, NULL, 0, 0},
    };
    static const tw_model model = {
        .version = TW_MODEL_VERSION,
        .name = "mlp",
        .about = "three dense layers for flattened 28 x 28 images; Adam",
        .presets = presets,
        .n_in = 2,
        .inputs = inputs,
        .loss = loss,
        .metrics = metrics,
        .optimizer = optimizer,
        .config_size = sizeof(mlp),
        .fields = fields,
        .predict = predict,
    };
    return &model;
}
