/* Folders of pictures as datasets: their order, sides, normalising, what is random, and refusals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <thalweg/data.h>
#include <unistd.h>

#include "io/dataset.h"

static tw_context *context;
static char folder[64], said[DATASET_MESSAGE];

/* Copies a picture of the golden file to FOLDER/NAME. */
static void put(const char *golden, const char *name) {
    char path[256];
    tw_store *store = tw_store_new(context, NULL);
    assert_int_equal(tw_store_load(store, "tests/golden/images.safetensors"), TW_OK);
    snprintf(path, sizeof path, "%s.file", golden);
    tw_tensor *tensor = tw_store_get(store, path);
    assert_non_null(tensor);
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(tw_tensor_map(tensor), 1, tw_tensor_bytes(tensor), file),
                     tw_tensor_bytes(tensor));
    fclose(file);
    tw_tensor_free(tensor);
    tw_store_free(store);
}

static void make_folder(const char *name) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_int_equal(mkdir(path, 0777), 0);
}

static void put_text(const char *name, const char *text) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static int begin(void **state) {
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/thalweg-images-XXXXXX");
    context = tw_context_new(NULL);
    return !context || !mkdtemp(folder) ? -1 : 0;
}

static int end(void **state) {
    (void)state;
    char command[128];
    tw_context_free(context);
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

static bool lacks_libraries(void) {
    put("png/rgb", "a.png");
    put("jpeg/full", "b.jpg");
    tw_dataset *dataset =
        tw_dataset_images(context, folder, &(tw_images_opts){.height = 1, .width = 1});
    assert_non_null(dataset);
    float out[3];
    tw_status a = tw_dataset_read(dataset, 1, (int64_t[]){0}, (void *[]){out});
    tw_status b = tw_dataset_read(dataset, 1, (int64_t[]){1}, (void *[]){out});
    tw_dataset_free(dataset);
    char path[256];
    snprintf(path, sizeof path, "%s/a.png", folder);
    unlink(path);
    snprintf(path, sizeof path, "%s/b.jpg", folder);
    unlink(path);
    return a == TW_ERR_UNSUPPORTED || b == TW_ERR_UNSUPPORTED;
}

static void classes_are_sorted_folders(void **state) {
    (void)state;
    if (lacks_libraries()) skip();
    make_folder("zebra");
    make_folder("Ant");
    make_folder(".hidden");
    put("png/rgb", "zebra/2.png");
    put("jpeg/full", "zebra/10.JPG");
    put("png/grey", "Ant/x.png");
    put_text("Ant/notes.txt", "no picture");
    put_text("notes.txt", "no picture either");
    tw_dataset *dataset =
        tw_dataset_images(context, folder, &(tw_images_opts){.height = 4, .width = 6});
    if (!dataset) fail_msg("%s", tw_message(context));
    assert_int_equal(tw_dataset_count(dataset), 3);
    assert_int_equal(tw_dataset_columns(dataset), 2);
    assert_string_equal(tw_dataset_name(dataset, 0), "images");
    assert_string_equal(tw_dataset_name(dataset, 1), "labels");
    assert_string_equal(tw_dataset_class(dataset, 1, 0), "Ant");
    assert_string_equal(tw_dataset_class(dataset, 1, 1), "zebra");
    assert_null(tw_dataset_class(dataset, 1, 2));
    tw_type type = tw_dataset_type(dataset, 0);
    assert_int_equal(type.dtype, TW_F32);
    assert_int_equal(type.shape.rank, 3);
    assert_int_equal(type.shape.dim[0], 4);
    assert_int_equal(type.shape.dim[1], 6);
    assert_int_equal(type.shape.dim[2], 3);
    assert_int_equal(tw_dataset_type(dataset, 1).dtype, TW_I32);
    assert_int_equal(tw_dataset_type(dataset, 1).shape.rank, 0);
    float one[3][72], all[3][72];
    int32_t label, labels[3];
    void *const together[] = {all, labels};
    assert_int_equal(tw_dataset_read(dataset, 3, (int64_t[]){2, 0, 1}, together), TW_OK);
    assert_int_equal(labels[0], 1);
    assert_int_equal(labels[1], 0);
    assert_int_equal(labels[2], 1);
    for (int i = 0; i < 3; i++) {
        void *const alone[] = {one[i], &label};
        assert_int_equal(tw_dataset_read(dataset, 1, (int64_t[]){(i + 2) % 3}, alone), TW_OK);
        assert_int_equal(label, labels[i]);
        assert_memory_equal(one[i], all[i], sizeof one[i]);
    }
    assert_true(memcmp(all[0], all[2], sizeof all[0]) != 0);
    for (int i = 0; i < 72; i += 3) /* the grey one */
        if (!(fabsf(all[1][i] - all[1][i + 1]) < 1e-6f))
            fail_msg("%d: %g, %g", i, (double)all[1][i], (double)all[1][i + 1]);
    tw_dataset_free(dataset);
}

/* A folder without classes; of one file, its picture is 9 x 13 pixels. */
static tw_dataset *plain_of(int64_t count, const tw_images_opts *opts) {
    put("png/rgb", "a.png");
    tw_dataset *dataset = tw_dataset_images(context, folder, opts);
    if (!dataset) fail_msg("%s", tw_message(context));
    assert_int_equal(tw_dataset_columns(dataset), 1);
    assert_int_equal(tw_dataset_count(dataset), count);
    return dataset;
}

static tw_dataset *plain(const tw_images_opts *opts) { return plain_of(1, opts); }

static void read_in(tw_dataset *dataset, int64_t epoch, float *out) {
    const int64_t index = 0;
    void *const columns[] = {out};
    const dataset_request request = {epoch, 1, &index, columns, said, sizeof said};
    if (dataset_fetch(dataset, &request)) fail_msg("%s", said);
}

static const uint8_t *pixels_of(tw_store *store) {
    assert_int_equal(tw_store_load(store, "tests/golden/images.safetensors"), TW_OK);
    tw_tensor *tensor = tw_store_get(store, "png/rgb.rgb");
    const uint8_t *pixels = tw_tensor_map(tensor);
    tw_tensor_free(tensor);
    return pixels;
}

/* At the picture's own size nothing is resized: its middle, normalised. */
static void cuts_the_middle_and_normalises(void **state) {
    (void)state;
    if (lacks_libraries()) skip();
    const float mean[] = {0.25f, 0.5f, 0.125f}, deviation[] = {0.5f, 2, 1};
    tw_dataset *dataset =
        plain(&(tw_images_opts){.height = 9, .width = 9, .mean = mean, .deviation = deviation});
    tw_store *store = tw_store_new(context, NULL);
    const uint8_t *pixels = pixels_of(store);
    float out[9 * 9 * 3];
    read_in(dataset, 0, out);
    for (int y = 0; y < 9; y++)
        for (int x = 0; x < 9; x++)
            for (int c = 0; c < 3; c++) {
                float want =
                    ((float)pixels[(y * 13 + x + 2) * 3 + c] / 255 - mean[c]) / deviation[c];
                assert_true(fabsf(out[(y * 9 + x) * 3 + c] - want) < 1e-6f);
            }
    tw_dataset_free(dataset);
    tw_store_free(store);
}

static void stretches_when_told(void **state) {
    (void)state;
    if (lacks_libraries()) skip();
    tw_dataset *cut = plain(&(tw_images_opts){.height = 5, .width = 5, .channels = 1});
    tw_dataset *stretched =
        plain(&(tw_images_opts){.height = 5, .width = 5, .channels = 1, .stretch = true});
    tw_dataset *whole = plain(&(tw_images_opts){.height = 9, .width = 13, .channels = 1});
    float a[25], b[25], all[9 * 13];
    read_in(cut, 0, a);
    read_in(stretched, 0, b);
    read_in(whole, 0, all);
    assert_true(memcmp(a, b, sizeof a) != 0);
    for (int i = 0; i < 25; i++) assert_true(a[i] >= 0 && a[i] <= 1.00001f);
    /* Stretched, the first column sees the picture's left edge, which the cut one leaves out. */
    double left = 0, mean = 0;
    for (int y = 0; y < 9; y++) left += (double)all[y * 13] / 9;
    for (int y = 0; y < 5; y++) mean += (double)b[y * 5] / 5;
    double cut_mean = 0;
    for (int y = 0; y < 5; y++) cut_mean += (double)a[y * 5] / 5;
    assert_true(fabs(mean - left) < fabs(cut_mean - left));
    tw_dataset_free(cut);
    tw_dataset_free(stretched);
    tw_dataset_free(whole);
}

static void flips_half_of_the_epochs(void **state) {
    (void)state;
    if (lacks_libraries()) skip();
    enum { EPOCHS = 400 };
    tw_dataset *straight = plain(&(tw_images_opts){.height = 9, .width = 13});
    tw_dataset *dataset =
        plain(&(tw_images_opts){.height = 9, .width = 13, .flip = true, .seed = 5});
    float want[9 * 13 * 3], out[9 * 13 * 3];
    read_in(straight, 3, want);
    int flipped = 0;
    for (int epoch = 0; epoch < EPOCHS; epoch++) {
        read_in(dataset, epoch, out);
        bool flip = memcmp(want, out, sizeof out) != 0;
        flipped += flip;
        for (int i = 0; flip && i < 9 * 13; i++)
            assert_memory_equal(out + 3 * i, want + 3 * (i / 13 * 13 + 12 - i % 13), 12);
    }
    assert_in_range(flipped, EPOCHS / 2 - 40, EPOCHS / 2 + 40); /* four deviations */
    tw_dataset_free(straight);
    tw_dataset_free(dataset);
}

static void crops_follow_seed_and_epoch(void **state) {
    (void)state;
    if (lacks_libraries()) skip();
    tw_images_opts opts = {.height = 6, .width = 6, .crop = 0.3, .flip = true, .seed = 1};
    tw_dataset *one = plain(&opts), *same = plain(&opts);
    opts.seed = 2;
    tw_dataset *other = plain(&opts);
    float a[108], b[108], c[108], next[108];
    int other_seed = 0, other_epoch = 0;
    for (int epoch = 0; epoch < 20; epoch++) {
        read_in(one, epoch, a);
        read_in(same, epoch, b);
        read_in(other, epoch, c);
        read_in(one, epoch + 1, next);
        assert_memory_equal(a, b, sizeof a);
        other_seed += memcmp(a, c, sizeof a) != 0;
        other_epoch += memcmp(a, next, sizeof a) != 0;
    }
    assert_in_range(other_seed, 18, 20);
    assert_in_range(other_epoch, 18, 20);
    /* tw_dataset_read is of epoch 0. */
    read_in(one, 0, a);
    assert_int_equal(tw_dataset_read(one, 1, (int64_t[]){0}, (void *[]){b}), TW_OK);
    assert_memory_equal(a, b, sizeof a);
    tw_dataset_free(one);
    tw_dataset_free(same);
    tw_dataset_free(other);
}

/* A loader that starts at epoch 2 gives what one gives that came there by itself. */
static void loaders_say_the_epoch(void **state) {
    (void)state;
    if (lacks_libraries()) skip();
    put("jpeg/full", "b.jpg");
    put("jpeg/colours", "c.jpg");
    tw_dataset *dataset = plain_of(
        3, &(tw_images_opts){.height = 8, .width = 8, .crop = 0.2, .flip = true, .seed = 9});
    const tw_loader_opts opts = {.batch = 2, .shuffle = true, .seed = 4};
    tw_loader *walks = tw_loader_new(dataset, &opts), *jumps = tw_loader_new(dataset, &opts);
    tw_tensor *batch;
    float first[2][2 * 8 * 8 * 3];
    for (int epoch = 0; epoch < 2; epoch++) {
        assert_int_equal(tw_loader_next(walks, &batch), TW_OK);
        assert_int_equal(tw_tensor_get(batch, first[epoch], sizeof first[epoch]), TW_OK);
        assert_int_equal(tw_loader_next(walks, &batch), TW_OK);
        assert_int_equal(tw_loader_next(walks, &batch), TW_END);
    }
    assert_true(memcmp(first[0], first[1], sizeof first[0]) != 0);
    assert_int_equal(tw_loader_next(walks, &batch), TW_OK);
    assert_int_equal(tw_tensor_get(batch, first[0], sizeof first[0]), TW_OK);
    assert_int_equal(tw_loader_seek(jumps, (tw_cursor){.epoch = 2}), TW_OK);
    assert_int_equal(tw_loader_next(jumps, &batch), TW_OK);
    assert_int_equal(tw_tensor_get(batch, first[1], sizeof first[1]), TW_OK);
    assert_memory_equal(first[0], first[1], sizeof first[0]);
    tw_loader_free(walks);
    tw_loader_free(jumps);
    tw_dataset_free(dataset);
}

static void refuses(const tw_images_opts *opts, tw_status status, const char *what) {
    assert_null(tw_dataset_images(context, folder, opts));
    assert_int_equal(tw_last_status(context), status);
    if (!strstr(tw_message(context), what)) fail_msg("%s", tw_message(context));
}

static void refuses_folders(void **state) {
    (void)state;
    assert_null(tw_dataset_images(NULL, folder, NULL));
    assert_null(tw_dataset_images(context, NULL, NULL));
    assert_null(tw_dataset_images(context, "/nowhere/at/all", NULL));
    assert_int_equal(tw_last_status(context), TW_ERR_NOT_FOUND);
    refuses(NULL, TW_ERR_NOT_FOUND, "neither");
    make_folder("empty");
    refuses(NULL, TW_ERR_FORMAT, "the class 'empty' has no");
    put("png/rgb", "a.png");
    refuses(NULL, TW_ERR_FORMAT, "folders such as 'empty' and pictures such as 'a.png'");
}

static void refuses_options(void **state) {
    (void)state;
    put("png/rgb", "a.png");
    const float nothing[] = {1, 0, 1}, wild[] = {NAN, 0, 0};
    refuses(&(tw_images_opts){.height = -1}, TW_ERR_ARGUMENT, "height -1");
    refuses(&(tw_images_opts){.width = INT64_MAX}, TW_ERR_ARGUMENT, "width");
    refuses(&(tw_images_opts){.channels = 4}, TW_ERR_ARGUMENT, "4 channels");
    refuses(&(tw_images_opts){.crop = 1.5}, TW_ERR_ARGUMENT, "crop 1.5");
    refuses(&(tw_images_opts){.deviation = nothing}, TW_ERR_ARGUMENT, "channel 1");
    refuses(&(tw_images_opts){.mean = wild}, TW_ERR_ARGUMENT, "channel 0");
}

static void names_the_bad_file(void **state) {
    (void)state;
    put_text("bad.jpeg", "GIF89a");
    tw_dataset *dataset =
        tw_dataset_images(context, folder, &(tw_images_opts){.height = 1, .width = 1});
    assert_non_null(dataset);
    float out[3];
    assert_int_equal(tw_dataset_read(dataset, 1, (int64_t[]){0}, (void *[]){out}), TW_ERR_FORMAT);
    assert_non_null(strstr(tw_message(context), "bad.jpeg': offset 0: neither"));
    char path[256];
    snprintf(path, sizeof path, "%s/bad.jpeg", folder);
    unlink(path);
    assert_int_equal(tw_dataset_read(dataset, 1, (int64_t[]){0}, (void *[]){out}),
                     TW_ERR_NOT_FOUND);
    assert_non_null(strstr(tw_message(context), "cannot open it"));
    tw_dataset_free(dataset);
}

/* Listing fails at each allocation in turn, and leaves nothing behind. */
typedef struct scarce {
    int left, live;
} scarce;
static void *scarce_resize(void *user, void *old, size_t size) {
    scarce *it = user;
    if (!size) {
        it->live -= old != NULL;
        free(old);
        return NULL;
    }
    if (!it->left) return NULL;
    it->left--;
    it->live += old == NULL;
    return realloc(old, size);
}

static void memory_may_run_out(void **state) {
    (void)state;
    make_folder("a");
    make_folder("b");
    put("png/rgb", "a/1.png");
    put("png/rgb", "b/1.png");
    for (int limit = 0;; limit++) {
        scarce memory = {.left = limit};
        tw_context *poor =
            tw_context_new(&(tw_context_opts){.allocate = scarce_resize, .allocate_user = &memory});
        tw_dataset *dataset = poor ? tw_dataset_images(poor, folder, NULL) : NULL;
        if (poor && !dataset) assert_int_equal(tw_last_status(poor), TW_ERR_MEMORY);
        bool done = dataset != NULL;
        tw_dataset_free(dataset);
        tw_context_free(poor);
        assert_int_equal(memory.live, 0);
        if (done) break;
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(classes_are_sorted_folders, begin, end),
        cmocka_unit_test_setup_teardown(cuts_the_middle_and_normalises, begin, end),
        cmocka_unit_test_setup_teardown(stretches_when_told, begin, end),
        cmocka_unit_test_setup_teardown(flips_half_of_the_epochs, begin, end),
        cmocka_unit_test_setup_teardown(crops_follow_seed_and_epoch, begin, end),
        cmocka_unit_test_setup_teardown(loaders_say_the_epoch, begin, end),
        cmocka_unit_test_setup_teardown(refuses_folders, begin, end),
        cmocka_unit_test_setup_teardown(refuses_options, begin, end),
        cmocka_unit_test_setup_teardown(names_the_bad_file, begin, end),
        cmocka_unit_test_setup_teardown(memory_may_run_out, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
