/* Reads a command's options and prints its help, both from one table. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

enum { MOST_OPTIONS = 32, LABEL_LENGTH = 64 };

static void print_help(const cli_usage *usage) {
    printf("thalweg %s %s\n\n%s\n", usage->name, usage->arguments, usage->about);
    cli_heading("Options");
    for (const cli_option *option = usage->options; option->name; option++) {
        char label[LABEL_LENGTH];
        snprintf(label, sizeof label, "--%s%s%s", option->name, option->value ? " " : "",
                 option->value ? option->value : "");
        cli_row(label, option->about);
    }
    cli_row("--help", "this page");
    if (usage->more) usage->more();
}

static int refuse_option(const cli_usage *usage, const char *given) {
    const char *names[MOST_OPTIONS + 1] = {"help"};
    int n = 1;
    for (const cli_option *option = usage->options; option->name && n <= MOST_OPTIONS; option++)
        names[n++] = option->name;
    char word[LABEL_LENGTH];
    snprintf(word, sizeof word, "%.*s", (int)strcspn(given, "="), given);
    const char *near = cli_nearest(word, n, names);
    if (near)
        return cli_misuse("no option '--%s'; did you mean '--%s'? See 'thalweg %s --help'", word,
                          near, usage->name);
    return cli_misuse("no option '--%s'; see 'thalweg %s --help'", word, usage->name);
}

/* Sets the option; CLI_FINE or the code after a message. */
static int set_option(const cli_usage *usage, const cli_option *option, const char *value) {
    if (option->kind == OPTION_TEXT) {
        if (!*value)
            return cli_misuse("--%s needs a word: --%s %s; see 'thalweg %s --help'", option->name,
                              option->name, option->value, usage->name);
        *(const char **)option->to = value;
        return CLI_FINE;
    }
    if (option->kind == OPTION_LIST) {
        cli_list *list = option->to;
        if (list->n == CLI_LIST)
            return cli_misuse("--%s is given more than %d times", option->name, CLI_LIST);
        list->at[list->n++] = value;
        return CLI_FINE;
    }
    char *end;
    errno = 0;
    if (option->kind == OPTION_REAL) {
        double real = strtod(value, &end);
        if (end == value || *end || !(real > 0) || !isfinite(real))
            return cli_misuse("--%s takes a number above 0, not '%s'", option->name, value);
        *(double *)option->to = real;
        return CLI_FINE;
    }
    long long number = strtoll(value, &end, 10);
    if (end == value || *end || errno || number < option->least || number > option->most)
        return cli_misuse("--%s takes a whole number from %lld to %lld, not '%s'", option->name,
                          (long long)option->least, (long long)option->most, value);
    *(int64_t *)option->to = number;
    return CLI_FINE;
}

/* Reads the option at argv[*i], and moves *i to the last word that it took. */
static int read_option(const cli_usage *usage, int argc, char **argv, int *i) {
    const char *given = argv[*i] + 2;
    size_t length = strcspn(given, "=");
    const cli_option *option = usage->options;
    while (option->name &&
           (strlen(option->name) != length || strncmp(option->name, given, length) != 0))
        option++;
    if (!option->name) return refuse_option(usage, given);
    if (option->kind == OPTION_FLAG) {
        if (given[length]) return cli_misuse("--%s takes no value", option->name);
        *(bool *)option->to = true;
        return CLI_FINE;
    }
    if (given[length]) return set_option(usage, option, given + length + 1);
    if (*i + 1 >= argc)
        return cli_misuse("--%s needs a value: --%s %s; see 'thalweg %s --help'", option->name,
                          option->name, option->value, usage->name);
    return set_option(usage, option, argv[++*i]);
}

bool options_read(const cli_usage *usage, int argc, char **argv, const char **words, int n_words,
                  int *code) {
    int n = 0;
    bool only_words = false;
    for (int i = 0; i < argc; i++) {
        const char *word = argv[i];
        if (!only_words && !strcmp(word, "--")) {
            only_words = true;
        } else if (!only_words && (!strcmp(word, "--help") || !strcmp(word, "-h"))) {
            print_help(usage);
            *code = CLI_FINE;
            return false;
        } else if (!only_words && !strncmp(word, "--", 2)) {
            *code = read_option(usage, argc, argv, &i);
            if (*code) return false;
        } else if ((!only_words && word[0] == '-') || n == n_words) {
            *code =
                cli_misuse("'%s' is one word too many; see 'thalweg %s --help'", word, usage->name);
            return false;
        } else {
            words[n++] = word;
        }
    }
    return true;
}
