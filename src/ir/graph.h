/*
 * The graph's inside: values, nodes, variables, functions of a module. A tw_graph is one
 * closed function; graphs of one module share an arena. Nodes stand in topological order.
 */
#ifndef IR_GRAPH_H
#define IR_GRAPH_H

#include <string.h>
#include <thalweg/operator.h>

#include "base/arena.h"
#include "base/vector.h"
#include "ir/variable.h"

typedef enum phase { PHASE_FORWARD, PHASE_BACKWARD, PHASE_UPDATE } phase;

enum { MOST_BESIDE = 8 }; /* nodes side by side */

/* What every rewrite inherits (node_meta of the node it replaces). */
enum { CALL_DEPTH = 256 }; /* functions that call each other, at most: hostile text nests them */

typedef struct node_meta {
    phase phase;
    const char *scope;  /* "h0/ln1", "" at the top */
    const char *source; /* "file.c:12" or NULL */
    int epoch;          /* recompute epoch: equal nodes of different epochs stay apart */
    int beside;         /* 1: computed side by side with the node before, if that can be */
} node_meta;

typedef struct node {
    const tw_operator *op;
    int n_operands, n_results;
    uint32_t *operand;     /* value ids, resolved; ABSENT for an optional one left out */
    uint32_t first_result; /* results are the values first_result .. + n_results - 1 */
    tw_attr *attr;
    node_meta meta;
} node;

static inline bool node_is(const node *it, const char *name) {
    return strcmp(it->op->name, name) == 0;
}

#define ABSENT UINT32_MAX
#define NO_NODE UINT32_MAX

typedef enum value_kind {
    VALUE_RESULT = 1,
    VALUE_REFERENCE,
    VALUE_POISON,
    VALUE_DROPPED
} value_kind;

typedef struct value {
    value_kind kind;
    tw_type type;
    uint32_t node, result; /* VALUE_RESULT: which node's which result */
    uint32_t variable;     /* VALUE_REFERENCE: index into the graph's variables */
    void *tensor;          /* immediate graphs: the executor's own, one hold */
    uint32_t tape;         /* the tape it was made under; a handle of another is stale */
} value;

/* A variable as this graph uses it. */
typedef struct graph_variable {
    variable_spec spec;
    uint32_t reference; /* the handle's value id */
    uint32_t initial;   /* the `variable` node's result */
    uint32_t current;   /* what a use reads now; differs from initial once assigned */
} graph_variable;

typedef struct assignment {
    uint32_t variable, value;
} assignment;

typedef struct tape_frame {
    uint32_t tape; /* the outer generation */
    size_t nodes, values, variables, assigns, functions;
    const char *skipped;
    size_t scopes;
    struct version {
        uint32_t initial, current;
    } *outer; /* of each variable of the outer tapes, as it was */
    const char *source;
    arena_mark mark;
} tape_frame;

/* How many random operators a step had in a scope (by its path's hash). */
typedef struct draw_count {
    uint64_t scope, count;
} draw_count;

typedef struct module {
    tw_context *context;
    arena arena;
    VECTOR(tw_graph *) functions; /* [0] is the main graph */
    int next_function;
} module;

struct tw_graph {
    object object;
    module *module;
    const char *name; /* "main", or the function's */
    tw_graph *outer;  /* while a function is traced: the graph whose variables it uses */
    tw_store *store;
    variable_table *table; /* the store's, or NULL */
    tw_mode mode;
    bool training, check;
    VECTOR(node) nodes;
    VECTOR(value) values;
    VECTOR(graph_variable) variables;
    VECTOR(uint32_t) inputs;     /* value ids of `input` nodes, in order */
    VECTOR(uint32_t) outputs;    /* value ids */
    VECTOR(assignment) assigns;  /* every tw_assign in source order */
    VECTOR(const char *) scopes; /* stack of full scope paths */
    VECTOR(tape_frame) tapes;
    uint32_t tape, next_tape;
    node_meta
        meta; /* what a new node gets: phase and epoch; scope from the stack or `meta.scope` */
    bool scope_fixed;               /* meta.scope overrides the stack (a rewrite inherits) */
    const variable_spec *declaring; /* while a variable's node is appended: its declaration */
    uint32_t
        random_run; /* variable index + 1 of "random/run", 0 before the first random operator */
    bool run_counted;
    VECTOR(draw_count) draws; /* of this step */
    const char *skipped;      /* the first layer left out because training is off, and its scope */
    tw_status status;
    char message[2048];
};

/* What runs the nodes of immediate graphs; filled in by a lower layer. */
typedef struct executor {
    tw_status (*compute)(tw_graph *graph, uint32_t node); /* sets the results' tensors */
    tw_status (*read)(tw_graph *graph, uint32_t value, void *destination, size_t bytes);
    void (*drop)(void *tensor);
    void *(*hold)(void *tensor);
    tw_status (*commit)(tw_graph *graph, size_t from); /* assigns from index `from` on */
    /* whether the tensor of a `variable` node is still the store's */
    bool (*is_stored)(tw_graph *graph, uint32_t node);
} executor;

/* tw_graph_new, for a store whose variables are `table` (NULL without a store). */
tw_graph *graph_new_for(tw_context *context, tw_store *store, variable_table *table, tw_mode mode,
                        bool training);
/* The scope that a node appended now gets. */
const char *graph_scope(const tw_graph *graph);
/* Frees the module's functions past the first `keep`. */
void graph_drop_functions(tw_graph *graph, size_t keep);
/* Its nodes and values go; nothing may ask for them any more. */
void graph_empty(tw_graph *graph);

/* A layer that only training graphs have was left out here; the graph keeps the first one. */
void graph_skip_layer(tw_graph *graph, const char *layer);

/* The first error sticks; gives `status`. */
tw_status graph_error(tw_graph *graph, tw_status status, const char *format, ...) TW_PRINTF(3, 4);

/* The handle of value `id`, and the value a handle stands for (ABSENT for none; ABSENT and an
 * error in the graph for a poisoned, stale or foreign one): references read the current version. */
tw_value graph_handle(tw_graph *graph, uint32_t id);
uint32_t graph_resolve(tw_graph *graph, tw_value handle);

/* The value that a use of the variable reads now. In an immediate graph, a version that the store
 * has left behind is read again. */
uint32_t graph_current(tw_graph *graph, uint32_t variable);
/* Drops the elements of the values from index `from` on. */
void graph_drop_tensors(tw_graph *graph, size_t from);

/* Appends a node with resolved operands; attr as tw_apply. Gives the node's index or NO_NODE. */
uint32_t graph_append(tw_graph *graph, const tw_operator *op, int n, const uint32_t *operand,
                      const tw_attr *attr);
/* Appends a node of another graph of the module again, on operands of the types it had: nothing is
 * inferred. It gets graph's metadata. The node's index or NO_NODE. */
uint32_t graph_copy(tw_graph *graph, const tw_graph *from, const node *it, const uint32_t *operand);
/* The same of an `input` or a `variable`, which the graph then lists too. Its value id or ABSENT. */
uint32_t graph_copy_source(tw_graph *graph, const tw_graph *from, const node *it);
/* A value that no node computes: an immediate graph's data, or what a tape keeps. Takes over one
 * hold of `tensor`. */
uint32_t graph_leaf(tw_graph *graph, tw_type type, void *tensor);
/* Get or create the variable of that full path; the handle is a reference. */
tw_value graph_declare(tw_graph *graph, const char *path, tw_type type, tw_init init,
                       bool trainable);
/* A new function in graph's module, of no inputs yet. */
tw_graph *graph_function(tw_graph *graph, const char *name);
/* A composite's body for these operand types, as a new function of the module: its inputs are
 * the operands, its outputs the results. Absent operands stay absent. NULL on failure. */
tw_graph *graph_body(tw_graph *graph, const tw_operator *op, int n, const tw_type *operand,
                     const bool *absent, const tw_attr *attr);
/* Copies all nodes of `body` but those with effects into `to`, its inputs standing for operand[], and gives the results. */
bool graph_inline(tw_graph *to, const tw_graph *body, const uint32_t *operand, uint32_t *results);

/*
 * A model function as a closed function of graph's module. Its inputs are in[], then the variables
 * that it uses; its outputs are n_out, then the last version of each variable that it assigns.
 * Scopes and counts of random operators go on from where the graph stands.
 */
typedef struct function_trace {
    tw_graph *function;
    int n_variables, n_assigned;
    tw_value variable[TW_MAX_OPERANDS]; /* the graph's own handles */
    tw_value assigned[TW_MAX_RESULTS];
} function_trace;
bool graph_trace(tw_graph *graph, const char *name, tw_function build, const void *config, int n_in,
                 const tw_type *in, int n_out, function_trace *out);

/* Marks in live[] (a byte per node, zeroed by the caller) the nodes that the values depend on. */
void graph_mark(const tw_graph *graph, size_t n, const uint32_t *values, uint8_t *live);
/* The value that variable i of the graph ends with. */
uint32_t graph_final(const tw_graph *graph, uint32_t variable);

/* The run counter "random/run", declared at its first use. */
tw_value graph_random_run(tw_graph *graph);
/* Counts a random operator in `scope`: gives how many it had in this step before. */
uint64_t graph_draw(tw_graph *graph, const char *scope);
/* Adds one to the run counter of random numbers if the graph draws any; done once, at the end. */
void graph_count_run(tw_graph *graph);

/* Whether the operator stands for the function that its first attribute names. */
bool operator_calls(const tw_operator *op);
int operator_attr_count(const tw_operator *op);
/* Number of operand names and results; most is INT_MAX for "x...". */
void operator_arity(const tw_operator *op, int *least, int *most, int *results);
/* Fills defaults for all attributes. */
tw_status operator_defaults(tw_context *context, const tw_operator *op, tw_attr *out);
/* The registry; builtin entries come from ops. */
operator_table *operator_table_new(tw_context *context);
void operator_table_free(tw_context *context, operator_table *table);

#endif
