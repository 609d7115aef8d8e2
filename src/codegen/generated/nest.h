/*
 * The loops of a fused function: its box of elements with neighbouring axes merged wherever all that it
 * reads and writes goes on from one to the next. Extents stay open; the structure alone decides the
 * code.
 */
#ifndef CODEGEN_GENERATED_NEST_H
#define CODEGEN_GENERATED_NEST_H

#include "base/arena.h"
#include "ir/graph.h"

/* By their first axis that changes fastest: the innermost. */
typedef enum nest_form {
    NEST_ELEMENTS = 1, /* no reductions */
    NEST_ROWS,         /* the innermost axis is reduced: a row's elements lie side by side */
    NEST_COLUMNS /* the innermost axis stays: sums of neighbouring columns go along together */
} nest_form;

/* One way in which an input is read: its axes among the nest's. */
typedef struct nest_load {
    int input; /* of the function; as many as there are of these: the product */
    uint32_t axes;
    tw_dtype dtype;
} nest_load;

typedef struct nest_store {
    uint32_t value; /* of the function */
    uint32_t axes;
    tw_dtype dtype;
    int how; /* of a reduction: its attribute + 1; 0: none */
} nest_store;

enum {
    NEST_LOADS = 40,
    NEST_BLOCK = 8192 /* elements of a unit of elementwise work */
};

typedef struct nest {
    const tw_graph *function;
    nest_form form;
    tw_shape domain;
    const node *product; /* a dot or convolution of all of the box, read like an input; NULL */
    int columns; /* ... of which the axes from here on are its second operand's, or a sample's */
    bool whole_rows;  /* ... for which a unit is all of the innermost axis */
    uint32_t reduced; /* axes of the domain that go, as bits */
    int n_axes;
    struct {
        uint32_t of; /* axes of the domain, as bits */
        bool reduced;
    } axis[TW_MAX_RANK];
    int n_loads, n_stores;
    nest_load load[NEST_LOADS];
    nest_store store[TW_MAX_RESULTS];
    uint8_t *row;   /* by value: it has the axes that stay */
    uint8_t *phase; /* by value: how many reductions, one after the other, it waits for */
    uint8_t *after; /* by row value: the phase whose sums it needs */
    int phases;     /* at least 1 */
    bool cuttable;  /* the reduction may be cut into pieces, whose results are combined after */
} nest;

/* False where the function is no nest, or memory is out. The arrays are in `memory`. */
bool nest_find(nest *out, const tw_graph *function, arena *memory);

/* The load by which node `it` reads operand k; -1 for a value of the function's own. */
int nest_load_of(const nest *n, const node *it, int k);
/* The load of the product; -1 without one. */
int nest_load_of_product(const nest *n);

/* Steps of the expressions of all values of all axes. */
int nest_weight(const nest *n, arena *memory);

/* The extent of a nest's axis, or -1 where it is open. */
int64_t nest_extent(const nest *n, int axis);

uint32_t nest_kept(const nest *n); /* the nest's axes that stay, as bits */

#endif
