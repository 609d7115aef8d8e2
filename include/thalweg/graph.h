/* Graphs and values: what a model function builds. The operators are in operators.h. */
#ifndef THALWEG_GRAPH_H
#define THALWEG_GRAPH_H

#include <thalweg/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tw_graph tw_graph;
typedef struct tw_store tw_store;
typedef struct tw_tensor tw_tensor;

/*
 * A small handle. All zero is an absent operand. A failed operator gives a poisoned value;
 * operators on it do nothing, and the graph keeps the first error.
 */
typedef struct tw_value {
    tw_graph *graph;
    uint32_t id, tape;
} tw_value;

/* A symbolic graph is compiled; an immediate one computes each node as it is appended. */
typedef enum tw_mode { TW_SYMBOLIC = 1, TW_IMMEDIATE } tw_mode;

typedef struct tw_graph_opts {
    bool training; /* dropout drops, batch norm uses the batch */
    bool check;    /* immediate: as in tw_compile_opts, an operator that makes a NaN fails */
    void *reserved_[4];
} tw_graph_opts;

/* A model as a function: in[] are its inputs, out[] starts as absent values. */
typedef void (*tw_function)(tw_graph *graph, const tw_value *in, tw_value *out, const void *config);

/* How a variable starts; init.h makes them. The numbers follow from (seed, path). */
typedef struct tw_init {
    int kind; /* 0: zeros */
    double a, b;
    void *reserved_[2];
} tw_init;

/* NULL when memory is out. `store` may be NULL for a graph without variables. */
TW_API tw_graph *tw_graph_new(tw_context *context, tw_store *store, tw_mode mode,
                              const tw_graph_opts *opts);
TW_API void tw_graph_free(tw_graph *graph);
TW_API bool tw_training(const tw_graph *graph);
/* The first error of the graph, TW_OK when there is none. */
TW_API tw_status tw_graph_status(const tw_graph *graph);
/* Lets a model function refuse: the graph's first error becomes TW_ERR_ARGUMENT with this text. */
TW_API void tw_fail(tw_graph *graph, const char *format, ...) TW_PRINTF(2, 3);

/* Scopes name variables, keys of random numbers, and boxes in pictures; they nest. */
TW_API void tw_scope_begin(tw_graph *graph, const char *format, ...) TW_PRINTF(2, 3);
TW_API void tw_scope_end(tw_graph *graph);

/* Nodes appended from here on carry this source location, "file.c:12", into text and messages, and
 * so do the nodes derived from them. NULL: none. TW_HERE(graph) names its own line. */
TW_API void tw_source(tw_graph *graph, const char *where);
#define TW_LINE_TEXT_(line) #line
#define TW_LINE_TEXT(line) TW_LINE_TEXT_(line)
#define TW_HERE(graph) tw_source(graph, __FILE__ ":" TW_LINE_TEXT(__LINE__))

TW_API tw_value tw_input(tw_graph *graph, const char *name, tw_dtype dtype, tw_shape shape);
/* The tensor's present contents as a constant; in an immediate graph, the way in for data. */
TW_API tw_value tw_constant(tw_graph *graph, tw_tensor *tensor);
/* Copies `shape` elements from `data`. */
TW_API tw_value tw_constant_of(tw_graph *graph, tw_dtype dtype, tw_shape shape, const void *data);
/* A constant of the type and shape of `like`, every element `number`. */
TW_API tw_value tw_literal(tw_value like, double number);
/* A constant of every element `number`; tw_zeros is tw_full(..., 0). */
TW_API tw_value tw_full(tw_graph *graph, tw_dtype dtype, tw_shape shape, double number);
TW_API tw_value tw_zeros(tw_graph *graph, tw_dtype dtype, tw_shape shape);

/*
 * Get or create the variable at scope path + name. The same path is always the same variable;
 * another type or shape is an error. The handle is a reference: each use reads the current
 * version. tw_variable is state that is not trained.
 */
TW_API tw_value tw_parameter(tw_graph *graph, const char *name, tw_dtype dtype, tw_shape shape,
                             tw_init init);
TW_API tw_value tw_variable(tw_graph *graph, const char *name, tw_dtype dtype, tw_shape shape,
                            tw_init init);
/* Later uses of `variable` read `value`; the last binding of a run or tape goes to the store. */
TW_API tw_value tw_assign(tw_value variable, tw_value value);
/* The version that the variable has now, fixed. */
TW_API tw_value tw_snapshot(tw_value variable);
/* The variable's path, as "fc1/weight"; NULL when `variable` is none. */
TW_API const char *tw_path(tw_value variable);

/* The trainable variables that y depends on, in order of first use. Gives their number, which
 * may exceed `capacity`; fills at most `capacity`. */
TW_API int tw_parameters(tw_value y, int capacity, tw_value *out);

/*
 * dx[i] = d(sum of y) / dx[i], as further nodes of the backward phase; zeros where y does not
 * depend on x[i]. Reverse mode: Griewank & Walther, Evaluating Derivatives, ch. 3.
 */
TW_API void tw_grad(tw_value y, int n, const tw_value *x, tw_value *dx);
/* If `gradient` is a sum of rows at indices (of an embedding), gives the pair and true. */
TW_API bool tw_grad_sparse(tw_value gradient, tw_value *indices, tw_value *rows);

/*
 * out[i] = the function for many examples at once: in[i] is cut along axis[i] (negative counts
 * from the end) and the function sees one example, without that axis; TW_WHOLE: the same for every
 * example. Results get the examples as axis 0. The function may use and create the graph's
 * variables, which all examples share, and may assign to them what no example changes; its random
 * numbers differ by example; values of the graph reach it through in[] only. vmap nests, in
 * gradients and with gradients inside (those of each example).
 */
#define TW_WHOLE INT32_MIN
TW_API void tw_vmap(tw_graph *graph, tw_function function, const void *config, int n_in,
                    const tw_value *in, const int *axis, int n_out, tw_value *out);

TW_API tw_type tw_type_of(tw_value value);
TW_API tw_shape tw_shape_of(tw_value value);
TW_API tw_dtype tw_dtype_of(tw_value value);
TW_API bool tw_ok(tw_value value); /* neither absent nor poisoned nor stale */

/* Immediate graphs: bounds what a step records. keep[] survives the end. Tapes nest. The end
 * commits the assigns and gives the graph's first error, which it clears. */
TW_API void tw_tape_begin(tw_graph *graph);
TW_API tw_status tw_tape_end(tw_graph *graph, int n, tw_value *keep);
/* Immediate graphs: the computed elements; `bytes` is checked. tw_item: of one element, NaN on
 * any failure. */
TW_API tw_status tw_read(tw_value value, void *destination, size_t bytes);
TW_API double tw_item(tw_value value);
/* Writes name, type and the first elements to standard output: an immediate graph at once, a
 * compiled program in every run, when it comes to it. */
TW_API void tw_print(tw_value value);

/*
 * Text of the graph and its functions; tw_graph_parse reads it back. The string is the
 * caller's, to be given to tw_string_free. NULL on failure.
 */
TW_API char *tw_graph_print(tw_graph *graph);
/* The text of the graph after the named passes, space-separated, or after all that tw_compile runs
 * (NULL); "fold simplify sink common order common dead", say. Each result is verified. */
TW_API char *tw_graph_print_passes(tw_graph *graph, const char *passes);
/* The i-th pass in the order in which they are run, and what it does; NULL past the end. */
TW_API const char *tw_pass_name(int i, const char **about);
TW_API tw_graph *tw_graph_parse(tw_context *context, tw_store *store, const char *text);
/* Graphviz DOT: phases in colours, scopes as boxes; after the passes, what one kernel computes as a
 * shaded box. */
TW_API char *tw_graph_dot(tw_graph *graph);
TW_API char *tw_graph_dot_passes(tw_graph *graph, const char *passes);
TW_API void tw_string_free(tw_context *context, char *string);
/*
 * A table for people: a row for each scope of the forward phase with its last output, the numbers of
 * its parameters, floating-point operations, and the bytes that it keeps for the backward phase (of
 * all its results, in a graph without one). '?' where an extent is open. The caller's string.
 */
TW_API char *tw_graph_summary(tw_graph *graph);
/* Checks every rule of the representation. */
TW_API tw_status tw_graph_verify(tw_graph *graph);
/* Names the results of a symbolic graph; tw_compile does it for its outputs. */
TW_API void tw_outputs(tw_graph *graph, int n, const tw_value *out);

#ifdef __cplusplus
}
#include <initializer_list>
#define TW_VALUES(...)                                                                             \
    static_cast<int>(std::initializer_list<tw_value>{__VA_ARGS__}.size()),                         \
        std::initializer_list<tw_value>{__VA_ARGS__}.begin()
#else
/* A list of values as two arguments: their number, their array. */
#define TW_VALUES(...)                                                                             \
    (int)(sizeof((tw_value[]){__VA_ARGS__}) / sizeof(tw_value)), (tw_value[]) { __VA_ARGS__ }
#endif
#endif
