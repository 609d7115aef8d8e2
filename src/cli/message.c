/* What the command line says: help pages, errors. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <thalweg/graph.h>
#include <unistd.h>

#include "cli/cli.h"

enum { NAME_COLUMN = 20, LONGEST_NAME = 32, WIDTH = 80 };

void cli_heading(const char *words) {
    const char *plain = getenv("NO_COLOR");
    bool bold = isatty(STDOUT_FILENO) && !(plain && *plain);
    printf("\n%s%s%s\n", bold ? "\033[1m" : "", words, bold ? "\033[0m" : "");
}

/* Breaks lines between words, and where the text does. */
void cli_row(const char *name, const char *about) {
    int column = printf("  %-*s ", NAME_COLUMN, name), start = NAME_COLUMN + 3;
    bool broken = false;
    while (*about) {
        int length = (int)strcspn(about, " \n");
        if (broken || (column + 1 + length > WIDTH && column > start))
            column = printf("\n%*s", start, "") - 1;
        column += printf(" %.*s", length, about);
        about += length;
        broken = *about == '\n';
        about += *about != '\0';
    }
    putchar('\n');
}

/* Levenshtein's distance; words longer than LONGEST_NAME are far from all. */
static int distance(const char *a, const char *b) {
    size_t n = strlen(a), m = strlen(b);
    if (n > LONGEST_NAME || m > LONGEST_NAME) return LONGEST_NAME;
    int row[LONGEST_NAME + 1];
    for (size_t j = 0; j <= m; j++) row[j] = (int)j;
    for (size_t i = 1; i <= n; i++) {
        int corner = row[0];
        row[0] = (int)i;
        for (size_t j = 1; j <= m; j++) {
            int change = corner + (a[i - 1] != b[j - 1]);
            int least = row[j] < row[j - 1] ? row[j] + 1 : row[j - 1] + 1;
            corner = row[j];
            row[j] = change < least ? change : least;
        }
    }
    return row[m];
}

const char *cli_nearest(const char *given, int n, const char *const *names) {
    const char *best = NULL;
    int least = (int)strlen(given) / 2 + 1;
    if (least > 4) least = 4;
    for (int i = 0; i < n; i++) {
        int far = distance(given, names[i]);
        if (far >= least) continue;
        least = far;
        best = names[i];
    }
    return best;
}

static void say(const char *format, va_list list) {
    fflush(stdout);
    fputs("thalweg: ", stderr);
    vfprintf(stderr, format, list);
    fputc('\n', stderr);
}

int cli_fail(const char *format, ...) {
    va_list list;
    va_start(list, format);
    say(format, list);
    va_end(list);
    return CLI_FAILED;
}

int cli_misuse(const char *format, ...) {
    va_list list;
    va_start(list, format);
    say(format, list);
    va_end(list);
    return CLI_MISUSED;
}

int cli_print_string(tw_context *context, char *string) {
    if (!string) return cli_fail("%s", tw_message(context));
    fputs(string, stdout);
    tw_string_free(context, string);
    return CLI_FINE;
}

tw_context *cli_context(int64_t threads) {
    tw_context *context = tw_context_new(&(tw_context_opts){.threads = (int)threads});
    if (!context) cli_fail("out of memory");
    return context;
}
