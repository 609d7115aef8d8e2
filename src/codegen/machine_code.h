/*
 * Machine code from LLVM IR text. The text alone decides the code, CPU included (it names it in function
 * attributes), so it is the key of the caches: one in the context, one of objects on disk. LLVM itself is
 * in a shared object of its own, which is loaded at the first miss.
 */
#ifndef CODEGEN_MACHINE_CODE_H
#define CODEGEN_MACHINE_CODE_H

#include <thalweg/base.h>

/* What code is generated for: the widest vectors that this CPU has, or that the context's options allow. */
typedef struct machine_target {
    const char *attributes; /* of every function, in IR: "target-cpu"="x86-64-v4" ... */
    const char *preamble;   /* `target triple = ...` and `target datalayout`, lines of the module */
    int vector_bytes;       /* 64, 32 or 16 */
    int vector_registers;   /* 32 or 16 */
} machine_target;

/* NULL where no code can be generated: a build without LLVM, or .no_codegen in the context's options. */
const machine_target *machine_target_of(tw_context *context);

/*
 * The function @kernel of each of n modules, NULL in out[] where it could not be had (without a
 * message: the plain kernels serve). Modules that miss both caches are compiled side by side on the
 * context's threads. The code lives as long as the context. TW_ERR_MEMORY alone is a failure.
 */
tw_status machine_code_get(tw_context *context, int n, const char *const *ir, void **out);

#endif
