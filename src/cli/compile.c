/*
 * Compiles a C file against Thalweg's headers into a shared object of a temporary folder, and loads
 * it. Its tw_ functions are those of the running executable, which exports them.
 */
#include "cli/compile.h"

#include <dlfcn.h>
#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/cli.h"

extern char **environ;

enum { PATH_LENGTH = 4096, MOST_WORDS = 32 };

static bool has_headers(const char *folder) {
    char path[PATH_LENGTH];
    int length = snprintf(path, sizeof path, "%s/thalweg/model.h", folder);
    return length > 0 && length < PATH_LENGTH && !access(path, R_OK);
}

/* Where <thalweg/...> is: the user's word, beside the executable (installed, or in a build tree),
 * the place of the installation. False after a message. */
static bool find_headers(char out[PATH_LENGTH]) {
    const char *given = getenv("THALWEG_INCLUDE");
    if (given && *given) {
        snprintf(out, PATH_LENGTH, "%s", given);
        if (has_headers(out)) return true;
        cli_fail("THALWEG_INCLUDE is '%s', which has no thalweg/model.h", given);
        return false;
    }
    char self[PATH_LENGTH / 2];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    self[length > 0 ? length : 0] = '\0';
    char *slash = strrchr(self, '/');
    if (slash) *slash = '\0';
    const char *const beside[] = {"/../include", "/../../include"};
    for (int i = 0; slash && i < 2; i++) {
        snprintf(out, PATH_LENGTH, "%s%s", self, beside[i]);
        if (has_headers(out)) return true;
    }
    snprintf(out, PATH_LENGTH, "%s", CLI_INCLUDE_FOLDER);
    if (has_headers(out)) return true;
    cli_fail("Thalweg's headers are not in '%s'; THALWEG_INCLUDE=DIR says where DIR/thalweg is",
             CLI_INCLUDE_FOLDER);
    return false;
}

/* Runs the compiler, whose messages go to standard error; false after a message. */
static bool run_compiler(char *const *argv, const char *path) {
    pid_t child;
    int error = posix_spawnp(&child, argv[0], NULL, NULL, argv, environ), how = 0;
    if (error) {
        cli_fail("cannot start the C compiler '%s': %s; CC=COMMAND names another", argv[0],
                 strerror(error));
        return false;
    }
    while (waitpid(child, &how, 0) < 0 && errno == EINTR) continue;
    if (WIFEXITED(how) && !WEXITSTATUS(how)) return true;
    if (WIFEXITED(how) && WEXITSTATUS(how) == 127)
        cli_fail("there is no C compiler '%s'; CC=COMMAND names another", argv[0]);
    else
        cli_fail("'%s' does not compile as C; the compiler's messages are above", path);
    return false;
}

static bool compile(const char *path, const char *object) {
    char include[PATH_LENGTH], option[PATH_LENGTH + 2];
    if (!find_headers(include)) return false;
    snprintf(option, sizeof option, "-I%s", include);
    const char *given = getenv("CC");
    char *words = strdup(given && *given ? given : "cc"), *rest = NULL;
    const char *argv[MOST_WORDS + 16];
    int n = 0;
    for (char *word = words ? strtok_r(words, " ", &rest) : NULL; word && n < MOST_WORDS;
         word = strtok_r(NULL, " ", &rest))
        argv[n++] = word;
    const char *const more[] = {"-std=gnu11", "-O2",  "-Wall", "-fPIC", "-shared", option,
                                "-o",         object, path,    "-lm",   NULL};
    for (size_t i = 0; i < sizeof more / sizeof more[0]; i++) argv[n++] = more[i];
    fflush(stdout);
    bool good = words && run_compiler((char *const *)argv, path);
    free(words);
    return good;
}

void *compile_open(const char *path) {
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    const char *why = handle ? NULL : dlerror();
    if (!handle) cli_fail("cannot load the shared object: %s", why ? why : path);
    return handle;
}

void *compile_load(const char *path) {
    if (access(path, R_OK)) {
        cli_fail("cannot read '%s': %s", path, strerror(errno));
        return NULL;
    }
    const char *temporary = getenv("TMPDIR");
    char folder[PATH_LENGTH / 2], object[PATH_LENGTH];
    int length = snprintf(folder, sizeof folder, "%s/thalweg-XXXXXX",
                          temporary && *temporary ? temporary : "/tmp");
    if (length < 0 || (size_t)length >= sizeof folder || !mkdtemp(folder)) {
        cli_fail("cannot make a temporary folder '%s': %s", folder, strerror(errno));
        return NULL;
    }
    snprintf(object, sizeof object, "%s/model.so", folder);
    void *handle = compile(path, object) ? compile_open(object) : NULL;
    unlink(object);
    rmdir(folder);
    return handle;
}
