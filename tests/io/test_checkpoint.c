/* Checkpoints: runs that go on, series with their rules, what is refused, memory that runs out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/trainer.h"

static tw_context *context;
static char folder[64], path[128];

/* Removes the folder's files, and those of one folder in it. */
static void clear(const char *where) {
    DIR *list = opendir(where);
    for (struct dirent *item = list ? readdir(list) : NULL; item; item = readdir(list)) {
        if (!strcmp(item->d_name, ".") || !strcmp(item->d_name, "..")) continue;
        char inner[512];
        snprintf(inner, sizeof inner, "%s/%s", where, item->d_name);
        if (unlink(inner)) clear(inner);
    }
    if (list) closedir(list);
    rmdir(where);
}

static int begin(void **state) {
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/thalweg-checkpoint-XXXXXX");
    if (!mkdtemp(folder)) return 1;
    snprintf(path, sizeof path, "%s/checkpoint.safetensors", folder);
    context = tw_context_new(&(tw_context_opts){.threads = 1});
    return !context;
}

static int end(void **state) {
    (void)state;
    tw_context_free(context);
    clear(folder);
    return 0;
}

static bool has(const char *name) {
    char file[256];
    snprintf(file, sizeof file, "%s/%s", folder, name);
    return access(file, F_OK) == 0;
}

static int count_files(void) {
    DIR *list = opendir(folder);
    assert_non_null(list);
    int count = 0;
    for (struct dirent *item = readdir(list); item; item = readdir(list))
        count += item->d_name[0] != '.';
    closedir(list);
    return count;
}

#define assert_says(words)                                                                         \
    do {                                                                                           \
        if (!strstr(tw_message(context), words))                                                   \
            fail_msg("\"%s\" is not in: %s", words, tw_message(context));                          \
    } while (0)

static void assert_ok(tw_status status) {
    if (status) fail_msg("status %d: %s", (int)status, tw_message(context));
}

static void steps(trainer *t, int n) {
    for (int i = 0; i < n; i++) assert_ok(trainer_step(t));
}

static trainer begin_trainer(const trainer_opts *opts) {
    trainer t;
    if (!trainer_begin(&t, context, opts)) fail_msg("%s", tw_message(context));
    return t;
}

static void assert_stores_equal(tw_store *a, tw_store *b) {
    assert_int_equal(tw_store_size(a), tw_store_size(b));
    for (int i = 0; i < tw_store_size(a); i++) {
        tw_tensor *left = tw_store_get(a, tw_store_path(a, i));
        tw_tensor *right = tw_store_get(b, tw_store_path(a, i));
        assert_non_null(right);
        assert_int_equal(tw_tensor_type(left).dtype, tw_tensor_type(right).dtype);
        assert_int_equal(tw_tensor_bytes(left), tw_tensor_bytes(right));
        if (memcmp(tw_tensor_map(left), tw_tensor_map(right), tw_tensor_bytes(left)))
            fail_msg("variable %s differs", tw_store_path(a, i));
        tw_tensor_free(left);
        tw_tensor_free(right);
    }
}

static void set(tw_store *store, const char *name, tw_dtype dtype, tw_shape shape,
                const void *data) {
    tw_tensor *tensor = tw_tensor_new(context, dtype, shape);
    assert_ok(tw_tensor_put(tensor, data, tw_tensor_bytes(tensor)));
    assert_ok(tw_store_set(store, name, tensor));
    tw_tensor_free(tensor);
}

static double item(tw_store *store, const char *name) {
    tw_tensor *tensor = tw_store_get(store, name);
    double value = tw_tensor_item(tensor);
    tw_tensor_free(tensor);
    return value;
}

/* ---- going on ---- */

enum { RUN = 30 };

/* Cut after `at` steps, the run comes to the weights and the cursor of the one that never stopped;
 * the second half's store has another seed, which must not matter. */
static void cut(const trainer_opts *opts, int at) {
    trainer whole = begin_trainer(opts), first = begin_trainer(opts);
    steps(&whole, RUN);
    steps(&first, at);
    assert_ok(tw_checkpoint_save(folder, first.store, first.loader));
    trainer_end(&first);
    trainer_opts other = *opts;
    other.seed = 99;
    other.loader.prefetch = 1;
    trainer second = begin_trainer(&other);
    assert_ok(tw_checkpoint_load(folder, second.store, second.loader));
    assert_int_equal(tw_store_step(second.store), at);
    steps(&second, RUN - at);
    assert_stores_equal(whole.store, second.store);
    tw_cursor want = tw_loader_cursor(whole.loader), have = tw_loader_cursor(second.loader);
    assert_int_equal(want.epoch, have.epoch);
    assert_int_equal(want.example, have.example);
    trainer_end(&whole);
    trainer_end(&second);
}

/* An epoch has seven batches, the last one of four examples. */
static void goes_on_bitwise(void **state) {
    (void)state;
    const int cuts[] = {1, 6, 7, 8, 14, 20, RUN};
    const trainer_opts repeated = {.seed = 3,
                                   .loader = {.batch = 16, .shuffle = true, .repeat = true}};
    const trainer_opts ending = {.seed = 3, .loader = {.batch = 16, .shuffle = true, .seed = 8}};
    const trainer_opts in_order = {.seed = 3, .loader = {.batch = 16, .drop_last = true}};
    for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
        cut(&repeated, cuts[i]);
        cut(&ending, cuts[i]);
        cut(&in_order, cuts[i]);
    }
}

/* Into a run that has gone another way: nothing of it is left. */
static void goes_back(void **state) {
    (void)state;
    trainer t = begin_trainer(&(trainer_opts){0}), u = begin_trainer(&(trainer_opts){0});
    steps(&t, 5);
    steps(&u, 5);
    assert_ok(tw_checkpoint_save(folder, t.store, t.loader));
    steps(&t, 9);
    assert_ok(tw_checkpoint_load(folder, t.store, t.loader));
    assert_stores_equal(t.store, u.store);
    steps(&t, 3);
    steps(&u, 3);
    assert_stores_equal(t.store, u.store);
    trainer_end(&t);
    trainer_end(&u);
}

static void without_a_loader(void **state) {
    (void)state;
    trainer t = begin_trainer(&(trainer_opts){0});
    steps(&t, 3);
    assert_ok(tw_checkpoint_save(folder, t.store, t.loader));
    tw_store *weights = tw_store_new(context, NULL);
    assert_ok(tw_checkpoint_load(folder, weights, NULL));
    assert_stores_equal(t.store, weights);
    assert_ok(tw_checkpoint_save(folder, t.store, NULL));
    tw_cursor before = tw_loader_cursor(t.loader);
    assert_int_equal(tw_checkpoint_load(folder, t.store, t.loader), TW_ERR_ARGUMENT);
    assert_says("without a loader");
    assert_int_equal(tw_loader_cursor(t.loader).example, before.example);
    assert_ok(tw_checkpoint_load(folder, weights, NULL));
    trainer_end(&t);
}

/* A folder in a folder that is not there yet; variables that the file lacks stay. */
static void folders_and_others(void **state) {
    (void)state;
    char deep[128];
    snprintf(deep, sizeof deep, "%s/runs//a/", folder);
    tw_store *store = tw_store_new(context, NULL), *other = tw_store_new(context, NULL);
    set(store, "w", TW_F32, TW_SHAPE(), (float[]){1});
    set(other, "w", TW_F32, TW_SHAPE(), (float[]){2});
    set(other, "v", TW_F32, TW_SHAPE(), (float[]){3});
    assert_int_equal(tw_checkpoint_load(deep, other, NULL), TW_ERR_NOT_FOUND);
    assert_ok(tw_checkpoint_save(deep, store, NULL));
    assert_ok(tw_checkpoint_load(deep, other, NULL));
    assert_true(item(other, "w") == 1 && item(other, "v") == 3);
}

/* ---- refusals ---- */

static void other_loaders(void **state) {
    (void)state;
    const tw_loader_opts was = {.batch = 16, .shuffle = true, .repeat = true, .seed = 5};
    trainer t = begin_trainer(&(trainer_opts){.loader = was});
    steps(&t, 3);
    assert_ok(tw_checkpoint_save(folder, t.store, t.loader));
    trainer_end(&t);
    struct {
        tw_loader_opts opts;
        const char *says;
    } bad[] = {{was, "batch of 16 and the loader has 8"},
               {was, "seed 5 and the loader has 6"},
               {was, "shuffle 1 and the loader has 0"},
               {was, "drop_last 0 and the loader has 1"}};
    bad[0].opts.batch = 8;
    bad[1].opts.seed = 6;
    bad[2].opts.shuffle = false;
    bad[3].opts.drop_last = true;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        trainer u = begin_trainer(&(trainer_opts){.loader = bad[i].opts});
        assert_int_equal(tw_checkpoint_load(folder, u.store, u.loader), TW_ERR_ARGUMENT);
        assert_says(bad[i].says);
        assert_says(path);
        assert_int_equal(tw_store_size(u.store), 0);
        trainer_end(&u);
    }
    trainer u = begin_trainer(&(trainer_opts){.loader = was});
    tw_dataset *fewer = tw_dataset_range(u.dataset, 0, 99);
    tw_loader *loader = tw_loader_new(fewer, &was);
    assert_int_equal(tw_checkpoint_load(folder, u.store, loader), TW_ERR_ARGUMENT);
    assert_says("100 and the loader has 99");
    tw_loader_free(loader);
    tw_dataset_free(fewer);
    trainer_end(&u);
}

/* A graph that draws by another seed is there already. */
static void other_seeds(void **state) {
    (void)state;
    trainer t = begin_trainer(&(trainer_opts){.seed = 3});
    steps(&t, 2);
    assert_ok(tw_checkpoint_save(folder, t.store, t.loader));
    trainer u = begin_trainer(&(trainer_opts){.seed = 4}), same = u;
    steps(&u, 1);
    tw_cursor before = tw_loader_cursor(u.loader);
    assert_int_equal(tw_checkpoint_load(folder, u.store, u.loader), TW_ERR_ARGUMENT);
    assert_says("seed 3, and the store has 4");
    assert_int_equal(tw_store_step(u.store), 1);
    assert_int_equal(tw_loader_cursor(u.loader).example, before.example);
    trainer_end(&u);
    same = begin_trainer(&(trainer_opts){.seed = 3});
    steps(&same, 5);
    assert_ok(tw_checkpoint_load(folder, same.store, same.loader));
    assert_stores_equal(t.store, same.store);
    trainer_end(&same);
    trainer_end(&t);
}

/* Exchanges bytes of the file for as many others. */
static void patch(const char *from, const char *to) {
    char bytes[65536];
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    size_t count = fread(bytes, 1, sizeof bytes, file), length = strlen(from), at = 0;
    while (at + length <= count && memcmp(bytes + at, from, length)) at++;
    assert_true(at + length <= count);
    assert_int_equal(fseek(file, (long)at, SEEK_SET), 0);
    assert_int_equal(fwrite(to, 1, length, file), length);
    fclose(file);
}

static void files_that_lie(void **state) {
    (void)state;
    static const struct {
        const char *from, *to, *says;
        tw_status status;
    } lies[] = {
        {"\"version\":\"1\"", "\"version\":\"2\"", "version 2", TW_ERR_UNSUPPORTED},
        {"\"version\":\"1\"", "\"version\":\"x\"", "no checkpoint", TW_ERR_FORMAT},
        {"\"version\":", "\"verSion\":", "no checkpoint", TW_ERR_FORMAT},
        {"\"seed\":", "\"sEed\":", "no seed", TW_ERR_FORMAT},
        {"\"epoch\":\"0\"", "\"epoch\":\"-\"", "no epoch", TW_ERR_FORMAT},
        {"\"example\":\"32\"", "\"example\":\"3a\"", "no example", TW_ERR_FORMAT},
        {"\"batch\":\"16\"", "\"batch\":\"1\\\"", "malformed", TW_ERR_FORMAT},
    };
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        trainer t = begin_trainer(&(trainer_opts){0});
        steps(&t, 2);
        assert_ok(tw_checkpoint_save(folder, t.store, t.loader));
        trainer_end(&t);
        patch(lies[i].from, lies[i].to);
        trainer u = begin_trainer(&(trainer_opts){0});
        assert_int_equal(tw_checkpoint_load(folder, u.store, u.loader), lies[i].status);
        assert_says(lies[i].says);
        assert_int_equal(tw_store_size(u.store), 0);
        assert_int_equal(tw_loader_cursor(u.loader).example, 0);
        trainer_end(&u);
    }
}

static void bad_arguments(void **state) {
    (void)state;
    tw_store *store = tw_store_new(context, NULL);
    set(store, "w", TW_F32, TW_SHAPE(), (float[]){1});
    assert_int_equal(tw_checkpoint_save(folder, NULL, NULL), TW_ERR_NULL);
    assert_int_equal(tw_checkpoint_load(folder, NULL, NULL), TW_ERR_NULL);
    assert_int_equal(tw_checkpoint_save(NULL, store, NULL), TW_ERR_NULL);
    assert_int_equal(tw_checkpoint_load(NULL, store, NULL), TW_ERR_NULL);
    assert_int_equal(tw_checkpoint_save("", store, NULL), TW_ERR_ARGUMENT);
    assert_int_equal(tw_checkpoint_load(folder, store, NULL), TW_ERR_NOT_FOUND);
    assert_ok(tw_checkpoint_save(folder, store, NULL));
    assert_int_equal(tw_checkpoint_save(path, store, NULL), TW_ERR_NOT_FOUND);
    assert_says(path);
    assert_ok(tw_store_save(store, path)); /* weights alone */
    assert_int_equal(tw_checkpoint_load(folder, store, NULL), TW_ERR_FORMAT);
    assert_says("tw_store_load");
    assert_null(tw_checkpoints_new(NULL, NULL, folder, NULL));
    assert_null(tw_checkpoints_new(store, NULL, NULL, NULL));
    assert_null(tw_checkpoints_new(store, NULL, folder, &(tw_checkpoint_opts){.keep = -1}));
    assert_null(tw_checkpoints_new(store, NULL, folder, &(tw_checkpoint_opts){.patience = -1}));
    assert_int_equal(tw_checkpoints_save(NULL, 0), TW_ERR_NULL);
    assert_int_equal(tw_checkpoints_resume(NULL), TW_ERR_NULL);
    assert_int_equal(tw_checkpoints_note(NULL, "a", "b"), TW_ERR_NULL);
    assert_null(tw_checkpoints_noted(NULL, "a"));
    tw_checkpoints_free(NULL);
    assert_int_equal(tw_store_freeze(NULL), TW_ERR_NULL);
    assert_int_equal(tw_store_load_part(NULL, path, NULL, NULL), TW_ERR_NULL);
    assert_int_equal(tw_store_load_part(store, NULL, NULL, NULL), TW_ERR_NULL);
}

/* ---- series ---- */

static tw_store *series_store;

/* What an optimiser's step would be. */
static void to_step(int64_t step) {
    set(series_store, "optimizer/step", TW_I64, TW_SHAPE(), &step);
}

static tw_checkpoints *begin_series(const tw_checkpoint_opts *opts) {
    if (!series_store) series_store = tw_store_new(context, NULL);
    tw_checkpoints *made = tw_checkpoints_new(series_store, NULL, folder, opts);
    if (!made) fail_msg("%s", tw_message(context));
    return made;
}

static int begin_series_test(void **state) {
    series_store = NULL;
    return begin(state);
}

static tw_status save_at(tw_checkpoints *series, int64_t step, double score) {
    to_step(step);
    return tw_checkpoints_save(series, score);
}

static void keeps_the_latest(void **state) {
    (void)state;
    tw_checkpoints *series = begin_series(&(tw_checkpoint_opts){.keep = 3});
    assert_int_equal(tw_checkpoints_resume(series), TW_ERR_NOT_FOUND);
    for (int step = 1; step <= 8; step++) assert_ok(save_at(series, step * 400000, NAN));
    assert_int_equal(count_files(), 3);
    assert_true(has("step-2400000.safetensors") && has("step-2800000.safetensors") &&
                has("step-3200000.safetensors"));
    assert_ok(save_at(series, 3200000, NAN)); /* again: the same name */
    assert_int_equal(count_files(), 3);
    tw_checkpoints_free(series);
    to_step(0);
    series = begin_series(NULL);
    assert_ok(tw_checkpoints_resume(series));
    assert_int_equal(tw_store_step(series_store), 3200000);
    assert_ok(save_at(series, 3200001, NAN)); /* keep is 1 now */
    assert_int_equal(count_files(), 1);
    tw_checkpoints_free(series);
}

/* Names that are not ours, and those that only look so, stay; what killed saves left goes. */
static void leaves_others_alone(void **state) {
    (void)state;
    static const char *const others[] = {"step-5.safetensors",      "step-000001.safetensors.old",
                                         "step--00001.safetensors", "notes.txt",
                                         "step-00000a.safetensors", "weights.0123abcd.tmp"};
    static const char *const left[] = {"step-000003.safetensors.0123abcd.tmp",
                                       "best.safetensors.0123abcd.tmp"};
    enum { OTHERS = sizeof others / sizeof *others, LEFT = sizeof left / sizeof *left };
    char file[160];
    for (int i = 0; i < OTHERS + LEFT; i++) {
        snprintf(file, sizeof file, "%s/%s", folder, i < OTHERS ? others[i] : left[i - OTHERS]);
        fclose(fopen(file, "w"));
    }
    tw_checkpoints *series = begin_series(NULL);
    assert_ok(save_at(series, 4, NAN));
    for (int i = 0; i < OTHERS; i++) assert_true(has(others[i]));
    assert_int_equal(count_files(), OTHERS + 1);
    tw_checkpoints_free(series);
}

/* Another run's folder: its later checkpoint is neither hidden nor lost. */
static void another_runs_folder(void **state) {
    (void)state;
    tw_checkpoints *series = begin_series(NULL);
    assert_ok(save_at(series, 100, NAN));
    assert_int_equal(save_at(series, 10, NAN), TW_ERR_ARGUMENT);
    assert_says("step 100");
    assert_true(has("step-000100.safetensors"));
    assert_int_equal(count_files(), 1);
    tw_checkpoints_free(series);
}

static double best_step(void) {
    char file[128];
    snprintf(file, sizeof file, "%s/best.safetensors", folder);
    tw_store *store = tw_store_new(context, NULL);
    assert_ok(tw_store_load(store, file));
    double step = (double)tw_store_step(store);
    tw_store_free(store);
    return step;
}

static void keeps_the_best(void **state) {
    (void)state;
    for (int higher = 0; higher < 2; higher++) {
        double sign = higher ? -1 : 1;
        const tw_checkpoint_opts opts = {.keep_best = true, .higher_better = higher};
        tw_checkpoints *series = begin_series(&opts);
        int64_t base = 100 * higher;
        assert_ok(save_at(series, base + 1, NAN));
        assert_int_equal(has("best.safetensors"), higher); /* the first round's */
        assert_ok(save_at(series, base + 2, sign * 5));
        assert_true(best_step() == (double)base + 2);
        assert_ok(save_at(series, base + 3, sign * 0.1));
        assert_ok(save_at(series, base + 4, sign * 0.1)); /* not better */
        assert_ok(save_at(series, base + 5, sign * INFINITY));
        assert_ok(save_at(series, base + 6, NAN));
        assert_true(best_step() == (double)base + 3);
        tw_checkpoints_free(series);
        /* The best score is known after a resume. */
        series = begin_series(&opts);
        assert_ok(tw_checkpoints_resume(series));
        assert_ok(save_at(series, base + 7, sign * 0.1));
        assert_true(best_step() == (double)base + 3);
        assert_ok(save_at(series, base + 8, sign * nextafter(0.1, 0)));
        assert_true(best_step() == (double)base + 8);
        assert_int_equal(count_files(), 2);
        tw_checkpoints_free(series);
    }
}

static void stops_early(void **state) {
    (void)state;
    const tw_checkpoint_opts opts = {.patience = 3};
    tw_checkpoints *series = begin_series(&opts);
    const double scores[] = {3, 4, 4, 2, 2, NAN, 2.5};
    for (int i = 0; i < 7; i++) assert_ok(save_at(series, i, scores[i]));
    tw_checkpoints_free(series);
    series = begin_series(&opts);
    assert_ok(tw_checkpoints_resume(series));
    assert_int_equal(save_at(series, 7, 2), TW_END); /* the third since 2 */
    assert_true(has("step-000007.safetensors"));
    assert_false(has("best.safetensors"));
    assert_ok(save_at(series, 8, 1)); /* who goes on all the same starts to count anew */
    tw_checkpoints_free(series);
}

static void notes(void **state) {
    (void)state;
    tw_checkpoints *series = begin_series(NULL);
    assert_ok(tw_checkpoints_note(series, "learning", "1e-3"));
    assert_ok(tw_checkpoints_note(series, "learning", "1e-4"));
    assert_ok(tw_checkpoints_note(series, "gone", "x"));
    assert_ok(tw_checkpoints_note(series, "gone", NULL));
    assert_ok(tw_checkpoints_note(series, "version", "\"7\"\n\xe2\x82\xac"));
    assert_ok(tw_checkpoints_note(series, "empty", ""));
    assert_string_equal(tw_checkpoints_noted(series, "learning"), "1e-4");
    assert_null(tw_checkpoints_noted(series, "gone"));
    assert_int_equal(tw_checkpoints_note(series, "", "x"), TW_ERR_ARGUMENT);
    assert_int_equal(tw_checkpoints_note(series, NULL, "x"), TW_ERR_NULL);
    assert_int_equal(tw_checkpoints_note(series, "code", "\xff"), TW_ERR_ARGUMENT);
    assert_ok(save_at(series, 1, NAN));
    tw_checkpoints_free(series);
    series = begin_series(NULL);
    assert_ok(tw_checkpoints_note(series, "learning", "mine"));
    assert_ok(tw_checkpoints_note(series, "new", "mine"));
    assert_ok(tw_checkpoints_resume(series));
    assert_string_equal(tw_checkpoints_noted(series, "learning"), "1e-4");
    assert_string_equal(tw_checkpoints_noted(series, "new"), "mine");
    assert_string_equal(tw_checkpoints_noted(series, "version"), "\"7\"\n\xe2\x82\xac");
    assert_string_equal(tw_checkpoints_noted(series, "empty"), "");
    assert_null(tw_checkpoints_noted(series, "gone"));
    tw_checkpoints_free(series);
}

/* The series holds store and loader; it goes on like a single checkpoint. */
static void series_go_on(void **state) {
    (void)state;
    trainer whole = begin_trainer(&(trainer_opts){0});
    steps(&whole, 20);
    for (int i = 0; i < 4; i++) {
        trainer t = begin_trainer(&(trainer_opts){.folder = folder});
        tw_status status = tw_checkpoints_resume(t.checkpoints);
        assert_int_equal(status, i ? TW_OK : TW_ERR_NOT_FOUND);
        steps(&t, 5);
        tw_checkpoints *series = t.checkpoints;
        t.checkpoints = NULL;
        if (i == 3) assert_stores_equal(whole.store, t.store);
        trainer_end(&t);
        assert_ok(tw_checkpoints_save(series, NAN));
        tw_checkpoints_free(series);
    }
    trainer_end(&whole);
}

/* ---- memory ---- */

typedef struct failing {
    long left, live;
    bool failed;
} failing;

static void *allocate(void *user, void *old, size_t bytes) {
    failing *it = user;
    if (!bytes) {
        it->live -= old != NULL;
        free(old);
        return NULL;
    }
    if (it->left-- == 0) {
        it->failed = true;
        return NULL;
    }
    void *made = realloc(old, bytes);
    it->live += made && !old;
    return made;
}

/* Fails each allocation of `attempt` in turn. What it may not change is its own to look at. */
static void fail_everywhere(tw_status (*attempt)(trainer *t, failing *memory)) {
    for (long n = 0;; n++) {
        failing memory = {.left = -1};
        tw_context *c = tw_context_new(
            &(tw_context_opts){.threads = 1, .allocate = allocate, .allocate_user = &memory});
        trainer t;
        const trainer_opts opts = {.folder = folder,
                                   .checkpoints = {.keep_best = true},
                                   .loader = {.batch = 16, .prefetch = -1}};
        assert_true(trainer_begin(&t, c, &opts));
        memory.left = n;
        tw_status status = attempt(&t, &memory);
        bool failed = memory.failed;
        tw_context_free(c);
        if (memory.live) fail_msg("allocation %ld fails: %ld blocks leak", n, memory.live);
        if (!failed) {
            assert_int_equal(status, TW_OK);
            return;
        }
        if (status != TW_ERR_MEMORY) fail_msg("allocation %ld fails: status %d", n, (int)status);
    }
}

/* One run's files are there; the tests below save over them or load them. */
static void make_files(void) {
    trainer t =
        begin_trainer(&(trainer_opts){.folder = folder, .loader = {.batch = 16, .prefetch = -1}});
    steps(&t, 3);
    assert_ok(tw_checkpoint_save(folder, t.store, t.loader));
    assert_ok(tw_checkpoints_note(t.checkpoints, "a", "b"));
    assert_ok(tw_checkpoints_save(t.checkpoints, 1));
    trainer_end(&t);
}

static tw_status attempt_save(trainer *t, failing *memory) {
    long left = memory->left;
    memory->left = -1;
    while (tw_store_step(t->store) < 4) assert_int_equal(trainer_step(t), TW_OK);
    memory->left = left;
    tw_status status = tw_checkpoint_save(folder, t->store, t->loader);
    if (!status) status = tw_checkpoints_note(t->checkpoints, "c", "d");
    return status ? status : tw_checkpoints_save(t->checkpoints, 0.5);
}

static void save_without_memory(void **state) {
    (void)state;
    make_files();
    fail_everywhere(attempt_save);
    tw_store *store = tw_store_new(context, NULL);
    assert_ok(tw_checkpoint_load(folder, store, NULL));
    assert_int_equal(tw_store_step(store), 4);
    assert_int_equal(count_files(), 3);
}

static tw_status whole_or_nothing(const trainer *t, const failing *memory, tw_status status,
                                  int all) {
    assert_int_equal(tw_store_size(t->store), status ? 0 : all);
    assert_int_equal(tw_loader_cursor(t->loader).example, status ? 0 : 48);
    assert_int_equal(status != TW_OK, memory->failed);
    return status;
}

static int saved_size(void) {
    tw_store *store = tw_store_new(context, NULL);
    assert_ok(tw_store_load(store, path));
    int size = tw_store_size(store);
    tw_store_free(store);
    return size;
}

static tw_status attempt_load(trainer *t, failing *memory) {
    tw_status status = tw_checkpoint_load(folder, t->store, t->loader);
    return whole_or_nothing(t, memory, status, saved_size());
}

static tw_status attempt_resume(trainer *t, failing *memory) {
    tw_status status = tw_checkpoints_resume(t->checkpoints);
    const char *noted = tw_checkpoints_noted(t->checkpoints, "a");
    assert_int_equal(noted != NULL, status == TW_OK);
    return whole_or_nothing(t, memory, status, saved_size());
}

static tw_status attempt_part(trainer *t, failing *memory) {
    int loaded = -1;
    const tw_load_opts opts = {.only = "body/*", .rename = "body/*/weight=b/*/w"};
    tw_status status = tw_store_load_part(t->store, path, &opts, &loaded);
    assert_int_equal(loaded, status ? 0 : 4);
    assert_int_equal(tw_store_size(t->store), loaded);
    assert_int_equal(status != TW_OK, memory->failed);
    return status;
}

static void load_without_memory(void **state) {
    (void)state;
    make_files();
    fail_everywhere(attempt_load);
    fail_everywhere(attempt_resume);
    fail_everywhere(attempt_part);
}

#define SERIES(test) cmocka_unit_test_setup_teardown(test, begin_series_test, end)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(goes_on_bitwise, begin, end),
        cmocka_unit_test_setup_teardown(goes_back, begin, end),
        cmocka_unit_test_setup_teardown(without_a_loader, begin, end),
        cmocka_unit_test_setup_teardown(folders_and_others, begin, end),
        cmocka_unit_test_setup_teardown(other_loaders, begin, end),
        cmocka_unit_test_setup_teardown(other_seeds, begin, end),
        cmocka_unit_test_setup_teardown(files_that_lie, begin, end),
        cmocka_unit_test_setup_teardown(bad_arguments, begin, end),
        SERIES(keeps_the_latest),
        SERIES(leaves_others_alone),
        SERIES(another_runs_folder),
        SERIES(keeps_the_best),
        SERIES(stops_early),
        SERIES(notes),
        cmocka_unit_test_setup_teardown(series_go_on, begin, end),
        cmocka_unit_test_setup_teardown(save_without_memory, begin, end),
        cmocka_unit_test_setup_teardown(load_without_memory, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
