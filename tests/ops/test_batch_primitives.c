/*
 * The batch rules of operators that move, sort or accumulate: each sample with every choice of
 * operands that carry examples gives what the examples give one by one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "support/numbers.h"
#include "support/sample.h"

enum { EXAMPLES = 3 };

static tw_context *context;

/* Three drawings of the sample; operand i as one array when it is batched, else the first's. */
static tw_value operand_of(tw_graph *g, sample *s, int i, bool batched) {
    tw_value part[EXAMPLES];
    for (int e = 0; e < EXAMPLES; e++) {
        tw_value v = tw_constant_of(g, s[e].operand[i].dtype, s[e].operand[i].shape, s[e].data[i]);
        tw_shape shape = s[e].operand[i].shape, wide = {.rank = shape.rank + 1};
        wide.dim[0] = 1;
        for (int k = 0; k < shape.rank; k++) wide.dim[k + 1] = shape.dim[k];
        part[e] = batched ? tw_reshape(v, wide) : v;
    }
    return batched ? tw_concat(0, EXAMPLES, part) : part[0];
}

static void same(const sample *s, unsigned choice, tw_value a, tw_value b) {
    if (!tw_ok(a) || !tw_ok(b)) sample_fail(s, "choice %u does not build", choice);
    tw_type p = tw_type_of(a), q = tw_type_of(b);
    if (p.dtype != q.dtype || p.shape.rank != q.shape.rank)
        sample_fail(s, "choice %u: another type", choice);
    for (int i = 0; i < p.shape.rank; i++)
        if (p.shape.dim[i] != q.shape.dim[i]) sample_fail(s, "choice %u: another shape", choice);
    tw_tensor *t = tw_tensor_new(context, p.dtype, p.shape);
    assert_non_null(t);
    size_t bytes = tw_tensor_bytes(t);
    char *x = malloc(bytes + 1), *y = malloc(bytes + 1);
    assert_true(x && y);
    assert_int_equal(tw_read(a, x, bytes), TW_OK);
    assert_int_equal(tw_read(b, y, bytes), TW_OK);
    if (memcmp(x, y, bytes)) sample_fail(s, "choice %u: other elements", choice);
    free(x);
    free(y);
    tw_tensor_free(t);
}

static void check_choice(const tw_operator *op, sample *s, unsigned choice) {
    tw_graph *g = tw_graph_new(context, NULL, TW_IMMEDIATE, NULL);
    assert_non_null(g);
    tw_tape_begin(g);
    tw_value whole[SAMPLE_OPERANDS], one[SAMPLE_OPERANDS], result[TW_MAX_RESULTS] = {{0}};
    bool batched[SAMPLE_OPERANDS];
    for (int i = 0; i < s->n_operands; i++) {
        batched[i] = choice >> i & 1;
        whole[i] = operand_of(g, s, i, batched[i]);
    }
    const tw_attr *attr = op->attributes ? s->attr : NULL;
    tw_batch rule = {.op = op,
                     .n_operands = s->n_operands,
                     .n_results = s->n_results,
                     .size = EXAMPLES,
                     .operand = whole,
                     .batched = batched,
                     .operand_type = s->operand,
                     .attr = attr,
                     .result = result};
    op->batch(g, &rule);
    for (int e = 0; e < EXAMPLES; e++) {
        tw_value expected[TW_MAX_RESULTS];
        for (int i = 0; i < s->n_operands; i++) {
            one[i] = batched[i] ? tw_reshape(tw_slice(whole[i], 0, e, 1), s->operand[i].shape)
                                : whole[i];
        }
        tw_apply(g, op->name, s->n_operands, one, attr, expected);
        for (int r = 0; r < s->n_results; r++) {
            tw_value got = tw_slice(result[r], 0, e, 1);
            same(s, choice, tw_reshape(got, tw_shape_of(expected[r])), expected[r]);
        }
    }
    if (tw_tape_end(g, 0, NULL)) sample_fail(s, "choice %u", choice);
    tw_graph_free(g);
}

static void check_operator(const char *name) {
    const tw_operator *op = tw_operator_find(context, name);
    assert_non_null(op);
    assert_non_null(op->batch);
    for (int number = 0; op->samples[number].operands; number++) {
        sample s[EXAMPLES];
        for (int e = 0; e < EXAMPLES; e++)
            sample_begin(&s[e], context, op, number, (uint64_t)e + 1, TW_F64);
        for (unsigned choice = 1; choice < 1u << s[0].n_operands; choice++)
            check_choice(op, s, choice);
        for (int e = 0; e < EXAMPLES; e++) sample_end(&s[e]);
    }
}

static void test_batch(void **state) { check_operator(*state); }

int main(void) {
    context = tw_context_new(&(tw_context_opts){.threads = 2});
    if (!context) return 1;
#define TEST(name) {#name, test_batch, NULL, NULL, (void *)(uintptr_t)#name}
    const struct CMUnitTest tests[] = {
        TEST(rem),        TEST(atan2), TEST(xor),   TEST(clamp),         TEST(argmin),
        TEST(cumulative), TEST(sort),  TEST(top_k), TEST(dynamic_slice), TEST(dynamic_update_slice),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    tw_context_free(context);
    return failed;
}
