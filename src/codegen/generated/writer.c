/* Text, loops and slots of the kernel writer. */
#include "codegen/generated/writer.h"

#include <stdio.h>

static void add(text *out, const char *format, va_list list) {
    char line[512];
    int length = vsnprintf(line, sizeof line, format, list);
    if (length < 0 || (size_t)length >= sizeof line)
        out->failed = true;
    else
        text_add_bytes(out, line, (size_t)length);
}

uint32_t write_value(writer *w, const char *format, ...) {
    va_list list;
    uint32_t made = vector_fresh(&w->code);
    text_add(&w->body, "  %%t%u = ", made);
    va_start(list, format);
    add(&w->body, format, list);
    va_end(list);
    text_add(&w->body, "\n");
    return made;
}

void write_line(writer *w, const char *format, ...) {
    va_list list;
    va_start(list, format);
    add(&w->body, format, list);
    va_end(list);
    text_add(&w->body, "\n");
}

uint32_t write_local(writer *w, const char *type) {
    uint32_t made = vector_fresh(&w->code);
    text_add(&w->entry, "  %%t%u = alloca %s, align 64\n", made, type);
    return made;
}

uint32_t write_integer(writer *w, int64_t number) {
    return write_value(w, "add i64 0, %lld", (long long)number);
}

static uint32_t slot_address(writer *w, int slot) {
    return write_value(w, "getelementptr i64, ptr %%arguments, i64 %d", slot);
}

uint32_t write_slot(writer *w, int slot) {
    uint32_t at = slot_address(w, slot);
    return write_value(w, "load i64, ptr %%t%u, align 8, !invariant.load !0", at);
}

uint32_t write_slot_pointer(writer *w, int slot) {
    uint32_t at = slot_address(w, slot);
    return write_value(w, "load ptr, ptr %%t%u, align 8, !invariant.load !0", at);
}

uint32_t write_extent(writer *w, int axis) {
    /* Elementwise work does not gain by knowing, and equal kernels for all sizes are one. */
    int64_t known = w->n->form == NEST_ELEMENTS ? -1 : nest_extent(w->n, axis);
    return known >= 0 ? write_integer(w, known) : write_slot(w, axis);
}

written_loop write_loop(writer *w, uint32_t from, uint32_t to, uint32_t step) {
    written_loop loop = {write_local(w, "i64"), 0, w->labels, step};
    w->labels += 3;
    write_line(w, "  store i64 %%t%u, ptr %%t%u, align 8", from, loop.counter);
    write_line(w, "  br label %%L%u", loop.label);
    write_line(w, "L%u:", loop.label);
    loop.index = write_value(w, "load i64, ptr %%t%u, align 8", loop.counter);
    uint32_t go = write_value(w, "icmp slt i64 %%t%u, %%t%u", loop.index, to);
    write_line(w, "  br i1 %%t%u, label %%L%u, label %%L%u", go, loop.label + 1, loop.label + 2);
    write_line(w, "L%u:", loop.label + 1);
    return loop;
}

void write_loop_end(writer *w, const written_loop *loop) {
    uint32_t next = write_value(w, "add nsw i64 %%t%u, %%t%u", loop->index, loop->step);
    write_line(w, "  store i64 %%t%u, ptr %%t%u, align 8", next, loop->counter);
    write_line(w, "  br label %%L%u", loop->label);
    write_line(w, "L%u:", loop->label + 2);
}

uint32_t write_loop_last(writer *w, const written_loop *loop) {
    return write_value(w, "load i64, ptr %%t%u, align 8", loop->counter);
}
