/* Inner kernels by form: a table for each variant that was ever asked for. */
#include "codegen/generated/dot_kernels.h"

#include <string.h>
#include <thalweg/graph.h>

#include "base/context.h"

/* Masked or not, fetching or not, adding or not, with half vectors or not, paired or not. */
enum { VARIANTS = 32 };

typedef struct table {
    dot_kernel at[DOT_TURN][DOT_ROWS][DOT_WIDTH];
    bool tried[DOT_TURN][DOT_ROWS][DOT_WIDTH];
} table;

typedef struct dots {
    const machine_target *target;
    table *variant[VARIANTS];
} dots;

static void dots_free(tw_context *context) {
    dots *d = context->dots;
    for (int i = 0; i < VARIANTS; i++) context_release(context, d->variant[i]);
    context_release(context, d);
    context->dots = NULL;
}

tw_status dot_kernels_target(tw_context *context, const machine_target **out) {
    dots *d = context->dots;
    if (!d) {
        d = context_allocate(context, 1, sizeof *d);
        if (!d) return TW_ERR_MEMORY;
        d->target = machine_target_of(context);
        context->dots = d;
        context->dots_free = dots_free;
    }
    *out = d->target;
    return d->target ? TW_OK : TW_ERR_UNSUPPORTED;
}

static table **table_of(dots *d, const dot_form *f) {
    bool half = f->lanes < d->target->vector_bytes / (int)sizeof(float);
    return &d->variant[f->masked + 2 * f->fetches + 4 * f->adds + 8 * half + 16 * f->paired];
}

static dot_kernel *place(table *all, const dot_form *f) {
    return &all->at[f->kind - 1][f->rows - 1][f->width - 1];
}

static bool *tried(table *all, const dot_form *f) {
    return &all->tried[f->kind - 1][f->rows - 1][f->width - 1];
}

/* NULL where it was never made. */
static dot_kernel known(dots *d, const dot_form *f) {
    table *all = *table_of(d, f);
    return all ? *place(all, f) : NULL;
}

static tw_status add_tables(tw_context *context, dots *d, int n, const dot_form *form) {
    for (int i = 0; i < n; i++) {
        table **all = table_of(d, &form[i]);
        if (!*all) *all = context_allocate(context, 1, sizeof **all);
        if (!*all) return TW_ERR_MEMORY;
    }
    return TW_OK;
}

static tw_status make(tw_context *context, dots *d, int n, const dot_form *form) {
    char *text[DOT_FORMS] = {NULL};
    void *code[DOT_FORMS] = {NULL};
    bool any = false;
    tw_status status = add_tables(context, d, n, form);
    if (status) return status;
    for (int i = 0; i < n && !status; i++) {
        bool *was = tried(*table_of(d, &form[i]), &form[i]);
        if (*was) continue;
        text[i] = dot_text(context, &form[i], d->target);
        if (!text[i]) status = TW_ERR_MEMORY;
        *was = any = true;
    }
    if (!status && any) status = machine_code_get(context, n, (const char *const *)text, code);
    for (int i = 0; i < n; i++) {
        table *all = *table_of(d, &form[i]);
        if (text[i] && status) *tried(all, &form[i]) = false;
        /* ISO C has no cast for this. */
        if (text[i] && !status) memcpy(place(all, &form[i]), &code[i], sizeof code[i]);
        tw_string_free(context, text[i]);
    }
    return status;
}

tw_status dot_kernels_find(tw_context *context, int n, const dot_form *form,
                           dot_kernel *const *to) {
    dots *d = context->dots;
    bool missing = false;
    for (int i = 0; i < n; i++) missing = missing || !known(d, &form[i]);
    tw_status status = missing ? make(context, d, n, form) : TW_OK;
    for (int i = 0; i < n && !status; i++) {
        *to[i] = known(d, &form[i]);
        if (!*to[i]) status = TW_ERR_UNSUPPORTED;
    }
    return status;
}
