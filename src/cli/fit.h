/* Makes a dataset's columns into what a model takes: types, shapes, scale, codes of classes. */
#ifndef CLI_FIT_H
#define CLI_FIT_H

#include "cli/model.h"

/* What was found from the training data and holds for all later data. */
typedef struct fit_rules {
    bool known;
    struct {
        bool scaled;
        double scale, offset;
    } input[MODEL_INPUTS];
    int n_classes;  /* 0: they have no names */
    char **classes; /* of the labels' codes */
} fit_rules;

typedef struct fitted_data {
    tw_dataset *set;
    int column[MODEL_INPUTS]; /* which one is input i */
} fitted_data;

/*
 * Fits the first n inputs. With unknown rules, finds them from this dataset; else follows them. Takes
 * over the caller's hold of `raw`. CLI_FINE, or the code after a message, which calls the data `what`.
 */
int fit_data(tw_context *context, const model_inputs *inputs, int n, tw_dataset *raw,
             const char *what, fit_rules *rules, fitted_data *out);
void fit_end(fit_rules *rules);

/* The rules as a line of JSON, malloc'd; NULL: memory is out. */
char *fit_print(const fit_rules *rules, const model_inputs *inputs);
/* False when it is no such line. */
bool fit_parse(const char *line, const model_inputs *inputs, fit_rules *out);

#endif
