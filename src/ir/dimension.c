/* Polynomials in symbols, kept in a canonical order and interned by a linear hash table. */
#include "ir/dimension.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/number.h"
#include "base/vector.h"

enum { MOST_SYMBOLS = 8, MOST_TERMS = 16 };

/* Handles lie far below any number that a person may write for an extent, such as -1. */
#define FIRST_HANDLE (-(INT64_C(1) << 40))

typedef struct term {
    int64_t factor;
    uint8_t power[MOST_SYMBOLS];
} term;

/* Terms in descending order of power; no zero factors; a constant has one term without powers. */
typedef struct polynomial {
    int count;
    term term[MOST_TERMS];
} polynomial;

struct dimension_table {
    char name[MOST_SYMBOLS][32];
    int symbols;
    VECTOR(polynomial) entries; /* handle FIRST_HANDLE - i */
};

dimension_table *dimension_table_new(tw_context *context) {
    return context_allocate(context, 1, sizeof(dimension_table));
}

void dimension_table_free(tw_context *context, dimension_table *table) {
    if (!table) return;
    VECTOR_FREE(context, &table->entries);
    context_release(context, table);
}

static bool expand(const tw_context *context, int64_t dim, polynomial *out) {
    memset(out, 0, sizeof *out);
    if (dim >= 0) {
        out->count = dim > 0;
        out->term[0].factor = dim;
        return true;
    }
    if (dim > FIRST_HANDLE || dim <= FIRST_HANDLE - (int64_t)context->dimensions->entries.count)
        return false;
    size_t i = (size_t)(FIRST_HANDLE - dim);
    *out = context->dimensions->entries.at[i];
    return true;
}

static int64_t intern(tw_context *context, const polynomial *p) {
    static const uint8_t none[MOST_SYMBOLS];
    if (p->count == 0) return 0;
    if (p->count == 1 && memcmp(p->term[0].power, none, sizeof none) == 0)
        return p->term[0].factor >= 0 ? p->term[0].factor : TW_DIM_NONE;
    dimension_table *table = context->dimensions;
    for (size_t i = 0; i < table->entries.count; i++) {
        const polynomial *q = &table->entries.at[i];
        if (q->count != p->count) continue;
        int k = 0;
        while (k < p->count && q->term[k].factor == p->term[k].factor &&
               memcmp(q->term[k].power, p->term[k].power, MOST_SYMBOLS) == 0)
            k++;
        if (k == p->count) return FIRST_HANDLE - (int64_t)i;
    }
    polynomial *added = VECTOR_PUSH(context, &table->entries);
    if (!added) return TW_DIM_NONE;
    *added = *p;
    return FIRST_HANDLE - (int64_t)(table->entries.count - 1);
}

/* Adds factor * powers to p in its place. */
static bool add_term(polynomial *p, int64_t factor, const uint8_t *power) {
    int at = 0;
    while (at < p->count && memcmp(p->term[at].power, power, MOST_SYMBOLS) > 0) at++;
    if (at < p->count && memcmp(p->term[at].power, power, MOST_SYMBOLS) == 0) {
        if (!checked_add(p->term[at].factor, factor, &p->term[at].factor)) return false;
        if (p->term[at].factor == 0) {
            memmove(&p->term[at], &p->term[at + 1], sizeof(term) * (size_t)(p->count - at - 1));
            p->count--;
        }
        return true;
    }
    if (factor == 0) return true;
    if (p->count == MOST_TERMS) return false;
    memmove(&p->term[at + 1], &p->term[at], sizeof(term) * (size_t)(p->count - at));
    p->term[at].factor = factor;
    memcpy(p->term[at].power, power, MOST_SYMBOLS);
    p->count++;
    return true;
}

int64_t tw_dim_add(tw_context *context, int64_t a, int64_t b) {
    polynomial p, q;
    if (a == TW_DIM_NONE || b == TW_DIM_NONE || !expand(context, a, &p) || !expand(context, b, &q))
        return TW_DIM_NONE;
    for (int i = 0; i < q.count; i++)
        if (!add_term(&p, q.term[i].factor, q.term[i].power)) return TW_DIM_NONE;
    return intern(context, &p);
}

int64_t tw_dim_sub(tw_context *context, int64_t a, int64_t b) {
    polynomial p, q;
    if (a == TW_DIM_NONE || b == TW_DIM_NONE || !expand(context, a, &p) || !expand(context, b, &q))
        return TW_DIM_NONE;
    for (int i = 0; i < q.count; i++)
        if (!add_term(&p, -q.term[i].factor, q.term[i].power)) return TW_DIM_NONE;
    return intern(context, &p);
}

static bool multiply_term(polynomial *out, const term *a, const term *b) {
    term product;
    if (!checked_mul(a->factor, b->factor, &product.factor)) return false;
    for (int s = 0; s < MOST_SYMBOLS; s++) {
        if (a->power[s] + b->power[s] > UINT8_MAX) return false;
        product.power[s] = (uint8_t)(a->power[s] + b->power[s]);
    }
    return add_term(out, product.factor, product.power);
}

int64_t tw_dim_mul(tw_context *context, int64_t a, int64_t b) {
    if (a >= 0 && b >= 0) {
        int64_t product;
        return checked_mul(a, b, &product) ? product : TW_DIM_NONE;
    }
    polynomial p, q, product = {0};
    if (a == TW_DIM_NONE || b == TW_DIM_NONE || !expand(context, a, &p) || !expand(context, b, &q))
        return TW_DIM_NONE;
    for (int i = 0; i < p.count; i++)
        for (int k = 0; k < q.count; k++)
            if (!multiply_term(&product, &p.term[i], &q.term[k])) return TW_DIM_NONE;
    return intern(context, &product);
}

/* Long division by the leading term; only an exact quotient counts. */
int64_t tw_dim_div(tw_context *context, int64_t a, int64_t b) {
    polynomial rest, divisor, quotient = {0};
    if (a == TW_DIM_NONE || b == TW_DIM_NONE || b == 0) return TW_DIM_NONE;
    if (a >= 0 && b > 0) return a % b ? TW_DIM_NONE : a / b;
    if (!expand(context, a, &rest) || !expand(context, b, &divisor)) return TW_DIM_NONE;
    for (int rounds = 0; rest.count; rounds++) {
        const term *top = &rest.term[0], *by = &divisor.term[0];
        term part = {0};
        if (rounds == 4 * MOST_TERMS || top->factor == INT64_MIN || top->factor % by->factor)
            return TW_DIM_NONE;
        part.factor = -(top->factor / by->factor);
        for (int s = 0; s < MOST_SYMBOLS; s++) {
            if (top->power[s] < by->power[s]) return TW_DIM_NONE;
            part.power[s] = (uint8_t)(top->power[s] - by->power[s]);
        }
        if (!add_term(&quotient, -part.factor, part.power)) return TW_DIM_NONE;
        for (int k = 0; k < divisor.count; k++)
            if (!multiply_term(&rest, &part, &divisor.term[k])) return TW_DIM_NONE;
    }
    return intern(context, &quotient);
}

int64_t tw_dim_product(tw_context *context, tw_shape shape, int from, int to) {
    int64_t product = 1;
    for (int i = from; i < to && product != TW_DIM_NONE; i++)
        product = tw_dim_mul(context, product, shape.dim[i]);
    return product;
}

static bool name_char(char c) { return (c >= 'a' && c <= 'z') || c == '_'; }

int64_t tw_symbol(tw_context *context, const char *name) {
    if (!context || !name) return TW_DIM_NONE;
    dimension_table *table = context->dimensions;
    size_t length = 0;
    while (name_char(name[length])) length++;
    if (length == 0 || name[length] || length >= sizeof table->name[0]) {
        context_error(context, TW_ERR_ARGUMENT,
                      "symbol \"%s\": a name is 1 to 31 letters a-z or underscores", name);
        return TW_DIM_NONE;
    }
    int s = 0;
    while (s < table->symbols && strcmp(table->name[s], name)) s++;
    if (s == MOST_SYMBOLS) {
        context_error(context, TW_ERR_ARGUMENT, "symbol \"%s\": there are %d symbols already", name,
                      MOST_SYMBOLS);
        return TW_DIM_NONE;
    }
    if (s == table->symbols) {
        memcpy(table->name[s], name, length + 1);
        table->symbols++;
    }
    polynomial p = {.count = 1};
    p.term[0].factor = 1;
    p.term[0].power[s] = 1;
    return intern(context, &p);
}

bool dimension_exists(const tw_context *context, int64_t dim) {
    polynomial p;
    return expand(context, dim, &p);
}

int dimension_symbols(const tw_context *context) { return context->dimensions->symbols; }

const char *dimension_symbol_name(const tw_context *context, int i) {
    return context->dimensions->name[i];
}

/* The term's number under bound[], the symbol `except` left out of it. */
static bool term_number(const term *it, const int64_t *bound, int n, int except, int64_t *out) {
    int64_t product = it->factor;
    for (int s = 0; s < MOST_SYMBOLS; s++) {
        for (int k = 0; s != except && k < it->power[s]; k++) {
            if (s >= n || bound[s] < 0) return false;
            if (!checked_mul(product, bound[s], &product)) return false;
        }
    }
    *out = product;
    return true;
}

int64_t dimension_evaluate(const tw_context *context, int64_t dim, const int64_t *bound, int n) {
    if (dim >= 0) return dim;
    polynomial p;
    if (dim == TW_DIM_NONE || !expand(context, dim, &p)) return TW_DIM_NONE;
    int64_t sum = 0, number;
    for (int i = 0; i < p.count; i++)
        if (!term_number(&p.term[i], bound, n, -1, &number) || !checked_add(sum, number, &sum))
            return TW_DIM_NONE;
    return sum < 0 ? TW_DIM_NONE : sum;
}

/* The one symbol of p that is unbound; -1 for none or several. */
static int unbound_symbol(const polynomial *p, const int64_t *bound, int n) {
    int symbol = -1;
    for (int i = 0; i < p->count; i++)
        for (int s = 0; s < MOST_SYMBOLS; s++) {
            if (!p->term[i].power[s] || s == symbol || (s < n && bound[s] >= 0)) continue;
            if (symbol >= 0 || s >= n) return -1;
            symbol = s;
        }
    return symbol;
}

int dimension_solve(const tw_context *context, int64_t dim, const int64_t *bound, int n,
                    int64_t extent, int64_t *value) {
    polynomial p;
    if (dim >= 0 || dim == TW_DIM_NONE || extent < 0 || !expand(context, dim, &p)) return -1;
    int symbol = unbound_symbol(&p, bound, n);
    if (symbol < 0) return -1;
    /* slope * symbol + rest = extent */
    int64_t slope = 0, rest = 0, number, difference;
    for (int i = 0; i < p.count; i++) {
        int64_t *sum = p.term[i].power[symbol] ? &slope : &rest;
        if (p.term[i].power[symbol] > 1) return -1;
        if (!term_number(&p.term[i], bound, n, symbol, &number) || !checked_add(*sum, number, sum))
            return -1;
    }
    if (slope == 0 || rest == INT64_MIN || !checked_add(extent, -rest, &difference)) return -1;
    *value = difference % slope ? TW_DIM_NONE : difference / slope;
    if (*value < 0) *value = TW_DIM_NONE;
    return symbol;
}

void dimension_print(const tw_context *context, int64_t dim, text *out) {
    polynomial p;
    if (dim >= 0) {
        text_add(out, "%lld", (long long)dim);
        return;
    }
    if (dim == TW_DIM_NONE || !expand(context, dim, &p)) {
        text_add(out, "?");
        return;
    }
    for (int i = 0; i < p.count; i++) {
        const term *t = &p.term[i];
        bool first = true;
        if (t->factor < 0)
            text_add(out, "-");
        else if (i)
            text_add(out, "+");
        int64_t size = t->factor < 0 ? -t->factor : t->factor;
        bool powers = false;
        for (int s = 0; s < MOST_SYMBOLS; s++) powers |= t->power[s] > 0;
        if (size != 1 || !powers) {
            text_add(out, "%lld", (long long)size);
            first = false;
        }
        for (int s = 0; s < MOST_SYMBOLS; s++)
            for (int k = 0; k < t->power[s]; k++, first = false)
                text_add(out, "%s%s", first ? "" : "*", context->dimensions->name[s]);
    }
}

static bool parse_factor(const char **at, int64_t *out) {
    char *end;
    if (!isdigit((unsigned char)**at)) return false;
    long long number = strtoll(*at, &end, 10);
    if (end - *at > 18) return false;
    *out = number;
    *at = end;
    return true;
}

int64_t dimension_parse(tw_context *context, const char **at) {
    polynomial sum = {0};
    for (bool more = true; more;) {
        int64_t sign = 1, product = 1;
        if (**at == '-' || **at == '+') sign = *(*at)++ == '-' ? -1 : 1;
        do {
            int64_t factor;
            if (name_char(**at)) {
                char name[32] = {0};
                size_t length = 0;
                while (name_char(**at) && length + 1 < sizeof name) name[length++] = *(*at)++;
                factor = tw_symbol(context, name);
            } else if (!parse_factor(at, &factor)) {
                return TW_DIM_NONE;
            }
            product = tw_dim_mul(context, product, factor);
            if (product == TW_DIM_NONE) return TW_DIM_NONE;
        } while (**at == '*' && (*at)++);
        polynomial part;
        if (!expand(context, product, &part)) return TW_DIM_NONE;
        for (int i = 0; i < part.count; i++)
            if (!add_term(&sum, sign * part.term[i].factor, part.term[i].power)) return TW_DIM_NONE;
        more = **at == '+' || **at == '-';
    }
    return intern(context, &sum);
}
