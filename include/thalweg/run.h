/* Tensors, stores, programs: what computes. */
#ifndef THALWEG_RUN_H
#define THALWEG_RUN_H

#include <thalweg/graph.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Elements in memory: dense, row-major, 64-byte aligned when the library allocates. Counted:
 * free drops the caller's hold. NULL on failure. */
TW_API tw_tensor *tw_tensor_new(tw_context *context, tw_dtype dtype, tw_shape shape);
/* Uses the caller's memory without a copy; `release` (may be NULL) is called at the end. */
TW_API tw_tensor *tw_tensor_wrap(tw_context *context, tw_dtype dtype, tw_shape shape, void *data,
                                 void (*release)(void *user), void *user);
TW_API void tw_tensor_free(tw_tensor *tensor);
TW_API tw_type tw_tensor_type(const tw_tensor *tensor);
TW_API size_t tw_tensor_bytes(const tw_tensor *tensor);
/* Copies out or in; `bytes` must be the tensor's. */
TW_API tw_status tw_tensor_get(tw_tensor *tensor, void *destination, size_t bytes);
TW_API tw_status tw_tensor_put(tw_tensor *tensor, const void *source, size_t bytes);
/* The one element of a tensor of one element, as a double; NaN on any failure. */
TW_API double tw_tensor_item(tw_tensor *tensor);
/* Host memory of the elements, valid until the next call on the tensor. */
TW_API void *tw_tensor_map(tw_tensor *tensor);

typedef struct tw_store_opts {
    uint64_t seed; /* initial values and random numbers follow from it */
    void *reserved_[4];
} tw_store_opts;

/* Variables by path: parameters, optimiser state, running statistics. */
TW_API tw_store *tw_store_new(tw_context *context, const tw_store_opts *opts);
TW_API void tw_store_free(tw_store *store);
/* The variable's present value, a hold for the caller; a later run does not change it. NULL and
 * TW_ERR_NOT_FOUND when there is no such path. */
TW_API tw_tensor *tw_store_get(tw_store *store, const char *path);
/* Copies `tensor` into the variable, which is created when missing. */
TW_API tw_status tw_store_set(tw_store *store, const char *path, tw_tensor *tensor);
/* How many steps the optimiser "optimizer" has done; where none has this name (tw_optimizer.name),
 * the most that any has. Each one's own count is the variable "NAME/step". */
TW_API int64_t tw_store_step(const tw_store *store);
/* Exchanges each variable that tw_average follows with its average, without a copy: programs and
 * saves see the averages. Call it again to exchange them back, before training goes on. */
TW_API tw_status tw_store_swap_averages(tw_store *store);
/* Number of variables, and the i-th one's path in order of creation; NULL past the end. */
TW_API int tw_store_size(const tw_store *store);
TW_API const char *tw_store_path(const tw_store *store, int i);
/* One safetensors file; load creates what is missing and refuses another type or shape. */
TW_API tw_status tw_store_save(tw_store *store, const char *path);
TW_API tw_status tw_store_load(tw_store *store, const char *path);

typedef struct tw_program tw_program;

typedef struct tw_compile_opts {
    bool read_only; /* drop every assign */
    bool reference; /* compute f32 in f64 by the plain kernels: the truth that tests compare with */
    bool plain;     /* no library kernels */
    bool as_built;  /* the graph without the passes; reference and check imply it */
    bool check;     /* slow: tw_run fails with TW_ERR_NUMBER at the first operator that makes a NaN
                     * or an infinity, before any assign, and names it, its scope and operands */
    /* A budget in bytes for the peak (tw_memory), 0 for none. Work of the forward phase is done again
     * rather than kept until it is met, by the same operators (other fusion may
     * change last bits); or compiling fails with TW_ERR_MEMORY,
     * and says by how much. Extents have to be numbers. */
    size_t memory;
    void *reserved_[3];
} tw_compile_opts;

/* Compiles what `out` and the assigns need. The graph may be freed after. NULL on failure. */
TW_API tw_program *tw_compile(tw_graph *graph, int n_in, const tw_value *in, int n_out,
                              const tw_value *out, const tw_compile_opts *opts);
TW_API void tw_program_free(tw_program *program);
/*
 * in[] in tw_compile's order; out[i] NULL is allocated, is the caller's, and is used again next
 * time. All assigns commit at the end of a run that succeeds, none of one that fails. out[i] may
 * be a tensor of in[], unless a later output is that input itself, or the passes find that it is
 * (-(-x)): such a run is refused. No two of out[] share memory. What is in them after a run that
 * fails is undefined.
 */
TW_API tw_status tw_run(tw_program *program, tw_tensor *const *in, tw_tensor **out);
/* The instruction list, as text; the caller's (tw_string_free). Results show their place in the
 * transient memory, "@offset+bytes": always where all extents are numbers, else as in the latest
 * run. */
TW_API char *tw_program_print(tw_program *program);
/* Planned bytes of transient memory for the latest run's extents; 0 before the first one. */
TW_API size_t tw_program_memory(const tw_program *program);

/* What a run needs at its peak, in bytes. */
typedef struct tw_memory {
    size_t parameters; /* of trainable variables */
    size_t state;      /* of other variables: optimiser state, statistics, counts */
    size_t spares;     /* next values of variables that are not updated in place */
    size_t constants;
    size_t
        transients;   /* what lives within a run, kernels' workspaces included: tw_program_memory */
    size_t arguments; /* inputs and outputs */
    size_t peak;      /* all of them */
} tw_memory;
/* Before a run with these inputs; in NULL: where no extent depends on them, else as in the latest run. */
TW_API tw_status tw_program_plan(tw_program *program, tw_tensor *const *in, tw_memory *out);
/* The plan as one line: "peak 16.1 MiB: parameters 2.6 MiB, ..."; the caller's (tw_string_free). */
TW_API char *tw_memory_print(tw_context *context, const tw_memory *memory);

/* Where a program's time goes: a row for each instruction, or for the elementwise instructions that
 * run as one, in the order in which they run. */
typedef struct tw_profile_row {
    const char *operators; /* "dot", "mul+add+tanh"; the profile's, as scope is */
    const char *scope;     /* of the first */
    double seconds;        /* the median over the runs */
    double start;          /* in the last run, from its begin */
    double flops, bytes;   /* bytes: read and written in memory, not in blocks of scratch */
} tw_profile_row;
typedef struct tw_profile tw_profile;
/* Runs the program once to warm up, then `runs` times, as tw_run would: assigns are done. */
TW_API tw_profile *tw_profile_new(tw_program *program, tw_tensor *const *in, tw_tensor **out,
                                  int runs);
TW_API void tw_profile_free(tw_profile *profile);
/* The i-th row, NULL past the end. */
TW_API const tw_profile_row *tw_profile_at(const tw_profile *profile, int i);
/* The median of whole runs; what the rows leave over is binding, copies of outputs, dispatch. */
TW_API double tw_profile_seconds(const tw_profile *profile);

typedef struct tw_jit tw_jit;

typedef struct tw_jit_opts {
    bool training;
    bool check;       /* as in tw_compile_opts */
    const char *open; /* a letter per input opens its axis 0 under that name; '-' keeps it */
    size_t memory;    /* as in tw_compile_opts; nothing may be open then */
    void *reserved_[3];
} tw_jit_opts;

/* Runs a model function compiled: traced once for each set of input types. Copies the
 * configuration; pointers in it must stay valid. */
TW_API tw_jit *tw_jit_new(tw_context *context, tw_store *store, tw_function function, int n_in,
                          int n_out, const void *config, size_t config_size,
                          const tw_jit_opts *opts);
TW_API void tw_jit_free(tw_jit *jit);
/* The plan of a run with these inputs, which compiles for them where that was not done yet. */
TW_API tw_status tw_jit_plan(tw_jit *jit, tw_tensor *const *in, tw_memory *out);
TW_API tw_status tw_jit_run(tw_jit *jit, tw_tensor *const *in, tw_tensor **out);

#ifdef __cplusplus
}
#endif
#endif
