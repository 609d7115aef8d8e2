/*
 * How fast a CSV file is opened (its types, texts and index found) and read in order, on one thread,
 * and the memory that takes at most. The file is made here and removed again.
 *
 * usage: bench_csv [MB [mixed | wide | digits]]     default: 1024 plain
 *     plain   10 numbers of 6 decimals and a class     wide    784 small whole numbers and a class
 *     mixed   numbers, quoted texts, empty fields      digits  10 numbers of 17 digits and a class
 * prints "RESULT csv read=MB/s open=MB/s rss_mb=MB", and before it the rates by the processor's time,
 * which a busy machine hardly changes, and that of examples in a random order.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <thalweg/data.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 256, RANDOM_READS = 20000, ROW_MOST = 8192 };

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double worked(void) { return (double)clock() / CLOCKS_PER_SEC; }

static uint64_t state = 88172645463325252u;
static uint64_t drawn(void) { /* xorshift64 (Marsaglia 2003) */
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
}

static int write_row(char *row, const char *kind) {
    static const char *const texts[] = {"red", "green", "\"blue, dark\"", "\"the \"\"last\"\"\""};
    int at = 0, columns = *kind == 'w' ? 784 : 10;
    for (int i = 0; i < columns; i++) {
        uint64_t word = drawn();
        if (*kind == 'w')
            at += sprintf(row + at, "%d,", word & 1 ? 0 : (int)(word >> 8 & 255));
        else if (*kind == 'd')
            at += sprintf(row + at, "%.17g,", (double)word / 0x1p64);
        else if (*kind == 'm' && i > 6)
            at += sprintf(row + at, "%s,", texts[word >> 8 & 3]);
        else if (*kind == 'm' && i == 6 && word & 1)
            row[at++] = ',';
        else
            at += sprintf(row + at, "%.6f,", (double)(int64_t)word / 0x1p60);
    }
    return at + sprintf(row + at, "class%d\n", (int)(drawn() & 7));
}

/* Rows are made once and written again and again: making them costs more than reading them. */
static bool write_file(const char *path, int64_t bytes, const char *kind) {
    enum { ROWS = 20000 };
    char *rows = malloc((size_t)ROWS * ROW_MOST), *row = rows;
    FILE *file = fopen(path, "wb");
    bool good = rows && file;
    for (int i = 0; i < ROWS && good; i++) row += write_row(row, kind);
    for (int i = 0; i < 785 && good && *kind == 'w'; i++) fprintf(file, "%s%d", i ? "," : "", i);
    if (good) fputs(*kind == 'w' ? "\n" : "a,b,c,d,e,f,g,h,i,j,y\n", file);
    for (int64_t at = 0; at < bytes && good; at += row - rows)
        good = fwrite(rows, 1, (size_t)(row - rows), file) == (size_t)(row - rows);
    if (file && fclose(file)) good = false;
    free(rows);
    return good;
}

static bool read_all(tw_dataset *dataset, double *sum) {
    static float features[BATCH * 784];
    static int32_t label[BATCH];
    int64_t count = tw_dataset_count(dataset), index[BATCH];
    for (int64_t i = 0; i < count; i += BATCH) {
        int64_t n = count - i < BATCH ? count - i : BATCH;
        for (int64_t k = 0; k < n; k++) index[k] = i + k;
        if (tw_dataset_read(dataset, n, index, (void *[]){features, label})) return false;
        *sum += (double)features[0];
    }
    return true;
}

static bool read_random(tw_dataset *dataset, double *sum) {
    static float features[784];
    int32_t label;
    for (int i = 0; i < RANDOM_READS; i++) {
        int64_t index = (int64_t)(drawn() % (uint64_t)tw_dataset_count(dataset));
        if (tw_dataset_read(dataset, 1, &index, (void *[]){features, &label})) return false;
        *sum += (double)features[0];
    }
    return true;
}

static int measure(tw_context *context, const char *path, double megabytes) {
    tw_csv_opts opts = {.fill_mean = true};
    double start = now(), work_start = worked(), sum = 0;
    tw_dataset *dataset = tw_dataset_csv(context, path, &opts);
    double opened = now(), work_opened = worked();
    bool good = dataset && read_all(dataset, &sum);
    double read = now(), work_read = worked();
    good = good && read_random(dataset, &sum);
    double shuffled = now();
    if (!good) {
        fprintf(stderr, "%s\n", tw_message(context));
        return 1;
    }
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("%.0f MB, %lld rows, sum %g; in a random order %.0f examples a second\n", megabytes,
           (long long)tw_dataset_count(dataset), sum, RANDOM_READS / (shuffled - read));
    printf("by the processor's time: read=%.0f open=%.0f\n", megabytes / (work_read - work_opened),
           megabytes / (work_opened - work_start));
    printf("RESULT csv read=%.0f open=%.0f rss_mb=%.1f\n", megabytes / (read - opened),
           megabytes / (opened - start), (double)usage.ru_maxrss / 1024);
    return 0;
}

int main(int count, char **words) {
    int64_t megabytes = count > 1 ? atoll(words[1]) : 1024;
    char folder[] = "/tmp/thalweg-csv-XXXXXX", path[64];
    if (megabytes < 1 || !mkdtemp(folder)) return 2;
    snprintf(path, sizeof path, "%s/data.csv", folder);
    /* In a process of its own, whose memory does not count here. */
    pid_t writer = fork();
    if (!writer) _exit(!write_file(path, megabytes << 20, count > 2 ? words[2] : "plain"));
    int status = 1;
    tw_context *context = tw_context_new(NULL);
    if (writer > 0 && waitpid(writer, &status, 0) == writer && !status && context)
        status = measure(context, path, (double)megabytes * 1.048576);
    tw_context_free(context);
    unlink(path);
    rmdir(folder);
    return status != 0;
}
