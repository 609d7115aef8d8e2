/*
 * A convolutional network for images of 28 x 28 grey pixels, after LeNet-5 (LeCun et al. 1998):
 * two rounds of convolution, ReLU and pooling, then two dense layers.
 */
#include "models.h"

#include <thalweg/thalweg.h>

typedef struct convnet {
    int64_t channels1, channels2, hidden, classes;
    tw_optimizer optimizer;
} convnet;

static const convnet default_size = {32, 64, 128, 10, {.kind = TW_ADAM, .rate = 1e-3}};
static const convnet tiny_size = {4, 8, 16, 10, {.kind = TW_ADAM, .rate = 1e-3}};

enum { SIDE = 28 };

static void inputs(tw_graph *graph, int64_t batch, tw_value *in, const void *config) {
    (void)config;
    in[0] = tw_input(graph, "images", TW_F32, TW_SHAPE(batch, SIDE, SIDE, 1));
    in[1] = tw_input(graph, "labels", TW_I32, TW_SHAPE(batch));
}

/* x (batch, side, side, in) -> (batch, side / 2, side / 2, filters) */
static tw_value round_of(tw_value x, const char *name, int64_t filters) {
    const int64_t window[] = {3, 3};
    const tw_conv_layer_opts same = {.conv = {.same = true, .relu = true}};
    const tw_pool_opts halve = {.window = {2, 2}};
    return tw_max_pool(tw_conv_layer(x, name, filters, window, &same), &halve);
}

static tw_value logits_of(tw_value images, const convnet *model) {
    tw_value x = round_of(images, "conv1", model->channels1);
    x = round_of(x, "conv2", model->channels2);
    const int64_t flat = (SIDE / 4) * (SIDE / 4) * model->channels2;
    x = tw_reshape(x, TW_SHAPE(TW_DIM_INFER, flat));
    x = tw_dense(x, "fc1", model->hidden, &(tw_dense_opts){.relu = true});
    /* Small logits at first, so that the loss starts near log(classes). */
    return tw_dense(x, "fc2", model->classes, &(tw_dense_opts){.weight = tw_normal(0.01)});
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
    return &((const convnet *)config)->optimizer;
}

const tw_model *convnet_model(void) {
    static const tw_model_preset presets[] = {
        {"default", &default_size},
        {"tiny", &tiny_size},
        {NULL, NULL},
    };
    static const tw_model_field fields[] = {
        {"channels1", "filters of the first round", TW_FIELD_INT64, offsetof(convnet, channels1)},
        {"channels2", "filters of the second round", TW_FIELD_INT64, offsetof(convnet, channels2)},
        {"hidden", "units of the hidden layer", TW_FIELD_INT64, offsetof(convnet, hidden)},
        {"classes", "classes to tell apart", TW_FIELD_INT64, offsetof(convnet, classes)},
        {NULL, NULL, 0, 0},
    };
    static const tw_model model = {
        .version = TW_MODEL_VERSION,
        .name = "convnet",
        .about = "two convolutions and two dense layers for 28 x 28 images; Adam",
        .presets = presets,
        .n_in = 2,
        .inputs = inputs,
        .loss = loss,
        .metrics = metrics,
        .optimizer = optimizer,
        .config_size = sizeof(convnet),
        .fields = fields,
        .predict = predict,
    };
    return &model;
}
