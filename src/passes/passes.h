/* The passes by name, and the pipeline that tw_compile runs. */
#ifndef PASSES_PASSES_H
#define PASSES_PASSES_H

#include "passes/rewrite.h"

extern const pass pool_pass, expand_pass, fold_pass, simplify_pass, sink_pass, order_pass,
    common_pass, spread_pass, fuse_pass, schedule_pass, merge_pass;
/* From the mildest to the one that keeps the least. */
enum { RECOMPUTE_LEVELS = 5 };
extern const pass recompute_passes[RECOMPUTE_LEVELS];

/* The i-th pass, in the order in which they are first run; NULL past the end. */
const pass *passes_at(int i);
/* The names of the passes that tw_compile runs, space-separated; level: how much is computed again.
 * Without generated code, what would be fused runs by the kernels of the operators. */
enum { PASSES_NAMES = 160 };
void passes_choose(bool generates, int level, char names[PASSES_NAMES]);
/* The graph after the named passes (NULL: those for generated code), each followed by
 * the verifier when `verify` is set. A function of the module: graph_drop_functions frees it. NULL
 * with the context's error. */
tw_graph *passes_run(tw_graph *graph, const char *names, bool verify);

#endif
