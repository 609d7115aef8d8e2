/* The context's inside: memory, errors, the objects it owns, the operator registry's slot. */
#ifndef BASE_CONTEXT_H
#define BASE_CONTEXT_H

#include <stdarg.h>
#include <stdbool.h>
#include <thalweg/base.h>

/* Head of everything that a user holds and the context ends at the latest. */
typedef struct object {
    tw_context *context;
    struct object *next, *previous;
    void (*destroy)(struct object *object); /* frees what it holds, not the object */
    int holds;
} object;

/* The stack behind base/scratch.h. */
typedef struct scratch_chunk {
    void *at;
    size_t bytes;
} scratch_chunk;
typedef struct scratch_stack {
    char *planned; /* the running instruction's place in a program's memory */
    size_t planned_bytes, planned_used;
    struct {
        scratch_chunk *at;
        size_t count, capacity;
    } chunks;
    size_t current, used,
        wanted; /* the chunk in use, bytes of it, bytes of the next one at least */
} scratch_stack;

typedef struct dimension_table dimension_table;
typedef struct operator_table operator_table;

struct tw_context {
    tw_context_opts opts;
    int threads;
    tw_status status;
    char message[2048];
    long refused;   /* allocations that failed, ever */
    object objects; /* ring */
    /* Slots that higher layers fill; the base only carries them. */
    dimension_table *dimensions;
    operator_table *operators;
    const struct executor *executor;
    scratch_stack scratch;
    struct workers *workers; /* of base/parallel.h */
    bool by_openmp, in_parallel;
    void *onednn; /* library primitives; ended by onednn_free unless NULL */
    void (*onednn_free)(tw_context *context);
    void *
        dots; /* inner kernels of generated products and their scratch; ended by dots_free unless NULL */
    void (*dots_free)(tw_context *context);
    void *machine_code; /* what was generated; ended by machine_code_free unless NULL */
    void (*machine_code_free)(tw_context *context);
};

/* Memory by the context's allocator; NULL sets TW_ERR_MEMORY. Zeroed. count*size is checked. */
void *context_allocate(tw_context *context, size_t count, size_t size);
/* Grows; new bytes are not cleared. NULL leaves `old` as it was. */
void *context_resize(tw_context *context, void *old, size_t count, size_t size);
void context_release(tw_context *context, void *memory);
/* `bytes` rounded up and aligned to 64, not cleared; give to context_release_aligned. */
void *context_allocate_aligned(tw_context *context, size_t bytes);
void context_release_aligned(tw_context *context, void *memory);

/* What was released lately goes back to the system, where the C library would keep it for later. */
void context_give_back(tw_context *context);

/* Records the latest failure and gives `status` back. */
tw_status context_error(tw_context *context, tw_status status, const char *format, ...)
    TW_PRINTF(3, 4);
tw_status context_error_v(tw_context *context, tw_status status, const char *format, va_list list);

/* A zeroed object of `size` bytes (its first field is `object`) with one hold; NULL: no memory. */
void *object_new(tw_context *context, size_t size, void (*destroy)(object *));
void *object_hold(void *object);
void object_drop(void *object); /* NULL is fine */

#endif
