/* The data that --data and --val name: what kind of files they are, and their datasets. */
#ifndef CLI_DATA_H
#define CLI_DATA_H

#include <thalweg/data.h>

#include "cli/model.h"

typedef struct data_choice {
    const char *path;
    const char *label, *separator,
        *missing; /* of CSV files; label of NPY files too; NULL: default */
    bool no_label, no_header, flip;
    double crop;
    int64_t length; /* of a text's examples; 0: the model's */
    int64_t seed;
} data_choice;

typedef enum data_kind {
    DATA_IDX = 1,
    DATA_CIFAR,
    DATA_IMAGES,
    DATA_NPZ,
    DATA_NPY,
    DATA_CSV,
    DATA_TEXT
} data_kind;

enum { DATA_PATH = 4096 };

/* What a path holds. */
typedef struct data_place {
    data_kind kind;
    char train[DATA_PATH],
        test[DATA_PATH]; /* files, folders, or beginnings of names; test "": none */
} data_place;

typedef enum data_part { DATA_TRAIN = 1, DATA_TEST } data_part;

/* Whether the options' values can be; CLI_FINE, or the code after a message. */
int data_check(const data_choice *choice);
/* The same. */
int data_find(const char *path, data_place *out);
/* The part's columns as the files have them; NULL after a message. `needed` of the model's inputs are
 * wanted: with fewer than all, labels may be missing. */
tw_dataset *data_read(tw_context *context, const data_choice *choice, const data_place *place,
                      data_part part, const model_inputs *inputs, int needed);

/* The options that say how to read the files, for commands' tables. */
#define DATA_OPTIONS(choice)                                                                       \
    {"label",                                                                                      \
     "NAME",                                                                                       \
     "CSV: the label's column (the last); NPY: the labels' file",                                  \
     OPTION_TEXT,                                                                                  \
     &(choice).label,                                                                              \
     0,                                                                                            \
     0},                                                                                           \
        {"separator",                                                                              \
         "C",                                                                                      \
         "CSV: what stands between fields (a comma)",                                              \
         OPTION_TEXT,                                                                              \
         &(choice).separator,                                                                      \
         0,                                                                                        \
         0},                                                                                       \
        {"no-header", NULL, "CSV: the first line is an example", OPTION_FLAG, &(choice).no_header, \
         0,           0},                                                                          \
        {"missing",                                                                                \
         "X",                                                                                      \
         "CSV: what a missing number becomes: 'mean', or a number",                                \
         OPTION_TEXT,                                                                              \
         &(choice).missing,                                                                        \
         0,                                                                                        \
         0},                                                                                       \
    {                                                                                              \
        "length", "N", "text: bytes of an example where the model says none (256)", OPTION_NUMBER, \
            &(choice).length, 1, INT32_MAX                                                         \
    }

/* The rows of a help page that say what --data may be. */
void data_print_help(void);

#endif
