/* What a model's step needs of memory, said before it runs. */
#ifndef CLI_MEMORY_H
#define CLI_MEMORY_H

#include <thalweg/run.h>

#include "cli/model.h"

/* "2GiB", "512MiB", "800MB", "1000000": bytes in *out, 0 for NULL; gives the exit code. */
int memory_read(const char *words, size_t *out);
/* One line, "memory: peak ..."; gives the exit code. */
int memory_print(tw_context *context, const tw_memory *memory);
/* The same of a compiled function, for batches of that many examples. */
int memory_print_jit(tw_context *context, tw_jit *jit, const model_inputs *inputs, int64_t batch);

#endif
