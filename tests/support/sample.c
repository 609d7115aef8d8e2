/* An operator's samples: parsing, drawing, building. */
#include "support/sample.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/half.h"
#include "base/number.h"
#include "ir/attribute.h"
#include "ir/dimension.h"
#include "ir/graph.h"

static const char *sample_title(const sample *s) {
    static char title[512];
    snprintf(title, sizeof title, "%s, sample %d (%s; %s), seed %llu", s->op->name, s->number,
             s->spec->operands, s->spec->attributes ? s->spec->attributes : "",
             (unsigned long long)s->seed);
    return title;
}

void sample_fail(const sample *s, const char *format, ...) {
    char what[512];
    va_list list;
    va_start(list, format);
    vsnprintf(what, sizeof what, format, list);
    va_end(list);
    const char *message = tw_last_status(s->context) ? tw_message(s->context) : "";
    fail_msg("%s: %s%s%s", sample_title(s), what, *message ? "; " : "", message);
}

double sample_uniform(sample_random *random, double low, double high) {
    uint32_t bits[4];
    philox(random->key, random->count++, 0, bits);
    return low + (high - low) * (((double)bits[0] * 0x1p-32 + bits[1]) * 0x1p-32);
}

/* Far enough from the places where the sample says that the operator is not smooth. */
static bool smooth(const tw_sample *spec, double x) {
    if (spec->kink_at_zero && fabs(x) < 0.05) return false;
    return !spec->kink_at_integers || fabs(x - round(x)) >= 0.05;
}

static double draw_float(const sample *s, sample_random *random, double low, double high) {
    for (int tries = 0; tries < 1000; tries++) {
        double x = sample_uniform(random, low, high);
        if (smooth(s->spec, x)) return x;
    }
    sample_fail(s, "no number in [%g, %g] is away from the kinks", low, high);
    return NAN;
}

/* `count` numbers in [low, high], each at least 0.01 from the others: a shuffled grid. */
static void draw_distinct(const sample *s, sample_random *random, double low, double high,
                          int64_t count, double *out) {
    const double step = 0.013, shift = 0.001;
    int64_t places = (int64_t)((high - low - 2 * shift) / step) + 1, found = 0;
    double *place = malloc((size_t)(places + 1) * sizeof *place);
    assert_non_null(place);
    for (int64_t i = 0; i < places; i++) {
        double x = low + shift + (double)i * step;
        if (smooth(s->spec, x - shift) && smooth(s->spec, x + shift)) place[found++] = x;
    }
    if (found < count)
        sample_fail(s, "its range has room for %lld distinct numbers of %lld", (long long)found,
                    (long long)count);
    for (int64_t i = 0; i < count; i++) {
        int64_t pick = i + (int64_t)sample_uniform(random, 0, (double)(found - i));
        double x = place[pick];
        place[pick] = place[i];
        out[i] = x + sample_uniform(random, -shift, shift);
    }
    free(place);
}

static bool is_float(tw_dtype dtype) {
    return dtype == TW_F32 || dtype == TW_F64 || dtype_half(dtype);
}

static void store_number(tw_dtype dtype, void *data, int64_t i, double x) {
    switch (dtype) {
    case TW_BOOL:
    case TW_U8: ((uint8_t *)data)[i] = (uint8_t)x; break;
    case TW_I32: ((int32_t *)data)[i] = (int32_t)x; break;
    case TW_I64: ((int64_t *)data)[i] = (int64_t)x; break;
    case TW_U32: ((uint32_t *)data)[i] = (uint32_t)x; break;
    case TW_F16:
    case TW_BF16: ((uint16_t *)data)[i] = half_of(dtype, x); break;
    case TW_F32: ((float *)data)[i] = (float)x; break;
    case TW_F64: ((double *)data)[i] = x; break;
    default: fail_msg("samples of %s are not drawn", tw_dtype_name(dtype));
    }
}

static double load_number(tw_dtype dtype, const void *data, int64_t i) {
    switch (dtype) {
    case TW_BOOL:
    case TW_U8: return ((const uint8_t *)data)[i];
    case TW_I32: return ((const int32_t *)data)[i];
    case TW_I64: return (double)((const int64_t *)data)[i];
    case TW_U32: return ((const uint32_t *)data)[i];
    case TW_F16:
    case TW_BF16: return half_read(dtype, ((const uint16_t *)data)[i]);
    case TW_F32: return ((const float *)data)[i];
    case TW_F64: return ((const double *)data)[i];
    default: fail_msg("samples of %s are not read", tw_dtype_name(dtype)); return NAN;
    }
}

static void *allocate(int64_t count, tw_dtype dtype) {
    void *memory = calloc((size_t)count + 1, tw_dtype_size(dtype));
    assert_non_null(memory);
    return memory;
}

static void draw(sample *s) {
    const tw_sample *spec = s->spec;
    bool usual = spec->low == 0 && spec->high == 0;
    double low = usual ? -2 : spec->low, high = usual ? 2 : spec->high;
    usual = spec->index_low == 0 && spec->index_high == 0;
    int64_t index_low = usual ? 0 : spec->index_low, index_high = usual ? 3 : spec->index_high;
    sample_random random = {hash_string(s->seed ^ HASH_START, s->op->name) + (uint64_t)s->number,
                            0};

    int64_t floats = 0, used = 0;
    for (int i = 0; i < s->n_operands; i++)
        if (is_float(s->operand[i].dtype)) floats += shape_elements(s->operand[i].shape);
    double *number = malloc((size_t)(floats + 1) * sizeof *number);
    assert_non_null(number);
    if (spec->distinct)
        draw_distinct(s, &random, low, high, floats, number);
    else
        for (int64_t i = 0; i < floats; i++) number[i] = draw_float(s, &random, low, high);

    for (int i = 0; i < s->n_operands; i++) {
        tw_dtype dtype = s->operand[i].dtype;
        int64_t count = s->absent[i] ? 0 : shape_elements(s->operand[i].shape);
        s->data[i] = allocate(count, s->absent[i] ? TW_U8 : dtype);
        for (int64_t k = 0; k < count; k++) {
            double x =
                is_float(dtype) ? number[used++]
                : dtype == TW_BOOL
                    ? sample_uniform(&random, 0, 1) < 0.5
                    : floor(sample_uniform(&random, (double)index_low, (double)index_high + 1));
            store_number(dtype, s->data[i], k, x);
        }
    }
    free(number);
}

/* A copy of a sample's text; for float32 with that type wherever it says f64. */
static char *text_for(const char *from, tw_dtype dtype) {
    char *copy = strdup(from ? from : "");
    assert_non_null(copy);
    for (char *at = copy; dtype == TW_F32 && (at = strstr(at, "f64")); at += 3)
        memcpy(at, "f32", 3);
    return copy;
}

static void parse_operands(sample *s, const char *at) {
    for (;;) {
        while (*at == ' ') at++;
        if (!*at) return;
        if (s->n_operands == SAMPLE_OPERANDS)
            sample_fail(s, "more than %d operands", s->n_operands);
        int i = s->n_operands++;
        if (*at == '_') {
            s->absent[i] = true;
            at++;
        } else if (!type_parse(s->context, &at, &s->operand[i])) {
            sample_fail(s, "its operands do not parse at '%s'", at);
        }
    }
}

/* Residuals stand in parentheses in the list of results. */
static void parse_results(sample *s) {
    const char *at = s->op->results;
    while (*at) {
        if (*at == ' ') {
            at++;
            continue;
        }
        assert_true(s->n_results < TW_MAX_RESULTS);
        s->residual[s->n_results++] = *at == '(';
        while (*at && *at != ' ') at++;
    }
}

static void parse_attributes(sample *s, const char *at) {
    if (operator_attr_count(s->op) > SAMPLE_ATTRIBUTES) sample_fail(s, "too many attributes");
    if (attributes_parse(s->context, s->op, &at, s->attr) || *at)
        sample_fail(s, "its attributes do not parse at '%s'", at);
}

void sample_begin(sample *s, tw_context *context, const tw_operator *op, int number, uint64_t seed,
                  tw_dtype dtype) {
    *s = (sample){
        .context = context, .op = op, .spec = &op->samples[number], .number = number, .seed = seed};
    char *operands = text_for(s->spec->operands, dtype);
    char *attributes = text_for(s->spec->attributes, dtype);
    parse_operands(s, operands);
    parse_results(s);
    parse_attributes(s, attributes);
    draw(s);
    free(operands);
    free(attributes);
}

void sample_end(sample *s) {
    for (int i = 0; i < SAMPLE_OPERANDS; i++) free(s->data[i]);
    attributes_release(s->context, s->op, s->attr);
}

int sample_build(const sample *s, tw_graph *graph, tw_value *in, tw_value *result) {
    tw_value operand[SAMPLE_OPERANDS] = {{0}}, results[TW_MAX_RESULTS] = {{0}};
    int n = 0;
    for (int i = 0; i < s->n_operands; i++) {
        char name[16];
        snprintf(name, sizeof name, "x%d", i);
        if (s->absent[i]) continue;
        operand[i] = tw_input(graph, name, s->operand[i].dtype, s->operand[i].shape);
        in[n++] = operand[i];
    }
    tw_apply(graph, s->op->name, s->n_operands, operand, s->op->attributes ? s->attr : NULL,
             results);
    if (tw_graph_status(graph)) sample_fail(s, "does not build");
    memcpy(result, results, sizeof results);
    return n;
}

void sample_tensors(const sample *s, tw_tensor **out) {
    int n = 0;
    for (int i = 0; i < s->n_operands; i++) {
        if (s->absent[i]) continue;
        out[n] = tw_tensor_wrap(s->context, s->operand[i].dtype, s->operand[i].shape, s->data[i],
                                NULL, NULL);
        if (!out[n++]) sample_fail(s, "operand %d does not wrap", i);
    }
}

double sample_distance(int64_t count, const double *a, const double *b) {
    double apart = 0, size = 1;
    for (int64_t i = 0; i < count; i++) {
        if (a[i] == b[i]) continue;
        double d = fabs(a[i] - b[i]);
        if (!(d <= apart)) apart = d;
        if (isnan(d)) return INFINITY;
    }
    for (int64_t i = 0; i < count; i++)
        if (isfinite(b[i]) && fabs(b[i]) > size) size = fabs(b[i]);
    return apart / size;
}

double *sample_numbers(const sample *s, tw_tensor *tensor, int64_t *count) {
    if (!tensor) sample_fail(s, "there is no result");
    tw_type type = tw_tensor_type(tensor);
    const void *data = tw_tensor_map(tensor);
    *count = shape_elements(type.shape);
    double *out = malloc((size_t)(*count + 1) * sizeof *out);
    assert_non_null(out);
    if (*count && !data) sample_fail(s, "a result has no memory");
    for (int64_t i = 0; i < *count; i++) out[i] = load_number(type.dtype, data, i);
    return out;
}
