/* What code is generated for. The levels are those of the x86-64 psABI. */
#include "base/context.h"
#include "codegen/machine_code.h"

#if defined(THALWEG_LLVM_PLUGIN) && defined(__x86_64__)

#define PREAMBLE                                                                                   \
    "target datalayout = "                                                                         \
    "\"e-m:e-p270:32:32-p271:32:32-p272:64:64-i64:64-i128:128-f80:128-n8:16:32:64-S128\"\n"        \
    "target triple = \"x86_64-pc-linux-gnu\"\n"

static const machine_target levels[] = {
    {"nounwind \"stackrealign\" \"target-cpu\"=\"x86-64-v4\" \"prefer-vector-width\"=\"512\" "
     "\"target-features\"=\"+prfchw\"",
     PREAMBLE, 64, 32},
    {"nounwind \"stackrealign\" \"target-cpu\"=\"x86-64-v3\"", PREAMBLE, 32, 16},
    {"nounwind \"stackrealign\" \"target-cpu\"=\"x86-64-v2\"", PREAMBLE, 16, 16}};

/* The widest vectors of the CPU, in bytes. */
static int vectors_of_cpu(void) {
    if (__builtin_cpu_supports("x86-64-v4")) return 64;
    if (__builtin_cpu_supports("x86-64-v3")) return 32;
    return __builtin_cpu_supports("x86-64-v2") ? 16 : 0;
}

const machine_target *machine_target_of(tw_context *context) {
    int most = vectors_of_cpu(), wanted = context->opts.vectors;
    if (context->opts.no_codegen) return NULL;
    if (wanted && wanted < most) most = wanted;
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++)
        if (levels[i].vector_bytes <= most) return &levels[i];
    return NULL;
}

#else

const machine_target *machine_target_of(tw_context *context) {
    (void)context;
    return NULL;
}

#endif
