/*
 * Walks the operator table: every operator, on every sample, is cut along each of its factors; the
 * pieces, put together as the factor's kind says, are the whole. A new operator needs no line here.
 *
 * ops_factors [OPERATOR...] looks at these only; SEED=N draws other values.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "ir/derive.h"
#include "ir/dimension.h"
#include "ir/graph.h"
#include "support/sample.h"

enum { MAX_OPERATORS = 1024 };
/* Some units of rounding; integers are exact. */
static const double TOLERANCE[TW_F64 + 1] = {
    [TW_F64] = 1e-12, [TW_F32] = 8 * 0x1p-24, [TW_F16] = 8 * 0x1p-11, [TW_BF16] = 8 * 0x1p-8};
static uint64_t seed = 1;
static int cuts_of_all;
static char uncut[16384]; /* names of the operators that no sample cuts */

/* A sample with its factors and the results of the whole. */
typedef struct whole {
    sample s;
    tw_type result[TW_MAX_RESULTS];
    tw_tensor *out[TW_MAX_RESULTS];
    int n;
    tw_factor factor[TW_MAX_FACTORS];
} whole;

/* Part lo..hi-1 of a factor. */
typedef struct part {
    const tw_factor *factor;
    int64_t lo, hi;
} part;

/* ---- dimensions ---- */

static int factor_dim(const tw_factor *factor, int operand) {
    int last = TW_FACTOR_OPERANDS - 1;
    return factor->operand[operand < last ? operand : last];
}

/* An array whose dimension `dim` is (before, factor, after); pieces are runs of the middle one. */
typedef struct places {
    int64_t outer, size, inner, item; /* item: bytes */
} places;

/* operand -1: a result. */
static places places_of(const whole *w, const tw_factor *factor, int operand, int result,
                        tw_type type) {
    int dim = operand >= 0 ? factor_dim(factor, operand) : factor->result[result];
    places p = {1, factor->size, 1, (int64_t)tw_dtype_size(type.dtype)};
    bool minor = false;
    for (int i = 0; i < w->n; i++) {
        const tw_factor *other = &w->factor[i];
        if ((operand >= 0 ? factor_dim(other, operand) : other->result[result]) != dim) continue;
        if (other == factor)
            minor = true;
        else
            *(minor ? &p.inner : &p.outer) *= other->size;
    }
    for (int i = 0; i < type.shape.rank; i++)
        if (i != dim) *(i < dim ? &p.outer : &p.inner) *= type.shape.dim[i];
    return p;
}

static tw_type part_type(tw_type type, int dim, const part *p) {
    type.shape.dim[dim] = type.shape.dim[dim] / p->factor->size * (p->hi - p->lo);
    return type;
}

/* Copies places lo..hi-1 between the whole and a dense piece. */
static void copy_part(const places *p, int64_t lo, int64_t hi, char *all, char *piece, bool out) {
    int64_t run = p->inner * p->item;
    for (int64_t i = 0; i < p->outer; i++) {
        char *from = all + (i * p->size + lo) * run, *to = piece + i * (hi - lo) * run;
        size_t bytes = (size_t)((hi - lo) * run);
        if (!bytes) continue;
        if (out)
            memcpy(from, to, bytes);
        else
            memcpy(to, from, bytes);
    }
}

static void *bytes_new(tw_type type) {
    void *memory = calloc((size_t)shape_elements(type.shape) + 1, tw_dtype_size(type.dtype));
    assert_non_null(memory);
    return memory;
}

/* Every dimension is the product of its factors. */
static void check_products(const whole *w) {
    for (int k = 0; k < w->s.n_operands + w->s.n_results; k++) {
        bool operand = k < w->s.n_operands;
        int r = k - w->s.n_operands;
        if (operand && w->s.absent[k]) continue;
        tw_shape shape = operand ? w->s.operand[k].shape : w->result[r].shape;
        for (int dim = 0; dim < shape.rank; dim++) {
            int64_t product = 1;
            bool halo = false;
            for (int i = 0; i < w->n; i++) {
                const tw_factor *f = &w->factor[i];
                if ((operand ? factor_dim(f, k) : f->result[r]) != dim) continue;
                halo |= f->kind == TW_FACTOR_HALO;
                product *= f->size;
            }
            if (product == shape.dim[dim] || (halo && operand) || !shape_elements(shape)) continue;
            sample_fail(&w->s, "factors of dimension %d of %s %d make %lld, not %lld", dim,
                        operand ? "operand" : "result", operand ? k : r, (long long)product,
                        (long long)shape.dim[dim]);
        }
    }
}

/* ---- running ---- */

/* The sample on its types, attributes and data as they are now. */
static void run(const sample *s, tw_type *type, tw_tensor **out) {
    tw_graph *g = tw_graph_new(s->context, NULL, TW_SYMBOLIC, NULL);
    tw_value in[SAMPLE_OPERANDS], result[TW_MAX_RESULTS];
    tw_tensor *data[SAMPLE_OPERANDS];
    int n = sample_build(s, g, in, result);
    sample_tensors(s, data);
    for (int i = 0; i < s->n_results; i++) type[i] = tw_type_of(result[i]);
    tw_program *program =
        tw_compile(g, n, in, s->n_results, result, &(tw_compile_opts){.plain = true});
    if (!program) sample_fail(s, "does not compile");
    if (tw_run(program, data, out)) sample_fail(s, "does not run");
    tw_program_free(program);
    for (int i = 0; i < n; i++) tw_tensor_free(data[i]);
    tw_graph_free(g);
}

static void whole_begin(whole *w, tw_context *context, const tw_operator *op, int number) {
    memset(w, 0, sizeof *w);
    sample_begin(&w->s, context, op, number, seed, TW_F64);
    run(&w->s, w->result, w->out);
    tw_type operand[SAMPLE_OPERANDS] = {{0}};
    for (int i = 0; i < w->s.n_operands; i++)
        if (!w->s.absent[i]) operand[i] = w->s.operand[i];
    tw_signature signature = {.context = context,
                              .op = op,
                              .n_operands = w->s.n_operands,
                              .n_results = w->s.n_results,
                              .operand = operand,
                              .result = w->result,
                              .attr = w->s.attr};
    w->n = signature_factors(&signature, w->factor);
    assert_in_range(w->n, 0, TW_MAX_FACTORS);
    tw_cost cost = {-1, -1};
    signature_cost(&signature, &cost);
    if (!(cost.flops >= 0 && cost.bytes >= 0)) sample_fail(&w->s, "has no cost");
}

static void whole_end(whole *w) {
    for (int i = 0; i < w->s.n_results; i++) tw_tensor_free(w->out[i]);
    sample_end(&w->s);
}

/* ---- one piece ---- */

static void set_entry(const sample *s, int number, int entry, int64_t value, bool add) {
    tw_attr *attr = (tw_attr *)&s->attr[number - 1];
    tw_attr_kind kind = s->op->attributes[number - 1].kind;
    if (kind == TW_ATTR_INT) {
        attr->i = add ? attr->i + value : value;
        return;
    }
    while (attr->list.rank <= entry) attr->list.dim[attr->list.rank++] = 0;
    attr->list.dim[entry] = add ? attr->list.dim[entry] + value : value;
    attr->i = attr->list.rank;
}

/* A list attribute left empty stands for something of the rank of the dimensions that are cut. */
static void fill_list(sample *s, int number, int rank) {
    if (!number || s->op->attributes[number - 1].kind == TW_ATTR_INT) return;
    tw_shape *list = &s->attr[number - 1].list;
    if (list->rank) return;
    *list = (tw_shape){.rank = rank};
    s->attr[number - 1].i = rank;
}

static void follow(const whole *w, sample *s, const part *p, int64_t low, int64_t high) {
    const tw_factor_attr *attr = &p->factor->attr;
    int spatial = w->s.operand[0].shape.rank - 2;
    if (attr->whole && !s->attr[attr->whole - 1].list.rank)
        s->attr[attr->whole - 1] = s->attr[attr->extent - 1];
    if (attr->start) fill_list(s, attr->start, w->result[0].shape.rank);
    if (attr->start) set_entry(s, attr->start, attr->entry, p->lo, true);
    if (attr->extent) {
        const tw_attr *given = &s->attr[attr->extent - 1];
        bool integer = s->op->attributes[attr->extent - 1].kind == TW_ATTR_INT;
        int64_t extent = integer ? given->i : given->list.dim[attr->entry];
        set_entry(s, attr->extent, attr->entry, extent / p->factor->size * (p->hi - p->lo), false);
    }
    if (p->factor->kind != TW_FACTOR_HALO) return;
    fill_list(s, attr->low, spatial);
    fill_list(s, attr->high, spatial);
    if (attr->low) set_entry(s, attr->low, attr->entry, low, false);
    if (attr->high) set_entry(s, attr->high, attr->entry, high, false);
}

/* The operand's rows from a to before b that a part of the result sees; padding for the others. */
static void cut_halo(const whole *w, sample *s, const part *p, int operand, int64_t *low,
                     int64_t *high) {
    const tw_factor *f = p->factor;
    int dim = factor_dim(f, operand);
    tw_type type = w->s.operand[operand];
    int64_t n = type.shape.dim[dim], a = p->lo * f->stride - f->low;
    int64_t b = (p->hi - 1) * f->stride + f->high + 1;
    int64_t from = a < 0 ? 0 : a > n ? n : a, to = b < 0 ? 0 : b > n ? n : b;
    bool beside = from == to; /* nothing but padding, on either side */
    *low = beside ? b - a : from - a;
    *high = beside ? 0 : b - to;
    places at = {1, n, 1, (int64_t)tw_dtype_size(type.dtype)};
    for (int i = 0; i < type.shape.rank; i++)
        if (i != dim) *(i < dim ? &at.outer : &at.inner) *= type.shape.dim[i];
    s->operand[operand].shape.dim[dim] = to - from;
    s->data[operand] = bytes_new(s->operand[operand]);
    copy_part(&at, from, to, w->s.data[operand], s->data[operand], false);
}

/* The sample's operator on part p of the operands. */
static void run_part(const whole *w, const part *p, tw_type *type, tw_tensor **out) {
    sample s = w->s;
    int64_t low = 0, high = 0;
    bool own[SAMPLE_OPERANDS] = {false};
    for (int i = 0; i < s.n_operands; i++) {
        int dim = factor_dim(p->factor, i);
        if (s.absent[i] || dim < 0) continue;
        own[i] = true;
        if (p->factor->kind == TW_FACTOR_HALO) {
            cut_halo(w, &s, p, i, &low, &high);
            continue;
        }
        places at = places_of(w, p->factor, i, 0, w->s.operand[i]);
        s.operand[i] = part_type(w->s.operand[i], dim, p);
        s.data[i] = bytes_new(s.operand[i]);
        copy_part(&at, p->lo, p->hi, w->s.data[i], s.data[i], false);
    }
    follow(w, &s, p, low, high);
    run(&s, type, out);
    for (int i = 0; i < s.n_operands; i++)
        if (own[i]) free(s.data[i]);
}

/* ---- putting together ---- */

static double combined(tw_reduction reduction, double a, double b) {
    switch (reduction) {
    case TW_SUM: return a + b;
    case TW_PROD: return a * b;
    case TW_MAX: return a > b || a != a ? a : b;
    case TW_MIN: return a < b || a != a ? a : b;
    }
    fail_msg("reduction %d does not exist", (int)reduction);
    return NAN;
}

/* Wraps as the type does. */
static double wrapped(tw_dtype dtype, double x) {
    if (dtype == TW_I32) return (int32_t)(uint32_t)(int64_t)x;
    if (dtype == TW_U32) return (uint32_t)(int64_t)x;
    if (dtype == TW_U8) return (uint8_t)(int64_t)x;
    return x;
}

static void compare(const whole *w, const tw_factor *f, int parts, int i, int64_t count,
                    const double *have, const double *want) {
    double allowed = TOLERANCE[w->result[i].dtype], apart = 0;
    if (allowed > 0) apart = sample_distance(count, have, want);
    for (int64_t k = 0; allowed == 0 && k < count; k++) apart += have[k] != want[k];
    if (apart <= allowed) return;
    sample_fail(&w->s, "cut along factor %d (kind %d, size %lld) in %d: result %d is %g off",
                (int)(f - w->factor), (int)f->kind, (long long)f->size, parts, i, apart);
}

/* Result i from its pieces; piece k is part k of the factor. */
static void check_result(const whole *w, const part *p, int parts, int i, tw_type *type[],
                         tw_tensor **piece[]) {
    const tw_factor *f = p->factor;
    int64_t count, some;
    double *want = sample_numbers(&w->s, w->out[i], &count);
    double *have = calloc((size_t)count + 1, sizeof *have);
    assert_non_null(have);
    places at = {0};
    bool split = f->result[i] >= 0;
    if (split) at = places_of(w, f, -1, i, w->result[i]);
    at.item = sizeof(double);
    for (int k = 0; k < parts; k++) {
        tw_type expected = split ? part_type(w->result[i], f->result[i], &p[k]) : w->result[i];
        if (!shape_equal(expected.shape, type[k][i].shape))
            sample_fail(&w->s, "cut along factor %d, result %d has another shape than its piece",
                        (int)(f - w->factor), i);
        double *part = sample_numbers(&w->s, piece[k][i], &some);
        if (split) {
            copy_part(&at, p[k].lo, p[k].hi, (char *)have, (char *)part, true);
        } else if (f->kind == TW_FACTOR_REDUCE) {
            for (int64_t j = 0; j < count; j++)
                have[j] = k ? wrapped(w->result[i].dtype, combined(f->reduction, have[j], part[j]))
                            : part[j];
        } else {
            compare(w, f, parts, i, count, part, want);
            memcpy(have, part, (size_t)count * sizeof *have);
        }
        free(part);
    }
    compare(w, f, parts, i, count, have, want);
    free(have);
    free(want);
}

static void check_cut(const whole *w, const tw_factor *f, int parts) {
    enum { MOST = 3 };
    part p[MOST];
    tw_type types[MOST][TW_MAX_RESULTS], *type[MOST];
    tw_tensor *outs[MOST][TW_MAX_RESULTS] = {{NULL}}, **out[MOST];
    for (int k = 0; k < parts; k++) {
        p[k] = (part){f, f->size * k / parts, f->size * (k + 1) / parts};
        type[k] = types[k];
        out[k] = outs[k];
    }
    for (int k = 0; k < parts; k++) run_part(w, &p[k], type[k], out[k]);
    if (f->kind == TW_FACTOR_PERMUTE) { /* the last piece is the first of the results */
        for (int k = 0; k < parts; k++) {
            int64_t lo = p[k].lo;
            p[k].lo = f->size - p[k].hi;
            p[k].hi = f->size - lo;
        }
    }
    for (int i = 0; i < w->s.n_results; i++) check_result(w, p, parts, i, type, out);
    for (int k = 0; k < parts; k++)
        for (int i = 0; i < w->s.n_results; i++) tw_tensor_free(out[k][i]);
}

/* ---- the walk ---- */

static void test_operator(void **state) {
    const tw_operator *op = *state;
    tw_context *context = tw_context_new(&(tw_context_opts){.threads = 2});
    assert_non_null(context);
    int cuts = 0, samples = 0;
    for (; op->samples && op->samples[samples].operands; samples++) {
        whole w;
        whole_begin(&w, context, op, samples);
        check_products(&w);
        for (int i = 0; i < w.n; i++) {
            const tw_factor *f = &w.factor[i];
            assert_in_range(f->kind, TW_FACTOR_PASS, TW_FACTOR_HALO);
            if (f->kind == TW_FACTOR_REPLICATE) continue;
            for (int parts = 2; parts <= 3 && parts <= f->size; parts++, cuts++)
                check_cut(&w, f, parts);
        }
        whole_end(&w);
    }
    cuts_of_all += cuts;
    size_t used = strlen(uncut);
    if (!cuts) snprintf(uncut + used, sizeof uncut - used, " %s", op->name);
    tw_context_free(context);
}

static void test_summary(void **state) {
    (void)state;
    int n = 0;
    for (const char *at = uncut; *at; at++) n += *at == ' ';
    print_message("%d cuts; %d operators cannot be cut:%s\n", cuts_of_all, n, uncut);
    assert_true(cuts_of_all > 0);
}

int main(int argc, char **argv) {
    static struct CMUnitTest tests[MAX_OPERATORS + 1];
    const char *given = getenv("SEED");
    if (given) seed = strtoull(given, NULL, 10);
    tw_context *context = tw_context_new(NULL);
    if (!context) return 1;
    print_message("seed %llu\n", (unsigned long long)seed);
    size_t n = 0;
    for (int i = 0; n < MAX_OPERATORS && tw_operator_at(context, i); i++) {
        const tw_operator *op = tw_operator_at(context, i);
        bool wanted = argc < 2;
        for (int k = 1; k < argc; k++) wanted = wanted || !strcmp(argv[k], op->name);
        if (wanted)
            tests[n++] =
                (struct CMUnitTest){op->name, test_operator, NULL, NULL, (void *)(uintptr_t)op};
    }
    if (!n) {
        print_error("no such operator\n");
        return 1;
    }
    tests[n++] = (struct CMUnitTest){"summary", test_summary, NULL, NULL, NULL};
    int failed = _cmocka_run_group_tests("factors", tests, n, NULL, NULL);
    tw_context_free(context);
    return failed != 0;
}
