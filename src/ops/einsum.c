/* Einstein's summation, contracted in pairs from left to right. */
#include <ctype.h>
#include <string.h>
#include <thalweg/operators.h>

#include "ops/rules.h"

enum { OPERANDS = 16, LETTERS = 128 };

/* A value and the letter of each of its axes. */
typedef struct term {
    tw_value x;
    int rank;
    char letter[TW_MAX_RANK];
} term;

typedef struct equation {
    tw_graph *graph;
    const char *text;
    int n;
    term in[OPERANDS], out;
    int64_t extent[LETTERS];
    int times[LETTERS]; /* how often the letter stands before "->" */
} equation;

static bool refuse(const equation *e, const char *what) {
    rule_fail(e->graph, TW_ERR_ARGUMENT, "tw_einsum \"%s\": %s", e->text, what);
    return false;
}

static int place(const term *t, char letter) {
    for (int i = 0; i < t->rank; i++)
        if (t->letter[i] == letter) return i;
    return -1;
}

/* The letters up to ',', '-' or the end; *at moves there. */
static bool read_term(const equation *e, const char **at, term *out) {
    for (; **at && **at != ',' && **at != '-'; (*at)++) {
        unsigned char c = (unsigned char)**at;
        if (c == ' ') continue;
        if (c == '.') return refuse(e, "\"...\" is not served; name each axis by a letter");
        if (!isalpha(c) || c >= LETTERS) return refuse(e, "expected letters, ',' and \"->\"");
        if (out->rank == TW_MAX_RANK) return refuse(e, "more than 8 letters in one term");
        out->letter[out->rank++] = (char)c;
    }
    return true;
}

/* Without "->": the letters that stand once, in order. */
static bool implicit_result(equation *e) {
    for (int c = 0; c < LETTERS; c++) {
        if (e->times[c] != 1) continue;
        if (e->out.rank == TW_MAX_RANK) return refuse(e, "the result has more than 8 axes");
        e->out.letter[e->out.rank++] = (char)c;
    }
    return true;
}

static bool explicit_result(equation *e, const char *at) {
    if (*at != '>') return refuse(e, "'-' without '>'");
    at++;
    if (!read_term(e, &at, &e->out)) return false;
    if (*at) return refuse(e, "the result ends the equation");
    for (int i = 0; i < e->out.rank; i++) {
        if (!e->times[(int)e->out.letter[i]])
            return refuse(e, "a letter of the result stands in no operand");
        if (place(&e->out, e->out.letter[i]) != i)
            return refuse(e, "a letter stands twice in the result");
    }
    return true;
}

/* Operand i's letters have its rank, and extents that agree with those before. */
static bool check_operand(equation *e, int i) {
    term *t = &e->in[i];
    tw_shape shape = tw_shape_of(t->x);
    if (shape.rank != t->rank) {
        rule_fail(e->graph, TW_ERR_SHAPE, "tw_einsum \"%s\": %d letters for operand %d of rank %d",
                  e->text, t->rank, i, (int)shape.rank);
        return false;
    }
    for (int k = 0; k < t->rank; k++) {
        int c = t->letter[k];
        if (e->times[c]++ && e->extent[c] != shape.dim[k]) {
            rule_fail(e->graph, TW_ERR_SHAPE,
                      "tw_einsum \"%s\": letter %c has another extent in operand %d than before",
                      e->text, c, i);
            return false;
        }
        e->extent[c] = shape.dim[k];
    }
    return true;
}

static bool parse(equation *e, const tw_value *x) {
    const char *at = e->text;
    for (int i = 0;; i++) {
        if (i == e->n) return refuse(e, "more terms than operands");
        e->in[i].x = x[i];
        if (!read_term(e, &at, &e->in[i]) || !check_operand(e, i)) return false;
        if (*at == ',') {
            at++;
            continue;
        }
        if (i + 1 < e->n) return refuse(e, "fewer terms than operands");
        return *at ? explicit_result(e, at + 1) : implicit_result(e);
    }
}

/* The axes in the order of `letters`, which are the term's own. */
static void arrange(term *t, const char *letters) {
    int axes[TW_MAX_RANK];
    bool same = true;
    for (int i = 0; i < t->rank; i++) {
        axes[i] = place(t, letters[i]);
        same = same && axes[i] == i;
    }
    if (!same) t->x = tw_permute(t->x, axes);
    memcpy(t->letter, letters, (size_t)t->rank);
}

/* Axes a < b of one extent become one, the last: what is off the diagonal is left out of a sum. */
static void take_diagonal(term *t, int a, int b) {
    int axes[TW_MAX_RANK], n = 0;
    char letter = t->letter[a];
    int64_t extent = tw_shape_of(t->x).dim[a];
    for (int i = 0; i < t->rank; i++) {
        if (i == a || i == b) continue;
        t->letter[n] = t->letter[i];
        axes[n++] = i;
    }
    axes[n] = a;
    axes[n + 1] = b;
    t->letter[n] = letter;
    t->rank--;
    tw_shape square = TW_SHAPE(extent, extent);
    tw_value row = tw_iota(t->x.graph, TW_I32, square, 0);
    tw_value equal = tw_compare(TW_EQ, row, tw_iota(t->x.graph, TW_I32, square, 1));
    tw_value x = tw_permute(t->x, axes);
    t->x = tw_sum_axis(tw_select(equal, x, tw_literal(x, 0)), -1, false);
}

/* Repeated letters become diagonals. */
static void take_diagonals(term *t) {
    for (int b = 1; b < t->rank; b++) {
        int a = place(t, t->letter[b]);
        if (a == b) continue;
        take_diagonal(t, a, b);
        b = 0; /* the axes have moved */
    }
}

/* Sums over the letters that neither `other` nor `later` has. */
static void sum_unshared(term *t, const term *other, const bool *later) {
    for (int i = t->rank - 1; i >= 0; i--) {
        char c = t->letter[i];
        if (later[(int)c] || (other && place(other, c) >= 0)) continue;
        t->x = tw_sum_axis(t->x, i, false);
        t->rank--;
        memmove(t->letter + i, t->letter + i + 1, (size_t)(t->rank - i));
    }
}

/* a and b as one term: shared letters that are needed later stay, the others are contracted. */
static bool contract(const equation *e, term *a, term *b, const bool *later) {
    sum_unshared(a, b, later);
    sum_unshared(b, a, later);
    int batch[2][TW_MAX_RANK], summed[2][TW_MAX_RANK], n_batch = 0, n_summed = 0;
    term y = {.rank = 0};
    for (int i = 0; i < a->rank; i++) {
        int k = place(b, a->letter[i]);
        if (k < 0) continue;
        if (later[(int)a->letter[i]]) {
            y.letter[y.rank++] = a->letter[i];
            batch[0][n_batch] = i;
            batch[1][n_batch++] = k;
        } else {
            summed[0][n_summed] = i;
            summed[1][n_summed++] = k;
        }
    }
    if (a->rank + b->rank - n_batch - 2 * n_summed > TW_MAX_RANK)
        return refuse(e, "a product of two operands has more than 8 axes");
    const term *const both[] = {a, b};
    for (int s = 0; s < 2; s++)
        for (int i = 0; i < both[s]->rank; i++)
            if (place(both[1 - s], both[s]->letter[i]) < 0) y.letter[y.rank++] = both[s]->letter[i];
    y.x = tw_dot(a->x, b->x, n_batch, batch[0], batch[1], n_summed, summed[0], summed[1]);
    *a = y;
    return true;
}

tw_value tw_einsum(const char *text, int n, const tw_value *x) {
    if (n < 1 || !x) return (tw_value){0}; /* no graph to tell */
    tw_graph *graph = rule_graph(n, x);
    if (n > OPERANDS)
        return rule_fail(graph, TW_ERR_ARGUMENT, "tw_einsum: %d operands, expected 1 to %d", n,
                         OPERANDS);
    if (!rule_usable("tw_einsum", n, x)) return rule_poison(graph);
    equation e = {.graph = graph, .text = text ? text : "", .n = n};
    if (!parse(&e, x)) return rule_poison(graph);
    term whole = e.in[0];
    take_diagonals(&whole);
    for (int i = 1; i <= n; i++) {
        bool later[LETTERS] = {false};
        for (int k = 0; k < e.out.rank; k++) later[(int)e.out.letter[k]] = true;
        for (int j = i + 1; j < n; j++)
            for (int k = 0; k < e.in[j].rank; k++) later[(int)e.in[j].letter[k]] = true;
        if (i == n) {
            sum_unshared(&whole, NULL, later);
            break;
        }
        take_diagonals(&e.in[i]);
        if (!contract(&e, &whole, &e.in[i], later)) return rule_poison(graph);
    }
    arrange(&whole, e.out.letter);
    return whole.x;
}
