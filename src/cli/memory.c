/* The line about memory. */
#include "cli/memory.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

int memory_read(const char *words, size_t *out) {
    static const struct {
        const char *name;
        double bytes;
    } units[] = {{"", 1},      {"B", 1},          {"KiB", 1024.0},      {"MiB", 1048576.0},
                 {"kB", 1000}, {"MB", 1000000.0}, {"GB", 1000000000.0}, {"GiB", 1073741824.0}};
    char *end = NULL;
    double bytes = words ? strtod(words, &end) : 0;
    *out = 0;
    if (!words) return CLI_FINE;
    for (size_t i = 0; end != words && i < sizeof units / sizeof *units; i++) {
        if (strcmp(end, units[i].name)) continue;
        bytes *= units[i].bytes;
        if (!(bytes >= 1 && bytes < 0x1p62)) break;
        *out = (size_t)bytes;
        return CLI_FINE;
    }
    return cli_misuse("--memory takes a size such as 2GiB or 512MiB, not '%s'", words);
}

int memory_print(tw_context *context, const tw_memory *memory) {
    char *words = tw_memory_print(context, memory);
    if (!words) return cli_fail("%s", tw_message(context));
    printf("memory: %s\n", words);
    tw_string_free(context, words);
    fflush(stdout);
    return CLI_FINE;
}

int memory_print_jit(tw_context *context, tw_jit *jit, const model_inputs *inputs, int64_t batch) {
    tw_tensor *in[MODEL_INPUTS] = {NULL};
    tw_memory memory;
    tw_status status = TW_OK;
    for (int i = 0; i < inputs->n && !status; i++) {
        tw_shape shape = {.rank = inputs->type[i].shape.rank + 1, .dim = {batch}};
        for (int k = 1; k < shape.rank; k++) shape.dim[k] = inputs->type[i].shape.dim[k - 1];
        in[i] = tw_tensor_new(context, inputs->type[i].dtype, shape);
        if (!in[i]) status = tw_last_status(context);
    }
    if (!status) status = tw_jit_plan(jit, in, &memory);
    for (int i = 0; i < inputs->n; i++) tw_tensor_free(in[i]);
    return status ? cli_fail("%s", tw_message(context)) : memory_print(context, &memory);
}
