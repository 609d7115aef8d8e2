/*
 * Functions inside a graph. Each takes a model function, as tw_jit_new does: in[] are its inputs,
 * out[] its results, at most 16, those that it assigns included; in and out may be the same array.
 * Variables that it uses are the graph's own. Gradients of any order pass through.
 */
#ifndef THALWEG_CONTROL_H
#define THALWEG_CONTROL_H

#include <thalweg/graph.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One node in the place of the function's own. */
TW_API void tw_call(tw_graph *graph, tw_function function, const void *config, int n_in,
                    const tw_value *in, int n_out, tw_value *out);
/* The same; the gradient keeps the inputs alone and computes everything between again (Chen et al.
 * 2016, Training Deep Nets with Sublinear Memory Cost). Random numbers are the same again. */
TW_API void tw_checkpoint(tw_graph *graph, tw_function function, const void *config, int n_in,
                          const tw_value *in, int n_out, tw_value *out);
/* The same; the gradient is what `gradient` gives: its in[] are the function's inputs, its results
 * and their gradients, its out[] the gradients of the inputs (absent: zero). Both get `config`.
 * Neither may use variables: give them as inputs. */
TW_API void tw_custom_gradient(tw_graph *graph, tw_function function, tw_function gradient,
                               const void *config, int n_in, const tw_value *in, int n_out,
                               tw_value *out);

#ifdef __cplusplus
}
#endif
#endif
