/* A context's beginning and end: here, since this layer sees all that a context carries. */
#include "base/context.h"
#include "base/parallel.h"
#include "base/scratch.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "eager/immediate.h"
#include "ir/dimension.h"
#include "ops/families.h"

static int default_threads(void) {
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    return cores > 0 && cores <= 4096 ? (int)cores : 1;
}

static tw_context *allocate(const tw_context_opts *opts) {
    if (!opts || !opts->allocate) return calloc(1, sizeof(tw_context));
    tw_context *made = opts->allocate(opts->allocate_user, NULL, sizeof *made);
    return made ? memset(made, 0, sizeof *made) : NULL;
}

static void release(tw_context *context) {
    tw_context_opts opts = context->opts;
    if (opts.allocate)
        opts.allocate(opts.allocate_user, context, 0);
    else
        free(context);
}

tw_context *tw_context_new(const tw_context_opts *opts) {
    tw_context *context = allocate(opts);
    if (!context) return NULL;
    if (opts) context->opts = *opts;
    context->objects.next = context->objects.previous = &context->objects;
    context->threads = opts && opts->threads > 0 ? opts->threads : default_threads();
    context->executor = &immediate_executor;
    context->dimensions = dimension_table_new(context);
    context->operators = operator_table_new(context);
    if (parallel_start(context) && context->dimensions && context->operators &&
        !ops_register(context))
        return context;
    tw_context_free(context);
    return NULL;
}

/* Objects hold one another in any order. Each gets a hold more, so that no drop frees one while the
 * others end; then all go. The newest end first: a loader's thread before what it reads. */
static void end_objects(tw_context *context) {
    object *ring = &context->objects;
    for (object *it = ring->next; it != ring; it = it->next) it->holds++;
    for (object *it = ring->previous; it != ring; it = it->previous) it->destroy(it);
    for (object *it = ring->next, *next; it != ring; it = next) {
        next = it->next;
        context_release(context, it);
    }
    ring->next = ring->previous = ring;
}

void tw_context_free(tw_context *context) {
    if (!context) return;
    end_objects(context);
    if (context->onednn_free) context->onednn_free(context);
    if (context->dots_free) context->dots_free(context);
    workers_free(context, context->workers);
    scratch_free(context);
    if (context->machine_code_free) context->machine_code_free(context);
    if (context->operators) operator_table_free(context, context->operators);
    if (context->dimensions) dimension_table_free(context, context->dimensions);
    release(context);
}
