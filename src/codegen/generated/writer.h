/* What the parts of the kernel writer share: text under construction, values known so far, loops. */
#ifndef CODEGEN_GENERATED_WRITER_H
#define CODEGEN_GENERATED_WRITER_H

#include "codegen/generated/kernel.h"
#include "codegen/generated/vector_code.h"

enum { WRITER_TILE = 4, WRITER_UNROLL = 4 };

typedef struct writer {
    tw_context *context;
    const nest *n;
    arena memory;
    text entry, body; /* locals; everything else */
    vector_code code;
    uint32_t labels;
    bool failed;  /* something has no expression */
    bool streams; /* results are larger than the caches: they go past them */
    int tile;     /* vectors of a tile of columns */
    /* Numbers of SSA values, 0 for none. By axis: the present place; by slot: what was read of it. */
    uint32_t place[TW_MAX_RANK];
    uint32_t inner; /* elements: where the vector begins, on the innermost axis */
    uint32_t mask;  /* of the vector; 0: whole */
    /* Known for a unit: by load and by value, for each vector of the tile. In NEST_ROWS numbers, and
     * beside them their splats. */
    uint32_t unit_load[WRITER_TILE][NEST_LOADS], splat_load[NEST_LOADS];
    uint32_t *unit_value[WRITER_TILE], *splat_value;
    uint32_t tile_mask[WRITER_TILE];
    /* Known in the innermost loop's body. */
    uint32_t base_load[NEST_LOADS], base_store[TW_MAX_RESULTS], body_load[NEST_LOADS];
    uint32_t fixed_load[NEST_LOADS]; /* splats of what the innermost loop does not move */
    uint32_t *body_value;
    int pass; /* over the row, from 0 */
    /* By value: its local array, or 0, and the pass that fills it. */
    uint32_t *kept;
    uint8_t *kept_by;
    /* Sums: locals by reduction (its node) and vector. */
    uint32_t *sum[WRITER_UNROLL];
} writer;

/* `%tN = ` and the rest; gives N. */
uint32_t write_value(writer *w, const char *format, ...) TW_PRINTF(2, 3);
void write_line(writer *w, const char *format, ...) TW_PRINTF(2, 3);
uint32_t write_local(writer *w, const char *type);
uint32_t write_integer(writer *w, int64_t number);
uint32_t write_slot(writer *w, int slot);         /* an i64 of the arguments */
uint32_t write_slot_pointer(writer *w, int slot); /* a pointer of them */
/* The extent of an axis: a constant where it is known. */
uint32_t write_extent(writer *w, int axis);

typedef struct written_loop {
    uint32_t counter, index, label, step;
} written_loop;
/* for (index = from; index < to; index += step) */
written_loop write_loop(writer *w, uint32_t from, uint32_t to, uint32_t step);
void write_loop_end(writer *w, const written_loop *loop);
/* The counter's value after a loop. */
uint32_t write_loop_last(writer *w, const written_loop *loop);

/* ---- values (values.c) ---- */

/* The pointer of a load or store for the present place on all axes but `lane` (-1: on all). */
uint32_t write_address(writer *w, int slot, uint32_t axes, int lane, tw_dtype dtype);
/* What row values need of the inputs, for vector v of the tile; then the row values that are known before
 * pass `phase`. */
void write_unit_loads(writer *w, int v);
void write_row_values(writer *w, int v, int phase);
/* Finds what to keep from pass to pass (kept.c). False when memory is out. */
bool write_kept(writer *w);
/* In the innermost loop's body: forget what the last vector was. */
void write_body_begin(writer *w);
/* A value of all axes, for the present vector (v: of the tile). */
uint32_t write_full_value(writer *w, uint32_t value, int v);
/* Operand k of node `it`, so. */
uint32_t write_full_operand(writer *w, const node *it, int k, int v);
/* One number at the pointer, in every lane. */
uint32_t write_fixed(writer *w, tw_dtype dtype, uint32_t pointer);
/* A vector or number to memory at the pointer. */
void write_store(writer *w, tw_dtype dtype, uint32_t value, uint32_t pointer, bool vector,
                 uint32_t mask);
/* A whole vector of one-axis work to memory itself: units begin at multiples of 64 bytes. */
void write_streaming_store(writer *w, tw_dtype dtype, uint32_t value, uint32_t pointer);
/* Element `index` after a pointer. */
uint32_t write_element(writer *w, uint32_t pointer, uint32_t index, tw_dtype dtype);

#endif
