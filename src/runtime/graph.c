/* A graph on a store: what of tw_graph_new the representation does not know. */
#include "ir/graph.h"

#include "runtime/store.h"

tw_graph *tw_graph_new(tw_context *context, tw_store *store, tw_mode mode,
                       const tw_graph_opts *opts) {
    tw_graph *graph =
        graph_new_for(context, store, store ? &store->table : NULL, mode, opts && opts->training);
    if (graph) graph->check = opts && opts->check;
    return graph;
}
