/* The inner kernels of products that a context has, by their form. */
#ifndef CODEGEN_GENERATED_DOT_KERNELS_H
#define CODEGEN_GENERATED_DOT_KERNELS_H

#include "codegen/generated/dot_text.h"

enum {
    DOT_ROWS = 12, /* of a form, at most, */
    DOT_WIDTH = 8,
    DOT_FORMS = 7 /* and forms at a time */
};

/* Takes dot_arguments. */
typedef void (*dot_kernel)(void *arguments, int64_t begin, int64_t end);

/* What they are made for; TW_ERR_UNSUPPORTED, without a message, where there is no generated code. */
tw_status dot_kernels_target(tw_context *context, const machine_target **out);
/* *to[i]: that of form[i]; those that were never asked for are compiled together. TW_ERR_UNSUPPORTED, without a
 * message, where one could not be. */
tw_status dot_kernels_find(tw_context *context, int n, const dot_form *form, dot_kernel *const *to);

#endif
