/* The functions that a graph uses: a depth-first walk with its own stack, since a text may nest
 * functions deeper than the machine's. */
#include "ir/callees.h"

#include <stdlib.h>

typedef enum colour { UNSEEN, OPEN, DONE } colour;

typedef struct entry {
    tw_graph *graph;
    colour colour;
} entry;

typedef struct frame {
    tw_graph *graph;
    size_t node;
    int attribute; /* of that node: the next to look at */
} frame;

typedef struct walk {
    tw_context *context;
    entry *entries; /* sorted by address */
    size_t count;
    VECTOR(frame) stack;
} walk;

static int by_address(const void *a, const void *b) {
    uintptr_t p = (uintptr_t)((const entry *)a)->graph, q = (uintptr_t)((const entry *)b)->graph;
    return (p > q) - (p < q);
}

static entry *find(const walk *w, tw_graph *graph) {
    entry key = {graph, UNSEEN};
    return bsearch(&key, w->entries, w->count, sizeof key, by_address);
}

static tw_status enter(walk *w, tw_graph *graph) {
    entry *e = find(w, graph);
    if (!e)
        return context_error(w->context, TW_ERR_ARGUMENT, "a function of another module is used");
    if (e->colour == DONE) return TW_OK;
    if (e->colour == OPEN)
        return context_error(w->context, TW_ERR_ARGUMENT, "function @%s calls itself", graph->name);
    frame *top = VECTOR_PUSH(w->context, &w->stack);
    if (!top) return TW_ERR_MEMORY;
    top->graph = graph;
    e->colour = OPEN;
    return TW_OK;
}

/* The next function that the frame's graph uses, NULL at its end. */
static tw_graph *next_use(frame *f) {
    for (; f->node < f->graph->nodes.count; f->node++, f->attribute = 0) {
        const node *n = &f->graph->nodes.at[f->node];
        const tw_attr_spec *specs = n->op->attributes;
        while (specs && specs[f->attribute].name) {
            int i = f->attribute++;
            if (specs[i].kind == TW_ATTR_FUNCTION && n->attr[i].function)
                return n->attr[i].function;
        }
    }
    return NULL;
}

static tw_status run(walk *w, tw_graph *graph, callees *out) {
    tw_status status = enter(w, graph);
    while (status == TW_OK && w->stack.count) {
        frame *top = &w->stack.at[w->stack.count - 1];
        tw_graph *used = next_use(top);
        if (used) {
            status = enter(w, used);
            continue;
        }
        find(w, top->graph)->colour = DONE;
        if (top->graph != graph) {
            tw_graph **last = VECTOR_PUSH(w->context, out);
            if (!last) return TW_ERR_MEMORY;
            *last = top->graph;
        }
        w->stack.count--;
    }
    return status;
}

tw_status callees_find(tw_graph *graph, callees *out) {
    module *m = graph->module;
    walk w = {.context = m->context, .count = m->functions.count};
    w.entries = context_allocate(w.context, w.count + 1, sizeof *w.entries);
    if (!w.entries) return TW_ERR_MEMORY;
    for (size_t i = 0; i < w.count; i++) w.entries[i].graph = m->functions.at[i];
    qsort(w.entries, w.count, sizeof *w.entries, by_address);
    tw_status status = run(&w, graph, out);
    VECTOR_FREE(w.context, &w.stack);
    context_release(w.context, w.entries);
    if (status != TW_OK) callees_free(graph, out);
    return status;
}

void callees_free(tw_graph *graph, callees *list) { VECTOR_FREE(graph->module->context, list); }
