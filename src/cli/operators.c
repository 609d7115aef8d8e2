/* `thalweg operators`: the reference page of the operator table, or one operator's part of it. */
#include <stdio.h>
#include <stdlib.h>
#include <thalweg/thalweg.h>

#include "cli/cli.h"
#include "cli/page.h"

enum { MOST_NAMES = 1024 };

static void print_examples(void) {
    cli_heading("Examples");
    printf("  thalweg operators softmax\n"
           "  thalweg operators > docs/operators.md\n");
}

static int refuse(tw_context *context, const char *name) {
    const char *names[MOST_NAMES];
    const tw_operator *op;
    int n = 0;
    for (; n < MOST_NAMES && (op = tw_operator_at(context, n)); n++) names[n] = op->name;
    const char *near = cli_nearest(name, n, names);
    if (near) return cli_misuse("no operator '%s'; did you mean '%s'?", name, near);
    return cli_misuse("no operator '%s'; 'thalweg operators' lists them", name);
}

static int show(tw_context *context, const char *name) {
    const tw_operator *op = name ? tw_operator_find(context, name) : NULL;
    if (name && !op) return refuse(context, name);
    if (op)
        page_print_operator(context, op);
    else
        page_print(context);
    return CLI_FINE;
}

static int run(int argc, char **argv) {
    const cli_option options[] = {{0}};
    const cli_usage usage = {
        "operators", "[NAME]",
        "Prints what the operator table says, as Markdown: of one operator, or of all\n"
        "with an index. docs/operators.md is the latter.",
        options, print_examples};
    const char *name = NULL;
    int code = CLI_FINE;
    if (!options_read(&usage, argc, argv, &name, 1, &code)) return code;
    tw_context *context = cli_context(1);
    if (!context) return CLI_FAILED;
    code = show(context, name);
    tw_context_free(context);
    return code;
}

const cli_command operators_command = {"operators", "what each operator does, as Markdown", run};
