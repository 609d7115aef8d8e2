/* Finds out what a path holds, and opens it. */
#include "cli/data.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CIFAR_FILES = 5, DEFAULT_LENGTH = 256 };

int data_check(const data_choice *choice) {
    const char *missing = choice->missing;
    char *end = NULL;
    if (choice->separator && strlen(choice->separator) != 1)
        return cli_misuse("--separator takes one character, not '%s'", choice->separator);
    if (missing && strcmp(missing, "mean") != 0 && (strtod(missing, &end), *end))
        return cli_misuse("--missing takes 'mean' or a number, not '%s'", missing);
    if (choice->crop > 1)
        return cli_misuse("--crop takes a share of the area, above 0 and at most 1");
    return CLI_FINE;
}

static bool join(char out[DATA_PATH], const char *format, ...) TW_PRINTF(2, 3);
static bool join(char out[DATA_PATH], const char *format, ...) {
    va_list list;
    va_start(list, format);
    int length = vsnprintf(out, DATA_PATH, format, list);
    va_end(list);
    return length > 0 && length < DATA_PATH;
}

static bool is_folder(const char *path) {
    struct stat facts;
    return !stat(path, &facts) && S_ISDIR(facts.st_mode);
}

static bool is_file(const char *path) {
    struct stat facts;
    return !stat(path, &facts) && S_ISREG(facts.st_mode);
}

/* The file itself or gzipped; into out[], "" for none. */
static bool is_zipped(const char *path, char out[DATA_PATH]) {
    if (join(out, "%s", path) && is_file(out)) return true;
    if (join(out, "%s.gz", path) && is_file(out)) return true;
    out[0] = '\0';
    return false;
}

static bool ends_with(const char *word, const char *end) {
    size_t length = strlen(word), n = strlen(end);
    return length > n && !strcasecmp(word + length - n, end);
}

/* FOLDER/NAME for the first of the names that `test` knows; "" for none. */
static bool first_of(const char *folder, const char *end, bool (*test)(const char *),
                     char out[DATA_PATH], int n, const char *const *names) {
    for (int i = 0; i < n; i++)
        if (join(out, "%s/%s%s", folder, names[i], end) && test(out)) return true;
    out[0] = '\0';
    return false;
}

static const char *const held_out_names[] = {"test", "t10k", "val", "valid", "validation"};
enum { HELD_OUT_NAMES = sizeof held_out_names / sizeof held_out_names[0] };

static bool find_idx(const char *folder, data_place *out) {
    char path[DATA_PATH], found[DATA_PATH];
    if (!join(path, "%s/train-images-idx3-ubyte", folder) || !is_zipped(path, found)) return false;
    out->kind = DATA_IDX;
    join(out->train, "%s/train", folder);
    for (int i = 0; i < HELD_OUT_NAMES && !out->test[0]; i++)
        if (join(path, "%s/%s-images-idx3-ubyte", folder, held_out_names[i]) &&
            is_zipped(path, found))
            join(out->test, "%s/%s", folder, held_out_names[i]);
    return true;
}

static bool find_cifar(const char *folder, data_place *out) {
    if (!join(out->train, "%s/data_batch_1.bin", folder) || !is_file(out->train)) return false;
    out->kind = DATA_CIFAR;
    join(out->train, "%s", folder);
    if (!join(out->test, "%s/test_batch.bin", folder) || !is_file(out->test)) out->test[0] = '\0';
    return true;
}

/* train.csv and test.csv, or .npz, .txt. */
static bool find_pair(const char *folder, data_place *out) {
    const char *const ends[] = {".csv", ".npz", ".txt"}, *const train[] = {"train"};
    const data_kind kinds[] = {DATA_CSV, DATA_NPZ, DATA_TEXT};
    for (int i = 0; i < 3; i++) {
        if (!first_of(folder, ends[i], is_file, out->train, 1, train)) continue;
        first_of(folder, ends[i], is_file, out->test, HELD_OUT_NAMES, held_out_names);
        out->kind = kinds[i];
        return true;
    }
    return false;
}

/* A folder for each class, or one with images in it. */
static bool looks_like_images(const char *folder) {
    DIR *list = opendir(folder);
    if (!list) return false;
    bool found = false;
    for (const struct dirent *entry; !found && (entry = readdir(list));) {
        const char *name = entry->d_name;
        char path[DATA_PATH];
        if (name[0] == '.' || !join(path, "%s/%s", folder, name)) continue;
        found = ends_with(name, ".png") || ends_with(name, ".jpg") || ends_with(name, ".jpeg") ||
                is_folder(path);
    }
    closedir(list);
    return found;
}

static bool find_images(const char *folder, data_place *out) {
    const char *const train[] = {"train"};
    if (first_of(folder, "", is_folder, out->train, 1, train))
        first_of(folder, "", is_folder, out->test, HELD_OUT_NAMES, held_out_names);
    else if (!looks_like_images(folder) || !join(out->train, "%s", folder))
        return false;
    out->kind = DATA_IMAGES;
    return true;
}

/* X-images-idx3-ubyte[.gz] as its beginning, X. */
static bool find_idx_file(const char *path, data_place *out) {
    const char *at = strstr(path, "-images-idx");
    out->kind = DATA_IDX;
    if (at) return join(out->train, "%.*s", (int)(at - path), path);
    return strstr(path, "idx") && join(out->train, "%s", path);
}

static int find_file(const char *path, data_place *out) {
    static const struct {
        const char *end;
        data_kind kind;
    } ends[] = {{".npz", DATA_NPZ}, {".npy", DATA_NPY},  {".csv", DATA_CSV},
                {".tsv", DATA_CSV}, {".txt", DATA_TEXT}, {".md", DATA_TEXT}};
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        if (!ends_with(path, ends[i].end)) continue;
        out->kind = ends[i].kind;
        if (join(out->train, "%s", path)) return CLI_FINE;
    }
    if (find_idx_file(path, out)) return CLI_FINE;
    return cli_fail("'%s' is none of the kinds of data known by their names: .csv .tsv .npz .npy "
                    ".txt, idx files, or a folder",
                    path);
}

int data_find(const char *path, data_place *out) {
    *out = (data_place){0};
    if (access(path, R_OK)) return cli_fail("cannot read '%s': %s", path, strerror(errno));
    if (strlen(path) > DATA_PATH / 2) return cli_fail("the path of the data is too long");
    if (!is_folder(path)) return find_file(path, out);
    if (find_idx(path, out) || find_cifar(path, out) || find_pair(path, out) ||
        find_images(path, out))
        return CLI_FINE;
    return cli_fail(
        "the folder '%s' holds no train-images-idx3-ubyte, data_batch_1.bin, train.csv, "
        "train.npz, train.txt, and no images",
        path);
}

static tw_dataset *read_idx(tw_context *context, const char *begin) {
    char path[DATA_PATH], images[DATA_PATH], labels[DATA_PATH];
    join(path, "%s-images-idx3-ubyte", begin);
    if (!is_zipped(path, images)) return tw_dataset_idx(context, begin, NULL);
    join(path, "%s-labels-idx1-ubyte", begin);
    return tw_dataset_idx(context, images, is_zipped(path, labels) ? labels : NULL);
}

static tw_dataset *read_cifar(tw_context *context, const data_place *place, data_part part) {
    char paths[CIFAR_FILES][DATA_PATH];
    const char *list[CIFAR_FILES];
    int n = 0;
    if (part == DATA_TEST) return tw_dataset_cifar(context, 1, (const char *[]){place->test});
    for (int i = 0; i < CIFAR_FILES; i++) {
        join(paths[n], "%.*s/data_batch_%d.bin", DATA_PATH - 32, place->train, i + 1);
        list[n] = paths[n];
        n += is_file(paths[n]);
    }
    return tw_dataset_cifar(context, n, list);
}

static tw_dataset *read_images(tw_context *context, const data_choice *choice, const char *folder,
                               data_part part, const model_inputs *inputs) {
    tw_images_opts opts = {0};
    tw_shape shape = inputs->type[0].shape;
    if (shape.rank == 3) {
        opts.height = shape.dim[0] > 0 ? shape.dim[0] : 0;
        opts.width = shape.dim[1] > 0 ? shape.dim[1] : 0;
        opts.channels = shape.dim[2] > 0 ? shape.dim[2] : 0;
    }
    if (part == DATA_TRAIN) {
        opts.flip = choice->flip;
        opts.crop = choice->crop;
        opts.seed = (uint64_t)choice->seed;
    }
    return tw_dataset_images(context, folder, &opts);
}

static tw_dataset *read_npy(tw_context *context, const data_choice *choice, const char *path) {
    tw_tensor *columns[2] = {tw_npy_read(context, path), NULL};
    int n = 1;
    if (columns[0] && choice->label) columns[n++] = tw_npy_read(context, choice->label);
    tw_dataset *set = columns[n - 1] ? tw_dataset_arrays(context, n, columns) : NULL;
    for (int i = 0; i < 2; i++) tw_tensor_free(columns[i]);
    return set;
}

/* The number as tw_csv_opts has it, where 0 is the default. */
static double fill_of(const char *word) {
    double number = strtod(word, NULL);
    return number == 0 ? TW_ZERO : number;
}

static tw_dataset *read_csv(tw_context *context, const data_choice *choice, const char *path,
                            const model_inputs *inputs, int needed) {
    tw_dtype last = inputs->type[inputs->n - 1].dtype;
    tw_csv_opts opts = {.separator = ends_with(path, ".tsv") ? '\t' : ',',
                        .no_header = choice->no_header,
                        .label = choice->label,
                        .no_label = choice->no_label || inputs->n == 1,
                        .regression = last == TW_F32 || last == TW_F64};
    if (choice->separator) opts.separator = choice->separator[0];
    if (choice->missing && !strcmp(choice->missing, "mean"))
        opts.fill_mean = true;
    else if (choice->missing)
        opts.fill = fill_of(choice->missing);
    tw_dataset *set = tw_dataset_csv(context, path, &opts);
    if (!set || opts.no_label || needed == inputs->n || choice->label) return set;
    /* To predict, a file without labels will do: it is one whose columns are all features. */
    tw_shape shape = inputs->type[0].shape, there = tw_dataset_type(set, 0).shape;
    if (shape.rank != 1 || there.rank != 1 || there.dim[0] != shape.dim[0] - 1) return set;
    tw_dataset_free(set);
    opts.no_label = true;
    return tw_dataset_csv(context, path, &opts);
}

static tw_dataset *read_text(tw_context *context, const data_choice *choice, const char *path,
                             const model_inputs *inputs) {
    tw_shape shape = inputs->type[0].shape;
    int64_t length = shape.rank == 1 && shape.dim[0] > 0 ? shape.dim[0] : choice->length;
    return tw_dataset_text(context, path, length ? length : DEFAULT_LENGTH, 0, NULL);
}

static tw_dataset *open_part(tw_context *context, const data_choice *choice,
                             const data_place *place, data_part part, const model_inputs *inputs,
                             int needed) {
    const char *path = part == DATA_TEST ? place->test : place->train;
    switch (place->kind) {
    case DATA_IDX: return read_idx(context, path);
    case DATA_CIFAR: return read_cifar(context, place, part);
    case DATA_IMAGES: return read_images(context, choice, path, part, inputs);
    case DATA_NPZ: return tw_dataset_npz(context, path);
    case DATA_NPY: return read_npy(context, choice, path);
    case DATA_CSV: return read_csv(context, choice, path, inputs, needed);
    case DATA_TEXT: return read_text(context, choice, path, inputs);
    }
    return NULL;
}

tw_dataset *data_read(tw_context *context, const data_choice *choice, const data_place *place,
                      data_part part, const model_inputs *inputs, int needed) {
    tw_dataset *set = open_part(context, choice, place, part, inputs, needed);
    bool missing = !set && !choice->missing && strstr(tw_message(context), "fill_mean");
    /* Arrays of different lengths, which have no names in the library. */
    if (!set && place->kind == DATA_NPY && tw_last_status(context) == TW_ERR_SHAPE)
        cli_fail("'%s', then '%s': %s", choice->path, choice->label, tw_message(context));
    else if (!set)
        cli_fail("%s%s", tw_message(context),
                 missing ? "; here: --missing mean, or --missing 0" : "");
    if (!set || tw_dataset_count(set) > 0) return set;
    cli_fail("'%s' has no examples", part == DATA_TEST ? place->test : place->train);
    tw_dataset_free(set);
    return NULL;
}

void data_print_help(void) {
    cli_heading("Data");
    cli_row("FOLDER", "with train-images-idx3-ubyte and the like, gzipped or not (MNIST); "
                      "data_batch_1.bin (CIFAR-10); train.csv, .npz or .txt; train/ with a "
                      "folder of images for each class. Beside train: test, t10k, val");
    cli_row("FILE.csv, .tsv", "with a header; the last column is the label");
    cli_row("FILE.npz", "an array for each input, by the inputs' names or in their order");
    cli_row("FILE.npy", "one input; --label FILE.npy has the labels");
    cli_row("FILE.txt", "bytes and the bytes that follow, for language models");
    cli_row("X-images-idx3-ubyte", "with its labels beside it");
}
