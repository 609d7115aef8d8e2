/* Runs a fuzz target once over each file of the folders it is given: the corpus as a plain test. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/fuzz.h"

static int replay_file(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END)) return perror(path), 1;
    long size = ftell(file);
    rewind(file);
    /* Of the file's own size, so that the address sanitizer sees a read past the end. */
    uint8_t *data = malloc(size > 0 ? (size_t)size : 1);
    int bad = size < 0 || !data || fread(data, 1, (size_t)size, file) != (size_t)size;
    if (bad) perror(path);
    if (!bad) LLVMFuzzerTestOneInput(data, (size_t)size);
    free(data);
    fclose(file);
    return bad;
}

int main(int count, char **arguments) {
    int files = 0;
    for (int i = 1; i < count; i++) {
        DIR *folder = opendir(arguments[i]);
        if (!folder) return perror(arguments[i]), 1;
        for (struct dirent *entry; (entry = readdir(folder));) {
            char path[4096];
            if (entry->d_name[0] == '.') continue;
            snprintf(path, sizeof path, "%s/%s", arguments[i], entry->d_name);
            if (replay_file(path)) return 1;
            files++;
        }
        closedir(folder);
    }
    printf("%d inputs\n", files);
    return files ? 0 : 1;
}
