/*
 * A chain of matrix products, taken apart through transposes and scalars, and put together in the
 * order of the fewest multiplications (Cormen et al., Introduction to Algorithms, 15.2).
 */
#ifndef PASSES_CHAIN_H
#define PASSES_CHAIN_H

#include "passes/rewrite.h"

enum { CHAIN_LONGEST = 32, CHAIN_SCALARS = 32, CHAIN_WHOLES = 16 };

typedef struct axis_list {
    int n, at[TW_MAX_RANK];
} axis_list;

/* A matrix: `left` and `right` are the value's axes that make its rows and its columns, paired in this
 * order with those of its neighbours; a vector has no axes on one side. */
typedef struct factor {
    uint32_t value;
    axis_list batch, left, right;
} factor;

/* What a product is multiplied with or divided by; `by` is ABSENT for neg. */
typedef struct chain_scalar {
    uint32_t by;
    bool divides, done;
} chain_scalar;

/* Factors first..last and their scalars, as a value that is there in any case. */
typedef struct chain_whole {
    factor is;
    int first, last, first_scalar, scalars;
} chain_whole;

typedef struct chain {
    rewrite *r;
    const uint8_t *dissolved; /* by value of `from`: not there, though it is read more than once */
    int n, n_scalars, n_wholes;
    factor at[CHAIN_LONGEST]; /* values of `from` */
    chain_scalar scalar[CHAIN_SCALARS];
    chain_whole whole[CHAIN_WHOLES];
    double written; /* multiplications in the order in which it was written */
    double batch, extent[CHAIN_LONGEST + 1]; /* factor i is extent[i] x extent[i + 1] */
    double cost[CHAIN_LONGEST][CHAIN_LONGEST];
    int8_t split[CHAIN_LONGEST][CHAIN_LONGEST];
    int8_t whole_at[CHAIN_LONGEST][CHAIN_LONGEST]; /* 1 + which; 0: none */
    int scaled_first, scaled_last;                 /* the part that the scalars go to */
} chain;

/* A product of matrices in f32 or f64. */
bool chain_is_product(const tw_graph *graph, const node *it);
/* The operand that a node hands on, transposed or times a scalar; ABSENT for another node. */
uint32_t chain_through(const tw_graph *graph, const node *it);
/* The product behind a value, through what chain_through knows; NULL for none. */
const node *chain_product(const tw_graph *graph, uint32_t value);

/* Takes a product's result apart and finds the best order. Values that are read more than once and
 * not dissolved cost nothing. */
void chain_take(chain *c, rewrite *r, const uint8_t *dissolved, uint32_t root);
double chain_cost(const chain *c);
/* The chain in its best order, as a value of `to` like the root; ABSENT after an error. */
uint32_t chain_emit(chain *c);

#endif
