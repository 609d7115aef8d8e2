/* The `thalweg` command: finds the subcommand and hands over. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"

static const cli_command *const commands[] = {&train_command,  &eval_command,      &predict_command,
                                              &export_command, &profile_command,   &summary_command,
                                              &graph_command,  &operators_command, &demo_command};
enum { COMMANDS = sizeof commands / sizeof commands[0] };

static int print_help(void) {
    printf("thalweg " CLI_VERSION ": networks as dataflow graphs, trained in plain C\n");
    cli_heading("Usage");
    printf("  thalweg COMMAND [OPTION...]\n");
    cli_heading("Commands");
    for (int i = 0; i < COMMANDS; i++) cli_row(commands[i]->name, commands[i]->about);
    cli_row("help COMMAND", "explain a command");
    cli_heading("Options");
    cli_row("--help", "this page");
    cli_row("--version", "the version");
    cli_heading("First steps");
    printf("  thalweg demo                        train on Fashion-MNIST; writes out/demo/\n"
           "  thalweg train mlp --data DIR        train on data of your own\n"
           "  thalweg graph practice              the textbook graph and its update\n"
           "  thalweg graph convnet --svg a.svg   a picture, phases in colours\n");
    return CLI_FINE;
}

static const cli_command *find(const char *name) {
    for (int i = 0; i < COMMANDS; i++)
        if (!strcmp(commands[i]->name, name)) return commands[i];
    return NULL;
}

static int refuse(const char *name) {
    const char *names[COMMANDS + 1] = {"help"};
    for (int i = 0; i < COMMANDS; i++) names[i + 1] = commands[i]->name;
    const char *near = name[0] == '-' ? NULL : cli_nearest(name, COMMANDS + 1, names);
    if (near)
        return cli_misuse("no command '%s'; did you mean '%s'? See 'thalweg --help'", name, near);
    return cli_misuse("no %s '%s'; see 'thalweg --help'", name[0] == '-' ? "option" : "command",
                      name);
}

static int explain(const char *name) {
    const cli_command *command = find(name);
    char option[] = "--help", *argv[] = {option, NULL};
    return command ? command->run(1, argv) : refuse(name);
}

static int dispatch(int argc, char **argv) {
    if (argc < 2) {
        print_help();
        return CLI_MISUSED;
    }
    const char *name = argv[1];
    if (!strcmp(name, "--help") || !strcmp(name, "-h")) return print_help();
    if (!strcmp(name, "help")) return argc > 2 ? explain(argv[2]) : print_help();
    if (!strcmp(name, "--version")) return printf("thalweg " CLI_VERSION "\n") < 0;
    const cli_command *command = find(name);
    return command ? command->run(argc - 2, argv + 2) : refuse(name);
}

int main(int argc, char **argv) {
    signal(SIGPIPE, SIG_IGN); /* a reader that went away is a failed write, told below */
    int code = dispatch(argc, argv);
    if ((fflush(stdout) || ferror(stdout)) && code == CLI_FINE)
        return cli_fail("cannot write to standard output");
    return code;
}
