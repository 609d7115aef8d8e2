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
tw_init tw_he_normal(void) { return init_of(INITIALIZE_HE_NORMAL, 0, 0); }
tw_init tw_xavier_uniform(void) { return init_of(INITIALIZE_XAVIER_UNIFORM, 0, 0); }

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

/* The two-parameter forms that all kinds come down to. */
static tw_init reduce_kind(const variable_spec *spec) {
    tw_shape shape = spec->type.shape;
    switch (spec->init.kind) {
    case INITIALIZE_DEFAULT: return tw_zeros_init();
    case INITIALIZE_HE_NORMAL: return tw_normal(sqrt(2 / fan(shape, 1)));
    case INITIALIZE_XAVIER_UNIFORM: {
        double bound = sqrt(6 / (fan(shape, 1) + fan(shape, 2)));
        return tw_uniform(-bound, bound);
    }
    default: return spec->init;
    }
}

tw_status initialize_fill(tw_context *context, const variable_spec *spec, uint64_t seed,
                          void *data) {
    int64_t elements = shape_elements(spec->type.shape);
    uint64_t key = hash_string(hash_bytes(HASH_START, &seed, sizeof seed), spec->path);
    tw_init init = reduce_kind(spec);
    if (init.kind < INITIALIZE_CONSTANT || init.kind > INITIALIZE_UNIFORM)
        return context_error(context, TW_ERR_ARGUMENT,
                             "variable \"%s\": no initialiser of kind %d; use tw_normal() and "
                             "the like",
                             spec->path, spec->init.kind);
    for (int64_t i = 0; i < elements; i += 2) {
        uint32_t word[4];
        double pair[2] = {init.a, init.a};
        if (init.kind != INITIALIZE_CONSTANT) philox(key, (uint64_t)i / 2, 0, word);
        if (init.kind == INITIALIZE_UNIFORM) {
            pair[0] = init.a + (init.b - init.a) * unit(word[0], word[1]);
            pair[1] = init.a + (init.b - init.a) * unit(word[2], word[3]);
        } else if (init.kind == INITIALIZE_NORMAL) { /* Box & Muller 1958 */
            double radius = init.a * sqrt(-2 * log(unit(word[0], word[1])));
            double angle = 6.283185307179586476925 * unit(word[2], word[3]);
            pair[0] = radius * cos(angle);
            pair[1] = radius * sin(angle);
        }
        element_write(spec->type.dtype, data, i, pair[0]);
        if (i + 1 < elements) element_write(spec->type.dtype, data, i + 1, pair[1]);
    }
    return TW_OK;
}
