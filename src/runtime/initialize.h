/* Initial values of variables: what a tw_init says, and the numbers that follow from it. */
#ifndef RUNTIME_INITIALIZE_H
#define RUNTIME_INITIALIZE_H

#include "ir/variable.h"

typedef enum initialize_kind {
    INITIALIZE_DEFAULT,   /* a struct of zeros: zeros */
    INITIALIZE_CONSTANT,  /* a */
    INITIALIZE_NORMAL,    /* mean 0, deviation a */
    INITIALIZE_UNIFORM,   /* a to b */
    INITIALIZE_TRUNCATED, /* normal of deviation a within +-2 a */
    INITIALIZE_FAN,       /* gain a; b = 8 fan + spread */
    INITIALIZE_ORTHOGONAL /* gain a */
} initialize_kind;

/* Fills the variable's elements; they depend on (seed, path, element) alone. */
tw_status initialize_fill(tw_context *context, const variable_spec *spec, uint64_t seed,
                          void *data);

#endif
