/* Memory, errors and owned objects of a context. */
#include "base/context.h"

#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static void *raw_resize(tw_context *context, void *old, size_t bytes) {
    if (context->opts.allocate)
        return context->opts.allocate(context->opts.allocate_user, old, bytes);
    if (bytes) return realloc(old, bytes);
    free(old);
    return NULL;
}

void *context_resize(tw_context *context, void *old, size_t count, size_t size) {
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes) || bytes > PTRDIFF_MAX) {
        context_error(context, TW_ERR_MEMORY, "%zu elements of %zu bytes do not fit in memory",
                      count, size);
        return NULL;
    }
    void *memory = raw_resize(context, old, bytes ? bytes : 1);
    if (!memory) {
        context->refused++;
        context_error(context, TW_ERR_MEMORY, "out of memory: %zu bytes", bytes);
    }
    return memory;
}

void *context_allocate(tw_context *context, size_t count, size_t size) {
    void *memory = context_resize(context, NULL, count, size);
    if (memory) memset(memory, 0, count * size);
    return memory;
}

void context_release(tw_context *context, void *memory) {
    if (memory) raw_resize(context, memory, 0);
}

void context_give_back(tw_context *context) {
#ifdef __GLIBC__
    if (!context->opts.allocate) malloc_trim(0);
#else
    (void)context;
#endif
}

enum { CACHE_LINE = 64, HUGE_PAGE = 2 << 20, HUGE_PAGES_FROM = 2 * HUGE_PAGE };

/* Whole huge pages only: what does not fill one stays small, so nothing is resident unused. */
static void advise_huge_pages(char *memory, size_t bytes) {
#ifdef MADV_HUGEPAGE
    /* A wish: small ones serve too. */
    madvise(memory, bytes / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE);
#else
    (void)memory, (void)bytes;
#endif
}

/* The address that the allocator gave stands just before the aligned one. */
void *context_allocate_aligned(tw_context *context, size_t bytes) {
    size_t alignment = bytes < HUGE_PAGES_FROM ? CACHE_LINE : HUGE_PAGE;
    if (bytes > PTRDIFF_MAX - 2 * alignment) {
        context_error(context, TW_ERR_MEMORY, "%zu bytes do not fit in memory", bytes);
        return NULL;
    }
    char *memory = context_resize(context, NULL, bytes + alignment + CACHE_LINE, 1);
    if (!memory) return NULL;
    char *start = memory + sizeof(void *);
    char *aligned = start + (alignment - (uintptr_t)start % alignment) % alignment;
    memcpy(aligned - sizeof(void *), &memory, sizeof(void *));
    if (bytes >= HUGE_PAGES_FROM && !context->opts.allocate) advise_huge_pages(aligned, bytes);
    return aligned;
}

void context_release_aligned(tw_context *context, void *memory) {
    if (!memory) return;
    void *start;
    memcpy(&start, (char *)memory - sizeof(void *), sizeof(void *));
    context_release(context, start);
}

tw_status context_error_v(tw_context *context, tw_status status, const char *format, va_list list) {
    if (!context) return status;
    context->status = status;
    /* An argument may be the present message: format aside. */
    char line[sizeof context->message];
    vsnprintf(line, sizeof line, format, list);
    memcpy(context->message, line, sizeof line);
    return status;
}

tw_status context_error(tw_context *context, tw_status status, const char *format, ...) {
    va_list list;
    va_start(list, format);
    context_error_v(context, status, format, list);
    va_end(list);
    return status;
}

tw_status tw_last_status(const tw_context *context) {
    return context ? context->status : TW_ERR_NULL;
}

const char *tw_message(const tw_context *context) {
    return context ? context->message : "no context: tw_context_new failed (out of memory)";
}

void *object_new(tw_context *context, size_t size, void (*destroy)(object *)) {
    object *made = context_allocate(context, 1, size);
    if (!made) return NULL;
    made->context = context;
    made->destroy = destroy;
    made->holds = 1;
    object *ring = &context->objects;
    made->next = ring;
    made->previous = ring->previous;
    made->previous->next = made;
    ring->previous = made;
    return made;
}

void *object_hold(void *held) {
    if (held) ((object *)held)->holds++;
    return held;
}

void object_drop(void *dropped) {
    object *it = dropped;
    if (!it || --it->holds > 0) return;
    it->next->previous = it->previous;
    it->previous->next = it->next;
    it->destroy(it);
    context_release(it->context, it);
}
