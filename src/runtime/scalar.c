/* The driver of elementwise operators. */
#include "runtime/scalar.h"

#include "base/parallel.h"

static tw_scalar_kernel kernel_of(const tw_operator *op, int n, const tw_type *operand) {
    /* By the type of operand 0; a select's operand 0 is the condition, which says nothing. */
    tw_dtype by = operand[n == 3 ? 1 : 0].dtype;
    return by >= TW_BOOL && by <= TW_F64 ? op->scalar[by] : NULL;
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
    loop->kernel = kernel_of(signature->op, signature->n_operands, signature->operand);
    loop->attr = signature->attr;
    loop->n = signature->n_operands;
    loop->out_size = tw_dtype_size(signature->result[0].dtype);
    for (int k = 0; k < loop->n; k++) loop->size[k] = tw_dtype_size(signature->operand[k].dtype);
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

/* One run of elements of the innermost axis. */
static void run_row(const scalar_loop *loop, int64_t count, char *out, const int64_t *at,
                    const void *const *in) {
    const void *row[TW_SCALAR_OPERANDS];
    int64_t step[TW_SCALAR_OPERANDS];
    for (int k = 0; k < loop->n; k++) {
        row[k] = (const char *)in[k] + at[k] * (int64_t)loop->size[k];
        step[k] = loop->step[k][loop->rank - 1];
    }
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
