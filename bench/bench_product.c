/*
 * Products of matrices, one by one: microseconds by the library (oneDNN) and by generated code, and which
 * of them the choice takes. For setting the choice; bench/compare has the figures against others.
 *
 * usage: bench_product [THREADS [VECTOR-BYTES [SHAPE...]]]
 * A SHAPE is BATCHxROWSxDEPTHxCOLUMNS and two letters, as 1x128x784x512nn: n or t (transposed) for each operand; without
 * one, those below. Prints, for each shape: batch x (rows, depth, columns), layouts, microseconds by the library, by generated
 * code and by what the choice takes, its GFLOP/s, and its time over the library's. Last, the geometric mean
 * and the worst of these ratios.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <thalweg/thalweg.h>

#include "base/clock.h"
#include "codegen/generated/dot.h"
#include "codegen/onednn/onednn.h"
#include "codegen/product_choice.h"

/* a: row-major (n) or transposed (t) x; b: the same of w. */
typedef struct shape {
    int64_t batch, rows, depth, columns;
    char a, b;
} shape;

static const shape shapes[] = {
    {1, 1, 784, 256, 'n', 'n'},      {1, 64, 784, 256, 'n', 'n'},     {1, 784, 64, 256, 't', 'n'},
    {1, 64, 256, 10, 'n', 'n'},      {1, 256, 64, 10, 't', 'n'},      {1, 64, 10, 256, 'n', 't'},
    {1, 64, 256, 784, 'n', 't'},     {1, 128, 784, 512, 'n', 'n'},    {1, 784, 128, 512, 't', 'n'},
    {1, 128, 512, 784, 'n', 't'},    {1, 128, 512, 512, 'n', 'n'},    {1, 512, 128, 512, 't', 'n'},
    {1, 128, 512, 512, 'n', 't'},    {1, 128, 512, 10, 'n', 'n'},     {1, 512, 128, 10, 't', 'n'},
    {1, 128, 10, 512, 'n', 't'},     {1, 8, 64, 64, 'n', 'n'},        {1, 8, 64, 64, 'n', 't'},
    {64, 32, 64, 32, 'n', 'n'},      {64, 32, 64, 32, 'n', 't'},      {64, 64, 64, 64, 'n', 't'},
    {64, 64, 64, 64, 'n', 'n'},      {64, 64, 64, 64, 't', 'n'},      {16, 128, 64, 128, 'n', 't'},
    {1, 1, 1024, 1024, 'n', 'n'},    {1, 1, 1024, 1024, 'n', 't'},    {1, 1024, 1024, 1, 'n', 'n'},
    {1, 1024, 1024, 1, 't', 'n'},    {1, 4096, 16, 16, 'n', 'n'},     {1, 16, 4096, 16, 't', 'n'},
    {1, 4096, 8, 64, 'n', 'n'},      {1, 256, 8, 256, 'n', 'n'},      {1, 512, 8, 512, 'n', 't'},
    {1, 16, 128, 512, 'n', 'n'},     {1, 16, 512, 128, 'n', 't'},     {1, 4, 256, 1024, 'n', 'n'},
    {1, 4, 256, 1024, 'n', 't'},     {1, 32, 32, 32, 'n', 'n'},       {1, 64, 64, 64, 'n', 'n'},
    {1, 128, 128, 128, 'n', 'n'},    {1, 256, 256, 256, 'n', 'n'},    {1, 256, 256, 256, 'n', 't'},
    {1, 256, 256, 256, 't', 'n'},    {1, 512, 512, 512, 'n', 'n'},    {1, 512, 512, 512, 'n', 't'},
    {1, 512, 512, 512, 't', 'n'},    {1, 1024, 1024, 1024, 'n', 'n'}, {1, 4096, 64, 64, 'n', 'n'},
    {1, 10000, 32, 3, 'n', 'n'},     {1, 33, 65, 17, 'n', 'n'},       {1, 100, 100, 100, 't', 't'},
    {1, 2048, 2048, 2048, 'n', 'n'}, {1, 512, 4096, 512, 'n', 'n'},   {1, 64, 4096, 4096, 'n', 't'},
    {1, 1, 4096, 4096, 'n', 'n'},    {1, 1, 4096, 4096, 'n', 't'},    {1, 784, 2048, 512, 't', 'n'},
    {1, 48, 48, 48, 'n', 'n'},       {1, 128, 128, 128, 'n', 't'},    {1, 8, 256, 1024, 'n', 't'},
};

typedef struct call {
    tw_context *context;
    tw_kernel_call dot;
    dot_plan plan;
} call;

static tw_status by_library(const call *c) { return onednn_dot(&c->dot); }
static tw_status by_generated(const call *c) {
    return generated_dot(c->context, &c->plan, c->dot.in[0], c->dot.in[1], c->dot.out[0]);
}

/* The least of several rounds, microseconds a call; below 0: not served. */
static double measure(tw_status (*run)(const call *), const call *c) {
    if (run(c) || run(c)) return -1;
    double begin = clock_seconds();
    run(c);
    double once = clock_seconds() - begin, least = 1;
    int calls = once > 0.002 ? 1 : (int)(0.002 / (once + 1e-7)) + 1;
    for (int round = 0; round < 9; round++) {
        begin = clock_seconds();
        for (int i = 0; i < calls; i++) run(c);
        double each = (clock_seconds() - begin) / calls;
        if (each < least) least = each;
    }
    return least * 1e6;
}

static float *numbers(size_t count) {
    float *made = aligned_alloc(64, (count * sizeof(float) + 63) / 64 * 64);
    for (size_t i = 0; made && i < count; i++) made[i] = (float)((i * 7919) % 101) / 101 - 0.5f;
    return made;
}

static tw_status by_choice(const call *c) { return product_dot(&c->dot); }

static bool try_shape(tw_context *context, const shape *s, double *sum, double *worst) {
    tw_shape batch = s->batch > 1 ? TW_SHAPE(0) : (tw_shape){0};
    int b = s->batch > 1;
    tw_type operand[2] = {{TW_F32, {0}}, {TW_F32, {0}}}, result = {TW_F32, {0}};
    int64_t x[3] = {s->batch, s->a == 'n' ? s->rows : s->depth, s->a == 'n' ? s->depth : s->rows};
    int64_t w[3] = {s->batch, s->b == 'n' ? s->depth : s->columns,
                    s->b == 'n' ? s->columns : s->depth};
    int64_t y[3] = {s->batch, s->rows, s->columns};
    operand[0].shape.rank = operand[1].shape.rank = result.shape.rank = 2 + b;
    for (int i = 0; i < 2 + b; i++) {
        operand[0].shape.dim[i] = x[i + 1 - b];
        operand[1].shape.dim[i] = w[i + 1 - b];
        result.shape.dim[i] = y[i + 1 - b];
    }
    tw_attr attr[] = {tw_attr_dims(batch), tw_attr_dims(batch),
                      tw_attr_dims(TW_SHAPE(s->a == 'n' ? 1 + b : b)),
                      tw_attr_dims(TW_SHAPE(s->b == 'n' ? b : 1 + b)), tw_attr_int(0)};
    float *data[3] = {numbers((size_t)(s->batch * s->rows * s->depth)),
                      numbers((size_t)(s->batch * s->depth * s->columns)),
                      numbers((size_t)(s->batch * s->rows * s->columns))};
    const void *in[] = {data[0], data[1]};
    void *out[] = {data[2]};
    call c = {
        context,
        {{context, tw_operator_find(context, "dot"), 2, 1, operand, &result, attr}, in, out, NULL},
        {0}};
    matrix_product m = {0};
    bool good = data[0] && data[1] && data[2] && product_of(&c.dot.signature, &m);
    bool made = good && !generated_dot_prepare(context, &m, NULL, &c.plan);
    if (good) {
        double flops = 2e-3 * (double)(s->batch * s->rows * s->depth * s->columns);
        double library = measure(by_library, &c);
        double generated = made ? measure(by_generated, &c) : -1;
        dot_plan plan;
        if (!product_dot_prepare(&c.dot.signature, &plan)) c.dot.kept = &plan;
        double chosen = measure(by_choice, &c);
        printf("%3d x (%5d,%5d,%5d) %c%c %9.2f %9.2f %9.2f us %6.1f GFLOP/s %5.2f\n", (int)s->batch,
               (int)s->rows, (int)s->depth, (int)s->columns, s->a, s->b, library, generated, chosen,
               flops / chosen, chosen / library);
        *sum += log(chosen / library);
        if (chosen / library > *worst) *worst = chosen / library;
    }
    for (int i = 0; i < 3; i++) free(data[i]);
    return good;
}

static bool read_shape(const char *word, shape *s) {
    long batch, rows, depth, columns;
    int end = 0;
    int n =
        sscanf(word, "%ldx%ldx%ldx%ld%c%c%n", &batch, &rows, &depth, &columns, &s->a, &s->b, &end);
    s->batch = batch;
    s->rows = rows;
    s->depth = depth;
    s->columns = columns;
    return n == 6 && !word[end];
}

int main(int count, char **words) {
    int threads = count > 1 ? atoi(words[1]) : 2;
    int vectors = count > 2 ? atoi(words[2]) : 0;
    tw_context *context =
        tw_context_new(&(tw_context_opts){.threads = threads, .vectors = vectors});
    bool good = context != NULL;
    double sum = 0, worst = 0;
    printf("batch x (rows, depth, columns) layouts; us by oneDNN, by tiles, by the choice\n");
    int n = count > 3 ? count - 3 : (int)(sizeof shapes / sizeof *shapes);
    for (int i = 0; good && i < n; i++) {
        shape one = shapes[0];
        if (count > 3 && !read_shape(words[i + 3], &one)) {
            fprintf(stderr, "bench_product: %s is no shape\n", words[i + 3]);
            tw_context_free(context);
            return 2;
        }
        good = try_shape(context, count > 3 ? &one : &shapes[i], &sum, &worst);
    }
    if (good) printf("RESULT product mean=%.2f worst=%.2f\n", exp(sum / n), worst);
    if (!good) fprintf(stderr, "bench_product: %s\n", tw_message(context));
    tw_context_free(context);
    return !good;
}
