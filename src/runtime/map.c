/*
 * The driver of index maps. A piece's axes are sorted by their step in the result, merged where
 * they run on, and the two innermost are handed to a leaf by element size: rows of memcpy, tiles of
 * a transpose, or plain strided loops.
 */
#include "runtime/map.h"

#include <string.h>

#include "base/context.h"
#include "base/parallel.h"
#include "base/scratch.h"
#include "ir/dimension.h"

enum { TILE = 16, GRAIN = 16384, PIECES = 16 };

/* rows x columns elements; steps in elements. */
typedef struct leaf {
    int64_t rows, columns, out_row, out_column, in_row, in_column;
} leaf;

typedef struct copy {
    size_t size;
    int rank; /* at least 2 */
    int64_t extent[TW_MAX_RANK + 1], out_step[TW_MAX_RANK + 1], in_step[TW_MAX_RANK + 1];
    char *out;
    const char *in;
} copy;

#define DEFINE_LEAF(name, type)                                                                    \
    static void name(const leaf *l, void *to, const void *from) {                                  \
        type *restrict out = to;                                                                   \
        const type *restrict in = from;                                                            \
        if (l->in_column == 0 && l->out_column == 1) {                                             \
            for (int64_t r = 0; r < l->rows; r++) {                                                \
                type value = in[r * l->in_row];                                                    \
                for (int64_t c = 0; c < l->columns; c++) out[r * l->out_row + c] = value;          \
            }                                                                                      \
        } else if (l->in_row == 1 && l->out_column == 1) {                                         \
            for (int64_t r0 = 0; r0 < l->rows; r0 += TILE)                                         \
                for (int64_t c0 = 0; c0 < l->columns; c0 += TILE) {                                \
                    int64_t r1 = r0 + TILE < l->rows ? r0 + TILE : l->rows;                        \
                    int64_t c1 = c0 + TILE < l->columns ? c0 + TILE : l->columns;                  \
                    for (int64_t r = r0; r < r1; r++)                                              \
                        for (int64_t c = c0; c < c1; c++)                                          \
                            out[r * l->out_row + c] = in[r + c * l->in_column];                    \
                }                                                                                  \
        } else {                                                                                   \
            for (int64_t r = 0; r < l->rows; r++)                                                  \
                for (int64_t c = 0; c < l->columns; c++)                                           \
                    out[r * l->out_row + c * l->out_column] =                                      \
                        in[r * l->in_row + c * l->in_column];                                      \
        }                                                                                          \
    }
DEFINE_LEAF(leaf_1, uint8_t)
DEFINE_LEAF(leaf_2, uint16_t)
DEFINE_LEAF(leaf_4, uint32_t)
DEFINE_LEAF(leaf_8, uint64_t)

static void run_leaf(const leaf *l, size_t size, char *out, const char *in) {
    if (l->in_column == 1 && l->out_column == 1 && (size_t)l->columns * size >= 32) {
        for (int64_t r = 0; r < l->rows; r++)
            memcpy(out + r * l->out_row * (int64_t)size, in + r * l->in_row * (int64_t)size,
                   (size_t)l->columns * size);
        return;
    }
    switch (size) {
    case 1: leaf_1(l, out, in); break;
    case 2: leaf_2(l, out, in); break;
    case 4: leaf_4(l, out, in); break;
    default: leaf_8(l, out, in); break;
    }
}

static int64_t magnitude(int64_t step) { return step < 0 ? -step : step; }

/* Outermost first in the result: the largest step first. */
static void sort_axes(tw_piece *piece) {
    for (int i = 1; i < piece->rank; i++)
        for (int j = i; j > 0; j--) {
            if (magnitude(piece->out_step[j - 1]) >= magnitude(piece->out_step[j])) break;
            int64_t extent = piece->extent[j], out = piece->out_step[j], in = piece->in_step[j];
            piece->extent[j] = piece->extent[j - 1], piece->extent[j - 1] = extent;
            piece->out_step[j] = piece->out_step[j - 1], piece->out_step[j - 1] = out;
            piece->in_step[j] = piece->in_step[j - 1], piece->in_step[j - 1] = in;
        }
}

/* The axes of `piece` without those of extent 1, neighbours that run on merged. */
static void merge_axes(const tw_piece *piece, copy *out) {
    int rank = 0;
    for (int i = 0; i < piece->rank; i++) {
        int64_t extent = piece->extent[i];
        if (extent == 1) continue;
        bool runs_on = rank && out->out_step[rank - 1] == piece->out_step[i] * extent &&
                       out->in_step[rank - 1] == piece->in_step[i] * extent;
        if (runs_on) extent *= out->extent[--rank];
        out->extent[rank] = extent;
        out->out_step[rank] = piece->out_step[i];
        out->in_step[rank++] = piece->in_step[i];
    }
    out->rank = rank;
}

/* Puts an axis of extent 1 in front until there are two. */
static void pad_rank(copy *it) {
    while (it->rank < 2) {
        for (int i = it->rank; i > 0; i--) {
            it->extent[i] = it->extent[i - 1];
            it->out_step[i] = it->out_step[i - 1];
            it->in_step[i] = it->in_step[i - 1];
        }
        it->extent[0] = 1;
        it->out_step[0] = it->in_step[0] = 1;
        it->rank++;
    }
}

/* A long single row becomes rows, so that threads can share it. The rest stays a second call. */
static int64_t fold_row(copy *it) {
    enum { ROW = GRAIN };
    if (it->rank != 2 || it->extent[0] != 1 || it->extent[1] < 2 * ROW) return 0;
    int64_t columns = it->extent[1], step_out = it->out_step[1], step_in = it->in_step[1];
    it->extent[0] = columns / ROW;
    it->extent[1] = ROW;
    it->out_step[0] = ROW * step_out;
    it->in_step[0] = ROW * step_in;
    return columns % ROW;
}

/* Brings the axis along which the operand is contiguous next to the innermost. */
static void prefer_tiles(copy *it) {
    int inner = it->rank - 1;
    if (it->in_step[inner] == 1 || it->in_step[inner] == 0) return;
    for (int i = 0; i < inner - 1; i++) {
        if (it->in_step[i] != 1) continue;
        int64_t extent = it->extent[i], out = it->out_step[i];
        for (int j = i; j < inner - 1; j++) {
            it->extent[j] = it->extent[j + 1];
            it->out_step[j] = it->out_step[j + 1];
            it->in_step[j] = it->in_step[j + 1];
        }
        it->extent[inner - 1] = extent;
        it->out_step[inner - 1] = out;
        it->in_step[inner - 1] = 1;
        return;
    }
}

/* Rows begin..end-1, counted over all axes but the innermost. */
static void copy_rows(void *argument, int64_t begin, int64_t end) {
    const copy *it = argument;
    int inner = it->rank - 1, middle = inner - 1;
    leaf l = {0,
              it->extent[inner],
              it->out_step[middle],
              it->out_step[inner],
              it->in_step[middle],
              it->in_step[inner]};
    while (begin < end) {
        int64_t rest = begin / it->extent[middle], first = begin % it->extent[middle];
        int64_t out = first * l.out_row, in = first * l.in_row;
        for (int axis = middle - 1; axis >= 0; axis--) {
            int64_t place = rest % it->extent[axis];
            rest /= it->extent[axis];
            out += place * it->out_step[axis];
            in += place * it->in_step[axis];
        }
        l.rows = it->extent[middle] - first;
        if (l.rows > end - begin) l.rows = end - begin;
        run_leaf(&l, it->size, it->out + out * (int64_t)it->size, it->in + in * (int64_t)it->size);
        begin += l.rows;
    }
}

static void run_piece(tw_context *context, tw_piece *piece, size_t size, void *out,
                      const void *in) {
    for (int i = 0; i < piece->rank; i++)
        if (piece->extent[i] == 0) return;
    copy work = {.size = size,
                 .out = (char *)out + piece->out_start * (int64_t)size,
                 .in = (const char *)in + piece->in_start * (int64_t)size};
    sort_axes(piece);
    merge_axes(piece, &work);
    if (work.rank == 0) {
        work.rank = 1;
        work.extent[0] = 1, work.out_step[0] = work.in_step[0] = 1;
    }
    pad_rank(&work);
    prefer_tiles(&work);
    int64_t left = fold_row(&work), rows = 1;
    int inner = work.rank - 1;
    for (int i = 0; i < inner; i++) rows *= work.extent[i];
    int64_t grain = GRAIN / work.extent[inner];
    tw_parallel_for(context, rows, grain > 1 ? grain : 1, copy_rows, &work);
    if (!left) return;
    leaf l = {1, left, 0, work.out_step[1], 0, work.in_step[1]};
    int64_t done = rows * work.extent[1];
    run_leaf(&l, size, work.out + done * work.out_step[1] * (int64_t)size,
             work.in + done * work.in_step[1] * (int64_t)size);
}

static void fill(tw_context *context, int64_t count, size_t size, void *out, const void *value) {
    tw_piece all = {.rank = 1, .extent = {count}, .out_step = {1}, .in_step = {0}};
    run_piece(context, &all, size, out, value);
}

/* The operand that fills is the scalar one. */
static tw_status fill_rest(const tw_kernel_call *call, size_t size) {
    const tw_signature *signature = &call->signature;
    int by = signature->n_operands - 1;
    while (by > 0 && shape_elements(signature->operand[by].shape) != 1) by--;
    fill(signature->context, shape_elements(signature->result[0].shape), size, call->out[0],
         call->in[by]);
    return TW_OK;
}

tw_status map_run(const tw_kernel_call *call) {
    const tw_signature *signature = &call->signature;
    size_t size = tw_dtype_size(signature->result[0].dtype);
    tw_piece few[PIECES], *pieces = few;
    int count = signature->op->map(signature, PIECES, few);
    if (count > PIECES) {
        pieces = scratch_take(signature->context, (size_t)count * sizeof *pieces);
        if (!pieces) return TW_ERR_MEMORY;
        count = signature->op->map(signature, count, pieces);
    }
    if (signature->op->fills) fill_rest(call, size);
    for (int i = 0; i < count; i++)
        run_piece(signature->context, &pieces[i], size, call->out[0], call->in[pieces[i].operand]);
    return TW_OK;
}
