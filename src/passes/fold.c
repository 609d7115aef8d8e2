/* Constants known now: elementwise operators on splats, and movements of one. */
#include <thalweg/operators.h>

#include "ir/dimension.h"
#include "passes/passes.h"

enum { SPLAT_ATTRS = 3, ROOM = 8 };

static uint32_t splat(rewrite *r, tw_type type, double number) {
    const tw_operator *op = tw_operator_find(r->to->module->context, "splat");
    const tw_attr attr[SPLAT_ATTRS] = {
        {.i = type.dtype}, {.list = type.shape, .i = type.shape.rank}, {.f = number}};
    uint32_t made = op ? graph_append(r->to, op, 0, NULL, attr) : NO_NODE;
    return made == NO_NODE ? ABSENT : r->to->nodes.at[made].first_result;
}

/* Element types whose every number a splat's double holds. */
static bool put(tw_dtype dtype, double number, void *out) {
    switch (dtype) {
    case TW_F32: memcpy(out, &(float){(float)number}, sizeof(float)); return true;
    case TW_F64: memcpy(out, &number, sizeof number); return true;
    case TW_BOOL: memcpy(out, &(uint8_t){number != 0}, 1); return true;
    case TW_I32:
        if (!(number >= INT32_MIN && number <= INT32_MAX)) return false;
        memcpy(out, &(int32_t){(int32_t)number}, sizeof(int32_t));
        return true;
    default: return false;
    }
}

static bool get(tw_dtype dtype, const void *data, double *out) {
    float f32;
    int32_t i32;
    uint8_t u8;
    switch (dtype) {
    case TW_F32: memcpy(&f32, data, sizeof f32), *out = (double)f32; return true;
    case TW_F64: memcpy(out, data, sizeof *out); return true;
    case TW_BOOL: memcpy(&u8, data, sizeof u8), *out = u8; return true;
    case TW_I32: memcpy(&i32, data, sizeof i32), *out = i32; return true;
    default: return false;
    }
}

/* One element of each operand through the operator's own kernel. */
static bool fold_scalar(rewrite *r, const node *it, const uint32_t *operand, uint32_t *result) {
    unsigned char room[TW_SCALAR_OPERANDS][ROOM], out[ROOM];
    const void *in[TW_SCALAR_OPERANDS];
    int64_t step[TW_SCALAR_OPERANDS] = {0};
    for (int i = 0; i < it->n_operands; i++) {
        double number;
        if (!rewrite_splat(r, operand[i], &number)) return false;
        if (!put(rewrite_type(r, operand[i]).dtype, number, room[i])) return false;
        in[i] = room[i];
    }
    tw_type type = r->from->values.at[it->first_result].type;
    tw_dtype by = rewrite_type(r, operand[node_is(it, "select")]).dtype;
    double number;
    if (!it->op->scalar[by] || !put(type.dtype, 0, out)) return false;
    it->op->scalar[by](1, out, in, step, it->attr);
    if (!get(type.dtype, out, &number)) return false;
    result[0] = splat(r, type, number);
    return true;
}

static bool moves(const node *it) {
    static const char *const names[] = {"reshape", "transpose", "broadcast", "slice", "reverse"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(it->op->name, names[i])) return true;
    return false;
}

static bool visit(rewrite *r, const node *it, const uint32_t *operand, uint32_t *result) {
    double number;
    if (it->op->meaning == TW_MEANS_SCALAR && strcmp(it->op->name, "stop_gradient"))
        return fold_scalar(r, it, operand, result);
    if (!moves(it) || !shape_known(rewrite_type(r, operand[0]).shape)) return false;
    if (!rewrite_splat(r, operand[0], &number)) return false;
    result[0] = splat(r, r->from->values.at[it->first_result].type, number);
    return true;
}

const pass fold_pass = {
    .name = "fold", .about = "what is known of constants is computed now", .visit = visit};
