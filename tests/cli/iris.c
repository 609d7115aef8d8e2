/* A model of a user's own, as `thalweg train iris.c` compiles it: classes from a row of numbers. */
#include <thalweg/thalweg.h>

typedef struct iris {
    int64_t features, hidden, classes;
    double rate;
} iris;

static const iris small_size = {4, 8, 3, 0.02};

static void inputs(tw_graph *graph, int64_t batch, tw_value *in, const void *config) {
    const iris *model = config;
    in[0] = tw_input(graph, "features", TW_F32, TW_SHAPE(batch, model->features));
    in[1] = tw_input(graph, "label", TW_I32, TW_SHAPE(batch));
}

static tw_value logits_of(tw_value x, const iris *model) {
    x = tw_dense(x, "fc1", model->hidden, &(tw_dense_opts){.relu = true});
    return tw_dense(x, "fc2", model->classes, NULL);
}

static void loss(tw_graph *graph, const tw_value *in, tw_value *out, const void *config) {
    (void)graph;
    out[0] = tw_cross_entropy(logits_of(in[0], config), in[1], NULL);
}

static void metrics(tw_graph *graph, const tw_value *in, tw_value *out, const void *config) {
    (void)graph;
    tw_value logits = logits_of(in[0], config);
    out[0] = tw_cross_entropy(logits, in[1], NULL);
    out[1] = tw_correct(logits, in[1]);
}

static void predict(tw_graph *graph, const tw_value *in, tw_value *out, const void *config) {
    (void)graph;
    out[0] = tw_softmax(logits_of(in[0], config));
}

static const tw_optimizer *optimizer(const void *config) {
    static tw_optimizer adam = {.kind = TW_ADAM};
    adam.rate = ((const iris *)config)->rate;
    return &adam;
}

const tw_model *thalweg_model(void);
const tw_model *thalweg_model(void) {
    static const tw_model_preset presets[] = {{"small", &small_size}, {NULL, NULL}};
    static const tw_model_field fields[] = {
        {"features", "numbers of a row", TW_FIELD_INT64, offsetof(iris, features)},
        {"hidden", "units of the hidden layer", TW_FIELD_INT64, offsetof(iris, hidden)},
        {"rate", "Adam's rate", TW_FIELD_DOUBLE, offsetof(iris, rate)},
        {NULL, NULL, 0, 0},
    };
    static const tw_model model = {
        .version = TW_MODEL_VERSION,
        .name = "iris",
        .about = "two dense layers over a row of numbers",
        .presets = presets,
        .n_in = 2,
        .inputs = inputs,
        .loss = loss,
        .metrics = metrics,
        .optimizer = optimizer,
        .config_size = sizeof(iris),
        .fields = fields,
        .predict = predict,
    };
    return &model;
}
