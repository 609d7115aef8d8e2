/*
 * The kernel of a nest, as LLVM IR: void kernel(ptr arguments, i64 begin, i64 end), the units
 * begin..end-1 of its work. Arguments are slots of 8 bytes: extents and steps, in elements, and
 * pointers.
 */
#ifndef CODEGEN_GENERATED_KERNEL_H
#define CODEGEN_GENERATED_KERNEL_H

#include "codegen/generated/nest.h"
#include "codegen/machine_code.h"

/*
 * Slots: the extent of each axis; then
 *   KERNEL_STEP   elements of a unit (NEST_ELEMENTS), or of the first reduced axis in a piece
 *   KERNEL_PIECES units of a row, or pieces of a reduction
 *   KERNEL_KEPT   elements of a result of the reductions: pieces write theirs one after another
 * and for each load and store its pointer and its step along each axis, 0 where it has none.
 * A unit of NEST_ELEMENTS is (place on all axes but the innermost, block of the innermost), or with
 * .whole_rows all of the innermost; of NEST_ROWS (place on the axes that stay, piece); of NEST_COLUMNS
 * (place on the axes that stay but the innermost, tile of the innermost, piece).
 */
enum { KERNEL_STEP, KERNEL_PIECES, KERNEL_KEPT, KERNEL_NUMBERS };
static inline int kernel_slot(const nest *n, int number) { return n->n_axes + number; }
static inline int kernel_slot_load(const nest *n, int i) {
    return n->n_axes + KERNEL_NUMBERS + i * (1 + n->n_axes);
}
static inline int kernel_slot_store(const nest *n, int i) {
    return kernel_slot_load(n, n->n_loads + i);
}
static inline int kernel_slots(const nest *n) { return kernel_slot_store(n, n->n_stores); }
enum {
    KERNEL_MOST_SLOTS =
        TW_MAX_RANK + KERNEL_NUMBERS + (NEST_LOADS + TW_MAX_RESULTS) * (1 + TW_MAX_RANK)
};

/* Columns that a unit of NEST_COLUMNS does. */
int kernel_tile(const nest *n, const machine_target *target);

/* The module's text, the caller's (tw_string_free). NULL without a message where some operator has no
 * expression; NULL with the context's error when memory is out. */
char *kernel_text(tw_context *context, const nest *n, const machine_target *target);

#endif
