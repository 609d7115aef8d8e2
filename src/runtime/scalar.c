/* The driver of elementwise operators. */
#include "runtime/scalar.h"

#include "base/half.h"
#include "base/parallel.h"

/* An operator without a kernel for f16 or bf16 computes in f32. */
static tw_scalar_kernel kernel_of(const tw_operator *op, int n, const tw_type *operand,
                                  bool *wide) {
    /* By the type of operand 0; a select's operand 0 is the condition, which says nothing. */
    tw_dtype by = operand[n == 3 ? 1 : 0].dtype;
    if (by < TW_BOOL || by > TW_F64) return NULL;
    *wide = dtype_half(by) && !op->scalar[by];
    return op->scalar[*wide ? TW_F32 : by];
}

scalar_strides scalar_dense(tw_shape shape) {
    scalar_strides strides = {{0}};
    int64_t step = 1;
    for (int i = shape.rank - 1; i >= 0; i--) {
        strides.axis[i] = step;
        step *= shape.dim[i];
    }
    return strides;
}

/* Whether axis `inner` goes on where `outer` stops, in every operand. */
static bool merges(const scalar_loop *loop, int outer, const scalar_strides *strides, int inner,
                   int64_t extent) {
    for (int k = 0; k < loop->n; k++)
        if (loop->step[k][outer] != strides[k].axis[inner] * extent) return false;
    return true;
}

void scalar_loop_start(scalar_loop *loop, const tw_signature *signature,
                       const scalar_strides *strides) {
    tw_shape shape = signature->result[0].shape;
    loop->wide = false;
    loop->kernel = kernel_of(signature->op, signature->n_operands, signature->operand, &loop->wide);
    loop->attr = signature->attr;
    loop->n = signature->n_operands;
    loop->out_dtype = signature->result[0].dtype;
    loop->out_size = tw_dtype_size(loop->out_dtype);
    for (int k = 0; k < loop->n; k++) {
        loop->dtype[k] = signature->operand[k].dtype;
        loop->size[k] = tw_dtype_size(loop->dtype[k]);
    }
    loop->rank = 0;
    for (int axis = 0; axis < shape.rank; axis++) {
        int64_t extent = shape.dim[axis];
        if (extent == 1) continue;
        int last = loop->rank - 1;
        if (last >= 0 && merges(loop, last, strides, axis, extent)) {
            loop->extent[last] *= extent;
        } else {
            last = loop->rank++;
            loop->extent[last] = extent;
        }
        for (int k = 0; k < loop->n; k++) loop->step[k][last] = strides[k].axis[axis];
    }
    if (loop->rank) return;
    loop->rank = 1;
    loop->extent[0] = 1;
    for (int k = 0; k < loop->n; k++) loop->step[k][0] = 1;
}

enum { WIDE_BLOCK = 256 };

/* A run by the kernel of f32, through blocks that stay in the cache. */
static void run_wide(const scalar_loop *loop, int64_t count, char *out, const void *const *in,
                     const int64_t *step) {
    float wide[TW_SCALAR_OPERANDS][WIDE_BLOCK], result[WIDE_BLOCK];
    for (int64_t i = 0; i < count; i += WIDE_BLOCK) {
        int64_t n = count - i < WIDE_BLOCK ? count - i : WIDE_BLOCK;
        const void *block[TW_SCALAR_OPERANDS];
        int64_t block_step[TW_SCALAR_OPERANDS];
        for (int k = 0; k < loop->n; k++) {
            block[k] = (const char *)in[k] + i * step[k] * (int64_t)loop->size[k];
            block_step[k] = step[k];
            if (!dtype_half(loop->dtype[k])) continue;
            half_widen(loop->dtype[k], block[k], step[k], step[k] ? n : 1, wide[k]);
            block[k] = wide[k];
            block_step[k] = step[k] != 0;
        }
        char *to = out + i * (int64_t)loop->out_size;
        bool narrow = dtype_half(loop->out_dtype);
        loop->kernel(n, narrow ? (void *)result : to, block, block_step, loop->attr);
        if (narrow) half_narrow(loop->out_dtype, result, n, (void *)to);
    }
}

/* One run of elements of the innermost axis. */
static void run_row(const scalar_loop *loop, int64_t count, char *out, const int64_t *at,
                    const void *const *in) {
    const void *row[TW_SCALAR_OPERANDS];
    int64_t step[TW_SCALAR_OPERANDS];
    for (int k = 0; k < loop->n; k++) {
        row[k] = (const char *)in[k] + at[k] * (int64_t)loop->size[k];
        step[k] = loop->step[k][loop->rank - 1];
    }
    if (loop->wide)
        run_wide(loop, count, out, row, step);
    else
        loop->kernel(count, out, row, step, loop->attr);
}

void scalar_loop_run(const scalar_loop *loop, int64_t begin, int64_t end, void *out,
                     const void *const *in) {
    int64_t place[TW_MAX_RANK], at[TW_SCALAR_OPERANDS] = {0}, rest = begin;
    for (int axis = loop->rank - 1; axis >= 0; axis--) {
        place[axis] = axis ? rest % loop->extent[axis] : rest;
        rest /= loop->extent[axis];
        for (int k = 0; k < loop->n; k++) at[k] += place[axis] * loop->step[k][axis];
    }
    int inner = loop->rank - 1;
    char *to = out;
    while (begin < end) {
        int64_t count = loop->extent[inner] - place[inner];
        if (count > end - begin) count = end - begin;
        run_row(loop, count, to, at, in);
        begin += count;
        to += count * (int64_t)loop->out_size;
        /* On to the next row: carry into the outer axes. */
        place[inner] += count;
        for (int k = 0; k < loop->n; k++) at[k] += count * loop->step[k][inner];
        for (int axis = inner; axis > 0 && place[axis] == loop->extent[axis]; axis--) {
            place[axis] = 0;
            place[axis - 1]++;
            for (int k = 0; k < loop->n; k++)
                at[k] += loop->step[k][axis - 1] - loop->extent[axis] * loop->step[k][axis];
        }
    }
}

typedef struct job {
    const scalar_loop *loop;
    char *out;
    const void *const *in;
} job;

static void run_range(void *argument, int64_t begin, int64_t end) {
    const job *it = argument;
    scalar_loop_run(it->loop, begin, end, it->out + begin * (int64_t)it->loop->out_size, it->in);
}

void scalar_run(tw_context *context, const scalar_loop *loop, int64_t elements, void *out,
                const void *const *in) {
    job work = {loop, out, in};
    tw_parallel_for(context, elements, 8 * SCALAR_BLOCK, run_range, &work);
}
