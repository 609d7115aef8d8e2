/* The list of built-in models: a new one is added here. */
#include "models.h"

#include <string.h>

const tw_model *models_at(int i) {
    const tw_model *const list[] = {convnet_model(), mlp_model(), practice_model()};
    int count = (int)(sizeof list / sizeof list[0]);
    return i >= 0 && i < count ? list[i] : NULL;
}

const tw_model *models_find(const char *name) {
    const tw_model *model;
    for (int i = 0; name && (model = models_at(i)); i++)
        if (!strcmp(model->name, name)) return model;
    return NULL;
}

const tw_model_preset *models_preset(const tw_model *model, const char *name) {
    for (const tw_model_preset *preset = model->presets; preset->name; preset++)
        if (!name || !strcmp(preset->name, name)) return preset;
    return NULL;
}
