/* Clock, memory and the protocol of harness.h. */
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LEAST_STEPS = 3, MOST_STEPS = 1 << 20 };

double harness_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* A line "FIELD: N kB" of the kernel's account of this process. */
static int64_t status_bytes(const char *field) {
    char line[256];
    long long kilobytes = 0;
    size_t length = strlen(field);
    FILE *file = fopen("/proc/self/status", "r");
    while (file && fgets(line, sizeof line, file))
        if (!strncmp(line, field, length) && line[length] == ':')
            kilobytes = strtoll(line + length + 1, NULL, 10);
    if (file) fclose(file);
    return (int64_t)kilobytes * 1024;
}

int64_t harness_peak_bytes(void) { return status_bytes("VmHWM"); }
int64_t harness_own_bytes(void) {
    char line[512];
    long long kilobytes = 0;
    bool code = false;
    FILE *file = fopen("/proc/self/smaps", "r");
    while (file && fgets(line, sizeof line, file)) {
        char right[8];
        if (sscanf(line, "%*x-%*x %7s", right) == 1) code = strchr(right, 'x') != NULL;
        if (!code && !strncmp(line, "Anonymous:", 10)) kilobytes += strtoll(line + 10, NULL, 10);
    }
    if (file) fclose(file);
    return (int64_t)kilobytes * 1024;
}

float harness_number(uint32_t i, uint32_t salt, float range) {
    uint32_t bits = (i * 2654435761u + salt) >> 8;
    return ((float)bits / (1 << 23) - 1) * range;
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The median of steps, or the fastest; negative when one failed. */
static double time_steps(const harness_case *c, bool best, double limit, double *seconds) {
    double begin = harness_now(), start = begin;
    int n = 0;
    while (n < MOST_STEPS && (n < LEAST_STEPS || start - begin < limit)) {
        if (!c->step(c->argument)) return -1;
        double end = harness_now();
        seconds[n++] = end - start;
        start = end;
    }
    qsort(seconds, (size_t)n, sizeof *seconds, by_size);
    return best ? seconds[0] : (seconds[n / 2] + seconds[(n - 1) / 2]) / 2;
}

static const harness_case *find(int n, const harness_case *cases, const char *name) {
    for (int i = 0; i < n; i++)
        if (!strcmp(cases[i].name, name)) return &cases[i];
    return NULL;
}

bool harness_serve(int n, const harness_case *cases) {
    char line[128], what[8], name[64];
    double limit, *seconds = malloc(MOST_STEPS * sizeof *seconds);
    bool good = seconds != NULL;
    printf("ready\n");
    fflush(stdout);
    while (good && fgets(line, sizeof line, stdin)) {
        if (!strcmp(line, "memory\n")) {
            printf("peak_bytes %lld\n", (long long)harness_peak_bytes());
        } else if (sscanf(line, "%7s %63s %lf", what, name, &limit) == 3 &&
                   (!strcmp(what, "time") || !strcmp(what, "best")) && find(n, cases, name)) {
            double step = time_steps(find(n, cases, name), !strcmp(what, "best"), limit, seconds);
            good = step >= 0;
            if (good) printf("seconds %.9f\n", step);
        } else {
            fprintf(stderr, "no such request: %s", line);
            good = false;
        }
        fflush(stdout);
    }
    free(seconds);
    return good;
}
