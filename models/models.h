/* The built-in models: one C file each, over the public interface only. */
#ifndef MODELS_MODELS_H
#define MODELS_MODELS_H

#include <thalweg/model.h>

#ifdef __cplusplus
extern "C" {
#endif

const tw_model *convnet_model(void);
const tw_model *mlp_model(void);
const tw_model *practice_model(void);

/* The i-th built-in model, NULL past the end. */
const tw_model *models_at(int i);
/* The model of that name, NULL when there is none. */
const tw_model *models_find(const char *name);
/* The preset of that name, the first one for NULL; NULL when there is none. */
const tw_model_preset *models_preset(const tw_model *model, const char *name);

#ifdef __cplusplus
}
#endif
#endif
