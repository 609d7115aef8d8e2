/* The loops of a nest's kernel. */
#include "codegen/generated/writer.h"
#include "ir/dimension.h"

enum {
    LONG = 16, /* steps of expressions */
    VERY_LONG = 48,
    NARROW = 256,    /* elements of a row */
    STREAM = 8 << 20 /* elements of a result that no cache holds until it is read */
};

static const node *node_at(const writer *w, size_t i) { return &w->n->function->nodes.at[i]; }

static bool is_reduction(const node *it) { return node_is(it, "reduce"); }

static scalar_type scalar_of(const writer *w, uint32_t value) {
    return scalar_type_of(w->n->function->values.at[value].type.dtype);
}

static int lanes_of(const machine_target *target) { return target->vector_bytes / 4; }

static int tile_vectors(const nest *n, const machine_target *target) {
    int64_t extent = nest_extent(n, n->n_axes - 1);
    int lanes = lanes_of(target);
    if (extent < 0 || extent > WRITER_TILE * lanes) return WRITER_TILE;
    return extent <= lanes ? 1 : (int)((extent + lanes - 1) / lanes);
}

int kernel_tile(const nest *n, const machine_target *target) {
    return tile_vectors(n, target) * lanes_of(target);
}

/* ---- one vector of the innermost loop ---- */

/* Sums of this pass, and what it stores. In place is fine: all is read before anything is written. */
static void write_vector(writer *w, int phase, int v, int sums) {
    const tw_graph *f = w->n->function;
    uint32_t value[TW_MAX_RESULTS];
    w->pass = phase;
    write_body_begin(w);
    for (int i = 0; i < w->n->n_stores; i++) {
        uint32_t id = w->n->store[i].value;
        bool here = !w->n->row[id] && w->n->phase[id] == phase;
        value[i] = here ? write_full_value(w, id, v) : 0;
    }
    for (size_t i = 0; i < f->nodes.count; i++) {
        const node *it = node_at(w, i);
        if (!is_reduction(it) || w->n->after[it->first_result] != phase + 1) continue;
        int how = (int)it->attr[0].i;
        scalar_type type = scalar_of(w, it->first_result);
        type_name name = vector_type(&w->code, type, true);
        uint32_t x = write_full_operand(w, it, 0, v), sum = w->sum[sums][i];
        if (w->mask)
            x = write_value(w, "select <%d x i1> %%t%u, %s %%t%u, %s %s", w->code.lanes, w->mask,
                            name.at, x, name.at, vector_neutral(how, type, true).at);
        uint32_t before = write_value(w, "load %s, ptr %%t%u, align 64", name.at, sum);
        uint32_t now = vector_combine(&w->code, how, type, true, before, x);
        write_line(w, "  store %s %%t%u, ptr %%t%u, align 64", name.at, now, sum);
    }
    for (int i = 0; i < w->n->n_stores; i++) {
        if (!value[i]) continue;
        tw_dtype dtype = w->n->store[i].dtype;
        uint32_t at = write_element(w, w->base_store[i], w->inner, dtype);
        if (w->streams && !w->mask)
            write_streaming_store(w, dtype, value[i], at);
        else
            write_store(w, dtype, value[i], at, true, w->mask);
    }
}

/* Pointers for the present place, and splats of what stands still while `lane` moves. */
static void write_bases(writer *w, int lane, uint32_t moving) {
    for (int i = 0; i < w->n->n_loads; i++) {
        const nest_load *it = &w->n->load[i];
        bool unit = w->n->form != NEST_ELEMENTS && !(it->axes & moving);
        if (unit) continue;
        uint32_t at = write_address(w, kernel_slot_load(w->n, i), it->axes, lane, it->dtype);
        w->base_load[i] = at;
        if (it->axes >> (w->n->n_axes - 1) & 1) continue;
        w->fixed_load[i] = write_fixed(w, it->dtype, at);
    }
    for (int i = 0; i < w->n->n_stores; i++)
        if (!w->n->row[w->n->store[i].value])
            w->base_store[i] = write_address(w, kernel_slot_store(w->n, i), w->n->store[i].axes,
                                             lane, w->n->store[i].dtype);
}

/* How many vectors the innermost loop does at a time: more where each is little work. */
static int unroll_of(const writer *w) {
    size_t nodes = w->n->function->nodes.count;
    return nodes <= 10 ? 4 : nodes <= 24 ? 2 : 1;
}

/* lane i < count - base */
static uint32_t write_mask(writer *w, uint32_t base, uint32_t end) {
    int lanes = w->code.lanes;
    uint32_t left = write_value(w, "sub nsw i64 %%t%u, %%t%u", end, base);
    uint32_t most = write_value(w, "call i64 @llvm.smin.i64(i64 %%t%u, i64 %d)", left, lanes);
    uint32_t some = write_value(w, "call i64 @llvm.smax.i64(i64 %%t%u, i64 0)", most);
    uint32_t narrow = write_value(w, "trunc i64 %%t%u to i32", some);
    uint32_t all = vector_splat(&w->code, SCALAR_I32, narrow);
    uint32_t made = vector_fresh(&w->code);
    text_add(&w->body, "  %%t%u = icmp ult <%d x i32> <", made, lanes);
    for (int i = 0; i < lanes; i++) text_add(&w->body, "%si32 %d", i ? ", " : "", i);
    text_add(&w->body, ">, %%t%u\n", all);
    return made;
}

/* Elements from..to-1 of the innermost axis: several vectors at a time, then masked ones. */
static void write_vectors(writer *w, int phase, uint32_t from, uint32_t to) {
    int lanes = w->code.lanes, unroll = unroll_of(w);
    uint32_t step = write_integer(w, (int64_t)lanes * unroll), one = write_integer(w, lanes);
    uint32_t last = write_value(w, "add nsw i64 %%t%u, %d", to, 1 - lanes * unroll);
    w->mask = 0;
    written_loop loop = write_loop(w, from, last, step);
    for (int u = 0; u < unroll; u++) {
        w->inner = u ? write_value(w, "add nsw i64 %%t%u, %d", loop.index, u * lanes) : loop.index;
        write_vector(w, phase, 0, u);
    }
    write_loop_end(w, &loop);
    uint32_t rest = write_loop_last(w, &loop);
    written_loop tail = write_loop(w, rest, to, one);
    w->inner = tail.index;
    w->mask = write_mask(w, tail.index, to);
    write_vector(w, phase, 0, 0);
    write_loop_end(w, &tail);
    w->mask = 0;
}

/* ---- units ---- */

static uint32_t write_rest(writer *w, uint32_t a, uint32_t b) {
    return write_value(w, "urem i64 %%t%u, %%t%u", a, b);
}
static uint32_t write_quotient(writer *w, uint32_t a, uint32_t b) {
    return write_value(w, "udiv i64 %%t%u, %%t%u", a, b);
}

/* The place on `axes`, from its number in row-major order. */
static void write_places(writer *w, uint32_t axes, uint32_t number) {
    for (int axis = w->n->n_axes - 1; axis >= 0; axis--) {
        if (!(axes >> axis & 1)) continue;
        if (!(axes & ((1u << axis) - 1))) { /* the outermost of them */
            w->place[axis] = number;
            return;
        }
        uint32_t extent = write_extent(w, axis);
        w->place[axis] = write_rest(w, number, extent);
        number = write_quotient(w, number, extent);
    }
}

static uint32_t write_least(writer *w, uint32_t a, uint32_t b) {
    return write_value(w, "call i64 @llvm.smin.i64(i64 %%t%u, i64 %%t%u)", a, b);
}

static void write_elements_unit(writer *w, uint32_t unit) {
    int inner = w->n->n_axes - 1;
    uint32_t block = unit, outer = ((1u << w->n->n_axes) - 1) & ~(1u << inner);
    if (w->n->whole_rows) {
        write_places(w, outer, unit);
        write_bases(w, inner, 0);
        write_vectors(w, 0, write_integer(w, 0), write_extent(w, inner));
        return;
    }
    if (outer) {
        uint32_t blocks = write_slot(w, kernel_slot(w->n, KERNEL_PIECES));
        block = write_rest(w, unit, blocks);
        write_places(w, outer, write_quotient(w, unit, blocks));
    }
    uint32_t step = write_slot(w, kernel_slot(w->n, KERNEL_STEP));
    uint32_t from = write_value(w, "mul nsw i64 %%t%u, %%t%u", block, step);
    uint32_t to = write_value(w, "add nsw i64 %%t%u, %%t%u", from, step);
    to = write_least(w, to, write_extent(w, inner));
    write_bases(w, inner, 0);
    write_vectors(w, 0, from, to);
}

typedef struct piece {
    uint32_t number, from, to; /* of the first reduced axis */
} piece;

/* Takes the piece off the unit's number. */
static piece write_piece(writer *w, uint32_t *unit) {
    piece p = {0};
    int first = 0;
    uint32_t reduced = ((1u << w->n->n_axes) - 1) & ~nest_kept(w->n);
    if (!reduced) return p;
    while (!(reduced >> first & 1)) first++;
    uint32_t extent = write_extent(w, first);
    if (!w->n->cuttable) {
        p.from = write_integer(w, 0);
        p.to = extent;
        return p;
    }
    uint32_t pieces = write_slot(w, kernel_slot(w->n, KERNEL_PIECES));
    uint32_t step = write_slot(w, kernel_slot(w->n, KERNEL_STEP));
    p.number = write_rest(w, *unit, pieces);
    *unit = write_quotient(w, *unit, pieces);
    p.from = write_value(w, "mul nsw i64 %%t%u, %%t%u", p.number, step);
    p.to = write_least(w, write_value(w, "add nsw i64 %%t%u, %%t%u", p.from, step), extent);
    return p;
}

/* Opens the loops over the reduced axes but `lane`; gives how many. */
static int write_reduced_loops(writer *w, int lane, const piece *p, written_loop *loop) {
    int count = 0;
    bool first = true;
    for (int axis = 0; axis < w->n->n_axes; axis++) {
        if (!w->n->axis[axis].reduced) continue;
        bool cut = first;
        first = false;
        if (axis == lane) continue;
        uint32_t from = cut ? p->from : write_integer(w, 0),
                 to = cut ? p->to : write_extent(w, axis);
        loop[count] = write_loop(w, from, to, write_integer(w, 1));
        w->place[axis] = loop[count++].index;
    }
    return count;
}

/* Locals for the sums of a pass, at their neutral element. */
static void write_sums_begin(writer *w, int phase, int vectors) {
    for (size_t i = 0; i < w->n->function->nodes.count; i++) {
        const node *it = node_at(w, i);
        if (!is_reduction(it) || w->n->after[it->first_result] != phase + 1) continue;
        scalar_type type = scalar_of(w, it->first_result);
        type_name name = vector_type(&w->code, type, true);
        for (int v = 0; v < vectors; v++) {
            if (!w->sum[v][i]) w->sum[v][i] = write_local(w, name.at);
            write_line(w, "  store %s %s, ptr %%t%u, align 64", name.at,
                       vector_neutral((int)it->attr[0].i, type, true).at, w->sum[v][i]);
        }
    }
}

static uint32_t read_sum(writer *w, int v, size_t i, scalar_type type) {
    return write_value(w, "load %s, ptr %%t%u, align 64", vector_type(&w->code, type, true).at,
                       w->sum[v][i]);
}

/* NEST_ROWS: the vectors in a fixed tree, then lanes. NEST_COLUMNS: each vector is a result. */
static void write_sums_end(writer *w, int phase, int vectors) {
    for (size_t i = 0; i < w->n->function->nodes.count; i++) {
        const node *it = node_at(w, i);
        if (!is_reduction(it) || w->n->after[it->first_result] != phase + 1) continue;
        scalar_type type = scalar_of(w, it->first_result);
        int how = (int)it->attr[0].i;
        uint32_t sum[WRITER_UNROLL];
        for (int v = 0; v < vectors; v++) sum[v] = read_sum(w, v, i, type);
        if (w->n->form == NEST_COLUMNS) {
            for (int v = 0; v < vectors; v++) w->unit_value[v][it->first_result] = sum[v];
            continue;
        }
        for (int half = 1; half < vectors; half *= 2)
            for (int v = 0; v + half < vectors; v += 2 * half)
                sum[v] = vector_combine(&w->code, how, type, true, sum[v], sum[v + half]);
        w->unit_value[0][it->first_result] = vector_fold(&w->code, how, type, sum[0]);
    }
}

/* Row values to memory, those of piece p after those of the pieces before. */
static void write_row_stores(writer *w, int v, const piece *p) {
    bool columns = w->n->form == NEST_COLUMNS;
    for (int i = 0; i < w->n->n_stores; i++) {
        const nest_store *it = &w->n->store[i];
        if (!w->n->row[it->value]) continue;
        uint32_t at = write_address(w, kernel_slot_store(w->n, i), it->axes, -1, it->dtype);
        if (p->number) {
            uint32_t kept = write_slot(w, kernel_slot(w->n, KERNEL_KEPT));
            at = write_element(w, at, write_value(w, "mul nsw i64 %%t%u, %%t%u", p->number, kept),
                               it->dtype);
        }
        if (v) at = write_element(w, at, write_integer(w, (int64_t)v * w->code.lanes), it->dtype);
        write_store(w, it->dtype, w->unit_value[v][it->value], at, columns,
                    columns ? w->tile_mask[v] : 0);
    }
}

static void forget_unit(writer *w) {
    size_t values = w->n->function->values.count;
    for (int v = 0; v < WRITER_TILE; v++) {
        memset(w->unit_load[v], 0, sizeof w->unit_load[v]);
        memset(w->unit_value[v], 0, values * sizeof **w->unit_value);
    }
    memset(w->splat_value, 0, values * sizeof *w->splat_value);
}

static void write_rows_unit(writer *w, uint32_t unit) {
    int inner = w->n->n_axes - 1, unroll = unroll_of(w);
    uint32_t reduced = ((1u << w->n->n_axes) - 1) & ~nest_kept(w->n);
    piece p = write_piece(w, &unit);
    bool inner_cut = !(reduced & ((1u << inner) - 1));
    write_places(w, nest_kept(w->n), unit);
    forget_unit(w);
    write_unit_loads(w, 0);
    for (int phase = 0; phase < w->n->phases; phase++) {
        written_loop loop[TW_MAX_RANK];
        write_row_values(w, 0, phase);
        write_sums_begin(w, phase, unroll);
        int loops = write_reduced_loops(w, inner, &p, loop);
        write_bases(w, inner, reduced);
        write_vectors(w, phase, inner_cut ? p.from : write_integer(w, 0),
                      inner_cut ? p.to : write_extent(w, inner));
        while (loops) write_loop_end(w, &loop[--loops]);
        write_sums_end(w, phase, unroll);
    }
    write_row_values(w, 0, w->n->phases);
    write_row_stores(w, 0, &p);
}

/* The passes over one tile of columns. */
static void write_tile(writer *w, const piece *p) {
    uint32_t reduced = ((1u << w->n->n_axes) - 1) & ~nest_kept(w->n);
    forget_unit(w);
    for (int v = 0; v < w->tile; v++) write_unit_loads(w, v);
    for (int phase = 0; phase < w->n->phases; phase++) {
        written_loop loop[TW_MAX_RANK];
        for (int v = 0; v < w->tile; v++) write_row_values(w, v, phase);
        write_sums_begin(w, phase, w->tile);
        int loops = write_reduced_loops(w, -1, p, loop);
        write_bases(w, -1, reduced);
        for (int v = 0; v < w->tile; v++) {
            w->inner = write_integer(w, (int64_t)v * w->code.lanes);
            w->mask = w->tile_mask[v];
            write_vector(w, phase, v, v);
        }
        w->mask = 0;
        while (loops) write_loop_end(w, &loop[--loops]);
        write_sums_end(w, phase, w->tile);
    }
    for (int v = 0; v < w->tile; v++) {
        write_row_values(w, v, w->n->phases);
        write_row_stores(w, v, p);
    }
}

static void write_columns_unit(writer *w, uint32_t unit) {
    int inner = w->n->n_axes - 1, width = w->tile * w->code.lanes;
    piece p = write_piece(w, &unit);
    uint32_t extent = write_extent(w, inner);
    uint32_t tiles = write_value(w, "udiv i64 %%t%u, %d",
                                 write_value(w, "add nsw i64 %%t%u, %d", extent, width - 1), width);
    uint32_t tile = write_rest(w, unit, tiles);
    write_places(w, nest_kept(w->n) & ~(1u << inner), write_quotient(w, unit, tiles));
    w->place[inner] = write_value(w, "mul nsw i64 %%t%u, %d", tile, width);
    uint32_t end = write_value(w, "add nsw i64 %%t%u, %d", w->place[inner], width);
    uint32_t whole = write_value(w, "icmp sle i64 %%t%u, %%t%u", end, extent);
    uint32_t label = w->labels;
    w->labels += 3;
    write_line(w, "  br i1 %%t%u, label %%L%u, label %%L%u", whole, label, label + 1);
    write_line(w, "L%u:", label);
    write_tile(w, &p);
    write_line(w, "  br label %%L%u", label + 2);
    write_line(w, "L%u:", label + 1);
    for (int v = 0; v < w->tile; v++) {
        uint32_t base = write_value(w, "add nsw i64 %%t%u, %d", w->place[inner], v * w->code.lanes);
        w->tile_mask[v] = write_mask(w, base, extent);
    }
    write_tile(w, &p);
    write_line(w, "  br label %%L%u", label + 2);
    write_line(w, "L%u:", label + 2);
    memset(w->tile_mask, 0, sizeof w->tile_mask);
}

/* ---- the module ---- */

static void write_kernel(writer *w) {
    uint32_t begin = write_value(w, "add i64 %%begin, 0"), end = write_value(w, "add i64 %%end, 0");
    written_loop units = write_loop(w, begin, end, write_integer(w, 1));
    switch (w->n->form) {
    case NEST_ELEMENTS: write_elements_unit(w, units.index); break;
    case NEST_ROWS: write_rows_unit(w, units.index); break;
    case NEST_COLUMNS: write_columns_unit(w, units.index); break;
    }
    write_loop_end(w, &units);
    if (w->streams) write_line(w, "  fence seq_cst"); /* others may read it now */
    write_line(w, "  ret void");
}

/* Where a vector's operations wait for one another so long that the CPU runs out of others to do,
 * several vectors go side by side: two, or more where the registers hold what is alive of them and
 * memory isn't what they wait for. Tiles of columns do so already. */
static void split_vectors(writer *w, const machine_target *target) {
    int64_t extent = nest_extent(w->n, w->n->n_axes - 1);
    int steps = nest_weight(w->n, &w->memory), loads = w->n->n_loads;
    if (w->n->form == NEST_COLUMNS || (extent >= 0 && extent < NARROW) || steps < LONG) return;
    w->code.apart = steps >= VERY_LONG; /* one after the other, little of each is alive */
    if (w->code.apart)
        w->code.split = loads == 1 ? 3 : 2;
    else
        w->code.split = loads <= 2 && !w->streams && target->vector_registers > 16 ? 2 : 1;
}

static bool start(writer *w, tw_context *context, const nest *n, const machine_target *target) {
    size_t values = n->function->values.count + 1, nodes = n->function->nodes.count + 1;
    *w = (writer){.context = context, .n = n};
    arena_start(&w->memory, context);
    w->entry.context = w->body.context = context;
    w->code = (vector_code){.out = &w->body, .lanes = lanes_of(target), .next = 1};
    w->tile = tile_vectors(n, target);
    w->splat_value = arena_allocate(&w->memory, values, sizeof *w->splat_value);
    w->body_value = arena_allocate(&w->memory, values, sizeof *w->body_value);
    w->kept = arena_allocate(&w->memory, values, sizeof *w->kept);
    w->kept_by = arena_allocate(&w->memory, values, sizeof *w->kept_by);
    bool good = w->splat_value && w->body_value && w->kept && w->kept_by;
    for (int v = 0; v < WRITER_TILE; v++) {
        w->unit_value[v] = arena_allocate(&w->memory, values, sizeof **w->unit_value);
        w->sum[v] = arena_allocate(&w->memory, nodes, sizeof **w->sum);
        good = good && w->unit_value[v] && w->sum[v];
    }
    w->streams = n->form == NEST_ELEMENTS && n->n_axes == 1 && nest_extent(n, 0) >= STREAM;
    if (good) split_vectors(w, target);
    w->code.lanes <<= w->code.split;
    return good && write_kept(w);
}

char *kernel_text(tw_context *context, const nest *n, const machine_target *target) {
    writer w;
    text module = {.context = context};
    bool good = start(&w, context, n, target);
    if (good) {
        write_kernel(&w);
        text_add(&module, "%s", target->preamble);
        text_add(&module,
                 "define void @kernel(ptr noalias dereferenceable(%d) %%arguments, i64 %%begin, "
                 "i64 %%end) #0 {\n",
                 8 * kernel_slots(n));
        if (w.entry.at) text_add_bytes(&module, w.entry.at, w.entry.length);
        if (w.body.at) text_add_bytes(&module, w.body.at, w.body.length);
        text_add(&module, "}\nattributes #0 = { %s }\n!0 = !{}\n!1 = !{i32 1}\n",
                 target->attributes);
        good = !w.entry.failed && !w.body.failed;
    }
    bool described = good && !w.failed;
    text_drop(&w.entry);
    text_drop(&w.body);
    arena_end(&w.memory);
    if (described) return text_take(&module);
    text_drop(&module);
    if (!good) context_error(context, TW_ERR_MEMORY, "out of memory for a kernel's text");
    return NULL;
}
