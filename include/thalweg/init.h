/* Initialisers: how variables start. The numbers follow from the store's seed and the path. */
#ifndef THALWEG_INIT_H
#define THALWEG_INIT_H

#include <thalweg/graph.h>

#ifdef __cplusplus
extern "C" {
#endif

TW_API tw_init tw_zeros_init(void);
TW_API tw_init tw_constant_init(double value);
TW_API tw_init tw_normal(double deviation);
TW_API tw_init tw_uniform(double low, double high);
/* He et al. 2015: normal with deviation sqrt(2 / fan_in); fan_in is the size over the last axis. */
TW_API tw_init tw_he_normal(void);
/* Glorot & Bengio 2010: uniform in +-sqrt(6 / (fan_in + fan_out)). */
TW_API tw_init tw_xavier_uniform(void);

#ifdef __cplusplus
}
#endif
#endif
