/* Folders, text files, and pictures by Graphviz. */
#include "cli/file.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/cli.h"

extern char **environ;

bool file_make_folder(const char *path) {
    char *copy = strdup(path);
    bool good = copy != NULL;
    errno = good ? 0 : ENOMEM;
    char *end = copy;
    do {
        if (!good) break;
        end += strspn(end, "/");
        end += strcspn(end, "/");
        char kept = *end;
        *end = '\0';
        good = !mkdir(copy, 0777) || errno == EEXIST;
        *end = kept;
    } while (*end);
    struct stat facts;
    if (good && (stat(path, &facts) || !S_ISDIR(facts.st_mode))) {
        good = false;
        errno = ENOTDIR;
    }
    if (!good) cli_fail("cannot make the folder '%s': %s", path, strerror(errno));
    free(copy);
    return good;
}

bool file_write(const char *path, const char *words) {
    FILE *file = fopen(path, "w");
    bool good = file && fputs(words, file) >= 0;
    if (file) good = !fclose(file) && good;
    if (!good) cli_fail("cannot write '%s': %s", path, strerror(errno));
    return good;
}

/* Starts dot with its standard input from ends[0]; an errno. */
static int start_dot(const int ends[2], const char *path, pid_t *child) {
    size_t length = strlen(path) + sizeof "-o";
    char *output = malloc(length), name[] = "dot", format[] = "-Tsvg";
    if (!output) return ENOMEM;
    snprintf(output, length, "-o%s", path);
    char *argv[] = {name, format, output, NULL};
    posix_spawn_file_actions_t actions;
    int error = posix_spawn_file_actions_init(&actions);
    if (!error) {
        error = posix_spawn_file_actions_adddup2(&actions, ends[0], STDIN_FILENO);
        if (!error) error = posix_spawn_file_actions_addclose(&actions, ends[1]);
        /* Its warnings are many and say nothing to this command's user. */
        if (!error)
            error =
                posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
        if (!error) error = posix_spawnp(child, name, &actions, NULL, argv, environ);
        posix_spawn_file_actions_destroy(&actions);
    }
    free(output);
    return error;
}

static bool feed(int descriptor, const char *words) {
    size_t left = strlen(words);
    while (left) {
        ssize_t done = write(descriptor, words, left);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) return false;
        words += done;
        left -= (size_t)done;
    }
    return true;
}

drawn file_draw(const char *dot, const char *path) {
    int ends[2];
    pid_t child = 0;
    if (pipe(ends)) {
        cli_fail("cannot start dot: %s", strerror(errno));
        return DRAWN_NOT;
    }
    int error = start_dot(ends, path, &child);
    close(ends[0]);
    bool fed = !error && feed(ends[1], dot);
    close(ends[1]);
    if (error == ENOENT) return DRAWN_NO_GRAPHVIZ;
    if (error) {
        cli_fail("cannot start dot: %s", strerror(error));
        return DRAWN_NOT;
    }
    int how = 0;
    while (waitpid(child, &how, 0) < 0 && errno == EINTR) continue;
    /* A shell's code for a command that is not there. */
    if (WIFEXITED(how) && WEXITSTATUS(how) == 127) return DRAWN_NO_GRAPHVIZ;
    if (fed && WIFEXITED(how) && WEXITSTATUS(how) == 0) return DRAWN;
    cli_fail("Graphviz's dot could not draw '%s'", path);
    return DRAWN_NOT;
}
