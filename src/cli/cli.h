/* The command line's common parts: commands, options, messages. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <stdbool.h>
#include <stdint.h>
#include <thalweg/base.h>

#define CLI_VERSION "0.1.0" /* the project's, in CMakeLists.txt */

/* What the process ends with. */
enum { CLI_FINE = 0, CLI_FAILED = 1, CLI_MISUSED = 2 };

typedef struct cli_command {
    const char *name, *about;          /* about: a line for the list of commands */
    int (*run)(int argc, char **argv); /* without the command's name; gives the exit code */
} cli_command;

/* Each command's entry for main.c's table. */
extern const cli_command demo_command, graph_command, operators_command, train_command,
    eval_command, predict_command, summary_command, export_command, profile_command;

typedef enum cli_option_kind {
    OPTION_FLAG = 1,
    OPTION_NUMBER,
    OPTION_TEXT,
    OPTION_REAL, /* a number above 0 */
    OPTION_LIST  /* a word each time that it is given */
} cli_option_kind;

enum { CLI_LIST = 16 };
typedef struct cli_list {
    int n;
    const char *at[CLI_LIST];
} cli_list;

typedef struct cli_option {
    const char *name;  /* "epochs" is --epochs N or --epochs=N */
    const char *value; /* "N", for the help; NULL for a flag */
    const char *about;
    cli_option_kind kind;
    void *to; /* bool, int64_t, const char *, double or cli_list, by kind; holds the default */
    int64_t least, most; /* OPTION_NUMBER */
} cli_option;

typedef struct cli_usage {
    const char *name, *arguments; /* "graph", "MODEL [OPTION...]" */
    const char *about;            /* some lines */
    const cli_option *options;    /* ends with a NULL name */
    void (*more)(void);           /* prints what else the help has; may be NULL */
} cli_usage;

/*
 * Reads the options; words that are none go to words[], of which there may be n_words at most.
 * True to go on; false when *code is the exit code: after --help, or a message.
 */
bool options_read(const cli_usage *usage, int argc, char **argv, const char **words, int n_words,
                  int *code);

/* A heading of a help page, bold on a terminal. */
void cli_heading(const char *words);
/* One line "  name  about" of a help page, names in a column. */
void cli_row(const char *name, const char *about);
/* `given` is none of the names; the nearest, or NULL when none is near. */
const char *cli_nearest(const char *given, int n, const char *const *names);

/* One line on standard error, after "thalweg: ". They give CLI_FAILED and CLI_MISUSED. */
int cli_fail(const char *format, ...) TW_PRINTF(1, 2);
int cli_misuse(const char *format, ...) TW_PRINTF(1, 2);

/* The string goes to standard output and is freed; NULL is the context's error. Gives the code. */
int cli_print_string(tw_context *context, char *string);

/* A context with that many threads (0: all) whose warnings go to standard error; NULL after a
 * message. */
tw_context *cli_context(int64_t threads);

#endif
