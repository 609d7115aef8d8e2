/* Whole texts compared with files under tests/golden, or written there when asked to. */
#include "support/golden.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static void write_file(const char *path, const char *content) {
    FILE *file = fopen(path, "w");
    if (!file) fail_msg("%s: cannot be written", path);
    if (fputs(content, file) < 0 || fclose(file) != 0) fail_msg("%s: writing failed", path);
}

/* The file's content, for free(). */
static char *read_file(const char *path) {
    FILE *file = fopen(path, "r");
    if (!file) {
        fail_msg("%s is missing; THALWEG_UPDATE_GOLDEN=1 writes it", path);
        return NULL;
    }
    size_t length = 0, capacity = 4096;
    char *content = malloc(capacity);
    assert_non_null(content);
    for (size_t count; (count = fread(content + length, 1, capacity - length - 1, file)) > 0;) {
        length += count;
        if (length + 1 < capacity) continue;
        capacity *= 2;
        content = realloc(content, capacity);
        assert_non_null(content);
    }
    fclose(file);
    content[length] = 0;
    return content;
}

void golden_compare(const char *name, const char *actual) {
    char path[256];
    const char *update = getenv("THALWEG_UPDATE_GOLDEN");
    snprintf(path, sizeof path, "tests/golden/%s", name);
    assert_non_null(actual);
    if (update && strcmp(update, "1") == 0) {
        write_file(path, actual);
        return;
    }
    char *expected = read_file(path);
    size_t i = 0, line_start = 0;
    int line = 1;
    for (; actual[i] && actual[i] == expected[i]; i++) {
        if (actual[i] != '\n') continue;
        line_start = i + 1;
        line++;
    }
    if (actual[i] != expected[i])
        fail_msg("%s, line %d:\n  expected: %.*s\n  actual:   %.*s\nIf the change is wanted, "
                 "THALWEG_UPDATE_GOLDEN=1 writes the file anew.",
                 path, line, (int)strcspn(expected + line_start, "\n"), expected + line_start,
                 (int)strcspn(actual + line_start, "\n"), actual + line_start);
    free(expected);
}
