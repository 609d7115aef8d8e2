/*
 * Initialisers: how variables start. Element i follows from (store seed, path, i) alone, whatever
 * else is made, and in whatever order.
 *
 * Fans: fan_in is the number of elements over the last axis (in, out), fan_out that over the axis
 * before it; for a window (space..., in, out) each counts the window. 1 where there is no such
 * axis.
 */
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
/* A normal of that deviation, drawn again until within +-2 deviations; what is left has 0.8796
 * times the deviation. */
TW_API tw_init tw_truncated_normal(double deviation);

typedef enum tw_fan { TW_FAN_IN = 1, TW_FAN_OUT, TW_FAN_AVERAGE } tw_fan;
typedef enum tw_spread {
    TW_SPREAD_NORMAL = 1,
    TW_SPREAD_UNIFORM,
    TW_SPREAD_TRUNCATED /* a normal within +-2 deviations, widened to the deviation asked for */
} tw_spread;
/* Mean 0, deviation gain / sqrt(fan). All of the following are this one. */
TW_API tw_init tw_fan_init(double gain, tw_fan fan, tw_spread spread);
/* He et al. 2015: gain sqrt(2), fan in. */
TW_API tw_init tw_he_normal(void);
TW_API tw_init tw_he_uniform(void);
/* Glorot & Bengio 2010: gain 1, the average of both fans: uniform in +-sqrt(6 / (in + out)). */
TW_API tw_init tw_xavier_normal(void);
TW_API tw_init tw_xavier_uniform(void);
/* LeCun et al. 1998: gain 1, fan in. */
TW_API tw_init tw_lecun_normal(void);
TW_API tw_init tw_lecun_uniform(void);

/*
 * Saxe et al. 2014: gain times a random matrix with orthonormal columns, or rows where these are
 * fewer. Axes before the last are taken together: (rank 2 or more) is (elements over the last
 * axis, last axis). Takes time rows * columns * min(rows, columns).
 */
TW_API tw_init tw_orthogonal(double gain);

#ifdef __cplusplus
}
#endif
#endif
