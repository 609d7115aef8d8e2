/*
 * Runs that are killed: LABELS: deep
 *
 * A training run saves after every step and is killed by SIGKILL at seeded random instants, most of
 * them while it saves; then it goes on from its folder. At every instant all files that bear a
 * checkpoint's name load, and the last checkpoint is, byte for byte, that of a run that was never
 * stopped.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "support/trainer.h"

enum { STEPS = 260, KILLS = 50, HIDDEN = 192, FINISHED = 0, FAILED = 1 };

/* Where the child is, for the parent to see; it stays as it was when the child is killed. */
typedef struct progress {
    atomic_int saves; /* begun */
    atomic_int saved; /* ended */
} progress;

static progress *shared;
static char folder[64];
static uint32_t random_state = 20240607;

static uint32_t random_below(uint32_t n) {
    random_state = random_state * 1664525u + 1013904223u;
    return (uint32_t)((uint64_t)(random_state >> 8) * n >> 24);
}

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- the child ---- */

static int failed(tw_context *context) {
    fprintf(stderr, "child: %s\n", tw_message(context));
    return FAILED;
}

/* From the latest checkpoint, or the start, to step STEPS. */
static int train(const char *where) {
    tw_context *context = tw_context_new(&(tw_context_opts){.threads = 1});
    const trainer_opts opts = {
        .folder = where, .hidden = HIDDEN, .checkpoints = {.keep = 2, .keep_best = true}};
    trainer t;
    if (!trainer_begin(&t, context, &opts)) return failed(context);
    tw_status status = tw_checkpoints_resume(t.checkpoints);
    if (status == TW_ERR_NOT_FOUND)
        status = tw_checkpoints_note(t.checkpoints, "learning", "0.01");
    else if (!status && !tw_checkpoints_noted(t.checkpoints, "learning"))
        return failed(context);
    while (!status && tw_store_step(t.store) < STEPS) {
        status = trainer_step(&t);
        if (status) break;
        atomic_fetch_add(&shared->saves, 1);
        status = tw_checkpoints_save(t.checkpoints, tw_tensor_item(t.loss));
        atomic_fetch_add(&shared->saved, 1);
    }
    if (status < 0) return failed(context);
    trainer_end(&t);
    tw_context_free(context);
    return FINISHED;
}

/* Loads each checkpoint of the folder by its name. */
static int check(const char *where) {
    tw_context *context = tw_context_new(&(tw_context_opts){.threads = 1});
    DIR *list = opendir(where);
    if (!list) return errno == ENOENT ? FINISHED : FAILED;
    for (struct dirent *item = readdir(list); item; item = readdir(list)) {
        size_t length = strlen(item->d_name);
        if (length < 12 || strcmp(item->d_name + length - 12, ".safetensors")) continue;
        char path[512];
        snprintf(path, sizeof path, "%s/%s", where, item->d_name);
        tw_store *store = tw_store_new(context, NULL);
        if (tw_store_load(store, path) || tw_store_step(store) < 1) return failed(context);
        tw_store_free(store);
    }
    closedir(list);
    tw_context_free(context);
    return FINISHED;
}

/* ---- the parent, which never makes a context: its children start clean ---- */

static pid_t start(int (*work)(const char *), const char *where) {
    pid_t child = fork();
    assert_true(child >= 0);
    if (!child) _exit(work(where));
    return child;
}

/* Whether the child was killed; one that fails by itself ends the test. */
static bool was_killed(pid_t child) {
    int how = 0;
    assert_int_equal(waitpid(child, &how, 0), child);
    if (WIFSIGNALED(how)) {
        assert_int_equal(WTERMSIG(how), SIGKILL);
        return true;
    }
    assert_true(WIFEXITED(how));
    assert_int_equal(WEXITSTATUS(how), FINISHED);
    return false;
}

static bool ended(pid_t child) {
    siginfo_t info = {0};
    return !waitid(P_PID, (id_t)child, &info, WEXITED | WNOHANG | WNOWAIT) && info.si_pid == child;
}

static void wait_microseconds(uint32_t n) {
    double until = seconds() + 1e-6 * n;
    while (seconds() < until) continue;
}

/* A quarter at any instant, starting up included; a quarter just behind a save, where a step is
 * computed; the others within a save. */
static void wait_for_instant(pid_t child, uint32_t save_microseconds) {
    uint32_t kind = random_below(4);
    if (kind == 0) {
        usleep(random_below(120000));
        return;
    }
    int target = 1 + (int)random_below(8);
    atomic_int *count = kind == 1 ? &shared->saved : &shared->saves;
    while (atomic_load(count) < target && !ended(child)) continue;
    wait_microseconds(random_below(kind == 1 ? 300 : save_microseconds));
}

static int count_stale(const char *where) {
    DIR *list = opendir(where);
    int count = 0;
    for (struct dirent *item = list ? readdir(list) : NULL; item; item = readdir(list))
        count += strstr(item->d_name, ".tmp") != NULL;
    if (list) closedir(list);
    return count;
}

static void reset(void) {
    atomic_store(&shared->saves, 0);
    atomic_store(&shared->saved, 0);
}

static char *read_last(const char *where, size_t *bytes) {
    char path[128];
    snprintf(path, sizeof path, "%s/step-%06d.safetensors", where, STEPS);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    *bytes = (size_t)ftell(file);
    rewind(file);
    char *data = malloc(*bytes);
    assert_non_null(data);
    assert_int_equal(fread(data, 1, *bytes, file), *bytes);
    fclose(file);
    return data;
}

static void remove_folder(const char *where) {
    DIR *list = opendir(where);
    if (!list) return;
    for (struct dirent *item = readdir(list); item; item = readdir(list))
        (void)!unlinkat(dirfd(list), item->d_name, 0);
    closedir(list);
    rmdir(where);
}

/* The run that nobody stops; gives what a save takes. */
static uint32_t make_reference(const char *where) {
    reset();
    double begin = seconds();
    assert_false(was_killed(start(train, where)));
    assert_int_equal(atomic_load(&shared->saved), STEPS);
    return (uint32_t)(1e6 * (seconds() - begin) / STEPS);
}

static void killed_at_any_instant(void **state) {
    (void)state;
    char reference[80], run[80];
    snprintf(reference, sizeof reference, "%s/reference", folder);
    uint32_t step_time = make_reference(reference);
    size_t want_bytes, have_bytes;
    char *want = read_last(reference, &want_bytes);
    int kills = 0, in_save = 0, stale = 0, runs = 0;
    while (kills < KILLS) {
        snprintf(run, sizeof run, "%s/run%d", folder, runs++);
        bool going = true;
        while (going) {
            reset();
            pid_t child = start(train, run);
            if (kills < KILLS) {
                wait_for_instant(child, step_time);
                kill(child, SIGKILL);
            }
            going = was_killed(child);
            if (!going) break;
            kills++;
            in_save += atomic_load(&shared->saves) > atomic_load(&shared->saved);
            stale += count_stale(run) > 0;
            assert_false(was_killed(start(check, run)));
        }
        char *have = read_last(run, &have_bytes);
        assert_int_equal(have_bytes, want_bytes);
        assert_memory_equal(have, want, want_bytes);
        assert_int_equal(count_stale(run), 0);
        free(have);
        remove_folder(run);
    }
    printf("%d kills, %d of them in a save, %d leaving a file aside; %d runs\n", kills, in_save,
           stale, runs);
    /* Or the instants are not those that this test is about. */
    assert_true(in_save >= KILLS / 4);
    assert_true(stale >= 1);
    free(want);
    remove_folder(reference);
}

static int begin(void **state) {
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/thalweg-kill-XXXXXX");
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return shared == MAP_FAILED || !mkdtemp(folder);
}

static int end(void **state) {
    (void)state;
    munmap(shared, sizeof *shared);
    return rmdir(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(killed_at_any_instant, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
