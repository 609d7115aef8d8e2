/* An operator's expression: the text for its types and attributes, read. */
#include "ir/expression.h"

#include "base/half.h"
#include "ir/expression_text.h"

scalar_type scalar_type_of(tw_dtype dtype) {
    switch (dtype) {
    case TW_BOOL: return SCALAR_BOOL;
    case TW_U8: return SCALAR_U8;
    case TW_I32: return SCALAR_I32;
    case TW_I64: return SCALAR_I64;
    case TW_U32: return SCALAR_U32;
    case TW_F32: return SCALAR_F32;
    case TW_F64: return SCALAR_F64;
    default: return (scalar_type)0;
    }
}

static scalar_type computed_in(tw_dtype dtype) {
    return dtype_half(dtype) ? SCALAR_F32 : scalar_type_of(dtype);
}

/* As the kernel is found: by operand 0, or a select's operand 1; half floats as f32. */
static const tw_scalar_text *text_of(const tw_operator *op, int n, const tw_type *operand,
                                     const tw_attr *attr) {
    tw_dtype by = operand[n == 3 ? 1 : 0].dtype;
    if (by < TW_BOOL || by > TW_F64) return NULL;
    const tw_scalar_text *text = op->scalar_text[dtype_half(by) && !op->scalar[by] ? TW_F32 : by];
    if (!text || !text->by_attribute) return text;
    return attr[0].i < 0 || attr[0].i >= text->n ? NULL : text->by_attribute[attr[0].i];
}

bool expression_of(const tw_operator *op, int n_operands, const tw_type *operand, tw_type result,
                   const tw_attr *attr, arena *memory, expression *out) {
    if (op->meaning != TW_MEANS_SCALAR || n_operands < 1 || n_operands > TW_SCALAR_OPERANDS)
        return false;
    const tw_scalar_text *text = text_of(op, n_operands, operand, attr);
    scalar_type type = computed_in(result.dtype);
    if (!text || !type) return false;
    steps s = {.memory = memory};
    uint32_t in[TW_SCALAR_OPERANDS];
    for (int i = 0; i < n_operands; i++) {
        scalar_type of = computed_in(operand[i].dtype);
        if (!of) return false;
        in[i] = steps_add(
            &s, (expression_step){.code = EXPRESSION_INPUT, .type = of, .a = (uint32_t)i});
    }
    uint32_t value = expression_read(&s, text->names, in, n_operands, text->expression);
    value = steps_convert(&s, type, value);
    *out = steps_take(&s, value);
    return !s.failed;
}

bool expression_of_node(const tw_graph *graph, const node *it, arena *memory, expression *out) {
    tw_type operand[TW_SCALAR_OPERANDS];
    if (it->op->meaning != TW_MEANS_SCALAR || it->n_operands > TW_SCALAR_OPERANDS) return false;
    for (int k = 0; k < it->n_operands; k++) operand[k] = graph->values.at[it->operand[k]].type;
    return expression_of(it->op, it->n_operands, operand, graph->values.at[it->first_result].type,
                         it->attr, memory, out);
}

int expression_weight(const tw_graph *graph, const node *it, arena *memory) {
    expression e;
    arena_mark mark = arena_save(memory);
    int weight = expression_of_node(graph, it, memory, &e) ? (int)e.count - it->n_operands : 0;
    arena_restore(memory, mark);
    return weight;
}
