/* Binding and running generated kernels. */
#include "runtime/fused.h"

#include "base/parallel.h"
#include "base/scratch.h"
#include "runtime/dispatch.h"
#include "runtime/tensor.h"

/* A reduction's attributes: how, over the pieces, of the same type. */
static void putting(const nest_store *store, tw_attr attr[3]) {
    attr[0] = tw_attr_int(store->how - 1);
    attr[1] = tw_attr_dims(TW_SHAPE(0));
    attr[2] = tw_attr_int(0);
}

/* Memory for the results of pieces, one store after another, and for putting one together. */
static tw_status bind_pieces(tw_program *program, const generated *g, step *at) {
    tw_context *context = program->object.context;
    size_t bytes = 0, most = 0;
    for (int i = 0; at->fused.pieces > 1 && i < g->nest.n_stores; i++) {
        const nest_store *store = &g->nest.store[i];
        size_t more, size = tw_dtype_size(store->dtype), room;
        if (!store->how) continue;
        if (__builtin_mul_overflow((size_t)at->fused.pieces * size, (size_t)at->fused.kept,
                                   &more) ||
            __builtin_add_overflow(bytes, more + 64, &bytes))
            return context_error(context, TW_ERR_MEMORY,
                                 "the pieces of a reduction do not fit in memory");
        tw_type operand = {store->dtype, TW_SHAPE(at->fused.pieces, at->fused.kept)};
        tw_type result = {store->dtype, TW_SHAPE(at->fused.kept)};
        tw_attr attr[3];
        putting(store, attr);
        tw_signature signature = {
            context, tw_operator_find(context, "reduce"), 1, 1, &operand, &result, attr};
        tw_status status = dispatch_workspace(&signature, true, &room);
        if (status) return status;
        if (room > most) most = room;
    }
    at->pieces_bytes = bytes;
    at->workspace = bytes ? scratch_rounded(bytes) + most : 0;
    return TW_OK;
}

/* Whether the product runs in blocks; their memory, then. */
static tw_status bind_blocks(const generated *g, const int64_t *extent, step *at) {
    fused_product *p = at->product;
    tw_status status;
    if (g->product->by_samples) {
        status = generated_convolution_bytes(g, &p->signature, &at->fused, &at->workspace);
        p->blocks = !status;
        return status == TW_ERR_UNSUPPORTED ? TW_OK : status;
    }
    status = generated_product_prepare(g, &p->signature, extent, &p->plan, &p->blocks);
    if (!status && p->blocks) at->workspace = generated_dot_bytes(p->signature.context, &p->plan);
    return status;
}

/* A product, and memory for one that can't run in blocks. */
static tw_status bind_product(tw_program *program, const generated *g, const int64_t *extent,
                              tw_shape domain, step *at) {
    const generated_product *product = g->product;
    tw_context *context = program->object.context;
    fused_product *p = at->product;
    if (!p) p = at->product = arena_allocate(&program->arena, 1, sizeof *p);
    if (!p) return TW_ERR_MEMORY;
    at->workspace = 0;
    *p = (fused_product){.result = {product->type.dtype, domain}};
    for (int k = 0; k < product->n_operands; k++) p->operand[k] = at->operand[product->operand[k]];
    p->signature = (tw_signature){context,    product->op, product->n_operands, 1,
                                  p->operand, &p->result,  product->attr};
    if (!type_bytes(p->result, &p->bytes))
        return context_error(context, TW_ERR_MEMORY, "a product does not fit in memory");
    tw_status status = bind_blocks(g, extent, at);
    if (status || p->blocks) return status;
    size_t room;
    status = dispatch_workspace(&p->signature, false, &room);
    at->workspace = scratch_rounded(p->bytes + 1) + room; /* no bytes are some, too */
    return status;
}

tw_status fused_bind(tw_program *program, const instruction *it, step *at, tw_shape domain) {
    const nest *n = &it->generated->nest;
    int64_t extent[TW_MAX_RANK];
    if (!at->fused.slot)
        at->fused.slot =
            arena_allocate(&program->arena, (size_t)kernel_slots(n), sizeof *at->fused.slot);
    if (!at->fused.slot) return TW_ERR_MEMORY;
    for (int axis = 0; axis < n->n_axes; axis++) {
        extent[axis] = 1;
        for (int i = 0; i < domain.rank; i++)
            if (n->axis[axis].of >> i & 1) extent[axis] *= domain.dim[i];
    }
    generated_bind(it->generated, extent, &at->fused);
    if (it->generated->product) return bind_product(program, it->generated, extent, domain, at);
    return bind_pieces(program, it->generated, at);
}

/* The product before the kernel, to memory of its own. */
static tw_status run_before(const generated *g, const step *at, tw_kernel_call *product) {
    char *made = scratch_take(product->signature.context, at->product->bytes + 1);
    if (!made) return TW_ERR_MEMORY;
    void *to[] = {made};
    product->out = to;
    at->fused.slot[kernel_slot_load(&g->nest, g->product->load)] = (int64_t)(intptr_t)made;
    return dispatch_run(product, false);
}

/* The product with the kernel, if it can be; else before it, and *kernel_left is set. */
static tw_status run_product(const generated *g, const step *at, bool *kernel_left) {
    const fused_product *p = at->product;
    const void *in[PRODUCT_OPERANDS];
    tw_kernel_call product = {p->signature, in, NULL, NULL};
    tw_status status = TW_ERR_UNSUPPORTED;
    for (int k = 0; k < g->product->n_operands; k++) in[k] = at->in[g->product->operand[k]];
    if (p->blocks && g->product->by_samples)
        status = generated_convolution_run(g, &product, &at->fused);
    else if (p->blocks)
        status = generated_product_run(p->signature.context, g, &p->plan, &at->fused, in[0], in[1]);
    *kernel_left = status == TW_ERR_UNSUPPORTED;
    return *kernel_left ? run_before(g, at, &product) : status;
}

/* partial is (pieces, kept); the plain reduction has a fixed order of its own. */
static tw_status put_together(const tw_program *program, const step *at, const nest_store *store,
                              const char *partial, void *out) {
    tw_context *context = program->object.context;
    const tw_operator *op = tw_operator_find(context, "reduce");
    tw_type operand = {store->dtype, TW_SHAPE(at->fused.pieces, at->fused.kept)};
    tw_type result = {store->dtype, TW_SHAPE(at->fused.kept)};
    tw_attr attr[3];
    putting(store, attr);
    const void *in[] = {partial};
    void *to[] = {out};
    tw_kernel_call call = {{context, op, 1, 1, &operand, &result, attr}, in, to, NULL};
    return dispatch_run(&call, true);
}

/* The kernel over its whole box; pieces of reductions are put together after it. */
static tw_status run_kernel(const tw_program *program, const generated *g, const step *at) {
    const nest *n = &g->nest;
    const generated_call *call = &at->fused;
    tw_context *context = program->object.context;
    char *partial = at->pieces_bytes ? scratch_take(context, at->pieces_bytes) : NULL;
    if (at->pieces_bytes && !partial) return TW_ERR_MEMORY;
    tw_status status = TW_OK;
    for (int i = 0; i < n->n_stores && partial; i++) {
        if (!n->store[i].how) continue;
        call->slot[kernel_slot_store(n, i)] = (int64_t)(intptr_t)partial;
        partial +=
            ((size_t)call->pieces * (size_t)call->kept * tw_dtype_size(n->store[i].dtype) + 63) &
            ~(size_t)63;
    }
    tw_parallel_for(context, call->units, call->grain, g->kernel, call->slot);
    for (int i = 0; call->pieces > 1 && i < n->n_stores && !status; i++)
        if (n->store[i].how)
            status = put_together(program, at, &n->store[i],
                                  (const char *)(intptr_t)call->slot[kernel_slot_store(n, i)],
                                  at->out[i]);
    return status;
}

/* This run's pointers, but for those of products and pieces. */
static void point(const generated *g, const step *at) {
    const nest *n = &g->nest;
    int64_t *slot = at->fused.slot;
    for (int i = 0; i < n->n_loads; i++)
        if (!g->product || i != g->product->load)
            slot[kernel_slot_load(n, i)] = (int64_t)(intptr_t)at->in[n->load[i].input];
    for (int i = 0; i < n->n_stores; i++)
        slot[kernel_slot_store(n, i)] = (int64_t)(intptr_t)at->out[i];
}

tw_status fused_run(const tw_program *program, const instruction *it, const step *at) {
    const generated *g = it->generated;
    tw_context *context = program->object.context;
    scratch_mark mark = scratch_save(context);
    bool kernel_left = true;
    tw_status status = TW_OK;
    point(g, at);
    if (g->product) status = run_product(g, at, &kernel_left);
    if (!status && kernel_left) status = run_kernel(program, g, at);
    scratch_restore(context, mark);
    return status;
}

dot_task fused_task(const instruction *it, const step *at, generated_finishing *finishing) {
    const generated *g = it->generated;
    point(g, at);
    return generated_product_task(g, &at->product->plan, &at->fused, at->in[g->product->operand[0]],
                                  at->in[g->product->operand[1]], finishing);
}
