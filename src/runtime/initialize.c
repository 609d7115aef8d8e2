/*
 * The initialisers. Element i draws from Philox under the key hash(seed, path) at counter i / 2,
 * so that neither order of creation nor threads matter.
 */
#include "runtime/initialize.h"

#include <math.h>
#include <string.h>
#include <thalweg/init.h>

#include "base/number.h"
#include "ir/dimension.h"
#include "runtime/tensor.h"

static tw_init init_of(initialize_kind kind, double a, double b) {
    return (tw_init){.kind = (int)kind, .a = a, .b = b};
}

tw_init tw_zeros_init(void) { return init_of(INITIALIZE_CONSTANT, 0, 0); }
tw_init tw_constant_init(double value) { return init_of(INITIALIZE_CONSTANT, value, 0); }
tw_init tw_normal(double deviation) { return init_of(INITIALIZE_NORMAL, deviation, 0); }
tw_init tw_uniform(double low, double high) { return init_of(INITIALIZE_UNIFORM, low, high); }
tw_init tw_truncated_normal(double deviation) {
    return init_of(INITIALIZE_TRUNCATED, deviation, 0);
}
tw_init tw_fan_init(double gain, tw_fan fan, tw_spread spread) {
    return init_of(INITIALIZE_FAN, gain, 8.0 * fan + spread);
}
tw_init tw_he_normal(void) { return tw_fan_init(sqrt(2), TW_FAN_IN, TW_SPREAD_NORMAL); }
tw_init tw_he_uniform(void) { return tw_fan_init(sqrt(2), TW_FAN_IN, TW_SPREAD_UNIFORM); }
tw_init tw_xavier_normal(void) { return tw_fan_init(1, TW_FAN_AVERAGE, TW_SPREAD_NORMAL); }
tw_init tw_xavier_uniform(void) { return tw_fan_init(1, TW_FAN_AVERAGE, TW_SPREAD_UNIFORM); }
tw_init tw_lecun_normal(void) { return tw_fan_init(1, TW_FAN_IN, TW_SPREAD_NORMAL); }
tw_init tw_lecun_uniform(void) { return tw_fan_init(1, TW_FAN_IN, TW_SPREAD_UNIFORM); }
tw_init tw_orthogonal(double gain) { return init_of(INITIALIZE_ORTHOGONAL, gain, 0); }

/* Elements over the extent of one axis counted from the end; 1 where there is no such axis. */
static double fan(tw_shape shape, int from_end) {
    int64_t elements = shape_elements(shape);
    if (shape.rank < from_end || shape.dim[shape.rank - from_end] == 0) return 1;
    return (double)(elements / shape.dim[shape.rank - from_end]);
}

/* In (0, 1): 53 bits of two words. */
static double unit(uint32_t high, uint32_t low) {
    uint64_t bits = (uint64_t)high << 21 ^ low >> 11;
    return ((double)bits + 0.5) * 0x1p-53;
}

/* Two normals from four words: Box & Muller 1958. */
static void normal_pair(const uint32_t word[4], double deviation, double pair[2]) {
    double radius = deviation * sqrt(-2 * log(unit(word[0], word[1])));
    double angle = 6.283185307179586476925 * unit(word[2], word[3]);
    pair[0] = radius * cos(angle);
    pair[1] = radius * sin(angle);
}

/* The standard normal of element i, drawn again until within +-2; the tries are the counter's high
 * half. One try fails with probability 0.002, as each gives two. */
static double truncated(uint64_t key, uint64_t i) {
    for (uint64_t round = 0;; round++) {
        uint32_t word[4];
        double pair[2];
        philox(key, i, round, word);
        normal_pair(word, 1, pair);
        if (fabs(pair[0]) <= 2) return pair[0];
        if (fabs(pair[1]) <= 2) return pair[1];
    }
}

/* The form without fans; kind DEFAULT for a fan or spread that there is none of. */
static tw_init fan_form(tw_shape shape, tw_init init) {
    int which = (int)init.b / 8, spread = (int)init.b % 8;
    double in = fan(shape, 1), out = fan(shape, 2);
    double over = which == TW_FAN_IN ? in : which == TW_FAN_OUT ? out : (in + out) / 2;
    double deviation = init.a / sqrt(over);
    if (which < TW_FAN_IN || which > TW_FAN_AVERAGE) return init_of(INITIALIZE_DEFAULT, 0, 0);
    switch (spread) {
    case TW_SPREAD_NORMAL: return tw_normal(deviation);
    case TW_SPREAD_UNIFORM: return tw_uniform(-deviation * sqrt(3), deviation * sqrt(3));
    case TW_SPREAD_TRUNCATED: /* the deviation of a standard normal within +-2 */
        return tw_truncated_normal(deviation / 0.87962566103423978);
    default: return init_of(INITIALIZE_DEFAULT, 0, 0);
    }
}

static double dot(int64_t n, const double *a, const double *b) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

/* `count` vectors of `length` elements each, count <= length: Gram & Schmidt, each vector twice
 * (Giraud et al. 2005: twice is enough). False for vectors that depend on each other. */
static bool orthonormalize(int64_t count, int64_t length, double *q) {
    for (int64_t k = 0; k < count; k++) {
        double *v = q + k * length;
        for (int pass = 0; pass < 2; pass++)
            for (int64_t j = 0; j < k; j++) {
                const double *u = q + j * length;
                double part = dot(length, u, v);
                for (int64_t i = 0; i < length; i++) v[i] -= part * u[i];
            }
        double norm = sqrt(dot(length, v, v));
        if (!(norm > 1e-100)) return false;
        for (int64_t i = 0; i < length; i++) v[i] /= norm;
    }
    return true;
}

static tw_status fill_orthogonal(tw_context *context, const variable_spec *spec, uint64_t key,
                                 void *data) {
    tw_shape shape = spec->type.shape;
    if (shape.rank < 2)
        return context_error(context, TW_ERR_ARGUMENT,
                             "variable \"%s\": tw_orthogonal needs rank 2 or more, not %d",
                             spec->path, (int)shape.rank);
    int64_t elements = shape_elements(shape), columns = shape.dim[shape.rank - 1];
    if (!elements) return TW_OK;
    int64_t rows = elements / columns, count = rows < columns ? rows : columns;
    int64_t length = elements / count;
    double *q = context_allocate(context, (size_t)elements, sizeof *q);
    if (!q) return context_error(context, TW_ERR_MEMORY, "out of memory for an initial value");
    for (int64_t i = 0; i < elements; i += 2) {
        uint32_t word[4];
        double pair[2];
        philox(key, (uint64_t)i / 2, 0, word);
        normal_pair(word, 1, pair);
        q[i] = pair[0];
        if (i + 1 < elements) q[i + 1] = pair[1];
    }
    bool good = orthonormalize(count, length, q);
    /* The vectors are the rows of the matrix, or its columns. */
    for (int64_t k = 0; good && k < count; k++)
        for (int64_t i = 0; i < length; i++)
            element_write(spec->type.dtype, data, count == rows ? k * columns + i : i * columns + k,
                          spec->init.a * q[k * length + i]);
    context_release(context, q);
    if (good) return TW_OK;
    return context_error(context, TW_ERR_ARGUMENT, "variable \"%s\": the draws are not independent",
                         spec->path);
}

/* Elements i and i + 1. */
static void draw_pair(tw_init init, uint64_t key, int64_t i, double pair[2]) {
    uint32_t word[4];
    pair[0] = pair[1] = init.a;
    if (init.kind == INITIALIZE_CONSTANT) return;
    if (init.kind == INITIALIZE_TRUNCATED) {
        for (int k = 0; k < 2; k++) pair[k] = init.a * truncated(key, (uint64_t)(i + k));
        return;
    }
    philox(key, (uint64_t)i / 2, 0, word);
    if (init.kind == INITIALIZE_UNIFORM) {
        pair[0] = init.a + (init.b - init.a) * unit(word[0], word[1]);
        pair[1] = init.a + (init.b - init.a) * unit(word[2], word[3]);
    } else {
        normal_pair(word, init.a, pair);
    }
}

tw_status initialize_fill(tw_context *context, const variable_spec *spec, uint64_t seed,
                          void *data) {
    int64_t elements = shape_elements(spec->type.shape);
    uint64_t key = hash_string(hash_bytes(HASH_START, &seed, sizeof seed), spec->path);
    tw_init init = spec->init;
    if (init.kind == INITIALIZE_ORTHOGONAL) return fill_orthogonal(context, spec, key, data);
    if (init.kind == INITIALIZE_DEFAULT) init = tw_zeros_init();
    if (init.kind == INITIALIZE_FAN) init = fan_form(spec->type.shape, init);
    if (init.kind < INITIALIZE_CONSTANT || init.kind > INITIALIZE_TRUNCATED)
        return context_error(context, TW_ERR_ARGUMENT,
                             "variable \"%s\": no initialiser of kind %d (%g, %g); use tw_normal() "
                             "and the like",
                             spec->path, spec->init.kind, spec->init.a, spec->init.b);
    for (int64_t i = 0; i < elements; i += 2) {
        double pair[2];
        draw_pair(init, key, i, pair);
        element_write(spec->type.dtype, data, i, pair[0]);
        if (i + 1 < elements) element_write(spec->type.dtype, data, i + 1, pair[1]);
    }
    return TW_OK;
}
