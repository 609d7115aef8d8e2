/*
 * An operator's samples at work: parsed, drawn from a seed, built into a graph, compiled, run.
 * The tests that follow from samples stand on this; it knows nothing of any one operator.
 */
#ifndef SUPPORT_SAMPLE_H
#define SUPPORT_SAMPLE_H

#include <thalweg/thalweg.h>

enum { SAMPLE_OPERANDS = 16, SAMPLE_ATTRIBUTES = 16 };

/* One sample: types, attributes and drawn values, as written (float64) or with float32 for it. */
typedef struct sample {
    tw_context *context;
    const tw_operator *op;
    const tw_sample *spec;
    int number;    /* which of the operator's samples */
    uint64_t seed; /* what the values follow from */
    int n_operands, n_results;
    bool absent[SAMPLE_OPERANDS];
    bool residual[TW_MAX_RESULTS];
    tw_type operand[SAMPLE_OPERANDS];
    tw_attr attr[SAMPLE_ATTRIBUTES];
    void *data[SAMPLE_OPERANDS]; /* freed by sample_end */
} sample;

/* Fails the running test with the title, the formatted text and the context's message. */
void sample_fail(const sample *s, const char *format, ...) TW_PRINTF(2, 3);

/* Parses and draws sample `number`. `dtype`: TW_F64 as written, or TW_F32 in its place. */
void sample_begin(sample *s, tw_context *context, const tw_operator *op, int number, uint64_t seed,
                  tw_dtype dtype);
void sample_end(sample *s);

/* Appends one input for each operand and the operator on them. in[] gets the inputs without
 * gaps, for tw_compile; gives their number. result[] gets the results. */
int sample_build(const sample *s, tw_graph *graph, tw_value *in, tw_value *result);
/* The operands as tensors that look at s->data, in the order of `in` above. */
void sample_tensors(const sample *s, tw_tensor **out);

/* Uniform numbers in [low, high). */
typedef struct sample_random {
    uint64_t key, count;
} sample_random;
double sample_uniform(sample_random *random, double low, double high);

/* The project's measure: max|a-b| over max(1, max|b|); infinite when anything is NaN. Equal
 * infinities count as equal. */
double sample_distance(int64_t count, const double *a, const double *b);
/* A tensor's elements as doubles, in memory of the caller (free). */
double *sample_numbers(const sample *s, tw_tensor *tensor, int64_t *count);

#endif
