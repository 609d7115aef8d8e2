/* Loads, stores and values of the kernel writer. */
#include <stdio.h>

#include "codegen/generated/sign.h"
#include "codegen/generated/writer.h"
#include "ir/dimension.h"

static const node *maker(const writer *w, uint32_t value) {
    const tw_graph *f = w->n->function;
    return &f->nodes.at[f->values.at[value].node];
}

static tw_type type_of(const writer *w, uint32_t value) {
    return w->n->function->values.at[value].type;
}

static bool columns(const writer *w) { return w->n->form == NEST_COLUMNS; }

/* ---- memory ---- */

uint32_t write_element(writer *w, uint32_t pointer, uint32_t index, tw_dtype dtype) {
    static const char *const units[] = {[1] = "i8", [2] = "i16", [4] = "i32", [8] = "i64"};
    return write_value(w, "getelementptr %s, ptr %%t%u, i64 %%t%u", units[tw_dtype_size(dtype)],
                       pointer, index);
}

uint32_t write_address(writer *w, int slot, uint32_t axes, int lane, tw_dtype dtype) {
    uint32_t pointer = write_slot_pointer(w, slot), offset = 0;
    for (int axis = 0; axis < w->n->n_axes; axis++) {
        if (!(axes >> axis & 1) || axis == lane) continue;
        uint32_t step = write_slot(w, slot + 1 + axis);
        uint32_t product = write_value(w, "mul nsw i64 %%t%u, %%t%u", step, w->place[axis]);
        offset = offset ? write_value(w, "add nsw i64 %%t%u, %%t%u", offset, product) : product;
    }
    return offset ? write_element(w, pointer, offset, dtype) : pointer;
}

/* The type that elements have in memory: truth values are bytes. */
static scalar_type stored_type(tw_dtype dtype) {
    scalar_type type = scalar_type_of(dtype);
    return type == SCALAR_BOOL ? SCALAR_U8 : type;
}

static const char *suffix(const writer *w, scalar_type type, char *out, size_t size) {
    const char *kind = type == SCALAR_F32                         ? "f32"
                       : type == SCALAR_F64                       ? "f64"
                       : type == SCALAR_U8                        ? "i8"
                       : type == SCALAR_I64 || type == SCALAR_U64 ? "i64"
                                                                  : "i32";
    snprintf(out, size, "v%d%s", w->code.lanes, kind);
    return out;
}

static uint32_t write_load(writer *w, tw_dtype dtype, uint32_t pointer, bool vector,
                           uint32_t mask) {
    scalar_type type = stored_type(dtype);
    type_name name = vector_type(&w->code, type, vector);
    int align = (int)tw_dtype_size(dtype);
    char kind[16];
    uint32_t made;
    if (vector && mask)
        made = write_value(w,
                           "call %s @llvm.masked.load.%s.p0(ptr %%t%u, i32 %d, <%d x i1> %%t%u, %s "
                           "zeroinitializer)",
                           name.at, suffix(w, type, kind, sizeof kind), pointer, align,
                           w->code.lanes, mask, name.at);
    else
        made = write_value(w, "load %s, ptr %%t%u, align %d", name.at, pointer, align);
    if (dtype != TW_BOOL) return made;
    return write_value(w, "icmp ne %s %%t%u, %s", name.at, made, vector ? "zeroinitializer" : "0");
}

void write_store(writer *w, tw_dtype dtype, uint32_t value, uint32_t pointer, bool vector,
                 uint32_t mask) {
    scalar_type type = stored_type(dtype);
    type_name name = vector_type(&w->code, type, vector);
    int align = (int)tw_dtype_size(dtype);
    char kind[16];
    if (dtype == TW_BOOL)
        value = write_value(w, "zext %s %%t%u to %s", vector_type(&w->code, SCALAR_BOOL, vector).at,
                            value, name.at);
    if (vector && mask)
        write_line(
            w, "  call void @llvm.masked.store.%s.p0(%s %%t%u, ptr %%t%u, i32 %d, <%d x i1> %%t%u)",
            suffix(w, type, kind, sizeof kind), name.at, value, pointer, align, w->code.lanes,
            mask);
    else
        write_line(w, "  store %s %%t%u, ptr %%t%u, align %d", name.at, value, pointer, align);
}

void write_streaming_store(writer *w, tw_dtype dtype, uint32_t value, uint32_t pointer) {
    type_name name = vector_type(&w->code, stored_type(dtype), true);
    int lanes = w->code.lanes >> w->code.split, align = lanes * (int)tw_dtype_size(dtype);
    if (dtype == TW_BOOL)
        value = write_value(w, "zext %s %%t%u to %s", vector_type(&w->code, SCALAR_BOOL, true).at,
                            value, name.at);
    write_line(w, "  store %s %%t%u, ptr %%t%u, align %d, !nontemporal !1", name.at, value, pointer,
               align < 64 ? align : 64);
}

uint32_t write_fixed(writer *w, tw_dtype dtype, uint32_t pointer) {
    return vector_splat(&w->code, scalar_type_of(dtype), write_load(w, dtype, pointer, false, 0));
}

/* ---- computing ---- */

static uint32_t apply(writer *w, const node *it, bool vector, const uint32_t *in) {
    expression e;
    if (!expression_of_node(w->n->function, it, &w->memory, &e) ||
        !without_limits(w->n->function, it, &w->memory, &e)) {
        w->failed = true;
        return 0;
    }
    return vector_expression(&w->code, &e, vector, in);
}

static uint32_t number(writer *w, uint32_t value, bool vector) {
    return vector_number(&w->code, scalar_type_of(type_of(w, value).dtype), vector,
                         maker(w, value)->attr[2].f);
}

static uint32_t reduced_axes(const writer *w) {
    return ((1u << w->n->n_axes) - 1) & ~nest_kept(w->n);
}

void write_unit_loads(writer *w, int v) {
    int inner = w->n->n_axes - 1;
    for (int i = 0; i < w->n->n_loads; i++) {
        const nest_load *it = &w->n->load[i];
        if (it->axes & reduced_axes(w)) continue;
        int slot = kernel_slot_load(w->n, i);
        scalar_type type = scalar_type_of(it->dtype);
        if (columns(w) && it->axes >> inner & 1) {
            uint32_t at = write_address(w, slot, it->axes, -1, it->dtype);
            if (v)
                at = write_element(w, at, write_integer(w, (int64_t)v * w->code.lanes), it->dtype);
            w->unit_load[v][i] = write_load(w, it->dtype, at, true, w->tile_mask[v]);
            continue;
        }
        uint32_t at = write_address(w, slot, it->axes, -1, it->dtype);
        uint32_t one = write_load(w, it->dtype, at, false, 0);
        if (columns(w)) {
            w->unit_load[v][i] = vector_splat(&w->code, type, one);
        } else {
            w->unit_load[v][i] = one;
            w->splat_load[i] = vector_splat(&w->code, type, one);
        }
    }
}

static uint32_t row_operand(writer *w, const node *it, int k, int v) {
    uint32_t value = it->operand[k];
    int load = nest_load_of(w->n, it, k);
    if (load >= 0) return w->unit_load[v][load];
    if (node_is(maker(w, value), "splat")) return number(w, value, columns(w));
    return w->unit_value[v][value];
}

void write_row_values(writer *w, int v, int phase) {
    const tw_graph *f = w->n->function;
    for (size_t i = 0; i < f->nodes.count; i++) {
        const node *it = &f->nodes.at[i];
        uint32_t value = it->first_result, in[TW_SCALAR_OPERANDS];
        if (!it->n_operands || !w->n->row[value] || w->n->after[value] > phase) continue;
        if (!w->unit_value[v][value]) {
            if (node_is(it, "reduce")) continue; /* the pass puts it there */
            for (int k = 0; k < it->n_operands; k++) in[k] = row_operand(w, it, k, v);
            w->unit_value[v][value] =
                node_is(it, "broadcast") ? in[0] : apply(w, it, columns(w), in);
        }
        if (!columns(w) && !w->splat_value[value])
            w->splat_value[value] = vector_splat(&w->code, scalar_type_of(type_of(w, value).dtype),
                                                 w->unit_value[v][value]);
    }
}

void write_body_begin(writer *w) {
    memset(w->body_load, 0, sizeof w->body_load);
    memset(w->body_value, 0, w->n->function->values.count * sizeof *w->body_value);
}

static uint32_t loaded(writer *w, int i, int v) {
    const nest_load *it = &w->n->load[i];
    bool elements = w->n->form == NEST_ELEMENTS;
    if (!elements && !(it->axes & reduced_axes(w)))
        return columns(w) ? w->unit_load[v][i] : w->splat_load[i];
    if (!(it->axes >> (w->n->n_axes - 1) & 1)) return w->fixed_load[i];
    if (w->body_load[i]) return w->body_load[i];
    uint32_t at = write_element(w, w->base_load[i], w->inner, it->dtype);
    return w->body_load[i] = write_load(w, it->dtype, at, true, w->mask);
}

uint32_t write_full_operand(writer *w, const node *it, int k, int v) {
    uint32_t value = it->operand[k];
    int load = nest_load_of(w->n, it, k);
    if (load >= 0) return loaded(w, load, v);
    if (node_is(maker(w, value), "splat")) return number(w, value, true);
    if (w->n->row[value]) return columns(w) ? w->unit_value[v][value] : w->splat_value[value];
    return write_full_value(w, value, v);
}

static uint32_t compute(writer *w, uint32_t value, int v) {
    const node *it = maker(w, value);
    uint32_t in[TW_SCALAR_OPERANDS];
    if (!it->n_operands) return number(w, value, true);
    if (it == w->n->product) return loaded(w, nest_load_of_product(w->n), v);
    for (int k = 0; k < it->n_operands; k++) in[k] = write_full_operand(w, it, k, v);
    return node_is(it, "broadcast") ? in[0] : apply(w, it, true, in);
}

uint32_t write_full_value(writer *w, uint32_t value, int v) {
    if (w->body_value[value]) return w->body_value[value];
    if (!w->kept[value]) return w->body_value[value] = compute(w, value, v);
    tw_dtype dtype = type_of(w, value).dtype;
    bool first = w->kept_by[value] == w->pass;
    uint32_t made = first ? compute(w, value, v) : 0;
    uint32_t at = write_element(w, w->kept[value], w->inner, dtype);
    if (first)
        write_store(w, dtype, made, at, true, 0);
    else
        made = write_load(w, dtype, at, true, 0);
    return w->body_value[value] = made;
}
