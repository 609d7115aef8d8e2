/*
 * One expression at a time, for bench/compare (elementwise, softmax and dot) and bench/against.
 *
 * bench_operators THREADS CASE...: a case is silu:N, gelu:N, tanh:N (N elements), softmax:ROWSxN,
 * dot:BATCHxMxKxN or conv:BATCHxSIZExCHANNELSxWINDOW (and silu of the result). Speaks the protocol of
 * harness.h; the checks are five elements of each result.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <thalweg/thalweg.h>

#include "harness.h"

enum { MOST_CASES = 64, MOST_EXTENTS = 4, PROBES = 5 };

/* What a case is made of; `extent` holds the numbers of its name. */
typedef struct operation {
    const char *name;
    int64_t extent[MOST_EXTENTS];
    tw_program *program;
    tw_tensor *in[2], *out[2];
    int n_out;
} operation;

typedef struct kind {
    const char *word;
    int n_in, n_out;
    tw_shape (*shape)(const int64_t *extent, int i); /* of input i */
    void (*build)(const tw_value *in, tw_value *out);
    double flops, numbers; /* for each element of input 0; 0: a product's, or a convolution's */
} kind;

static tw_shape shape_of_line(const int64_t *extent, int i) {
    (void)i;
    return TW_SHAPE(extent[0]);
}

static tw_shape shape_of_rows(const int64_t *extent, int i) {
    (void)i;
    return TW_SHAPE(extent[0], extent[1]);
}

/* (batch, m, k) and (batch, k, n); a batch of 1 has no axis. */
static tw_shape shape_of_factor(const int64_t *extent, int i) {
    if (extent[0] == 1) return TW_SHAPE(extent[1 + i], extent[2 + i]);
    return TW_SHAPE(extent[0], extent[1 + i], extent[2 + i]);
}

static tw_shape shape_of_image(const int64_t *extent, int i) {
    if (i) return TW_SHAPE(extent[3], extent[3], extent[2], extent[2]);
    return TW_SHAPE(extent[0], extent[1], extent[1], extent[2]);
}

static void silu_of_sum(const tw_value *in, tw_value *out) {
    out[0] = tw_silu(tw_add(in[0], in[1]));
}

static void gelu(const tw_value *in, tw_value *out) { out[0] = tw_gelu(in[0]); }

/* sum(f(f(f(x)))), f(x) = tanh(1.5 x + 0.1) */
static void tanh_chain(const tw_value *in, tw_value *out) {
    tw_value x = in[0];
    for (int i = 0; i < 3; i++) x = tw_tanh(tw_shift(tw_scale(x, 1.5), 0.1));
    out[0] = tw_sum(x);
}

/* y = softmax(x), and dx for dy = in[1] */
static void softmax(const tw_value *in, tw_value *out) {
    out[0] = tw_softmax(in[0]);
    tw_grad(tw_sum(tw_mul(out[0], in[1])), 1, in, out + 1);
}

static void product(const tw_value *in, tw_value *out) { out[0] = tw_matmul(in[0], in[1]); }

static void convolution(const tw_value *in, tw_value *out) {
    out[0] = tw_silu(tw_conv(in[0], in[1], &(tw_conv_opts){.same = true}));
}

static const kind kinds[] = {
    {"silu", 2, 1, shape_of_line, silu_of_sum, 4, 3},
    {"gelu", 1, 1, shape_of_line, gelu, 4, 2},
    {"tanh", 1, 1, shape_of_line, tanh_chain, 10, 1},
    {"softmax", 2, 2, shape_of_rows, softmax, 8, 4},
    {"dot", 2, 1, shape_of_factor, product, 0, 0},
    {"conv", 2, 1, shape_of_image, convolution, 0, 0},
};

static const kind *parse(const char *name, int64_t *extent) {
    const char *colon = strchr(name, ':');
    if (!colon) return NULL;
    char *at = (char *)colon;
    for (int i = 0; i < MOST_EXTENTS && *at; i++) extent[i] = strtoll(at + 1, &at, 10);
    for (int i = 0; !*at && i < (int)(sizeof kinds / sizeof *kinds); i++)
        if (strlen(kinds[i].word) == (size_t)(colon - name) &&
            !strncmp(kinds[i].word, name, (size_t)(colon - name)))
            return &kinds[i];
    return NULL;
}

static tw_tensor *made_up(tw_context *context, tw_shape shape, uint32_t salt, float range) {
    tw_tensor *tensor = tw_tensor_new(context, TW_F32, shape);
    float *data = tensor ? tw_tensor_map(tensor) : NULL;
    if (!data) return NULL;
    for (uint32_t i = 0; i < tw_tensor_bytes(tensor) / 4; i++)
        data[i] = harness_number(i, salt, range);
    return tensor;
}

static bool step(void *argument) {
    operation *o = argument;
    return !tw_run(o->program, o->in, o->out);
}

static void print_case(const kind *k, const operation *o) {
    printf("case %s\n", o->name);
    for (int r = 0; r < o->n_out; r++) {
        const float *data = tw_tensor_map(o->out[r]);
        size_t elements = tw_tensor_bytes(o->out[r]) / 4;
        for (size_t i = 0; i < PROBES; i++)
            printf("check %.8g\n", (double)data[(elements - 1) * i / (PROBES - 1)]);
    }
    double elements = (double)(tw_tensor_bytes(o->in[0]) / 4);
    double flops = k->flops * elements, numbers = k->numbers * elements;
    if (k->numbers == 0) {
        double weights = (double)(tw_tensor_bytes(o->in[1]) / 4);
        double results = (double)(tw_tensor_bytes(o->out[0]) / 4);
        bool dot = !strcmp(k->word, "dot");
        flops = 2 * results * (dot ? (double)o->extent[2] : weights / (double)o->extent[2]);
        numbers = elements + weights + results;
    }
    printf("operator %s %.0f %.0f\n", k->word, flops, 4 * numbers);
}

static bool prepare(tw_context *context, const char *name, operation *o) {
    const kind *k = parse(name, o->extent);
    if (!k) {
        fprintf(stderr, "bench_operators: no such case: %s\n", name);
        return false;
    }
    o->name = name;
    o->n_out = k->n_out;
    tw_graph *graph = tw_graph_new(context, NULL, TW_SYMBOLIC, NULL);
    static const char *const names[] = {"a", "b"};
    tw_value in[2], out[2];
    for (int i = 0; i < k->n_in; i++) {
        tw_shape shape = k->shape(o->extent, i);
        in[i] = tw_input(graph, names[i], TW_F32, shape);
        o->in[i] = made_up(context, shape, 77u * (uint32_t)i, k->numbers == 0 ? 1 : 4);
        if (!o->in[i]) return false;
    }
    k->build(in, out);
    o->program = tw_compile(graph, k->n_in, in, k->n_out, out, NULL);
    tw_graph_free(graph);
    if (!o->program || !step(o)) return false;
    print_case(k, o);
    return true;
}

int main(int argc, char **argv) {
    static operation operations[MOST_CASES];
    static harness_case cases[MOST_CASES];
    int n = argc - 2;
    if (n < 1 || n > MOST_CASES) {
        fprintf(stderr, "usage: bench_operators THREADS CASE...\n");
        return 2;
    }
    tw_context *context = tw_context_new(&(tw_context_opts){.threads = atoi(argv[1])});
    bool good = context != NULL;
    for (int i = 0; good && i < n; i++) {
        good = prepare(context, argv[i + 2], &operations[i]);
        cases[i] = (harness_case){argv[i + 2], step, &operations[i]};
    }
    good = good && harness_serve(n, cases);
    if (!good)
        fprintf(stderr, "bench_operators: %s\n", context ? tw_message(context) : "no memory");
    tw_context_free(context);
    return !good;
}
