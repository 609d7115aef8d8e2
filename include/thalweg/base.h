/* Status codes, element types, shapes and the context: what every other header needs. */
#ifndef THALWEG_BASE_H
#define THALWEG_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define TW_API __attribute__((visibility("default")))
#define TW_PRINTF(text, first) __attribute__((format(printf, text, first)))
#else
#define TW_API
#define TW_PRINTF(text, first)
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Negative is failure. TW_END says that a source of data is used up; it is no error. */
typedef enum tw_status {
    TW_OK = 0,
    TW_END = 1,
    TW_ERR_NULL = -1,         /* a required argument was NULL (often an earlier failure) */
    TW_ERR_MEMORY = -2,       /* out of memory, or a size that does not fit */
    TW_ERR_ARGUMENT = -3,     /* an argument outside its range */
    TW_ERR_SHAPE = -4,        /* shapes that do not fit together */
    TW_ERR_TYPE = -5,         /* element types that do not fit together */
    TW_ERR_INDEX = -6,        /* an index tensor held an index past the end */
    TW_ERR_NOT_FOUND = -7,    /* no such file, variable, operator */
    TW_ERR_FORMAT = -8,       /* malformed text or file */
    TW_ERR_IO = -9,           /* the system failed to read or write */
    TW_ERR_STALE = -10,       /* a value of a tape that has ended, or of another graph */
    TW_ERR_BUSY = -11,        /* the store is in use by an assigning run */
    TW_ERR_UNSUPPORTED = -12, /* well-formed, but not built yet or not differentiable */
    TW_ERR_NUMBER = -13       /* check mode found a NaN or an infinity */
} tw_status;

/* f16 (IEEE 754 binary16) and bf16 (the upper half of an f32) are types to store: an operator on
 * them computes in f32 and rounds its results once, to the nearest, ties to even. */
typedef enum tw_dtype {
    TW_BOOL = 1,
    TW_U8,
    TW_I32,
    TW_I64,
    TW_U32,
    TW_F16,
    TW_BF16,
    TW_F32,
    TW_F64
} tw_dtype;

/* Bytes of one element; 0 for a number that names no type. */
TW_API size_t tw_dtype_size(tw_dtype dtype);
/* "f32", "bool", ...; "?" for a number that names no type. */
TW_API const char *tw_dtype_name(tw_dtype dtype);

enum { TW_MAX_RANK = 8 };

/*
 * Extents, outermost first. dim[i] >= 0 is a constant; a very negative dim[i] is a handle of a
 * polynomial in named symbols that is bound when a program runs (tw_symbol), and may be passed
 * on but not computed with. Other negative numbers, like -1, are refused by every operator.
 */
typedef struct tw_shape {
    int32_t rank, reserved_;
    int64_t dim[TW_MAX_RANK];
} tw_shape;

typedef struct tw_type {
    tw_dtype dtype;
    tw_shape shape;
} tw_type;

/* A shape of `rank` extents. A rank outside 0..8 gives a shape that every operator rejects. */
static inline tw_shape tw_shape_make(int rank, const int64_t *dim) {
    tw_shape shape = {rank, 0, {0}};
    for (int i = 0; i < rank && i < TW_MAX_RANK; i++) shape.dim[i] = dim[i];
    return shape;
}

typedef struct tw_context tw_context;

/* Zero, or NULL for the whole struct, is the default of each field. */
typedef struct tw_context_opts {
    /* Default: as many as the machine has cores. A thread without work looks for some for a few milliseconds; with
     * OMP_WAIT_POLICY=passive, or where there are more threads than cores, it sleeps at once. */
    int threads;
    /* Memory: allocate(user, NULL, n) is malloc, (p, n) realloc, (p, 0) free. Default: the C library's, with
     * huge pages asked for where a tensor or a program takes 4 MiB and more. */
    void *(*allocate)(void *user, void *old, size_t bytes);
    void *allocate_user;
    /* Where generated code is kept for the next process; "" keeps none. Default: $THALWEG_CACHE, else
     * $XDG_CACHE_HOME/thalweg, else ~/.cache/thalweg. Must outlive the context. */
    const char *cache;
    int vectors; /* bytes of the widest vectors in generated code: 64, 32, 16; default: the CPU's */
    bool no_codegen; /* plain kernels only */
    void *reserved_[4];
} tw_context_opts;

/*
 * A context outlives all that is made in it, and is used by one thread at a time.
 * NULL when memory is out. tw_context_free ends everything that was made in it.
 */
TW_API tw_context *tw_context_new(const tw_context_opts *opts);
TW_API void tw_context_free(tw_context *context);

/* The latest failure and its message: what was given, what was expected, what to do. */
TW_API tw_status tw_last_status(const tw_context *context);
TW_API const char *tw_message(const tw_context *context);

/* The extent named `name`, the same handle for the same name. Names: [a-z_]+. */
TW_API int64_t tw_symbol(tw_context *context, const char *name);

#ifdef __cplusplus
}
template <class... T> inline tw_shape tw_shape_of_list(T... dim) {
    const int64_t list[] = {0, static_cast<int64_t>(dim)...};
    return tw_shape_make(static_cast<int>(sizeof...(dim)), list + 1);
}
#define TW_SHAPE(...) tw_shape_of_list(__VA_ARGS__)
#else
/* TW_SHAPE(2, 3) is a matrix, TW_SHAPE() a scalar. */
#define TW_SHAPE(...)                                                                              \
    tw_shape_make((int)(sizeof((int64_t[]){0, __VA_ARGS__}) / sizeof(int64_t)) - 1,                \
                  (int64_t[]){0, __VA_ARGS__} + 1)
#endif
#endif
