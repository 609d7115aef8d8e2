/* Nodes of a planned cut, appended piece by piece. */
#ifndef GRAD_PIECES_H
#define GRAD_PIECES_H

#include "grad/cut.h"
#include "grad/tree_sum.h"

/* A value of the graph under rewrite. */
typedef struct piece_value {
    cut cut;
    int level;        /* at which it, or its pieces, are computed */
    uint32_t planned; /* index + 1 of what computes it */
    bool kept;        /* computed whole (an input too, whose pieces are slices) */
    uint32_t *piece;  /* one id for each part; of a whole value, its parts along `along` */
    int along;
    tree_stack *stack; /* of a partial value */
} piece_value;

typedef struct planned {
    node node;
    int level;
    bool in_pieces;
    cut_plan cut;
} planned;

typedef struct pieces {
    tw_graph *graph, *body; /* body: whose nodes are being planned */
    int parts, last_level;
    VECTOR(planned) plan;
    VECTOR(piece_value) value; /* by value id */
} pieces;

/* The record of a value, with room made for it; NULL when memory is out. */
piece_value *pieces_value(pieces *p, uint32_t id);
void pieces_end(pieces *p);

/* Each gives false with the graph's error set. */
bool pieces_append_whole(pieces *p, const planned *entry);
bool pieces_append(pieces *p, const planned *entry, int k);
/* The values that the entry's results name, from their pieces. */
bool pieces_put_together(pieces *p, const planned *entry);

#endif
