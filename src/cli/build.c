/* A model's functions as graphs, and what its inputs are. */
#include <stdio.h>
#include <string.h>
#include <thalweg/thalweg.h>

#include "cli/model.h"
#include "ir/graph.h"

bool model_counts(const tw_model *model) { return model->metrics && !model->no_correct; }

int model_predicts_from(const tw_model *model) { return model->n_predict ? model->n_predict : 1; }

static int trace(tw_graph *graph, const chosen_model *chosen, model_part part, const tw_value *in,
                 tw_value *out) {
    const tw_model *model = chosen->model;
    const void *config = chosen->config;
    if (part == MODEL_PREDICT) {
        model->predict(graph, in, out, config);
        return 1;
    }
    if (part == MODEL_METRICS && model->metrics) {
        model->metrics(graph, in, out, config);
        return 1 + model_counts(model);
    }
    model->loss(graph, in, out, config);
    if (part == MODEL_TRAIN) tw_minimize(out[0], model->optimizer(config));
    return 1;
}

tw_graph *model_graph(tw_context *context, tw_store *store, const chosen_model *chosen,
                      model_part part, int64_t batch, tw_value *in, tw_value *out) {
    tw_graph *graph = tw_graph_new(context, store, TW_SYMBOLIC,
                                   &(tw_graph_opts){.training = part == MODEL_TRAIN});
    if (graph) {
        chosen->model->inputs(graph, batch ? batch : tw_symbol(context, "batch"), in,
                              chosen->config);
        int n = trace(graph, chosen, part, in, out);
        tw_outputs(graph, n, out);
        if (!tw_graph_status(graph)) return graph;
    }
    cli_fail("%s", tw_message(context));
    tw_graph_free(graph);
    return NULL;
}

bool model_describe_inputs(tw_context *context, const chosen_model *chosen, model_inputs *out) {
    tw_value in[MODEL_INPUTS] = {{0}};
    const tw_model *model = chosen->model;
    *out = (model_inputs){.model = model->name, .n = model->n_in};
    tw_graph *graph = tw_graph_new(context, NULL, TW_SYMBOLIC, NULL);
    if (graph) model->inputs(graph, tw_symbol(context, "batch"), in, chosen->config);
    bool good = graph && !tw_graph_status(graph);
    if (!good) cli_fail("%s", tw_message(context));
    for (int i = 0; good && i < model->n_in; i++) {
        tw_type type = tw_type_of(in[i]);
        good = tw_ok(in[i]) && type.shape.rank > 0;
        if (!good) {
            cli_fail("input %d of model '%s' has no axis for the batch", i, model->name);
            break;
        }
        const node *made = &graph->nodes.at[graph->values.at[in[i].id].node];
        snprintf(out->name[i], sizeof out->name[i], "%s", made->attr[0].string);
        out->type[i] =
            (tw_type){type.dtype, tw_shape_make(type.shape.rank - 1, type.shape.dim + 1)};
    }
    tw_graph_free(graph);
    return good;
}
