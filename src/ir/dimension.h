/* Extents: constants, or polynomials in named symbols, interned so that equal ones share a handle. */
#ifndef IR_DIMENSION_H
#define IR_DIMENSION_H

#include <thalweg/operator.h>

#include "base/context.h"
#include "base/text.h"

dimension_table *dimension_table_new(tw_context *context);
void dimension_table_free(tw_context *context, dimension_table *table);

/* Whether `dim` is a constant extent or a handle of this context. */
bool dimension_exists(const tw_context *context, int64_t dim);
/* Number of symbols so far; symbol i's name. */
int dimension_symbols(const tw_context *context);
const char *dimension_symbol_name(const tw_context *context, int i);
/* The number under bound[] (one entry a symbol, -1 where unbound); TW_DIM_NONE when unbound. */
int64_t dimension_evaluate(const tw_context *context, int64_t dim, const int64_t *bound, int n);
/* Where just one symbol of `dim` is unbound, and `dim` is linear in it: gives that symbol, and in
 * *value the number that makes `dim` equal to `extent`, TW_DIM_NONE if no number from 0 does.
 * Otherwise -1. */
int dimension_solve(const tw_context *context, int64_t dim, const int64_t *bound, int n,
                    int64_t extent, int64_t *value);
void dimension_print(const tw_context *context, int64_t dim, text *out); /* "2*n+1" */
/* Parses such a text from *at on, which it moves past it; TW_DIM_NONE when malformed. */
int64_t dimension_parse(tw_context *context, const char **at);

/* Here, so that a run, which asks for each tensor, copies none of them. */
static inline bool shape_equal(tw_shape a, tw_shape b) {
    if (a.rank != b.rank || a.rank < 0 || a.rank > TW_MAX_RANK) return false;
    for (int i = 0; i < a.rank; i++)
        if (a.dim[i] != b.dim[i]) return false;
    return true;
}
static inline bool type_equal(tw_type a, tw_type b) {
    return a.dtype == b.dtype && shape_equal(a.shape, b.shape);
}
bool shape_known(tw_shape shape); /* no symbolic extent */
/* Number of elements of a known shape, -1 on overflow. */
int64_t shape_elements(tw_shape shape);
/* A list of axes as bits. */
static inline uint32_t axes_bits(const tw_shape *axes) {
    uint32_t bits = 0;
    for (int i = 0; i < axes->rank; i++) bits |= 1u << axes->dim[i];
    return bits;
}
void shape_print(const tw_context *context, tw_shape shape, text *out); /* "[2,n]" */
void type_print(const tw_context *context, tw_type type, text *out);    /* "f32[2,n]" */
/* These move *at past what they read, or leave it at what is malformed and give false. */
bool dtype_parse(const char **at, tw_dtype *out);
bool shape_parse(tw_context *context, const char **at, tw_shape *out);
bool type_parse(tw_context *context, const char **at, tw_type *out);

#endif
