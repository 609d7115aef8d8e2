/*
 * A product together with the elementwise work on it: the product's tiles go to a block that stays in the
 * nearest cache, and the kernel of the rest runs over that part of its box. What it reads besides is fetched
 * while the tiles are computed.
 */
#include <string.h>

#include "codegen/generated/generated.h"
#include "ops/rules.h"

enum {
    LINE_FLOATS = 16,
    NEAR_BYTES = 1 << 20 /* that stay in the cores' own caches from step to step */
};

static int64_t bytes_of(int64_t elements, tw_dtype dtype) {
    return elements * (int64_t)tw_dtype_size(dtype);
}

/* The kernel's units are rows: those of the block, with the block's columns as the innermost axis. */
static void take(const void *state, const dot_block *at, const float *block) {
    const generated_finishing *f = state;
    const nest *n = &f->g->nest;
    int inner = n->n_axes - 1;
    int64_t slot[KERNEL_MOST_SLOTS], whole = f->slot[inner];
    memcpy(slot, f->slot, (size_t)kernel_slots(n) * sizeof *slot);
    slot[inner] = slot[kernel_slot(n, KERNEL_STEP)] = at->columns;
    slot[kernel_slot(n, KERNEL_PIECES)] = 1;
    for (int i = 0; i < n->n_loads + n->n_stores; i++) {
        bool store = i >= n->n_loads;
        int own = store ? kernel_slot_store(n, i - n->n_loads) : kernel_slot_load(n, i);
        uint32_t axes = store ? n->store[i - n->n_loads].axes : n->load[i].axes;
        tw_dtype dtype = store ? n->store[i - n->n_loads].dtype : n->load[i].dtype;
        if (i == f->g->product->load) {
            slot[own] = (int64_t)(intptr_t)block - bytes_of(at->row * at->step, dtype);
            for (int axis = 0; axis < inner; axis++)
                slot[own + 1 + axis] = slot[own + 1 + axis] / whole * at->step;
        } else if (axes >> inner & 1) {
            slot[own] += bytes_of(at->column, dtype);
        }
    }
    f->g->kernel(slot, at->row, at->row + at->rows);
}

/* One number for each element: from far away, and used once. */
static bool is_fetched(const generated *g, int load) {
    return load != g->product->load && tw_dtype_size(g->nest.load[load].dtype) == sizeof(float) &&
           g->nest.load[load].axes == (1u << g->nest.n_axes) - 1;
}

static int fetch(const void *state, const dot_block *at, const void **list, int most) {
    const generated_finishing *f = state;
    const nest *n = &f->g->nest;
    int64_t whole = f->slot[n->n_axes - 1];
    int count = 0;
    for (int i = 0; i < n->n_loads; i++) {
        if (!is_fetched(f->g, i)) continue;
        const float *row =
            (const float *)(intptr_t)f->slot[kernel_slot_load(n, i)] + at->row * whole + at->column;
        for (int64_t left = at->rows; left > 0; left--, row += whole)
            for (int64_t k = 0; k < at->columns && count < most; k += LINE_FLOATS)
                list[count++] = row + k;
    }
    return count;
}

/* What is near the hardware fetches in time. */
static bool is_worth_fetching(const generated *g, int64_t elements) {
    double bytes = 0;
    for (int i = 0; i < g->nest.n_loads; i++)
        if (is_fetched(g, i)) bytes += (double)elements * sizeof(float);
    return bytes > NEAR_BYTES;
}

static dot_finish finish_of(const generated *g, const generated_finishing *state) {
    dot_finish finish = {.take = take, .state = state};
    for (int i = 0; i < g->nest.n_loads; i++)
        if (is_fetched(g, i)) finish.fetch = fetch;
    return finish;
}

/* The block's rows have to be places on the nest's outer axes, its columns the innermost one. */
tw_status generated_product_prepare(const generated *g, const tw_signature *dot,
                                    const int64_t *extent, dot_plan *plan, bool *blocks) {
    matrix_product m = {0};
    int64_t outer = 1;
    int inner = g->nest.n_axes - 1;
    bool f32 = dot->operand[0].dtype == TW_F32 && dot->result[0].dtype == TW_F32;
    *blocks = false;
    if (!f32) return TW_OK;
    if (rule_elements(dot->operand[0]) <= 0 || rule_elements(dot->result[0]) <= 0) return TW_OK;
    if (!product_of(dot, &m) || !product_tiled(&m)) return TW_OK;
    m.w_updated = g->product->updated;
    dot_finish finish = finish_of(g, NULL);
    if (!is_worth_fetching(g, rule_elements(dot->result[0]))) finish.fetch = NULL;
    tw_status status = generated_dot_prepare(dot->context, &m, &finish, plan);
    if (status) return status == TW_ERR_UNSUPPORTED ? TW_OK : status;
    for (int axis = 0; axis < inner; axis++) outer *= extent[axis];
    int64_t rows = plan->halved ? plan->rows : plan->batch * plan->rows;
    *blocks = outer == rows && extent[inner] == plan->columns + plan->rest;
    return TW_OK;
}

dot_task generated_product_task(const generated *g, const dot_plan *plan,
                                const generated_call *call, const float *x, const float *w,
                                generated_finishing *finishing) {
    *finishing = (generated_finishing){.g = g, .slot = call->slot};
    finishing->finish = finish_of(g, finishing);
    return (dot_task){plan, x, w, NULL, &finishing->finish};
}

tw_status generated_product_run(tw_context *context, const generated *g, const dot_plan *plan,
                                const generated_call *call, const float *x, const float *w) {
    generated_finishing finishing;
    const dot_task task = generated_product_task(g, plan, call, x, w, &finishing);
    return generated_dot_finished(context, plan, x, w, task.finish);
}
