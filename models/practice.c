/* The textbook's practice graph: L = MSE(w2 . ReLU(w1 x), y), one step of gradient descent. */
#include "models.h"

#include <thalweg/thalweg.h>

typedef struct practice {
    int64_t in, hidden, out;
    tw_optimizer optimizer;
} practice;

static const practice default_size = {784, 256, 10, {.kind = TW_SGD, .rate = 0.1}};
static const practice tiny_size = {6, 4, 2, {.kind = TW_SGD, .rate = 0.1}};

static void inputs(tw_graph *graph, int64_t batch, tw_value *in, const void *config) {
    const practice *model = config;
    in[0] = tw_input(graph, "x", TW_F32, TW_SHAPE(batch, model->in));
    in[1] = tw_input(graph, "y", TW_F32, TW_SHAPE(batch, model->out));
}

static tw_value prediction_of(tw_graph *graph, tw_value x, const practice *model) {
    tw_value w1 =
        tw_parameter(graph, "w1", TW_F32, TW_SHAPE(model->in, model->hidden), tw_he_normal());
    tw_value w2 =
        tw_parameter(graph, "w2", TW_F32, TW_SHAPE(model->hidden, model->out), tw_he_normal());
    return tw_matmul(tw_relu(tw_matmul(x, w1)), w2);
}

static void loss(tw_graph *graph, const tw_value *in, tw_value *out, const void *config) {
    out[0] = tw_mse(prediction_of(graph, in[0], config), in[1]);
}

/* Correct is a row whose largest prediction stands where the target's largest does. */
static void metrics(tw_graph *graph, const tw_value *in, tw_value *out, const void *config) {
    tw_value prediction = prediction_of(graph, in[0], config);
    out[0] = tw_mse(prediction, in[1]);
    out[1] = tw_correct(prediction, tw_argmax(in[1], -1));
}

static void predict(tw_graph *graph, const tw_value *in, tw_value *out, const void *config) {
    out[0] = prediction_of(graph, in[0], config);
}

static const tw_optimizer *optimizer(const void *config) {
    return &((const practice *)config)->optimizer;
}

const tw_model *practice_model(void) {
    static const tw_model_preset presets[] = {
        {"default", &default_size},
        {"tiny", &tiny_size},
        {NULL, NULL},
    };
    static const tw_model_field fields[] = {
        {"in", "elements of x", TW_FIELD_INT64, offsetof(practice, in)},
        {"hidden", "elements of the hidden layer", TW_FIELD_INT64, offsetof(practice, hidden)},
        {"out", "elements of y", TW_FIELD_INT64, offsetof(practice, out)},
        {NULL, NULL, 0, 0},
    };
    static const tw_model model = {
        .version = TW_MODEL_VERSION,
        .name = "practice",
        .about = "the textbook graph, L = MSE(w2 . ReLU(w1 x), y); SGD",
        .presets = presets,
        .n_in = 2,
        .inputs = inputs,
        .loss = loss,
        .metrics = metrics,
        .optimizer = optimizer,
        .config_size = sizeof(practice),
        .fields = fields,
        .predict = predict,
    };
    return &model;
}
