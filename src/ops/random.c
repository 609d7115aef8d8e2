/*
 * random_bits: counter-based random numbers. Each use has a key from the store's seed, its scope
 * and its number within the graph; the counter is (run, element of the whole array), so that the
 * same numbers come on any device count, in any mode and order of passes.
 */
#include <string.h>
#include <thalweg/operators.h>

#include "base/number.h"
#include "base/parallel.h"
#include "ir/graph.h"
#include "ops/batch.h"
#include "ops/families.h"
#include "ops/rules.h"

enum { KEY, SHAPE, FULL, OFFSET, ATTRS };
static const tw_attr_spec attributes[] = {
    {"key", TW_ATTR_INT, NULL, NULL, "key of Philox4x32-10"},
    {"shape", TW_ATTR_DIMS, NULL, NULL, "shape of the result"},
    {"full", TW_ATTR_DIMS, "[]", NULL, "shape of the array of which this is a piece; []: shape"},
    {"offset", TW_ATTR_INTS, "[]", NULL, "where in it the piece starts; []: zeros"},
    {0},
};

static tw_status infer(tw_signature *signature) {
    const tw_attr *attr = signature->attr;
    tw_status status = rule_type(signature, 0, TYPES_OF(TW_I64));
    if (!status) status = rule_rank(signature, 0, 0, 0);
    for (int i = FULL; i <= OFFSET && !status; i++) {
        if (attr[i].list.rank == 0 || attr[i].list.rank == attr[SHAPE].list.rank) continue;
        status = tw_refuse(signature, TW_ERR_ARGUMENT, "%s has %d entries, expected %d",
                           attributes[i].name, (int)attr[i].list.rank, (int)attr[SHAPE].list.rank);
    }
    for (int i = 0; i < attr[OFFSET].list.rank && !status; i++) {
        if (attr[OFFSET].list.dim[i] >= 0) continue;
        status = tw_refuse(signature, TW_ERR_ARGUMENT, "offset has a negative entry");
    }
    return status ? status : rule_result(signature, 0, TW_U32, attr[SHAPE].list);
}

/* A piece says where it stands in the whole. */
static int factors(const tw_signature *signature, tw_factor *out) {
    int n = rule_factors_stated(signature, SHAPE, out);
    for (int i = 0; i < n; i++) {
        out[i].attr.start = OFFSET + 1;
        out[i].attr.whole = FULL + 1;
    }
    return n;
}

/* Other numbers for each example: they are pieces of one array, whose axis 0 they are. vmap asks
 * for this also where no operand is batched. */
static void batch(tw_graph *graph, tw_batch *rule) {
    const tw_attr *attr = rule->attr;
    if (rule->batched[0] || attr[SHAPE].list.rank == TW_MAX_RANK) {
        rule->result[0] = rule_fail(
            graph, rule->batched[0] ? TW_ERR_UNSUPPORTED : TW_ERR_SHAPE, "random_bits: %s",
            rule->batched[0] ? "the run is one for all examples, which draw other numbers anyway"
                             : "no rank is left for an axis of examples");
        return;
    }
    const tw_shape *full = &attr[attr[FULL].list.rank ? FULL : SHAPE].list;
    tw_attr wide[ATTRS] = {attr[KEY], batch_list(rule->size, &attr[SHAPE].list),
                           batch_list(rule->size, full), attr[OFFSET]};
    if (!attr[FULL].list.rank) wide[FULL] = attr[FULL];
    if (attr[OFFSET].list.rank) wide[OFFSET] = batch_list(0, &attr[OFFSET].list);
    rule->result[0] = rule_apply1("random_bits", rule->operand[0], wide);
}

/* About 60 integer operations for a block of four words. */
static void cost(const tw_signature *signature, tw_cost *out) {
    rule_cost_bytes(signature, out);
    out->flops = 15 * rule_elements(signature->result[0]);
}

typedef struct plan {
    uint64_t key, run;
    tw_shape shape;
    int64_t step[TW_MAX_RANK], start; /* of the piece in the whole array, in elements */
    uint32_t *out;
} plan;

/* Rows (of the last axis) begin..end-1; element i of the whole array is word i % 4 of block i / 4. */
static void fill(void *argument, int64_t begin, int64_t end) {
    const plan *p = argument;
    int last = p->shape.rank - 1;
    int64_t length = last < 0 ? 1 : p->shape.dim[last];
    for (int64_t row = begin; row < end; row++) {
        int64_t rest = row;
        uint64_t at = (uint64_t)p->start;
        for (int i = last - 1; i >= 0; i--) {
            at += (uint64_t)(rest % p->shape.dim[i] * p->step[i]);
            rest /= p->shape.dim[i];
        }
        uint32_t *out = p->out + row * length, word[4];
        for (int64_t i = 0; i < length; i++, at++) {
            if (i == 0 || at % 4 == 0) philox(p->key, at / 4, p->run, word);
            out[i] = word[at % 4];
        }
    }
}

static tw_status kernel(const tw_kernel_call *call) {
    const tw_attr *attr = call->signature.attr;
    int64_t run;
    memcpy(&run, call->in[0], sizeof run);
    plan p = {.key = (uint64_t)attr[KEY].i,
              .run = (uint64_t)run,
              .shape = call->signature.result[0].shape,
              .out = call->out[0]};
    const tw_shape *full = attr[FULL].list.rank ? &attr[FULL].list : &p.shape;
    const tw_shape *offset = &attr[OFFSET].list;
    for (int i = 0; i < offset->rank; i++) {
        if (full->dim[i] >= p.shape.dim[i] && offset->dim[i] <= full->dim[i] - p.shape.dim[i])
            continue;
        return tw_refuse(&call->signature, TW_ERR_ARGUMENT,
                         "the piece at offset %lld does not lie within axis %d of `full`",
                         (long long)offset->dim[i], i);
    }
    rule_strides(*full, p.step);
    for (int i = 0; i < offset->rank; i++) p.start += offset->dim[i] * p.step[i];
    int64_t rows = rule_product(p.shape, 0, p.shape.rank - 1);
    int64_t length = p.shape.rank ? p.shape.dim[p.shape.rank - 1] : 1;
    if (length == 0) return TW_OK;
    /* A single long row is cut too: as rows of one block's words, when it is the whole array. */
    if (attr[FULL].list.rank == 0 && rows * length % 4 == 0) {
        p.shape = TW_SHAPE(rows * length / 4, 4);
        p.step[0] = length = 4;
        p.step[1] = 1;
        rows = p.shape.dim[0];
    }
    tw_parallel_for(call->signature.context, rows, 1 + 1024 / length, fill, &p);
    return TW_OK;
}

static const tw_sample samples[] = {
    {.operands = "i64[]", .attributes = "key=12345, shape=[3,5]"},
    {.operands = "i64[]", .attributes = "key=-7, shape=[2,3], full=[4,6], offset=[1,2]"},
    {.operands = "i64[]", .attributes = "key=1, shape=[]"},
    {.operands = "i64[]", .attributes = "key=1, shape=[1]"},
    {.operands = "i64[]", .attributes = "key=1, shape=[0,3]"},
    {0},
};

static const tw_operator random_bits = {
    .name = "random_bits",
    .formula = "y[i] = word g % 4 of Philox4x32-10(key, counter (g / 4, run)), g = the row-major "
               "index of offset + i in `full`",
    .semantics = "The same key, run and element give the same bits everywhere. A piece must lie "
                 "within `full`.",
    .operands = "run",
    .results = "bits",
    .attributes = attributes,
    .infer = infer,
    .no_vjp = "the result is an integer that does not vary smoothly",
    .factors = factors,
    .batch = batch,
    .cost = cost,
    .meaning = TW_MEANS_LOOPS,
    .kernel = kernel,
    .samples = samples,
};

const tw_operator *const ops_random[] = {&random_bits, NULL};

/* From (store seed, scope path, count in scope). */
static int64_t next_key(tw_graph *graph) {
    const char *scope = graph_scope(graph);
    uint64_t seed = graph->table ? graph->table->seed : 0, count = graph_draw(graph, scope);
    uint64_t hash = hash_bytes(HASH_START, &seed, sizeof seed);
    hash = hash_string(hash, scope);
    hash = hash_bytes(hash, &count, sizeof count);
    int64_t key;
    memcpy(&key, &hash, sizeof key);
    return key;
}

tw_value tw_random_bits(tw_graph *graph, tw_shape shape) {
    if (!graph) return (tw_value){0};
    tw_value run = graph_random_run(graph);
    tw_attr attr[ATTRS] = {tw_attr_int(next_key(graph)), tw_attr_dims(shape), rule_ints(0, NULL),
                           rule_ints(0, NULL)};
    return tw_apply(graph, "random_bits", 1, &run, attr, NULL);
}

tw_value tw_random_uniform(tw_graph *graph, tw_dtype dtype, tw_shape shape) {
    if (!graph) return (tw_value){0};
    if (dtype == TW_F64) {
        return tw_scale(tw_cast(tw_random_bits(graph, shape), dtype), 1.0 / 4294967296.0);
    }
    if (dtype != TW_F32) {
        return rule_fail(graph, TW_ERR_TYPE, "tw_random_uniform: dtype is %s, expected f32 or f64",
                         tw_dtype_name(dtype));
    }
    /* The upper 24 bits, which f32 holds exactly: rounding up would give 1. */
    tw_value bits = tw_random_bits(graph, shape);
    bits = tw_div(bits, tw_literal(bits, 256));
    return tw_scale(tw_cast(bits, dtype), 1.0 / 16777216.0);
}
